//! A zone that is kept in an etcd which is cut off, killed, compacted, emptied, and written to by others.

#![allow(clippy::panic, reason = "helpers of tests fail so")]

mod etcd;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use etcd::{PATIENCE, Proxy, Server};
use etcd_client::{DeleteOptions, GetOptions};
use mcdns_core::{
    dns::OwnerName,
    plan::{Change, GuardOptions, ManagerId, PlanOptions, WantedName},
};
use mcdns_etcd::Etcd;
use mcdns_publish::{
    Batch, Outcome, PublishError, PublishedZone, Publisher, ReadName, Timing, WantedSource, ZoneHandle, ZoneReport,
    battery::{Wishes, wish},
    start,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

fn apex() -> OwnerName {
    name("example.com")
}

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn manager() -> ManagerId {
    "prod".parse().expect("a manager")
}

/// What is wanted, changed by the test.
#[derive(Default)]
struct World(Mutex<Wishes>);

impl WantedSource for World {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        self.0.lock().expect("whole").wanted_names(apex)
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.0.lock().expect("whole").wanted_name(apex, owner)
    }
}

/// A zone that is published.
struct Published {
    world: Arc<World>,
    handle: ZoneHandle,
    leading: watch::Sender<bool>,
}

impl Published {
    fn start(section: &Value, lines: &[&str]) -> Self {
        let (leading, leads) = watch::channel(true);
        let publisher = Arc::new(Etcd::new("etcd", &[apex()], &manager(), section).expect("settings"));
        let guard = GuardOptions { percent: 100, ..GuardOptions::default() };
        let zone = PublishedZone::new(publisher, manager(), apex(), PlanOptions::default(), guard, Arc::new(leads));
        let world = Arc::new(World(Mutex::new(Wishes::of(&apex(), lines).expect("wishes"))));
        // The comparison that runs in any case must not be what repairs.
        let timing = Timing {
            compare_every: Duration::from_hours(10),
            first_wait: Duration::from_millis(50),
            slow_wait: Duration::from_millis(500),
            last_wait: Duration::from_secs(1),
        };
        let handle = start(zone, world.clone(), Arc::new(Semaphore::new(1)), timing);
        Self { world, handle, leading }
    }

    fn want(&self, lines: &[&str], changed: &[&str]) {
        *self.world.0.lock().expect("whole") = Wishes::of(&apex(), lines).expect("wishes");
        let names = changed.iter().map(|label| name(&format!("{label}.example.com"))).collect();
        self.handle.changed(&mcdns_core::records::ChangedNames::Names(names), &"the test".into());
    }

    async fn until(&self, what: &str, fits: impl FnMut(&ZoneReport) -> bool) -> ZoneReport {
        let mut report = self.handle.report();
        match tokio::time::timeout(PATIENCE, report.wait_for(fits)).await {
            Ok(Ok(report)) => report.clone(),
            _ => panic!("never {what}: {:#?}", self.handle.report().borrow()),
        }
    }
}

/// All keys of the zone with their values.
async fn keys(server: &Server) -> BTreeMap<String, String> {
    let mut client = server.client().await;
    let all = client.get("/skydns/com/example", Some(GetOptions::new().with_prefix())).await.expect("a reading");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    all.kvs().iter().map(|pair| (text(pair.key()), text(pair.value()))).collect()
}

/// Waits until the keys are so.
async fn until_keys(server: &Server, what: &str, fits: impl Fn(&BTreeMap<String, String>) -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let keys = keys(server).await;
        if fits(&keys) {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "never {what}: {keys:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn plain(endpoint: &str) -> Value {
    json!({"endpoints": [endpoint]})
}

fn has_host(keys: &BTreeMap<String, String>, host: &str) -> bool {
    keys.values().any(|value| value.contains(&format!("\"host\":\"{host}\"")))
}

#[tokio::test]
async fn what_others_change_is_put_right_at_once() {
    let server = Server::start().await;
    let lines = ["www 60 A 192.0.2.1", "b 60 CNAME www.example.com."];
    let published = Published::start(&plain(&server.endpoint()), &lines);
    published.until("in sync", |report| report.in_sync).await;
    let before = keys(&server).await;
    assert_eq!(before.len(), 2, "{before:?}");
    // The first one tells that the watch runs; what comes then is seen by it alone.
    let mut client = server.client().await;
    for key in before.keys().chain(before.keys()) {
        client.delete(key.clone(), None).await.expect("a delete");
        until_keys(&server, "put right", |keys| *keys == before).await;
        let junk = r#"{"host":"203.0.113.1","owner":"prod"}"#;
        client.put(key.clone(), junk, None).await.expect("a put");
        until_keys(&server, "put right", |keys| *keys == before).await;
    }
    let junk = before.keys().next().expect("a key").replace("/b", "/www/=00000000stray");
    client.put(junk, r#"{"host":"203.0.113.1","owner":"prod"}"#, None).await.expect("a put");
    until_keys(&server, "tidied up", |keys| *keys == before).await;
    assert_eq!(published.handle.report().borrow().comparisons, 1, "the watch has done it");
}

#[tokio::test]
async fn an_outage_and_a_restart_hold_up_changes_and_lose_none() {
    let mut server = Server::start().await;
    let published = Published::start(&plain(&server.endpoint()), &["www 60 A 192.0.2.1"]);
    published.until("in sync", |report| report.in_sync).await;
    server.kill();
    published.want(&["www 60 A 192.0.2.2"], &["www"]);
    let report = published.until("failing", |report| report.last_error.is_some()).await;
    assert_eq!(report.last_error_kind, Some("unavailable"));
    server.run().await;
    published.until("in sync again", |report| report.in_sync && report.last_error.is_none()).await;
    assert!(has_host(&keys(&server).await, "192.0.2.2"));
    // And what others do is seen again.
    let before = keys(&server).await;
    let mut client = server.client().await;
    client.delete(before.keys().next().expect("a key").clone(), None).await.expect("a delete");
    until_keys(&server, "put right", |keys| *keys == before).await;
}

#[tokio::test]
async fn what_was_compacted_while_nobody_looked_is_read_again() {
    let server = Server::start().await;
    let proxy = Proxy::open(server.port());
    let published = Published::start(&plain(&proxy.endpoint()), &["www 60 A 192.0.2.1"]);
    published.until("in sync", |report| report.in_sync).await;
    let before = keys(&server).await;
    proxy.shut(true);
    let mut client = server.client().await;
    let deleted = client.delete(before.keys().next().expect("a key").clone(), None).await.expect("a delete");
    client.put("/other", "x", None).await.expect("a put");
    let revision = deleted.header().expect("a header").revision();
    client.compact(revision + 1, None).await.expect("a compaction");
    proxy.shut(false);
    until_keys(&server, "put right", |keys| *keys == before).await;
}

#[tokio::test]
async fn an_etcd_that_comes_back_empty_is_filled_again() {
    let mut server = Server::start().await;
    let published = Published::start(&plain(&server.endpoint()), &["www 60 A 192.0.2.1", "b 60 AAAA 2001:db8::1"]);
    published.until("in sync", |report| report.in_sync).await;
    let before = keys(&server).await;
    server.run_empty().await;
    until_keys(&server, "put right", |keys| *keys == before).await;
}

#[tokio::test]
async fn bad_keys_of_others_are_left_and_hold_up_nothing() {
    let server = Server::start().await;
    let strange = [
        ("/skydns/com/example/bad", "not-json"),
        ("/skydns/com/example/bad2/01234567", "[]"),
        ("/skydns/com/example//double", "{}"),
        ("/skydns/com/example/there", r#"{"host":"203.0.113.1","owner":"somebody"}"#),
        ("/skydns/com/exampleX/outside", "x"),
        ("/skydns/org/outside", "x"),
    ];
    let mut client = server.client().await;
    for (key, value) in strange {
        client.put(key, value, None).await.expect("a put");
    }
    let lines = ["www 60 A 192.0.2.1", "bad 60 A 192.0.2.2", "bad2 60 A 192.0.2.3", "there 60 A 192.0.2.4"];
    let published = Published::start(&plain(&server.endpoint()), &lines);
    let report = published.until("compared", |report| report.comparisons > 0 && report.changes == 2).await;
    let condition = report.condition([&name("bad.example.com")]);
    assert_eq!(condition.reason, "Unreadable");
    assert!(condition.message.contains("/skydns/com/example/bad"), "{}", condition.message);
    assert_eq!(report.condition([&name("there.example.com")]).reason, "NotOurs");
    for good in ["www.example.com", "bad2.example.com"] {
        assert_eq!(report.condition([&name(good)]).status, "True", "{good}");
    }
    published.want(&[], &["www", "bad", "bad2", "there"]);
    published.until("deleted", |report| report.published == 0 && report.changes == 4).await;
    let left = keys(&server).await;
    for (key, value) in &strange[..5] {
        assert_eq!(left.get(*key).map(String::as_str), Some(*value), "{key}");
    }
    assert_eq!(left.len(), 5, "{left:#?}");
}

#[tokio::test]
async fn who_may_not_write_is_told_so_in_etcds_words_and_without_the_password() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for user in ["root", "reader"] {
        client.user_add(user, "the right one", None).await.expect("a user");
        client.role_add(user).await.expect("a role");
        client.user_grant_role(user, user).await.expect("a grant");
    }
    let reading = etcd_client::Permission::read("/skydns/").with_prefix();
    client.role_grant_permission("reader", reading).await.expect("a permission");
    client.auth_enable().await.expect("authentication");
    let file = server.folder().join("password");
    let section = json!({"endpoints": [server.endpoint()], "username": "reader", "passwordFile": file.to_str()});
    let missing = Published::start(&section, &["www 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    let report = missing.until("refused", |report| report.last_error.is_some()).await;
    assert_eq!(report.last_error_kind, Some("denied"), "{:?}", report.last_error);
    std::fs::write(&file, "a wrong one\n").expect("a file");
    let wrong = |report: &ZoneReport| report.last_error.as_ref().is_some_and(|words| words.contains("etcd says"));
    let report = missing.until("refused by etcd", wrong).await;
    assert_eq!(report.last_error_kind, Some("denied"), "{:?}", report.last_error);
    assert!(!format!("{report:?}").contains("a wrong one"));
    // The file is read again for each connection.
    std::fs::write(&file, "the right one\n").expect("a file");
    let denied =
        |report: &ZoneReport| report.last_error.as_ref().is_some_and(|words| words.contains("permission denied"));
    let report = missing.until("denied", denied).await;
    assert_eq!(report.last_error_kind, Some("denied"));
    assert!(report.quarantined.is_empty(), "it is not about a name: {:?}", report.quarantined);
}

#[tokio::test]
async fn all_keys_go_with_the_lease_when_nobody_keeps_it_and_a_successor_writes_nothing() {
    let server = Server::start().await;
    let section = json!({"endpoints": [server.endpoint()], "lease": "1m"});
    let lines = ["www 60 A 192.0.2.1", "b 60 CNAME www.example.com."];
    let first = Published::start(&section, &lines);
    first.until("in sync", |report| report.in_sync).await;
    first.leading.send_replace(false);
    first.until("not leading", |report| !report.leading).await;
    let mut client = server.client().await;
    let leases = client.leases().await.expect("leases");
    let lease = leases.leases().first().expect("a lease").id();
    let bound = |keys: &etcd_client::GetResponse| keys.kvs().iter().all(|pair| pair.lease() == lease);
    let all = client.get("/skydns/", Some(GetOptions::new().with_prefix())).await.expect("a reading");
    assert!(all.kvs().len() == 2 && bound(&all), "{all:?}");
    let second = Published::start(&section, &lines);
    let report = second.until("in sync", |report| report.in_sync).await;
    assert_eq!(report.changes, 0);
    // What its end does, without waiting for it; whoever leads begins anew.
    client.lease_revoke(lease).await.expect("a revocation");
    until_keys(&server, "there again", |keys| keys.len() == 2).await;
    let all = client.get("/skydns/", Some(GetOptions::new().with_prefix())).await.expect("a reading");
    assert!(bound(&all), "the same lease: {all:?}");
    // Without the setting keys are bound to nothing.
    second.leading.send_replace(false);
    let third = Published::start(&plain(&server.endpoint()), &lines);
    third.until("in sync", |report| report.in_sync && report.changes == 2).await;
    let all = client.get("/skydns/", Some(GetOptions::new().with_prefix())).await.expect("a reading");
    assert!(all.kvs().iter().all(|pair| pair.lease() == 0), "{all:?}");
}

/// A batch of one change.
fn batch(change: Change) -> Batch {
    let (_, leads) = watch::channel(true);
    Batch { apex: apex(), manager: manager(), changes: vec![change], leadership: Arc::new(leads) }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_change_that_is_late_does_nothing() {
    let server = Server::start().await;
    let proxy = Proxy::open(server.port());
    let etcd = Etcd::new("etcd", &[apex()], &manager(), &plain(&proxy.endpoint())).expect("settings");
    etcd.read(&apex()).await.expect("a reading");
    let group = |line: &str| etcd.translate(&wish(&apex(), line).expect("a wish")).expect("a group");
    let www = name("www.example.com");
    let create = |line| Change::Create { after: group(line), reason: String::new() };
    proxy.lose_answer(0);
    let lost = etcd.apply(&batch(create("www 60 A 192.0.2.1"))).await;
    assert!(matches!(&lost, Err(PublishError::Unavailable { .. })), "{lost:?}");
    assert!(has_host(&keys(&server).await, "192.0.2.1"), "it was made all the same");
    let late = etcd.apply(&batch(create("www 60 A 192.0.2.2"))).await.expect("a report");
    assert!(matches!(late.outcomes.get(&www), Some(Outcome::Unknown(words)) if words.contains("changed")), "{late:?}");
    let Ok(ReadName::Standing(Some(before))) = etcd.read_name(&apex(), &www).await else { panic!("it is there") };
    let reason = String::new();
    let replace = Change::Replace { before: *before, after: group("www 60 A 192.0.2.3"), reason };
    let done = etcd.apply(&batch(replace.clone())).await.expect("a report");
    let Some(Outcome::Done(Some(standing))) = done.outcomes.get(&www) else { panic!("{done:?}") };
    let Ok(ReadName::Standing(Some(read))) = etcd.read_name(&apex(), &www).await else { panic!("it is there") };
    assert_eq!((&standing.group, standing.revision), (&read.group, read.revision));
    let again = etcd.apply(&batch(replace)).await.expect("a report");
    assert!(matches!(again.outcomes.get(&www), Some(Outcome::Unknown(_))), "{again:?}");
    assert!(has_host(&keys(&server).await, "192.0.2.3"));
}

#[tokio::test]
async fn a_name_with_more_targets_than_a_transaction_takes_is_written_and_deleted() {
    let server = Server::start().await;
    let targets = |net: u8| {
        let all: Vec<String> = (0..300).map(|index| format!("10.{net}.{}.{}", index / 250, index % 250)).collect();
        format!("www 60 A {}", all.join(" / "))
    };
    let (first, second) = (targets(1), targets(2));
    let published = Published::start(&plain(&server.endpoint()), &[&first]);
    published.until("in sync", |report| report.in_sync).await;
    assert_eq!(keys(&server).await.len(), 300);
    published.want(&[&second], &["www"]);
    published.until("changed", |report| report.in_sync && report.changes == 2).await;
    let all = keys(&server).await;
    assert!(all.len() == 300 && has_host(&all, "10.2.0.0"), "{}", all.len());
    published.want(&[], &["www"]);
    published.until("deleted", |report| report.in_sync && report.changes == 3).await;
    assert_eq!(keys(&server).await.len(), 0);
}

#[tokio::test]
async fn what_is_above_and_below_the_zone_is_nobodys_business() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.put("/skydns/com/other", r#"{"host":"192.0.2.1","owner":"prod"}"#, None).await.expect("a put");
    client.put("/skydns/com/example/sub/x", r#"{"host":"192.0.2.1","owner":"prod"}"#, None).await.expect("a put");
    let zones = [apex(), name("sub.example.com")];
    let etcd = Etcd::new("etcd", &zones, &manager(), &plain(&server.endpoint())).expect("settings");
    assert!(etcd.read(&zones[0]).await.expect("a reading").names.is_empty());
    assert_eq!(etcd.read(&zones[1]).await.expect("a reading").names.len(), 1);
    client.delete("/skydns/", Some(DeleteOptions::new().with_prefix())).await.expect("a delete");
    assert!(etcd.read(&zones[1]).await.expect("a reading").names.is_empty());
}
