//! The migration matrix: what is found in a zone, and whose it then is.

use mcdns_core::dns::parse_rdata_text;
use rstest::rstest;

use super::*;

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

/// `www A 192.0.2.1`, `www A ALIAS lb.test`, or `_owner-a.www TXT "text"`; below example.com.
fn set(line: &str) -> (OwnerName, RecordSet) {
    let (owner, rest) = line.split_once(' ').expect("an owner");
    let (record_type, data) = rest.split_once(' ').expect("a type");
    let owner = if owner == "@" { name("example.com") } else { name(&format!("{owner}.example.com")) };
    let record_type: RecordType = record_type.parse().expect("a type");
    let plain = || RecordSet::data(record_type, 300, [parse_rdata_text(record_type, data, &owner).expect("RDATA")]);
    let set = match data.strip_prefix("ALIAS ") {
        Some(target) => {
            RecordSet { ttl: None, content: Content::Alias(name(target)), ..RecordSet::data(record_type, 0, []) }
        }
        None => plain(),
    };
    (owner, set)
}

fn read(registry: &TxtRegistry, lines: &[&str]) -> CurrentZone {
    registry.read(&name("example.com"), lines.iter().map(|line| set(line)))
}

fn registry() -> TxtRegistry {
    TxtRegistry::new("prod".parse().expect("a manager"))
}

/// `ours`, `foreign other`, `unowned`, with `legacy` and the number of marks behind.
fn told(standing: &Standing) -> String {
    let whose = match &standing.ownership {
        Ownership::Ours => "ours".to_owned(),
        Ownership::Foreign(who) => format!("foreign {who}"),
        Ownership::Unowned => "unowned".to_owned(),
    };
    let legacy = if standing.legacy.is_some() { ", legacy" } else { "" };
    format!("{whose}{legacy}, {} sets, {} marks", standing.group.sets().len(), standing.marks.len())
}

const OURS: &str = "TXT \"heritage=external-dns,external-dns/owner=prod\"";
const OTHERS: &str = "TXT \"heritage=external-dns,external-dns/owner=other\"";

#[rstest]
#[case::our_own_form(&["www A 192.0.2.1", &*format!("_owner-a.www {OURS}")], "ours, 1 sets, 1 marks")]
#[case::new_form_of_external_dns(&["www A 192.0.2.1", &*format!("a-www {OURS}")], "ours, legacy, 1 sets, 1 marks")]
#[case::old_form_of_external_dns(&["www A 192.0.2.1", &*format!("www {OURS}")], "ours, legacy, 1 sets, 1 marks")]
#[case::old_form_is_never_of_aaaa(&["www AAAA 2001:db8::1", &*format!("www {OURS}")], "unowned, 1 sets, 0 marks")]
#[case::alias_with_the_mark_of_a_cname(&["www A ALIAS lb.test", &*format!("cname-www {OURS}")], "ours, legacy, 1 sets, 1 marks")]
#[case::both_forms_and_the_new_one_wins(
    &["www A 192.0.2.1", &*format!("a-www {OURS}"), &*format!("www {OTHERS}")],
    "ours, legacy, 1 sets, 1 marks"
)]
#[case::both_forms_of_ours(
    &["www A 192.0.2.1", &*format!("a-www {OURS}"), &*format!("_owner-a.www {OURS}")],
    "ours, legacy, 1 sets, 2 marks"
)]
#[case::mark_of_another_owner(&["www A 192.0.2.1", &*format!("_owner-a.www {OTHERS}")], "foreign other, 1 sets, 0 marks")]
#[case::no_mark(&["www A 192.0.2.1"], "unowned, 1 sets, 0 marks")]
#[case::mark_without_record(&[&*format!("_owner-a.www {OURS}")], "ours, 0 sets, 1 marks")]
#[case::foreign_mark_without_record(&[&*format!("_owner-a.www {OTHERS}")], "foreign other, 0 sets, 1 marks")]
#[case::a_mark_that_cannot_be_decrypted(
    &["www A 192.0.2.1", "_owner-a.www TXT AAECAwQFBgcICQoLMm6zfNkY0qyqI7v2XAX9TapHtsqRlD2m6pd3ZfXsh1L8Td753lKyBkgDXMjMO2csxc2f8Qiwaj0pQzSx47EM8BAwZDE2TnS9Mg14NOkrm3lRDzInQw=="],
    "foreign a mark at _owner-a.www.example.com that cannot be decrypted, 1 sets, 0 marks"
)]
#[case::ours_beside_a_text_of_others(
    &["www A 192.0.2.1", "www TXT hello", &*format!("_owner-a.www {OURS}")],
    "ours, 1 sets, 1 marks"
)]
fn the_migration_matrix(#[case] lines: &[&str], #[case] expected: &str) {
    let zone = read(&registry(), lines);
    assert_eq!(told(&zone.names[&name("www.example.com")]), expected);
    let others = zone.names.keys().filter(|owner| **owner != name("www.example.com"));
    let marks: Vec<_> = others.filter(|owner| owner.to_string().starts_with("_owner")).collect();
    assert!(marks.is_empty(), "{marks:?}: marks are no names of their own");
}

#[test]
fn the_mark_of_a_name_that_looks_like_one_is_its_own() {
    let lines = ["a-team A 192.0.2.1", &*format!("a-team {OURS}")];
    let zone = read(&registry(), &lines);
    assert_eq!(told(&zone.names[&name("a-team.example.com")]), "ours, legacy, 1 sets, 1 marks");
    // With a record at `team`, the new form comes first, and `a-team` has no mark.
    let zone = read(&registry(), &[lines[0], lines[1], "team A 192.0.2.2"]);
    assert_eq!(told(&zone.names[&name("team.example.com")]), "ours, legacy, 1 sets, 1 marks");
    assert_eq!(told(&zone.names[&name("a-team.example.com")]), "unowned, 1 sets, 0 marks");
}

#[test]
fn an_earlier_owner_is_us_and_its_marks_are_written_again() {
    let registry = registry().formerly("cluster-a");
    let mark = "_owner-a.www TXT \"heritage=external-dns,external-dns/owner=cluster-a\"";
    let zone = read(&registry, &["www A 192.0.2.1", mark]);
    let standing = &zone.names[&name("www.example.com")];
    assert_eq!(told(standing), "ours, legacy, 1 sets, 1 marks");
    let step = registry.step(&name("example.com"), Some(standing), Some(&standing.group)).expect("marks");
    assert_eq!((step.write.len(), step.keep.len(), step.remove.len()), (1, 0, 0));
}

#[test]
fn encrypted_marks_are_read_kept_and_removed_as_they_are_stored() {
    let key = "0123456789abcdef0123456789abcdef";
    let registry = registry().sealed(Seal::parse(key).expect("a key"), true).formerly("cluster-a");
    let apex = name("example.com");
    let group = Group::new(name("www.example.com"), [set("www A 192.0.2.1").1]);
    let marks = registry.marks(&apex, &group).expect("marks");
    let sets = [(marks[0].owner.clone(), marks[0].set.clone()), set("www A 192.0.2.1")];
    let zone = registry.read(&apex, sets);
    let standing = &zone.names[&name("www.example.com")];
    assert_eq!(told(standing), "ours, 1 sets, 1 marks");
    let step = registry.step(&apex, Some(standing), Some(&group)).expect("marks");
    assert_eq!(step, MarkStep { keep: marks.clone(), ..MarkStep::default() });
    let step = registry.step(&apex, Some(standing), None).expect("marks");
    assert_eq!(step, MarkStep { remove: marks, ..MarkStep::default() });
}

#[rstest]
#[case::apex("example.com")]
#[case::wildcard("*.example.com")]
#[case::long_label(&format!("{}.example.com", "a".repeat(63)))]
#[case::long_name(&format!("{0}.{0}.{0}.{1}.example.com", "a".repeat(63), "b".repeat(49)))]
fn every_name_has_a_place_for_its_mark_and_is_found_again(#[case] text: &str) {
    let (registry, apex, owner) = (registry(), name("example.com"), name(text));
    let records = [set("x A 192.0.2.1").1, set("x AAAA 2001:db8::1").1, set("x TXT hello").1];
    let group = Group::new(owner.clone(), records);
    let marks = registry.marks(&apex, &group).expect("marks");
    assert!(marks.iter().all(|mark| mark.owner.is_below(&apex)));
    let sets = marks.iter().map(|mark| (mark.owner.clone(), mark.set.clone()));
    let sets = sets.chain(group.sets().iter().map(|set| (owner.clone(), set.clone())));
    let zone = registry.read(&apex, sets);
    assert_eq!(told(&zone.names[&owner]), "ours, 3 sets, 3 marks");
    assert_eq!(zone.names.len(), 1);
    let alone = registry.read(&apex, marks.iter().map(|mark| (mark.owner.clone(), mark.set.clone())));
    assert!(alone.names[&owner].group.is_empty(), "left-over marks tell their name");
}
