//! A second reader of messages, stricter than others: what it takes leaves nothing to be liberal about.
//!
//! * The counts of the header are the records that are there, and nothing stands behind them.
//! * Pointers lead backwards, to the start of a label of this message, and names have at most 255 octets.
//! * RDATA of known types is all used, and names in it are compressed only where RFC 3597 section 4 allows it.

use std::ops::Range;

/// Octets of a header.
const HEADER: usize = 12;
const OPT: u16 = 41;
pub(crate) const TSIG: u16 = 250;

/// A message that is well-formed.
pub(crate) struct Read {
    pub(crate) question: Option<Question>,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// Without OPT and TSIG.
    pub(crate) additionals: Vec<Record>,
    pub(crate) opt: Option<Opt>,
    pub(crate) tsig: bool,
}

pub(crate) struct Question {
    /// In lower case.
    pub(crate) name: Vec<u8>,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    pub(crate) end: usize,
}

#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "`type` is a word of the language")]
pub(crate) struct Record {
    /// In lower case.
    pub(crate) owner: Vec<u8>,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// The name that the data leads to, in lower case; empty for types without one.
    pub(crate) target: Vec<u8>,
    pub(crate) data: Range<usize>,
}

pub(crate) struct Opt {
    pub(crate) payload: u16,
    pub(crate) extended: u8,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    /// Code and data of its options.
    pub(crate) options: Vec<(u16, Range<usize>)>,
}

/// Reads a whole message.
pub(crate) fn read(message: &[u8]) -> Result<Read, &'static str> {
    if message.len() < HEADER {
        return Err("shorter than a header");
    }
    let mut at = HEADER;
    let question = match number(message, 4)? {
        0 => None,
        1 => {
            let (name, end) = name(message, HEADER)?;
            at = end + 4;
            Some(Question { name, record_type: number(message, end)?, class: number(message, end + 2)?, end: at })
        }
        _ => return Err("more than one question"),
    };
    let mut read = Read {
        question,
        answers: Vec::new(),
        authorities: Vec::new(),
        additionals: Vec::new(),
        opt: None,
        tsig: false,
    };
    for section in 0..3 {
        for left in (0..number(message, 6 + 2 * section)?).rev() {
            let record = record(message, at)?;
            at = record.data.end;
            match (section, record.record_type) {
                (2, OPT) if read.opt.is_some() => return Err("two OPT records"),
                (2, OPT) => read.opt = Some(opt(message, &record)?),
                (2, TSIG) if left == 0 => read.tsig = true,
                (_, OPT | TSIG) => return Err("OPT or TSIG where they do not belong"),
                (0, _) => read.answers.push(record),
                (1, _) => read.authorities.push(record),
                _ => read.additionals.push(record),
            }
        }
    }
    if at == message.len() { Ok(read) } else { Err("something behind the last record") }
}

fn record(message: &[u8], at: usize) -> Result<Record, &'static str> {
    let (owner, at) = name(message, at)?;
    let ttl = u32::from(number(message, at + 4)?) << 16 | u32::from(number(message, at + 6)?);
    let data = at + 10..at + 10 + usize::from(number(message, at + 8)?);
    if data.end > message.len() {
        return Err("data beyond the message");
    }
    let (record_type, class) = (number(message, at)?, number(message, at + 2)?);
    let target = if matches!(class, 1 | 3) { target(message, record_type, &data)? } else { Vec::new() };
    Ok(Record { owner, record_type, class, ttl, target, data })
}

/// Reads the data, and gives the name in it.
fn target(message: &[u8], record_type: u16, data: &Range<usize>) -> Result<Vec<u8>, &'static str> {
    let length = data.len();
    let whole = |(name, end)| if end == data.end { Ok(name) } else { Err("a name that does not fill its data") };
    match record_type {
        1 if length != 4 => Err("A has four octets"),
        28 if length != 16 => Err("AAAA has sixteen octets"),
        2 | 5 | 12 => whole(name(message, data.start)?),
        6 => {
            let (_, at) = name(message, data.start)?;
            let (_, at) = name(message, at)?;
            if at + 20 == data.end { Ok(Vec::new()) } else { Err("SOA has five numbers behind its names") }
        }
        15 => whole(name(message, data.start + 2)?),
        33 => whole(plain_name(message, data.start + 6)?),
        39 => whole(plain_name(message, data.start)?),
        64 | 65 => {
            let (target, mut at) = plain_name(message, data.start + 2)?;
            while at < data.end {
                at += 4 + usize::from(number(message, at + 2)?);
            }
            if at == data.end { Ok(target) } else { Err("parameters of a service binding") }
        }
        16 => {
            let mut at = data.start;
            while at < data.end {
                at += 1 + usize::from(message[at]);
            }
            if at == data.end && length > 0 { Ok(Vec::new()) } else { Err("strings that do not fill their data") }
        }
        _ => Ok(Vec::new()),
    }
}

fn opt(message: &[u8], record: &Record) -> Result<Opt, &'static str> {
    if record.owner != [0] {
        return Err("OPT belongs to the root");
    }
    let mut options = Vec::new();
    let mut at = record.data.start;
    while at < record.data.end {
        let code = number(message, at)?;
        let data = at + 4..at + 4 + usize::from(number(message, at + 2)?);
        at = data.end;
        options.push((code, data));
    }
    if at != record.data.end {
        return Err("options that do not fill their data");
    }
    let [extended, version, flags, rest] = record.ttl.to_be_bytes();
    if flags & 0x7f != 0 || rest != 0 {
        return Err("flags of OPT that there are not");
    }
    Ok(Opt { payload: record.class, extended, version, dnssec_ok: flags != 0, options })
}

/// A name in lower case, and where it ends.
pub(crate) fn name(message: &[u8], start: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let (mut name, mut at, mut from, mut end) = (Vec::with_capacity(48), start, start, None);
    loop {
        let length = *message.get(at).ok_or("a name beyond the message")?;
        match length {
            0..=63 => {
                let next = at + 1 + usize::from(length);
                name.extend_from_slice(message.get(at..next).ok_or("a label beyond the message")?);
                if name.len() > 255 {
                    return Err("a name of more than 255 octets");
                }
                if length == 0 {
                    name.make_ascii_lowercase();
                    return Ok((name, end.unwrap_or(next)));
                }
                at = next;
            }
            0xc0.. => {
                end.get_or_insert(at + 2);
                at = usize::from(number(message, at)? & 0x3fff);
                if at >= from || at < HEADER {
                    return Err("a pointer that does not lead back");
                }
                from = at;
            }
            _ => return Err("a label of an unknown kind"),
        }
    }
}

/// A name without pointers.
fn plain_name(message: &[u8], start: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let (name, end) = name(message, start)?;
    if end - start == name.len() { Ok((name, end)) } else { Err("a compressed name where none may be") }
}

fn number(message: &[u8], at: usize) -> Result<u16, &'static str> {
    match message.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err("a number beyond the message"),
    }
}

#[test]
fn the_strict_reader_is_strict() {
    let good =
        b"\0\x01\x84\0\0\x01\0\x01\0\0\0\0\x01a\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04";
    assert_eq!(read(good).map(|read| read.answers.len()), Ok(1));
    let changed = |at: usize, octet: u8| {
        let mut message = good.to_vec();
        message[at] = octet;
        read(&message).err()
    };
    assert_eq!(changed(5, 2), Some("more than one question"));
    assert_eq!(changed(7, 0), Some("something behind the last record"));
    assert_eq!(changed(20, 19), Some("a pointer that does not lead back"));
    assert_eq!(changed(20, 0), Some("a pointer that does not lead back"));
    assert_eq!(changed(22, 28), Some("AAAA has sixteen octets"));
    assert_eq!(changed(22, 41), Some("OPT or TSIG where they do not belong"));
    assert_eq!(changed(30, 3), Some("A has four octets"));
    assert_eq!(changed(30, 5), Some("data beyond the message"));
    assert_eq!(changed(12, 64), Some("a label of an unknown kind"));
}
