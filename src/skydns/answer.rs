//! Which records follow from the services of a name.

use std::{collections::HashSet, hash::Hash, net::IpAddr};

use mcdns_core::{
    answer::{Elsewhere, OtherQuestion, OtherZone as _, Part, Records, Verdict},
    dns::{OwnerName, RecordType, Ttl},
};

use crate::{
    key::strip,
    lookup::{Reach, Service, Services, exists, services},
    store::{Entry, Host, HostType, Keys},
    zone::SkyDnsZone,
};

/// Aliases that may stand in front of another in a chain.
const MAX_CHAIN: usize = 10;
/// So many are searched one by one, before a table of them is worth it.
const FEW: usize = 16;
/// Octets of a character string (RFC 1035 section 3.3).
const LONGEST_STRING: usize = 255;
/// Port of a service that has none.
const NO_PORT: i64 = -1;
/// RDATA of an SRV record has no less: three numbers and the root (RFC 2782).
const LEAST_SRV: usize = 7;
/// Weight of a service that says none.
const DEFAULT_WEIGHT: i64 = 100;

/// The name does not exist.
struct NameError;

type Found = Result<(), NameError>;

/// One question on its way.
struct Answering<'a, 'r> {
    zone: &'a SkyDnsZone,
    keys: &'a Keys,
    now: u64,
    elsewhere: &'r mut dyn Elsewhere,
    records: &'r mut Records,
    /// Something that belongs into the answer could not be read.
    unreadable: bool,
}

/// A record that leads to another name.
#[derive(Clone, Copy)]
struct Alias<'n, 'a> {
    name: &'n [u8],
    ttl: Ttl,
    target: &'a OwnerName,
    part: Part,
    /// What is wanted of that name.
    record_type: RecordType,
}

/// Answers a question; see [`OtherZone::answer`](mcdns_core::answer::OtherZone::answer).
pub(crate) fn answer(
    zone: &SkyDnsZone,
    keys: &Keys,
    question: &OtherQuestion<'_>,
    elsewhere: &mut dyn Elsewhere,
    records: &mut Records,
) -> Verdict {
    let OtherQuestion { name, record_type, part, now } = *question;
    let name = name.as_wire();
    let before = records.mark(part);
    let mut answering = Answering { zone, keys, now, elsewhere, records, unreadable: false };
    let found = match record_type {
        RecordType::A | RecordType::AAAA => answering.addresses(name, record_type, part, &mut Vec::new()),
        RecordType::TXT => answering.texts(name, part, &mut Vec::new()),
        RecordType::CNAME => answering.alias(name, part),
        RecordType::PTR => answering.pointers(name, part),
        RecordType::SRV => answering.servers(name, part),
        RecordType::MX => answering.exchanges(name, part),
        RecordType::SOA => {
            answering.soa(part);
            Ok(())
        }
        RecordType::NS if name == zone.names().apex.as_wire() => answering.name_servers(part),
        _ => answering.presence(name),
    };
    let unreadable = answering.unreadable;
    match found {
        Err(NameError) => Verdict::NxDomain,
        Ok(()) if records.mark(part) != before => Verdict::Positive,
        Ok(()) if unreadable => Verdict::Failure,
        // Be it that something is behind what was looked at: who hears of a failure asks again, which costs as much.
        Ok(()) => Verdict::NoData,
    }
}

impl<'a> Answering<'a, '_> {
    fn services(&mut self, name: &[u8], record_type: RecordType, reach: Reach) -> Result<Services<'a>, NameError> {
        let services = services(self.keys, name, record_type, reach, self.records).ok_or(NameError)?;
        self.unreadable |= services.unreadable;
        Ok(services)
    }

    fn ttl(&self, service: &Service<'_>) -> Ttl {
        service.ttl(self.keys, self.zone.limits(), self.now)
    }

    /// For types that nothing is stored of, it matters only whether the name exists.
    fn presence(&mut self, name: &[u8]) -> Found {
        let names = self.zone.names();
        let special = name == names.apex.as_wire() && exists(self.keys, names.apex_dns.as_wire());
        if special || exists(self.keys, name) { Ok(()) } else { Err(NameError) }
    }

    /// A or AAAA, and the aliases that lead to them. `before` are the targets of aliases that led here.
    fn addresses(
        &mut self,
        name: &[u8],
        record_type: RecordType,
        part: Part,
        before: &mut Vec<&'a OwnerName>,
    ) -> Found {
        let names = self.zone.names();
        let special = if name == names.apex.as_wire() {
            self.services(names.apex_dns.as_wire(), record_type, Reach::Below).ok()
        } else {
            None
        };
        let mut services = match special {
            Some(services) => services,
            None => self.services(name, record_type, Reach::Below)?,
        };
        let mut seen = Seen::default();
        while let Some(service) = services.next(self.records) {
            match (&service.entry.host, record_type) {
                (Host::V4(address), RecordType::A) if seen.is_new(IpAddr::V4(*address)) => {
                    let ttl = self.ttl(&service);
                    self.records.push(part, name, record_type, ttl, |out| out.extend_from_slice(&address.octets()));
                }
                (Host::V6(address), RecordType::AAAA) if seen.is_new(IpAddr::V6(*address)) => {
                    let ttl = self.ttl(&service);
                    self.records.push(part, name, record_type, ttl, |out| out.extend_from_slice(&address.octets()));
                }
                (Host::Name(target), _) if service.entry.host_type() == HostType::Cname => {
                    let ttl = self.ttl(&service);
                    let alias = Alias { name, ttl, target, part, record_type };
                    self.chase(alias, before, |answering, before| {
                        answering.addresses(target.as_wire(), record_type, part, before)
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn texts(&mut self, name: &[u8], part: Part, before: &mut Vec<&'a OwnerName>) -> Found {
        let mut seen = Seen::default();
        let mut services = self.services(name, RecordType::TXT, Reach::Below)?;
        while let Some(service) = services.next(self.records) {
            let entry = service.entry;
            match (entry.host_type(), &entry.host) {
                (HostType::Cname, Host::Name(target)) => {
                    let ttl = self.ttl(&service);
                    let alias = Alias { name, ttl, target, part, record_type: RecordType::TXT };
                    self.chase(alias, before, |answering, before| answering.texts(target.as_wire(), part, before));
                }
                (HostType::Txt, _) if seen.is_new(&*entry.text) => {
                    let ttl = self.ttl(&service);
                    self.records.push(part, name, RecordType::TXT, ttl, |out| push_text(out, entry.text.as_bytes()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An alias and what it leads to; nothing where it leads to nothing within the zone.
    fn chase(
        &mut self,
        alias: Alias<'_, 'a>,
        before: &mut Vec<&'a OwnerName>,
        next: impl FnOnce(&mut Self, &mut Vec<&'a OwnerName>) -> Found,
    ) {
        let Alias { name, ttl, target, part, record_type } = alias;
        // A name answers with what is below it, so that an alias to a name below would be found again and again.
        if is_at_or_below(target, name) || before.len() > MAX_CHAIN || before.contains(&target) {
            return;
        }
        let start = self.records.mark(part);
        self.records.push(part, name, RecordType::CNAME, ttl, |out| out.extend_from_slice(target.as_wire()));
        let behind = self.records.mark(part);
        if target.is_at_or_below(&self.zone.names().apex) {
            before.push(target);
            // A name that does not exist leads to nothing, as one without records.
            let _ = next(self, before);
            before.pop();
            if self.records.mark(part) == behind {
                self.records.back_to(start);
            }
        } else if !self.elsewhere.look_up(target.as_wire(), record_type, part, self.records) {
            self.records.back_to(start);
        }
    }

    fn alias(&mut self, name: &[u8], part: Part) -> Found {
        let mut services = self.services(name, RecordType::CNAME, Reach::Exact)?;
        if let Some(service) = services.next(self.records)
            && let Host::Name(target) = &service.entry.host
        {
            let ttl = self.ttl(&service);
            self.records.push(part, name, RecordType::CNAME, ttl, |out| out.extend_from_slice(target.as_wire()));
        }
        Ok(())
    }

    fn pointers(&mut self, name: &[u8], part: Part) -> Found {
        let mut seen = Seen::default();
        let mut services = self.services(name, RecordType::PTR, Reach::Exact)?;
        while let Some(service) = services.next(self.records) {
            if let Host::Name(target) = &service.entry.host
                && seen.is_new(target)
            {
                let ttl = self.ttl(&service);
                self.records.push(part, name, RecordType::PTR, ttl, |out| out.extend_from_slice(target.as_wire()));
            }
        }
        Ok(())
    }

    fn servers(&mut self, name: &[u8], part: Part) -> Found {
        let services = self.all_servers(name)?;
        let weights = Weights::of(&services);
        let (mut targets, mut addresses, mut looked_up) = (Seen::default(), Seen::default(), Seen::default());
        for service in &services {
            if !self.records.has_room() {
                break;
            }
            let entry = service.entry;
            // As many bits as CoreDNS sends.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "CoreDNS cuts them off too")]
            let port = entry.port as u16;
            if entry.port == NO_PORT {
                continue;
            }
            let weight = weights.weight(entry.priority, entry.weight);
            let ttl = self.ttl(service);
            let numbers = [entry.priority, weight, port];
            let data = |out: &mut Vec<u8>, target: &OwnerName| {
                for number in numbers {
                    out.extend_from_slice(&number.to_be_bytes());
                }
                out.extend_from_slice(target.as_wire());
            };
            match (entry.host_type(), &entry.host, &entry.target) {
                (HostType::Cname, Host::Name(host), _) => {
                    let target = strip(host, entry.strip);
                    self.records.push(part, name, RecordType::SRV, ttl, |out| data(out, &target));
                    if looked_up.is_new(target.clone()) {
                        self.addresses_of(&target);
                    }
                }
                (HostType::A | HostType::Aaaa, host, Some(target)) => {
                    if targets.is_new((target, port)) {
                        self.records.push(part, name, RecordType::SRV, ttl, |out| data(out, target));
                    }
                    self.add(target, host, ttl, &mut addresses);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All services that SRV records are made of, as weights want to know them; no more than the answer can have.
    fn all_servers(&mut self, name: &[u8]) -> Result<Vec<Service<'a>>, NameError> {
        let mut services = self.services(name, RecordType::SRV, Reach::Below)?;
        let most = self.records.most(LEAST_SRV);
        let (mut list, mut targets, mut count) = (Vec::new(), Seen::default(), 0);
        while count <= most
            && let Some(service) = services.next(self.records)
        {
            list.push(service);
            let Entry { port, host, target, .. } = service.entry;
            let has_record = match (service.entry.host_type(), host, target) {
                (HostType::Cname, Host::Name(_), _) => true,
                (HostType::A | HostType::Aaaa, _, Some(target)) => targets.is_new((target, *port)),
                _ => false,
            };
            count += usize::from(has_record && *port != NO_PORT);
        }
        Ok(list)
    }

    fn exchanges(&mut self, name: &[u8], part: Part) -> Found {
        let (mut targets, mut addresses, mut looked_up) = (Seen::default(), Seen::default(), Seen::default());
        let mut services = self.services(name, RecordType::MX, Reach::Below)?;
        while let Some(service) = services.next(self.records) {
            let entry = service.entry;
            let ttl = self.ttl(&service);
            let data = |out: &mut Vec<u8>, target: &OwnerName| {
                out.extend_from_slice(&entry.priority.to_be_bytes());
                out.extend_from_slice(target.as_wire());
            };
            match (entry.host_type(), &entry.host, &entry.target, &entry.name) {
                (HostType::Cname, Host::Name(host), ..) => {
                    let target = strip(host, entry.strip);
                    self.records.push(part, name, RecordType::MX, ttl, |out| data(out, &target));
                    if looked_up.is_new(target.clone()) {
                        self.addresses_of(&target);
                    }
                }
                (HostType::A | HostType::Aaaa, host, Some(target), Some(key)) => {
                    if targets.is_new((target, entry.priority)) {
                        self.records.push(part, name, RecordType::MX, ttl, |out| data(out, target));
                    }
                    // CoreDNS does not take labels off here.
                    self.add(key, host, ttl, &mut addresses);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn name_servers(&mut self, part: Part) -> Found {
        let names = self.zone.names();
        let (mut servers, mut addresses) = (Seen::default(), Seen::default());
        let mut services = self.services(names.ns_dns.as_wire(), RecordType::NS, Reach::Below)?;
        while let Some(service) = services.next(self.records) {
            let entry = service.entry;
            match (entry.host_type(), &entry.target) {
                // It has to be an address. Where no other is one, that is worth an error.
                (HostType::Cname, _) => self.unreadable = true,
                (HostType::A | HostType::Aaaa, Some(target)) => {
                    let ttl = self.ttl(&service);
                    if servers.is_new(target) {
                        let data = |out: &mut Vec<u8>| out.extend_from_slice(target.as_wire());
                        self.records.push(part, names.apex.as_wire(), RecordType::NS, ttl, data);
                    }
                    self.add(target, &entry.host, ttl, &mut addresses);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn soa(&mut self, part: Part) {
        let soa = self.zone.soa();
        let data = soa.data();
        let apex = self.zone.names().apex.as_wire();
        self.records.push(part, apex, RecordType::SOA, soa.ttl, |out| out.extend_from_slice(&data));
    }

    /// Addresses of a target, in the additional section: from the zone, where CoreDNS looks for IPv4 alone, or from others.
    fn addresses_of(&mut self, target: &OwnerName) {
        if !target.is_at_or_below(&self.zone.names().apex) {
            for record_type in [RecordType::A, RecordType::AAAA] {
                // A second time what an alias leads to is told once.
                self.elsewhere.look_up(target.as_wire(), record_type, Part::Additional, self.records);
            }
            return;
        }
        let unreadable = self.unreadable;
        // The target may be missing.
        let _ = self.addresses(target.as_wire(), RecordType::A, Part::Additional, &mut Vec::new());
        self.unreadable = unreadable;
    }

    /// An address in the additional section.
    fn add<'e>(&mut self, owner: &'e OwnerName, host: &Host, ttl: Ttl, seen: &mut Seen<(&'e OwnerName, IpAddr)>) {
        let (address, record_type) = match host {
            Host::V4(address) => (IpAddr::V4(*address), RecordType::A),
            Host::V6(address) => (IpAddr::V6(*address), RecordType::AAAA),
            _ => return,
        };
        if seen.is_new((owner, address)) {
            self.records.push(Part::Additional, owner.as_wire(), record_type, ttl, |out| match address {
                IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            });
        }
    }
}

/// Sums of weights by priority.
struct Weights(Vec<(u16, i64)>);

impl Weights {
    fn of(services: &[Service<'_>]) -> Self {
        let mut sums: Vec<(u16, i64)> = Vec::new();
        for Service { entry, .. } in services {
            let weight = if entry.weight == 0 { DEFAULT_WEIGHT } else { entry.weight };
            match sums.iter_mut().find(|(priority, _)| *priority == entry.priority) {
                Some((_, sum)) => *sum = sum.saturating_add(weight),
                None => sums.push((entry.priority, weight)),
            }
        }
        Self(sums)
    }

    /// Hundredths of the sum, at least one, in the arithmetic of CoreDNS.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as there"
    )]
    fn weight(&self, priority: u16, weight: i64) -> u16 {
        let sum = self.0.iter().find(|(other, _)| *other == priority).map_or(1, |(_, sum)| *sum);
        let own = if weight == 0 { DEFAULT_WEIGHT } else { weight };
        let share = 100.0 / sum as f64 * own as f64;
        (share.floor() as u16).max(1)
    }
}

/// What was there before.
struct Seen<T> {
    few: Vec<T>,
    many: HashSet<T>,
}

impl<T: Eq + Hash> Seen<T> {
    fn is_new(&mut self, value: T) -> bool {
        if self.few.contains(&value) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(value);
            return true;
        }
        self.many.insert(value)
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { few: Vec::new(), many: HashSet::new() }
    }
}

fn is_at_or_below(name: &OwnerName, ancestor: &[u8]) -> bool {
    let mut rest = name.as_wire();
    loop {
        if rest == ancestor {
            return true;
        }
        match rest.first() {
            Some(&length) if length > 0 => rest = rest.get(1 + usize::from(length)..).unwrap_or_default(),
            _ => return false,
        }
    }
}

/// RDATA of the TXT record that CoreDNS makes of a text: cut into strings, with backslashes taken for escapes.
pub fn text_rdata(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_text(&mut out, text.as_bytes());
    out
}

/// Character strings of a TXT record as CoreDNS makes them: pieces of 255 octets, with an empty one behind the last if it is
/// full, and in each a backslash stands for what follows it (RFC 1035 section 5.1).
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let last: &[&[u8]] = if !text.is_empty() && text.len().is_multiple_of(LONGEST_STRING) { &[&[]] } else { &[] };
    for piece in text.chunks(LONGEST_STRING).chain(last.iter().copied()) {
        let at = out.len();
        out.push(0);
        let mut rest = piece;
        while let Some((&octet, behind)) = rest.split_first() {
            rest = behind;
            if octet != b'\\' {
                out.push(octet);
                continue;
            }
            let Some((&first, behind)) = rest.split_first() else { break };
            rest = behind;
            match decimal(first, behind) {
                Some(octet) => {
                    out.push(octet);
                    rest = behind.get(2..).unwrap_or_default();
                }
                None => out.push(first),
            }
        }
        out[at] = u8::try_from(out.len() - at - 1).unwrap_or(u8::MAX);
    }
}

/// Three digits; their number modulo 256, as Go's library counts.
fn decimal(first: u8, behind: &[u8]) -> Option<u8> {
    let [second, third, ..] = *behind else { return None };
    let digits = [first, second, third];
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| digits.iter().fold(0_u8, |sum, digit| sum.wrapping_mul(10).wrapping_add(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        push_text(&mut out, text.as_bytes());
        let mut rest = out.as_slice();
        let mut strings = Vec::new();
        while let Some((&length, behind)) = rest.split_first() {
            let (string, next) = behind.split_at(usize::from(length));
            strings.push(string.to_vec());
            rest = next;
        }
        strings
    }

    #[test]
    fn a_text_is_cut_into_strings() {
        for (length, wanted) in [
            (1, &[1][..]),
            (254, &[254]),
            (255, &[255, 0]),
            (256, &[255, 1]),
            (510, &[255, 255, 0]),
            (511, &[255, 255, 1]),
        ] {
            let lengths: Vec<usize> = strings(&"0".repeat(length)).iter().map(Vec::len).collect();
            assert_eq!(lengths, wanted, "{length}");
        }
    }

    #[test]
    fn a_backslash_stands_for_what_follows_it() {
        assert_eq!(strings(r#""a\"b\\c\065\"#), [b"\"a\"b\\cA".to_vec()]);
        assert_eq!(strings(r"\6\65x"), [b"665x".to_vec()]);
    }
}
