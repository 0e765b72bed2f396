//! What external-dns asks of us, as families of metrics. Labels are of fixed sets of words.

use mcdns_sources::webhook::Counts;

use super::families::Families;

/// Appends what was asked and what came of it, and how many endpoints of the last question are refused.
pub fn collect_webhook(counts: &Counts, refused: usize, families: &mut Families) {
    let mut calls = families.counter("mcdns_webhook_calls_total", "Calls of external-dns, by what came of them");
    for ((path, outcome), total) in counts {
        calls.value(&[("path", path), ("outcome", outcome)], *total);
    }
    let help = "Endpoints of external-dns that could not be served when it last asked";
    let refused = u64::try_from(refused).unwrap_or(u64::MAX);
    families.gauge("mcdns_webhook_refused_endpoints", help).value(&[], refused);
}
