//! What a schema says beyond types: bounds, names, rules, and fields that others write and nothing here reads.
//!
//! A name that a person writes has a rule (CEL) in place of a pattern, because a rule says in words what is wrong. The
//! cost of a rule is what an API server estimates beforehand from the bounds: so each string with a rule has a longest
//! length, and lists have a most of items, far above what fits into one object. A test holds the estimate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `status` of a DNSEndpoint, which its consumer writes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DnsEndpointStatus {
    /// `metadata.generation` that the consumer has seen.
    observed_generation: Option<i64>,
}

/// Longest name in text, with a dot at its end (RFC 1035 section 2.3.4).
const LONGEST_NAME: u32 = 254;
/// Largest TTL (RFC 2181 section 8).
const LARGEST_TTL: u32 = 2_147_483_647;
/// Hosts in one record: as many as an API server lets the rule for each of them cost.
const MOST_HOSTS: u32 = 4_000;

/// Letters, digits and hyphens, in RE2 with letters of either case.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
/// Names of most Kubernetes objects (RFC 1123 subdomains).
const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Names of namespaces (RFC 1123 labels).
const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Puts the limits of a kind into its schema.
pub(super) fn put(kind: &str, schema: &mut Value) {
    for (path, members) in of(kind) {
        let pointer: String = path.split('.').map(step).collect();
        let Some(Value::Object(place)) = schema.pointer_mut(&pointer) else { continue };
        if let Value::Object(members) = members {
            for (name, value) in members {
                match (place.get_mut(&name), value) {
                    (Some(Value::Object(there)), Value::Object(more)) if name == "properties" => there.extend(more),
                    (_, value) => {
                        place.insert(name, value);
                    }
                }
            }
        }
    }
}

/// Paths of fields, with what is put beside their types. `[]` stands for the items of a list.
pub(super) fn of(kind: &str) -> Vec<(&'static str, Value)> {
    let ttl = json!({"minimum": 0, "maximum": LARGEST_TTL});
    let mut limits = match kind {
        "Domain" => vec![
            ("domain", name("^L([.]L)*[.]?$", "a domain is a DNS name such as example.com")),
            (
                "nameServer",
                name(
                    "^(L([.]L)*[.]?|[0-9A-Fa-f:.]*)$",
                    "a name server is a host name such as ns1.example.com, or an IP address",
                ),
            ),
            ("allowedNamespaces", json!({"x-kubernetes-list-type": "set"})),
            ("allowedNamespaces.[]", json!({"pattern": NAMESPACE, "maxLength": 63})),
        ],
        "ServiceDNSRecord" => vec![
            ("spec", json!({"required": ["domainRef"]})),
            ("spec.domainRef", json!({"pattern": OBJECT_NAME, "maxLength": 253})),
            ("spec.recordTTL", ttl),
            (
                "spec.dnsPrefix",
                name("^(L([.]L)*)?$", "a prefix is one or more labels of letters, digits and hyphens, such as www"),
            ),
            (
                "spec.externalName",
                name(
                    "^(L([.]L)*)?$",
                    "it takes the place of the first label: letters, digits and hyphens, such as web",
                ),
            ),
        ],
        "IngressDNSRecord" => {
            vec![("spec.recordTTL", ttl), ("spec.hosts", json!({"maxItems": MOST_HOSTS})), ("spec.hosts.[]", host())]
        }
        "DNSEndpoint" => vec![
            ("spec.endpoints.[].recordTTL", ttl),
            // As external-dns 0.21 has them: a DNSEndpoint may be written by others and for its providers.
            (
                "spec.endpoints.[]",
                json!({"properties": {
                    "setIdentifier": {
                        "type": "string",
                        "description": "Tells apart RRsets of one name and type, for providers with routing policies.",
                    },
                    "providerSpecific": {
                        "type": "array",
                        "description": "What a provider understands beyond DNS.",
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": {"type": "string", "description": "Name of the property."},
                                "value": {"type": "string", "description": "Its value."},
                            },
                        },
                    },
                }}),
            ),
        ],
        "KubeFedCluster" => vec![
            (
                "spec",
                json!({"required": ["apiEndpoint", "secretRef"], "properties": {
                    "proxyURL": {"type": "string", "description": "Proxy that the API server is reached through."},
                }}),
            ),
            ("spec.apiEndpoint", json!({"maxLength": 4096})),
            ("spec.caBundle", json!({"format": "byte"})),
            ("spec.secretRef", json!({"required": ["name"]})),
            ("spec.secretRef.name", json!({"pattern": OBJECT_NAME, "maxLength": 253})),
            (
                "spec.disabledTLSValidations",
                json!({
                    "maxItems": 16,
                    "x-kubernetes-validations": [rule("!('*' in self) || self.size() == 1", "* stands alone")],
                }),
            ),
            ("spec.disabledTLSValidations.[]", json!({"enum": ["*", "SubjectName", "ValidityPeriod"]})),
            ("status.region", json!({"nullable": true})),
            ("status.conditions.[]", json!({"required": ["type", "status"]})),
            ("status.conditions.[].lastProbeTime", json!({"format": "date-time"})),
            ("status.conditions.[].lastTransitionTime", json!({"format": "date-time"})),
        ],
        _ => Vec::new(),
    };
    if matches!(kind, "Domain" | "ServiceDNSRecord" | "IngressDNSRecord") {
        limits.extend([
            (
                "status.conditions",
                // So that several writers may each have a condition of their own.
                json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
            ),
            ("status.conditions.[]", json!({"required": ["type", "status"]})),
            ("status.conditions.[].status", json!({"enum": ["True", "False", "Unknown"]})),
            ("status.conditions.[].lastTransitionTime", json!({"format": "date-time"})),
        ]);
    }
    if matches!(kind, "ServiceDNSRecord" | "IngressDNSRecord") {
        // KubeFed's definitions before v0.6.0 had no type here: `ports` and `ipMode` of a load balancer were kept.
        limits.push(("status.dns.[].loadBalancer", json!({"x-kubernetes-preserve-unknown-fields": true})));
        limits.push(("status.dns.[].loadBalancer.ingress.[]", json!({"x-kubernetes-preserve-unknown-fields": true})));
    }
    limits
}

fn host() -> Value {
    let mut host = name(
        "^([*][.])?L([.]L)*[.]?$",
        "a host is a DNS name such as www.example.com, with * as its first label or nowhere",
    );
    let all_digits = rule("!self.matches('^[0-9]+([.][0-9]+){3}[.]?$')", "an IP address is no host name");
    if let Some(rules) = host["x-kubernetes-validations"].as_array_mut() {
        rules.push(all_digits);
    }
    host
}

/// A string that `pattern` must match; `L` in it is a label.
fn name(pattern: &str, message: &str) -> Value {
    let pattern = pattern.replace('L', LABEL);
    json!({
        "maxLength": LONGEST_NAME,
        "x-kubernetes-validations": [rule(&format!("self.matches('(?i){pattern}')"), message)],
    })
}

fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// `/properties/NAME` or `/items`.
fn step(part: &str) -> String {
    if part == "[]" { "/items".to_owned() } else { format!("/properties/{part}") }
}
