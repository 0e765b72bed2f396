//! What the objects of all groups have in common.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `metadata`, as far as anybody here reads or writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Free text for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// Counter of the changes of `spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// What selectors match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Name within the namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Empty for an object without a namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Objects that this one goes with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// Optimistic lock of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Identity over renames and re-creations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// One item of `metadata.ownerReferences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// The owner waits in a foreground deletion until this object is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
    /// True for the one owner that manages the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// `metadata.uid` of the owner. A directory's objects may lack one, and it is then left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// A condition in the usual form (`metav1.Condition`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// RFC 3339; left out where output must not depend on the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    /// For people; always written, also empty.
    #[serde(default)]
    pub message: String,
    /// `metadata.generation` that this speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// For programs, one word in CamelCase.
    #[serde(default)]
    pub reason: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `status.loadBalancer` of core/v1: written as `{}` when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadBalancerStatus {
    /// Where traffic goes in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One item of `status.loadBalancer.ingress`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LoadBalancerIngress {
    /// A host name, as AWS gives.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// An address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ip: String,
}

/// `v1 List` of objects of any kinds, as `kubectl get -o yaml` prints several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// Always `v1`.
    pub api_version: Cow<'static, str>,
    /// The objects.
    pub items: Vec<T>,
    /// Always `List`.
    pub kind: Cow<'static, str>,
    /// `metadata` of the list itself.
    #[serde(default)]
    pub metadata: ListMetadata,
}

/// `metadata` of a [`List`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    /// Empty in what `kubectl` prints.
    #[serde(default)]
    pub resource_version: String,
}

impl<T> List<T> {
    /// A list of `items` in their order.
    pub fn new(items: Vec<T>) -> Self {
        Self { api_version: Cow::Borrowed("v1"), items, kind: Cow::Borrowed("List"), metadata: ListMetadata::default() }
    }
}

impl Metadata {
    /// Metadata with nothing but a name in a namespace.
    pub fn named(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into(), ..Self::default() }
    }
}
