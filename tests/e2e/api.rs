//! An API server, as an administrator with a token sees it.

use std::{sync::LazyLock, time::Duration};

use http::{Method, Request};
use kube::{Client, Config, config::AuthInfo};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What carries the clients and proxies of all scenarios.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// A kind of objects, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As in `apis/apps/v1`.
    pub group: &'static str,
    /// As in paths.
    pub plural: &'static str,
    /// True if its objects are in namespaces.
    pub namespaced: bool,
}

const DNS: &str = "apis/multiclusterdns.kubefed.io/v1alpha1";
const CORE: &str = "api/v1";

const fn kind(group: &'static str, plural: &'static str) -> Kind {
    Kind { group, plural, namespaced: true }
}

/// Kinds that scenarios have to do with.
#[allow(missing_docs, reason = "each is named as its kind")]
pub mod kinds {
    use super::{CORE, DNS, Kind, kind};

    pub const DOMAIN: Kind = kind(DNS, "domains");
    pub const SERVICE_RECORD: Kind = kind(DNS, "servicednsrecords");
    pub const INGRESS_RECORD: Kind = kind(DNS, "ingressdnsrecords");
    pub const DNS_ENDPOINT: Kind = kind(DNS, "dnsendpoints");
    pub const CLUSTER: Kind = kind("apis/core.kubefed.io/v1beta1", "kubefedclusters");
    pub const FEDERATED_SERVICE: Kind = kind("apis/types.kubefed.io/v1beta1", "federatedservices");
    pub const FEDERATED_INGRESS: Kind = kind("apis/types.kubefed.io/v1beta1", "federatedingresses");
    pub const SERVICE: Kind = kind(CORE, "services");
    pub const ENDPOINTS: Kind = kind(CORE, "endpoints");
    pub const ENDPOINT_SLICE: Kind = kind("apis/discovery.k8s.io/v1", "endpointslices");
    pub const INGRESS: Kind = kind("apis/networking.k8s.io/v1", "ingresses");
    pub const NODE: Kind = Kind { group: CORE, plural: "nodes", namespaced: false };
    pub const NAMESPACE: Kind = Kind { group: CORE, plural: "namespaces", namespaced: false };
    pub const SECRET: Kind = kind(CORE, "secrets");
    pub const SERVICE_ACCOUNT: Kind = kind(CORE, "serviceaccounts");
    pub const DNS_ENDPOINT_OF_EXTERNAL_DNS: Kind = kind("apis/externaldns.k8s.io/v1alpha1", "dnsendpoints");
    pub const EVENT: Kind = kind(CORE, "events");
    pub const LEASE: Kind = kind("apis/coordination.k8s.io/v1", "leases");
    pub const CLUSTER_ROLE: Kind =
        Kind { group: "apis/rbac.authorization.k8s.io/v1", plural: "clusterroles", namespaced: false };
    pub const CLUSTER_ROLE_BINDING: Kind =
        Kind { group: "apis/rbac.authorization.k8s.io/v1", plural: "clusterrolebindings", namespaced: false };
    pub const DEFINITION: Kind =
        Kind { group: "apis/apiextensions.k8s.io/v1", plural: "customresourcedefinitions", namespaced: false };
}

/// What an API server said that was no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status; 0 where there was none.
    pub code: u16,
    /// What it said.
    pub message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// A client of one API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Api {
    /// A client of the server at `url` that trusts `authority` (DER) alone.
    pub fn new(url: &str, authority: Vec<u8>, token: &str) -> Self {
        let mut config = Config::new(url.parse().expect("a URL"));
        config.root_cert = Some(vec![authority]);
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_secs(20));
        config.default_retry = false;
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        let _runtime = RUNTIME.enter();
        Self { client: Client::try_from(config).expect("a client") }
    }

    /// Any request; the answer is JSON.
    pub fn try_request(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        // Kubernetes tells kinds of patches apart by their type alone.
        let content = match *method {
            Method::PATCH if path.contains("fieldManager=") => "application/apply-patch+yaml",
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.body(body.map(Value::to_string).unwrap_or_default().into_bytes()).expect("a request");
        RUNTIME.block_on(self.client.request::<Value>(request)).map_err(|error| match error {
            kube::Error::Api(status) => Refused { code: status.code, message: status.message.clone() },
            error => Refused { code: 0, message: format!("{error:?}") },
        })
    }

    /// Any request that must succeed.
    #[track_caller]
    pub fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Value {
        match self.try_request(method, path, body) {
            Ok(value) => value,
            Err(refused) => panic!("{method} {path}: {refused}\n{}", body.map(pretty).unwrap_or_default()),
        }
    }

    /// True if it says that it is ready.
    pub fn is_ready(&self) -> Result<(), Refused> {
        let request = Request::builder().uri("/readyz").body(Vec::new()).expect("a request");
        let told = RUNTIME.block_on(self.client.request_text(request));
        match told {
            Ok(text) if text == "ok" => Ok(()),
            told => Err(Refused { code: 0, message: format!("{told:?}") }),
        }
    }

    /// Creates an object or makes it as given, as one manager with force.
    #[track_caller]
    pub fn apply(&self, kind: Kind, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let path = path(kind, object["metadata"]["namespace"].as_str(), Some(name));
        self.request(&Method::PATCH, &format!("{path}?fieldManager=e2e&force=true"), Some(object))
    }

    /// Creates an object.
    pub fn try_create(&self, kind: Kind, object: &Value) -> Result<Value, Refused> {
        let path = path(kind, object["metadata"]["namespace"].as_str(), None);
        self.try_request(&Method::POST, &path, Some(object))
    }

    /// Creates an object, which may have a `generateName`.
    #[track_caller]
    pub fn create(&self, kind: Kind, object: &Value) -> Value {
        self.try_create(kind, object).unwrap_or_else(|refused| panic!("{}: {refused}\n{}", kind.plural, pretty(object)))
    }

    /// Merges into an object; into a part of it such as `status` where one is named.
    #[track_caller]
    pub fn patch(&self, kind: Kind, name: &str, part: &str, patch: &Value) -> Value {
        let (namespace, name) = split(name);
        let path = path(kind, namespace, Some(name));
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        self.request(&Method::PATCH, &format!("{path}{part}"), Some(patch))
    }

    /// Removes an object that must be there.
    #[track_caller]
    pub fn delete(&self, kind: Kind, name: &str) {
        let (namespace, name) = split(name);
        self.request(&Method::DELETE, &path(kind, namespace, Some(name)), None);
    }

    /// An object by `name` or `namespace/name`.
    pub fn read(&self, kind: Kind, name: &str) -> Result<Value, Refused> {
        let (namespace, name) = split(name);
        self.try_request(&Method::GET, &path(kind, namespace, Some(name)), None)
    }

    /// Every object of a kind, in all namespaces.
    pub fn list(&self, kind: Kind) -> Result<Vec<Value>, Refused> {
        let list = self.try_request(&Method::GET, &path(kind, None, None), None)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Removes every object of a kind; a kind that is not there has none.
    pub fn clear(&self, kind: Kind) -> Result<(), Refused> {
        let objects = match self.list(kind) {
            Err(Refused { code: 404, .. }) => return Ok(()),
            objects => objects?,
        };
        let mut paths: Vec<String> =
            objects.iter().map(|object| path(kind, object["metadata"]["namespace"].as_str(), None)).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            self.try_request(&Method::DELETE, &path, Some(&json!({"gracePeriodSeconds": 0})))?;
        }
        Ok(())
    }

    /// A token of a `ServiceAccount`, `namespace/name`.
    #[track_caller]
    pub fn token(&self, account: &str, seconds: u32) -> String {
        let (namespace, name) = split(account);
        let path = format!("{}/token", path(kinds::SERVICE_ACCOUNT, namespace, Some(name)));
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds}});
        let told = self.request(&Method::POST, &path, Some(&asked));
        told["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Makes a namespace if there is none of this name.
    #[track_caller]
    pub fn namespace(&self, name: &str) {
        self.apply(kinds::NAMESPACE, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
}

/// An object as a person reads it.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn path(kind: Kind, namespace: Option<&str>, name: Option<&str>) -> String {
    let namespace = namespace.filter(|_| kind.namespaced).map(|namespace| format!("/namespaces/{namespace}"));
    let name = name.map(|name| format!("/{name}"));
    format!("/{}{}/{}{}", kind.group, namespace.unwrap_or_default(), kind.plural, name.unwrap_or_default())
}

/// `namespace/name` or a name alone.
fn split(name: &str) -> (Option<&str>, &str) {
    name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name))
}
