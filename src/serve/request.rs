//! Reading a query: header, question and EDNS (RFC 1035 section 4.1, RFC 6891).

use mcdns_core::{answer::QueryName, dns::RecordType};

use crate::{edns, wire::RECORD_HEAD};

/// Octets of a message's header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;
/// Class IN.
pub(crate) const CLASS_IN: u16 = 1;
/// Class CH.
pub(crate) const CLASS_CH: u16 = 3;
/// Octets of an OPT record without options.
const OPT: usize = 11;

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) record_type: RecordType,
    pub(crate) class: u16,
    /// Octet behind the question.
    pub(crate) end: usize,
}

/// What an OPT record says (RFC 6891 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edns {
    /// Largest UDP answer that the client takes, in octets.
    pub(crate) payload: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not the fault of an OPT record.
    Message,
    /// Two OPT records, or one that is wrong.
    Opt,
}

/// The request is to be read by [`read_parts`].
#[derive(Debug)]
pub(crate) struct NotPlain;

/// What any message consists of, as far as it can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'r> {
    /// The question, where there is exactly one; its name is in the [`QueryName`] that was given.
    pub(crate) question: Option<Question>,
    /// The OPT record, even in a message that is wrong otherwise.
    pub(crate) edns: Option<Edns>,
    /// RDATA of the OPT record: well-formed options (RFC 6891 section 6.1.2).
    pub(crate) options: &'r [u8],
    /// Where the last record starts, if that is a TSIG record (RFC 8945 section 5.1).
    pub(crate) tsig: Option<usize>,
    /// Where the authority section starts; for IXFR.
    pub(crate) authorities: usize,
    /// What is wrong.
    pub(crate) malformed: Option<Malformed>,
}

/// The number at `at`; the caller has seen to it that it is there.
#[inline]
pub(crate) fn number(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}

/// Reads the one question of a message, its name into `name`. Names in questions are not compressed: there is
/// nothing in front of them that they could point to.
#[inline]
pub(crate) fn read_question(request: &[u8], name: &mut QueryName) -> Option<Question> {
    let at = HEADER + name.read(&request[HEADER..])?;
    let fixed = request.get(at..at + 4)?;
    Some(Question { record_type: RecordType(number(fixed, 0)), class: number(fixed, 2), end: at + 4 })
}

/// Reads what stands behind the question of a plain query: nothing, or one OPT record of version 0 without options.
#[inline]
pub(crate) fn read_plain_edns(request: &[u8], question_end: usize) -> Result<Option<Edns>, NotPlain> {
    let behind = &request[question_end..];
    if let Ok(opt) = <&[u8; OPT]>::try_from(behind)
        && request[10..HEADER] == [0, 1]
    {
        // In two pieces that overlap: name, type, version and RDLENGTH must be these, payload, RCODE and flags may be
        // any.
        let [o0, o1, o2, o3, o4, o5, o6, o7, ..] = *opt;
        let [.., p0, p1, p2, p3] = *opt;
        let head = u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let tail = u32::from_be_bytes([p0, p1, p2, p3]);
        if head & 0xffff_ff00_0000_ff00 != 0x0000_2900_0000_0000 || tail & 0xffff != 0 {
            return Err(NotPlain);
        }
        return Ok(Some(Edns { payload: u16::from_be_bytes([o3, o4]), version: 0, dnssec_ok: o7 & 0x80 != 0 }));
    }
    if behind.is_empty() && number(request, 10) == 0 { Ok(None) } else { Err(NotPlain) }
}

/// Reads a message of any kind; a question's name goes to `name`. At least a header must be there.
///
/// Octets behind the last record are left alone, as by BIND and NSD (Knot calls them a FORMERR): nothing in them can
/// change the answer, and middle boxes that pad are known. A query has no answers, and authorities for IXFR alone
/// (RFC 1995 section 3); NSD and Knot refuse others too.
pub(crate) fn read_parts<'r>(request: &'r [u8], name: &mut QueryName) -> Parts<'r> {
    let mut parts =
        Parts { question: None, edns: None, options: &[], tsig: None, authorities: HEADER, malformed: None };
    let malformed = read_into(&mut parts, request, name).err();
    parts.malformed = parts.malformed.or(malformed);
    parts
}

fn read_into<'r>(parts: &mut Parts<'r>, request: &'r [u8], name: &mut QueryName) -> Result<(), Malformed> {
    let questions = number(request, 4);
    let mut at = HEADER;
    if questions == 1 {
        let question = read_question(request, name).ok_or(Malformed::Message)?;
        at = question.end;
        parts.question = Some(question);
    } else {
        for _ in 0..questions {
            at = skip_name(request, at).map(|at| at + 4).filter(|&at| at <= request.len()).ok_or(Malformed::Message)?;
        }
    }
    let mut is_tsig_early = false;
    for _ in 0..number(request, 6) {
        let record = read_record(request, at).ok_or(Malformed::Message)?;
        is_tsig_early |= record.kind == RecordType::TSIG;
        at = record.end;
    }
    parts.authorities = at;
    for _ in 0..number(request, 8) {
        let record = read_record(request, at).ok_or(Malformed::Message)?;
        is_tsig_early |= record.kind == RecordType::TSIG;
        at = record.end;
    }
    let additionals = number(request, 10);
    for left in (0..additionals).rev() {
        let record = read_record(request, at).ok_or(Malformed::Message)?;
        match record.kind {
            // "The NAME … MUST be 0 (root domain)" (RFC 6891 section 6.1.2); "if a query message with more than one
            // OPT RR is received, a FORMERR … MUST be returned" (section 6.1.1).
            RecordType::OPT => {
                let data = &request[record.data..record.end];
                if parts.edns.is_some() || request[at] != 0 || !edns::are_options(data) {
                    parts.malformed = Some(Malformed::Opt);
                }
                let head = &request[record.data - RECORD_HEAD..];
                let read = Edns { payload: number(head, 2), version: head[5], dnssec_ok: head[6] & 0x80 != 0 };
                parts.edns.get_or_insert(read);
                parts.options = data;
            }
            // RFC 8945 section 5.1: "If multiple TSIG records are detected or a TSIG record is present in any other
            // position, the DNS message is dropped and a response with RCODE 1 (FORMERR) MUST be returned."
            RecordType::TSIG if left == 0 => parts.tsig = Some(at),
            RecordType::TSIG => is_tsig_early = true,
            _ => {}
        }
        at = record.end;
    }
    if is_tsig_early { Err(Malformed::Message) } else { Ok(()) }
}

/// Where a record stands.
pub(crate) struct Record {
    pub(crate) kind: RecordType,
    /// Where the RDATA starts and ends.
    pub(crate) data: usize,
    pub(crate) end: usize,
}

/// Finds the parts of the record at `at`; its name may be compressed and is not looked at.
pub(crate) fn read_record(request: &[u8], at: usize) -> Option<Record> {
    let at = skip_name(request, at)?;
    let head = request.get(at..at + RECORD_HEAD)?;
    let data = at + RECORD_HEAD;
    let end = data + usize::from(number(head, 8));
    (end <= request.len()).then(|| Record { kind: RecordType(number(head, 0)), data, end })
}

/// Where the name at `at`, which may be compressed, ends.
pub(crate) fn skip_name(request: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*request.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + length,
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}
