//! Statuses of records as facts, for a server that sees the host alone: they are its one source for what the members
//! hold.

use std::sync::Arc;

use mcdns_api::ClusterDns;
use mcdns_core::model::{ClusterName, Fact, Kind, LoadBalancerItem, Object, ObjectKey};
use serde::Deserialize;

/// Where a cluster is as a record's status has it: region, availability zones.
pub(super) type Place = (Option<Arc<str>>, Vec<Arc<str>>);

/// The status of a record as a fact, and where it says that clusters are.
pub(super) type Status = (ObjectKey, Arc<Object>, Vec<(ClusterName, Place)>);

/// The key under which the status of a record is a fact; none for what is no record.
pub(super) fn key_of(record: &ObjectKey) -> Option<ObjectKey> {
    let kind = match record.kind {
        Kind::ServiceRecord => Kind::ServiceStatus,
        Kind::IngressRecord => Kind::IngressStatus,
        _ => return None,
    };
    Some(ObjectKey { kind, ..record.clone() })
}

/// The status of a record, and where it says that clusters are; none for what is no record.
pub(super) fn read(text: &str, record: &ObjectKey) -> Option<Status> {
    #[derive(Deserialize)]
    struct Record {
        status: Option<RecordStatus>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct RecordStatus {
        dns: Option<Vec<ClusterDns>>,
    }
    let key = key_of(record)?;
    // A status of another shape says nothing.
    let status = serde_json::from_str::<Record>(text).ok().and_then(|record| record.status).unwrap_or_default();
    let some = |text: String| (!text.is_empty()).then(|| Arc::from(text));
    let (mut entries, mut places) = (Vec::new(), Vec::new());
    for entry in status.dns.unwrap_or_default() {
        let cluster: ClusterName = entry.cluster.into();
        let items = entry.load_balancer.ingress.into_iter();
        let items = items.map(|item| LoadBalancerItem { ip: some(item.ip), hostname: some(item.hostname) });
        entries.push((Arc::clone(&cluster), items.collect()));
        let zones = entry.availability_zones.into_iter().map(Arc::from).collect();
        places.push((cluster, (some(entry.region), zones)));
    }
    Some((key, Arc::new(Object::new(Fact::ServiceStatus(entries))), places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_record_becomes_what_each_cluster_has() {
        let text = r#"{"status": {"dns": [{"cluster": "us", "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]},
            "region": "us", "zones": ["us1"]}, {"cluster": "eu", "loadBalancer": {}}]}}"#;
        let record = ObjectKey::host(Kind::IngressRecord, "shop", "web");
        let (key, object, places) = read(text, &record).expect("a record");
        assert_eq!(key, ObjectKey::host(Kind::IngressStatus, "shop", "web"));
        let item = LoadBalancerItem { ip: Some("192.0.2.1".into()), hostname: None };
        assert_eq!(object.fact, Fact::ServiceStatus(vec![("us".into(), vec![item]), ("eu".into(), vec![])]));
        assert_eq!(places[0], ("us".into(), (Some("us".into()), vec!["us1".into()])));
        assert!(read(text, &ObjectKey::host(Kind::Domain, "shop", "web")).is_none());
    }
}
