//! The dashboard as Grafana imports it.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Families, Family, holds, named,
    panels::{ROWS, Shape},
};
use crate::generate::yaml;

/// Grafana's grid is 24 wide.
const WIDTH: u32 = 24;
/// Height of lines over time, and of a number.
const TALL: u32 = 8;
const SHORT: u32 = 4;
/// The row for metrics that no panel of the table names.
const REST: &str = "Everything else";

/// One panel before it has a place.
struct Wanted {
    title: String,
    shape: Shape,
    unit: &'static str,
    /// Expressions with their legends.
    queries: Vec<(String, String)>,
}

/// Panels in their places.
#[derive(Default)]
struct Grid {
    panels: Vec<Value>,
    x: u32,
    y: u32,
    /// Height of the line that is being filled.
    line: u32,
}

/// The whole file: a panel on each line, so that a change of one shows as one.
pub(super) fn json(families: &Families) -> anyhow::Result<String> {
    let mut grid = Grid::default();
    let mut used = BTreeSet::new();
    for row in ROWS {
        grid.heading(row.title);
        for panel in row.panels {
            for (query, _) in panel.queries {
                holds(query, families).with_context(|| format!("panel `{}`", panel.title))?;
                used.extend(named(query));
            }
            let queries = panel.queries.iter().map(|(query, legend)| ((*query).to_owned(), (*legend).to_owned()));
            let wanted = Wanted {
                title: panel.title.to_owned(),
                shape: panel.shape,
                unit: panel.unit,
                queries: queries.collect(),
            };
            grid.put(&wanted);
        }
    }
    let rest: Vec<Wanted> =
        families.iter().filter(|(name, _)| !used.contains(*name)).map(|(name, family)| plain(name, family)).collect();
    if !rest.is_empty() {
        grid.heading(REST);
        for wanted in &rest {
            grid.put(wanted);
        }
    }
    written(&grid.panels)
}

/// A panel for a metric that nobody has thought about: rates of counters, a quantile of histograms, values of others.
fn plain(name: &str, family: &Family) -> Wanted {
    let by = if family.labels.is_empty() { "pod".to_owned() } else { family.labels.join(", ") };
    let legend =
        if family.labels.is_empty() { vec!["pod"] } else { family.labels.iter().map(String::as_str).collect() };
    let legend = legend.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    let (query, unit, legend) = if name.ends_with("_total") {
        (format!("sum by ({by}) (rate({name}{{$sel}}[$rate]))"), "cps", legend)
    } else if family.help.starts_with("histogram") {
        let unit = if name.ends_with("_seconds") { "s" } else { "none" };
        (format!("histogram_quantile(0.99, sum by (le) (rate({name}_bucket{{$sel}}[$rate])))"), unit, "99 %".to_owned())
    } else {
        (format!("max by ({by}) ({name}{{$sel}})"), "none", legend)
    };
    Wanted { title: family.help.clone(), shape: Shape::Lines, unit, queries: vec![(query, legend)] }
}

impl Grid {
    fn heading(&mut self, title: &str) {
        (self.x, self.y, self.line) = (0, self.y + self.line, 0);
        let place = json!({"x": 0, "y": self.y, "w": WIDTH, "h": 1});
        self.push(json!({"type": "row", "title": title, "collapsed": false, "panels": [], "gridPos": place}));
        self.y += 1;
    }

    fn put(&mut self, wanted: &Wanted) {
        let (width, height) = if wanted.shape == Shape::Lines { (8, TALL) } else { (4, SHORT) };
        if self.x + width > WIDTH {
            (self.x, self.y, self.line) = (0, self.y + self.line, 0);
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.x += width;
        self.line = self.line.max(height);
        let targets: Vec<Value> = wanted
            .queries
            .iter()
            .zip('A'..='Z')
            .map(|((query, legend), id)| {
                let expression =
                    query.replace("$sel", "job=~\"$job\",pod=~\"$pod\"").replace("$rate", "$__rate_interval");
                json!({"refId": id.to_string(), "expr": expression, "legendFormat": legend})
            })
            .collect();
        let mut defaults = json!({"unit": wanted.unit});
        let kind = if wanted.shape == Shape::Lines { "timeseries" } else { "stat" };
        if wanted.shape == Shape::Alarm {
            defaults["thresholds"] = json!({"mode": "absolute", "steps": [
                {"color": "green", "value": null}, {"color": "red", "value": 1},
            ]});
        }
        self.push(json!({
            "type": kind,
            "title": wanted.title,
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "gridPos": place,
            "targets": targets,
        }));
    }

    fn push(&mut self, mut panel: Value) {
        panel["id"] = json!(self.panels.len() + 1);
        self.panels.push(panel);
    }
}

fn written(panels: &[Value]) -> anyhow::Result<String> {
    let choice = |name: &str, label: &str| {
        json!({
            "type": "query", "name": name, "label": label, "includeAll": true, "multi": true, "refresh": 2,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"},
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "query": format!("label_values(mcdns_generation, {name})"),
        })
    };
    let frame = json!({
        "uid": "mcdns",
        "title": "mcdns",
        "tags": ["dns", "mcdns"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
            choice("job", "Job"),
            choice("pod", "Pod"),
        ]},
    });
    let mut text = "{\n".to_owned();
    for (key, value) in yaml::sorted(&frame).as_object().into_iter().flatten() {
        writeln!(text, "  {}: {},", json!(key), serde_json::to_string(value)?)?;
    }
    let lines: Vec<String> =
        panels.iter().map(|panel| serde_json::to_string(&yaml::sorted(panel))).collect::<Result<_, _>>()?;
    writeln!(text, "  \"panels\": [\n    {}\n  ]\n}}", lines.join(",\n    "))?;
    Ok(text)
}
