//! What is told of a zone of a publisher: in `/plan`, in conditions, in metrics.

use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{HeldChanges, SkipReason, Skipped},
};
use serde::Serialize;

use crate::PublishedZone;

/// How a zone of a publisher stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneReport {
    /// Name of the publisher.
    pub publisher: String,
    /// Apex of the zone.
    pub zone: OwnerName,
    /// True if this program writes it.
    pub leading: bool,
    /// True if, as far as is known, everything stands there as it is wanted; what is skipped, held or quarantined does not.
    pub in_sync: bool,
    /// Names that are to be looked at.
    pub pending: usize,
    /// Names of ours that stand there.
    pub published: usize,
    /// Names that were refused.
    pub quarantined: Vec<QuarantineReport>,
    /// Changes that wait for a person.
    pub held: Vec<HeldChanges>,
    /// Names that are left as they are.
    pub skipped: Vec<Skipped>,
    /// The last error, until something works again.
    pub last_error: Option<String>,
    /// Its kind, from a fixed set of words.
    pub last_error_kind: Option<&'static str>,
    /// Changes made since the start.
    pub changes: u64,
    /// Calls to apply changes since the start.
    pub calls: u64,
    /// Comparisons of the whole zone since the start.
    pub comparisons: u64,
}

/// One name that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineReport {
    /// The name.
    pub owner: OwnerName,
    /// Why, in the system's own words.
    pub words: String,
    /// How often.
    pub attempts: u32,
    /// Milliseconds until it is tried again.
    pub retry_in: i64,
}

/// The condition `Published.<publisher>` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedCondition {
    /// `True`, `False`, or `Unknown` while nothing was read.
    pub status: &'static str,
    /// A word in CamelCase.
    pub reason: &'static str,
    /// For a person; empty where all is well.
    pub message: String,
}

impl ZoneReport {
    /// A report of which nothing is known.
    pub(crate) fn new(zone: &PublishedZone) -> Self {
        Self {
            publisher: zone.publisher().name().to_owned(),
            zone: zone.apex().clone(),
            leading: false,
            in_sync: false,
            pending: 0,
            published: 0,
            quarantined: Vec::new(),
            held: Vec::new(),
            skipped: Vec::new(),
            last_error: None,
            last_error_kind: None,
            changes: 0,
            calls: 0,
            comparisons: 0,
        }
    }

    /// Takes in how the zone stands now.
    pub(crate) fn refresh(&mut self, zone: &PublishedZone, pending: usize, now: Timestamp) {
        let plan = zone.last_plan();
        self.pending = pending;
        self.published = zone.current().map_or(0, |current| current.ours().count());
        self.held.clone_from(&plan.held);
        self.skipped.clone_from(&plan.skipped);
        let quarantine = zone.quarantine().iter().map(|(owner, one)| QuarantineReport {
            owner: owner.clone(),
            words: one.words.clone(),
            attempts: one.attempts,
            retry_in: (one.until.0 - now.0).max(0),
        });
        self.quarantined = quarantine.collect();
        let nothing_left = self.held.is_empty() && self.skipped.is_empty() && self.quarantined.is_empty();
        self.in_sync = zone.current().is_some() && pending == 0 && nothing_left && self.last_error.is_none();
    }

    /// The condition of a record with these names in the zone.
    pub fn condition<'a>(&self, names: impl IntoIterator<Item = &'a OwnerName>) -> PublishedCondition {
        let condition = |status, reason, message| PublishedCondition { status, reason, message };
        for name in names {
            if let Some(one) = self.quarantined.iter().find(|one| one.owner == *name) {
                return condition("False", "Refused", format!("{name}: {}", one.words));
            }
            let held = |held: &&HeldChanges| held.changes.iter().any(|change| change.owner() == name);
            if let Some(held) = self.held.iter().find(held) {
                let message = format!("{name}: {}; to release: mcdns.io/release: {}", held.why, held.checksum);
                return condition("False", "Held", message);
            }
            if let Some(skipped) = self.skipped.iter().find(|skipped| skipped.owner == *name) {
                let reason = match &skipped.why {
                    SkipReason::NotOurs(_) => "NotOurs",
                    SkipReason::Policy(_) => "Policy",
                    SkipReason::Unpublishable(_) => "Unpublishable",
                    SkipReason::Unreadable(_) => "Unreadable",
                    SkipReason::Quarantined(_) => "Refused",
                };
                return condition("False", reason, format!("{name}: {}", skipped.why));
            }
        }
        match &self.last_error {
            Some(words) => condition("Unknown", "PublisherFailing", words.clone()),
            None if !self.leading || self.comparisons == 0 => condition("Unknown", "NotComparedYet", String::new()),
            None if self.pending > 0 => condition("Unknown", "Pending", String::new()),
            None => condition("True", "Published", String::new()),
        }
    }
}
