//! Changes of names on top of a [`Table`], and how they get into it.
//!
//! First every change is noted in *drafts*, one per node that becomes different: the names themselves and the names
//! above whose counts move. Then each shard with drafts is written once. Nothing is stored for a node that neither
//! holds an entry nor has something below it, so empty non-terminals come and go by themselves.

use std::{mem, sync::Arc};

use hashbrown::HashTable;

use super::{
    node::{CLIMB, CUT, DNAME, Head, Node, RRSETS, WITHHELD, encode_entry, encode_head, entry_flags},
    patch::Entry,
    query_name::{child_hash, descendant_hash},
    table::{
        FULL_SHARD, Group, MANY_GROUPS, SMALL_ZONE, Shard, ShardBuilder, Table, good_shard_count, group_of, shard_of,
        single,
    },
};

/// Labels of the longest key.
const MAX_LABELS: usize = 127;

/// At which depths below the apex (0) there are delegations or DNAMEs, so that most zones need not look for them.
#[derive(Debug, Clone, Default)]
pub(super) struct CutDepths {
    counts: Vec<u32>,
    mask: u128,
}

/// The changes of one patch, noted but not yet in the table.
pub(super) struct Overlay<'t, 'p> {
    table: &'t Table,
    apex_hash: u64,
    drafts: Vec<Draft<'p>>,
    index: HashTable<u32>,
}

/// A node as it shall be.
pub(super) struct Draft<'p> {
    hash: u64,
    key: &'p [u8],
    /// Offset of the node as it was in its shard; 0 if there was none.
    old: u32,
    flags: u8,
    children: u32,
    climbing: u32,
    change: Change<'p>,
}

enum Change<'p> {
    /// Only counts differ.
    Keep,
    /// The name has no entry from now on.
    Gone,
    /// The entry from now on.
    Entry(&'p Entry),
}

/// A node that is copied as it is.
struct Old<'a> {
    hash: u64,
    node: Node<'a>,
}

impl CutDepths {
    /// Bit n is set if some node n labels below the apex is a cut or has a DNAME.
    #[inline]
    pub(super) fn mask(&self) -> u128 {
        self.mask
    }

    /// A node so many labels below the apex had these flags, and has others now.
    pub(super) fn change(&mut self, depth: usize, before: u8, after: u8) {
        let (was, is) = (before & (CUT | DNAME) != 0, after & (CUT | DNAME) != 0);
        if was == is {
            return;
        }
        if self.counts.len() <= depth {
            self.counts.resize(depth + 1, 0);
        }
        if is {
            self.counts[depth] += 1;
        } else {
            self.counts[depth] -= 1;
        }
        let bit = 1 << depth;
        if self.counts[depth] == 0 { self.mask &= !bit } else { self.mask |= bit }
    }
}

impl<'t, 'p> Overlay<'t, 'p> {
    /// Room for `names` changes.
    pub(super) fn new(table: &'t Table, apex_hash: u64, names: usize) -> Self {
        let mut overlay = Self {
            table,
            apex_hash,
            drafts: Vec::with_capacity(names + names / 8 + 8),
            index: HashTable::with_capacity(names + names / 8 + 8),
        };
        // The apex exists even when nothing else does.
        if table.nodes == 0 {
            overlay.draft(apex_hash, &[]);
        }
        overlay
    }

    /// Notes what the name `key`.apex holds from now on.
    pub(super) fn set(&mut self, key: &'p [u8], entry: Option<&'p Entry>, cuts: &mut CutDepths) {
        // Where each label starts and the hash of the name from there on; the last is the apex.
        let mut names = [(0_usize, 0_u64); MAX_LABELS + 1];
        let mut depth = 0;
        let mut at = 0;
        while let Some(&length) = key.get(at) {
            names[depth].0 = at;
            depth += 1;
            at += 1 + usize::from(length);
        }
        names[depth] = (key.len(), self.apex_hash);
        for label in (0..depth).rev() {
            let (end, parent) = names[label + 1];
            names[label].1 = child_hash(parent, &key[names[label].0 + 1..end]);
        }
        let names = &names[..=depth];

        let own = self.draft(names[0].1, key);
        let existed = own.exists();
        let before = own.flags;
        own.flags = entry.map_or(0, |entry| entry_flags(entry, key.is_empty()));
        own.change = entry.map_or(Change::Gone, Change::Entry);
        let exists = own.exists();
        let after = own.flags;
        cuts.change(depth, before, after);

        if (before ^ after) & CLIMB != 0 {
            for &(start, hash) in names {
                step(&mut self.draft(hash, &key[start..]).climbing, after & CLIMB != 0);
            }
        }
        if existed != exists {
            for &(start, hash) in &names[1..] {
                let above = self.draft(hash, &key[start..]);
                let existed = above.exists();
                step(&mut above.children, exists);
                if existed == above.exists() {
                    break;
                }
            }
        }
    }

    /// The nodes that become different.
    pub(super) fn into_drafts(self) -> Vec<Draft<'p>> {
        self.drafts
    }

    /// The draft of a node, begun from the table where there is none.
    fn draft(&mut self, hash: u64, key: &'p [u8]) -> &mut Draft<'p> {
        let Self { table, drafts, index, .. } = self;
        let found = index.find(hash, |&at| {
            let draft = &drafts[at as usize];
            draft.hash == hash && draft.key == key
        });
        let at = if let Some(&at) = found {
            at as usize
        } else {
            let mut draft = Draft { hash, key, old: 0, flags: 0, children: 0, climbing: 0, change: Change::Keep };
            if let Some(offset) = table.find_offset(hash, key) {
                let node = table.shard(hash).node(offset);
                draft.old = offset;
                draft.flags = node.flags() & (RRSETS | CLIMB | WITHHELD | CUT | DNAME);
                draft.children = node.children();
                draft.climbing = node.climbing();
            }
            let at = drafts.len();
            drafts.push(draft);
            index.insert_unique(hash, index_of(at), |&at| drafts[at as usize].hash);
            at
        };
        &mut drafts[at]
    }
}

impl Draft<'_> {
    /// True if the name exists by itself or as an empty non-terminal. (Level names are not counted here.)
    fn exists(&self) -> bool {
        self.flags & RRSETS != 0 || self.children > 0 || self.key.is_empty()
    }

    /// True if there is something to store.
    fn stays(&self) -> bool {
        self.exists() || self.flags != 0 || self.climbing > 0
    }
}

/// Writes the drafts into the table: each shard that has some is written once.
pub(super) fn commit(mut drafts: Vec<Draft<'_>>, table: &mut Table, apex_hash: u64) {
    drafts.sort_unstable_by_key(|draft| draft.hash);
    let (added, removed) = balance(&drafts);
    table.nodes = table.nodes + added - removed;
    let mut builder = ShardBuilder::default();
    let groups = wanted_groups(table);
    if groups == table.groups.len() {
        for run in drafts.chunk_by(|a, b| group_of(groups, a.hash) == group_of(groups, b.hash)) {
            let group = &mut table.groups[group_of(groups, run[0].hash)];
            update_group(group, groups, run, apex_hash, &mut builder);
        }
        return;
    }
    let before = mem::take(&mut table.groups);
    let mut olds = untouched(before.iter().flat_map(|group| group.iter()), &drafts, apex_hash);
    olds.sort_unstable_by_key(|old| old.hash);
    let resolve = |draft: &Draft<'_>| {
        let group = &before[group_of(before.len(), draft.hash)];
        group[shard_of(before.len(), group.len(), draft.hash)].node(draft.old)
    };
    let (mut olds, mut drafts) = (olds.as_slice(), drafts.as_slice());
    for group in 0..groups {
        let olds = split_run(&mut olds, |old| group_of(groups, old.hash) == group);
        let drafts = split_run(&mut drafts, |draft| group_of(groups, draft.hash) == group);
        table.groups.push(lay_out(groups, olds, drafts, resolve, &mut builder));
    }
}

/// How many groups suit the zone; some slack keeps it from going to and fro.
fn wanted_groups(table: &Table) -> usize {
    match table.nodes {
        0..64 => 1,
        SMALL_ZONE.. => MANY_GROUPS,
        _ => table.groups.len(),
    }
}

/// Writes the shards of one group that have drafts, or all of them anew if one would get too full.
fn update_group(group: &mut Group, groups: usize, drafts: &[Draft<'_>], apex_hash: u64, builder: &mut ShardBuilder) {
    let shards = group.len();
    let shard = |draft: &Draft<'_>| shard_of(groups, shards, draft.hash);
    let runs = || drafts.chunk_by(|a, b| shard(a) == shard(b));
    let crowded = runs().any(|run| {
        let (added, removed) = balance(run);
        group[shard(&run[0])].nodes() + added - removed > FULL_SHARD
    });
    if crowded {
        let before = mem::replace(group, single(super::table::empty_shard()));
        let mut olds = untouched(before.iter(), drafts, apex_hash);
        olds.sort_unstable_by_key(|old| old.hash);
        let resolve = |draft: &Draft<'_>| before[shard(draft)].node(draft.old);
        *group = lay_out(groups, &olds, drafts, resolve, builder);
        return;
    }
    let list = Arc::make_mut(group);
    for run in runs() {
        let place = &mut list[shard(&run[0])];
        let before = Shard::clone(place);
        let olds = before
            .places()
            .filter(|&(_, offset)| !run.iter().any(|draft| draft.old == offset))
            .map(|(low_hash, offset)| (low_hash, before.node(offset)));
        *place = build_shard(olds, run, |draft| before.node(draft.old), builder);
    }
}

/// A group with the number of shards that suits its nodes. Both inputs are sorted by hash.
fn lay_out<'a>(
    groups: usize,
    mut olds: &[Old<'a>],
    mut drafts: &[Draft<'_>],
    resolve: impl Fn(&Draft<'_>) -> Node<'a> + Copy,
    builder: &mut ShardBuilder,
) -> Group {
    let shards = good_shard_count(olds.len() + balance(drafts).0);
    (0..shards)
        .map(|shard| {
            let olds = split_run(&mut olds, |old| shard_of(groups, shards, old.hash) == shard);
            let drafts = split_run(&mut drafts, |draft| shard_of(groups, shards, draft.hash) == shard);
            build_shard(olds.iter().map(|old| (low_half(old.hash), old.node)), drafts, resolve, builder)
        })
        .collect()
}

/// One shard of nodes that stay as they are and of drafts.
fn build_shard<'a>(
    olds: impl Iterator<Item = (u32, Node<'a>)> + Clone,
    drafts: &[Draft<'_>],
    resolve: impl Fn(&Draft<'_>) -> Node<'a>,
    builder: &mut ShardBuilder,
) -> Shard {
    builder.start(olds.clone().count() + balance(drafts).0);
    for (low_hash, node) in olds {
        builder.node(low_hash).extend_from_slice(node.whole());
    }
    for draft in drafts.iter().filter(|draft| draft.stays()) {
        let out = builder.node(low_half(draft.hash));
        let Draft { key, flags, children, climbing, .. } = *draft;
        encode_head(out, Head { key, flags, children, climbing });
        match draft.change {
            Change::Entry(entry) => encode_entry(out, entry),
            Change::Keep if draft.old != 0 => out.extend_from_slice(resolve(draft).body()),
            Change::Keep | Change::Gone => {}
        }
    }
    builder.finish()
}

/// The nodes of these shards that have no draft, with their whole hashes.
fn untouched<'a>(shards: impl Iterator<Item = &'a Shard>, drafts: &[Draft<'_>], apex_hash: u64) -> Vec<Old<'a>> {
    shards
        .flat_map(super::table::nodes_of)
        .map(|node| Old { hash: descendant_hash(apex_hash, node.key()), node })
        .filter(|old| {
            let first = drafts.partition_point(|draft| draft.hash < old.hash);
            let same_hash = drafts[first..].iter().take_while(|draft| draft.hash == old.hash);
            !same_hash.into_iter().any(|draft| draft.key == old.node.key())
        })
        .collect()
}

/// How many nodes these drafts bring, and how many they take the place of.
fn balance(drafts: &[Draft<'_>]) -> (usize, usize) {
    let added = drafts.iter().filter(|draft| draft.stays()).count();
    let removed = drafts.iter().filter(|draft| draft.old != 0).count();
    (added, removed)
}

/// Takes what belongs to a run from the front of `rest`.
fn split_run<'a, T>(rest: &mut &'a [T], belongs: impl Fn(&T) -> bool) -> &'a [T] {
    let length = rest.iter().take_while(|item| belongs(item)).count();
    let (run, behind) = rest.split_at(length);
    *rest = behind;
    run
}

fn step(count: &mut u32, up: bool) {
    if up {
        *count += 1;
    } else {
        *count -= 1;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
fn low_half(hash: u64) -> u32 {
    hash as u32
}

#[expect(clippy::cast_possible_truncation, reason = "a patch with 2^32 names does not fit into memory")]
fn index_of(at: usize) -> u32 {
    at as u32
}
