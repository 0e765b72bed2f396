//! Counting and logging what is refused.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::refusal::{Refusal, TsigError};

/// Lines that are logged in a second. Enough to see what goes on; a stranger who sends more fills no disk.
const LINES_A_SECOND: u64 = 5;

/// Signed requests that were refused: counted by error, and logged as far as the log is to take it.
#[derive(Debug, Default)]
pub struct TsigFailures {
    counts: [AtomicU64; TsigError::ALL.len()],
    /// The second that lines are counted for, and how many it has.
    second: AtomicU64,
    lines: AtomicU64,
    /// Refusals that were not logged since the last line.
    suppressed: AtomicU64,
}

/// How many signed requests were refused since the start, by error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TsigTotals([u64; TsigError::ALL.len()]);

impl TsigFailures {
    /// What was counted so far.
    pub fn totals(&self) -> TsigTotals {
        TsigTotals(std::array::from_fn(|error| self.counts[error].load(Ordering::Relaxed)))
    }

    /// Counts a refusal, and logs it with who sent it and which key it claims, but neither secret nor MAC.
    pub(crate) fn note(&self, refusal: &Refusal, client: SocketAddr, now: u64) {
        let error = refusal.error();
        self.counts[error as usize].fetch_add(1, Ordering::Relaxed);
        let Some(suppressed) = self.admit(now) else { return };
        let key = refusal.key().map(tracing::field::display);
        // How far off the client's clock is, in seconds: what BADTIME is about.
        let off = refusal.time().filter(|_| error == TsigError::BadTime).map(|time| time.abs_diff(now));
        tracing::warn!(%client, key, error = error.name(), clock_off = off, suppressed, "a signed request is refused");
    }

    /// Whether a line may be logged now; if so, how many were not since the last one. Threads that come at the same
    /// moment may log a line more or less.
    fn admit(&self, now: u64) -> Option<u64> {
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.lines.store(0, Ordering::Relaxed);
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) < LINES_A_SECOND {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl TsigTotals {
    /// Requests that were refused for this.
    pub fn of(&self, error: TsigError) -> u64 {
        self.0[error as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_second_are_logged_and_the_rest_is_counted() {
        let failures = TsigFailures::default();
        let admitted = |now| (0..100).filter_map(|_| failures.admit(now)).collect::<Vec<_>>();
        assert_eq!(admitted(7), [0; 5]);
        assert_eq!(admitted(8), [95, 0, 0, 0, 0]);
        let refusal = Refusal::malformed(None);
        failures.note(&refusal, ([192, 0, 2, 1], 53).into(), 8);
        assert_eq!(TsigError::ALL.map(|error| failures.totals().of(error)), [1, 0, 0, 0, 0]);
    }
}
