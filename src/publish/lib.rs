//! The loop that publishes: read, plan, guard, apply, verify.
//!
//! ```text
//!   changed names ──┐                             ┌── Publisher::read, read_name
//!                   ├─► desired ─► plan ─► guard ─┤        Publisher::apply ─► report ─► what stands now
//!   every 10 min ───┘   (translate)               └── held, quarantined: reported and tried again
//! ```
//!
//! A [`Publisher`] knows one system and nothing of the loop; the loop knows no system. What every publisher must do
//! is in [`Publisher`]; that it does is what the battery says, which every implementor runs.

mod apply;
pub mod battery;
mod driver;
mod error;
mod inbox;
pub mod ownership;
mod publisher;
mod report;
mod together;
mod zone;

pub use apply::{Applied, apply_changes};
pub use driver::{Timing, start};
pub use error::{PublishError, Retry};
pub use inbox::{Reviewed, ZoneHandle};
pub use publisher::{ApplyReport, Batch, Capabilities, Drift, Leadership, Outcome, Publisher, ReadName, Unpublishable};
pub use report::{PublishedCondition, QuarantineReport, ZoneReport};
pub use together::{Destination, EngineSource, Publishing, ReportChanges, WithEngine};
pub use zone::{PublishedZone, Quarantined, Scope, Step, WantedSource};
