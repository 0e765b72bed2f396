//! The level names of a zone, by hash: is `us-east-2.apex` a region, `us-east-2a.us-east-2.apex` an availability zone?

use hashbrown::HashTable;

use super::{
    patch::Levels,
    query_name::{child_hash, descendant_hash},
};

/// [`Levels`] made ready for look-ups below one apex.
#[derive(Debug, Clone, Default)]
pub(super) struct LevelIndex {
    levels: Levels,
    index: HashTable<LevelName>,
    /// Regions with their availability zones, as wire labels.
    wire: Vec<WireLevel>,
}

/// The wire label of a region, and those of its availability zones.
type WireLevel = (Box<[u8]>, Vec<Box<[u8]>>);

/// `region` or `availability-zone.region` as wire labels.
#[derive(Debug, Clone)]
struct LevelName {
    hash: u64,
    labels: Box<[u8]>,
}

impl LevelIndex {
    /// Labels were checked to have 1 to 63 octets.
    pub(super) fn new(levels: &Levels, apex_hash: u64) -> Self {
        let mut index = HashTable::new();
        let mut insert = |labels: Vec<u8>| {
            let hash = descendant_hash(apex_hash, &labels);
            index.insert_unique(hash, LevelName { hash, labels: labels.into_boxed_slice() }, |name| name.hash);
        };
        for (region, availability_zones) in &levels.regions {
            let region = wire_label(region);
            for availability_zone in availability_zones {
                insert([wire_label(availability_zone), region.clone()].concat());
            }
            insert(region);
        }
        let boxed = |label: &str| wire_label(label).into_boxed_slice();
        let wire = levels.regions.iter().map(|(region, inner)| {
            (boxed(region), inner.iter().map(|availability_zone| boxed(availability_zone)).collect())
        });
        Self { levels: levels.clone(), index, wire: wire.collect() }
    }

    /// Regions with their availability zones, as wire labels.
    pub(super) fn wire(&self) -> impl Iterator<Item = (&[u8], &[Box<[u8]>])> {
        self.wire.iter().map(|(region, inner)| (&**region, &**inner))
    }

    /// How many level names there are below each global name.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn levels(&self) -> &Levels {
        &self.levels
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// True if these wire labels in front of the apex are a region, or an availability zone with its region.
    #[inline]
    pub(super) fn contains(&self, hash: u64, labels: &[u8]) -> bool {
        self.index.find(hash, |name| &*name.labels == labels).is_some()
    }
}

/// Hash of wire labels in front of the apex, with the label `*` in front of these if `star`.
pub(super) fn global_hash(apex_hash: u64, star: bool, labels: &[u8]) -> u64 {
    let hash = descendant_hash(apex_hash, labels);
    if star { child_hash(hash, b"*") } else { hash }
}

/// A label with its length in front; lower case, as names are kept.
#[expect(clippy::cast_possible_truncation, reason = "a label has at most 63 octets")]
fn wire_label(label: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(label.len() + 1);
    wire.push(label.len() as u8);
    wire.extend_from_slice(label.to_ascii_lowercase().as_bytes());
    wire
}
