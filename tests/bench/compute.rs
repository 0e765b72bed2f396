//! The computation alone: a large federation at once, then one endpoint at a time, for it and for a tenth of it.
//!
//! Each size has a process of its own, on one core, so that the largest memory seen is that of the computation and of
//! nothing else. The change that is timed is the largest that one endpoint makes: the last ready endpoint of a cluster
//! goes, with it the cluster's load balancer from three names, and comes back.

use std::{fs, process::Command, time::Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use support::federation::{APEX, Federation, Shape};

use crate::{
    Setup,
    engine::Computation,
    machine::{field, kibibytes},
    process::mebibytes,
    report::{Report, progress},
    statistics::{median, quantile},
};

/// Changes that are timed; each endpoint goes and comes back.
const CHANGES: u32 = 1000;
/// Distance between the records that change, a prime, so that they are spread over everything.
const STRIDE: u32 = 7919;
/// The core that it runs on; the first is for whatever else the machine does.
const CORE: &str = "1";

/// A federation to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// 200 clusters, 15,000 records, 1,000,000 endpoints.
    Large,
    /// A tenth of its records and endpoints.
    Tenth,
    /// A hundredth, for a test of this program itself.
    Hundredth,
}

/// Computes both sizes in turn, and holds the medians against what is wanted.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut large = Vec::new();
    let mut tenth = Vec::new();
    for round in 1..=setup.rounds {
        for (size, results) in [(Size::Large, &mut large), (Size::Tenth, &mut tenth)] {
            let result = in_own_process(size)?;
            progress(format_args!("round {round}, {size:?}: {result}"));
            results.push(result);
        }
    }
    let value = |results: &[Value], name: &str| {
        let values: Vec<f64> = results.iter().filter_map(|result| result[name].as_f64()).collect();
        median(&values).with_context(|| format!("no {name} was measured"))
    };
    let seconds = value(&large, "seconds")?;
    let what = format!(
        "full computation, {} names with addresses, model to snapshot, one core",
        large.first().map_or(&Value::Null, |result| &result["names"])
    );
    report.at_most(what, "at most 3 s", 3.0, seconds, format!("{seconds:.2} s"));
    let memory = value(&large, "memory")?;
    report.at_most("memory for that, in all", "at most 600 MB", 600.0, memory, format!("{memory:.0} MB"));
    let (one, one_in_tenth) = (value(&large, "median")?, value(&tenth, "median")?);
    let measured = format!("{one:.1} µs, 99th percentile {:.1} µs", value(&large, "p99")?);
    report.at_most("one endpoint changes in it, model to snapshot", "at most 200 µs", 200.0, one, measured);
    let ratio = one / one_in_tenth;
    let measured = format!("{ratio:.2} times ({one_in_tenth:.1} µs)");
    report.at_most("the same against a tenth of the federation", "at most 1.3 times", 1.3, ratio, measured);
    Ok(())
}

/// Computes one size here, and gives the figures as JSON: seconds, MB, and microseconds for a change.
pub(crate) fn inside(size: Size) -> anyhow::Result<Value> {
    let federation = Federation::new(size.shape())?;
    let observations: Vec<_> = federation.observations().collect();
    let mut computation = Computation::new();
    let start = Instant::now();
    computation.observe(&observations)?;
    let seconds = start.elapsed().as_secs_f64();
    let memory = peak_memory()?;
    drop(observations);
    let names = computation.names(APEX)?;
    let changes = changes(&federation, &mut computation)?;
    Ok(json!({
        "seconds": seconds,
        "memory": memory,
        "names": names,
        "median": median(&changes),
        "p99": quantile(&changes, 0.99),
    }))
}

/// Microseconds of each change.
fn changes(federation: &Federation, computation: &mut Computation) -> anyhow::Result<Vec<f64>> {
    let records = u64::from(federation.shape().records);
    let mut times = Vec::new();
    for number in 0..CHANGES / 2 {
        let record = u64::from(number) * u64::from(STRIDE) % records;
        let record = u32::try_from(record).unwrap_or_default();
        computation.observe(&[federation.slice(record, 1, 1)])?;
        for ready in [0, 1] {
            let change = [federation.slice(record, 1, ready)];
            let start = Instant::now();
            let changed = computation.observe(&change)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            if !changed {
                bail!("record {record} with {ready} ready endpoints in one cluster changed no answer");
            }
        }
    }
    Ok(times)
}

fn in_own_process(size: Size) -> anyhow::Result<Value> {
    let here = std::env::current_exe().context("where this program is cannot be told")?;
    let name = size.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut command = Command::new("taskset");
    let output = command.args(["--cpu-list", CORE]).arg(here).args(["--inside", &name]).output();
    let output = output.context("`taskset` cannot be started")?;
    if !output.status.success() {
        bail!("the computation failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the computation gives no figures")
}

/// The most memory that this process has had, in MB of a million octets.
fn peak_memory() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("no /proc/self/status")?;
    let peak = field(&status, "VmHWM").and_then(|value| kibibytes(&value)).context("no VmHWM in /proc/self/status")?;
    Ok(mebibytes(peak) * 1.048_576)
}

impl Size {
    fn shape(self) -> Shape {
        match self {
            Self::Large => Shape::LARGE,
            Self::Tenth => Shape::LARGE.tenth(),
            Self::Hundredth => Shape::LARGE.tenth().tenth(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_federation_gives_every_figure() {
        let figures = inside(Size::Hundredth).expect("it is computed");
        for name in ["seconds", "memory", "median", "p99"] {
            assert!(figures[name].as_f64().is_some_and(|value| value > 0.0), "{name} in {figures}");
        }
        // Each of 150 records has a name for the federation, 4 regions and 4 availability zones.
        assert_eq!(figures["names"].as_u64(), Some(150 * 9), "{figures}");
    }
}
