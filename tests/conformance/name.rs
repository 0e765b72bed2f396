//! Names between text and wire format (RFC 1035 sections 3.1 and 5.1).

use std::fmt::Write as _;

use anyhow::bail;

/// Longest chain of compression pointers that is followed; a name has at most 127 labels.
const MAX_POINTERS: usize = 127;

/// A name in text, absolute with or without its last dot, in wire format. Lengths are not checked beyond what a
/// length octet can say, so that wrong names can be sent too.
///
/// # Errors
/// An empty label, a label of more than 63 octets, or a broken escape.
pub fn to_wire(text: &str) -> anyhow::Result<Vec<u8>> {
    if text == "." {
        return Ok(vec![0]);
    }
    let mut wire = Vec::new();
    let mut label = Vec::new();
    let mut octets = text.bytes().peekable();
    let mut end = |label: &mut Vec<u8>| {
        if label.is_empty() || label.len() > 63 {
            bail!("`{text}` has a label of {} octets", label.len());
        }
        wire.push(u8::try_from(label.len())?);
        wire.append(label);
        Ok(())
    };
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => end(&mut label)?,
            b'\\' => match octets.next() {
                Some(digit @ b'0'..=b'9') => {
                    let mut number = u32::from(digit - b'0');
                    for _ in 0..2 {
                        let Some(digit @ b'0'..=b'9') = octets.next() else { bail!("`{text}`: three digits") };
                        number = number * 10 + u32::from(digit - b'0');
                    }
                    label.push(u8::try_from(number)?);
                }
                Some(other) => label.push(other),
                None => bail!("`{text}` ends in the middle of an escape"),
            },
            other => label.push(other),
        }
    }
    if !label.is_empty() {
        end(&mut label)?;
    }
    wire.push(0);
    Ok(wire)
}

/// A name as it stands in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// In presentation format, with its last dot.
    pub text: String,
    /// Octet behind it.
    pub end: usize,
    /// True if a part of it is a pointer.
    pub compressed: bool,
}

/// Reads the name at `at`, through pointers.
///
/// # Errors
/// What makes it no name; above all a pointer that does not lead backwards (RFC 1035 section 4.1.4 speaks of "a prior
/// occurance").
pub fn read(message: &[u8], at: usize) -> anyhow::Result<Decoded> {
    let mut text = String::new();
    let mut place = at;
    let mut end = None;
    let mut length_in_all = 1;
    for _ in 0..2 * MAX_POINTERS {
        let Some(&length) = message.get(place) else { bail!("a name ends behind the message") };
        match length {
            0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Ok(Decoded { text, end: end.unwrap_or(place + 1), compressed: end.is_some() });
            }
            1..=63 => {
                let Some(label) = message.get(place + 1..place + 1 + usize::from(length)) else {
                    bail!("a label ends behind the message")
                };
                push_label(&mut text, label);
                length_in_all += 1 + usize::from(length);
                if length_in_all > 255 {
                    bail!("a name of more than 255 octets");
                }
                place += 1 + usize::from(length);
            }
            0xc0.. => {
                let Some(&low) = message.get(place + 1) else { bail!("a pointer ends behind the message") };
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                if target >= place {
                    bail!("a pointer at {place} leads to {target}, which is not before it");
                }
                end.get_or_insert(place + 2);
                place = target;
            }
            _ => bail!("a label of the unknown kind {length:#04x}"),
        }
    }
    bail!("a name with too many pointers")
}

fn push_label(text: &mut String, label: &[u8]) {
    for &octet in label {
        match octet {
            b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                text.push('\\');
                text.push(char::from(octet));
            }
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\{octet:03}");
            }
        }
    }
    text.push('.');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_there_and_back() {
        for text in [".", "example.", "a\\.b.example.", "\\000\\255.x.", "*.example."] {
            let wire = to_wire(text).expect("a name");
            assert_eq!(read(&wire, 0).expect("a name").text, text);
        }
    }

    #[test]
    fn a_pointer_leads_backwards_or_is_refused() {
        let message = [1, b'a', 0, 1, b'b', 0xc0, 0];
        let name = read(&message, 3).expect("a name");
        assert_eq!((name.text.as_str(), name.end, name.compressed), ("b.a.", 7, true));
        assert!(read(&[0xc0, 0], 0).is_err());
        assert!(read(&[0xc0, 2, 0], 0).is_err());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["a..b", "\\25", "\\300.x", &"a".repeat(64)] {
            assert!(to_wire(text).is_err(), "{text}");
        }
    }
}
