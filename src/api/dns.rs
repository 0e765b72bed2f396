//! Group `multiclusterdns.kubefed.io/v1alpha1`: Domain, ServiceDNSRecord, IngressDNSRecord, DNSEndpoint.
//!
//! Kinds are spelled as in Kubernetes when printed (`ServiceDNSRecord`) and as Rust words in code
//! ([`ServiceDnsRecord`]). `loadBalancer` of a cluster's entry is always written, as `{}` when it is empty: a
//! reader tells by that "no usable load balancer there" from "no entry".

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::{Condition, LoadBalancerStatus, Metadata};

/// Group and version of every kind here.
pub const API_VERSION: &str = "multiclusterdns.kubefed.io/v1alpha1";

/// A zone that names are made in. The fields are top-level: there is no `spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// Namespaces that may claim names in the zone; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<Vec<String>>,
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// The apex.
    pub domain: String,
    /// `Domain`.
    pub kind: Cow<'static, str>,
    /// Name is the third label of every service name; the namespace must be the system namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Host name or address of the zone's name server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_server: String,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DomainStatus>,
}

/// `status` of a [`Domain`]. KubeFed's Domain has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// Whether the zone is served, and what is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Asks for the names of the Service of the same namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDnsRecord {
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// `ServiceDNSRecord`.
    pub kind: Cow<'static, str>,
    /// Namespace and name are those of the Service.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: ServiceDnsRecordSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ServiceDnsRecordStatus>,
}

/// `spec` of a [`ServiceDnsRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDnsRecordSpec {
    /// Count a cluster's load balancer even with no ready endpoint.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_service_without_endpoints: bool,
    /// Adds `<dnsPrefix>.<domain>` as CNAME to the global name; empty is off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dns_prefix: String,
    /// Name of a Domain in the system namespace.
    #[serde(default)]
    pub domain_ref: String,
    /// Takes the place of the first label; empty means the record's own name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_name: String,
    /// Seconds; 0 means 180.
    #[serde(default, rename = "recordTTL", skip_serializing_if = "is_default")]
    pub record_ttl: i64,
}

/// `status` of a [`ServiceDnsRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDnsRecordStatus {
    /// What is missing and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// One entry per cluster, sorted by cluster, bytewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<ClusterDns>,
    /// Copy of the Domain's `domain`; empty while there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
}

/// Entry of one cluster in a record's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDns {
    /// Name of the KubeFedCluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Empty: no usable target there, so the cluster's names climb. Always written.
    #[serde(default)]
    pub load_balancer: LoadBalancerStatus,
    /// Region of the cluster, as the cluster has it. Not in an IngressDNSRecord.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Availability zones of the cluster, as the cluster has them. Not in an IngressDNSRecord.
    #[serde(default, rename = "zones", skip_serializing_if = "Vec::is_empty")]
    pub availability_zones: Vec<String>,
}

/// Asks for names of the Ingress of the same namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressDnsRecord {
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// `IngressDNSRecord`.
    pub kind: Cow<'static, str>,
    /// Namespace and name are those of the Ingress.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: IngressDnsRecordSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<IngressDnsRecordStatus>,
}

/// `spec` of an [`IngressDnsRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressDnsRecordSpec {
    /// Full DNS names to publish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Seconds; 0 means 180.
    #[serde(default, rename = "recordTTL", skip_serializing_if = "is_default")]
    pub record_ttl: i64,
}

/// `status` of an [`IngressDnsRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressDnsRecordStatus {
    /// What is missing and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// One entry per cluster, sorted by cluster, bytewise; without region and availability zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<ClusterDns>,
}

/// RRsets that external-dns or another publisher takes from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsEndpoint {
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// `DNSEndpoint`.
    pub kind: Cow<'static, str>,
    /// Named `service-<record>` or `ingress-<record>`, owned by that record.
    #[serde(default)]
    pub metadata: Metadata,
    /// The RRsets.
    #[serde(default)]
    pub spec: DnsEndpointSpec,
}

/// `spec` of a [`DnsEndpoint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsEndpointSpec {
    /// Sorted by `dnsName`, then `recordType`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointItem>,
}

/// One RRset of a [`DnsEndpoint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointItem {
    /// Owner name without a trailing dot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dns_name: String,
    /// `serviceName` where an `externalName` hides it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Seconds.
    #[serde(default, rename = "recordTTL", skip_serializing_if = "is_default")]
    pub record_ttl: i64,
    /// `A`, `AAAA` or `CNAME`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record_type: String,
    /// Addresses, or the one name of a CNAME; sorted bytewise, without duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

impl ServiceDnsRecord {
    /// A record without a status.
    pub fn new(metadata: Metadata, spec: ServiceDnsRecordSpec) -> Self {
        Self { api_version: API_VERSION.into(), kind: "ServiceDNSRecord".into(), metadata, spec, status: None }
    }
}

impl IngressDnsRecord {
    /// A record without a status.
    pub fn new(metadata: Metadata, spec: IngressDnsRecordSpec) -> Self {
        Self { api_version: API_VERSION.into(), kind: "IngressDNSRecord".into(), metadata, spec, status: None }
    }
}

impl DnsEndpoint {
    /// A DNSEndpoint of these RRsets.
    pub fn new(metadata: Metadata, endpoints: Vec<EndpointItem>) -> Self {
        Self {
            api_version: API_VERSION.into(),
            kind: "DNSEndpoint".into(),
            metadata,
            spec: DnsEndpointSpec { endpoints },
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::meta::{List, LoadBalancerIngress, OwnerReference};

    #[test]
    fn an_empty_load_balancer_is_written_as_an_empty_object() {
        let mut record = ServiceDnsRecord::new(
            Metadata::named("shop", "web"),
            ServiceDnsRecordSpec { domain_ref: "galactic".to_owned(), ..Default::default() },
        );
        record.status = Some(ServiceDnsRecordStatus {
            conditions: vec![Condition {
                observed_generation: Some(3),
                reason: "Published".to_owned(),
                status: "True".to_owned(),
                kind: "Ready".to_owned(),
                ..Condition::default()
            }],
            dns: vec![
                ClusterDns {
                    cluster: "c1".to_owned(),
                    load_balancer: LoadBalancerStatus {
                        ingress: vec![LoadBalancerIngress { ip: "10.20.30.1".to_owned(), hostname: String::new() }],
                    },
                    region: "us".to_owned(),
                    availability_zones: vec!["us1".to_owned()],
                },
                ClusterDns { cluster: "c2".to_owned(), ..ClusterDns::default() },
            ],
            domain: "example.com".to_owned(),
        });
        let written = serde_json::to_value(&record).expect("plain data");
        assert_eq!(
            written,
            json!({
                "apiVersion": "multiclusterdns.kubefed.io/v1alpha1",
                "kind": "ServiceDNSRecord",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"domainRef": "galactic"},
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "True", "observedGeneration": 3, "reason": "Published", "message": ""}
                    ],
                    "dns": [
                        {"cluster": "c1", "loadBalancer": {"ingress": [{"ip": "10.20.30.1"}]}, "region": "us",
                         "zones": ["us1"]},
                        {"cluster": "c2", "loadBalancer": {}}
                    ],
                    "domain": "example.com"
                }
            })
        );
        assert_eq!(serde_json::from_value::<ServiceDnsRecord>(written).expect("what was written"), record);
    }

    #[test]
    fn keys_stand_in_the_order_in_which_kubectl_prints_them() {
        let mut metadata = Metadata::named("shop", "service-web");
        metadata.owner_references.push(OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "ServiceDNSRecord".to_owned(),
            name: "web".to_owned(),
            uid: "1-2-3".to_owned(),
            ..OwnerReference::default()
        });
        let endpoint = DnsEndpoint::new(
            metadata,
            vec![EndpointItem {
                dns_name: "web.example.com".to_owned(),
                labels: [("serviceName".to_owned(), "web".to_owned())].into(),
                record_ttl: 180,
                record_type: "A".to_owned(),
                targets: vec!["192.0.2.1".to_owned()],
            }],
        );
        assert_eq!(
            serde_json::to_string(&List::new(vec![endpoint])).expect("plain data"),
            "{\"apiVersion\":\"v1\",\"items\":[{\"apiVersion\":\"multiclusterdns.kubefed.io/v1alpha1\",\
             \"kind\":\"DNSEndpoint\",\"metadata\":{\"name\":\"service-web\",\"namespace\":\"shop\",\
             \"ownerReferences\":[{\"apiVersion\":\"multiclusterdns.kubefed.io/v1alpha1\",\
             \"kind\":\"ServiceDNSRecord\",\"name\":\"web\",\"uid\":\"1-2-3\"}]},\"spec\":{\"endpoints\":[\
             {\"dnsName\":\"web.example.com\",\"labels\":{\"serviceName\":\"web\"},\"recordTTL\":180,\
             \"recordType\":\"A\",\"targets\":[\"192.0.2.1\"]}]}}],\"kind\":\"List\",\
             \"metadata\":{\"resourceVersion\":\"\"}}"
        );
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let record = IngressDnsRecord::new(Metadata::named("shop", "web"), IngressDnsRecordSpec::default());
        assert_eq!(serde_json::to_value(&record).expect("plain data")["spec"], json!({}));
        let endpoint = DnsEndpoint::new(Metadata::named("shop", "service-web"), Vec::new());
        assert_eq!(serde_json::to_value(&endpoint).expect("plain data")["spec"], json!({}));
    }
}
