//! Kustomize without Helm: the base is the chart with its own values, an overlay is an example's difference from it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{BANNER, Made, chart::Rendered, patch, yaml};
use crate::{
    kubernetes,
    process::{command, output},
};

/// Where everything lives. The namespace is part of the base, because Helm makes it with a flag and not from a chart.
const NAMESPACE: &str = "kube-federation-system";

/// Identity of an object within one installation.
type Key = (String, String, String);

/// The base's folder.
pub(super) const BASE: &str = "deploy/kustomize/base";

/// The overlays' folder.
const OVERLAYS: &str = "deploy/kustomize/overlays";

/// Names of the files that are in the base already.
pub(super) fn in_base(made: &[Made]) -> Vec<String> {
    let names = made.iter().filter_map(|made| made.path.strip_prefix(BASE).ok());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Base and overlays; the base has `definitions` too.
pub(super) fn made(rendered: &Rendered, definitions: &[String]) -> anyhow::Result<Vec<Made>> {
    let rendered: Rendered =
        rendered.iter().map(|(name, objects)| (name.clone(), objects.iter().map(without_helm).collect())).collect();
    let base = rendered.get("default").context("the chart was not rendered with its own values")?;
    let mut resources = definitions.to_vec();
    resources.push("namespace.yaml".to_owned());
    let mut made = files(BASE, base, &resources, &[])?;
    made.push(Made::new(format!("{BASE}/namespace.yaml"), format!("{BANNER}{}", yaml::write(&namespace())?)));
    for (name, objects) in rendered.iter().filter(|(name, _)| *name != "default") {
        let (added, patches) = overlay(base, objects);
        let folder = format!("{OVERLAYS}/{name}");
        made.extend(files(&folder, &added, &["../../base".to_owned()], &patches)?);
    }
    Ok(made)
}

/// Has `kubectl` put base and overlays together, and fails where that is not what the chart makes.
pub(super) fn verify(top: &Path, rendered: &Rendered) -> anyhow::Result<()> {
    let kubectl = kubernetes::provide_kubectl(top)?;
    for (name, objects) in rendered {
        let folder = if name == "default" { BASE.to_owned() } else { format!("{OVERLAYS}/{name}") };
        let text = output(&mut command(top, &kubectl.to_string_lossy(), &["kustomize", &folder]))?;
        let found = yaml::read_all(&text)?;
        let mut found: BTreeMap<Key, Value> = found.into_iter().map(|object| (key(&object), object)).collect();
        // The chart has these beside its templates, or not at all.
        found.retain(|(kind, ..), _| kind != "CustomResourceDefinition" && kind != "Namespace");
        for object in objects.iter().map(without_helm) {
            let made = found.remove(&key(&object));
            ensure!(made.as_ref() == Some(&object), "{folder} does not make {:?} as the chart does", key(&object));
        }
        ensure!(found.is_empty(), "{folder} makes what the chart does not: {:?}", found.keys());
    }
    Ok(())
}

/// The object without the labels by which Helm knows its own.
fn without_helm(object: &Value) -> Value {
    let mut object = object.clone();
    for pointer in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
            labels.retain(|label, _| !matches!(label.as_str(), "helm.sh/chart" | "app.kubernetes.io/managed-by"));
        }
    }
    object
}

fn files(folder: &str, objects: &[Value], resources: &[String], patches: &[Value]) -> anyhow::Result<Vec<Made>> {
    let mut by_file: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects {
        let kind = object["kind"].as_str().context("an object without a kind")?;
        by_file.entry(format!("{}.yaml", kind.to_ascii_lowercase())).or_default().push(object.clone());
    }
    let resources: Vec<String> = resources.iter().cloned().chain(by_file.keys().cloned()).collect();
    let mut made = vec![Made::new(
        format!("{folder}/kustomization.yaml"),
        format!("{BANNER}{}", yaml::write(&kustomization(&resources, patches))?),
    )];
    for (file, objects) in by_file {
        made.push(Made::new(format!("{folder}/{file}"), format!("{BANNER}{}", yaml::write_all(&objects)?)));
    }
    Ok(made)
}

/// What an overlay adds to the base, and how it patches it.
fn overlay(base: &[Value], objects: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let wanted: BTreeMap<Key, &Value> = objects.iter().map(|object| (key(object), object)).collect();
    let mut patches = Vec::new();
    for old in base {
        let (kind, namespace, name) = key(old);
        let mut target = json!({"kind": kind, "name": name});
        if !namespace.is_empty() {
            target["namespace"] = namespace.clone().into();
        }
        if let Some(new) = wanted.get(&key(old)) {
            let operations = patch::between(old, new);
            if !operations.is_empty() {
                patches.push(json!({"target": target, "patch": text(&Value::Array(operations))}));
            }
        } else {
            let metadata = if namespace.is_empty() {
                json!({"name": name})
            } else {
                json!({"name": name, "namespace": namespace})
            };
            let gone = json!({"$patch": "delete", "apiVersion": old["apiVersion"], "kind": kind, "metadata": metadata});
            patches.push(json!({"patch": text(&gone)}));
        }
    }
    let standing: Vec<Key> = base.iter().map(key).collect();
    let added = objects.iter().filter(|object| !standing.contains(&key(object))).cloned().collect();
    (added, patches)
}

/// A patch stands in its file as text.
fn text(patch: &Value) -> String {
    serde_json::to_string_pretty(&yaml::sorted(patch)).unwrap_or_default()
}

fn kustomization(resources: &[String], patches: &[Value]) -> Value {
    let mut file = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    });
    if !patches.is_empty() {
        file["patches"] = json!(patches);
    }
    file
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    })
}

fn key(object: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str, size: u32) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "x"}, "spec": {"size": size}})
    }

    #[test]
    fn an_overlay_patches_adds_and_deletes() {
        let base = [object("A", "same", 1), object("A", "other", 1), object("B", "gone", 1)];
        let wanted = [object("A", "same", 1), object("A", "other", 2), object("C", "new", 1)];
        let (added, patches) = overlay(&base, &wanted);
        assert_eq!(added, [object("C", "new", 1)]);
        assert_eq!(patches.len(), 2, "{patches:?}");
        assert_eq!(patches[0]["target"], json!({"kind": "A", "name": "other", "namespace": "x"}));
        assert!(patches[0]["patch"].as_str().is_some_and(|patch| patch.contains("/spec/size")));
        assert!(patches[1]["patch"].as_str().is_some_and(|patch| patch.contains("$patch")));
    }
}
