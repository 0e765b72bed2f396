//! The state directory of a command that serves: opened, lent to a successor, and had again where that one fails.

use std::{io, sync::Arc, time::Duration};

use anyhow::Result;
use mcdns_serve::Predecessor;
use mcdns_state::{Recovered, StateDirectory};
use tokio::sync::mpsc;

use crate::settings::Settings;

/// Pause between tries to have the state directory again that a failed successor took.
pub(super) const TAKE_BACK: Duration = Duration::from_millis(100);

/// What a successor wants of the loop.
pub(super) enum Wish {
    /// The state directory.
    Release(std::sync::mpsc::Sender<Result<(), String>>),
    /// It failed: everything as before.
    Resume,
}

/// Hands the wishes of a successor to the loop.
pub(super) struct Successor(pub(super) mpsc::Sender<Wish>);

impl Predecessor for Successor {
    fn release(&mut self) -> io::Result<()> {
        let (done, released) = std::sync::mpsc::channel();
        self.0.blocking_send(Wish::Release(done)).map_err(io::Error::other)?;
        released.recv().map_err(io::Error::other)?.map_err(io::Error::other)
    }

    fn resume(&mut self) {
        // Where the loop has ended there is nothing to go on with.
        let _ = self.0.blocking_send(Wish::Resume);
    }
}

/// Opens the state directory, if one is set, with what is in it.
pub(super) fn open(settings: &Settings) -> Result<Option<(Arc<StateDirectory>, Recovered)>> {
    let Some(path) = &settings.state_dir.value else { return Ok(None) };
    let (state, recovered, warnings) = StateDirectory::open(path, settings.history.value)?;
    for warning in warnings {
        warn(&warning);
    }
    Ok(Some((Arc::new(state), recovered)))
}

/// Says what of the state is not used.
pub(super) fn warn(warning: &mcdns_state::StateWarning) {
    tracing::warn!(file = %warning.file.display(), line = warning.line, reason = warning.reason, "state ignored");
}

/// Brings it to disk, at the end of the program.
pub(super) fn close(state: &StateDirectory) {
    if let Err(error) = state.shutdown() {
        let error = anyhow::Error::from(error);
        tracing::error!(error = format!("{error:#}"), "the state directory could not be closed");
    }
}
