//! What the DNS server tells beside its counters of queries, as families of metrics.

use mcdns_serve::{NotifyTotals, RateLimitTotals, TransferHistory, TransferTotals, TsigError, Vitals};

use super::families::Families;

/// Appends the families.
pub(super) fn collect(vitals: &Vitals, transfers: &TransferHistory, families: &mut Families) {
    let failures = vitals.tsig_failures().totals();
    let mut tsig = families.counter("mcdns_tsig_failures_total", "Signed requests that were refused, by error");
    for error in TsigError::ALL {
        tsig.value(&[("error", error.name())], failures.of(error));
    }
    let RateLimitTotals { limited: _, slipped, dropped } = vitals.rate_limited();
    families
        .counter("mcdns_rate_limited_total", "Answers above the rate limit, and what became of them")
        .value(&[("action", "slipped")], slipped)
        .value(&[("action", "dropped")], dropped);
    let NotifyTotals { sent, acknowledged, failed } = vitals.notifications().totals();
    for (name, help, total) in [
        ("mcdns_notify_sent_total", "Notifications of secondaries, repeated ones included", sent),
        ("mcdns_notify_acknowledged_total", "Serials that a secondary has heard of", acknowledged),
        ("mcdns_notify_failed_total", "Serials that a secondary refused to hear of or did not answer for", failed),
    ] {
        families.counter(name, help).value(&[], total);
    }
    let TransferTotals { whole, incremental, incremental_as_whole, up_to_date, refused } = transfers.totals();
    families
        .counter("mcdns_transfers_total", "Requests for zone transfers, by what they were answered with")
        .value(&[("answer", "whole")], whole)
        .value(&[("answer", "incremental")], incremental)
        .value(&[("answer", "incremental_as_whole")], incremental_as_whole)
        .value(&[("answer", "up_to_date")], up_to_date)
        .value(&[("answer", "refused")], refused);
    let under_way = u64::try_from(transfers.under_way()).unwrap_or(u64::MAX);
    families.gauge("mcdns_transfers_under_way", "Zone transfers that are being sent").value(&[], under_way);
    let lost = u64::try_from(vitals.lost_threads()).unwrap_or(u64::MAX);
    let help = "Threads of the server that ended although they should not; above 0, restart it";
    families.gauge("mcdns_dns_lost_threads", help).value(&[], lost);
}
