//! What comes from members, and when.

use std::time::Duration;

use mcdns_core::{
    check::FindingCode,
    model::{ClusterName, Fact, Kind, LoadBalancerItem, NodeFact, ObjectKey},
};
use serde_json::json;
use support::api_server::{ApiServer, Fault, Resource, member_resources};

use crate::world::{SYSTEM, World, cluster, service};

fn member_key(cluster: &str, kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::member(&ClusterName::from(cluster), kind, "shop", name)
}

fn slice(name: &str, service: &str, ready: bool) -> serde_json::Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "shop",
            "labels": {"kubefed.io/managed": "true", "kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
}

#[tokio::test]
async fn the_first_batch_holds_the_host_and_all_members() {
    let world = World::new(&["eu", "us"]);
    for name in ["eu", "us"] {
        let member = world.member(name);
        member.put(service("web", "192.0.2.1"));
        member.put(slice("web-1", "web", true));
        member.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1",
            "labels": {"topology.kubernetes.io/region": name, "topology.kubernetes.io/zone": format!("{name}1")}}}));
        // Not selected, so never asked for.
        let mut other = service("other", "192.0.2.2");
        other["metadata"]["labels"] = json!({});
        member.put(other);
    }
    world.host.put(json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "Domain",
        "metadata": {"name": "example", "namespace": SYSTEM}, "domain": "example.com"}));
    let mut view = world.observe();
    let first = view.next().await;
    assert!(first.first);
    for name in ["eu", "us"] {
        let item = LoadBalancerItem { ip: Some("192.0.2.1".into()), hostname: None };
        assert_eq!(view.objects[&member_key(name, Kind::Service, "web")].fact, Fact::LoadBalancer(vec![item]));
        assert!(view.has(&member_key(name, Kind::EndpointSlice, "web-1")));
        let node = NodeFact { region: Some(name.into()), availability_zone: Some(format!("{name}1").into()) };
        assert_eq!(view.objects[&ObjectKey::member(&name.into(), Kind::Node, "", "n1")].fact, Fact::Node(node));
        assert!(view.has(&ObjectKey::observed_member(&name.into())));
        assert!(!view.has(&member_key(name, Kind::Service, "other")));
        let verdict = &view.verdicts[&ClusterName::from(name)];
        assert_eq!((verdict.ready.reason, verdict.region.as_deref()), ("ClusterReady", Some(name)));
    }
    assert!(view.has(&ObjectKey::host(Kind::Domain, SYSTEM, "example")));
    assert!(first.observations.is_sorted_by_key(|observation| observation.key.clone()));
}

#[tokio::test]
async fn a_change_is_told_alone_and_once() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    member.put(service("api", "192.0.2.2"));
    let mut view = world.observe();
    view.next().await;
    member.put(service("web", "192.0.2.9"));
    let batch = loop {
        let batch = view.next().await;
        if !batch.observations.is_empty() {
            break batch;
        }
    };
    let keys: Vec<&ObjectKey> = batch.observations.iter().map(|observation| &observation.key).collect();
    assert_eq!(keys, [&member_key("us", Kind::Service, "web")]);
    // A change of nothing that is kept is no change; the deletion behind it shows that it was passed by.
    let mut annotated = service("web", "192.0.2.9");
    annotated["metadata"]["annotations"] = json!({"a": "b"});
    member.put(annotated);
    assert!(member.delete("services", "shop", "api"));
    view.until("the deletion", |view| view.gone.contains(&member_key("us", Kind::Service, "api"))).await;
    assert_eq!(view.gone, [member_key("us", Kind::Service, "api")]);
}

#[tokio::test]
async fn an_object_that_loses_its_label_is_gone() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    let mut view = world.observe();
    view.next().await;
    let mut unlabelled = service("web", "192.0.2.1");
    unlabelled["metadata"]["labels"] = json!({});
    member.put(unlabelled);
    view.until("it is gone", |view| !view.has(&member_key("us", Kind::Service, "web"))).await;
}

#[tokio::test]
async fn a_server_without_streaming_lists_is_listed_in_pages() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.set_streaming(false);
    for number in 0..1201 {
        member.put(service(&format!("web-{number:04}"), "192.0.2.1"));
    }
    let mut view = world.observe();
    let services = |view: &crate::world::View| view.objects.keys().filter(|key| key.kind == Kind::Service).count();
    view.until("all services", |view| services(view) == 1201).await;
    assert_eq!(member.requests("/api/v1/services?labelSelector=kubefed.io/managed=true&limit=500"), 3);
    view.report("the report says so", |report| {
        let member = report.members.get(&ClusterName::from("us"));
        member.is_some_and(|member| member.streaming_lists == Some(false) && member.kinds[0].objects == 1201)
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_streams_begin_with_an_error_is_listed_at_once() {
    for fault in [Fault::Event(500), Fault::Status(400), Fault::Garbage, Fault::Cut] {
        let world = World::new(&["us"]);
        let member = world.member("us");
        member.put(service("web", "192.0.2.1"));
        for server in [&world.host, &member] {
            server.fail("sendInitialEvents=true", fault.clone());
        }
        let mut view = world.observe();
        view.until(&format!("a list after {fault:?}"), |view| view.has(&member_key("us", Kind::Service, "web"))).await;
        member.put(service("api", "192.0.2.2"));
        view.until("a change", |view| view.has(&member_key("us", Kind::Service, "api"))).await;
        view.report("lists are known, and nothing is wrong", |report| {
            report.host.streaming_lists == Some(false) && report.findings.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn where_there_are_no_slices_endpoints_count() {
    let world = World::new(&[]);
    let old: Vec<Resource> =
        member_resources().into_iter().filter(|one| one.plural == "services" || one.plural == "endpoints").collect();
    let member = ApiServer::new(old);
    world.members.lock().expect("no panic").insert("us".to_owned(), member.clone());
    world.secret("us", "first");
    world.host.put(cluster("us"));
    member.put(json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"kubefed.io/managed": "true"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}));
    let mut view = world.observe();
    view.next().await;
    assert!(view.has(&member_key("us", Kind::Endpoints, "web")));
    assert!(view.has(&ObjectKey::observed_member(&"us".into())));
}

#[tokio::test]
async fn what_was_known_stays_while_a_member_cannot_be_read_and_no_longer() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    member.put(service("api", "192.0.2.1"));
    let mut view = world.observe();
    view.next().await;
    let known: Vec<_> = view.objects.clone().into_iter().collect();
    drop(view);
    member.fail("/api", Fault::Status(500));
    assert!(member.delete("services", "shop", "api"));
    let mut view = world.observe_after(known);
    let first = view.next().await;
    assert!(first.first && view.gone.is_empty(), "{:?}", view.gone);
    member.mend();
    let gone = member_key("us", Kind::Service, "api");
    view.until("the list says that it is gone", |view| !view.has(&gone)).await;
    assert_eq!(view.gone, [gone]);
    assert!(view.has(&member_key("us", Kind::Service, "web")));
}

#[tokio::test]
async fn a_member_whose_cluster_object_goes_is_gone_with_all_it_had() {
    let world = World::new(&["eu", "us"]);
    for name in ["eu", "us"] {
        world.member(name).put(service("web", "192.0.2.1"));
    }
    let mut view = world.observe();
    view.next().await;
    assert!(world.host.delete("kubefedclusters", SYSTEM, "eu"));
    view.until("the member is gone", |view| !view.has(&ObjectKey::observed_member(&"eu".into()))).await;
    assert!(!view.has(&member_key("eu", Kind::Service, "web")));
    assert!(!view.has(&ObjectKey::host(Kind::Cluster, SYSTEM, "eu")));
    assert!(view.has(&member_key("us", Kind::Service, "web")));
    assert!(view.handle.member_client(&"eu".into()).is_none());
    assert!(view.handle.member_client(&"us".into()).is_some());
    // It comes back as a new one.
    world.host.put(cluster("eu"));
    view.until("it is back", |view| view.has(&member_key("eu", Kind::Service, "web"))).await;
}

/// The name of Service shop/web in the whole federation.
const WEB: &str = "web.shop.example.svc.example.com";

/// Domain and record of Service shop/web.
fn publish_web(world: &World) {
    world.host.put(json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "Domain",
        "metadata": {"name": "example", "namespace": SYSTEM}, "domain": "example.com"}));
    world.host.put(json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "ServiceDNSRecord",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"domainRef": "example", "allowServiceWithoutEndpoints": true}}));
}

#[tokio::test]
async fn clusters_that_vanish_all_at_once_keep_their_answers_and_what_is_gone_in_them_goes_when_they_are_back() {
    let names: Vec<String> = (10..22).map(|number| format!("c{number}")).collect();
    let world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    publish_web(&world);
    for (number, name) in names.iter().enumerate() {
        world.member(name).put(service("web", &format!("192.0.2.{number}")));
    }
    let mut view = world.observe();
    view.until("all twelve are answered", |view| view.addresses(WEB).len() == 12).await;
    world.host.fail("kubefedclusters", Fault::Status(503));
    world.host.cut_watches();
    for name in &names {
        assert!(world.host.delete("kubefedclusters", SYSTEM, name));
    }
    world.host.compact();
    world.host.mend();
    view.report("no member is watched", |report| report.members.is_empty()).await;
    view.until("the loss is held", |view| {
        view.engine.findings().iter().any(|finding| finding.code == FindingCode::Held)
    })
    .await;
    assert_eq!(view.addresses(WEB).len(), 12);
    assert!(world.member("c10").delete("services", "shop", "web"));
    world.host.fail("kubefedclusters", Fault::Status(503));
    world.host.cut_watches();
    for name in &names {
        world.host.put(cluster(name));
    }
    world.host.compact();
    world.host.mend();
    view.until("what is gone in one of them is found out", |view| view.addresses(WEB).len() < 12).await;
    assert_eq!(view.addresses(WEB).len(), 11);
}

#[tokio::test]
async fn a_cluster_that_comes_back_empty_is_answered_with_nothing() {
    let world = World::new(&["eu", "us"]);
    publish_web(&world);
    for (name, net) in [("eu", "192.0.2"), ("us", "198.51.100")] {
        world.member(name).put(service("web", &format!("{net}.1")));
        for number in 0..12 {
            world.member(name).put(service(&format!("other-{number}"), &format!("{net}.9")));
        }
    }
    let mut view = world.observe();
    view.until("both are answered", |view| view.addresses(WEB).len() == 2).await;
    assert!(world.host.delete("kubefedclusters", SYSTEM, "eu"));
    view.until("one is gone", |view| view.addresses(WEB) == ["198.51.100.1"]).await;
    world.join("eu");
    view.until("the new one is observed", |view| view.has(&ObjectKey::observed_member(&"eu".into()))).await;
    assert_eq!(view.addresses(WEB), ["198.51.100.1"]);
    assert!(view.engine.findings().iter().all(|finding| finding.code != FindingCode::Held));
}

#[tokio::test]
async fn members_that_left_while_nobody_looked_are_gone_too() {
    let world = World::new(&["eu", "us"]);
    world.member("eu").put(service("web", "192.0.2.1"));
    let mut view = world.observe();
    view.next().await;
    let known: Vec<_> = view.objects.clone().into_iter().collect();
    drop(view);
    assert!(world.host.delete("kubefedclusters", SYSTEM, "eu"));
    let mut view = world.observe_after(known);
    view.next().await;
    let left: Vec<&ObjectKey> = view.objects.keys().filter(|key| format!("{:?}", key.scope).contains("eu")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(view.has(&ObjectKey::observed_member(&"us".into())));
}

#[tokio::test]
async fn a_new_token_makes_a_new_client_and_watches_go_on_where_they_were() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    let mut view = world.observe();
    view.next().await;
    let watches = member.requests("watch=true");
    let lists = member.requests("sendInitialEvents=true");
    world.secret("us", "second");
    member.put(service("api", "192.0.2.2"));
    view.until("the change", |view| view.has(&member_key("us", Kind::Service, "api"))).await;
    while member.requests("watch=true") < watches + 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(member.requests("sendInitialEvents=true"), lists, "nothing is listed again");
    member.put(service("last", "192.0.2.3"));
    view.until("the next change", |view| view.has(&member_key("us", Kind::Service, "last"))).await;
    assert!(view.gone.is_empty());
}
