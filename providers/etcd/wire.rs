//! Groups as keys and values, and back.
//!
//! ```text
//!   www  A 192.0.2.1 (cluster east)   /skydns/org/example/www/=…   {"host":"192.0.2.1","port":-1,"ttl":60,"targetstrip":1,
//!                                                                   "group":"www.example.org","owner":"prod","cluster":"east"}
//!   www  CNAME x.example.net          /skydns/org/example/www      {"host":"x.example.net","port":-1,…}
//!   www  TXT "v=1"                    /skydns/org/example/www/=…   {"host":"www.example.org","text":"v=1",…}
//!   s    SRV 10 5 443 h.example.net   /skydns/org/example/s/=…     {"host":"h.example.net","port":443,"priority":10,"weight":5,…}
//!   m    MX 10 h.example.net          /skydns/org/example/m/=…     {"host":"h.example.net","port":-1,"priority":10,"mail":true,…}
//!   apex A 192.0.2.1                  /skydns/org/example/dns/apex/=…
//!   apex NS ns1.ns.dns.example.org    /skydns/org/example/dns/ns/ns1/=…
//! ```
//!
//! CoreDNS tells types by what a service has. So that each answers its own questions alone:
//! * port -1 keeps addresses and aliases out of SRV;
//! * a text has its own name as host, which CoreDNS takes for an alias to itself and leaves out, while `group` counts;
//! * priority 65536 is 0, since 0 is 10 (CoreDNS keeps 16 bits);
//! * where the apex has no address, an alias to itself keeps questions for one from being answered with the whole zone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use mcdns_core::{
    dns::{OwnerName, RecordType, rdata_target},
    plan::{Content, Group, ManagerId, Ownership, RecordSet, WantedName},
};
use mcdns_publish::Unpublishable;
use mcdns_skydns::{Prefix, Service, Target, is_target_label, text_rdata};

/// What CoreDNS takes for 0.
const PRIORITY_ZERO: i64 = 1 << 16;
/// Keeps a service out of SRV.
const NO_PORT: i64 = -1;
/// Properties of a set of addresses: which clusters give an address.
const CLUSTER: &str = "cluster/";
/// Properties of the NS set: addresses of a name server.
const ADDRESS: &str = "address/";
/// Labels that a question cannot have without being a wildcard for CoreDNS.
const WILDCARDS: [&[u8]; 2] = [b"any", b"*"];

/// How one manager writes.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) prefix: Prefix,
    pub(crate) manager: ManagerId,
    /// Name servers of every zone, by the label in front of `ns.dns.<zone>`.
    pub(crate) name_servers: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) key: Vec<u8>,
    pub(crate) value: String,
}

/// Where an alias stands; see [`Names`](crate::names::Names). One of both at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// At the name's own key, where CoreDNS looks for the type CNAME.
    pub(crate) at: bool,
    /// Below it, where CoreDNS looks first for everything else.
    pub(crate) below: bool,
}

impl Place {
    /// Where nothing else is near.
    pub(crate) const ORDINARY: Self = Self { at: true, below: false };
}

/// One key as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) owner: OwnerName,
    pub(crate) ownership: Ownership,
    /// None for a service that stands for no record.
    pub(crate) record: Option<Record>,
}

/// One record.
#[expect(clippy::struct_field_names, reason = "`type` is taken by the language")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) record_type: RecordType,
    pub(crate) ttl: u32,
    pub(crate) data: Box<[u8]>,
    /// A property of the set, of which several may be one.
    pub(crate) property: Option<(String, String)>,
}

/// A key that stands for no record that can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Names that it may be of.
    pub(crate) owners: Vec<OwnerName>,
    pub(crate) words: String,
}

/// Where the apex keeps its addresses and its name servers.
pub(crate) fn apex_names(apex: &OwnerName) -> Option<(OwnerName, OwnerName)> {
    let dns = apex.child(b"dns").ok()?;
    Some((dns.child(b"apex").ok()?, dns.child(b"ns").ok()?))
}

impl Wire {
    /// The form in which a name is held.
    pub(crate) fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        let (owner, apex) = (&wanted.owner, &wanted.apex);
        self.check_name(owner, apex)?;
        check_types(wanted)?;
        let mut sets = Vec::new();
        for rrset in &wanted.rrsets {
            let record_type = rrset.record_type;
            // 0 says nothing there; CoreDNS would make 300 of it.
            let ttl = rrset.ttl.max(1);
            let mut set = RecordSet::data(record_type, ttl, rrset.data().iter().cloned());
            match record_type {
                RecordType::A | RecordType::AAAA => {
                    for data in rrset.data() {
                        let Some(address) = address(data) else { continue };
                        if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
                            return Err(Unpublishable(format!("{address} is an IPv4 address for CoreDNS")));
                        }
                        let gives = wanted.targets.iter().filter(|target| target.addresses.contains(&address));
                        let clusters: BTreeSet<&str> = gives.map(|target| target.cluster.as_ref()).collect();
                        if !clusters.is_empty() {
                            let clusters: Vec<&str> = clusters.into_iter().collect();
                            set.properties.insert(format!("{CLUSTER}{address}"), clusters.join(","));
                        }
                    }
                }
                RecordType::TXT => {
                    let texts =
                        rrset.data().iter().map(|data| text_as_answered(data)).collect::<Result<Vec<_>, _>>()?;
                    set = RecordSet::data(record_type, ttl, texts);
                }
                RecordType::NS => set = self.name_server_set(apex, ttl)?,
                RecordType::SRV => set = RecordSet::data(record_type, ttl, weights_as_stored(rrset.data())),
                _ => {}
            }
            if matches!(record_type, RecordType::CNAME | RecordType::PTR | RecordType::MX | RecordType::SRV) {
                for data in rrset.data() {
                    check_host(record_type, data)?;
                }
            }
            sets.push(set);
        }
        Ok(Group::new(owner.clone(), sets))
    }

    fn check_name(&self, owner: &OwnerName, apex: &OwnerName) -> Result<(), Unpublishable> {
        let refuse = |words: &str| Err(Unpublishable(words.to_owned()));
        if owner.labels().any(|label| WILDCARDS.contains(&label)) {
            return refuse("CoreDNS takes the labels `*` and `any` of a question for wildcards");
        }
        if owner.labels().any(is_target_label) || self.prefix.key(owner).is_none() {
            return refuse("a label has a slash, or begins with `=`, which keys cannot have");
        }
        let Some((addresses, servers)) = apex_names(apex) else {
            return refuse("the zone is too long for keys");
        };
        if owner.is_at_or_below(&addresses) || owner.is_at_or_below(&servers) {
            return refuse("CoreDNS keeps what belongs to the apex there");
        }
        // With the label in front, which counts for CoreDNS as one.
        if owner.child(&[b'='; 25]).is_err() {
            return refuse("the name is too long for keys: 26 octets have to be left");
        }
        Ok(())
    }

    fn name_server_set(&self, apex: &OwnerName, ttl: u32) -> Result<RecordSet, Unpublishable> {
        let too_long = |_| Unpublishable("the zone is too long for keys".to_owned());
        let mut set = RecordSet::data(RecordType::NS, ttl, []);
        let Some((_, servers)) = apex_names(apex) else {
            return Err(Unpublishable("the zone is too long for keys".to_owned()));
        };
        let mut data = BTreeSet::new();
        for (label, addresses) in &self.name_servers {
            data.insert(servers.child(label.as_bytes()).map_err(too_long)?.as_wire().into());
            // Sorted as a reading sorts them.
            let addresses: BTreeSet<String> = addresses.iter().map(ToString::to_string).collect();
            let addresses: Vec<String> = addresses.into_iter().collect();
            set.properties.insert(format!("{ADDRESS}{label}"), addresses.join(","));
        }
        set.content = Content::Data(data);
        Ok(set)
    }

    /// All keys of a group that [`Wire::translate`] gave, or that was read of ours, sorted.
    pub(crate) fn pairs(&self, apex: &OwnerName, group: &Group, place: Place) -> Vec<Pair> {
        let owner = group.owner();
        let mut pairs = Vec::new();
        let apex_names = (owner == apex).then(|| apex_names(apex)).flatten();
        let address_owner = apex_names.as_ref().map_or(owner, |(addresses, _)| addresses);
        let text = owner.to_string();
        let service = |ttl| Service {
            ttl,
            group: text.clone(),
            owner: self.manager.as_str().to_owned(),
            port: NO_PORT,
            ..Service::default()
        };
        for set in group.sets() {
            let Content::Data(data) = &set.content else { continue };
            let (record_type, base) = (set.record_type, service(set.ttl.unwrap_or_default()));
            for data in data {
                match record_type {
                    RecordType::A | RecordType::AAAA => {
                        let Some(address) = address(data) else { continue };
                        let host = address.to_string();
                        let clusters = set.properties.get(&format!("{CLUSTER}{address}")).map_or("", |list| list);
                        for cluster in clusters.split(',') {
                            let service = Service {
                                host: host.clone(),
                                cluster: cluster.to_owned(),
                                targetstrip: 1,
                                ..base.clone()
                            };
                            pairs.extend(self.pair(address_owner, record_type, &host, &service));
                        }
                    }
                    RecordType::CNAME => {
                        let host = target(record_type, data);
                        if place.at {
                            let service = Service { host: host.clone(), ..base.clone() };
                            pairs.extend(self.own_pair(owner, &service));
                        }
                        if place.below {
                            let service = Service { host: host.clone(), targetstrip: 1, ..base.clone() };
                            pairs.extend(self.pair(owner, record_type, &host, &service));
                        }
                    }
                    RecordType::PTR => {
                        let service = Service { host: target(record_type, data), ..base.clone() };
                        pairs.extend(self.own_pair(owner, &service));
                    }
                    RecordType::TXT => {
                        let written = written_text(&strings(data));
                        let host = text.clone();
                        let service = Service { host, text: written.clone(), targetstrip: 1, ..base.clone() };
                        pairs.extend(self.pair(owner, record_type, &written, &service));
                    }
                    RecordType::MX => {
                        let host = target(record_type, data);
                        let priority = priority(number(data, 0));
                        let label = format!("{priority} {host}");
                        // CoreDNS would take labels off the host.
                        let service = Service { host, priority, mail: true, ..base.clone() };
                        pairs.extend(self.pair(owner, record_type, &label, &service));
                    }
                    RecordType::SRV => {
                        let host = target(record_type, data);
                        let (priority, weight) = (priority(number(data, 0)), i64::from(number(data, 2)));
                        let port = i64::from(number(data, 4));
                        let label = format!("{priority} {weight} {port} {host}");
                        let service = Service { host, port, priority, weight, ..base.clone() };
                        pairs.extend(self.pair(owner, record_type, &label, &service));
                    }
                    RecordType::NS => pairs.extend(self.name_server_pairs(set, data, &base)),
                    _ => {}
                }
            }
        }
        if let Some((addresses, _)) = &apex_names
            && !group.is_empty()
            && !group.sets().iter().any(|set| matches!(set.record_type, RecordType::A | RecordType::AAAA))
        {
            let service = Service { host: text.clone(), targetstrip: 1, ..service(0) };
            pairs.extend(self.pair(addresses, RecordType::CNAME, &text, &service));
        }
        pairs.sort();
        pairs.dedup_by(|a, b| a.key == b.key);
        pairs
    }

    fn name_server_pairs(&self, set: &RecordSet, data: &[u8], base: &Service) -> Vec<Pair> {
        let Some(name) = rdata_target(RecordType::NS, data) else { return Vec::new() };
        let label = name.labels().next().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let addresses = set.properties.get(&format!("{ADDRESS}{label}")).map_or("", |list| list);
        let pair = |host: &str| {
            let service = Service { host: host.to_owned(), targetstrip: 1, ..base.clone() };
            self.pair(&name, RecordType::NS, host, &service)
        };
        addresses.split(',').filter(|host| !host.is_empty()).filter_map(pair).collect()
    }

    fn pair(&self, owner: &OwnerName, record_type: RecordType, target: &str, service: &Service) -> Option<Pair> {
        let target = Target { record_type, target, cluster: &service.cluster, manager: self.manager.as_str() };
        let mut key = self.prefix.key(owner)?;
        key.push(b'/');
        key.extend_from_slice(target.label().as_bytes());
        Some(Pair { key, value: service.encode() })
    }

    fn own_pair(&self, owner: &OwnerName, service: &Service) -> Option<Pair> {
        Some(Pair { key: self.prefix.key(owner)?, value: service.encode() })
    }

    /// What a key says.
    pub(crate) fn read(&self, apex: &OwnerName, key: &[u8], value: &[u8]) -> Result<Read, Bad> {
        let shown = String::from_utf8_lossy(key);
        let name = self.prefix.name(key);
        let service = match Service::decode(value) {
            Ok(service) => service,
            Err(error) => {
                let words = format!("the value of key {shown} is bad: {error}");
                let label = name.iter().filter(|name| name.labels().next().is_some_and(is_target_label));
                let parents = label.filter_map(OwnerName::parent).collect::<Vec<_>>();
                return Err(Bad { owners: name.iter().cloned().chain(parents).collect(), words });
            }
        };
        let name =
            name.map_err(|error| Bad { owners: Vec::new(), words: format!("key {shown} is no name: {error}") })?;
        let ownership = match service.owner.as_str() {
            "" => Ownership::Unowned,
            owner if owner == self.manager.as_str() => Ownership::Ours,
            owner => Ownership::Foreign(owner.to_owned()),
        };
        if let Some((addresses, servers)) = apex_names(apex) {
            if name.is_below(&servers) {
                let record = name_server(&name, &service);
                return Ok(Read { owner: apex.clone(), ownership, record });
            }
            if name.is_at_or_below(&addresses) {
                let record = record(&service, apex, ownership == Ownership::Ours);
                let record = record.filter(|one| matches!(one.record_type, RecordType::A | RecordType::AAAA));
                return Ok(Read { owner: apex.clone(), ownership, record });
            }
        }
        // Where so many labels are taken off that it would leave the zone, it is where its key says.
        let owner = self.prefix.owner(key, &service).ok().filter(|owner| owner.is_at_or_below(apex)).unwrap_or(name);
        let record = record(&service, &owner, ownership == Ownership::Ours);
        Ok(Read { owner, ownership, record })
    }
}

/// What a service stands for, as CoreDNS tells by what it has.
fn record(service: &Service, owner: &OwnerName, is_ours: bool) -> Option<Record> {
    let ttl = service.ttl;
    let of = |record_type, data: Vec<u8>| Some(Record { record_type, ttl, data: data.into(), property: None });
    let address = match service.host.parse() {
        Ok(IpAddr::V6(address)) => Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)),
        Ok(address) => Some(address),
        Err(_) => None,
    };
    if let Some(address) = address {
        let (record_type, data) = match address {
            IpAddr::V4(address) => (RecordType::A, address.octets().to_vec()),
            IpAddr::V6(address) => (RecordType::AAAA, address.octets().to_vec()),
        };
        let cluster = &service.cluster;
        let property = (!cluster.is_empty()).then(|| (format!("{CLUSTER}{address}"), cluster.clone()));
        return Some(Record { property, ..of(record_type, data)? });
    }
    if !service.text.is_empty() {
        return of(RecordType::TXT, text_rdata(&service.text));
    }
    let host = OwnerName::parse(&service.host).ok()?;
    let numbers = |numbers: &[i64]| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "CoreDNS cuts them off too")]
        let octets = numbers.iter().flat_map(|number| (*number as u16).to_be_bytes());
        octets.chain(host.as_wire().iter().copied()).collect::<Vec<u8>>()
    };
    let priority = if service.priority == 0 { 10 } else { service.priority };
    if service.mail {
        of(RecordType::MX, numbers(&[priority]))
    } else if service.port > 0 || is_ours && service.port != NO_PORT {
        of(RecordType::SRV, numbers(&[priority, service.weight, service.port]))
    } else if is_reverse(owner) {
        of(RecordType::PTR, host.as_wire().to_vec())
    } else {
        of(RecordType::CNAME, host.as_wire().to_vec())
    }
}

fn name_server(name: &OwnerName, service: &Service) -> Option<Record> {
    let address: IpAddr = service.host.parse().ok()?;
    let mut target = name.clone();
    for _ in 0..service.targetstrip.clamp(0, 127) {
        target = target.parent().filter(|parent| !parent.is_root()).unwrap_or(target);
    }
    let label = target.labels().next().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    let property = Some((format!("{ADDRESS}{label}"), address.to_string()));
    Some(Record { record_type: RecordType::NS, ttl: service.ttl, data: target.as_wire().into(), property })
}

fn check_types(wanted: &WantedName) -> Result<(), Unpublishable> {
    let refuse = |words: &str| Err(Unpublishable(words.to_owned()));
    let has = |record_type| wanted.rrset(record_type).is_some();
    let hosts = has(RecordType::MX) || has(RecordType::SRV);
    let addresses = !wanted.is_apex() && (has(RecordType::A) || has(RecordType::AAAA));
    if hosts && (addresses || has(RecordType::CNAME) || has(RecordType::TXT)) {
        return refuse(
            "CoreDNS would take the hosts of MX and SRV for aliases of the name, beside its addresses and texts; give \
             them a name of their own",
        );
    }
    if has(RecordType::NS) && !wanted.is_apex() {
        return refuse("CoreDNS knows no delegations");
    }
    if has(RecordType::CNAME) && (wanted.is_apex() || is_reverse(&wanted.owner)) {
        return refuse("a CNAME at the apex or in a reverse zone is something else for CoreDNS");
    }
    if has(RecordType::PTR) && !is_reverse(&wanted.owner) {
        return refuse("a PTR outside in-addr.arpa and ip6.arpa is a CNAME for CoreDNS");
    }
    if wanted.rrset(RecordType::PTR).is_some_and(|rrset| rrset.data().len() > 1) {
        return refuse("a name has one PTR at most, at its own key");
    }
    Ok(())
}

fn check_host(record_type: RecordType, data: &[u8]) -> Result<(), Unpublishable> {
    let Some(host) = rdata_target(record_type, data) else {
        return Err(Unpublishable(format!("a {record_type} has no host")));
    };
    if host.is_root() || host.to_string().parse::<IpAddr>().is_ok() {
        return Err(Unpublishable(format!("the host `{host}` of a {record_type} is none for CoreDNS")));
    }
    Ok(())
}

/// The text that CoreDNS answers with: the same octets, cut where it cuts.
fn text_as_answered(data: &[u8]) -> Result<Box<[u8]>, Unpublishable> {
    let octets = strings(data);
    if octets.is_empty() {
        return Err(Unpublishable("an empty TXT says nothing in a key".to_owned()));
    }
    let answered = text_rdata(&written_text(&octets));
    if strings(&answered) != octets {
        return Err(Unpublishable("CoreDNS would cut a TXT in the middle of an escaped octet".to_owned()));
    }
    Ok(answered.into())
}

/// Weight 0 is 100 for CoreDNS, so that it is 1 beside others of its priority.
fn weights_as_stored(data: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
    let weighted: BTreeSet<u16> = data.iter().filter(|data| number(data, 2) > 0).map(|data| number(data, 0)).collect();
    let stored = data.iter().map(|data| {
        let mut data = data.clone();
        if number(&data, 2) == 0 && weighted.contains(&number(&data, 0)) {
            data[2..4].copy_from_slice(&1_u16.to_be_bytes());
        }
        data
    });
    stored.collect()
}

/// The octets of all strings of a TXT record.
fn strings(data: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((&length, behind)) = rest.split_first() {
        let length = usize::from(length).min(behind.len());
        octets.extend_from_slice(&behind[..length]);
        rest = &behind[length..];
    }
    octets
}

/// A text as CoreDNS reads it: with backslashes escaped, and octets that are no UTF-8.
fn written_text(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for octet in chunk.invalid() {
            // A text takes everything.
            let _ = write!(text, "\\{octet:03}");
        }
    }
    text
}

pub(crate) fn is_reverse(owner: &OwnerName) -> bool {
    let mut labels: Vec<&[u8]> = owner.labels().collect();
    let top = labels.pop();
    top == Some(b"arpa") && labels.pop().is_some_and(|label| label == b"in-addr" || label == b"ip6")
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn target(record_type: RecordType, data: &[u8]) -> String {
    rdata_target(record_type, data).map(|name| name.to_string()).unwrap_or_default()
}

fn number(data: &[u8], at: usize) -> u16 {
    data.get(at..at + 2).and_then(|octets| octets.try_into().ok()).map_or(0, u16::from_be_bytes)
}

fn priority(number: u16) -> i64 {
    if number == 0 { PRIORITY_ZERO } else { number.into() }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
