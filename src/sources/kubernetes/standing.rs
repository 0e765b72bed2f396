//! What stands in the host, for the writer: digests of the parts that mcdns writes, and who wrote them last.

use mcdns_api::{OwnerReference, Standing, StandingKey, StandingKind, standing::digest};
use mcdns_core::model::ObjectKey;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Prefix of the annotations that are ours.
const ANNOTATIONS: &str = "mcdns.io/";
/// Kinds that own DNSEndpoints of ours.
const OWNERS: [&str; 2] = ["ServiceDNSRecord", "IngressDNSRecord"];

#[derive(Default, Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    owner_references: Option<Vec<OwnerReference>>,
    annotations: Option<serde_json::Map<String, Value>>,
    #[serde(borrow)]
    managed_fields: Option<Vec<Managed<'a>>>,
}

#[derive(Deserialize)]
struct Managed<'a> {
    manager: Option<String>,
    time: Option<String>,
    #[serde(borrow, rename = "fieldsV1")]
    fields: Option<&'a RawValue>,
}

/// True for an object that is none of the writer's business.
pub(super) fn is_foreign(kind: StandingKind, name: &str) -> bool {
    matches!(kind, StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint)
        && !name.starts_with("service-")
        && !name.starts_with("ingress-")
}

/// The key under which the writer knows an object.
pub(super) fn key_of(kind: StandingKind, key: &ObjectKey) -> StandingKey {
    StandingKey { kind, namespace: key.namespace.to_string(), name: key.name.to_string() }
}

/// What stands in an object that was read, and whether it is a DNSEndpoint made for a record; none if the text is not
/// of that shape.
pub(super) fn read(text: &str, kind: StandingKind) -> Option<(Standing, bool)> {
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    let meta = parts.metadata.unwrap_or_default();
    let value =
        |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
    let (part, field) = match kind {
        StandingKind::ServiceRecordStatus | StandingKind::IngressRecordStatus | StandingKind::ClusterStatus => {
            (value(parts.status), "\"f:status\"")
        }
        StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint => (value(parts.spec), "\"f:spec\""),
        StandingKind::DomainAnnotations => {
            let mut annotations = meta.annotations.unwrap_or_default();
            annotations.retain(|name, _| name.starts_with(ANNOTATIONS));
            let part = if annotations.is_empty() { Value::Null } else { Value::Object(annotations) };
            (part, "\"f:mcdns.io/")
        }
    };
    let owners = meta.owner_references.unwrap_or_default();
    let made = owners.iter().any(|owner| OWNERS.contains(&owner.kind.as_str()));
    // Times are RFC 3339 in UTC, which sort as text.
    let written = meta.managed_fields.unwrap_or_default().into_iter();
    let written = written.filter(|entry| entry.fields.is_some_and(|fields| fields.get().contains(field)));
    let last = written.max_by(|one, other| one.time.cmp(&other.time));
    let standing = Standing {
        uid: meta.uid.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
        generation: meta.generation,
        owners,
        digest: digest(&part),
        manager: last.and_then(|entry| entry.manager),
    };
    Some((standing, made))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_writer_of_the_part_is_told() {
        let text = json!({
            "metadata": {"uid": "u", "resourceVersion": "9", "generation": 2, "managedFields": [
                {"manager": "kubectl", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:spec": {}}},
                {"manager": "old", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:status": {}}},
                {"manager": "mcdns", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:status": {}}},
            ]},
            "status": {"dns": []},
        });
        let (standing, made) = read(&text.to_string(), StandingKind::ServiceRecordStatus).expect("an object");
        assert_eq!(standing.manager.as_deref(), Some("mcdns"));
        assert_eq!((standing.uid.as_str(), standing.resource_version.as_str()), ("u", "9"));
        assert_eq!((standing.generation, standing.digest, made), (Some(2), digest(&json!({"dns": []})), false));
    }

    #[test]
    fn a_part_that_is_missing_is_null_and_other_annotations_do_not_count() {
        let text = json!({"metadata": {"annotations": {"a": "b"}}}).to_string();
        let (standing, _) = read(&text, StandingKind::DomainAnnotations).expect("an object");
        assert_eq!(standing.digest, digest(&Value::Null));
        let text = json!({"metadata": {"annotations": {"a": "b", "mcdns.io/serial": "5"}}}).to_string();
        let (standing, _) = read(&text, StandingKind::DomainAnnotations).expect("an object");
        assert_eq!(standing.digest, digest(&json!({"mcdns.io/serial": "5"})));
    }

    #[test]
    fn a_dns_endpoint_with_a_record_for_owner_was_made_for_it() {
        let owner = json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "ServiceDNSRecord",
            "name": "web", "uid": "u1"});
        let text = json!({"metadata": {"ownerReferences": [owner]}, "spec": {}}).to_string();
        assert!(read(&text, StandingKind::Endpoint).expect("an object").1);
        assert!(is_foreign(StandingKind::Endpoint, "mail") && !is_foreign(StandingKind::Endpoint, "service-web"));
    }
}
