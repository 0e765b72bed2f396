//! Join, cordon and unjoin against API servers that are maps from path to object.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::*;
use crate::{
    cordon,
    unjoin::{UnjoinRequest, unjoin},
};

const NS: &str = "kube-federation-system";
const ACCOUNT: &str = "c1-host";
const CLUSTER: &str = "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/kubefedclusters/c1";
const SECRET: &str = "/api/v1/namespaces/kube-federation-system/secrets/c1-mcdns";
const SERVICE_ACCOUNT: &str = "/api/v1/namespaces/kube-federation-system/serviceaccounts/c1-host";
const CLUSTER_ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/mcdns:c1-host";
const RECORDS: &str = "/apis/multiclusterdns.kubefed.io/v1alpha1/servicednsrecords";

/// An API server.
#[derive(Debug, Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    /// What was changed: method and the last two parts of the path.
    changes: Vec<String>,
    /// Paths that contain this are answered with 503.
    broken: Option<&'static str>,
}

impl Server {
    /// A host with the CRD and the system namespace.
    fn host() -> Self {
        let server = Self::default();
        server.put("/apis/core.kubefed.io/v1beta1", json!({"groupVersion": "core.kubefed.io/v1beta1", "resources": [{
            "name": "kubefedclusters", "singularName": "", "namespaced": true, "kind": "KubeFedCluster", "verbs": [],
        }]}));
        server.put(&format!("/api/v1/namespaces/{NS}"), named("v1", "Namespace", NS, "host"));
        server.put(RECORDS, json!({"metadata": {}, "items": []}));
        server
    }

    /// A member that knows Secrets and nothing else that a namespace could hold.
    fn member() -> Self {
        let server = Self::default();
        server.put("/apis", json!({"groups": []}));
        server.put("/api", json!({"versions": ["v1"], "serverAddressByClientCIDRs": []}));
        server.put(
            "/api/v1",
            json!({"groupVersion": "v1", "resources": [{
                "name": "secrets", "singularName": "", "namespaced": true, "kind": "Secret", "verbs": ["list"],
            }]}),
        );
        server.put(&format!("/api/v1/namespaces/{NS}/secrets"), json!({"metadata": {}, "items": []}));
        server
    }

    fn put(&self, path: &str, value: Value) {
        self.0.lock().expect("no panic").objects.insert(path.to_owned(), value);
    }

    fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().expect("no panic").objects.get(path).cloned()
    }

    fn changes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic").changes)
    }

    fn break_at(&self, part: Option<&'static str>) {
        self.0.lock().expect("no panic").broken = part;
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body");
                let (code, answer) = server.answer(&head.method, head.uri.path(), &body);
                let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut state = self.0.lock().expect("no panic");
        let path = path.trim_end_matches('/');
        if state.broken.is_some_and(|part| path.contains(part)) {
            return failure(500, "broken");
        }
        if *method != Method::GET {
            let end: Vec<&str> = path.rsplit('/').take(2).collect();
            state.changes.push(format!("{method} {}/{}", end[1], end[0]));
        }
        let written = || serde_json::from_slice::<Value>(body).expect("JSON");
        let found = match *method {
            Method::GET => state.objects.get(path).cloned(),
            Method::DELETE => state.objects.remove(path),
            Method::POST if path.ends_with("/token") => {
                Some(json!({"status": {"token": "t0ken", "expirationTimestamp": "2030-01-01T00:00:00Z"}}))
            }
            Method::POST => {
                let object = written();
                let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
                state.objects.insert(format!("{path}/{name}"), object.clone());
                Some(object)
            }
            _ => {
                let change = written();
                let mut object = state.objects.get(path).cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, &change);
                state.objects.insert(path.to_owned(), object.clone());
                Some(object)
            }
        };
        found.map_or_else(|| failure(404, "NotFound"), |found| (200, found))
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": code}))
}

/// RFC 7396, which does for an apply as well here.
fn merge(target: &mut Value, change: &Value) {
    let Some(change) = change.as_object() else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in change {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn named(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "uid": uid}})
}

fn request() -> JoinRequest {
    JoinRequest {
        member: "c1".parse().expect("a name"),
        host: "host".to_owned(),
        namespace: NS.to_owned(),
        secret_name: None,
        // Nobody is there, so what the token may do is not found out here.
        endpoint: MemberEndpoint {
            url: "http://127.0.0.1:1".to_owned(),
            authority: None,
            insecure: false,
            proxy: None,
        },
    }
}

async fn join_with(host: &Server, member: &Server, error_on_existing: bool) -> Result<Joined, ControlError> {
    let clients = Clients { host: host.client(), member: member.client() };
    let options = JoinOptions { error_on_existing, timeout: Duration::ZERO };
    join(&clients, &request(), options, &mut |_| {}).await
}

async fn unjoin_with(
    host: &Server,
    member: Option<&Server>,
    force: bool,
) -> Result<crate::unjoin::Unjoined, ControlError> {
    let request = UnjoinRequest {
        member: "c1".parse().expect("a name"),
        host: "host".to_owned(),
        namespace: NS.to_owned(),
        timeout: Duration::from_secs(5),
        force,
    };
    unjoin(&host.client(), member.map(Server::client).as_ref(), &request, &mut |_| {}).await
}

fn record_with_targets() -> Value {
    json!({"metadata": {}, "items": [{
        "metadata": {"name": "web", "namespace": "shop"},
        "status": {"dns": [{"cluster": "c1", "loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}]},
    }]})
}

#[tokio::test]
async fn the_objects_are_made_in_their_order_and_the_cluster_last() {
    let (host, member) = (Server::host(), Server::member());
    let joined = join_with(&host, &member, true).await.expect("it joins");
    assert_eq!(joined.expires, "2030-01-01T00:00:00Z");
    assert!(joined.unanswered.is_some() && joined.missing.is_empty());
    assert_eq!(
        member.changes(),
        [
            "POST v1/namespaces",
            "PATCH serviceaccounts/c1-host",
            "PATCH clusterroles/mcdns:c1-host",
            "PATCH clusterrolebindings/mcdns:c1-host",
            "PATCH roles/mcdns:c1-host",
            "PATCH rolebindings/mcdns:c1-host",
            "POST c1-host/token",
        ]
    );
    assert_eq!(host.changes(), ["PATCH secrets/c1-mcdns", "PATCH kubefedclusters/c1"]);
    assert_eq!(host.object(SECRET).expect("a Secret")["stringData"]["token"], "t0ken");
}

#[tokio::test]
async fn a_member_that_has_joined_is_an_error_and_is_brought_up_to_date_where_that_is_asked_for() {
    let (host, member) = (Server::host(), Server::member());
    join_with(&host, &member, true).await.expect("it joins");
    host.changes();
    member.changes();
    let error = join_with(&host, &member, true).await.expect_err("it has joined").to_string();
    assert!(error.contains("KubeFedCluster kube-federation-system/c1 is in the host cluster already"), "{error}");
    assert!(error.contains("--error-on-existing=false brings"), "{error}");
    assert_eq!((host.changes().len(), member.changes().len()), (0, 0));
    join_with(&host, &member, false).await.expect("it joins again");
    assert_eq!((host.changes().len(), member.changes().len()), (2, 6));
}

#[tokio::test]
async fn a_join_that_was_interrupted_is_completed() {
    let (host, member) = (Server::host(), Server::member());
    for part in ["clusterrolebindings", "/token", "secrets", "kubefedclusters/"] {
        let server = if part == "secrets" || part.starts_with("kube") { &host } else { &member };
        server.break_at(Some(part));
        let error = join_with(&host, &member, true).await.expect_err(part);
        assert!(matches!(error, ControlError::Api { .. }), "{error}");
        server.break_at(None);
    }
    join_with(&host, &member, true).await.expect("it is completed");
    assert!(host.object(CLUSTER).is_some());
}

#[tokio::test]
async fn what_somebody_else_made_is_not_touched() {
    for (path, kind) in [(SERVICE_ACCOUNT, "ServiceAccount"), (CLUSTER_ROLE, "ClusterRole")] {
        let (host, member) = (Server::host(), Server::member());
        member.put(path, named("v1", kind, ACCOUNT, "1"));
        let error = join_with(&host, &member, true).await.expect_err("somebody's").to_string();
        assert!(error.contains(kind) && error.contains("was not made by mcdns join"), "{error}");
        assert_eq!((host.changes().len(), member.changes().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_host_without_crds_or_namespace_is_told_what_to_install() {
    let member = Server::member();
    let error = join_with(&Server::default(), &member, true).await.expect_err("no CRDs").to_string();
    assert!(error.contains("help: install the CRDs first: kubectl apply -f deploy/crds"), "{error}");
    let host = Server::host();
    host.0.lock().expect("no panic").objects.remove(&format!("/api/v1/namespaces/{NS}"));
    let error = join_with(&host, &member, true).await.expect_err("no namespace").to_string();
    assert!(error.contains("the host cluster has no namespace kube-federation-system"), "{error}");
    assert_eq!(member.changes().len(), 0);
}

#[tokio::test]
async fn a_cordon_is_an_annotation_and_nothing_else() {
    let host = Server::host();
    let error = cordon::set(&host.client(), NS, "c1", Some("why")).await.expect_err("no cluster").to_string();
    assert!(error.contains("has no KubeFedCluster kube-federation-system/c1"), "{error}");
    join_with(&host, &Server::member(), true).await.expect("it joins");
    let before = host.object(CLUSTER);
    assert_eq!(cordon::set(&host.client(), NS, "c1", Some("why")).await.expect("cordoned"), None);
    assert_eq!(host.object(CLUSTER).expect("there")["metadata"]["annotations"]["mcdns.io/cordon"], "why");
    assert_eq!(cordon::set(&host.client(), NS, "c1", Some("")).await.expect("again").as_deref(), Some("why"));
    assert_eq!(cordon::set(&host.client(), NS, "c1", None).await.expect("back").as_deref(), Some("true"));
    let mut after = host.object(CLUSTER).expect("there");
    after["metadata"].as_object_mut().expect("metadata").remove("annotations");
    assert_eq!(Some(after), before);
}

#[tokio::test]
async fn leaving_undoes_joining() {
    let (host, member) = (Server::host(), Server::member());
    let before = member.0.lock().expect("no panic").objects.clone();
    join_with(&host, &member, true).await.expect("it joins");
    host.changes();
    member.changes();
    let unjoined = unjoin_with(&host, Some(&member), false).await.expect("it leaves");
    assert_eq!(unjoined.left, Vec::<String>::new());
    assert_eq!(
        member.changes(),
        [
            "DELETE clusterrolebindings/mcdns:c1-host",
            "DELETE rolebindings/mcdns:c1-host",
            "DELETE clusterroles/mcdns:c1-host",
            "DELETE roles/mcdns:c1-host",
            "DELETE serviceaccounts/c1-host",
            "DELETE namespaces/kube-federation-system",
        ]
    );
    assert_eq!(host.changes(), ["PATCH kubefedclusters/c1", "DELETE secrets/c1-mcdns", "DELETE kubefedclusters/c1"]);
    assert_eq!(member.0.lock().expect("no panic").objects, before);
}

#[tokio::test]
async fn a_secret_that_join_did_not_make_stays() {
    let (host, member) = (Server::host(), Server::member());
    join_with(&host, &member, true).await.expect("it joins");
    let path = format!("/api/v1/namespaces/{NS}/secrets/c1-mcdns");
    let mut secret = host.object(&path).expect("there");
    secret["metadata"].as_object_mut().expect("metadata").remove("labels");
    host.put(&path, secret);
    host.changes();
    let unjoined = unjoin_with(&host, Some(&member), false).await.expect("it leaves");
    assert_eq!(unjoined.left, [format!("Secret {NS}/c1-mcdns in the host, because join did not make it")]);
    assert_eq!(host.changes(), ["PATCH kubefedclusters/c1", "DELETE kubefedclusters/c1"]);
}

#[tokio::test]
async fn the_namespace_stays_where_others_live_in_it_or_it_is_the_hosts() {
    let (host, member) = (Server::host(), Server::member());
    join_with(&host, &member, true).await.expect("it joins");
    let others = json!({"metadata": {}, "items": [{"metadata": {"name": "theirs"}}]});
    member.put(&format!("/api/v1/namespaces/{NS}/secrets"), others);
    let unjoined = unjoin_with(&host, Some(&member), false).await.expect("it leaves");
    assert_eq!(unjoined.left, ["Namespace kube-federation-system in the member, because it holds Secret theirs"]);

    // A host that is its own member.
    let both = Server::host();
    join_with(&both, &both, true).await.expect("it joins itself");
    both.changes();
    unjoin_with(&both, Some(&both), false).await.expect("it leaves itself");
    assert!(!both.changes().contains(&format!("DELETE namespaces/{NS}")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_before_records_have_lost_their_targets() {
    let (host, member) = (Server::host(), Server::member());
    join_with(&host, &member, true).await.expect("it joins");
    host.put(RECORDS, record_with_targets());
    host.changes();
    member.changes();
    let error = unjoin_with(&host, Some(&member), false).await.expect_err("still used").to_string();
    assert!(error.contains("1 record still has targets of c1"), "{error}");
    assert!(error.contains("ServiceDNSRecord shop/web") && error.contains("--force"), "{error}");
    assert_eq!((host.changes(), member.changes().len()), (vec!["PATCH kubefedclusters/c1".to_owned()], 0));
    // It is cordoned, so the records follow, and the wait ends.
    let later = host.clone();
    let follow = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        later.put(RECORDS, json!({"metadata": {}, "items": []}));
    });
    unjoin_with(&host, Some(&member), false).await.expect("it leaves");
    follow.await.expect("no panic");
    assert!(host.object(CLUSTER).is_none());
}

#[tokio::test]
async fn a_member_that_is_gone_stops_the_command_unless_it_is_forced() {
    let (host, member) = (Server::host(), Server::member());
    join_with(&host, &member, true).await.expect("it joins");
    member.break_at(Some("/"));
    let error = unjoin_with(&host, Some(&member), false).await.expect_err("it is gone").to_string();
    assert!(error.contains("ServiceAccount kube-federation-system/c1-host") && error.contains("--force"), "{error}");
    assert!(host.object(CLUSTER).is_some() && host.object(SECRET).is_some());
    host.put(RECORDS, record_with_targets());
    let unjoined = unjoin_with(&host, Some(&member), true).await.expect("it is forced");
    assert!(unjoined.left[0].starts_with("ServiceAccount kube-federation-system/c1-host"), "{:?}", unjoined.left);
    assert!(host.object(CLUSTER).is_none() && host.object(SECRET).is_none());
    // Forced again, there is nothing to do, and that is no error.
    unjoin_with(&host, None, true).await.expect("nothing is left");
    let error = unjoin_with(&host, Some(&member), false).await.expect_err("unknown").to_string();
    assert!(error.contains("has no KubeFedCluster"), "{error}");
}
