//! From a snapshot and a request to an answer.
//!
//! ```text
//!   request ──► plain? ──yes──► Chain ──► answer                      (UDP or stream: no lock, no allocation)
//!                 │ no            ▲ └─ no zone has the name ─┐
//!                 ▼               │                          ▼
//!             unusual.rs ── TSIG? ── signed.rs ──► opcode, EDNS, class, type ──► transfer.rs, chaos.rs, errors
//! ```
//!
//! Plain is a query with one question of class IN for a type that zones hold, with no OPT record or with one of
//! version 0 without options. Whatever else comes is answered behind one cold call ([`unusual`]), for which plain
//! queries pay nothing.

mod chain;
mod chaos;
mod other;
mod signed;
mod transfer;
mod unusual;

use std::sync::Arc;

use mcdns_core::{
    answer::{QueryName, Records, Snapshot},
    dns::RecordType,
};

use crate::{
    client::{Client, Transport},
    clock::Clock,
    message::Message,
    policy::{Condition, ListenerOptions, Policy},
    rcode::REFUSED,
    request::{CLASS_IN, Edns, HEADER, Question, read_plain_edns, read_question},
    transfer::{Transfer, TransferHistory},
    tsig::TsigFailures,
    wire::{OPCODE, QR},
};

use chain::Chain;
use unusual::Request;

/// Largest message over streams (RFC 1035 section 4.2.2).
const STREAM_PAYLOAD: usize = 65_535;
/// Largest UDP message to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;

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
    /// The zone that the name belongs to, as [`AuthoritativeZone::tag`](mcdns_core::answer::AuthoritativeZone::tag);
    /// 0 where there is none.
    pub zone: u64,
    /// Tells the RRset that answers (the last of a chain; the name servers of a referral) from all others of this
    /// moment, a wildcard's being one for all names; 0 where there is none. For counting answers of one kind.
    pub source: usize,
    /// True if the client has shown that its address is not forged, by a server cookie (RFC 7873 section 5.1) or a
    /// signature.
    pub trusted: bool,
}

impl<'a> Reply<'a> {
    /// A message of which nothing else is known.
    pub fn new(octets: &'a [u8], rcode: u16) -> Self {
        Self { octets, rcode, truncated: false, record_type: RecordType(0), zone: 0, source: 0, trusted: false }
    }
}

/// What only some answers need.
#[derive(Debug)]
struct Scratch {
    /// For names in additional sections.
    extra: QueryName,
    /// For what zones of other kinds answer.
    records: Records,
    clock: Clock,
}

/// The buffers that answering needs; made once per thread.
#[derive(Debug)]
pub struct Responder {
    options: ListenerOptions,
    clock: Clock,
    transfers: Arc<TransferHistory>,
    failures: Arc<TsigFailures>,
    /// False while requests come over a connection that no transfer may be given on.
    transfers_permitted: bool,
    name: QueryName,
    scratch: Scratch,
    out: Box<[u8]>,
}

impl Responder {
    /// Buffers for any answer, some 70 KB, for a listener with these options.
    pub fn new(options: ListenerOptions) -> Self {
        Self::with_clock(options, Clock::default())
    }

    /// The same with a clock of the caller's, which is read for cookies and signatures alone.
    pub fn with_clock(options: ListenerOptions, clock: Clock) -> Self {
        let out = vec![0; STREAM_PAYLOAD].into_boxed_slice();
        let scratch = Scratch { extra: QueryName::new(), records: Records::default(), clock: clock.clone() };
        let (transfers, failures) = Default::default();
        Self { options, clock, transfers, failures, transfers_permitted: true, name: QueryName::new(), scratch, out }
    }

    /// The same with the differences that incremental transfers are made of, and the transfers of all responders.
    #[must_use]
    pub fn with_transfers(self, transfers: Arc<TransferHistory>) -> Self {
        Self { transfers, ..self }
    }

    /// Says whether zone transfers may be given over the connection that the next requests come from; otherwise they are
    /// refused (RFC 9103 section 7.1).
    pub fn permit_transfers(&mut self, permitted: bool) {
        self.transfers_permitted = permitted;
    }

    /// Answers a request. Silence for what is shorter than a header, and for answers (two servers could otherwise
    /// keep each other busy for ever).
    #[inline]
    pub fn respond(&mut self, snapshot: &Snapshot, policy: &Policy, request: &[u8], client: &Client) -> Answer<'_> {
        if request.len() < HEADER {
            return Answer::Silence;
        }
        if let Some((question, edns)) = self.read_plain(request)
            && policy.condition == Condition::Ready
        {
            let limit = self.limit(edns, client.transport);
            let Self { name, scratch, out, .. } = self;
            let mut message = Message::start(out, request, question.end, limit, edns);
            let mut chain = Chain { snapshot, name, scratch, message: &mut message, zone: 0, source: 0 };
            let rcode = chain.follow(question.record_type);
            let (zone, source) = (chain.zone, chain.source);
            // Who asked with EDNS learns why it is refused.
            if rcode != REFUSED {
                let truncated = message.truncated;
                let length = message.finish(request, rcode, self.options.udp_payload);
                let record_type = question.record_type;
                let octets = &self.out[..length];
                let reply = Reply { octets, rcode, truncated, record_type, zone, source, trusted: false };
                return Answer::Message(reply);
            }
        }
        self.respond_unusual(&Request { snapshot, policy, octets: request, client, signer: None, reserve: 0 })
    }

    /// Question and EDNS of a plain query.
    #[inline]
    fn read_plain(&mut self, request: &[u8]) -> Option<(Question, Option<Edns>)> {
        // A query; QDCOUNT 1, ANCOUNT and NSCOUNT 0.
        if request[2] & (QR | OPCODE) != 0 || request[4..10] != [0, 1, 0, 0, 0, 0] {
            return None;
        }
        let question = read_question(request, &mut self.name)?;
        if question.class != CLASS_IN || is_for_itself(question.record_type) {
            return None;
        }
        Some((question, read_plain_edns(request, question.end).ok()?))
    }

    /// Octets that an answer may have.
    #[inline]
    fn limit(&self, edns: Option<Edns>, transport: Transport) -> usize {
        match transport {
            Transport::Udp => usize::from(
                edns.map_or(PLAIN_PAYLOAD, |edns| edns.payload.min(self.options.udp_payload).max(PLAIN_PAYLOAD)),
            ),
            _ => STREAM_PAYLOAD,
        }
    }
}

impl Default for Responder {
    fn default() -> Self {
        Self::new(ListenerOptions::default())
    }
}

/// True for types that no zone holds: OPT, and TKEY to MAILA, transfers among them (RFC 6895 section 3.1).
#[inline]
fn is_for_itself(record_type: RecordType) -> bool {
    matches!(record_type.0, 41 | 249..=254)
}
