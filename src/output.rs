//! What goes to standard output and standard error, and how it looks.
//!
//! Machine output goes to standard output, everything else to standard error. Colours and drawn tables are for
//! terminals; in a pipe a table is one row a line with tabs between the cells.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use comfy_table::{ContentArrangement, presets};
use indicatif::{ProgressBar, ProgressStyle};
use mcdns_core::check::{Finding, Severity};

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two streams with what they can show.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    colour_out: bool,
    stderr: Stderr,
    terminal: bool,
}

/// What standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stderr {
    Plain,
    Coloured,
    /// A log for programs, so what is said there is logged.
    Log,
}

/// Colours that things have here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// What is good.
    Good,
    /// What deserves a look.
    Odd,
    /// What is bad.
    Bad,
    /// Headings and names.
    Strong,
    /// What is only there for completeness.
    Faint,
}

impl Output {
    /// Looks at the streams.
    pub fn new(colour: Colour) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !plain,
        };
        let terminal = io::stdout().is_terminal();
        let stderr = if wanted(io::stderr().is_terminal()) { Stderr::Coloured } else { Stderr::Plain };
        Self { colour_out: wanted(terminal), stderr, terminal }
    }

    /// The same where programs read standard error: everything there becomes a line of the log, which has been
    /// started.
    #[must_use]
    pub fn for_programs(self) -> Self {
        Self { stderr: Stderr::Log, ..self }
    }

    /// True if a person reads standard output.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Text for standard output in a colour, where there are colours.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.colour_out, paint, text)
    }

    /// Writes text to standard output as it is.
    ///
    /// # Errors
    ///
    /// What the stream says; a reader that went away is no error.
    pub fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a line for people to standard error.
    pub fn say(&self, line: &str) {
        if self.stderr == Stderr::Log {
            tracing::info!(text = line, "told");
            return;
        }
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Writes an error with its causes to standard error; what would help comes last, on lines of its own.
    pub fn error(&self, error: &anyhow::Error) {
        if self.stderr == Stderr::Log {
            tracing::error!(error = help_last(error), "the command failed");
            return;
        }
        let head = painted(self.stderr == Stderr::Coloured, Paint::Bad, "error:");
        self.say(&format!("{head} {}", help_last(error)));
    }

    /// Writes findings to standard error, with a line that counts them.
    pub fn findings(&self, findings: &[Finding]) {
        if self.stderr == Stderr::Log {
            for finding in findings {
                tracing::warn!(finding = finding.to_string(), "finding");
            }
            return;
        }
        for finding in findings {
            self.say(&self.finding(finding));
        }
        if !findings.is_empty() {
            let count = |severity: Severity| findings.iter().filter(|one| one.severity == severity).count();
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            self.say(&format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")));
        }
    }

    /// One finding, coloured for standard error.
    fn finding(self, finding: &Finding) -> String {
        let text = finding.to_string();
        let word = finding.severity.to_string();
        let paint = match finding.severity {
            Severity::Error => Paint::Bad,
            Severity::Warning => Paint::Odd,
            Severity::Info => Paint::Faint,
        };
        let tag = format!("{word}[{}]", finding.code.as_str());
        text.replacen(&tag, &painted(self.stderr == Stderr::Coloured, paint, &tag), 1)
    }

    /// A table: drawn on a terminal, tab-separated in a pipe.
    pub fn table(&self, heads: &[&str], rows: &[Vec<String>]) -> String {
        if !self.terminal {
            let line = |cells: Vec<&str>| cells.join("\t") + "\n";
            let body: String = rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
            return line(heads.to_vec()) + &body;
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        // A terminal of width 0 does not know its width.
        if table.width().is_some_and(|width| width > 0) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(heads.iter().map(|head| self.paint(Paint::Strong, head)));
        table.add_rows(rows.iter().cloned());
        let text = table.to_string();
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Something on standard error that turns while work goes on that may take more than a second.
    pub fn progress(&self, message: &'static str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_message(message);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// `1 error`, `2 errors`.
pub fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// The chain of an error on one line, and behind it the help that its parts give.
fn help_last(error: &anyhow::Error) -> String {
    const HELP: &str = "\n  help: ";
    let parts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let (mut what, mut help) = (Vec::new(), String::new());
    for part in &parts {
        let (message, more) =
            part.split_once(HELP).map_or((part.as_str(), None), |(message, more)| (message, Some(more)));
        // Some say their cause themselves.
        if !what.last().is_some_and(|last: &&str| last.ends_with(message)) {
            what.push(message);
        }
        help.extend(more.map(|more| format!("{HELP}{more}")));
    }
    what.join(": ") + &help
}

fn painted(colours: bool, paint: Paint, text: &str) -> String {
    if !colours {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Odd => "33",
        Paint::Bad => "1;31",
        Paint::Strong => "1",
        Paint::Faint => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Output = Output { colour_out: false, stderr: Stderr::Plain, terminal: false };

    #[test]
    fn a_table_in_a_pipe_has_tabs_and_no_colours() {
        let table = PIPE.table(&["NAME", "WHY"], &[vec!["a".to_owned(), "b c".to_owned()]]);
        assert_eq!(table, "NAME\tWHY\na\tb c\n");
        assert_eq!(PIPE.paint(Paint::Bad, "x"), "x");
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused").context("no list");
        assert_eq!(help_last(&error), "no list: cannot connect: refused");
    }

    #[test]
    fn the_help_of_an_error_stands_behind_its_causes() {
        let error = anyhow::anyhow!("connection refused").context("no program answers\n  help: start one");
        assert_eq!(help_last(&error), "no program answers: connection refused\n  help: start one");
    }
}
