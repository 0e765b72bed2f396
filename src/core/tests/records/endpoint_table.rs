//! DNSEndpoints of service and ingress records.

use mcdns_core::model::{RecordKind, ServiceRecordFact};
use rstest::rstest;

use crate::federation::{Federation, lines, resolves, service};

fn spec(change: impl FnOnce(&mut ServiceRecordFact)) -> ServiceRecordFact {
    let mut spec = ServiceRecordFact::default();
    change(&mut spec);
    spec
}

const BOTH: &str = "c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2";

const BOTH_PUBLISHED: &str = "
    P.eu.example.com 180 A 10.20.30.2
    P.eu1.eu.example.com 180 A 10.20.30.2
    P.example.com 180 A 10.20.30.1 10.20.30.2
    P.us.example.com 180 A 10.20.30.1
    P.us1.us.example.com 180 A 10.20.30.1";

const ALL_L1: &str = "
    P.example.com 180 A 10.20.30.1
    P.us.example.com 180 A 10.20.30.1
    P.us1.us.example.com 180 A 10.20.30.1";

#[rstest]
#[case::no_clusters("", "")]
#[case::single_lb_in_single_cluster("c1 us/us1: 10.20.30.1", ALL_L1)]
#[case::lbs_in_both_clusters(BOTH, BOTH_PUBLISHED)]
#[case::no_lb_in_one_cluster(
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: -",
    "P.eu.example.com 180 CNAME P.example.com
     P.eu1.eu.example.com 180 CNAME P.eu.example.com
     P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1"
)]
#[case::no_lb_in_both_clusters(
    "c1 us/us1: -; c2 eu/eu1: -",
    "P.eu.example.com 180 CNAME P.example.com
     P.eu1.eu.example.com 180 CNAME P.eu.example.com
     P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
#[case::multiple_lbs_in_clusters(
    "c1 us/us1: 10.20.30.1, 10.20.30.3; c2 eu/eu1: 10.20.30.2",
    "P.eu.example.com 180 A 10.20.30.2
     P.eu1.eu.example.com 180 A 10.20.30.2
     P.example.com 180 A 10.20.30.1 10.20.30.2 10.20.30.3
     P.us.example.com 180 A 10.20.30.1 10.20.30.3
     P.us1.us.example.com 180 A 10.20.30.1 10.20.30.3"
)]
#[case::hostname_in_lb(
    "c1 us/us1: a9.lb.test; c2 eu/eu1: 10.20.30.2",
    "P.eu.example.com 180 A 10.20.30.2
     P.eu1.eu.example.com 180 A 10.20.30.2
     P.example.com 180 A 10.20.30.2 10.20.30.3
     P.us.example.com 180 A 10.20.30.3
     P.us1.us.example.com 180 A 10.20.30.3"
)]
#[case::multi_zone_cluster(
    "c1 us/us1+us2: 10.20.30.1; c2 eu/eu1: 10.20.30.2",
    "P.eu.example.com 180 A 10.20.30.2
     P.eu1.eu.example.com 180 A 10.20.30.2
     P.example.com 180 A 10.20.30.1 10.20.30.2
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1
     P.us2.us.example.com 180 A 10.20.30.1"
)]
#[case::d1_one_of_two_clusters_in_a_zone_is_empty("c1 us/us1: 10.20.30.1; c2 us/us1: -", ALL_L1)]
#[case::d1_the_other_way_round("c1 us/us1: -; c2 us/us1: 10.20.30.1", ALL_L1)]
#[case::d2_one_zone_of_a_region_is_empty(
    "c1 us/us1: 10.20.30.1; c2 us/us2: -",
    "P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1
     P.us2.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d3_the_same_address_twice(
    "c1 us/us1: 10.20.30.2, 10.20.30.1; c2 us/us1: 10.20.30.1",
    "P.example.com 180 A 10.20.30.1 10.20.30.2
     P.us.example.com 180 A 10.20.30.1 10.20.30.2
     P.us1.us.example.com 180 A 10.20.30.1 10.20.30.2"
)]
#[case::d4_a_region_without_any(
    "c1 us/us1: -; c2 us/us2: -",
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com
     P.us2.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d5_an_item_with_both_fields(
    "c1 us/us1: 10.20.30.1+a9.lb.test",
    "P.example.com 180 A 10.20.30.1 10.20.30.3
     P.us.example.com 180 A 10.20.30.1 10.20.30.3
     P.us1.us.example.com 180 A 10.20.30.1 10.20.30.3"
)]
// Changed: IPv6 is AAAA.
#[case::d6_ipv6(
    "c1 us/us1: 2001:db8::1",
    "P.example.com 180 AAAA 2001:db8::1
     P.us.example.com 180 AAAA 2001:db8::1
     P.us1.us.example.com 180 AAAA 2001:db8::1"
)]
// Changed: one RRset for each family.
#[case::d7_a_host_name_with_both_families(
    "c1 us/us1: dual.lb.test",
    "P.example.com 180 A 10.20.30.9
     P.example.com 180 AAAA 2001:db8::9
     P.us.example.com 180 A 10.20.30.9
     P.us.example.com 180 AAAA 2001:db8::9
     P.us1.us.example.com 180 A 10.20.30.9
     P.us1.us.example.com 180 AAAA 2001:db8::9"
)]
// Changed: nothing resolved is no target, so the levels climb.
#[case::d8_a_host_name_without_addresses(
    "c1 us/us1: empty.lb.test",
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
// Changed: a failed look-up costs its own target only.
#[case::d9_a_host_name_that_does_not_resolve(
    "c1 us/us1: unknown.lb.test; c2 eu/eu1: 10.20.30.2",
    "P.eu.example.com 180 A 10.20.30.2
     P.eu1.eu.example.com 180 A 10.20.30.2
     P.example.com 180 A 10.20.30.2
     P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d14_two_zones_without_targets(
    "c1 us/us1+us2: -",
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com
     P.us2.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d15_an_item_with_neither_field(
    "c1 us/us1: ,",
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d16_addresses_sort_as_strings(
    "c1 /: 10.20.30.10, 10.20.30.9, 9.9.9.9",
    "P.example.com 180 A 10.20.30.10 10.20.30.9 9.9.9.9"
)]
fn service_endpoints(#[case] clusters: &str, #[case] expected: &str) {
    let mut federation = Federation::of(clusters);
    federation.observe(vec![resolves("dual.lb.test", &["10.20.30.9", "2001:db8::9"]), resolves("empty.lb.test", &[])]);
    let federation = federation.service_record(ServiceRecordFact::default());
    assert_eq!(federation.endpoints(RecordKind::Service), lines(expected));
}

#[rstest]
#[case::user_configured_dns_record_ttl(
    "c1 us/us1: 10.20.30.1",
    spec(|spec| spec.ttl = 300),
    "P.example.com 300 A 10.20.30.1
     P.us.example.com 300 A 10.20.30.1
     P.us1.us.example.com 300 A 10.20.30.1"
)]
#[case::user_configured_dns_prefix(
    BOTH,
    spec(|spec| spec.dns_prefix = "foo".to_owned()),
    &format!("foo.example.com 180 CNAME P.example.com\n{BOTH_PUBLISHED}")
)]
#[case::user_configured_external_name(
    BOTH,
    spec(|spec| spec.external_name = "foo".to_owned()),
    "foo.test.galactic.svc.eu.example.com 180 A 10.20.30.2 [nginx]
     foo.test.galactic.svc.eu1.eu.example.com 180 A 10.20.30.2 [nginx]
     foo.test.galactic.svc.example.com 180 A 10.20.30.1 10.20.30.2 [nginx]
     foo.test.galactic.svc.us.example.com 180 A 10.20.30.1 [nginx]
     foo.test.galactic.svc.us1.us.example.com 180 A 10.20.30.1 [nginx]"
)]
// Changed: a prefix CNAME exists only while the global name does.
#[case::d10_a_prefix_without_clusters("", spec(|spec| spec.dns_prefix = "foo".to_owned()), "")]
#[case::d11_a_prefix_without_targets(
    "c1 us/us1: -",
    spec(|spec| spec.dns_prefix = "foo".to_owned()),
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
#[case::d12_prefix_external_name_and_ttl(
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: -",
    spec(|spec| {
        spec.dns_prefix = "foo".to_owned();
        spec.external_name = "bar".to_owned();
        spec.ttl = 300;
    }),
    "bar.test.galactic.svc.eu.example.com 300 CNAME bar.test.galactic.svc.example.com [nginx]
     bar.test.galactic.svc.eu1.eu.example.com 300 CNAME bar.test.galactic.svc.eu.example.com [nginx]
     bar.test.galactic.svc.example.com 300 A 10.20.30.1 [nginx]
     bar.test.galactic.svc.us.example.com 300 A 10.20.30.1 [nginx]
     bar.test.galactic.svc.us1.us.example.com 300 A 10.20.30.1 [nginx]
     foo.example.com 300 CNAME bar.test.galactic.svc.example.com"
)]
// Changed: without a Domain nothing is named, and nothing is published.
#[case::d13_a_prefix_without_a_domain(
    BOTH,
    spec(|spec| {
        spec.dns_prefix = "foo".to_owned();
        spec.domain_ref = "elsewhere".into();
    }),
    ""
)]
// Changed: such a record is refused.
#[case::d17_a_negative_ttl("c1 us/us1: 10.20.30.1", spec(|spec| spec.ttl = -5), "")]
#[case::a_ttl_too_large("c1 us/us1: 10.20.30.1", spec(|spec| spec.ttl = 2_147_483_648), "")]
#[case::d18_a_prefix_that_is_the_global_name(
    "c1 us/us1: 10.20.30.1",
    spec(|spec| spec.dns_prefix = "nginx.test.galactic.svc".to_owned()),
    ALL_L1
)]
// Changed: nothing ever points to itself.
#[case::d19_the_same_without_targets(
    "c1 us/us1: -",
    spec(|spec| spec.dns_prefix = "nginx.test.galactic.svc".to_owned()),
    "P.us.example.com 180 CNAME P.example.com
     P.us1.us.example.com 180 CNAME P.us.example.com"
)]
#[case::a_prefix_that_is_an_empty_level_leaves_it_alone(
    "c1 us/us1: 10.20.30.1; c2 eu/eu1: -",
    spec(|spec| spec.dns_prefix = "nginx.test.galactic.svc.eu".to_owned()),
    "P.eu.example.com 180 CNAME P.example.com
     P.eu1.eu.example.com 180 CNAME P.eu.example.com
     P.example.com 180 A 10.20.30.1
     P.us.example.com 180 A 10.20.30.1
     P.us1.us.example.com 180 A 10.20.30.1"
)]
#[case::capitals_are_folded(
    "c1 RegionOne/: 10.20.30.1",
    spec(|spec| spec.external_name = "Foo.Bar.".to_owned()),
    "foo.bar.test.galactic.svc.example.com 180 A 10.20.30.1 [nginx]
     foo.bar.test.galactic.svc.regionone.example.com 180 A 10.20.30.1 [nginx]"
)]
#[case::an_external_name_that_is_no_host_name(
    "c1 us/us1: 10.20.30.1",
    spec(|spec| spec.external_name = "foo_bar".to_owned()),
    ""
)]
#[case::a_bad_prefix_is_left_out_alone(
    "c1 us/us1: 10.20.30.1",
    spec(|spec| spec.dns_prefix = "*.foo".to_owned()),
    ALL_L1
)]
fn service_endpoints_by_spec(#[case] clusters: &str, #[case] spec: ServiceRecordFact, #[case] expected: &str) {
    let federation = Federation::of(clusters).service_record(spec);
    assert_eq!(federation.endpoints(RecordKind::Service), lines(expected));
}

#[rstest]
#[case::no_clusters("", &["foo.bar.test"], 0, "")]
#[case::single_lb_in_single_cluster(
    "c1 us/us1: 10.20.30.1", &["foo.bar.test"], 0,
    "foo.bar.test 180 A 10.20.30.1"
)]
#[case::lbs_in_both_clusters(BOTH, &["foo.bar.test"], 0, "foo.bar.test 180 A 10.20.30.1 10.20.30.2")]
#[case::hostname_in_lb(
    "c1 us/us1: a9.lb.test; c2 eu/eu1: 10.20.30.2", &["foo.bar.test"], 0,
    "foo.bar.test 180 A 10.20.30.2 10.20.30.3"
)]
#[case::multiple_hosts(
    BOTH, &["foo.bar.test", "jane.goodall.test"], 0,
    "foo.bar.test 180 A 10.20.30.1 10.20.30.2
     jane.goodall.test 180 A 10.20.30.1 10.20.30.2"
)]
#[case::user_configured_dns_record_ttl(
    "c1 us/us1: 10.20.30.1", &["foo.bar.test"], 300,
    "foo.bar.test 300 A 10.20.30.1"
)]
#[case::a_host_listed_twice("c1 us/us1: 10.20.30.1", &["foo.test", "FOO.test."], 0, "foo.test 180 A 10.20.30.1")]
#[case::no_hosts(BOTH, &[], 0, "")]
#[case::clusters_without_load_balancers("c1 us/us1: -; c2 eu/eu1: -", &["foo.bar.test"], 0, "")]
#[case::a_wildcard_host("c1 us/us1: 10.20.30.1", &["*.foo.test"], 0, "*.foo.test 180 A 10.20.30.1")]
#[case::both_families(
    "c1 us/us1: 10.20.30.1, 2001:db8::1", &["foo.test"], 0,
    "foo.test 180 A 10.20.30.1
     foo.test 180 AAAA 2001:db8::1"
)]
#[case::bad_hosts_are_left_out_alone(
    "c1 us/us1: 10.20.30.1", &["", "a.*.test", "under_score.test", "192.0.2.1", "ok.test"], 0,
    "ok.test 180 A 10.20.30.1"
)]
fn ingress_endpoints(#[case] clusters: &str, #[case] hosts: &[&str], #[case] ttl: i64, #[case] expected: &str) {
    let federation = Federation::of(clusters).ingress_record(hosts, ttl);
    assert_eq!(federation.endpoints(RecordKind::Ingress), lines(expected));
}

#[test]
fn what_is_served_is_what_the_endpoint_says() {
    let federation = Federation::of("c1 us/us1: 10.20.30.1; c2 eu/eu1: -").service_record(ServiceRecordFact::default());
    let mut served: Vec<String> = federation.served();
    served.sort();
    let said: Vec<String> = federation
        .endpoints(RecordKind::Service)
        .into_iter()
        .map(|line| if line.contains(" CNAME ") { format!("{line}.") } else { line })
        .collect();
    assert_eq!(served, said);
}

#[test]
fn level_names_that_do_not_fit_are_left_out_alone() {
    let first = [&"a".repeat(60)[..], &"b".repeat(60), &"c".repeat(60)].join(".");
    let long = "z".repeat(40);
    let federation = Federation::of(&format!("c1 us/{long}+us1: 10.20.30.1"))
        .service_record(spec(|spec| spec.external_name.clone_from(&first)));
    let names = format!("{first}.test.galactic.svc");
    assert_eq!(
        federation.endpoints(RecordKind::Service),
        [
            format!("{names}.example.com 180 A 10.20.30.1 [nginx]"),
            format!("{names}.us.example.com 180 A 10.20.30.1 [nginx]"),
            format!("{names}.us1.us.example.com 180 A 10.20.30.1 [nginx]"),
        ]
    );
    assert!(federation.conditions(RecordKind::Service).contains("Degraded:NameLeftOut"));
    assert_eq!(federation.findings(), ["name-left-out"]);
}

#[test]
fn the_ttl_of_resolved_host_names_limits_the_records() {
    use mcdns_core::model::{Fact, HostAddressesFact, ObjectKey};
    let mut federation = Federation::of("c1 /: 10.0.0.1").service_record(spec(|spec| spec.ttl = 300));
    let fact = HostAddressesFact { addresses: vec!["10.0.0.7".parse().expect("an address")], ttl: Some(60) };
    let mut observations = service("c1", &["lb.aws.test"]);
    observations.push(crate::federation::present(ObjectKey::host_addresses("lb.aws.test"), Fact::HostAddresses(fact)));
    federation.observe(observations);
    assert_eq!(federation.endpoints(RecordKind::Service), lines("P.example.com 60 A 10.0.0.7"));
}
