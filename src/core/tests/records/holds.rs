//! Bulk loss is held until objects are back or a person says that it is meant.

use std::collections::BTreeSet;

use mcdns_core::{
    check::FindingCode,
    model::{ClusterFact, ClusterName, ConditionStatus, DomainFact, Fact, HostWord, Kind, ObjectKey, Observation},
};

use crate::federation::{
    Federation, SYSTEM, cluster, cluster_at, domain, gone, host_object, ingress_record, items, member, member_object,
    node,
};

/// A federation with `count` ingress records, each with an Ingress in c1.
fn federation(count: usize) -> (Federation, Vec<Observation>) {
    let ingresses: Vec<Observation> = (0..count)
        .map(|index| {
            let fact = Fact::LoadBalancer(items(&[&format!("10.0.0.{index}")]));
            member_object("c1", Kind::Ingress, &format!("web{index}"), fact)
        })
        .collect();
    let mut federation = Federation::default();
    federation.observe(vec![
        domain("galactic", "example.com"),
        cluster_at("c1", "us/us1", ConditionStatus::True),
        member("c1"),
    ]);
    federation.observe(ingresses.clone());
    let records = (0..count).map(|index| ingress_record(&format!("web{index}"), &[&format!("web{index}.example.com")]));
    federation.observe(records.collect());
    (federation, ingresses)
}

fn all_gone(observations: &[Observation]) -> Vec<Observation> {
    observations.iter().map(|observation| gone(observation.key.clone())).collect()
}

fn released(checksum: &str) -> Observation {
    let mut observation = cluster_at("c1", "us/us1", ConditionStatus::True);
    let fact = match observation.object.take().map(|object| object.fact.clone()) {
        Some(Fact::Cluster(fact)) => ClusterFact { release: Some(checksum.to_owned()), ..fact },
        _ => ClusterFact::default(),
    };
    cluster("c1", fact)
}

fn checksum(federation: &Federation) -> String {
    let finding = federation.engine.findings().into_iter().find(|finding| finding.code == FindingCode::Held);
    let help = finding.and_then(|finding| finding.help).expect("a held loss says how to release it");
    help.split("mcdns.io/release=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a checksum").to_owned()
}

#[test]
fn nine_may_go_at_once_and_ten_are_held() {
    let (mut nine, ingresses) = federation(9);
    nine.observe(all_gone(&ingresses));
    assert_eq!(nine.served().len(), 0);
    let (mut ten, ingresses) = federation(10);
    let update = ten.observe(all_gone(&ingresses));
    assert_eq!((ten.served().len(), update.accepted.len()), (10, 0));
    assert!(ten.findings().contains(&"held".to_owned()));
}

#[test]
fn all_but_one_may_go() {
    let (mut federation, ingresses) = federation(10);
    federation.observe(all_gone(&ingresses[1..]));
    assert_eq!(federation.served().len(), 1);
}

#[test]
fn objects_that_come_back_end_the_hold() {
    let (mut federation, ingresses) = federation(10);
    federation.observe(all_gone(&ingresses));
    federation.observe(vec![ingresses[3].clone()]);
    assert_eq!(federation.served(), ["web3.example.com 180 A 10.0.0.3"]);
    assert!(!federation.findings().contains(&"held".to_owned()));
}

#[test]
fn the_annotation_releases_once() {
    let (mut federation, ingresses) = federation(10);
    federation.observe(all_gone(&ingresses));
    let first = checksum(&federation);
    federation.observe(vec![released("0000000000000000")]);
    assert_eq!(federation.served().len(), 10);
    federation.observe(vec![released(&first)]);
    assert_eq!(federation.served().len(), 0);
    // The same loss again, with the annotation still there, is held under another checksum.
    federation.observe(ingresses.clone());
    federation.observe(all_gone(&ingresses));
    federation.observe(vec![released(&first)]);
    assert_eq!(federation.served().len(), 10);
    assert_ne!(checksum(&federation), first);
}

/// Twelve clusters, each with a load balancer for the record of its name.
fn twelve_clusters() -> (Federation, BTreeSet<ClusterName>) {
    let mut federation = Federation::default();
    let names: BTreeSet<ClusterName> = (10..22).map(|index| format!("c{index}").into()).collect();
    federation.observe(vec![domain("galactic", "example.com")]);
    for (index, name) in names.iter().enumerate() {
        let fact = Fact::LoadBalancer(items(&[&format!("10.0.0.{index}")]));
        federation.observe(vec![
            cluster_at(name, "us/us1", ConditionStatus::True),
            member(name),
            node(name, "n1", "us", "us1"),
            member_object(name, Kind::Ingress, name, fact),
            ingress_record(name, &[&format!("{name}.example.com")]),
        ]);
    }
    assert_eq!(federation.served().len(), 12);
    (federation, names)
}

fn key_of(cluster: &str) -> ObjectKey {
    ObjectKey::host(Kind::Cluster, SYSTEM, cluster)
}

/// KubeFedClusters are gone, and their members are watched no more.
fn leave(federation: &mut Federation, names: &BTreeSet<ClusterName>) {
    let observations: Vec<Observation> = names.iter().map(|name| gone(key_of(name))).collect();
    let word = HostWord { heard: names.clone(), left: names.clone() };
    federation.engine.observe_with(&observations, &word, None);
}

#[test]
fn what_is_in_clusters_stays_while_the_loss_of_all_of_them_is_held() {
    let (mut federation, names) = twelve_clusters();
    leave(&mut federation, &names);
    assert_eq!(federation.served().len(), 12);
    assert!(federation.findings().contains(&"held".to_owned()));
    // Over a restart too.
    let (unready, holds) = federation.engine.memory();
    let holds = serde_json::from_str(&serde_json::to_string(&holds).expect("JSON")).expect("what was written");
    federation.engine.remember(unready, holds);
    // Those that are back keep what they have until it is read; the others are really gone, with everything.
    federation.observe(vec![cluster_at("c13", "us/us1", ConditionStatus::True)]);
    assert_eq!(federation.served(), ["c13.example.com 180 A 10.0.0.3"]);
    assert!(!federation.findings().contains(&"held".to_owned()));
    federation.observe(vec![cluster_at("c14", "us/us1", ConditionStatus::True), member("c14")]);
    assert_eq!(federation.served(), ["c13.example.com 180 A 10.0.0.3"], "c14 is a new cluster");
}

#[test]
fn what_is_in_clusters_goes_when_their_loss_is_released() {
    let (mut federation, names) = twelve_clusters();
    leave(&mut federation, &names);
    let fact =
        DomainFact { domain: "example.com".to_owned(), release: Some(checksum(&federation)), ..DomainFact::default() };
    let update = federation.observe(vec![host_object(Kind::Domain, SYSTEM, "galactic", Fact::Domain(fact))]);
    assert_eq!(federation.served().len(), 0);
    let told = update.accepted.iter().filter(|one| one.object.is_none()).count();
    assert_eq!(told, 4 * 12, "KubeFedCluster, member, Node and Ingress of each");
    federation.observe(
        names.iter().flat_map(|name| [cluster_at(name, "us/us1", ConditionStatus::True), member(name)]).collect(),
    );
    assert_eq!(federation.served().len(), 0);
}

#[test]
fn a_source_that_says_what_is_gone_in_lost_clusters_takes_nothing_away_either() {
    let (mut federation, names) = twelve_clusters();
    let everything = names.iter().flat_map(|name| {
        let ingress = ObjectKey::member(name, Kind::Ingress, "test", name);
        [gone(key_of(name)), gone(ObjectKey::observed_member(name)), gone(ingress)]
    });
    federation.observe(everything.collect());
    assert_eq!(federation.served().len(), 12);
    let held = federation.findings().iter().filter(|code| *code == "held").count();
    assert_eq!(held, 1, "what is in the clusters is not released by itself");
}

#[test]
fn nothing_is_held_of_a_cluster_that_is_gone() {
    for watched in [true, false] {
        let (mut federation, ingresses) = federation(12);
        federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::True)]);
        let c1 = BTreeSet::from([ClusterName::from("c1")]);
        if watched {
            leave(&mut federation, &c1);
        } else {
            let mut everything = all_gone(&ingresses);
            everything.extend([gone(key_of("c1")), gone(ObjectKey::observed_member(&"c1".into()))]);
            federation.observe(everything);
        }
        assert!(!federation.findings().contains(&"held".to_owned()));
        // A cluster of the same name, built anew and still empty.
        federation.observe(vec![cluster_at("c1", "us/us1", ConditionStatus::True), member("c1")]);
        assert_eq!(federation.served(), Vec::<String>::new());
    }
}

#[test]
fn what_is_held_of_a_cluster_goes_with_it() {
    let (mut federation, ingresses) = federation(12);
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::True)]);
    federation.observe(all_gone(&ingresses));
    assert_eq!(federation.served().len(), 12);
    federation.observe(vec![gone(key_of("c1"))]);
    assert!(!federation.findings().contains(&"held".to_owned()));
    federation.observe(vec![cluster_at("c1", "us/us1", ConditionStatus::True), member("c1")]);
    assert_eq!(federation.served(), Vec::<String>::new());
}
