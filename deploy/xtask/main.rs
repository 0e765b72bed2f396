//! The project's own chores: `cargo xtask test` is the test command, and the other commands are its parts and the
//! things that one does less often.
//!
//! Everything runs from a clean clone with nothing but Rust; what else is needed is named in [`tools`] and installed
//! where that is allowed. No step is ever skipped: a missing tool is a failure that says what to do.

mod console;
mod e2e;
mod fuzz;
mod generate;
mod grafana;
mod helm;
mod image;
mod instructions;
mod interop;
mod kubernetes;
mod moto;
mod process;
mod rooms;
mod scan;
mod steps;
mod tools;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};

use steps::{Benchmarks, Step};

/// Makes the generated parts of mcdns and runs its checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, subcommand_required = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The test command: installs what tests need, then format, lints, rooms, documentation, licences and all tests.
    #[command(after_help = "Example:\n  cargo xtask test --only clippy --only rooms")]
    Test {
        /// Run this step alone; may be given several times.
        #[arg(long, value_enum, value_name = "STEP")]
        only: Vec<Step>,
    },
    /// Run mcdns against real API servers, which are built when they are missing, and break them.
    #[command(after_help = "Examples:\n  cargo xtask e2e\n  cargo xtask e2e outages::\n  cargo xtask e2e --list")]
    E2e(e2e::Wanted),
    /// Run mcdns beside CoreDNS on the same keys in a real etcd, with many random questions.
    Interop,
    /// Write the generated parts anew: CRDs, Kustomize, what the chart renders, dashboard and alert rules.
    Generate {
        /// Write nothing; fail when something on file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Build a static binary as the container file does, and run it with nothing around it.
    #[command(after_help = "Example:\n  cargo xtask image --check")]
    Image(image::Wanted),
    /// Hold the packages' dependencies against the rules of the rooms.
    CheckRooms,
    /// Build for release, measure speed and memory, and compare with other name servers.
    #[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench dns --rounds 5 --markdown")]
    Bench(Benchmarks),
    /// Count the instructions that a query costs, and hold them against the number on file.
    Instructions {
        /// Write the number counted as the one on file.
        #[arg(long)]
        update: bool,
    },
    /// Run the fuzz targets for long.
    #[command(
        after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz --executions 100000000 every_answer\n  cargo xtask fuzz --list"
    )]
    Fuzz(fuzz::Wanted),
    /// Compare everything that has an expected result on file.
    Golden {
        /// Write what comes out as the new expected results.
        #[arg(long)]
        update: bool,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let top = top()?;
    match &arguments.command {
        Command::Test { only } => steps::test(&top, only),
        Command::E2e(wanted) => e2e::run(&top, wanted),
        Command::Interop => interop::compare(&top),
        Command::Generate { check } => generate::run(&top, *check),
        Command::Image(wanted) => image::run_image(&top, wanted),
        Command::CheckRooms => rooms::run(&top),
        Command::Bench(wanted) => steps::bench(&top, wanted),
        Command::Fuzz(wanted) => fuzz::run(&top, wanted),
        Command::Instructions { update } => instructions::check(&top, *update),
        Command::Golden { update } => steps::golden(&top, *update),
    }
}

/// The top folder of the workspace, two above this package.
fn top() -> anyhow::Result<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    top.canonicalize().with_context(|| format!("the workspace that this was built in is gone from {}", top.display()))
}
