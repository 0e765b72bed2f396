//! What external-dns publishes into us, where settings name zones for it.
//!
//! ```text
//!   server ── names ──► engine
//!          └─ keep ──► DNSEndpoints, by the holder of the lease ─┐
//!                  └─► (without Kubernetes) ─────────────────────┴─► loop: observations ─► answers, state directory
//! ```
//!
//! What is kept is what was observed of it, so that there is one truth: in Kubernetes the objects come back by the
//! watch, too; without, the state directory has them as it has every other observation.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use futures::future::BoxFuture;
use mcdns_api::EndpointItem;
use mcdns_control::writer::KeptEndpoints;
use mcdns_core::{
    check::Finding,
    dns::OwnerName,
    model::{Fact, ForeignRrset, Kind, Object, ObjectKey, Observation},
};
use mcdns_sources::webhook::{self, FAMILY, KeepError, Keeper, Names, Options, Report, name_of, object_name};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::Host;
use crate::{
    admin::{Admin, webhook_metrics::collect_webhook},
    federation::Federation,
    settings::Settings,
};

/// How long the loop may take until it serves what was kept. It stops while a successor has the state directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between tries to have an address that a predecessor has.
const TAKE_OVER: Duration = Duration::from_millis(100);

/// The server, and what it tells.
pub(super) struct Webhook {
    findings: watch::Receiver<Vec<Finding>>,
    task: JoinHandle<()>,
}

/// Observations for the loop, in parts, and whom to tell that they are served.
pub(super) struct Kept {
    pub(super) parts: Vec<Vec<Observation>>,
    pub(super) done: oneshot::Sender<()>,
}

struct InRun {
    federation: Arc<Mutex<Federation>>,
    /// None without Kubernetes.
    objects: Option<KeptEndpoints>,
    /// There is a host cluster, and nothing is ever written there.
    read_only: bool,
    zones: Vec<OwnerName>,
    system_namespace: String,
    kept: mpsc::Sender<Kept>,
}

/// True for what was kept without Kubernetes: its key says so.
pub(super) fn is_kept_here(key: &ObjectKey) -> bool {
    key.kind == Kind::ForeignRrsets && matches!(key.plain_name(), (_, Some(FAMILY)))
}

impl Webhook {
    /// Begins to listen, if the settings name zones; what comes in goes to `kept`.
    pub(super) async fn open(
        settings: &Settings,
        federation: &Arc<Mutex<Federation>>,
        host: Option<&Host>,
        admin: &Admin,
        kept: mpsc::Sender<Kept>,
    ) -> Result<Option<Self>> {
        let set = &settings.webhook;
        if !set.is_on() {
            return Ok(None);
        }
        let address = set.listen.value;
        let takes_over = settings.server.handover.value.is_some();
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            // The predecessor has it until it ends.
            Err(error) if takes_over && error.kind() == ErrorKind::AddrInUse => None,
            Err(error) => {
                let help = "set another webhook.listen";
                anyhow::bail!("the webhook for external-dns cannot listen on {address}: {error}\n  help: {help}")
            }
        };
        if host.is_none() && settings.state_dir.value.is_none() {
            tracing::warn!("what external-dns publishes is gone after a restart; set stateDir to keep it");
        }
        let objects = host.and_then(Host::kept_endpoints);
        let keeper = InRun {
            federation: Arc::clone(federation),
            read_only: host.is_some() && objects.is_none(),
            objects,
            zones: set.zones.value.clone(),
            system_namespace: settings.system_namespace.value.clone(),
            kept,
        };
        let report = Report::default();
        let counts = report.clone();
        admin.metrics().add(move |families| {
            let refused = counts.findings().borrow().len();
            collect_webhook(&counts.counts(), refused, families);
        });
        let options = Options { zones: set.zones.value.clone(), may_empty: set.may_empty.value };
        let findings = report.findings();
        let task = tokio::spawn(async move {
            let listener = match listener {
                Some(listener) => listener,
                None => bound(address).await,
            };
            let place = listener.local_addr().map_or_else(|_| address.to_string(), |address| address.to_string());
            tracing::info!(address = place, "external-dns may publish (provider webhook)");
            webhook::serve(listener, options, Arc::new(keeper), report).await;
        });
        Ok(Some(Self { findings, task }))
    }

    /// What is wrong with endpoints.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.findings.borrow().clone()
    }

    /// Waits until that is something else; for ever where there is no webhook.
    pub(super) async fn changed(webhook: &mut Option<Self>) {
        let is_there = match webhook {
            Some(webhook) => webhook.findings.changed().await.is_ok(),
            None => false,
        };
        if !is_there {
            std::future::pending::<()>().await;
        }
    }
}

/// Tries until the address is free.
async fn bound(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(TAKE_OVER).await;
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper for InRun {
    fn names(&self) -> Names {
        let federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = federation.engine().foreign_objects();
        let named = objects.filter_map(|(key, rrsets)| {
            let owner = name_of(key, rrsets, &self.system_namespace)?;
            // What is kept outside are ownership records.
            let is_mark = rrsets.iter().all(|rrset| rrset.record_type == "TXT");
            let is_here = is_mark || self.zones.iter().any(|apex| owner.is_at_or_below(apex));
            is_here.then(|| (owner, rrsets.to_vec()))
        });
        named.collect()
    }

    fn keep(&self, changed: Names) -> BoxFuture<'_, Result<(), KeepError>> {
        Box::pin(async move {
            if self.read_only {
                return Err(KeepError::NotHere("this replica never writes (hostOnly)".to_owned()));
            }
            let Some(objects) = &self.objects else { return self.observe(changed).await };
            if let Some(why) = objects.not_here() {
                return Err(KeepError::NotHere(why));
            }
            let named: Vec<(String, Vec<EndpointItem>)> =
                changed.iter().map(|(owner, rrsets)| (object_name(owner), rrsets.iter().map(item).collect())).collect();
            let (done, wrong) = objects.bring(named).await;
            let kept = changed.into_iter().filter(|(owner, _)| done.contains(&object_name(owner))).collect();
            let observed = self.observe(kept).await;
            wrong.map_or(observed, |why| Err(KeepError::Failed(why)))
        })
    }
}

impl InRun {
    /// Has what is kept served.
    async fn observe(&self, changed: Names) -> Result<(), KeepError> {
        let mut observations: Vec<Observation> =
            changed.into_iter().map(|(owner, rrsets)| self.observation(&owner, rrsets)).collect();
        // Whoever may empty the zones was let through; the guard of the engine would hold it again.
        let last = observations.pop();
        let (done, served) = oneshot::channel();
        let parts = [observations, last.into_iter().collect()];
        let kept = Kept { parts: parts.into_iter().filter(|part| !part.is_empty()).collect(), done };
        let passed = async {
            self.kept.send(kept).await.ok()?;
            served.await.ok()
        };
        match tokio::time::timeout(PATIENCE, passed).await {
            Ok(Some(())) => Ok(()),
            _ => Err(KeepError::NotHere("another process takes over, or this one ends".to_owned())),
        }
    }

    fn observation(&self, owner: &OwnerName, rrsets: Vec<ForeignRrset>) -> Observation {
        let key = match &self.objects {
            Some(_) => ObjectKey::host(Kind::ForeignRrsets, &self.system_namespace, &object_name(owner)),
            None => ObjectKey::foreign("", &owner.to_string(), FAMILY),
        };
        let object = (!rrsets.is_empty()).then(|| Arc::new(Object::new(Fact::ForeignRrsets(rrsets))));
        Observation { key, object }
    }
}

fn item(rrset: &ForeignRrset) -> EndpointItem {
    EndpointItem {
        dns_name: rrset.owner.clone(),
        record_ttl: rrset.ttl,
        record_type: rrset.record_type.clone(),
        targets: rrset.targets.clone(),
        ..EndpointItem::default()
    }
}
