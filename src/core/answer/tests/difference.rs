//! Differences and walks against what whole zones show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::{
    entries,
    laws::{entry, owner, some_levels},
    levels, name, soa, zone_of,
};
use crate::{
    answer::{AuthoritativeZone, Levels, Patch, Snapshot, Soa, ZoneCursor, ZoneDifference, ZonePatch},
    dns::{OwnerName, RecordType, Rrset, Serial, Ttl},
};

type Records = BTreeSet<(OwnerName, RecordType, Ttl, Box<[u8]>)>;

fn records<'r>(sets: impl IntoIterator<Item = (&'r OwnerName, &'r Rrset)>) -> Records {
    let each = sets.into_iter().flat_map(|(owner, rrset)| {
        rrset.data().iter().map(|data| (owner.clone(), rrset.record_type, rrset.ttl, data.clone()))
    });
    each.collect()
}

fn snapshot(before: &Snapshot, serial: u32, levels: Option<Levels>, text: &str, gone: &[&str]) -> Snapshot {
    before.apply(&patch(serial, levels, text, gone)).expect("a good patch")
}

fn patch(serial: u32, levels: Option<Levels>, text: &str, gone: &[&str]) -> Patch {
    let mut names = entries(text);
    names.extend(gone.iter().map(|gone| (name(gone), None)));
    let soa = Some(Soa { serial: Serial(serial), ..soa() });
    Patch { zones: [(name("example.com"), ZonePatch { soa, levels, names })].into(), ..Patch::default() }
}

fn lines(list: &[(OwnerName, Rrset)]) -> Vec<String> {
    list.iter().map(|(owner, rrset)| format!("{owner} {} {}", rrset.ttl, rrset.record_type)).collect()
}

/// Applies the difference to what the old zone shows, and wants what the new one shows.
fn check(old: &Snapshot, new: &Snapshot, patch: &ZonePatch) -> ZoneDifference {
    let (old, new) = (zone_of(old, "example.com"), zone_of(new, "example.com"));
    let difference = ZoneDifference::of_patch(old, new, patch);
    assert_eq!(difference, ZoneDifference::between(old, new));
    let all = |zone: &AuthoritativeZone| -> BTreeMap<OwnerName, Vec<Rrset>> { zone.expanded().into_iter().collect() };
    let flat = |zone: &BTreeMap<OwnerName, Vec<Rrset>>| {
        records(zone.iter().flat_map(|(owner, sets)| sets.iter().map(move |set| (owner, set))))
    };
    let mut held = flat(&all(old));
    for record in records(difference.removed.iter().map(|(owner, set)| (owner, set))) {
        assert!(held.remove(&record), "{record:?} goes and was not there");
    }
    for record in records(difference.added.iter().map(|(owner, set)| (owner, set))) {
        assert!(held.insert(record.clone()), "{record:?} comes and was there");
    }
    assert_eq!(held, flat(&all(new)));
    difference
}

#[test]
fn only_the_records_that_differ_are_in_a_difference() {
    let old = snapshot(&Snapshot::default(), 1, None, "a.example.com A 192.0.2.1\na.example.com A 192.0.2.2", &[]);
    let step = patch(2, None, "a.example.com A 192.0.2.2\na.example.com A 192.0.2.3", &[]);
    let new = old.apply(&step).expect("a good patch");
    let difference = check(&old, &new, &step.zones[&name("example.com")]);
    assert_eq!((difference.from.serial, difference.to.serial), (Serial(1), Serial(2)));
    assert_eq!(difference.removed.len(), 1);
    assert_eq!(difference.removed[0].1.data(), [Box::from([192, 0, 2, 1])]);
    assert_eq!(difference.added[0].1.data(), [Box::from([192, 0, 2, 3])]);
}

#[test]
fn a_name_that_begins_to_climb_brings_its_levels() {
    let some = levels(&[("r1", &["z1"])]);
    let old = snapshot(&Snapshot::default(), 1, Some(some), "a.r1.example.com A 192.0.2.1", &[]);
    let step = patch(2, None, "a.example.com climb 60", &[]);
    let new = old.apply(&step).expect("a good patch");
    let difference = check(&old, &new, &step.zones[&name("example.com")]);
    assert_eq!(lines(&difference.added), ["a.z1.r1.example.com 60 CNAME"], "the region has addresses");
    let step = patch(3, None, "", &["a.r1.example.com"]);
    let next = new.apply(&step).expect("a good patch");
    let difference = check(&new, &next, &step.zones[&name("example.com")]);
    assert_eq!(lines(&difference.removed), ["a.r1.example.com 180 A"]);
    assert_eq!(lines(&difference.added), ["a.r1.example.com 60 CNAME"]);
}

#[test]
fn a_delegation_hides_level_names_and_shows_them_again() {
    let some = levels(&[("r1", &[])]);
    let old = snapshot(&Snapshot::default(), 1, Some(some), "a.example.com climb 60", &[]);
    let step = patch(2, None, "r1.example.com NS ns.example.org", &[]);
    let new = old.apply(&step).expect("a good patch");
    let difference = check(&old, &new, &step.zones[&name("example.com")]);
    assert_eq!(lines(&difference.removed), ["a.r1.example.com 60 CNAME"]);
    let step = patch(3, None, "", &["r1.example.com"]);
    check(&new, &new.apply(&step).expect("a good patch"), &step.zones[&name("example.com")]);
}

#[test]
fn new_levels_of_a_zone_are_in_the_difference() {
    let old = snapshot(&Snapshot::default(), 1, Some(levels(&[("r1", &[])])), "a.example.com climb 60", &[]);
    let step = patch(2, Some(levels(&[("r2", &["z1"])])), "", &[]);
    let new = old.apply(&step).expect("a good patch");
    let difference = check(&old, &new, &step.zones[&name("example.com")]);
    assert_eq!(difference.removed.len(), 1);
    assert_eq!(difference.added.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_leads_from_one_expansion_to_the_next_and_a_walk_passes_what_is_expanded(
        steps in vec((vec((owner(), proptest::option::weighted(0.7, entry())), 0..8), 0..10_u8), 1..8),
        pause in 1..6_usize,
    ) {
        let mut grown = snapshot(&Snapshot::default(), 0, Some(some_levels()), "", &[]);
        for (serial, (names, dice)) in (1..).zip(steps) {
            let mut names: BTreeMap<_, _> = names.into_iter().collect();
            if let Some(Some(entry)) = names.get_mut(&name("example.com")) {
                entry.climb = None;
            }
            let levels = match dice {
                0 => Some(Levels::default()),
                1 => Some(levels(&[("r1", &["z1", "r2"]), ("a", &[])])),
                2 => Some(some_levels()),
                _ => None,
            };
            let step = ZonePatch { soa: Some(Soa { serial: Serial(serial), ..soa() }), levels, names };
            let patch = Patch { zones: [(name("example.com"), step.clone())].into(), ..Patch::default() };
            let next = grown.apply(&patch).expect("a good patch");
            check(&grown, &next, &step);
            let zone = zone_of(&next, "example.com");
            let expanded = zone.expanded();
            let expanded = expanded.iter().flat_map(|(owner, sets)| sets.iter().map(move |set| (owner, set)));
            prop_assert_eq!(walked(zone, pause), records(expanded));
            grown = next;
        }
    }
}

/// All records of a walk that is interrupted after every few of them.
fn walked(zone: &AuthoritativeZone, pause: usize) -> Records {
    let mut all = Records::new();
    let mut cursor = ZoneCursor::default();
    loop {
        let mut left = pause;
        let done = zone.walk(&mut cursor, |record| {
            if left == 0 {
                return false;
            }
            left -= 1;
            let owner = zone.apex().prepend_wire(record.labels).expect("a name");
            let ttl = u32::from_be_bytes(record.octets[4..8].try_into().expect("four octets"));
            let length = u16::from_be_bytes([record.octets[8], record.octets[9]]);
            assert_eq!(record.octets.len(), 10 + usize::from(length));
            assert!(all.insert((owner, record.record_type(), ttl, record.octets[10..].into())), "a record came twice");
            true
        });
        if done {
            return all;
        }
    }
}
