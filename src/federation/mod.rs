//! The one place where what is known changes: observations in, answers, history and state out.
//!
//! ```text
//!   observe ─► Engine ─► serials ─► SnapshotStore (answers)      at once
//!                              ├──► TransferHistory              what secondaries fetch
//!                              ├──► History                      why a name changed
//!                              ├──► StateDirectory               what must be known after a restart
//!                              └──► Publishing                   what other systems hold
//! ```
//!
//! Answers come first: nothing here waits for a disk before the new snapshot is served, but for a reservation of
//! serials once in a thousand changes.

mod publishers;
mod shared;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use mcdns_core::{
    answer::{AuthoritativeZone, OtherZone, Snapshot, Soa, Zone, ZoneDifference, ZonePatch},
    check::{Finding, FindingCode},
    dns::{OwnerName, Serial},
    model::{ClusterName, HostWord, Object, ObjectKey, Observation, Timestamp},
    records::{Engine, Options, Update, ZoneDigests},
};
use mcdns_publish::Publishing;
use mcdns_serve::SnapshotStore;
use mcdns_state::{Chain, Change, History, HistoryLimits, Published as Recorded, Recovered, Serials, StateDirectory};

use publishers::Releases;
use shared::Shared;

/// Note under which the state directory keeps what [`Engine::memory`] gives.
const MEMORY_NOTE: &str = "engine";
/// Note under which it keeps what was asked of this replica about cordons.
const CORDONS_NOTE: &str = "cordons";

/// An engine with everything that its results go to.
#[derive(Debug)]
pub struct Federation {
    engine: Engine,
    store: Arc<SnapshotStore>,
    history: Arc<History>,
    serials: Arc<Serials>,
    digests: ZoneDigests,
    state: Option<Arc<StateDirectory>>,
    /// The same, from before what was known is computed: that is on disk already, but may have a new serial.
    differences: Option<Arc<StateDirectory>>,
    memory: serde_json::Value,
    /// What was asked about cordons, as it is noted.
    cordons: BTreeMap<ClusterName, bool>,
    /// Zones that have a serial.
    started: BTreeSet<OwnerName>,
    /// Zones that had one and are gone.
    gone: BTreeSet<OwnerName>,
    /// What was published of zones that are not served yet.
    published: BTreeMap<OwnerName, Chain>,
    /// False until the first computation, which is no change.
    recording: bool,
    /// Where zones of Domains have the serials that replicas agree on; none where this program is alone.
    shared: Option<Shared>,
    /// Beside what the engine computes.
    other_zones: Vec<Arc<dyn OtherZone>>,
    /// Who takes the records to other systems.
    publishing: Option<Arc<Publishing>>,
    /// What they were let pass.
    releases: Releases,
}

impl Federation {
    /// A federation of which nothing is known yet.
    pub fn new(options: Options, history: HistoryLimits) -> Self {
        Self {
            engine: Engine::new(options),
            store: Arc::new(SnapshotStore::default()),
            history: Arc::new(History::in_memory(history)),
            serials: Arc::new(Serials::in_memory()),
            digests: ZoneDigests::default(),
            state: None,
            differences: None,
            memory: serde_json::Value::Null,
            cordons: BTreeMap::new(),
            started: BTreeSet::new(),
            gone: BTreeSet::new(),
            published: BTreeMap::new(),
            recording: false,
            shared: None,
            other_zones: Vec::new(),
            publishing: None,
            releases: Releases::new(),
        }
    }

    /// From now on zones of Domains have serials that replicas agree on. To be called before anything is known.
    pub fn share(&mut self) {
        self.shared = Some(Shared::default());
    }

    /// Everything that is wrong with what is known, sorted. That there is nothing at all is worth a word where somebody
    /// names a directory; a host cluster may well be without a federation for now.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.engine.findings();
        findings.retain(|finding| self.shared.is_none() || finding.code != FindingCode::EmptyFederation);
        findings
    }

    /// Takes up what a state directory holds, and writes to it from now on. Returns the objects that were known.
    ///
    /// # Errors
    ///
    /// As [`Federation::observe`].
    pub fn recover(
        &mut self,
        state: Arc<StateDirectory>,
        recovered: Recovered,
    ) -> Result<Vec<(ObjectKey, Arc<Object>)>> {
        let Recovered { objects, notes, serials, history, differences } = recovered;
        self.history = history;
        self.published = differences;
        self.differences = Some(Arc::clone(&state));
        self.serials = serials;
        if let Some(note) = notes.get(MEMORY_NOTE) {
            match serde_json::from_value(note.clone()) {
                Ok((first_unready, holds)) => self.engine.remember(first_unready, holds),
                Err(error) => tracing::warn!(%error, "a note in the state directory is not understood and is ignored"),
            }
            self.memory.clone_from(note);
        }
        if let Some(shared) = &mut self.shared {
            shared.recover(&notes);
        }
        if !objects.is_empty() {
            let known: Vec<Observation> = objects
                .iter()
                .map(|(key, object)| Observation { key: key.clone(), object: Some(object.clone()) })
                .collect();
            self.observe(&known)?;
        }
        if let Some(note) = notes.get(CORDONS_NOTE) {
            // After what was known: that is no word of the host that would overrule it.
            match serde_json::from_value::<BTreeMap<ClusterName, bool>>(note.clone()) {
                Ok(asked) => {
                    self.cordons.clone_from(&asked);
                    let update = self.engine.remember_cordons(asked, Some(now()));
                    self.publish(update, BTreeSet::new(), false)?;
                }
                Err(error) => tracing::warn!(%error, "a note in the state directory is not understood and is ignored"),
            }
        }
        self.state = Some(state);
        Ok(objects)
    }

    /// Brings the state directory to disk and lets it go, for a successor. Nothing may be observed from now on.
    ///
    /// # Errors
    ///
    /// What could not be written.
    pub fn release(&mut self) -> Result<()> {
        self.differences = None;
        if let Some(state) = self.state.take() {
            state.shutdown()?;
        }
        Ok(())
    }

    /// Takes the state directory that was let go again; what it holds is what is known.
    pub fn take_back(&mut self, state: Arc<StateDirectory>, recovered: Recovered) {
        self.history = recovered.history;
        self.serials = recovered.serials;
        self.differences = Some(Arc::clone(&state));
        self.state = Some(state);
    }

    /// Takes in observations; an empty slice lets time pass.
    ///
    /// # Errors
    ///
    /// A fault of the program; what was served before stays.
    pub fn observe(&mut self, observations: &[Observation]) -> Result<Update> {
        let lags = self.lags();
        let update = self.engine.observe(observations, Some(now()));
        self.publish(update, BTreeSet::new(), lags)
    }

    /// Takes in observations of a source that says apart what is the host's own word.
    ///
    /// # Errors
    ///
    /// As [`Federation::observe`].
    pub fn observe_with(&mut self, observations: &[Observation], word: &HostWord) -> Result<Update> {
        let lags = self.lags();
        let update = self.engine.observe_with(observations, word, Some(now()));
        self.publish(update, BTreeSet::new(), lags)
    }

    /// Cordons a cluster for this replica alone, or takes its cordon back, until the host speaks of it again; none if the
    /// host does not know the cluster.
    ///
    /// # Errors
    ///
    /// As [`Federation::observe`].
    pub fn ask_cordon(&mut self, cluster: &ClusterName, cordoned: bool) -> Result<Option<Update>> {
        if !self.engine.clusters().any(|(known, _)| known == cluster) {
            return Ok(None);
        }
        let lags = self.lags();
        let update = self.engine.ask_cordon(cluster, cordoned, Some(now()));
        self.publish(update, BTreeSet::new(), lags).map(Some)
    }

    /// Replaces what is set, for instance when a master file changed.
    ///
    /// # Errors
    ///
    /// As [`Federation::observe`].
    pub fn set_options(&mut self, options: Options) -> Result<Update> {
        let lags = self.lags();
        let update = self.engine.set_options(options, Some(now()));
        // A master file may have a new serial and nothing else.
        let zones = self.engine.snapshot().zones().map(Zone::apex).cloned().collect();
        self.publish(update, zones, lags)
    }

    /// From now on these zones of other kinds are answered from too, and no others. What is asked for often is asked for as
    /// it was: nothing is computed anew.
    pub fn set_other_zones(&mut self, zones: Vec<Arc<dyn OtherZone>>) {
        self.other_zones = zones;
        self.serve();
    }

    /// Serves what was computed, and the zones of other kinds beside it.
    fn serve(&self) {
        let with = |snapshot: Snapshot, zone: &Arc<dyn OtherZone>| snapshot.with_other(Arc::clone(zone));
        self.store.store(self.other_zones.iter().fold(self.engine.snapshot().clone(), with));
    }

    /// True if what is served lacks more than the next patch, because an error kept the one before from being served.
    fn lags(&self) -> bool {
        self.store.load().generation() != self.engine.snapshot().generation()
    }

    /// Serves what was computed. Where answers `lag`, each zone is compared with what is served of it, since the patch
    /// is only the last step of the way.
    fn publish(&mut self, mut update: Update, mut zones: BTreeSet<OwnerName>, lag: bool) -> Result<Update> {
        for error in &update.refused {
            tracing::error!(%error, "a name stays as it was, by a fault of this program; please report it");
        }
        self.digests.apply(&update);
        zones.extend(update.patch.zones.keys().cloned());
        let mut changed: BTreeSet<OwnerName> = update.patch.zones.keys().cloned().collect();
        let mut removed = update.patch.removed_zones.clone();
        if lag {
            let served = Arc::clone(&self.store.load());
            let next = self.engine.snapshot();
            zones.extend(next.zones().map(Zone::apex).cloned());
            changed.extend(zones.iter().filter(|apex| is_other(&served, next, apex)).cloned());
            let served = served.zones().filter_map(Zone::authoritative).map(|zone| zone.apex());
            removed.extend(served.filter(|apex| next.zone(apex).is_none()).cloned());
        }
        let numbered = self.set_serials(&mut update, &zones, &changed).and_then(|()| {
            self.record_differences(&update, &zones, &removed, lag);
            self.note_generations(&mut update, &zones, &removed, lag)
        });
        if numbered.is_ok() {
            self.serve();
        }
        // Publishers have no serials, and the next update says nothing of these names.
        self.tell_publishers(&update);
        numbered?;
        let reason = update.reason();
        if self.recording {
            self.record(&update, &reason);
        }
        self.recording |= !update.accepted.is_empty() || !update.patch.is_empty();
        if let Some(state) = &self.state {
            state.record_observations(&update.accepted);
            let memory = serde_json::to_value(self.engine.memory())?;
            if memory != self.memory {
                state.record_note(MEMORY_NOTE, memory.clone());
                self.memory = memory;
            }
            if *self.engine.asked_cordons() != self.cordons {
                self.cordons.clone_from(self.engine.asked_cordons());
                state.record_note(CORDONS_NOTE, serde_json::to_value(&self.cordons)?);
            }
        }
        Ok(update)
    }

    /// A zone that is new starts its serial, one whose content moved gets the next.
    fn set_serials(
        &mut self,
        update: &mut Update,
        zones: &BTreeSet<OwnerName>,
        changed: &BTreeSet<OwnerName>,
    ) -> Result<()> {
        for apex in &update.patch.removed_zones {
            if self.started.remove(apex) {
                self.gone.insert(apex.clone());
            }
        }
        for apex in zones.iter().cloned() {
            let changed = changed.contains(&apex);
            let new = !self.started.contains(&apex);
            let served = self.engine.snapshot().zone(&apex).map(|zone| zone.soa().clone());
            let Some(soa) = served else { continue };
            let digest = || self.digests.of(&apex, self.engine.snapshot()).unwrap_or_default();
            let serial = match self.engine.static_serial(&apex) {
                Some(serial) => Some(serial),
                // It moves when a generation is published.
                None if self.is_shared(&apex) => new.then(|| Serial(now_unix())),
                // What it holds now is not what its last serial stood for.
                None if self.gone.remove(&apex) => self.serials.advance(&apex),
                None if new => Some(self.serials.serial_at_start(&apex, digest(), now_unix())),
                None if changed => self.serials.advance(&apex),
                None => None,
            };
            if changed || new {
                self.serials.note_digest(&apex, digest());
            }
            if let Some(serial) = serial.filter(|serial| *serial != soa.serial) {
                self.engine.set_serial(&mut update.patch, &apex, Soa { serial, ..soa })?;
            }
            self.started.insert(apex);
        }
        Ok(())
    }

    /// What leads from the snapshot in force to the next one, for incremental transfers.
    fn record_differences(
        &mut self,
        update: &Update,
        zones: &BTreeSet<OwnerName>,
        removed: &BTreeSet<OwnerName>,
        lag: bool,
    ) {
        let transfers = Arc::clone(self.store.transfers());
        for apex in removed {
            transfers.forget(apex);
        }
        let before = Arc::clone(&self.store.load());
        for apex in zones {
            if self.is_shared(apex) {
                continue;
            }
            let old = authoritative(&before, apex).filter(|_| !removed.contains(apex));
            let Some(new) = authoritative(self.engine.snapshot(), apex).cloned() else { continue };
            let Some(old) = old else {
                self.take_up(&new, self.digests.of(apex, self.engine.snapshot()));
                continue;
            };
            let nothing = ZonePatch::default();
            let patch = update.patch.zones.get(apex).unwrap_or(&nothing);
            if !lag && old.soa() == new.soa() && patch.names.is_empty() && patch.levels.is_none() {
                continue;
            }
            let difference =
                if lag { ZoneDifference::between(old, &new) } else { ZoneDifference::of_patch(old, &new, patch) };
            if old.soa().serial < new.soa().serial {
                let digest = self.digests.of(apex, self.engine.snapshot()).unwrap_or_default();
                self.record_difference(Arc::new(difference), &new, digest);
            } else if !difference.is_empty() || old.soa() != new.soa() {
                transfers.forget(apex);
                tracing::warn!(
                    zone = %apex,
                    serial = %new.soa().serial,
                    "the zone has changed and its serial has not moved forward, so secondaries do not notice"
                );
            }
        }
    }

    /// Goes on with the differences from before the restart where the zone still holds what they led to.
    fn take_up(&mut self, zone: &AuthoritativeZone, digest: Option<u128>) {
        let Some(chain) = self.published.remove(zone.apex()) else { return };
        let Some(last) = chain.differences.last().filter(|_| digest == Some(chain.digest)) else { return };
        let (from, to) = (last.to.clone(), zone.soa().clone());
        if !matches!(from.serial.partial_cmp(&to.serial), Some(Ordering::Less | Ordering::Equal)) {
            return;
        }
        self.store.transfers().recover(chain.differences);
        if from != to {
            // After an end that was not clean the serial jumps, and nothing else.
            let apex = zone.apex().clone();
            let difference = ZoneDifference { apex, from, to, removed: Vec::new(), added: Vec::new() };
            self.record_difference(Arc::new(difference), zone, digest.unwrap_or_default());
        }
    }

    fn record_difference(&self, difference: Arc<ZoneDifference>, zone: &AuthoritativeZone, digest: u128) {
        let transfers = self.store.transfers();
        let begins = transfers.last(zone.apex()).is_none();
        transfers.record(Arc::clone(&difference), zone);
        if let Some(state) = &self.differences {
            state.record_difference(Recorded { difference, digest, begins });
        }
    }

    fn record(&self, update: &Update, reason: &str) {
        let generation = self.engine.snapshot().generation().0;
        let at = now();
        for change in &update.changes {
            let before = self.engine.shown(&change.owner, change.before.as_ref());
            let after = self.engine.shown(&change.owner, change.after.as_ref());
            if before != after {
                let (apex, owner) = (change.apex.clone(), change.owner.clone());
                let change = Change { at, generation, apex, owner, before, after, reason: reason.to_owned() };
                self.history.record(change);
            }
        }
    }

    /// What is known and what follows from it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where the answers come from.
    pub fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    /// What changed when and why.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The state directory, if there is one.
    pub fn state(&self) -> Option<&Arc<StateDirectory>> {
        self.state.as_ref()
    }
}

fn authoritative<'s>(snapshot: &'s Snapshot, apex: &OwnerName) -> Option<&'s Arc<AuthoritativeZone>> {
    snapshot.authoritative(apex)
}

/// True if a zone that is served holds something else in the next snapshot.
fn is_other(served: &Snapshot, next: &Snapshot, apex: &OwnerName) -> bool {
    let (Some(old), Some(new)) = (authoritative(served, apex), authoritative(next, apex)) else { return false };
    !Arc::ptr_eq(old, new) && (old.soa() != new.soa() || !ZoneDifference::between(old, new).is_empty())
}

/// The time now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Unix time as the serial of a zone that was never seen.
pub(crate) fn now_unix() -> u32 {
    // Serials wrap, and so does this in 2106.
    u32::try_from(now().0 / 1000 % (1 << 32)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mcdns_core::{
        check::zone,
        dns::{Serial, master},
        records::{StaticZone, ZoneOptions},
    };
    use mcdns_state::StateError;

    use super::*;

    /// Options with one static zone: the SOA with this serial, and these records.
    fn options(serial: u32, records: &[&str]) -> Options {
        let apex: OwnerName = "example.com".parse().expect("a name");
        let text = format!(
            "@ 3600 IN SOA ns1 hostmaster {serial} 3600 600 604800 30\n@ 3600 IN NS ns1\nns1 3600 IN A 192.0.2.1\n{}\n",
            records.join("\n")
        );
        let (records, _) = master::read(&text, &"zone".into(), &apex, &mut |_, _| Err(String::new()));
        let contents = zone::assemble(&apex, records).0.expect("a zone");
        let names = contents.names().map(|(owner, entry)| (owner, entry.rrsets)).collect();
        let static_zone = Some(Arc::new(StaticZone { names, soa: contents.soa }));
        let soa = mcdns_core::records::SoaOptions::default();
        Options { zones: vec![ZoneOptions { apex, name_servers: Vec::new(), soa, static_zone }], ..Options::default() }
    }

    fn federation(state: &std::path::Path) -> Result<Federation, StateError> {
        let (state, recovered, _) = StateDirectory::open(state, HistoryLimits::default())?;
        let mut federation = Federation::new(options(1, &["a 60 IN A 192.0.2.10"]), HistoryLimits::default());
        federation.recover(Arc::new(state), recovered).expect("nothing to take up");
        Ok(federation)
    }

    /// As much as is done of a change when an error ends it before it is served.
    fn fail_with(federation: &mut Federation, options: Options) {
        let update = federation.engine.set_options(options, Some(now()));
        federation.digests.apply(&update);
    }

    /// Owner names and types that go and come from one serial to another, by difference.
    fn differences(federation: &Federation, from: u32, to: u32) -> Vec<[Vec<String>; 2]> {
        let apex = "example.com".parse().expect("a name");
        let chain = federation.store.transfers().between(&apex, Serial(from), Serial(to)).unwrap_or_default();
        let told = |list: &[(OwnerName, mcdns_core::dns::Rrset)]| {
            list.iter().map(|(owner, rrset)| format!("{owner} {}", rrset.record_type)).collect()
        };
        chain.iter().map(|difference| [told(&difference.removed), told(&difference.added)]).collect()
    }

    #[test]
    fn after_a_change_that_failed_the_next_difference_has_both() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let mut federation = federation(&state).expect("a state directory");
        federation.observe(&[]).expect("served");
        fail_with(&mut federation, options(2, &["b 60 IN A 192.0.2.11"]));
        let both = options(3, &["b 60 IN A 192.0.2.11", "c 60 IN A 192.0.2.12"]);
        federation.set_options(both.clone()).expect("served");
        let told =
            [vec!["a.example.com A".to_owned()], vec!["b.example.com A".to_owned(), "c.example.com A".to_owned()]];
        assert_eq!(differences(&federation, 1, 3), std::slice::from_ref(&told));

        // The one after that is as small as its change.
        let mut more = vec!["b 60 IN A 192.0.2.11", "c 60 IN A 192.0.2.12"];
        more.push("d 60 IN A 192.0.2.13");
        federation.set_options(options(4, &more)).expect("served");
        let last = [Vec::new(), vec!["d.example.com A".to_owned()]];
        assert_eq!(differences(&federation, 1, 4), [told.clone(), last.clone()]);

        // So it stands in the state directory.
        federation.release().expect("written");
        let mut again = self::federation(&state).expect("a state directory");
        again.engine = Engine::new(options(4, &more));
        again.observe(&[]).expect("served");
        assert_eq!(differences(&again, 1, 4), [told, last]);
    }

    #[test]
    fn a_change_that_failed_counts_with_the_next_observation_even_if_that_brings_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut federation = federation(&folder.path().join("state")).expect("a state directory");
        federation.observe(&[]).expect("served");
        fail_with(&mut federation, options(2, &[]));
        federation.observe(&[]).expect("served");
        assert_eq!(differences(&federation, 1, 2), [[vec!["a.example.com A".to_owned()], Vec::new()]]);
        let gone = Options { zones: Vec::new(), ..Options::default() };
        fail_with(&mut federation, gone);
        federation.observe(&[]).expect("served");
        assert_eq!(federation.store.load().zones().len(), 0);
        assert!(differences(&federation, 1, 2).is_empty(), "of a zone that is gone");
    }
}
