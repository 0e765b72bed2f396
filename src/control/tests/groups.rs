//! DNSEndpoints when the API groups that they are written in change.

// Other tests of this crate use more of it.
#![allow(dead_code, reason = "support is shared")]

mod support;

use std::time::Duration;

use mcdns_control::WriterOptions;
use serde_json::json;
use support::{
    ApiServer, Fault,
    stage::{ALL, Stage, endpoint_path, holder},
};

const OTHER: &str = "/apis/externaldns.k8s.io/v1alpha1/namespaces/shop/dnsendpoints";

/// DNSEndpoints of these names as mcdns has written them in external-dns' group, but for the manager.
fn put(server: &ApiServer, name: &str, manager: &str) {
    let owner = json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "ServiceDNSRecord", "name": name,
        "uid": "record"});
    let metadata = json!({"namespace": "shop", "ownerReferences": [owner],
        "managedFields": [{"manager": manager, "fieldsV1": {"f:spec": {}}}]});
    server.put(&format!("{OTHER}/service-{name}"), json!({"metadata": metadata, "spec": {"endpoints": []}}));
}

/// A holder that writes in the own group alone.
fn stage(server: ApiServer) -> Stage {
    let mut options = WriterOptions::new("fed");
    options.endpoint_groups = vec!["multiclusterdns.kubefed.io".to_owned()];
    let stage = Stage::on(server, options, std::sync::Arc::default(), holder());
    stage.writer.stands_complete(&ALL);
    stage
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_in_a_group_that_is_not_wanted_any_more_goes_and_nothing_else() {
    let server = ApiServer::new();
    for name in ["web", "api", "gone"] {
        put(&server, name, "mcdns");
    }
    put(&server, "foreign", "hyperfed");
    let stage = stage(server);
    stage.want("foreign", "192.0.2.1", false);
    stage.want("web", "192.0.2.1", false);
    stage.want("api", "192.0.2.1", false);
    stage.until_event("OrphanRemoved").await;
    stage.idle(Duration::from_mins(5)).await;
    let left: Vec<String> = stage.server.objects().into_keys().filter(|path| path.starts_with(OTHER)).collect();
    assert_eq!(left, [format!("{OTHER}/service-foreign")]);
    assert!(stage.server.get(&endpoint_path("web")).is_some() && stage.server.get(&endpoint_path("api")).is_some());
    let first = |path: &str| {
        let writes = stage.server.writes("/dnsendpoints/service-web");
        writes.iter().position(|one| one.path == path).expect("a write")
    };
    assert!(first(&endpoint_path("web")) < first(&format!("{OTHER}/service-web")), "there before it goes here");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_in_its_new_group_stays_in_the_old_one() {
    let server = ApiServer::new();
    put(&server, "web", "mcdns");
    let invalid = json!({"kind": "Status", "code": 422, "reason": "Invalid", "message": "not so"});
    server.fail(
        "multiclusterdns.kubefed.io/v1alpha1/namespaces/shop/dnsendpoints/",
        Fault::Status(422, invalid, None),
        5,
    );
    let stage = stage(server);
    stage.want("web", "192.0.2.1", false);
    stage.idle(Duration::from_mins(3)).await;
    assert!(stage.server.get(&format!("{OTHER}/service-web")).is_some());
    stage.until_written("web", "192.0.2.1").await;
    let gone = |server: &ApiServer| server.get(&format!("{OTHER}/service-web")).is_none();
    stage.server.until("it goes", gone).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_be_listed_or_is_not_there_holds_up_nothing() {
    for (code, details) in [(403, json!({"name": ""})), (404, json!({}))] {
        let server = ApiServer::new();
        let message = "dnsendpoints.externaldns.k8s.io is forbidden: User \"x\" cannot list resource \"dnsendpoints\" in \
                       API group \"externaldns.k8s.io\" at the cluster scope";
        let refusal = json!({"kind": "Status", "code": code, "message": message, "details": details});
        server.fail("/apis/externaldns.k8s.io", Fault::Status(code, refusal, None), usize::MAX);
        let stage = stage(server);
        stage.want("web", "192.0.2.1", false);
        stage.until_written("web", "192.0.2.1").await;
        stage.idle(Duration::from_mins(10)).await;
        let asked = stage.server.requests().iter().filter(|one| one.path.contains("externaldns")).count();
        assert!((1..=3).contains(&asked), "{asked} requests");
    }
}
