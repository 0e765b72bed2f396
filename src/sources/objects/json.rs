//! JSON files as slices of their text, each with its line.
//!
//! Nothing is built here: the text is cut into objects, which are then read straight into slim types. That is what
//! lets 150 MB be read in seconds.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::SyntaxError;

/// The top-level values of a file, one after another.
pub(super) fn documents(text: &str) -> Result<Vec<&str>, SyntaxError> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    values
        .map(|value| {
            value.map(RawValue::get).map_err(|error| {
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
                SyntaxError { line: small(error.line()), column: small(error.column()), message: message.to_owned() }
            })
        })
        .collect()
}

/// The elements of a list; none if `text` is no list.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The parts of an object that say what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parts<'a> {
    #[serde(borrow)]
    pub(super) api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) items: Option<&'a RawValue>,
}

/// Counts lines of a text from front to back, so that all objects of a file cost one pass.
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lines<'a> {
    /// Starts at the first line.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line, from 1, on which `part` starts; `part` is a slice of the text, behind those asked for before.
    pub(super) fn line_of(&mut self, part: &str) -> u32 {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if let Some(between) = self.text.as_bytes().get(self.at..offset) {
            let newlines = super::newlines(between);
            self.line = self.line.saturating_add(small(newlines));
            self.at = offset;
        }
        self.line
    }
}

/// A line or column, at the end of the scale the end.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
