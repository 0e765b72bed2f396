//! What stands and what was written: whether a write is needed, and whether somebody writes against us.
//!
//! Nothing is written when one of these is true of an object:
//!
//! * What stands has the digest of what is wanted.
//! * The same was wanted before, was written, and what stands is what came of that write. A server that prunes or
//!   defaults fields gives something else than was asked for; writing it again would not change that.
//!
//! A *foreign write* is a change by somebody else that our next write had to take back: what stood had another digest
//! than what we had written, and our write made a new version of it. Somebody else's write to fields that are not ours
//! leaves our write without effect and is none.
//!
//! Versions order what is told only for a moment: a watch may be *behind our own write*, and what it tells then is not
//! what stands. An etcd that was restored from a backup goes back for good, though. So what is older than our last write
//! waits for a minute, in which a watch catches up, and counts after that.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use mcdns_api::{Kept, Standing, StandingChange, StandingKey, StandingKind};
use tokio::time::Instant;

use crate::MANAGER;

/// Two foreign writes within this long stop our writing of the object.
const FIGHT: Duration = Duration::from_mins(1);
/// A watch is believed to be behind our own write for so long after that.
const BEHIND: Duration = Duration::from_mins(1);
/// It goes on after so long without a foreign write.
pub(super) const QUIET: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<StandingKey, Entry>,
    complete: HashSet<StandingKind>,
    stopped: BTreeSet<StandingKey>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Whether `standing` is knowledge, also where it is none.
    known: bool,
    standing: Option<Standing>,
    written: Option<Written>,
    /// What was told last, where that is older than what we wrote a moment before.
    behind: Option<Standing>,
    last_foreign: Option<Instant>,
    stopped: bool,
}

/// The last write, and what came of it.
#[derive(Debug)]
struct Written {
    wanted: u64,
    resulted: u64,
    resource_version: String,
    at: Instant,
}

/// What a write turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It was as wanted already.
    None,
    /// It is as wanted now.
    Changed,
    /// It took back what somebody else had written.
    Healed,
    /// The same, for the second time within a minute: this object is not written any more.
    Stopped,
}

/// What has to be done about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    None,
    /// Write.
    Write,
    /// Read first: it is not known what stands.
    Read,
    /// Nothing for this long, and then look again.
    Wait(Duration),
}

impl Ledger {
    /// Takes a change in. True if somebody has to look at the object.
    pub(super) fn observe(&mut self, change: StandingChange, now: Instant) -> bool {
        let StandingChange { key, standing } = change;
        let entry = self.entries.entry(key.clone()).or_default();
        if let (Some(told), Some(written)) = (&standing, &entry.written)
            && is_older(&told.resource_version, &written.resource_version)
            && now.duration_since(written.at) < BEHIND
        {
            entry.behind = standing;
            return false;
        }
        entry.behind = None;
        let is_new = match (&standing, &entry.written) {
            (Some(standing), Some(written)) => standing.digest != written.resulted,
            (Some(_), None) => true,
            (None, _) => entry.standing.is_some(),
        };
        let foreign = is_new && standing.as_ref().is_none_or(|one| one.manager.as_deref() != Some(MANAGER));
        if entry.stopped && foreign {
            entry.last_foreign = Some(now);
        }
        let unchanged = entry.standing.as_ref().map(|one| one.digest) == standing.as_ref().map(|one| one.digest);
        (entry.standing, entry.known) = (standing, true);
        if entry.standing.is_none() && entry.written.is_none() && !entry.stopped {
            self.entries.remove(&key);
        }
        is_new && !unchanged
    }

    /// What was told last is what stands, also where it is older than our last write, if the watch had the time to catch
    /// up and did not.
    pub(super) fn catch_up(&mut self, key: &StandingKey, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.written.as_ref().is_none_or(|written| now.duration_since(written.at) >= BEHIND)
            && let Some(standing) = entry.behind.take()
        {
            (entry.standing, entry.known) = (Some(standing), true);
        }
    }

    /// Everything of this kind that stood at the start was handed in.
    pub(super) fn complete(&mut self, kind: StandingKind) {
        self.complete.insert(kind);
    }

    pub(super) fn is_complete(&self, kind: StandingKind) -> bool {
        self.complete.contains(&kind)
    }

    /// Whether an object has to be written to become what has this digest.
    pub(super) fn need(&self, key: &StandingKey, wanted: u64, now: Instant) -> Need {
        let Some(entry) = self.entries.get(key) else {
            return if self.complete.contains(&key.kind) { Need::Write } else { Need::Read };
        };
        if let Some(left) = entry.stopped_for(now) {
            return Need::Wait(left);
        }
        match (&entry.standing, &entry.written) {
            (Some(standing), _) if standing.digest == wanted => Need::None,
            (Some(standing), Some(written)) if written.wanted == wanted && written.resulted == standing.digest => {
                Need::None
            }
            (None, _) if !entry.known && !self.complete.contains(&key.kind) => Need::Read,
            _ => Need::Write,
        }
    }

    /// A write of what has the digest `wanted` gave `result`.
    pub(super) fn wrote(&mut self, key: &StandingKey, wanted: u64, result: Standing, now: Instant) -> Effect {
        let entry = self.entries.entry(key.clone()).or_default();
        let changed = match &entry.standing {
            Some(standing) => standing.digest != result.digest,
            None => true,
        };
        let version_moved = |old: &str| old != result.resource_version;
        // The same was wanted before, and it did not stand any more when we wrote: somebody else changed it.
        let was_taken_away = entry.written.as_ref().is_some_and(|written| {
            written.wanted == wanted
                && version_moved(&written.resource_version)
                && entry.standing.as_ref().is_none_or(|standing| {
                    standing.digest != written.resulted
                        && version_moved(&standing.resource_version)
                        && standing.manager.as_deref() != Some(MANAGER)
                })
        });
        let effect = if !changed {
            Effect::None
        } else if !was_taken_away {
            Effect::Changed
        } else if entry.last_foreign.is_some_and(|last| now.duration_since(last) < FIGHT) {
            entry.stopped = true;
            self.stopped.insert(key.clone());
            Effect::Stopped
        } else {
            Effect::Healed
        };
        if matches!(effect, Effect::Healed | Effect::Stopped) {
            entry.last_foreign = Some(now);
        }
        let resource_version = result.resource_version.clone();
        entry.written = Some(Written { wanted, resulted: result.digest, resource_version, at: now });
        (entry.standing, entry.known, entry.behind) = (Some(result), true, None);
        effect
    }

    /// It was read outside of the watch: this is what stands, whatever was thought before.
    pub(super) fn read(&mut self, key: &StandingKey, standing: Option<Standing>) {
        let entry = self.entries.entry(key.clone()).or_default();
        (entry.standing, entry.known, entry.behind) = (standing, true, None);
    }

    /// Writing the object goes on, because it was quiet for long enough. True if it had been stopped.
    pub(super) fn resume(&mut self, key: &StandingKey, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        if !entry.stopped || entry.stopped_for(now).is_some() {
            return false;
        }
        (entry.stopped, entry.last_foreign) = (false, None);
        self.stopped.remove(key);
        true
    }

    /// What is known to stand.
    pub(super) fn standing(&self, key: &StandingKey) -> Option<&Standing> {
        self.entries.get(key)?.standing.as_ref()
    }

    /// What to carry over into a write.
    pub(super) fn kept(&self, key: &StandingKey) -> Kept {
        self.standing(key).map(|standing| standing.kept.clone()).unwrap_or_default()
    }

    /// The object is gone, by our doing or for good.
    pub(super) fn forget(&mut self, key: &StandingKey) {
        self.entries.remove(key);
        self.stopped.remove(key);
    }

    /// Everything that is known to stand.
    pub(super) fn keys(&self) -> impl Iterator<Item = &StandingKey> {
        self.entries.iter().filter(|(_, entry)| entry.standing.is_some()).map(|(key, _)| key)
    }

    /// Objects that are not written because somebody else writes them too.
    pub(super) fn stopped(&self) -> &BTreeSet<StandingKey> {
        &self.stopped
    }

    /// A new term begins. What others wrote while we did not is not against us, so only what stands counts.
    pub(super) fn new_term(&mut self) {
        self.stopped.clear();
        self.entries.retain(|_, entry| {
            // Without our own write, nothing is behind it.
            entry.standing = entry.behind.take().or(entry.standing.take());
            (entry.written, entry.last_foreign, entry.stopped) = (None, None, false);
            entry.standing.is_some()
        });
    }
}

impl Entry {
    fn stopped_for(&self, now: Instant) -> Option<Duration> {
        let last = self.last_foreign.filter(|_| self.stopped)?;
        QUIET.checked_sub(now.duration_since(last)).filter(|left| !left.is_zero())
    }
}

/// Whether one version of an object is older than another. Kubernetes promises since 1.35 that versions of one object
/// may be compared as numbers, and etcd made them so before. What is no number is never older.
fn is_older(one: &str, other: &str) -> bool {
    matches!((one.parse::<u64>(), other.parse::<u64>()), (Ok(one), Ok(other)) if one < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StandingKey {
        StandingKey { kind: StandingKind::Endpoint, namespace: "shop".to_owned(), name: "service-web".to_owned() }
    }

    fn standing(version: u64, digest: u64, manager: &str) -> Standing {
        Standing {
            uid: "u".to_owned(),
            resource_version: version.to_string(),
            generation: None,
            owners: Vec::new(),
            digest,
            manager: Some(manager.to_owned()),
            kept: Kept::default(),
        }
    }

    fn seen(version: u64, digest: u64, manager: &str) -> StandingChange {
        StandingChange { key: key(), standing: Some(standing(version, digest, manager)) }
    }

    /// Digest 1 is wanted and was written as version 10.
    fn written(now: Instant) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.complete(StandingKind::Endpoint);
        assert_eq!(ledger.need(&key(), 1, now), Need::Write);
        assert_eq!(ledger.wrote(&key(), 1, standing(10, 1, MANAGER), now), Effect::Changed);
        ledger
    }

    #[test]
    fn what_is_not_known_is_read_first() {
        assert_eq!(Ledger::default().need(&key(), 1, Instant::now()), Need::Read);
    }

    #[test]
    fn what_stands_as_wanted_is_not_written() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        ledger.observe(seen(5, 1, "kubectl"), now);
        assert_eq!(ledger.need(&key(), 1, now), Need::None);
        assert_eq!(ledger.need(&key(), 2, now), Need::Write);
    }

    #[test]
    fn a_server_that_prunes_is_written_to_once() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        ledger.observe(seen(5, 7, MANAGER), now);
        assert_eq!(ledger.need(&key(), 1, now), Need::Write);
        assert_eq!(ledger.wrote(&key(), 1, standing(5, 7, MANAGER), now), Effect::None);
        assert_eq!(ledger.need(&key(), 1, now), Need::None);
        assert!(!ledger.observe(seen(5, 7, MANAGER), now));
        assert_eq!(ledger.need(&key(), 2, now), Need::Write);
    }

    #[test]
    fn a_watch_that_is_behind_our_write_changes_nothing() {
        let now = Instant::now();
        let mut ledger = written(now);
        assert!(!ledger.observe(seen(9, 3, "kubectl"), now));
        assert!(!ledger.observe(seen(10, 1, MANAGER), now));
        assert_eq!(ledger.need(&key(), 1, now), Need::None);
    }

    #[test]
    fn a_host_that_went_back_to_a_backup_is_written_again() {
        let now = Instant::now();
        let mut ledger = written(now);
        let later = now + BEHIND * 2;
        assert!(ledger.observe(seen(4, 7, MANAGER), later));
        assert_eq!(ledger.need(&key(), 1, later), Need::Write);
        assert_eq!(ledger.wrote(&key(), 1, standing(5, 1, MANAGER), later), Effect::Changed);
        assert_eq!(ledger.need(&key(), 1, later), Need::None);
        // A moment after our write it cannot be told from a watch that is behind, before that had its time.
        assert!(!ledger.observe(seen(3, 8, MANAGER), later));
        ledger.catch_up(&key(), later + BEHIND / 2);
        assert_eq!(ledger.need(&key(), 1, later), Need::None);
        ledger.catch_up(&key(), later + BEHIND);
        assert_eq!(ledger.need(&key(), 1, later + BEHIND), Need::Write);
    }

    #[test]
    fn a_watch_that_caught_up_leaves_nothing_behind() {
        let now = Instant::now();
        let mut ledger = written(now);
        assert!(!ledger.observe(seen(9, 3, "kubectl"), now));
        assert!(!ledger.observe(seen(10, 1, MANAGER), now));
        ledger.catch_up(&key(), now + BEHIND);
        assert_eq!(ledger.need(&key(), 1, now + BEHIND), Need::None);
    }

    #[test]
    fn an_edit_and_a_deletion_are_healed() {
        let now = Instant::now();
        let mut ledger = written(now);
        assert!(ledger.observe(seen(11, 2, "kubectl"), now));
        assert_eq!(ledger.need(&key(), 1, now), Need::Write);
        assert_eq!(ledger.wrote(&key(), 1, standing(12, 1, MANAGER), now), Effect::Healed);
        let much_later = now + FIGHT * 2;
        assert!(ledger.observe(StandingChange { key: key(), standing: None }, much_later));
        assert_eq!(ledger.need(&key(), 1, much_later), Need::Write);
        assert_eq!(ledger.wrote(&key(), 1, standing(14, 1, MANAGER), much_later), Effect::Healed);
    }

    #[test]
    fn two_foreign_writes_within_a_minute_stop_ours_until_it_was_quiet_for_ten() {
        let mut now = Instant::now();
        let mut ledger = written(now);
        assert!(ledger.observe(seen(11, 2, "hyperfed"), now));
        assert_eq!(ledger.wrote(&key(), 1, standing(12, 1, MANAGER), now), Effect::Healed);
        now += Duration::from_secs(59);
        assert!(ledger.observe(seen(13, 2, "hyperfed"), now));
        assert_eq!(ledger.wrote(&key(), 1, standing(14, 1, MANAGER), now), Effect::Stopped);
        assert_eq!(ledger.stopped().iter().collect::<Vec<_>>(), [&key()]);
        now += Duration::from_mins(5);
        assert!(ledger.observe(seen(15, 2, "hyperfed"), now));
        assert_eq!(ledger.need(&key(), 1, now), Need::Wait(QUIET));
        assert!(!ledger.resume(&key(), now + QUIET / 2));
        assert!(ledger.resume(&key(), now + QUIET));
        assert_eq!(ledger.need(&key(), 1, now + QUIET), Need::Write);
    }

    #[test]
    fn writes_to_fields_that_are_not_ours_are_no_foreign_writes() {
        let mut now = Instant::now();
        let mut ledger = written(now);
        for version in 11..20 {
            now += Duration::from_secs(1);
            assert!(ledger.observe(seen(version, version, "publisher"), now));
            let unchanged = standing(version, version, "publisher");
            assert_eq!(ledger.wrote(&key(), 1, unchanged, now), Effect::None);
        }
        assert!(ledger.stopped().is_empty());
    }

    #[test]
    fn our_own_change_of_mind_is_no_foreign_write() {
        let now = Instant::now();
        let mut ledger = written(now);
        for version in 11..20 {
            assert_eq!(ledger.wrote(&key(), version, standing(version, version, MANAGER), now), Effect::Changed);
        }
    }

    #[test]
    fn another_version_of_mcdns_is_no_foreigner() {
        let now = Instant::now();
        let mut ledger = written(now);
        for version in [11, 13, 15] {
            ledger.observe(seen(version, 2, MANAGER), now);
            assert_eq!(ledger.wrote(&key(), 1, standing(version + 1, 1, MANAGER), now), Effect::Changed);
        }
    }
}
