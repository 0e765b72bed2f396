//! Rules between names: delegations, glue, DNAME subtrees, and what NS, MX and SRV point to.

use std::collections::BTreeSet;

use super::{Tree, found};
use crate::{
    check::{Finding, FindingCode},
    dns::{
        NameRef, OwnerName, RecordType,
        master::{Record, Records},
        rdata_target,
    },
};

/// Takes out the records below a DNAME: their names do not exist (RFC 6672 section 2.4).
pub(super) fn drop_below_dname(tree: &mut Tree, records: &Records, findings: &mut Vec<Finding>) {
    let mut marks = Vec::new();
    for node in tree.all() {
        let Some(above) = tree.dname_above(node) else { continue };
        let dname = tree.name(records, above);
        marks.resize(records.len(), false);
        for &number in tree.records(node) {
            let record = records.at(number as usize);
            let message = format!("{} {} below the DNAME at {dname}; it is left out", record.owner, record.record_type);
            findings.push(found(FindingCode::ZoneDname, record, message).help("remove it, or the DNAME"));
            marks[number as usize] = true;
        }
    }
    if !marks.is_empty() {
        tree.drop_marked(&marks);
        tree.note_cuts(records);
    }
}

/// Checks records that break none of the rules for one name.
pub(super) fn check(apex: &OwnerName, tree: &Tree, records: &Records, findings: &mut Vec<Finding>) {
    let zone = Zone { apex, records, tree };
    zone.check_targets(findings);
    zone.check_occluded(findings);
}

struct Zone<'r> {
    apex: &'r OwnerName,
    records: &'r Records,
    tree: &'r Tree,
}

/// What a name leads to.
enum Found {
    /// It exists and has data, or a wildcard stands in for it.
    Name(u32),
    /// It has no data here, by itself or by a wildcard.
    Nothing,
    /// A DNAME above it leads elsewhere.
    Elsewhere,
}

impl<'r> Zone<'r> {
    fn has(&self, node: u32, record_type: RecordType) -> bool {
        self.tree.records(node).iter().any(|&number| self.records.record_type(number as usize) == record_type)
    }

    /// The node of a name that has data.
    fn exact(&self, owner: NameRef<'_>) -> Option<u32> {
        self.tree.find(self.records, owner).filter(|&node| !self.tree.records(node).is_empty())
    }

    /// The nearest name at or above this one that exists; none outside the zone.
    fn encloser(&self, owner: NameRef<'_>) -> Option<u32> {
        std::iter::successors(Some(owner), |name| name.parent()).find_map(|name| self.tree.find(self.records, name))
    }

    /// Look-up as RFC 1034 section 4.3.2 and RFC 4592 have it.
    fn find(&self, owner: NameRef<'_>) -> Found {
        let Some(encloser) = self.encloser(owner) else { return Found::Nothing };
        let name = self.tree.name(self.records, encloser);
        if name == owner {
            return if self.tree.records(encloser).is_empty() { Found::Nothing } else { Found::Name(encloser) };
        }
        if self.tree.has_dname(encloser) || self.tree.dname_above(encloser).is_some() {
            return Found::Elsewhere;
        }
        let wildcard = OwnerName::from(name).child(b"*").ok();
        wildcard.and_then(|wildcard| self.exact(wildcard.view())).map_or(Found::Nothing, Found::Name)
    }

    /// The delegation that takes `owner` out of the zone's authority, its own name included.
    fn cut_of(&self, owner: NameRef<'_>) -> Option<u32> {
        if self.tree.has_cuts() { self.tree.cut_of(self.encloser(owner)?) } else { None }
    }

    fn all_records(&self) -> impl Iterator<Item = (u32, u32)> {
        self.tree.all().flat_map(|node| self.tree.records(node).iter().map(move |&number| (node, number)))
    }

    fn at(&self, number: u32) -> Record<'r> {
        self.records.at(number as usize)
    }

    fn check_targets(&self, findings: &mut Vec<Finding>) {
        for (node, number) in self.all_records() {
            let record_type = self.records.record_type(number as usize);
            if !matches!(record_type, RecordType::NS | RecordType::MX | RecordType::SRV) {
                continue;
            }
            let record = self.at(number);
            let Some(target) = rdata_target(record_type, record.rdata) else { continue };
            // MX and SRV with the root say that there is no service (RFC 7505, RFC 2782).
            if target.is_root() || !target.is_at_or_below(self.apex) {
                continue;
            }
            let delegates = match self.tree.cut_of(node) {
                None => false,
                Some(cut) if cut == node && record_type == RecordType::NS => true,
                // Below a cut only the delegation itself is ours.
                Some(_) => continue,
            };
            if let Some((code, what, help)) = self.judge(target.view(), delegates) {
                let message = format!("{} {} points to {target}, {what}", record.owner, record.record_type);
                findings.push(found(code, record, message).help(help));
            }
        }
    }

    /// What is wrong with a target in the zone.
    fn judge(&self, target: NameRef<'_>, delegates: bool) -> Option<(FindingCode, &'static str, &'static str)> {
        let glue = (FindingCode::ZoneGlue, "which has no address in the zone", "add an A or AAAA record for it");
        let addressed = |node: u32| self.has(node, RecordType::A) || self.has(node, RecordType::AAAA);
        if self.cut_of(target).is_some() {
            // What lies below a delegation is for the zone there to say, but its name servers need glue here.
            let lacking = delegates && !self.exact(target).is_some_and(addressed);
            return lacking.then_some(glue);
        }
        let name = match self.find(target) {
            Found::Elsewhere => return None,
            Found::Name(name) if addressed(name) => return None,
            Found::Name(name) if self.has(name, RecordType::CNAME) => {
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
        if !self.tree.has_cuts() {
            return;
        }
        let records = || self.all_records().map(|(node, number)| (node, self.at(number)));
        let servers: BTreeSet<OwnerName> = records()
            .filter(|(_, record)| record.record_type == RecordType::NS)
            .filter_map(|(_, record)| rdata_target(record.record_type, record.rdata))
            .collect();
        for (node, record) in records() {
            let Some(cut) = self.tree.cut_of(node) else { continue };
            let kept = match record.record_type {
                RecordType::NS | RecordType::DS => node == cut,
                RecordType::A | RecordType::AAAA => servers.contains(&OwnerName::from(record.owner)),
                // NSEC and RRSIG would be ours too, but no signed zone comes this far.
                _ => false,
            };
            if !kept {
                let (owner, record_type, cut) = (record.owner, record.record_type, self.tree.name(self.records, cut));
                let message =
                    format!("{owner} {record_type} lies at or below the delegation of {cut} and is never answered");
                let help = "put it into the delegated zone; only addresses of its name servers stay here";
                findings.push(found(FindingCode::ZoneOccluded, record, message).help(help));
            }
        }
    }
}
