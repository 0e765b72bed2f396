//! The TSIG record (RFC 8945 section 4.2), and what of a message is digested (section 4.3).

use mcdns_core::dns::OwnerName;

use super::algorithm::MacOctets;
use crate::{
    request::{HEADER, skip_name},
    wire::{MAX_NAME, RECORD_HEAD},
};

/// Type TSIG.
pub(crate) const TSIG: u16 = 250;
/// Class ANY.
const CLASS_ANY: u16 = 255;
/// Octets of a time: 48 bits.
const TIME: usize = 6;
/// Octets of a TSIG record without its two names, its MAC and its other data.
pub(super) const FIXED: usize = RECORD_HEAD + TIME + 2 + 2 + 2 + 2 + 2;

/// A message that is none, or whose TSIG record is none or not where it belongs (section 5.1): FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A TSIG record of a message.
#[derive(Clone)]
pub(super) struct Record<'a> {
    /// Octet of the message at which it starts; all before is what was signed.
    pub(super) start: usize,
    /// Its owner.
    pub(super) key: OwnerName,
    pub(super) fields: Fields,
    pub(super) mac: &'a [u8],
    pub(super) original_id: [u8; 2],
}

/// What of it is digested beside the key's name.
#[derive(Clone)]
pub(super) struct Fields {
    /// Domain name in canonical form.
    pub(super) algorithm: Vec<u8>,
    /// Unix time in seconds.
    pub(super) time: u64,
    /// Seconds by which two clocks may differ.
    pub(super) fudge: u16,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

impl<'a> Record<'a> {
    /// Reads the TSIG record at `start`, which is the last of the message. Its owner may be compressed, the name of
    /// the algorithm not (RFC 3597 section 4).
    pub(super) fn read(message: &'a [u8], start: usize) -> Result<Self, Malformed> {
        let (key, at) = read_name(message, start).ok_or(Malformed)?;
        let mut rest = Rest(message.get(at..).ok_or(Malformed)?);
        let head = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
        // "CLASS: This MUST be ANY. TTL: This MUST be 0."
        if head != [TSIG, CLASS_ANY, 0, 0] || usize::from(rest.number()?) != rest.0.len() {
            return Err(Malformed);
        }
        let algorithm = rest.name()?;
        let time = u64::from(rest.number()?) << 32 | u64::from(rest.number()?) << 16 | u64::from(rest.number()?);
        let fudge = rest.number()?;
        let mac = rest.octets()?;
        let original_id = rest.number()?.to_be_bytes();
        let error = rest.number()?;
        let other = rest.octets()?.to_vec();
        if !rest.0.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { start, key, fields: Fields { algorithm, time, fudge, error, other }, mac, original_id })
    }
}

impl Fields {
    /// The TSIG variables, which stand behind the message in what is digested (section 4.3.3).
    pub(super) fn variables(&self, key: &OwnerName) -> Vec<u8> {
        let mut out = Vec::with_capacity(key.as_wire().len() + self.algorithm.len() + FIXED + self.other.len());
        out.extend_from_slice(key.as_wire());
        out.extend_from_slice(&CLASS_ANY.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.algorithm);
        out.extend_from_slice(&self.timers());
        out.extend_from_slice(&self.error.to_be_bytes());
        put_octets(&mut out, &self.other);
        out
    }

    /// Time and fudge, which are all that is digested behind the messages of a stream but the first (section 5.3.1).
    pub(super) fn timers(&self) -> [u8; TIME + 2] {
        (self.time << 16 | u64::from(self.fudge)).to_be_bytes()
    }

    /// The record with this MAC, for a message with this ID.
    pub(super) fn write(&self, key: &OwnerName, mac: &[u8], id: [u8; 2]) -> Vec<u8> {
        let data = self.algorithm.len() + FIXED - RECORD_HEAD + mac.len() + self.other.len();
        let mut out = Vec::with_capacity(key.as_wire().len() + RECORD_HEAD + data);
        out.extend_from_slice(key.as_wire());
        for field in [TSIG, CLASS_ANY, 0, 0, short(data)] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&self.algorithm);
        out.extend_from_slice(&self.timers());
        put_octets(&mut out, mac);
        out.extend_from_slice(&id);
        out.extend_from_slice(&self.error.to_be_bytes());
        put_octets(&mut out, &self.other);
        out
    }

    /// True if `now` is within the time that the record gives (section 5.2.3).
    pub(super) fn is_timely(&self, now: u64) -> bool {
        self.time.abs_diff(now) <= u64::from(self.fudge)
    }
}

/// The header as it was when the message was signed: with the original ID, and without the TSIG record in its count
/// of additional records. None where that count is 0.
pub(super) fn header_signed(message: &[u8], original_id: [u8; 2]) -> Option<[u8; HEADER]> {
    let mut header: [u8; HEADER] = message.get(..HEADER)?.try_into().ok()?;
    header[..2].copy_from_slice(&original_id);
    let additional = u16::from_be_bytes([header[10], header[11]]).checked_sub(1)?;
    header[10..].copy_from_slice(&additional.to_be_bytes());
    Some(header)
}

/// A MAC as it is digested in front of what answers it: with its length.
pub(super) fn prior(mac: &MacOctets) -> Vec<u8> {
    let mut out = Vec::new();
    put_octets(&mut out, mac.as_slice());
    out
}

/// Finds the TSIG record of a whole message: none, or the last record of its additional section.
pub(super) fn find(message: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut rest = Rest(message);
    let counts = [(); HEADER / 2].map(|()| rest.number());
    let [_, _, questions, answers, authorities, additionals] = counts;
    let mut at = HEADER;
    for _ in 0..questions? {
        at = skip_name(message, at).ok_or(Malformed)? + 4;
    }
    let records = u32::from(answers?) + u32::from(authorities?);
    let last = records + u32::from(additionals?);
    for place in 1..=last {
        let start = at;
        let head = skip_name(message, at).ok_or(Malformed)?;
        let mut rest = Rest(message.get(head..).ok_or(Malformed)?);
        let record_type = rest.number()?;
        for _ in 0..3 {
            rest.number()?;
        }
        at = head + RECORD_HEAD + rest.octets()?.len();
        if record_type == TSIG {
            let is_last = place == last && place > records && at == message.len();
            return if is_last { Ok(Some(start)) } else { Err(Malformed) };
        }
    }
    Ok(None)
}

/// Appends octets with their number in front.
fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&short(octets.len()).to_be_bytes());
    out.extend_from_slice(octets);
}

/// A length; none that is written here comes near the limit.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// Reads a name that may be compressed, and says what stands behind it. Pointers point before the name that they
/// are in (RFC 1035 section 4.1.4: to what occurred before), so that reading ends.
fn read_name(message: &[u8], start: usize) -> Option<(OwnerName, usize)> {
    let mut wire = Vec::new();
    let (mut at, mut from, mut behind) = (start, start, None);
    loop {
        let length = *message.get(at)?;
        match length {
            0..=63 => {
                let next = at + 1 + usize::from(length);
                wire.extend_from_slice(message.get(at..next)?);
                if wire.len() > MAX_NAME {
                    return None;
                }
                if length == 0 {
                    return Some((OwnerName::from_wire(&wire).ok()?, behind.unwrap_or(next)));
                }
                at = next;
            }
            0xc0.. => {
                behind = behind.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
                if at >= from {
                    return None;
                }
                from = at;
            }
            _ => return None,
        }
    }
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Result<u16, Malformed> {
        let (&number, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(number))
    }

    /// Octets with their number in front.
    fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.number()?);
        let (octets, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(octets)
    }

    /// A name that is not compressed, in canonical form.
    fn name(&mut self) -> Result<Vec<u8>, Malformed> {
        let end = skip_name(self.0, 0).filter(|&end| end <= self.0.len()).ok_or(Malformed)?;
        let (name, rest) = self.0.split_at(end);
        self.0 = rest;
        Ok(OwnerName::from_wire(name).map_err(|_| Malformed)?.as_wire().to_vec())
    }
}
