//! Telling secondaries that a zone has changed (RFC 1996).
//!
//! ```text
//!   SnapshotStore ──(looked at five times a second)──► serial moved? ──► one task for each zone and secondary
//!                                                                           │
//!        told ◄── answer ── try: 1 s, 2 s, 4 s, 8 s, 16 s ◄─────────────────┘
//!          │         │         ├── no answer at all: down, said once; then one try a minute
//!          │         └─────────┘   that goes on until there is an answer
//!          │                   └── refused: a minute passes, then the newest serial, if it moved meanwhile
//!          └── a second passes, then the newest serial, if it moved meanwhile
//! ```
//!
//! One thread of its own does all of it, so that serving waits for nothing. A secondary that misses a NOTIFY still asks
//! when the refresh time of the SOA is over; this only makes it earlier. RFC 1996 section 3.6 suggests 60 s between
//! tries and five of them; a lost datagram would cost a minute then, so that the pauses begin at one second and double,
//! five tries, as many as NSD and BIND make. A secondary that is away for longer, one that is started again for instance,
//! would have to wait for its refresh time then, which may be hours; one datagram a minute is little.

mod exchange;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mcdns_core::{
    answer::{Soa, Zone},
    dns::OwnerName,
};
use tokio::{
    runtime,
    sync::{Semaphore, watch},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    policy::{Policy, PolicyStore},
    store::SnapshotStore,
};

use exchange::{Failure, Told, tell};

/// How often the serials in force are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often one secondary is told of one zone.
const RHYTHM: Rhythm = Rhythm {
    tries: [
        Duration::from_secs(1),
        Duration::from_secs(2),
        Duration::from_secs(4),
        Duration::from_secs(8),
        Duration::from_secs(16),
    ],
    later_try: Duration::from_secs(4),
    pause: Duration::from_secs(1),
    down: Duration::from_mins(1),
};
/// Notifications to one secondary that wait for an answer at a time; each has a socket.
const AT_A_TIME: usize = 64;

/// A server that is told of changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secondary {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that the notification is signed with.
    pub key: Option<OwnerName>,
    /// The address of ours that it is sent from, of the same family; none: as the routes say. Secondaries take NOTIFY from
    /// the addresses of their primaries alone (RFC 1996 section 3.10).
    pub source: Option<IpAddr>,
}

/// What became of notifications, counted since the start.
#[derive(Debug, Default)]
pub struct Notifications {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

/// The numbers of [`Notifications`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotifyTotals {
    /// Messages, repeated ones included.
    pub sent: u64,
    /// Serials that a secondary has heard of.
    pub acknowledged: u64,
    /// Serials that a secondary refused to hear of, or did not answer for.
    pub failed: u64,
}

/// The thread that notifies. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Notifier {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the tasks share.
struct Shared {
    policies: PolicyStore,
    counts: Arc<Notifications>,
    rhythm: Rhythm,
}

/// Times of notifications of one zone to one secondary.
struct Rhythm {
    /// How long each try waits for an answer.
    tries: [Duration; 5],
    /// The same for the one try at a time of a secondary that is down.
    later_try: Duration,
    /// Between two notifications, however often the zone changes.
    pause: Duration,
    /// From one to the next for a secondary that is down.
    down: Duration,
}

/// What is known of a secondary.
///
/// ```text
///   Up ──► Silent ──► Up     it is asked until it answers
///   Up ──► Refuses ──► Up    it is told of the next serial
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Up,
    Silent,
    Refuses,
}

/// Who is told what.
#[derive(Default)]
struct Book {
    tasks: BTreeMap<(OwnerName, Secondary), watch::Sender<Soa>>,
    gates: BTreeMap<SocketAddr, Rc<Semaphore>>,
}

impl Notifications {
    /// What was counted.
    pub fn totals(&self) -> NotifyTotals {
        let [sent, acknowledged, failed] =
            [&self.sent, &self.acknowledged, &self.failed].map(|count| count.load(Ordering::Relaxed));
        NotifyTotals { sent, acknowledged, failed }
    }
}

impl Notifier {
    /// Tells every secondary of every zone at once, and from then on when a serial moves.
    pub(crate) fn start(
        store: &Arc<SnapshotStore>,
        policies: &PolicyStore,
        counts: Arc<Notifications>,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let store = Arc::clone(store);
        let shared = Shared { policies: policies.clone(), counts, rhythm: RHYTHM };
        let thread = thread::Builder::new().name("notify".to_owned()).spawn(move || {
            runtime.block_on(follow(&store, shared, stopped));
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that notifies secondaries ended by a panic");
        }
    }
}

/// Looks at the serials until `stop` changes.
async fn follow(store: &SnapshotStore, shared: Shared, mut stop: watch::Receiver<bool>) {
    let shared = Rc::new(shared);
    let local = LocalSet::new();
    let look = async {
        let mut book = Book::default();
        let mut seen = None;
        loop {
            let policy = shared.policies.load();
            let generation = store.generation();
            let same = |(before, old): &(_, Arc<Policy>)| *before == generation && Arc::ptr_eq(old, &policy);
            if !seen.as_ref().is_some_and(same) {
                book.update(store, &policy, &shared);
                seen = Some((generation, policy));
            }
            // The thread that looks anyway also frees what was served before.
            store.sweep();
            sleep(LOOK).await;
        }
    };
    local
        .run_until(async {
            tokio::select! {
                // An error means that the server is gone, which is a stop as well.
                _ = stop.wait_for(|stop| *stop) => {}
                () = look => {}
            }
        })
        .await;
}

impl Book {
    /// Starts what is new, says what has changed, and ends what is no longer wanted.
    fn update(&mut self, store: &SnapshotStore, policy: &Policy, shared: &Rc<Shared>) {
        let nobody = policy.other_zones.notify.is_empty() && policy.zones.values().all(|zone| zone.notify.is_empty());
        if nobody {
            self.tasks.clear();
            return;
        }
        let mut before = std::mem::take(&mut self.tasks);
        for zone in store.load().zones().filter_map(Zone::authoritative) {
            for secondary in &policy.zone(zone.apex()).notify {
                let key = (zone.apex().clone(), secondary.clone());
                let sender = before.remove(&key).unwrap_or_else(|| self.spawn(&key, zone.soa(), shared));
                sender.send_if_modified(|soa| {
                    let moved = soa.serial != zone.soa().serial;
                    if moved {
                        soa.clone_from(zone.soa());
                    }
                    moved
                });
                self.tasks.insert(key, sender);
            }
        }
    }

    fn spawn(
        &mut self,
        (apex, secondary): &(OwnerName, Secondary),
        soa: &Soa,
        shared: &Rc<Shared>,
    ) -> watch::Sender<Soa> {
        let (sender, soas) = watch::channel(soa.clone());
        let gate = self.gates.entry(secondary.address).or_insert_with(|| Rc::new(Semaphore::new(AT_A_TIME)));
        let (apex, secondary) = (apex.clone(), secondary.clone());
        // It ends with the channel.
        drop(spawn_local(keep_told(apex, secondary, soas, Rc::clone(shared), Rc::clone(gate))));
        sender
    }
}

/// Tells one secondary of one zone whenever its serial has moved, and until it answers.
async fn keep_told(
    apex: OwnerName,
    secondary: Secondary,
    mut soas: watch::Receiver<Soa>,
    shared: Rc<Shared>,
    gate: Rc<Semaphore>,
) {
    let Rhythm { tries, later_try, pause, down } = &shared.rhythm;
    let mut standing = Standing::Up;
    let mut failed = None;
    loop {
        let start = Instant::now();
        let tries = if standing == Standing::Silent { slice::from_ref(later_try) } else { &tries[..] };
        match tell(&apex, &secondary, &mut soas, tries, &shared, &gate).await {
            Ok(Told) => {
                shared.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                if standing != Standing::Up {
                    tracing::info!(zone = %apex, secondary = %secondary.address, "a secondary takes NOTIFY again");
                }
                standing = Standing::Up;
                sleep(*pause).await;
            }
            Err(failure) => {
                if failed.replace(soas.borrow().serial) != Some(soas.borrow().serial) {
                    shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                }
                if standing == Standing::Up {
                    say_failure(&apex, &secondary, &failure);
                }
                standing = if failure.is_refusal() { Standing::Refuses } else { Standing::Silent };
                sleep_until(start + *down).await;
            }
        }
        let goes_on = match standing {
            Standing::Silent => soas.has_changed().map(drop),
            Standing::Up | Standing::Refuses => soas.changed().await,
        };
        if goes_on.is_err() {
            return;
        }
    }
}

fn say_failure(apex: &OwnerName, secondary: &Secondary, failure: &Failure) {
    tracing::warn!(
        zone = %apex,
        secondary = %secondary.address,
        reason = %failure,
        "a secondary does not take NOTIFY; it learns of changes when it asks"
    );
}

#[cfg(test)]
mod tests;
