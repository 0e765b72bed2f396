//! A cordoned cluster is out of all answers at once, and back at once.

use std::sync::Arc;

use mcdns_core::model::{
    ClusterFact, Condition, ConditionStatus, Fact, HostWord, Kind, Observation, RecordKind, ServiceRecordFact,
    Timestamp,
};
use rstest::rstest;

use crate::federation::{
    Federation, cluster, cluster_at, domain, ingress_record, items, lines, member, member_object, of, service_record,
};

/// The cluster at `place` (as in [`cluster_at`]), cordoned.
fn cordoned(name: &str, place: &str, ready: ConditionStatus) -> Observation {
    let fact = match cluster_at(name, place, ready).object.map(|object| object.fact.clone()) {
        Some(Fact::Cluster(fact)) => ClusterFact { cordoned: true, ..fact },
        _ => ClusterFact::default(),
    };
    cluster(name, fact)
}

const BOTH: &str = "c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2";

#[rstest]
#[case::one_of_two_and_its_levels_climb(
    BOTH, &["c2"],
    "example.com; c1 us/us1: 10.20.30.1; c2 eu/eu1: ",
    "P.eu.example.com 180 CNAME P.example.com.
     P.eu1.eu.example.com 180 CNAME P.eu.example.com.
     P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1",
    "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterCordoned Ready:Published"
)]
#[case::the_last_one_leaves_the_names_empty(
    BOTH, &["c1", "c2"],
    "example.com; c1 us/us1: ; c2 eu/eu1: ",
    "",
    "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterCordoned !Ready:NoTargets"
)]
#[case::beside_an_unready_one_whose_last_known_targets_stay(
    "c1 !us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2", &["c2"],
    "example.com; c1 us/us1: 10.20.30.1; c2 eu/eu1: ",
    "P.eu.example.com 180 CNAME P.example.com.
     P.eu1.eu.example.com 180 CNAME P.eu.example.com.
     P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1",
    "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterUnready Ready:Published"
)]
#[case::one_without_the_object_is_told_too(
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: -", &["c2"],
    "example.com; c1 us/us1: 10.20.30.1; c2 eu/eu1: ",
    "P.eu.example.com 180 CNAME P.example.com.
     P.eu1.eu.example.com 180 CNAME P.eu.example.com.
     P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1",
    "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterCordoned Ready:Published"
)]
fn a_cordon_takes_out(
    #[case] clusters: &str,
    #[case] out: &[&str],
    #[case] status: &str,
    #[case] served: &str,
    #[case] conditions: &str,
) {
    let mut federation = Federation::of(clusters).service_record(ServiceRecordFact::default());
    for name in out {
        let place = if *name == "c1" { "us/us1" } else { "eu/eu1" };
        federation.observe(vec![cordoned(name, place, ConditionStatus::True)]);
    }
    assert_eq!(federation.status(RecordKind::Service).join("; "), status);
    let names: Vec<String> = federation.served().into_iter().filter(|line| !line.contains(" CNAME ")).collect();
    let wanted: Vec<String> = lines(served).into_iter().filter(|line| !line.contains(" CNAME ")).collect();
    assert_eq!(names, wanted);
    for climb in lines(served).into_iter().filter(|line| line.contains(" CNAME ")) {
        assert!(federation.served().contains(&climb), "{climb} in {:?}", federation.served());
    }
    assert_eq!(federation.conditions(RecordKind::Service), conditions);
    assert!(federation.findings().contains(&"cluster-cordoned".to_owned()));
    assert!(!federation.findings().contains(&"held".to_owned()));
}

#[test]
fn there_is_no_grace_for_a_cordoned_cluster_and_nothing_to_wait_for() {
    let mut federation = Federation { now: Some(Timestamp(1_000_000)), ..Federation::default() };
    federation.observe(of(BOTH));
    federation.observe(vec![service_record("test", "nginx", ServiceRecordFact::default())]);
    federation.observe(vec![cordoned("c2", "eu/eu1", ConditionStatus::False)]);
    assert_eq!(federation.engine.next_deadline(), None);
    assert!(federation.served().contains(&lines("P.example.com 180 A 10.20.30.1")[0]));
    // Its grace has run meanwhile, and is over when the cordon is taken back.
    federation.now = Some(Timestamp(1_030_000));
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::False)]);
    assert_eq!(federation.engine.next_deadline(), Some(Timestamp(1_060_000)));
}

#[test]
fn the_end_of_a_cordon_gives_the_targets_back_at_once() {
    let mut federation = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    let before = federation.served();
    federation.observe(vec![cordoned("c2", "eu/eu1", ConditionStatus::True)]);
    assert_ne!(federation.served(), before);
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::True)]);
    assert_eq!(federation.served(), before);
    assert!(federation.findings().is_empty(), "{:?}", federation.findings());
}

#[test]
fn the_guard_against_bulk_loss_holds_no_cordon() {
    let mut federation = Federation::default();
    federation.observe(vec![
        domain("galactic", "example.com"),
        cluster_at("c1", "us/us1", ConditionStatus::True),
        member("c1"),
    ]);
    for index in 0..20 {
        let fact = Fact::LoadBalancer(items(&[&format!("10.0.0.{index}")]));
        let name = format!("web{index}");
        federation.observe(vec![
            member_object("c1", Kind::Ingress, &name, fact),
            ingress_record(&name, &[&format!("{name}.example.com")]),
        ]);
    }
    assert_eq!(federation.served().len(), 20);
    let update = federation.observe(vec![cordoned("c1", "us/us1", ConditionStatus::True)]);
    assert_eq!((federation.served().len(), update.changes.len()), (0, 20));
    assert!(!federation.findings().contains(&"held".to_owned()));
}

#[test]
fn explain_says_which_cluster_is_cordoned() {
    let mut federation = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    federation.observe(vec![cordoned("c2", "eu/eu1", ConditionStatus::True)]);
    let name = "nginx.test.galactic.svc.example.com".parse().expect("a name");
    let record = federation.engine.explain(&name).record.expect("the name has a record");
    let told: Vec<_> =
        record.clusters.iter().map(|one| (one.cluster.as_str(), one.used, one.reason.as_str())).collect();
    assert_eq!(told, [("c1", true, "the cluster is Ready"), ("c2", false, "the cluster is cordoned")]);
    let degraded = "Degraded=True ClusterCordoned: cluster c2 is cordoned, so nothing of it is answered";
    assert!(record.conditions.contains(&degraded.to_owned()), "{:?}", record.conditions);
}

#[test]
fn what_is_asked_of_a_replica_holds_until_the_host_speaks_of_the_cluster() {
    let mut federation = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    let everything = federation.served();
    let c2: Arc<str> = "c2".into();
    let update = federation.engine.ask_cordon(&c2, true, None);
    assert_eq!((update.changes.len(), update.reason().as_str()), (3, "cordon of c2 at the admin port"));
    let without = federation.served();
    assert!(without.contains(&lines("P.example.com 180 A 10.20.30.1")[0]), "{without:?}");
    // Changes in members and of other clusters say nothing about it.
    federation.observe(vec![member("c2"), cluster_at("c1", "us/us1", ConditionStatus::True)]);
    assert_eq!(federation.served(), without);
    assert_eq!(federation.engine.asked_cordons().len(), 1);
    // Nor does what was noticed here: its probes fail.
    let unready = cluster_at("c2", "eu/eu1", ConditionStatus::False);
    federation.engine.observe_with(&[unready], &HostWord::default(), None);
    assert_eq!(federation.served(), without);
    assert_eq!(federation.engine.asked_cordons().len(), 1);
    // The host speaks: its annotation counts, also where the object is the same as before.
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::True)]);
    assert_eq!(federation.served(), everything);
    assert!(federation.engine.asked_cordons().is_empty());
}

#[test]
fn a_replica_can_be_asked_to_take_an_annotated_cluster_back_and_knows_it_after_a_restart() {
    let mut federation = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    let everything = federation.served();
    let annotated = cordoned("c2", "eu/eu1", ConditionStatus::True);
    federation.observe(vec![annotated.clone()]);
    federation.engine.ask_cordon(&"c2".into(), false, None);
    assert_eq!(federation.served(), everything);
    let asked = federation.engine.asked_cordons().clone();
    let mut later = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    later.observe(vec![annotated]);
    assert_ne!(later.served(), everything);
    later.engine.remember_cordons(asked, None);
    assert_eq!(later.served(), everything);
}

#[test]
fn a_cordon_of_an_unready_cluster_names_the_cordon() {
    let mut federation = Federation::of(BOTH).service_record(ServiceRecordFact::default());
    let fact = ClusterFact {
        ready: Some(Condition { status: ConditionStatus::False, since: None, reason: None }),
        cordoned: true,
        ..ClusterFact::default()
    };
    federation.observe(vec![cluster("c2", fact)]);
    let message = federation.message(RecordKind::Service, "Degraded");
    assert!(message.starts_with("cluster c2 is cordoned"), "{message}");
}
