//! The host cluster of Kubernetes: what is observed there and in its members, and what is written where this replica
//! holds the lease.
//!
//! ```text
//!   watches ──► Batch ─┬─► observations ──► Federation ──► touch ─┐
//!                      ├─► what stands, what to say of members ───┴─► writer ──► host
//!                      └─► serial and digest of each Domain ──► Federation
//! ```

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Result, anyhow};
use mcdns_api::{Condition, StandingKind};
use mcdns_control::{
    Desired, Leadership, LeaseHandle, LeaseOptions, Notice, RecordObjects, Regarding, domain_conditions, events,
    held_members, lease, record_objects,
    tokens::{self, SecretRef},
    writer::{self, KeptEndpoints, PublishedZone, Urgency, WriterHandle, WriterOptions},
};
use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    model::{ClusterName, Kind, NamespacedName, Object, ObjectKey, RecordKey},
    records::Update,
};
use mcdns_publish::PublishedCondition;
use mcdns_sources::kubernetes::{Batch, Handle, HealthOptions, Kubernetes, Options, Report, host_client};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::opening::{Gate, Stage};
use crate::{
    admin::{
        Admin,
        host_metrics::{collect_sources, collect_writer},
    },
    federation::{Federation, now},
    generations::Published,
    settings::Settings,
};

/// What is known of the host and what is done there.
pub(super) struct Host {
    client: kube::Client,
    handle: Arc<Handle>,
    reports: watch::Receiver<Arc<Report>>,
    writing: Option<Writing>,
    system_namespace: String,
    /// The first batch was taken in.
    has_begun: bool,
    /// Whether enough was read to write.
    gate: Gate,
    /// What the writer knows to be told completely.
    complete: Vec<StandingKind>,
    /// Conditions that the writer has.
    domains: BTreeMap<NamespacedName, Vec<Condition>>,
    held: BTreeMap<ClusterName, Condition>,
}

/// What writes.
struct Writing {
    lease: LeaseHandle,
    leadership: watch::Receiver<Leadership>,
    writer: WriterHandle,
    /// Renews the tokens of members.
    tokens: JoinHandle<()>,
    /// The term in which this replica wrote when it was last looked at.
    led: Option<u64>,
}

/// Whose tokens are renewed.
struct Members {
    handle: Arc<Handle>,
    namespace: String,
}

/// Answers what belongs into the host.
struct Wanted {
    federation: Arc<Mutex<Federation>>,
    groups: Vec<String>,
    stage: watch::Receiver<Stage>,
}

impl Host {
    /// Finds the host cluster and begins to observe it. `known` is what was known before a restart.
    pub(super) async fn open(
        settings: &Settings,
        known: Vec<(ObjectKey, Arc<Object>)>,
        batches: mpsc::Sender<Batch>,
    ) -> Result<Self> {
        let kubernetes = &settings.kubernetes;
        let (kubeconfig, context) = (kubernetes.kubeconfig.value.as_deref(), kubernetes.context.value.as_deref());
        let client = host_client(kubeconfig, context).await.map_err(|error| {
            let help = "name a federation directory (mcdns run DIR), or the host cluster (--kubeconfig FILE)";
            anyhow!("{:#}\n  help: {help}", anyhow::Error::from(error))
        })?;
        let options = Options {
            system_namespace: settings.system_namespace.value.clone(),
            selector: settings.member_selector.value.clone(),
            health: HealthOptions {
                mode: kubernetes.mode.value,
                period: kubernetes.period.value,
                timeout: kubernetes.timeout.value,
                failure_threshold: kubernetes.failure_threshold.value,
                success_threshold: kubernetes.success_threshold.value,
            },
            host_only: kubernetes.host_only.value,
            endpoint_groups: settings.endpoint_groups(),
        };
        let system_namespace = options.system_namespace.clone();
        let mut source = Kubernetes::new(client.clone(), options);
        source.adopt(known);
        let handle = Arc::new(source.spawn(batches));
        let reports = handle.reports();
        Ok(Self {
            client,
            handle,
            reports,
            writing: None,
            system_namespace,
            has_begun: false,
            gate: Gate::new(settings.grace.value),
            complete: Vec::new(),
            domains: BTreeMap::new(),
            held: BTreeMap::new(),
        })
    }

    /// Begins to write, unless the settings say that nothing is written.
    pub(super) fn start(&mut self, settings: &Settings, federation: &Arc<Mutex<Federation>>, admin: &Admin) {
        let kubernetes = &settings.kubernetes;
        let reports = self.reports.clone();
        admin.metrics().add(move |families| collect_sources(&reports.borrow(), now().0, families));
        if kubernetes.host_only.value {
            return;
        }
        // A name that is set is set for what may be started again, or twice.
        let identity = lease::unique(&kubernetes.lease_identity.value.clone().unwrap_or_else(machine));
        let duration = kubernetes.lease_duration.value;
        let options = LeaseOptions {
            name: kubernetes.lease_name.value.clone(),
            duration,
            // The proportions of Kubernetes' own controllers.
            renew_deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
            ..LeaseOptions::new(&self.system_namespace, &identity)
        };
        let lease = lease::spawn(self.client.clone(), options);
        let leadership = lease.leadership.clone();
        let recorder = events::recorder(self.client.clone(), &identity, leadership.clone());
        let groups = settings.dns_endpoint_groups.value.clone();
        let wanted = Wanted { federation: Arc::clone(federation), groups, stage: self.gate.stage() };
        let options = WriterOptions {
            lease: kubernetes.lease_name.value.clone(),
            endpoint_groups: settings.dns_endpoint_groups.value.clone(),
            probe_refresh: kubernetes.period.value,
            ..WriterOptions::new(&self.system_namespace)
        };
        let gated = self.gate.lease(leadership.clone());
        let writer = writer::spawn(self.client.clone(), options, Arc::new(wanted), gated, recorder.clone());
        let reports = writer.report();
        admin.metrics().add(move |families| collect_writer(&reports.borrow(), families));
        let members = Members { handle: Arc::clone(&self.handle), namespace: self.system_namespace.clone() };
        let tokens = tokens::keep_renewed(self.client.clone(), Arc::new(members), leadership.clone(), recorder);
        let tokens = tokio::spawn(tokens);
        self.writing = Some(Writing { lease, leadership, writer, tokens, led: None });
    }

    /// Takes in a batch but for its observations. Returns what stands with Domains.
    pub(super) fn take(&mut self, batch: Batch) -> Vec<(String, Option<Published>)> {
        let Batch { standings, verdicts, progress, first, observations: _, word: _ } = batch;
        self.has_begun |= first;
        let domains = standings.iter().filter(|change| {
            change.key.kind == StandingKind::DomainAnnotations && change.key.namespace == self.system_namespace
        });
        let published = domains
            .map(|change| {
                let text = change.standing.as_ref().and_then(|standing| standing.kept.published.as_deref());
                (change.key.name.clone(), text.and_then(|text| read_published(&change.key.name, text)))
            })
            .collect();
        if let Some(Writing { writer, .. }) = &self.writing {
            writer.stands(standings);
            writer.verdicts(verdicts);
            let complete = progress.stands.iter().filter(|kind| !self.complete.contains(kind)).copied();
            let complete: Vec<StandingKind> = complete.collect();
            if !complete.is_empty() {
                writer.stands_complete(&complete);
                self.complete.extend(complete);
            }
        }
        self.gate.take(progress, Instant::now());
        published
    }

    /// Has the records looked at that an update may have changed.
    pub(super) fn touch(&self, update: &Update, federation: &Federation) {
        // When the gate opens, all of them are looked at.
        let Some(Writing { writer, .. }) = self.writing.as_ref().filter(|_| self.gate.is_open()) else { return };
        writer.touch(update.records.iter().cloned(), Urgency::Answers);
        if update.all_records {
            writer.touch(federation.engine().record_keys().cloned(), Urgency::Status);
        }
    }

    /// Hands over what changed of the conditions of Domains, and of what is held of members.
    pub(super) fn tell_conditions(&mut self, federation: &Federation) {
        let Some(Writing { writer, .. }) = &self.writing else { return };
        let domains = conditions_of_domains(federation);
        let changes = changes(&self.domains, &domains);
        if !changes.is_empty() {
            writer.domains(changes);
        }
        self.domains = domains;
        let held = held_members(federation.engine());
        let changes = self::changes(&self.held, &held);
        if !changes.is_empty() {
            writer.held(changes);
        }
        self.held = held;
    }

    /// Tells what is wrong on the objects concerned. Records have conditions, and Events that follow from those, unless
    /// they cannot be read at all.
    pub(super) fn tell<'f>(&self, findings: impl IntoIterator<Item = &'f Finding>) {
        // Who does not lead tells nothing, and everything when it begins to.
        let Some(Writing { writer, .. }) = self.writing.as_ref().filter(|_| self.leads()) else { return };
        for finding in findings {
            if let Some(regarding) = finding.object.as_deref().and_then(|object| regarding(object, finding.code)) {
                let field = finding.field.as_ref().map_or_else(String::new, |field| format!("{field}: "));
                let help = finding.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
                writer.tell(Notice {
                    regarding,
                    about: matter(finding),
                    reason: reason(finding.code),
                    note: format!("{field}{}{help}", finding.message),
                    is_warning: finding.severity != Severity::Info,
                });
            }
        }
    }

    /// What keeps what comes in by webhook; none where nothing is ever written.
    pub(super) fn kept_endpoints(&self) -> Option<KeptEndpoints> {
        let Writing { leadership, .. } = self.writing.as_ref()?;
        Some(KeptEndpoints::new(self.client.clone(), leadership.clone(), &self.system_namespace))
    }

    /// Who writes; none where nobody does.
    pub(super) fn leadership(&self) -> Option<watch::Receiver<Leadership>> {
        self.writing.as_ref().map(|writing| writing.leadership.clone())
    }

    /// True if enough was read to write records.
    pub(super) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// Whether enough was read to write.
    pub(super) fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// Has the statuses of records looked at again.
    pub(super) fn touch_statuses(&self, records: impl IntoIterator<Item = RecordKey>) {
        if let Some(Writing { writer, .. }) = &self.writing {
            writer.touch(records, Urgency::Status);
        }
    }

    /// True if this replica writes.
    pub(super) fn leads(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.leadership.borrow().may_write().is_some())
    }

    /// Has serials written.
    pub(super) fn publish(&self, zones: Vec<(String, Published)>) {
        let Some(Writing { writer, .. }) = self.writing.as_ref().filter(|_| !zones.is_empty()) else { return };
        let zones = zones.into_iter().map(|(domain, published)| PublishedZone {
            domain: NamespacedName::new(&self.system_namespace, &domain),
            serial: published.serial.0,
            digest: published.digest_text(),
        });
        writer.publish(zones.collect());
    }

    /// Waits until a report has changed, or who writes.
    pub(super) async fn changed(&mut self) {
        let Self { reports, writing, .. } = self;
        // A sender that is gone will never say anything again.
        let reported = async {
            if reports.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let led = async {
            match writing {
                Some(writing) => {
                    if writing.leadership.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reported => {}
            () = led => {}
        }
    }

    /// Says once that this replica writes now, or no longer. True if it begins to, also where its last term was over only
    /// for a moment in which nobody looked: what was to be told in that moment was not.
    pub(super) fn tell_leadership(&mut self) -> bool {
        let Some(writing) = &mut self.writing else { return false };
        let leads = writing.leadership.borrow().epoch();
        let led = std::mem::replace(&mut writing.led, leads);
        match (led, leads) {
            (led, Some(_)) if led != leads => tracing::info!("this replica holds the lease and writes"),
            (Some(_), None) => {
                tracing::info!(leadership = shown(&writing.leadership.borrow()), "this replica does not write");
            }
            _ => {}
        }
        leads.is_some() && led != leads
    }

    /// True while the host itself cannot be read.
    pub(super) fn is_lost(&self) -> bool {
        self.reports.borrow().host.is_lost()
    }

    /// True once it is known which zones there are: every Domain was read, or the host has no such kind.
    pub(super) fn knows_zones(&self) -> bool {
        let report = self.reports.borrow();
        let domains = report.host.kinds.iter().find(|kind| kind.name == Kind::Domain.as_str());
        self.has_begun && domains.is_some_and(|domains| domains.synced || domains.missing)
    }

    /// One line for each cluster of which something is not up to date.
    pub(super) fn stale(&self) -> Vec<String> {
        let report = self.reports.borrow();
        let mut lines = Vec::new();
        let members = report.members.iter().map(|(name, cluster)| (format!("member {name}"), cluster));
        for (name, cluster) in std::iter::once(("the host cluster".to_owned(), &report.host)).chain(members) {
            lines.extend(cluster.trouble().map(|trouble| format!("{name}: {trouble}; what was last known counts")));
        }
        lines
    }

    /// What is wrong in what the watches read.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.reports.borrow().findings.clone()
    }

    /// Ends the writing, and gives the lease to another replica.
    pub(super) async fn end(self) {
        if let Some(Writing { lease, writer, tokens, .. }) = self.writing {
            tokens.abort();
            writer.stop().await;
            lease.release().await;
        }
        drop(self.handle);
    }
}

/// What the engine says of Domains, and with it how their zones stand at publishers.
fn conditions_of_domains(federation: &Federation) -> BTreeMap<NamespacedName, Vec<Condition>> {
    let engine = federation.engine();
    let mut domains = domain_conditions(engine);
    let Some(publishing) = federation.publishing() else { return domains };
    for (name, conditions) in &mut domains {
        let Some(apex) = engine.apex_of(&name.name) else { continue };
        let generation = conditions.first().and_then(|one| one.observed_generation);
        let published = publishing.zone_conditions(apex).into_iter().map(published_condition);
        conditions.extend(published.map(|one| Condition { observed_generation: generation, ..one }));
    }
    domains
}

/// How a record or a zone stands at a publisher, without times.
fn published_condition((kind, condition): (String, PublishedCondition)) -> Condition {
    Condition {
        last_transition_time: None,
        message: condition.message,
        observed_generation: None,
        reason: condition.reason.to_owned(),
        status: condition.status.to_owned(),
        kind,
    }
}

/// What is new or different, and what is gone.
fn changes<K: Ord + Clone, V: PartialEq + Clone>(before: &BTreeMap<K, V>, now: &BTreeMap<K, V>) -> Vec<(K, Option<V>)> {
    let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
    let new = now.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    gone.chain(new.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}

/// The object of the host that a finding is about, by the form that findings have: `Kind namespace/name`.
fn regarding(object: &str, code: FindingCode) -> Option<Regarding> {
    let (kind, name) = object.split_once(' ')?;
    // What stands in a member cannot have an Event in the host.
    let (namespace, name) = name.split_once('/').filter(|(_, name)| !name.contains(' '))?;
    let of_record = matches!(code, FindingCode::WrongObject | FindingCode::UnknownVersion);
    let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
    let api_version = match kind {
        "DNSEndpoint" if group == Some("externaldns.k8s.io") => "externaldns.k8s.io/v1alpha1",
        "DNSEndpoint" if group.is_some() => return None,
        "ServiceDNSRecord" | "IngressDNSRecord" if !of_record => return None,
        // Its conditions say why and what to do, and are told when they change.
        "KubeFedCluster" if code == FindingCode::ClusterUnready => return None,
        "Domain" | "ServiceDNSRecord" | "IngressDNSRecord" | "DNSEndpoint" => mcdns_api::dns::API_VERSION,
        "KubeFedCluster" => "core.kubefed.io/v1beta1",
        "FederatedServiceStatus" => "core.kubefed.io/v1alpha1",
        "FederatedService" | "FederatedIngress" => "types.kubefed.io/v1beta1",
        _ => return None,
    };
    Some(Regarding {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: None,
    })
}

/// Tells several findings of one code about one object apart: by the field, or by the kind that cannot be read.
fn matter(finding: &Finding) -> Cow<'static, str> {
    match (&finding.field, finding.code) {
        (Some(field), _) => field.clone().into(),
        (None, FindingCode::Unreadable) => {
            finding.message.split_whitespace().next().unwrap_or_default().to_owned().into()
        }
        (None, _) => "".into(),
    }
}

/// A code in the form of reasons: `wrong-object` is `WrongObject`.
fn reason(code: FindingCode) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    code.as_str().split('-').map(word).collect()
}

/// Serial and digest as they stand with a Domain.
fn read_published(domain: &str, text: &str) -> Option<Published> {
    serde_json::from_str(text)
        .inspect_err(|error| {
            tracing::warn!(domain, %error, "what stands as the published serial is not understood and is replaced");
        })
        .ok()
}

impl tokens::Members for Members {
    fn secrets(&self) -> Vec<(ClusterName, SecretRef)> {
        let secrets = self.handle.member_secrets().into_iter();
        secrets.map(|(name, secret)| (name, SecretRef { namespace: self.namespace.clone(), name: secret })).collect()
    }

    fn client(&self, cluster: &ClusterName) -> Option<kube::Client> {
        self.handle.member_client(cluster)
    }
}

impl Wanted {
    fn is_open(&self) -> bool {
        *self.stage.borrow() == Stage::Open
    }
}

impl Desired for Wanted {
    fn objects(&self, key: &RecordKey) -> Option<RecordObjects> {
        if !self.is_open() {
            // A record that stands in the host is left as it is then.
            return None;
        }
        let federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = federation.engine();
        let published = federation.publishing().map(|publishing| publishing.conditions(&engine.names_of_record(key)));
        let further = published.into_iter().flatten().map(published_condition).collect();
        record_objects(engine, key, &self.groups, further)
    }

    fn record_keys(&self) -> Vec<RecordKey> {
        if !self.is_open() {
            return Vec::new();
        }
        let federation = self.federation.lock().unwrap_or_else(PoisonError::into_inner);
        federation.engine().record_keys().cloned().collect()
    }
}

fn shown(leadership: &Leadership) -> String {
    match leadership {
        Leadership::Holder { .. } => "the term is over".to_owned(),
        Leadership::Follower { holder: Some(holder) } => format!("{holder} does"),
        Leadership::Follower { holder: None } => "nobody does".to_owned(),
        Leadership::Unknown(reason) => reason.clone(),
    }
}

/// The name of the machine (of the pod).
fn machine() -> String {
    let name = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let name = name.or_else(|| Some(fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned()));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "mcdns".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_about_objects_of_the_host() {
        let about = |object: &str, code| regarding(object, code).map(|regarding| (regarding.kind, regarding.name));
        let found = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
        assert_eq!(about("KubeFedCluster fed/c1", FindingCode::Held), found("KubeFedCluster", "c1"));
        assert_eq!(about("ServiceDNSRecord shop/web", FindingCode::WrongObject), found("ServiceDNSRecord", "web"));
        assert_eq!(about("ServiceDNSRecord shop/web", FindingCode::LocalityMissing), None, "it has a condition");
        assert_eq!(about("Service shop/web in c1", FindingCode::WrongObject), None, "it is in a member");
        assert_eq!(about("Node n1 in c1", FindingCode::WrongObject), None);
        assert_eq!(reason(FindingCode::WrongObject), "WrongObject");
    }
}
