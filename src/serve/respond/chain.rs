//! One answer on its way from name to name (RFC 1034 section 4.3.2).
//!
//! ```text
//!   name ──► zone ──► outcome ──┬─► RRset, referral or negative: done
//!     ▲                         │
//!     └──── alias: next name ───┘   (at most 16 of them)
//! ```
//!
//! A chain of aliases is answered whole, through all zones of the snapshot, with the RCODE of its end (RFC 6604
//! section 3). Names in what we write are not compressed but for owners, so that the target of an alias stands
//! in the message in full and can be the owner of what follows.

use mcdns_core::{
    answer::{AuthoritativeZone, EncodedRrset, Negative, Outcome, QueryName, Snapshot, Zone},
    dns::RecordType,
};

use super::Scratch;
use crate::{
    message::{Message, Owner, Section},
    rcode::{NOERROR, NXDOMAIN, REFUSED, YXDOMAIN},
    request::HEADER,
    wire::{FARTHEST, MAX_NAME},
};

/// Octets of a compression pointer.
const POINTER: usize = 2;
/// Records in front of one that are searched for the same name.
const REPEATED: usize = 16;
/// Aliases that one answer follows. Resolvers give up at about as many.
pub(super) const MAX_CHAIN: usize = 16;

/// One answer on its way from name to name.
pub(super) struct Chain<'c, 'm> {
    pub(super) snapshot: &'c Snapshot,
    /// The name that is looked up now.
    pub(super) name: &'c mut QueryName,
    pub(super) scratch: &'c mut Scratch,
    pub(super) message: &'c mut Message<'m>,
    /// Tag of the first name's zone; 0 in the beginning.
    pub(super) zone: u64,
    /// As in [`Reply::source`](super::Reply::source).
    pub(super) source: usize,
}

/// What follows from one name of a chain.
pub(super) enum Step {
    /// The answer is complete.
    Done(u16),
    /// Go on with the name that stands at this octet of the message.
    Next(usize),
    /// There is no room.
    Full,
}

impl Chain<'_, '_> {
    /// Looks the name up, and what it leads to; returns the RCODE. REFUSED, and nothing written, where no zone has it.
    #[inline]
    pub(super) fn follow(&mut self, record_type: RecordType) -> u16 {
        // Octet of the message at which each name of the chain stands; a message has less than 65,536.
        let mut places = [0_u16; MAX_CHAIN];
        let mut place = HEADER;
        for link in 0..MAX_CHAIN {
            let step = match self.snapshot.find_zone(self.name, record_type) {
                Some((Zone::Authoritative(zone), apex)) => self.step(zone, apex, place, record_type),
                Some((Zone::Other(zone), apex)) => self.step_other(&**zone, apex, place, record_type),
                // The chain leads to somebody else's zone; who asked goes on from there.
                None => return if link == 0 { REFUSED } else { NOERROR },
            };
            match step {
                Step::Done(rcode) => return rcode,
                Step::Full => {
                    self.message.truncated = true;
                    return NOERROR;
                }
                Step::Next(next) => {
                    places[link] = u16::try_from(place).unwrap_or(u16::MAX);
                    if link + 1 == MAX_CHAIN || !self.read_next(next) || self.is_among(&places[..=link]) {
                        return NOERROR;
                    }
                    place = next;
                }
            }
        }
        NOERROR
    }

    /// Writes what `zone` says to the name, which stands in the message at `place`.
    #[inline]
    fn step(&mut self, zone: &AuthoritativeZone, apex: usize, place: usize, record_type: RecordType) -> Step {
        match zone.find_answer(self.name, apex, record_type) {
            Ok(rrset) => {
                if place == HEADER {
                    self.zone = zone.tag();
                    self.message.authoritative = true;
                }
                self.answer(rrset, place)
            }
            Err(miss) => {
                let outcome = zone.lookup_behind(self.name, apex, record_type, miss);
                self.step_by(&outcome, zone, apex, place, record_type)
            }
        }
    }

    /// The RRset asked for.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what nearly every step is; the other caller is apart from it")]
    fn answer(&mut self, rrset: EncodedRrset<'_>, place: usize) -> Step {
        self.note_source(rrset);
        let start = if place == HEADER {
            self.message.put_direct(Section::Answer, rrset)
        } else {
            self.message.put(Section::Answer, rrset, Owner::within(place, self.name, 0))
        };
        let Some(start) = start else { return Step::Full };
        if let Some(skip) = name_offset(rrset.record_type()) {
            self.add(rrset, start, skip, place);
        }
        Step::Done(NOERROR)
    }

    /// The step for any outcome. Not inlined, because its registers would be saved for the plain answers too.
    #[inline(never)]
    fn step_by(
        &mut self,
        outcome: &Outcome<'_>,
        zone: &AuthoritativeZone,
        apex: usize,
        place: usize,
        record_type: RecordType,
    ) -> Step {
        if place == HEADER {
            self.zone = zone.tag();
            // AA speaks for the first name (RFC 1034 section 6.2.7, RFC 2181 section 10.1.1).
            self.message.authoritative = !matches!(outcome, Outcome::Referral { .. });
        }
        match *outcome {
            Outcome::Answer(rrset) => self.answer(rrset, place),
            Outcome::Alias(rrset) => {
                self.note_source(rrset);
                let owner = Owner::within(place, self.name, 0);
                let start = self.message.put(Section::Answer, rrset, owner);
                let data = rrset.octets().len() - rrset.data().next().map_or(0, |(data_at, _)| data_at);
                // A CNAME is the last thing written, and its target is the last thing in it.
                start.map_or(Step::Full, |_| Step::Next(self.message.octets().len() - data))
            }
            Outcome::Climb(ref climb) => {
                let Self { name, message, .. } = self;
                let owner = Owner::within(place, name, 0);
                let target = message.put_alias(climb.ttl, owner, |out| climb.write_target(name, out));
                after_alias(target, record_type)
            }
            Outcome::Redirect { owner, dname } => {
                self.note_source(dname);
                self.redirect(place, owner, dname, record_type)
            }
            Outcome::Referral { cut, servers } => {
                self.note_source(servers);
                self.refer(zone, apex, place, cut, servers)
            }
            Outcome::Negative(negative) => {
                if negative == Negative::NxDomain
                    && let Some(other) = self.snapshot.other_zone(zone.apex())
                    && let Some(step) = self.step_behind(&**other, zone, apex, place, record_type)
                {
                    return step;
                }
                let owner = Owner::within(place, self.name, apex);
                match self.message.put(Section::Authority, zone.negative_soa_record(), owner) {
                    None => Step::Full,
                    Some(_) => Step::Done(match negative {
                        Negative::NoData => NOERROR,
                        Negative::NxDomain => NXDOMAIN,
                    }),
                }
            }
        }
    }

    /// An RRset is told by where it stands in the snapshot.
    #[inline]
    fn note_source(&mut self, rrset: EncodedRrset<'_>) {
        self.source = rrset.octets().as_ptr().addr();
    }

    /// A DNAME and the CNAME that follows from it (RFC 6672 section 3.1).
    #[cold]
    fn redirect(&mut self, place: usize, label: usize, dname: EncodedRrset<'_>, record_type: RecordType) -> Step {
        let Self { name, message, .. } = self;
        let start = name.start(label);
        let owner = Owner::within(place, name, label);
        // A chain may come by one DNAME more than once, and a message has no record twice (RFC 2181 section 5).
        let is_repeated = place != HEADER && has_redirection(message.octets(), &name.as_wire()[start..], dname);
        if !is_repeated && message.put(Section::Answer, dname, owner).is_none() {
            return Step::Full;
        }
        let Some((_, target)) = dname.data().next() else { return Step::Done(NOERROR) };
        // One that leads below itself makes names longer and longer. Once is enough to tell, as NSD has it.
        if is_repeated && is_at_or_below(target, &name.as_wire()[start..]) {
            return Step::Done(NOERROR);
        }
        let front = &name.as_wire()[..start];
        if front.len() + target.len() > MAX_NAME {
            return Step::Done(YXDOMAIN);
        }
        let owner = Owner::within(place, name, 0);
        let target = message.put_alias(dname.ttl(), owner, |out| {
            out.get_mut(..front.len())?.copy_from_slice(front);
            out.get_mut(front.len()..front.len() + target.len())?.copy_from_slice(target);
            Some(front.len() + target.len())
        });
        after_alias(target, record_type)
    }

    /// A referral: the name servers of the zone below and their addresses as far as they are ours to know.
    #[cold]
    fn refer(
        &mut self,
        zone: &AuthoritativeZone,
        apex: usize,
        place: usize,
        cut: usize,
        servers: EncodedRrset<'_>,
    ) -> Step {
        let Self { name, scratch: Scratch { extra, .. }, message, .. } = self;
        let owner = Owner::within(place, name, cut);
        let Some(start) = message.put(Section::Authority, servers, owner) else { return Step::Full };
        // RFC 4035 section 3.1.4: to clients that understand it, "the name server MUST return … the DS RRset". It is
        // not signed as long as we do not sign, and then tells what the parent would say.
        if message.wants_dnssec()
            && let Some(signers) = zone.delegation_signers(name, apex, cut)
            && message.put(Section::Authority, signers, owner).is_none()
        {
            return Step::Full;
        }
        // RFC 9471 section 3.1: "When a name server generates a referral response, it MUST include all available glue
        // records for in-domain name servers in the additional section or MUST set TC=1". Others fill what room is left.
        for in_domain in [true, false] {
            for (offset, server) in servers.data() {
                let below = |ancestor: &[u8]| is_at_or_below(server, ancestor);
                if !below(name.suffix(apex)) || below(name.suffix(cut)) != in_domain || extra.read(server).is_none() {
                    continue;
                }
                let server_apex = extra.labels() - (name.labels() - apex);
                for addresses in zone.addresses(extra, server_apex) {
                    let owner = Owner::within(start + offset, extra, 0);
                    if message.put(Section::Additional, addresses, owner).is_none() && in_domain {
                        return Step::Full;
                    }
                }
            }
        }
        Step::Done(NOERROR)
    }

    /// What belongs to the names in an answer, as far as it is ours and fits: addresses (RFC 1034 section 4.3.2 step 6)
    /// and service bindings (RFC 9460 section 4.1). The RRset starts at `start`, and its owner stands at `place`.
    #[cold]
    fn add(&mut self, rrset: EncodedRrset<'_>, start: usize, skip: usize, place: usize) {
        // Where owners were written in full, the records stand elsewhere than they do in the RRset.
        let moved = self.message.octets().len() - start != rrset.octets().len();
        let at = |offset: usize| if moved { usize::MAX } else { start + offset };
        match rrset.record_type() {
            RecordType::SVCB | RecordType::HTTPS => self.add_bindings(rrset, at, place),
            _ => self.add_all_addresses(rrset, at, skip),
        }
    }

    /// Addresses of the names that stand behind `skip` octets of RDATA; `at` says where RDATA stands in the message.
    fn add_all_addresses(&mut self, rrset: EncodedRrset<'_>, at: impl Fn(usize) -> usize, skip: usize) {
        for (index, (offset, data)) in rrset.data().enumerate() {
            let Some(target) = data.get(skip..) else { continue };
            if self.scratch.extra.read(target).is_some() && !is_repeated(rrset, index, skip, target) {
                self.add_addresses(at(offset).saturating_add(skip));
            }
        }
    }

    /// RFC 9460 section 4.1: servers "SHOULD return A, AAAA, and SVCB records in the Additional section for any
    /// `TargetNames` that are in the zone". A target of `.` is the owner itself in `ServiceMode` (section 2.5.2) and nobody in
    /// `AliasMode` (section 2.5.1). One alias is followed.
    fn add_bindings(&mut self, rrset: EncodedRrset<'_>, at: impl Fn(usize) -> usize, place: usize) {
        for (index, (offset, data)) in rrset.data().enumerate() {
            let Some((priority, target)) = data.split_at_checked(2) else { continue };
            let is_alias = priority == [0, 0];
            if target.first() == Some(&0) {
                if !is_alias && !is_repeated(rrset, index, 2, &target[..1]) {
                    self.scratch.extra.clone_from(self.name);
                    self.add_addresses(place);
                }
                continue;
            }
            // Behind the target come parameters.
            let Some(length) = self.scratch.extra.read(target) else { continue };
            if is_repeated(rrset, index, 2, &target[..length]) {
                continue;
            }
            let place = at(offset).saturating_add(2);
            if is_alias {
                self.add_alias_target(rrset.record_type(), place);
            } else {
                self.add_addresses(place);
            }
        }
    }

    /// The service bindings of the name in `extra`, which stands at `place`, and the addresses that belong to them.
    fn add_alias_target(&mut self, record_type: RecordType, place: usize) {
        let snapshot = self.snapshot;
        let Some((Zone::Authoritative(zone), apex)) = snapshot.find_zone(&self.scratch.extra, record_type) else {
            return;
        };
        let outcome = zone.lookup(&self.scratch.extra, apex, record_type);
        let bindings = if let Outcome::Answer(bindings) = outcome { Some(bindings) } else { None };
        let owner = Owner::within(place, &self.scratch.extra, 0);
        let start = bindings.and_then(|bindings| self.message.put(Section::Additional, bindings, owner));
        self.add_addresses(place);
        let (Some(bindings), Some(start)) = (bindings, start) else { return };
        let at = |offset: usize| if place > FARTHEST { usize::MAX } else { start + offset };
        for (index, (offset, data)) in bindings.data().enumerate() {
            let Some(target) = data.get(2..).filter(|target| target.first() != Some(&0)) else { continue };
            if let Some(length) = self.scratch.extra.read(target)
                && !is_repeated(bindings, index, 2, &target[..length])
            {
                self.add_addresses(at(offset).saturating_add(2));
            }
        }
    }

    /// The addresses of the name in `extra`, which stands in the message at `place`.
    fn add_addresses(&mut self, place: usize) {
        let Some((Zone::Authoritative(zone), apex)) = self.snapshot.find_zone(&self.scratch.extra, RecordType::A)
        else {
            return;
        };
        for addresses in zone.addresses(&self.scratch.extra, apex) {
            let owner = Owner::within(place, &self.scratch.extra, 0);
            // What does not fit is left out: the client can ask for it.
            let _ = self.message.put(Section::Additional, addresses, owner);
        }
    }

    /// Takes the name at this octet of the message as the next of the chain.
    fn read_next(&mut self, place: usize) -> bool {
        self.name.read(&self.message.octets()[place..]).is_some()
    }

    /// True if the name was in the chain before.
    fn is_among(&self, places: &[u16]) -> bool {
        let wire = self.name.as_wire();
        let at = |&place: &u16| self.message.octets().get(usize::from(place)..usize::from(place) + wire.len());
        places.iter().filter_map(at).any(|earlier| earlier.eq_ignore_ascii_case(wire))
    }
}

/// True if this DNAME of `owner` stands in the answer that is written so far. Its record has a pointer to a name of the
/// chain, which stands in the message in full; one too far behind for that has no pointer and is not found.
#[cold]
fn has_redirection(octets: &[u8], owner: &[u8], dname: EncodedRrset<'_>) -> bool {
    let Some(record) = dname.octets().get(POINTER..) else { return false };
    octets.windows(record.len()).enumerate().filter(|&(_, window)| window == record).any(|(at, _)| {
        let pointer = at.checked_sub(POINTER).and_then(|start| octets[start..at].try_into().ok());
        let place = usize::from(pointer.map_or(0, u16::from_be_bytes) & 0x3fff);
        octets.get(place..place + owner.len()).is_some_and(|name| name.eq_ignore_ascii_case(owner))
    })
}

/// An alias ends the chain for those who asked for it.
fn after_alias(target: Option<usize>, record_type: RecordType) -> Step {
    match target {
        None => Step::Full,
        Some(_) if matches!(record_type, RecordType::CNAME | RecordType::ANY) => Step::Done(NOERROR),
        Some(target) => Step::Next(target),
    }
}

/// Octets in front of the name in RDATA whose addresses belong into the additional section.
#[inline]
fn name_offset(record_type: RecordType) -> Option<usize> {
    match record_type {
        RecordType::NS => Some(0),
        RecordType::MX | RecordType::SVCB | RecordType::HTTPS => Some(2),
        RecordType::SRV => Some(6),
        _ => None,
    }
}

/// True if one of the records in front of this one names `target` as well. A few are looked at: this is not worth the
/// square of a large RRset.
fn is_repeated(rrset: EncodedRrset<'_>, index: usize, skip: usize, target: &[u8]) -> bool {
    let first = index.saturating_sub(REPEATED);
    rrset.data().skip(first).take(index - first).any(|(_, data)| {
        data.get(skip..skip + target.len()).is_some_and(|earlier| earlier.eq_ignore_ascii_case(target))
    })
}

/// Compares names in wire format, the second in lower case.
fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() >= ancestor.len() {
        if rest.eq_ignore_ascii_case(ancestor) {
            return true;
        }
        match rest.first() {
            Some(&length) if length > 0 => rest = rest.get(1 + usize::from(length)..).unwrap_or_default(),
            _ => return false,
        }
    }
    false
}
