//! A zone that answers with authority from its own names (RFC 1034 section 4.2.1).

use std::sync::Arc;

use crate::{
    check::zone::ZoneContents,
    dns::{OwnerName, RecordType, Serial},
};

use super::{
    levels::LevelIndex,
    load::load,
    node::{EncodedRrset, Node, encode_record},
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

    /// The same zone with another serial.
    #[must_use]
    pub fn with_serial(&self, serial: Serial) -> Self {
        let soa = Soa { serial, ..self.apex.soa.clone() };
        Self { apex: Arc::new(Apex::new(&self.apex.name, self.apex.hash, &soa)), ..self.clone() }
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

    pub(super) fn node(&self, key: &[u8]) -> Option<Node<'_>> {
        self.table.find::<false>(descendant_hash(self.apex.hash, key), key)
    }

    /// The owner name of a key; always a name, since it was made from one.
    pub(super) fn owner(&self, key: &[u8]) -> Option<OwnerName> {
        self.apex.name.prepend_wire(key).ok()
    }
}

impl Apex {
    fn new(name: &OwnerName, hash: u64, soa: &Soa) -> Self {
        let data = soa.data();
        let record = |ttl| {
            let mut octets = Vec::new();
            encode_record(&mut octets, RecordType::SOA, ttl, &data);
            octets.into_boxed_slice()
        };
        let (positive, negative) = (record(soa.ttl), record(soa.ttl.min(soa.negative_ttl)));
        Self { name: name.clone(), hash, soa: soa.clone(), positive, negative }
    }
}
