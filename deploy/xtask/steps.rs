//! The steps of the test command, cheap ones first, and the two commands that are made of cargo alone.
//!
//! The first step that fails ends the run, for what comes after it would only repeat it in more words.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::{
    console::{say, time},
    generate, instructions, interop, kubernetes, moto,
    process::{cargo, command, run, run_reading, search_path, target},
    rooms, scan, tools,
};

/// One step of the test command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Debian packages that tests need, installed where that is allowed.
    Tools,
    /// Ignored tests, leftovers, files past their size, words that have another word here.
    Scan,
    /// Formatting.
    Format,
    /// Which package may use which.
    Rooms,
    /// CRDs, chart, Kustomize, dashboard and alert rules.
    Generated,
    /// Lints, with warnings denied.
    Clippy,
    /// Documentation, with warnings denied.
    Documentation,
    /// Licences, banned crates and sources of dependencies.
    Deny,
    /// All tests of the workspace.
    Tests,
    /// Instructions per query, which must not rise.
    Instructions,
}

/// What to measure, and how.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Benchmarks {
    /// What to measure; everything when nothing is named.
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Benchmark>,
    /// Rounds of the comparison with other name servers; the median counts.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Also build from nothing, in a folder of its own, and say how long that took.
    #[arg(long)]
    build: bool,
    /// Print the table as Markdown, for the README.
    #[arg(long)]
    markdown: bool,
}

/// One benchmark; the package `bench` has the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// Processor time per query, memory, loading and transfers, against other name servers.
    Dns,
    /// The computation of a large federation, in this process, and one change in it.
    Compute,
    /// From a large federation directory to the first right answer.
    Directory,
    /// From a written file to the changed answer.
    Follow,
    /// From API servers to answers, and what that costs.
    Control,
    /// What publishers need, and how soon other systems answer.
    Publish,
    /// Size of the program, and with `--build` the time that it takes to build.
    Build,
}

/// Tests, as cargo's test runners count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// Runs `only` these steps, or all when there are none.
pub(crate) fn test(top: &Path, only: &[Step]) -> anyhow::Result<()> {
    let steps: Vec<Step> =
        Step::value_variants().iter().copied().filter(|step| only.is_empty() || only.contains(step)).collect();
    let started = Instant::now();
    let mut done: Vec<(Step, Duration)> = Vec::new();
    let mut counts = Counts::default();
    for (index, step) in steps.iter().enumerate() {
        say(format_args!("\n=== {}/{} {step}: {}", index + 1, steps.len(), step.purpose()));
        let began = Instant::now();
        let result = step.run(top, &mut counts);
        let took = began.elapsed();
        if let Err(error) = result {
            say(format_args!("=== {step} FAILED after {}: {error:#}\n", time(took)));
            summary(&done, started.elapsed());
            say(format_args!("  {:<14} FAILED", step.to_string()));
            say(format_args!("\nTo run this step alone: cargo xtask test --only {step}"));
            bail!("the step {step} failed");
        }
        say(format_args!("=== {step} passed in {}", time(took)));
        done.push((*step, took));
    }
    say(format_args!(""));
    summary(&done, started.elapsed());
    if steps.contains(&Step::Tests) {
        say(format_args!("\n{} passed, {} failed", counts.passed, counts.failed));
    }
    Ok(())
}

/// Builds for release, and measures with what was built.
pub(crate) fn bench(top: &Path, wanted: &Benchmarks) -> anyhow::Result<()> {
    let with_servers = wanted.names.is_empty() || wanted.names.contains(&Benchmark::Dns);
    let mut folders: Vec<PathBuf> = search_path();
    if with_servers {
        tools::provide(top)?;
        folders.extend(kubernetes::provide_coredns(top)?.parent().map(Path::to_owned));
    }
    if wanted.names.is_empty() || wanted.names.contains(&Benchmark::Publish) {
        interop::provide(top)?;
    }
    if wanted.names.is_empty() || wanted.names.contains(&Benchmark::Control) {
        tools::provide(top)?;
        kubernetes::provide(top)?;
    }
    run(&mut cargo(top, &["build", "--release", "--workspace"]))?;
    let program = Path::new(&target(top)?).join("release/bench");
    let mut bench = command(top, &program.to_string_lossy(), &[]);
    bench.args(wanted.arguments()).env("PATH", env::join_paths(folders)?);
    if with_servers {
        bench.arg(format!("--instructions={:.0}", instructions::counted(top)?));
    }
    run(&mut bench)
}

/// Compares with the expected results on file, or writes them anew.
pub(crate) fn golden(top: &Path, update: bool) -> anyhow::Result<()> {
    let mut tests = cargo(top, &["test", "--workspace", "--no-fail-fast"]);
    if !update {
        return run(tests.env("INSTA_UPDATE", "no"));
    }
    let result = run(tests.env("INSTA_UPDATE", "always").env("UPDATE_GOLDENS", "1"));
    say(format_args!("\nWhat changed on file, to be read before it is committed:"));
    run(&mut command(
        top,
        "git",
        &["--no-pager", "diff", "--stat", "--", "zones", "tests/golden", "src/manual", "*.snap"],
    ))?;
    result.context("a test fails even with new expected results")
}

impl Benchmarks {
    /// The same as arguments of the program that measures.
    fn arguments(&self) -> Vec<String> {
        let names = self.names.iter().filter_map(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned());
        let rounds = self.rounds.iter().map(|rounds| format!("--rounds={rounds}"));
        let build = self.build.then(|| "--build".to_owned());
        let markdown = self.markdown.then(|| "--markdown".to_owned());
        names.chain(rounds).chain(build).chain(markdown).collect()
    }
}

impl Step {
    fn purpose(self) -> &'static str {
        match self {
            Self::Tools => "programs that tests need",
            Self::Scan => "text that must not be here",
            Self::Format => "formatting",
            Self::Rooms => "which package may use which",
            Self::Generated => "what is generated is what is on file, and the chart is sound",
            Self::Clippy => "lints, warnings denied",
            Self::Documentation => "documentation, warnings denied",
            Self::Deny => "licences, bans and sources of dependencies",
            Self::Tests => "all tests",
            Self::Instructions => "instructions per query, against the number on file",
        }
    }

    fn run(self, top: &Path, counts: &mut Counts) -> anyhow::Result<()> {
        match self {
            Self::Tools => {
                tools::provide(top)?;
                kubernetes::provide(top)?;
                moto::provide(top)
            }
            Self::Scan => scan::run(top),
            Self::Format => run(&mut cargo(top, &["fmt", "--all", "--check"])),
            Self::Rooms => rooms::run(top),
            Self::Generated => generate::run(top, true),
            Self::Clippy => {
                run(&mut cargo(top, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))
            }
            Self::Documentation => {
                run(cargo(top, &["doc", "--no-deps", "--workspace", "--document-private-items", "--quiet"])
                    .env("RUSTDOCFLAGS", "--deny warnings"))
            }
            Self::Deny => {
                tools::provide_cargo_deny(top)?;
                run(&mut cargo(top, &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))
            }
            Self::Tests => tests(top, counts),
            Self::Instructions => instructions::check(top, false),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// A run in which a test is ignored, or in which there was none, has failed.
fn tests(top: &Path, counts: &mut Counts) -> anyhow::Result<()> {
    // An expected result that differs is a failure, and writes nothing beside the one on file.
    let mut tests = cargo(top, &["test", "--workspace"]);
    run_reading(tests.env("INSTA_UPDATE", "no"), |line| counts.add(line))?;
    if counts.ignored > 0 {
        bail!("{} tests are ignored; a test runs or is removed", counts.ignored);
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn summary(done: &[(Step, Duration)], all: Duration) {
    say(format_args!("Steps in {}:", time(all)));
    for (step, took) in done {
        say(format_args!("  {:<14} passed {:>12}", step.to_string(), time(*took)));
    }
}

impl Counts {
    /// Adds what a closing line says, as in `test result: ok. 3 passed; 0 failed; 1 ignored; …`; others say nothing.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for part in rest.1.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_several_test_programs_are_added_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.12s");
        counts.add("test a_result ... ok");
        counts.add("test result: FAILED. 2 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        assert_eq!(counts, Counts { passed: 43, failed: 1, ignored: 3 });
    }

    #[test]
    fn what_to_measure_is_handed_on() {
        let wanted = Benchmarks { names: vec![Benchmark::Dns], rounds: Some(5), build: false, markdown: true };
        assert_eq!(wanted.arguments(), ["dns", "--rounds=5", "--markdown"]);
        assert_eq!(Benchmarks::default().arguments(), Vec::<String>::new());
    }

    #[test]
    fn a_step_is_called_on_the_command_line_as_it_is_in_the_log() {
        for step in Step::value_variants() {
            assert_eq!(Step::from_str(&step.to_string(), false), Ok(*step));
        }
    }
}
