use hickory_proto::{
    rr::{RData, RecordType as PeerType},
    serialize::binary::{BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict},
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn origin() -> OwnerName {
    OwnerName::parse("example.com").expect("a name")
}

fn wire(record_type: &str, text: &str) -> Box<[u8]> {
    let record_type = record_type.parse().expect("a type");
    parse_rdata_text(record_type, text, &origin()).unwrap_or_else(|error| panic!("{record_type} {text}: {error}"))
}

fn display(record_type: &str, rdata: &[u8]) -> String {
    display_rdata(record_type.parse().expect("a type"), rdata)
}

/// Each row is in the form that is written, so it must come back letter by letter.
#[rstest]
#[case::a("A", "192.0.2.1")]
#[case::aaaa("AAAA", "2001:db8::1")]
#[case::ns("NS", "ns1.example.com.")]
#[case::cname("CNAME", r"a\.b.\@.example.org.")]
#[case::ptr("PTR", ".")]
#[case::dname("DNAME", "example.net.")]
#[case::soa("SOA", "ns1.example.com. host\\.master.example.com. 4294967295 3600 600 604800 30")]
#[case::mx("MX", "10 mail.example.com.")]
#[case::null_mx("MX", "0 .")]
#[case::txt("TXT", r#""v=spf1 -all" "" "a\"b\\c;d (e) \000\255""#)]
#[case::spf("SPF", r#""v=spf1 -all""#)]
#[case::srv("SRV", "0 5 5060 sip.example.com.")]
#[case::caa("CAA", r#"128 issuewild "ca.example.net; account=\"1\"""#)]
#[case::caa_without_value("CAA", r#"0 issue """#)]
#[case::sshfp("SSHFP", "4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789")]
#[case::tlsa("TLSA", "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971")]
#[case::smimea("SMIMEA", "3 0 0 AB")]
#[case::naptr("NAPTR", r#"100 10 "S" "SIP+D2U" "!^(.*)$!sip:\\1@example.com!" _sip._udp.example.com."#)]
#[case::hinfo("HINFO", r#""PC-Intel-700mhz" "Redhat Linux 7.1""#)]
#[case::svcb_alias("SVCB", "0 foo.example.com.")]
#[case::svcb("SVCB", r#"16 foo.example.org. mandatory=alpn,ipv4hint alpn="h2,h3-19" ipv4hint=192.0.2.1"#)]
#[case::svcb_generic("SVCB", r#"1 foo.example.com. key667="hello\210qoo""#)]
#[case::svcb_escaped_list("SVCB", r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#)]
#[case::https(
    "HTTPS",
    r#"1 . alpn="h3,h2" no-default-alpn port=8443 ipv4hint=192.0.2.1,192.0.2.2 ech=AEX+DQ== ipv6hint=2001:db8::1,2001:db8::2"#
)]
#[case::https_doh("HTTPS", r#"1 . dohpath="/dns-query{?dns}" key8"#)]
#[case::ds("DS", "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118")]
#[case::cds_delete("CDS", "0 0 0 00")]
#[case::dnskey("DNSKEY", "256 3 5 AQPSKmynfzW4kyBv015MUG2DeIQ3Cbl+BBZH4b/0PY1kxkmvHjcZc8no")]
#[case::cdnskey("CDNSKEY", "257 3 13 AQPSKmynfzW4")]
#[case::csync("CSYNC", "66 3 A NS AAAA")]
#[case::csync_without_types("CSYNC", "66 3")]
#[case::uri("URI", r#"10 1 "ftp://ftp1.example.com/public""#)]
#[case::loc("LOC", "42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m")]
#[case::loc_small("LOC", "0 0 0.001 S 179 59 59.999 E -100000.00m 0.05m 0.00m 90000000m")]
#[case::rp("RP", "louie.trantor.umd.edu. lam1.people.umd.edu.")]
#[case::afsdb("AFSDB", "1 db.example.com.")]
#[case::cert("CERT", "1 0 8 AQID")]
#[case::openpgpkey("OPENPGPKEY", "AQID")]
#[case::zonemd("ZONEMD", "2018031900 1 240 AABBCCDDEEFF00112233445566778899AABBCCDDEEFF001122334455")]
#[case::rrsig(
    "RRSIG",
    "A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h108dUKGMeDPKijVCHX3DD"
)]
#[case::nsec("NSEC", "host.example.com. A MX RRSIG NSEC TYPE1234")]
#[case::nsec3("NSEC3", "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX DNSKEY NS SOA NSEC3PARAM RRSIG")]
#[case::nsec3_without_types("NSEC3", "1 1 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR")]
#[case::nsec3param("NSEC3PARAM", "1 0 12 AABBCCDD")]
#[case::eui48("EUI48", "00-00-5e-00-53-2a")]
#[case::eui64("EUI64", "00-00-5e-ef-10-00-00-2a")]
#[case::nid("NID", "10 0014:4fff:ff20:ee64")]
#[case::l32("L32", "10 10.1.2.0")]
#[case::dsync("DSYNC", "CDS 1 5300 rr-endpoint.example.")]
#[case::unknown("TYPE65400", "\\# 3 ABCDEF")]
#[case::unknown_without_data("TYPE65400", "\\# 0")]
#[case::apl("APL", "1:192.168.32.0/21 !1:192.168.38.0/28 2:ff00::/8 1:0.0.0.0/0 !2:::/128")]
#[case::apl_of_nothing("APL", "")]
#[case::apl_with_bits_behind_the_prefix("APL", "1:10.1.2.3/8")]
#[case::apl_of_a_later_family("APL", "\\# 9 00011801C000030000")]
#[case::ipseckey_to_nobody("IPSECKEY", "10 0 2 . AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==")]
#[case::ipseckey_to_ipv4("IPSECKEY", "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==")]
#[case::ipseckey_to_ipv6("IPSECKEY", "10 2 2 2001:db8:0:8002::2000:1 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==")]
#[case::ipseckey_to_a_name(
    "IPSECKEY",
    "10 3 2 mygateway.example.com. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="
)]
#[case::ipseckey_without_a_key("IPSECKEY", "10 1 0 192.0.2.38")]
#[case::hip(
    "HIP",
    "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p rvs1.example.com. rvs2.example.com."
)]
#[case::hip_without_servers("HIP", "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx")]
#[case::amtrelay_to_nobody("AMTRELAY", "10 1 0 .")]
#[case::amtrelay_to_ipv4("AMTRELAY", "10 0 1 203.0.113.15")]
#[case::amtrelay_to_ipv6("AMTRELAY", "10 1 2 2001:db8::15")]
#[case::amtrelay_to_a_name("AMTRELAY", "128 1 3 amtrelays.example.com.")]
#[case::amtrelay_of_a_later_kind("AMTRELAY", "\\# 4 0A840102")]
#[case::wks("WKS", "192.0.2.1 6 21 23 25 53")]
#[case::wks_of_nothing("WKS", "192.0.2.1 17")]
#[case::nsap("NSAP", "0x47000580005A0000000001E133FFFFFF00016100")]
#[case::nxt("NXT", "medium.foo.nil. A MX SIG NXT")]
#[case::eid("EID", "E32C6F78163A9348")]
#[case::nimloc("NIMLOC", "32251A030067")]
#[case::atma("ATMA", "39246F000E7C9C03120001000100001234567800")]
#[case::atma_of_digits("ATMA", "+61200000000")]
#[case::a6_whole("A6", "0 2001:db8::1")]
#[case::a6("A6", "61 ::5:0:0:0:1 prefix.example.com.")]
#[case::a6_of_a_name("A6", "128 prefix.example.com.")]
#[case::sink("SINK", "8 0 2 l4ik")]
#[case::sink_of_nothing("SINK", "1 0 0")]
#[case::key_that_is_none("KEY", "49152 3 5")]
#[case::doa("DOA", r#"1234567890 1 2 "image/gif" R0lGODlhAQ=="#)]
#[case::doa_of_nothing("DOA", r#"0 0 1 "" -"#)]
#[case::hhit("HHIT", "gwGCoA==")]
#[case::brid("BRID", "gwGCoA==")]
#[case::cla("CLA", r#""TCP-v4-v6""#)]
#[case::ipn("IPN", "18446744073709551615")]
fn text_to_wire_to_text_is_the_identity(#[case] record_type: &str, #[case] text: &str) {
    let octets = wire(record_type, text);
    let mut printed = display(record_type, &octets);
    if record_type == "NSEC3" {
        // The one type whose written order of types is not kept: they come back by number.
        printed = printed.replace("NS SOA MX RRSIG DNSKEY NSEC3PARAM", "MX DNSKEY NS SOA NSEC3PARAM RRSIG");
    }
    assert_eq!(printed, text);
    assert_eq!(wire(record_type, &display(record_type, &octets)), octets);
    // The generic form of the same octets is the same data.
    let generic = format!("\\# {} {}", octets.len(), data_encoding::HEXLOWER.encode(&octets));
    assert_eq!(wire(record_type, &generic), octets);
}

/// hickory-proto decodes what we write and encodes the same octets again.
#[rstest]
#[case("A", "192.0.2.1")]
#[case("AAAA", "2001:db8::1")]
#[case("NS", "ns1")]
#[case("CNAME", r"a\.b.\@")]
#[case("PTR", "@")]
#[case("SOA", "ns1 hostmaster 1 1h 10m 1w 30")]
#[case("MX", "10 mail")]
#[case("TXT", r#""v=spf1 -all" "" "a\"b\\c;d (e) \000\255""#)]
#[case("SRV", "0 5 5060 sip")]
#[case("CAA", r#"128 issuewild "ca.example.net""#)]
#[case("SSHFP", "4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789")]
#[case("TLSA", "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971")]
#[case("NAPTR", r#"100 10 S SIP+D2U "!^.*$!sip:info@example.com!" _sip._udp"#)]
#[case("HINFO", r#""PC" Linux"#)]
#[case("SVCB", r#"16 foo.example.org. (mandatory=alpn,ipv4hint alpn="h2,h3-19" ipv4hint=192.0.2.1)"#)]
#[case("HTTPS", "1 . alpn=h3 no-default-alpn port=8443 ech=AEX+DQ== ipv6hint=2001:db8::1")]
#[case("CSYNC", "66 3 A NS AAAA")]
#[case("CERT", "PKIX 0 RSASHA256 AQID")]
#[case("OPENPGPKEY", "AQ ID")]
fn the_wire_format_is_that_of_hickory_proto(#[case] record_type: &str, #[case] text: &str) {
    let octets = wire(record_type, text);
    let number: RecordType = record_type.parse().expect("a type");
    let mut decoder = BinDecoder::new(&octets);
    let length = Restrict::new(u16::try_from(octets.len()).expect("short data"));
    let data = RData::read(&mut decoder, PeerType::from(number.0), length).expect("data that hickory-proto reads");
    let mut again = Vec::new();
    let mut encoder = BinEncoder::new(&mut again);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).expect("room");
    assert_eq!(&*octets, again);
}

#[rstest]
#[case("MX", "10 MAIL.Example.COM.", "10 mail.example.com.")]
#[case("MX", "10 @", "10 example.com.")]
#[case("TXT", "Bare CaSe", r#""Bare" "CaSe""#)]
#[case("TXT", r#""\#""#, "\"#\"")]
#[case("TXT", r#""\065\"""#, r#""A\"""#)]
#[case("TXT", "\"h\u{e9}\"", r#""h\195\169""#)]
#[case("SOA", "ns1 hostmaster 1 1h 10m 1W 1d1s", "ns1.example.com. hostmaster.example.com. 1 3600 600 604800 86401")]
#[case("AAAA", "2001:DB8:0:0::0.0.0.1", "2001:db8::1")]
#[case(
    "DS",
    "60485 RSASHA1 1 2bb183af5f22588179a5 3b0a98631fad1a292118",
    "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"
)]
#[case("SVCB", r#"1 svc port="53" alpn="h2\044h3""#, r#"1 svc.example.com. alpn="h2,h3" port=53"#)]
#[case("HTTPS", "1 . ohttp", "1 . key8")]
#[case("L64", "10 2001:db8:1140:1", "10 2001:0db8:1140:0001")]
#[case("LOC", "52 N 4 53 E 3", "52 0 0.000 N 4 53 0.000 E 3.00m 1m 10000m 10m")]
#[case("A", "\\# 4 C0000201", "192.0.2.1")]
#[case("WKS", "192.0.2.1 tcp SMTP ( telnet ftp 53 )", "192.0.2.1 6 21 23 25 53")]
#[case("NSAP", "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00", "0x47000580005A0000000001E133FFFFFF00016100")]
#[case("ATMA", "+61.2.0000.0000", "+61200000000")]
#[case("APL", "2:FF00:0::0/8 1:192.0.2.0/024", "2:ff00::/8 1:192.0.2.0/24")]
#[case("A6", "64 2001:db8::1 prefix", "64 ::1 prefix.example.com.")]
#[case("IPSECKEY", "10 3 2 gw AQNRU3mG7T VTO2Bk", "10 3 2 gw.example.com. AQNRU3mG7TVTO2Bk")]
#[case("HIP", "2 200100107b1a74df AwEA RVS", "2 200100107B1A74DF AwEA rvs.example.com.")]
#[case("NS", "\\# 9 03 4E5331 03 63 6F6D 00", "ns1.com.")]
#[case("CSYNC", "1 0 AAAA A A", "1 0 A AAAA")]
fn what_people_write_comes_into_normal_form(#[case] record_type: &str, #[case] text: &str, #[case] normal: &str) {
    assert_eq!(display(record_type, &wire(record_type, text)), normal);
}

#[rstest]
#[case("A", "192.0.2", 0, "no IPv4 address")]
#[case("A", "192.0.2.01", 0, "no IPv4 address")]
#[case("A", "2001:db8::1", 0, "no IPv4 address")]
#[case("A", "192.0.2.1 192.0.2.2", 1, "more than A data has")]
#[case("AAAA", "192.0.2.1", 0, "no IPv6 address")]
#[case("AAAA", "fe80::1%eth0", 0, "no IPv6 address")]
#[case("MX", "mail", 0, "no number from 0 to 65535")]
#[case("MX", "65536 mail", 0, "no number from 0 to 65535")]
#[case("MX", "+1 mail", 0, "no number from 0 to 65535")]
#[case("MX", "1 a..b", 1, "a label is empty")]
#[case("SRV", "0 5 http host", 2, "no number")]
#[case("NS", r"bad\25", 0, "backslash")]
#[case("TXT", r#""bad\999""#, 0, "backslash")]
#[case("CAA", r#"0 is-sue "x""#, 1, "letters and digits")]
#[case("DS", "1 8 2 ABCD", 3, "32 octets")]
#[case("TLSA", "3 1 1 ABC", 3, "hexadecimal")]
#[case("DNSKEY", "257 3 13 ===", 3, "base64")]
#[case("SVCB", "1 . port=http", 2, "0 to 65535")]
#[case("SVCB", "1 . prt=1", 2, "no service parameter")]
#[case("SVCB", "1 . port=1 port=2", 3, "twice")]
#[case("SVCB", "1 . mandatory=alpn port=1", 2, "not there")]
#[case("SVCB", "1 . no-default-alpn", 2, "needs `alpn`")]
#[case("SVCB", "1 . alpn=", 2, "needs a value")]
#[case("LOC", "91 N 0 E 0", 0, "no part of an angle")]
#[case("LOC", "90 1 N 0 E 0", 2, "more than 90 degrees")]
#[case("RRSIG", "A 5 3 86400 20030231000000 20030220173103 2642 example.com. AAAA", 4, "no time")]
#[case("A", "\\# 3 C00002", -1, "no A data")]
#[case("TYPE65400", "\\# 3 C000", 1, "2")]
#[case("TYPE65400", "\\# 2 C0X0", 2, "hexadecimal")]
#[case("TYPE65400", "\\#", -1, "length is missing")]
#[case("TYPE65400", "something", -1, "not known")]
#[case("APL", "1:192.0.2.0", 0, "no prefix")]
#[case("APL", "1:192.0.2.0/24 1:192.0.2.0/33", 1, "no prefix")]
#[case("APL", "2:192.0.2.0/24", 0, "no prefix")]
#[case("APL", "3:192.0.2.0/24", 0, "no prefix")]
#[case("APL", "\\# 8 000118040A000000", -1, "no APL data")]
#[case("IPSECKEY", "10 4 2 . AQID", 1, "0 to 3")]
#[case("IPSECKEY", "10 0 2 gateway AQID", 3, "wants `.`")]
#[case("IPSECKEY", "10 1 2 2001:db8::1 AQID", 3, "no IPv4 address")]
#[case("IPSECKEY", "10 1 2 192.0.2.1", 0, "ends too early")]
#[case("IPSECKEY", "10 1 2 192.0.2.1 AQI", 4, "base64")]
#[case("AMTRELAY", "10 2 0 .", 1, "0 to 1")]
#[case("AMTRELAY", "10 0 1 192.0.2.1 more", 4, "more than AMTRELAY data has")]
#[case("HIP", "2 2001001 AwEA", 1, "hexadecimal")]
#[case("HIP", "2 20010010 AwEA a..b", 3, "a label is empty")]
#[case("A6", "129 ::1", 0, "0 to 128")]
#[case("A6", "64 ::1", 0, "ends too early")]
#[case("WKS", "192.0.2.1 tcp hovercraft", 2, "no number from 0 to 65535")]
#[case("NSAP", "4700", 0, "0x")]
#[case("NXT", "next.example.com. TYPE128", 1, "below 128")]
#[case("ATMA", "+12ab", 0, "no ATM address")]
#[case("IPN", "18446744073709551616", 0, "no number")]
#[case("MX", "10", -1, "ends too early")]
#[case("TXT", "", -1, "missing")]
fn an_error_names_the_field_and_says_why(
    #[case] record_type: &str,
    #[case] text: &str,
    #[case] field: i32,
    #[case] why: &str,
) {
    let record_type: RecordType = record_type.parse().expect("a type");
    let error = parse_rdata_text(record_type, text, &origin()).expect_err("wrong data");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(error.field(), usize::try_from(field).ok(), "{error}");
}

#[test]
fn a_string_of_256_octets_is_refused_with_advice() {
    let long = "a".repeat(256);
    let error = parse_rdata(RecordType::TXT, &["fine", &long], &origin()).expect_err("too long");
    assert_eq!(error.field(), Some(1));
    assert!(error.suggestion().is_some_and(|help| help.contains("several strings")));
    assert!(parse_rdata(RecordType::TXT, &[&long[1..]], &origin()).is_ok());
}

#[test]
fn data_above_65535_octets_is_refused() {
    let string = "a".repeat(255);
    let fields = vec![string.as_str(); 257];
    assert!(parse_rdata(RecordType::TXT, &fields, &origin()).is_err());
    assert!(parse_rdata(RecordType::TXT, &fields[..255], &origin()).is_ok());
}

#[test]
fn targets_are_read_from_the_types_that_have_one() {
    let host = OwnerName::parse("host.example.com").ok();
    assert_eq!(rdata_target(RecordType::CNAME, &wire("CNAME", "host")), host);
    assert_eq!(rdata_target(RecordType::MX, &wire("MX", "1 host")), host);
    assert_eq!(rdata_target(RecordType::SRV, &wire("SRV", "1 2 3 host")), host);
    assert_eq!(rdata_target(RecordType::A, &wire("A", "192.0.2.1")), None);
    assert_eq!(rdata_target(RecordType::SRV, b"\x00"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Octets that no type is asked to explain must come back as they were, if their text is read at all:
    /// misfits print as `\#`, which is refused where the type is known.
    #[test]
    fn any_octets_are_written_without_a_panic_and_read_back_the_same(
        number in prop_oneof![0u16..110, 256u16..265, any::<u16>()],
        octets in proptest::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..80),
    ) {
        let record_type = RecordType(number);
        let text = display_rdata(record_type, &octets);
        match parse_rdata_text(record_type, &text, &OwnerName::root()) {
            Ok(again) => prop_assert_eq!(again.to_ascii_lowercase(), octets.to_ascii_lowercase(), "{}", text),
            Err(error) => prop_assert!(text.starts_with("\\#"), "{}: {}", text, error),
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(
        number in prop_oneof![0u16..110, 256u16..265],
        text in r#"([0-9A-Za-z.\\"=:,@$ -]|\\[0-9]{3}|[é€]){0,60}"#,
    ) {
        let record_type = RecordType(number);
        if let Ok(octets) = parse_rdata_text(record_type, &text, &OwnerName::root()) {
            let printed = display_rdata(record_type, &octets);
            prop_assert_eq!(parse_rdata_text(record_type, &printed, &OwnerName::root()), Ok(octets), "{}", printed);
        }
    }
}
