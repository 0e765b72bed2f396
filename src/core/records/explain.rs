//! Why a name has the answer it has.

use serde::{Deserialize, Serialize};

use super::{claims::Claimant, compose::Winner, compute::Wanted, engine::Engine, status::RecordCondition};
use crate::{
    answer::{Negative, Outcome, QueryName},
    dns::{OwnerName, RecordType},
    model::{RecordKey, RecordKind},
    steering::{Choice, Contribution},
};

/// Everything there is to say about one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked about.
    pub name: OwnerName,
    /// The zone that it is in, if any.
    pub zone: Option<OwnerName>,
    /// One sentence: who holds the name, or why nobody does.
    pub verdict: String,
    /// The record that has the name.
    pub record: Option<RecordExplanation>,
    /// Other records that want the name, oldest first.
    pub losers: Vec<String>,
    /// What to look at next, where the name has no record.
    pub hints: Vec<String>,
}

/// A record behind a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordExplanation {
    /// `Kind namespace/name`.
    pub record: String,
    /// File and line, where it came from a file.
    pub origin: Option<String>,
    /// What the name is to the record: `global level`, `region level us-east-2`, …
    pub role: String,
    /// What stands there: addresses, a climb to another name, or nothing.
    pub holds: String,
    /// Conditions as `Type=Status Reason: message`.
    pub conditions: Vec<String>,
    /// Every cluster, by name.
    pub clusters: Vec<ClusterExplanation>,
}

/// What became of one cluster at one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterExplanation {
    /// The cluster.
    pub cluster: String,
    /// `region/availability-zone,availability-zone`, as far as it is known.
    pub locality: String,
    /// True if its addresses are in the answer at this name.
    pub used: bool,
    /// Its targets with their addresses.
    pub targets: Vec<String>,
    /// Why.
    pub reason: String,
}

/// What a name is to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Global,
    Region(String),
    AvailabilityZone(String, String),
    Prefix,
    Host,
}

impl Engine {
    /// Why `name` has the answer it has.
    pub fn explain(&self, name: &OwnerName) -> Explanation {
        let zone = self.zones.zone_of(name).map(|index| &self.zones.list[index]);
        let published = self.published();
        let winner = published.winner(name);
        let losers = self.losers(name, winner.as_ref());
        let apex = zone.map(|zone| zone.apex.clone());
        let mut explanation = Explanation {
            name: name.clone(),
            zone: apex,
            verdict: String::new(),
            record: None,
            losers,
            hints: Vec::new(),
        };
        let Some(zone) = zone else {
            explanation.verdict = match &winner {
                Some(winner) => {
                    format!("{name} is in no zone of this server; {} publishes it elsewhere", winner.claimant().key())
                }
                None => format!("{name} is in no zone of this server, so queries for it are refused"),
            };
            explanation.hints = self.zones_hint();
            explanation.record = winner.map(|winner| self.explain_record(name, winner.claimant()));
            return explanation;
        };
        if published.is_reserved(name) {
            let fixed = zone.static_zone.as_ref().is_some_and(|one| one.names.contains_key(name));
            let holder =
                if fixed { "static records of the zone" } else { "the zone itself (its servers and delegations)" };
            explanation.verdict = format!("{name} is held by {holder}");
        } else if let Some(winner) = &winner {
            let record = self.explain_record(name, winner.claimant());
            explanation.verdict = format!("{name} is the {} of {}", record.role, record.record);
            explanation.record = Some(record);
        } else if let Some(owners) = self.foreign.owners(name) {
            let whose = if owners.contains(", ") { "which are" } else { "which is" };
            explanation.verdict = format!("{name} comes from {owners}, {whose} not ours");
        } else if *name == zone.apex {
            explanation.verdict = format!("{name} is the apex of a zone");
        } else if !self.exists(name) {
            explanation.verdict = format!("no record, no static record and no DNSEndpoint gives {name}");
            explanation.hints = self.missing_hints(name);
        } else if let Some(wildcard) = self.wildcard_over(name, &zone.apex) {
            // What there is to say of the name is what there is to say of the wildcard.
            let over = self.explain(&wildcard);
            explanation.verdict = format!("{name} is covered by a wildcard: {}", over.verdict);
            explanation.record = over.record;
        } else {
            explanation.verdict =
                format!("{name} holds nothing itself, and exists because names lie below it (RFC 8020)");
        }
        explanation
    }

    /// True if queries for the name are answered with NOERROR.
    fn exists(&self, name: &OwnerName) -> bool {
        let mut asked = QueryName::new();
        let found = asked.read(name.as_wire()).and_then(|_| self.snapshot().find_zone(&asked, RecordType::A));
        found.and_then(|(zone, apex)| Some((zone.authoritative()?, apex))).is_some_and(|(zone, apex)| {
            !matches!(zone.lookup(&asked, apex, RecordType::A), Outcome::Negative(Negative::NxDomain))
        })
    }

    /// The wildcard closest above the name, if there is one (RFC 4592).
    fn wildcard_over(&self, name: &OwnerName, apex: &OwnerName) -> Option<OwnerName> {
        let zone = self.snapshot().zone(apex)?;
        let above = std::iter::successors(name.parent(), OwnerName::parent);
        let wildcards = above.take_while(|above| above.is_at_or_below(apex)).filter_map(|above| above.child(b"*").ok());
        wildcards.into_iter().find(|wildcard| zone.entry(wildcard).is_some())
    }

    /// What the levels of a record look like: a global, a region and an availability-zone name with addresses, of
    /// the record that has most such names. Empty where none has all three.
    pub fn example_names(&self) -> Vec<(&'static str, OwnerName)> {
        let services = self.records.iter().filter(|(key, _)| key.kind == RecordKind::Service);
        // The first of those that have equally many.
        let best = services.rev().max_by_key(|(_, state)| state.names_with_addresses().count());
        let Some((key, state)) = best else { return Vec::new() };
        let mut found = std::collections::BTreeMap::new();
        for name in state.names_with_addresses() {
            let level = match self.role(name, key) {
                Role::Global => (0, "global"),
                Role::Region(_) => (1, "region"),
                Role::AvailabilityZone(..) => (2, "availability zone"),
                Role::Prefix | Role::Host => continue,
            };
            found.entry(level).or_insert(name);
        }
        if found.len() < 3 {
            return Vec::new();
        }
        found.into_iter().map(|((_, level), name)| (level, name.clone())).collect()
    }

    fn losers(&self, name: &OwnerName, winner: Option<&Winner<'_>>) -> Vec<String> {
        let reserved = self.published().is_reserved(name);
        let lost = |claimant: &&Claimant| reserved || winner.is_none_or(|winner| winner.claimant() != *claimant);
        self.claimants(name).into_iter().filter(lost).map(|claimant| claimant.key().to_string()).collect()
    }

    fn explain_record(&self, name: &OwnerName, claimant: &Claimant) -> RecordExplanation {
        let key = claimant.key();
        let role = self.role(name, &key);
        let origin = self.record_object(&key).and_then(|object| object.origin.clone());
        let conditions = self.record_status(&key).map_or_else(Vec::new, |status| status.conditions);
        let contributions =
            self.context().compute(&key, true).map_or_else(Vec::new, |computed| computed.chosen.contributions);
        let clusters: Vec<ClusterExplanation> =
            contributions.iter().map(|one| self.explain_cluster(one, &role)).collect();
        let state = self.records.get(&key);
        let holds = match state.and_then(|state| state.wanted(name)) {
            Some(Wanted::Addresses(_)) => {
                let used = clusters.iter().filter(|one| one.used).count();
                format!("addresses of {used} of {} clusters", clusters.len())
            }
            Some(Wanted::Climb(_)) => "empty, climbs by CNAME to the level above".to_owned(),
            Some(Wanted::Prefix(_)) if self.published().holds_global(claimant) => "CNAME to the global name".to_owned(),
            Some(Wanted::Prefix(_)) => {
                "nothing, because the record does not hold its global name with addresses".to_owned()
            }
            None if role != Role::Global && state.is_some_and(|state| state.climb.is_some()) => {
                "empty, climbs by CNAME to the level above".to_owned()
            }
            None => "nothing: no cluster has a target that may be used".to_owned(),
        };
        RecordExplanation {
            record: key.to_string(),
            origin: origin.map(|origin| format!("{}:{}", origin.file, origin.line)),
            role: role.to_string(),
            holds,
            conditions: conditions.iter().map(RecordCondition::to_string).collect(),
            clusters,
        }
    }

    /// A cluster gives its addresses to the levels it is in.
    fn explain_cluster(&self, one: &Contribution, role: &Role) -> ClusterExplanation {
        let locality = self.clusters.states.get(&one.cluster).map(|state| &state.locality);
        let region = locality.and_then(|locality| locality.region.as_deref());
        let here = match role {
            Role::Global | Role::Prefix | Role::Host => true,
            Role::Region(label) => region == Some(label),
            Role::AvailabilityZone(label, in_region) => {
                region == Some(in_region)
                    && locality
                        .is_some_and(|locality| locality.availability_zones.iter().any(|other| **other == **label))
            }
        };
        let elsewhere = one.choice.is_used() && !here;
        let mut reason = one.choice.to_string();
        if elsewhere {
            reason = format!("{reason}, but it is not at this level");
        }
        for problem in &one.problems {
            reason = format!("{reason}; {problem}");
        }
        let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        let mut targets: Vec<String> = one.targets.iter().map(ToString::to_string).collect();
        targets.retain(|target| !addresses.contains(target));
        targets.extend(addresses);
        ClusterExplanation {
            cluster: one.cluster.to_string(),
            locality: locality.map_or_else(String::new, |locality| {
                let zones: Vec<&str> = locality.availability_zones.iter().map(AsRef::as_ref).collect();
                format!("{}/{}", region.unwrap_or("-"), if zones.is_empty() { "-".to_owned() } else { zones.join(",") })
            }),
            used: one.choice.is_used() && here,
            targets: if one.choice == Choice::NotPlaced { Vec::new() } else { targets },
            reason,
        }
    }

    fn role(&self, name: &OwnerName, key: &RecordKey) -> Role {
        let state = self.records.get(key);
        let Some(global) = state.and_then(|state| state.global.as_ref()) else {
            return if key.kind == RecordKind::Ingress { Role::Host } else { Role::Prefix };
        };
        if name == global {
            return Role::Global;
        }
        if !self.context().globals_above(name).contains(global) {
            return Role::Prefix;
        }
        // The labels between the record's own and the apex: one for a region, two for an availability zone.
        let own = global.labels().zip(name.labels()).take_while(|(a, b)| a == b).count();
        let added = name.label_count() - global.label_count();
        let labels: Vec<String> =
            name.labels().skip(own).take(added).map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        match &labels[..] {
            [availability_zone, region] => Role::AvailabilityZone(availability_zone.clone(), region.clone()),
            [region] => Role::Region(region.clone()),
            _ => Role::Prefix,
        }
    }

    fn zones_hint(&self) -> Vec<String> {
        let apexes: Vec<String> = self.zones.list.iter().map(|zone| zone.apex.to_string()).collect();
        match &apexes[..] {
            [] => vec!["this server has no zone at all: there is no Domain, and settings name none".to_owned()],
            apexes => vec![format!("zones here: {}", apexes.join(", "))],
        }
    }

    /// What a person may have meant, and findings that may be the cause.
    fn missing_hints(&self, name: &OwnerName) -> Vec<String> {
        let mut hints = Vec::new();
        let text = name.to_string();
        let label = |index| name.labels().nth(index).map(String::from_utf8_lossy).unwrap_or_default();
        let (first, second) = (label(0), label(1));
        for (key, state) in &self.records {
            // The same first label, or the same namespace as second: one of the two is easily mistyped.
            let near = *key.name.name == *first
                || key.kind == RecordKind::Service && *key.name.namespace == *second
                || state.findings.iter().any(|finding| finding.message.contains(&text));
            if !near {
                continue;
            }
            let causes = state.findings.iter().map(|finding| format!("{key}: {}", finding.message));
            hints.extend(causes);
            if let Some(global) = &state.global {
                hints.push(format!("{key} gives {global} and its levels"));
            }
        }
        hints.truncate(10);
        hints
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Global => f.write_str("global level"),
            Self::Region(region) => write!(f, "region level {region}"),
            Self::AvailabilityZone(label, region) => write!(f, "availability zone level {label} in {region}"),
            Self::Prefix => f.write_str("dnsPrefix name"),
            Self::Host => f.write_str("host"),
        }
    }
}

impl std::fmt::Display for RecordCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = if self.status { "True" } else { "False" };
        write!(f, "{}={status} {}: {}", self.condition_type, self.reason, self.message)
    }
}
