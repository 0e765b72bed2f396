//! The source of keys against a real etcd that is compacted, restarted, emptied and cut off.

#![allow(clippy::panic, reason = "helpers of tests fail so")]

use interop::{Etcd, Gate, PATIENCE};
use mcdns_core::{answer::OtherZone as _, check::FindingCode, dns::Serial};
use mcdns_skydns::{LeaseLimits, Prefix};
use mcdns_sources::skydns::{Follower, Options, Password, Released, Standing, State, Tls, User, open};

fn options(endpoints: &[String]) -> Options {
    Options {
        endpoints: endpoints.to_vec(),
        prefix: Prefix::default(),
        zones: vec!["example.org".parse().expect("a name")],
        user: None,
        tls: Tls::default(),
        leases: LeaseLimits::default(),
        serial: Serial(1),
    }
}

/// The first state that is as wanted.
async fn state(follower: &Follower, what: &str, wanted: impl FnMut(&State) -> bool) -> State {
    let mut states = follower.states();
    let last = states.clone();
    let waited = tokio::time::timeout(PATIENCE, states.wait_for(wanted)).await;
    let found = waited.unwrap_or_else(|_| panic!("{what}: {:?}", *last.borrow()));
    found.unwrap_or_else(|_| panic!("{what}: the source has ended")).clone()
}

fn is_fresh(state: &State) -> bool {
    state.standing == Standing::Fresh
}

/// The values of all keys, by key.
fn contents(state: &State) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if let Some(keys) = state.zones[0].keys() {
        keys.visit(&mut |key, value, _, _| pairs.push((text(key), text(value))));
    }
    pairs
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

const A: (&str, &str) = ("/skydns/org/example/a", r#"{"host":"192.0.2.1"}"#);
const B: (&str, &str) = ("/skydns/org/example/b", r#"{"host":"192.0.2.2"}"#);

#[tokio::test]
async fn changes_are_seen_as_they_happen_and_bad_ones_are_told() {
    let etcd = Etcd::start().await;
    etcd.put(&[A, ("/other/prefix", "x"), ("/skydnsx/org", "x")]).await;
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    let first = state(&follower, "the first list", is_fresh).await;
    assert_eq!(contents(&first), [pair(A.0, A.1)]);
    assert_eq!(first.zones[0].soa().serial, Serial(1));

    let revision = etcd.put(&[("/skydns/org/example/bad", "not-json"), B, ("/skydns/com/far", "x")]).await;
    let second = state(&follower, "three more", |state| state.revision >= revision).await;
    assert_eq!((second.keys, second.faulty, second.outside), (4, 1, 1));
    let codes: Vec<_> = second.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [FindingCode::SkyDnsValue, FindingCode::SkyDnsOutside]);
    assert!(second.zones[0].soa().serial != Serial(1));

    let revision = etcd.delete_below("/skydns/org/example/bad").await;
    let third = state(&follower, "one less", |state| state.revision >= revision).await;
    assert_eq!((third.keys, third.faulty), (3, 0));
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for hundred in 0..25 {
        let puts: Vec<_> = (0..100)
            .map(|index| etcd_client::TxnOp::put(format!("/skydns/org/example/{hundred:02}{index:02}"), A.1, None))
            .collect();
        client.txn(etcd_client::Txn::new().and_then(puts)).await.expect("a transaction");
    }
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    assert_eq!(state(&follower, "the first list", is_fresh).await.keys, 2_500);
}

#[tokio::test]
async fn an_outage_takes_nothing_away_and_a_restart_is_followed() {
    let mut etcd = Etcd::start().await;
    etcd.put(&[A]).await;
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    state(&follower, "the first list", is_fresh).await;
    etcd.kill();
    let stale = state(&follower, "the outage", |state| matches!(state.standing, Standing::Stale { .. })).await;
    assert_eq!(contents(&stale), [pair(A.0, A.1)]);
    etcd.run().await;
    etcd.put(&[B]).await;
    let fresh = state(&follower, "what came behind the restart", |state| is_fresh(state) && state.keys == 2).await;
    assert_eq!(contents(&fresh), [pair(A.0, A.1), pair(B.0, B.1)]);
}

#[tokio::test]
async fn what_etcd_has_forgotten_is_listed_again() {
    let etcd = Etcd::start().await;
    let gate = Gate::open(etcd.port());
    etcd.put(&[A]).await;
    let follower = open(options(&[gate.endpoint()])).expect("a source");
    state(&follower, "the first list", is_fresh).await;
    gate.shut();
    state(&follower, "the cut", |state| !is_fresh(state)).await;
    etcd.delete_below(A.0).await;
    let revision = etcd.put(&[B]).await;
    etcd.compact(revision).await;
    gate.reopen();
    let fresh = state(&follower, "the second list", |state| is_fresh(state) && state.revision >= revision).await;
    assert_eq!(contents(&fresh), [pair(B.0, B.1)]);
}

#[tokio::test]
async fn an_etcd_that_comes_back_empty_is_no_reason_to_answer_nothing() {
    let mut etcd = Etcd::start().await;
    let pairs: Vec<(String, &str)> = (0..12).map(|index| (format!("/skydns/org/example/n{index:02}"), A.1)).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, *value)).collect();
    etcd.put(&pairs).await;
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    state(&follower, "the first list", is_fresh).await;
    etcd.run_empty().await;
    let held = state(&follower, "the loss", |state| is_fresh(state) && state.held.is_some()).await;
    assert_eq!(held.keys, 12);
    assert_eq!(held.findings[0].code, FindingCode::Held);
    // And the watch goes on.
    etcd.put(&[B]).await;
    let more = state(&follower, "one more", |state| state.keys == 13).await;
    let word = more.held.expect("it is still held");
    assert_eq!(follower.releases().release("another word").await, Released::AnotherWord(word.clone()));
    assert_eq!(follower.releases().release(&word).await, Released::Keys(12));
    let released = state(&follower, "the release", |state| state.held.is_none()).await;
    assert_eq!(contents(&released), [pair(B.0, B.1)]);
}

#[tokio::test]
async fn all_keys_deleted_at_once_are_held() {
    let etcd = Etcd::start().await;
    let pairs: Vec<(String, &str)> = (0..10).map(|index| (format!("/skydns/org/example/n{index:02}"), A.1)).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, *value)).collect();
    etcd.put(&pairs).await;
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    state(&follower, "the first list", is_fresh).await;
    etcd.delete_below("/skydns/").await;
    assert_eq!(state(&follower, "the loss", |state| state.held.is_some()).await.keys, 10);
}

#[tokio::test]
async fn an_etcd_that_was_never_there_is_waited_for() {
    let mut etcd = Etcd::start().await;
    etcd.put(&[A]).await;
    etcd.kill();
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    let unread =
        state(&follower, "a first try", |state| matches!(state.standing, Standing::Unread { reason: Some(_) }));
    assert!(unread.await.zones[0].keys().is_none(), "nothing is known, which is not the same as nothing");
    etcd.run().await;
    assert_eq!(state(&follower, "the first list", is_fresh).await.keys, 1);
}

#[tokio::test]
async fn one_of_several_endpoints_is_enough() {
    let etcd = Etcd::start().await;
    let gate = Gate::open(etcd.port());
    etcd.put(&[A]).await;
    let follower = open(options(&[gate.endpoint(), etcd.endpoint()])).expect("a source");
    state(&follower, "the first list", is_fresh).await;
    gate.shut();
    let revision = etcd.put(&[B]).await;
    state(&follower, "the other way", |state| is_fresh(state) && state.revision >= revision).await;
}

#[tokio::test]
async fn a_user_is_believed_with_the_right_password_alone() {
    let etcd = Etcd::start().await;
    etcd.put(&[A]).await;
    let mut client = etcd.client().await;
    client.user_add("root", "the right one", None).await.expect("a user");
    client.role_add("root").await.expect("a role");
    client.user_grant_role("root", "root").await.expect("a grant");
    client.auth_enable().await.expect("authentication");
    let user = |password: &str| Some(User { name: "root".to_owned(), password: Password::Text(password.to_owned()) });
    let wrong = open(Options { user: user("a wrong one"), ..options(&[etcd.endpoint()]) }).expect("a source");
    let unread =
        state(&wrong, "a refusal", |state| matches!(state.standing, Standing::Unread { reason: Some(_) })).await;
    assert!(!format!("{:?}", unread.standing).contains("a wrong one"));
    assert!(unread.standing.to_string().contains("etcd"), "{}", unread.standing);
    let right = open(Options { user: user("the right one"), ..options(&[etcd.endpoint()]) }).expect("a source");
    assert_eq!(state(&right, "the first list", is_fresh).await.keys, 1);
}

#[tokio::test]
async fn certificates_are_shown_and_looked_at() {
    let etcd = Etcd::start_with(true).await;
    etcd.put(&[A]).await;
    let security = etcd.security().expect("certificates").clone();
    let ca = Some(security.ca.clone());
    let tls = Tls { ca: ca.clone(), identity: Some(security.client.clone()) };
    let follower = open(Options { tls, ..options(&[etcd.endpoint()]) }).expect("a source");
    assert_eq!(state(&follower, "the first list", is_fresh).await.keys, 1);
    for tls in [Tls { ca, identity: None }, Tls { ca: None, identity: Some(security.client.clone()) }] {
        let follower = open(Options { tls, ..options(&[etcd.endpoint()]) }).expect("a source");
        state(&follower, "a refusal", |state| matches!(state.standing, Standing::Unread { reason: Some(_) })).await;
    }
}

#[tokio::test]
async fn what_a_lease_has_left_is_known_and_its_end_takes_the_key_away() {
    let etcd = Etcd::start().await;
    etcd.put(&[A]).await;
    etcd.put_leased(B.0, B.1, 1_000).await;
    let follower = open(options(&[etcd.endpoint()])).expect("a source");
    let known = |state: &State| {
        let keys = state.zones[0].keys()?;
        let (_, _, lease) = keys.get(B.0.as_bytes())?;
        keys.lease_end(lease)
    };
    let state = state(&follower, "the end of the lease", |state| known(state).is_some()).await;
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later").as_secs();
    let left = known(&state).expect("an end").saturating_sub(now);
    assert!((900..=1_000).contains(&left), "{left}");
}

#[tokio::test]
async fn what_can_never_work_is_refused_at_once() {
    let wrong = |endpoints: &[&str]| {
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
        open(options(&endpoints)).expect_err("it is refused").to_string()
    };
    assert!(wrong(&[]).contains("no endpoint"));
    for endpoint in ["localhost:2379", "ftp://localhost", "http://", "http://a:2379/path"] {
        assert!(wrong(&[endpoint]).contains(endpoint));
    }
    assert!(wrong(&["http://a", "https://b"]).contains("mixed"));
}
