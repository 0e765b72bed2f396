//! What stands under `publish.to[].route53`.
//!
//! Every key has a default, so that each can be read alone: that is how a refusal knows which key it is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use mcdns_core::{dns::OwnerName, plan::ManagerId};
use mcdns_publish::ownership::{TxtRegistry, TxtSettings};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// Requests in a second that one AWS account may make of Route 53, all clients together (AWS, "Quotas").
const REQUESTS_PER_SECOND: u32 = 5;
/// Most records of one request, an UPSERT counted twice (AWS, "Quotas").
const BATCH_RECORDS: usize = 1000;
/// Most characters of values in one request, an UPSERT counted twice (AWS, "Quotas").
const BATCH_CHARACTERS: usize = 32_000;
/// Zones come and go seldom; one that is missing is looked for at once.
const ZONES_CACHE: Duration = Duration::from_hours(1);

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where the API is; else where the SDK finds it for the region.
    #[serde(deserialize_with = "url")]
    pub endpoint: Option<String>,
    /// Where AWS STS is, for `assume_role`.
    #[serde(deserialize_with = "url")]
    pub sts_endpoint: Option<String>,
    /// Decides about the partition and about STS.
    #[serde(deserialize_with = "text")]
    pub region: Option<String>,
    /// Profile in the shared files of AWS.
    #[serde(deserialize_with = "text")]
    pub profile: Option<String>,
    /// A shared credentials file in place of the usual one.
    #[serde(deserialize_with = "text")]
    pub credentials_file: Option<String>,
    /// Role to assume on top of the credentials.
    #[serde(deserialize_with = "text")]
    pub assume_role: Option<String>,
    /// External id for that.
    #[serde(deserialize_with = "text")]
    pub external_id: Option<String>,
    /// Which hosted zones count.
    pub zone_type: ZoneType,
    /// Only these hosted zones.
    #[serde(deserialize_with = "zone_ids")]
    pub zone_ids: BTreeSet<String>,
    /// Only hosted zones with all of these tags.
    #[serde(deserialize_with = "texts")]
    pub zone_tags: BTreeMap<String, String>,
    /// How long the list of hosted zones is good.
    #[serde(deserialize_with = "period")]
    pub zones_cache: Duration,
    /// For aliases of ours.
    pub evaluate_target_health: bool,
    /// A single host name is a CNAME, never an alias.
    pub prefer_cname: bool,
    /// Hosted zones of suffixes that the table does not have.
    pub alias_zones: BTreeMap<OwnerName, String>,
    /// Health check of each cluster, for sets that have an identifier.
    #[serde(deserialize_with = "texts")]
    pub health_checks: BTreeMap<String, String>,
    /// Most records of a request.
    pub batch_records: usize,
    /// Most characters of a request.
    pub batch_characters: usize,
    /// Of the whole account.
    pub requests_per_second: u32,
    /// Names and form of ownership records.
    pub ownership: TxtSettings,
}

/// Which hosted zones count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ZoneType {
    /// All; a name that is there twice must be told apart otherwise.
    #[default]
    Any,
    /// Those that the Internet sees.
    Public,
    /// Those of VPCs.
    Private,
}

/// What would be right, by key.
const HELP: [(&str, &str); 20] = [
    ("endpoint", "a URL, such as http://127.0.0.1:4566"),
    ("stsEndpoint", "a URL, such as https://sts.eu-central-1.amazonaws.com"),
    ("region", "a region, such as us-east-1 or cn-northwest-1"),
    ("profile", "the name of a profile"),
    ("credentialsFile", "the path of a file in the form of ~/.aws/credentials"),
    ("assumeRole", "a role, such as arn:aws:iam::123456789012:role/dns"),
    ("externalId", "a text, in quotes where it is a number"),
    ("zoneType", "public, private or any"),
    ("zoneIds", "a list of ids, such as [Z0123456789ABCDEFGHIJ]"),
    ("zoneTags", "a mapping of tags, such as {team: dns}"),
    ("zonesCache", "a time, such as 1h"),
    ("evaluateTargetHealth", "true or false"),
    ("preferCname", "true or false"),
    ("aliasZones", "a mapping of suffixes to hosted zones, such as {elb.mars-1.amazonaws.com: Z0123}"),
    ("healthChecks", "a mapping of clusters to ids of health checks"),
    ("batchRecords", "a number from 8 to 1000"),
    ("batchCharacters", "a number from 4096 to 32000"),
    ("requestsPerSecond", "a number from 1"),
    ("ownership", "a mapping of prefix, suffix, wildcardReplacement, formerOwners, encrypt and keyFile"),
    ("", "see the page about publishing"),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            sts_endpoint: None,
            region: None,
            profile: None,
            credentials_file: None,
            assume_role: None,
            external_id: None,
            zone_type: ZoneType::Any,
            zone_ids: BTreeSet::new(),
            zone_tags: BTreeMap::new(),
            zones_cache: ZONES_CACHE,
            evaluate_target_health: true,
            prefer_cname: false,
            alias_zones: BTreeMap::new(),
            health_checks: BTreeMap::new(),
            batch_records: BATCH_RECORDS,
            batch_characters: BATCH_CHARACTERS,
            requests_per_second: REQUESTS_PER_SECOND,
            ownership: TxtSettings::default(),
        }
    }
}

impl Settings {
    /// Reads the section.
    ///
    /// # Errors
    ///
    /// `KEY: what is wrong; help: what would be right`.
    pub(crate) fn read(section: &Value) -> Result<Self, String> {
        let empty = Map::new();
        let entries = match section {
            Value::Null => &empty,
            Value::Object(entries) => entries,
            _ => return Err("route53: is no mapping; help: write its keys below it".to_owned()),
        };
        for (key, value) in entries {
            if !HELP.iter().any(|(known, _)| known == key && !known.is_empty()) {
                return Err(unknown(key));
            }
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            serde_json::from_value::<Self>(alone.into()).map_err(|error| refusal(key, &error))?;
        }
        let settings: Self = serde_json::from_value(entries.clone().into()).map_err(|error| refusal("", &error))?;
        settings.limits()?;
        Ok(settings)
    }

    /// The ownership records of this manager.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn registry(&self, manager: &ManagerId) -> Result<TxtRegistry, String> {
        self.ownership.registry(manager.clone()).map_err(|why| format!("ownership.{why}"))
    }

    fn limits(&self) -> Result<(), String> {
        let within = |key, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(refusal(key, &format!("{value} is out of range")))
            }
        };
        // Less than this has no room for replacing both address families with their marks.
        within("batchRecords", self.batch_records, 8, BATCH_RECORDS)?;
        // Less than this has no room for a long TXT record and its mark.
        within("batchCharacters", self.batch_characters, 4096, BATCH_CHARACTERS)?;
        within("requestsPerSecond", self.requests_per_second as usize, 1, 100_000)?;
        if self.external_id.is_some() && self.assume_role.is_none() {
            return Err("externalId: there is no role to assume; help: add assumeRole".to_owned());
        }
        Ok(())
    }
}

impl ZoneType {
    /// True if a zone of this kind counts.
    pub(crate) fn takes(self, private: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Public => !private,
            Self::Private => private,
        }
    }
}

impl fmt::Display for ZoneType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Public => "public",
            Self::Private => "private",
        })
    }
}

fn refusal(key: &str, error: &impl fmt::Display) -> String {
    let help = HELP.iter().find(|(known, _)| *known == key).map_or("", |(_, help)| help);
    format!("{key}: {error}; help: write {help}")
}

/// The key that was most likely meant: the one with the same letters, else the one that begins alike.
fn unknown(key: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let shared = |known: &str| plain(known).bytes().zip(plain(key).bytes()).take_while(|(a, b)| a == b).count();
    let nearest =
        HELP.iter().map(|(known, _)| *known).filter(|known| shared(known) >= 3).max_by_key(|known| shared(known));
    let keys: Vec<&str> = HELP.iter().map(|(known, _)| *known).filter(|known| !known.is_empty()).collect();
    match nearest {
        Some(nearest) => format!("{key}: is no setting of route53; help: did you mean {nearest}?"),
        None => format!("{key}: is no setting of route53; help: there are {}", keys.join(", ")),
    }
}

/// Text, or what looks like a number or a switch and was meant as text.
fn plain(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(switch) => Ok(switch.to_string()),
        _ => Err("is no text".to_owned()),
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    plain(Value::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let entries = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let plain = |(key, value)| Ok((key, plain(value)?));
    entries.into_iter().map(plain).collect::<Result<_, String>>().map_err(de::Error::custom)
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let url = plain(Value::deserialize(deserializer)?).map_err(de::Error::custom)?;
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(Some(url)),
        _ => Err(de::Error::custom(format!("`{url}` is no URL"))),
    }
}

fn zone_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let ids = Vec::<String>::deserialize(deserializer)?;
    let plain = |id: String| {
        let short = id.strip_prefix("/hostedzone/").unwrap_or(&id);
        let fits = !short.is_empty() && short.len() <= 32 && short.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if fits { Ok(short.to_owned()) } else { Err(de::Error::custom(format!("`{id}` is no id of a hosted zone"))) }
    };
    ids.into_iter().map(plain).collect()
}

fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = plain(Value::deserialize(deserializer)?).map_err(de::Error::custom)?;
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let read = text.chars().last().and_then(|last| {
        let seconds = units.iter().find(|(unit, _)| *unit == last)?.1;
        text[..text.len() - 1].parse::<u32>().ok().map(|count| Duration::from_secs(u64::from(count) * seconds))
    });
    read.ok_or_else(|| de::Error::custom(format!("`{text}` is no time")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_section_has_the_limits_of_the_service() {
        let settings = Settings::read(&json!({})).expect("settings");
        assert_eq!(
            (settings.batch_records, settings.batch_characters, settings.requests_per_second),
            (1000, 32_000, 5)
        );
        assert!(settings.evaluate_target_health && !settings.prefer_cname);
        assert_eq!(settings.zone_type, ZoneType::Any);
    }

    #[test]
    fn every_key_is_read() {
        let section = json!({
            "endpoint": "http://127.0.0.1:4566", "stsEndpoint": "https://sts.example.com", "region": "us-east-1",
            "profile": "dns", "credentialsFile": "/etc/aws", "assumeRole": "arn:aws:iam::1:role/dns", "externalId": 1234,
            "zoneType": "private", "zoneIds": ["/hostedzone/Z1", "Z2"], "zoneTags": {"team": "dns", "v": 2},
            "zonesCache": "30m", "evaluateTargetHealth": false, "preferCname": true,
            "aliasZones": {"elb.mars-1.amazonaws.com": "Z9"}, "healthChecks": {"c1": "b6c1"},
            "batchRecords": 100, "batchCharacters": 8000, "requestsPerSecond": 2,
            "ownership": {"prefix": "txt.", "formerOwners": ["default"]}
        });
        let settings = Settings::read(&section).expect("settings");
        assert_eq!(settings.external_id.as_deref(), Some("1234"));
        assert_eq!(settings.zone_ids, BTreeSet::from(["Z1".to_owned(), "Z2".to_owned()]));
        assert_eq!(settings.zone_tags["v"], "2");
        assert_eq!(settings.zones_cache, Duration::from_mins(30));
        let keys: BTreeSet<&str> = section.as_object().expect("a mapping").keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = HELP.iter().map(|(key, _)| *key).filter(|key| !key.is_empty()).collect();
        assert_eq!(keys, known, "help and example have every key");
    }

    #[rstest]
    #[case(json!({"zonetype": "public"}), "zonetype: is no setting of route53; help: did you mean zoneType?")]
    #[case(json!({"zoneType": "internal"}), "zoneType: unknown variant `internal`, expected one of `any`, `public`, `private`; help: write public, private or any")]
    #[case(json!({"endpoint": "localhost:1"}), "endpoint: `localhost:1` is no URL; help: write a URL, such as http://127.0.0.1:4566")]
    #[case(json!({"zoneIds": ["../x"]}), "zoneIds: `../x` is no id of a hosted zone; help: write a list of ids, such as [Z0123456789ABCDEFGHIJ]")]
    #[case(json!({"batchRecords": 1001}), "batchRecords: 1001 is out of range; help: write a number from 8 to 1000")]
    #[case(json!({"zonesCache": "soon"}), "zonesCache: `soon` is no time; help: write a time, such as 1h")]
    #[case(json!({"externalId": "x"}), "externalId: there is no role to assume; help: add assumeRole")]
    #[case(json!({"region": []}), "region: is no text; help: write a region, such as us-east-1 or cn-northwest-1")]
    #[case(json!("x"), "route53: is no mapping; help: write its keys below it")]
    fn what_is_wrong_is_told_with_its_key(#[case] section: Value, #[case] expected: &str) {
        assert_eq!(Settings::read(&section).map(|_| ()), Err(expected.to_owned()));
    }

    #[test]
    fn a_prefix_and_a_suffix_of_ownership_records_are_refused_together() {
        let settings = Settings::read(&json!({"ownership": {"prefix": "a", "suffix": "b"}})).expect("settings");
        let error = settings.registry(&"prod".parse().expect("a manager")).map(|_| ()).expect_err("refused");
        assert!(error.starts_with("ownership.suffix: "), "{error}");
    }
}
