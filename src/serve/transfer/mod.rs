//! Zone transfers out: whole zones (AXFR, RFC 5936) and differences (IXFR, RFC 1995).
//!
//! ```text
//!   AXFR ─────────────────────────────► SOA, every record once, SOA
//!   IXFR ─┬─ up to date, or ahead ────► SOA                                  (RFC 1995 section 2)
//!         ├─ a chain, shorter ────────► SOA, { SOA old, removed, SOA new, added } …, SOA     (section 4)
//!         └─ otherwise ───────────────► as AXFR; over UDP the SOA, so that it is asked for over a stream
//! ```
//!
//! A [`Transfer`] is of one generation, whatever is published while it runs: it holds the zone, not a copy of its
//! records, and makes one message at a time when the stream can take it. Messages have about 16 KB, so that pointers
//! reach all of each, and the question and AA in all of them (RFC 5936 section 2.2). Answers to IXFR are never longer
//! than the zone.
//!
//! Refused: AXFR over UDP (RFC 5936 section 4.2), transfers over HTTPS, which has one message for each request, and more
//! transfers at a time than [`TransferLimits`] says.

mod encode;
mod history;
mod published;
mod records;

use std::{fmt, sync::Arc};

use mcdns_core::{
    answer::{AuthoritativeZone, ZoneDifference},
    dns::Serial,
};

use crate::{clock::Clock, request::HEADER, tsig::Signer, wire::AA};

use encode::Names;
use history::Permit;
use records::Records;

pub(crate) use history::Given;
pub use history::{TransferHistory, TransferLimits, TransferTotals};
pub use published::PublishedZones;

/// Octets of a message; all of them are within reach of a compression pointer.
const MESSAGE: usize = 16 * 1024;
/// Octets of the longest message (RFC 1035 section 4.2.2), for a record that is longer than the above.
const LONGEST: usize = 65_535;
/// A difference of less than this part of a zone, roughly estimated, is shorter than the zone for sure: the estimate
/// counts empty non-terminals, of which a name has several at most.
const SURELY_SHORTER: usize = 16;

/// An answer of many messages that is made while it is sent. It keeps the zone of one generation.
pub struct Transfer {
    /// Header and question of every message.
    head: Box<[u8]>,
    /// The OPT record of the first.
    opt: Box<[u8]>,
    records: Records,
    names: Names,
    signer: Option<Signer>,
    clock: Clock,
    state: State,
    _permit: Permit,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    First,
    Later,
    Done,
}

/// What to answer to IXFR.
pub(crate) enum Increment {
    /// The SOA alone.
    UpToDate,
    /// These, oldest first.
    Differences(Vec<Arc<ZoneDifference>>),
    /// They are not known, or longer than the zone.
    Whole,
}

impl Transfer {
    /// A transfer of the whole zone, or of differences that lead to it. `message` is an answer without records: header,
    /// question (up to `question_end`), and the OPT record, if there is one. None if there are too many transfers.
    pub(crate) fn new(
        zone: Arc<AuthoritativeZone>,
        differences: Option<Vec<Arc<ZoneDifference>>>,
        history: &TransferHistory,
        message: &[u8],
        question_end: usize,
        clock: Clock,
    ) -> Option<Self> {
        let permit = history.permit()?;
        let (head, opt) = message.split_at(question_end);
        let mut head: Box<[u8]> = head.into();
        head[2] |= AA;
        head[6..HEADER].fill(0);
        let names = Names::new(zone.apex().as_wire());
        let records = Records::new(zone, differences);
        let (opt, state) = (opt.into(), State::First);
        Some(Self { head, opt, records, names, signer: None, clock, state, _permit: permit })
    }

    /// Has every message signed (RFC 8945 section 5.3.1).
    pub(crate) fn sign_with(&mut self, signer: Signer) {
        self.signer = Some(signer);
    }

    /// Replaces `message` by the next message, without a length in front; false, and nothing there, after the last.
    pub fn next_message(&mut self, message: &mut Vec<u8>) -> bool {
        message.clear();
        if self.state == State::Done {
            return false;
        }
        message.extend_from_slice(&self.head);
        self.names.clear();
        let opt = if self.state == State::First { &*self.opt } else { &[] };
        let kept = opt.len() + self.signer.as_ref().map_or(0, Signer::reserve);
        let Self { records, names, .. } = self;
        let mut count = 0_u16;
        let done = records.each(|labels, record| {
            let limit = if count == 0 { LONGEST } else { MESSAGE };
            let fits = names.put(message, limit.saturating_sub(kept), labels, record);
            count += u16::from(fits);
            fits
        });
        if count == 0 {
            // A record as long as a message leaves no room for a signature: the transfer ends without its last SOA, so
            // that nobody takes it for whole.
            tracing::warn!(zone = %self.records.zone().apex(), "a record is too long for a transfer that is signed");
            message.clear();
            self.state = State::Done;
            return false;
        }
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message[11] = u8::from(!opt.is_empty());
        message.extend_from_slice(opt);
        if let Some(signer) = &mut self.signer {
            signer.sign(message, self.clock.now());
        }
        self.state = if done { State::Done } else { State::Later };
        true
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.records.zone();
        f.debug_struct("Transfer").field("zone", zone.apex()).field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a client with this serial gets. Differences of more than `room` octets are no better than the whole zone: a
/// datagram has no room for either, and whoever forges an address must not have us measure megabytes.
pub(crate) fn increment(
    zone: &Arc<AuthoritativeZone>,
    history: &TransferHistory,
    serial: Serial,
    room: usize,
) -> Increment {
    let current = zone.soa().serial;
    if serial >= current {
        return Increment::UpToDate;
    }
    match history.between(zone.apex(), serial, current) {
        Some(differences) if fits(zone, &differences, room) && is_shorter(zone, &differences) => {
            Increment::Differences(differences)
        }
        _ => Increment::Whole,
    }
}

/// The records of the differences as they stand in a message behind its question, and their number; none if they are
/// longer than `room`.
pub(crate) fn encode_differences(
    zone: &Arc<AuthoritativeZone>,
    differences: Vec<Arc<ZoneDifference>>,
    question_end: usize,
    room: usize,
) -> Option<(Vec<u8>, u16)> {
    let mut names = Names::new(zone.apex().as_wire());
    let mut message = vec![0; question_end];
    let mut count = 0;
    let done = Records::new(Arc::clone(zone), Some(differences)).each(|labels, record| {
        count += 1;
        names.put(&mut message, question_end + room, labels, record)
    });
    done.then(|| (message.split_off(question_end), count))
}

/// False if the differences are longer than `room`, of which no more is read than it takes to know.
fn fits(zone: &Arc<AuthoritativeZone>, differences: &[Arc<ZoneDifference>], room: usize) -> bool {
    room == usize::MAX || length(Records::new(Arc::clone(zone), Some(differences.to_vec())), room) <= room
}

/// True if the differences are not longer than the whole zone.
fn is_shorter(zone: &Arc<AuthoritativeZone>, differences: &[Arc<ZoneDifference>]) -> bool {
    let estimate: usize = differences.iter().map(|difference| difference.octets()).sum();
    if zone.weight() > SURELY_SHORTER * MESSAGE && estimate * SURELY_SHORTER <= zone.weight() {
        return true;
    }
    let length = length(Records::new(Arc::clone(zone), Some(differences.to_vec())), usize::MAX);
    // Counts no further than needed to know, so that this costs as much as the differences.
    length <= self::length(Records::new(Arc::clone(zone), None), length)
}

/// Octets of these records; counting stops beyond `enough`.
fn length(mut records: Records, enough: usize) -> usize {
    let mut names = Names::new(records.zone().apex().as_wire());
    let mut message = Vec::with_capacity(MESSAGE);
    let mut sum = 0;
    loop {
        // Pages as messages are, so that compression does as much.
        message.clear();
        message.resize(HEADER, 0);
        names.clear();
        let done = records.each(|labels, record| {
            let limit = if message.len() == HEADER { usize::MAX } else { MESSAGE };
            names.put(&mut message, limit, labels, record)
        });
        sum += message.len();
        if done || sum > enough {
            return sum;
        }
    }
}
