//! What was measured, beside what is wanted, as a table.

use std::{
    fmt::{self, Write as _},
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anyhow::anyhow;

use crate::machine::Machine;

/// Rows in the order measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    wanted: String,
    measured: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// Nothing is wanted; the row informs.
    Information,
    /// It could not be measured.
    Failed,
}

impl Report {
    /// A row with something wanted: at most `limit`, in whatever unit the texts have.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, wanted: &str, limit: f64, value: f64, measured: String) {
        let verdict = if value <= limit { Verdict::Met } else { Verdict::Missed };
        self.push(Row { what: what.into(), wanted: wanted.to_owned(), measured, verdict });
    }

    /// A row with something wanted: at least `limit`.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, wanted: &str, limit: f64, value: f64, measured: String) {
        let verdict = if value >= limit { Verdict::Met } else { Verdict::Missed };
        self.push(Row { what: what.into(), wanted: wanted.to_owned(), measured, verdict });
    }

    /// A row that informs.
    pub(crate) fn information(&mut self, what: impl Into<String>, measured: String) {
        self.push(Row { what: what.into(), wanted: String::new(), measured, verdict: Verdict::Information });
    }

    /// A row for what could not be measured.
    pub(crate) fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let measured = format!("{error:#}").replace('\n', " ");
        self.push(Row { what: what.to_owned(), wanted: String::new(), measured, verdict: Verdict::Failed });
    }

    /// Measures something; where that cannot be done, a row says so. What starts foreign programs fails as a test does, by a
    /// panic.
    pub(crate) fn attempt(&mut self, what: &str, measure: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        let result = catch_unwind(AssertUnwindSafe(|| measure(self)));
        let error = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                anyhow!("{}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it stopped without a word"))
            }
        };
        self.failed(what, &error);
    }

    /// True if everything could be measured.
    pub(crate) fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Failed)
    }

    /// Columns for a terminal.
    pub(crate) fn text(&self, machine: &Machine) -> String {
        let cells: Vec<[String; 4]> = std::iter::once(HEAD.map(str::to_owned))
            .chain(self.rows.iter().map(|row| {
                [row.what.clone(), row.wanted.clone(), row.measured.clone(), row.verdict.as_str().to_owned()]
            }))
            .collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [width(0), width(1), width(2)];
        let mut text = format!("{machine}\n\n");
        for [what, wanted, measured, verdict] in &cells {
            let [a, b, c] = widths;
            // Writing to a string does not fail.
            let _ = writeln!(text, "{what:<a$}  {wanted:<b$}  {measured:<c$}  {verdict}");
        }
        text
    }

    /// A table for the README.
    pub(crate) fn markdown(&self, machine: &Machine) -> String {
        let mut text = format!("Measured on {machine}.\n\n| {} |\n|---|---|---|---|\n", HEAD.join(" | "));
        for row in &self.rows {
            let cells = [row.what.as_str(), &row.wanted, &row.measured, row.verdict.as_str()];
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    fn push(&mut self, row: Row) {
        progress(format_args!("{}: {} ({})", row.what, row.measured, row.verdict.as_str()));
        self.rows.push(row);
    }
}

const HEAD: [&str; 4] = ["what", "wanted", "measured", "met"];

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "NO",
            Self::Information => "",
            Self::Failed => "not measured",
        }
    }
}

/// A line for whoever waits, on standard error; one who no longer listens is no reason to stop.
pub(crate) fn progress(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A result, on standard output.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.at_most("memory", "at most 33 MiB", 33.0, 30.1, "30.1 MiB".to_owned());
        report.at_most("time", "at most 3 s", 3.0, 3.1, "3.1 s".to_owned());
        report
    }

    #[test]
    fn a_value_past_its_limit_is_missed_and_still_measured() {
        let report = report();
        let machine = Machine::default();
        let text = report.text(&machine);
        assert!(text.contains("memory  at most 33 MiB  30.1 MiB  yes"), "{text}");
        assert!(text.contains("time    at most 3 s     3.1 s     NO"), "{text}");
        assert!(report.is_complete());
    }

    #[test]
    fn a_value_below_its_limit_is_missed_where_more_is_better() {
        let mut report = Report::default();
        report.at_least("rate", "at least as many", 1.0, 0.99, "0.99 times".to_owned());
        report.at_least("rate", "at least as many", 1.0, 1.0, "1.00 times".to_owned());
        let text = report.text(&Machine::default());
        assert!(text.contains("0.99 times  NO") && text.contains("1.00 times  yes"), "{text}");
    }

    #[test]
    fn what_cannot_be_measured_makes_the_report_incomplete() {
        let mut report = report();
        report.failed("dns", &anyhow::anyhow!("no answer\nat all"));
        assert!(!report.is_complete());
        assert!(report.markdown(&Machine::default()).contains("| dns |  | no answer at all | not measured |"));
    }
}
