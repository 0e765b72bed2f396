//! Fuzz targets run for long: built once, then in slices of some seconds each, with a line about how far it is.
//!
//! ```text
//!   packages with a test program `fuzz` ──► built ──► asked for their targets ──► slice after slice of each
//!                                                                                      │
//!                                         target/fuzz-findings/<target>.txt ◄── a slice that fails
//! ```
//!
//! A slice is a process: it ends by itself, memory that it may have kept is given back, and a target that hangs is
//! found. The targets are those of `cargo test`, with other limits: bolero reads these from the environment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    console::{say, time},
    process::{cargo, output, target},
};

/// Packages that have targets.
const PACKAGES: [&str; 3] = ["mcdns-core", "mcdns-serve", "mcdns-state"];
/// What they are called in each.
const PROGRAM: &str = "fuzz";
/// How they are built; see the workspace's manifest.
const PROFILE: &str = "fuzz";
/// How long a slice shall take, so that there is something new to read now and then.
const SLICE: Duration = Duration::from_secs(10);
/// Executions of the first slice, from which the rate is learnt.
const FIRST: u64 = 500;
/// A slice that takes so many times longer than it should hangs.
const PATIENCE: u32 = 30;
/// What bolero writes in front of the seed of a finding.
const SEED: &str = "BOLERO_RANDOM_SEED";

/// How long, and what.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Executions of each target.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    executions: u64,
    /// Say which targets there are, and run none.
    #[arg(long)]
    list: bool,
    /// Targets, or parts of their names; all when none is named.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// One test that bolero drives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    package: String,
    /// Path of the test in its program.
    test: String,
    program: PathBuf,
}

/// A slice that failed.
struct Finding {
    file: PathBuf,
    seed: Option<String>,
}

/// Builds the targets and runs those that are wanted. Fails after the last of them if there was a finding.
pub(crate) fn run(top: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    let all = targets(top)?;
    let chosen: Vec<&Target> = all.iter().filter(|target| wanted.has(target)).collect();
    if chosen.is_empty() {
        bail!("no target is called so; `cargo xtask fuzz --list` says which there are");
    }
    if wanted.list {
        for target in chosen {
            say(format_args!("{}", target.name()));
        }
        return Ok(());
    }
    let folder = Path::new(&self::target(top)?).join("fuzz-findings");
    let began = Instant::now();
    let mut findings = 0;
    for target in &chosen {
        if let Some(finding) = target.run_long(top, &folder, wanted.executions)? {
            findings += 1;
            target.report(&finding);
        }
    }
    say(format_args!(
        "\n{} targets, {} executions each, {findings} findings, {}",
        chosen.len(),
        wanted.executions,
        time(began.elapsed())
    ));
    if findings > 0 {
        bail!("{findings} of {} targets have a finding", chosen.len());
    }
    Ok(())
}

impl Wanted {
    fn has(&self, target: &Target) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|part| target.name().contains(part.as_str()))
    }
}

impl Target {
    fn name(&self) -> String {
        format!("{}::{}", self.package, self.test)
    }

    /// Runs so many executions, and says where a finding is.
    fn run_long(&self, top: &Path, folder: &Path, executions: u64) -> anyhow::Result<Option<Finding>> {
        say(format_args!("\n{}", self.name()));
        let (mut done, mut slice, began) = (0, FIRST.min(executions), Instant::now());
        while done < executions {
            let started = Instant::now();
            let output = folder.join(self.file());
            if !self.run_slice(top, &output, slice)? {
                let text = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
                return Ok(Some(Finding { file: output, seed: seed(&text) }));
            }
            fs::remove_file(&output).ok();
            done += slice;
            let rate = rate(done, began.elapsed());
            say(format_args!("{}", progress(done, executions, rate)));
            slice = next_slice(slice, started.elapsed()).min(executions - done);
        }
        Ok(None)
    }

    /// Runs one slice; false if it fails or hangs. What it says is in the file then.
    fn run_slice(&self, top: &Path, log: &Path, executions: u64) -> anyhow::Result<bool> {
        fs::create_dir_all(log.parent().context("a file in a folder")?)?;
        let file = fs::File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let package = top.join(self.folder());
        let mut child = Command::new(&self.program)
            .args(["--exact", &self.test, "--nocapture", "--test-threads=1"])
            .env("BOLERO_RANDOM_ITERATIONS", executions.to_string())
            .env("RUST_BACKTRACE", "1")
            // Short runs have a fixed seed, long ones a new one for each slice.
            .env_remove(SEED)
            .current_dir(package)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            if started.elapsed() > SLICE * PATIENCE {
                child.kill()?;
                child.wait()?;
                say(format_args!("  a slice did not end within {}", time(SLICE * PATIENCE)));
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn report(&self, finding: &Finding) {
        say(format_args!("  FINDING, with its input in {}", finding.file.display()));
        let seed = finding.seed.as_ref().map_or_else(String::new, |seed| format!("{SEED}={seed} "));
        say(format_args!(
            "  again: {seed}BOLERO_RANDOM_ITERATIONS=1 cargo test --profile {PROFILE} -p {} --test {PROGRAM} -- --exact {}",
            self.package, self.test
        ));
    }

    fn file(&self) -> String {
        format!("{}.txt", self.name().replace("::", "-"))
    }

    /// Where cargo would run the tests of the package.
    fn folder(&self) -> String {
        format!("src/{}", self.package.trim_start_matches("mcdns-"))
    }
}

/// Builds the programs and asks each for its targets.
fn targets(top: &Path) -> anyhow::Result<Vec<Target>> {
    let mut arguments = vec!["test", "--profile", PROFILE, "--test", PROGRAM, "--no-run", "--message-format", "json"];
    for package in PACKAGES {
        arguments.extend(["--package", package]);
    }
    say(format_args!("$ cargo {}", arguments.join(" ")));
    let messages = output(cargo(top, &arguments).env_remove("CARGO_BOLERO_SELECT"))?;
    let mut targets = Vec::new();
    for program in messages.lines().filter_map(program) {
        let said =
            output(Command::new(&program).arg("--nocapture").env("CARGO_BOLERO_SELECT", "all").current_dir(top))?;
        targets.extend(said.lines().filter_map(|line| described(line, &program)));
    }
    targets.sort_by_key(Target::name);
    Ok(targets)
}

/// The test program that a message of cargo is about.
fn program(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_ours = message["target"]["name"] == PROGRAM;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}

/// The target that bolero describes in a line.
fn described(line: &str, program: &Path) -> Option<Target> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("__bolero_target")?;
    let text = |key: &str| line[key].as_str().map(ToOwned::to_owned);
    Some(Target { package: text("package_name")?, test: text("test_name")?, program: program.to_owned() })
}

/// The seed that leads to a finding again.
fn seed(text: &str) -> Option<String> {
    let (_, behind) = text.split_once(SEED)?;
    let digits: String = behind.chars().skip(1).take_while(char::is_ascii_digit).collect();
    Some(digits).filter(|digits| !digits.is_empty())
}

/// Executions a second.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn rate(done: u64, took: Duration) -> f64 {
    done as f64 / took.as_secs_f64().max(0.001)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn progress(done: u64, executions: u64, rate: f64) -> String {
    let left = Duration::from_secs_f64((executions - done) as f64 / rate.max(0.001));
    format!("  {done:>12} of {executions}, {rate:.0} a second, {} left", time(left))
}

/// Executions of the next slice, so that it takes as long as it should; never many times more than the last.
fn next_slice(last: u64, took: Duration) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of executions of 10 s")]
    let fitting = (rate(last, took) * SLICE.as_secs_f64()) as u64;
    fitting.clamp(1, last.saturating_mul(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_grow_until_they_take_ten_seconds() {
        assert_eq!(next_slice(500, Duration::from_millis(10)), 10_000);
        assert_eq!(next_slice(10_000, Duration::from_secs(1)), 100_000);
        assert_eq!(next_slice(100_000, Duration::from_secs(20)), 50_000);
        assert_eq!(next_slice(1, Duration::from_mins(1)), 1);
    }

    #[test]
    fn a_target_is_read_from_what_bolero_says() {
        let line = r#"{"__bolero_target":"v0.5.0","exe":"/x","work_dir":"/w","package_name":"mcdns-core","is_harnessed":true,"test_name":"a::b"}"#;
        let target = described(line, Path::new("/x")).expect("a target");
        assert_eq!((target.name().as_str(), target.folder().as_str()), ("mcdns-core::a::b", "src/core"));
        assert_eq!(described("running 3 tests", Path::new("/x")), None);
        let message = r#"{"reason":"compiler-artifact","target":{"name":"fuzz"},"executable":"/x"}"#;
        assert_eq!(program(message), Some("/x".into()));
    }

    #[test]
    fn the_seed_of_a_finding_is_read() {
        let text = "===== Test Failure =====\n\nBOLERO_RANDOM_SEED=98765\n\nInput: \n7";
        assert_eq!(seed(text).as_deref(), Some("98765"));
        assert_eq!(seed("no seed"), None);
    }
}
