//! Requests and their answers.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Fault, Inner,
    store::{Collection, Happening, Name, Refusal, Resource, Stored},
};

/// Larger than any object or list of objects that a test writes.
const MAX_BODY: usize = 16 << 20;

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new().fallback(answer).with_state(inner)
}

/// What a request is about.
struct Target {
    /// Path of the collection without a namespace.
    path: String,
    namespace: String,
    name: Option<String>,
    status: bool,
}

type Query = BTreeMap<String, String>;

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let uri = unescape(&parts.uri.to_string());
    let fault = {
        let mut control = inner.control();
        let line = format!("{} {uri}", parts.method);
        if parts.method != Method::GET {
            control.log.push(line.clone());
        }
        // Watches ask for different times, which makes them no different requests.
        let counted = line.split("&timeoutSeconds=").next().unwrap_or_default().to_owned();
        *control.requests.entry(counted).or_default() += 1;
        control.faults.iter().find(|(part, _)| line.contains(part.as_str())).map(|(_, fault)| fault.clone())
    };
    let text = match fault {
        None => None,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(code)) => return Ok(status(code, "a fault on demand", None)),
        Some(Fault::Busy(seconds)) => return Ok(status(429, "too many requests", Some(seconds))),
        Some(Fault::Garbage) => return Ok(plain(200, "<html>this is not the server you are looking for</html>\n")),
        Some(Fault::Event(code)) => {
            let object =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "a fault"});
            return Ok(stream(futures::stream::iter([Ok(event("ERROR", &object))])));
        }
        Some(broken @ (Fault::Cut | Fault::Half)) => Some(broken),
    };
    let response = match parts.uri.path() {
        "/readyz" => {
            let readyz = inner.control().readyz.clone();
            readyz.map_or_else(|| plain(404, "404 page not found"), |(code, text)| plain(code, &text))
        }
        "/healthz" => {
            let (code, text) = inner.control().healthz.clone();
            plain(code, &text)
        }
        path => match target(&inner, path) {
            None => plain(404, "404 page not found"),
            Some(target) => {
                let query = query(parts.uri.query().unwrap_or_default());
                let header = |name: header::HeaderName| {
                    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
                };
                let trimmed = header(header::ACCEPT).contains("as=PartialObjectMetadata");
                if parts.method == Method::GET {
                    read(&inner, &target, &query, trimmed)
                } else {
                    let Ok(body) = to_bytes(body, MAX_BODY).await else { return Ok(status(413, "too large", None)) };
                    write(&inner, &parts.method, &target, &query, &header(header::CONTENT_TYPE), &body)
                }
            }
        },
    };
    Ok(match text {
        None => response,
        Some(broken) => half(response, broken == Fault::Cut).await,
    })
}

/// The first half of an answer, then an error or nothing.
async fn half(response: Response, breaks: bool) -> Response {
    let (parts, body) = response.into_parts();
    let whole = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let first = whole.slice(..whole.len() / 2);
    let broken = breaks.then(|| Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection is cut")));
    let mut response = Response::new(Body::from_stream(futures::stream::iter([Ok(first)].into_iter().chain(broken))));
    *response.status_mut() = parts.status;
    response
}

fn target(inner: &Inner, path: &str) -> Option<Target> {
    let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let head = if parts.first() == Some(&"api") { 2 } else { 3 };
    if parts.len() <= head {
        return None;
    }
    let rest = parts.split_off(head);
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        rest => (String::new(), rest),
    };
    let [plural, rest @ ..] = rest else { return None };
    let path = format!("/{}/{plural}", parts.join("/"));
    inner.store().collections.contains_key(&path).then(|| Target {
        path,
        namespace,
        name: rest.first().map(|name| (*name).to_owned()),
        status: rest.get(1) == Some(&"status"),
    })
}

fn read(inner: &Arc<Inner>, target: &Target, query: &Query, trimmed: bool) -> Response {
    let store = inner.store();
    let Some(collection) = store.collections.get(&target.path) else { return plain(404, "404 page not found") };
    if let Some(name) = &target.name {
        let found = collection.objects.get(&(target.namespace.clone(), name.clone()));
        return found.map_or_else(|| missing(collection, name), |stored| json_response(200, &stored.value));
    }
    let selection = Selection::new(target, query, trimmed);
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        let version = store.version;
        return watch(inner, collection, selection, query, version);
    }
    let after: Option<(u64, Name)> = match query.get("continue").map(|token| parse_token(token)) {
        None => None,
        Some(Some((version, name))) if version > collection.forgotten => Some((version, name)),
        Some(_) => return status(410, "the token is too old", None),
    };
    let limit =
        query.get("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let version = after.as_ref().map_or(store.version, |(version, _)| *version);
    let objects = collection.objects.iter();
    let mut selected = objects
        .filter(|(name, _)| after.as_ref().is_none_or(|(_, after)| *name > after))
        .filter(|(_, stored)| selection.takes(stored));
    let page: Vec<(&Name, &Arc<Stored>)> = selected.by_ref().take(limit).collect();
    let last = page.last().map(|(name, _)| (*name).clone());
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let (Some((namespace, name)), true) = (last, selected.next().is_some()) {
        metadata["continue"] = json!(format!("{version}/{namespace}/{name}"));
    }
    let items: Vec<Value> = page.into_iter().map(|(_, stored)| selection.show(&stored.value)).collect();
    let (kind, api_version) = (collection.resource.kind, collection.resource.api_version);
    json_response(
        200,
        &json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata, "items": items}),
    )
}

fn parse_token(token: &str) -> Option<(u64, Name)> {
    let mut parts = token.splitn(3, '/');
    let version = parts.next()?.parse().ok()?;
    Some((version, (parts.next()?.to_owned(), parts.next()?.to_owned())))
}

/// A watch that runs.
struct Running {
    inner: Arc<Inner>,
    path: String,
    selection: Selection,
    /// Seen up to here.
    version: u64,
    waiting: VecDeque<Bytes>,
    moved: watch::Receiver<u64>,
    cut: watch::Receiver<u64>,
    bookmarks: watch::Receiver<u64>,
    ends: tokio::time::Instant,
}

fn watch(inner: &Arc<Inner>, collection: &Collection, selection: Selection, query: &Query, now: u64) -> Response {
    let initial = query.get("sendInitialEvents").is_some_and(|initial| initial == "true");
    if initial && !inner.control().streaming {
        return status(422, "sendInitialEvents: Forbidden: the feature WatchList is off", None);
    }
    let wanted = query.get("resourceVersion").and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
    let mut waiting = VecDeque::new();
    let mut version = wanted;
    if initial || wanted == 0 {
        version = now;
        let selected = collection.objects.values().filter(|stored| selection.takes(stored));
        waiting.extend(selected.map(|stored| event("ADDED", &selection.show(&stored.value))));
        if initial {
            waiting.push_back(bookmark(collection, now, true));
        }
    } else if wanted < collection.forgotten {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
            "message": format!("too old resource version: {wanted}")});
        return stream(futures::stream::iter([Ok(event("ERROR", &gone))]));
    }
    let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let running = Running {
        inner: Arc::clone(inner),
        path: path_of(collection),
        selection,
        version,
        waiting,
        moved: collection.moved.subscribe(),
        cut: inner.cut.subscribe(),
        bookmarks: inner.bookmarks.subscribe(),
        ends: tokio::time::Instant::now() + Duration::from_secs(seconds),
    };
    stream(futures::stream::unfold(Some(running), step))
}

/// The next piece of a running watch.
async fn step(running: Option<Running>) -> Option<(io::Result<Bytes>, Option<Running>)> {
    let mut running = running?;
    loop {
        // What waits goes out together, as a real server's buffers would have it.
        if !running.waiting.is_empty() {
            let piece: Vec<u8> = running.waiting.drain(..).flatten().collect();
            return Some((Ok(piece.into()), Some(running)));
        }
        running.moved.borrow_and_update();
        if running.catch_up() {
            continue;
        }
        tokio::select! {
            moved = running.moved.changed() => moved.ok()?,
            _ = running.cut.changed() => {
                let error = io::Error::new(io::ErrorKind::ConnectionReset, "the connection is cut");
                return Some((Err(error), None));
            }
            _ = running.bookmarks.changed() => {
                let mark = running.inner.store().collections.get(&running.path)
                    .map(|collection| bookmark(collection, running.version, false));
                running.waiting.extend(mark);
            }
            () = tokio::time::sleep_until(running.ends) => return None,
        }
    }
}

impl Running {
    /// Takes what happened since; true if that is something.
    fn catch_up(&mut self) -> bool {
        let store = self.inner.store();
        let Some(collection) = store.collections.get(&self.path) else { return false };
        for happening in collection.history.range(self.version + 1..).map(|(_, happening)| happening) {
            self.version = happening.version;
            self.waiting.extend(self.selection.event(happening));
        }
        !self.waiting.is_empty()
    }
}

fn path_of(collection: &Collection) -> String {
    let resource = &collection.resource;
    let prefix = if resource.api_version.contains('/') { "/apis" } else { "/api" };
    format!("{prefix}/{}/{}", resource.api_version, resource.plural)
}

/// Which objects are asked for, and how much of them.
struct Selection {
    namespace: String,
    labels: Vec<String>,
    fields: Vec<String>,
    trimmed: bool,
}

impl Selection {
    fn new(target: &Target, query: &Query, trimmed: bool) -> Self {
        let field = |name: &str| query.get(name).cloned().unwrap_or_default();
        Self {
            namespace: target.namespace.clone(),
            labels: split(&field("labelSelector")),
            fields: split(&field("fieldSelector")),
            trimmed,
        }
    }

    fn takes(&self, stored: &Stored) -> bool {
        let object = &stored.value;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        (self.namespace.is_empty() || namespace == self.namespace)
            && self.labels.iter().all(|one| holds(one, |key| object["metadata"]["labels"][key].as_str()))
            && self.fields.iter().all(|one| {
                holds(one, |key| key.split('.').try_fold(object, |at, part| at.get(part)).and_then(Value::as_str))
            })
    }

    fn show(&self, object: &Value) -> Value {
        if !self.trimmed {
            return object.clone();
        }
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    }

    /// What a watch is told: an object that is selected no more is deleted to it.
    fn event(&self, happening: &Happening) -> Option<Bytes> {
        let before = happening.before.as_ref().filter(|stored| self.takes(stored));
        let after = happening.after.as_ref().filter(|stored| self.takes(stored));
        match (before, after) {
            (None, Some(after)) => Some(event("ADDED", &self.show(&after.value))),
            (Some(_), Some(after)) => Some(event("MODIFIED", &self.show(&after.value))),
            (Some(before), None) => {
                let mut last = self.show(&before.value);
                last["metadata"]["resourceVersion"] = json!(happening.version.to_string());
                Some(event("DELETED", &last))
            }
            (None, None) => None,
        }
    }
}

/// Requirements of a selector; commas in parentheses separate values.
fn split(selector: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for each in selector.chars() {
        match each {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(each == '(') - i32::from(each == ')');
                parts.last_mut().expect("there is always one").push(each);
            }
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn holds<'a>(requirement: &str, value: impl Fn(&str) -> Option<&'a str>) -> bool {
    let listed = |values: &str, found: Option<&str>| {
        let mut values = values.trim_matches(['(', ')']).split(',');
        values.any(|one| Some(one.trim()) == found)
    };
    if let Some((key, values)) = requirement.split_once(" in ") {
        listed(values, value(key))
    } else if let Some((key, values)) = requirement.split_once(" notin ") {
        !listed(values, value(key))
    } else if let Some((key, wanted)) = requirement.split_once("!=") {
        value(key) != Some(wanted)
    } else if let Some((key, wanted)) = requirement.split_once('=') {
        value(key) == Some(wanted.trim_start_matches('='))
    } else if let Some(key) = requirement.strip_prefix('!') {
        value(key).is_none()
    } else {
        value(requirement).is_some()
    }
}

fn write(inner: &Inner, method: &Method, target: &Target, query: &Query, content_type: &str, body: &[u8]) -> Response {
    let name = target.name.clone().map(|name| (target.namespace.clone(), name));
    let object = || serde_json::from_slice::<Value>(body);
    let mut store = inner.store();
    let result = match (method.as_str(), name) {
        ("POST", None) => match object() {
            Ok(object) => store.create(&target.path, &target.namespace, object),
            Err(_) => Err(Refusal::Invalid("no JSON")),
        },
        ("PUT", Some(name)) => match object() {
            Ok(object) => store.replace(&target.path, &name, object, target.status),
            Err(_) => Err(Refusal::Invalid("no JSON")),
        },
        ("PATCH", Some(name)) => {
            let manager = query.get("fieldManager").map_or("", String::as_str);
            let applies = content_type.contains("apply-patch");
            if applies && manager.is_empty() {
                return status(400, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value", None);
            }
            match object() {
                Ok(patch) => store.patch(&target.path, &name, &patch, target.status, manager, applies),
                Err(_) => Err(Refusal::Invalid("only patches in JSON are understood")),
            }
        }
        ("DELETE", Some(name)) => store.remove(&target.path, &name),
        _ => return status(405, "method not allowed", None),
    };
    match result {
        Ok(object) => json_response(if *method == Method::POST { 201 } else { 200 }, &object),
        Err(Refusal::NotFound) => match (store.collections.get(&target.path), &target.name) {
            (Some(collection), Some(name)) => missing(collection, name),
            _ => plain(404, "404 page not found"),
        },
        Err(Refusal::Exists) => status(409, "already exists", None),
        Err(Refusal::Conflict) => status(409, "the object has been modified", None),
        Err(Refusal::Invalid(why)) => status(422, why, None),
    }
}

fn event(kind: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into()
}

fn bookmark(collection: &Collection, version: u64, ends: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if ends {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let (kind, api_version) = (collection.resource.kind, collection.resource.api_version);
    event("BOOKMARK", &json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}))
}

fn stream(pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(pieces.boxed()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn status(code: u16, message: &str, retry_after: Option<u32>) -> Response {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 if message.starts_with("already") => "AlreadyExists",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code});
    if let Some(seconds) = retry_after {
        body["details"] = json!({"retryAfterSeconds": seconds});
    }
    json_response(code, &body)
}

/// There is no such object. That it is the object which is missing, and not its kind, is told by the details.
fn missing(collection: &Collection, name: &str) -> Response {
    let Resource { api_version, plural, .. } = collection.resource;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let message = match group {
        "" => format!("{plural} \"{name}\" not found"),
        group => format!("{plural}.{group} \"{name}\" not found"),
    };
    let mut details = json!({"name": name, "kind": plural});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "NotFound", "details": details, "code": 404});
    json_response(404, &body)
}

fn json_response(code: u16, body: &Value) -> Response {
    let mut response = plain(code, &body.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn plain(code: u16, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect()
}

/// Percent-encoded text (RFC 3986 section 2.1), with `+` as a space as forms have it.
fn unescape(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(octet)) => {
                octets.push(octet);
                rest = &tail[2..];
            }
            (b'+', _) => {
                octets.push(b' ');
                rest = tail;
            }
            _ => {
                octets.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
