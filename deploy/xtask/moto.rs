//! moto, which pretends to be AWS: somebody else's view of what we ask of Route 53. It is a Python program, and lives with
//! its own Python environment in the user's cache folder:
//!
//! ```text
//!   <cache>/mcdns/tools/moto-5.2.1/bin/python3 -m moto.server
//! ```
//!
//! It is made beside its place and moved there when it is whole, as all [programs](crate::kubernetes) that are kept. What
//! is moved still works as a module; the scripts in `bin` know only where they were made.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    time::Instant,
};

use anyhow::Context;

use crate::{
    console::{say, time},
    kubernetes,
    process::{command, find, output, run},
    tools,
};

/// The release that is kept; tests look for it under this name.
const VERSION: &str = "5.2.1";
/// It and what it needs, pinned.
const REQUIREMENTS: &str = "deploy/xtask/tools/moto/requirements.txt";

/// Sees to it that it is there, and says where.
pub(crate) fn provide(top: &Path) -> anyhow::Result<()> {
    let place = kubernetes::cache()?.join(format!("moto-{VERSION}"));
    let python = place.join("bin/python3");
    // Where the Python that it was made with is gone, it is made anew.
    if !python.is_file() {
        make(top, &place)?;
    }
    say(format_args!("  {:<17} {:<25} pretends to be AWS", "moto", python.display()));
    Ok(())
}

fn make(top: &Path, place: &Path) -> anyhow::Result<()> {
    say(format_args!("moto {VERSION} is missing and is installed now, which takes about half a minute"));
    let started = Instant::now();
    let python = provide_python(top)?;
    let cache = place.parent().context("a program that is kept lies in a folder")?;
    fs::create_dir_all(cache).with_context(|| format!("{} cannot be made", cache.display()))?;
    let draft = cache.join(format!(".moto-draft-{}", process::id()));
    let made = install(top, &python, &draft).and_then(|()| {
        if place.exists() {
            fs::remove_dir_all(place).with_context(|| format!("{} cannot be removed", place.display()))?;
        }
        fs::rename(&draft, place).with_context(|| format!("{} cannot be made", place.display()))
    });
    // Nothing is left where something failed; what cannot be removed does no harm.
    let _ = fs::remove_dir_all(&draft);
    // Somebody else may have been faster.
    if !place.join("bin/python3").is_file() {
        made.with_context(
            || "moto could not be installed; pip must reach a package index (`pip config list` says which)",
        )?;
    }
    say(format_args!("moto {VERSION} is installed, in {}", time(started.elapsed())));
    Ok(())
}

fn install(top: &Path, python: &Path, draft: &Path) -> anyhow::Result<()> {
    let path = draft.to_string_lossy();
    run(&mut command(top, &python.to_string_lossy(), &["-m", "venv", &path]))?;
    let python = draft.join("bin/python3");
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement", REQUIREMENTS];
    run(&mut command(top, &python.to_string_lossy(), &install))?;
    // What is whole says so.
    output(&mut command(top, &python.to_string_lossy(), &["-m", "moto.server", "--help"]))?;
    Ok(())
}

/// A Python that can make environments: the one that is found first, else Debian's.
fn provide_python(top: &Path) -> anyhow::Result<PathBuf> {
    let able = |python: &PathBuf| {
        output(&mut command(top, &python.to_string_lossy(), &["-c", "import ensurepip, venv"])).is_ok()
    };
    if let Some(python) = find("python3").filter(able) {
        return Ok(python);
    }
    tools::provide_python(top)?;
    let debian = PathBuf::from("/usr/bin/python3");
    find("python3").filter(able).or_else(|| Some(debian).filter(able)).context("Python was installed and is not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_the_version_that_is_kept() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let pinned = fs::read_to_string(top.join(REQUIREMENTS)).expect("requirements");
        assert!(pinned.lines().any(|line| line == format!("moto=={VERSION}")));
        for line in pinned.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.split_once("==").is_some_and(|(_, version)| !version.is_empty()), "{line} is not pinned");
        }
    }
}
