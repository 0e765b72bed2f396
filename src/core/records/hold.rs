//! The guard against bulk loss: objects of a kind that go from ten or more to none at once are held.
//!
//! A source that suddenly shows nothing is more often broken than right. What it showed last stays in force
//! until objects of that kind are back, or a person says that the loss is meant, with the annotation
//! `mcdns.io/release: <checksum>` on the KubeFedCluster (for a member) or on a Domain (for the host). A
//! checksum names one loss and works once.

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
    /// Takes out of a batch the removals that must wait and puts in those that were released; `counts` is
    /// brought up to what the result leaves.
    pub(super) fn filter(&mut self, batch: &[Observation], counts: &mut Counts, model: &Model) -> Vec<Observation> {
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
        for (group, (added, removed)) in deltas {
            let here =
                |observation: &&Observation| (&observation.key.scope, observation.key.kind) == (&group.0, group.1);
            let before = counts.get(&group).copied().unwrap_or(0);
            let guarded = group.0 != Scope::World && before >= GUARDED_FROM && before + added == removed;
            if guarded {
                let gone = batch.iter().filter(here).filter(|observation| observation.object.is_none());
                self.hold(&group, gone.map(|observation| observation.key.clone()).collect());
                continue;
            }
            let back = batch.iter().filter(here).any(|observation| observation.object.is_some());
            if back {
                result.extend(self.returned(&group, batch));
            }
            result.extend(batch.iter().filter(here).cloned());
        }
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
        self.held.iter().map(|hold| {
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
        let members = self.held.iter().filter_map(|hold| match &hold.scope {
            Scope::Member(cluster) => Some(cluster),
            Scope::Host | Scope::World => None,
        });
        members.collect()
    }

    /// Condition `Held` of the KubeFedCluster or Domain `name` that speaks for `scope`; none if nothing is held there.
    pub(super) fn condition(&self, scope: &Scope, name: &str, system_namespace: &str) -> Option<RecordCondition> {
        let here = self.held.iter().filter(|hold| hold.scope == *scope);
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

    fn hold(&mut self, group: &(Scope, Kind), keys: BTreeSet<ObjectKey>) {
        // One more round than there are used checksums always finds a new one.
        let rounds = 0..=u32::try_from(self.used.len()).unwrap_or(u32::MAX);
        let checksum = rounds.map(|round| checksum(&keys, round)).find(|sum| !self.used.contains(sum));
        let (scope, kind) = group.clone();
        self.held.retain(|hold| (&hold.scope, hold.kind) != (&scope, kind));
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
