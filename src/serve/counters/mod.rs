//! What was answered, counted without costing the hot path anything.
//!
//! ```text
//!   thread ──► Cells (written by that thread alone) ──┐
//!   thread ──► Cells ─────────────────────────────────┼──► Counters::sum, when somebody asks ──► Totals
//!   thread ──► Cells ─────────────────────────────────┘
//!                └─ one query of about 64: time and size; samples for the query log and dnstap (taps)
//! ```
//!
//! Every thread counts in cells that it alone writes and that share no cache line with those of another thread; a
//! reader sums them up. The sum is of one moment only where no thread counts meanwhile. A counter is a load, an
//! addition and a store: no atomic addition, no lock, no hash of a label. What costs more, the clock above all, is
//! done for a sample.

mod buckets;
mod types;
mod zones;

use std::{
    array,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    client::{Client, Transport},
    respond::{Answer, Reply},
    taps::{Outcome, Sampler, TapStore, Wanted},
};

pub use buckets::{LATENCY_BOUNDS, SIZE_BOUNDS};
pub use zones::{ZoneOutcome, ZoneTotals};

use buckets::{LATENCIES, SIZES};
use types::TYPES;
use zones::ZoneCells;

/// RCODEs that are counted one by one, from 0 (NOERROR) to 23 (BADCOOKIE), and one cell for all others.
pub const RCODES: usize = 25;
const NOERROR: u16 = 0;

/// The counters of all threads of a server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// By [`Transport`], in the order of [`Transport::ALL`].
    threads: [Vec<Arc<Cells>>; Transport::ALL.len()],
    taps: TapStore,
}

/// What all threads counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Over UDP.
    pub udp: TransportTotals,
    /// Over TCP.
    pub tcp: TransportTotals,
    /// Over TLS.
    pub tls: TransportTotals,
    /// Over HTTPS.
    pub https: TransportTotals,
    /// Over QUIC.
    pub quic: TransportTotals,
    /// Answers of each zone over all transports, by [`AuthoritativeZone::tag`](mcdns_core::answer::AuthoritativeZone::tag).
    pub zones: BTreeMap<u64, ZoneTotals>,
    /// Answers of zones that found no place in the table of a thread.
    pub other_zones: ZoneTotals,
}

/// What was counted for one transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportTotals {
    /// Messages that came in.
    pub queries: u64,
    /// Messages that got no answer: too short, or answers themselves, or too many from one network.
    pub dropped: u64,
    /// Answers with TC set.
    pub truncated: u64,
    /// Answers of many messages, that is zone transfers.
    pub transfers: u64,
    /// Answers that could not be sent.
    pub unsent: u64,
    /// Queries that were lost to a panic.
    pub panics: u64,
    /// Connections that were taken; 0 for UDP.
    pub connections: u64,
    /// Connections that were closed at once because there were too many; 0 for UDP.
    pub connections_refused: u64,
    /// Answers by RCODE; the last place stands for all that are not told apart.
    pub rcodes: [u64; RCODES],
    /// Answers by the type that was asked for; [`TransportTotals::types`] names them.
    types: [u64; TYPES],
    /// Octets of all answers of one message.
    pub octets: u64,
    /// Of about one query in 64, answers by size; the bounds are [`SIZE_BOUNDS`].
    pub sizes: [u64; SIZES],
    /// Octets of the answers of that sample.
    pub sized_octets: u64,
    /// Of the same sample, how long the answer took; the bounds are [`LATENCY_BOUNDS`], and the last place is for all
    /// above them.
    pub latencies: [u64; LATENCIES],
    /// Nanoseconds that the queries of that sample took together.
    pub latency_nanoseconds: u64,
}

/// What one thread counts for one transport. Only one thread may count in it: others would get lost, not wrong.
///
/// Two cache lines of alignment, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cells {
    queries: AtomicU64,
    sampler: Sampler,
    octets: AtomicU64,
    dropped: AtomicU64,
    truncated: AtomicU64,
    transfers: AtomicU64,
    unsent: AtomicU64,
    panics: AtomicU64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
    /// But for NOERROR, which is what is left of all answers.
    rcodes: [AtomicU64; RCODES],
    types: [AtomicU64; TYPES],
    sizes: [AtomicU64; SIZES],
    sized_octets: AtomicU64,
    latencies: [AtomicU64; LATENCIES],
    latency_nanoseconds: AtomicU64,
    zones: ZoneCells,
}

/// A query that came in and is being answered.
#[derive(Debug)]
#[must_use = "the answer is counted with it"]
pub struct Received(Option<Sampled>);

#[derive(Debug)]
struct Sampled {
    at: Instant,
    wanted: Wanted,
}

impl Counters {
    /// The sums over all threads.
    pub fn sum(&self) -> Totals {
        let [udp, tcp, tls, https, quic] = array::from_fn(|transport| sum(&self.threads[transport]));
        let (mut zones, mut other_zones) = (BTreeMap::new(), ZoneTotals::default());
        for cells in self.threads.iter().flatten() {
            cells.zones.add_to(&mut zones, &mut other_zones);
        }
        Totals { udp, tcp, tls, https, quic, zones, other_zones }
    }

    /// The query log and dnstap of all threads.
    pub fn taps(&self) -> &TapStore {
        &self.taps
    }

    /// Cells for one more thread, which alone may count in them.
    pub fn add_thread(&mut self, transport: Transport) -> Arc<Cells> {
        let cells = Arc::new(Cells { sampler: Sampler::new(self.taps.clone()), ..Cells::default() });
        self.threads[transport as usize].push(Arc::clone(&cells));
        cells
    }
}

impl Totals {
    /// What was counted for this transport.
    pub fn transport(&self, transport: Transport) -> &TransportTotals {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
            Transport::Https => &self.https,
            Transport::Quic => &self.quic,
        }
    }
}

impl TransportTotals {
    /// Answers by the type that was asked for, with the mnemonic; `other` for unusual types, `none` where no question
    /// could be read.
    pub fn types(&self) -> impl Iterator<Item = (String, u64)> {
        self.types.iter().enumerate().map(|(cell, count)| (types::name(cell), *count))
    }
}

impl Cells {
    /// A query came in. Answer it and call [`Cells::answered`]; where a panic keeps you from that,
    /// [`Cells::count_panic`].
    #[inline]
    pub fn received(&self) -> Received {
        let queries = step(&self.queries);
        if self.sampler.is_due(queries) { self.sample(queries) } else { Received(None) }
    }

    /// The query is answered; what goes out is counted, and of a sample also how long it took and what the query log
    /// and dnstap want to know.
    #[inline]
    pub fn answered(&self, received: Received, client: &Client, request: &[u8], answer: &Answer<'_>) {
        // What nearly every answer is, told apart here where the compiler knows it already.
        match answer {
            Answer::Message(reply) => self.count_reply(reply),
            _ => self.count_answer(answer),
        }
        if let Received(Some(sampled)) = received {
            self.observe(&sampled, client, request, answer, false);
        }
    }

    /// The same where rate limiting has put `answer` in the place of the one that there was: a truncated one, or silence.
    #[cold]
    pub(crate) fn limited(&self, received: Received, client: &Client, request: &[u8], answer: &Answer<'_>) {
        self.count_answer(answer);
        if let Received(Some(sampled)) = received {
            self.observe(&sampled, client, request, answer, true);
        }
    }

    /// Counts a query without looking whether it belongs to a sample.
    #[inline]
    pub fn count_query(&self) {
        step(&self.queries);
    }

    /// Counts an answer without knowing more of its query.
    pub fn count_answer(&self, answer: &Answer<'_>) {
        match answer {
            Answer::Message(reply) => self.count_reply(reply),
            Answer::Silence => _ = step(&self.dropped),
            Answer::Transfer(_) => _ = step(&self.transfers),
        }
    }

    /// Counts an answer of one message.
    ///
    /// Not inlined: among the registers of the answer path it costs nearly twice as much as the call.
    #[inline(never)]
    fn count_reply(&self, reply: &Reply<'_>) {
        step(&self.types[types::cell(reply.record_type)]);
        add(&self.octets, reply.octets.len() as u64);
        if reply.truncated {
            step(&self.truncated);
        }
        // First what most answers are, and once for both counts.
        let outcome = if reply.rcode == NOERROR {
            ZoneOutcome::without_error(reply)
        } else {
            step(&self.rcodes[usize::from(reply.rcode).min(RCODES - 1)]);
            ZoneOutcome::of_error(reply)
        };
        self.zones.count(reply.zone, outcome);
    }

    /// An answer could not be sent.
    pub fn count_unsent(&self) {
        step(&self.unsent);
    }

    /// A query was lost to a panic.
    pub fn count_panic(&self) {
        step(&self.panics);
    }

    /// A connection was taken, or closed because there were too many.
    pub fn count_connection(&self, taken: bool) {
        step(if taken { &self.connections } else { &self.connections_refused });
    }

    #[cold]
    #[inline(never)]
    fn sample(&self, queries: u64) -> Received {
        let wanted = self.sampler.take(queries);
        Received(Some(Sampled { at: Instant::now(), wanted }))
    }

    #[cold]
    #[inline(never)]
    fn observe(&self, sampled: &Sampled, client: &Client, request: &[u8], answer: &Answer<'_>, limited: bool) {
        let took = sampled.at.elapsed();
        if sampled.wanted.is_timed() {
            let nanoseconds = buckets::nanoseconds(took);
            step(&self.latencies[buckets::latency(nanoseconds)]);
            add(&self.latency_nanoseconds, nanoseconds);
            if let Answer::Message(reply) = answer {
                step(&self.sizes[buckets::size(reply.octets.len())]);
                add(&self.sized_octets, reply.octets.len() as u64);
            }
        }
        let outcome = Outcome { answer, limited };
        self.sampler.offer(sampled.wanted, took, client, request, outcome);
    }
}

/// One more; returns how many there were before.
#[inline]
fn step(cell: &AtomicU64) -> u64 {
    add(cell, 1)
}

/// So many more; returns how many there were before. Only one thread writes, so this needs no atomic addition.
#[inline]
fn add(cell: &AtomicU64, more: u64) -> u64 {
    let before = cell.load(Ordering::Relaxed);
    cell.store(before.wrapping_add(more), Ordering::Relaxed);
    before
}

fn sum(threads: &[Arc<Cells>]) -> TransportTotals {
    let types = sums(threads, |cells| &cells.types);
    let mut rcodes = sums(threads, |cells| &cells.rcodes);
    // Every answer has a type. What is counted between the two looks is missing until the next.
    rcodes[usize::from(NOERROR)] = types.iter().sum::<u64>().saturating_sub(rcodes.iter().sum());
    let total = |cell: fn(&Cells) -> &AtomicU64| threads.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).sum();
    TransportTotals {
        queries: total(|cells| &cells.queries),
        dropped: total(|cells| &cells.dropped),
        truncated: total(|cells| &cells.truncated),
        transfers: total(|cells| &cells.transfers),
        unsent: total(|cells| &cells.unsent),
        panics: total(|cells| &cells.panics),
        connections: total(|cells| &cells.connections),
        connections_refused: total(|cells| &cells.connections_refused),
        rcodes,
        types,
        octets: total(|cells| &cells.octets),
        sizes: sums(threads, |cells| &cells.sizes),
        sized_octets: total(|cells| &cells.sized_octets),
        latencies: sums(threads, |cells| &cells.latencies),
        latency_nanoseconds: total(|cells| &cells.latency_nanoseconds),
    }
}

fn sums<const N: usize>(threads: &[Arc<Cells>], row: fn(&Cells) -> &[AtomicU64; N]) -> [u64; N] {
    array::from_fn(|at| threads.iter().map(|cells| row(cells)[at].load(Ordering::Relaxed)).sum())
}

#[cfg(test)]
mod tests {
    use mcdns_core::dns::RecordType;

    use super::*;

    fn client() -> Client {
        Client { address: ([192, 0, 2, 1], 5353).into(), transport: Transport::Udp }
    }

    fn answer(cells: &Cells, rcode: u16, record_type: RecordType, zone: u64) {
        let received = cells.received();
        let octets = &[0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let reply = Reply { record_type, zone, ..Reply::new(octets, rcode) };
        cells.answered(received, &client(), &[0; 12], &Answer::Message(reply));
    }

    #[test]
    fn what_threads_count_is_summed_by_transport_and_over_all_of_them_by_zone() {
        let mut counters = Counters::default();
        for transport in Transport::ALL {
            let threads = [counters.add_thread(transport), counters.add_thread(transport)];
            for cells in &threads {
                answer(cells, 0, RecordType::A, 11);
                answer(cells, 23, RecordType::A, 0);
                answer(cells, 3841, RecordType(65_280), 0);
                let received = cells.received();
                cells.answered(received, &client(), &[], &Answer::Silence);
            }
        }
        let totals = counters.sum();
        for transport in Transport::ALL {
            let totals = totals.transport(transport);
            assert_eq!((totals.queries, totals.dropped, totals.octets), (8, 2, 72));
            assert_eq!((totals.rcodes[0], totals.rcodes[23], totals.rcodes[24]), (2, 2, 2));
            let types: Vec<_> = totals.types().filter(|(_, count)| *count > 0).collect();
            assert_eq!(types, [("A".to_owned(), 4), ("other".to_owned(), 2)]);
            // The first query of each thread, at least.
            assert!(totals.latencies.iter().sum::<u64>() >= 2 && totals.sizes[0] >= 2);
            assert_eq!(totals.sized_octets, totals.sizes[0] * 12);
        }
        assert_eq!(totals.zones, BTreeMap::from([(11, [10, 0, 0, 0, 0, 0, 0])]));
    }

    #[test]
    fn about_one_query_of_64_is_timed() {
        let mut counters = Counters::default();
        let cells = counters.add_thread(Transport::Udp);
        for _ in 0..64_000 {
            answer(&cells, 0, RecordType::A, 11);
        }
        let timed: u64 = counters.sum().udp.latencies.iter().sum();
        // The distances are random with a mean of 64: 1,000 of them miss it by a few percent.
        assert!((850..=1_150).contains(&timed), "{timed}");
    }
}
