use rstest::rstest;

use super::*;

fn set(record_type: &str, values: &[&str]) -> RecordSet {
    let record_type: RecordType = record_type.parse().expect("a type");
    let data = values.iter().map(|text| parse_rdata_text(record_type, text, &OwnerName::root()).expect("data"));
    RecordSet::data(record_type, 60, data)
}

fn owner(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

#[rstest]
#[case::plain("www.example.com", "www.example.com.")]
#[case::wildcard("*.example.com", "*.example.com.")]
#[case::star_inside("a.*.example.com", r"a.\052.example.com.")]
#[case::star_in_label("txt-a-*.example.com", r"txt-a-\052.example.com.")]
#[case::underscore("_s._tcp.example.com", "_s._tcp.example.com.")]
#[case::slash("0/25.2.0.192.in-addr.arpa", r"0\05725.2.0.192.in-addr.arpa.")]
#[case::dot_in_label(r"a\.b.example.com", r"a\056b.example.com.")]
#[case::high(r"\195\164.example.com", r"\303\244.example.com.")]
#[case::root(".", ".")]
fn names_are_written_with_octal_escapes_and_read_back(#[case] name: &str, #[case] text: &str) {
    assert_eq!(name_text(&owner(name)), text);
    assert_eq!(parse_name(text), Ok(owner(name)));
}

#[rstest]
#[case(r"\052.example.com.", "*.example.com")]
#[case(r"prefix-\052.wildcard.example.com.", r"prefix-*.wildcard.example.com")]
#[case(
    r"txt-\041\042\043\044\045\046\047\050\051\052\053\054-\057\072\073-test.example.com",
    r##"txt-!\"#\$%&'\(\)*+,-/:\;-test.example.com"##
)]
#[case(
    r"txt-\074\075\076\077\100\133\134\135\136_\140\173\174\175\176-test2.example.com",
    r"txt-<=>?\@[\\]^_`{|}~-test2.example.com"
)]
#[case("plain.example.com.", "plain.example.com")]
fn names_are_read_as_the_service_writes_them(#[case] text: &str, #[case] name: &str) {
    assert_eq!(parse_name(text), Ok(owner(name)));
}

#[rstest]
#[case::a("A", "192.0.2.1", "192.0.2.1")]
#[case::aaaa("AAAA", "2001:DB8:0::1", "2001:db8::1")]
#[case::cname("CNAME", "Other.Example.NET.", "other.example.net.")]
#[case::odd_name("CNAME", r"a\032b.example.net.", r"a\040b.example.net.")]
#[case::dot_in_label("CNAME", r"a\.b.example.net.", r"a\056b.example.net.")]
#[case::mx("MX", "10 m1.example.net.", "10 m1.example.net.")]
#[case::srv("SRV", "10 5 443 host.example.net.", "10 5 443 host.example.net.")]
#[case::naptr(
    "NAPTR",
    "10 20 S SIP+D2U \"\" _sip._udp.example.net.",
    "10 20 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.net."
)]
#[case::txt("TXT", "plain", "\"plain\"")]
#[case::quotes("TXT", r#""a \"quote\" and \\""#, r#""a \"quote\" and \\""#)]
#[case::octets("TXT", r#""\195\164;,=\007""#, r#""\303\244;,=\007""#)]
#[case::strings("TXT", r#""one" "two strings""#, r#""one" "two strings""#)]
#[case::digits_behind_a_backslash("TXT", r#""\\065""#, r#""\\065""#)]
#[case::caa("CAA", "0 issue \"ca.example.net\"", "0 issue \"ca.example.net\"")]
fn values_are_written_as_the_service_wants_them(#[case] kind: &str, #[case] text: &str, #[case] value: &str) {
    let set = set(kind, &[text]);
    let raw = encode(&owner("www.example.com"), &set).expect("a set");
    assert_eq!(raw.resource_records()[0].value, value);
    assert_eq!(decode(&raw), Ok(set));
}

#[test]
fn a_string_of_more_than_255_octets_is_never_written() {
    let text = "k".repeat(255);
    let long = set("TXT", &[&format!("\"{text}\" \"{text}\" \"rest\"")]);
    let raw = encode(&owner("t.example.com"), &long).expect("a set");
    assert_eq!(raw.resource_records()[0].value, format!("\"{text}\" \"{text}\" \"rest\""));
    assert_eq!(size(&raw), (1, 2 * 257 + 2 + 6));
}

#[rstest]
#[case::weighted(&[(WEIGHT, "10")])]
#[case::latency(&[(REGION, "eu-central-1")])]
#[case::failover(&[(FAILOVER, "PRIMARY"), (HEALTH_CHECK, "b6c1")])]
#[case::multi_value(&[(MULTI_VALUE, "")])]
#[case::continent(&[(CONTINENT, "EU")])]
#[case::country(&[(COUNTRY, "US"), (SUBDIVISION, "CA")])]
#[case::everywhere_else(&[(COUNTRY, "*")])]
#[case::near_region(&[(NEAR_REGION, "us-east-1"), (NEAR_BIAS, "-10")])]
#[case::near_local_zone(&[(NEAR_GROUP, "us-east-1-iah-1")])]
#[case::near_place(&[(NEAR_PLACE, "45.0,-90.00"), (NEAR_BIAS, "0")])]
#[case::cidr(&[(CIDR_COLLECTION, "c8c02a84"), (CIDR_LOCATION, "office")])]
#[case::traffic_policy(&[(TRAFFIC_POLICY, "7d5e"), (WEIGHT, "0")])]
fn every_routing_policy_survives_as_it_is(#[case] properties: &[(&str, &str)]) {
    let mut set = set("A", &["192.0.2.1", "192.0.2.2"]);
    set.identifier = Some("one of them".to_owned());
    set.properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let raw = encode(&owner("www.example.com"), &set).expect("a set");
    assert_eq!(raw.set_identifier.as_deref(), Some("one of them"));
    assert_eq!(decode(&raw), Ok(set));
}

#[test]
fn an_alias_keeps_its_zone_and_whether_it_follows_health() {
    for follows in ["true", "false"] {
        let properties = [(TARGET_ZONE, "Z35SXDOTRQ7X7K"), (EVALUATE, follows)];
        let alias = RecordSet {
            record_type: RecordType::AAAA,
            identifier: None,
            ttl: None,
            content: Content::Alias(owner("lb-1.us-east-1.elb.amazonaws.com")),
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let raw = encode(&owner("example.com"), &alias).expect("a set");
        let target = raw.alias_target.as_ref().expect("an alias");
        assert_eq!(target.dns_name, "lb-1.us-east-1.elb.amazonaws.com.");
        assert_eq!((raw.ttl, target.evaluate_target_health.to_string().as_str()), (None, follows));
        assert_eq!(size(&raw), (1, 0));
        assert_eq!(decode(&raw), Ok(alias));
    }
}

#[test]
fn other_spellings_are_noticed() {
    let raw = |value: &str| {
        let record = ResourceRecord::builder().value(value).build().expect("a value");
        let set = ResourceRecordSet::builder().name("c.example.com.").r#type(RrType::Cname).ttl(60);
        set.resource_records(record).build().expect("a set")
    };
    let (without_dot, with_dot) = (raw("Other.example.net"), raw("other.example.net."));
    let (a, b) = (decode(&without_dot).expect("a set"), decode(&with_dot).expect("a set"));
    assert_eq!(a, b);
    let ours = encode(&owner("c.example.com"), &a).expect("a set");
    assert!(same_spelling(&ours, &with_dot));
    assert!(!same_spelling(&ours, &without_dot));
}

#[rstest]
#[case::address("A", "192.0.2.256")]
#[case::text("TXT", "\"not closed")]
#[case::type_("BOGUS", "x")]
fn nonsense_is_told(#[case] kind: &str, #[case] value: &str) {
    let record = ResourceRecord::builder().value(value).build().expect("a value");
    let raw = ResourceRecordSet::builder().name("x.example.com.").r#type(RrType::from(kind)).ttl(60);
    let raw = raw.resource_records(record).build().expect("a set");
    assert!(decode(&raw).is_err(), "{:?}", decode(&raw));
}
