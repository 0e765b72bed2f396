//! Writing an answer, RRset by RRset, into a buffer with a limit.

use mcdns_core::{
    answer::{EncodedRrset, QueryName},
    dns::{RecordType, Ttl},
};

use crate::{
    policy::UDP_PAYLOAD,
    request::{CLASS_IN, Edns, HEADER},
};

/// Octets of an OPT record without options.
const OPT: usize = 11;
/// The highest octet that a compression pointer reaches (RFC 1035 section 4.1.4).
const FARTHEST: usize = 0x3fff;
/// Type, class, TTL and RDLENGTH of a record.
const RECORD_HEAD: usize = 10;

/// Header bits of the third octet (RFC 1035 section 4.1.1).
pub(crate) const QR: u8 = 0x80;
const AA: u8 = 0x04;
pub(crate) const TC: u8 = 0x02;
const RD: u8 = 0x01;
/// Of the fourth.
const CD: u8 = 0x10;
pub(crate) const OPCODE: u8 = 0x78;

/// Sections behind the question, by place in the header's counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// A name that stands uncompressed in the message at `at`, so that a pointer can name it; or too far behind for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// Octet of the message.
    pub(crate) at: usize,
    /// The name starts with this label of that one.
    pub(crate) name: &'a QueryName,
    pub(crate) label: usize,
}

impl<'a> Owner<'a> {
    /// The name from its label `label` on, where the whole name stands at `place`.
    #[inline]
    pub(crate) fn within(place: usize, name: &'a QueryName, label: usize) -> Self {
        Self { at: place.saturating_add(name.start(label)), name, label }
    }
}

/// An answer that is being written. It never grows past its limit, and every RRset is in it whole or not at all.
pub(crate) struct Message<'a> {
    out: &'a mut [u8],
    at: usize,
    /// For all but the OPT record, for which there is room behind it.
    limit: usize,
    counts: [u16; 3],
    edns: Option<Edns>,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
}

impl<'a> Message<'a> {
    /// Starts with the header and the question of `request`, which are `question_end` octets.
    #[inline]
    pub(crate) fn start(
        out: &'a mut [u8],
        request: &[u8],
        question_end: usize,
        limit: usize,
        edns: Option<Edns>,
    ) -> Self {
        out[..question_end].copy_from_slice(&request[..question_end]);
        let limit = limit.min(out.len()) - if edns.is_some() { OPT } else { 0 };
        Self { out, at: question_end, limit, counts: [0; 3], edns, authoritative: false, truncated: false }
    }

    /// What is written so far.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.out[..self.at]
    }

    /// Appends a whole RRset and says where it starts; none, and nothing written, where it does not fit.
    #[inline]
    pub(crate) fn put(&mut self, section: Section, rrset: EncodedRrset<'_>, owner: Owner<'_>) -> Option<usize> {
        if owner.at > FARTHEST {
            return self.put_far(section, rrset, owner);
        }
        let start = self.at;
        let octets = rrset.octets();
        let end = start + octets.len();
        if end > self.limit {
            return None;
        }
        let written = &mut self.out[start..end];
        written.copy_from_slice(octets);
        // Records come with a pointer to the question.
        if owner.at != HEADER {
            let pointer = pointer_to(owner.at);
            for (data, _) in rrset.data() {
                written[data - RECORD_HEAD - 2..data - RECORD_HEAD].copy_from_slice(&pointer);
            }
        }
        self.at = end;
        self.counts[section as usize] += rrset.records();
        Some(start)
    }

    /// Appends a CNAME whose target the caller writes: `write` gets the room that is left and says how much of it
    /// it took. Returns where the target stands; none where it does not fit.
    pub(crate) fn put_alias(
        &mut self,
        ttl: Ttl,
        owner: Owner<'_>,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let head = self.put_owner(self.at, owner)?;
        let data = head + RECORD_HEAD;
        let length = write(self.out.get_mut(data..self.limit)?)?;
        let fixed = &mut self.out[head..data];
        fixed[..2].copy_from_slice(&RecordType::CNAME.0.to_be_bytes());
        fixed[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
        fixed[8..].copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
        self.at = data + length;
        self.counts[Section::Answer as usize] += 1;
        Some(data)
    }

    /// Completes header and OPT record, and says how many octets the message has.
    #[inline]
    pub(crate) fn finish(mut self, request: &[u8], rcode: u16) -> usize {
        let low = rcode.to_be_bytes()[1];
        if let Some(edns) = self.edns {
            let [high, low] = UDP_PAYLOAD.to_be_bytes();
            let dnssec_ok = if edns.dnssec_ok { 0x80 } else { 0 };
            let opt =
                [0, 0, 41, high, low, rcode.to_be_bytes()[0] << 4 | rcode.to_be_bytes()[1] >> 4, 0, dnssec_ok, 0, 0, 0];
            self.out[self.at..self.at + OPT].copy_from_slice(&opt);
            self.at += OPT;
            self.counts[Section::Additional as usize] += 1;
        }
        let authoritative = if self.authoritative { AA } else { 0 };
        let truncated = if self.truncated { TC } else { 0 };
        let header = &mut self.out[..HEADER];
        header[2] = QR | request[2] & (OPCODE | RD) | authoritative | truncated;
        header[3] = request[3] & CD | low & 0x0f;
        for (at, count) in [6, 8, 10].into_iter().zip(self.counts) {
            header[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        self.at
    }

    /// The same for owners that no pointer reaches: each record gets its owner in full.
    #[cold]
    fn put_far(&mut self, section: Section, rrset: EncodedRrset<'_>, owner: Owner<'_>) -> Option<usize> {
        let start = self.at;
        let mut at = start;
        for (data_at, data) in rrset.data() {
            let head = self.put_owner(at, owner)?;
            let record = &rrset.octets()[data_at - RECORD_HEAD..data_at + data.len()];
            let end = head + record.len();
            self.out.get_mut(head..end).filter(|_| end <= self.limit)?.copy_from_slice(record);
            at = end;
        }
        self.at = at;
        self.counts[section as usize] += rrset.records();
        Some(start)
    }

    /// Writes an owner, as a pointer where one reaches it, and says where it ends. Moves nothing.
    fn put_owner(&mut self, at: usize, owner: Owner<'_>) -> Option<usize> {
        let pointer = pointer_to(owner.at);
        let name = if owner.at > FARTHEST { owner.name.suffix(owner.label) } else { &pointer };
        let end = at + name.len();
        self.out.get_mut(at..end).filter(|_| end <= self.limit)?.copy_from_slice(name);
        Some(end)
    }
}

/// A message of the header alone, for requests whose question cannot be told.
pub(crate) fn header_only(out: &mut [u8], request: &[u8], rcode: u16) -> usize {
    out[..2].copy_from_slice(&request[..2]);
    out[2] = QR | request[2] & (OPCODE | RD);
    out[3] = rcode.to_be_bytes()[1] & 0x0f;
    out[4..HEADER].fill(0);
    HEADER
}

/// A compression pointer; only for octets that it reaches.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the caller compares with the farthest octet")]
fn pointer_to(at: usize) -> [u8; 2] {
    (0xc000 | (at as u16 & 0x3fff)).to_be_bytes()
}
