//! The names of a zone that is being made, with what lies above each.
//!
//! ```text
//!   Records ──hash of every name above──► Tree: nodes (empty non-terminals too), each with its records
//! ```
//!
//! Names are found by hash and never sorted, so that a zone costs time in proportion to its records, however they
//! stand in the file.

use hashbrown::HashTable;

use crate::{
    answer::{child_hash, name_hash},
    dns::{NameRef, OwnerName, RecordType, master::Records},
};

/// The apex is the first node.
pub(crate) const APEX: u32 = 0;
/// The node has an NS record and is not the apex.
const CUT: u8 = 1;
/// The node has a DNAME.
const DNAME: u8 = 2;

/// The names at and below one apex, and their records.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Numbers of records, those of one node together.
    records: Vec<u32>,
    index: HashTable<u32>,
    /// Some node has this flag.
    flags: u8,
    apex: OwnerName,
}

/// One name.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Hash of the whole name.
    hash: u64,
    /// Where its octets stand among those of the records.
    place: u32,
    above: u32,
    /// Its records in [`Tree::records`]: the first, and how many.
    first: u32,
    count: u32,
    /// Names directly below.
    children: u32,
    length: u8,
    flags: u8,
}

impl Tree {
    /// Puts every record that `belongs` in its place. All of those must be at or below the apex.
    pub(super) fn new(apex: &OwnerName, records: &Records, belongs: impl Fn(usize) -> bool) -> Self {
        let mut tree = Self {
            nodes: Vec::with_capacity(records.len() / 4 + 1),
            records: Vec::new(),
            index: HashTable::new(),
            flags: 0,
            apex: apex.clone(),
        };
        let hash = name_hash(apex.as_wire());
        tree.nodes.push(Node { hash, place: 0, above: APEX, first: 0, count: 0, children: 0, length: 0, flags: 0 });
        // The node of each record; none where it does not belong.
        let mut nodes = vec![u32::MAX; records.len()];
        let mut last: Option<(u32, u32)> = None;
        for (number, node) in nodes.iter_mut().enumerate().filter(|(number, _)| belongs(*number)) {
            let place = records.owner_place(number);
            *node = match last {
                Some((at, node)) if at == place => node,
                _ => tree.insert(records, place, records.at(number).owner),
            };
            last = Some((place, *node));
            tree.nodes[*node as usize].count += 1;
        }
        let mut first = 0;
        for node in &mut tree.nodes {
            node.first = first;
            first += node.count;
            node.count = 0;
        }
        tree.records = vec![0; first as usize];
        for (number, &node) in (0..).zip(&nodes).filter(|(_, node)| **node != u32::MAX) {
            let node = &mut tree.nodes[node as usize];
            tree.records[(node.first + node.count) as usize] = number;
            node.count += 1;
        }
        tree
    }

    /// The numbers of all nodes, the apex first.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The name of a node.
    pub(crate) fn name<'a>(&'a self, records: &'a Records, node: u32) -> NameRef<'a> {
        let Node { place, length, .. } = self.nodes[node as usize];
        if node == APEX { self.apex.view() } else { NameRef::from_normal_wire(records.octets(place, length)) }
    }

    /// Its hash, as the zone's table wants it.
    pub(crate) fn hash(&self, node: u32) -> u64 {
        self.nodes[node as usize].hash
    }

    /// How many names exist directly below it.
    pub(crate) fn children(&self, node: u32) -> u32 {
        self.nodes[node as usize].children
    }

    /// The numbers of its records.
    pub(crate) fn records(&self, node: u32) -> &[u32] {
        let Node { first, count, .. } = self.nodes[node as usize];
        &self.records[first as usize..][..count as usize]
    }

    /// The same, to be sorted.
    pub(super) fn records_mut(&mut self, node: u32) -> &mut [u32] {
        let Node { first, count, .. } = self.nodes[node as usize];
        &mut self.records[first as usize..][..count as usize]
    }

    /// True if the name has data, or something below it has, or it is the apex.
    pub(crate) fn exists(&self, node: u32) -> bool {
        let Node { count, children, .. } = self.nodes[node as usize];
        count > 0 || children > 0 || node == APEX
    }

    /// The node of a name at or below the apex, if it exists.
    pub(super) fn find(&self, records: &Records, name: NameRef<'_>) -> Option<u32> {
        let key = name.strip_suffix(self.apex.view())?;
        if key.is_empty() {
            return Some(APEX);
        }
        let (hashes, _) = self.hashes(key);
        let found = self.index.find(hashes[0].1, |&node| self.name(records, node) == name);
        found.copied().filter(|&node| self.exists(node))
    }

    /// The nodes above, nearest first, up to the apex.
    pub(super) fn above(&self, node: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(node), |&node| (node != APEX).then(|| self.nodes[node as usize].above)).skip(1)
    }

    /// Takes the marked records out, and the names that nothing keeps.
    pub(super) fn drop_marked(&mut self, marks: &[bool]) {
        if !marks.contains(&true) {
            return;
        }
        for node in self.all() {
            let mut kept = 0;
            let existed = self.exists(node);
            let records = self.records_mut(node);
            for at in 0..records.len() {
                if !marks[records[at] as usize] {
                    records[kept] = records[at];
                    kept += 1;
                }
            }
            self.nodes[node as usize].count = u32::try_from(kept).unwrap_or(u32::MAX);
            // What is above may go as well.
            let (mut node, mut existed) = (node, existed);
            while existed && !self.exists(node) {
                node = self.nodes[node as usize].above;
                existed = self.exists(node);
                self.nodes[node as usize].children -= 1;
            }
        }
    }

    /// Notes where there are delegations and DNAMEs; wanted again when records went.
    pub(super) fn note_cuts(&mut self, records: &Records) {
        self.flags = 0;
        for node in self.all() {
            let mut flags = 0;
            for &record in self.records(node) {
                match records.record_type(record as usize) {
                    RecordType::NS if node != APEX => flags |= CUT,
                    RecordType::DNAME => flags |= DNAME,
                    _ => {}
                }
            }
            self.nodes[node as usize].flags = flags;
            self.flags |= flags;
        }
    }

    /// True if there is a delegation anywhere.
    pub(super) fn has_cuts(&self) -> bool {
        self.flags & CUT != 0
    }

    /// The highest delegation at or above the node.
    pub(super) fn cut_of(&self, node: u32) -> Option<u32> {
        let is_cut = |&node: &u32| self.nodes[node as usize].flags & CUT != 0;
        self.has_cuts().then(|| std::iter::once(node).chain(self.above(node)).filter(is_cut).last()).flatten()
    }

    /// The nearest DNAME above the node.
    pub(super) fn dname_above(&self, node: u32) -> Option<u32> {
        let has_dname = |&node: &u32| self.nodes[node as usize].flags & DNAME != 0;
        (self.flags & DNAME != 0).then(|| self.above(node).find(has_dname)).flatten()
    }

    /// True if the node has a DNAME.
    pub(super) fn has_dname(&self, node: u32) -> bool {
        self.nodes[node as usize].flags & DNAME != 0
    }

    /// The node of an owner name that stands at `place`, made with all that is above it where it is new.
    fn insert(&mut self, records: &Records, place: u32, owner: NameRef<'_>) -> u32 {
        let Some(key) = owner.strip_suffix(self.apex.view()).filter(|key| !key.is_empty()) else { return APEX };
        let (hashes, depth) = self.hashes(key);
        let wire = owner.as_wire();
        let mut below: Option<u32> = None;
        let mut own = APEX;
        for &(start, hash) in &hashes[..depth] {
            let name = NameRef::from_normal_wire(&wire[usize::from(start)..]);
            let found = self.index.find(hash, |&node| self.name(records, node) == name).copied();
            let node = found.unwrap_or_else(|| self.push(hash, place + u32::from(start), name));
            match below {
                None => own = node,
                Some(below) => self.nodes[below as usize].above = node,
            }
            if below.is_some() {
                self.nodes[node as usize].children += 1;
            }
            if found.is_some() {
                return own;
            }
            below = Some(node);
        }
        // The topmost of them is new and lies directly below the apex.
        self.nodes[APEX as usize].children += 1;
        own
    }

    fn push(&mut self, hash: u64, place: u32, name: NameRef<'_>) -> u32 {
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        // A name has at most 255 octets.
        let length = u8::try_from(name.as_wire().len()).unwrap_or(u8::MAX);
        self.nodes.push(Node { hash, place, above: APEX, first: 0, count: 0, children: 0, length, flags: 0 });
        let nodes = &self.nodes;
        self.index.insert_unique(hash, node, |&node| nodes[node as usize].hash);
        node
    }

    /// For each label of a key where it starts and the hash of the name from there on, and how many there are.
    fn hashes(&self, key: &[u8]) -> ([(u8, u64); 128], usize) {
        let mut hashes = [(0, 0); 128];
        let (mut at, mut count) = (0_u8, 0);
        while let Some(&length) = key.get(usize::from(at)) {
            hashes[count].0 = at;
            count += 1;
            at += 1 + length;
        }
        let (mut hash, mut end) = (self.nodes[APEX as usize].hash, key.len());
        for entry in hashes[..count].iter_mut().rev() {
            let start = usize::from(entry.0);
            hash = child_hash(hash, &key[start + 1..end]);
            entry.1 = hash;
            end = start;
        }
        (hashes, count)
    }
}
