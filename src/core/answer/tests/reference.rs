//! The same answers, computed the slow and plain way: every level name written out in a sorted map, then the
//! algorithm of RFC 1034 section 4.3.2 as it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::show;
use crate::{
    answer::{Entry, Levels},
    dns::{OwnerName, RecordType, Rrset},
};

pub(super) struct Reference {
    apex: OwnerName,
    pub(super) data: BTreeMap<OwnerName, Vec<Rrset>>,
    exists: BTreeSet<OwnerName>,
}

impl Reference {
    pub(super) fn new(apex: &OwnerName, entries: &BTreeMap<OwnerName, Entry>, levels: &Levels) -> Self {
        let mut data: BTreeMap<OwnerName, Vec<Rrset>> = BTreeMap::new();
        let mut exists = BTreeSet::from([apex.clone()]);
        let mut climbs = BTreeMap::new();
        for (global, entry) in entries {
            let Some(ttl) = entry.climb else { continue };
            let labels = global.strip_suffix(apex).expect("below the apex");
            for (region, availability_zones) in &levels.regions {
                let region_apex = apex.child(region.as_bytes()).expect("short");
                let regional = region_apex.prepend_wire(labels).expect("short");
                for availability_zone in availability_zones {
                    let above = region_apex.child(availability_zone.as_bytes()).expect("short");
                    let zonal = above.prepend_wire(labels).expect("short");
                    // `a.zone.region` as the region level of `a.zone` comes first.
                    climbs.entry(zonal).or_insert((false, ttl, regional.clone()));
                }
                climbs.insert(regional, (true, ttl, global.clone()));
            }
        }
        for (owner, (_, ttl, target)) in climbs {
            exists.extend(above(&owner, apex));
            if entries.get(&owner).is_none_or(|entry| entry.rrsets.is_empty() && entry.climb.is_some()) {
                data.insert(owner, vec![Rrset::new(RecordType::CNAME, ttl, vec![target.as_wire().into()])]);
            }
        }
        for (owner, entry) in entries {
            if !entry.rrsets.is_empty() {
                data.insert(owner.clone(), entry.rrsets.clone());
            }
        }
        for owner in data.keys() {
            exists.insert(owner.clone());
            exists.extend(above(owner, apex));
        }
        Self { apex: apex.clone(), data, exists }
    }

    pub(super) fn ask(&self, asked: &OwnerName, record_type: RecordType) -> String {
        let mut path = vec![asked.clone()];
        path.extend(above(asked, &self.apex));
        for owner in path.iter().rev() {
            let is_cut = *owner != self.apex && (owner != asked || record_type != RecordType::DS);
            if let (Some(servers), true) = (self.rrset(owner, RecordType::NS), is_cut) {
                return format!("referral {owner} {}", show(servers));
            }
            if let (Some(dname), true) = (self.rrset(owner, RecordType::DNAME), owner != asked) {
                return format!("redirect {owner} {}", show(dname));
            }
        }
        if self.exists.contains(asked) {
            return self.select(asked, record_type);
        }
        let encloser = path.iter().find(|owner| self.exists.contains(owner)).expect("the apex");
        let wildcard = encloser.child(b"*").expect("short");
        if self.exists.contains(&wildcard) { self.select(&wildcard, record_type) } else { "nxdomain".to_owned() }
    }

    /// True if a transfer leaves the name out unless it was given by an entry.
    pub(super) fn is_occluded(&self, owner: &OwnerName) -> bool {
        let hides = |above: &OwnerName| {
            self.rrset(above, RecordType::DNAME).is_some()
                || *above != self.apex && self.rrset(above, RecordType::NS).is_some()
        };
        self.rrset(owner, RecordType::NS).is_some() && *owner != self.apex || above(owner, &self.apex).iter().any(hides)
    }

    fn rrset(&self, owner: &OwnerName, record_type: RecordType) -> Option<&Rrset> {
        self.data.get(owner)?.iter().find(|rrset| rrset.record_type == record_type)
    }

    fn select(&self, owner: &OwnerName, record_type: RecordType) -> String {
        if let Some(rrset) = self.rrset(owner, record_type) {
            return format!("answer {}", show(rrset));
        }
        match self.rrset(owner, RecordType::CNAME) {
            Some(alias) => format!("alias {}", show(alias)),
            None => "nodata".to_owned(),
        }
    }
}

/// The names above, up to the apex.
fn above(owner: &OwnerName, apex: &OwnerName) -> Vec<OwnerName> {
    let up = std::iter::successors(owner.parent(), OwnerName::parent);
    up.take_while(|name| name.is_at_or_below(apex)).collect()
}
