//! What comes in by webhook, kept as DNSEndpoints: written and taken away by the holder alone.

// Other tests of this crate use more of it.
#![allow(dead_code, reason = "support is shared")]

mod support;

use mcdns_api::EndpointItem;
use mcdns_control::{Leadership, writer::KeptEndpoints};
use serde_json::json;
use support::{ApiServer, Fault, stage::holder};
use tokio::sync::watch;

const PATH: &str = "/apis/multiclusterdns.kubefed.io/v1alpha1/namespaces/fed/dnsendpoints";

fn item(owner: &str, target: &str) -> EndpointItem {
    EndpointItem {
        dns_name: owner.to_owned(),
        record_type: "A".to_owned(),
        targets: vec![target.to_owned()],
        record_ttl: 60,
        ..EndpointItem::default()
    }
}

fn kept(server: &ApiServer, leadership: Leadership) -> (watch::Sender<Leadership>, KeptEndpoints) {
    let (sender, receiver) = watch::channel(leadership);
    (sender, KeptEndpoints::new(server.client(), receiver, "fed"))
}

#[tokio::test]
async fn objects_are_written_changed_and_taken_away() {
    let server = ApiServer::new();
    let (_leads, kept) = kept(&server, holder());
    assert_eq!(kept.not_here(), None);
    let object = |target: &str| vec![("webhook-a".to_owned(), vec![item("a.example.net", target)])];
    let done = (vec!["webhook-a".to_owned()], None);
    assert_eq!(kept.bring(object("192.0.2.1")).await, done);
    let stands = server.get(&format!("{PATH}/webhook-a")).expect("it stands");
    assert_eq!(stands["metadata"]["labels"]["mcdns.io/webhook"], "true");
    assert_eq!(stands["spec"]["endpoints"][0]["targets"], json!(["192.0.2.1"]));
    assert_eq!(kept.bring(object("192.0.2.2")).await, done);
    let stands = server.get(&format!("{PATH}/webhook-a")).expect("it stands");
    assert_eq!(stands["spec"]["endpoints"][0]["targets"], json!(["192.0.2.2"]));
    let nothing = || vec![("webhook-a".to_owned(), Vec::new())];
    assert_eq!(kept.bring(nothing()).await, done);
    assert_eq!(server.get(&format!("{PATH}/webhook-a")), None);
    assert_eq!(kept.bring(nothing()).await, done, "what is gone already is gone");
}

#[tokio::test]
async fn who_does_not_hold_the_lease_writes_nothing_and_says_who_does() {
    let server = ApiServer::new();
    let (leads, kept) = kept(&server, Leadership::Follower { holder: Some("replica-2".to_owned()) });
    assert_eq!(kept.not_here().as_deref(), Some("this replica does not hold the lease; replica-2 does"));
    let object = vec![("webhook-a".to_owned(), vec![item("a.example.net", "192.0.2.1")])];
    let (done, wrong) = kept.bring(object.clone()).await;
    assert!(done.is_empty() && wrong.is_some_and(|why| why.contains("does not hold the lease")));
    assert!(server.writes("").is_empty());
    let _ = leads.send(holder());
    assert_eq!(kept.bring(object).await.1, None);
}

#[tokio::test]
async fn one_object_that_fails_leaves_the_others_written() {
    let server = ApiServer::new();
    let (_leads, kept) = kept(&server, holder());
    server.fail("webhook-b", Fault::Status(422, json!({"message": "no"}), None), 1);
    let names = ["webhook-a", "webhook-b", "webhook-c"];
    let objects = names.map(|name| (name.to_owned(), vec![item("a.example.net", "192.0.2.1")])).to_vec();
    let (mut done, wrong) = kept.bring(objects.clone()).await;
    done.sort();
    assert_eq!(done, ["webhook-a", "webhook-c"]);
    assert!(wrong.is_some_and(|why| why.starts_with("DNSEndpoint webhook-b: ")));
    assert_eq!(kept.bring(objects).await.1, None, "the same again does no harm");
}
