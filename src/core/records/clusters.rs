//! The clusters of the federation as records see them, and the level names that follow from them.

use std::{collections::BTreeMap, sync::Arc};

use super::Options;
use crate::{
    answer::Levels,
    health::{Health, Standing},
    model::{ClusterFact, ClusterName, Fact, Locality, Model, NamespacedName, Object, Timestamp},
};

/// One cluster that the host knows.
#[derive(Debug, Clone)]
pub struct ClusterState {
    /// Its KubeFedCluster.
    pub object: Arc<Object>,
    /// What the host says.
    pub health: Health,
    /// What follows for its targets.
    pub standing: Standing,
    /// Out of all answers, by the annotation or by what was asked of this replica.
    pub cordoned: bool,
    /// Where it is.
    pub locality: Locality,
    /// True if the member is observed itself.
    pub observed: bool,
}

/// All clusters that the host knows.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    pub(crate) states: BTreeMap<ClusterName, ClusterState>,
    /// Every region with its availability zones.
    pub(crate) levels: Levels,
    /// When a cluster was first seen unready; for those whose conditions carry no time.
    pub(crate) first_unready: BTreeMap<ClusterName, Timestamp>,
    /// What was asked of this replica itself: true for a cordon, false for none. It stands above the annotation until
    /// the KubeFedCluster is read again.
    pub(crate) asked_cordons: BTreeMap<ClusterName, bool>,
}

impl ClusterState {
    /// What the KubeFedCluster says.
    pub fn fact(&self) -> &ClusterFact {
        static NOTHING: std::sync::LazyLock<ClusterFact> = std::sync::LazyLock::new(ClusterFact::default);
        match &self.object.fact {
            Fact::Cluster(fact) => fact,
            _ => &NOTHING,
        }
    }

    /// True if records that use this cluster come out the same.
    fn alike(&self, other: &Self) -> bool {
        let steps = |state: &Self| match state.standing {
            Standing::Counted => 0,
            Standing::InGrace { .. } => 1,
            Standing::Withdrawn => 2,
            Standing::Cordoned => 3,
        };
        steps(self) == steps(other)
            && self.locality == other.locality
            && self.observed == other.observed
            && self.fact().labels == other.fact().labels
    }
}

impl Clusters {
    /// Brings all states up to date; returns the clusters whose records must be computed again, and whether
    /// the level names changed.
    pub(crate) fn refresh(
        &mut self,
        model: &Model,
        options: &Options,
        now: Option<Timestamp>,
    ) -> (Vec<ClusterName>, bool) {
        let mut states = BTreeMap::new();
        for (NamespacedName { namespace, name }, object) in &model.clusters {
            let Fact::Cluster(fact) = &object.fact else { continue };
            if *namespace != options.system_namespace {
                continue;
            }
            let health = Health::of(fact);
            if health == Health::Ready {
                self.first_unready.remove(name);
            } else if let Some(now) = now {
                self.first_unready.entry(name.clone()).or_insert(now);
            }
            let first_unready = self.first_unready.get(name).copied();
            let member = model.members.get(name);
            let cordoned = self.asked_cordons.get(name).copied().unwrap_or(fact.cordoned);
            let state = ClusterState {
                object: object.clone(),
                health,
                standing: if cordoned {
                    Standing::Cordoned
                } else {
                    Standing::of(fact, first_unready, now, options.grace_seconds)
                },
                cordoned,
                locality: Locality::of(fact, member),
                observed: member.is_some_and(|member| member.observed),
            };
            states.insert(name.clone(), state);
        }
        self.first_unready.retain(|name, _| states.contains_key(name));
        let changed = changed(&self.states, &states);
        let levels = levels(&states);
        let levels_changed = levels != self.levels;
        self.states = states;
        self.levels = levels;
        (changed, levels_changed)
    }

    /// When the first grace ends.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let ends = self.states.values().filter_map(|state| match state.standing {
            Standing::InGrace { until } => Some(until),
            Standing::Counted | Standing::Withdrawn | Standing::Cordoned => None,
        });
        ends.min()
    }
}

fn changed(
    before: &BTreeMap<ClusterName, ClusterState>,
    after: &BTreeMap<ClusterName, ClusterState>,
) -> Vec<ClusterName> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let other = after.iter().filter(|(name, state)| before.get(*name).is_none_or(|before| !before.alike(state)));
    gone.chain(other.map(|(name, _)| name)).cloned().collect()
}

fn levels(states: &BTreeMap<ClusterName, ClusterState>) -> Levels {
    let mut levels = Levels::default();
    for state in states.values() {
        if let Some(region) = &state.locality.region {
            let availability_zones = levels.regions.entry(region.clone()).or_default();
            availability_zones.extend(state.locality.availability_zones.iter().cloned());
        }
    }
    levels
}
