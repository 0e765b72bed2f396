//! Samples of queries for the query log and dnstap.
//!
//! ```text
//!   serving thread ── Sampler: is this query wanted? ──► Feed (bounded; full: dropped and counted)
//!                                                          │
//!                       writer thread of its own ◄─────────┘ ──► file, log, socket
//! ```
//!
//! Serving never waits for a writer: what finds no place is dropped, and a counter says how much. A sample is taken
//! at random distances whose mean is what was asked for, because clients that ask in turns would fool a fixed
//! distance. Settings may be replaced while queries are answered; a writer whose own settings stay lives on.

mod feed;
mod pour;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    num::NonZeroU32,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use thiserror::Error;

use crate::{
    client::Client,
    dnstap::{self, Dnstap, Exchange},
    query_log::{self, Entry, QueryLog},
    respond::Answer,
};

pub(crate) use feed::{Feed, FeedCounts, Next, Outlet, feed};
pub(crate) use pour::{Ended, LOOK, Pour, Sink};

/// One of about so many queries is timed: two looks at a clock cost some 50 nanoseconds, and so less than one a query.
const TIMED: u64 = 64;
/// How long the end of the server waits for each writer to write down what it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the query log or dnstap cannot be had. Those in force stay so.
#[derive(Debug, Error)]
pub enum TapError {
    /// The file, or its folder, is not there or not ours to write.
    #[error("{path} cannot be opened for {purpose}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be written there.
        purpose: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system has no thread for the writer.
    #[error("no thread could be started for {purpose}")]
    Thread {
        /// What it was to do.
        purpose: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What went through the query log and dnstap since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapTotals {
    /// Queries that were written to the query log.
    pub logged: u64,
    /// Queries that were to be written there, and were not because the writer could not follow.
    pub log_dropped: u64,
    /// Queries whose messages were handed to the receiver of dnstap.
    pub tapped: u64,
    /// Queries that were to be handed there, and were not because it could not follow or was not there.
    pub tap_dropped: u64,
    /// Whether dnstap has somebody to write to; none where it is off.
    pub tap_connected: Option<bool>,
}

/// The place of the query log and of dnstap; clones share it. Both are off until they are set.
#[derive(Debug, Clone, Default)]
pub struct TapStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    current: ArcSwap<Taps>,
    /// Held while settings change; readers do without.
    changing: Mutex<()>,
    log: Arc<FeedCounts>,
    dnstap: Arc<FeedCounts>,
}

/// Both, as they are in force.
#[derive(Debug, Default)]
struct Taps {
    log: Option<(QueryLog, Arc<Feed<Entry>>)>,
    dnstap: Option<(Dnstap, Arc<Feed<Exchange>>)>,
}

impl TapStore {
    /// Puts settings in force; `None` switches off. Feeds that serve on as they are, as where only the sample
    /// changed, are kept.
    pub fn set(&self, log: Option<&QueryLog>, dnstap: Option<&Dnstap>) -> Result<(), TapError> {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.current.load_full();
        let log = match (log, &before.log) {
            (Some(new), Some((old, feed))) if new.writes_like(old) => Some((new.clone(), Arc::clone(feed))),
            (Some(new), _) => Some((new.clone(), Arc::new(query_log::start(new, &self.0.log)?))),
            (None, _) => None,
        };
        let dnstap = match (dnstap, &before.dnstap) {
            (Some(new), Some((old, feed))) if new.writes_like(old) => Some((new.clone(), Arc::clone(feed))),
            (Some(new), _) => Some((new.clone(), Arc::new(dnstap::start(new, &self.0.dnstap)?))),
            (None, _) => None,
        };
        self.0.current.store(Arc::new(Taps { log, dnstap }));
        Ok(())
    }

    /// Opens files again under their names, as after SIGHUP.
    pub fn reopen(&self) {
        let taps = self.0.current.load();
        taps.log.iter().for_each(|(_, feed)| feed.reopen());
        taps.dnstap.iter().for_each(|(_, feed)| feed.reopen());
    }

    /// What went through so far.
    pub fn totals(&self) -> TapTotals {
        let Shared { log, dnstap, current, .. } = &*self.0;
        TapTotals {
            logged: log.taken(),
            log_dropped: log.dropped(),
            tapped: dnstap.taken(),
            tap_dropped: dnstap.dropped(),
            tap_connected: current.load().dnstap.as_ref().map(|(_, feed)| feed.is_ready()),
        }
    }

    /// Switches both off and waits a moment until what they have is written.
    pub(crate) fn close(&self) {
        let taps = self.0.current.swap(Arc::default());
        let ends = [taps.log.as_ref().map(|(_, feed)| feed.end()), taps.dnstap.as_ref().map(|(_, feed)| feed.end())];
        // The feeds end when the last one who knows them lets go.
        drop(taps);
        let deadline = Instant::now() + PATIENCE;
        for end in ends.into_iter().flatten() {
            end.wait_until(deadline);
        }
    }
}

/// Says for which queries of a thread more is done than counting.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// Number of the query that is next in any sample.
    next: AtomicU64,
    timed: AtomicU64,
    logged: Series,
    copied: Series,
    /// State of a generator of random numbers; 0 until it is used.
    random: AtomicU64,
    taps: TapStore,
}

/// The queries that one tap wants.
#[derive(Debug, Default)]
struct Series {
    /// One of so many; 0 for none.
    sample: AtomicU64,
    /// Number of the next.
    next: AtomicU64,
}

/// What is wanted of a query besides counting it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    timed: bool,
    logged: bool,
    copied: bool,
}

/// What came of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome<'a> {
    /// What was sent.
    pub(crate) answer: &'a Answer<'a>,
    /// Rate limiting has put it in the place of another.
    pub(crate) limited: bool,
}

impl Wanted {
    pub(crate) fn is_timed(self) -> bool {
        self.timed
    }
}

impl Sampler {
    pub(crate) fn new(taps: TapStore) -> Self {
        Self { taps, ..Self::default() }
    }

    /// True if query number `number` is in a sample.
    #[inline]
    pub(crate) fn is_due(&self, number: u64) -> bool {
        number >= self.next.load(Ordering::Relaxed)
    }

    /// In which samples query `number` is; says also which is the next.
    pub(crate) fn take(&self, number: u64) -> Wanted {
        let (logged, copied) = {
            let taps = self.taps.0.current.load();
            (taps.log.as_ref().map(|(log, _)| log.sample), taps.dnstap.as_ref().map(|(dnstap, _)| dnstap.sample))
        };
        let logged = self.logged.take(number, logged, || self.random());
        let copied = self.copied.take(number, copied, || self.random());
        let timed = self.timed.load(Ordering::Relaxed) <= number;
        if timed {
            self.timed.store(number + distance(TIMED, self.random()), Ordering::Relaxed);
        }
        // New settings are seen here, so this is never put off for longer than until the next that is timed.
        let next = [&self.logged.next, &self.copied.next, &self.timed].map(|next| next.load(Ordering::Relaxed));
        self.next.store(next.into_iter().fold(u64::MAX, u64::min), Ordering::Relaxed);
        Wanted { timed, logged, copied }
    }

    /// Hands a sampled query to those who want it.
    pub(crate) fn offer(&self, wanted: Wanted, took: Duration, client: &Client, request: &[u8], outcome: Outcome<'_>) {
        if !wanted.logged && !wanted.copied {
            return;
        }
        let received = SystemTime::now() - took;
        let taps = self.taps.0.current.load();
        if let Some((_, feed)) = taps.log.as_ref().filter(|_| wanted.logged) {
            feed.offer(Entry::OCTETS, || Entry::new(received, took, client, request, outcome));
        }
        if let Some((dnstap, feed)) = taps.dnstap.as_ref().filter(|_| wanted.copied) {
            let octets = Exchange::octets(dnstap, request, outcome.answer);
            feed.offer(octets, || Exchange::new(dnstap, received, took, client, request, outcome));
        }
    }

    /// The next number of xorshift64 (Marsaglia 2003): nobody must be kept from guessing it.
    fn random(&self) -> u64 {
        let mut state = self.random.load(Ordering::Relaxed);
        if state == 0 {
            state = RandomState::new().build_hasher().finish() | 1;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.store(state, Ordering::Relaxed);
        state
    }
}

impl Series {
    fn take(&self, number: u64, sample: Option<NonZeroU32>, mut random: impl FnMut() -> u64) -> bool {
        let sample = sample.map_or(0, |sample| u64::from(sample.get()));
        if self.sample.swap(sample, Ordering::Relaxed) != sample {
            let next = if sample == 0 { u64::MAX } else { number + distance(sample, random()) - 1 };
            self.next.store(next, Ordering::Relaxed);
        }
        let due = sample != 0 && self.next.load(Ordering::Relaxed) <= number;
        if due {
            self.next.store(number + distance(sample, random()), Ordering::Relaxed);
        } else if sample == 0 {
            self.next.store(u64::MAX, Ordering::Relaxed);
        }
        due
    }
}

/// From 1 to 2·`mean` − 1, all as likely.
fn distance(mean: u64, random: u64) -> u64 {
    1 + random % (2 * mean - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sample: u32, queries: u64) -> u64 {
        let sampler = Sampler::default();
        let series = Series::default();
        let taken = (0..queries).filter(|&number| series.take(number, NonZeroU32::new(sample), || sampler.random()));
        taken.count() as u64
    }

    #[test]
    fn a_sample_of_one_is_all_queries_and_others_come_near_their_share() {
        assert_eq!(taken(1, 1_000), 1_000);
        assert_eq!(taken(0, 1_000), 0);
        for sample in [2, 10, 1_000] {
            let taken = taken(sample, 1_000 * u64::from(sample));
            assert!((850..=1_150).contains(&taken), "one of {sample}: {taken}");
        }
    }

    #[test]
    fn clients_in_turns_are_sampled_alike() {
        let (sampler, series) = (Sampler::default(), Series::default());
        let mut by_client = [0_u32; 10];
        for number in 0..100_000_u64 {
            if series.take(number, NonZeroU32::new(10), || sampler.random()) {
                by_client[usize::try_from(number % 10).expect("small")] += 1;
            }
        }
        assert!(by_client.iter().all(|count| (800..=1_200).contains(count)), "{by_client:?}");
    }
}
