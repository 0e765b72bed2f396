//! A look at the records of a message, for what a transport itself must know of it.

use mcdns_core::dns::RecordType;

use crate::{
    request::{HEADER, number, skip_name},
    wire::{KEEPALIVE, RECORD_HEAD},
};

/// NOERROR and NXDOMAIN: RCODEs of answers about names.
const ABOUT_NAMES: [u8; 2] = [0, 3];

/// The sections behind the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

struct Record<'a> {
    section: Section,
    kind: RecordType,
    ttl: u32,
    data: &'a [u8],
}

/// How long HTTP caches may keep an answer, in seconds: the smallest TTL of the answer section; without answers what
/// the SOA record says (RFC 8484 section 5.1, RFC 2308 section 5), or the smallest TTL of a referral. None for
/// errors, which shall not be kept.
pub(crate) fn freshness(answer: &[u8]) -> Option<u32> {
    if !ABOUT_NAMES.contains(&(answer.get(3)? & 0x0f)) {
        return None;
    }
    let smallest = |wanted| {
        let ttls = records(answer)
            .filter(|record| record.section == wanted && record.kind != RecordType::OPT)
            .map(|record| record.ttl.min(minimum(&record, wanted)));
        ttls.min()
    };
    smallest(Section::Answer).or_else(|| smallest(Section::Authority))
}

/// True if the message has the EDNS option of TCP keepalive, which has no place in DNS over QUIC.
pub(crate) fn has_keepalive(message: &[u8]) -> bool {
    let mut opts = records(message).filter(|record| record.kind == RecordType::OPT);
    opts.any(|record| {
        let mut options = record.data;
        while let [high, low, length_high, length_low, rest @ ..] = options {
            if u16::from_be_bytes([*high, *low]) == KEEPALIVE {
                return true;
            }
            options = rest.get(usize::from(u16::from_be_bytes([*length_high, *length_low]))..).unwrap_or_default();
        }
        false
    })
}

/// MINIMUM of the SOA record of a negative answer; no limit for others.
fn minimum(record: &Record<'_>, section: Section) -> u32 {
    match record.data.last_chunk() {
        Some(&last) if section == Section::Authority && record.kind == RecordType::SOA => u32::from_be_bytes(last),
        _ => u32::MAX,
    }
}

/// The records behind the question, as far as they can be read.
fn records(message: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let counts = [4, 6, 8, 10].map(|at| if message.len() < HEADER { 0 } else { number(message, at) });
    let sections = [Section::Answer, Section::Authority, Section::Additional].into_iter().zip(counts[1..].to_vec());
    let start = (0..counts[0]).try_fold(HEADER, |at, _| skip_name(message, at).map(|end| end + 4));
    sections.flat_map(|(section, count)| (0..count).map(move |_| section)).scan(start, |at, section| {
        let head = skip_name(message, (*at)?)?;
        let fixed = message.get(head..head + RECORD_HEAD)?;
        let data = head + RECORD_HEAD;
        let end = data + usize::from(number(fixed, 8));
        *at = Some(end);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        Some(Record { section, kind: RecordType(number(fixed, 0)), ttl, data: message.get(data..end)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `example.com. A`, with these records behind it: counts of the sections and their octets.
    fn message(rcode: u8, counts: [u8; 3], records: &[&[u8]]) -> Vec<u8> {
        let [answers, authorities, additionals] = counts;
        let header = [0, 0, 0x84, rcode, 0, 1, 0, answers, 0, authorities, 0, additionals];
        [&header[..], b"\x07example\x03com\x00\x00\x01\x00\x01", &records.concat()].concat()
    }

    fn record(kind: u8, ttl: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).expect("short");
        [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, ttl, 0, length][..], data].concat()
    }

    #[test]
    fn an_answer_is_fresh_for_its_smallest_ttl_and_an_error_never() {
        let (long, short) = (record(1, 200, &[192, 0, 2, 1]), record(1, 60, &[192, 0, 2, 2]));
        let soa = record(6, 90, &[&[0; 18][..], &30_u32.to_be_bytes()].concat());
        let servers = record(2, 80, &[0]);
        let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
        let cases: [(&str, Vec<u8>, Option<u32>); 6] = [
            ("answers", message(0, [2, 0, 1], &[&long, &short, &opt]), Some(60)),
            ("an answer, and NS with a smaller TTL", message(0, [1, 1, 0], &[&long, &servers]), Some(200)),
            ("NXDOMAIN", message(3, [0, 1, 1], &[&soa, &opt]), Some(30)),
            ("a referral", message(0, [0, 1, 0], &[&servers]), Some(80)),
            ("REFUSED", message(5, [0, 0, 1], &[&opt]), None),
            ("nothing at all", message(0, [0, 0, 0], &[]), None),
        ];
        for (name, message, expected) in cases {
            assert_eq!(freshness(&message), expected, "{name}");
            (0..message.len()).for_each(|end| _ = freshness(&message[..end]));
        }
    }

    #[test]
    fn a_keepalive_option_is_found_behind_others() {
        let opt = |options: &[u8]| {
            let length = u8::try_from(options.len()).expect("short");
            message(0, [0, 0, 1], &[&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length], options])
        };
        assert!(has_keepalive(&opt(&[0, 11, 0, 0])));
        assert!(has_keepalive(&opt(&[0, 3, 0, 2, 0, 11, 0, 11, 0, 2, 0, 100])));
        assert!(!has_keepalive(&opt(&[0, 3, 0, 4, 0, 11, 0, 0])));
        assert!(!has_keepalive(&opt(&[0, 3, 0, 99, 0, 11])));
        assert!(!has_keepalive(&[]));
    }
}
