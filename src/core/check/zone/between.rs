//! Rules between names: delegations, glue, DNAME subtrees, and what NS, MX and SRV point to.

use std::collections::BTreeSet;

use super::{Name, found};
use crate::{
    check::{Finding, FindingCode},
    dns::{OwnerName, RecordType, master::Record, rdata_target},
};

/// Marks the records below a DNAME: their names do not exist (RFC 6672 section 2.4).
pub(super) fn below_dname(records: &[Record], findings: &mut Vec<Finding>) -> Vec<bool> {
    let mut above: Option<&OwnerName> = None;
    let mark = |record: &Record, dname: &OwnerName, findings: &mut Vec<Finding>| {
        let (owner, record_type) = (&record.owner, record.record_type);
        let message = format!("{owner} {record_type} below the DNAME at {dname}; it is left out");
        findings.push(found(FindingCode::ZoneDname, record, message).help("remove it, or the DNAME"));
        true
    };
    let mut marks = Vec::new();
    for (at, record) in records.iter().enumerate() {
        // In canonical order everything below a name follows it directly.
        if let Some(dname) = above.filter(|dname| record.owner.is_below(dname)) {
            marks.resize(at, false);
            marks.push(mark(record, dname, findings));
        } else if record.record_type == RecordType::DNAME {
            above = Some(&record.owner);
        }
    }
    marks
}

/// Checks records that break none of the rules for one name, in canonical order.
pub(super) fn check(apex: &OwnerName, records: &[Record], findings: &mut Vec<Finding>) {
    let zone = Zone { apex, records, cuts: cuts(apex, records) };
    zone.check_targets(findings);
    zone.check_occluded(findings);
}

/// Names with NS below the apex that lie below no other such name, in canonical order.
fn cuts<'a>(apex: &OwnerName, records: &'a [Record]) -> Vec<&'a OwnerName> {
    let mut cuts: Vec<&OwnerName> = Vec::new();
    for record in records.iter().filter(|record| record.record_type == RecordType::NS && record.owner != *apex) {
        if !cuts.last().is_some_and(|cut| record.owner.is_at_or_below(cut)) {
            cuts.push(&record.owner);
        }
    }
    cuts
}

struct Zone<'r> {
    apex: &'r OwnerName,
    records: &'r [Record],
    cuts: Vec<&'r OwnerName>,
}

/// What a name leads to.
enum Found<'r> {
    /// It exists, or a wildcard stands in for it.
    Name(Name<'r>),
    /// It has no data here, by itself or by a wildcard.
    Nothing,
    /// A DNAME above it leads elsewhere.
    Elsewhere,
}

impl<'r> Zone<'r> {
    /// The records from the first one on that is not before `owner`.
    fn from(&self, owner: &OwnerName) -> &'r [Record] {
        &self.records[self.records.partition_point(|record| record.owner < *owner)..]
    }

    fn exact(&self, owner: &OwnerName) -> Option<Name<'r>> {
        let rest = self.from(owner);
        rest.first().is_some_and(|record| record.owner == *owner).then_some(Name(rest))
    }

    /// True if the name has data, or something below it has (an empty non-terminal).
    fn exists(&self, owner: &OwnerName) -> bool {
        self.from(owner).first().is_some_and(|record| record.owner.is_at_or_below(owner))
    }

    /// Look-up as RFC 1034 section 4.3.2 and RFC 4592 have it.
    fn find(&self, owner: &OwnerName) -> Found<'r> {
        if let Some(name) = self.exact(owner) {
            return Found::Name(name);
        }
        if self.exists(owner) {
            return Found::Nothing;
        }
        let mut encloser = owner.parent();
        while let Some(name) = encloser.filter(|name| name.is_at_or_below(self.apex)) {
            if self.exact(&name).is_some_and(|name| name.has(RecordType::DNAME)) {
                return Found::Elsewhere;
            }
            if name == *self.apex || self.exists(&name) {
                let wildcard = name.child(b"*").ok();
                return wildcard.and_then(|wildcard| self.exact(&wildcard)).map_or(Found::Nothing, Found::Name);
            }
            encloser = name.parent();
        }
        Found::Nothing
    }

    /// The delegation that takes `owner` out of the zone's authority, its own name included.
    fn cut_of(&self, owner: &OwnerName) -> Option<&'r OwnerName> {
        let at = self.cuts.partition_point(|cut| *cut <= owner);
        let cut = *self.cuts.get(at.checked_sub(1)?)?;
        owner.is_at_or_below(cut).then_some(cut)
    }

    fn check_targets(&self, findings: &mut Vec<Finding>) {
        for record in self.records {
            if !matches!(record.record_type, RecordType::NS | RecordType::MX | RecordType::SRV) {
                continue;
            }
            let Some(target) = rdata_target(record.record_type, &record.rdata) else { continue };
            // MX and SRV with the root say that there is no service (RFC 7505, RFC 2782).
            if target.is_root() || !target.is_at_or_below(self.apex) {
                continue;
            }
            let delegates = match self.cut_of(&record.owner) {
                None => false,
                Some(cut) if *cut == record.owner && record.record_type == RecordType::NS => true,
                // Below a cut only the delegation itself is ours.
                Some(_) => continue,
            };
            if let Some((code, what, help)) = self.judge(&target, delegates) {
                let message = format!("{} {} points to {target}, {what}", record.owner, record.record_type);
                findings.push(found(code, record, message).help(help));
            }
        }
    }

    /// What is wrong with a target in the zone.
    fn judge(&self, target: &OwnerName, delegates: bool) -> Option<(FindingCode, &'static str, &'static str)> {
        let glue = (FindingCode::ZoneGlue, "which has no address in the zone", "add an A or AAAA record for it");
        let addressed = |name: Name<'_>| name.has(RecordType::A) || name.has(RecordType::AAAA);
        if self.cut_of(target).is_some() {
            // What lies below a delegation is for the zone there to say, but its name servers need glue here.
            let lacking = delegates && !self.exact(target).is_some_and(addressed);
            return lacking.then_some(glue);
        }
        let name = match self.find(target) {
            Found::Elsewhere => return None,
            Found::Name(name) if addressed(name) => return None,
            Found::Name(name) if name.has(RecordType::CNAME) => {
                let help = "point to the name that has the addresses (RFC 2181 section 10.3)";
                return Some((FindingCode::ZoneTarget, "which is an alias", help));
            }
            Found::Name(name) => Some(name),
            Found::Nothing => None,
        };
        Some(match name {
            _ if delegates => glue,
            Some(_) => (FindingCode::ZoneTarget, "which has no address", "add an A or AAAA record for it"),
            None => {
                (FindingCode::ZoneTarget, "which does not exist", "add an A or AAAA record for it, or correct the name")
            }
        })
    }

    fn check_occluded(&self, findings: &mut Vec<Finding>) {
        if self.cuts.is_empty() {
            return;
        }
        let servers: BTreeSet<OwnerName> = self
            .records
            .iter()
            .filter(|record| record.record_type == RecordType::NS)
            .filter_map(|record| rdata_target(record.record_type, &record.rdata))
            .collect();
        for record in self.records {
            let Some(cut) = self.cut_of(&record.owner) else { continue };
            let kept = match record.record_type {
                RecordType::NS | RecordType::DS => record.owner == *cut,
                RecordType::A | RecordType::AAAA => servers.contains(&record.owner),
                // NSEC and RRSIG would be ours too, but no signed zone comes this far.
                _ => false,
            };
            if !kept {
                let (owner, record_type) = (&record.owner, record.record_type);
                let message =
                    format!("{owner} {record_type} lies at or below the delegation of {cut} and is never answered");
                let help = "put it into the delegated zone; only addresses of its name servers stay here";
                findings.push(found(FindingCode::ZoneOccluded, record, message).help(help));
            }
        }
    }
}
