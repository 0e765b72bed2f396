//! The task behind each zone of each publisher: what happens when.
//!
//! ```text
//!   a name changed ──► at once            ┐
//!   every 10 min, jittered ──► whole zone ├─ one step at a time, while this program has the lock
//!   refused name's wait is over           │
//!   somebody else wrote (watch)           ┘
//! ```
//!
//! Names that change while a step runs are gathered and looked at in the next, as they are then: newest wins. An error
//! makes the task wait and never ends it. Comparisons of whole zones of one publisher run one after the other.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{Plan, WantedName},
    records::ChangedNames,
};
use tokio::{
    sync::{Notify, Semaphore, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{Instrument, info, warn};

use crate::{Drift, PublishError, PublishedZone, Publisher, Retry, Scope, Step, WantedSource, ZoneReport};

/// How often and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between comparisons of a whole zone, a tenth more or less.
    pub compare_every: Duration,
    /// First wait after an error that passes by itself.
    pub first_wait: Duration,
    /// First wait after an error that needs a person.
    pub slow_wait: Duration,
    /// Longest wait.
    pub last_wait: Duration,
}

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
    inbox: Arc<Inbox>,
    report: watch::Receiver<ZoneReport>,
    _task: Arc<Ends>,
}

/// Ends the task with the last handle.
#[derive(Debug)]
struct Ends(JoinHandle<()>);

#[derive(Debug, Default)]
struct Inbox {
    pending: Mutex<Pending>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    zone: bool,
    names: BTreeMap<OwnerName, Arc<str>>,
    releases: Vec<String>,
    previews: Vec<oneshot::Sender<Result<Plan, PublishError>>>,
    reviews: Vec<(String, bool, oneshot::Sender<Reviewed>)>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            compare_every: Duration::from_mins(10),
            first_wait: Duration::from_secs(1),
            slow_wait: Duration::from_secs(30),
            last_wait: Duration::from_mins(10),
        }
    }
}

/// Starts the task of a zone. `comparing` has one permit for each comparison that may run at a time in the publisher.
pub fn start(
    zone: PublishedZone,
    source: Arc<dyn WantedSource>,
    comparing: Arc<Semaphore>,
    timing: Timing,
) -> ZoneHandle {
    let inbox = Arc::new(Inbox::default());
    let source = Arc::new(Informed { source, inbox: inbox.clone() });
    let (told, report) = watch::channel(ZoneReport::new(&zone));
    let driver = Driver {
        zone,
        source,
        comparing,
        timing,
        inbox: inbox.clone(),
        told,
        began: Instant::now(),
        failures: 0,
        not_before: None,
        next_comparison: None,
        stale: true,
        rounds: 0,
    };
    let span = tracing::debug_span!("publish", publisher = driver.zone.publisher().name(), zone = %driver.zone.apex());
    let task = tokio::spawn(driver.run().instrument(span));
    ZoneHandle { inbox, report, _task: Arc::new(Ends(task)) }
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
struct Informed {
    source: Arc<dyn WantedSource>,
    inbox: Arc<Inbox>,
}

struct Driver {
    zone: PublishedZone,
    source: Arc<Informed>,
    comparing: Arc<Semaphore>,
    timing: Timing,
    inbox: Arc<Inbox>,
    told: watch::Sender<ZoneReport>,
    began: Instant,
    failures: u32,
    not_before: Option<Instant>,
    next_comparison: Option<Instant>,
    /// The whole zone is to be compared as soon as possible.
    stale: bool,
    rounds: u64,
}

/// What woke the task.
enum Woken {
    Inbox,
    Time,
    Leadership,
    Drift(Option<Result<Drift, PublishError>>),
}

impl Driver {
    async fn run(mut self) {
        let (publisher, apex) = (self.zone.publisher().clone(), self.zone.apex().clone());
        let leadership = self.zone.leadership().clone();
        let mut drift = None;
        let mut led = false;
        loop {
            let leads = leadership.holds();
            if leads != led {
                led = leads;
                self.zone.forget();
                self.stale = true;
                (self.failures, self.not_before) = (0, None);
                drift = None;
                self.told.send_modify(|report| report.leading = leads);
            }
            self.answer(leads).await;
            if leads && self.not_before.is_none_or(|time| time <= Instant::now()) {
                if drift.is_none() {
                    // Before the reading, so that nothing falls between the two.
                    drift = publisher.changes(&apex);
                }
                self.step().await;
            }
            let wake = if leads { self.next_wake() } else { None };
            let woken = tokio::select! {
                () = self.inbox.filled.notified() => Woken::Inbox,
                () = sleep_until(wake) => Woken::Time,
                () = leadership.until(!leads) => Woken::Leadership,
                event = next(&mut drift) => Woken::Drift(event),
            };
            match woken {
                Woken::Drift(Some(Ok(Drift::Name(owner)))) => {
                    self.zone.doubt(owner.clone());
                    let cause: Arc<str> = "somebody else changed it".into();
                    self.inbox.lock().names.insert(owner, cause);
                }
                Woken::Drift(Some(Ok(Drift::Zone))) => self.stale = true,
                Woken::Drift(end) => {
                    // The stream cannot go on, so that something may be missed: compare, then watch anew.
                    drift = None;
                    self.stale = true;
                    if let Some(Err(error)) = end {
                        self.failed(&error);
                    } else {
                        self.wait(self.timing.first_wait);
                    }
                }
                Woken::Inbox | Woken::Time | Woken::Leadership => {}
            }
        }
    }

    /// Answers those who ask for plans.
    async fn answer(&mut self, leads: bool) {
        let (previews, reviews, releases) = {
            let mut pending = self.inbox.lock();
            let Pending { previews, reviews, releases, .. } = &mut *pending;
            (std::mem::take(previews), std::mem::take(reviews), std::mem::take(releases))
        };
        for checksum in releases {
            self.zone.release(&checksum);
        }
        if !previews.is_empty() {
            let plan = self.zone.preview(&*self.source, self.now()).await;
            for asker in previews {
                // Whoever asked may have gone.
                let _ = asker.send(plan.clone());
            }
        }
        for (checksum, force, asker) in reviews {
            let answer = if leads {
                let now = self.now();
                match self.zone.apply_reviewed(&*self.source, &checksum, force, now).await {
                    Ok(Some(step)) => {
                        self.settle(step.clone());
                        Reviewed::Applied(step)
                    }
                    Ok(None) => Reviewed::Outdated,
                    Err(error) => Reviewed::Failed(error),
                }
            } else {
                Reviewed::Failed(PublishError::NotLeader)
            };
            let _ = asker.send(answer);
        }
    }

    /// Does what is due, if anything is.
    async fn step(&mut self) {
        let now = self.now();
        let mut names = {
            let mut pending = self.inbox.lock();
            self.stale |= std::mem::take(&mut pending.zone);
            std::mem::take(&mut pending.names)
        };
        let cause: Arc<str> = "a refused change is tried again".into();
        for owner in self.zone.due(now) {
            names.entry(owner).or_insert_with(|| cause.clone());
        }
        self.stale |= self.next_comparison.is_some_and(|time| time <= Instant::now());
        if !self.stale && names.is_empty() {
            return;
        }
        for (name, cause) in &names {
            self.zone.note_cause([name.clone()], cause);
        }
        let looked_at: BTreeSet<OwnerName> = names.keys().cloned().collect();
        let scope = if self.stale { Scope::Zone } else { Scope::Names(looked_at.clone()) };
        let whole = self.stale;
        self.told.send_modify(|report| report.pending = names.len() + usize::from(whole));
        let comparing = self.comparing.clone();
        // The semaphore is never closed.
        let _permit = if whole { comparing.acquire().await.ok() } else { None };
        let step = self.zone.converge(&*self.source, scope, now).await;
        if step.error.is_none() && whole {
            self.stale = false;
            self.rounds += 1;
            self.next_comparison = Some(Instant::now() + self.jittered());
            self.told.send_modify(|report| report.comparisons += 1);
        }
        if step.error.is_some() {
            // What was looked at and not brought about is looked at again; newer causes stay.
            let mut pending = self.inbox.lock();
            for name in step.again.iter().chain(if whole { None } else { Some(&looked_at) }.into_iter().flatten()) {
                let cause = names.get(name).cloned().unwrap_or_else(|| cause.clone());
                pending.names.entry(name.clone()).or_insert(cause);
            }
        } else if !step.again.is_empty() {
            let mut pending = self.inbox.lock();
            for name in &step.again {
                pending.names.entry(name.clone()).or_insert_with(|| cause.clone());
            }
            drop(pending);
            self.wait(self.timing.first_wait);
        }
        self.settle(step);
    }

    /// Takes in how a step ended.
    fn settle(&mut self, step: Step) {
        let (done, calls) = (step.done as u64, step.calls as u64);
        match &step.error {
            None => {
                self.failures = 0;
                if step.again.is_empty() {
                    self.not_before = None;
                }
                self.told.send_modify(|report| (report.last_error, report.last_error_kind) = (None, None));
            }
            Some(error) => self.failed(error),
        }
        let (publisher, zone) = (self.zone.publisher().name(), self.zone.apex());
        if done > 0 {
            info!(publisher, %zone, changes = done, calls, "published");
        }
        for receipt in step.receipts {
            let (publisher, zone, inbox) = (self.zone.publisher().clone(), zone.clone(), self.inbox.clone());
            tokio::spawn(verify(publisher, zone, receipt, inbox));
        }
        let now = self.now();
        let pending = self.inbox.lock().names.len() + usize::from(self.stale);
        self.told.send_modify(|report| {
            report.changes += done;
            report.calls += calls;
            report.refresh(&self.zone, pending, now);
        });
    }

    /// Waits as the error says.
    fn failed(&mut self, error: &PublishError) {
        /// So often a conflict is tried again at once.
        const AT_ONCE: u32 = 3;
        let doubled = |first: Duration, times: u32| first.saturating_mul(1 << times.min(16));
        let wait = match error.retry() {
            Retry::Now if self.failures < AT_ONCE => Duration::ZERO,
            Retry::Now | Retry::Differently => doubled(self.timing.first_wait, self.failures),
            Retry::After(least) => doubled(self.timing.first_wait, self.failures).min(self.timing.last_wait).max(least),
            Retry::Slowly => doubled(self.timing.slow_wait, self.failures),
            Retry::WhenLeading => Duration::ZERO,
        };
        // A system that asks for more than our longest wait gets it.
        let longest = match error {
            PublishError::Throttled { after: Some(after), .. } => self.timing.last_wait.max(*after),
            _ => self.timing.last_wait,
        };
        self.failures = self.failures.saturating_add(1);
        self.wait(wait.min(longest));
        if matches!(error, PublishError::NotLeader) {
            return;
        }
        let (publisher, zone) = (self.zone.publisher().name(), self.zone.apex());
        warn!(publisher, %zone, kind = error.kind(), %error, wait = ?wait.min(longest), "publishing failed");
        self.told.send_modify(|report| {
            report.last_error = Some(error.to_string());
            report.last_error_kind = Some(error.kind());
            report.in_sync = false;
        });
    }

    fn wait(&mut self, wait: Duration) {
        self.not_before = Some(Instant::now() + wait);
    }

    /// When something is due; none if only an event can make it so.
    fn next_wake(&self) -> Option<Instant> {
        let retry = self.zone.next_retry().map(|time| {
            let since = u64::try_from(time.0).unwrap_or_default();
            self.began + Duration::from_millis(since)
        });
        let waiting = self.stale || !self.inbox.lock().names.is_empty();
        let work = if waiting { Some(self.not_before.unwrap_or_else(Instant::now)) } else { None };
        let earliest = [retry, self.next_comparison, work].into_iter().flatten().min()?;
        Some(self.not_before.map_or(earliest, |time| earliest.max(time)))
    }

    /// The time between comparisons, a tenth more or less, so that zones do not march in step.
    fn jittered(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.zone.publisher().name(), self.zone.apex(), self.rounds).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 201).unwrap_or_default();
        self.timing.compare_every * (900 + share) / 1000
    }

    /// Milliseconds since the start: a clock that does not jump.
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl WantedSource for Informed {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        self.source.wanted_names(apex)
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.source.wanted_name(apex, owner)
    }

    fn untold_causes(&self) -> BTreeMap<OwnerName, Arc<str>> {
        self.inbox.lock().names.clone()
    }
}

impl Inbox {
    fn fill(&self, fill: impl FnOnce(&mut Pending)) {
        fill(&mut self.lock());
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn verify(publisher: Arc<dyn Publisher>, zone: OwnerName, receipt: String, inbox: Arc<Inbox>) {
    if let Err(error) = publisher.verify(&zone, &receipt).await {
        warn!(publisher = publisher.name(), %zone, kind = error.kind(), %error, "what was published is not in force");
        inbox.fill(|pending| pending.zone = true);
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn next(
    stream: &mut Option<futures::stream::BoxStream<'_, Result<Drift, PublishError>>>,
) -> Option<Result<Drift, PublishError>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
