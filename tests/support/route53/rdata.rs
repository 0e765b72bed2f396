//! Values of records: what the service takes for each type, and what it says about the rest.
//!
//! Codes and words are those that users of the service report (`ARRDATAIllegalIPv4Address`, `CharacterStringTooLong`,
//! `MXRRDATANotTwoFields`, …); for what nobody reports, the code is made in the same way.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::{Name, octal};

/// Types that can be written.
pub(super) const TYPES: &[&str] = &[
    "SOA", "A", "TXT", "NS", "CNAME", "MX", "NAPTR", "PTR", "SRV", "SPF", "AAAA", "CAA", "DS", "TLSA", "SSHFP", "SVCB",
    "HTTPS",
];

/// The longest string in a TXT record, in octets (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;
/// The longest value of a TXT record, in characters (Route 53 Developer Guide, "TXT record type").
const MAX_TXT: usize = 4000;

/// The value in a form that is equal for equal data.
///
/// # Errors
///
/// What the service says is wrong with it.
pub(super) fn canonical(kind: &str, value: &str) -> Result<String, String> {
    let problem = |code: &str, words: &str| {
        Err(format!("Invalid Resource Record: 'FATAL problem: {code} ({words}) encountered with '{value}''"))
    };
    let fields: Vec<&str> = value.split_whitespace().collect();
    let name = |text: &str| {
        Name::parse(text).map(|name| name.escaped()).map_err(|told| {
            format!("Invalid Resource Record: '{}'", told.replace(&format!("'{text}'"), &format!("'{value}'")))
        })
    };
    let number = |text: &str| text.parse::<u16>().ok();
    match kind {
        "A" | "AAAA" if fields.len() > 1 => problem(&format!("{kind}RRDATANotSingleField"), "Value contains spaces"),
        "A" => match value.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => problem("ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address"),
        },
        "AAAA" => match value.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => problem("AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address"),
        },
        "CNAME" | "NS" | "PTR" => name(value),
        "MX" => match fields[..] {
            [preference, host] => match number(preference) {
                Some(preference) => Ok(format!("{preference} {}", name(host)?)),
                None => problem("MXRRDATAIllegalPreference", "Value is not a valid preference"),
            },
            _ => problem("MXRRDATANotTwoFields", "MX record doesn't have 2 fields"),
        },
        "SRV" => match fields[..] {
            [priority, weight, port, host] => match (number(priority), number(weight), number(port)) {
                // A dot alone says that there is no such service (RFC 2782).
                (Some(priority), Some(weight), Some(port)) => {
                    let host = if host == "." { host.to_owned() } else { name(host)? };
                    Ok(format!("{priority} {weight} {port} {host}"))
                }
                _ => problem("SRVRRDATAIllegalNumber", "Value is not a valid number"),
            },
            _ => problem("SRVRRDATANotFourFields", "SRV record doesn't have 4 fields"),
        },
        "TXT" | "SPF" => match strings(value) {
            Ok(_) if value.chars().count() > MAX_TXT => problem("TXTRDATATooLong", "Value is too long"),
            Ok(strings) if strings.iter().any(|string| string.len() > MAX_STRING) => {
                problem("CharacterStringTooLong", "Value is too long")
            }
            Ok(strings) => Ok(format!("{strings:?}")),
            Err((code, words)) => problem(code, words),
        },
        "CAA" => match fields[..] {
            [flags, tag, ..]
                if flags.parse::<u8>().is_ok() && tag.bytes().all(|octet| octet.is_ascii_alphanumeric()) =>
            {
                let quoted = value.split_once(tag).map_or("", |(_, quoted)| quoted.trim());
                match strings(quoted).as_deref() {
                    Ok([_]) => Ok(value.to_owned()),
                    _ => problem("InvalidCharacterString", "Value should be enclosed in quotation marks"),
                }
            }
            _ => problem("CAARRDATANotThreeFields", "CAA record doesn't have 3 fields"),
        },
        "SOA" if fields.len() != 7 => problem("SOARRDATANotSevenFields", "SOA record doesn't have 7 fields"),
        "NAPTR" if fields.len() != 6 => problem("NAPTRRRDATANotSixFields", "NAPTR record doesn't have 6 fields"),
        "DS" | "TLSA" if fields.len() != 4 => {
            problem(&format!("{kind}RRDATANotFourFields"), &format!("{kind} record doesn't have 4 fields"))
        }
        "SSHFP" if fields.len() != 3 => problem("SSHFPRRDATANotThreeFields", "SSHFP record doesn't have 3 fields"),
        "SVCB" | "HTTPS" if fields.len() < 2 => {
            problem(&format!("{kind}RRDATANotTwoFields"), &format!("{kind} record doesn't have 2 fields"))
        }
        _ => Ok(fields.join(" ")),
    }
}

/// Quoted strings with spaces between them; a quotation mark and a backslash in them have a backslash in front, and
/// what is not printable ASCII stands as an octal code.
fn strings(value: &str) -> Result<Vec<Vec<u8>>, (&'static str, &'static str)> {
    const QUOTES: (&str, &str) = ("InvalidCharacterString", "Value should be enclosed in quotation marks");
    const CHARACTERS: (&str, &str) = ("UnsupportedCharacter", "Value contains unsupported characters");
    let mut strings = Vec::new();
    let mut rest = value.as_bytes().trim_ascii();
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"\"").ok_or(QUOTES)?;
        let mut string = Vec::new();
        loop {
            let (&first, after) = rest.split_first().ok_or(QUOTES)?;
            rest = after;
            match first {
                b'"' => break,
                b'\\' => {
                    let (octet, after) = match after {
                        [mark @ (b'"' | b'\\'), after @ ..] => (*mark, after),
                        digits => octal(digits).ok_or(CHARACTERS)?,
                    };
                    rest = after;
                    string.push(octet);
                }
                b' '..=b'~' => string.push(first),
                _ => return Err(CHARACTERS),
            }
        }
        strings.push(string);
        let after = rest.trim_ascii_start();
        if !after.is_empty() && after.len() == rest.len() {
            return Err(QUOTES);
        }
        rest = after;
    }
    if strings.is_empty() { Err(QUOTES) } else { Ok(strings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_data_is_equal() {
        for (kind, one, other) in [
            ("AAAA", "2001:0db8::A", "2001:db8:0:0::a"),
            ("CNAME", "Example.COM", "example.com."),
            ("MX", "010  mail.example.com", "10 MAIL.example.com."),
            ("TXT", "\"a\\101\"  \"b\"", "\"aA\" \"b\""),
        ] {
            assert_eq!(canonical(kind, one), canonical(kind, other), "{kind}");
            assert!(canonical(kind, one).is_ok());
        }
        assert_ne!(canonical("TXT", "\"ab\""), canonical("TXT", "\"a\" \"b\""));
    }

    #[test]
    fn bad_values_are_refused_in_the_words_of_the_service() {
        let long = format!("\"{}\"", "x".repeat(256));
        let many = vec!["\"0123456789\""; 310].join(" ");
        for (kind, value, told) in [
            (
                "A",
                "a8766bd0.elb.ap-southeast-1.amazonaws.com",
                "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)",
            ),
            ("A", "192.0.2.1 192.0.2.2", "ARRDATANotSingleField (Value contains spaces)"),
            ("AAAA", "192.0.2.1", "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"),
            ("TXT", "bare", "InvalidCharacterString (Value should be enclosed in quotation marks)"),
            ("TXT", "\"open", "InvalidCharacterString"),
            ("TXT", "\"a\"\"b\"", "InvalidCharacterString"),
            ("TXT", "", "InvalidCharacterString"),
            ("TXT", "\"ä\"", "UnsupportedCharacter"),
            ("TXT", "\"\\x\"", "UnsupportedCharacter"),
            ("TXT", &long, "CharacterStringTooLong (Value is too long)"),
            ("TXT", &many, "TXTRDATATooLong"),
            ("CNAME", "a..b", "DomainLabelEmpty (Domain label is empty) encountered with 'a..b'"),
            (
                "MX",
                "mail.example.com",
                "MXRRDATANotTwoFields (MX record doesn't have 2 fields) encountered with 'mail.example.com'",
            ),
            ("SRV", "0 0 443", "SRVRRDATANotFourFields (SRV record doesn't have 4 fields)"),
            ("CAA", "0 issue ca.example.net", "InvalidCharacterString"),
        ] {
            let error = canonical(kind, value).expect_err(value);
            assert!(error.starts_with("Invalid Resource Record: 'FATAL problem: ") && error.contains(told), "{error}");
        }
    }
}
