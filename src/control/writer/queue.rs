//! A queue of keys: each at most once, the important ones first, none forgotten.
//!
//! ```text
//!             add                 pop                 rest: written, due again after a pause
//!   (absent) ─────► Waiting ────────────► Working ──────────────────────► Resting ──► (absent)
//!                    ▲   ▲                  │                                │
//!                    │   ├─ retry ──────────┤                                │ add meanwhile
//!                    │   └─ Idle ◄ postpone ┘                                │
//!                    └───────────────────────────────────────────────────────┘
//! ```
//!
//! What is added while it is worked on is worked on again, with the newest state: a key says *which* object to look at,
//! never what to write. So the queue is bounded by the number of keys, and ten changes in a pause are one write.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// First pause after a failure; it doubles from then on.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// Answers changed, a cluster flipped, a zone was published, somebody edited what is ours.
    Answers,
    /// Times of probes, which others look at.
    Refresh,
    /// The rest: statuses.
    Status,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Answers, Self::Refresh, Self::Status];

    /// For metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Refresh => "refresh",
            Self::Status => "status",
        }
    }
}

#[derive(Debug)]
struct Item {
    class: Class,
    /// Orders items of a class, and those that are due at the same time.
    number: u64,
    /// Since when it is wanted.
    since: Instant,
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Wanted, and not before that time.
    Later(Instant),
    /// To be looked at again then, or when it is wanted before.
    Idle(Instant),
    Working,
    /// Worked on, and wanted again.
    WorkingAgain(Class),
    /// Not wanted, and if it is then not before that time.
    Resting(Instant),
}

#[derive(Debug)]
pub(super) struct Queue<K> {
    items: HashMap<K, Item>,
    ready: BTreeSet<(Class, u64, K)>,
    later: BTreeSet<(Instant, u64, K)>,
    numbers: u64,
    jitter: RandomState,
}

impl<K: Clone + Ord + Hash> Queue<K> {
    pub(super) fn new() -> Self {
        Self {
            items: HashMap::new(),
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            numbers: 0,
            jitter: RandomState::new(),
        }
    }

    /// This key is wanted. A failed one is not tried sooner for it.
    pub(super) fn add(&mut self, key: K, class: Class, now: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            self.numbers += 1;
            let item = Item { class, number: self.numbers, since: now, state: State::Ready, failures: 0 };
            self.ready.insert((class, item.number, key.clone()));
            self.items.insert(key, item);
            return;
        };
        match item.state {
            State::Ready if class < item.class => {
                self.ready.remove(&(item.class, item.number, key.clone()));
                item.class = class;
                self.ready.insert((class, item.number, key));
            }
            State::Ready => {}
            State::Later(_) => item.class = item.class.min(class),
            State::Working => item.state = State::WorkingAgain(class),
            State::WorkingAgain(wanted) => item.state = State::WorkingAgain(wanted.min(class)),
            State::Resting(until) => {
                (item.class, item.since, item.state) = (class, now, State::Later(until));
            }
            State::Idle(until) => {
                self.later.remove(&(until, item.number, key.clone()));
                (item.class, item.since, item.state) = (class, now, State::Ready);
                self.ready.insert((class, item.number, key));
            }
        }
    }

    /// The next key that is due, which is worked on from now on.
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        self.wake(now);
        let (_, _, key) = self.ready.pop_first()?;
        if let Some(item) = self.items.get_mut(&key) {
            item.state = State::Working;
        }
        Some(key)
    }

    /// It is done. `rest` is how long it is left alone from now on.
    pub(super) fn done(&mut self, key: &K, rest: Duration, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        item.failures = 0;
        let until = now + rest;
        match item.state {
            State::WorkingAgain(class) => {
                (item.class, item.since, item.state) = (class, now, State::Later(until));
            }
            _ if rest.is_zero() => {
                self.items.remove(key);
                return;
            }
            _ => item.state = State::Resting(until),
        }
        self.later.insert((until, item.number, key.clone()));
    }

    /// It failed: again after a pause, which is longer each time and never shorter than `at_least`.
    pub(super) fn retry(&mut self, key: &K, at_least: Duration, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        let doubled = FIRST_PAUSE.saturating_mul(1 << item.failures.min(20)).min(LONGEST_PAUSE);
        // Between half of it and all of it, so that what failed together is not tried together.
        let share = self.jitter.hash_one((key, item.failures)) % 512;
        let pause = doubled.mul_f64(0.5 + f64::from(u32::try_from(share).unwrap_or(0)) / 1024.0);
        item.failures = item.failures.saturating_add(1);
        if let State::WorkingAgain(class) = item.state {
            item.class = item.class.min(class);
        }
        let until = now + pause.max(at_least);
        item.state = State::Later(until);
        self.later.insert((until, item.number, key.clone()));
    }

    /// It cannot be done now, which is no failure: again after so long, or when it is wanted before that.
    pub(super) fn postpone(&mut self, key: &K, pause: Duration, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if let State::WorkingAgain(class) = item.state {
            (item.class, item.state) = (class, State::Later(now));
            self.later.insert((now, item.number, key.clone()));
            return;
        }
        item.state = State::Idle(now + pause);
        self.later.insert((now + pause, item.number, key.clone()));
    }

    /// Everything that waits for the end of a pause after failures is due now: the cause is gone.
    pub(super) fn hurry(&mut self, now: Instant) {
        for (key, item) in &mut self.items {
            if let (State::Later(until), 1..) = (item.state, item.failures) {
                self.later.remove(&(until, item.number, key.clone()));
                (item.state, item.failures) = (State::Later(now), 0);
                self.later.insert((now, item.number, key.clone()));
            }
        }
    }

    /// When something is due; none while nothing is wanted. In the past: now.
    pub(super) fn due(&self) -> Option<Instant> {
        if let Some((class, number, key)) = self.ready.first() {
            debug_assert!(self.items.get(key).is_some_and(|item| (item.class, item.number) == (*class, *number)));
            return self.items.get(key).map(|item| item.since);
        }
        self.later.first().map(|(at, _, _)| *at)
    }

    /// How many keys of a class are wanted.
    pub(super) fn waiting(&self, class: Class) -> usize {
        self.items.values().filter(|item| item.class == class && item.is_wanted()).count()
    }

    /// Since when the key that waits longest is wanted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.items.values().filter(|item| item.is_wanted()).map(|item| item.since).min()
    }

    /// Forgets everything. What is worked on finishes without a trace.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.ready.clear();
        self.later.clear();
    }

    fn wake(&mut self, now: Instant) {
        while let Some((at, _, _)) = self.later.first()
            && *at <= now
            && let Some((_, _, key)) = self.later.pop_first()
        {
            let Some(item) = self.items.get_mut(&key) else { continue };
            match item.state {
                State::Later(_) | State::Idle(_) => {
                    item.state = State::Ready;
                    self.ready.insert((item.class, item.number, key));
                }
                State::Resting(_) => {
                    self.items.remove(&key);
                }
                State::Ready | State::Working | State::WorkingAgain(_) => {}
            }
        }
    }
}

impl Item {
    fn is_wanted(&self) -> bool {
        !matches!(self.state, State::Resting(_) | State::Idle(_) | State::Working)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(100);

    fn queue(keys: &[(&'static str, Class)], now: Instant) -> Queue<&'static str> {
        let mut queue = Queue::new();
        for (key, class) in keys {
            queue.add(*key, *class, now);
        }
        queue
    }

    #[test]
    fn answers_go_before_statuses_and_each_class_in_its_order() {
        let now = Instant::now();
        let mut queue =
            queue(&[("s1", Class::Status), ("s2", Class::Status), ("a1", Class::Answers), ("r", Class::Refresh)], now);
        queue.add("s2", Class::Answers, now);
        queue.add("a1", Class::Status, now);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(order, ["s2", "a1", "r", "s1"]);
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_once_more_after_a_rest() {
        let now = Instant::now();
        let mut queue = queue(&[("a", Class::Answers)], now);
        assert_eq!(queue.pop(now), Some("a"));
        for _ in 0..10 {
            queue.add("a", Class::Answers, now);
        }
        queue.done(&"a", REST, now);
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.due(), Some(now + REST));
        assert_eq!(queue.pop(now + REST), Some("a"));
        queue.done(&"a", REST, now + REST);
        assert_eq!(queue.pop(now + REST * 3), None);
        assert_eq!(queue.due(), None, "nothing is left of a key that rested");
    }

    #[test]
    fn what_is_wanted_during_its_rest_waits_for_the_end_of_it() {
        let now = Instant::now();
        let mut queue = queue(&[("a", Class::Answers)], now);
        queue.pop(now);
        queue.done(&"a", REST, now);
        queue.add("a", Class::Status, now + REST / 2);
        assert_eq!(queue.waiting(Class::Status), 1);
        assert_eq!(queue.pop(now + REST / 2), None);
        assert_eq!(queue.pop(now + REST), Some("a"));
    }

    #[test]
    fn failures_pause_longer_each_time_up_to_a_limit_and_are_never_forgotten() {
        let mut now = Instant::now();
        let mut queue = queue(&[("a", Class::Answers)], now);
        let mut pauses = Vec::new();
        for _ in 0..15 {
            assert_eq!(queue.pop(now), Some("a"));
            queue.retry(&"a", Duration::ZERO, now);
            let due = queue.due().expect("it is wanted still");
            pauses.push(due - now);
            now = due;
        }
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses.windows(2).take(7).all(|pair| pair[1] > pair[0] * 9 / 10));
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses[14] >= LONGEST_PAUSE / 2);
    }

    #[test]
    fn a_change_does_not_shorten_the_pause_after_a_failure_and_the_end_of_the_cause_does() {
        let now = Instant::now();
        let mut queue = queue(&[("a", Class::Status)], now);
        queue.pop(now);
        queue.retry(&"a", Duration::from_secs(30), now);
        queue.add("a", Class::Answers, now);
        assert_eq!(queue.pop(now + Duration::from_secs(29)), None);
        queue.hurry(now + Duration::from_secs(29));
        assert_eq!(queue.pop(now + Duration::from_secs(29)), Some("a"));
    }

    #[test]
    fn what_cannot_be_done_now_is_looked_at_again_then_or_when_it_changes() {
        let now = Instant::now();
        let mut queue = queue(&[("a", Class::Status), ("b", Class::Status)], now);
        for key in ["a", "b"] {
            queue.pop(now);
            queue.postpone(&key, Duration::from_mins(10), now);
        }
        assert_eq!((queue.pop(now), queue.oldest()), (None, None));
        queue.add("b", Class::Answers, now);
        assert_eq!(queue.pop(now), Some("b"));
        queue.done(&"b", Duration::ZERO, now);
        assert_eq!(queue.pop(now + Duration::from_mins(10)), Some("a"));
        assert_eq!(queue.pop(now + Duration::from_mins(10)), None);
    }

    #[test]
    fn the_oldest_is_told_from_when_it_was_wanted_first() {
        let now = Instant::now();
        let mut queue = queue(&[("a", Class::Status)], now);
        queue.add("a", Class::Answers, now + REST);
        queue.add("b", Class::Answers, now + REST);
        assert_eq!(queue.oldest(), Some(now));
        assert_eq!(queue.waiting(Class::Answers), 2);
        queue.clear();
        assert_eq!((queue.oldest(), queue.due()), (None, None));
    }
}
