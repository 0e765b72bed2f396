//! One object at a time: compare, wait for a turn, ask whether we may, apply, note what came of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mcdns_api::{Condition, Standing, StandingKey, StandingKind, standing};
use mcdns_core::{
    health::Verdict,
    model::{ClusterName, NamespacedName},
};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    PublishedZone, WriterOptions,
    ledger::{Effect, Ledger, Need},
    pace::Pace,
};
use crate::{
    Desired, Leadership, Notice, Recorder, Regarding,
    host::{
        ApiError, CLUSTERS, DOMAINS, ENDPOINTS, EXTERNAL_DNS_ENDPOINTS, Host, INGRESS_RECORDS, Place, Resource,
        SERVICE_RECORDS, chain,
    },
};

/// An object is left alone so long after a write: ten writes a second.
pub(super) const REST: Duration = Duration::from_millis(100);
/// A write that met a newer version is tried so often at once, with what stands read anew each time.
pub(super) const ATTEMPTS: u32 = 3;
/// A kind that cannot be written for lack of a CRD or a permission is tried again after so long, with one object; in
/// one namespace where that is what the permission is missing for.
const KIND_PAUSE: Duration = Duration::from_secs(30);
/// Where it is missing for many namespaces, each of them waits longer, so that one of them is tried in so long.
const NAMESPACE_SHARE: Duration = Duration::from_millis(500);
/// An object that the server does not accept is tried again after so long: its CRD may have been changed.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);

/// What all jobs share.
pub(super) struct Shared {
    pub(super) host: Host,
    pub(super) options: WriterOptions,
    pub(super) desired: Arc<dyn Desired>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) recorder: Recorder,
    pub(super) pace: Pace,
    pub(super) state: Mutex<State>,
}

/// What jobs and the loop know.
#[derive(Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) clusters: HashMap<ClusterName, Cluster>,
    pub(super) zones: HashMap<NamespacedName, PublishedZone>,
    /// Condition `Held` of members.
    pub(super) held: HashMap<ClusterName, Condition>,
    /// Conditions of Domains, without times.
    pub(super) domains: HashMap<NamespacedName, Vec<Condition>>,
    /// Domains have no status there; not to be tried again before that.
    pub(super) no_domain_status: Option<Instant>,
    /// Kinds that cannot be written in a namespace, or in any where that is empty; until when they are not tried again.
    closed: HashMap<(StandingKind, String), Instant>,
    pub(super) writes: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) problems: BTreeMap<&'static str, String>,
}

/// A member, as it is to be written.
pub(super) struct Cluster {
    pub(super) verdict: Verdict,
    pub(super) written: Option<Instant>,
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum End {
    /// Everything is as wanted; leave it alone for so long.
    Done(Duration),
    /// To be looked at again after so long, without a fault.
    Later(Duration),
    /// To be tried again.
    Failed(ApiError),
}

impl End {
    /// The one of two that wants more attention.
    pub(super) fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(one), Self::Failed(other)) => {
                Self::Failed(if other.is_of_the_server() { other } else { one })
            }
            (failed @ Self::Failed(_), _) | (_, failed @ Self::Failed(_)) => failed,
            (Self::Later(one), Self::Later(other)) => Self::Later(one.min(other)),
            (later @ Self::Later(_), _) | (_, later @ Self::Later(_)) => later,
            (Self::Done(one), Self::Done(other)) => Self::Done(one.max(other)),
        }
    }

    /// How long to wait at least before it is tried again.
    pub(super) fn pause(error: &ApiError) -> Duration {
        match error {
            ApiError::Invalid { .. } => REFUSED_PAUSE,
            error => error.after().unwrap_or_default(),
        }
    }
}

/// An object that is applied.
pub(super) struct Subject<'a> {
    pub(super) key: StandingKey,
    /// What is wanted now, without times; none if nothing is any more.
    pub(super) wanted: &'a (dyn Fn(Option<&Standing>) -> Option<Value> + Sync),
    /// Puts in what does not count as a change: times, the version that is meant.
    pub(super) stamp: &'a (dyn Fn(&mut Value, Option<&Standing>) + Sync),
    /// Write even if nothing but that changed.
    pub(super) even_if_equal: bool,
}

/// What applying came to.
pub(super) struct Applied {
    pub(super) end: End,
    /// What stood before, and what the write was; none if nothing was written.
    pub(super) written: Option<(Effect, Option<Standing>)>,
}

impl Applied {
    fn without(end: End) -> Self {
        Self { end, written: None }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, and asks whether we still may. The time that the request has.
    pub(super) async fn permit(&self) -> Result<Duration, ApiError> {
        self.pace.turn().await;
        let left = self.leadership.borrow().may_write().ok_or(ApiError::NotHolder)?;
        Ok(left.min(self.options.request_limit))
    }

    /// Makes an object what is wanted of it.
    pub(super) async fn bring(&self, subject: &Subject<'_>) -> Applied {
        if let Some(left) = self.state().closed_for(&subject.key, Instant::now()) {
            return Applied::without(End::Later(left));
        }
        match self.try_bring(subject).await {
            Ok(applied) => applied,
            Err(error) => {
                let closed = self.failed(&subject.key, &error);
                Applied::without(closed.map_or(End::Failed(error), End::Later))
            }
        }
    }

    async fn try_bring(&self, subject: &Subject<'_>) -> Result<Applied, ApiError> {
        let key = &subject.key;
        let mut conflict = None;
        for _ in 0..ATTEMPTS {
            match self.need(subject) {
                Need::None => return Ok(Applied::without(End::Done(Duration::ZERO))),
                Need::Wait(left) => return Ok(Applied::without(End::Later(left))),
                Need::Read => {
                    self.read(key).await?;
                    continue;
                }
                Need::Write => {}
            }
            let limit = self.permit().await?;
            // It may have changed while we waited.
            if self.need(subject) != Need::Write {
                continue;
            }
            let before = self.state().ledger.standing(key).cloned();
            let Some(mut object) = (subject.wanted)(before.as_ref()) else { continue };
            let wanted = standing::digest(&standing::part(key.kind, &object));
            (subject.stamp)(&mut object, before.as_ref());
            match self.host.apply(place(key), &object, limit).await {
                Ok(answer) => {
                    let effect = self.wrote(key, wanted, before.as_ref(), &answer)?;
                    return Ok(Applied { end: End::Done(REST), written: Some((effect, before)) });
                }
                Err(error @ ApiError::Conflict { .. }) => {
                    self.count(key.kind, error.label());
                    self.read(key).await?;
                    conflict = Some(error);
                }
                // The record or cluster itself is gone; its watch says so too, and then somebody cleans up.
                Err(ApiError::NotFound) => {
                    self.state().ledger.forget(key);
                    return Ok(Applied::without(End::Done(Duration::ZERO)));
                }
                Err(error) => return Err(error),
            }
        }
        match conflict {
            Some(error) => Err(error),
            None => Ok(Applied::without(End::Done(Duration::ZERO))),
        }
    }

    fn need(&self, subject: &Subject<'_>) -> Need {
        let key = &subject.key;
        let mut state = self.state();
        state.ledger.catch_up(key, Instant::now());
        if state.ledger.resume(key, Instant::now()) {
            tracing::info!(kind = label(key.kind), namespace = key.namespace, name = key.name, "written again");
        }
        let before = state.ledger.standing(key).cloned();
        drop(state);
        // The engine has a lock of its own, which is never taken while ours is held.
        let Some(object) = (subject.wanted)(before.as_ref()) else { return Need::None };
        let wanted = standing::digest(&standing::part(key.kind, &object));
        match self.state().ledger.need(key, wanted, Instant::now()) {
            Need::None if subject.even_if_equal => Need::Write,
            need => need,
        }
    }

    fn wrote(
        &self,
        key: &StandingKey,
        wanted: u64,
        before: Option<&Standing>,
        answer: &Value,
    ) -> Result<Effect, ApiError> {
        let result = Standing::of(key.kind, answer);
        if result.resource_version.is_empty() {
            return Err(ApiError::Garbage { message: "an object without resourceVersion".to_owned() });
        }
        let mut state = self.state();
        // The watch may have told of our own write before the answer came; what counts is what stood before that.
        if state.ledger.standing(key).is_some_and(|seen| seen.resource_version == result.resource_version) {
            state.ledger.read(key, before.cloned());
        }
        let effect = state.ledger.wrote(key, wanted, result, Instant::now());
        state.open(key);
        drop(state);
        self.count(
            key.kind,
            match effect {
                Effect::None => "unchanged",
                Effect::Changed => "written",
                Effect::Healed | Effect::Stopped => "healed",
            },
        );
        Ok(effect)
    }

    /// Reads what stands into the ledger.
    pub(super) async fn read(&self, key: &StandingKey) -> Result<(), ApiError> {
        let limit = self.permit().await?;
        let standing = match self.host.read(place(key), limit).await {
            Ok(object) => Some(Standing::of(key.kind, &object)),
            Err(ApiError::NotFound) => None,
            Err(error) => return Err(error),
        };
        self.state().ledger.read(key, standing);
        Ok(())
    }

    pub(super) fn count(&self, kind: StandingKind, outcome: &'static str) {
        *self.state().writes.entry((label(kind), outcome)).or_default() += 1;
    }

    /// Takes note of a failure: counts it, closes the kind where that is the matter, tells people what to do. Returns for
    /// how long the kind is closed.
    pub(super) fn failed(&self, key: &StandingKey, error: &ApiError) -> Option<Duration> {
        if matches!(error, ApiError::NotHolder) {
            return None;
        }
        self.count(key.kind, error.label());
        let message = chain(error);
        tracing::warn!(
            kind = label(key.kind),
            namespace = key.namespace,
            name = key.name,
            error = message,
            "not written"
        );
        let mut closed = None;
        if let Some(namespace) = error.is_of_the_kind() {
            let mut state = self.state();
            closed = Some(state.close(key.kind, namespace, Instant::now()));
            state.problems.insert(label(key.kind), message.clone());
        } else if !matches!(error, ApiError::Invalid { .. }) {
            return None;
        }
        let regarding = if closed.is_some() { self.lease() } else { self.regarding(key) };
        self.recorder.tell(Notice {
            regarding,
            reason: error.reason().to_owned(),
            about: label(key.kind).into(),
            note: format!("{} cannot be written: {message}", label(key.kind)),
            is_warning: true,
        });
        closed
    }

    /// The Lease stands for the program itself.
    pub(super) fn lease(&self) -> Regarding {
        Regarding {
            api_version: "coordination.k8s.io/v1".to_owned(),
            kind: "Lease".to_owned(),
            namespace: self.options.system_namespace.clone(),
            name: self.options.lease.clone(),
            uid: None,
        }
    }

    pub(super) fn regarding(&self, key: &StandingKey) -> Regarding {
        let resource = resource(key.kind);
        let kind = match key.kind {
            StandingKind::ServiceRecordStatus => "ServiceDNSRecord",
            StandingKind::IngressRecordStatus => "IngressDNSRecord",
            StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint => "DNSEndpoint",
            StandingKind::ClusterStatus => "KubeFedCluster",
            StandingKind::DomainAnnotations | StandingKind::DomainStatus => "Domain",
        };
        Regarding {
            api_version: format!("{}/{}", resource.group, resource.version),
            kind: kind.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: self.state().ledger.standing(key).map(|standing| standing.uid.clone()),
        }
    }

    /// Tells people that somebody else writes the object too.
    pub(super) fn tell_of_foreign_writes(&self, key: &StandingKey, written: Option<&(Effect, Option<Standing>)>) {
        let Some((effect, before)) = written else { return };
        let who = before.as_ref().map_or_else(
            || "somebody deleted it".to_owned(),
            |standing| match &standing.manager {
                Some(manager) => format!("field manager {manager} changed it"),
                None => "somebody changed it".to_owned(),
            },
        );
        let (reason, note) = match effect {
            Effect::Healed if key.kind.is_endpoint() => {
                let note = format!("{who}, and it was written again: it follows its DNS record, change that instead");
                ("Restored", note)
            }
            Effect::Stopped => {
                tracing::warn!(
                    kind = label(key.kind),
                    namespace = key.namespace,
                    name = key.name,
                    who,
                    "not written any more"
                );
                let note = format!(
                    "{who}, the second such write within a minute; mcdns does not write it any more until it was left \
                     alone for ten minutes. Answers are not affected. Turn off the other writer (KubeFed's DNS \
                     controllers, for instance)"
                );
                ("ForeignWriter", note)
            }
            Effect::None | Effect::Changed | Effect::Healed => return,
        };
        let is_warning = *effect == Effect::Stopped;
        self.recorder.tell(Notice {
            regarding: self.regarding(key),
            reason: reason.to_owned(),
            about: "".into(),
            note,
            is_warning,
        });
    }
}

impl State {
    fn closed_for(&self, key: &StandingKey, now: Instant) -> Option<Duration> {
        let until = |namespace: &str| self.closed.get(&(key.kind, namespace.to_owned())).copied();
        let left = until("").max(until(&key.namespace))?.checked_duration_since(now)?;
        // The first to come after the pause finds it open, and closes it again if nothing has changed.
        Some(left).filter(|left| !left.is_zero())
    }

    /// Closes a kind, in one namespace or in all. Returns for how long.
    fn close(&mut self, kind: StandingKind, namespace: &str, now: Instant) -> Duration {
        // What nobody tried again when it could be is not wanted there any more.
        self.closed.retain(|_, until| now < *until + KIND_PAUSE);
        let others = self.closed.keys().filter(|(one, other)| *one == kind && other != namespace).count();
        let pause = KIND_PAUSE.max(NAMESPACE_SHARE * u32::try_from(others).unwrap_or(u32::MAX));
        self.closed.insert((kind, namespace.to_owned()), now + pause);
        pause
    }

    /// An object could be written.
    fn open(&mut self, key: &StandingKey) {
        self.closed
            .retain(|(kind, namespace), _| *kind != key.kind || (!namespace.is_empty() && *namespace != key.namespace));
        if self.closed.keys().all(|(kind, _)| *kind != key.kind) {
            self.problems.remove(label(key.kind));
        }
    }
}

/// Where the part that is meant is written.
pub(super) fn place(key: &StandingKey) -> Place<'_> {
    let object = Place::object(resource(key.kind), &key.namespace, &key.name);
    match key.kind {
        StandingKind::ServiceRecordStatus
        | StandingKind::IngressRecordStatus
        | StandingKind::ClusterStatus
        | StandingKind::DomainStatus => object.sub("status"),
        StandingKind::Endpoint | StandingKind::ExternalDnsEndpoint | StandingKind::DomainAnnotations => object,
    }
}

pub(super) fn resource(kind: StandingKind) -> Resource {
    match kind {
        StandingKind::ServiceRecordStatus => SERVICE_RECORDS,
        StandingKind::IngressRecordStatus => INGRESS_RECORDS,
        StandingKind::Endpoint => ENDPOINTS,
        StandingKind::ExternalDnsEndpoint => EXTERNAL_DNS_ENDPOINTS,
        StandingKind::ClusterStatus => CLUSTERS,
        StandingKind::DomainAnnotations | StandingKind::DomainStatus => DOMAINS,
    }
}

/// For metrics and people.
pub(super) fn label(kind: StandingKind) -> &'static str {
    match kind {
        StandingKind::ServiceRecordStatus => "servicednsrecord_status",
        StandingKind::IngressRecordStatus => "ingressdnsrecord_status",
        StandingKind::Endpoint => "dnsendpoint",
        StandingKind::ExternalDnsEndpoint => "externaldns_dnsendpoint",
        StandingKind::ClusterStatus => "kubefedcluster_status",
        StandingKind::DomainAnnotations => "domain_annotation",
        StandingKind::DomainStatus => "domain_status",
    }
}
