//! A publisher that keeps everything in memory: for tests, for dry runs, and as the shortest example of one.
//!
//! It holds plain RRsets of every type and marks whose they are by TXT records, as a DNS provider would. Several
//! publishers of different managers can share one [`Store`], and a [`Fault`] can be set for each call: the call fails
//! before or after it did its work, does half of it, or says that it did what it did not.

mod fault;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, CurrentZone, Group, ManagerId, Ownership, RecordSet, Standing, WantedName},
};
use mcdns_publish::{
    ApplyReport, Batch, Capabilities, Outcome, PublishError, Publisher, ReadName, Unpublishable,
    ownership::{KNOWN_TYPES, MarkStep, TxtRegistry},
};

pub use fault::Fault;

/// What one or several publishers write to.
#[derive(Debug, Clone, Default)]
pub struct Store(Arc<Mutex<Inner>>);

type Sets = BTreeMap<OwnerName, Vec<RecordSet>>;

#[derive(Debug, Default)]
struct Inner {
    zones: BTreeMap<OwnerName, Sets>,
    calls: usize,
    writes: usize,
    faults: BTreeMap<usize, Fault>,
    /// Names whose change the system refuses, with its words.
    poisoned: BTreeMap<OwnerName, String>,
    /// Names whose change comes to nothing, with nothing said against it.
    ignored: BTreeSet<OwnerName>,
}

/// The publisher.
#[derive(Debug)]
pub struct Memory {
    name: String,
    capabilities: Capabilities,
    registry: TxtRegistry,
    store: Store,
}

impl Store {
    /// A store with these zones, empty.
    pub fn new(zones: impl IntoIterator<Item = OwnerName>) -> Self {
        let inner = Inner { zones: zones.into_iter().map(|apex| (apex, Sets::new())).collect(), ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Everything in a zone, ownership records included.
    pub fn sets(&self, apex: &OwnerName) -> BTreeMap<OwnerName, Vec<RecordSet>> {
        self.lock().zones.get(apex).cloned().unwrap_or_default()
    }

    /// Puts a set there as somebody else would, in place of one with the same type and identifier.
    pub fn put(&self, apex: &OwnerName, owner: OwnerName, set: RecordSet) {
        if let Some(zone) = self.lock().zones.get_mut(apex) {
            put(zone, owner, set);
        }
    }

    /// Takes everything at a name away, as somebody else would.
    pub fn take(&self, apex: &OwnerName, owner: &OwnerName) {
        if let Some(zone) = self.lock().zones.get_mut(apex) {
            zone.remove(owner);
        }
    }

    /// Calls so far: readings and writings.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Calls so far that changed something.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// What goes wrong with the call after so many more (0 is the next).
    pub fn fail(&self, calls: usize, fault: Fault) {
        let mut inner = self.lock();
        let at = inner.calls + calls;
        inner.faults.insert(at, fault);
    }

    /// Batches with this name are refused as a whole; `None` ends it.
    pub fn poison(&self, owner: &OwnerName, words: Option<&str>) {
        let mut inner = self.lock();
        match words {
            Some(words) => inner.poisoned.insert(owner.clone(), words.to_owned()),
            None => inner.poisoned.remove(owner),
        };
    }

    /// Changes of this name come to nothing, and nothing is said against them; false ends it.
    pub fn ignore(&self, owner: &OwnerName, ignored: bool) {
        let mut inner = self.lock();
        if ignored {
            inner.ignored.insert(owner.clone());
        } else {
            inner.ignored.remove(owner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// A publisher with its marks in our own form.
    pub fn new(name: &str, manager: ManagerId, store: Store) -> Self {
        Self::with_registry(name, TxtRegistry::new(manager), store)
    }

    /// A publisher with these marks.
    pub fn with_registry(name: &str, registry: TxtRegistry, store: Store) -> Self {
        let capabilities = Capabilities { apex_ns: true, max_groups: 100, ..Capabilities::plain(KNOWN_TYPES) };
        Self { name: name.to_owned(), capabilities, registry, store }
    }

    /// The same that can hold less.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    fn read_now(&self, apex: &OwnerName) -> Result<CurrentZone, PublishError> {
        let mut inner = self.store.lock();
        if let Some(fault) = inner.next_call() {
            return Err(fault.error());
        }
        inner.zone(apex).map(|zone| self.understand(apex, zone))
    }

    fn understand(&self, apex: &OwnerName, zone: &Sets) -> CurrentZone {
        let sets = zone.iter().flat_map(|(owner, sets)| sets.iter().map(move |set| (owner.clone(), set.clone())));
        // What the system itself keeps is nobody's business.
        let theirs = |(owner, set): &(OwnerName, RecordSet)| owner == apex && set.record_type == RecordType::SOA;
        self.registry.read(apex, sets.filter(|set| !theirs(set)))
    }

    fn apply_now(&self, batch: &Batch) -> Result<ApplyReport, PublishError> {
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let mut inner = self.store.lock();
        let fault = inner.next_call();
        match &fault {
            Some(Fault::Lie) => {
                let now = |change: &Change| change.after().map(|after| self.standing(&batch.apex, after));
                return Ok(ApplyReport::all_done(batch, now));
            }
            Some(fault) if !fault.works() => return Err(fault.error()),
            _ => {}
        }
        for change in &batch.changes {
            if let Some(words) = inner.poisoned.get(change.owner()) {
                return Err(PublishError::Refused { group: None, words: words.clone() });
            }
        }
        let most = match &fault {
            Some(Fault::Half) => batch.changes.len() / 2,
            _ => batch.changes.len(),
        };
        let mut report = ApplyReport::default();
        inner.writes += 1;
        for change in &batch.changes[..most] {
            if inner.ignored.contains(change.owner()) {
                let outcome = Outcome::Unknown("the comparison did not hold".to_owned());
                report.outcomes.insert(change.owner().clone(), outcome);
                continue;
            }
            let zone = inner.zone(&batch.apex)?;
            let outcome = self.change(&batch.apex, zone, change);
            report.outcomes.insert(change.owner().clone(), outcome);
        }
        match fault {
            Some(Fault::Half) | None => Ok(report),
            Some(fault) => Err(fault.error()),
        }
    }

    /// Makes one change, if it still applies.
    fn change(&self, apex: &OwnerName, zone: &mut Sets, change: &Change) -> Outcome {
        let step = match self.registry.step(apex, change.before(), change.after()) {
            Ok(step) => step,
            Err(why) => return Outcome::Refused(why.0),
        };
        let stands = self.understand(apex, &zone_around(zone, change.owner(), &step));
        let stands = stands.names.get(change.owner());
        let there = |set: &RecordSet| stands.is_some_and(|stands| stands.all_sets().any(|(other, _)| other == set));
        let fits = match change.before() {
            // What is created may have others beside it.
            None => stands.is_none_or(|stands| stands.ownership != Ownership::Ours),
            Some(before) => before.group.sets().iter().all(there),
        };
        if !fits {
            return Outcome::Unknown("it was changed meanwhile".to_owned());
        }
        for mark in &step.remove {
            remove(zone, &mark.owner, &mark.set);
        }
        for set in change.before().into_iter().flat_map(|before| before.group.sets()) {
            remove(zone, change.owner(), set);
        }
        for mark in &step.write {
            put(zone, mark.owner.clone(), mark.set.clone());
        }
        for set in change.after().into_iter().flat_map(Group::sets) {
            put(zone, change.owner().clone(), set.clone());
        }
        let now = self.understand(apex, &zone_around(zone, change.owner(), &step));
        Outcome::Done(now.names.get(change.owner()).cloned().map(Box::new))
    }

    fn standing(&self, apex: &OwnerName, after: &Group) -> Standing {
        let mut standing = Standing::new(after.clone(), Ownership::Ours);
        standing.marks = self.registry.marks(apex, after).unwrap_or_default();
        standing
    }
}

impl Publisher for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        let group = Group::of_rrsets(wanted.owner.clone(), &wanted.rrsets);
        // A record without a place for its mark is never written.
        self.registry.marks(&wanted.apex, &group)?;
        Ok(group)
    }

    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>> {
        Box::pin(async { Ok(self.store.lock().zones.keys().cloned().collect()) })
    }

    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>> {
        Box::pin(async { self.read_now(apex) })
    }

    fn read_name<'a>(
        &'a self,
        apex: &'a OwnerName,
        owner: &'a OwnerName,
    ) -> BoxFuture<'a, Result<ReadName, PublishError>> {
        Box::pin(async move {
            let standing = self.read_now(apex)?.names.remove(owner);
            Ok(ReadName::Standing(standing.map(Box::new)))
        })
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>> {
        Box::pin(async { self.apply_now(batch) })
    }
}

impl Inner {
    /// Counts a call; what goes wrong with it.
    fn next_call(&mut self) -> Option<Fault> {
        let fault = self.faults.remove(&self.calls);
        self.calls += 1;
        fault
    }

    fn zone(&mut self, apex: &OwnerName) -> Result<&mut Sets, PublishError> {
        let missing = || PublishError::NoZone { apex: apex.clone(), words: "no such zone".to_owned() };
        self.zones.get_mut(apex).ok_or_else(missing)
    }
}

fn put(zone: &mut Sets, owner: OwnerName, set: RecordSet) {
    let sets = zone.entry(owner).or_default();
    sets.retain(|other| (other.record_type, &other.identifier) != (set.record_type, &set.identifier));
    sets.push(set);
    sets.sort();
}

fn remove(zone: &mut Sets, owner: &OwnerName, set: &RecordSet) {
    if let Some(sets) = zone.get_mut(owner) {
        sets.retain(|other| other != set);
        if sets.is_empty() {
            zone.remove(owner);
        }
    }
}

/// The part of a zone that says how one name stands, so that a change costs no reading of the zone.
fn zone_around(zone: &Sets, owner: &OwnerName, step: &MarkStep) -> Sets {
    let marks = step.keep.iter().chain(&step.write).chain(&step.remove).map(|mark| &mark.owner);
    let places: BTreeSet<&OwnerName> = marks.chain([owner]).collect();
    places.into_iter().filter_map(|place| Some((place.clone(), zone.get(place)?.clone()))).collect()
}
