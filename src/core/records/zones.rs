//! The zones of the federation: which there are, who serves them, and which zone a name is in.
//!
//! A Domain is a zone, and so is a zone of the settings. One below another is a child, and the parent holds
//! its delegation with glue. Several Domains of one `domain` make one zone; the oldest names its servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    INFRASTRUCTURE_TTL, NameServer, Options, StaticZone,
    foreign::add,
    options::{SoaOptions, default_soa},
    wire::{NameMap, WireKey, address_rrsets},
};
use crate::{
    answer::{Levels, Soa},
    check::{Finding, FindingCode},
    dns::{OwnerName, RecordType, Rrset},
    model::{DomainFact, Fact, Kind, Model, NamespacedName, Object, ObjectKey, Timestamp},
};

/// A Domain that counts.
#[derive(Debug, Clone)]
pub(crate) struct DomainInfo {
    pub(crate) apex: OwnerName,
    /// Who may claim names; everybody when absent.
    pub(crate) allowed_namespaces: Option<Vec<Arc<str>>>,
    created: Option<Timestamp>,
    pub(crate) name: Arc<str>,
    name_server: Option<NameServer>,
}

/// One zone.
#[derive(Debug)]
pub(crate) struct ZoneInfo {
    pub(crate) apex: OwnerName,
    /// Its Domains, oldest first; empty for a zone of static records alone.
    pub(crate) domains: Vec<DomainInfo>,
    pub(crate) soa: Soa,
    pub(crate) static_zone: Option<Arc<StaticZone>>,
    /// What the zone holds by itself: NS at the apex, addresses of its name servers, delegations with glue.
    pub(crate) generated: BTreeMap<OwnerName, Vec<Rrset>>,
    /// Addresses of a name server that has the name of the apex; a host there takes their place.
    pub(crate) apex_addresses: Vec<Rrset>,
    /// Names inside it where no record may stand: of name servers with addresses, and the generated one.
    server_names: BTreeSet<OwnerName>,
    /// True if level names of this zone's Domains can fall into a child zone, or mean two things: then each
    /// level is an entry of its own instead of an implied one.
    pub(crate) expanded: bool,
    pub(crate) name_servers: Vec<NameServer>,
}

/// All zones, and the way from a name to its zone.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    pub(crate) list: Vec<ZoneInfo>,
    by_apex: NameMap<usize>,
    domains: BTreeMap<Arc<str>, DomainInfo>,
    pub(crate) findings: Vec<Finding>,
}

impl Zones {
    pub(crate) fn build(model: &Model, options: &Options, levels: &Levels) -> Self {
        let mut findings = Vec::new();
        let domains = read_domains(model, options, &mut findings);
        let mut apexes: BTreeSet<OwnerName> = domains.values().map(|domain| domain.apex.clone()).collect();
        apexes.extend(options.zones.iter().map(|zone| zone.apex.clone()));
        let mut list = Vec::new();
        for apex in apexes {
            let mut here: Vec<DomainInfo> = domains.values().filter(|domain| domain.apex == apex).cloned().collect();
            here.sort_by_key(|domain| (domain.created.unwrap_or(Timestamp(i64::MAX)), domain.name.clone()));
            if let [first, others @ ..] = &here[..] {
                findings.extend(others.iter().map(|other| shared_apex(first, other, model, options)));
            }
            list.push(zone(apex, here, options));
        }
        let by_apex = list.iter().enumerate().map(|(index, zone)| (zone.apex.clone(), index)).collect();
        let mut zones = Self { list, by_apex, domains, findings };
        zones.settle_servers();
        zones.delegate();
        zones.expand_where_needed(levels);
        zones
    }

    /// The Domain that a record refers to.
    pub(crate) fn domain(&self, name: &str) -> Option<&DomainInfo> {
        self.domains.get(name)
    }

    /// The zone that a name is in: the deepest whose apex is at or above it.
    pub(crate) fn zone_of(&self, name: &OwnerName) -> Option<usize> {
        let mut wire = name.as_wire();
        loop {
            if let Some(&index) = self.by_apex.get(&WireKey(wire)) {
                return Some(index);
            }
            let (&length, rest) = wire.split_first()?;
            if length == 0 {
                return None;
            }
            wire = &rest[usize::from(length)..];
        }
    }

    /// The zone with this apex.
    pub(crate) fn by_apex(&self, apex: &OwnerName) -> Option<&ZoneInfo> {
        self.by_apex.get(apex).map(|&index| &self.list[index])
    }

    /// Names in zones of Domains that static records or name servers hold, so that no record can have them.
    pub(crate) fn reserved_names(&self) -> impl Iterator<Item = &OwnerName> {
        let zones = self.list.iter().filter(|zone| !zone.domains.is_empty());
        zones.flat_map(|zone| {
            let fixed = zone.static_zone.iter().flat_map(|static_zone| static_zone.names.keys());
            fixed.chain(&zone.server_names)
        })
    }

    /// True if a zone of this apex (wire format) has Domains, so that level names are made in it.
    pub(crate) fn has_domains(&self, apex: &[u8]) -> bool {
        self.by_apex.get(&WireKey(apex)).is_some_and(|&index| !self.list[index].domains.is_empty())
    }

    /// A zone's server may have a name in a zone below. Both zones hold its addresses then, and the same ones.
    fn settle_servers(&mut self) {
        for index in 0..self.list.len() {
            for position in 0..self.list[index].name_servers.len() {
                let NameServer { name, addresses } = self.list[index].name_servers[position].clone();
                let Some(holder) = self.zone_of(&name).filter(|&holder| holder != index) else { continue };
                let (zone, below) = (&self.list[index], &self.list[holder]);
                if !below.apex.is_below(&zone.apex) {
                    continue;
                }
                let addresses = below.addresses_of(&name).unwrap_or(addresses);
                self.list[holder].add_server(&name, &addresses);
                self.list[index].add_server(&name, &addresses);
                self.list[index].name_servers[position].addresses = addresses;
            }
        }
    }

    /// Puts the delegation of each child, with glue, into the zone above it.
    fn delegate(&mut self) {
        for child in 0..self.list.len() {
            let apex = self.list[child].apex.clone();
            let Some(parent) = apex.parent().and_then(|above| self.zone_of(&above)) else { continue };
            // Between master files alone, they say themselves what is delegated.
            if self.list[child].domains.is_empty() && self.list[parent].domains.is_empty() {
                continue;
            }
            let servers = self.list[child].name_servers.clone();
            let parent = &mut self.list[parent];
            let taken = |name: &OwnerName| {
                parent.static_zone.as_ref().is_some_and(|static_zone| static_zone.names.contains_key(name))
            };
            if taken(&apex) {
                continue;
            }
            let glue: Vec<(OwnerName, Vec<Rrset>)> = servers
                .iter()
                .filter(|server| server.name.is_at_or_below(&apex) && !taken(&server.name))
                .map(|server| (server.name.clone(), address_rrsets(&server.addresses, INFRASTRUCTURE_TTL)))
                .collect();
            // The addresses of a server of the parent's own may be there already.
            add(parent.generated.entry(apex).or_default(), name_server_rrset(&servers));
            for (name, rrsets) in glue.into_iter().filter(|(_, rrsets)| !rrsets.is_empty()) {
                let here = parent.generated.entry(name).or_default();
                for rrset in rrsets {
                    add(here, rrset);
                }
            }
        }
    }

    /// Level labels stand between `svc` and the apex, so names of a zone reach a child zone only through a
    /// child whose last label above the apex is `svc` or a region; and a level label `svc` reads two ways.
    fn expand_where_needed(&mut self, levels: &Levels) {
        let ambiguous = levels.regions.iter().any(|(region, availability_zones)| {
            &**region == "svc" || availability_zones.iter().any(|label| &**label == "svc")
        });
        let apexes: Vec<OwnerName> = self.list.iter().map(|zone| zone.apex.clone()).collect();
        for zone in &mut self.list {
            let count = zone.apex.label_count();
            let reached = apexes.iter().filter(|other| other.is_below(&zone.apex)).any(|child| {
                let above = child.label_count() - count - 1;
                child.labels().nth(above).is_some_and(|label| {
                    label == b"svc" || str::from_utf8(label).is_ok_and(|label| levels.regions.contains_key(label))
                })
            });
            zone.expanded = ambiguous || reached;
        }
    }
}

impl ZoneInfo {
    /// True if all its Domains let the namespace claim names in it.
    pub(crate) fn allows(&self, namespace: &str) -> bool {
        self.domains.iter().all(|domain| domain.allows(namespace))
    }

    /// Why a record may not have `name`, or no CNAME there; none if it may.
    pub(crate) fn refuses(&self, name: &OwnerName, alias: bool) -> Option<String> {
        if self.server_names.contains(name) {
            Some(format!("the name belongs to a name server of {}", self.apex))
        } else if alias && *name == self.apex {
            Some("a CNAME cannot stand at the apex of a zone (RFC 1912 section 2.4)".to_owned())
        } else if alias && self.name_servers.iter().any(|server| server.name == *name) {
            Some("an NS record must not point to a CNAME (RFC 2181 section 10.3)".to_owned())
        } else {
            let dname = self.static_above(name, RecordType::DNAME)?;
            Some(format!("no name may stand below the DNAME at {dname} (RFC 6672 section 2.4)"))
        }
    }

    /// The static delegation that `name` lies below, so that this server refers to others instead of answering.
    pub(crate) fn delegation_above(&self, name: &OwnerName) -> Option<OwnerName> {
        self.static_above(name, RecordType::NS).filter(|owner| *owner != self.apex)
    }

    /// The closest name above `name` at which static records have an RRset of this type.
    fn static_above(&self, name: &OwnerName, record_type: RecordType) -> Option<OwnerName> {
        let static_zone = self.static_zone.as_deref()?;
        let mut above = name.parent();
        while let Some(owner) = above.filter(|owner| owner.is_at_or_below(&self.apex)) {
            let rrsets = static_zone.names.get(&owner).map_or(&[][..], Vec::as_slice);
            if rrsets.iter().any(|rrset| rrset.record_type == record_type) {
                return Some(owner);
            }
            above = owner.parent();
        }
        None
    }

    /// Puts the addresses of a name server into the zone.
    fn add_server(&mut self, name: &OwnerName, addresses: &[IpAddr]) {
        let rrsets = address_rrsets(addresses, INFRASTRUCTURE_TTL);
        if rrsets.is_empty() {
            return;
        }
        if *name == self.apex {
            self.apex_addresses = rrsets;
        } else {
            self.server_names.insert(name.clone());
            self.generated.insert(name.clone(), rrsets);
        }
    }

    /// Addresses that the zone gives a name server, of its own or in static records; none if it has none.
    fn addresses_of(&self, name: &OwnerName) -> Option<Vec<IpAddr>> {
        let own = self.name_servers.iter().find(|server| server.name == *name).map(|server| server.addresses.clone());
        let fixed = || self.static_zone.as_deref().map(|static_zone| static_addresses(static_zone, name));
        own.filter(|addresses| !addresses.is_empty()).or_else(fixed).filter(|addresses| !addresses.is_empty())
    }
}

fn zone(apex: OwnerName, domains: Vec<DomainInfo>, options: &Options) -> ZoneInfo {
    let set = options.zones.iter().find(|zone| zone.apex == apex);
    let static_zone = set.and_then(|zone| zone.static_zone.clone());
    let static_servers = static_zone.as_deref().map_or_else(Vec::new, |static_zone| servers_of(static_zone, &apex));
    // What a master file says of its own servers is left as it is, also where an address is missing.
    let as_written = !static_servers.is_empty() && set.is_none_or(|zone| zone.name_servers.is_empty());
    let name_servers = match (set.map(|zone| &zone.name_servers[..]), domains.first()) {
        (Some(servers @ [_, ..]), _) => servers.to_vec(),
        _ if !static_servers.is_empty() => static_servers,
        (_, Some(DomainInfo { name_server: Some(server), .. })) => vec![server.clone()],
        _ => vec![default_server(&apex, options.advertise.clone())],
    };
    let name_servers: Vec<NameServer> = name_servers
        .into_iter()
        .map(|server| {
            // A name inside the zone that nobody gives an address would make the zone lame.
            let known = static_zone.as_ref().is_some_and(|zone| zone.names.contains_key(&server.name));
            let orphan = !as_written && server.addresses.is_empty() && server.name.is_at_or_below(&apex) && !known;
            if orphan { NameServer { addresses: options.advertise.clone(), ..server } } else { server }
        })
        .collect();
    let generated = BTreeMap::from([(apex.clone(), vec![name_server_rrset(&name_servers)])]);
    let primary = name_servers.first().map_or_else(|| apex.clone(), |server| server.name.clone());
    let base = match static_zone.as_deref() {
        Some(static_zone) => static_zone.soa.clone(),
        None => default_soa(&apex, primary),
    };
    let soa = set.map_or(&SoaOptions::default(), |zone| &zone.soa).over(base);
    let mut zone = ZoneInfo {
        apex,
        domains,
        soa,
        static_zone,
        generated,
        apex_addresses: Vec::new(),
        server_names: BTreeSet::new(),
        expanded: false,
        name_servers,
    };
    for NameServer { name, addresses } in zone.name_servers.clone() {
        if name.is_at_or_below(&zone.apex) {
            zone.add_server(&name, &addresses);
        }
        if name == default_server(&zone.apex, Vec::new()).name && name != zone.apex {
            zone.server_names.insert(name);
        }
    }
    zone
}

fn default_server(apex: &OwnerName, addresses: Vec<IpAddr>) -> NameServer {
    NameServer { name: apex.child(b"ns1").unwrap_or_else(|_| apex.clone()), addresses }
}

/// The name servers that static records give, with the addresses that they give.
fn servers_of(static_zone: &StaticZone, apex: &OwnerName) -> Vec<NameServer> {
    let at_apex = static_zone.names.get(apex).map_or(&[][..], Vec::as_slice);
    let targets = at_apex.iter().filter(|rrset| rrset.record_type == RecordType::NS).flat_map(Rrset::data);
    let names = targets.filter_map(|data| OwnerName::from_wire(data).ok());
    names.map(|name| NameServer { addresses: static_addresses(static_zone, &name), name }).collect()
}

fn static_addresses(static_zone: &StaticZone, name: &OwnerName) -> Vec<IpAddr> {
    let rrsets = static_zone.names.get(name).map_or(&[][..], Vec::as_slice);
    let address = |data: &[u8]| match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    };
    rrsets
        .iter()
        .filter(|rrset| matches!(rrset.record_type, RecordType::A | RecordType::AAAA))
        .flat_map(|rrset| rrset.data().iter().filter_map(|data| address(data)))
        .collect()
}

fn name_server_rrset(servers: &[NameServer]) -> Rrset {
    let data = servers.iter().map(|server| server.name.as_wire().into()).collect();
    Rrset::new(RecordType::NS, INFRASTRUCTURE_TTL, data)
}

fn read_domains(model: &Model, options: &Options, findings: &mut Vec<Finding>) -> BTreeMap<Arc<str>, DomainInfo> {
    let mut domains = BTreeMap::new();
    for (key, object) in &model.domains {
        let Fact::Domain(fact) = &object.fact else { continue };
        if key.namespace != options.system_namespace {
            findings.push(
                about(
                    FindingCode::DomainNamespace,
                    key,
                    object,
                    "the Domain does not count outside the system namespace",
                )
                .field("metadata.namespace")
                .help(format!("move it to {}", options.system_namespace)),
            );
            continue;
        }
        match OwnerName::parse_host(&fact.domain, false) {
            Ok(apex) => {
                let name_server = read_name_server(key, object, fact, &apex, options, findings);
                domains.insert(
                    key.name.clone(),
                    DomainInfo {
                        apex,
                        allowed_namespaces: fact.allowed_namespaces.clone(),
                        created: object.created,
                        name: key.name.clone(),
                        name_server,
                    },
                );
            }
            Err(error) => findings.push(
                about(FindingCode::DomainName, key, object, &format!("`{}` is no zone name: {error}", fact.domain))
                    .field("domain")
                    .help("write a host name such as example.com"),
            ),
        }
    }
    domains
}

/// A name is the NS target, an address is the address of `ns1.<apex>`.
fn read_name_server(
    key: &NamespacedName,
    object: &Object,
    fact: &DomainFact,
    apex: &OwnerName,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Option<NameServer> {
    let written = fact.name_server.as_deref().filter(|written| !written.is_empty())?;
    if let Ok(address) = written.parse::<IpAddr>() {
        return Some(default_server(apex, vec![address.to_canonical()]));
    }
    match OwnerName::parse_host(written, false) {
        Ok(name) => Some(NameServer { name, addresses: Vec::new() }),
        Err(error) => {
            let server = default_server(apex, options.advertise.clone()).name;
            findings.push(
                about(FindingCode::NameServer, key, object, &format!("`{written}` is no name server: {error}"))
                    .field("nameServer")
                    .help(format!("write a host name or an IP address; until then the zone has {server}")),
            );
            None
        }
    }
}

fn shared_apex(first: &DomainInfo, other: &DomainInfo, model: &Model, options: &Options) -> Finding {
    let key = NamespacedName { namespace: options.system_namespace.clone(), name: other.name.clone() };
    let message = format!("Domain {} has {} too; both make names in the one zone", first.name, other.apex);
    let finding = match model.domains.get(&key) {
        Some(object) => about(FindingCode::DomainShared, &key, object, &message),
        None => Finding::new(FindingCode::DomainShared, message),
    };
    finding.field("domain").help(format!(
        "the older one, {}, names the servers; give one of them another domain if that is not meant",
        first.name
    ))
}

fn about(code: FindingCode, key: &NamespacedName, object: &Object, message: &str) -> Finding {
    let key = ObjectKey::host(Kind::Domain, &key.namespace, &key.name);
    Finding::new(code, message).about(key).at_origin(object.origin.as_ref())
}
