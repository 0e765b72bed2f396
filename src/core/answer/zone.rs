//! A zone that answers with authority from its own names (RFC 1034 section 4.2.1).

use std::sync::Arc;

use crate::{
    check::zone::ZoneContents,
    dns::{OwnerName, RecordType, Rrset, Ttl},
};

use super::{
    levels::{LevelIndex, wire_label},
    load::load,
    node::{CUT, DNAME, EncodedRrset, Node, RRSETS, WITHHELD, encode_record},
    overlay::{CutDepths, Overlay, commit},
    patch::{Entry, Levels, Soa, ZonePatch},
    query_name::{descendant_hash, name_hash},
    snapshot::PatchError,
    table::Table,
};

/// All names of one zone at one generation. A clone shares everything; see [`Snapshot`](super::Snapshot) for how
/// a zone changes.
#[derive(Debug, Clone)]
pub struct AuthoritativeZone {
    apex: Arc<Apex>,
    pub(super) levels: Arc<LevelIndex>,
    pub(super) table: Table,
    pub(super) cuts: CutDepths,
}

/// What is said once per zone.
#[derive(Debug)]
struct Apex {
    name: OwnerName,
    hash: u64,
    soa: Soa,
    /// The SOA record as sent in answers to SOA questions, and in negative answers (RFC 2308 section 3).
    positive: Box<[u8]>,
    negative: Box<[u8]>,
}

impl AuthoritativeZone {
    /// The name of the zone.
    pub fn apex(&self) -> &OwnerName {
        &self.apex.name
    }

    /// The SOA, which is no part of any [`Entry`].
    pub fn soa(&self) -> &Soa {
        &self.apex.soa
    }

    /// Labels of the level names.
    pub fn levels(&self) -> &Levels {
        self.levels.levels()
    }

    /// The SOA record with its own TTL.
    #[inline]
    pub fn soa_record(&self) -> EncodedRrset<'_> {
        EncodedRrset::new(&self.apex.positive, 1)
    }

    /// The SOA record as negative answers carry it: its TTL is at most [`Soa::negative_ttl`] (RFC 2308 section 3).
    #[inline]
    pub fn negative_soa_record(&self) -> EncodedRrset<'_> {
        EncodedRrset::new(&self.apex.negative, 1)
    }

    /// The entry that `name` was given; none where it has none, which includes level names that just climb.
    pub fn entry(&self, name: &OwnerName) -> Option<Entry> {
        let key = name.strip_suffix(&self.apex.name)?;
        self.node(key).and_then(Node::entry)
    }

    /// Every name with an entry, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (OwnerName, Entry)> {
        self.table.nodes().filter_map(|node| Some((self.owner(node.key())?, node.entry()?)))
    }

    /// How many names have an entry or lie above one that has.
    pub fn node_count(&self) -> usize {
        self.table.nodes
    }

    /// Every name with its RRsets in canonical order (RFC 4034 section 6.1), as a transfer or a master file has
    /// them, but for the SOA. Empty levels are CNAMEs here; names without RRsets are left out, and so are level
    /// names of more than 255 octets and those below a delegation or a DNAME.
    pub fn expanded(&self) -> Vec<(OwnerName, Vec<Rrset>)> {
        let mut names = Vec::with_capacity(self.table.nodes);
        for node in self.table.nodes() {
            if let (true, Some(owner), Some(entry)) = (node.has(RRSETS), self.owner(node.key()), node.entry()) {
                names.push((owner, entry.rrsets));
            }
            if let Some(ttl) = node.climb() {
                self.expand_levels(node.key(), ttl, &mut names);
            }
        }
        names.sort_by_cached_key(|(owner, _)| sort_key(owner));
        names
    }

    /// The addresses that `key`.apex holds itself, for additional sections; A before AAAA. None for level names
    /// and wildcards. `hash` is that of the whole name.
    #[inline]
    pub(super) fn addresses_of(&self, hash: u64, key: &[u8]) -> [Option<EncodedRrset<'_>>; 2] {
        self.table
            .find::<false>(hash, key)
            .map_or([None, None], |node| [node.rrset(RecordType::A), node.rrset(RecordType::AAAA)])
    }

    /// Stands for the zone where a name would be too much, as in counters: a hash of its apex, the same as long as
    /// the process lives, and never 0.
    #[inline]
    pub fn tag(&self) -> u64 {
        self.apex.hash | 1
    }

    #[inline]
    pub(super) fn apex_hash(&self) -> u64 {
        self.apex.hash
    }

    /// A zone without names. (Checked by the caller: the lengths in the SOA.)
    pub(super) fn new(name: &OwnerName, soa: &Soa) -> Self {
        let hash = name_hash(name.as_wire());
        Self {
            apex: Arc::new(Apex::new(name, hash, soa)),
            levels: Arc::default(),
            table: Table::new(),
            cuts: CutDepths::default(),
        }
    }

    /// A zone without levels, made at once.
    pub(super) fn load(contents: &ZoneContents) -> Result<Self, PatchError> {
        let (table, cuts) = load(contents)?;
        Ok(Self { table, cuts, ..Self::new(&contents.apex, &contents.soa) })
    }

    /// Takes the changes, which were checked before. Parts that nobody else shares are changed in place.
    pub(super) fn change(&mut self, patch: &ZonePatch) {
        let hash = self.apex.hash;
        if let Some(soa) = &patch.soa {
            self.apex = Arc::new(Apex::new(&self.apex.name, hash, soa));
        }
        if let Some(levels) = &patch.levels {
            self.levels = Arc::new(LevelIndex::new(levels, hash));
        }
        let mut overlay = Overlay::new(&self.table, hash, patch.names.len());
        for (name, entry) in &patch.names {
            if let Some(key) = name.strip_suffix(&self.apex.name) {
                overlay.set(key, entry.as_ref(), &mut self.cuts);
            }
        }
        let drafts = overlay.into_drafts();
        commit(drafts, &mut self.table, hash);
    }

    fn node(&self, key: &[u8]) -> Option<Node<'_>> {
        self.table.find::<false>(descendant_hash(self.apex.hash, key), key)
    }

    /// The owner name of a key; always a name, since it was made from one.
    fn owner(&self, key: &[u8]) -> Option<OwnerName> {
        self.apex.name.prepend_wire(key).ok()
    }

    fn expand_levels(&self, global: &[u8], ttl: Ttl, names: &mut Vec<(OwnerName, Vec<Rrset>)>) {
        let mut push = |key: &[u8], above: &[u8]| {
            let (Some(owner), Some(target)) = (self.owner(key), self.owner(above)) else { return };
            if !self.node(key).is_some_and(|node| node.has(RRSETS | WITHHELD)) && !self.is_occluded(key) {
                names.push((owner, vec![Rrset::new(RecordType::CNAME, ttl, vec![target.as_wire().into()])]));
            }
        };
        for (region, availability_zones) in &self.levels.levels().regions {
            let region = wire_label(region);
            let region_key = [global, &region].concat();
            push(&region_key, global);
            for availability_zone in availability_zones {
                let below = [global, &wire_label(availability_zone)].concat();
                // `a.zone.region` may also be the region level of the global name `a.zone`, which comes first.
                if self.node(&below).is_none_or(|node| node.climb().is_none()) {
                    push(&[&below[..], &region].concat(), &region_key);
                }
            }
        }
    }

    /// True at or below a delegation, and below a DNAME.
    fn is_occluded(&self, key: &[u8]) -> bool {
        let mut rest = key;
        while self.cuts.mask() != 0 {
            let hiding = if rest.len() == key.len() { CUT } else { CUT | DNAME };
            if self.node(rest).is_some_and(|node| node.has(hiding)) {
                return true;
            }
            let Some(&length) = rest.first() else { break };
            rest = &rest[1 + usize::from(length)..];
        }
        false
    }
}

impl Apex {
    fn new(name: &OwnerName, hash: u64, soa: &Soa) -> Self {
        let mut data = [soa.primary.as_wire(), soa.contact.as_wire()].concat();
        for number in [soa.serial.0, soa.refresh, soa.retry, soa.expire, soa.negative_ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        let record = |ttl| {
            let mut octets = Vec::new();
            encode_record(&mut octets, RecordType::SOA, ttl, &data);
            octets.into_boxed_slice()
        };
        let (positive, negative) = (record(soa.ttl), record(soa.ttl.min(soa.negative_ttl)));
        Self { name: name.clone(), hash, soa: soa.clone(), positive, negative }
    }
}

/// Octets that compare as the names do in canonical order: labels from the right, each ended by a 0; octets 0 and
/// 1 within a label are written as 1 and another.
fn sort_key(name: &OwnerName) -> Box<[u8]> {
    let labels: Vec<&[u8]> = name.labels().collect();
    let mut key = Vec::with_capacity(name.as_wire().len());
    for label in labels.into_iter().rev() {
        for &octet in label {
            match octet {
                0 | 1 => key.extend([1, octet]),
                _ => key.push(octet),
            }
        }
        key.push(0);
    }
    key.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_compare_as_names_do() {
        let texts = [
            "example",
            "a.example",
            r"\000.a.example",
            r"\001.a.example",
            r"\002.a.example",
            "b.example",
            "ab.example",
            r"a\000.example",
            r"a\001.example",
            r"\001\000.example",
            r"*.example",
            ".",
        ];
        let mut by_key: Vec<OwnerName> = texts.iter().map(|text| OwnerName::parse(text).expect("a name")).collect();
        let mut by_order = by_key.clone();
        by_key.sort_by_cached_key(sort_key);
        by_order.sort();
        assert_eq!(by_key, by_order);
    }
}
