//! What a call makes of what is kept. Pure.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::{
    dns::{OwnerName, RecordType, display_rdata},
    model::{ForeignRrset, NamespacedName},
    records::foreign_rrset,
};
use sha2::{Digest, Sha256};

use super::{
    MAX_NAMES, Names,
    wire::{Changes, Endpoint},
};

/// What objects are told apart by that are kept without Kubernetes.
pub const FAMILY: &str = "webhook";
/// How the names of DNSEndpoints begin in which Kubernetes keeps what came in.
const PREFIX: &str = "webhook-";
/// Letters of an owner name in the name of its object; the rest of the 253 is for what stands around them.
const LEGIBLE: usize = 200;

/// Why a call is refused, each fault in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Endpoints that cannot be served, or changes that make no sense together.
    Wrong(Vec<String>),
    /// Too many names.
    Full,
}

/// What a call comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// What the names that it changes hold after it.
    pub(super) names: Names,
    /// Names that stay as they are although the call would change them, with the reason in words for a person.
    pub(super) left: BTreeMap<OwnerName, String>,
}

/// The form in which endpoints are kept: names and values in one spelling, one set for each name and type, without set
/// identifiers and without what only other providers understand. Beside it what is wrong with those that are left out.
pub(super) fn adjust(
    zones: &[OwnerName],
    endpoints: Vec<Result<Endpoint, String>>,
) -> (Vec<Endpoint>, Vec<(String, String)>) {
    let mut kept: BTreeMap<(OwnerName, String), Endpoint> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, endpoint) in endpoints.into_iter().enumerate() {
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(why) => {
                wrong.push((format!("endpoint {index}"), why));
                continue;
            }
        };
        match canonical(zones, &endpoint) {
            Ok((owner, rrset)) => {
                let labels = endpoint.labels;
                let known = kept.entry((owner, rrset.record_type.clone())).or_insert_with(|| Endpoint {
                    targets: Vec::new(),
                    labels,
                    ..told(&rrset)
                });
                // Sets of several identifiers answer together.
                let more: Vec<String> =
                    rrset.targets.into_iter().filter(|target| !known.targets.contains(target)).collect();
                known.targets.extend(more);
                if rrset.record_type != "TXT" {
                    known.targets.sort();
                }
            }
            // external-dns has other zones, too, and knows from the negotiation which are ours.
            Err(_) if is_elsewhere(zones, &endpoint) => {}
            Err(why) => wrong.push((format!("{} {}", endpoint.dns_name, endpoint.record_type), why)),
        }
    }
    (kept.into_values().collect(), wrong)
}

/// What a call changes. A name at which the changes do not go with what is kept, or whose ownership record cannot be kept,
/// is left with its ownership records as it stands, and the rest is done: external-dns ends itself where it is refused, and
/// sends the same after its next start.
pub(super) fn change(zones: &[OwnerName], names: &Names, changes: Changes) -> Result<Changed, Refusal> {
    let mut faults = Vec::new();
    if changes.update_old.len() != changes.update_new.len() {
        let (old, new) = (changes.update_old.len(), changes.update_new.len());
        faults.push(format!("{old} endpoints in updateOld and {new} in updateNew are no pairs"));
    }
    let mut changed = Names::new();
    let mut left = Left::default();
    let held = |changed: &mut Names, owner: &OwnerName| {
        if !changed.contains_key(owner) {
            changed.insert(owner.clone(), names.get(owner).cloned().unwrap_or_default());
        }
    };
    for endpoint in changes.update_old.iter().chain(&changes.delete) {
        // What is gone already, or never could be there, need not be removed.
        let plain = endpoint.dns_name.strip_suffix('.').unwrap_or(&endpoint.dns_name);
        let Ok(owner) = OwnerName::parse(plain) else { continue };
        left.marks.extend(marked(zones, endpoint).map(|marked| (owner.clone(), marked)));
        held(&mut changed, &owner);
        let record_type = endpoint.record_type.to_ascii_uppercase();
        changed.entry(owner).or_default().retain(|rrset| rrset.record_type != record_type);
    }
    let mut seen = BTreeSet::new();
    for (list, new) in [("updateNew", changes.update_new), ("create", changes.create)] {
        for (index, endpoint) in new.into_iter().enumerate() {
            let place = format!("{list}[{index}] {} {}", endpoint.dns_name, endpoint.record_type);
            if !endpoint.set_identifier.is_empty() {
                faults.push(format!("{place}: set identifiers are not kept; see /adjustendpoints"));
                continue;
            }
            let marked = marked(zones, &endpoint);
            let (owner, rrset) = match (canonical(zones, &endpoint), marked) {
                (Ok((owner, rrset)), marked) => {
                    left.marks.extend(marked.map(|marked| (owner.clone(), marked)));
                    (owner, rrset)
                }
                // `/adjustendpoints` sees no ownership records, so nobody could leave it out.
                (Err(why), Some(marked)) => {
                    left.leave(marked, || {
                        format!("its ownership record `{}` is not possible: {why}", endpoint.dns_name)
                    });
                    continue;
                }
                (Err(why), None) => {
                    faults.push(format!("{place}: {why}"));
                    continue;
                }
            };
            if !seen.insert((owner.clone(), rrset.record_type.clone())) {
                faults.push(format!("{place}: stands there twice"));
                continue;
            }
            held(&mut changed, &owner);
            let here = changed.entry(owner.clone()).or_default();
            match here.iter().find(|other| other.record_type == rrset.record_type) {
                Some(other) if *other == rrset => {}
                // Whoever sends it does not know the newest, which it reads before its next call.
                Some(_) => left.leave(owner, || format!("another {} stands there already", rrset.record_type)),
                None => here.push(rrset),
            }
        }
    }
    for (owner, rrsets) in &mut changed {
        rrsets.sort_by(|a, b| a.record_type.cmp(&b.record_type));
        let others = || rrsets.iter().map(|rrset| &*rrset.record_type).filter(|record_type| *record_type != "CNAME");
        if others().next().is_some() && others().count() < rrsets.len() {
            let others: Vec<&str> = others().collect();
            left.leave(owner.clone(), || {
                format!("a CNAME stands alone, and there would be {} beside it", others.join(", "))
            });
        }
    }
    if !faults.is_empty() {
        return Err(Refusal::Wrong(faults));
    }
    left.spread();
    changed.retain(|owner, rrsets| {
        let before = names.get(owner).map_or(&[][..], Vec::as_slice);
        !left.names.contains_key(owner) && before != rrsets.as_slice()
    });
    let new = changed.iter().filter(|(owner, rrsets)| !rrsets.is_empty() && !names.contains_key(*owner)).count();
    if names.len() + new > MAX_NAMES {
        return Err(Refusal::Full);
    }
    Ok(Changed { names: changed, left: left.names })
}

/// Names that a call does not change.
#[derive(Debug, Default)]
struct Left {
    names: BTreeMap<OwnerName, String>,
    /// Ownership records of the call: their own name, and that of the record.
    marks: Vec<(OwnerName, OwnerName)>,
}

impl Left {
    /// The first reason counts.
    fn leave(&mut self, owner: OwnerName, why: impl FnOnce() -> String) {
        self.names.entry(owner).or_insert_with(why);
    }

    /// A record and its ownership records are left together: without them external-dns would not know its own again.
    fn spread(&mut self) {
        loop {
            let known = self.names.len();
            for (mark, record) in std::mem::take(&mut self.marks) {
                match (self.names.contains_key(&mark), self.names.contains_key(&record)) {
                    (false, true) => self.leave(mark, || format!("it is the ownership record of {record}")),
                    (true, false) => self.leave(record, || format!("its ownership record {mark} is left as it stands")),
                    (true, true) => {}
                    (false, false) => self.marks.push((mark, record)),
                }
            }
            if self.names.len() == known {
                return;
            }
        }
    }
}

/// How many names are left after a change.
pub(super) fn left(names: &Names, changed: &Names) -> usize {
    let gone = changed.iter().filter(|(owner, rrsets)| rrsets.is_empty() && names.contains_key(*owner)).count();
    let new = changed.iter().filter(|(owner, rrsets)| !rrsets.is_empty() && !names.contains_key(*owner)).count();
    names.len() - gone + new
}

/// What is kept, as external-dns reads it.
pub(super) fn endpoints(names: &Names) -> Vec<Endpoint> {
    names.values().flatten().map(told).collect()
}

/// The name of the DNSEndpoint in which Kubernetes keeps an owner name: legible, and unlike any other's.
pub fn object_name(owner: &OwnerName) -> String {
    let digest = Sha256::digest(owner.as_wire());
    let legible = owner.to_string();
    let legible = legible.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let legible: String = legible.take(LEGIBLE).collect();
    let hash = digest[..8].iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
    format!("{PREFIX}{}-{hash}", legible.to_ascii_lowercase())
}

/// The owner name that an object keeps which came in here; none if it is another's. `namespace` is where Kubernetes
/// keeps them.
pub fn name_of(key: &NamespacedName, rrsets: &[ForeignRrset], namespace: &str) -> Option<OwnerName> {
    if let Some((name, FAMILY)) = key.name.split_once('@') {
        return OwnerName::parse(name).ok();
    }
    if *key.namespace != *namespace || !key.name.starts_with(PREFIX) {
        return None;
    }
    let owner = OwnerName::parse(&rrsets.first()?.owner).ok()?;
    (*key.name == *object_name(&owner)).then_some(owner)
}

/// An endpoint as it is kept.
fn canonical(zones: &[OwnerName], endpoint: &Endpoint) -> Result<(OwnerName, ForeignRrset), String> {
    let written = ForeignRrset {
        owner: endpoint.dns_name.clone(),
        record_type: endpoint.record_type.to_ascii_uppercase(),
        targets: endpoint.targets.clone(),
        ttl: endpoint.record_ttl,
    };
    let (owner, rrset) = foreign_rrset(&written, |owner| zones.contains(owner))?;
    if !zones.iter().any(|apex| owner.is_at_or_below(apex)) && marked(zones, endpoint).is_none() {
        let zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
        return Err(format!("is in none of the zones {}", zones.join(", ")));
    }
    // external-dns compares ownership records as text.
    let targets = if rrset.record_type == RecordType::TXT {
        endpoint.targets.clone()
    } else {
        rrset.data().iter().map(|data| target(rrset.record_type, data)).collect()
    };
    let (plain, record_type) = (owner.to_string(), rrset.record_type.to_string());
    Ok((owner, ForeignRrset { owner: plain, record_type, targets, ttl: endpoint.record_ttl.max(0) }))
}

/// The record in the zones of which this is an ownership record. Its own name may be outside (`a-example.net` for the A at
/// the apex): it is kept all the same, for external-dns reads it here, and nobody is answered from it.
fn marked(zones: &[OwnerName], endpoint: &Endpoint) -> Option<OwnerName> {
    let owned = endpoint.labels.get("ownedRecord").filter(|_| endpoint.record_type == "TXT")?;
    let owned = OwnerName::parse(owned.trim_end_matches('.')).ok()?;
    zones.iter().any(|apex| owned.is_at_or_below(apex)).then_some(owned)
}

/// True for a name that is one, and in none of the zones.
fn is_elsewhere(zones: &[OwnerName], endpoint: &Endpoint) -> bool {
    let plain = endpoint.dns_name.strip_suffix('.').unwrap_or(&endpoint.dns_name);
    OwnerName::parse(plain).is_ok_and(|owner| !zones.iter().any(|apex| owner.is_at_or_below(apex)))
}

/// Host names stand without their final dot but for SRV and NAPTR, as external-dns writes them.
fn target(record_type: RecordType, data: &[u8]) -> String {
    let text = display_rdata(record_type, data);
    let dotted = matches!(record_type, RecordType::SRV) || record_type.to_string() == "NAPTR";
    match text.strip_suffix('.').filter(|text| !dotted && !text.is_empty() && !text.ends_with(' ')) {
        Some(text) => text.to_owned(),
        None => text,
    }
}

fn told(rrset: &ForeignRrset) -> Endpoint {
    Endpoint {
        dns_name: rrset.owner.clone(),
        targets: rrset.targets.clone(),
        record_type: rrset.record_type.clone(),
        record_ttl: rrset.ttl,
        ..Endpoint::default()
    }
}
