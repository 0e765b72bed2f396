//! What external-dns asks of us, as families of metrics. Labels are of fixed sets of words.

use mcdns_sources::webhook::Report;

use super::families::Families;

/// Appends what was asked, and what came of it.
pub fn collect_webhook(report: &Report, families: &mut Families) {
    let mut calls = families.counter("mcdns_webhook_calls_total", "Calls of external-dns, by what came of them");
    for ((path, outcome), total) in report.counts() {
        calls.value(&[("path", path), ("outcome", outcome)], total);
    }
    let help = "Endpoints of external-dns that could not be served when it last asked";
    let wrong = u64::try_from(report.findings().borrow().len()).unwrap_or(u64::MAX);
    families.gauge("mcdns_webhook_refused_endpoints", help).value(&[], wrong);
}
