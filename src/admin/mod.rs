//! The admin port: is it alive, what is missing, what happened, why.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 while anything can be answered, 503 when nothing can; the body says what is stale or missing |
//! | `/metrics` | Prometheus text exposition |
//! | `/explain?name=&type=` | [`Explained`](crate::commands::explain::Explained) as JSON |
//! | `/history?name=` | changes of a name, newest first, as JSON |
//! | `/findings` | what is wrong, as JSON |

mod metrics;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use mcdns_core::{
    check::Finding,
    dns::{OwnerName, RecordType},
};
use mcdns_serve::Counters;
use serde::Deserialize;

use crate::{commands::explain::explained, federation::Federation};

pub use metrics::Metrics;

/// What the admin port reads; shared with whoever changes it.
#[derive(Debug)]
pub struct Admin {
    federation: Arc<Mutex<Federation>>,
    metrics: Metrics,
    sources: Mutex<Sources>,
}

/// How the sources are.
#[derive(Debug, Clone, Default)]
pub struct Sources {
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
    /// An admin port over `federation`, whose server counts in `counters`.
    ///
    /// # Errors
    ///
    /// Metrics that contradict each other, which is a fault of the program.
    pub fn new(federation: Arc<Mutex<Federation>>, counters: Counters) -> anyhow::Result<Self> {
        let metrics = Metrics::new(counters)?;
        Ok(Self { federation, metrics, sources: Mutex::default() })
    }

    /// Says how the sources are.
    pub fn set_sources(&self, sources: Sources) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// What counts in the loop of observations.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn sources(&self) -> Sources {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn federation(&self) -> std::sync::MutexGuard<'_, Federation> {
        self.federation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the admin port on `listener` until the process ends.
///
/// # Errors
///
/// What the listener says.
pub async fn serve(listener: tokio::net::TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(exposition))
        .route("/explain", get(explain))
        .route("/history", get(history))
        .route("/findings", get(findings))
        .with_state(admin);
    axum::serve(listener, router).await
}

/// Binds the admin port.
///
/// # Errors
///
/// Names the address and what to do.
pub async fn bind(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!(
            "the admin port {address} cannot be opened: {error}\n  help: choose another with --admin ADDR:PORT"
        )
    })
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let sources = admin.sources();
    let federation = admin.federation();
    let zones = federation.engine().snapshot().zones().count();
    let mut body = String::new();
    let mut line = |text: &str| {
        body.push_str(text);
        body.push('\n');
    };
    if zones == 0 {
        line("not ready: there is no zone to answer for");
    } else {
        line(&format!("ready: {zones} zones at generation {}", federation.engine().snapshot().generation()));
    }
    for stale in &sources.stale {
        line(&format!("stale: {stale}"));
    }
    if let Some(state) = federation.state() {
        for problem in state.status().problems {
            line(&format!("state: {}: {}", problem.path.display(), problem.reason));
        }
    }
    let code = if zones == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, body).into_response()
}

async fn exposition(State(admin): State<Arc<Admin>>) -> Response {
    let sources = admin.sources();
    let federation = admin.federation();
    match admin.metrics.exposition(&federation, &sources) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn explain(State(admin): State<Arc<Admin>>, Query(query): Query<NameQuery>) -> Response {
    match OwnerName::parse(&query.name) {
        Ok(name) => {
            let federation = admin.federation();
            let engine = federation.engine();
            Json(explained(&name, query.record_type, engine.snapshot(), engine.explain(&name))).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("`{}` is no name: {error}\n", query.name)).into_response(),
    }
}

async fn history(State(admin): State<Arc<Admin>>, Query(query): Query<NameQuery>) -> Response {
    match OwnerName::parse(&query.name) {
        Ok(name) => {
            let history = admin.federation().history().clone();
            let changes: Vec<_> = history.of(&name).iter().map(|change| (**change).clone()).collect();
            Json(changes).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("`{}` is no name: {error}\n", query.name)).into_response(),
    }
}

async fn findings(State(admin): State<Arc<Admin>>) -> Response {
    let mut findings = admin.sources().findings;
    findings.extend(admin.federation().engine().findings());
    findings.sort();
    Json(findings).into_response()
}
