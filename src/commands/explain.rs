//! `mcdns explain`: why a name has the answer it has, and what changed when.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use mcdns_core::{
    answer::Snapshot,
    dns::{OwnerName, RecordType, Rrset, display_rdata},
    model::Timestamp,
    records::{ClusterExplanation, Explanation, RecordExplanation},
};
use mcdns_state::Change;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Outcome, admin_port, answer::answer, live, load};
use crate::{
    args,
    output::{Output, Paint},
    settings::Settings,
};

/// An explanation with the answers that it explains.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    /// What a client gets, by type asked for.
    pub answers: Vec<Answered>,
    /// Why.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// What a client gets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Type asked for.
    pub asked: RecordType,
    /// RCODE.
    pub rcode: String,
    /// Records of the answer section in presentation format.
    pub records: Vec<String>,
}

/// Prints why.
pub(super) fn explain(arguments: &args::Explain, settings: &Settings, output: Output) -> Result<Outcome> {
    if arguments.history {
        return history(arguments, settings.admin.value, output);
    }
    let explained = match &arguments.directory {
        Some(path) => {
            let loaded = load::load(path, settings, output)?;
            explained(
                &arguments.name,
                arguments.record_type,
                loaded.engine.snapshot(),
                loaded.engine.explain(&arguments.name),
            )
        }
        None if arguments.admin.is_none() && live::is_meant(&arguments.host) => {
            let loaded = live::load(&arguments.host, settings, output)?;
            explained(
                &arguments.name,
                arguments.record_type,
                loaded.engine.snapshot(),
                loaded.engine.explain(&arguments.name),
            )
        }
        None => ask(settings.admin.value, "explain", &arguments.name, arguments.record_type)?,
    };
    match arguments.output {
        args::Output::Json => output.print(&(serde_json::to_string_pretty(&explained)? + "\n"))?,
        args::Output::Text => output.print(&render(&explained, output))?,
    }
    Ok(Outcome::Fine)
}

/// Puts the answers beside the explanation; A and AAAA unless one type is asked for.
pub(crate) fn explained(
    name: &OwnerName,
    record_type: Option<RecordType>,
    snapshot: &Snapshot,
    explanation: Explanation,
) -> Explained {
    let types = record_type.map_or_else(|| vec![RecordType::A, RecordType::AAAA], |one| vec![one]);
    let answers = types.into_iter().map(|asked| answer(snapshot, name, asked)).collect();
    Explained { answers, explanation }
}

fn render(explained: &Explained, output: Output) -> String {
    let explanation = &explained.explanation;
    let heading = |text: &str| vec![String::new(), output.paint(Paint::Strong, text)];
    let mut lines = vec![output.paint(Paint::Strong, &explanation.verdict)];
    lines.extend(explanation.zone.as_ref().map(|zone| format!("zone {zone}")));
    lines.extend(heading("Answer"));
    for answered in &explained.answers {
        lines.push(format!("  {} {}", answered.asked, answered.rcode));
        lines.extend(answered.records.iter().map(|record| format!("    {record}")));
    }
    if let Some(record) = &explanation.record {
        let origin = record.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        lines.extend(heading(&record.record));
        if let Some(line) = lines.last_mut() {
            line.push_str(&origin);
        }
        lines.push(format!("  this name: {}, {}", record.role, record.holds));
        lines.extend(record.conditions.iter().map(|condition| format!("  {condition}")));
        lines.extend(heading("Clusters"));
        let table = clusters_table(record, output);
        lines.extend(table.lines().map(str::to_owned));
    }
    for (title, texts) in [("Others that want the name", &explanation.losers), ("Hints", &explanation.hints)] {
        if !texts.is_empty() {
            lines.extend(heading(title));
            lines.extend(texts.iter().map(|text| format!("  {text}")));
        }
    }
    lines.join("\n") + "\n"
}

fn clusters_table(record: &RecordExplanation, output: Output) -> String {
    let row = |one: &ClusterExplanation| {
        let used = if one.used { output.paint(Paint::Good, "used") } else { output.paint(Paint::Faint, "-") };
        let targets = if one.targets.is_empty() { "-".to_owned() } else { one.targets.join(" ") };
        vec![one.cluster.clone(), one.locality.clone(), used, targets, one.reason.clone()]
    };
    let rows: Vec<Vec<String>> = record.clusters.iter().map(row).collect();
    output.table(&["CLUSTER", "LOCALITY", "USED", "TARGETS", "WHY"], &rows)
}

fn history(arguments: &args::Explain, admin: SocketAddr, output: Output) -> Result<Outcome> {
    let mut changes: Vec<Change> = ask(admin, "history", &arguments.name, None)?;
    if let Some(wanted) = arguments.record_type {
        let only = |rrsets: &mut Vec<Rrset>| rrsets.retain(|rrset| rrset.record_type == wanted);
        for change in &mut changes {
            only(&mut change.before);
            only(&mut change.after);
        }
        changes.retain(|change| change.before != change.after);
    }
    if arguments.output == args::Output::Json {
        output.print(&(serde_json::to_string_pretty(&changes)? + "\n"))?;
        return Ok(Outcome::Fine);
    }
    if changes.is_empty() {
        output.say(&format!("no change of {} is known since the program started to keep history", arguments.name));
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| vec![date(change.at), held(&change.before), held(&change.after), change.reason.clone()])
        .collect();
    output.print(&output.table(&["WHEN", "BEFORE", "AFTER", "BECAUSE"], &rows))?;
    Ok(Outcome::Fine)
}

/// `A 192.0.2.1 192.0.2.2, AAAA 2001:db8::1`, or `-` for a name that did not exist.
fn held(rrsets: &[Rrset]) -> String {
    let texts = rrsets.iter().map(|rrset| {
        let data = rrset.data().iter().map(|data| display_rdata(rrset.record_type, data));
        format!("{} {}", rrset.record_type, data.collect::<Vec<_>>().join(" "))
    });
    let text = texts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}

/// RFC 3339 in UTC, to the second.
fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Asks the running program at its admin port.
fn ask<T: DeserializeOwned>(
    admin: SocketAddr,
    path: &str,
    name: &OwnerName,
    record_type: Option<RecordType>,
) -> Result<T> {
    let help = "is `mcdns run` running? Name its admin port with --admin ADDR:PORT, or a directory to compute from";
    let record_type = record_type.map(|one| format!("&type={one}")).unwrap_or_default();
    let name: String = name.to_string().bytes().map(admin_port::escape).collect();
    let body = admin_port::ask(admin, "GET", &format!("/{path}?name={name}{record_type}"), help)?;
    serde_json::from_str(&body).context("the admin port answers something else than this version expects")
}
