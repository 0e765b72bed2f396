//! What stands in the host of the things that mcdns writes there.
//!
//! ```text
//!   sources ── watch ──► Standing ──► control ── equal to what is wanted? ── no ──► write
//! ```
//!
//! This is never an input of a decision about names; it only tells a writer that something was edited, deleted or
//! left behind. So an object is kept as a digest, not as itself: 15,000 records cost a few megabytes.

use std::hash::{DefaultHasher, Hasher};

use serde_json::Value;

use crate::meta::OwnerReference;

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
}

/// One change of what stands: there now, or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingChange {
    /// Which object.
    pub key: StandingKey,
    /// As it is now; none when it is gone. "Could not be read" is no change at all.
    pub standing: Option<Standing>,
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
    fn the_order_of_items_and_every_value_count() {
        let digests = [json!(["x", "y"]), json!(["y", "x"]), json!(["xy"]), json!([["x"], "y"]), json!({"x": "y"})];
        let distinct: std::collections::BTreeSet<u64> = digests.iter().map(digest).collect();
        assert_eq!(distinct.len(), digests.len());
    }
}
