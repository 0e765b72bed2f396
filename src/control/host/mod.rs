//! Requests to an API server: one at a time, each with a time limit, each answered by JSON or by a classified error.
//!
//! They are made by hand and not by `kube::Api`, because a writer needs what that hides: `Retry-After`, whether a 404
//! means the object or its kind, which permission is missing. Nothing is retried here. The client that is handed in
//! should not retry either (`Config::default_retry = false`): kube's own retry sleeps within a request, which would
//! then last longer than the lease that allowed it.

mod error;

use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use kube::{Client, client::Body};
use serde_json::Value;

pub use error::ApiError;
pub(crate) use error::chain;

use crate::MANAGER;

/// Largest answer that is read. An object in etcd is at most 1.5 MiB; what is beyond this is not a Kubernetes server.
const ANSWER_LIMIT: usize = 8 << 20;

/// Objects in a page of a list: a kilobyte or two each, without what is not metadata.
const PAGE: usize = 500;
/// A list of metadata, from servers that can leave out the rest.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// A kind as it stands in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    /// API group; empty for the core group.
    pub(crate) group: &'static str,
    /// Version.
    pub(crate) version: &'static str,
    /// Plural, in lower case.
    pub(crate) plural: &'static str,
}

/// `leases` of `coordination.k8s.io/v1`.
pub(crate) const LEASES: Resource = Resource { group: "coordination.k8s.io", version: "v1", plural: "leases" };
/// `events` of `events.k8s.io/v1`.
pub(crate) const EVENTS: Resource = Resource { group: "events.k8s.io", version: "v1", plural: "events" };
/// `secrets` of `v1`.
pub(crate) const SECRETS: Resource = Resource { group: "", version: "v1", plural: "secrets" };
/// `serviceaccounts` of `v1`.
pub(crate) const SERVICE_ACCOUNTS: Resource = Resource { group: "", version: "v1", plural: "serviceaccounts" };
/// `servicednsrecords`.
pub(crate) const SERVICE_RECORDS: Resource = dns("servicednsrecords");
/// `ingressdnsrecords`.
pub(crate) const INGRESS_RECORDS: Resource = dns("ingressdnsrecords");
/// `domains`.
pub(crate) const DOMAINS: Resource = dns("domains");
/// `dnsendpoints` of our own group.
pub(crate) const ENDPOINTS: Resource = dns("dnsendpoints");
/// `dnsendpoints` of external-dns.
pub(crate) const EXTERNAL_DNS_ENDPOINTS: Resource =
    Resource { group: "externaldns.k8s.io", version: "v1alpha1", plural: "dnsendpoints" };
/// `kubefedclusters`.
pub(crate) const CLUSTERS: Resource =
    Resource { group: "core.kubefed.io", version: "v1beta1", plural: "kubefedclusters" };

const fn dns(plural: &'static str) -> Resource {
    Resource { group: "multiclusterdns.kubefed.io", version: "v1alpha1", plural }
}

/// Which object of an API server is meant, or which part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) resource: Resource,
    pub(crate) namespace: &'a str,
    /// Empty for the collection.
    pub(crate) name: &'a str,
    /// Empty for the object itself.
    pub(crate) subresource: &'static str,
}

impl<'a> Place<'a> {
    /// An object.
    pub(crate) fn object(resource: Resource, namespace: &'a str, name: &'a str) -> Self {
        Self { resource, namespace, name, subresource: "" }
    }

    /// The same object's subresource.
    pub(crate) fn sub(self, subresource: &'static str) -> Self {
        Self { subresource, ..self }
    }

    fn path(&self) -> Result<String, ApiError> {
        let Resource { group, version, plural } = self.resource;
        let mut path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        for (segment, word) in [("namespaces", self.namespace), (plural, self.name), (self.subresource, "")] {
            if !is_segment(word) {
                return Err(ApiError::Invalid { message: format!("{word:?} is no name of an object") });
            }
            // A cluster-wide object has no namespace; an object that is to be made has no name yet.
            if segment.is_empty() || (segment == "namespaces" && word.is_empty()) {
                continue;
            }
            path.push('/');
            path.push_str(segment);
            if !word.is_empty() {
                path.push('/');
                path.push_str(word);
            }
        }
        Ok(path)
    }

    /// As RBAC spells it.
    fn rbac_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.plural.to_owned()
        } else {
            format!("{}/{}", self.resource.plural, self.subresource)
        }
    }
}

/// Names of objects are DNS names by Kubernetes' rules; whatever could lead a path elsewhere is none.
fn is_segment(word: &str) -> bool {
    !matches!(word, "." | "..")
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'))
}

/// An API server to talk to.
#[derive(Clone)]
pub(crate) struct Host {
    client: Client,
}

/// What is asked of a place.
#[derive(Debug, Clone, Copy)]
enum Verb<'a> {
    Get,
    /// From where the page before ended; empty for the first.
    List(&'a str),
    Create,
    Update,
    Apply,
    Merge,
    Delete,
}

impl Host {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) async fn read(&self, place: Place<'_>, limit: Duration) -> Result<Value, ApiError> {
        self.ask(Verb::Get, place, None, limit).await
    }

    /// A page of everything of a kind, in all namespaces: `items` with their `metadata` alone. `metadata.continue` is the
    /// token of the next page; the first has an empty one.
    pub(crate) async fn list(&self, resource: Resource, token: &str, limit: Duration) -> Result<Value, ApiError> {
        self.ask(Verb::List(token), Place::object(resource, "", ""), None, limit).await
    }

    pub(crate) async fn create(&self, place: Place<'_>, body: &Value, limit: Duration) -> Result<Value, ApiError> {
        // The name of what is made stands in the body; the path is that of the collection, or of the subresource.
        let place = if place.subresource.is_empty() { Place { name: "", ..place } } else { place };
        self.ask(Verb::Create, place, Some(body), limit).await
    }

    /// Replaces an object. `metadata.resourceVersion` in the body is the fence: a conflict if it changed since.
    pub(crate) async fn replace(&self, place: Place<'_>, body: &Value, limit: Duration) -> Result<Value, ApiError> {
        self.ask(Verb::Update, place, Some(body), limit).await
    }

    /// Server-side apply, taking over fields that others have.
    pub(crate) async fn apply(&self, place: Place<'_>, body: &Value, limit: Duration) -> Result<Value, ApiError> {
        self.ask(Verb::Apply, place, Some(body), limit).await
    }

    /// JSON merge patch (RFC 7396).
    pub(crate) async fn merge(&self, place: Place<'_>, body: &Value, limit: Duration) -> Result<Value, ApiError> {
        self.ask(Verb::Merge, place, Some(body), limit).await
    }

    /// Deletes exactly the object with this uid at this version; a conflict if it is another by now.
    pub(crate) async fn delete(
        &self,
        place: Place<'_>,
        uid: &str,
        resource_version: &str,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let body = serde_json::json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        });
        self.ask(Verb::Delete, place, Some(&body), limit).await
    }

    async fn ask(
        &self,
        verb: Verb<'_>,
        place: Place<'_>,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let request = verb.request(&place, body)?;
        let exchange = async {
            let answer = self.client.send(request).await.map_err(|error| ApiError::Unreachable(Box::new(error)))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| ApiError::Garbage { message: error.to_string() })?.to_bytes();
            if parts.status.is_success() {
                return serde_json::from_slice(&body)
                    .map_err(|error| ApiError::Garbage { message: format!("not JSON: {error}") });
            }
            let missing = error::Asked {
                group: place.resource.group,
                resource: place.rbac_resource(),
                named: !place.name.is_empty(),
            };
            Err(error::classify(parts.status, &parts.headers, &body, &missing))
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(ApiError::TimedOut { limit }))
    }
}

impl Verb<'_> {
    fn request(self, place: &Place<'_>, body: Option<&Value>) -> Result<Request<Body>, ApiError> {
        let path = place.path()?;
        let (method, query, content) = match self {
            Self::Get => (Method::GET, String::new(), None),
            Self::List(token) if is_segment(token) => (Method::GET, format!("?limit={PAGE}&continue={token}"), None),
            Self::List(_) => return Err(ApiError::Garbage { message: "the token of a page is none".to_owned() }),
            Self::Create => (Method::POST, format!("?fieldManager={MANAGER}"), Some("application/json")),
            Self::Update => (Method::PUT, format!("?fieldManager={MANAGER}"), Some("application/json")),
            Self::Apply => {
                (Method::PATCH, format!("?fieldManager={MANAGER}&force=true"), Some("application/apply-patch+yaml"))
            }
            Self::Merge => (Method::PATCH, format!("?fieldManager={MANAGER}"), Some("application/merge-patch+json")),
            Self::Delete => (Method::DELETE, String::new(), Some("application/json")),
        };
        let accept = if matches!(self, Self::List(_)) { METADATA } else { "application/json" };
        let mut request =
            Request::builder().method(method).uri(format!("{path}{query}")).header(header::ACCEPT, accept);
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, content);
        }
        let invalid = |message: String| ApiError::Invalid { message };
        let bytes = body.map(serde_json::to_vec).transpose().map_err(|error| invalid(error.to_string()))?;
        request.body(Body::from(bytes.unwrap_or_default())).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_kubernetes_api() {
        let path = |place: Place<'_>| place.path().expect("a path");
        assert_eq!(path(Place::object(SECRETS, "fed", "c1-token")), "/api/v1/namespaces/fed/secrets/c1-token");
        assert_eq!(
            path(Place::object(SERVICE_RECORDS, "shop", "web").sub("status")),
            "/apis/multiclusterdns.kubefed.io/v1alpha1/namespaces/shop/servicednsrecords/web/status"
        );
        assert_eq!(path(Place::object(EVENTS, "shop", "")), "/apis/events.k8s.io/v1/namespaces/shop/events");
    }

    #[test]
    fn a_name_never_leads_a_path_elsewhere() {
        for name in ["..", ".", "a/b", "a?b", "a#b", "a%2fb", "a b"] {
            assert!(Place::object(SECRETS, "fed", name).path().is_err(), "{name}");
        }
    }
}
