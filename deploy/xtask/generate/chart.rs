//! The chart with every file of values that is on file: linted, rendered, held against the golden.
//!
//! `deploy/chart/values.yaml` gives the golden `default`; each `deploy/chart/examples/NAME.yaml` gives `NAME`. What a
//! golden is not good at is said by [`sound`]: rules that hold for whatever is rendered.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{BANNER, Made, yaml};
use crate::helm::Helm;

const CHART: &str = "deploy/chart";

/// Values that the schema must refuse, with a word of the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("replicas=0", "replicas"),
    ("replicaCount=3", "replicaCount"),
    ("service.type=Cluster", "type"),
    ("state.kind=disk", "kind"),
    ("dnsEndpoints.groups[0]=example.com", "groups"),
    ("ports.dns=70000", "dns"),
];

/// Objects that are rendered, by name of the file of values.
pub(super) type Rendered = BTreeMap<String, Vec<Value>>;

/// Lints with each file of values, and sees that wrong values are refused.
pub(super) fn lint(top: &Path, helm: &Helm) -> anyhow::Result<()> {
    let chart = fs::read_to_string(top.join(CHART).join("Chart.yaml")).context("there is no Chart.yaml")?;
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {}", env!("CARGO_PKG_VERSION"));
        ensure!(chart.lines().any(|there| there == line), "Chart.yaml does not say `{line}`, as the workspace does");
    }
    for (name, values) in values(top)? {
        let values: Vec<&Path> = values.iter().map(PathBuf::as_path).collect();
        helm.lint(top, CHART, &values).with_context(|| format!("the chart with the values {name}"))?;
    }
    for (value, word) in REFUSED {
        match helm.template(top, CHART, &[], &[value]) {
            Ok(_) => bail!("the chart takes {value}, which its schema must refuse"),
            Err(error) => {
                let text = format!("{error:#}");
                ensure!(text.contains(word) && text.contains("values"), "{value} is refused in other words: {text}");
            }
        }
    }
    Ok(())
}

/// Renders with each file of values.
pub(super) fn rendered(top: &Path, helm: &Helm) -> anyhow::Result<Rendered> {
    let mut all = Rendered::new();
    for (name, values) in values(top)? {
        let values: Vec<&Path> = values.iter().map(PathBuf::as_path).collect();
        let text = helm.template(top, CHART, &values, &[]).with_context(|| format!("the chart with {name}"))?;
        let objects = yaml::read_all(&text)?;
        sound(&objects).with_context(|| format!("the chart with {name}"))?;
        all.insert(name, objects);
    }
    Ok(all)
}

pub(super) fn goldens(rendered: &Rendered) -> impl Iterator<Item = Made> {
    rendered.iter().map(|(name, objects)| {
        let text = yaml::write_all(objects).unwrap_or_else(|error| format!("# {error:#}\n"));
        Made::new(format!("tests/golden/chart/{name}.yaml"), format!("{BANNER}{text}"))
    })
}

/// The files of values with the names of their goldens.
fn values(top: &Path) -> anyhow::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut all = BTreeMap::from([("default".to_owned(), Vec::new())]);
    let folder = top.join(CHART).join("examples");
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a file of values without a name")?;
        all.insert(name.to_owned(), vec![path.clone()]);
    }
    Ok(all)
}

/// What holds for every set of objects: restricted pods, no wildcard in a role, no Secret read beyond one namespace.
fn sound(objects: &[Value]) -> anyhow::Result<()> {
    for object in objects {
        let name = format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
        ensure!(object["metadata"]["labels"]["app.kubernetes.io/name"] == "mcdns", "{name} has no label");
        if let Some(pod) = object.pointer("/spec/template/spec") {
            pod_is_restricted(pod).with_context(|| name.clone())?;
        }
        for rule in object["rules"].as_array().into_iter().flatten() {
            let list =
                |key: &str| rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
            let everything = [list("apiGroups"), list("resources"), list("verbs")].concat();
            ensure!(!everything.contains(&"*"), "{name} has a rule for everything: {rule}");
            let secrets = list("resources").contains(&"secrets");
            ensure!(!secrets || object["kind"] == "Role", "{name} reads Secrets of all namespaces");
        }
    }
    Ok(())
}

/// The profile "restricted" of the pod security standards, and a root file system that nobody writes.
fn pod_is_restricted(pod: &Value) -> anyhow::Result<()> {
    let security = &pod["securityContext"];
    ensure!(security["runAsNonRoot"] == true, "it may run as root");
    ensure!(security["seccompProfile"]["type"] == "RuntimeDefault", "it has no seccomp profile");
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        ensure!(pod.get(forbidden).is_none_or(|value| value == false), "it has {forbidden}");
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        let security = &container["securityContext"];
        ensure!(security["allowPrivilegeEscalation"] == false, "it may gain privileges");
        ensure!(security["readOnlyRootFilesystem"] == true, "its root file system may be written");
        ensure!(security["capabilities"]["drop"] == serde_json::json!(["ALL"]), "it keeps capabilities");
        let added = security["capabilities"]["add"].as_array().into_iter().flatten();
        ensure!(added.clone().all(|one| one == "NET_BIND_SERVICE"), "it adds capabilities");
        for key in ["requests", "limits"] {
            ensure!(container["resources"][key]["memory"].is_string(), "its memory has no {key}");
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(kind: &str, resource: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "mcdns"}},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    }

    #[test]
    fn a_role_for_everything_or_for_all_secrets_is_refused() {
        assert!(sound(&[role("Role", "secrets")]).is_ok());
        assert!(sound(&[role("ClusterRole", "events")]).is_ok());
        assert!(sound(&[role("ClusterRole", "secrets")]).is_err());
        assert!(sound(&[role("Role", "*")]).is_err());
    }

    #[test]
    fn a_pod_that_may_do_more_than_it_needs_is_refused() {
        let pod = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": "1Mi"}},
            }],
        });
        assert!(pod_is_restricted(&pod).is_ok());
        for (pointer, value) in [
            ("/securityContext/runAsNonRoot", json!(false)),
            ("/securityContext/seccompProfile/type", json!("Unconfined")),
            ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
            ("/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
            ("/containers/0/securityContext/capabilities", json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
            ("/containers/0/resources/limits", json!({})),
        ] {
            let mut worse = pod.clone();
            *worse.pointer_mut(pointer).expect("a field") = value;
            assert!(pod_is_restricted(&worse).is_err(), "{pointer}");
        }
    }
}
