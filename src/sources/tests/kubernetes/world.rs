//! A host and members in this process, and what is observed of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mcdns_api::{Standing, StandingKey};
use mcdns_core::{
    answer::Zone,
    dns::{RecordType, display_rdata},
    health::Verdict,
    model::{ClusterName, Object, ObjectKey, Observation},
    records::{self, Engine},
};
use mcdns_sources::{
    kubernetes::{Batch, Handle, HealthMode, HealthOptions, Kubernetes, Options, Report},
    objects::managed_selector,
};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use tokio::sync::mpsc;

/// Namespace of KubeFedClusters.
pub(crate) const SYSTEM: &str = "kube-federation-system";
/// How long anything may take. It takes milliseconds; a loaded machine may need more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clusters in this process.
pub(crate) struct World {
    pub(crate) host: ApiServer,
    pub(crate) members: Arc<Mutex<BTreeMap<String, ApiServer>>>,
    pub(crate) options: Options,
}

impl World {
    /// A host with these members, each with its KubeFedCluster and Secret.
    pub(crate) fn new(members: &[&str]) -> Self {
        let world = Self {
            host: ApiServer::host(),
            members: Arc::default(),
            options: Options {
                system_namespace: SYSTEM.to_owned(),
                selector: managed_selector(),
                health: HealthOptions { mode: HealthMode::Own, ..HealthOptions::default() },
                host_only: false,
                endpoint_groups: vec!["multiclusterdns.kubefed.io".to_owned()],
            },
        };
        for name in members {
            world.join(name);
        }
        world
    }

    /// Adds a member.
    pub(crate) fn join(&self, name: &str) -> ApiServer {
        let server = ApiServer::member();
        self.members.lock().expect("no panic").insert(name.to_owned(), server.clone());
        self.secret(name, "first");
        self.host.put(cluster(name));
        server
    }

    /// The server of a member.
    pub(crate) fn member(&self, name: &str) -> ApiServer {
        self.members.lock().expect("no panic")[name].clone()
    }

    /// Writes the Secret of a member.
    pub(crate) fn secret(&self, name: &str, token: &str) {
        // Of real ones only the token matters here; "first" is Zmlyc3Q= and so on.
        let encoded = match token {
            "first" => "Zmlyc3Q=",
            _ => "c2Vjb25k",
        };
        self.host.put(json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": format!("{name}-token"), "namespace": SYSTEM}, "data": {"token": encoded}}));
    }

    /// Starts observing.
    pub(crate) fn observe(&self) -> View {
        self.observe_after(Vec::new())
    }

    /// Starts observing with what was known before.
    pub(crate) fn observe_after(&self, known: Vec<(ObjectKey, Arc<Object>)>) -> View {
        let members = Arc::clone(&self.members);
        let connect = move |name: &ClusterName| members.lock().expect("no panic").get(&**name).map(ApiServer::client);
        let mut kubernetes = Kubernetes::new(self.host.client(), self.options.clone()).with_connect(Arc::new(connect));
        kubernetes.adopt(known.clone());
        let (sender, batches) = mpsc::channel(1);
        let handle = kubernetes.spawn(sender);
        let mut engine = Engine::new(records::Options::default());
        let observe = |(key, object): &(ObjectKey, Arc<Object>)| Observation {
            key: key.clone(),
            object: Some(Arc::clone(object)),
        };
        engine.observe(&known.iter().map(observe).collect::<Vec<_>>(), None);
        View {
            engine,
            handle,
            batches,
            objects: known.into_iter().collect(),
            standings: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            verdicts_seen: 0,
            gone: Vec::new(),
            firsts: 0,
        }
    }
}

/// What was told so far.
pub(crate) struct View {
    pub(crate) handle: Handle,
    /// What follows from it.
    pub(crate) engine: Engine,
    pub(crate) batches: mpsc::Receiver<Batch>,
    pub(crate) objects: BTreeMap<ObjectKey, Arc<Object>>,
    pub(crate) standings: BTreeMap<StandingKey, Standing>,
    pub(crate) verdicts: BTreeMap<ClusterName, Verdict>,
    pub(crate) verdicts_seen: usize,
    /// Every object that was ever told to be gone.
    pub(crate) gone: Vec<ObjectKey>,
    pub(crate) firsts: usize,
}

impl View {
    /// Takes the next batch.
    pub(crate) async fn next(&mut self) -> Batch {
        let batch = tokio::time::timeout(PATIENCE, self.batches.recv()).await;
        let batch = batch.expect("a batch in time").expect("the desk lives");
        let accepted = self.engine.observe_with(&batch.observations, &batch.word, None).accepted;
        for observation in &accepted {
            if let Some(object) = &observation.object {
                self.objects.insert(observation.key.clone(), Arc::clone(object));
            } else {
                self.gone.push(observation.key.clone());
                self.objects.remove(&observation.key);
            }
        }
        for change in &batch.standings {
            match &change.standing {
                Some(standing) => self.standings.insert(change.key.clone(), standing.clone()),
                None => self.standings.remove(&change.key),
            };
        }
        self.verdicts_seen += batch.verdicts.len();
        for (name, verdict) in &batch.verdicts {
            match verdict {
                Some(verdict) => self.verdicts.insert(Arc::clone(name), verdict.clone()),
                None => self.verdicts.remove(name),
            };
        }
        self.firsts += usize::from(batch.first);
        batch
    }

    /// Takes batches until something holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                self.next().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
    }

    /// Waits for a report, and goes on taking batches meanwhile.
    pub(crate) async fn report(&mut self, what: &str, holds: impl Fn(&Report) -> bool) -> Arc<Report> {
        let mut reports = self.handle.reports();
        let wait = async {
            loop {
                let report = Arc::clone(&reports.borrow_and_update());
                if holds(&report) {
                    return report;
                }
                tokio::select! {
                    changed = reports.changed() => changed.expect("the desk lives"),
                    _ = self.next() => {}
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        assert!(found.is_ok(), "in vain: {what}");
        found.expect("it was found")
    }

    /// The addresses of a name.
    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        let zones = self.engine.snapshot().zones().flat_map(Zone::expanded);
        let here = zones.filter(|(owner, _)| owner.to_string() == name).flat_map(|(_, rrsets)| rrsets);
        let mut addresses: Vec<String> = here
            .filter(|rrset| rrset.record_type == RecordType::A)
            .flat_map(|rrset| rrset.data().iter().map(|data| display_rdata(RecordType::A, data)).collect::<Vec<_>>())
            .collect();
        addresses.sort();
        addresses
    }

    /// True if this is known.
    pub(crate) fn has(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key)
    }
}

/// A KubeFedCluster.
pub(crate) fn cluster(name: &str) -> Value {
    json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"apiEndpoint": format!("https://{name}.example:6443"), "secretRef": {"name": format!("{name}-token")}}})
}

/// A Service with a load balancer, as KubeFed writes it to a member.
pub(crate) fn service(name: &str, address: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubefed.io/managed": "true"}},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
}
