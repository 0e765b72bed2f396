//! Objects, their versions, and what happened to them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// A kind of object that a server has.
#[derive(Debug, Clone)]
pub struct Resource {
    /// `v1`, or group and version.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Plural, as in paths.
    pub plural: &'static str,
}

const fn resource(api_version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { api_version, kind, plural }
}

/// What a host with mcdns and KubeFed has.
pub fn host_resources() -> Vec<Resource> {
    const DNS: &str = "multiclusterdns.kubefed.io/v1alpha1";
    vec![
        resource(DNS, "Domain", "domains"),
        resource(DNS, "ServiceDNSRecord", "servicednsrecords"),
        resource(DNS, "IngressDNSRecord", "ingressdnsrecords"),
        resource(DNS, "DNSEndpoint", "dnsendpoints"),
        resource("core.kubefed.io/v1beta1", "KubeFedCluster", "kubefedclusters"),
        resource("core.kubefed.io/v1alpha1", "FederatedServiceStatus", "federatedservicestatuses"),
        resource("types.kubefed.io/v1beta1", "FederatedService", "federatedservices"),
        resource("types.kubefed.io/v1beta1", "FederatedIngress", "federatedingresses"),
        resource("v1", "Secret", "secrets"),
        resource("v1", "Event", "events"),
        resource("events.k8s.io/v1", "Event", "events"),
        resource("coordination.k8s.io/v1", "Lease", "leases"),
    ]
}

/// What a member of today has.
pub fn member_resources() -> Vec<Resource> {
    vec![
        resource("v1", "Service", "services"),
        resource("v1", "Endpoints", "endpoints"),
        resource("v1", "Node", "nodes"),
        resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
        resource("networking.k8s.io/v1", "Ingress", "ingresses"),
    ]
}

/// Namespace and name.
pub(super) type Name = (String, String);

/// An object as text, and what selectors look at.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) value: Value,
    pub(super) version: u64,
}

/// Something that happened: an object before and after.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) before: Option<Arc<Stored>>,
    pub(super) after: Option<Arc<Stored>>,
    /// The version that it got; of a deletion its own.
    pub(super) version: u64,
}

#[derive(Debug)]
pub(super) struct Collection {
    pub(super) resource: Resource,
    pub(super) objects: BTreeMap<Name, Arc<Stored>>,
    /// By version.
    pub(super) history: BTreeMap<u64, Happening>,
    /// Versions up to here are forgotten.
    pub(super) forgotten: u64,
    pub(super) moved: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Store {
    /// By path without a namespace, as `/apis/group/version/plural`.
    pub(super) collections: BTreeMap<String, Collection>,
    pub(super) version: u64,
    uid: u64,
}

/// Why a write is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Exists,
    Conflict,
    Invalid(&'static str),
}

impl Store {
    pub(super) fn new(resources: Vec<Resource>) -> Self {
        let mut store = Self { collections: BTreeMap::new(), version: 1, uid: 0 };
        for resource in resources {
            store.add(resource);
        }
        store
    }

    pub(super) fn add(&mut self, resource: Resource) {
        let prefix = if resource.api_version.contains('/') { "/apis" } else { "/api" };
        let path = format!("{prefix}/{}/{}", resource.api_version, resource.plural);
        let collection = Collection {
            resource,
            objects: BTreeMap::new(),
            history: BTreeMap::new(),
            forgotten: 0,
            moved: watch::Sender::new(0),
        };
        self.collections.entry(path).or_insert(collection);
    }

    fn by_plural(&self, plural: &str) -> Option<&Collection> {
        self.collections.values().find(|collection| collection.resource.plural == plural)
    }

    fn path_of(&self, object: &Value) -> Option<String> {
        let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let fits = |resource: &Resource| resource.api_version == api_version && resource.kind == kind;
        self.collections.iter().find(|(_, collection)| fits(&collection.resource)).map(|(path, _)| path.clone())
    }

    pub(super) fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let name = (namespace.to_owned(), name.to_owned());
        self.by_plural(plural)?.objects.get(&name).map(|stored| stored.value.clone())
    }

    pub(super) fn count(&self, plural: &str) -> usize {
        self.by_plural(plural).map_or(0, |collection| collection.objects.len())
    }

    pub(super) fn compact(&mut self) {
        // Even who has seen everything so far is behind from now on.
        self.version += 1;
        let version = self.version;
        for collection in self.collections.values_mut() {
            collection.history.clear();
            collection.forgotten = version;
        }
    }

    /// Creates or replaces, whatever version the object has.
    pub(super) fn put(&mut self, object: Value) -> Result<Value, Refusal> {
        let path = self.path_of(&object).ok_or(Refusal::NotFound)?;
        let name = name_of(&object).ok_or(Refusal::Invalid("no name"))?;
        self.store(&path, &name, object)
    }

    pub(super) fn create(&mut self, path: &str, namespace: &str, mut object: Value) -> Result<Value, Refusal> {
        if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            let prefix = object["metadata"]["generateName"].as_str().ok_or(Refusal::Invalid("no name"))?.to_owned();
            object["metadata"]["name"] = json!(format!("{prefix}{:05}", self.uid));
        }
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let name = name_of(&object).ok_or(Refusal::Invalid("no name"))?;
        let collection = self.collections.get(path).ok_or(Refusal::NotFound)?;
        if collection.objects.contains_key(&name) {
            return Err(Refusal::Exists);
        }
        self.store(path, &name, object)
    }

    /// Replaces an object, or its status alone.
    pub(super) fn replace(&mut self, path: &str, name: &Name, object: Value, status: bool) -> Result<Value, Refusal> {
        let collection = self.collections.get(path).ok_or(Refusal::NotFound)?;
        let before = collection.objects.get(name).ok_or(Refusal::NotFound)?;
        let wanted = object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
        if wanted.is_some_and(|wanted| wanted != before.version.to_string()) {
            return Err(Refusal::Conflict);
        }
        let object = if status { with_status(&before.value, object.get("status")) } else { object };
        self.store(path, name, object)
    }

    /// Merges a patch (RFC 7386) into an object or its status. `manager` is who applies, which also creates.
    pub(super) fn patch(
        &mut self,
        path: &str,
        name: &Name,
        patch: &Value,
        status: bool,
        manager: &str,
        applies: bool,
    ) -> Result<Value, Refusal> {
        let collection = self.collections.get(path).ok_or(Refusal::NotFound)?;
        let before = collection.objects.get(name);
        if before.is_none() && (!applies || status) {
            return Err(Refusal::NotFound);
        }
        let wanted = patch["metadata"]["resourceVersion"].as_str();
        if wanted.is_some_and(|wanted| before.is_none_or(|before| wanted != before.version.to_string())) {
            return Err(Refusal::Conflict);
        }
        let mut object = before.map_or_else(|| json!({}), |before| before.value.clone());
        let unmanaged = object.clone();
        if status {
            let mut inner = object["status"].take();
            merge(&mut inner, patch.get("status").unwrap_or(&Value::Null));
            object["status"] = inner;
        } else {
            merge(&mut object, patch);
            object["metadata"]["name"] = json!(name.1);
            if !name.0.is_empty() {
                object["metadata"]["namespace"] = json!(name.0);
            }
        }
        if object != unmanaged && !manager.is_empty() {
            note_manager(&mut object, patch, manager, status);
        }
        self.store(path, name, object)
    }

    pub(super) fn delete(&mut self, plural: &str, namespace: &str, name: &str) -> bool {
        let path = self.collections.iter().find(|(_, collection)| collection.resource.plural == plural);
        let Some(path) = path.map(|(path, _)| path.clone()) else { return false };
        self.remove(&path, &(namespace.to_owned(), name.to_owned())).is_ok()
    }

    pub(super) fn remove(&mut self, path: &str, name: &Name) -> Result<Value, Refusal> {
        let collection = self.collections.get_mut(path).ok_or(Refusal::NotFound)?;
        let before = collection.objects.remove(name).ok_or(Refusal::NotFound)?;
        self.version += 1;
        let version = self.version;
        let value = before.value.clone();
        collection.history.insert(version, Happening { before: Some(before), after: None, version });
        collection.moved.send_replace(version);
        Ok(value)
    }

    fn store(&mut self, path: &str, name: &Name, mut object: Value) -> Result<Value, Refusal> {
        let collection = self.collections.get_mut(path).ok_or(Refusal::NotFound)?;
        let before = collection.objects.get(name).cloned();
        object["apiVersion"] = json!(collection.resource.api_version);
        object["kind"] = json!(collection.resource.kind);
        let meta = object["metadata"].as_object_mut().ok_or(Refusal::Invalid("no metadata"))?;
        for kept in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
            match before.as_ref().and_then(|before| before.value["metadata"].get(kept)) {
                Some(value) => drop(meta.insert(kept.to_owned(), value.clone())),
                None if kept == "uid" && meta.contains_key(kept) => {}
                None if kept == "creationTimestamp" && meta.contains_key(kept) => {}
                None => drop(meta.remove(kept)),
            }
        }
        if before.as_ref().is_some_and(|before| before.value == object) {
            return Ok(object);
        }
        self.version += 1;
        self.uid += 1;
        let (version, uid) = (self.version, self.uid);
        let same_spec = before.as_ref().is_some_and(|before| before.value.get("spec") == object.get("spec"));
        let meta = object["metadata"].as_object_mut().ok_or(Refusal::Invalid("no metadata"))?;
        meta.entry("uid").or_insert_with(|| json!(format!("00000000-0000-0000-0000-{uid:012}")));
        meta.entry("creationTimestamp").or_insert_with(|| json!("2026-01-01T00:00:00Z"));
        let generation = meta.get("generation").and_then(Value::as_i64).unwrap_or(0);
        meta.insert("generation".to_owned(), json!(if same_spec { generation } else { generation + 1 }));
        meta.insert("resourceVersion".to_owned(), json!(version.to_string()));
        let after = Arc::new(Stored { value: object.clone(), version });
        collection.objects.insert(name.clone(), Arc::clone(&after));
        collection.history.insert(version, Happening { before, after: Some(after), version });
        collection.moved.send_replace(version);
        Ok(object)
    }
}

fn name_of(object: &Value) -> Option<Name> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    (!name.is_empty()).then(|| (text("namespace"), name))
}

fn with_status(before: &Value, status: Option<&Value>) -> Value {
    let mut object = before.clone();
    match status {
        Some(status) => object["status"] = status.clone(),
        None => drop(object.as_object_mut().map(|object| object.remove("status"))),
    }
    object
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in fields {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Notes who wrote which part, as far as somebody looks at that: top-level fields, and annotations by name.
fn note_manager(object: &mut Value, patch: &Value, manager: &str, status: bool) {
    let fields = if status {
        json!({"f:status": {}})
    } else {
        let mut fields = Map::new();
        for name in patch.as_object().into_iter().flat_map(Map::keys) {
            fields.insert(format!("f:{name}"), json!({}));
        }
        let annotations = patch["metadata"]["annotations"].as_object();
        for name in annotations.into_iter().flat_map(Map::keys) {
            fields["f:metadata"][format!("f:{name}")] = json!({});
        }
        Value::Object(fields)
    };
    let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.retain(|entry| entry["manager"] != manager || (entry["subresource"] == "status") != status);
    let mut entry = json!({"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields});
    if status {
        entry["subresource"] = json!("status");
    }
    entries.push(entry);
    object["metadata"]["managedFields"] = Value::Array(entries);
}
