//! What a server refuses in one place does not hold up what it takes in another.

// Other tests of this crate use more of it.
#![allow(dead_code, reason = "support is shared")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Fault,
    stage::{Stage, endpoint_path},
};

fn forbidden(message: &str) -> Fault {
    let status: Value = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": message});
    Fault::Status(403, status, None)
}

fn missing_in(namespace: &str) -> Fault {
    forbidden(&format!(
        "dnsendpoints.multiclusterdns.kubefed.io \"service-web\" is forbidden: User \"x\" cannot create resource \
         \"dnsendpoints\" in API group \"multiclusterdns.kubefed.io\" in the namespace \"{namespace}\""
    ))
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_in_one_namespace_is_told_there_and_stops_no_other() {
    let stage = Stage::new();
    let quota = "dnsendpoints.multiclusterdns.kubefed.io \"service-web\" is forbidden: exceeded quota: few, requested: \
                 count/dnsendpoints.multiclusterdns.kubefed.io=1, used: 9, limited: 9";
    stage.server.fail("/namespaces/shop/dnsendpoints/", forbidden(quota), usize::MAX);
    stage.want("web", "192.0.2.1", false);
    let event = stage.until_event("WriteRefused").await;
    assert_eq!(
        (&event["regarding"]["kind"], &event["regarding"]["namespace"]),
        (&json!("DNSEndpoint"), &json!("shop"))
    );
    assert!(event["note"].as_str().expect("a note").contains("exceeded quota: few"), "{event}");
    let start = tokio::time::Instant::now();
    stage.want("office/web", "192.0.2.1", false);
    stage.until_written("office/web", "192.0.2.1").await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(stage.writer.report().borrow().problems.is_empty(), "nobody has to add to a role");
    stage.server.repair();
    stage.until_written("web", "192.0.2.1").await;
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_in_one_namespace_stops_no_other() {
    let stage = Stage::new();
    stage.server.fail("/namespaces/shop/dnsendpoints/", missing_in("shop"), usize::MAX);
    stage.want("web", "192.0.2.1", false);
    stage.until_event("PermissionMissing").await;
    let start = tokio::time::Instant::now();
    stage.want("office/web", "192.0.2.1", false);
    stage.until_written("office/web", "192.0.2.1").await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    stage.idle(Duration::from_secs(2)).await;
    assert!(stage.writer.report().borrow().problems["dnsendpoint"].ends_with("(namespace shop)"));
    stage.server.repair();
    stage.until_written("web", "192.0.2.1").await;
    stage.idle(Duration::from_secs(2)).await;
    assert!(stage.writer.report().borrow().problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_everywhere_is_asked_for_now_and_then_and_each_namespace_has_its_turn() {
    let stage = Stage::new();
    let namespaces: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    for namespace in &namespaces {
        stage.server.fail(&format!("/namespaces/{namespace}/dnsendpoints/"), missing_in(namespace), usize::MAX);
        stage.want(&format!("{namespace}/web"), "192.0.2.1", false);
    }
    stage.idle(Duration::from_mins(1)).await;
    let before = stage.server.writes("/dnsendpoints/").len();
    stage.idle(Duration::from_mins(2)).await;
    let asked = stage.server.writes("/dnsendpoints/").split_off(before);
    assert!(asked.len() <= 300, "{} requests in two minutes", asked.len());
    for namespace in &namespaces {
        let path = endpoint_path(&format!("{namespace}/web"));
        assert!(asked.iter().any(|one| one.path == path), "{namespace}");
    }
}
