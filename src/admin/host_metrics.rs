//! What observing a host cluster and writing to it tell, as families of metrics. Labels are clusters, kinds of objects
//! and outcomes.

use mcdns_control::{Leadership, WriterReport};
use mcdns_sources::kubernetes::{ClusterReport, Report};

use super::families::Families;

/// Appends what the watches tell. `now` is in milliseconds of Unix time.
pub fn collect_sources(report: &Report, now: i64, families: &mut Families) {
    let members = report.members.iter().map(|(name, cluster)| (&**name, cluster));
    for (name, cluster) in std::iter::once(("(host)", &report.host)).chain(members) {
        collect_cluster(name, cluster, now, families);
    }
    families.gauge("mcdns_source_clusters", "Members that are observed").value(&[], count(report.members.len()));
}

fn collect_cluster(name: &str, cluster: &ClusterReport, now: i64, families: &mut Families) {
    for kind in &cluster.kinds {
        let labels = [("cluster", name), ("kind", kind.name.as_str())];
        let mut gauge = |name: &str, help: &str, value: u64| _ = families.gauge(name, help).value(&labels, value);
        gauge("mcdns_source_synced", "1 once all objects of a kind were listed", u64::from(kind.synced));
        gauge("mcdns_source_objects", "Objects that are known", kind.objects);
        if let Some(heard) = kind.heard {
            let seconds = u64::try_from(now.saturating_sub(heard.0) / 1000).unwrap_or_default();
            gauge("mcdns_source_silence_seconds", "Time since the API server was last heard of a kind", seconds);
        }
        let mut counter = |name: &str, help: &str, value: u64| _ = families.counter(name, help).value(&labels, value);
        counter("mcdns_source_events_total", "Changes of objects that were told", kind.events);
        counter("mcdns_source_lists_total", "Times that all objects were listed", kind.lists);
        counter("mcdns_source_resumes_total", "Watches that went on where they had ended", kind.resumes);
        counter("mcdns_source_errors_total", "Lists and watches that failed", kind.errors);
    }
    if let Some(health) = &cluster.health {
        let ready = matches!(health.outcome, Some(mcdns_core::health::ProbeOutcome::Ready));
        let help = "1 while the last probe of a member was answered with ok";
        families.gauge("mcdns_member_probe_ok", help).value(&[("cluster", name)], u64::from(ready));
    }
}

/// Appends what the writer tells.
pub fn collect_writer(report: &WriterReport, families: &mut Families) {
    let leads = matches!(report.leadership, Leadership::Holder { .. });
    families.gauge("mcdns_leader", "1 while this replica holds the lease and writes").value(&[], u64::from(leads));
    let mut waiting = families.gauge("mcdns_writer_waiting", "Objects that wait to be compared or written, by urgency");
    for (class, number) in report.waiting {
        waiting.value(&[("urgency", class)], count(number));
    }
    let oldest = report.oldest.map_or(0, |since| since.elapsed().as_secs());
    families.gauge("mcdns_writer_oldest_seconds", "Time that the oldest of them has waited").value(&[], oldest);
    families.gauge("mcdns_writer_in_flight", "Objects that are being written").value(&[], count(report.in_flight));
    let mut writes = families.counter("mcdns_writes_total", "Objects looked at, by kind and what came of it");
    for ((kind, outcome), total) in &report.writes {
        writes.value(&[("kind", kind), ("outcome", outcome)], *total);
    }
    let help = "Objects that are not written because somebody else writes them too";
    families.gauge("mcdns_writer_stopped", help).value(&[], count(report.stopped.len()));
    let mut events = families.counter("mcdns_events_total", "Events for people, by what became of them");
    let counts = report.events;
    for (outcome, total) in [
        ("written", counts.written),
        ("repeated", counts.repeated),
        ("dropped", counts.dropped),
        ("failed", counts.failed),
    ] {
        events.value(&[("outcome", outcome)], total);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
