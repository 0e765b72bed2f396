//! Zones of other kinds, with answer functions of their own.
//!
//! ```text
//!   question ──► OtherZone::answer ──► Records ──► the message
//!                       │  ▲
//!                       ▼  │
//!                   Elsewhere: what other zones of the snapshot say, for aliases that lead there
//! ```
//!
//! An authoritative zone is a table of RRsets; what one of another kind answers with is made when it is asked for.
//! [`Records`] is where it writes that: a buffer that is kept from query to query, so that answering allocates next to
//! nothing, and in which the work for one query is counted, whichever zones take part in it.

use std::{fmt, sync::Arc};

use crate::dns::{OwnerName, RecordType, Ttl};

use super::{
    patch::Soa,
    query_name::{QueryName, name_hash},
};

/// Steps that one query may cost: entries that are looked at, in all zones that take part. Zones go round what the
/// question is not about, so that only an answer that no message could carry has more, or one that hardly anything is
/// found for; looking at all of them would take 10 ms or so, which nobody who asks over UDP is worth.
const STEPS: usize = 65_536;
/// A message has no more (RFC 1035 section 4.2.2).
const MAX_MESSAGE: usize = 65_535;
/// Owner (a compression pointer, or the root), type, class, TTL and RDLENGTH.
const LEAST_RECORD: usize = 11;
/// Records that are in a message once though they were found twice: [`Records::is_repeated`] looks at no more.
const REPEATED: usize = 64;
/// Type, TTL and length, which stand between owner and RDATA in [`Records`].
const FIXED: usize = 8;

/// A zone of another kind. It is a value that does not change; the next one takes its place in the snapshot.
pub trait OtherZone: fmt::Debug + Send + Sync {
    /// The name of the zone.
    fn apex(&self) -> &OwnerName;

    /// The SOA that negative answers carry.
    fn soa(&self) -> &Soa;

    /// Answers a question of class IN for a name at or below the apex. What is written to `records` is complete but for
    /// the SOA of negative answers.
    fn answer(&self, question: &OtherQuestion<'_>, elsewhere: &mut dyn Elsewhere, records: &mut Records) -> Verdict;
}

/// What is asked of an [`OtherZone`].
#[derive(Debug, Clone, Copy)]
pub struct OtherQuestion<'a> {
    /// At or below the apex.
    pub name: &'a QueryName,
    /// Any type but those for messages alone.
    pub record_type: RecordType,
    /// Where what is asked for is written to.
    pub part: Part,
    /// Seconds since 1970.
    pub now: u64,
}

/// What other zones say.
pub trait Elsewhere {
    /// Appends what is answered to a question for a name of another zone, and says whether anybody could be asked.
    fn look_up(&mut self, name: &[u8], record_type: RecordType, part: Part, records: &mut Records) -> bool;
}

/// How a question ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There are records.
    Positive,
    /// The name exists without the type asked for.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// There is an answer and it cannot be given.
    Failure,
}

/// Sections that a zone fills itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What was asked for.
    Answer,
    /// What belongs to it.
    Additional,
}

/// Records of an answer, uncompressed, in the order in which they were written.
#[derive(Debug)]
pub struct Records {
    answer: Vec<u8>,
    additional: Vec<u8>,
    /// Octets that the message has for the answer section.
    room: usize,
    /// What the answer section takes at the least, of that.
    least: usize,
    /// Records of the answer section.
    count: usize,
    steps: usize,
    too_long: bool,
    exhausted: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// In wire format, root label included.
    pub owner: &'a [u8],
    /// Its type.
    pub record_type: RecordType,
    /// Its TTL.
    pub ttl: Ttl,
    /// RDATA, names uncompressed.
    pub data: &'a [u8],
}

/// A place in [`Records`] to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    part: Part,
    at: usize,
    least: usize,
    count: usize,
}

/// Another kind of zone in a snapshot: what is asked for on the way to it is kept beside it.
#[derive(Debug, Clone)]
pub(super) struct OtherSlot {
    pub(super) zone: Arc<dyn OtherZone>,
    pub(super) hash: u64,
}

impl OtherSlot {
    pub(super) fn new(zone: Arc<dyn OtherZone>) -> Self {
        let hash = name_hash(zone.apex().as_wire());
        Self { zone, hash }
    }
}

impl Records {
    /// Takes everything out and forgets the work that was done. The next answer has so many octets; what is longer is
    /// truncated anyway, so that nobody need look for the rest of it.
    pub fn start(&mut self, room: usize) {
        self.answer.clear();
        self.additional.clear();
        (self.room, self.least, self.count) = (room.min(MAX_MESSAGE), 0, 0);
        (self.steps, self.too_long, self.exhausted) = (STEPS, false, false);
    }

    /// Counts one step of work. False where there have been too many, or where the answer is longer than the message
    /// already: then what is there is all there will be.
    #[must_use]
    pub fn step(&mut self) -> bool {
        self.exhausted |= self.steps == 0;
        self.steps = self.steps.saturating_sub(1);
        self.has_room() && !self.exhausted
    }

    /// The same for work on what was counted already: false where the answer is longer than the message.
    #[must_use]
    pub fn has_room(&mut self) -> bool {
        self.too_long |= self.least > self.room;
        !self.too_long
    }

    /// So many records with so many octets of RDATA or more are no more than the answer section may have room for.
    pub fn most(&self, data: usize) -> usize {
        self.room / (LEAST_RECORD + data) + REPEATED + 1
    }

    /// True if something was left out of the answer, or may have been: it is longer than the message, or has cost enough.
    pub fn is_truncated(&self) -> bool {
        self.too_long || self.exhausted
    }

    /// True if the answer has cost so much that it was not looked for any longer.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Steps that were taken.
    pub fn steps(&self) -> usize {
        STEPS - self.steps
    }

    /// True if one of the records in front of this one of a section says the same, whatever its TTL: a message has no
    /// record twice (RFC 2181 section 5). Large answers have addresses alone, and zones see to those themselves.
    pub fn is_repeated(&self, part: Part, index: usize, record: &RecordRef<'_>) -> bool {
        index <= REPEATED
            && self.iter(part).take(index).any(|earlier| RecordRef { ttl: record.ttl, ..earlier } == *record)
    }

    /// Appends a record. `owner` is a name in wire format; `data` writes RDATA of at most 65,535 octets, of which there
    /// is nothing to be said where it is longer: then the record is left out.
    pub fn push(
        &mut self,
        part: Part,
        owner: &[u8],
        record_type: RecordType,
        ttl: Ttl,
        data: impl FnOnce(&mut Vec<u8>),
    ) {
        let out = match part {
            Part::Answer => &mut self.answer,
            Part::Additional => &mut self.additional,
        };
        let start = out.len();
        out.extend_from_slice(owner);
        out.extend_from_slice(&record_type.0.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        let data_at = out.len();
        data(out);
        let Ok(length) = u16::try_from(out.len() - data_at) else {
            out.truncate(start);
            return;
        };
        out[data_at - 2..data_at].copy_from_slice(&length.to_be_bytes());
        if part == Part::Answer {
            self.count += 1;
            // The first may be left out of the message, as others say the same.
            if self.count > REPEATED + 1 {
                self.least += LEAST_RECORD + usize::from(length);
            }
        }
    }

    /// Where the next record will stand.
    pub fn mark(&self, part: Part) -> Mark {
        let at = match part {
            Part::Answer => self.answer.len(),
            Part::Additional => self.additional.len(),
        };
        Mark { part, at, least: self.least, count: self.count }
    }

    /// Takes out what was written to the section since.
    pub fn back_to(&mut self, mark: Mark) {
        match mark.part {
            Part::Answer => {
                self.answer.truncate(mark.at);
                (self.least, self.count) = (mark.least, mark.count);
            }
            Part::Additional => self.additional.truncate(mark.at),
        }
    }

    /// The records of a section.
    pub fn iter(&self, part: Part) -> impl Iterator<Item = RecordRef<'_>> {
        let mut rest = match part {
            Part::Answer => self.answer.as_slice(),
            Part::Additional => self.additional.as_slice(),
        };
        std::iter::from_fn(move || {
            let (record, behind) = RecordRef::split(rest)?;
            rest = behind;
            Some(record)
        })
    }

    /// True if the answer section has nothing.
    pub fn is_empty(&self) -> bool {
        self.answer.is_empty()
    }
}

impl Default for Records {
    fn default() -> Self {
        Self {
            answer: Vec::new(),
            additional: Vec::new(),
            room: MAX_MESSAGE,
            least: 0,
            count: 0,
            steps: STEPS,
            too_long: false,
            exhausted: false,
        }
    }
}

impl<'a> RecordRef<'a> {
    /// The record that these octets start with, and what is behind it.
    fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut at = 0;
        loop {
            let length = usize::from(*octets.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        let (owner, rest) = octets.split_at_checked(at)?;
        let (fixed, rest) = rest.split_first_chunk::<FIXED>()?;
        let [t0, t1, a, b, c, d, l0, l1] = *fixed;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let record_type = RecordType(u16::from_be_bytes([t0, t1]));
        Some((Self { owner, record_type, ttl: u32::from_be_bytes([a, b, c, d]), data }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &[u8] = b"\x01a\x00";

    #[test]
    fn records_come_out_as_they_went_in_and_can_be_taken_back() {
        let mut records = Records::default();
        records.push(Part::Answer, OWNER, RecordType::A, 60, |out| out.extend_from_slice(&[192, 0, 2, 1]));
        let mark = records.mark(Part::Answer);
        records.push(Part::Answer, b"\x00", RecordType::TXT, 1, |out| out.extend_from_slice(b"\x00"));
        records.push(Part::Additional, OWNER, RecordType::AAAA, 2, |out| out.extend_from_slice(&[0; 16]));
        records.back_to(mark);
        let answer: Vec<_> = records.iter(Part::Answer).collect();
        let data: &[u8] = &[192, 0, 2, 1];
        assert_eq!(answer, [RecordRef { owner: OWNER, record_type: RecordType::A, ttl: 60, data }]);
        assert_eq!(records.iter(Part::Additional).count(), 1);
    }

    #[test]
    fn work_ends_when_the_answer_is_longer_than_the_message() {
        let mut records = Records::default();
        for room in [512, MAX_MESSAGE, MAX_MESSAGE + 1] {
            records.start(room);
            let mut written = 0;
            while records.step() {
                records.push(Part::Answer, OWNER, RecordType::A, 60, |out| out.extend_from_slice(&[192, 0, 2, 1]));
                written += 1;
            }
            assert_eq!(written, REPEATED + 1 + room.min(MAX_MESSAGE) / 15 + 1);
            assert!(records.is_truncated() && !records.is_exhausted());
            assert!(written <= records.most(4) + 1);
        }
    }

    #[test]
    fn work_ends_when_there_was_enough_of_it() {
        let mut records = Records::default();
        assert_eq!((0..=STEPS).take_while(|_| records.step()).count(), STEPS);
        assert!(records.is_truncated() && records.is_exhausted() && records.is_empty());
        records.start(512);
        assert!(records.step() && !records.is_truncated());
    }
}
