//! Record sets between our form and that of the API.
//!
//! ```text
//!   RecordSet  (RDATA in wire format)  ──encode──►  ResourceRecordSet  (text, octal escapes)
//!                                      ◄─decode──
//! ```
//!
//! Text at Route 53 is presentation format with one difference: a backslash before three digits means an **octal**
//! number, where RFC 1035 section 5.1 has a decimal one. Names come back in lower case with every octet other than
//! `a`–`z`, `0`–`9`, `-`, `_` and `.` escaped, `*` included (`\052.example.com.`).
//!
//! What a set has beyond records (routing policy, health check, the zone of an alias) are properties under the names of
//! external-dns; all of them are kept, so that a set can be deleted exactly as it stands. `encode` after `decode` may
//! differ in spelling alone; where it does, the publisher keeps the original beside.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::types::{
    AliasTarget, CidrRoutingConfig, Coordinates, GeoLocation, GeoProximityLocation, ResourceRecord, ResourceRecordSet,
    ResourceRecordSetFailover, ResourceRecordSetRegion, RrType,
};
use mcdns_core::{
    dns::{OwnerName, RecordType, display_rdata, parse_rdata_text},
    plan::{Content, RecordSet},
};

/// Hosted zone of an alias' target.
pub(crate) const TARGET_ZONE: &str = "aws/target-hosted-zone";
/// Whether an alias follows the health of its target.
pub(crate) const EVALUATE: &str = "aws/evaluate-target-health";
/// Share among sets of one name and type.
pub(crate) const WEIGHT: &str = "aws/weight";
/// Health check of a set.
pub(crate) const HEALTH_CHECK: &str = "aws/health-check-id";
const REGION: &str = "aws/region";
const FAILOVER: &str = "aws/failover";
const MULTI_VALUE: &str = "aws/multi-value-answer";
const CONTINENT: &str = "aws/geolocation-continent-code";
const COUNTRY: &str = "aws/geolocation-country-code";
const SUBDIVISION: &str = "aws/geolocation-subdivision-code";
const NEAR_REGION: &str = "aws/geoproximity-region";
const NEAR_GROUP: &str = "aws/geoproximity-local-zone-group";
const NEAR_PLACE: &str = "aws/geoproximity-coordinates";
const NEAR_BIAS: &str = "aws/geoproximity-bias";
const CIDR_COLLECTION: &str = "aws/cidr-collection-id";
const CIDR_LOCATION: &str = "aws/cidr-location";
const TRAFFIC_POLICY: &str = "aws/traffic-policy-instance-id";

/// The form of the API.
///
/// # Errors
///
/// A property makes no sense; says which.
pub(crate) fn encode(owner: &OwnerName, set: &RecordSet) -> Result<ResourceRecordSet, String> {
    let record_type = RrType::from(set.record_type.to_string().as_str());
    let mut out = ResourceRecordSet::builder().name(name_text(owner)).r#type(record_type);
    out = out.set_set_identifier(set.identifier.clone()).set_ttl(set.ttl.map(i64::from));
    match &set.content {
        Content::Data(data) => {
            for data in data {
                let value = octal(&display_rdata(set.record_type, data));
                out = out.resource_records(ResourceRecord::builder().value(value).build().map_err(words)?);
            }
        }
        Content::Alias(target) => {
            let zone = set.properties.get(TARGET_ZONE).ok_or("an alias has no hosted zone")?;
            let follows = set.properties.get(EVALUATE).is_some_and(|value| value == "true");
            let alias = AliasTarget::builder().hosted_zone_id(zone).dns_name(name_text(target));
            out = out.alias_target(alias.evaluate_target_health(follows).build().map_err(words)?);
        }
    }
    let property = |name: &str| set.properties.get(name).map(String::as_str);
    out = out.set_weight(property(WEIGHT).map(|text| number(WEIGHT, text)).transpose()?);
    out = out.set_region(property(REGION).map(ResourceRecordSetRegion::from));
    out = out.set_failover(property(FAILOVER).map(ResourceRecordSetFailover::from));
    out = out.set_multi_value_answer(property(MULTI_VALUE).map(|_| true));
    out = out.set_health_check_id(property(HEALTH_CHECK).map(str::to_owned));
    out = out.set_traffic_policy_instance_id(property(TRAFFIC_POLICY).map(str::to_owned));
    if [CONTINENT, COUNTRY, SUBDIVISION].iter().any(|name| property(name).is_some()) {
        let place = GeoLocation::builder().set_continent_code(property(CONTINENT).map(str::to_owned));
        let place = place.set_country_code(property(COUNTRY).map(str::to_owned));
        out = out.geo_location(place.set_subdivision_code(property(SUBDIVISION).map(str::to_owned)).build());
    }
    if [NEAR_REGION, NEAR_GROUP, NEAR_PLACE].iter().any(|name| property(name).is_some()) {
        let near = GeoProximityLocation::builder().set_aws_region(property(NEAR_REGION).map(str::to_owned));
        let near = near.set_local_zone_group(property(NEAR_GROUP).map(str::to_owned));
        let near = near.set_coordinates(property(NEAR_PLACE).map(coordinates).transpose()?);
        let bias = property(NEAR_BIAS).map(|text| number(NEAR_BIAS, text)).transpose()?;
        out = out.geo_proximity_location(near.set_bias(bias).build());
    }
    if let (Some(collection), Some(location)) = (property(CIDR_COLLECTION), property(CIDR_LOCATION)) {
        let cidr = CidrRoutingConfig::builder().collection_id(collection).location_name(location);
        out = out.cidr_routing_config(cidr.build().map_err(words)?);
    }
    out.build().map_err(words)
}

/// Our form, without the name.
///
/// # Errors
///
/// The type or a value makes no sense; says which.
pub(crate) fn decode(raw: &ResourceRecordSet) -> Result<RecordSet, String> {
    let record_type: RecordType = raw.r#type.as_str().parse().map_err(|error| format!("{error}"))?;
    let mut properties = properties(raw);
    let content = if let Some(alias) = &raw.alias_target {
        properties.insert(TARGET_ZONE.to_owned(), alias.hosted_zone_id.clone());
        properties.insert(EVALUATE.to_owned(), alias.evaluate_target_health.to_string());
        Content::Alias(parse_name(&alias.dns_name)?)
    } else {
        let read = |record: &ResourceRecord| {
            let data = parse_rdata_text(record_type, &decimal(&record.value), &OwnerName::root());
            data.map_err(|error| format!("{record_type} {}: {error}", record.value))
        };
        Content::Data(raw.resource_records().iter().map(read).collect::<Result<BTreeSet<_>, _>>()?)
    };
    let ttl = match raw.ttl {
        // An alias has the TTL of its target, whatever is told.
        _ if raw.alias_target.is_some() => None,
        Some(ttl) => Some(ttl.try_into().map_err(|_| format!("TTL {ttl}"))?),
        None => None,
    };
    Ok(RecordSet { record_type, identifier: raw.set_identifier.clone(), ttl, content, properties })
}

/// True if the API would take one for the other in a deletion: all but the spelling of the name and the order of
/// records.
pub(crate) fn same_spelling(a: &ResourceRecordSet, b: &ResourceRecordSet) -> bool {
    let plain = |raw: &ResourceRecordSet| {
        let mut raw = raw.clone();
        raw.name.clear();
        if let Some(records) = &mut raw.resource_records {
            records.sort_by(|a, b| a.value.cmp(&b.value));
        }
        raw.resource_records = raw.resource_records.filter(|records| !records.is_empty());
        raw
    };
    plain(a) == plain(b)
}

/// A name as the API wants it: octal escapes, a trailing dot, and `*` as it is.
pub(crate) fn name_text(name: &OwnerName) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(name.as_wire().len() + 8);
    for (index, label) in name.labels().enumerate() {
        if index == 0 && label == b"*" {
            text.push('*');
        } else {
            for &octet in label {
                match octet {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(octet)),
                    // Writing to a string does not fail.
                    _ => _ = write!(text, "\\{octet:03o}"),
                }
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

/// A name as the API gives it.
pub(crate) fn parse_name(text: &str) -> Result<OwnerName, String> {
    OwnerName::parse(&decimal(text)).map_err(|error| format!("`{text}` is no name: {error}"))
}

/// What a set counts towards the limits of a request: records (an alias is one), and characters of their values (an
/// alias has none).
pub(crate) fn size(raw: &ResourceRecordSet) -> (usize, usize) {
    let records = raw.resource_records();
    (records.len().max(1), records.iter().map(|record| record.value.chars().count()).sum())
}

/// Presentation format with octal escapes in place of decimal ones; outside quotes, of all.
fn octal(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"']) {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if rest.as_bytes()[at] == b'"' {
            quoted = !quoted;
            out.push('"');
            rest = behind;
            continue;
        }
        let Some((octet, length)) = escaped(behind, 10) else {
            // Nothing that is displayed ends so.
            rest = behind;
            continue;
        };
        match octet {
            b'"' | b'\\' if quoted => out.extend(['\\', char::from(octet)]),
            // Writing to a string does not fail.
            _ => _ = write!(out, "\\{octet:03o}"),
        }
        rest = &behind[length..];
    }
    out + rest
}

/// Presentation format with decimal escapes in place of octal ones.
fn decimal(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some((octet, 3)) = escaped(behind, 8) {
            // Writing to a string does not fail.
            _ = write!(out, "\\{octet:03}");
            rest = &behind[3..];
        } else {
            // The character behind stands for itself, a backslash too.
            let length = behind.chars().next().map_or(0, char::len_utf8);
            out.push('\\');
            out.push_str(&behind[..length]);
            rest = &behind[length..];
        }
    }
    out + rest
}

/// The octet that three digits or one ASCII character behind a backslash mean, and how many that are.
fn escaped(behind: &str, radix: u32) -> Option<(u8, usize)> {
    let digits = behind.get(..3).filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()));
    match digits.and_then(|digits| u8::from_str_radix(digits, radix).ok()) {
        Some(octet) => Some((octet, 3)),
        None => behind.bytes().next().filter(u8::is_ascii).map(|octet| (octet, 1)),
    }
}

/// All that a set has beside records, TTL and identifier.
fn properties(raw: &ResourceRecordSet) -> BTreeMap<String, String> {
    let geo = raw.geo_location.as_ref();
    let near = raw.geo_proximity_location.as_ref();
    let cidr = raw.cidr_routing_config.as_ref();
    let place = near.and_then(|near| near.coordinates.as_ref());
    let found = [
        (WEIGHT, raw.weight.map(|weight| weight.to_string())),
        (REGION, raw.region.as_ref().map(|region| region.as_str().to_owned())),
        (FAILOVER, raw.failover.as_ref().map(|failover| failover.as_str().to_owned())),
        (MULTI_VALUE, (raw.multi_value_answer == Some(true)).then(String::new)),
        (CONTINENT, geo.and_then(|geo| geo.continent_code.clone())),
        (COUNTRY, geo.and_then(|geo| geo.country_code.clone())),
        (SUBDIVISION, geo.and_then(|geo| geo.subdivision_code.clone())),
        (NEAR_REGION, near.and_then(|near| near.aws_region.clone())),
        (NEAR_GROUP, near.and_then(|near| near.local_zone_group.clone())),
        (NEAR_PLACE, place.map(|place| format!("{},{}", place.latitude, place.longitude))),
        (NEAR_BIAS, near.and_then(|near| near.bias).map(|bias| bias.to_string())),
        (CIDR_COLLECTION, cidr.map(|cidr| cidr.collection_id.clone())),
        (CIDR_LOCATION, cidr.map(|cidr| cidr.location_name.clone())),
        (HEALTH_CHECK, raw.health_check_id.clone()),
        (TRAFFIC_POLICY, raw.traffic_policy_instance_id.clone()),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn coordinates(text: &str) -> Result<Coordinates, String> {
    let (latitude, longitude) = text.split_once(',').ok_or_else(|| format!("{NEAR_PLACE} is `{text}`"))?;
    Coordinates::builder().latitude(latitude).longitude(longitude).build().map_err(words)
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} is `{text}`"))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
