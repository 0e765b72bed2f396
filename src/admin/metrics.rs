//! Metrics, in the exposition format of Prometheus.
//!
//! The hot path counts in cells of its own ([`Counters`]); they are read when somebody asks. Labels are bounded:
//! transport and RCODE, severity. Never owner names or error texts.

use anyhow::Result;
use mcdns_core::{answer::Snapshot, check::Severity};
use mcdns_serve::{Counters, TransportTotals};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::Sources;
use crate::federation::Federation;

/// Upper bounds of the time from observations to the snapshot, in seconds.
const UPDATE_SECONDS: &[f64] = &[0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// All metrics of this program.
#[derive(Debug)]
pub struct Metrics {
    counters: Counters,
    registry: Registry,
    updates: IntCounter,
    changed_names: IntCounter,
    update_seconds: Histogram,
    generation: IntGauge,
    zones: IntGauge,
    records: IntGauge,
    findings: IntGaugeVec,
    stale_sources: IntGauge,
    state_problems: IntGauge,
    state_waiting: IntGauge,
}

impl Metrics {
    pub(super) fn new(counters: Counters) -> Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let updates = counter("mcdns_updates_total", "Batches of observations taken in")?;
        let changed_names = counter("mcdns_changed_names_total", "Names whose entry changed")?;
        let options = HistogramOpts::new("mcdns_update_seconds", "From observations to the new snapshot");
        let update_seconds = Histogram::with_opts(options.buckets(UPDATE_SECONDS.to_vec()))?;
        registry.register(Box::new(update_seconds.clone()))?;
        let generation = gauge("mcdns_generation", "Generation of the snapshot that is served")?;
        let zones = gauge("mcdns_zones", "Zones that are served")?;
        let records = gauge("mcdns_records", "ServiceDNSRecords and IngressDNSRecords that are known")?;
        let findings = IntGaugeVec::new(Opts::new("mcdns_findings", "What is wrong now"), &["severity"])?;
        registry.register(Box::new(findings.clone()))?;
        let stale_sources = gauge("mcdns_stale_sources", "Sources whose last state is from before")?;
        let state_problems = gauge("mcdns_state_problems", "Problems of the state directory")?;
        let state_waiting = gauge("mcdns_state_waiting", "Changes that are not on disk yet")?;
        Ok(Self {
            counters,
            registry,
            updates,
            changed_names,
            update_seconds,
            generation,
            zones,
            records,
            findings,
            stale_sources,
            state_problems,
            state_waiting,
        })
    }

    /// Counts one batch that was taken in.
    pub fn updated(&self, seconds: f64, changed_names: usize) {
        self.updates.inc();
        self.changed_names.inc_by(changed_names as u64);
        self.update_seconds.observe(seconds);
    }

    pub(super) fn exposition(
        &self,
        snapshot: &Snapshot,
        federation: Option<&Federation>,
        sources: &Sources,
    ) -> Result<Vec<u8>> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.generation.set(i64::try_from(snapshot.generation().0).unwrap_or(i64::MAX));
        self.zones.set(number(snapshot.zones().count()));
        let computed = federation.map_or_else(Vec::new, |federation| federation.engine().findings());
        for severity in [Severity::Error, Severity::Warning, Severity::Info] {
            let all = computed.iter().chain(&sources.findings);
            let count = all.filter(|finding| finding.severity == severity).count();
            self.findings.with_label_values(&[&severity.to_string()]).set(number(count));
        }
        self.stale_sources.set(number(sources.stale.len()));
        if let Some(federation) = federation {
            self.records.set(number(federation.engine().record_keys().count()));
            if let Some(state) = federation.state() {
                let status = state.status();
                self.state_problems.set(number(status.problems.len()));
                self.state_waiting.set(number(status.waiting));
            }
        }
        let mut families = self.registry.gather();
        families.extend(self.server_families()?);
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }

    /// The counters of the server, as families made anew each time.
    fn server_families(&self) -> Result<Vec<prometheus::proto::MetricFamily>> {
        let registry = Registry::new();
        let by_transport = |name: &str, help: &str| -> Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), &["transport"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let queries = by_transport("mcdns_dns_queries_total", "Messages that came in")?;
        let dropped = by_transport("mcdns_dns_dropped_total", "Messages that got no answer")?;
        let truncated = by_transport("mcdns_dns_truncated_total", "Answers with TC set")?;
        let unsent = by_transport("mcdns_dns_unsent_total", "Answers that could not be sent")?;
        let panics = by_transport("mcdns_dns_panics_total", "Queries lost to a fault of the program")?;
        let connections = by_transport("mcdns_dns_connections_total", "Connections that were taken")?;
        let refused = by_transport("mcdns_dns_connections_refused_total", "Connections closed because of too many")?;
        let answers =
            IntCounterVec::new(Opts::new("mcdns_dns_answers_total", "Answers by RCODE"), &["transport", "rcode"])?;
        registry.register(Box::new(answers.clone()))?;
        let totals = self.counters.sum();
        for (transport, totals) in [("udp", &totals.udp), ("tcp", &totals.tcp)] {
            let TransportTotals {
                queries: queries_total,
                dropped: dropped_total,
                truncated: truncated_total,
                unsent: unsent_total,
                panics: panics_total,
                connections: connections_total,
                connections_refused: refused_total,
                rcodes,
            } = totals;
            for (counter, total) in [
                (&queries, queries_total),
                (&dropped, dropped_total),
                (&truncated, truncated_total),
                (&unsent, unsent_total),
                (&panics, panics_total),
                (&connections, connections_total),
                (&refused, refused_total),
            ] {
                counter.with_label_values(&[transport]).inc_by(*total);
            }
            for (rcode, total) in rcodes.iter().enumerate().filter(|(_, total)| **total > 0) {
                answers.with_label_values(&[transport, &rcode_name(rcode)]).inc_by(*total);
            }
        }
        Ok(registry.gather())
    }
}

/// Mnemonic of the IANA registry.
fn rcode_name(rcode: usize) -> String {
    match rcode {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        6 => "YXDOMAIN".to_owned(),
        16 => "BADVERS".to_owned(),
        other => other.to_string(),
    }
}
