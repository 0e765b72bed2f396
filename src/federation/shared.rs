//! Zones of Domains whose serials several replicas agree on; see [`crate::generations`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use mcdns_core::{
    answer::{Patch, Soa},
    dns::OwnerName,
    model::Timestamp,
    records::Update,
};

use super::{Federation, authoritative, now, now_unix};
use crate::generations::{Adoption, Generations, Published};

/// Note under which the state directory keeps the published generations of this replica.
const PUBLISHED_NOTE: &str = "published";

/// What replicas agree on.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) generations: Generations,
    /// What was last seen with each Domain.
    pub(super) seen: BTreeMap<String, Option<Published>>,
    /// The published generations of this replica, as they stand in the state directory.
    pub(super) noted: BTreeMap<String, Published>,
}

impl Shared {
    /// Takes up what was published before a restart.
    pub(super) fn recover(&mut self, notes: &BTreeMap<String, serde_json::Value>) {
        let Some(note) = notes.get(PUBLISHED_NOTE) else { return };
        match serde_json::from_value::<BTreeMap<String, Published>>(note.clone()) {
            Ok(noted) => {
                self.seen = noted.iter().map(|(domain, published)| (domain.clone(), Some(*published))).collect();
                self.noted = noted;
            }
            Err(error) => tracing::warn!(%error, "a note in the state directory is not understood and is ignored"),
        }
    }
}

impl Federation {
    /// True for a zone whose serials replicas agree on.
    pub(super) fn is_shared(&self, apex: &OwnerName) -> bool {
        self.shared.is_some() && self.engine.domain_of(apex).is_some()
    }

    /// Keeps what shared zones hold now, until the holder of the lease publishes it.
    pub(super) fn note_generations(
        &mut self,
        update: &mut Update,
        zones: &BTreeSet<OwnerName>,
        removed: &BTreeSet<OwnerName>,
        lag: bool,
    ) -> Result<()> {
        let Some(mut shared) = self.shared.take() else { return Ok(()) };
        for apex in removed {
            shared.generations.forget(apex);
            self.store.transfers().published().forget(apex);
        }
        let result = self.note_in(&mut shared, update, zones, lag);
        self.shared = Some(shared);
        result
    }

    fn note_in(
        &mut self,
        shared: &mut Shared,
        update: &mut Update,
        zones: &BTreeSet<OwnerName>,
        lag: bool,
    ) -> Result<()> {
        for apex in zones {
            let Some(domain) = self.engine.domain_of(apex).map(ToString::to_string) else {
                shared.generations.forget(apex);
                self.store.transfers().published().forget(apex);
                continue;
            };
            let Some(zone) = authoritative(self.engine.snapshot(), apex).cloned() else { continue };
            let Some(digest) = self.digests.of(apex, self.engine.snapshot()) else { continue };
            let new = shared.generations.serial(apex).is_none();
            let patch = update.patch.zones.get(apex).filter(|patch| !lag && !new && patch.soa.is_none());
            let noted = shared.generations.note(&zone, digest, patch, now());
            let adoption = match shared.seen.get(&domain).filter(|_| new) {
                Some(&seen) => shared.generations.see(apex, seen, now()),
                None => noted,
            };
            if let Some(adoption) = adoption {
                self.adopt(shared, &domain, adoption, &mut update.patch)?;
            } else if new {
                self.store.transfers().published().hold_back(apex);
                if let Some(serial) = shared.generations.serial(apex) {
                    let soa = Soa { serial, ..zone.soa().clone() };
                    self.engine.set_serial(&mut update.patch, apex, soa)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in what stands with Domains: name, serial and digest.
    ///
    /// # Errors
    ///
    /// As [`Federation::observe`].
    pub fn see_published(&mut self, seen: impl IntoIterator<Item = (String, Option<Published>)>) -> Result<()> {
        if self.lags() {
            self.publish(Update::default(), BTreeSet::new(), true)?;
        }
        let Some(mut shared) = self.shared.take() else { return Ok(()) };
        let mut patch = Patch::default();
        let mut result = Ok(());
        for (domain, published) in seen {
            let apex = self.engine.apex_of(&domain).cloned();
            if let Some(adoption) = apex.and_then(|apex| shared.generations.see(&apex, published, now())) {
                result = result.and(self.adopt(&mut shared, &domain, adoption, &mut patch));
            }
            shared.seen.insert(domain, published);
        }
        self.shared = Some(shared);
        self.serve();
        result
    }

    /// What the holder has to write with Domains: name, serial and digest.
    pub fn to_publish(&mut self) -> Vec<(String, Published)> {
        let Some(shared) = &mut self.shared else { return Vec::new() };
        let due = shared.generations.to_publish(now(), now_unix()).into_iter();
        due.filter_map(|(apex, published)| Some((self.engine.domain_of(&apex)?.to_string(), published))).collect()
    }

    /// When [`Federation::to_publish`] has something.
    pub fn publication_due(&self) -> Option<Timestamp> {
        self.shared.as_ref()?.generations.next_due(now(), now_unix())
    }

    /// Zones whose published content is not what this replica has, for long.
    pub fn astray(&self) -> Vec<OwnerName> {
        let shared = self.shared.as_ref();
        shared.map_or_else(Vec::new, |shared| shared.generations.astray(now()).cloned().collect())
    }

    /// A generation is published: secondaries get it from now on.
    fn adopt(&mut self, shared: &mut Shared, domain: &str, adoption: Adoption, patch: &mut Patch) -> Result<()> {
        let Adoption { zone, difference, published } = adoption;
        match difference {
            Some(difference) => self.record_difference(difference, &zone, published.digest),
            None => self.take_up(&zone, Some(published.digest)),
        }
        self.store.transfers().published().publish(&zone);
        self.engine.set_serial(patch, zone.apex(), Soa { serial: published.serial, ..zone.soa().clone() })?;
        shared.noted.insert(domain.to_owned(), published);
        if let Some(state) = &self.state {
            state.record_note(PUBLISHED_NOTE, serde_json::to_value(&shared.noted)?);
        }
        Ok(())
    }
}
