//! What makes a zone of records, and what is wrong with it.
//!
//! ```text
//!   Records ──► names with their records ──rules of one name──► RRsets ──rules between names──► ZoneContents
//!                                                │                        │
//!                                                └───────► findings ◄─────┘
//! ```
//!
//! A record that breaks a rule is left out, and the zone is served without it. Only two things make a zone
//! useless as a whole: no SOA, and signatures, which this server could not keep right.
//!
//! Rules: one SOA and an NS at the apex (RFC 1035 section 5.2), CNAME alone (RFC 1034 section 3.6.2), one DNAME
//! and nothing below it (RFC 6672 section 2.4), one TTL in an RRset (RFC 2181 section 5.2), no alias behind NS
//! and MX (RFC 2181 section 10.3) and SRV (RFC 2782), glue where it is needed and nothing else below a
//! delegation (RFC 1034 section 4.2.1), no RRset that fits into no message (RFC 1035 section 4.2.2).

mod between;
mod tree;

use std::collections::BTreeMap;

use crate::{
    answer::{Entry, MAX_RRSET, Soa, ZonePatch, encoded_record_length},
    check::{Finding, FindingCode},
    dns::{
        OwnerName, RecordType, Rrset, Serial, display_rdata,
        master::{Record, Records},
    },
};

pub(crate) use tree::{APEX, Tree};

/// Types that only a signed zone has: SIG, NXT, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM.
const SIGNED: [u16; 7] = [24, 30, 46, 47, 48, 50, 51];

/// A zone as it is served.
#[derive(Debug, Clone)]
pub struct ZoneContents {
    /// Name of the zone.
    pub apex: OwnerName,
    /// Its SOA, which is not among the RRsets of the apex.
    pub soa: Soa,
    records: Records,
    tree: Tree,
}

impl ZoneContents {
    /// What each name holds, in canonical order (RFC 4034 section 6.1). Data below delegations is in it.
    pub fn names(&self) -> impl Iterator<Item = (OwnerName, Entry)> + use<'_> {
        let Self { records, tree, .. } = self;
        let mut nodes: Vec<u32> = tree.all().filter(|&node| !tree.records(node).is_empty()).collect();
        nodes.sort_unstable_by(|&a, &b| tree.name(records, a).cmp(&tree.name(records, b)));
        nodes.into_iter().map(|node| (tree.name(records, node).into(), self.entry(node)))
    }

    /// The patch that makes this zone where none was.
    pub fn into_patch(self) -> ZonePatch {
        let names: BTreeMap<_, _> = self.names().map(|(owner, entry)| (owner, Some(entry))).collect();
        ZonePatch { soa: Some(self.soa), levels: None, names }
    }

    /// The names, for a zone that is made of them at once.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The records that names have by number.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    fn entry(&self, node: u32) -> Entry {
        let record = |&number: &u32| self.records.at(number as usize);
        let same_type = |a: &u32, b: &u32| record(a).record_type == record(b).record_type;
        let rrsets = self.tree.records(node).chunk_by(same_type).map(|set| {
            let first = record(&set[0]);
            Rrset::new(first.record_type, first.ttl, set.iter().map(|number| record(number).rdata.into()).collect())
        });
        Entry { rrsets: rrsets.collect(), climb: None }
    }
}

/// The apex that records tell: the owner of the first SOA.
pub fn apex_of(records: &Records) -> Option<OwnerName> {
    let mut numbers = 0..records.len();
    let soa = numbers.find(|&number| records.record_type(number) == RecordType::SOA)?;
    Some(records.at(soa).owner.into())
}

/// Makes the zone at `apex` of `records`, with the findings sorted by place. None where it has no SOA or is signed.
pub fn assemble(apex: &OwnerName, records: Records) -> (Option<ZoneContents>, Vec<Finding>) {
    let mut findings = Vec::new();
    let signed = find_signed(apex, &records);
    let outside = find_outside(apex, &records, &mut findings);
    let mut tree = Tree::new(apex, &records, |number| !outside.get(number).is_some_and(|&outside| outside));

    let mut rules = Rules { apex, records: &records, left_out: vec![false; records.len()], soa: None, findings };
    for node in tree.all() {
        let own = tree.records_mut(node);
        own.sort_unstable_by_key(|&number| (records.record_type(number as usize), number));
        if !own.is_empty() {
            rules.check_name(own, node == APEX);
        }
    }
    let Rules { left_out, soa, mut findings, .. } = rules;
    tree.drop_marked(&left_out);
    tree.note_cuts(&records);

    let placed = |finding: Finding| match records.iter().next() {
        Some(first) => finding.at(first.file, 0, 0),
        None => finding,
    };
    if soa.is_none() {
        let example = format!("{} 3600 IN SOA ns1.{0} hostmaster.{0} 1 3600 600 604800 30", apex.fqdn());
        let finding = Finding::new(FindingCode::ZoneSoa, format!("the zone {apex} has no SOA"));
        findings.push(placed(finding).help(format!("write `{example}`")));
    }
    if soa.is_some() || tree.all().any(|node| !tree.records(node).is_empty()) {
        let is_ns = |&number: &u32| records.record_type(number as usize) == RecordType::NS;
        if !tree.records(APEX).iter().any(is_ns) {
            let finding = Finding::new(FindingCode::ZoneNs, format!("the zone {apex} has no NS at its apex"));
            findings.push(placed(finding).help(format!("write `{} 3600 IN NS ns1.{0}`", apex.fqdn())));
        }
        between::drop_below_dname(&mut tree, &records, &mut findings);
        between::check(apex, &tree, &records, &mut findings);
    }

    let refused = signed.is_some();
    findings.extend(signed);
    findings.sort();
    let soa = soa.filter(|_| !refused);
    (soa.map(|soa| ZoneContents { apex: apex.clone(), soa, records, tree }), findings)
}

/// Says so if the zone is signed.
fn find_signed(apex: &OwnerName, records: &Records) -> Option<Finding> {
    let mut signed = (0..records.len()).filter(|&number| SIGNED.contains(&records.record_type(number).0));
    let record = signed.find_map(|number| {
        let record = records.at(number);
        record.owner.is_at_or_below(apex.view()).then_some(record)
    })?;
    let (record_type, owner) = (record.record_type, record.owner);
    let message = format!("{record_type} at {owner}: the zone is signed, and signed zones are not served");
    Some(found(FindingCode::ZoneSigned, record, message).help("give the zone as it was before it was signed"))
}

/// Marks what is not in the zone; empty where all is.
fn find_outside(apex: &OwnerName, records: &Records, findings: &mut Vec<Finding>) -> Vec<bool> {
    let mut outside = Vec::new();
    let mut last: Option<(u32, bool)> = None;
    for number in 0..records.len() {
        let place = records.owner_place(number);
        let inside = match last {
            Some((at, inside)) if at == place => inside,
            _ => records.at(number).owner.is_at_or_below(apex.view()),
        };
        last = Some((place, inside));
        if !inside {
            outside.resize(number, false);
            outside.push(true);
            let record = records.at(number);
            let message = format!("{} is not in the zone {apex}", record.owner);
            let finding = found(FindingCode::ZoneOutOfZone, record, message);
            findings.push(finding.help(format!("end the name without a dot, or with `.{}`", apex.fqdn())));
        }
    }
    outside
}

/// Rules that need one name only, and what they found.
struct Rules<'a> {
    apex: &'a OwnerName,
    records: &'a Records,
    /// Marks the records that are not served.
    left_out: Vec<bool>,
    soa: Option<Soa>,
    findings: Vec<Finding>,
}

impl<'a> Rules<'a> {
    /// Checks the records of one name, sorted by type.
    fn check_name(&mut self, name: &[u32], is_apex: bool) {
        let records = self.records;
        let type_of = |number: u32| records.record_type(number as usize);
        for set in name.chunk_by(|&a, &b| type_of(a) == type_of(b)) {
            if set.len() > 1 {
                self.check_set(set);
            }
            self.check_size(set);
        }
        for &number in name {
            let record_type = type_of(number);
            if !matches!(record_type, RecordType::SOA | RecordType::CNAME | RecordType::DNAME)
                || self.left_out[number as usize]
            {
                continue;
            }
            let record = records.at(number as usize);
            match record_type {
                RecordType::SOA => {
                    self.left_out[number as usize] = true;
                    if is_apex {
                        self.soa = read_soa(record);
                    } else {
                        let message = format!("an SOA at {}, below the apex {}", record.owner, self.apex);
                        let finding = found(FindingCode::ZoneSoa, record, message);
                        self.findings.push(finding.help("keep each zone in a file of its own"));
                    }
                }
                RecordType::CNAME => {
                    if let Some(other) = name.iter().map(|&other| type_of(other)).find(|&other| other != record_type) {
                        let owner = record.owner;
                        let message = format!("a CNAME at {owner} beside {other}; the CNAME is left out");
                        let help = "a CNAME must stand alone at its name";
                        self.leave_out(FindingCode::ZoneCname, number, record, message, help);
                    }
                }
                _ if !is_apex && name.iter().any(|&other| type_of(other) == RecordType::NS) => {
                    let message = format!("a DNAME at {}, which is delegated; it is left out", record.owner);
                    let help = "put it into the delegated zone (RFC 6672 section 2.3)";
                    self.leave_out(FindingCode::ZoneDname, number, record, message, help);
                }
                _ => {}
            }
        }
    }

    /// Checks an RRset of several records: none twice, one TTL, and one record only where the type says so.
    fn check_set(&mut self, set: &[u32]) {
        const HELP: &str = "remove one of them";
        /// Up to so many records are compared with each other; more are looked up.
        const FEW: usize = 8;
        let records = self.records;
        let first = records.at(set[0] as usize);
        let record_type = first.record_type;
        let single = match record_type {
            RecordType::SOA => Some(FindingCode::ZoneSoa),
            RecordType::CNAME => Some(FindingCode::ZoneCname),
            RecordType::DNAME => Some(FindingCode::ZoneDname),
            _ => None,
        };
        let mut seen: BTreeMap<&[u8], u32> = BTreeMap::new();
        for (at, &number) in set.iter().enumerate() {
            let record = records.at(number as usize);
            let twin = if set.len() <= FEW {
                let mut before = set[..at].iter().map(|&number| records.at(number as usize));
                before.find(|before| before.rdata == record.rdata).map(|before| before.line)
            } else {
                let twin = seen.get(record.rdata).copied();
                seen.entry(record.rdata).or_insert(record.line);
                twin
            };
            let owner = record.owner;
            if let Some(line) = twin {
                let data = display_rdata(record_type, record.rdata);
                let message = format!("{owner} {record_type} {data} stands in line {line} already");
                self.leave_out(FindingCode::ZoneDuplicate, number, record, message, HELP);
            } else if at == 0 {
                // The one that the others are held against.
            } else if let Some(code) = single {
                let message = format!("a second {record_type} at {owner}; the one in line {} counts", first.line);
                self.leave_out(code, number, record, message, HELP);
            } else if record.ttl != first.ttl {
                let message = format!(
                    "the TTL of {owner} {record_type} is {} here and {} in line {}, which counts",
                    record.ttl, first.ttl, first.line
                );
                let finding = found(FindingCode::ZoneTtl, record, message);
                self.findings.push(finding.help("give all records of the set one TTL"));
            }
        }
    }

    /// Checks that an RRset fits into a message: what stands behind the last record that does is left out.
    fn check_size(&mut self, set: &[u32]) {
        let records = self.records;
        let mut octets = 0;
        let mut kept = set.iter().copied().filter(|&number| !self.left_out[number as usize]).skip_while(|&number| {
            octets += encoded_record_length(records.at(number as usize).rdata);
            octets <= MAX_RRSET
        });
        let Some(first) = kept.next() else { return };
        let beyond: Vec<u32> = std::iter::once(first).chain(kept).collect();
        let record = records.at(first as usize);
        let message = format!(
            "{} {} takes more than the {MAX_RRSET} octets that a message has room for; {} of its records are left out",
            record.owner,
            record.record_type,
            beyond.len()
        );
        self.leave_out(FindingCode::ZoneRdata, first, record, message, "remove records, or divide them among names");
        for number in beyond {
            self.left_out[number as usize] = true;
        }
    }

    fn leave_out(&mut self, code: FindingCode, number: u32, record: Record<'a>, message: String, help: &str) {
        self.left_out[number as usize] = true;
        self.findings.push(found(code, record, message).help(help));
    }
}

/// The fields of SOA data; none if the octets are none, which the reader does not let happen.
fn read_soa(record: Record<'_>) -> Option<Soa> {
    let octets = record.rdata;
    let name = |from: &[u8]| {
        let mut at = 0;
        while *from.get(at)? != 0 {
            at += 1 + usize::from(from[at]);
        }
        OwnerName::from_wire(&from[..=at]).ok()
    };
    let primary = name(octets)?;
    let rest = &octets[primary.as_wire().len()..];
    let contact = name(rest)?;
    let (numbers, rest) = rest[contact.as_wire().len()..].as_chunks::<4>();
    let numbers: Vec<u32> = numbers.iter().map(|&number| u32::from_be_bytes(number)).collect();
    let ([serial, refresh, retry, expire, negative_ttl], []) = (numbers.as_slice(), rest) else { return None };
    Some(Soa {
        primary,
        contact,
        serial: Serial(*serial),
        refresh: *refresh,
        retry: *retry,
        expire: *expire,
        negative_ttl: *negative_ttl,
        ttl: record.ttl,
    })
}

fn found(code: FindingCode, record: Record<'_>, message: String) -> Finding {
    Finding::new(code, message).at(record.file, record.line, record.column)
}

#[cfg(test)]
mod tests;
