//! Cuts a master file into the words of one record after the other (RFC 1035 section 5.1).
//!
//! Words are slices of the text with their escapes left in: what they mean depends on where they stand.

use super::reader::is_class;
use crate::dns::{RecordType, rdata::period};

/// How often reading starts again behind a parenthesis that is never closed. Each time costs the rest of the
/// file, so a limit keeps the whole in proportion to the text.
const MAX_RESTARTS: u32 = 100;

/// Cuts one text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    restarts: u32,
    /// Whether the text is data of a type with service parameters; none if it is whole records, which say their types.
    has_parameters: Option<bool>,
}

/// One word, and where it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    /// Without the quotes around it.
    pub(super) text: &'a str,
    /// It stood in quotes.
    pub(super) quoted: bool,
    place: Place<'a>,
}

/// Where something starts, from which line and column follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// From 1.
    pub(super) line: u32,
    /// What stands before it in its line.
    before: &'a str,
}

/// A record that cannot be cut. The lexer stands behind it.
#[derive(Debug)]
pub(super) struct LexerError<'a> {
    pub(super) message: &'static str,
    pub(super) help: &'static str,
    pub(super) place: Place<'a>,
}

/// Where reading goes on when a parenthesis turns out to be open at the end of the text.
#[derive(Debug, Clone, Copy)]
struct Opened<'a> {
    place: Place<'a>,
    at: usize,
    line: u32,
    line_start: usize,
}

impl Place<'_> {
    /// Column in characters, from 1.
    pub(super) fn column(&self) -> u32 {
        u32::try_from(self.before.chars().count()).map_or(u32::MAX, |before| before.saturating_add(1))
    }
}

impl<'a> Word<'a> {
    pub(super) fn place(&self) -> Place<'a> {
        self.place
    }

    /// The word as record data takes it. `"\#"` in quotes is the string `#`, and must not look like the mark
    /// of RFC 3597.
    pub(super) fn field(&self) -> &'a str {
        if self.quoted && self.text == "\\#" { "#" } else { self.text }
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at: start, line: 1, line_start: start, restarts: 0, has_parameters: None }
    }

    /// For the data of one record alone.
    pub(super) fn of_data(text: &'a str, record_type: RecordType) -> Self {
        Self { has_parameters: Some(is_of_services(record_type)), ..Self::new(text) }
    }

    /// True if the data that begins with these words is that of a type with service parameters. `blank`: the owner name
    /// is not among them.
    fn has_parameters(&self, words: &[Word<'_>], blank: bool) -> bool {
        if let Some(known) = self.has_parameters {
            return known;
        }
        let is_generate = |first: &Word<'_>| !first.quoted && first.text.eq_ignore_ascii_case("$GENERATE");
        let owner_end = match words.first() {
            _ if blank => 0,
            // The range and the owner name.
            Some(first) if is_generate(first) => 3,
            _ => 1,
        };
        let mut behind = words.iter().skip(owner_end).map(|word| word.text);
        let record_type = behind.find(|text| !is_class(text) && period(text).is_none());
        record_type.and_then(|text| text.parse().ok()).is_some_and(is_of_services)
    }

    /// Puts the words of the next record into `words`. True if its line starts with blanks, which stand for
    /// the last owner name; none at the end of the text.
    pub(super) fn next_record(&mut self, words: &mut Vec<Word<'a>>) -> Result<Option<bool>, LexerError<'a>> {
        words.clear();
        let octets = self.text.as_bytes();
        let mut blank = matches!(octets.get(self.at), Some(b' ' | b'\t'));
        let mut open: Option<Opened<'a>> = None;
        let mut depth = 0u32;
        loop {
            let Some(&octet) = octets.get(self.at) else {
                if let Some(opened) = open {
                    return Err(self.unclosed(opened));
                }
                return Ok(if words.is_empty() { None } else { Some(blank) });
            };
            match octet {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.next_line();
                    if depth == 0 {
                        if !words.is_empty() {
                            return Ok(Some(blank));
                        }
                        blank = matches!(octets.get(self.at), Some(b' ' | b'\t'));
                    }
                }
                b';' => self.skip_comment(),
                b'(' => {
                    if depth == 0 {
                        let (at, line, line_start) = (self.at, self.line, self.line_start);
                        open = Some(Opened { place: self.place(), at, line, line_start });
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        open = None;
                    }
                    self.at += 1;
                }
                b')' => {
                    let place = self.place();
                    self.skip_line();
                    return Err(LexerError {
                        message: "a closing parenthesis without an opening one",
                        help: "remove it, or write `\\)` where it belongs to a name",
                        place,
                    });
                }
                b'"' => {
                    let place = self.place();
                    let start = self.at + 1;
                    let Some(end) = end_of_quotes(octets, start) else {
                        self.skip_line();
                        self.skip_group(depth);
                        return Err(LexerError {
                            message: "a quote that is not closed on its line",
                            help: "close it with `\"`, or write `\\\"` for a quote that belongs to the text",
                            place,
                        });
                    };
                    words.push(Word { text: &self.text[start..end], quoted: true, place });
                    self.at = end + 1;
                }
                _ => {
                    let place = self.place();
                    let start = self.at;
                    let Some(end) = end_of_word(octets, start, || self.has_parameters(words, blank)) else {
                        self.skip_line();
                        self.skip_group(depth);
                        return Err(LexerError {
                            message: "a word that ends with a backslash or with an open quote",
                            help: "a backslash needs a character or three digits behind it, on the same line",
                            place,
                        });
                    };
                    words.push(Word { text: &self.text[start..end], quoted: false, place });
                    self.at = end;
                }
            }
        }
    }

    fn place(&self) -> Place<'a> {
        Place { line: self.line, before: &self.text[self.line_start..self.at] }
    }

    /// Steps over the line end that it stands on.
    fn next_line(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
    }

    /// Steps to the line end.
    fn skip_comment(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    /// Steps behind the line end.
    fn skip_line(&mut self) {
        self.skip_comment();
        if self.at < self.text.len() {
            self.next_line();
        }
    }

    /// Steps behind the line in which `depth` parentheses are closed; stays where they never are.
    fn skip_group(&mut self, mut depth: u32) {
        let (at, line, line_start) = (self.at, self.line, self.line_start);
        let octets = self.text.as_bytes();
        while depth > 0 {
            match octets.get(self.at) {
                None => {
                    (self.at, self.line, self.line_start) = (at, line, line_start);
                    return;
                }
                Some(b'\n') => self.next_line(),
                Some(b';') => self.skip_comment(),
                Some(b'"') => self.at = end_of_quotes(octets, self.at + 1).map_or(self.at + 1, |end| end + 1),
                Some(b'\\') if octets.get(self.at + 1) != Some(&b'\n') => self.at += 2,
                Some(octet) => {
                    match octet {
                        b'(' => depth += 1,
                        b')' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                }
            }
            if depth == 0 {
                self.skip_line();
            }
        }
    }

    /// A parenthesis is open at the end: reading goes on in the line below it.
    fn unclosed(&mut self, opened: Opened<'a>) -> LexerError<'a> {
        self.restarts += 1;
        if self.restarts <= MAX_RESTARTS {
            (self.at, self.line, self.line_start) = (opened.at, opened.line, opened.line_start);
            self.skip_line();
        }
        LexerError {
            message: "a parenthesis that is never closed",
            help: "close it with `)` at the end of the record",
            place: opened.place,
        }
    }
}

/// Where the closing quote stands; none if the line ends before.
fn end_of_quotes(octets: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match octets.get(at)? {
            b'"' => return Some(at),
            b'\n' => return None,
            b'\\' if octets.get(at + 1) != Some(&b'\n') => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the word ends; none if it ends with half an escape or an open quote. A quote starts the next word, but behind
/// the `=` of a service parameter it belongs to this one (RFC 9460 section 2.1).
fn end_of_word(octets: &[u8], start: usize, has_parameters: impl Fn() -> bool) -> Option<usize> {
    let mut at = start;
    while let Some(&octet) = octets.get(at) {
        match octet {
            b'\\' => match octets.get(at + 1) {
                None | Some(b'\n' | b'\r') => return None,
                Some(_) => at += 2,
            },
            b'"' if at > start && octets[at - 1] == b'=' && has_parameters() => {
                at = end_of_quotes(octets, at + 1)? + 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
            _ => at += 1,
        }
    }
    Some(at)
}

/// The types with service parameters (RFC 9460 section 14.1).
fn is_of_services(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::SVCB | RecordType::HTTPS)
}
