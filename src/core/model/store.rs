//! Everything that is known at one moment, filed by what depends on it.
//!
//! [`Model::apply`] takes one observation and says what it touches; nothing is computed here. Objects that
//! belong to one record stand together (`ServiceFacts`, `IngressFacts`), so that a change leads to its record
//! by one look-up, whatever the size of the federation.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ClusterName, Fact, HostAddressesFact, Kind, NodeFact, Object, ObjectKey, Observation, Origin, Scope};

/// Namespace and name of a namespaced object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name within it.
    pub name: Arc<str>,
}

/// The two kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// IngressDNSRecord.
    Ingress,
    /// ServiceDNSRecord.
    Service,
}

/// Identity of a record. Its namespace and name are those of the Service or Ingress in the members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// Service or ingress.
    pub kind: RecordKind,
    /// Namespace and name of the record.
    pub name: NamespacedName,
}

/// All facts that a service record depends on by its name.
#[derive(Debug, Default)]
pub struct ServiceFacts {
    /// The ServiceDNSRecord.
    pub record: Option<Arc<Object>>,
    /// The FederatedService's placement.
    pub placement: Option<Arc<Object>>,
    /// The FederatedServiceStatus.
    pub status: Option<Arc<Object>>,
    /// What the members hold.
    pub shards: BTreeMap<ClusterName, ServiceShard>,
}

/// What one member holds of a service.
#[derive(Debug, Default)]
pub struct ServiceShard {
    /// The Service.
    pub service: Option<Arc<Object>>,
    /// Its EndpointSlices by name.
    pub slices: BTreeMap<Arc<str>, Arc<Object>>,
    /// Its Endpoints; counts for nothing beside a slice.
    pub endpoints: Option<Arc<Object>>,
}

/// All facts that an ingress record depends on by its name.
#[derive(Debug, Default)]
pub struct IngressFacts {
    /// The IngressDNSRecord.
    pub record: Option<Arc<Object>>,
    /// The FederatedIngress's placement.
    pub placement: Option<Arc<Object>>,
    /// What the record's status says, on a server that sees no member.
    pub status: Option<Arc<Object>>,
    /// The Ingress in each member.
    pub shards: BTreeMap<ClusterName, Arc<Object>>,
}

/// What is observed of a member itself, apart from services and ingresses.
#[derive(Debug, Default)]
pub struct MemberFacts {
    /// True while the member is observed, even if nothing is in it.
    pub observed: bool,
    /// Where that stands, for findings.
    pub origin: Option<Origin>,
    /// Nodes by name; the order decides whose region counts.
    pub nodes: BTreeMap<Arc<str>, NodeFact>,
}

/// Everything known. Fields are public to the rooms of core, which only read.
#[derive(Debug, Default)]
pub struct Model {
    pub(crate) domains: BTreeMap<NamespacedName, Arc<Object>>,
    pub(crate) clusters: BTreeMap<NamespacedName, Arc<Object>>,
    pub(crate) members: BTreeMap<ClusterName, MemberFacts>,
    pub(crate) services: BTreeMap<NamespacedName, ServiceFacts>,
    pub(crate) ingresses: BTreeMap<NamespacedName, IngressFacts>,
    pub(crate) foreign: BTreeMap<NamespacedName, Arc<Object>>,
    pub(crate) host_addresses: BTreeMap<Arc<str>, HostAddressesFact>,
    /// Service of each EndpointSlice, to find where it was when its label changes.
    slice_services: BTreeMap<(ClusterName, NamespacedName), Arc<str>>,
}

/// What an observation touches: the handle by which dependants are found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// A Domain: zones may come, go or change.
    Domain(NamespacedName),
    /// A cluster's condition, locality, labels or observation.
    Cluster(ClusterName),
    /// One record or what lies behind it.
    Record(RecordKey),
    /// RRsets of somebody else.
    Foreign(NamespacedName),
    /// The addresses of a host name.
    HostName(Arc<str>),
}

impl NamespacedName {
    /// Puts the two together.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl RecordKey {
    /// The object key of the record itself.
    pub fn object_key(&self) -> ObjectKey {
        let kind = match self.kind {
            RecordKind::Service => Kind::ServiceRecord,
            RecordKind::Ingress => Kind::IngressRecord,
        };
        ObjectKey { scope: Scope::Host, kind, namespace: self.name.namespace.clone(), name: self.name.name.clone() }
    }

    /// Name of the DNSEndpoint of this record, in the record's namespace.
    pub fn endpoint_name(&self) -> String {
        match self.kind {
            RecordKind::Service => format!("service-{}", self.name.name),
            RecordKind::Ingress => format!("ingress-{}", self.name.name),
        }
    }
}

impl Model {
    /// Takes in one observation. None if it says nothing new.
    pub fn apply(&mut self, observation: &Observation) -> Option<Touched> {
        let Observation { key, object } = observation;
        let object = object.as_ref();
        if object.is_some_and(|object| !object.fact.fits(key.kind)) {
            return None;
        }
        let name = NamespacedName { namespace: key.namespace.clone(), name: key.name.clone() };
        let record = |kind| Touched::Record(RecordKey { kind, name: name.clone() });
        match (&key.scope, key.kind) {
            (Scope::Host, Kind::Domain) => replace(&mut self.domains, &name, object).then_some(Touched::Domain(name)),
            (Scope::Host, Kind::Cluster) => {
                let cluster = key.name.clone();
                replace(&mut self.clusters, &name, object).then_some(Touched::Cluster(cluster))
            }
            (Scope::Host, Kind::ForeignRrsets) => {
                replace(&mut self.foreign, &name, object).then_some(Touched::Foreign(name))
            }
            (Scope::Host, Kind::ServiceRecord) => {
                self.with_service(&name, |facts| set(&mut facts.record, object)).then(|| record(RecordKind::Service))
            }
            (Scope::Host, Kind::ServicePlacement) => {
                self.with_service(&name, |facts| set(&mut facts.placement, object)).then(|| record(RecordKind::Service))
            }
            (Scope::Host, Kind::ServiceStatus) => {
                self.with_service(&name, |facts| set(&mut facts.status, object)).then(|| record(RecordKind::Service))
            }
            (Scope::Host, Kind::IngressRecord) => {
                self.with_ingress(&name, |facts| set(&mut facts.record, object)).then(|| record(RecordKind::Ingress))
            }
            (Scope::Host, Kind::IngressPlacement) => {
                self.with_ingress(&name, |facts| set(&mut facts.placement, object)).then(|| record(RecordKind::Ingress))
            }
            (Scope::Host, Kind::IngressStatus) => {
                self.with_ingress(&name, |facts| set(&mut facts.status, object)).then(|| record(RecordKind::Ingress))
            }
            (Scope::Member(cluster), Kind::Service) => self
                .with_service(&name, |facts| facts.with_shard(cluster, |shard| set(&mut shard.service, object)))
                .then(|| record(RecordKind::Service)),
            (Scope::Member(cluster), Kind::Endpoints) => self
                .with_service(&name, |facts| facts.with_shard(cluster, |shard| set(&mut shard.endpoints, object)))
                .then(|| record(RecordKind::Service)),
            (Scope::Member(cluster), Kind::EndpointSlice) => self.apply_slice(cluster, &name, object),
            (Scope::Member(cluster), Kind::Ingress) => self
                .with_ingress(&name, |facts| replace(&mut facts.shards, cluster, object))
                .then(|| record(RecordKind::Ingress)),
            (Scope::Member(cluster), Kind::Member) => {
                let member = self.members.entry(cluster.clone()).or_default();
                let changed = member.observed != object.is_some();
                member.observed = object.is_some();
                member.origin = object.and_then(|object| object.origin.clone());
                self.members.retain(|_, member| member.observed || !member.nodes.is_empty());
                changed.then(|| Touched::Cluster(cluster.clone()))
            }
            (Scope::Member(cluster), Kind::Node) => {
                let nodes = &mut self.members.entry(cluster.clone()).or_default().nodes;
                let before = nodes.remove(&key.name);
                let after = match object.map(|object| &**object) {
                    Some(Object { fact: Fact::Node(node), .. }) => Some(node.clone()),
                    _ => None,
                };
                if let Some(node) = &after {
                    nodes.insert(key.name.clone(), node.clone());
                }
                (before != after).then(|| Touched::Cluster(cluster.clone()))
            }
            (Scope::World, Kind::HostAddresses) => {
                let before = self.host_addresses.remove(&key.name);
                let after = match object.map(|object| &**object) {
                    Some(Object { fact: Fact::HostAddresses(addresses), .. }) => Some(addresses.clone()),
                    _ => None,
                };
                if let Some(addresses) = &after {
                    self.host_addresses.insert(key.name.clone(), addresses.clone());
                }
                (before != after).then(|| Touched::HostName(key.name.clone()))
            }
            _ => None,
        }
    }

    /// True if the object is known.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        let name = NamespacedName { namespace: key.namespace.clone(), name: key.name.clone() };
        let service = |has: fn(&ServiceFacts) -> bool| self.services.get(&name).is_some_and(has);
        let ingress = |has: fn(&IngressFacts) -> bool| self.ingresses.get(&name).is_some_and(has);
        match (&key.scope, key.kind) {
            (Scope::Host, Kind::Domain) => self.domains.contains_key(&name),
            (Scope::Host, Kind::Cluster) => self.clusters.contains_key(&name),
            (Scope::Host, Kind::ForeignRrsets) => self.foreign.contains_key(&name),
            (Scope::Host, Kind::ServiceRecord) => service(|facts| facts.record.is_some()),
            (Scope::Host, Kind::ServicePlacement) => service(|facts| facts.placement.is_some()),
            (Scope::Host, Kind::ServiceStatus) => service(|facts| facts.status.is_some()),
            (Scope::Host, Kind::IngressRecord) => ingress(|facts| facts.record.is_some()),
            (Scope::Host, Kind::IngressPlacement) => ingress(|facts| facts.placement.is_some()),
            (Scope::Host, Kind::IngressStatus) => ingress(|facts| facts.status.is_some()),
            (Scope::Member(cluster), Kind::Service | Kind::Endpoints) => {
                let shard = self.services.get(&name).and_then(|facts| facts.shards.get(cluster));
                let object = |shard: &ServiceShard| match key.kind {
                    Kind::Service => shard.service.is_some(),
                    _ => shard.endpoints.is_some(),
                };
                shard.is_some_and(object)
            }
            (Scope::Member(cluster), Kind::EndpointSlice) => self.slice_services.contains_key(&(cluster.clone(), name)),
            (Scope::Member(cluster), Kind::Ingress) => {
                self.ingresses.get(&name).is_some_and(|facts| facts.shards.contains_key(cluster))
            }
            (Scope::Member(cluster), Kind::Member) => self.members.get(cluster).is_some_and(|member| member.observed),
            (Scope::Member(cluster), Kind::Node) => {
                self.members.get(cluster).is_some_and(|member| member.nodes.contains_key(&key.name))
            }
            (Scope::World, Kind::HostAddresses) => self.host_addresses.contains_key(&key.name),
            _ => false,
        }
    }

    /// Every object that is known in a member.
    pub(crate) fn objects_of(&self, cluster: &ClusterName) -> Vec<ObjectKey> {
        let key = |kind, name: &NamespacedName| ObjectKey::member(cluster, kind, &name.namespace, &name.name);
        let mut keys = Vec::new();
        for (name, facts) in &self.services {
            let Some(shard) = facts.shards.get(cluster) else { continue };
            keys.extend(shard.service.is_some().then(|| key(Kind::Service, name)));
            keys.extend(shard.endpoints.is_some().then(|| key(Kind::Endpoints, name)));
            let slices = shard.slices.keys();
            keys.extend(slices.map(|slice| ObjectKey::member(cluster, Kind::EndpointSlice, &name.namespace, slice)));
        }
        let ingresses = self.ingresses.iter().filter(|(_, facts)| facts.shards.contains_key(cluster));
        keys.extend(ingresses.map(|(name, _)| key(Kind::Ingress, name)));
        if let Some(member) = self.members.get(cluster) {
            keys.extend(member.observed.then(|| ObjectKey::observed_member(cluster)));
            keys.extend(member.nodes.keys().map(|node| ObjectKey::member(cluster, Kind::Node, "", node)));
        }
        keys
    }

    /// A slice is filed under its service; when its label changes, both services are concerned, and the one
    /// it leaves is returned only if it goes to no other: so the move is applied as leaving first.
    fn apply_slice(
        &mut self,
        cluster: &ClusterName,
        slice: &NamespacedName,
        object: Option<&Arc<Object>>,
    ) -> Option<Touched> {
        let service = object.and_then(|object| match &object.fact {
            Fact::Endpoints(endpoints) => Some(endpoints.service.clone()),
            _ => None,
        });
        let index = (cluster.clone(), slice.clone());
        let before = match &service {
            Some(service) => self.slice_services.insert(index, service.clone()),
            None => self.slice_services.remove(&index),
        };
        let target = service.or_else(|| before.clone())?;
        let of_service = NamespacedName { namespace: slice.namespace.clone(), name: target };
        let changed = self.with_service(&of_service, |facts| {
            facts.with_shard(cluster, |shard| replace(&mut shard.slices, &slice.name, object))
        });
        changed.then_some(Touched::Record(RecordKey { kind: RecordKind::Service, name: of_service }))
    }

    /// The service that an EndpointSlice is filed under now, if an observation of it would move it elsewhere.
    ///
    /// The caller turns such an observation into two: gone from here, then there.
    pub fn slice_moves(&self, observation: &Observation) -> bool {
        let (Scope::Member(cluster), Kind::EndpointSlice) = (&observation.key.scope, observation.key.kind) else {
            return false;
        };
        let Some(Object { fact: Fact::Endpoints(endpoints), .. }) = observation.object.as_deref() else {
            return false;
        };
        let name = NamespacedName { namespace: observation.key.namespace.clone(), name: observation.key.name.clone() };
        self.slice_services.get(&(cluster.clone(), name)).is_some_and(|service| *service != endpoints.service)
    }

    fn with_service(&mut self, name: &NamespacedName, change: impl FnOnce(&mut ServiceFacts) -> bool) -> bool {
        let facts = self.services.entry(name.clone()).or_default();
        let changed = change(facts);
        if facts.is_empty() {
            self.services.remove(name);
        }
        changed
    }

    fn with_ingress(&mut self, name: &NamespacedName, change: impl FnOnce(&mut IngressFacts) -> bool) -> bool {
        let facts = self.ingresses.entry(name.clone()).or_default();
        let changed = change(facts);
        if facts.record.is_none() && facts.placement.is_none() && facts.status.is_none() && facts.shards.is_empty() {
            self.ingresses.remove(name);
        }
        changed
    }
}

impl ServiceFacts {
    fn is_empty(&self) -> bool {
        self.record.is_none() && self.placement.is_none() && self.status.is_none() && self.shards.is_empty()
    }

    fn with_shard(&mut self, cluster: &ClusterName, change: impl FnOnce(&mut ServiceShard) -> bool) -> bool {
        let shard = self.shards.entry(cluster.clone()).or_default();
        let changed = change(shard);
        if shard.service.is_none() && shard.slices.is_empty() && shard.endpoints.is_none() {
            self.shards.remove(cluster);
        }
        changed
    }
}

/// Puts an object under a key, or takes it out; true if that changes anything.
fn replace<K: Ord + Clone>(map: &mut BTreeMap<K, Arc<Object>>, key: &K, object: Option<&Arc<Object>>) -> bool {
    match object {
        Some(object) => map.insert(key.clone(), object.clone()).is_none_or(|before| before != *object),
        None => map.remove(key).is_some(),
    }
}

/// Puts an object in a place, or takes it out; true if that changes anything.
fn set(place: &mut Option<Arc<Object>>, object: Option<&Arc<Object>>) -> bool {
    let changed = place.as_ref() != object;
    *place = object.cloned();
    changed
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object_key().fmt(f)
    }
}
