//! `publish`: what is read, and every fault with its text.

use mcdns_core::plan::Policy;

use super::{tests::refused, *};

/// Settings from a file with this content.
fn accepted(text: &str) -> Settings {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.yaml");
    std::fs::write(&file, text).expect("written");
    Settings::resolve(Some(&file), std::iter::empty(), &Flags::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn destinations_are_read_and_a_provider_s_own_settings_are_handed_on() {
    let settings = accepted(
        "version: 1\npublish:\n  manager: prod\n  to:\n    \
         - {name: coredns, zones: [Example.COM.], etcd: {endpoints: [http://127.0.0.1:2379], lease: 60, tls: true}}\n    \
         - {name: aws, zones: [a.example, b.example], policy: upsert-only, adopt: true, emptyLevels: omit, route53: {}}\n",
    );
    let publish = settings.publish.value;
    assert_eq!(publish.manager.as_ref().map(ToString::to_string).as_deref(), Some("prod"));
    let [coredns, aws] = &publish.to[..] else { panic!("{:?}", publish.to) };
    assert_eq!((&*coredns.name, coredns.options.policy, coredns.options.adopt), ("coredns", Policy::Sync, false));
    assert_eq!(coredns.zones, [OwnerName::parse("example.com").expect("a name")]);
    assert_eq!(coredns.provider.word, "etcd");
    let expected = serde_json::json!({"endpoints": ["http://127.0.0.1:2379"], "lease": 60, "tls": true});
    assert_eq!((&coredns.provider.value, coredns.provider.line), (&expected, 5));
    assert_eq!((aws.options.policy, aws.options.adopt), (Policy::UpsertOnly, true));
    assert_eq!((aws.zones.len(), aws.empty_levels, aws.provider.word), (2, Some(EmptyLevels::Omit), "route53"));
}

#[test]
fn every_fault_is_told_with_its_place() {
    let to = |entry: &str| format!("version: 1\npublish:\n  manager: prod\n  to:\n    - {entry}\n");
    let rows = [
        (to("{name: a, zones: [a.test]}"), "says no provider"),
        (to("{name: a, zones: [a.test], etcd: {}, route53: {}}"), "is the second provider of one entry"),
        (to("{zones: [a.test], etcd: {}}"), "publish.to[0].name: is missing"),
        (to("{name: a, etcd: {}}"), "publish.to[0].zones: is missing"),
        (to("{name: a b, zones: [a.test], etcd: {}}"), "`a b` is no name"),
        (to("{name: a, zones: [a.test], policy: all, etcd: {}}"), "publish.to[0].policy"),
        (to("{name: a, zones: [a.test], polcy: sync, etcd: {}}"), "did you mean `policy`?"),
        (to("{name: a, zones: [a.test], etcd: {}}\n    - {name: a, zones: [b.test], etcd: {}}"), "stands there twice"),
        ("version: 1\npublish: {manager: default}\n".to_owned(), "`default` is no name of a manager"),
        (
            "version: 1\npublish: {to: [{name: a, zones: [a.test], etcd: {}}]}\n".to_owned(),
            "publish.manager: is missing",
        ),
    ];
    for (text, expected) in rows {
        let error = refused(&text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}
