//! What stands in the host: facts, and what mcdns wrote there.

use mcdns_api::{StandingKey, StandingKind, standing::digest};
use mcdns_core::{
    health::Health,
    model::{ClusterName, Fact, Kind, LoadBalancerItem, ObjectKey},
};
use serde_json::{Value, json};
use support::api_server::{ApiServer, Fault, host_resources};

use crate::world::{SYSTEM, World, cluster};

const DNS: &str = "multiclusterdns.kubefed.io/v1alpha1";

fn record(kind: &str, status: &Value) -> Value {
    json!({"apiVersion": DNS, "kind": kind, "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"domainRef": "example", "hosts": ["web.example.com"]}, "status": status})
}

fn dns_endpoint(name: &str, owned: bool) -> Value {
    let owner = json!([{"apiVersion": DNS, "kind": "ServiceDNSRecord", "name": "web", "uid": "u", "controller": true}]);
    json!({"apiVersion": DNS, "kind": "DNSEndpoint", "metadata": {"name": name, "namespace": "shop",
        "ownerReferences": if owned { owner } else { json!([]) }},
        "spec": {"endpoints": [{"dnsName": "a.example.com", "recordType": "A", "targets": ["192.0.2.1"]}]}})
}

fn standing(kind: StandingKind, name: &str) -> StandingKey {
    StandingKey { kind, namespace: "shop".to_owned(), name: name.to_owned() }
}

#[tokio::test]
async fn what_stands_is_told_to_the_writer_as_digests() {
    let world = World::new(&[]);
    let status = json!({"dns": [], "domain": "example.com"});
    world.host.put(record("ServiceDNSRecord", &status));
    world.host.put(dns_endpoint("service-web", true));
    world.host.put(dns_endpoint("mail", false));
    let mut view = world.observe();
    view.next().await;
    let of_record = &view.standings[&standing(StandingKind::ServiceRecordStatus, "web")];
    assert_eq!(of_record.digest, digest(&status));
    let of_endpoint = &view.standings[&standing(StandingKind::Endpoint, "service-web")];
    assert_eq!(of_endpoint.owners[0].name, "web");
    assert!(!view.standings.contains_key(&standing(StandingKind::Endpoint, "mail")));
    // Ours is no input; that of somebody else is.
    assert!(!view.has(&ObjectKey::host(Kind::ForeignRrsets, "shop", "service-web")));
    assert!(view.has(&ObjectKey::host(Kind::ForeignRrsets, "shop", "mail")));
    // A status that changes is no change of the record.
    world.host.put(record("ServiceDNSRecord", &json!({"dns": [], "domain": "other"})));
    let batch = view.next().await;
    assert!(batch.observations.is_empty(), "{:?}", batch.observations);
    assert_eq!(batch.standings.len(), 1);
    world.host.delete("dnsendpoints", "shop", "service-web");
    view.until("it is gone", |view| !view.standings.contains_key(&standing(StandingKind::Endpoint, "service-web")))
        .await;
}

#[tokio::test]
async fn what_was_deleted_while_nobody_watched_is_told_to_the_writer_too() {
    let world = World::new(&[]);
    world.host.put(dns_endpoint("service-web", true));
    let mut view = world.observe();
    view.next().await;
    world.host.delete("dnsendpoints", "shop", "service-web");
    world.host.compact();
    world.host.cut_watches();
    view.until("it is gone", |view| view.standings.is_empty()).await;
}

#[tokio::test]
async fn a_crd_that_comes_later_is_noticed_and_until_then_a_finding() {
    let mut world = World::new(&[]);
    world.host = ApiServer::new(host_resources().into_iter().filter(|one| one.plural != "domains").collect());
    let mut view = world.observe();
    view.next().await;
    let report = view.report("a finding", |report| !report.findings.is_empty()).await;
    assert_eq!(report.findings[0].object.as_deref(), Some("Domain in the host"));
    assert!(report.findings[0].help.as_deref().is_some_and(|help| help.contains("CRDs")));
    let domains = host_resources().into_iter().find(|one| one.plural == "domains").expect("it is there");
    world.host.add_resource(domains);
    world.host.put(json!({"apiVersion": DNS, "kind": "Domain", "metadata": {"name": "example", "namespace": SYSTEM},
        "domain": "example.com"}));
    view.until("it is noticed", |view| view.has(&ObjectKey::host(Kind::Domain, SYSTEM, "example"))).await;
    view.report("no finding", |report| report.findings.is_empty()).await;
}

#[tokio::test]
async fn a_server_that_sees_the_host_alone_computes_from_statuses() {
    let mut world = World::new(&[]);
    world.options.host_only = true;
    world.host.put(cluster("us"));
    let status = json!({"dns": [{"cluster": "us", "region": "us", "zones": ["us1"],
        "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}]});
    world.host.put(record("ServiceDNSRecord", &status));
    world.host.put(record("IngressDNSRecord", &status));
    let mut view = world.observe();
    view.next().await;
    let item = LoadBalancerItem { ip: Some("192.0.2.1".into()), hostname: None };
    let told = Fact::ServiceStatus(vec![("us".into(), vec![item])]);
    for kind in [Kind::ServiceStatus, Kind::IngressStatus] {
        assert_eq!(view.objects[&ObjectKey::host(kind, "shop", "web")].fact, told);
    }
    let Fact::Cluster(fact) = &view.objects[&ObjectKey::host(Kind::Cluster, SYSTEM, "us")].fact else {
        panic!("it is a cluster");
    };
    assert_eq!((fact.region.as_deref(), fact.availability_zones.as_slice()), (Some("us"), &["us1".into()][..]));
    assert_eq!(world.host.requests("/secrets"), 0, "no member is contacted, so no Secret is read");
    world.host.delete("servicednsrecords", "shop", "web");
    view.until("status and record are gone", |view| {
        [Kind::ServiceStatus, Kind::ServiceRecord].iter().all(|kind| !view.has(&ObjectKey::host(*kind, "shop", "web")))
    })
    .await;
}

#[tokio::test]
async fn secrets_are_watched_by_name_and_read_one_by_one() {
    let world = World::new(&["us"]);
    let mut view = world.observe();
    view.next().await;
    // Once to make the client, and once because the first notice cannot tell whether that was the latest.
    let read = world.host.requests(&format!("/namespaces/{SYSTEM}/secrets/us-token"));
    assert!((1..=2).contains(&read), "{read}");
    assert!(world.host.writes().is_empty(), "a source writes nothing");
    let secret_objects =
        view.objects.keys().filter(|key| key.kind == Kind::Member && key.name.contains("token")).count();
    assert_eq!(secret_objects, 0);
}

#[tokio::test]
async fn a_host_that_is_heard_again_speaks_of_its_clusters_and_our_own_probes_do_not() {
    let mut world = World::new(&["us"]);
    world.options.health.period = std::time::Duration::from_millis(50);
    let mut view = world.observe();
    view.next().await;
    let us = ObjectKey::host(Kind::Cluster, SYSTEM, "us");
    view.until("the cluster is known", |view| view.has(&us)).await;
    view.report("its probe has ended", |report| {
        report.members.values().all(|member| member.health.as_ref().is_some_and(|health| health.outcome.is_some()))
    })
    .await;
    while view.batches.try_recv().is_ok() {}
    let c = ClusterName::from("us");
    view.engine.ask_cordon(&c, true, None);
    world.host.fail("/", Fault::Status(503));
    world.host.cut_watches();
    view.report("the host is away", |report| report.host.kinds.iter().all(|kind| kind.error.is_some())).await;
    // The member fails its probes, which is told as an observation of its KubeFedCluster.
    world.member("us").set_readyz(Some((500, "no")));
    view.until(
        "the member is not Ready",
        |view| matches!(&view.objects[&us].fact, Fact::Cluster(fact) if Health::of(fact) == Health::NotReady),
    )
    .await;
    assert!(view.engine.asked_cordons().contains_key(&c), "that is no word of the host");
    view.objects.clear();
    world.host.mend();
    view.report("it is back", |report| {
        world.host.bookmark();
        report.host.kinds.iter().all(|kind| kind.error.is_none())
    })
    .await;
    view.until("the host speaks of the cluster", |view| view.engine.asked_cordons().is_empty()).await;
    assert!(view.objects.keys().all(|key| *key == us), "nothing else is repeated: {:?}", view.objects.keys());
}
