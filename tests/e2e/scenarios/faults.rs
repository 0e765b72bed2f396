//! A member that answers, and answers wrong.

use e2e::{
    Asker, Fault, Proxy, World,
    api::kinds,
    mcdns::Wanted,
    objects::{domain, service_record},
};
use serde_json::json;

use crate::common::{FIRST, GLOBAL, ONE, SECOND, TWO};

/// Where load balancers go while the fault lasts.
const MOVED: [&str; 2] = ["192.0.2.11", "192.0.2.12"];

#[test]
fn a_member_that_answers_with_octets_of_no_meaning_hurts_itself_alone() {
    play(Fault::Garbage);
}

#[test]
fn a_member_whose_answers_are_no_json_hurts_itself_alone() {
    play(Fault::Nonsense);
}

#[test]
fn a_member_that_says_nothing_hurts_itself_alone() {
    play(Fault::Silence);
}

#[test]
fn a_member_whose_connections_are_cut_hurts_itself_alone() {
    play(Fault::Cut);
}

#[test]
fn a_member_that_has_too_many_requests_hurts_itself_alone() {
    play(Fault::Status(429));
}

#[test]
fn a_member_that_fails_inside_hurts_itself_alone() {
    play(Fault::Status(500));
}

#[test]
fn a_member_whose_watches_are_gone_is_read_anew_and_stays_in_the_answers() {
    let (world, proxy) = behind_a_proxy();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let asker = Asker::start(&[mcdns.server], &[(GLOBAL, &[&[ONE, TWO], &[ONE, MOVED[1]]])]);
    proxy.set(Fault::WatchesGone);
    world.api(2).balance(kinds::SERVICE, "test/nginx", &[MOVED[1]]);
    proxy.until_met(3);
    mcdns.until_data(SECOND, &[MOVED[1]]);
    asker.finish(0);
}

#[test]
fn a_member_that_is_asked_to_wait_is_not_asked_all_the_time() {
    let (world, proxy) = behind_a_proxy();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    proxy.set(Fault::Status(429));
    world.until_cluster("c2", "Ready", "False", "ClusterNotReady");
    mcdns.until_data(SECOND, &[ONE]);
    let before = (std::time::Instant::now(), proxy.met());
    // As long as five probes take, whatever the machine does.
    proxy.until_met(5);
    let seconds = before.0.elapsed().as_secs_f64();
    let requests = f64::from(u32::try_from(proxy.met() - before.1).expect("a number"));
    // A probe a second, two tries for it at `/readyz` and `/healthz`, and five kinds that are tried again ever less often;
    // a connection and its request count as two.
    assert!(requests <= 5.0 + 20.0 * seconds.max(1.0), "{requests} requests in {seconds} s");
}

/// c2 has this fault: it leaves the answers after its grace, c1 is followed meanwhile, and when it is well again what
/// it missed is there.
#[track_caller]
fn play(fault: Fault) {
    let (world, proxy) = behind_a_proxy();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    mcdns.until_data(SECOND, &[TWO]);
    let asker = Asker::start(
        &[mcdns.server],
        &[
            (FIRST, &[&[ONE], &[MOVED[0]]]),
            (GLOBAL, &[&[ONE, TWO], &[MOVED[0], TWO], &[MOVED[0]], &[MOVED[0], MOVED[1]]]),
        ],
    );
    proxy.set(fault);
    world.api(1).balance(kinds::SERVICE, "test/nginx", &[MOVED[0]]);
    world.api(2).balance(kinds::SERVICE, "test/nginx", &[MOVED[1]]);
    mcdns.until_data(FIRST, &[MOVED[0]]);
    mcdns.until_data(SECOND, &[MOVED[0]]);
    let warned = world.until_warning("c2", &[]);
    assert!(!warned.is_empty(), "a warning says what to do");
    proxy.set(Fault::None);
    mcdns.until_data(SECOND, &[MOVED[1]]);
    mcdns.until_data(GLOBAL, &MOVED);
    asker.finish(0);
}

/// A federation whose second member is reached through a proxy.
#[track_caller]
fn behind_a_proxy() -> (World, Proxy) {
    let mut world = World::with_members(2);
    for (number, address) in [(1, ONE), (2, TWO)] {
        world.api(number).node("node-1", &format!("r{number}"), &format!("z{number}"));
        world.api(number).serve("test/nginx", &[address]);
    }
    let port = world.member(2).port;
    let proxy = Proxy::start(&world, port);
    world.join(1);
    let mut member = world.credentials(2);
    member.endpoint = proxy.url();
    world.register("c2", &member);
    world.host().namespace("test");
    world.host().create(kinds::DOMAIN, &domain("galactic", "example.com"));
    world.host().create(kinds::SERVICE_RECORD, &service_record("test/nginx", "galactic", &json!({})));
    (world, proxy)
}
