//! The way to the task of a zone, and what waits there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcdns_core::{
    dns::OwnerName,
    plan::{Plan, WantedName},
    records::ChangedNames,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};

use crate::{PublishError, Step, WantedSource, ZoneReport};

/// What became of a reviewed plan.
#[derive(Debug, Clone)]
pub enum Reviewed {
    /// Applied; what remains, if anything, is in the step.
    Applied(Step),
    /// The plan is another by now; nothing was changed.
    Outdated,
    /// The zone could not be read, or this program does not write it.
    Failed(PublishError),
}

/// The way to a zone's task. The task ends when the last handle is gone.
#[derive(Debug, Clone)]
pub struct ZoneHandle {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) report: watch::Receiver<ZoneReport>,
    pub(crate) _task: Arc<Ends<()>>,
}

/// Ends a task with the last that wants something of it.
#[derive(Debug)]
pub(crate) struct Ends<T>(pub(crate) JoinHandle<T>);

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pending: Mutex<Pending>,
    /// Something was put in.
    pub(crate) filled: Notify,
}

/// What waits to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The whole zone.
    pub(crate) zone: bool,
    /// Names that may be wanted otherwise, with what made them so.
    pub(crate) names: BTreeMap<OwnerName, Arc<str>>,
    /// Names that are looked at for another reason.
    pub(crate) again: BTreeMap<OwnerName, &'static str>,
    /// Checksums that pass, once.
    pub(crate) releases: Vec<String>,
    /// The checksum that stands as let pass; it stays here.
    pub(crate) offer: Option<String>,
    /// Those who ask for plans.
    pub(crate) previews: Vec<oneshot::Sender<Result<Plan, PublishError>>>,
    /// Those who ask for a plan to be applied: its checksum, and whether what is held is meant too.
    pub(crate) reviews: Vec<(String, bool, oneshot::Sender<Reviewed>)>,
}

impl ZoneHandle {
    /// These names may be wanted otherwise; with what made them so, in words that stay the same for one cause.
    pub fn changed(&self, names: &ChangedNames, cause: &Arc<str>) {
        self.inbox.fill(|pending| match names {
            ChangedNames::All => pending.zone = true,
            ChangedNames::Names(names) => {
                pending.names.extend(names.iter().map(|name| (name.clone(), cause.clone())));
            }
        });
    }

    /// Compares the whole zone soon.
    pub fn compare(&self) {
        self.inbox.fill(|pending| pending.zone = true);
    }

    /// Lets what is held with this checksum pass, once.
    pub fn release(&self, checksum: &str) {
        self.inbox.fill(|pending| {
            pending.releases.push(checksum.to_owned());
            pending.zone = true;
        });
    }

    /// The checksum that a person lets pass stands somewhere and is this now.
    ///
    /// One that is new counts until it was used. One that was there before this program wrote may be as old as it likes, and
    /// another may have used it: it counts for the first comparison alone.
    pub fn offer(&self, checksum: Option<&str>) {
        self.inbox.fill(|pending| pending.offer = checksum.map(ToOwned::to_owned));
    }

    /// The plan from a new reading; nothing is changed. Any replica can tell.
    ///
    /// # Errors
    ///
    /// The zone cannot be read.
    pub async fn preview(&self) -> Result<Plan, PublishError> {
        let (sender, answer) = oneshot::channel();
        self.inbox.fill(|pending| pending.previews.push(sender));
        answer.await.unwrap_or(Err(PublishError::Unavailable { words: "the task has ended".to_owned() }))
    }

    /// Applies exactly the plan with this checksum, with `force` what is held too.
    pub async fn apply_reviewed(&self, checksum: &str, force: bool) -> Reviewed {
        let (sender, answer) = oneshot::channel();
        self.inbox.fill(|pending| pending.reviews.push((checksum.to_owned(), force, sender)));
        answer.await.unwrap_or(Reviewed::Failed(PublishError::NotLeader))
    }

    /// How the zone stands, and when that changes.
    pub fn report(&self) -> watch::Receiver<ZoneReport> {
        self.report.clone()
    }
}

/// What is wanted, and what waits in the inbox to be told of it.
pub(crate) struct Informed {
    pub(crate) source: Arc<dyn WantedSource>,
    pub(crate) inbox: Arc<Inbox>,
}

impl WantedSource for Informed {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        self.source.wanted_names(apex)
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.source.wanted_name(apex, owner)
    }

    fn wanted_of(&self, apex: &OwnerName, owners: &BTreeSet<OwnerName>) -> Option<Vec<WantedName>> {
        self.source.wanted_of(apex, owners)
    }

    fn untold_causes(&self) -> BTreeMap<OwnerName, Arc<str>> {
        self.inbox.lock().names.clone()
    }
}

impl Pending {
    /// Lets go what only the program that writes has to look at.
    pub(crate) fn drop_changes(&mut self) {
        self.zone = false;
        self.names.clear();
        self.again.clear();
    }

    /// Names that wait.
    pub(crate) fn waiting(&self) -> usize {
        let more = self.again.keys().filter(|owner| !self.names.contains_key(*owner));
        self.names.len() + more.count()
    }
}

impl Inbox {
    pub(crate) fn fill(&self, fill: impl FnOnce(&mut Pending)) {
        fill(&mut self.lock());
        self.filled.notify_one();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
