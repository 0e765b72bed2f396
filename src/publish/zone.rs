//! One zone of one publisher: what is known of it, and the steps that bring it to what is wanted.
//!
//! No task and no timer is in here; time and the occasion come from outside ([`driver`](crate::driver)).
//!
//! ```text
//!        read ─► current ─┐
//!   wanted ─► desired ────┼─► plan ─► quarantine ─► guard ─► apply ─► current, report
//! ```
//!
//! Invariants:
//! * `current` is what was read, with what was done since; what is in doubt is read again before it is planned for.
//! * Without a reading nothing is planned, and a reading that fails changes nothing.
//! * Nothing is applied but what was planned from the newest wanted state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{
        Change, CurrentZone, Desired, Guard, GuardOptions, ManagerId, Plan, PlanOptions, SkipReason, Skipped,
        WantedName, World, plan, plan_names,
    },
};

use crate::{Leadership, PublishError, Publisher, ReadName, apply_changes};

/// First wait of a refused name.
const FIRST_RETRY: Duration = Duration::from_mins(1);
/// Longest wait of a refused name.
const LAST_RETRY: Duration = Duration::from_hours(1);
/// More names than this are not read one by one: the zone is read instead.
const READ_SINGLY: usize = 16;

/// What a zone of a publisher should hold, asked each time anew.
pub trait WantedSource: Send + Sync + 'static {
    /// Every name, empty levels as the publisher's settings say; none if there is no such zone.
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>>;

    /// One name; the same as among all. Outer none: there is no such zone.
    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>>;

    /// What made names change that [`PublishedZone::note_cause`] was not told yet. Asked after names were: a comparison
    /// also finds what changed since it was asked for, and the guard is to count that under its cause.
    fn untold_causes(&self) -> BTreeMap<OwnerName, Arc<str>> {
        BTreeMap::new()
    }
}

/// What is wanted, in the form of a publisher.
struct Wishes {
    desired: BTreeMap<OwnerName, Desired>,
    /// False if the source does not know the zone at all.
    zone_known: bool,
    /// What made names change, where the zone was not told yet.
    causes: BTreeMap<OwnerName, Arc<str>>,
}

/// A name that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Why, in the system's own words.
    pub words: String,
    /// How often.
    pub attempts: u32,
    /// When it is tried again.
    pub until: Timestamp,
    /// What was refused: something else is tried at once.
    change: Change,
}

/// One zone of one publisher.
pub struct PublishedZone {
    publisher: Arc<dyn Publisher>,
    manager: ManagerId,
    apex: OwnerName,
    options: PlanOptions,
    leadership: Arc<dyn Leadership>,
    guard: Guard,
    current: Option<CurrentZone>,
    /// Names whose standing is in doubt.
    doubtful: BTreeSet<OwnerName>,
    quarantine: BTreeMap<OwnerName, Quarantined>,
    /// What made names change since they were last planned for.
    causes: BTreeMap<OwnerName, Arc<str>>,
    last: Plan,
}

/// What one step led to.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// What was applied of the plan.
    pub done: usize,
    /// Names that could not be brought to what is wanted and are tried again: after `error`, or read first.
    pub again: BTreeSet<OwnerName>,
    /// What ended it.
    pub error: Option<PublishError>,
    /// To be verified.
    pub receipts: Vec<String>,
    /// Calls of [`Publisher::apply`].
    pub calls: usize,
}

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole zone, from a new reading of it.
    Zone,
    /// These names, from what is known.
    Names(BTreeSet<OwnerName>),
}

impl Scope {
    fn has(&self, owner: &OwnerName) -> bool {
        match self {
            Self::Zone => true,
            Self::Names(names) => names.contains(owner),
        }
    }
}

impl PublishedZone {
    /// A zone of which nothing is known yet.
    pub fn new(
        publisher: Arc<dyn Publisher>,
        manager: ManagerId,
        apex: OwnerName,
        options: PlanOptions,
        guard: GuardOptions,
        leadership: Arc<dyn Leadership>,
    ) -> Self {
        let last = Plan::new(publisher.name(), apex.clone(), Vec::new(), Vec::new());
        Self {
            publisher,
            manager,
            apex,
            options,
            leadership,
            guard: Guard::new(guard),
            current: None,
            doubtful: BTreeSet::new(),
            quarantine: BTreeMap::new(),
            causes: BTreeMap::new(),
            last,
        }
    }

    /// Apex of the zone.
    pub fn apex(&self) -> &OwnerName {
        &self.apex
    }

    /// The publisher.
    pub fn publisher(&self) -> &Arc<dyn Publisher> {
        &self.publisher
    }

    /// Whether this program may write now.
    pub fn leadership(&self) -> &Arc<dyn Leadership> {
        &self.leadership
    }

    /// What the last comparison of the whole zone left: skipped and held names, and the plan.
    pub fn last_plan(&self) -> &Plan {
        &self.last
    }

    /// What was refused.
    pub fn quarantine(&self) -> &BTreeMap<OwnerName, Quarantined> {
        &self.quarantine
    }

    /// What stands there, as far as it was read.
    pub fn current(&self) -> Option<&CurrentZone> {
        self.current.as_ref()
    }

    /// When the first refused name is tried again.
    pub fn next_retry(&self) -> Option<Timestamp> {
        self.quarantine.values().map(|one| one.until).min()
    }

    /// Names whose wait is over.
    pub fn due(&self, now: Timestamp) -> BTreeSet<OwnerName> {
        self.quarantine.iter().filter(|(_, one)| one.until <= now).map(|(name, _)| name.clone()).collect()
    }

    /// Forgets what was read: somebody else may write now, or did.
    pub fn forget(&mut self) {
        self.current = None;
        self.doubtful.clear();
    }

    /// Somebody else may have changed this name: it is read again before it is planned for.
    pub fn doubt(&mut self, owner: OwnerName) {
        self.doubtful.insert(owner);
    }

    /// Lets what is held with this checksum pass, once.
    pub fn release(&mut self, checksum: &str) {
        self.guard.release(checksum);
    }

    /// Notes what made names change, so that the guard counts by cause.
    pub fn note_cause(&mut self, names: impl IntoIterator<Item = OwnerName>, cause: &Arc<str>) {
        self.causes.extend(names.into_iter().map(|name| (name, cause.clone())));
    }

    /// The plan for the whole zone from a new reading, guarded, with nothing applied or noted.
    ///
    /// # Errors
    ///
    /// The zone cannot be read.
    pub async fn preview(&self, source: &dyn WantedSource, now: Timestamp) -> Result<Plan, PublishError> {
        let current = self.publisher.read(&self.apex).await?.of(&self.apex);
        let wishes = self.wishes_of_zone(source).await?;
        let plan = plan(self.publisher.name(), &self.apex, &current, &wishes.desired, self.options);
        Ok(self.guarded(&mut self.guard.clone(), self.quarantined(plan, now), &current, &wishes, now))
    }

    /// Brings names to what is wanted now. With [`Scope::Zone`], or where nothing was read yet, the zone is read first.
    pub async fn converge(&mut self, source: &dyn WantedSource, scope: Scope, now: Timestamp) -> Step {
        if !self.leadership.holds() {
            self.forget();
            return Step { error: Some(PublishError::NotLeader), ..Step::default() };
        }
        if scope == Scope::Zone || self.doubtful.len() > READ_SINGLY {
            self.forget();
        }
        let scope = if self.current.is_none() { Scope::Zone } else { scope };
        if let Err(error) = self.read(&scope).await {
            return failed(error, scope);
        }
        let Some(current) = self.current.take() else { return Step::default() };
        let planned = self.planned(source, &scope, &current, now).await;
        self.current = Some(current);
        match planned {
            Ok((plan, scope)) => self.carry_out(plan, &scope, now).await,
            Err(error) => failed(error, scope),
        }
    }

    /// The guarded plan. Where something would be held that is not yet, the whole zone is looked at, so that one checksum
    /// stands for all that waits.
    async fn planned(
        &mut self,
        source: &dyn WantedSource,
        scope: &Scope,
        current: &CurrentZone,
        now: Timestamp,
    ) -> Result<(Plan, Scope), PublishError> {
        if let Scope::Names(names) = scope {
            // What waits is counted with what comes now, or a loss would pass in parts.
            let waiting: BTreeSet<OwnerName> =
                self.last.held.iter().flat_map(|held| &held.changes).map(|change| change.owner().clone()).collect();
            let names = names | &waiting;
            let wishes = self.wishes(source, &names).await?;
            let plan = plan_names(self.publisher.name(), &self.apex, current, &wishes.desired, &names, self.options);
            let mut guard = self.guard.clone();
            let plan = self.guarded(&mut guard, self.quarantined(plan, now), current, &wishes, now);
            if plan.held.iter().flat_map(|held| &held.changes).all(|change| waiting.contains(change.owner())) {
                self.guard = guard;
                return Ok((plan, Scope::Names(names)));
            }
        }
        let wishes = self.wishes_of_zone(source).await?;
        let plan = plan(self.publisher.name(), &self.apex, current, &wishes.desired, self.options);
        let mut guard = self.guard.clone();
        let plan = self.guarded(&mut guard, self.quarantined(plan, now), current, &wishes, now);
        self.guard = guard;
        Ok((plan, Scope::Zone))
    }

    /// Applies exactly what has this checksum: the plan; with `force` also one held part of it, or the plan with all that
    /// is held. What is held and not in it stays held.
    ///
    /// # Errors
    ///
    /// The zone cannot be read; or the plan is another by now (none: nothing was changed).
    pub async fn apply_reviewed(
        &mut self,
        source: &dyn WantedSource,
        checksum: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Option<Step>, PublishError> {
        let mut plan = self.preview(source, now).await?;
        // What a person let pass is not counted as lost, and is not held again while it is applied.
        let mut released: Vec<String> = Vec::new();
        if force {
            let all = plan.changes.iter().chain(plan.held.iter().flat_map(|held| &held.changes)).cloned().collect();
            let whole = Plan::new(&plan.publisher, plan.zone.clone(), all, plan.skipped.clone());
            if whole.checksum == checksum {
                released.extend(plan.held.iter().map(|held| held.checksum.clone()));
                plan = whole;
            } else if let Some(part) = plan.held.iter().find(|held| held.checksum == checksum) {
                released.push(part.checksum.clone());
                plan = Plan::new(&plan.publisher, plan.zone.clone(), part.changes.clone(), plan.skipped.clone());
            }
        }
        if plan.checksum != checksum {
            return Ok(None);
        }
        for checksum in released {
            self.guard.use_up(checksum);
        }
        self.current = Some(self.publisher.read(&self.apex).await?.of(&self.apex));
        let names = plan.changes.iter().map(|change| change.owner().clone()).collect();
        Ok(Some(self.carry_out(plan, &Scope::Names(names), now).await))
    }

    /// Reads what the scope needs to be known.
    async fn read(&mut self, scope: &Scope) -> Result<(), PublishError> {
        let Some(mut current) = self.current.take() else {
            let read = self.publisher.read(&self.apex).await?.of(&self.apex);
            self.current = Some(read);
            self.doubtful.clear();
            return Ok(());
        };
        let Scope::Names(names) = scope else { return Ok(()) };
        for owner in names.iter().filter(|owner| self.doubtful.contains(*owner)) {
            match self.publisher.read_name(&self.apex, owner).await? {
                ReadName::Standing(Some(standing)) => {
                    current.names.insert(owner.clone(), *standing);
                }
                ReadName::Standing(None) => {
                    current.names.remove(owner);
                }
                ReadName::Costly => {
                    current = self.publisher.read(&self.apex).await?.of(&self.apex);
                    self.doubtful.clear();
                    break;
                }
            }
        }
        self.doubtful.retain(|owner| !names.contains(owner));
        self.current = Some(current);
        Ok(())
    }

    async fn wishes_of_zone(&self, source: &dyn WantedSource) -> Result<Wishes, PublishError> {
        let wanted = source.wanted_names(&self.apex);
        let causes = source.untold_causes();
        let zone_known = wanted.is_some();
        Ok(Wishes { desired: self.translated(wanted.unwrap_or_default()).await?, zone_known, causes })
    }

    async fn wishes(&self, source: &dyn WantedSource, names: &BTreeSet<OwnerName>) -> Result<Wishes, PublishError> {
        let asked: Vec<_> = names.iter().map(|name| source.wanted_name(&self.apex, name)).collect();
        let causes = source.untold_causes();
        let zone_known = asked.iter().all(Option::is_some);
        let desired = self.translated(asked.into_iter().flatten().flatten().collect()).await?;
        Ok(Wishes { desired, zone_known, causes })
    }

    /// What is wanted in the publisher's form.
    async fn translated(&self, wanted: Vec<WantedName>) -> Result<BTreeMap<OwnerName, Desired>, PublishError> {
        let (mut desired, mut fitting) = (BTreeMap::new(), Vec::with_capacity(wanted.len()));
        for wanted in wanted {
            let owner = wanted.owner.clone();
            match self.publisher.capabilities().fit(wanted) {
                Ok(fitted) => fitting.extend(fitted),
                Err(why) => {
                    desired.insert(owner, Desired::Unpublishable(why.0));
                }
            }
        }
        self.publisher.prepare(&self.apex, &fitting).await?;
        desired.extend(fitting.into_iter().map(|wanted| {
            let translated = match self.publisher.translate(&wanted) {
                Ok(group) => Desired::Group { group, reason: wanted.reason },
                Err(why) => Desired::Unpublishable(why.0),
            };
            (wanted.owner, translated)
        }));
        Ok(desired)
    }

    /// Takes out what was refused and waits.
    fn quarantined(&self, plan: Plan, now: Timestamp) -> Plan {
        let waits = |change: &Change| {
            let one = self.quarantine.get(change.owner())?;
            (one.until > now && one.change.after() == change.after()).then(|| one.words.clone())
        };
        if !plan.changes.iter().any(|change| waits(change).is_some()) {
            return plan;
        }
        let Plan { publisher, zone, changes, mut skipped, .. } = plan;
        let mut kept = Vec::new();
        for change in changes {
            match waits(&change) {
                Some(words) => {
                    skipped.push(Skipped { owner: change.owner().clone(), why: SkipReason::Quarantined(words) });
                }
                None => kept.push(change),
            }
        }
        Plan::new(&publisher, zone, kept, skipped)
    }

    fn guarded(&self, guard: &mut Guard, plan: Plan, current: &CurrentZone, wishes: &Wishes, now: Timestamp) -> Plan {
        let cause = |owner: &OwnerName| match wishes.causes.get(owner).or_else(|| self.causes.get(owner)) {
            Some(cause) => cause.to_string(),
            None => "found when the zone was compared".to_owned(),
        };
        guard.check(plan, World { current, cause: &cause, zone_known: wishes.zone_known }, now)
    }

    async fn carry_out(&mut self, plan: Plan, scope: &Scope, now: Timestamp) -> Step {
        let changes: BTreeMap<OwnerName, Change> =
            plan.changes.iter().map(|change| (change.owner().clone(), change.clone())).collect();
        // What stands as it should by now, is held, or is not ours to change, is not tried again.
        let waits = |one: &Skipped| matches!(one.why, SkipReason::Quarantined(_));
        let waiting: BTreeSet<&OwnerName> =
            plan.skipped.iter().filter(|one| waits(one)).map(|one| &one.owner).collect();
        self.quarantine.retain(|owner, _| !scope.has(owner) || changes.contains_key(owner) || waiting.contains(owner));
        let (publisher, leadership) = (self.publisher.clone(), self.leadership.clone());
        let applied = apply_changes(&*publisher, &self.apex, &self.manager, &leadership, plan.changes.clone()).await;
        for (owner, standing) in &applied.done {
            self.quarantine.remove(owner);
            self.causes.remove(owner);
            let Some(current) = &mut self.current else { continue };
            match standing {
                Some(standing) => {
                    current.names.insert(owner.clone(), standing.clone());
                }
                None => {
                    current.names.remove(owner);
                }
            }
        }
        for (owner, words) in &applied.refused {
            let Some(change) = changes.get(owner) else { continue };
            let before = self.quarantine.get(owner).filter(|one| one.change.after() == change.after());
            let attempts = before.map_or(0, |one| one.attempts) + 1;
            let wait = FIRST_RETRY.saturating_mul(1 << (attempts - 1).min(16)).min(LAST_RETRY);
            let until = now.plus_seconds(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            let one = Quarantined { words: words.clone(), attempts, until, change: change.clone() };
            self.quarantine.insert(owner.clone(), one);
        }
        self.doubtful.extend(applied.unknown.iter().cloned());
        if applied.error.as_ref() == Some(&PublishError::NotLeader) {
            self.forget();
        }
        // What stands as it should is due to nothing any more.
        let held = plan.held.iter().flat_map(|held| &held.changes).map(Change::owner);
        let skipped = plan.skipped.iter().map(|one| &one.owner);
        let left = applied.left.iter().chain(&applied.unknown).chain(applied.refused.keys());
        let waiting: BTreeSet<&OwnerName> = held.chain(skipped).chain(left).collect();
        self.causes.retain(|owner, _| waiting.contains(owner) || !scope.has(owner));
        match scope {
            Scope::Zone => self.last = plan,
            Scope::Names(names) => self.last = merged(&self.last, plan, names),
        }
        Step {
            done: applied.done.len(),
            again: applied.unknown.into_iter().chain(applied.left).collect(),
            error: applied.error,
            receipts: applied.receipts,
            calls: applied.calls,
        }
    }
}

/// A step that came to nothing; the names it was about are looked at again.
fn failed(error: PublishError, scope: Scope) -> Step {
    let again = match scope {
        Scope::Names(names) => names,
        Scope::Zone => BTreeSet::new(),
    };
    Step { error: Some(error), again, ..Step::default() }
}

/// The standing report with what a look at some names found in place of what it said of them.
fn merged(last: &Plan, plan: Plan, names: &BTreeSet<OwnerName>) -> Plan {
    let skipped = last.skipped.iter().filter(|one| !names.contains(&one.owner)).cloned();
    let skipped = skipped.chain(plan.skipped).collect();
    let mut held: Vec<_> = last.held.clone();
    for one in &mut held {
        one.changes.retain(|change| !names.contains(change.owner()));
    }
    held.retain(|one| !one.changes.is_empty());
    held.extend(plan.held);
    let held = held.into_iter().map(|one| (one.why, one.changes)).collect();
    Plan::new(&last.publisher, last.zone.clone(), Vec::new(), skipped).with_held(plan.changes, held)
}
