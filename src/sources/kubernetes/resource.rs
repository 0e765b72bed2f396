//! What is watched where, and under which paths: the newest version first, then what older servers have.

use mcdns_api::StandingKind;
use mcdns_core::model::{Kind, LabelOperator, LabelSelector};

/// Group of Domains and records, and of the DNSEndpoints that KubeFed wrote.
const DNS: &str = "multiclusterdns.kubefed.io";
/// Group of external-dns' own DNSEndpoints.
pub(super) const EXTERNAL_DNS: &str = "externaldns.k8s.io";

/// Something to watch in one cluster.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    /// Name for people and metrics, the same in all versions.
    pub(super) name: String,
    /// Where it may be found; the first that the server has counts.
    pub(super) choices: Vec<Choice>,
    /// Label selector in the form of a query.
    pub(super) labels: String,
    /// Field selector in the form of a query.
    pub(super) fields: String,
    /// Only names and versions are asked for, not the objects.
    pub(super) metadata_only: bool,
    /// What a person does where the server does not have it; none where it may well be missing.
    pub(super) wanted: Option<&'static str>,
}

/// One version of a resource.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// Path of the collection, with a namespace where only one is watched.
    pub(super) path: String,
    /// What its objects are.
    pub(super) kind: Kind,
    /// Which part of them a writer wants to know about.
    pub(super) standing: Option<StandingKind>,
}

/// The resources of the host.
pub(super) fn of_host(system_namespace: &str, endpoint_groups: &[String], host_only: bool) -> Vec<Resource> {
    let install = Some("install the CRDs of mcdns, for example with its Helm chart");
    let dns = |plural: &str| vec![format!("/apis/{DNS}/v1alpha1/{plural}")];
    let both = |group: &str, plural: &str| {
        ["v1beta1", "v1alpha1"].iter().map(|version| format!("/apis/{group}/{version}/{plural}")).collect::<Vec<_>>()
    };
    let clusters = both("core.kubefed.io", &format!("namespaces/{system_namespace}/kubefedclusters"));
    let mut resources = vec![
        resource("Domain", dns("domains"), Kind::Domain, Some(StandingKind::DomainAnnotations), install),
        resource("KubeFedCluster", clusters, Kind::Cluster, Some(StandingKind::ClusterStatus), install),
        resource(
            "ServiceDNSRecord",
            dns("servicednsrecords"),
            Kind::ServiceRecord,
            Some(StandingKind::ServiceRecordStatus),
            install,
        ),
        resource(
            "IngressDNSRecord",
            dns("ingressdnsrecords"),
            Kind::IngressRecord,
            Some(StandingKind::IngressRecordStatus),
            install,
        ),
    ];
    for group in endpoint_groups {
        let (name, standing) = match group.as_str() {
            DNS => ("DNSEndpoint".to_owned(), StandingKind::Endpoint),
            EXTERNAL_DNS => (format!("DNSEndpoint.{group}"), StandingKind::ExternalDnsEndpoint),
            // Settings allow no other group; what they may allow one day is read, and nobody writes it.
            _ => continue,
        };
        let help = if group == DNS { install } else { Some("install the CRD of external-dns, or leave the group out") };
        let paths = vec![format!("/apis/{group}/v1alpha1/dnsendpoints")];
        resources.push(resource(&name, paths, Kind::ForeignRrsets, Some(standing), help));
    }
    let placements = [
        ("FederatedService", both("types.kubefed.io", "federatedservices"), Kind::ServicePlacement),
        ("FederatedIngress", both("types.kubefed.io", "federatedingresses"), Kind::IngressPlacement),
    ];
    resources.extend(placements.into_iter().map(|(name, paths, kind)| resource(name, paths, kind, None, None)));
    if !host_only {
        // With the host alone, the status of the record itself says more.
        let paths = both("core.kubefed.io", "federatedservicestatuses");
        resources.push(resource("FederatedServiceStatus", paths, Kind::ServiceStatus, None, None));
    }
    resources
}

/// Notices of changed Secrets in the system namespace: their names, never what they hold. Releases of Helm stand there
/// too, are large, and say nothing.
pub(super) fn secrets(system_namespace: &str) -> Resource {
    let path = format!("/api/v1/namespaces/{system_namespace}/secrets");
    let mut secrets = resource("Secret", vec![path], Kind::Member, None, None);
    "type!=helm.sh/release.v1".clone_into(&mut secrets.fields);
    secrets.metadata_only = true;
    secrets
}

/// The resources of a member.
pub(super) fn of_member(selector: &LabelSelector) -> Vec<Resource> {
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let slices = paths(&["/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1beta1/endpointslices"]);
    let mut slices = resource("EndpointSlice", slices, Kind::EndpointSlice, None, None);
    slices.choices.push(Choice { path: "/api/v1/endpoints".to_owned(), kind: Kind::Endpoints, standing: None });
    let ingresses = paths(&[
        "/apis/networking.k8s.io/v1/ingresses",
        "/apis/networking.k8s.io/v1beta1/ingresses",
        "/apis/extensions/v1beta1/ingresses",
    ]);
    let mut resources = vec![
        resource("Service", paths(&["/api/v1/services"]), Kind::Service, None, None),
        slices,
        resource("Ingress", ingresses, Kind::Ingress, None, None),
    ];
    let labels = label_query(selector);
    for selected in &mut resources {
        selected.labels.clone_from(&labels);
    }
    resources.push(resource("Node", paths(&["/api/v1/nodes"]), Kind::Node, None, None));
    resources
}

fn resource(
    name: &str,
    paths: Vec<String>,
    kind: Kind,
    standing: Option<StandingKind>,
    wanted: Option<&'static str>,
) -> Resource {
    Resource {
        name: name.to_owned(),
        choices: paths.into_iter().map(|path| Choice { path, kind, standing }).collect(),
        labels: String::new(),
        fields: String::new(),
        metadata_only: false,
        wanted,
    }
}

/// A label selector as the API takes it.
fn label_query(selector: &LabelSelector) -> String {
    let requirement = |one: &mcdns_core::model::LabelRequirement| {
        let (key, values) = (&one.key, one.values.join(","));
        match one.operator {
            LabelOperator::In if one.values.len() == 1 => format!("{key}={values}"),
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.clone(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        }
    };
    selector.requirements.iter().map(requirement).collect::<Vec<_>>().join(",")
}

/// A value as part of a query: everything but unreserved characters is escaped (RFC 3986 section 2.3).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            escaped.push(char::from(octet));
        } else {
            escaped.push('%');
            for half in [octet >> 4, octet & 15] {
                escaped.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use mcdns_core::model::LabelRequirement;

    use super::*;

    #[test]
    fn a_selector_is_written_as_the_api_takes_it() {
        let one = |key: &str, operator, values: &[&str]| LabelRequirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let selector = LabelSelector {
            requirements: vec![
                one("kubefed.io/managed", LabelOperator::In, &["true"]),
                one("tier", LabelOperator::In, &["a", "b"]),
                one("old", LabelOperator::NotIn, &["c"]),
                one("x", LabelOperator::Exists, &[]),
                one("y", LabelOperator::DoesNotExist, &[]),
            ],
        };
        assert_eq!(label_query(&selector), "kubefed.io/managed=true,tier in (a,b),old notin (c),x,!y");
        assert_eq!(escape("a=b,c in (d)"), "a%3Db%2Cc%20in%20%28d%29");
    }

    #[test]
    fn nodes_are_watched_without_a_selector() {
        let selector = crate::objects::managed_selector();
        let resources = of_member(&selector);
        let labels: Vec<bool> = resources.iter().map(|resource| resource.labels.is_empty()).collect();
        assert_eq!(labels, [false, false, false, true]);
    }

    #[test]
    fn a_host_alone_is_asked_for_no_status_of_services() {
        let groups = [DNS.to_owned(), EXTERNAL_DNS.to_owned()];
        let names =
            |host_only| of_host("system", &groups, host_only).into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert!(names(false).contains(&"FederatedServiceStatus".to_owned()));
        assert!(!names(true).contains(&"FederatedServiceStatus".to_owned()));
        assert!(names(true).contains(&"DNSEndpoint.externaldns.k8s.io".to_owned()));
    }
}
