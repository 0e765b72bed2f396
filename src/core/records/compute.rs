//! One record by itself: what it claims, what it wants at each name, and what is wrong with it.
//!
//! Nothing here looks at other records; who gets a name that two want is decided in [`compose`](super::compose).
//! The names of a service record (KubeFed, with `first` = `externalName` or the record's name):
//!
//! ```text
//!   global             first.namespace.domain-ref.svc.                         domain
//!   region             first.namespace.domain-ref.svc.                 region. domain
//!   availability zone  first.namespace.domain-ref.svc.availability-zone.region.domain
//!   prefix             dnsPrefix.domain                                   CNAME to the global name
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use super::{
    DEFAULT_TTL, EmptyLevels,
    clusters::ClusterState,
    engine::Context,
    wire::{address_rrsets, alias_rrset},
    zones::DomainInfo,
};
use crate::{
    answer::Levels,
    dns::{OwnerName, Rrset, Ttl},
    model::{
        ClusterName, Fact, IngressFacts, IngressRecordFact, LoadBalancerItem, Object, PlacementFact, RecordKey,
        RecordKind, ServiceFacts, ServiceRecordFact, ServiceShard,
    },
    steering::{Candidate, Chosen, Offer, choose},
};

/// Largest TTL (RFC 2181 section 8).
const MAX_TTL: i64 = 2_147_483_647;

/// Why a record, or one name of it, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The Domain that it refers to does not exist.
    DomainMissing { domain_ref: Arc<str> },
    /// `recordTTL` is out of range.
    TtlOutOfRange { ttl: i64 },
    /// The Domain does not let the namespace claim names; with the name, or all names of the record.
    NamespaceNotAllowed { name: Option<OwnerName>, apex: OwnerName },
}

/// A name that the record gives but cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) name: String,
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "an empty name" } else { &self.name };
        write!(f, "{name} is left out: {}", self.why)
    }
}

/// What a record wants at one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Addresses.
    Addresses(Vec<Rrset>),
    /// An empty level that is an entry of its own: CNAME to the level above.
    Climb(Rrset),
    /// CNAME to the record's own global name, as long as the record holds that with addresses.
    Prefix(Rrset),
}

/// A name that the record claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: OwnerName,
    /// True for a global name whose level names are claimed with it.
    pub(crate) family: bool,
}

/// All that follows from one record and what is behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Computed {
    pub(crate) refusals: Vec<Refusal>,
    /// Apex of the Domain of a service record.
    pub(crate) domain: Option<OwnerName>,
    /// Global name of a service record in force.
    pub(crate) global: Option<OwnerName>,
    /// Set on a family: TTL of the CNAMEs of its empty levels.
    pub(crate) climb: Option<Ttl>,
    pub(crate) ttl: Ttl,
    pub(crate) claims: Vec<Claim>,
    /// Sorted by name.
    pub(crate) wanted: BTreeMap<OwnerName, Wanted>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) chosen: Chosen,
}

impl Computed {
    /// True if the record is in force: it may claim names.
    pub(crate) fn in_force(&self) -> bool {
        self.refusals.iter().all(|refusal| matches!(refusal, Refusal::NamespaceNotAllowed { name: Some(_), .. }))
    }
}

impl Context<'_> {
    /// Computes a record; none if there is no such record. With `all_clusters`, clusters without anything of
    /// the record are among the contributions too (for status); names come out the same.
    pub(crate) fn compute(&self, key: &RecordKey, all_clusters: bool) -> Option<Computed> {
        match key.kind {
            RecordKind::Service => {
                let facts = self.model.services.get(&key.name)?;
                let object = facts.record.as_deref()?;
                let Fact::ServiceRecord(spec) = &object.fact else { return None };
                Some(self.service(key, spec, facts, all_clusters))
            }
            RecordKind::Ingress => {
                let facts = self.model.ingresses.get(&key.name)?;
                let object = facts.record.as_deref()?;
                let Fact::IngressRecord(spec) = &object.fact else { return None };
                Some(self.ingress(key, spec, facts, all_clusters))
            }
        }
    }

    fn service(&self, key: &RecordKey, spec: &ServiceRecordFact, facts: &ServiceFacts, all: bool) -> Computed {
        let status = status_of(facts.status.as_deref());
        let mut clusters: BTreeSet<&ClusterName> = facts.shards.keys().collect();
        clusters.extend(status.iter().flat_map(|entries| entries.iter().map(|(cluster, _)| cluster)));
        let candidates = self.candidates(clusters, all, |cluster, state| {
            if !placed(facts.placement.as_deref(), cluster, state) {
                return Offer::NotPlaced;
            }
            if !state.observed {
                let told = status.and_then(|entries| entries.iter().find(|(name, _)| name == cluster));
                return told.map_or(Offer::Unobserved, |(_, items)| Offer::LoadBalancer(items));
            }
            facts.shards.get(cluster).map_or(Offer::Absent, |shard| shard.offer(spec.allow_without_endpoints))
        });
        let chosen = choose(&candidates, &self.model.host_addresses);
        let mut computed = Computed { chosen, ..Computed::default() };
        let domain = self.zones.domain(&spec.domain_ref);
        computed.domain = domain.map(|domain| domain.apex.clone());
        match domain {
            None => computed.refusals.push(Refusal::DomainMissing { domain_ref: spec.domain_ref.clone() }),
            Some(domain) if !domain.allows(&key.name.namespace) => {
                computed.refusals.push(Refusal::NamespaceNotAllowed { name: None, apex: domain.apex.clone() });
            }
            Some(_) => {}
        }
        computed.take_ttl(spec.ttl);
        if let (Some(domain), true) = (domain, computed.in_force()) {
            self.service_names(key, spec, domain, &mut computed);
        }
        computed
    }

    /// Fills in claims and wanted names of a service record in force.
    fn service_names(&self, key: &RecordKey, spec: &ServiceRecordFact, domain: &DomainInfo, computed: &mut Computed) {
        let first = if spec.external_name.is_empty() { &*key.name.name } else { without_dot(&spec.external_name) };
        let prefix = format!("{first}.{}.{}.svc", key.name.namespace, spec.domain_ref);
        let parsed = OwnerName::parse_host(&prefix, false).map_err(|error| error.to_string()).and_then(|prefix| {
            let labels = prefix.as_wire()[..prefix.as_wire().len() - 1].to_vec();
            let global = domain.apex.prepend_wire(&labels).map_err(|error| error.to_string())?;
            Ok((labels, global))
        });
        let field = if spec.external_name.is_empty() { "metadata.name" } else { "spec.externalName" };
        let (prefix, global) = match parsed {
            Ok(parsed) => parsed,
            Err(why) => {
                let name = format!("{prefix}.{} and all its levels", domain.apex);
                computed.left_out.push(LeftOut { name, field, why });
                return;
            }
        };
        let ttl = computed.ttl;
        let levels = LevelNames { prefix: &prefix, apex: &domain.apex };
        let addresses = self.addresses_by_level(&computed.chosen, &levels, &global);
        let expanded = self.zones.by_apex(&domain.apex).is_some_and(|zone| zone.expanded);
        let climbs = self.options.empty_levels == EmptyLevels::Climb;
        computed.claims.push(Claim { name: global.clone(), family: !expanded });
        for (name, addresses) in &addresses {
            computed.wanted.insert(name.clone(), Wanted::Addresses(address_rrsets(addresses, ttl)));
        }
        if expanded {
            for (name, above) in levels.all(&self.clusters.levels, &global) {
                computed.claims.push(Claim { name: name.clone(), family: false });
                if climbs && !addresses.contains_key(&name) {
                    computed.wanted.insert(name, Wanted::Climb(alias_rrset(&above, ttl)));
                }
            }
        } else if climbs {
            computed.climb = Some(ttl);
        }
        for name in levels.too_long(&self.clusters.levels) {
            computed.left_out.push(LeftOut { name, field, why: "the name has more than 253 characters".to_owned() });
        }
        if !spec.dns_prefix.is_empty() {
            self.prefix_name(spec, domain, &global, computed);
        }
        self.refuse_in_other_zones(&key.name.namespace, domain, computed);
        self.leave_out_misplaced(field, computed);
        computed.global = Some(global);
    }

    /// The CNAME that `dnsPrefix` asks for; where it equals a level of the record, the level keeps it.
    fn prefix_name(&self, spec: &ServiceRecordFact, domain: &DomainInfo, global: &OwnerName, computed: &mut Computed) {
        let text = format!("{}.{}", without_dot(&spec.dns_prefix), domain.apex);
        match OwnerName::parse_host(&text, false) {
            Ok(name) => {
                let own_level = name == *global
                    || computed.claims.iter().any(|claim| claim.name == name)
                    || self.globals_above(&name).iter().any(|above| above == global);
                if !own_level {
                    computed.claims.push(Claim { name: name.clone(), family: false });
                    computed.wanted.insert(name, Wanted::Prefix(alias_rrset(global, computed.ttl)));
                }
            }
            Err(error) => {
                computed.left_out.push(LeftOut { name: text, field: "spec.dnsPrefix", why: error.to_string() });
            }
        }
    }

    /// Addresses by name: global, region and each availability zone of every cluster in use.
    fn addresses_by_level(
        &self,
        chosen: &Chosen,
        levels: &LevelNames<'_>,
        global: &OwnerName,
    ) -> BTreeMap<OwnerName, BTreeSet<IpAddr>> {
        let mut addresses: BTreeMap<OwnerName, BTreeSet<IpAddr>> = BTreeMap::new();
        for contribution in chosen.contributions.iter().filter(|contribution| contribution.choice.is_used()) {
            let Some(state) = self.clusters.states.get(&contribution.cluster) else { continue };
            let mut names = vec![global.clone()];
            if let Some(region) = &state.locality.region {
                names.extend(levels.region(region));
                let zones = state.locality.availability_zones.iter();
                names.extend(zones.filter_map(|label| levels.availability_zone(label, region)));
            }
            for name in names {
                addresses.entry(name).or_default().extend(&contribution.addresses);
            }
        }
        addresses
    }

    fn ingress(&self, key: &RecordKey, spec: &IngressRecordFact, facts: &IngressFacts, all: bool) -> Computed {
        let status = status_of(facts.status.as_deref());
        let mut clusters: BTreeSet<&ClusterName> = facts.shards.keys().collect();
        clusters.extend(status.iter().flat_map(|entries| entries.iter().map(|(cluster, _)| cluster)));
        let candidates = self.candidates(clusters, all, |cluster, state| {
            if !placed(facts.placement.as_deref(), cluster, state) {
                return Offer::NotPlaced;
            }
            if !state.observed {
                let told = status.and_then(|entries| entries.iter().find(|(name, _)| name == cluster));
                return told.map_or(Offer::Unobserved, |(_, items)| Offer::LoadBalancer(items));
            }
            match facts.shards.get(cluster).map(|object| &object.fact) {
                Some(Fact::LoadBalancer(items)) => Offer::LoadBalancer(items),
                _ => Offer::Absent,
            }
        });
        let chosen = choose(&candidates, &self.model.host_addresses);
        let mut computed = Computed { chosen, ..Computed::default() };
        computed.take_ttl(spec.ttl);
        if !computed.in_force() {
            return computed;
        }
        let mut addresses = BTreeSet::new();
        for contribution in computed.chosen.contributions.iter().filter(|one| one.choice.is_used()) {
            addresses.extend(&contribution.addresses);
        }
        let rrsets = address_rrsets(&addresses, computed.ttl);
        let mut seen = BTreeSet::new();
        for host in &spec.hosts {
            let name = match OwnerName::parse_host(host, true) {
                Ok(name) => name,
                Err(error) => {
                    let (name, why) = (host.clone(), error.to_string());
                    computed.left_out.push(LeftOut { name, field: "spec.hosts", why });
                    continue;
                }
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            let zone = self.zones.zone_of(&name).map(|index| &self.zones.list[index]);
            if let Some(zone) = zone.filter(|zone| !zone.allows(&key.name.namespace)) {
                let apex = zone.apex.clone();
                computed.refusals.push(Refusal::NamespaceNotAllowed { name: Some(name), apex });
                continue;
            }
            computed.claims.push(Claim { name: name.clone(), family: false });
            if !rrsets.is_empty() {
                computed.wanted.insert(name, Wanted::Addresses(rrsets.clone()));
            }
        }
        self.leave_out_misplaced("spec.hosts", &mut computed);
        computed
    }

    /// Names of a service record that lie in the zone of another Domain, which does not let the namespace claim
    /// them: levels and the prefix below the cut of a child.
    fn refuse_in_other_zones(&self, namespace: &str, domain: &DomainInfo, computed: &mut Computed) {
        if self.zones.list.iter().all(|zone| zone.allows(namespace)) {
            return;
        }
        let mut refused = BTreeMap::new();
        for name in computed.explicit_names() {
            let zone = self.zones.zone_of(name).map(|index| &self.zones.list[index]);
            if let Some(zone) = zone.filter(|zone| zone.apex != domain.apex && !zone.allows(namespace)) {
                refused.insert(name.clone(), zone.apex.clone());
            }
        }
        for (name, apex) in refused {
            computed.claims.retain(|claim| claim.family || claim.name != name);
            computed.wanted.remove(&name);
            computed.refusals.push(Refusal::NamespaceNotAllowed { name: Some(name), apex });
        }
    }

    /// No CNAME may stand at an apex, and nothing at the name of a zone's own server.
    fn leave_out_misplaced(&self, field: &'static str, computed: &mut Computed) {
        let mut refused = Vec::new();
        for name in computed.explicit_names() {
            let Some(zone) = self.zones.zone_of(name).map(|index| &self.zones.list[index]) else { continue };
            let alias = matches!(computed.wanted.get(name), Some(Wanted::Climb(_) | Wanted::Prefix(_)));
            refused.extend(zone.refuses(name, alias).map(|why| (name.clone(), why)));
        }
        refused.sort();
        refused.dedup();
        for (name, why) in refused {
            computed.claims.retain(|claim| claim.family || claim.name != name);
            let field = match computed.wanted.remove(&name) {
                Some(Wanted::Prefix(_)) => "spec.dnsPrefix",
                _ => field,
            };
            computed.left_out.push(LeftOut { name: name.to_string(), field, why });
        }
    }

    /// The candidates among `clusters`, or among all; clusters that the host does not know are none.
    fn candidates<'a>(
        &self,
        clusters: BTreeSet<&ClusterName>,
        all: bool,
        offer: impl Fn(&ClusterName, &ClusterState) -> Offer<'a>,
    ) -> Vec<Candidate<'a>> {
        let candidate = |cluster: &ClusterName, state: &ClusterState| Candidate {
            cluster: cluster.clone(),
            standing: state.standing,
            offer: offer(cluster, state),
        };
        if all {
            self.clusters.states.iter().map(|(cluster, state)| candidate(cluster, state)).collect()
        } else {
            let known = clusters.into_iter().filter_map(|cluster| self.clusters.states.get_key_value(cluster));
            known.map(|(cluster, state)| candidate(cluster, state)).collect()
        }
    }

    /// The global names, of any zone with Domains, that `name` would be a level of.
    pub(crate) fn globals_above(&self, name: &OwnerName) -> Vec<OwnerName> {
        let mut globals = Vec::new();
        self.each_global_above(name.as_wire(), |wire| globals.extend(OwnerName::from_wire(wire)));
        globals
    }

    /// The same without allocation for each: calls `visit` with the wire format of each global name.
    pub(crate) fn each_global_above(&self, name: &[u8], mut visit: impl FnMut(&[u8])) {
        let (mut starts, mut at) = (Vec::with_capacity(16), 0);
        while let Some(&length) = name.get(at).filter(|&&length| length > 0) {
            starts.push(at);
            at += 1 + usize::from(length);
        }
        let label = |index: usize| str::from_utf8(&name[starts[index] + 1..][..usize::from(name[starts[index]])]).ok();
        let mut wire = Vec::with_capacity(name.len());
        // The apex starts at label `apex`; the region is the label before it, and one more must be in front.
        for apex in 2..starts.len() {
            if !self.zones.has_domains(&name[starts[apex]..]) {
                continue;
            }
            let Some(availability_zones) = label(apex - 1).and_then(|label| self.clusters.levels.regions.get(label))
            else {
                continue;
            };
            let mut global = |end: usize| {
                wire.clear();
                wire.extend_from_slice(&name[..starts[end]]);
                wire.extend_from_slice(&name[starts[apex]..]);
                visit(&wire);
            };
            global(apex - 1);
            if apex >= 3 && label(apex - 2).is_some_and(|label| availability_zones.contains(label)) {
                global(apex - 2);
            }
        }
    }
}

impl Computed {
    /// Names that the record claims one by one, or wants something at.
    fn explicit_names(&self) -> impl Iterator<Item = &OwnerName> {
        let claimed = self.claims.iter().filter(|claim| !claim.family).map(|claim| &claim.name);
        claimed.chain(self.wanted.keys())
    }

    /// TTL 0 means the default; what is out of range refuses the record.
    fn take_ttl(&mut self, written: i64) {
        self.ttl = match Ttl::try_from(written) {
            Ok(0) => DEFAULT_TTL,
            Ok(ttl) if written <= MAX_TTL => ttl,
            _ => {
                self.refusals.push(Refusal::TtlOutOfRange { ttl: written });
                DEFAULT_TTL
            }
        };
        if let Some(limit) = self.chosen.ttl_limit {
            self.ttl = self.ttl.min(limit);
        }
    }
}

impl DomainInfo {
    pub(crate) fn allows(&self, namespace: &str) -> bool {
        self.allowed_namespaces.as_ref().is_none_or(|allowed| allowed.iter().any(|name| **name == *namespace))
    }
}

impl ServiceShard {
    /// What the shard holds; slices make the Endpoints object count for nothing.
    fn offer(&self, allow_without_endpoints: bool) -> Offer<'_> {
        let Some(Fact::LoadBalancer(items)) = self.service.as_deref().map(|object| &object.fact) else {
            return Offer::Absent;
        };
        let objects: Vec<&Arc<Object>> =
            if self.slices.is_empty() { self.endpoints.iter().collect() } else { self.slices.values().collect() };
        let endpoints = || objects.iter().filter_map(|object| as_endpoints(object)).flatten();
        if allow_without_endpoints || endpoints().any(|endpoint| endpoint.ready) {
            Offer::LoadBalancer(items)
        } else {
            Offer::NoReadyEndpoint { endpoints: endpoints().count() }
        }
    }
}

fn as_endpoints(object: &Object) -> Option<&[crate::model::Endpoint]> {
    match &object.fact {
        Fact::Endpoints(endpoints) => Some(&endpoints.endpoints),
        _ => None,
    }
}

fn status_of(object: Option<&Object>) -> Option<&[(ClusterName, Vec<LoadBalancerItem>)]> {
    match object.map(|object| &object.fact) {
        Some(Fact::ServiceStatus(entries)) => Some(entries),
        _ => None,
    }
}

/// True if a status has an entry for the cluster.
pub(super) fn tells_of(status: Option<&Object>, cluster: &ClusterName) -> bool {
    status_of(status).is_some_and(|entries| entries.iter().any(|(name, _)| name == cluster))
}

/// Without a federated object every cluster may contribute.
pub(super) fn placed(placement: Option<&Object>, cluster: &ClusterName, state: &ClusterState) -> bool {
    match placement.map(|object| &object.fact) {
        Some(Fact::Placement(placement)) => PlacementFact::includes(placement, cluster, &state.fact().labels),
        _ => true,
    }
}

fn without_dot(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

/// Names of the levels of one service record. Labels that would make a name too long give none.
pub(crate) struct LevelNames<'a> {
    /// `first.namespace.domain-ref.svc` in wire format, without the root label.
    pub(crate) prefix: &'a [u8],
    pub(crate) apex: &'a OwnerName,
}

impl LevelNames<'_> {
    pub(crate) fn region(&self, region: &str) -> Option<OwnerName> {
        self.apex.child(region.as_bytes()).ok()?.prepend_wire(self.prefix).ok()
    }

    pub(crate) fn availability_zone(&self, label: &str, region: &str) -> Option<OwnerName> {
        let below = self.apex.child(region.as_bytes()).ok()?.child(label.as_bytes()).ok()?;
        below.prepend_wire(self.prefix).ok()
    }

    /// Every level below the global one with the name above it.
    pub(crate) fn all(&self, levels: &Levels, global: &OwnerName) -> Vec<(OwnerName, OwnerName)> {
        let mut names = Vec::new();
        for (region, availability_zones) in &levels.regions {
            let Some(regional) = self.region(region) else { continue };
            for label in availability_zones {
                names.extend(self.availability_zone(label, region).map(|name| (name, regional.clone())));
            }
            names.push((regional, global.clone()));
        }
        names
    }

    /// The level names that do not fit into 255 octets, as text.
    fn too_long(&self, levels: &Levels) -> Vec<String> {
        let mut names = Vec::new();
        let room = 255 - self.prefix.len() - self.apex.as_wire().len();
        let text = |levels: &str| {
            let prefix: Vec<u8> = self.prefix.iter().copied().chain([0]).collect();
            OwnerName::from_wire(&prefix).map(|prefix| format!("{prefix}.{levels}.{}", self.apex)).unwrap_or_default()
        };
        for (region, availability_zones) in &levels.regions {
            if region.len() + 1 > room {
                names.push(text(region));
            }
            let longest = availability_zones.iter().filter(|label| label.len() + region.len() + 2 > room);
            names.extend(longest.map(|label| text(&format!("{label}.{region}"))));
        }
        names
    }
}
