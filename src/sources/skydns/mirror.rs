//! What is known of the keys, and what follows from a change. Pure.
//!
//! A loss of all keys at once is *held*: they stay in force, and it is noted which of them are gone. One that comes back is
//! no longer gone; when none is left, or a person says so, nothing is held any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mcdns_core::{
    answer::OtherZone as _,
    check::{Finding, FindingCode},
    dns::{OwnerName, Serial},
};
use mcdns_skydns::{Fault, Keys, Lease, LeaseLimits, Prefix, Revision, SkyDnsZone};

use super::{OpenError, Released, Standing, State};

/// Fewer keys than this may go at once.
const GUARDED_FROM: usize = 10;
/// So many findings of one kind are told one by one.
const TOLD: usize = 100;

/// FNV-1a for 64 bits (draft-eastlake-fnv section 5): what releases a hold is no secret, but names one loss.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put { key: Vec<u8>, value: Vec<u8>, revision: Revision, lease: Lease },
    Delete { key: Vec<u8>, revision: Revision },
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Mirror {
    /// Sorted by apex.
    zones: Vec<Place>,
    keys: Keys,
    faults: BTreeMap<Box<[u8]>, Fault>,
    outside: BTreeSet<Box<[u8]>>,
    /// Keys that are gone and stay in force.
    gone: BTreeSet<Box<[u8]>>,
    /// How many keys have each lease.
    leases: BTreeMap<Lease, usize>,
    pub(super) revision: Revision,
    read: bool,
}

#[derive(Debug)]
struct Place {
    /// Key of the apex.
    path: Vec<u8>,
    zone: SkyDnsZone,
    changed: bool,
}

impl Mirror {
    pub(super) fn new(
        prefix: &Prefix,
        zones: &[OwnerName],
        serial: Serial,
        limits: LeaseLimits,
    ) -> Result<Self, OpenError> {
        let zones: BTreeSet<&OwnerName> = zones.iter().collect();
        let place = |apex: &OwnerName| {
            let wrong = |source| OpenError::Zone { apex: apex.clone(), source };
            let zone = SkyDnsZone::unread(apex, serial, limits).map_err(wrong)?;
            // A label with a slash has no keys, which is the same as having none.
            let path = prefix.key(apex).unwrap_or_default();
            Ok(Place { path, zone, changed: false })
        };
        Ok(Self {
            zones: zones.into_iter().map(place).collect::<Result<_, OpenError>>()?,
            keys: Keys::new(prefix.clone()),
            faults: BTreeMap::new(),
            outside: BTreeSet::new(),
            gone: BTreeSet::new(),
            leases: BTreeMap::new(),
            revision: 0,
            read: false,
        })
    }

    /// What keys start with, as etcd is asked for them.
    pub(super) fn range(&self) -> Vec<u8> {
        self.keys.prefix().range()
    }

    /// True once all keys were listed.
    pub(super) fn is_read(&self) -> bool {
        self.read
    }

    /// Takes changes in, in the order in which they happened.
    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        self.take(changes, true);
    }

    /// The same; the first list of all keys moves no serial.
    fn take(&mut self, changes: Vec<Change>, moves: bool) {
        let before = self.present();
        let (keys, mut lost) = (self.keys.clone(), BTreeSet::new());
        let mut added = BTreeSet::new();
        for change in &changes {
            match change {
                Change::Put { key, .. } => {
                    lost.remove(&key[..]);
                    added.insert(&key[..]);
                }
                Change::Delete { key, .. } => {
                    added.remove(&key[..]);
                    if keys.get(key).is_some() && !self.gone.contains(&key[..]) {
                        lost.insert(&key[..]);
                    }
                }
            }
        }
        let held = before >= GUARDED_FROM && lost.len() == before && added.is_empty();
        if held {
            self.gone.extend(lost.into_iter().map(Box::from));
            let newest = changes.iter().map(Change::revision).max();
            self.revision = self.revision.max(newest.unwrap_or_default());
            return;
        }
        for change in changes {
            self.revision = self.revision.max(change.revision());
            self.change(&change);
        }
        self.renew(moves);
    }

    /// Takes all keys in, as they are at `revision`.
    pub(super) fn replace(&mut self, listed: Vec<Change>, revision: Revision) {
        let mut changes = Vec::new();
        let mut there: HashSet<&[u8]> = HashSet::with_capacity(listed.len());
        for change in &listed {
            there.insert(change.key());
        }
        self.keys.visit(&mut |key, _, _, _| {
            if !there.contains(key) && !self.gone.contains(key) {
                changes.push(Change::Delete { key: key.to_vec(), revision: Revision::MAX });
            }
        });
        drop(there);
        for change in listed {
            let Change::Put { key, value, revision, lease } = &change else { continue };
            let known = self.keys.get(key);
            if known != Some((&value[..], *revision, *lease)) || self.gone.contains(&key[..]) {
                // Of another cluster, or a backup, revisions are smaller and count all the same.
                if known.is_some_and(|(_, known, _)| known > *revision) {
                    self.keys.delete(key, Revision::MAX);
                }
                changes.push(change);
            }
        }
        let is_first = !std::mem::replace(&mut self.read, true);
        self.take(changes, !is_first);
        self.revision = revision;
    }

    /// Takes in when leases end.
    pub(super) fn set_leases(&mut self, ends: Vec<(Lease, Option<u64>)>) {
        for (lease, end) in ends {
            if self.leases.contains_key(&lease) {
                self.keys.set_lease(lease, end);
            }
        }
        self.renew(true);
    }

    /// Leases that keys have.
    pub(super) fn leases(&self) -> impl ExactSizeIterator<Item = Lease> {
        self.leases.keys().copied()
    }

    /// Lets go of what is held, where `word` names it.
    pub(super) fn release(&mut self, word: &str) -> Released {
        match self.held() {
            None => return Released::Nothing,
            Some(held) if held != word => return Released::AnotherWord(held),
            Some(_) => {}
        }
        let gone = std::mem::take(&mut self.gone);
        let released = Released::Keys(gone.len());
        for key in gone {
            self.change(&Change::Delete { key: key.into(), revision: Revision::MAX });
        }
        self.renew(true);
        released
    }

    /// The word that releases what is held.
    pub(super) fn held(&self) -> Option<String> {
        let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(PRIME);
        let hash = self.gone.iter().fold(BASIS, |hash, key| step(key.iter().fold(hash, step), &0));
        (!self.gone.is_empty()).then(|| format!("{hash:016x}"))
    }

    /// What there is to tell.
    pub(super) fn state(&self, standing: Standing) -> State {
        State {
            zones: self.zones.iter().map(|place| place.zone.clone()).collect(),
            findings: self.findings(),
            standing,
            keys: self.keys.len(),
            faulty: self.faults.len(),
            outside: self.outside.len(),
            held: self.held(),
            revision: self.revision,
        }
    }

    /// Keys that are there in etcd.
    fn present(&self) -> usize {
        self.keys.len() - self.gone.len()
    }

    fn change(&mut self, change: &Change) {
        let key = change.key();
        let mut outside = true;
        for place in &mut self.zones {
            if is_at_or_below(key, &place.path) {
                place.changed = true;
                outside = false;
            }
        }
        let before = self.keys.get(key).map_or(0, |(_, _, lease)| lease);
        let after = match change {
            Change::Put { key, value, revision, lease } => {
                match self.keys.put(key, value, *revision, *lease) {
                    // What is not answered from can be whatever it likes.
                    Some(fault) if !outside => {
                        self.faults.insert(key[..].into(), fault);
                    }
                    _ => {
                        self.faults.remove(&key[..]);
                    }
                }
                self.gone.remove(&key[..]);
                if outside {
                    self.outside.insert(key[..].into());
                }
                *lease
            }
            Change::Delete { key, revision } => {
                self.keys.delete(key, *revision);
                self.faults.remove(&key[..]);
                self.outside.remove(&key[..]);
                self.gone.remove(&key[..]);
                0
            }
        };
        if before != after {
            self.count_lease(after, true);
            self.count_lease(before, false);
        }
    }

    fn count_lease(&mut self, lease: Lease, more: bool) {
        if lease == 0 {
            return;
        }
        let count = self.leases.entry(lease).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.leases.remove(&lease);
            self.keys.set_lease(lease, None);
        }
    }

    /// Gives all zones the newest keys, so that nobody keeps old ones; those that have changed get a new serial if it moves.
    fn renew(&mut self, moves: bool) {
        for place in &mut self.zones {
            let serial = place.zone.soa().serial;
            let serial = if place.changed && moves { serial.next() } else { serial };
            place.changed = false;
            place.zone = place.zone.with_keys(self.keys.clone(), serial);
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(word) = self.held() {
            let message = format!("all {} keys vanished from etcd at once; they stay in force", self.gone.len());
            let help = format!(
                "if that is meant: mcdns release {word}, at each replica (--admin ADDR:PORT, unless that is 127.0.0.1:8080)"
            );
            findings.push(Finding::new(FindingCode::Held, message).help(help));
        }
        let wanted = |code| self.faults.iter().filter(move |(_, fault)| code_of(fault) == code);
        for code in [FindingCode::SkyDnsValue, FindingCode::SkyDnsName] {
            tell(&mut findings, code, wanted(code).map(|(key, fault)| (&**key, chain(fault))));
        }
        let outside = self
            .outside
            .iter()
            .map(|key| (&**key, "the key is outside all zones that are answered from keys".to_owned()));
        tell(&mut findings, FindingCode::SkyDnsOutside, outside);
        findings
    }
}

impl Change {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// Of the store; a key that is only missing in a list has none.
    fn revision(&self) -> Revision {
        match self {
            Self::Delete { revision: Revision::MAX, .. } => 0,
            Self::Put { revision, .. } | Self::Delete { revision, .. } => *revision,
        }
    }
}

fn code_of(fault: &Fault) -> FindingCode {
    match fault {
        Fault::Value(_) => FindingCode::SkyDnsValue,
        Fault::Key(_) | Fault::Host { .. } => FindingCode::SkyDnsName,
    }
}

/// The first findings of a kind, and how many more there are.
fn tell<'a>(findings: &mut Vec<Finding>, code: FindingCode, all: impl Iterator<Item = (&'a [u8], String)>) {
    let mut more = 0;
    for (index, (key, message)) in all.enumerate() {
        if index < TOLD {
            findings.push(Finding::new(code, message).about(format!("key {}", String::from_utf8_lossy(key))));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        findings.push(Finding::new(code, format!("and {more} more keys")));
    }
}

fn chain(fault: &Fault) -> String {
    let mut text = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn is_at_or_below(key: &[u8], path: &[u8]) -> bool {
    !path.is_empty() && key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}
