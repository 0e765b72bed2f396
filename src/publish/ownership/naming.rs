//! Where an ownership record stands: the names of external-dns, with their affixes and templates.
//!
//! Everything here is text in presentation format without the final dot, because affixes are text: a prefix may be half
//! a label.

use mcdns_core::dns::RecordType;
use thiserror::Error;

/// Stands for the record type in an affix.
const TEMPLATE: &str = "%{record_type}";

/// The types that names of ownership records can speak of, in the order in which they are tried.
pub const KNOWN_TYPES: [RecordType; 10] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::MX,
    RecordType::PTR,
    RecordType::SRV,
    RecordType(35),
    RecordType::TXT,
    RecordType::DNAME,
];

/// How ownership records are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    prefix: String,
    suffix: String,
    wildcard: Option<String>,
}

/// Settings that make no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NamingError {
    /// external-dns refuses it too.
    #[error("a prefix and a suffix cannot be used together")]
    BothAffixes,
}

impl Naming {
    /// Names with this prefix or suffix; `wildcard` stands in for a first label `*`. All are lower-cased.
    pub fn new(prefix: &str, suffix: &str, wildcard: Option<&str>) -> Result<Self, NamingError> {
        if !prefix.is_empty() && !suffix.is_empty() {
            return Err(NamingError::BothAffixes);
        }
        let wildcard = wildcard.filter(|text| !text.is_empty()).map(str::to_lowercase);
        Ok(Self { prefix: prefix.to_lowercase(), suffix: suffix.to_lowercase(), wildcard })
    }

    /// Names with a label of their own in front, good for every name: `_owner-a.www.example.com`.
    pub fn own_label() -> Self {
        Self { prefix: format!("_owner-{TEMPLATE}."), suffix: String::new(), wildcard: Some("_wildcard".to_owned()) }
    }

    /// Where the mark of a record of this type stands (external-dns since 0.12).
    pub fn encode(&self, name: &str, record_type: RecordType) -> String {
        let kind = record_type.to_string().to_lowercase();
        let (first, rest) = self.split(name);
        let first = if self.has_template() { first.into_owned() } else { format!("{kind}-{first}") };
        let expand = |affix: &str| affix.replace(TEMPLATE, &kind);
        joined(&expand(&self.prefix), &first, &expand(&self.suffix), rest)
    }

    /// Where it stood before external-dns 0.12, the same for all types.
    pub fn encode_old(&self, name: &str) -> String {
        let (first, rest) = self.split(name);
        joined(&without_template(&self.prefix), &first, &without_template(&self.suffix), rest)
    }

    /// The name and type that a mark speaks of; no type where the name is of the old form. None if it is not named so.
    /// The stand-in of a wildcard is `*` again.
    ///
    /// A name can be read in two ways (`a-team` is the mark of an A at `team`, and the old one of `a-team`); the newer
    /// form is told. Use it only where no record is there to ask about.
    pub fn decode(&self, mark: &str) -> Option<(String, Option<RecordType>)> {
        let mark = mark.to_lowercase();
        let (name, record_type) =
            if self.suffix.is_empty() { self.decode_prefix(&mark)? } else { self.decode_suffix(&mark)? };
        Some((self.star_again(name), record_type))
    }

    fn decode_prefix(&self, mark: &str) -> Option<(String, Option<RecordType>)> {
        if self.has_template() {
            for record_type in KNOWN_TYPES {
                let prefix = self.prefix.replace(TEMPLATE, &record_type.to_string().to_lowercase());
                if let Some(name) = mark.strip_prefix(&prefix).filter(|name| !name.is_empty()) {
                    return Some((name.to_owned(), Some(record_type)));
                }
            }
        }
        type_in_front(mark.strip_prefix(&without_template(&self.prefix))?)
    }

    fn decode_suffix(&self, mark: &str) -> Option<(String, Option<RecordType>)> {
        let labels = 1 + self.suffix.matches('.').count();
        let end = mark.match_indices('.').map(|(at, _)| at).chain([mark.len()]).nth(labels - 1)?;
        let (head, rest) = mark.split_at(end);
        if self.has_template() {
            for record_type in KNOWN_TYPES {
                let suffix = self.suffix.replace(TEMPLATE, &record_type.to_string().to_lowercase());
                if let Some(first) = head.strip_suffix(&suffix).filter(|first| !first.is_empty()) {
                    return Some((format!("{first}{rest}"), Some(record_type)));
                }
            }
        }
        let first = head.strip_suffix(&without_template(&self.suffix)).filter(|first| !first.is_empty())?;
        let (name, record_type) = type_in_front(first)?;
        Some((format!("{name}{rest}"), record_type))
    }

    fn has_template(&self) -> bool {
        self.prefix.contains(TEMPLATE) || self.suffix.contains(TEMPLATE)
    }

    /// First label, with the stand-in for a wildcard, and the rest.
    fn split<'a>(&'a self, name: &'a str) -> (std::borrow::Cow<'a, str>, Option<&'a str>) {
        let (first, rest) = match name.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (name, None),
        };
        match &self.wildcard {
            Some(wildcard) if first == "*" => (wildcard.into(), rest),
            _ => (first.into(), rest),
        }
    }

    fn star_again(&self, name: String) -> String {
        let rest = self.wildcard.as_ref().and_then(|wildcard| name.strip_prefix(wildcard.as_str()));
        match rest.filter(|rest| rest.starts_with('.')) {
            Some(rest) => format!("*{rest}"),
            None => name,
        }
    }
}

fn joined(prefix: &str, first: &str, suffix: &str, rest: Option<&str>) -> String {
    match rest {
        Some(rest) => format!("{prefix}{first}{suffix}.{rest}"),
        None => format!("{prefix}{first}{suffix}"),
    }
}

fn without_template(affix: &str) -> String {
    affix.replace(TEMPLATE, "")
}

/// `cname-www` is the CNAME at `www`, `www` is of the old form.
fn type_in_front(text: &str) -> Option<(String, Option<RecordType>)> {
    if text.is_empty() {
        return None;
    }
    if let Some((kind, name)) = text.split_once('-') {
        let known = KNOWN_TYPES.iter().find(|known| known.to_string().to_lowercase() == kind);
        if let (Some(known), false) = (known, name.is_empty()) {
            return Some((name.to_owned(), Some(*known)));
        }
    }
    Some((text.to_owned(), None))
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
