//! What is to be looked at and when: a state machine over signs of change, with time as an argument.
//!
//! ```text
//!                 Changing                    Written
//!   (at rest) ──────────────► being written ─────────► due now ──► (at rest)
//!       │                          │                      ▲
//!       │ Gone                     │ Gone                 │ Written
//!       └──────────► quiet ◄───────┴──────────────────────┘
//!                      │ nothing went for a second
//!                      └────► due ──► (at rest)
//! ```
//!
//! A path that is being written is not looked at, however long that takes: its writer's closing it is what counts.
//! The second of quiet starts anew with everything that goes anywhere, so that a directory that is removed file by
//! file is gone as a whole before the first of its files counts as gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Longest that goings elsewhere can put off one, as a multiple of the time of quiet.
const MOST_QUIETS: u32 = 5;

/// A sign that something happens at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was closed by a writer, renamed to, or linked: complete.
    Written,
    /// It was made or written to, and is not closed yet.
    Changing,
    /// It vanished, or was found empty.
    Gone,
}

/// Paths with what is to be done about them.
#[derive(Debug)]
pub(crate) struct Pending {
    quiet: Duration,
    due: BTreeSet<String>,
    writing: BTreeSet<String>,
    /// When each was first seen gone.
    gone: BTreeMap<String, Instant>,
    last_gone: Option<Instant>,
}

impl Pending {
    /// Nothing pending. `quiet` is how long a path must stay away.
    pub(crate) fn new(quiet: Duration) -> Self {
        Self { quiet, due: BTreeSet::new(), writing: BTreeSet::new(), gone: BTreeMap::new(), last_gone: None }
    }

    /// Takes a sign.
    pub(crate) fn sign(&mut self, path: &str, sign: Sign, now: Instant) {
        match sign {
            Sign::Written => {
                self.writing.remove(path);
                self.gone.remove(path);
                self.due.insert(path.to_owned());
            }
            Sign::Changing => {
                self.gone.remove(path);
                self.due.remove(path);
                self.writing.insert(path.to_owned());
            }
            Sign::Gone => {
                self.writing.remove(path);
                self.due.remove(path);
                self.gone.entry(path.to_owned()).or_insert(now);
                self.last_gone = Some(now);
            }
        }
    }

    /// True while a writer has the path open.
    pub(crate) fn is_being_written(&self, path: &str) -> bool {
        self.writing.contains(path)
    }

    /// True while the path waits for its second of quiet.
    pub(crate) fn is_gone(&self, path: &str) -> bool {
        self.gone.contains_key(path)
    }

    /// Forgets which paths are being written: closings may have been missed.
    pub(crate) fn forget_writers(&mut self) {
        self.writing.clear();
    }

    /// Takes the paths that are complete.
    pub(crate) fn take_due(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.due)
    }

    /// Takes the paths that have been gone for long enough.
    pub(crate) fn take_gone(&mut self, now: Instant) -> Vec<String> {
        let all = self.next().is_some_and(|next| next <= now);
        if !all {
            return Vec::new();
        }
        let calm = self.last_gone.is_none_or(|last| last + self.quiet <= now);
        let longest = self.quiet * MOST_QUIETS;
        let ripe: Vec<String> = self
            .gone
            .iter()
            .filter(|(_, since)| calm || **since + longest <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &ripe {
            self.gone.remove(path);
        }
        ripe
    }

    /// When to ask again, if nothing happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let oldest = self.gone.values().min()?;
        let calm = self.last_gone.map_or(*oldest, |last| last + self.quiet);
        Some(calm.min(*oldest + self.quiet * MOST_QUIETS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(1);

    fn due(pending: &mut Pending) -> Vec<String> {
        pending.take_due().into_iter().collect()
    }

    #[test]
    fn a_file_being_written_is_not_due_before_it_is_closed() {
        let start = Instant::now();
        let mut pending = Pending::new(QUIET);
        pending.sign("a", Sign::Changing, start);
        assert!(pending.is_being_written("a"));
        assert!(due(&mut pending).is_empty());
        assert_eq!(pending.next(), None, "time alone changes nothing");
        pending.sign("a", Sign::Written, start);
        assert_eq!(due(&mut pending), ["a"]);
        assert!(due(&mut pending).is_empty());
    }

    #[test]
    fn a_file_that_is_written_to_again_before_it_was_looked_at_waits_for_the_next_closing() {
        let start = Instant::now();
        let mut pending = Pending::new(QUIET);
        pending.sign("a", Sign::Written, start);
        pending.sign("a", Sign::Changing, start);
        assert!(due(&mut pending).is_empty());
    }

    #[test]
    fn a_vanished_file_counts_after_a_second_of_quiet() {
        let start = Instant::now();
        let mut pending = Pending::new(QUIET);
        pending.sign("a", Sign::Gone, start);
        assert_eq!(pending.next(), Some(start + QUIET));
        assert!(pending.take_gone(start + QUIET / 2).is_empty());
        assert_eq!(pending.take_gone(start + QUIET), ["a"]);
        assert_eq!(pending.next(), None);
    }

    #[test]
    fn a_file_that_comes_back_was_never_gone() {
        let start = Instant::now();
        let mut pending = Pending::new(QUIET);
        pending.sign("a", Sign::Gone, start);
        pending.sign("a", Sign::Changing, start + QUIET / 4);
        pending.sign("a", Sign::Written, start + QUIET / 2);
        assert_eq!(due(&mut pending), ["a"]);
        assert!(pending.take_gone(start + QUIET * 2).is_empty());
    }

    #[test]
    fn whatever_else_goes_puts_the_quiet_off_but_not_for_ever() {
        let start = Instant::now();
        let mut pending = Pending::new(QUIET);
        for step in 0..20 {
            pending.sign(&format!("a{step}"), Sign::Gone, start + QUIET / 2 * step);
            let gone = pending.take_gone(start + QUIET / 2 * step);
            assert_eq!(gone.is_empty(), step < 10, "step {step}");
        }
        assert_eq!(pending.take_gone(start + QUIET * 20).len(), 10);
    }
}
