//! Fuzz targets of master files: any text is survived, what is read is written and read again as the same, and the
//! time that it takes follows the length of the text.

#![allow(clippy::disallowed_methods, reason = "how long reading takes is measured from outside of core")]

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use bolero::{Driver, TypeGenerator, check, produce};
use mcdns_core::{
    answer::{Patch, Snapshot},
    check::{Severity, zone},
    dns::{OwnerName, RecordType, display_rdata, master, parse_rdata_text},
};

/// Octets of a text that is long.
const LONG_TEXT: usize = 100_000;
/// More than reading it takes on a busy machine, which is some 10 ms without optimisation.
const LONG: Duration = Duration::from_secs(10);

/// Texts of which files are made: right ones, wrong ones, and pieces.
const WORDS: &[&str] = &[
    "@",
    "www",
    "a.b",
    "*",
    "*.w",
    "ns1",
    "example.com.",
    "WWW.Example.COM.",
    "other.test.",
    "\\065",
    "\\.",
    "\\@",
    "a\\",
    "\\300",
    "IN",
    "CH",
    "3600",
    "1h30m",
    "0",
    "2147483648",
    "-1",
    "4294967296",
    "A",
    "AAAA",
    "NS",
    "SOA",
    "CNAME",
    "MX",
    "TXT",
    "SRV",
    "DNAME",
    "HTTPS",
    "SVCB",
    "CAA",
    "NAPTR",
    "LOC",
    "TYPE65280",
    "TYPE65536",
    "TYPE1",
    "PTR",
    "DS",
    "RRSIG",
    "192.0.2.1",
    "2001:db8::1",
    "::",
    "10",
    "1",
    "2",
    "\\#",
    "3",
    "010203",
    "0102 03",
    "\"quoted text\"",
    "\"a;b\"",
    "\"",
    "\\\"",
    "alpn=h2",
    "mandatory=alpn",
    "port=53",
    ".",
    "..",
    "(",
    ")",
    ";",
    "$",
    "$TTL",
    "$ORIGIN",
    "$INCLUDE",
    "$GENERATE",
    "$BAD",
    "1-3",
    "0-9/2",
    "5-1",
    "h$",
    "h${0,3,x}",
    "${-1}",
    "$$",
    "é",
    "\u{feff}",
    "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
];
/// Whole records, so that there is something to write again.
const RECORDS: &[&str] = &[
    "@ SOA ns1 hostmaster 1 3600 600 604800 30",
    "@ NS ns1",
    "ns1 A 192.0.2.1",
    "www 60 IN A 192.0.2.2",
    "www AAAA 2001:db8::1",
    "mail MX 10 www",
    "t TXT \"a b\" c \"\"",
    "t TXT \\000\\255\\\"",
    "s SRV 1 2 3 www",
    "d DNAME other.test.",
    "c CNAME www",
    "h HTTPS 1 . alpn=h2,h3 port=443",
    "u TYPE65280 \\# 2 00ff",
    "\\* A 192.0.2.3",
    "*.w A 192.0.2.4",
    "a\\.b A 192.0.2.5",
    "sub NS ns.sub",
    "ns.sub A 192.0.2.6",
    "$TTL 60",
    "$ORIGIN x",
    "$GENERATE 1-4 g$ A 192.0.2.$",
    "n NAPTR 1 1 u x \"!^.*$!y!\" .",
    "caa CAA 0 issue \"ca.test\"",
    "loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
    "p PTR www",
    "\t A 192.0.2.9",
];

/// A file, nearly right.
#[derive(Debug)]
struct Text(String);

impl TypeGenerator for Text {
    fn generate<D: Driver>(driver: &mut D) -> Option<Self> {
        let mut text = String::new();
        if below(driver, 8)? > 0 {
            text.push_str("$ORIGIN example.com.\n$TTL 1h\n@ SOA ns1 hostmaster 1 3600 600 604800 30\n@ NS ns1\n");
        }
        for _ in 0..below(driver, 12)? {
            if below(driver, 3)? > 0 {
                text.push_str(RECORDS[below(driver, RECORDS.len())?]);
            } else {
                for _ in 0..below(driver, 8)? {
                    text.push_str(WORDS[below(driver, WORDS.len())?]);
                    text.push_str([" ", " ", " ", "\t", "", "\n"][below(driver, 6)?]);
                }
            }
            text.push_str(["\n", "\n", "\n", "\r\n", " ; comment\n", "\n\n", ""][below(driver, 7)?]);
        }
        for _ in 0..[0, 0, 0, 0, 1, 3][below(driver, 6)?] {
            let at = below(driver, text.len() + 1)?;
            if text.is_char_boundary(at) {
                text.insert(at, char::from(driver.gen_u8(Bound::Unbounded, Bound::Unbounded)?));
            }
        }
        Some(Self(text))
    }
}

fn below<D: Driver>(driver: &mut D, end: usize) -> Option<usize> {
    driver.gen_usize(Bound::Included(&0), Bound::Excluded(&end))
}

#[test]
fn a_master_file_is_read_written_and_read_again_as_the_same() {
    check!().with_iterations(3_000).with_generator(produce::<Text>()).for_each(|Text(text)| read_twice(text));
}

#[test]
fn any_text_is_survived() {
    check!().with_iterations(5_000).for_each(|octets: &[u8]| {
        read_twice(&String::from_utf8_lossy(octets));
        // More of what means something.
        let dense: String = octets.iter().map(|octet| WORDS[usize::from(*octet) % WORDS.len()]).collect();
        read_twice(&dense);
    });
}

#[test]
fn data_of_any_type_is_parsed_and_shown_again_as_the_same() {
    let origin = name("example.com");
    check!().with_iterations(5_000).with_generator(produce::<(u16, Text)>()).for_each(|(number, Text(text))| {
        let record_type = RecordType(if number % 4 == 0 { *number } else { number % 70 });
        let line = text.lines().last().unwrap_or_default();
        for data in [line, line.split_once(' ').map_or("", |(_, behind)| behind)] {
            let Ok(parsed) = parse_rdata_text(record_type, data, &origin) else { continue };
            let shown = display_rdata(record_type, &parsed);
            let again = parse_rdata_text(record_type, &shown, &origin).expect("what we wrote");
            assert_eq!(again, parsed, "{record_type} {shown}");
        }
    });
}

/// A text that is read again for each of its lines or words takes a hundred times longer than this allows.
#[test]
fn a_long_file_of_any_word_is_read_in_time() {
    let words = WORDS.iter().copied().chain(["(", "a A 192.0.2.1\n", "\n(", "$ORIGIN a\n", "@ TXT a\n", "a.", "\" "]);
    for word in words {
        for between in ["", " ", "\n"] {
            let text = format!("{word}{between}");
            let text = text.repeat(LONG_TEXT / text.len());
            let started = Instant::now();
            let _ = master::read(&text, &"file".into(), &name("example.com"), &mut master::refuse_includes);
            assert!(started.elapsed() < LONG, "{word:?} {between:?} takes {:?}", started.elapsed());
        }
    }
}

/// Reads, and where it is a zone, writes and reads again.
fn read_twice(text: &str) {
    let file: Arc<str> = "file".into();
    let (records, findings) = master::read(text, &file, &OwnerName::root(), &mut master::refuse_includes);
    let lines = u32::try_from(text.split('\n').count()).expect("few lines");
    for finding in &findings {
        let place = finding.place.as_ref().expect("a place");
        assert!(place.line <= lines && place.column > 0, "{finding:?}");
    }
    // Nothing is passed over in silence: what is no record is blank, a comment, a directive, or a finding.
    if records.is_empty() && findings.is_empty() {
        assert!(text.lines().all(is_quiet), "{text:?}");
    }
    let Some(apex) = zone::apex_of(&records) else { return };
    let (contents, _) = zone::assemble(&apex, records);
    let Some(contents) = contents else { return };
    let names: Vec<_> = contents.names().collect();
    let soa = contents.soa.clone();
    let mut written = String::new();
    let rrsets = names.iter().map(|(owner, entry)| (owner, &*entry.rrsets));
    master::write(&mut written, &soa, &apex, rrsets).expect("a string takes everything");
    let (records, findings) = master::read(&written, &file, &OwnerName::root(), &mut master::refuse_includes);
    assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?} {written}");
    let (again, _) = zone::assemble(&apex, records);
    let again = again.expect("a zone");
    assert_eq!(again.names().collect::<Vec<_>>(), names);
    assert_eq!(again.soa, soa);
    // And what is made of it at once is what a patch makes.
    let at_once = Snapshot::default().with_zone(&contents).expect("a good zone");
    let zones = BTreeMap::from([(apex.clone(), contents.into_patch())]);
    let patched = Snapshot::default().apply(&Patch { zones, ..Patch::default() }).expect("a good patch");
    let entries = [&at_once, &patched].map(|snapshot| {
        let mut entries: Vec<_> = snapshot.zone(&apex).expect("the zone").entries().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    });
    assert_eq!(entries[0], entries[1]);
}

/// True for lines that need not become a record.
fn is_quiet(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with([';', '$', '(', ')'])
}

fn name(text: &str) -> OwnerName {
    text.parse().expect("a name")
}
