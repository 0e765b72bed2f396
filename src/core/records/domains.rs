//! What there is to say of Domains and members as a whole: conditions for their statuses.
//!
//! A Domain is *Ready* when its zone is served under its own name: it is neither outside the system namespace, nor without
//! a usable `domain`, nor behind an older Domain of the same apex. Something is *Held* of the host where its objects
//! went all at once (`hold.rs`); any Domain of the system namespace releases that, so each of them says so. What is held
//! of a member is said of its KubeFedCluster.

use std::collections::BTreeMap;

use super::{engine::Engine, status::RecordCondition};
use crate::{
    check::{Finding, FindingCode},
    model::{ClusterName, Fact, Kind, NamespacedName, Object, ObjectKey, Scope},
};

impl Engine {
    /// Conditions of every Domain that is known: `Ready`, and `Held` where something is held of the host.
    pub fn domain_conditions(&self) -> BTreeMap<NamespacedName, (&Object, Vec<RecordCondition>)> {
        let wrong: BTreeMap<&str, &Finding> = self.zones.findings.iter().filter_map(|one| told_of(one)).collect();
        let mut conditions = BTreeMap::new();
        for (key, object) in &self.model.domains {
            let Fact::Domain(fact) = &object.fact else { continue };
            let about = ObjectKey::host(Kind::Domain, &key.namespace, &key.name).to_string();
            let mut own = vec![ready(&fact.domain, wrong.get(&*about).copied())];
            if key.namespace == self.options.system_namespace {
                own.extend(self.holds.condition(&Scope::Host, &key.name, &key.namespace));
            }
            conditions.insert(key.clone(), (&**object, own));
        }
        conditions
    }

    /// Condition `Held` of the members of which something is held.
    pub fn held_members(&self) -> BTreeMap<ClusterName, RecordCondition> {
        let namespace = &self.options.system_namespace;
        let members = self.holds.members().into_iter().filter_map(|name| {
            let condition = self.holds.condition(&Scope::Member(name.clone()), name, namespace)?;
            Some((name.clone(), condition))
        });
        members.collect()
    }
}

/// The Domain that a finding keeps from being served under its own name.
fn told_of(finding: &Finding) -> Option<(&str, &Finding)> {
    let counts =
        matches!(finding.code, FindingCode::DomainNamespace | FindingCode::DomainName | FindingCode::DomainShared);
    finding.object.as_deref().filter(|_| counts).map(|object| (object, finding))
}

fn ready(domain: &str, wrong: Option<&Finding>) -> RecordCondition {
    let (reason, message) = match wrong {
        None => ("Served", format!("the zone {domain} is served")),
        Some(finding) => {
            let reason = match finding.code {
                FindingCode::DomainNamespace => "DomainNamespace",
                FindingCode::DomainName => "DomainName",
                _ => "DomainShared",
            };
            let help = finding.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            (reason, format!("{}{help}", finding.message))
        }
    };
    // The names of the younger of two with one apex are served all the same.
    let served = wrong.is_none_or(|finding| finding.code == FindingCode::DomainShared);
    RecordCondition { condition_type: "Ready", status: served, reason, message }
}
