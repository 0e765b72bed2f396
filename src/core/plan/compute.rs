//! From what stands and what is wanted to a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{Beside, Change, CurrentZone, Group, Ownership, Plan, RecordSet, SkipReason, Skipped, Standing};
use crate::dns::{OwnerName, RecordType};

/// What one name should hold, in the publisher's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// This.
    Group {
        /// In the form that a reading of it would have.
        group: Group,
        /// Who wants it.
        reason: String,
    },
    /// Perhaps only a part of what should be there. It is made where nothing stands; what stands there stays.
    Unsettled {
        /// What is known, in the form that a reading of it would have.
        group: Group,
        /// Who wants it.
        reason: String,
        /// Why it may not be all.
        why: String,
    },
    /// Something that the publisher cannot hold. What stands there stays: less is better than nothing.
    Unpublishable(String),
}

/// Which changes are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// All.
    #[default]
    Sync,
    /// Nothing is deleted.
    UpsertOnly,
    /// Only names are created where nothing of ours stands.
    CreateOnly,
}

/// How a plan is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Which changes are made.
    pub policy: Policy,
    /// Take over what nobody owns where it stands in the way. What somebody owns is never taken.
    pub adopt: bool,
}

/// The plan for a whole zone: what is ours and no longer wanted goes.
pub fn plan(
    publisher: &str,
    zone: &OwnerName,
    current: &CurrentZone,
    desired: &BTreeMap<OwnerName, Desired>,
    options: PlanOptions,
) -> Plan {
    let names: BTreeSet<&OwnerName> = current.names.keys().chain(desired.keys()).collect();
    plan_names(publisher, zone, current, desired, names, options)
}

/// The plan for these names alone. One that is not in `desired` is not wanted.
pub fn plan_names<'a>(
    publisher: &str,
    zone: &OwnerName,
    current: &CurrentZone,
    desired: &BTreeMap<OwnerName, Desired>,
    names: impl IntoIterator<Item = &'a OwnerName>,
    options: PlanOptions,
) -> Plan {
    let (mut changes, mut skipped) = (Vec::new(), Vec::new());
    for owner in names {
        let step = match current.unreadable.get(owner) {
            Some(words) if desired.contains_key(owner) => Err(SkipReason::Unreadable(words.clone())),
            Some(_) => Ok(None),
            None => step(current.names.get(owner), desired.get(owner), options.adopt),
        };
        match step.and_then(|change| change.map(|change| options.policy.allow(change)).transpose()) {
            Ok(change) => changes.extend(change),
            Err(why) => skipped.push(Skipped { owner: owner.clone(), why }),
        }
    }
    Plan::new(publisher, zone.clone(), changes, skipped)
}

/// What becomes of one name.
fn step(standing: Option<&Standing>, desired: Option<&Desired>, adopt: bool) -> Result<Option<Change>, SkipReason> {
    let (after, reason) = match (standing, desired) {
        (_, Some(Desired::Unpublishable(words))) => return Err(SkipReason::Unpublishable(words.clone())),
        (Some(standing), Some(Desired::Unsettled { why, .. })) if !standing.group.is_empty() => {
            return Err(SkipReason::Unsettled(why.clone()));
        }
        (_, Some(Desired::Unsettled { group, why, .. })) if group.is_empty() => {
            return Err(SkipReason::Unsettled(why.clone()));
        }
        (_, Some(Desired::Group { group, reason } | Desired::Unsettled { group, reason, .. })) if !group.is_empty() => {
            (group, reason)
        }
        (Some(standing), _) if standing.ownership == Ownership::Ours => {
            let reason = if standing.group.is_empty() { "a left-over ownership record" } else { "no longer wanted" };
            return Ok(Some(Change::Delete { before: standing.clone(), reason: reason.to_owned() }));
        }
        _ => return Ok(None),
    };
    let create = || Change::Create { after: after.clone(), reason: reason.clone() };
    let Some(standing) = standing else { return Ok(Some(create())) };
    let standing = &claim(standing, after, adopt)?;
    match standing.ownership {
        Ownership::Ours => {
            let why = match (standing.group == *after, &standing.legacy) {
                (true, None) => return Ok(None),
                (true, Some(legacy)) => format!("the ownership record is rewritten: {legacy}"),
                (false, _) if standing.group.is_empty() => reason.clone(),
                (false, _) => format!("{reason}; {}", difference(&standing.group, after)),
            };
            Ok(Some(Change::Replace { before: standing.clone(), after: after.clone(), reason: why }))
        }
        Ownership::Unowned if !standing.group.is_empty() => {
            let reason = format!("{reason}; adopted, nobody owned it");
            Ok(Some(Change::Replace { before: standing.clone(), after: after.clone(), reason }))
        }
        // What is not ours stands there and can stay.
        _ => Ok(Some(create())),
    }
}

/// The standing with, as its group, what gives way to `after`: what is ours, and what is adopted. What can stay is
/// beside it. Where something stands in the way that may not be touched, it says whose that is.
fn claim(standing: &Standing, after: &Group, adopt: bool) -> Result<Standing, SkipReason> {
    let (mut group, mut beside) = (Vec::new(), Vec::new());
    let mut ownership = Ownership::Unowned;
    if standing.ownership == Ownership::Ours {
        ownership = Ownership::Ours;
    } else if standing.group.is_empty() {
        // A mark of somebody else without its record: he may be about to write it.
        if let Ownership::Foreign(_) = &standing.ownership {
            return Err(SkipReason::NotOurs(standing.ownership.clone()));
        }
    }
    for (set, owned) in standing.all_sets() {
        if *owned == Ownership::Ours {
            group.push(set.clone());
        } else if !in_the_way(set, after) {
            beside.push(Beside { set: set.clone(), ownership: owned.clone() });
        } else if *owned == Ownership::Unowned && adopt {
            group.push(set.clone());
        } else {
            return Err(SkipReason::NotOurs(owned.clone()));
        }
    }
    let group = Group::new(standing.group.owner().clone(), group);
    Ok(Standing { group, ownership, beside, ..standing.clone() })
}

/// True if a set that is not ours cannot stay where `after` should be.
///
/// Besides what DNS forbids (a CNAME next to anything, RFC 2181 section 10.1), addresses of one name have one owner:
/// whoever gives A decides about AAAA too.
fn in_the_way(set: &RecordSet, after: &Group) -> bool {
    let addresses = |record_type| matches!(record_type, RecordType::A | RecordType::AAAA | RecordType::CNAME);
    after.sets().iter().any(|wanted| {
        wanted.record_type == set.record_type
            || wanted.record_type == RecordType::CNAME
            || set.record_type == RecordType::CNAME
            || addresses(wanted.record_type) && addresses(set.record_type)
    })
}

/// What differs, in words: `A 192.0.2.1 → 192.0.2.2`, `TTL of A 60 → 30`, `CNAME gone`.
fn difference(before: &Group, after: &Group) -> String {
    let key = |set: &RecordSet| (set.record_type, set.identifier.clone());
    let keys: BTreeSet<_> = before.sets().iter().chain(after.sets()).map(key).collect();
    let mut words = Vec::new();
    for (record_type, identifier) in keys {
        let name = match &identifier {
            Some(identifier) => format!("{record_type} [{identifier}]"),
            None => record_type.to_string(),
        };
        match (before.set(record_type, identifier.as_deref()), after.set(record_type, identifier.as_deref())) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) if a.content != b.content => {
                words.push(format!("{name} {} → {}", short(a), short(b)));
            }
            (Some(a), Some(b)) if a.ttl != b.ttl => {
                let ttl = |set: &RecordSet| set.ttl.map_or("unset".to_owned(), |ttl| ttl.to_string());
                words.push(format!("TTL of {name} {} → {}", ttl(a), ttl(b)));
            }
            (Some(_), Some(_)) => words.push(format!("properties of {name}")),
            (Some(_), None) => words.push(format!("{name} gone")),
            (None, Some(b)) => words.push(format!("{name} {} new", short(b))),
            (None, None) => {}
        }
    }
    words.join(", ")
}

/// A few values, and how many more.
fn short(set: &RecordSet) -> String {
    /// More than this nobody reads in a line.
    const SHOWN: usize = 3;
    let values = set.values();
    match values.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        Some(more) => format!("{} and {more} more", values[..SHOWN].join(" ")),
        None => values.join(" "),
    }
}

impl Policy {
    /// The change, if the policy makes it. A change of type is one replacement and passes with the others.
    fn allow(self, change: Change) -> Result<Change, SkipReason> {
        let allowed = match (self, &change) {
            (Self::Sync, _) | (_, Change::Create { .. }) => true,
            (Self::UpsertOnly, change) => !matches!(change, Change::Delete { .. }),
            // Only a mark is left there, so that nothing is replaced.
            (Self::CreateOnly, Change::Replace { before, .. }) => before.group.is_empty(),
            (Self::CreateOnly, Change::Delete { .. }) => false,
        };
        if allowed { Ok(change) } else { Err(SkipReason::Policy(format!("{} ({})", change.verb(), change.reason()))) }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sync" => Ok(Self::Sync),
            "upsert-only" => Ok(Self::UpsertOnly),
            "create-only" => Ok(Self::CreateOnly),
            _ => Err(format!("`{text}` is no policy; write sync, upsert-only or create-only")),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::UpsertOnly => "upsert-only",
            Self::CreateOnly => "create-only",
        })
    }
}
