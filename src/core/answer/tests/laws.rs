//! Laws that hold for any zone and any sequence of patches.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{ask, levels, name, reference::Reference, soa, zone_of};
use crate::{
    answer::{Entry, Levels, Patch, Snapshot, ZonePatch},
    dns::{OwnerName, RecordType, Rrset},
};

const APEX: &str = "example.com";

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any way to a state gives the same table as building it at once, and both answer as the RFC's algorithm does.
    #[test]
    fn patches_add_up_and_answers_follow_the_rfc(
        steps in vec(vec((owner(), proptest::option::weighted(0.8, entry())), 1..12), 1..8),
        asked in vec(owner(), 1..40),
        with_levels in any::<bool>(),
    ) {
        let levels = if with_levels { some_levels() } else { Levels::default() };
        let mut state: BTreeMap<OwnerName, Entry> = BTreeMap::new();
        let mut grown = Snapshot::default();
        for step in steps {
            let mut names: BTreeMap<OwnerName, Option<Entry>> = step.into_iter().collect();
            if let Some(Some(entry)) = names.get_mut(&name(APEX)) {
                entry.climb = None;
            }
            for (owner, entry) in &names {
                match entry {
                    Some(entry) => state.insert(owner.clone(), entry.clone()),
                    None => state.remove(owner),
                };
            }
            let change = ZonePatch { soa: Some(soa()), levels: Some(levels.clone()), names };
            grown = grown.apply(&Patch { zones: [(name(APEX), change)].into(), ..Patch::default() }).expect("a good patch");
        }
        let built = build(&state, &levels);

        let entries: BTreeMap<OwnerName, Entry> = zone_of(&grown, APEX).entries().collect();
        prop_assert_eq!(&entries, &state);
        prop_assert_eq!(zone_of(&grown, APEX).node_count(), zone_of(&built, APEX).node_count());
        prop_assert_eq!(zone_of(&grown, APEX).expanded(), zone_of(&built, APEX).expanded());

        let reference = Reference::new(&name(APEX), &state, &levels);
        let expanded: BTreeMap<OwnerName, Vec<Rrset>> = zone_of(&grown, APEX).expanded().into_iter().collect();
        let wanted: BTreeMap<OwnerName, Vec<Rrset>> = reference
            .data
            .iter()
            .filter(|(owner, _)| {
                state.get(owner).is_some_and(|entry| !entry.rrsets.is_empty()) || !reference.is_occluded(owner)
            })
            .map(|(owner, rrsets)| (owner.clone(), rrsets.clone()))
            .collect();
        prop_assert_eq!(expanded, wanted);

        for asked in asked.iter().chain(state.keys()) {
            for record_type in [RecordType::A, RecordType::TXT, RecordType::DS, RecordType::CNAME] {
                let expected = reference.ask(asked, record_type);
                let question = (asked.to_string(), record_type.to_string());
                prop_assert_eq!(ask(&grown, &question.0, &question.1), &expected[..], "{:?}", question);
                prop_assert_eq!(ask(&built, &question.0, &question.1), &expected[..], "{:?} at once", question);
            }
        }
    }
}

#[test]
fn a_large_zone_grows_and_shrinks_without_losing_a_name() {
    let owner = |number: u32| name(&format!("svc{number}.ns{}.svc.{APEX}", number % 50));
    let entry = |number: u32| {
        let data = number.to_be_bytes();
        Entry { rrsets: vec![Rrset::new(RecordType::A, 180, vec![data.into()])], climb: Some(60) }
    };
    let mut state: BTreeMap<OwnerName, Entry> = BTreeMap::new();
    let mut grown = Snapshot::default();
    let mut step = |grown: &Snapshot, names: BTreeMap<OwnerName, Option<Entry>>| {
        for (owner, entry) in &names {
            match entry {
                Some(entry) => state.insert(owner.clone(), entry.clone()),
                None => state.remove(owner),
            };
        }
        let change = ZonePatch { soa: Some(soa()), levels: Some(some_levels()), names };
        let next =
            grown.apply(&Patch { zones: [(name(APEX), change)].into(), ..Patch::default() }).expect("a good patch");
        let built = build(&state, &some_levels());
        let entries: BTreeMap<OwnerName, Entry> = zone_of(&next, APEX).entries().collect();
        assert_eq!(entries.len(), state.len());
        assert!(entries == state);
        assert_eq!(zone_of(&next, APEX).node_count(), zone_of(&built, APEX).node_count());
        for number in [0, 1, 499, 4_999, 29_999] {
            for asked in [owner(number), name(&format!("svc{number}.ns{}.svc.r1.{APEX}", number % 50))] {
                assert_eq!(ask(&next, &asked.to_string(), "A"), ask(&built, &asked.to_string(), "A"));
            }
        }
        next
    };
    for numbers in [0..1, 1..100, 100..300, 300..5_000, 5_000..30_000] {
        grown = step(&grown, numbers.map(|number| (owner(number), Some(entry(number)))).collect());
    }
    for numbers in [0..20_000, 20_000..29_990, 29_990..30_000] {
        grown = step(&grown, numbers.map(|number| (owner(number), None)).collect());
    }
    assert_eq!(zone_of(&grown, APEX).node_count(), 1, "the apex alone is left");
}

fn build(state: &BTreeMap<OwnerName, Entry>, levels: &Levels) -> Snapshot {
    let names = state.iter().map(|(owner, entry)| (owner.clone(), Some(entry.clone()))).collect();
    let change = ZonePatch { soa: Some(soa()), levels: Some(levels.clone()), names };
    Snapshot::default()
        .apply_in_place(&Patch { zones: [(name(APEX), change)].into(), ..Patch::default() })
        .expect("a good patch")
}

pub(super) fn some_levels() -> Levels {
    levels(&[("r1", &["z1", "z2"]), ("r2", &["z1"])])
}

/// Names of few labels, so that they meet.
pub(super) fn owner() -> impl Strategy<Value = OwnerName> {
    vec(select(vec!["a", "b", "*", "r1", "r2", "z1", "z2"]), 0..5).prop_map(|labels| {
        let mut labels = labels;
        labels.push(APEX);
        name(&labels.join("."))
    })
}

pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let address = (any::<u8>(), 1_usize..3).prop_map(|(octet, count)| {
        let data = (0..count).map(|at| [192, 0, octet, u8::try_from(at).unwrap_or(0)].into()).collect();
        Rrset::new(RecordType::A, 180, data)
    });
    let target =
        |record_type| owner().prop_map(move |target| Rrset::new(record_type, 60, vec![target.as_wire().into()]));
    let rrsets = prop_oneof![
        4 => vec(address, 1),
        2 => vec(target(RecordType::CNAME), 1),
        1 => vec(target(RecordType::NS), 1),
        1 => vec(target(RecordType::DNAME), 1),
        2 => Just(vec![Rrset::new(RecordType::TXT, 5, vec![b"text".as_slice().into()])]),
        2 => Just(vec![]),
    ];
    (rrsets, proptest::option::weighted(0.4, 1_u32..100)).prop_map(|(rrsets, climb)| Entry { rrsets, climb })
}
