//! What a system must offer so that records can be published to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use futures::{future::BoxFuture, stream::BoxStream};
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, CurrentZone, Group, ManagerId, Standing, WantedName},
};
use thiserror::Error;
use tokio::sync::watch;

use crate::PublishError;

/// One system that records are published to.
///
/// The laws that the battery tests:
/// 1. **Convergence.** When [`apply`](Self::apply) said [`Outcome::Done`], a reading gives what
///    [`translate`](Self::translate) gave: same set types, identifiers, TTLs, contents and properties, owned by us,
///    with no `legacy`. So `translate` rounds, cuts and sorts as the system will.
/// 2. **Atomic groups.** A change is made as a whole, marks of ownership included, or not at all. Where the system
///    cannot, the mark is written first and removed last, so that nothing of ours is ever without one.
/// 3. **Nothing else is touched.** Only `before.group`, its marks and `after` are; what is beside stays.
/// 4. **No late wins.** A change applies to what `before` says. Where the system can compare, it does (a difference
///    is a [`PublishError::Conflict`], or [`Outcome::Unknown`] for that name); between its own calls, `apply` asks
///    [`Batch::leadership`] and stops with [`PublishError::NotLeader`].
/// 5. **Errors are values.** Nothing panics on an answer, and "cannot read" is never "empty".
pub trait Publisher: Send + Sync + 'static {
    /// Name in the settings; stands in logs, metrics and conditions.
    fn name(&self) -> &str;

    /// What the system can hold.
    fn capabilities(&self) -> &Capabilities;

    /// The form in which the system holds a name; pure and cheap. An [`Unpublishable`] leaves the name as it stands.
    /// What the capabilities rule out was taken out of `wanted` before (see [`Capabilities::fit`]).
    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable>;

    /// Asks the system for its form of these names, where only the system knows it; [`translate`](Self::translate)
    /// then says that. Called before names are planned for, with what the capabilities leave of them. Names that were
    /// not asked about are translated all the same.
    fn prepare<'a>(&'a self, apex: &'a OwnerName, wanted: &'a [WantedName]) -> BoxFuture<'a, Result<(), PublishError>> {
        let _ = (apex, wanted);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Apexes of the zones that can be written there, as far as the system can tell; for `plan` and for findings.
    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>>;

    /// True if the names of `child`, a zone below `apex` that is published with the same settings, stand among those of
    /// `apex`. The zone above then leaves them alone, its delegation included, which would hide them.
    fn holds_together<'a>(
        &'a self,
        apex: &'a OwnerName,
        child: &'a OwnerName,
    ) -> BoxFuture<'a, Result<bool, PublishError>> {
        let _ = (apex, child);
        Box::pin(std::future::ready(Ok(true)))
    }

    /// The whole zone, with whose everything is. Names of it may be read and changed while this goes on; what was, and is
    /// not too much, is read by itself afterwards.
    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>>;

    /// One name, where that costs about one call whatever the size of the zone.
    fn read_name<'a>(
        &'a self,
        apex: &'a OwnerName,
        owner: &'a OwnerName,
    ) -> BoxFuture<'a, Result<ReadName, PublishError>> {
        let _ = (apex, owner);
        Box::pin(std::future::ready(Ok(ReadName::Costly)))
    }

    /// Makes the changes of a batch, in as few calls as the system allows, in their order where that matters.
    ///
    /// # Errors
    ///
    /// As [`PublishError`] says. Where parts of a batch were done and then a call failed, return a report: what was
    /// done is done, and the rest is [`Outcome::Unknown`], [`Outcome::Refused`] or [`Outcome::Left`].
    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>>;

    /// Waits until what was applied is in force for clients (Route 53: `INSYNC`). Called once after each apply that
    /// gave a receipt, without holding up the next. An error says that it is not in force, so that the zone is compared;
    /// that it cannot be asked is none.
    fn verify<'a>(&'a self, apex: &'a OwnerName, receipt: &'a str) -> BoxFuture<'a, Result<(), PublishError>> {
        let _ = (apex, receipt);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Changes that others make, as they happen, where the system tells. The stream ends when it cannot go on; the
    /// loop then reads the zone and asks for a new one.
    fn changes<'a>(&'a self, apex: &'a OwnerName) -> Option<BoxStream<'a, Result<Drift, PublishError>>> {
        let _ = apex;
        None
    }
}

/// What a system can hold.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own, and none follows from another")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Types of RRsets.
    pub types: BTreeSet<RecordType>,
    /// Stands for the addresses of another name at any name (Route 53 ALIAS); for reports alone.
    pub alias: bool,
    /// Several sets of one name and type, told apart by an identifier; for reports alone.
    pub identifiers: bool,
    /// Names whose first label is `*`.
    pub wildcard: bool,
    /// The NS of the apex. Where not, they are the system's own and are never planned.
    pub apex_ns: bool,
    /// The SOA of the apex; as with NS. A publisher without it costs no write for a serial that moved.
    pub soa: bool,
    /// Other types at the apex.
    pub apex: bool,
    /// Largest number of groups that one call of [`Publisher::apply`] is given.
    pub max_groups: usize,
    /// Most records of one group; none without a limit of its own.
    pub max_records: Option<usize>,
}

/// Changes for one zone, in the order of the plan that they come from.
#[derive(Clone)]
pub struct Batch {
    /// The zone.
    pub apex: OwnerName,
    /// Who writes: what marks say.
    pub manager: ManagerId,
    /// The changes; each owner name at most once.
    pub changes: Vec<Change>,
    /// Whether this program may still write.
    pub leadership: Arc<dyn Leadership>,
}

/// Whether this program is the one that writes.
pub trait Leadership: Send + Sync {
    /// True if it is now. A lock with a time limit compares it with a clock that does not jump, so that a program that
    /// was frozen says no when it wakes up.
    fn holds(&self) -> bool;

    /// Waits until [`Leadership::holds`] says this.
    fn until(&self, holds: bool) -> BoxFuture<'_, ()>;
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// One for each change, by owner name. What is missing counts as [`Outcome::Unknown`].
    pub outcomes: BTreeMap<OwnerName, Outcome>,
    /// What [`Publisher::verify`] needs to follow it; none where everything is in force already.
    pub receipt: Option<String>,
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Made; this stands there now, as a reading would say (none: nothing).
    Done(Option<Box<Standing>>),
    /// Not made; in the system's own words.
    Refused(String),
    /// Perhaps made; in the system's own words. The name is read again before the next change.
    Unknown(String),
    /// Certainly not made, and not tried: this came before. The loop goes on as the error says.
    Left(PublishError),
}

/// One name as read by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadName {
    /// This stands there (none: nothing, and no mark).
    Standing(Option<Box<Standing>>),
    /// Reading one name costs as much as reading the zone.
    Costly,
}

/// What others changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// This name; what it holds now is not told.
    Name(OwnerName),
    /// Something; the zone must be read.
    Zone,
}

/// A name that a system cannot hold; says why, as a sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unpublishable(pub String);

impl Capabilities {
    /// A system for plain RRsets of these types, wildcards and the apex included, without SOA and NS of the apex.
    pub fn plain(types: impl IntoIterator<Item = RecordType>) -> Self {
        Self {
            types: types.into_iter().collect(),
            alias: false,
            identifiers: false,
            wildcard: true,
            apex_ns: false,
            soa: false,
            apex: true,
            max_groups: 1000,
            max_records: None,
        }
    }

    /// What of a name can be published there: none if nothing is left that is the publisher's business.
    ///
    /// # Errors
    ///
    /// The name holds something that should be there and cannot.
    pub fn fit(&self, mut wanted: WantedName) -> Result<Option<WantedName>, Unpublishable> {
        if wanted.is_apex() {
            wanted.rrsets.retain(|rrset| match rrset.record_type {
                RecordType::SOA => self.soa,
                RecordType::NS => self.apex_ns,
                _ => true,
            });
            let other = |record_type| !matches!(record_type, RecordType::SOA | RecordType::NS);
            if !self.apex && wanted.rrsets.iter().any(|rrset| other(rrset.record_type)) {
                return Err(Unpublishable("records at the apex of a zone are not possible there".to_owned()));
            }
        }
        if wanted.rrsets.is_empty() {
            return Ok(None);
        }
        if wanted.owner.is_wildcard() && !self.wildcard {
            return Err(Unpublishable("wildcards are not possible there".to_owned()));
        }
        if let Some(rrset) = wanted.rrsets.iter().find(|rrset| !self.types.contains(&rrset.record_type)) {
            return Err(Unpublishable(format!("type {} is not possible there", rrset.record_type)));
        }
        let records: usize = wanted.rrsets.iter().map(|rrset| rrset.data().len()).sum();
        if let Some(most) = self.max_records.filter(|&most| records > most) {
            return Err(Unpublishable(format!("it has {records} records, and {most} are possible")));
        }
        Ok(Some(wanted))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("apex", &self.apex).field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Leadership for watch::Receiver<bool> {
    fn holds(&self) -> bool {
        *self.borrow()
    }

    fn until(&self, holds: bool) -> BoxFuture<'_, ()> {
        let mut receiver = self.clone();
        Box::pin(async move {
            if receiver.wait_for(|now| *now == holds).await.is_err() {
                // Nobody is left who could say something else.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl ApplyReport {
    /// Everything was done, and this stands there now.
    pub fn all_done(batch: &Batch, standing: impl Fn(&Change) -> Option<Standing>) -> Self {
        let done = |change: &Change| (change.owner().clone(), Outcome::Done(standing(change).map(Box::new)));
        Self { outcomes: batch.changes.iter().map(done).collect(), receipt: None }
    }
}
