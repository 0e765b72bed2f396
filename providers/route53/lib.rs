//! Amazon Route 53.
//!
//! ```text
//!   WantedName ──translate──► Group ──┐
//!                                     ├─ loop ──► Batch ──batch──► requests ──client──► Route 53
//!   hosted zone ──reading──► Standing ┘                   ◄─verdict── what was refused, and who is to blame
//! ```
//!
//! * `wire`: record sets between our form and that of the API, pure.
//! * `alias`, `translate`: ALIAS records for host names of AWS.
//! * `batch`, `verdict`: what goes into a request, and what comes back when it is refused.
//! * `access`, `client`, `limiter`, `trouble`: accounts, calls, how often, and what goes wrong.
//! * `zones`, `reading`: which hosted zone, and what stands in it.
//! * `verify`: when a change is in force.
//!
//! Invariants:
//! * A name and its ownership records are in one request, DELETE of what was read and CREATE of what is wanted, so that
//!   Route 53 compares. Nothing is overwritten unseen.
//! * A request that was refused has changed nothing. Names that AWS complains about are taken out and the rest is sent
//!   again; where it names nobody, the request is halved until it is one name.
//! * All calls of an account are counted by one limiter, and changes of one hosted zone are made one after the other.
//!
//! What is refused here: health checks, hosted zones and traffic policies are used where they are, never made.

mod access;
mod alias;
mod batch;
mod client;
mod limiter;
mod reading;
mod settings;
mod translate;
mod trouble;
mod verdict;
mod verify;
mod wire;
mod zones;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use aws_sdk_route53::types::ResourceRecordSet;
use futures::future::BoxFuture;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, CurrentZone, Group, ManagerId, Ownership, RecordSet, WantedName},
};
use mcdns_publish::{
    ApplyReport, Batch, Capabilities, Outcome, PublishError, Publisher, ReadName, Unpublishable,
    ownership::{KNOWN_TYPES, TxtRegistry},
};

use self::{
    batch::{Known, Limits, Part, Spelled, changes, pack},
    client::Account,
    reading::Reading,
    settings::Settings,
    trouble::Trouble,
    verdict::{About, complaints},
    zones::HostedZone,
};

/// Groups of one call of `apply`: at most a twentieth of its requests is not full, and what changes meanwhile does not
/// wait for more than about ten seconds.
const MAX_GROUPS: usize = 10_000;
/// A list of zones that does not have what is looked for is asked for again when it is older.
const ZONES_ANEW: Duration = Duration::from_secs(30);
/// How often something else may stand at a name than was read, before it counts as refused.
const MAX_OUTDATED: u32 = 3;
/// The publisher.
struct Route53 {
    name: String,
    capabilities: Capabilities,
    settings: Settings,
    limits: Limits,
    registry: TxtRegistry,
    account: Arc<Account>,
    seen: Mutex<BTreeMap<OwnerName, Seen>>,
    /// That changes cannot be followed was told.
    told: AtomicBool,
}

/// What is kept of a zone beside what the loop keeps.
#[derive(Debug, Default)]
struct Seen {
    spelled: Spelled,
    others: BTreeMap<OwnerName, Vec<(RecordSet, Ownership)>>,
    /// How often in a row a name was not as it was read.
    outdated: BTreeMap<OwnerName, u32>,
}

/// Makes a publisher from the section `route53` of its settings; nothing is connected yet.
///
/// # Errors
///
/// `KEY: what is wrong; help: what would be right`.
pub fn publisher(
    name: &str,
    zones: &[OwnerName],
    manager: &ManagerId,
    section: &serde_json::Value,
) -> Result<Arc<dyn Publisher>, String> {
    // Which zones there are is asked of the account.
    let _ = zones;
    let settings = Settings::read(section)?;
    let registry = settings.registry(manager)?;
    let types = KNOWN_TYPES.into_iter().filter(|one| *one != RecordType::DNAME);
    let plain = Capabilities::plain(types);
    let capabilities = Capabilities { alias: true, identifiers: true, max_groups: MAX_GROUPS, ..plain };
    let limits = Limits { records: settings.batch_records, characters: settings.batch_characters };
    let account = Account::of(&settings);
    let name = name.to_owned();
    Ok(Arc::new(Route53 {
        name,
        capabilities,
        settings,
        limits,
        registry,
        account,
        seen: Mutex::default(),
        told: AtomicBool::default(),
    }))
}

impl Publisher for Route53 {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        translate::group(&self.settings, &self.registry, wanted, self.limits)
    }

    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>> {
        Box::pin(async move {
            let nowhere = OwnerName::root();
            let age = self.settings.zones_cache;
            let trouble = |trouble: Trouble| trouble.for_loop(&nowhere);
            let all = self.account.zones(&self.settings.zone_ids, age).await.map_err(trouble)?;
            let eligible = zones::eligible(&self.settings, &all);
            let tags = self.tags(&eligible, None, age).await.map_err(trouble)?;
            let tagged = eligible.iter().filter(|zone| zones::tagged(&self.settings, &tags, zone));
            let names: BTreeSet<OwnerName> = tagged.map(|zone| zone.name.clone()).collect();
            Ok(names.into_iter().collect())
        })
    }

    fn holds_together<'a>(
        &'a self,
        apex: &'a OwnerName,
        child: &'a OwnerName,
    ) -> BoxFuture<'a, Result<bool, PublishError>> {
        Box::pin(async move {
            let zone = self.zone(apex, Duration::MAX).await?;
            match self.zone(child, Duration::MAX).await {
                Ok(other) => Ok(other.id == zone.id),
                // It has zones of its own, and which is meant is for a person to say.
                Err(PublishError::NoZone { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>> {
        Box::pin(async move {
            let zone = self.zone(apex, self.settings.zones_cache).await?;
            let sets = match self.account.sets(&zone.id).await {
                Ok(sets) => sets,
                Err(trouble) => return Err(self.failed(trouble, apex).await),
            };
            let Reading { current, spelled, others } = reading::understand(&self.registry, apex, &sets);
            self.seen().insert(apex.clone(), Seen { spelled, others, outdated: BTreeMap::new() });
            Ok(current)
        })
    }

    fn read_name<'a>(
        &'a self,
        apex: &'a OwnerName,
        owner: &'a OwnerName,
    ) -> BoxFuture<'a, Result<ReadName, PublishError>> {
        Box::pin(async move {
            let zone = self.zone(apex, Duration::MAX).await?;
            let read = reading::name(&self.account, &zone.id, &self.registry, apex, owner).await;
            let mut reading = match read {
                Ok(reading) => reading,
                Err(trouble) => return Err(self.failed(trouble, apex).await),
            };
            if reading.current.unreadable.contains_key(owner) {
                // A single name has no words for that.
                return Ok(ReadName::Costly);
            }
            let mut seen = self.seen();
            let seen = seen.entry(apex.clone()).or_default();
            seen.spelled.retain(|(name, _), _| name != owner);
            seen.spelled.extend(reading.spelled);
            match reading.others.remove(owner) {
                Some(others) => seen.others.insert(owner.clone(), others),
                None => seen.others.remove(owner),
            };
            Ok(ReadName::Standing(reading.current.names.remove(owner).map(Box::new)))
        })
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>> {
        Box::pin(self.apply_all(batch))
    }

    fn verify<'a>(&'a self, apex: &'a OwnerName, receipt: &'a str) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(self.wait_in_sync(apex, receipt))
    }
}

impl Route53 {
    /// The hosted zone for an apex, from a list that is not older than `age`; one that lacks it is asked for again.
    async fn zone(&self, apex: &OwnerName, age: Duration) -> Result<HostedZone, PublishError> {
        let mut missing = None;
        for age in [age, ZONES_ANEW.min(age)] {
            let trouble = |trouble: Trouble| trouble.for_loop(apex);
            let all = self.account.zones(&self.settings.zone_ids, age).await.map_err(trouble)?;
            let eligible = zones::eligible(&self.settings, &all);
            let tags = self.tags(&eligible, Some(apex), age).await.map_err(trouble)?;
            match zones::choose(&self.settings, &eligible, &tags, apex) {
                Ok(zone) => return Ok(zone),
                Err(error) => missing = Some(error),
            }
        }
        let words = String::new();
        Err(missing.unwrap_or(PublishError::NoZone { apex: apex.clone(), words }))
    }

    /// Tags of the zones that they decide about; none where the settings ask for none.
    async fn tags(
        &self,
        zones: &[&HostedZone],
        apex: Option<&OwnerName>,
        age: Duration,
    ) -> Result<zones::Tags, Trouble> {
        if self.settings.zone_tags.is_empty() {
            return Ok(zones::Tags::new());
        }
        self.account.tags(&zones::to_tag(zones, apex), age).await
    }

    /// What the loop is told. A zone that is gone is looked for anew.
    async fn failed(&self, trouble: Trouble, apex: &OwnerName) -> PublishError {
        if let Trouble::NoZone(_) = trouble {
            self.account.forget_zones().await;
        }
        trouble.for_loop(apex)
    }

    async fn apply_all(&self, batch: &Batch) -> Result<ApplyReport, PublishError> {
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let zone = self.zone(&batch.apex, Duration::MAX).await?;
        let mut report = ApplyReport::default();
        let mut receipts = Vec::new();
        let mut parts = Vec::new();
        for change in &batch.changes {
            match self.part(&batch.apex, change) {
                Ok(part) => parts.push(part),
                Err(words) => {
                    report.outcomes.insert(change.owner().clone(), Outcome::Refused(words));
                }
            }
        }
        let mut open: VecDeque<Vec<Part>> = pack(parts, self.limits).into();
        while let Some(parts) = open.pop_front() {
            if !batch.leadership.holds() {
                open.push_front(parts);
                leave(&mut report, open, &PublishError::NotLeader);
                break;
            }
            match self.account.change(&zone.id, changes(&parts)).await {
                Ok(receipt) => {
                    receipts.push(receipt);
                    self.done(&batch.apex, parts, &mut report);
                }
                Err(Trouble::Refused(texts)) => {
                    for rest in self.judge(&batch.apex, parts, &texts, &mut report).into_iter().rev() {
                        open.push_front(rest);
                    }
                }
                Err(trouble) => {
                    let error = self.failed(trouble, &batch.apex).await;
                    if report.outcomes.is_empty() {
                        return Err(error);
                    }
                    if error.leaves_doubt() {
                        let unknown = |part: &Part| (part.owner.clone(), Outcome::Unknown(error.to_string()));
                        report.outcomes.extend(parts.iter().map(unknown));
                    } else {
                        open.push_front(parts);
                    }
                    leave(&mut report, open, &error);
                    break;
                }
            }
        }
        report.receipt = (!receipts.is_empty()).then(|| receipts.join(" "));
        Ok(report)
    }

    fn part(&self, apex: &OwnerName, change: &Change) -> Result<Part, String> {
        let seen = self.seen();
        let (spelled, others) = (Spelled::new(), Vec::new());
        let known = match seen.get(apex) {
            Some(seen) => {
                Known { spelled: &seen.spelled, others: seen.others.get(change.owner()).map_or(&others, |all| all) }
            }
            None => Known { spelled: &spelled, others: &others },
        };
        Part::new(&self.registry, apex, change, &known, self.limits)
    }

    fn done(&self, apex: &OwnerName, parts: Vec<Part>, report: &mut ApplyReport) {
        let mut seen = self.seen();
        let seen = seen.entry(apex.clone()).or_default();
        for part in parts {
            if !seen.spelled.is_empty() {
                seen.spelled.retain(|(name, _), _| !part.places.contains(name));
            }
            seen.outdated.remove(&part.owner);
            report.outcomes.insert(part.owner, Outcome::Done(part.after.map(Box::new)));
        }
    }

    /// What to send instead of what was refused; who is to blame goes into the report.
    fn judge(
        &self,
        apex: &OwnerName,
        mut parts: Vec<Part>,
        texts: &[String],
        report: &mut ApplyReport,
    ) -> Vec<Vec<Part>> {
        let all = texts.join("; ");
        let mut blamed: BTreeMap<usize, (bool, String)> = BTreeMap::new();
        for complaint in complaints(texts) {
            let Some(at) = culprit(&parts, &complaint.about) else { continue };
            let (outdated, words) = blamed.entry(at).or_insert((true, String::new()));
            *outdated &= complaint.outdated;
            words.push_str(if words.is_empty() { "" } else { "; " });
            words.push_str(&complaint.words);
        }
        if blamed.is_empty() && parts.len() == 1 {
            blamed.insert(0, (false, all));
        }
        if blamed.is_empty() {
            let rest = parts.split_off(parts.len() / 2);
            return vec![parts, rest];
        }
        let mut rest = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            match blamed.remove(&at) {
                Some((outdated, words)) => {
                    let outcome = self.outcome(apex, &part.owner, outdated, words);
                    report.outcomes.insert(part.owner, outcome);
                }
                None => rest.push(part),
            }
        }
        if rest.is_empty() { Vec::new() } else { vec![rest] }
    }

    /// What was not as it was read is read again, unless that does not help.
    fn outcome(&self, apex: &OwnerName, owner: &OwnerName, outdated: bool, words: String) -> Outcome {
        if !outdated {
            return Outcome::Refused(words);
        }
        let mut seen = self.seen();
        let times = seen.entry(apex.clone()).or_default().outdated.entry(owner.clone()).or_default();
        *times += 1;
        if *times > MAX_OUTDATED { Outcome::Refused(words) } else { Outcome::Unknown(words) }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<OwnerName, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was not tried.
fn leave(report: &mut ApplyReport, open: VecDeque<Vec<Part>>, error: &PublishError) {
    let left = |part: Part| (part.owner, Outcome::Left(error.clone()));
    report.outcomes.extend(open.into_iter().flatten().map(left));
}

/// The part that a complaint is about.
fn culprit(parts: &[Part], about: &About) -> Option<usize> {
    match about {
        About::Name(name) => parts.iter().position(|part| part.places.contains(name)),
        About::Value(value) => {
            let has = |part: &Part| {
                let sets = part.changes.iter().filter_map(|change| change.resource_record_set.as_ref());
                sets.flat_map(ResourceRecordSet::resource_records).any(|record| record.value == *value)
            };
            let mut with = parts.iter().enumerate().filter(|(_, part)| has(part)).map(|(at, _)| at);
            // Where several have the value, it is no evidence.
            with.next().filter(|_| with.next().is_none())
        }
        About::Nothing => None,
    }
}
