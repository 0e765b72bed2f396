//! Change batches as they come in, and what is wrong with them whatever stands in the zone.

use super::{
    alias,
    name::Name,
    rdata::TYPES,
    record::{AliasTarget, RecordSet, Routing},
    refusal::Refusal,
    xml::{Element, NAMESPACE},
};

/// Most elements `ResourceRecord` in a request; an alias is one, and UPSERT counts twice (Route 53 Developer Guide,
/// "Quotas": "including alias records").
const MAX_ELEMENTS: usize = 1_000;
/// Most characters in all elements `Value` of a request; UPSERT counts twice (the same place).
const MAX_CHARACTERS: usize = 32_000;
/// Most records in a set (the same place).
const MAX_VALUES: usize = 400;
/// The longest set identifier (`ResourceRecordSet`, "`SetIdentifier`").
const MAX_SET_IDENTIFIER: usize = 128;

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It must not be there.
    Create,
    /// It must be there, just so.
    Delete,
    /// It may be there.
    Upsert,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is to happen.
    pub action: Action,
    /// To what.
    pub set: RecordSet,
}

/// The changes of a request's body.
///
/// # Errors
///
/// What is wrong with the request; what is wrong with names and values is for the zone to say.
pub(super) fn parse(body: &str) -> Result<Vec<Change>, Refusal> {
    let malformed =
        || Refusal::new(400, "MalformedInput", "ChangeBatch is not valid, expected ChangeResourceRecordSetsRequest");
    let root =
        Element::parse(body).filter(|root| root.name == "ChangeResourceRecordSetsRequest").ok_or_else(malformed)?;
    let batch = root.child("ChangeBatch").ok_or_else(|| incomplete(&root.name, "ChangeBatch"))?;
    let changes = batch.child("Changes").ok_or_else(|| incomplete("ChangeBatch", "Changes"))?;
    if changes.children.is_empty() {
        return Err(incomplete("Changes", "Change"));
    }
    let changes: Vec<Change> = changes
        .children
        .iter()
        .enumerate()
        .map(|(index, change)| parse_change(index, change))
        .collect::<Result<_, _>>()?;
    limits(&changes)?;
    Ok(changes)
}

/// The schema of the API is checked by a validating parser, whose words these are.
fn incomplete(element: &str, expected: &str) -> Refusal {
    Refusal::invalid_input(format!(
        "Invalid XML ; cvc-complex-type.2.4.b: The content of element '{element}' is not complete. \
         One of '{{\"{NAMESPACE}\":{expected}}}' is expected."
    ))
}

fn limits(changes: &[Change]) -> Result<(), Refusal> {
    let (mut elements, mut characters) = (0, 0);
    for change in changes {
        let times = if change.action == Action::Upsert { 2 } else { 1 };
        elements += times * change.set.values.len().max(1);
        characters += times * change.set.values.iter().map(|value| value.chars().count()).sum::<usize>();
    }
    if elements > MAX_ELEMENTS {
        return Err(Refusal::invalid_batch(&[format!("Number of records limit of {MAX_ELEMENTS} exceeded.")]));
    }
    if characters > MAX_CHARACTERS {
        return Err(Refusal::invalid_batch(&[format!("RDATA character limit of {MAX_CHARACTERS} exceeded.")]));
    }
    Ok(())
}

fn parse_change(index: usize, change: &Element) -> Result<Change, Refusal> {
    let field = |name: &str| format!("changeBatch.changes.{}.member.{name}", index + 1);
    if change.name != "Change" {
        return Err(incomplete("Changes", "Change"));
    }
    let word = change.text_of("Action").ok_or_else(|| incomplete("Change", "Action"))?;
    let action = match word {
        "CREATE" => Action::Create,
        "DELETE" => Action::Delete,
        "UPSERT" => Action::Upsert,
        other => {
            return Err(Refusal::validation(
                other,
                &field("action"),
                "satisfy enum value set: [CREATE, DELETE, UPSERT]",
            ));
        }
    };
    let set = change.child("ResourceRecordSet").ok_or_else(|| incomplete("Change", "ResourceRecordSet"))?;
    let name = set.text_of("Name").ok_or_else(|| incomplete("ResourceRecordSet", "Name"))?;
    let kind = set.text_of("Type").ok_or_else(|| incomplete("ResourceRecordSet", "Type"))?;
    if !TYPES.contains(&kind) {
        let constraint = format!("satisfy enum value set: [{}]", TYPES.join(", "));
        return Err(Refusal::validation(kind, &field("resourceRecordSet.type"), &constraint));
    }
    let set_identifier = set.text_of("SetIdentifier");
    if let Some(identifier) = set_identifier.filter(|text| text.is_empty() || text.len() > MAX_SET_IDENTIFIER) {
        let constraint = if identifier.is_empty() {
            "have length greater than or equal to 1".to_owned()
        } else {
            format!("have length less than or equal to {MAX_SET_IDENTIFIER}")
        };
        return Err(Refusal::validation(identifier, &field("resourceRecordSet.setIdentifier"), &constraint));
    }
    let with = format!("[Action={word}, Name={name}, Type={kind}, SetIdentifier={}]", set_identifier.unwrap_or("null"));

    let ttl = set.text_of("TTL").map(|text| {
        text.parse::<i64>()
            .map_err(|_| {
                Refusal::invalid_input(format!(
                    "Invalid XML ; cvc-datatype-valid.1.2.1: '{text}' is not a valid value for 'integer'."
                ))
            })
            .and_then(|ttl| match ttl {
                // RFC 2181 section 8.
                0..=2_147_483_647 => Ok(u32::try_from(ttl).unwrap_or_default()),
                ..0 => Err(Refusal::validation(
                    text,
                    &field("resourceRecordSet.tTL"),
                    "have value greater than or equal to 0",
                )),
                _ => Err(Refusal::validation(
                    text,
                    &field("resourceRecordSet.tTL"),
                    "have value less than or equal to 2147483647",
                )),
            })
    });
    let ttl = ttl.transpose()?;
    let values: Vec<String> = set.child("ResourceRecords").map_or_else(Vec::new, |records| {
        records.children.iter().filter_map(|record| record.text_of("Value")).map(str::to_owned).collect()
    });
    let alias = set.child("AliasTarget").map(parse_alias).transpose()?;
    let found = match (&alias, ttl, values.is_empty()) {
        (Some(_), None, true) | (None, Some(_), false) => None,
        (Some(_), _, _) => Some("more than one"),
        (None, _, _) => Some("none"),
    };
    if let Some(found) = found {
        return Err(Refusal::invalid_input(format!(
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
             TrafficPolicyInstanceId], but found {found} in Change with {with}"
        )));
    }
    if values.len() > MAX_VALUES {
        return Err(Refusal::invalid_batch(&[format!("Cannot have more than {MAX_VALUES} records in a RRSet.")]));
    }
    let routing = parse_routing(set, &field("resourceRecordSet"), &with)?;
    match (&routing, set_identifier) {
        (Some(_), None) => {
            return Err(Refusal::invalid_input(format!(
                "Invalid request: Missing field 'SetIdentifier' in Change with {with}"
            )));
        }
        (Some(Routing::MultiValue), Some(_)) if alias.is_some() => {
            return Err(Refusal::invalid_input(format!(
                "Invalid request: Unexpected field 'AliasTarget' beside 'MultiValueAnswer' in Change with {with}"
            )));
        }
        _ => {}
    }
    let set = RecordSet {
        // What is wrong with a name is said of the batch.
        name: Name::parse(name).map_or_else(|_| name.to_owned(), |name| name.escaped()),
        kind: kind.to_owned(),
        set_identifier: set_identifier.map(str::to_owned),
        routing,
        ttl,
        values,
        alias,
        health_check: set.text_of("HealthCheckId").map(str::to_owned),
    };
    Ok(Change { action, set })
}

fn parse_alias(target: &Element) -> Result<AliasTarget, Refusal> {
    // In any order: the SDK for Go sorts them by name, that for Rust does not, and the service takes both.
    let known = ["HostedZoneId", "DNSName", "EvaluateTargetHealth"];
    let missing: Vec<&str> = known.into_iter().filter(|name| target.child(name).is_none()).collect();
    if let Some(child) = target.children.iter().find(|child| !known.contains(&&*child.name)) {
        return Err(Refusal::invalid_input(format!(
            "Invalid XML ; cvc-complex-type.2.4.a: Invalid content was found starting with element '{}'. \
             One of '{{\"{NAMESPACE}\":{}}}' is expected.",
            child.name,
            missing.first().unwrap_or(&known[0]),
        )));
    }
    if let Some(missing) = missing.first() {
        return Err(incomplete("AliasTarget", missing));
    }
    let text = |name| target.text_of(name).unwrap_or_default();
    let zone_id = text("HostedZoneId").trim_start_matches("/hostedzone/").to_owned();
    let evaluate_target_health = text("EvaluateTargetHealth") == "true";
    let name = Name::parse(text("DNSName")).map_err(|problem| Refusal::invalid_batch(&[problem]))?.escaped();
    if evaluate_target_health && zone_id == alias::CLOUDFRONT {
        return Err(Refusal::invalid_batch(&[format!(
            "EvaluateTargetHealth is not supported for an alias that targets {name} in zone {zone_id}"
        )]));
    }
    Ok(AliasTarget { zone_id, name, evaluate_target_health })
}

fn parse_routing(set: &Element, field: &str, with: &str) -> Result<Option<Routing>, Refusal> {
    let mut found = Vec::new();
    if let Some(text) = set.text_of("Weight") {
        let refuse = |constraint: &str| Refusal::validation(text, &format!("{field}.weight"), constraint);
        found.push(Routing::Weight(match text.parse::<i64>() {
            Ok(weight @ 0..=255) => u8::try_from(weight).unwrap_or_default(),
            Ok(256..) => return Err(refuse("have value less than or equal to 255")),
            _ => return Err(refuse("have value greater than or equal to 0")),
        }));
    }
    if let Some(region) = set.text_of("Region") {
        let known = region.split('-').count() >= 3 && region.ends_with(|last: char| last.is_ascii_digit());
        if !known {
            return Err(Refusal::validation(
                region,
                &format!("{field}.region"),
                "satisfy enum value set: [us-east-1, …]",
            ));
        }
        found.push(Routing::Region(region.to_owned()));
    }
    if let Some(place) = set.child("GeoLocation") {
        let part = |name| place.text_of(name).map(str::to_owned);
        let (continent, country, subdivision) = (part("ContinentCode"), part("CountryCode"), part("SubdivisionCode"));
        let sound = match (&continent, &country, &subdivision) {
            (Some(continent), None, None) => CONTINENTS.iter().any(|(code, _)| code == continent),
            (None, Some(country), None) => country == "*" || country.len() == 2,
            (None, Some(country), Some(_)) => country.len() == 2,
            _ => false,
        };
        if !sound {
            return Err(Refusal::invalid_input(format!("Invalid request: Invalid GeoLocation in Change with {with}")));
        }
        found.push(Routing::GeoLocation { continent, country, subdivision });
    }
    if let Some(role) = set.text_of("Failover") {
        if !["PRIMARY", "SECONDARY"].contains(&role) {
            let constraint = "satisfy enum value set: [PRIMARY, SECONDARY]";
            return Err(Refusal::validation(role, &format!("{field}.failover"), constraint));
        }
        found.push(Routing::Failover(role.to_owned()));
    }
    if set.text_of("MultiValueAnswer") == Some("true") {
        found.push(Routing::MultiValue);
    }
    if let Some(place) = set.child("GeoProximityLocation") {
        let bias = place.text_of("Bias").unwrap_or("0");
        let bias = bias.parse::<i8>().ok().filter(|bias| (-99..=99).contains(bias)).ok_or_else(|| {
            Refusal::validation(bias, &format!("{field}.geoProximityLocation.bias"), "have value between -99 and 99")
        })?;
        let part = |name| place.text_of(name).map(str::to_owned);
        let coordinates = place.child("Coordinates").map(|point| {
            (
                point.text_of("Latitude").unwrap_or_default().to_owned(),
                point.text_of("Longitude").unwrap_or_default().to_owned(),
            )
        });
        found.push(Routing::GeoProximity {
            region: part("AWSRegion"),
            local_zone_group: part("LocalZoneGroup"),
            coordinates,
            bias,
        });
    }
    if let Some(config) = set.child("CidrRoutingConfig") {
        let part = |name| config.text_of(name).unwrap_or_default().to_owned();
        found.push(Routing::Cidr { collection: part("CollectionId"), location: part("LocationName") });
    }
    let told = match (found.len(), set.child("SetIdentifier")) {
        (0, Some(_)) => "none",
        (2.., _) => "more than one",
        _ => return Ok(found.pop()),
    };
    Err(Refusal::invalid_input(format!(
        "Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, \
         GeoProximityLocation, or CidrRoutingConfig], but found {told} in Change with {with}"
    )))
}

/// Codes of continents with their names (`GeoLocation`, "`ContinentCode`").
pub(super) const CONTINENTS: &[(&str, &str)] = &[
    ("AF", "Africa"),
    ("AN", "Antarctica"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("OC", "Oceania"),
    ("NA", "North America"),
    ("SA", "South America"),
];
