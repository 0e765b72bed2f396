//! What `run` does for publishers: when they start, who may write, and how people hear of it.
//!
//! ```text
//!   sources were read, host names looked up ──► start ──► a task for each zone of each publisher
//!   lease, or being alone ────────────────────► may write? ──┘      │
//!   findings, Events, conditions of records and Domains ◄── reports ┘
//! ```
//!
//! What changed reaches publishers through `Federation`, at once; here is only what may take its time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use mcdns_control::Leadership;
use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
    model::RecordKey,
    plan::{GuardOptions, ManagerId},
    records::Engine,
};
use mcdns_publish::{Destination, Publishing, ReportChanges, Timing, ZoneReport};
use tokio::sync::watch;

use super::super::publishers::destinations;
use crate::settings::Settings;

/// How long after the sources were read host names may take to be looked up. Names that depend on one for which nobody has
/// answered are left as they stand in any case; the wait spares people reports of what is settled in a moment.
const HOST_NAMES: Duration = Duration::from_secs(10);
/// Reports are looked at this long after the first of them changed: during a large publication each batch changes one.
const LOOK: Duration = Duration::from_millis(500);

/// The publishers of a running program.
pub(super) struct Publishers {
    /// Not started yet.
    waiting: Vec<Destination>,
    /// `coredns (example.com)`, one for each.
    names: Vec<String>,
    manager: Option<ManagerId>,
    started: Option<Started>,
    /// When they start whatever is known of host names; none until the sources were read.
    patience: Option<Instant>,
    /// Says who may write where there is no lease.
    alone: watch::Sender<bool>,
    /// When to look at reports.
    look_at: Option<Instant>,
    /// The names that each zone left out when it was last looked at.
    troubled: BTreeMap<(String, OwnerName), BTreeSet<OwnerName>>,
    /// What people should know, as of then.
    findings: Vec<Finding>,
}

struct Started {
    publishing: Arc<Publishing>,
    changes: ReportChanges,
}

/// The lease of the host as publishers ask for it.
struct Lease(watch::Receiver<Leadership>);

impl Publishers {
    /// The publishers that settings ask for.
    pub(super) fn new(settings: &Settings) -> Self {
        let publish = &settings.publish.value;
        // Settings with something to refuse did not come here.
        let (waiting, _) = destinations(publish, settings.empty_levels.value);
        let zones = |one: &Destination| one.zones.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Self {
            names: waiting.iter().map(|one| format!("{} ({})", one.publisher.name(), zones(one))).collect(),
            waiting,
            manager: publish.manager.clone(),
            started: None,
            patience: None,
            alone: watch::channel(true).0,
            look_at: None,
            troubled: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// True until they run, if there are any.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where records go, for the welcome.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Starts them once everything is known that they need. The sources were read; a lease says who writes, or nobody
    /// else does. Gives what was started.
    pub(super) fn start(
        &mut self,
        engine: &Engine,
        with_engine: &mcdns_publish::WithEngine,
        lease: Option<watch::Receiver<Leadership>>,
    ) -> Option<Arc<Publishing>> {
        let manager = self.manager.as_ref().filter(|_| !self.waiting.is_empty())?;
        let patience = *self.patience.get_or_insert_with(|| Instant::now() + HOST_NAMES);
        if !engine.knows_host_names() && Instant::now() < patience {
            return None;
        }
        let leadership: Arc<dyn mcdns_publish::Leadership> = match lease {
            Some(lease) => Arc::new(Lease(lease)),
            None => Arc::new(self.alone.subscribe()),
        };
        let (waiting, guard) = (std::mem::take(&mut self.waiting), GuardOptions::default());
        let publishing =
            Arc::new(Publishing::start(waiting, manager, with_engine, &leadership, guard, Timing::default()));
        self.started = Some(Started { publishing: Arc::clone(&publishing), changes: publishing.changes() });
        Some(publishing)
    }

    /// Whether this program writes, where no lease says so.
    pub(super) fn set_alone(&self, alone: bool) {
        self.alone.send_replace(alone);
    }

    /// Waits until a report changes.
    pub(super) async fn changed(&mut self) {
        match &mut self.started {
            Some(started) => started.changes.changed().await,
            None => std::future::pending().await,
        }
        self.look_at.get_or_insert_with(|| Instant::now() + LOOK);
    }

    /// How long until [`Publishers::look`] or [`Publishers::start`] has something to do.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let waiting = self.patience.filter(|_| self.wait());
        let at = [waiting, self.look_at].into_iter().flatten().min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Looks how zones stand, where it is time to: gives the records whose conditions may have changed.
    pub(super) fn look(&mut self, engine: &Engine, system_namespace: &str) -> Option<BTreeSet<RecordKey>> {
        self.look_at.take_if(|at| *at <= Instant::now())?;
        let reports = self.started.as_ref()?.publishing.reports();
        self.findings = findings(&reports, engine, system_namespace);
        let mut records = BTreeSet::new();
        for report in reports {
            let now: BTreeSet<OwnerName> = report.troubled().into_iter().cloned().collect();
            let before = self.troubled.entry((report.publisher.clone(), report.zone.clone())).or_default();
            // The reason of one that stays may be another one, so it is looked at too: there are few of them.
            let names = before.union(&now);
            records.extend(names.filter_map(|name| engine.record_at(name)));
            *before = now;
        }
        Some(records)
    }

    /// What people should know of how zones stand.
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl mcdns_publish::Leadership for Lease {
    fn holds(&self) -> bool {
        self.0.borrow().may_write().is_some()
    }

    fn until(&self, holds: bool) -> BoxFuture<'_, ()> {
        let mut lease = self.0.clone();
        Box::pin(async move {
            loop {
                let left = lease.borrow_and_update().may_write();
                if left.is_some() == holds {
                    return;
                }
                // A term ends by itself when nobody renews it.
                let end = async {
                    match left {
                        Some(left) => tokio::time::sleep(left).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    changed = lease.changed() => if changed.is_err() && left.is_none() {
                        // Nobody is left who could say something else.
                        std::future::pending::<()>().await;
                    },
                    () = end => {}
                }
            }
        })
    }
}

/// What people should know of how zones stand, on the Domains of `system_namespace`.
fn findings(reports: &[ZoneReport], engine: &Engine, system_namespace: &str) -> Vec<Finding> {
    let about = |report: &ZoneReport, finding: Finding| match engine.domain_of(&report.zone) {
        Some(domain) => Finding { object: Some(format!("Domain {system_namespace}/{domain}")), ..finding },
        None => finding,
    };
    let mut findings = Vec::new();
    for report in reports {
        let to = format!("{} of {}", report.zone, report.publisher);
        if let Some(words) = report.last_error.as_ref().filter(|_| report.leading) {
            let message = format!("{to} cannot be published: {words}");
            let help = "what stands there stays, and it is tried again; `mcdns plan` tells what is missing";
            findings.push(about(report, Finding::new(FindingCode::PublisherFailing, message).help(help)));
        }
        for held in &report.held {
            let message = format!("{to}: {} changes are held: {}", held.changes.len(), held.why);
            let help = format!(
                "if that is meant: mcdns plan --apply --checksum {} --force, or annotate the Domain with \
                 mcdns.io/release: {0}",
                held.checksum
            );
            findings.push(about(report, Finding::new(FindingCode::PublishHeld, message).help(help)));
        }
        let quarantined = report.quarantined.iter().map(|one| (&one.owner, one.words.clone()));
        let skipped = report.skipped.iter().map(|one| (&one.owner, one.why.to_string()));
        let left_out: Vec<(&OwnerName, String)> = quarantined.chain(skipped).collect();
        if let Some((name, why)) = left_out.first() {
            let more = match left_out.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more names)"),
            };
            let message = format!("{to}: {name} is left out{more}: {why}");
            let help = "`mcdns plan` tells all of them; the conditions of their records say why";
            findings.push(about(report, Finding::new(FindingCode::NotPublished, message).help(help)));
        }
    }
    findings
}
