//! A live host cluster, computed once: what `records`, `explain` and `clusters` show without a directory.
//!
//! The operator's kubeconfig reaches the host; the members it may not reach at all. What members have is taken from the
//! statuses of the records, which the holder of the Lease writes, so a cluster that has no target in a status shows as
//! one that has no such object.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use http::Request;
use kube::Client;
use mcdns_api::KubeFedCluster;
use mcdns_control::join::Failure;
use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
    model::{
        ClusterName, Endpoint, EndpointsFact, Fact, Kind, LoadBalancerItem, Object, ObjectKey, Observation, Scope,
    },
    records::{Engine, Options},
};
use mcdns_sources::objects;
use serde_json::Value;

use super::{
    core_options, kube_clients,
    load::{self, Loaded},
    small_runtime,
};
use crate::{
    args::{self, Host},
    federation::now,
    output::Output,
    settings::Settings,
};

/// Objects that are asked for at once.
const PAGE: usize = 500;
/// What counts in a host: API version, plural, kind, and whether the system namespace alone is looked at.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("core.kubefed.io/v1beta1", "kubefedclusters", "KubeFedCluster", true),
    ("multiclusterdns.kubefed.io/v1alpha1", "domains", "Domain", true),
    ("multiclusterdns.kubefed.io/v1alpha1", "servicednsrecords", "ServiceDNSRecord", false),
    ("multiclusterdns.kubefed.io/v1alpha1", "ingressdnsrecords", "IngressDNSRecord", false),
    ("multiclusterdns.kubefed.io/v1alpha1", "dnsendpoints", "DNSEndpoint", false),
    ("types.kubefed.io/v1beta1", "federatedservices", "FederatedService", false),
    ("types.kubefed.io/v1beta1", "federatedingresses", "FederatedIngress", false),
];

/// True if a live host is meant, where another reading is possible.
pub(super) fn is_meant(host: &Host) -> bool {
    host.kubeconfig.is_some() || host.context.is_some() || args::program_name() == "kubectl-mcdns"
}

/// Reads a host and computes what follows.
pub(super) fn load(host: &Host, settings: &Settings, output: Output) -> Result<Loaded> {
    let progress = output.progress("reading the host cluster");
    let read = read(host, settings);
    progress.finish_and_clear();
    let (observations, mut findings, _) = read?;
    let (options, more) = options(host, settings);
    findings.extend(more);
    let mut engine = Engine::new(options);
    engine.observe(&observations, Some(now()));
    let resolved = load::resolve_once(&engine)?;
    engine.observe(&resolved, Some(now()));
    // A host cluster may well be without a federation for now.
    findings.extend(engine.findings().into_iter().filter(|finding| finding.code != FindingCode::EmptyFederation));
    findings.sort();
    findings.dedup();
    Ok(Loaded { engine, findings, ignored: BTreeMap::new() })
}

/// The same, with the KubeFedClusters as they are written; host names are not resolved.
pub(super) fn clusters(
    host: &Host,
    settings: &Settings,
    output: Output,
) -> Result<(Engine, BTreeMap<String, KubeFedCluster>)> {
    let progress = output.progress("reading the host cluster");
    let read = read(host, settings);
    progress.finish_and_clear();
    let (observations, findings, clusters) = read?;
    let (options, _) = options(host, settings);
    let mut engine = Engine::new(options);
    engine.observe(&observations, Some(now()));
    output.findings(&findings);
    Ok((engine, clusters))
}

/// Addresses of the name server of the Domain that `name` is in; none where no Domain names one.
pub(super) fn name_servers(host: &Host, name: &OwnerName, settings: &Settings) -> Result<Vec<SocketAddr>> {
    let (observations, _, _) = read(host, settings)?;
    let domains = observations.iter().filter_map(|one| match one.object.as_deref().map(|object| &object.fact) {
        Some(Fact::Domain(domain)) => Some(domain),
        _ => None,
    });
    let above = domains.filter_map(|domain| Some((OwnerName::parse(&domain.domain).ok()?, domain)));
    let closest = above
        .filter(|(apex, _)| name.is_at_or_below(apex))
        .max_by_key(|(apex, _)| apex.label_count())
        .and_then(|(_, domain)| domain.name_server.clone());
    let Some(server) = closest else { return Ok(Vec::new()) };
    let found = (server.trim_end_matches('.'), 53).to_socket_addrs();
    Ok(found.with_context(|| format!("the name server {server} of the Domain has no address"))?.collect())
}

/// As the settings have it, but for the namespace that was named.
fn options(host: &Host, settings: &Settings) -> (Options, Vec<Finding>) {
    let (options, findings) = core_options(settings);
    let namespace = kube_clients::namespace(host.kubefed_namespace.as_deref(), settings);
    (Options { system_namespace: namespace.as_str().into(), ..options }, findings)
}

type Read = (Vec<Observation>, Vec<Finding>, BTreeMap<String, KubeFedCluster>);

fn read(host: &Host, settings: &Settings) -> Result<Read> {
    let namespace = kube_clients::namespace(host.kubefed_namespace.as_deref(), settings);
    let objects = small_runtime()?.block_on(async {
        let client = kube_clients::host(host).await?;
        let mut objects = Vec::new();
        let mut known = 0;
        for &(api_version, plural, kind, system) in KINDS {
            let place = if system { format!("namespaces/{namespace}/") } else { String::new() };
            let path = format!("/apis/{api_version}/{place}{plural}");
            let found = list(&client, &path, api_version, kind).await?;
            known += usize::from(found.is_some());
            objects.extend(found.into_iter().flatten());
        }
        if known == 0 {
            bail!(
                "the cluster knows none of the kinds of a federation\n  help: is this the host? Another context is named \
                 with --context; the CRDs are in deploy/crds"
            );
        }
        anyhow::Ok(objects)
    })?;
    let file: Arc<str> = "host".into();
    let selector = objects::managed_selector();
    let context = objects::Context { file: &file, scope: &Scope::Host, selector: &selector };
    let text = serde_json::to_vec(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}))?;
    let content = objects::read(&text, objects::Format::Json, &context)?;
    // Lines of a text that nobody has say nothing.
    let without_origin = |object: Arc<Object>| Arc::new(Object { origin: None, ..(*object).clone() });
    let mut observations: Vec<Observation> = content
        .objects
        .into_iter()
        .map(|(key, object)| Observation { key, object: Some(without_origin(object)) })
        .collect();
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let mut clusters = BTreeMap::new();
    for object in of_kind("KubeFedCluster") {
        let cluster: KubeFedCluster =
            serde_json::from_value(object.clone()).context("a KubeFedCluster cannot be read")?;
        observations.push(observed(ObjectKey::observed_member(&cluster.metadata.name.as_str().into()), Fact::Member));
        clusters.insert(cluster.metadata.name.clone(), cluster);
    }
    for record in of_kind("ServiceDNSRecord").chain(of_kind("IngressDNSRecord")) {
        observations.extend(told(record));
    }
    let findings = content.findings.into_iter().map(|finding| Finding { place: None, ..finding });
    Ok((observations, findings.collect(), clusters))
}

/// All objects of a kind, page by page; none if the host does not know it.
async fn list(client: &Client, path: &str, api_version: &str, kind: &str) -> Result<Option<Vec<Value>>> {
    let mut objects = Vec::new();
    let mut from = String::new();
    loop {
        let request = Request::get(format!("{path}?limit={PAGE}{from}")).body(Vec::new())?;
        let mut page: Value = match client.request(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(kube::Error::Api(status)) if status.code == 403 => bail!(
                "the host does not let you read every {kind}: {}\n  help: bind a ClusterRole that may list them",
                status.message
            ),
            Err(error) => {
                let failure = Failure(error);
                let context = format!("cannot read every {kind} of the host{}", failure.help());
                return Err(anyhow::Error::from(failure).context(context));
            }
            Ok(page) => page,
        };
        if let Value::Array(items) = page["items"].take() {
            objects.extend(items.into_iter().map(|mut item| {
                // The items of a list do not say what they are.
                item["apiVersion"] = api_version.into();
                item["kind"] = kind.into();
                item
            }));
        }
        match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => {
                from = format!("&continue={}", token.bytes().map(super::admin_port::escape).collect::<String>());
            }
            None => return Ok(Some(objects)),
        }
    }
}

/// What a record's status says of members, as if they had been observed.
fn told(record: &Value) -> Vec<Observation> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(Arc::<str>::from);
    let (Some(namespace), Some(name)) = (text(&record["metadata"]["namespace"]), text(&record["metadata"]["name"]))
    else {
        return Vec::new();
    };
    let mut observations = Vec::new();
    for entry in record["status"]["dns"].as_array().into_iter().flatten() {
        let Some(cluster): Option<ClusterName> = text(&entry["cluster"]) else { continue };
        let items = entry["loadBalancer"]["ingress"].as_array().into_iter().flatten();
        let items = items.map(|item| LoadBalancerItem { ip: text(&item["ip"]), hostname: text(&item["hostname"]) });
        let items: Vec<LoadBalancerItem> = items.collect();
        if items.is_empty() {
            continue;
        }
        let mut add =
            |kind, fact| observations.push(observed(ObjectKey::member(&cluster, kind, &namespace, &name), fact));
        if record["kind"] == "IngressDNSRecord" {
            add(Kind::Ingress, Fact::LoadBalancer(items));
            continue;
        }
        add(Kind::Service, Fact::LoadBalancer(items));
        // What stands in a status has been found to have a ready backend, whose address nobody asks for.
        let backend = Endpoint { address: Some(IpAddr::from([0, 0, 0, 0])), ready: true };
        add(Kind::Endpoints, Fact::Endpoints(EndpointsFact { service: name.clone(), endpoints: Box::new([backend]) }));
    }
    observations
}

fn observed(key: ObjectKey, fact: Fact) -> Observation {
    Observation { key, object: Some(Arc::new(Object::new(fact))) }
}
