//! What changed from one generation of a zone to another, record by record, as incremental transfers say it (RFC
//! 1995).
//!
//! A name that a patch touches may show something else afterwards, and so may the levels of that name if it begins or
//! ceases to climb: these are compared, so that the cost follows the change. Only where the levels of the whole zone
//! change, or where a delegation or a DNAME hides level names or shows them again, both generations are compared in
//! full.

use std::collections::BTreeSet;

use crate::dns::{OwnerName, Rrset};

use super::{
    expansion::Shown,
    node::{CUT, DNAME, Node},
    patch::{Soa, ZonePatch},
    zone::AuthoritativeZone,
};

/// Type, class, TTL and RDLENGTH of a record.
const RECORD_HEAD: usize = 10;
/// Octets of an SOA but for its names.
const SOA: usize = RECORD_HEAD + 20;

/// The way from one serial of a zone to another. Records that both have are in neither list; a record with another
/// TTL is in both. Each list is sorted by owner name and type, and its RRsets hold only the records concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDifference {
    /// The zone.
    pub apex: OwnerName,
    /// SOA before.
    pub from: Soa,
    /// SOA after.
    pub to: Soa,
    /// Records that go, but for the SOA.
    pub removed: Vec<(OwnerName, Rrset)>,
    /// Records that come, but for the SOA.
    pub added: Vec<(OwnerName, Rrset)>,
}

impl ZoneDifference {
    /// The difference between any two generations of one zone. Costs as much as both have names.
    pub fn between(old: &AuthoritativeZone, new: &AuthoritativeZone) -> Self {
        let mut difference = Self::none(old, new);
        old.for_each_shown(|key, before| {
            let after = new.shown_at(key);
            if !before.is_same(&after) {
                difference.compare(old, new, key, before, after);
            }
        });
        new.for_each_shown(|key, after| {
            if matches!(old.shown_at(key), Shown::Nothing) {
                difference.compare(old, new, key, Shown::Nothing, after);
            }
        });
        difference.sort();
        difference
    }

    /// The same where `patch` alone leads from `old` to `new`. Costs as much as the change, as a rule.
    pub fn of_patch(old: &AuthoritativeZone, new: &AuthoritativeZone, patch: &ZonePatch) -> Self {
        if old.levels() != new.levels() && (old.has_empty_levels() || new.has_empty_levels()) {
            return Self::between(old, new);
        }
        let with_levels = old.has_empty_levels() || new.has_empty_levels();
        let mut touched: BTreeSet<Box<[u8]>> = BTreeSet::new();
        for name in patch.names.keys() {
            let Some(key) = name.strip_suffix(old.apex()) else { continue };
            touched.insert(key.into());
            let (before, after) = (old.node(key), new.node(key));
            let hiding = |node: Option<Node<'_>>| node.map_or(0, |node| node.flags() & (CUT | DNAME));
            if with_levels && hiding(before) != hiding(after) {
                return Self::between(old, new);
            }
            let climb = |node: Option<Node<'_>>| node.and_then(Node::climb);
            if climb(before) != climb(after) {
                for zone in [old, new] {
                    zone.levels_of(key, |level| _ = touched.insert(level.into()));
                }
            }
        }
        let mut difference = Self::none(old, new);
        for key in &touched {
            let (before, after) = (old.shown_at(key), new.shown_at(key));
            if !before.is_same(&after) {
                difference.compare(old, new, key, before, after);
            }
        }
        difference.sort();
        difference
    }

    /// True if no record but the SOA differs.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Octets that it takes when it is sent, at most: owners count in full.
    pub fn octets(&self) -> usize {
        let soa =
            |soa: &Soa| self.apex.as_wire().len() + SOA + soa.primary.as_wire().len() + soa.contact.as_wire().len();
        let records = self.removed.iter().chain(&self.added).map(|(owner, rrset)| {
            let head = owner.as_wire().len() + RECORD_HEAD;
            rrset.data().iter().map(|data| head + data.len()).sum::<usize>()
        });
        soa(&self.from) + soa(&self.to) + records.sum::<usize>()
    }

    fn none(old: &AuthoritativeZone, new: &AuthoritativeZone) -> Self {
        let (from, to) = (old.soa().clone(), new.soa().clone());
        Self { apex: new.apex().clone(), from, to, removed: Vec::new(), added: Vec::new() }
    }

    fn compare(
        &mut self,
        old: &AuthoritativeZone,
        new: &AuthoritativeZone,
        key: &[u8],
        before: Shown<'_>,
        after: Shown<'_>,
    ) {
        let Some(owner) = new.owner(key) else { return };
        let (before, after) = (before.to_rrsets(old), after.to_rrsets(new));
        let lacks = |these: &[Rrset], those: &[Rrset], out: &mut Vec<(OwnerName, Rrset)>| {
            for rrset in these {
                let same = |other: &&Rrset| other.record_type == rrset.record_type && other.ttl == rrset.ttl;
                let there = those.iter().find(same).map_or(&[][..], Rrset::data);
                let data: Vec<_> =
                    rrset.data().iter().filter(|data| there.binary_search(data).is_err()).cloned().collect();
                if !data.is_empty() {
                    out.push((owner.clone(), Rrset::new(rrset.record_type, rrset.ttl, data)));
                }
            }
        };
        lacks(&before, &after, &mut self.removed);
        lacks(&after, &before, &mut self.added);
    }

    fn sort(&mut self) {
        for list in [&mut self.removed, &mut self.added] {
            list.sort_by(|(a, first), (b, second)| (a, first.record_type).cmp(&(b, second.record_type)));
        }
    }
}
