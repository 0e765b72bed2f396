//! Health of members, and who maintains it.

use std::time::Duration;

use mcdns_core::model::{ClusterName, ConditionStatus, Fact, Kind, ObjectKey};
use mcdns_sources::kubernetes::HealthMode;
use serde_json::{Value, json};
use support::api_server::Fault;

use crate::world::{SYSTEM, View, World, cluster};

fn us() -> ClusterName {
    "us".into()
}

fn written(status: &str, probed: &jiff_time::Text) -> Value {
    let mut object = cluster("us");
    object["metadata"]["managedFields"] = json!([{"manager": "controller-manager", "operation": "Update",
        "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:status": {}}}]);
    object["status"] = json!({"conditions": [{"type": "Ready", "status": status, "reason": "Written",
        "lastProbeTime": probed.0, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    object
}

/// Times as API servers write them.
mod jiff_time {
    use std::time::{SystemTime, UNIX_EPOCH};

    pub(crate) struct Text(pub(crate) String);

    /// Now and so many seconds, which may be negative.
    pub(crate) fn now_and(seconds: i64) -> Text {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let seconds = i64::try_from(since.as_secs()).expect("before the year 292277026596") + seconds;
        Text(jiff::Timestamp::from_second(seconds).expect("a time").to_string())
    }
}

use jiff_time::now_and;

/// Reason of the condition Ready as it is told.
fn ready(view: &View) -> Option<(ConditionStatus, String)> {
    match &view.objects.get(&ObjectKey::host(Kind::Cluster, SYSTEM, "us"))?.fact {
        Fact::Cluster(cluster) => {
            let ready = cluster.ready.as_ref()?;
            Some((ready.status, ready.reason.as_deref().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}

#[tokio::test]
async fn reasons_tell_apart_what_is_wrong() {
    let cases = [
        (Fault::Status(401), "Unauthorized"),
        (Fault::Status(403), "Unauthorized"),
        (Fault::Status(500), "ClusterNotReady"),
        (Fault::Garbage, "ClusterNotReady"),
        (Fault::Hang, "ClusterNotReachable"),
    ];
    for (fault, reason) in cases {
        let mut world = World::new(&["us"]);
        world.options.health.timeout = Duration::from_millis(300);
        world.member("us").fail("/readyz", fault.clone());
        let mut view = world.observe();
        view.until("a verdict", |view| view.verdicts.contains_key(&us())).await;
        assert_eq!(view.verdicts[&us()].ready.reason, reason, "{fault:?}");
        assert_ne!(view.verdicts[&us()].ready.status, ConditionStatus::True);
    }
}

#[tokio::test]
async fn a_server_without_readyz_is_asked_for_healthz() {
    let world = World::new(&["us"]);
    world.member("us").set_readyz(None);
    let mut view = world.observe();
    view.until("a verdict", |view| view.verdicts.contains_key(&us())).await;
    assert_eq!(view.verdicts[&us()].ready.reason, "ClusterReady");
}

#[tokio::test]
async fn a_member_is_lost_after_three_failures_and_back_after_one_success() {
    let mut world = World::new(&["us"]);
    world.options.health.period = Duration::from_millis(50);
    let mut view = world.observe();
    view.until("it is ready", |view| view.verdicts.contains_key(&us())).await;
    let member = world.member("us");
    let before = member.requests("/readyz");
    member.set_readyz(Some((500, "[-]etcd failed: reason withheld\n")));
    view.until("it is lost", |view| view.verdicts[&us()].ready.status == ConditionStatus::False).await;
    assert!(member.requests("/readyz") >= before + 3);
    assert!(view.verdicts[&us()].ready.message.contains("etcd"));
    assert_eq!(ready(&view), Some((ConditionStatus::False, "ClusterNotReady".to_owned())));
    member.set_readyz(Some((200, "ok")));
    view.until("it is back", |view| view.verdicts[&us()].ready.status == ConditionStatus::True).await;
}

#[tokio::test]
async fn while_somebody_else_writes_mcdns_only_observes() {
    let mut world = World::new(&["us"]);
    world.options.health.mode = HealthMode::Auto;
    world.host.put(written("False", &now_and(0)));
    let mut view = world.observe();
    view.next().await;
    assert!(view.verdicts.is_empty());
    // Our own probe says something else, and the fresh written condition counts.
    assert_eq!(ready(&view), Some((ConditionStatus::False, "Written".to_owned())));
    let report = view.report("the mode", |report| report.members.contains_key(&us())).await;
    let health = report.members[&us()].health.clone().expect("a member has health");
    assert_eq!((health.mode, health.written_counts), (HealthMode::Observe, true));
    assert!(health.why.contains("controller-manager"), "{}", health.why);
}

#[tokio::test]
async fn what_was_to_be_written_is_taken_back_when_somebody_else_begins_to_write() {
    let mut world = World::new(&["us"]);
    world.options.health.mode = HealthMode::Auto;
    world.host.put(written("False", &now_and(-3600)));
    let mut view = world.observe();
    view.until("a verdict", |view| view.verdicts.contains_key(&us())).await;
    world.host.put(written("False", &now_and(0)));
    view.until("it is taken back", |view| !view.verdicts.contains_key(&us())).await;
}

#[tokio::test]
async fn what_was_written_long_ago_counts_no_more_and_mcdns_takes_over() {
    let mut world = World::new(&["us"]);
    world.options.health.mode = HealthMode::Auto;
    world.host.put(written("False", &now_and(-3600)));
    let mut view = world.observe();
    view.until("our own probe counts", |view| ready(view) == Some((ConditionStatus::True, "ClusterReady".to_owned())))
        .await;
    view.until("a verdict", |view| view.verdicts.contains_key(&us())).await;
}

#[tokio::test]
async fn a_written_condition_that_grows_old_gives_way_by_itself_even_while_the_host_is_away() {
    let mut world = World::new(&["us"]);
    world.options.health.mode = HealthMode::Auto;
    world.options.health.period = Duration::from_millis(700);
    world.host.put(written("False", &now_and(0)));
    let mut view = world.observe();
    view.next().await;
    world.host.fail("/", Fault::Status(500));
    world.host.cut_watches();
    view.until("our own probe counts", |view| ready(view) == Some((ConditionStatus::True, "ClusterReady".to_owned())))
        .await;
}

#[tokio::test]
async fn set_to_observe_mcdns_never_writes_health() {
    let mut world = World::new(&["us"]);
    world.options.health.mode = HealthMode::Observe;
    world.options.health.period = Duration::from_millis(20);
    let mut view = world.observe();
    view.next().await;
    let member = world.member("us");
    while member.requests("/readyz") < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(view.batches.try_recv().is_err());
    assert!(view.verdicts.is_empty());
}

#[tokio::test]
async fn a_member_whose_secret_is_gone_stays_ready_while_it_answers() {
    let mut world = World::new(&["us"]);
    world.options.health.period = Duration::from_millis(50);
    let mut view = world.observe();
    view.until("it is ready", |view| view.verdicts.contains_key(&us())).await;
    assert!(world.host.delete("secrets", SYSTEM, "us-token"));
    let report = view.report("it is told", |report| !report.findings.is_empty()).await;
    assert!(report.findings[0].message.contains("us-token does not exist"), "{:?}", report.findings);
    assert_eq!(report.members[&us()].misconfigured, None);
    let member = world.member("us");
    let before = member.requests("/readyz");
    while member.requests("/readyz") < before + 5 {
        view.next().await;
    }
    assert_eq!(view.verdicts[&us()].ready.status, ConditionStatus::True);
    // What it is itself counts as ever.
    member.set_readyz(Some((500, "no")));
    view.until("it is lost", |view| view.verdicts[&us()].ready.status == ConditionStatus::False).await;
}
