//! Look-ups and changes, in presentation format.

mod difference;
mod laws;
mod reference;

use std::{collections::BTreeMap, net::IpAddr};

use rstest::rstest;

use super::{
    AuthoritativeZone, Entry, Generation, Levels, Negative, Outcome, Patch, PatchError, QueryName, Snapshot, Soa, Zone,
    ZonePatch,
};
use crate::dns::{OwnerName, RecordType, Rrset, Serial};

/// Data by type.
type Sets = BTreeMap<RecordType, Vec<Box<[u8]>>>;

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a good name")
}

fn soa() -> Soa {
    Soa {
        primary: name("ns1.example.com"),
        contact: name("hostmaster.example.com"),
        serial: Serial(1),
        refresh: 3600,
        retry: 600,
        expire: 604_800,
        negative_ttl: 30,
        ttl: 3600,
    }
}

fn levels(regions: &[(&str, &[&str])]) -> Levels {
    let regions = regions.iter().map(|(region, inner)| ((*region).into(), inner.iter().map(|&z| z.into()).collect()));
    Levels { regions: regions.collect() }
}

/// Entries from lines `OWNER TYPE DATA`, `OWNER climb TTL` and `OWNER withheld`; data of types that are not
/// known here is taken as it is.
fn entries(text: &str) -> BTreeMap<OwnerName, Option<Entry>> {
    let mut records: BTreeMap<OwnerName, Sets> = BTreeMap::new();
    let mut climbs: BTreeMap<OwnerName, u32> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let owner = name(fields[0]);
        let sets = records.entry(owner.clone()).or_default();
        match fields[1] {
            "withheld" => {}
            "climb" => {
                climbs.insert(owner, fields[2].parse().expect("a TTL"));
            }
            record_type => {
                let data: Vec<u8> = match record_type {
                    "A" | "AAAA" => match fields[2].parse().expect("an address") {
                        IpAddr::V4(address) => address.octets().into(),
                        IpAddr::V6(address) => address.octets().into(),
                    },
                    "NS" | "CNAME" | "DNAME" => name(fields[2]).as_wire().into(),
                    _ => fields[2].as_bytes().into(),
                };
                sets.entry(record_type.parse().expect("a type")).or_default().push(data.into());
            }
        }
    }
    let entry = |(owner, sets): (OwnerName, Sets)| {
        let rrsets = sets.into_iter().map(|(record_type, data)| Rrset::new(record_type, 180, data)).collect();
        let climb = climbs.get(&owner).copied();
        (owner, Some(Entry { rrsets, climb }))
    };
    records.into_iter().map(entry).collect()
}

fn patch(apex: &str, text: &str) -> Patch {
    let change = ZonePatch { soa: Some(soa()), levels: None, names: entries(text) };
    Patch { zones: [(name(apex), change)].into(), ..Patch::default() }
}

fn snapshot(apex: &str, text: &str) -> Snapshot {
    let mut patch = patch(apex, text);
    for change in patch.zones.values_mut() {
        change.levels = Some(levels(&[("us", &["us-a", "us-b"]), ("jp", &["jp-a"])]));
    }
    Snapshot::default().apply(&patch).expect("a good patch")
}

/// One step of an answer in words.
fn ask(snapshot: &Snapshot, asked: &str, record_type: &str) -> String {
    let mut query = QueryName::new();
    query.read(name(asked).as_wire()).expect("a name");
    let record_type = record_type.parse().expect("a type");
    let Some((Zone::Authoritative(zone), apex)) = snapshot.find_zone(&query, record_type) else {
        return "no zone".to_owned();
    };
    let outcome = zone.lookup(&query, apex, record_type);
    match (&outcome, describe(&outcome, &query)) {
        // A level's CNAME is an alias even to those who ask for CNAME: the record is there, only the chain ends.
        (Outcome::Climb(_), words) if record_type == RecordType::CNAME => words.replace("alias", "answer"),
        (_, words) => words,
    }
}

fn describe(outcome: &Outcome<'_>, query: &QueryName) -> String {
    let suffix = |label| OwnerName::from_wire(query.suffix(label)).expect("a name");
    match outcome {
        Outcome::Answer(rrset) => format!("answer {}", show(&rrset.to_rrset())),
        Outcome::Alias(rrset) => format!("alias {}", show(&rrset.to_rrset())),
        Outcome::Climb(climb) => {
            let mut target = [0; 255];
            let length = climb.write_target(query, &mut target).expect("room");
            let target = OwnerName::from_wire(&target[..length]).expect("a name");
            format!("alias {} CNAME {target}", climb.ttl)
        }
        Outcome::Redirect { owner, dname } => format!("redirect {} {}", suffix(*owner), show(&dname.to_rrset())),
        Outcome::Referral { cut, servers } => format!("referral {} {}", suffix(*cut), show(&servers.to_rrset())),
        Outcome::Negative(Negative::NxDomain) => "nxdomain".to_owned(),
        Outcome::Negative(Negative::NoData) => "nodata".to_owned(),
    }
}

/// TTL, type and data, names and addresses readable.
fn show(rrset: &Rrset) -> String {
    let data = rrset.data().iter().map(|data| match rrset.record_type {
        RecordType::A => data.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
        RecordType::NS | RecordType::CNAME | RecordType::DNAME => {
            OwnerName::from_wire(data).expect("a name").to_string()
        }
        RecordType::SOA => "…".to_owned(),
        _ => String::from_utf8_lossy(data).into_owned(),
    });
    format!("{} {} {}", rrset.ttl, rrset.record_type, data.collect::<Vec<_>>().join(" "))
}

/// The zone of RFC 4592 section 2.2.1, with what the other cases need.
const WILDCARDS: &str = "
    example NS ns.example.com
    *.example TXT wild
    *.example MX wild
    sub.*.example TXT literal
    host1.example A 192.0.2.1
    _ssh._tcp.host1.example SRV srv
    _ssh._tcp.host2.example SRV srv
    subdel.example NS ns.example.com
    subdel.example NS ns.example.net
    *.alias.example CNAME target.example
";

#[rstest]
// RFC 4592 section 2.2.1: "the following responses would be synthesized from one of the wildcards in the zone".
#[case("host3.example", "MX", "answer 180 MX wild")]
#[case("host3.example", "A", "nodata")]
#[case("foo.bar.example", "TXT", "answer 180 TXT wild")]
// "the following responses would not be synthesized from any of the wildcards in the zone".
#[case("host1.example", "MX", "nodata")]
#[case("sub.*.example", "MX", "nodata")]
#[case("_telnet._tcp.host1.example", "SRV", "nxdomain")]
#[case("host.subdel.example", "A", "referral subdel.example 180 NS ns.example.com ns.example.net")]
#[case("ghost.*.example", "MX", "nxdomain")]
// Section 2.2.2: empty non-terminals exist.
#[case("_tcp.host2.example", "A", "nodata")]
#[case("host2.example", "TXT", "nodata")]
// Section 2.1.1 and 2.3: a wildcard asked literally is a name like any other.
#[case("*.example", "TXT", "answer 180 TXT wild")]
#[case("*.example", "A", "nodata")]
// Section 4.3: a CNAME is synthesized with the name asked as its owner.
#[case("x.alias.example", "A", "alias 180 CNAME target.example")]
#[case("x.alias.example", "CNAME", "answer 180 CNAME target.example")]
// RFC 8482 section 4.1: one RRset of those at the name will do.
#[case("host3.example", "ANY", "answer 180 MX wild")]
fn wildcards_follow_rfc_4592(#[case] asked: &str, #[case] record_type: &str, #[case] expected: &str) {
    assert_eq!(ask(&snapshot("example", WILDCARDS), asked, record_type), expected);
}

#[rstest]
// RFC 1034 section 4.3.2 step 3b: "If a match would take us out of the authoritative data, we have a referral."
#[case("child.example", "A", "referral child.example 180 NS ns.child.example")]
#[case("child.example", "NS", "referral child.example 180 NS ns.child.example")]
#[case("ns.child.example", "A", "referral child.example 180 NS ns.child.example")]
#[case("a.b.c.child.example", "DS", "referral child.example 180 NS ns.child.example")]
#[case("x.deep.child.example", "A", "referral child.example 180 NS ns.child.example")]
// RFC 4035 section 3.1.4.1: the DS RRset is on the parental side of a zone cut.
#[case("child.example", "DS", "answer 180 DS digest")]
#[case("other.example", "DS", "nodata")]
// RFC 6672 section 2.3: a DNAME owner is not redirected itself; 3.2: names below it are.
#[case("moved.example", "A", "answer 180 A 192.0.2.7")]
#[case("moved.example", "DNAME", "answer 180 DNAME new.example.net")]
#[case("a.moved.example", "DNAME", "redirect moved.example 180 DNAME new.example.net")]
#[case("hidden.moved.example", "A", "redirect moved.example 180 DNAME new.example.net")]
// The apex: NS there is no delegation, and the SOA is the zone's.
#[case("example", "NS", "answer 180 NS ns.example.com")]
#[case("example", "SOA", "answer 3600 SOA …")]
#[case("example", "A", "nodata")]
#[case("EXAMPLE", "ANY", "answer 180 NS ns.example.com")]
#[case("nothing.example", "A", "nxdomain")]
#[case("example.com", "A", "no zone")]
#[case(".", "A", "no zone")]
fn cuts_redirections_and_the_apex(#[case] asked: &str, #[case] record_type: &str, #[case] expected: &str) {
    let zone = "
        example NS ns.example.com
        child.example NS ns.child.example
        child.example DS digest
        ns.child.example A 192.0.2.3
        deep.child.example NS ns.child.example
        other.example NS ns.example.com
        moved.example A 192.0.2.7
        moved.example DNAME new.example.net
        hidden.moved.example A 192.0.2.8
    ";
    assert_eq!(ask(&snapshot("example", zone), asked, record_type), expected);
}

const LEVELS: &str = "
    web.shop.example.com A 192.0.2.1
    web.shop.example.com climb 60
    web.shop.us.example.com A 192.0.2.1
    web.shop.us-a.us.example.com A 192.0.2.1
    dark.shop.example.com climb 60
    dark.shop.us-b.us.example.com withheld
    *.any.example.com A 192.0.2.9
    *.any.example.com climb 60
";

#[rstest]
// An availability zone without addresses is a CNAME to the region, a region to the global name.
#[case("web.shop.us-a.us.example.com", "answer 180 A 192.0.2.1")]
#[case("web.shop.us-b.us.example.com", "alias 60 CNAME web.shop.us.example.com")]
#[case("web.shop.jp-a.jp.example.com", "alias 60 CNAME web.shop.jp.example.com")]
#[case("web.shop.jp.example.com", "alias 60 CNAME web.shop.example.com")]
// An availability zone counts in its own region only.
#[case("web.shop.jp-a.us.example.com", "nxdomain")]
#[case("web.shop.us-a.example.com", "nxdomain")]
#[case("web.shop.eu.example.com", "nxdomain")]
#[case("other.shop.us.example.com", "nxdomain")]
// RFC 8020 section 2: what stands above a level name exists.
#[case("shop.us.example.com", "nodata")]
#[case("shop.jp-a.jp.example.com", "nodata")]
#[case("us.example.com", "nodata")]
#[case("jp-a.jp.example.com", "nodata")]
#[case("eu.example.com", "nxdomain")]
#[case("us-a.example.com", "nxdomain")]
// A global name without addresses does not exist, but its levels climb to it.
#[case("dark.shop.example.com", "nxdomain")]
#[case("dark.shop.us.example.com", "alias 60 CNAME dark.shop.example.com")]
#[case("dark.shop.us-a.us.example.com", "alias 60 CNAME dark.shop.us.example.com")]
#[case("dark.shop.us-b.us.example.com", "nxdomain")]
// A wildcard has levels like any other name.
#[case("x.any.us.example.com", "alias 60 CNAME *.any.example.com")]
#[case("*.any.us-a.us.example.com", "alias 60 CNAME *.any.us.example.com")]
#[case("x.any.example.com", "answer 180 A 192.0.2.9")]
fn empty_levels_climb(#[case] asked: &str, #[case] expected: &str) {
    assert_eq!(ask(&snapshot("example.com", LEVELS), asked, "A"), expected);
}

#[test]
fn the_deepest_zone_answers_and_the_parent_answers_for_ds() {
    let both = snapshot("example", "child.example NS ns.child.example\nchild.example DS digest");
    let both = both.apply(&patch("child.example", "www.child.example A 192.0.2.1")).expect("a good patch");
    assert_eq!(ask(&both, "www.child.example", "A"), "answer 180 A 192.0.2.1");
    assert_eq!(ask(&both, "child.example", "SOA"), "answer 3600 SOA …");
    assert_eq!(ask(&both, "child.example", "DS"), "answer 180 DS digest");
    assert_eq!(ask(&both, "www.child.example", "DS"), "nodata");
    let removed = Patch { removed_zones: [name("example")].into(), ..Patch::default() };
    let child = both.apply(&removed).expect("a good patch");
    assert_eq!(ask(&child, "child.example", "DS"), "nodata");
    assert_eq!(ask(&child, "example", "NS"), "no zone");
    assert_eq!(child.zones().map(|zone| zone.apex().to_string()).collect::<Vec<_>>(), ["child.example"]);
}

#[test]
fn apexes_may_have_as_many_labels_as_names() {
    let apex = |labels: usize| vec!["a"; labels].join(".");
    let mut all = snapshot("b", "");
    for labels in [62, 63, 64, 100, 126] {
        all = all.apply(&patch(&apex(labels), &format!("{} TXT {labels}", apex(labels)))).expect("a good patch");
    }
    for (asked, expected) in
        [(61, "no zone"), (62, "62"), (63, "63"), (99, "64"), (100, "100"), (125, "100"), (127, "126")]
    {
        let name = apex(asked);
        let answer = ask(&all, &name, "TXT");
        let wanted = match expected {
            "no zone" => expected.to_owned(),
            _ if expected == asked.to_string() => format!("answer 180 TXT {expected}"),
            _ => "nxdomain".to_owned(),
        };
        assert_eq!(answer, wanted, "{asked} labels");
    }
}

#[test]
fn the_root_can_be_a_zone() {
    let root = snapshot(".", "com NS a.gtld-servers.net\nwww A 192.0.2.1");
    assert_eq!(ask(&root, "www.example.com", "A"), "referral com 180 NS a.gtld-servers.net");
    assert_eq!(ask(&root, "www", "A"), "answer 180 A 192.0.2.1");
    assert_eq!(ask(&root, ".", "SOA"), "answer 3600 SOA …");
    assert_eq!(ask(&root, "nothing", "A"), "nxdomain");
}

#[test]
fn a_snapshot_is_not_disturbed_by_the_next() {
    let first = snapshot("example", "a.b.example A 192.0.2.1");
    let mut gone = patch("example", "");
    gone.zones.values_mut().for_each(|zone| {
        zone.names.insert(name("a.b.example"), None);
    });
    let second = first.apply(&gone).expect("a good patch");
    assert_eq!(ask(&first, "b.example", "A"), "nodata");
    assert_eq!(ask(&second, "b.example", "A"), "nxdomain");
    assert_eq!((first.generation(), second.generation()), (Generation(1), Generation(2)));
    assert_eq!(second.apply(&Patch::default()).expect("a good patch").generation(), Generation(2));
}

#[test]
fn the_negative_ttl_is_the_smaller_of_ttl_and_minimum() {
    // RFC 2308 section 3: "the TTL of this record is set from the minimum of the MINIMUM field of the SOA record
    // and the TTL of the SOA itself".
    let both = snapshot("example", "");
    let zone = zone_of(&both, "example");
    assert_eq!((zone.soa_record().ttl(), zone.negative_soa_record().ttl()), (3600, 30));
}

#[test]
fn the_expanded_zone_has_its_levels_in_canonical_order() {
    let zone = snapshot("example.com", LEVELS);
    let expanded = zone_of(&zone, "example.com").expanded();
    let lines: Vec<String> = expanded
        .iter()
        .flat_map(|(owner, rrsets)| rrsets.iter().map(move |rrset| format!("{owner} {}", show(rrset))))
        .collect();
    assert_eq!(
        lines,
        [
            "*.any.example.com 180 A 192.0.2.9",
            "*.any.jp.example.com 60 CNAME *.any.example.com",
            "*.any.jp-a.jp.example.com 60 CNAME *.any.jp.example.com",
            "dark.shop.jp-a.jp.example.com 60 CNAME dark.shop.jp.example.com",
            "web.shop.jp-a.jp.example.com 60 CNAME web.shop.jp.example.com",
            "dark.shop.jp.example.com 60 CNAME dark.shop.example.com",
            "web.shop.jp.example.com 60 CNAME web.shop.example.com",
            "web.shop.example.com 180 A 192.0.2.1",
            "*.any.us.example.com 60 CNAME *.any.example.com",
            "dark.shop.us.example.com 60 CNAME dark.shop.example.com",
            "web.shop.us.example.com 180 A 192.0.2.1",
            "*.any.us-a.us.example.com 60 CNAME *.any.us.example.com",
            "dark.shop.us-a.us.example.com 60 CNAME dark.shop.us.example.com",
            "web.shop.us-a.us.example.com 180 A 192.0.2.1",
            "*.any.us-b.us.example.com 60 CNAME *.any.us.example.com",
            "web.shop.us-b.us.example.com 60 CNAME web.shop.us.example.com",
        ]
    );
}

#[test]
fn level_names_of_more_than_255_octets_do_not_exist() {
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(43)].join(".");
    let zone = snapshot("example.com", &format!("{long}.example.com climb 60"));
    let owners: Vec<usize> =
        zone_of(&zone, "example.com").expanded().iter().map(|(owner, _)| owner.as_wire().len()).collect();
    // Of regions `us` and `jp` with three octets each on the wire, and availability zones with five more.
    assert_eq!(owners, [252, 252]);
}

#[rstest]
#[case(ZonePatch::default(), PatchError::MissingSoa { apex: name("new.example") })]
#[case(
    ZonePatch { soa: Some(soa()), names: entries("a.example A 192.0.2.1"), ..ZonePatch::default() },
    PatchError::OutsideZone { apex: name("new.example"), name: name("a.example") }
)]
#[case(
    ZonePatch { soa: Some(soa()), names: entries("new.example SOA x"), ..ZonePatch::default() },
    PatchError::SoaInEntry { name: name("new.example") }
)]
#[case(
    ZonePatch { soa: Some(soa()), names: entries("new.example climb 5"), ..ZonePatch::default() },
    PatchError::ClimbAtApex { apex: name("new.example") }
)]
#[case(
    ZonePatch { soa: Some(soa()), levels: Some(levels(&[("us", &[""])])), ..ZonePatch::default() },
    PatchError::BadLevel { apex: name("new.example"), label: "".into() }
)]
#[case(
    ZonePatch {
        soa: Some(soa()),
        names: [(name("new.example"), Some(Entry::fixed(vec![
            Rrset::new(RecordType::A, 1, vec![[192, 0, 2, 1].into()]),
            Rrset::new(RecordType::A, 2, vec![[192, 0, 2, 2].into()]),
        ])))].into(),
        ..ZonePatch::default()
    },
    PatchError::DuplicateRrset { name: name("new.example"), record_type: RecordType::A }
)]
#[case(
    ZonePatch {
        soa: Some(soa()),
        names: [(name("new.example"), Some(Entry::fixed(vec![
            Rrset::new(RecordType::TXT, 1, (0..255).map(|octet| vec![octet; 256].into()).collect()),
        ])))].into(),
        ..ZonePatch::default()
    },
    PatchError::RrsetTooLarge { name: name("new.example"), record_type: RecordType::TXT, octets: 255 * 268 }
)]
fn a_wrong_patch_is_refused_whole(#[case] wrong: ZonePatch, #[case] expected: PatchError) {
    let before = snapshot("example", "a.example A 192.0.2.1");
    let mut patch = patch("example", "b.example A 192.0.2.1");
    patch.zones.insert(name("new.example"), wrong);
    assert_eq!(before.apply(&patch).map(|_| ()), Err(expected));
    assert_eq!(ask(&before, "b.example", "A"), "nxdomain");
}

fn zone_of<'a>(snapshot: &'a Snapshot, apex: &str) -> &'a AuthoritativeZone {
    let Some(Zone::Authoritative(zone)) = snapshot.zone(&name(apex)) else { unreachable!("the zone is there") };
    zone
}
