//! What probing a member tells, and what is written about it.

use std::sync::Arc;

use crate::model::Timestamp;

/// How a probe of `/readyz` (else `/healthz`) went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It said ok.
    Ready,
    /// It answered, and not ok: what it said, shortened.
    NotReady(String),
    /// It refused the credentials (401, or 403 on the path itself).
    Unauthorized(String),
    /// Its certificate is not trusted, or is for another name or time.
    CertificateRejected(String),
    /// No answer in time, no connection, or nothing that is HTTP.
    NotReachable(String),
    /// It was not even asked: the KubeFedCluster or its Secret is missing or wrong.
    Misconfigured(String),
}

/// What there is to say about a member: conditions, and where it stands. This is what the holder of the lease writes to
/// `status` of the KubeFedCluster, where mcdns maintains that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Condition `Ready`.
    pub ready: VerdictCondition,
    /// Condition `Offline`.
    pub offline: VerdictCondition,
    /// When it was last probed.
    pub probed: Timestamp,
    /// Region by the labels of its nodes; none where they do not say, and then what stands in the status is kept.
    pub region: Option<Arc<str>>,
    /// Availability zones by the labels of its nodes; empty where they do not say, and then what stands is kept.
    pub availability_zones: Vec<Arc<str>>,
}

/// One condition of a [`Verdict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictCondition {
    /// True, False or Unknown.
    pub status: crate::model::ConditionStatus,
    /// `ClusterReady`, `ClusterNotReady`, `ClusterReachable`, `ClusterNotReachable`, `Unauthorized`,
    /// `CertificateRejected` or `Misconfigured`.
    pub reason: &'static str,
    /// What is wrong, and the next step for a person.
    pub message: String,
    /// Since when it is so.
    pub since: Timestamp,
}
