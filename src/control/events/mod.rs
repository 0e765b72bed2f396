//! Events (`events.k8s.io/v1`): what a person should know about an object, said once.
//!
//! The same reason about the same object is written at most once in ten minutes. What is said in between is counted,
//! and the next Event about it is the same one with a series and the count. Nothing here is ever waited for. While the
//! API server is in trouble an Event is tried for half a minute; one that cannot be written is counted and lost:
//! conditions, logs and metrics say the same.
//!
//! Only the holder of the lease writes them, since every replica sees the same. While it is not known who holds it, an
//! Event waits as it does for the API server.

mod desk;

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use self::desk::{Desk, Order};
use crate::{
    Leadership,
    host::{ApiError, EVENTS, Host, Place, chain},
};

/// One Event about the same object and reason in so long.
const WINDOW: Duration = Duration::from_mins(10);
/// Time between two Events, whatever they are about: 5 a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// Time for one request.
const LIMIT: Duration = Duration::from_secs(5);
/// First wait while the API server is in trouble; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait: after 1, 2, 4, 8 and 16 s it is given up.
const LAST_WAIT: Duration = Duration::from_secs(16);
/// Longest `note` that Kubernetes takes, in bytes.
const NOTE_LIMIT: usize = 1024;
/// Longest part of the object's name in the Event's; 253 are allowed for the whole.
const NAME_LIMIT: usize = 200;
/// Longest `reportingInstance` that Kubernetes takes.
const INSTANCE_LIMIT: usize = 128;

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace of the object and of the Event.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid` where it is known; `kubectl describe` finds Events by it.
    pub uid: Option<String>,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// About what.
    pub regarding: Regarding,
    /// One word in CamelCase; with the object it is what is told only once.
    pub reason: String,
    /// Tells several matters of one reason about one object apart, as one missing permission from another; mostly
    /// empty. From a bounded set.
    pub about: Cow<'static, str>,
    /// For people, with the next step. Cut after 1,024 bytes.
    pub note: String,
    /// Whether something is wrong.
    pub is_warning: bool,
}

/// How many there were, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Written.
    pub written: u64,
    /// Counted into a series instead of being written.
    pub repeated: u64,
    /// Lost because there were too many at once.
    pub dropped: u64,
    /// Lost because the API server did not take them.
    pub failed: u64,
}

/// Where notices are handed in. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Recorder {
    desk: Arc<Mutex<Desk>>,
    /// Wakes the writer, and ends it when the last one is gone.
    wake: watch::Sender<()>,
}

/// Starts a recorder. `identity` is told as the reporting instance. It ends when the last clone is dropped.
pub fn recorder(client: Client, identity: &str, leadership: watch::Receiver<Leadership>) -> Recorder {
    let desk = Arc::new(Mutex::new(Desk::new(WINDOW)));
    let (wake, woken) = watch::channel(());
    let instance = cut(identity, INSTANCE_LIMIT).to_owned();
    let names = RandomState::new();
    let writer = EventWriter { host: Host::new(client), instance, leadership, names, desk: desk.clone() };
    tokio::spawn(writer.run(woken));
    Recorder { desk, wake }
}

impl Recorder {
    /// Tells something, if it is worth telling again.
    pub fn tell(&self, notice: Notice) {
        if lock(&self.desk).take(notice, Instant::now()) {
            self.wake.send_replace(());
        }
    }

    /// How many there were.
    pub fn counts(&self) -> EventCounts {
        lock(&self.desk).counts
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

struct EventWriter {
    host: Host,
    instance: String,
    leadership: watch::Receiver<Leadership>,
    names: RandomState,
    desk: Arc<Mutex<Desk>>,
}

impl EventWriter {
    async fn run(self, mut woken: watch::Receiver<()>) {
        let mut complained = None;
        loop {
            let order = lock(&self.desk).next();
            let Some(order) = order else {
                if woken.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Some(outcome) = self.write_patiently(&order).await else {
                lock(&self.desk).discard(&order);
                continue;
            };
            if let Err(error) = &outcome
                && complained != Some(error.label())
            {
                complained = Some(error.label());
                tracing::warn!(error = chain(error), "an Event was not written");
            }
            lock(&self.desk).written(&order, outcome.ok(), Instant::now());
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Tries again what fails because of the server, and waits for a term that is over and may be followed by another:
    /// what is told of our own writes nobody else will tell. Returns the name of the Event; none where somebody else
    /// writes.
    async fn write_patiently(&self, order: &Order) -> Option<Result<String, ApiError>> {
        let mut wait = FIRST_WAIT;
        loop {
            let (left, is_follower) = {
                let leadership = self.leadership.borrow();
                (leadership.may_write(), matches!(*leadership, Leadership::Follower { .. }))
            };
            match left {
                Some(left) => match self.write(order, left.min(LIMIT)).await {
                    Err(error) if error.is_of_the_server() && wait <= LAST_WAIT => {}
                    outcome => return Some(outcome),
                },
                None if is_follower || wait > LAST_WAIT => return None,
                None => {}
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// Returns the name of the Event.
    async fn write(&self, order: &Order, limit: Duration) -> Result<String, ApiError> {
        let namespace = &order.notice.regarding.namespace;
        if let Some(name) = &order.event {
            let series = json!({"series": {"count": order.count, "lastObservedTime": now()}});
            match self.host.merge(Place::object(EVENTS, namespace, name), &series, limit).await {
                Ok(_) => return Ok(name.clone()),
                // Events live for an hour.
                Err(ApiError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let (name, event) = self.event(order);
        self.host.create(Place::object(EVENTS, namespace, &name), &event, limit).await?;
        Ok(name)
    }

    fn event(&self, order: &Order) -> (String, Value) {
        let Notice { regarding, reason, note, is_warning, .. } = &order.notice;
        let time = now();
        let number = self.names.hash_one((&time, regarding, reason, &order.notice.about));
        let name = format!("{}.{number:016x}", cut(&regarding.name, NAME_LIMIT).trim_end_matches(['.', '-']));
        let mut about = json!({
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "namespace": regarding.namespace,
            "name": regarding.name,
        });
        if let Some(uid) = &regarding.uid {
            about["uid"] = json!(uid);
        }
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": regarding.namespace, "name": name},
            "eventTime": time,
            "reportingController": "mcdns",
            "reportingInstance": self.instance,
            "action": "Reconcile",
            "reason": reason,
            "note": cut(note, NOTE_LIMIT),
            "type": if *is_warning { "Warning" } else { "Normal" },
            "regarding": about,
        });
        (name, event)
    }
}

/// `MicroTime` of Kubernetes.
fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// As much of a text as fits, whole characters.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
