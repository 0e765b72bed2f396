//! Serials that several replicas agree on.
//!
//! ```text
//!   every replica   change ──► answers at once, with the old serial; the zone is kept with its digest for a while
//!   the holder      digest differs from the published one ──► (serial + 1, digest) written with the Domain,
//!                                                              at most once a second
//!   every replica   sees (serial, digest) ──► the kept zone of that digest is the published generation:
//!                                              its serial is shown, it is transferred, secondaries are told
//! ```
//!
//! The holder takes this way too. Were a serial given out before it is written, a crash in between could make it stand
//! for two contents, and a secondary that has the first would never fetch the second. While the host cannot be
//! written, answers go on changing and secondaries keep the last generation.
//!
//! A replica that never had the published content (it started later, or saw changes in another order) skips that
//! generation; it gives secondaries the one before, and the whole zone where a difference is missing.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use mcdns_core::{
    answer::{AuthoritativeZone, ZoneDifference, ZonePatch},
    dns::{OwnerName, Serial},
    model::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A zone is published this often at most, in milliseconds: secondaries are told of serials once a second anyway.
const PAUSE: i64 = 1000;
/// A publication that nobody has seen after this long, in milliseconds, is tried again.
const LOST: i64 = 5000;
/// So many states of a zone may be younger than the published one.
const KEPT: usize = 1024;
/// A replica that has not had the published content for this long, in milliseconds, says so.
const ASTRAY: i64 = 30_000;

/// What the holder writes with a Domain: the serial, and of what content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// SOA serial.
    pub serial: Serial,
    /// Digest of everything in the zone but the serial.
    #[serde(with = "hexadecimal")]
    pub digest: u128,
}

impl Published {
    /// The digest as it is written.
    pub fn digest_text(&self) -> String {
        format!("{:032x}", self.digest)
    }
}

/// The published generation of every zone, and the states since.
#[derive(Debug, Default)]
pub struct Generations {
    zones: BTreeMap<OwnerName, Generation>,
}

/// A generation that this replica can give to secondaries from now on.
#[derive(Debug)]
pub struct Adoption {
    /// The zone with its serial.
    pub zone: Arc<AuthoritativeZone>,
    /// What leads to it from the one before; none for the first.
    pub difference: Option<Arc<ZoneDifference>>,
    /// Serial and digest.
    pub published: Published,
}

#[derive(Debug, Default)]
struct Generation {
    /// As last seen with the Domain.
    seen: Option<Published>,
    adopted: Option<(Published, Arc<AuthoritativeZone>)>,
    /// States since the adopted one, oldest first; the last is what is answered.
    recent: VecDeque<State>,
    /// What was last given to be written, and when.
    asked: Option<(Published, Timestamp)>,
    /// Since when the content that was seen is not had.
    astray: Option<Timestamp>,
}

#[derive(Debug)]
struct State {
    digest: u128,
    zone: Arc<AuthoritativeZone>,
    /// Names that may differ from the state before; none if any may.
    names: Option<Vec<OwnerName>>,
}

impl Generations {
    /// The serial that a zone shows: of the generation that was published last.
    pub fn serial(&self, apex: &OwnerName) -> Option<Serial> {
        let zone = self.zones.get(apex)?;
        Some(zone.adopted.as_ref().map(|(published, _)| *published).or(zone.seen)?.serial)
    }

    /// Takes in what a zone holds from now on. `patch` led to it; none if that is not known.
    pub fn note(
        &mut self,
        zone: &Arc<AuthoritativeZone>,
        digest: u128,
        patch: Option<&ZonePatch>,
        now: Timestamp,
    ) -> Option<Adoption> {
        let generation = self.zones.entry(zone.apex().clone()).or_default();
        let names = patch.map(|patch| patch.names.keys().cloned().collect());
        generation.recent.push_back(State { digest, zone: Arc::clone(zone), names });
        if generation.recent.len() > KEPT {
            // The next one is no longer told apart from the adopted one by names.
            generation.recent.pop_front();
            if let Some(first) = generation.recent.front_mut() {
                first.names = None;
            }
        }
        generation.adopt(now)
    }

    /// Takes in what stands with the Domain of a zone.
    pub fn see(&mut self, apex: &OwnerName, published: Option<Published>, now: Timestamp) -> Option<Adoption> {
        let generation = self.zones.entry(apex.clone()).or_default();
        generation.seen = published;
        generation.adopt(now)
    }

    /// Forgets a zone that is no longer served.
    pub fn forget(&mut self, apex: &OwnerName) {
        self.zones.remove(apex);
    }

    /// What the holder has to write at `now`, and counts as written until it is seen or lost. `unix` is the first serial
    /// of a zone that never had one.
    pub fn to_publish(&mut self, now: Timestamp, unix: u32) -> Vec<(OwnerName, Published)> {
        let due = self.zones.iter_mut().filter_map(|(apex, generation)| {
            let published = generation.next(unix)?;
            if generation.due(published, now) > now {
                return None;
            }
            generation.asked = Some((published, now));
            Some((apex.clone(), published))
        });
        due.collect()
    }

    /// When [`Generations::to_publish`] should be asked again, if something waits: at `now` or later.
    pub fn next_due(&self, now: Timestamp, unix: u32) -> Option<Timestamp> {
        let due = self.zones.values().filter_map(|generation| Some(generation.due(generation.next(unix)?, now)));
        due.min()
    }

    /// Zones whose published content this replica has not had for long.
    pub fn astray(&self, now: Timestamp) -> impl Iterator<Item = &OwnerName> {
        let long = move |since: Timestamp| now.0.saturating_sub(since.0) >= ASTRAY;
        let astray = self.zones.iter().filter(move |(_, generation)| generation.astray.is_some_and(long));
        astray.map(|(apex, _)| apex)
    }
}

impl Generation {
    /// The kept state that was published, if it is newer than the adopted one.
    fn adopt(&mut self, now: Timestamp) -> Option<Adoption> {
        let seen = self.seen?;
        if let Some((adopted, _)) = &self.adopted
            && adopted.serial.partial_cmp(&seen.serial) != Some(Ordering::Less)
        {
            self.astray = None;
            return None;
        }
        let Some(index) = self.recent.iter().rposition(|state| state.digest == seen.digest) else {
            // The content before this one may have been the same: then nothing but the serial moves.
            if let Some((adopted, zone)) = self.adopted.clone()
                && adopted.digest == seen.digest
            {
                return Some(self.take(seen, &zone, BTreeSet::new(), true));
            }
            self.astray.get_or_insert(now);
            return None;
        };
        let mut names = BTreeSet::new();
        let mut known = true;
        let mut zone = None;
        for state in self.recent.drain(..=index) {
            known &= state.names.is_some();
            names.extend(state.names.into_iter().flatten());
            zone = Some(state.zone);
        }
        zone.map(|zone| self.take(seen, &zone, names, known))
    }

    fn take(
        &mut self,
        published: Published,
        zone: &AuthoritativeZone,
        names: BTreeSet<OwnerName>,
        known: bool,
    ) -> Adoption {
        let zone = Arc::new(zone.with_serial(published.serial));
        let difference = self.adopted.as_ref().map(|(_, before)| {
            if known {
                let names = names.into_iter().map(|name| (name, None)).collect();
                ZoneDifference::of_patch(before, &zone, &ZonePatch { names, ..ZonePatch::default() })
            } else {
                ZoneDifference::between(before, &zone)
            }
        });
        self.astray = None;
        self.adopted = Some((published, Arc::clone(&zone)));
        Adoption { zone, difference: difference.map(Arc::new), published }
    }

    /// When this may be given to be written: `now` or later. The time of day may be set back meanwhile, and an hour of
    /// that must not be an hour without a serial: what was asked for in the future was asked for long enough ago.
    fn due(&self, published: Published, now: Timestamp) -> Timestamp {
        let Some((asked, at)) = self.asked else { return now };
        let pause = if asked == published { LOST } else { PAUSE };
        let elapsed = now.0.saturating_sub(at.0);
        if (0..pause).contains(&elapsed) { Timestamp(at.0.saturating_add(pause)) } else { now }
    }

    /// What should stand with the Domain and does not; none if it does.
    fn next(&self, unix: u32) -> Option<Published> {
        let adopted = self.adopted.as_ref().map(|(published, _)| *published);
        let digest = self.recent.back().map(|state| state.digest).or(adopted.map(|adopted| adopted.digest))?;
        if self.seen.is_some_and(|seen| seen.digest == digest && adopted.is_none_or(|adopted| seen == adopted)) {
            return None;
        }
        if let Some(adopted) = adopted.filter(|adopted| adopted.digest == digest)
            && self.seen.is_none()
        {
            // It was there and is gone, with the Domain perhaps.
            return Some(adopted);
        }
        let known = [self.seen, adopted].into_iter().flatten().map(|published| published.serial);
        let newest =
            known.reduce(|one, other| if one.partial_cmp(&other) == Some(Ordering::Less) { other } else { one });
        Some(Published { serial: newest.map_or(Serial(unix), Serial::next), digest })
    }
}

/// JSON has no numbers of 128 bits that everybody reads.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{digest:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mcdns_core::{
        answer::{Entry, Patch, Snapshot, Soa, Zone},
        dns::{RecordType, Rrset},
    };

    use super::*;

    /// A zone whose content is counted up, as an engine would change it.
    struct Content(Snapshot);

    fn apex() -> OwnerName {
        OwnerName::parse("example.com").expect("a name")
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp(milliseconds)
    }

    impl Content {
        fn new() -> Self {
            let soa = Soa {
                primary: apex(),
                contact: apex(),
                serial: Serial(1),
                refresh: 3600,
                retry: 600,
                expire: 604_800,
                negative_ttl: 30,
                ttl: 60,
            };
            let zone = ZonePatch { soa: Some(soa), ..ZonePatch::default() };
            let patch = Patch { zones: BTreeMap::from([(apex(), zone)]), ..Patch::default() };
            Self(Snapshot::default().apply(&patch).expect("a zone"))
        }

        fn set(&mut self, name: &str, octet: u8) -> ZonePatch {
            let name = OwnerName::parse(name).expect("a name");
            let rrset = Rrset::new(RecordType::A, 60, vec![Box::from([192, 0, 2, octet])]);
            let entry = Entry::fixed(vec![rrset]);
            let zone = ZonePatch { names: BTreeMap::from([(name, Some(entry))]), ..ZonePatch::default() };
            let patch = Patch { zones: BTreeMap::from([(apex(), zone.clone())]), ..Patch::default() };
            self.0 = self.0.apply(&patch).expect("a change");
            zone
        }

        fn zone(&self) -> Arc<AuthoritativeZone> {
            let Some(Zone::Authoritative(zone)) = self.0.zone(&apex()) else { panic!("the zone is there") };
            Arc::clone(zone)
        }
    }

    fn published(serial: u32, digest: u128) -> Published {
        Published { serial: Serial(serial), digest }
    }

    #[test]
    fn what_stands_with_a_domain_is_read_as_it_was_written() {
        let text = serde_json::to_string(&published(7, 0xabc)).expect("plain data");
        assert_eq!(text, r#"{"serial":7,"digest":"00000000000000000000000000000abc"}"#);
        assert_eq!(serde_json::from_str::<Published>(&text).expect("what was written"), published(7, 0xabc));
        assert!(serde_json::from_str::<Published>(r#"{"serial":7,"digest":"x"}"#).is_err());
    }

    #[test]
    fn a_generation_counts_when_it_is_seen_and_not_when_it_is_asked_for() {
        let (mut content, mut generations) = (Content::new(), Generations::default());
        assert!(generations.note(&content.zone(), 1, None, at(0)).is_none());
        assert_eq!(generations.to_publish(at(0), 1000), [(apex(), published(1000, 1))]);
        assert_eq!(generations.serial(&apex()), None);
        let first = generations.see(&apex(), Some(published(1000, 1)), at(5)).expect("it is had");
        assert_eq!(first.zone.soa().serial, Serial(1000));
        assert!(first.difference.is_none());
        assert!(generations.to_publish(at(10), 1000).is_empty());

        let patch = content.set("a.example.com", 1);
        generations.note(&content.zone(), 2, Some(&patch), at(20));
        assert!(generations.to_publish(at(30), 1000).is_empty(), "a second has not passed");
        assert_eq!(generations.next_due(at(30), 1000), Some(at(1000)));
        let patch = content.set("b.example.com", 2);
        generations.note(&content.zone(), 3, Some(&patch), at(40));
        assert_eq!(generations.to_publish(at(1000), 1000), [(apex(), published(1001, 3))]);
        assert!(generations.to_publish(at(3000), 1000).is_empty(), "it is under way");
        assert_eq!(generations.to_publish(at(6000), 1000), [(apex(), published(1001, 3))], "it was lost");
        let second = generations.see(&apex(), Some(published(1001, 3)), at(6010)).expect("it is had");
        let difference = second.difference.expect("there was one before");
        assert_eq!((difference.from.serial, difference.to.serial), (Serial(1000), Serial(1001)));
        assert_eq!(difference.added.len(), 2, "both changes");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_serials_back() {
        const HOUR: i64 = 3_600_000;
        let (mut content, mut generations) = (Content::new(), Generations::default());
        generations.note(&content.zone(), 1, None, at(HOUR));
        assert_eq!(generations.to_publish(at(HOUR), 1000), [(apex(), published(1000, 1))]);
        generations.see(&apex(), Some(published(1000, 1)), at(HOUR)).expect("it is had");
        let patch = content.set("a.example.com", 1);
        generations.note(&content.zone(), 2, Some(&patch), at(5));
        assert_eq!(generations.next_due(at(5), 1000), Some(at(5)));
        assert_eq!(generations.to_publish(at(5), 1000), [(apex(), published(1001, 2))]);
        assert_eq!(generations.next_due(at(6), 1000), Some(at(5 + LOST)), "from then on by the new time");
        assert!(generations.to_publish(at(6), 1000).is_empty());
    }

    #[test]
    fn a_replica_that_lags_adopts_when_its_content_comes() {
        let (mut content, mut generations) = (Content::new(), Generations::default());
        generations.note(&content.zone(), 1, None, at(0));
        generations.see(&apex(), Some(published(5, 1)), at(0)).expect("it is had");
        assert!(generations.see(&apex(), Some(published(6, 2)), at(10)).is_none());
        assert_eq!(generations.serial(&apex()), Some(Serial(5)));
        let patch = content.set("a.example.com", 1);
        let adoption = generations.note(&content.zone(), 2, Some(&patch), at(20)).expect("now it is had");
        assert_eq!(adoption.published, published(6, 2));
    }

    #[test]
    fn a_replica_that_never_had_the_content_says_so_after_a_while() {
        let (mut content, mut generations) = (Content::new(), Generations::default());
        generations.note(&content.zone(), 1, None, at(0));
        generations.see(&apex(), Some(published(5, 99)), at(0));
        assert_eq!(generations.astray(at(29_999)).count(), 0);
        assert_eq!(generations.astray(at(30_000)).collect::<Vec<_>>(), [&apex()]);
        let patch = content.set("a.example.com", 1);
        generations.note(&content.zone(), 2, Some(&patch), at(40_000));
        generations.see(&apex(), Some(published(6, 2)), at(40_000)).expect("it is had");
        assert_eq!(generations.astray(at(90_000)).count(), 0);
    }

    #[test]
    fn a_new_holder_goes_on_from_what_stands() {
        let (content, mut generations) = (Content::new(), Generations::default());
        generations.see(&apex(), Some(published(41, 1)), at(0));
        generations.note(&content.zone(), 2, None, at(0));
        assert_eq!(generations.to_publish(at(0), 1000), [(apex(), published(42, 2))]);
    }

    #[test]
    fn a_serial_that_was_taken_away_is_written_again_and_one_that_went_back_is_passed() {
        let (content, mut generations) = (Content::new(), Generations::default());
        generations.note(&content.zone(), 1, None, at(0));
        generations.see(&apex(), Some(published(41, 1)), at(0)).expect("it is had");
        generations.see(&apex(), None, at(10));
        assert_eq!(generations.to_publish(at(10), 1000), [(apex(), published(41, 1))]);
        assert!(generations.see(&apex(), Some(published(7, 1)), at(20)).is_none(), "serials do not go back");
        assert_eq!(generations.to_publish(at(9000), 1000), [(apex(), published(42, 1))]);
    }

    #[test]
    fn more_states_than_are_kept_are_compared_as_a_whole() {
        let (mut content, mut generations) = (Content::new(), Generations::default());
        generations.note(&content.zone(), 0, None, at(0));
        generations.see(&apex(), Some(published(1, 0)), at(0)).expect("it is had");
        for index in 0..KEPT + 10 {
            let patch = content.set(&format!("n{index}.example.com"), 1);
            generations.note(&content.zone(), index as u128 + 1, Some(&patch), at(0));
        }
        let last = (KEPT + 10) as u128;
        let adoption = generations.see(&apex(), Some(published(2, last)), at(0)).expect("it is had");
        assert_eq!(adoption.difference.expect("there was one before").added.len(), KEPT + 10);
    }
}
