//! `mcdns clusters`: the members, how they are, and how much depends on them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use mcdns_api::KubeFedCluster;
use mcdns_core::{
    health::Health,
    model::{ClusterName, LoadBalancerItem, Timestamp},
    records::{CORDON_ANNOTATION, ClusterState, Engine},
};
use serde::Serialize;

use super::{Outcome, live, load};
use crate::{
    args::{Clusters, ClustersOutput},
    federation::now,
    output::{Output, Paint},
    settings::Settings,
};

/// One cluster, as programs read it. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// KubeFedCluster.
    name: String,
    /// `Ready`, `NotReady` or `Unknown`.
    health: &'static str,
    /// Reason of the condition Ready, else of Offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Message of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    cordoned: bool,
    /// What the annotation says beyond that.
    #[serde(skip_serializing_if = "Option::is_none")]
    cordon_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    availability_zones: Vec<String>,
    /// Records that have targets there.
    records: usize,
    /// Distinct addresses and host names of these.
    targets: usize,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// `spec.apiEndpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_endpoint: Option<String>,
    #[serde(skip)]
    created_at: Option<Timestamp>,
}

/// Prints the clusters of a directory or of a live host.
pub(super) fn clusters(arguments: &Clusters, settings: &Settings, output: Output) -> Result<Outcome> {
    let (engine, live) = match &arguments.directory {
        Some(path) => (load::load(path, settings, output)?.engine, BTreeMap::new()),
        None => live::clusters(&arguments.host, settings, output)?,
    };
    let rows = rows(&engine, &live);
    let text = match arguments.output {
        ClustersOutput::Json => serde_json::to_string_pretty(&rows)? + "\n",
        ClustersOutput::Yaml => serde_saphyr::to_string(&rows)?,
        form => table(&rows, form == ClustersOutput::Wide, now(), output),
    };
    output.print(&text)?;
    if rows.is_empty() {
        output.say("there is no KubeFedCluster; `mcdns join` takes a cluster in");
    }
    Ok(Outcome::Fine)
}

fn rows(engine: &Engine, live: &BTreeMap<String, KubeFedCluster>) -> Vec<Row> {
    let mut held: BTreeMap<ClusterName, (usize, BTreeSet<LoadBalancerItem>)> = BTreeMap::new();
    for key in engine.record_keys() {
        for entry in engine.record_status(key).into_iter().flat_map(|status| status.clusters) {
            if !entry.items.is_empty() {
                let (records, targets) = held.entry(entry.cluster).or_default();
                *records += 1;
                targets.extend(entry.items);
            }
        }
    }
    let nothing = (0, BTreeSet::new());
    let row = |(name, state): (&ClusterName, &ClusterState)| {
        let (records, targets) = held.get(name).unwrap_or(&nothing);
        row(name, state, live.get(&**name), *records, targets.len())
    };
    engine.clusters().map(row).collect()
}

fn row(name: &str, state: &ClusterState, live: Option<&KubeFedCluster>, records: usize, targets: usize) -> Row {
    let fact = state.fact();
    let conditions = live.and_then(|cluster| cluster.status.as_ref()).map(|status| &status.conditions[..]);
    let condition = |kind: &str| conditions.into_iter().flatten().find(|condition| condition.kind == kind);
    let told = condition("Ready").or_else(|| condition("Offline"));
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let reason = fact.ready.as_ref().or(fact.offline.as_ref()).and_then(|condition| condition.reason.as_deref());
    let annotation = live.and_then(|cluster| cluster.metadata.annotations.get(CORDON_ANNOTATION));
    Row {
        name: name.to_owned(),
        health: match state.health {
            Health::Ready => "Ready",
            Health::NotReady => "NotReady",
            Health::Unknown => "Unknown",
        },
        reason: reason.map(str::to_owned),
        message: told.and_then(|condition| some(&condition.message)),
        cordoned: state.cordoned,
        cordon_reason: annotation.filter(|reason| !matches!(reason.as_str(), "" | "true" | "false")).cloned(),
        region: state.locality.written_region.as_deref().map(str::to_owned),
        availability_zones: state.locality.written_availability_zones.iter().map(ToString::to_string).collect(),
        records,
        targets,
        created: state.object.created.and_then(rfc3339),
        api_endpoint: live.and_then(|cluster| some(&cluster.spec.api_endpoint)),
        created_at: state.object.created,
    }
}

fn table(rows: &[Row], wide: bool, now: Timestamp, output: Output) -> String {
    let mut heads = vec!["NAME", "HEALTH", "CORDON", "REGION", "ZONES", "RECORDS", "TARGETS", "AGE", "REASON"];
    if wide {
        heads.extend(["SERVER", "MESSAGE"]);
    }
    let dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let cells = |row: &Row| {
        let health = match row.health {
            "Ready" => Paint::Good,
            "NotReady" => Paint::Bad,
            _ => Paint::Odd,
        };
        let cordon = match &row.cordon_reason {
            Some(reason) if wide => format!("cordoned: {reason}"),
            _ => "cordoned".to_owned(),
        };
        let mut cells = vec![
            row.name.clone(),
            output.paint(health, row.health),
            if row.cordoned { output.paint(Paint::Odd, &cordon) } else { "-".to_owned() },
            dash(row.region.clone()),
            dash(Some(row.availability_zones.join(","))),
            row.records.to_string(),
            row.targets.to_string(),
            dash(row.created_at.map(|created| age(now.0 - created.0))),
            dash(row.reason.clone()),
        ];
        if wide {
            cells.extend([dash(row.api_endpoint.clone()), dash(row.message.as_deref().map(one_line))]);
        }
        cells
    };
    output.table(&heads, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// In a table a cell is one line, and in a pipe it has no tab.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As kubectl shows it: `45s`, `12m`, `5h`, `3d`, `2y40d`.
fn age(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (minutes, hours, days) {
        (0..2, _, _) => format!("{seconds}s"),
        (_, 0..2, _) => format!("{minutes}m"),
        (_, 0..48, _) => format!("{hours}h"),
        (_, _, 0..730) => format!("{days}d"),
        _ => format!("{}y{}d", days / 365, days % 365),
    }
}

fn rfc3339(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m"),
            (7200, "2h"),
            (172_800, "2d"),
            (31_536_000 * 2, "2y0d"),
        ] {
            assert_eq!(age(seconds * 1000), expected);
        }
    }
}
