//! A hosted zone: what stands in it, in what order, and which changes it takes.
//!
//! A batch is taken as a whole or not at all, and its changes one after the other: what a later change needs, an earlier
//! one must have made. Every problem is told, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    alias,
    batch::{Action, CONTINENTS, Change},
    name::Name,
    rdata,
    record::{RecordSet, Routing},
};

/// Most sets of one name and type (Route 53 Developer Guide, "Quotas").
const MAX_SETS: usize = 100;

/// Where a set stands in lists: by name, type and set identifier.
pub(super) type Place = (Vec<u8>, String, Option<String>);

/// A hosted zone.
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) apex: Name,
    pub(super) private: bool,
    pub(super) tags: Vec<(String, String)>,
    sets: BTreeMap<Place, RecordSet>,
}

impl Zone {
    /// A zone with the SOA and NS that the service makes.
    pub(super) fn new(id: String, apex: Name, private: bool, tags: Vec<(String, String)>) -> Self {
        let name = apex.escaped();
        let soa = "ns-1.awsdns-00.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
        let servers =
            ["ns-1.awsdns-00.com.", "ns-513.awsdns-00.net.", "ns-1025.awsdns-00.org.", "ns-1537.awsdns-00.co.uk."];
        let mut zone = Self { id, apex, private, tags, sets: BTreeMap::new() };
        zone.put(RecordSet::new(&name, "NS", 172_800, &servers));
        zone.put(RecordSet::new(&name, "SOA", 900, &[soa]));
        zone
    }

    /// All sets, in the order of lists.
    pub(super) fn sets(&self) -> impl Iterator<Item = &RecordSet> {
        self.sets.values()
    }

    /// How many sets there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The sets from a place on.
    pub(super) fn from(&self, start: &Place) -> impl Iterator<Item = &RecordSet> {
        self.sets.range(start..).map(|(_, set)| set)
    }

    /// Puts a set in without asking.
    pub(super) fn put(&mut self, set: RecordSet) {
        self.sets.insert(place(&set), set);
    }

    /// Takes a set out without asking; true if it was there.
    pub(super) fn remove(&mut self, name: &Name, kind: &str, set_identifier: Option<&str>) -> bool {
        self.sets.remove(&(name.order(), kind.to_owned(), set_identifier.map(str::to_owned))).is_some()
    }

    /// Makes the changes.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; then nothing has changed.
    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        quota: usize,
        checks: &BTreeSet<String>,
    ) -> Result<(), Vec<String>> {
        let mut problems: Vec<String> = changes.iter().flat_map(|change| self.unsound(change)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        problems = repeated(changes);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut before: Vec<(Place, Option<RecordSet>)> = Vec::new();
        for change in changes {
            let found = self.refused(change, checks);
            if !found.is_empty() {
                problems.extend(found);
                continue;
            }
            let place = place(&change.set);
            let old = match change.action {
                Action::Delete => self.sets.remove(&place),
                // A set that says the same in other words stays as it is written.
                Action::Upsert if self.sets.get(&place).is_some_and(|old| same(old, &change.set)) => continue,
                Action::Create | Action::Upsert => self.sets.insert(place.clone(), change.set.clone()),
            };
            before.push((place, old));
        }
        if problems.is_empty() {
            problems = self.incomplete(quota);
        }
        if problems.is_empty() {
            return Ok(());
        }
        for (place, old) in before.into_iter().rev() {
            match old {
                Some(old) => self.sets.insert(place, old),
                None => self.sets.remove(&place),
            };
        }
        Err(problems)
    }

    /// What is wrong with a change in this zone whatever else stands in it.
    fn unsound(&self, change: &Change) -> Vec<String> {
        let set = &change.set;
        let name = match Name::parse(&set.name) {
            Ok(name) => name,
            Err(problem) => return vec![problem],
        };
        let mut problems = Vec::new();
        if !name.lies_in(&self.apex) {
            problems.push(format!("RRSet with DNS name {} is not permitted in zone {}", set.name, self.apex.escaped()));
        }
        if change.action == Action::Delete {
            return problems;
        }
        if set.kind == "CNAME" && name == self.apex {
            let apex = &set.name;
            problems.push(format!("RRSet of type CNAME with DNS name {apex} is not permitted at apex in zone {apex}"));
        }
        if set.kind == "NS" && set.name.starts_with("\\052.") {
            problems.push(format!("RRSet of type NS with DNS name {} is not permitted as a wildcard", set.name));
        }
        if set.kind == "CNAME" && set.values.len() > 1 {
            problems
                .push(format!("RRSet of type CNAME with DNS name {} must have exactly one resource record", set.name));
        }
        let mut seen = BTreeSet::new();
        for value in &set.values {
            match rdata::canonical(&set.kind, value) {
                Err(problem) => problems.push(problem),
                Ok(value) if seen.contains(&value) => problems.push(format!("Duplicate Resource Record: '{value}'")),
                Ok(value) => drop(seen.insert(value)),
            }
        }
        problems
    }

    /// What is wrong with a change as the zone stands.
    fn refused(&self, change: &Change, checks: &BTreeSet<String>) -> Vec<String> {
        let set = &change.set;
        let standing = self.sets.get(&place(set));
        match (change.action, standing) {
            (Action::Delete, None) => {
                return vec![format!("Tried to delete resource record set {} but it was not found", told(set))];
            }
            (Action::Delete, Some(old)) if !same(old, set) => {
                return vec![format!(
                    "Tried to delete resource record set {} but the values provided do not match the current values",
                    told(set)
                )];
            }
            (Action::Delete, Some(_)) => return Vec::new(),
            (Action::Create, Some(_)) => {
                return vec![format!("Tried to create resource record set {} but it already exists", told(set))];
            }
            (Action::Create, None) | (Action::Upsert, _) => {}
        }
        let mut problems = Vec::new();
        let name = place(set).0;
        let beside = || self.sets.range((name.clone(), String::new(), None)..).take_while(|(place, _)| place.0 == name);
        if set.kind == "CNAME" && beside().any(|(_, other)| other.kind != "CNAME") {
            problems.push(format!(
                "RRSet of type CNAME with DNS name {} is not permitted as it conflicts with other records with the same \
                 DNS name in zone {}",
                set.name,
                self.apex.escaped()
            ));
        } else if set.kind != "CNAME" && beside().any(|(_, other)| other.kind == "CNAME") {
            problems.push(format!(
                "RRSet of type {} with DNS name {} is not permitted because a conflicting RRSet of type  CNAME with the \
                 same DNS name already exists in zone {}",
                set.kind,
                set.name,
                self.apex.escaped()
            ));
        }
        let group: Vec<&RecordSet> = beside().map(|(_, other)| other).filter(|other| other.kind == set.kind).collect();
        problems.extend(mixed(set, &group));
        problems.extend(self.unreachable(set));
        if let Some(check) = set.health_check.as_ref().filter(|&check| !checks.contains(check)) {
            problems.push(format!("The health check {check} does not exist."));
        }
        problems
    }

    /// What is wrong with the target of an alias.
    fn unreachable(&self, set: &RecordSet) -> Vec<String> {
        let Some(alias) = &set.alias else { return Vec::new() };
        let told = format!(
            "Tried to create an alias that targets {}, type {} in zone {}",
            alias.name, set.kind, alias.zone_id
        );
        let outside = format!("{told}, but the alias target name does not lie within the target zone");
        let missing = format!("{told}, but that target was not found");
        let Ok(target) = Name::parse(&alias.name) else { return vec![outside] };
        if alias.zone_id != self.id {
            return if alias::holds(&alias.zone_id, &target) == Some(true) {
                Vec::new()
            } else {
                vec![outside, missing]
            };
        }
        let order = target.order();
        let found =
            self.sets.range((order.clone(), set.kind.clone(), None)..).next().is_some_and(|(place, _)| {
                place.0 == order && place.1 == set.kind && !["NS", "SOA"].contains(&&*set.kind)
            });
        match (target.lies_in(&self.apex), found) {
            (false, _) => vec![outside, missing],
            (true, false) => vec![missing],
            (true, true) => Vec::new(),
        }
    }

    /// What is wrong with the zone after all changes.
    fn incomplete(&self, quota: usize) -> Vec<String> {
        let mut problems = Vec::new();
        let apex = self.apex.order();
        if !self.sets.contains_key(&(apex.clone(), "NS".to_owned(), None)) {
            problems.push("A HostedZone must contain at least one NS record for the zone itself.".to_owned());
        }
        if self.sets.values().filter(|set| set.kind == "SOA").count() != 1 {
            problems.push("A HostedZone must contain exactly one SOA record.".to_owned());
        }
        if self.sets.len() > quota {
            problems.push(format!("Exceeded limit MAX_RRSETS_BY_ZONE for zone: {}", self.id));
        }
        problems
    }
}

/// Where a set stands.
fn place(set: &RecordSet) -> Place {
    let order = Name::parse(&set.name).map_or_else(|_| set.name.clone().into_bytes(), |name| name.order());
    (order, set.kind.clone(), set.set_identifier.clone())
}

/// How messages call a set.
fn told(set: &RecordSet) -> String {
    let identifier = set.set_identifier.as_ref().map(|identifier| format!(", set-identifier='{identifier}'"));
    format!("[name='{}', type='{}'{}]", set.name, set.kind, identifier.unwrap_or_default())
}

/// True if both say the same, in whatever words and order.
fn same(one: &RecordSet, other: &RecordSet) -> bool {
    let values = |set: &RecordSet| -> BTreeSet<String> {
        set.values.iter().map(|value| rdata::canonical(&set.kind, value).unwrap_or_else(|_| value.clone())).collect()
    };
    let rest = |set: &RecordSet| RecordSet { values: Vec::new(), ..set.clone() };
    rest(one) == rest(other) && values(one) == values(other)
}

/// A set may be changed once, or deleted and then created.
fn repeated(changes: &[Change]) -> Vec<String> {
    let mut actions: BTreeMap<Place, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        actions.entry(place(&change.set)).or_default().push(change);
    }
    let sound = |changes: &[&Change]| {
        let actions: Vec<Action> = changes.iter().map(|change| change.action).collect();
        matches!(actions[..], [_] | [Action::Delete, Action::Create])
    };
    let bad = actions.into_values().filter(|changes| !sound(changes));
    bad.map(|changes| {
        let RecordSet { kind, name, .. } = &changes[0].set;
        format!("The request contains an invalid set of changes for a resource record set '{kind} {name}'")
    })
    .collect()
}

/// What is wrong with a set among those of its name and type.
fn mixed(set: &RecordSet, group: &[&RecordSet]) -> Vec<String> {
    let RecordSet { name, kind, .. } = set;
    let others = || group.iter().filter(|other| other.set_identifier != set.set_identifier);
    let (Some(routing), Some(identifier)) = (&set.routing, &set.set_identifier) else {
        let alone = others().next().is_none();
        let problem = || {
            format!(
                "RRSet with DNS name {name}, type {kind} cannot be created as other RRSets exist with the same name and type."
            )
        };
        return if alone { Vec::new() } else { vec![problem()] };
    };
    let subject = format!("RRSet with DNS name {name}, type {kind}, SetIdentifier {identifier}");
    let mut problems = Vec::new();
    // The set itself counts too: an update does not change the policy.
    if group.iter().any(|other| !other.routing.as_ref().is_some_and(|other| other.same_policy(routing))) {
        problems.push(match routing {
            Routing::Weight(_) => {
                format!("{subject} cannot be created as a non-weighted set exists with the same name and type.")
            }
            Routing::MultiValue => {
                format!("{subject} cannot be created because a non multivalue answer rrset exists with the same name and type.")
            }
            Routing::Region(region) => format!(
                "{subject}, and Region Name={region} cannot be created because a non-latency RRSet with the same name and \
                 type already exists."
            ),
            Routing::GeoLocation { .. } => format!(
                "{subject}, and routing to [{}] cannot be created because a non-GEO RRSet with the same name and type \
                 already exists.",
                place_of(routing)
            ),
            Routing::Failover(role) => format!(
                "{subject}, and Failover={role} cannot be created because a non-failover RRSet with the same name and type \
                 already exists."
            ),
            Routing::GeoProximity { .. } | Routing::Cidr { .. } => {
                format!("{subject} cannot be created because a RRSet of another policy with the same name and type already exists.")
            }
        });
    }
    match routing {
        Routing::Weight(_) => {
            let different =
                |other: &&&RecordSet| set.ttl.is_some() && other.ttl.is_some_and(|ttl| Some(ttl) != set.ttl);
            if others().any(|other| different(&other)) {
                problems.push(format!(
                    "RRSet with DNS name {name} and type {kind}, SetIdentifier {identifier} cannot be created as weighted \
                     sets must contain the same TTL."
                ));
            }
        }
        Routing::Region(region) if others().any(|other| other.routing.as_ref() == Some(routing)) => {
            problems.push(format!(
                "{subject}, and Region Name={region} cannot be created because a latency RRSet with the same name, type and \
                 region already exists."
            ));
        }
        Routing::GeoLocation { .. } if others().any(|other| other.routing.as_ref() == Some(routing)) => {
            problems.push(format!(
                "{subject}, and routing to [{}] cannot be created because a GEO RRSet with the same name, type and \
                 location already exists.",
                place_of(routing)
            ));
        }
        Routing::Failover(role) => {
            if others().any(|other| other.routing.as_ref() == Some(routing)) {
                problems.push(format!(
                    "{subject}, and Failover={role} cannot be created because a failover RRSet with the same name, type and \
                     role already exists."
                ));
            }
            if role == "PRIMARY" && set.alias.is_none() && set.health_check.is_none() {
                let problem =
                    "A non-alias primary ResourceRecordSet must have an associated health check. No changes made.";
                problems.push(problem.to_owned());
            }
        }
        _ => {}
    }
    if others().count() >= MAX_SETS {
        problems.push(format!(
            "{subject} cannot be created as more than {MAX_SETS} RRSets would exist with the same name and type."
        ));
    }
    problems
}

/// How messages call a place on earth.
fn place_of(routing: &Routing) -> String {
    let Routing::GeoLocation { continent, country, subdivision } = routing else { return String::new() };
    if let Some(code) = continent {
        let name = CONTINENTS.iter().find(|(known, _)| known == code).map_or("", |(_, name)| name);
        return format!("continent = ({code}, {name})");
    }
    let country = country.as_deref().unwrap_or("*");
    subdivision.as_ref().map_or_else(
        || format!("country = ({country})"),
        |subdivision| format!("country = ({country}), subdivision = ({subdivision})"),
    )
}
