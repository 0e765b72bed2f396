//! Slim types for what is read of each kind: everything else is skipped while parsing, never stored.
//!
//! Strings are borrowed from the text of the file where they stand there without escapes. Kubernetes does not tell
//! `null` from absent, so every field is an [`Option`]; what is required is asked for when the fact is made.

use std::{borrow::Cow, fmt, net::IpAddr};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

/// A string, and nothing that merely looks like one: `true` and `300` without quotes are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    /// The text itself.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text))
            }
        }

        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

/// An IP address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address(pub(super) IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressVisitor;

        impl Visitor<'_> for AddressVisitor {
            type Value = IpAddr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<IpAddr, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(AddressVisitor).map(Self)
    }
}

/// An address of a slice, which is a host name in slices of type FQDN.
#[derive(Debug, Clone, Copy)]
pub(super) enum SliceAddress {
    /// An IP address.
    Ip(IpAddr),
    /// Something else.
    Other,
}

impl<'de> Deserialize<'de> for SliceAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SliceAddressVisitor;

        impl Visitor<'_> for SliceAddressVisitor {
            type Value = SliceAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SliceAddress, E> {
                Ok(text.parse().map_or(SliceAddress::Other, SliceAddress::Ip))
            }
        }

        deserializer.deserialize_str(SliceAddressVisitor)
    }
}

/// A map of strings, in the order written.
#[derive(Debug, Default)]
pub(super) struct Labels<'a>(pub(super) Vec<(Text<'a>, Text<'a>)>);

impl Labels<'_> {
    /// Value of the label `key`; the last one written, as a map would keep it.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name.as_str() == key).map(|(_, value)| value.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;

        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Vec<(Text<'de>, Text<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut labels = Vec::new();
                while let Some(label) = map.next_entry()? {
                    labels.push(label);
                }
                Ok(labels)
            }
        }

        deserializer.deserialize_map(LabelsVisitor).map(Self)
    }
}

/// The annotations that are read; the others (among them whole objects in text) are skipped.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// `mcdns.io/release`.
    pub(super) release: Option<String>,
    /// `mcdns.io/cordon`.
    pub(super) cordon: Option<String>,
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnnotationsVisitor;

        impl<'de> Visitor<'de> for AnnotationsVisitor {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut annotations = Annotations::default();
                while let Some(key) = map.next_key::<Text<'_>>()? {
                    let slot = match key.as_str() {
                        "mcdns.io/release" => &mut annotations.release,
                        "mcdns.io/cordon" => &mut annotations.cordon,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *slot = map.next_value::<Option<Text<'_>>>()?.map(|text| text.0.into_owned());
                }
                Ok(annotations)
            }
        }

        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

/// `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) namespace: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) uid: Option<Text<'a>>,
    /// What a watch goes on from; a file's says nothing.
    #[serde(borrow)]
    pub(super) resource_version: Option<Text<'a>>,
    pub(super) generation: Option<i64>,
    #[serde(borrow)]
    pub(super) creation_timestamp: Option<Text<'a>>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) labels: Option<Labels<'a>>,
    pub(super) annotations: Option<Annotations>,
}

/// A Domain.
#[expect(clippy::struct_field_names, reason = "the field is called so in Kubernetes")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Domain {
    pub(super) domain: Option<String>,
    pub(super) name_server: Option<String>,
    pub(super) allowed_namespaces: Option<Vec<String>>,
}

/// A KubeFedCluster.
#[derive(Debug, Deserialize)]
pub(super) struct Cluster<'a> {
    #[serde(borrow)]
    pub(super) status: Option<ClusterStatus<'a>>,
}

/// `status` of a KubeFedCluster.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ClusterStatus<'a> {
    #[serde(borrow)]
    pub(super) conditions: Option<Vec<Condition<'a>>>,
    #[serde(borrow)]
    pub(super) region: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) zones: Option<Vec<Text<'a>>>,
}

/// A condition of a KubeFedCluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) last_transition_time: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
}

/// Any object of which only `spec` is read.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
pub(super) struct WithSpec<S> {
    pub(super) spec: Option<S>,
}

/// `spec` of a ServiceDNSRecord.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceRecordSpec<'a> {
    #[serde(borrow)]
    pub(super) domain_ref: Option<Text<'a>>,
    #[serde(rename = "recordTTL")]
    pub(super) record_ttl: Option<i64>,
    pub(super) dns_prefix: Option<String>,
    pub(super) external_name: Option<String>,
    pub(super) allow_service_without_endpoints: Option<bool>,
}

/// `spec` of an IngressDNSRecord.
#[derive(Debug, Default, Deserialize)]
pub(super) struct IngressRecordSpec {
    pub(super) hosts: Option<Vec<String>>,
    #[serde(rename = "recordTTL")]
    pub(super) record_ttl: Option<i64>,
}

/// `spec` of a DNSEndpoint.
#[derive(Debug, Default, Deserialize)]
pub(super) struct EndpointSpec {
    pub(super) endpoints: Option<Vec<Option<EndpointItem>>>,
}

/// One item of `spec.endpoints` of a DNSEndpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointItem {
    pub(super) dns_name: Option<String>,
    pub(super) record_type: Option<String>,
    pub(super) targets: Option<Vec<String>>,
    #[serde(rename = "recordTTL")]
    pub(super) record_ttl: Option<i64>,
}

/// `spec` of a federated object.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FederatedSpec<'a> {
    #[serde(borrow)]
    pub(super) placement: Option<Placement<'a>>,
}

/// `spec.placement`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placement<'a> {
    #[serde(borrow)]
    pub(super) clusters: Option<Vec<ClusterReference<'a>>>,
    /// How v1alpha1 wrote `clusters`.
    #[serde(borrow)]
    pub(super) cluster_names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) cluster_selector: Option<Selector<'a>>,
}

/// One item of `spec.placement.clusters`.
#[derive(Debug, Deserialize)]
pub(super) struct ClusterReference<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

/// A label selector.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selector<'a> {
    #[serde(borrow)]
    pub(super) match_labels: Option<Labels<'a>>,
    #[serde(borrow)]
    pub(super) match_expressions: Option<Vec<Requirement<'a>>>,
}

/// One of `matchExpressions`.
#[derive(Debug, Deserialize)]
pub(super) struct Requirement<'a> {
    pub(super) key: String,
    #[serde(borrow)]
    pub(super) operator: Text<'a>,
    pub(super) values: Option<Vec<String>>,
}

/// A FederatedServiceStatus.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStatuses<'a> {
    #[serde(borrow)]
    pub(super) cluster_status: Option<Vec<ClusterServiceStatus<'a>>>,
}

/// One item of `clusterStatus`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterServiceStatus<'a> {
    #[serde(borrow)]
    pub(super) cluster_name: Text<'a>,
    #[serde(borrow)]
    pub(super) status: Option<BalancedStatus<'a>>,
}

/// A Service or an Ingress.
#[derive(Debug, Deserialize)]
pub(super) struct Balanced<'a> {
    #[serde(borrow)]
    pub(super) status: Option<BalancedStatus<'a>>,
}

/// `status` with a load balancer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BalancedStatus<'a> {
    #[serde(borrow)]
    pub(super) load_balancer: Option<LoadBalancer<'a>>,
}

/// `status.loadBalancer`.
#[derive(Debug, Deserialize)]
pub(super) struct LoadBalancer<'a> {
    #[serde(borrow)]
    pub(super) ingress: Option<Vec<LoadBalancerItem<'a>>>,
}

/// One item of `status.loadBalancer.ingress`.
#[derive(Debug, Deserialize)]
pub(super) struct LoadBalancerItem<'a> {
    #[serde(borrow)]
    pub(super) ip: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) hostname: Option<Text<'a>>,
}

/// An Endpoints object.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoints {
    pub(super) subsets: Option<Vec<Subset>>,
}

/// One item of `subsets`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subset {
    pub(super) addresses: Option<Vec<SubsetAddress>>,
    pub(super) not_ready_addresses: Option<Vec<SubsetAddress>>,
}

/// One address of a subset.
#[derive(Debug, Deserialize)]
pub(super) struct SubsetAddress {
    pub(super) ip: Address,
}

/// An EndpointSlice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice<'a> {
    #[serde(borrow)]
    pub(super) address_type: Option<Text<'a>>,
    pub(super) endpoints: Option<Vec<SliceEndpoint>>,
}

/// One item of `endpoints` of a slice.
#[derive(Debug, Deserialize)]
pub(super) struct SliceEndpoint {
    pub(super) addresses: Option<Vec<SliceAddress>>,
    pub(super) conditions: Option<SliceConditions>,
}

/// `conditions` of an endpoint; `serving` and `terminating` are not read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SliceConditions {
    pub(super) ready: Option<bool>,
}
