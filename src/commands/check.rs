//! `mcdns check`: what is wrong with federation directories, master files and settings.

use std::path::Path;

use anyhow::{Context, Result};
use mcdns_core::check::Finding;

use super::{Outcome, load, say_ignored, zone_files};
use crate::{
    args,
    output::{Output, Paint},
    settings::{Flags, Settings},
};

/// Checks each path for what it is.
pub(super) fn check(arguments: &args::Check, settings: &Settings, output: Output) -> Result<Outcome> {
    let mut findings = Vec::new();
    for path in &arguments.paths {
        let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        if metadata.is_dir() {
            let loaded = load::load(path, settings, output)?;
            say_ignored(output, &loaded.ignored);
            findings.extend(loaded.findings);
        } else if is_settings(path) {
            let read = Settings::resolve(Some(path), std::iter::empty(), &Flags::default());
            findings.extend(read.map_or_else(|refused| refused.findings, |settings| settings.warnings));
        } else {
            std::fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
            findings.extend(zone_files::read(path, None).1);
        }
    }
    let outcome = Outcome::of(&findings);
    match arguments.output {
        args::Output::Json => output.print(&(serde_json::to_string_pretty(&findings)? + "\n"))?,
        args::Output::Text => print(output, &findings)?,
    }
    Ok(outcome)
}

/// Findings are what this command is for, so they go to standard output.
fn print(output: Output, findings: &[Finding]) -> Result<()> {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&finding.to_string());
        text.push('\n');
    }
    if findings.is_empty() {
        output.say(&output.paint(Paint::Good, "nothing to say: everything wanted is published"));
    }
    output.print(&text)?;
    Ok(())
}

/// Settings are YAML; master files have any other ending.
fn is_settings(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    matches!(ending.as_deref(), Some("yaml" | "yml" | "json"))
}
