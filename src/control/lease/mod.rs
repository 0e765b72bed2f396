//! Which replica may write: a Lease of `coordination.k8s.io/v1`, held by one.
//!
//! ```text
//!                 record unchanged for its duration, or given up
//!        ┌──────────────────────────────────────────────────────┐
//!        │                                                      ▼
//!    Follower ◄────────── somebody else holds it ─────────── Holder ──┐ renewed every `retry`
//!        ▲                                                      │ ▲   │
//!        │                                                      │ └───┘
//!        └────────── Unknown ◄──── not renewed by `renew_deadline`
//! ```
//!
//! # Invariants
//!
//! * Clocks of two machines are never compared. A follower takes over when the record, whatever its times say, has not
//!   changed for its duration by the follower's own monotonic clock, counted from when it first saw it so.
//! * The holder counts from the *start* of its last successful renewal and stops being the holder `renew_deadline`
//!   later, which is before anybody else can start: they saw that renewal later than it started, and wait longer.
//!   What its clock says is in [`Term`], and each request asks it; the loop being slow does not matter.
//! * `resourceVersion` is the fence. Of two that take over at once, the second is refused. A holder whose renewal is
//!   refused reads before it thinks itself no longer the holder: a renewal that timed out may have been carried out.
//! * A machine that was suspended does not notice on its monotonic clock. So a term ends by the wall clock too; a wall
//!   clock that was set forward costs at most one round without writing.
//!
//! The identity must be unique to the process ([`unique`]): one that is used again counts as the same holder, which does
//! not wait for the end of a lease. The name of a pod and a process id are not enough: a pod of a `StatefulSet` that was
//! deleted by force on a node out of reach goes on beside its successor, which has its name, and both are process 1.

mod election;

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use kube::Client;
use mcdns_core::model::Timestamp;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use self::election::{Election, Round};
use crate::host::Host;

/// How long giving up the lease may take before the process goes on without: the others then wait for its end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// Which Lease, and how long.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Namespace of the Lease: the system namespace.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are; unique to this process, as [`unique`] makes it.
    pub identity: String,
    /// After this long without a change of the record others take over. Whole seconds.
    pub duration: Duration,
    /// A holder that could not renew for this long stops by itself. Less than `duration`.
    pub renew_deadline: Duration,
    /// Time between two rounds, of a holder as of a follower.
    pub retry: Duration,
}

impl LeaseOptions {
    /// The usual times of Kubernetes' own controllers: 15 s, 10 s, 2 s.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: "mcdns".to_owned(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Who may write.
#[derive(Debug, Clone, PartialEq)]
pub enum Leadership {
    /// We may, within the term.
    Holder {
        /// Since when (`acquireTime`).
        since: Timestamp,
        /// How often the lease went from one to another.
        transitions: i64,
        /// Counts the terms of this process: it stays while each renewal came in time, and is another after any lapse,
        /// also one that was over before anybody looked. What is done once a term is done again for another number.
        epoch: u64,
        /// Until when, unless it is renewed.
        term: Term,
    },
    /// Somebody else may.
    Follower {
        /// Who; none while nobody holds it.
        holder: Option<String>,
    },
    /// It cannot be told, with the reason for people. Nobody writes here meanwhile.
    Unknown(String),
}

/// Until when writing is allowed. It is a value, so that it holds even while nobody updates it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    monotonic: Instant,
    wall: SystemTime,
}

impl Term {
    /// A term of `length` that began at `start`, which must not be later than now.
    pub fn starting(start: Instant, length: Duration) -> Self {
        let left = (start + length).saturating_duration_since(Instant::now());
        Self { monotonic: start + length, wall: SystemTime::now() + left }
    }

    /// What is left of it; none when it is over.
    pub fn left(&self) -> Option<Duration> {
        let by_wall = self.wall.duration_since(SystemTime::now()).ok()?;
        let left = self.monotonic.checked_duration_since(Instant::now())?;
        // Time may stand still in tests, and the wall clock may be set back: the shorter one counts.
        Some(left.min(by_wall)).filter(|left| !left.is_zero())
    }
}

impl Leadership {
    /// How long writing is allowed from now on; none if it is not.
    pub fn may_write(&self) -> Option<Duration> {
        match self {
            Self::Holder { term, .. } => term.left(),
            Self::Follower { .. } | Self::Unknown(_) => None,
        }
    }

    /// Which term it is in which writing is allowed now; none if it is not.
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Holder { epoch, term, .. } => term.left().map(|_| *epoch),
            Self::Follower { .. } | Self::Unknown(_) => None,
        }
    }
}

/// The running loop. Dropping it ends the loop without giving the lease up, as a crash would.
pub struct LeaseHandle {
    /// Who may write now.
    pub leadership: watch::Receiver<Leadership>,
    release: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// An identity that no other process has: the name, and a random number as client-go's leader election has it.
pub fn unique(name: &str) -> String {
    let mut octets = [0; 16];
    if let Err(error) = getrandom::fill(&mut octets) {
        // Seeds of the standard library are random too, though not of that many bits.
        tracing::debug!(%error, "the system has no random numbers");
        octets[..8].copy_from_slice(&RandomState::new().hash_one(SystemTime::now()).to_be_bytes());
    }
    format!("{name}_{}", data_encoding::HEXLOWER.encode(&octets))
}

/// Starts to compete for the lease.
pub fn spawn(client: Client, options: LeaseOptions) -> LeaseHandle {
    let (publish, leadership) = watch::channel(Leadership::Unknown("the lease was not read yet".to_owned()));
    let (release, released) = oneshot::channel();
    let election = Election::new(Host::new(client), options);
    let task = tokio::spawn(compete(election, publish, released));
    LeaseHandle { leadership, release: Some(release), task }
}

impl LeaseHandle {
    /// Gives the lease up, so that another replica may write at once. Stop the writer first.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // An error means that the loop is gone already.
            let _ = release.send(());
        }
        let _ = tokio::time::timeout(RELEASE_LIMIT, &mut self.task).await;
    }
}

impl Drop for LeaseHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn compete(mut election: Election, publish: watch::Sender<Leadership>, mut released: oneshot::Receiver<()>) {
    loop {
        // A round may take as long as a request, and a release cannot wait for that.
        let round = tokio::select! {
            round = election.round() => round,
            _ = &mut released => break,
        };
        let Round { leadership, next } = round;
        announce(&publish, &leadership);
        let end = election.term_ends().filter(|end| *end < next);
        if let Some(end) = end {
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                _ = &mut released => break,
            }
            announce(&publish, &Leadership::Unknown("the lease could not be renewed in time".to_owned()));
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            _ = &mut released => break,
        }
    }
    announce(&publish, &Leadership::Unknown("the lease was given up".to_owned()));
    election.release().await;
}

fn announce(publish: &watch::Sender<Leadership>, next: &Leadership) {
    let before = publish.send_replace(next.clone());
    match (&before, next) {
        (Leadership::Holder { epoch: before, .. }, Leadership::Holder { epoch, .. }) if before != epoch => {
            tracing::warn!("this replica writes again; its term had been over for a moment");
        }
        (Leadership::Holder { .. }, Leadership::Holder { .. }) => {}
        (_, Leadership::Holder { transitions, .. }) => tracing::info!(transitions, "this replica writes now"),
        (Leadership::Holder { .. }, _) => tracing::warn!(now = ?next, "this replica does not write any more"),
        (Leadership::Follower { holder: before }, Leadership::Follower { holder }) if before != holder => {
            tracing::info!(?holder, "another replica writes now");
        }
        (Leadership::Unknown(before), Leadership::Unknown(reason)) if before != reason => {
            tracing::warn!(reason, "it is unknown which replica writes");
        }
        _ => {}
    }
}
