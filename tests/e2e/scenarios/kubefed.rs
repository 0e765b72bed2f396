//! The end-to-end cases of KubeFed itself, on as many clusters.

use e2e::{
    Mcdns, World,
    api::kinds,
    objects::{domain, ingress_record, load_balancer, service_record},
    until_equal,
};
use serde_json::{Value, json};

/// How many members there are.
const CLUSTERS: usize = 2;

#[test]
fn a_service_record_without_services_has_every_cluster_in_its_status_with_an_empty_load_balancer() {
    let (world, domain, _mcdns) = federation();
    create_record(&world, &domain);
    until_equal("status of the record", &service_status(&|_| Vec::new()), || dns_status(&world, kinds::SERVICE_RECORD));
    let status = world.status(kinds::SERVICE_RECORD, "test/nginx");
    assert_eq!(status["domain"], "example.com");
}

#[test]
fn a_service_record_with_services_has_all_their_load_balancers_and_a_dns_endpoint_with_every_level() {
    let (world, domain, mcdns) = federation();
    create_record(&world, &domain);
    for number in 1..=CLUSTERS {
        world.api(number).service("test/nginx");
        world.api(number).balance(kinds::SERVICE, "test/nginx", &[&address(number)]);
        // As KubeFed's tests do it, and as the controller of a cluster mirrors it.
        world.api(number).endpoints("test/nginx");
        world.api(number).slice("test/nginx", &["1.2.3.4"], true);
    }
    until_equal("status of the record", &service_status(&|number| vec![address(number)]), || {
        dns_status(&world, kinds::SERVICE_RECORD)
    });
    let name = |level: &str| format!("nginx.test.{domain}.svc.{level}example.com");
    let mut expected = vec![format!("{} 300 A {}", name(""), addresses().join(" "))];
    for number in 1..=CLUSTERS {
        expected.push(format!("{} 300 A {}", name(&format!("r{number}.")), address(number)));
        expected.push(format!("{} 300 A {}", name(&format!("z{number}.r{number}.")), address(number)));
    }
    expected.sort();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    world.until_endpoints("test/service-nginx", &expected);
    let endpoint = world.host().read(kinds::DNS_ENDPOINT, "test/service-nginx").expect("a DNSEndpoint");
    assert_eq!(endpoint["metadata"]["labels"], Value::Null);
    assert_eq!(endpoint["metadata"]["annotations"], Value::Null);
    let owner = &endpoint["metadata"]["ownerReferences"][0];
    let record = world.host().read(kinds::SERVICE_RECORD, "test/nginx").expect("a record");
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("ServiceDNSRecord"), &record["metadata"]["uid"]));
    let all = addresses();
    mcdns.until_data(&name(""), &all.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_ingress_record_without_ingresses_has_every_cluster_in_its_status_with_an_empty_load_balancer() {
    let (world, _, _mcdns) = federation();
    world.host().create(kinds::INGRESS_RECORD, &ingress_record("test/web", &["foo.bar.test"], 300));
    let expected: Vec<Value> =
        (1..=CLUSTERS).map(|number| json!({"cluster": format!("c{number}"), "loadBalancer": {}})).collect();
    until_equal("status of the record", &json!(expected), || {
        world.status(kinds::INGRESS_RECORD, "test/web")["dns"].clone()
    });
}

#[test]
fn an_ingress_record_with_ingresses_has_all_their_load_balancers_and_a_dns_endpoint_with_its_host() {
    let (world, _, _mcdns) = federation();
    world.host().create(kinds::INGRESS_RECORD, &ingress_record("test/web", &["foo.bar.test"], 300));
    for number in 1..=CLUSTERS {
        world.api(number).ingress("test/web", "foo.bar.test", &[&address(number)]);
    }
    let expected: Vec<Value> = (1..=CLUSTERS)
        .map(|number| json!({"cluster": format!("c{number}"), "loadBalancer": load_balancer(&[&address(number)])}))
        .collect();
    until_equal("status of the record", &json!(expected), || {
        world.status(kinds::INGRESS_RECORD, "test/web")["dns"].clone()
    });
    let endpoint = format!("foo.bar.test 300 A {}", addresses().join(" "));
    world.until_endpoints("test/ingress-web", &[&endpoint]);
}

/// Joined clusters whose region and availability zone the test writes into their status, and a Domain with a generated
/// name.
#[track_caller]
fn federation() -> (World, String, Mcdns) {
    let world = World::with_members(CLUSTERS);
    for number in 1..=CLUSTERS {
        world.join(number);
        let status = json!({"status": {"region": format!("r{number}"), "zones": [format!("z{number}")],
            "conditions": []}});
        world.host().patch(kinds::CLUSTER, &format!("kube-federation-system/c{number}"), "status", &status);
    }
    let mut made = domain("", "example.com");
    made["metadata"]["generateName"] = json!("galactic");
    made["metadata"].as_object_mut().expect("metadata").remove("name");
    let made = world.host().create(kinds::DOMAIN, &made);
    world.host().namespace("test");
    let mcdns = Mcdns::start(&world);
    (world, made["metadata"]["name"].as_str().expect("a name").to_owned(), mcdns)
}

#[track_caller]
fn create_record(world: &World, domain: &str) {
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/nginx", domain, &json!({"recordTTL": 300})));
}

fn dns_status(world: &World, kind: e2e::api::Kind) -> Value {
    world.status(kind, "test/nginx")["dns"].clone()
}

/// What `status.dns` of a service record must be.
fn service_status(targets: &dyn Fn(usize) -> Vec<String>) -> Value {
    let entry = |number: usize| {
        let targets = targets(number);
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let balancer = if targets.is_empty() { json!({}) } else { load_balancer(&targets) };
        json!({"cluster": format!("c{number}"), "loadBalancer": balancer,
            "region": format!("r{number}"), "zones": [format!("z{number}")]})
    };
    json!((1..=CLUSTERS).map(entry).collect::<Vec<_>>())
}

fn address(number: usize) -> String {
    format!("10.20.30.{number}")
}

fn addresses() -> Vec<String> {
    (1..=CLUSTERS).map(address).collect()
}
