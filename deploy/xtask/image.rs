//! The container image without a container engine: the static binary is built by the script that the container file
//! runs, the last stage is laid out in a folder as it says, and the program runs with that folder as its whole world.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::{
    console::say,
    process::{command, run, target},
};

const CONTAINERFILE: &str = "deploy/image/Containerfile";
/// What is answered for in the check.
const FEDERATION: &str = "deploy/demo/two-regions";

/// What to build.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Build unoptimised, which is quicker: the image's files are checked, not its speed.
    #[arg(long)]
    check: bool,
}

/// What the last stage of a container file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stage {
    /// Name or image that it starts from.
    from: String,
    /// Files with their places.
    copies: Vec<(String, String)>,
    user: String,
    entrypoint: String,
}

/// Builds, lays out and runs.
pub(crate) fn run_image(top: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    let text = fs::read_to_string(top.join(CONTAINERFILE)).with_context(|| format!("cannot read {CONTAINERFILE}"))?;
    let stage = last_stage(&text)?;
    ensure!(stage.from == "scratch", "the image starts from {}, which is more than nothing", stage.from);
    ensure!(
        stage.user.split(':').next().is_some_and(|user| user.parse::<u32>().is_ok_and(|user| user > 0)),
        "a pod that may not run as root needs a user that is a number, not `{}`",
        stage.user
    );
    let folder = Path::new(&target(top)?).join("image");
    let (out, root) = (folder.join("out"), folder.join("root"));
    let arch = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("there is no image for {other}"),
    };
    let profile = if wanted.check { "dev" } else { "dist" };
    let mut build = command(top, "deploy/image/build.sh", &[arch, profile, &out.to_string_lossy()]);
    run(build.env("CARGO_TARGET_DIR", &folder))?;
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
    }
    for (from, to) in &stage.copies {
        lay(&from_host(from, &out), &root.join(to.trim_start_matches('/')))?;
    }
    let mut check = command(
        top,
        "unshare",
        &["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "deploy/image/check.sh"],
    );
    run(check.arg(&root).arg(&stage.entrypoint).arg(FEDERATION)).context("the program does not run as the image")?;
    say(format_args!("the image's files are in {}", root.display()));
    Ok(())
}

/// Where a file of the build stage is on this machine.
fn from_host(path: &str, out: &Path) -> PathBuf {
    path.strip_prefix("/out/").map_or_else(|| PathBuf::from(path), |name| out.join(name))
}

fn lay(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        return fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()));
    }
    fs::create_dir_all(to.parent().context("a file in a folder")?)?;
    fs::copy(from, to).map(|_| ()).with_context(|| format!("cannot copy {}", from.display()))
}

fn last_stage(text: &str) -> anyhow::Result<Stage> {
    let mut stage = Stage::default();
    for line in text.replace("\\\n", " ").lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        match &words[..] {
            ["FROM", from, ..] => stage = Stage { from: (*from).to_owned(), ..Stage::default() },
            ["COPY", from, to] => stage.copies.push(((*from).to_owned(), (*to).to_owned())),
            ["USER", user] => (*user).clone_into(&mut stage.user),
            ["ENTRYPOINT", entrypoint] => {
                let words: Vec<String> = serde_json::from_str(entrypoint).context("ENTRYPOINT is no JSON list")?;
                stage.entrypoint = words.into_iter().next().context("ENTRYPOINT is empty")?;
            }
            _ => {}
        }
    }
    ensure!(!stage.entrypoint.is_empty(), "{CONTAINERFILE} has no ENTRYPOINT");
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_is_read_as_a_builder_reads_it() {
        let text = "FROM --platform=x rust AS build\nCOPY . .\nUSER root\nFROM scratch\n\
            COPY --from=build --chown=1:1 /out/a \\\n  /b\nUSER 65532:65532\nENTRYPOINT [\"/b\"]\n";
        let expected = Stage {
            from: "scratch".to_owned(),
            copies: vec![("/out/a".to_owned(), "/b".to_owned())],
            user: "65532:65532".to_owned(),
            entrypoint: "/b".to_owned(),
        };
        assert_eq!(last_stage(text).expect("a stage"), expected);
    }

    #[test]
    fn what_the_container_file_copies_is_what_the_build_makes() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let stage = last_stage(&fs::read_to_string(top.join(CONTAINERFILE)).expect("the file")).expect("a stage");
        let script = fs::read_to_string(top.join("deploy/image/build.sh")).expect("the script");
        let made: Vec<&str> = stage.copies.iter().filter_map(|(from, _)| from.strip_prefix("/out/")).collect();
        assert!(made.contains(&"mcdns"), "{made:?}");
        for name in made {
            assert!(script.contains(&format!("\"$folder/{name}\"")), "build.sh does not make {name}");
        }
        assert!(stage.copies.iter().any(|(_, to)| *to == stage.entrypoint), "{stage:?}");
    }
}
