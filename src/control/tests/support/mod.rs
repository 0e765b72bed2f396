//! An API server in the process, good enough for a writer: objects by path, optimistic locks, merge patches, and
//! server-side apply with field ownership by manager. What changes nothing makes no new version. Faults can be put in.

// Each test binary uses its part of it.
#![allow(dead_code)]

pub(crate) mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Method, Request, Response, StatusCode},
};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Path of a field from the root of the object.
type Field = Vec<String>;

/// A request as it came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) status: u16,
}

/// How the next requests to a path go wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status and `Status` object, with these seconds of `Retry-After`.
    Status(u16, Value, Option<u64>),
    /// No answer at all; the request is not carried out.
    Hang,
    /// Carried out, and then no answer.
    HangAfter,
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<String, Object>,
    versions: u64,
    seen: Vec<Seen>,
    faults: Vec<(String, Fault, usize)>,
    /// Fields that are dropped from everything that is written, as a schema prunes them.
    pruned: BTreeSet<String>,
}

#[derive(Default, Clone)]
struct Object {
    value: Value,
    applied: BTreeMap<String, BTreeSet<Field>>,
}

#[derive(Clone)]
pub(crate) struct ApiServer {
    store: Arc<Mutex<Store>>,
    count: watch::Sender<usize>,
}

impl ApiServer {
    pub(crate) fn new() -> Self {
        Self { store: Arc::default(), count: watch::channel(0).0 }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let router: Router = Router::new().fallback(serve).with_state(self.clone());
        kube::Client::new(router, "default")
    }

    /// Puts an object there as somebody else would. The path without `/apis` and subresource.
    pub(crate) fn put(&self, path: &str, value: Value) -> Value {
        let mut store = self.store();
        store.versions += 1;
        let version = store.versions;
        let uid = store.objects.get(path).map(|old| old.value["metadata"]["uid"].clone());
        let object = store.objects.entry(path.to_owned()).or_default();
        object.value = value;
        let metadata = &mut object.value["metadata"];
        metadata["resourceVersion"] = json!(version.to_string());
        metadata["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{version}")));
        let name = path.rsplit('/').next().unwrap_or_default();
        metadata["name"] = json!(name);
        let value = object.value.clone();
        drop(store);
        self.count.send_modify(|count| *count += 1);
        value
    }

    /// Changes an object as somebody else would.
    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) -> Value {
        let mut value = self.get(path).expect("an object to edit");
        edit(&mut value);
        self.put(path, value)
    }

    pub(crate) fn delete(&self, path: &str) {
        self.store().objects.remove(path).expect("an object to delete");
        self.count.send_modify(|count| *count += 1);
    }

    /// Counts requests and changes.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Every object with its path.
    pub(crate) fn objects(&self) -> BTreeMap<String, Value> {
        self.store().objects.iter().map(|(path, object)| (path.clone(), object.value.clone())).collect()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.store().objects.get(path).map(|object| object.value.clone())
    }

    /// Requests whose path holds `part` go wrong, `times` of them.
    pub(crate) fn fail(&self, part: &str, fault: Fault, times: usize) {
        self.store().faults.push((part.to_owned(), fault, times));
    }

    pub(crate) fn repair(&self) {
        self.store().faults.clear();
    }

    pub(crate) fn prune(&self, field: &str) {
        self.store().pruned.insert(field.to_owned());
    }

    /// Writes so far whose path holds `part`.
    pub(crate) fn writes(&self, part: &str) -> Vec<Seen> {
        let store = self.store();
        store.seen.iter().filter(|one| one.method != Method::GET && one.path.contains(part)).cloned().collect()
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.store().seen.clone()
    }

    /// Waits until something is true, looking after each request.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut count = self.count.subscribe();
        let wait = async {
            while !is_so(self) {
                count.changed().await.expect("the server lives");
            }
        };
        // Simulated time passes while everybody waits, so the limit is far away.
        let outcome = tokio::time::timeout(Duration::from_hours(2), wait).await;
        assert!(outcome.is_ok(), "never happened: {what}; requests: {:#?}", self.requests());
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no panic while it is held")
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let mut store = self.store();
        let position = store.faults.iter().position(|(part, _, times)| path.contains(part) && *times > 0)?;
        store.faults[position].2 -= 1;
        Some(store.faults[position].1.clone())
    }

    fn carry_out(&self, method: &Method, path: &str, query: &str, kind: &str, body: &Value) -> (u16, Value) {
        let mut store = self.store();
        let (object_path, subresource) = match path.strip_suffix("/status") {
            Some(object) => (object.to_owned(), true),
            None => (path.to_owned(), false),
        };
        if let Some(account) = path.strip_suffix("/token") {
            return token(&store, account, body);
        }
        let manager = query.split('&').find_map(|part| part.strip_prefix("fieldManager=")).unwrap_or("unknown");
        match (method.as_str(), kind) {
            ("GET", _) if path.ends_with("/v1alpha1/dnsendpoints") => (200, store.page(path, query)),
            ("GET", _) => match store.objects.get(&object_path) {
                Some(object) => (200, object.value.clone()),
                None => not_found(&object_path),
            },
            ("POST", _) => {
                let name = body["metadata"]["name"].as_str().expect("a name");
                let object_path = format!("{object_path}/{name}");
                if store.objects.contains_key(&object_path) {
                    return status(409, "AlreadyExists", "it exists already");
                }
                (201, store.keep(&object_path, body.clone(), None))
            }
            ("PUT", _) => {
                let Some(old) = store.objects.get(&object_path) else { return not_found(&object_path) };
                if old.value["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return status(409, "Conflict", "the object has been modified");
                }
                (200, store.keep(&object_path, body.clone(), None))
            }
            ("DELETE", _) => {
                let Some(old) = store.objects.get(&object_path) else { return not_found(&object_path) };
                for field in ["uid", "resourceVersion"] {
                    let wanted = &body["preconditions"][field];
                    if !wanted.is_null() && *wanted != old.value["metadata"][field] {
                        return status(409, "Conflict", "precondition failed");
                    }
                }
                store.objects.remove(&object_path);
                status(200, "", "deleted")
            }
            ("PATCH", "application/merge-patch+json") => {
                let Some(old) = store.objects.get(&object_path) else { return not_found(&object_path) };
                let version = &body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != old.value["metadata"]["resourceVersion"] {
                    return status(409, "Conflict", "the object has been modified");
                }
                let mut value = old.value.clone();
                merge(&mut value, body);
                (200, store.keep(&object_path, value, None))
            }
            ("PATCH", "application/apply-patch+yaml") => {
                let old = store.objects.get(&object_path).cloned();
                if old.is_none() && subresource {
                    return not_found(&object_path);
                }
                let old = old.unwrap_or_default();
                let version = &body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != old.value["metadata"]["resourceVersion"] {
                    return status(409, "Conflict", "the object has been modified");
                }
                let (value, applied) = apply(&old, body, manager, subresource);
                (200, store.keep(&object_path, value, Some(applied)))
            }
            _ => status(405, "MethodNotAllowed", "not here"),
        }
    }
}

impl Store {
    /// Two objects to a page, from all namespaces. The token is the path of the last one, spelt without slashes.
    fn page(&self, path: &str, query: &str) -> Value {
        let token = query.split('&').find_map(|part| part.strip_prefix("continue=")).unwrap_or_default();
        let after = token.replace(':', "/");
        let (group, plural) = path.rsplit_once('/').expect("a path");
        let (group, plural) = (format!("{group}/namespaces/"), format!("/{plural}/"));
        let of_kind = |path: &str| path.starts_with(&group) && path.contains(&plural) && *path > *after;
        let mut rest = self.objects.iter().filter(|(path, _)| of_kind(path));
        let page: Vec<_> = rest.by_ref().take(2).collect();
        let last = page.last().filter(|_| rest.next().is_some()).map(|(path, _)| path.replace('/', ":"));
        let items: Vec<Value> = page.iter().map(|(_, one)| json!({"metadata": one.value["metadata"]})).collect();
        json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": last}, "items": items})
    }

    /// Keeps an object; a new version only if anything is new.
    fn keep(&mut self, path: &str, mut value: Value, applied: Option<BTreeMap<String, BTreeSet<Field>>>) -> Value {
        for field in self.pruned.clone() {
            remove_everywhere(&mut value, &field);
        }
        let old = self.objects.get(path).cloned().unwrap_or_default();
        let applied = applied.unwrap_or_else(|| old.applied.clone());
        if old.value == value {
            return value;
        }
        self.versions += 1;
        value["metadata"]["resourceVersion"] = json!(self.versions.to_string());
        if value["metadata"]["uid"].is_null() {
            value["metadata"]["uid"] = json!(format!("uid-{}", self.versions));
        }
        self.objects.insert(path.to_owned(), Object { value: value.clone(), applied });
        value
    }
}

/// Server-side apply with force: what the manager applied before and does not apply now goes, unless another one
/// applied it too. Lists are atomic.
fn apply(old: &Object, patch: &Value, manager: &str, status_only: bool) -> (Value, BTreeMap<String, BTreeSet<Field>>) {
    let mut patch = patch.clone();
    if let Some(metadata) = patch["metadata"].as_object_mut() {
        for field in ["resourceVersion", "uid", "managedFields"] {
            metadata.remove(field);
        }
    }
    if status_only {
        let kept = ["apiVersion", "kind", "metadata", "status"];
        patch.as_object_mut().expect("an object").retain(|key, _| kept.contains(&key.as_str()));
    } else {
        patch.as_object_mut().expect("an object").remove("status");
    }
    let mut fields = BTreeSet::new();
    leaves(&patch, &mut Vec::new(), &mut fields);
    let mut applied = old.applied.clone();
    let before = applied.insert(format!("{manager}/{status_only}"), fields.clone()).unwrap_or_default();
    let mut value = old.value.clone();
    if value.is_null() {
        value = json!({});
    }
    for field in before.difference(&fields) {
        if !applied.values().any(|others| others.contains(field)) {
            remove(&mut value, field);
        }
    }
    merge(&mut value, &patch);
    let about = if status_only { "f:status" } else { "f:spec" };
    // An entry is there for who applied last, as far as anybody asks.
    let changed = value != old.value;
    if changed {
        let entry = json!({"manager": manager, "fieldsV1": {about: {}}, "time": jiff_now()});
        let mut entries = old.value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.retain(|one| one["manager"] != manager || one["fieldsV1"].get(about).is_none());
        entries.push(entry);
        value["metadata"]["managedFields"] = json!(entries);
    }
    (value, applied)
}

fn jiff_now() -> String {
    jiff::Timestamp::now().to_string()
}

fn leaves(value: &Value, path: &mut Field, fields: &mut BTreeSet<Field>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, fields);
                path.pop();
            }
        }
        _ => {
            fields.insert(path.clone());
        }
    }
}

fn remove(value: &mut Value, field: &[String]) {
    let Some((last, parents)) = field.split_last() else { return };
    let mut at = value;
    for key in parents {
        let Some(next) = at.get_mut(key) else { return };
        at = next;
    }
    if let Some(map) = at.as_object_mut() {
        map.remove(last);
    }
}

fn remove_everywhere(value: &mut Value, field: &str) {
    match value {
        Value::Object(map) => {
            map.remove(field);
            map.values_mut().for_each(|value| remove_everywhere(value, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove_everywhere(value, field)),
        _ => {}
    }
}

/// RFC 7396.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    for (key, patch) in patch {
        if patch.is_null() {
            value.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut value[key.as_str()], patch);
        }
    }
}

/// The `TokenRequest` of a service account: what the object at its path says under `next`.
fn token(store: &Store, account: &str, _: &Value) -> (u16, Value) {
    match store.objects.get(account) {
        Some(object) => (201, json!({"kind": "TokenRequest", "status": object.value["next"]})),
        None => not_found(account),
    }
}

fn not_found(path: &str) -> (u16, Value) {
    let name = path.rsplit('/').next().unwrap_or_default();
    let status = json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": format!("{name} not found"),
        "details": {"name": name}});
    (404, status)
}

fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "code": code, "reason": reason, "message": message}))
}

async fn serve(State(server): State<ApiServer>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = parts.uri.path().to_owned();
    let kind = parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let fault = server.fault(&path);
    let (code, answer, retry_after) = match &fault {
        Some(Fault::Status(code, answer, after)) => (*code, answer.clone(), *after),
        Some(Fault::Hang) => (0, Value::Null, None),
        Some(Fault::HangAfter) | None => {
            let (code, answer) = server.carry_out(&parts.method, &path, query, kind, &body);
            (code, answer, None)
        }
    };
    server.store().seen.push(Seen { method: parts.method, path, body, status: code });
    server.count.send_modify(|count| *count += 1);
    if matches!(fault, Some(Fault::Hang | Fault::HangAfter)) {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(StatusCode::from_u16(code).expect("a code"));
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.header("content-type", "application/json").body(Body::from(answer.to_string())).expect("a response")
}
