//! Objects that scenarios write, as users and cloud controllers write them.

use serde_json::{Value, json};

use crate::{Api, api::kinds};

/// Where Domains and clusters are.
pub const SYSTEM: &str = "kube-federation-system";

/// The label of objects that KubeFed propagates; others do not exist for it.
const MANAGED: &str = "kubefed.io/managed";

/// A Domain.
pub fn domain(name: &str, apex: &str) -> Value {
    json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "Domain",
        "metadata": {"name": name, "namespace": SYSTEM}, "domain": apex})
}

/// A ServiceDNSRecord, `namespace/name`, with more of a spec.
pub fn service_record(name: &str, domain: &str, more: &Value) -> Value {
    let mut spec = json!({"domainRef": domain});
    merge(&mut spec, more);
    record("ServiceDNSRecord", name, &spec)
}

/// An IngressDNSRecord, `namespace/name`.
pub fn ingress_record(name: &str, hosts: &[&str], ttl: u32) -> Value {
    record("IngressDNSRecord", name, &json!({"hosts": hosts, "recordTTL": ttl}))
}

/// A FederatedService or FederatedIngress that places into these clusters.
pub fn federated(kind: &str, name: &str, clusters: &[&str]) -> Value {
    let (namespace, name) = split(name);
    let clusters: Vec<Value> = clusters.iter().map(|cluster| json!({"name": cluster})).collect();
    json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": {}}, "placement": {"clusters": clusters}}})
}

/// A Service of type `LoadBalancer` that is propagated.
#[track_caller]
pub fn service(name: &str) -> Value {
    let (namespace, name) = split(name);
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED: "true"}},
        // A range of ports of nodes is soon used up, and nobody goes there.
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
            "selector": {"app": name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})
}

/// The EndpointSlice of a Service, as the controller of slices writes it.
#[track_caller]
pub fn slice(name: &str, addresses: &[&str], ready: bool) -> Value {
    let (namespace, name) = split(name);
    let endpoints: Vec<Value> =
        addresses.iter().map(|address| json!({"addresses": [address], "conditions": {"ready": ready}})).collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{name}-1"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name, MANAGED: "true"}},
        "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})
}

/// What a cluster's load balancer says: addresses and host names.
pub fn load_balancer(targets: &[&str]) -> Value {
    let target = |target: &&str| match target.parse::<std::net::IpAddr>() {
        Ok(_) => json!({"ip": target}),
        Err(_) => json!({"hostname": target}),
    };
    json!({"ingress": targets.iter().map(target).collect::<Vec<Value>>()})
}

impl Api {
    /// A Service of type `LoadBalancer` with one ready endpoint, whose load balancer has these targets.
    #[track_caller]
    pub fn serve(&self, name: &str, targets: &[&str]) {
        self.service(name);
        self.slice(name, &["192.0.2.80"], true);
        self.balance(kinds::SERVICE, name, targets);
    }

    /// A Service of type `LoadBalancer` that is propagated, in its namespace.
    #[track_caller]
    pub fn service(&self, name: &str) {
        self.namespace(split(name).0);
        self.apply(kinds::SERVICE, &service(name));
    }

    /// The EndpointSlice of a Service.
    #[track_caller]
    pub fn slice(&self, name: &str, addresses: &[&str], ready: bool) {
        self.apply(kinds::ENDPOINT_SLICE, &slice(name, addresses, ready));
    }

    /// The Endpoints of a Service, as KubeFed's own tests write them.
    #[track_caller]
    pub fn endpoints(&self, name: &str) {
        let (namespace, name) = split(name);
        self.apply(
            kinds::ENDPOINTS,
            &json!({"apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED: "true"}},
                "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]}),
        );
    }

    /// An Ingress that is propagated, whose load balancer has these targets.
    #[track_caller]
    pub fn ingress(&self, name: &str, host: &str, targets: &[&str]) {
        let (namespace, short) = split(name);
        self.namespace(namespace);
        let backend = json!({"service": {"name": short, "port": {"number": 80}}});
        self.apply(
            kinds::INGRESS,
            &json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": short, "namespace": namespace, "labels": {MANAGED: "true"}},
                "spec": {"rules": [{"host": host, "http": {"paths":
                    [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
        );
        self.balance(kinds::INGRESS, name, targets);
    }

    /// Writes what a load balancer has through the status subresource, as a cloud controller does.
    #[track_caller]
    pub fn balance(&self, kind: crate::api::Kind, name: &str, targets: &[&str]) {
        self.patch(kind, name, "status", &json!({"status": {"loadBalancer": load_balancer(targets)}}));
    }

    /// A Node with the labels of its region and availability zone.
    #[track_caller]
    pub fn node(&self, name: &str, region: &str, availability_zone: &str) {
        self.apply(
            kinds::NODE,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
                "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": availability_zone}}}),
        );
    }
}

/// Puts the members of `more` into `into`, recursively.
pub fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn record(kind: &str, name: &str, spec: &Value) -> Value {
    let (namespace, name) = split(name);
    json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

#[track_caller]
fn split(name: &str) -> (&str, &str) {
    name.split_once('/').expect("a name with its namespace")
}
