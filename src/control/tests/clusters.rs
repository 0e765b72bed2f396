//! Statuses of KubeFedClusters, annotations of Domains, tokens, and Events.

mod support;

use std::{sync::Arc, time::Duration};

use mcdns_api::Condition;
use mcdns_control::{
    Leadership, Notice, PublishedZone, Regarding, recorder,
    tokens::{
        EXPIRES_ANNOTATION, Members, Renewal, SERVICE_ACCOUNT_ANNOTATION, SecretRef, TokenError, keep_renewed, renew,
    },
};
use mcdns_core::{
    health::{Verdict, VerdictCondition},
    model::{ClusterName, ConditionStatus, NamespacedName, Timestamp},
};
use serde_json::{Value, json};
use support::{
    ApiServer, Fault,
    stage::{Stage, holder, holder_again, wall},
};
use tokio::sync::watch;

const CLUSTER: &str = "/apis/core.kubefed.io/v1beta1/namespaces/fed/kubefedclusters/c1";
const DOMAIN: &str = "/apis/multiclusterdns.kubefed.io/v1alpha1/namespaces/fed/domains/galactic";
const SECRET: &str = "/api/v1/namespaces/fed/secrets/c1-token";
const ACCOUNT: &str = "/api/v1/namespaces/fed/serviceaccounts/c1-host";

fn verdict(is_ready: bool, probed: i64) -> Verdict {
    let condition = |status: bool, reason: &'static str, message: &str| VerdictCondition {
        status: if status { ConditionStatus::True } else { ConditionStatus::False },
        reason,
        message: message.to_owned(),
        since: Timestamp(1_000_000),
    };
    let (reason, message) = if is_ready {
        ("ClusterReady", "/readyz responded with ok")
    } else {
        ("Unauthorized", "the token is refused; run mcdns join again")
    };
    Verdict {
        ready: condition(is_ready, reason, message),
        offline: condition(false, "ClusterReachable", "cluster is reachable"),
        probed: Timestamp(probed * 1000),
        region: None,
        availability_zones: Vec::new(),
    }
}

fn cluster(stage: &Stage) -> Value {
    stage.server.get(CLUSTER).expect("a cluster")["status"].clone()
}

/// A stage with a cluster whose region a person has set.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.server.put(
        CLUSTER,
        json!({"metadata": {"namespace": "fed"}, "spec": {"apiEndpoint": "https://c1"},
        "status": {"region": "us", "zones": ["us1"], "conditions": [
            {"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "/readyz responded with ok",
             "lastProbeTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ]}}),
    );
    stage
}

#[tokio::test(start_paused = true)]
async fn a_cluster_gets_conditions_as_kubefed_has_them_and_keeps_what_a_person_set() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(true, 5000)))]);
    stage.server.until("written", |server| !server.writes("kubefedclusters").is_empty()).await;
    let status = cluster(&stage);
    assert_eq!((&status["region"], &status["zones"]), (&json!("us"), &json!(["us1"])));
    assert_eq!(
        status["conditions"],
        json!([
            {"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "/readyz responded with ok",
             "lastProbeTime": "1970-01-01T01:23:20Z", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "Offline", "status": "False", "reason": "ClusterReachable", "message": "cluster is reachable",
             "lastProbeTime": "1970-01-01T01:23:20Z", "lastTransitionTime": "1970-01-01T00:16:40Z"},
        ])
    );
    // What the nodes say goes before.
    let told = Verdict { region: Some("eu".into()), availability_zones: vec!["eu1".into()], ..verdict(true, 5010) };
    stage.writer.verdicts(vec![("c1".into(), Some(told))]);
    stage.server.until("the new region", |server| server.get(CLUSTER).expect("it")["status"]["region"] == "eu").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_region_without_zones_has_not_those_of_the_old_one() {
    let stage = stage();
    stage.server.edit(CLUSTER, |cluster| cluster["status"] = json!({}));
    let told = |region: &str, zones: &[&str], probed| {
        let availability_zones = zones.iter().map(|zone| (*zone).into()).collect();
        let verdict = Verdict { region: Some(region.into()), availability_zones, ..verdict(true, probed) };
        stage.writer.verdicts(vec![("c1".into(), Some(verdict))]);
    };
    told("eu", &["eu1"], 5000);
    stage.idle(Duration::from_secs(1)).await;
    assert_eq!((&cluster(&stage)["region"], &cluster(&stage)["zones"]), (&json!("eu"), &json!(["eu1"])));
    // The same region, from nodes that say no zone: what was known stays.
    told("eu", &[], 5010);
    stage.idle(Duration::from_secs(20)).await;
    assert_eq!((&cluster(&stage)["region"], &cluster(&stage)["zones"]), (&json!("eu"), &json!(["eu1"])));
    told("ap", &[], 5020);
    stage.idle(Duration::from_secs(20)).await;
    assert_eq!((&cluster(&stage)["region"], &cluster(&stage)["zones"]), (&json!("ap"), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_time_of_a_probe_is_written_once_a_period_and_a_flip_at_once() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    for second in 0..100 {
        stage.writer.verdicts(vec![("c1".into(), Some(verdict(true, 5000 + second)))]);
        stage.idle(Duration::from_secs(1)).await;
    }
    let writes = stage.server.writes("kubefedclusters").len();
    assert!((10..=12).contains(&writes), "{writes} writes in a hundred seconds");
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(false, 5101)))]);
    stage.idle(Duration::from_millis(300)).await;
    assert_eq!(cluster(&stage)["conditions"][0]["reason"], "Unauthorized");
    let event = stage.until_event("Unauthorized").await;
    assert_eq!(event["note"], "the token is refused; run mcdns join again");
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(true, 5102)))]);
    let event = stage.until_event("ClusterReady").await;
    assert_eq!((&event["type"], &event["regarding"]["kind"]), (&json!("Normal"), &json!("KubeFedCluster")));
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_the_watch_has_not_told_yet_is_not_undone() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    // The write meets a newer version than it was made from.
    let conflict = json!({"kind": "Status", "code": 409, "reason": "Conflict"});
    stage.server.fail("kubefedclusters/c1/status", Fault::Status(409, conflict, None), 1);
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(false, 5000)))]);
    stage.server.until("written", |server| server.writes("kubefedclusters").len() == 2).await;
    let reads = stage.server.requests().iter().filter(|one| one.method == "GET").count();
    assert_eq!(reads, 1);
    let writes = stage.server.writes("kubefedclusters");
    assert!(writes.iter().all(|write| write.body["metadata"]["resourceVersion"].is_string()));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_somebody_else_judges_from_now_on_is_left_to_them() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(false, 5000)))]);
    stage.server.until("written", |server| !server.writes("kubefedclusters").is_empty()).await;
    stage.idle(Duration::from_secs(1)).await;
    let before = stage.server.writes("kubefedclusters").len();
    stage.writer.verdicts(vec![("c1".into(), None)]);
    stage.server.edit(CLUSTER, |cluster| {
        cluster["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "reason": "ClusterReady"}]);
        cluster["metadata"]["managedFields"] = json!([{"manager": "hyperfed", "fieldsV1": {"f:status": {}}}]);
    });
    stage.writer.held(vec![("c1".into(), Some(condition("Held", "True", "ManyObjectsGone")))]);
    stage.idle(Duration::from_hours(2)).await;
    assert_eq!(stage.server.writes("kubefedclusters").len(), before);
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(false, 5010)))]);
    stage.idle(Duration::from_secs(1)).await;
    assert_eq!(cluster(&stage)["conditions"][0]["reason"], "Unauthorized", "it is ours again");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_gone_is_not_written() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    stage.server.delete(CLUSTER);
    stage.idle(Duration::from_secs(1)).await;
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(false, 5000)))]);
    stage.idle(Duration::from_mins(1)).await;
    assert!(stage.server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_domain_says_what_was_published_at_most_once_a_second() {
    let stage = Stage::new();
    let annotations = json!({"owner": "dns-team"});
    stage.server.put(DOMAIN, json!({"metadata": {"annotations": annotations}, "domain": "example.com"}));
    let domain = NamespacedName { namespace: "fed".into(), name: "galactic".into() };
    for serial in 1..=100 {
        let zone = PublishedZone { domain: domain.clone(), serial, digest: format!("{serial:x}") };
        stage.writer.publish(vec![zone]);
        stage.idle(Duration::from_millis(50)).await;
    }
    stage.idle(Duration::from_secs(2)).await;
    let annotations = stage.server.get(DOMAIN).expect("it")["metadata"]["annotations"].clone();
    assert_eq!(annotations["mcdns.io/published"], "{\"digest\":\"64\",\"serial\":100}");
    assert_eq!(annotations["owner"], "dns-team");
    let writes = stage.server.writes("domains").len();
    assert!((4..=7).contains(&writes), "{writes} writes in five seconds");
    stage.idle(Duration::from_hours(3)).await;
    assert_eq!(stage.server.writes("domains").len(), writes);
    // Somebody removes it.
    stage.server.edit(DOMAIN, |domain| domain["metadata"]["annotations"] = json!({}));
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(stage.server.writes("domains").len(), writes + 1);
}

#[tokio::test(start_paused = true)]
async fn a_serial_never_goes_back_behind_what_another_replica_has_published() {
    let stage = Stage::new();
    stage.server.put(DOMAIN, json!({"metadata": {}, "domain": "example.com"}));
    let domain = NamespacedName { namespace: "fed".into(), name: "galactic".into() };
    let publish = |serial: u32, digest: &str| {
        stage.writer.publish(vec![PublishedZone { domain: domain.clone(), serial, digest: digest.to_owned() }]);
    };
    let other = |serial: u32| {
        stage.server.edit(DOMAIN, |domain| {
            let text = json!({"serial": serial, "digest": "other"}).to_string();
            domain["metadata"]["annotations"] = json!({"mcdns.io/published": text});
        })
    };
    let stands = || {
        let annotations = stage.server.get(DOMAIN).expect("it")["metadata"]["annotations"].clone();
        let text = annotations["mcdns.io/published"].as_str().expect("a text").to_owned();
        serde_json::from_str::<Value>(&text).expect("JSON")["serial"].clone()
    };
    publish(41, "a");
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(stands(), 41);
    stage.leadership.send_replace(Leadership::Follower { holder: Some("other".to_owned()) });
    stage.idle(Duration::from_secs(2)).await;
    other(50);
    stage.leadership.send_replace(holder_again(2));
    stage.idle(Duration::from_hours(1)).await;
    assert_eq!(stands(), 50, "what was wanted in the term before is not wanted in this one");
    // What is asked for by somebody who has not seen that yet, and then by one who has.
    publish(42, "b");
    stage.idle(Duration::from_hours(1)).await;
    assert_eq!(stands(), 50);
    publish(51, "b");
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(stands(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_serial_that_comes_between_reading_and_writing_is_a_conflict() {
    let stage = Stage::new();
    stage.server.put(DOMAIN, json!({"metadata": {}, "domain": "example.com"}));
    stage.idle(Duration::from_secs(1)).await;
    let domain = NamespacedName { namespace: "fed".into(), name: "galactic".into() };
    let conflict = json!({"kind": "Status", "code": 409, "reason": "Conflict"});
    stage.server.fail("/domains/galactic", Fault::Status(409, conflict, None), 1);
    stage.writer.publish(vec![PublishedZone { domain, serial: 42, digest: "a".to_owned() }]);
    stage.idle(Duration::from_secs(2)).await;
    let writes = stage.server.writes("domains");
    assert_eq!(writes.iter().map(|write| write.status).collect::<Vec<_>>(), [409, 200]);
    assert!(writes.iter().all(|write| write.body["metadata"]["resourceVersion"].is_string()));
    assert!(
        stage.server.requests().iter().any(|one| one.method == "GET"),
        "what stands is read before it is tried again"
    );
}

fn condition(kind: &str, status: &str, reason: &str) -> Condition {
    Condition {
        last_transition_time: None,
        message: "said".to_owned(),
        observed_generation: Some(1),
        reason: reason.to_owned(),
        status: status.to_owned(),
        kind: kind.to_owned(),
    }
}

/// `Ready=True (Served)` and so on.
fn conditions(stage: &Stage, path: &str) -> Vec<String> {
    let status = stage.server.get(path).expect("it")["status"].clone();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    conditions.map(|one| format!("{}={} ({})", text(one, "type"), text(one, "status"), text(one, "reason"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_domain_says_that_it_is_served_what_is_held_and_that_nothing_is_any_more() {
    let stage = Stage::new();
    stage.server.put(DOMAIN, json!({"metadata": {}, "domain": "example.com"}));
    let domain = NamespacedName { namespace: "fed".into(), name: "galactic".into() };
    let ready = condition("Ready", "True", "Served");
    let held = condition("Held", "True", "ManyObjectsGone");
    stage.writer.domains(vec![(domain.clone(), Some(vec![ready.clone()]))]);
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(conditions(&stage, DOMAIN), ["Ready=True (Served)"]);
    stage.writer.domains(vec![(domain.clone(), Some(vec![ready.clone(), held]))]);
    let event = stage.until_event("ManyObjectsGone").await;
    assert_eq!((&event["type"], &event["regarding"]["kind"]), (&json!("Warning"), &json!("Domain")));
    assert_eq!(conditions(&stage, DOMAIN), ["Ready=True (Served)", "Held=True (ManyObjectsGone)"]);
    stage.writer.domains(vec![(domain.clone(), Some(vec![ready.clone()]))]);
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(conditions(&stage, DOMAIN), ["Ready=True (Served)", "Held=False (NothingHeld)"]);
    let writes = stage.server.writes("domains").len();
    stage.writer.domains(vec![(domain, Some(vec![ready]))]);
    stage.idle(Duration::from_hours(3)).await;
    assert_eq!(stage.server.writes("domains").len(), writes, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_domains_have_no_status_is_told_so_once_and_left_alone() {
    let stage = Stage::new();
    stage.server.put(DOMAIN, json!({"metadata": {}, "domain": "example.com"}));
    let domain = NamespacedName { namespace: "fed".into(), name: "galactic".into() };
    // As a CRD without the subresource answers: it names the object.
    let missing = json!({"kind": "Status", "code": 404, "reason": "NotFound",
        "details": {"name": "galactic", "kind": "domains"}});
    stage.server.fail("domains/galactic/status", Fault::Status(404, missing, None), usize::MAX);
    for reason in ["Served", "DomainShared", "Served", "DomainShared"] {
        stage.writer.domains(vec![(domain.clone(), Some(vec![condition("Ready", "True", reason)]))]);
        stage.idle(Duration::from_mins(1)).await;
    }
    let event = stage.until_event("KindMissing").await;
    assert_eq!(event["regarding"]["kind"], "Lease");
    assert_eq!(stage.server.writes("domains").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_of_a_member_stands_beside_its_health() {
    let stage = stage();
    stage.idle(Duration::from_secs(1)).await;
    stage.writer.held(vec![("c1".into(), Some(condition("Held", "True", "ManyObjectsGone")))]);
    stage.idle(Duration::from_secs(1)).await;
    assert!(stage.server.writes("kubefedclusters").is_empty(), "its status may be somebody else's");
    stage.writer.verdicts(vec![("c1".into(), Some(verdict(true, 5000)))]);
    stage.idle(Duration::from_secs(1)).await;
    let healthy = ["Ready=True (ClusterReady)", "Offline=False (ClusterReachable)"];
    assert_eq!(conditions(&stage, CLUSTER), [healthy[0], healthy[1], "Held=True (ManyObjectsGone)"]);
    stage.writer.held(vec![("c1".into(), None)]);
    stage.idle(Duration::from_secs(1)).await;
    assert_eq!(conditions(&stage, CLUSTER), [healthy[0], healthy[1], "Held=False (NothingHeld)"]);
}

fn secret(server: &ApiServer, expires: &str) {
    server.put(
        SECRET,
        json!({
            "metadata": {"annotations": {SERVICE_ACCOUNT_ANNOTATION: "fed/c1-host", EXPIRES_ANNOTATION: expires}},
            "data": {"token": "b2xk", "ca.crt": "Y2E="},
        }),
    );
}

fn next_token(server: &ApiServer, expires: &str) {
    server.put(ACCOUNT, json!({"metadata": {}, "next": {"token": "new", "expirationTimestamp": expires}}));
}

fn secret_ref() -> SecretRef {
    SecretRef { namespace: "fed".to_owned(), name: "c1-token".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_before_half_of_its_life_and_nothing_else_of_the_secret() {
    let (host, member) = (ApiServer::new(), ApiServer::new());
    secret(&host, "2026-01-02T00:00:00Z");
    next_token(&member, "2026-01-03T00:00:00Z");
    let at = |text: &str| {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Timestamp(time.as_millisecond())
    };
    let renewed = |now: Timestamp| {
        let (host, member) = (host.client(), member.client());
        async move { renew(&host, &member, &secret_ref(), now).await }
    };
    let early = renewed(at("2026-01-01T00:00:00Z")).await.expect("nothing to do");
    assert_eq!(early, Renewal::NotDue(at("2026-01-01T09:36:00Z")));
    let done = renewed(at("2026-01-01T10:00:00Z")).await.expect("a new token");
    assert_eq!(done, Renewal::Renewed(at("2026-01-03T00:00:00Z")));
    let secret = host.get(SECRET).expect("the Secret");
    assert_eq!(secret["data"], json!({"token": "bmV3", "ca.crt": "Y2E="}));
    assert_eq!(secret["metadata"]["annotations"][EXPIRES_ANNOTATION], "2026-01-03T00:00:00Z");
    assert_eq!(secret["metadata"]["annotations"][SERVICE_ACCOUNT_ANNOTATION], "fed/c1-host");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_no_later_and_a_secret_that_is_not_ours_are_left_alone() {
    let (host, member) = (ApiServer::new(), ApiServer::new());
    secret(&host, "2026-01-02T00:00:00Z");
    next_token(&member, "2026-01-02T00:00:00Z");
    let late = Timestamp(4_000_000_000_000);
    let outcome = renew(&host.client(), &member.client(), &secret_ref(), late).await;
    assert!(matches!(outcome, Err(TokenError::Unusable(_))), "{outcome:?}");
    host.put(SECRET, json!({"metadata": {}, "data": {"token": "b2xk"}}));
    let outcome = renew(&host.client(), &member.client(), &secret_ref(), late).await.expect("nothing to do");
    assert_eq!(outcome, Renewal::NotOurs);
    assert!(host.writes("").is_empty());
}

struct OneMember(ApiServer);

impl Members for OneMember {
    fn secrets(&self) -> Vec<(ClusterName, SecretRef)> {
        vec![("c1".into(), secret_ref())]
    }

    fn client(&self, _: &ClusterName) -> Option<kube::Client> {
        Some(self.0.client())
    }
}

#[tokio::test(start_paused = true)]
async fn the_holder_keeps_tokens_renewed_and_tells_when_it_cannot() {
    let (host, member) = (ApiServer::new(), ApiServer::new());
    let in_hours = |hours: i64| jiff::Timestamp::from_second(wall() + hours * 3600).expect("a time").to_string();
    secret(&host, &in_hours(1));
    let (leadership, receiver) = watch::channel(Leadership::Follower { holder: None });
    let recorder = recorder(host.client(), "r", receiver.clone());
    let members: Arc<dyn Members> = Arc::new(OneMember(member.clone()));
    tokio::spawn(keep_renewed(host.client(), members, receiver, recorder));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(host.requests().is_empty(), "a follower asks for nothing");

    leadership.send_replace(holder());
    let told = |server: &ApiServer| server.objects().values().any(|one| one["reason"] == "TokenRenewalFailed");
    host.until("it is told", told).await;
    next_token(&member, &in_hours(24));
    host.until("a new token", |server| server.get(SECRET).expect("it")["data"]["token"] == "bmV3").await;
    let writes = host.writes("secrets").len();
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(host.writes("secrets").len(), writes);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_repeated_becomes_a_series() {
    let server = ApiServer::new();
    let (_leadership, receiver) = watch::channel(holder());
    let recorder = recorder(server.client(), "replica-1", receiver);
    let notice = Notice {
        regarding: Regarding {
            api_version: "core.kubefed.io/v1beta1".to_owned(),
            kind: "KubeFedCluster".to_owned(),
            namespace: "fed".to_owned(),
            name: "c1".to_owned(),
            uid: None,
        },
        reason: "ClusterNotReachable".to_owned(),
        about: "".into(),
        note: "x".repeat(5000),
        is_warning: true,
    };
    for _ in 0..11 {
        recorder.tell(notice.clone());
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    let writes = server.writes("/events");
    assert_eq!(writes.iter().map(|one| one.method.as_str()).collect::<Vec<_>>(), ["POST", "PATCH"]);
    assert_eq!(writes[0].body["note"].as_str().map(str::len), Some(1024));
    assert_eq!(writes[0].body["reportingInstance"], "replica-1");
    assert_eq!(writes[1].body["series"]["count"], 11);
    server.fail("/events", Fault::Status(403, json!({"kind": "Status"}), None), usize::MAX);
    recorder.tell(Notice { reason: "Other".to_owned(), ..notice });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(recorder.counts().failed, 1);
}
