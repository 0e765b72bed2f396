//! Who is to blame for a refused batch, from the words of AWS.
//!
//! `InvalidChangeBatch` comes with one text for each thing that is wrong, in a list or as one text in brackets. Most
//! name the record set:
//!
//! ```text
//! Tried to create resource record set [name='www.example.com.', type='A'] but it already exists
//! Tried to delete resource record set [name='www.example.com.', type='A'] but it was not found
//! Tried to delete resource record set [name='…', type='TXT'] but the values provided do not match the current values
//! RRSet of type CNAME with DNS name www.example.com. is not permitted as it conflicts with other records …
//! The request contains an invalid set of changes for a resource record set 'A www.example.com.'
//! Invalid Resource Record: FATAL problem: InvalidCharacterString (…) encountered with 'value'
//! ```
//!
//! The first three say that somebody else wrote meanwhile; whoever changes a name by comparing what stands there is
//! told so. What cannot be understood names nobody, and the batch is halved.

use mcdns_core::dns::OwnerName;

use crate::wire::parse_name;

/// How a text begins. Texts in one bracket are cut before these.
const BEGINNINGS: [&str; 8] = [
    "Tried to ",
    "RRSet ",
    "Invalid Resource Record",
    "The request contains ",
    "Duplicate Resource Record",
    "Number of records",
    "FATAL problem",
    "Invalid request",
];

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// What it is about.
    pub about: About,
    /// Something else stands there than was thought.
    pub outdated: bool,
    /// The text.
    pub words: String,
}

/// What a complaint names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A record set of this name.
    Name(OwnerName),
    /// A record with this value.
    Value(String),
    /// Nothing that can be found.
    Nothing,
}

/// What the texts complain about.
pub(crate) fn complaints(texts: &[String]) -> Vec<Complaint> {
    texts.iter().flat_map(|text| sentences(text)).map(complaint).collect()
}

/// Cuts `[a, b]` where a new complaint begins.
fn sentences(text: &str) -> Vec<&str> {
    let text = text.trim();
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let starts = text.match_indices(", ").map(|(at, _)| at + 2);
    let starts = starts.filter(|&at| BEGINNINGS.iter().any(|beginning| text[at..].starts_with(beginning)));
    let mut sentences = Vec::new();
    let mut from = 0;
    for at in starts {
        // "Invalid Resource Record: FATAL problem: …" is one, and has no comma before its second part.
        sentences.push(text[from..at].trim_end_matches(", "));
        from = at;
    }
    sentences.push(&text[from..]);
    sentences
}

fn complaint(words: &str) -> Complaint {
    let deleted = words.starts_with("Tried to delete ");
    let created = words.starts_with("Tried to create resource record set ");
    let outdated = created && words.contains("already exists")
        || deleted && (words.contains("not found") || words.contains("do not match"));
    let name = between(words, "name='", "'")
        .or_else(|| between(words, "DNS name ", " ").map(|name| name.trim_end_matches(',')))
        .or_else(|| between(words, "resource record set '", "'").and_then(|set| set.rsplit(' ').next()));
    let about = match name.and_then(|name| parse_name(name).ok()) {
        Some(name) => About::Name(name),
        None => match between(words, "encountered with '", "'") {
            Some(value) => About::Value(value.to_owned()),
            None => About::Nothing,
        },
    };
    Complaint { about, outdated, words: words.to_owned() }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(behind).unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "Tried to create resource record set [name='www.example.com.', type='A'] but it already exists",
        "www.example.com",
        true
    )]
    #[case(
        "Tried to create resource record set [name='\\052.example.com.', type='A', set-identifier='c'] but it already exists",
        "*.example.com",
        true
    )]
    #[case(
        "Tried to delete resource record set [name='b.example.com.', type='A'] but it was not found",
        "b.example.com",
        true
    )]
    #[case(
        "Tried to delete resource record set [name='b.example.com.', type='TXT'] but the values provided do not match the current values",
        "b.example.com",
        true
    )]
    #[case(
        "RRSet of type CNAME with DNS name c.example.com. is not permitted as it conflicts with other records with the same DNS name in zone example.com.",
        "c.example.com",
        false
    )]
    #[case("RRSet with DNS name other.org. is not permitted in zone example.com.", "other.org", false)]
    #[case(
        "RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.",
        "example.com",
        false
    )]
    #[case(
        "RRSet with DNS name w.example.com., type A, SetIdentifier c1 cannot be created as a non-weighted set exists with the same name and type.",
        "w.example.com",
        false
    )]
    #[case(
        "The request contains an invalid set of changes for a resource record set 'A d.example.com.'",
        "d.example.com",
        false
    )]
    fn the_culprit_is_found(#[case] text: &str, #[case] name: &str, #[case] outdated: bool) {
        for text in [text.to_owned(), format!("[{text}]")] {
            let found = complaints(&[text]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].about, About::Name(OwnerName::parse(name).expect("a name")));
            assert_eq!(found[0].outdated, outdated);
        }
    }

    #[test]
    fn several_complaints_in_one_bracket_are_cut() {
        let text = "[Tried to create resource record set [name='a.example.com.', type='A'] but it already exists, \
                    Tried to delete resource record set [name='b.example.com.', type='TXT'] but it was not found, \
                    Invalid Resource Record: FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 \
                    address) encountered with '1.2.3']";
        let found = complaints(&[text.to_owned()]);
        let about: Vec<String> = found.iter().map(|one| format!("{:?}", one.about)).collect();
        assert_eq!(about, ["Name(a.example.com.)", "Name(b.example.com.)", "Value(\"1.2.3\")"]);
    }

    #[rstest]
    #[case("Number of records limit of 10000 exceeded.")]
    #[case("[Tried to create an alias that targets lb.example.com., type A in zone Z1, but that target was not found]")]
    #[case("")]
    #[case("[")]
    #[case("name='")]
    fn what_names_nobody_blames_nobody(#[case] text: &str) {
        let found = complaints(&[text.to_owned()]);
        assert_eq!(found.len(), 1);
        assert!(found[0].about == About::Nothing && !found[0].outdated, "{found:?}");
    }
}
