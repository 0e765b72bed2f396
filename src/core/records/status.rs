//! What a record's `status` says: the clusters, and conditions with what is missing and why.

use std::sync::Arc;

use super::{
    StatusEntries,
    compute::{Computed, Refusal},
    engine::Engine,
};
use crate::{
    health::Health,
    model::{ClusterName, LoadBalancerItem, RecordKey, RecordKind},
    steering::{Choice, TargetProblem},
};

/// Status of a record, in the shape of KubeFed with conditions added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordStatus {
    /// Apex of the Domain of a service record, where there is one.
    pub domain: Option<String>,
    /// One entry for each cluster, by name.
    pub clusters: Vec<ClusterEntry>,
    /// Accepted, Conflict, Degraded, Ready: always all four.
    pub conditions: Vec<RecordCondition>,
}

/// One cluster in a record's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEntry {
    /// The cluster.
    pub cluster: ClusterName,
    /// Load balancer in use; empty when none is.
    pub items: Vec<LoadBalancerItem>,
    /// As the cluster has it; never for ingress records.
    pub region: Option<Arc<str>>,
    /// As the cluster has them; never for ingress records.
    pub availability_zones: Vec<Arc<str>>,
}

/// A condition in the usual Kubernetes form, without times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCondition {
    /// Type.
    pub condition_type: &'static str,
    /// True or False.
    pub status: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// A reason for Degraded with its messages, in the order in which reasons are preferred.
type Complaint = (&'static str, Vec<String>);

impl Engine {
    /// Keys of all records, in order.
    pub fn record_keys(&self) -> impl Iterator<Item = &RecordKey> {
        self.records.keys()
    }

    /// Status of a record; none if there is no such record.
    pub fn record_status(&self, key: &RecordKey) -> Option<RecordStatus> {
        let computed = self.context().compute(key, true)?;
        let is_service = key.kind == RecordKind::Service;
        let contributions = computed.chosen.contributions.iter();
        let clusters = contributions
            .filter(|one| self.options.status_entries == StatusEntries::All || !one.items.is_empty())
            .map(|one| {
                let locality = self.clusters.states.get(&one.cluster).map(|state| &state.locality);
                let locality = locality.filter(|_| is_service);
                ClusterEntry {
                    cluster: one.cluster.clone(),
                    items: one.items.clone(),
                    region: locality.and_then(|locality| locality.written_region.clone()),
                    availability_zones: locality.map_or_else(Vec::new, |one| one.written_availability_zones.clone()),
                }
            })
            .collect();
        let accepted = accepted(&computed);
        let conflict = self.conflict(key);
        let degraded = self.degraded(&computed, is_service);
        let ready = self.ready(key, &computed);
        let conditions = vec![accepted, conflict, degraded, ready];
        Some(RecordStatus { domain: computed.domain.map(|apex| apex.to_string()), clusters, conditions })
    }

    fn conflict(&self, key: &RecordKey) -> RecordCondition {
        let taken: Vec<String> =
            self.conflicts(key).into_iter().map(|(name, winner)| format!("{name} belongs to {winner}")).collect();
        if taken.is_empty() {
            condition("Conflict", false, "NoConflict", "no other object has a name of this record".to_owned())
        } else {
            condition("Conflict", true, "NameTaken", taken.join("; "))
        }
    }

    /// Names that the record claims and another one has, with the winner.
    pub(super) fn conflicts(&self, key: &RecordKey) -> Vec<(crate::dns::OwnerName, String)> {
        let Some(state) = self.records.get(key) else { return Vec::new() };
        let mut taken = Vec::new();
        for claim in state.claims() {
            let beneath = self.claims.beneath(&claim.name).filter(|_| claim.family);
            for name in std::iter::once(&claim.name).chain(beneath) {
                taken.extend(self.taken_by(&state.claimant, name).map(|winner| (name.clone(), winner)));
            }
        }
        taken.sort();
        taken.dedup();
        taken
    }

    fn degraded(&self, computed: &Computed, is_service: bool) -> RecordCondition {
        let complaints: [Complaint; 6] = [
            ("ClusterUnready", self.unready(computed)),
            ("ClusterCordoned", self.cordoned(computed)),
            ("LocalityMissing", if is_service { self.without_locality(computed) } else { Vec::new() }),
            ("HostNameUnresolved", unresolved(computed)),
            ("NameLeftOut", left_out(computed)),
            ("ClusterUnobserved", unobserved(computed)),
        ];
        let messages: Vec<&str> = complaints.iter().flat_map(|(_, messages)| messages).map(String::as_str).collect();
        match complaints.iter().find(|(_, messages)| !messages.is_empty()) {
            Some((reason, _)) => condition("Degraded", true, reason, messages.join("; ")),
            None => condition("Degraded", false, "Complete", "every cluster is counted at all its levels".to_owned()),
        }
    }

    /// Clusters that are placed and unready, with what became of their targets.
    fn unready(&self, computed: &Computed) -> Vec<String> {
        let mut messages = Vec::new();
        for one in &computed.chosen.contributions {
            let Some(state) = self.clusters.states.get(&one.cluster) else { continue };
            // Of a cordoned one it is the cordon that counts.
            if one.choice == Choice::NotPlaced || state.health == Health::Ready || state.cordoned {
                continue;
            }
            let then = match one.choice {
                Choice::KeptInGrace => ", its last known targets are kept while grace lasts",
                Choice::KeptAllDown => {
                    ", its last known targets are kept because every cluster with targets is unready"
                }
                Choice::Withdrawn => ", its targets are withdrawn",
                _ => "",
            };
            messages.push(format!("cluster {} is {}{then}", one.cluster, state.health.as_str()));
        }
        messages
    }

    /// Clusters that are placed and cordoned.
    fn cordoned(&self, computed: &Computed) -> Vec<String> {
        let placed = computed.chosen.contributions.iter().filter(|one| one.choice != Choice::NotPlaced);
        let cordoned = placed.filter(|one| self.clusters.states.get(&one.cluster).is_some_and(|state| state.cordoned));
        cordoned.map(|one| format!("cluster {} is cordoned, so nothing of it is answered", one.cluster)).collect()
    }

    fn without_locality(&self, computed: &Computed) -> Vec<String> {
        let placed = computed.chosen.contributions.iter().filter(|one| one.choice != Choice::NotPlaced);
        placed
            .filter_map(|one| self.clusters.states.get(&one.cluster).map(|state| (one, state)))
            .flat_map(|(one, state)| {
                state.locality.missing().into_iter().map(|missing| format!("cluster {}: {missing}", one.cluster))
            })
            .collect()
    }

    /// Ready means computed and served: the record holds a name with addresses.
    fn ready(&self, key: &RecordKey, computed: &Computed) -> RecordCondition {
        let refused_all = computed.claims.is_empty() && !computed.refusals.is_empty();
        if !computed.in_force() || refused_all {
            return condition(
                "Ready",
                false,
                "NotAccepted",
                "nothing is published; condition Accepted says why".to_owned(),
            );
        }
        let state = self.records.get(key);
        let held = computed.wanted.iter().filter(|(name, wanted)| {
            matches!(wanted, super::compute::Wanted::Addresses(_))
                && state.is_some_and(|state| self.published().holds(&state.claimant, name))
        });
        let used = computed.chosen.contributions.iter().filter(|one| one.choice.is_used());
        let (names, clusters) = (held.count(), used.clone().count());
        let addresses: std::collections::BTreeSet<_> = used.flat_map(|one| &one.addresses).collect();
        if names == 0 {
            let message = if clusters == 0 {
                no_targets(computed).to_owned()
            } else {
                "no name with addresses is left for this record".to_owned()
            };
            return condition("Ready", false, "NoTargets", message);
        }
        let message =
            format!("{} in {}", count(addresses.len(), "address", "addresses"), count(clusters, "cluster", "clusters"));
        condition("Ready", true, "Published", message)
    }
}

fn accepted(computed: &Computed) -> RecordCondition {
    let reason = computed.refusals.first().map(|refusal| match refusal {
        Refusal::DomainMissing { .. } => "DomainMissing",
        Refusal::TtlOutOfRange { .. } => "TtlOutOfRange",
        Refusal::NamespaceNotAllowed { .. } => "NamespaceNotAllowed",
    });
    match reason {
        Some(reason) => {
            let messages: Vec<String> = computed.refusals.iter().map(ToString::to_string).collect();
            condition("Accepted", false, reason, messages.join("; "))
        }
        None => condition("Accepted", true, "Accepted", "the record is in force".to_owned()),
    }
}

fn unresolved(computed: &Computed) -> Vec<String> {
    let problems =
        computed.chosen.contributions.iter().flat_map(|one| one.problems.iter().map(move |problem| (one, problem)));
    let unresolved = problems.filter(|(_, problem)| matches!(problem, TargetProblem::Unresolved(_)));
    unresolved.map(|(one, problem)| format!("cluster {}: {problem}", one.cluster)).collect()
}

fn left_out(computed: &Computed) -> Vec<String> {
    computed.left_out.iter().map(ToString::to_string).collect()
}

fn unobserved(computed: &Computed) -> Vec<String> {
    let unobserved = computed.chosen.contributions.iter().filter(|one| one.choice == Choice::Unobserved);
    unobserved.map(|one| format!("cluster {} is not observed", one.cluster)).collect()
}

fn condition(condition_type: &'static str, status: bool, reason: &'static str, message: String) -> RecordCondition {
    RecordCondition { condition_type, status, reason, message }
}

/// Why a record has no target that may be used, in one sentence.
pub(super) fn no_targets(computed: &Computed) -> &'static str {
    if computed.chosen.contributions.iter().any(|one| one.choice == Choice::Cordoned) {
        "every cluster that has a target which may be used is cordoned"
    } else {
        "no cluster has a target that may be used"
    }
}

/// `1 address`, `2 addresses`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
