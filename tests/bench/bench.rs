//! Measures mcdns, and compares it with other name servers on the same machine in the same run.
//!
//! Times on one machine say little about another, so what matters is stated as a ratio wherever there is something to
//! compare with. Every row has what is wanted beside what was measured. Progress goes to standard error, the table to
//! standard output. Traffic stays on the loopback interface.
//!
//! It is built and started by `cargo xtask bench`; the programs that it measures lie beside it.

mod compute;
mod control;
mod directory;
mod dns;
mod engine;
mod follow;
mod machine;
mod process;
mod program;
mod publish;
mod question;
mod report;
mod statistics;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};

use machine::Machine;
use report::{Report, progress};

/// Measures mcdns and compares it with other name servers.
#[derive(Debug, Parser)]
#[command(name = "bench", version, args_conflicts_with_subcommands = true)]
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
    /// Instructions per query that were counted before, for the table.
    #[arg(long, hide = true, value_name = "N")]
    instructions: Option<f64>,
    #[command(subcommand)]
    itself: Option<Itself>,
}

/// What this program is when it starts itself, so that something to be measured has a process of its own.
#[derive(Debug, Subcommand)]
enum Itself {
    /// hickory-server with a zone.
    #[command(hide = true)]
    Hickory(dns::hickory::Setup),
    /// The server of mcdns with a zone whose names change.
    #[command(hide = true)]
    Patched {
        zone: PathBuf,
        address: SocketAddr,
        /// Changes a second.
        rate: u32,
    },
}

/// One benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Processor time per query, memory, loading and transfers, against other name servers.
    Dns,
    /// The computation of a large federation, and one change in it.
    Compute,
    /// From a large federation directory to the first right answer.
    Directory,
    /// From a written file to the changed answer.
    Follow,
    /// From API servers to answers, and what that costs.
    Control,
    /// What publishers need, and how soon other systems answer.
    Publish,
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
    instructions: Option<f64>,
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
    match arguments.itself {
        Some(Itself::Hickory(setup)) => return dns::hickory::serve(&setup).map(|()| true),
        Some(Itself::Patched { zone, address, rate }) => {
            return dns::patched::serve(&zone, address, rate).map(|()| true);
        }
        None => {}
    }
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
        instructions: arguments.instructions,
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
            Benchmark::Control => {
                control::measure(&setup, &mut report);
                Ok(())
            }
            Benchmark::Publish => publish::measure(&setup, &mut report),
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
