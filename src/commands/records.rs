//! `mcdns records`: computes once and prints zones or objects.

use anyhow::{Result, bail};
use mcdns_core::dns::{OwnerName, Rrset, master};
use mcdns_core::records::Engine;

use super::{Outcome, live, load, say_ignored};
use crate::{
    args::{Records, RecordsOutput},
    output::Output,
    settings::Settings,
};

/// Prints what would be served or written.
pub(super) fn print(arguments: &Records, settings: &Settings, output: Output) -> Result<Outcome> {
    let loaded = match &arguments.directory {
        Some(path) => load::load(path, settings, output)?,
        None => live::load(&arguments.host, settings, output)?,
    };
    let objects = || mcdns_control::host_objects(&loaded.engine, &settings.dns_endpoint_groups.value);
    let text = match arguments.output {
        RecordsOutput::Zone => zones(&loaded.engine, &arguments.zone)?,
        RecordsOutput::Json => serde_json::to_string_pretty(&objects())? + "\n",
        RecordsOutput::Yaml => serde_saphyr::to_string(&objects())?,
    };
    output.print(&text)?;
    say_ignored(output, &loaded.ignored);
    output.findings(&loaded.findings);
    Ok(Outcome::of(&loaded.findings))
}

/// One master file for each zone, in canonical order of the apexes.
fn zones(engine: &Engine, wanted: &[OwnerName]) -> Result<String> {
    let mut served: Vec<_> = engine.snapshot().zones().collect();
    served.sort_by(|a, b| a.apex().cmp(b.apex()));
    for apex in wanted {
        if !served.iter().any(|zone| zone.apex() == apex) {
            let all: Vec<String> = served.iter().map(|zone| zone.apex().to_string()).collect();
            bail!("there is no zone {apex}\n  help: the zones are {}", all.join(", "));
        }
    }
    let mut text = String::new();
    for zone in served.into_iter().filter(|zone| wanted.is_empty() || wanted.contains(zone.apex())) {
        if !text.is_empty() {
            text.push('\n');
        }
        let names: Vec<(OwnerName, Vec<Rrset>)> = zone.expanded();
        let names = names.iter().map(|(owner, rrsets)| (owner, &rrsets[..]));
        master::write(&mut text, zone.soa(), zone.apex(), names)?;
    }
    Ok(text)
}
