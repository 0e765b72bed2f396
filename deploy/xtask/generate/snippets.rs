//! The Corefiles of the manual, read by CoreDNS itself.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio, id},
};

use anyhow::{Context, bail, ensure};

use crate::kubernetes;

/// The page with the snippets, and the line above each.
const PAGE: &str = "src/manual/install.md";
const MARK: &str = "<!-- corefile -->\n```text\n";

/// Has CoreDNS start with each of them, on free ports of the loopback interface.
pub(super) fn verify(top: &Path) -> anyhow::Result<()> {
    let page = fs::read_to_string(top.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let corefiles = corefiles(&page);
    ensure!(!corefiles.is_empty(), "{PAGE} has no Corefile");
    let coredns = kubernetes::provide_coredns(top)?;
    for corefile in corefiles {
        let file = env::temp_dir().join(format!("mcdns-corefile-{}", id()));
        fs::write(&file, &corefile).with_context(|| format!("cannot write {}", file.display()))?;
        let started = starts(Command::new(&coredns).arg("-conf").arg(&file));
        fs::remove_file(&file).ok();
        started.with_context(|| format!("CoreDNS does not take this of {PAGE}:\n{corefile}"))?;
    }
    Ok(())
}

/// The Corefiles with addresses that are there on any machine, and ports that are free.
fn corefiles(page: &str) -> Vec<String> {
    let texts = page.split(MARK).skip(1).filter_map(|rest| rest.split("```").next());
    let here = |line: &str| match line.trim().split(' ').next() {
        Some("bind") => "    bind 127.0.0.1".to_owned(),
        Some("prometheus") => "    prometheus 127.0.0.1:0".to_owned(),
        _ => line.replace(":53 {", ":0 {"),
    };
    texts.map(|text| text.lines().map(here).collect::<Vec<_>>().join("\n") + "\n").collect()
}

/// It says its name once it serves, and ends by itself where it cannot.
fn starts(command: &mut Command) -> anyhow::Result<()> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("it cannot be started")?;
    let output = child.stdout.take().context("a child without standard output")?;
    let serves = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.starts_with("CoreDNS-"));
    child.kill().ok();
    child.wait()?;
    if !serves {
        bail!("it ended without serving");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_made_to_start_anywhere() {
        let page = format!("a\n{MARK}example.com:53 {{\n    bind 169.254.20.10\n    errors\n}}\n```\nb\n");
        assert_eq!(corefiles(&page), ["example.com:0 {\n    bind 127.0.0.1\n    errors\n}\n"]);
    }

    #[test]
    fn a_program_that_ends_without_a_word_does_not_start() {
        assert!(starts(Command::new("true").arg("x")).is_err());
        assert!(starts(Command::new("sh").args(["-c", "echo CoreDNS-1; exec sleep 60"])).is_ok());
    }
}
