//! Groups `core.kubefed.io` and `types.kubefed.io`: what the host says about members and placement.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::{LoadBalancerStatus, Metadata};

/// A member cluster as the host knows it (`core.kubefed.io/v1beta1`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeFedCluster {
    /// `core.kubefed.io/v1beta1` or `v1alpha1`.
    pub api_version: Cow<'static, str>,
    /// `KubeFedCluster`.
    pub kind: Cow<'static, str>,
    /// The name is the cluster's name; labels are what placement selects by.
    #[serde(default)]
    pub metadata: Metadata,
    /// How to reach it.
    #[serde(default)]
    pub spec: ClusterSpec,
    /// What is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ClusterStatus>,
}

/// `spec` of a [`KubeFedCluster`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// URL or `host[:port]` of the API server.
    #[serde(default)]
    pub api_endpoint: String,
    /// PEM in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca_bundle: String,
    /// `*`, `SubjectName` or `ValidityPeriod`.
    #[serde(default, rename = "disabledTLSValidations", skip_serializing_if = "Vec::is_empty")]
    pub disabled_tls_validations: Vec<String>,
    /// Secret with the token.
    #[serde(default)]
    pub secret_ref: SecretReference,
}

/// `spec.secretRef` of a [`KubeFedCluster`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Name of a Secret in the namespace of the cluster.
    #[serde(default)]
    pub name: String,
}

/// `status` of a [`KubeFedCluster`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// `Ready` and `Offline`.
    #[serde(default)]
    pub conditions: Vec<ClusterCondition>,
    /// Region, from node labels or by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Availability zones, from node labels or by hand.
    #[serde(default, rename = "zones", skip_serializing_if = "Vec::is_empty")]
    pub availability_zones: Vec<String>,
}

/// A condition of a [`KubeFedCluster`], with KubeFed's time of the last probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCondition {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// `Ready` or `Offline`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Load balancers of a service per cluster (`core.kubefed.io/v1alpha1`); the fields are top-level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedServiceStatus {
    /// `core.kubefed.io/v1alpha1`.
    pub api_version: Cow<'static, str>,
    /// Sorted by cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_status: Vec<ClusterServiceStatus>,
    /// `FederatedServiceStatus`.
    pub kind: Cow<'static, str>,
    /// Namespace and name are those of the Service.
    #[serde(default)]
    pub metadata: Metadata,
}

/// One cluster of a [`FederatedServiceStatus`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterServiceStatus {
    /// Name of the KubeFedCluster.
    pub cluster_name: String,
    /// `status` of the Service there.
    #[serde(default)]
    pub status: ServiceStatus,
}

/// `status` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Where its traffic goes in.
    #[serde(default)]
    pub load_balancer: LoadBalancerStatus,
}

/// A Service that is propagated to members (`types.kubefed.io/v1beta1`, kind `FederatedService`).
pub type FederatedService = Federated;

/// An Ingress that is propagated to members (`types.kubefed.io/v1beta1`, kind `FederatedIngress`).
pub type FederatedIngress = Federated;

/// Any object that is propagated to members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Federated {
    /// `types.kubefed.io/v1beta1` or `v1alpha1`.
    pub api_version: Cow<'static, str>,
    /// `Federated` and the kind of the target.
    pub kind: Cow<'static, str>,
    /// Namespace and name are those of the target.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is propagated, and where.
    pub spec: FederatedSpec,
}

/// `spec` of a federated object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedSpec {
    /// Differences per cluster; nothing here reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Value>,
    /// Where to; absent means nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The object in the members; nothing here reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
}

/// `spec.placement`: the list wins over the selector whenever it is present, and empty means nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Over the labels of KubeFedClusters; `{}` selects all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<LabelSelector>,
    /// The clusters themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<ClusterReference>>,
}

/// One item of `spec.placement.clusters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReference {
    /// Name of a KubeFedCluster.
    pub name: String,
}

/// Kubernetes label selector; all of its requirements must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Requirements with an operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// One requirement of a [`LabelSelector`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSelectorRequirement {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cluster_as_kubefed_writes_it_survives_a_round_trip() {
        let written = json!({
            "apiVersion": "core.kubefed.io/v1beta1",
            "kind": "KubeFedCluster",
            "metadata": {"name": "c1", "namespace": "kube-federation-system", "labels": {"tier": "edge"}},
            "spec": {"apiEndpoint": "https://10.0.0.1:6443", "caBundle": "LS0t", "secretRef": {"name": "c1-token"}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "ClusterReady",
                    "message": "/healthz responded with ok", "lastProbeTime": "2021-01-25T00:00:00Z",
                    "lastTransitionTime": "2021-01-24T00:00:00Z"}],
                "region": "us",
                "zones": ["us1", "us2"]
            }
        });
        let cluster: KubeFedCluster = serde_json::from_value(written.clone()).expect("as KubeFed writes it");
        assert_eq!(serde_json::to_value(&cluster).expect("plain data"), written);
    }

    #[test]
    fn an_empty_list_of_clusters_is_not_an_absent_one() {
        let nowhere: Placement = serde_json::from_value(json!({"clusters": []})).expect("a placement");
        assert_eq!(nowhere.clusters, Some(Vec::new()));
        assert_eq!(serde_json::to_value(&nowhere).expect("plain data"), json!({"clusters": []}));
        let everywhere: Placement = serde_json::from_value(json!({"clusterSelector": {}})).expect("a placement");
        assert_eq!(everywhere.clusters, None);
        assert_eq!(everywhere.cluster_selector, Some(LabelSelector::default()));
    }
}
