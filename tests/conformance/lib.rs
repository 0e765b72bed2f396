//! Holds a name server against the sentences of the RFCs, over the network alone.
//!
//! ```text
//!   cases/rfcNNNN.txt ──► script ──► client ──► server ──► reply ──► compare ──► report
//!   (sentence, question,             (UDP, TCP, TSIG)      (text)    (expected against got)
//!    answer in text)
//! ```
//!
//! Every case stands below the sentence that asks for it. All servers load the same master files (`zones/`) and are
//! asked the same; the controls (NSD, Knot, BIND) show by failing where a case is wrong. A control that is known to
//! deviate is named in the case with the reason, and must deviate: a note that is no longer true fails as well. Where
//! every control deviates, the case says why this server differs from them all. This server deviates from a SHOULD at
//! most, and says why.
//!
//! Nothing of this project's own code reads or writes a message here: what is proved must not be its own proof.

pub mod client;
pub mod compare;
pub mod controls;
pub mod draft;
pub mod name;
pub mod own;
pub mod reply;
pub mod script;
pub mod secondaries;
pub mod tsig;
pub mod zones;

mod question;
mod rdata;
mod words;

use std::{fmt, net::SocketAddr};

use anyhow::Context;

pub use script::{Case, Who};

/// A server that can be asked.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Which notes of the cases are about it.
    pub who: Who,
    /// Where it answers over UDP and TCP.
    pub address: SocketAddr,
    /// True if what the cases say about deviations was found with this very version. With another one, a control may
    /// deviate or not.
    pub notes_hold: bool,
}

/// How all cases went.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that were as expected, noted deviations among them.
    pub passed: usize,
    /// What was not, each with expected and got in presentation format.
    pub failures: Vec<Failure>,
}

/// A case that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// `rfc1035.txt:12`.
    pub place: String,
    /// Title of the case.
    pub title: String,
    /// What was expected and what came.
    pub story: String,
}

/// All cases, in the order of their files.
///
/// # Errors
/// A case that cannot be read, with its file and line.
pub fn cases() -> anyhow::Result<Vec<Case>> {
    let mut all = Vec::new();
    for (file, text) in words::FILES {
        all.extend(script::read(file, text).with_context(|| format!("tests/conformance/cases/{file}"))?);
    }
    Ok(all)
}

/// Asks the server everything in `cases`, one after the other.
pub fn run(target: &Target, cases: &[Case]) -> Report {
    let mut report = Report::default();
    for case in cases {
        let fault = client::run(target, case);
        let failure = match (fault, case.deviation(target.who)) {
            (Some(_), Some(_)) | (None, None) => None,
            (None, Some(_)) if !target.notes_hold => None,
            (Some(story), None) => Some(story),
            (None, Some(reason)) => {
                Some(format!("the case says that {} deviates ({reason}), but it does not\n", target.who))
            }
        };
        match failure {
            None => report.passed += 1,
            Some(story) => report.failures.push(Failure { place: case.place(), title: case.title.clone(), story }),
        }
    }
    report
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "--- {}: {}", failure.place, failure.title)?;
            writeln!(f, "{}", failure.story)?;
        }
        write!(f, "{} cases as expected, {} not", self.passed, self.failures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_read_and_has_its_sentence() {
        let cases = cases().expect("cases that can be read");
        assert!(cases.len() > 150, "{}", cases.len());
        for case in &cases {
            assert!(case.quotation.starts_with("RFC "), "{}: {}", case.place(), case.quotation);
        }
    }

    #[test]
    fn no_two_cases_of_a_file_have_one_title() {
        let mut seen = std::collections::BTreeSet::new();
        for case in cases().expect("cases that can be read") {
            assert!(seen.insert((case.file, case.title.clone())), "{}: {}", case.place(), case.title);
        }
    }
}
