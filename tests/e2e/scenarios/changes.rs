//! What follows when a person or a controller changes something.

use e2e::{
    Mcdns, World,
    api::kinds,
    objects::{SYSTEM, domain, federated, service_record},
    until_equal, wait_for,
};
use serde_json::json;

use crate::common::{ENDPOINTS, FIRST, GLOBAL, ONE, SECOND, TWO, galactic};

#[test]
fn a_cluster_without_placement_has_no_targets_and_its_region_climbs() {
    let world = galactic();
    let placement = |clusters: &[&str]| {
        world.host().apply(kinds::FEDERATED_SERVICE, &federated("FederatedService", "test/nginx", clusters));
    };
    placement(&["c1", "c2"]);
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    placement(&["c1"]);
    mcdns.until_data(GLOBAL, &[ONE]);
    mcdns.until_data(SECOND, &[ONE]);
    assert_eq!(mcdns.ask(SECOND).expect("an answer").chain, [format!("{GLOBAL}.")]);
    world.until_endpoints(
        "test/service-nginx",
        &[
            "nginx.test.galactic.svc.example.com 180 A 192.0.2.1",
            "nginx.test.galactic.svc.r1.example.com 180 A 192.0.2.1",
            "nginx.test.galactic.svc.r2.example.com 180 CNAME nginx.test.galactic.svc.example.com",
            "nginx.test.galactic.svc.z1.r1.example.com 180 A 192.0.2.1",
            "nginx.test.galactic.svc.z2.r2.example.com 180 CNAME nginx.test.galactic.svc.r2.example.com",
        ],
    );
    placement(&["c1", "c2"]);
    mcdns.until_data(SECOND, &[TWO]);
}

#[test]
fn endpoints_that_are_no_longer_ready_take_their_cluster_out_of_the_answers() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.api(2).slice("test/nginx", &["192.0.2.80"], false);
    mcdns.until_data(GLOBAL, &[ONE]);
    world.api(2).slice("test/nginx", &["192.0.2.80"], true);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.api(1).delete(kinds::SERVICE, "test/nginx");
    mcdns.until_data(GLOBAL, &[TWO]);
    mcdns.until_data(FIRST, &[TWO]);
}

#[test]
fn new_labels_of_a_node_move_its_cluster_to_another_region_at_once() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(SECOND, &[TWO]);
    world.api(2).node("node-1", "r9", "z9");
    mcdns.until_data("nginx.test.galactic.svc.r9.example.com", &[TWO]);
    mcdns.until_data("nginx.test.galactic.svc.z9.r9.example.com", &[TWO]);
    mcdns.until_code(SECOND, "NXDOMAIN");
    until_equal("region and availability zones of c2", &json!(["r9", ["z9"]]), || {
        let status = world.status(kinds::CLUSTER, &format!("{SYSTEM}/c2"));
        json!([status["region"], status["zones"]])
    });
}

#[test]
fn a_changed_domain_moves_every_name_of_its_records_and_a_deleted_one_withdraws_them() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.host().patch(kinds::DOMAIN, &format!("{SYSTEM}/galactic"), "", &json!({"domain": "example.net"}));
    mcdns.until_data("nginx.test.galactic.svc.example.net", &[ONE, TWO]);
    mcdns.until_code(GLOBAL, "REFUSED");
    let renamed = ENDPOINTS.map(|line| line.replace("example.com", "example.net"));
    world.until_endpoints("test/service-nginx", &renamed.each_ref().map(String::as_str));
    until_equal("status.domain", &json!("example.net"), || {
        world.status(kinds::SERVICE_RECORD, "test/nginx")["domain"].clone()
    });

    world.host().delete(kinds::DOMAIN, &format!("{SYSTEM}/galactic"));
    mcdns.until_code("nginx.test.galactic.svc.example.net", "REFUSED");
    world.until_condition(kinds::SERVICE_RECORD, "test/nginx", "Accepted", "False", "DomainMissing");
    world.until_endpoints("test/service-nginx", &[]);

    world.host().create(kinds::DOMAIN, &domain("galactic", "example.com"));
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
}

#[test]
fn a_deleted_record_takes_its_dns_endpoint_with_it_and_no_other() {
    let world = galactic();
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/other", "galactic", &json!({})));
    world.api(1).serve("test/other", &["192.0.2.7"]);
    let mcdns = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_data("other.test.galactic.svc.example.com", &["192.0.2.7"]);
    world.host().delete(kinds::SERVICE_RECORD, "test/nginx");
    until_gone(&world, "test/service-nginx");
    mcdns.until_code(GLOBAL, "NXDOMAIN");
    mcdns.until_data("other.test.galactic.svc.example.com", &["192.0.2.7"]);
    world.host().read(kinds::DNS_ENDPOINT, "test/service-other").expect("a DNSEndpoint of another record");
}

#[test]
fn a_record_that_was_deleted_while_mcdns_was_down_leaves_no_dns_endpoint_behind() {
    let world = galactic();
    // Somebody else's is nothing to remove, whatever it is called.
    let foreign = json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "DNSEndpoint",
        "metadata": {"name": "service-foreign", "namespace": "test"},
        "spec": {"endpoints": [{"dnsName": "a.example.org", "recordType": "A", "targets": ["192.0.2.9"]}]}});
    world.host().create(kinds::DNS_ENDPOINT, &foreign);
    let mut mcdns = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.stop();
    world.host().delete(kinds::SERVICE_RECORD, "test/nginx");
    mcdns.revive();
    until_gone(&world, "test/service-nginx");
    mcdns.until_code(GLOBAL, "NXDOMAIN");
    world.host().read(kinds::DNS_ENDPOINT, "test/service-foreign").expect("what is not ours");
}

#[test]
fn a_dns_endpoint_that_is_edited_or_deleted_is_made_whole_again() {
    let world = galactic();
    let _mcdns = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    let wrong = json!({"spec": {"endpoints": [{"dnsName": GLOBAL, "recordType": "A", "targets": ["192.0.2.66"]}]}});
    world.host().patch(kinds::DNS_ENDPOINT, "test/service-nginx", "", &wrong);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    // A second time within a minute would be a quarrel of two writers, so this is about another record.
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/other", "galactic", &json!({})));
    world.api(1).serve("test/other", &["192.0.2.7"]);
    let has_global = || world.endpoints("test/service-other").iter().any(|line| line.ends_with(" A 192.0.2.7"));
    wait_for("a DNSEndpoint of the other record", || has_global().then_some(()).ok_or("none"));
    let before = world.endpoints("test/service-other");
    world.host().delete(kinds::DNS_ENDPOINT, "test/service-other");
    until_equal("the DNSEndpoint is back", &before, || world.endpoints("test/service-other"));
}

#[test]
fn what_does_not_change_is_not_written() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    world.until_condition(kinds::SERVICE_RECORD, "test/nginx", "Ready", "True", "Published");
    let versions = || {
        [(kinds::SERVICE_RECORD, "test/nginx"), (kinds::DNS_ENDPOINT, "test/service-nginx")].map(|(kind, name)| {
            world.host().read(kind, name).expect("an object")["metadata"]["resourceVersion"].clone()
        })
    };
    let before = versions();
    // A change of something that no answer depends on goes all the way through before the next one is seen.
    for round in 0..5 {
        let note = json!({"metadata": {"annotations": {"round": round.to_string()}}});
        world.api(1).patch(kinds::SERVICE, "test/nginx", "", &note);
        world.api(2).patch(kinds::NODE, "node-1", "", &note);
    }
    world.api(1).serve("test/marker", &["192.0.2.30"]);
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/marker", "galactic", &json!({})));
    mcdns.until_data("marker.test.galactic.svc.example.com", &["192.0.2.30"]);
    world.until_condition(kinds::SERVICE_RECORD, "test/marker", "Ready", "True", "Published");
    assert_eq!(versions(), before);
}

#[track_caller]
fn until_gone(world: &World, endpoint: &str) {
    wait_for(&format!("DNSEndpoint {endpoint} is gone"), || match world.host().read(kinds::DNS_ENDPOINT, endpoint) {
        Err(refused) if refused.code == 404 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
