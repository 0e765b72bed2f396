//! Statuses and DNSEndpoints of records: written once, healed, cleaned up, and never more than that.

mod support;

use std::{sync::Arc, time::Duration};

use mcdns_control::{Leadership, Notice, Regarding, Urgency, WriterOptions};
use serde_json::json;
use support::{
    ApiServer, Fault,
    stage::{ALL, DNS, Stage, endpoint_path, holder, holder_again, key, record_path},
};

#[tokio::test(start_paused = true)]
async fn a_record_is_written_once_its_dnsendpoint_first() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_hours(3)).await;
    let writes = stage.server.writes("");
    let paths: Vec<&str> = writes.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, [endpoint_path("web"), record_path("web") + "/status"]);
    let endpoint = stage.server.get(&endpoint_path("web")).expect("it was written");
    assert_eq!(endpoint["metadata"]["ownerReferences"][0]["name"], "web");
}

#[tokio::test(start_paused = true)]
async fn a_new_holder_writes_nothing_that_stands_and_keeps_the_times() {
    let first = Stage::new();
    first.want("web", "192.0.2.1", false);
    first.until_written("web", "192.0.2.1").await;
    first.writer.stop().await;
    first.server.edit(&record_path("web"), |record| {
        record["status"]["conditions"][1]["lastTransitionTime"] = json!("2020-01-01T00:00:00Z");
    });
    let written = first.server.writes("").len();

    let second = Stage::on(first.server.clone(), WriterOptions::new("fed"), first.wanted.clone(), holder());
    second.writer.stands_complete(&ALL);
    second.idle(Duration::from_mins(5)).await;
    assert_eq!(second.server.writes("").len(), written);

    second.want("web", "192.0.2.2", true);
    second.until_written("web", "192.0.2.2").await;
    let record = second.server.get(&record_path("web")).expect("it stands");
    assert_eq!(record["status"]["conditions"][1]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    let degraded = record["status"]["conditions"][0]["lastTransitionTime"].as_str().expect("a time");
    assert!(degraded > "2020-01-01T00:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_change_for_the_worse_is_told_once() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.want("web", "192.0.2.2", true);
    let event = stage.until_event("ClusterUnready").await;
    assert_eq!(event["note"], "Degraded: cluster c2 is of unknown readiness");
    assert_eq!((&event["type"], &event["regarding"]["name"]), (&json!("Warning"), &json!("web")));
    assert!(event["regarding"]["uid"].is_string());
    stage.want("web", "192.0.2.3", true);
    stage.until_written("web", "192.0.2.3").await;
    stage.idle(Duration::from_hours(1)).await;
    assert_eq!(stage.server.writes("/events").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_edited_and_a_deleted_dnsendpoint_are_written_again() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.server.edit(&endpoint_path("web"), |endpoint| {
        endpoint["spec"]["endpoints"][0]["targets"][0] = json!("203.0.113.66");
        endpoint["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "fieldsV1": {"f:spec": {}}}]);
    });
    stage.until_written("web", "192.0.2.1").await;
    let event = stage.until_event("Restored").await;
    assert!(event["note"].as_str().expect("a note").starts_with("field manager kubectl-edit changed it"), "{event}");
    stage.idle(Duration::from_mins(2)).await;
    stage.server.delete(&endpoint_path("web"));
    stage.until_written("web", "192.0.2.1").await;
}

#[tokio::test(start_paused = true)]
async fn what_kubefed_wrote_goes_also_where_nothing_takes_its_place() {
    let stage = Stage::new();
    let targets = json!([{"dnsName": "web.shop.galactic.svc.example.com", "targets": ["203.0.113.1"]}]);
    stage.server.put(&endpoint_path("web"), json!({"metadata": {}, "spec": {"endpoints": targets}}));
    let clusters = json!([{"cluster": "old", "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}]);
    stage.server.put(&record_path("web"), json!({"metadata": {}, "spec": {}, "status": {"dns": clusters}}));
    stage.want_nothing_of("web");
    stage
        .server
        .until("both are empty", |server| {
            let at = |path: &str, pointer: &str| server.get(path).and_then(|object| object.pointer(pointer).cloned());
            at(&endpoint_path("web"), "/spec/endpoints") == Some(json!([]))
                && at(&record_path("web"), "/status/dns") == Some(json!([]))
        })
        .await;
    stage.idle(Duration::from_hours(2)).await;
    assert_eq!(stage.server.writes("").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_ends_our_writing_of_that_object_alone_until_it_is_quiet() {
    let stage = Stage::new();
    for name in ["web", "api"] {
        stage.want(name, "192.0.2.1", false);
        stage.until_written(name, "192.0.2.1").await;
    }
    let foreign = |number: usize| {
        stage.server.edit(&record_path("web"), |record| {
            record["status"] = json!({"dns": [{"cluster": format!("c{number}")}]});
            record["metadata"]["managedFields"] = json!([{"manager": "hyperfed", "fieldsV1": {"f:status": {}}}]);
        })
    };
    for number in 0..2 {
        foreign(number);
        stage.until_written("web", "192.0.2.1").await;
        stage.idle(Duration::from_secs(5)).await;
    }
    let event = stage.until_event("ForeignWriter").await;
    assert!(event["note"].as_str().expect("a note").contains("hyperfed"), "{event}");
    foreign(2);
    let before = stage.server.writes("servicednsrecords/web").len();
    stage.idle(Duration::from_mins(9)).await;
    assert_eq!(stage.server.writes("servicednsrecords/web").len(), before, "it is left to the other");
    let stopped = stage.writer.report().borrow().stopped.clone();
    assert_eq!(stopped.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["web"]);
    // The same record's DNSEndpoint, and others, go on.
    stage.want("api", "192.0.2.7", false);
    stage.until_written("api", "192.0.2.7").await;
    stage.idle(Duration::from_mins(3)).await;
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_secs(2)).await;
    assert!(stage.writer.report().borrow().stopped.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fields_of_others_are_left_alone_and_are_no_fight() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    for number in 0..10 {
        stage.server.edit(&record_path("web"), |record| record["status"]["seenBy"] = json!(number));
        stage.idle(Duration::from_secs(3)).await;
    }
    assert!(stage.writer.report().borrow().stopped.is_empty());
    assert_eq!(stage.server.get(&record_path("web")).expect("it stands")["status"]["seenBy"], 9);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_prunes_fields_is_not_written_to_for_ever() {
    let stage = Stage::new();
    stage.server.prune("labels");
    stage.server.prune("recordTTL");
    stage.server.prune("conditions");
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_hours(5)).await;
    stage.writer.touch([key("web")], Urgency::Status);
    stage.idle(Duration::from_mins(5)).await;
    assert_eq!(stage.server.writes("").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_changes_a_second_are_ten_writes_and_the_newest_wins() {
    let stage = Stage::new();
    for number in 0..200 {
        stage.want("web", &format!("192.0.2.{number}"), false);
        stage.idle(Duration::from_millis(10)).await;
    }
    stage.until_written("web", "192.0.2.199").await;
    let writes = stage.server.writes("/dnsendpoints/").len();
    assert!((5..=22).contains(&writes), "{writes} writes in two seconds");
}

#[tokio::test(start_paused = true)]
async fn answers_that_changed_go_before_statuses_that_wait() {
    let stage =
        Stage::on(ApiServer::new(), WriterOptions::new("fed"), Arc::default(), Leadership::Follower { holder: None });
    for number in 0..100 {
        stage.want(&format!("r{number:03}"), "192.0.2.1", false);
    }
    stage.writer.stands_complete(&ALL);
    stage.idle(Duration::from_secs(1)).await;
    assert!(stage.server.writes("").is_empty(), "a follower writes nothing");
    stage.leadership.send_replace(holder());
    stage.idle(Duration::from_secs(1)).await;
    let before = stage.server.writes("").len();
    assert!((30..=75).contains(&before), "at the rate, {before}");
    stage.want("urgent", "192.0.2.9", false);
    stage.until_written("urgent", "192.0.2.9").await;
    let between = stage.server.writes("").len() - before;
    assert!(between <= 45, "{between} writes went before it");
    stage.until_written("r099", "192.0.2.1").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_record_left_is_removed_when_everything_is_known() {
    let server = ApiServer::new();
    let owner = |kind: &str| json!([{"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": kind, "name": "gone", "uid": "u"}]);
    let put = |name: &str, owners: serde_json::Value| {
        let metadata = json!({"namespace": "shop", "ownerReferences": owners});
        server.put(&format!("{DNS}/dnsendpoints/{name}"), json!({"metadata": metadata, "spec": {}}));
    };
    put("service-gone", owner("ServiceDNSRecord"));
    put("service-other", json!([]));
    put("ingress-gone", owner("ServiceDNSRecord"));
    put("unrelated", json!([]));
    let mut options = WriterOptions::new("fed");
    options.patience = Duration::from_secs(1);
    let stage = Stage::on(server, options, Arc::default(), holder());
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_mins(10)).await;
    assert!(stage.server.get(&format!("{DNS}/dnsendpoints/service-gone")).is_some(), "not everything is known");

    stage.writer.stands_complete(&ALL);
    stage.until_event("OrphanRemoved").await;
    stage.idle(Duration::from_mins(10)).await;
    let left: Vec<String> = stage
        .server
        .objects()
        .into_keys()
        .filter_map(|path| path.rsplit_once("dnsendpoints/").map(|(_, name)| name.to_owned()))
        .collect();
    assert_eq!(left, ["ingress-gone", "service-other", "service-web", "unrelated"]);

    stage.unwant("web");
    stage.server.until("it goes with its record", |server| server.get(&endpoint_path("web")).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_server_still_has_keeps_its_dnsendpoint() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    // The engine does not know it (any more), and the watch lost it; the server has it.
    let key = mcdns_api::StandingKey {
        kind: mcdns_api::StandingKind::ServiceRecordStatus,
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    stage.writer.stands(vec![mcdns_api::StandingChange { key, standing: None }]);
    stage.forget("web");
    stage.idle(Duration::from_mins(10)).await;
    assert!(stage.server.get(&endpoint_path("web")).is_some());
    assert!(stage.server.requests().iter().any(|one| one.method == "GET" && one.path == record_path("web")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_the_term() {
    let stage = Stage::new();
    for number in 0..100 {
        stage.want(&format!("r{number}"), "192.0.2.1", false);
    }
    stage.idle(Duration::from_millis(500)).await;
    let before = stage.server.writes("").len();
    assert!(before > 0);
    stage.leadership.send_replace(Leadership::Unknown("lost".to_owned()));
    // What is under way has its turn already.
    stage.idle(Duration::from_mins(10)).await;
    assert_eq!(stage.server.writes("").len(), before);
    stage.leadership.send_replace(holder());
    stage.until_written("r99", "192.0.2.1").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_lapse_that_nobody_saw_everything_is_looked_at_again() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_secs(10)).await;
    // Wanted, and not a word about it.
    stage.change_silently("web", "192.0.2.2");
    stage.leadership.send_replace(holder_again(1));
    stage.idle(Duration::from_mins(5)).await;
    assert_eq!(stage.server.writes("").len(), 2, "a renewal is no new term");
    stage.leadership.send_replace(holder_again(2));
    stage.idle(Duration::from_secs(5)).await;
    stage.until_written("web", "192.0.2.2").await;
    assert_eq!(stage.server.writes("").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_and_loses_nothing() {
    let stage = Stage::new();
    let down = json!({"kind": "Status", "code": 503, "message": "shutting down"});
    stage.server.fail(DNS, Fault::Status(503, down, None), usize::MAX);
    for number in 0..50 {
        stage.want(&format!("r{number}"), "192.0.2.1", false);
    }
    stage.idle(Duration::from_mins(2)).await;
    let asked = stage.server.requests().len();
    assert!((10..=80).contains(&asked), "{asked} requests to a server that is down");
    stage.server.repair();
    let start = tokio::time::Instant::now();
    for number in 0..50 {
        stage.until_written(&format!("r{number}"), "192.0.2.1").await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_patience_gets_it() {
    let stage = Stage::new();
    stage.server.fail(DNS, Fault::Status(429, json!({"kind": "Status"}), Some(20)), 1);
    let start = tokio::time::Instant::now();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    assert!(start.elapsed() >= Duration::from_secs(20));
    assert_eq!(stage.server.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_server_holds_up_nobody_for_longer_than_the_limit() {
    let stage = Stage::new();
    stage.server.fail("service-web", Fault::Hang, 1);
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    let timed_out = stage.writer.report();
    stage.idle(Duration::from_secs(2)).await;
    assert_eq!(timed_out.borrow().writes.get(&("dnsendpoint", "timed_out")), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn a_dnsendpoint_stays_while_host_names_have_no_answer() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    let written = stage.server.writes("dnsendpoints").len();
    stage.want_unsettled("web", "192.0.2.2");
    stage.idle(Duration::from_hours(1)).await;
    assert_eq!(stage.server.writes("dnsendpoints").len(), written);
    let record = stage.server.get(&record_path("web")).expect("it stands");
    assert!(record["status"].to_string().contains("192.0.2.2"), "the status tells what is known");
    stage.want("web", "192.0.2.3", false);
    stage.until_written("web", "192.0.2.3").await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_told_when_the_server_has_come_back() {
    let stage = Stage::new();
    stage.want("web", "192.0.2.1", false);
    stage.until_written("web", "192.0.2.1").await;
    stage.server.fail("/events", Fault::Hang, 1);
    let unavailable = json!({"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "later"});
    stage.server.fail("/events", Fault::Status(503, unavailable, None), 2);
    stage.want("web", "192.0.2.2", true);
    stage.until_event("ClusterUnready").await;
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_the_next_term_and_is_not_told_where_another_replica_writes() {
    let stage = Stage::new();
    let notice = |reason: &str| Notice {
        regarding: Regarding {
            api_version: "v1".to_owned(),
            kind: "Thing".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: None,
        },
        reason: reason.to_owned(),
        about: "".into(),
        note: "said".to_owned(),
        is_warning: true,
    };
    stage.leadership.send_replace(Leadership::Unknown("not renewed in time".to_owned()));
    stage.writer.tell(notice("First"));
    stage.idle(Duration::from_secs(5)).await;
    assert!(stage.server.writes("/events").is_empty());
    stage.leadership.send_replace(holder_again(2));
    stage.until_event("First").await;
    stage.leadership.send_replace(Leadership::Follower { holder: Some("other".to_owned()) });
    stage.writer.tell(notice("Second"));
    stage.idle(Duration::from_secs(5)).await;
    stage.leadership.send_replace(holder_again(3));
    stage.idle(Duration::from_mins(5)).await;
    assert_eq!(stage.server.writes("/events").len(), 1);
    stage.writer.tell(notice("Second"));
    stage.until_event("Second").await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_stops_its_kind_alone_and_is_told_with_the_rule() {
    let stage = Stage::new();
    let refusal = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "dnsendpoints is forbidden: \
        User \"x\" cannot create resource \"dnsendpoints\" in API group \"multiclusterdns.kubefed.io\" in the \
        namespace \"shop\""});
    stage.server.fail("/dnsendpoints/", Fault::Status(403, refusal, None), usize::MAX);
    for number in 0..30 {
        stage.want(&format!("r{number}"), "192.0.2.1", false);
    }
    let event = stage.until_event("PermissionMissing").await;
    let rule = "{apiGroups: [\"multiclusterdns.kubefed.io\"], resources: [\"dnsendpoints\"], verbs: [\"create\"]}";
    assert!(event["note"].as_str().expect("a note").contains(rule), "{event}");
    assert_eq!(event["regarding"]["kind"], "Lease");
    stage.idle(Duration::from_secs(20)).await;
    assert!(stage.writer.report().borrow().problems["dnsendpoint"].contains(rule));
    let written = |part: &str| stage.server.writes(part).len();
    assert_eq!(written("/status"), 30, "statuses go on");
    assert!(written("/dnsendpoints/") <= 10, "{}", written("/dnsendpoints/"));
    stage.server.repair();
    for number in 0..30 {
        stage.until_written(&format!("r{number}"), "192.0.2.1").await;
    }
    stage.idle(Duration::from_secs(2)).await;
    assert!(stage.writer.report().borrow().problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_word_about_what_stands_it_is_read_first() {
    let first = Stage::new();
    first.want("web", "192.0.2.1", false);
    first.until_written("web", "192.0.2.1").await;
    first.writer.stop().await;
    let written = first.server.writes("").len();
    // Nobody watches: the kinds never become complete, and nothing is handed in.
    let (leadership, receiver) = tokio::sync::watch::channel(holder());
    let recorder = mcdns_control::recorder(first.server.client(), "r", receiver.clone());
    let options = WriterOptions::new("fed");
    let client = first.server.client();
    let writer = mcdns_control::writer::spawn(client, options, first.wanted.clone(), receiver, recorder);
    first.server.until("it reads", |server| server.requests().iter().any(|one| one.method == "GET")).await;
    first.idle(Duration::from_mins(1)).await;
    assert_eq!(first.server.writes("").len(), written);
    drop((leadership, writer));
}
