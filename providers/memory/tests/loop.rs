//! The task behind a zone, over the publisher in memory. Time stands still and jumps to the next timer.

#![allow(clippy::panic, reason = "a test says what it waited for")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use mcdns_core::{
    dns::{OwnerName, Rrset},
    plan::{CurrentZone, Group, GuardOptions, PlanOptions, RecordSet, WantedName},
    records::ChangedNames,
};
use mcdns_memory::{Fault, Memory, Store};
use mcdns_publish::{
    ApplyReport, Batch, Capabilities, Drift, PublishError, PublishedZone, Publisher, ReadName, Reviewed, Timing,
    Unpublishable, WantedSource, ZoneHandle, ZoneReport,
    battery::{Wishes, wish},
    start,
};
use tokio::sync::{Semaphore, broadcast, watch};

fn apex() -> OwnerName {
    name("example.com")
}

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

/// What is wanted, changed by the test.
#[derive(Default)]
struct World {
    wishes: Mutex<Option<Wishes>>,
    /// What happens just before all names are asked for the next time.
    late: Mutex<Option<Event>>,
}

type Event = Box<dyn FnOnce(&World) + Send>;

impl World {
    fn wish(&self, lines: &[&str]) {
        *self.wishes.lock().expect("whole") = Some(Wishes::of(&apex(), lines).expect("wishes"));
    }
}

impl WantedSource for World {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        let late = self.late.lock().expect("whole").take();
        if let Some(late) = late {
            late(self);
        }
        self.wishes.lock().expect("whole").as_ref()?.wanted_names(apex)
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.wishes.lock().expect("whole").as_ref()?.wanted_name(apex, owner)
    }
}

/// The publisher in memory, with a zone that takes its time to be read, and word of what others change.
struct System {
    memory: Memory,
    reading_takes: Mutex<Duration>,
    drift: broadcast::Sender<OwnerName>,
}

impl Publisher for System {
    fn name(&self) -> &str {
        self.memory.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.memory.capabilities()
    }

    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        self.memory.translate(wanted)
    }

    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>> {
        self.memory.zones()
    }

    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>> {
        let takes = *self.reading_takes.lock().expect("whole");
        Box::pin(async move {
            // What is listed first is old when the last is listed.
            let read = self.memory.read(apex).await;
            tokio::time::sleep(takes).await;
            read
        })
    }

    fn read_name<'a>(
        &'a self,
        apex: &'a OwnerName,
        owner: &'a OwnerName,
    ) -> BoxFuture<'a, Result<ReadName, PublishError>> {
        self.memory.read_name(apex, owner)
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>> {
        self.memory.apply(batch)
    }

    fn changes<'a>(&'a self, _: &'a OwnerName) -> Option<BoxStream<'a, Result<Drift, PublishError>>> {
        let told = stream::unfold(self.drift.subscribe(), |mut told| async move {
            let owner = told.recv().await.ok()?;
            Some((Ok(Drift::Name(owner)), told))
        });
        Some(told.boxed())
    }
}

struct Setup {
    store: Store,
    system: Arc<System>,
    world: Arc<World>,
    leading: watch::Sender<bool>,
    handle: ZoneHandle,
}

impl Setup {
    fn new(lines: &[&str]) -> Self {
        Self::on(Store::new([apex()]), lines)
    }

    fn on(store: Store, lines: &[&str]) -> Self {
        let (leading, leads) = watch::channel(true);
        let manager: mcdns_core::plan::ManagerId = "prod".parse().expect("a manager");
        let system = Arc::new(System {
            memory: Memory::new("memory", manager.clone(), store.clone()),
            reading_takes: Mutex::default(),
            drift: broadcast::Sender::new(64),
        });
        let (options, guard) = (PlanOptions::default(), GuardOptions::default());
        let zone = PublishedZone::new(system.clone(), manager, apex(), options, guard, Arc::new(leads));
        let world = Arc::new(World::default());
        world.wish(lines);
        let handle = start(zone, world.clone(), Arc::new(Semaphore::new(1)), Timing::default());
        Self { store, system, world, leading, handle }
    }

    fn want(&self, lines: &[&str], changed: &[&str]) {
        self.world.wish(lines);
        self.handle.changed(&names(changed), &"the test".into());
    }

    /// Waits until the report says so.
    async fn until(&self, what: &str, fits: impl FnMut(&ZoneReport) -> bool) -> ZoneReport {
        let mut report = self.handle.report();
        let found = tokio::time::timeout(Duration::from_hours(24), report.wait_for(fits)).await;
        match found {
            Ok(Ok(report)) => report.clone(),
            _ => panic!("never {what}: {:#?}", self.handle.report().borrow()),
        }
    }

    /// Somebody else may have changed these; returns when they were looked at.
    async fn drift(&self, labels: &[&str]) {
        let before = self.store.calls();
        for label in labels {
            self.system.drift.send(name(&format!("{label}.example.com"))).expect("the task listens");
        }
        while self.store.calls() < before + labels.len() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn addresses(&self) -> BTreeMap<String, Vec<String>> {
        let sets = self.store.sets(&apex());
        let plain = |sets: Vec<RecordSet>| sets.iter().flat_map(RecordSet::values).collect();
        let ours = sets.into_iter().filter(|(owner, _)| !owner.to_string().starts_with("_owner"));
        ours.map(|(owner, sets)| (owner.to_string(), plain(sets))).collect()
    }
}

fn names(labels: &[&str]) -> ChangedNames {
    ChangedNames::Names(labels.iter().map(|label| name(&format!("{label}.example.com"))).collect())
}

fn ten(from: usize) -> Vec<String> {
    (from..10).map(|index| format!("n{index} 60 A 10.0.0.{index}")).collect()
}

fn lines(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_changed_name_is_published_at_once_and_with_one_call() {
    let setup = Setup::new(&["www 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    setup.until("in sync", |report| report.in_sync).await;
    let (calls, before) = (setup.store.calls(), tokio::time::Instant::now());
    setup.want(&["www 60 A 192.0.2.9", "b 60 A 192.0.2.2"], &["www"]);
    setup.until("changed", |report| report.changes == 3).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.9"]);
    assert_eq!(setup.store.calls() - calls, 1, "no reading before it");
    assert_eq!(tokio::time::Instant::now(), before, "nothing was waited for");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_nothing_changed_makes_no_writes() {
    let first = Setup::new(&["www 60 A 192.0.2.1"]);
    first.until("in sync", |report| report.in_sync).await;
    let writes = first.store.writes();
    let second = Setup::on(first.store.clone(), &["www 60 A 192.0.2.1"]);
    let report = second.until("in sync", |report| report.in_sync).await;
    assert_eq!((second.store.writes(), report.calls), (writes, 0));
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_by_the_comparison_within_eleven_minutes() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    setup.store.take(&apex(), &name("www.example.com"));
    let before = tokio::time::Instant::now();
    setup.until("repaired", |report| report.changes == 2).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.1"]);
    assert!(before.elapsed() <= Duration::from_mins(11), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lie_of_the_system_is_found_by_the_comparison() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    setup.store.fail(0, Fault::Lie);
    setup.want(&["www 60 A 192.0.2.2"], &["www"]);
    setup.until("told", |report| report.changes == 2).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.1"]);
    setup.until("repaired", |report| report.changes == 3).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.2"]);
}

#[tokio::test(start_paused = true)]
async fn errors_end_nothing_and_what_was_wanted_comes_when_they_pass() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    let denied = PublishError::Denied { words: "ExpiredToken".to_owned() };
    let garbage = PublishError::Garbage { words: "<html>".to_owned() };
    for (call, fault) in
        [Fault::throttled(), Fault::Fails(denied), Fault::Fails(garbage), Fault::Crash].into_iter().enumerate()
    {
        setup.store.fail(call, fault);
    }
    setup.want(&["www 60 A 192.0.2.2"], &["www"]);
    let report = setup.until("failing", |report| report.last_error.is_some()).await;
    assert_eq!(report.last_error_kind, Some("throttled"));
    let condition = report.zone_condition();
    assert_eq!((condition.status, condition.reason), ("False", "PublisherFailing"));
    assert_eq!(report.condition([&name("www.example.com")]).status, "True", "records tell of their own names alone");
    let report = setup.until("in sync again", |report| report.in_sync).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.2"]);
    assert_eq!(report.zone_condition().status, "True");
}

#[tokio::test(start_paused = true)]
async fn a_refused_name_is_quarantined_and_tried_again_after_a_minute_then_two() {
    let setup = Setup::new(&[]);
    setup.until("in sync", |report| report.in_sync).await;
    let culprit = name("bad.example.com");
    setup.store.poison(&culprit, Some("InvalidInput"));
    setup.want(&["bad 60 A 192.0.2.1", "good 60 A 192.0.2.2"], &["bad", "good"]);
    let report = setup.until("quarantined", |report| report.quarantined.len() == 1).await;
    assert_eq!(setup.addresses().keys().collect::<Vec<_>>(), ["good.example.com"]);
    let condition = report.condition([&culprit]);
    assert_eq!((condition.status, condition.reason), ("False", "Refused"));
    assert!(condition.message.contains("InvalidInput"), "the system's own words: {}", condition.message);
    let before = tokio::time::Instant::now();
    setup.until("tried again", |report| report.quarantined.iter().any(|one| one.attempts == 2)).await;
    assert_eq!(before.elapsed().as_secs(), 60);
    setup.store.poison(&culprit, None);
    setup.until("in sync", |report| report.in_sync).await;
    assert_eq!(before.elapsed().as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_that_is_not_wanted_any_more_leaves_nothing_to_be_tried_again() {
    let foreign: Rrset = wish(&apex(), "new 60 A 203.0.113.1").expect("a wish").rrsets.remove(0);
    let put = |setup: &Setup| setup.store.put(&apex(), name("new.example.com"), RecordSet::of_rrset(&foreign));
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    for label in ["www", "new"] {
        setup.store.poison(&name(&format!("{label}.example.com")), Some("InvalidInput"));
    }
    setup.want(&["www 60 A 192.0.2.2", "new 60 A 192.0.2.3"], &["www", "new"]);
    setup.until("quarantined", |report| report.quarantined.len() == 2).await;
    // What stood there is wanted again, and somebody else takes the other name.
    setup.want(&["www 60 A 192.0.2.1", "new 60 A 192.0.2.3"], &["www"]);
    put(&setup);
    setup.until("let go", |report| report.quarantined.len() == 1).await;
    let (mut report, mut told) = (setup.handle.report(), 0);
    let hour = tokio::time::sleep(Duration::from_hours(1));
    tokio::pin!(hour);
    loop {
        tokio::select! {
            () = &mut hour => break,
            changed = report.changed() => {
                changed.expect("the task runs");
                told += 1;
                assert!(told < 1000, "{:#?}", report.borrow());
            }
        }
    }
    assert!(report.borrow().quarantined.is_empty(), "{:#?}", report.borrow());
}

#[tokio::test(start_paused = true)]
async fn without_the_lock_nothing_is_written_and_with_it_the_zone_is_read_first() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    setup.leading.send_replace(false);
    setup.until("not leading", |report| !report.leading).await;
    let calls = setup.store.calls();
    setup.want(&["www 60 A 192.0.2.2"], &["www"]);
    // Somebody else writes meanwhile.
    setup.store.take(&apex(), &name("www.example.com"));
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(setup.store.calls(), calls);
    setup.leading.send_replace(true);
    setup.until("in sync", |report| report.leading && report.in_sync).await;
    assert_eq!(setup.addresses()["www.example.com"], ["192.0.2.2"]);
}

#[tokio::test(start_paused = true)]
async fn a_big_loss_is_held_until_its_checksum_is_given() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    let rest = ten(5);
    let wanted = [&lines(&rest)[..], &["new 60 A 192.0.2.1"]].concat();
    setup.want(&wanted, &["n0", "n1", "n2", "n3", "n4", "new"]);
    let report = setup.until("held", |report| !report.held.is_empty()).await;
    assert_eq!(report.held[0].changes.len(), 5);
    assert_eq!(report.condition([&name("n0.example.com")]).reason, "Held");
    assert!(setup.addresses().contains_key("new.example.com"), "the rest goes on");
    assert!(setup.addresses().contains_key("n0.example.com"));
    setup.handle.release("0123456789abcdef");
    setup.handle.release(&report.held[0].checksum);
    setup.until("in sync", |report| report.in_sync).await;
    assert_eq!(setup.addresses().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_goes_on_while_the_zone_is_compared_is_counted_as_one() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    // Four of ten are too many, so the whole zone is looked at; until then two more go, which alone would pass.
    let (handle, rest) = (setup.handle.clone(), ten(6));
    *setup.world.late.lock().expect("whole") = Some(Box::new(move |world| {
        world.wish(&lines(&rest));
        handle.changed(&names(&["n4", "n5"]), &"the test".into());
    }));
    let rest = ten(4);
    setup.want(&lines(&rest), &["n0", "n1", "n2", "n3"]);
    let report = setup.until("held", |report| !report.held.is_empty() && report.pending == 0).await;
    assert_eq!(report.held.iter().map(|held| held.changes.len()).collect::<Vec<_>>(), [6]);
    assert_eq!(setup.addresses().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_while_something_is_held_is_held_with_it() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    let rest = ten(4);
    setup.want(&lines(&rest), &["n0", "n1", "n2", "n3"]);
    let first = setup.until("held", |report| !report.held.is_empty()).await.held[0].checksum.clone();
    let rest = ten(6);
    setup.want(&[&lines(&rest)[..], &["new 60 A 192.0.2.1"]].concat(), &["n4", "n5", "new"]);
    let report = setup.until("held too", |report| report.held[0].changes.len() == 6).await;
    assert_ne!(report.held[0].checksum, first);
    assert_eq!(setup.addresses().len(), 11, "the rest goes on");
    // One of them comes back, so another is to be released.
    let rest = ten(5);
    setup.want(&[&lines(&rest)[..], &["new 60 A 192.0.2.1"]].concat(), &["n5"]);
    let report = setup.until("held with less", |report| report.held[0].changes.len() == 5).await;
    setup.handle.release(&report.held[0].checksum);
    setup.until("in sync", |report| report.in_sync).await;
    assert_eq!(setup.addresses().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_knows_no_zone_any_more_deletes_nothing() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    *setup.world.wishes.lock().expect("whole") = None;
    setup.handle.changed(&ChangedNames::All, &"the test".into());
    setup.until("held", |report| !report.held.is_empty()).await;
    assert_eq!(setup.addresses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn exactly_what_was_reviewed_is_applied() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    let rest = ten(5);
    setup.world.wish(&lines(&rest));
    let plan = setup.handle.preview().await.expect("a plan");
    assert_eq!((plan.changes.len(), plan.held.len()), (0, 1));
    let checksum = plan.held[0].checksum.clone();
    assert!(matches!(setup.handle.apply_reviewed(&checksum, false).await, Reviewed::Outdated), "held without force");
    assert!(matches!(setup.handle.apply_reviewed("ffff", true).await, Reviewed::Outdated));
    assert_eq!(setup.addresses().len(), 10);
    assert!(matches!(setup.handle.apply_reviewed(&checksum, true).await, Reviewed::Applied(step) if step.done == 5));
    assert_eq!(setup.addresses().len(), 5);
    // It has passed once: what comes back and is lost again is held, and the same checksum releases it no second time.
    setup.want(&lines(&all), &["n0", "n1", "n2", "n3", "n4"]);
    setup.until("back", |report| report.changes == 20).await;
    setup.want(&lines(&rest), &["n0", "n1", "n2", "n3", "n4"]);
    let report = setup.until("held", |report| !report.held.is_empty()).await;
    assert_eq!(report.held[0].checksum, checksum);
    setup.handle.release(&checksum);
    let compared = report.comparisons;
    setup.until("compared", |report| report.comparisons > compared).await;
    assert_eq!(setup.addresses().len(), 10);
    setup.leading.send_replace(false);
    setup.until("not leading", |report| !report.leading).await;
    let failed = setup.handle.apply_reviewed(&checksum, true).await;
    assert!(matches!(failed, Reviewed::Failed(PublishError::NotLeader)));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_holds_is_told_on_the_name_alone() {
    let store = Store::new([apex()]);
    let foreign: Rrset = wish(&apex(), "www 60 A 203.0.113.1").expect("a wish").rrsets.remove(0);
    store.put(&apex(), name("www.example.com"), RecordSet::of_rrset(&foreign));
    let setup = Setup::on(store, &["www 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    let report = setup.until("compared", |report| report.comparisons == 1 && report.changes == 1).await;
    assert_eq!(report.condition([&name("www.example.com")]).reason, "NotOurs");
    assert_eq!(report.condition([&name("b.example.com")]).status, "True");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_one_cause_stays_held_when_its_names_are_looked_at_for_another() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    let rest = ten(4);
    setup.want(&lines(&rest), &["n0", "n1", "n2", "n3"]);
    setup.until("held", |report| !report.held.is_empty()).await;
    // Three of ten would pass.
    setup.drift(&["n0"]).await;
    assert_eq!(setup.addresses().len(), 10);
    let calls = setup.store.calls();
    setup.handle.changed(&names(&["n1"]), &"another".into());
    setup.want(&[&lines(&rest)[..], &["new 60 A 192.0.2.1"]].concat(), &["new"]);
    let report = setup.until("published", |report| report.changes == 11).await;
    assert_eq!(setup.store.calls(), calls + 1);
    assert_eq!(report.held.iter().map(|held| held.changes.len()).collect::<Vec<_>>(), [4]);
    assert_eq!(setup.addresses().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_follower_keeps_nothing_of_what_changes() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    setup.leading.send_replace(false);
    setup.until("not leading", |report| !report.leading).await;
    let cause: Arc<str> = "the test".into();
    setup.handle.changed(&names(&["www", "a", "b"]), &cause);
    assert_eq!(Arc::strong_count(&cause), 4);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&cause), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_reviewed_plan_is_done_without_a_comparison() {
    let setup = Setup::new(&[]);
    setup.until("in sync", |report| report.in_sync).await;
    setup.world.wish(&["a 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    let plan = setup.handle.preview().await.expect("a plan");
    // The plan is made and the zone read before anything is applied.
    setup.store.fail(2, Fault::Half);
    let Reviewed::Applied(step) = setup.handle.apply_reviewed(&plan.checksum, false).await else { panic!("refused") };
    assert_eq!((step.done, step.again.len()), (1, 1));
    let report = setup.until("done", |report| report.changes == 2).await;
    assert_eq!(report.comparisons, 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_changes_while_the_zone_is_read_does_not_wait_for_it() {
    let setup = Setup::new(&["www 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    setup.until("in sync", |report| report.in_sync).await;
    *setup.system.reading_takes.lock().expect("whole") = Duration::from_secs(17);
    let began = tokio::time::Instant::now();
    setup.handle.compare();
    tokio::time::sleep(Duration::from_secs(1)).await;
    setup.want(&["www 60 A 192.0.2.9", "new 60 A 192.0.2.3"], &["www", "b", "new"]);
    let report = setup.until("changed", |report| report.changes == 5).await;
    assert_eq!((began.elapsed().as_secs(), report.comparisons), (1, 1));
    // What was listed before is not taken for what stands there.
    let report = setup.until("compared", |report| report.in_sync && report.comparisons == 2).await;
    assert_eq!((began.elapsed().as_secs(), report.changes, report.calls), (17, 5, 2));
    let told = setup.addresses();
    assert_eq!(told.into_values().flatten().collect::<Vec<_>>(), ["192.0.2.3", "192.0.2.9"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_change_while_the_zone_is_read_is_repaired_before_and_after() {
    let all = ten(0);
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    *setup.system.reading_takes.lock().expect("whole") = Duration::from_secs(17);
    setup.handle.compare();
    tokio::time::sleep(Duration::from_secs(1)).await;
    setup.store.take(&apex(), &name("n3.example.com"));
    setup.drift(&["n3"]).await;
    let report = setup.until("repaired", |report| report.changes == 11).await;
    assert_eq!(report.comparisons, 1);
    let report = setup.until("compared", |report| report.comparisons == 2).await;
    assert_eq!((report.changes, setup.addresses().len()), (11, 10));
    // Too many to be read one by one are left to a reading of the zone, and others do not wait for it.
    let calls = setup.store.calls();
    setup.store.fail(0, Fault::unavailable());
    setup.want(&[&["n5 60 A 192.0.2.5"], &lines(&all)[..5], &lines(&all)[6..]].concat(), &["n5"]);
    setup.until("failing", |report| report.last_error.is_some()).await;
    for index in 0..40 {
        setup.system.drift.send(name(&format!("x{index}.example.com"))).expect("the task listens");
    }
    setup
        .want(&[&["n5 60 A 192.0.2.5", "new 60 A 192.0.2.1"], &lines(&all)[..5], &lines(&all)[6..]].concat(), &["new"]);
    let report = setup.until("published", |report| report.changes == 12).await;
    assert_eq!((report.comparisons, setup.addresses().contains_key("new.example.com")), (2, true));
    let report = setup.until("compared", |report| report.in_sync && report.comparisons == 3).await;
    assert_eq!((report.changes, setup.store.calls() - calls), (13, 4));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_to_nothing_without_a_word_is_tried_ever_less_often_and_told() {
    let setup = Setup::new(&["www 60 A 192.0.2.1"]);
    setup.until("in sync", |report| report.in_sync).await;
    let ignored = name("new.example.com");
    setup.store.ignore(&ignored, true);
    let began = tokio::time::Instant::now();
    let calls = setup.store.calls();
    setup.want(&["www 60 A 192.0.2.1", "new 60 A 192.0.2.2"], &["new"]);
    let report = setup.until("told", |report| report.quarantined.len() == 1).await;
    assert_eq!(began.elapsed().as_secs(), 1 + 2 + 4 + 8);
    // Five tries, and a reading before each but the first.
    assert_eq!(setup.store.calls() - calls, 9);
    let condition = report.condition([&ignored]);
    assert_eq!((condition.status, condition.reason), ("False", "Refused"));
    assert!(condition.message.contains("says nothing against it: the comparison did not hold"), "{condition:?}");
    let report = setup.until("tried again", |report| report.quarantined.iter().any(|one| one.attempts == 2)).await;
    assert_eq!((began.elapsed().as_secs(), setup.store.calls() - calls), (75, 11));
    assert_eq!(report.pending, 0);
    setup.store.ignore(&ignored, false);
    setup.until("in sync", |report| report.in_sync).await;
    assert_eq!(began.elapsed().as_secs(), 75 + 120);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_came_while_nobody_wrote_counts_for_the_first_comparison_alone() {
    let (all, rest) = (ten(0), ten(5));
    let setup = Setup::new(&lines(&all));
    setup.until("in sync", |report| report.in_sync).await;
    setup.want(&lines(&rest), &["n0", "n1", "n2", "n3", "n4"]);
    let report = setup.until("held", |report| !report.held.is_empty()).await;
    let checksum = report.held[0].checksum.clone();
    setup.leading.send_replace(false);
    setup.until("not leading", |report| !report.leading).await;
    setup.handle.offer(Some(&checksum));
    setup.leading.send_replace(true);
    setup.until("in sync", |report| report.in_sync).await;
    assert_eq!(setup.addresses().len(), 5);
    setup.leading.send_replace(false);
    setup.until("not leading", |report| !report.leading).await;

    // Nobody took it away, and the next program does not know that it was used.
    let next = Setup::on(setup.store.clone(), &lines(&all));
    next.handle.offer(Some(&checksum));
    next.until("in sync", |report| report.in_sync).await;
    next.want(&lines(&rest), &["n0", "n1", "n2", "n3", "n4"]);
    next.until("held", |report| report.held.iter().any(|held| held.checksum == checksum)).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(next.addresses().len(), 10);
    next.handle.offer(None);
    next.handle.offer(Some("ffff"));
    tokio::time::sleep(Duration::from_mins(1)).await;
    next.handle.offer(Some(&checksum));
    next.until("in sync", |report| report.in_sync).await;
    assert_eq!(next.addresses().len(), 5);
}
