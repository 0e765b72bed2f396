//! What can go wrong with a call.

use std::time::Duration;

use mcdns_publish::PublishError;

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the caller is told this.
    Fails(PublishError),
    /// Everything is done, and the caller hears nothing: a crash or a lost answer.
    Crash,
    /// The first half of a batch is done, and nothing is said of the rest.
    Half,
    /// Nothing is done, and the caller is told that everything was.
    Lie,
}

impl Fault {
    /// The system wants to be left alone for a second.
    pub fn throttled() -> Self {
        let after = Some(Duration::from_secs(1));
        Self::Fails(PublishError::Throttled { after, words: "Rate exceeded".to_owned() })
    }

    /// The system cannot be reached.
    pub fn unavailable() -> Self {
        Self::Fails(PublishError::Unavailable { words: "connection refused".to_owned() })
    }

    /// True if the call does its work, or some of it.
    pub(crate) fn works(&self) -> bool {
        matches!(self, Self::Crash | Self::Half)
    }

    /// What the caller is told.
    pub(crate) fn error(&self) -> PublishError {
        match self {
            Self::Fails(error) => error.clone(),
            Self::Crash | Self::Half | Self::Lie => {
                PublishError::Unavailable { words: "the connection was lost before the answer".to_owned() }
            }
        }
    }
}
