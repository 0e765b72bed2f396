//! How everything is doing, once a second.

use std::sync::Arc;

use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    health::ProbeOutcome,
    model::{ClusterFact, ClusterName, Kind, Locality, MemberFacts, ObjectKey},
};

use super::{Desk, Member};
use crate::kubernetes::{
    ClusterReport, HealthMode, HealthReport, Report,
    known::lock,
    member::{Cluster, Watched},
    now,
};

/// How long a watch of a member whose probes succeed may fail before a person is told, in milliseconds: API servers
/// restart, and load balancers before them cut connections.
const PATIENCE: i64 = 30_000;

impl Desk {
    /// Makes the report, and sends it if it differs from the one before.
    pub(super) fn tell(&mut self) {
        let mut findings = Vec::new();
        let mut host = of_cluster(&self.host, &Whose::Host, &mut findings);
        if !self.options.host_only {
            host.kinds.push(self.common.secrets.report());
        }
        let mut report = Report { host, ..Report::default() };
        for (name, member) in &self.members {
            let object = ObjectKey::host(Kind::Cluster, &self.options.system_namespace, name);
            let answers = matches!(member.monitor.outcome(), Some(ProbeOutcome::Ready));
            let whose = Whose::Member { object: &object, answers };
            let mut of_member = of_cluster(&member.cluster, &whose, &mut findings);
            of_member.misconfigured = member.unasked().cloned();
            if let Some(why) = &member.misconfigured {
                let stays = if member.has_client() { "; until then the connection from before is used" } else { "" };
                findings.push(Finding::new(FindingCode::Unreadable, format!("{why}{stays}")).about(object));
            }
            of_member.health = Some(self.health(member));
            report.members.insert(Arc::clone(name), of_member);
        }
        findings.sort_unstable();
        report.findings = findings;
        self.report.send_if_modified(|current| {
            let changed = **current != report;
            if changed {
                *current = Arc::new(report);
            }
            changed
        });
    }

    /// Says what is to be written about a member, from its probes and its nodes, where mcdns maintains that.
    pub(super) fn judge(&mut self, name: &ClusterName) {
        if self.mode().0 != HealthMode::Own {
            return;
        }
        let nodes = self.nodes.get(name).cloned().unwrap_or_default();
        let facts = MemberFacts { observed: true, origin: None, nodes };
        let place = Locality::of(&ClusterFact::default(), Some(&facts));
        let monitor = self.members.get(name).map(|member| &member.monitor);
        let verdict =
            monitor.and_then(|monitor| monitor.verdict(place.written_region, place.written_availability_zones));
        if verdict.is_some() {
            self.judged.insert(Arc::clone(name));
            self.pending.verdicts.insert(Arc::clone(name), verdict);
        }
    }

    /// Takes back what is to be written about members once somebody else maintains that, in the batch at the latest that
    /// tells what they wrote: it would be taken for something to heal.
    pub(super) fn withdraw_verdicts(&mut self) {
        if self.mode().0 != HealthMode::Own {
            let judged = std::mem::take(&mut self.judged);
            self.pending.verdicts.extend(judged.into_iter().map(|name| (name, None)));
        }
    }

    fn health(&self, member: &Member) -> HealthReport {
        let (mode, why) = self.mode();
        HealthReport {
            mode,
            why,
            outcome: member.monitor.outcome().cloned(),
            probed: member.probed,
            written_counts: member.written_counts,
        }
    }
}

/// Whose watches they are.
enum Whose<'a> {
    Host,
    Member {
        /// Its KubeFedCluster.
        object: &'a ObjectKey,
        /// True while its probes succeed.
        answers: bool,
    },
}

fn of_cluster(cluster: &Cluster, whose: &Whose<'_>, findings: &mut Vec<Finding>) -> ClusterReport {
    let kinds = cluster.watches.iter().map(|watched| {
        findings.extend(lock(&watched.known).findings().cloned());
        let report = watched.meter.report();
        findings.extend(about_watch(watched, &report, whose));
        report
    });
    let kinds = kinds.collect();
    ClusterReport { kinds, streaming_lists: cluster.streaming.known(), ..ClusterReport::default() }
}

/// What is wrong with a watch, where a person has to do something about it.
fn about_watch(watched: &Watched, report: &crate::kubernetes::KindReport, whose: &Whose<'_>) -> Option<Finding> {
    let object = match whose {
        Whose::Host => format!("{} in the host", report.name),
        Whose::Member { object, .. } => object.to_string(),
    };
    if report.missing {
        let help = watched.wanted?;
        let message = "the API server does not have this kind, so nothing of it is known";
        return Some(Finding::new(FindingCode::Unreadable, message).about(object).help(help));
    }
    let error = report.error.as_ref().filter(|error| error.reason != "Gone")?;
    let stays = if report.synced { "what was last known stays" } else { "nothing of it is known in this run" };
    match whose {
        Whose::Host => {
            let finding = Finding::new(FindingCode::Unreadable, format!("{}; {stays}", error.message)).about(object);
            // A kind that may be missing may be forbidden too.
            let optional = watched.wanted.is_none();
            Some(if optional { Finding { severity: Severity::Info, ..finding } } else { finding })
        }
        Whose::Member { answers, .. } => {
            // What passes, and what the condition Ready says of the whole member, is not said of each kind.
            let of_the_kind = matches!(error.reason, "Forbidden" | "NotFound" | "Refused" | "Garbage" | "TooLarge");
            let lasts = now().0 - error.since.0 >= PATIENCE;
            let message = format!("{} objects cannot be read: {}; {stays}", report.name, error.message);
            (of_the_kind || (*answers && lasts)).then(|| Finding::new(FindingCode::Unreadable, message).about(object))
        }
    }
}
