//! Differences of zones, so that secondaries can go on with incremental transfers (RFC 1995) after a restart.
//!
//! Each line is one difference, with the digest of the zone that it led to. The files are a ring by size, like the change
//! history; what is damaged or was never written leaves a gap, which ends the chain of the zone before it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use mcdns_core::{
    answer::{Soa, ZoneDifference},
    dns::{OwnerName, Rrset},
};
use serde::{Deserialize, Serialize};

use crate::{digits, history::compact, lines::Format, segments::Kind};

/// The segment files of differences.
pub(crate) const KIND: Kind = Kind { format: Format { name: "mcdns-differences", version: 1 }, prefix: "differences-" };
/// Octets of all segment files.
pub(crate) const MAX_DISK: u64 = 32 << 20;
/// Differences that are read at the start, the last ones.
pub(crate) const MAX_READ: usize = 20_000;
/// Octets of a difference, as it is sent, that is written. A larger one is a reload of a zone, and a line several times
/// as long would push all others out.
const MAX_OCTETS: usize = 2 << 20;

/// One published change of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Line", into = "Line")]
pub struct Published {
    /// What changed.
    pub difference: Arc<ZoneDifference>,
    /// Digest of what the zone holds afterwards.
    pub digest: u128,
    /// True if what was published before does not lead here, whatever its serial.
    pub begins: bool,
}

/// What was published of one zone, oldest first, without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Each starts where the one before ended.
    pub differences: Vec<Arc<ZoneDifference>>,
    /// Digest of the zone at the end.
    pub digest: u128,
}

/// The form on disk.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    apex: OwnerName,
    from: Soa,
    to: Soa,
    removed: Vec<Owned>,
    added: Vec<Owned>,
    #[serde(with = "digits")]
    digest: Option<u128>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    begins: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Owned(OwnerName, #[serde(with = "compact")] Vec<Rrset>);

impl Published {
    /// False for what is too large.
    pub(crate) fn is_kept(&self) -> bool {
        self.difference.octets() <= MAX_OCTETS
    }
}

/// The chains that follow from what was read.
pub(crate) fn chains(read: VecDeque<Arc<Published>>) -> BTreeMap<OwnerName, Chain> {
    let mut chains: BTreeMap<OwnerName, Chain> = BTreeMap::new();
    for published in read {
        let Published { difference, digest, begins } = &*published;
        let chain = chains.entry(difference.apex.clone()).or_default();
        if *begins || chain.differences.last().is_some_and(|last| last.to.serial != difference.from.serial) {
            chain.differences.clear();
        }
        chain.differences.push(Arc::clone(difference));
        chain.digest = *digest;
    }
    chains
}

impl From<Line> for Published {
    fn from(line: Line) -> Self {
        let Line { apex, from, to, removed, added, digest, begins } = line;
        let flat = |list: Vec<Owned>| {
            list.into_iter()
                .flat_map(|Owned(owner, sets)| sets.into_iter().map(move |set| (owner.clone(), set)))
                .collect()
        };
        let difference = ZoneDifference { apex, from, to, removed: flat(removed), added: flat(added) };
        Self { difference: Arc::new(difference), digest: digest.unwrap_or_default(), begins }
    }
}

impl From<Published> for Line {
    fn from(published: Published) -> Self {
        let (digest, begins) = (Some(published.digest), published.begins);
        let ZoneDifference { apex, from, to, removed, added } = Arc::unwrap_or_clone(published.difference);
        let owned =
            |list: Vec<(OwnerName, Rrset)>| list.into_iter().map(|(owner, set)| Owned(owner, vec![set])).collect();
        Self { apex, from, to, removed: owned(removed), added: owned(added), digest, begins }
    }
}

#[cfg(test)]
mod tests {
    use mcdns_core::dns::{RecordType, Serial};

    use super::*;
    use crate::{HistoryLimits, StateDirectory};

    fn published(apex: &str, from: u32) -> Published {
        let name = |text: &str| OwnerName::parse(text).expect("a name");
        let soa = |serial| Soa {
            primary: name("ns1.example.com"),
            contact: name("hostmaster.example.com"),
            serial: Serial(serial),
            refresh: 3600,
            retry: 600,
            expire: 604_800,
            negative_ttl: 30,
            ttl: 3600,
        };
        let set = |octet| Rrset::new(RecordType::A, 60, vec![[192, 0, 2, octet].into()]);
        let owner = name(&format!("a.{apex}"));
        let difference = ZoneDifference {
            apex: name(apex),
            from: soa(from),
            to: soa(from + 1),
            removed: vec![(owner.clone(), set(1))],
            added: vec![(owner, set(2))],
        };
        Published { difference: Arc::new(difference), digest: u128::MAX - u128::from(from), begins: false }
    }

    fn recovered(directory: &std::path::Path) -> (StateDirectory, BTreeMap<OwnerName, Chain>, usize) {
        let (state, recovered, warnings) = StateDirectory::open(directory, HistoryLimits::default()).expect("opened");
        (state, recovered.differences, warnings.len())
    }

    #[test]
    fn differences_survive_a_restart_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        for first in [0, 3] {
            let (state, ..) = recovered(directory.path());
            for serial in first..first + 3 {
                state.record_difference(published("example.com", serial));
                state.record_difference(published("example.net", serial));
            }
            state.shutdown().expect("written");
        }
        let (_state, chains, warnings) = recovered(directory.path());
        assert_eq!(warnings, 0);
        assert_eq!(chains.len(), 2);
        for chain in chains.values() {
            let serials: Vec<u32> = chain.differences.iter().map(|difference| difference.to.serial.0).collect();
            assert_eq!(serials, [1, 2, 3, 4, 5, 6]);
            assert_eq!(chain.digest, u128::MAX - 5);
        }
        let chain = &chains[&OwnerName::parse("example.com").expect("a name")];
        assert_eq!(chain.differences[2], published("example.com", 2).difference);
    }

    #[test]
    fn damage_costs_what_is_before_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (state, ..) = recovered(directory.path());
        for serial in 0..4 {
            state.record_difference(published("example.com", serial));
        }
        state.shutdown().expect("written");
        let path = directory.path().join("differences-00000001");
        let content = std::fs::read_to_string(&path).expect("read");
        let mut lines: Vec<String> = content.lines().map(ToOwned::to_owned).collect();
        // Behind the header, the second of four.
        lines[2] = lines[2].replace("example", "exempel");
        std::fs::write(&path, lines.join("\n") + "\n").expect("written");
        let (_state, chains, warnings) = recovered(directory.path());
        assert_eq!(warnings, 1);
        let chain = chains.values().next().expect("a chain");
        let serials: Vec<u32> = chain.differences.iter().map(|difference| difference.from.serial.0).collect();
        assert_eq!(serials, [2, 3]);
    }
}
