//! From single probes to what is said of a member: the thresholds.
//!
//! ```text
//!                 failure threshold of results that are not ok, one after another
//!          ┌──────────────────────────────────────────────────────────────────────┐
//!          │                                                                      ▼
//!        Ready                                                    not Ready (of one of five kinds)
//!          ▲                                                                      │  ▲
//!          └──────────────────────────────────────────────────────────────────────┘  │ failure threshold of
//!                 success threshold of results that are ok, one after another        │ results of another kind
//!                                                                                 └──┘
//! ```
//!
//! The first result of all counts at once. Only consecutive results of the new kind count: a run of good probes
//! before the first bad one brings nothing nearer (KubeFed's counter did that, its issue 1496). On the way out of Ready every
//! result that is not ok counts, whichever it is, since a member that times out and refuses by turns is not Ready
//! either. Readiness once lost is lost since then, even if the reason changes later: grace is counted from there.

use std::{mem::discriminant, sync::Arc};

use super::{ProbeOutcome, Verdict, VerdictCondition};
use crate::model::{ClusterFact, Condition, ConditionStatus, Timestamp};

/// How many results in a row it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Results that are not ok, until a cluster that was Ready is not; 0 counts as 1.
    pub failure: u32,
    /// Results that are ok, until a cluster that was not Ready is; 0 counts as 1.
    pub success: u32,
}

/// What is known about the readiness of one member from probes.
#[derive(Debug, Clone)]
pub struct Monitor {
    thresholds: Thresholds,
    /// Status of Ready as somebody wrote it before the first probe, and since when.
    written: Option<(bool, Timestamp)>,
    current: Option<Current>,
    /// The last results, as far as they contradict what is held: how many in a row.
    against: u32,
    /// The last of them.
    last: Option<ProbeOutcome>,
    probed: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Current {
    outcome: ProbeOutcome,
    /// Since when it is Ready, or not.
    ready_since: Timestamp,
    /// Since when Offline is as it is.
    offline_since: Timestamp,
}

impl Monitor {
    /// A member that was never probed.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, written: None, current: None, against: 0, last: None, probed: None }
    }

    /// Takes what stands in the status, so that a condition which the first probe confirms keeps its time. Without
    /// effect after the first probe.
    pub fn resume(&mut self, cluster: &ClusterFact) {
        self.written =
            cluster.ready.as_ref().and_then(|ready| Some((ready.status == ConditionStatus::True, ready.since?)));
    }

    /// Takes the result of a probe that ended at `at`. True if more than the time of the probe changed.
    pub fn take(&mut self, outcome: ProbeOutcome, at: Timestamp) -> bool {
        self.probed = Some(at);
        let ok = outcome == ProbeOutcome::Ready;
        let Some(current) = &mut self.current else {
            let kept = self.written.filter(|(ready, _)| *ready == ok).map(|(_, since)| since.min(at));
            self.current =
                Some(Current { outcome, ready_since: kept.unwrap_or(at), offline_since: kept.unwrap_or(at) });
            return true;
        };
        let was_ok = current.outcome == ProbeOutcome::Ready;
        if discriminant(&current.outcome) == discriminant(&outcome) {
            self.against = 0;
            self.last = None;
            let changed = current.outcome != outcome;
            current.outcome = outcome;
            return changed;
        }
        let goes_on = self.last.as_ref().is_some_and(|last| {
            // From Ready, every kind of failure leads away; else only results of one kind are a run.
            (was_ok && !ok) || discriminant(last) == discriminant(&outcome)
        });
        self.against = if goes_on { self.against.saturating_add(1) } else { 1 };
        self.last = Some(outcome.clone());
        let needed = if ok { self.thresholds.success } else { self.thresholds.failure };
        if self.against < needed.max(1) {
            return false;
        }
        if was_ok != ok {
            current.ready_since = at;
        }
        if offline(&current.outcome).0 != offline(&outcome).0 {
            current.offline_since = at;
        }
        current.outcome = outcome;
        self.against = 0;
        self.last = None;
        true
    }

    /// What counts now; none before the first probe.
    pub fn outcome(&self) -> Option<&ProbeOutcome> {
        self.current.as_ref().map(|current| &current.outcome)
    }

    /// The conditions Ready and Offline that follow; none before the first probe.
    pub fn conditions(&self) -> Option<(Condition, Condition)> {
        let verdict = self.verdict(None, Vec::new())?;
        let condition = |one: VerdictCondition| Condition {
            status: one.status,
            since: Some(one.since),
            reason: Some(one.reason.into()),
        };
        Some((condition(verdict.ready), condition(verdict.offline)))
    }

    /// What there is to write about the member, which stands in `region` and `availability_zones` by its nodes; none
    /// before the first probe.
    pub fn verdict(&self, region: Option<Arc<str>>, availability_zones: Vec<Arc<str>>) -> Option<Verdict> {
        let current = self.current.as_ref()?;
        let (ready_status, ready_reason, ready_message) = ready(&current.outcome);
        let (offline_status, offline_reason, offline_message) = offline(&current.outcome);
        Some(Verdict {
            ready: VerdictCondition {
                status: ready_status,
                reason: ready_reason,
                message: ready_message,
                since: current.ready_since,
            },
            offline: VerdictCondition {
                status: offline_status,
                reason: offline_reason,
                message: offline_message,
                since: current.offline_since,
            },
            probed: self.probed?,
            region,
            availability_zones,
        })
    }
}

/// Status, reason and message of Ready. Only a cluster that answered can be said to be not Ready; of all others it is
/// Unknown, which counts the same.
fn ready(outcome: &ProbeOutcome) -> (ConditionStatus, &'static str, String) {
    use ConditionStatus::{False, True, Unknown};
    match outcome {
        ProbeOutcome::Ready => (True, "ClusterReady", "the API server says that it is ready".to_owned()),
        ProbeOutcome::NotReady(said) => (
            False,
            "ClusterNotReady",
            format!("the API server says that it is not ready: {said}; look at its /readyz?verbose"),
        ),
        ProbeOutcome::Unauthorized(said) => (
            Unknown,
            "Unauthorized",
            format!("the API server refuses the token: {said}; renew it with `mcdns join`, or look at the RBAC there"),
        ),
        ProbeOutcome::CertificateRejected(said) => (
            Unknown,
            "CertificateRejected",
            format!("the API server's certificate is not accepted: {said}; correct spec.caBundle or spec.apiEndpoint"),
        ),
        ProbeOutcome::NotReachable(said) => (
            Unknown,
            "ClusterNotReachable",
            format!("the API server cannot be reached: {said}; look at spec.apiEndpoint, the network and the server"),
        ),
        ProbeOutcome::Misconfigured(said) => (Unknown, "Misconfigured", format!("the cluster cannot be asked: {said}")),
    }
}

/// Status, reason and message of Offline.
fn offline(outcome: &ProbeOutcome) -> (ConditionStatus, &'static str, String) {
    use ConditionStatus::{False, True, Unknown};
    match outcome {
        ProbeOutcome::Ready | ProbeOutcome::NotReady(_) | ProbeOutcome::Unauthorized(_) => {
            (False, "ClusterReachable", "cluster is reachable".to_owned())
        }
        ProbeOutcome::NotReachable(_) => (True, "ClusterNotReachable", "cluster is not reachable".to_owned()),
        ProbeOutcome::CertificateRejected(_) => {
            (Unknown, "CertificateRejected", "it is not certain which server answers".to_owned())
        }
        ProbeOutcome::Misconfigured(_) => (Unknown, "Misconfigured", "the cluster was not asked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> Monitor {
        Monitor::new(Thresholds { failure: 3, success: 1 })
    }

    fn ok() -> ProbeOutcome {
        ProbeOutcome::Ready
    }

    fn bad() -> ProbeOutcome {
        ProbeOutcome::NotReady("[-]etcd failed".to_owned())
    }

    fn lost() -> ProbeOutcome {
        ProbeOutcome::NotReachable("connection refused".to_owned())
    }

    /// Status of Ready, since when, and when it was probed.
    fn said(monitor: &Monitor) -> (ConditionStatus, i64, i64) {
        let verdict = monitor.verdict(None, Vec::new()).expect("it was probed");
        (verdict.ready.status, verdict.ready.since.0, verdict.probed.0)
    }

    #[test]
    fn the_first_result_counts_at_once() {
        let mut good = monitor();
        assert!(good.take(ok(), Timestamp(1)));
        assert_eq!(said(&good), (ConditionStatus::True, 1, 1));
        let mut failing = monitor();
        assert!(failing.take(bad(), Timestamp(1)));
        assert_eq!(said(&failing), (ConditionStatus::False, 1, 1));
    }

    #[test]
    fn below_the_threshold_only_the_time_of_the_probe_moves() {
        let mut monitor = monitor();
        monitor.take(ok(), Timestamp(1));
        monitor.take(ok(), Timestamp(2));
        for at in [3, 4] {
            assert!(!monitor.take(bad(), Timestamp(at)));
            assert_eq!(said(&monitor), (ConditionStatus::True, 1, at));
        }
        assert!(monitor.take(bad(), Timestamp(5)));
        assert_eq!(said(&monitor), (ConditionStatus::False, 5, 5));
    }

    #[test]
    fn one_good_result_makes_it_ready_again() {
        let mut monitor = monitor();
        monitor.take(bad(), Timestamp(4));
        assert!(monitor.take(ok(), Timestamp(5)));
        assert_eq!(said(&monitor), (ConditionStatus::True, 5, 5));
    }

    #[test]
    fn good_results_before_bring_the_loss_no_nearer_and_between_start_the_count_anew() {
        let mut monitor = monitor();
        for at in 1..10 {
            monitor.take(ok(), Timestamp(at));
        }
        for (at, outcome) in (10..).zip([bad(), bad(), ok(), bad(), bad()]) {
            monitor.take(outcome, Timestamp(at));
            assert_eq!(said(&monitor).0, ConditionStatus::True, "at {at}");
        }
        monitor.take(bad(), Timestamp(20));
        assert_eq!(said(&monitor), (ConditionStatus::False, 20, 20));
    }

    #[test]
    fn failures_of_different_kinds_add_up() {
        let mut monitor = monitor();
        monitor.take(ok(), Timestamp(1));
        for (at, outcome) in (2..).zip([lost(), bad(), lost()]) {
            monitor.take(outcome, Timestamp(at));
        }
        assert_eq!(said(&monitor), (ConditionStatus::Unknown, 4, 4));
        assert_eq!(monitor.outcome(), Some(&lost()));
    }

    #[test]
    fn another_reason_does_not_start_the_grace_anew() {
        let mut monitor = monitor();
        monitor.take(lost(), Timestamp(1));
        for at in 2..5 {
            monitor.take(bad(), Timestamp(at));
        }
        assert_eq!(said(&monitor), (ConditionStatus::False, 1, 4));
        let verdict = monitor.verdict(None, Vec::new()).expect("it was probed");
        assert_eq!((verdict.offline.status, verdict.offline.since), (ConditionStatus::False, Timestamp(4)));
        assert_eq!(verdict.ready.reason, "ClusterNotReady");
    }

    #[test]
    fn a_written_condition_that_the_first_probe_confirms_keeps_its_time() {
        let ready = Condition { status: ConditionStatus::True, since: Some(Timestamp(7)), reason: None };
        let written = ClusterFact { ready: Some(ready), ..ClusterFact::default() };
        let mut confirmed = monitor();
        confirmed.resume(&written);
        confirmed.take(ok(), Timestamp(100));
        assert_eq!(said(&confirmed), (ConditionStatus::True, 7, 100));
        let mut denied = monitor();
        denied.resume(&written);
        denied.take(lost(), Timestamp(100));
        assert_eq!(said(&denied), (ConditionStatus::Unknown, 100, 100));
    }

    #[test]
    fn a_threshold_of_zero_is_one() {
        let mut eager = Monitor::new(Thresholds { failure: 0, success: 0 });
        eager.take(ok(), Timestamp(1));
        assert!(eager.take(lost(), Timestamp(2)));
        assert!(eager.take(ok(), Timestamp(3)));
    }
}
