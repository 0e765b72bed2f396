//! Record data in presentation format.
//!
//! Only what the cases print has a form of its own; everything else is printed as for an unknown type
//! (RFC 3597 section 5), which every type may be.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;

use crate::name;

/// How the fields of a type follow each other.
#[derive(Debug, Clone, Copy)]
enum Field {
    Ipv4,
    Ipv6,
    /// A name, which may be compressed (RFC 3597 section 4: the types of RFC 1035 alone).
    Name,
    /// A name, which must not be compressed (the same section).
    WholeName,
    Number8,
    Number16,
    Number32,
    /// One character-string.
    String,
    /// Character-strings up to the end.
    Strings,
    /// The rest in hexadecimal digits.
    Hex,
    /// The rest as one quoted text.
    Quoted,
}

use Field::{Hex, Ipv4, Ipv6, Name, Number8, Number16, Number32, Quoted, String as Text, Strings, WholeName};

/// The fields of a type.
const LAYOUTS: &[(u16, &[Field])] = &[
    (1, &[Ipv4]),
    (2, &[Name]),
    (5, &[Name]),
    (6, &[Name, Name, Number32, Number32, Number32, Number32, Number32]),
    (12, &[Name]),
    (13, &[Text, Text]),
    (14, &[Name, Name]),
    (15, &[Number16, Name]),
    (16, &[Strings]),
    // RP, AFSDB, RT, KX, SRV, NAPTR, DNAME: newer than RFC 1035.
    (17, &[WholeName, WholeName]),
    (18, &[Number16, WholeName]),
    (21, &[Number16, WholeName]),
    (28, &[Ipv6]),
    (33, &[Number16, Number16, Number16, WholeName]),
    (35, &[Number16, Number16, Text, Text, Text, WholeName]),
    (36, &[Number16, WholeName]),
    (39, &[WholeName]),
    (43, &[Number16, Number8, Number8, Hex]),
    (44, &[Number8, Number8, Hex]),
    (52, &[Number8, Number8, Number8, Hex]),
    (64, &[Number16, WholeName, Hex]),
    (65, &[Number16, WholeName, Hex]),
    (99, &[Strings]),
    (256, &[Number16, Number16, Quoted]),
    (257, &[Number8, Text, Quoted]),
];

/// Prints the data of a record that stands in `message` from `start` to `end`.
///
/// # Errors
/// Data that the type cannot have: fields that do not end where it ends, compression where none is allowed.
pub(crate) fn print(message: &[u8], record_type: u16, start: usize, end: usize) -> anyhow::Result<String> {
    let data = message.get(start..end).context("data ends behind the message")?;
    let Some((_, fields)) = LAYOUTS.iter().find(|(known, _)| *known == record_type) else {
        return Ok(if data.is_empty() {
            "\\# 0".to_owned()
        } else {
            format!("\\# {} {}", data.len(), HEXLOWER.encode(data))
        });
    };
    let mut reader = Reader { message: &message[..end], at: start };
    let mut words = Vec::new();
    for field in *fields {
        reader.field(*field, &mut words)?;
    }
    if reader.at != end {
        bail!("data of type {record_type} has {} octets too many", end - reader.at);
    }
    Ok(words.join(" "))
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn field(&mut self, field: Field, words: &mut Vec<String>) -> anyhow::Result<()> {
        match field {
            Ipv4 => words.push(Ipv4Addr::from(self.take::<4>()?).to_string()),
            Ipv6 => words.push(Ipv6Addr::from(self.take::<16>()?).to_string()),
            Number8 => words.push(self.take::<1>()?[0].to_string()),
            Number16 => words.push(u16::from_be_bytes(self.take()?).to_string()),
            Number32 => words.push(u32::from_be_bytes(self.take()?).to_string()),
            Name | WholeName => {
                let name = name::read(self.message, self.at)?;
                self.at = name.end;
                if name.compressed && matches!(field, WholeName) {
                    bail!("`{}` is compressed in data of a type that must not be", name.text);
                }
                words.push(name.text);
            }
            Text => words.push(self.string()?),
            Strings => {
                while self.at < self.message.len() {
                    let string = self.string()?;
                    words.push(string);
                }
            }
            Hex => {
                let rest = &self.message[self.at..];
                if !rest.is_empty() {
                    words.push(HEXLOWER.encode(rest));
                }
                self.at = self.message.len();
            }
            Quoted => {
                words.push(quoted(&self.message[self.at..]));
                self.at = self.message.len();
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let octets = self.message.get(self.at..self.at + N).context("data ends too early")?;
        self.at += N;
        Ok(octets.try_into()?)
    }

    fn string(&mut self) -> anyhow::Result<String> {
        let length = usize::from(self.take::<1>()?[0]);
        let octets = self.message.get(self.at..self.at + length).context("a string ends too late")?;
        self.at += length;
        Ok(quoted(octets))
    }
}

/// A character-string, always in quotes.
fn quoted(octets: &[u8]) -> String {
    let mut text = String::from("\"");
    for &octet in octets {
        match octet {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(octet));
            }
            b' '..=b'~' => text.push(char::from(octet)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\{octet:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_have_their_form_and_others_that_of_rfc_3597() {
        assert_eq!(print(&[192, 0, 2, 1], 1, 0, 4).expect("an address"), "192.0.2.1");
        assert_eq!(print(&[0, 10, 1, b'a', 0], 15, 0, 5).expect("an exchange"), "10 a.");
        assert_eq!(print(&[1, b'"', 0], 16, 0, 3).expect("strings"), "\"\\\"\" \"\"");
        assert_eq!(print(&[10, 0, 0, 1], 65_400, 0, 4).expect("unknown"), "\\# 4 0a000001");
        assert_eq!(print(&[], 65_400, 0, 0).expect("unknown"), "\\# 0");
    }

    #[test]
    fn compression_in_data_of_newer_types_is_a_fault() {
        let message = [1, b'a', 0, 0, 0, 0, 0, 0, 0, 0xc0, 0];
        assert!(print(&message, 33, 3, 11).is_err());
        assert_eq!(print(&message, 2, 9, 11).expect("a name"), "a.");
    }

    #[test]
    fn data_that_is_too_long_or_too_short_is_a_fault() {
        assert!(print(&[192, 0, 2, 1, 0], 1, 0, 5).is_err());
        assert!(print(&[192, 0, 2], 1, 0, 3).is_err());
    }
}
