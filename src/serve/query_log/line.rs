//! How a query looks as a line.

use std::{fmt::Write as _, io::Write as _};

use jiff::Timestamp;
use mcdns_core::dns::RecordType;

use super::{Answered, Entry, LineFormat};
use crate::{rcode::rcode_name, request::HEADER};

/// Bits of the flags of a message with their names (RFC 1035 section 4.1.1, RFC 4035 section 3), QR and Z apart.
const FLAGS: [(u16, &str); 6] =
    [(0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0020, "ad"), (0x0010, "cd")];

/// Stands among the flags where rate limiting has changed or dropped the answer; no flag of a message has this name.
const LIMITED: &str = "limited";

/// What a line says, as text. `-` stands for what there is none of.
#[derive(Debug)]
struct Line {
    time: String,
    client: String,
    transport: &'static str,
    name: String,
    class: String,
    record_type: String,
    rcode: String,
    flags: String,
    size: usize,
    microseconds: u128,
}

/// Appends the line of a query, with its end.
pub(super) fn append(entry: &Entry, format: LineFormat, out: &mut Vec<u8>) {
    let Line { time, client, transport, name, class, record_type, rcode, flags, size, microseconds } = Line::of(entry);
    let written = match format {
        LineFormat::Text => writeln!(
            out,
            "{time} client={client} transport={transport} name={name} class={class} type={record_type} rcode={rcode} \
             flags={flags} size={size} microseconds={microseconds}"
        ),
        LineFormat::Json => {
            // The backslash is all in these texts that JSON wants escaped: quotation marks are escaped as of DNS.
            let name = name.replace('\\', "\\\\");
            writeln!(
                out,
                "{{\"time\":\"{time}\",\"client\":\"{client}\",\"transport\":\"{transport}\",\"name\":\"{name}\",\
                 \"class\":\"{class}\",\"type\":\"{record_type}\",\"rcode\":\"{rcode}\",\"flags\":\"{flags}\",\
                 \"size\":{size},\"microseconds\":{microseconds}}}"
            )
        }
    };
    // A vector takes whatever is written.
    let _ = written;
}

/// Hands the line to the log of the program.
pub(super) fn trace(entry: &Entry) {
    let Line { client, transport, name, class, record_type, rcode, flags, size, microseconds, .. } = Line::of(entry);
    let microseconds = u64::try_from(microseconds).unwrap_or(u64::MAX);
    tracing::info!(
        target: "mcdns::queries",
        client, transport, name, class, r#type = record_type, rcode, flags, size, microseconds,
        "query"
    );
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let time = Timestamp::try_from(entry.received);
        let time = time.map_or_else(|_| "-".to_owned(), |time| format!("{time:.6}"));
        let nothing = || "-".to_owned();
        let [name, class, record_type] = question(&entry.question).unwrap_or_else(|| [nothing(), nothing(), nothing()]);
        let (rcode, mut flags, size) = match entry.answered {
            Answered::Nothing => (nothing(), nothing(), 0),
            Answered::Transfer => ("NOERROR".to_owned(), "aa".to_owned(), 0),
            Answered::Message { rcode, flags, size } => (rcode_name(rcode).into_owned(), flag_names(flags), size),
        };
        if entry.limited {
            flags = if flags == "-" { LIMITED.to_owned() } else { flags + "," + LIMITED };
        }
        Self {
            time,
            client: entry.client.address.to_string(),
            transport: entry.client.transport.name(),
            name,
            class,
            record_type,
            rcode,
            flags,
            size,
            microseconds: entry.took.as_micros(),
        }
    }
}

/// Name, class and type of the first question, if all of it can be read.
fn question(request: &[u8]) -> Option<[String; 3]> {
    let mut at = HEADER;
    let mut name = String::new();
    loop {
        let length = usize::from(*request.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // More is no label here: nothing stands in front of the first name that it could point to.
        if length > 63 {
            return None;
        }
        escape(request.get(at..at + length)?, &mut name);
        name.push('.');
        at += length;
    }
    if name.is_empty() {
        name.push('.');
    }
    let &[type_high, type_low, class_high, class_low] = request.get(at..at + 4)? else { return None };
    let record_type = RecordType(u16::from_be_bytes([type_high, type_low]));
    Some([name, class_name(u16::from_be_bytes([class_high, class_low])), record_type.to_string()])
}

/// A label in presentation format (RFC 1035 section 5.1), in printable ASCII without a space.
fn escape(label: &[u8], out: &mut String) {
    for &octet in label {
        match octet {
            b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                // A quotation mark by its number, so that it stands in a JSON string as it is.
                if octet == b'"' {
                    out.push_str("\\034");
                } else {
                    out.push('\\');
                    out.push(char::from(octet));
                }
            }
            b'!'..=b'~' => out.push(char::from(octet)),
            // A string takes whatever is written.
            _ => _ = write!(out, "\\{octet:03}"),
        }
    }
}

/// Mnemonics of RFC 6895 section 3.2, else as of RFC 3597 section 5.
fn class_name(class: u16) -> String {
    match class {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        254 => "NONE".to_owned(),
        255 => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

fn flag_names(flags: [u8; 2]) -> String {
    let set = u16::from_be_bytes(flags);
    let names: Vec<&str> = FLAGS.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}
