//! An answer held against what a case expects.

use data_encoding::HEXLOWER;

use crate::{
    draft::RD,
    reply::{Reply, SECTIONS},
    script::{Expected, Mode, OptionTest, Section, TsigTest},
    words::{self, OPTIONS, RCODES},
};

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;
/// EDNS option for extended errors, which any answer may have (RFC 8914 section 3).
const EXTENDED_ERROR: u16 = 15;

/// What of the question matters for the answer.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The half-word with the flags.
    pub flags: u16,
    /// The question section as it was sent.
    pub question: Vec<u8>,
    /// True if the question had EDNS.
    pub edns: bool,
    /// Octets that the client takes, over UDP.
    pub limit: usize,
    /// True if the question was signed.
    pub signed: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// No answer, with the way that it did not come.
    Silence(String),
    /// An answer, and whether its signature is right: None where there is none to check.
    Answer(Box<Reply>, Option<Result<(), String>>),
    /// An answer that is none.
    Broken(String),
}

/// Every way in which the outcome is not what is expected; none if it is.
pub fn differences(asked: &Asked, expected: &Expected, outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Silence(_) if expected.silence => Vec::new(),
        Outcome::Silence(how) => vec![format!("no answer: {how}")],
        Outcome::Broken(fault) => vec![fault.clone()],
        Outcome::Answer(..) if expected.rcodes.is_empty() => vec!["silence was expected".to_owned()],
        Outcome::Answer(reply, signature) => {
            let mut found = Vec::new();
            header(asked, expected, reply, &mut found);
            for ((wanted, name), index) in expected.sections.iter().zip(SECTIONS).zip(0..) {
                section(wanted, name, reply.section(index), expected.exact, &mut found);
            }
            edns(asked, expected, reply, &mut found);
            tsig(asked, expected, reply, signature.as_ref(), &mut found);
            found
        }
    }
}

fn header(asked: &Asked, expected: &Expected, reply: &Reply, found: &mut Vec<String>) {
    if !expected.rcodes.contains(&reply.rcode) {
        found.push(format!("rcode {}", words::word(RCODES, "RCODE", reply.rcode)));
    }
    if let Some(flags) = &expected.flags {
        let set = reply.flag_names();
        for name in &set {
            if !flags.iter().any(|(flag, _)| flag == name) {
                found.push(format!("flag {name} is set"));
            }
        }
        for (flag, optional) in flags {
            if !optional && !set.contains(&flag.as_str()) {
                found.push(format!("flag {flag} is not set"));
            }
        }
    }
    if reply.flags & RD != asked.flags & RD {
        found.push("RD is not as it was sent".to_owned());
    }
    if reply.flags & 0x7800 != asked.flags & 0x7800 {
        found.push("OPCODE is not as it was sent".to_owned());
    }
    // An error may be a header alone; RFC 1035 wants nothing else of it.
    let cut_short = reply.question.is_empty() && !matches!(reply.rcode, NOERROR | NXDOMAIN);
    if !expected.any_question && !cut_short && reply.question != asked.question {
        found.push(format!("the question came back as {:?}", reply.question_text));
    }
    let limit = expected.size.unwrap_or(asked.limit).min(asked.limit);
    if reply.length > limit {
        found.push(format!("{} octets, where {limit} are allowed", reply.length));
    }
}

fn section(wanted: &Section, name: &str, records: &[String], exact: bool, found: &mut Vec<String>) {
    let same = |wanted: &str, record: &str| matches(wanted, record, exact);
    // Which of the expected records each one is, each at most once.
    let mut left: Vec<&String> = wanted.records.iter().collect();
    let mut extra = Vec::new();
    for record in records {
        match left.iter().position(|wanted| same(wanted, record)) {
            Some(place) => {
                left.remove(place);
            }
            None => extra.push(record),
        }
    }
    let mut missing = |found: &mut Vec<String>| {
        found.extend(left.drain(..).map(|record| format!("{name} lacks {record}")));
    };
    let surplus = |found: &mut Vec<String>| {
        found.extend(extra.iter().map(|record| format!("{name} has {record}")));
    };
    match wanted.mode {
        Mode::Any => {}
        Mode::Some => missing(found),
        Mode::AtMost => surplus(found),
        Mode::Count(number) => {
            if records.len() != number {
                found.push(format!("{name} has {} records, not {number}", records.len()));
            }
        }
        Mode::Exactly | Mode::InOrder | Mode::Transfer => {
            let before = found.len();
            missing(found);
            surplus(found);
            if found.len() > before {
                return;
            }
            let ordered = match wanted.mode {
                Mode::InOrder => wanted.records.iter().zip(records).all(|(wanted, record)| same(wanted, record)),
                Mode::Transfer => [(wanted.records.first(), records.first()), (wanted.records.last(), records.last())]
                    .into_iter()
                    .all(|(wanted, record)| wanted.zip(record).is_some_and(|(wanted, record)| same(wanted, record))),
                _ => true,
            };
            if !ordered {
                found.push(format!("{name} is in another order"));
            }
        }
    }
}

/// Compares word by word; `<anything>` stands for one word.
fn matches(wanted: &str, record: &str, exact: bool) -> bool {
    let mut wanted = wanted.split(' ');
    let mut record = record.split(' ');
    loop {
        match (wanted.next(), record.next()) {
            (None, None) => return true,
            (Some(wanted), Some(_)) if wanted.starts_with('<') && wanted.ends_with('>') => {}
            (Some(wanted), Some(got)) if wanted == got || !exact && wanted.eq_ignore_ascii_case(got) => {}
            _ => return false,
        }
    }
}

fn edns(asked: &Asked, expected: &Expected, reply: &Reply, found: &mut Vec<String>) {
    if !expected.any_edns && reply.edns.is_some() != asked.edns {
        found.push(if asked.edns { "no OPT record" } else { "an OPT record that nobody asked for" }.to_owned());
    }
    let Some(edns) = &reply.edns else {
        if expected.options.iter().any(|(_, test)| *test != OptionTest::Maybe) {
            found.push("the options are missing".to_owned());
        }
        return;
    };
    if edns.version != 0 {
        found.push(format!("EDNS version {}", edns.version));
    }
    // RFC 6891 section 6.2.3: values below 512 are taken as 512.
    if edns.size < 512 {
        found.push(format!("a payload size of {}", edns.size));
    }
    let set = edns.flags & 0x8000 != 0;
    if edns.flags & 0x7fff != 0 {
        found.push(format!("EDNS flags {:#06x}", edns.flags));
    }
    if expected.dnssec_ok.is_some_and(|wanted| wanted != set) {
        found.push(format!("DO is {}set", if set { "" } else { "not " }));
    }
    for (index, (code, value)) in edns.options.iter().enumerate() {
        let name = words::word(OPTIONS, "", *code);
        if edns.options[..index].iter().any(|(other, _)| other == code) && *code != EXTENDED_ERROR {
            found.push(format!("option {name} is there twice"));
        }
        let test = expected.options.iter().find(|(wanted, _)| wanted == code).map(|(_, test)| test);
        let right = match test {
            None => *code == EXTENDED_ERROR,
            Some(OptionTest::Any | OptionTest::Maybe) => true,
            Some(OptionTest::Octets(from, to)) => (*from..=*to).contains(&value.len()),
            Some(OptionTest::Starts(octets)) => value.starts_with(octets),
        };
        if !right {
            found.push(format!("option {name} {}", HEXLOWER.encode(value)));
        }
    }
    for (code, test) in &expected.options {
        if *test != OptionTest::Maybe && !edns.options.iter().any(|(other, _)| other == code) {
            found.push(format!("option {} is missing", words::word(OPTIONS, "", *code)));
        }
    }
}

fn tsig(
    asked: &Asked,
    expected: &Expected,
    reply: &Reply,
    signature: Option<&Result<(), String>>,
    found: &mut Vec<String>,
) {
    let seen = reply.tsig.as_ref();
    match expected.tsig {
        None if asked.signed => match (seen, signature) {
            (Some(seen), Some(Ok(()))) if seen.error == 0 => {}
            (_, Some(Err(fault))) => found.push(fault.clone()),
            _ => found.push("the answer is not signed".to_owned()),
        },
        None => {
            if seen.is_some() {
                found.push("the answer is signed, which nobody asked for".to_owned());
            }
        }
        Some(TsigTest::Absent) => {
            if seen.is_some() {
                found.push("a TSIG record where there must be none".to_owned());
            }
        }
        Some(TsigTest::Present { error, signed }) => {
            let Some(seen) = seen else {
                found.push("no TSIG record".to_owned());
                return;
            };
            if seen.error != error {
                found.push(format!("TSIG error {}", seen.error));
            }
            if signed {
                found.extend(signature.and_then(|signature| signature.clone().err()));
            } else if !seen.mac.is_empty() {
                found.push("a MAC where there must be none".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mode: Mode, wanted: &[&str], got: &[&str]) -> Vec<String> {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let mut found = Vec::new();
        let wanted = Section { mode, records: lines(wanted) };
        section(&wanted, "answer", &lines(got), false, &mut found);
        found
    }

    #[test]
    fn every_way_to_compare_can_fail() {
        assert_eq!(found(Mode::Exactly, &["a", "b"], &["B", "a"]), [""; 0]);
        assert_eq!(found(Mode::Exactly, &["a", "b"], &["a", "c"]), ["answer lacks b", "answer has c"]);
        assert_eq!(found(Mode::Exactly, &["a"], &["a", "a"]), ["answer has a"]);
        assert_eq!(found(Mode::InOrder, &["a", "b"], &["b", "a"]), ["answer is in another order"]);
        assert_eq!(found(Mode::Some, &["a"], &["b"]), ["answer lacks a"]);
        assert_eq!(found(Mode::AtMost, &["a"], &["b"]), ["answer has b"]);
        assert_eq!(found(Mode::Count(2), &[], &["b"]), ["answer has 1 records, not 2"]);
        assert_eq!(found(Mode::Transfer, &["s", "a", "b", "s"], &["s", "b", "a", "s"]), [""; 0]);
        assert_eq!(found(Mode::Transfer, &["s", "a", "s"], &["s", "s", "a"]), ["answer is in another order"]);
    }

    #[test]
    fn a_word_in_angle_brackets_stands_for_any_one() {
        assert!(matches("a. 1 SOA b. <serial> 2", "a. 1 SOA b. 4711 2", true));
        assert!(!matches("a. 1 SOA b. <serial> 2", "a. 1 SOA b. 2", true));
        assert!(!matches("A.", "a.", true));
    }
}
