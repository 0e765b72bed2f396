//! The loop: takes the mail in, starts jobs while this replica holds the lease, and sees how they end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, pending},
    stream::FuturesUnordered,
};
use kube::Client;
use mcdns_api::{StandingChange, StandingKind};
use mcdns_core::model::{ClusterName, NamespacedName, RecordKey};
use tokio::{sync::watch, time::Instant};
use tracing::Instrument;

use super::{
    Inbox, Mail, WriterOptions, WriterReport, cluster, domain,
    jobs::{Cluster, End, Shared, State},
    left,
    pace::Pace,
    queue::{Class, Queue},
    record,
};
use crate::{
    Desired, Leadership, Recorder,
    host::{ApiError, Host},
};

/// A report is made at most once in so long.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// First pause when the API server as a whole does not answer; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest of these pauses: after an outage, nothing waits longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many jobs end before others have their turn on the thread: a millisecond or so.
const JOBS_PER_YIELD: u64 = 16;
/// What is read from the host before anything is written, unless it takes too long.
const NEEDED: [StandingKind; 3] =
    [StandingKind::ServiceRecordStatus, StandingKind::IngressRecordStatus, StandingKind::Endpoint];

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    Cluster(ClusterName),
    Domain(NamespacedName),
    Record(RecordKey),
    /// DNSEndpoints in a group that is not wanted.
    Left(StandingKind),
}

pub(super) struct Run {
    shared: Arc<Shared>,
    queue: Queue<Task>,
    jobs: FuturesUnordered<BoxFuture<'static, (u64, Task, End)>>,
    /// Counts terms and the times between them. A job of an earlier one ends without a trace.
    term: u64,
    /// The term of the lease in which this replica writes.
    holds: Option<u64>,
    /// Nothing is started before that.
    opens: Instant,
    rechecks: Instant,
    /// The API server does not answer: one job at a time, and none before that.
    outage: Option<(Instant, Duration)>,
    stopping: bool,
}

impl Run {
    pub(super) fn new(
        client: Client,
        options: WriterOptions,
        desired: Arc<dyn Desired>,
        leadership: watch::Receiver<Leadership>,
        recorder: Recorder,
    ) -> Self {
        let pace = Pace::new(options.writes_per_second);
        let (host, state) = (Host::new(client), State::default().into());
        let shared = Arc::new(Shared { host, options, desired, leadership, recorder, pace, state });
        let now = Instant::now();
        Self {
            shared,
            queue: Queue::new(),
            jobs: FuturesUnordered::new(),
            term: 0,
            holds: None,
            opens: now,
            rechecks: now,
            outage: None,
            stopping: false,
        }
    }

    pub(super) async fn run(mut self, inbox: Arc<Inbox>, publish: watch::Sender<WriterReport>) {
        let mut leadership = self.shared.leadership.clone();
        let mut reported = Instant::now();
        let mut is_news = true;
        let mut nobody_tells = false;
        let mut ended = 0_u64;
        loop {
            // In this order: what was handed in for a term is not of the one before.
            let mail = inbox.take();
            is_news |= self.follow_leadership();
            is_news |= self.take(mail);
            if self.stopping && self.jobs.is_empty() {
                break;
            }
            is_news |= self.start_jobs();
            let now = Instant::now();
            let report_due = reported + REPORT_INTERVAL;
            if is_news && now >= report_due {
                publish.send_replace(self.report());
                (reported, is_news) = (now, false);
            }
            let wake = self.wakes().into_iter().chain(is_news.then_some(report_due)).min();
            tokio::select! {
                () = inbox.arrived.notified() => {}
                changed = leadership.changed(), if !nobody_tells => {
                    nobody_tells = changed.is_err();
                    // A renewal is no news.
                    is_news |= !matches!(*leadership.borrow(), Leadership::Holder { .. });
                }
                Some((term, task, end)) = self.jobs.next(), if !self.jobs.is_empty() => {
                    self.end(term, &task, end);
                    is_news = true;
                    ended += 1;
                    // Jobs that find nothing to write never wait, and there may be ten thousand of them.
                    if ended.is_multiple_of(JOBS_PER_YIELD) {
                        tokio::task::yield_now().await;
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
        publish.send_replace(self.report());
    }

    /// A term begins or ends, or was over for a moment in which nobody looked. True if so.
    fn follow_leadership(&mut self) -> bool {
        let holds = self.shared.leadership.borrow().epoch();
        if holds == self.holds {
            return false;
        }
        self.holds = holds;
        self.term += 1;
        self.queue.clear();
        self.outage = None;
        if holds.is_none() {
            return true;
        }
        let now = Instant::now();
        let mut state = self.shared.state();
        state.ledger.new_term();
        state.clusters.values_mut().for_each(|cluster| cluster.written = None);
        // What another replica has published since then is newer than what we wanted to.
        state.zones.clear();
        let knows = NEEDED.iter().all(|kind| state.ledger.is_complete(*kind));
        drop(state);
        self.opens = if knows { now } else { now + self.shared.options.patience };
        self.want_everything(Class::Status);
        true
    }

    fn want_everything(&mut self, class: Class) {
        let now = Instant::now();
        self.rechecks = now + self.shared.options.recheck;
        let records = self.shared.desired.record_keys();
        let state = self.shared.state();
        let left_behind: BTreeSet<RecordKey> = state.ledger.keys().filter_map(record::record_of).collect();
        let records = records.into_iter().chain(left_behind).map(Task::Record);
        // After everything else, since the rest comes first that is wanted in their place.
        let left = left::kinds(&self.shared.options.endpoint_groups).map(Task::Left);
        let clusters = state.clusters.keys().cloned().map(Task::Cluster);
        let zones: BTreeSet<&NamespacedName> = state.zones.keys().chain(state.domains.keys()).collect();
        let zones = zones.into_iter().cloned().map(Task::Domain);
        // Few, and others look at them.
        let few: Vec<Task> = clusters.chain(zones).collect();
        drop(state);
        for task in few {
            self.queue.add(task, Class::Answers, now);
        }
        for task in records.chain(left) {
            self.queue.add(task, class, now);
        }
    }

    /// True if there was something.
    fn take(&mut self, mail: Mail) -> bool {
        if mail.is_empty() {
            return false;
        }
        let Mail { touched, standings, complete, verdicts, held, published, domains, stop } = mail;
        let now = Instant::now();
        self.stopping |= stop;
        let shared = self.shared.clone();
        let mut state = shared.state();
        let mut wanted: Vec<(Task, Class)> = Vec::new();
        for (key, standing) in standings {
            if key.kind == StandingKind::ClusterStatus && standing.is_none() {
                state.clusters.remove(key.name.as_str());
            }
            let task = match key.kind {
                StandingKind::ClusterStatus => Some(Task::Cluster(key.name.as_str().into())),
                StandingKind::DomainAnnotations | StandingKind::DomainStatus => Some(Task::Domain(NamespacedName {
                    namespace: key.namespace.as_str().into(),
                    name: key.name.as_str().into(),
                })),
                _ => record::record_of(&key).map(Task::Record),
            };
            // The first batch tells what stands; later ones that somebody changed it.
            let class = if state.ledger.is_complete(key.kind) { Class::Answers } else { Class::Status };
            if let (Some(Task::Domain(domain)), None) = (&task, &standing) {
                state.zones.remove(domain);
            }
            if state.ledger.observe(StandingChange { key, standing }, now) {
                wanted.extend(task.map(|task| (task, class)));
            }
        }
        let completed = !complete.is_empty();
        for kind in complete {
            state.ledger.complete(kind);
        }
        for (name, verdict) in verdicts {
            let Some(verdict) = verdict else {
                // Somebody else says it from now on, and what we have said is not held against them.
                state.clusters.remove(&name);
                continue;
            };
            let refresh = shared.options.probe_refresh;
            let class = if let Some(cluster) = state.clusters.get_mut(&name) {
                cluster.take(verdict, refresh, now)
            } else {
                state.clusters.insert(name.clone(), Cluster { verdict, written: None });
                Some(Class::Answers)
            };
            wanted.extend(class.map(|class| (Task::Cluster(name), class)));
        }
        for (name, condition) in held {
            match condition {
                Some(condition) => state.held.insert(name.clone(), condition),
                None => state.held.remove(&name),
            };
            wanted.push((Task::Cluster(name), Class::Answers));
        }
        for (domain, conditions) in domains {
            match conditions {
                Some(conditions) => state.domains.insert(domain.clone(), conditions),
                None => state.domains.remove(&domain),
            };
            wanted.push((Task::Domain(domain), Class::Status));
        }
        for (domain, zone) in published {
            state.zones.insert(domain.clone(), zone);
            wanted.push((Task::Domain(domain), Class::Answers));
        }
        let knows = NEEDED.iter().all(|kind| state.ledger.is_complete(*kind));
        drop(state);
        // A follower only keeps what it needs for the day when it is the holder, and then looks at everything.
        if self.holds.is_none() {
            return true;
        }
        wanted.extend(touched.into_iter().map(|(key, class)| (Task::Record(key), class)));
        for (task, class) in wanted {
            self.queue.add(task, class, now);
        }
        if completed {
            if knows {
                self.opens = self.opens.min(now);
            }
            self.want_everything(Class::Status);
        }
        true
    }

    /// True if one was started.
    fn start_jobs(&mut self) -> bool {
        let now = Instant::now();
        if self.holds.is_none() || self.stopping || now < self.opens {
            return false;
        }
        if now >= self.rechecks {
            self.want_everything(Class::Status);
        }
        let room = match self.outage {
            Some((until, _)) if now < until => 0,
            Some(_) => 1,
            None => self.shared.options.in_flight.max(1),
        };
        let before = self.jobs.len();
        while self.jobs.len() < room
            && let Some(task) = self.queue.pop(now)
        {
            let (shared, term) = (self.shared.clone(), self.term);
            self.jobs.push(
                async move {
                    let span = tracing::debug_span!("write", ?task);
                    let bring = async {
                        match &task {
                            Task::Record(key) => record::bring(&shared, key).await,
                            Task::Cluster(name) => cluster::bring(&shared, name).await,
                            Task::Domain(domain) => domain::bring(&shared, domain).await,
                            Task::Left(kind) => left::bring(&shared, *kind).await,
                        }
                    };
                    let end = bring.instrument(span).await;
                    (term, task, end)
                }
                .boxed(),
            );
        }
        self.jobs.len() > before
    }

    fn end(&mut self, term: u64, task: &Task, end: End) {
        if term != self.term {
            return;
        }
        let now = Instant::now();
        match end {
            End::Done(rest) => {
                // A job that sent nothing says nothing about the server.
                if !rest.is_zero() && self.outage.take().is_some() {
                    self.queue.hurry(now);
                }
                self.queue.done(task, rest, now);
            }
            End::Later(pause) => self.queue.postpone(task, pause, now),
            // The term is over; the next one looks at everything.
            End::Failed(ApiError::NotHolder) => self.queue.retry(task, Duration::ZERO, now),
            End::Failed(error) => {
                if error.is_of_the_server() {
                    let longer = self.outage.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
                    let pause = longer.max(error.after().unwrap_or_default());
                    self.outage = Some((now + pause, longer));
                }
                self.queue.retry(task, End::pause(&error), now);
            }
        }
    }

    /// When there is something to do without being told.
    fn wakes(&self) -> Option<Instant> {
        if self.holds.is_none() || self.stopping {
            return None;
        }
        // The term may end without anybody saying so.
        let term = self.shared.leadership.borrow().may_write().map(|left| Instant::now() + left);
        let has_room = self.jobs.len() < self.shared.options.in_flight.max(1);
        let due = self.queue.due().filter(|_| has_room).map(|due| due.max(self.opens));
        let due = match self.outage {
            Some((until, _)) if self.jobs.is_empty() => due.map(|due| due.max(until)),
            Some(_) => None,
            None => due,
        };
        [term, due, Some(self.rechecks)].into_iter().flatten().min()
    }

    fn report(&self) -> WriterReport {
        let state = self.shared.state();
        WriterReport {
            leadership: self.shared.leadership.borrow().clone(),
            waiting: Class::ALL.map(|class| (class.label(), self.queue.waiting(class))),
            in_flight: self.jobs.len(),
            oldest: self.queue.oldest(),
            writes: state.writes.clone(),
            stopped: state.ledger.stopped().iter().cloned().collect(),
            problems: state.problems.clone(),
            events: self.shared.recorder.counts(),
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => pending().await,
    }
}
