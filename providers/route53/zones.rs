//! Which hosted zone takes the records of a zone of ours.
//!
//! It is the one with the longest name at or above the apex, among those that the settings let count (`zoneType`,
//! `zoneIds`, `zoneTags`). So `fed.example.com` may live in the hosted zone `example.com`. Where two of one name remain
//! (a public and a private one), nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::dns::OwnerName;
use mcdns_publish::PublishError;

use crate::settings::{Settings, ZoneType};

/// Tags of hosted zones by id.
pub(crate) type Tags = BTreeMap<String, BTreeMap<String, String>>;

/// Zones that an error tells of; the rest are counted.
const TOLD: usize = 5;

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostedZone {
    /// Without `/hostedzone/`.
    pub id: String,
    /// Apex.
    pub name: OwnerName,
    /// Seen by VPCs alone.
    pub private: bool,
}

/// The zones that pass the settings, all but tags.
pub(crate) fn eligible<'a>(settings: &Settings, zones: &'a [HostedZone]) -> Vec<&'a HostedZone> {
    let passes = |zone: &&HostedZone| {
        settings.zone_type.takes(zone.private) && (settings.zone_ids.is_empty() || settings.zone_ids.contains(&zone.id))
    };
    zones.iter().filter(passes).collect()
}

/// Ids of the zones whose tags decide about this apex.
pub(crate) fn to_tag(zones: &[&HostedZone], apex: Option<&OwnerName>) -> BTreeSet<String> {
    let above = |zone: &&&HostedZone| apex.is_none_or(|apex| apex.is_at_or_below(&zone.name));
    zones.iter().filter(above).map(|zone| zone.id.clone()).collect()
}

/// True if a zone has all tags of the settings.
pub(crate) fn tagged(settings: &Settings, tags: &Tags, zone: &HostedZone) -> bool {
    let has = |key: &String, value: &String| tags.get(&zone.id).and_then(|tags| tags.get(key)) == Some(value);
    settings.zone_tags.iter().all(|(key, value)| has(key, value))
}

/// The zone for this apex.
///
/// # Errors
///
/// [`PublishError::NoZone`]: there is none, or more than one.
pub(crate) fn choose(
    settings: &Settings,
    zones: &[&HostedZone],
    tags: &Tags,
    apex: &OwnerName,
) -> Result<HostedZone, PublishError> {
    let above = zones.iter().filter(|zone| apex.is_at_or_below(&zone.name) && tagged(settings, tags, zone));
    let above: Vec<&&HostedZone> = above.collect();
    let longest = above.iter().map(|zone| zone.name.label_count()).max();
    let chosen: Vec<&&&HostedZone> = above.iter().filter(|zone| Some(zone.name.label_count()) == longest).collect();
    match chosen[..] {
        [zone] => Ok((**zone).clone()),
        [] => Err(PublishError::NoZone { apex: apex.clone(), words: none(settings, zones, apex) }),
        _ => {
            let told: Vec<String> = chosen.iter().map(|zone| told(zone)).collect();
            let words = format!(
                "{} hosted zones could be meant: {}; say which with zoneType, zoneIds or zoneTags",
                told.len(),
                told.join(", ")
            );
            Err(PublishError::NoZone { apex: apex.clone(), words })
        }
    }
}

/// Why there is none.
fn none(settings: &Settings, zones: &[&HostedZone], apex: &OwnerName) -> String {
    let mut filters = Vec::new();
    if settings.zone_type != ZoneType::Any {
        filters.push(format!("of type {}", settings.zone_type));
    }
    if !settings.zone_ids.is_empty() {
        filters.push("among zoneIds".to_owned());
    }
    if !settings.zone_tags.is_empty() {
        filters.push("with the tags of zoneTags".to_owned());
    }
    let which = if filters.is_empty() { String::new() } else { format!(" {}", filters.join(", ")) };
    let mut words = format!("the account has no hosted zone for {apex}{which}");
    if !zones.is_empty() {
        let shown: Vec<String> = zones.iter().take(TOLD).map(|zone| told(zone)).collect();
        words = format!("{words}; it has {}", shown.join(", "));
        if zones.len() > TOLD {
            words = format!("{words} and {} more", zones.len() - TOLD);
        }
    }
    words
}

fn told(zone: &HostedZone) -> String {
    let kind = if zone.private { "private" } else { "public" };
    format!("{} ({}, {kind})", zone.name, zone.id)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn zone(id: &str, name: &str, private: bool) -> HostedZone {
        HostedZone { id: id.to_owned(), name: OwnerName::parse(name).expect("a name"), private }
    }

    fn chosen(section: &Value, zones: &[HostedZone], apex: &str) -> Result<String, String> {
        let settings = Settings::read(section).expect("settings");
        let tags = Tags::from([
            ("Z1".to_owned(), [("team".to_owned(), "dns".to_owned())].into()),
            ("Z2".to_owned(), [("team".to_owned(), "web".to_owned()), ("stage".to_owned(), "1".to_owned())].into()),
        ]);
        let apex = OwnerName::parse(apex).expect("a name");
        match choose(&settings, &eligible(&settings, zones), &tags, &apex) {
            Ok(zone) => Ok(zone.id),
            Err(PublishError::NoZone { words, .. }) => Err(words),
            Err(other) => Err(other.to_string()),
        }
    }

    fn account() -> Vec<HostedZone> {
        vec![
            zone("Z1", "example.org", false),
            zone("Z2", "example.org", true),
            zone("Z3", "bar.example.org", false),
            zone("Z4", "bar.example.org", true),
            zone("Z5", "longfoo.bar.example.org", false),
        ]
    }

    #[rstest]
    #[case::public(json!({"zoneType": "public"}), "example.org", "Z1")]
    #[case::private(json!({"zoneType": "private"}), "example.org", "Z2")]
    #[case::longest(json!({"zoneType": "public"}), "foo.bar.example.org", "Z3")]
    #[case::longest_private(json!({"zoneType": "private"}), "foo.bar.example.org", "Z4")]
    #[case::above(json!({"zoneType": "public"}), "foobar.example.org", "Z1")]
    #[case::alone(json!({}), "x.longfoo.bar.example.org", "Z5")]
    #[case::by_id(json!({"zoneIds": ["Z2"]}), "example.org", "Z2")]
    #[case::by_long_id(json!({"zoneIds": ["/hostedzone/Z4", "Z2"]}), "bar.example.org", "Z4")]
    #[case::by_tag(json!({"zoneTags": {"team": "dns"}}), "example.org", "Z1")]
    #[case::by_tags(json!({"zoneTags": {"team": "web", "stage": 1}}), "example.org", "Z2")]
    fn the_longest_of_those_that_count_is_chosen(#[case] section: Value, #[case] apex: &str, #[case] id: &str) {
        assert_eq!(chosen(&section, &account(), apex), Ok(id.to_owned()));
    }

    #[rstest]
    #[case(json!({}), "example.org", "2 hosted zones could be meant: example.org (Z1, public), example.org (Z2, private); say which with zoneType, zoneIds or zoneTags")]
    #[case(json!({"zoneIds": ["Z9"]}), "example.org", "the account has no hosted zone for example.org among zoneIds")]
    #[case(json!({"zoneTags": {"team": "x"}, "zoneType": "public"}), "example.org", "the account has no hosted zone for example.org of type public, with the tags of zoneTags; it has example.org (Z1, public), bar.example.org (Z3, public), longfoo.bar.example.org (Z5, public)")]
    #[case(json!({"zoneType": "private"}), "kubernetes.io", "the account has no hosted zone for kubernetes.io of type private; it has example.org (Z2, private), bar.example.org (Z4, private)")]
    fn what_is_missing_or_ambiguous_is_told(#[case] section: Value, #[case] apex: &str, #[case] words: &str) {
        assert_eq!(chosen(&section, &account(), apex), Err(words.to_owned()));
    }

    #[test]
    fn a_name_that_only_ends_alike_is_another() {
        let zones = [zone("Z1", "example.org", false)];
        assert!(chosen(&json!({}), &zones, "anexample.org").is_err());
    }
}
