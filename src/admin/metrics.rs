//! Metrics, in the exposition format of Prometheus.
//!
//! What happens now and then is counted here. Others, the hot path above all, count in cells of their own that are
//! read when somebody asks; a component of that kind hands in a function with [`Metrics::add`]. Labels are bounded:
//! transport, zone, RCODE, severity. Never owner names or error texts.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use mcdns_core::{answer::Snapshot, check::Severity};
use mcdns_serve::Counters;
use mcdns_state::StateStatus;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::{Sources, families::Families, server_metrics};
use crate::federation::Federation;

/// Upper bounds of the time from observations to the snapshot, in seconds.
const UPDATE_SECONDS: &[f64] = &[0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// Appends what a component counts.
type Collect = Box<dyn Fn(&mut Families) + Send>;

/// Components that count in their own way.
#[derive(Default)]
struct Components(Mutex<Vec<Collect>>);

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Components").finish_non_exhaustive()
    }
}

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
    components: Components,
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
            components: Components::default(),
        })
    }

    /// Asks `collect` too, whenever somebody asks for metrics.
    pub fn add(&self, collect: impl Fn(&mut Families) + Send + 'static) {
        self.components.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
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
        state: Option<&StateStatus>,
        sources: &Sources,
    ) -> Result<String> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.generation.set(i64::try_from(snapshot.generation().0).unwrap_or(i64::MAX));
        self.zones.set(number(snapshot.zones().count()));
        let computed = federation.map_or_else(Vec::new, Federation::findings);
        for severity in [Severity::Error, Severity::Warning, Severity::Info] {
            let all = computed.iter().chain(&sources.findings);
            let count = all.filter(|finding| finding.severity == severity).count();
            self.findings.with_label_values(&[&severity.to_string()]).set(number(count));
        }
        self.stale_sources.set(number(sources.stale.len()));
        if let Some(federation) = federation {
            self.records.set(number(federation.engine().record_keys().count()));
        }
        if let Some(state) = state {
            self.state_problems.set(number(state.problems.len()));
            self.state_waiting.set(number(state.waiting));
        }
        let mut families = Families::default();
        server_metrics::collect(&self.counters, snapshot, &mut families);
        for collect in self.components.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            collect(&mut families);
        }
        let all: Vec<_> = self.registry.gather().into_iter().chain(families.gathered()).collect();
        Ok(TextEncoder::new().encode_to_string(&all)?)
    }
}
