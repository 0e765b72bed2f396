//! What the desk is told, and by whom.

use mcdns_api::StandingChange;
use mcdns_core::{
    health::ProbeOutcome,
    model::{ClusterName, Observation, Timestamp},
};
use tokio::sync::mpsc;

use crate::kubernetes::{host_status::Place, member_spec::MemberSpec};

/// Whom a message is from.
#[derive(Debug, Clone, Default)]
pub(in crate::kubernetes) struct From {
    /// None for the host; else the member and its epoch.
    pub(super) member: Option<(ClusterName, u64)>,
    /// Which of its watches.
    pub(super) index: usize,
}

/// What happened.
pub(in crate::kubernetes) enum Message {
    /// Objects came or went.
    News(From, News),
    /// A watch was listed, or will not be in a moment.
    Settled(From),
    /// A watch that failed has been heard again; what it read then was sent before.
    Again(From),
    /// Secrets of these names changed.
    Secrets(Vec<String>),
    /// Whether it is known how to reach a member, and if not, why.
    Reachable(From, Option<String>),
    /// A probe ended; without an outcome if there is nobody to ask.
    Probed(From, Option<ProbeOutcome>, Timestamp),
}

/// What a watch has read.
#[derive(Debug, Default)]
pub(in crate::kubernetes) struct News {
    pub(in crate::kubernetes) observations: Vec<Observation>,
    pub(in crate::kubernetes) standings: Vec<StandingChange>,
    /// KubeFedClusters as they are now; none where gone.
    pub(in crate::kubernetes) clusters: Vec<(ClusterName, Option<MemberSpec>)>,
    /// Who wrote the status of a KubeFedCluster last.
    pub(in crate::kubernetes) status_writers: Vec<(ClusterName, Option<String>)>,
    /// Where clusters are by the statuses of records.
    pub(in crate::kubernetes) localities: Vec<(ClusterName, Place)>,
}

impl News {
    pub(in crate::kubernetes) fn is_empty(&self) -> bool {
        self.observations.is_empty()
            && self.standings.is_empty()
            && self.clusters.is_empty()
            && self.status_writers.is_empty()
            && self.localities.is_empty()
    }
}

/// The way to the desk.
#[derive(Clone)]
pub(in crate::kubernetes) struct Sender {
    pub(super) from: From,
    pub(super) inbox: mpsc::Sender<Message>,
}

impl Sender {
    /// The way of whoever `from` is.
    pub(in crate::kubernetes) fn new(from: From, inbox: mpsc::Sender<Message>) -> Self {
        Self { from, inbox }
    }

    /// The same for one of the watches.
    pub(in crate::kubernetes) fn at(&self, index: usize) -> Self {
        Self { from: From { index, ..self.from.clone() }, inbox: self.inbox.clone() }
    }

    pub(in crate::kubernetes) fn from(&self) -> From {
        self.from.clone()
    }

    pub(in crate::kubernetes) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// False once nobody reads it any more.
    pub(in crate::kubernetes) async fn message(&self, message: Message) -> bool {
        self.inbox.send(message).await.is_ok()
    }

    /// Room for one message; none once nobody reads it any more. Who may be dropped while it waits takes from what it
    /// holds only when it has room: what it gave away before that would be lost.
    pub(in crate::kubernetes) async fn room(&self) -> Option<mpsc::Permit<'_, Message>> {
        self.inbox.reserve().await.ok()
    }
}
