//! Whether a cluster's targets may be used: readiness, and the grace after readiness is lost.
//!
//! Loss of contact is not death. A cluster that is not Ready keeps its targets for the grace time and then
//! loses them, unless no other cluster has any (that rule is per record and lives in
//! [`steering`](crate::steering)).
//!
//! ```text
//!            not Ready                 grace over
//!   Counted ───────────► InGrace ───────────────────► Withdrawn
//!      ▲                    │                             │
//!      └────────────────────┴──────── Ready ──────────────┘
//! ```
//!
//! A cordon stands above all of that: a person has said that the cluster is out, so there is neither grace nor a
//! last known target that stays.

mod probe;
mod state;

pub use probe::{ProbeOutcome, Verdict, VerdictCondition};
pub use state::{Monitor, Thresholds};

use crate::model::{ClusterFact, Condition, ConditionStatus, Timestamp};

/// What the host says of a cluster. Unknown is not `NotReady` to a person, but counts the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Condition Ready is True; an Offline beside it changes nothing.
    Ready,
    /// Condition Ready is False.
    NotReady,
    /// Condition Ready is Unknown or absent, or there is no status.
    Unknown,
}

/// What follows for the cluster's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Ready.
    Counted,
    /// Not Ready, but not for long.
    InGrace {
        /// When the targets are withdrawn.
        until: Timestamp,
    },
    /// Not Ready, and grace is over.
    Withdrawn,
    /// Taken out by a person, whatever its readiness.
    Cordoned,
}

impl Health {
    /// Health as the conditions of a cluster have it.
    pub fn of(cluster: &ClusterFact) -> Self {
        match cluster.ready.as_ref().map(|ready| ready.status) {
            Some(ConditionStatus::True) => Self::Ready,
            Some(ConditionStatus::False) => Self::NotReady,
            Some(ConditionStatus::Unknown) | None => Self::Unknown,
        }
    }

    /// For people: `Ready`, `not Ready` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "not Ready",
            Self::Unknown => "of unknown readiness",
        }
    }
}

impl Standing {
    /// Standing at `now` of a cluster that is not cordoned. Grace of `grace_seconds` starts when the condition Ready changed (Offline where
    /// Ready is gone), else at `first_unready`, when this was first seen; never in the future, whatever the
    /// clock of the one who wrote the condition says. Without a clock, grace is over.
    pub fn of(
        cluster: &ClusterFact,
        first_unready: Option<Timestamp>,
        now: Option<Timestamp>,
        grace_seconds: i64,
    ) -> Self {
        if Health::of(cluster) == Health::Ready {
            return Self::Counted;
        }
        let Some(now) = now else {
            return Self::Withdrawn;
        };
        let seen = first_unready.unwrap_or(now).min(now);
        let since = written_since(cluster).map_or(seen, |written| written.min(seen));
        let until = since.plus_seconds(grace_seconds);
        if now < until { Self::InGrace { until } } else { Self::Withdrawn }
    }
}

/// Since when the cluster is unready according to its conditions.
fn written_since(cluster: &ClusterFact) -> Option<Timestamp> {
    let since = |condition: &Condition| condition.since;
    match &cluster.ready {
        Some(ready) => since(ready),
        None => cluster.offline.as_ref().filter(|offline| offline.status == ConditionStatus::True).and_then(since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: ConditionStatus, since: Option<i64>) -> Condition {
        Condition { status, since: since.map(Timestamp), reason: None }
    }

    fn cluster(ready: Option<Condition>, offline: Option<Condition>) -> ClusterFact {
        ClusterFact { ready, offline, ..ClusterFact::default() }
    }

    #[test]
    fn ready_beside_offline_is_ready() {
        let both = cluster(Some(condition(ConditionStatus::True, None)), Some(condition(ConditionStatus::True, None)));
        assert_eq!(Standing::of(&both, None, None, 60), Standing::Counted);
    }

    #[test]
    fn grace_counts_from_the_transition_of_ready() {
        let down = cluster(Some(condition(ConditionStatus::False, Some(100_000))), None);
        let at = |seconds: i64| Standing::of(&down, None, Some(Timestamp(seconds * 1000)), 60);
        assert_eq!(at(159), Standing::InGrace { until: Timestamp(160_000) });
        assert_eq!(at(160), Standing::Withdrawn);
    }

    #[test]
    fn where_ready_is_gone_offline_starts_the_grace() {
        let gone = cluster(None, Some(condition(ConditionStatus::True, Some(100_000))));
        assert_eq!(Standing::of(&gone, None, Some(Timestamp(161_000)), 60), Standing::Withdrawn);
    }

    #[test]
    fn without_any_time_the_first_observation_starts_it() {
        let silent = cluster(Some(condition(ConditionStatus::Unknown, None)), None);
        let first = Some(Timestamp(50_000));
        assert_eq!(
            Standing::of(&silent, first, Some(Timestamp(60_000)), 60),
            Standing::InGrace { until: Timestamp(110_000) }
        );
        assert_eq!(Standing::of(&silent, first, Some(Timestamp(110_000)), 60), Standing::Withdrawn);
    }

    #[test]
    fn a_transition_in_the_future_does_not_stretch_the_grace() {
        let odd = cluster(Some(condition(ConditionStatus::False, Some(9_000_000))), None);
        let first = Some(Timestamp(0));
        assert_eq!(Standing::of(&odd, first, first, 60), Standing::InGrace { until: Timestamp(60_000) });
        assert_eq!(Standing::of(&odd, first, Some(Timestamp(60_000)), 60), Standing::Withdrawn);
    }

    #[test]
    fn without_a_clock_grace_is_over() {
        let down = cluster(Some(condition(ConditionStatus::False, Some(100_000))), None);
        assert_eq!(Standing::of(&down, None, None, 60), Standing::Withdrawn);
    }
}
