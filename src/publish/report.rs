//! What is told of a zone of a publisher: in `/plan`, in conditions, in metrics.

use std::collections::BTreeSet;

use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{Change, HeldChanges, SkipReason, Skipped},
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

/// The condition `Published.<publisher>` of a record, or of a Domain.
///
/// That of a record is about its own names alone: a publisher that cannot be reached is told on the Domain, so that an
/// outage costs one write and not one for each record.
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

    /// The condition of a record with these names in the zone: `True` unless one of them is known to be left out.
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
                    SkipReason::Unsettled(_) => "Unsettled",
                    SkipReason::Unreadable(_) => "Unreadable",
                    SkipReason::Quarantined(_) => "Refused",
                };
                return condition("False", reason, format!("{name}: {}", skipped.why));
            }
        }
        condition("True", "Published", String::new())
    }

    /// The condition of the Domain of the zone.
    pub fn zone_condition(&self) -> PublishedCondition {
        let condition = |status, reason, message| PublishedCondition { status, reason, message };
        if let Some(held) = self.held.first() {
            let more = if self.held.len() > 1 { format!(" (and {} more)", self.held.len() - 1) } else { String::new() };
            let message = format!("{}{more}; to release: mcdns.io/release: {}", held.why, held.checksum);
            return condition("False", "Held", message);
        }
        if let Some(words) = &self.last_error {
            return condition("False", "PublisherFailing", words.clone());
        }
        if !self.leading || self.comparisons == 0 {
            return condition("Unknown", "NotComparedYet", String::new());
        }
        let left = self.troubled().len();
        if left > 0 {
            let first = self.troubled().into_iter().next().map(ToString::to_string).unwrap_or_default();
            return condition("False", "NamesLeftOut", format!("{left} names are not published, {first} among them"));
        }
        condition("True", "Published", String::new())
    }

    /// The names whose own condition is not `True`.
    pub fn troubled(&self) -> BTreeSet<&OwnerName> {
        let held = self.held.iter().flat_map(|held| &held.changes).map(Change::owner);
        let skipped = self.skipped.iter().filter(|one| !matches!(one.why, SkipReason::Policy(_)));
        let quarantined = self.quarantined.iter().map(|one| &one.owner);
        held.chain(skipped.map(|one| &one.owner)).chain(quarantined).collect()
    }
}
