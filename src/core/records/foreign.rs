//! RRsets that somebody else wants published: DNSEndpoints that are not ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    DEFAULT_TTL, Engine,
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
        // The same in every API group that they are written in.
        let plain = key.name.split_once('@').map_or(&*key.name, |(name, _)| name);
        let named = |prefix: &str| plain.strip_prefix(prefix).map(|name| NamespacedName::new(&key.namespace, name));
        let service = named("service-").and_then(|name| self.model.services.get(&name));
        let ingress = named("ingress-").and_then(|name| self.model.ingresses.get(&name));
        service.is_some_and(|facts| facts.record.is_some()) || ingress.is_some_and(|facts| facts.record.is_some())
    }

    /// Reads what a DNSEndpoint gives, with findings for what cannot be served.
    pub(super) fn foreign_names(&self, key: &NamespacedName, object: &Object) -> (ForeignNames, Vec<Finding>) {
        let (mut names, mut findings) = (ForeignNames::new(), Vec::new());
        let Fact::ForeignRrsets(rrsets) = &object.fact else { return (names, findings) };
        let about = ObjectKey::host(Kind::ForeignRrsets, &key.namespace, &key.name);
        let mut wrong = |index: usize, why: String| {
            let finding = Finding::new(FindingCode::ForeignRrset, why).about(&about);
            findings.push(finding.field(format!("spec.endpoints[{index}]")).at_origin(object.origin.as_ref()));
        };
        let mut aliases: BTreeMap<OwnerName, usize> = BTreeMap::new();
        for (index, written) in rrsets.iter().enumerate() {
            match foreign_rrset(written, |owner| self.zones.by_apex(owner).is_some()) {
                Ok((owner, rrset)) if rrset.record_type == RecordType::CNAME => {
                    let known = names.entry(owner.clone()).or_default();
                    let other = known.iter().find(|other| other.record_type == RecordType::CNAME);
                    match other.map(|other| other.data() == rrset.data()) {
                        Some(true) => {}
                        Some(false) => wrong(index, format!("{owner} is a CNAME of something else already")),
                        None => {
                            known.push(rrset);
                            aliases.insert(owner, index);
                        }
                    }
                }
                Ok((owner, rrset)) => add(names.entry(owner).or_default(), rrset),
                Err(why) => wrong(index, why),
            }
        }
        for (owner, rrsets) in &mut names {
            // A or AAAA beats CNAME at one name, and a CNAME stands alone.
            if let Some(index) = aliases.get(owner).filter(|_| rrsets.len() > 1) {
                rrsets.retain(|rrset| rrset.record_type != RecordType::CNAME);
                wrong(*index, format!("{owner} has other records, and a CNAME stands alone"));
            }
        }
        (names, findings)
    }
}

impl Engine {
    /// RRsets of others as they were observed, by object: what [`ObjectKey::foreign`] and DNSEndpoints say.
    pub fn foreign_objects(&self) -> impl Iterator<Item = (&NamespacedName, &[ForeignRrset])> {
        self.model.foreign.iter().filter_map(|(key, object)| match &object.fact {
            Fact::ForeignRrsets(rrsets) => Some((key, &rrsets[..])),
            _ => None,
        })
    }
}

/// Reads one RRset as somebody else wrote it, as external-dns does (its CRD and its webhook have the same form). A name
/// of which `is_apex` says so is that of a zone.
///
/// # Errors
///
/// It cannot be served, in words for a person.
pub fn foreign_rrset(
    written: &ForeignRrset,
    is_apex: impl Fn(&OwnerName) -> bool,
) -> Result<(OwnerName, Rrset), String> {
    let plain = written.owner.strip_suffix('.').unwrap_or(&written.owner);
    let owner = OwnerName::parse(plain).map_err(|error| format!("dnsName `{}`: {error}", written.owner))?;
    let record_type: RecordType = written.record_type.parse().map_err(|error| format!("recordType {error}"))?;
    // Not above 0 means unset.
    let ttl = match Ttl::try_from(written.ttl.max(0)) {
        Ok(0) => DEFAULT_TTL,
        Ok(ttl) if ttl <= i32::MAX.cast_unsigned() => ttl,
        _ => return Err(format!("recordTTL {} is above 2147483647", written.ttl)),
    };
    if let Some(why) = refused(record_type) {
        return Err(format!("recordType {record_type} cannot come from a DNSEndpoint: {why}"));
    }
    if record_type == RecordType::CNAME && is_apex(&owner) {
        return Err("CNAME cannot be set at the apex of a zone from a DNSEndpoint".to_owned());
    }
    if written.targets.is_empty() {
        return Err(format!("{owner} {record_type} has no targets"));
    }
    let data = written.targets.iter().map(|target| rdata(record_type, target)).collect::<Result<Vec<_>, _>>()?;
    let rrset = Rrset::new(record_type, ttl, data);
    if record_type == RecordType::CNAME && rrset.data().len() > 1 {
        return Err(format!("{owner} CNAME has several targets"));
    }
    Ok((owner, rrset))
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

/// All foreign names, who gives them, and what they come to together.
///
/// As in external-dns, DNSEndpoints are many hands at one table: RRsets of one name and type with one TTL are united,
/// whoever gives them, and types stand beside each other. Where that cannot be (two TTLs of one type, a CNAME and anything
/// else), the oldest DNSEndpoint has its way.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    objects: BTreeMap<NamespacedName, (ForeignNames, Vec<Finding>)>,
    by_name: NameMap<Vec<Rrset>>,
    givers: NameMap<BTreeSet<NamespacedName>>,
    /// RRsets that had to give way, of names that several give.
    losers: NameMap<Vec<Loser>>,
}

/// An RRset of a DNSEndpoint that gave way to an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loser {
    /// Whose it is.
    pub(super) giver: NamespacedName,
    /// What it is.
    pub(super) record_type: RecordType,
    /// Whom it gave way to.
    pub(super) holder: NamespacedName,
    /// How they cannot stand together.
    pub(super) why: &'static str,
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
            let mut sorted: Vec<&NamespacedName> = givers.iter().collect();
            sorted.sort_by_key(|key| (created(key).unwrap_or(i64::MAX), *key));
            let given =
                |key| self.objects.get(key).and_then(|(names, _)| names.get(name)).map(|rrsets| (key, &rrsets[..]));
            let (rrsets, losers) = unite(sorted.into_iter().filter_map(given));
            if rrsets.is_empty() {
                self.by_name.remove(name);
                self.givers.remove(name);
            } else {
                self.by_name.insert(name.clone(), rrsets);
            }
            if losers.is_empty() {
                self.losers.remove(name);
            } else {
                self.losers.insert(name.clone(), losers);
            }
        }
        names
    }

    pub(super) fn by_name(&self) -> &NameMap<Vec<Rrset>> {
        &self.by_name
    }

    /// The DNSEndpoints of which a name has something, as people are told; none where it has nothing.
    pub(super) fn owners(&self, name: &OwnerName) -> Option<String> {
        let has_any = |giver: &&NamespacedName| {
            let given = self.objects.get(giver).and_then(|(names, _)| names.get(name)).map_or(0, Vec::len);
            let losers = self.losers.get(name).into_iter().flatten();
            given > losers.filter(|loser| loser.giver == **giver).count()
        };
        let key = |giver: &NamespacedName| ObjectKey::host(Kind::ForeignRrsets, &giver.namespace, &giver.name);
        let owners = self.givers.get(name)?.iter().filter(has_any);
        Some(owners.map(|giver| key(giver).to_string()).collect::<Vec<_>>().join(", "))
    }

    /// Every name with the DNSEndpoints that give it, and what of theirs gave way, in no particular order.
    pub(super) fn givers(&self) -> impl Iterator<Item = (&OwnerName, &BTreeSet<NamespacedName>, &[Loser])> {
        self.givers.iter().map(|(name, givers)| (name, givers, self.losers.get(name).map_or(&[][..], Vec::as_slice)))
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.objects.values().flat_map(|(_, findings)| findings)
    }

    /// Keys of all DNSEndpoints that are taken in.
    pub(super) fn keys(&self) -> Vec<NamespacedName> {
        self.objects.keys().cloned().collect()
    }

    /// DNSEndpoints of the record of this name among those that are known, in whatever API group: they stop being
    /// foreign when the record is there.
    pub(super) fn of_record(
        model: &BTreeMap<NamespacedName, Arc<Object>>,
        kind: RecordKind,
        name: &NamespacedName,
    ) -> Vec<NamespacedName> {
        let prefix = match kind {
            RecordKind::Service => "service",
            RecordKind::Ingress => "ingress",
        };
        let plain = format!("{prefix}-{}", name.name);
        let marked = format!("{plain}@");
        let named = |text: &str| NamespacedName::new(&name.namespace, text);
        let in_groups = model.range(named(&marked)..).map(|(key, _)| key);
        let in_groups = in_groups.take_while(|key| key.namespace == name.namespace && key.name.starts_with(&marked));
        let first = model.get_key_value(&named(&plain)).map(|(key, _)| key);
        first.into_iter().chain(in_groups).cloned().collect()
    }
}

/// What DNSEndpoints give together, the oldest first, and what gave way.
fn unite<'a>(given: impl Iterator<Item = (&'a NamespacedName, &'a [Rrset])>) -> (Vec<Rrset>, Vec<Loser>) {
    let (mut united, mut losers): (Vec<Rrset>, Vec<Loser>) = Default::default();
    let mut holders: BTreeMap<RecordType, &NamespacedName> = BTreeMap::new();
    for (giver, rrsets) in given {
        for rrset in rrsets {
            let record_type = rrset.record_type;
            let is_alias = |record_type| record_type == RecordType::CNAME;
            let other = united.iter().find_map(|other| {
                let why = if is_alias(other.record_type) != is_alias(record_type) {
                    "a CNAME stands alone"
                } else if other.record_type != record_type {
                    return None;
                } else if other.ttl != rrset.ttl {
                    "records of one type have one TTL (RFC 2181 section 5.2)"
                } else if is_alias(record_type) && other.data() != rrset.data() {
                    "a name has one CNAME"
                } else {
                    return None;
                };
                Some((other.record_type, why))
            });
            if let Some((&holder, why)) = other.and_then(|(other, why)| Some((holders.get(&other)?, why))) {
                losers.push(Loser { giver: giver.clone(), record_type, holder: holder.clone(), why });
            } else {
                holders.entry(record_type).or_insert(giver);
                add(&mut united, rrset.clone());
            }
        }
    }
    (united, losers)
}
