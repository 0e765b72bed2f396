//! The thread that writes, and the queue in front of it.
//!
//! The queue holds one state per key, so a burst of changes of one object is one line, and it can never hold
//! more than there are objects. Who puts something in never waits for a disk. What is put in is on disk (and
//! synced) within a second while the disk works; while it does not, it stays in the queue and is tried again
//! after 1, 2, 4 … 60 seconds.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io, mem,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mcdns_core::model::{Object, ObjectKey, Observation};

use crate::{
    Change, Published, StateStatus, lock,
    observations::{self, CHECKPOINT, JOURNAL, ObservationFiles},
    segments::Segments,
    status::{Area, StatusBoard, now},
};

/// How long a change waits for others, so that a burst costs one sync. With the sync it stays below the second
/// that may be lost.
const GATHER: Duration = Duration::from_millis(200);
/// Objects that may wait while the disk fails; the estimate is 200 octets each for those that are gone.
const MAX_WAITING: usize = 1 << 20;
/// Changes of names that may wait while the disk fails.
const MAX_WAITING_CHANGES: usize = 50_000;
/// Differences of zones that may wait while the disk fails: as many as are worth keeping.
const MAX_WAITING_DIFFERENCES: usize = 1000;
/// Octets that are handed to the disk at once.
const CHUNK: usize = 256 << 10;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something was put in, or is to be done.
    wake: Condvar,
    /// Something was written, or failed to be.
    tried: Condvar,
    /// Ends the making of a checkpoint early.
    stop: AtomicBool,
    pub(crate) status: Arc<StatusBoard>,
}

#[derive(Debug, Default)]
struct Waiting {
    objects: HashMap<ObjectKey, Option<Arc<Object>>>,
    notes: BTreeMap<String, serde_json::Value>,
    changes: VecDeque<Arc<Change>>,
    differences: VecDeque<Arc<Published>>,
    /// When the first of them was put in.
    since: Option<Instant>,
    /// Counts what was ever put in, and up to where that is written.
    put_in: u64,
    written: u64,
    /// Attempts that failed.
    failures: u64,
    failing: bool,
    hurry: bool,
    stop: bool,
    checkpoint: Option<io::Result<u64>>,
    numbers: StateStatus,
}

/// What is written at once.
struct Batch {
    objects: HashMap<ObjectKey, Option<Arc<Object>>>,
    notes: BTreeMap<String, serde_json::Value>,
    changes: Vec<Arc<Change>>,
    differences: Vec<Arc<Published>>,
    up_to: u64,
}

/// What the writer does next.
enum Task {
    Write(Batch),
    Checkpoint(io::Result<u64>),
    Stop(Batch),
}

impl Queue {
    pub(crate) fn new(status: Arc<StatusBoard>) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            tried: Condvar::new(),
            stop: AtomicBool::new(false),
            status,
        }
    }

    pub(crate) fn push_observations(&self, observations: &[Observation]) {
        self.push(observations.len(), |waiting| {
            for Observation { key, object } in observations {
                if waiting.failing && waiting.objects.len() >= MAX_WAITING && !waiting.objects.contains_key(key) {
                    waiting.numbers.dropped += 1;
                } else {
                    waiting.objects.insert(key.clone(), object.clone());
                }
            }
        });
    }

    pub(crate) fn push_note(&self, key: &str, value: serde_json::Value) {
        self.push(1, |waiting| {
            waiting.notes.insert(key.to_owned(), value);
        });
    }

    pub(crate) fn push_change(&self, change: Arc<Change>) {
        self.push(1, |waiting| {
            waiting.changes.push_back(change);
            waiting.bound_changes();
        });
    }

    pub(crate) fn push_difference(&self, published: Arc<Published>) {
        self.push(1, |waiting| {
            waiting.differences.push_back(published);
            waiting.bound_changes();
        });
    }

    /// Waits until everything put in before is on disk. False if an attempt fails or the time is over.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let mut waiting = self.lock();
        let (target, failures) = (waiting.put_in, waiting.failures);
        waiting.hurry = true;
        self.wake.notify_all();
        let over = |waiting: &mut Waiting| {
            waiting.written < target && waiting.failures == failures && !(waiting.stop && waiting.is_empty())
        };
        let (waiting, _) =
            self.tried.wait_timeout_while(waiting, timeout, over).unwrap_or_else(PoisonError::into_inner);
        waiting.written >= target
    }

    /// Has the writer write once more and end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.lock().stop = true;
        self.wake.notify_all();
    }

    pub(crate) fn status(&self) -> StateStatus {
        let mut status = {
            let waiting = self.lock();
            let count = waiting.objects.len() + waiting.notes.len() + waiting.changes.len() + waiting.differences.len();
            StateStatus { waiting: count, ..waiting.numbers.clone() }
        };
        status.problems = self.status.problems();
        status
    }

    fn push(&self, count: usize, put_in: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        if waiting.stop || count == 0 {
            return;
        }
        put_in(&mut waiting);
        waiting.put_in += count as u64;
        if waiting.since.is_none() {
            waiting.since = Some(Instant::now());
            self.wake.notify_all();
        }
    }

    /// The next thing to do: nothing is written before `retry`, and something even if nothing waits at `wake`.
    fn next_task(&self, retry: Option<Instant>, wake: Option<Instant>) -> Task {
        let mut waiting = self.lock();
        loop {
            if let Some(result) = waiting.checkpoint.take() {
                return Task::Checkpoint(result);
            }
            if waiting.stop {
                return Task::Stop(waiting.take());
            }
            let gathered = waiting.since.map(|since| since + GATHER);
            let due = retry.or_else(|| gathered.into_iter().chain(wake).min());
            let now = Instant::now();
            if mem::take(&mut waiting.hurry) || due.is_some_and(|due| due <= now) {
                return Task::Write(waiting.take());
            }
            let patience = due.map_or(Duration::from_hours(1), |due| due.saturating_duration_since(now));
            waiting = self.wake.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every update leaves the queue whole, so another thread's panic does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.notes.is_empty() && self.changes.is_empty() && self.differences.is_empty()
    }

    fn take(&mut self) -> Batch {
        self.since = None;
        Batch {
            objects: mem::take(&mut self.objects),
            notes: mem::take(&mut self.notes),
            changes: mem::take(&mut self.changes).into(),
            differences: mem::take(&mut self.differences).into(),
            up_to: self.put_in,
        }
    }

    /// Takes back what could not be written; what came since is newer and stays.
    fn put_back(&mut self, batch: Batch) {
        for (key, object) in batch.objects {
            self.objects.entry(key).or_insert(object);
        }
        for (key, value) in batch.notes {
            self.notes.entry(key).or_insert(value);
        }
        let newer = mem::replace(&mut self.changes, batch.changes.into());
        self.changes.extend(newer);
        let newer = mem::replace(&mut self.differences, batch.differences.into());
        self.differences.extend(newer);
        self.bound_changes();
        if !self.is_empty() {
            self.since = Some(Instant::now());
        }
    }

    fn bound_changes(&mut self) {
        while self.changes.len() > MAX_WAITING_CHANGES {
            self.changes.pop_front();
            self.numbers.dropped += 1;
        }
        // The oldest ones cost least: older secondaries get the whole zone.
        while self.differences.len() > MAX_WAITING_DIFFERENCES {
            self.differences.pop_front();
        }
    }
}

/// The writing side: owns the files.
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) directory: PathBuf,
    pub(crate) files: ObservationFiles,
    pub(crate) segments: Segments<Change>,
    pub(crate) differences: Segments<Published>,
    /// Held as long as the state directory is in use.
    pub(crate) lock: Arc<Mutex<Option<File>>>,
    pub(crate) checkpointing: Option<JoinHandle<()>>,
    pub(crate) checkpoint_retry: Option<(Instant, Duration)>,
}

impl Writer {
    /// Writes until the queue stops.
    pub(crate) fn run(mut self) {
        let mut retry = None;
        let mut delay = FIRST_RETRY;
        // An empty write shows at once whether the disk takes anything.
        let mut task = Task::Write(self.queue.lock().take());
        loop {
            let stopping = matches!(task, Task::Stop(_));
            match task {
                Task::Checkpoint(result) => self.finish_checkpoint(result),
                Task::Write(batch) | Task::Stop(batch) => {
                    if self.write(batch) {
                        (retry, delay) = (None, FIRST_RETRY);
                    } else {
                        retry = Some(Instant::now() + delay);
                        delay = (delay * 2).min(LAST_RETRY);
                    }
                }
            }
            if stopping {
                break;
            }
            self.start_checkpoint();
            let wake = self.checkpoint_retry.map(|(at, _)| at).filter(|_| self.checkpointing.is_none());
            task = self.queue.next_task(retry, wake);
        }
        if let Some(thread) = self.checkpointing.take() {
            // Told to stop; what it leaves behind is cleared away at the next start.
            let _ = thread.join();
        }
    }

    /// True if all of it is on disk; otherwise the rest is back in the queue.
    fn write(&mut self, mut batch: Batch) -> bool {
        let journal = self.write_journal(&batch);
        self.report(Area::Journal, JOURNAL, journal.as_ref().err());
        if journal.is_ok() {
            batch.objects = HashMap::new();
            batch.notes = BTreeMap::new();
        }
        let history = self.segments.append(&batch.changes);
        self.report(Area::History, "history", history.as_ref().err());
        if history.is_ok() {
            batch.changes = Vec::new();
        }
        let differences = self.differences.append(&batch.differences);
        self.report(Area::Differences, "differences", differences.as_ref().err());
        if differences.is_ok() {
            batch.differences = Vec::new();
        }
        let good = journal.is_ok() && history.is_ok() && differences.is_ok();
        let mut waiting = self.queue.lock();
        (waiting.numbers.checkpoint_length, waiting.numbers.journal_length) = self.files.lengths();
        waiting.failing = !good;
        if good {
            waiting.written = batch.up_to;
            waiting.numbers.written_at = Some(now()).filter(|_| batch.up_to > 0);
        } else {
            waiting.failures += 1;
            waiting.put_back(batch);
        }
        self.queue.tried.notify_all();
        good
    }

    fn write_journal(&mut self, batch: &Batch) -> io::Result<()> {
        if self.files.prepare()? {
            tracing::warn!(directory = %self.directory.display(), "the state directory was deleted and is written anew");
            if let Ok(lock) = lock::acquire(&self.directory) {
                *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
            }
        }
        if batch.objects.is_empty() && batch.notes.is_empty() {
            return Ok(());
        }
        let before = self.files.lengths().1;
        let written = self.append_all(batch).and_then(|()| self.files.sync());
        if written.is_err() {
            self.files.roll_back(before);
        }
        written
    }

    fn append_all(&mut self, batch: &Batch) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(CHUNK);
        for (key, object) in &batch.objects {
            observations::push_observation(&mut buffer, key, object.as_deref())?;
            if buffer.len() > CHUNK {
                self.files.append(&buffer)?;
                buffer.clear();
            }
        }
        for (key, value) in &batch.notes {
            observations::push_note(&mut buffer, key, value)?;
        }
        self.files.append(&buffer)
    }

    /// Starts the making of a checkpoint where it is due.
    fn start_checkpoint(&mut self) {
        let too_early = self.checkpoint_retry.is_some_and(|(at, _)| Instant::now() < at);
        if self.checkpointing.is_some() || too_early || !self.files.wants_checkpoint() {
            return;
        }
        let started = self.files.rotate().and_then(|job| {
            let queue = self.queue.clone();
            thread::Builder::new().name("mcdns-checkpoint".to_owned()).spawn(move || {
                let result = job.run(&queue.stop);
                queue.lock().checkpoint = Some(result);
                queue.wake.notify_all();
            })
        });
        match started {
            Ok(thread) => self.checkpointing = Some(thread),
            Err(error) => self.checkpoint_failed(&error),
        }
    }

    fn finish_checkpoint(&mut self, result: io::Result<u64>) {
        if let Some(thread) = self.checkpointing.take() {
            let _ = thread.join();
        }
        match result.and_then(|length| self.files.adopt_checkpoint(length)) {
            Ok(()) => {
                self.checkpoint_retry = None;
                self.queue.status.works(Area::Checkpoint);
                let mut waiting = self.queue.lock();
                waiting.numbers.checkpoints += 1;
                (waiting.numbers.checkpoint_length, waiting.numbers.journal_length) = self.files.lengths();
            }
            Err(error) => self.checkpoint_failed(&error),
        }
    }

    fn checkpoint_failed(&mut self, error: &io::Error) {
        let delay = self.checkpoint_retry.map_or(FIRST_RETRY, |(_, delay)| (delay * 2).min(LAST_RETRY));
        self.checkpoint_retry = Some((Instant::now() + delay, delay));
        self.report(Area::Checkpoint, CHECKPOINT, Some(error));
    }

    fn report(&self, area: Area, name: &str, error: Option<&io::Error>) {
        match error {
            Some(error) => self.queue.status.fails(area, &self.directory.join(name), error),
            None => self.queue.status.works(area),
        }
    }
}
