//! What stands under `webhook` in an entry of `publish.to`.

use std::{collections::BTreeSet, time::Duration};

use mcdns_core::{dns::RecordType, plan::ManagerId};
use mcdns_publish::ownership::{KNOWN_TYPES, TxtRegistry, TxtSettings};
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;

/// What external-dns allows a peer: 5 s to read and 10 s to write.
const TIMEOUT: u64 = 15;
/// Longest time for one call that makes sense: an hour.
const LONGEST: u64 = 3600;
/// The limit of external-dns on bodies, 32 MiB.
const MAX_BODY: usize = 33_554_432;

/// The keys, as they are written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Section {
    url: Option<String>,
    timeout: Option<u64>,
    max_body: Option<usize>,
    types: Option<Vec<String>>,
    #[serde(default)]
    ownership: TxtSettings,
}

/// What is made of them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) client: Client,
    pub(crate) types: BTreeSet<RecordType>,
    pub(crate) registry: TxtRegistry,
}

impl Settings {
    /// Reads a section.
    ///
    /// # Errors
    ///
    /// `KEY: what is wrong; help: what would be right`.
    pub(crate) fn read(section: &Value, manager: &ManagerId) -> Result<Self, String> {
        const KEYS: &str = "help: url, timeout, maxBody, types and ownership can be set";
        let section: Section = serde_json::from_value(section.clone()).map_err(|error| format!("{error}; {KEYS}"))?;
        let url =
            section.url.ok_or("url: is missing; help: write where the provider listens: http://127.0.0.1:8888")?;
        let timeout = section.timeout.unwrap_or(TIMEOUT);
        if !(1..=LONGEST).contains(&timeout) {
            return Err(format!("timeout: {timeout} s is no time to wait; help: write 1 to {LONGEST} seconds"));
        }
        let max_body = section.max_body.unwrap_or(MAX_BODY);
        if max_body == 0 {
            return Err(format!("maxBody: 0 leaves no answer; help: write octets, such as {MAX_BODY}"));
        }
        let client = Client::new(&url, Duration::from_secs(timeout), max_body).map_err(|why| format!("url: {why}"))?;
        let registry = section.ownership.registry(manager.clone()).map_err(|why| format!("ownership.{why}"))?;
        Ok(Self { client, types: types(section.types)?, registry })
    }
}

fn types(written: Option<Vec<String>>) -> Result<BTreeSet<RecordType>, String> {
    let Some(written) = written else { return Ok(KNOWN_TYPES.into()) };
    let known: Vec<String> = KNOWN_TYPES.iter().map(ToString::to_string).collect();
    let one = |text: &String| {
        let parsed = text.parse().ok().filter(|one| KNOWN_TYPES.contains(one));
        parsed.ok_or_else(|| format!("types: `{text}` is not possible; help: write some of {}", known.join(", ")))
    };
    written.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(section: &Value) -> Result<Settings, String> {
        Settings::read(section, &"prod".parse().expect("a manager"))
    }

    #[test]
    fn a_url_is_enough() {
        let settings = read(&json!({"url": "http://127.0.0.1:8888"})).expect("settings");
        assert_eq!(settings.client.place(), "http://127.0.0.1:8888");
        assert_eq!(settings.client.timeout, Duration::from_secs(15));
        assert_eq!(settings.client.max_body, 32 * 1024 * 1024);
        assert_eq!(settings.types.len(), KNOWN_TYPES.len());
    }

    #[rstest]
    #[case::no_url(json!({}), "url: is missing")]
    #[case::unknown(json!({"url": "http://h", "uri": 1}), "unknown field `uri`")]
    #[case::tls(json!({"url": "https://h"}), "url: the webhook protocol has no TLS")]
    #[case::no_scheme(json!({"url": "127.0.0.1:8888"}), "url: is no http URL")]
    #[case::password(json!({"url": "http://a:b@h"}), "url: the webhook protocol has no passwords")]
    #[case::query(json!({"url": "http://h/?a=b"}), "url: has a query")]
    #[case::no_time(json!({"url": "http://h", "timeout": 0}), "timeout: 0 s")]
    #[case::no_size(json!({"url": "http://h", "maxBody": 0}), "maxBody: 0")]
    #[case::type_without_marks(json!({"url": "http://h", "types": ["CAA"]}), "types: `CAA` is not possible")]
    #[case::two_affixes(json!({"url": "http://h", "ownership": {"prefix": "a", "suffix": "b"}}), "ownership.suffix: ")]
    #[case::no_key(json!({"url": "http://h", "ownership": {"encrypt": true}}), "ownership.encrypt: there is no key")]
    #[case::missing_key(json!({"url": "http://h", "ownership": {"keyFile": "/nowhere/key"}}), "ownership.keyFile: /nowhere/key")]
    fn what_is_wrong_is_said_with_what_would_be_right(#[case] section: Value, #[case] words: &str) {
        let why = read(&section).expect_err("it is refused");
        assert!(why.starts_with(words) && why.contains("; help: "), "{why}");
        assert!(!why.contains("a:b"), "no secret is told: {why}");
    }

    #[test]
    fn a_path_and_a_missing_port_are_fine() {
        let place = |url: &str| read(&json!({"url": url})).expect("settings").client.place();
        assert_eq!(place("http://provider"), "http://provider:80");
        assert_eq!(place("http://[::1]:8888/some/path/"), "http://[::1]:8888/some/path");
    }
}
