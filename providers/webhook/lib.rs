//! A publisher over the webhook protocol of external-dns: any webhook provider is one of ours.
//!
//! ```text
//!   first      GET /                  media type, domain filter
//!   read       GET /records           all that the peer holds; whose it is, TXT records beside say
//!   prepare    POST /adjustendpoints  the form in which the peer will hold what is wanted
//!   apply      GET /records           does it still stand as the plan was made for?
//!              POST /records          one call for a batch: creates, updates in pairs, deletes
//! ```
//!
//! The peer is trusted with nothing: what it says has limits in time and size, one endpoint that makes no sense spoils
//! its own name alone, and what cannot be understood is an error and never an empty zone.
//!
//! Invariants:
//! * A change is sent only if what it replaces stands there in a reading that is younger than the plan; what is
//!   replaced or deleted is sent as the peer told it, in its own spelling.
//! * A record and its ownership record travel in one call, the mark before the record it is for, and behind it where
//!   both go: a peer that does half of a call, in order, leaves nothing of ours without a mark. What it did is read
//!   again before anything else is sent.
//! * The protocol has one code for all that goes wrong with changes (500). At first that is a peer that does not work
//!   at the moment; where it goes on while the peer can be read, it is the content, and the batch is halved.

mod apply;
mod client;
mod filter;
mod settings;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::future::BoxFuture;
use mcdns_core::{
    dns::OwnerName,
    plan::{CurrentZone, Group, ManagerId, WantedName},
};
use mcdns_publish::{ApplyReport, Batch, Capabilities, PublishError, Publisher, Unpublishable, ownership::TxtRegistry};
use serde_json::Value;

use client::Client;
use filter::Filter;
use settings::Settings;
use wire::{Listing, MEDIA_TYPE, read_listing, shorten, to_endpoint};

/// Most groups in one call: with its mark, a group has about 500 octets, and providers have bodies of a few megabytes
/// in mind.
const MAX_GROUPS: usize = 1000;

/// A publisher that speaks to a webhook provider. Nothing is connected to yet.
///
/// # Errors
///
/// `KEY: what is wrong; help: what would be right`.
pub fn publisher(
    name: &str,
    zones: &[OwnerName],
    manager: &ManagerId,
    section: &Value,
) -> Result<Arc<dyn Publisher>, String> {
    Ok(Arc::new(Webhook::new(name, zones, manager, section)?))
}

/// The publisher.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    zones: Vec<OwnerName>,
    manager: ManagerId,
    capabilities: Capabilities,
    registry: TxtRegistry,
    client: Client,
    state: Mutex<State>,
    /// One change at a time, so that what was compared still stands when it is changed.
    writing: tokio::sync::Mutex<()>,
}

/// What is known of the peer.
#[derive(Debug, Default)]
struct State {
    /// As negotiated; forgotten when the peer fails, for it may come back as another.
    filter: Option<Filter>,
    /// What the peer makes of names: as it was asked, and what it said.
    adjusted: BTreeMap<OwnerName, (Group, Result<Group, String>)>,
    /// Names whose change the peer answers with 500 while it makes others, with what they should hold.
    blamed: BTreeMap<OwnerName, Option<Group>>,
    /// Batches that were answered with 500 one after another, and when the last was.
    failures: Option<(u32, Instant)>,
}

impl Webhook {
    /// See [`publisher`].
    pub fn new(name: &str, zones: &[OwnerName], manager: &ManagerId, section: &Value) -> Result<Self, String> {
        let Settings { client, types, registry } = Settings::read(section, manager)?;
        let capabilities = Capabilities { max_groups: MAX_GROUPS, ..Capabilities::plain(types) };
        Ok(Self {
            name: name.to_owned(),
            zones: zones.to_vec(),
            manager: manager.clone(),
            capabilities,
            registry,
            client,
            state: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the peer is one, and which names it takes.
    async fn negotiate(&self) -> Result<Filter, PublishError> {
        if let Some(filter) = self.state().filter.clone() {
            return Ok(filter);
        }
        let answer = self.client.get("/").await?;
        if answer.status != 200 {
            return Err(answer.trouble("the negotiation"));
        }
        if answer.content_type != MEDIA_TYPE {
            let spoken = shorten(&answer.content_type);
            let words = format!("the negotiation: the peer speaks `{spoken}`, and `{MEDIA_TYPE}` is understood");
            return Err(PublishError::Garbage { words });
        }
        let filter = Filter::parse(&answer.body)
            .map_err(|why| PublishError::Garbage { words: format!("the negotiation: {}", shorten(&why)) })?;
        tracing::info!(
            publisher = self.name,
            peer = self.client.place(),
            filter = filter.words(),
            "the webhook provider was met"
        );
        self.state().filter = Some(filter.clone());
        Ok(filter)
    }

    /// Everything that the peer holds.
    async fn listing(&self) -> Result<Listing, PublishError> {
        let answer = self.client.get("/records").await?;
        if answer.status != 200 {
            return Err(answer.trouble("the records"));
        }
        let listing = read_listing(&answer.body).map_err(|why| PublishError::Garbage {
            words: format!("the records: {}; it begins {}", shorten(&why), shorten(&beginning(&answer.body))),
        })?;
        if listing.nameless > 0 {
            tracing::warn!(publisher = self.name, endpoints = listing.nameless, "endpoints with impossible names");
        }
        Ok(listing)
    }

    /// One zone of what the peer holds: what is in a zone below that is published too is that one's.
    fn zone(&self, apex: &OwnerName, listing: &Listing) -> CurrentZone {
        let sets = listing.sets.iter().filter(|(owner, _, _)| self.is_in(apex, owner));
        let mut zone = self.registry.read(apex, sets.map(|(owner, set, _)| (owner.clone(), set.clone())));
        let unreadable = listing.unreadable.iter().filter(|(owner, _)| self.is_in(apex, owner));
        zone.unreadable = unreadable.map(|(owner, why)| (owner.clone(), why.clone())).collect();
        zone.names.retain(|owner, _| !zone.unreadable.contains_key(owner));
        zone
    }

    fn is_in(&self, apex: &OwnerName, owner: &OwnerName) -> bool {
        let below = self.zones.iter().any(|zone| zone.is_below(apex) && owner.is_at_or_below(zone));
        owner.is_at_or_below(apex) && !below
    }

    async fn read_now(&self, apex: &OwnerName) -> Result<CurrentZone, PublishError> {
        let filter = self.negotiate().await?;
        if !filter.may_match_in(apex) {
            return Err(PublishError::NoZone { apex: apex.clone(), words: filter.words() });
        }
        let zone = self.zone(apex, &self.listing().await?);
        // What the peer makes of names may be something else by now.
        self.state().adjusted.retain(|owner, _| !self.is_in(apex, owner));
        Ok(zone)
    }

    /// Asks for the peer's form of what it was not asked about yet.
    async fn prepare_now(&self, wanted: &[WantedName]) -> Result<(), PublishError> {
        let plain = |one: &WantedName| Group::of_rrsets(one.owner.clone(), &one.rrsets);
        let open: Vec<Group> = {
            let state = self.state();
            let known = |group: &Group| state.adjusted.get(group.owner()).is_some_and(|(asked, _)| asked == group);
            wanted.iter().map(plain).filter(|group| !known(group)).collect()
        };
        if open.is_empty() {
            return Ok(());
        }
        self.negotiate().await?;
        let endpoints: Vec<_> = open
            .iter()
            .flat_map(|group| group.sets().iter().map(|set| to_endpoint(group.owner(), set, self.labels())))
            .collect();
        let body = serde_json::to_vec(&endpoints).unwrap_or_default();
        let answer = self.client.post("/adjustendpoints", body).await?;
        if answer.status != 200 {
            return Err(answer.trouble("the adjustment of endpoints"));
        }
        let listing = read_listing(&answer.body).map_err(|why| PublishError::Garbage {
            words: format!("the adjustment of endpoints: {}", shorten(&why)),
        })?;
        let mut sets: BTreeMap<OwnerName, Vec<_>> = BTreeMap::new();
        for (owner, set, _) in listing.sets {
            sets.entry(owner).or_default().push(set);
        }
        let mut state = self.state();
        for asked in open {
            let owner = asked.owner().clone();
            let adjusted = match (sets.remove(&owner), listing.unreadable.get(&owner)) {
                (Some(sets), _) => Ok(Group::new(owner.clone(), sets)),
                (None, Some(why)) => Err(format!("the peer makes something of it that makes no sense: {why}")),
                (None, None) => Err("the peer leaves it out of what it was asked to adjust".to_owned()),
            };
            state.adjusted.insert(owner, (asked, adjusted));
        }
        Ok(())
    }

    /// Labels of what is ours, as external-dns sends them.
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("owner".to_owned(), self.manager.to_string())])
    }

    /// A peer that fails is met anew.
    fn noted<T>(&self, result: Result<T, PublishError>) -> Result<T, PublishError> {
        if let Err(PublishError::Unavailable { .. } | PublishError::Garbage { .. }) = &result {
            self.state().filter = None;
        }
        result
    }
}

impl Publisher for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        let plain = Group::of_rrsets(wanted.owner.clone(), &wanted.rrsets);
        let group = {
            let state = self.state();
            if let Some(filter) = state.filter.as_ref().filter(|filter| !filter.matches(&wanted.owner)) {
                return Err(Unpublishable(format!("the peer does not take the name: {}", filter.words())));
            }
            match state.adjusted.get(&wanted.owner).filter(|(asked, _)| *asked == plain) {
                Some((_, Ok(adjusted))) => adjusted.clone(),
                Some((_, Err(why))) => return Err(Unpublishable(why.clone())),
                None => plain,
            }
        };
        // A record without a place for its mark is never written.
        for mark in self.registry.marks(&wanted.apex, &group)? {
            let state = self.state();
            if let Some(filter) = state.filter.as_ref().filter(|filter| !filter.matches(&mark.owner)) {
                let words = filter.words();
                return Err(Unpublishable(format!(
                    "the peer does not take its ownership record {}: {words}",
                    mark.owner
                )));
            }
        }
        Ok(group)
    }

    fn prepare<'a>(&'a self, _: &'a OwnerName, wanted: &'a [WantedName]) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { self.noted(self.prepare_now(wanted).await) })
    }

    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>> {
        Box::pin(async {
            let filter = self.noted(self.negotiate().await)?;
            Ok(self.zones.iter().filter(|apex| filter.may_match_in(apex)).cloned().collect())
        })
    }

    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>> {
        Box::pin(async { self.noted(self.read_now(apex).await) })
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>> {
        Box::pin(async { self.noted(self.apply_now(batch).await) })
    }
}

/// How an answer begins, as text.
fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}
