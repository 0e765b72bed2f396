//! Input that is wrong: it is said where it stands, with what to do, and nothing else suffers.

use e2e::{
    Asker, Mcdns, World,
    api::kinds,
    authority::Authority,
    manifests,
    objects::{SYSTEM, service_record},
    server::free_port,
    wait_for,
};
use serde_json::json;

use crate::common::{ENDPOINTS, FIRST, GLOBAL, ONE, TWO, galactic};

#[test]
fn members_that_cannot_be_read_say_why_and_the_others_are_not_touched() {
    let mut world = galactic();
    let good = world.credentials(1);
    let cases = [
        ("wrong-token", "wrong.token.here".to_owned(), good.bundle.clone(), good.endpoint.clone(), "Unauthorized"),
        ("expired", world.member(1).expired_token(), good.bundle.clone(), good.endpoint.clone(), "Unauthorized"),
        (
            "wrong-authority",
            good.token.clone(),
            Authority::new("nobody knows it").bundle(),
            good.endpoint.clone(),
            "CertificateRejected",
        ),
        (
            "unreachable",
            good.token.clone(),
            good.bundle.clone(),
            format!("https://127.0.0.1:{}", free_port()),
            "ClusterNotReachable",
        ),
    ];
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO]])]);
    for (name, token, bundle, endpoint, _) in &cases {
        let member = e2e::world::Member { endpoint: endpoint.clone(), bundle: bundle.clone(), token: token.clone() };
        world.register(name, &member);
    }
    for (name, .., reason) in &cases {
        let message = world.until_reason(name, reason);
        assert!(message.len() > 20, "{name}: the next step for a person: {message}");
        world.until_warning(name, &[]);
    }
    // Mended, a cluster is well without a restart.
    world.register("wrong-token", &good);
    world.until_cluster("wrong-token", "Ready", "True", "ClusterReady");
    asker.finish(50);
}

#[test]
fn a_cluster_without_its_secret_says_so_and_one_whose_secret_asks_for_a_program_is_refused() {
    let world = galactic();
    let good = world.credentials(1);
    for name in ["no-secret", "program"] {
        world.register(name, &good);
    }
    world.host().delete(kinds::SECRET, &format!("{SYSTEM}/no-secret-token"));
    let program = "apiVersion: v1\nkind: Config\nusers: [{name: u, user: {exec: {command: /bin/touch}}}]\n";
    let encoded = data_encoding::BASE64.encode(program.as_bytes());
    world.host().patch(
        kinds::SECRET,
        &format!("{SYSTEM}/program-token"),
        "",
        &json!({"data": {"token": null, "ca.crt": null, "kubeconfig": encoded}}),
    );
    let mcdns = Mcdns::start(&world);
    for name in ["no-secret", "program"] {
        world.until_reason(name, "Misconfigured");
        world.until_warning(name, &[]);
    }
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
}

#[test]
fn a_member_that_grants_too_little_says_what_is_missing() {
    let world = galactic();
    let role = |rules: serde_json::Value| {
        let mut role =
            manifests::member().into_iter().find(|(kind, _)| *kind == kinds::CLUSTER_ROLE).expect("a role").1;
        role["rules"] = rules;
        world.api(2).apply(kinds::CLUSTER_ROLE, &role);
    };
    let whole = manifests::member().into_iter().find(|(kind, _)| *kind == kinds::CLUSTER_ROLE).expect("a role").1;
    let rules = whole["rules"].as_array().expect("rules").clone();
    let without: Vec<_> = rules.iter().filter(|rule| rule["resources"] != json!(["endpointslices"])).cloned().collect();
    role(json!(without));
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(FIRST, &[ONE]);
    world.until_warning("c2", &["endpointslices"]);
    role(json!(rules));
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
}

#[test]
fn a_host_that_grants_too_little_is_still_read_as_far_as_it_goes() {
    let world = galactic();
    let account = world.chart().account();
    let role = world.host().list(kinds::CLUSTER_ROLE).expect("roles").into_iter().find(|role| {
        role["rules"].as_array().into_iter().flatten().any(|rule| rule.to_string().contains("ingressdnsrecords"))
    });
    let role = role.unwrap_or_else(|| panic!("no role of {account}"));
    let name = role["metadata"]["name"].as_str().expect("a name").to_owned();
    let mut rules = role["rules"].clone();
    for rule in rules.as_array_mut().expect("rules") {
        if let Some(resources) = rule["resources"].as_array_mut() {
            resources.retain(|resource| resource != "ingressdnsrecords");
        }
    }
    world.host().patch(kinds::CLUSTER_ROLE, &name, "", &json!({"rules": rules}));
    let mut mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_page("/readyz", |code, body| code == 200 && body.contains("ingressdnsrecords"));
    world.host().patch(kinds::CLUSTER_ROLE, &name, "", &json!({"rules": role["rules"]}));
    mcdns.until_page("/readyz", |code, body| code == 200 && !body.contains("ingressdnsrecords"));
}

#[test]
fn a_kind_that_the_host_does_not_have_hurts_nothing_and_is_used_when_it_comes() {
    let world = galactic();
    for plural in ["ingressdnsrecords.multiclusterdns.kubefed.io", "federatedservices.types.kubefed.io"] {
        world.host().delete(kinds::DEFINITION, plural);
    }
    let gone = |kind| {
        wait_for("the kind is gone", || match world.host().list(kind) {
            Err(refused) if refused.code == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    gone(kinds::INGRESS_RECORD);
    gone(kinds::FEDERATED_SERVICE);
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    world.chart().install(world.host());
    world.host().create(kinds::INGRESS_RECORD, &e2e::objects::ingress_record("test/web", &["web.example.com"], 300));
    world.api(1).ingress("test/web", "web.example.com", &["192.0.2.60"]);
    mcdns.until_data("web.example.com", &["192.0.2.60"]);
}

#[test]
fn an_object_of_the_wrong_shape_is_left_out_alone_and_told_so() {
    let world = galactic();
    // As the kinds of an older installation, which check nothing.
    let plural = "servicednsrecords.multiclusterdns.kubefed.io";
    let mut definition = world.host().read(kinds::DEFINITION, plural).expect("a definition");
    let versions = definition["spec"]["versions"].as_array_mut().expect("versions");
    for version in versions.iter_mut() {
        version["schema"] =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    }
    let versions = json!({"spec": {"versions": versions}});
    world.host().patch(kinds::DEFINITION, plural, "", &versions);
    let bad = |name: &str, spec: serde_json::Value| {
        let record = json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "ServiceDNSRecord",
            "metadata": {"name": name, "namespace": "test"}, "spec": spec});
        // The server takes a moment to take the new schema in.
        wait_for("a record that was refused before", || {
            world.host().try_create(kinds::SERVICE_RECORD, &record).map_err(|refused| refused.to_string())
        });
    };
    bad("bad-shape", json!({"domainRef": 5}));
    bad("bad-ttl", json!({"domainRef": "galactic", "recordTTL": -5}));
    bad("bad-domain", json!({"domainRef": "nowhere"}));
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    world.until_condition(kinds::SERVICE_RECORD, "test/bad-ttl", "Accepted", "False", "TtlOutOfRange");
    world.until_condition(kinds::SERVICE_RECORD, "test/bad-domain", "Accepted", "False", "DomainMissing");
    for name in ["bad-shape", "bad-ttl", "bad-domain"] {
        world.until_warning(name, &[]);
    }
    world.host().apply(kinds::SERVICE_RECORD, &service_record("test/bad-shape", "galactic", &json!({})));
    world.until_condition(kinds::SERVICE_RECORD, "test/bad-shape", "Ready", "False", "NoTargets");
}

#[test]
fn mcdns_without_a_right_to_anything_starts_and_says_what_it_lacks() {
    let world = World::with_members(0);
    world.host().apply(
        kinds::SERVICE_ACCOUNT,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": SYSTEM}}),
    );
    let token = world.host().token(&format!("{SYSTEM}/nobody"), 3600);
    let mut mcdns = e2e::mcdns::Wanted::new(&world).kubeconfig(&world.kubeconfig("host", &token)).start();
    mcdns.until_page("/readyz", |code, _| code == 503);
    mcdns.until_log_has("domains");
}
