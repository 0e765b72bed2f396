//! What connections make us keep: messages that are not whole yet, and answers that are not taken yet.
//!
//! ```text
//!   Account, one per listener and thread ◄── Share, one per connection ◄── Part: an answer, a message in pieces
//!     above MOST: no more, and who wants       the first FREE octets
//!     more is cut off                          are not counted
//! ```
//!
//! All transports have this in common: a connection that owes us [`ENOUGH`] is asked to take something first, and its
//! next answers wait for that; where all of them together keep [`MOST`], one that wants to keep more is cut off. Clients
//! must be ready for a close at any time (RFC 7766 section 6.2.4). What is taken at once, and what is smaller than
//! [`FREE`], nobody loses by what others do.

use std::{cell::Cell, rc::Rc, time::Duration};

use thiserror::Error;
use tokio::{sync::Notify, time::timeout};

/// Octets that all connections of a listener on one thread may keep: 200 that have [`ENOUGH`], or a thousand that all
/// asked for the largest answer.
pub(crate) const MOST: usize = 64 << 20;
/// Octets of one connection that are not counted: several ordinary queries and answers, which go on so while others
/// have used up the account. The 10,000 connections of a listener by default have 40 MB of this together.
pub(crate) const FREE: usize = 4 * 1024;
/// Octets that one connection keeps before its next answers wait: four of the largest, or thousands of ordinary ones.
pub(crate) const ENOUGH: usize = 256 * 1024;

/// Octets that the connections of one listener on one thread keep.
#[derive(Debug, Default)]
pub(crate) struct Account {
    kept: Cell<usize>,
}

/// What one connection keeps of it.
#[derive(Debug)]
pub(crate) struct Share {
    account: Rc<Account>,
    kept: Cell<usize>,
    /// What is answers of it.
    owed: Cell<usize>,
    /// There is less than there was.
    less: Notify,
    /// The connection is to be closed.
    cut_off: Notify,
}

/// Octets that are kept for one reason; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    share: Rc<Share>,
    octets: usize,
    is_answer: bool,
}

/// All connections together keep too much, or one keeps enough and takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too much waits for clients that do not read")]
pub(crate) struct Full;

impl Account {
    /// Octets that are kept and counted.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept.get()
    }
}

impl Share {
    /// The share of a new connection.
    pub(crate) fn new(account: &Rc<Account>) -> Rc<Self> {
        let (less, cut_off) = (Notify::new(), Notify::new());
        Rc::new(Self { account: Rc::clone(account), kept: Cell::new(0), owed: Cell::new(0), less, cut_off })
    }

    /// A part with nothing in it.
    pub(crate) fn part(self: &Rc<Self>) -> Part {
        Part { share: Rc::clone(self), octets: 0, is_answer: false }
    }

    /// Waits until more is wanted than there is, or nothing is taken: the connection is to be closed.
    pub(crate) async fn until_cut_off(&self) {
        self.cut_off.notified().await;
    }

    /// The part of `kept` octets that counts.
    fn counted(kept: usize) -> usize {
        kept.saturating_sub(FREE)
    }
}

impl Part {
    /// Waits until the client has taken so much that another answer can be made for it; an error, and it is cut off,
    /// where that takes too long.
    pub(crate) async fn until_taken(&self, limit: Duration) -> Result<(), Full> {
        let share = &self.share;
        let taken = async {
            loop {
                // Made first, so that it hears of all that happens from here on.
                let less = share.less.notified();
                if share.owed.get() < ENOUGH {
                    return;
                }
                less.await;
            }
        };
        // Nearly always; no timer is needed for it.
        if share.owed.get() < ENOUGH {
            return Ok(());
        }
        timeout(limit, taken).await.map_err(|_| {
            share.cut_off.notify_one();
            Full
        })
    }

    /// From now on it is so many octets that came in; an error, and nothing changed, where this is more than there is.
    pub(crate) fn hold(&mut self, octets: usize) -> Result<(), Full> {
        self.set(octets, false)
    }

    /// The same for octets of an answer.
    pub(crate) fn owe(&mut self, octets: usize) -> Result<(), Full> {
        self.set(octets, true)
    }

    fn set(&mut self, octets: usize, is_answer: bool) -> Result<(), Full> {
        if (octets, is_answer) == (self.octets, self.is_answer) {
            return Ok(());
        }
        let share = &*self.share;
        let before = share.kept.get();
        let after = before - self.octets + octets;
        let all = share.account.kept.get() - Share::counted(before) + Share::counted(after);
        if all > MOST && Share::counted(after) > Share::counted(before) {
            share.cut_off.notify_one();
            return Err(Full);
        }
        let owed = share.owed.get();
        let still_owed = owed - self.owed() + if is_answer { octets } else { 0 };
        share.account.kept.set(all);
        share.kept.set(after);
        share.owed.set(still_owed);
        (self.octets, self.is_answer) = (octets, is_answer);
        if owed >= ENOUGH && still_owed < ENOUGH {
            share.less.notify_waiters();
        }
        Ok(())
    }

    fn owed(&self) -> usize {
        if self.is_answer { self.octets } else { 0 }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Less is always possible.
        let _ = self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn part(share: &Rc<Share>, octets: usize) -> Result<Part, Full> {
        let mut part = share.part();
        part.owe(octets).map(|()| part)
    }

    #[test]
    fn what_is_kept_is_counted_over_all_connections_and_given_back() {
        let account = Rc::<Account>::default();
        let shares = [Share::new(&account), Share::new(&account)];
        let [_one, mut other] = shares.each_ref().map(|share| part(share, FREE + 100).expect("room"));
        assert_eq!(account.kept(), 200);
        other.hold(FREE + 150).expect("room");
        assert_eq!(account.kept(), 250);
        drop(other);
        assert_eq!(account.kept(), 100);
        let [_small, more] = [FREE, 7].map(|octets| part(&shares[1], octets).expect("room"));
        assert_eq!(account.kept(), 107);
        drop(more);
        assert_eq!(account.kept(), 100);
    }

    #[test]
    fn who_wants_more_than_there_is_is_refused_and_the_small_ones_go_on() {
        let account = Rc::<Account>::default();
        let (greedy, small) = (Share::new(&account), Share::new(&account));
        let mut all = part(&greedy, MOST + FREE).expect("room");
        let mut context = Context::from_waker(Waker::noop());
        let mut refused = std::pin::pin!(small.until_cut_off());
        let mut little = part(&small, FREE).expect("not counted");
        assert_eq!(little.hold(FREE + 1), Err(Full));
        assert!(refused.as_mut().poll(&mut context).is_ready(), "it is told to end");
        assert_eq!((account.kept(), small.kept.get()), (MOST, FREE));
        all.owe(MOST).expect("less is always possible");
        little.hold(FREE + 1).expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_enough_waits_until_something_is_taken_and_not_for_ever() {
        const LIMIT: Duration = Duration::from_secs(10);
        let account = Rc::<Account>::default();
        let share = Share::new(&account);
        let mut first = part(&share, ENOUGH - 1).expect("room");
        let mut third = share.part();
        third.hold(ENOUGH).expect("what came in is no answer");
        assert_eq!(third.until_taken(Duration::ZERO).await, Ok(()));
        let second = part(&share, 2).expect("room");
        assert_eq!(third.until_taken(LIMIT).await, Err(Full));
        share.until_cut_off().await;
        let mut context = Context::from_waker(Waker::noop());
        let mut waits = [Box::pin(third.until_taken(LIMIT)), Box::pin(third.until_taken(LIMIT))];
        assert!(waits.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        first.owe(ENOUGH - 2).expect("less");
        assert!(waits.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()), "still enough");
        drop(second);
        assert!(waits.iter_mut().all(|one| one.as_mut().poll(&mut context).is_ready()));
    }
}
