//! What records and Domains say of publishers. The publisher here keeps everything in memory; those of other systems have
//! tests of their own.

use e2e::{
    api::kinds,
    mcdns::Wanted,
    objects::{SYSTEM, service_record},
};
use serde_json::{Value, json};

use crate::common::{GLOBAL, ONE, TWO, galactic};

/// Publishes the zone.
fn publishing() -> Value {
    json!({"publish": {"manager": "prod", "to": [{"name": "tries", "zones": ["example.com"], "memory": {}}]}})
}

#[test]
fn a_domain_and_its_records_say_that_they_are_published() {
    let world = galactic();
    let mcdns = Wanted::new(&world).settings(&publishing()).start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let domain = format!("{SYSTEM}/galactic");
    world.until_condition(kinds::DOMAIN, &domain, "Published.tries", "True", "Published");
    world.until_condition(kinds::SERVICE_RECORD, "test/nginx", "Published.tries", "True", "Published");
}

#[test]
fn a_bulk_loss_is_held_at_the_publisher_told_on_the_domain_and_released_by_its_annotation() {
    let world = galactic();
    for number in 0..12 {
        let name = format!("test/web-{number}");
        world.host().create(kinds::SERVICE_RECORD, &service_record(&name, "galactic", &json!({})));
        world.api(1).serve(&name, &["192.0.2.7"]);
    }
    let mcdns = Wanted::new(&world).settings(&publishing()).start();
    let labels = "publisher=\"tries\",zone=\"example.com\"";
    let metric = |name: &str| mcdns.metric(name, labels);
    e2e::until_equal("everything is published", &Some(1.0), || metric("mcdns_publish_in_sync"));
    let domain = format!("{SYSTEM}/galactic");
    let published = metric("mcdns_publish_names");
    // One person at the host deletes most records at once.
    for number in 0..9 {
        world.host().delete(kinds::SERVICE_RECORD, &format!("test/web-{number}"));
    }
    // The checksum stands for exactly what is held, so for all of them: five names of each.
    let message = e2e::wait_for("everything is held that was deleted", || {
        let message = world.until_condition(kinds::DOMAIN, &domain, "Published.tries", "False", "Held");
        if message.starts_with("45 of 67 names") { Ok(message) } else { Err(message) }
    });
    world.until_warning("galactic", &["held"]);
    let (_, checksum) = message.split_once("mcdns.io/release: ").expect("how to release it");
    let left = metric("mcdns_publish_names");
    assert!(left > published.map(|names| names * 0.5), "most are still there: {left:?} of {published:?}");
    let annotation = json!({"metadata": {"annotations": {"mcdns.io/release": checksum}}});
    world.host().patch(kinds::DOMAIN, &domain, "", &annotation);
    world.until_condition(kinds::DOMAIN, &domain, "Published.tries", "True", "Published");
    assert!(metric("mcdns_publish_names") < left);
}
