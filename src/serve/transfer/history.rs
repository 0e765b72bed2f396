//! What all listeners share about transfers: the last differences of every zone, and how many transfers are under way.
//!
//! ```text
//!   zone:  serial 7 ──► 8 ──► 9 ──► 12          a chain: each difference starts where the one before ended
//!            └─ forgotten ─┘  └── kept ──┘      (RFC 1995 section 5: old ones may be purged)
//! ```
//!
//! A chain is bounded by number, by octets and by the size of its zone: past that, the whole zone is the shorter
//! answer. All of them together are bounded by octets: past that, the largest chain gives up its oldest difference,
//! whichever zone has changed, so that one that changes much leaves room to those that change little. A chain spans less than half of all serials, so that each of them stands for one content. Where a difference is missing, the chain
//! starts anew behind the gap, and older secondaries get the zone as a whole. Only requests for transfers lock anything, for as long as it takes to copy a list of pointers.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use mcdns_core::{
    answer::{AuthoritativeZone, Soa, ZoneDifference},
    dns::{OwnerName, Serial},
};

use super::PublishedZones;

/// A chain up to this size, in octets, is not compared with its zone.
const SMALL_CHAIN: usize = 64 << 10;

/// How much is kept and done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// Differences of one zone.
    pub differences: usize,
    /// Octets of them, as they are sent.
    pub octets: usize,
    /// Octets of all zones.
    pub total_octets: usize,
    /// Transfers that are under way at a time; each keeps the generation of its zone in memory.
    pub concurrent: usize,
}

/// The last differences of all zones, and the transfers that are under way.
#[derive(Debug, Default)]
pub struct TransferHistory {
    zones: RwLock<Zones>,
    published: PublishedZones,
    under_way: Arc<AtomicUsize>,
    counts: [AtomicU64; 5],
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferTotals {
    /// Whole zones that were asked for and given.
    pub whole: u64,
    /// Answers to IXFR that were differences.
    pub incremental: u64,
    /// Answers to IXFR that were the whole zone.
    pub incremental_as_whole: u64,
    /// Answers to IXFR that were the SOA alone.
    pub up_to_date: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// What a request for a transfer led to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given {
    Whole,
    Incremental,
    IncrementalAsWhole,
    UpToDate,
    Refused,
}

/// A place among the transfers that are under way, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

#[derive(Debug, Default)]
struct Zones {
    limits: TransferLimits,
    /// None of them empty.
    chains: BTreeMap<OwnerName, Chain>,
    /// All chains by their octets, so that the largest is found without looking at the others.
    by_size: BTreeSet<(usize, OwnerName)>,
    /// Octets of all chains.
    octets: usize,
}

#[derive(Debug, Default)]
struct Chain {
    /// Each with its octets.
    differences: VecDeque<(Arc<ZoneDifference>, usize)>,
    octets: usize,
}

impl Default for TransferLimits {
    /// 1,000 differences are more than a secondary misses that asks when it is told. BIND keeps as much as the zone,
    /// Knot 20 MB; BIND runs 10 transfers at a time by default, which 200 zones after a restart make slow.
    fn default() -> Self {
        Self { differences: 1000, octets: 4 << 20, total_octets: 64 << 20, concurrent: 64 }
    }
}

impl TransferHistory {
    /// An empty history.
    pub fn new(limits: TransferLimits) -> Self {
        let history = Self::default();
        history.set_limits(limits);
        history
    }

    /// Puts other limits in force. What is above them is forgotten at once; transfers that are under way go on.
    pub fn set_limits(&self, limits: TransferLimits) {
        self.write().set_limits(limits);
    }

    /// Takes up what is known from before, oldest first.
    pub fn recover(&self, differences: impl IntoIterator<Item = Arc<ZoneDifference>>) {
        let mut zones = self.write();
        for difference in differences {
            zones.push(difference, None);
        }
    }

    /// Adds the difference that led to `zone`, which is about to be served. A gap before it, or none at all where the
    /// serial did not move forward, makes the chain start anew.
    pub fn record(&self, difference: Arc<ZoneDifference>, zone: &AuthoritativeZone) {
        self.write().push(difference, Some(zone));
    }

    /// The last serial that the chain of a zone leads to, if there is one.
    pub fn last(&self, apex: &OwnerName) -> Option<Soa> {
        let zones = self.read();
        let (last, _) = zones.chains.get(apex)?.differences.back()?;
        Some(last.to.clone())
    }

    /// Forgets what is known of a zone: it is no longer served, or it changed in an unknown way.
    pub fn forget(&self, apex: &OwnerName) {
        self.write().forget(apex);
    }

    /// The differences from one serial to another, oldest first; none if they are not known.
    pub fn between(&self, apex: &OwnerName, from: Serial, to: Serial) -> Option<Vec<Arc<ZoneDifference>>> {
        let zones = self.read();
        let chain = &zones.chains.get(apex)?.differences;
        let first = chain.iter().position(|(difference, _)| difference.from.serial == from)?;
        let behind = first + chain.iter().skip(first).position(|(difference, _)| difference.to.serial == to)?;
        Some(chain.range(first..=behind).map(|(difference, _)| Arc::clone(difference)).collect())
    }

    /// What was counted.
    pub fn totals(&self) -> TransferTotals {
        let count = |given: Given| self.counts[given as usize].load(Relaxed);
        TransferTotals {
            whole: count(Given::Whole),
            incremental: count(Given::Incremental),
            incremental_as_whole: count(Given::IncrementalAsWhole),
            up_to_date: count(Given::UpToDate),
            refused: count(Given::Refused),
        }
    }

    /// Zones whose transfers are of another generation than their answers.
    pub fn published(&self) -> &PublishedZones {
        &self.published
    }

    /// Transfers that are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    pub(crate) fn count(&self, given: Given) {
        self.counts[given as usize].fetch_add(1, Relaxed);
    }

    /// A place for one more transfer, unless there are too many.
    pub(super) fn permit(&self) -> Option<Permit> {
        let before = self.under_way.fetch_add(1, Relaxed);
        let permit = Permit(Arc::clone(&self.under_way));
        (before < self.read().limits.concurrent).then_some(permit)
    }

    fn read(&self) -> RwLockReadGuard<'_, Zones> {
        // Every update leaves the chains whole, so another thread's panic does not spoil them.
        self.zones.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Zones> {
        self.zones.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Zones {
    fn push(&mut self, difference: Arc<ZoneDifference>, zone: Option<&AuthoritativeZone>) {
        let apex = difference.apex.clone();
        let moves = difference.from.serial < difference.to.serial;
        let continues = self.chains.get(&apex).is_none_or(|chain| {
            chain.differences.back().is_none_or(|(last, _)| last.to.serial == difference.from.serial)
        });
        if !continues || !moves {
            self.forget(&apex);
        }
        if !moves {
            return;
        }
        let octets = difference.octets();
        let chain = self.chains.entry(apex.clone()).or_default();
        chain.differences.push_back((difference, octets));
        self.by_size.remove(&(chain.octets, apex.clone()));
        chain.octets += octets;
        self.octets += octets;
        self.by_size.insert((chain.octets, apex.clone()));
        let weight = zone.filter(|_| chain.octets > SMALL_CHAIN).map_or(usize::MAX, AuthoritativeZone::weight);
        self.trim(&apex, weight);
        self.shrink(self.limits.total_octets);
    }

    /// Forgets the oldest differences of a zone, as long as it has too much of them.
    fn trim(&mut self, apex: &OwnerName, weight: usize) {
        let Some(chain) = self.chains.get_mut(apex) else { return };
        self.by_size.remove(&(chain.octets, apex.clone()));
        let limit = self.limits.octets.min(weight);
        let newest = chain.differences.back().map(|(last, _)| last.to.serial);
        // A serial from half a turn ago is not older any more (RFC 1982 section 3.2), and after a whole turn the same
        // serial would stand for two contents.
        let is_older = |serial: Serial| serial.partial_cmp(&newest.unwrap_or(serial)) == Some(Ordering::Less);
        while chain.octets > limit
            || chain.differences.len() > self.limits.differences
            || chain.differences.front().is_some_and(|(first, _)| !is_older(first.from.serial))
        {
            let Some((_, octets)) = chain.differences.pop_front() else { break };
            chain.octets -= octets;
            self.octets -= octets;
        }
        if chain.differences.is_empty() {
            self.chains.remove(apex);
        } else {
            self.by_size.insert((chain.octets, apex.clone()));
        }
    }

    fn set_limits(&mut self, limits: TransferLimits) {
        if self.limits == limits {
            return;
        }
        self.limits = limits;
        let zones: Vec<OwnerName> = self.chains.keys().cloned().collect();
        for apex in zones {
            self.trim(&apex, usize::MAX);
        }
        self.shrink(limits.total_octets);
    }

    /// Forgets the oldest difference of the largest chain until no more octets are left than this.
    fn shrink(&mut self, most: usize) {
        while self.octets > most
            && let Some((_, apex)) = self.by_size.pop_last()
            && let Some(chain) = self.chains.get_mut(&apex)
        {
            if let Some((_, octets)) = chain.differences.pop_front() {
                chain.octets -= octets;
                self.octets -= octets;
            }
            if chain.differences.is_empty() {
                self.chains.remove(&apex);
            } else {
                self.by_size.insert((chain.octets, apex));
            }
        }
    }

    fn forget(&mut self, apex: &OwnerName) {
        if let Some(chain) = self.chains.remove(apex) {
            self.octets -= chain.octets;
            self.by_size.remove(&(chain.octets, apex.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(from: u32, to: u32) -> Arc<ZoneDifference> {
        difference_of("example.com", from, to)
    }

    fn difference_of(apex: &str, from: u32, to: u32) -> Arc<ZoneDifference> {
        let apex: OwnerName = apex.parse().expect("a name");
        let soa = |serial| Soa {
            primary: apex.clone(),
            contact: apex.clone(),
            serial: Serial(serial),
            refresh: 3600,
            retry: 600,
            expire: 604_800,
            negative_ttl: 30,
            ttl: 3600,
        };
        let (from, to) = (soa(from), soa(to));
        Arc::new(ZoneDifference { apex, from, to, removed: Vec::new(), added: Vec::new() })
    }

    #[test]
    fn the_largest_chain_makes_room_whichever_zone_changes() {
        let one = difference_of("a.example", 1, 2).octets();
        let limits = TransferLimits { total_octets: 6 * one, ..TransferLimits::default() };
        let history = TransferHistory::new(limits);
        let known = |apex: &str| {
            let zones = history.read();
            let chain = zones.chains.get(&apex.parse::<OwnerName>().expect("a name"));
            chain.map_or_else(Vec::new, |chain| {
                chain.differences.iter().map(|(difference, _)| difference.from.serial.0).collect()
            })
        };
        let add = |apex: &str, from: u32| history.recover([difference_of(apex, from, from + 1)]);
        add("a.example", 1);
        (1..=5).for_each(|serial| add("b.example", serial));
        assert_eq!((known("a.example"), known("b.example")), (vec![1], vec![1, 2, 3, 4, 5]));
        // Who changes often pays for it itself,
        (6..=9).for_each(|serial| add("b.example", serial));
        assert_eq!((known("a.example"), known("b.example")), (vec![1], vec![5, 6, 7, 8, 9]));
        // and makes room for others.
        (2..=3).for_each(|serial| add("a.example", serial));
        assert_eq!((known("a.example"), known("b.example")), (vec![1, 2, 3], vec![7, 8, 9]));
        add("c.example", 1);
        assert_eq!((known("a.example").len() + known("b.example").len(), known("c.example")), (5, vec![1]));
        history.forget(&"b.example".parse().expect("a name"));
        add("c.example", 7);
        assert_eq!(known("c.example"), [7], "a gap");
        let zones = history.read();
        let sizes: BTreeSet<_> = zones.chains.iter().map(|(apex, chain)| (chain.octets, apex.clone())).collect();
        assert_eq!((&zones.by_size, zones.octets), (&sizes, sizes.iter().map(|(octets, _)| octets).sum()));
    }

    #[test]
    fn other_limits_count_at_once() {
        let history = TransferHistory::default();
        history.recover((1..=10).map(|serial| difference(serial, serial + 1)));
        let kept =
            |from: u32| history.between(&"example.com".parse().expect("a name"), Serial(from), Serial(11)).is_some();
        assert!(kept(1));
        history.set_limits(TransferLimits { differences: 3, ..TransferLimits::default() });
        assert!(kept(8) && !kept(7));
        let octets = difference(1, 2).octets();
        history.set_limits(TransferLimits { octets: 2 * octets, ..TransferLimits::default() });
        assert!(kept(9) && !kept(8));
        history.set_limits(TransferLimits { total_octets: octets, ..TransferLimits::default() });
        assert!(kept(10) && !kept(9));
        history.set_limits(TransferLimits { differences: 0, ..TransferLimits::default() });
        assert!(history.last(&"example.com".parse().expect("a name")).is_none());

        history.set_limits(TransferLimits { concurrent: 1, ..TransferLimits::default() });
        let first = history.permit();
        assert!(first.is_some() && history.permit().is_none());
        drop(first);
        assert!(history.permit().is_some());
    }

    #[test]
    fn a_serial_that_comes_again_after_a_whole_turn_stands_for_its_last_content() {
        let history = TransferHistory::default();
        let serials = [1, 0x7fff_ffff, 0xfffe_0000, 1, 5];
        history.recover(serials.array_windows().map(|&[from, to]| difference(from, to)));
        let between = |from: u32| history.between(&"example.com".parse().expect("a name"), Serial(from), Serial(5));
        assert_eq!(between(1), Some(vec![difference(1, 5)]));
        assert_eq!(between(0xfffe_0000).map(|chain| chain.len()), Some(2));
        assert_eq!(between(0x7fff_ffff), None, "more than half a turn ago");
    }
}
