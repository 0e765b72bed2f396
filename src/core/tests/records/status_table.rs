//! Statuses and conditions of records.

use mcdns_core::{
    model::{
        ClusterFact, Condition, ConditionStatus, Kind, NamespacedName, Observation, RecordKey, RecordKind,
        ServiceRecordFact, Timestamp,
    },
    records::{Options, StatusEntries},
};
use rstest::rstest;

use crate::federation::{
    Federation, SYSTEM, cluster, cluster_at, domain, endpoints, gone, host_object, items, lines, member, member_object,
    node, of, placement, service, service_alone, service_record, slice,
};

const TWO: &str = "c1 us/us1: -; c2 eu/eu1: -";

fn allowing() -> ServiceRecordFact {
    ServiceRecordFact { allow_without_endpoints: true, ..ServiceRecordFact::default() }
}

#[rstest]
#[case::s1_no_service_anywhere(vec![], false, "c1 us/us1: ; c2 eu/eu1: ")]
#[case::s2_a_load_balancer_and_a_ready_endpoint(
    service("c1", &["10.20.30.1"]), false, "c1 us/us1: 10.20.30.1; c2 eu/eu1: "
)]
#[case::s3_only_endpoints_that_are_not_ready(
    vec![service_alone("c1", &["10.20.30.1"]), endpoints("c1", &[false])], false, "c1 us/us1: ; c2 eu/eu1: "
)]
#[case::s4_the_same_allowed(
    vec![service_alone("c1", &["10.20.30.1"]), endpoints("c1", &[false])], true,
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: "
)]
#[case::s5_no_endpoints_object(vec![service_alone("c1", &["10.20.30.1"])], false, "c1 us/us1: ; c2 eu/eu1: ")]
#[case::s5_the_same_allowed(
    vec![service_alone("c1", &["10.20.30.1"])], true, "c1 us/us1: 10.20.30.1; c2 eu/eu1: "
)]
#[case::s6_endpoints_without_a_service(vec![endpoints("c1", &[true])], false, "c1 us/us1: ; c2 eu/eu1: ")]
#[case::s8_items_are_sorted_by_ip_then_host_name(
    service("c1", &["b.lb", "10.0.0.2", "10.0.0.1"]), false, "c1 us/us1: b.lb, 10.0.0.1, 10.0.0.2; c2 eu/eu1: "
)]
#[case::s9_no_load_balancer_status(service("c1", &[]), false, "c1 us/us1: ; c2 eu/eu1: ")]
#[case::s16_a_ready_address_in_the_second_slice(
    vec![service_alone("c1", &["10.20.30.1"]), slice("c1", "a", &[false]), slice("c1", "b", &[false, true])], false,
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: "
)]
#[case::one_slice_makes_the_endpoints_object_count_for_nothing(
    vec![service_alone("c1", &["10.20.30.1"]), slice("c1", "a", &[false]), endpoints("c1", &[true])], false,
    "c1 us/us1: ; c2 eu/eu1: "
)]
#[case::an_endpoints_object_alone_is_enough(
    vec![service_alone("c1", &["10.20.30.1"]), endpoints("c1", &[true])], false,
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: "
)]
#[case::an_item_listed_twice(
    service("c1", &["10.0.0.1", "10.0.0.1", ""]), false, "c1 us/us1: 10.0.0.1; c2 eu/eu1: "
)]
fn status_of_a_service_record(#[case] observed: Vec<Observation>, #[case] allow: bool, #[case] expected: &str) {
    let spec = if allow { allowing() } else { ServiceRecordFact::default() };
    let mut federation = Federation::of(TWO).service_record(spec);
    federation.observe(observed);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", expected));
}

fn status_lines(domain: &str, clusters: &str) -> Vec<String> {
    let clusters = clusters.split("; ").filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    std::iter::once(domain.to_owned()).chain(clusters).collect()
}

// Changed: the entry of an unready cluster stays, with an empty load balancer.
#[rstest]
#[case::s10_false(Some(ConditionStatus::False))]
#[case::s10_unknown(Some(ConditionStatus::Unknown))]
#[case::s10_absent(None)]
fn s10_an_unready_cluster_keeps_its_entry(#[case] status: Option<ConditionStatus>) {
    let mut federation =
        Federation::of("c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2").service_record(ServiceRecordFact::default());
    let fact = ClusterFact {
        ready: status.map(|status| Condition { status, since: None, reason: None }),
        region: Some("eu".into()),
        availability_zones: vec!["eu1".into()],
        ..ClusterFact::default()
    };
    federation.observe(vec![cluster("c2", fact)]);
    assert_eq!(
        federation.status(RecordKind::Service),
        status_lines("example.com", "c1 us/us1: 10.20.30.1; c2 eu/eu1: ")
    );
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        lines(
            "P.eu.example.com 180 CNAME P.example.com
             P.eu1.eu.example.com 180 CNAME P.eu.example.com
             P.example.com 180 A 10.20.30.1
             P.us.example.com 180 A 10.20.30.1
             P.us1.us.example.com 180 A 10.20.30.1"
        )
    );
    let conditions = federation.conditions(RecordKind::Service);
    assert_eq!(conditions, "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterUnready Ready:Published");
}

// Changed: only the levels that cannot be named are missing, and only for that cluster.
#[test]
fn s11_a_cluster_without_a_region_has_the_global_level_alone() {
    let federation =
        Federation::of("c1 us/us1: 10.20.30.1; c2 /: 10.20.30.2").service_record(ServiceRecordFact::default());
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        lines(
            "P.example.com 180 A 10.20.30.1 10.20.30.2
             P.us.example.com 180 A 10.20.30.1
             P.us1.us.example.com 180 A 10.20.30.1"
        )
    );
    assert_eq!(federation.message(RecordKind::Service, "Degraded"), "cluster c2: no region, so only the global level");
}

// Changed: as S11.
#[test]
fn s12_a_cluster_without_availability_zones_has_global_and_region() {
    let federation =
        Federation::of("c1 us/us1: 10.20.30.1; c2 eu/: 10.20.30.2").service_record(ServiceRecordFact::default());
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        lines(
            "P.eu.example.com 180 A 10.20.30.2
             P.example.com 180 A 10.20.30.1 10.20.30.2
             P.us.example.com 180 A 10.20.30.1
             P.us1.us.example.com 180 A 10.20.30.1"
        )
    );
    assert!(federation.conditions(RecordKind::Service).contains("Degraded:LocalityMissing"));
}

// Changed: a condition says so.
#[test]
fn s13_a_missing_domain_is_said_and_published_names_go() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    assert!(!federation.served().is_empty());
    federation.observe(vec![gone(domain("galactic", "example.com").key)]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("no domain", "c1 us/us1: 10.20.30.1"));
    let conditions = federation.conditions(RecordKind::Service);
    assert_eq!(conditions, "!Accepted:DomainMissing !Conflict:NoConflict !Degraded:Complete !Ready:NotAccepted");
    assert_eq!((federation.endpoints(RecordKind::Service).len(), federation.served().len()), (0, 0));
    assert_eq!(federation.findings(), ["domain-missing"]);
}

#[test]
fn s14_a_changed_domain_moves_all_names() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    federation.observe(vec![domain("galactic", "example.net")]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.net", "c1 us/us1: 10.20.30.1"));
    assert_eq!(federation.served().iter().filter(|line| line.contains("example.com")).count(), 0);
    assert_eq!(federation.served().len(), 3);
}

#[test]
fn s15_no_clusters_at_all() {
    let federation = Federation::of("").service_record(ServiceRecordFact::default());
    assert_eq!(federation.status(RecordKind::Service), ["example.com"]);
    assert!(federation.conditions(RecordKind::Service).ends_with("!Ready:NoTargets"));
}

#[test]
fn a_ttl_out_of_range_keeps_the_domain_in_the_status() {
    let spec = ServiceRecordFact { ttl: -1, ..ServiceRecordFact::default() };
    let federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(spec);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: 10.20.30.1"));
    assert!(federation.conditions(RecordKind::Service).starts_with("!Accepted:TtlOutOfRange"));
}

#[test]
fn placement_empties_the_clusters_outside_it() {
    let mut federation =
        Federation::of("c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2").service_record(ServiceRecordFact::default());
    federation.observe(vec![placement(Some(&["c1"]))]);
    let only_c1 = status_lines("example.com", "c1 us/us1: 10.20.30.1; c2 eu/eu1: ");
    assert_eq!(federation.status(RecordKind::Service), only_c1);
    federation.observe(vec![placement(None)]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: ; c2 eu/eu1: "));
}

#[test]
fn a_status_told_by_the_host_stands_in_for_an_unobserved_member() {
    use mcdns_core::model::Fact;
    let mut federation = Federation::default();
    let told = Fact::ServiceStatus(vec![("c1".into(), items(&["10.20.30.1"]))]);
    federation.observe(vec![
        domain("galactic", "example.com"),
        cluster_at("c1", "us/us1", ConditionStatus::True),
        service_record("test", "nginx", ServiceRecordFact::default()),
    ]);
    let conditions = federation.conditions(RecordKind::Service);
    assert_eq!(conditions, "Accepted:Accepted !Conflict:NoConflict Degraded:ClusterUnobserved !Ready:NoTargets");
    assert!(federation.findings().contains(&"cluster-unobserved".to_owned()));
    federation.observe(vec![host_object(Kind::ServiceStatus, "test", "nginx", told)]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: 10.20.30.1"));
    assert!(federation.findings().is_empty(), "{:?}", federation.findings());
    // It speaks for that Service alone, and for the clusters that it names.
    federation.observe(vec![crate::federation::ingress_record("nginx", &["www.example.com"])]);
    assert!(federation.conditions(RecordKind::Ingress).contains("Degraded:ClusterUnobserved"));
    assert!(federation.findings().contains(&"cluster-unobserved".to_owned()));
    federation.observe(vec![gone(crate::federation::ingress_record("nginx", &[]).key)]);
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::True)]);
    assert!(federation.conditions(RecordKind::Service).contains("Degraded:ClusterUnobserved"));
    federation.observe(vec![gone(cluster_at("c2", "eu/eu1", ConditionStatus::True).key)]);
    // An observed member speaks for itself, even with nothing to say.
    federation.observe(vec![member("c1")]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: "));
}

#[test]
fn the_status_of_an_ingress_record_stands_in_where_no_member_is_seen() {
    use mcdns_core::model::Fact;
    let mut federation = Federation::default();
    let told = |address| Fact::ServiceStatus(vec![("c1".into(), items(&[address]))]);
    federation.observe(vec![
        domain("galactic", "example.com"),
        cluster_at("c1", "us/us1", ConditionStatus::True),
        crate::federation::ingress_record("nginx", &["www.example.com"]),
        host_object(Kind::IngressStatus, "test", "nginx", told("10.20.30.1")),
    ]);
    assert!(federation.served().contains(&"www.example.com 180 A 10.20.30.1".to_owned()), "{:?}", federation.served());
    assert!(federation.findings().is_empty(), "{:?}", federation.findings());
    // A cluster that is lost, and a status that changes, reach the record behind them.
    federation.observe(vec![host_object(Kind::IngressStatus, "test", "nginx", told("10.20.30.2"))]);
    assert!(federation.served().contains(&"www.example.com 180 A 10.20.30.2".to_owned()));
    federation.observe(vec![gone(host_object(Kind::IngressStatus, "test", "nginx", told("10.20.30.2")).key)]);
    assert!(!federation.served().iter().any(|line| line.starts_with("www.")));
}

#[test]
fn grace_keeps_targets_for_a_while_and_says_when_to_ask_again() {
    let mut federation = Federation { now: Some(Timestamp(1_000_000)), ..Federation::default() };
    federation.observe(of("c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2"));
    federation.observe(vec![service_record("test", "nginx", ServiceRecordFact::default())]);
    federation.observe(vec![cluster_at("c2", "eu/eu1", ConditionStatus::False)]);
    assert_eq!(federation.engine.next_deadline(), Some(Timestamp(1_060_000)));
    assert!(federation.message(RecordKind::Service, "Degraded").contains("kept while grace lasts"));
    assert!(federation.served().contains(&lines("P.example.com 180 A 10.20.30.1 10.20.30.2")[0]));
    federation.now = Some(Timestamp(1_060_000));
    let update = federation.observe(Vec::new());
    assert_eq!(update.reason(), "time passed");
    assert_eq!(update.changes.len(), 3, "the global name, and region and availability zone that climb now");
    assert!(federation.served().contains(&lines("P.eu.example.com 180 CNAME P.example.com.")[0]));
    assert_eq!(federation.engine.next_deadline(), None);
}

#[test]
fn all_down_means_all_up_and_ends_when_one_is_back() {
    let mut federation =
        Federation::of("c1 !us/us1: 10.20.30.1; c2 !eu/eu1: 10.20.30.2").service_record(ServiceRecordFact::default());
    assert_eq!(
        federation.status(RecordKind::Service),
        status_lines("example.com", "c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2")
    );
    assert!(federation.findings().contains(&"all-down".to_owned()));
    federation.observe(vec![cluster_at("c1", "us/us1", ConditionStatus::True)]);
    assert_eq!(
        federation.status(RecordKind::Service),
        status_lines("example.com", "c1 us/us1: 10.20.30.1; c2 eu/eu1: ")
    );
}

#[test]
fn labels_of_nodes_decide_the_locality_at_once() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    federation.observe(vec![node("c1", "n1", "EU", "eu1")]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 EU/eu1: 10.20.30.1"));
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        lines(
            "P.eu.example.com 180 A 10.20.30.1
             P.eu1.eu.example.com 180 A 10.20.30.1
             P.example.com 180 A 10.20.30.1"
        )
    );
}

#[test]
fn ingress_records_follow_the_same_rules_without_the_endpoint_gate() {
    let mut federation = Federation::of("c1 us/us1: -; c2 !eu/eu1: -").ingress_record(&["foo.example.com"], 0);
    federation.observe(vec![
        crate::federation::ingress("c1", &["10.20.30.1"]),
        crate::federation::ingress("c2", &["10.20.30.2"]),
    ]);
    assert_eq!(federation.status(RecordKind::Ingress), ["no domain", "c1 /: 10.20.30.1", "c2 /: "]);
    let fact = mcdns_core::model::PlacementFact { clusters: Some(vec!["c2".into()]), selector: None };
    let placement = mcdns_core::model::Fact::Placement(fact);
    federation.observe(vec![host_object(Kind::IngressPlacement, "test", "nginx", placement)]);
    assert_eq!(federation.status(RecordKind::Ingress), ["no domain", "c1 /: ", "c2 /: 10.20.30.2"]);
}

#[test]
fn entries_can_be_limited_to_clusters_with_targets() {
    let options = Options { status_entries: StatusEntries::WithTargets, ..Options::default() };
    let mut federation = Federation::with(options);
    federation.observe(of("c1 us/us1: 10.20.30.1; c2 eu/eu1: -"));
    let federation = federation.service_record(ServiceRecordFact::default());
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: 10.20.30.1"));
}

#[test]
fn a_slice_that_moves_to_another_service_leaves_the_first() {
    use mcdns_core::model::{EndpointsFact, Fact};
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    let other = EndpointsFact { service: "other".into(), ..crate::federation::backends(&[true]) };
    federation.observe(vec![member_object("c1", Kind::EndpointSlice, "nginx-1", Fact::Endpoints(other))]);
    assert_eq!(federation.status(RecordKind::Service), status_lines("example.com", "c1 us/us1: "));
}

#[test]
fn objects_outside_the_system_namespace_do_not_count() {
    use mcdns_core::model::{DomainFact, Fact};
    let mut federation = Federation::default();
    let fact = DomainFact { domain: "example.com".to_owned(), ..DomainFact::default() };
    federation.observe(vec![
        host_object(Kind::Domain, "default", "galactic", Fact::Domain(fact)),
        host_object(Kind::Cluster, "default", "c1", Fact::Cluster(ClusterFact::default())),
        service_record("test", "nginx", ServiceRecordFact::default()),
    ]);
    assert_eq!(federation.findings(), ["domain-namespace", "misplaced", "domain-missing"]);
    assert_eq!(federation.engine.snapshot().zones().count(), 0);
    let key = RecordKey { kind: RecordKind::Service, name: NamespacedName::new("test", "nginx") };
    let status = federation.engine.record_status(&key).expect("the record is there");
    assert_eq!(status.clusters.len(), 0, "{SYSTEM} is where clusters count");
}
