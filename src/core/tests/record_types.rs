//! The text form of every type that has one, held against the name servers that know it: what we write is what they
//! read, and what BIND writes of it is the same data for us.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    reason = "the checkers are outside of core; only the tests reach for them"
)]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use mcdns_core::dns::{OwnerName, RecordType, display_rdata, parse_rdata_text};

/// One record of every type, in the form that we write. Types of DNSSEC stand in signed zones alone, and NXT and SIG
/// make a zone one of another time.
const RECORDS: &[(&str, &str)] = &[
    ("A", "192.0.2.1"),
    ("MD", "host.example.com."),
    ("MF", "host.example.com."),
    ("MB", "host.example.com."),
    ("MG", "host.example.com."),
    ("MR", "host.example.com."),
    ("NULL", "\\# 1 00"),
    ("WKS", "192.0.2.1 6 21 23 25 53"),
    ("PTR", "host.example.com."),
    ("HINFO", r#""PC" "Linux""#),
    ("MINFO", "first.example.com. second.example.com."),
    ("MX", "10 ns1.example.com."),
    ("TXT", r#""v=spf1 -all" "" "a\"b\\c;d (e) \000\255""#),
    ("RP", "first.example.com. second.example.com."),
    ("AFSDB", "1 ns1.example.com."),
    ("X25", "\"311061700956\""),
    ("ISDN", r#""150862028003217" "004""#),
    ("RT", "10 host.example.com."),
    ("NSAP", "0x47000580005A0000000001E133FFFFFF00016100"),
    ("NSAP-PTR", "host.example.com."),
    ("PX", "10 map822.example.com. mapx400.example.com."),
    ("GPOS", r#""-32.6882" "116.8652" "10.0""#),
    ("AAAA", "2001:db8::1"),
    ("LOC", "42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m"),
    ("EID", "E32C6F78163A9348"),
    ("NIMLOC", "32251A030067"),
    ("SRV", "0 5 5060 ns1.example.com."),
    ("ATMA", "+61200000000"),
    ("ATMA", "39246F000E7C9C03120001000100001234567800"),
    ("NAPTR", r#"100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" ."#),
    ("KX", "10 ns1.example.com."),
    ("CERT", "1 0 8 AQID"),
    ("A6", "0 2001:db8::1"),
    ("A6", "61 ::5:0:0:0:1 prefix.example.com."),
    ("A6", "128 prefix.example.com."),
    ("SINK", "8 0 2 l4ik"),
    ("APL", "1:192.168.32.0/21 !1:192.168.38.0/28 2:ff00::/8 1:0.0.0.0/0 !2:::/128"),
    ("APL", ""),
    ("APL", "1:10.1.2.3/8"),
    ("APL", "\\# 4 00030000"),
    ("SSHFP", "4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789"),
    ("IPSECKEY", "10 0 2 . AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("IPSECKEY", "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("IPSECKEY", "10 2 2 2001:db8:0:8002::2000:1 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("IPSECKEY", "10 3 2 mygateway.example.com. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    ("TLSA", "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"),
    ("SMIMEA", "3 0 0 AB"),
    ("HIP", "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNu rvs1.example.com. rvs2.example.com."),
    ("HIP", "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx"),
    ("NINFO", "\"some text\""),
    ("RKEY", "0 3 8 AQID"),
    ("TALINK", "first.example.com. second.example.com."),
    ("OPENPGPKEY", "AQID"),
    ("CSYNC", "66 3 A NS AAAA"),
    ("ZONEMD", "1 1 240 AABBCCDDEEFF00112233445566778899AABBCCDDEEFF001122334455"),
    ("SVCB", r#"16 foo.example.org. mandatory=alpn,ipv4hint alpn="h2,h3-19" ipv4hint=192.0.2.1"#),
    ("HTTPS", r#"1 . alpn="h3,h2" no-default-alpn port=8443 ech=AEX+DQ== ipv6hint=2001:db8::1"#),
    ("HHIT", "gwGCoA=="),
    ("BRID", "gwGCoA=="),
    ("SPF", "\"v=spf1 -all\""),
    ("NID", "10 0014:4fff:ff20:ee64"),
    ("L32", "10 10.1.2.0"),
    ("L64", "10 2001:0db8:1140:1000"),
    ("LP", "10 ns1.example.com."),
    ("EUI48", "00-00-5e-00-53-2a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a"),
    ("URI", "10 1 \"ftp://ftp1.example.com/public\""),
    ("CAA", "128 issuewild \"ca.example.net; account=\\\"1\\\"\""),
    ("AVC", "\"app-name:some\""),
    ("DOA", "1234567890 1 2 \"image/gif\" R0lGODlhAQ=="),
    ("DOA", "0 0 1 \"\" -"),
    ("AMTRELAY", "10 1 0 ."),
    ("AMTRELAY", "10 0 1 203.0.113.15"),
    ("AMTRELAY", "10 1 2 2001:db8::15"),
    ("AMTRELAY", "128 1 3 amtrelays.example.com."),
    ("RESINFO", "\"qnamemin\" \"exterr=15,16\""),
    ("WALLET", "\"BTC\" \"text\""),
    ("CLA", "\"TCP-v4-v6\""),
    ("IPN", "977000"),
    ("TA", "12345 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
    ("DLV", "12345 8 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
];
/// Types of [`RECORDS`] whose text form a server of Debian 12 does not read: too old or too new for it.
const BIND_LACKS: &[&str] = &["CLA", "IPN", "MD", "MF"];
const NSD_LACKS: &[&str] = &[
    "A6", "AMTRELAY", "ATMA", "BRID", "CLA", "DOA", "EID", "GPOS", "HHIT", "HIP", "IPN", "NIMLOC", "NINFO", "NSAP-PTR",
    "RESINFO", "RKEY", "SINK", "TA", "TALINK", "WALLET",
];
const KNOT_LACKS: &[&str] = &[
    "A6", "AMTRELAY", "ATMA", "AVC", "BRID", "CLA", "DLV", "DOA", "EID", "GPOS", "HHIT", "HIP", "IPN", "ISDN", "MB",
    "MD", "MF", "MG", "MR", "NIMLOC", "NINFO", "NSAP", "NSAP-PTR", "NULL", "PX", "RESINFO", "RKEY", "SINK", "TA",
    "TALINK", "WALLET", "WKS", "X25",
];
/// Types that a server refuses in whatever form: MD and MF are obsolete (RFC 1035 sections 3.3.4 and 3.3.5).
const BIND_REFUSES: &[&str] = &["MD", "MF"];

#[test]
fn what_we_write_is_what_bind_nsd_and_knot_read() {
    for (tool, lacks, refuses) in [
        ("named-checkzone", BIND_LACKS, BIND_REFUSES),
        ("nsd-checkzone", NSD_LACKS, &[]),
        ("kzonecheck", KNOT_LACKS, &[]),
    ] {
        check(tool, &write_zone(tool, lacks, false));
        // The octets themselves are sound for all of them.
        check(tool, &write_zone(tool, refuses, true));
    }
}

#[test]
fn what_bind_writes_is_the_data_that_it_read() {
    let file = write_zone("dumped", BIND_LACKS, false);
    let dump = file.with_extension("dump");
    run("named-checkzone", &["-k", "ignore", "-i", "none", "-D", "-o", text(&dump), "example.com", text(&file)]);
    let dump = fs::read_to_string(&dump).expect("a dump");
    let mut found = BTreeMap::new();
    for line in dump.lines() {
        let (front, data) = line.split_once(" IN ").unwrap_or_else(|| panic!("{line}"));
        let owner = front.split_whitespace().next().unwrap_or_default();
        let (record_type, data) = data.split_once(char::is_whitespace).unwrap_or((data, ""));
        found.insert(owner.to_owned(), (record_type.to_owned(), data.trim().to_owned()));
    }
    for (index, (record_type, data)) in RECORDS.iter().enumerate().filter(|(_, (name, _))| !BIND_LACKS.contains(name)) {
        let (found_type, found_data) = &found[&format!("r{index}.example.com.")];
        assert_eq!(found_type, record_type);
        assert_eq!(octets(record_type, found_data), octets(record_type, data), "{record_type} {found_data}");
    }
}

#[test]
fn every_record_of_the_table_is_in_the_form_that_we_write() {
    for (record_type, data) in RECORDS {
        let number: RecordType = record_type.parse().expect("a type");
        assert_eq!(display_rdata(number, &octets(record_type, data)), *data, "{record_type}");
    }
}

#[test]
fn every_type_with_a_text_form_is_in_the_table() {
    // Without data, a type that is known misses something, and one that is not known says so.
    let unknown = |number: u16| {
        parse_rdata_text(RecordType(number), "x", &OwnerName::root())
            .is_err_and(|error| error.to_string().contains("is not known"))
    };
    let shown: Vec<RecordType> = RECORDS.iter().map(|(name, _)| name.parse().expect("a type")).collect();
    let elsewhere: Vec<RecordType> =
        ["NS", "CNAME", "SOA", "DNAME", "SIG", "KEY", "NXT", "DS", "RRSIG", "NSEC", "DNSKEY", "NSEC3", "NSEC3PARAM"]
            .iter()
            .chain(&["CDS", "CDNSKEY", "DSYNC"])
            .map(|name| name.parse().expect("a type"))
            .collect();
    for number in (1..=u16::MAX).filter(|&number| !unknown(number)) {
        let record_type = RecordType(number);
        assert!(shown.contains(&record_type) || elsewhere.contains(&record_type), "{record_type} is not in the table");
    }
}

fn octets(record_type: &str, data: &str) -> Box<[u8]> {
    let number: RecordType = record_type.parse().expect("a type");
    parse_rdata_text(number, data, &OwnerName::root()).unwrap_or_else(|error| panic!("{record_type} {data}: {error}"))
}

fn write_zone(tool: &str, without: &[&str], generic: bool) -> std::path::PathBuf {
    let rows = RECORDS.iter().enumerate().filter(|(_, (name, _))| !without.contains(name));
    let mut zone = HEAD.to_owned();
    for (index, (record_type, data)) in rows {
        let octets = octets(record_type, data);
        let number: RecordType = record_type.parse().expect("a type");
        let (name, data) = if generic {
            let digits = data_encoding::HEXLOWER.encode(&octets);
            (format!("TYPE{}", number.0), format!("\\# {} {digits}", octets.len()))
        } else {
            ((*record_type).to_owned(), display_rdata(number, &octets))
        };
        writeln!(zone, "r{index} {name} {data}").expect("a string takes everything");
    }
    save(&format!("types-{tool}-{generic}.zone"), &zone)
}

/// A zone whose other records nobody finds fault with.
const HEAD: &str = "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 h 1 1h 10m 1w 30\n@ NS ns1\nns1 A 192.0.2.1\n";

fn save(name: &str, zone: &str) -> std::path::PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, zone).expect("a writable directory");
    file
}

#[track_caller]
fn check(tool: &str, file: &Path) {
    let arguments: Vec<&str> = match tool {
        "named-checkzone" => vec!["-k", "ignore", "-i", "none", "example.com", text(file)],
        "kzonecheck" => vec!["-o", "example.com", text(file)],
        _ => vec!["example.com", text(file)],
    };
    let (success, said) = output(tool, &arguments);
    let zone = fs::read_to_string(file).expect("a zone");
    let numbered: String = zone.lines().enumerate().fold(String::new(), |mut all, (index, line)| {
        let _ = writeln!(all, "{:>3} {line}", index + 1);
        all
    });
    assert!(success, "{tool} says:\n{said}\n{numbered}");
}

#[track_caller]
fn run(tool: &str, arguments: &[&str]) {
    let (success, said) = output(tool, arguments);
    assert!(success, "{tool} {arguments:?}: {said}");
}

#[track_caller]
fn output(tool: &str, arguments: &[&str]) -> (bool, String) {
    // Debian puts some of them where only root's PATH leads.
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(tool).args(arguments).env("PATH", path).output();
    let output =
        output.unwrap_or_else(|error| panic!("{tool} cannot be run ({error}); `cargo xtask test` installs it"));
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
