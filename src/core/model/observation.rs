//! What a source may say: facts about objects, in words of our own and never in Kubernetes types.
//!
//! A source parses at its edge and hands over facts; it makes no decisions. An [`Observation`] names the
//! object that changed, which is what keeps the work behind it in proportion to the change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Name of a cluster (of its KubeFedCluster). Shared, because every member object carries it.
pub type ClusterName = Arc<str>;

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// The cluster that holds the federation's own objects.
    Host,
    /// A member cluster.
    Member(ClusterName),
    /// Outside any cluster: what resolvers say.
    World,
}

/// What an object is. The order is the order of [`ObjectKey`]s, nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A zone of the federation; `Scope::Host`.
    Domain,
    /// A member as the host knows it (KubeFedCluster); `Scope::Host`.
    Cluster,
    /// ServiceDNSRecord; `Scope::Host`.
    ServiceRecord,
    /// IngressDNSRecord; `Scope::Host`.
    IngressRecord,
    /// Placement of the service of the same name (FederatedService); `Scope::Host`.
    ServicePlacement,
    /// Placement of the ingress of the same name (FederatedIngress); `Scope::Host`.
    IngressPlacement,
    /// Load balancers of a service as the host was told (FederatedServiceStatus); `Scope::Host`.
    ServiceStatus,
    /// RRsets that somebody else wants published (DNSEndpoint); `Scope::Host`.
    ForeignRrsets,
    /// The member is observed itself; exists without any object in it. `Scope::Member`, no name.
    Member,
    /// Service; `Scope::Member`.
    Service,
    /// EndpointSlice; `Scope::Member`.
    EndpointSlice,
    /// Endpoints; `Scope::Member`.
    Endpoints,
    /// Ingress; `Scope::Member`.
    Ingress,
    /// Node, without a namespace; `Scope::Member`.
    Node,
    /// What a host name resolves to; `Scope::World`, the name is the host name in normal form.
    HostAddresses,
    /// Load balancers of an ingress as its record's status has them, where the members themselves are not observed;
    /// `Scope::Host`.
    IngressStatus,
}

/// Identity of an object: equal keys are the same object, whatever file or watch it came by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Where it lives.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// Namespace; empty where there is none.
    pub namespace: Arc<str>,
    /// Name within the namespace.
    pub name: Arc<str>,
}

/// Where the text of an object stands, for findings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Path as the user would write it (relative to the federation directory's parent, as given).
    pub file: Arc<str>,
    /// First line of the object, from 1.
    pub line: u32,
}

/// An object as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it says.
    pub fact: Fact,
    /// `metadata.creationTimestamp`; decides who keeps a name that two objects claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// `metadata.generation`, for `observedGeneration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_generation: Option<i64>,
    /// `metadata.uid`, for owner references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Arc<str>>,
    /// Where it stands in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// One change of one object: there now, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Which object.
    pub key: ObjectKey,
    /// As it is now; none when it is gone. "Could not be read" is no observation at all.
    pub object: Option<Arc<Object>>,
}

/// What the host itself says of clusters, where a source makes observations of its own too: of health by its own probes,
/// and of members that it watches only as long as their KubeFedClusters are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostWord {
    /// Clusters whose KubeFedClusters the host speaks of now: they were told, or it was heard again after a fault.
    pub heard: BTreeSet<ClusterName>,
    /// Clusters that are watched no more, because their KubeFedClusters are gone. Nothing is said of the objects in them:
    /// they go when the KubeFedCluster goes, and stay while the loss of that is held.
    pub left: BTreeSet<ClusterName>,
}

/// What an object says, by kind. The variant must fit [`ObjectKey::kind`]; [`Fact::fits`] says which do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// For [`Kind::Domain`].
    Domain(DomainFact),
    /// For [`Kind::Cluster`].
    Cluster(ClusterFact),
    /// For [`Kind::ServiceRecord`].
    ServiceRecord(ServiceRecordFact),
    /// For [`Kind::IngressRecord`].
    IngressRecord(IngressRecordFact),
    /// For [`Kind::ServicePlacement`] and [`Kind::IngressPlacement`].
    Placement(PlacementFact),
    /// For [`Kind::ServiceStatus`] and [`Kind::IngressStatus`]: per cluster, in the order written.
    ServiceStatus(Vec<(ClusterName, Vec<LoadBalancerItem>)>),
    /// For [`Kind::ForeignRrsets`].
    ForeignRrsets(Vec<ForeignRrset>),
    /// For [`Kind::Member`].
    Member,
    /// For [`Kind::Service`] and [`Kind::Ingress`]: `status.loadBalancer.ingress`.
    LoadBalancer(Vec<LoadBalancerItem>),
    /// For [`Kind::EndpointSlice`] and [`Kind::Endpoints`].
    Endpoints(EndpointsFact),
    /// For [`Kind::Node`].
    Node(NodeFact),
    /// For [`Kind::HostAddresses`].
    HostAddresses(HostAddressesFact),
}

/// Domain (`multiclusterdns.kubefed.io/v1alpha1`), as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFact {
    /// `domain`: the apex, not checked yet.
    pub domain: String,
    /// `nameServer`: a host name or an address.
    pub name_server: Option<String>,
    /// `allowedNamespaces`: who may claim names; all when absent.
    pub allowed_namespaces: Option<Vec<Arc<str>>>,
    /// Annotation `mcdns.io/release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// KubeFedCluster (`core.kubefed.io`), as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFact {
    /// Condition `Ready`.
    pub ready: Option<Condition>,
    /// Condition `Offline`.
    pub offline: Option<Condition>,
    /// `status.region`.
    pub region: Option<Arc<str>>,
    /// `status.zones`, in the order written.
    pub availability_zones: Vec<Arc<str>>,
    /// `metadata.labels`, for cluster selectors.
    pub labels: BTreeMap<String, String>,
    /// Annotation `mcdns.io/cordon`: out of all answers at once, until a person says otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// Annotation `mcdns.io/release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// A condition of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `status`.
    pub status: ConditionStatus,
    /// `lastTransitionTime`.
    pub since: Option<Timestamp>,
    /// `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

/// Status of a condition, as Kubernetes writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// `"True"`.
    True,
    /// `"False"`.
    False,
    /// `"Unknown"`, and whatever else is written there.
    Unknown,
}

/// `spec` of a ServiceDNSRecord, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecordFact {
    /// `domainRef`: name of a Domain in the system namespace.
    pub domain_ref: Arc<str>,
    /// `recordTTL` in seconds; 0 means the default.
    pub ttl: i64,
    /// `dnsPrefix`; empty is off.
    pub dns_prefix: String,
    /// `externalName`; empty means the record's own name.
    pub external_name: String,
    /// `allowServiceWithoutEndpoints`.
    pub allow_without_endpoints: bool,
}

/// `spec` of an IngressDNSRecord, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressRecordFact {
    /// `hosts`.
    pub hosts: Vec<String>,
    /// `recordTTL` in seconds; 0 means the default.
    pub ttl: i64,
}

/// `spec.placement` of a federated object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementFact {
    /// `clusters[].name`; wins over the selector whenever present, empty means nowhere.
    pub clusters: Option<Vec<ClusterName>>,
    /// `clusterSelector`.
    pub selector: Option<LabelSelector>,
}

/// Kubernetes label selector; one without requirements selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSelector {
    /// All of these must hold (`matchLabels` are `In` with one value).
    pub requirements: Vec<LabelRequirement>,
}

/// One requirement of a [`LabelSelector`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRequirement {
    /// Label key.
    pub key: String,
    /// How its value is held against `values`.
    pub operator: LabelOperator,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

/// Operators of a label requirement; an absent label satisfies `NotIn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelOperator {
    /// The label is there with one of the values.
    In,
    /// The label is absent or has another value.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// One item of `status.loadBalancer.ingress`, as written; empty strings are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LoadBalancerItem {
    /// `ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Arc<str>>,
    /// `hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Arc<str>>,
}

/// Backends of a service: one EndpointSlice, or an Endpoints object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsFact {
    /// Name of the service they belong to, in the namespace of the object.
    pub service: Arc<str>,
    /// The backends, ready or not.
    pub endpoints: Box<[Endpoint]>,
}

/// One backend address with readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address; none for a slice of type FQDN.
    pub address: Option<IpAddr>,
    /// Unset in a slice counts as ready.
    pub ready: bool,
}

/// Topology labels of a node, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFact {
    /// Region label.
    pub region: Option<Arc<str>>,
    /// Availability-zone label.
    pub availability_zone: Option<Arc<str>>,
}

/// One endpoint of somebody else's DNSEndpoint, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignRrset {
    /// `dnsName`.
    pub owner: String,
    /// `recordType`.
    pub record_type: String,
    /// `targets`.
    pub targets: Vec<String>,
    /// `recordTTL`; 0 or absent means the default.
    pub ttl: i64,
}

/// What a host name resolved to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAddressesFact {
    /// Sorted, without duplicates. Empty: the resolver said that there are none.
    pub addresses: Vec<IpAddr>,
    /// Largest TTL seen with them; none where they have no TTL (hosts files).
    pub ttl: Option<u32>,
}

impl Fact {
    /// True if this fact may stand under a key of `kind`.
    pub fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Domain(_) => kind == Kind::Domain,
            Self::Cluster(_) => kind == Kind::Cluster,
            Self::ServiceRecord(_) => kind == Kind::ServiceRecord,
            Self::IngressRecord(_) => kind == Kind::IngressRecord,
            Self::Placement(_) => matches!(kind, Kind::ServicePlacement | Kind::IngressPlacement),
            Self::ServiceStatus(_) => matches!(kind, Kind::ServiceStatus | Kind::IngressStatus),
            Self::ForeignRrsets(_) => kind == Kind::ForeignRrsets,
            Self::Member => kind == Kind::Member,
            Self::LoadBalancer(_) => matches!(kind, Kind::Service | Kind::Ingress),
            Self::Endpoints(_) => matches!(kind, Kind::EndpointSlice | Kind::Endpoints),
            Self::Node(_) => kind == Kind::Node,
            Self::HostAddresses(_) => kind == Kind::HostAddresses,
        }
    }
}

impl ObjectKey {
    /// Key of a host object.
    pub fn host(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { scope: Scope::Host, kind, namespace: namespace.into(), name: name.into() }
    }

    /// Key of an object in the member `cluster`.
    pub fn member(cluster: &ClusterName, kind: Kind, namespace: &str, name: &str) -> Self {
        Self { scope: Scope::Member(cluster.clone()), kind, namespace: namespace.into(), name: name.into() }
    }

    /// Key of somebody else's RRsets that are told apart from those of the same namespace and name by where they come
    /// from: an API group, or `webhook`. That stands behind an `@`, which no name in Kubernetes has.
    pub fn foreign(namespace: &str, name: &str, family: &str) -> Self {
        Self::host(Kind::ForeignRrsets, namespace, &format!("{name}@{family}"))
    }

    /// The name without where it comes from, and that; none for the group that names have been in from the beginning.
    pub fn plain_name(&self) -> (&str, Option<&str>) {
        match self.name.split_once('@').filter(|_| self.kind == Kind::ForeignRrsets) {
            Some((name, family)) => (name, Some(family)),
            None => (&self.name, None),
        }
    }

    /// Key that says that the member `cluster` is observed itself.
    pub fn observed_member(cluster: &ClusterName) -> Self {
        Self::member(cluster, Kind::Member, "", "")
    }

    /// Key of what `host` (in normal form) resolves to.
    pub fn host_addresses(host: &str) -> Self {
        Self { scope: Scope::World, kind: Kind::HostAddresses, namespace: "".into(), name: host.into() }
    }
}

impl Object {
    /// An object that says `fact` and nothing about itself.
    pub fn new(fact: Fact) -> Self {
        Self { fact, created: None, object_generation: None, uid: None, origin: None }
    }
}

impl Kind {
    /// The Kubernetes kind that a person would look for.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "Domain",
            Self::Cluster => "KubeFedCluster",
            Self::ServiceRecord => "ServiceDNSRecord",
            Self::IngressRecord => "IngressDNSRecord",
            Self::ServicePlacement => "FederatedService",
            Self::IngressPlacement => "FederatedIngress",
            Self::ServiceStatus => "FederatedServiceStatus",
            Self::ForeignRrsets => "DNSEndpoint",
            Self::Member => "member",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Ingress => "Ingress",
            Self::Node => "Node",
            Self::HostAddresses => "host name",
            Self::IngressStatus => "status of IngressDNSRecord",
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, family) = self.plain_name();
        f.write_str(self.kind.as_str())?;
        if let Some(family) = family {
            write!(f, ".{family}")?;
        }
        match (self.namespace.is_empty(), name.is_empty()) {
            (true, true) => {}
            (true, false) => write!(f, " {name}")?,
            (false, _) => write!(f, " {}/{name}", self.namespace)?,
        }
        match &self.scope {
            Scope::Member(cluster) if self.kind == Kind::Member => write!(f, " {cluster}"),
            Scope::Member(cluster) => write!(f, " in {cluster}"),
            Scope::Host | Scope::World => Ok(()),
        }
    }
}
