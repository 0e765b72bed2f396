//! Nothing big is lost by accident: what a plan may take away, by what it means.
//!
//! ```text
//!   plan ─► which names lose their last address? ─► counted by cause, over ten minutes ─► too many ─► held
//!                                                                                      └─ fine ────► applied
//! ```
//!
//! A *loss* is a name that vanishes, or that answered with an address and no longer does. Names that point to such a
//! name are lost with it, although nothing changes at them. A failover is none: other addresses, or a climb to a level
//! that has some. Losses of one cause are counted together, so that a source that breaks slowly is noticed, and a
//! person who takes down a few things does not use up what a broken cluster may lose.
//!
//! What is held is only what loses; the rest of the plan goes on, and so do other zones. A person releases it with the
//! checksum of what is held, which works once: if more is lost meanwhile, the checksum is another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Change, Content, CurrentZone, Group, HeldWhy, Ownership, Plan, RecordSet};
use crate::{
    dns::{OwnerName, RecordType},
    model::Timestamp,
};

/// How much may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardOptions {
    /// More than this share of the names of a zone is held, in percent. octoDNS uses 30.
    pub percent: usize,
    /// Zones with fewer names may lose what they like. octoDNS uses 10.
    pub from: usize,
    /// Losses are counted this long, in seconds.
    pub window: i64,
}

/// What the guard remembers of one zone of one publisher.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    options: GuardOptions,
    lost: VecDeque<Loss>,
    released: BTreeSet<String>,
    used: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Loss {
    at: Timestamp,
    cause: String,
    owner: OwnerName,
}

/// What the guard looks at beside the plan.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// What stood there when the plan was made.
    pub current: &'a CurrentZone,
    /// What made a name change, in words that stay the same for one cause.
    pub cause: &'a dyn Fn(&OwnerName) -> String,
    /// False if the source does not know the zone at all, so that everything would go.
    pub zone_known: bool,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self { percent: 30, from: 10, window: 600 }
    }
}

impl Guard {
    /// A guard that remembers nothing yet.
    pub fn new(options: GuardOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Lets what is held with this checksum pass, once. The same checksum works no second time.
    pub fn release(&mut self, checksum: &str) {
        if !self.used.contains(checksum) {
            self.released.insert(checksum.to_owned());
        }
    }

    /// Takes back a release that was not used.
    pub fn withdraw(&mut self, checksum: &str) {
        self.released.remove(checksum);
    }

    /// What is held with this checksum passes now, without being checked: the same checksum releases nothing any more.
    pub fn use_up(&mut self, checksum: String) {
        self.released.remove(&checksum);
        self.used.insert(checksum);
    }

    /// Takes out of a plan what has to wait. What is left counts as done.
    pub fn check(&mut self, plan: Plan, world: World<'_>, now: Timestamp) -> Plan {
        let window = now.plus_seconds(-self.options.window);
        self.lost.retain(|loss| loss.at > window);
        let after = After::of(&plan, world.current);
        let losses = after.losses(&plan, world.current);
        let back =
            |loss: &Loss| plan.changes.iter().any(|change| *change.owner() == loss.owner && after.answers(&loss.owner));
        self.lost.retain(|loss| !back(loss));
        let ours = world.current.ours().count();
        // Each lost name belongs to the change that it is lost by.
        let mut by_cause: BTreeMap<String, BTreeSet<&OwnerName>> = BTreeMap::new();
        for (lost, by) in &losses {
            by_cause.entry((world.cause)(by)).or_default().insert(lost);
        }
        let mut why: BTreeMap<OwnerName, HeldWhy> = BTreeMap::new();
        for (cause, lost) in &by_cause {
            let earlier = self.lost.iter().filter(|loss| loss.cause == *cause).map(|loss| &loss.owner);
            let all: BTreeSet<&OwnerName> = earlier.chain(lost.iter().copied()).collect();
            let (names, of) = (all.len(), ours + self.gone(world.current));
            let too_many = of >= self.options.from && names * 100 > self.options.percent * of;
            let reason = if !world.zone_known {
                HeldWhy::TurnedEmpty { of: ours }
            } else if too_many {
                HeldWhy::Loss { cause: cause.clone(), names, of }
            } else {
                continue;
            };
            let changes = losses.iter().filter(|(_, by)| (world.cause)(by) == *cause);
            why.extend(changes.map(|(_, by)| ((*by).clone(), reason.clone())));
        }
        if let Some(apex) = plan.changes.iter().find(|change| *change.owner() == plan.zone && changes_authority(change))
        {
            why.insert(apex.owner().clone(), HeldWhy::ApexChange);
        }
        let by_reason = self.held(&plan, &why);
        let held: BTreeSet<&OwnerName> = by_reason.iter().flat_map(|(_, changes)| changes).map(Change::owner).collect();
        for (lost, by) in &losses {
            if !held.contains(by) && !why.contains_key(*by) {
                self.lost.push_back(Loss { at: now, cause: (world.cause)(by), owner: (*lost).clone() });
            }
        }
        if by_reason.is_empty() {
            return plan;
        }
        let kept = plan.changes.iter().filter(|change| !held.contains(change.owner())).cloned().collect();
        drop(held);
        plan.with_held(kept, by_reason)
    }

    /// Changes that wait, by reason, without those that are released now.
    fn held(&mut self, plan: &Plan, why: &BTreeMap<OwnerName, HeldWhy>) -> Vec<(HeldWhy, Vec<Change>)> {
        let mut by_reason: BTreeMap<&HeldWhy, Vec<Change>> = BTreeMap::new();
        for change in &plan.changes {
            if let Some(reason) = why.get(change.owner()) {
                by_reason.entry(reason).or_default().push(change.clone());
            }
        }
        let mut held = Vec::new();
        for (reason, changes) in by_reason {
            let part = Plan::new(&plan.publisher, plan.zone.clone(), changes, Vec::new());
            if self.released.remove(&part.checksum) {
                self.used.insert(part.checksum);
            } else {
                held.push((reason.clone(), part.changes));
            }
        }
        held
    }

    /// Names lost within the window that do not stand there any more.
    fn gone(&self, current: &CurrentZone) -> usize {
        let names: BTreeSet<&OwnerName> = self.lost.iter().map(|loss| &loss.owner).collect();
        names.into_iter().filter(|name| !current.names.contains_key(*name)).count()
    }
}

/// What would stand at each name.
struct After<'a> {
    changed: BTreeMap<&'a OwnerName, Option<&'a Group>>,
    current: &'a CurrentZone,
}

impl<'a> After<'a> {
    fn of(plan: &'a Plan, current: &'a CurrentZone) -> Self {
        let changed = plan.changes.iter().map(|change| (change.owner(), change.after()));
        Self { changed: changed.collect(), current }
    }

    fn group(&self, owner: &OwnerName) -> Option<&Group> {
        match self.changed.get(owner) {
            Some(group) => *group,
            None => self.current.names.get(owner).map(|standing| &standing.group),
        }
    }

    /// True if the name exists, and if it is an alias of names here, these end in something other than nothing.
    fn answers(&self, owner: &OwnerName) -> bool {
        answers(owner, &|owner| self.group(owner), self.current)
    }

    /// Names that are lost, each with the change that does it.
    fn losses(&self, plan: &'a Plan, current: &'a CurrentZone) -> Vec<(&'a OwnerName, &'a OwnerName)> {
        let ours = |change: &&Change| {
            change.before().is_some_and(|before| before.ownership == Ownership::Ours && !before.group.is_empty())
        };
        let before = |owner: &OwnerName| current.names.get(owner).map(|standing| &standing.group);
        let answered = |owner: &OwnerName| answers(owner, &|owner| before(owner), current);
        let direct: Vec<&OwnerName> = plan
            .changes
            .iter()
            .filter(ours)
            .filter(|change| match (change.before(), change.after()) {
                (Some(_), None) => true,
                // Types without an address are exchanged as one likes.
                (Some(old), Some(new)) => {
                    leads(&old.group) && (!leads(new) || answered(change.owner()) && !self.answers(change.owner()))
                }
                _ => false,
            })
            .map(Change::owner)
            .collect();
        if direct.is_empty() {
            return Vec::new();
        }
        let mut aliases: BTreeMap<OwnerName, Vec<&OwnerName>> = BTreeMap::new();
        for (owner, standing) in current.names.iter().filter(|(_, standing)| standing.ownership == Ownership::Ours) {
            if let Some(target) = standing.group.cname() {
                aliases.entry(target).or_default().push(owner);
            }
        }
        let mut lost: BTreeMap<&OwnerName, &OwnerName> = direct.iter().map(|owner| (*owner, *owner)).collect();
        let mut open = direct;
        while let Some(owner) = open.pop() {
            let by = lost[owner];
            for &alias in aliases.get(owner).into_iter().flatten() {
                if !lost.contains_key(alias) && answered(alias) && !self.answers(alias) {
                    lost.insert(alias, by);
                    open.push(alias);
                }
            }
        }
        lost.into_iter().collect()
    }
}

/// True if clients are led to an address by what stands here: one, or an alias.
fn leads(group: &Group) -> bool {
    group.has_address() || group.cname().is_some()
}

/// True if the name has something to say: records that are no alias, or an alias whose end has. What an alias points to
/// outside of what is known counts as something.
fn answers<'g>(owner: &OwnerName, group: &dyn Fn(&OwnerName) -> Option<&'g Group>, zone: &CurrentZone) -> bool {
    /// Longer chains than this nobody follows.
    const CHAIN: usize = 16;
    let mut owner = owner.clone();
    for step in 0..CHAIN {
        match group(&owner).filter(|group| !group.is_empty()) {
            Some(found) => match found.cname() {
                Some(target) => owner = target,
                None => return true,
            },
            // Not in the zone as far as it was read: somebody else's name.
            None => return step > 0 && !zone.names.contains_key(&owner) && !is_inside(&owner, zone),
        }
    }
    false
}

/// True if a name lies among those of the zone: below the name that all of them share.
fn is_inside(owner: &OwnerName, zone: &CurrentZone) -> bool {
    zone.apex().is_some_and(|apex| owner.is_at_or_below(apex))
}

/// True if the NS or the SOA of the apex, as they stand, become others; a serial alone does not count.
fn changes_authority(change: &Change) -> bool {
    let Some(before) = change.before().filter(|before| before.ownership == Ownership::Ours) else { return false };
    let side =
        |group: Option<&Group>, record_type| group.and_then(|group| group.sets_of(record_type).next().map(authority));
    [RecordType::NS, RecordType::SOA].into_iter().any(|record_type| {
        let before = side(Some(&before.group), record_type);
        before.is_some() && before != side(change.after(), record_type)
    })
}

/// The data of a set, a SOA without its serial.
fn authority(set: &RecordSet) -> Vec<Vec<u8>> {
    let Content::Data(data) = &set.content else { return Vec::new() };
    let plain = |data: &[u8]| {
        // The five numbers at the end begin with the serial.
        match data.len().checked_sub(20).filter(|_| set.record_type == RecordType::SOA) {
            Some(serial) => [&data[..serial], &data[serial + 4..]].concat(),
            None => data.to_vec(),
        }
    };
    data.iter().map(|data| plain(data)).collect()
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
