//! What publishers are told: every name of a zone with what it holds and which cluster gives what.
//!
//! The names and RRsets are those of the snapshot, so that publishers say what the server answers; who gives them is
//! computed here again, record by record, because a snapshot does not keep it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compose::Winner,
    compute::{Computed, LevelNames},
    engine::{Engine, RecordState},
    options::DEFAULT_TTL,
    unsettled::Unsettled,
    update::Update,
};
use crate::{
    answer::{AuthoritativeZone, Zone},
    dns::{OwnerName, RecordType, Rrset},
    model::{RecordKey, RecordKind},
    plan::{ClusterTarget, WantedName},
    steering::{Target, usable},
};

/// Names of one zone that may be wanted otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedNames {
    /// Any: the zone is new, gone, or its levels changed.
    All,
    /// These.
    Names(BTreeSet<OwnerName>),
}

/// What each record gives where, computed once for each.
type Givers = BTreeMap<RecordKey, BTreeMap<OwnerName, Vec<ClusterTarget>>>;

impl Engine {
    /// Every name of the zone that has records, or of which it cannot be told yet what it holds, in canonical order.
    /// Empty if there is no such zone. Whether empty
    /// levels are among them is what [`Options::empty_levels`](super::Options::empty_levels) says; a publisher that
    /// omits them leaves out names for which [`Engine::is_empty_level`] is true.
    pub fn wanted_names(&self, apex: &OwnerName) -> Vec<WantedName> {
        let Some(zone) = self.authoritative(apex) else { return Vec::new() };
        let mut givers = Givers::new();
        let mut names = zone.expanded();
        if names.first().is_none_or(|(owner, _)| owner != apex) {
            names.insert(0, (apex.clone(), Vec::new()));
        }
        let mut more: BTreeSet<&OwnerName> = self.records.values().flat_map(RecordState::unsettled_names).collect();
        if !more.is_empty() {
            for (owner, _) in &names {
                more.remove(owner);
            }
            names.extend(more.into_iter().map(|owner| (owner.clone(), Vec::new())));
            names.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        names.into_iter().filter_map(|(owner, rrsets)| self.wanted(zone, owner, rrsets, &mut givers)).collect()
    }

    /// One name of the zone; none if it holds nothing. The same as among [`Engine::wanted_names`].
    pub fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<WantedName> {
        let zone = self.authoritative(apex)?;
        let rrsets = zone.rrsets_at(owner);
        self.wanted(zone, owner.clone(), rrsets, &mut Givers::new())
    }

    /// True if the name is a level of a service record without targets, which holds a CNAME to the level above.
    pub fn is_empty_level(&self, wanted: &WantedName) -> bool {
        let Some(record) = wanted.record.as_ref().filter(|record| record.kind == RecordKind::Service) else {
            return false;
        };
        // What it holds while a host name has no answer may be less than what it held.
        let settled = wanted.unsettled.is_none();
        let Some(alias) = wanted.rrset(RecordType::CNAME).filter(|_| settled) else { return false };
        let Some(global) = self.records.get(record).and_then(|state| state.global.as_ref()) else { return false };
        let target = alias.data().first().and_then(|data| OwnerName::from_wire(data).ok());
        let above = self.context().globals_above(&wanted.owner);
        above.contains(global) && target.is_some_and(|target| target != wanted.owner)
    }

    /// Apexes of all zones that are served.
    pub fn apexes(&self) -> impl Iterator<Item = &OwnerName> {
        self.snapshot().zones().map(Zone::apex)
    }

    /// The names that an update may have changed for publishers, by zone: entries that changed, the levels that
    /// climb to them, and names whose addresses are the same but come from other targets.
    pub fn changed_names(&self, update: &Update) -> BTreeMap<OwnerName, ChangedNames> {
        let mut changed: BTreeMap<OwnerName, ChangedNames> = BTreeMap::new();
        for apex in &update.patch.removed_zones {
            changed.insert(apex.clone(), ChangedNames::All);
        }
        for (apex, zone) in &update.patch.zones {
            if zone.levels.is_some() {
                changed.insert(apex.clone(), ChangedNames::All);
            } else if zone.soa.is_some() {
                note(&mut changed, apex, [apex.clone()]);
            }
        }
        for change in &update.changes {
            note(&mut changed, &change.apex, [change.owner.clone()]);
            let climb = |entry: &Option<crate::answer::Entry>| entry.as_ref().and_then(|entry| entry.climb);
            if climb(&change.before) != climb(&change.after) {
                let levels = self.authoritative(&change.apex).map(|zone| zone.levels_below(&change.owner));
                note(&mut changed, &change.apex, levels.unwrap_or_default());
            }
        }
        for record in &update.records {
            let Some(state) = self.records.get(record) else { continue };
            for name in state.names_with_addresses().chain(state.unsettled_names()) {
                self.note_name(&mut changed, name);
            }
        }
        for name in &update.resettled {
            self.note_name(&mut changed, name);
        }
        changed
    }

    /// The record that a name comes from.
    pub fn record_at(&self, name: &OwnerName) -> Option<RecordKey> {
        Some(self.published().winner(name)?.claimant().key())
    }

    /// The names of a record that are not empty levels, or may not be once they can be told, by zone.
    pub fn names_of_record(&self, record: &RecordKey) -> BTreeMap<OwnerName, Vec<OwnerName>> {
        let mut names: BTreeMap<OwnerName, Vec<OwnerName>> = BTreeMap::new();
        let Some(state) = self.records.get(record) else { return names };
        let all: BTreeSet<&OwnerName> = state.names_with_addresses().chain(state.unsettled_names()).collect();
        for name in all {
            if let Some(zone) = self.zones.zone_of(name) {
                names.entry(self.zones.list[zone].apex.clone()).or_default().push(name.clone());
            }
        }
        names
    }

    fn note_name(&self, changed: &mut BTreeMap<OwnerName, ChangedNames>, name: &OwnerName) {
        if let Some(zone) = self.zones.zone_of(name) {
            note(changed, &self.zones.list[zone].apex, [name.clone()]);
        }
    }

    fn authoritative(&self, apex: &OwnerName) -> Option<&AuthoritativeZone> {
        self.snapshot().authoritative(apex).map(|zone| &**zone)
    }

    fn wanted(
        &self,
        zone: &AuthoritativeZone,
        owner: OwnerName,
        mut rrsets: Vec<Rrset>,
        givers: &mut Givers,
    ) -> Option<WantedName> {
        let apex = zone.apex().clone();
        if owner == apex {
            rrsets.push(Rrset::new(RecordType::SOA, zone.soa().ttl, vec![zone.soa().data().into()]));
        }
        rrsets.sort_by_key(|rrset| rrset.record_type);
        let address = |rrset: &&Rrset| matches!(rrset.record_type, RecordType::A | RecordType::AAAA);
        let with_addresses = rrsets.iter().find(address);
        let ttl = with_addresses.or(rrsets.first()).map_or(DEFAULT_TTL, |rrset| rrset.ttl);
        let (record, targets, reason) = self.giver(&apex, &owner, with_addresses.is_some(), givers);
        let state = record.as_ref().and_then(|record| self.records.get(record));
        let unsettled = state.and_then(|state| state.unsettled.as_ref()).filter(|one| one.names.contains(&owner));
        let unsettled = unsettled.map(Unsettled::why);
        if rrsets.is_empty() && unsettled.is_none() {
            return None;
        }
        Some(WantedName { owner, apex, rrsets, targets, ttl, record, reason, unsettled })
    }

    /// The record behind a name, what its clusters give there, and who wants it in words.
    fn giver(
        &self,
        apex: &OwnerName,
        owner: &OwnerName,
        has_addresses: bool,
        givers: &mut Givers,
    ) -> (Option<RecordKey>, Vec<ClusterTarget>, String) {
        let published = self.published();
        let in_zone = self.zones.zone_of(owner).is_some_and(|zone| self.zones.list[zone].apex == *apex);
        if !in_zone {
            return (None, Vec::new(), format!("delegation to {owner} or glue of it"));
        }
        if published.is_reserved(owner) {
            return (None, Vec::new(), "static record of the zone".to_owned());
        }
        if let Some(winner) = published.winner(owner) {
            let family = matches!(winner, Winner::Family(_));
            let key = winner.claimant().key();
            if !has_addresses {
                let what = if family { "empty level" } else { "alias" };
                let reason = format!("{key}: {what}");
                return (Some(key), Vec::new(), reason);
            }
            let by_name = givers.entry(key.clone()).or_insert_with(|| self.targets_by_name(&key));
            let targets = by_name.get(owner).cloned().unwrap_or_default();
            // At the apex the addresses may be those of a name server.
            let mut clusters: Vec<&str> = targets.iter().map(|one| &*one.cluster).collect();
            clusters.dedup();
            let reason = format!("{key}: {}", clusters.join(", "));
            return (Some(key), targets, reason);
        }
        if let Some(givers) = self.foreign.owners(owner) {
            return (None, Vec::new(), givers);
        }
        (None, Vec::new(), "the zone itself".to_owned())
    }

    fn targets_by_name(&self, key: &RecordKey) -> BTreeMap<OwnerName, Vec<ClusterTarget>> {
        let Some(computed) = self.context().compute(key, false) else { return BTreeMap::new() };
        let mut by_name: BTreeMap<OwnerName, BTreeSet<ClusterTarget>> = BTreeMap::new();
        for contribution in computed.chosen.contributions.iter().filter(|one| one.choice.is_used()) {
            let names = self.names_of(key, &computed, &contribution.cluster);
            for target in &contribution.targets {
                let addresses: BTreeSet<_> = match target {
                    Target::Address(address) => [*address].into(),
                    Target::HostName(host) => {
                        let known = self.model.host_addresses.get(host);
                        known.into_iter().flat_map(|known| &known.addresses).filter_map(|one| usable(*one)).collect()
                    }
                };
                if addresses.is_empty() {
                    continue;
                }
                let cluster = contribution.cluster.clone();
                let target = ClusterTarget { cluster, target: target.clone(), addresses };
                for name in &names {
                    by_name.entry(name.clone()).or_default().insert(target.clone());
                }
            }
        }
        by_name.into_iter().map(|(name, targets)| (name, targets.into_iter().collect())).collect()
    }

    /// The names of a record at which a cluster's addresses are.
    pub(super) fn names_of(&self, key: &RecordKey, computed: &Computed, cluster: &str) -> Vec<OwnerName> {
        if key.kind == RecordKind::Ingress {
            return computed.claims.iter().map(|claim| claim.name.clone()).collect();
        }
        let (Some(global), Some(apex)) = (&computed.global, &computed.domain) else { return Vec::new() };
        let mut names = vec![global.clone()];
        let state = self.clusters.states.get(cluster);
        let region = state.and_then(|state| state.locality.region.as_ref());
        if let (Some(state), Some(region), Some(prefix)) = (state, region, global.strip_suffix(apex)) {
            let levels = LevelNames { prefix, apex };
            names.extend(levels.region(region));
            let labels = state.locality.availability_zones.iter();
            names.extend(labels.filter_map(|label| levels.availability_zone(label, region)));
        }
        names
    }
}

fn note(changed: &mut BTreeMap<OwnerName, ChangedNames>, apex: &OwnerName, names: impl IntoIterator<Item = OwnerName>) {
    let here = changed.entry(apex.clone()).or_insert_with(|| ChangedNames::Names(BTreeSet::new()));
    if let ChangedNames::Names(known) = here {
        known.extend(names);
    }
}
