//! Zones whose transfers are of another generation than their answers.
//!
//! Where several servers of one zone must give equal contents for equal serials, answers are always the newest and
//! transfers wait until a generation is published: the zone is held here as it was then.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use mcdns_core::{answer::AuthoritativeZone, dns::OwnerName};

/// The published generation of every zone that has one of its own. A request for a transfer takes a lock for as long
/// as it takes to copy a pointer; nothing else does.
#[derive(Debug, Default)]
pub struct PublishedZones {
    zones: RwLock<BTreeMap<OwnerName, Option<Arc<AuthoritativeZone>>>>,
}

impl PublishedZones {
    /// Transfers of the zone wait for a generation to be published.
    pub fn hold_back(&self, apex: &OwnerName) {
        self.write(|zones| _ = zones.entry(apex.clone()).or_default());
    }

    /// Transfers of the zone are of this generation from now on.
    pub fn publish(&self, zone: &Arc<AuthoritativeZone>) {
        self.write(|zones| _ = zones.insert(zone.apex().clone(), Some(Arc::clone(zone))));
    }

    /// Transfers of the zone are of what is answered.
    pub fn forget(&self, apex: &OwnerName) {
        self.write(|zones| _ = zones.remove(apex));
    }

    /// What a transfer of the zone that is answered as `served` gives; none while nothing is published.
    pub(crate) fn generation(&self, served: &Arc<AuthoritativeZone>) -> Option<Arc<AuthoritativeZone>> {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        zones.get(served.apex()).map_or_else(|| Some(Arc::clone(served)), Clone::clone)
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<OwnerName, Option<Arc<AuthoritativeZone>>>)) {
        // Every change is a single call, so another thread's panic leaves the map whole.
        change(&mut self.zones.write().unwrap_or_else(PoisonError::into_inner));
    }
}
