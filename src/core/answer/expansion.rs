//! The records of a zone as others get them: level names that climb are CNAMEs here.
//!
//! ```text
//!   node with RRsets ──────────────────────────────► its records
//!   node with climb ──► P.R, P.Z.R for every level ─► a CNAME each, unless the name has an entry of its own,
//!                                                     lies below a delegation or a DNAME, or is too long
//! ```
//!
//! Three ways to the same content (a test says so): [`AuthoritativeZone::expanded`] sorts it, for files;
//! [`AuthoritativeZone::walk`] passes it record by record and can stop anywhere, for transfers; `shown_at` tells it
//! for one name, for differences.

use crate::dns::{MAX_NAME, OwnerName, RecordType, Rrset, Ttl};

use super::{
    node::{CUT, DNAME, Node, RRSETS, WITHHELD, encode_record},
    query_name::descendant_hash,
    table::Shard,
    zone::AuthoritativeZone,
};

/// Octets of the pointer in front of a record.
const POINTER: usize = 2;

/// One record on a walk. Its owner is `labels` in front of the apex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneRecord<'a> {
    /// Wire labels of the owner below the apex, lower case, without the root label; empty at the apex.
    pub labels: &'a [u8],
    /// Type, class, TTL, RDLENGTH and RDATA (names uncompressed), as they are sent.
    pub octets: &'a [u8],
}

/// Where a walk over a zone stands. It fits the one zone at the one generation that it was used with.
#[derive(Debug, Clone, Default)]
pub struct ZoneCursor {
    group: usize,
    shard: usize,
    slot: usize,
    /// Records of the node that were taken.
    taken: usize,
    /// Level names of the node, once its records are done: key length (1), key, record length (2), record.
    levels: Option<Vec<u8>>,
    /// Octets of them that were taken.
    level_at: usize,
}

/// What one name shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    Nothing,
    /// The RRsets of this node.
    Records(Node<'a>),
    /// A CNAME to the level above, with that one's key.
    Climb(Ttl, &'a [u8], Option<&'a [u8]>),
}

impl ZoneRecord<'_> {
    /// The record's type.
    #[inline]
    pub fn record_type(&self) -> RecordType {
        RecordType(u16::from_be_bytes([self.octets[0], self.octets[1]]))
    }
}

impl AuthoritativeZone {
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
                self.for_each_level(node.key(), |key, above| {
                    if let (Some(owner), Some(target)) = (self.owner(key), self.owner(above)) {
                        names.push((owner, vec![Rrset::new(RecordType::CNAME, ttl, vec![target.as_wire().into()])]));
                    }
                });
            }
        }
        names.sort_by_cached_key(|(owner, _)| sort_key(owner));
        names
    }

    /// What one name holds as others get it: its RRsets, or the CNAME of an empty level; nothing where
    /// [`AuthoritativeZone::expanded`] does not have it. The SOA is not among them.
    pub fn rrsets_at(&self, owner: &OwnerName) -> Vec<Rrset> {
        let Some(key) = owner.strip_suffix(self.apex()) else { return Vec::new() };
        self.shown_at(key).to_rrsets(self)
    }

    /// Every name that could be a level of `global`, whatever it holds.
    pub fn levels_below(&self, global: &OwnerName) -> Vec<OwnerName> {
        let mut names = Vec::new();
        if let Some(key) = global.strip_suffix(self.apex()) {
            self.levels_of(key, |key| names.extend(self.owner(key)));
        }
        names
    }

    /// Calls `take` with one record after the other, in no particular order but each RRset in one piece; the SOA is
    /// not among them. Where `take` says false, the walk stops and begins with that record the next time. True when
    /// all were taken. The content is that of [`AuthoritativeZone::expanded`].
    pub fn walk(&self, cursor: &mut ZoneCursor, mut take: impl FnMut(ZoneRecord<'_>) -> bool) -> bool {
        while let Some(group) = self.table.groups.get(cursor.group) {
            while let Some(shard) = group.get(cursor.shard) {
                while cursor.slot < shard.slots() {
                    if shard.slot_node(cursor.slot).is_some_and(|node| !self.walk_node(node, cursor, &mut take)) {
                        return false;
                    }
                    cursor.slot += 1;
                    cursor.taken = 0;
                    cursor.levels = None;
                }
                cursor.shard += 1;
                cursor.slot = 0;
            }
            cursor.group += 1;
            cursor.shard = 0;
        }
        true
    }

    /// About how many octets the records of the zone take when they are sent: the size of the table, plus what its
    /// empty levels would be. Costs as much as the zone has shards.
    pub fn weight(&self) -> usize {
        /// Octets of a level name's CNAME with a compressed owner: labels, a pointer, the fixed part, and the target.
        const LEVEL: usize = 64;
        let stored: usize = self.table.groups.iter().flat_map(|group| group.iter()).map(Shard::octets).sum();
        let climbing = self.node(&[]).map_or(0, |apex| apex.climbing() as usize);
        stored + climbing * self.levels.len() * LEVEL
    }

    /// True if some name has levels that are not stored.
    pub(super) fn has_empty_levels(&self) -> bool {
        !self.levels.is_empty() && self.node(&[]).is_some_and(|apex| apex.climbing() > 0)
    }

    /// What the name `key`.apex shows.
    pub(super) fn shown_at<'a>(&'a self, key: &'a [u8]) -> Shown<'a> {
        match self.node(key) {
            Some(node) if node.has(RRSETS) => return Shown::Records(node),
            Some(node) if node.has(WITHHELD) => return Shown::Nothing,
            _ if self.levels.is_empty() => return Shown::Nothing,
            _ => {}
        }
        match self.climb_at(key) {
            Shown::Climb(..) if self.is_occluded(key) => Shown::Nothing,
            shown => shown,
        }
    }

    /// Every name that shows something, once.
    pub(super) fn for_each_shown(&self, mut visit: impl FnMut(&[u8], Shown<'_>)) {
        for node in self.table.nodes() {
            if node.has(RRSETS) {
                visit(node.key(), Shown::Records(node));
            }
            if let Some(ttl) = node.climb() {
                self.for_each_level(node.key(), |key, above| visit(key, Shown::Climb(ttl, above, None)));
            }
        }
    }

    /// The level names that climb to `global`, each with the key of the level above.
    pub(super) fn for_each_level(&self, global: &[u8], mut visit: impl FnMut(&[u8], &[u8])) {
        let room = MAX_NAME - self.apex().as_wire().len();
        let mut visit = |key: &[u8], above: &[u8]| {
            if key.len() <= room
                && !self.node(key).is_some_and(|node| node.has(RRSETS | WITHHELD))
                && !self.is_occluded(key)
            {
                visit(key, above);
            }
        };
        for (region, availability_zones) in self.levels.wire() {
            let region_key = [global, region].concat();
            visit(&region_key, global);
            for availability_zone in availability_zones {
                let below = [global, availability_zone].concat();
                // `a.zone.region` may also be the region level of the global name `a.zone`, which comes first.
                if self.node(&below).is_none_or(|node| node.climb().is_none()) {
                    visit(&[&below[..], region].concat(), &region_key);
                }
            }
        }
    }

    /// Every name that could be a level of `global`, whatever it shows.
    pub(super) fn levels_of(&self, global: &[u8], mut visit: impl FnMut(&[u8])) {
        for (region, availability_zones) in self.levels.wire() {
            visit(&[global, region].concat());
            for availability_zone in availability_zones {
                visit(&[global, availability_zone, region].concat());
            }
        }
    }

    /// The CNAME of `key` if its last labels are those of a level and the rest is a name that climbs.
    fn climb_at<'a>(&'a self, key: &'a [u8]) -> Shown<'a> {
        let (before, region) = split_last(key);
        let is_level = |labels: &[u8]| self.levels.contains(descendant_hash(self.apex_hash(), labels), labels);
        if region.is_empty() || key.len() + self.apex().as_wire().len() > MAX_NAME || !is_level(region) {
            return Shown::Nothing;
        }
        if let Some(ttl) = self.node(before).and_then(Node::climb) {
            return Shown::Climb(ttl, before, None);
        }
        let (global, availability_zone) = split_last(before);
        if availability_zone.is_empty() || !is_level(&key[global.len()..]) {
            return Shown::Nothing;
        }
        let ttl = self.node(global).and_then(Node::climb);
        ttl.map_or(Shown::Nothing, |ttl| Shown::Climb(ttl, global, Some(region)))
    }

    fn walk_node(
        &self,
        node: Node<'_>,
        cursor: &mut ZoneCursor,
        take: &mut impl FnMut(ZoneRecord<'_>) -> bool,
    ) -> bool {
        if cursor.levels.is_none() {
            let labels = node.key();
            let mut number = 0;
            for rrset in node.rrsets() {
                let mut start = 0;
                for (data_at, data) in rrset.data() {
                    let end = data_at + data.len();
                    number += 1;
                    if number > cursor.taken {
                        if !take(ZoneRecord { labels, octets: &rrset.octets()[start + POINTER..end] }) {
                            return false;
                        }
                        cursor.taken = number;
                    }
                    start = end;
                }
            }
            let Some(ttl) = node.climb() else { return true };
            cursor.levels = Some(self.encode_levels(labels, ttl));
            cursor.level_at = 0;
        }
        let Some(levels) = &cursor.levels else { return true };
        while let Some((&length, rest)) = levels[cursor.level_at..].split_first() {
            let (labels, rest) = rest.split_at(usize::from(length));
            let (length, rest) = rest.split_at(2);
            let octets = &rest[..usize::from(u16::from_be_bytes([length[0], length[1]]))];
            if !take(ZoneRecord { labels, octets }) {
                return false;
            }
            cursor.level_at += 1 + labels.len() + 2 + octets.len();
        }
        true
    }

    /// As [`ZoneCursor::levels`] has them.
    #[expect(clippy::cast_possible_truncation, reason = "names have at most 255 octets")]
    fn encode_levels(&self, global: &[u8], ttl: Ttl) -> Vec<u8> {
        let mut out = Vec::new();
        let apex = self.apex().as_wire();
        let (mut target, mut record) = (Vec::new(), Vec::new());
        self.for_each_level(global, |key, above| {
            target.clear();
            target.extend_from_slice(above);
            target.extend_from_slice(apex);
            record.clear();
            encode_record(&mut record, RecordType::CNAME, ttl, &target);
            out.push(key.len() as u8);
            out.extend_from_slice(key);
            out.extend_from_slice(&((record.len() - POINTER) as u16).to_be_bytes());
            out.extend_from_slice(&record[POINTER..]);
        });
        out
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

impl Shown<'_> {
    /// True if both are the same records.
    pub(super) fn is_same(&self, other: &Shown<'_>) -> bool {
        match (self, other) {
            (Shown::Nothing, Shown::Nothing) => true,
            (Shown::Records(a), Shown::Records(b)) if a.records() == b.records() => true,
            (Shown::Climb(ttl, a, region), Shown::Climb(other_ttl, b, other_region)) => {
                ttl == other_ttl && key_of(a, *region) == key_of(b, *other_region)
            }
            _ => false,
        }
    }

    /// As values; `zone` is the one that shows this.
    pub(super) fn to_rrsets(self, zone: &AuthoritativeZone) -> Vec<Rrset> {
        match self {
            Shown::Nothing => Vec::new(),
            Shown::Records(node) => node.rrsets().map(|rrset| rrset.to_rrset()).collect(),
            Shown::Climb(ttl, above, region) => zone
                .owner(&key_of(above, region))
                .map(|target| Rrset::new(RecordType::CNAME, ttl, vec![target.as_wire().into()]))
                .into_iter()
                .collect(),
        }
    }
}

fn key_of(above: &[u8], region: Option<&[u8]>) -> Vec<u8> {
    [above, region.unwrap_or_default()].concat()
}

/// What stands before the last of some wire labels, and that one; both empty if there is none.
fn split_last(key: &[u8]) -> (&[u8], &[u8]) {
    let (mut at, mut last) = (0, 0);
    while let Some(&length) = key.get(at) {
        last = at;
        at += 1 + usize::from(length);
    }
    key.split_at(last)
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
