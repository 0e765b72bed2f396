//! RRsets that somebody else wants published: DNSEndpoints that are not ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    DEFAULT_TTL,
    engine::Context,
    wire::{NameMap, address_rrsets},
};
use crate::{
    check::{Finding, FindingCode},
    dns::{OwnerName, RecordType, Rrset, Ttl, parse_rdata, parse_rdata_text},
    model::{Fact, ForeignRrset, Kind, NamespacedName, Object, ObjectKey, RecordKind},
};

/// What one DNSEndpoint of somebody else gives, by owner name.
pub(super) type ForeignNames = BTreeMap<OwnerName, Vec<Rrset>>;

impl Context<'_> {
    /// True if the DNSEndpoint is the output of one of our records, and so never input.
    pub(super) fn is_ours(&self, key: &NamespacedName) -> bool {
        let named = |prefix: &str| key.name.strip_prefix(prefix).map(|name| NamespacedName::new(&key.namespace, name));
        let service = named("service-").and_then(|name| self.model.services.get(&name));
        let ingress = named("ingress-").and_then(|name| self.model.ingresses.get(&name));
        service.is_some_and(|facts| facts.record.is_some()) || ingress.is_some_and(|facts| facts.record.is_some())
    }

    /// Reads what a DNSEndpoint gives, with findings for what cannot be served.
    pub(super) fn foreign_names(&self, key: &NamespacedName, object: &Object) -> (ForeignNames, Vec<Finding>) {
        let (mut names, mut findings) = (ForeignNames::new(), Vec::new());
        let Fact::ForeignRrsets(rrsets) = &object.fact else { return (names, findings) };
        for (index, written) in rrsets.iter().enumerate() {
            match self.foreign_rrset(written) {
                Ok((owner, rrset)) => add(names.entry(owner).or_default(), rrset),
                Err(why) => {
                    let finding = Finding::new(FindingCode::ForeignRrset, why)
                        .about(ObjectKey::host(Kind::ForeignRrsets, &key.namespace, &key.name))
                        .field(format!("spec.endpoints[{index}]"));
                    findings.push(finding.at_origin(object.origin.as_ref()));
                }
            }
        }
        for rrsets in names.values_mut() {
            // A or AAAA beats CNAME at one name, and a CNAME stands alone.
            if rrsets.len() > 1 {
                rrsets.retain(|rrset| rrset.record_type != RecordType::CNAME);
            }
        }
        (names, findings)
    }

    fn foreign_rrset(&self, written: &ForeignRrset) -> Result<(OwnerName, Rrset), String> {
        let plain = written.owner.strip_suffix('.').unwrap_or(&written.owner);
        let owner = OwnerName::parse(plain).map_err(|error| format!("dnsName `{}`: {error}", written.owner))?;
        let record_type: RecordType = written.record_type.parse().map_err(|error| format!("recordType {error}"))?;
        let ttl = match Ttl::try_from(written.ttl) {
            Ok(0) => DEFAULT_TTL,
            Ok(ttl) if ttl <= i32::MAX.cast_unsigned() => ttl,
            _ => return Err(format!("recordTTL {} is not between 0 and 2147483647", written.ttl)),
        };
        if let Some(why) = refused(record_type) {
            return Err(format!("recordType {record_type} cannot come from a DNSEndpoint: {why}"));
        }
        if record_type == RecordType::CNAME && self.zones.by_apex(&owner).is_some() {
            return Err("CNAME cannot be set at the apex of a zone from a DNSEndpoint".to_owned());
        }
        if written.targets.is_empty() {
            return Err(format!("{owner} {record_type} has no targets"));
        }
        let data = written.targets.iter().map(|target| rdata(record_type, target)).collect::<Result<Vec<_>, _>>()?;
        Ok((owner, Rrset::new(record_type, ttl, data)))
    }
}

/// Why RRsets of this type are not taken from others; none if they are. What stands at a name may not take away
/// the names below it, which are other people's.
fn refused(record_type: RecordType) -> Option<&'static str> {
    match record_type {
        RecordType::NS | RecordType::DS => Some("delegate with a Domain or in static records"),
        RecordType::DNAME => Some("it would take away all names below"),
        RecordType::SOA => Some("the zone has its own"),
        // SIG, KEY, NXT, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY, ZONEMD.
        RecordType(24 | 25 | 30 | 46..=48 | 50 | 51 | 59 | 60 | 63) => Some("the zone is not signed"),
        _ if record_type.is_meta() => Some("it is no type of data"),
        _ => None,
    }
}

/// Merges sets of one type; the first TTL stays.
pub(super) fn add(rrsets: &mut Vec<Rrset>, rrset: Rrset) {
    match rrsets.iter_mut().find(|other| other.record_type == rrset.record_type) {
        Some(other) => {
            let data = other.data().iter().chain(rrset.data()).cloned().collect();
            *other = Rrset::new(other.record_type, other.ttl, data);
        }
        None => rrsets.push(rrset),
    }
}

fn rdata(record_type: RecordType, target: &str) -> Result<Box<[u8]>, String> {
    if matches!(record_type, RecordType::A | RecordType::AAAA) {
        let address = target.parse().map_err(|_| format!("target `{target}` is no address"))?;
        let rrsets = address_rrsets([&address], 0);
        let fitting = rrsets.iter().find(|rrset| rrset.record_type == record_type);
        let fitting = fitting.ok_or_else(|| format!("target `{target}` is of the other address family"))?;
        return Ok(fitting.data()[0].clone());
    }
    // external-dns writes the whole text as one target, in quotes or without any.
    let data = if record_type == RecordType::TXT && !target.starts_with('"') {
        parse_rdata(record_type, &[target], &OwnerName::root())
    } else {
        parse_rdata_text(record_type, target, &OwnerName::root())
    };
    data.map_err(|error| format!("target `{target}`: {error}"))
}

/// All foreign names, who gives them, and the merged view in which the oldest DNSEndpoint has a name.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    objects: BTreeMap<NamespacedName, (ForeignNames, Vec<Finding>)>,
    by_name: NameMap<Vec<Rrset>>,
    givers: NameMap<BTreeSet<NamespacedName>>,
    /// The oldest giver of each name.
    owners: NameMap<NamespacedName>,
}

impl Foreign {
    /// Takes in what a DNSEndpoint gives now; returns the names that may have changed.
    pub(super) fn update(
        &mut self,
        key: &NamespacedName,
        now: Option<(ForeignNames, Vec<Finding>)>,
        created: impl Fn(&NamespacedName) -> Option<i64>,
    ) -> Vec<OwnerName> {
        let before = self.objects.remove(key);
        if let Some(now) = now {
            self.objects.insert(key.clone(), now);
        }
        let after = self.objects.get(key);
        let names = [before.as_ref(), after].into_iter().flatten().flat_map(|(names, _)| names.keys().cloned());
        let names: Vec<OwnerName> = names.collect();
        for name in &names {
            let givers = self.givers.entry(name.clone()).or_default();
            if after.is_some_and(|(names, _)| names.contains_key(name)) {
                givers.insert(key.clone());
            } else {
                givers.remove(key);
            }
            let first = givers.iter().min_by_key(|key| (created(key).unwrap_or(i64::MAX), (*key).clone()));
            let given = |key| self.objects.get(key).and_then(|(names, _)| names.get(name)).map(|rrsets| (key, rrsets));
            if let Some((key, rrsets)) = first.and_then(given) {
                self.by_name.insert(name.clone(), rrsets.clone());
                self.owners.insert(name.clone(), key.clone());
            } else {
                self.by_name.remove(name);
                self.owners.remove(name);
                self.givers.remove(name);
            }
        }
        names
    }

    pub(super) fn by_name(&self) -> &NameMap<Vec<Rrset>> {
        &self.by_name
    }

    /// The DNSEndpoint that gives a name; the oldest where there are several.
    pub(super) fn owner(&self, name: &OwnerName) -> Option<&NamespacedName> {
        self.owners.get(name)
    }

    /// Every name with the DNSEndpoints that give it, in no particular order.
    pub(super) fn givers(&self) -> impl Iterator<Item = (&OwnerName, &BTreeSet<NamespacedName>)> {
        self.givers.iter()
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.objects.values().flat_map(|(_, findings)| findings)
    }

    /// Keys of all DNSEndpoints that are taken in.
    pub(super) fn keys(&self) -> Vec<NamespacedName> {
        self.objects.keys().cloned().collect()
    }

    /// DNSEndpoints of the record of this name, which stop being foreign when the record is there.
    pub(super) fn of_record(kind: RecordKind, name: &NamespacedName) -> NamespacedName {
        let prefix = match kind {
            RecordKind::Service => "service",
            RecordKind::Ingress => "ingress",
        };
        NamespacedName { namespace: name.namespace.clone(), name: Arc::from(format!("{prefix}-{}", name.name)) }
    }
}
