//! A federation directory, computed once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use mcdns_core::{check::Finding, model::Observation, records::Engine};
use mcdns_sources::{
    directory::{self, Directory},
    hosts::HostsFile,
    resolver::Resolver,
};

use super::{core_options, small_runtime};
use crate::{output::Output, settings::Settings};

/// What came of it.
pub(super) struct Loaded {
    /// Everything that is known and what follows.
    pub(super) engine: Engine,
    /// What is wrong, sorted.
    pub(super) findings: Vec<Finding>,
    /// Objects of kinds that nothing here reads.
    pub(super) ignored: BTreeMap<String, u64>,
}

/// Reads and computes a directory. There is no clock: every grace is over.
pub(super) fn load(path: &Path, settings: &Settings, output: Output) -> Result<Loaded> {
    let progress = output.progress("reading the federation directory");
    let options = directory_options(settings);
    let (_, batch) = Directory::open(path, options).context("the federation directory cannot be opened")?;
    let (options, mut findings) = core_options(settings);
    let mut engine = Engine::new(options);
    let mut observations = batch.observations;
    findings.extend(batch.findings);
    progress.set_message("computing names");
    if let Some(hosts) = hosts_file(settings, path) {
        let (_, batch) =
            HostsFile::open(&hosts).with_context(|| format!("the hosts file {} cannot be read", hosts.display()))?;
        observations.extend(batch.observations);
        findings.extend(batch.findings);
        engine.observe(&observations, None);
    } else {
        engine.observe(&observations, None);
        progress.set_message("resolving host names");
        let resolved = resolve_once(&engine)?;
        engine.observe(&resolved, None);
    }
    progress.finish_and_clear();
    findings.extend(engine.findings());
    findings.sort();
    findings.dedup();
    Ok(Loaded { engine, findings, ignored: batch.ignored })
}

/// How a directory is read, as far as settings say.
pub(super) fn directory_options(settings: &Settings) -> directory::Options {
    directory::Options { selector: settings.member_selector.value.clone(), ..directory::Options::default() }
}

/// The hosts file that stands in for a resolver: the one that was named, else a file `hosts` in the directory.
pub(super) fn hosts_file(settings: &Settings, directory: &Path) -> Option<PathBuf> {
    let beside = directory.join("hosts");
    settings.hosts.value.clone().or_else(|| beside.is_file().then_some(beside))
}

/// What the host names among the targets resolve to, asked once with the system's resolvers.
pub(super) fn resolve_once(engine: &Engine) -> Result<Vec<Observation>> {
    let wanted: std::collections::BTreeSet<String> = engine.host_names().map(ToString::to_string).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(resolver) = Resolver::system() else {
        // Without resolvers nothing resolves, and each record says so.
        return Ok(Vec::new());
    };
    Ok(small_runtime()?.block_on(resolver.resolve_once(&wanted)))
}
