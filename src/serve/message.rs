//! Writing an answer, RRset by RRset, into a buffer with a limit.

use mcdns_core::{
    answer::{EncodedRrset, QueryName, RecordRef},
    dns::{RecordType, Ttl},
};

use crate::{
    edns::ReplyOptions,
    request::{CLASS_IN, Edns, HEADER, Question},
    wire::{AA, CD, FARTHEST, OPCODE, OPT, QR, RD, RECORD_HEAD, TC},
};

/// Octets of one character string (RFC 1035 section 3.3).
const LONGEST_STRING: usize = 255;

/// QDCOUNT 1 among the four counts of the header.
const ONE_QUESTION: u64 = 1 << 48;

/// Sections behind the question, by the bit at which their count starts among the four of the header.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Section {
    Answer = 32,
    Authority = 16,
    Additional = 0,
}

impl Section {
    /// So many records more. They fit into 65,535 octets, so that no count runs over into the next.
    #[inline]
    fn count(self, records: u16) -> u64 {
        u64::from(records) << self as u32
    }
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

/// How long a message may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// All of it.
    pub(crate) octets: usize,
    /// What is appended by others, counted in `octets`: a signature.
    pub(crate) reserve: usize,
}

/// An answer that is being written. It never grows past its limit, and every RRset is in it whole or not at all.
pub(crate) struct Message<'a> {
    out: &'a mut [u8],
    at: usize,
    /// For all but the OPT record, for which there is room behind it.
    limit: usize,
    /// The four counts of the header as one number, that of the additional section last.
    counts: u64,
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
        Self { out, at: question_end, limit, counts: ONE_QUESTION, edns, authoritative: false, truncated: false }
    }

    /// Starts with the header and the question, if there is one; room is kept for an OPT record with `options` octets
    /// of options and for what comes behind the message.
    pub(crate) fn start_with(
        out: &'a mut [u8],
        request: &[u8],
        question: Option<&Question>,
        limit: Limit,
        edns: Option<Edns>,
        options: usize,
    ) -> Self {
        out[..HEADER].copy_from_slice(&request[..HEADER]);
        let at = question.map_or(HEADER, |question| question.end);
        out[HEADER..at].copy_from_slice(&request[HEADER..at]);
        let kept = limit.reserve + if edns.is_some() { OPT + options } else { 0 };
        let limit = limit.octets.min(out.len()).saturating_sub(kept);
        let counts = if question.is_some() { ONE_QUESTION } else { 0 };
        Self { out, at, limit, counts, edns, authoritative: false, truncated: false }
    }

    /// True if the client takes DNSSEC records that it did not ask for (RFC 3225).
    pub(crate) fn wants_dnssec(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Takes all records out again, so that the header and the question stay, which end at `question_end`.
    pub(crate) fn keep_question(&mut self, question_end: usize) {
        self.at = question_end;
        self.counts &= ONE_QUESTION;
    }

    /// What is written so far.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.out[..self.at]
    }

    /// Octets that are left for records.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.at)
    }

    /// Appends records to the answer section that were encoded for this place and fit.
    pub(crate) fn put_encoded(&mut self, records: &[u8], count: u16) {
        let end = self.at + records.len();
        if end <= self.limit {
            self.out[self.at..end].copy_from_slice(records);
            self.at = end;
            self.counts += Section::Answer.count(count);
        }
    }

    /// Appends a whole RRset at the name of the question, as [`Message::put`] does for any name.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what nearly every answer is; a call would cost as much as all of it does"
    )]
    pub(crate) fn put_direct(&mut self, section: Section, rrset: EncodedRrset<'_>) -> Option<usize> {
        let start = self.at;
        let octets = rrset.octets();
        let end = start + octets.len();
        if end > self.limit {
            return None;
        }
        // Records come with a pointer to the question.
        self.out[start..end].copy_from_slice(octets);
        self.at = end;
        self.counts += section.count(rrset.records());
        Some(start)
    }

    /// Appends a whole RRset and says where it starts; none, and nothing written, where it does not fit.
    #[inline]
    pub(crate) fn put(&mut self, section: Section, rrset: EncodedRrset<'_>, owner: Owner<'_>) -> Option<usize> {
        if owner.at > FARTHEST {
            return self.put_far(section, rrset, owner);
        }
        let start = self.put_direct(section, rrset)?;
        if owner.at != HEADER {
            let pointer = pointer_to(owner.at);
            let written = &mut self.out[start..self.at];
            for (data, _) in rrset.data() {
                written[data - RECORD_HEAD - 2..data - RECORD_HEAD].copy_from_slice(&pointer);
            }
        }
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
        self.counts += Section::Answer.count(1);
        Some(data)
    }

    /// Appends one record of class IN whose owner is `owner`, in lower case, with a pointer to as much of it as `known` ends
    /// with. False, and nothing written, where it does not fit.
    pub(crate) fn put_record(&mut self, section: Section, record: &RecordRef<'_>, known: Owner<'_>) -> bool {
        let (front, pointer) = compress(record.owner, known);
        let tail: &[u8] = pointer.as_ref().map_or(&[0], |pointer| &pointer[..]);
        let Ok(length) = u16::try_from(record.data.len()) else { return false };
        let head = self.at + front.len() + tail.len();
        let end = head + RECORD_HEAD + record.data.len();
        if end > self.limit {
            return false;
        }
        let out = &mut self.out[self.at..end];
        let (owner, rest) = out.split_at_mut(front.len() + tail.len());
        owner[..front.len()].copy_from_slice(front);
        owner[front.len()..].copy_from_slice(tail);
        rest[..2].copy_from_slice(&record.record_type.0.to_be_bytes());
        rest[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        rest[4..8].copy_from_slice(&record.ttl.to_be_bytes());
        rest[8..RECORD_HEAD].copy_from_slice(&length.to_be_bytes());
        rest[RECORD_HEAD..].copy_from_slice(record.data);
        self.at = end;
        self.counts += section.count(1);
        true
    }

    /// Appends a TXT record of class CH and TTL 0 at the name of the question; false, and nothing written, where it does
    /// not fit.
    pub(crate) fn put_chaos_text(&mut self, text: &str) -> bool {
        let mut record = vec![0xc0, 12, 0, 16, 0, 3, 0, 0, 0, 0, 0, 0];
        let data = record.len();
        // "One or more <character-string>s" (RFC 1035 section 3.3.14): an empty text is one that is empty.
        let nothing = text.is_empty().then_some(&[][..]);
        for part in text.as_bytes().chunks(LONGEST_STRING).chain(nothing) {
            record.push(u8::try_from(part.len()).unwrap_or(0));
            record.extend_from_slice(part);
        }
        let Ok(length) = u16::try_from(record.len() - data) else { return false };
        record[data - 2..data].copy_from_slice(&length.to_be_bytes());
        let end = self.at + record.len();
        if end > self.limit {
            return false;
        }
        self.out[self.at..end].copy_from_slice(&record);
        self.at = end;
        self.counts += Section::Answer.count(1);
        true
    }

    /// Completes header and OPT record, and says how many octets the message has. `payload` is what we take over UDP.
    #[inline]
    pub(crate) fn finish(mut self, request: &[u8], rcode: u16, payload: u16) -> usize {
        if let Some(edns) = self.edns {
            self.put_opt(edns, rcode, payload);
        }
        self.put_header(request, rcode);
        self.at
    }

    /// The same with options in the OPT record, if there is one; what is behind `limit` stays free. The header tells
    /// whether there is a question.
    pub(crate) fn finish_with(
        mut self,
        request: &[u8],
        rcode: u16,
        payload: u16,
        limit: Limit,
        options: &ReplyOptions<'_>,
    ) -> usize {
        if let Some(edns) = self.edns {
            self.put_opt(edns, rcode, payload);
            let room = limit.octets.min(self.out.len());
            let length = options.write(&mut self.out[..room], self.at, limit.reserve);
            let [high, low] = length.to_be_bytes();
            (self.out[self.at - 2], self.out[self.at - 1]) = (high, low);
            self.at += usize::from(length);
        }
        self.put_header(request, rcode);
        self.at
    }

    #[inline]
    fn put_opt(&mut self, edns: Edns, rcode: u16, payload: u16) {
        let [high, low] = payload.to_be_bytes();
        let dnssec_ok = if edns.dnssec_ok { 0x80 } else { 0 };
        // RFC 6891 section 6.1.3: the high 8 bits of a code of 12.
        let [_, extended] = (rcode >> 4).to_be_bytes();
        let opt = [0, 0, 41, high, low, extended, 0, dnssec_ok, 0, 0, 0];
        self.out[self.at..self.at + OPT].copy_from_slice(&opt);
        self.at += OPT;
        self.counts += Section::Additional.count(1);
    }

    #[inline]
    fn put_header(&mut self, request: &[u8], rcode: u16) {
        let low = rcode.to_be_bytes()[1];
        let authoritative = if self.authoritative { AA } else { 0 };
        let truncated = if self.truncated { TC } else { 0 };
        let header = &mut self.out[..HEADER];
        header[2] = QR | request[2] & (OPCODE | RD) | authoritative | truncated;
        header[3] = request[3] & CD | low & 0x0f;
        header[4..].copy_from_slice(&self.counts.to_be_bytes());
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
        self.counts += section.count(rrset.records());
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

/// The labels of `owner` that are to be written, and the pointer behind them; none where all labels are written.
fn compress<'o>(owner: &'o [u8], known: Owner<'_>) -> (&'o [u8], Option<[u8; 2]>) {
    let labels = known.name.labels();
    let mut left = 0;
    let mut at = 0;
    while owner[at] != 0 {
        left += 1;
        at += 1 + usize::from(owner[at]);
    }
    let end = at;
    at = 0;
    while left > 0 {
        if left <= labels && owner[at..] == *known.name.suffix(labels - left) {
            let place = known.at.saturating_add(known.name.start(labels - left) - known.name.start(known.label));
            return if place > FARTHEST { (&owner[..end], None) } else { (&owner[..at], Some(pointer_to(place))) };
        }
        left -= 1;
        at += 1 + usize::from(owner[at]);
    }
    (&owner[..end], None)
}

/// Counts one more additional record in the header of a message.
pub(crate) fn count_additional(message: &mut [u8]) {
    if let Some([high, low]) = message.get_mut(10..HEADER) {
        [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_add(1).to_be_bytes();
    }
}

/// A compression pointer; only for octets that it reaches.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the caller compares with the farthest octet")]
fn pointer_to(at: usize) -> [u8; 2] {
    (0xc000 | (at as u16 & 0x3fff)).to_be_bytes()
}
