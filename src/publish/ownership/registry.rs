//! Reading and writing ownership records of a whole zone.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::{
    dns::{OwnerName, RecordType, Ttl},
    plan::{Content, CurrentZone, Group, ManagerId, Mark, Ownership, RecordSet, Standing},
};
use sha2::{Digest, Sha256};

use super::{
    naming::{KNOWN_TYPES, Naming},
    seal::{Seal, looks_sealed},
    text::{labels_text, parse_labels},
};
use crate::Unpublishable;

/// TTL of ownership records in seconds: nobody but us looks at them, seldom.
const MARK_TTL: Ttl = 300;
/// Longest character-string (RFC 1035 section 3.3); external-dns reads only the first.
const MAX_STRING: usize = 255;
/// Label that says the name where the mark's own name cannot.
const NAME_LABEL: &str = "mcdns-name";

/// How marks are written and read.
#[derive(Debug)]
pub struct TxtRegistry {
    manager: ManagerId,
    writing: Naming,
    /// Formats that are read beside the one that is written.
    reading: Vec<Naming>,
    seal: Option<Seal>,
    write_sealed: bool,
    /// Earlier names of this manager: theirs is ours.
    former: BTreeSet<String>,
}

/// What becomes of the marks of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkStep {
    /// To be written: new, or other than stored.
    pub write: Vec<Mark>,
    /// Stored as they should be.
    pub keep: Vec<Mark>,
    /// Stored and no longer wanted; delete them by what is stored.
    pub remove: Vec<Mark>,
}

/// Where marks may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkPlaces {
    /// In the form that is written now.
    pub written: BTreeSet<OwnerName>,
    /// In older forms and those of others.
    pub others: BTreeSet<OwnerName>,
}

/// One mark as read.
struct Found {
    mark: Mark,
    /// None where it cannot be decrypted.
    labels: Option<BTreeMap<String, String>>,
    sealed: bool,
}

type MarkKey = (OwnerName, Option<String>);

impl TxtRegistry {
    /// Marks of this manager in our own form, and the plain form of external-dns read as well.
    pub fn new(manager: ManagerId) -> Self {
        let plain = Naming::new("", "", None).ok();
        let reading = plain.into_iter().collect();
        let writing = Naming::own_label();
        Self { manager, writing, reading, seal: None, write_sealed: false, former: BTreeSet::new() }
    }

    /// Writes this form instead. What was written before is read on and rewritten.
    #[must_use]
    pub fn writing(mut self, naming: Naming) -> Self {
        let before = std::mem::replace(&mut self.writing, naming);
        self.reading.insert(0, before);
        self
    }

    /// Reads this form too.
    #[must_use]
    pub fn reading(mut self, naming: Naming) -> Self {
        self.reading.insert(0, naming);
        self
    }

    /// Reads what this key opens, and with `write` writes so.
    #[must_use]
    pub fn sealed(self, seal: Seal, write: bool) -> Self {
        Self { seal: Some(seal), write_sealed: write, ..self }
    }

    /// Takes records of this owner as ours; their marks are rewritten.
    #[must_use]
    pub fn formerly(mut self, owner: &str) -> Self {
        self.former.insert(owner.to_owned());
        self
    }

    /// Whose everything is, from all record sets of a zone.
    pub fn read(&self, apex: &OwnerName, sets: impl IntoIterator<Item = (OwnerName, RecordSet)>) -> CurrentZone {
        let mut marks: BTreeMap<MarkKey, Found> = BTreeMap::new();
        let mut records: BTreeMap<OwnerName, Vec<RecordSet>> = BTreeMap::new();
        let mut perhaps: BTreeMap<MarkKey, Found> = BTreeMap::new();
        for (owner, set) in sets {
            let key = (owner.clone(), set.identifier.clone());
            match self.look(&owner, &set) {
                Some(found) if found.labels.is_some() => {
                    marks.insert(key, found);
                }
                found => {
                    if let Some(found) = found {
                        perhaps.insert(key, found);
                    }
                    records.entry(owner).or_default().push(set);
                }
            }
        }
        // What cannot be decrypted is a mark only where it stands for a record that is there.
        let unreadable: BTreeSet<MarkKey> = records
            .iter()
            .flat_map(|(owner, sets)| sets.iter().map(move |set| (owner, set)))
            .flat_map(|(owner, set)| self.places(apex, owner, set, false))
            .filter(|key| perhaps.contains_key(key))
            .collect();
        for key in unreadable {
            if let (Some(found), Some(sets)) = (perhaps.remove(&key), records.get_mut(&key.0)) {
                sets.retain(|set| *set != found.mark.set);
                marks.insert(key, found);
            }
        }
        records.retain(|_, sets| !sets.is_empty());
        self.match_marks(apex, records, &marks)
    }

    /// The marks that a group needs, and what of the stored ones stays or goes.
    ///
    /// # Errors
    ///
    /// There is no place for a mark in the zone: a record is never written without one.
    pub fn step(
        &self,
        apex: &OwnerName,
        before: Option<&Standing>,
        after: Option<&Group>,
    ) -> Result<MarkStep, Unpublishable> {
        let mut step = MarkStep::default();
        let mut stored: Vec<Mark> = before.map(|before| before.marks.clone()).unwrap_or_default();
        for mark in after.map(|after| self.marks(apex, after)).transpose()?.unwrap_or_default() {
            let same_place = |other: &Mark| other.owner == mark.owner && other.set.identifier == mark.set.identifier;
            match stored.iter().position(same_place).map(|at| stored.remove(at)) {
                Some(known) if self.is_current(&known, &mark) => step.keep.push(known),
                // The new one replaces what is stored at the same place.
                _ => step.write.push(mark),
            }
        }
        step.remove = stored;
        Ok(step)
    }

    /// Every name where the mark of one of these sets may stand, in any form that is read: what one must read besides
    /// the name itself to know whose it is. `written` is where they stand if this version wrote them.
    pub fn mark_places(&self, apex: &OwnerName, owner: &OwnerName, sets: &[RecordSet]) -> MarkPlaces {
        let mut places = MarkPlaces::default();
        for set in sets {
            places.written.extend(self.mark(apex, owner, set).ok().map(|mark| mark.owner));
            for old in [false, true] {
                places.others.extend(self.places(apex, owner, set, old).into_iter().map(|(place, _)| place));
            }
        }
        places.others.retain(|place| !places.written.contains(place));
        places
    }

    /// Where the marks of a name stand that this version wrote, whatever the types: for marks that are left without
    /// their record.
    pub fn written_places(&self, apex: &OwnerName, owner: &OwnerName) -> BTreeSet<OwnerName> {
        let of_type = |record_type: &RecordType| {
            place(&self.writing, apex, owner, *record_type).or_else(|| hashed_place(apex, owner, *record_type))
        };
        KNOWN_TYPES.iter().filter_map(of_type).collect()
    }

    /// The marks of a group as they are written now.
    pub fn marks(&self, apex: &OwnerName, group: &Group) -> Result<Vec<Mark>, Unpublishable> {
        group.sets().iter().map(|set| self.mark(apex, group.owner(), set)).collect()
    }

    fn mark(&self, apex: &OwnerName, owner: &OwnerName, set: &RecordSet) -> Result<Mark, Unpublishable> {
        if !KNOWN_TYPES.contains(&set.record_type) {
            let words = format!("type {} has no ownership records", set.record_type);
            return Err(Unpublishable(words));
        }
        let mut labels = BTreeMap::from([("owner".to_owned(), self.manager.to_string())]);
        let mut own_place = place(&self.writing, apex, owner, set.record_type);
        if own_place.is_none() {
            labels.insert(NAME_LABEL.to_owned(), owner.to_string());
            own_place = hashed_place(apex, owner, set.record_type);
        }
        let place = own_place.ok_or_else(|| Unpublishable("there is no room for its ownership record".to_owned()))?;
        let mut text = labels_text(&labels);
        if let (Some(seal), true) = (&self.seal, self.write_sealed) {
            text = seal.seal(&text).map_err(|error| Unpublishable(error.to_string()))?;
        }
        let mut mark = RecordSet::data(RecordType::TXT, MARK_TTL, [character_strings(&text)]);
        // Where a system holds several sets of a name, the mark is chosen as its set is.
        mark.identifier.clone_from(&set.identifier);
        mark.properties = set.properties.clone();
        mark.properties.retain(|name, _| {
            !matches!(name.as_str(), "alias" | "aws/evaluate-target-health" | "aws/target-hosted-zone")
        });
        if set.identifier.is_none() {
            mark.properties.clear();
        }
        Ok(Mark { owner: place, set: mark })
    }

    /// True if a stored mark says what the new one would.
    fn is_current(&self, stored: &Mark, now: &Mark) -> bool {
        let found = self.look(&stored.owner, &stored.set);
        let properties = stored.set.properties == now.set.properties;
        properties
            && found.is_some_and(|found| {
                let owner = found.labels.as_ref().and_then(|labels| labels.get("owner"));
                owner.is_some_and(|owner| owner == self.manager.as_str()) && found.sealed == self.write_sealed
            })
    }

    /// Reads a set as a mark; none if it is an ordinary one.
    fn look(&self, owner: &OwnerName, set: &RecordSet) -> Option<Found> {
        let Content::Data(data) = &set.content else { return None };
        if set.record_type != RecordType::TXT {
            return None;
        }
        let mark = || Mark { owner: owner.clone(), set: set.clone() };
        let texts: Vec<String> = data.iter().map(|data| joined_strings(data)).collect();
        for text in &texts {
            if let Some(labels) =
                self.seal.as_ref().and_then(|seal| seal.open(text)).and_then(|text| parse_labels(&text))
            {
                return Some(Found { mark: mark(), labels: Some(labels), sealed: true });
            }
            if let Some(labels) = parse_labels(text) {
                return Some(Found { mark: mark(), labels: Some(labels), sealed: false });
            }
        }
        let sealed = matches!(&texts[..], [text] if looks_sealed(text));
        sealed.then(|| Found { mark: mark(), labels: None, sealed: true })
    }

    /// Where the mark of a set may stand, the form that is written now first.
    fn places(&self, apex: &OwnerName, owner: &OwnerName, set: &RecordSet, old: bool) -> Vec<MarkKey> {
        let mut names: Vec<OwnerName> = Vec::new();
        let namings = || std::iter::once(&self.writing).chain(&self.reading);
        let text = owner.to_string();
        if old {
            // AAAA is younger than the form without a type.
            if set.record_type != RecordType::AAAA {
                names.extend(namings().filter_map(|naming| OwnerName::parse(&naming.encode_old(&text)).ok()));
            }
        } else {
            for naming in namings() {
                names.extend(OwnerName::parse(&naming.encode(&text, set.record_type)).ok());
            }
            names.extend(hashed_place(apex, owner, set.record_type));
            if matches!(set.content, Content::Alias(_)) && set.record_type == RecordType::A {
                // Older releases called the mark of an alias that of a CNAME.
                for naming in namings() {
                    names.extend(OwnerName::parse(&naming.encode(&text, RecordType::CNAME)).ok());
                }
            }
        }
        names.into_iter().map(|name| (name, set.identifier.clone())).collect()
    }

    /// Finds the marks of each set; what is left over becomes names without sets.
    fn match_marks(
        &self,
        apex: &OwnerName,
        records: BTreeMap<OwnerName, Vec<RecordSet>>,
        marks: &BTreeMap<MarkKey, Found>,
    ) -> CurrentZone {
        // A mark that is one in the new form is none in the old, so all sets look for new ones first.
        let mut used: BTreeMap<MarkKey, usize> = BTreeMap::new();
        let mut owned: BTreeMap<(OwnerName, usize), Vec<(MarkKey, bool)>> = BTreeMap::new();
        for old in [false, true] {
            for (owner, sets) in &records {
                for (index, set) in sets.iter().enumerate() {
                    let mut here = Vec::new();
                    for (rank, key) in self.places(apex, owner, set, old).into_iter().enumerate() {
                        if marks.contains_key(&key) && (!old || !used.contains_key(&key)) {
                            here.push((key, old || rank > 0));
                        }
                    }
                    owned.entry((owner.clone(), index)).or_default().extend(here);
                }
            }
            for (key, _) in owned.values().flatten() {
                *used.entry(key.clone()).or_default() += 1;
            }
        }
        let mut zone = CurrentZone::default();
        for (owner, sets) in records {
            let keys: Vec<&[(MarkKey, bool)]> = (0..sets.len())
                .map(|index| owned.get(&(owner.clone(), index)).map_or(&[][..], Vec::as_slice))
                .collect();
            let whose: Vec<Ownership> = keys.iter().map(|keys| self.ownership(keys, marks)).collect();
            let ours: Vec<usize> = (0..sets.len()).filter(|&index| whose[index] == Ownership::Ours).collect();
            let mut standing = Standing::of_sets(owner.clone(), sets.into_iter().zip(whose));
            let mut found: BTreeMap<&MarkKey, &Found> = BTreeMap::new();
            for &index in &ours {
                // A foreign mark of the older form may stand beside ours, and is not ours to remove.
                let here = keys[index].iter().filter_map(|(key, _)| Some((key, marks.get(key)?)));
                found.extend(here.filter(|(_, found)| self.is_ours(found)));
            }
            standing.marks = found.values().map(|found| found.mark.clone()).collect();
            standing.legacy = (!ours.is_empty()).then(|| self.legacy(apex, &standing)).flatten();
            zone.names.insert(owner, standing);
        }
        for (key, found) in marks {
            if !used.contains_key(key) {
                self.left_over(apex, found, &mut zone);
            }
        }
        zone
    }

    fn ownership(&self, keys: &[(MarkKey, bool)], marks: &BTreeMap<MarkKey, Found>) -> Ownership {
        let Some(found) = keys.first().and_then(|(key, _)| marks.get(key)) else { return Ownership::Unowned };
        match &found.labels {
            Some(_) if self.is_ours(found) => Ownership::Ours,
            Some(labels) => Ownership::Foreign(labels.get("owner").cloned().unwrap_or_default()),
            None => Ownership::Foreign(format!("a mark at {} that cannot be decrypted", found.mark.owner)),
        }
    }

    fn is_ours(&self, found: &Found) -> bool {
        let owner = found.labels.as_ref().and_then(|labels| labels.get("owner"));
        owner.is_some_and(|owner| owner == self.manager.as_str() || self.former.contains(owner))
    }

    /// Why the marks of a name should be written again.
    fn legacy(&self, apex: &OwnerName, standing: &Standing) -> Option<String> {
        let step = self.step(apex, Some(standing), Some(&standing.group)).ok()?;
        if let Some(mark) = step.write.first() {
            let known = standing.marks.iter().any(|known| known.owner == mark.owner);
            let why =
                if known { "another owner or form of it" } else { "it is missing in the form that is written now" };
            return Some(format!("{}: {why}", mark.owner));
        }
        step.remove.first().map(|mark| format!("{} is left from an older form", mark.owner))
    }

    /// A mark without its record.
    fn left_over(&self, apex: &OwnerName, found: &Found, zone: &mut CurrentZone) {
        let Some(labels) = &found.labels else { return };
        let told = labels.get(NAME_LABEL).map(|name| (name.clone(), None));
        let text = found.mark.owner.to_string();
        let namings = std::iter::once(&self.writing).chain(&self.reading);
        let decoded = told.or_else(|| namings.into_iter().find_map(|naming| naming.decode(&text)));
        let name = decoded.and_then(|(name, _)| OwnerName::parse(&name).ok());
        let Some(name) = name.filter(|name| name.is_at_or_below(apex)) else { return };
        let ours = self.is_ours(found);
        match zone.names.get_mut(&name) {
            Some(standing) if ours && standing.ownership == Ownership::Ours => {
                standing.marks.push(found.mark.clone());
                let left_over = || format!("{} is left over", found.mark.owner);
                standing.legacy.get_or_insert_with(left_over);
            }
            Some(_) => {}
            None => {
                let owner = labels.get("owner").cloned().unwrap_or_default();
                let ownership = if ours { Ownership::Ours } else { Ownership::Foreign(owner) };
                let mut standing = Standing::new(Group::new(name.clone(), []), ownership);
                standing.marks.push(found.mark.clone());
                zone.names.insert(name, standing);
            }
        }
    }
}

/// The mark's name, if it is one and in the zone.
fn place(naming: &Naming, apex: &OwnerName, owner: &OwnerName, record_type: RecordType) -> Option<OwnerName> {
    let place = OwnerName::parse(&naming.encode(&owner.to_string(), record_type)).ok()?;
    place.is_below(apex).then_some(place)
}

/// Where the mark stands if the name itself leaves no room: 64 bits of SHA-256 are enough to keep names of one zone
/// apart.
fn hashed_place(apex: &OwnerName, owner: &OwnerName, record_type: RecordType) -> Option<OwnerName> {
    let digest = Sha256::digest(owner.as_wire());
    let hash = digest[..8].iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
    apex.child(format!("_owner-{}-{hash}", record_type.to_string().to_lowercase()).as_bytes()).ok()
}

/// TXT RDATA of a text, cut into character-strings.
#[expect(clippy::cast_possible_truncation, reason = "chunks have at most 255 octets")]
fn character_strings(text: &str) -> Box<[u8]> {
    let chunks = text.as_bytes().chunks(MAX_STRING);
    chunks.flat_map(|chunk| std::iter::once(chunk.len() as u8).chain(chunk.iter().copied())).collect()
}

/// The text of TXT RDATA; what is no text is left out.
fn joined_strings(data: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::new(), data);
    while let Some((&length, behind)) = rest.split_first() {
        let (string, behind) = behind.split_at(usize::from(length).min(behind.len()));
        text.extend_from_slice(string);
        rest = behind;
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
