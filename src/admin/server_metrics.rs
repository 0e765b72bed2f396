//! What the DNS server counts, as families of metrics.

use std::collections::BTreeMap;

use mcdns_core::answer::Snapshot;
use mcdns_serve::{
    Counters, LATENCY_BOUNDS, RCODES, SIZE_BOUNDS, TapTotals, Totals, Transport, TransportTotals, ZoneOutcome,
    ZoneTotals, rcode_name,
};

use super::families::{Buckets, Families};

/// Label of what was counted for zones without a place of their own; no zone can have such a name.
const OTHER_ZONES: &str = "(other)";

/// Appends the families of the server.
pub(super) fn collect(counters: &Counters, snapshot: &Snapshot, families: &mut Families) {
    let totals = counters.sum();
    for transport in Transport::ALL {
        let of = totals.transport(transport);
        // Transports that nobody listens on would be rows of zeros.
        if matches!(transport, Transport::Udp | Transport::Tcp) || of.queries + of.connections > 0 {
            collect_transport(transport.name(), of, families);
        }
    }
    collect_zones(&totals, snapshot, families);
    collect_taps(counters.taps().totals(), families);
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn collect_transport(transport: &str, totals: &TransportTotals, families: &mut Families) {
    let label = ("transport", transport);
    for (name, help, total) in [
        ("mcdns_dns_queries_total", "Messages that came in", totals.queries),
        ("mcdns_dns_dropped_total", "Messages that got no answer", totals.dropped),
        ("mcdns_dns_truncated_total", "Answers with TC set", totals.truncated),
        ("mcdns_dns_transfers_total", "Answers of many messages, that is zone transfers", totals.transfers),
        ("mcdns_dns_answered_bytes_total", "Octets of all answers but zone transfers", totals.octets),
        ("mcdns_dns_unsent_total", "Answers that could not be sent", totals.unsent),
        ("mcdns_dns_panics_total", "Queries lost to a fault of the program", totals.panics),
        ("mcdns_dns_connections_total", "Connections that were taken", totals.connections),
        ("mcdns_dns_connections_refused_total", "Connections closed because of too many", totals.connections_refused),
    ] {
        families.counter(name, help).value(&[label], total);
    }
    let mut answers = families.counter("mcdns_dns_answers_total", "Answers by RCODE");
    for (rcode, total) in (0..).zip(totals.rcodes).filter(|(_, total)| *total > 0) {
        let name = if usize::from(rcode) == RCODES - 1 { "other".into() } else { rcode_name(rcode) };
        answers.value(&[label, ("rcode", &name)], total);
    }
    let mut by_type = families.counter("mcdns_dns_answers_by_type_total", "Answers by the type that was asked for");
    for (record_type, total) in totals.types().filter(|(_, total)| *total > 0) {
        by_type.value(&[label, ("type", &record_type)], total);
    }
    let bounds = SIZE_BOUNDS.map(|bound| bound as f64);
    let sizes = Buckets { bounds: &bounds, counts: &totals.sizes, sum: totals.sized_octets as f64 };
    let help = "Sizes of answers, of about one query in 64";
    families.histogram("mcdns_dns_answer_bytes", help).buckets(&[label], sizes);
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let bounds = LATENCY_BOUNDS.map(seconds);
    let times = Buckets { bounds: &bounds, counts: &totals.latencies, sum: seconds(totals.latency_nanoseconds) };
    let help = "From a query to its answer, of about one query in 64";
    families.histogram("mcdns_dns_answer_seconds", help).buckets(&[label], times);
}

fn collect_zones(totals: &Totals, snapshot: &Snapshot, families: &mut Families) {
    let help = "Answers by zone and what they were";
    let mut family = families.counter("mcdns_dns_zone_answers_total", help);
    // Zones that are no longer served have no name by now.
    let apexes: BTreeMap<u64, String> = snapshot.zones().map(|zone| (zone.tag(), zone.apex().to_string())).collect();
    let mut put = |zone: &str, totals: &ZoneTotals, with_zeros: bool| {
        for (outcome, total) in ZoneOutcome::ALL.into_iter().zip(*totals) {
            if total > 0 || with_zeros {
                family.value(&[("zone", zone), ("outcome", outcome.name())], total);
            }
        }
    };
    for (tag, of_zone) in &totals.zones {
        if let Some(apex) = apexes.get(tag) {
            put(apex, of_zone, false);
        }
    }
    put(OTHER_ZONES, &totals.other_zones, true);
}

fn collect_taps(totals: TapTotals, families: &mut Families) {
    let TapTotals { logged, log_dropped, tapped, tap_dropped, tap_connected } = totals;
    for (name, help, total) in [
        ("mcdns_query_log_queries_total", "Queries written to the query log", logged),
        ("mcdns_query_log_dropped_total", "Queries that the query log could not take", log_dropped),
        ("mcdns_dnstap_queries_total", "Queries handed to the receiver of dnstap", tapped),
        ("mcdns_dnstap_dropped_total", "Queries that the receiver of dnstap could not take", tap_dropped),
    ] {
        families.counter(name, help).value(&[], total);
    }
    if let Some(connected) = tap_connected {
        let help = "1 while dnstap has somebody to write to";
        families.gauge("mcdns_dnstap_connected", help).value(&[], connected.into());
    }
}

#[cfg(test)]
mod tests {
    use mcdns_core::{
        answer::{Patch, Soa, ZonePatch},
        dns::{OwnerName, RecordType, Serial},
    };
    use mcdns_serve::{Answer, Client, Reply};
    use prometheus::TextEncoder;

    use super::*;

    fn snapshot(apex: &OwnerName) -> Snapshot {
        let soa = Soa {
            primary: apex.clone(),
            contact: apex.clone(),
            serial: Serial(1),
            refresh: 3600,
            retry: 600,
            expire: 604_800,
            negative_ttl: 30,
            ttl: 3600,
        };
        let zone = ZonePatch { soa: Some(soa), ..ZonePatch::default() };
        let patch = Patch { zones: [(apex.clone(), zone)].into(), ..Patch::default() };
        Snapshot::default().apply(&patch).expect("a good patch")
    }

    #[test]
    fn a_zone_is_named_as_long_as_it_is_served_and_transports_are_shown_once_they_are_used() {
        let apex = OwnerName::parse("example.com").expect("a name");
        let snapshot = snapshot(&apex);
        let zone = snapshot.zone(&apex).expect("the zone");
        let mut counters = Counters::default();
        let cells = counters.add_thread(Transport::Tls);
        let client = Client { address: ([192, 0, 2, 1], 5353).into(), transport: Transport::Tls };
        for zone in [zone.tag(), 12_345] {
            let octets = &[0, 1, 0x84, 3, 0, 1, 0, 0, 0, 0, 0, 0];
            let reply = Reply { record_type: RecordType::AAAA, zone, ..Reply::new(octets, 3) };
            cells.answered(cells.received(), &client, &[], &Answer::Message(reply));
        }
        let mut families = Families::default();
        collect(&counters, &snapshot, &mut families);
        let text =
            TextEncoder::new().encode_to_string(&families.gathered().collect::<Vec<_>>()).expect("an exposition");
        let shown = |line: &str| text.lines().any(|shown| shown == line);
        for line in [
            "mcdns_dns_queries_total{transport=\"dot\"} 2",
            "mcdns_dns_queries_total{transport=\"udp\"} 0",
            "mcdns_dns_answers_total{transport=\"dot\",rcode=\"NXDOMAIN\"} 2",
            "mcdns_dns_answers_by_type_total{transport=\"dot\",type=\"AAAA\"} 2",
            "mcdns_dns_answered_bytes_total{transport=\"dot\"} 24",
            "mcdns_dns_zone_answers_total{zone=\"example.com\",outcome=\"nxdomain\"} 1",
            "mcdns_dns_zone_answers_total{zone=\"(other)\",outcome=\"nxdomain\"} 0",
        ] {
            assert!(shown(line), "{line} is not in {text}");
        }
        assert!(!text.contains("doq") && !text.contains("12345") && !text.contains("mcdns_dnstap_connected"), "{text}");
    }
}
