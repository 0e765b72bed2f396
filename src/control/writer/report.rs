//! What a person or a metric may know about the writing.

use std::collections::BTreeMap;

use mcdns_api::StandingKey;
use tokio::time::Instant;

use crate::{EventCounts, Leadership};

/// The state of the writer. Labels are bounded: kinds and outcomes, never names.
#[derive(Debug, Clone, PartialEq)]
pub struct WriterReport {
    /// Who writes.
    pub leadership: Leadership,
    /// Objects that wait to be looked at, by class: `answers`, `refresh`, `status`.
    pub waiting: [(&'static str, usize); 3],
    /// Objects that are being looked at.
    pub in_flight: usize,
    /// Since when the one that waits longest is wanted.
    pub oldest: Option<Instant>,
    /// Requests since the start, by kind of object and outcome: `unchanged`, `written`, `healed`, `deleted`, or a label
    /// of [`ApiError`](crate::ApiError).
    pub writes: BTreeMap<(&'static str, &'static str), u64>,
    /// Objects that are not written any more because somebody else writes them too.
    pub stopped: Vec<StandingKey>,
    /// What keeps a kind of object from being written, with the next step, by kind.
    pub problems: BTreeMap<&'static str, String>,
    /// Events.
    pub events: EventCounts,
}

impl WriterReport {
    pub(super) fn new(leadership: Leadership) -> Self {
        Self {
            leadership,
            waiting: [("answers", 0), ("refresh", 0), ("status", 0)],
            in_flight: 0,
            oldest: None,
            writes: BTreeMap::new(),
            stopped: Vec::new(),
            problems: BTreeMap::new(),
            events: EventCounts::default(),
        }
    }
}
