//! Domain names, absolute and in normal form.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::NameRef;

/// Longest name in wire format, in octets (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// Longest label, in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// An absolute domain name: wire format without compression, ASCII letters in lower case.
///
/// The normal form makes equality and hashing plain byte comparison; [`Ord`] is the canonical order of
/// RFC 4034 section 6.1, in which a parent sorts directly before what is below it. [`fmt::Display`] prints
/// presentation format without the trailing dot (the root is `.`); [`OwnerName::fqdn`] prints the dot.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OwnerName(Box<[u8]>);

/// Why a text or an octet sequence is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Two dots in a row, a leading dot, or nothing at all.
    #[error("a label is empty")]
    EmptyLabel,
    /// RFC 1035 section 2.3.4.
    #[error("the label `{0}` has more than 63 octets")]
    LabelTooLong(String),
    /// RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text.
    #[error("the name has more than 253 characters")]
    NameTooLong,
    /// A backslash that is not followed by a character or by three digits up to 255.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    BadEscape,
    /// Wire format that ends early, or carries a compression pointer.
    #[error("the octets are no uncompressed name")]
    BadWire,
}

/// Why a name is no host name (RFC 1123 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostNameError {
    /// Not even a domain name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A label with something else than letters, digits and inner hyphens.
    #[error("the label `{0}` may only have letters, digits and hyphens, with no hyphen at its ends")]
    BadLabel(String),
    /// An address in the place of a name.
    #[error("`{0}` is an IP address, not a host name")]
    IsAddress(String),
}

impl OwnerName {
    /// The root of the name space.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads presentation format (RFC 1035 section 5.1, `\X` and `\DDD` escapes); a trailing dot changes nothing.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label_at = 0;
        wire.push(0);
        let mut octets = text.bytes();
        let mut ended_by_dot = false;
        while let Some(octet) = octets.next() {
            ended_by_dot = false;
            match octet {
                b'.' => {
                    close_label(&mut wire, label_at)?;
                    label_at = wire.len();
                    wire.push(0);
                    ended_by_dot = true;
                }
                b'\\' => wire.push(unescape(&mut octets)?.to_ascii_lowercase()),
                other => wire.push(other.to_ascii_lowercase()),
            }
        }
        if !ended_by_dot {
            close_label(&mut wire, label_at)?;
            wire.push(0);
        }
        if wire.len() > MAX_NAME {
            return Err(NameError::NameTooLong);
        }
        Ok(Self(wire.into_boxed_slice()))
    }

    /// Reads a host name: letters, digits and inner hyphens in every label (RFC 1123 section 2.1), and no
    /// IP address. With `wildcard`, the first label may be `*` (RFC 4592 section 2.1.1) if another follows.
    pub fn parse_host(text: &str, wildcard: bool) -> Result<Self, HostNameError> {
        let plain = text.strip_suffix('.').unwrap_or(text);
        if plain.parse::<std::net::IpAddr>().is_ok() {
            return Err(HostNameError::IsAddress(text.to_owned()));
        }
        // What presentation format allows beyond a host name: a second dot at the end, and escapes.
        if plain.ends_with('.') {
            return Err(NameError::EmptyLabel.into());
        }
        if let Some(label) = plain.split('.').find(|label| label.contains('\\')) {
            return Err(HostNameError::BadLabel(label.to_owned()));
        }
        let name = Self::parse(plain)?;
        if name.is_root() {
            return Err(NameError::EmptyLabel.into());
        }
        let count = name.label_count();
        for (index, label) in name.labels().enumerate() {
            let star = wildcard && index == 0 && count > 1 && label == b"*";
            if !star && !is_ldh_label(label) {
                return Err(HostNameError::BadLabel(String::from_utf8_lossy(label).into_owned()));
            }
        }
        Ok(name)
    }

    /// Reads wire format that carries no compression pointer and nothing behind the root label.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0;
        loop {
            let length = usize::from(*wire.get(at).ok_or(NameError::BadWire)?);
            if length > MAX_LABEL {
                return Err(NameError::BadWire);
            }
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        if at != wire.len() {
            return Err(NameError::BadWire);
        }
        if at > MAX_NAME {
            return Err(NameError::NameTooLong);
        }
        // Length octets are at most 63, below every upper-case letter, so the whole name can be folded at once.
        Ok(Self(wire.to_ascii_lowercase().into_boxed_slice()))
    }

    /// The octets on the wire, root label included: 1 to 255 of them.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root's empty one.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: &self.0 }
    }

    /// How many labels there are, the root's empty one not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// True for `.` alone.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// True if the first label is `*` (RFC 4592 section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The name without its first label; none above the root.
    pub fn parent(&self) -> Option<Self> {
        let skip = 1 + usize::from(self.0[0]);
        (!self.is_root()).then(|| Self(self.0[skip..].into()))
    }

    /// True if the name equals `ancestor` or lies below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        self.strip_suffix(ancestor).is_some()
    }

    /// True if the name lies strictly below `ancestor`.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.0.len() > ancestor.0.len() && self.is_at_or_below(ancestor)
    }

    /// The wire labels in front of `ancestor` (no root label), if the name is at or below it.
    pub fn strip_suffix<'a>(&'a self, ancestor: &Self) -> Option<&'a [u8]> {
        self.view().strip_suffix(ancestor.view())
    }

    /// The name made of wire labels (no root label) put in front of this one.
    pub fn prepend_wire(&self, labels: &[u8]) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(labels.len() + self.0.len());
        wire.extend_from_slice(labels);
        wire.extend_from_slice(&self.0);
        Self::from_wire(&wire)
    }

    /// The name with `label` (not escaped, one label) in front.
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        let length = u8::try_from(label.len()).ok().filter(|&length| usize::from(length) <= MAX_LABEL);
        let length = length.ok_or_else(|| NameError::LabelTooLong(String::from_utf8_lossy(label).into_owned()))?;
        if length == 0 {
            return Err(NameError::EmptyLabel);
        }
        let mut wire = Vec::with_capacity(label.len() + 1 + self.0.len());
        wire.push(length);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Self::from_wire(&wire)
    }

    /// The name without a copy of it.
    pub fn view(&self) -> NameRef<'_> {
        NameRef::from_normal_wire(&self.0)
    }

    /// The name that these octets are, which were those of another.
    pub(super) fn from_normal_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// Presentation format with the trailing dot.
    pub fn fqdn(&self) -> String {
        if self.is_root() { ".".to_owned() } else { format!("{self}.") }
    }
}

/// Iterator of [`OwnerName::labels`].
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Labels<'a> {
    pub(super) fn of(wire: &'a [u8]) -> Self {
        Self { rest: wire }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, behind) = self.rest.split_first()?;
        if length == 0 {
            return None;
        }
        let (label, rest) = behind.split_at(usize::from(length));
        self.rest = rest;
        Some(label)
    }
}

/// True for a label of letters, digits and inner hyphens, of at most 63 octets (RFC 5890 section 2.3.1).
pub(crate) fn is_ldh_label(label: &[u8]) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && label.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
        && label[0] != b'-'
        && label[label.len() - 1] != b'-'
}

impl Ord for OwnerName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.view().cmp(&other.view())
    }
}

impl PartialOrd for OwnerName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for OwnerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for OwnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for OwnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fqdn())
    }
}

impl Serialize for OwnerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OwnerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Writes the length octet of the label that starts at `label_at` and ends the buffer.
fn close_label(wire: &mut [u8], label_at: usize) -> Result<(), NameError> {
    let label = &wire[label_at + 1..];
    match u8::try_from(label.len()) {
        Ok(0) => Err(NameError::EmptyLabel),
        Ok(length) if usize::from(length) <= MAX_LABEL => {
            wire[label_at] = length;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong(String::from_utf8_lossy(label).into_owned())),
    }
}

/// The octet behind a backslash.
fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = octets.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> OwnerName {
        OwnerName::parse(text).expect("a good name")
    }

    #[test]
    fn names_fold_case_and_drop_the_trailing_dot() {
        assert_eq!(name("WWW.Example.COM."), name("www.example.com"));
        assert_eq!(name("WWW.Example.COM").to_string(), "www.example.com");
        assert_eq!(name(".").fqdn(), ".");
    }

    #[test]
    fn escapes_survive_a_round_trip() {
        let odd = name(r"a\.b\032c\\.example");
        assert_eq!(odd.label_count(), 2);
        assert_eq!(name(&odd.to_string()), odd);
    }

    #[test]
    fn limits_of_rfc_1035_hold() {
        assert_eq!(OwnerName::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(OwnerName::parse(""), Err(NameError::EmptyLabel));
        assert!(matches!(OwnerName::parse(&"a".repeat(64)), Err(NameError::LabelTooLong(_))));
        let longest = [&"a".repeat(63)[..], &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].join(".");
        assert_eq!(longest.len(), 253);
        assert_eq!(name(&longest).as_wire().len(), 255);
        assert_eq!(OwnerName::parse(&format!("{longest}d")), Err(NameError::NameTooLong));
    }

    #[test]
    fn canonical_order_puts_a_parent_before_its_children() {
        // The example of RFC 4034 section 6.1.
        let sorted = ["example", "a.example", "yljkjljk.a.example", "z.a.example", "zabc.a.example", "z.example"];
        let mut shuffled: Vec<OwnerName> = sorted.iter().rev().map(|text| name(text)).collect();
        shuffled.sort();
        assert_eq!(shuffled.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn a_suffix_counts_only_on_a_label_boundary() {
        assert!(name("a.example.com").is_below(&name("example.com")));
        assert!(!name("badexample.com").is_at_or_below(&name("example.com")));
        // The octet sequence of the shorter name stands inside the longer one, but not at a label's start.
        let inner = OwnerName::from_wire(b"\x05x\x03abc\x03com\x00");
        assert!(inner.is_ok_and(|inner| !inner.is_at_or_below(&name("abc.com"))));
    }

    #[test]
    fn host_names_are_letters_digits_and_hyphens() {
        assert!(OwnerName::parse_host("*.apps.example.com", true).is_ok());
        assert!(OwnerName::parse_host("*.apps.example.com", false).is_err());
        assert!(OwnerName::parse_host("a.*.example.com", true).is_err());
        assert!(OwnerName::parse_host("under_score.example.com", true).is_err());
        assert!(OwnerName::parse_host("-a.example.com", true).is_err());
        assert!(OwnerName::parse_host("192.0.2.1", true).is_err());
        assert!(OwnerName::parse_host("192.0.2.1.", true).is_err());
        assert!(OwnerName::parse_host("www.example.com.", true).is_ok());
        assert!(OwnerName::parse_host("www.example.com..", true).is_err());
        assert!(OwnerName::parse_host(r"\119ww.example.com", true).is_err(), "escapes are no letters of a host name");
        assert!(OwnerName::parse_host("*", true).is_err());
    }
}
