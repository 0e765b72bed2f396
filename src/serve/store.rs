//! The one place where the snapshot in force is kept.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use mcdns_core::answer::{Generation, Snapshot};

use crate::transfer::TransferHistory;

/// The snapshot in force. Readers never wait for a writer, nor a writer for readers.
#[derive(Debug, Default)]
pub struct SnapshotStore {
    current: ArcSwap<Snapshot>,
    transfers: Arc<TransferHistory>,
}

impl SnapshotStore {
    /// Starts with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), transfers: Arc::default() }
    }

    /// The snapshot in force. Hold it for a query or a batch of them, never while waiting for anything: it keeps
    /// the memory of its generation.
    #[inline]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Puts a snapshot in force; queries from now on see it.
    pub fn store(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
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
