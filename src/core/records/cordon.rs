//! Cordons: clusters that a person has taken out of all answers.
//!
//! ```text
//!   annotation mcdns.io/cordon on the KubeFedCluster ───────────────► cordoned or not
//!   asked of this replica (admin port) ── until the host speaks ─────►      ▲ stands above it
//! ```
//!
//! The annotation is what counts for everybody. What is asked of a replica itself is for the time when the host cannot be
//! written to: it holds for that replica alone, over a restart too, until the host itself speaks of the KubeFedCluster
//! again after the request. From then on the annotation counts, whatever it says: the host is where all replicas agree.
//! What a replica notices of a cluster by its own probes is no word of the host.
//!
//! Nothing softens a cordon: no grace, no last known targets, no guard against bulk loss. It takes no object away, so
//! there is nothing that the guard could hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    clusters::ClusterState,
    engine::{Affected, Engine},
    update::Update,
};
use crate::model::{ClusterName, Timestamp};

/// Annotation of a KubeFedCluster that takes it out of all answers; its value is the reason. `false` is none.
pub const CORDON_ANNOTATION: &str = "mcdns.io/cordon";

impl Engine {
    /// Every cluster that the host knows, by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &ClusterState)> {
        self.clusters.states.iter()
    }

    /// What was asked of this replica itself about cordons (true: cordoned) and the host has not overruled yet; to be kept
    /// over a restart.
    pub fn asked_cordons(&self) -> &BTreeMap<ClusterName, bool> {
        &self.clusters.asked_cordons
    }

    /// Cordons a cluster, or takes its cordon back, whatever the annotation says, until the host speaks of the
    /// KubeFedCluster again: then the annotation counts.
    pub fn ask_cordon(&mut self, cluster: &ClusterName, cordoned: bool, now: Option<Timestamp>) -> Update {
        self.clusters.asked_cordons.insert(cluster.clone(), cordoned);
        let (clusters, _) = self.clusters.refresh(&self.model, &self.options, now);
        let (names, records) = self.recompute(&BTreeSet::new(), &clusters);
        let what = if cordoned { "cordon" } else { "uncordon" };
        let asked = Some(format!("{what} of {cluster} at the admin port"));
        let update = self.update(Affected::Names(names), Vec::new());
        Update { asked, records, all_records: true, ..update }
    }

    /// Takes back what [`Engine::asked_cordons`] gave before a restart; after what was known has been observed.
    pub fn remember_cordons(&mut self, asked: BTreeMap<ClusterName, bool>, now: Option<Timestamp>) -> Update {
        self.clusters.asked_cordons = asked;
        let (clusters, _) = self.clusters.refresh(&self.model, &self.options, now);
        let (names, records) = self.recompute(&BTreeSet::new(), &clusters);
        let update = self.update(Affected::Names(names), Vec::new());
        Update { records, all_records: true, ..update }
    }

    /// Forgets what was asked about cordons of clusters that the host speaks of now; true if there was any.
    pub(super) fn overrule_cordons(&mut self, heard: &BTreeSet<ClusterName>) -> bool {
        let asked = &mut self.clusters.asked_cordons;
        let before = asked.len();
        asked.retain(|cluster, _| !heard.contains(cluster));
        asked.len() < before
    }
}
