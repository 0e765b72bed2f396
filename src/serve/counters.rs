//! What was answered, counted without costing the hot path anything.
//!
//! Every thread counts in cells that it alone writes and that share no cache line with those of another thread; a
//! reader sums them up. The sum is of one moment only where no thread counts meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{client::Transport, respond::Answer};

/// RCODEs that are counted one by one, from 0 (NOERROR) to 16 (BADVERS).
pub const RCODES: usize = 17;

/// The counters of all threads of a server.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    udp: Vec<Arc<Cells>>,
    tcp: Vec<Arc<Cells>>,
}

/// What all threads counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Over UDP.
    pub udp: TransportTotals,
    /// Over TCP.
    pub tcp: TransportTotals,
}

/// What was counted for one transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportTotals {
    /// Messages that came in.
    pub queries: u64,
    /// Messages that got no answer: too short, or answers themselves.
    pub dropped: u64,
    /// Answers with TC set.
    pub truncated: u64,
    /// Answers that could not be sent.
    pub unsent: u64,
    /// Queries that were lost to a panic.
    pub panics: u64,
    /// Connections that were taken; 0 for UDP.
    pub connections: u64,
    /// Connections that were closed at once because there were too many; 0 for UDP.
    pub connections_refused: u64,
    /// Answers by RCODE.
    pub rcodes: [u64; RCODES],
}

/// What one thread counts. Two cache lines of alignment, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cells {
    queries: AtomicU64,
    dropped: AtomicU64,
    truncated: AtomicU64,
    unsent: AtomicU64,
    panics: AtomicU64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
    rcodes: [AtomicU64; RCODES],
}

impl Counters {
    /// The sums over all threads.
    pub fn sum(&self) -> Totals {
        Totals { udp: sum(&self.udp), tcp: sum(&self.tcp) }
    }

    /// Cells for one more thread, which alone may count in them.
    pub(crate) fn add_thread(&mut self, transport: Transport) -> Arc<Cells> {
        let cells = Arc::new(Cells::default());
        match transport {
            Transport::Udp => self.udp.push(Arc::clone(&cells)),
            _ => self.tcp.push(Arc::clone(&cells)),
        }
        cells
    }
}

impl Cells {
    #[inline]
    pub(crate) fn count_query(&self) {
        step(&self.queries);
    }

    #[inline]
    pub(crate) fn count_answer(&self, answer: &Answer<'_>) {
        let reply = match answer {
            Answer::Message(reply) => reply,
            Answer::Silence => return step(&self.dropped),
            Answer::Transfer(_) => return step(&self.rcodes[0]),
        };
        if let Some(cell) = self.rcodes.get(usize::from(reply.rcode)) {
            step(cell);
        }
        if reply.truncated {
            step(&self.truncated);
        }
    }

    pub(crate) fn count_unsent(&self) {
        step(&self.unsent);
    }

    pub(crate) fn count_panic(&self) {
        step(&self.panics);
    }

    pub(crate) fn count_connection(&self, taken: bool) {
        step(if taken { &self.connections } else { &self.connections_refused });
    }
}

/// One more. Only one thread writes, so this needs no atomic addition.
#[inline]
fn step(cell: &AtomicU64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

fn sum(threads: &[Arc<Cells>]) -> TransportTotals {
    let total = |cell: fn(&Cells) -> &AtomicU64| threads.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).sum();
    TransportTotals {
        queries: total(|cells| &cells.queries),
        dropped: total(|cells| &cells.dropped),
        truncated: total(|cells| &cells.truncated),
        unsent: total(|cells| &cells.unsent),
        panics: total(|cells| &cells.panics),
        connections: total(|cells| &cells.connections),
        connections_refused: total(|cells| &cells.connections_refused),
        rcodes: std::array::from_fn(|rcode| {
            threads.iter().map(|cells| cells.rcodes[rcode].load(Ordering::Relaxed)).sum()
        }),
    }
}
