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

mod error;
pub mod ownership;
mod publisher;

pub use error::{PublishError, Retry};
pub use publisher::{ApplyReport, Batch, Capabilities, Drift, Leadership, Outcome, Publisher, ReadName, Unpublishable};
