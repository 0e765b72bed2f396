//! From facts to names: which RRsets each record gives, who gets a name, and what changes.
//!
//! The rules are those of KubeFed v0.6.1 with its faults mended. Where to find a rule:
//!
//! | rule | file |
//! |---|---|
//! | which clusters count, grace, all down means all up | [`health`](crate::health), [`steering`](crate::steering) |
//! | region and availability zones of a cluster | [`model::Locality`](crate::model::Locality) |
//! | names, TTLs, levels, dnsPrefix, hosts; what is refused or left out | `compute.rs` |
//! | zones, name servers, SOA, delegations | `zones.rs` |
//! | two objects claim one name | `claims.rs` |
//! | precedence of static records, records and foreign RRsets; climbing and withheld levels | `compose.rs` |
//! | RRsets of somebody else's DNSEndpoint | `foreign.rs` |
//! | bulk loss is held | `hold.rs` |
//! | statuses and conditions | `status.rs` |
//! | DNSEndpoints | `endpoints.rs` |
//! | why a name has its answer | `explain.rs` |
//! | what publishers are told of a name | `wanted.rs` |
//! | names that cannot be told yet | `unsettled.rs` |
//! | what depends on what | `engine.rs` |

mod accept;
mod claims;
mod clusters;
mod compose;
mod compute;
mod cordon;
mod digest;
mod domains;
mod endpoints;
mod engine;
mod explain;
mod findings;
mod foreign;
mod hold;
mod host_users;
mod options;
mod status;
mod unsettled;
mod update;
mod wanted;
mod wire;
mod zones;

pub use clusters::ClusterState;
pub use cordon::CORDON_ANNOTATION;
pub use digest::{ZoneDigests, zone_digest};
pub use endpoints::EndpointRrset;
pub use engine::Engine;
pub use explain::{ClusterExplanation, Explanation, RecordExplanation};
pub use foreign::foreign_rrset;
pub use hold::{Holds, RELEASE_ANNOTATION};
pub use options::{
    DEFAULT_TTL, EmptyLevels, INFRASTRUCTURE_TTL, NameServer, Options, SoaOptions, StaticZone, StatusEntries,
    ZoneOptions,
};
pub use status::{ClusterEntry, RecordCondition, RecordStatus};
pub use update::{NameChange, Update};
pub use wanted::ChangedNames;
