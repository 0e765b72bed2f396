//! Two replicas beside each other.

use e2e::{Asker, Mcdns, api::kinds, dns, objects::service_record, until_equal, wait_for};
use serde_json::{Value, json};

use crate::common::{ENDPOINTS, FIRST, GLOBAL, ONE, SECOND, TWO, galactic};

#[test]
fn writing_moves_to_the_other_replica_when_the_leader_is_killed_and_answers_never_stop() {
    let world = galactic();
    let mut first = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    let leader = holder(&world).expect("a holder of the lease");
    let second = Mcdns::start(&world);
    for mcdns in [&first, &second] {
        mcdns.until_data(GLOBAL, &[ONE, TWO]);
        mcdns.until_data(FIRST, &[ONE]);
        mcdns.until_data(SECOND, &[TWO]);
    }
    assert_eq!(holder(&world).as_ref(), Ok(&leader), "a replica that starts takes nothing away");
    let asker = Asker::start(&[second.server], &[(GLOBAL, &[&[ONE, TWO]]), (SECOND, &[&[TWO]])]);
    first.kill();
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/late", "galactic", &json!({})));
    world.api(1).serve("test/late", &["192.0.2.40"]);
    // Answers need no leader.
    second.until_data("late.test.galactic.svc.example.com", &["192.0.2.40"]);
    wait_for("the lease has another holder", || match holder(&world)? {
        now if now != leader => Ok(()),
        now => Err(now),
    });
    wait_for("the other replica writes", || {
        let endpoints = world.endpoints("test/service-late");
        if endpoints.iter().any(|line| line.ends_with(" A 192.0.2.40")) {
            Ok(())
        } else {
            Err(format!("{endpoints:?}"))
        }
    });
    first.revive();
    first.until_data("late.test.galactic.svc.example.com", &["192.0.2.40"]);
    asker.finish(100);
}

#[test]
fn secondaries_may_transfer_from_either_replica() {
    let world = galactic();
    let mut first = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    let mut second = Mcdns::start(&world);
    until_alike(&first, &second, GLOBAL);
    let before = dns::transfer(first.server, "example.com").expect("a transfer");
    assert!(before.iter().any(|record| record.contains("192.0.2.1")), "{before:#?}");
    // A change, and then another with the leader gone.
    for (round, address) in ["192.0.2.21", "192.0.2.22"].into_iter().enumerate() {
        world.api(1).balance(kinds::SERVICE, "test/nginx", &[address]);
        for mcdns in [&first, &second] {
            mcdns.until_data(FIRST, &[address]);
        }
        until_alike(&first, &second, address);
        if round == 0 {
            first.kill();
            first.revive();
        }
    }
    let after = dns::transfer(second.server, "example.com").expect("a transfer");
    assert!(dns::serial(&after) > dns::serial(&before), "{after:#?}");
    second.stop();
    first.stop();
}

#[test]
fn a_leader_that_stops_hands_over_at_once() {
    let world = galactic();
    let mut first = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    let leader = holder(&world).expect("a holder of the lease");
    let second = Mcdns::start(&world);
    second.until_data(GLOBAL, &[ONE, TWO]);
    first.stop();
    wait_for("the lease has another holder", || match holder(&world)? {
        now if now != leader && !now.is_empty() => Ok(()),
        now => Err(now),
    });
}

#[test]
fn a_server_that_sees_the_host_alone_computes_from_the_status_of_records() {
    let mut world = galactic();
    let _whole = Mcdns::start(&world);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    let edge = e2e::mcdns::Wanted::new(&world).argument("--host-only").start();
    edge.until_data(GLOBAL, &[ONE, TWO]);
    edge.until_data(SECOND, &[TWO]);
    world.api(2).balance(kinds::SERVICE, "test/nginx", &["192.0.2.12"]);
    edge.until_data(SECOND, &["192.0.2.12"]);
    let asker = Asker::start(&[edge.server], &[(SECOND, &[&["192.0.2.12"]])]);
    world.host_server().kill();
    edge.until_data(GLOBAL, &[ONE, "192.0.2.12"]);
    world.host_server().revive();
    asker.finish(0);
}

/// Who holds mcdns' lease.
fn holder(world: &e2e::World) -> Result<String, String> {
    let leases = world.host().list(kinds::LEASE).map_err(|refused| refused.to_string())?;
    let own: Vec<&Value> =
        leases.iter().filter(|lease| lease["metadata"]["namespace"] == e2e::objects::SYSTEM).collect();
    match own[..] {
        [lease] => Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()),
        _ => Err(format!("not one lease: {leases:?}")),
    }
}

/// Waits until both give the same zone with the same serial, with this in it.
#[track_caller]
fn until_alike(one: &Mcdns, other: &Mcdns, part: &str) {
    let transfer = |mcdns: &Mcdns| dns::transfer(mcdns.server, "example.com");
    wait_for("one replica has it", || {
        let zone = transfer(one)?;
        if zone.iter().any(|record| record.contains(part)) { Ok(()) } else { Err(zone.join("\n")) }
    });
    until_equal("both replicas give the same zone", &true, || {
        let (one, other) = (transfer(one), transfer(other));
        one.is_ok() && one == other
    });
}
