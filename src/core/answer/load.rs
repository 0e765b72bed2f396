//! A whole zone at once, as a master file gives it: what a patch with all of its names would make of an empty zone,
//! without an entry of its own for each name on the way.

use crate::{
    check::zone::{APEX, Tree, ZoneContents},
    dns::{RecordType, master::Records},
};

use super::{
    node::{CUT, DNAME, Head, RRSETS, encode_head, encode_record, encoded_record_length},
    overlay::CutDepths,
    snapshot::{MAX_RRSET, PatchError},
    table::{MANY_GROUPS, SMALL_ZONE, ShardBuilder, Table, good_shard_count, group_of, shard_of},
};

/// The table of the zone, and where in it there are cuts.
pub(super) fn load(contents: &ZoneContents) -> Result<(Table, CutDepths), PatchError> {
    let (tree, records) = (contents.tree(), contents.records());
    let mut nodes: Vec<(u64, u32)> =
        tree.all().filter(|&node| tree.exists(node)).map(|node| (tree.hash(node), node)).collect();
    let groups = if nodes.len() < SMALL_ZONE { 1 } else { MANY_GROUPS };
    nodes.sort_unstable();
    let mut loader = Loader { tree, records, apex: contents.apex.as_wire().len(), cuts: CutDepths::default() };
    let mut table = Table { groups: Vec::with_capacity(groups), nodes: nodes.len() };
    let mut builder = ShardBuilder::default();
    let mut rest = nodes.as_slice();
    for group in 0..groups {
        let of_group = rest.iter().take_while(|(hash, _)| group_of(groups, *hash) == group).count();
        let (mut own, behind) = rest.split_at(of_group);
        rest = behind;
        let shards = good_shard_count(own.len());
        let mut built = Vec::with_capacity(shards);
        for shard in 0..shards {
            let of_shard = own.iter().take_while(|(hash, _)| shard_of(groups, shards, *hash) == shard).count();
            let (of_shard, behind) = own.split_at(of_shard);
            own = behind;
            builder.start(of_shard.len());
            for &(hash, node) in of_shard {
                #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
                loader.encode(node, builder.node(hash as u32))?;
            }
            built.push(builder.finish());
        }
        table.groups.push(built.into());
    }
    Ok((table, loader.cuts))
}

struct Loader<'a> {
    tree: &'a Tree,
    records: &'a Records,
    /// Octets of the apex.
    apex: usize,
    cuts: CutDepths,
}

impl Loader<'_> {
    fn encode(&mut self, node: u32, out: &mut Vec<u8>) -> Result<(), PatchError> {
        let wire = self.tree.name(self.records, node).as_wire();
        let key = &wire[..wire.len() - self.apex];
        let numbers = self.tree.records(node);
        let type_of = |number: u32| self.records.record_type(number as usize);
        let mut flags = 0;
        for &number in numbers {
            flags |= RRSETS;
            match type_of(number) {
                RecordType::NS if node != APEX => flags |= CUT,
                RecordType::DNAME => flags |= DNAME,
                _ => {}
            }
        }
        if flags & (CUT | DNAME) != 0 {
            self.cuts.change(self.tree.name(self.records, node).labels().count() - self.apex_labels(), 0, flags);
        }
        encode_head(out, Head { key, flags, children: self.tree.children(node), climbing: 0 });
        if numbers.is_empty() {
            return Ok(());
        }
        let sets = || numbers.chunk_by(|&a, &b| type_of(a) == type_of(b));
        // A name has fewer types than 65,536.
        out.extend_from_slice(&u16::try_from(sets().count()).unwrap_or(u16::MAX).to_le_bytes());
        for set in sets() {
            self.encode_rrset(node, set, out)?;
        }
        Ok(())
    }

    /// The records of one type, in the order of their data (RFC 4034 section 6.3), as a patch has them.
    fn encode_rrset(&self, node: u32, set: &[u32], out: &mut Vec<u8>) -> Result<(), PatchError> {
        let data = |&number: &u32| self.records.at(number as usize).rdata;
        let first = self.records.at(set[0] as usize);
        let octets: usize = set.iter().map(|number| encoded_record_length(data(number))).sum();
        let (Some(length), Ok(count)) =
            (u16::try_from(octets).ok().filter(|_| octets <= MAX_RRSET), u16::try_from(set.len()))
        else {
            let name = self.tree.name(self.records, node).into();
            return Err(PatchError::RrsetTooLarge { name, record_type: first.record_type, octets });
        };
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        let mut encode = |number: &u32| encode_record(out, first.record_type, first.ttl, data(number));
        if set.is_sorted_by_key(data) {
            set.iter().for_each(encode);
        } else {
            let mut sorted = set.to_vec();
            sorted.sort_unstable_by_key(data);
            sorted.iter().for_each(&mut encode);
        }
        Ok(())
    }

    fn apex_labels(&self) -> usize {
        self.tree.name(self.records, APEX).labels().count()
    }
}
