//! The one place that knows how the core computes, so that what is measured stays the same when that changes.

use anyhow::Context;
use mcdns_core::{
    answer::Entry,
    dns::{OwnerName, RecordType},
    model::Observation,
    records::{Engine, Options},
};

/// A computation as `mcdns run` does it, without anything around it.
#[derive(Debug)]
pub(crate) struct Computation(Engine);

impl Computation {
    /// One that knows nothing.
    pub(crate) fn new() -> Self {
        Self(Engine::new(Options::default()))
    }

    /// Takes observations in; true if answers changed. Afterwards the snapshot is the one that would be served.
    pub(crate) fn observe(&mut self, observations: &[Observation]) -> anyhow::Result<bool> {
        let update = self.0.observe(observations, None);
        if let Some(error) = update.refused.into_iter().next() {
            return Err(error).context("the snapshot refuses what was computed");
        }
        Ok(!update.patch.is_empty())
    }

    /// Names in the zone that have addresses.
    pub(crate) fn names(&self, apex: &str) -> anyhow::Result<usize> {
        let apex: OwnerName = apex.parse().context("the apex is no name")?;
        let zone = self.0.snapshot().zone(&apex).context("the zone is not served")?;
        let has_addresses = |entry: &Entry| {
            entry.rrsets.iter().any(|rrset| matches!(rrset.record_type, RecordType::A | RecordType::AAAA))
        };
        Ok(zone.entries().filter(|(_, entry)| has_addresses(entry)).count())
    }
}
