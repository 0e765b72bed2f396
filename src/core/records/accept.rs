//! Applies a patch, and what can be applied of one that is refused.
//!
//! A refused patch is a fault of this room. It must cost the name at fault and nothing else, so everything else is
//! applied piece by piece.

use std::collections::BTreeMap;

use super::update::NameChange;
use crate::{
    answer::{Patch, PatchError, Snapshot, ZonePatch},
    dns::OwnerName,
};

/// What came of a patch.
pub(super) struct Accepted {
    pub(super) snapshot: Snapshot,
    /// What was applied.
    pub(super) patch: Patch,
    /// The changes among what was applied.
    pub(super) changes: Vec<NameChange>,
    /// Why the rest was not.
    pub(super) refused: Vec<PatchError>,
}

/// Applies all of `patch` that `snapshot` takes.
pub(super) fn accept(snapshot: &Snapshot, patch: Patch, changes: Vec<NameChange>) -> Accepted {
    if patch.is_empty() {
        return Accepted { snapshot: snapshot.clone(), patch, changes, refused: Vec::new() };
    }
    match snapshot.apply(&patch) {
        Ok(snapshot) => Accepted { snapshot, patch, changes, refused: Vec::new() },
        Err(_) => piece_by_piece(snapshot, patch, changes),
    }
}

fn piece_by_piece(snapshot: &Snapshot, patch: Patch, changes: Vec<NameChange>) -> Accepted {
    let mut accepted = Accepted { snapshot: snapshot.clone(), patch: Patch::default(), changes, refused: Vec::new() };
    let Patch { removed_zones, zones } = patch;
    if accepted.take(&Patch { removed_zones: removed_zones.clone(), ..Patch::default() }) {
        accepted.patch.removed_zones = removed_zones;
    }
    for (apex, ZonePatch { soa, levels, names }) in zones {
        let frame = ZonePatch { soa, levels, names: BTreeMap::new() };
        if !accepted.take(&of_zone(&apex, frame.clone())) {
            continue;
        }
        let mut kept = frame;
        for (name, entry) in names {
            let alone = ZonePatch { names: BTreeMap::from([(name.clone(), entry.clone())]), ..ZonePatch::default() };
            if accepted.take(&of_zone(&apex, alone)) {
                kept.names.insert(name, entry);
            }
        }
        accepted.patch.zones.insert(apex, kept);
    }
    let applied = &accepted.patch.zones;
    let is_applied =
        |change: &NameChange| applied.get(&change.apex).is_some_and(|zone| zone.names.contains_key(&change.owner));
    accepted.changes.retain(is_applied);
    accepted
}

impl Accepted {
    /// Applies one piece; false if it is refused.
    fn take(&mut self, piece: &Patch) -> bool {
        match self.snapshot.apply(piece) {
            Ok(snapshot) => {
                self.snapshot = snapshot;
                true
            }
            Err(error) => {
                self.refused.push(error);
                false
            }
        }
    }
}

fn of_zone(apex: &OwnerName, zone: ZonePatch) -> Patch {
    Patch { zones: BTreeMap::from([(apex.clone(), zone)]), ..Patch::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{Entry, Soa},
        dns::{RecordType, Rrset, Serial},
    };

    fn name(text: &str) -> OwnerName {
        OwnerName::parse(text).expect("a name")
    }

    #[test]
    fn a_fault_at_one_name_costs_no_other() {
        let address = || Rrset::new(RecordType::A, 60, vec![Box::new([192, 0, 2, 1])]);
        let soa = Soa {
            primary: name("ns.test"),
            contact: name("admin.test"),
            serial: Serial(1),
            refresh: 1,
            retry: 1,
            expire: 1,
            negative_ttl: 1,
            ttl: 1,
        };
        let names = BTreeMap::from([
            (name("good.test"), Some(Entry::fixed(vec![address()]))),
            (name("twice.test"), Some(Entry::fixed(vec![address(), address()]))),
            (name("outside.example"), Some(Entry::fixed(vec![address()]))),
        ]);
        let patch = of_zone(&name("test"), ZonePatch { soa: Some(soa), levels: None, names });
        let change = |owner: &str| NameChange { apex: name("test"), owner: name(owner), before: None, after: None };
        let accepted = accept(&Snapshot::default(), patch, vec![change("good.test"), change("twice.test")]);
        let zone = accepted.snapshot.zone(&name("test")).expect("the zone is served");
        assert!(zone.entry(&name("good.test")).is_some());
        assert_eq!((accepted.refused.len(), accepted.changes.len()), (2, 1));
        assert_eq!(accepted.patch.zones[&name("test")].names.len(), 1);
    }
}
