//! The names of one zone: a persistent hash table in two levels of [`Arc`]s.
//!
//! ```text
//!   groups (1 or 128) ──► shards (1, 2, 4 … each) ──► octets: header, slots, nodes
//!      highest bits            next bits                  lowest 32 bits of the hash
//! ```
//!
//! A change copies the list of groups, one list of shards and one shard, so that its cost does not grow with the
//! zone, and readers of the version before are not touched. Groups grow on their own when a shard gets too full.
//! A shard is one allocation: slots of 8 octets (low half of the hash, offset; open addressing), nodes (see
//! [`super::node`]). How many slots there are stands in the list: a look-up waits for each line of memory on its way,
//! and that of the shard's head would be one more (a third of what the search takes where the table is larger than the
//! caches).

use std::sync::Arc;

use super::node::Node;

/// One allocation with a few dozen nodes.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    /// Slots and nodes.
    octets: Arc<[u8]>,
    slots: u32,
    nodes: u32,
}
/// Shards of one group; their number is a power of two.
pub(super) type Group = Arc<[Shard]>;

/// Groups of a zone that is not small; a power of two.
pub(super) const MANY_GROUPS: usize = 128;
/// From this many nodes on a zone has [`MANY_GROUPS`]: below, the lists would cost more than the nodes.
pub(super) const SMALL_ZONE: usize = 256;
/// Nodes of a shard right after its group was laid out, on average and at most.
const GOOD_SHARD: usize = 64;
/// A shard with more nodes has its group laid out anew with more shards.
pub(super) const FULL_SHARD: usize = 160;
/// Octets of a slot.
const SLOT: usize = 8;

/// The nodes of a zone by owner name below the apex.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) groups: Vec<Group>,
    /// Nodes in all shards.
    pub(super) nodes: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { groups: vec![single(empty_shard())], nodes: 0 }
    }

    /// The node with this key, the owner name's labels below the apex; `STAR` puts the label `*` in front.
    /// `hash` is that of the whole name.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call saves and loads a dozen registers")]
    pub(super) fn find<const STAR: bool>(&self, hash: u64, key: &[u8]) -> Option<Node<'_>> {
        let shard = self.shard(hash);
        let (_, offset) = next_tagged(shard, first_slot(low_half(hash), shard.slots()), hash)?;
        let node = shard.node(offset);
        if is_key::<STAR>(node.key(), key) {
            return Some(node);
        }
        find_offset::<STAR>(shard, hash, key).map(|offset| shard.node(offset))
    }

    /// Offset of the node in its shard.
    pub(super) fn find_offset(&self, hash: u64, key: &[u8]) -> Option<u32> {
        find_offset::<false>(self.shard(hash), hash, key)
    }

    /// The shard that holds a name with this hash, if any does.
    #[inline]
    pub(super) fn shard(&self, hash: u64) -> &Shard {
        let group = &self.groups[group_of(self.groups.len(), hash)];
        &group[shard_of(self.groups.len(), group.len(), hash)]
    }

    /// All nodes, in no particular order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.groups.iter().flat_map(|group| group.iter()).flat_map(nodes_of)
    }
}

/// Which of `groups` has the hash: the highest bits say.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
pub(super) fn group_of(groups: usize, hash: u64) -> usize {
    (hash.rotate_left(groups.trailing_zeros()) as usize) & (groups - 1)
}

/// Which of `shards` in its group has the hash: the bits below those of the group say.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
pub(super) fn shard_of(groups: usize, shards: usize, hash: u64) -> usize {
    (hash.rotate_left(groups.trailing_zeros() + shards.trailing_zeros()) as usize) & (shards - 1)
}

/// How many shards a group with so many nodes is laid out in.
pub(super) fn good_shard_count(nodes: usize) -> usize {
    nodes.div_ceil(GOOD_SHARD).next_power_of_two()
}

impl Shard {
    /// The node at this offset.
    #[inline]
    pub(super) fn node(&self, offset: u32) -> Node<'_> {
        Node::at(&self.octets, offset)
    }

    /// Octets of slots and nodes.
    pub(super) fn octets(&self) -> usize {
        self.octets.len()
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.nodes as usize
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// The node in one of the slots, if it has one.
    pub(super) fn slot_node(&self, slot: usize) -> Option<Node<'_>> {
        let (_, offset) = slot_at(&self.octets, slot * SLOT);
        (offset != 0).then(|| self.node(offset))
    }

    /// The low half of each node's hash, and its offset.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        (0..self.slots()).map(|slot| slot_at(&self.octets, slot * SLOT)).filter(|&(_, offset)| offset != 0)
    }
}

/// A shard without nodes.
pub(super) fn empty_shard() -> Shard {
    Shard { octets: Arc::from([]), slots: 0, nodes: 0 }
}

/// A group of one shard.
pub(super) fn single(shard: Shard) -> Group {
    Arc::from([shard])
}

/// The nodes of one shard.
pub(super) fn nodes_of(shard: &Shard) -> impl Iterator<Item = Node<'_>> {
    shard.places().map(|(_, offset)| shard.node(offset))
}

/// Fills a buffer with a shard, node by node; the buffer is kept for the next shard.
#[derive(Debug, Default)]
pub(super) struct ShardBuilder {
    octets: Vec<u8>,
    slots: usize,
    nodes: usize,
}

impl ShardBuilder {
    /// Starts a shard with room for exactly `nodes`.
    pub(super) fn start(&mut self, nodes: usize) {
        // Two thirds full: a miss looks at five slots on average, and a slot costs less than a node's key.
        self.slots = if nodes == 0 { 0 } else { nodes + nodes / 2 + 1 };
        self.nodes = nodes;
        self.octets.clear();
        self.octets.resize(self.slots * SLOT, 0);
    }

    /// Takes a slot for the node whose hash ends so; its octets are to be appended to the buffer returned.
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred nodes take less than 4 GiB")]
    pub(super) fn node(&mut self, low_hash: u32) -> &mut Vec<u8> {
        let mut slot = first_slot(low_hash, self.slots);
        while slot_at(&self.octets, slot * SLOT).1 != 0 {
            slot = if slot + 1 == self.slots { 0 } else { slot + 1 };
        }
        let at = slot * SLOT;
        let offset = self.octets.len() as u32;
        self.octets[at..at + 4].copy_from_slice(&low_hash.to_le_bytes());
        self.octets[at + 4..at + 8].copy_from_slice(&offset.to_le_bytes());
        &mut self.octets
    }

    #[expect(clippy::cast_possible_truncation, reason = "a shard has a few hundred nodes")]
    pub(super) fn finish(&mut self) -> Shard {
        Shard { octets: Arc::from(self.octets.as_slice()), slots: self.slots as u32, nodes: self.nodes as u32 }
    }
}

/// Offset of the node with this key. Apart from [`Table::find`], where the first node with this half of the hash is the
/// right one nearly always: a loop around the comparison of keys would have its registers saved for every look-up.
#[cold]
#[inline(never)]
fn find_offset<const STAR: bool>(shard: &Shard, hash: u64, key: &[u8]) -> Option<u32> {
    let mut slot = first_slot(low_half(hash), shard.slots());
    loop {
        let (found, offset) = next_tagged(shard, slot, hash)?;
        if is_key::<STAR>(shard.node(offset).key(), key) {
            return Some(offset);
        }
        slot = slot_behind(shard, found);
    }
}

/// The first slot from `slot` on that has this half of the hash, and the offset in it; none where a free slot comes
/// first.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for its caller")]
fn next_tagged(shard: &Shard, mut slot: usize, hash: u64) -> Option<(usize, u32)> {
    // Nodes too, as if they were slots, so that there is one bound to check; a slot's number is never theirs.
    let (slots, _) = shard.octets.as_chunks();
    // A third of the slots is free, so that this comes to an end.
    while let Some(&octets) = slots.get(slot) {
        let (tag, offset) = halves(octets);
        if offset == 0 {
            return None;
        }
        if tag == low_half(hash) {
            return Some((slot, offset));
        }
        slot = slot_behind(shard, slot);
    }
    None
}

#[inline]
fn slot_behind(shard: &Shard, slot: usize) -> usize {
    if slot + 1 == shard.slots() { 0 } else { slot + 1 }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
fn low_half(hash: u64) -> u32 {
    hash as u32
}

#[inline]
fn is_key<const STAR: bool>(stored: &[u8], key: &[u8]) -> bool {
    if STAR { stored.strip_prefix(b"\x01*") == Some(key) } else { stored == key }
}

#[inline]
fn first_slot(low_hash: u32, slots: usize) -> usize {
    ((u64::from(low_hash) * slots as u64) >> 32) as usize
}

/// Low half of the hash, and offset.
#[inline]
fn slot_at(octets: &[u8], at: usize) -> (u32, u32) {
    let mut bytes = [0; SLOT];
    bytes.copy_from_slice(&octets[at..at + SLOT]);
    halves(bytes)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
fn halves(slot: [u8; SLOT]) -> (u32, u32) {
    let slot = u64::from_le_bytes(slot);
    (slot as u32, (slot >> 32) as u32)
}
