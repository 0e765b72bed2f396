//! From the record sets of a hosted zone to what stands there, and the way to one name.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::types::{ResourceRecordSet, RrType};
use mcdns_core::{
    dns::OwnerName,
    plan::{CurrentZone, Ownership, RecordSet},
};
use mcdns_publish::ownership::TxtRegistry;
use tracing::warn;

use crate::{
    batch::Spelled,
    client::{Account, Start},
    trouble::Trouble,
    wire::{decode, encode, name_text, parse_name, same_spelling},
};

/// Record sets that one call for a name gives: its own and what is behind it, where its marks usually are.
const NEAR: i32 = 100;
/// Pages of one name: with 100 sets of each type, no name has more.
const MOST_PAGES: usize = 32;

/// What was read, with what the loop does not keep.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// As the loop wants it.
    pub current: CurrentZone,
    /// Sets that are spelled otherwise than we would.
    pub spelled: Spelled,
    /// What others hold, by name.
    pub others: BTreeMap<OwnerName, Vec<(RecordSet, Ownership)>>,
}

/// What record sets mean; `apex` is that of our zone, which may be below that of the hosted zone.
pub(crate) fn understand(registry: &TxtRegistry, apex: &OwnerName, raw: &[ResourceRecordSet]) -> Reading {
    let mut reading = Reading::default();
    let mut sets = Vec::new();
    let mut unreadable = BTreeMap::new();
    for raw in raw {
        let owner = match parse_name(&raw.name) {
            Ok(owner) => owner,
            Err(why) => {
                warn!(zone = %apex, why, "a record set is left out, because its name cannot be read");
                continue;
            }
        };
        // What the service itself keeps is nobody's business.
        if owner == *apex && matches!(raw.r#type, RrType::Soa | RrType::Ns) {
            continue;
        }
        match decode(raw) {
            Ok(set) => {
                if !encode(&owner, &set).is_ok_and(|ours| same_spelling(&ours, raw)) {
                    reading.spelled.insert((owner.clone(), set.clone()), raw.clone());
                }
                sets.push((owner, set));
            }
            Err(why) => {
                unreadable.insert(owner, why);
            }
        }
    }
    sets.retain(|(owner, _)| !unreadable.contains_key(owner));
    let mut current = registry.read(apex, sets);
    current.unreadable = unreadable;
    current.names.retain(|name, _| name.is_at_or_below(apex));
    current.unreadable.retain(|name, _| name.is_at_or_below(apex));
    for (name, standing) in &current.names {
        let others = standing.all_sets().filter(|(_, ownership)| **ownership != Ownership::Ours);
        let others: Vec<_> = others.map(|(set, ownership)| (set.clone(), ownership.clone())).collect();
        if !others.is_empty() {
            reading.others.insert(name.clone(), others);
        }
    }
    reading.current = current;
    reading
}

/// Reads one name with its marks: one call where they stand behind it, as ours do.
pub(crate) async fn name(
    account: &Account,
    zone: &str,
    registry: &TxtRegistry,
    apex: &OwnerName,
    owner: &OwnerName,
) -> Result<Reading, Trouble> {
    let mut near = Near { account, zone, found: BTreeMap::new(), asked: BTreeSet::new(), ranges: Vec::new() };
    near.look(owner).await?;
    let sets: Vec<RecordSet> = near.of(owner).filter_map(|raw| decode(raw).ok()).collect();
    let places = registry.mark_places(apex, owner, &sets);
    let mut places_now = registry.written_places(apex, owner);
    places_now.extend(places.written);
    for place in &places_now {
        near.look(place).await?;
    }
    let reading = understand(registry, apex, &near.all());
    let clear = reading.current.names.get(owner).is_none_or(|standing| {
        standing.ownership == Ownership::Ours && standing.beside.is_empty() && standing.legacy.is_none()
    });
    if clear {
        return Ok(reading);
    }
    // Whose it is may be said in another form.
    for place in &places.others {
        near.look(place).await?;
    }
    Ok(understand(registry, apex, &near.all()))
}

/// What is known of the names around one.
struct Near<'a> {
    account: &'a Account,
    zone: &'a str,
    found: BTreeMap<OwnerName, Vec<ResourceRecordSet>>,
    asked: BTreeSet<OwnerName>,
    /// From one sort key up to, but not with, another: all of it was seen. None is the end of the zone.
    ranges: Vec<(String, Option<String>)>,
}

impl Near<'_> {
    /// Reads a name, if that was not done.
    async fn look(&mut self, name: &OwnerName) -> Result<(), Trouble> {
        if self.asked.contains(name) || self.seen(name) {
            return Ok(());
        }
        let mut start = Some(Start::name(name));
        let mut found: BTreeMap<OwnerName, Vec<ResourceRecordSet>> = BTreeMap::new();
        let mut last = None;
        for _ in 0..MOST_PAGES {
            let page = self.account.page(self.zone, start.as_ref(), Some(NEAR)).await?;
            for raw in page.sets {
                if let Ok(owner) = parse_name(&raw.name) {
                    last = Some(owner.clone());
                    found.entry(owner).or_default().push(raw);
                }
            }
            start = page.next;
            // Pages go on while they are full of the name itself.
            if start.is_none() || last.as_ref() != Some(name) {
                break;
            }
        }
        self.asked.insert(name.clone());
        let end = start.is_some().then_some(last).flatten();
        if let Some(end) = &end
            && end != name
        {
            // Perhaps there is more of it on the next page.
            found.remove(end);
        }
        let begin = key(name);
        let end = end.map(|end| key(&end));
        if let Some(begin) = begin
            && end.as_ref().is_none_or(Option::is_some)
        {
            self.ranges.push((begin, end.flatten()));
        }
        self.found.extend(found);
        Ok(())
    }

    fn seen(&self, name: &OwnerName) -> bool {
        let Some(key) = key(name) else { return false };
        self.ranges.iter().any(|(from, to)| *from <= key && to.as_ref().is_none_or(|to| key < *to))
    }

    fn of(&self, name: &OwnerName) -> impl Iterator<Item = &ResourceRecordSet> {
        self.found.get(name).into_iter().flatten()
    }

    fn all(&self) -> Vec<ResourceRecordSet> {
        self.found.values().flatten().cloned().collect()
    }
}

/// By what the service sorts: labels in reverse, as text with dots behind them (API reference,
/// `ListResourceRecordSets`). None for names with anything else than letters, digits, `-` and `_`: whether those are
/// sorted with their escapes is said nowhere.
fn key(name: &OwnerName) -> Option<String> {
    let text = name_text(name);
    if text.contains(['\\', '*']) {
        return None;
    }
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').rev().collect();
    Some(labels.join(".") + ".")
}
