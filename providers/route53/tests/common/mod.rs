//! A Route 53 in the same process, with one zone, and what tests do with it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{io::Write as _, sync::Arc};

use mcdns_core::{
    dns::{OwnerName, RecordType, parse_rdata_text},
    model::Timestamp,
    plan::{Content, GuardOptions, ManagerId, PlanOptions, RecordSet, WantedName},
};
use mcdns_publish::{PublishedZone, Publisher, Scope, Step, WantedSource, battery::Wishes};
use serde_json::{Value, json};
use support::route53::{self, Route53};
use tempfile::NamedTempFile;
use tokio::sync::watch;

/// Its apex.
pub(crate) const APEX: &str = "example.com";

/// A service with a zone, and credentials for it.
pub(crate) struct Place {
    /// The service.
    pub(crate) service: Route53,
    /// Id of the zone `example.com`.
    pub(crate) zone: String,
    credentials: NamedTempFile,
}

/// A writer as a running program is one.
pub(crate) struct Writer {
    /// What it writes with.
    pub(crate) publisher: Arc<dyn Publisher>,
    /// What it knows.
    pub(crate) zone: PublishedZone,
    now: Timestamp,
    _leading: watch::Sender<bool>,
}

/// A name.
pub(crate) fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

/// The manager of most tests.
pub(crate) fn manager() -> ManagerId {
    "prod".parse().expect("a manager")
}

/// Wishes in the zone `example.com`.
pub(crate) fn wishes(lines: &[&str]) -> Wishes {
    Wishes::of(&name(APEX), lines).expect("wishes")
}

/// Credentials of a user, in the form of the shared file.
pub(crate) fn credentials() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(b"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n")
        .expect("room for it");
    file
}

impl Place {
    /// A service with one empty public zone.
    pub(crate) fn new() -> Self {
        let service = Route53::start();
        let zone = service.create_zone(APEX, false, &[]);
        Self { service, zone, credentials: credentials() }
    }

    /// Ends the service; the credentials stay.
    pub(crate) fn stop(self) -> NamedTempFile {
        self.credentials
    }

    /// A section that leads here, without a limit on requests, with these keys.
    pub(crate) fn section(&self, more: &Value) -> Value {
        let mut section = json!({
            "endpoint": self.service.endpoint(),
            "stsEndpoint": self.service.endpoint(),
            "region": "us-east-1",
            "credentialsFile": self.credentials.path(),
            "requestsPerSecond": 100_000,
        });
        if let (Some(section), Some(more)) = (section.as_object_mut(), more.as_object()) {
            section.extend(more.clone());
        }
        section
    }

    /// A new publisher.
    pub(crate) fn publisher(&self, more: &Value) -> Arc<dyn Publisher> {
        let section = self.section(more);
        mcdns_route53::publisher("aws", &[name(APEX)], &manager(), &section).expect("a publisher")
    }

    /// A new writer.
    pub(crate) fn writer(&self, more: &Value) -> Writer {
        Writer::new(self.publisher(more), name(APEX))
    }

    /// Requests of this action so far.
    pub(crate) fn calls(&self, action: &str) -> u64 {
        self.service.calls().get(action).copied().unwrap_or_default()
    }

    /// All requests so far but polls.
    pub(crate) fn all_calls(&self) -> u64 {
        self.service.calls().iter().filter(|(action, _)| *action != "GetChange").map(|(_, count)| count).sum()
    }

    /// What stands there but SOA, NS of the apex and marks: `www.example.com. A [identifier] 192.0.2.1`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let records = self.service.records(&self.zone);
        let own = |set: &&route53::RecordSet| set.name == "example.com." && ["SOA", "NS"].contains(&&*set.kind);
        let mark = |set: &&route53::RecordSet| set.kind == "TXT" && set.name.starts_with("_owner-");
        records.iter().filter(|set| !own(set) && !mark(set)).map(line).collect()
    }

    /// The marks alone.
    pub(crate) fn marks(&self) -> Vec<String> {
        let records = self.service.records(&self.zone);
        let mark = |set: &&route53::RecordSet| set.values.iter().any(|value| value.contains("heritage="));
        records.iter().filter(mark).map(line).collect()
    }
}

impl Writer {
    /// Of this zone.
    pub(crate) fn new(publisher: Arc<dyn Publisher>, apex: OwnerName) -> Self {
        let (leading, leads) = watch::channel(true);
        // What is lost is what the tests are about.
        let guard = GuardOptions { percent: 100, ..GuardOptions::default() };
        let options = PlanOptions::default();
        let zone = PublishedZone::new(publisher.clone(), manager(), apex, options, guard, Arc::new(leads));
        Self { publisher, zone, now: Timestamp(0), _leading: leading }
    }

    /// Of this zone, beside others.
    pub(crate) fn of(publisher: Arc<dyn Publisher>, apex: OwnerName, beside: &[OwnerName]) -> Self {
        let writer = Self::new(publisher, apex);
        Self { zone: writer.zone.beside(beside), ..writer }
    }

    /// One step.
    pub(crate) async fn step(&mut self, wishes: &dyn WantedSource, scope: Scope) -> Step {
        self.now = self.now.plus_seconds(1);
        self.zone.converge(wishes, scope, self.now).await
    }

    /// Brings the whole zone there, and looks whether all was done.
    pub(crate) async fn converge(&mut self, wishes: &Wishes) -> Step {
        let step = self.step(wishes, Scope::Zone).await;
        assert!(step.error.is_none() && step.again.is_empty(), "{step:?}");
        let plan = self.zone.preview(wishes, self.now).await.expect("a plan");
        assert!(plan.changes.is_empty(), "after apply, there is still {:?}", plan.changes);
        step
    }

    /// Brings these names there.
    pub(crate) async fn change(&mut self, wishes: &Wishes, names: &[&str]) -> Step {
        self.step(wishes, Scope::Names(names.iter().map(|text| name(text)).collect())).await
    }
}

/// One wanted name with targets: `cluster target address`.
pub(crate) fn targeted(owner: &str, targets: &[(&str, &str, &str)]) -> WantedName {
    use mcdns_core::{dns::Rrset, plan::ClusterTarget, steering::Target};
    let targets: Vec<ClusterTarget> = targets
        .iter()
        .map(|(cluster, target, address)| ClusterTarget {
            cluster: (*cluster).into(),
            target: target.parse().map_or_else(|_| Target::HostName((*target).into()), Target::Address),
            addresses: [address.parse().expect("an address")].into(),
        })
        .collect();
    let addresses = targets.iter().flat_map(|one| one.addresses.iter()).filter_map(|address| match address {
        std::net::IpAddr::V4(address) => Some(Box::from(address.octets())),
        std::net::IpAddr::V6(_) => None,
    });
    WantedName {
        owner: name(owner),
        apex: name(APEX),
        rrsets: vec![Rrset::new(RecordType::A, 60, addresses.collect())],
        targets,
        ttl: 60,
        record: None,
        reason: "the test".to_owned(),
        unsettled: None,
    }
}

/// A set of the service as ours; for types whose text needs no escapes.
pub(crate) fn ours(set: &route53::RecordSet) -> RecordSet {
    let record_type: RecordType = set.kind.parse().expect("a type");
    let data = set.values.iter().map(|value| parse_rdata_text(record_type, value, &OwnerName::root()).expect("data"));
    let mut ours = RecordSet::data(record_type, set.ttl.unwrap_or_default(), data);
    ours.identifier.clone_from(&set.set_identifier);
    if let Some(alias) = &set.alias {
        (ours.ttl, ours.content) = (None, Content::Alias(name(&alias.name)));
    }
    ours
}

/// `www.example.com. A [identifier] 192.0.2.1`.
pub(crate) fn line(set: &route53::RecordSet) -> String {
    let identifier = set.set_identifier.as_ref().map_or(String::new(), |identifier| format!(" [{identifier}]"));
    let alias = set.alias.as_ref().map_or(String::new(), |alias| format!("ALIAS {}", alias.name));
    format!("{} {}{identifier} {}{alias}", set.name, set.kind, set.values.join(" "))
}
