//! What a publisher remembers of its zones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcdns_core::dns::OwnerName;
use tokio::sync::{RwLock, watch};

use crate::{names::Names, wire::Wire};

/// Revisions of our own that are remembered where nobody watches.
const OWN_REVISIONS: usize = 4_096;

/// Where a reading was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) revision: i64,
    /// etcd's number of the cluster; another one has other revisions.
    pub(crate) cluster: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    zones: Mutex<BTreeMap<OwnerName, Zone>>,
    /// Held for reading while something is written: whoever has it for writing knows all our revisions.
    pub(crate) writing: Arc<RwLock<()>>,
}

#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) names: Names,
    /// Of the last reading.
    position: watch::Sender<Option<Position>>,
    /// Revisions that we made.
    own: BTreeSet<i64>,
}

impl Zone {
    /// One of which nothing is known.
    pub(crate) fn new(wire: &Wire, apex: &OwnerName) -> Self {
        Self { names: Names::new(&wire.prefix, apex), position: watch::Sender::new(None), own: BTreeSet::new() }
    }
}

impl State {
    pub(crate) fn zones(&self) -> MutexGuard<'_, BTreeMap<OwnerName, Zone>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a reading of a zone.
    pub(crate) fn was_read(&self, wire: &Wire, apex: &OwnerName, names: Names, position: Position) {
        let mut zones = self.zones();
        let zone = zones.entry(apex.clone()).or_insert_with(|| Zone::new(wire, apex));
        zone.names = names;
        zone.position.send_replace(Some(position));
    }

    /// The position of the last reading, now and later.
    pub(crate) fn position(&self, wire: &Wire, apex: &OwnerName) -> watch::Receiver<Option<Position>> {
        let mut zones = self.zones();
        let zone = zones.entry(apex.clone()).or_insert_with(|| Zone::new(wire, apex));
        // A watch begins with a reading that is made after it was asked for.
        zone.position.send_replace(None);
        zone.position.subscribe()
    }

    /// We made this revision.
    pub(crate) fn wrote(&self, apex: &OwnerName, revision: i64) {
        if let Some(zone) = self.zones().get_mut(apex) {
            zone.own.insert(revision);
            if zone.own.len() > OWN_REVISIONS && zone.position.receiver_count() == 0 {
                zone.own.pop_first();
            }
        }
    }

    /// Revisions that we made, of which those up to this one are forgotten.
    pub(crate) fn own_revisions(&self, apex: &OwnerName, seen: i64) -> BTreeSet<i64> {
        let mut zones = self.zones();
        let Some(zone) = zones.get_mut(apex) else { return BTreeSet::new() };
        let later = zone.own.split_off(&seen.saturating_add(1));
        std::mem::replace(&mut zone.own, later)
    }
}
