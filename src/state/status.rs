//! How the state directory is doing: what fails, since when, said once.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use mcdns_core::model::Timestamp;
use serde::Serialize;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Area {
    /// Journal of observations and notes.
    Journal,
    /// Checkpoint of observations and notes.
    Checkpoint,
    /// Change history.
    History,
    /// Serials of zones.
    Serials,
    /// Differences of zones.
    Differences,
    /// Copies of zones.
    Zones,
}

/// Something that cannot be written. It is tried again; serving goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What cannot be written.
    pub area: Area,
    /// Where.
    pub path: PathBuf,
    /// Why, as the operating system says.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A moment's state of the state directory, for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateStatus {
    /// What fails; empty when all is well.
    pub problems: Vec<Problem>,
    /// Changes that wait to be written (objects, notes and history).
    pub waiting: usize,
    /// Changes that were given up because too many waited; what is on disk lacks them.
    pub dropped: u64,
    /// Octets of the journal.
    pub journal_length: u64,
    /// Octets of the checkpoint.
    pub checkpoint_length: u64,
    /// Checkpoints made since the start.
    pub checkpoints: u64,
    /// When something was last written; none if nothing was yet.
    pub written_at: Option<Timestamp>,
}

impl StateStatus {
    /// True if everything observed is on disk or on its way there.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty() && self.dropped == 0
    }
}

/// Where the parts say how they are doing.
#[derive(Debug, Default)]
pub(crate) struct StatusBoard {
    problems: Mutex<Vec<Problem>>,
}

impl StatusBoard {
    /// Something cannot be written. Logged when it is news.
    pub(crate) fn fails(&self, area: Area, path: &Path, error: &io::Error) {
        let reason = error.to_string();
        let mut problems = self.lock();
        if let Some(known) = problems.iter_mut().find(|problem| problem.area == area) {
            known.reason = reason;
            return;
        }
        tracing::error!(?area, path = %path.display(), %reason, "state cannot be written; serving goes on");
        problems.push(Problem { area, path: path.to_owned(), reason, since: now() });
        problems.sort_by_key(|problem| problem.area);
    }

    /// Something can be written. Logged when it is news.
    pub(crate) fn works(&self, area: Area) {
        let mut problems = self.lock();
        let before = problems.len();
        problems.retain(|problem| problem.area != area);
        if problems.len() < before {
            tracing::info!(?area, "state is written again");
        }
    }

    /// What fails now.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Problem>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of the system clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
