//! What is wrong with a field, in words for the person who wrote it.

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Longest part of somebody's input that is repeated in a message, in characters.
const MAX_QUOTE: usize = 120;

/// A field of the wrong type, without a value, or with one that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// Path from the object (`spec.recordTTL`); empty for the object itself.
    pub(super) field: String,
    /// One sentence without a full stop.
    pub(super) message: String,
    /// What would be right.
    pub(super) help: Option<String>,
}

/// A part of an object: text of a JSON file, or a tree from a YAML file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    /// Valid JSON.
    Json(&'a str),
    /// A tree.
    Yaml(&'a Value),
}

impl<'a> Node<'a> {
    /// Reads the part as a `T`. `path` is where the part stands in the object.
    ///
    /// Following the path costs time, so that is only done for what is wrong, in a second pass.
    pub(super) fn read<T: Deserialize<'a>>(self, path: &str) -> Result<T, FieldError> {
        match self {
            Self::Json(text) => serde_json::from_str(text).or_else(|_| {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                serde_path_to_error::deserialize(&mut deserializer).map_err(|error| FieldError::new(path, &error))
            }),
            Self::Yaml(value) => T::deserialize(value)
                .or_else(|_| serde_path_to_error::deserialize(value).map_err(|error| FieldError::new(path, &error))),
        }
    }
}

impl FieldError {
    /// An error about `field`.
    pub(super) fn about(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), help: None }
    }

    /// A required field that is not there.
    pub(super) fn missing(field: impl Into<String>) -> Self {
        let field = field.into();
        let help = Some(format!("add `{field}`"));
        Self { field, message: "is missing".to_owned(), help }
    }

    /// The same with what would be right.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn new(prefix: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let mut field = prefix.to_owned();
        push_path(&mut field, error.path());
        let text = error.inner().to_string();
        let text = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
        if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            push_segment(&mut field, name);
            return Self::missing(field);
        }
        if let Some(name) = text.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
            push_segment(&mut field, name);
            return Self::about(field, "stands there twice").help("keep one of them");
        }
        if text.starts_with("invalid length ") && text.contains("expected struct ") {
            return Self::about(field, "must be a map of fields, not a list");
        }
        for start in ["invalid type: ", "invalid value: "] {
            let parts = text.strip_prefix(start).and_then(|rest| rest.rsplit_once(", expected "));
            if let Some((found, wanted)) = parts {
                let wanted = in_words(wanted);
                let message = format!("must be {wanted}, not {}", shorten(found));
                return Self { field, message, help: correction(found, wanted) };
            }
        }
        Self::about(field, shorten(text))
    }
}

/// Appends a path as it would be written in YAML; a key with dots stands in brackets.
fn push_path(field: &mut String, path: &Path) {
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                field.push('[');
                field.push_str(&index.to_string());
                field.push(']');
            }
            Segment::Map { key } => push_segment(field, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
}

fn push_segment(field: &mut String, key: &str) {
    if key.contains('.') {
        field.push('[');
        field.push_str(key);
        field.push(']');
        return;
    }
    if !field.is_empty() {
        field.push('.');
    }
    field.push_str(key);
}

/// Words of serde as words of a person.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "i64" | "u64" | "i32" | "u32" => "a whole number",
        "a sequence" => "a list",
        _ if wanted.starts_with("struct ") => "a map of fields",
        other => other,
    }
}

/// How the value that was found becomes the one that is wanted, where that can be guessed.
fn correction(found: &str, wanted: &str) -> Option<String> {
    let quoted = |text: &str| text.split_once('`').and_then(|(_, rest)| rest.strip_suffix('`')).map(str::to_owned);
    match wanted {
        "a string" if !found.starts_with("map") && !found.starts_with("sequence") => Some(
            quoted(found).map_or_else(|| "write a string".to_owned(), |text| format!("put it in quotes: \"{text}\"")),
        ),
        "a whole number" | "a boolean" if found.starts_with("string ") => {
            let text = found.strip_prefix("string \"")?.strip_suffix('"')?;
            let fits = text.parse::<i64>().is_ok() || matches!(text, "true" | "false");
            Some(if fits { format!("write {text} without quotes") } else { format!("write {wanted}") })
        }
        "a whole number" => {
            Some("write a whole number between -9223372036854775808 and 9223372036854775807".to_owned())
        }
        _ => None,
    }
}

/// Cuts what is too long for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
