//! Tables of objects: what becomes of good ones, and what is said about bad ones.

use super::*;

fn context_read(text: &str, format: Format, scope: &Scope) -> Result<Content, SyntaxError> {
    let file: Arc<str> = "f".into();
    read(text.as_bytes(), format, &Context { file: &file, scope, selector: &managed_selector() })
}

fn host(text: &str) -> Content {
    context_read(text, Format::Yaml, &Scope::Host).expect("good syntax")
}

fn member(text: &str) -> Content {
    context_read(text, Format::Yaml, &member_scope("c1")).expect("good syntax")
}

/// The one fact of a text in which nothing is wrong.
fn fact(content: &Content) -> String {
    assert!(content.findings.is_empty(), "{:#?}", content.findings);
    assert_eq!(content.objects.len(), 1, "{content:#?}");
    format!("{:?}", content.objects[0].1.fact)
}

fn complaints(content: &Content) -> Vec<String> {
    content.findings.iter().map(ToString::to_string).collect()
}

fn keys(content: &Content) -> Vec<String> {
    content
        .objects
        .iter()
        .map(|(key, object)| format!("{}: {key}", object.origin.as_ref().map_or(0, |origin| origin.line)))
        .collect()
}

const DNS: &str = "apiVersion: multiclusterdns.kubefed.io/v1alpha1\n";
const META: &str = "metadata: {name: web, namespace: shop}\n";
const MANAGED: &str = "metadata: {name: web, namespace: shop, labels: {kubefed.io/managed: \"true\"}}\n";

#[test]
fn every_host_kind_becomes_its_fact() {
    for (text, expected) in [
        (
            format!(
                "{DNS}kind: Domain\nmetadata: {{name: galactic, namespace: fed, annotations: {{mcdns.io/release: abc, \
                 other: x}}}}\ndomain: Example.com\nnameServer: 192.0.2.1\nallowedNamespaces: [shop]\nunknown: 1\n"
            ),
            "Domain(DomainFact { domain: \"Example.com\", name_server: Some(\"192.0.2.1\"), allowed_namespaces: \
             Some([\"shop\"]), release: Some(\"abc\") })",
        ),
        (
            format!(
                "{DNS}kind: ServiceDNSRecord\n{META}spec: {{domainRef: galactic, recordTTL: 300, dnsPrefix: foo, \
                 externalName: bar, allowServiceWithoutEndpoints: true}}\nstatus: {{dns: wrong but not read}}\n"
            ),
            "ServiceRecord(ServiceRecordFact { domain_ref: \"galactic\", ttl: 300, dns_prefix: \"foo\", external_name: \
             \"bar\", allow_without_endpoints: true })",
        ),
        (
            format!("{DNS}kind: ServiceDNSRecord\n{META}"),
            "ServiceRecord(ServiceRecordFact { domain_ref: \"\", ttl: 0, dns_prefix: \"\", external_name: \"\", \
             allow_without_endpoints: false })",
        ),
        (
            format!("{DNS}kind: IngressDNSRecord\n{META}spec: {{hosts: [a.example, '*.b.example'], recordTTL: -5}}\n"),
            "IngressRecord(IngressRecordFact { hosts: [\"a.example\", \"*.b.example\"], ttl: -5 })",
        ),
        (
            format!(
                "{DNS}kind: DNSEndpoint\n{META}spec: {{endpoints: [{{dnsName: a.example, recordType: A, recordTTL: 60, \
                 targets: [192.0.2.1], labels: {{a: b}}}}, {{}}]}}\n"
            ),
            "ForeignRrsets([ForeignRrset { owner: \"a.example\", record_type: \"A\", targets: [\"192.0.2.1\"], ttl: 60 \
             }, ForeignRrset { owner: \"\", record_type: \"\", targets: [], ttl: 0 }])",
        ),
        (
            "apiVersion: core.kubefed.io/v1beta1\nkind: KubeFedCluster\nmetadata: {name: c1, namespace: fed, labels: \
             {tier: edge}}\nstatus:\n  conditions:\n  - {type: Offline, status: 'False'}\n  - {type: Ready, status: \
             'True', reason: ClusterReady, lastTransitionTime: 1970-01-01T00:00:01Z}\n  region: us\n  zones: [us2, us1]\n"
                .to_owned(),
            "Cluster(ClusterFact { ready: Some(Condition { status: True, since: Some(Timestamp(1000)), reason: \
             Some(\"ClusterReady\") }), offline: Some(Condition { status: False, since: None, reason: None }), region: \
             Some(\"us\"), availability_zones: [\"us2\", \"us1\"], labels: {\"tier\": \"edge\"}, cordoned: false, release: None })",
        ),
        (
            "apiVersion: core.kubefed.io/v1alpha1\nkind: KubeFedCluster\nmetadata: {name: c1}\nstatus: {conditions: \
             [{type: Ready, status: Strange}], region: null}\n"
                .to_owned(),
            "Cluster(ClusterFact { ready: Some(Condition { status: Unknown, since: None, reason: None }), offline: \
             None, region: None, availability_zones: [], labels: {}, cordoned: false, release: None })",
        ),
        (
            format!(
                "apiVersion: core.kubefed.io/v1alpha1\nkind: FederatedServiceStatus\n{META}clusterStatus:\n- \
                 {{clusterName: c2, status: {{loadBalancer: {{ingress: [{{ip: 192.0.2.1, hostname: ''}}]}}}}}}\n- \
                 {{clusterName: c1}}\n"
            ),
            "ServiceStatus([(\"c2\", [LoadBalancerItem { ip: Some(\"192.0.2.1\"), hostname: None }]), (\"c1\", [])])",
        ),
        (
            format!(
                "apiVersion: types.kubefed.io/v1beta1\nkind: FederatedService\n{META}spec: {{template: {{any: 1}}, \
                 placement: {{clusters: [{{name: c1}}], clusterSelector: {{matchLabels: {{a: b}}, matchExpressions: \
                 [{{key: x, operator: Exists}}]}}}}}}\n"
            ),
            "Placement(PlacementFact { clusters: Some([\"c1\"]), selector: Some(LabelSelector { requirements: \
             [LabelRequirement { key: \"a\", operator: In, values: [\"b\"] }, LabelRequirement { key: \"x\", operator: \
             Exists, values: [] }] }) })",
        ),
        (
            format!(
                "apiVersion: types.kubefed.io/v1alpha1\nkind: FederatedIngress\n{META}spec: {{placement: \
                 {{clusterNames: [c1]}}}}\n"
            ),
            "Placement(PlacementFact { clusters: Some([\"c1\"]), selector: None })",
        ),
        (
            format!("apiVersion: types.kubefed.io/v1beta1\nkind: FederatedService\n{META}spec: {{template: {{}}}}\n"),
            "Placement(PlacementFact { clusters: None, selector: None })",
        ),
    ] {
        assert_eq!(fact(&host(&text)), expected, "{text}");
    }
}

#[test]
fn every_member_kind_becomes_its_fact() {
    let balanced = "LoadBalancer([LoadBalancerItem { ip: Some(\"192.0.2.1\"), hostname: None }, LoadBalancerItem { ip: \
                    None, hostname: Some(\"a.elb\") }])";
    let status = "status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: VIP}, {hostname: a.elb, ports: []}]}}\n";
    let labels = "{kubefed.io/managed: \"true\", kubernetes.io/service-name: web}";
    let slice = "endpoints:\n- {addresses: [192.0.2.1, 192.0.2.2], conditions: {ready: false, serving: true}}\n- \
                 {addresses: ['2001:db8::1'], conditions: {ready: null}}\n- {addresses: [192.0.2.3], nodeName: n}\n";
    let sliced = "Endpoints(EndpointsFact { service: \"web\", endpoints: [Endpoint { address: Some(192.0.2.1), ready: \
                  false }, Endpoint { address: Some(192.0.2.2), ready: false }, Endpoint { address: \
                  Some(2001:db8::1), ready: true }, Endpoint { address: Some(192.0.2.3), ready: true }] })";
    for (text, expected) in [
        (format!("apiVersion: v1\nkind: Service\n{MANAGED}{status}"), balanced),
        (format!("apiVersion: v1\nkind: Service\n{MANAGED}status: {{loadBalancer: {{}}}}\n"), "LoadBalancer([])"),
        (format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\n{MANAGED}{status}"), balanced),
        (format!("apiVersion: networking.k8s.io/v1beta1\nkind: Ingress\n{MANAGED}{status}"), balanced),
        (format!("apiVersion: extensions/v1beta1\nkind: Ingress\n{MANAGED}{status}"), balanced),
        (
            format!(
                "apiVersion: v1\nkind: Endpoints\n{MANAGED}subsets:\n- {{notReadyAddresses: [{{ip: 192.0.2.9}}], ports: \
                 [{{port: 80}}]}}\n- {{addresses: [{{ip: 192.0.2.1, nodeName: n}}]}}\n"
            ),
            "Endpoints(EndpointsFact { service: \"web\", endpoints: [Endpoint { address: Some(192.0.2.9), ready: false \
             }, Endpoint { address: Some(192.0.2.1), ready: true }] })",
        ),
        (
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: {labels}}}\n{slice}"
            ),
            sliced,
        ),
        (
            format!(
                "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: \
                 {labels}}}\n{slice}"
            ),
            sliced,
        ),
        (
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: \
                 {labels}}}\naddressType: FQDN\nendpoints: [{{addresses: [a.example]}}]\n"
            ),
            "Endpoints(EndpointsFact { service: \"web\", endpoints: [Endpoint { address: None, ready: true }] })",
        ),
        (
            "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/region: us, \
             failure-domain.beta.kubernetes.io/zone: us1}}\n"
                .to_owned(),
            "Node(NodeFact { region: Some(\"us\"), availability_zone: Some(\"us1\") })",
        ),
    ] {
        assert_eq!(fact(&member(&text)), expected, "{text}");
    }
}

#[test]
fn objects_that_do_not_exist_for_us_are_passed_over() {
    for text in [
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nstatus: 5\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {kubefed.io/managed: 'false'}}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {kubefed.io/managed: 'true'}, deletionTimestamp: \
         2021-01-25T12:00:00Z}\n",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web, labels: {kubefed.io/managed: \
         'true'}}\n",
        "",
        "---\n---\n# nothing\n",
        "apiVersion: v1\nkind: List\nitems: []\n",
        "apiVersion: v1\nkind: ServiceList\nitems: null\n",
    ] {
        let content = member(text);
        assert!(content.objects.is_empty() && content.findings.is_empty(), "{text}{content:#?}");
    }
}

// Case S7 of the table of statuses; the others stand in the tests of core, which never sees such a Service.
#[test]
fn s7_a_service_without_the_managed_label_is_not_seen() {
    let status = "status: {loadBalancer: {ingress: [{ip: 10.20.30.1}]}}\n";
    let labelled = member(&format!("apiVersion: v1\nkind: Service\n{MANAGED}{status}"));
    let unlabelled = member(&format!("apiVersion: v1\nkind: Service\n{META}{status}"));
    assert_eq!((labelled.objects.len(), unlabelled.objects.len()), (1, 0));
    assert!(unlabelled.findings.is_empty(), "{:?}", unlabelled.findings);
}

#[test]
fn any_selector_may_be_set() {
    let file: Arc<str> = "f".into();
    let text = b"apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {tier: edge}}\n";
    let count = |requirements: Vec<LabelRequirement>| {
        let selector = LabelSelector { requirements };
        let context = Context { file: &file, scope: &member_scope("c1"), selector: &selector };
        read(text, Format::Yaml, &context).expect("good syntax").objects.len()
    };
    let requirement = |operator, values: &[&str]| LabelRequirement {
        key: "tier".to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    assert_eq!(count(Vec::new()), 1);
    assert_eq!(count(vec![requirement(LabelOperator::In, &["core", "edge"])]), 1);
    assert_eq!(count(vec![requirement(LabelOperator::NotIn, &["edge"])]), 0);
    assert_eq!(count(vec![requirement(LabelOperator::Exists, &[])]), 1);
    assert_eq!(count(vec![requirement(LabelOperator::DoesNotExist, &[])]), 0);
}

#[test]
fn bad_objects_are_left_out_with_file_line_object_field_and_what_would_be_right() {
    let record = |spec: &str| format!("{DNS}kind: ServiceDNSRecord\n{META}spec: {spec}\n");
    let quote_true = "help: put it in quotes: \"true\"";
    for (text, expected) in [
        (
            record("{domainRef: galactic, recordTTL: \"300\"}"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec.recordTTL: must be a whole number, not string \
             \"300\"\n  help: write 300 without quotes"
                .to_owned(),
        ),
        (
            record("{domainRef: galactic, recordTTL: 99999999999999999999999}"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec.recordTTL: must be a whole number, not floating \
             point `1e+23`\n  help: write a whole number between -9223372036854775808 and 9223372036854775807"
                .to_owned(),
        ),
        (
            record("{domainRef: galactic, recordTTL: 1.5}"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec.recordTTL: must be a whole number, not floating \
             point `1.5`\n  help: write a whole number between -9223372036854775808 and 9223372036854775807"
                .to_owned(),
        ),
        (
            record("{recordTTL: 300}"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec.domainRef: is missing\n  help: add the name of \
             a Domain, for example `domainRef: galactic`"
                .to_owned(),
        ),
        (
            record("{domainRef: galactic, externalName: no}"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec.externalName: must be a string, not boolean \
             `false`\n  help: put it in quotes: \"false\""
                .to_owned(),
        ),
        (
            record("[]"),
            "f:1: error[wrong-object]: ServiceDNSRecord shop/web: spec: must be a map of fields, not a list".to_owned(),
        ),
        (
            format!("{DNS}kind: Domain\n{META}spec: {{domain: example.com}}\n"),
            "f:1: error[wrong-object]: Domain shop/web: domain: is missing\n  help: add the zone's name, for example \
             `domain: example.com` (there is no spec)"
                .to_owned(),
        ),
        (
            format!("{DNS}kind: IngressDNSRecord\n{META}spec: {{hosts: a.example}}\n"),
            "f:1: error[wrong-object]: IngressDNSRecord shop/web: spec.hosts: must be a list, not string \"a.example\""
                .to_owned(),
        ),
        (
            format!("{DNS}kind: IngressDNSRecord\n{META}spec: {{hosts: [a.example, 5]}}\n"),
            "f:1: error[wrong-object]: IngressDNSRecord shop/web: spec.hosts[1]: must be a string, not integer `5`\n  \
             help: put it in quotes: \"5\""
                .to_owned(),
        ),
        (
            format!("# comment\n\n{DNS}kind: IngressDNSRecord\nmetadata: {{namespace: shop}}\n"),
            "f:3: error[wrong-object]: IngressDNSRecord: metadata.name: is missing\n  help: add `metadata.name`".to_owned(),
        ),
        (
            format!(
                "apiVersion: types.kubefed.io/v1beta1\nkind: FederatedService\n{META}spec: {{placement: \
                 {{clusterSelector: {{matchExpressions: [{{key: a, operator: Is}}]}}}}}}\n"
            ),
            "f:1: error[wrong-object]: FederatedService shop/web: \
             spec.placement.clusterSelector.matchExpressions[0].operator: \"Is\" is no operator\n  help: write In, \
             NotIn, Exists or DoesNotExist"
                .to_owned(),
        ),
        (
            format!("{DNS}kind: Domain\nmetadata: {{name: a, creationTimestamp: yesterday}}\ndomain: example.com\n"),
            "f:1: warning[wrong-object]: Domain default/a: metadata.creationTimestamp: \"yesterday\" is no time, and \
             counts as missing\n  help: write it as in RFC 3339, for example 2021-01-25T12:00:00Z"
                .to_owned(),
        ),
        (
            "apiVersion: core.kubefed.io/v1\nkind: KubeFedCluster\nmetadata: {name: c1, namespace: fed}\n".to_owned(),
            "f:1: error[unknown-version]: KubeFedCluster fed/c1: apiVersion: version core.kubefed.io/v1 is not read\n  \
             help: write one of: core.kubefed.io/v1beta1, core.kubefed.io/v1alpha1"
                .to_owned(),
        ),
        (
            format!("kind: Domain\n{META}"),
            "f:1: error[wrong-object]: Domain: apiVersion: is missing\n  help: add `apiVersion`".to_owned(),
        ),
        (
            "replicas: 2\n".to_owned(),
            "f:1: error[wrong-object]: object: kind: is missing\n  help: every object needs apiVersion and kind; files \
             that hold none do not belong here"
                .to_owned(),
        ),
        (
            "just text\n".to_owned(),
            "f:1: error[wrong-object]: object: is no Kubernetes object\n  help: write a map with apiVersion, kind and \
             metadata"
                .to_owned(),
        ),
        (
            "apiVersion: v1\nkind: List\nitems: 5\n".to_owned(),
            "f:1: error[wrong-object]: List: items: must be a list\n  help: write a list of objects".to_owned(),
        ),
        (
            format!("apiVersion: v1\nkind: Service\n{MANAGED}"),
            "f:1: warning[misplaced]: Service shop/web: is an object of a member, not of the host cluster\n  help: move \
             it to a file under members/<cluster>/"
                .to_owned(),
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {kubefed.io/managed: true}}\n".to_owned(),
            format!(
                "f:1: error[wrong-object]: Service: metadata.labels[kubefed.io/managed]: must be a string, not boolean \
                 `true`\n  {quote_true}"
            ),
        ),
    ] {
        assert_eq!(complaints(&host(&text)), [expected], "{text}");
    }
}

#[test]
fn bad_objects_of_members_are_left_out_too() {
    let labels = "{kubefed.io/managed: \"true\", kubernetes.io/service-name: web}";
    for (text, expected) in [
        (
            format!("apiVersion: v1\nkind: Endpoints\n{MANAGED}subsets: [{{addresses: [{{ip: 192.0.2.300}}]}}]\n"),
            "f:1: error[wrong-object]: Endpoints shop/web in c1: subsets[0].addresses[0].ip: must be an IP address, not \
             string \"192.0.2.300\"",
        ),
        (
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: \
                 {labels}}}\nendpoints: [{{addresses: [192.0.2.1]}}, {{addresses: [192.0.2.2, oops]}}]\n"
            ),
            "f:1: error[wrong-object]: EndpointSlice default/web-1 in c1: endpoints[1].addresses[1]: is no IP address\n  \
             help: write an IP address, or `addressType: FQDN` for host names",
        ),
        (
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: \
                 {labels}}}\nendpoints: [{{conditions: {{ready: 'yes'}}}}]\n"
            ),
            "f:1: error[wrong-object]: EndpointSlice default/web-1 in c1: endpoints[0].conditions.ready: must be a \
             boolean, not string \"yes\"\n  help: write a boolean",
        ),
        (
            "apiVersion: networking.k8s.io/v2\nkind: Ingress\nmetadata: {name: web, labels: {kubefed.io/managed: \
             'true'}}\n"
                .to_owned(),
            "f:1: error[unknown-version]: Ingress default/web in c1: apiVersion: version networking.k8s.io/v2 is not \
             read\n  help: write one of: networking.k8s.io/v1, networking.k8s.io/v1beta1, extensions/v1beta1",
        ),
        (
            format!("{DNS}kind: Domain\n{META}domain: example.com\n"),
            "f:1: warning[misplaced]: Domain shop/web in c1: is an object of the host cluster, not of a member\n  help: \
             move it to a file under host/",
        ),
    ] {
        assert_eq!(complaints(&member(&text)), [expected], "{text}");
    }
}

#[test]
fn lists_and_documents_keep_the_line_of_each_object() {
    let yaml = "# head\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: a\n\n# \
                between\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n---\n# third\napiVersion: v1\nkind: \
                Node\nmetadata: {name: c}\n---\napiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: d}\n";
    assert_eq!(keys(&member(yaml)), ["5: Node a in c1", "11: Node b in c1", "14: Node c in c1", "21: Node d in c1"]);
    let json = "{\"kind\": \"List\", \"apiVersion\": \"v1\",\n \"items\": [\n  {\"apiVersion\": \"v1\", \"kind\": \
                \"Node\", \"metadata\": {\"name\": \"a\"}},\n\n  {\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": \
                [\n    {\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"b\\u0062\"}}]}\n \
                ]}\n{\"apiVersion\": \"v1\", \"kind\": \"NodeList\", \"items\": [{\"metadata\": {\"name\": \"c\"}}]}";
    let content = context_read(json, Format::Json, &member_scope("c1")).expect("good syntax");
    assert_eq!(keys(&content), ["3: Node a in c1", "6: Node bb in c1", "8: Node c in c1"]);
    assert!(content.findings.is_empty(), "{content:#?}");
}

#[test]
fn json_and_yaml_say_the_same_about_the_same_mistake() {
    let text = "{\"apiVersion\": \"multiclusterdns.kubefed.io/v1alpha1\", \"kind\": \"ServiceDNSRecord\", \"metadata\": \
                {\"name\": \"web\", \"labels\": null}, \"spec\": {\"domainRef\": \"galactic\", \"recordTTL\": true}}";
    let json = context_read(text, Format::Json, &Scope::Host).expect("good syntax");
    assert_eq!(
        complaints(&json),
        [
            "f:1: error[wrong-object]: ServiceDNSRecord default/web: spec.recordTTL: must be a whole number, not boolean \
          `true`\n  help: write a whole number between -9223372036854775808 and 9223372036854775807"
        ]
    );
    assert_eq!(complaints(&host(text)), complaints(&json));
}

#[test]
fn a_json_value_that_is_no_object_is_told_and_null_is_passed_over() {
    let content = context_read("[1, 2, 3, 4]\nnull\n\"a\"", Format::Json, &Scope::Host).expect("good syntax");
    let complaint = |line| {
        format!(
            "f:{line}: error[wrong-object]: object: is no Kubernetes object\n  help: write a map with apiVersion, kind \
             and metadata"
        )
    };
    assert_eq!(complaints(&content), [complaint(1), complaint(3)]);
}

#[test]
fn the_same_object_twice_in_a_file_counts_once() {
    let domain = |zone: &str| format!("{DNS}kind: Domain\n{META}domain: {zone}\n");
    let content = host(&format!("{}---\n{}", domain("first.example"), domain("second.example")));
    assert_eq!(keys(&content), ["1: Domain shop/web"]);
    assert!(format!("{:?}", content.objects[0].1.fact).contains("first.example"));
    assert_eq!(
        complaints(&content),
        ["f:6: warning[duplicate-object]: Domain shop/web: also stands in f:1, which counts\n  help: keep one of them"]
    );
}

#[test]
fn unknown_kinds_are_counted() {
    let content = member(
        "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: apps/v1\nkind: Deployment\n---\napiVersion: \
         example.com/v1\nkind: Service\n",
    );
    let counts: Vec<_> = content.ignored.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    assert_eq!(counts, ["2 apps/v1/Deployment", "1 example.com/v1/Service"]);
    assert!(content.objects.is_empty() && content.findings.is_empty());
}

#[test]
fn what_is_no_yaml_or_json_is_refused_with_its_place() {
    let error = |text: &str, format| {
        let error = context_read(text, format, &Scope::Host).expect_err("bad syntax");
        format!("{}:{}: {}", error.line, error.column, error.message)
    };
    for (text, expected) in [
        ("kind: [\n", "1:7: "),
        ("a: b\n  c: d\n", "2:4: "),
        ("a: 1\na: 2\n", "2:1: "),
        ("a: \"open\n", "2:1: "),
        ("a: *nobody\n", "1:4: "),
    ] {
        let said = error(text, Format::Yaml);
        assert!(said.starts_with(expected) && said.len() > expected.len() + 10, "{text:?}: {said}");
        assert!(!said.contains('\n') && !said.contains(" at line "), "{said}");
    }
    assert_eq!(error("{\"kind\": }", Format::Json), "1:10: expected value");
    assert_eq!(error("{}\n{\"kind\": \"a\"", Format::Json), "2:12: EOF while parsing an object");
    assert_eq!(error("kind: a", Format::Json), "1:1: expected value");
    let file: Arc<str> = "f".into();
    let context = Context { file: &file, scope: &Scope::Host, selector: &managed_selector() };
    let not_utf8 = read(b"a: b\nc: \xff\xfe", Format::Yaml, &context).expect_err("bad text");
    assert_eq!((not_utf8.line, not_utf8.column, &*not_utf8.message), (2, 4, "the text is not UTF-8"));
    assert!(read(b"\xef\xbb\xbfa: b\n", Format::Yaml, &context).is_ok(), "a byte order mark is no error");
}

#[test]
fn bombs_of_aliases_are_refused_and_honest_aliases_are_read() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        let line = format!("a{level}: &a{level} [{}]\n", [&*alias; 10].join(", "));
        bomb.push_str(&line);
    }
    assert!(context_read(&bomb, Format::Yaml, &Scope::Host).is_err());
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(context_read(&deep, Format::Yaml, &Scope::Host).is_err());
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let content = context_read(&deep, Format::Json, &Scope::Host);
    assert!(content.is_err() || content.is_ok_and(|content| content.objects.is_empty()));

    let honest = format!(
        "{DNS}kind: IngressDNSRecord\nmetadata: &m {{name: a}}\nspec: &s {{hosts: [a.example]}}\n---\n{DNS}kind: \
         IngressDNSRecord\nmetadata: &l {{name: b}}\nextra: *l\nspec: {{<<: {{recordTTL: 60}}, hosts: [b.example]}}\n"
    );
    let content = host(&honest);
    assert_eq!(keys(&content), ["1: IngressDNSRecord default/a", "6: IngressDNSRecord default/b"]);
    assert!(format!("{:?}", content.objects[1].1.fact).contains("ttl: 60"), "{content:#?}");
}

#[test]
fn large_yaml_files_are_read() {
    let item =
        |n: usize| format!("- apiVersion: v1\n  kind: Node\n  metadata: {{name: n{n}, labels: {{a: b}}}} # ok\n");
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for n in 0..5_000 {
        text += &item(n);
    }
    let content = member(&text);
    assert_eq!((content.objects.len(), content.findings.len()), (5_000, 0));
    let documents = "---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n".repeat(3000);
    assert_eq!(member(&documents).objects.len(), 1);
    let comments = format!("apiVersion: v1\nkind: Node\n{}metadata: {{name: a}}\n", "# why\n".repeat(5000));
    assert_eq!(member(&comments).objects.len(), 1);
}
