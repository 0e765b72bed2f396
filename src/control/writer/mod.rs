//! Brings what stands in the host to what is wanted, while this replica holds the lease.
//!
//! ```text
//!   touch, stands, verdicts, held, domains, publish       (keys and newest values; never blocks)
//!        │
//!        ▼
//!      Inbox ──► Ledger: what stands, what was written
//!        │
//!        ▼
//!      Queue ──► job: ask Desired, compare digests ── equal ──► done, nothing is sent
//!                                          │
//!                                          └─ differ ─► Pace ─► may we still? ─► apply ─► Ledger
//! ```
//!
//! # Invariants
//!
//! * A key is in the queue at most once, and says which object to look at, never what to write: the newest wins, and
//!   ten changes in a tenth of a second are one write. So each object is written at most ten times a second, and all
//!   of them at most [`WriterOptions::writes_per_second`].
//! * Nothing is forgotten: what fails is tried again, later each time; the holder looks at everything when its term
//!   begins, and again every [`WriterOptions::recheck`].
//! * Nothing is written when nothing changed (`ledger.rs` says how that is known).
//! * Whether we may write is asked before each request, and no request outlives the term that allowed it.
//! * What is deleted is ours, and its record is gone by three witnesses: the engine, the watch, and a request that asks
//!   for the record itself.
//!   What stands in an API group that is not wanted any more goes when it stands in those that are (`left.rs`).
//! * Two foreign writes to one object within a minute end ours, until it was quiet for ten.
//!
//! What comes in by webhook is kept beside all that, when it comes (`kept.rs`): whoever sends it waits for it.
//!
//! A DNSEndpoint is written before the status of its record, and records whose answers changed before those whose
//! status alone did.

mod cluster;
mod domain;
mod jobs;
mod kept;
mod ledger;
mod left;
mod pace;
mod queue;
mod record;
mod report;
mod run;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use mcdns_api::{Condition, Standing, StandingChange, StandingKey, StandingKind};
use mcdns_core::{
    health::Verdict,
    model::{ClusterName, NamespacedName, RecordKey},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use self::queue::Class;
pub use self::{kept::KeptEndpoints, report::WriterReport};
use crate::{
    Desired, Leadership, Notice, Recorder,
    host::{ENDPOINTS, EXTERNAL_DNS_ENDPOINTS},
};

/// How the writer writes.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Namespace of KubeFedClusters, Domains and the Lease.
    pub system_namespace: String,
    /// Name of the Lease: Events that are about no object of their own are about it.
    pub lease: String,
    /// API groups in which DNSEndpoints are wanted. Ours in the other group that is known are removed.
    pub endpoint_groups: Vec<String>,
    /// Writes a second, over all objects. 50 is what client-go's controllers allow themselves.
    pub writes_per_second: u32,
    /// Objects that are worked on at once.
    pub in_flight: usize,
    /// Time for one request. The term of the lease shortens it.
    pub request_limit: Duration,
    /// When only the time of a cluster's probe moved, its status is written at most once in so long. Replicas use a
    /// written condition while it is fresher than three periods of probing.
    pub probe_refresh: Duration,
    /// Everything is compared again after so long, against anything that went by unseen.
    pub recheck: Duration,
    /// At the start of a term, how long the writer waits to hear what stands. After that it asks for each object.
    pub patience: Duration,
}

impl WriterOptions {
    /// The defaults. DNSEndpoints are removed in no group.
    pub fn new(system_namespace: impl Into<String>) -> Self {
        Self {
            system_namespace: system_namespace.into(),
            lease: "mcdns".to_owned(),
            endpoint_groups: [ENDPOINTS, EXTERNAL_DNS_ENDPOINTS].map(|one| one.group.to_owned()).into(),
            writes_per_second: 50,
            in_flight: 10,
            request_limit: Duration::from_secs(5),
            probe_refresh: Duration::from_secs(10),
            recheck: Duration::from_mins(30),
            patience: Duration::from_secs(10),
        }
    }
}

/// Why a record is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Its answers changed.
    Answers,
    /// Its status may have changed, its answers did not.
    Status,
}

/// What a zone was published as, for the annotation of its Domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedZone {
    /// Namespace and name of the Domain.
    pub domain: NamespacedName,
    /// Serial of the zone's SOA.
    pub serial: u32,
    /// Digest of the zone's content, as text.
    pub digest: String,
}

/// Where everything is handed in. Cheap to clone; no call ever blocks.
#[derive(Clone)]
pub struct WriterHandle {
    inbox: Arc<Inbox>,
    report: watch::Receiver<WriterReport>,
    recorder: Recorder,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What was handed in and not taken yet: at most one entry for each key.
#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

#[derive(Default)]
struct Mail {
    touched: HashMap<RecordKey, Class>,
    standings: HashMap<StandingKey, Option<Standing>>,
    complete: Vec<StandingKind>,
    verdicts: HashMap<ClusterName, Option<Verdict>>,
    held: HashMap<ClusterName, Option<Condition>>,
    published: HashMap<NamespacedName, PublishedZone>,
    domains: HashMap<NamespacedName, Option<Vec<Condition>>>,
    stop: bool,
}

/// Starts the writer. It writes when `leadership` allows it, and Events through `recorder`.
pub fn spawn(
    client: Client,
    options: WriterOptions,
    desired: Arc<dyn Desired>,
    leadership: watch::Receiver<Leadership>,
    recorder: Recorder,
) -> WriterHandle {
    let inbox = Arc::new(Inbox::default());
    let (publish, report) = watch::channel(WriterReport::new(leadership.borrow().clone()));
    let writer = run::Run::new(client, options, desired, leadership, recorder.clone());
    let task = tokio::spawn(writer.run(inbox.clone(), publish));
    WriterHandle { inbox, report, recorder, task: Arc::new(Mutex::new(Some(task))) }
}

impl WriterHandle {
    /// These records may have to be written, or are gone.
    pub fn touch(&self, keys: impl IntoIterator<Item = RecordKey>, urgency: Urgency) {
        let class = match urgency {
            Urgency::Answers => Class::Answers,
            Urgency::Status => Class::Status,
        };
        self.inbox.put(|mail| {
            for key in keys {
                let wanted = mail.touched.entry(key).or_insert(class);
                *wanted = class.min(*wanted);
            }
        });
    }

    /// What stands in the host changed.
    pub fn stands(&self, changes: Vec<StandingChange>) {
        self.inbox.put(|mail| mail.standings.extend(changes.into_iter().map(|one| (one.key, one.standing))));
    }

    /// Everything of these kinds that stood at the start was handed in by now. Nothing is taken for missing, and no
    /// DNSEndpoint for left behind, before that.
    pub fn stands_complete(&self, kinds: &[StandingKind]) {
        self.inbox.put(|mail| mail.complete.extend_from_slice(kinds));
    }

    /// What is to be said of members; none of those whose status somebody else maintains from now on.
    pub fn verdicts(&self, verdicts: Vec<(ClusterName, Option<Verdict>)>) {
        self.inbox.put(|mail| mail.verdicts.extend(verdicts));
    }

    /// Condition `Held` of members, where that changed; none where nothing is held any more. It is written beside the
    /// verdict, so not where somebody else maintains the status.
    pub fn held(&self, changes: Vec<(ClusterName, Option<Condition>)>) {
        self.inbox.put(|mail| mail.held.extend(changes));
    }

    /// Conditions of Domains without times, where they changed; none of a Domain that is gone.
    pub fn domains(&self, changes: Vec<(NamespacedName, Option<Vec<Condition>>)>) {
        self.inbox.put(|mail| mail.domains.extend(changes));
    }

    /// What zones were published as.
    pub fn publish(&self, zones: Vec<PublishedZone>) {
        self.inbox.put(|mail| mail.published.extend(zones.into_iter().map(|zone| (zone.domain.clone(), zone))));
    }

    /// Tells people about an object.
    pub fn tell(&self, notice: Notice) {
        self.recorder.tell(notice);
    }

    /// What the writer is doing, at most one second old.
    pub fn report(&self) -> watch::Receiver<WriterReport> {
        self.report.clone()
    }

    /// Ends the writer after the requests that are under way. Give the lease up after that.
    pub async fn stop(&self) {
        self.inbox.put(|mail| mail.stop = true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It ends by itself; an error is a panic, which its own task has reported.
            let _ = task.await;
        }
    }
}

impl Mail {
    fn is_empty(&self) -> bool {
        let Self { touched, standings, complete, verdicts, held, published, domains, stop } = self;
        let nothing = touched.is_empty() && standings.is_empty() && complete.is_empty();
        let no_status = verdicts.is_empty() && held.is_empty() && domains.is_empty();
        nothing && no_status && published.is_empty() && !stop
    }
}

impl Inbox {
    fn put(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut self.lock());
        self.arrived.notify_one();
    }

    fn take(&self) -> Mail {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
