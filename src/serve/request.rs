//! Reading a query: header, question and EDNS (RFC 1035 section 4.1, RFC 6891).

use mcdns_core::{answer::QueryName, dns::RecordType};

/// Octets of a message's header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;
/// Class IN.
pub(crate) const CLASS_IN: u16 = 1;
/// Type, class, TTL and RDLENGTH of a record.
const RECORD_HEAD: usize = 10;

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

/// Why the records behind the question could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not the fault of an OPT record.
    Message,
    /// Two OPT records, or one that is wrong.
    Opt,
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
    let record_type = RecordType(u16::from_be_bytes([fixed[0], fixed[1]]));
    Some(Question { record_type, class: u16::from_be_bytes([fixed[2], fixed[3]]), end: at + 4 })
}

/// Reads what stands behind the question: EDNS if there is any. Octets behind the last record are left alone.
#[inline]
pub(crate) fn read_edns(request: &[u8], question: &Question) -> Result<Option<Edns>, Malformed> {
    // What nearly every query has: one OPT record without options, and nothing else.
    if let ([0, 0, 0, 0, 0, 1], &[0, 0, 41, high, low, _, version, flags, _, 0, 0]) =
        (&request[6..HEADER], &request[question.end..])
    {
        let payload = u16::from_be_bytes([high, low]);
        return Ok(Some(Edns { payload, version, dnssec_ok: flags & 0x80 != 0 }));
    }
    let (answers, authorities, additionals) = (number(request, 6), number(request, 8), number(request, 10));
    // A query for IXFR has the SOA of the client in its authority section (RFC 1995 section 3).
    if answers != 0 || authorities != 0 && question.record_type != RecordType::IXFR {
        return Err(Malformed::Message);
    }
    let mut at = question.end;
    for _ in 0..authorities {
        at = read_record(request, at).ok_or(Malformed::Message)?.end;
    }
    let mut edns = None;
    for _ in 0..additionals {
        let record = read_record(request, at).ok_or(Malformed::Message)?;
        if record.kind == RecordType::OPT {
            // "The NAME … MUST be 0 (root domain)" (section 6.1.2); "if a query message with more than one OPT RR is
            // received, a FORMERR … MUST be returned" (section 6.1.1).
            if edns.is_some() || request[at] != 0 || !are_options(&request[record.data..record.end]) {
                return Err(Malformed::Opt);
            }
            let head = &request[record.data - RECORD_HEAD..];
            edns = Some(Edns { payload: number(head, 2), version: head[5], dnssec_ok: head[6] & 0x80 != 0 });
        }
        at = record.end;
    }
    Ok(edns)
}

struct Record {
    kind: RecordType,
    /// Where the RDATA starts and ends.
    data: usize,
    end: usize,
}

/// Finds the parts of the record at `at`; its name may be compressed and is not looked at.
fn read_record(request: &[u8], mut at: usize) -> Option<Record> {
    loop {
        let length = usize::from(*request.get(at)?);
        match length {
            0 => {
                at += 1;
                break;
            }
            1..=63 => at += 1 + length,
            0xc0.. => {
                at += 2;
                break;
            }
            _ => return None,
        }
    }
    let head = request.get(at..at + RECORD_HEAD)?;
    let data = at + RECORD_HEAD;
    let end = data + usize::from(number(head, 8));
    (end <= request.len()).then(|| Record { kind: RecordType(number(head, 0)), data, end })
}

/// True for a sequence of options: code, length, that many octets (RFC 6891 section 6.1.2).
fn are_options(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        if data.len() < 4 {
            return false;
        }
        let Some(rest) = data.get(4 + usize::from(number(data, 2))..) else { return false };
        data = rest;
    }
    true
}
