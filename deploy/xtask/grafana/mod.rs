//! The Grafana dashboard and the alert rules, made from two tables and held against the metrics of the program.
//!
//! What the program exposes stands in the manual's table of metrics, which a test of the root package holds against a
//! running program. So a dashboard that names a metric that is in the manual names one that is there. The other way
//! round, every metric of the manual is on the dashboard: one that no panel names gets a plain one in the last row.
//!
//! To add a panel or an alert, add a line to `panels::ROWS` or `alerts::ALERTS` and run `cargo xtask generate`.

mod alerts;
mod dashboard;
mod panels;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};

use crate::generate::{BANNER, Made, yaml};

/// The page with the table of metrics.
const MANUAL: &str = "src/manual/commands.md";

/// A metric of the manual.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Family {
    labels: Vec<String>,
    help: String,
}

/// Metrics by name.
type Families = BTreeMap<String, Family>;

/// The files of both, where people take them from and where the chart does.
pub(crate) fn made(top: &Path) -> anyhow::Result<Vec<Made>> {
    let manual = fs::read_to_string(top.join(MANUAL)).with_context(|| format!("cannot read {MANUAL}"))?;
    let families = families(&manual)?;
    let dashboard = dashboard::json(&families)?;
    let rules = alerts::rules(&families)?;
    let alerts = format!("{BANNER}{}", yaml::write(&rules)?);
    Ok(vec![
        Made::new("deploy/grafana/mcdns.json", dashboard.clone()),
        Made::new("deploy/chart/files/mcdns.json", dashboard),
        Made::new("deploy/grafana/alerts.yaml", alerts),
        // Inside a PrometheusRule, a comment would stand in the middle of an object.
        Made::new("deploy/chart/files/alerts.yaml", yaml::write(&rules)?),
    ])
}

/// Rows `| name | labels | help |` of the manual.
fn families(manual: &str) -> anyhow::Result<Families> {
    let rows = manual.lines().filter(|line| line.starts_with("| `mcdns_"));
    let family = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, labels, help] = cells[..] else { return None };
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        Some((name.trim_matches('`').to_owned(), Family { labels, help: help.replace('`', "") }))
    };
    let families: Option<Families> = rows.map(family).collect();
    let families = families.with_context(|| format!("a row of metrics in {MANUAL} has not three cells"))?;
    ensure!(!families.is_empty(), "{MANUAL} has no metrics");
    Ok(families)
}

/// Names of metrics in an expression, as families: a histogram's series count as the histogram.
fn named(expression: &str) -> Vec<String> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let series = words.filter(|word| word.starts_with("mcdns_"));
    series
        .map(|name| {
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
        })
        .collect()
}

/// Fails where the expression has a metric, or a label in `by (…)`, that is not there.
fn holds(expression: &str, families: &Families) -> anyhow::Result<()> {
    let names = named(expression);
    ensure!(!names.is_empty(), "`{expression}` names no metric");
    let mut labels = vec!["le", "job", "instance", "pod", "namespace"];
    for name in &names {
        let family = families.get(name).with_context(|| format!("`{expression}`: there is no metric {name}"))?;
        labels.extend(family.labels.iter().map(String::as_str));
    }
    for list in expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        for label in list.split(',').map(str::trim) {
            ensure!(labels.contains(&label), "`{expression}`: no metric in it has the label {label}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| `mcdns_dns_queries_total` | `transport` | messages that came in |\n\
        | `mcdns_up_seconds` | | histogram: since when |\n\
        | `mcdns_answers_total` | `transport`, `rcode` | answers by `RCODE` |\n";

    #[test]
    fn the_table_of_the_manual_is_read() {
        let families = families(TABLE).expect("a table");
        assert_eq!(families["mcdns_answers_total"].labels, ["transport", "rcode"]);
        assert_eq!(families["mcdns_answers_total"].help, "answers by RCODE");
        assert!(families["mcdns_up_seconds"].labels.is_empty());
        assert!(super::families("| `mcdns_x` | broken |").is_err());
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        let families = families(TABLE).expect("a table");
        assert!(holds("sum by (transport) (rate(mcdns_dns_queries_total[5m]))", &families).is_ok());
        assert!(holds("histogram_quantile(0.9, sum by (le) (rate(mcdns_up_seconds_bucket[5m])))", &families).is_ok());
        assert!(holds("rate(mcdns_dns_querys_total[5m])", &families).is_err());
        assert!(holds("sum by (zone) (mcdns_dns_queries_total)", &families).is_err());
        assert!(holds("up", &families).is_err());
    }

    #[test]
    fn every_metric_of_the_manual_has_a_panel_and_no_other_is_named() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let made = made(&top).expect("a dashboard");
        let manual = fs::read_to_string(top.join(MANUAL)).expect("the manual");
        for name in families(&manual).expect("metrics").keys() {
            assert!(named(&made[0].text).contains(name), "{name} has no panel");
        }
        let dashboard: serde_json::Value = serde_json::from_str(&made[0].text).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        ids.dedup();
        assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    }
}
