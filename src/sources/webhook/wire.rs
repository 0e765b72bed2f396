//! What external-dns sends and reads: endpoints and changes in JSON.
//!
//! Everything may be missing or `null`. Members of changes count in any case: before external-dns 0.17 they were
//! `Create`, `UpdateOld`, `UpdateNew` and `Delete`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

/// The media type of the protocol, octet by octet as external-dns compares it.
pub(super) const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";

/// One RRset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Endpoint {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(super) dns_name: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(super) targets: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(super) record_type: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(super) set_identifier: String,
    #[serde(rename = "recordTTL", deserialize_with = "nullable", skip_serializing_if = "is_unset")]
    pub(super) record_ttl: i64,
    /// Carried through `/adjustendpoints`, and not kept: what of them counts stands in ownership records.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

/// Body of `POST /records`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) create: Vec<Endpoint>,
    pub(super) update_old: Vec<Endpoint>,
    pub(super) update_new: Vec<Endpoint>,
    pub(super) delete: Vec<Endpoint>,
}

/// A list of endpoints; an element that is none is told by its place.
pub(super) fn endpoints(body: &[u8]) -> Result<Vec<Result<Endpoint, String>>, String> {
    let elements: Option<Vec<&RawValue>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let elements = elements.unwrap_or_default().into_iter().filter(|element| element.get() != "null");
    Ok(elements.map(|element| serde_json::from_str(element.get()).map_err(|error| error.to_string())).collect())
}

impl Changes {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let members: serde_json::Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut changes = Self::default();
        for (name, value) in members {
            let list = match name.to_ascii_lowercase().as_str() {
                "create" => &mut changes.create,
                "updateold" => &mut changes.update_old,
                "updatenew" => &mut changes.update_new,
                "delete" => &mut changes.delete,
                // Members of later versions.
                _ => continue,
            };
            let elements: Option<Vec<Option<Endpoint>>> =
                serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))?;
            list.extend(elements.unwrap_or_default().into_iter().flatten());
        }
        Ok(changes)
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_unset(number: &i64) -> bool {
    *number <= 0
}
