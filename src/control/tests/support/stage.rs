//! A writer on an API server in the process, with somebody who watches for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use mcdns_api::{
    DnsEndpoint, EndpointItem, Metadata, OwnerReference, Standing, StandingChange, StandingKey, StandingKind,
};
use mcdns_control::{
    Desired, Leadership, RecordObjects, Urgency, Warning, WriterHandle, WriterOptions, lease::Term, recorder, writer,
};
use mcdns_core::model::{NamespacedName, RecordKey, RecordKind, Timestamp};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::ApiServer;

pub(crate) const DNS: &str = "/apis/multiclusterdns.kubefed.io/v1alpha1/namespaces/shop";
const GROUP: &str = "/apis/multiclusterdns.kubefed.io/v1alpha1/namespaces";
pub(crate) const ALL: [StandingKind; 6] = [
    StandingKind::ServiceRecordStatus,
    StandingKind::IngressRecordStatus,
    StandingKind::Endpoint,
    StandingKind::ExternalDnsEndpoint,
    StandingKind::ClusterStatus,
    StandingKind::DomainAnnotations,
];

/// What is wanted, as an engine would say it.
#[derive(Default)]
pub(crate) struct Wanted {
    records: Mutex<BTreeMap<RecordKey, RecordObjects>>,
}

impl Desired for Wanted {
    fn objects(&self, key: &RecordKey) -> Option<RecordObjects> {
        self.records.lock().expect("no panic").get(key).cloned()
    }

    fn record_keys(&self) -> Vec<RecordKey> {
        self.records.lock().expect("no panic").keys().cloned().collect()
    }
}

pub(crate) struct Stage {
    pub(crate) server: ApiServer,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) writer: WriterHandle,
    pub(crate) leadership: watch::Sender<Leadership>,
}

/// Of the namespace `shop`, unless the name says another: `office/web`.
pub(crate) fn key(name: &str) -> RecordKey {
    let (namespace, name) = placed(name);
    RecordKey { kind: RecordKind::Service, name: NamespacedName { namespace: namespace.into(), name: name.into() } }
}

pub(crate) fn record_path(name: &str) -> String {
    let (namespace, name) = placed(name);
    format!("{GROUP}/{namespace}/servicednsrecords/{name}")
}

pub(crate) fn endpoint_path(name: &str) -> String {
    let (namespace, name) = placed(name);
    format!("{GROUP}/{namespace}/dnsendpoints/service-{name}")
}

fn placed(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("shop", name))
}

pub(crate) fn holder() -> Leadership {
    holder_again(1)
}

/// The holder in its term of this number.
pub(crate) fn holder_again(epoch: u64) -> Leadership {
    let term = Term::starting(Instant::now(), Duration::from_hours(1000));
    Leadership::Holder { since: Timestamp(0), transitions: 1, epoch, term }
}

impl Stage {
    /// A holder that knows everything that stands.
    pub(crate) fn new() -> Self {
        let stage = Self::on(ApiServer::new(), WriterOptions::new("fed"), Arc::default(), holder());
        stage.writer.stands_complete(&ALL);
        stage
    }

    pub(crate) fn on(server: ApiServer, options: WriterOptions, wanted: Arc<Wanted>, now: Leadership) -> Self {
        let (leadership, receiver) = watch::channel(now);
        let recorder = recorder(server.client(), "replica-1", receiver.clone());
        let writer = writer::spawn(server.client(), options, wanted.clone(), receiver, recorder);
        let watcher = Watcher { server: server.clone(), writer: writer.clone(), seen: BTreeMap::new() };
        let mut watcher = watcher;
        watcher.hand_in();
        tokio::spawn(watcher.run());
        Self { server, wanted, writer, leadership }
    }

    /// The record exists in the host, and this is wanted of it.
    pub(crate) fn want(&self, name: &str, target: &str, is_degraded: bool) {
        let path = record_path(name);
        if self.server.get(&path).is_none() {
            self.server
                .put(&path, json!({"metadata": {"namespace": placed(name).0}, "spec": {"domainRef": "galactic"}}));
        }
        let objects = objects(name, target, is_degraded);
        self.wanted.records.lock().expect("no panic").insert(key(name), objects);
        self.writer.touch([key(name)], Urgency::Answers);
    }

    /// Something is wanted of a record that cannot be told for sure yet.
    pub(crate) fn want_unsettled(&self, name: &str, target: &str) {
        let objects = RecordObjects { unsettled: true, ..objects(name, target, false) };
        self.wanted.records.lock().expect("no panic").insert(key(name), objects);
        self.writer.touch([key(name)], Urgency::Answers);
    }

    /// Something else is wanted of a record, and the writer is not told.
    pub(crate) fn change_silently(&self, name: &str, target: &str) {
        self.wanted.records.lock().expect("no panic").insert(key(name), objects(name, target, false));
    }

    /// A record that has no names.
    pub(crate) fn want_nothing_of(&self, name: &str) {
        let mut objects = objects(name, "", false);
        objects.endpoints[0].spec.endpoints.clear();
        objects.record["status"].as_object_mut().expect("a status").remove("dns");
        self.wanted.records.lock().expect("no panic").insert(key(name), objects);
        self.writer.touch([key(name)], Urgency::Answers);
    }

    /// The record is deleted.
    pub(crate) fn unwant(&self, name: &str) {
        self.server.delete(&record_path(name));
        self.forget(name);
    }

    pub(crate) fn forget(&self, name: &str) {
        self.wanted.records.lock().expect("no panic").remove(&key(name));
        self.writer.touch([key(name)], Urgency::Answers);
    }

    /// Waits until the target stands in the DNSEndpoint and the status.
    pub(crate) async fn until_written(&self, name: &str, target: &str) {
        let (record, endpoint) = (record_path(name), endpoint_path(name));
        self.server
            .until("both are written", |server| {
                let stands = |path: &str, pointer: &str| {
                    server.get(path).is_some_and(|object| object.pointer(pointer) == Some(&json!(target)))
                };
                stands(&endpoint, "/spec/endpoints/0/targets/0")
                    && stands(&record, "/status/dns/0/loadBalancer/ingress/0/ip")
            })
            .await;
    }

    /// Time goes by.
    pub(crate) async fn idle(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }

    pub(crate) async fn until_event(&self, reason: &str) -> Value {
        let find = |server: &ApiServer| {
            let mut objects = server.objects().into_iter().filter(|(path, _)| path.contains("/events/"));
            objects.find(|(_, event)| event["reason"] == reason).map(|(_, event)| event)
        };
        self.server.until(reason, |server| find(server).is_some()).await;
        find(&self.server).expect("it was there")
    }
}

fn objects(name: &str, target: &str, is_degraded: bool) -> RecordObjects {
    let (namespace, name) = placed(name);
    let mut metadata = Metadata::named(namespace, format!("service-{name}"));
    metadata.owner_references.push(OwnerReference {
        api_version: mcdns_api::dns::API_VERSION.to_owned(),
        kind: "ServiceDNSRecord".to_owned(),
        name: name.to_owned(),
        uid: "record".to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    });
    let item = EndpointItem {
        dns_name: format!("{name}.{namespace}.galactic.svc.example.com"),
        record_ttl: 180,
        record_type: "A".to_owned(),
        targets: vec![target.to_owned()],
        ..EndpointItem::default()
    };
    let degraded = if is_degraded { "True" } else { "False" };
    let message = "cluster c2 is of unknown readiness".to_owned();
    RecordObjects {
        unsettled: false,
        record: json!({
            "apiVersion": mcdns_api::dns::API_VERSION,
            "kind": "ServiceDNSRecord",
            "metadata": {"namespace": namespace, "name": name},
            "status": {
                "conditions": [
                    {"type": "Degraded", "status": degraded, "reason": "ClusterUnready", "message": message},
                    {"type": "Ready", "status": "True", "reason": "Published", "message": ""},
                ],
                "dns": [{"cluster": "c1", "loadBalancer": {"ingress": [{"ip": target}]}}],
            },
        }),
        endpoints: vec![DnsEndpoint::new(metadata, vec![item])],
        warnings: Vec::from_iter(is_degraded.then_some(Warning {
            condition: "Degraded".into(),
            reason: "ClusterUnready".into(),
            message,
        })),
    }
}

/// Hands in what changed, as the sources do.
struct Watcher {
    server: ApiServer,
    writer: WriterHandle,
    seen: BTreeMap<String, Value>,
}

impl Watcher {
    async fn run(mut self) {
        let mut changes = self.server.changes();
        self.hand_in();
        while changes.changed().await.is_ok() {
            self.hand_in();
        }
    }

    fn hand_in(&mut self) {
        let now = self.server.objects();
        let gone = self.seen.keys().filter(|path| !now.contains_key(*path)).map(|path| (path, None));
        let new = now.iter().filter(|(path, object)| self.seen.get(*path) != Some(object));
        let changes = gone.chain(new.map(|(path, object)| (path, Some(object))));
        let changes: Vec<StandingChange> = changes.filter_map(|(path, object)| change(path, object)).collect();
        self.seen = now;
        if !changes.is_empty() {
            self.writer.stands(changes);
        }
    }
}

fn change(path: &str, object: Option<&Value>) -> Option<StandingChange> {
    let words: Vec<&str> = path.split('/').collect();
    let [_, _, group, _, _, namespace, plural, name] = words[..] else { return None };
    let kind = match (group, plural) {
        (_, "servicednsrecords") => StandingKind::ServiceRecordStatus,
        ("externaldns.k8s.io", "dnsendpoints") => StandingKind::ExternalDnsEndpoint,
        (_, "dnsendpoints") => StandingKind::Endpoint,
        (_, "kubefedclusters") => StandingKind::ClusterStatus,
        (_, "domains") => StandingKind::DomainAnnotations,
        _ => return None,
    };
    let key = StandingKey { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    Some(StandingChange { key, standing: object.map(|object| Standing::of(kind, object)) })
}

/// Now, in seconds, for comparing with what was written.
pub(crate) fn wall() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after the epoch");
    i64::try_from(now.as_secs()).expect("this millennium")
}
