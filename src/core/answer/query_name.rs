//! A name that is looked up, with a hash for it and for every name above it.
//!
//! The hash of a name is computed from the root towards the left, label by label: the hash of `a.b.c` is that of
//! `b.c` continued by `a`. One pass thus yields what zone selection, cuts and the closest encloser need. The seed
//! differs from process to process, so that nobody can choose names that collide; nothing that is rendered
//! depends on it.

use std::{fmt, hash::BuildHasher as _, ops::Range, sync::LazyLock};

use foldhash::quality::RandomState;

/// Longest name in wire format, in octets (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;
/// Longest label, in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: u8 = 63;
/// Labels of the longest possible name, the root's empty one included.
const MAX_LABELS: usize = 128;
/// Room for the longest name, for reading 8 octets from any place in it, and whole blocks.
const BUFFER: usize = 272;
/// Octets that are folded to lower case at once, so that the compiler makes one instruction of them.
const BLOCK: usize = 16;
/// The first so many octets of a word that is read as a little-endian number. (A load costs less than two shifts.)
const FIRST_OCTETS: [u64; 9] =
    [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, u64::MAX];
/// Hash of the root: any number.
const ROOT: u64 = 0x6d63_646e_7300_0001;

/// Multipliers of this process.
static SEED: LazyLock<Seed> = LazyLock::new(|| {
    let random = RandomState::default();
    Seed { inner: random.hash_one(0_u8) | 1, last: random.hash_one(1_u8) | 1 }
});

/// A label is hashed in words of 8 octets: all but the last are multiplied by `inner`, the last, filled up with zeros,
/// by `last`. (So labels that differ in zero octets at the end alone can collide, which costs a comparison.)
#[derive(Clone, Copy)]
struct Seed {
    inner: u64,
    last: u64,
}

/// A name to look up: lower case, uncompressed, hashed. Made once and filled again for every query.
#[derive(Debug, Clone)]
pub struct QueryName {
    /// What is behind the name is left over from others.
    wire: [u8; BUFFER],
    /// Where each label starts in `wire`; the root's is the last of `labels + 1`. Half of it is never used.
    starts: [u8; 2 * MAX_LABELS],
    /// `hashes[i]` is that of the name which starts with label `i`.
    hashes: [u64; MAX_LABELS],
    labels: usize,
    seed: &'static Seed,
}

impl QueryName {
    /// The root.
    pub fn new() -> Self {
        let mut hashes = [0; MAX_LABELS];
        hashes[0] = ROOT;
        Self { wire: [0; BUFFER], starts: [0; 2 * MAX_LABELS], hashes, labels: 0, seed: &SEED }
    }

    /// Takes the uncompressed name that `octets` start with, and says how many octets it has there. None (and
    /// then the name is of no use until the next call) if there is no such name: a compression pointer, more
    /// than 255 octets, or an early end.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a label starts at the 255th octet at most")]
    pub fn read(&mut self, octets: &[u8]) -> Option<usize> {
        // Into the buffer first: an octet as an index into it needs no check, and 255 behind a short input is no
        // length, so that the walk ends there.
        let taken = octets.len().min(MAX_NAME);
        self.wire[..taken].copy_from_slice(&octets[..taken]);
        self.wire[taken] = u8::MAX;
        let mut at = 0;
        // As an octet, which as an index into `starts` needs no check.
        let mut labels = 0_u8;
        // The last octet of a name is at most the 255th.
        while at < MAX_NAME {
            let length = self.wire[at];
            // 0 and what is no length at all, in one comparison.
            if length.wrapping_sub(1) >= MAX_LABEL {
                break;
            }
            self.starts[usize::from(labels)] = at as u8;
            labels = labels.wrapping_add(1);
            at += 1 + usize::from(length);
        }
        if at >= MAX_NAME || self.wire[at] != 0 {
            return None;
        }
        let labels = usize::from(labels);
        self.starts[labels] = at as u8;
        self.labels = labels;
        // Length octets are at most 63, below every upper-case letter, so the whole name can be folded at once.
        for block in self.wire.chunks_exact_mut(BLOCK).take(at / BLOCK + 1) {
            block.make_ascii_lowercase();
        }

        // A copy, which stays in registers.
        let seed = *self.seed;
        let mut hash = ROOT;
        let (wire, hashes) = (&self.wire, &mut self.hashes[..=labels % MAX_LABELS]);
        // Both lists from behind, so that no index is checked in the loop.
        let mut pairs = hashes.iter_mut().zip(&self.starts).rev();
        if let Some((root, _)) = pairs.next() {
            *root = ROOT;
        }
        for (slot, &start) in pairs {
            hash = label_hash(wire, seed, hash, start);
            *slot = hash;
        }
        Some(at + 1)
    }

    /// How many labels there are, the root's empty one not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The whole name in wire format and lower case.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        self.suffix(0)
    }

    /// The name that starts with label `label` (0 is the whole name), in wire format and lower case.
    #[inline]
    pub fn suffix(&self, label: usize) -> &[u8] {
        &self.wire[self.start(label)..=self.start(self.labels)]
    }

    /// Where label `label` starts in the wire format, in octets.
    #[inline]
    pub fn start(&self, label: usize) -> usize {
        usize::from(self.starts[label])
    }

    /// Wire labels `labels`, without the root's.
    #[inline]
    pub(super) fn part(&self, labels: Range<usize>) -> &[u8] {
        &self.wire[self.start(labels.start)..self.start(labels.end)]
    }

    /// Hash of the name that starts with label `label`.
    #[inline]
    pub(super) fn hash(&self, label: usize) -> u64 {
        self.hashes[label]
    }
}

impl Default for QueryName {
    fn default() -> Self {
        Self::new()
    }
}

/// What [`Seed::child_hash`] says of the label at `start`, read from the buffer word by word. That an octet is at most
/// 255 spares every check of a bound.
#[inline]
fn label_hash(wire: &[u8; BUFFER], seed: Seed, parent: u64, start: u8) -> u64 {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&wire[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let start = usize::from(start);
    let length = wire[start];
    // The octets behind the label are left out.
    let last = |hash: u64, word: u64, left: usize| fold(hash ^ word & FIRST_OCTETS[left], seed.last);
    let first = word(start + 1);
    let length = usize::from(length);
    if length <= 8 {
        return last(parent, first, length);
    }
    let (mut hash, mut at, mut left) = (fold(parent ^ first, seed.inner), start + 9, length - 8);
    while left > 8 {
        hash = fold(hash ^ word(at), seed.inner);
        at += 8;
        left -= 8;
    }
    last(hash, word(at), left)
}

/// Hash of the name `label.parent`, from that of `parent`.
#[inline]
pub(crate) fn child_hash(parent: u64, label: &[u8]) -> u64 {
    SEED.child_hash(parent, label)
}

/// Hash of wire labels (no root label) in front of the name with hash `parent`.
#[expect(clippy::cast_possible_truncation, reason = "labels are shorter than a name")]
pub(super) fn descendant_hash(parent: u64, labels: &[u8]) -> u64 {
    let mut starts = [0_u8; MAX_LABELS];
    let (mut at, mut count) = (0, 0);
    while let Some(&length) = labels.get(at) {
        starts[count] = at as u8;
        count += 1;
        at += 1 + usize::from(length);
    }
    let mut hash = parent;
    let mut end = labels.len();
    for &start in starts[..count].iter().rev() {
        hash = child_hash(hash, &labels[usize::from(start) + 1..end]);
        end = usize::from(start);
    }
    hash
}

/// Hash of a whole name in wire format, root label included.
pub(crate) fn name_hash(wire: &[u8]) -> u64 {
    descendant_hash(ROOT, &wire[..wire.len() - 1])
}

/// Who knows the multipliers can choose names that collide.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

impl Seed {
    #[inline]
    fn child_hash(&self, parent: u64, label: &[u8]) -> u64 {
        let mut hash = parent;
        let mut words = label.chunks(8).peekable();
        while let Some(octets) = words.next() {
            let mut bytes = [0; 8];
            bytes[..octets.len()].copy_from_slice(octets);
            let multiplier = if words.peek().is_some() { self.inner } else { self.last };
            hash = fold(hash ^ u64::from_le_bytes(bytes), multiplier);
        }
        hash
    }
}

/// Both halves of the product, so that every bit of the input counts.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
fn fold(value: u64, multiplier: u64) -> u64 {
    let product = u128::from(value) * u128::from(multiplier);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::OwnerName;

    #[test]
    fn the_hash_of_every_name_above_comes_with_the_name() {
        let mut name = QueryName::new();
        assert_eq!(name.read(b"\x03WwW\x07eXample\x03com\x00rest"), Some(17));
        assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(name.labels(), 3);
        for (label, text) in ["www.example.com", "example.com", "com", "."].into_iter().enumerate() {
            let owner = OwnerName::parse(text).expect("a name");
            assert_eq!(name.suffix(label), owner.as_wire());
            assert_eq!(name.hash(label), name_hash(owner.as_wire()), "{text}");
        }
        assert_eq!(descendant_hash(name.hash(2), b"\x03www\x07example"), name.hash(0));
    }

    #[test]
    fn both_ways_to_hash_a_label_agree_at_every_length() {
        let mut name = QueryName::new();
        for length in 1..=63 {
            let mut wire = vec![length];
            wire.extend((0..length).map(|octet| b'0' + octet % 10));
            wire.extend_from_slice(b"\x01a\x00");
            name.read(&wire).expect("a name");
            assert_eq!(name.hash(0), name_hash(&wire), "{length}");
        }
        assert_ne!(name_hash(b"\x01a\x00"), name_hash(b"\x02\x00a\x00"), "zeros in front count");
    }

    #[test]
    fn a_name_has_at_most_255_octets_and_no_pointer() {
        let mut name = QueryName::new();
        let mut longest: Vec<u8> = b"\x01a".repeat(127);
        longest.push(0);
        assert_eq!(name.read(&longest), Some(255));
        assert_eq!(name.labels(), 127);
        longest.insert(254, b'a');
        longest[252] = 2;
        assert_eq!(name.read(&longest), None);
        assert_eq!(name.read(b"\x01a\xc0\x0c"), None);
        assert_eq!(name.read(b"\x04abc"), None);
        assert_eq!(name.read(b""), None);
        assert_eq!(name.read(b"\x00"), Some(1));
    }
}
