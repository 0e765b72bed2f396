//! One member: its client, its probes and its watches, each a task of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use mcdns_api::StandingKind;
use mcdns_core::{
    health::{Monitor, ProbeOutcome, Thresholds},
    model::{ClusterName, Kind, Object, ObjectKey, Scope, Timestamp},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    Clients, Connect, HealthOptions,
    ask::{self, Form},
    desk::{Message, Sender},
    fault::Fault,
    health,
    known::{Known, ObjectSink, SharedKnown},
    member_client,
    member_spec::{MemberSpec, Reach},
    now,
    report::Meter,
    resource::{Choice, Resource, escape},
    watch::{Link, Streaming, Watch, jittered},
};

/// How long reading a Secret may take.
const SECRET_TIME: Duration = Duration::from_secs(10);
/// Larger than any Secret: Kubernetes allows 1 MiB, in base64.
const MAX_SECRET: u64 = 4 << 20;
/// How often a Secret is read without being told to, where changes are told.
const SECRET_PERIOD: Duration = Duration::from_mins(10);
/// The same where they cannot be watched.
const SECRET_POLL: Duration = Duration::from_secs(30);
/// Pause after a Secret could not be read or used.
const SECRET_PAUSE: Duration = Duration::from_secs(5);

/// The watches of one cluster.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) streaming: Arc<Streaming>,
    pub(super) watches: Vec<Watched>,
}

/// One of them.
pub(super) struct Watched {
    pub(super) kind: Kind,
    /// The part of its objects that is written.
    pub(super) standing: Option<StandingKind>,
    /// What a person does where the server does not have it.
    pub(super) wanted: Option<&'static str>,
    pub(super) known: SharedKnown,
    pub(super) meter: Arc<Meter>,
    /// True once it was listed, or will not be in a moment.
    pub(super) settled: bool,
    /// True once everything of it was told to the desk, be it that the server does not have it.
    pub(super) listed: bool,
}

impl Watched {
    /// The desk was told that it was listed, or will not be in a moment; what was read before that was told before.
    pub(super) fn settle(&mut self) {
        let report = self.meter.report();
        self.settled = true;
        self.listed |= report.synced || report.missing;
    }
}

/// Where the watches of a cluster look, and whom they tell.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) scope: &'a Scope,
    pub(super) link: &'a watch::Receiver<Link>,
    pub(super) sender: &'a Sender,
    pub(super) host_only: bool,
}

impl Cluster {
    /// Starts a watch for each resource. `adopted` is what was known of the cluster.
    pub(super) fn spawn(
        &mut self,
        resources: Vec<Resource>,
        mut adopted: BTreeMap<ObjectKey, Arc<Object>>,
        start: &Start<'_>,
        tasks: &mut JoinSet<()>,
    ) {
        let Start { scope, link, sender, host_only } = *start;
        let cluster: ClusterName = match scope {
            Scope::Member(cluster) => Arc::clone(cluster),
            Scope::Host | Scope::World => "".into(),
        };
        for (index, resource) in resources.into_iter().enumerate() {
            let Choice { kind, standing, .. } = resource.choices[0];
            let covers = |key: &ObjectKey| {
                resource.choices.iter().any(|choice| choice.kind == key.kind)
                    || (host_only
                        && super::host_status::key_of(&ObjectKey { kind, ..key.clone() })
                            .is_some_and(|status| status == *key))
            };
            let mine = adopted.extract_if(.., |key, _| covers(key));
            let known = Known::adopted(mine);
            let meter = Arc::new(Meter::new(&resource.name));
            let sender = sender.at(index);
            self.watches.push(Watched {
                kind,
                standing,
                wanted: resource.wanted,
                known: Arc::clone(&known),
                meter: Arc::clone(&meter),
                settled: false,
                listed: false,
            });
            let sink = ObjectSink::new(scope.clone(), known, Arc::clone(&meter), sender.clone(), host_only);
            let watch = Watch {
                cluster: Arc::clone(&cluster),
                resource,
                link: link.clone(),
                streaming: Arc::clone(&self.streaming),
                meter,
                sender,
                sink,
            };
            tasks.spawn(watch.run());
        }
    }

    /// True once all of it was listed, or will not be in a moment.
    pub(super) fn is_settled(&self) -> bool {
        self.watches.iter().all(|watched| watched.settled)
    }

    /// True if the kind was listed completely.
    pub(super) fn is_synced(&self, kind: Kind) -> bool {
        self.watches.iter().any(|watched| watched.kind == kind && watched.meter.is_synced())
    }
}

/// A member and what is known of its health.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the member")]
pub(super) struct Member {
    /// Tells this member from one of the same name before it.
    pub(super) epoch: u64,
    pub(super) cluster: Cluster,
    pub(super) monitor: Monitor,
    /// What is wrong with its KubeFedCluster or Secret.
    pub(super) misconfigured: Option<String>,
    /// The probe before could not reach it.
    pub(super) unreachable: bool,
    /// It was told that the member is observed.
    pub(super) observed: bool,
    /// What it held was known before it was started.
    known_before: bool,
    /// The time of the last probe that somebody wrote, and when that was seen to move by our own clock.
    pub(super) written: Option<(Timestamp, Instant)>,
    /// The written condition counted when it was last looked at.
    pub(super) written_counts: bool,
    /// When it was last probed.
    pub(super) probed: Option<Timestamp>,
    reach: watch::Sender<Reach>,
    link: Arc<watch::Sender<Link>>,
    secret_changed: Arc<Notify>,
    _tasks: JoinSet<()>,
}

/// What members have in common.
pub(super) struct Common {
    pub(super) host: Client,
    pub(super) namespace: String,
    pub(super) health: HealthOptions,
    pub(super) connect: Option<Connect>,
    pub(super) clients: Clients,
    /// Whether changed Secrets are told.
    pub(super) secrets: Arc<Meter>,
    pub(super) resources: Vec<Resource>,
}

impl Member {
    /// Starts everything of a member.
    pub(super) fn spawn(
        common: &Arc<Common>,
        name: &ClusterName,
        epoch: u64,
        spec: &MemberSpec,
        adopted: BTreeMap<ObjectKey, Arc<Object>>,
        sender: &Sender,
    ) -> Self {
        let (reach, reaches) = watch::channel(spec.reach.clone());
        let (link, links) = watch::channel(Link::default());
        let link = Arc::new(link);
        let secret_changed = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let mut cluster = Cluster::default();
        let observed = adopted.contains_key(&ObjectKey::observed_member(name));
        let scope = Scope::Member(Arc::clone(name));
        let start = Start { scope: &scope, link: &links, sender, host_only: false };
        cluster.spawn(common.resources.clone(), adopted, &start, &mut tasks);
        let keeper = Keeper {
            name: Arc::clone(name),
            common: Arc::clone(common),
            link: Arc::clone(&link),
            sender: sender.clone(),
            digest: None,
        };
        tasks.spawn(keeper.run(reaches, Arc::clone(&secret_changed)));
        tasks.spawn(probe(links, common.health, sender.clone(), Arc::clone(&secret_changed)));
        let thresholds =
            Thresholds { failure: common.health.failure_threshold, success: common.health.success_threshold };
        Self {
            epoch,
            cluster,
            monitor: Monitor::new(thresholds),
            misconfigured: None,
            unreachable: false,
            observed,
            known_before: observed,
            written: None,
            written_counts: true,
            probed: None,
            reach,
            link,
            secret_changed,
            _tasks: tasks,
        }
    }

    /// Takes a changed description.
    pub(super) fn set_reach(&self, reach: &Reach) {
        self.reach.send_if_modified(|current| {
            let changed = current != reach;
            current.clone_from(reach);
            changed
        });
    }

    /// The Secret that it is reached by changed, if it has that name.
    pub(super) fn secret_changed(&self, name: &str) {
        if self.reach.borrow().secret_ref.name == name {
            self.secret_changed.notify_one();
        }
    }

    /// Has all watches go on over new connections: the old ones may have died without a word.
    pub(super) fn renew_watches(&self) {
        self.link.send_modify(|_| {});
    }

    /// True if there is a client to ask it with.
    pub(super) fn has_client(&self) -> bool {
        self.link.borrow().client.is_some()
    }

    /// Why it cannot be asked at all. A client that was made before something went wrong goes on being used: what cannot be
    /// read here says nothing of the member.
    pub(super) fn unasked(&self) -> Option<&String> {
        self.misconfigured.as_ref().filter(|_| !self.has_client())
    }

    /// True once everything in it was read, or known from before. Nodes that may not be read say nothing of targets.
    pub(super) fn is_read(&self) -> bool {
        let is_read = |watched: &Watched| {
            let is_forbidden = || watched.meter.report().error.is_some_and(|error| error.reason == "Forbidden");
            watched.listed || (watched.kind == Kind::Node && is_forbidden())
        };
        self.known_before || self.cluster.watches.iter().all(is_read)
    }

    /// True once it has answered, or surely will not.
    pub(super) fn is_settled(&self) -> bool {
        self.unasked().is_some() || (self.cluster.is_settled() && self.monitor.outcome().is_some())
    }
}

/// Keeps the client of a member as its KubeFedCluster and Secret have it.
struct Keeper {
    name: ClusterName,
    common: Arc<Common>,
    link: Arc<watch::Sender<Link>>,
    sender: Sender,
    digest: Option<u64>,
}

impl Keeper {
    async fn run(mut self, mut reaches: watch::Receiver<Reach>, secret_changed: Arc<Notify>) {
        loop {
            let reach = reaches.borrow_and_update().clone();
            let found = self.look(&reach).await;
            let pause = match &found {
                Ok(()) if self.common.secrets.is_synced() => SECRET_PERIOD,
                Ok(()) => SECRET_POLL,
                Err(_) => SECRET_PAUSE,
            };
            let misconfigured = match found {
                Ok(()) => Some(None),
                Err(Trouble::Wrong(why)) => Some(Some(why)),
                Err(Trouble::Unread(fault)) => {
                    let (cluster, reason) = (&*self.name, fault.reason());
                    tracing::debug!(cluster, reason, "the Secret of a member cannot be read; its client stays");
                    None
                }
            };
            if let Some(misconfigured) = misconfigured
                && !self.sender.message(Message::Reachable(self.sender.from(), misconfigured)).await
            {
                return;
            }
            tokio::select! {
                changed = reaches.changed() => if changed.is_err() { return },
                () = secret_changed.notified() => {}
                () = tokio::time::sleep(jittered(pause)) => {}
            }
        }
    }

    /// Makes the client anew if anything about it changed.
    async fn look(&mut self, reach: &Reach) -> Result<(), Trouble> {
        let (namespace, name) = (&self.common.namespace, &reach.secret_ref.name);
        if name.is_empty() {
            return Err(Trouble::Wrong("spec.secretRef.name is missing; join it again with `mcdns join`".to_owned()));
        }
        let path = format!("/api/v1/namespaces/{}/secrets/{}", escape(namespace), escape(name));
        let text = ask::whole(&self.common.host, &path, Form::Objects, SECRET_TIME, MAX_SECRET).await;
        let text = text.map_err(|fault| match fault {
            Fault::NotFound => {
                let help = "create it, or join the cluster again with `mcdns join`";
                Trouble::Wrong(format!("Secret {namespace}/{name} does not exist; {help}"))
            }
            Fault::Forbidden(_) => {
                let help = "let the service account of mcdns get Secrets in that namespace";
                Trouble::Wrong(format!("Secret {namespace}/{name} may not be read; {help}"))
            }
            fault => Trouble::Unread(fault),
        })?;
        // The parser's own words could quote a secret.
        let secret: Secret = serde_json::from_slice(&text)
            .map_err(|_| Trouble::Unread(Fault::Garbage("the answer is no Secret".to_owned())))?;
        let plan = member_client::plan(reach, &secret, namespace).await.map_err(Trouble::Wrong)?;
        if self.digest == Some(plan.digest) {
            return Ok(());
        }
        let mut access = member_client::make(plan).map_err(Trouble::Wrong)?;
        if let Some(connect) = &self.common.connect {
            access.client = connect(&self.name).ok_or_else(|| Trouble::Wrong("nobody knows it".to_owned()))?;
        }
        let mut clients = self.common.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.insert(Arc::clone(&self.name), (access.client.clone(), name.clone()));
        drop(clients);
        if self.digest.replace(access.digest).is_some() {
            tracing::info!(cluster = &*self.name, "the client of a member is made anew");
        }
        self.link.send_replace(Link { client: Some(access.client), server: access.server });
        Ok(())
    }
}

/// Why there is no new client.
enum Trouble {
    /// A person has to mend something.
    Wrong(String),
    /// The host could not be read.
    Unread(Fault),
}

/// Probes a member once in a period, at once at first and when its client changes.
async fn probe(mut link: watch::Receiver<Link>, options: HealthOptions, sender: Sender, secret_changed: Arc<Notify>) {
    loop {
        let client = link.borrow_and_update().client.clone();
        let outcome = match &client {
            Some(client) => Some(health::probe(client, options.timeout).await),
            None => None,
        };
        if matches!(outcome, Some(ProbeOutcome::Unauthorized(_))) {
            // There may be a newer token.
            secret_changed.notify_one();
        }
        if !sender.message(Message::Probed(sender.from(), outcome, now())).await {
            return;
        }
        // A tenth of the period more or less, so that members are not probed all at once.
        let pause = options.period.mul_f32(0.8) + jittered(options.period.mul_f32(0.3));
        tokio::select! {
            changed = link.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}
