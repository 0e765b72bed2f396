//! What publishers should hold, what they hold, and the way from one to the other.
//!
//! ```text
//!   Engine ──► WantedName ──(publisher: translate)──► Group ─┐
//!              rrsets, and who gives what                    ├─ plan ─► Plan ─► guard ─► apply
//!   publisher: read ──────────────────────────────► Standing ┘          Change { before, after, reason }
//! ```
//!
//! A [`Group`] is one owner name with all its types and set identifiers: it changes as a whole or not at all, so a
//! change of type is one [`Change::Replace`]. Ownership is of the [`Standing`], not of the group: the publisher reads
//! and writes the marks that say whose a name is, and a plan decides what may be touched.
//!
//! Laws that tests hold:
//! * after a plan was applied, the next plan is empty (every publisher runs the battery that says so);
//! * nothing that is not [`Ownership::Ours`] is in a plan, unless adoption is asked for;
//! * a plan is a value: ordered, the same for the same input, with a checksum over what it would change.
//!
//! What is refused here: reading, writing, time. See `publish` for those.

mod change;
mod compute;
mod group;
mod guard;
mod render;
mod standing;
mod wanted;

pub use change::{Change, HeldChanges, HeldWhy, Plan, SkipReason, Skipped};
pub use compute::{Desired, PlanOptions, Policy, plan, plan_names};
pub use group::{Content, Group, RecordSet};
pub use guard::{Guard, GuardOptions, World};
pub use render::{to_json, to_markdown, to_text};
pub use standing::{Beside, CurrentZone, ManagerId, ManagerIdError, Mark, Ownership, Standing};
pub use wanted::{ClusterTarget, WantedName};
