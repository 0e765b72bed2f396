//! The server against NSD, Knot, BIND, hickory-server, CoreDNS and an echo: processor time per query over each
//! transport, memory, and the time that a large zone takes to load and to transfer.
//!
//! ```text
//!   core 0: the server         core 1: the load
//! ```
//!
//! One sender cannot saturate a server that is good, so the figure is processor time per query and not queries per
//! second. Servers take turns, round by round, and a ratio is taken within a round, so that what else the machine does
//! strikes all alike.

mod clients;
pub(crate) mod contender;
pub(crate) mod hickory;
pub(crate) mod load;
pub(crate) mod patched;
mod secured;
pub(crate) mod servers;
mod size;
mod streams;
mod transfer;
mod udp;

use std::{fs, path::Path};

use anyhow::{Context, bail};
use support::zone;

use crate::{
    Setup,
    report::{Report, progress},
};

/// A zone on file, with questions for it.
#[derive(Debug)]
struct Zone {
    folder: tempfile::TempDir,
    names: u32,
}

/// Measures everything that has to do with serving; what fails does not keep the rest from being measured.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("two cores are needed, one for the server and one for the load");
    }
    let small = Zone::new(10_000)?;
    attempt(report, "processor time per query", |report| udp::measure(setup, &small, report));
    attempt(report, "against CoreDNS", |report| udp::measure_coredns(setup, &small, report));
    if let Some(instructions) = setup.instructions {
        let what = "own instructions per query, without the kernel's";
        report.at_most(what, "at most 1,000", 1_000.0, instructions, format!("{instructions:.0}"));
    }
    attempt(report, "patches", |report| patched::measure(setup, &small, report));
    attempt(report, "connections that are kept", |report| streams::measure(setup, &small, report));
    attempt(report, "memory for 70,000 names", |report| size::measure(setup, &small, "70,000", report));
    // 11.7 records for each service.
    let records = Zone::new(85_470)?;
    attempt(report, "AXFR", |report| transfer::measure(setup, &records, report));
    drop(records);
    let large = Zone::new(142_857)?;
    attempt(report, "1,000,000 names", |report| size::measure(setup, &large, "1,000,000", report));
    Ok(())
}

fn attempt(report: &mut Report, what: &str, measure: impl FnOnce(&mut Report) -> anyhow::Result<()>) {
    if let Err(error) = measure(report) {
        progress(format_args!("{what} failed: {error:#}"));
        report.failed(what, &error);
    }
}

impl Zone {
    /// The zone of so many services, each with seven names.
    fn new(services: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let made = zone::services(services);
        fs::write(folder.path().join("example.com.zone"), made.master_file)?;
        fs::write(folder.path().join("questions"), made.questions)?;
        Ok(Self { folder, names: services * 7 })
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}
