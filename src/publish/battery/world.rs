//! What the cases want, and how they get there.

use std::{collections::BTreeMap, sync::Arc};

use mcdns_core::{
    dns::{OwnerName, RecordType, Rrset, parse_rdata_text},
    model::Timestamp,
    plan::{ManagerId, Plan, PlanOptions, RecordSet, WantedName, to_text},
};
use tokio::sync::watch;

use super::Subject;
use crate::{PublishedZone, Publisher, Scope, Step, WantedSource};

/// Steps within which every trouble of the battery must be over.
const PATIENCE: usize = 8;

/// What is wanted, by name.
#[derive(Debug, Clone, Default)]
pub struct Wishes(pub BTreeMap<OwnerName, WantedName>);

/// Reads `owner ttl type data`; `@` is the apex, and `/` (with spaces) separates data.
///
/// # Errors
///
/// The line is none.
pub fn wish(apex: &OwnerName, line: &str) -> Result<WantedName, String> {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [owner, ttl, record_type, data] = words[..] else { return Err(format!("`{line}` has no four parts")) };
    let owner = if owner == "@" { apex.to_string() } else { format!("{owner}.{apex}") };
    let owner = OwnerName::parse(&owner).map_err(|error| error.to_string())?;
    let record_type: RecordType = record_type.parse().map_err(|error| format!("{error}"))?;
    let ttl = ttl.parse().map_err(|error| format!("{error}"))?;
    let data = data.split(" / ").map(|data| parse_rdata_text(record_type, data, apex)).collect::<Result<Vec<_>, _>>();
    let rrset = Rrset::new(record_type, ttl, data.map_err(|error| error.to_string())?);
    let reason = "the battery".to_owned();
    let apex = apex.clone();
    let rrsets = vec![rrset];
    Ok(WantedName { owner, apex, rrsets, targets: Vec::new(), ttl, record: None, reason, unsettled: None })
}

impl Wishes {
    /// These lines; lines of one name are one name.
    pub fn of(apex: &OwnerName, lines: &[&str]) -> Result<Self, String> {
        let mut wishes = Self::default();
        for line in lines {
            wishes.add(wish(apex, line)?);
        }
        Ok(wishes)
    }

    /// One more RRset.
    pub fn add(&mut self, wanted: WantedName) {
        let known =
            self.0.entry(wanted.owner.clone()).or_insert_with(|| WantedName { rrsets: vec![], ..wanted.clone() });
        for rrset in wanted.rrsets {
            known.rrsets.retain(|other| other.record_type != rrset.record_type);
            known.rrsets.push(rrset);
        }
        known.rrsets.sort_by_key(|rrset| rrset.record_type);
    }
}

impl WantedSource for Wishes {
    fn wanted_names(&self, _apex: &OwnerName) -> Option<Vec<WantedName>> {
        Some(self.0.values().cloned().collect())
    }

    fn wanted_name(&self, _apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        Some(self.0.get(owner).cloned())
    }
}

/// A writer of the subject: what a running program is.
pub(super) struct Writer<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) manager: ManagerId,
    pub(super) zone: PublishedZone,
    pub(super) leading: watch::Sender<bool>,
    options: PlanOptions,
    now: Timestamp,
}

impl<'a> Writer<'a> {
    pub(super) fn new(subject: &'a dyn Subject, manager: &str) -> Result<Self, String> {
        Self::with(subject, manager, PlanOptions::default())
    }

    pub(super) fn with(subject: &'a dyn Subject, manager: &str, options: PlanOptions) -> Result<Self, String> {
        let manager: ManagerId = manager.parse().map_err(|error| format!("{error}"))?;
        let (leading, leads) = watch::channel(true);
        let publisher = subject.publisher(&manager);
        // What is lost is what the cases are about; the guard has tests of its own.
        let guard = mcdns_core::plan::GuardOptions { percent: 100, ..Default::default() };
        let zone = PublishedZone::new(publisher, manager.clone(), subject.apex(), options, guard, Arc::new(leads));
        Ok(Self { subject, manager, zone, leading, options, now: Timestamp(0) })
    }

    pub(super) fn publisher(&self) -> &Arc<dyn Publisher> {
        self.zone.publisher()
    }

    /// Brings the whole zone there, however often it takes, and checks that a newcomer has nothing to do. Returns the
    /// last plan, with what was skipped.
    pub(super) async fn converge(&mut self, wishes: &Wishes) -> Result<Plan, String> {
        let mut last = String::new();
        for _ in 0..PATIENCE {
            let step = self.step(wishes, Scope::Zone).await;
            if step.error.is_none() && step.again.is_empty() {
                return self.at_rest(wishes).await;
            }
            last = format!("{:?}, again {:?}", step.error, step.again);
        }
        Err(format!("no end after {PATIENCE} steps: {last}"))
    }

    /// Brings names there that changed.
    pub(super) async fn change(&mut self, wishes: &Wishes, names: &[&OwnerName]) -> Result<Plan, String> {
        let scope = Scope::Names(names.iter().map(|name| (*name).clone()).collect());
        let step = self.step(wishes, scope).await;
        if step.error.is_some() || !step.again.is_empty() {
            return Err(format!("{:?}, again {:?}", step.error, step.again));
        }
        self.at_rest(wishes).await
    }

    pub(super) async fn step(&mut self, wishes: &Wishes, scope: Scope) -> Step {
        self.now = self.now.plus_seconds(1);
        let step = self.zone.converge(wishes, scope, self.now).await;
        for receipt in &step.receipts {
            // A receipt that fails shows in what a newcomer reads.
            let _ = self.publisher().verify(&self.subject.apex(), receipt).await;
        }
        step
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, seconds: i64) {
        self.now = self.now.plus_seconds(seconds);
    }

    /// The law of convergence.
    async fn at_rest(&self, wishes: &Wishes) -> Result<Plan, String> {
        let newcomer = Writer::with(self.subject, self.manager.as_str(), self.options)?;
        let mut answer = newcomer.zone.preview(wishes, self.now).await;
        for _ in 0..PATIENCE {
            // A fault that nothing has met yet.
            if answer.is_err() {
                answer = newcomer.zone.preview(wishes, self.now).await;
            }
        }
        let plan = answer.map_err(|error| error.to_string())?;
        let refused = self.zone.quarantine();
        let left = plan.changes.iter().filter(|change| !refused.contains_key(change.owner())).count();
        if left == 0 { Ok(plan) } else { Err(format!("after apply, the plan is not empty: {}", to_text(&[plan]))) }
    }

    /// What stands at a name as lines of values: `A 192.0.2.1`, sorted.
    pub(super) async fn values(&self, owner: &OwnerName) -> Vec<String> {
        let sets = self.subject.sets(owner).await;
        lines(&sets)
    }

    /// The values that a reading of the publisher tells of, ours alone.
    pub(super) async fn published(&self, owner: &OwnerName) -> Result<Vec<String>, String> {
        let apex = self.subject.apex();
        let mut answer = self.publisher().read(&apex).await;
        for _ in 0..PATIENCE {
            if answer.is_err() {
                answer = self.publisher().read(&apex).await;
            }
        }
        let zone = answer.map_err(|error| error.to_string())?;
        let standing = zone.names.get(owner).filter(|one| one.ownership == mcdns_core::plan::Ownership::Ours);
        Ok(standing.map(|standing| lines(standing.group.sets())).unwrap_or_default())
    }
}

fn lines(sets: &[RecordSet]) -> Vec<String> {
    let values =
        |set: &RecordSet| set.values().into_iter().map(|value| format!("{} {value}", set.record_type)).collect();
    let mut lines: Vec<String> = sets.iter().flat_map(|set| -> Vec<String> { values(set) }).collect();
    lines.sort();
    lines
}
