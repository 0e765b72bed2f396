//! The admin port: is it alive, what is missing, what happened, why.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 while anything can be answered, 503 when nothing can; the body says what is stale or missing |
//! | `/metrics` | Prometheus text exposition |
//! | `/explain?name=&type=` | what `mcdns explain -o json` prints |
//! | `/history?name=` | changes of a name, newest first, as JSON |
//! | `/findings` | what is wrong, as JSON |
//! | `/plan?output=&to=` | what `mcdns plan` prints; as POST with `checksum=` and `force=`, has that plan applied |
//! | `POST /cordon/CLUSTER`, `DELETE /cordon/CLUSTER` | takes a cluster out of this replica's answers, or back, until the host speaks of it again |
//! | `POST /skydns/release/WORD` | lets go of keys of SkyDNS that are held |
//!
//! There are no passwords. In a Pod the port is open to others, for probes and metrics, so that what changes something
//! is taken from loopback alone: whoever gets there has passed the API server's authorisation (`kubectl exec`,
//! `kubectl port-forward`) or is on the machine. A page in a browser of that machine is neither.

pub mod families;
pub mod host_metrics;
mod metrics;
pub mod publish_metrics;
mod release;
mod server_metrics;
mod vitals;
pub mod webhook_metrics;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, Query, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use mcdns_core::{
    check::Finding,
    dns::{OwnerName, RecordType},
};
use mcdns_publish::Publishing;
use mcdns_serve::{Server, SnapshotStore};
use mcdns_sources::skydns::Releases;
use mcdns_state::{StateDirectory, StateStatus};
use serde::Deserialize;

use crate::{
    commands::{self, explain::explained, plan::PlanQuery},
    federation::Federation,
    output::plural,
};

pub use families::{Buckets, Families, Family};
pub use metrics::Metrics;

/// What the admin port reads; shared with whoever changes it.
#[derive(Debug)]
pub struct Admin {
    store: Arc<SnapshotStore>,
    /// None where master files alone are served.
    federation: Option<Arc<Mutex<Federation>>>,
    metrics: Metrics,
    sources: Mutex<Sources>,
    /// State directory of master files; that of a federation is there.
    state: Mutex<Option<Arc<StateDirectory>>>,
    /// None where nothing is published.
    publishing: Mutex<Option<Arc<Publishing>>>,
    /// None where no keys are followed.
    releases: Mutex<Option<Releases>>,
}

/// How the sources are.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// True where it is known that there are no more zones than those that are served: then none is right too.
    pub knows_zones: bool,
    /// One line for each source that is stale or lost.
    pub stale: Vec<String>,
    /// What is wrong in what the sources read.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct NameQuery {
    name: String,
    #[serde(rename = "type")]
    record_type: Option<RecordType>,
}

impl Admin {
    /// An admin port over what `store` serves and `server` counts; with a federation, it explains too.
    ///
    /// # Errors
    ///
    /// Metrics that contradict each other, which is a fault of the program.
    pub fn new(
        store: Arc<SnapshotStore>,
        server: &Server,
        federation: Option<Arc<Mutex<Federation>>>,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(server.counters().clone())?;
        let (vitals, transfers) = (server.vitals().clone(), Arc::clone(store.transfers()));
        metrics.add(move |families| vitals::collect(&vitals, &transfers, families));
        Ok(Self {
            store,
            federation,
            metrics,
            sources: Mutex::default(),
            state: Mutex::default(),
            publishing: Mutex::default(),
            releases: Mutex::default(),
        })
    }

    /// Says where the state of master files is kept.
    pub fn set_state(&self, state: Option<Arc<StateDirectory>>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Says how the sources are.
    pub fn set_sources(&self, sources: Sources) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// Says where the publishers are, for `/plan`.
    pub fn set_publishing(&self, publishing: Option<Arc<Publishing>>) {
        *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = publishing;
    }

    /// Says how keys of SkyDNS that are held can be let go.
    pub fn set_releases(&self, releases: Option<Releases>) {
        *self.releases.lock().unwrap_or_else(PoisonError::into_inner) = releases;
    }

    /// What counts in the loop of observations.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn sources(&self) -> Sources {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> Option<StateStatus> {
        let of_federation = self.federation().and_then(|federation| federation.state().cloned());
        let state = of_federation.or_else(|| self.state.lock().unwrap_or_else(PoisonError::into_inner).clone());
        state.map(|state| state.status())
    }

    fn federation(&self) -> Option<MutexGuard<'_, Federation>> {
        let federation = self.federation.as_ref()?;
        Some(federation.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves the admin port on `listener` until the process ends.
///
/// # Errors
///
/// What the listener says.
pub async fn serve(listener: tokio::net::TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    axum::serve(listener, router(admin).into_make_service_with_connect_info::<SocketAddr>()).await
}

fn router(admin: Arc<Admin>) -> Router {
    let changes = Router::new()
        .route("/plan", post(apply_plan))
        .route("/cordon/{cluster}", post(cordon).delete(uncordon))
        .route("/skydns/release/{word}", post(release::release))
        .route_layer(middleware::from_fn(from_here_alone));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(exposition))
        .route("/explain", get(explain))
        .route("/history", get(history))
        .route("/findings", get(findings))
        .route("/plan", get(plan))
        .merge(changes)
        .with_state(admin)
}

/// Passes requests on that come from this machine, and not from a page in a browser.
async fn from_here_alone(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    // A page reaches loopback too; browsers say where such a request comes from.
    if request.headers().contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "not from a page in a browser\n").into_response();
    }
    // A socket of both families tells IPv4 as IPv6.
    if !peer.ip().to_canonical().is_loopback() {
        let method = request.method().clone();
        tracing::warn!(%peer, %method, path = request.uri().path(), "a change asked for from elsewhere was refused");
        let text = "changes are taken from loopback alone\n  help: kubectl exec into the Pod and ask 127.0.0.1 there, or \
                    kubectl port-forward and ask its end here\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Binds the admin port. One that nobody asked for is done without where its address is taken.
///
/// # Errors
///
/// Names the address and what to do.
pub async fn bind(address: SocketAddr, asked_for: bool) -> anyhow::Result<Option<tokio::net::TcpListener>> {
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if asked_for => {
            let help = "choose another with --admin ADDR:PORT";
            anyhow::bail!("the admin port {address} cannot be opened: {error}\n  help: {help}")
        }
        Err(error) => {
            tracing::warn!(%address, %error, "no admin port, because its address is taken; choose another with --admin");
            Ok(None)
        }
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let sources = admin.sources();
    let (zones, generation) = {
        let snapshot = admin.store.load();
        (snapshot.zones().count(), snapshot.generation())
    };
    let mut lines = vec![match (zones, sources.knows_zones) {
        (0, false) => "not ready: there is no zone to answer for".to_owned(),
        (0, true) => "ready: there is no Domain yet, and everything is refused".to_owned(),
        _ => format!("ready: {} at generation {generation}", plural(zones, "zone")),
    }];
    lines.extend(sources.stale.iter().map(|stale| format!("stale: {stale}")));
    if let Some(state) = admin.state() {
        lines.extend(
            state.problems.iter().map(|problem| format!("state: {}: {}", problem.path.display(), problem.reason)),
        );
    }
    let code = if zones == 0 && !sources.knows_zones { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, lines.join("\n") + "\n").into_response()
}

async fn exposition(State(admin): State<Arc<Admin>>) -> Response {
    let sources = admin.sources();
    let state = admin.state();
    match admin.metrics.exposition(&admin.store.load(), admin.federation().as_deref(), state.as_ref(), &sources) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn explain(State(admin): State<Arc<Admin>>, Query(query): Query<NameQuery>) -> Response {
    with_name(&admin, &query, |federation, name| {
        let engine = federation.engine();
        Json(explained(name, query.record_type, engine.snapshot(), engine.explain(name))).into_response()
    })
}

async fn history(State(admin): State<Arc<Admin>>, Query(query): Query<NameQuery>) -> Response {
    with_name(&admin, &query, |federation, name| {
        let changes: Vec<_> = federation.history().of(name).iter().map(|change| (**change).clone()).collect();
        Json(changes).into_response()
    })
}

/// Answers about a name of the federation.
fn with_name(admin: &Admin, query: &NameQuery, answer: impl FnOnce(&Federation, &OwnerName) -> Response) -> Response {
    let name = match OwnerName::parse(&query.name) {
        Ok(name) => name,
        Err(error) => {
            let text = format!("`{}` is no name: {error}\n", query.name);
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    match admin.federation() {
        Some(federation) => answer(&federation, &name),
        None => (StatusCode::NOT_FOUND, "master files alone are served, there is no federation to explain\n")
            .into_response(),
    }
}

async fn plan(State(admin): State<Arc<Admin>>, Query(query): Query<PlanQuery>) -> Response {
    // Looking changes nothing, whatever is asked.
    answer_plan(&admin, PlanQuery { checksum: None, ..query }).await
}

async fn apply_plan(State(admin): State<Arc<Admin>>, Query(query): Query<PlanQuery>) -> Response {
    if query.checksum.is_none() {
        return (StatusCode::BAD_REQUEST, "give the checksum of the plan to apply\n").into_response();
    }
    answer_plan(&admin, query).await
}

async fn answer_plan(admin: &Admin, query: PlanQuery) -> Response {
    let publishing = admin.publishing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match publishing {
        Some(publishing) => Json(commands::plan::answer(&publishing, &query).await).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing is published: the settings have no publish.to\n").into_response(),
    }
}

async fn findings(State(admin): State<Arc<Admin>>) -> Response {
    let mut findings = admin.sources().findings;
    findings.extend(admin.federation().iter().flat_map(|federation| federation.findings()));
    findings.sort();
    Json(findings).into_response()
}

async fn cordon(State(admin): State<Arc<Admin>>, Path(cluster): Path<String>) -> Response {
    ask_cordon(&admin, &cluster, true)
}

async fn uncordon(State(admin): State<Arc<Admin>>, Path(cluster): Path<String>) -> Response {
    ask_cordon(&admin, &cluster, false)
}

fn ask_cordon(admin: &Admin, cluster: &str, cordoned: bool) -> Response {
    let Some(mut federation) = admin.federation() else {
        return (StatusCode::NOT_FOUND, "master files alone are served, there is no cluster to cordon\n")
            .into_response();
    };
    match federation.ask_cordon(&cluster.into(), cordoned) {
        Ok(Some(update)) => {
            tracing::warn!(cluster, cordoned, names = update.changes.len(), "cordon asked for at the admin port");
            let what = if cordoned { "is cordoned" } else { "is not cordoned" };
            let kept = if federation.state().is_some() { "over a restart too" } else { "but not over a restart" };
            let changed = plural(update.changes.len(), "name");
            format!(
                "{cluster} {what} at this replica, {kept}, until its KubeFedCluster is read again: {changed} changed\n"
            )
            .into_response()
        }
        Ok(None) => {
            let known: Vec<&str> = federation.engine().clusters().map(|(name, _)| &**name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            (StatusCode::NOT_FOUND, format!("the host knows no cluster {cluster}; it knows {known}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::connect_info::MockConnectInfo};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Status line and body of a change that seems to come from `peer`.
    async fn changed_by(peer: &str, header: &str) -> String {
        let peer: SocketAddr = peer.parse().expect("an address");
        let router: Router = Router::new()
            .route("/cordon/{cluster}", post(|_: Request<Body>| async { "cordoned\n" }))
            .route_layer(middleware::from_fn(from_here_alone))
            .layer(MockConnectInfo(peer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("POST /cordon/c1 HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        serving.abort();
        answer
    }

    #[tokio::test]
    async fn changes_are_taken_from_loopback_alone() {
        for peer in ["127.0.0.1:5000", "127.8.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            let answer = changed_by(peer, "").await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("cordoned\n"), "{peer}: {answer}");
        }
        for peer in ["10.0.3.7:5000", "[2001:db8::7]:5000", "[::ffff:10.0.3.7]:5000"] {
            let answer = changed_by(peer, "").await;
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("kubectl port-forward"), "{peer}: {answer}");
        }
        let from_a_page = changed_by("127.0.0.1:5000", "Origin: http://page.example\r\n").await;
        assert!(from_a_page.starts_with("HTTP/1.1 403 "), "{from_a_page}");
    }
}
