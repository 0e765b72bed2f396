//! The commands: a page of wiring each.

mod admin_port;
mod answer;
mod answering;
mod ask;
mod check;
mod clusters;
mod cordon;
mod delegation;
pub(crate) mod explain;
mod kept;
mod kube_clients;
mod live;
mod load;
mod lookup;
mod members;
pub(crate) mod plan;
pub(crate) mod publishers;
mod records;
mod release;
mod reload;
mod run;
mod serve;
mod state;
mod zone_files;

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Result;
use mcdns_core::{
    check::{Finding, Severity},
    records as core_records,
};
use mcdns_serve::LineFormat;

use crate::{
    args::{Arguments, Color, Command},
    output::{Colour, Output},
    settings::{Settings, SettingsError, ZoneSettings},
    telemetry,
};
use zone_files::ZoneFiles;

/// How a command ended when it could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing of severity error.
    Fine,
    /// Findings of severity error, or answers that differ.
    Findings,
}

impl Outcome {
    fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(|finding| finding.severity == Severity::Error) { Self::Findings } else { Self::Fine }
    }
}

/// Does what the arguments say. Exit code 0: fine; 1: findings; 2: wrong usage, refused settings, or an input
/// that cannot be opened at all.
pub fn execute(arguments: &Arguments) -> ExitCode {
    let colour = match arguments.common.color {
        Color::Auto => Colour::Auto,
        Color::Always => Colour::Always,
        Color::Never => Colour::Never,
    };
    let mut output = Output::new(colour);
    let result = match &arguments.command {
        Command::Completions(completions) => {
            let mut script = Vec::new();
            completions.write(&crate::args::program_name(), &mut script);
            let written = output.print(&String::from_utf8_lossy(&script));
            written.map(|()| Outcome::Fine).map_err(Into::into)
        }
        _ => match settings(arguments) {
            Ok(settings) => {
                // A command that only asks says itself what it is told; a server's log has the details.
                let serves = matches!(arguments.command, Command::Run(_) | Command::Serve(_));
                let level = &settings.log_level.value;
                let level = if serves { level.clone() } else { format!("{level},kube_client=off") };
                let log = telemetry::start(settings.log_format.value, &level);
                log.map_err(anyhow::Error::msg).and_then(|()| {
                    if settings.log_format.value == LineFormat::Json {
                        output = output.for_programs();
                    }
                    with_settings(arguments, settings, output)
                })
            }
            Err(refused) => {
                output.findings(&refused.findings);
                return ExitCode::from(2);
            }
        },
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(error) => {
            output.error(&error);
            ExitCode::from(2)
        }
    }
}

fn settings(arguments: &Arguments) -> Result<Settings, SettingsError> {
    let settings = Settings::resolve(arguments.settings_file(), std::env::vars_os(), &arguments.flags())?;
    publishers::accept(settings)
}

fn with_settings(arguments: &Arguments, settings: Settings, output: Output) -> Result<Outcome> {
    if matches!(arguments.command, Command::Run(_) | Command::Serve(_) | Command::Settings(_)) {
        output.findings(&settings.warnings);
    }
    match &arguments.command {
        Command::Run(_) => run::run(settings, output),
        Command::Serve(serve) => serve::serve(&serve.files, &settings, output),
        Command::Records(records) => records::print(records, &settings, output),
        Command::Check(check) => check::check(check, &settings, output),
        Command::Lookup(lookup) => lookup::lookup(lookup, arguments, &settings, output),
        Command::Explain(explain) => explain::explain(explain, &settings, output),
        Command::Plan(plan) => plan::plan(plan, &settings, output),
        Command::Clusters(clusters) => clusters::clusters(clusters, &settings, output),
        Command::Join(join) => members::join(join, &settings, output),
        Command::Unjoin(unjoin) => members::unjoin(unjoin, &settings, output),
        Command::Cordon(cordon) => cordon::cordon(cordon, &settings, output),
        Command::Uncordon(uncordon) => cordon::uncordon(uncordon, &settings, output),
        Command::Release(release) => release::release(release, &settings, output),
        Command::Settings(_) => {
            output.print(&settings.describe())?;
            Ok(Outcome::Fine)
        }
        Command::Completions(_) => Ok(Outcome::Fine),
    }
}

/// What core is told of the settings; findings are about the master files of zones, which are read for it.
fn core_options(settings: &Settings) -> (core_records::Options, Vec<Finding>) {
    let mut files = ZoneFiles::default();
    files.read(settings.zone_files(), None);
    (options_with(settings, &files), files.findings().cloned().collect())
}

/// What core is told of the settings, with the zones of these master files.
fn options_with(settings: &Settings, files: &ZoneFiles) -> core_records::Options {
    let options_of = |zone: &ZoneSettings| core_records::ZoneOptions {
        apex: zone.apex.clone(),
        name_servers: zone.name_servers.clone(),
        soa: zone.soa.clone(),
        static_zone: zone.file.as_deref().and_then(|file| files.zone(&zone.apex, file)).cloned(),
    };
    let mut zones: Vec<_> = settings.zones.iter().map(options_of).collect();
    // A zone that external-dns writes into is one, also where nobody else speaks of it.
    for apex in &settings.webhook.zones.value {
        if zones.iter().all(|zone| zone.apex != *apex) {
            let (name_servers, soa) = (Vec::new(), core_records::SoaOptions::default());
            zones.push(core_records::ZoneOptions { apex: apex.clone(), name_servers, soa, static_zone: None });
        }
    }
    core_records::Options {
        system_namespace: settings.system_namespace.value.as_str().into(),
        grace_seconds: i64::try_from(settings.grace.value.as_secs()).unwrap_or(i64::MAX),
        empty_levels: settings.empty_levels.value,
        status_entries: settings.status_entries.value,
        advertise: settings.advertised(),
        zones,
    }
}

/// Says how many objects of kinds that nothing here reads there were.
fn say_ignored(output: Output, ignored: &BTreeMap<String, u64>) {
    if ignored.is_empty() {
        return;
    }
    let kinds: Vec<String> = ignored.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    output.say(&format!("ignored, because nothing here reads them: {}", kinds.join(", ")));
}

/// A runtime for the commands that only ask something.
fn small_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
