//! Reads a master file record by record.

use std::sync::Arc;

use super::{
    Record, Records,
    generate::{expand, range},
    lexer::{Lexer, LexerError, Place, Word},
    records::TooMany,
};
use crate::{
    check::{Finding, FindingCode},
    dns::{
        NameRef, OwnerName, RecordType, Ttl,
        rdata::{NameBuffer, period, read_into},
    },
};

/// How deep files may include each other.
const MAX_DEPTH: usize = 16;
/// Largest TTL (RFC 2181 section 8).
const MAX_TTL: u64 = 2_147_483_647;

/// A text that `$INCLUDE` asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its file as a person would name it; findings carry it, and a file that includes itself is told by it.
    pub file: Arc<str>,
    /// What it says.
    pub text: String,
}

/// The caller's way to another file: gets the name as written and the file that it is written in.
type Loader<'a> = dyn FnMut(&str, &Arc<str>) -> Result<Included, String> + 'a;

/// Reads `text`; relative names are below `origin` until an `$ORIGIN` says otherwise.
///
/// `include` opens what `$INCLUDE` names ([`refuse_includes`](super::refuse_includes) opens nothing). Records
/// come in the order of the text, findings too; a record with a finding of severity error is not among the
/// records.
pub fn read(text: &str, file: &Arc<str>, origin: &OwnerName, include: &mut Loader<'_>) -> (Records, Vec<Finding>) {
    let mut reader = Reader {
        records: Records::default(),
        findings: Vec::new(),
        default_ttl: None,
        last_ttl: None,
        soa_minimum: None,
        files: vec![file.clone()],
        rdata: Vec::with_capacity(512),
        include,
    };
    reader.read_file(text, origin.clone());
    (reader.records, reader.findings)
}

/// What holds over all files.
struct Reader<'r, 'i> {
    records: Records,
    findings: Vec<Finding>,
    /// `$TTL`.
    default_ttl: Option<Ttl>,
    /// Last TTL that was written.
    last_ttl: Option<Ttl>,
    /// Last field of the SOA, which stands in where nothing else was said.
    soa_minimum: Option<Ttl>,
    /// The file being read, and the files that included it before it.
    files: Vec<Arc<str>>,
    /// Reused for the data of every record.
    rdata: Vec<u8>,
    include: &'r mut Loader<'i>,
}

/// What holds in one file.
struct Scope<'a> {
    file: Arc<str>,
    origin: OwnerName,
    owner: Owner,
    /// Where everything is said to stand, for lines that a directive made.
    made_at: Option<(u32, u32)>,
    /// Reused for the fields of every record.
    fields: Vec<&'a str>,
}

/// Whom a line that starts with blanks belongs to.
#[expect(clippy::large_enum_variant, reason = "there is one, and it is never moved far")]
enum Owner {
    /// No record was read yet.
    None,
    /// The last owner name could not be read.
    Wrong,
    /// The last owner name.
    Known(NameBuffer),
}

/// What stands before the data of a record.
struct Head {
    ttl: Option<Ttl>,
    record_type: RecordType,
    /// Index of the first word of the data.
    data_at: usize,
}

impl Reader<'_, '_> {
    fn read_file(&mut self, text: &str, origin: OwnerName) {
        let Some(file) = self.files.last().cloned() else { return };
        let mut scope = Scope { file, origin, owner: Owner::None, made_at: None, fields: Vec::new() };
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        loop {
            match lexer.next_record(&mut words) {
                Ok(None) => return,
                Ok(Some(blank)) => {
                    let first = words[0];
                    let directive = !blank && !first.quoted && first.text.starts_with('$');
                    let read = if directive {
                        self.directive(&words, &mut scope)
                    } else {
                        self.record(&words, blank, &mut scope)
                    };
                    if let Err(finding) = read {
                        self.findings.push(*finding);
                    }
                }
                Err(error) => {
                    // Its owner name may have been among what was skipped.
                    scope.owner = Owner::Wrong;
                    self.findings.push(unlexed(&error, &scope));
                }
            }
        }
    }

    /// Boxed findings keep the way of a good record short.
    fn record<'a>(&mut self, words: &[Word<'a>], blank: bool, scope: &mut Scope<'a>) -> Result<(), Box<Finding>> {
        let first = words[0];
        if blank {
            let message = match &scope.owner {
                Owner::Known(_) => None,
                Owner::None => Some("the record has no owner name"),
                Owner::Wrong => Some("the record belongs to an owner name that could not be read"),
            };
            if let Some(message) = message {
                let finding = scope.finding(FindingCode::ZoneSyntax, first.place(), message);
                return Err(finding.help("a line that starts with a blank belongs to the owner name above it").into());
            }
        } else {
            scope.owner = Owner::Wrong;
            scope.owner = Owner::Known(scope.name_buffer(&first)?);
        }
        let head = self.head(words, usize::from(!blank), scope)?;
        scope.fields.clear();
        scope.fields.extend(words[head.data_at..].iter().map(Word::field));
        self.rdata.clear();
        if let Err(error) = read_into(head.record_type, &scope.fields, &scope.origin, &mut self.rdata) {
            let wrong =
                error.field().and_then(|field| words.get(head.data_at + field)).or(words.last()).unwrap_or(&first);
            let message = format!("{} data: {error}", head.record_type);
            let mut finding = scope.finding(FindingCode::ZoneRdata, wrong.place(), message);
            finding.help = error.suggestion().map(str::to_owned);
            return Err(finding.into());
        }
        if head.record_type == RecordType::SOA && self.soa_minimum.is_none() {
            let minimum = self.rdata.last_chunk().map(|octets| u32::from_be_bytes(*octets));
            // RFC 2181 section 8: a set sign bit makes it 0; no TTL comes from that.
            self.soa_minimum = minimum.filter(|&minimum| u64::from(minimum) <= MAX_TTL);
        }
        let ttl = head.ttl.or(self.default_ttl).or(self.last_ttl).or(self.soa_minimum).ok_or_else(|| {
            scope
                .finding(
                    FindingCode::ZoneSyntax,
                    first.place(),
                    "the record has no TTL, and nothing before it gives one",
                )
                .help("write `$TTL 3600` at the top of the file")
        })?;
        let (line, column) = scope.position(first.place());
        // Seen to above.
        let Owner::Known(owner) = &scope.owner else { return Ok(()) };
        let (owner, rdata) = (NameRef::from_normal_wire(owner.as_wire()), self.rdata.as_slice());
        let record = Record { owner, ttl, record_type: head.record_type, rdata, line, column, file: &scope.file };
        self.records.push(record).map_err(|TooMany| {
            let message = "the zone has more than 4 GiB of names and data";
            scope.finding(FindingCode::ZoneSyntax, first.place(), message).help("make several zones of it").into()
        })
    }

    /// `[TTL] [class] type` in either order of the first two (RFC 1035 section 5.1).
    fn head(&mut self, words: &[Word<'_>], start: usize, scope: &Scope<'_>) -> Result<Head, Box<Finding>> {
        let (mut ttl, mut class) = (None, false);
        for (at, word) in words.iter().enumerate().skip(start) {
            if ttl.is_none()
                && word.text.starts_with(|first: char| first.is_ascii_digit())
                && let Some(seconds) = period(word.text)
            {
                ttl = Some(scope.ttl(word, seconds)?);
                self.last_ttl = ttl;
                continue;
            }
            if !class && is_class(word.text) {
                if !is_internet(word.text) {
                    let message = format!("the class is {}, and only IN is served", word.text.to_ascii_uppercase());
                    return Err(scope
                        .finding(FindingCode::ZoneSyntax, word.place(), message)
                        .help("write IN or nothing")
                        .into());
                }
                class = true;
                continue;
            }
            let record_type: RecordType = word.text.parse().map_err(|_| {
                let message = format!("`{}` is no RR type", word.text);
                scope.finding(FindingCode::ZoneSyntax, word.place(), message).help(
                    "a record is written `[owner] [TTL] [IN] type data`; a line that starts with a blank has no owner",
                )
            })?;
            if record_type.is_meta() {
                let message = format!("{record_type} stands in messages, not in zones");
                return Err(scope
                    .finding(FindingCode::ZoneSyntax, word.place(), message)
                    .help("remove the record")
                    .into());
            }
            return Ok(Head { ttl, record_type, data_at: at + 1 });
        }
        let last = words.last().map_or_else(|| words[0].place(), Word::place);
        Err(scope
            .finding(FindingCode::ZoneSyntax, last, "the record ends before its type")
            .help("a record is written `[owner] [TTL] [IN] type data`")
            .into())
    }

    fn directive<'a>(&mut self, words: &[Word<'a>], scope: &mut Scope<'a>) -> Result<(), Box<Finding>> {
        let (name, arguments) = (words[0], &words[1..]);
        let form = |form: &str| {
            let finding =
                scope.finding(FindingCode::ZoneSyntax, name.place(), format!("{} is not complete", name.text));
            Box::new(finding.help(format!("write `{form}`")))
        };
        match name.text.to_ascii_uppercase().as_str() {
            "$ORIGIN" => {
                let [origin, rest @ ..] = arguments else { return Err(form("$ORIGIN example.com.")) };
                scope.nothing_more(rest)?;
                scope.origin = scope.name(origin)?;
            }
            "$TTL" => {
                let [ttl, rest @ ..] = arguments else { return Err(form("$TTL 3600")) };
                scope.nothing_more(rest)?;
                let seconds = period(ttl.text).ok_or_else(|| {
                    scope
                        .finding(FindingCode::ZoneSyntax, ttl.place(), format!("`{}` is no TTL", ttl.text))
                        .help("write seconds, or numbers with w, d, h, m and s: `1h30m`")
                })?;
                self.default_ttl = Some(scope.ttl(ttl, seconds)?);
            }
            "$INCLUDE" => {
                let [path, rest @ ..] = arguments else { return Err(form("$INCLUDE file [origin]")) };
                let origin = match rest {
                    [] => scope.origin.clone(),
                    [origin, rest @ ..] => {
                        scope.nothing_more(rest)?;
                        scope.name(origin)?
                    }
                };
                self.include(path, origin, scope)?;
            }
            "$GENERATE" => self.generate(name, arguments, scope)?,
            _ => {
                let finding =
                    scope.finding(FindingCode::ZoneSyntax, name.place(), format!("`{}` is no directive", name.text));
                return Err(finding.help("known are $ORIGIN, $TTL, $INCLUDE and $GENERATE").into());
            }
        }
        Ok(())
    }

    /// The file's origin and last owner name do not come back to the file that includes it (RFC 1035 section 5.1).
    fn include(&mut self, path: &Word<'_>, origin: OwnerName, scope: &Scope<'_>) -> Result<(), Box<Finding>> {
        if self.files.len() >= MAX_DEPTH {
            let message = format!("files include each other more than {MAX_DEPTH} deep");
            return Err(scope.finding(FindingCode::ZoneSyntax, path.place(), message).into());
        }
        let included = (self.include)(path.text, &scope.file).map_err(|reason| {
            scope.finding(
                FindingCode::Unreadable,
                path.place(),
                format!("`{}` cannot be included: {reason}", path.text),
            )
        })?;
        if self.files.contains(&included.file) {
            let message = format!("`{}` includes itself", included.file);
            return Err(scope.finding(FindingCode::ZoneSyntax, path.place(), message).into());
        }
        self.files.push(included.file);
        self.read_file(&included.text, origin);
        self.files.pop();
        Ok(())
    }

    fn generate(&mut self, name: Word<'_>, arguments: &[Word<'_>], scope: &mut Scope<'_>) -> Result<(), Box<Finding>> {
        const FORM: &str = "write `$GENERATE 1-10 host-$ A 192.0.2.$`; see BIND's manual for `${offset,width,base}`";
        let finding =
            |place, message: String| Box::new(scope.finding(FindingCode::ZoneSyntax, place, message).help(FORM));
        let [numbers, template @ ..] = arguments else {
            return Err(finding(name.place(), "$GENERATE has no range".to_owned()));
        };
        let range = range(numbers.text).map_err(|message| finding(numbers.place(), message))?;
        let data_at = template.iter().skip(1).position(|word| !is_class(word.text) && period(word.text).is_none());
        let data_at = data_at.map_or(template.len(), |at| at + 2);
        let made_at = scope.position(name.place());
        let step = usize::try_from(range.step).unwrap_or(usize::MAX);
        for value in (range.start..=range.stop).step_by(step) {
            let mut line = String::new();
            for (index, word) in template.iter().enumerate() {
                // Data of several words may be written as one in quotes, as BIND wants it.
                let keep_quotes = word.quoted && !(index == data_at && template.len() == data_at + 1);
                line.push_str(if keep_quotes { "\"" } else { "" });
                expand(word.text, value, &mut line).map_err(|message| finding(word.place(), message))?;
                line.push_str(if keep_quotes { "\" " } else { " " });
            }
            let mut made = Scope {
                file: scope.file.clone(),
                origin: scope.origin.clone(),
                owner: Owner::None,
                made_at: Some(made_at),
                fields: Vec::new(),
            };
            let mut words = Vec::new();
            let cut = Lexer::new(&line).next_record(&mut words);
            cut.map_err(|error| unlexed(&error, &made))?;
            if words.is_empty() {
                return Err(finding(name.place(), "$GENERATE has no owner name".to_owned()));
            }
            // The first wrong record speaks for all that the directive would make.
            self.record(&words, false, &mut made).map_err(|finding| Box::new(finding.help(FORM)))?;
        }
        Ok(())
    }
}

impl Scope<'_> {
    fn position(&self, place: Place<'_>) -> (u32, u32) {
        self.made_at.unwrap_or_else(|| (place.line, place.column()))
    }

    fn finding(&self, code: FindingCode, place: Place<'_>, message: impl Into<String>) -> Finding {
        let (line, column) = self.position(place);
        Finding::new(code, message).at(&self.file, line, column)
    }

    fn name(&self, word: &Word<'_>) -> Result<OwnerName, Box<Finding>> {
        Ok(NameRef::from_normal_wire(self.name_buffer(word)?.as_wire()).into())
    }

    fn name_buffer(&self, word: &Word<'_>) -> Result<NameBuffer, Box<Finding>> {
        NameBuffer::read(word.text, &self.origin).map_err(|error| {
            let message = format!("`{}` is no domain name: {error}", word.text);
            Box::new(self.finding(FindingCode::ZoneSyntax, word.place(), message))
        })
    }

    fn ttl(&self, word: &Word<'_>, seconds: u64) -> Result<Ttl, Box<Finding>> {
        let ttl = u32::try_from(seconds).ok().filter(|_| seconds <= MAX_TTL);
        ttl.ok_or_else(|| {
            let message = format!("the TTL `{}` is above {MAX_TTL}", word.text);
            let finding = self.finding(FindingCode::TtlOutOfRange, word.place(), message);
            Box::new(finding.help("write 0 to 2147483647 seconds (RFC 2181 section 8)"))
        })
    }

    fn nothing_more(&self, words: &[Word<'_>]) -> Result<(), Box<Finding>> {
        let Some(word) = words.first() else { return Ok(()) };
        let message = format!("`{}` is more than the directive has", word.text);
        Err(self.finding(FindingCode::ZoneSyntax, word.place(), message).help("start a comment with `;`").into())
    }
}

/// Classes of RFC 1035 section 3.2.4 and of RFC 3597.
pub(super) fn is_class(text: &str) -> bool {
    let generic = || text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("CLASS"));
    ["IN", "CH", "HS", "CS"].iter().any(|class| class.eq_ignore_ascii_case(text)) || generic()
}

fn is_internet(class: &str) -> bool {
    class.eq_ignore_ascii_case("IN") || class.eq_ignore_ascii_case("CLASS1")
}

fn unlexed(error: &LexerError<'_>, scope: &Scope<'_>) -> Finding {
    scope.finding(FindingCode::ZoneSyntax, error.place, error.message).help(error.help)
}
