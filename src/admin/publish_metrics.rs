//! What publishers tell, as families of metrics. Labels are publishers of the settings, zones, and words of a fixed set.

use mcdns_publish::ZoneReport;

use super::families::Families;

/// Appends how each zone of each publisher stands.
pub fn collect_publishers(reports: &[ZoneReport], families: &mut Families) {
    for report in reports {
        let zone = report.zone.to_string();
        let labels = [("publisher", report.publisher.as_str()), ("zone", zone.as_str())];
        let mut gauge = |name: &str, help: &str, value: u64| _ = families.gauge(name, help).value(&labels, value);
        let held = report.held.iter().map(|held| held.changes.len()).sum();
        gauge("mcdns_publish_in_sync", "1 while everything stands as it is wanted", u64::from(report.in_sync));
        gauge("mcdns_publish_leading", "1 while this replica writes the zone", u64::from(report.leading));
        gauge("mcdns_publish_names", "Names of ours that stand there", count(report.published));
        gauge("mcdns_publish_pending", "Names that are to be looked at", count(report.pending));
        gauge("mcdns_publish_held", "Changes that wait for a person", count(held));
        gauge("mcdns_publish_quarantined", "Names that were refused", count(report.quarantined.len()));
        gauge("mcdns_publish_skipped", "Names that are left as they are", count(report.skipped.len()));
        gauge("mcdns_publish_failing", "1 while the last call failed", u64::from(report.last_error.is_some()));
        let mut counter = |name: &str, help: &str, value: u64| _ = families.counter(name, help).value(&labels, value);
        counter("mcdns_publish_changes_total", "Changes that were made", report.changes);
        counter("mcdns_publish_calls_total", "Calls that change something", report.calls);
        counter("mcdns_publish_comparisons_total", "Comparisons of the whole zone", report.comparisons);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
