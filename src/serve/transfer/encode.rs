//! Writing the records of a transfer into messages, with compressed names (RFC 1035 section 4.1.4).
//!
//! Every message begins with the question, so that the apex is always at octet 12 and each owner takes its own labels
//! and a pointer at most. Of the names above the apex, those written before in the same message are pointed to; which
//! they are is kept in a table with one place per hash, so that a record costs the same in a zone of any size.

use mcdns_core::dns::RecordType;

use crate::{request::HEADER, wire::FARTHEST};

/// Names that are remembered in one message at a time, at most; a power of two. A message of 16 KB has about as many
/// records.
const PLACES: usize = 512;
/// Type, class and TTL, in front of RDLENGTH.
const FIXED: usize = 8;
/// An odd number without a pattern: the fraction of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Names of the message that is being written.
#[derive(Debug)]
pub(super) struct Names {
    apex: Box<[u8]>,
    places: Vec<Place>,
    /// Labels that were written, one name after the other.
    text: Vec<u8>,
    /// Which message it is; a place of another one is free.
    message: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    message: u32,
    /// Octet of the message.
    at: u16,
    /// Where it stands in the text.
    start: u32,
    length: u8,
}

impl Names {
    /// For messages of a zone whose apex, in wire format, stands in the question.
    pub(super) fn new(apex: &[u8]) -> Self {
        Self { apex: apex.into(), places: vec![Place::default(); PLACES], text: Vec::new(), message: 1 }
    }

    /// A new message begins.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.message += 1;
    }

    /// Appends a record: `labels` in front of the apex, and type to RDATA. False, and nothing appended, if `out` would
    /// be longer than `limit` then; the message is complete in that case.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, limit: usize, labels: &[u8], record: &[u8]) -> bool {
        let start = out.len();
        self.put_name(out, labels);
        match self.target(record) {
            Some(target) => {
                out.extend_from_slice(&record[..FIXED + 2]);
                let data = out.len();
                self.put_name(out, target);
                let length = u16::try_from(out.len() - data).unwrap_or(u16::MAX);
                out[data - 2..data].copy_from_slice(&length.to_be_bytes());
            }
            None => out.extend_from_slice(record),
        }
        if out.len() > limit {
            out.truncate(start);
            return false;
        }
        true
    }

    /// The labels in front of the apex in RDATA that is a name of the zone and may be compressed (RFC 3597 section 4).
    fn target<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        let record_type = RecordType(u16::from_be_bytes([record[0], record[1]]));
        if !matches!(record_type, RecordType::NS | RecordType::CNAME | RecordType::PTR) {
            return None;
        }
        let labels = record[FIXED + 2..].strip_suffix(&*self.apex)?;
        let mut at = 0;
        while at < labels.len() {
            at += 1 + usize::from(labels[at]);
        }
        (at == labels.len()).then_some(labels)
    }

    fn put_name(&mut self, out: &mut Vec<u8>, labels: &[u8]) {
        let text = self.text.len();
        let mut at = 0;
        let mut target = HEADER;
        while at < labels.len() {
            let rest = &labels[at..];
            let place = &mut self.places[place_of(rest)];
            if place.message == self.message
                && self.text.get(place.start as usize..place.start as usize + usize::from(place.length)) == Some(rest)
            {
                target = usize::from(place.at);
                break;
            }
            let here = out.len() + at;
            if let (true, Ok(here), Ok(start), Ok(length)) =
                (here <= FARTHEST, u16::try_from(here), u32::try_from(text + at), u8::try_from(rest.len()))
            {
                *place = Place { message: self.message, at: here, start, length };
            }
            at += 1 + usize::from(labels[at]);
        }
        if at > 0 {
            // What follows the labels written belongs to the names that were noted.
            self.text.extend_from_slice(labels);
        }
        out.extend_from_slice(&labels[..at]);
        out.extend_from_slice(&(0xc000 | u16::try_from(target).unwrap_or(0)).to_be_bytes());
    }
}

/// Where a name is kept. Who makes names collide loses their compression.
fn place_of(labels: &[u8]) -> usize {
    let mut hash = labels.len() as u64;
    for chunk in labels.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    }
    (hash.wrapping_mul(MULTIPLIER) >> 32) as usize & (PLACES - 1)
}
