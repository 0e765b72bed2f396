//! The program itself: how large it is, and how long it takes to build from nothing.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::{
    Setup,
    report::{Report, progress},
};

/// Size of what was built for release, whose profile strips it; with `--build` the time of a build of its own.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let metadata =
        fs::metadata(&setup.mcdns).with_context(|| format!("{} is not there; build it", setup.mcdns.display()))?;
    #[expect(clippy::cast_precision_loss, reason = "the size of a program is far below what a double holds exactly")]
    let megabytes = metadata.len() as f64 / 1e6;
    report.at_most("size of the program, stripped", "at most 25 MB", 25.0, megabytes, format!("{megabytes:.1} MB"));
    if setup.build {
        let seconds = build()?;
        let measured = format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0);
        report.at_most("clean `cargo build --release`", "at most 5 min", 300.0, seconds, measured);
    }
    Ok(())
}

/// Seconds of a build into an empty folder. Sources are fetched before, for the network is not what is measured.
fn build() -> anyhow::Result<f64> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = tempfile::tempdir().context("no temporary folder")?;
    cargo(&top, &["fetch", "--quiet"], target.path())?;
    progress(format_args!("building from nothing, which takes some minutes"));
    let start = Instant::now();
    cargo(&top, &["build", "--release", "--quiet"], target.path())?;
    Ok(start.elapsed().as_secs_f64())
}

fn cargo(top: &Path, arguments: &[&str], target: &Path) -> anyhow::Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(arguments)
        .current_dir(top)
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
