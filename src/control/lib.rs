//! What mcdns writes to Kubernetes, and nothing else: it never watches, and it decides nothing about names.
//!
//! ```text
//!   sources: what stands ─────────┐           ┌── status of records
//!   sources: verdicts on members ─┤           ├── DNSEndpoints
//!   root: records that changed ───┼─► writer ─┼── status of KubeFedClusters
//!   root: published zones ────────┘     ▲     ├── annotation of Domains
//!   lease: may I write? ────────────────┘     └── Events
//! ```
//!
//! * [`desired`] renders what belongs into the host from the engine.
//! * [`lease`] says which replica may write. All replicas observe and serve; losing the lease stops writing alone.
//! * [`writer`] brings what stands to what is wanted, at a bounded rate, and forgets nothing.
//! * [`events`] tells people.
//! * [`tokens`] renews the credentials that members are read with.
//!
//! # Two versions side by side
//!
//! During an upgrade, and after it is rolled back, an old and a new version run together. They do not fight, because:
//!
//! * Only the holder of the lease writes, whatever its version, and the Lease itself is written by replacing what was
//!   read, so that fields a version does not know survive.
//! * Every version applies with the same field manager ([`MANAGER`]). When the lease moves to an older version, that
//!   applies what it knows; fields that only the newer one knows go (they belong to the same manager and are no longer
//!   applied). That is one write per object and move of the lease, not a loop: the replica that lost the lease does not
//!   write back, it has stopped writing. Fields of other managers stay.
//! * A change by [`MANAGER`] is never counted as foreign, so that a version does not stop writing because of another.
//! * Digests of what was written are kept in memory only; no version reads another's.
//! * A field that must survive a rollback belongs to a field manager of its own.

pub mod cordon;
pub mod desired;
pub mod events;
mod host;
pub mod join;
pub mod lease;
pub mod tokens;
pub mod unjoin;
pub mod writer;

pub use desired::{
    Desired, HostObject, RecordObjects, Warning, dns_endpoint, domain_conditions, held_members, host_objects,
    record_objects,
};
pub use events::{EventCounts, Notice, Recorder, Regarding, recorder};
pub use host::ApiError;
pub use lease::{Leadership, LeaseHandle, LeaseOptions};
pub use writer::{PublishedZone, Urgency, WriterHandle, WriterOptions, WriterReport};

/// Field manager of everything that is written here, in every version.
pub const MANAGER: &str = "mcdns";
