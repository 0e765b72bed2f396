//! DNSEndpoints: what other publishers are told, one object for each record.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EmptyLevels,
    compute::{Computed, LevelNames, Wanted},
    engine::Engine,
    wire::alias_rrset,
};
use crate::{
    dns::{OwnerName, Rrset, Ttl, display_rdata},
    model::{Fact, RecordKey, RecordKind},
};

/// One RRset in the form of a DNSEndpoint: names without the trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRrset {
    /// `dnsName`.
    pub owner: String,
    /// `recordType`: A, AAAA or CNAME.
    pub record_type: String,
    /// `recordTTL` in seconds.
    pub ttl: Ttl,
    /// `targets`: sorted as strings, without duplicates.
    pub targets: Vec<String>,
    /// Label `serviceName`, set where `externalName` is.
    pub service_name: Option<String>,
}

impl Engine {
    /// What the DNSEndpoint of a record holds: every name that the record has, empty levels as CNAMEs; sorted
    /// by name, then type. None if there is no such record; empty if it has no names.
    pub fn endpoints(&self, key: &RecordKey) -> Option<Vec<EndpointRrset>> {
        let computed = self.context().compute(key, false)?;
        let state = self.records.get(key)?;
        let mut names: BTreeMap<OwnerName, Vec<Rrset>> = BTreeMap::new();
        let mut prefix_names = BTreeSet::new();
        for (name, wanted) in &computed.wanted {
            let rrsets = match wanted {
                Wanted::Addresses(rrsets) => rrsets.clone(),
                Wanted::Climb(alias) => vec![alias.clone()],
                Wanted::Prefix(alias) => {
                    if !self.published().holds_global(&state.claimant) {
                        continue;
                    }
                    prefix_names.insert(name.clone());
                    vec![alias.clone()]
                }
            };
            names.insert(name.clone(), rrsets);
        }
        for (name, alias) in self.implied_levels(&computed) {
            names.entry(name).or_insert_with(|| vec![alias]);
        }
        let service_name = self.service_label(key);
        let mut endpoints = Vec::new();
        for (name, rrsets) in names {
            if !self.published().holds(&state.claimant, &name) {
                continue;
            }
            let label = service_name.clone().filter(|_| !prefix_names.contains(&name));
            endpoints.extend(rrsets.iter().map(|rrset| endpoint(&name, rrset, label.clone())));
        }
        endpoints.sort_by(|a, b| (&a.owner, &a.record_type).cmp(&(&b.owner, &b.record_type)));
        Some(endpoints)
    }

    /// The empty levels that the snapshot holds as "as the level above".
    fn implied_levels(&self, computed: &Computed) -> Vec<(OwnerName, Rrset)> {
        let (Some(ttl), Some(global), Some(apex)) = (computed.climb, &computed.global, &computed.domain) else {
            return Vec::new();
        };
        if self.options.empty_levels == EmptyLevels::Omit {
            return Vec::new();
        }
        let Some(prefix) = global.strip_suffix(apex) else { return Vec::new() };
        let levels = LevelNames { prefix, apex };
        let names = levels.all(&self.clusters.levels, global);
        names.into_iter().map(|(name, above)| (name, alias_rrset(&above, ttl))).collect()
    }

    /// KubeFed labels every endpoint of a record with `externalName` but the prefix CNAME.
    fn service_label(&self, key: &RecordKey) -> Option<String> {
        if key.kind != RecordKind::Service {
            return None;
        }
        match &self.record_object(key)?.fact {
            Fact::ServiceRecord(spec) if !spec.external_name.is_empty() => Some(key.name.name.to_string()),
            _ => None,
        }
    }
}

fn endpoint(name: &OwnerName, rrset: &Rrset, service_name: Option<String>) -> EndpointRrset {
    let text = |data: &[u8]| {
        let text = display_rdata(rrset.record_type, data);
        text.strip_suffix('.').map_or(text.clone(), str::to_owned)
    };
    let targets: BTreeSet<String> = rrset.data().iter().map(|data| text(data)).collect();
    EndpointRrset {
        owner: name.to_string(),
        record_type: rrset.record_type.to_string(),
        ttl: rrset.ttl,
        targets: targets.into_iter().collect(),
        service_name,
    }
}
