//! What goes over the wire: endpoints and changes in JSON, and their values in both directions. Pure.
//!
//! ```text
//!   {"dnsName":"www.example.org","targets":["192.0.2.1"],"recordType":"A","recordTTL":60,
//!    "setIdentifier":"eu","labels":{"owner":"prod"},"providerSpecific":[{"name":"aws/weight","value":"10"}]}
//! ```
//!
//! Everything may be missing or `null`, members may be written in another case (before external-dns 0.17 they were
//! `Create`, `UpdateOld`, …), and members that nobody here knows are skipped. An element that makes no sense spoils
//! its own name alone, as long as it says which that is.

use std::{collections::BTreeMap, fmt};

use mcdns_core::{
    dns::{OwnerName, RecordType, display_rdata, parse_rdata, parse_rdata_text},
    plan::{Content, RecordSet},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The media type that both sides write; compared octet by octet.
pub(crate) const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";
/// How much of somebody else's text is shown.
const SHOWN: usize = 300;

/// One RRset of one set identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Endpoint {
    /// Owner name, without a final dot.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(crate) dns_name: String,
    /// Values in presentation format.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<String>,
    /// Type.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(crate) record_type: String,
    /// Tells sets of one name and type apart.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub(crate) set_identifier: String,
    /// Seconds; unset where not above 0.
    #[serde(rename = "recordTTL", deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub(crate) record_ttl: i64,
    /// Free; `owner` says whose it is.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// What the provider keeps with the set.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(crate) provider_specific: Vec<Property>,
}

/// A name and its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Property {
    /// Such as `aws/weight`.
    pub(crate) name: String,
    /// Text.
    pub(crate) value: String,
}

/// Body of `POST /records`. `update_old` and `update_new` go in pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changes {
    /// New.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) create: Vec<Endpoint>,
    /// As the peer told it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) update_old: Vec<Endpoint>,
    /// As it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) update_new: Vec<Endpoint>,
    /// As the peer told it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) delete: Vec<Endpoint>,
}

/// What a peer's list of endpoints says.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Those that make sense, with the endpoint as it was told.
    pub(crate) sets: Vec<(OwnerName, RecordSet, Endpoint)>,
    /// Names with something that does not, in words for a person.
    pub(crate) unreadable: BTreeMap<OwnerName, String>,
    /// Endpoints whose name is none that DNS could have; nothing of ours can be there.
    pub(crate) nameless: usize,
}

/// The list in `GET /records`, or in the answer of `POST /adjustendpoints`.
///
/// # Errors
///
/// It is no list of endpoints, in words for a person.
pub(crate) fn read_listing(body: &[u8]) -> Result<Listing, String> {
    let elements: Option<Vec<&RawValue>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut listing = Listing::default();
    for (index, element) in elements.unwrap_or_default().into_iter().enumerate() {
        if element.get() == "null" {
            continue;
        }
        let (name, why) = match serde_json::from_str::<Endpoint>(element.get()) {
            Ok(endpoint) => match to_set(&endpoint) {
                Ok((owner, set)) => {
                    listing.sets.push((owner, set, endpoint));
                    continue;
                }
                Err(why) => (endpoint.dns_name, why),
            },
            Err(error) => {
                let name = serde_json::from_str::<Named>(element.get()).ok().and_then(|named| named.dns_name);
                (name.ok_or_else(|| format!("element {index}: {error}"))?, error.to_string())
            }
        };
        match parse_name(&name) {
            Ok(owner) => {
                listing.unreadable.entry(owner).or_insert_with(|| shorten(&why));
            }
            Err(_) => listing.nameless += 1,
        }
    }
    listing.sets.retain(|(owner, _, _)| !listing.unreadable.contains_key(owner));
    Ok(listing)
}

/// What an endpoint says.
///
/// # Errors
///
/// It makes no sense in DNS, in words for a person.
pub(crate) fn to_set(endpoint: &Endpoint) -> Result<(OwnerName, RecordSet), String> {
    let owner = parse_name(&endpoint.dns_name)?;
    let record_type: RecordType = endpoint.record_type.parse().map_err(|error| format!("recordType: {error}"))?;
    let content = if let Some(target) = alias_target(endpoint, record_type) {
        Content::Alias(target)
    } else {
        let data = endpoint.targets.iter().map(|target| to_data(record_type, target));
        Content::Data(data.collect::<Result<_, _>>()?)
    };
    let properties = endpoint.provider_specific.iter().map(|one| (one.name.clone(), one.value.clone()));
    let set = RecordSet {
        record_type,
        identifier: Some(endpoint.set_identifier.clone()).filter(|identifier| !identifier.is_empty()),
        ttl: u32::try_from(endpoint.record_ttl).ok().filter(|&ttl| ttl > 0),
        content,
        properties: properties.collect(),
    };
    Ok((owner, set))
}

/// A set as it is sent.
pub(crate) fn to_endpoint(owner: &OwnerName, set: &RecordSet, labels: BTreeMap<String, String>) -> Endpoint {
    let targets = match &set.content {
        Content::Data(data) => data.iter().map(|data| to_target(set.record_type, data)).collect(),
        Content::Alias(target) => vec![target.to_string()],
    };
    let properties = set.properties.iter();
    Endpoint {
        dns_name: owner.to_string(),
        targets,
        record_type: set.record_type.to_string(),
        set_identifier: set.identifier.clone().unwrap_or_default(),
        record_ttl: set.ttl.map_or(0, i64::from),
        labels,
        provider_specific: properties
            .map(|(name, value)| Property { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

/// A text of somebody else as part of a line: short, and without what would break one.
pub(crate) fn shorten(text: &str) -> String {
    let clean = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut short: String = clean.clone().take(SHOWN).collect();
    if clean.count() > SHOWN {
        short.push('…');
    }
    short
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dns_name, self.record_type)
    }
}

/// The name alone, of an element that makes no sense otherwise.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    dns_name: Option<String>,
}

fn parse_name(text: &str) -> Result<OwnerName, String> {
    let plain = text.strip_suffix('.').unwrap_or(text);
    if plain.is_empty() {
        return Err("dnsName is missing".to_owned());
    }
    OwnerName::parse(plain).map_err(|error| format!("dnsName `{}`: {error}", shorten(text)))
}

/// The name whose addresses stand in, where the endpoint is an alias.
fn alias_target(endpoint: &Endpoint, record_type: RecordType) -> Option<OwnerName> {
    let is_alias = |one: &Property| one.name == "alias" && matches!(one.value.as_str(), "true" | "A" | "AAAA");
    let address = matches!(record_type, RecordType::A | RecordType::AAAA);
    if !address || !endpoint.provider_specific.iter().any(is_alias) {
        return None;
    }
    match &endpoint.targets[..] {
        [target] if target.parse::<std::net::IpAddr>().is_err() => parse_name(target).ok(),
        _ => None,
    }
}

fn to_data(record_type: RecordType, target: &str) -> Result<Box<[u8]>, String> {
    let root = OwnerName::root();
    // A text may come in quotes, in several strings, or as it is.
    let data = if record_type == RecordType::TXT && !target.starts_with('"') {
        parse_rdata(record_type, &[target], &root)
    } else {
        parse_rdata_text(record_type, target, &root)
    };
    data.map_err(|error| format!("target `{}` of type {record_type}: {error}", shorten(target)))
}

/// Host names stand without their final dot but for SRV and NAPTR, as external-dns writes them.
fn to_target(record_type: RecordType, data: &[u8]) -> String {
    let text = display_rdata(record_type, data);
    let dotless = matches!(
        record_type,
        RecordType::CNAME | RecordType::NS | RecordType::PTR | RecordType::MX | RecordType::DNAME
    );
    match text.strip_suffix('.').filter(|text| dotless && !text.is_empty() && !text.ends_with(' ')) {
        Some(text) => text.to_owned(),
        None => text,
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a(
        r#"{"dnsName":"WWW.example.org.","recordType":"A","targets":["192.0.2.1"],"recordTTL":60}"#,
        "www.example.org A 192.0.2.1"
    )]
    #[case::aaaa(
        r#"{"dnsName":"w.example.org","recordType":"AAAA","targets":["2001:DB8:0::1"]}"#,
        "w.example.org AAAA 2001:db8::1"
    )]
    #[case::cname(
        r#"{"dnsName":"w.example.org","recordType":"CNAME","targets":["Other.Example.net"]}"#,
        "w.example.org CNAME other.example.net"
    )]
    #[case::mx(
        r#"{"dnsName":"w.example.org","recordType":"MX","targets":["10 mail.example.net."]}"#,
        "w.example.org MX 10 mail.example.net"
    )]
    #[case::null_mx(r#"{"dnsName":"w.example.org","recordType":"MX","targets":["0 ."]}"#, "w.example.org MX 0 .")]
    #[case::srv(
        r#"{"dnsName":"_s._tcp.example.org","recordType":"SRV","targets":["10 5 443 h.example.net."]}"#,
        "_s._tcp.example.org SRV 10 5 443 h.example.net."
    )]
    #[case::text(
        r#"{"dnsName":"t.example.org","recordType":"TXT","targets":["\"heritage=external-dns\""]}"#,
        "t.example.org TXT \"heritage=external-dns\""
    )]
    #[case::bare_text(
        r#"{"dnsName":"t.example.org","recordType":"TXT","targets":["v=spf1 -all"]}"#,
        "t.example.org TXT \"v=spf1 -all\""
    )]
    #[case::alias(r#"{"dnsName":"a.example.org","recordType":"A","targets":["lb.example.net"],"providerSpecific":[{"name":"alias","value":"true"}]}"#, "a.example.org A lb.example.net")]
    fn values_are_read_in_any_spelling_and_written_in_one(#[case] json: &str, #[case] line: &str) {
        let listing = read_listing(format!("[{json}]").as_bytes()).expect("a list");
        let [(owner, set, _)] = &listing.sets[..] else { panic!("{listing:?}") };
        let endpoint = to_endpoint(owner, set, BTreeMap::new());
        assert_eq!(format!("{endpoint} {}", endpoint.targets.join(" / ")), line);
        assert_eq!(to_set(&endpoint).expect("a set"), (owner.clone(), set.clone()), "what is written is read the same");
    }

    #[rstest]
    #[case::null("null")]
    #[case::empty("[]")]
    #[case::null_element("[null]")]
    fn a_list_may_be_null(#[case] body: &str) {
        let listing = read_listing(body.as_bytes()).expect("a list");
        assert!(listing.sets.is_empty() && listing.unreadable.is_empty());
    }

    #[test]
    fn one_element_that_makes_no_sense_spoils_its_own_name_alone() {
        let body = r#"[{"dnsName":"good.example.org","recordType":"A","targets":["192.0.2.1"]},
            {"dnsName":"bad.example.org","recordType":"A","targets":["no address"]},
            {"dnsName":"bad.example.org","recordType":"TXT","targets":["text"]},
            {"dnsName":"worse.example.org","recordType":"A","targets":7},
            {"dnsName":"xn--.example..org","recordType":"A","targets":["192.0.2.1"]}]"#;
        let listing = read_listing(body.as_bytes()).expect("a list");
        let names: Vec<String> = listing.sets.iter().map(|(owner, _, _)| owner.to_string()).collect();
        assert_eq!(names, ["good.example.org"]);
        let bad: Vec<String> = listing.unreadable.keys().map(ToString::to_string).collect();
        assert_eq!(bad, ["bad.example.org", "worse.example.org"]);
        assert_eq!(listing.nameless, 1);
    }

    #[rstest]
    #[case("")]
    #[case("{}")]
    #[case("<html>")]
    #[case("[1]")]
    #[case("[{\"targets\":7}]")]
    #[case("[")]
    fn what_is_no_list_of_endpoints_is_refused_whole(#[case] body: &str) {
        assert!(read_listing(body.as_bytes()).is_err());
    }

    #[test]
    fn changes_are_written_as_external_dns_writes_them() {
        let named = |name: &str| vec![Endpoint { dns_name: name.to_owned(), ..Endpoint::default() }];
        let changes =
            Changes { create: named("foo"), update_old: named("bar"), update_new: named("baz"), delete: named("qux") };
        let json = serde_json::to_string(&changes).expect("JSON");
        let expected = r#"{"create":[{"dnsName":"foo"}],"updateOld":[{"dnsName":"bar"}],"updateNew":[{"dnsName":"baz"}],"delete":[{"dnsName":"qux"}]}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::to_string(&Changes::default()).expect("JSON"), "{}");
    }
}
