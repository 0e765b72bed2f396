//! The HTTP server.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::LengthLimitError;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore},
};

use super::{
    GUARDED_FROM, KeepError, Keeper, MAX_BODY, Options, Report,
    table::{self, Changed, Refusal},
    wire::{self, Changes, Endpoint, MEDIA_TYPE},
};

/// Connections at once. external-dns has one, probes another.
const CONNECTIONS: usize = 32;
/// A header must be there within this time, as external-dns' own server has it.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// A body must be there within this time. external-dns gives up after 15 s.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// A connection that fails to be accepted (no more files) is followed by a pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// More faults than this nobody reads.
const SHOWN: usize = 20;
/// Most findings that are kept of one call.
const MAX_FINDINGS: usize = 100;

struct Server {
    options: Options,
    keeper: Arc<dyn Keeper>,
    report: Report,
    /// One change at a time.
    changing: Mutex<()>,
}

/// Serves `listener` until the task ends.
pub async fn serve(listener: TcpListener, options: Options, keeper: Arc<dyn Keeper>, report: Report) {
    let server = Arc::new(Server { options, keeper, report, changing: Mutex::default() });
    let router = Router::new()
        .route("/", get(negotiate))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/records", get(records).post(apply))
        .route("/adjustendpoints", post(adjust))
        .with_state(server);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection of the webhook was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
            // Whoever breaks off knows why.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

async fn negotiate(State(server): State<Arc<Server>>) -> Response {
    #[derive(Serialize)]
    struct Filter {
        include: Vec<String>,
    }
    server.report.count("negotiate", "ok");
    let mut include: Vec<String> = server.options.zones.iter().map(ToString::to_string).collect();
    include.sort();
    json(&Filter { include })
}

async fn records(State(server): State<Arc<Server>>) -> Response {
    server.report.count("records", "ok");
    json(&table::endpoints(&server.keeper.names()))
}

async fn adjust(State(server): State<Arc<Server>>, request: Request) -> Response {
    const PATH: &str = "adjustendpoints";
    let body = match body(request).await {
        Ok(body) => body,
        Err(refused) => return server.refused(PATH, "malformed", refused),
    };
    let endpoints = match wire::endpoints(&body) {
        Ok(endpoints) => endpoints,
        Err(why) => return server.refused(PATH, "malformed", (StatusCode::BAD_REQUEST, why)),
    };
    let (adjusted, wrong) = table::adjust(&server.options.zones, endpoints);
    server.report.count(PATH, if wrong.is_empty() { "ok" } else { "partly" });
    let findings: Vec<Finding> = wrong
        .into_iter()
        .take(MAX_FINDINGS)
        .map(|(endpoint, why)| {
            Finding::new(FindingCode::ForeignRrset, why).about(format!("endpoint of external-dns: {endpoint}"))
        })
        .collect();
    // It asks every minute; what it is told once need not be said again.
    if server.report.adjusted(&findings) {
        for finding in findings.iter().take(SHOWN) {
            let finding = finding.to_string();
            tracing::warn!(finding, "an endpoint of external-dns cannot be served and is left out");
        }
    }
    json::<Vec<Endpoint>>(&adjusted)
}

async fn apply(State(server): State<Arc<Server>>, request: Request) -> Response {
    const PATH: &str = "apply";
    let body = match body(request).await {
        Ok(body) => body,
        Err(refused) => return server.refused(PATH, "malformed", refused),
    };
    let changes = match Changes::read(&body) {
        Ok(changes) => changes,
        Err(why) => return server.refused(PATH, "malformed", (StatusCode::BAD_REQUEST, why)),
    };
    let _one_at_a_time = server.changing.lock().await;
    let names = server.keeper.names();
    let Changed { names: changed, left } = match table::change(&server.options.zones, &names, changes) {
        Ok(changed) => changed,
        Err(Refusal::Wrong(faults)) => {
            let more = faults.len().saturating_sub(SHOWN);
            let mut text = faults.into_iter().take(SHOWN).collect::<Vec<_>>().join("\n");
            if more > 0 {
                text = format!("{text}\nand {more} more");
            }
            return server.refused(PATH, "refused", (StatusCode::BAD_REQUEST, text));
        }
        Err(Refusal::Full) => {
            let why = format!("more than {} names are not kept", super::MAX_NAMES);
            return server.refused(PATH, "full", (StatusCode::INSUFFICIENT_STORAGE, why));
        }
    };
    let kept = if left.is_empty() { "ok" } else { "partly" };
    server.leave(left);
    if changed.is_empty() {
        server.report.count(PATH, if kept == "ok" { "nothing" } else { kept });
        return StatusCode::NO_CONTENT.into_response();
    }
    if names.len() >= GUARDED_FROM && table::left(&names, &changed) == 0 && !server.options.may_empty {
        let why = format!(
            "all {} names would go at once, which is held: more often a source is broken than this is meant; \
             `webhook: {{emptying: allow}}` in the settings lets it pass",
            names.len()
        );
        return server.refused(PATH, "held", (StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let count = changed.len();
    match server.keeper.keep(changed).await {
        Ok(()) => {
            server.report.count(PATH, kept);
            tracing::info!(names = count, "external-dns changed names");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(KeepError::NotHere(why)) => server.refused(PATH, "not-here", (StatusCode::SERVICE_UNAVAILABLE, why)),
        Err(KeepError::Failed(why)) => server.refused(PATH, "failed", (StatusCode::INTERNAL_SERVER_ERROR, why)),
    }
}

impl Server {
    /// Tells of the names that a call does not change.
    fn leave(&self, left: BTreeMap<OwnerName, String>) {
        let help =
            "external-dns sends it again at each of its intervals; what stands there may have to be deleted by hand";
        let finding = |(owner, why): (OwnerName, String)| {
            let finding = Finding::new(FindingCode::ForeignRrset, format!("it is left as it stands: {why}"));
            finding.about(format!("endpoints of external-dns: {owner}")).help(help)
        };
        let findings: Vec<Finding> = left.into_iter().take(MAX_FINDINGS).map(finding).collect();
        if self.report.left(&findings) {
            for finding in findings.iter().take(SHOWN) {
                let finding = finding.to_string();
                tracing::warn!(finding, "a change of external-dns is left out");
            }
        }
    }

    fn refused(&self, path: &'static str, outcome: &'static str, (status, why): (StatusCode, String)) -> Response {
        self.report.count(path, outcome);
        tracing::warn!(path, status = status.as_u16(), why, "a call of external-dns was refused");
        (status, why + "\n").into_response()
    }
}

/// The whole body, within its limits.
async fn body(request: Request) -> Result<Vec<u8>, (StatusCode, String)> {
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {MAX_BODY} octets"));
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    let body: Body = request.into_body();
    match tokio::time::timeout(BODY_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body.to_vec()),
        Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) => Err(too_large()),
        // Nobody reads this answer; it is for the log.
        Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, format!("the connection broke off within the body: {error}"))),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, format!("no body within {} s", BODY_LIMIT.as_secs()))),
    }
}

fn json<T: Serialize>(value: &T) -> Response {
    // Texts and numbers always become JSON.
    let body = serde_json::to_vec(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}
