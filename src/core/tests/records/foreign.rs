//! DNSEndpoints of others: what of them is served and handed to publishers. Rows are those of external-dns' own CRD
//! source, where it has one.

use mcdns_core::{
    dns::OwnerName,
    model::{Fact, ForeignRrset, Kind, ObjectKey, Observation, ServiceRecordFact},
};
use rstest::rstest;

use crate::federation::{Federation, created, host_object};

/// `owner type ttl target / target`.
fn rrset(line: &str) -> ForeignRrset {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let (owner, record_type, ttl) = (words[0], words[1], words[2]);
    let targets = words.get(3).map(|targets| targets.split(" / ").map(str::to_owned).collect());
    let ttl = ttl.parse().expect("a number");
    ForeignRrset {
        owner: owner.to_owned(),
        record_type: record_type.to_owned(),
        targets: targets.unwrap_or_default(),
        ttl,
    }
}

fn object(name: &str, lines: &[&str]) -> Observation {
    host_object(Kind::ForeignRrsets, "test", name, Fact::ForeignRrsets(lines.iter().map(|line| rrset(line)).collect()))
}

fn in_external_dns(observation: Observation) -> Observation {
    let key = ObjectKey::foreign("test", &observation.key.name, "externaldns.k8s.io");
    Observation { key, ..observation }
}

#[rstest]
#[case::address(&["a.example.com A 60 1.2.3.4"], &["a.example.com 60 A 1.2.3.4"], 0)]
#[case::address_with_a_dot(&["a.example.com A 60 1.2.3.4."], &[], 1)]
#[case::name_with_a_dot(&["A.Example.com. A 60 1.2.3.4"], &["a.example.com 60 A 1.2.3.4"], 0)]
#[case::unset_ttl(&["a.example.com A 0 1.2.3.4"], &["a.example.com 180 A 1.2.3.4"], 0)]
#[case::negative_ttl_is_unset(&["a.example.com A -5 1.2.3.4"], &["a.example.com 180 A 1.2.3.4"], 0)]
#[case::ttl_too_large(&["a.example.com A 2147483648 1.2.3.4"], &[], 1)]
#[case::several_targets(&["a.example.com A 60 1.2.3.5 / 1.2.3.4 / 1.2.3.4"], &["a.example.com 60 A 1.2.3.4 1.2.3.5"], 0)]
#[case::other_family(&["a.example.com AAAA 60 1.2.3.4"], &[], 1)]
#[case::no_targets(&["a.example.com A 60"], &[], 1)]
#[case::host_in_an_address(&["a.example.com A 60 lb.example.net"], &[], 1)]
#[case::cname_with_a_dot(&["c.example.com CNAME 60 Host.Example.net."], &["c.example.com 60 CNAME host.example.net."], 0)]
#[case::cname_without_one(&["c.example.com CNAME 60 host.example.net"], &["c.example.com 60 CNAME host.example.net."], 0)]
#[case::cname_with_two_targets(&["c.example.com CNAME 60 a.example.net / b.example.net"], &[], 1)]
#[case::cname_twice(
    &["c.example.com CNAME 60 a.example.net", "c.example.com CNAME 60 b.example.net"],
    &["c.example.com 60 CNAME a.example.net."], 1
)]
#[case::cname_beside_an_address(
    &["c.example.com CNAME 60 a.example.net", "c.example.com A 60 1.2.3.4"], &["c.example.com 60 A 1.2.3.4"], 1
)]
#[case::set_identifiers_answer_together(
    &["a.example.com A 60 1.2.3.4", "a.example.com A 60 1.2.3.5"], &["a.example.com 60 A 1.2.3.4 1.2.3.5"], 0
)]
#[case::mx(&["m.example.com MX 60 10 mail.example.net"], &["m.example.com 60 MX 10 mail.example.net."], 0)]
#[case::mx_with_a_dot(&["m.example.com MX 60 10 mail.example.net."], &["m.example.com 60 MX 10 mail.example.net."], 0)]
#[case::mx_without_preference(&["m.example.com MX 60 mail.example.net"], &[], 1)]
#[case::mx_with_a_large_one(&["m.example.com MX 60 65536 mail.example.net"], &[], 1)]
#[case::srv(&["_s._tcp.example.com SRV 60 0 0 0 ."], &["_s._tcp.example.com 60 SRV 0 0 0 ."], 0)]
#[case::srv_too_short(&["_s._tcp.example.com SRV 60 0 0 h.example.net."], &[], 1)]
#[case::text_with_a_dot(&["t.example.com TXT 60 foo.example.org."], &["t.example.com 60 TXT \"foo.example.org.\""], 0)]
#[case::naptr(
    &["n.example.com NAPTR 60 10 20 S SIP+D2U \"\" _sip._udp.example.net."],
    &["n.example.com 60 NAPTR 10 20 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.net."], 0
)]
#[case::wildcard(&["*.example.com A 60 1.2.3.4"], &["*.example.com 60 A 1.2.3.4"], 0)]
#[case::delegation(&["n.example.com NS 60 ns1.example.net"], &[], 1)]
#[case::name_servers_of_the_zone(&["example.com NS 60 ns1.example.net"], &[], 1)]
#[case::redirection(&["d.example.com DNAME 60 example.net"], &[], 1)]
#[case::unknown_type(&["a.example.com NOPE 60 1.2.3.4"], &[], 1)]
#[case::no_name(&[" A 60 1.2.3.4"], &[], 1)]
#[case::good_beside_bad(
    &["bad.example.com A 60 x", "a.example.com A 60 1.2.3.4"], &["a.example.com 60 A 1.2.3.4"], 1
)]
fn endpoints_of_others_are_read_one_by_one(
    #[case] lines: &[&str],
    #[case] expected: &[&str],
    #[case] findings: usize,
    #[values(false, true)] of_external_dns: bool,
) {
    let mut federation = Federation::of("");
    let object = object("theirs", lines);
    federation.observe(vec![if of_external_dns { in_external_dns(object) } else { object }]);
    assert_eq!(federation.served(), expected);
    assert_eq!(federation.findings(), vec!["foreign-rrset"; findings]);
}

#[test]
fn objects_of_two_groups_with_one_name_are_two_objects() {
    let mut federation = Federation::of("");
    let theirs = in_external_dns(object("web", &["b.example.com A 60 1.2.3.5"]));
    federation.observe(vec![object("web", &["a.example.com A 60 1.2.3.4"]), theirs.clone()]);
    assert_eq!(federation.served(), ["a.example.com 60 A 1.2.3.4", "b.example.com 60 A 1.2.3.5"]);
    federation.observe(vec![Observation { object: None, ..object("web", &[]) }]);
    assert_eq!(federation.served(), ["b.example.com 60 A 1.2.3.5"], "one goes alone");
    assert_eq!(theirs.key.to_string(), "DNSEndpoint.externaldns.k8s.io test/web");
}

#[test]
fn of_two_groups_the_older_object_has_its_way_and_the_other_is_told() {
    let mut federation = Federation::of("");
    let younger = created(object("web", &["a.example.com A 30 1.2.3.4"]), 200);
    let older = created(in_external_dns(object("web", &["a.example.com A 60 1.2.3.5"])), 100);
    federation.observe(vec![younger, older]);
    assert_eq!(federation.served(), ["a.example.com 60 A 1.2.3.5"]);
    let told: Vec<String> = federation.engine.findings().into_iter().map(|finding| finding.message).collect();
    let why = "records of one type have one TTL (RFC 2181 section 5.2)";
    assert_eq!(told, [format!("a.example.com A gives way to DNSEndpoint.externaldns.k8s.io test/web: {why}")]);
}

/// What two objects give together, of which the first is older, and the types of the younger that gave way.
#[rstest]
#[case::other_types(
    &["shop.example.com A 60 1.2.3.4"], &["shop.example.com MX 60 10 mail.example.net"],
    &["shop.example.com 60 A 1.2.3.4", "shop.example.com 60 MX 10 mail.example.net."], &[]
)]
#[case::targets_of_one_type(
    &["shop.example.com A 60 1.2.3.5"], &["shop.example.com A 60 1.2.3.4 / 1.2.3.5"],
    &["shop.example.com 60 A 1.2.3.4 1.2.3.5"], &[]
)]
#[case::other_ttl(
    &["shop.example.com A 60 1.2.3.4"], &["shop.example.com A 61 1.2.3.5", "shop.example.com AAAA 61 2001:db8::1"],
    &["shop.example.com 60 A 1.2.3.4", "shop.example.com 61 AAAA 2001:db8::1"], &["A"]
)]
#[case::an_unset_ttl_is_the_default(
    &["shop.example.com A 0 1.2.3.4"], &["shop.example.com A 180 1.2.3.5"],
    &["shop.example.com 180 A 1.2.3.4 1.2.3.5"], &[]
)]
#[case::cname_first(
    &["shop.example.com CNAME 60 a.example.net"], &["shop.example.com A 60 1.2.3.4", "shop.example.com TXT 60 t"],
    &["shop.example.com 60 CNAME a.example.net."], &["A", "TXT"]
)]
#[case::cname_second(
    &["shop.example.com TXT 60 t"], &["shop.example.com CNAME 60 a.example.net"],
    &["shop.example.com 60 TXT \"t\""], &["CNAME"]
)]
#[case::the_same_cname(
    &["shop.example.com CNAME 60 a.example.net"], &["shop.example.com CNAME 60 A.example.net."],
    &["shop.example.com 60 CNAME a.example.net."], &[]
)]
#[case::another_cname(
    &["shop.example.com CNAME 60 b.example.net"], &["shop.example.com CNAME 60 a.example.net"],
    &["shop.example.com 60 CNAME b.example.net."], &["CNAME"]
)]
fn objects_are_united_by_name_and_type_as_external_dns_does(
    #[case] older: &[&str],
    #[case] younger: &[&str],
    #[case] expected: &[&str],
    #[case] gave_way: &[&str],
    #[values(false, true)] younger_first: bool,
) {
    let mut federation = Federation::of("");
    // In the order of names the younger one is the first.
    let older = created(object("web", older), 100);
    let younger = created(object("mail", younger), 200);
    let mut both = vec![older.clone(), younger.clone()];
    if younger_first {
        both.reverse();
    }
    for one in both {
        federation.observe(vec![one]);
    }
    assert_eq!(federation.served(), expected);
    let findings = federation.engine.findings();
    let told: Vec<String> = findings.iter().map(|finding| finding.message.clone()).collect();
    let told: Vec<&str> = told.iter().filter_map(|message| message.split(' ').nth(1)).collect();
    assert_eq!(told, gave_way);
    assert!(findings.iter().all(|finding| finding.object.as_deref() == Some("DNSEndpoint test/mail")), "{findings:?}");
    // What one has left has the name alone, however it was before.
    federation.observe(vec![Observation { object: None, ..older }]);
    let mut alone = Federation::of("");
    alone.observe(vec![younger]);
    assert_eq!(federation.served(), alone.served());
    assert!(federation.engine.findings().is_empty());
}

#[test]
fn a_name_of_several_objects_is_explained_and_published_by_all_of_them() {
    let mut federation = Federation::of("");
    let web = created(object("web", &["shop.example.com A 60 1.2.3.4"]), 100);
    let mail = created(object("mail", &["shop.example.com MX 60 10 mail.example.net"]), 200);
    let late = created(object("late", &["shop.example.com A 61 1.2.3.9"]), 300);
    federation.observe(vec![web, mail, late]);
    let name = OwnerName::parse("shop.example.com").expect("a name");
    let verdict = federation.engine.explain(&name).verdict;
    assert_eq!(verdict, "shop.example.com comes from DNSEndpoint test/mail, DNSEndpoint test/web, which are not ours");
    let wanted = federation.engine.wanted_names(&OwnerName::parse("example.com").expect("a name"));
    let shop = wanted.iter().find(|one| one.owner == name).expect("it is wanted");
    let types: Vec<String> = shop.rrsets.iter().map(|rrset| rrset.record_type.to_string()).collect();
    assert_eq!(types, ["A", "MX"]);
    assert_eq!(shop.reason, "DNSEndpoint test/mail, DNSEndpoint test/web");
}

#[test]
fn our_own_output_is_never_input_in_any_group() {
    let stale = in_external_dns(object("service-nginx", &["stale.example.com A 60 10.9.9.9"]));
    let mut federation = Federation::of("c1 us/us1: 10.20.30.1");
    federation.observe(vec![stale]);
    assert!(federation.served().iter().any(|line| line.starts_with("stale.")), "it is foreign without a record");
    let federation = federation.service_record(ServiceRecordFact::default());
    assert!(!federation.served().iter().any(|line| line.starts_with("stale.")), "{:?}", federation.served());
}

#[test]
fn what_others_give_is_handed_to_publishers() {
    let mut federation = Federation::of("");
    let theirs = in_external_dns(object("web", &["a.example.com A 60 1.2.3.4", "a.example.com AAAA 60 2001:db8::1"]));
    federation.observe(vec![object("mail", &["m.example.com MX 60 10 mail.example.net"]), theirs]);
    let apex = OwnerName::parse("example.com").expect("a name");
    let wanted = federation.engine.wanted_names(&apex);
    let wanted = wanted.iter().filter(|one| one.reason.contains("DNSEndpoint"));
    let told: Vec<String> = wanted
        .map(|one| {
            let types: Vec<String> = one.rrsets.iter().map(|rrset| rrset.record_type.to_string()).collect();
            format!("{} {}: {}", one.owner, types.join(" "), one.reason)
        })
        .collect();
    assert_eq!(
        told,
        ["a.example.com A AAAA: DNSEndpoint.externaldns.k8s.io test/web", "m.example.com MX: DNSEndpoint test/mail"]
    );
}
