//! A digest of what a zone holds, to tell after a restart whether anything changed.
//!
//! Each entry is hashed by itself and the hashes are added up, so that a change costs one subtraction and one
//! addition, whatever the size of the zone. The hash is FNV-1a with 128 bits: it must be the same in every
//! build, and nobody gains anything by making two zones collide.

use std::collections::BTreeMap;

use super::update::{NameChange, Update};
use crate::{
    answer::{AuthoritativeZone, Entry, Levels, Snapshot, Soa},
    dns::{OwnerName, Serial},
};

/// Digests of all zones served, kept up to date by each [`Update`].
#[derive(Debug, Clone, Default)]
pub struct ZoneDigests {
    entries: BTreeMap<OwnerName, u128>,
}

impl ZoneDigests {
    /// Takes in what an update changed.
    pub fn apply(&mut self, update: &Update) {
        for apex in &update.patch.removed_zones {
            self.entries.remove(apex);
        }
        for NameChange { apex, owner, before, after } in &update.changes {
            let sum = self.entries.entry(apex.clone()).or_default();
            *sum = sum.wrapping_sub(entry_hash(owner, before.as_ref()));
            *sum = sum.wrapping_add(entry_hash(owner, after.as_ref()));
        }
    }

    /// Digest of everything in the zone but the serial; none if it is not in the snapshot.
    pub fn of(&self, apex: &OwnerName, snapshot: &Snapshot) -> Option<u128> {
        let zone = snapshot.zone(apex)?;
        let entries = self.entries.get(apex).copied().unwrap_or_default();
        Some(entries.wrapping_add(head_hash(zone.soa(), zone.levels())))
    }
}

/// The same of one zone as a whole. Costs as much as it has names.
pub fn zone_digest(zone: &AuthoritativeZone) -> u128 {
    let entries = zone.entries().map(|(owner, entry)| entry_hash(&owner, Some(&entry)));
    entries.fold(head_hash(zone.soa(), zone.levels()), u128::wrapping_add)
}

fn head_hash(soa: &Soa, levels: &Levels) -> u128 {
    let mut hash = Fnv::default();
    let soa = Soa { serial: Serial(0), ..soa.clone() };
    for text in [format!("{soa:?}"), format!("{levels:?}")] {
        hash.add(text.as_bytes());
    }
    hash.0
}

fn entry_hash(owner: &OwnerName, entry: Option<&Entry>) -> u128 {
    let Some(entry) = entry else { return 0 };
    let mut hash = Fnv::default();
    hash.add(owner.as_wire());
    hash.add(&entry.climb.map_or([0; 5], |ttl| {
        let [a, b, c, d] = ttl.to_be_bytes();
        [1, a, b, c, d]
    }));
    for rrset in &entry.rrsets {
        hash.add(&rrset.record_type.0.to_be_bytes());
        hash.add(&rrset.ttl.to_be_bytes());
        for data in rrset.data() {
            hash.add(&data.len().to_be_bytes());
            hash.add(data);
        }
    }
    hash.0
}

/// FNV-1a, 128 bits (draft-eastlake-fnv).
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    fn add(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = (self.0 ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{RecordType, Rrset};

    fn change(owner: &str, before: Option<u8>, after: Option<u8>) -> NameChange {
        let entry = |octet| Entry::fixed(vec![Rrset::new(RecordType::A, 60, vec![Box::new([10, 0, 0, octet])])]);
        NameChange {
            apex: OwnerName::parse("test").expect("a name"),
            owner: OwnerName::parse(owner).expect("a name"),
            before: before.map(entry),
            after: after.map(entry),
        }
    }

    fn digest(changes: &[NameChange]) -> u128 {
        let mut digests = ZoneDigests::default();
        for one in changes {
            digests.apply(&Update { changes: vec![one.clone()], ..Update::default() });
        }
        digests.entries.values().fold(0, |sum, digest| sum.wrapping_add(*digest))
    }

    #[test]
    fn the_way_there_does_not_matter() {
        let straight = digest(&[change("a.test", None, Some(1)), change("b.test", None, Some(2))]);
        let detour = digest(&[
            change("b.test", None, Some(9)),
            change("a.test", None, Some(1)),
            change("b.test", Some(9), Some(2)),
        ]);
        assert_eq!(straight, detour);
        assert_ne!(straight, digest(&[change("a.test", None, Some(2)), change("b.test", None, Some(1))]));
    }
}
