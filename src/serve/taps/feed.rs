//! From serving threads to a writer, without ever waiting for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::TapError;

/// Samples that may wait for a writer: a tenth of a second of everything that a fast core answers.
const WAITING: usize = 16_384;
/// Octets of copied messages that may wait; large answers must not fill the memory.
const WAITING_OCTETS: usize = 16 << 20;

/// What went through the feeds of one purpose since the start.
#[derive(Debug, Default)]
pub(crate) struct FeedCounts {
    taken: AtomicU64,
    dropped: AtomicU64,
}

/// The serving threads' end.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    sender: SyncSender<(usize, T)>,
    shared: Arc<Shared>,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    receiver: Receiver<(usize, T)>,
    shared: Arc<Shared>,
}

/// Tells when a writer has ended.
#[derive(Debug)]
pub(crate) struct End(Arc<Shared>);

/// What a writer is to do next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Write this.
    Item(T),
    /// There is nothing to write now.
    Idle,
    /// There will never be anything again.
    End,
}

#[derive(Debug)]
struct Shared {
    counts: Arc<FeedCounts>,
    octets: AtomicUsize,
    /// False while the writer could only throw away what it gets.
    ready: AtomicBool,
    reopen: AtomicBool,
    ended: AtomicBool,
}

/// Starts a thread that runs `write` until the feed is gone. What is offered while the writer is not ready is dropped.
pub(crate) fn feed<T: Send + 'static>(
    name: &str,
    purpose: &'static str,
    counts: &Arc<FeedCounts>,
    is_ready: bool,
    write: impl FnOnce(&Outlet<T>) + Send + 'static,
) -> Result<Feed<T>, TapError> {
    let (sender, receiver) = sync_channel(WAITING);
    let shared = Arc::new(Shared {
        counts: Arc::clone(counts),
        octets: AtomicUsize::new(0),
        ready: AtomicBool::new(is_ready),
        reopen: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    let outlet = Outlet { receiver, shared: Arc::clone(&shared) };
    let run = move || {
        let ended = EndOnDrop(Arc::clone(&outlet.shared));
        write(&outlet);
        drop(ended);
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|source| TapError::Thread { purpose, source })?;
    Ok(Feed { sender, shared })
}

impl FeedCounts {
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl<T> Feed<T> {
    /// Hands over what `make` makes, which takes about so many octets, if there is room for it.
    pub(crate) fn offer(&self, octets: usize, make: impl FnOnce() -> T) {
        let shared = &*self.shared;
        let waiting = shared.octets.load(Ordering::Relaxed);
        let has_room = shared.ready.load(Ordering::Relaxed) && waiting.saturating_add(octets) <= WAITING_OCTETS;
        if has_room {
            shared.octets.fetch_add(octets, Ordering::Relaxed);
            if self.sender.try_send((octets, make())).is_ok() {
                return;
            }
            shared.octets.fetch_sub(octets, Ordering::Relaxed);
        }
        shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the writer has somebody to write to.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }

    /// Makes the writer open its file again.
    pub(crate) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Something to wait for the end of the writer with.
    pub(crate) fn end(&self) -> End {
        End(Arc::clone(&self.shared))
    }
}

impl<T> Outlet<T> {
    /// What to do next; waits so long for it.
    pub(crate) fn next(&self, wait: Duration) -> Next<T> {
        let received = match self.receiver.try_recv() {
            Err(TryRecvError::Empty) if !wait.is_zero() => match self.receiver.recv_timeout(wait) {
                Ok(item) => Ok(item),
                Err(RecvTimeoutError::Timeout) => Err(TryRecvError::Empty),
                Err(RecvTimeoutError::Disconnected) => Err(TryRecvError::Disconnected),
            },
            received => received,
        };
        match received {
            Ok((octets, item)) => {
                self.shared.octets.fetch_sub(octets, Ordering::Relaxed);
                Next::Item(item)
            }
            Err(TryRecvError::Empty) => Next::Idle,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Says whether there is somebody to write to.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::Relaxed);
    }

    /// True once after each call of [`Feed::reopen`].
    pub(crate) fn shall_reopen(&self) -> bool {
        self.shared.reopen.load(Ordering::Relaxed) && self.shared.reopen.swap(false, Ordering::Relaxed)
    }

    /// So many were written.
    pub(crate) fn count_taken(&self, count: u64) {
        self.shared.counts.taken.fetch_add(count, Ordering::Relaxed);
    }

    /// So many could not be written.
    pub(crate) fn count_dropped(&self, count: u64) {
        self.shared.counts.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

impl End {
    pub(crate) fn wait_until(&self, deadline: Instant) {
        // Happens once, at the end of the program; a poll needs nothing of the writers.
        while !self.0.ended.load(Ordering::Acquire) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Says that the writer has ended, also where a panic ended it.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.ready.store(false, Ordering::Relaxed);
        self.0.ended.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_writer_that_stands_still_costs_samples_and_no_time() {
        let counts = Arc::default();
        let (go, wait) = channel::<()>();
        let feed = feed("test", "a test", &counts, true, move |outlet: &Outlet<usize>| {
            wait.recv().expect("the word to go");
            while let Next::Item(_) = outlet.next(Duration::from_secs(10)) {
                outlet.count_taken(1);
            }
        });
        let feed = feed.expect("a thread");
        for number in 0..WAITING + 100 {
            feed.offer(1, || number);
        }
        assert_eq!((counts.taken(), counts.dropped()), (0, 100));
        feed.offer(WAITING_OCTETS, || unreachable!("too large beside what waits"));
        assert_eq!(counts.dropped(), 101);
        go.send(()).expect("the writer waits");
        let end = feed.end();
        drop(feed);
        end.wait_until(Instant::now() + Duration::from_secs(30));
        assert_eq!((counts.taken(), counts.dropped()), (WAITING as u64, 101), "all that waited was written");
    }

    #[test]
    fn a_writer_that_is_not_ready_is_offered_nothing() {
        let counts = Arc::default();
        let feed =
            feed(
                "test",
                "a test",
                &counts,
                false,
                move |outlet: &Outlet<()>| {
                    while !matches!(outlet.next(Duration::from_secs(10)), Next::End) {}
                },
            );
        let feed = feed.expect("a thread");
        feed.offer(1, || unreachable!("not made in vain"));
        assert_eq!((counts.dropped(), feed.is_ready()), (1, false));
    }
}
