//! Rust types of the federation's own Kubernetes objects.
//!
//! Group `multiclusterdns.kubefed.io/v1alpha1` is what mcdns writes ([`dns`]); groups `core.kubefed.io` and
//! `types.kubefed.io` are what it reads from the host ([`federation`]). Field names, what is required and what
//! is left out when empty follow KubeFed v0.6.1, so that its controllers, external-dns and `kubectl` read what
//! is printed here.
//!
//! Fields stand in the alphabetical order of their JSON names, because that is how `kubectl get -o yaml` prints
//! them: what mcdns prints can be compared with it line by line. Nothing is checked here beyond types; whether a
//! value makes sense is decided in the core.

pub mod crd;
pub mod dns;
pub mod federation;
pub mod meta;
pub mod standing;

pub use dns::{
    ClusterDns, DnsEndpoint, DnsEndpointSpec, Domain, DomainStatus, EndpointItem, IngressDnsRecord,
    IngressDnsRecordSpec, IngressDnsRecordStatus, ServiceDnsRecord, ServiceDnsRecordSpec, ServiceDnsRecordStatus,
};
pub use federation::{
    ClusterCondition, ClusterReference, ClusterServiceStatus, ClusterSpec, ClusterStatus, FederatedIngress,
    FederatedService, FederatedServiceStatus, FederatedSpec, KubeFedCluster, LabelSelector, LabelSelectorRequirement,
    Placement,
};
pub use meta::{Condition, List, LoadBalancerIngress, LoadBalancerStatus, Metadata, OwnerReference};
pub use standing::{Kept, Standing, StandingChange, StandingCondition, StandingKey, StandingKind};
