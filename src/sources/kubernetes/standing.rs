//! What stands in the host, for the writer: digests of the parts that mcdns writes, and who wrote them last.

use mcdns_api::{Standing, StandingKey, StandingKind};
use mcdns_core::model::ObjectKey;
use serde_json::Value;

/// Kinds that own DNSEndpoints of ours.
const OWNERS: [&str; 2] = ["ServiceDNSRecord", "IngressDNSRecord"];

/// True for an object that is none of the writer's business.
pub(super) fn is_foreign(kind: StandingKind, name: &str) -> bool {
    matches!(kind, StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint)
        && !name.starts_with("service-")
        && !name.starts_with("ingress-")
}

/// The key under which the writer knows an object.
pub(super) fn key_of(kind: StandingKind, key: &ObjectKey) -> StandingKey {
    StandingKey { kind, namespace: key.namespace.to_string(), name: key.plain_name().0.to_owned() }
}

/// What stands in an object that was read, and whether it is a DNSEndpoint made for a record; none if the text is no
/// object.
pub(super) fn read(text: &str, kind: StandingKind) -> Option<(Standing, bool)> {
    let object: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
    let standing = Standing::of(kind, &object);
    let made = standing.owners.iter().any(|owner| OWNERS.contains(&owner.kind.as_str()));
    Some((standing, made))
}

#[cfg(test)]
mod tests {
    use mcdns_api::standing::digest;
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
