//! One round after another: read, judge by our own clock, take or renew or wait.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use mcdns_core::model::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Leadership, LeaseOptions, RELEASE_LIMIT, Term};
use crate::host::{ApiError, Host, LEASES, Place, chain};

/// A duration that somebody else wrote is believed up to this: an hour by mistake must not stop writing for an hour.
const LONGEST_DURATION: Duration = Duration::from_mins(2);

/// What a round came to.
pub(super) struct Round {
    pub(super) leadership: Leadership,
    /// When to go round again.
    pub(super) next: Instant,
}

/// The record as last seen, with the time on our clock when it was first seen so.
struct Seen {
    lease: Value,
    since: Instant,
}

pub(super) struct Election {
    host: Host,
    options: LeaseOptions,
    seen: Option<Seen>,
    term: Option<Term>,
    /// Of the term, or of the last one.
    epoch: u64,
    jitter: RandomState,
    rounds: u64,
}

impl Election {
    pub(super) fn new(host: Host, options: LeaseOptions) -> Self {
        Self { host, options, seen: None, term: None, epoch: 0, jitter: RandomState::new(), rounds: 0 }
    }

    /// When the term ends by the monotonic clock, if there is one.
    pub(super) fn term_ends(&self) -> Option<Instant> {
        self.term.as_ref().filter(|term| term.left().is_some()).map(|term| term.monotonic)
    }

    pub(super) async fn round(&mut self) -> Round {
        self.rounds += 1;
        let started = Instant::now();
        let held = self.term.is_some_and(|term| term.left().is_some());
        // A holder need not read first: it knows the version that it wrote itself.
        let known = self.seen.as_ref().filter(|_| held).map(|seen| seen.lease.clone());
        let outcome = match self.attempt(known, started).await {
            // The fence held. Mostly it was our own renewal, carried out although no answer came: then the term goes on.
            // Until that is read the term lasts as long as it does, which is not longer than others wait.
            Err(ApiError::Conflict { .. }) => self.attempt(None, Instant::now()).await,
            outcome => outcome,
        };
        let leadership = outcome.unwrap_or_else(|error| self.failed(&error));
        Round { leadership, next: started + self.pause() }
    }

    /// What is true after a round that failed: a holder goes on to the end of its term.
    fn failed(&self, error: &ApiError) -> Leadership {
        match (&self.term, &self.seen) {
            (Some(term), Some(seen)) if term.left().is_some() => {
                tracing::warn!(error = chain(error), "the lease was not renewed");
                holder(&seen.lease, *term, self.epoch)
            }
            _ => Leadership::Unknown(chain(error)),
        }
    }

    /// Up to a fifth more than `retry`, so that replicas which started together do not ask together for ever.
    fn pause(&self) -> Duration {
        let share = self.jitter.hash_one(self.rounds) % 200;
        self.options.retry.mul_f64(1.0 + f64::from(u32::try_from(share).unwrap_or(0)) / 1000.0)
    }

    /// One try, from what stands by our knowledge or, without any, by reading it.
    async fn attempt(&mut self, known: Option<Value>, started: Instant) -> Result<Leadership, ApiError> {
        let lease = match known {
            Some(lease) => lease,
            None => match self.host.read(self.place(), self.limit()).await {
                Ok(lease) => lease,
                Err(ApiError::NotFound) => return self.create(started).await,
                Err(error) => return Err(error),
            },
        };
        self.see(&lease, started);
        let holder = text(&lease["spec"]["holderIdentity"]);
        let ours = holder == self.options.identity;
        if !ours {
            self.term = None;
        }
        if !ours && !holder.is_empty() && !self.is_over() {
            return Ok(Leadership::Follower { holder: Some(holder) });
        }
        self.take(lease, ours, started).await
    }

    /// Whether the record has stood unchanged for its whole duration, by our clock.
    fn is_over(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let seconds = seen.lease["spec"]["leaseDurationSeconds"].as_u64().filter(|seconds| *seconds > 0);
        let duration = seconds.map_or(self.options.duration, Duration::from_secs).min(LONGEST_DURATION);
        seen.since.elapsed() >= duration
    }

    fn see(&mut self, lease: &Value, at: Instant) {
        let unchanged = self.seen.as_ref().is_some_and(|seen| record(&seen.lease) == record(lease));
        let since = self.seen.as_ref().filter(|_| unchanged).map_or(at, |seen| seen.since);
        self.seen = Some(Seen { lease: lease.clone(), since });
    }

    async fn create(&mut self, started: Instant) -> Result<Leadership, ApiError> {
        self.term = None;
        self.seen = None;
        let now = now();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self.options.namespace, "name": self.options.name},
            "spec": {
                "acquireTime": now,
                "holderIdentity": self.options.identity,
                "leaseDurationSeconds": self.options.duration.as_secs(),
                "leaseTransitions": 0,
                "renewTime": now,
            },
        });
        let written = self.host.create(self.place(), &lease, self.limit()).await?;
        Ok(self.held(written, started))
    }

    /// Takes the lease, or renews it. Everything in it that is not ours to say stays as it was read.
    async fn take(&mut self, mut lease: Value, ours: bool, started: Instant) -> Result<Leadership, ApiError> {
        let now = now();
        if !lease["spec"].is_object() {
            lease["spec"] = json!({});
        }
        let spec = &mut lease["spec"];
        if !ours {
            spec["acquireTime"] = json!(now);
            spec["holderIdentity"] = json!(self.options.identity);
            spec["leaseTransitions"] = json!(spec["leaseTransitions"].as_i64().unwrap_or(0).saturating_add(1));
        }
        spec["leaseDurationSeconds"] = json!(self.options.duration.as_secs());
        spec["renewTime"] = json!(now);
        match self.host.replace(self.place(), &lease, self.limit()).await {
            Ok(written) => Ok(self.held(written, started)),
            // It was deleted: whoever creates it next has it.
            Err(ApiError::NotFound) => self.create(started).await,
            Err(error) => Err(error),
        }
    }

    fn held(&mut self, written: Value, started: Instant) -> Leadership {
        if self.term.is_none_or(|term| term.left().is_none()) {
            self.epoch += 1;
        }
        let term = Term::starting(started, self.options.renew_deadline);
        self.term = Some(term);
        let leadership = holder(&written, term, self.epoch);
        self.seen = Some(Seen { lease: written, since: started });
        leadership
    }

    /// Gives up what we hold, at once for everybody who looks.
    pub(super) async fn release(mut self) {
        let Some(seen) = self.seen.take().filter(|_| self.term.is_some()) else { return };
        let mut outcome = self.give_up(seen.lease).await;
        if matches!(outcome, Err(ApiError::Conflict { .. })) {
            // A renewal that was cut off by the release may have been carried out.
            outcome = match self.host.read(self.place(), RELEASE_LIMIT / 3).await {
                Ok(lease) => self.give_up(lease).await,
                Err(error) => Err(error),
            };
        }
        match outcome {
            Ok(()) => tracing::info!("the lease was given up"),
            Err(error) => tracing::warn!(error = chain(&error), "the lease was not given up; it ends by itself"),
        }
    }

    async fn give_up(&self, mut lease: Value) -> Result<(), ApiError> {
        if text(&lease["spec"]["holderIdentity"]) != self.options.identity {
            return Ok(());
        }
        lease["spec"]["holderIdentity"] = json!("");
        lease["spec"]["leaseDurationSeconds"] = json!(1);
        lease["spec"]["renewTime"] = json!(now());
        self.host.replace(self.place(), &lease, RELEASE_LIMIT / 3).await?;
        Ok(())
    }

    fn place(&self) -> Place<'_> {
        Place::object(LEASES, &self.options.namespace, &self.options.name)
    }

    /// Time for one request: two of them fit before a holder has to stop.
    fn limit(&self) -> Duration {
        let left = self.term.and_then(|term| term.left());
        let share = self.options.renew_deadline / 2;
        left.map_or(share, |left| left.min(share))
    }
}

/// What counts as a change of the record. Labels and annotations of a person do not renew it.
fn record(lease: &Value) -> [&Value; 4] {
    let spec = &lease["spec"];
    [&spec["holderIdentity"], &spec["renewTime"], &spec["acquireTime"], &spec["leaseTransitions"]]
}

fn holder(lease: &Value, term: Term, epoch: u64) -> Leadership {
    let spec = &lease["spec"];
    let since = text(&spec["acquireTime"]).parse::<jiff::Timestamp>();
    Leadership::Holder {
        since: Timestamp(since.map_or(0, jiff::Timestamp::as_millisecond)),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
        epoch,
        term,
    }
}

/// `MicroTime` of Kubernetes: six digits, always.
fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
