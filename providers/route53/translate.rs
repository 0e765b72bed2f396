//! What is wanted, in the form in which Route 53 holds it.
//!
//! | targets in use at a name | becomes |
//! |---|---|
//! | one host name that AWS knows | ALIAS, A and AAAA |
//! | several such | ALIAS sets, one for each cluster and host name, weighted so that each cluster has the same share |
//! | addresses, or host names of others among them | A and AAAA as resolved |
//! | one host name, with `preferCname` | CNAME, but not at the apex |
//!
//! Both address families are aliased whatever the host name has now: an AAAA alias of a load balancer without IPv6 is a
//! name without AAAA, and one that gets IPv6 later needs no change. A CNAME of somebody's own to a host name that AWS
//! knows becomes an ALIAS as well; one at the apex must.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use mcdns_core::{
    dns::{OwnerName, RecordType, Rrset, rdata_target},
    plan::{Content, Group, RecordSet, WantedName},
    steering::Target,
};
use mcdns_publish::{Unpublishable, ownership::TxtRegistry};

use crate::{
    alias::{has_health, zone_of},
    batch::{Limits, Size},
    settings::Settings,
    wire::{EVALUATE, HEALTH_CHECK, TARGET_ZONE, WEIGHT, encode},
};

/// Most sets of one name and type (AWS, "Quotas").
const MAX_SETS: usize = 100;
/// Most records of one set (AWS, "Quotas").
const MAX_RECORDS: usize = 400;
/// Most characters of one TXT value (AWS, "Supported DNS record types").
const MAX_VALUE: usize = 4000;
/// Longest identifier of a set (API reference, `ResourceRecordSet`).
const MAX_IDENTIFIER: usize = 128;
/// What the weights of a cluster's sets add up to: up to 255 is possible, and this can be shared by 1 to 6, 8, 10 and 12.
const CLUSTER_WEIGHT: usize = 120;

/// The group for a name.
///
/// # Errors
///
/// Route 53 cannot hold it, or not so that it can be replaced in one request.
pub(crate) fn group(
    settings: &Settings,
    registry: &TxtRegistry,
    wanted: &WantedName,
    limits: Limits,
) -> Result<Group, Unpublishable> {
    let sets = match addresses(settings, wanted) {
        Some(instead) => {
            let kept = wanted.rrsets.iter().filter(|rrset| !is_address(rrset.record_type));
            let kept = kept.filter(|rrset| rrset.record_type != RecordType::CNAME).map(RecordSet::of_rrset);
            instead.into_iter().chain(kept).collect()
        }
        None => wanted.rrsets.iter().map(RecordSet::of_rrset).collect::<Vec<_>>(),
    };
    let group = Group::new(wanted.owner.clone(), sets);
    if wanted.is_apex() && group.sets_of(RecordType::CNAME).next().is_some() {
        return refused("Route 53 has no CNAME at the apex of a zone".to_owned());
    }
    // A record without a place for its mark is never written.
    let marks = registry.marks(&wanted.apex, &group)?;
    let marks = marks.iter().map(|mark| (&mark.owner, &mark.set));
    let mut size = Vec::new();
    for (owner, set) in group.sets().iter().map(|set| (group.owner(), set)).chain(marks) {
        let raw = encode(owner, set).map_err(Unpublishable)?;
        let records = raw.resource_records();
        if records.len() > MAX_RECORDS {
            return refused(format!(
                "it has {} records of type {}, and {MAX_RECORDS} are possible",
                records.len(),
                set.record_type
            ));
        }
        if let Some(long) = records.iter().map(|record| record.value.len()).find(|&length| length > MAX_VALUE) {
            return refused(format!("a value has {long} characters, and {MAX_VALUE} are possible"));
        }
        size.push(Size::of(&raw));
    }
    let size: Size = size.into_iter().sum();
    // Half of a request for what goes, half for what comes.
    if !size.fits(Limits { records: limits.records / 2, characters: limits.characters / 2 }) {
        let Size { records, characters } = size;
        return refused(format!("it has {records} records with {characters} characters, too much for one change"));
    }
    Ok(group)
}

/// What takes the place of address records or a CNAME; none if they stay as they are.
fn addresses(settings: &Settings, wanted: &WantedName) -> Option<Vec<RecordSet>> {
    let hosts = hosts(wanted)?;
    let distinct: BTreeSet<&OwnerName> = hosts.iter().map(|(_, host)| host).collect();
    if settings.prefer_cname {
        let [host] = distinct.into_iter().collect::<Vec<_>>()[..] else { return None };
        let alone = wanted.rrsets.iter().all(|rrset| is_address(rrset.record_type));
        let cname = RecordSet::data(RecordType::CNAME, wanted.ttl, [host.as_wire().into()]);
        return (alone && !wanted.is_apex()).then(|| vec![cname]);
    }
    let zones: BTreeMap<&OwnerName, &str> =
        distinct.iter().filter_map(|host| Some((*host, zone_of(host, &settings.alias_zones)?))).collect();
    if zones.len() != distinct.len() {
        return None;
    }
    if let [host] = distinct.into_iter().collect::<Vec<_>>()[..] {
        return Some(both_families(&alias(settings, host, zones[host])));
    }
    let mut of_cluster: BTreeMap<&str, Vec<&OwnerName>> = BTreeMap::new();
    for (cluster, host) in &hosts {
        of_cluster.entry(cluster.as_str()).or_default().push(host);
    }
    let count: usize = of_cluster.values().map(Vec::len).sum();
    if count > MAX_SETS {
        return None;
    }
    let mut sets = Vec::new();
    for (cluster, hosts) in of_cluster {
        let weight = (CLUSTER_WEIGHT / hosts.len()).max(1).to_string();
        for host in &hosts {
            let mut set = alias(settings, host, zones[host]);
            set.identifier = Some(identifier(cluster, host, hosts.len() == 1));
            set.properties.insert(WEIGHT.to_owned(), weight.clone());
            if let Some(check) = settings.health_checks.get(cluster) {
                set.properties.insert(HEALTH_CHECK.to_owned(), check.clone());
            }
            sets.extend(both_families(&set));
        }
    }
    let identifiers: BTreeSet<&Option<String>> = sets.iter().map(|set| &set.identifier).collect();
    (identifiers.len() == count).then_some(sets)
}

/// The host names that stand for all addresses of a name, with the cluster that each is of, each once; none if there
/// is anything else.
fn hosts(wanted: &WantedName) -> Option<BTreeSet<(String, OwnerName)>> {
    if let Some(cname) = wanted.rrset(RecordType::CNAME) {
        let target = rdata_target(RecordType::CNAME, cname.data().first()?)?;
        return Some([(String::new(), target)].into());
    }
    if wanted.targets.is_empty() || !wanted.rrsets.iter().any(|rrset| is_address(rrset.record_type)) {
        return None;
    }
    // An address that is of no target would be lost.
    let known: BTreeSet<IpAddr> = wanted.targets.iter().flat_map(|one| one.addresses.iter().copied()).collect();
    let rrsets = wanted.rrsets.iter().filter(|rrset| is_address(rrset.record_type));
    if !rrsets.flat_map(Rrset::data).all(|data| address(data).is_some_and(|address| known.contains(&address))) {
        return None;
    }
    let host = |target: &Target| match target {
        Target::HostName(host) => OwnerName::parse(host).ok(),
        Target::Address(_) => None,
    };
    wanted.targets.iter().map(|one| Some((one.cluster.to_string(), host(&one.target)?))).collect()
}

fn alias(settings: &Settings, host: &OwnerName, zone: &str) -> RecordSet {
    let evaluate = settings.evaluate_target_health && has_health(host);
    let properties = [(TARGET_ZONE, zone.to_owned()), (EVALUATE, evaluate.to_string())];
    RecordSet {
        record_type: RecordType::A,
        identifier: None,
        ttl: None,
        content: Content::Alias(host.clone()),
        properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

fn both_families(set: &RecordSet) -> Vec<RecordSet> {
    [RecordType::A, RecordType::AAAA].map(|record_type| RecordSet { record_type, ..set.clone() }).into()
}

/// The cluster's name; with the host name behind it where the cluster has several.
fn identifier(cluster: &str, host: &OwnerName, alone: bool) -> String {
    let text = if alone { cluster.to_owned() } else { format!("{cluster}/{host}") };
    if text.len() <= MAX_IDENTIFIER {
        return text;
    }
    // Load balancers differ in their first label, so what is cut off is what they share.
    let end = (0..=MAX_IDENTIFIER).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    text[..end].to_owned()
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from)).ok()
}

fn is_address(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::A | RecordType::AAAA)
}

fn refused<T>(words: String) -> Result<T, Unpublishable> {
    Err(Unpublishable(words))
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
