//! How members come to be known, and how they leave.
//!
//! ```text
//!   KubeFedCluster gone ──► watches end, what they knew is kept ──► the engine is told that the cluster left
//!                                     │
//!                                     ├─ another KubeFedCluster is there: the loss was accepted ──► forgotten
//!                                     └─ it is back, with the loss still held ──► adopted, until it was listed
//! ```
//!
//! Whether a cluster that is gone takes its answers with it is not decided here: its objects share the fate of its
//! KubeFedCluster, whose loss may be held. So nothing is said of the objects, and what is known of them is kept as long as
//! it may be needed to find out what is not there any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Instant,
};

use mcdns_api::StandingKind;
use mcdns_core::model::{ClusterName, Fact, Kind, Object, ObjectKey, Scope};

use super::{Desk, From};
use crate::kubernetes::{Progress, known::lock, member::Watched};

impl Desk {
    /// A KubeFedCluster is gone, and its member is watched no more.
    pub(super) fn remove(&mut self, name: &ClusterName) {
        self.writers.remove(name);
        self.nodes.remove(name);
        self.pending.verdicts.remove(name);
        self.judged.remove(name);
        self.clients.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.pending.word.left.insert(Arc::clone(name));
        let Some(member) = self.members.remove(name) else { return };
        tracing::info!(cluster = &**name, "a member is observed no more");
        let watches = member.cluster.watches.iter().map(|watched| Arc::clone(&watched.known)).collect::<Vec<_>>();
        // Ends its tasks, so that nothing is added from here on.
        drop(member);
        let known: BTreeMap<ObjectKey, Arc<Object>> = watches.iter().flat_map(|known| lock(known).drain()).collect();
        self.adopted.insert(Arc::clone(name), known);
        // What it said and was not told is among that; what was gone before is gone.
        let of_it = |key: &ObjectKey| matches!(&key.scope, Scope::Member(cluster) if cluster == name);
        self.pending.observations.retain(|key, object| object.is_none() || !of_it(key));
    }

    /// Once a batch tells of a KubeFedCluster, no loss of all of them is held, and what was in those that left is gone
    /// for good.
    pub(super) fn forget_left(&mut self) {
        let is_listed = |watched: &Watched| watched.kind == Kind::Cluster && watched.listed;
        if self.host.watches.iter().any(is_listed) && self.written.values().any(|written| written.told.is_some()) {
            self.adopted.clear();
        }
    }

    /// How much was read.
    pub(super) fn progress(&self) -> Progress {
        let unlisted = |kind: &StandingKind| {
            // Two parts of a Domain are written.
            let kind = if *kind == StandingKind::DomainStatus { StandingKind::DomainAnnotations } else { *kind };
            self.host.watches.iter().any(|watched| watched.standing == Some(kind) && !watched.listed)
        };
        let unread = self.members.iter().filter(|(_, member)| !member.is_read());
        Progress {
            host: self.host_settled.is_some(),
            stands: StandingKind::ALL.into_iter().filter(|kind| !unlisted(kind)).collect(),
            unread: unread.map(|(name, _)| Arc::clone(name)).collect(),
        }
    }

    pub(super) fn settled(&mut self, from: &From) {
        if from.member.is_none() {
            let Some(watched) = self.host.watches.get_mut(from.index) else { return };
            watched.settle();
            if watched.kind == Kind::Cluster && watched.meter.is_synced() {
                // Members whose KubeFedCluster went while nobody looked, and those that left before.
                self.pending.word.left.extend(self.adopted.keys().cloned());
            }
            if self.host_settled.is_none() && self.host.is_settled() {
                self.host_settled = Some(Instant::now());
            }
            return;
        }
        let Some((name, member)) = self.member(from) else { return };
        if let Some(watched) = member.cluster.watches.get_mut(from.index) {
            watched.settle();
        }
        let read = member.cluster.is_synced(Kind::Service) && member.cluster.is_synced(Kind::EndpointSlice);
        if read && !std::mem::replace(&mut member.observed, true) {
            let object = Arc::new(Object::new(Fact::Member));
            self.pending.observations.insert(ObjectKey::observed_member(&name), Some(object));
        }
    }

    /// The host speaks again. What it says of clusters counts although nothing of it may have changed meanwhile: it
    /// overrules what was asked of this replica alone while the host was away.
    pub(super) fn heard_again(&mut self, from: &From) {
        let watched = self.host.watches.get(from.index).filter(|_| from.member.is_none());
        if watched.is_some_and(|watched| watched.kind == Kind::Cluster) {
            self.pending.word.heard.extend(self.written.keys().cloned());
        }
    }
}
