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
//! makes the task wait and never ends it. Zones of one publisher are read one after the other, and while one is read the
//! names that change in it are published: a reading of 10,000 names takes long enough to be noticed.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture};
use mcdns_core::{dns::OwnerName, model::Timestamp, plan::CurrentZone};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tracing::{Instrument, info, warn};

use crate::{
    Drift, PublishError, PublishedZone, Publisher, Retry, Reviewed, Scope, Step, WantedSource, ZoneHandle, ZoneReport,
    inbox::{Ends, Inbox, Informed, Pending},
};

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

/// Why a name is looked at again.
const RETRY: &str = "a refused change is tried again";
/// Why a name is looked at that a watch told of.
const DRIFT: &str = "somebody else changed it";

/// Starts the task of a zone. `comparing` has one permit for each zone that may be read at a time in the publisher.
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
        unsure: 0,
        not_before: None,
        next_comparison: None,
        stale: true,
        reading: None,
        read: None,
        offer: None,
        is_compared: false,
        rounds: 0,
    };
    let span = tracing::debug_span!("publish", publisher = driver.zone.publisher().name(), zone = %driver.zone.apex());
    let task = tokio::spawn(driver.run().instrument(span));
    ZoneHandle { inbox, report, _task: Arc::new(Ends(task)) }
}

struct Driver {
    zone: PublishedZone,
    source: Arc<Informed>,
    comparing: Arc<Semaphore>,
    timing: Timing,
    inbox: Arc<Inbox>,
    told: watch::Sender<ZoneReport>,
    began: Instant,
    /// Errors in a row.
    failures: u32,
    /// Steps in a row after which it is not sure that everything was done.
    unsure: u32,
    not_before: Option<Instant>,
    next_comparison: Option<Instant>,
    /// The whole zone is to be compared as soon as possible.
    stale: bool,
    /// The next part of a comparison: its turn, then what stands there.
    reading: Option<BoxFuture<'static, Reading>>,
    /// What was read and not looked at yet.
    read: Option<Result<CurrentZone, PublishError>>,
    /// The checksum that stands as let pass.
    offer: Option<String>,
    /// The zone was compared since this program writes.
    is_compared: bool,
    rounds: u64,
}

/// How far a comparison is.
enum Reading {
    /// It is the turn of this zone.
    Turn(Option<OwnedSemaphorePermit>),
    /// The zone was read.
    Done(Result<CurrentZone, PublishError>),
}

/// What woke the task.
enum Woken {
    Inbox,
    Time,
    Leadership,
    Reading(Reading),
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
                self.read_anew();
                self.is_compared = false;
                if let Some(checksum) = &self.offer {
                    // Another may use it meanwhile.
                    self.zone.withdraw(checksum);
                }
                (self.failures, self.unsure, self.not_before) = (0, 0, None);
                drift = None;
                self.told.send_modify(|report| report.leading = leads);
            }
            if !leads {
                // Whoever writes compares everything first.
                self.inbox.lock().drop_changes();
            }
            self.answer(leads).await;
            if leads && self.not_before.is_none_or(|time| time <= Instant::now()) {
                if drift.is_none() {
                    // Before the reading, so that nothing falls between the two.
                    drift = publisher.changes(&apex);
                }
                match self.read.take() {
                    Some(read) => self.compare(read).await,
                    None => self.step().await,
                }
            }
            let wake = if leads { self.next_wake() } else { None };
            let woken = tokio::select! {
                () = self.inbox.filled.notified() => Woken::Inbox,
                () = sleep_until(wake) => Woken::Time,
                () = leadership.until(!leads) => Woken::Leadership,
                reading = finished(&mut self.reading) => Woken::Reading(reading),
                event = next(&mut drift) => Woken::Drift(event),
            };
            match woken {
                Woken::Drift(Some(Ok(Drift::Name(owner)))) => {
                    self.zone.doubt(owner.clone());
                    self.inbox.lock().again.insert(owner, DRIFT);
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
                Woken::Reading(Reading::Turn(permit)) => {
                    let reading = self.zone.begin_reading();
                    // A task of its own: what it waits for, and what it holds, must not wait for a step.
                    let reading = async move { (reading.await, drop(permit)).0 };
                    let task = Ends(tokio::spawn(reading.in_current_span()));
                    self.reading = Some(Box::pin(done(task)));
                }
                Woken::Reading(Reading::Done(read)) => {
                    self.reading = None;
                    self.read = Some(read);
                }
                Woken::Inbox | Woken::Time | Woken::Leadership => {}
            }
        }
    }

    /// Answers those who ask for plans.
    async fn answer(&mut self, leads: bool) {
        let (previews, reviews, releases, offer) = {
            let mut pending = self.inbox.lock();
            let Pending { previews, reviews, releases, offer, .. } = &mut *pending;
            (std::mem::take(previews), std::mem::take(reviews), std::mem::take(releases), offer.clone())
        };
        self.take_offer(offer);
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

    /// Notes what stands as let pass.
    fn take_offer(&mut self, offer: Option<String>) {
        if offer == self.offer {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.offer, offer) {
            self.zone.withdraw(&before);
        }
        let Some(checksum) = self.offer.as_deref().filter(|_| self.is_compared) else { return };
        self.zone.release(checksum);
        self.stale |= self.zone.last_plan().held.iter().any(|held| held.checksum == *checksum);
    }

    /// Does what is due for single names, and begins a comparison if one is.
    async fn step(&mut self) {
        let now = self.now();
        let mut looked_at = self.take_names();
        self.stale |= std::mem::take(&mut self.inbox.lock().zone);
        let unread = self.zone.needs_reading();
        if !unread {
            let due = self.zone.due(now);
            self.zone.fill_causes(due.iter().map(|owner| (owner.clone(), RETRY.into())));
            looked_at.extend(due);
        }
        self.stale |= self.next_comparison.is_some_and(|time| time <= Instant::now());
        if self.reading.is_none() && (self.stale || unread) {
            self.begin_comparison();
        }
        // The comparison looks at the others too.
        looked_at.retain(|owner| self.zone.is_known(owner));
        let pending = looked_at.len() + usize::from(self.is_comparing());
        self.told.send_if_modified(|report| std::mem::replace(&mut report.pending, pending) != pending);
        if !looked_at.is_empty() {
            let step = self.zone.converge(&*self.source, Scope::Names(looked_at), now).await;
            self.settle(step);
        }
    }

    /// Empties the inbox of names, and notes why they are looked at.
    fn take_names(&mut self) -> BTreeSet<OwnerName> {
        let (names, again) = {
            let mut pending = self.inbox.lock();
            (std::mem::take(&mut pending.names), std::mem::take(&mut pending.again))
        };
        let looked_at = names.keys().chain(again.keys()).cloned().collect();
        self.zone.note_causes(names);
        self.zone.fill_causes(again.into_iter().map(|(owner, why)| (owner, why.into())));
        looked_at
    }

    fn begin_comparison(&mut self) {
        self.stale = false;
        self.next_comparison = None;
        let turn = self.comparing.clone().acquire_owned();
        // The semaphore is never closed.
        self.reading = Some(Box::pin(async move { Reading::Turn(turn.await.ok()) }));
    }

    /// Compares the zone as it was read with what is wanted.
    async fn compare(&mut self, read: Result<CurrentZone, PublishError>) {
        // Whatever is asked for by now is part of it.
        self.take_names();
        let offer = self.offer.clone().filter(|_| !self.is_compared);
        if let Some(checksum) = &offer {
            self.zone.release(checksum);
        }
        let step = self.zone.compare(&*self.source, read, self.now()).await;
        if let Some(checksum) = &offer {
            self.zone.withdraw(checksum);
        }
        if step.error.is_none() {
            self.is_compared = true;
            self.rounds += 1;
            self.next_comparison = Some(Instant::now() + self.jittered());
            self.told.send_modify(|report| report.comparisons += 1);
        } else {
            self.stale = true;
        }
        self.settle(step);
    }

    /// Nothing is known any more: somebody else may write now, or did.
    fn read_anew(&mut self) {
        self.zone.forget();
        (self.reading, self.read) = (None, None);
        self.stale = true;
    }

    fn is_comparing(&self) -> bool {
        self.stale || self.reading.is_some() || self.read.is_some()
    }

    /// Takes in how a step ended.
    fn settle(&mut self, step: Step) {
        let (done, calls) = (step.done as u64, step.calls as u64);
        match &step.error {
            None => {
                self.failures = 0;
                if step.again.is_empty() {
                    (self.unsure, self.not_before) = (0, None);
                } else {
                    self.wait(doubled(self.timing.first_wait, self.unsure).min(self.timing.last_wait));
                    self.unsure = self.unsure.saturating_add(1);
                }
                self.told.send_modify(|report| (report.last_error, report.last_error_kind) = (None, None));
            }
            Some(error) => {
                if *error == PublishError::NotLeader {
                    self.read_anew();
                }
                self.failed(error);
            }
        }
        // What was not brought about is looked at again.
        self.inbox.lock().again.extend(step.again.into_iter().map(|owner| (owner, RETRY)));
        let (publisher, zone) = (self.zone.publisher().name(), self.zone.apex());
        if done > 0 {
            info!(publisher, %zone, changes = done, calls, "published");
        }
        for receipt in step.receipts {
            let (publisher, zone, inbox) = (self.zone.publisher().clone(), zone.clone(), self.inbox.clone());
            tokio::spawn(verify(publisher, zone, receipt, inbox));
        }
        let now = self.now();
        let pending = self.inbox.lock().waiting() + usize::from(self.is_comparing());
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
        let unread = self.zone.needs_reading();
        let retry = self.zone.next_retry().filter(|_| !unread).map(|time| {
            let since = u64::try_from(time.0).unwrap_or_default();
            self.began + Duration::from_millis(since)
        });
        let begins = self.reading.is_none() && (self.stale || unread);
        let waiting = begins || self.read.is_some() || self.inbox.lock().waiting() > 0;
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

async fn verify(publisher: Arc<dyn Publisher>, zone: OwnerName, receipt: String, inbox: Arc<Inbox>) {
    if let Err(error) = publisher.verify(&zone, &receipt).await {
        warn!(publisher = publisher.name(), %zone, kind = error.kind(), %error, "what was published is not in force");
        inbox.fill(|pending| pending.zone = true);
    }
}

/// The wait after so many that were not enough.
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16))
}

async fn done(mut task: Ends<Result<CurrentZone, PublishError>>) -> Reading {
    let ended = |_| Err(PublishError::Unavailable { words: "the reading has ended without a result".to_owned() });
    Reading::Done((&mut task.0).await.unwrap_or_else(ended))
}

async fn finished(reading: &mut Option<BoxFuture<'static, Reading>>) -> Reading {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
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
