//! Answers by zone: a table of fixed size in each thread, found by the tag of the zone.
//!
//! A table never grows and forgets nothing: zones that find no place in it are counted together. Which name a tag
//! stands for is the reader's to know, from the zones that are served when it reads.

use std::{
    array,
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::step;
use crate::{respond::Reply, wire::AA};

/// Places in a thread's table, 64 octets each. More zones than this are more series than metrics are good for.
const PLACES: usize = 1024;
/// How many places are tried for a zone.
const TRIES: usize = 16;
/// Spreads tags over the places (2⁶⁴ divided by the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Kinds of answers that are told apart.
const OUTCOMES: usize = 7;

/// What a zone's answers were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoneOutcome {
    /// NOERROR with an answer, be it an alias.
    Answer,
    /// NOERROR without an answer: the name is there, the type is not (RFC 2308 section 2.2).
    NoData,
    /// NXDOMAIN.
    NxDomain,
    /// The name belongs to a zone below, whose name servers were told.
    Referral,
    /// TC was set, so that the client asks again over a stream.
    Truncated,
    /// REFUSED.
    Refused,
    /// Any other RCODE.
    Error,
}

/// A zone's answers, by [`ZoneOutcome`] in the order of [`ZoneOutcome::ALL`].
pub type ZoneTotals = [u64; OUTCOMES];

impl ZoneOutcome {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; OUTCOMES] =
        [Self::Answer, Self::NoData, Self::NxDomain, Self::Referral, Self::Truncated, Self::Refused, Self::Error];

    /// As metrics say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Referral => "referral",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }

    /// Of an answer with NOERROR.
    #[inline]
    pub(super) fn without_error(reply: &Reply<'_>) -> Self {
        match reply.octets {
            _ if reply.truncated => Self::Truncated,
            [_, _, flags, _, _, _, 0, 0, ..] if flags & AA == 0 => Self::Referral,
            [_, _, _, _, _, _, 0, 0, ..] => Self::NoData,
            _ => Self::Answer,
        }
    }

    /// Of an answer with another RCODE.
    #[inline]
    pub(super) fn of_error(reply: &Reply<'_>) -> Self {
        match reply.rcode {
            _ if reply.truncated => Self::Truncated,
            3 => Self::NxDomain,
            5 => Self::Refused,
            _ => Self::Error,
        }
    }
}

/// One thread's answers by zone.
#[derive(Debug, Default)]
pub(super) struct ZoneCells {
    /// Made at the first answer of a zone, so that what is never asked costs nothing.
    places: OnceLock<Box<[Place; PLACES]>>,
    others: [AtomicU64; OUTCOMES],
}

/// One cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place {
    /// The zone's tag; 0 while the place is free.
    tag: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES],
}

impl ZoneCells {
    #[inline]
    pub(super) fn count(&self, zone: u64, outcome: ZoneOutcome) {
        if zone == 0 {
            return;
        }
        if let Some(places) = self.places.get()
            && let place = &places[first_place(zone)]
            && place.tag.load(Ordering::Relaxed) == zone
        {
            step(&place.outcomes[outcome as usize]);
        } else {
            self.count_elsewhere(zone, outcome);
        }
    }

    /// Adds what was counted to the zones' totals, by tag, and to those of all zones without a place.
    pub(super) fn add_to(&self, zones: &mut BTreeMap<u64, ZoneTotals>, others: &mut ZoneTotals) {
        let add = |sums: &mut ZoneTotals, cells: &[AtomicU64; OUTCOMES]| {
            for (sum, cell) in sums.iter_mut().zip(cells) {
                *sum += cell.load(Ordering::Relaxed);
            }
        };
        add(others, &self.others);
        for place in self.places.get().into_iter().flat_map(|places| places.iter()) {
            let tag = place.tag.load(Ordering::Relaxed);
            if tag != 0 {
                add(zones.entry(tag).or_default(), &place.outcomes);
            }
        }
    }

    /// Finds or takes a place that is not the first choice; only the one thread that counts comes here.
    #[inline(never)]
    fn count_elsewhere(&self, tag: u64, outcome: ZoneOutcome) {
        let places = self.places.get_or_init(|| Box::new(array::from_fn(|_| Place::default())));
        let first = first_place(tag);
        for at in first..first + TRIES {
            let place = &places[at % PLACES];
            let taken = place.tag.load(Ordering::Relaxed);
            if taken == 0 {
                place.tag.store(tag, Ordering::Relaxed);
            }
            if taken == 0 || taken == tag {
                step(&place.outcomes[outcome as usize]);
                return;
            }
        }
        step(&self.others[outcome as usize]);
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "less than PLACES")]
fn first_place(tag: u64) -> usize {
    (tag.wrapping_mul(SPREAD) >> (u64::BITS - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(cells: &ZoneCells) -> (BTreeMap<u64, ZoneTotals>, ZoneTotals) {
        let (mut zones, mut others) = (BTreeMap::new(), ZoneTotals::default());
        cells.add_to(&mut zones, &mut others);
        (zones, others)
    }

    #[test]
    fn an_answer_counts_for_its_zone_by_what_it_was() {
        let cells = ZoneCells::default();
        let count = |flags: u8, answers: u8, rcode, zone| {
            let octets = [0, 1, 0x80 | flags, 0, 0, 1, 0, answers, 0, 0, 0, 0];
            let reply = Reply { truncated: flags & 2 != 0, ..Reply::new(&octets, rcode) };
            let outcome = if rcode == 0 { ZoneOutcome::without_error(&reply) } else { ZoneOutcome::of_error(&reply) };
            cells.count(zone, outcome);
        };
        count(AA, 1, 0, 7);
        count(AA, 0, 0, 7);
        count(AA, 0, 3, 7);
        count(0, 0, 0, 7);
        count(AA | 2, 0, 0, 7);
        count(0, 0, 5, 7);
        count(0, 0, 2, 7);
        count(0, 1, 0, 9);
        count(0, 0, 5, 0);
        let expected = BTreeMap::from([(7, [1; OUTCOMES]), (9, [1, 0, 0, 0, 0, 0, 0])]);
        assert_eq!(totals(&cells), (expected, [0; OUTCOMES]));
    }

    #[test]
    fn more_zones_than_places_are_counted_together_and_none_is_lost() {
        let cells = ZoneCells::default();
        let tags = 2 * PLACES as u64;
        for round in 0..3 {
            for tag in 1..=tags {
                let zone = tag.wrapping_mul(0xd134_2543_de82_ef95) | 1;
                cells.count(zone, ZoneOutcome::Answer);
            }
            let (zones, others) = totals(&cells);
            assert!(zones.len() <= PLACES && zones.len() > PLACES * 3 / 4, "{}", zones.len());
            assert!(zones.values().all(|zone| zone[0] > round), "a zone that has a place keeps it");
            assert_eq!(zones.values().map(|zone| zone[0]).sum::<u64>() + others[0], (round + 1) * tags);
        }
    }
}
