//! Changes of names become change batches, within the limits of a request.
//!
//! ```text
//!   Change ──► Part: all that one name and its marks need, DELETE and CREATE ──► pack ──► requests
//! ```
//!
//! A part is never split. Nothing is ever an UPSERT: what stands is deleted as it was read and what is wanted is
//! created, in one batch, so that Route 53 itself compares and a writer that was frozen cannot undo newer work. An
//! UPSERT counts twice towards the limits, so this costs nothing.

use std::collections::BTreeMap;

use aws_sdk_route53::types::{Change as RawChange, ChangeAction, ResourceRecordSet};
use mcdns_core::{
    dns::OwnerName,
    plan::{Change, Group, Ownership, RecordSet, Standing},
};
use mcdns_publish::ownership::TxtRegistry;

use crate::wire::{encode, size};

/// What a request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Records, aliases included.
    pub records: usize,
    /// Characters of their values.
    pub characters: usize,
}

/// How large something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Records.
    pub records: usize,
    /// Characters.
    pub characters: usize,
}

/// What one change of the plan needs.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The name.
    pub owner: OwnerName,
    /// DELETE first.
    pub changes: Vec<RawChange>,
    /// Names that `changes` touch.
    pub places: Vec<OwnerName>,
    /// What stands there when it is done.
    pub after: Option<Standing>,
    /// Of `changes`.
    pub size: Size,
}

/// Sets whose spelling is not ours, as they stand: what a DELETE has to say.
pub(crate) type Spelled = BTreeMap<(OwnerName, RecordSet), ResourceRecordSet>;

/// What is known of a zone besides what the loop knows.
pub(crate) struct Known<'a> {
    pub spelled: &'a Spelled,
    /// What others hold at the name.
    pub others: &'a [(RecordSet, Ownership)],
}

impl Size {
    /// Of one set.
    pub(crate) fn of(raw: &ResourceRecordSet) -> Self {
        let (records, characters) = size(raw);
        Self { records, characters }
    }

    /// True if it is no larger than that.
    pub(crate) fn fits(self, limits: Limits) -> bool {
        self.records <= limits.records && self.characters <= limits.characters
    }

    fn plus(self, more: Self) -> Self {
        Self { records: self.records + more.records, characters: self.characters + more.characters }
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), Self::plus)
    }
}

impl Part {
    /// What a change needs.
    ///
    /// # Errors
    ///
    /// It cannot be done in one request; says why.
    pub(crate) fn new(
        registry: &TxtRegistry,
        apex: &OwnerName,
        change: &Change,
        known: &Known<'_>,
        limits: Limits,
    ) -> Result<Self, String> {
        let (before, after) = (change.before(), change.after());
        let step = registry.step(apex, before, after).map_err(|why| why.0)?;
        let mut gone: Vec<(&OwnerName, &RecordSet)> = Vec::new();
        let mut new: Vec<(&OwnerName, &RecordSet)> = Vec::new();
        for mark in &step.write {
            let stored = before.into_iter().flat_map(|before| &before.marks);
            let same_place = stored.filter(|one| one.owner == mark.owner && one.set.identifier == mark.set.identifier);
            gone.extend(same_place.map(|stored| (&stored.owner, &stored.set)));
            new.push((&mark.owner, &mark.set));
        }
        gone.extend(step.remove.iter().map(|mark| (&mark.owner, &mark.set)));
        let mut part = Self {
            owner: change.owner().clone(),
            changes: Vec::new(),
            places: Vec::new(),
            after: standing(change, known, step.keep.iter().chain(&step.write).cloned().collect()),
            size: Size::default(),
        };
        let (before, after) = (before.map(|before| &before.group), after);
        // As a whole, so that all of it is compared; if that is too much, what differs.
        for whole in [true, false] {
            let (mut gone, mut new) = (gone.clone(), new.clone());
            sets(before, after, whole, &mut gone, &mut new);
            part.fill(&gone, &new, known.spelled)?;
            if part.size.fits(limits) {
                return Ok(part);
            }
        }
        let Size { records, characters } = part.size;
        Err(format!("it needs {records} records and {characters} characters, which is more than one request may have"))
    }

    fn fill(
        &mut self,
        gone: &[(&OwnerName, &RecordSet)],
        new: &[(&OwnerName, &RecordSet)],
        spelled: &Spelled,
    ) -> Result<(), String> {
        (self.changes, self.places, self.size) = (Vec::new(), Vec::new(), Size::default());
        for (owner, set) in gone {
            let raw = match spelled.get(&((*owner).clone(), (*set).clone())) {
                Some(raw) => raw.clone(),
                None => encode(owner, set)?,
            };
            self.add(ChangeAction::Delete, owner, raw)?;
        }
        for (owner, set) in new {
            self.add(ChangeAction::Create, owner, encode(owner, set)?)?;
        }
        Ok(())
    }

    fn add(&mut self, action: ChangeAction, owner: &OwnerName, raw: ResourceRecordSet) -> Result<(), String> {
        self.size = self.size.plus(Size::of(&raw));
        let change = RawChange::builder().action(action).resource_record_set(raw).build();
        self.changes.push(change.map_err(|error| error.to_string())?);
        if !self.places.contains(owner) {
            self.places.push(owner.clone());
        }
        Ok(())
    }
}

/// Puts parts into requests, each into the first with room; parts stay in their order within one.
pub(crate) fn pack(parts: Vec<Part>, limits: Limits) -> Vec<Vec<Part>> {
    /// Requests that are looked at for room. The older are so full that it hardly pays.
    const OPEN: usize = 16;
    let mut requests: Vec<(Size, Vec<Part>)> = Vec::new();
    for part in parts {
        let from = requests.len().saturating_sub(OPEN);
        let room = requests[from..].iter_mut().find(|(size, _)| size.plus(part.size).fits(limits));
        match room {
            Some((size, parts)) => {
                *size = size.plus(part.size);
                parts.push(part);
            }
            None => requests.push((part.size, vec![part])),
        }
    }
    requests.into_iter().map(|(_, parts)| parts).collect()
}

/// All changes of some parts, in the order of the API: what goes first.
pub(crate) fn changes(parts: &[Part]) -> Vec<RawChange> {
    let of = |action: ChangeAction| {
        let all = parts.iter().flat_map(|part| &part.changes);
        all.filter(move |change| change.action == action).cloned()
    };
    of(ChangeAction::Delete).chain(of(ChangeAction::Create)).collect()
}

/// The sets of the name itself.
fn sets<'a>(
    before: Option<&'a Group>,
    after: Option<&'a Group>,
    whole: bool,
    gone: &mut Vec<(&'a OwnerName, &'a RecordSet)>,
    new: &mut Vec<(&'a OwnerName, &'a RecordSet)>,
) {
    // Where only marks are written, the sets are not touched.
    if before == after {
        return;
    }
    let stays = |set: &RecordSet, other: Option<&Group>| {
        !whole && other.is_some_and(|other| other.sets().iter().any(|known| known == set))
    };
    if let Some(group) = before {
        gone.extend(group.sets().iter().filter(|set| !stays(set, after)).map(|set| (group.owner(), set)));
    }
    if let Some(group) = after {
        new.extend(group.sets().iter().filter(|set| !stays(set, before)).map(|set| (group.owner(), set)));
    }
}

/// What stands at the name when the change is made.
fn standing(change: &Change, known: &Known<'_>, marks: Vec<mcdns_core::plan::Mark>) -> Option<Standing> {
    let others: Vec<(RecordSet, Ownership)> = match change.before() {
        Some(before) => before.beside.iter().map(|beside| (beside.set.clone(), beside.ownership.clone())).collect(),
        None => known.others.to_vec(),
    };
    let ours = change.after().into_iter().flat_map(Group::sets).map(|set| (set.clone(), Ownership::Ours));
    let all: Vec<_> = ours.chain(others).collect();
    if all.is_empty() {
        return None;
    }
    Some(Standing { marks, ..Standing::of_sets(change.owner().clone(), all) })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
