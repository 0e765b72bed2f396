//! The state directory: what this program must still know after a restart.
//!
//! ```text
//!   StateDirectory::open ──► Recovered { objects, notes, serials, history, differences }    what was known
//!          │
//!          ├── record_observations, record_note ──┐
//!          │             History::record ─────────┴─► queue ──► writer thread ──► journal ──► checkpoint
//!          └── Serials::advance ──► synced before a serial beyond the reservation is handed out
//! ```
//!
//! | file | what |
//! |---|---|
//! | `lock` | one program per directory; holds its process id |
//! | `observations.checkpoint`, `.journal`, `.journal-old` | last observations of every source, and notes |
//! | `serials` | SOA serials |
//! | `history-00000001` … | change history |
//! | `differences-00000001` … | differences of zones, for incremental transfers |
//! | `zone-example.com` … | copies of zones whose master file may change while the program is down |
//! | `*.damaged-1` … | files that could not be used, set aside for a person |
//!
//! Invariants:
//!
//! * The caller never waits for the disk, except in [`Serials`] once in a thousand changes and for
//!   [copies of zones](StateDirectory::write_zone).
//! * What was recorded is on disk within a second, at a cost that follows the change, not the size of the whole.
//! * Damage costs the damaged lines alone. It is reported and never keeps the program from starting.
//! * A disk that fails is reported once, tried again, and never keeps the program from serving.
//! * No credentials come here: facts have none.

mod differences;
mod digits;
mod history;
mod lines;
mod lock;
mod observations;
mod segments;
mod serials;
mod status;
mod writer;
mod zones;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use mcdns_core::{
    answer::AuthoritativeZone,
    dns::{OwnerName, Serial},
    model::{Object, ObjectKey, Observation},
};
use thiserror::Error;

use observations::ObservationFiles;
use segments::Segments;
use status::StatusBoard;
use writer::{Queue, Writer};

pub use differences::{Chain, Published};
pub use history::{Change, History, HistoryLimits};
pub use serials::Serials;
pub use status::{Area, Problem, StateStatus};

/// Why a state directory cannot be used. None of these goes away by itself; a person has to act.
#[derive(Debug, Error)]
pub enum StateError {
    /// It does not exist and cannot be made.
    #[error("the state directory {} cannot be created", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("the state directory {} is in use by {}", path.display(), holder_name(*holder))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id of the other one, where it says.
        holder: Option<u32>,
    },
    /// The lock file cannot be opened or locked.
    #[error("the lock file {} cannot be used", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gives no thread.
    #[error("the thread that writes the state cannot be started")]
    Thread(#[source] io::Error),
    /// Something is not on disk in time; it is tried again while the program runs.
    #[error("the state directory {} is not written: {reason}", path.display())]
    NotWritten {
        /// The directory.
        path: PathBuf,
        /// What fails.
        reason: String,
    },
}

/// Something in a state file that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWarning {
    /// The file.
    pub file: PathBuf,
    /// From 1; 0 where the whole file is meant.
    pub line: u64,
    /// What is wrong, and what was done.
    pub reason: String,
}

/// What was known when the program ended.
#[derive(Debug)]
pub struct Recovered {
    /// Every object as last observed, sorted by key.
    pub objects: Vec<(ObjectKey, Arc<Object>)>,
    /// Notes by key.
    pub notes: BTreeMap<String, serde_json::Value>,
    /// Serials of zones; writes on its own.
    pub serials: Arc<Serials>,
    /// Change history; writes on its own.
    pub history: Arc<History>,
    /// What was published of every zone; see [`StateDirectory::record_difference`].
    pub differences: BTreeMap<OwnerName, Chain>,
}

/// A state directory in use. Dropping it writes what waits; only [`StateDirectory::shutdown`] is a clean end.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    queue: Arc<Queue>,
    serials: Arc<Serials>,
    writer: Mutex<Option<JoinHandle<()>>>,
    lock: Arc<Mutex<Option<File>>>,
}

impl StateDirectory {
    /// Takes the directory (created if missing, for this user alone) and reads what is in it.
    pub fn open(path: &Path, limits: HistoryLimits) -> Result<(Self, Recovered, Vec<StateWarning>), StateError> {
        lines::create_directory(path).map_err(|source| StateError::Create { path: path.to_owned(), source })?;
        let lock = Arc::new(Mutex::new(Some(lock::acquire(path)?)));
        let mut warnings = Vec::new();
        let (files, known) = ObservationFiles::recover(path, &mut warnings);
        let (segments, changes) = Segments::recover(history::KIND, path, limits.disk, limits.changes, &mut warnings);
        let (differences, published) =
            Segments::recover(differences::KIND, path, differences::MAX_DISK, differences::MAX_READ, &mut warnings);
        let status = Arc::new(StatusBoard::default());
        let serials = Arc::new(Serials::recover(path, status.clone(), &mut warnings));
        let queue = Arc::new(Queue::new(status));
        let history = Arc::new(History::recovered(limits, changes, queue.clone()));
        let writer = Writer {
            queue: queue.clone(),
            directory: path.to_owned(),
            files,
            segments,
            differences,
            lock: lock.clone(),
            checkpointing: None,
            checkpoint_retry: None,
        };
        let thread = thread::Builder::new().name("mcdns-state".to_owned()).spawn(move || writer.run());
        let writer = Mutex::new(Some(thread.map_err(StateError::Thread)?));
        let recovered = Recovered {
            objects: known.objects,
            notes: known.notes,
            serials: serials.clone(),
            history,
            differences: differences::chains(published),
        };
        Ok((Self { path: path.to_owned(), queue, serials, writer, lock }, recovered, warnings))
    }

    /// Keeps these observations; a later one of a key replaces the earlier. Does not wait for the disk.
    pub fn record_observations(&self, observations: &[Observation]) {
        self.queue.push_observations(observations);
    }

    /// Keeps a small value under a key; null takes it away. Does not wait for the disk.
    pub fn record_note(&self, key: &str, value: serde_json::Value) {
        self.queue.push_note(key, value);
    }

    /// Keeps what was published of a zone, for incremental transfers after a restart. Does not wait for the disk.
    pub fn record_difference(&self, published: Published) {
        if published.is_kept() {
            self.queue.push_difference(Arc::new(published));
        }
    }

    /// Writes what a zone holds now, with its digest, in place of the copy before; see [`StateDirectory::read_zone`].
    /// Waits for the disk, and is for programs that have just read the whole zone from there. False, and a problem of the
    /// [status](StateDirectory::status), where the disk fails: try again.
    pub fn write_zone(&self, zone: &AuthoritativeZone, digest: u128) -> bool {
        let path = zones::path(&self.path, zone.apex());
        match zones::write(&path, zone, digest) {
            Ok(()) => self.queue.status.works(Area::Zones),
            Err(ref error) => {
                self.queue.status.fails(Area::Zones, &path, error);
                return false;
            }
        }
        true
    }

    /// Serial and digest of the copy of a zone, without reading the rest of it; none if there is no copy.
    pub fn zone_mark(&self, apex: &OwnerName) -> Option<(Serial, u128)> {
        zones::mark(&zones::path(&self.path, apex))
    }

    /// What a zone held when a copy of it was written last, with its digest; none if there is no copy, or with a warning
    /// if it is damaged.
    pub fn read_zone(
        &self,
        apex: &OwnerName,
        warnings: &mut Vec<StateWarning>,
    ) -> Option<(Arc<AuthoritativeZone>, u128)> {
        zones::read(&zones::path(&self.path, apex), apex, warnings)
    }

    /// How it is doing, for readiness and metrics.
    pub fn status(&self) -> StateStatus {
        self.queue.status()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all that was recorded is on disk; fails as soon as an attempt does.
    pub fn flush(&self, timeout: Duration) -> Result<(), StateError> {
        if self.queue.flush(timeout) { Ok(()) } else { Err(self.not_written("the time is over")) }
    }

    /// The clean end: writes what waits and the exact serials, and lets the directory go. Later calls, and
    /// whatever is recorded later, do nothing.
    pub fn shutdown(&self) -> Result<(), StateError> {
        if !self.stop_writer() {
            return Ok(());
        }
        let finished = self.serials.finish();
        self.unlock();
        if let Err(error) = finished {
            return Err(self.not_written(&format!("serials: {error}")));
        }
        let status = self.queue.status();
        if status.waiting > 0 { Err(self.not_written("the last changes are lost")) } else { Ok(()) }
    }

    /// False if it had ended already.
    fn stop_writer(&self) -> bool {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return false };
        self.queue.stop();
        // The writer does not panic; if it did, its message was printed then.
        let _ = writer.join();
        true
    }

    fn unlock(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn not_written(&self, otherwise: &str) -> StateError {
        let problems = self.queue.status.problems();
        let reason = problems.first().map_or_else(|| otherwise.to_owned(), ToString::to_string);
        StateError::NotWritten { path: self.path.clone(), reason }
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        self.stop_writer();
        self.unlock();
    }
}

impl fmt::Display for StateWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.reason)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

fn holder_name(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |holder| format!("process {holder}"))
}
