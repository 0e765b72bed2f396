//! The calls, and the account that they are made for.
//!
//! ```text
//!   Route53 (publisher) ─┐                     ┌─ Limiter: so many requests a second, changes first
//!   Route53 (publisher) ─┴─► Account (shared) ─┼─ one change at a time for each hosted zone
//!                                              ├─ hosted zones and their tags, kept for a while
//!                                              └─ SDK client, made at the first call, without retries of its own
//! ```
//!
//! Publishers with the same endpoint and the same way to credentials share one account, however many there are in the
//! process: AWS counts requests by account. The SDK never tries again by itself, because what it tries must be counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use aws_sdk_route53::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::change_resource_record_sets::ChangeResourceRecordSetsError,
    types::{Change, ChangeBatch, ChangeStatus, HostedZone as RawZone, ResourceRecordSet, RrType, TagResourceType},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use mcdns_core::dns::OwnerName;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};
use tracing::debug;

use crate::{
    access::{Access, connect},
    limiter::{Limiter, Urgency},
    settings::Settings,
    trouble::Trouble,
    wire::{name_text, parse_name},
    zones::{HostedZone, Tags},
};

/// How often a call is made that is answered with "not now".
const ATTEMPTS: u32 = 6;
/// How often a reading is made that gets no answer.
const READ_ATTEMPTS: u32 = 3;
/// First wait between two of them; the next are twice as long each.
const FIRST_WAIT: Duration = Duration::from_millis(400);
/// Hosted zones on a page (API reference, `ListHostedZones`, "`MaxItems`").
const ZONES_ON_A_PAGE: i32 = 100;
/// Record sets on a page (API reference, `ListResourceRecordSets`, "`MaxItems`").
const SETS_ON_A_PAGE: i32 = 300;
/// Hosted zones of one request for tags (API reference, `ListTagsForResources`).
const TAGGED_AT_ONCE: usize = 10;
/// Pages after which a list is none: 30 million record sets.
const MOST_PAGES: usize = 100_000;

/// Accounts in use.
static ACCOUNTS: LazyLock<Mutex<BTreeMap<Access, Weak<Account>>>> = LazyLock::new(Mutex::default);

/// An account of AWS, as far as Route 53 goes.
pub(crate) struct Account {
    access: Access,
    client: OnceCell<Client>,
    limiter: Limiter,
    listed: tokio::sync::Mutex<Listed>,
    writing: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What is known of hosted zones.
#[derive(Debug, Default)]
struct Listed {
    /// All of the account.
    all: Option<(Instant, Arc<[HostedZone]>)>,
    /// Those that were asked for by id.
    by_id: BTreeMap<String, (Instant, Option<HostedZone>)>,
    tags: BTreeMap<String, (Instant, BTreeMap<String, String>)>,
}

/// Where a reading begins or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    name: String,
    record_type: Option<RrType>,
    identifier: Option<String>,
}

/// One page of record sets.
pub(crate) struct Page {
    /// In the order of the service.
    pub sets: Vec<ResourceRecordSet>,
    /// Where the next begins, if there is one.
    pub next: Option<Start>,
}

impl Start {
    /// The first set at or behind this name.
    pub(crate) fn name(name: &OwnerName) -> Self {
        Self { name: name_text(name), record_type: None, identifier: None }
    }
}

impl Account {
    /// The account of these settings; the one that others use already, if there is one.
    pub(crate) fn of(settings: &Settings) -> Arc<Self> {
        let access = Access::of(settings);
        let mut accounts = lock(&ACCOUNTS);
        accounts.retain(|_, account| account.strong_count() > 0);
        if let Some(known) = accounts.get(&access).and_then(Weak::upgrade) {
            known.limiter.lower(settings.requests_per_second);
            return known;
        }
        let account = Arc::new(Self {
            access: access.clone(),
            client: OnceCell::new(),
            limiter: Limiter::new(settings.requests_per_second),
            listed: tokio::sync::Mutex::default(),
            writing: Mutex::default(),
        });
        accounts.insert(access, Arc::downgrade(&account));
        account
    }

    /// Every hosted zone of the account, or those with these ids where there are any; not older than `age`.
    pub(crate) async fn zones(&self, ids: &BTreeSet<String>, age: Duration) -> Result<Arc<[HostedZone]>, Trouble> {
        let mut listed = self.listed.lock().await;
        let fresh = |time: Instant| time.elapsed() <= age;
        if !ids.is_empty() {
            for id in ids {
                if !listed.by_id.get(id).is_some_and(|(time, _)| fresh(*time)) {
                    let zone = self.zone(id).await?;
                    listed.by_id.insert(id.clone(), (Instant::now(), zone));
                }
            }
            return Ok(ids.iter().filter_map(|id| listed.by_id.get(id)?.1.clone()).collect());
        }
        if let Some((_, zones)) = listed.all.as_ref().filter(|(time, _)| fresh(*time)) {
            return Ok(zones.clone());
        }
        let mut found = Vec::new();
        let mut marker = None;
        for _ in 0..MOST_PAGES {
            let page = self.list_zones(marker).await?;
            whole(page.max_items)?;
            found.extend(page.hosted_zones.iter().filter_map(hosted_zone));
            marker = page.next_marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                break;
            }
        }
        let zones: Arc<[HostedZone]> = found.into();
        listed.all = Some((Instant::now(), zones.clone()));
        Ok(zones)
    }

    /// Tags of these zones, not older than `age`.
    pub(crate) async fn tags(&self, ids: &BTreeSet<String>, age: Duration) -> Result<Tags, Trouble> {
        let mut listed = self.listed.lock().await;
        let known = |listed: &Listed, id: &String| listed.tags.get(id).is_some_and(|(time, _)| time.elapsed() <= age);
        let missing: Vec<String> = ids.iter().filter(|id| !known(&listed, id)).cloned().collect();
        for ids in missing.chunks(TAGGED_AT_ONCE) {
            let answer = self.call(Urgency::Background, READ_ATTEMPTS, |client| {
                let request = client.list_tags_for_resources().resource_type(TagResourceType::Hostedzone);
                request.set_resource_ids(Some(ids.to_vec())).send()
            });
            let sets = answer.await?.resource_tag_sets;
            if sets.len() != ids.len() {
                return Err(Trouble::Garbage(format!("tags of {} zones instead of {}", sets.len(), ids.len())));
            }
            for set in sets {
                let tags = set.tags.iter().flatten();
                let tags = tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())));
                listed.tags.insert(set.resource_id.clone().unwrap_or_default(), (Instant::now(), tags.collect()));
            }
        }
        let of = |id: &String| Some((id.clone(), listed.tags.get(id)?.1.clone()));
        Ok(ids.iter().filter_map(of).collect())
    }

    /// Forgets which zones there are.
    pub(crate) async fn forget_zones(&self) {
        *self.listed.lock().await = Listed::default();
    }

    /// One page of at most so many record sets; none begins at the first.
    pub(crate) async fn page(&self, zone: &str, from: Option<&Start>, most: Option<i32>) -> Result<Page, Trouble> {
        let answer = self.call(Urgency::Background, READ_ATTEMPTS, |client| {
            let request = client.list_resource_record_sets().hosted_zone_id(zone);
            let request = request.max_items(most.unwrap_or(SETS_ON_A_PAGE).min(SETS_ON_A_PAGE));
            let request = request.set_start_record_name(from.map(|from| from.name.clone()));
            let request = request.set_start_record_type(from.and_then(|from| from.record_type.clone()));
            request.set_start_record_identifier(from.and_then(|from| from.identifier.clone())).send()
        });
        let answer = answer.await?;
        whole(answer.max_items)?;
        let (record_type, identifier) = (answer.next_record_type, answer.next_record_identifier);
        let next = answer.next_record_name.filter(|_| answer.is_truncated);
        if answer.is_truncated && next.is_none() {
            return Err(Trouble::Garbage("a list of record sets goes on, and does not say where".to_owned()));
        }
        let next = next.map(|name| Start { name, record_type, identifier });
        Ok(Page { sets: answer.resource_record_sets, next })
    }

    /// Every record set of a zone.
    pub(crate) async fn sets(&self, zone: &str) -> Result<Vec<ResourceRecordSet>, Trouble> {
        let mut sets = Vec::new();
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(zone, from.as_ref(), None).await?;
            sets.extend(page.sets);
            if page.next.is_none() {
                return Ok(sets);
            }
            if page.next == from {
                return Err(Trouble::Garbage("a list of record sets goes on where it began".to_owned()));
            }
            from = page.next;
        }
        Err(Trouble::Garbage("a list of record sets does not end".to_owned()))
    }

    /// Makes changes, all or none; the id of the change. Changes of one zone are made one after the other.
    pub(crate) async fn change(&self, zone: &str, changes: Vec<Change>) -> Result<String, Trouble> {
        let batch = ChangeBatch::builder().set_changes(Some(changes)).build();
        let batch = batch.map_err(|error| Trouble::Refused(vec![error.to_string()]))?;
        let turn = lock(&self.writing).entry(zone.to_owned()).or_default().clone();
        let _turn = turn.lock().await;
        let refused = |error: &SdkError<ChangeResourceRecordSetsError, HttpResponse>| match error.as_service_error() {
            // Old answers have a list, new ones a text in brackets.
            Some(ChangeResourceRecordSetsError::InvalidChangeBatch(refusal)) if !refusal.messages().is_empty() => {
                Trouble::Refused(refusal.messages().to_vec())
            }
            _ => Trouble::of(error),
        };
        let request = |client: Client| {
            client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch.clone()).send()
        };
        // Without an answer nobody knows whether it was made, so it is not simply made again.
        let answer = self.call_as(Urgency::Change, 1, request, refused).await?;
        match answer.change_info {
            Some(info) => Ok(info.id.trim_start_matches("/change/").to_owned()),
            None => Err(Trouble::Garbage("a change was made that has no id".to_owned())),
        }
    }

    /// True if a change is in force everywhere.
    pub(crate) async fn in_sync(&self, change: &str) -> Result<bool, Trouble> {
        let answer = self.call(Urgency::Background, READ_ATTEMPTS, |client| client.get_change().id(change).send());
        Ok(answer.await?.change_info.is_some_and(|info| info.status == ChangeStatus::Insync))
    }

    async fn list_zones(
        &self,
        marker: Option<String>,
    ) -> Result<aws_sdk_route53::operation::list_hosted_zones::ListHostedZonesOutput, Trouble> {
        let request =
            |client: Client| client.list_hosted_zones().max_items(ZONES_ON_A_PAGE).set_marker(marker.clone()).send();
        self.call(Urgency::Background, READ_ATTEMPTS, request).await
    }

    /// The zone with this id; none if there is none.
    async fn zone(&self, id: &str) -> Result<Option<HostedZone>, Trouble> {
        match self.call(Urgency::Background, READ_ATTEMPTS, |client| client.get_hosted_zone().id(id).send()).await {
            Ok(answer) => match answer.hosted_zone.as_ref().and_then(hosted_zone) {
                Some(zone) => Ok(Some(zone)),
                None => Err(Trouble::Garbage("a zone was asked for, and none is in the answer".to_owned())),
            },
            Err(Trouble::NoZone(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn call<T, E, F>(&self, urgency: Urgency, silent: u32, request: impl Fn(Client) -> F) -> Result<T, Trouble>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.call_as(urgency, silent, request, Trouble::of).await
    }

    /// Makes a call, again and again while the answer is "not now", and `silent` times while there is none.
    async fn call_as<T, E, F>(
        &self,
        urgency: Urgency,
        silent: u32,
        request: impl Fn(Client) -> F,
        meaning: impl Fn(&SdkError<E, HttpResponse>) -> Trouble,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut attempt = 1;
        loop {
            let client = self.client.get_or_init(|| connect(&self.access)).await.clone();
            self.limiter.take(urgency).await;
            let trouble = match request(client).await {
                Ok(answer) => return Ok(answer),
                Err(error) => meaning(&error),
            };
            let most = match trouble {
                Trouble::Throttled(_) | Trouble::Busy(_) => ATTEMPTS,
                Trouble::Unavailable(_) => silent,
                _ => return Err(trouble),
            };
            if attempt >= most {
                return Err(trouble);
            }
            let wait = jittered(FIRST_WAIT * 2u32.pow(attempt - 1));
            debug!(attempt, ?wait, ?trouble, "a call is made again");
            if matches!(trouble, Trouble::Throttled(_)) {
                // It is the account that has had enough, not this call.
                self.limiter.quiet(wait);
            } else {
                sleep(wait).await;
            }
            attempt += 1;
        }
    }
}

fn hosted_zone(raw: &RawZone) -> Option<HostedZone> {
    let name = parse_name(&raw.name).ok()?;
    let id = raw.id.trim_start_matches("/hostedzone/").to_owned();
    Some(HostedZone { id, name, private: raw.config.as_ref().is_some_and(|config| config.private_zone) })
}

/// Refuses a list that ends in the middle. The SDK takes a document that is cut off as if nothing had been behind; the
/// element `MaxItems` is the last of a list and is always there.
fn whole(max_items: i32) -> Result<(), Trouble> {
    if max_items > 0 { Ok(()) } else { Err(Trouble::Garbage("a list ends in the middle".to_owned())) }
}

/// Between three quarters and all of it, so that programs that were throttled together do not come back together.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let chance = RandomState::new().build_hasher().finish() % 256;
    wait.mul_f64(1.0 - f64::from(u32::try_from(chance).unwrap_or_default()) / 1024.0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
