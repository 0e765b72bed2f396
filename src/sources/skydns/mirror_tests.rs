//! What follows from changes of keys.

use mcdns_core::{answer::OtherZone as _, check::FindingCode, dns::Serial};
use mcdns_skydns::{LeaseLimits, Prefix, Revision};

use super::{
    Released, Standing,
    mirror::{Change, Mirror},
};

fn mirror(zones: &[&str]) -> Mirror {
    let zones: Vec<_> = zones.iter().map(|zone| zone.parse().expect("a name")).collect();
    Mirror::new(&Prefix::default(), &zones, Serial(100), LeaseLimits::default()).expect("a mirror")
}

fn put(key: &str, value: &str, revision: Revision) -> Change {
    Change::Put { key: key.into(), value: value.into(), revision, lease: 0 }
}

fn delete(key: &str, revision: Revision) -> Change {
    Change::Delete { key: key.into(), revision }
}

/// So many good keys.
fn keys(count: i64) -> Vec<Change> {
    (0..count).map(|index| put(&format!("/skydns/org/example/n{index:02}"), r#"{"host":"192.0.2.1"}"#, 1)).collect()
}

fn codes(mirror: &Mirror) -> Vec<FindingCode> {
    mirror.state(Standing::Fresh).findings.iter().map(|finding| finding.code).collect()
}

fn serials(mirror: &Mirror) -> Vec<u32> {
    mirror.state(Standing::Fresh).zones.iter().map(|zone| zone.soa().serial.0).collect()
}

#[test]
fn before_the_first_list_nothing_is_known_and_an_empty_list_is() {
    let mut mirror = mirror(&["example.org"]);
    assert!(mirror.state(Standing::Fresh).zones[0].keys().is_none());
    mirror.replace(Vec::new(), 7);
    let state = mirror.state(Standing::Fresh);
    assert!(state.zones[0].keys().is_some_and(mcdns_skydns::Keys::is_empty));
    assert_eq!((state.revision, serials(&mirror)), (7, vec![100]));
}

#[test]
fn a_change_moves_the_serial_of_the_zones_that_it_is_in() {
    let mut mirror = mirror(&["example.org", "sub.example.org", "example.net"]);
    mirror.replace(keys(3), 1);
    assert_eq!(serials(&mirror), [100, 100, 100]);
    mirror.apply(vec![put("/skydns/org/example/sub/a", "{}", 2), put("/skydns/org/example/sub/b", "{}", 3)]);
    // Zones in the order of their apexes: net, org, sub.
    assert_eq!(serials(&mirror), [100, 101, 101]);
    mirror.apply(vec![delete("/skydns/org/example/n00", 4)]);
    assert_eq!(serials(&mirror), [100, 102, 101]);
    mirror.apply(vec![put("/skydns/net/example", "{}", 5), put("/skydns/com/example", "{}", 6)]);
    assert_eq!(serials(&mirror), [101, 102, 101]);
    assert_eq!(mirror.revision, 6);
}

#[test]
fn what_is_wrong_is_told_with_its_key_until_it_is_right() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace(keys(1), 1);
    mirror.apply(vec![
        put("/skydns/org/example/bad", "not-json", 2),
        put("/skydns/org/example/odd", r#"{"host":"a..b"}"#, 3),
        put("/skydns/com/example/far", "not-json", 4),
    ]);
    assert_eq!(codes(&mirror), [FindingCode::SkyDnsValue, FindingCode::SkyDnsName, FindingCode::SkyDnsOutside]);
    let state = mirror.state(Standing::Fresh);
    assert_eq!((state.keys, state.faulty, state.outside), (4, 2, 1));
    assert_eq!(state.findings[0].object.as_deref(), Some("key /skydns/org/example/bad"));
    mirror.apply(vec![
        put("/skydns/org/example/bad", "{}", 5),
        delete("/skydns/org/example/odd", 6),
        delete("/skydns/com/example/far", 7),
    ]);
    assert_eq!(codes(&mirror), []);
}

#[test]
fn many_findings_of_a_kind_are_told_as_a_number() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace((0..150).map(|index| put(&format!("/skydns/org/example/{index}"), "x", 1)).collect(), 1);
    let state = mirror.state(Standing::Fresh);
    assert_eq!((state.findings.len(), state.faulty), (101, 150));
    assert_eq!(state.findings[100].message, "and 50 more keys");
}

#[test]
fn ten_keys_that_vanish_at_once_are_held_and_nine_are_not() {
    for (count, held) in [(9, false), (10, true)] {
        let mut mirror = mirror(&["example.org"]);
        mirror.replace(keys(count), 1);
        let gone = (0..count).map(|index| delete(&format!("/skydns/org/example/n{index:02}"), 2)).collect();
        mirror.apply(gone);
        let state = mirror.state(Standing::Fresh);
        assert_eq!(state.held.is_some(), held, "{count}");
        assert_eq!(state.keys, if held { 10 } else { 0 });
        assert_eq!(codes(&mirror).contains(&FindingCode::Held), held);
        assert_eq!(mirror.revision, 2);
    }
}

#[test]
fn a_list_without_keys_is_held_too() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace(keys(12), 9);
    // As after a restore from nothing: revisions begin anew.
    mirror.replace(Vec::new(), 1);
    let state = mirror.state(Standing::Fresh);
    assert_eq!((state.keys, state.held.is_some(), state.revision), (12, true, 1));
}

#[test]
fn what_is_held_ends_when_all_of_it_is_back() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace(keys(12), 9);
    mirror.replace(Vec::new(), 1);
    for (index, key) in keys(12).into_iter().enumerate() {
        assert!(mirror.held().is_some(), "{index}");
        mirror.apply(vec![put(std::str::from_utf8(key.key()).expect("text"), r#"{"host":"192.0.2.2"}"#, 20)]);
        assert_eq!(mirror.state(Standing::Fresh).keys, 12);
    }
    assert_eq!(mirror.held(), None);
    // Now one of them may go.
    mirror.apply(vec![delete("/skydns/org/example/n00", 21)]);
    assert_eq!(mirror.state(Standing::Fresh).keys, 11);
}

#[test]
fn what_is_held_is_released_by_its_own_word_once() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace(keys(12), 9);
    mirror.replace(Vec::new(), 10);
    mirror.apply(vec![put("/skydns/org/example/n03", r#"{"host":"192.0.2.2"}"#, 11)]);
    let word = mirror.held().expect("something is held");
    assert_eq!(mirror.release("another word"), Released::AnotherWord(word.clone()));
    assert_eq!(mirror.release(&word), Released::Keys(11));
    assert_eq!(mirror.release(&word), Released::Nothing);
    let state = mirror.state(Standing::Fresh);
    assert_eq!((state.keys, state.held), (1, None));
}

#[test]
fn a_list_says_what_is_there_whatever_the_revisions() {
    let mut mirror = mirror(&["example.org"]);
    mirror.replace(keys(12), 900);
    mirror.apply(vec![put("/skydns/org/example/n00", r#"{"host":"192.0.2.7"}"#, 901)]);
    let mut listed = keys(3);
    listed.push(put("/skydns/org/example/new", "{}", 2));
    mirror.replace(listed, 2);
    let state = mirror.state(Standing::Fresh);
    assert_eq!((state.keys, state.revision, state.held), (4, 2, None));
    let keys = state.zones[0].keys().expect("they were read");
    assert_eq!(keys.get(b"/skydns/org/example/n00"), Some((&br#"{"host":"192.0.2.1"}"#[..], 1, 0)));
    let serial = serials(&mirror);
    mirror.replace(self::keys(3).into_iter().chain([put("/skydns/org/example/new", "{}", 2)]).collect(), 2);
    assert_eq!(serials(&mirror), serial, "the same list changes nothing");
}

#[test]
fn leases_are_known_as_long_as_a_key_has_them() {
    let mut mirror = mirror(&["example.org"]);
    let leased = |key: &str, lease, revision| Change::Put { key: key.into(), value: "{}".into(), revision, lease };
    mirror.replace(vec![leased("/skydns/org/example/a", 7, 1), leased("/skydns/org/example/b", 7, 1)], 1);
    mirror.set_leases(vec![(7, Some(1000)), (8, Some(2000))]);
    assert_eq!(mirror.leases().collect::<Vec<_>>(), [7]);
    let end = |mirror: &Mirror, lease| mirror.state(Standing::Fresh).zones[0].keys().expect("read").lease_end(lease);
    assert_eq!((end(&mirror, 7), end(&mirror, 8)), (Some(1000), None));
    mirror.apply(vec![delete("/skydns/org/example/a", 2)]);
    assert_eq!(mirror.leases().collect::<Vec<_>>(), [7]);
    mirror.apply(vec![leased("/skydns/org/example/b", 0, 3)]);
    assert_eq!(mirror.leases().count(), 0);
    assert_eq!(end(&mirror, 7), None);
}
