//! Kubernetes clusters: the host, and the members that it names.
//!
//! ```text
//!   host ─── Domain, KubeFedCluster, records, DNSEndpoints … ───┐
//!     │ KubeFedCluster + Secret                                  │ watches ──► desk ──► Batch ──► core, control
//!     └──► member ─ Service, EndpointSlice, Ingress, Node ───────┤                └──► Report
//!            └───── /readyz ─────────────────────────────────────┘
//! ```
//!
//! Each resource of each cluster is one task (`watch.rs`) that trims what comes at once to facts (`known.rs`); one desk
//! gathers them (`desk.rs`), in the order in which they came. What counts:
//!
//! * "Cannot be read" is never "empty": an object goes by a deletion that the server tells of, by its absence from a
//!   complete list, or with its cluster. Faults of any kind (`fault.rs`) leave everything as it is.
//! * A member that is slow, hangs or answers nonsense delays nobody: it has tasks, connections and limits of its own,
//!   and everything that is waited for has a time.
//! * Nothing is written, and no credentials are kept or logged. Secrets are read by name when a member's client is made; the
//!   watch on them is told names and versions only.

mod ask;
mod client;
mod desk;
mod fault;
mod health;
mod host_status;
mod known;
mod member;
mod member_client;
mod member_spec;
mod report;
mod resource;
mod standing;
mod tls;
mod watch;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kube::Client;
use mcdns_api::{StandingChange, StandingKind};
use mcdns_core::{
    health::Verdict,
    model::{ClusterName, HostWord, LabelSelector, Object, ObjectKey, Observation, Scope, Timestamp},
};
use tokio::{
    sync::{mpsc, watch as channel},
    task::JoinHandle,
};

pub use client::{ClientError, host_client};
pub use report::{ClusterReport, HealthReport, KindReport, Report, WatchError};

/// What is observed, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespace of KubeFedClusters and their Secrets.
    pub system_namespace: String,
    /// Which objects of members count (Nodes always do).
    pub selector: LabelSelector,
    /// How members are probed.
    pub health: HealthOptions,
    /// No member is contacted; what their records' statuses say counts instead.
    pub host_only: bool,
    /// API groups whose DNSEndpoints are read.
    pub endpoint_groups: Vec<String>,
}

/// How the health of members is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthOptions {
    /// Who maintains the status of KubeFedClusters.
    pub mode: HealthMode,
    /// Time between two probes of a member.
    pub period: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// Failed probes in a row until a member is not Ready.
    pub failure_threshold: u32,
    /// Successful probes in a row until it is Ready again.
    pub success_threshold: u32,
}

impl Default for HealthOptions {
    /// What KubeFed has.
    fn default() -> Self {
        Self {
            mode: HealthMode::Auto,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            failure_threshold: 3,
            success_threshold: 1,
        }
    }
}

/// Who maintains the status of KubeFedClusters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HealthMode {
    /// mcdns does.
    Own,
    /// Somebody else does.
    Observe,
    /// Somebody else while somebody else writes it within three periods, else mcdns.
    #[default]
    Auto,
}

/// What there is to tell.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What changed, sorted by key; in the first batch everything, and what is gone since [`Kubernetes::adopt`].
    pub observations: Vec<Observation>,
    /// What stands in the host now of the things that mcdns writes there, sorted by key.
    pub standings: Vec<StandingChange>,
    /// What is to be written about members, by name; nothing where somebody else maintains that, and none once where
    /// that begins.
    pub verdicts: Vec<(ClusterName, Option<Verdict>)>,
    /// What the host itself says of clusters: an observation of a KubeFedCluster may be of our own making, when the health
    /// by our own probes changes, and nothing is observed of what is in clusters that left.
    pub word: HostWord,
    /// How much was read by the time of this batch.
    pub progress: Progress,
    /// True for the first batch alone.
    pub first: bool,
}

/// How much was read: what was not may be old, or unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// True once every kind of the host was listed, or surely cannot be.
    pub host: bool,
    /// Of which all that stands in the host was told, because their kinds were listed completely, are not there at all, or
    /// are not watched.
    pub stands: Vec<StandingKind>,
    /// Members of which nothing was known from before, and not everything was read yet.
    pub unread: BTreeSet<ClusterName>,
}

/// Reaches a member in another way than its KubeFedCluster says; none where that does not know it either.
pub type Connect = Arc<dyn Fn(&ClusterName) -> Option<Client> + Send + Sync>;

/// A host and its members, of which nothing was read yet.
pub struct Kubernetes {
    client: Client,
    options: Options,
    adopted: BTreeMap<ObjectKey, Arc<Object>>,
    connect: Option<Connect>,
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The clients of members by name, each with the name of the Secret that it was made from.
type Clients = Arc<RwLock<BTreeMap<ClusterName, (Client, String)>>>;

/// The running watches; they end when this is dropped.
#[derive(Debug)]
pub struct Handle {
    desk: JoinHandle<()>,
    reports: channel::Receiver<Arc<Report>>,
    clients: SharedClients,
}

/// Clients print nothing about themselves.
struct SharedClients(Clients);

impl fmt::Debug for SharedClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(clients.keys()).finish()
    }
}

impl Kubernetes {
    /// The host that `client` reaches.
    pub fn new(client: Client, options: Options) -> Self {
        Self { client, options, adopted: BTreeMap::new(), connect: None }
    }

    /// Takes what was known before a restart. It stays known until its kind was listed completely in its cluster; what
    /// is of no cluster is not taken.
    pub fn adopt(&mut self, objects: impl IntoIterator<Item = (ObjectKey, Arc<Object>)>) {
        self.adopted.extend(objects.into_iter().filter(|(key, _)| key.scope != Scope::World));
    }

    /// Reaches members by `connect` instead of the address in their KubeFedCluster, which must be right otherwise and
    /// have its Secret: for tests and benchmarks with API servers in the same process.
    #[must_use]
    pub fn with_connect(mut self, connect: Connect) -> Self {
        self.connect = Some(connect);
        self
    }

    /// Observes on tasks of the current runtime, until the [`Handle`] or the receiver is dropped. The first batch comes
    /// as soon as the host and all members have answered, or after 5 s with what was read by then; where nothing was
    /// adopted, not before the host was read.
    pub fn spawn(self, batches: mpsc::Sender<Batch>) -> Handle {
        let Self { client, options, adopted, connect } = self;
        let (report, reports) = channel::channel(Arc::new(Report::default()));
        let clients = Clients::default();
        let desk = desk::Desk::new(client, options, adopted, connect, Arc::clone(&clients), report);
        let desk = tokio::spawn(desk.run(batches));
        Handle { desk, reports, clients: SharedClients(clients) }
    }
}

impl Handle {
    /// How the watches are doing; changes at most once a second.
    pub fn reports(&self) -> channel::Receiver<Arc<Report>> {
        self.reports.clone()
    }

    /// The client of a member, with the credentials that count now; none while it is not known how to reach it.
    pub fn member_client(&self, cluster: &ClusterName) -> Option<Client> {
        let clients = self.clients.0.read().unwrap_or_else(PoisonError::into_inner);
        clients.get(cluster).map(|(client, _)| client.clone())
    }

    /// Every member that has a client, with the name of the Secret in the system namespace that it was made from.
    pub fn member_secrets(&self) -> Vec<(ClusterName, String)> {
        let clients = self.clients.0.read().unwrap_or_else(PoisonError::into_inner);
        clients.iter().map(|(name, (_, secret))| (name.clone(), secret.clone())).collect()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.abort();
    }
}

/// The time of day.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
