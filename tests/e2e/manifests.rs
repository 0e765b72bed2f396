//! What is installed into a host, and what a member grants.
//!
//! The chart is rendered as an operator renders it, and what comes out is what mcdns may do in these tests.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    Api,
    api::{Kind, kinds},
    objects::SYSTEM,
    programs, wait_for,
};

/// The `ServiceAccount` of the host in a member.
pub const MEMBER_ACCOUNT: &str = "mcdns";

/// Kinds of KubeFed itself, whose controllers are not there.
const KUBEFED: &str = include_str!("kubefed/federated.yaml");
/// What an installation of external-dns is made of, but for the program.
const EXTERNAL_DNS: &str = include_str!("external_dns/installed.yaml");
/// What a member grants.
const MEMBER: &str = include_str!("member.yaml");

/// The objects that an installation is made of.
#[derive(Debug, Clone)]
pub struct Manifests {
    objects: Vec<Value>,
}

impl Manifests {
    /// What the chart renders.
    #[track_caller]
    pub fn of_chart() -> Self {
        Self::of_chart_with(&[])
    }

    /// What the chart renders with these values, as in `ports.dns=53`.
    #[track_caller]
    pub fn of_chart_with(values: &[&str]) -> Self {
        let chart = programs::repository().join("deploy/chart");
        let mut helm = Command::new(programs::helm());
        helm.args(["template", "mcdns"]).arg(chart).args(["--namespace", SYSTEM, "--include-crds"]);
        // Of the API servers here; Helm would take its own.
        helm.args(["--kube-version", "1.35.4"]);
        helm.args(values.iter().flat_map(|value| ["--set", value]));
        Self { objects: parse(&programs::output(&mut helm)) }
    }

    /// Applies everything that an API server without controllers can make use of, and the kinds of KubeFed.
    #[track_caller]
    pub fn install(&self, host: &Api) {
        host.namespace(SYSTEM);
        let kubefed = parse(KUBEFED);
        let known = |object: &&Value| installed(object["kind"].as_str().unwrap_or_default()).is_some();
        let own: Vec<&Value> = self.objects.iter().filter(known).collect();
        // Of two definitions of one kind the chart's counts.
        let name = |object: &Value| object["metadata"]["name"].clone();
        let theirs = kubefed.iter().filter(|object| !own.iter().any(|own| name(own) == name(object)));
        let objects: Vec<&Value> = own.iter().copied().chain(theirs).collect();
        for &object in &objects {
            let kind = installed(object["kind"].as_str().unwrap_or_default()).expect("a kind that is installed");
            let mut object = object.clone();
            if kind.namespaced && object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = SYSTEM.into();
            }
            host.apply(kind, &object);
        }
        for object in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
            until_served(host, object);
        }
    }

    /// The `ServiceAccount` that mcdns runs as, `namespace/name`.
    #[track_caller]
    pub fn account(&self) -> String {
        let account = self.objects.iter().find(|object| object["kind"] == "ServiceAccount").expect("a ServiceAccount");
        let metadata = &account["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or(SYSTEM);
        format!("{namespace}/{}", metadata["name"].as_str().expect("a name"))
    }

    /// Every object.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }
}

/// What a member grants to the host, in the order in which it is made.
pub fn member() -> Vec<(Kind, Value)> {
    of_kinds(MEMBER)
}

/// What external-dns needs in a host for its source `crd`, in the order in which it is made.
pub fn external_dns() -> Vec<(Kind, Value)> {
    of_kinds(EXTERNAL_DNS)
}

#[track_caller]
fn of_kinds(text: &str) -> Vec<(Kind, Value)> {
    let kind = |object: &Value| installed(object["kind"].as_str().unwrap_or_default()).expect("a kind");
    parse(text).into_iter().map(|object| (kind(&object), object)).collect()
}

/// Kinds whose objects do something without a controller.
fn installed(kind: &str) -> Option<Kind> {
    const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";
    Some(match kind {
        "CustomResourceDefinition" => kinds::DEFINITION,
        "Namespace" => kinds::NAMESPACE,
        "ServiceAccount" => kinds::SERVICE_ACCOUNT,
        "ClusterRole" => kinds::CLUSTER_ROLE,
        "ClusterRoleBinding" => kinds::CLUSTER_ROLE_BINDING,
        "Role" => Kind { group: RBAC, plural: "roles", namespaced: true },
        "RoleBinding" => Kind { group: RBAC, plural: "rolebindings", namespaced: true },
        _ => return None,
    })
}

/// Waits until an API server serves what was defined.
#[track_caller]
pub fn until_served(api: &Api, definition: &Value) {
    let name = definition["metadata"]["name"].as_str().expect("a name");
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for version in spec["versions"].as_array().into_iter().flatten() {
        let path =
            format!("/apis/{}/{}/{}", text(&spec["group"]), text(&version["name"]), text(&spec["names"]["plural"]));
        wait_for(&format!("{name} is served"), || api.try_request(&http::Method::GET, &path, None));
    }
}

/// Documents of a YAML stream that are not empty.
#[track_caller]
pub fn parse(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Documents of a YAML file of the repository.
#[track_caller]
pub fn read(file: &str) -> Vec<Value> {
    let file = programs::repository().join(file);
    parse(&fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}
