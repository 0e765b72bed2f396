//! The definitions hold what an API server demands of them, and what KubeFed accepted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;

/// What an API server allows a rule to cost by its own estimate (`StaticEstimatedCostLimit` of apiextensions-apiserver).
const MOST_FOR_A_RULE: u64 = 10_000_000;

/// A kind with its fields and their types, and what of them is required.
type Fields = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// As KubeFed v0.6.1 has them; DNSEndpoint as external-dns 0.21.
const OF_KUBEFED: &[Fields] = &[
    ("Domain", &[("domain", "string"), ("nameServer", "string")], &["domain"]),
    (
        "ServiceDNSRecord",
        &[
            ("spec.domainRef", "string"),
            ("spec.recordTTL", "integer"),
            ("spec.dnsPrefix", "string"),
            ("spec.externalName", "string"),
            ("spec.allowServiceWithoutEndpoints", "boolean"),
            ("status.domain", "string"),
            ("status.dns.[].cluster", "string"),
            ("status.dns.[].loadBalancer.ingress.[].ip", "string"),
            ("status.dns.[].loadBalancer.ingress.[].hostname", "string"),
            ("status.dns.[].zones.[]", "string"),
            ("status.dns.[].region", "string"),
        ],
        &["spec.domainRef"],
    ),
    (
        "IngressDNSRecord",
        &[
            ("spec.hosts.[]", "string"),
            ("spec.recordTTL", "integer"),
            ("status.dns.[].cluster", "string"),
            ("status.dns.[].loadBalancer", "object"),
        ],
        &[],
    ),
    (
        "DNSEndpoint",
        &[
            ("spec.endpoints.[].dnsName", "string"),
            ("spec.endpoints.[].targets.[]", "string"),
            ("spec.endpoints.[].recordType", "string"),
            ("spec.endpoints.[].recordTTL", "integer"),
            ("spec.endpoints.[].labels", "object"),
            ("spec.endpoints.[].setIdentifier", "string"),
            ("spec.endpoints.[].providerSpecific.[].name", "string"),
            ("spec.endpoints.[].providerSpecific.[].value", "string"),
            ("status.observedGeneration", "integer"),
        ],
        &[],
    ),
    (
        "KubeFedCluster",
        &[
            ("spec.apiEndpoint", "string"),
            ("spec.caBundle", "string"),
            ("spec.secretRef.name", "string"),
            ("spec.disabledTLSValidations.[]", "string"),
            ("spec.proxyURL", "string"),
            ("status.conditions.[].lastProbeTime", "string"),
            ("status.region", "string"),
            ("status.zones.[]", "string"),
        ],
        &["spec", "spec.apiEndpoint", "spec.secretRef", "spec.secretRef.name"],
    ),
];

fn schemas() -> BTreeMap<String, Value> {
    let named = |crd: Value| {
        let kind = crd["spec"]["names"]["kind"].as_str().expect("a kind").to_owned();
        (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    crds().into_iter().map(named).collect()
}

/// Calls `look` with every schema within, and its path.
fn walk(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    let below = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(&below(name), inner, look);
    }
    if let Some(items) = schema.get("items") {
        walk(&below("[]"), items, look);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(&below("{}"), values, look);
    }
}

#[test]
fn every_schema_is_structural_and_changes_no_object() {
    const ALLOWED: &[&str] = &[
        "type",
        "format",
        "description",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "nullable",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "maxLength",
        "maxItems",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for (kind, schema) in schemas() {
        walk("", &schema, &mut |path, schema| {
            assert!(schema["type"].is_string(), "{kind} {path} has no type of its own: {schema}");
            for member in schema.as_object().expect("a schema").keys() {
                assert!(ALLOWED.contains(&member.as_str()), "{kind} {path} has {member}");
            }
            let text = schema["description"].as_str();
            assert!(path.starts_with("metadata") || path.contains(['[', '{']) || text.is_some(), "{kind} {path}");
            assert!(text.is_none_or(|text| !text.contains("[`") && !text.contains('\n')), "{kind} {path}: {text:?}");
        });
    }
}

#[test]
fn what_kubefed_accepted_has_its_fields_and_nothing_more_is_required() {
    let schemas = schemas();
    assert_eq!(schemas.len(), OF_KUBEFED.len());
    for (kind, fields, required) in OF_KUBEFED {
        let mut found = BTreeMap::new();
        let mut demanded = BTreeSet::new();
        walk("", &schemas[*kind], &mut |path, schema| {
            found.insert(path.to_owned(), schema["type"].as_str().unwrap_or_default().to_owned());
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                demanded.insert(if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") });
            }
        });
        for (path, kind_of_value) in *fields {
            assert_eq!(found.get(*path).map(String::as_str), Some(*kind_of_value), "{kind} {path}");
        }
        // Of conditions, KubeFed required the time of the last probe too.
        demanded.retain(|path| !path.starts_with("status.conditions."));
        assert_eq!(demanded, required.iter().map(|path| (*path).to_owned()).collect(), "{kind}");
    }
}

#[test]
fn every_limit_has_a_field_to_hold() {
    for (kind, schema) in schemas() {
        let mut paths = BTreeSet::new();
        walk("", &schema, &mut |path, _| {
            paths.insert(path.to_owned());
        });
        for (path, _) in limits::of(&kind) {
            assert!(paths.contains(path), "{kind} has no {path}");
        }
    }
}

#[test]
fn ttls_and_lists_have_their_bounds() {
    let schemas = schemas();
    for (kind, pointer) in [
        ("ServiceDNSRecord", "/properties/spec/properties/recordTTL"),
        ("IngressDNSRecord", "/properties/spec/properties/recordTTL"),
        ("DNSEndpoint", "/properties/spec/properties/endpoints/items/properties/recordTTL"),
    ] {
        let ttl = schemas[kind].pointer(pointer).expect("a TTL");
        assert_eq!((&ttl["minimum"], &ttl["maximum"]), (&json!(0), &json!(2_147_483_647)), "{kind}");
    }
}

/// As apiextensions-apiserver estimates `matches`: a tenth of the octets of the longest string, of which a character may
/// have four, times a quarter of the pattern, for each item that there may be.
#[test]
fn no_rule_costs_more_than_an_api_server_allows() {
    let mut rules = 0;
    for (kind, schema) in schemas() {
        let mut items: BTreeMap<String, u64> = BTreeMap::new();
        walk("", &schema, &mut |path, schema| {
            items.insert(path.to_owned(), schema["maxItems"].as_u64().unwrap_or(0));
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let text = rule["rule"].as_str().expect("a rule");
                assert!(!rule["message"].as_str().expect("a message").is_empty());
                let length = schema["maxLength"].as_u64().or(schema["maxItems"].as_u64()).expect("a bound");
                let of_lists = path.match_indices(".[]").map(|(end, _)| items[&path[..end]]);
                let times: u64 = of_lists.product();
                assert!(times > 0, "{kind} {path} is in a list without an end");
                // Without a pattern a rule costs next to nothing.
                let pattern = text.split('\'').nth(1).map_or(0, str::len) as u64;
                let cost = (length * 4).div_ceil(10) * (pattern / 4 + 1) * times;
                assert!(cost < MOST_FOR_A_RULE, "{kind} {path}: {cost}");
                rules += 1;
            }
        });
    }
    assert!(rules > 5, "{rules}");
}

#[test]
fn names_are_shared_with_nobody() {
    // Short names of Kubernetes' own kinds, and of KubeFed's and external-dns'.
    let taken: BTreeSet<&str> =
        "cm cs ds deploy ep ev hpa ing limits netpol no ns pdb po pv pvc quota rc rs sa sc svc \
        sts cj csr crd crds pc fns fsvc fing ingressclass"
            .split_whitespace()
            .collect();
    let mut seen = BTreeSet::new();
    for crd in crds() {
        let names = &crd["spec"]["names"];
        for short in names["shortNames"].as_array().expect("short names") {
            let short = short.as_str().expect("a name").to_owned();
            assert!(!taken.contains(short.as_str()), "{short} is taken");
            assert!(seen.insert(short.clone()), "{short} is there twice");
        }
        assert_eq!(names["categories"], json!(["mcdns"]));
        assert_eq!(crd["spec"]["versions"][0]["subresources"], json!({"status": {}}));
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().expect("columns");
        assert!(columns.iter().any(|column| column["name"] == "Age" && column["type"] == "date"));
    }
}

#[test]
fn an_older_program_leaves_a_newer_definition_alone() {
    let standing = |version: &str| json!({"metadata": {"annotations": {VERSION_ANNOTATION: version}}});
    assert!(may_replace(&json!({"metadata": {"name": "domains.multiclusterdns.kubefed.io"}})));
    assert!(may_replace(&standing(&VERSION.to_string())));
    assert!(!may_replace(&standing(&(VERSION + 1).to_string())));
    assert!(!may_replace(&standing("2.0-beta")), "what cannot be read is from a version that is not known here");
    assert!(crds().iter().all(may_replace));
}
