//! A digest as hexadecimal digits: JSON numbers end at 64 bits for most readers.

use serde::{Deserialize, Deserializer, Serializer, de};

#[allow(clippy::ref_option, reason = "the signature is serde's")]
pub(crate) fn serialize<S: Serializer>(digest: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(&format_args!("{digest:032x}")),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u128>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| u128::from_str_radix(&text, 16).map_err(de::Error::custom)).transpose()
}
