//! The samples of KubeFed's user guides, step by step, with the output that they print.

use e2e::{
    Mcdns, World,
    api::kinds,
    objects::{SYSTEM, domain, federated, ingress_record, service_record},
    until_equal,
};
use serde_json::json;

#[test]
fn the_guide_to_service_dns_gives_its_three_names_with_the_addresses_of_both_clusters() {
    // Step 1: clusters that are joined; those of the guide are in one availability zone.
    let world = World::with_members(2);
    for number in [1, 2] {
        world.api(number).node("gke-node", "us-west1", "us-west1-b");
        world.join(number);
    }
    let mcdns = Mcdns::start(&world);

    // Step 5: the sample service is propagated, and each cluster gives it an external address.
    let host = world.host();
    host.namespace("test-namespace");
    host.apply(kinds::FEDERATED_SERVICE, &federated("FederatedService", "test-namespace/test-service", &["c1", "c2"]));
    world.api(1).serve("test-namespace/test-service", &["35.202.76.156"]);
    world.api(2).serve("test-namespace/test-service", &["35.193.202.12"]);

    // Step 6: a Domain, and a record for the service.
    host.create(kinds::DOMAIN, &domain("test-domain", "your.domain.name"));
    host.create(
        kinds::SERVICE_RECORD,
        &service_record("test-namespace/test-service", "test-domain", &json!({"recordTTL": 300})),
    );

    // Step 7: the DNSEndpoint.
    world.until_endpoints(
        "test-namespace/service-test-service",
        &[
            "test-service.test-namespace.test-domain.svc.us-west1-b.us-west1.your.domain.name 300 A 35.193.202.12 \
             35.202.76.156",
            "test-service.test-namespace.test-domain.svc.us-west1.your.domain.name 300 A 35.193.202.12 35.202.76.156",
            "test-service.test-namespace.test-domain.svc.your.domain.name 300 A 35.193.202.12 35.202.76.156",
        ],
    );
    // Step 8: the zone has its apex.
    assert_eq!(mcdns.ask("your.domain.name SOA").expect("an answer").data.len(), 1);
    assert_eq!(mcdns.ask("your.domain.name NS").expect("an answer").data.len(), 1);
    // Step 9: ask the authoritative server.
    for level in ["us-west1-b.us-west1.", "us-west1.", ""] {
        let name = format!("test-service.test-namespace.test-domain.svc.{level}your.domain.name");
        mcdns.until_data(&name, &["35.193.202.12", "35.202.76.156"]);
        assert_eq!(mcdns.ask(&name).expect("an answer").ttl, Some(300));
    }
}

#[test]
fn the_guide_to_ingress_dns_gives_its_host_with_the_addresses_of_both_clusters() {
    let world = World::joined(2);
    let mcdns = Mcdns::start(&world);
    let host = world.host();
    host.namespace("test-namespace");
    host.create(kinds::DOMAIN, &domain("other-domain", "example.net"));
    host.apply(kinds::FEDERATED_INGRESS, &federated("FederatedIngress", "test-namespace/test-ingress", &["c1", "c2"]));
    world.api(1).ingress("test-namespace/test-ingress", "ingress.example.com", &["35.202.76.156"]);
    world.api(2).ingress("test-namespace/test-ingress", "ingress.example.com", &["35.193.202.12"]);
    host.create(kinds::INGRESS_RECORD, &ingress_record("test-namespace/test-ingress", &["ingress.example.com"], 300));
    world.until_endpoints(
        "test-namespace/ingress-test-ingress",
        &["ingress.example.com 300 A 35.193.202.12 35.202.76.156"],
    );
    // No Domain of its own is needed for that; what is answered for needs one.
    mcdns.until_code("ingress.example.com", "REFUSED");
    host.create(kinds::DOMAIN, &domain("test-domain", "example.com"));
    mcdns.until_data("ingress.example.com", &["35.193.202.12", "35.202.76.156"]);
}

#[test]
fn the_guide_to_coredns_gives_each_region_its_own_address() {
    let world = World::with_members(2);
    for number in [1, 2] {
        // kind's nodes have the old labels, which the guide puts on by hand.
        world.api(number).apply(
            kinds::NODE,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "control-plane", "labels": {
                "failure-domain.beta.kubernetes.io/region": format!("r{number}"),
                "failure-domain.beta.kubernetes.io/zone": format!("z{number}")}}}),
        );
        world.join(number);
    }
    let mcdns = Mcdns::start(&world);
    let host = world.host();
    host.namespace("test-namespace");
    host.create(kinds::DOMAIN, &domain("test-domain", "example.com"));
    host.create(
        kinds::SERVICE_RECORD,
        &service_record("test-namespace/test-service", "test-domain", &json!({"recordTTL": 300})),
    );
    host.create(kinds::INGRESS_RECORD, &ingress_record("test-namespace/test-ingress", &["ingress.example.com"], 300));
    for (number, pool) in [(1, "192.168.20"), (2, "172.168.20")] {
        world.api(number).serve("test-namespace/test-service", &[&format!("{pool}.0")]);
        world.api(number).ingress("test-namespace/test-ingress", "ingress.example.com", &[&format!("{pool}.1")]);
    }
    let first = "test-service.test-namespace.test-domain.svc";
    mcdns.until_data(&format!("{first}.example.com"), &["192.168.20.0", "172.168.20.0"]);
    mcdns.until_data("ingress.example.com", &["192.168.20.1", "172.168.20.1"]);
    for (number, address) in [(1, "192.168.20.0"), (2, "172.168.20.0")] {
        mcdns.until_data(&format!("{first}.r{number}.example.com"), &[address]);
        mcdns.until_data(&format!("{first}.z{number}.r{number}.example.com"), &[address]);
    }
    world.until_endpoints(
        "test-namespace/ingress-test-ingress",
        &["ingress.example.com 300 A 172.168.20.1 192.168.20.1"],
    );
    // What stands in the cluster's status is what its nodes say.
    until_equal("region and availability zones of c2", &json!(["r2", ["z2"]]), || {
        let status = world.status(kinds::CLUSTER, &format!("{SYSTEM}/c2"));
        json!([status["region"], status["zones"]])
    });
}
