//! What stands in the host of the things that mcdns writes there.
//!
//! ```text
//!   sources ── watch ──► Standing ──► control ── equal to what is wanted? ── no ──► write
//! ```
//!
//! This is never an input of a decision about names; it only tells a writer that something was edited, deleted or
//! left behind. So an object is kept as a digest, not as itself: 15,000 records cost a few megabytes.

use std::hash::{DefaultHasher, Hasher};

use serde_json::{Map, Value, json};

use crate::meta::OwnerReference;

/// Annotation of a Domain with the serial and digest that the holder has published.
pub const PUBLISHED_ANNOTATION: &str = "mcdns.io/published";

/// What all of our annotations begin with.
const OUR_PREFIX: &str = "mcdns.io/";

/// Which part of which kind of object is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StandingKind {
    /// `status` of a ServiceDNSRecord.
    ServiceRecordStatus,
    /// `status` of an IngressDNSRecord.
    IngressRecordStatus,
    /// `spec` and `ownerReferences` of a DNSEndpoint of group `multiclusterdns.kubefed.io`.
    Endpoint,
    /// The same of group `externaldns.k8s.io`.
    ExternalDnsEndpoint,
    /// `status` of a KubeFedCluster.
    ClusterStatus,
    /// Annotations `mcdns.io/*` of a Domain.
    DomainAnnotations,
    /// `status` of a Domain.
    DomainStatus,
}

/// Identity of an object of which something stands in the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandingKey {
    /// Part and kind.
    pub kind: StandingKind,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// What stands in the host now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<OwnerReference>,
    /// [`digest`] of the part that is meant; of `null` where it is missing.
    pub digest: u64,
    /// Who wrote that part last (`metadata.managedFields[].manager`), as far as the server tells.
    pub manager: Option<String>,
    /// What a writer carries over when it writes that part again.
    pub kept: Kept,
}

/// What a writer carries over from what stands into what it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Conditions of a status: the time of the last transition stays while the status does.
    pub conditions: Vec<StandingCondition>,
    /// `status.region` of a KubeFedCluster; may have been set by hand.
    pub region: Option<String>,
    /// `status.zones` of a KubeFedCluster; may have been set by hand.
    pub availability_zones: Vec<String>,
    /// Annotation [`PUBLISHED_ANNOTATION`] of a Domain.
    pub published: Option<String>,
}

/// One condition of a [`Kept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingCondition {
    /// `type`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word in CamelCase.
    pub reason: String,
    /// `lastTransitionTime`, RFC 3339.
    pub since: Option<String>,
}

/// One change of what stands: there now, or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingChange {
    /// Which object.
    pub key: StandingKey,
    /// As it is now; none when it is gone. "Could not be read" is no change at all.
    pub standing: Option<Standing>,
}

impl Standing {
    /// What stands, as an API server gives the whole object. Reader and writer both take it from here, since their
    /// digests must be digests of the same thing. The manager is unknown when `managedFields` were trimmed.
    pub fn of(kind: StandingKind, object: &Value) -> Self {
        let metadata = &object["metadata"];
        let part = part(kind, object);
        let owners = metadata.get("ownerReferences").cloned().unwrap_or(Value::Null);
        Self {
            uid: text(&metadata["uid"]),
            resource_version: text(&metadata["resourceVersion"]),
            generation: metadata["generation"].as_i64(),
            owners: serde_json::from_value(owners).unwrap_or_default(),
            digest: digest(&part),
            manager: last_manager(kind, metadata),
            kept: kept(kind, object),
        }
    }
}

impl StandingKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ServiceRecordStatus,
        Self::IngressRecordStatus,
        Self::Endpoint,
        Self::ExternalDnsEndpoint,
        Self::ClusterStatus,
        Self::DomainAnnotations,
        Self::DomainStatus,
    ];

    /// Whether it is the status of a record.
    pub fn is_record_status(self) -> bool {
        matches!(self, Self::ServiceRecordStatus | Self::IngressRecordStatus)
    }

    /// Whether it is a DNSEndpoint of either group.
    pub fn is_endpoint(self) -> bool {
        matches!(self, Self::Endpoint | Self::ExternalDnsEndpoint)
    }
}

/// The part of an object that a [`StandingKind`] means: `status`, or `spec` and `ownerReferences`, or our annotations.
/// `null` where it is missing altogether.
pub fn part(kind: StandingKind, object: &Value) -> Value {
    match kind {
        StandingKind::ServiceRecordStatus
        | StandingKind::IngressRecordStatus
        | StandingKind::ClusterStatus
        | StandingKind::DomainStatus => object.get("status").cloned().unwrap_or(Value::Null),
        StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint => {
            json!({"spec": object["spec"], "ownerReferences": object["metadata"]["ownerReferences"]})
        }
        StandingKind::DomainAnnotations => {
            let ours = object["metadata"]["annotations"].as_object().into_iter().flatten();
            let ours: Map<String, Value> = ours
                .filter(|(key, _)| key.starts_with(OUR_PREFIX))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            if ours.is_empty() { Value::Null } else { Value::Object(ours) }
        }
    }
}

fn kept(kind: StandingKind, object: &Value) -> Kept {
    let status = &object["status"];
    match kind {
        StandingKind::ServiceRecordStatus
        | StandingKind::IngressRecordStatus
        | StandingKind::ClusterStatus
        | StandingKind::DomainStatus => {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let mut kept = Kept {
                conditions: conditions
                    .map(|one| StandingCondition {
                        kind: text(&one["type"]),
                        status: text(&one["status"]),
                        reason: text(&one["reason"]),
                        since: one["lastTransitionTime"].as_str().map(str::to_owned),
                    })
                    .collect(),
                ..Kept::default()
            };
            if kind == StandingKind::ClusterStatus {
                kept.region = status["region"].as_str().map(str::to_owned);
                let zones = status["zones"].as_array().into_iter().flatten();
                kept.availability_zones = zones.filter_map(Value::as_str).map(str::to_owned).collect();
            }
            kept
        }
        StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint => Kept::default(),
        StandingKind::DomainAnnotations => {
            let published = object["metadata"]["annotations"][PUBLISHED_ANNOTATION].as_str();
            Kept { published: published.map(str::to_owned), ..Kept::default() }
        }
    }
}

/// The manager with the newest entry about that part.
fn last_manager(kind: StandingKind, metadata: &Value) -> Option<String> {
    let of_status = kind.is_record_status() || matches!(kind, StandingKind::ClusterStatus | StandingKind::DomainStatus);
    let entries = metadata["managedFields"].as_array().into_iter().flatten();
    let about = entries.filter(|entry| {
        let fields = &entry["fieldsV1"];
        match kind {
            StandingKind::DomainAnnotations => fields["f:metadata"]["f:annotations"]
                .as_object()
                .is_some_and(|keys| keys.keys().any(|key| key.starts_with("f:mcdns.io/"))),
            _ if of_status => !fields["f:status"].is_null(),
            _ => !fields["f:spec"].is_null(),
        }
    });
    let newest = about.max_by_key(|entry| entry["time"].as_str().unwrap_or_default().to_owned())?;
    newest["manager"].as_str().map(str::to_owned)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Digest of a JSON value. Maps count as sets of their entries, and times of conditions
/// (`lastTransitionTime`, `lastUpdateTime`, `lastProbeTime`) as well as what is `null` count as absent, so that equal
/// contents are equal digests. Not stable between versions: it is never written down.
pub fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(value, &mut hasher);
    hasher.finish()
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(flag) => hasher.write(&[1, u8::from(*flag)]),
        Value::Number(number) => tagged(2, number.to_string().as_bytes(), hasher),
        Value::String(text) => tagged(3, text.as_bytes(), hasher),
        Value::Array(items) => {
            tagged(4, &items.len().to_le_bytes(), hasher);
            for item in items {
                feed(item, hasher);
            }
        }
        Value::Object(map) => {
            // Sorted, since the order of a map's keys says nothing.
            let mut entries: Vec<_> = map.iter().filter(|(key, value)| !value.is_null() && !is_time(key)).collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            tagged(5, &entries.len().to_le_bytes(), hasher);
            for (key, value) in entries {
                tagged(6, key.as_bytes(), hasher);
                feed(value, hasher);
            }
        }
    }
}

fn tagged(tag: u8, bytes: &[u8], hasher: &mut DefaultHasher) {
    hasher.write_u8(tag);
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

fn is_time(key: &str) -> bool {
    matches!(key, "lastTransitionTime" | "lastUpdateTime" | "lastProbeTime")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_nulls_and_times_do_not_count() {
        let one = json!({"a": 1, "b": [{"type": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}], "c": null});
        let other = json!({"b": [{"type": "Ready"}], "a": 1});
        assert_eq!(digest(&one), digest(&other));
    }

    #[test]
    fn what_stands_is_taken_from_the_part_that_is_meant() {
        let record = |time: &str, ttl: i64| {
            json!({
                "metadata": {"name": "web", "uid": "u1", "resourceVersion": "7", "generation": 2, "managedFields": [
                    {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {}}},
                    {"manager": "mcdns", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:status": {}}},
                    {"manager": "hyperfed", "time": "2025-12-01T00:00:00Z", "fieldsV1": {"f:status": {}}},
                ]},
                "spec": {"recordTTL": ttl},
                "status": {"conditions": [
                    {"type": "Ready", "status": "True", "reason": "Published", "lastTransitionTime": time}
                ]},
            })
        };
        let one = Standing::of(StandingKind::ServiceRecordStatus, &record("2026-01-01T00:00:00Z", 60));
        let other = Standing::of(StandingKind::ServiceRecordStatus, &record("2026-02-02T00:00:00Z", 90));
        assert_eq!(one.digest, other.digest);
        assert_eq!((one.uid.as_str(), one.resource_version.as_str(), one.generation), ("u1", "7", Some(2)));
        assert_eq!(one.manager.as_deref(), Some("mcdns"));
        assert_eq!(other.kept.conditions[0].since.as_deref(), Some("2026-02-02T00:00:00Z"));
    }

    #[test]
    fn a_domain_stands_for_our_annotations_alone() {
        let domain = |other: &str| json!({"metadata": {"annotations": {"note": other, "mcdns.io/published": "{}"}}});
        let one = Standing::of(StandingKind::DomainAnnotations, &domain("a"));
        assert_eq!(one.digest, Standing::of(StandingKind::DomainAnnotations, &domain("b")).digest);
        assert_eq!(one.kept.published.as_deref(), Some("{}"));
        let bare = Standing::of(StandingKind::DomainAnnotations, &json!({"metadata": {}}));
        assert_eq!(bare.digest, digest(&Value::Null));
    }

    #[test]
    fn the_order_of_items_and_every_value_count() {
        let digests = [json!(["x", "y"]), json!(["y", "x"]), json!(["xy"]), json!([["x"], "y"]), json!({"x": "y"})];
        let distinct: std::collections::BTreeSet<u64> = digests.iter().map(digest).collect();
        assert_eq!(distinct.len(), digests.len());
    }
}
