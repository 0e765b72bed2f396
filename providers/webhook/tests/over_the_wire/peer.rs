//! A webhook provider in this process whose store is strict: it refuses what a lenient one would swallow.
//!
//! * A create finds nothing at its place, and an update or a deletion says what stands there, member by member.
//! * A call is made as a whole or not at all.
//! * Headers are those of the protocol, octet by octet.
//! * What DNS forbids is refused: a CNAME beside anything, values that are none of their type, names outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// What the protocol writes.
pub(crate) const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";

/// Name, type, identifier.
type Place = (String, String, String);

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done; 503.
    Fails,
    /// It is done, and the connection breaks instead of an answer.
    Crash,
    /// Nothing is done; 429.
    Throttled,
    /// The first half of the changes is done; 500 without a word, as the built-in server of external-dns answers.
    Half,
}

/// How a peer behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Refuses with 500 and no word, as the built-in server of external-dns does, instead of 400 with what is wrong.
    pub(crate) mute: bool,
    /// Raises TTLs to 120 s and adds a property of its own, as its `/adjustendpoints` says.
    pub(crate) opinionated: bool,
}

/// The peer.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    /// Endpoints without labels, as they were written.
    store: BTreeMap<Place, Value>,
    calls: usize,
    changes: usize,
    faults: BTreeMap<usize, Fault>,
    poisoned: BTreeSet<String>,
    /// Its back end is away: 500 without a word to every change.
    away: bool,
    filter: Value,
    /// Bodies of the changes that were made.
    log: Vec<Value>,
}

impl Peer {
    pub(crate) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Inner { manners, filter: json!({}), ..Inner::default() };
        let peer = Self { address, inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new().fallback(answer).with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        peer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set_filter(&self, filter: Value) {
        self.lock().filter = filter;
    }

    pub(crate) fn fail(&self, calls: usize, fault: Fault) {
        let mut inner = self.lock();
        let at = inner.calls + calls;
        inner.faults.insert(at, fault);
    }

    pub(crate) fn poison(&self, name: &str, poisoned: bool) {
        let mut inner = self.lock();
        if poisoned {
            inner.poisoned.insert(name.to_owned());
        } else {
            inner.poisoned.remove(name);
        }
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Bodies of the changes that were made.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.lock().log.clone()
    }

    /// Everything that stands there.
    pub(crate) fn store(&self) -> Vec<Value> {
        self.lock().store.values().cloned().collect()
    }

    /// Puts an endpoint there as somebody else would.
    pub(crate) fn put(&self, endpoint: Value) {
        self.lock().store.insert(place(&endpoint), endpoint);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics with the lock")
    }
}

async fn answer(State(peer): State<Peer>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (fault, answer) = {
        let mut inner = peer.lock();
        let call = inner.calls;
        let fault = inner.faults.remove(&call);
        inner.calls += 1;
        match fault {
            Some(Fault::Fails) => (fault, (StatusCode::SERVICE_UNAVAILABLE, "try later").into_response()),
            Some(Fault::Throttled) => {
                let answer = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "Rate exceeded");
                (fault, answer.into_response())
            }
            _ => (fault, inner.route(&method, uri.path(), &headers, &body, fault)),
        }
    };
    // The connection ends with the task that serves it.
    assert!(fault != Some(Fault::Crash), "the peer crashes on purpose");
    answer
}

impl Inner {
    fn route(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        fault: Option<Fault>,
    ) -> Response {
        let says = |name: header::HeaderName| headers.get(name) == Some(&HeaderValue::from_static(MEDIA_TYPE));
        let wanted = match (method.as_str(), path) {
            ("GET", _) => says(header::ACCEPT),
            ("POST", "/adjustendpoints") => says(header::ACCEPT) && says(header::CONTENT_TYPE),
            _ => says(header::CONTENT_TYPE),
        };
        if !wanted {
            return (StatusCode::NOT_ACCEPTABLE, format!("headers {headers:?}")).into_response();
        }
        let json = |value: &Value| ([(header::CONTENT_TYPE, MEDIA_TYPE)], value.to_string()).into_response();
        match (method.as_str(), path) {
            ("GET", "/") => json(&self.filter),
            ("GET", "/records") => json(&self.store.values().cloned().collect()),
            ("POST", "/adjustendpoints") => {
                let Ok(Value::Array(endpoints)) = serde_json::from_slice(body) else {
                    return (StatusCode::BAD_REQUEST, "no list").into_response();
                };
                json(&endpoints.into_iter().map(|endpoint| self.adjusted(endpoint)).collect())
            }
            ("POST", "/records") if self.away => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            ("POST", "/records") => match self.change(body, fault) {
                Ok(()) => StatusCode::NO_CONTENT.into_response(),
                Err(_) if self.manners.mute => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            },
            _ => (StatusCode::NOT_FOUND, "no such path").into_response(),
        }
    }

    fn adjusted(&self, mut endpoint: Value) -> Value {
        if self.manners.opinionated && endpoint["recordType"] != "NS" {
            endpoint["recordTTL"] = endpoint["recordTTL"].as_i64().unwrap_or_default().max(120).into();
            endpoint["providerSpecific"] = json!([{"name": "webhook/flavour", "value": "plain"}]);
        }
        endpoint
    }

    fn change(&mut self, body: &[u8], fault: Option<Fault>) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
        let (old, new) = (list("updateOld"), list("updateNew"));
        if old.len() != new.len() {
            return Err("updates are no pairs".to_owned());
        }
        let mut store = self.store.clone();
        // What goes makes room first, as a provider would sort it.
        for endpoint in list("delete").iter().chain(&old) {
            let stored = store.remove(&place(endpoint)).ok_or_else(|| format!("{endpoint} does not exist"))?;
            if without_labels(&stored) != without_labels(endpoint) {
                return Err(format!("{stored} stands there, not {endpoint}"));
            }
        }
        for (before, after) in old.iter().zip(&new) {
            if place(before) != place(after) {
                return Err(format!("{before} and {after} are no pair"));
            }
        }
        let added: Vec<Value> = list("create").into_iter().chain(new).collect();
        let most = if fault == Some(Fault::Half) { added.len() / 2 } else { added.len() };
        for endpoint in &added[..most] {
            self.check(endpoint)?;
            if store.insert(place(endpoint), endpoint.clone()).is_some() {
                return Err(format!("{endpoint} exists already"));
            }
        }
        for (name, record_type, _) in store.keys() {
            let others = store.range((name.clone(), String::new(), String::new())..);
            let others = others.take_while(|((other, _, _), _)| other == name);
            if record_type == "CNAME" && others.count() > 1 {
                return Err(format!("{name} is a CNAME and something else"));
            }
        }
        self.store = store;
        self.changes += 1;
        self.log.push(body);
        if fault == Some(Fault::Half) { Err("half of it was done".to_owned()) } else { Ok(()) }
    }

    fn check(&self, endpoint: &Value) -> Result<(), String> {
        let name = endpoint["dnsName"].as_str().unwrap_or_default();
        if self.poisoned.contains(name) {
            return Err(format!("{name} is not wanted here"));
        }
        if name.is_empty() || name.ends_with('.') || name.to_lowercase() != name {
            return Err(format!("the name `{name}` is not in normal form"));
        }
        let targets = endpoint["targets"].as_array().cloned().unwrap_or_default();
        if targets.is_empty() {
            return Err(format!("{name} has no targets"));
        }
        for target in targets.iter().map(|target| target.as_str().unwrap_or_default()) {
            let good = match endpoint["recordType"].as_str().unwrap_or_default() {
                "A" => target.parse::<std::net::Ipv4Addr>().is_ok(),
                "AAAA" => target.parse::<std::net::Ipv6Addr>().is_ok(),
                "CNAME" | "NS" | "PTR" | "DNAME" => !target.is_empty() && !target.ends_with('.'),
                "MX" => target.split(' ').count() == 2 && !target.ends_with('.'),
                "SRV" => target.split(' ').count() == 4 && target.ends_with('.'),
                "NAPTR" => target.ends_with('.'),
                "TXT" => target.starts_with('"') && target.ends_with('"'),
                _ => false,
            };
            if !good {
                return Err(format!("`{target}` is no value of {endpoint}"));
            }
        }
        Ok(())
    }
}

fn place(endpoint: &Value) -> Place {
    let text = |key: &str| endpoint[key].as_str().unwrap_or_default().to_owned();
    (text("dnsName"), text("recordType"), text("setIdentifier"))
}

fn without_labels(endpoint: &Value) -> Map<String, Value> {
    let mut members = endpoint.as_object().cloned().unwrap_or_default();
    members.remove("labels");
    members
}
