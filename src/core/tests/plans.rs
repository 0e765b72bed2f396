//! Plans against the rows of external-dns (`P1` to `P33` of its planner), as far as they mean something here.
//!
//! Differences on purpose: a name is one group, so that a change of type is one replacement; policies and ownership
//! look at the whole name. Rows about two candidates for one name (`P1` to `P3`, `P9`, `P18`) have no place: who gets a
//! name is decided before there is a plan.

use std::collections::BTreeMap;

use mcdns_core::{
    dns::{OwnerName, RecordType, parse_rdata_text},
    plan::{
        CurrentZone, Desired, Group, Ownership, Plan, PlanOptions, Policy, RecordSet, Standing, plan, to_json,
        to_markdown, to_text,
    },
};
use rstest::rstest;

fn name(text: &str) -> OwnerName {
    OwnerName::parse(&format!("{text}.example.com")).expect("a name")
}

/// `foo A 192.0.2.1`, with `/id` behind the type, `@ttl` behind that, and `key=value` in front of the data.
fn set(text: &str) -> (OwnerName, RecordSet) {
    let mut words = text.split(' ');
    let owner = name(words.next().expect("an owner"));
    let kind = words.next().expect("a type");
    let (kind, ttl) = kind.split_once('@').unwrap_or((kind, "300"));
    let (kind, identifier) = kind.split_once('/').map_or((kind, None), |(kind, id)| (kind, Some(id.to_owned())));
    let record_type: RecordType = kind.parse().expect("a type");
    let mut properties = BTreeMap::new();
    let mut data = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => {
                properties.insert(key.to_owned(), value.to_owned());
            }
            None => data.push(parse_rdata_text(record_type, word, &name("x")).expect("RDATA")),
        }
    }
    let set = RecordSet::data(record_type, ttl.parse().expect("a TTL"), data);
    (owner, RecordSet { identifier, properties, ..set })
}

/// Sets divided by `;`, each with `[ours]`, `[other]` or nothing behind it.
fn current(text: &str) -> CurrentZone {
    let mut names: BTreeMap<OwnerName, Vec<(RecordSet, Ownership)>> = BTreeMap::new();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (line, ownership) = match line.strip_suffix(']').and_then(|line| line.split_once(" [")) {
            Some((line, "ours")) => (line, Ownership::Ours),
            Some((line, other)) => (line, Ownership::Foreign(other.to_owned())),
            None => (line, Ownership::Unowned),
        };
        let (owner, set) = set(line);
        names.entry(owner).or_default().push((set, ownership));
    }
    CurrentZone::new(names.into_iter().map(|(owner, sets)| Standing::of_sets(owner, sets)))
}

fn desired(text: &str) -> BTreeMap<OwnerName, Desired> {
    let mut names: BTreeMap<OwnerName, Vec<RecordSet>> = BTreeMap::new();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (owner, set) = set(line);
        names.entry(owner).or_default().push(set);
    }
    let group = |(owner, sets): (OwnerName, Vec<RecordSet>)| {
        (owner.clone(), Desired::Group { group: Group::new(owner, sets), reason: "wanted".to_owned() })
    };
    names.into_iter().map(group).collect()
}

fn planned(now: &str, then: &str, policy: Policy, adopt: bool) -> Plan {
    let zone = OwnerName::parse("example.com").expect("a name");
    plan("memory", &zone, &current(now), &desired(then), PlanOptions { policy, adopt })
}

/// `create foo`, `replace foo`, `delete foo`, `skip foo`, in the order of the plan.
fn steps(plan: &Plan) -> String {
    let first = |owner: &OwnerName| owner.to_string().split('.').next().map(str::to_owned).unwrap_or_default();
    let changes = plan.changes.iter().map(|change| format!("{} {}", change.verb(), first(change.owner())));
    let skipped = plan.skipped.iter().map(|skipped| format!("skip {}", first(&skipped.owner)));
    changes.chain(skipped).collect::<Vec<_>>().join(", ")
}

#[rstest]
#[case::p4_ttl("bar A@60 127.0.0.1 [ours]", "bar A@300 127.0.0.1", "replace bar")]
#[case::p5_property(
    "bar A alias=false proxied=true 127.0.0.1 [ours]",
    "bar A proxied=false alias=false 127.0.0.1",
    "replace bar"
)]
#[case::p6_properties_in_another_order("bar A a=1 b=2 127.0.0.1 [ours]", "bar A b=2 a=1 127.0.0.1", "")]
#[case::p7_property_gone("bar A a=1 b=2 127.0.0.1 [ours]", "bar A a=1 127.0.0.1", "replace bar")]
#[case::p8_property_new("bar A a=1 127.0.0.1 [ours]", "bar A a=1 b=2 127.0.0.1", "replace bar")]
#[case::p10_same("foo CNAME v1.test. [ours]; bar A 127.0.0.1 [ours]", "foo CNAME v1.test.; bar A 127.0.0.1", "")]
#[case::p11_cname_to_a("foo CNAME v1.test. [ours]", "foo A 5.5.5.5", "replace foo")]
#[case::p12_cname_to_both("foo CNAME v1.test. [ours]", "foo A 5.5.5.5; foo AAAA 2001:db8::1", "replace foo")]
#[case::p13_both_to_cname("foo A 5.5.5.5 [ours]; foo AAAA 2001:db8::1 [ours]", "foo CNAME v1.test.", "replace foo")]
#[case::p14_unowned_stays("foo A 5.5.5.5", "foo CNAME v1.test.", "skip foo")]
#[case::p15_and_p17_what_cannot_be_is_mended(
    "foo CNAME v1.test. [ours]; foo A 5.5.5.5 [ours]",
    "foo A 5.5.5.5",
    "replace foo"
)]
#[case::p16_all_of_a_name_goes("foo CNAME v1.test. [ours]; foo A 5.5.5.5 [ours]", "", "delete foo")]
#[case::p19_texts_of_others_forbid_a_cname("foo TXT hello", "foo CNAME v2.test.", "skip foo")]
#[case::p19_texts_of_others_forbid_no_address("foo TXT hello", "foo A 5.5.5.5", "create foo")]
#[case::p21_case("foo CNAME v2.test. [ours]", "foo CNAME V2.TEST.", "")]
#[case::p22_gone("foo CNAME v1.test. [ours]; bar A 192.168.0.1 [ours]", "foo CNAME v1.test.", "delete bar")]
#[case::p24_identifiers("m A/set-1 10.0.0.1 [ours]", "m A/set-1 10.0.0.2; m A/set-2 10.0.0.2", "replace m")]
#[case::p25_another_identifier("m A/set-1 10.0.0.1 [ours]", "m A/set-2 10.0.0.1", "replace m")]
#[case::p28_aaaa("", "foo AAAA 2001:db8::1", "create foo")]
#[case::p29_dual_stack("", "ds A 1.1.1.1; ds AAAA 2001:db8::1", "create ds")]
#[case::p30_dual_stack_goes("ds A 1.1.1.1 [ours]; ds AAAA 2001:db8::1 [ours]", "", "delete ds")]
#[case::p31_one_family_goes("ds A 1.1.1.1 [ours]; ds AAAA 2001:db8::1 [ours]", "ds A 1.1.1.1", "replace ds")]
#[case::p33_foreign_stays("foo A 1.1.1.1 [other-owner]", "foo CNAME v.test.", "skip foo")]
#[case::a_foreign_family_blocks_the_other("foo A 1.1.1.1 [other-owner]", "foo AAAA 2001:db8::1", "skip foo")]
#[case::a_foreign_identifier_blocks_too("foo A/theirs 1.1.1.1 [other-owner]", "foo A/ours 1.1.1.2", "skip foo")]
#[case::foreign_and_not_wanted("foo A 1.1.1.1 [other-owner]; bar A 1.1.1.1", "", "")]
#[case::deletes_before_creates(
    "z A 1.1.1.1 [ours]; b A 1.1.1.1 [ours]",
    "a A 1.1.1.1; b A 1.1.1.2",
    "replace b, delete z, create a"
)]
#[case::ipv6_spellings("foo AAAA 2001:DB8:0::1 [ours]", "foo AAAA 2001:db8::1", "")]
#[case::order_of_values("foo A 1.1.1.2 1.1.1.1 [ours]", "foo A 1.1.1.1 1.1.1.2", "")]
fn rows_of_the_planner(#[case] now: &str, #[case] then: &str, #[case] expected: &str) {
    assert_eq!(steps(&planned(now, then, Policy::Sync, false)), expected);
}

#[rstest]
#[case::p23_upsert_only(Policy::UpsertOnly, "replace foo, create new, skip bar")]
#[case::create_only(Policy::CreateOnly, "create new, skip bar, skip foo")]
#[case::sync(Policy::Sync, "delete bar, replace foo, create new")]
fn policies_are_filters_and_a_change_of_type_is_one_step(#[case] policy: Policy, #[case] expected: &str) {
    let now = "foo CNAME v1.test. [ours]; bar A 192.168.0.1 [ours]";
    assert_eq!(steps(&planned(now, "foo A 5.5.5.5; new A 1.1.1.1", policy, false)), expected);
}

#[rstest]
#[case::unowned("foo A 1.1.1.1", "replace foo")]
#[case::unowned_and_equal("foo A 5.5.5.5", "replace foo")]
#[case::owned_by_somebody("foo A 1.1.1.1 [other]", "skip foo")]
#[case::partly_owned_by_somebody("foo A 1.1.1.1; foo AAAA 2001:db8::1 [other]", "skip foo")]
#[case::beside_ours("foo A 5.5.5.5 [ours]; foo AAAA 2001:db8::1", "replace foo")]
fn adoption_takes_what_nobody_owns(#[case] now: &str, #[case] expected: &str) {
    assert_eq!(steps(&planned(now, "foo A 5.5.5.5; foo AAAA 2001:db8::2", Policy::Sync, true)), expected);
}

#[test]
fn adoption_takes_only_what_is_in_the_way() {
    let plan = planned("foo A 1.1.1.1; foo TXT hello", "foo A 5.5.5.5", Policy::Sync, true);
    let before = plan.changes[0].before().expect("something stood there");
    assert_eq!((before.group.sets().len(), before.beside.len()), (1, 1));
}

#[test]
fn the_same_plan_has_the_same_checksum_whatever_led_to_it() {
    let one = planned("foo A 1.1.1.1 [ours]", "foo A 1.1.1.2", Policy::Sync, false);
    let same = planned("foo A 1.1.1.1 [ours]; bar A 9.9.9.9 [other]", "foo A 1.1.1.2", Policy::UpsertOnly, false);
    let other = planned("foo A 1.1.1.1 [ours]", "foo A 1.1.1.3", Policy::Sync, false);
    assert_eq!(one.checksum, same.checksum);
    assert_ne!(one.checksum, other.checksum);
}

#[test]
fn a_plan_prints_as_text_as_markdown_and_as_json() {
    let now = "foo CNAME v1.test. [ours]; gone A 1.1.1.1 [ours]; theirs A 9.9.9.9 [other]";
    let plans = [planned(now, "foo A@60 5.5.5.5 5.5.5.6; new A 1.1.1.1; theirs A 1.1.1.1", Policy::Sync, false)];
    insta::assert_snapshot!("plan_text", to_text(&plans));
    insta::assert_snapshot!("plan_markdown", to_markdown(&plans));
    insta::assert_snapshot!("plan_json", serde_json::to_string_pretty(&to_json(&plans)).expect("JSON"));
}
