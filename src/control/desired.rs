//! What belongs into the host: the status of every record, and a DNSEndpoint for each.
//!
//! The objects here are computed and complete; a writer only has to apply them. They carry no times, so that
//! equal results are equal objects and nothing is written when nothing changed. What a field means and when
//! it is left out is KubeFed's (v0.6.1), with conditions added to the status.

use std::{borrow::Cow, collections::BTreeMap};

use mcdns_api::{
    ClusterDns, Condition, DnsEndpoint, EndpointItem, IngressDnsRecord, IngressDnsRecordSpec, IngressDnsRecordStatus,
    List, LoadBalancerIngress, LoadBalancerStatus, Metadata, OwnerReference, ServiceDnsRecord, ServiceDnsRecordSpec,
    ServiceDnsRecordStatus,
};
use mcdns_core::{
    model::{ClusterName, Fact, NamespacedName, Object, RecordKey, RecordKind},
    records::{ClusterEntry, EndpointRrset, Engine, RecordCondition},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Version of the API group that records and DNSEndpoints belong to.
const API_VERSION: &str = mcdns_api::dns::API_VERSION;

/// An object that belongs into the host cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HostObject {
    /// RRsets of one record, for other publishers.
    DnsEndpoint(DnsEndpoint),
    /// A record with its status.
    IngressRecord(IngressDnsRecord),
    /// A record with its status.
    ServiceRecord(ServiceDnsRecord),
}

/// Where the writer asks what belongs into the host. The engine lives elsewhere and is locked for each question, so
/// an answer is as new as the question and holds for one record only.
pub trait Desired: Send + Sync {
    /// What there is to write about a record; none if there is no such record.
    fn objects(&self, key: &RecordKey) -> Option<RecordObjects>;

    /// Every record there is.
    fn record_keys(&self) -> Vec<RecordKey>;
}

/// What there is to write about one record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordObjects {
    /// The record with nothing but what identifies it and its `status`, without times.
    pub record: Value,
    /// Its DNSEndpoint in each API group.
    pub endpoints: Vec<DnsEndpoint>,
    /// True while host names have no answer that these depend on: DNSEndpoints that stand stay then, since external-dns
    /// deletes what they no longer name.
    pub unsettled: bool,
    /// What a person should know about it. An Event is made when one of them is new.
    pub warnings: Vec<Warning>,
}

/// A condition of a record that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Type of the condition.
    pub condition: Cow<'static, str>,
    /// Its reason.
    pub reason: Cow<'static, str>,
    /// Its message.
    pub message: String,
}

/// What there is to write about one record; none if there is no such record. This is how [`Desired::objects`] is
/// usually answered. `further` are conditions of it that others than the engine know, without times.
pub fn record_objects(
    engine: &Engine,
    key: &RecordKey,
    endpoint_groups: &[String],
    further: Vec<Condition>,
) -> Option<RecordObjects> {
    let object = engine.object(key)?;
    let status = engine.record_status(key)?;
    let warnings = status.conditions.iter().filter(|one| is_warning(one));
    let warnings = warnings
        .map(|one| Warning {
            condition: one.condition_type.into(),
            reason: one.reason.into(),
            message: one.message.clone(),
        })
        .chain(further.iter().filter(|one| one.status == "False").map(|one| Warning {
            condition: one.kind.clone().into(),
            reason: one.reason.clone().into(),
            message: one.message.clone(),
        }))
        .collect();
    let generation = Some(object.object_generation.unwrap_or_default());
    let mut conditions: Vec<Condition> = status.conditions.iter().map(|one| condition(one, object)).collect();
    conditions.extend(further.into_iter().map(|one| Condition { observed_generation: generation, ..one }));
    let dns: Vec<ClusterDns> = status.clusters.into_iter().map(cluster_dns).collect();
    let status = match key.kind {
        RecordKind::Service => {
            let domain = status.domain.unwrap_or_default();
            serde_json::to_value(ServiceDnsRecordStatus { conditions, dns, domain })
        }
        RecordKind::Ingress => serde_json::to_value(IngressDnsRecordStatus { conditions, dns }),
    };
    let record = json!({
        "apiVersion": API_VERSION,
        "kind": key.object_key().kind.as_str(),
        "metadata": {"namespace": &*key.name.namespace, "name": &*key.name.name},
        "status": status.ok()?,
    });
    let endpoints = dns_endpoint(engine, key).map(|endpoint| in_groups(&endpoint, endpoint_groups).collect());
    let unsettled = engine.is_unsettled(key);
    Some(RecordObjects { record, endpoints: endpoints.unwrap_or_default(), unsettled, warnings })
}

/// Conditions of every Domain, without times.
pub fn domain_conditions(engine: &Engine) -> BTreeMap<NamespacedName, Vec<Condition>> {
    let domains = engine.domain_conditions().into_iter();
    domains.map(|(key, (object, own))| (key, own.iter().map(|one| condition(one, object)).collect())).collect()
}

/// Condition `Held` of the members of which something is held, without times.
pub fn held_members(engine: &Engine) -> BTreeMap<ClusterName, Condition> {
    let members = engine.held_members().into_iter();
    // KubeFed's conditions of clusters have no `observedGeneration`.
    let condition = |one: &RecordCondition| Condition {
        last_transition_time: None,
        message: one.message.clone(),
        observed_generation: None,
        reason: one.reason.to_owned(),
        status: if one.status { "True" } else { "False" }.to_owned(),
        kind: one.condition_type.to_owned(),
    };
    members.map(|(name, one)| (name, condition(&one))).collect()
}

/// Conflict and Degraded are bad when they are true, Accepted when it is not.
fn is_warning(condition: &RecordCondition) -> bool {
    match condition.condition_type {
        "Conflict" | "Degraded" => condition.status,
        "Accepted" => !condition.status,
        _ => false,
    }
}

/// Every object that belongs into the host: DNSEndpoints in each of these API groups, then records with status,
/// each kind sorted by namespace and name.
pub fn host_objects(engine: &Engine, endpoint_groups: &[String]) -> List<HostObject> {
    let keys: Vec<&RecordKey> = engine.record_keys().collect();
    let mut endpoints: Vec<DnsEndpoint> = keys.iter().filter_map(|key| dns_endpoint(engine, key)).collect();
    endpoints.sort_by(|a, b| (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name)));
    let in_groups = endpoints.iter().flat_map(|endpoint| in_groups(endpoint, endpoint_groups));
    // Keys sort ingress records before service records, as their kinds do.
    let records = keys.iter().filter_map(|key| record(engine, key));
    List::new(in_groups.map(HostObject::DnsEndpoint).chain(records).collect())
}

/// Every group that is known has had its DNSEndpoint in v1alpha1 alone.
fn in_groups<'a>(endpoint: &'a DnsEndpoint, groups: &'a [String]) -> impl Iterator<Item = DnsEndpoint> + 'a {
    groups.iter().map(|group| DnsEndpoint { api_version: format!("{group}/v1alpha1").into(), ..endpoint.clone() })
}

/// The DNSEndpoint of a record; none if there is no such record.
pub fn dns_endpoint(engine: &Engine, key: &RecordKey) -> Option<DnsEndpoint> {
    let rrsets = engine.endpoints(key)?;
    let object = engine.object(key)?;
    let owner = OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: key.object_key().kind.as_str().to_owned(),
        name: key.name.name.to_string(),
        uid: object.uid.as_deref().unwrap_or_default().to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let metadata = Metadata {
        name: key.endpoint_name(),
        namespace: key.name.namespace.to_string(),
        owner_references: vec![owner],
        ..Metadata::default()
    };
    Some(DnsEndpoint::new(metadata, rrsets.into_iter().map(endpoint_item).collect()))
}

fn endpoint_item(rrset: EndpointRrset) -> EndpointItem {
    let labels = rrset.service_name.map(|name| ("serviceName".to_owned(), name));
    EndpointItem {
        dns_name: rrset.owner,
        labels: BTreeMap::from_iter(labels),
        record_ttl: i64::from(rrset.ttl),
        record_type: rrset.record_type,
        targets: rrset.targets,
    }
}

fn record(engine: &Engine, key: &RecordKey) -> Option<HostObject> {
    let object = engine.object(key)?;
    let status = engine.record_status(key)?;
    let conditions = status.conditions.iter().map(|one| condition(one, object)).collect();
    let dns = status.clusters.into_iter().map(cluster_dns).collect();
    let metadata = metadata(key, object);
    match &object.fact {
        Fact::ServiceRecord(spec) => {
            let spec = ServiceDnsRecordSpec {
                allow_service_without_endpoints: spec.allow_without_endpoints,
                dns_prefix: spec.dns_prefix.clone(),
                domain_ref: spec.domain_ref.to_string(),
                external_name: spec.external_name.clone(),
                record_ttl: spec.ttl,
            };
            let status = ServiceDnsRecordStatus { conditions, dns, domain: status.domain.unwrap_or_default() };
            let record = ServiceDnsRecord { status: Some(status), ..ServiceDnsRecord::new(metadata, spec) };
            Some(HostObject::ServiceRecord(record))
        }
        Fact::IngressRecord(spec) => {
            let spec = IngressDnsRecordSpec { hosts: spec.hosts.clone(), record_ttl: spec.ttl };
            let status = IngressDnsRecordStatus { conditions, dns };
            let record = IngressDnsRecord { status: Some(status), ..IngressDnsRecord::new(metadata, spec) };
            Some(HostObject::IngressRecord(record))
        }
        _ => None,
    }
}

fn metadata(key: &RecordKey, object: &Object) -> Metadata {
    Metadata {
        generation: object.object_generation,
        name: key.name.name.to_string(),
        namespace: key.name.namespace.to_string(),
        uid: object.uid.as_deref().map(str::to_owned),
        ..Metadata::default()
    }
}

fn condition(one: &RecordCondition, object: &Object) -> Condition {
    Condition {
        last_transition_time: None,
        message: one.message.clone(),
        observed_generation: Some(object.object_generation.unwrap_or_default()),
        reason: one.reason.to_owned(),
        status: if one.status { "True" } else { "False" }.to_owned(),
        kind: one.condition_type.to_owned(),
    }
}

fn cluster_dns(entry: ClusterEntry) -> ClusterDns {
    let text = |field: Option<std::sync::Arc<str>>| field.as_deref().unwrap_or_default().to_owned();
    let ingress = entry.items.into_iter();
    let ingress = ingress.map(|item| LoadBalancerIngress { ip: text(item.ip), hostname: text(item.hostname) });
    ClusterDns {
        cluster: entry.cluster.to_string(),
        load_balancer: LoadBalancerStatus { ingress: ingress.collect() },
        region: text(entry.region),
        availability_zones: entry.availability_zones.iter().map(ToString::to_string).collect(),
    }
}
