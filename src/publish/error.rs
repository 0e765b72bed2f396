//! What can go wrong with a publisher, by what to do about it.

use std::time::Duration;

use mcdns_core::dns::OwnerName;
use thiserror::Error;

/// A call to the other system failed. Nothing ends because of it; `words` are the system's own, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The system wants fewer calls. Retry: after that time, or with growing distance.
    #[error("throttled: {words}")]
    Throttled {
        /// How long the system asked to be left alone.
        after: Option<Duration>,
        /// What it said.
        words: String,
    },
    /// The system cannot be reached or does not work at the moment, or the answer did not come in time; changes may
    /// have been made. Retry: with growing distance, after reading again.
    #[error("unavailable: {words}")]
    Unavailable {
        /// What it said.
        words: String,
    },
    /// Credentials are missing, expired, or not enough. Retry: slowly; a person has to act.
    #[error("denied: {words}")]
    Denied {
        /// What it said.
        words: String,
    },
    /// The system has no such zone, or more than one that could be meant. Retry: slowly; a person has to act.
    #[error("no zone {apex}: {words}")]
    NoZone {
        /// The zone.
        apex: OwnerName,
        /// What it said.
        words: String,
    },
    /// The batch was refused as a whole and nothing was changed. Retry: never the same; the loop halves the batch
    /// until the culprit is alone, or takes `group` out at once.
    #[error("refused: {words}")]
    Refused {
        /// The culprit, where the system names it.
        group: Option<OwnerName>,
        /// What it said.
        words: String,
    },
    /// Something else was written meanwhile, and nothing of the batch was. Retry: at once, after reading again.
    #[error("changed by somebody else: {words}")]
    Conflict {
        /// What it said.
        words: String,
    },
    /// The answer makes no sense. Retry: with growing distance; changes may have been made.
    #[error("answered what cannot be understood: {words}")]
    Garbage {
        /// What it said, shortened.
        words: String,
    },
    /// This program lost the lock before or while it wrote. Retry: when it has it again, after reading.
    #[error("no longer the one that writes")]
    NotLeader,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once, after reading again; a few times.
    Now,
    /// With growing distance, at least this long from now.
    After(Duration),
    /// With growing distance, beginning slowly: a person has to act.
    Slowly,
    /// Not the same batch.
    Differently,
    /// When this program has the lock again.
    WhenLeading,
}

impl PublishError {
    /// What to do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Throttled { after, .. } => Retry::After(after.unwrap_or_default()),
            Self::Unavailable { .. } | Self::Garbage { .. } => Retry::After(Duration::ZERO),
            Self::Denied { .. } | Self::NoZone { .. } => Retry::Slowly,
            Self::Refused { .. } => Retry::Differently,
            Self::Conflict { .. } => Retry::Now,
            Self::NotLeader => Retry::WhenLeading,
        }
    }

    /// True if some of the changes may have been made all the same.
    pub fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Garbage { .. } | Self::NotLeader)
    }

    /// One of a fixed set of words, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Denied { .. } => "denied",
            Self::NoZone { .. } => "no-zone",
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::Garbage { .. } => "garbage",
            Self::NotLeader => "not-leader",
        }
    }
}
