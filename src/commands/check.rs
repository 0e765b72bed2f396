//! `mcdns check`: what is wrong with federation directories, master files and settings, and with a delegation.

use std::path::Path;

use anyhow::{Context, Result, bail};
use mcdns_core::{
    check::{Finding, FindingCode, delegation::ZoneSays},
    dns::OwnerName,
};
use mcdns_serve::{CertificateFiles, Service};

use super::{Outcome, core_options, delegation, load, publishers, say_ignored, small_runtime, zone_files};
use crate::{
    args,
    output::{Output, Paint},
    settings::{Flags, Settings},
};

/// Checks each path for what it is, and the delegation of a zone against what they say.
pub(super) fn check(arguments: &args::Check, settings: &Settings, output: Output) -> Result<Outcome> {
    let apex = arguments.delegation.as_ref();
    let mut findings = Vec::new();
    let mut ours = None;
    for path in &arguments.paths {
        let (found, zone) = check_path(path, apex, settings, output)?;
        findings.extend(found);
        ours = ours.or(zone);
    }
    if let Some(apex) = apex {
        if ours.is_none() && !arguments.paths.is_empty() {
            bail!(
                "no path has the zone {apex}\n  help: name its master file or directory, or no path to ask its servers"
            );
        }
        findings.extend(small_runtime()?.block_on(delegation::check(arguments, apex, ours, output))?);
    }
    let outcome = Outcome::of(&findings);
    match arguments.output {
        args::Output::Json => output.print(&(serde_json::to_string_pretty(&findings)? + "\n"))?,
        args::Output::Text => print(output, &findings, apex)?,
    }
    Ok(outcome)
}

/// What is wrong with one path, and what it says of the zone at `apex`.
fn check_path(
    path: &Path,
    apex: Option<&OwnerName>,
    settings: &Settings,
    output: Output,
) -> Result<(Vec<Finding>, Option<ZoneSays>)> {
    let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    if metadata.is_dir() {
        let loaded = load::load(path, settings, output)?;
        say_ignored(output, &loaded.ignored);
        let zone = apex.and_then(|apex| delegation::in_snapshot(apex, loaded.engine.snapshot()));
        return Ok((loaded.findings, zone));
    }
    if is_settings(path) {
        let resolved = Settings::resolve(Some(path), std::iter::empty(), &Flags::default());
        let settings = match resolved.and_then(publishers::accept) {
            Ok(settings) => settings,
            Err(refused) => return Ok((refused.findings, None)),
        };
        let mut findings = settings.warnings.clone();
        findings.extend(core_options(&settings).1);
        findings.extend(certificates(&settings));
        let Some(apex) = apex else { return Ok((findings, None)) };
        // With a directory, the names of its Domains stand beside those of the master file.
        let zone = match &settings.directory.value {
            Some(directory) => {
                let loaded = load::load(directory, &settings, output)?;
                findings.extend(loaded.findings);
                delegation::in_snapshot(apex, loaded.engine.snapshot())
            }
            None => settings.zone(apex).file.and_then(|file| delegation::in_file(apex, &file)),
        };
        return Ok((findings, zone));
    }
    std::fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let zone = apex.and_then(|apex| delegation::in_file(apex, path));
    Ok((zone_files::read(path, None).1, zone))
}

/// Certificates that the listeners of the settings would not take.
fn certificates(settings: &Settings) -> Vec<Finding> {
    let encrypted = settings.listen.value.iter().filter_map(|listener| match &listener.service {
        Service::Plain => None,
        Service::Tls(files) | Service::Quic(files) | Service::Https { certificate: files, .. } => Some(files),
    });
    let refused = encrypted.filter_map(|files| Some((files, anyhow::Error::from(files.check().err()?))));
    let finding = |(files, error): (&CertificateFiles, anyhow::Error)| {
        let finding = Finding::new(FindingCode::RefusedSetting, format!("{error:#}"));
        finding.at(&files.certificate.display().to_string().into(), 0, 0)
    };
    let mut findings: Vec<Finding> = refused.map(finding).collect();
    findings.dedup();
    findings
}

/// Findings are what this command is for, so they go to standard output.
fn print(output: Output, findings: &[Finding], delegation: Option<&OwnerName>) -> Result<()> {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&finding.to_string());
        text.push('\n');
    }
    if findings.is_empty() {
        let fine = match delegation {
            Some(apex) => format!("nothing to say: {apex} is delegated as it says itself"),
            None => "nothing to say: everything wanted is published".to_owned(),
        };
        output.say(&output.paint(Paint::Good, &fine));
    }
    output.print(&text)?;
    Ok(())
}

/// Settings are YAML; master files have any other ending.
fn is_settings(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    matches!(ending.as_deref(), Some("yaml" | "yml" | "json"))
}
