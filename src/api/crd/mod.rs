//! The definitions (`CustomResourceDefinition`) of the federation's kinds, made from the Rust types.
//!
//! ```text
//!   Rust type ── schemars ──► JSON schema ── structural ──► limits, rules ── frame ──► CustomResourceDefinition
//!                                            (shape.rs)      (limits.rs)    (here)
//! ```
//!
//! * What KubeFed v0.6.1 accepted stays valid: nothing is required that was not, and nothing has a default. What is
//!   refused beyond its schema are values that could never have worked there: a TTL that no message can carry
//!   (RFC 2181 section 8), names that are none (RFC 1123 section 2.1).
//! * A definition carries [`VERSION_ANNOTATION`]. Each change of a schema counts [`VERSION`] up, and only adds: so an old
//!   and a new mcdns may run side by side on the newer definition, and whoever installs asks [`may_replace`] first.
//! * Only what Kubernetes 1.25 knows is used, so that one set of definitions fits every host. An older API server leaves
//!   the rules away (they are gated there) and keeps the limits.

mod limits;
mod shape;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::{dns, federation};

/// Counts up with every change of a schema here.
pub const VERSION: u32 = 1;

/// Annotation of a definition with the [`VERSION`] that it was made by.
pub const VERSION_ANNOTATION: &str = "mcdns.io/crd-version";

/// Category of all kinds: `kubectl get mcdns`. They are not in `all`, which people take for "my workloads" and which
/// fails for those who may not read the federation.
const CATEGORY: &str = "mcdns";

/// Group, version and what else a kind is called.
struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    /// None of them is taken by Kubernetes, KubeFed or external-dns.
    short_names: &'static [&'static str],
    /// What the definition says of itself.
    description: &'static str,
    columns: &'static [Column],
    /// `properties` beside `apiVersion`, `kind` and `metadata`, and which of them are required.
    fields: fn() -> (Value, &'static [&'static str]),
}

/// A column of `kubectl get`. A path finds, it cannot count: what is counted stands in a condition's message.
struct Column {
    name: &'static str,
    path: &'static str,
    description: &'static str,
    /// `string` or `date`.
    kind: &'static str,
    /// Shown with `-o wide` alone.
    wide: bool,
}

const READY: &str = r#".status.conditions[?(@.type=="Ready")].status"#;
const READY_REASON: &str = r#".status.conditions[?(@.type=="Ready")].reason"#;
const READY_MESSAGE: &str = r#".status.conditions[?(@.type=="Ready")].message"#;
const DEGRADED_REASON: &str = r#".status.conditions[?(@.type=="Degraded")].reason"#;
const DEGRADED_MESSAGE: &str = r#".status.conditions[?(@.type=="Degraded")].message"#;
const HELD_MESSAGE: &str = r#".status.conditions[?(@.type=="Held")].message"#;

const AGE: Column = Column {
    name: "Age",
    path: ".metadata.creationTimestamp",
    description: "Since when the object is there",
    kind: "date",
    wide: false,
};

const KINDS: &[Kind] = &[
    Kind {
        group: "core.kubefed.io",
        version: "v1beta1",
        name: "KubeFedCluster",
        plural: "kubefedclusters",
        short_names: &["kfc"],
        description: "A member of the federation: how its API server is reached, and what is known of it.",
        columns: &[
            column("Ready", READY, "Whether the cluster answers as healthy"),
            column("Reason", READY_REASON, "Why it is ready or not"),
            column("Region", ".status.region", "Region of its nodes"),
            column("Zones", ".status.zones", "Availability zones of its nodes"),
            column("Cordoned", r".metadata.annotations.mcdns\.io/cordon", "Taken out of all answers by a person"),
            wide("Message", READY_MESSAGE, "What the last probe found"),
            wide("Endpoint", ".spec.apiEndpoint", "Its API server"),
            AGE,
        ],
        fields: || (shape::spec_and_status::<federation::ClusterSpec, federation::ClusterStatus>(), &["spec"]),
    },
    Kind {
        group: "multiclusterdns.kubefed.io",
        version: "v1alpha1",
        name: "DNSEndpoint",
        plural: "dnsendpoints",
        short_names: &["dnsep"],
        description: "RRsets that external-dns or another publisher takes from the host.",
        columns: &[
            column("First name", ".spec.endpoints[0].dnsName", "Owner name of the first RRset"),
            column("Type", ".spec.endpoints[0].recordType", "Its type"),
            column("Targets", ".spec.endpoints[0].targets", "What it leads to"),
            wide("Observed", ".status.observedGeneration", "Generation that a publisher has seen"),
            AGE,
        ],
        fields: || (shape::spec_and_status::<dns::DnsEndpointSpec, limits::DnsEndpointStatus>(), &[]),
    },
    Kind {
        group: "multiclusterdns.kubefed.io",
        version: "v1alpha1",
        name: "Domain",
        plural: "domains",
        short_names: &["dom"],
        description: "A zone that names are made in. It counts in the system namespace only.",
        columns: &[
            column("Domain", ".domain", "Apex of the zone"),
            column("Name server", ".nameServer", "Its name server, where it names one"),
            column("Ready", READY, "Whether the zone is served"),
            column("Reason", READY_REASON, "Why it is or is not"),
            wide("Held", HELD_MESSAGE, "Changes that wait for a person"),
            AGE,
        ],
        fields: || (shape::top_level::<dns::Domain>(), &["domain"]),
    },
    Kind {
        group: "multiclusterdns.kubefed.io",
        version: "v1alpha1",
        name: "IngressDNSRecord",
        plural: "ingressdnsrecords",
        short_names: &["idr"],
        description: "Asks for names of the Ingress of the same namespace and name.",
        columns: &[
            column("Hosts", ".spec.hosts", "Names that are asked for"),
            column("Ready", READY, "Whether a name with addresses is served"),
            column("Serves", READY_MESSAGE, "Addresses and clusters in use, or why there are none"),
            column("State", DEGRADED_REASON, "Complete, or what is missing"),
            wide("Missing", DEGRADED_MESSAGE, "All that is missing"),
            AGE,
        ],
        fields: || (shape::spec_and_status::<dns::IngressDnsRecordSpec, dns::IngressDnsRecordStatus>(), &[]),
    },
    Kind {
        group: "multiclusterdns.kubefed.io",
        version: "v1alpha1",
        name: "ServiceDNSRecord",
        plural: "servicednsrecords",
        short_names: &["sdr"],
        description: "Asks for the names of the Service of the same namespace and name.",
        columns: &[
            column("Domain", ".status.domain", "Apex that the names are made below"),
            column("Ready", READY, "Whether a name with addresses is served"),
            column("Serves", READY_MESSAGE, "Addresses and clusters in use, or why there are none"),
            column("State", DEGRADED_REASON, "Complete, or what is missing"),
            wide("Missing", DEGRADED_MESSAGE, "All that is missing"),
            AGE,
        ],
        fields: || (shape::spec_and_status::<dns::ServiceDnsRecordSpec, dns::ServiceDnsRecordStatus>(), &[]),
    },
];

/// Every definition, complete, sorted by group and kind.
pub fn crds() -> Vec<Value> {
    KINDS.iter().map(definition).collect()
}

/// Whether this program's definition may take the place of the one that stands in the host. One of a newer mcdns stays:
/// an old program, or one that was rolled back, works with it. One without the annotation is KubeFed's, which every
/// version here extends.
pub fn may_replace(standing: &Value) -> bool {
    let version = &standing["metadata"]["annotations"][VERSION_ANNOTATION];
    match version.as_str().map(str::parse::<u32>) {
        None => true,
        Some(version) => version.is_ok_and(|version| version <= VERSION),
    }
}

fn definition(kind: &Kind) -> Value {
    let Kind { group, version, name, plural, short_names, .. } = kind;
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {VERSION_ANNOTATION: VERSION.to_string()},
            "labels": {"app.kubernetes.io/name": "mcdns", "app.kubernetes.io/component": "crds"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": format!("{name}List"),
                "plural": plural,
                "singular": name.to_ascii_lowercase(),
                "shortNames": short_names,
                "categories": [CATEGORY],
            },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": kind.columns.iter().map(Column::written).collect::<Vec<_>>(),
                "schema": {"openAPIV3Schema": schema(kind)},
            }],
        },
    })
}

fn schema(kind: &Kind) -> Value {
    let (mut properties, required) = (kind.fields)();
    properties["apiVersion"] = json!({"type": "string", "description": "Group and version of the object."});
    properties["kind"] = json!({"type": "string", "description": "Kind of the object."});
    properties["metadata"] = json!({"type": "object"});
    let mut schema = json!({"type": "object", "description": kind.description, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    limits::put(kind.name, &mut schema);
    schema
}

impl Column {
    fn written(&self) -> Value {
        let mut column = json!({
            "name": self.name,
            "type": self.kind,
            "jsonPath": self.path,
            "description": self.description,
        });
        if self.wide {
            column["priority"] = json!(1);
        }
        column
    }
}

const fn column(name: &'static str, path: &'static str, description: &'static str) -> Column {
    Column { name, path, description, kind: "string", wide: false }
}

const fn wide(name: &'static str, path: &'static str, description: &'static str) -> Column {
    Column { name, path, description, kind: "string", wide: true }
}
