//! Taking a member in: what `mcdns join` does.
//!
//! ```text
//!   kubeconfig of the operator ─► MemberEndpoint ┐
//!   command line ────────────────────────────────┴─► JoinRequest ─► objects, as values ([`objects`])
//!                                                                      │ applied in this order
//!        member: Namespace, ServiceAccount, roles, bindings ◄──────────┤
//!        member: TokenRequest ─► Token ─► host: Secret, KubeFedCluster ◄┘
//!        member: /readyz and SelfSubjectAccessReviews with that token ─► Joined
//! ```
//!
//! The flags and objects are those of `kubefedctl join` (KubeFed v0.6.1), but the member grants as little as mcdns needs,
//! and the token comes from `TokenRequest`: Kubernetes 1.24 and later make no Secret for a `ServiceAccount`.
//!
//! Invariants:
//!
//! * The KubeFedCluster comes last, so what was interrupted is no member yet, and the same command completes it.
//! * Nothing that somebody else made is changed, unless it is asked for (`--error-on-existing=false`).
//! * Nothing of the operator's own credentials is written anywhere.

mod apply;
mod endpoint;
mod failure;
mod names;
pub mod objects;
#[cfg(test)]
mod tests;
mod verify;

use std::time::Duration;

use thiserror::Error;

pub use apply::join;
pub(crate) use apply::require_crd;
pub use endpoint::{EndpointError, MemberEndpoint};
pub use failure::Failure;
pub use names::{MemberName, NameError, service_account_name};
pub use objects::{Place, Planned, host_objects, member_objects};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Name of the member.
    pub member: MemberName,
    /// Name of the host, of which the `ServiceAccount`'s name is made.
    pub host: String,
    /// System namespace, in host and member.
    pub namespace: String,
    /// Name of the Secret; none for `MEMBER-mcdns`.
    pub secret_name: Option<String>,
    /// How the member is reached.
    pub endpoint: MemberEndpoint,
}

/// A client for each of the two clusters, as the operator.
#[derive(Clone)]
pub struct Clients {
    /// The host.
    pub host: kube::Client,
    /// The member.
    pub member: kube::Client,
}

/// How to go about it.
#[derive(Debug, Clone, Copy)]
pub struct JoinOptions {
    /// A member that is there already, or somebody else's object of one of the names, is an error.
    pub error_on_existing: bool,
    /// How long the member may take to answer with the new token.
    pub timeout: Duration,
}

/// A token of a `ServiceAccount`.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub secret: String,
    /// When it ends, RFC 3339.
    pub expires: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// When the token ends, RFC 3339.
    pub expires: String,
    /// Why the member did not answer with the new token; none if it did.
    pub unanswered: Option<String>,
    /// What the new token may not do and should, one permission each.
    pub missing: Vec<String>,
}

/// Why a member cannot be taken in, or let go. The same command can be given again once the cause is gone.
#[derive(Debug, Error)]
pub enum ControlError {
    /// An API server refuses, or does not answer.
    #[error("cannot {what} in the {place} cluster{}", source.help())]
    Api {
        /// What was tried.
        what: String,
        /// Where.
        place: Place,
        /// What the client says.
        source: Box<Failure>,
    },
    /// The host does not know the kind.
    #[error(
        "the host cluster has no KubeFedCluster (core.kubefed.io/v1beta1)\n  \
         help: install the CRDs first: kubectl apply -f deploy/crds, or the Helm chart deploy/chart"
    )]
    NoCrd,
    /// The host has no such namespace.
    #[error(
        "the host cluster has no namespace {0}\n  \
         help: install mcdns there first (deploy/chart), or name its namespace with --kubefed-namespace"
    )]
    NoNamespace(String),
    /// Something is there already.
    #[error("{object} is in the {place} cluster already{}\n  help: {help}", if *ours { "" } else { " and was not made by mcdns join" })]
    Exists {
        /// `Kind namespace/name`.
        object: String,
        /// Where.
        place: Place,
        /// Join made it.
        ours: bool,
        /// What to do.
        help: &'static str,
    },
    /// The host does not know the cluster.
    #[error("the host cluster has no KubeFedCluster {namespace}/{name}\n  help: {known}")]
    NoCluster {
        /// Namespace looked in.
        namespace: String,
        /// Name looked for.
        name: String,
        /// Those that are there, or what to do.
        known: String,
    },
    /// An object is not what it should be, which is a fault of this program or of the server.
    #[error("{what} is not what it should be: {reason}")]
    Shape {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
    /// Targets of the cluster are still in statuses.
    #[error(
        "{records} targets of {cluster}, {first} for one\n  help: it stays cordoned, so no answer has \
         them; look whether a mcdns holds the Lease and writes statuses, or go on with --force"
    )]
    NotDrained {
        /// How many, as a person says it: `2 records still have`.
        records: String,
        /// One of them.
        first: String,
        /// The cluster.
        cluster: String,
    },
    /// The member does not answer while it is to be cleaned.
    #[error(
        "the member {cluster} does not answer, so what join made there would stay behind: {left}\n  help: try again when \
         it answers, or go on without it with --force"
    )]
    MemberGone {
        /// The cluster.
        cluster: String,
        /// What stays.
        left: String,
        /// What the client says.
        source: Box<Failure>,
    },
}

impl JoinRequest {
    /// Name of the `ServiceAccount` in the member.
    pub fn service_account(&self) -> String {
        service_account_name(&self.member, &self.host)
    }

    /// Name of the Secret in the host.
    pub fn secret_name(&self) -> String {
        self.secret_name.clone().unwrap_or_else(|| format!("{}-mcdns", self.member))
    }
}

impl Token {
    /// What stands in its place where objects are printed and not made.
    pub fn placeholder() -> Self {
        Self {
            secret: "<token of the ServiceAccount, from TokenRequest>".to_owned(),
            expires: "<when the token ends>".to_owned(),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl ControlError {
    /// True if it is not what the API server said, but that it said nothing.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Api { source, .. } | Self::MemberGone { source, .. } => source.is_silence(),
            _ => false,
        }
    }

    pub(crate) fn api(what: impl Into<String>, place: Place) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, place, source: Box::new(source.into()) }
    }
}
