//! What was told, what waits to be told, and what is not worth telling again.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{EventCounts, Notice, Regarding};

/// So many (object, reason) are remembered: a few for each of a thousand objects in trouble. Beyond that, what is new
/// is dropped until something is old enough to be forgotten.
const KNOWN_LIMIT: usize = 4096;
/// So many wait to be written: five a second for a minute.
const PENDING_LIMIT: usize = 300;

/// Time between two searches for what may be forgotten.
const SWEEP: Duration = Duration::from_secs(10);

type Topic = (Regarding, String, Cow<'static, str>);

pub(super) struct Desk {
    window: Duration,
    known: HashMap<Topic, Known>,
    pending: VecDeque<Topic>,
    /// Nothing is forgotten before that.
    sweep: Instant,
    pub(super) counts: EventCounts,
}

struct Known {
    notice: Notice,
    /// Name of the Event, once there is one.
    event: Option<String>,
    /// How often it was told.
    count: u64,
    /// Not written again before that.
    quiet_until: Option<Instant>,
    seen: Instant,
    is_pending: bool,
}

/// An Event to write.
pub(super) struct Order {
    pub(super) notice: Notice,
    /// The Event that is to become a series.
    pub(super) event: Option<String>,
    pub(super) count: u64,
}

impl Desk {
    pub(super) fn new(window: Duration) -> Self {
        let sweep = Instant::now();
        Self { window, known: HashMap::new(), pending: VecDeque::new(), sweep, counts: EventCounts::default() }
    }

    /// True if there is something to write now.
    pub(super) fn take(&mut self, notice: Notice, now: Instant) -> bool {
        let topic = topic(&notice);
        // Looking for what may be forgotten costs a pass over everything, so not with each notice.
        if self.known.len() >= KNOWN_LIMIT && now >= self.sweep && !self.known.contains_key(&topic) {
            let window = self.window;
            self.sweep = now + SWEEP;
            self.known.retain(|_, known| known.is_pending || now.duration_since(known.seen) < window);
        }
        let is_full = self.known.len() >= KNOWN_LIMIT;
        let known = match self.known.get_mut(&topic) {
            Some(known) => known,
            None if is_full => {
                self.counts.dropped += 1;
                return false;
            }
            None => self.known.entry(topic.clone()).or_insert(Known {
                notice: notice.clone(),
                event: None,
                count: 0,
                quiet_until: None,
                seen: now,
                is_pending: false,
            }),
        };
        known.count += 1;
        known.seen = now;
        if known.is_pending || known.quiet_until.is_some_and(|until| now < until) {
            self.counts.repeated += 1;
            return false;
        }
        if self.pending.len() >= PENDING_LIMIT {
            self.counts.dropped += 1;
            return false;
        }
        if known.notice.note != notice.note {
            // The note of an Event cannot be changed, so another note is another Event.
            (known.event, known.count) = (None, 1);
        }
        (known.notice, known.is_pending) = (notice, true);
        self.pending.push_back(topic);
        true
    }

    pub(super) fn next(&mut self) -> Option<Order> {
        loop {
            let topic = self.pending.pop_front()?;
            let Some(known) = self.known.get_mut(&topic) else { continue };
            known.is_pending = false;
            return Some(Order { notice: known.notice.clone(), event: known.event.clone(), count: known.count });
        }
    }

    /// The order was carried out as this Event, or failed.
    pub(super) fn written(&mut self, order: &Order, event: Option<String>, now: Instant) {
        let until = now + self.window;
        let Some(known) = self.known.get_mut(&topic(&order.notice)) else { return };
        if event.is_some() {
            self.counts.written += 1;
            (known.event, known.quiet_until) = (event, Some(until));
        } else {
            self.counts.failed += 1;
        }
    }

    /// It is somebody else's turn to tell. When it is ours again, the same is told as if for the first time.
    pub(super) fn discard(&mut self, order: &Order) {
        let topic = topic(&order.notice);
        // Told again meanwhile, it waits for its own turn.
        if self.known.get(&topic).is_some_and(|known| !known.is_pending) {
            self.known.remove(&topic);
        }
    }
}

fn topic(notice: &Notice) -> Topic {
    (notice.regarding.clone(), notice.reason.clone(), notice.about.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(10);

    fn notice(name: &str, note: &str) -> Notice {
        Notice {
            regarding: Regarding {
                api_version: "v1".to_owned(),
                kind: "Thing".to_owned(),
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                uid: None,
            },
            reason: "Odd".to_owned(),
            about: "".into(),
            note: note.to_owned(),
            is_warning: true,
        }
    }

    #[test]
    fn the_same_is_told_once_in_the_window_and_then_with_its_count() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        assert!(desk.take(notice("web", "x"), now));
        let order = desk.next().expect("an order");
        assert_eq!((order.event.as_deref(), order.count), (None, 1));
        desk.written(&order, Some("web.1".to_owned()), now);
        for _ in 0..3 {
            assert!(!desk.take(notice("web", "x"), now + WINDOW / 2));
        }
        assert!(desk.take(notice("web", "x"), now + WINDOW));
        let order = desk.next().expect("an order");
        assert_eq!((order.event.as_deref(), order.count), (Some("web.1"), 5));
        assert_eq!(desk.counts, EventCounts { written: 1, repeated: 3, dropped: 0, failed: 0 });
    }

    #[test]
    fn another_note_after_the_window_is_another_event() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        desk.take(notice("web", "x"), now);
        let order = desk.next().expect("an order");
        desk.written(&order, Some("web.1".to_owned()), now);
        desk.take(notice("web", "y"), now + WINDOW);
        let order = desk.next().expect("an order");
        assert_eq!((order.event, order.count, order.notice.note.as_str()), (None, 1, "y"));
    }

    #[test]
    fn two_matters_of_one_reason_are_told_both() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        assert!(desk.take(Notice { about: "one".into(), ..notice("web", "x") }, now));
        assert!(desk.take(Notice { about: "other".into(), ..notice("web", "y") }, now));
    }

    #[test]
    fn what_could_not_be_written_may_be_told_again() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        desk.take(notice("web", "x"), now);
        let order = desk.next().expect("an order");
        desk.written(&order, None, now);
        assert!(desk.take(notice("web", "x"), now));
        assert_eq!(desk.counts.failed, 1);
    }

    #[test]
    fn what_was_told_again_while_it_was_tried_is_not_lost_with_the_try() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        desk.take(notice("web", "x"), now);
        let order = desk.next().expect("an order");
        assert!(desk.take(notice("web", "x"), now));
        desk.discard(&order);
        let order = desk.next().expect("the second");
        desk.discard(&order);
        assert!(desk.next().is_none());
        assert!(desk.take(notice("web", "x"), now), "as if for the first time");
    }

    #[test]
    fn neither_what_waits_nor_what_is_remembered_grows_without_end() {
        let now = Instant::now();
        let mut desk = Desk::new(WINDOW);
        for number in 0..10_000 {
            desk.take(notice(&format!("web{number}"), "x"), now);
        }
        assert!(desk.pending.len() <= PENDING_LIMIT && desk.known.len() <= KNOWN_LIMIT);
        assert_eq!(desk.counts.dropped, 10_000 - PENDING_LIMIT as u64);
        while desk.next().is_some() {}
        assert!(desk.take(notice("later", "x"), now + WINDOW), "the old ones are forgotten");
    }
}
