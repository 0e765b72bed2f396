//! How fast writing goes, over all objects.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

/// So many writes may go at once after a quiet time; then one per interval.
const BURST: u32 = 10;

/// Hands out moments to write at (a virtual clock, as the generic cell rate algorithm has it).
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many a second, at least one.
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next moment.
    pub(super) async fn turn(&self) {
        let at = self.reserve(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let credit = self.interval * (BURST - 1);
        let at = (*next).max(now.checked_sub(credit).unwrap_or(now));
        *next = at + self.interval;
        at.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_writes_come_at_the_rate() {
        let pace = Pace::new(50);
        tokio::time::advance(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..BURST + 50 {
            pace.turn().await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(990) && took <= Duration::from_millis(1100), "{took:?}");
    }
}
