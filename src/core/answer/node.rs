//! What a shard holds for one owner name, as octets, and RRsets encoded for the wire.
//!
//! ```text
//!   key length (1) | flags (1) | key: labels below the apex, lower case
//!   [COUNTS]  children (4) | climbing (4)
//!   [CLIMB]   TTL (4)
//!   [RRSETS]  number (2), then each: records (2) | octets (2) | the records as they are sent
//! ```
//!
//! Our own numbers are little-endian. The records carry a compression pointer to octet 12 (the question) as
//! their owner, so that a direct hit is sent with one copy; elsewhere the pointers are patched.

use crate::dns::{RecordType, Rrset, Ttl};

use super::patch::Entry;

/// Children or climbing names are counted; absent where both are zero.
pub(super) const COUNTS: u8 = 1;
/// The entry has `climb`.
pub(super) const CLIMB: u8 = 2;
/// The entry withholds the name.
pub(super) const WITHHELD: u8 = 4;
/// The node has NS and is not the apex.
pub(super) const CUT: u8 = 8;
/// The node has a DNAME.
pub(super) const DNAME: u8 = 16;
/// The entry has RRsets.
pub(super) const RRSETS: u8 = 32;

/// Owner, type, class, TTL and RDLENGTH in front of the RDATA.
const RECORD_HEAD: usize = 12;
/// Pointer to the question's name, which stands behind the 12 octets of the header (RFC 1035 section 4.1.4).
const QUESTION_POINTER: [u8; 2] = [0xc0, 0x0c];
/// Class IN.
const IN: [u8; 2] = [0, 1];

/// The records of one RRset as they are sent, each with a pointer to octet 12 as its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedRrset<'a> {
    octets: &'a [u8],
    records: u16,
}

impl<'a> EncodedRrset<'a> {
    /// All records: two octets of owner, then type, class, TTL, RDLENGTH and RDATA (names uncompressed).
    #[inline]
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// How many records there are; at least one.
    #[inline]
    pub fn records(&self) -> u16 {
        self.records
    }

    /// The type of all of them.
    #[inline]
    pub fn record_type(&self) -> RecordType {
        RecordType(u16::from_be_bytes([self.octets[2], self.octets[3]]))
    }

    /// The TTL of all of them.
    #[inline]
    pub fn ttl(&self) -> Ttl {
        u32::from_be_bytes([self.octets[6], self.octets[7], self.octets[8], self.octets[9]])
    }

    /// Where each record's RDATA stands in [`EncodedRrset::octets`], and the RDATA.
    pub fn data(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let octets = self.octets;
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = u16::from_be_bytes([*octets.get(at + 10)?, *octets.get(at + 11)?]);
            let start = at + RECORD_HEAD;
            at = start + usize::from(length);
            Some((start, &octets[start..at]))
        })
    }

    /// The set as a value.
    pub fn to_rrset(&self) -> Rrset {
        Rrset::new(self.record_type(), self.ttl(), self.data().map(|(_, data)| data.into()).collect())
    }

    pub(super) fn new(octets: &'a [u8], records: u16) -> Self {
        Self { octets, records }
    }
}

/// Octets that an RRset takes when it is sent with compressed owners.
pub(super) fn encoded_length(rrset: &Rrset) -> usize {
    rrset.data().iter().map(|data| encoded_record_length(data)).sum()
}

/// Octets that a record takes so.
pub(crate) fn encoded_record_length(data: &[u8]) -> usize {
    RECORD_HEAD + data.len()
}

/// Appends one record. The RDATA is at most 65,535 octets long, as [`PatchError`](super::PatchError) sees to.
#[expect(clippy::cast_possible_truncation, reason = "RDATA has at most 65,535 octets, which was checked")]
pub(super) fn encode_record(out: &mut Vec<u8>, record_type: RecordType, ttl: Ttl, data: &[u8]) {
    out.extend_from_slice(&QUESTION_POINTER);
    out.extend_from_slice(&record_type.0.to_be_bytes());
    out.extend_from_slice(&IN);
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}

/// One node, borrowed from its shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    /// From the node's first octet to the end of the shard.
    octets: &'a [u8],
}

impl<'a> Node<'a> {
    #[inline]
    pub(super) fn at(shard: &'a [u8], offset: u32) -> Self {
        Self { octets: &shard[offset as usize..] }
    }

    /// Labels below the apex, in wire format without the root label.
    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        &self.octets[2..2 + usize::from(self.octets[0])]
    }

    #[inline]
    pub(super) fn flags(self) -> u8 {
        self.octets[1]
    }

    #[inline]
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    /// Direct children that exist.
    #[inline]
    pub(super) fn children(self) -> u32 {
        if self.has(COUNTS) { self.number(self.counts_at()) } else { 0 }
    }

    /// Names with `climb`, this one and below.
    #[inline]
    pub(super) fn climbing(self) -> u32 {
        if self.has(COUNTS) { self.number(self.counts_at() + 4) } else { 0 }
    }

    /// TTL of the CNAMEs of this name's empty levels.
    #[inline]
    pub(super) fn climb(self) -> Option<Ttl> {
        self.has(CLIMB).then(|| self.number(self.body_at()))
    }

    /// Its RRsets, sorted by type.
    #[inline]
    pub(super) fn rrsets(self) -> Rrsets<'a> {
        if !self.has(RRSETS) {
            return Rrsets { octets: &[], left: 0 };
        }
        let at = self.body_at() + if self.has(CLIMB) { 4 } else { 0 };
        let left = u16::from_le_bytes([self.octets[at], self.octets[at + 1]]);
        Rrsets { octets: &self.octets[at + 2..], left }
    }

    /// The RRset of this type.
    #[inline]
    pub(super) fn rrset(self, record_type: RecordType) -> Option<EncodedRrset<'a>> {
        self.rrsets().find(|rrset| rrset.record_type() == record_type)
    }

    /// The entry that the node was made from; none for an empty non-terminal.
    pub(super) fn entry(self) -> Option<Entry> {
        self.has(RRSETS | CLIMB | WITHHELD)
            .then(|| Entry { rrsets: self.rrsets().map(|rrset| rrset.to_rrset()).collect(), climb: self.climb() })
    }

    /// What stands behind the counts: climb and RRsets.
    pub(super) fn body(self) -> &'a [u8] {
        let start = self.body_at();
        let end = if self.has(RRSETS) {
            let mut rrsets = self.rrsets();
            while rrsets.next().is_some() {}
            self.octets.len() - rrsets.octets.len()
        } else {
            start + if self.has(CLIMB) { 4 } else { 0 }
        };
        &self.octets[start..end]
    }

    /// Its RRsets as they are stored; equal if and only if the RRsets are.
    pub(super) fn records(self) -> &'a [u8] {
        let body = self.body();
        if self.has(RRSETS) { &body[if self.has(CLIMB) { 4 } else { 0 }..] } else { &[] }
    }

    /// The node's own octets.
    pub(super) fn whole(self) -> &'a [u8] {
        &self.octets[..self.body_at() + self.body().len()]
    }

    #[inline]
    fn counts_at(self) -> usize {
        2 + usize::from(self.octets[0])
    }

    #[inline]
    fn body_at(self) -> usize {
        self.counts_at() + if self.has(COUNTS) { 8 } else { 0 }
    }

    #[inline]
    fn number(self, at: usize) -> u32 {
        u32::from_le_bytes([self.octets[at], self.octets[at + 1], self.octets[at + 2], self.octets[at + 3]])
    }
}

/// Iterator of [`Node::rrsets`].
#[derive(Debug, Clone)]
pub(super) struct Rrsets<'a> {
    octets: &'a [u8],
    left: u16,
}

impl<'a> Iterator for Rrsets<'a> {
    type Item = EncodedRrset<'a>;

    #[inline]
    fn next(&mut self) -> Option<EncodedRrset<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, behind) = self.octets.split_at(4);
        let records = u16::from_le_bytes([head[0], head[1]]);
        let (octets, rest) = behind.split_at(usize::from(u16::from_le_bytes([head[2], head[3]])));
        self.octets = rest;
        Some(EncodedRrset { octets, records })
    }
}

/// What goes between key and RRsets of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) key: &'a [u8],
    /// All but [`COUNTS`].
    pub(super) flags: u8,
    pub(super) children: u32,
    pub(super) climbing: u32,
}

/// Flags that an entry gives its node; `apex` says whether it stands at the apex.
pub(super) fn entry_flags(entry: &Entry, apex: bool) -> u8 {
    let mut flags = 0;
    for rrset in rrsets_with_data(entry) {
        flags |= RRSETS;
        match rrset.record_type {
            RecordType::NS if !apex => flags |= CUT,
            RecordType::DNAME => flags |= DNAME,
            _ => {}
        }
    }
    if entry.climb.is_some() {
        flags |= CLIMB;
    }
    if flags == 0 { WITHHELD } else { flags }
}

/// Appends a node up to where its body starts.
#[expect(clippy::cast_possible_truncation, reason = "a key is shorter than a name")]
pub(super) fn encode_head(out: &mut Vec<u8>, head: Head<'_>) {
    let counted = head.children > 0 || head.climbing > 0;
    out.push(head.key.len() as u8);
    out.push(head.flags | if counted { COUNTS } else { 0 });
    out.extend_from_slice(head.key);
    if counted {
        out.extend_from_slice(&head.children.to_le_bytes());
        out.extend_from_slice(&head.climbing.to_le_bytes());
    }
}

/// Appends the body of a node. That every length fits was checked before.
#[expect(
    clippy::cast_possible_truncation,
    reason = "types are fewer than 65,536, and the size of an RRset was checked"
)]
pub(super) fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    if let Some(ttl) = entry.climb {
        out.extend_from_slice(&ttl.to_le_bytes());
    }
    let number = rrsets_with_data(entry).count();
    if number == 0 {
        return;
    }
    out.extend_from_slice(&(number as u16).to_le_bytes());
    let mut encode = |rrset: &Rrset| {
        out.extend_from_slice(&(rrset.data().len() as u16).to_le_bytes());
        out.extend_from_slice(&(encoded_length(rrset) as u16).to_le_bytes());
        for data in rrset.data() {
            encode_record(out, rrset.record_type, rrset.ttl, data);
        }
    };
    if entry.rrsets.is_sorted_by_key(|rrset| rrset.record_type) {
        rrsets_with_data(entry).for_each(encode);
    } else {
        let mut sorted: Vec<&Rrset> = rrsets_with_data(entry).collect();
        sorted.sort_by_key(|rrset| rrset.record_type);
        sorted.into_iter().for_each(&mut encode);
    }
}

/// An RRset without records is none.
fn rrsets_with_data(entry: &Entry) -> impl Iterator<Item = &Rrset> {
    entry.rrsets.iter().filter(|rrset| !rrset.data().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gives_back_the_entry_that_it_was_made_from() {
        let entry = Entry {
            rrsets: vec![
                Rrset::new(RecordType::TXT, 60, vec![b"\x05hello".as_slice().into()]),
                Rrset::new(RecordType::A, 180, vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()]),
                Rrset::new(RecordType::AAAA, 180, vec![]),
            ],
            climb: Some(30),
        };
        let flags = entry_flags(&entry, false);
        assert_eq!(flags, RRSETS | CLIMB);
        let mut octets = vec![0xff; 3];
        encode_head(&mut octets, Head { key: b"\x01a", flags, children: 2, climbing: 1 });
        encode_entry(&mut octets, &entry);
        let length = octets.len();
        octets.extend_from_slice(b"the next node");
        let node = Node::at(&octets, 3);
        assert_eq!(node.key(), b"\x01a");
        assert_eq!((node.children(), node.climbing(), node.climb()), (2, 1, Some(30)));
        assert_eq!(node.whole().len(), length - 3);
        let back = node.entry().expect("an entry");
        assert_eq!(back.climb, Some(30));
        assert_eq!(back.rrsets.len(), 2, "the empty RRset is dropped");
        assert_eq!(back.rrsets[0].record_type, RecordType::A, "sorted by type");
        assert_eq!(back.rrsets[1], entry.rrsets[0]);
        let encoded = node.rrset(RecordType::A).expect("addresses");
        assert_eq!(encoded.records(), 2);
        assert_eq!(encoded.octets()[..16], [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 180, 0, 4, 192, 0, 2, 1]);
    }
}
