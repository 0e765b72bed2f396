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

mod reading;
mod wishes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{
        Change, CurrentZone, Guard, GuardOptions, HeldWhy, ManagerId, Plan, PlanOptions, SkipReason, Skipped, World,
        plan, plan_names,
    },
};

use crate::{Applied, Leadership, PublishError, Publisher, apply_changes};

pub use self::wishes::WantedSource;
use self::wishes::Wishes;

/// First wait of a refused name.
const FIRST_RETRY: Duration = Duration::from_mins(1);
/// Longest wait of a refused name.
const LAST_RETRY: Duration = Duration::from_hours(1);
/// So often a change may come to nothing without a word against it, before it counts as refused: what others write at the
/// same time is over by then.
const MOST_TRIES: u32 = 5;
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
    /// Apexes below that are published to the same system.
    below: Vec<OwnerName>,
    options: PlanOptions,
    leadership: Arc<dyn Leadership>,
    guard: Guard,
    current: Option<CurrentZone>,
    /// Names whose standing is in doubt.
    doubtful: BTreeSet<OwnerName>,
    /// Names that were changed, or came in doubt, since the reading began that is on its way.
    since: BTreeSet<OwnerName>,
    quarantine: BTreeMap<OwnerName, Quarantined>,
    /// How often in a row a change was perhaps made, and was not.
    tries: BTreeMap<OwnerName, (u32, Change)>,
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

    /// The names, where they are few.
    fn names(self) -> BTreeSet<OwnerName> {
        match self {
            Self::Zone => BTreeSet::new(),
            Self::Names(names) => names,
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
            below: Vec::new(),
            options,
            leadership,
            guard: Guard::new(guard),
            current: None,
            doubtful: BTreeSet::new(),
            since: BTreeSet::new(),
            quarantine: BTreeMap::new(),
            tries: BTreeMap::new(),
            causes: BTreeMap::new(),
            last,
        }
    }

    /// The same beside these zones of the same system: what is below its apex and stands together with it is theirs.
    #[must_use]
    pub fn beside<'a>(self, zones: impl IntoIterator<Item = &'a OwnerName>) -> Self {
        let below = zones.into_iter().filter(|zone| zone.is_below(&self.apex)).cloned().collect();
        Self { below, ..self }
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

    /// Lets what is held with this checksum pass, once.
    pub fn release(&mut self, checksum: &str) {
        self.guard.release(checksum);
    }

    /// Takes back a release that was not used.
    pub fn withdraw(&mut self, checksum: &str) {
        self.guard.withdraw(checksum);
    }

    /// Notes what made names change, so that the guard counts by cause. What is held stays with the cause that it is held
    /// for, or a loss would fall apart into some that pass.
    pub fn note_causes(&mut self, causes: impl IntoIterator<Item = (OwnerName, Arc<str>)>) {
        let held: BTreeSet<&OwnerName> = self.last.held_names().collect();
        for (owner, cause) in causes {
            if held.contains(&owner) {
                self.causes.entry(owner).or_insert(cause);
            } else {
                self.causes.insert(owner, cause);
            }
        }
    }

    /// Notes why names are looked at that nothing made change: this is their cause only as long as there is no other.
    pub fn fill_causes(&mut self, causes: impl IntoIterator<Item = (OwnerName, Arc<str>)>) {
        for (owner, cause) in causes {
            self.causes.entry(owner).or_insert(cause);
        }
    }

    /// The plan for the whole zone from a new reading, guarded, with nothing applied or noted.
    ///
    /// # Errors
    ///
    /// The zone cannot be read.
    pub async fn preview(&self, source: &dyn WantedSource, now: Timestamp) -> Result<Plan, PublishError> {
        let current = self.read_zone().await?;
        let wishes = self.wishes_of_zone(source).await?;
        let plan = plan(self.publisher.name(), &self.apex, &current, &wishes.desired, self.options);
        Ok(self.guarded(&mut self.guard.clone(), self.quarantined(plan, now), &current, &wishes, now))
    }

    /// Brings names to what is wanted now. With [`Scope::Zone`], or where nothing was read yet, the zone is read first.
    pub async fn converge(&mut self, source: &dyn WantedSource, scope: Scope, now: Timestamp) -> Step {
        if !self.leadership.holds() {
            self.forget();
            return failed(PublishError::NotLeader, scope);
        }
        let whole = self.current.is_none();
        if let Err(error) = self.read(&scope).await {
            return failed(error, scope);
        }
        self.bring_about(source, if whole { Scope::Zone } else { scope }, now).await
    }

    /// Brings names to what is wanted now, from what is known.
    async fn bring_about(&mut self, source: &dyn WantedSource, scope: Scope, now: Timestamp) -> Step {
        let Some(current) = self.current.take() else { return Step { again: scope.names(), ..Step::default() } };
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
            let waiting: BTreeSet<OwnerName> = self.last.held_names().cloned().collect();
            let names = names | &waiting;
            let wishes = self.wishes(source, &names).await?;
            let plan = plan_names(self.publisher.name(), &self.apex, current, &wishes.desired, &names, self.options);
            let mut guard = self.guard.clone();
            let plan = self.guarded(&mut guard, self.quarantined(plan, now), current, &wishes, now);
            if plan.held_names().all(|owner| waiting.contains(owner)) {
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
        self.current = Some(self.read_zone().await?);
        let names = plan.changes.iter().map(|change| change.owner().clone()).collect();
        Ok(Some(self.carry_out(plan, &Scope::Names(names), now).await))
    }

    /// Takes out what was refused and waits.
    fn quarantined(&self, plan: Plan, now: Timestamp) -> Plan {
        let waits = |change: &Change| {
            let one = self.quarantine.get(change.owner())?;
            (one.until > now && is_same(&one.change, change)).then(|| one.words.clone())
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
        let held: BTreeSet<&OwnerName> = self.last.held_names().collect();
        let cause = |owner: &OwnerName| {
            let (told, noted) = (wishes.causes.get(owner), self.causes.get(owner));
            match if held.contains(owner) { noted.or(told) } else { told.or(noted) } {
                Some(cause) => cause.to_string(),
                None => "found when the zone was compared".to_owned(),
            }
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
        self.since.extend(changes.keys().cloned());
        let (publisher, leadership) = (self.publisher.clone(), self.leadership.clone());
        let mut applied =
            apply_changes(&*publisher, &self.apex, &self.manager, &leadership, plan.changes.clone()).await;
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
        for owner in applied.unknown.keys() {
            self.doubt(owner.clone());
        }
        self.tries.retain(|owner, _| !scope.has(owner) || applied.unknown.contains_key(owner));
        if applied.error.is_none() {
            self.give_up(&changes, &mut applied);
        }
        for (owner, words) in &applied.refused {
            let Some(change) = changes.get(owner) else { continue };
            let before = self.quarantine.get(owner).filter(|one| is_same(&one.change, change));
            let attempts = before.map_or(0, |one| one.attempts) + 1;
            let wait = FIRST_RETRY.saturating_mul(1 << (attempts - 1).min(16)).min(LAST_RETRY);
            let until = now.plus_seconds(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            let one = Quarantined { words: words.clone(), attempts, until, change: change.clone() };
            self.quarantine.insert(owner.clone(), one);
        }
        if applied.error.as_ref() == Some(&PublishError::NotLeader) {
            self.forget();
        }
        for held in &plan.held {
            let HeldWhy::Loss { cause, .. } = &held.why else { continue };
            let cause: Arc<str> = cause.as_str().into();
            self.causes.extend(held.changes.iter().map(|change| (change.owner().clone(), cause.clone())));
        }
        // What stands as it should is due to nothing any more.
        let held = plan.held_names();
        let skipped = plan.skipped.iter().map(|one| &one.owner);
        let left = applied.left.iter().chain(applied.unknown.keys()).chain(applied.refused.keys());
        let waiting: BTreeSet<&OwnerName> = held.chain(skipped).chain(left).collect();
        self.causes.retain(|owner, _| waiting.contains(owner) || !scope.has(owner));
        match scope {
            Scope::Zone => self.last = plan,
            Scope::Names(names) => self.last = merged(&self.last, plan, names),
        }
        Step {
            done: applied.done.len(),
            again: applied.unknown.into_keys().chain(applied.left).collect(),
            error: applied.error,
            receipts: applied.receipts,
            calls: applied.calls,
        }
    }

    /// What came to nothing too often without a word against it counts as refused.
    fn give_up(&mut self, changes: &BTreeMap<OwnerName, Change>, applied: &mut Applied) {
        for (owner, words) in std::mem::take(&mut applied.unknown) {
            let Some(change) = changes.get(&owner) else { continue };
            let known = self.quarantine.get(&owner).is_some_and(|one| is_same(&one.change, change));
            let before = self.tries.remove(&owner).filter(|(_, before)| is_same(before, change));
            let tries = before.map_or(0, |(tries, _)| tries) + 1;
            if known || tries >= MOST_TRIES {
                let words = format!("the system does not take it, although it says nothing against it: {words}");
                applied.refused.insert(owner, words);
            } else {
                self.tries.insert(owner.clone(), (tries, change.clone()));
                applied.unknown.insert(owner, words);
            }
        }
    }
}

/// True if both lead to the same.
fn is_same(before: &Change, change: &Change) -> bool {
    before.after() == change.after()
}

/// A step that came to nothing; the names it was about are looked at again.
fn failed(error: PublishError, scope: Scope) -> Step {
    Step { error: Some(error), again: scope.names(), ..Step::default() }
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
