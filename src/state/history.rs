//! What changed when and why, per owner name.
//!
//! A ring in memory, bounded by count and by size, with an index by owner name. It works without a state
//! directory; with one, every change also goes to segment files ([`crate::segments`]) from which the ring is
//! filled at the next start. The first computation after a start is no change and is not recorded by callers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcdns_core::{
    dns::{OwnerName, RecordType, Rrset, Ttl},
    model::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{lines::Format, segments::Kind, writer::Queue};

/// The segment files of changes.
pub(crate) const KIND: Kind = Kind { format: Format { name: "mcdns-history", version: 1 }, prefix: "history-" };

/// One name changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was computed.
    pub at: Timestamp,
    /// The generation that it belongs to.
    pub generation: u64,
    /// Zone of the name.
    pub apex: OwnerName,
    /// The name.
    pub owner: OwnerName,
    /// Its RRsets until then; empty where it did not exist.
    #[serde(with = "compact")]
    pub before: Vec<Rrset>,
    /// Its RRsets from then on; empty where it is gone.
    #[serde(with = "compact")]
    pub after: Vec<Rrset>,
    /// Which observations caused it, for a person.
    pub reason: String,
}

/// How much history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Changes in memory.
    pub changes: usize,
    /// Octets in memory, estimated.
    pub memory: usize,
    /// Octets in the state directory.
    pub disk: u64,
}

impl Default for HistoryLimits {
    /// 10,000 changes are some hours of a busy federation; the sizes hold about twice as many usual ones.
    fn default() -> Self {
        Self { changes: 10_000, memory: 8 << 20, disk: 16 << 20 }
    }
}

/// The last changes. Shared freely: readers and the one who records lock it for microseconds.
#[derive(Debug)]
pub struct History {
    ring: Mutex<Ring>,
    sink: Option<Arc<Queue>>,
}

impl History {
    /// A history without a state directory.
    pub fn in_memory(limits: HistoryLimits) -> Self {
        Self { ring: Mutex::new(Ring::new(limits)), sink: None }
    }

    /// A history that starts with `known`, oldest first, and goes on in the state directory.
    pub(crate) fn recovered(
        limits: HistoryLimits,
        known: impl IntoIterator<Item = Arc<Change>>,
        sink: Arc<Queue>,
    ) -> Self {
        let mut ring = Ring::new(limits);
        for change in known {
            ring.push(change);
        }
        Self { ring: Mutex::new(ring), sink: Some(sink) }
    }

    /// Adds a change; the oldest ones make room.
    pub fn record(&self, change: Change) {
        let change = Arc::new(change);
        self.ring().push(change.clone());
        if let Some(sink) = &self.sink {
            sink.push_change(change);
        }
    }

    /// The changes of one name that are still known, newest first.
    pub fn of(&self, owner: &OwnerName) -> Vec<Arc<Change>> {
        self.ring().of(owner)
    }

    /// The last `count` changes, newest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<Change>> {
        self.ring().changes.iter().rev().take(count).cloned().collect()
    }

    /// How many changes are known.
    pub fn len(&self) -> usize {
        self.ring().changes.len()
    }

    /// True if no change is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Every update leaves the ring whole, so another thread's panic does not spoil it.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes and where those of each name stand.
#[derive(Debug)]
struct Ring {
    limits: HistoryLimits,
    changes: VecDeque<Arc<Change>>,
    /// Number of the first change in `changes`, counted from the start of the program.
    first: u64,
    size: usize,
    by_owner: HashMap<OwnerName, VecDeque<u64>>,
}

impl Ring {
    fn new(limits: HistoryLimits) -> Self {
        Self { limits, changes: VecDeque::new(), first: 0, size: 0, by_owner: HashMap::new() }
    }

    fn push(&mut self, change: Arc<Change>) {
        let number = self.first + self.changes.len() as u64;
        self.size += size_of_change(&change);
        self.by_owner.entry(change.owner.clone()).or_default().push_back(number);
        self.changes.push_back(change);
        while self.changes.len() > self.limits.changes || self.size > self.limits.memory {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.changes.pop_front() else { return false };
        self.first += 1;
        self.size = self.size.saturating_sub(size_of_change(&oldest));
        if let Some(numbers) = self.by_owner.get_mut(&oldest.owner) {
            numbers.pop_front();
            if numbers.is_empty() {
                self.by_owner.remove(&oldest.owner);
            }
        }
        true
    }

    fn of(&self, owner: &OwnerName) -> Vec<Arc<Change>> {
        let Some(numbers) = self.by_owner.get(owner) else { return Vec::new() };
        let at = |number: &u64| usize::try_from(number - self.first).ok().and_then(|index| self.changes.get(index));
        numbers.iter().rev().filter_map(at).cloned().collect()
    }
}

/// Memory of a change, with its share of the index: an estimate that errs upwards.
fn size_of_change(change: &Change) -> usize {
    let data = change.before.iter().chain(&change.after).map(|rrset| {
        let octets: usize = rrset.data().iter().map(|data| data.len() + 32).sum();
        octets + size_of::<Rrset>()
    });
    let names = 2 * change.owner.as_wire().len() + change.apex.as_wire().len();
    size_of::<Change>() + 128 + names + change.reason.len() + data.sum::<usize>()
}

/// RRsets as `["A", 180, ["c0000201"]]`: RDATA as hexadecimal digits takes half of what lists of numbers take.
pub(crate) mod compact {
    use super::{Deserialize, Deserializer, RecordType, Rrset, Serializer, Ttl, de};

    pub(crate) fn serialize<S: Serializer>(rrsets: &[Rrset], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rrsets.iter().map(|rrset| {
            let data: Vec<String> = rrset.data().iter().map(|data| to_hex(data)).collect();
            (rrset.record_type, rrset.ttl, data)
        }))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rrset>, D::Error> {
        let rrsets = <Vec<(RecordType, Ttl, Vec<String>)>>::deserialize(deserializer)?;
        let read = rrsets.into_iter().map(|(record_type, ttl, data)| {
            let data: Option<Vec<Box<[u8]>>> = data.iter().map(|digits| from_hex(digits)).collect();
            Some(Rrset::new(record_type, ttl, data?))
        });
        read.collect::<Option<_>>().ok_or_else(|| de::Error::custom("record data is not hexadecimal"))
    }

    fn to_hex(data: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        data.iter()
            .flat_map(|octet| [octet >> 4, octet & 15])
            .map(|digit| char::from(DIGITS[usize::from(digit)]))
            .collect()
    }

    fn from_hex(digits: &str) -> Option<Box<[u8]>> {
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let pairs = digits.as_bytes().chunks(2);
        pairs.map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn change(owner: &str, generation: u64) -> Change {
        let address = |last: u8| Rrset::new(RecordType::A, 180, vec![Box::new([192, 0, 2, last])]);
        Change {
            at: Timestamp(1_700_000_000_000),
            generation,
            apex: "example.com".parse().expect("a name"),
            owner: owner.parse().expect("a name"),
            before: vec![address(1)],
            after: vec![address(2), Rrset::new(RecordType::TXT, 5, vec![Box::new([3, 0, 255, 16])])],
            reason: "Service shop/web in east changed".to_owned(),
        }
    }

    fn generations(changes: &[Arc<Change>]) -> Vec<u64> {
        changes.iter().map(|change| change.generation).collect()
    }

    #[test]
    fn changes_of_a_name_come_newest_first() {
        let history = History::in_memory(HistoryLimits::default());
        for (generation, owner) in [(1, "a.example.com"), (2, "b.example.com"), (3, "A.example.com.")] {
            history.record(change(owner, generation));
        }
        assert_eq!(generations(&history.of(&"a.example.com".parse().expect("a name"))), [3, 1]);
        assert_eq!(generations(&history.latest(2)), [3, 2]);
        assert!(history.of(&"c.example.com".parse().expect("a name")).is_empty());
    }

    #[test]
    fn the_ring_is_bounded_by_count_and_forgets_names_that_left_it() {
        let history = History::in_memory(HistoryLimits { changes: 3, ..HistoryLimits::default() });
        for generation in 1..=10 {
            history.record(change(&format!("n{}.example.com", generation % 4), generation));
        }
        assert_eq!(generations(&history.latest(10)), [10, 9, 8]);
        assert!(history.of(&"n3.example.com".parse().expect("a name")).is_empty());
        assert_eq!(history.ring().by_owner.len(), 3);
    }

    #[test]
    fn the_ring_is_bounded_by_size() {
        let one = size_of_change(&change("a.example.com", 1));
        let history = History::in_memory(HistoryLimits { changes: 100, memory: one * 2, disk: 0 });
        for generation in 1..=5 {
            history.record(change("a.example.com", generation));
        }
        assert_eq!(generations(&history.latest(10)), [5, 4]);
        assert_eq!(history.ring().size, one * 2);
    }

    #[test]
    fn a_change_survives_its_text_form() {
        let change = change("a.example.com", 7);
        let text = serde_json::to_string(&change).expect("serialised");
        assert!(text.contains(r#"["A",180,["c0000201"]]"#), "{text}");
        assert_eq!(serde_json::from_str::<Change>(&text).expect("parsed"), change);
        assert!(serde_json::from_str::<Change>(&text.replace("c0000201", "c000020")).is_err());
        assert!(serde_json::from_str::<Change>(&text.replace("c0000201", "c000020g")).is_err());
    }
}
