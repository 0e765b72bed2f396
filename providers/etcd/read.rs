//! Keys as names with whose they are.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Content, CurrentZone, Group, Mark, Ownership, RecordSet, Standing},
};
use mcdns_publish::ownership::TxtRegistry;

use crate::{
    client::Stored,
    names::Names,
    wire::{Bad, Place, Read, Record, Wire},
};

/// Marks a key of nobody among those of a standing.
const UNOWNED: &str = "unowned";
/// So many bad keys are told of one by one.
const TOLD: usize = 10;

/// Values of the properties of a set, of which several keys each give one.
type Properties<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Gathers the keys of one zone.
pub(crate) struct Reader<'a> {
    wire: &'a Wire,
    apex: OwnerName,
    /// Zones below, whose names are not ours to look at here.
    children: Vec<OwnerName>,
    /// What keys should be bound to; 0 for nothing.
    lease: i64,
    items: BTreeMap<OwnerName, Vec<Item>>,
    bad: Vec<Bad>,
}

#[derive(Debug, Clone)]
struct Item {
    ownership: Ownership,
    record: Option<Record>,
    stored: Stored,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(wire: &'a Wire, apex: &OwnerName, zones: &[OwnerName], lease: i64) -> Self {
        let children = zones.iter().filter(|zone| zone.is_below(apex)).cloned().collect();
        Self { wire, apex: apex.clone(), children, lease, items: BTreeMap::new(), bad: Vec::new() }
    }

    /// Takes some keys in.
    pub(crate) fn take(&mut self, keys: Vec<Stored>) {
        for stored in keys {
            match self.wire.read(&self.apex, &stored.key, &stored.value) {
                Ok(Read { owner, ownership, record }) if self.is_here(&owner) => {
                    self.items.entry(owner).or_default().push(Item { ownership, record, stored });
                }
                Ok(_) => {}
                Err(mut bad) => {
                    let had_names = !bad.owners.is_empty();
                    bad.owners.retain(|owner| self.is_here(owner));
                    if !had_names || !bad.owners.is_empty() {
                        self.bad.push(bad);
                    }
                }
            }
        }
    }

    /// The whole zone.
    pub(crate) fn finish(mut self) -> (CurrentZone, Names) {
        self.ask_registry();
        let mut names = Names::new(&self.wire.prefix, &self.apex);
        for (owner, items) in &self.items {
            if let Some(standing) = self.standing(owner, items, None) {
                names.note(owner, Some(&standing), self.place(owner, items));
            }
        }
        let standings = self.items.iter().filter_map(|(owner, items)| self.standing(owner, items, Some(&names)));
        let mut zone = CurrentZone::new(standings);
        for bad in self.bad.iter().take(TOLD) {
            tracing::warn!(zone = %self.apex, words = bad.words, "a key of the zone cannot be read");
        }
        if self.bad.len() > TOLD {
            tracing::warn!(zone = %self.apex, keys = self.bad.len(), "more keys of the zone cannot be read");
        }
        for bad in self.bad {
            for owner in bad.owners {
                zone.names.remove(&owner);
                zone.unreadable.insert(owner, bad.words.clone());
            }
        }
        (zone, names)
    }

    /// One name, whose keys are among those that were taken; and where its alias stands.
    pub(crate) fn one(mut self, owner: &OwnerName, names: &Names) -> Result<(Option<Standing>, Place), String> {
        if let Some(bad) = self.bad.iter().find(|bad| bad.owners.contains(owner)) {
            return Err(bad.words.clone());
        }
        let mut items = self.items.remove(owner).unwrap_or_default();
        // Marks of external-dns are at other names; what they said is known.
        for item in &mut items {
            let Some(record) = &item.record else { continue };
            let known = names.others(owner).iter().find(|(set, _)| set.record_type == record.record_type);
            if let (Ownership::Unowned, Some((_, known @ Ownership::Foreign(_)))) = (&item.ownership, known) {
                item.ownership = known.clone();
            }
        }
        Ok((self.standing(owner, &items, Some(names)), self.place(owner, &items)))
    }

    fn is_here(&self, owner: &OwnerName) -> bool {
        owner.is_at_or_below(&self.apex) && !self.children.iter().any(|child| owner.is_at_or_below(child))
    }

    /// What keys do not say may stand in TXT records of external-dns.
    fn ask_registry(&mut self) {
        let mut sets = Vec::new();
        for (owner, items) in &self.items {
            let unowned = items.iter().filter(|item| item.ownership == Ownership::Unowned);
            let records = unowned.filter_map(|item| item.record.as_ref());
            sets.extend(records.map(|record| (owner.clone(), set_of(record))));
        }
        if !sets.iter().any(|(_, set)| set.record_type == RecordType::TXT) {
            return;
        }
        let zone = TxtRegistry::new(self.wire.manager.clone()).read(&self.apex, sets);
        for (owner, items) in &mut self.items {
            let Some(standing) = zone.names.get(owner) else { continue };
            for item in items.iter_mut().filter(|item| item.ownership == Ownership::Unowned) {
                let Some(record) = &item.record else { continue };
                let known = standing.all_sets().find(|(set, _)| set.record_type == record.record_type);
                if let Some((_, known @ Ownership::Foreign(_))) = known {
                    item.ownership = known.clone();
                }
            }
        }
    }

    /// What stands at a name; with `names`, whether its keys are as they should be.
    fn standing(&self, owner: &OwnerName, items: &[Item], names: Option<&Names>) -> Option<Standing> {
        let mut sets: BTreeMap<(RecordType, &Ownership), (RecordSet, Properties<'_>)> = BTreeMap::new();
        let mut is_ours = false;
        for item in items {
            is_ours |= item.ownership == Ownership::Ours;
            let Some(record) = &item.record else { continue };
            let key = (record.record_type, &item.ownership);
            let (set, properties) = sets
                .entry(key)
                .or_insert_with(|| (RecordSet::data(record.record_type, record.ttl, []), BTreeMap::new()));
            if let Content::Data(data) = &mut set.content {
                data.insert(record.data.clone());
            }
            if let Some((name, value)) = &record.property {
                properties.entry(name).or_default().insert(value);
            }
        }
        if sets.is_empty() && !is_ours {
            return None;
        }
        let owned = sets.into_iter().map(|((_, ownership), (mut set, properties))| {
            for (name, values) in properties {
                let values: Vec<&str> = values.into_iter().collect();
                set.properties.insert(name.to_owned(), values.join(","));
            }
            (set, ownership.clone())
        });
        let mut standing = Standing::of_sets(owner.clone(), owned);
        if is_ours && standing.ownership != Ownership::Ours {
            // Keys of ours that stand for nothing.
            let beside = standing
                .all_sets()
                .map(|(set, ownership)| mcdns_core::plan::Beside { set: set.clone(), ownership: ownership.clone() });
            let beside = beside.collect();
            standing = Standing { beside, ..Standing::new(Group::new(owner.clone(), []), Ownership::Ours) };
        }
        let revision = items.iter().map(|item| item.stored.revision).max();
        standing.revision = revision.and_then(|revision| u64::try_from(revision).ok());
        let Some(names) = names else { return Some(standing) };
        let is_odd = is_ours && !self.is_as_written(&standing.group, items, names.place(owner));
        if is_odd {
            standing.legacy = Some("its keys are not as they would be written now".to_owned());
        }
        if is_odd || items.iter().any(|item| item.ownership == Ownership::Unowned) {
            standing.marks = items.iter().filter_map(|item| mark(owner, item)).collect();
        }
        Some(standing)
    }

    fn is_as_written(&self, group: &Group, items: &[Item], place: Place) -> bool {
        let mut ours: Vec<&Stored> =
            items.iter().filter(|item| item.ownership == Ownership::Ours).map(|item| &item.stored).collect();
        ours.sort_by(|a, b| a.key.cmp(&b.key));
        let written = self.wire.pairs(&self.apex, group, place);
        let same = |(stored, pair): (&&Stored, &crate::wire::Pair)| {
            stored.key == pair.key && stored.value == pair.value.as_bytes() && stored.lease == self.lease
        };
        ours.len() == written.len() && ours.iter().zip(&written).all(same)
    }

    fn place(&self, owner: &OwnerName, items: &[Item]) -> Place {
        let is_alias = |item: &&Item| {
            let is_cname = item.record.as_ref().is_some_and(|record| record.record_type == RecordType::CNAME);
            is_cname && item.ownership == Ownership::Ours
        };
        let own = self.wire.prefix.key(owner).unwrap_or_default();
        let mut place = Place { at: false, below: false };
        for item in items.iter().filter(is_alias) {
            if item.stored.key == own {
                place.at = true;
            } else {
                place.below = true;
            }
        }
        if place.at || place.below { place } else { Place::ORDINARY }
    }
}

/// Keys that a change takes away: those of its group, as they are stored.
pub(crate) fn marked_keys(before: &Standing) -> Vec<Vec<u8>> {
    let stays = |mark: &Mark| {
        let Content::Data(data) = &mark.set.content else { return false };
        let beside = before.beside.iter().filter(|beside| beside.ownership == Ownership::Unowned);
        let mut beside = beside.filter(|beside| beside.set.record_type == mark.set.record_type);
        mark.set.properties.contains_key(UNOWNED)
            && beside.any(|beside| matches!(&beside.set.content, Content::Data(all) if !all.is_disjoint(data)))
    };
    let marks = before.marks.iter().filter(|mark| !stays(mark));
    marks.filter_map(|mark| mark.set.identifier.as_ref()).map(|key| key.as_bytes().to_vec()).collect()
}

/// A key of ours, or of nobody, in the form in which a standing can keep it.
fn mark(owner: &OwnerName, item: &Item) -> Option<Mark> {
    if matches!(item.ownership, Ownership::Foreign(_)) {
        return None;
    }
    let mut set = match &item.record {
        Some(record) => set_of(record),
        None if item.ownership == Ownership::Ours => RecordSet::data(RecordType::TXT, 0, []),
        None => return None,
    };
    set.identifier = Some(String::from_utf8(item.stored.key.clone()).ok()?);
    if item.ownership == Ownership::Unowned {
        set.properties.insert(UNOWNED.to_owned(), String::new());
    }
    Some(Mark { owner: owner.clone(), set })
}

fn set_of(record: &Record) -> RecordSet {
    RecordSet::data(record.record_type, record.ttl, [record.data.clone()])
}
