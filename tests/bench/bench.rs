//! Measures mcdns, and compares it with other name servers on the same machine in the same run.
//!
//! Times on one machine say little about another, so what matters is stated as a ratio wherever there is something to
//! compare with. Every row has what is wanted beside what was measured. Progress goes to standard error, the table to
//! standard output. Traffic stays on the loopback interface.
//!
//! It is built and started by `cargo xtask bench`; the programs that it measures lie beside it.

mod compute;
mod directory;
mod dns;
mod engine;
mod follow;
mod machine;
mod process;
mod program;
mod question;
mod report;
mod statistics;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use machine::Machine;
use report::{Report, progress};

/// Measures mcdns and compares it with other name servers.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure; everything when nothing is named.
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Benchmark>,
    /// Rounds of what is compared; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of load for each server in each round.
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Also build from nothing, and say how long that took.
    #[arg(long)]
    build: bool,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
    /// The program to measure; the one beside this program when not given.
    #[arg(long, value_name = "FILE")]
    mcdns: Option<PathBuf>,
    /// Compute a federation in this process and print figures: how `compute` gets a process of its own.
    #[arg(long, hide = true, value_enum)]
    inside: Option<compute::Size>,
}

/// One benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Processor time per query and memory, against NSD and Knot.
    Dns,
    /// The computation of a large federation, and one change in it.
    Compute,
    /// From a large federation directory to the first right answer.
    Directory,
    /// From a written file to the changed answer.
    Follow,
    /// Size of the program, and the time that it takes to build.
    Build,
}

/// What the benchmarks share.
#[derive(Debug)]
struct Setup {
    /// The program to measure.
    mcdns: PathBuf,
    rounds: u32,
    seconds: u32,
    build: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// True if everything could be measured, whatever came out.
fn run(arguments: Arguments) -> anyhow::Result<bool> {
    if let Some(size) = arguments.inside {
        report::say(format_args!("{}", compute::inside(size)?));
        return Ok(true);
    }
    let here = std::env::current_exe().context("where this program is cannot be told")?;
    let setup = Setup {
        mcdns: arguments.mcdns.unwrap_or_else(|| here.with_file_name("mcdns")),
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        build: arguments.build,
    };
    let mut report = Report::default();
    for benchmark in Benchmark::value_variants() {
        if !arguments.names.is_empty() && !arguments.names.contains(benchmark) {
            continue;
        }
        let name = benchmark.name();
        progress(format_args!("=== {name}"));
        let result = match benchmark {
            Benchmark::Dns => dns::measure(&setup, &mut report),
            Benchmark::Compute => compute::measure(&setup, &mut report),
            Benchmark::Directory => directory::measure(&setup, &mut report),
            Benchmark::Follow => follow::measure(&setup, &mut report),
            Benchmark::Build => program::measure(&setup, &mut report),
        };
        if let Err(error) = result {
            progress(format_args!("{name} failed: {error:#}"));
            report.failed(&name, &error);
        }
    }
    let machine = Machine::this();
    report::say(format_args!("{}", if arguments.markdown { report.markdown(&machine) } else { report.text(&machine) }));
    Ok(report.is_complete())
}

impl Benchmark {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
