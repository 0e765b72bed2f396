//! Which kinds are read, in which groups and versions, and where they belong.

use mcdns_core::model::Kind;

/// A kind of Kubernetes and what it is to us.
#[derive(Debug)]
pub(super) struct Known {
    group: &'static str,
    name: &'static str,
    /// Versions of the group that are read, newest first.
    versions: &'static [&'static str],
    /// What it is to us.
    pub(super) kind: Kind,
}

impl Known {
    /// What tells its objects apart from others of the same kind to us and the same name; none for most.
    pub(super) fn family(&self) -> Option<&'static str> {
        (self.group == EXTERNAL_DNS).then_some(self.group)
    }
}

/// What an `apiVersion` and a `kind` are.
pub(super) enum Recognised {
    /// A kind that is read.
    Known(&'static Known),
    /// A kind that is read, in a version that is not; the text lists what is.
    OtherVersion(&'static Known, String),
    /// Nothing of ours.
    Unknown,
}

const DNS: &str = "multiclusterdns.kubefed.io";
const EXTERNAL_DNS: &str = "externaldns.k8s.io";
const CORE: &str = "core.kubefed.io";
const TYPES: &str = "types.kubefed.io";

static KINDS: &[Known] = &[
    Known { group: DNS, name: "Domain", versions: &["v1alpha1"], kind: Kind::Domain },
    Known { group: DNS, name: "ServiceDNSRecord", versions: &["v1alpha1"], kind: Kind::ServiceRecord },
    Known { group: DNS, name: "IngressDNSRecord", versions: &["v1alpha1"], kind: Kind::IngressRecord },
    Known { group: DNS, name: "DNSEndpoint", versions: &["v1alpha1"], kind: Kind::ForeignRrsets },
    Known { group: EXTERNAL_DNS, name: "DNSEndpoint", versions: &["v1alpha1"], kind: Kind::ForeignRrsets },
    Known { group: CORE, name: "KubeFedCluster", versions: &["v1beta1", "v1alpha1"], kind: Kind::Cluster },
    Known {
        group: CORE,
        name: "FederatedServiceStatus",
        versions: &["v1beta1", "v1alpha1"],
        kind: Kind::ServiceStatus,
    },
    Known { group: TYPES, name: "FederatedService", versions: &["v1beta1", "v1alpha1"], kind: Kind::ServicePlacement },
    Known { group: TYPES, name: "FederatedIngress", versions: &["v1beta1", "v1alpha1"], kind: Kind::IngressPlacement },
    Known { group: "", name: "Service", versions: &["v1"], kind: Kind::Service },
    Known { group: "", name: "Endpoints", versions: &["v1"], kind: Kind::Endpoints },
    Known { group: "", name: "Node", versions: &["v1"], kind: Kind::Node },
    Known { group: "discovery.k8s.io", name: "EndpointSlice", versions: &["v1", "v1beta1"], kind: Kind::EndpointSlice },
    Known { group: "networking.k8s.io", name: "Ingress", versions: &["v1", "v1beta1"], kind: Kind::Ingress },
    Known { group: "extensions", name: "Ingress", versions: &["v1beta1"], kind: Kind::Ingress },
];

/// Looks `api_version` and `kind` up.
pub(super) fn recognise(api_version: &str, kind: &str) -> Recognised {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(known) = KINDS.iter().find(|known| known.name == kind && known.group == group) else {
        return Recognised::Unknown;
    };
    if known.versions.contains(&version) {
        return Recognised::Known(known);
    }
    let of_kind = KINDS.iter().filter(|other| other.name == kind);
    let readable: Vec<String> = of_kind
        .flat_map(|known| {
            let slash = if known.group.is_empty() { "" } else { "/" };
            known.versions.iter().map(move |version| format!("{}{slash}{version}", known.group))
        })
        .collect();
    Recognised::OtherVersion(known, readable.join(", "))
}

/// True for what belongs into the host cluster, false for what belongs into members.
pub(super) fn is_host_kind(kind: Kind) -> bool {
    match kind {
        Kind::Domain
        | Kind::Cluster
        | Kind::ServiceRecord
        | Kind::IngressRecord
        | Kind::ServicePlacement
        | Kind::IngressPlacement
        | Kind::ServiceStatus
        | Kind::ForeignRrsets
        | Kind::IngressStatus => true,
        Kind::Member
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Ingress
        | Kind::Node
        | Kind::HostAddresses => false,
    }
}
