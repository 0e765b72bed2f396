//! What breaks, and a client that asks 100 times a second all the while and gets the right answer every time.
//!
//! An outage lasts longer than every time-out, threshold and grace that is set here, and than the lease; more of it
//! would show nothing else.

use std::{thread, time::Duration};

use e2e::{
    Asker, Mcdns,
    api::kinds,
    mcdns::Wanted,
    objects::{SYSTEM, service_record},
    programs, wait_for,
};
use serde_json::json;

use crate::common::{ENDPOINTS, FIRST, GLOBAL, ONE, SECOND, TWO, galactic};

/// The lease is 15 s; probes take 2 s at most, two of them count, and grace is 3 s.
const OUTAGE: Duration = Duration::from_secs(20);
/// Far fewer questions than are asked in that time even on a machine with other work.
const ENOUGH: usize = 300;

/// Where the first cluster's load balancer goes during an outage.
const MOVED: &str = "192.0.2.11";

#[test]
fn while_the_host_is_down_members_are_followed_and_every_answer_is_right() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(SECOND, &[&[TWO]]), (GLOBAL, &[&[ONE, TWO], &[MOVED, TWO]])]);

    world.host_server().kill();
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED]);
    mcdns.until_data(GLOBAL, &[MOVED, TWO]);
    let settled = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[MOVED, TWO]]), (FIRST, &[&[MOVED]])]);
    thread::sleep(OUTAGE);
    world.host_server().revive();
    // What was missed is written.
    let moved = ENDPOINTS.map(|line| line.replace(" A 192.0.2.1", " A 192.0.2.11"));
    world.until_endpoints("test/service-nginx", &moved.each_ref().map(String::as_str));
    settled.finish(ENOUGH);
    asker.finish(ENOUGH);
}

#[test]
fn while_a_member_is_down_its_names_climb_and_the_others_are_followed() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    mcdns.until_data(SECOND, &[TWO]);
    let asker = Asker::start(
        &[mcdns.server],
        &[(FIRST, &[&[ONE]]), (GLOBAL, &[&[ONE, TWO], &[ONE]]), (SECOND, &[&[TWO], &[ONE]])],
    );
    world.member(2).kill();
    world.until_cluster("c2", "Offline", "True", "ClusterNotReachable");
    mcdns.until_data(SECOND, &[ONE]);
    assert_eq!(mcdns.ask(SECOND).expect("an answer").chain, [format!("{GLOBAL}.")]);
    until_status(&world, &json!({}));
    thread::sleep(OUTAGE);
    world.member(2).revive();
    world.until_cluster("c2", "Ready", "True", "ClusterReady");
    mcdns.until_data(SECOND, &[TWO]);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    until_status(&world, &json!({"ingress": [{"ip": TWO}]}));
    asker.finish(ENOUGH);
}

#[test]
fn a_member_that_hangs_with_its_connections_open_slows_nobody_else() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(FIRST, &[&[ONE], &[MOVED]])]);
    world.member(2).suspend();
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED]);
    mcdns.until_data(FIRST, &[MOVED]);
    mcdns.until_data(SECOND, &[MOVED]);
    world.member(2).revive();
    mcdns.until_data(SECOND, &[TWO]);
    asker.finish(0);
}

#[test]
fn all_members_down_means_all_of_them_are_still_answered() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(
        &[mcdns.server],
        // Between the end of one grace and that of the other.
        &[(GLOBAL, &[&[ONE, TWO], &[ONE], &[TWO]])],
    );
    world.member(1).kill();
    world.member(2).kill();
    world.until_cluster("c1", "Offline", "True", "ClusterNotReachable");
    world.until_cluster("c2", "Offline", "True", "ClusterNotReachable");
    thread::sleep(OUTAGE);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    mcdns.until_data(FIRST, &[ONE]);
    world.member(1).revive();
    // As soon as one is well again, the other is out.
    mcdns.until_data(GLOBAL, &[ONE]);
    world.member(2).revive();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    asker.finish(ENOUGH);
}

#[test]
fn while_etcd_is_down_and_no_api_server_is_well_every_answer_stays() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO]]), (FIRST, &[&[ONE]]), (SECOND, &[&[TWO]])]);
    world.etcd().kill();
    thread::sleep(OUTAGE);
    // That all are down counts until the first is Ready again. From then on answers are its alone, until the other is
    // Ready too; there is one at any time.
    let recovery = Asker::start(
        &[mcdns.server],
        &[(GLOBAL, &[&[ONE, TWO], &[ONE], &[TWO]]), (FIRST, &[&[ONE], &[TWO]]), (SECOND, &[&[TWO], &[ONE]])],
    );
    asker.finish(ENOUGH);
    // What was written up to here is from before the outage.
    let revived = jiff::Timestamp::now();
    world.etcd().revive();
    world.host_server().until_ready();
    world.member(1).until_ready();
    wait_for("the service moves", || {
        let moved = json!({"status": {"loadBalancer": {"ingress": [{"ip": TWO}]}}});
        let path = "/api/v1/namespaces/test/services/nginx/status";
        world.api(2).try_request(&http::Method::PATCH, path, Some(&moved))
    });
    for cluster in ["c1", "c2"] {
        wait_for("a probe after the outage says that the member is Ready", || match probed_ready(&world, cluster) {
            Some(time) if time > revived => Ok(()),
            other => Err(format!("{cluster}: {other:?}")),
        });
    }
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    recovery.finish(0);
    let settled = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO], &[MOVED, TWO]]), (SECOND, &[&[TWO]])]);
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED]);
    mcdns.until_data(FIRST, &[MOVED]);
    settled.finish(0);
}

#[test]
fn mcdns_that_starts_while_the_host_is_down_answers_from_what_it_knew() {
    let mut world = galactic();
    let mut mcdns = Wanted::new(&world).impatient().start();
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    mcdns.until_data(SECOND, &[TWO]);
    let serial = mcdns.ask("example.com SOA").expect("an answer").data;
    // What was seen is on disk within a second, and not before.
    wait_for("everything that was seen is on disk", || {
        let (_, metrics) = mcdns.page("/metrics")?;
        if metrics.lines().any(|line| line == "mcdns_state_waiting 0") { Ok(()) } else { Err(metrics) }
    });
    world.host_server().kill();
    mcdns.kill();
    mcdns.revive();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO]]), (FIRST, &[&[ONE]]), (SECOND, &[&[TWO]])]);
    let (code, _) = mcdns.page("/readyz").expect("a page");
    assert_eq!(code, 200, "what can be answered is answered");
    assert_eq!(mcdns.ask("example.com SOA").expect("an answer").data, serial);
    thread::sleep(OUTAGE);
    asker.finish(ENOUGH);
    world.host_server().revive();
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED]);
    mcdns.until_data(GLOBAL, &[MOVED, TWO]);
}

#[test]
fn mcdns_that_starts_while_a_member_is_down_follows_the_others() {
    let mut world = galactic();
    // Grace goes on over a restart, and is long enough here to still be there after one.
    let mut mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.stop();
    world.member(2).kill();
    mcdns.revive();
    mcdns.until_data(SECOND, &[TWO]);
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED]);
    mcdns.until_data(GLOBAL, &[MOVED, TWO]);
}

#[test]
fn a_clock_that_jumps_a_day_ahead_and_two_back_changes_no_answer() {
    let world = galactic();
    let wanted = Wanted::new(&world).impatient();
    // The library moves the wall clock alone, as a person or a time server does; what measures spans goes on.
    let clock = world.folder("clock").join("offset");
    std::fs::write(&clock, "+0").expect("a file that can be written");
    let mut mcdns = wanted
        .variable("LD_PRELOAD", &programs::faketime().to_string_lossy())
        .variable("FAKETIME_TIMESTAMP_FILE", &clock.to_string_lossy())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start();
    world.until_endpoints("test/service-nginx", &ENDPOINTS);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO], &[MOVED, TWO]]), (SECOND, &[&[TWO]])]);
    for (round, offset) in ["+86400", "-86400", "+0"].into_iter().enumerate() {
        let before = probed(&world);
        std::fs::write(&clock, offset).expect("a file that can be written");
        // Probing goes on, the lease is kept and what changes is written.
        wait_for("c2 is probed at the new time", || {
            let now = probed(&world);
            if now == before || world.host().list(kinds::LEASE).is_err() { Err(now.to_string()) } else { Ok(()) }
        });
        let address = if round % 2 == 0 { MOVED } else { ONE };
        world.api(1).balance(kinds::SERVICE, "test/nginx", &[address]);
        mcdns.until_data(FIRST, &[address]);
        let name = format!("test/round-{round}");
        world.host().create(kinds::SERVICE_RECORD, &service_record(&name, "galactic", &json!({})));
        world.until_condition(kinds::SERVICE_RECORD, &name, "Ready", "False", "NoTargets");
    }
    asker.finish(0);
    // The library tidies up after a program that ends by itself.
    mcdns.stop();
}

#[test]
fn a_member_that_has_lost_all_its_services_at_once_is_held_until_a_person_says_that_it_is_meant() {
    let world = galactic();
    for number in 0..10 {
        let name = format!("test/many-{number}");
        world.host().create(kinds::SERVICE_RECORD, &service_record(&name, "galactic", &json!({})));
        world.api(2).serve(&name, &["192.0.2.50"]);
    }
    let mut mcdns = Mcdns::start(&world);
    let many = "many-9.test.galactic.svc.example.com";
    mcdns.until_data(many, &["192.0.2.50"]);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    // As after a restore of an etcd from nothing: the next list is empty.
    mcdns.stop();
    world.api(2).clear(kinds::SERVICE).expect("a member that is well");
    mcdns.revive();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO]]), (many, &[&["192.0.2.50"]])]);
    let cluster = format!("{SYSTEM}/c2");
    let (status, message) = wait_for("what is held is said", || {
        let status = world.status(kinds::CLUSTER, &cluster);
        let held = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Held").cloned();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        held.map(|held| (text(&held["status"]), text(&held["message"]))).ok_or_else(|| status.to_string())
    });
    assert_eq!(status, "True", "{message}");
    // What is not held is followed.
    world.api(1).serve("test/many-3", &["192.0.2.51"]);
    mcdns.until_data("many-3.test.galactic.svc.example.com", &["192.0.2.50", "192.0.2.51"]);
    asker.finish(0);

    let checksum = message.split("mcdns.io/release=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let checksum = checksum.unwrap_or_else(|| panic!("how to release it: {message}"));
    let release = json!({"metadata": {"annotations": {"mcdns.io/release": checksum}}});
    world.host().patch(kinds::CLUSTER, &cluster, "", &release);
    mcdns.until_data(GLOBAL, &[ONE]);
    mcdns.until_code(many, "NXDOMAIN");
}

/// When a member that is Ready was last probed, as the host knows it; none while it is not Ready.
fn probed_ready(world: &e2e::World, cluster: &str) -> Option<jiff::Timestamp> {
    let status = world.status(kinds::CLUSTER, &format!("{SYSTEM}/{cluster}"));
    let mut conditions = status["conditions"].as_array()?.iter();
    let ready = conditions.find(|one| one["type"] == "Ready" && one["status"] == "True")?;
    ready["lastProbeTime"].as_str()?.parse().ok()
}

/// When c2 was last probed, as the host knows it.
fn probed(world: &e2e::World) -> serde_json::Value {
    let status = world.status(kinds::CLUSTER, &format!("{SYSTEM}/c2"));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.map(|condition| condition["lastProbeTime"].clone()).next().unwrap_or_default()
}

/// Waits until the record's status has this load balancer for c2, whose region stays.
#[track_caller]
fn until_status(world: &e2e::World, balancer: &serde_json::Value) {
    let expected = json!({"cluster": "c2", "loadBalancer": balancer, "region": "r2", "zones": ["z2"]});
    e2e::until_equal("entry of c2 in the status", &expected, || {
        world.status(kinds::SERVICE_RECORD, "test/nginx")["dns"][1].clone()
    });
}
