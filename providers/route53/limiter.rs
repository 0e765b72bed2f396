//! How often an account is called.
//!
//! AWS allows five requests in a second for each account, all zones and clients together; what is above is answered
//! with `Throttling`. So all publishers of one account share one limiter, and every call takes from it, retries too.
//! Readings and polls leave one request of each second to changes: a name that changes does not wait for a comparison
//! of ten thousand.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A second, and a little for what the way to the service adds.
const WINDOW: Duration = Duration::from_millis(1_040);

/// How soon a call should be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Change,
    /// It may wait.
    Background,
}

/// The requests of the last second.
#[derive(Debug)]
pub(crate) struct Limiter(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    made: VecDeque<Instant>,
    quiet_until: Option<Instant>,
}

impl Limiter {
    /// So many requests in any second.
    pub(crate) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        Self(Mutex::new(Inner { most, made: VecDeque::new(), quiet_until: None }))
    }

    /// Lowers the limit to this; the most careful of those who share it wins.
    pub(crate) fn lower(&self, most: u32) {
        let mut inner = self.lock();
        inner.most = inner.most.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1);
    }

    /// Waits until a request may be made, and counts it.
    pub(crate) async fn take(&self, urgency: Urgency) {
        loop {
            let Some(wait) = self.lock().wait(urgency, Instant::now()) else { return };
            sleep_until(wait).await;
        }
    }

    /// The service has had enough: nobody calls for this long.
    pub(crate) fn quiet(&self, pause: Duration) {
        let mut inner = self.lock();
        let until = Instant::now() + pause;
        inner.quiet_until = Some(inner.quiet_until.map_or(until, |known| known.max(until)));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Counts a request, or says when to ask again.
    fn wait(&mut self, urgency: Urgency, now: Instant) -> Option<Instant> {
        if let Some(until) = self.quiet_until.filter(|until| *until > now) {
            return Some(until);
        }
        self.quiet_until = None;
        while self.made.front().is_some_and(|made| *made + WINDOW <= now) {
            self.made.pop_front();
        }
        let most = match urgency {
            Urgency::Change => self.most,
            Urgency::Background => (self.most - 1).max(1),
        };
        if self.made.len() < most {
            self.made.push_back(now);
            return None;
        }
        // When so many have left the window that one of ours fits.
        self.made.get(self.made.len() - most).map(|made| *made + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_requests_than_the_limit() {
        let limiter = Limiter::new(5);
        let mut made = Vec::new();
        for _ in 0..23 {
            limiter.take(Urgency::Change).await;
            made.push(Instant::now());
        }
        assert!(made.windows(6).all(|six| six[5] - six[0] > Duration::from_secs(1)), "{made:?}");
        assert!(made[22] - made[0] < Duration::from_millis(4_500), "the limit is used");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_does_not_wait_for_readings() {
        let limiter = Limiter::new(5);
        for _ in 0..4 {
            limiter.take(Urgency::Background).await;
        }
        let began = Instant::now();
        limiter.take(Urgency::Change).await;
        assert_eq!(Instant::now(), began);
        limiter.take(Urgency::Background).await;
        assert!(Instant::now() - began >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_throttled_is_quiet_for_all() {
        let limiter = Limiter::new(5);
        let began = Instant::now();
        limiter.quiet(Duration::from_secs(3));
        limiter.quiet(Duration::from_secs(1));
        limiter.take(Urgency::Change).await;
        assert_eq!(Instant::now() - began, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_careful_of_those_who_share_it_wins() {
        let limiter = Limiter::new(5);
        limiter.lower(1);
        limiter.lower(4);
        limiter.take(Urgency::Background).await;
        let began = Instant::now();
        limiter.take(Urgency::Change).await;
        assert!(Instant::now() - began >= Duration::from_secs(1));
    }
}
