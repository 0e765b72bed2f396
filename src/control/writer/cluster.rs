//! The status of a KubeFedCluster, in KubeFed's shape: conditions `Ready` and `Offline` with the time of the last probe,
//! region and availability zones.
//!
//! Region and zones that stand are kept when the verdict has none, since a person may have set them; but not the zones of
//! another region than the verdict's, which would be names that nobody has. Leaving them out removes those that mcdns
//! wrote; what a person set is that person's until they take it away (server-side apply). Since something is kept, the
//! write names the version that it was made from: an edit in between is read before it could be undone.

use std::time::Duration;

use mcdns_api::{Condition, Standing, StandingKey, StandingKind};
use mcdns_core::{
    health::{Verdict, VerdictCondition},
    model::{ClusterName, ConditionStatus, Timestamp},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    jobs::{Cluster, End, Shared, Subject},
    ledger::Effect,
    queue::Class,
    record::rfc3339_now,
};
use crate::Notice;

impl Cluster {
    /// Takes a new verdict in, and says how urgent it is to write; none if it is not.
    pub(super) fn take(&mut self, verdict: Verdict, refresh: Duration, now: Instant) -> Option<Class> {
        let is_same = says_the_same(&self.verdict, &verdict);
        self.verdict = verdict;
        match self.written {
            _ if !is_same => Some(Class::Answers),
            Some(written) if now.duration_since(written) < almost(refresh) => None,
            _ => Some(Class::Refresh),
        }
    }
}

/// Verdicts come once a period, a little early or late.
fn almost(refresh: Duration) -> Duration {
    refresh.mul_f64(0.9)
}

fn says_the_same(one: &Verdict, other: &Verdict) -> bool {
    let condition = |one: &VerdictCondition, other: &VerdictCondition| {
        (one.status, one.reason, &one.message) == (other.status, other.reason, &other.message)
    };
    condition(&one.ready, &other.ready)
        && condition(&one.offline, &other.offline)
        && one.region == other.region
        && one.availability_zones == other.availability_zones
}

pub(super) fn status_key(namespace: &str, cluster: &ClusterName) -> StandingKey {
    StandingKey { kind: StandingKind::ClusterStatus, namespace: namespace.to_owned(), name: cluster.to_string() }
}

pub(super) async fn bring(shared: &Shared, cluster: &ClusterName) -> End {
    let key = status_key(&shared.options.system_namespace, cluster);
    let verdict = || shared.state().clusters.get(cluster).map(|cluster| cluster.verdict.clone());
    let refresh_is_due = {
        let state = shared.state();
        if state.ledger.is_complete(key.kind) && state.ledger.standing(&key).is_none() {
            // It is not there any more; there is nothing to write to.
            return End::Done(Duration::ZERO);
        }
        let written = state.clusters.get(cluster).and_then(|cluster| cluster.written);
        written.is_none_or(|written| written.elapsed() >= almost(shared.options.probe_refresh))
    };
    let held = || shared.state().held.get(cluster).cloned();
    let wanted = |before: Option<&Standing>| Some(object(&key, &verdict()?, held().as_ref(), before));
    let stamp = |object: &mut Value, before: Option<&Standing>| {
        if let Some(verdict) = verdict() {
            stamp(object, &verdict, before);
        }
    };
    let subject = Subject { key: key.clone(), wanted: &wanted, stamp: &stamp, even_if_equal: refresh_is_due };
    let applied = shared.bring(&subject).await;
    shared.tell_of_foreign_writes(&key, applied.written.as_ref());
    if let Some((effect, before)) = &applied.written {
        if let Some(cluster) = shared.state().clusters.get_mut(cluster) {
            cluster.written = Some(Instant::now());
        }
        if *effect != Effect::None
            && let Some(verdict) = verdict()
        {
            tell(shared, &key, &verdict, before.as_ref());
        }
    }
    applied.end
}

/// The object without times.
fn object(key: &StandingKey, verdict: &Verdict, held: Option<&Condition>, before: Option<&Standing>) -> Value {
    let mut status = json!({
        "conditions": [condition("Ready", &verdict.ready), condition("Offline", &verdict.offline)],
    });
    let kept = before.map(|standing| &standing.kept);
    if let (Some(held), Some(conditions)) = (held_condition(held, before), status["conditions"].as_array_mut()) {
        conditions.push(held);
    }
    let region = verdict.region.as_deref().or_else(|| kept.and_then(|kept| kept.region.as_deref()));
    if let Some(region) = region {
        status["region"] = json!(region);
    }
    let kept = kept.filter(|kept| kept.region.is_none() || kept.region.as_deref() == region);
    let zones: Vec<&str> = match &verdict.availability_zones[..] {
        [] => kept.into_iter().flat_map(|kept| &kept.availability_zones).map(String::as_str).collect(),
        zones => zones.iter().map(|zone| &**zone).collect(),
    };
    if !zones.is_empty() {
        status["zones"] = json!(zones);
    }
    json!({
        "apiVersion": "core.kubefed.io/v1beta1",
        "kind": "KubeFedCluster",
        "metadata": {"namespace": key.namespace, "name": key.name},
        "status": status,
    })
}

/// Condition `Held` as it is written: True, or False where it stood before, so that a person sees the end of it.
pub(super) fn held_condition(held: Option<&Condition>, before: Option<&Standing>) -> Option<Value> {
    let one = |status: &str, reason: &str, message: &str| json!({"type": "Held", "status": status, "reason": reason, "message": message});
    if let Some(held) = held {
        return Some(one(&held.status, &held.reason, &held.message));
    }
    let stood = before.is_some_and(|standing| standing.kept.conditions.iter().any(|one| one.kind == "Held"));
    stood.then(|| one("False", "NothingHeld", "nothing is held"))
}

fn condition(kind: &str, condition: &VerdictCondition) -> Value {
    json!({
        "type": kind,
        "status": text(condition.status),
        "reason": condition.reason,
        "message": condition.message,
    })
}

fn stamp(object: &mut Value, verdict: &Verdict, before: Option<&Standing>) {
    if let Some(before) = before {
        object["metadata"]["resourceVersion"] = json!(before.resource_version);
    }
    let conditions = object["status"]["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions {
        let kept = before.into_iter().flat_map(|standing| &standing.kept.conditions);
        let mut kept = kept.filter(|one| condition["type"] == one.kind.as_str());
        let since = kept.find(|one| condition["status"] == one.status.as_str()).and_then(|one| one.since.clone());
        let new = || match condition["type"].as_str() {
            Some("Ready") => rfc3339(verdict.ready.since),
            Some("Offline") => rfc3339(verdict.offline.since),
            _ => rfc3339_now(),
        };
        let since = since.unwrap_or_else(new);
        condition["lastTransitionTime"] = json!(since);
        condition["lastProbeTime"] = json!(rfc3339(verdict.probed));
    }
}

/// Whole seconds, as `Time` of Kubernetes has them. A time that no calendar has is the epoch.
fn rfc3339(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1000);
    format!("{:.0}", jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

fn text(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

/// Tells people when a member goes, comes back, or is in trouble for another reason.
fn tell(shared: &Shared, key: &StandingKey, verdict: &Verdict, before: Option<&Standing>) {
    let before = before.and_then(|standing| standing.kept.conditions.iter().find(|one| one.kind == "Ready"));
    let is_ready = verdict.ready.status == ConditionStatus::True;
    let is_news = match before {
        Some(before) if is_ready => before.status != "True",
        Some(before) => before.status != text(verdict.ready.status) || before.reason != verdict.ready.reason,
        None => !is_ready,
    };
    if is_news {
        shared.recorder.tell(Notice {
            regarding: shared.regarding(key),
            reason: verdict.ready.reason.to_owned(),
            about: "".into(),
            note: verdict.ready.message.clone(),
            is_warning: !is_ready,
        });
    }
}
