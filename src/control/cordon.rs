//! Taking a cluster out of all answers, and back: the annotation `mcdns.io/cordon` on its KubeFedCluster.
//!
//! What follows from it is decided in the core; here it is only written. Every replica reads it, so nothing else has to
//! be told.

use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use mcdns_core::records::CORDON_ANNOTATION;
use serde_json::json;

use crate::join::{ControlError, Place, objects};

/// Field manager of the annotation.
const MANAGER: &str = "mcdns-cordon";
/// Value of the annotation where nobody gives a reason.
const NO_REASON: &str = "true";

/// Sets the annotation, with the reason as its value, or takes it away (`None`). Returns what it was before.
///
/// # Errors
///
/// The host does not know the cluster, refuses, or does not answer.
pub async fn set(
    host: &kube::Client,
    namespace: &str,
    cluster: &str,
    cordon: Option<&str>,
) -> Result<Option<String>, ControlError> {
    let clusters = clusters(host, namespace);
    let what = if cordon.is_some() { "cordon" } else { "uncordon" };
    let doing = || ControlError::api(format!("{what} {cluster}"), Place::Host);
    let Some(before) = clusters.get_opt(cluster).await.map_err(doing())? else {
        crate::join::require_crd(host).await?;
        return Err(unknown(&clusters, namespace, cluster).await);
    };
    let before = before.metadata.annotations.unwrap_or_default().remove(CORDON_ANNOTATION);
    let value = cordon.map(|reason| if reason.is_empty() { NO_REASON } else { reason });
    let patch = json!({"metadata": {"annotations": {CORDON_ANNOTATION: value}}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    clusters.patch(cluster, &params, &Patch::Merge(&patch)).await.map_err(doing())?;
    Ok(before)
}

pub(crate) fn clusters(host: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    let resource = objects::resource("core.kubefed.io/v1beta1", "KubeFedCluster");
    Api::namespaced_with(host.clone(), namespace, &resource)
}

/// The error for a cluster that is not there, with those that are.
pub(crate) async fn unknown(clusters: &Api<DynamicObject>, namespace: &str, cluster: &str) -> ControlError {
    let names: Vec<String> = match clusters.list(&ListParams::default()).await {
        Ok(list) => list.items.into_iter().filter_map(|one| one.metadata.name).collect(),
        Err(_) => Vec::new(),
    };
    let known = if names.is_empty() {
        "there is none in that namespace; another one is given with --kubefed-namespace".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    ControlError::NoCluster { namespace: namespace.to_owned(), name: cluster.to_owned(), known }
}
