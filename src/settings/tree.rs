//! YAML as a tree in which every node knows its line and column.
//!
//! Reading into plain structs would stop at the first fault; the tree lets the reader report all of them.

use std::{fmt, sync::Arc};

use mcdns_core::check::{Finding, FindingCode, Place};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// A node of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: u32,
    /// From 1.
    pub(super) column: u32,
    pub(super) content: Content,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing, or `null`.
    Nothing,
    /// Any scalar, as text.
    Scalar(String),
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`, in the order written.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) text: String,
}

impl Node {
    /// Reads the text of a settings file; an empty one is an empty mapping.
    pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Self, Box<Finding>> {
        match serde_saphyr::from_str::<Option<Self>>(text) {
            Ok(Some(node)) => Ok(node),
            Ok(None) => Ok(Self { line: 1, column: 1, content: Content::Map(Vec::new()) }),
            Err(error) => {
                let (line, column) = error.location().map_or((0, 0), place_of);
                let error = error.without_snippet();
                let mut message = error.to_string();
                // The place stands in front of the message already, and how a program would allow it helps nobody.
                let ends = [" at line ", ", set DuplicateKeyPolicy", "\n"].map(|end| message.find(end));
                if let Some(end) = ends.into_iter().flatten().min() {
                    message.truncate(end);
                }
                Err(Box::new(Finding::new(FindingCode::Syntax, message).at(file, line, column)))
            }
        }
    }

    /// What the mapping holds under a key.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a list, or a single value in place of a list of one.
    pub(super) fn values(&self) -> &[Self] {
        match &self.content {
            Content::Scalar(_) => std::slice::from_ref(self),
            _ => self.items(),
        }
    }

    /// The node under a path of keys with dots between, through mappings only.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, Self::child).filter(|node| node.content != Content::Nothing)
    }

    pub(super) fn place(&self, file: &Arc<str>) -> Place {
        Place { file: file.clone(), line: self.line, column: self.column }
    }
}

impl Content {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let (line, column) = place_of(spanned.referenced);
        Ok(Self { line, column, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        let (line, column) = place_of(spanned.referenced);
        Ok(Self { line, column, text: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Nothing)
    }

    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}

fn place_of(location: serde_saphyr::Location) -> (u32, u32) {
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (bounded(location.line()), bounded(location.column()))
}
