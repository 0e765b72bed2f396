//! What makes a zone of records, and what is wrong with it.
//!
//! ```text
//!   Vec<Record> ──sort──► names in canonical order ──rules of one name──► RRsets ──rules between names──► ZoneContents
//!                                   │                                        │
//!                                   └────────────────► findings ◄────────────┘
//! ```
//!
//! A record that breaks a rule is left out, and the zone is served without it. Only two things make a zone
//! useless as a whole: no SOA, and signatures, which this server could not keep right.
//!
//! Rules: one SOA and an NS at the apex (RFC 1035 section 5.2), CNAME alone (RFC 1034 section 3.6.2), one DNAME
//! and nothing below it (RFC 6672 section 2.4), one TTL in an RRset (RFC 2181 section 5.2), no alias behind NS
//! and MX (RFC 2181 section 10.3) and SRV (RFC 2782), glue where it is needed and nothing else below a
//! delegation (RFC 1034 section 4.2.1).

mod between;

use std::collections::BTreeMap;

use crate::{
    answer::{Entry, Soa, ZonePatch},
    check::{Finding, FindingCode},
    dns::{OwnerName, RecordType, Rrset, Serial, display_rdata, master::Record},
};

/// Types that only a signed zone has: SIG, NXT, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM.
const SIGNED: [u16; 7] = [24, 30, 46, 47, 48, 50, 51];

/// A zone as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneContents {
    /// Name of the zone.
    pub apex: OwnerName,
    /// Its SOA, which is not among the RRsets of the apex.
    pub soa: Soa,
    /// What each name holds, in canonical order (RFC 4034 section 6.1). Data below delegations is in it.
    pub names: Vec<(OwnerName, Entry)>,
}

impl ZoneContents {
    /// The patch that makes this zone where none was.
    pub fn into_patch(self) -> ZonePatch {
        let names: BTreeMap<_, _> = self.names.into_iter().map(|(owner, entry)| (owner, Some(entry))).collect();
        ZonePatch { soa: Some(self.soa), levels: None, names }
    }
}

/// The apex that records tell: the owner of the first SOA.
pub fn apex_of(records: &[Record]) -> Option<&OwnerName> {
    records.iter().find(|record| record.record_type == RecordType::SOA).map(|record| &record.owner)
}

/// Makes the zone at `apex` of `records`, with the findings sorted by place. None where it has no SOA or is signed.
pub fn assemble(apex: &OwnerName, mut records: Vec<Record>) -> (Option<ZoneContents>, Vec<Finding>) {
    let mut findings = Vec::new();
    let file = records.first().map(|record| record.file.clone());
    let first_signed =
        records.iter().find(|record| SIGNED.contains(&record.record_type.0) && record.owner.is_at_or_below(apex));
    let signed = first_signed.map(|record| {
        let (record_type, owner) = (record.record_type, &record.owner);
        let message = format!("{record_type} at {owner}: the zone is signed, and signed zones are not served");
        found(FindingCode::ZoneSigned, record, message).help("give the zone as it was before it was signed")
    });
    keep_in_zone(apex, &mut records, &mut findings);
    sort(apex, &mut records);

    let mut rules = Rules { apex, left_out: vec![false; records.len()], soa: None, findings };
    let mut start = 0;
    for name in records.chunk_by(|a, b| a.owner == b.owner) {
        rules.check_name(name, start);
        start += name.len();
    }
    let Rules { left_out, soa, mut findings, .. } = rules;
    drop_marked(&mut records, &left_out);

    let placed = |finding: Finding| match &file {
        Some(file) => finding.at(file, 0, 0),
        None => finding,
    };
    if soa.is_none() {
        let example = format!("{} 3600 IN SOA ns1.{0} hostmaster.{0} 1 3600 600 604800 30", apex.fqdn());
        let finding = Finding::new(FindingCode::ZoneSoa, format!("the zone {apex} has no SOA"));
        findings.push(placed(finding).help(format!("write `{example}`")));
    }
    if soa.is_some() || !records.is_empty() {
        if !records.first().is_some_and(|record| record.owner == *apex && Name(&records).has(RecordType::NS)) {
            let finding = Finding::new(FindingCode::ZoneNs, format!("the zone {apex} has no NS at its apex"));
            findings.push(placed(finding).help(format!("write `{} 3600 IN NS ns1.{0}`", apex.fqdn())));
        }
        let below_dname = between::below_dname(&records, &mut findings);
        drop_marked(&mut records, &below_dname);
        between::check(apex, &records, &mut findings);
    }

    let refused = signed.is_some();
    findings.extend(signed);
    findings.sort();
    let soa = soa.filter(|_| !refused);
    (soa.map(|soa| ZoneContents { apex: apex.clone(), soa, names: finish(records) }), findings)
}

/// Records in canonical order that start with those of one name.
#[derive(Clone, Copy)]
struct Name<'a>(&'a [Record]);

impl<'a> Name<'a> {
    /// The records of the name at its front, by type.
    fn records(self) -> &'a [Record] {
        let end = self.0.iter().position(|record| record.owner != self.0[0].owner).unwrap_or(self.0.len());
        &self.0[..end]
    }

    fn has(self, record_type: RecordType) -> bool {
        self.records().iter().any(|record| record.record_type == record_type)
    }
}

/// Takes out what is not in the zone.
fn keep_in_zone(apex: &OwnerName, records: &mut Vec<Record>, findings: &mut Vec<Finding>) {
    records.retain(|record| {
        let inside = record.owner.is_at_or_below(apex);
        if !inside {
            let message = format!("{} is not in the zone {apex}", record.owner);
            let finding = found(FindingCode::ZoneOutOfZone, record, message);
            findings.push(finding.help(format!("end the name without a dot, or with `.{}`", apex.fqdn())));
        }
        inside
    });
}

/// Sorts by owner name in canonical order, then by type, then as the file has them.
///
/// A zone of millions of records is sorted by short keys, and each record is moved once.
fn sort(apex: &OwnerName, records: &mut [Record]) {
    let mut keys: Vec<(u128, usize)> = Vec::with_capacity(records.len());
    keys.extend(records.iter().enumerate().map(|(at, record)| (sort_key(apex, &record.owner), at)));
    keys.sort_unstable_by(|&(key, at), &(other_key, other_at)| {
        let (record, other) = (&records[at], &records[other_at]);
        let by_owner = key.cmp(&other_key).then_with(|| record.owner.cmp(&other.owner));
        by_owner.then_with(|| record.record_type.cmp(&other.record_type)).then(at.cmp(&other_at))
    });
    let mut goes_to = vec![0; records.len()];
    for (to, (_, from)) in keys.into_iter().enumerate() {
        goes_to[from] = to;
    }
    for at in 0..records.len() {
        while goes_to[at] != at {
            let to = goes_to[at];
            records.swap(at, to);
            goes_to.swap(at, to);
        }
    }
}

/// Takes out the records that are marked.
fn drop_marked(records: &mut Vec<Record>, marks: &[bool]) {
    let mut marks = marks.iter();
    records.retain(|_| !marks.next().is_some_and(|&mark| mark));
}

/// RRsets of records that break no rule.
fn finish(records: Vec<Record>) -> Vec<(OwnerName, Entry)> {
    let count = records.chunk_by(|a, b| a.owner == b.owner).count();
    let mut names: Vec<(OwnerName, Entry)> = Vec::with_capacity(count);
    let mut records = records.into_iter().peekable();
    while let Some(Record { owner, ttl, record_type, rdata, .. }) = records.next() {
        let mut data = vec![rdata];
        let more = |next: &Record| next.owner == owner && next.record_type == record_type;
        while let Some(next) = records.next_if(more) {
            data.push(next.rdata);
        }
        let rrset = Rrset::new(record_type, ttl, data);
        match names.last_mut() {
            Some((last, entry)) if *last == owner => entry.rrsets.push(rrset),
            _ => names.push((owner, Entry { rrsets: vec![rrset], climb: None })),
        }
    }
    names
}

/// The first octets of what sorts like the labels do in canonical order: last label first, each ended by 0,
/// with 0 and 1 inside a label made (1, 1) and (1, 2). Equal keys say nothing.
fn sort_key(apex: &OwnerName, owner: &OwnerName) -> u128 {
    let labels = owner.strip_suffix(apex).unwrap_or_default();
    let mut starts = [0u8; 128];
    let mut count = 0;
    let mut at = 0;
    while let Some(&length) = labels.get(at) {
        // A name has at most 255 octets, so at most 127 labels, and every place fits an octet.
        starts[count] = u8::try_from(at).unwrap_or(u8::MAX);
        count += 1;
        at += 1 + usize::from(length);
    }
    let mut key = [0u8; 16];
    let mut used = 0;
    let mut push = |octet: u8| {
        if let Some(place) = key.get_mut(used) {
            *place = octet;
        }
        used += 1;
        used < 16
    };
    'labels: for &start in starts[..count].iter().rev() {
        let start = usize::from(start);
        for &octet in &labels[start + 1..=start + usize::from(labels[start])] {
            let more = match octet {
                0 | 1 => push(1) && push(octet + 1),
                other => push(other),
            };
            if !more {
                break 'labels;
            }
        }
        if !push(0) {
            break;
        }
    }
    u128::from_be_bytes(key)
}

/// Rules that need one name only, and what they found.
struct Rules<'a> {
    apex: &'a OwnerName,
    /// Marks the records that are not served.
    left_out: Vec<bool>,
    soa: Option<Soa>,
    findings: Vec<Finding>,
}

impl Rules<'_> {
    /// Checks the records of one name, the first of which is number `start`.
    fn check_name(&mut self, name: &[Record], start: usize) {
        let mut at = start;
        for set in name.chunk_by(|a, b| a.record_type == b.record_type) {
            if set.len() > 1 {
                self.check_set(set, at);
            }
            at += set.len();
        }
        let is_apex = name[0].owner == *self.apex;
        for (record, at) in name.iter().zip(start..) {
            if self.left_out[at] {
                continue;
            }
            match record.record_type {
                RecordType::SOA => {
                    self.left_out[at] = true;
                    if is_apex {
                        self.soa = read_soa(record);
                    } else {
                        let message = format!("an SOA at {}, below the apex {}", record.owner, self.apex);
                        let finding = found(FindingCode::ZoneSoa, record, message);
                        self.findings.push(finding.help("keep each zone in a file of its own"));
                    }
                }
                RecordType::CNAME => {
                    let beside = |other: &&Record| other.record_type != RecordType::CNAME;
                    if let Some(other) = name.iter().find(beside) {
                        let (owner, other) = (&record.owner, other.record_type);
                        let message = format!("a CNAME at {owner} beside {other}; the CNAME is left out");
                        self.leave_out(
                            FindingCode::ZoneCname,
                            record,
                            at,
                            message,
                            "a CNAME must stand alone at its name",
                        );
                    }
                }
                RecordType::DNAME if !is_apex && Name(name).has(RecordType::NS) => {
                    let message = format!("a DNAME at {}, which is delegated; it is left out", record.owner);
                    let help = "put it into the delegated zone (RFC 6672 section 2.3)";
                    self.leave_out(FindingCode::ZoneDname, record, at, message, help);
                }
                _ => {}
            }
        }
    }

    /// Checks an RRset of several records: none twice, one TTL, and one record only where the type says so.
    fn check_set(&mut self, set: &[Record], start: usize) {
        const HELP: &str = "remove one of them";
        let first = &set[0];
        let record_type = first.record_type;
        let single = match record_type {
            RecordType::SOA => Some(FindingCode::ZoneSoa),
            RecordType::CNAME => Some(FindingCode::ZoneCname),
            RecordType::DNAME => Some(FindingCode::ZoneDname),
            _ => None,
        };
        let mut seen: BTreeMap<&[u8], u32> = BTreeMap::from([(&*first.rdata, first.line)]);
        for (record, at) in set.iter().zip(start..).skip(1) {
            let owner = &record.owner;
            if let Some(line) = seen.get(&*record.rdata) {
                let data = display_rdata(record_type, &record.rdata);
                let message = format!("{owner} {record_type} {data} stands in line {line} already");
                self.leave_out(FindingCode::ZoneDuplicate, record, at, message, HELP);
                continue;
            }
            seen.insert(&record.rdata, record.line);
            if let Some(code) = single {
                let message = format!("a second {record_type} at {owner}; the one in line {} counts", first.line);
                self.leave_out(code, record, at, message, HELP);
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

    fn leave_out(&mut self, code: FindingCode, record: &Record, at: usize, message: String, help: &str) {
        self.left_out[at] = true;
        self.findings.push(found(code, record, message).help(help));
    }
}

/// The fields of SOA data; none if the octets are none, which the reader does not let happen.
fn read_soa(record: &Record) -> Option<Soa> {
    let octets = &*record.rdata;
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

fn found(code: FindingCode, record: &Record, message: String) -> Finding {
    Finding::new(code, message).at(&record.file, record.line, record.column)
}

#[cfg(test)]
mod tests;
