//! Names of which it cannot be told yet what they hold.
//!
//! A load balancer's host name that no resolver has answered for since anybody wanted it gives no address, and that is
//! not the same as having none. The server answers with what is known, because it must answer something. A publisher
//! holds what was true before, so it leaves the names alone that could depend on the host name:
//!
//! ```text
//!   host name without an answer ─► cluster whose addresses are (or would be) used ─► its names
//!                                   nothing else has addresses, or all are down  ─► all names of the record
//! ```
//!
//! A cluster that was withdrawn or cordoned is meant to go, so its host names keep nothing.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    compute::{Computed, LevelNames, Refusal},
    engine::Engine,
};
use crate::{
    dns::OwnerName,
    model::RecordKey,
    steering::{Choice, Target},
};

/// What a record cannot tell yet.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// The host names that nobody has answered for; at least one.
    hosts: BTreeSet<Arc<str>>,
    /// The names that could hold something else because of them.
    pub(super) names: BTreeSet<OwnerName>,
}

impl Unsettled {
    /// Why the names are left alone, as a person reads it.
    pub(super) fn why(&self) -> String {
        let first = self.hosts.first().map_or("", |host| &**host);
        let more = match self.hosts.len() {
            0 | 1 => String::new(),
            more => format!(" (nor for {} more)", more - 1),
        };
        format!("no resolver has answered for the load balancer {first} yet{more}")
    }
}

impl Engine {
    /// Whether some name of the record could hold something else, were a host name answered for. What others keep of it
    /// from before is better than what is known now.
    pub fn is_unsettled(&self, key: &RecordKey) -> bool {
        self.records.get(key).is_some_and(|state| state.unsettled.is_some())
    }

    /// What the record cannot tell yet; none if it knows all that it needs.
    pub(super) fn unsettled(&self, key: &RecordKey, computed: &Computed) -> Option<Unsettled> {
        let contributions = &computed.chosen.contributions;
        let counted = contributions.iter().any(|one| one.choice == Choice::Ready);
        let (mut hosts, mut clusters) = (BTreeSet::new(), BTreeSet::new());
        for one in contributions {
            let matters = match one.choice {
                // Where no cluster that counts has addresses, the last known ones stay, and these may be among them.
                Choice::Withdrawn => !counted,
                choice => choice.is_used() || choice == Choice::NoAddress,
            };
            let unknown = one.targets.iter().filter_map(|target| match target {
                Target::HostName(host) if !self.model.host_addresses.contains_key(host) => Some(host.clone()),
                _ => None,
            });
            let before = hosts.len();
            hosts.extend(unknown.filter(|_| matters));
            if hosts.len() > before {
                clusters.insert(&one.cluster);
            }
        }
        if hosts.is_empty() {
            return None;
        }
        let has_addresses = contributions.iter().any(|one| one.choice.is_used() && !one.addresses.is_empty());
        let mut names: BTreeSet<OwnerName> = if has_addresses && !computed.chosen.all_down {
            clusters.into_iter().flat_map(|cluster| self.names_of(key, computed, cluster)).collect()
        } else {
            self.all_names_of(computed)
        };
        for refusal in &computed.refusals {
            if let Refusal::NamespaceNotAllowed { name: Some(name), .. } = refusal {
                names.remove(name);
            }
        }
        Some(Unsettled { hosts, names })
    }

    /// Every name that the record could hold something at.
    fn all_names_of(&self, computed: &Computed) -> BTreeSet<OwnerName> {
        let mut names: BTreeSet<OwnerName> = computed.claims.iter().map(|claim| claim.name.clone()).collect();
        if let (Some(global), Some(apex)) = (&computed.global, &computed.domain)
            && let Some(prefix) = global.strip_suffix(apex)
        {
            let levels = LevelNames { prefix, apex };
            names.extend(levels.all(&self.clusters.levels, global).into_iter().map(|(name, _)| name));
        }
        names
    }
}
