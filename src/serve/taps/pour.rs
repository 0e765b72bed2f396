//! The loop of a writer: what comes is gathered, and written when there is enough of it or nothing more comes.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{Next, Outlet};

/// Octets that are gathered before they are written.
const GATHER: usize = 64 * 1024;
/// How often a file is looked for under its name, and a receiver that nothing is sent to for whether it is there.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Where it is written.
pub(crate) trait Sink {
    /// Writes all of it. An error is the end of this sink, and all of it counts as dropped.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Called at least each second while there is nothing to write; `reopen` where somebody asked for it. An error is
    /// the end of this sink.
    fn look(&mut self, reopen: bool) -> io::Result<()>;
}

/// Why writing to a sink ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// There will be nothing to write any more.
    Feed,
    /// The sink takes no more; all that was for it is counted.
    Sink(io::Error),
}

/// A writer, which may have one sink after the other.
#[derive(Debug)]
pub(crate) struct Pour<'o, T> {
    outlet: &'o Outlet<T>,
    gathered: Vec<u8>,
    looked: Instant,
}

impl<'o, T> Pour<'o, T> {
    pub(crate) fn new(outlet: &'o Outlet<T>) -> Self {
        Self { outlet, gathered: Vec::new(), looked: Instant::now() }
    }

    /// Writes what comes, as `append` makes octets of it, until there is an end to it.
    pub(crate) fn run(&mut self, sink: &mut impl Sink, mut append: impl FnMut(&T, &mut Vec<u8>)) -> Ended {
        let mut waiting = 0;
        loop {
            let wait = if self.gathered.is_empty() { LOOK } else { Duration::ZERO };
            let next = self.outlet.next(wait);
            if let Next::Item(item) = &next {
                append(item, &mut self.gathered);
                waiting += 1;
            }
            if self.gathered.len() >= GATHER || !matches!(next, Next::Item(_)) {
                let done = self.hand_over(sink);
                self.gathered.clear();
                if let Err(error) = done {
                    self.outlet.count_dropped(waiting);
                    return Ended::Sink(error);
                }
                self.outlet.count_taken(waiting);
                waiting = 0;
            }
            if matches!(next, Next::End) {
                return Ended::Feed;
            }
        }
    }

    fn hand_over(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        let reopen = self.outlet.shall_reopen();
        if reopen || self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            sink.look(reopen)?;
        }
        if self.gathered.is_empty() { Ok(()) } else { sink.write(&self.gathered) }
    }
}
