//! From a snapshot and a request to an answer.
//!
//! ```text
//!   request ──► header, question, EDNS ──► name ──► zone ──► outcome ──┬─► RRset, referral or negative: done
//!                                            ▲                         │
//!                                            └──── alias: next name ───┘   (at most 16 of them)
//! ```
//!
//! A chain of aliases is answered whole, through all zones of the snapshot, with the RCODE of its end (RFC 6604
//! section 3). Names in what we write are not compressed but for owners, so that the target of an alias stands
//! in the message in full and can be the owner of what follows.

use mcdns_core::{
    answer::{AuthoritativeZone, EncodedRrset, Negative, Outcome, QueryName, Snapshot, Zone},
    dns::RecordType,
};

use crate::{
    client::{Client, Transport},
    message::{Message, OPCODE, Owner, QR, Section, header_only},
    policy::{ListenerOptions, Policy},
    request::{CLASS_IN, HEADER, Malformed, Question, number, read_edns, read_question},
    transfer::Transfer,
};

/// Largest message over TCP (RFC 1035 section 4.2.2).
const TCP_PAYLOAD: usize = 65_535;
/// Largest UDP message to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;
/// Longest name in wire format, in octets.
const MAX_NAME: usize = 255;
/// Aliases that one answer follows. Resolvers give up at about as many.
const MAX_CHAIN: usize = 16;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const YXDOMAIN: u16 = 6;
const BADVERS: u16 = 16;

/// What a request is answered with.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Nothing, because silence is right.
    Silence,
    /// One message.
    Message(Reply<'a>),
    /// Many messages; over streams only.
    Transfer(Box<Transfer>),
}

/// An answer, in the buffer of the [`Responder`] that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The message.
    pub octets: &'a [u8],
    /// Its RCODE, extended by EDNS (RFC 6895 section 2.3).
    pub rcode: u16,
    /// True if it has TC set.
    pub truncated: bool,
    /// The type that was asked for; 0 where no question could be read.
    pub record_type: RecordType,
    /// The zone that the name belongs to, as [`AuthoritativeZone::tag`]; 0 where there is none.
    pub zone: u64,
    /// Tells the RRset that answers (the last of a chain; the name servers of a referral) from all others of this
    /// moment, a wildcard's being one for all names; 0 where there is none. For counting answers of one kind.
    pub source: usize,
    /// True if the client has shown that its address is not forged, by a server cookie (RFC 7873 section 5.1) or a
    /// signature.
    pub trusted: bool,
}

/// The buffers that answering needs; made once per thread.
#[derive(Debug)]
pub struct Responder {
    options: ListenerOptions,
    name: QueryName,
    /// For names in additional sections.
    extra: QueryName,
    out: Box<[u8]>,
}

impl Responder {
    /// Buffers for any answer, some 70 KB, for a listener with these options.
    pub fn new(options: ListenerOptions) -> Self {
        let out = vec![0; TCP_PAYLOAD].into_boxed_slice();
        Self { options, name: QueryName::new(), extra: QueryName::new(), out }
    }

    /// Answers a request. Silence for what is shorter than a header, and for answers (two servers could otherwise
    /// keep each other busy for ever).
    #[inline]
    pub fn respond(&mut self, snapshot: &Snapshot, policy: &Policy, request: &[u8], client: &Client) -> Answer<'_> {
        if request.len() < HEADER || request[2] & QR != 0 {
            return Answer::Silence;
        }
        let _ = policy;
        let refused = if request[2] & OPCODE != 0 {
            Some(NOTIMP)
        } else if number(request, 4) != 1 {
            // RFC 9619: a query has one question.
            Some(FORMERR)
        } else {
            None
        };
        if let Some(rcode) = refused {
            return self.refuse(request, rcode);
        }
        let Some(question) = read_question(request, &mut self.name) else {
            return self.refuse(request, FORMERR);
        };
        let (edns, rcode) = match read_edns(request, &question) {
            Ok(Some(edns)) if edns.version > 0 => (Some(edns), Some(BADVERS)),
            Ok(edns) => (edns, refusal(&question)),
            // RFC 6891 section 7: the answer to a wrong OPT carries one.
            Err(Malformed::Opt) => {
                (Some(crate::request::Edns { payload: 0, version: 0, dnssec_ok: false }), Some(FORMERR))
            }
            Err(Malformed::Message) => (None, Some(FORMERR)),
        };
        let limit = match client.transport {
            Transport::Udp => usize::from(
                edns.map_or(PLAIN_PAYLOAD, |edns| edns.payload.clamp(PLAIN_PAYLOAD, self.options.udp_payload)),
            ),
            _ => TCP_PAYLOAD,
        };
        let Self { name, extra, out, .. } = self;
        let mut message = Message::start(out, request, question.end, limit, edns);
        let (mut zone, mut source) = (0, 0);
        let rcode = match rcode {
            Some(rcode) => rcode,
            None => Chain { snapshot, name, extra, message: &mut message, zone: &mut zone, source: &mut source }
                .follow(question.record_type),
        };
        let truncated = message.truncated;
        let length = message.finish(request, rcode);
        let record_type = question.record_type;
        let octets = &self.out[..length];
        Answer::Message(Reply { octets, rcode, truncated, record_type, zone, source, trusted: false })
    }

    #[cold]
    fn refuse(&mut self, request: &[u8], rcode: u16) -> Answer<'_> {
        let length = header_only(&mut self.out, request, rcode);
        let octets = &self.out[..length];
        let record_type = RecordType(0);
        Answer::Message(Reply { octets, rcode, truncated: false, record_type, zone: 0, source: 0, trusted: false })
    }
}

impl Default for Responder {
    fn default() -> Self {
        Self::new(ListenerOptions::default())
    }
}

/// The RCODE for questions that no zone is asked.
#[inline]
fn refusal(question: &Question) -> Option<u16> {
    match (question.class, question.record_type.0) {
        // OPT is no type to ask for (RFC 6891 section 6.1.1).
        (_, 41) => Some(FORMERR),
        // Transfers; they are not given yet.
        (_, 251 | 252) => Some(REFUSED),
        // TKEY, TSIG, MAILB, MAILA.
        (_, 249 | 250 | 253 | 254) => Some(NOTIMP),
        (CLASS_IN, _) => None,
        _ => Some(REFUSED),
    }
}

/// One answer on its way from name to name.
struct Chain<'c, 'm> {
    snapshot: &'c Snapshot,
    /// The name that is looked up now.
    name: &'c mut QueryName,
    extra: &'c mut QueryName,
    message: &'c mut Message<'m>,
    /// Tag of the first name's zone.
    zone: &'c mut u64,
    /// As in [`Reply::source`].
    source: &'c mut usize,
}

/// What follows from one name of a chain.
enum Step {
    /// The answer is complete.
    Done(u16),
    /// Go on with the name that stands at this octet of the message.
    Next(usize),
    /// There is no room.
    Full,
}

impl Chain<'_, '_> {
    /// Looks the name up, and what it leads to; returns the RCODE.
    #[inline]
    fn follow(mut self, record_type: RecordType) -> u16 {
        // Octet of the message at which each name of the chain stands; a message has less than 65,536.
        let mut places = [0_u16; MAX_CHAIN];
        let mut place = HEADER;
        for link in 0..MAX_CHAIN {
            let Some((Zone::Authoritative(zone), apex)) = self.snapshot.find_zone(self.name, record_type) else {
                // The chain leads to somebody else's zone; who asked goes on from there.
                return if link == 0 { REFUSED } else { NOERROR };
            };
            match self.step(zone, apex, place, record_type) {
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
        let outcome = zone.lookup(self.name, apex, record_type);
        if place == HEADER {
            *self.zone = zone.tag();
        }
        // AA speaks for the first name (RFC 1034 section 6.2.7, RFC 2181 section 10.1.1).
        if place == HEADER && !matches!(outcome, Outcome::Referral { .. }) {
            self.message.authoritative = true;
        }
        match outcome {
            Outcome::Answer(rrset) => {
                self.note_source(rrset);
                let owner = Owner::within(place, self.name, 0);
                let Some(start) = self.message.put(Section::Answer, rrset, owner) else { return Step::Full };
                if let Some(skip) = name_offset(rrset.record_type()) {
                    self.add_addresses(rrset, start, skip);
                }
                Step::Done(NOERROR)
            }
            Outcome::Alias(rrset) => {
                self.note_source(rrset);
                let owner = Owner::within(place, self.name, 0);
                let start = self.message.put(Section::Answer, rrset, owner);
                let data = rrset.octets().len() - rrset.data().next().map_or(0, |(data_at, _)| data_at);
                // A CNAME is the last thing written, and its target is the last thing in it.
                start.map_or(Step::Full, |_| Step::Next(self.message.octets().len() - data))
            }
            Outcome::Climb(climb) => {
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
        *self.source = rrset.octets().as_ptr().addr();
    }

    /// A DNAME and the CNAME that follows from it (RFC 6672 section 3.1).
    #[cold]
    fn redirect(&mut self, place: usize, label: usize, dname: EncodedRrset<'_>, record_type: RecordType) -> Step {
        let Self { name, message, .. } = self;
        let start = name.start(label);
        let owner = Owner::within(place, name, label);
        if message.put(Section::Answer, dname, owner).is_none() {
            return Step::Full;
        }
        let Some((_, target)) = dname.data().next() else { return Step::Done(NOERROR) };
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
        let Self { name, extra, message, .. } = self;
        let owner = Owner::within(place, name, cut);
        let Some(start) = message.put(Section::Authority, servers, owner) else { return Step::Full };
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

    /// Addresses of the names in an answer, as far as they are ours and fit (RFC 1034 section 4.3.2 step 6).
    #[cold]
    fn add_addresses(&mut self, rrset: EncodedRrset<'_>, start: usize, skip: usize) {
        // Where owners were written in full, the records stand elsewhere than they do in the RRset.
        let moved = self.message.octets().len() - start != rrset.octets().len();
        for (offset, data) in rrset.data() {
            let Some(target) = data.get(skip..) else { continue };
            if self.extra.read(target).is_none() {
                continue;
            }
            let Some((Zone::Authoritative(zone), apex)) = self.snapshot.find_zone(self.extra, RecordType::A) else {
                continue;
            };
            let at = if moved { usize::MAX } else { start + offset + skip };
            for addresses in zone.addresses(self.extra, apex) {
                let owner = Owner::within(at, self.extra, 0);
                // What does not fit is left out: the client can ask for it.
                let _ = self.message.put(Section::Additional, addresses, owner);
            }
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
        RecordType::MX => Some(2),
        RecordType::SRV => Some(6),
        _ => None,
    }
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
