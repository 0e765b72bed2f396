//! Which names a peer takes: the domain filter of external-dns, as the negotiation tells it.
//!
//! An entry `example.org` matches that name and everything below it, `.example.org` only what is below. What is
//! excluded wins. Where regular expressions are told, lists are not: they match anywhere in the name.

use mcdns_core::dns::OwnerName;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Most entries that a peer may tell; more are no filter but an attack.
const MOST: usize = 100_000;

/// Which names a peer takes.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// By suffix.
    Names {
        /// Empty: all.
        include: Vec<Entry>,
        /// These not.
        exclude: Vec<Entry>,
    },
    /// By regular expression.
    Regex {
        /// None: all.
        include: Option<Regex>,
        /// These not.
        exclude: Option<Regex>,
    },
}

/// One entry of a list.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name: OwnerName,
    below_only: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    regex_include: Option<String>,
    regex_exclude: Option<String>,
}

impl Filter {
    /// Reads the body of the negotiation.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        // A structure would be read from a list, too.
        let told: Option<Map<String, Value>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let told = Value::Object(told.unwrap_or_default());
        let told: Told = serde_json::from_value(told).map_err(|error| error.to_string())?;
        let lists = told.include.is_some() || told.exclude.is_some();
        let expression = |text: Option<String>| {
            let text = text.filter(|text| !text.is_empty());
            text.map(|text| Regex::new(&text).map_err(|error| error.to_string())).transpose()
        };
        let (include, exclude) = (expression(told.regex_include)?, expression(told.regex_exclude)?);
        if include.is_some() || exclude.is_some() {
            if lists {
                return Err("a domain filter with both lists and regular expressions".to_owned());
            }
            return Ok(Self::Regex { include, exclude });
        }
        let (include, exclude) = (told.include.unwrap_or_default(), told.exclude.unwrap_or_default());
        if include.len() + exclude.len() > MOST {
            return Err(format!("a domain filter of more than {MOST} entries"));
        }
        let entries = |list: Vec<String>| -> Result<Vec<Entry>, String> {
            list.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(Entry::parse).collect()
        };
        Ok(Self::Names { include: entries(include)?, exclude: entries(exclude)? })
    }

    /// True if the peer takes this name.
    pub(crate) fn matches(&self, owner: &OwnerName) -> bool {
        match self {
            Self::Names { include, exclude } => {
                let among = |entries: &[Entry]| entries.iter().any(|entry| entry.matches(owner));
                (include.is_empty() || among(include)) && !among(exclude)
            }
            Self::Regex { include, exclude } => {
                let text = owner.to_string();
                let hit = |expression: &Option<Regex>| expression.as_ref().map(|one| one.is_match(&text));
                hit(exclude) != Some(true) && hit(include) != Some(false)
            }
        }
    }

    /// True if the peer may take names of this zone. Of regular expressions nobody can say.
    pub(crate) fn may_match_in(&self, apex: &OwnerName) -> bool {
        match self {
            Self::Names { include, exclude } => {
                let open = |entry: &Entry| apex.is_at_or_below(&entry.name) || entry.name.is_below(apex);
                let closed = |entry: &Entry| {
                    if entry.below_only { apex.is_below(&entry.name) } else { apex.is_at_or_below(&entry.name) }
                };
                (include.is_empty() || include.iter().any(open)) && !exclude.iter().any(closed)
            }
            Self::Regex { .. } => true,
        }
    }

    /// In words for a person.
    pub(crate) fn words(&self) -> String {
        let list = |entries: &[Entry]| entries.iter().take(10).map(Entry::text).collect::<Vec<_>>().join(", ");
        match self {
            Self::Names { include, exclude } if exclude.is_empty() => format!("it takes {}", list(include)),
            Self::Names { include, exclude } if include.is_empty() => format!("it takes all but {}", list(exclude)),
            Self::Names { include, exclude } => format!("it takes {}, but not {}", list(include), list(exclude)),
            Self::Regex { .. } => "it takes what its regular expressions say".to_owned(),
        }
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        let plain = text.trim().trim_end_matches('.');
        let below_only = plain.starts_with('.');
        let name = OwnerName::parse(plain.trim_start_matches('.'))
            .map_err(|error| format!("`{}` in the domain filter: {error}", super::wire::shorten(text)))?;
        Ok(Self { name, below_only })
    }

    fn matches(&self, owner: &OwnerName) -> bool {
        if self.below_only { owner.is_below(&self.name) } else { owner.is_at_or_below(&self.name) }
    }

    fn text(&self) -> String {
        format!("{}{}", if self.below_only { "." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::everything("{}", "example.org", true)]
    #[case::null("null", "example.org", true)]
    #[case::itself(r#"{"include":["example.org"]}"#, "example.org", true)]
    #[case::below(r#"{"include":["Example.org."]}"#, "a.b.example.org", true)]
    #[case::label_boundary(r#"{"include":["example.org"]}"#, "anexample.org", false)]
    #[case::below_only(r#"{"include":[".example.org"]}"#, "example.org", false)]
    #[case::below_only_below(r#"{"include":[".example.org"]}"#, "test.example.org", true)]
    #[case::above(r#"{"include":["baz.foo.org"]}"#, "foo.org", false)]
    #[case::blank_entries(r#"{"include":[""," "]}"#, "foo.org", true)]
    #[case::excluded(r#"{"include":["example.org"],"exclude":["api.example.org"]}"#, "foo.api.example.org", false)]
    #[case::not_excluded(r#"{"include":["example.org"],"exclude":["api.example.org"]}"#, "dev-api.example.org", true)]
    #[case::all_but(r#"{"exclude":["api.example.org"]}"#, "example.com", true)]
    #[case::regex(r#"{"regexInclude":"\\.org$"}"#, "foo.bar.org", true)]
    #[case::regex_not(r#"{"regexInclude":"\\.org$"}"#, "example.com", false)]
    #[case::regex_excluded(
        r#"{"regexInclude":"(?:foo|bar)\\.org$","regexExclude":"^example\\."}"#,
        "example.foo.org",
        false
    )]
    #[case::regex_all_but(r#"{"regexExclude":"^excluded\\."}"#, "allowed.example.com", true)]
    fn names_match_as_in_external_dns(#[case] body: &str, #[case] name: &str, #[case] matches: bool) {
        let filter = Filter::parse(body.as_bytes()).expect("a filter");
        assert_eq!(filter.matches(&OwnerName::parse(name).expect("a name")), matches);
    }

    #[rstest]
    #[case::all("{}", true)]
    #[case::itself(r#"{"include":["example.org"]}"#, true)]
    #[case::part_of_it(r#"{"include":["sub.example.org"]}"#, true)]
    #[case::above(r#"{"include":["org"]}"#, true)]
    #[case::beside(r#"{"include":["example.com"]}"#, false)]
    #[case::excluded(r#"{"exclude":["org"]}"#, false)]
    #[case::partly_excluded(r#"{"exclude":["sub.example.org"]}"#, true)]
    fn a_zone_is_there_if_any_of_its_names_may_be(#[case] body: &str, #[case] there: bool) {
        let filter = Filter::parse(body.as_bytes()).expect("a filter");
        assert_eq!(filter.may_match_in(&OwnerName::parse("example.org").expect("a name")), there);
    }

    #[rstest]
    #[case("[]")]
    #[case("")]
    #[case(r#"{"include":"example.org"}"#)]
    #[case(r#"{"include":["a"],"regexInclude":"b"}"#)]
    #[case(r#"{"regexInclude":"("}"#)]
    fn what_is_no_filter_is_refused(#[case] body: &str) {
        assert!(Filter::parse(body.as_bytes()).is_err());
    }
}
