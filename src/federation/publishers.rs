//! What publishers are told: which names changed, and what a person lets pass.
//!
//! A Domain may have been annotated before publishers ran, or while another replica had the lock. So the annotations of all
//! Domains are kept, and each publisher gets the newest of each zone; it knows itself when one counts.

use std::{collections::BTreeMap, sync::Arc};

use mcdns_core::{
    dns::OwnerName,
    model::{DomainFact, Fact, Kind, Object, ObjectKey},
    records::Update,
};
use mcdns_publish::Publishing;

use super::Federation;

/// Checksums that Domains give, by Domain.
pub(super) type Releases = BTreeMap<Arc<str>, String>;

impl Federation {
    /// From now on these publishers are told what changes.
    pub fn set_publishing(&mut self, publishing: Arc<Publishing>) {
        self.publishing = Some(publishing);
        self.offer_releases();
    }

    /// The publishers that are told, once they run.
    pub fn publishing(&self) -> Option<&Publishing> {
        self.publishing.as_deref()
    }

    /// Tells publishers what changed, and what a person lets pass.
    pub(super) fn tell_publishers(&mut self, update: &Update) {
        // Others have no zones.
        let system = &self.engine.options().system_namespace;
        let is_ours = |key: &ObjectKey| key.kind == Kind::Domain && key.namespace == *system;
        let mut domains = update.accepted.iter().filter(|one| is_ours(&one.key)).peekable();
        let offers = domains.peek().is_some();
        for one in domains {
            match one.object.as_deref() {
                Some(Object { fact: Fact::Domain(DomainFact { release: Some(release), .. }), .. }) => {
                    self.releases.insert(one.key.name.clone(), release.clone());
                }
                _ => {
                    self.releases.remove(&one.key.name);
                }
            }
        }
        if let Some(publishing) = &self.publishing {
            publishing.observed(&self.engine, update);
        }
        if offers {
            self.offer_releases();
        }
    }

    fn offer_releases(&self) {
        let Some(publishing) = &self.publishing else { return };
        let apex = |domain: &str| self.engine.apex_of(domain).cloned();
        let offers: BTreeMap<OwnerName, &str> =
            self.releases.iter().filter_map(|(domain, checksum)| Some((apex(domain)?, &**checksum))).collect();
        publishing.offer(&offers);
    }
}
