//! The panels of the dashboard, a line each.
//!
//! `$sel` in an expression stands for the labels that the reader has chosen (`job`, `pod`), `$rate` for the time that
//! rates are taken over. A shape is `Stat` (a number), `Alarm` (a number that is bad above zero) or `Lines`. A unit is
//! called as Grafana calls it. To add a panel, add a line: title, shape, unit, expressions with their legends.

/// A row of panels with its heading.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

/// A panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) shape: Shape,
    pub(super) unit: &'static str,
    /// Expressions with their legends.
    pub(super) queries: &'static [(&'static str, &'static str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Stat,
    Alarm,
    Lines,
}

use Shape::{Alarm, Lines, Stat};

macro_rules! panel {
    ($title:literal, $shape:expr, $unit:literal, $($query:literal => $legend:literal),+ $(,)?) => {
        Panel { title: $title, shape: $shape, unit: $unit, queries: &[$(($query, $legend)),+] }
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        title: "Is it working",
        panels: &[
            panel!("Zones", Stat, "none",
                "min(mcdns_zones{$sel})" => "",
            ),
            panel!("Records", Stat, "none",
                "max(mcdns_records{$sel})" => "",
            ),
            panel!("Errors found", Alarm, "none",
                "max(mcdns_findings{$sel,severity='error'})" => "",
            ),
            panel!("Stale sources", Alarm, "none",
                "max(mcdns_stale_sources{$sel})" => "",
            ),
            panel!("Problems of state", Alarm, "none",
                "max(mcdns_state_problems{$sel})" => "",
            ),
            panel!("Lost threads", Alarm, "none",
                "sum(mcdns_dns_lost_threads{$sel})" => "",
            ),
        ],
    },
    Row {
        title: "Clusters",
        panels: &[
            panel!("Writer", Stat, "none",
                "sum(mcdns_leader{$sel})" => "",
            ),
            panel!("Probes of members", Lines, "none",
                "min by (cluster) (mcdns_member_probe_ok{$sel})" => "{{cluster}}",
            ),
            panel!("Silence of watches", Lines, "s",
                "max by (cluster) (mcdns_source_silence_seconds{$sel})" => "{{cluster}}",
            ),
            panel!("Changes told by clusters", Lines, "cps",
                "sum by (cluster) (rate(mcdns_source_events_total{$sel}[$rate]))" => "{{cluster}}",
            ),
            panel!("Failed lists and watches", Lines, "cps",
                "sum by (cluster, kind) (rate(mcdns_source_errors_total{$sel}[$rate]))" => "{{cluster}} {{kind}}",
            ),
            panel!("Writes", Lines, "cps",
                "sum by (kind, outcome) (rate(mcdns_writes_total{$sel}[$rate]))" => "{{kind}} {{outcome}}",
            ),
            panel!("Waiting to be written", Lines, "none",
                "max by (urgency) (mcdns_writer_waiting{$sel})" => "{{urgency}}",
            ),
        ],
    },
    Row {
        title: "Publishers",
        panels: &[
            panel!("In sync", Lines, "none",
                "max by (publisher, zone) (mcdns_publish_in_sync{$sel})" => "{{publisher}} {{zone}}",
            ),
            panel!("Changes that were made", Lines, "cps",
                "sum by (publisher, zone) (rate(mcdns_publish_changes_total{$sel}[$rate]))" => "{{publisher}} {{zone}}",
            ),
            panel!("Held, refused and left out", Lines, "none",
                "max by (publisher, zone) (mcdns_publish_held{$sel})" => "held: {{publisher}} {{zone}}",
                "max by (publisher, zone) (mcdns_publish_quarantined{$sel})" => "refused: {{publisher}} {{zone}}",
                "max by (publisher, zone) (mcdns_publish_skipped{$sel})" => "left out: {{publisher}} {{zone}}",
            ),
        ],
    },
    Row {
        title: "Answers",
        panels: &[
            panel!("Queries by transport", Lines, "reqps",
                "sum by (transport) (rate(mcdns_dns_queries_total{$sel}[$rate]))" => "{{transport}}",
            ),
            panel!("Answers by RCODE", Lines, "reqps",
                "sum by (rcode) (rate(mcdns_dns_answers_total{$sel}[$rate]))" => "{{rcode}}",
            ),
            panel!("Answers by zone", Lines, "reqps",
                "sum by (zone, outcome) (rate(mcdns_dns_zone_answers_total{$sel}[$rate]))" => "{{zone}} {{outcome}}",
            ),
            panel!("Answers by type", Lines, "reqps",
                "sum by (type) (rate(mcdns_dns_answers_by_type_total{$sel}[$rate]))" => "{{type}}",
            ),
            panel!("Time to answer, inside the server", Lines, "s",
                "histogram_quantile(0.5, sum by (le) (rate(mcdns_dns_answer_seconds_bucket{$sel}[$rate])))" => "median",
                "histogram_quantile(0.99, sum by (le) (rate(mcdns_dns_answer_seconds_bucket{$sel}[$rate])))" => "99 %",
            ),
            panel!("Not answered as asked", Lines, "reqps",
                "sum(rate(mcdns_dns_dropped_total{$sel}[$rate]))" => "dropped",
                "sum(rate(mcdns_dns_truncated_total{$sel}[$rate]))" => "truncated",
                "sum(rate(mcdns_dns_unsent_total{$sel}[$rate]))" => "not sent",
                "sum by (action) (rate(mcdns_rate_limited_total{$sel}[$rate]))" => "rate limit: {{action}}",
                "sum(rate(mcdns_dns_panics_total{$sel}[$rate]))" => "lost to a fault",
            ),
            panel!("Octets of answers", Lines, "Bps",
                "sum by (transport) (rate(mcdns_dns_answered_bytes_total{$sel}[$rate]))" => "{{transport}}",
            ),
            panel!("Size of an answer", Lines, "bytes",
                "histogram_quantile(0.5, sum by (le) (rate(mcdns_dns_answer_bytes_bucket{$sel}[$rate])))" => "median",
                "histogram_quantile(0.99, sum by (le) (rate(mcdns_dns_answer_bytes_bucket{$sel}[$rate])))" => "99 %",
            ),
            panel!("Connections", Lines, "cps",
                "sum by (transport) (rate(mcdns_dns_connections_total{$sel}[$rate]))" => "{{transport}}",
                "sum by (transport) (rate(mcdns_dns_connections_refused_total{$sel}[$rate]))" => "{{transport}} refused",
            ),
        ],
    },
    Row {
        title: "From change to answer",
        panels: &[
            panel!("From observations to the snapshot", Lines, "s",
                "histogram_quantile(0.5, sum by (le) (rate(mcdns_update_seconds_bucket{$sel}[$rate])))" => "median",
                "histogram_quantile(0.99, sum by (le) (rate(mcdns_update_seconds_bucket{$sel}[$rate])))" => "99 %",
            ),
            panel!("Changes", Lines, "cps",
                "sum(rate(mcdns_updates_total{$sel}[$rate]))" => "batches of observations",
                "sum(rate(mcdns_changed_names_total{$sel}[$rate]))" => "names",
            ),
            panel!("Findings", Lines, "none",
                "max by (severity) (mcdns_findings{$sel})" => "{{severity}}",
            ),
            panel!("Generation by pod", Lines, "none",
                "max by (pod) (mcdns_generation{$sel})" => "{{pod}}",
            ),
            panel!("Changes that are not on disk", Lines, "none",
                "max by (pod) (mcdns_state_waiting{$sel})" => "{{pod}}",
            ),
        ],
    },
    Row {
        title: "Secondaries",
        panels: &[
            panel!("Transfers", Lines, "cps",
                "sum by (answer) (rate(mcdns_transfers_total{$sel}[$rate]))" => "{{answer}}",
            ),
            panel!("Transfers under way", Lines, "none",
                "sum by (pod) (mcdns_transfers_under_way{$sel})" => "{{pod}}",
            ),
            panel!("Notifications", Lines, "cps",
                "sum(rate(mcdns_notify_sent_total{$sel}[$rate]))" => "sent",
                "sum(rate(mcdns_notify_acknowledged_total{$sel}[$rate]))" => "acknowledged",
                "sum(rate(mcdns_notify_failed_total{$sel}[$rate]))" => "failed",
            ),
            panel!("Refused signatures", Lines, "cps",
                "sum by (error) (rate(mcdns_tsig_failures_total{$sel}[$rate]))" => "{{error}}",
            ),
        ],
    },
];
