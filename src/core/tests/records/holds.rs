//! Bulk loss is held until objects are back or a person says that it is meant.

use mcdns_core::{
    check::FindingCode,
    model::{ClusterFact, ConditionStatus, Fact, Kind, Observation},
};

use crate::federation::{Federation, cluster, cluster_at, domain, gone, ingress_record, items, member, member_object};

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
