//! Response rate limiting, as NSD and BIND do it.
//!
//! Who forges the address of a victim in UDP queries has us send answers to the victim. What such a flood cannot
//! avoid is to get many answers of one kind for one network in a second; what a resolver behind that network asks
//! meanwhile mostly is of another kind. So answers are counted by network and kind:
//!
//! ```text
//!   prefix of the address + kind ──► keyed hash ──► line of 8 buckets ──► rate ──► send, slip (TC) or drop
//! ```
//!
//! The kind is the RRset that answers (a wildcard's, however many names it answers for; a delegation's name servers),
//! or the zone for NXDOMAIN, for NODATA and for errors, each. These are NSD's classes and what BIND calls the imputed
//! name. The rate decays as in NSD: by half each second, so that it settles at twice the answers of a second, and a
//! sudden flood is stopped within its first second.
//!
//! Invariants: over UDP alone; clients with a valid server cookie or signature are exempt (RFC 7873 section 5.1:
//! their address is no forgery). The table has a fixed size and is shared by all threads; it takes no lock and
//! allocates nothing, and a bucket is one word that is changed as a whole. The hash is keyed with chance, so that
//! nobody can aim at the bucket of somebody else. A busy bucket is never given up for a quiet one, so that a flood
//! from ever new addresses does not wash out what is known of another. What slips is no longer than the query.

use std::{
    array,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use mcdns_core::dns::RecordType;

use crate::{
    request::{HEADER, number, skip_name},
    respond::Reply,
    wire::{OPT, RECORD_HEAD, TC},
};

/// Lines of the table, a power of two: 131,072 buckets in 1 MiB. NSD has 1,000,000 of 24 octets by default, but
/// gives a bucket up whenever another wants its place.
const LINES: usize = 1 << 14;
/// Buckets of a line, which is one cache line.
const WAYS: usize = 8;
/// How often a bucket is tried that other threads change at the same time, before the answer goes uncounted.
const TRIES: usize = 64;
/// Seconds between two log lines: a flood of queries shall not become one of log lines.
const LOG_EVERY: u64 = 10;
/// Longest answer that slips: header, question and a short OPT record.
const LONGEST_SLIP: usize = 512;

/// How many answers a client network gets; it answers over UDP alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Answers of one kind to one client network in a second; 0 is no limit, and above 65,535 counts as that.
    pub responses_per_second: u32,
    /// One of so many answers above the limit is sent with TC set and no records, so that real clients come back over
    /// TCP; 0 drops all of them, 1 none.
    pub slip: u32,
    /// Bits of an IPv4 address that are one client network.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
}

impl Default for RateLimit {
    /// What NSD takes (`rrl-ratelimit`, `rrl-slip`, `rrl-ipv4-prefix-length`), but /56 for IPv6 as in BIND: one
    /// customer of a provider has that many addresses.
    fn default() -> Self {
        Self { responses_per_second: 200, slip: 2, ipv4_prefix: 24, ipv6_prefix: 56 }
    }
}

/// What rate limiting did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimitTotals {
    /// Answers above the limit: those that slipped and those that were dropped.
    pub limited: u64,
    /// Answers that were sent with TC and without records.
    pub slipped: u64,
    /// Answers that were not sent.
    pub dropped: u64,
}

/// The table of one server.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    seed: RandomState,
    start: Instant,
    /// Made when the first answer is counted.
    lines: OnceLock<Box<[Line]>>,
    slipped: AtomicU64,
    dropped: AtomicU64,
    /// Second in which a line was logged.
    logged: AtomicU64,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    Slip,
    Drop,
}

/// An answer that slips.
#[derive(Debug)]
pub(crate) struct Slipped {
    octets: [u8; LONGEST_SLIP],
    length: usize,
}

/// Buckets that compete with each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

/// A bucket, as the word that holds it: tag (20 bits), second (10), rate (17), counter (17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    tag: u64,
    second: u64,
    rate: u64,
    counter: u64,
}

const TAG_BITS: u32 = 20;
const SECOND_BITS: u32 = 10;
const COUNT_BITS: u32 = 17;
/// Largest rate and counter. A rate is twice the answers of a second.
const MOST: u64 = (1 << COUNT_BITS) - 1;
/// From so many seconds on nothing is left of a rate (as in NSD).
const FORGOTTEN: u64 = 16;

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl RateLimiter {
    pub(crate) fn new() -> Self {
        Self {
            seed: RandomState::new(),
            start: Instant::now(),
            lines: OnceLock::new(),
            slipped: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            logged: AtomicU64::new(0),
        }
    }

    pub(crate) fn totals(&self) -> RateLimitTotals {
        let (slipped, dropped) = (self.slipped.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed));
        RateLimitTotals { limited: slipped + dropped, slipped, dropped }
    }

    /// Counts an answer and says what is to be done with it.
    #[cold]
    pub(crate) fn judge(&self, limit: RateLimit, client: IpAddr, reply: &Reply<'_>) -> Verdict {
        self.judge_at(self.start.elapsed().as_secs(), limit, client, reply)
    }

    fn judge_at(&self, now: u64, limit: RateLimit, client: IpAddr, reply: &Reply<'_>) -> Verdict {
        if reply.trusted || limit.responses_per_second == 0 {
            return Verdict::Send;
        }
        let network = network(client, limit);
        let kind = Kind::of(reply);
        let rate = self.count(self.seed.hash_one((network, kind)), now);
        // The rate settles at twice the answers of a second; one below the largest, so that it can be reached.
        if rate < (u64::from(limit.responses_per_second) * 2).min(MOST - 1) {
            return Verdict::Send;
        }
        self.log(now, network, kind);
        let turn = self.slipped.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed);
        // By chance, as in NSD, so that nobody can see to it that only others slip.
        let slips = match u64::from(limit.slip) {
            0 => false,
            slip => self.seed.hash_one(turn).is_multiple_of(slip),
        };
        let (counter, verdict) = if slips { (&self.slipped, Verdict::Slip) } else { (&self.dropped, Verdict::Drop) };
        counter.fetch_add(1, Ordering::Relaxed);
        verdict
    }

    /// Counts one answer in the bucket of this hash and returns the bucket's rate.
    fn count(&self, hash: u64, now: u64) -> u64 {
        let lines = self.lines.get_or_init(|| (0..LINES).map(|_| Line::default()).collect());
        // Its lowest bits choose the line, its highest are the tag.
        let line = &lines[usize::try_from(hash % LINES as u64).unwrap_or(0)].0;
        let tag = hash >> (u64::BITS - TAG_BITS);
        for _ in 0..TRIES {
            let words: [u64; WAYS] = array::from_fn(|way| line[way].load(Ordering::Relaxed));
            let mine = (0..WAYS).find(|&way| words[way] != 0 && Bucket::unpack(words[way]).tag == tag);
            // The quietest one makes room.
            let quietest = || (0..WAYS).min_by_key(|&way| Bucket::unpack(words[way]).at(now).projected_rate());
            let Some(way) = mine.or_else(quietest) else { return 0 };
            let bucket = match mine {
                Some(way) => Bucket::unpack(words[way]).counted(now),
                None => Bucket { tag, second: now, rate: 0, counter: 1 },
            };
            let change = line[way].compare_exchange(words[way], bucket.pack(), Ordering::Relaxed, Ordering::Relaxed);
            if change.is_ok() {
                return bucket.projected_rate();
            }
        }
        0
    }

    fn log(&self, now: u64, (address, prefix): (IpAddr, u8), kind: Kind) {
        // From 1 on, so that 0 is never.
        let (now, last) = (now + 1, self.logged.load(Ordering::Relaxed));
        if (last == 0 || now.saturating_sub(last) >= LOG_EVERY)
            && self.logged.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tracing::warn!(%address, prefix, kind = kind.name(), "answers to this network are rate limited");
        }
    }
}

impl Slipped {
    /// The answer that is sent in the place of `reply`: TC set, no records but for EDNS, no longer than the request.
    #[cold]
    pub(crate) fn new(request: &[u8], reply: &[u8]) -> Self {
        let mut octets = [0; LONGEST_SLIP];
        let end = question_end(reply).unwrap_or(HEADER);
        octets[..end].copy_from_slice(&reply[..end]);
        octets[2] |= TC;
        octets[6..HEADER].fill(0);
        let mut length = end;
        // RFC 6891 section 6.1.1: "If an OPT record is present in a received request, compliant responders MUST
        // include an OPT record in their respective responses."
        if let Some(opt) = find_opt(reply, end) {
            let whole = end + opt.len() <= request.len().min(LONGEST_SLIP);
            let taken = if whole { opt } else { &opt[..OPT] };
            length += taken.len();
            octets[end..length].copy_from_slice(taken);
            if !whole {
                octets[length - 2..length].fill(0);
            }
            octets[HEADER - 1] = 1;
        }
        Self { octets, length }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Bucket {
    fn unpack(word: u64) -> Self {
        let field = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
        Self {
            tag: field(SECOND_BITS + 2 * COUNT_BITS, TAG_BITS),
            second: field(2 * COUNT_BITS, SECOND_BITS),
            rate: field(COUNT_BITS, COUNT_BITS),
            counter: field(0, COUNT_BITS),
        }
    }

    fn pack(self) -> u64 {
        let second = self.second % (1 << SECOND_BITS);
        self.tag << (SECOND_BITS + 2 * COUNT_BITS)
            | second << (2 * COUNT_BITS)
            | self.rate.min(MOST) << COUNT_BITS
            | self.counter.min(MOST)
    }

    /// The same at the start of this second, or as it is if it is of this second. Seconds are told apart within
    /// 1,024; a bucket of just so long ago passes for a new one, which is the same client and kind anyway.
    fn at(self, now: u64) -> Self {
        match now.wrapping_sub(self.second) % (1 << SECOND_BITS) {
            0 => self,
            // r(t) = r(t-1)/2 + c, and no answers in the seconds between.
            passed @ 1..FORGOTTEN => {
                Self { second: now, rate: (self.rate >> passed) + (self.counter >> (passed - 1)), counter: 0, ..self }
            }
            _ => Self { second: now, rate: 0, counter: 0, ..self },
        }
    }

    /// With one more answer.
    fn counted(self, now: u64) -> Self {
        let before = self.at(now);
        Self { counter: before.counter + 1, ..before }
    }

    /// The rate, or where it is going to if that is more.
    fn projected_rate(self) -> u64 {
        if self.counter > self.rate / 2 { self.counter + self.rate / 2 } else { self.rate }
    }
}

/// What an answer counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Data or a referral, by RRset.
    Data(usize),
    /// The same to a question for ANY.
    Any(usize),
    /// By zone.
    NoData(u64),
    NxDomain(u64),
    Error(u64),
}

impl Kind {
    fn of(reply: &Reply<'_>) -> Self {
        match reply.rcode {
            0 if reply.source == 0 => Self::NoData(reply.zone),
            0 if reply.record_type == RecordType::ANY => Self::Any(reply.source),
            0 => Self::Data(reply.source),
            3 => Self::NxDomain(reply.zone),
            _ => Self::Error(reply.zone),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Any(_) => "any",
            Self::NoData(_) => "nodata",
            Self::NxDomain(_) => "nxdomain",
            Self::Error(_) => "error",
        }
    }
}

/// The network that a client counts for.
fn network(client: IpAddr, limit: RateLimit) -> (IpAddr, u8) {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(limit.ipv4_prefix.into())).unwrap_or(0);
            (IpAddr::V4((address.to_bits() & kept).into()), limit.ipv4_prefix)
        }
        IpAddr::V6(address) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(limit.ipv6_prefix.into())).unwrap_or(0);
            (IpAddr::V6((address.to_bits() & kept).into()), limit.ipv6_prefix)
        }
    }
}

/// Octet behind the question of an answer of ours; none where it has no question.
fn question_end(reply: &[u8]) -> Option<usize> {
    (number(reply, 4) == 1).then(|| Some(skip_name(reply, HEADER)? + 4).filter(|&end| end <= reply.len()))?
}

/// The OPT record of an answer of ours, whose records start at `at`.
fn find_opt(reply: &[u8], mut at: usize) -> Option<&[u8]> {
    for _ in 0..u32::from(number(reply, 6)) + u32::from(number(reply, 8)) + u32::from(number(reply, 10)) {
        let head = skip_name(reply, at)?;
        let fixed = reply.get(head..head + RECORD_HEAD)?;
        let end = head + RECORD_HEAD + usize::from(number(fixed, 8));
        let record = reply.get(at..end)?;
        if number(fixed, 0) == RecordType::OPT.0 {
            return Some(record);
        }
        at = end;
    }
    None
}

#[cfg(test)]
#[path = "rate_limit_tests.rs"]
mod tests;
