//! An API server in the same process: no socket, no TLS, no etcd, and every fault on demand.
//!
//! ```text
//!   kube::Client ──► axum Router ──► Store: collections of objects, each with its history
//!                        ▲ Fault         │
//!                        └── tests ──────┘ put, delete, compact, cut
//! ```
//!
//! It speaks what watching and writing need: lists with pages and limits, watches with resource versions, bookmarks and
//! `sendInitialEvents`, label and field selectors, metadata alone, create, replace (409 on a stale version), merge patch,
//! server-side apply as a merge with one manager per part, `status` as a part of its own, delete. As with the real one a
//! write that changes nothing gets no new version. There is no schema, no admission, no finalizer, and no RBAC.

mod answer;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

use self::store::Store;
pub use self::store::{Resource, host_resources, member_resources};

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No answer, ever.
    Hang,
    /// This status, with a `Status` object.
    Status(u16),
    /// 429 that asks to come back after so many seconds.
    Busy(u32),
    /// 200 with something that is no JSON.
    Garbage,
    /// Half of the answer, then the connection breaks.
    Cut,
    /// 200, and an event that tells of this status: what a stream of an API server with an old etcd says.
    Event(u16),
    /// A list that ends in the middle, as if that were all.
    Half,
}

/// An API server; clones are the same one.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    control: Mutex<Control>,
    /// Moves when running watches are to end.
    cut: watch::Sender<u64>,
    /// Moves when running watches get a bookmark.
    bookmarks: watch::Sender<u64>,
}

struct Control {
    /// The first whose text is part of the path and query counts.
    faults: Vec<(String, Fault)>,
    streaming: bool,
    readyz: Option<(u16, String)>,
    healthz: (u16, String),
    requests: BTreeMap<String, u64>,
    log: Vec<String>,
}

impl ApiServer {
    /// A server that has these resources, and streams lists.
    pub fn new(resources: Vec<Resource>) -> Self {
        let ok = (200, "ok".to_owned());
        let control = Control {
            faults: Vec::new(),
            streaming: true,
            readyz: Some(ok.clone()),
            healthz: ok,
            requests: BTreeMap::new(),
            log: Vec::new(),
        };
        let inner = Inner {
            store: Mutex::new(Store::new(resources)),
            control: Mutex::new(control),
            cut: watch::Sender::new(0),
            bookmarks: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A host with the CRDs of mcdns and KubeFed.
    pub fn host() -> Self {
        Self::new(host_resources())
    }

    /// A member of today.
    pub fn member() -> Self {
        Self::new(member_resources())
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.router(), "default")
    }

    /// The server as a service, for instance behind a listener.
    pub fn router(&self) -> Router {
        answer::router(Arc::clone(&self.inner))
    }

    /// Creates or replaces objects, each told to watches. Name, namespace and version come from the object.
    ///
    /// # Panics
    ///
    /// If the server does not have that kind, or the object has no name.
    pub fn put(&self, object: Value) {
        self.store().put(object).expect("a test puts what the server has");
    }

    /// Deletes an object; false if it was not there. `resource` is the plural.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> bool {
        self.store().delete(resource, namespace, name)
    }

    /// An object as it stands.
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.store().object(resource, namespace, name)
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: &str) -> usize {
        self.store().count(resource)
    }

    /// Adds a resource, like a CRD that is created.
    pub fn add_resource(&self, resource: Resource) {
        self.store().add(resource);
    }

    /// Forgets what happened: who goes on from before gets 410.
    pub fn compact(&self) {
        self.store().compact();
    }

    /// From now on, requests whose path and query hold `part` go wrong, those that match an earlier call so.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.control().faults.push((part.to_owned(), fault));
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.control().faults.clear();
    }

    /// Breaks the connections of all running watches.
    pub fn cut_watches(&self) {
        self.inner.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Sends a bookmark on all running watches.
    pub fn bookmark(&self) {
        self.inner.bookmarks.send_modify(|bookmarks| *bookmarks += 1);
    }

    /// Whether it streams lists; without, it refuses `sendInitialEvents` like a real one.
    pub fn set_streaming(&self, streaming: bool) {
        self.control().streaming = streaming;
    }

    /// What `/readyz` answers; none for a server that has only `/healthz`.
    pub fn set_readyz(&self, answer: Option<(u16, &str)>) {
        self.control().readyz = answer.map(|(code, text)| (code, text.to_owned()));
    }

    /// How many requests there were whose method, path and query hold `part`.
    pub fn requests(&self, part: &str) -> u64 {
        self.control().requests.iter().filter(|(request, _)| request.contains(part)).map(|(_, count)| *count).sum()
    }

    /// Method, path and query of the requests that changed something or tried, in their order.
    pub fn writes(&self) -> Vec<String> {
        self.control().log.clone()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.inner.store()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.inner.control()
    }
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
