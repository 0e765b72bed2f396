//! Zones: which there are, what stands at their apex, and where they meet.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use mcdns_core::{
    answer::Soa,
    dns::{OwnerName, RecordType, Rrset, Serial},
    model::{DomainFact, Fact, ForeignRrset, Kind, Observation, RecordKind, ServiceRecordFact},
    records::{NameServer, Options, SoaOptions, StaticZone, ZoneOptions},
};

use rstest::rstest;

use crate::federation::{Federation, SYSTEM, created, domain, host_object, lines, of, service_record};

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn options() -> Options {
    Options { advertise: vec![IpAddr::from([192, 0, 2, 53])], ..Options::default() }
}

fn domain_with_server(name: &str, domain: &str, server: &str) -> Observation {
    let fact = DomainFact { domain: domain.to_owned(), name_server: Some(server.to_owned()), ..DomainFact::default() };
    host_object(Kind::Domain, SYSTEM, name, Fact::Domain(fact))
}

/// Every RRset of a zone, climbs expanded.
fn zone(federation: &Federation, apex: &str) -> Vec<String> {
    let zone = federation.engine.snapshot().zone(&name(apex)).expect("the zone is served");
    let mut lines = Vec::new();
    for (owner, rrsets) in zone.expanded() {
        for rrset in rrsets {
            let data = rrset.data().iter().map(|data| mcdns_core::dns::display_rdata(rrset.record_type, data));
            lines.push(format!("{owner} {} {}", rrset.record_type, data.collect::<Vec<_>>().join(" ")));
        }
    }
    lines
}

#[test]
fn the_apex_has_a_server_whoever_names_it() {
    let mut federation = Federation::with(options());
    federation.observe(vec![domain("a", "a.test")]);
    assert_eq!(zone(&federation, "a.test"), ["a.test NS ns1.a.test.", "ns1.a.test A 192.0.2.53"]);
    federation.observe(vec![domain_with_server("a", "a.test", "2001:db8::53")]);
    assert_eq!(zone(&federation, "a.test"), ["a.test NS ns1.a.test.", "ns1.a.test AAAA 2001:db8::53"]);
    federation.observe(vec![domain_with_server("a", "a.test", "dns.other.test.")]);
    assert_eq!(zone(&federation, "a.test"), ["a.test NS dns.other.test."]);
    // A name inside the zone gets the advertised addresses, or the zone would be lame.
    federation.observe(vec![domain_with_server("a", "a.test", "dns.a.test")]);
    assert_eq!(zone(&federation, "a.test"), ["a.test NS dns.a.test.", "dns.a.test A 192.0.2.53"]);
    federation.observe(vec![domain_with_server("a", "a.test", "no_host")]);
    assert_eq!(zone(&federation, "a.test")[0], "a.test NS ns1.a.test.");
    assert!(federation.findings().contains(&"name-server".to_owned()));
}

#[test]
fn a_server_with_the_name_of_the_apex_has_its_address_there_until_a_host_does() {
    let mut federation = Federation::with(options());
    federation.observe(of("c1 us/us1: 10.20.30.1"));
    federation.observe(vec![domain_with_server("galactic", "example.com", "example.com")]);
    assert_eq!(zone(&federation, "example.com"), ["example.com A 192.0.2.53", "example.com NS example.com."]);
    let federation = federation.ingress_record(&["example.com"], 0);
    assert_eq!(zone(&federation, "example.com"), ["example.com A 10.20.30.1", "example.com NS example.com."]);
    assert_eq!(federation.findings(), Vec::<String>::new());
}

#[rstest]
#[case::below_the_child_s_cut("dns.eu.example.com", "", "dns.eu.example.com A 192.0.2.53")]
#[case::the_child_s_generated_server("ns1.eu.example.com", "", "ns1.eu.example.com A 192.0.2.53")]
#[case::where_the_child_gives_another_address("ns1.eu.example.com", "192.0.2.7", "ns1.eu.example.com A 192.0.2.7")]
#[case::the_child_s_apex("eu.example.com", "", "eu.example.com A 192.0.2.53")]
fn a_server_named_below_a_child_s_cut_has_one_address_in_both_zones(
    #[case] parent: &str,
    #[case] child: &str,
    #[case] address: &str,
) {
    let mut federation = Federation::with(options());
    federation.observe(vec![
        domain_with_server("parent", "example.com", parent),
        domain_with_server("child", "eu.example.com", child),
    ]);
    for apex in ["example.com", "eu.example.com"] {
        let lines = zone(&federation, apex);
        assert_eq!(lines.iter().filter(|line| *line == address).count(), 1, "{apex}: {lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("eu.example.com NS")), "{apex}: {lines:?}");
    }
    assert_eq!(federation.findings(), Vec::<String>::new());
}

#[test]
fn a_server_without_an_address_is_told_and_a_record_may_give_it_one() {
    let mut federation = Federation::with(Options::default());
    federation.observe(of("c1 us/us1: 10.20.30.1"));
    assert_eq!(federation.findings(), ["zone-target"], "no address is known of ns1");
    federation.observe(vec![domain_with_server("galactic", "example.com", "dns.example.com")]);
    assert_eq!(federation.findings(), ["zone-target"]);
    let mut federation = federation.ingress_record(&["dns.example.com"], 0);
    assert_eq!(federation.findings(), Vec::<String>::new());
    let alias = ServiceRecordFact { dns_prefix: "dns".to_owned(), ..ServiceRecordFact::default() };
    federation.observe(vec![crate::federation::gone(crate::federation::ingress_record("nginx", &[]).key)]);
    let federation = federation.service_record(alias);
    assert!(federation.message(RecordKind::Service, "Degraded").contains("must not point to a CNAME"));
}

#[test]
fn settings_name_the_servers_before_anybody() {
    let server = NameServer { name: name("dns.a.test"), addresses: vec![IpAddr::from([192, 0, 2, 7])] };
    let soa = SoaOptions { negative_ttl: Some(5), ..SoaOptions::default() };
    let zones = vec![ZoneOptions { apex: name("a.test"), name_servers: vec![server], soa, static_zone: None }];
    let mut federation = Federation::with(Options { zones, ..options() });
    federation.observe(vec![domain_with_server("a", "a.test", "2001:db8::53")]);
    assert_eq!(zone(&federation, "a.test"), ["a.test NS dns.a.test.", "dns.a.test A 192.0.2.7"]);
    let served = federation.engine.snapshot().zone(&name("a.test")).expect("the zone is served");
    assert_eq!((served.soa().negative_ttl, served.soa().primary.to_string()), (5, "dns.a.test".to_owned()));
}

#[test]
fn a_child_domain_is_delegated_with_glue() {
    let mut federation = Federation::with(options());
    federation.observe(vec![domain("parent", "example.com"), domain("child", "eu.example.com")]);
    assert_eq!(
        zone(&federation, "example.com"),
        [
            "example.com NS ns1.example.com.",
            "eu.example.com NS ns1.eu.example.com.",
            "ns1.eu.example.com A 192.0.2.53",
            "ns1.example.com A 192.0.2.53",
        ]
    );
    assert_eq!(
        zone(&federation, "eu.example.com"),
        ["eu.example.com NS ns1.eu.example.com.", "ns1.eu.example.com A 192.0.2.53"]
    );
    federation.observe(vec![crate::federation::gone(domain("child", "eu.example.com").key)]);
    assert_eq!(zone(&federation, "example.com").len(), 2);
    assert!(federation.engine.snapshot().zone(&name("eu.example.com")).is_none());
}

#[test]
fn level_names_below_a_cut_go_to_the_child_and_dns_endpoints_stay_the_same() {
    let clusters = "c1 us/us1: 10.20.30.1; c2 eu/eu1: 10.20.30.2; c3 eu/eu2: -";
    let plain = Federation::of(clusters).service_record(ServiceRecordFact::default());
    let mut federation = Federation::of(clusters).service_record(ServiceRecordFact::default());
    federation.observe(vec![domain("child", "eu.example.com")]);
    let records_in = |apex: &str| {
        let mut lines = zone(&federation, apex);
        lines.retain(|line| line.contains(".svc."));
        lines.sort();
        lines
    };
    let in_child = records_in("eu.example.com");
    assert_eq!(
        in_child,
        lines(
            "P.eu.example.com A 10.20.30.2
             P.eu1.eu.example.com A 10.20.30.2
             P.eu2.eu.example.com CNAME P.eu.example.com."
        )
    );
    let in_parent = records_in("example.com");
    assert_eq!(
        in_parent,
        lines(
            "P.example.com A 10.20.30.1 10.20.30.2
             P.us.example.com A 10.20.30.1
             P.us1.us.example.com A 10.20.30.1"
        )
    );
    assert_eq!(federation.endpoints(RecordKind::Service), plain.endpoints(RecordKind::Service));
    assert_eq!(federation.findings(), Vec::<String>::new());
}

#[test]
fn a_cname_at_a_child_s_apex_is_left_out() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1")
        .service_record(ServiceRecordFact { dns_prefix: "foo".to_owned(), ..ServiceRecordFact::default() });
    federation.observe(vec![domain("child", "foo.example.com")]);
    assert_eq!(zone(&federation, "foo.example.com")[0], "foo.example.com NS ns1.foo.example.com.");
    assert_eq!(federation.findings(), ["name-left-out"]);
    assert!(federation.message(RecordKind::Service, "Degraded").contains("foo.example.com is left out"));
}

#[test]
fn nothing_stands_at_the_name_of_the_zone_s_own_server() {
    let federation = Federation::of("c1 us/us1: 10.20.30.1").ingress_record(&["ns1.example.com", "www.example.com"], 0);
    assert_eq!(federation.endpoints(RecordKind::Ingress), ["www.example.com 180 A 10.20.30.1"]);
    assert_eq!(federation.findings(), ["name-left-out"]);
}

#[test]
fn the_apex_may_be_a_host() {
    let federation = Federation::of("c1 us/us1: 10.20.30.1, 2001:db8::1").ingress_record(&["example.com"], 0);
    assert_eq!(
        zone(&federation, "example.com"),
        [
            "example.com A 10.20.30.1",
            "example.com NS ns1.example.com.",
            "example.com AAAA 2001:db8::1",
            "ns1.example.com A 192.0.2.53",
        ]
    );
}

#[test]
fn two_domains_of_one_name_are_one_zone_of_the_older_one_s_server() {
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    federation.observe(vec![
        created(domain_with_server("galactic", "example.com", "new.test"), 200),
        created(domain_with_server("older", "example.com", "old.test"), 100),
        service_record(
            "test",
            "other",
            ServiceRecordFact { domain_ref: "older".into(), ..ServiceRecordFact::default() },
        ),
    ]);
    let lines = zone(&federation, "example.com");
    assert_eq!(lines[0], "example.com NS old.test.");
    assert!(lines.iter().any(|line| line.starts_with("nginx.test.galactic.svc.example.com A")));
    assert!(lines.iter().any(|line| line.starts_with("other.test.older.svc.us.example.com CNAME")));
    assert_eq!(federation.findings(), ["domain-shared", "no-targets"]);
}

#[test]
fn hosts_outside_all_zones_are_published_with_a_finding() {
    let federation = Federation::of("c1 us/us1: 10.20.30.1").ingress_record(&["www.elsewhere.test"], 0);
    assert_eq!(federation.endpoints(RecordKind::Ingress), ["www.elsewhere.test 180 A 10.20.30.1"]);
    assert_eq!(federation.findings(), ["outside-zones"]);
}

fn static_zone(names: &[(&str, RecordType, &[u8])]) -> ZoneOptions {
    let apex = name("example.com");
    let soa = Soa {
        primary: name("ns.example.com"),
        contact: name("admin.example.com"),
        serial: Serial(7),
        refresh: 1,
        retry: 2,
        expire: 3,
        negative_ttl: 4,
        ttl: 5,
    };
    let names: BTreeMap<OwnerName, Vec<Rrset>> = names
        .iter()
        .map(|(owner, record_type, data)| (name(owner), vec![Rrset::new(*record_type, 60, vec![(*data).into()])]))
        .collect();
    ZoneOptions {
        apex,
        name_servers: Vec::new(),
        soa: SoaOptions::default(),
        static_zone: Some(Arc::new(StaticZone { soa, names })),
    }
}

#[test]
fn static_records_come_before_records_and_these_before_foreign_ones() {
    let zones = vec![static_zone(&[
        ("example.com", RecordType::NS, name("ns.example.com").as_wire()),
        ("ns.example.com", RecordType::A, &[192, 0, 2, 9]),
        ("www.example.com", RecordType::A, &[192, 0, 2, 1]),
    ])];
    let mut federation = Federation::with(Options { zones, ..options() });
    federation.observe(of("c1 us/us1: 10.20.30.1"));
    let mut federation = federation.ingress_record(&["www.example.com", "api.example.com"], 0);
    let foreign = |owner: &str, record_type: &str, target: &str| ForeignRrset {
        owner: owner.to_owned(),
        record_type: record_type.to_owned(),
        targets: vec![target.to_owned()],
        ttl: 0,
    };
    let foreign = vec![
        foreign("www.example.com", "A", "10.9.9.9"),
        foreign("api.example.com", "A", "10.9.9.9"),
        foreign("txt.example.com.", "TXT", "\"two words\""),
        foreign("bad.example.com", "A", "2001:db8::1"),
    ];
    federation.observe(vec![host_object(Kind::ForeignRrsets, "test", "extra", Fact::ForeignRrsets(foreign))]);
    assert_eq!(
        zone(&federation, "example.com"),
        [
            "example.com NS ns.example.com.",
            "api.example.com A 10.20.30.1",
            "ns.example.com A 192.0.2.9",
            "txt.example.com TXT \"two words\"",
            "www.example.com A 192.0.2.1",
        ]
    );
    let mut findings = federation.findings();
    findings.sort();
    assert_eq!(findings, ["foreign-rrset", "name-taken", "name-taken", "name-taken"]);
    let about: Vec<_> = federation.engine.findings().into_iter().filter_map(|finding| finding.object).collect();
    assert_eq!(about.iter().filter(|object| **object == "DNSEndpoint test/extra").count(), 3, "two names and a set");
    assert_eq!(federation.endpoints(RecordKind::Ingress), ["api.example.com 180 A 10.20.30.1"]);
    let served = federation.engine.snapshot().zone(&name("example.com")).expect("the zone is served");
    assert_eq!((served.soa().contact.to_string(), served.soa().refresh), ("admin.example.com".to_owned(), 1));
}

#[test]
fn names_below_static_delegations_are_told_and_below_a_dname_left_out() {
    let zones = vec![static_zone(&[
        ("example.com", RecordType::NS, name("ns.other.test").as_wire()),
        ("eu.example.com", RecordType::NS, name("ns.other.test").as_wire()),
        ("old.example.com", RecordType::DNAME, name("other.test").as_wire()),
    ])];
    let mut federation = Federation::with(Options { zones, ..options() });
    federation.observe(of("c1 us/us1: 10.20.30.1"));
    let federation = federation.ingress_record(&["www.eu.example.com", "www.old.example.com"], 0);
    assert_eq!(federation.endpoints(RecordKind::Ingress), ["www.eu.example.com 180 A 10.20.30.1"]);
    assert!(!zone(&federation, "example.com").iter().any(|line| line.starts_with("www.old.")));
    let mut findings = federation.findings();
    findings.sort();
    assert_eq!(findings, ["name-left-out", "zone-occluded"]);
}

#[test]
fn a_level_that_static_records_hold_is_a_conflict_like_any_other() {
    let level = "nginx.test.galactic.svc.us.example.com";
    let zones = vec![static_zone(&[
        ("example.com", RecordType::NS, name("ns.other.test").as_wire()),
        (level, RecordType::A, &[192, 0, 2, 1]),
    ])];
    let mut federation = Federation::with(Options { zones, ..options() });
    federation.observe(of("c1 us/us1: 10.20.30.1"));
    let federation = federation.service_record(ServiceRecordFact::default());
    assert!(zone(&federation, "example.com").contains(&format!("{level} A 192.0.2.1")));
    assert_eq!(
        federation.message(RecordKind::Service, "Conflict"),
        format!("{level} belongs to static records or the zone itself")
    );
    assert_eq!(federation.findings(), ["name-taken"]);
}

#[rstest]
#[case::a_delegation("NS", "ns.other.test")]
#[case::a_redirection("DNAME", "other.test")]
#[case::an_alias_at_the_apex("CNAME", "other.test")]
#[case::a_signature("NSEC", "b.example.com. A")]
#[case::a_question_type("ANY", "\\# 0")]
fn what_would_hide_or_break_other_names_is_not_taken_from_others(#[case] record_type: &str, #[case] target: &str) {
    let owner = if record_type == "CNAME" { "example.com" } else { "svc.example.com" };
    let rrset = ForeignRrset {
        owner: owner.to_owned(),
        record_type: record_type.to_owned(),
        targets: vec![target.to_owned()],
        ttl: 0,
    };
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1").service_record(ServiceRecordFact::default());
    let before = federation.served();
    federation.observe(vec![host_object(Kind::ForeignRrsets, "test", "odd", Fact::ForeignRrsets(vec![rrset]))]);
    assert_eq!(federation.served(), before);
    assert_eq!(federation.findings(), ["foreign-rrset"]);
}

#[rstest]
#[case("TXT", "two words", "\"two words\"")]
#[case("TXT", "\"two words\" \"more\"", "\"two words\" \"more\"")]
#[case("CAA", "0 issue \"ca.example.net\"", "0 issue \"ca.example.net\"")]
fn quotes_of_foreign_targets_are_those_of_master_files(
    #[case] record_type: &str,
    #[case] target: &str,
    #[case] expected: &str,
) {
    let rrset = ForeignRrset {
        owner: "x.example.com".to_owned(),
        record_type: record_type.to_owned(),
        targets: vec![target.to_owned()],
        ttl: 0,
    };
    let mut federation = Federation::of("");
    federation.observe(vec![host_object(Kind::ForeignRrsets, "test", "odd", Fact::ForeignRrsets(vec![rrset]))]);
    assert_eq!(federation.served(), [format!("x.example.com 180 {record_type} {expected}")]);
}

#[test]
fn our_own_output_is_never_input() {
    let stale = ForeignRrset {
        owner: "stale.example.com".to_owned(),
        record_type: "A".to_owned(),
        targets: vec!["10.9.9.9".to_owned()],
        ttl: 0,
    };
    let output = host_object(Kind::ForeignRrsets, "test", "service-nginx", Fact::ForeignRrsets(vec![stale]));
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![output]);
    assert!(federation.served().iter().any(|line| line.starts_with("stale.")), "it is foreign without a record");
    let federation = federation.service_record(ServiceRecordFact::default());
    assert!(!federation.served().iter().any(|line| line.starts_with("stale.")));
}
