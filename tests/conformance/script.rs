//! Cases as they stand in their files.
//!
//! ```text
//! # A comment.
//! === Title: a sentence about behaviour
//! > RFC 1035 section 4.1.1: "The sentence that asks for it."
//! ask www.plain.test A +rd +edns          a question, with what is special about it
//! rcode NOERROR                           needed; `silence` is one too; `NOERROR|REFUSED` leaves a choice
//! flags aa tc?                            without QR and RD; `?`: or not; `any`; none when left out
//! answer in order                         nothing, `in order`, `some`, `at most`, `any`, `count N`, `transfer`
//!     www.plain.test. 300 A 192.0.2.1     class IN is left out; `<word>` stands for any one word
//! option NSID 636f                        `any`, `maybe`, `octets 16 32`, or hexadecimal digits
//! or                                      another answer that is as good
//! rcode REFUSED
//! tsig none                               an error and `signed` or `unsigned`, or no TSIG record at all
//! deviates nsd, knot: why                 these do not answer like this; mcdns too, where the sentence has a SHOULD
//! differs: why mcdns is unlike every control
//! ```
//!
//! What is not named must not be there: sections are empty, options absent; EDNS is there exactly if it was in the
//! question; RD is as it was sent; the question comes back octet by octet. A second `ask` begins the next step of
//! the case, `and` asks on the same connection without waiting for the answer before.

use std::fmt;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::{
    draft::Draft,
    question::{known, question, raw},
    words::{self, OPTIONS, RCODES},
};

/// TSIG errors, whose numbers partly mean something else as RCODEs (RFC 8945 section 3).
const TSIG_ERRORS: words::Words = &[("NOERROR", 0), ("BADSIG", 16), ("BADKEY", 17), ("BADTIME", 18), ("BADTRUNC", 22)];

/// Whom a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// This project's own server.
    Mcdns,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// BIND 9.
    Bind,
}

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its file.
    pub file: &'static str,
    /// Its line.
    pub line: usize,
    /// A sentence about behaviour.
    pub title: String,
    /// The sentences that ask for it, with RFC and section.
    pub quotation: String,
    /// What is asked, one after the other.
    pub steps: Vec<Step>,
    /// Servers that do otherwise, with the reason.
    pub deviations: Vec<(Vec<Who>, String)>,
    /// Why mcdns is unlike all controls.
    pub differs: Option<String>,
}

/// A question, or several that are asked at once, and the answer.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its line.
    pub line: usize,
    /// As it stands in the file.
    pub text: Vec<String>,
    /// What is sent.
    pub drafts: Vec<Draft>,
    /// How.
    pub transport: Transport,
    /// Answers that are right.
    pub expected: Vec<Expected>,
}

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram each.
    Udp,
    /// One connection for all of a step.
    Tcp {
        /// In writes of one octet.
        slowly: bool,
        /// The client's side is closed when all is sent.
        half_close: bool,
    },
    /// The octets alone on a connection, without the length in front.
    Stream,
}

/// An answer that is right.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line that a case may have or not")]
pub struct Expected {
    /// As it stands in the file.
    pub text: Vec<String>,
    /// RCODEs that are right.
    pub rcodes: Vec<u16>,
    /// No answer is right.
    pub silence: bool,
    /// Flags with whether they may be absent; None: any.
    pub flags: Option<Vec<(String, bool)>>,
    /// True if the question section may be any.
    pub any_question: bool,
    /// Answer, authority, additional.
    pub sections: [Section; 3],
    /// True if the OPT record may be there or not.
    pub any_edns: bool,
    /// DO in the answer; None: as in the question or not.
    pub dnssec_ok: Option<bool>,
    /// Options that the answer has, or may have.
    pub options: Vec<(u16, OptionTest)>,
    /// Octets that the message has at most.
    pub size: Option<usize>,
    /// True if upper and lower case count in records.
    pub exact: bool,
    /// What the TSIG record has to be; without it, the answer is signed exactly if the question was.
    pub tsig: Option<TsigTest>,
}

/// What a section has to be.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// How the records are compared.
    pub mode: Mode,
    /// The records.
    pub records: Vec<String>,
}

/// How the records of a section are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// These, in any order.
    #[default]
    Exactly,
    /// These, in this order.
    InOrder,
    /// At least these.
    Some,
    /// None but these.
    AtMost,
    /// Whatever it is.
    Any,
    /// So many.
    Count(usize),
    /// These in any order between the first and the last (RFC 5936 section 2.2).
    Transfer,
}

/// What an option has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionTest {
    /// It is there.
    Any,
    /// It may be there.
    Maybe,
    /// It has so many octets.
    Octets(usize, usize),
    /// It begins with these.
    Starts(Vec<u8>),
}

/// What the TSIG record of an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigTest {
    /// It is not there.
    Absent,
    /// It is there.
    Present {
        /// TSIG error.
        error: u16,
        /// True if the MAC is right, false if there is none.
        signed: bool,
    },
}

impl Case {
    /// `rfc1035.txt:12`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Why this server does otherwise, where it is known to.
    pub fn deviation(&self, who: Who) -> Option<&str> {
        self.deviations.iter().find(|(whose, _)| whose.contains(&who)).map(|(_, reason)| reason.as_str())
    }
}

/// All cases of a file.
///
/// # Errors
/// What cannot be read, with its line.
pub fn read(file: &'static str, text: &str) -> anyhow::Result<Vec<Case>> {
    let mut reader = Reader { file, cases: Vec::new(), open: Open::Nothing };
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line).with_context(|| format!("line {}: {line}", index + 1))?;
    }
    for case in &reader.cases {
        case.check().with_context(|| format!("line {}: {}", case.line, case.title))?;
    }
    Ok(reader.cases)
}

impl Case {
    fn check(&self) -> anyhow::Result<()> {
        if self.quotation.is_empty() || self.steps.is_empty() {
            bail!("a case needs a sentence of an RFC and a question");
        }
        for step in &self.steps {
            if step.expected.iter().any(|expected| expected.rcodes.is_empty() && !expected.silence) {
                bail!("line {}: no `rcode`", step.line);
            }
        }
        let deviates = |who| self.deviation(who).is_some();
        if deviates(Who::Mcdns) && !self.quotation.contains("SHOULD") {
            bail!("mcdns does what it must; it deviates from what it SHOULD at most");
        }
        if [Who::Nsd, Who::Knot, Who::Bind].into_iter().all(deviates) != self.differs.is_some() {
            bail!("`differs` is for cases that every control deviates from, and needed there");
        }
        Ok(())
    }
}

/// What an indented line goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Octets,
    Section(usize),
    Deviation,
    Differs,
}

struct Reader {
    file: &'static str,
    cases: Vec<Case>,
    open: Open,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> anyhow::Result<()> {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            self.open = Open::Nothing;
            return Ok(());
        }
        if let Some(title) = line.strip_prefix("=== ") {
            self.cases.push(Case {
                file: self.file,
                line: number,
                title: title.to_owned(),
                quotation: String::new(),
                steps: Vec::new(),
                deviations: Vec::new(),
                differs: None,
            });
            return Ok(());
        }
        let case = self.cases.last_mut().context("no case has begun")?;
        if let Some(quotation) = line.strip_prefix("> ") {
            if !case.quotation.is_empty() {
                case.quotation.push(' ');
            }
            case.quotation.push_str(quotation);
            return Ok(());
        }
        if line.starts_with(' ') {
            return go_on(case, self.open, content);
        }
        self.open = begin(case, number, content)?;
        Ok(())
    }
}

fn go_on(case: &mut Case, open: Open, content: &str) -> anyhow::Result<()> {
    match open {
        Open::Nothing => bail!("an indented line that belongs to nothing"),
        Open::Deviation => {
            let (_, reason) = case.deviations.last_mut().context("no deviation")?;
            reason.push(' ');
            reason.push_str(content);
        }
        Open::Differs => {
            let reason = case.differs.as_mut().context("no reason")?;
            reason.push(' ');
            reason.push_str(content);
        }
        Open::Octets => {
            let step = case.steps.last_mut().context("no step")?;
            step.text.push(format!("    {content}"));
            let Some(Draft::Raw(octets)) = step.drafts.last_mut() else { bail!("no octets") };
            octets.extend(raw(content)?);
        }
        Open::Section(index) => {
            let expected = case.steps.last_mut().and_then(|step| step.expected.last_mut()).context("no answer")?;
            expected.text.push(format!("    {content}"));
            expected.sections[index].records.push(content.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    Ok(())
}

fn begin(case: &mut Case, number: usize, content: &str) -> anyhow::Result<Open> {
    let (word, rest) = content.split_once(' ').unwrap_or((content, ""));
    match word {
        "ask" => {
            let mut transport = Transport::Udp;
            let query = question(rest, &mut transport)?;
            case.steps.push(Step::new(number, content, Draft::Query(Box::new(query)), transport));
            Ok(Open::Nothing)
        }
        "and" => {
            let step = case.steps.last_mut().context("`and` needs an `ask` before it")?;
            let query = question(rest, &mut step.transport)?;
            step.drafts.push(Draft::Query(Box::new(query)));
            step.text.push(content.to_owned());
            Ok(Open::Nothing)
        }
        "send" => {
            let transport = match rest {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp { slowly: false, half_close: false },
                "stream" => Transport::Stream,
                other => bail!("`{other}` is not udp, tcp or stream"),
            };
            case.steps.push(Step::new(number, content, Draft::Raw(Vec::new()), transport));
            if let Some(expected) = case.steps.last_mut().and_then(|step| step.expected.last_mut()) {
                expected.any_question = true;
                expected.any_edns = true;
            }
            Ok(Open::Octets)
        }
        "deviates" => {
            let (who, reason) = rest.split_once(": ").context("`deviates WHO, WHO: reason`")?;
            let who = who.split(", ").map(Who::read).collect::<anyhow::Result<_>>()?;
            case.deviations.push((who, reason.to_owned()));
            Ok(Open::Deviation)
        }
        "differs:" => {
            case.differs = Some(rest.to_owned());
            Ok(Open::Differs)
        }
        "or" => {
            let step = case.steps.last_mut().context("`or` needs an answer before it")?;
            let raw = matches!(step.drafts.first(), Some(Draft::Raw(_)));
            step.expected.push(Expected {
                flags: Some(Vec::new()),
                any_question: raw,
                any_edns: raw,
                ..Expected::default()
            });
            Ok(Open::Nothing)
        }
        _ => {
            let expected = case.steps.last_mut().and_then(|step| step.expected.last_mut());
            let expected = expected.context("no question before the answer")?;
            expected.text.push(content.to_owned());
            expected.line(word, rest)
        }
    }
}

impl Expected {
    fn line(&mut self, word: &str, rest: &str) -> anyhow::Result<Open> {
        match word {
            "rcode" => {
                for rcode in rest.split('|') {
                    match rcode {
                        "silence" => self.silence = true,
                        _ => self.rcodes.push(known(RCODES, "RCODE", rcode)?),
                    }
                }
            }
            "flags" => {
                self.flags = (rest != "any").then(|| {
                    let flags = rest.split_whitespace();
                    flags.map(|flag| (flag.trim_end_matches('?').to_owned(), flag.ends_with('?'))).collect()
                });
            }
            "question" => self.any_question = rest == "any",
            "answer" | "authority" | "additional" => {
                let index = ["answer", "authority", "additional"].iter().position(|name| *name == word);
                let index = index.context("no section")?;
                self.sections[index].mode = match rest.split_once(' ') {
                    Some(("count", number)) => Mode::Count(number.parse()?),
                    _ => match rest {
                        "" => Mode::Exactly,
                        "in order" => Mode::InOrder,
                        "some" => Mode::Some,
                        "at most" => Mode::AtMost,
                        "any" => Mode::Any,
                        "transfer" => Mode::Transfer,
                        other => bail!("`{other}` is no way to compare"),
                    },
                };
                return Ok(Open::Section(index));
            }
            "edns" => match rest {
                "any" => self.any_edns = true,
                "do" => self.dnssec_ok = Some(true),
                "no do" => self.dnssec_ok = Some(false),
                other => bail!("`{other}` is nothing about EDNS"),
            },
            "option" => {
                let (option, test) = rest.split_once(' ').context("`option NAME test`")?;
                let words: Vec<&str> = test.split(' ').collect();
                let test = match words.as_slice() {
                    ["any"] => OptionTest::Any,
                    ["maybe"] => OptionTest::Maybe,
                    ["octets", from, to] => OptionTest::Octets(from.parse()?, to.parse()?),
                    [digits] => OptionTest::Starts(HEXLOWER_PERMISSIVE.decode(digits.as_bytes())?),
                    _ => bail!("`{test}` is nothing about an option"),
                };
                self.options.push((known(OPTIONS, "", option)?, test));
            }
            "size" => self.size = Some(rest.parse()?),
            "exact" => self.exact = true,
            "tsig" if rest == "none" => self.tsig = Some(TsigTest::Absent),
            "tsig" => {
                let (error, signed) = rest.split_once(' ').context("`tsig ERROR signed` or `tsig ERROR unsigned`")?;
                self.tsig =
                    Some(TsigTest::Present { error: known(TSIG_ERRORS, "", error)?, signed: signed == "signed" });
            }
            other => bail!("`{other}` is nothing that a case can say"),
        }
        Ok(Open::Nothing)
    }
}

impl Step {
    fn new(line: usize, text: &str, draft: Draft, transport: Transport) -> Self {
        let expected = Expected { flags: Some(Vec::new()), ..Expected::default() };
        Self { line, text: vec![text.to_owned()], drafts: vec![draft], transport, expected: vec![expected] }
    }
}

impl Who {
    fn read(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "mcdns" => Self::Mcdns,
            "nsd" => Self::Nsd,
            "knot" => Self::Knot,
            "bind" => Self::Bind,
            other => bail!("`{other}` is no server of these tests"),
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mcdns => "mcdns",
            Self::Nsd => "NSD",
            Self::Knot => "Knot",
            Self::Bind => "BIND",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "=== A title\n> RFC 1 section 2: \"A sentence.\"\nask a.test A +rd +edns +tcp\nrcode NOERROR|silence\n\
                        flags aa tc?\nanswer in order\n    a.test.  1 A  192.0.2.1\nor\nrcode REFUSED\n";

    fn refused(text: &str) -> String {
        read("x.txt", text).map_or_else(|error| format!("{error:#}"), |_| String::new())
    }

    #[test]
    fn a_case_is_read_as_it_is_written() {
        let cases = read("x.txt", CASE).expect("a case");
        let [case] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!((case.title.as_str(), case.place().as_str()), ("A title", "x.txt:1"));
        let step = &case.steps[0];
        assert_eq!(step.transport, Transport::Tcp { slowly: false, half_close: false });
        let [first, second] = step.expected.as_slice() else { panic!("{step:?}") };
        assert!(first.silence && first.rcodes == [0] && second.rcodes == [5]);
        assert_eq!(first.flags, Some(vec![("aa".to_owned(), false), ("tc".to_owned(), true)]));
        assert_eq!(
            (first.sections[0].mode, first.sections[0].records[0].as_str()),
            (Mode::InOrder, "a.test. 1 A 192.0.2.1")
        );
    }

    #[test]
    fn what_a_case_cannot_say_is_refused_with_its_line() {
        assert!(
            refused(&CASE.replace("flags", "flog")).starts_with("line 5: "),
            "{}",
            refused(&CASE.replace("flags", "flog"))
        );
        assert!(refused(&CASE.replace("+rd", "+rx")).contains("+rx"));
        assert!(refused(&CASE.replace("rcode REFUSED", "")).contains("no `rcode`"));
        assert!(refused(&CASE.replace("> RFC", "# RFC")).contains("a sentence of an RFC"));
    }

    #[test]
    fn mcdns_deviates_from_no_more_than_a_should() {
        let deviates = format!("{CASE}deviates mcdns: because\n");
        assert!(refused(&deviates).contains("SHOULD"));
        assert_eq!(refused(&deviates.replace("A sentence.", "It SHOULD.")), "");
    }

    #[test]
    fn a_case_that_all_controls_deviate_from_needs_a_reason() {
        let deviates = format!("{CASE}deviates nsd, knot: because\ndeviates bind: too\n");
        assert!(refused(&deviates).contains("`differs`"));
        assert_eq!(refused(&format!("{deviates}differs: it is better\n")), "");
        assert!(refused(&format!("{CASE}differs: it is better\n")).contains("`differs`"));
    }
}
