//! All publishers of a program: started from settings, told of changes, asked for plans and reports.
//!
//! This is what a command holds. It starts one task for each zone of each publisher ([`start`]) and passes
//! on what happens; it decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mcdns_core::{
    dns::OwnerName,
    plan::{GuardOptions, ManagerId, Plan, PlanOptions, WantedName},
    records::{ChangedNames, EmptyLevels, Engine, Update},
};
use tokio::sync::{Semaphore, watch};

use crate::{
    Leadership, PublishError, PublishedCondition, PublishedZone, Publisher, Reviewed, Timing, WantedSource, ZoneHandle,
    ZoneReport, start,
};

/// One entry of `publish.to`, with its publisher made.
#[derive(Clone)]
pub struct Destination {
    /// The publisher, under its name.
    pub publisher: Arc<dyn Publisher>,
    /// Apexes of the zones that go there.
    pub zones: Vec<OwnerName>,
    /// Apexes of zones that other destinations publish to the same system, with the same settings: what is below one of
    /// `zones` is left to them where it stands together with it.
    pub beside: Vec<OwnerName>,
    /// Policy and adoption.
    pub options: PlanOptions,
    /// What becomes of empty levels there.
    pub empty_levels: EmptyLevels,
}

/// The way to an engine that others use too: calls the function with it.
pub type WithEngine = Arc<dyn Fn(&mut dyn FnMut(&Engine)) + Send + Sync>;

/// An engine as a source of what is wanted.
#[derive(Clone)]
pub struct EngineSource {
    engine: WithEngine,
    empty_levels: EmptyLevels,
}

/// All publishers of a program. Dropped, they stop.
#[derive(Debug, Default)]
pub struct Publishing {
    zones: Vec<(String, OwnerName, ZoneHandle)>,
}

/// Tells when some zone of a [`Publishing`] stands otherwise.
#[derive(Debug)]
pub struct ReportChanges(Vec<watch::Receiver<ZoneReport>>);

impl ReportChanges {
    /// Waits until a report is another than when this returned the last time. A wait that is given up loses nothing.
    pub async fn changed(&mut self) {
        let waits = self.0.iter_mut().map(|report| {
            Box::pin(async move {
                if report.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        } else {
            futures::future::select_all(waits).await;
        }
    }
}

impl EngineSource {
    /// The names of this engine.
    pub fn new(engine: WithEngine, empty_levels: EmptyLevels) -> Self {
        Self { engine, empty_levels }
    }

    fn ask<T>(&self, ask: impl FnOnce(&Engine) -> T) -> Option<T> {
        let (mut ask, mut answer) = (Some(ask), None);
        (self.engine)(&mut |engine| answer = ask.take().map(|ask| ask(engine)));
        answer
    }

    fn keeps(&self, engine: &Engine, wanted: &WantedName) -> bool {
        self.empty_levels == EmptyLevels::Climb || !engine.is_empty_level(wanted)
    }
}

impl WantedSource for EngineSource {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        self.ask(|engine| {
            engine.apexes().any(|known| known == apex).then(|| {
                let names = engine.wanted_names(apex).into_iter();
                names.filter(|wanted| self.keeps(engine, wanted)).collect()
            })
        })?
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.ask(|engine| {
            let known = engine.apexes().any(|known| known == apex);
            known.then(|| engine.wanted_name(apex, owner).filter(|wanted| self.keeps(engine, wanted)))
        })?
    }

    fn wanted_of(&self, apex: &OwnerName, owners: &BTreeSet<OwnerName>) -> Option<Vec<WantedName>> {
        self.ask(|engine| {
            engine.apexes().any(|known| known == apex).then(|| {
                let names = owners.iter().filter_map(|owner| engine.wanted_name(apex, owner));
                names.filter(|wanted| self.keeps(engine, wanted)).collect()
            })
        })?
    }
}

impl Publishing {
    /// Starts the tasks. Call it on a runtime, and only when all sources were read once: what is not known yet must
    /// not look as if it were gone.
    pub fn start(
        destinations: Vec<Destination>,
        manager: &ManagerId,
        engine: &WithEngine,
        leadership: &Arc<dyn Leadership>,
        guard: GuardOptions,
        timing: Timing,
    ) -> Self {
        let mut started = Vec::new();
        for Destination { publisher, zones, beside, options, empty_levels } in destinations {
            let comparing = Arc::new(Semaphore::new(1));
            let source: Arc<dyn WantedSource> = Arc::new(EngineSource::new(engine.clone(), empty_levels));
            for apex in &zones {
                let (manager, leadership) = (manager.clone(), leadership.clone());
                let zone = PublishedZone::new(publisher.clone(), manager, apex.clone(), options, guard, leadership)
                    .beside(zones.iter().chain(&beside));
                let handle = start(zone, source.clone(), comparing.clone(), timing);
                started.push((publisher.name().to_owned(), apex.clone(), handle));
            }
        }
        Self { zones: started }
    }

    /// Passes on what observations led to. `engine` has taken them in already; call it under the same lock.
    pub fn observed(&self, engine: &Engine, update: &Update) {
        if self.zones.is_empty() {
            return;
        }
        let changed = engine.changed_names(update);
        if !changed.is_empty() {
            self.changed(&changed, &cause(update));
        }
    }

    /// These names may be wanted otherwise, for one cause.
    pub fn changed(&self, changed: &BTreeMap<OwnerName, ChangedNames>, cause: &Arc<str>) {
        for (_, apex, handle) in &self.zones {
            if let Some(names) = changed.get(apex) {
                handle.changed(names, cause);
            }
        }
    }

    /// The plan of every zone, or of the publisher of this name, from new readings; what cannot be read is told beside.
    pub async fn plans(&self, only: Option<&str>) -> (Vec<Plan>, Vec<(String, OwnerName, PublishError)>) {
        let (mut plans, mut failed) = (Vec::new(), Vec::new());
        for (publisher, apex, handle) in self.of(only) {
            match handle.preview().await {
                Ok(plan) => plans.push(plan),
                Err(error) => failed.push((publisher.clone(), apex.clone(), error)),
            }
        }
        (plans, failed)
    }

    /// Applies the plan with this checksum, of whatever zone it is.
    pub async fn apply(&self, only: Option<&str>, checksum: &str, force: bool) -> Reviewed {
        let mut last = Reviewed::Outdated;
        for (_, _, handle) in self.of(only) {
            match handle.apply_reviewed(checksum, force).await {
                Reviewed::Outdated => {}
                applied @ Reviewed::Applied(_) => return applied,
                failed @ Reviewed::Failed(_) => last = failed,
            }
        }
        last
    }

    /// The annotations [`RELEASE_ANNOTATION`](mcdns_core::records::RELEASE_ANNOTATION) of Domains as they are now, by apex: what
    /// is held with such a checksum passes, once. See [`ZoneHandle::offer`].
    pub fn offer(&self, checksums: &BTreeMap<OwnerName, &str>) {
        for (_, apex, handle) in &self.zones {
            handle.offer(checksums.get(apex).copied());
        }
    }

    /// How all zones stand, in the order of the settings.
    pub fn reports(&self) -> Vec<ZoneReport> {
        self.zones.iter().map(|(_, _, handle)| handle.report().borrow().clone()).collect()
    }

    /// Tells from now on when some zone stands otherwise; for the loop that writes conditions.
    pub fn changes(&self) -> ReportChanges {
        ReportChanges(self.zones.iter().map(|(_, _, handle)| handle.report()).collect())
    }

    /// The conditions of a record with these names, as `Published.<publisher>`: of each publisher that one of the zones
    /// of the names goes to, the worst.
    pub fn conditions(&self, names: &BTreeMap<OwnerName, Vec<OwnerName>>) -> BTreeMap<String, PublishedCondition> {
        let mut conditions: BTreeMap<String, PublishedCondition> = BTreeMap::new();
        for (publisher, apex, handle) in &self.zones {
            let Some(names) = names.get(apex) else { continue };
            let condition = handle.report().borrow().condition(names);
            let rank =
                |one: &PublishedCondition| ["False", "Unknown", "True"].iter().position(|word| *word == one.status);
            let key = format!("Published.{publisher}");
            if conditions.get(&key).is_none_or(|known| rank(&condition) < rank(known)) {
                conditions.insert(key, condition);
            }
        }
        conditions
    }

    /// The conditions of the Domain of a zone, as `Published.<publisher>`.
    pub fn zone_conditions(&self, apex: &OwnerName) -> BTreeMap<String, PublishedCondition> {
        let zones = self.zones.iter().filter(|(_, zone, _)| zone == apex);
        let condition = |handle: &ZoneHandle| handle.report().borrow().zone_condition();
        zones.map(|(publisher, _, handle)| (format!("Published.{publisher}"), condition(handle))).collect()
    }

    fn of<'a>(&'a self, only: Option<&'a str>) -> impl Iterator<Item = &'a (String, OwnerName, ZoneHandle)> {
        self.zones.iter().filter(move |(publisher, _, _)| only.is_none_or(|only| only == publisher))
    }
}

/// What made names change, in words that stay the same while it goes on: the place of the first observation.
fn cause(update: &Update) -> Arc<str> {
    use mcdns_core::model::Scope;
    match update.accepted.first().map(|observation| &observation.key.scope) {
        Some(Scope::Member(cluster)) => format!("member {cluster}").into(),
        Some(Scope::Host) => match update.accepted.first() {
            // One cluster that goes unready is a cause of its own; a person at the host is another.
            Some(first) if first.key.kind == mcdns_core::model::Kind::Cluster => {
                format!("cluster {}", first.key.name).into()
            }
            _ => "objects of the host".into(),
        },
        Some(Scope::World) => "addresses of host names".into(),
        None => "time passed, or settings changed".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mcdns_core::records::Options;

    use super::*;

    #[test]
    fn many_names_are_asked_for_under_one_lock() {
        let (locked, engine) = (Arc::new(Mutex::new(0)), Engine::new(Options::default()));
        let count = locked.clone();
        let with: WithEngine = Arc::new(move |ask| {
            *count.lock().expect("whole") += 1;
            ask(&engine);
        });
        let source = EngineSource::new(with, EmptyLevels::Climb);
        let name = |text: &str| OwnerName::parse(text).expect("a name");
        let names = ["a.example.com", "b.example.com", "c.example.com"].map(name).into();
        assert_eq!(source.wanted_of(&name("example.com"), &names), None, "there is no such zone");
        assert_eq!(*locked.lock().expect("whole"), 1);
    }
}
