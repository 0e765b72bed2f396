//! What join makes, as values: first in the member, then in the host.
//!
//! | where | object | what for |
//! |---|---|---|
//! | member | Namespace | where the `ServiceAccount` lives; left alone where it is there already |
//! | member | `ServiceAccount` `CLUSTER-HOST` | who mcdns is in the member |
//! | member | `ClusterRole` and `ClusterRoleBinding` `mcdns:CLUSTER-HOST` | reading, and nothing else ([`READ`]) |
//! | member | Role and `RoleBinding` `mcdns:CLUSTER-HOST` | a new token for itself before the old one ends |
//! | host | Secret | the token, and the authority of the member |
//! | host | KubeFedCluster | the member itself; last, since it sets mcdns going |

use std::fmt;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::{JoinRequest, Token};

/// What mcdns reads in a member: API groups and resources, with `get`, `list` and `watch` on each.
pub const READ: &[(&[&str], &[&str])] = &[
    (&[""], &["services", "endpoints", "nodes"]),
    (&["discovery.k8s.io"], &["endpointslices"]),
    (&["networking.k8s.io", "extensions"], &["ingresses"]),
];
/// The verbs of [`READ`].
pub const READ_VERBS: &[&str] = &["get", "list", "watch"];
/// Paths that tell whether a member is healthy; `get` alone.
pub const HEALTH_PATHS: &[&str] = &["/readyz", "/healthz"];

/// Annotations of the Secret that join writes, for the one who renews the token.
pub use crate::tokens::{EXPIRES_ANNOTATION, SERVICE_ACCOUNT_ANNOTATION};

/// Annotation of what join makes: which member of the host it belongs to.
pub const MEMBER_ANNOTATION: &str = "mcdns.io/member";

/// Label that says who made an object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
const MCDNS: &str = "mcdns";

/// Which cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The cluster that joins.
    Member,
    /// The cluster that knows the others.
    Host,
}

/// An object to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned(Value);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Member => "member",
            Self::Host => "host",
        })
    }
}

/// `Kind namespace/name` or `Kind name`.
impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind(), self.name()),
            None => write!(f, "{} {}", self.kind(), self.name()),
        }
    }
}

/// What is made in the member, in the order in which it is made.
pub fn member_objects(request: &JoinRequest) -> Vec<Planned> {
    let account = request.service_account();
    let namespace = request.namespace.as_str();
    let role = role_name(&account);
    let member = request.member.as_str();
    let mut rules: Vec<Value> = READ
        .iter()
        .map(|(groups, resources)| json!({"apiGroups": groups, "resources": resources, "verbs": READ_VERBS}))
        .collect();
    rules.push(json!({"nonResourceURLs": HEALTH_PATHS, "verbs": ["get"]}));
    let own_token = json!([{
        "apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [account], "verbs": ["create"],
    }]);
    let rbac = "rbac.authorization.k8s.io/v1";
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": namespace}]);
    let role_ref = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role.as_str()});
    let everywhere = || metadata(member, None, &role);
    let here = || metadata(member, Some(namespace), &role);
    let binding = |kind: &str, metadata: Value, role: &str| json!({"apiVersion": rbac, "kind": kind, "metadata": metadata, "roleRef": role_ref(role), "subjects": subjects});
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(member, None, namespace)}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(member, Some(namespace), &account)}),
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": everywhere(), "rules": rules}),
        binding("ClusterRoleBinding", everywhere(), "ClusterRole"),
        json!({"apiVersion": rbac, "kind": "Role", "metadata": here(), "rules": own_token}),
        binding("RoleBinding", here(), "Role"),
    ]
    .map(Planned)
    .into()
}

/// What is made in the host, in the order in which it is made.
pub fn host_objects(request: &JoinRequest, token: &Token) -> Vec<Planned> {
    let namespace = Some(request.namespace.as_str());
    let member = request.member.as_str();
    let secret_name = request.secret_name();
    let mut secret = metadata(member, namespace, &secret_name);
    let account = format!("{}/{}", request.namespace, request.service_account());
    secret["annotations"][SERVICE_ACCOUNT_ANNOTATION] = account.into();
    secret["annotations"][EXPIRES_ANNOTATION] = token.expires.as_str().into();
    let mut data = json!({"token": token.secret});
    let mut spec = json!({"apiEndpoint": request.endpoint.url, "secretRef": {"name": secret_name}});
    if let (Some(authority), Some(bundle)) = (&request.endpoint.authority, request.endpoint.ca_bundle()) {
        data["ca.crt"] = authority.as_str().into();
        spec["caBundle"] = bundle.into();
    }
    if request.endpoint.insecure {
        spec["disabledTLSValidations"] = json!(["*"]);
    }
    if let Some(proxy) = &request.endpoint.proxy {
        spec["proxyURL"] = proxy.as_str().into();
    }
    [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": data, "type": "Opaque"}),
        json!({
            "apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": {"name": member, "namespace": namespace, "labels": {MANAGED_BY: MCDNS}}, "spec": spec,
        }),
    ]
    .map(Planned)
    .into()
}

/// Name of the roles and bindings of a `ServiceAccount`.
pub(crate) fn role_name(service_account: &str) -> String {
    format!("mcdns:{service_account}")
}

/// True if join made the object, as far as its label says.
pub(crate) fn is_ours(object: &DynamicObject) -> bool {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|value| value == MCDNS)
}

/// The kinds that join makes, with what a client has to know of them.
pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    // Every plural here is the regular one.
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn metadata(member: &str, namespace: Option<&str>, name: &str) -> Value {
    let mut metadata = json!({"annotations": {MEMBER_ANNOTATION: member}, "labels": {MANAGED_BY: MCDNS}, "name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

impl Planned {
    /// The object as Kubernetes reads it.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, where the kind has one.
    pub fn namespace(&self) -> Option<&str> {
        self.0["metadata"]["namespace"].as_str()
    }

    pub(crate) fn resource(&self) -> ApiResource {
        resource(self.0["apiVersion"].as_str().unwrap_or_default(), self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::MemberEndpoint;

    fn request() -> JoinRequest {
        JoinRequest {
            member: "c1".parse().expect("a name"),
            host: "admin@Host.eksctl.io".to_owned(),
            namespace: "kube-federation-system".to_owned(),
            secret_name: None,
            endpoint: MemberEndpoint {
                url: "https://c1.example".to_owned(),
                authority: Some("PEM".to_owned()),
                insecure: false,
                proxy: None,
            },
        }
    }

    fn named(objects: &[Planned]) -> Vec<String> {
        objects.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_objects_and_their_order() {
        assert_eq!(
            named(&member_objects(&request())),
            [
                "Namespace kube-federation-system",
                "ServiceAccount kube-federation-system/c1-admin-host.eksctl.io",
                "ClusterRole mcdns:c1-admin-host.eksctl.io",
                "ClusterRoleBinding mcdns:c1-admin-host.eksctl.io",
                "Role kube-federation-system/mcdns:c1-admin-host.eksctl.io",
                "RoleBinding kube-federation-system/mcdns:c1-admin-host.eksctl.io",
            ]
        );
        assert_eq!(
            named(&host_objects(&request(), &Token::placeholder())),
            ["Secret kube-federation-system/c1-mcdns", "KubeFedCluster kube-federation-system/c1"]
        );
    }

    #[test]
    fn the_permissions_are_these_and_no_others() {
        let objects = member_objects(&request());
        let rules = |kind: &str| {
            let object = objects.iter().find(|object| object.kind() == kind).expect("it is made");
            object.value()["rules"].clone()
        };
        let read = json!(["get", "list", "watch"]);
        assert_eq!(
            rules("ClusterRole"),
            json!([
                {"apiGroups": [""], "resources": ["services", "endpoints", "nodes"], "verbs": read},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
                {"apiGroups": ["networking.k8s.io", "extensions"], "resources": ["ingresses"], "verbs": read},
                {"nonResourceURLs": ["/readyz", "/healthz"], "verbs": ["get"]},
            ])
        );
        assert_eq!(
            rules("Role"),
            json!([{"apiGroups": [""], "resources": ["serviceaccounts/token"],
                "resourceNames": ["c1-admin-host.eksctl.io"], "verbs": ["create"]}])
        );
    }

    #[test]
    fn the_secret_says_whose_token_it_is_and_until_when() {
        let token = Token { secret: "t".to_owned(), expires: "2027-01-01T00:00:00Z".to_owned() };
        let objects = host_objects(&request(), &token);
        assert_eq!(
            objects[0].value()["metadata"]["annotations"],
            json!({
                "mcdns.io/expires": "2027-01-01T00:00:00Z", "mcdns.io/member": "c1",
                "mcdns.io/service-account": "kube-federation-system/c1-admin-host.eksctl.io",
            })
        );
        assert_eq!(objects[0].value()["stringData"], json!({"ca.crt": "PEM", "token": "t"}));
        assert_eq!(
            objects[1].value()["spec"],
            json!({"apiEndpoint": "https://c1.example", "caBundle": "UEVN", "secretRef": {"name": "c1-mcdns"}})
        );
    }

    #[test]
    fn what_the_kubeconfig_says_of_the_way_is_passed_on() {
        let mut request = request();
        request.secret_name = Some("mine".to_owned());
        request.endpoint.authority = None;
        request.endpoint.insecure = true;
        request.endpoint.proxy = Some("http://proxy:3128".to_owned());
        let objects = host_objects(&request, &Token::placeholder());
        assert_eq!(
            objects[1].value()["spec"],
            json!({
                "apiEndpoint": "https://c1.example", "disabledTLSValidations": ["*"], "proxyURL": "http://proxy:3128",
                "secretRef": {"name": "mine"},
            })
        );
        assert_eq!(objects[0].value()["stringData"].as_object().map(serde_json::Map::len), Some(1));
    }

    #[test]
    fn resources_have_their_plural() {
        for (api_version, kind, plural) in [
            ("v1", "Namespace", "namespaces"),
            ("v1", "ServiceAccount", "serviceaccounts"),
            ("v1", "Secret", "secrets"),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
            ("core.kubefed.io/v1beta1", "KubeFedCluster", "kubefedclusters"),
            ("multiclusterdns.kubefed.io/v1alpha1", "ServiceDNSRecord", "servicednsrecords"),
            ("multiclusterdns.kubefed.io/v1alpha1", "IngressDNSRecord", "ingressdnsrecords"),
            ("multiclusterdns.kubefed.io/v1alpha1", "Domain", "domains"),
            ("multiclusterdns.kubefed.io/v1alpha1", "DNSEndpoint", "dnsendpoints"),
        ] {
            assert_eq!(resource(api_version, kind).plural, plural);
        }
    }
}
