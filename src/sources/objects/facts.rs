//! Objects of Kubernetes as facts: one function per kind, from a slim type to a [`Fact`].

use std::{collections::BTreeMap, sync::Arc};

use mcdns_core::model::{
    ClusterFact, Condition, ConditionStatus, DomainFact, Endpoint, EndpointsFact, Fact, ForeignRrset,
    IngressRecordFact, Kind, LabelOperator, LabelRequirement, LabelSelector, LoadBalancerItem, PlacementFact,
    ServiceRecordFact, Timestamp,
};

use super::{
    field::{FieldError, Node, shorten},
    wire,
};
use crate::topology;

/// Label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What an object says, or none where it says nothing to anybody (a slice of no Service). Fields that are wrong
/// but can be left out go to `minor`.
pub(super) fn fact(
    kind: Kind,
    name: &str,
    meta: &wire::Meta<'_>,
    body: Node<'_>,
    minor: &mut Vec<FieldError>,
) -> Result<Option<Fact>, FieldError> {
    let release = || meta.annotations.as_ref().and_then(|annotations| annotations.release.clone());
    Ok(Some(match kind {
        Kind::Domain => domain(body.read("")?, release())?,
        Kind::Cluster => cluster(body.read("")?, meta, release(), minor),
        Kind::ServiceRecord => service_record(body.read("")?)?,
        Kind::IngressRecord => ingress_record(body.read("")?),
        Kind::ServicePlacement | Kind::IngressPlacement => placement(body.read("")?)?,
        Kind::ServiceStatus => service_status(body.read("")?),
        Kind::ForeignRrsets => foreign_rrsets(body.read("")?),
        Kind::Service | Kind::Ingress => {
            let balanced: wire::Balanced<'_> = body.read("")?;
            Fact::LoadBalancer(load_balancer(balanced.status))
        }
        Kind::Endpoints => endpoints(name, body.read("")?),
        Kind::EndpointSlice => {
            let Some(service) = meta.labels.as_ref().and_then(|labels| labels.value(SERVICE_NAME)) else {
                return Ok(None);
            };
            slice(service, body.read("")?)?
        }
        Kind::Node => Fact::Node(topology::node_fact(|key| meta.labels.as_ref()?.value(key))),
        Kind::Member | Kind::HostAddresses | Kind::IngressStatus => return Ok(None),
    }))
}

/// Reads a time; a wrong one counts as missing and is told about.
pub(super) fn time(text: Option<&wire::Text<'_>>, field: &str, minor: &mut Vec<FieldError>) -> Option<Timestamp> {
    let text = text?.as_str();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(time.as_millisecond()));
    }
    minor.push(
        FieldError::about(field, format!("\"{}\" is no time, and counts as missing", shorten(text)))
            .help("write it as in RFC 3339, for example 2021-01-25T12:00:00Z"),
    );
    None
}

fn domain(domain: wire::Domain, release: Option<String>) -> Result<Fact, FieldError> {
    Ok(Fact::Domain(DomainFact {
        domain: domain.domain.ok_or_else(|| {
            FieldError::missing("domain")
                .help("add the zone's name, for example `domain: example.com` (there is no spec)")
        })?,
        name_server: domain.name_server.filter(|name| !name.is_empty()),
        allowed_namespaces: domain
            .allowed_namespaces
            .map(|namespaces| namespaces.into_iter().map(Into::into).collect()),
        release,
    }))
}

fn cluster(
    cluster: wire::Cluster<'_>,
    meta: &wire::Meta<'_>,
    release: Option<String>,
    minor: &mut Vec<FieldError>,
) -> Fact {
    let status = cluster.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let mut condition = |kind: &str| {
        let (index, found) = conditions.iter().enumerate().find(|(_, condition)| condition.kind.as_str() == kind)?;
        let since = found.last_transition_time.as_ref();
        Some(Condition {
            status: match found.status.as_ref().map(wire::Text::as_str) {
                Some("True") => ConditionStatus::True,
                Some("False") => ConditionStatus::False,
                _ => ConditionStatus::Unknown,
            },
            since: time(since, &format!("status.conditions[{index}].lastTransitionTime"), minor),
            reason: found.reason.as_ref().and_then(shared),
        })
    };
    // Whatever a person writes there as the reason, but for the word that says the opposite.
    let cordon = meta.annotations.as_ref().and_then(|annotations| annotations.cordon.as_deref());
    Fact::Cluster(ClusterFact {
        cordoned: cordon.is_some_and(|value| value != "false"),
        ready: condition("Ready"),
        offline: condition("Offline"),
        region: status.region.as_ref().and_then(shared),
        availability_zones: status.zones.unwrap_or_default().iter().map(|zone| zone.as_str().into()).collect(),
        labels: meta.labels.as_ref().map(to_map).unwrap_or_default(),
        release,
    })
}

fn service_record(record: wire::WithSpec<wire::ServiceRecordSpec<'_>>) -> Result<Fact, FieldError> {
    // The schema requires `domainRef` inside `spec`, and no `spec`: a record without one refers to no Domain.
    let Some(spec) = record.spec else {
        return Ok(Fact::ServiceRecord(ServiceRecordFact::default()));
    };
    let domain_ref = spec.domain_ref.ok_or_else(|| {
        FieldError::missing("spec.domainRef").help("add the name of a Domain, for example `domainRef: galactic`")
    })?;
    Ok(Fact::ServiceRecord(ServiceRecordFact {
        domain_ref: domain_ref.as_str().into(),
        ttl: spec.record_ttl.unwrap_or(0),
        dns_prefix: spec.dns_prefix.unwrap_or_default(),
        external_name: spec.external_name.unwrap_or_default(),
        allow_without_endpoints: spec.allow_service_without_endpoints.unwrap_or(false),
    }))
}

fn ingress_record(record: wire::WithSpec<wire::IngressRecordSpec>) -> Fact {
    let spec = record.spec.unwrap_or_default();
    Fact::IngressRecord(IngressRecordFact { hosts: spec.hosts.unwrap_or_default(), ttl: spec.record_ttl.unwrap_or(0) })
}

fn placement(object: wire::WithSpec<wire::FederatedSpec<'_>>) -> Result<Fact, FieldError> {
    let placement = object.spec.unwrap_or_default().placement.unwrap_or_default();
    let named = |names: Vec<wire::ClusterReference<'_>>| names.iter().map(|item| item.name.as_str().into()).collect();
    let listed = |names: Vec<wire::Text<'_>>| names.iter().map(|name| name.as_str().into()).collect();
    let clusters: Option<Vec<Arc<str>>> = placement.clusters.map(named).or_else(|| placement.cluster_names.map(listed));
    let selector = placement.cluster_selector.map(selector).transpose()?;
    Ok(Fact::Placement(PlacementFact { clusters, selector }))
}

fn selector(selector: wire::Selector<'_>) -> Result<LabelSelector, FieldError> {
    let mut requirements: Vec<LabelRequirement> = to_map(&selector.match_labels.unwrap_or_default())
        .into_iter()
        .map(|(key, value)| LabelRequirement { key, operator: LabelOperator::In, values: vec![value] })
        .collect();
    for (index, requirement) in selector.match_expressions.unwrap_or_default().into_iter().enumerate() {
        let field = |name: &str| format!("spec.placement.clusterSelector.matchExpressions[{index}].{name}");
        let operator = match requirement.operator.as_str() {
            "In" => LabelOperator::In,
            "NotIn" => LabelOperator::NotIn,
            "Exists" => LabelOperator::Exists,
            "DoesNotExist" => LabelOperator::DoesNotExist,
            other => {
                let message = format!("\"{}\" is no operator", shorten(other));
                return Err(
                    FieldError::about(field("operator"), message).help("write In, NotIn, Exists or DoesNotExist")
                );
            }
        };
        let values = requirement.values.unwrap_or_default();
        let wants_values = matches!(operator, LabelOperator::In | LabelOperator::NotIn);
        if wants_values && values.is_empty() {
            let message = format!("{} needs at least one value", requirement.operator.as_str());
            return Err(FieldError::about(field("values"), message).help("add the values, or use Exists"));
        }
        if !wants_values && !values.is_empty() {
            let message = format!("{} takes no values", requirement.operator.as_str());
            return Err(FieldError::about(field("values"), message).help("leave `values` out, or use In or NotIn"));
        }
        requirements.push(LabelRequirement { key: requirement.key, operator, values });
    }
    Ok(LabelSelector { requirements })
}

fn service_status(object: wire::ServiceStatuses<'_>) -> Fact {
    let clusters = object.cluster_status.unwrap_or_default();
    Fact::ServiceStatus(
        clusters.into_iter().map(|entry| (entry.cluster_name.as_str().into(), load_balancer(entry.status))).collect(),
    )
}

fn foreign_rrsets(object: wire::WithSpec<wire::EndpointSpec>) -> Fact {
    let endpoints = object.spec.unwrap_or_default().endpoints.unwrap_or_default();
    let rrset = |item: wire::EndpointItem| ForeignRrset {
        owner: item.dns_name.unwrap_or_default(),
        record_type: item.record_type.unwrap_or_default(),
        targets: item.targets.unwrap_or_default(),
        ttl: item.record_ttl.unwrap_or(0),
    };
    Fact::ForeignRrsets(endpoints.into_iter().flatten().map(rrset).collect())
}

fn load_balancer(status: Option<wire::BalancedStatus<'_>>) -> Vec<LoadBalancerItem> {
    let items = status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
    let item = |item: wire::LoadBalancerItem<'_>| LoadBalancerItem {
        ip: item.ip.as_ref().and_then(shared),
        hostname: item.hostname.as_ref().and_then(shared),
    };
    items.unwrap_or_default().into_iter().map(item).collect()
}

fn endpoints(name: &str, object: wire::Endpoints) -> Fact {
    let mut endpoints = Vec::new();
    for subset in object.subsets.unwrap_or_default() {
        let both = [(subset.addresses, true), (subset.not_ready_addresses, false)];
        for (addresses, ready) in both {
            let addresses = addresses.unwrap_or_default().into_iter();
            endpoints.extend(addresses.map(|address| Endpoint { address: Some(address.ip.0), ready }));
        }
    }
    Fact::Endpoints(EndpointsFact { service: name.into(), endpoints: endpoints.into_boxed_slice() })
}

fn slice(service: &str, object: wire::Slice<'_>) -> Result<Fact, FieldError> {
    // Slices of type FQDN have host names for addresses, which say readiness and nothing else.
    let names = object.address_type.as_ref().is_some_and(|kind| kind.as_str() == "FQDN");
    let items = object.endpoints.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let ready = item.conditions.unwrap_or_default().ready.unwrap_or(true);
        for (position, address) in item.addresses.unwrap_or_default().into_iter().enumerate() {
            let address = match address {
                wire::SliceAddress::Ip(address) => Some(address),
                wire::SliceAddress::Other if names => None,
                wire::SliceAddress::Other => {
                    let field = format!("endpoints[{index}].addresses[{position}]");
                    return Err(FieldError::about(field, "is no IP address")
                        .help("write an IP address, or `addressType: FQDN` for host names"));
                }
            };
            endpoints.push(Endpoint { address, ready });
        }
    }
    Ok(Fact::Endpoints(EndpointsFact { service: service.into(), endpoints: endpoints.into_boxed_slice() }))
}

fn to_map(labels: &wire::Labels<'_>) -> BTreeMap<String, String> {
    labels.0.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect()
}

/// A text that counts; empty is none.
fn shared(text: &wire::Text<'_>) -> Option<Arc<str>> {
    (!text.as_str().is_empty()).then(|| text.as_str().into())
}
