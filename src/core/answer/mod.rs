//! What is served, and how a question finds its answer.
//!
//! ```text
//!   Patch ──► Snapshot ──► Zone ──► Table ──► shards of nodes, RRsets encoded for the wire
//!                │                    ▲
//!   QueryName ───┴── find_zone ── lookup ──► Outcome (RRset, alias, climb, referral, negative)
//! ```
//!
//! Zones of other kinds stand in a snapshot as [`OtherZone`] and answer by themselves.
//!
//! A [`Snapshot`] is a value: [`Snapshot::apply`] makes the next one and shares what did not change, so that
//! readers take no lock and a change costs what it touches. Looking up allocates nothing. Chains of aliases are
//! joined by the caller, name by name, since they may lead through several zones.

mod difference;
mod expansion;
mod levels;
mod load;
mod lookup;
mod node;
mod other;
mod overlay;
mod patch;
mod query_name;
mod snapshot;
mod table;
mod zone;

#[cfg(test)]
mod tests;

pub use difference::ZoneDifference;
pub use expansion::{ZoneCursor, ZoneRecord};
pub use lookup::{Climb, Miss, Negative, Outcome};
pub use node::EncodedRrset;
pub(crate) use node::encoded_record_length;
pub use other::{Elsewhere, Mark, OtherQuestion, OtherZone, Part, RecordRef, Records, Verdict};
pub use patch::{Entry, Generation, Levels, Patch, Soa, ZonePatch};
pub use query_name::QueryName;
pub(crate) use query_name::{child_hash, name_hash};
pub(crate) use snapshot::MAX_RRSET;
pub use snapshot::{PatchError, Snapshot, Zone};
pub use zone::AuthoritativeZone;
