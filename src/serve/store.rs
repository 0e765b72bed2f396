//! The one place where the snapshot in force is kept.
//!
//! ```text
//!   writer ──store──► current ◄──comparison── SnapshotReader (a thread that serves; keeps what it saw last)
//!              │         ▲
//!              ▼         └──load── anybody else, for a moment
//!           retired ──► freed by the next writer or by `sweep`, as soon as no reader has them
//! ```
//!
//! Freeing a zone of a million names takes milliseconds. Whoever lets go of a snapshot last would pay for that, so a
//! writer keeps the one before until no reader has it: no thread that serves ever frees one.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Cache, Guard};
use mcdns_core::answer::{Generation, Snapshot};

use crate::transfer::TransferHistory;

/// The snapshot in force. Readers never wait for a writer, nor a writer for readers.
#[derive(Debug, Default)]
pub struct SnapshotStore {
    current: Arc<ArcSwap<Snapshot>>,
    /// Not in force any more; readers may still have them. For writers alone.
    retired: Mutex<Vec<Arc<Snapshot>>>,
    transfers: Arc<TransferHistory>,
}

/// A thread's view of the snapshot in force: looking again costs a comparison where nothing has changed.
///
/// It keeps the memory of the generation that was seen last. Whoever waits calls [`SnapshotReader::release`] first, or
/// when the wait gets long.
#[derive(Debug)]
pub struct SnapshotReader {
    current: Arc<ArcSwap<Snapshot>>,
    seen: Option<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
}

impl SnapshotReader {
    /// The snapshot in force, always the newest.
    #[inline]
    pub fn load(&mut self) -> &Snapshot {
        self.seen.get_or_insert_with(|| Cache::new(Arc::clone(&self.current))).load()
    }

    /// Lets go of the snapshot that was seen last.
    pub fn release(&mut self) {
        self.seen = None;
    }
}

impl SnapshotStore {
    /// Starts with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), ..Self::default() }
    }

    /// The snapshot in force. Hold it for a query or a batch of them, never while waiting for anything: it keeps
    /// the memory of its generation.
    #[inline]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The same for a thread that looks again and again.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader { current: Arc::clone(&self.current), seen: None }
    }

    /// Puts a snapshot in force; queries from now on see it.
    pub fn store(&self, snapshot: Snapshot) {
        let before = self.current.swap(Arc::new(snapshot));
        self.free(Some(before));
    }

    /// Frees what is not in force any more and has no reader left. To be called now and then, because the last writer
    /// may come long before the last reader is done.
    pub(crate) fn sweep(&self) {
        self.free(None);
    }

    fn free(&self, before: Option<Arc<Snapshot>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.extend(before);
        // Nobody can take hold of a retired one again.
        let unread: Vec<_> = retired.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1).collect();
        drop(retired);
        drop(unread);
    }

    /// The differences that led to the snapshot in force, and the transfers under way. What leads to a snapshot is
    /// recorded before that is stored.
    pub fn transfers(&self) -> &Arc<TransferHistory> {
        &self.transfers
    }

    /// The generation in force.
    pub fn generation(&self) -> Generation {
        self.current.load().generation()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_newest_and_never_frees_what_it_saw() {
        let store = SnapshotStore::default();
        let mut reader = store.reader();
        reader.load();
        let first = Arc::downgrade(&store.current.load_full());
        store.store(Snapshot::default());
        let newest = Arc::as_ptr(&store.current.load());
        assert!(std::ptr::eq(reader.load(), newest));
        assert!(first.upgrade().is_some(), "the store still has it");
        store.sweep();
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn a_reader_that_was_released_keeps_nothing() {
        let store = SnapshotStore::default();
        let mut reader = store.reader();
        reader.load();
        let first = Arc::downgrade(&store.current.load_full());
        store.store(Snapshot::default());
        store.sweep();
        assert!(first.upgrade().is_some(), "it is being read");
        reader.release();
        store.sweep();
        assert!(first.upgrade().is_none());
    }
}
