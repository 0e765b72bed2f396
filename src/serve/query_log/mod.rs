//! The query log: a line for one of so many queries.
//!
//! A line is for a person with `grep` or a program that reads JSON: when, who, over what, which question, what came
//! of it, and how long that took. Names stand in presentation format, so that whatever a client asks for, a line
//! stays one line of printable ASCII. Lines are written by a thread of their own; serving never waits for the disk,
//! and what that thread cannot follow is counted as dropped.
//!
//! A file is appended to. It is opened again when it was renamed or removed, which is looked for each second, or
//! when somebody asks for it, so that `logrotate` needs nothing of us. A disk that is full costs lines, not answers.

mod line;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    num::NonZeroU32,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    client::Client,
    request::HEADER,
    respond::Answer,
    taps::{Ended, Feed, FeedCounts, LOOK, Next, Outcome, Outlet, Pour, Sink, TapError, feed},
    wire::MAX_NAME,
};

/// Octets of the longest question with the header in front of it.
const QUESTION_END: usize = HEADER + MAX_NAME + 4;
/// Who may read it: which names somebody asks for is nobody else's business.
const MODE: u32 = 0o640;

/// Which queries are logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLog {
    /// One of so many queries, at random distances; 1 logs them all.
    pub sample: NonZeroU32,
    /// Lines are appended to this file, which is opened again where it was renamed; none: they go into the log of the
    /// program, in the format of that, as messages `query` of level INFO and target `mcdns::queries`.
    pub file: Option<PathBuf>,
    /// How the lines of the file look.
    pub format: LineFormat,
}

/// How a line of a log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// `time key=value …`
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// A query as the log keeps it until it is written.
#[derive(Debug)]
pub(crate) struct Entry {
    received: SystemTime,
    took: Duration,
    client: Client,
    /// The request as far as its question may reach.
    question: Box<[u8]>,
    answered: Answered,
    /// By rate limiting.
    limited: bool,
}

/// What a query was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Nothing,
    Transfer,
    Message {
        rcode: u16,
        /// Third and fourth octet of the message (RFC 1035 section 4.1.1).
        flags: [u8; 2],
        size: usize,
    },
}

impl QueryLog {
    /// True if the same writer does for both.
    pub(crate) fn writes_like(&self, other: &Self) -> bool {
        (&self.file, self.format) == (&other.file, other.format)
    }
}

impl Entry {
    /// Octets that one takes while it waits, about.
    pub(crate) const OCTETS: usize = 256;

    pub(crate) fn new(
        received: SystemTime,
        took: Duration,
        client: &Client,
        request: &[u8],
        Outcome { answer, limited }: Outcome<'_>,
    ) -> Self {
        let answered = match answer {
            Answer::Silence => Answered::Nothing,
            Answer::Transfer(_) => Answered::Transfer,
            Answer::Message(reply) => {
                let flags = [2, 3].map(|at| reply.octets.get(at).copied().unwrap_or_default());
                Answered::Message { rcode: reply.rcode, flags, size: reply.octets.len() }
            }
        };
        let question = request[..request.len().min(QUESTION_END)].into();
        Self { received, took, client: *client, question, answered, limited }
    }
}

/// Starts the writer; the file is opened before this returns.
pub(crate) fn start(log: &QueryLog, counts: &Arc<FeedCounts>) -> Result<Feed<Entry>, TapError> {
    const PURPOSE: &str = "the query log";
    let Some(path) = &log.file else {
        return feed("query-log", PURPOSE, counts, true, write_to_log);
    };
    let opened = LogFile::open(path);
    let mut file = opened.map_err(|source| TapError::File { path: path.clone(), purpose: PURPOSE, source })?;
    let format = log.format;
    feed("query-log", PURPOSE, counts, true, move |outlet| write_to_file(outlet, &mut file, format))
}

fn write_to_log(outlet: &Outlet<Entry>) {
    loop {
        match outlet.next(LOOK) {
            Next::Item(entry) => {
                line::trace(&entry);
                outlet.count_taken(1);
            }
            Next::Idle => {}
            Next::End => return,
        }
    }
}

fn write_to_file(outlet: &Outlet<Entry>, file: &mut LogFile, format: LineFormat) {
    let mut pour = Pour::new(outlet);
    // What could not be written was said; the file may take what comes next.
    while let Ended::Sink(_) = pour.run(file, |entry, lines| line::append(entry, format, lines)) {}
}

/// The file that lines are appended to.
struct LogFile {
    path: PathBuf,
    file: File,
    /// True if the last line may be incomplete.
    is_torn: bool,
    /// True if the file is not what its name leads to, and that was said.
    is_astray: bool,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)?, is_torn: false, is_astray: false })
    }

    /// Opens the file again if another, or none, has its name by now. Where that fails, lines go on into the file of
    /// before.
    fn follow(&mut self) {
        let ours = self.file.metadata().map(|file| (file.dev(), file.ino()));
        let named = fs::metadata(&self.path).map(|file| (file.dev(), file.ino()));
        if let (Ok(ours), Ok(named)) = (ours, named)
            && ours == named
        {
            return;
        }
        match append_to(&self.path) {
            Ok(file) => {
                tracing::info!(file = %self.path.display(), "the query log is opened again");
                (self.file, self.is_torn, self.is_astray) = (file, false, false);
            }
            Err(error) if !self.is_astray => {
                self.is_astray = true;
                tracing::warn!(file = %self.path.display(), %error, "the query log cannot be opened again");
            }
            Err(_) => {}
        }
    }
}

impl Sink for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let separator: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = self.file.write_all(separator).and_then(|()| self.file.write_all(lines));
        if let Err(error) = &written
            && !self.is_torn
        {
            tracing::warn!(file = %self.path.display(), %error, "the query log cannot be written");
        }
        self.is_torn = written.is_err();
        written
    }

    fn look(&mut self, _: bool) -> io::Result<()> {
        self.follow();
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests;
