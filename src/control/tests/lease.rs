//! The Lease against an API server in the process, in simulated time.

mod support;

use std::time::Duration;

use mcdns_control::{Leadership, LeaseHandle, LeaseOptions, lease};
use serde_json::{Value, json};
use support::{ApiServer, Fault};
use tokio::time::{Instant, timeout};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/fed/leases/mcdns";

fn compete(server: &ApiServer, identity: &str) -> LeaseHandle {
    lease::spawn(server.client(), LeaseOptions::new("fed", identity))
}

async fn until(handle: &LeaseHandle, what: &str, is_so: impl FnMut(&Leadership) -> bool) -> Leadership {
    let mut leadership = handle.leadership.clone();
    let wait = leadership.wait_for(is_so);
    let found = timeout(Duration::from_mins(30), wait).await;
    found.expect(what).expect("the loop lives").clone()
}

async fn until_holder(handle: &LeaseHandle) -> Leadership {
    until(handle, "holder", |now| matches!(now, Leadership::Holder { .. })).await
}

async fn until_follower(handle: &LeaseHandle, of: &str) {
    until(handle, "follower", |now| *now == Leadership::Follower { holder: Some(of.to_owned()) }).await;
}

fn spec(server: &ApiServer) -> Value {
    server.get(PATH).expect("a lease")["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_first_makes_the_lease_and_the_second_follows() {
    let server = ApiServer::new();
    let first = compete(&server, "a");
    let Leadership::Holder { transitions, .. } = until_holder(&first).await else { panic!("a holder") };
    assert_eq!(transitions, 0);
    let second = compete(&server, "b");
    until_follower(&second, "a").await;
    assert_eq!(spec(&server)["holderIdentity"], "a");
    assert_eq!(spec(&server)["leaseDurationSeconds"], 15);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(first.leadership.borrow().may_write().is_some(), "it is renewed");
    assert!(second.leadership.borrow().may_write().is_none());
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_with_one_host_name_the_second_follows() {
    let server = ApiServer::new();
    let first = compete(&server, &lease::unique("mcdns-0"));
    until_holder(&first).await;
    let holder = spec(&server)["holderIdentity"].as_str().expect("a name").to_owned();
    assert!(holder.starts_with("mcdns-0_"), "{holder}");
    // The first is cut off, and does not know that it was replaced.
    let second = compete(&server, &lease::unique("mcdns-0"));
    until_follower(&second, &holder).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(first.leadership.borrow().may_write().is_some() && second.leadership.borrow().may_write().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lapse_that_was_over_before_anybody_looked_begins_another_term() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    let epoch = until_holder(&handle).await.epoch();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(handle.leadership.borrow().epoch(), epoch, "renewed");
    // Somebody has it for a moment.
    server.edit(PATH, |lease| lease["spec"]["holderIdentity"] = json!("b"));
    until_follower(&handle, "b").await;
    server.edit(PATH, |lease| lease["spec"]["holderIdentity"] = json!(""));
    assert_eq!(until_holder(&handle).await.epoch(), epoch.map(|epoch| epoch + 1));
}

#[tokio::test(start_paused = true)]
async fn a_graceful_end_moves_the_lease_at_the_next_round() {
    let server = ApiServer::new();
    let first = compete(&server, "a");
    until_holder(&first).await;
    let second = compete(&server, "b");
    until_follower(&second, "a").await;
    let start = Instant::now();
    first.release().await;
    let Leadership::Holder { transitions, .. } = until_holder(&second).await else { panic!("a holder") };
    assert_eq!(transitions, 1);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_release_in_the_middle_of_a_renewal_gives_the_lease_up() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    until_holder(&handle).await;
    let before = server.writes(PATH).len();
    server.fail(PATH, Fault::HangAfter, 1);
    server.until("a renewal hangs", |server| server.writes(PATH).len() > before).await;
    handle.release().await;
    assert_eq!(spec(&server)["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_its_lease_by_our_clock() {
    let server = ApiServer::new();
    // Its clock is a year ahead, which says nothing.
    let spec = json!({"holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 4,
        "acquireTime": "2099-01-01T00:00:00.000000Z", "renewTime": "2099-01-01T00:00:00.000000Z"});
    server.put(PATH, json!({"metadata": {"labels": {"team": "dns"}}, "spec": spec}));
    let start = Instant::now();
    let handle = compete(&server, "a");
    until_follower(&handle, "dead").await;
    let Leadership::Holder { transitions, .. } = until_holder(&handle).await else { panic!("a holder") };
    assert_eq!(transitions, 5);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(15) && took < Duration::from_secs(19), "{took:?}");
    assert_eq!(server.get(PATH).expect("a lease")["metadata"]["labels"]["team"], "dns");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_another_may_start() {
    let server = ApiServer::new();
    let first = compete(&server, "a");
    let epoch = until_holder(&first).await.epoch();
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.fail(PATH, Fault::Hang, usize::MAX);
    let start = Instant::now();
    until(&first, "unknown", |now| matches!(now, Leadership::Unknown(_))).await;
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(first.leadership.borrow().may_write().is_none());
    server.repair();
    assert!(until_holder(&first).await.epoch() > epoch, "it is another term");
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_by_itself_even_if_nobody_says_so() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    let held = until_holder(&handle).await;
    drop(handle);
    assert!(held.may_write().is_some());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(held.may_write().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_takes_is_lost_at_the_next_renewal() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    until_holder(&handle).await;
    server.edit(PATH, |lease| {
        lease["spec"]["holderIdentity"] = json!("b");
        lease["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z");
    });
    until_follower(&handle, "b").await;
    assert_eq!(spec(&server)["holderIdentity"], "b", "it is not taken back");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_over_at_once_one_is_refused() {
    let server = ApiServer::new();
    server.put(PATH, json!({"metadata": {}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15}}));
    let handles = ["a", "b", "c"].map(|identity| compete(&server, identity));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let holders = handles.iter().filter(|handle| handle.leadership.borrow().may_write().is_some()).count();
    assert_eq!(holders, 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_is_no_loss() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    let epoch = until_holder(&handle).await.epoch();
    server.fail(PATH, Fault::HangAfter, 1);
    let lost = timeout(Duration::from_secs(20), until(&handle, "", |now| !matches!(now, Leadership::Holder { .. })));
    assert!(lost.await.is_err(), "it writes all the time");
    assert_eq!(handle.leadership.borrow().epoch(), epoch, "and in one term");
    assert_eq!(spec(&server)["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_again() {
    let server = ApiServer::new();
    let handle = compete(&server, "a");
    until_holder(&handle).await;
    server.delete(PATH);
    server.until("a new lease", |server| server.get(PATH).is_some()).await;
    until_holder(&handle).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named() {
    let server = ApiServer::new();
    let refusal = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "leases.coordination.k8s.io \
        \"mcdns\" is forbidden: User \"x\" cannot get resource \"leases\" in API group \"coordination.k8s.io\" in the \
        namespace \"fed\""});
    server.fail(PATH, Fault::Status(403, refusal, None), usize::MAX);
    let handle = compete(&server, "a");
    let is_named = |now: &Leadership| matches!(now, Leadership::Unknown(reason) if reason.contains("leases\"], verbs"));
    until(&handle, "a reason", is_named).await;
    server.repair();
    until_holder(&handle).await;
}
