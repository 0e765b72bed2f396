//! DNSEndpoints of ours in an API group that the settings no longer name: nobody would change them any more, and whoever
//! publishes them would publish what they say for ever.
//!
//! That group need not be watched, so it is listed, at the start of a term and with each recheck. What goes is what
//! mcdns wrote last: the name and the owner are the same where KubeFed writes them. It does not go before the same
//! record has its DNSEndpoint in each group that is wanted, so that a change of groups leaves no name unpublished.

use std::time::Duration;

use mcdns_api::{Standing, StandingKey, StandingKind};
use mcdns_core::model::RecordKey;
use serde_json::Value;

use super::{
    jobs::{End, Shared, label, place, resource},
    record::{ENDPOINT_KINDS, endpoint_kind, is_ours, record_of, status_key},
};
use crate::{MANAGER, Notice, Regarding, host::ApiError};

/// What had to stay is looked at again after so long.
const AGAIN: Duration = Duration::from_mins(1);

/// Kinds of DNSEndpoints whose group is not among these.
pub(super) fn kinds(groups: &[String]) -> impl Iterator<Item = StandingKind> {
    ENDPOINT_KINDS.into_iter().filter(|kind| !groups.iter().any(|group| group == resource(*kind).group))
}

/// Removes what is left in the group of this kind.
pub(super) async fn bring(shared: &Shared, kind: StandingKind) -> End {
    match remove_all(shared, kind).await {
        Ok(true) => End::Later(AGAIN),
        // Without the kind there is nothing of it.
        Ok(false) | Err(ApiError::KindMissing { .. }) => End::Done(Duration::ZERO),
        Err(error @ ApiError::Forbidden { .. }) => {
            // It is asked for again with everything else; not everybody has ever had that group.
            tracing::info!(kind = label(kind), %error, "not known whether DNSEndpoints are left in a group without use");
            End::Done(Duration::ZERO)
        }
        Err(error) => {
            if !matches!(error, ApiError::NotHolder) {
                tracing::warn!(kind = label(kind), %error, "DNSEndpoints of a group without use were not removed");
            }
            End::Failed(error)
        }
    }
}

/// True if some have to stay for a while.
async fn remove_all(shared: &Shared, kind: StandingKind) -> Result<bool, ApiError> {
    let mut stays = false;
    let mut token = String::new();
    loop {
        let page = shared.host.list(resource(kind), &token, shared.permit().await?).await?;
        for object in page["items"].as_array().into_iter().flatten() {
            let Some((key, record, standing)) = left(kind, object) else { continue };
            if may_go(shared, &record) {
                remove(shared, &key, standing).await?;
            } else {
                stays = true;
            }
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(stays),
        }
    }
}

/// What stands, and of which record it was made, where that was by us.
fn left(kind: StandingKind, object: &Value) -> Option<(StandingKey, RecordKey, Standing)> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let key = StandingKey { kind, namespace: text("namespace"), name: text("name") };
    let (record, standing) = (record_of(&key)?, Standing::of(kind, object));
    let is_going = object["metadata"]["deletionTimestamp"].is_string();
    let is_left = is_ours(&standing, &record) && standing.manager.as_deref() == Some(MANAGER) && !is_going;
    is_left.then_some((key, record, standing))
}

/// Whether the record has its DNSEndpoints where they are wanted, or is gone.
fn may_go(shared: &Shared, record: &RecordKey) -> bool {
    let Some(objects) = shared.desired.objects(record) else {
        let (state, status) = (shared.state(), status_key(record));
        return state.ledger.is_complete(status.kind) && state.ledger.standing(&status).is_none();
    };
    let state = shared.state();
    objects.endpoints.iter().filter_map(endpoint_kind).all(|kind| {
        let namespace = record.name.namespace.to_string();
        state.ledger.standing(&StandingKey { kind, namespace, name: record.endpoint_name() }).is_some()
    })
}

async fn remove(shared: &Shared, key: &StandingKey, standing: Standing) -> Result<(), ApiError> {
    let limit = shared.permit().await?;
    match shared.host.delete(place(key), &standing.uid, &standing.resource_version, limit).await {
        Ok(_) => {}
        // Gone already, or changed: by whom is seen the next time.
        Err(ApiError::NotFound | ApiError::Conflict { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    shared.state().ledger.forget(key);
    shared.count(key.kind, "deleted");
    shared.recorder.tell(Notice {
        regarding: Regarding { uid: Some(standing.uid), ..shared.regarding(key) },
        reason: "OrphanRemoved".to_owned(),
        about: "".into(),
        note: format!("DNSEndpoints are not written in {} any more, by the settings", resource(key.kind).group),
        is_warning: false,
    });
    tracing::info!(kind = label(key.kind), namespace = key.namespace, name = key.name, "removed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_that_is_not_named_is_looked_at() {
        let of = |groups: &[&str]| kinds(&groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>()).collect();
        let (own, external): (Vec<_>, Vec<_>) = (of(&["externaldns.k8s.io"]), of(&["multiclusterdns.kubefed.io"]));
        assert_eq!((own, external), (vec![StandingKind::Endpoint], vec![StandingKind::ExternalDnsEndpoint]));
        let none: Vec<StandingKind> = of(&["externaldns.k8s.io", "multiclusterdns.kubefed.io"]);
        assert_eq!(none, []);
    }

    #[test]
    fn only_what_mcdns_wrote_last_for_a_record_is_left() {
        let object = |name: &str, manager: &str| {
            json!({"metadata": {"namespace": "shop", "name": name, "uid": "u", "resourceVersion": "5",
                "ownerReferences": [{"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "ServiceDNSRecord",
                    "name": "web", "uid": "r"}],
                "managedFields": [{"manager": manager, "fieldsV1": {"f:spec": {}}}]}})
        };
        let is_left = |object: Value| left(StandingKind::Endpoint, &object).is_some();
        assert!(is_left(object("service-web", "mcdns")));
        assert!(!is_left(object("service-web", "hyperfed")), "KubeFed's");
        assert!(!is_left(object("service-api", "mcdns")), "of another record");
        assert!(!is_left(object("webhook-web", "mcdns")), "what external-dns has published");
        let mut going = object("service-web", "mcdns");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!is_left(going));
    }
}
