//! Answers of an API server in pieces: pages of lists, and events of watches, read from the text without a copy.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// The objects, each as text.
    pub(super) items: Vec<&'a str>,
    /// Where a watch goes on from.
    pub(super) version: String,
    /// How the next page is asked for; none for the last page.
    pub(super) next: Option<String>,
}

/// One event of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// An object that is there.
    Put(&'a str),
    /// An object that is gone.
    Gone(&'a str),
    /// Nothing but a place to go on from; `true` where it ends the list that a stream began with.
    Bookmark(String, bool),
}

/// Reads a page. Half of one, or anything else, is garbage and means nothing.
pub(super) fn page(text: &[u8]) -> Result<Page<'_>, Fault> {
    #[derive(Deserialize)]
    struct List<'a> {
        metadata: Meta,
        // Asked for, so that an answer without it is no empty list.
        #[serde(borrow)]
        items: &'a RawValue,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        resource_version: Option<String>,
        #[serde(rename = "continue")]
        next: Option<String>,
    }
    let list: List<'_> = serde_json::from_slice(text).map_err(|error| garbage(&error))?;
    // Go writes an empty list as null.
    let items: Option<Vec<&RawValue>> = serde_json::from_str(list.items.get()).map_err(|error| garbage(&error))?;
    let next = list.metadata.next.filter(|next| !next.is_empty());
    let version = list.metadata.resource_version.unwrap_or_default();
    if version.is_empty() && next.is_none() {
        return Err(Fault::Garbage("a list without a resource version".to_owned()));
    }
    Ok(Page { items: items.unwrap_or_default().into_iter().map(RawValue::get).collect(), version, next })
}

/// Reads an event. An event that tells of an error is that error.
pub(super) fn event(line: &[u8]) -> Result<Event<'_>, Fault> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(|error| garbage(&error))?;
    let object = envelope.object.get();
    match &*envelope.kind {
        "ADDED" | "MODIFIED" => Ok(Event::Put(object)),
        "DELETED" => Ok(Event::Gone(object)),
        "BOOKMARK" => bookmark(object),
        "ERROR" => Err(error_event(object)),
        other => Err(Fault::Garbage(format!("an event of type {}", super::fault::shorten(other)))),
    }
}

fn bookmark(object: &str) -> Result<Event<'_>, Fault> {
    #[derive(Deserialize)]
    struct Bookmark {
        metadata: Meta,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        resource_version: String,
        annotations: Option<Annotations>,
    }
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(rename = "k8s.io/initial-events-end")]
        end: Option<String>,
    }
    let Bookmark { metadata } = serde_json::from_str(object).map_err(|error| garbage(&error))?;
    let ends = metadata.annotations.and_then(|annotations| annotations.end).is_some_and(|end| end == "true");
    Ok(Event::Bookmark(metadata.resource_version, ends))
}

fn error_event(object: &str) -> Fault {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Status {
        code: u16,
        message: String,
        details: Option<Details>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Details {
        retry_after_seconds: u32,
    }
    match serde_json::from_str::<Status>(object) {
        Ok(status) => {
            let wait = status.details.unwrap_or_default().retry_after_seconds;
            Fault::of_status(status.code, &status.message, wait)
        }
        Err(error) => garbage(&error),
    }
}

fn garbage(error: &serde_json::Error) -> Fault {
    Fault::Garbage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_into_its_objects() {
        let text =
            br#"{"kind":"ServiceList","metadata":{"resourceVersion":"5","continue":"x"},"items":[{"a":1},{"b":2}]}"#;
        let page = page(text).expect("a list");
        assert_eq!(page.items, [r#"{"a":1}"#, r#"{"b":2}"#]);
        assert_eq!((page.version.as_str(), page.next.as_deref()), ("5", Some("x")));
    }

    #[test]
    fn what_is_no_whole_list_is_not_an_empty_one() {
        for text in [
            r#"{"metadata":{"resourceVersion":"5"}}"#,
            r#"{"metadata":{},"items":[]}"#,
            r#"{"items":[]}"#,
            r#"{"metadata":{"resourceVersion":"5"},"items":[{"a":1}"#,
            r#"{"metadata":{"resourceVersion":"5"},"items":{}}"#,
            "<html>",
            "",
        ] {
            assert!(matches!(page(text.as_bytes()), Err(Fault::Garbage(_))), "{text}");
        }
        let null = page(br#"{"metadata":{"resourceVersion":"5"},"items":null}"#).expect("as Go writes it");
        assert!(null.items.is_empty());
    }

    #[test]
    fn events_are_told_apart() {
        assert_eq!(event(br#"{"type":"ADDED","object":{"a":1}}"#), Ok(Event::Put(r#"{"a":1}"#)));
        assert_eq!(event(br#"{"object":{"a":1},"type":"DELETED"}"#), Ok(Event::Gone(r#"{"a":1}"#)));
        let end = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9",
            "annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert_eq!(event(end), Ok(Event::Bookmark("9".to_owned(), true)));
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
        assert_eq!(event(gone), Err(Fault::Gone));
        for text in [r#"{"type":"ADDED"}"#, r#"{"type":"ODD","object":{}}"#, "{}", "x", r#"{"type":"ADDED","obj"#] {
            assert!(matches!(event(text.as_bytes()), Err(Fault::Garbage(_))), "{text}");
        }
    }
}
