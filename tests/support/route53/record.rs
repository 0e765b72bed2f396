//! Record sets in the words of the API.

use super::{name::Name, xml::Writer};

/// A record set as Route 53 keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// In lower case, with octal codes and the final dot: `\052.example.com.`
    pub name: String,
    /// The type, as in `AAAA`.
    pub kind: String,
    /// What tells sets of one name and type apart.
    pub set_identifier: Option<String>,
    /// None for the simple policy.
    pub routing: Option<Routing>,
    /// In seconds; none for an alias.
    pub ttl: Option<u32>,
    /// The text of each record; none for an alias.
    pub values: Vec<String>,
    /// What stands in the place of values.
    pub alias: Option<AliasTarget>,
    /// Of which health check it depends.
    pub health_check: Option<String>,
}

/// A target of Amazon's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasTarget {
    /// Of the service that has the target, or of this zone.
    pub zone_id: String,
    /// In lower case, with the final dot.
    pub name: String,
    /// Whether the target's health decides.
    pub evaluate_target_health: bool,
}

/// How one of several sets is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// 0 to 255.
    Weight(u8),
    /// By latency, as in `eu-central-1`.
    Region(String),
    /// `PRIMARY` or `SECONDARY`.
    Failover(String),
    /// Several healthy values at once.
    MultiValue,
    /// By where the asker is.
    GeoLocation {
        /// As in `EU`.
        continent: Option<String>,
        /// As in `DE`, or `*` for the default.
        country: Option<String>,
        /// As in `CA` of `US`.
        subdivision: Option<String>,
    },
    /// By how near the asker is.
    GeoProximity {
        /// As in `eu-central-1`.
        region: Option<String>,
        /// As in `us-west-2-lax-1`.
        local_zone_group: Option<String>,
        /// Latitude and longitude.
        coordinates: Option<(String, String)>,
        /// -99 to 99.
        bias: i8,
    },
    /// By blocks of addresses.
    Cidr {
        /// The collection's UUID.
        collection: String,
        /// Its location.
        location: String,
    },
}

impl RecordSet {
    /// A simple set.
    ///
    /// # Panics
    ///
    /// If the name is none.
    pub fn new(name: &str, kind: &str, ttl: u32, values: &[&str]) -> Self {
        Self {
            name: Name::parse(name).expect("a test names what can be named").escaped(),
            kind: kind.to_owned(),
            set_identifier: None,
            routing: None,
            ttl: Some(ttl),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            alias: None,
            health_check: None,
        }
    }

    /// An alias.
    ///
    /// # Panics
    ///
    /// If a name is none.
    pub fn alias(name: &str, kind: &str, zone_id: &str, target: &str) -> Self {
        let target = Name::parse(target).expect("a test names what can be named").escaped();
        let alias = AliasTarget { zone_id: zone_id.to_owned(), name: target, evaluate_target_health: false };
        Self { ttl: None, alias: Some(alias), ..Self::new(name, kind, 0, &[]) }
    }

    /// The same as one of several.
    #[must_use]
    pub fn routed(self, set_identifier: &str, routing: Routing) -> Self {
        Self { set_identifier: Some(set_identifier.to_owned()), routing: Some(routing), ..self }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.element("ResourceRecordSet", |set| {
            set.leaf("Name", &self.name);
            set.leaf("Type", &self.kind);
            set.optional("SetIdentifier", self.set_identifier.as_deref());
            if let Some(routing) = &self.routing {
                routing.write(set);
            }
            set.optional("TTL", self.ttl.map(|ttl| ttl.to_string()).as_deref());
            if !self.values.is_empty() {
                set.element("ResourceRecords", |records| {
                    for value in &self.values {
                        records.element("ResourceRecord", |record| record.leaf("Value", value));
                    }
                });
            }
            if let Some(alias) = &self.alias {
                set.element("AliasTarget", |target| {
                    target.leaf("HostedZoneId", &alias.zone_id);
                    target.leaf("DNSName", &alias.name);
                    target.leaf("EvaluateTargetHealth", if alias.evaluate_target_health { "true" } else { "false" });
                });
            }
            set.optional("HealthCheckId", self.health_check.as_deref());
        });
    }
}

impl Routing {
    /// True for the same policy, whatever its parameters.
    pub(super) fn same_policy(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn write(&self, set: &mut Writer) {
        match self {
            Self::Weight(weight) => set.leaf("Weight", &weight.to_string()),
            Self::Region(region) => set.leaf("Region", region),
            Self::Failover(role) => set.leaf("Failover", role),
            Self::MultiValue => set.leaf("MultiValueAnswer", "true"),
            Self::GeoLocation { continent, country, subdivision } => set.element("GeoLocation", |place| {
                place.optional("ContinentCode", continent.as_deref());
                place.optional("CountryCode", country.as_deref());
                place.optional("SubdivisionCode", subdivision.as_deref());
            }),
            Self::GeoProximity { region, local_zone_group, coordinates, bias } => {
                set.element("GeoProximityLocation", |place| {
                    place.optional("AWSRegion", region.as_deref());
                    place.optional("LocalZoneGroup", local_zone_group.as_deref());
                    if let Some((latitude, longitude)) = coordinates {
                        place.element("Coordinates", |point| {
                            point.leaf("Latitude", latitude);
                            point.leaf("Longitude", longitude);
                        });
                    }
                    place.leaf("Bias", &bias.to_string());
                });
            }
            Self::Cidr { collection, location } => set.element("CidrRoutingConfig", |config| {
                config.leaf("CollectionId", collection);
                config.leaf("LocationName", location);
            }),
        }
    }
}
