//! From observations to patches, in proportion to what changed.
//!
//! ```text
//!   observations ─► holds ─► model ─► touched ─┬─ Domain, new level ──► everything
//!                                              ├─ cluster ────────────► records with something there
//!                                              ├─ record, host name ──► those records
//!                                              └─ foreign RRsets ─────► those names
//!                   records computed anew ─► names that may differ ─► composed, compared ─► Patch
//! ```
//!
//! The full computation is the same code with every record and every name; a test holds the two equal.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Options,
    accept::{Accepted, accept},
    claims::{Claimant, Claims},
    clusters::Clusters,
    compute::{Claim, Computed, Wanted, tells_of},
    foreign::Foreign,
    hold::{Counts, Holds},
    host_users::HostUsers,
    unsettled::Unsettled,
    update::{NameChange, Update},
    wire::{NameMap, alias_rrset},
    zones::Zones,
};
use crate::{
    answer::{Entry, Levels, Patch, PatchError, Snapshot, Soa, Zone, ZonePatch},
    check::Finding,
    dns::{OwnerName, Rrset, Serial, Ttl},
    model::{
        ClusterName, HostWord, Kind, Model, NamespacedName, Object, Observation, RecordKey, RecordKind, Scope,
        Timestamp, Touched,
    },
    steering::Target,
};

/// Everything that is known and what follows from it.
#[derive(Debug)]
pub struct Engine {
    pub(super) options: Options,
    pub(super) model: Model,
    pub(super) clusters: Clusters,
    pub(super) zones: Zones,
    pub(super) claims: Claims,
    pub(super) records: BTreeMap<RecordKey, RecordState>,
    pub(super) foreign: Foreign,
    pub(super) holds: Holds,
    counts: Counts,
    host_users: HostUsers,
    /// Names that were unsettled when their record was computed anew, since the last update.
    resettled: BTreeSet<OwnerName>,
    snapshot: Snapshot,
    /// False until the zones of the options were put into the snapshot.
    started: bool,
}

/// What the parts of this room read while they compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) model: &'a Model,
    pub(super) clusters: &'a Clusters,
    pub(super) zones: &'a Zones,
}

/// The same with what all records want.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published<'a> {
    pub(super) context: Context<'a>,
    pub(super) claims: &'a Claims,
    pub(super) records: &'a BTreeMap<RecordKey, RecordState>,
    pub(super) foreign: &'a NameMap<Vec<Rrset>>,
}

/// What is kept of a computed record: as much as other records and later changes need.
#[derive(Debug)]
pub(crate) struct RecordState {
    pub(super) claimant: Claimant,
    pub(super) global: Option<OwnerName>,
    pub(super) climb: Option<Ttl>,
    claims: Vec<Claim>,
    wanted: Box<[(OwnerName, Wanted)]>,
    hosts: BTreeSet<Arc<str>>,
    pub(super) unsettled: Option<Unsettled>,
    pub(super) findings: Vec<Finding>,
}

/// Names to compose again, by zone. A name can stand in two zones: at and below a delegation.
#[derive(Debug)]
pub(super) enum Affected {
    All,
    Names(BTreeSet<OwnerName>),
}

/// What a record that is computed anew may change.
struct AffectedSets<'a> {
    names: &'a mut BTreeSet<OwnerName>,
    /// Records that claim one of its names too.
    rivals: &'a mut BTreeSet<RecordKey>,
}

impl Engine {
    /// An engine that knows nothing and serves nothing but what the options hold.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            model: Model::default(),
            clusters: Clusters::default(),
            zones: Zones::default(),
            claims: Claims::default(),
            records: BTreeMap::new(),
            foreign: Foreign::default(),
            holds: Holds::default(),
            counts: Counts::default(),
            host_users: HostUsers::default(),
            resettled: BTreeSet::new(),
            snapshot: Snapshot::default(),
            started: false,
        }
    }

    /// What is served now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// When to call [`Engine::observe`] again even if nothing is observed: the end of a grace.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.clusters.next_deadline()
    }

    /// When clusters were first seen unready and what is held, to be kept over a restart.
    pub fn memory(&self) -> (BTreeMap<ClusterName, Timestamp>, Holds) {
        (self.clusters.first_unready.clone(), self.holds.clone())
    }

    /// Takes back what [`Engine::memory`] gave before a restart; before the first observation.
    pub fn remember(&mut self, first_unready: BTreeMap<ClusterName, Timestamp>, holds: Holds) {
        self.clusters.first_unready = first_unready;
        self.holds = holds;
    }

    /// Host names among the targets of all records: what a resolver must look up.
    pub fn host_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.host_users.names()
    }

    /// True if a resolver has answered for every one of [`Engine::host_names`], be it that there are no addresses.
    pub fn knows_host_names(&self) -> bool {
        self.host_names().all(|name| self.model.host_addresses.contains_key(name))
    }

    /// Takes in observations; an empty slice lets time pass. Without a clock, grace is over.
    ///
    /// They are what a source read: an observation of a KubeFedCluster is the host's own word.
    pub fn observe(&mut self, observations: &[Observation], now: Option<Timestamp>) -> Update {
        let clusters = observations.iter().filter(|one| one.key.scope == Scope::Host && one.key.kind == Kind::Cluster);
        let heard = clusters.map(|one| ClusterName::clone(&one.key.name)).collect();
        self.observe_with(observations, &HostWord { heard, ..HostWord::default() }, now)
    }

    /// The same for a source that says apart what is the host's own word.
    pub fn observe_with(&mut self, observations: &[Observation], word: &HostWord, now: Option<Timestamp>) -> Update {
        let first = !std::mem::replace(&mut self.started, true);
        let accepted = self.holds.filter(observations, &word.left, &mut self.counts, &self.model);
        let mut touched = BTreeSet::new();
        for observation in &accepted {
            if self.model.slice_moves(observation) {
                let leaves = Observation { key: observation.key.clone(), object: None };
                touched.extend(self.model.apply(&leaves));
            }
            touched.extend(self.model.apply(observation));
        }
        // Clusters are looked at when one of them is touched or a grace ends, so that the many changes of
        // endpoints in between do not pay for their number.
        let overruled = self.overrule_cordons(&word.heard);
        let clusters_touched = overruled || touched.iter().any(|touched| matches!(touched, Touched::Cluster(_)));
        let grace_over = match (self.clusters.next_deadline(), now) {
            (Some(deadline), Some(now)) => deadline <= now,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let (clusters, levels_changed) = if first || clusters_touched || grace_over {
            self.clusters.refresh(&self.model, &self.options, now)
        } else {
            (Vec::new(), false)
        };
        let domains_touched = touched.iter().any(|touched| matches!(touched, Touched::Domain(_)));
        if first || levels_changed || domains_touched {
            self.zones = Zones::build(&self.model, &self.options, &self.clusters.levels);
            self.recompute_everything();
            let update = self.update(Affected::All, accepted);
            return Update { all_records: true, ..update };
        }
        let (names, records) = self.recompute(&touched, &clusters);
        let update = self.update(Affected::Names(names), accepted);
        // The entry of a cluster stands in the status of every record.
        Update { records, all_records: clusters_touched || grace_over, ..update }
    }

    /// Replaces what is set, for instance when a master file changed; everything is computed anew.
    pub fn set_options(&mut self, options: Options, now: Option<Timestamp>) -> Update {
        self.options = options;
        self.clusters.refresh(&self.model, &self.options, now);
        self.zones = Zones::build(&self.model, &self.options, &self.clusters.levels);
        self.recompute_everything();
        let update = self.update(Affected::All, Vec::new());
        Update { all_records: true, ..update }
    }

    /// Puts what differs into the snapshot.
    pub(super) fn update(&mut self, affected: Affected, accepted: Vec<Observation>) -> Update {
        let (patch, changes) = self.difference(affected);
        let Accepted { snapshot, patch, changes, refused } = accept(&self.snapshot, patch, changes);
        self.snapshot = snapshot;
        let host_names_changed = self.host_users.settle();
        let resettled = std::mem::take(&mut self.resettled);
        Update { patch, accepted, changes, refused, host_names_changed, resettled, ..Update::default() }
    }

    /// Gives a zone of the snapshot and of `patch`, which led to it, the SOA with this serial.
    ///
    /// # Errors
    ///
    /// There is no such zone in the snapshot.
    pub fn set_serial(&mut self, patch: &mut Patch, apex: &OwnerName, soa: Soa) -> Result<(), PatchError> {
        let zone = ZonePatch { soa: Some(soa.clone()), ..ZonePatch::default() };
        let only = Patch { zones: BTreeMap::from([(apex.clone(), zone)]), ..Patch::default() };
        self.snapshot = self.snapshot.apply(&only)?;
        if let Some(zone) = patch.zones.get_mut(apex) {
            zone.soa = Some(soa);
        }
        Ok(())
    }

    /// What a name holds as a person sees it: the RRsets of its entry, or the CNAME of an empty level.
    pub fn shown(&self, owner: &OwnerName, entry: Option<&Entry>) -> Vec<Rrset> {
        match entry {
            Some(entry) if entry.is_withheld() => Vec::new(),
            Some(entry) if !entry.rrsets.is_empty() => entry.rrsets.clone(),
            _ => self.implied(owner).into_iter().collect(),
        }
    }

    /// The CNAME of an empty level that has no entry of its own.
    fn implied(&self, owner: &OwnerName) -> Option<Rrset> {
        let globals = self.context().globals_above(owner);
        let climbing = globals.iter().find_map(|global| {
            let family = self.claims.first_family(global.as_wire())?;
            let ttl = self.records.get(&family.key())?.climb?;
            Some((global, ttl))
        });
        let (global, ttl) = climbing?;
        if owner.label_count() == global.label_count() + 1 {
            return Some(alias_rrset(global, ttl));
        }
        // An availability zone: its label is the first that the global name does not share.
        let shared: usize =
            owner.labels().zip(global.labels()).take_while(|(a, b)| a == b).map(|(label, _)| label.len() + 1).sum();
        let wire = owner.as_wire();
        let behind = shared + 1 + usize::from(wire[shared]);
        let region = OwnerName::from_wire(&[&wire[..shared], &wire[behind..]].concat()).ok()?;
        Some(alias_rrset(&region, ttl))
    }

    /// Serial that a master file gives its zone, if no Domain makes names in it.
    pub fn static_serial(&self, apex: &OwnerName) -> Option<Serial> {
        let zone = self.zones.by_apex(apex).filter(|zone| zone.domains.is_empty())?;
        Some(zone.static_zone.as_ref()?.soa.serial)
    }

    /// Name of the Domain that the zone `apex` belongs to (the oldest of several), in the system namespace; none for a
    /// zone of static records alone.
    pub fn domain_of(&self, apex: &OwnerName) -> Option<&Arc<str>> {
        self.zones.by_apex(apex)?.domains.first().map(|domain| &domain.name)
    }

    /// Apex of the zone that this Domain of the system namespace stands for: none if there is none, or if an older
    /// Domain has the same one.
    pub fn apex_of(&self, domain: &str) -> Option<&OwnerName> {
        let apex = &self.zones.domain(domain)?.apex;
        self.domain_of(apex).is_some_and(|oldest| **oldest == *domain).then_some(apex)
    }

    /// What is set.
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context { options: &self.options, model: &self.model, clusters: &self.clusters, zones: &self.zones }
    }

    pub(super) fn published(&self) -> Published<'_> {
        Published {
            context: self.context(),
            claims: &self.claims,
            records: &self.records,
            foreign: self.foreign.by_name(),
        }
    }

    fn recompute_everything(&mut self) {
        self.claims = Claims::default();
        let context =
            Context { options: &self.options, model: &self.model, clusters: &self.clusters, zones: &self.zones };
        for name in self.zones.reserved_names() {
            self.claims.add_reserved(name, context.globals_above(name));
        }
        for state in std::mem::take(&mut self.records).into_values() {
            self.resettled.extend(state.unsettled.into_iter().flat_map(|unsettled| unsettled.names));
        }
        self.host_users.remove_all();
        let services = self.model.services.iter().filter(|(_, facts)| facts.record.is_some());
        let ingresses = self.model.ingresses.iter().filter(|(_, facts)| facts.record.is_some());
        let keys: Vec<RecordKey> = services
            .map(|(name, _)| RecordKey { kind: RecordKind::Service, name: name.clone() })
            .chain(ingresses.map(|(name, _)| RecordKey { kind: RecordKind::Ingress, name: name.clone() }))
            .collect();
        for key in &keys {
            self.recompute_record(key, None);
        }
        let keys: BTreeSet<NamespacedName> =
            self.foreign.keys().into_iter().chain(self.model.foreign.keys().cloned()).collect();
        for key in &keys {
            self.recompute_foreign(key);
        }
    }

    /// Computes what `touched` and `clusters` lead to; returns the names and the records that may have changed.
    pub(super) fn recompute(
        &mut self,
        touched: &BTreeSet<Touched>,
        clusters: &[ClusterName],
    ) -> (BTreeSet<OwnerName>, BTreeSet<RecordKey>) {
        let mut records = BTreeSet::new();
        let mut foreign = BTreeSet::new();
        for touched in touched {
            match touched {
                Touched::Record(key) => {
                    foreign.extend(Foreign::of_record(&self.model.foreign, key.kind, &key.name));
                    records.insert(key.clone());
                }
                Touched::HostName(host) => records.extend(self.host_users.of(host).cloned()),
                Touched::Foreign(key) => {
                    foreign.insert(key.clone());
                }
                // A cluster whose change matters is among `clusters`.
                Touched::Domain(_) | Touched::Cluster(_) => {}
            }
        }
        for cluster in clusters {
            self.records_of_cluster(cluster, &mut records);
        }
        let mut names = BTreeSet::new();
        let mut rivals = BTreeSet::new();
        for key in &records {
            self.recompute_record(key, Some(&mut AffectedSets { names: &mut names, rivals: &mut rivals }));
        }
        for key in &foreign {
            names.extend(self.recompute_foreign(key));
        }
        records.extend(rivals);
        (names, records)
    }

    /// Records that have something in the cluster.
    fn records_of_cluster(&self, cluster: &ClusterName, records: &mut BTreeSet<RecordKey>) {
        for (name, facts) in &self.model.services {
            if facts.record.is_some()
                && (facts.shards.contains_key(cluster) || tells_of(facts.status.as_deref(), cluster))
            {
                records.insert(RecordKey { kind: RecordKind::Service, name: name.clone() });
            }
        }
        for (name, facts) in &self.model.ingresses {
            if facts.record.is_some()
                && (facts.shards.contains_key(cluster) || tells_of(facts.status.as_deref(), cluster))
            {
                records.insert(RecordKey { kind: RecordKind::Ingress, name: name.clone() });
            }
        }
    }

    /// Computes one record anew. With `affected`, what may differ now is put there.
    fn recompute_record(&mut self, key: &RecordKey, mut affected: Option<&mut AffectedSets<'_>>) {
        if let Some(before) = self.records.remove(key) {
            if let Some(affected) = affected.as_deref_mut() {
                self.note_affected(&before, affected);
            }
            self.withdraw(key, &before);
            self.resettled.extend(before.unsettled.into_iter().flat_map(|unsettled| unsettled.names));
        }
        let Some(state) = self.compute_state(key) else { return };
        self.enter(key, &state);
        if let Some(affected) = affected {
            self.note_affected(&state, affected);
        }
        self.records.insert(key.clone(), state);
    }

    fn compute_state(&self, key: &RecordKey) -> Option<RecordState> {
        let computed = self.context().compute(key, false)?;
        let object = self.record_object(key)?;
        let findings = self.record_findings(key, object, &computed);
        let targets = computed.chosen.contributions.iter().flat_map(|contribution| &contribution.targets);
        let hosts = targets.filter_map(|target| match target {
            Target::HostName(host) => Some(host.clone()),
            Target::Address(_) => None,
        });
        let hosts = hosts.collect();
        let unsettled = self.unsettled(key, &computed);
        let Computed { global, climb, claims, wanted, .. } = computed;
        let claimant = Claimant::new(key, object.created);
        let wanted = wanted.into_iter().collect();
        Some(RecordState { claimant, global, climb, claims, wanted, hosts, unsettled, findings })
    }

    /// A record as last seen.
    pub fn object(&self, key: &RecordKey) -> Option<&Object> {
        self.record_object(key).map(|object| &**object)
    }

    pub(super) fn record_object(&self, key: &RecordKey) -> Option<&Arc<Object>> {
        match key.kind {
            RecordKind::Service => self.model.services.get(&key.name)?.record.as_ref(),
            RecordKind::Ingress => self.model.ingresses.get(&key.name)?.record.as_ref(),
        }
    }

    fn enter(&mut self, key: &RecordKey, state: &RecordState) {
        for claim in &state.claims {
            if claim.family {
                self.claims.add_family(&claim.name, &state.claimant);
            } else {
                let globals = self.context().globals_above(&claim.name);
                self.claims.add_single(&claim.name, globals, &state.claimant);
            }
        }
        for host in &state.hosts {
            self.host_users.add(host, key);
        }
    }

    fn withdraw(&mut self, key: &RecordKey, state: &RecordState) {
        for claim in &state.claims {
            if claim.family {
                self.claims.remove_family(&claim.name, &state.claimant);
            } else {
                let globals = self.context().globals_above(&claim.name);
                self.claims.remove_single(&claim.name, &globals, &state.claimant);
            }
        }
        for host in &state.hosts {
            self.host_users.remove(host, key);
        }
    }

    /// The names whose entry can depend on this state of a record: its own, and those of records that share a
    /// claim with it.
    fn note_affected(&self, state: &RecordState, affected: &mut AffectedSets<'_>) {
        affected.names.extend(state.wanted.iter().map(|(name, _)| name.clone()));
        for claim in &state.claims {
            affected.names.insert(claim.name.clone());
            let rivals: Vec<&Claimant> =
                self.claims.single(&claim.name).chain(self.claims.families(&claim.name)).collect();
            for rival in rivals.iter().filter(|rival| ***rival != state.claimant) {
                if let Some(state) = self.records.get(&rival.key()) {
                    affected.names.extend(state.wanted.iter().map(|(name, _)| name.clone()));
                    affected.rivals.insert(rival.key());
                }
            }
            if claim.family {
                affected.names.extend(self.claims.beneath(&claim.name).cloned());
            }
        }
    }

    fn recompute_foreign(&mut self, key: &NamespacedName) -> Vec<OwnerName> {
        let context =
            Context { options: &self.options, model: &self.model, clusters: &self.clusters, zones: &self.zones };
        let object = self.model.foreign.get(key).filter(|_| !context.is_ours(key));
        let now = object.map(|object| context.foreign_names(key, object));
        let model = &self.model;
        self.foreign.update(key, now, |key| model.foreign.get(key)?.created.map(|created| created.0))
    }

    /// Composes the affected names and keeps what differs from the snapshot.
    fn difference(&self, affected: Affected) -> (Patch, Vec<NameChange>) {
        let published = self.published();
        let mut patch = Patch::default();
        let mut changes = Vec::new();
        let full = matches!(affected, Affected::All);
        if full {
            let served = self.snapshot.zones().map(Zone::apex);
            patch.removed_zones = served.filter(|apex| self.zones.by_apex(apex).is_none()).cloned().collect();
        }
        let mut by_zone: BTreeMap<usize, BTreeSet<OwnerName>> = BTreeMap::new();
        match affected {
            Affected::Names(names) => {
                for name in names {
                    if let Some(zone) = self.zones.zone_of(&name) {
                        by_zone.entry(zone).or_default().insert(name);
                    }
                }
            }
            Affected::All => self.all_names(&mut by_zone),
        }
        let levels = match self.options.empty_levels {
            super::EmptyLevels::Climb => self.clusters.levels.clone(),
            super::EmptyLevels::Omit => Levels::default(),
        };
        for (index, names) in by_zone {
            let zone = &self.zones.list[index];
            let served = self.snapshot.zone(&zone.apex);
            let mut change = ZonePatch::default();
            for name in names {
                let before = served.and_then(|served| served.entry(&name));
                let after = published.compose(index, &name);
                if before != after {
                    change.names.insert(name.clone(), after.clone());
                    changes.push(NameChange { apex: zone.apex.clone(), owner: name, before, after });
                }
            }
            if full {
                let levels = if zone.domains.is_empty() { Levels::default() } else { levels.clone() };
                let differs = served.is_none_or(|served| *served.levels() != levels);
                change.levels = differs.then_some(levels);
                let same_soa = |served: &Zone| Soa { serial: zone.soa.serial, ..served.soa().clone() } == zone.soa;
                if !served.is_some_and(same_soa) {
                    let serial = served.map_or(zone.soa.serial, |served| served.soa().serial);
                    change.soa = Some(Soa { serial, ..zone.soa.clone() });
                }
            }
            if change != ZonePatch::default() {
                patch.zones.insert(zone.apex.clone(), change);
            }
        }
        changes.sort_by(|a, b| (&a.owner, &a.apex).cmp(&(&b.owner, &b.apex)));
        (patch, changes)
    }

    /// Every name that is served or wanted anywhere, by zone; each zone is there even without a name.
    fn all_names(&self, by_zone: &mut BTreeMap<usize, BTreeSet<OwnerName>>) {
        for (index, zone) in self.zones.list.iter().enumerate() {
            let names = by_zone.entry(index).or_default();
            names.extend(zone.generated.keys().cloned());
            names.extend(zone.static_zone.iter().flat_map(|static_zone| static_zone.names.keys().cloned()));
            if let Some(served) = self.snapshot.zone(&zone.apex) {
                names.extend(served.entries().map(|(name, _)| name));
            }
        }
        let wanted = self.records.values().flat_map(|state| state.wanted.iter().map(|(name, _)| name));
        let claimed = self.records.values().flat_map(|state| state.claims.iter().map(|claim| &claim.name));
        for name in wanted.chain(claimed).chain(self.foreign.by_name().keys()) {
            if let Some(zone) = self.zones.zone_of(name) {
                by_zone.entry(zone).or_default().insert(name.clone());
            }
        }
    }
}

impl RecordState {
    /// What the record wants at a name.
    pub(super) fn wanted(&self, name: &OwnerName) -> Option<&Wanted> {
        let index = self.wanted.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        Some(&self.wanted[index].1)
    }

    /// Names at which the record wants addresses.
    pub(super) fn names_with_addresses(&self) -> impl Iterator<Item = &OwnerName> {
        self.wanted.iter().filter(|(_, wanted)| matches!(wanted, Wanted::Addresses(_))).map(|(name, _)| name)
    }

    /// Names of which the record cannot tell yet what they hold.
    pub(super) fn unsettled_names(&self) -> impl Iterator<Item = &OwnerName> {
        self.unsettled.iter().flat_map(|unsettled| &unsettled.names)
    }

    /// All names that the record claims.
    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }
}
