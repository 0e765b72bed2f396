//! Route 53 in the same process: the REST API of 2013-04-01 on a socket, as strict as the real one, and every fault on
//! demand.
//!
//! ```text
//!   an SDK ──HTTP──► answer: who asks, how often, which call ──► zone: what stands, what changes
//!                      ▲ Fault                                     ▲
//!                      └── tests ──────────────────────────────────┘ create_zone, put_foreign, records
//! ```
//!
//! What it holds everybody to, because lenient fakes do not:
//!
//! * A batch is taken as a whole or not at all, one change after the other; every problem is told. Limits count as the
//!   service counts: 1,000 records and 32,000 characters, twice for UPSERT; [quota](Route53::set_quota) of a zone.
//! * CREATE of what is there, DELETE of what is not or says something else, the same set twice in a batch, names outside
//!   the zone, CNAME beside others or at the apex, policies mixed in one name and type, different TTLs of weighted sets,
//!   aliases to nowhere, values that are none, TXT without quotation marks: refused, in the words of the service.
//! * Names come back in lower case with octal codes (`\052`), lists sorted by reversed labels, in pages of at most 300. An
//!   UPSERT that says the same in other words (`2001:0db8::1`) leaves the old words.
//! * Changes are [PENDING](Route53::set_pending) for a while, a zone is [busy](Route53::set_busy) for a while, an account
//!   has so many [requests a second](Route53::set_rate).
//! * Requests are signed for `route53` in its region, `us-east-1` as a rule; that the signature itself is right is not checked.
//!
//! The same socket is an STS, so that assumed roles and web identities can be tried: see [`Route53::allow_role`].
//!
//! Errors look as they do on the wire today: `ErrorResponse`, with all problems of a batch in one message in brackets. The
//! words are those that users report; where nobody does (a CNAME with two values, `EvaluateTargetHealth` for `CloudFront`, too
//! many sets of one name) they are made in the same way, so tests should not rest on them.

mod alias;
mod answer;
mod batch;
mod name;
mod policy;
mod rdata;
mod record;
mod refusal;
mod sts;
mod xml;
mod zone;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, runtime, sync::oneshot};

pub use self::{
    batch::{Action, Change},
    record::{AliasTarget, RecordSet, Routing},
};
use self::{name::Name, policy::Policy, zone::Zone};

/// Sets that a zone may have unless Amazon raises it (Route 53 Developer Guide, "Quotas").
const QUOTA: usize = 10_000;

/// What goes wrong with a request. What is not said to have an effect has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 400 `Throttling`.
    Throttled,
    /// 400 `PriorRequestNotComplete`.
    PriorRequestNotComplete,
    /// 404 `NoSuchHostedZone`.
    NoSuchHostedZone,
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 403 `ExpiredToken`.
    ExpiredToken,
    /// 403 `InvalidClientTokenId`.
    InvalidClientTokenId,
    /// 500 `InternalFailure`.
    InternalFailure,
    /// 503 `ServiceUnavailable`.
    ServiceUnavailable,
    /// 400 `InvalidChangeBatch` with this problem.
    InvalidChangeBatch(String),
    /// 200 with something that is no XML.
    Garbage,
    /// 200 with half of the right answer, as if that were all; with its effect.
    Half,
    /// No answer, ever.
    Hang,
    /// No answer, ever; with its effect.
    HangAfter,
    /// The connection breaks.
    Cut,
    /// The connection breaks instead of the answer; with its effect.
    CutAfter,
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As in `ListHostedZones`.
    pub action: String,
    /// The access key that signed it; of an assumed role, the role's ARN.
    pub identity: String,
    /// The zone that it was about, without `/hostedzone/`.
    pub zone_id: Option<String>,
    /// The code of the refusal.
    pub refused: Option<String>,
}

/// A running Route 53 with one account; it ends when it is dropped.
pub struct Route53 {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the account has.
struct Inner {
    /// By ID without `/hostedzone/`.
    zones: BTreeMap<String, Zone>,
    /// When each change is INSYNC; none for never. By ID without `/change/`.
    changes: BTreeMap<String, Option<Instant>>,
    /// Until when a zone takes no changes.
    busy: BTreeMap<String, Instant>,
    batches: BTreeMap<String, Vec<Vec<Change>>>,
    health_checks: BTreeSet<String>,
    /// Problems of names, by name as the API returns it.
    refused: BTreeMap<String, String>,
    /// External IDs of roles by ARN.
    roles: BTreeMap<String, Option<String>>,
    /// ARNs of roles by access key.
    sessions: BTreeMap<String, String>,
    /// What everybody may do; none for everything.
    policy: Option<Policy>,
    pending: Duration,
    busy_for: Duration,
    rate: Option<u32>,
    quota: usize,
    /// When the requests of the last second came.
    recent: VecDeque<Instant>,
    faults: Vec<Planned>,
    log: Vec<Call>,
    numbered: u64,
}

/// A fault that is to come.
struct Planned {
    /// `*` for all.
    action: String,
    fault: Fault,
    /// Requests that go well before.
    after: u32,
    times: u32,
}

impl Route53 {
    /// A service without zones, throttles, or faults, on a loopback port of its own.
    ///
    /// # Panics
    ///
    /// If there is no port to listen on.
    pub fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::new()));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&inner);
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = answer::serve(&listener, &shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { inner, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens, as in `http://127.0.0.1:41234`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a zone with SOA and NS; its ID, without `/hostedzone/`.
    ///
    /// # Panics
    ///
    /// If the apex is no name.
    pub fn create_zone(&self, apex: &str, private: bool, tags: &[(&str, &str)]) -> String {
        let apex = Name::parse(apex).expect("a test names what can be named");
        let tags = tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut inner = self.lock();
        let id = format!("Z{:020}", inner.number());
        inner.zones.insert(id.clone(), Zone::new(id.clone(), apex, private, tags));
        id
    }

    /// Deletes a zone with all that is in it.
    pub fn delete_zone(&self, id: &str) {
        self.lock().zones.remove(id);
    }

    /// All sets of a zone, SOA and NS too, in the order of lists.
    ///
    /// # Panics
    ///
    /// If there is no such zone.
    pub fn records(&self, id: &str) -> Vec<RecordSet> {
        self.lock().zones[id].sets().cloned().collect()
    }

    /// What somebody else writes: not counted, not checked, in place of what is there.
    ///
    /// # Panics
    ///
    /// If there is no such zone.
    pub fn put_foreign(&self, id: &str, set: RecordSet) {
        self.lock().zones.get_mut(id).expect("a zone").put(set);
    }

    /// What somebody else deletes; true if it was there.
    ///
    /// # Panics
    ///
    /// If there is no such zone, or the name is none.
    pub fn remove_foreign(&self, id: &str, name: &str, kind: &str, set_identifier: Option<&str>) -> bool {
        let name = Name::parse(name).expect("a test names what can be named");
        self.lock().zones.get_mut(id).expect("a zone").remove(&name, kind, set_identifier)
    }

    /// The batches that a zone has taken, in their order.
    pub fn batches(&self, id: &str) -> Vec<Vec<Change>> {
        self.lock().batches.get(id).cloned().unwrap_or_default()
    }

    /// Makes a health check that sets may name.
    pub fn add_health_check(&self, id: &str) {
        self.lock().health_checks.insert(id.to_owned());
    }

    /// Has STS hand out sessions of a role; with an external ID, to those who know it.
    pub fn allow_role(&self, arn: &str, external_id: Option<&str>) {
        self.lock().roles.insert(arn.to_owned(), external_id.map(str::to_owned));
    }

    /// Allows what this IAM policy allows, and nothing else: everything unless set.
    ///
    /// # Panics
    ///
    /// If the policy says something that is not looked at.
    pub fn set_policy(&self, policy: &serde_json::Value) {
        self.lock().policy = Some(Policy::read(policy));
    }

    /// Requests by action, refused ones too. Those of STS are `AssumeRole` and `AssumeRoleWithWebIdentity`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for call in &self.lock().log {
            *calls.entry(call.action.clone()).or_default() += 1;
        }
        calls
    }

    /// Requests in the order in which they came.
    pub fn log(&self) -> Vec<Call> {
        self.lock().log.clone()
    }

    /// Requests that were one too many in their second.
    pub fn throttled(&self) -> usize {
        self.lock().log.iter().filter(|call| call.refused.as_deref() == Some("Throttling")).count()
    }

    /// How long changes are PENDING: not at all unless set; [`Duration::MAX`] for ever.
    pub fn set_pending(&self, pending: Duration) {
        self.lock().pending = pending;
    }

    /// Makes everything INSYNC that is PENDING.
    pub fn settle(&self) {
        let now = Instant::now();
        self.lock().changes.values_mut().for_each(|change| *change = Some(now));
    }

    /// How long a zone refuses changes with `PriorRequestNotComplete` after it took one: not at all unless set.
    pub fn set_busy(&self, busy: Duration) {
        self.lock().busy_for = busy;
    }

    /// How many requests are answered in any second: all unless set; the service has 5.
    pub fn set_rate(&self, rate: Option<u32>) {
        self.lock().rate = rate;
    }

    /// How many sets a zone may have: 10,000 unless set.
    pub fn set_quota(&self, quota: usize) {
        self.lock().quota = quota;
    }

    /// The next so many requests of an action (`*`: of any) go wrong, after those of earlier calls of this.
    pub fn fail(&self, action: &str, fault: Fault, times: u32) {
        self.lock().faults.push(Planned { action: action.to_owned(), fault, after: 0, times });
    }

    /// One request of an action (`*`: of any) goes wrong, after so many that go well.
    pub fn fail_after(&self, action: &str, after: u32, fault: Fault) {
        self.lock().faults.push(Planned { action: action.to_owned(), fault, after, times: 1 });
    }

    /// Batches that touch this name are refused with this problem; none ends it.
    ///
    /// # Panics
    ///
    /// If the name is none.
    pub fn refuse(&self, name: &str, problem: Option<&str>) {
        let name = Name::parse(name).expect("a test names what can be named").escaped();
        let mut inner = self.lock();
        match problem {
            Some(problem) => inner.refused.insert(name, problem.to_owned()),
            None => inner.refused.remove(&name),
        };
    }

    /// Nothing more goes wrong.
    pub fn mend(&self) {
        self.lock().faults.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Drop for Route53 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic is told already.
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn new() -> Self {
        Self {
            zones: BTreeMap::new(),
            changes: BTreeMap::new(),
            busy: BTreeMap::new(),
            batches: BTreeMap::new(),
            health_checks: BTreeSet::new(),
            refused: BTreeMap::new(),
            roles: BTreeMap::new(),
            sessions: BTreeMap::new(),
            policy: None,
            pending: Duration::ZERO,
            busy_for: Duration::ZERO,
            rate: None,
            quota: QUOTA,
            recent: VecDeque::new(),
            faults: Vec::new(),
            log: Vec::new(),
            numbered: 0,
        }
    }

    /// A number that nothing else has.
    fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// The fault that this request has.
    fn fault(&mut self, action: &str) -> Option<Fault> {
        let planned = self.faults.iter_mut().find(|planned| planned.action == "*" || planned.action == action)?;
        if planned.after > 0 {
            planned.after -= 1;
            return None;
        }
        planned.times = planned.times.saturating_sub(1);
        let fault = planned.fault.clone();
        self.faults.retain(|planned| planned.times > 0);
        Some(fault)
    }

    /// True if this request is one too many in the last second.
    fn too_many(&mut self) -> bool {
        let Some(rate) = self.rate else { return false };
        let now = Instant::now();
        while self.recent.front().is_some_and(|&then| now.duration_since(then) >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        let full = self.recent.len() >= rate as usize;
        if !full {
            self.recent.push_back(now);
        }
        full
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
