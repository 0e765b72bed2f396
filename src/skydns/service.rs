//! The value of a key: one service, as JSON.
//!
//! What is read is what Go's `encoding/json` takes for CoreDNS: members in any case, unknown ones ignored, `null` for
//! nothing, whole numbers alone, octets that are no UTF-8 replaced. What is written leaves out what says nothing, in the
//! order in which CoreDNS and external-dns write.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use thiserror::Error;

/// Longest value that is read: ten times what etcd takes by default is not to be expected (`--max-request-bytes`, 1.5 MiB),
/// and a TXT record of more than 64 KiB has no message.
const MAX_VALUE: usize = 1 << 20;

/// What one key says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// An address, or else a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Port for SRV; -1 for none at all.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i64,
    /// Priority for SRV, preference for MX; 0 is 10.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i64,
    /// Weight for SRV, against others of its priority; 0 is 100.
    #[serde(skip_serializing_if = "is_default")]
    pub weight: i64,
    /// Text for TXT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Takes part in MX.
    #[serde(skip_serializing_if = "is_default")]
    pub mail: bool,
    /// Seconds; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
    /// How many labels are taken from the left of a name that is made from the key.
    #[serde(skip_serializing_if = "is_default")]
    pub targetstrip: i64,
    /// Services of one group answer together, where a name has others below it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Whose the key is. CoreDNS does not know it; external-dns does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Where the target is, for people and for us. Nobody else knows it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// A value that is no service. The same value is never one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Too much of it.
    #[error("the value has {0} octets; a service has at most {MAX_VALUE}")]
    TooLong(usize),
    /// Not JSON, or not a service.
    #[error("the value is no service: {0}")]
    NoService(String),
}

impl Service {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] where CoreDNS would not answer at all.
    pub fn decode(value: &[u8]) -> Result<Self, ValueError> {
        if value.len() > MAX_VALUE {
            return Err(ValueError::TooLong(value.len()));
        }
        let text = String::from_utf8_lossy(value);
        let read: Result<Option<Self>, _> = serde_json::from_str(&text);
        read.map(Option::unwrap_or_default).map_err(|error| ValueError::NoService(error.to_string()))
    }

    /// The value in its one form.
    pub fn encode(&self) -> String {
        // Nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Reads members one by one; the last of two with one name counts.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Service;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Service, A::Error> {
        let mut service = Service::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            // A null changes nothing, as in Go.
            match name.to_ascii_lowercase().as_str() {
                "host" => replace(&mut service.host, map.next_value()?),
                "port" => replace(&mut service.port, map.next_value()?),
                "priority" => replace(&mut service.priority, map.next_value()?),
                "weight" => replace(&mut service.weight, map.next_value()?),
                "text" => replace(&mut service.text, map.next_value()?),
                "mail" => replace(&mut service.mail, map.next_value()?),
                "ttl" => replace(&mut service.ttl, map.next_value()?),
                "targetstrip" => replace(&mut service.targetstrip, map.next_value()?),
                "group" => replace(&mut service.group, map.next_value()?),
                // No members for CoreDNS, so nothing in them can be wrong.
                "owner" => {
                    let Lenient(owner) = map.next_value()?;
                    replace(&mut service.owner, owner);
                }
                "cluster" => {
                    let Lenient(cluster) = map.next_value()?;
                    replace(&mut service.cluster, cluster);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(service)
    }
}

fn replace<T>(member: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *member = value;
    }
}

/// A text, or anything else, which is none.
struct Lenient(Option<String>);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer).map_err(de::Error::custom)?;
        Ok(Self(value.as_str().map(ToOwned::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &str) -> Service {
        Service::decode(value.as_bytes()).expect("a service")
    }

    #[test]
    fn values_are_read_as_go_reads_them() {
        let host = Service { host: "10.0.0.1".to_owned(), ..Service::default() };
        for value in [
            r#"{"host":"10.0.0.1"}"#,
            r#" { "Host" : "10.0.0.1" , "port": null, "unknown": {"a": [1, 2.5, "x"]} } "#,
            r#"{"host":"10.0.0.2","HOST":"10.0.0.1"}"#,
            r#"{"host":"10.0.0.1","key":"/not/a/member","owner":7}"#,
        ] {
            assert_eq!(decoded(value), host, "{value}");
        }
        assert_eq!(decoded("null"), Service::default());
        assert_eq!(decoded("{}"), Service::default());
        let replaced = Service::decode(b"{\"text\":\"a\xffb\"}").expect("a service");
        assert_eq!(replaced.text, "a\u{fffd}b");
    }

    #[test]
    fn values_that_go_refuses_are_refused() {
        for value in [
            "",
            "not-json",
            "[]",
            "7",
            r#""text""#,
            r#"{"host":1}"#,
            r#"{"port":"80"}"#,
            r#"{"port":80.5}"#,
            r#"{"port":80.0}"#,
            r#"{"port":9223372036854775808}"#,
            r#"{"ttl":-1}"#,
            r#"{"ttl":4294967296}"#,
            r#"{"mail":"yes"}"#,
            r#"{"host":"a"} x"#,
            r#"{"host":"a""#,
        ] {
            assert!(Service::decode(value.as_bytes()).is_err(), "{value}");
        }
        assert!(matches!(Service::decode(&vec![b' '; MAX_VALUE + 1]), Err(ValueError::TooLong(_))));
    }

    #[test]
    fn what_is_written_leaves_out_what_says_nothing_and_is_read_again() {
        let full = Service {
            host: "a.example.org".to_owned(),
            port: -1,
            priority: 20,
            weight: 5,
            text: "\"quoted\"".to_owned(),
            mail: true,
            ttl: 60,
            targetstrip: 1,
            group: "g".to_owned(),
            owner: "me".to_owned(),
            cluster: "east".to_owned(),
        };
        assert_eq!(
            full.encode(),
            r#"{"host":"a.example.org","port":-1,"priority":20,"weight":5,"text":"\"quoted\"","mail":true,"ttl":60,"targetstrip":1,"group":"g","owner":"me","cluster":"east"}"#
        );
        assert_eq!(decoded(&full.encode()), full);
        assert_eq!(Service::default().encode(), "{}");
    }
}
