//! How the watches are doing, for conditions, metrics and people.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mcdns_core::{
    check::Finding,
    health::ProbeOutcome,
    model::{ClusterName, Timestamp},
};

use super::{HealthMode, fault::Fault};

/// The state of all watches at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The host cluster.
    pub host: ClusterReport,
    /// The members that the host names.
    pub members: BTreeMap<ClusterName, ClusterReport>,
    /// What is wrong, sorted.
    pub findings: Vec<Finding>,
}

/// The watches of one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterReport {
    /// Per kind, in a fixed order.
    pub kinds: Vec<KindReport>,
    /// Whether the server sends lists as streams; none until one was asked for.
    pub streaming_lists: Option<bool>,
    /// Why there is no connection to make, for a member: what is wrong with its KubeFedCluster or Secret.
    pub misconfigured: Option<String>,
    /// Health of a member; none for the host, and where members are not contacted.
    pub health: Option<HealthReport>,
}

/// The watch of one kind in one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindReport {
    /// The Kubernetes kind; with its group where there are several.
    pub name: String,
    /// Path that is watched, the newest that the server has.
    pub path: String,
    /// True once everything was listed.
    pub synced: bool,
    /// True while the server does not have the kind in any version.
    pub missing: bool,
    /// When the server was last heard on this watch: an event, a bookmark or a list.
    pub heard: Option<Timestamp>,
    /// Objects known.
    pub objects: u64,
    /// Complete lists.
    pub lists: u64,
    /// Watches that ended and were taken up again where they were.
    pub resumes: u64,
    /// Events of watches, without bookmarks.
    pub events: u64,
    /// Times that reading failed.
    pub errors: u64,
    /// The last failure since the last success.
    pub error: Option<WatchError>,
}

/// A failure to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchError {
    /// One word: `Unauthorized`, `Forbidden`, `NotFound`, `Gone`, `Refused`, `Busy`, `Status`, `CertificateRejected`,
    /// `NotReachable`, `Timeout`, `Cut`, `Garbage` or `TooLarge`.
    pub reason: &'static str,
    /// What happened, with the next step where there is one.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Since when nothing succeeded.
    pub since: Timestamp,
}

/// Health of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// Own or Observe; Auto is resolved.
    pub mode: HealthMode,
    /// Why that one.
    pub why: String,
    /// What probes say, after thresholds; none before the first one ended.
    pub outcome: Option<ProbeOutcome>,
    /// When it was last probed.
    pub probed: Option<Timestamp>,
    /// True while the written condition counts, false while our own probe does.
    pub written_counts: bool,
}

impl ClusterReport {
    /// True while something that was known before cannot be read now, or nothing could be read yet.
    pub fn is_lost(&self) -> bool {
        self.trouble().is_some()
    }

    /// What of the cluster is not up to date and why: the first of it, and how much more there is. None when all is well.
    pub fn trouble(&self) -> Option<String> {
        if let Some(why) = &self.misconfigured {
            return Some(why.clone());
        }
        let stale: Vec<&KindReport> =
            self.kinds.iter().filter(|kind| !kind.missing && (kind.error.is_some() || !kind.synced)).collect();
        let (first, others) = stale.split_first()?;
        let why = first.error.as_ref().map_or_else(|| "not listed yet".to_owned(), |error| error.message.clone());
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        Some(format!("{}{more}: {why}", first.name))
    }
}

/// Where one watch notes how it is doing.
#[derive(Debug, Default)]
pub(super) struct Meter {
    report: Mutex<KindReport>,
}

impl Meter {
    pub(super) fn new(name: &str) -> Self {
        let meter = Self::default();
        name.clone_into(&mut meter.lock().name);
        meter
    }

    fn lock(&self) -> MutexGuard<'_, KindReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> KindReport {
        self.lock().clone()
    }

    /// True once everything was listed.
    pub(super) fn is_synced(&self) -> bool {
        self.lock().synced
    }

    pub(super) fn synced(&self, path: &str, at: Timestamp) {
        let mut report = self.lock();
        path.clone_into(&mut report.path);
        (report.synced, report.missing, report.error) = (true, false, None);
        report.heard = Some(at);
        report.lists += 1;
    }

    pub(super) fn heard(&self, events: u64, at: Timestamp) {
        let mut report = self.lock();
        report.events += events;
        report.heard = Some(at);
        report.error = None;
    }

    pub(super) fn objects(&self, objects: usize) {
        self.lock().objects = objects as u64;
    }

    pub(super) fn resumed(&self) {
        self.lock().resumes += 1;
    }

    pub(super) fn failed(&self, fault: &Fault, at: Timestamp) {
        let mut report = self.lock();
        report.errors += 1;
        report.missing &= *fault == Fault::NotFound;
        let since = report.error.as_ref().map_or(at, |before| before.since);
        report.error = Some(WatchError { reason: fault.reason(), message: fault.message(), at, since });
    }

    /// The server does not have the kind; what was listed before stays. True if that is new.
    pub(super) fn missing(&self) -> bool {
        !std::mem::replace(&mut self.lock().missing, true)
    }
}
