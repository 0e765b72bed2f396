//! The alert rules, a line each.

use anyhow::Context;
use serde_json::{Value, json};

use super::{Families, holds};

/// A rule: name, expression, how long it must hold, severity, what happened and what to do.
struct Alert {
    name: &'static str,
    expression: &'static str,
    duration: &'static str,
    severity: &'static str,
    summary: &'static str,
    what_to_do: &'static str,
}

const ALERTS: &[Alert] = &[
    Alert {
        name: "McdnsNoZones",
        expression: "max by (job) (mcdns_zones) == 0",
        duration: "2m",
        severity: "critical",
        summary: "No replica has a zone to answer for",
        what_to_do: "Ask /readyz and /findings of the admin port what is missing; look for Domains in the system namespace.",
    },
    Alert {
        name: "McdnsReplicasDisagree",
        expression: "max by (job) (mcdns_zones) != min by (job) (mcdns_zones)",
        duration: "10m",
        severity: "critical",
        summary: "Replicas serve different numbers of zones",
        what_to_do: "Compare /readyz of the pods: one of them has a source that the other cannot read.",
    },
    Alert {
        name: "McdnsStaleSource",
        expression: "max by (job, pod) (mcdns_stale_sources) > 0",
        duration: "5m",
        severity: "warning",
        summary: "A source cannot be read; answers are its last known ones",
        what_to_do: "/readyz of the pod names the source. Answers stay until it is back.",
    },
    Alert {
        name: "McdnsErrors",
        expression: "max by (job) (mcdns_findings{severity=\"error\"}) > 0",
        duration: "15m",
        severity: "warning",
        summary: "Something that is wanted is not published",
        what_to_do: "`kubectl get mcdns --all-namespaces` and /findings of the admin port say which object, why, and what to do.",
    },
    Alert {
        name: "McdnsStateProblem",
        expression: "max by (job, pod) (mcdns_state_problems) > 0",
        duration: "10m",
        severity: "warning",
        summary: "The state directory has a problem; a restart may forget what members said",
        what_to_do: "/readyz of the pod names the file. Is the volume full?",
    },
    Alert {
        name: "McdnsSlowUpdates",
        expression: "histogram_quantile(0.99, sum by (job, pod, le) (rate(mcdns_update_seconds_bucket[10m]))) > 1",
        duration: "15m",
        severity: "warning",
        summary: "Changes take more than a second to become answers",
        what_to_do: "Look at the processor time of the pod, and at how much changes (panel Changes).",
    },
    Alert {
        name: "McdnsServerFailures",
        expression: "sum by (job) (rate(mcdns_dns_answers_total{rcode=\"SERVFAIL\"}[5m])) > 0.01 * sum by (job) (rate(mcdns_dns_queries_total[5m]))",
        duration: "5m",
        severity: "critical",
        summary: "More than one answer in a hundred is SERVFAIL",
        what_to_do: "Panel Answers by zone says which zone; `mcdns explain NAME` why.",
    },
    Alert {
        name: "McdnsAnswersUnsent",
        expression: "sum by (job, pod) (rate(mcdns_dns_unsent_total[5m])) > 1",
        duration: "5m",
        severity: "warning",
        summary: "Answers cannot be sent",
        what_to_do: "Look at the node's network: full socket buffers, a filter, a missing route.",
    },
    Alert {
        name: "McdnsFault",
        expression: "increase(mcdns_dns_panics_total[1h]) > 0 or mcdns_dns_lost_threads > 0",
        duration: "0m",
        severity: "critical",
        summary: "A query was lost to a fault of the program, or a thread ended",
        what_to_do: "Keep the log of the pod for a report; restart it where threads are lost.",
    },
    Alert {
        name: "McdnsSecondariesUninformed",
        expression: "increase(mcdns_notify_failed_total[30m]) > 3",
        duration: "0m",
        severity: "warning",
        summary: "Secondaries do not acknowledge notifications",
        what_to_do: "The log names them; `mcdns lookup APEX SOA --server ADDR` shows their serial.",
    },
    Alert {
        name: "McdnsNoWriter",
        expression: "max by (job) (mcdns_leader) == 0",
        duration: "2m",
        severity: "warning",
        summary: "No replica holds the Lease: answers go on, and nothing is written",
        what_to_do: "Look at the Lease `mcdns` in the system namespace, and at whether the host's API server answers.",
    },
    Alert {
        name: "McdnsWriterBehind",
        expression: "max by (job) (mcdns_writer_oldest_seconds) > 120",
        duration: "5m",
        severity: "warning",
        summary: "Statuses or DNSEndpoints wait for long to be written",
        what_to_do: "`mcdns_writes_total` by outcome tells what the API server says; Events on the objects name the next step.",
    },
    Alert {
        name: "McdnsPublishHeld",
        expression: "max by (job, publisher, zone) (mcdns_publish_held) > 0",
        duration: "0m",
        severity: "critical",
        summary: "Much of a zone would vanish at a publisher, and waits for a person",
        what_to_do: "`mcdns plan` tells what; if it is meant, it prints the checksum that releases it.",
    },
    Alert {
        name: "McdnsPublisherFailing",
        expression: "max by (job, publisher, zone) (mcdns_publish_failing) > 0",
        duration: "10m",
        severity: "warning",
        summary: "A publisher cannot be read or written; what stands there stays",
        what_to_do: "The condition `Published.<publisher>` of the Domain has the words of the other system.",
    },
    Alert {
        name: "McdnsMemberUnread",
        expression: "min by (job, cluster) (mcdns_source_synced) == 0",
        duration: "10m",
        severity: "warning",
        summary: "A kind of objects of a cluster was never listed",
        what_to_do: "`mcdns clusters` and the conditions of the KubeFedCluster say why.",
    },
    Alert {
        name: "McdnsSomebodyElseWrites",
        expression: "max by (job) (mcdns_writer_stopped) > 0",
        duration: "5m",
        severity: "warning",
        summary: "Objects are not written because somebody else writes them too",
        what_to_do: "Turn the DNS controllers of KubeFed off; Events name the objects and the writer.",
    },
];

/// `groups` of a file of rules, which is the `spec` of a `PrometheusRule` too.
pub(super) fn rules(families: &Families) -> anyhow::Result<Value> {
    let mut rules = Vec::new();
    for alert in ALERTS {
        holds(alert.expression, families).with_context(|| format!("alert {}", alert.name))?;
        rules.push(json!({
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.duration,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.what_to_do},
        }));
    }
    Ok(json!({"groups": [{"name": "mcdns", "rules": rules}]}))
}
