use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::{
    check::{Finding, FindingCode},
    dns::display_rdata,
};

const HEAD: &str = "$TTL 60\n";

fn read_with(text: &str, files: &BTreeMap<&str, &str>) -> (Records, Vec<Finding>) {
    let origin = OwnerName::parse("example.com").expect("a name");
    let mut include = |name: &str, _from: &Arc<str>| {
        let text = files.get(name).ok_or_else(|| "no such file".to_owned())?;
        Ok(Included { file: name.into(), text: (*text).to_owned() })
    };
    read(text, &"test.zone".into(), &origin, &mut include)
}

/// Records as text, which must have no findings.
fn records(text: &str) -> Vec<String> {
    let (records, findings) = read_with(text, &BTreeMap::new());
    assert_eq!(findings, [], "{text}");
    records.iter().map(show).collect()
}

fn show(record: Record<'_>) -> String {
    let data = display_rdata(record.record_type, record.rdata);
    format!("{} {} {} {data}", OwnerName::from(record.owner).fqdn(), record.ttl, record.record_type)
}

/// Findings as `code line:column message`.
fn findings(text: &str) -> Vec<String> {
    read_with(text, &BTreeMap::new()).1.iter().map(tell).collect()
}

fn tell(finding: &Finding) -> String {
    let place = finding.place.as_ref().expect("a place");
    format!("{} {}:{} {}", finding.code.as_str(), place.line, place.column, finding.message)
}

#[rstest]
#[case::owner_ttl_class_type("a 5 IN A 192.0.2.1", "a.example.com. 5 A 192.0.2.1")]
#[case::owner_class_ttl_type("a IN 5 A 192.0.2.1", "a.example.com. 5 A 192.0.2.1")]
#[case::class_alone("a in a 192.0.2.1", "a.example.com. 60 A 192.0.2.1")]
#[case::class_by_number("a CLASS1 TYPE1 \\# 4 C0000201", "a.example.com. 60 A 192.0.2.1")]
#[case::ttl_with_units("a 1h30m A 192.0.2.1", "a.example.com. 5400 A 192.0.2.1")]
#[case::origin("@ A 192.0.2.1", "example.com. 60 A 192.0.2.1")]
#[case::absolute("a.example.org. A 192.0.2.1", "a.example.org. 60 A 192.0.2.1")]
#[case::root(". NS a.", ". 60 NS a.")]
#[case::owner_like_a_ttl("10 PTR a", "10.example.com. 60 PTR a.example.com.")]
#[case::owner_like_a_type("A A 192.0.2.1", "a.example.com. 60 A 192.0.2.1")]
#[case::tabs("a\t5\tIN\tA\t192.0.2.1\t; comment", "a.example.com. 5 A 192.0.2.1")]
#[case::carriage_return("a A 192.0.2.1\r\n", "a.example.com. 60 A 192.0.2.1")]
#[case::parentheses("a MX ( 10 ; preference\n\n mail ) ; end", "a.example.com. 60 MX 10 mail.example.com.")]
#[case::parentheses_around_all("( a\nA (\n192.0.2.1 ) )", "a.example.com. 60 A 192.0.2.1")]
#[case::quotes("a TXT \"; ( \\\" )\" b", "a.example.com. 60 TXT \"; ( \\\" )\" \"b\"")]
#[case::quotes_without_a_gap("a TXT \"b\"\"c\"d", "a.example.com. 60 TXT \"b\" \"c\" \"d\"")]
#[case::escapes("\\@\\$\\; TXT \\;\\ \\065", "\\@\\$\\;.example.com. 60 TXT \"; A\"")]
#[case::quoted_mark_of_rfc_3597("a TXT \"\\#\" 1 2", "a.example.com. 60 TXT \"#\" \"1\" \"2\"")]
#[case::quotes_behind_an_equals_sign(
    "a TXT key=\"v w\" a=b\"c\"=",
    "a.example.com. 60 TXT \"key=\" \"v w\" \"a=b\" \"c\" \"=\""
)]
#[case::owner_like_a_type_with_parameters("HTTPS TXT k=\"v\"", "https.example.com. 60 TXT \"k=\" \"v\"")]
#[case::text_like_a_type_with_parameters("a TXT HTTPS k=\"v\"", "a.example.com. 60 TXT \"HTTPS\" \"k=\" \"v\"")]
#[case::service_parameters_of_a_type_by_number(
    "a in 60 TYPE65 1 . alpn=\"h2,h3\"",
    "a.example.com. 60 HTTPS 1 . alpn=\"h2,h3\""
)]
#[case::generated_service_parameters(
    "$GENERATE 1-1 a 60 SVCB 1 . alpn=\"h2,h3\"",
    "a.example.com. 60 SVCB 1 . alpn=\"h2,h3\""
)]
#[case::generated_text("$GENERATE 1-1 a TXT k=\"v w\"", "a.example.com. 60 TXT \"k=\" \"v w\"")]
#[case::service_parameters("a HTTPS 1 . alpn=\"h2,h3\"", "a.example.com. 60 HTTPS 1 . alpn=\"h2,h3\"")]
fn records_are_read_as_rfc_1035_writes_them(#[case] line: &str, #[case] record: &str) {
    assert_eq!(records(&format!("{HEAD}{line}")), [record]);
    assert_eq!(records(&format!("\u{feff}{HEAD}\n; comment\n   \n{line}\n\n")), [record]);
}

#[test]
fn a_line_that_starts_with_a_blank_has_the_owner_above() {
    let text = "$TTL 60\na A 192.0.2.1\n  A 192.0.2.2\n$ORIGIN sub\n\tA 192.0.2.3\nb A 192.0.2.4\n";
    assert_eq!(
        records(text),
        [
            "a.example.com. 60 A 192.0.2.1",
            "a.example.com. 60 A 192.0.2.2",
            "a.example.com. 60 A 192.0.2.3",
            "b.sub.example.com. 60 A 192.0.2.4"
        ]
    );
}

#[test]
fn a_missing_ttl_comes_from_the_directive_then_from_the_last_one_then_from_the_soa() {
    let soa = "@ SOA ns1 hostmaster 1 2 3 4 77\n";
    let ttls = |text: &str| read_with(text, &BTreeMap::new()).0.iter().map(|record| record.ttl).collect::<Vec<_>>();
    assert_eq!(ttls(&format!("{soa}a A 192.0.2.1\na 5 A 192.0.2.1\na A 192.0.2.1\n")), [77, 77, 5, 5]);
    assert_eq!(ttls(&format!("$TTL 9\n{soa}a 5 A 192.0.2.1\na A 192.0.2.1\n$TTL 1m\na A 192.0.2.1")), [9, 5, 9, 60]);
    assert_eq!(findings("a A 192.0.2.1"), ["zone-syntax 1:1 the record has no TTL, and nothing before it gives one"]);
}

#[rstest]
#[case("a AAA 192.0.2.1", "zone-syntax 2:3 `AAA` is no RR type")]
#[case("a", "zone-syntax 2:1 the record ends before its type")]
#[case("a 5 IN", "zone-syntax 2:5 the record ends before its type")]
#[case("a 5 5 A 192.0.2.1", "zone-syntax 2:5 `5` is no RR type")]
#[case("a IN IN A 192.0.2.1", "zone-syntax 2:6 `IN` is no RR type")]
#[case("a CH TXT b", "zone-syntax 2:3 the class is CH, and only IN is served")]
#[case("a AXFR", "zone-syntax 2:3 AXFR stands in messages, not in zones")]
#[case("a..b A 192.0.2.1", "zone-syntax 2:1 `a..b` is no domain name: a label is empty")]
#[case("é A 192.0.2", "zone-rdata 2:5 A data: `192.0.2` is no IPv4 address")]
#[case("a MX (\n  10\n  mail..x )", "zone-rdata 4:3 MX data: `mail..x` is no domain name: a label is empty")]
#[case("a MX 10", "zone-rdata 2:6 MX data: the data ends too early")]
#[case("a 4294967296 A 192.0.2.1", "ttl-out-of-range 2:3 the TTL `4294967296` is above 2147483647")]
#[case("$TTL 2147483648", "ttl-out-of-range 2:6 the TTL `2147483648` is above 2147483647")]
#[case("$TTL", "zone-syntax 2:1 $TTL is not complete")]
#[case("$TTL 1x", "zone-syntax 2:6 `1x` is no TTL")]
#[case("$ORIGIN a b", "zone-syntax 2:11 `b` is more than the directive has")]
#[case("$NOTHING", "zone-syntax 2:1 `$NOTHING` is no directive")]
#[case("$INCLUDE nowhere", "unreadable 2:10 `nowhere` cannot be included: no such file")]
#[case("$GENERATE 1-x a$ A 192.0.2.$", "zone-syntax 2:11 `1-x` is no range")]
#[case("$GENERATE 1-2 a${ A 192.0.2.$", "zone-syntax 2:15 `${` is not closed")]
#[case("$GENERATE 254-300 a$ A 192.0.2.$", "zone-rdata 2:1 A data: `192.0.2.256` is no IPv4 address")]
#[case("$GENERATE 1-2", "zone-syntax 2:1 $GENERATE has no owner name")]
#[case("a TXT \"b", "zone-syntax 2:7 a quote that is not closed on its line")]
#[case("a TXT b\\", "zone-syntax 2:7 a word that ends with a backslash or with an open quote")]
#[case("a ) A 192.0.2.1", "zone-syntax 2:3 a closing parenthesis without an opening one")]
#[case("a TXT ( \"b\n ) ; (", "zone-syntax 2:9 a quote that is not closed on its line")]
#[case("a TXT ( b", "zone-syntax 2:7 a parenthesis that is never closed")]
fn an_error_costs_its_own_record_and_says_line_and_column(#[case] wrong: &str, #[case] finding: &str) {
    let text = format!("{HEAD}{wrong}\nnext A 192.0.2.9");
    let (records, _) = read_with(&text, &BTreeMap::new());
    assert_eq!(findings(&text), [finding]);
    let next = records.iter().next_back().expect("the record behind the error");
    assert_eq!(show(next), "next.example.com. 60 A 192.0.2.9");
    assert_eq!(next.line as usize, text.lines().count(), "lines are counted over the error");
}

#[test]
fn lines_below_an_owner_name_that_is_wrong_do_not_go_to_the_one_before() {
    let text = "$TTL 60\na A 192.0.2.1\nb..c A 192.0.2.2\n A 192.0.2.3\nd A 192.0.2.4\n";
    let (records, _) = read_with(text, &BTreeMap::new());
    assert_eq!(
        records.iter().map(show).collect::<Vec<_>>(),
        ["a.example.com. 60 A 192.0.2.1", "d.example.com. 60 A 192.0.2.4"]
    );
    assert_eq!(findings(text)[1], "zone-syntax 4:2 the record belongs to an owner name that could not be read");
    assert_eq!(findings("$TTL 60\n A 192.0.2.3"), ["zone-syntax 2:2 the record has no owner name"]);
}

#[test]
fn data_that_is_wrong_leaves_its_owner_name_to_the_lines_below() {
    let (records, findings) = read_with("$TTL 60\na A wrong\n A 192.0.2.3\n", &BTreeMap::new());
    assert_eq!(records.iter().map(show).collect::<Vec<_>>(), ["a.example.com. 60 A 192.0.2.3"]);
    assert_eq!(findings[0].code, FindingCode::ZoneRdata);
    assert_eq!(findings[0].help.as_deref(), Some("A data looks like `192.0.2.1`"));
}

#[test]
fn an_included_file_keeps_its_origin_and_owner_to_itself() {
    let files = BTreeMap::from([
        ("inner", "a A 192.0.2.2\n$ORIGIN deep\nb A wrong\nc A 192.0.2.3"),
        ("outer", "$INCLUDE inner sub\n$INCLUDE inner"),
    ]);
    let text = "$TTL 60\nx A 192.0.2.1\n$INCLUDE outer ; comment\n A 192.0.2.9\n";
    let (records, findings) = read_with(text, &files);
    assert_eq!(
        records.iter().map(|record| format!("{}:{} {}", record.file, record.line, show(record))).collect::<Vec<_>>(),
        [
            "test.zone:2 x.example.com. 60 A 192.0.2.1",
            "inner:1 a.sub.example.com. 60 A 192.0.2.2",
            "inner:4 c.deep.sub.example.com. 60 A 192.0.2.3",
            "inner:1 a.example.com. 60 A 192.0.2.2",
            "inner:4 c.deep.example.com. 60 A 192.0.2.3",
            "test.zone:4 x.example.com. 60 A 192.0.2.9"
        ]
    );
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].place.as_ref().map(|place| &*place.file), Some("inner"));
}

#[test]
fn files_that_include_themselves_end_with_a_finding() {
    let files = BTreeMap::from([("a", "$INCLUDE b"), ("b", "$INCLUDE a\nx 5 A 192.0.2.1")]);
    let (records, findings) = read_with("$INCLUDE a", &files);
    assert_eq!(records.len(), 1, "what stands below the loop is read");
    assert_eq!(findings.iter().map(tell).collect::<Vec<_>>(), ["zone-syntax 1:10 `a` includes itself"]);
    let names: Vec<String> = (0..30).map(|depth| depth.to_string()).collect();
    let texts: Vec<String> = (1..31).map(|depth| format!("$INCLUDE {depth}")).collect();
    let chain = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let (_, findings) = read_with("$INCLUDE 0", &chain);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("16 deep"), "{}", findings[0]);
}

#[test]
fn generate_makes_records_as_bind_does() {
    let text = "$TTL 60\n$GENERATE 1-5/2 host-${0,2}.${0,1,x} 30 IN A 192.0.2.$\n$GENERATE 8-9 $ MX \"$ mail-$\"\n\
                $GENERATE 7-7 a TXT \"n $\" b\n";
    assert_eq!(
        records(text),
        [
            "host-01.1.example.com. 30 A 192.0.2.1",
            "host-03.3.example.com. 30 A 192.0.2.3",
            "host-05.5.example.com. 30 A 192.0.2.5",
            "8.example.com. 60 MX 8 mail-8.example.com.",
            "9.example.com. 60 MX 9 mail-9.example.com.",
            "a.example.com. 60 TXT \"n 7\" \"b\""
        ]
    );
}

#[test]
fn many_parentheses_that_are_never_closed_cost_bounded_time() {
    let text = "a A (\n".repeat(100_000);
    let (records, findings) = read_with(&text, &BTreeMap::new());
    assert!(records.is_empty());
    assert_eq!(findings.len(), 101);
}

#[test]
fn the_name_of_a_file_tells_its_origin() {
    let origin = |path: &str| origin_of_file(path).fqdn();
    assert_eq!(origin("zones/example.com.zone"), "example.com.");
    assert_eq!(origin("/etc/bind/db.example.com"), "example.com.");
    assert_eq!(origin("example.com"), "example.com.");
    assert_eq!(origin("2.0.192.in-addr.arpa.db"), "2.0.192.in-addr.arpa.");
    assert_eq!(origin("internal.zone"), ".");
    assert_eq!(origin("192.0.2.1"), ".");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "([a-z0-9 \t\r\n\"\\\\().;@$é=]|IN|TXT|\\$TTL|\\$GENERATE 1-9|SOA){0,80}") {
        let (records, findings) = read_with(&text, &BTreeMap::new());
        for place in findings.iter().filter_map(|finding| finding.place.as_ref()) {
            let line = text.split('\n').nth(place.line as usize - 1).expect("a line of the text");
            proptest::prop_assert!(place.column as usize <= line.chars().count() + 1);
        }
        proptest::prop_assert!(records.iter().all(|record| record.line > 0));
    }
}
