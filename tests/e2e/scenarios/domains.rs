//! Domains: what is a zone, and what people are told of it.

use e2e::{
    Mcdns, World,
    api::kinds,
    objects::{SYSTEM, domain, service_record},
};
use serde_json::json;

use crate::common::{GLOBAL, ONE, galactic};

#[test]
fn without_a_domain_everything_is_refused_and_the_first_one_is_served_at_once() {
    let world = World::joined(1);
    world.host().namespace("test");
    world.api(1).serve("test/nginx", &[ONE]);
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/nginx", "galactic", &json!({})));
    let mut mcdns = Mcdns::start(&world);
    mcdns.until_ready();
    mcdns.until_code(GLOBAL, "REFUSED");
    world.until_condition(kinds::SERVICE_RECORD, "test/nginx", "Accepted", "False", "DomainMissing");
    world.host().create(kinds::DOMAIN, &domain("galactic", "example.com"));
    mcdns.until_data(GLOBAL, &[ONE]);
    world.until_condition(kinds::DOMAIN, &format!("{SYSTEM}/galactic"), "Ready", "True", "Served");
    world.host().delete(kinds::DOMAIN, &format!("{SYSTEM}/galactic"));
    mcdns.until_code(GLOBAL, "REFUSED");
}

#[test]
fn two_domains_of_one_zone_are_both_served_and_the_younger_one_says_that_it_is_not_alone() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    world.until_condition(kinds::DOMAIN, &format!("{SYSTEM}/galactic"), "Ready", "True", "Served");
    world.host().create(kinds::DOMAIN, &domain("stellar", "example.com"));
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/web", "stellar", &json!({})));
    world.api(1).serve("test/web", &["192.0.2.7"]);
    let message = world.until_condition(kinds::DOMAIN, &format!("{SYSTEM}/stellar"), "Ready", "True", "DomainShared");
    assert!(message.contains("galactic"), "{message}");
    mcdns.until_data("web.test.stellar.svc.example.com", &["192.0.2.7"]);
    world.until_condition(kinds::DOMAIN, &format!("{SYSTEM}/galactic"), "Ready", "True", "Served");
}
