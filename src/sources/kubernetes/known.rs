//! What is known of one resource of one cluster: trimmed objects, and what changes when an event or a list comes.
//!
//! ```text
//!   apply ──► new or different? ──► Observation, StandingChange, … ──► flush ──► desk
//!   complete ──► what was known and is not in the list is gone
//! ```
//!
//! Objects go in two ways only: a deletion that the server tells of, or absence from a complete list.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcdns_api::{StandingChange, StandingKind};
use mcdns_core::{
    check::Finding,
    model::{Kind, Object, ObjectKey, Observation, Scope},
};
use tokio::sync::mpsc;

use super::{
    desk::{Message, News, Sender},
    fault::Fault,
    host_status, member_spec,
    report::Meter,
    resource::{Choice, EXTERNAL_DNS},
    standing,
};
use crate::objects::{Namespaces, One, read_one};

/// Takes what a watch reads.
pub(super) trait Sink: Send {
    /// From here on objects come from `choice`, which the server has.
    fn choose(&mut self, choice: &Choice);
    /// A list begins.
    fn begin(&mut self);
    /// An object as it stands; returns its version.
    fn apply(&mut self, text: &str) -> Result<String, Fault>;
    /// An object that is gone, as it last stood; returns the version of that.
    fn delete(&mut self, text: &str) -> Result<String, Fault>;
    /// The list that began is complete: what was not in it is gone.
    fn complete(&mut self);
    /// Hands over what has gathered. False once nobody wants it any more. Whoever drops it half-way loses nothing:
    /// what was not handed over goes with the next flush.
    fn flush(&mut self) -> impl Future<Output = bool> + Send;
}

/// Objects that are known, shared with the desk, which needs them when a member goes.
#[derive(Debug, Default)]
pub(super) struct Known {
    slots: BTreeMap<ObjectKey, Slot>,
    findings: BTreeMap<ObjectKey, Vec<Finding>>,
    round: u32,
}

/// What is kept of an object.
#[derive(Debug, Default)]
struct Slot {
    object: Option<Arc<Object>>,
    /// True once the desk was told of it in this run.
    told: bool,
    /// Digest of the version of which the writer was told.
    standing: Option<u64>,
    /// The list in which it last was.
    round: u32,
}

/// A [`Known`] that both sides hold.
pub(super) type SharedKnown = Arc<Mutex<Known>>;

/// The known objects themselves; nothing that holds the lock can leave them in between.
pub(super) fn lock(known: &SharedKnown) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Objects that were known before a restart.
    pub(super) fn adopted(objects: impl IntoIterator<Item = (ObjectKey, Arc<Object>)>) -> SharedKnown {
        let slot = |object| Slot { object: Some(object), ..Slot::default() };
        let slots = objects.into_iter().map(|(key, object)| (key, slot(object))).collect();
        Arc::new(Mutex::new(Self { slots, ..Self::default() }))
    }

    /// Takes everything that is known.
    pub(super) fn drain(&mut self) -> Vec<(ObjectKey, Arc<Object>)> {
        self.findings.clear();
        let slots = std::mem::take(&mut self.slots).into_iter();
        slots.filter_map(|(key, slot)| Some((key, slot.object?))).collect()
    }

    /// What is wrong with objects.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values().flatten()
    }

    fn note(&mut self, key: &ObjectKey, findings: Vec<Finding>) {
        if findings.is_empty() {
            self.findings.remove(key);
        } else {
            self.findings.insert(key.clone(), findings);
        }
    }
}

/// Turns objects of one resource into observations.
pub(super) struct ObjectSink {
    pub(super) scope: Scope,
    pub(super) known: SharedKnown,
    pub(super) meter: Arc<Meter>,
    pub(super) sender: Sender,
    /// Statuses of records are read as facts.
    pub(super) host_only: bool,
    namespaces: Namespaces,
    kind: Kind,
    standing: Option<StandingKind>,
    news: News,
}

impl ObjectSink {
    pub(super) fn new(scope: Scope, known: SharedKnown, meter: Arc<Meter>, sender: Sender, host_only: bool) -> Self {
        Self {
            scope,
            known,
            meter,
            sender,
            host_only,
            namespaces: Namespaces::new(),
            kind: Kind::Member,
            standing: None,
            news: News::default(),
        }
    }

    fn read(&mut self, text: &str) -> Result<One, Fault> {
        let mut one = read_one(text, self.kind, &self.scope, &mut self.namespaces).map_err(Fault::Garbage)?;
        if self.standing == Some(StandingKind::ExternalDnsEndpoint) {
            // Another group has objects of the same names.
            one.key = ObjectKey::foreign(&one.key.namespace, &one.key.name, EXTERNAL_DNS);
        }
        Ok(one)
    }

    /// Notes what an object says now.
    fn put(&mut self, key: ObjectKey, object: Option<Arc<Object>>) {
        let mut known = lock(&self.known);
        let round = known.round;
        let slot = known.slots.entry(key.clone()).or_default();
        slot.round = round;
        if slot.object != object || (!slot.told && object.is_some()) {
            slot.object.clone_from(&object);
            slot.told = true;
            self.news.observations.push(Observation { key, object });
        }
    }

    /// Leaves an object as it was last understood; false if it never was.
    fn keep(&self, key: &ObjectKey) -> bool {
        let mut known = lock(&self.known);
        let round = known.round;
        let Some(slot) = known.slots.get_mut(key).filter(|slot| slot.object.is_some()) else { return false };
        slot.round = round;
        true
    }

    fn remove(&mut self, key: ObjectKey) {
        let mut known = lock(&self.known);
        known.findings.remove(&key);
        let Some(slot) = known.slots.remove(&key) else { return };
        self.news.gone(key, &slot, self.standing);
    }

    /// Tells the writer what stands there; true for a DNSEndpoint that was made for a record.
    fn stand(&mut self, key: &ObjectKey, version: &str, text: &str) -> bool {
        let Some(kind) = self.standing.filter(|kind| !standing::is_foreign(*kind, &key.name)) else { return false };
        let Some((standing, made)) = standing::read(text, kind) else { return false };
        let mut known = lock(&self.known);
        let round = known.round;
        let slot = known.slots.entry(key.clone()).or_default();
        slot.round = round;
        let digest = Some(digest(version));
        if slot.standing != digest {
            slot.standing = digest;
            if kind == StandingKind::ClusterStatus {
                self.news.status_writers.push((key.name.clone(), standing.manager.clone()));
            }
            self.news.standings.push(StandingChange { key: standing::key_of(kind, key), standing: Some(standing) });
            // Two parts of a Domain are written.
            if kind == StandingKind::DomainAnnotations {
                let status = StandingKind::DomainStatus;
                let standing = standing::read(text, status).map(|(standing, _)| standing);
                self.news.standings.push(StandingChange { key: standing::key_of(status, key), standing });
            }
        }
        made
    }
}

impl Sink for ObjectSink {
    fn choose(&mut self, choice: &Choice) {
        (self.kind, self.standing) = (choice.kind, choice.standing);
    }

    fn begin(&mut self) {
        let mut known = lock(&self.known);
        known.round = known.round.wrapping_add(1);
    }

    fn apply(&mut self, text: &str) -> Result<String, Fault> {
        let One { key, mut object, resource_version, wrong, findings } = self.read(text)?;
        if self.stand(&key, &resource_version, text) && matches!(self.kind, Kind::ForeignRrsets) {
            object = None;
        }
        lock(&self.known).note(&key, findings);
        if self.kind == Kind::Cluster {
            // A whole member does not go because its object cannot be understood.
            if wrong && self.keep(&key) {
                return Ok(resource_version);
            }
            let member = object.is_some().then(|| member_spec::read(text)).flatten();
            self.news.clusters.push((key.name.clone(), member));
        }
        if self.host_only
            && let Some((status_key, status, localities)) = host_status::read(text, &key)
        {
            self.news.localities.extend(localities);
            self.put(status_key, object.is_some().then_some(status));
        }
        self.put(key, object);
        Ok(resource_version)
    }

    fn delete(&mut self, text: &str) -> Result<String, Fault> {
        let One { key, resource_version, .. } = self.read(text)?;
        if let Some(status_key) = self.host_only.then(|| host_status::key_of(&key)).flatten() {
            self.remove(status_key);
        }
        self.remove(key);
        Ok(resource_version)
    }

    fn complete(&mut self) {
        let mut known = lock(&self.known);
        let round = known.round;
        let (kind, standing) = (self.kind, self.standing);
        let gone: Vec<ObjectKey> = known
            .slots
            .iter()
            .filter(|(key, slot)| slot.round != round && is_answered_by(kind, key.kind))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            known.findings.remove(&key);
            if let Some(slot) = known.slots.remove(&key) {
                self.news.gone(key, &slot, standing);
            }
        }
    }

    async fn flush(&mut self) -> bool {
        let objects = lock(&self.known).slots.len();
        self.meter.objects(objects);
        if self.news.is_empty() {
            return !self.sender.is_closed();
        }
        let Some(room) = self.sender.room().await else { return false };
        room.send(Message::News(self.sender.from(), std::mem::take(&mut self.news)));
        true
    }
}

/// True if a complete list of `listed` says that an object of `kind` that is not in it is gone. Where there are
/// slices, Endpoints are not read any more; the status of a record goes with it.
fn is_answered_by(listed: Kind, kind: Kind) -> bool {
    listed == kind
        || matches!(
            (listed, kind),
            (Kind::EndpointSlice, Kind::Endpoints)
                | (Kind::ServiceRecord, Kind::ServiceStatus)
                | (Kind::IngressRecord, Kind::IngressStatus)
        )
}

impl News {
    fn gone(&mut self, key: ObjectKey, slot: &Slot, standing: Option<StandingKind>) {
        if let Some(kind) = standing.filter(|_| slot.standing.is_some()) {
            self.standings.push(StandingChange { key: standing::key_of(kind, &key), standing: None });
            if kind == StandingKind::DomainAnnotations {
                let key = standing::key_of(StandingKind::DomainStatus, &key);
                self.standings.push(StandingChange { key, standing: None });
            }
        }
        if key.kind == Kind::Cluster {
            self.clusters.push((key.name.clone(), None));
        }
        if slot.object.is_some() {
            self.observations.push(Observation { key, object: None });
        }
    }
}

fn digest(version: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    hasher.finish()
}

/// Notices of changed Secrets: nothing of them is kept but a digest of the version.
pub(super) struct SecretSink {
    versions: BTreeMap<String, u64>,
    /// Those of the list that is under way.
    listed: Option<Vec<String>>,
    changed: Vec<String>,
    sender: mpsc::Sender<Message>,
}

impl SecretSink {
    pub(super) fn new(sender: mpsc::Sender<Message>) -> Self {
        Self { versions: BTreeMap::new(), listed: None, changed: Vec::new(), sender }
    }

    fn read(text: &str) -> Result<(String, String), Fault> {
        #[derive(serde::Deserialize)]
        struct Object {
            metadata: Meta,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            name: String,
            resource_version: String,
        }
        let object: Object = serde_json::from_str(text).map_err(|error| Fault::Garbage(error.to_string()))?;
        Ok((object.metadata.name, object.metadata.resource_version))
    }
}

impl Sink for SecretSink {
    fn choose(&mut self, _: &Choice) {}

    fn begin(&mut self) {
        self.listed = Some(Vec::new());
    }

    fn apply(&mut self, text: &str) -> Result<String, Fault> {
        let (name, version) = Self::read(text)?;
        if let Some(listed) = &mut self.listed {
            listed.push(name.clone());
        }
        let digest = digest(&version);
        if self.versions.insert(name.clone(), digest) != Some(digest) {
            self.changed.push(name);
        }
        Ok(version)
    }

    fn delete(&mut self, text: &str) -> Result<String, Fault> {
        let (name, version) = Self::read(text)?;
        self.versions.remove(&name);
        self.changed.push(name);
        Ok(version)
    }

    fn complete(&mut self) {
        let listed: std::collections::BTreeSet<String> = self.listed.take().unwrap_or_default().into_iter().collect();
        let changed = &mut self.changed;
        self.versions.retain(|name, _| {
            let stays = listed.contains(name);
            if !stays {
                changed.push(name.clone());
            }
            stays
        });
    }

    async fn flush(&mut self) -> bool {
        if self.changed.is_empty() {
            return !self.sender.is_closed();
        }
        let Ok(room) = self.sender.reserve().await else { return false };
        room.send(Message::Secrets(std::mem::take(&mut self.changed)));
        true
    }
}

#[cfg(test)]
mod tests {
    use mcdns_core::model::ClusterName;

    use super::*;
    use crate::kubernetes::{desk::From, resource};

    const SERVICE: &str = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop",
        "resourceVersion": "5"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}"#;
    const SECRET: &str = r#"{"metadata": {"name": "us-token", "resourceVersion": "7"}}"#;

    /// Drops a flush that waits for room, as a watch does whose link changes.
    async fn cut_off(sink: &mut impl Sink) {
        tokio::select! {
            biased;
            _ = sink.flush() => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn what_a_flush_that_was_cut_off_did_not_hand_over_goes_with_the_next_one() {
        let (inbox, mut messages) = mpsc::channel(1);
        let us = Scope::Member(ClusterName::from("us"));
        let sender = Sender::new(From::default(), inbox.clone());
        let mut sink = ObjectSink::new(us, SharedKnown::default(), Arc::new(Meter::new("Service")), sender, false);
        sink.choose(&resource::of_member(&crate::objects::managed_selector())[0].choices[0]);
        sink.apply(SERVICE).expect("a Service");
        inbox.try_send(Message::Secrets(Vec::new())).expect("room");
        cut_off(&mut sink).await;
        messages.recv().await.expect("what filled the inbox");
        assert!(sink.flush().await);
        let Some(Message::News(_, news)) = messages.recv().await else { panic!("there is news") };
        assert_eq!(&*news.observations[0].key.name, "web");
        assert!(sink.flush().await && messages.try_recv().is_err(), "it is told once");
    }

    #[tokio::test]
    async fn so_do_names_of_secrets() {
        let (inbox, mut messages) = mpsc::channel(1);
        let mut sink = SecretSink::new(inbox.clone());
        sink.apply(SECRET).expect("a Secret");
        inbox.try_send(Message::Secrets(Vec::new())).expect("room");
        cut_off(&mut sink).await;
        messages.recv().await.expect("what filled the inbox");
        assert!(sink.flush().await);
        let Some(Message::Secrets(names)) = messages.recv().await else { panic!("there are names") };
        assert_eq!(names, ["us-token"]);
    }
}
