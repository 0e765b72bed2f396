//! Records that external-dns publishes into us: a server of its webhook protocol.
//!
//! ```text
//!   external-dns ── GET /                 ─► the zones, as a domain filter
//!                ── GET /records          ─► all that is kept ◄──────────────┐
//!                ── POST /adjustendpoints ─► the form in which it is kept    │
//!                ── POST /records         ─► table (pure) ─► Keeper::keep ───┴─► observations, state or DNSEndpoints
//! ```
//!
//! Nothing is kept here: a [`Keeper`] does, elsewhere, and what it keeps becomes RRsets of somebody else
//! ([`Kind::ForeignRrsets`](mcdns_core::model::Kind::ForeignRrsets)) as DNSEndpoints are. One call changes all of its
//! names or none, but for those that are left as they stand. external-dns ends itself where it is answered with 4xx or 3xx
//! (and at its next start sends the same) and tries again later where it is 5xx, so:
//!
//! | answer | when |
//! |---|---|
//! | 400 | the body is none, or endpoints in it cannot be served: each is named with what is wrong, and nothing is done |
//! | 413 | the body is larger than [`MAX_BODY`] |
//! | 500 | keeping failed; perhaps some of it is kept, and the same call again does no harm |
//! | 503 | not here or not now: another replica writes, or the call would empty what is kept |
//! | 507 | more than [`MAX_NAMES`] names |
//!
//! What cannot be served is left out of the answer to `/adjustendpoints`, with a finding: external-dns does not send
//! it then, and everything else goes on.
//!
//! A change that does not go with what is kept is no reason to end anybody: under policy `upsert-only`, say, a change of
//! type arrives without the deletion of the old type. That name stays as it stands, together with its ownership records,
//! which is a finding; the rest of the call is done and answered with 204. The same goes for a record whose ownership
//! record cannot be kept, because `/adjustendpoints` never sees those.
//!
//! The protocol has no passwords. Whoever reaches the port writes the zones; it belongs on a loopback address.

mod server;
mod table;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use mcdns_core::{check::Finding, dns::OwnerName, model::ForeignRrset};
use thiserror::Error;
use tokio::sync::watch;

pub use server::serve;
pub use table::{FAMILY, name_of, object_name};

/// Largest body, in octets: what external-dns itself allows (`--webhook-provider-max-body-size`).
pub const MAX_BODY: usize = 33_554_432;
/// Most names that are kept. Each record of external-dns has an ownership record beside it, so this is half as many.
pub const MAX_NAMES: usize = 200_000;
/// From so many names on, a call that leaves none is refused, as any source that turns empty at once is held.
pub const GUARDED_FROM: usize = 10;

/// What is kept, by owner name; an empty list is nothing.
pub type Names = BTreeMap<OwnerName, Vec<ForeignRrset>>;

/// Keeps what comes in.
pub trait Keeper: Send + Sync + 'static {
    /// What is kept now.
    fn names(&self) -> Names;

    /// Has these names hold this from now on, and serves it.
    fn keep(&self, changed: Names) -> BoxFuture<'_, Result<(), KeepError>>;
}

/// Why something is not kept; in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeepError {
    /// Another replica does, or nobody at the moment; nothing was done. Ask again later.
    #[error("{0}")]
    NotHere(String),
    /// Perhaps some of it was kept. Send the same again.
    #[error("{0}")]
    Failed(String),
}

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Apexes that are written into; never empty.
    pub zones: Vec<OwnerName>,
    /// A call may take away everything at once.
    pub may_empty: bool,
}

/// What the server tells of itself; cheap to clone.
#[derive(Debug, Clone)]
pub struct Report {
    counts: Arc<Mutex<Counts>>,
    wrong: Arc<Mutex<Wrong>>,
    findings: watch::Sender<Vec<Finding>>,
}

/// What is wrong, by the call that found it.
#[derive(Debug, Default)]
struct Wrong {
    /// When external-dns last asked for the form of its endpoints.
    adjusted: Vec<Finding>,
    /// When it last sent changes.
    left: Vec<Finding>,
    /// True if it has sent changes since it last asked: without any, nothing is left out any more.
    sent: bool,
}

/// Calls by path and outcome, both of fixed sets of words.
pub type Counts = BTreeMap<(&'static str, &'static str), u64>;

impl Default for Report {
    fn default() -> Self {
        Self { counts: Arc::default(), wrong: Arc::default(), findings: watch::channel(Vec::new()).0 }
    }
}

impl Report {
    /// Calls so far.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was wrong with endpoints when external-dns last asked for their form, and what was left out of its changes.
    pub fn findings(&self) -> watch::Receiver<Vec<Finding>> {
        self.findings.subscribe()
    }

    fn count(&self, path: &'static str, outcome: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry((path, outcome)).or_default() += 1;
    }

    /// Notes what is wrong with endpoints now; true if that is something else than before.
    fn adjusted(&self, findings: &[Finding]) -> bool {
        self.note(|wrong| {
            if !std::mem::take(&mut wrong.sent) {
                wrong.left.clear();
            }
            std::mem::replace(&mut wrong.adjusted, findings.to_vec()) != findings
        })
    }

    /// Notes what is left out of changes now; true if that is something else than before.
    fn left(&self, findings: &[Finding]) -> bool {
        self.note(|wrong| {
            wrong.sent = true;
            std::mem::replace(&mut wrong.left, findings.to_vec()) != findings
        })
    }

    fn note(&self, note: impl FnOnce(&mut Wrong) -> bool) -> bool {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let news = note(&mut wrong);
        let findings = [&wrong.adjusted[..], &wrong.left].concat();
        self.findings.send_if_modified(|known| {
            let changed = *known != findings;
            if changed {
                *known = findings;
            }
            changed
        });
        news
    }
}
