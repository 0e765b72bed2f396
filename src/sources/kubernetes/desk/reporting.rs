//! How everything is doing, once a second.

use std::sync::Arc;

use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    model::{ClusterFact, ClusterName, Kind, Locality, MemberFacts, ObjectKey},
};

use super::{Desk, Member};
use crate::kubernetes::{
    ClusterReport, HealthMode, HealthReport, Report,
    known::lock,
    member::{Cluster, Watched},
};

impl Desk {
    /// Makes the report, and sends it if it differs from the one before.
    pub(super) fn tell(&mut self) {
        let mut findings = Vec::new();
        let mut host = of_cluster(&self.host, None, &mut findings);
        if !self.options.host_only {
            host.kinds.push(self.common.secrets.report());
        }
        let mut report = Report { host, ..Report::default() };
        for (name, member) in &self.members {
            let mut of_member = of_cluster(&member.cluster, Some(name), &mut findings);
            of_member.misconfigured.clone_from(&member.misconfigured);
            if let Some(why) = &member.misconfigured {
                let object = ObjectKey::host(Kind::Cluster, &self.options.system_namespace, name);
                findings.push(Finding::new(FindingCode::Unreadable, why).about(object));
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
        self.pending.verdicts.extend(verdict.map(|verdict| (Arc::clone(name), verdict)));
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

fn of_cluster(cluster: &Cluster, member: Option<&ClusterName>, findings: &mut Vec<Finding>) -> ClusterReport {
    let kinds = cluster.watches.iter().map(|watched| {
        findings.extend(lock(&watched.known).findings().cloned());
        let report = watched.meter.report();
        findings.extend(about_watch(watched, &report, member));
        report
    });
    let kinds = kinds.collect();
    ClusterReport { kinds, streaming_lists: cluster.streaming.known(), ..ClusterReport::default() }
}

/// What is wrong with a watch, where a person has to do something about it.
fn about_watch(
    watched: &Watched,
    report: &crate::kubernetes::KindReport,
    member: Option<&ClusterName>,
) -> Option<Finding> {
    let place = member.map_or_else(|| "the host".to_owned(), |member| format!("member {member}"));
    let object = format!("{} in {place}", report.name);
    if report.missing {
        let help = watched.wanted?;
        let message = "the API server does not have this kind, so nothing of it is known";
        return Some(Finding::new(FindingCode::Unreadable, message).about(object).help(help));
    }
    let error = report.error.as_ref().filter(|error| error.reason != "Gone")?;
    let stays = if report.synced { "what was last known stays" } else { "nothing of it is known in this run" };
    let finding = Finding::new(FindingCode::Unreadable, format!("{}; {stays}", error.message)).about(object);
    // A kind that may be missing may be forbidden too.
    let optional = member.is_none() && watched.wanted.is_none();
    Some(if optional { Finding { severity: Severity::Info, ..finding } } else { finding })
}
