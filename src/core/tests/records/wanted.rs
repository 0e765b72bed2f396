//! What publishers are told.

use std::collections::BTreeSet;

use mcdns_core::{
    dns::OwnerName,
    model::{Kind, ObjectKey, RecordKind, ServiceRecordFact},
    plan::{ClusterTarget, WantedName},
    records::ChangedNames,
};

use crate::federation::{Federation, PREFIX, gone, of, resolves};

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn federation(clusters: &str) -> Federation {
    let spec = ServiceRecordFact { domain_ref: "galactic".into(), ..ServiceRecordFact::default() };
    Federation::of(clusters).service_record(spec)
}

fn wanted(federation: &Federation) -> Vec<WantedName> {
    federation.engine.wanted_names(&name("example.com"))
}

/// `cluster target addresses`.
fn told(targets: &[ClusterTarget]) -> Vec<String> {
    let line = |one: &ClusterTarget| {
        let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        let target = match &one.target {
            mcdns_core::steering::Target::Address(address) => address.to_string(),
            mcdns_core::steering::Target::HostName(host) => host.to_string(),
        };
        format!("{} {target} {}", one.cluster, addresses.join("+"))
    };
    targets.iter().map(line).collect()
}

const TWO: &str = "c1 us/us1: 10.20.30.1, a9.lb.test; c2 eu/eu1: 10.20.30.2; c3 ap/ap1: -";

#[test]
fn every_name_comes_with_the_targets_of_the_clusters_there() {
    let federation = federation(TWO);
    let global = federation.engine.wanted_name(&name("example.com"), &name(&format!("{PREFIX}.example.com")));
    let global = global.expect("the global name");
    let expected = ["c1 10.20.30.1 10.20.30.1", "c1 a9.lb.test 10.20.30.3", "c2 10.20.30.2 10.20.30.2"];
    assert_eq!(told(&global.targets), expected);
    assert!(global.reason.ends_with(": c1, c2"), "{}", global.reason);
    assert_eq!(global.record.as_ref().map(|record| record.kind), Some(RecordKind::Service));
    let region = federation.engine.wanted_name(&name("example.com"), &name(&format!("{PREFIX}.eu.example.com")));
    assert_eq!(told(&region.expect("a region").targets), ["c2 10.20.30.2 10.20.30.2"]);
}

#[test]
fn the_addresses_of_the_targets_are_those_of_the_answers() {
    for wanted in wanted(&federation(TWO)).iter().filter(|wanted| !wanted.targets.is_empty()) {
        let given: BTreeSet<_> = wanted.targets.iter().flat_map(|target| target.addresses.iter().copied()).collect();
        let served = wanted.rrsets.iter().flat_map(mcdns_core::dns::Rrset::data);
        let served: BTreeSet<_> = served
            .map(|data| match <[u8; 4]>::try_from(&**data) {
                Ok(address) => std::net::IpAddr::from(address),
                Err(_) => std::net::IpAddr::from(<[u8; 16]>::try_from(&**data).expect("an address")),
            })
            .collect();
        assert_eq!(given, served, "{:?}", wanted.owner);
    }
}

#[test]
fn empty_levels_are_aliases_that_are_told_apart() {
    let federation = federation(TWO);
    let empty: Vec<String> = wanted(&federation)
        .iter()
        .filter(|wanted| federation.engine.is_empty_level(wanted))
        .map(|wanted| wanted.owner.to_string())
        .collect();
    let expected = [format!("{PREFIX}.ap1.ap.example.com"), format!("{PREFIX}.ap.example.com")];
    assert_eq!(empty, expected);
}

#[test]
fn one_name_is_the_same_as_among_all() {
    let federation = federation(TWO);
    let all = wanted(&federation);
    assert!(all.len() > 8 && all[0].owner == name("example.com"));
    for wanted in all {
        assert_eq!(federation.engine.wanted_name(&wanted.apex, &wanted.owner).as_ref(), Some(&wanted));
    }
    assert_eq!(federation.engine.wanted_name(&name("example.com"), &name("nobody.example.com")), None);
    assert_eq!(federation.engine.wanted_name(&name("example.net"), &name("example.net")), None);
}

/// Every name whose wanted state differs is among those that an update says have changed.
fn nothing_is_missed(mut federation: Federation, change: Vec<mcdns_core::model::Observation>) {
    let before = wanted(&federation);
    let update = federation.observe(change);
    let after = wanted(&federation);
    let changed = federation.engine.changed_names(&update);
    let differs: BTreeSet<OwnerName> = before
        .iter()
        .filter(|one| !after.contains(one))
        .chain(after.iter().filter(|one| !before.contains(one)))
        .map(|one| one.owner.clone())
        .collect();
    assert!(!differs.is_empty(), "the case changes something");
    let told = changed.get(&name("example.com")).expect("something is told");
    if let ChangedNames::Names(names) = told {
        let missed: Vec<_> = differs.difference(names).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}

#[test]
fn a_record_that_goes_takes_its_empty_levels_along() {
    let record = gone(ObjectKey::host(Kind::ServiceRecord, "test", "nginx"));
    nothing_is_missed(federation(TWO), vec![record]);
}

#[test]
fn a_load_balancer_that_changes_is_told_with_its_levels() {
    let other = of("c1 us/us1: 10.20.30.9; c2 eu/eu1: 10.20.30.2; c3 ap/ap1: -");
    nothing_is_missed(federation(TWO), other);
}

#[test]
fn the_same_address_behind_another_target_is_a_change() {
    let other = of("c1 us/us1: 10.20.30.1, a9.lb.test; c2 eu/eu1: a9.lb.test; c3 ap/ap1: -");
    let mut same = federation("c1 us/us1: 10.20.30.1, a9.lb.test; c2 eu/eu1: 10.20.30.3; c3 ap/ap1: -");
    same.observe(vec![resolves("a9.lb.test", &["10.20.30.3"])]);
    nothing_is_missed(same, other);
}

#[test]
fn a_new_region_changes_the_whole_zone() {
    let mut federation = federation(TWO);
    let update = federation.observe(of(&format!("{TWO}; c4 sa/sa1: -")));
    let changed = federation.engine.changed_names(&update);
    assert_eq!(changed.get(&name("example.com")), Some(&ChangedNames::All));
}

/// `owner: addresses` of the names that are not settled.
fn unsettled(federation: &Federation) -> Vec<String> {
    let names = wanted(federation).into_iter().filter(|wanted| wanted.unsettled.is_some());
    let line = |wanted: WantedName| {
        let same = federation.engine.wanted_name(&wanted.apex, &wanted.owner);
        assert_eq!(same.as_ref(), Some(&wanted));
        assert!(!federation.engine.is_empty_level(&wanted), "{}", wanted.owner);
        let addresses: Vec<String> = wanted
            .rrsets
            .iter()
            .filter(|rrset| rrset.record_type == mcdns_core::dns::RecordType::A)
            .flat_map(|rrset| rrset.data().iter().map(|data| mcdns_core::dns::display_rdata(rrset.record_type, data)))
            .collect();
        format!("{}: {}", wanted.owner.to_string().replace(PREFIX, "P"), addresses.join(" "))
    };
    names.map(line).collect()
}

#[test]
fn names_that_depend_on_a_host_name_without_an_answer_are_unsettled_until_there_is_one() {
    let mut federation = federation("c1 us/us1: late.lb.test; c2 eu/eu1: 10.20.30.2; c3 ap/ap1: -");
    let expected = ["P.example.com: 10.20.30.2", "P.us.example.com: ", "P.us1.us.example.com: "];
    assert_eq!(unsettled(&federation), expected);
    assert!(!federation.engine.knows_host_names());
    let global = federation.engine.wanted_name(&name("example.com"), &name(&format!("{PREFIX}.example.com")));
    let why = global.and_then(|global| global.unsettled).expect("a reason");
    assert_eq!(why, "no resolver has answered for the load balancer late.lb.test yet");
    // Said to have none: the answers stay the same, and publishers must hear of it.
    let update = federation.observe(vec![resolves("late.lb.test", &[])]);
    assert_eq!(unsettled(&federation), [""; 0]);
    assert!(federation.engine.knows_host_names());
    let changed = federation.engine.changed_names(&update);
    let told: BTreeSet<OwnerName> =
        ["", ".us", ".us1.us"].map(|level| name(&format!("{PREFIX}{level}.example.com"))).into();
    let ChangedNames::Names(names) = &changed[&name("example.com")] else { unreachable!("no level changed") };
    assert!(told.is_subset(names), "{names:?}");
}

#[test]
fn a_record_without_any_address_but_with_an_unknown_host_name_has_all_its_names_unsettled() {
    let federation = federation("c1 us/us1: late.lb.test; c2 eu/eu1: -").ingress_record(&["www.example.com"], 0);
    let levels = ["", ".eu", ".eu1.eu", ".us", ".us1.us"];
    let mut expected: Vec<String> = levels.iter().map(|level| format!("P{level}.example.com: ")).collect();
    expected.push("www.example.com: ".to_owned());
    let mut unsettled = unsettled(&federation);
    unsettled.sort();
    expected.sort();
    assert_eq!(unsettled, expected);
}

#[test]
fn a_cluster_that_is_meant_to_go_leaves_nothing_unsettled() {
    let gone = federation("c1 !us/us1: late.lb.test; c2 eu/eu1: 10.20.30.2");
    assert_eq!(unsettled(&gone), [""; 0]);
    // The last one stays whatever becomes of it.
    let last = federation("c1 !us/us1: late.lb.test");
    assert_eq!(unsettled(&last).len(), 3);
}
