use rstest::rstest;

use super::*;
use crate::dns::master;

fn apex() -> OwnerName {
    OwnerName::parse("example.com").expect("a name")
}

fn read(text: &str) -> Records {
    let (records, findings) = master::read(text, &"test.zone".into(), &apex(), &mut master::refuse_includes);
    assert_eq!(findings, [], "the reader has nothing to say");
    records
}

/// The zone of `lines` below a good head of five lines, and its findings as `code line`.
fn zone(lines: &str) -> (Option<ZoneContents>, Vec<String>) {
    let head = "$TTL 60\n@ SOA ns1 hostmaster 7 1h 10m 1w 30\n@ NS ns1\n@ NS ns.example.net.\nns1 A 192.0.2.1\n";
    let (zone, findings) = assemble(&apex(), read(&format!("{head}{lines}")));
    let tell = |finding: &Finding| {
        format!("{} {}", finding.code.as_str(), finding.place.as_ref().map_or(0, |place| place.line))
    };
    (zone, findings.iter().map(tell).collect())
}

/// What a name holds, as `TYPE data`.
fn held(zone: &ZoneContents, owner: &str) -> Vec<String> {
    let owner = OwnerName::parse(owner).expect("a name");
    let entry = zone.names().find(|(name, _)| *name == owner);
    let rrsets = entry.map(|(_, entry)| entry.rrsets).unwrap_or_default();
    let show = |rrset: &Rrset| {
        let data = rrset.data().iter().map(|data| display_rdata(rrset.record_type, data)).collect::<Vec<_>>();
        format!("{} {} {}", rrset.ttl, rrset.record_type, data.join(", "))
    };
    rrsets.iter().map(show).collect()
}

#[test]
fn a_good_zone_has_its_soa_apart_and_its_names_in_canonical_order() {
    let (zone, findings) = zone("b A 192.0.2.3\nB 60 A 192.0.2.2\n*.b TXT x\n\\000.b A 192.0.2.4\na-b A 192.0.2.5\n");
    let zone = zone.expect("a zone");
    assert_eq!(findings, [""; 0]);
    assert_eq!((zone.soa.serial, zone.soa.negative_ttl, zone.soa.ttl), (Serial(7), 30, 60));
    assert_eq!(zone.soa.contact.to_string(), "hostmaster.example.com");
    let owners: Vec<String> = zone.names().map(|(owner, _)| owner.to_string()).collect();
    assert_eq!(
        owners,
        [
            "example.com",
            "a-b.example.com",
            "b.example.com",
            "\\000.b.example.com",
            "*.b.example.com",
            "ns1.example.com"
        ]
    );
    assert_eq!(held(&zone, "example.com"), ["60 NS ns.example.net., ns1.example.com."]);
    assert_eq!(held(&zone, "b.example.com"), ["60 A 192.0.2.2, 192.0.2.3"]);
    assert_eq!(zone.into_patch().names.len(), 6);
}

#[rstest]
#[case::glue("sub NS ns.sub\nns.sub A 192.0.2.2")]
#[case::glue_at_the_cut("sub NS sub\nsub AAAA 2001:db8::1")]
#[case::glue_of_a_sibling("sub NS ns.other\nother NS ns.other\nns.other A 192.0.2.2")]
#[case::name_server_with_authoritative_address("sub NS ns1")]
#[case::delegation_signer(
    "sub NS ns.example.net.\nsub DS 1 13 4 0000000000000000000000000000000000000000000000000000000000000000\
                           00000000000000000000000000000000"
)]
#[case::target_from_a_wildcard("*.hosts A 192.0.2.2\n@ MX 1 mail.hosts")]
#[case::no_mail("@ MX 0 .")]
#[case::no_service("_x._tcp SRV 0 0 0 .")]
#[case::target_below_a_delegation("sub NS ns.example.net.\n@ MX 1 mail.sub")]
#[case::target_below_a_dname("old DNAME example.net.\n@ MX 1 mail.old")]
#[case::alias_to_nothing("gone CNAME nowhere")]
fn what_is_right_has_no_finding(#[case] lines: &str) {
    let (zone, findings) = zone(lines);
    assert!(zone.is_some());
    assert_eq!(findings, [""; 0]);
}

#[rstest]
#[case::mx_to_an_alias("a CNAME ns1\n@ MX 1 a", "zone-target 7")]
#[case::mx_to_a_wildcard_alias("*.a CNAME ns1\n@ MX 1 b.a", "zone-target 7")]
#[case::mx_to_an_empty_non_terminal("x.a A 192.0.2.2\n*.example.com. A 192.0.2.3\n@ MX 1 a", "zone-target 8")]
#[case::mx_below_an_existing_name("*.example.com. A 192.0.2.3\n@ MX 1 b.ns1", "zone-target 7")]
#[case::glue_is_missing("sub NS ns.sub", "zone-glue 6")]
#[case::glue_from_a_wildcard_is_none("*.sub A 192.0.2.2\nsub NS ns.sub", "zone-occluded 6, zone-glue 7")]
#[case::the_soa_at_both_ends_of_a_transfer("@ SOA ns1 hostmaster 7 1h 10m 1w 30", "zone-duplicate 6")]
#[case::occluded_delegation("sub NS ns.example.net.\nx.sub NS ns.example.net.", "zone-occluded 7")]
#[case::occluded_glue_of_nobody("sub NS ns.sub\nns.sub A 192.0.2.2\nn.sub A 192.0.2.2", "zone-occluded 8")]
fn rules_between_names_find_their_record(#[case] lines: &str, #[case] expected: &str) {
    let (zone, findings) = zone(lines);
    assert!(zone.is_some());
    assert_eq!(findings.join(", "), expected);
}

#[test]
fn a_cname_loses_against_other_data_and_the_first_of_two_stays() {
    let (zone, findings) = zone("a CNAME ns1\na TXT x\n@ CNAME a\nb CNAME ns1\nb CNAME a\n");
    let zone = zone.expect("a zone");
    assert_eq!(findings, ["zone-cname 6", "zone-cname 8", "zone-cname 10"]);
    assert_eq!(held(&zone, "a.example.com"), ["60 TXT \"x\""]);
    assert_eq!(held(&zone, "b.example.com"), ["60 CNAME ns1.example.com."]);
}

#[test]
fn names_below_a_dname_are_left_out() {
    let (zone, findings) = zone("d DNAME example.net.\nd TXT x\ne A 192.0.2.2\na.d A 192.0.2.2\nb.a.d A 192.0.2.2\n");
    let zone = zone.expect("a zone");
    assert_eq!(findings, ["zone-dname 9", "zone-dname 10"]);
    assert_eq!(held(&zone, "a.d.example.com"), [""; 0]);
    assert_eq!(held(&zone, "d.example.com"), ["60 TXT \"x\"", "60 DNAME example.net."]);
    assert_eq!(held(&zone, "e.example.com"), ["60 A 192.0.2.2"]);
}

#[test]
fn the_first_ttl_of_an_rrset_counts_and_a_record_counts_once() {
    let (zone, findings) = zone("a 5 A 192.0.2.9\na 6 A 192.0.2.2\na 7 A 192.0.2.9\n");
    assert_eq!(findings, ["zone-ttl 7", "zone-duplicate 8"]);
    assert_eq!(held(&zone.expect("a zone"), "a.example.com"), ["5 A 192.0.2.2, 192.0.2.9"]);
}

#[test]
fn without_an_soa_or_with_signatures_there_is_no_zone() {
    let (zone, findings) = assemble(&apex(), read("$TTL 60\n@ NS ns.example.net.\n"));
    assert!(zone.is_none());
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::ZoneSoa]);
    let (zone, findings) = assemble(&apex(), Records::default());
    assert!(zone.is_none());
    assert_eq!(findings[0].place, None);
    let (zone, findings) = super::tests::zone("@ NSEC ns1 NS SOA NSEC\n@ DNSKEY 257 3 13 AAAA\n");
    assert!(zone.is_none());
    assert_eq!(findings, ["zone-signed 6"]);
}

#[test]
fn the_apex_is_where_the_first_soa_stands() {
    let records = read("$TTL 60\nx.example.org. A 192.0.2.1\nexample.org. SOA a. b. 1 2 3 4 5\n");
    assert_eq!(apex_of(&records).map(|apex| apex.to_string()).as_deref(), Some("example.org"));
    assert_eq!(apex_of(&read("$TTL 60\nx.example.org. A 192.0.2.1\n")), None);
}

#[test]
fn names_that_lose_all_records_take_the_empty_ones_above_with_them() {
    let (zone, findings) = zone(
        "d DNAME e\na.b.d A 192.0.2.1\nc.b.d A 192.0.2.2\nx.y CNAME z\nx.y A 192.0.2.3\nmail MX 1 b.d\nw MX 1 q.y\n",
    );
    assert_eq!(findings, ["zone-dname 7", "zone-dname 8", "zone-cname 9", "zone-target 12"]);
    let zone = zone.expect("a zone");
    let owners: Vec<String> = zone.names().map(|(owner, _)| owner.to_string()).collect();
    assert!(!owners.iter().any(|owner| owner.ends_with("d.example.com") && owner != "d.example.com"), "{owners:?}");
}

#[test]
fn an_rrset_that_fits_into_no_message_is_cut_and_the_zone_can_be_served() {
    let text = "x".repeat(250);
    let lines: Vec<String> = (100..400).map(|number| format!("many TXT {number}{text}\n")).collect();
    let (zone, findings) = zone(&lines.concat());
    let zone = zone.expect("a zone");
    // 266 octets a record, and 65,253 for the RRset: 245 of them.
    assert_eq!(findings, [format!("zone-rdata {}", 6 + 245)]);
    let many = OwnerName::parse("many.example.com").expect("a name");
    let (_, entry) = zone.names().find(|(name, _)| *name == many).expect("a name with records");
    assert_eq!(entry.rrsets[0].data().len(), 245);
    crate::answer::Snapshot::default().with_zone(&zone).expect("a zone that can be served");
}
