//! What is wrong with clusters, Domains and records, for people.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    claims::Claimant,
    clusters::ClusterState,
    compute::{Computed, Refusal, placed, tells_of},
    engine::Engine,
    foreign::Loser,
    status::no_targets,
};
use crate::{
    check::{Finding, FindingCode},
    dns::{OwnerName, RecordType},
    health::Health,
    model::{ClusterName, Fact, Kind, NamespacedName, Object, ObjectKey, Origin, RecordKey, RecordKind},
    steering::TargetProblem,
};

impl Engine {
    /// All findings about what is known, sorted.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.zones.findings.clone();
        findings.extend(self.cluster_findings());
        findings.extend(self.placement_findings());
        findings.extend(self.records.values().flat_map(|state| state.findings.iter().cloned()));
        findings.extend(self.name_server_findings());
        findings.extend(self.conflict_findings());
        findings.extend(self.foreign.findings().cloned());
        findings.extend(self.foreign_conflict_findings());
        findings.extend(self.holds.findings(&self.options.system_namespace));
        if self.model.clusters.is_empty() && self.records.is_empty() && self.zones.list.is_empty() {
            findings.push(
                Finding::new(FindingCode::EmptyFederation, "there is no KubeFedCluster, no Domain and no record")
                    .help("put host objects under host/ and the objects of each member under members/<cluster>/"),
            );
        }
        findings.sort();
        findings.dedup();
        findings
    }

    fn cluster_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (key, object) in &self.model.clusters {
            if key.namespace != self.options.system_namespace {
                let message = "the KubeFedCluster does not count outside the system namespace";
                findings.push(
                    Finding::new(FindingCode::Misplaced, message)
                        .at_origin(object.origin.as_ref())
                        .about(ObjectKey::host(Kind::Cluster, &key.namespace, &key.name))
                        .help(format!("move it to {}", self.options.system_namespace)),
                );
            }
        }
        let told = self.told_clusters();
        for (name, state) in &self.clusters.states {
            let about = |code, message: String| {
                let key = ObjectKey::host(Kind::Cluster, &self.options.system_namespace, name);
                Finding::new(code, message).about(key).at_origin(state.object.origin.as_ref())
            };
            if state.health != Health::Ready {
                let reason = state.fact().ready.as_ref().and_then(|ready| ready.reason.as_deref());
                let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                let message = format!("the cluster is {}{reason}", state.health.as_str());
                findings.push(about(FindingCode::ClusterUnready, message).field("status.conditions"));
            }
            if state.cordoned {
                findings.push(
                    about(
                        FindingCode::ClusterCordoned,
                        "the cluster is cordoned: nothing of it is answered".to_owned(),
                    )
                    .field("metadata.annotations[mcdns.io/cordon]")
                    .help(format!("to take it back: mcdns uncordon {name}")),
                );
            }
            let untold = if state.observed || !told.contains(name) { 0 } else { self.untold_records(name, state) };
            if !state.observed && (untold > 0 || !told.contains(name)) {
                let message = match untold {
                    0 => "nothing is known of the member, so it has no targets".to_owned(),
                    1 => "nothing is known of the member for 1 record, which has no targets there".to_owned(),
                    _ => format!("nothing is known of the member for {untold} records, which have no targets there"),
                };
                findings.push(
                    about(FindingCode::ClusterUnobserved, message).help(format!(
                        "add members/{name}/ (it may be empty), or a FederatedServiceStatus that names it"
                    )),
                );
            }
            for missing in state.locality.missing() {
                findings.push(
                    about(FindingCode::LocalityMissing, missing)
                        .field("status.region, status.zones")
                        .help("label the nodes with topology.kubernetes.io/region and topology.kubernetes.io/zone, or set the fields"),
                );
            }
        }
        for (name, member) in &self.model.members {
            if member.observed && !self.clusters.states.contains_key(name) {
                let message = "the host has no KubeFedCluster of this name, so the member is left out";
                let finding = Finding::new(FindingCode::MemberWithoutCluster, message)
                    .about(ObjectKey::observed_member(name))
                    .help(format!("add a KubeFedCluster {name} in {}", self.options.system_namespace));
                findings.push(finding.at_origin(member.origin.as_ref()));
            }
        }
        findings
    }

    /// Clusters that some FederatedServiceStatus speaks of, or the status of a record on a server that sees no member.
    fn told_clusters(&self) -> BTreeSet<&ClusterName> {
        let ingresses = self.model.ingresses.values().filter_map(|facts| facts.status.as_deref());
        let statuses = self.model.services.values().filter_map(|facts| facts.status.as_deref()).chain(ingresses);
        let entries = statuses.filter_map(|object| match &object.fact {
            Fact::ServiceStatus(entries) => Some(entries),
            _ => None,
        });
        entries.flatten().map(|(cluster, _)| cluster).collect()
    }

    /// How many records may have targets in a cluster that is not observed, and no status tells of them.
    fn untold_records(&self, name: &ClusterName, state: &ClusterState) -> usize {
        let services = self.model.services.values().filter(|facts| {
            facts.record.is_some()
                && !tells_of(facts.status.as_deref(), name)
                && placed(facts.placement.as_deref(), name, state)
        });
        let ingresses = self.model.ingresses.values().filter(|facts| {
            facts.record.is_some()
                && !tells_of(facts.status.as_deref(), name)
                && placed(facts.placement.as_deref(), name, state)
        });
        services.count() + ingresses.count()
    }

    /// Name servers of Domains that lie in a zone of ours and have no address there: nobody finds the zone.
    fn name_server_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let published = self.published();
        for zone in &self.zones.list {
            let Some(domain) = zone.domains.first() else { continue };
            for server in &zone.name_servers {
                let Some(holder) = self.zones.zone_of(&server.name) else { continue };
                let entry = published.compose(holder, &server.name);
                let has_address = entry.is_some_and(|entry| {
                    entry.rrsets.iter().any(|rrset| matches!(rrset.record_type, RecordType::A | RecordType::AAAA))
                });
                if has_address {
                    continue;
                }
                let message = format!("the name server {} of {} has no address", server.name, zone.apex);
                let key = NamespacedName::new(&self.options.system_namespace, &domain.name);
                let finding = Finding::new(FindingCode::ZoneTarget, message)
                    .about(ObjectKey::host(Kind::Domain, &key.namespace, &key.name))
                    .field("nameServer")
                    .help("write the server's IP address there, or set serve.advertise");
                findings.push(finding.at_origin(origin_of(self.model.domains.get(&key))));
            }
        }
        findings
    }

    /// Names of other people's DNSEndpoints that somebody with precedence has.
    fn foreign_conflict_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let published = self.published();
        let foreign = |key: &NamespacedName| ObjectKey::host(Kind::ForeignRrsets, &key.namespace, &key.name);
        let mut tell = |giver: &NamespacedName, message: String, help: &str| {
            let finding = Finding::new(FindingCode::NameTaken, message).about(foreign(giver)).field("spec.endpoints");
            findings.push(finding.help(help).at_origin(origin_of(self.model.foreign.get(giver))));
        };
        for (name, givers, losers) in self.foreign.givers() {
            let holder = if published.is_reserved(name) {
                Some("static records or the zone itself".to_owned())
            } else {
                published.winner(name).map(|winner| winner.claimant().key().to_string())
            };
            if let Some(holder) = holder {
                for giver in givers {
                    let help = "static records come first, then names of records, then DNSEndpoints";
                    tell(giver, format!("{name} belongs to {holder}"), help);
                }
                continue;
            }
            for Loser { giver, record_type, holder, why } in losers {
                let message = format!("{name} {record_type} gives way to {}: {why}", foreign(holder));
                tell(giver, message, "the oldest DNSEndpoint has its way; say the same in both, or give up one");
            }
        }
        findings
    }

    fn placement_findings(&self) -> Vec<Finding> {
        let services = self.model.services.iter().map(|(name, facts)| (Kind::ServicePlacement, name, &facts.placement));
        let ingresses =
            self.model.ingresses.iter().map(|(name, facts)| (Kind::IngressPlacement, name, &facts.placement));
        let mut findings = Vec::new();
        for (kind, name, object) in services.chain(ingresses) {
            let Some(object) = object else { continue };
            let Fact::Placement(placement) = &object.fact else { continue };
            for cluster in placement.clusters.iter().flatten() {
                if !self.clusters.states.contains_key(cluster) {
                    findings.push(
                        Finding::new(FindingCode::UnknownCluster, format!("there is no cluster {cluster}"))
                            .at_origin(object.origin.as_ref())
                            .about(ObjectKey::host(kind, &name.namespace, &name.name))
                            .field("spec.placement.clusters"),
                    );
                }
            }
        }
        findings
    }

    /// Names that a record claims and another one has.
    fn conflict_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let contested = self.claims.contested();
        for name in &contested {
            for loser in self.claimants(name) {
                if let Some(winner) = self.taken_by(loser, name) {
                    let key = loser.key();
                    let finding = Finding::new(FindingCode::NameTaken, format!("{name} belongs to {winner}"));
                    let finding = finding.at_origin(origin_of(self.record_object(&key)));
                    let help = if self.published().is_reserved(name) {
                        "static records and the zone's own names come before records"
                    } else {
                        "the older object keeps a name; give this one another"
                    };
                    findings.push(finding.about(&key).help(help));
                }
            }
        }
        for state in self.records.values() {
            let left_out = |name: &OwnerName| {
                let zone = self.zones.zone_of(name).map(|index| &self.zones.list[index]);
                zone.is_some_and(|zone| zone.refuses(name, false).is_some())
            };
            let reserved =
                |name: &OwnerName| !contested.contains(name) && !left_out(name) && self.published().is_reserved(name);
            for claim in state.claims().iter().filter(|claim| reserved(&claim.name)) {
                let message = format!("{} belongs to static records or the zone itself", claim.name);
                let finding = Finding::new(FindingCode::NameTaken, message).about(state.claimant.key());
                let object = self.record_object(&state.claimant.key());
                findings.push(finding.at_origin(origin_of(object)));
            }
        }
        findings
    }

    /// Every record that claims `name`, as itself or as one of its levels; oldest first.
    pub(super) fn claimants(&self, name: &OwnerName) -> BTreeSet<&Claimant> {
        let mut claimants: BTreeSet<&Claimant> = self.claims.single(name).chain(self.claims.families(name)).collect();
        for global in self.context().globals_above(name) {
            claimants.extend(self.claims.families(&global));
        }
        claimants
    }

    /// Who has a name instead of `claimant`, as a person would say it; none if `claimant` has it.
    pub(super) fn taken_by(&self, claimant: &Claimant, name: &OwnerName) -> Option<String> {
        let published = self.published();
        if published.is_reserved(name) {
            return Some("static records or the zone itself".to_owned());
        }
        let winner = published.winner(name)?.claimant().clone();
        (winner != *claimant).then(|| winner.key().to_string())
    }

    /// Findings about one record by itself.
    pub(super) fn record_findings(&self, key: &RecordKey, object: &Object, computed: &Computed) -> Vec<Finding> {
        let about = |code, message: String| Finding::new(code, message).about(key).at_origin(object.origin.as_ref());
        let mut findings = Vec::new();
        for refusal in &computed.refusals {
            let finding = about(refusal.code(), refusal.to_string());
            findings.push(match refusal {
                Refusal::DomainMissing { domain_ref } if domain_ref.is_empty() => {
                    finding.field("spec.domainRef").help("write the name of a Domain")
                }
                Refusal::DomainMissing { domain_ref } => finding.field("spec.domainRef").help(format!(
                    "create Domain {domain_ref} in {}, or refer to one that is there",
                    self.options.system_namespace
                )),
                Refusal::TtlOutOfRange { .. } => {
                    finding.field("spec.recordTTL").help("write 0 to 2147483647 seconds; 0 means 180")
                }
                Refusal::NamespaceNotAllowed { .. } => {
                    finding.help(format!("add {} to allowedNamespaces of the Domain", key.name.namespace))
                }
            });
        }
        for left_out in &computed.left_out {
            let help = "give a host name of letters, digits and inner hyphens, of at most 253 characters, that nothing \
                        of the zone itself has";
            findings.push(about(FindingCode::NameLeftOut, left_out.to_string()).field(left_out.field).help(help));
        }
        for contribution in &computed.chosen.contributions {
            for problem in &contribution.problems {
                let (code, help) = match problem {
                    TargetProblem::Unresolved(_) => (
                        FindingCode::HostNameUnresolved,
                        "check the name with your resolver, or give its addresses in a hosts file (--hosts)",
                    ),
                    TargetProblem::Unreachable(_) | TargetProblem::Unreadable(_) => (
                        FindingCode::TargetLeftOut,
                        "the load balancer must show an address or a host name that clients can reach",
                    ),
                };
                let message = format!("target in {}: {problem}", contribution.cluster);
                findings.push(about(code, message).help(help));
            }
        }
        if computed.chosen.all_down {
            let message = "every cluster with targets is unready; the last known targets stay".to_owned();
            findings.push(about(FindingCode::AllDown, message));
        }
        if computed.in_force() && !computed.chosen.contributions.iter().any(|one| one.choice.is_used()) {
            findings.push(
                about(FindingCode::NoTargets, no_targets(computed).to_owned())
                    .help(format!("`mcdns explain` says why for each cluster of {}", key.name)),
            );
        }
        let has_static = self.zones.list.iter().any(|zone| zone.static_zone.is_some());
        for name in computed.wanted.keys().filter(|_| has_static) {
            let zone = self.zones.zone_of(name).map(|index| &self.zones.list[index]);
            if let Some(cut) = zone.and_then(|zone| zone.delegation_above(name)) {
                let message = format!("{name} is below the delegation of {cut}: published, but not answered here");
                findings.push(about(FindingCode::ZoneOccluded, message));
            }
        }
        if key.kind == RecordKind::Ingress {
            for claim in computed.claims.iter().filter(|claim| self.zones.zone_of(&claim.name).is_none()) {
                let message = format!("{} is in no zone of this server: published, but not answered here", claim.name);
                findings.push(about(FindingCode::OutsideZones, message).field("spec.hosts"));
            }
        }
        findings
    }
}

impl Refusal {
    fn code(&self) -> FindingCode {
        match self {
            Self::DomainMissing { .. } => FindingCode::DomainMissing,
            Self::TtlOutOfRange { .. } => FindingCode::TtlOutOfRange,
            Self::NamespaceNotAllowed { .. } => FindingCode::NamespaceNotAllowed,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DomainMissing { domain_ref } if domain_ref.is_empty() => f.write_str("it refers to no Domain"),
            Self::DomainMissing { domain_ref } => write!(f, "there is no Domain {domain_ref}"),
            Self::TtlOutOfRange { ttl } => write!(f, "a TTL of {ttl} is not between 0 and 2147483647 seconds"),
            Self::NamespaceNotAllowed { name: Some(name), apex } => {
                write!(f, "the Domain {apex} does not let this namespace claim {name}")
            }
            Self::NamespaceNotAllowed { name: None, apex } => {
                write!(f, "the Domain {apex} does not let this namespace claim names")
            }
        }
    }
}

/// Where an object stands.
fn origin_of(object: Option<&Arc<Object>>) -> Option<&Origin> {
    object.and_then(|object| object.origin.as_ref())
}
