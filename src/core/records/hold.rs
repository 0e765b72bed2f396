//! The guard against bulk loss: objects of a kind that go from ten or more to none at once are held.
//!
//! A source that suddenly shows nothing is more often broken than right. What it showed last stays in force
//! until objects of that kind are back, or a person says that the loss is meant, with the annotation
//! `mcdns.io/release: <checksum>` on the KubeFedCluster (for a member) or on a Domain (for the host). A
//! checksum names one loss and works once.
//!
//! What is in a member shares the fate of its KubeFedCluster, whatever its number: while the loss of that is held, nothing
//! in the member goes; when that is gone, everything goes with it, and nothing is held where nobody could release it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::status::RecordCondition;
use crate::{
    check::{Finding, FindingCode},
    model::{ClusterName, Fact, Kind, Model, ObjectKey, Observation, Scope},
};

/// Fewer objects than this may go at once.
const GUARDED_FROM: usize = 10;

/// Annotation that releases a held loss.
pub const RELEASE_ANNOTATION: &str = "mcdns.io/release";

/// All that is held, and the checksums that worked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    held: Vec<Hold>,
    used: BTreeSet<String>,
    /// Clusters that are watched no more and whose KubeFedCluster is among what is held.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    left: BTreeSet<ClusterName>,
}

/// One held loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    scope: Scope,
    kind: Kind,
    keys: BTreeSet<ObjectKey>,
    checksum: String,
}

/// How many objects of each kind there are in each place.
pub(super) type Counts = BTreeMap<(Scope, Kind), usize>;

impl Holds {
    /// Takes out of a batch the removals that must wait and puts in those that were released, and those of what is in
    /// clusters that are gone; `left` are clusters that are watched no more. `counts` is brought up to what the result
    /// leaves.
    pub(super) fn filter(
        &mut self,
        batch: &[Observation],
        left: &BTreeSet<ClusterName>,
        counts: &mut Counts,
        model: &Model,
    ) -> Vec<Observation> {
        let mut result: Vec<Observation> = self.released(batch);
        let mut deltas: BTreeMap<(Scope, Kind), (usize, usize)> = BTreeMap::new();
        for observation in batch {
            let group = (observation.key.scope.clone(), observation.key.kind);
            let (added, removed) = deltas.entry(group).or_default();
            match (&observation.object, model.contains(&observation.key)) {
                (Some(_), false) => *added += 1,
                (None, true) => *removed += 1,
                _ => {}
            }
        }
        // First of all, since what is in members depends on it.
        let clusters = (Scope::Host, Kind::Cluster);
        let clusters = deltas.remove(&clusters).map(|delta| (clusters, delta));
        for (group, (added, removed)) in clusters.into_iter().chain(deltas) {
            let here =
                |observation: &&Observation| (&observation.key.scope, observation.key.kind) == (&group.0, group.1);
            let before = counts.get(&group).copied().unwrap_or(0);
            let vanished = group.0 != Scope::World && before >= GUARDED_FROM && before + added == removed;
            let is_held = match &group.0 {
                Scope::Member(cluster) if removed > 0 && self.is_lost(cluster) => true,
                Scope::Member(cluster) => vanished && is_there(cluster, model, &result),
                Scope::Host | Scope::World => vanished,
            };
            if is_held {
                let (told, gone): (Vec<_>, Vec<_>) = batch.iter().filter(here).partition(|one| one.object.is_some());
                self.hold(&group, gone.into_iter().map(|one| &one.key), told.iter().map(|one| &one.key));
                result.extend(told.into_iter().cloned());
                continue;
            }
            let back = batch.iter().filter(here).any(|observation| observation.object.is_some());
            if back {
                result.extend(self.returned(&group, batch));
            }
            result.extend(batch.iter().filter(here).cloned());
        }
        self.follow_clusters(left, model, &mut result);
        for observation in &result {
            let count = counts.entry((observation.key.scope.clone(), observation.key.kind)).or_default();
            match (&observation.object, model.contains(&observation.key)) {
                (Some(_), false) => *count += 1,
                (None, true) => *count = count.saturating_sub(1),
                _ => {}
            }
        }
        result
    }

    /// True if the object is in force only because its loss is held.
    pub fn is_held(&self, key: &ObjectKey) -> bool {
        self.held.iter().any(|hold| hold.keys.contains(key))
    }

    /// One finding for each loss that is held; that of a member is about its KubeFedCluster in the system namespace.
    pub(super) fn findings(&self, system_namespace: &Arc<str>) -> impl Iterator<Item = Finding> {
        self.releasable().map(|hold| {
            let (message, help) = hold.told("NAME", system_namespace);
            let finding = Finding::new(FindingCode::Held, message).help(help);
            match &hold.scope {
                Scope::Member(cluster) => finding.about(ObjectKey::host(Kind::Cluster, system_namespace, cluster)),
                Scope::Host | Scope::World => finding,
            }
        })
    }

    /// Members of which something is held.
    pub(super) fn members(&self) -> BTreeSet<&ClusterName> {
        let members = self.releasable().filter_map(|hold| match &hold.scope {
            Scope::Member(cluster) => Some(cluster),
            Scope::Host | Scope::World => None,
        });
        members.collect()
    }

    /// Condition `Held` of the KubeFedCluster or Domain `name` that speaks for `scope`; none if nothing is held there.
    pub(super) fn condition(&self, scope: &Scope, name: &str, system_namespace: &str) -> Option<RecordCondition> {
        let here = self.releasable().filter(|hold| hold.scope == *scope);
        let told: Vec<String> = here
            .map(|hold| {
                let (message, help) = hold.told(name, system_namespace);
                format!("{message}; {help}")
            })
            .collect();
        (!told.is_empty()).then(|| RecordCondition {
            condition_type: "Held",
            status: true,
            reason: "ManyObjectsGone",
            message: told.join(". "),
        })
    }

    /// What a person may release by itself: not what is held in a member only because its KubeFedCluster is.
    fn releasable(&self) -> impl Iterator<Item = &Hold> {
        self.held.iter().filter(|hold| match &hold.scope {
            Scope::Member(cluster) => !self.is_lost(cluster),
            Scope::Host | Scope::World => true,
        })
    }

    /// True if the KubeFedCluster is in force only because its loss is held.
    fn is_lost(&self, cluster: &ClusterName) -> bool {
        let mut clusters = self.held.iter().filter(|hold| hold.scope == Scope::Host && hold.kind == Kind::Cluster);
        clusters.any(|hold| hold.keys.iter().any(|key| key.name == *cluster))
    }

    /// What is in clusters goes with their KubeFedClusters: everything that is known of those that are watched no more
    /// (`left`), and what was held of the others.
    fn follow_clusters(&mut self, left: &BTreeSet<ClusterName>, model: &Model, result: &mut Vec<Observation>) {
        self.left.extend(left.iter().cloned());
        let mut gone = BTreeSet::new();
        for observation in result.iter().filter(|one| one.key.scope == Scope::Host && one.key.kind == Kind::Cluster) {
            if observation.object.is_some() {
                self.left.remove(&observation.key.name);
            } else {
                gone.insert(ClusterName::clone(&observation.key.name));
            }
        }
        gone.retain(|cluster| !self.is_lost(cluster) && !is_there(cluster, model, result));
        let (stay, unwatched): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.left).into_iter().partition(|cluster| self.is_lost(cluster));
        self.left = stay;
        if gone.is_empty() && unwatched.is_empty() {
            return;
        }
        let mut keys: BTreeSet<ObjectKey> = unwatched.iter().flat_map(|cluster| model.objects_of(cluster)).collect();
        gone.extend(unwatched);
        self.held.retain_mut(|hold| {
            let ends = matches!(&hold.scope, Scope::Member(cluster) if gone.contains(cluster));
            if ends {
                keys.append(&mut hold.keys);
            }
            !ends
        });
        for observation in result.iter() {
            keys.remove(&observation.key);
        }
        result.extend(keys.into_iter().map(|key| Observation { key, object: None }));
    }

    /// Holds the loss of what is `gone`, beside what is held of the group, without what is `told`.
    fn hold<'a>(
        &mut self,
        group: &(Scope, Kind),
        gone: impl Iterator<Item = &'a ObjectKey>,
        told: impl Iterator<Item = &'a ObjectKey>,
    ) {
        let before = self.held.iter().position(|hold| (&hold.scope, hold.kind) == (&group.0, group.1));
        let mut keys = before.map(|before| self.held.remove(before).keys).unwrap_or_default();
        keys.extend(gone.cloned());
        for key in told {
            keys.remove(key);
        }
        // One more round than there are used checksums always finds a new one.
        let rounds = 0..=u32::try_from(self.used.len()).unwrap_or(u32::MAX);
        let checksum = rounds.map(|round| checksum(&keys, round)).find(|sum| !self.used.contains(sum));
        let (scope, kind) = group.clone();
        self.held.push(Hold { scope, kind, keys, checksum: checksum.unwrap_or_default() });
    }

    /// Objects of a held kind are back: those that are not among them are really gone.
    fn returned(&mut self, group: &(Scope, Kind), batch: &[Observation]) -> Vec<Observation> {
        let Some(index) = self.held.iter().position(|hold| (&hold.scope, hold.kind) == (&group.0, group.1)) else {
            return Vec::new();
        };
        let hold = self.held.remove(index);
        let spoken_of: BTreeSet<&ObjectKey> = batch.iter().map(|observation| &observation.key).collect();
        let gone = hold.keys.into_iter().filter(|key| !spoken_of.contains(key));
        gone.map(|key| Observation { key, object: None }).collect()
    }

    /// Removals that an annotation in this batch sets free.
    fn released(&mut self, batch: &[Observation]) -> Vec<Observation> {
        let mut gone = Vec::new();
        for observation in batch {
            let Some(object) = &observation.object else { continue };
            let (scope, release): (Scope, &Option<String>) = match &object.fact {
                Fact::Cluster(fact) => (Scope::Member(ClusterName::clone(&observation.key.name)), &fact.release),
                Fact::Domain(fact) => (Scope::Host, &fact.release),
                _ => continue,
            };
            let Some(release) = release else { continue };
            let fits = |hold: &Hold| hold.scope == scope && hold.checksum == *release;
            if let Some(index) = self.held.iter().position(fits) {
                let hold = self.held.remove(index);
                self.used.insert(hold.checksum);
                gone.extend(hold.keys.into_iter().map(|key| Observation { key, object: None }));
            }
        }
        gone
    }
}

impl Hold {
    /// What is held, and how to release it; `domain` is the Domain that speaks for the host.
    fn told(&self, domain: &str, system_namespace: &str) -> (String, String) {
        let (place, object) = match &self.scope {
            Scope::Member(cluster) => (format!("of {cluster}"), format!("kubefedcluster {cluster}")),
            Scope::Host | Scope::World => ("of the host".to_owned(), format!("domain {domain}")),
        };
        let (count, kind, checksum) = (self.keys.len(), self.kind.as_str(), &self.checksum);
        let message = format!("all {count} {kind} objects {place} vanished at once; the last ones stay in force");
        let help = format!(
            "if that is meant: kubectl annotate {object} --namespace {system_namespace} {RELEASE_ANNOTATION}={checksum} \
             --overwrite"
        );
        (message, help)
    }
}

/// True if the cluster has a KubeFedCluster once `result` is taken in.
fn is_there(cluster: &ClusterName, model: &Model, result: &[Observation]) -> bool {
    let told = |key: &ObjectKey| result.iter().rfind(|observation| observation.key == *key);
    let mut known = model.clusters.keys().filter(|name| name.name == *cluster);
    let new = |one: &Observation| {
        one.key.scope == Scope::Host
            && one.key.kind == Kind::Cluster
            && one.key.name == *cluster
            && one.object.is_some()
    };
    result.iter().any(new)
        || known.any(|name| {
            let told = told(&ObjectKey::host(Kind::Cluster, &name.namespace, &name.name));
            told.is_none_or(|observation| observation.object.is_some())
        })
}

/// FNV-1a over the keys, 64 bits in hexadecimal.
fn checksum(keys: &BTreeSet<ObjectKey>, round: u32) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |octets: &[u8]| {
        for &octet in octets {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for key in keys {
        add(key.to_string().as_bytes());
        add(b"\n");
    }
    add(&round.to_be_bytes());
    format!("{hash:016x}")
}
