//! A record's DNSEndpoints and status, and what is left behind by a record that is gone.

use std::sync::atomic::{AtomicBool, Ordering};

use mcdns_api::{DnsEndpoint, Standing, StandingKey, StandingKind};
use mcdns_core::model::{NamespacedName, RecordKey, RecordKind};
use serde_json::{Value, json};

use super::{
    jobs::{End, Shared, Subject, label, place, resource},
    ledger::Effect,
};
use crate::{
    MANAGER, Notice, RecordObjects, Regarding,
    host::{ApiError, ENDPOINTS, EXTERNAL_DNS_ENDPOINTS, Place},
};

/// Kinds of DNSEndpoints.
pub(super) const ENDPOINT_KINDS: [StandingKind; 2] = [StandingKind::Endpoint, StandingKind::ExternalDnsEndpoint];

/// The key of a record's status.
pub(super) fn status_key(key: &RecordKey) -> StandingKey {
    let kind = match key.kind {
        RecordKind::Service => StandingKind::ServiceRecordStatus,
        RecordKind::Ingress => StandingKind::IngressRecordStatus,
    };
    StandingKey { kind, namespace: key.name.namespace.to_string(), name: key.name.name.to_string() }
}

/// The record that a status or a DNSEndpoint of this name belongs to, if it can belong to one of ours.
pub(super) fn record_of(key: &StandingKey) -> Option<RecordKey> {
    let (kind, name) = match key.kind {
        StandingKind::ServiceRecordStatus => (RecordKind::Service, key.name.as_str()),
        StandingKind::IngressRecordStatus => (RecordKind::Ingress, key.name.as_str()),
        StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint => {
            let service = key.name.strip_prefix("service-").map(|name| (RecordKind::Service, name));
            service.or_else(|| key.name.strip_prefix("ingress-").map(|name| (RecordKind::Ingress, name)))?
        }
        StandingKind::ClusterStatus | StandingKind::DomainAnnotations | StandingKind::DomainStatus => return None,
    };
    let name = NamespacedName { namespace: key.namespace.as_str().into(), name: name.into() };
    Some(RecordKey { kind, name })
}

/// Works on one record.
pub(super) async fn bring(shared: &Shared, key: &RecordKey) -> End {
    let Some(objects) = shared.desired.objects(key) else { return clean_up(shared, key).await };
    let mut end = End::Done(std::time::Duration::ZERO);
    for endpoint in &objects.endpoints {
        let Some(kind) = endpoint_kind(endpoint) else { continue };
        end = end.worse(bring_endpoint(shared, key, kind, endpoint, objects.unsettled).await);
        if matches!(&end, End::Failed(error) if error.is_of_the_server() || matches!(error, ApiError::NotHolder)) {
            return end;
        }
    }
    end.worse(bring_status(shared, key, &objects).await)
}

pub(super) fn endpoint_kind(endpoint: &DnsEndpoint) -> Option<StandingKind> {
    let group = endpoint.api_version.split_once('/').map(|(group, _)| group);
    match group {
        Some(group) if group == ENDPOINTS.group => Some(StandingKind::Endpoint),
        Some(group) if group == EXTERNAL_DNS_ENDPOINTS.group => Some(StandingKind::ExternalDnsEndpoint),
        _ => None,
    }
}

async fn bring_endpoint(
    shared: &Shared,
    key: &RecordKey,
    kind: StandingKind,
    endpoint: &DnsEndpoint,
    unsettled: bool,
) -> End {
    let standing = StandingKey { kind, namespace: key.name.namespace.to_string(), name: key.endpoint_name() };
    // What was computed for the whole record serves the first comparison, which is mostly the only one.
    let is_fresh = AtomicBool::new(true);
    let wanted = |before: Option<&Standing>| {
        if is_fresh.swap(false, Ordering::Relaxed) {
            return endpoint_object(endpoint).filter(|_| !unsettled || before.is_none());
        }
        let objects = shared.desired.objects(key)?;
        if objects.unsettled && before.is_some() {
            return None;
        }
        let endpoint = objects.endpoints.iter().find(|endpoint| endpoint_kind(endpoint) == Some(kind))?;
        endpoint_object(endpoint)
    };
    let stamp = |_: &mut Value, _: Option<&Standing>| {};
    let subject = Subject { key: standing, wanted: &wanted, stamp: &stamp, even_if_equal: false };
    let applied = shared.bring(&subject).await;
    shared.tell_of_foreign_writes(&subject.key, applied.written.as_ref());
    applied.end
}

/// The list is there also when it is empty: leaving it out would leave what another field manager wrote, KubeFed for
/// instance.
fn endpoint_object(endpoint: &DnsEndpoint) -> Option<Value> {
    let mut object = serde_json::to_value(endpoint).ok()?;
    if object["spec"]["endpoints"].is_null() {
        object["spec"]["endpoints"] = json!([]);
    }
    Some(object)
}

/// The same of the list of clusters in a status.
fn status_object(mut record: Value) -> Value {
    if record["status"]["dns"].is_null() {
        record["status"]["dns"] = json!([]);
    }
    record
}

async fn bring_status(shared: &Shared, key: &RecordKey, objects: &RecordObjects) -> End {
    let is_fresh = AtomicBool::new(true);
    let wanted = |_: Option<&Standing>| {
        if is_fresh.swap(false, Ordering::Relaxed) {
            return Some(status_object(objects.record.clone()));
        }
        Some(status_object(shared.desired.objects(key)?.record))
    };
    let subject = Subject { key: status_key(key), wanted: &wanted, stamp: &stamp_transitions, even_if_equal: false };
    let applied = shared.bring(&subject).await;
    shared.tell_of_foreign_writes(&subject.key, applied.written.as_ref());
    if let Some((effect, before)) = &applied.written
        && *effect != Effect::None
    {
        tell_of_warnings(shared, &subject.key, objects, before.as_ref());
    }
    applied.end
}

/// Each condition keeps the time of its last transition as long as its status stays.
pub(super) fn stamp_transitions(object: &mut Value, before: Option<&Standing>) {
    let now = rfc3339_now();
    let conditions = object["status"]["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions {
        let kept = before.into_iter().flat_map(|standing| &standing.kept.conditions);
        let mut kept = kept.filter(|one| condition["type"] == one.kind.as_str());
        let since = kept.find(|one| condition["status"] == one.status.as_str()).and_then(|one| one.since.clone());
        condition["lastTransitionTime"] = json!(since.unwrap_or_else(|| now.clone()));
    }
}

/// `Time` of Kubernetes has whole seconds.
pub(super) fn rfc3339_now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

/// Conditions that were not bad before, and are now.
fn tell_of_warnings(shared: &Shared, key: &StandingKey, objects: &RecordObjects, before: Option<&Standing>) {
    let status = |condition: &str| {
        let conditions = objects.record["status"]["conditions"].as_array().into_iter().flatten();
        let mut conditions = conditions.into_iter().filter(|one| one["type"] == condition);
        conditions.next().and_then(|one| one["status"].as_str())
    };
    for warning in &objects.warnings {
        let was_so = before.is_some_and(|standing| {
            let mut kept = standing.kept.conditions.iter();
            kept.any(|one| one.kind == warning.condition && Some(one.status.as_str()) == status(&warning.condition))
        });
        if was_so {
            continue;
        }
        shared.recorder.tell(Notice {
            regarding: shared.regarding(key),
            reason: warning.reason.to_string(),
            about: "".into(),
            note: format!("{}: {}", warning.condition, warning.message),
            is_warning: true,
        });
    }
}

/// Deletes the DNSEndpoints of a record that is gone.
async fn clean_up(shared: &Shared, key: &RecordKey) -> End {
    let mut end = End::Done(std::time::Duration::ZERO);
    for kind in ENDPOINT_KINDS {
        let endpoint = StandingKey { kind, namespace: key.name.namespace.to_string(), name: key.endpoint_name() };
        let outcome = match orphan(shared, key, &endpoint) {
            Some(standing) => remove(shared, key, &endpoint, standing).await,
            None => Ok(()),
        };
        if let Err(error) = outcome {
            shared.failed(&endpoint, &error);
            end = end.worse(End::Failed(error));
        }
    }
    end
}

/// What stands, if it is left behind by a record: it is ours, and neither engine nor watch knows the record, both of
/// which have seen everything there is.
fn orphan(shared: &Shared, key: &RecordKey, endpoint: &StandingKey) -> Option<Standing> {
    let state = shared.state();
    let status = status_key(key);
    if !state.ledger.is_complete(endpoint.kind) || !state.ledger.is_complete(status.kind) {
        return None;
    }
    if state.ledger.standing(&status).is_some() {
        return None;
    }
    let standing = state.ledger.standing(endpoint)?;
    is_ours(standing, key).then(|| standing.clone())
}

/// The name alone does not make a DNSEndpoint ours.
pub(super) fn is_ours(standing: &Standing, key: &RecordKey) -> bool {
    let kind = key.object_key().kind.as_str();
    let owned = standing.owners.iter().any(|owner| {
        let group = owner.api_version.split_once('/').map(|(group, _)| group);
        group == Some(ENDPOINTS.group) && owner.kind == kind && *owner.name == *key.name.name
    });
    owned || (standing.owners.is_empty() && standing.manager.as_deref() == Some(MANAGER))
}

async fn remove(
    shared: &Shared,
    key: &RecordKey,
    endpoint: &StandingKey,
    mut standing: Standing,
) -> Result<(), ApiError> {
    let status = status_key(key);
    let record = Place::object(resource(status.kind), &status.namespace, &status.name);
    match shared.host.read(record, shared.permit().await?).await {
        Err(ApiError::NotFound) => {}
        // The third witness says that it is there; the other two will hear of it.
        Ok(_) => return Ok(()),
        Err(error) => return Err(error),
    }
    let limit = shared.permit().await?;
    if shared.desired.objects(key).is_some() {
        return Ok(());
    }
    let mut outcome = shared.host.delete(place(endpoint), &standing.uid, &standing.resource_version, limit).await;
    if matches!(outcome, Err(ApiError::Conflict { .. })) {
        // It changed since it was seen. Whether it is still ours is judged by what it is now.
        shared.read(endpoint).await?;
        let Some(now) = orphan(shared, key, endpoint) else { return Ok(()) };
        standing = now;
        let limit = shared.permit().await?;
        outcome = shared.host.delete(place(endpoint), &standing.uid, &standing.resource_version, limit).await;
    }
    match outcome {
        Ok(_) => {}
        Err(ApiError::NotFound) => {
            shared.state().ledger.forget(endpoint);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    shared.count(endpoint.kind, "deleted");
    shared.recorder.tell(Notice {
        regarding: Regarding { uid: Some(standing.uid), ..shared.regarding(endpoint) },
        reason: "OrphanRemoved".to_owned(),
        about: "".into(),
        note: format!("{key} is gone, and its DNSEndpoint with it"),
        is_warning: false,
    });
    shared.state().ledger.forget(endpoint);
    tracing::info!(kind = label(endpoint.kind), namespace = endpoint.namespace, name = endpoint.name, "removed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use mcdns_api::{Kept, OwnerReference, StandingCondition};

    use super::*;

    fn key(kind: StandingKind, name: &str) -> StandingKey {
        StandingKey { kind, namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn standing(owners: Vec<OwnerReference>, manager: &str) -> Standing {
        Standing {
            uid: String::new(),
            resource_version: "1".to_owned(),
            generation: None,
            owners,
            digest: 0,
            manager: Some(manager.to_owned()),
            kept: Kept::default(),
        }
    }

    #[test]
    fn a_dnsendpoint_belongs_to_the_record_that_its_name_says() {
        let record = record_of(&key(StandingKind::Endpoint, "ingress-service-web")).expect("a record");
        assert_eq!((record.kind, &*record.name.name), (RecordKind::Ingress, "service-web"));
        assert_eq!(record.endpoint_name(), "ingress-service-web");
        assert_eq!(record_of(&key(StandingKind::Endpoint, "web")), None);
        assert_eq!(record_of(&key(StandingKind::ClusterStatus, "service-web")), None);
    }

    #[test]
    fn a_dnsendpoint_is_ours_by_its_owner_and_not_by_its_name() {
        let record = record_of(&key(StandingKind::Endpoint, "service-web")).expect("a record");
        let owner = |group: &str, kind: &str, name: &str| OwnerReference {
            api_version: format!("{group}/v1alpha1"),
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..OwnerReference::default()
        };
        let ours = "multiclusterdns.kubefed.io";
        assert!(is_ours(&standing(vec![owner(ours, "ServiceDNSRecord", "web")], "hyperfed"), &record));
        assert!(is_ours(&standing(Vec::new(), MANAGER), &record));
        for owner in [
            owner(ours, "IngressDNSRecord", "web"),
            owner(ours, "ServiceDNSRecord", "other"),
            owner("example.com", "ServiceDNSRecord", "web"),
        ] {
            assert!(!is_ours(&standing(vec![owner.clone()], MANAGER), &record), "{owner:?}");
        }
        assert!(!is_ours(&standing(Vec::new(), "kubectl"), &record));
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut before = standing(Vec::new(), MANAGER);
        before.kept.conditions = ["Ready", "Degraded"]
            .map(|kind| StandingCondition {
                kind: kind.to_owned(),
                status: "True".to_owned(),
                reason: String::new(),
                since: Some("2026-01-01T00:00:00Z".to_owned()),
            })
            .into();
        let mut object = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "False"},
        ]}});
        stamp_transitions(&mut object, Some(&before));
        let conditions = &object["status"]["conditions"];
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        let moved = conditions[1]["lastTransitionTime"].as_str().expect("a time");
        assert!(moved.parse::<jiff::Timestamp>().is_ok() && moved.len() == "2026-01-01T00:00:00Z".len(), "{moved}");
    }
}
