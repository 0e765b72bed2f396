//! All zones at one generation, and the way to the next.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashTable;
use thiserror::Error;

use crate::{
    check::zone::ZoneContents,
    dns::{OwnerName, RecordType, Rrset},
};

use super::{
    node::encoded_length,
    other::{OtherSlot, OtherZone},
    patch::{Entry, Generation, Levels, Patch, Soa},
    query_name::{QueryName, name_hash},
    zone::AuthoritativeZone,
};

/// Octets of records that one RRset may have: a DNS message has 65,535 (RFC 1035 section 4.2.2), less its header,
/// the longest question and an OPT record.
pub(crate) const MAX_RRSET: usize = 65_535 - 12 - 259 - 11;
/// Longest label, in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// Apexes with so many labels or more are not told apart in [`ZoneSet::depths`].
const DEEP: usize = 63;

/// All zones that are served, at one [`Generation`]. A clone is cheap and shares everything.
///
/// It starts empty and changes only by [`Patch`]es; applying one to `&self` leaves the snapshot before as it was,
/// and costs in proportion to the patch, not to the zones. Which patches led to a snapshot does not matter: equal
/// content gives equal answers.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    generation: Generation,
    zones: Arc<ZoneSet>,
}

/// A zone, by how it finds its answers.
#[derive(Debug, Clone)]
pub enum Zone {
    /// Its names are held here.
    Authoritative(Arc<AuthoritativeZone>),
    /// It has an answer function of its own.
    Other(Arc<dyn OtherZone>),
}

/// Why a patch was not applied. Nothing of it was; the patch is at fault, and trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// A zone cannot answer without an SOA.
    #[error("the zone {apex} is new and has no SOA; a patch that adds a zone must carry one")]
    MissingSoa {
        /// The zone.
        apex: OwnerName,
    },
    /// The name belongs to another zone or to none.
    #[error("the name {name} is not at or below the apex {apex}")]
    OutsideZone {
        /// The zone.
        apex: OwnerName,
        /// The name.
        name: OwnerName,
    },
    /// The SOA has its own place in a patch.
    #[error("the entry of {name} has an SOA; the SOA of a zone belongs beside its names")]
    SoaInEntry {
        /// The name.
        name: OwnerName,
    },
    /// Two RRsets of one type are one RRset (RFC 2181 section 5).
    #[error("the entry of {name} has two RRsets of type {record_type}; they must be one")]
    DuplicateRrset {
        /// The name.
        name: OwnerName,
        /// The type that is there twice.
        record_type: RecordType,
    },
    /// No message could carry the RRset.
    #[error("the {record_type} RRset of {name} takes {octets} octets; at most {MAX_RRSET} fit into a message")]
    RrsetTooLarge {
        /// The name.
        name: OwnerName,
        /// The type.
        record_type: RecordType,
        /// Octets of its records as they are sent.
        octets: usize,
    },
    /// The names of regions belong to the zone, not to one global name.
    #[error("the apex {apex} cannot climb: its levels would be the regions themselves")]
    ClimbAtApex {
        /// The zone.
        apex: OwnerName,
    },
    /// A region or an availability zone that is no label.
    #[error("`{label}` is no level of the zone {apex}: a label has 1 to 63 octets")]
    BadLevel {
        /// The zone.
        apex: OwnerName,
        /// What was given.
        label: Box<str>,
    },
}

/// Zones by apex.
#[derive(Debug, Clone, Default)]
struct ZoneSet {
    by_apex: HashTable<Slot>,
    /// Zones of other kinds; those that share their apex with an authoritative zone stand here alone.
    others: BTreeMap<OwnerName, OtherSlot>,
    /// Bit n is set if some apex has n labels; bit 63 stands for all above as well.
    depths: u64,
}

/// A zone with the hash of its apex, which is compared for every query.
#[derive(Debug, Clone)]
struct Slot {
    hash: u64,
    zone: Zone,
}

impl Snapshot {
    /// How many patches led here.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The next snapshot. Whoever holds this one is not disturbed. An empty patch gives the same generation.
    pub fn apply(&self, patch: &Patch) -> Result<Self, PatchError> {
        self.clone().apply_in_place(patch)
    }

    /// The same for a snapshot that nobody else holds, for loading in several steps: parts that are not shared are
    /// changed where they are, which keeps memory from being needed twice.
    pub fn apply_in_place(mut self, patch: &Patch) -> Result<Self, PatchError> {
        if patch.is_empty() {
            return Ok(self);
        }
        self.check(patch)?;
        let zones = Arc::make_mut(&mut self.zones);
        for apex in &patch.removed_zones {
            zones.remove(apex);
        }
        for (apex, changes) in &patch.zones {
            match (zones.get_mut(apex), &changes.soa) {
                (Some(zone), _) => Arc::make_mut(zone).change(changes),
                (None, Some(soa)) => {
                    let mut zone = AuthoritativeZone::new(apex, soa);
                    zone.change(changes);
                    zones.insert(zone);
                }
                // Checked above.
                (None, None) => {}
            }
        }
        zones.note_depths();
        self.generation.0 += 1;
        Ok(self)
    }

    /// The next snapshot with this zone in the place of what was served under its apex: the same as a patch that
    /// takes the zone away and brings it anew, for a tenth of the time and memory.
    pub fn with_zone(mut self, contents: &ZoneContents) -> Result<Self, PatchError> {
        let zone = AuthoritativeZone::load(contents)?;
        let zones = Arc::make_mut(&mut self.zones);
        zones.insert(zone);
        zones.note_depths();
        self.generation.0 += 1;
        Ok(self)
    }

    /// The next snapshot with this zone in the place of any of another kind under its apex. Beside an authoritative zone
    /// it answers for the names that this does not have ([`Snapshot::other_zone`]). The generation stays, which counts
    /// patches.
    #[must_use]
    pub fn with_other(mut self, zone: Arc<dyn OtherZone>) -> Self {
        let zones = Arc::make_mut(&mut self.zones);
        zones.insert_other(OtherSlot::new(zone));
        zones.note_depths();
        self
    }

    /// The next snapshot without the zone of another kind that has this apex.
    #[must_use]
    pub fn without_other(mut self, apex: &OwnerName) -> Self {
        if self.zones.others.contains_key(apex) {
            let zones = Arc::make_mut(&mut self.zones);
            zones.remove_other(apex);
            zones.note_depths();
        }
        self
    }

    /// The zone of another kind with this apex, be there an authoritative zone with it or not.
    pub fn other_zone(&self, apex: &OwnerName) -> Option<&Arc<dyn OtherZone>> {
        self.zones.others.get(apex).map(|slot| &slot.zone)
    }

    /// All zones of other kinds, sorted by apex.
    pub fn other_zones(&self) -> impl ExactSizeIterator<Item = &Arc<dyn OtherZone>> {
        self.zones.others.values().map(|slot| &slot.zone)
    }

    /// The authoritative zone with this apex.
    pub fn authoritative(&self, apex: &OwnerName) -> Option<&Arc<AuthoritativeZone>> {
        self.zone(apex).and_then(Zone::authoritative)
    }

    /// All zones, sorted by apex.
    pub fn zones(&self) -> impl ExactSizeIterator<Item = &Zone> {
        let mut zones: Vec<&Zone> = self.zones.by_apex.iter().map(|slot| &slot.zone).collect();
        zones.sort_by(|a, b| a.apex().cmp(b.apex()));
        zones.into_iter()
    }

    /// The zone with this apex.
    pub fn zone(&self, apex: &OwnerName) -> Option<&Zone> {
        self.zones.get(apex)
    }

    /// The zone that answers for `name`, the one with the longest apex at or above it, and the label of `name` at
    /// which its apex starts. A question for DS at an apex goes to the zone above, where that is served too
    /// (RFC 4035 section 3.1.4.1).
    #[inline]
    pub fn find_zone(&self, name: &QueryName, record_type: RecordType) -> Option<(&Zone, usize)> {
        let zones = &*self.zones;
        let labels = name.labels();
        // Apexes with up to as many labels as the name. Beyond 62 labels each number is tried.
        let mut depths = zones.depths & (u64::MAX >> 63_usize.saturating_sub(labels));
        let mut deep = labels;
        let mut own = None;
        while let Some(highest) = depths.checked_ilog2() {
            let mut depth = highest as usize;
            if depth < DEEP || deep == DEEP {
                depths &= !(1 << depth);
            } else {
                depth = deep;
                deep -= 1;
            }
            let label = labels - depth;
            let suffix = name.suffix(label);
            if let Some(zone) = zones.find(name.hash(label), suffix) {
                if label > 0 || record_type != RecordType::DS {
                    return Some((zone, label));
                }
                own = Some((zone, label));
            }
        }
        own
    }

    /// Refuses what could not be stored or answered.
    fn check(&self, patch: &Patch) -> Result<(), PatchError> {
        for (apex, changes) in &patch.zones {
            let is_new = self.authoritative(apex).is_none() || patch.removed_zones.contains(apex);
            if is_new && changes.soa.is_none() {
                return Err(PatchError::MissingSoa { apex: apex.clone() });
            }
            if let Some(levels) = &changes.levels {
                check_levels(apex, levels)?;
            }
            for (name, entry) in &changes.names {
                if !name.is_at_or_below(apex) {
                    return Err(PatchError::OutsideZone { apex: apex.clone(), name: name.clone() });
                }
                if let Some(entry) = entry {
                    if name == apex && entry.climb.is_some() {
                        return Err(PatchError::ClimbAtApex { apex: apex.clone() });
                    }
                    check_entry(name, entry)?;
                }
            }
        }
        Ok(())
    }
}

impl Zone {
    /// The name of the zone.
    #[inline]
    pub fn apex(&self) -> &OwnerName {
        match self {
            Self::Authoritative(zone) => zone.apex(),
            Self::Other(zone) => zone.apex(),
        }
    }

    /// The SOA.
    pub fn soa(&self) -> &Soa {
        match self {
            Self::Authoritative(zone) => zone.soa(),
            Self::Other(zone) => zone.soa(),
        }
    }

    /// The zone, if its names are held here.
    pub fn authoritative(&self) -> Option<&Arc<AuthoritativeZone>> {
        match self {
            Self::Authoritative(zone) => Some(zone),
            Self::Other(_) => None,
        }
    }

    /// Labels of the level names; zones of other kinds have none.
    pub fn levels(&self) -> &Levels {
        static NONE: Levels = Levels { regions: BTreeMap::new() };
        self.authoritative().map_or(&NONE, |zone| zone.levels())
    }

    /// See [`AuthoritativeZone::entry`]; zones of other kinds have no entries.
    pub fn entry(&self, name: &OwnerName) -> Option<Entry> {
        self.authoritative()?.entry(name)
    }

    /// See [`AuthoritativeZone::entries`].
    pub fn entries(&self) -> impl Iterator<Item = (OwnerName, Entry)> {
        self.authoritative().into_iter().flat_map(|zone| zone.entries())
    }

    /// See [`AuthoritativeZone::expanded`].
    pub fn expanded(&self) -> Vec<(OwnerName, Vec<Rrset>)> {
        self.authoritative().map_or_else(Vec::new, |zone| zone.expanded())
    }

    /// See [`AuthoritativeZone::tag`].
    pub fn tag(&self) -> u64 {
        match self {
            Self::Authoritative(zone) => zone.tag(),
            Self::Other(zone) => name_hash(zone.apex().as_wire()) | 1,
        }
    }
}

impl ZoneSet {
    fn get(&self, apex: &OwnerName) -> Option<&Zone> {
        let slot = self.by_apex.find(name_hash(apex.as_wire()), |slot| slot.zone.apex() == apex);
        slot.map(|slot| &slot.zone)
    }

    /// The zone whose apex, in wire format and lower case, is `apex`.
    #[inline]
    fn find(&self, hash: u64, apex: &[u8]) -> Option<&Zone> {
        // Apexes are compared outside the search, whose registers would be saved around the comparison.
        let slot = self.by_apex.find(hash, |slot| slot.hash == hash)?;
        match &slot.zone {
            Zone::Authoritative(zone) if zone.apex().as_wire() == apex => Some(&slot.zone),
            _ => self.find_another(hash, apex),
        }
    }

    /// The same for zones of other kinds, and where another apex has the same hash.
    #[cold]
    #[inline(never)]
    fn find_another(&self, hash: u64, apex: &[u8]) -> Option<&Zone> {
        self.by_apex.find(hash, |slot| slot.zone.apex().as_wire() == apex).map(|slot| &slot.zone)
    }

    fn get_mut(&mut self, apex: &OwnerName) -> Option<&mut Arc<AuthoritativeZone>> {
        match &mut self.by_apex.find_mut(name_hash(apex.as_wire()), |slot| slot.zone.apex() == apex)?.zone {
            Zone::Authoritative(zone) => Some(zone),
            Zone::Other(_) => None,
        }
    }

    /// Puts the zone in the place of what is there.
    fn insert(&mut self, zone: AuthoritativeZone) {
        let hash = zone.apex_hash();
        self.put(Slot { hash, zone: Zone::Authoritative(Arc::new(zone)) });
    }

    fn insert_other(&mut self, other: OtherSlot) {
        let apex = other.zone.apex().clone();
        if self.get_mut(&apex).is_none() {
            self.put(Slot { hash: other.hash, zone: Zone::Other(Arc::clone(&other.zone)) });
        }
        self.others.insert(apex, other);
    }

    /// Removes the authoritative zone; one of another kind with its apex comes to light.
    fn remove(&mut self, apex: &OwnerName) {
        if self.get_mut(apex).is_none() {
            return;
        }
        match self.others.get(apex) {
            Some(other) => self.put(Slot { hash: other.hash, zone: Zone::Other(Arc::clone(&other.zone)) }),
            None => self.take(apex),
        }
    }

    fn remove_other(&mut self, apex: &OwnerName) {
        self.others.remove(apex);
        if self.get_mut(apex).is_none() {
            self.take(apex);
        }
    }

    fn put(&mut self, slot: Slot) {
        match self.by_apex.find_mut(slot.hash, |other| other.zone.apex() == slot.zone.apex()) {
            Some(place) => *place = slot,
            None => {
                self.by_apex.insert_unique(slot.hash, slot, |slot| slot.hash);
            }
        }
    }

    fn take(&mut self, apex: &OwnerName) {
        if let Ok(found) = self.by_apex.find_entry(name_hash(apex.as_wire()), |slot| slot.zone.apex() == apex) {
            found.remove();
        }
    }

    fn note_depths(&mut self) {
        let labels = |slot: &Slot| slot.zone.apex().label_count().min(DEEP);
        self.depths = self.by_apex.iter().fold(0, |depths, slot| depths | 1 << labels(slot));
    }
}

fn check_levels(apex: &OwnerName, levels: &Levels) -> Result<(), PatchError> {
    let labels = levels.regions.keys().chain(levels.regions.values().flatten());
    match labels.into_iter().find(|label| label.is_empty() || label.len() > MAX_LABEL) {
        Some(label) => Err(PatchError::BadLevel { apex: apex.clone(), label: label.clone() }),
        None => Ok(()),
    }
}

fn check_entry(name: &OwnerName, entry: &Entry) -> Result<(), PatchError> {
    for (index, rrset) in entry.rrsets.iter().enumerate() {
        let record_type = rrset.record_type;
        if record_type == RecordType::SOA {
            return Err(PatchError::SoaInEntry { name: name.clone() });
        }
        if entry.rrsets[..index].iter().any(|other| other.record_type == record_type) {
            return Err(PatchError::DuplicateRrset { name: name.clone(), record_type });
        }
        let octets = encoded_length(rrset);
        if octets > MAX_RRSET {
            return Err(PatchError::RrsetTooLarge { name: name.clone(), record_type, octets });
        }
    }
    Ok(())
}
