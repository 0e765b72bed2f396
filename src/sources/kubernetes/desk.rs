//! Where everything that was read comes together, in the order in which it came.
//!
//! ```text
//!   watches, probes, Secrets ──► inbox ──► desk ──► pending (latest per object) ──► Batch
//!                                 bounded,  │
//!                                 in turn   └─ members start, change and end with their KubeFedClusters
//! ```
//!
//! The inbox is served in the order of asking, so a member that has much to say waits for its own turn. While nobody takes a
//! batch, what comes goes on to be taken and the latest state of each object stays: memory is bounded by the number
//! of objects, and a batch is never older than it must be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use mcdns_api::{Standing, StandingChange, StandingKey};
use mcdns_core::{
    health::{ProbeOutcome, Verdict},
    model::{ClusterName, Fact, HostWord, Kind, NodeFact, Object, ObjectKey, Observation, Scope, Timestamp},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};

use super::{
    Batch, Clients, Connect, HealthMode, Options, Report,
    host_status::Place,
    known::SecretSink,
    member::{Cluster, Common, Member, Start},
    member_spec::MemberSpec,
    now,
    report::Meter,
    resource,
    watch::{Link, Streaming, Watch},
};

mod inbox;
mod members;
mod reporting;

pub(super) use inbox::{From, Message, News, Sender};

/// Messages that wait at most. Each is a chunk of one watch, which waits with it.
const INBOX: usize = 256;
/// Messages taken before the next look at whether somebody takes a batch.
const AT_ONCE: usize = 512;
/// How long the first batch waits for members that do not answer.
const FIRST: Duration = Duration::from_secs(5);
/// The part of it that members have after the host has answered, however late.
const FIRST_MEMBERS: Duration = Duration::from_secs(2);
/// Observations are handed over at once, and after that what comes within so long together: a batch costs the same
/// whatever is in it, and a thousand changes a second are none too many.
const GATHER: Duration = Duration::from_millis(4);
/// How often written conditions are looked at for their age, and the report is made.
const TICK: Duration = Duration::from_secs(1);
/// After how many periods a written condition counts no more.
const FRESH_PERIODS: u32 = 3;
/// Who mcdns is when it writes.
const FIELD_MANAGER: &str = "mcdns";

/// The latest of everything that was not told yet.
#[derive(Default)]
struct Pending {
    observations: BTreeMap<ObjectKey, Option<Arc<Object>>>,
    standings: BTreeMap<StandingKey, Option<Standing>>,
    verdicts: BTreeMap<ClusterName, Option<Verdict>>,
    word: HostWord,
}

/// A KubeFedCluster as it is written.
struct Written {
    key: ObjectKey,
    object: Arc<Object>,
    /// The same with the health that counts, as it was told.
    told: Option<Arc<Object>>,
}

/// The desk and everything that it keeps.
pub(super) struct Desk {
    options: Options,
    common: Arc<Common>,
    clients: Clients,
    report: watch::Sender<Arc<Report>>,
    host: Cluster,
    members: BTreeMap<ClusterName, Member>,
    written: BTreeMap<ClusterName, Written>,
    /// Nodes of each member.
    nodes: BTreeMap<ClusterName, BTreeMap<Arc<str>, NodeFact>>,
    /// Where clusters are by the statuses of records, for a server that sees no member.
    places: BTreeMap<ClusterName, Place>,
    /// What was known of members that were not started yet, or left with all others: it stays known until what comes
    /// back is listed.
    adopted: BTreeMap<ClusterName, BTreeMap<ObjectKey, Arc<Object>>>,
    has_adopted: bool,
    /// More was read since the last batch.
    has_progress: bool,
    /// Who wrote the status of each KubeFedCluster last.
    writers: BTreeMap<ClusterName, String>,
    /// When somebody else was last seen to write health, and who.
    foreign: Option<(Instant, String)>,
    /// Of whom a verdict was told that counts.
    judged: BTreeSet<ClusterName>,
    pending: Pending,
    epoch: u64,
    started: Instant,
    host_settled: Option<Instant>,
    first_sent: bool,
    inbox: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    _link: watch::Sender<Link>,
    _tasks: JoinSet<()>,
}

impl Desk {
    pub(super) fn new(
        client: Client,
        options: Options,
        adopted: BTreeMap<ObjectKey, Arc<Object>>,
        connect: Option<Connect>,
        clients: Clients,
        report: watch::Sender<Arc<Report>>,
    ) -> Self {
        let (inbox, messages) = mpsc::channel(INBOX);
        let (link, links) = watch::channel(Link { client: Some(client.clone()), server: 0 });
        let has_adopted = !adopted.is_empty();
        let mut of_host = BTreeMap::new();
        let mut of_members: BTreeMap<ClusterName, BTreeMap<ObjectKey, Arc<Object>>> = BTreeMap::new();
        for (key, object) in adopted {
            match &key.scope {
                Scope::Host => of_host.insert(key, object),
                Scope::Member(cluster) => of_members.entry(Arc::clone(cluster)).or_default().insert(key, object),
                Scope::World => None,
            };
        }
        let mut tasks = JoinSet::new();
        let host_only = options.host_only;
        let resources = resource::of_host(&options.system_namespace, &options.endpoint_groups, host_only);
        let sender = Sender::new(From::default(), inbox.clone());
        let mut host = Cluster::default();
        let start = Start { scope: &Scope::Host, link: &links, sender: &sender, host_only };
        host.spawn(resources, of_host, &start, &mut tasks);
        let secrets = Arc::new(Meter::new("Secret"));
        if !host_only {
            let watch = Watch {
                cluster: "".into(),
                resource: resource::secrets(&options.system_namespace),
                link: links,
                streaming: Arc::<Streaming>::default(),
                meter: Arc::clone(&secrets),
                sender: sender.at(usize::MAX),
                sink: SecretSink::new(inbox.clone()),
            };
            tasks.spawn(watch.run());
        }
        let common = Common {
            host: client,
            namespace: options.system_namespace.clone(),
            health: options.health,
            connect,
            clients: Arc::clone(&clients),
            secrets,
            resources: resource::of_member(&options.selector),
        };
        Self {
            options,
            common: Arc::new(common),
            clients,
            report,
            host,
            members: BTreeMap::new(),
            written: BTreeMap::new(),
            nodes: BTreeMap::new(),
            places: BTreeMap::new(),
            adopted: of_members,
            has_adopted,
            has_progress: false,
            writers: BTreeMap::new(),
            foreign: None,
            judged: BTreeSet::new(),
            pending: Pending::default(),
            epoch: 0,
            started: Instant::now(),
            host_settled: None,
            first_sent: false,
            inbox,
            messages,
            _link: link,
            _tasks: tasks,
        }
    }

    /// Gathers and hands over until nobody takes batches any more.
    pub(super) async fn run(mut self, batches: mpsc::Sender<Batch>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = tokio::time::Instant::now();
        loop {
            let ready = self.is_ready();
            tokio::select! {
                message = self.messages.recv() => {
                    let Some(message) = message else { return };
                    self.take(message);
                    for _ in 0..AT_ONCE {
                        let Ok(message) = self.messages.try_recv() else { break };
                        self.take(message);
                    }
                }
                permit = reserve_at(next, &batches), if ready => {
                    let Ok(permit) = permit else { return };
                    let batch = self.batch();
                    if !batch.observations.is_empty() {
                        next = tokio::time::Instant::now() + GATHER;
                    }
                    permit.send(batch);
                }
                _ = tick.tick() => {
                    if batches.is_closed() {
                        return;
                    }
                    self.look_at_ages();
                    self.tell();
                }
            }
        }
    }

    /// True if there is a batch to hand over.
    fn is_ready(&self) -> bool {
        if self.first_sent {
            let Pending { observations, standings, verdicts, word } = &self.pending;
            let says_nothing = observations.is_empty() && standings.is_empty() && verdicts.is_empty();
            return !says_nothing || *word != HostWord::default() || self.has_progress;
        }
        let waited = self.started.elapsed() >= FIRST;
        match self.host_settled {
            None => waited && self.has_adopted,
            Some(since) => {
                self.members.values().all(Member::is_settled) || (waited && since.elapsed() >= FIRST_MEMBERS)
            }
        }
    }

    fn batch(&mut self) -> Batch {
        self.withdraw_verdicts();
        let Pending { observations, standings, verdicts, word } = std::mem::take(&mut self.pending);
        self.forget_left();
        self.has_progress = false;
        let first = !std::mem::replace(&mut self.first_sent, true);
        Batch {
            observations: observations.into_iter().map(|(key, object)| Observation { key, object }).collect(),
            standings: standings.into_iter().map(|(key, standing)| StandingChange { key, standing }).collect(),
            verdicts: verdicts.into_iter().collect(),
            word,
            progress: self.progress(),
            first,
        }
    }

    /// The member that a message is from; none if it is gone, and another of its name may be there.
    fn member(&mut self, from: &From) -> Option<(ClusterName, &mut Member)> {
        let (name, epoch) = from.member.as_ref()?;
        let member = self.members.get_mut(name).filter(|member| member.epoch == *epoch)?;
        Some((Arc::clone(name), member))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::News(from, news) => self.news(&from, news),
            Message::Settled(from) => {
                self.has_progress = true;
                self.settled(&from);
            }
            Message::Again(from) => self.heard_again(&from),
            Message::Secrets(names) => {
                for name in &names {
                    self.members.values().for_each(|member| member.secret_changed(name));
                }
            }
            Message::Reachable(from, why) => {
                let Some((name, member)) = self.member(&from) else { return };
                if member.misconfigured == why {
                    return;
                }
                member.misconfigured = why;
                match (member.misconfigured.clone(), member.has_client()) {
                    (Some(why), false) => {
                        tracing::warn!(cluster = &*name, error = why, "a member cannot be asked");
                        self.probed(&name, ProbeOutcome::Misconfigured(why), now());
                    }
                    (Some(why), true) => {
                        tracing::warn!(cluster = &*name, error = why, "the client of a member stays as it was");
                    }
                    (None, _) => tracing::info!(cluster = &*name, "it is known how to reach a member"),
                }
            }
            Message::Probed(from, outcome, at) => {
                let Some((name, member)) = self.member(&from) else { return };
                let outcome = member.unasked().cloned().map(ProbeOutcome::Misconfigured).or(outcome);
                if let Some(outcome) = outcome {
                    self.probed(&name, outcome, at);
                }
            }
        }
    }

    fn news(&mut self, from: &From, news: News) {
        let member = match (&from.member, self.member(from)) {
            (None, _) => None,
            (Some(_), Some((name, _))) => Some(name),
            // Of a member that is gone.
            (Some(_), None) => return,
        };
        let News { observations, standings, clusters, status_writers, localities } = news;
        let moved = observations.iter().any(|one| one.key.kind == Kind::Node);
        for Observation { key, object } in observations {
            match (key.kind, &member) {
                (Kind::Cluster, None) => {
                    self.pending.word.heard.insert(Arc::clone(&key.name));
                    let before = self.written.remove(&key.name);
                    if let Some(object) = object {
                        let told = before.and_then(|written| written.told);
                        self.written.insert(Arc::clone(&key.name), Written { key, object, told });
                    } else {
                        self.pending.observations.insert(key, None);
                    }
                }
                (Kind::Node, Some(cluster)) => {
                    let nodes = self.nodes.entry(Arc::clone(cluster)).or_default();
                    match object.as_deref() {
                        Some(Object { fact: Fact::Node(node), .. }) => {
                            nodes.insert(Arc::clone(&key.name), node.clone())
                        }
                        _ => nodes.remove(&key.name),
                    };
                    self.pending.observations.insert(key, object);
                }
                _ => {
                    self.pending.observations.insert(key, object);
                }
            }
        }
        if let Some(cluster) = member.filter(|_| moved) {
            self.judge(&cluster);
        }
        self.pending.standings.extend(standings.into_iter().map(|change| (change.key, change.standing)));
        for (cluster, writer) in status_writers {
            match writer {
                Some(writer) => self.writers.insert(cluster, writer),
                None => self.writers.remove(&cluster),
            };
        }
        for (cluster, spec) in clusters {
            match spec {
                Some(spec) => self.described(&cluster, &spec),
                None => self.remove(&cluster),
            }
        }
        for (cluster, place) in localities {
            if self.places.get(&cluster) != Some(&place) {
                self.places.insert(Arc::clone(&cluster), place);
                self.tell_cluster(&cluster);
            }
        }
    }

    /// A KubeFedCluster is there, or changed.
    fn described(&mut self, name: &ClusterName, spec: &MemberSpec) {
        if self.options.host_only {
            self.tell_cluster(name);
            return;
        }
        if let Some(member) = self.members.get(name) {
            member.set_reach(&spec.reach);
        } else {
            self.epoch += 1;
            let from = From { member: Some((Arc::clone(name), self.epoch)), index: 0 };
            let sender = Sender::new(from, self.inbox.clone());
            let adopted = self.adopted.remove(name).unwrap_or_default();
            self.pending.word.left.remove(name);
            let mut member = Member::spawn(&self.common, name, self.epoch, spec, adopted, &sender);
            if let Some(Written { object, .. }) = self.written.get(name)
                && let Fact::Cluster(fact) = &object.fact
            {
                member.monitor.resume(fact);
            }
            self.members.insert(Arc::clone(name), member);
            tracing::info!(cluster = &**name, "a member is observed");
        }
        self.note_writing(name, spec.probed);
        self.tell_cluster(name);
    }

    /// Notes when the health of a cluster was last written, and by whom. Times that somebody else's clock has written
    /// are only compared with each other; by our own clock it counts when that was seen.
    fn note_writing(&mut self, name: &ClusterName, probed: Option<Timestamp>) {
        let fresh = self.fresh();
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(probed) = probed else {
            member.written = None;
            return;
        };
        let moved = match member.written {
            Some((before, _)) if before == probed => return,
            Some(_) => true,
            // Seen for the first time, only its own age can tell.
            None => now().0.abs_diff(probed.0) < u64::try_from(fresh.as_millis()).unwrap_or(u64::MAX),
        };
        let long_ago = || Instant::now().checked_sub(fresh).unwrap_or(self.started);
        let seen = if moved { Instant::now() } else { long_ago() };
        member.written = Some((probed, seen));
        if let Some(writer) = self.writers.get(name).filter(|writer| moved && *writer != FIELD_MANAGER) {
            self.foreign = Some((seen, writer.clone()));
        }
    }

    /// How long what is written counts.
    fn fresh(&self) -> Duration {
        self.options.health.period * FRESH_PERIODS
    }

    /// Who maintains health now, and why.
    fn mode(&self) -> (HealthMode, String) {
        match (self.options.health.mode, &self.foreign) {
            (HealthMode::Auto, Some((at, writer))) if at.elapsed() < self.fresh() => {
                (HealthMode::Observe, format!("{writer} writes the status of KubeFedClusters"))
            }
            (HealthMode::Auto, _) => (HealthMode::Own, "nobody else writes the status of KubeFedClusters".to_owned()),
            (mode, _) => (mode, "set so".to_owned()),
        }
    }

    /// Takes the result of a probe.
    fn probed(&mut self, name: &ClusterName, outcome: ProbeOutcome, at: Timestamp) {
        let Some(member) = self.members.get_mut(name) else { return };
        let unreachable = matches!(outcome, ProbeOutcome::NotReachable(_));
        if std::mem::replace(&mut member.unreachable, unreachable) && !unreachable {
            member.renew_watches();
        }
        member.probed = Some(at);
        if member.monitor.take(outcome, at) {
            let outcome = member.monitor.outcome();
            tracing::info!(cluster = &**name, ?outcome, "the health of a member changed");
        }
        self.tell_cluster(name);
        self.judge(name);
    }

    /// Tells the KubeFedCluster with the health that counts, where that differs from what was told.
    fn tell_cluster(&mut self, name: &ClusterName) {
        let fresh = self.fresh();
        let Some(written) = self.written.get_mut(name) else { return };
        let mut object = Arc::clone(&written.object);
        if let Fact::Cluster(fact) = &written.object.fact {
            let mut fact = fact.clone();
            if let Some(member) = self.members.get_mut(name) {
                let own = member.monitor.conditions();
                let is_fresh = member.written.is_some_and(|(_, seen)| seen.elapsed() < fresh);
                member.written_counts = is_fresh || own.is_none();
                if let Some((ready, offline)) = own.filter(|_| !is_fresh) {
                    (fact.ready, fact.offline) = (Some(ready), Some(offline));
                }
            }
            if let Some((region, availability_zones)) = self.places.get(name).filter(|_| fact.region.is_none()) {
                fact.region.clone_from(region);
                fact.availability_zones.clone_from(availability_zones);
            }
            object = Arc::new(Object { fact: Fact::Cluster(fact), ..(*written.object).clone() });
        }
        if written.told.as_ref() != Some(&object) {
            written.told = Some(Arc::clone(&object));
            self.pending.observations.insert(written.key.clone(), Some(object));
        }
    }

    /// What was written grows old by itself.
    fn look_at_ages(&mut self) {
        let fresh = self.fresh();
        let stale = |member: &Member| {
            let is_fresh = member.written.is_some_and(|(_, seen)| seen.elapsed() < fresh);
            member.written_counts && !is_fresh
        };
        let names: Vec<ClusterName> =
            self.members.iter().filter(|(_, member)| stale(member)).map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            self.tell_cluster(&name);
        }
    }
}

/// Room for a batch, not before that time.
async fn reserve_at(
    time: tokio::time::Instant,
    batches: &mpsc::Sender<Batch>,
) -> Result<mpsc::Permit<'_, Batch>, mpsc::error::SendError<()>> {
    tokio::time::sleep_until(time).await;
    batches.reserve().await
}
