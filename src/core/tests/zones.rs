//! Master files of `zones/`, from text to zone to text: the broken ones have the finding that they are named
//! after, at its line; the good ones are good for us and for the zone checkers of BIND, Knot DNS and NSD.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the files and the checkers are outside of core; only the tests reach for them"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use mcdns_core::{
    answer::{Patch, QueryName, Snapshot, Zone},
    check::{Finding, FindingCode, zone},
    dns::{OwnerName, RecordType, Rrset, master, parse_rdata},
};
use proptest::prelude::*;

/// Each file of `zones/broken` with its findings, as `code line:column`, and how many names are served in spite
/// of them; none where the zone is refused.
const BROKEN: &[(&str, &str, Option<usize>)] = &[
    ("ttl-out-of-range", "ttl-out-of-range 7:5", Some(3)),
    ("unreadable", "unreadable 7:10", Some(3)),
    ("zone-cname", "zone-cname 7:1, zone-cname 9:1, zone-cname 11:1", Some(4)),
    ("zone-dname", "zone-dname 8:1, zone-dname 10:1, zone-dname 11:1", Some(5)),
    ("zone-duplicate", "zone-duplicate 8:1", Some(3)),
    ("zone-glue", "zone-glue 7:1, zone-glue 8:1", Some(4)),
    ("zone-ns", "zone-ns 0:0", Some(1)),
    ("zone-occluded", "zone-occluded 9:1, zone-occluded 10:1", Some(5)),
    ("zone-out-of-zone", "zone-out-of-zone 7:1", Some(3)),
    (
        "zone-rdata",
        "zone-rdata 7:5, zone-rdata 8:8, zone-rdata 9:6, zone-rdata 10:11, zone-rdata 11:15, zone-rdata 12:16",
        Some(3),
    ),
    ("zone-signed", "zone-signed 7:1", None),
    ("zone-soa", "zone-soa 0:0", None),
    ("zone-soa-twice", "zone-soa 7:1, zone-soa 8:1", Some(2)),
    (
        "zone-syntax",
        "zone-syntax 7:5, zone-syntax 8:1, zone-syntax 9:7, zone-syntax 10:11, zone-syntax 11:7, zone-syntax 12:1, \
         zone-syntax 13:1, zone-syntax 15:10",
        Some(4),
    ),
    ("zone-target", "zone-target 7:1, zone-target 9:1, zone-target 10:1, zone-target 11:1", Some(5)),
    ("zone-ttl", "zone-ttl 8:1", Some(3)),
];

#[test]
fn every_broken_zone_has_its_findings_and_no_others() {
    let files: BTreeSet<String> = zone_files("broken").iter().map(|path| stem(path)).collect();
    let rows: BTreeSet<String> = BROKEN.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(files, rows, "every file has a row and every row a file");
    for (name, expected, served) in BROKEN {
        let path = zones().join("broken").join(format!("{name}.zone"));
        let (zone, findings) = load(&path, "example.com");
        let told: Vec<String> = findings.iter().map(tell).collect();
        assert_eq!(told.join(", "), *expected, "{name}");
        assert_eq!(zone.map(|zone| zone.names().count()), *served, "{name}");
        let text = fs::read_to_string(&path).expect("a readable file");
        assert!(text.starts_with("; "), "{name} says in its first line what is wrong");
        let code = findings[0].code.as_str();
        assert!(name.starts_with(code), "{name} is named after its finding, {code}");
        assert!(findings.iter().all(|finding| finding.code.as_str() == code), "{name} shows one kind of finding");
    }
}

/// Findings about zones that no file shows by itself: the serial is held against that of the zone that was served before
/// the file was read again.
const NOT_OF_ONE_FILE: [FindingCode; 1] = [FindingCode::ZoneSerial];

#[test]
fn every_finding_about_zones_has_a_broken_zone() {
    let shown: BTreeSet<&str> = BROKEN.iter().map(|(name, _, _)| *name).collect();
    for code in FindingCode::ALL.iter().filter(|code| code.as_str().starts_with("zone-")) {
        let name = code.as_str();
        assert_ne!(shown.contains(name), NOT_OF_ONE_FILE.contains(code), "zones/broken/{name}.zone");
    }
}

#[test]
fn good_zones_have_no_findings_and_are_accepted_by_other_servers() {
    for path in zone_files("examples") {
        let apex = stem(&path);
        let (zone, findings) = load(&path, &apex);
        assert_eq!(findings, [], "{apex}");
        assert!(zone.is_some(), "{apex}");
        accepted_by_peers(&apex, &path);
    }
}

#[test]
fn a_zone_written_and_read_again_is_the_same_zone_and_the_same_text() {
    for path in zone_files("examples") {
        let apex = stem(&path);
        let (zone, _) = load(&path, &apex);
        let zone = zone.expect("a good zone");
        let text = write(&zone);
        let again = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{apex}.written.zone"));
        fs::write(&again, &text).expect("a writable directory");
        let (read, findings) = load(&again, &apex);
        assert_eq!(findings, [], "{apex}");
        let read = read.expect("a good zone");
        assert_eq!(content(&read), content(&zone), "{apex}");
        assert_eq!(write(&read), text, "{apex}");
        accepted_by_peers(&apex, &again);
    }
}

#[test]
fn a_written_zone_has_one_record_a_line_in_canonical_order() {
    let text = "$TTL 60\n$ORIGIN example.com.\nb 30 MX 10 b\nb A 192.0.2.2\nB A 192.0.2.1\na.b TXT \"x;y\"\n\
                @ NS ns.example.net.\n@ A 192.0.2.3\n@ SOA ns.example.net. h 1 1h 10m 1w 30\n";
    let (records, _) = master::read(text, &"test".into(), &OwnerName::root(), &mut master::refuse_includes);
    let apex = zone::apex_of(&records).expect("an SOA");
    let (zone, findings) = zone::assemble(&apex, records);
    assert_eq!(findings, []);
    let expected = "example.com. 60 IN SOA ns.example.net. h.example.com. 1 3600 600 604800 30\n\
                    example.com. 60 IN NS ns.example.net.\n\
                    example.com. 60 IN A 192.0.2.3\n\
                    b.example.com. 60 IN A 192.0.2.1\n\
                    b.example.com. 60 IN A 192.0.2.2\n\
                    b.example.com. 30 IN MX 10 b.example.com.\n\
                    a.b.example.com. 60 IN TXT \"x;y\"\n";
    assert_eq!(write(&zone.expect("a zone")), expected);
}

proptest! {
    #[test]
    fn a_zone_made_at_once_is_the_zone_that_a_patch_makes(zone in any_zone()) {
        let text = print(&zone);
        let (records, _) = master::read(&text, &"written".into(), &OwnerName::root(), &mut master::refuse_includes);
        let (contents, _) = zone::assemble(&zone.0, records);
        let contents = contents.expect("a zone");
        let at_once = Snapshot::default().with_zone(&contents).expect("a good zone");
        let zones = [(zone.0.clone(), contents.into_patch())].into();
        let patched = Snapshot::default().apply(&Patch { zones, ..Patch::default() }).expect("a good patch");
        let both = [&at_once, &patched].map(|snapshot| snapshot.zone(&zone.0).expect("the zone"));
        prop_assert_eq!(both[0].soa(), both[1].soa());
        let sorted = |zone: &Zone| zone.entries().collect::<std::collections::BTreeMap<_, _>>();
        prop_assert_eq!(sorted(both[0]), sorted(both[1]));
        prop_assert_eq!(both[0].expanded(), both[1].expanded());
        let at_once = both[0].authoritative().expect("it has names");
        let patched = both[1].authoritative().expect("it has names");
        prop_assert_eq!(at_once.node_count(), patched.node_count());
        // Empty non-terminals, cuts and wildcards too: every name, what is above it, and what is beside it.
        for (owner, _) in at_once.entries() {
            let above = std::iter::successors(Some(owner), OwnerName::parent).take_while(|name| name.is_at_or_below(&zone.0));
            for name in above.flat_map(|name| [name.child(b"zz-not-there").ok(), Some(name)]).flatten() {
                for record_type in [RecordType::A, RecordType::TXT, RecordType::DS] {
                    let mut asked = QueryName::new();
                    asked.read(name.as_wire()).expect("a name");
                    let apex = asked.labels() - zone.0.label_count();
                    let answers = [at_once, patched].map(|zone| format!("{:?}", zone.lookup(&asked, apex, record_type)));
                    prop_assert_eq!(&answers[0], &answers[1], "{} {}", name, record_type);
                }
            }
        }
    }

    #[test]
    fn printing_and_parsing_a_zone_are_inverse(zone in any_zone()) {
        let text = print(&zone);
        let (records, findings) = master::read(&text, &"written".into(), &OwnerName::root(), &mut master::refuse_includes);
        prop_assert_eq!(&findings, &[], "{}", text);
        let (read, _) = zone::assemble(&zone.0, records);
        let read = read.map(|read| content(&read));
        prop_assert_eq!(read, Some(zone), "{}", text);
    }
}

/// Apex, SOA, and names in canonical order.
type Content = (OwnerName, mcdns_core::answer::Soa, Vec<(OwnerName, mcdns_core::answer::Entry)>);

/// A zone of any names and data; NS and CNAME only where the rules let them stand.
fn any_zone() -> impl Strategy<Value = Content> {
    let label = prop_oneof![
        4 => "[a-z0-9-]{1,8}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>().prop_map(|octet| octet.to_ascii_lowercase()), 1..6),
        1 => Just(b"*".to_vec()),
    ];
    let labels = proptest::collection::vec(label, 1..4);
    let names = proptest::collection::btree_map(labels, any_rrsets(), 0..8);
    (names, any::<[u32; 5]>()).prop_map(|(names, numbers)| {
        let apex = OwnerName::parse("example.com").expect("a name");
        let owner = |labels: &[Vec<u8>]| labels.iter().try_fold(apex.clone(), |name, label| name.child(label));
        let [serial, refresh, retry, expire, negative_ttl] = numbers;
        let soa = mcdns_core::answer::Soa {
            primary: owner(&[b"odd\\.@".to_vec()]).expect("a name"),
            contact: owner(&[b"host.master".to_vec()]).expect("a name"),
            serial: mcdns_core::dns::Serial(serial),
            refresh,
            retry,
            expire,
            negative_ttl,
            ttl: 60,
        };
        let ns = parse_rdata(RecordType::NS, &["ns.example.net."], &apex).expect("data");
        let entry = |rrsets| mcdns_core::answer::Entry::fixed(rrsets);
        let mut all = vec![(apex.clone(), entry(vec![Rrset::new(RecordType::NS, 60, vec![ns])]))];
        all.extend(names.iter().map(|(labels, rrsets)| (owner(labels).expect("a name"), entry(rrsets.clone()))));
        all.sort_by(|(one, _), (two, _)| one.cmp(two));
        (apex, soa, all)
    })
}

fn any_rrsets() -> impl Strategy<Value = Vec<Rrset>> {
    let octets = |sizes: std::ops::Range<usize>| proptest::collection::vec(any::<u8>(), sizes);
    let name = || "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}\\.test\\.".prop_map(|text| OwnerName::parse(&text).expect("a name"));
    let wire = |front: Vec<u8>, name: &OwnerName| [&front, name.as_wire()].concat();
    let text = proptest::collection::vec(octets(0..40), 1..4).prop_map(|strings| {
        let string =
            |string: Vec<u8>| [&[u8::try_from(string.len()).expect("a short string")], string.as_slice()].concat();
        strings.into_iter().flat_map(string).collect::<Vec<u8>>()
    });
    let data = prop_oneof![
        octets(4..5).prop_map(|octets| (RecordType::A, octets)),
        octets(16..17).prop_map(|octets| (RecordType::AAAA, octets)),
        text.prop_map(|octets| (RecordType::TXT, octets)),
        (octets(2..3), name()).prop_map(move |(front, name)| (RecordType::MX, wire(front, &name))),
        (octets(6..7), name()).prop_map(move |(front, name)| (RecordType::SRV, wire(front, &name))),
        (65_280u16..65_535, octets(0..30)).prop_map(|(number, octets)| (RecordType(number), octets)),
    ];
    let several = proptest::collection::vec((data, 0u32..=2_147_483_647), 1..6).prop_map(|records| {
        let mut rrsets: Vec<Rrset> = Vec::new();
        let mut left = records;
        while let Some(((record_type, _), ttl)) = left.first().cloned() {
            let (own, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|((other, _), _)| *other == record_type);
            rrsets.push(Rrset::new(record_type, ttl, own.into_iter().map(|((_, octets), _)| octets.into()).collect()));
            left = others;
        }
        rrsets
    });
    let alias = name().prop_map(|name| vec![Rrset::new(RecordType::CNAME, 60, vec![name.as_wire().into()])]);
    prop_oneof![4 => several, 1 => alias]
}

fn content(zone: &zone::ZoneContents) -> Content {
    (zone.apex.clone(), zone.soa.clone(), zone.names().collect())
}

fn write(zone: &zone::ZoneContents) -> String {
    print(&content(zone))
}

fn print((apex, soa, names): &Content) -> String {
    let mut text = String::new();
    let names = names.iter().map(|(owner, entry)| (owner, entry.rrsets.as_slice()));
    master::write(&mut text, soa, apex, names).expect("a string takes everything");
    text
}

fn load(path: &Path, origin: &str) -> (Option<zone::ZoneContents>, Vec<Finding>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Arc<str> = path.display().to_string().into();
    let origin = OwnerName::parse(origin).expect("a name");
    let (records, mut findings) = master::read(&text, &file, &origin, &mut master::refuse_includes);
    let (zone, more) = zone::assemble(&origin, records);
    findings.extend(more);
    (zone, findings)
}

fn tell(finding: &Finding) -> String {
    let place = finding.place.as_ref().expect("findings about a file say where");
    format!("{} {}:{}", finding.code.as_str(), place.line, place.column)
}

/// Runs the checkers of the three servers; all must accept the file.
fn accepted_by_peers(apex: &str, path: &Path) {
    let file = path.to_str().expect("a path in UTF-8");
    // `-i local` keeps BIND from asking the network about names outside the zone.
    run("named-checkzone", &["-k", "fail", "-i", "local", "-r", "fail", apex, file]);
    run("kzonecheck", &["-o", apex, file]);
    run("nsd-checkzone", &[apex, file]);
}

fn run(tool: &str, arguments: &[&str]) {
    // Debian puts some of them where only root's PATH leads.
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(tool).args(arguments).env("PATH", path).output();
    let output =
        output.unwrap_or_else(|error| panic!("{tool} cannot be run ({error}); `cargo xtask test` installs it"));
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&told));
}

fn zones() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zones")
}

fn zone_files(folder: &str) -> Vec<PathBuf> {
    let folder = zones().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds master files", folder.display());
    files
}

fn stem(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(".zone").unwrap_or_else(|| panic!("{name} ends with .zone")).to_owned()
}
