//! Whatever goes wrong, nothing that is known goes with it.

use std::time::{Duration, Instant};

use mcdns_api::StandingKind;
use mcdns_core::model::{ClusterName, Kind, ObjectKey};
use support::api_server::Fault;

use crate::world::{World, service};

/// What is written of objects that the tests' host has.
const WATCHED: [StandingKind; 6] = [
    StandingKind::ServiceRecordStatus,
    StandingKind::IngressRecordStatus,
    StandingKind::Endpoint,
    StandingKind::ClusterStatus,
    StandingKind::DomainAnnotations,
    StandingKind::DomainStatus,
];

fn web(cluster: &str) -> ObjectKey {
    ObjectKey::member(&ClusterName::from(cluster), Kind::Service, "shop", "web")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::member(&ClusterName::from("us"), Kind::Service, "shop", name)
}

#[tokio::test]
async fn a_fault_of_any_kind_removes_nothing_and_the_truth_comes_afterwards() {
    removes_nothing(true).await;
}

#[tokio::test]
async fn nor_does_it_where_lists_come_in_pages() {
    removes_nothing(false).await;
}

async fn removes_nothing(streaming: bool) {
    let faults = [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(410),
        Fault::Status(500),
        Fault::Busy(1),
        Fault::Garbage,
        Fault::Half,
        Fault::Cut,
    ];
    for fault in faults {
        let world = World::new(&["us"]);
        let member = world.member("us");
        member.set_streaming(streaming);
        for number in 0..20 {
            member.put(service(&format!("web-{number}"), "192.0.2.1"));
        }
        let mut view = world.observe();
        view.next().await;
        let known = view.objects.len();
        member.fail("/services", fault.clone());
        // Everything has to be listed again, and cannot be.
        member.delete("services", "shop", "web-0");
        member.put(service("new", "192.0.2.1"));
        member.compact();
        let before = member.requests("/services");
        member.cut_watches();
        while member.requests("/services") < before + 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The deletion may have been told before the connection was cut; nothing else may be.
        while let Ok(batch) = view.batches.try_recv() {
            let gone: Vec<_> = batch.observations.iter().filter(|one| one.object.is_none()).collect();
            assert!(gone.iter().all(|one| one.key == key("web-0")), "{fault:?}: {gone:?}");
        }
        member.mend();
        view.objects.insert(key("web-0"), view.objects[&key("web-1")].clone());
        let lists = || member.requests("sendInitialEvents=true") + member.requests("limit=500");
        let at = lists();
        view.report("it is watched again", |report| {
            let kind = &report.members[&ClusterName::from("us")].kinds[0];
            kind.error.is_none() && kind.synced && kind.lists >= 2 && lists() >= at
        })
        .await;
        assert!(view.gone.iter().all(|gone| *gone == key("web-0")), "{fault:?}: {:?}", view.gone);
        assert!(view.objects.len() >= known - 1);
    }
}

#[tokio::test]
async fn a_member_that_hangs_delays_nobody() {
    let world = World::new(&["eu", "us"]);
    world.member("eu").put(service("web", "192.0.2.1"));
    world.member("us").put(service("web", "192.0.2.1"));
    world.member("eu").fail("/", Fault::Hang);
    let began = Instant::now();
    let mut view = world.observe();
    view.next().await;
    assert!(began.elapsed() >= Duration::from_secs(5), "the hanging one is waited for so long");
    assert!(view.has(&web("us")) && !view.has(&web("eu")));
    world.member("us").put(service("web", "192.0.2.7"));
    view.until("a change elsewhere", |view| format!("{:?}", view.objects[&web("us")]).contains("192.0.2.7")).await;
}

#[tokio::test]
async fn a_host_that_is_away_leaves_everything_known_in_force() {
    let world = World::new(&["us"]);
    world.member("us").put(service("web", "192.0.2.1"));
    let mut view = world.observe();
    view.next().await;
    let known: Vec<_> = view.objects.clone().into_iter().collect();
    drop(view);
    world.host.fail("/", Fault::Status(500));
    let mut view = world.observe_after(known);
    let first = view.next().await;
    assert!(first.first && first.observations.is_empty(), "{first:?}");
    assert!(!first.progress.host && first.progress.stands.iter().all(|kind| !WATCHED.contains(kind)), "{first:?}");
    world.host.mend();
    loop {
        let progress = view.next().await.progress;
        if progress.host {
            assert!(progress.unread.is_empty(), "what was known from before need not be waited for: {progress:?}");
            assert!(WATCHED.iter().all(|kind| progress.stands.contains(kind)), "{progress:?}");
            break;
        }
    }
    world.member("us").put(service("web", "192.0.2.2"));
    view.until("the member is read", |view| format!("{:?}", view.objects[&web("us")]).contains("192.0.2.2")).await;
    assert!(view.gone.is_empty(), "{:?}", view.gone);
    assert_eq!(view.firsts, 1);
}

#[tokio::test]
async fn a_member_that_could_not_be_read_is_named_until_it_was() {
    for fault in [Fault::Hang, Fault::Status(401)] {
        let world = World::new(&["eu", "us"]);
        world.member("us").put(service("web", "192.0.2.1"));
        world.member("us").fail("/", fault.clone());
        let mut view = world.observe();
        let first = view.next().await;
        assert!(first.progress.host);
        assert_eq!(first.progress.unread, [ClusterName::from("us")].into(), "{fault:?}");
        world.member("us").mend();
        world.member("us").cut_watches();
        while !view.next().await.progress.unread.is_empty() {}
        assert!(view.has(&web("us")), "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_is_told_before_a_host_was_read_that_nothing_is_known_of() {
    for (fault, reason) in [(Fault::Status(500), "Status"), (Fault::Status(401), "Unauthorized")] {
        let world = World::new(&[]);
        world.host.fail("/apis/core.kubefed.io", fault);
        let mut view = world.observe();
        view.report("the fault is told", |report| {
            report.host.kinds.iter().any(|kind| kind.error.as_ref().is_some_and(|error| error.reason == reason))
        })
        .await;
        assert_eq!(view.firsts, 0);
        world.host.mend();
        assert!(view.next().await.first);
    }
}

#[tokio::test]
async fn a_kind_that_is_forbidden_is_a_finding_and_holds_up_nothing_else() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    member.fail("/ingresses", Fault::Status(403));
    let mut view = world.observe();
    view.next().await;
    assert!(view.has(&web("us")));
    let report = view.report("a finding", |report| !report.findings.is_empty()).await;
    let finding = &report.findings[0];
    let cluster = format!("KubeFedCluster {}/us", crate::world::SYSTEM);
    assert_eq!(finding.object.as_ref(), Some(&cluster));
    assert!(finding.message.starts_with("Ingress objects"), "{}", finding.message);
    assert!(finding.message.contains("get, list and watch"), "{}", finding.message);
}

#[tokio::test]
async fn a_member_counts_as_observed_as_soon_as_what_was_forbidden_is_allowed() {
    let world = World::new(&["us"]);
    let member = world.member("us");
    member.put(service("web", "192.0.2.1"));
    member.fail("/endpointslices", Fault::Status(403));
    let mut view = world.observe();
    view.next().await;
    let observed = ObjectKey::observed_member(&"us".into());
    assert!(!view.has(&observed));
    member.mend();
    view.until("it is observed", |view| view.has(&observed)).await;
}

#[tokio::test]
async fn a_secret_that_is_missing_is_told_with_the_next_step() {
    let world = World::new(&["us"]);
    world.host.delete("secrets", crate::world::SYSTEM, "us-token");
    let mut view = world.observe();
    view.next().await;
    let verdict = view.verdicts[&ClusterName::from("us")].clone();
    assert_eq!(verdict.ready.reason, "Misconfigured");
    assert!(verdict.ready.message.contains("mcdns join"), "{}", verdict.ready.message);
    world.secret("us", "first");
    view.until("it is ready", |view| view.verdicts[&ClusterName::from("us")].ready.reason == "ClusterReady").await;
}
