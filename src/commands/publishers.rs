//! From settings to publishers.

use std::sync::Arc;

use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
    plan::ManagerId,
    records::EmptyLevels,
};
use mcdns_memory::{Memory, Store};
use mcdns_publish::{Destination, Publisher};

use crate::settings::{DestinationSettings, ProviderSection, PublishSettings, Settings, SettingsError};

/// The settings, unless a provider refuses its part of them: what stands under its word is its own to read.
///
/// # Errors
///
/// What is refused.
pub(crate) fn accept(settings: Settings) -> Result<Settings, SettingsError> {
    let (_, refused) = destinations(&settings.publish.value, settings.empty_levels.value);
    if refused.is_empty() { Ok(settings) } else { Err(SettingsError { findings: refused }) }
}

/// The destinations of the settings, in their order; `empty_levels` is what holds where an entry says nothing. Findings
/// are what a provider refuses of its own settings; entries with such are left out.
pub(crate) fn destinations(settings: &PublishSettings, empty_levels: EmptyLevels) -> (Vec<Destination>, Vec<Finding>) {
    let (mut destinations, mut findings) = (Vec::new(), Vec::new());
    let Some(manager) = &settings.manager else { return (destinations, findings) };
    for (index, one) in settings.to.iter().enumerate() {
        if let Some(why) = settings.to[..index].iter().find_map(|before| overlap(before, one)) {
            findings.push(refusal(&one.provider, why));
            continue;
        }
        match publisher(one, manager) {
            Ok(publisher) => destinations.push(Destination {
                publisher,
                zones: one.zones.clone(),
                beside: beside(&settings.to, index),
                options: one.options,
                empty_levels: one.empty_levels.unwrap_or(empty_levels),
            }),
            Err(why) => findings.push(refusal(&one.provider, why)),
        }
    }
    (destinations, findings)
}

/// Makes one publisher. Each provider has its arm here and reads its own section; connections are made later.
fn publisher(settings: &DestinationSettings, manager: &ManagerId) -> Result<Arc<dyn Publisher>, String> {
    match settings.provider.word {
        "memory" => {
            let store = Store::new(settings.zones.iter().cloned());
            Ok(Arc::new(Memory::new(&settings.name, manager.clone(), store)))
        }
        "etcd" => mcdns_etcd::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        "route53" => mcdns_route53::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        "webhook" => mcdns_webhook::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        word => Err(format!("the provider {word} is not available in this version")),
    }
}

/// Zones of other entries that go to the same place as those of this one.
fn beside(entries: &[DestinationSettings], index: usize) -> Vec<OwnerName> {
    let one = &entries[index];
    let others = entries.iter().enumerate().filter(|(other, entry)| *other != index && is_same_place(entry, one));
    others.flat_map(|(_, entry)| entry.zones.iter().cloned()).collect()
}

/// True if what both publish stands in one system.
fn is_same_place(before: &DestinationSettings, one: &DestinationSettings) -> bool {
    let (theirs, ours) = (&before.provider, &one.provider);
    match (theirs.word, ours.word) {
        // Each of these has a store to itself.
        ("memory", _) => false,
        // The keys of a child zone stand below those of its parent.
        ("etcd", "etcd") => {
            ["endpoints", "prefix", "configFile"].iter().all(|key| theirs.value[key] == ours.value[key])
        }
        (theirs_word, word) => theirs_word == word && theirs.value == ours.value,
    }
}

/// Why two entries cannot both be: each would take what the other publishes for what is no longer wanted, because the manager
/// is the same.
fn overlap(before: &DestinationSettings, one: &DestinationSettings) -> Option<String> {
    let same_place = is_same_place(before, one);
    let within = |a: &OwnerName, b: &OwnerName| if one.provider.word == "etcd" { a.is_at_or_below(b) } else { a == b };
    let mut pairs = before.zones.iter().flat_map(|theirs| one.zones.iter().map(move |ours| (theirs, ours)));
    let (a, b) = pairs.find(|(a, b)| same_place && (within(a, b) || within(b, a)))?;
    Some(format!("{b} goes to the same place as {a} of `{}`; put both into one entry", before.name))
}

fn refusal(section: &ProviderSection, why: String) -> Finding {
    Finding::new(FindingCode::RefusedSetting, why).at(&section.file, section.line, 0).field(&section.path)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::settings::{Flags, Settings};

    #[rstest]
    #[case::child_zone_in_one_etcd(
        "zones: [example.com], etcd: {endpoints: [http://h:2379]}",
        "zones: [a.example.com], etcd: {endpoints: [http://h:2379], lease: 5m}",
        true
    )]
    #[case::another_prefix(
        "zones: [example.com], etcd: {endpoints: [http://h:2379]}",
        "zones: [a.example.com], etcd: {endpoints: [http://h:2379], prefix: /other}",
        false
    )]
    #[case::beside_each_other(
        "zones: [a.example], etcd: {endpoints: [http://h:2379]}",
        "zones: [b.example], etcd: {endpoints: [http://h:2379]}",
        false
    )]
    #[case::one_zone_twice("zones: [a.example], route53: {}", "zones: [a.example], route53: {}", true)]
    #[case::public_and_private(
        "zones: [a.example], route53: {zoneType: public}",
        "zones: [a.example], route53: {zoneType: private}",
        false
    )]
    #[case::child_zone_in_route_53("zones: [a.example], route53: {}", "zones: [b.a.example], route53: {}", false)]
    #[case::in_memory("zones: [a.example], memory: {}", "zones: [a.example], memory: {}", false)]
    fn entries_that_would_undo_each_other_are_refused(
        #[case] first: &str,
        #[case] second: &str,
        #[case] refused: bool,
    ) {
        let (destinations, findings) = resolved(first, second);
        let told: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!((destinations.len(), findings.len()), (2 - usize::from(refused), usize::from(refused)), "{told:?}");
        assert!(told.iter().all(|told| told.contains("put both into one entry")), "{told:?}");
    }

    #[rstest]
    #[case::one_account("route53: {}", "route53: {}", 1)]
    #[case::two_accounts("route53: {}", "route53: {profile: other}", 0)]
    #[case::two_stores("memory: {}", "memory: {}", 0)]
    fn an_entry_knows_the_zones_of_others_in_the_same_place(
        #[case] first: &str,
        #[case] second: &str,
        #[case] known: usize,
    ) {
        let (first, second) = (format!("zones: [a.example], {first}"), format!("zones: [b.a.example], {second}"));
        let (destinations, findings) = resolved(&first, &second);
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(destinations.iter().map(|one| one.beside.len()).collect::<Vec<_>>(), [known, known]);
    }

    fn resolved(first: &str, second: &str) -> (Vec<Destination>, Vec<Finding>) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.yaml");
        let text = format!(
            "version: 1\npublish:\n  manager: prod\n  to:\n    - {{name: a, {first}}}\n    - {{name: b, {second}}}\n"
        );
        std::fs::write(&file, text).expect("written");
        let settings = Settings::resolve(Some(&file), std::iter::empty(), &Flags::default()).expect("settings");
        destinations(&settings.publish.value, settings.empty_levels.value)
    }
}
