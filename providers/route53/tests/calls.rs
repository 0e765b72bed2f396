//! How many calls are made, how fast, and what happens while the service says "not now".

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mcdns_core::{
    dns::OwnerName,
    plan::{Change, Group, GuardOptions, PlanOptions, WantedName},
    records::ChangedNames,
};
use mcdns_publish::{
    Batch, Leadership, Outcome, PublishError, PublishedZone, Scope, WantedSource, ZoneReport, battery::Wishes,
};
use rstest::rstest;
use serde_json::json;
use support::route53::{Action, Fault};

use common::{APEX, Place, manager, name, wishes};

/// Longest time that a test waits for an event.
const PATIENCE: Duration = Duration::from_secs(30);

fn many(count: usize) -> Wishes {
    let lines: Vec<String> =
        (0..count).map(|index| format!("n{index} 60 A 10.0.{}.{}", index / 250, index % 250)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    wishes(&lines)
}

/// A batch of new names, as the loop would make it.
fn batch(place: &Place, names: &Wishes, leadership: Arc<dyn Leadership>) -> Batch {
    let publisher = place.publisher(&json!({}));
    let create = |wanted: &mcdns_core::plan::WantedName| Change::Create {
        after: publisher.translate(wanted).expect("publishable"),
        reason: String::new(),
    };
    let changes = names.0.values().map(create).collect();
    Batch { apex: name(APEX), manager: manager(), changes, leadership }
}

fn leading() -> Arc<dyn Leadership> {
    struct Always;
    impl Leadership for Always {
        fn holds(&self) -> bool {
            true
        }
        fn until(&self, holds: bool) -> futures::future::BoxFuture<'_, ()> {
            Box::pin(async move {
                if !holds {
                    std::future::pending::<()>().await;
                }
            })
        }
    }
    Arc::new(Always)
}

#[tokio::test]
async fn ten_thousand_names_need_hardly_more_than_the_least_number_of_batches_and_then_one_call_for_one_name() {
    let place = Place::new();
    place.service.set_quota(100_000);
    let mut names = many(10_000);
    let mut writer = place.writer(&json!({}));
    let step = writer.step(&names, Scope::Zone).await;
    assert_eq!((step.done, step.error), (10_000, None));
    let batches = place.service.batches(&place.zone);
    let changes: Vec<_> = batches.iter().flatten().collect();
    assert!(changes.iter().all(|change| change.action == Action::Create));
    let records: usize = changes.iter().map(|change| change.set.values.len()).sum();
    let characters: usize = changes.iter().flat_map(|change| &change.set.values).map(String::len).sum();
    let least = records.div_ceil(1000).max(characters.div_ceil(32_000));
    assert_eq!((least, batches.len() * 100 <= least * 105), (20, true), "{} batches", batches.len());

    let before = place.all_calls();
    names.0.extend(wishes(&["n77 60 A 192.0.2.77", "new 60 A 192.0.2.1"]).0);
    for changed in ["new.example.com", "n77.example.com"] {
        let step = writer.change(&names, &[changed]).await;
        assert_eq!((step.done, step.error), (1, None), "{changed}");
    }
    assert_eq!(place.all_calls() - before, 2, "{:?}", place.service.calls());
    names.0.remove(&name("new.example.com"));
    assert_eq!(writer.change(&names, &["new.example.com"]).await.done, 1);
    assert_eq!(place.all_calls() - before, 3);
}

#[tokio::test]
async fn a_steady_zone_costs_its_pages_and_nothing_else() {
    let place = Place::new();
    let names = many(500);
    let mut writer = place.writer(&json!({}));
    writer.converge(&names).await;
    let before = place.service.calls();
    let step = writer.step(&names, Scope::Zone).await;
    assert_eq!((step.calls, step.done), (0, 0));
    let after = place.service.calls();
    // 1,000 sets, SOA and NS, 300 on a page.
    assert_eq!(after["ListResourceRecordSets"] - before["ListResourceRecordSets"], 4);
    assert_eq!(after["ListHostedZones"], 1, "the list of zones is kept");
    assert_eq!(place.all_calls() - before.values().sum::<u64>(), 4);
}

#[tokio::test]
async fn publishers_of_one_account_stay_below_its_rate_together() {
    let place = Place::new();
    place.service.create_zone("example.net", false, &[]);
    place.service.set_rate(Some(20));
    let section = json!({"requestsPerSecond": 20, "batchRecords": 8});
    let (one, two) = (place.publisher(&section), place.publisher(&section));
    let names = many(60);
    let mut writer = common::Writer::new(one, name(APEX));
    let mut other = common::Writer::new(two, name("example.net"));
    let nothing = Wishes::default();
    let (step, ()) = tokio::join!(writer.step(&names, Scope::Zone), async {
        for _ in 0..20 {
            let step = other.step(&nothing, Scope::Zone).await;
            assert_eq!(step.error, None);
        }
    });
    assert_eq!((step.done, step.error), (60, None));
    // Some requests may catch up with those before them on a loaded machine; they are made again.
    assert!(place.service.throttled() <= 4, "{} of {}", place.service.throttled(), place.all_calls());
}

#[rstest]
#[case::throttled(Fault::Throttled)]
#[case::busy(Fault::PriorRequestNotComplete)]
#[tokio::test]
async fn not_now_is_asked_again_and_changes_nothing_twice(#[case] fault: Fault) {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&Wishes::default()).await;
    place.service.fail("ChangeResourceRecordSets", fault, 2);
    let step = writer.step(&many(3), Scope::Zone).await;
    assert_eq!((step.done, step.error, step.calls), (3, None, 1));
    assert_eq!(place.calls("ChangeResourceRecordSets"), 3);
    assert_eq!(place.service.batches(&place.zone).len(), 1);
}

#[tokio::test]
async fn a_throttle_without_end_is_told_and_nothing_is_in_doubt() {
    let place = Place::new();
    let publisher = place.publisher(&json!({}));
    let batch = batch(&place, &many(3), leading());
    publisher.zones().await.expect("zones");
    place.service.fail("ChangeResourceRecordSets", Fault::Throttled, 100);
    let error = publisher.apply(&batch).await.expect_err("throttled");
    assert!(matches!(&error, PublishError::Throttled { words, .. } if words == "Throttling: Rate exceeded"), "{error}");
    assert!(!error.leaves_doubt());
    assert!(place.service.batches(&place.zone).is_empty());
}

#[tokio::test]
async fn a_busy_zone_gets_one_change_after_the_other() {
    let place = Place::new();
    place.service.set_busy(Duration::from_millis(50));
    let mut writer = place.writer(&json!({"batchRecords": 20}));
    writer.converge(&many(40)).await;
    assert_eq!(place.service.batches(&place.zone).len(), 4);
}

#[tokio::test]
async fn a_change_is_verified_when_it_is_in_sync_everywhere() {
    let place = Place::new();
    place.service.set_pending(Duration::MAX);
    let mut writer = place.writer(&json!({"batchRecords": 8}));
    let step = writer.step(&many(8), Scope::Zone).await;
    assert_eq!(step.receipts.len(), 1);
    let receipt = step.receipts[0].clone();
    assert_eq!(receipt.split(' ').count(), 2, "one for each batch");
    let publisher = writer.publisher.clone();
    let verified = tokio::spawn(async move { publisher.verify(&name(APEX), &receipt).await });
    tokio::time::timeout(PATIENCE, async {
        while place.calls("GetChange") < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is asked for");
    assert!(!verified.is_finished());
    place.service.settle();
    let verified = tokio::time::timeout(PATIENCE, verified).await.expect("an end");
    assert_eq!(verified.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_change_that_may_not_be_followed_costs_no_comparison() {
    let place = Place::new();
    place.service.fail("GetChange", Fault::AccessDenied, 100);
    let (_leading, leads) = tokio::sync::watch::channel(true);
    let (options, guard) = (PlanOptions::default(), GuardOptions::default());
    let zone = PublishedZone::new(place.publisher(&json!({})), manager(), name(APEX), options, guard, Arc::new(leads));
    let wanted = Arc::new(Live(Mutex::new(many(3))));
    let one = Arc::new(tokio::sync::Semaphore::new(1));
    let handle = mcdns_publish::start(zone, wanted.clone(), one, mcdns_publish::Timing::default());
    let until = async |what: &str, is_so: &dyn Fn(&ZoneReport) -> bool| {
        let waiting = async {
            while !is_so(&handle.report().borrow()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never {what}"));
    };
    until("in sync", &|report| report.in_sync && place.calls("GetChange") == 1).await;
    let listed = place.calls("ListResourceRecordSets");
    for round in 1..=3 {
        wanted.0.lock().expect("whole").0.extend(wishes(&[&format!("n0 60 A 192.0.2.{round}")]).0);
        handle.changed(&ChangedNames::Names([name("n0.example.com")].into()), &"the test".into());
        until("changed", &|report| report.changes == 3 + round && place.calls("GetChange") == 1 + round).await;
    }
    assert_eq!(place.calls("ListResourceRecordSets"), listed);
}

/// Wishes that change.
struct Live(Mutex<Wishes>);

impl WantedSource for Live {
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>> {
        self.0.lock().expect("whole").wanted_names(apex)
    }

    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>> {
        self.0.lock().expect("whole").wanted_name(apex, owner)
    }
}

#[tokio::test]
async fn a_change_that_is_not_known_is_an_error() {
    let place = Place::new();
    let error = place.publisher(&json!({})).verify(&name(APEX), "C0UNKNOWN").await.expect_err("not in force");
    assert!(error.to_string().contains("NoSuchChange"), "{error}");
}

#[tokio::test]
async fn what_was_not_tried_is_told_from_what_is_in_doubt() {
    for (fault, in_doubt) in [(Fault::AccessDenied, false), (Fault::CutAfter, true)] {
        let place = Place::new();
        let publisher = place.publisher(&json!({"batchRecords": 20}));
        let batch = batch(&place, &many(40), leading());
        publisher.zones().await.expect("zones");
        place.service.fail_after("ChangeResourceRecordSets", 1, fault);
        let report = publisher.apply(&batch).await.expect("a report");
        let count = |wanted: fn(&Outcome) -> bool| report.outcomes.values().filter(|one| wanted(one)).count();
        assert_eq!(count(|one| matches!(one, Outcome::Done(_))), 10);
        assert_eq!(count(|one| matches!(one, Outcome::Unknown(_))), if in_doubt { 10 } else { 0 });
        assert_eq!(count(|one| matches!(one, Outcome::Left(_))), if in_doubt { 20 } else { 30 });
        assert!(report.receipt.is_some());
    }
}

#[tokio::test]
async fn who_loses_the_lock_between_two_calls_stops() {
    struct Once(std::sync::atomic::AtomicUsize);
    impl Leadership for Once {
        fn holds(&self) -> bool {
            // The first look is before all, the second before the first call.
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2
        }
        fn until(&self, _holds: bool) -> futures::future::BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }
    }
    let place = Place::new();
    let publisher = place.publisher(&json!({"batchRecords": 20}));
    let batch = batch(&place, &many(40), Arc::new(Once(0.into())));
    let report = publisher.apply(&batch).await.expect("a report");
    let left = |outcome: &&Outcome| **outcome == Outcome::Left(PublishError::NotLeader);
    assert_eq!(report.outcomes.values().filter(left).count(), 30);
    assert_eq!(place.service.batches(&place.zone).len(), 1);
}

#[tokio::test]
async fn one_name_is_read_with_one_call() {
    let place = Place::new();
    let names = wishes(&["www 60 A 192.0.2.1", "www 60 AAAA 2001:db8::1", "*.w 60 A 192.0.2.2", "x 60 A 192.0.2.3"]);
    let mut writer = place.writer(&json!({}));
    writer.converge(&names).await;
    let fresh = place.publisher(&json!({}));
    for (owner, most) in [("www.example.com", 1), ("x.example.com", 1), ("none.example.com", 2), ("*.w.example.com", 2)]
    {
        let before = place.calls("ListResourceRecordSets");
        let read = fresh.read_name(&name(APEX), &name(owner)).await.expect("an answer");
        let calls = place.calls("ListResourceRecordSets") - before;
        assert!(calls <= most, "{owner}: {calls} calls");
        let whole = fresh.read(&name(APEX)).await.expect("a zone").names.remove(&name(owner));
        assert_eq!(read, mcdns_publish::ReadName::Standing(whole.map(Box::new)));
    }
}

#[tokio::test]
async fn a_group_is_in_one_batch_with_its_marks() {
    let place = Place::new();
    let lines: Vec<String> = (0..30)
        .flat_map(|index| [format!("n{index} 60 A 10.0.0.{index}"), format!("n{index} 60 AAAA 2001:db8::{index}")])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let names = wishes(&lines);
    let mut writer = place.writer(&json!({"batchRecords": 10}));
    writer.converge(&names).await;
    let batches = place.service.batches(&place.zone);
    assert_eq!(batches.len(), 15, "two names with four records each fit in ten");
    for batch in batches {
        let mut of_name = std::collections::BTreeMap::<String, usize>::new();
        for change in &batch {
            let owner = change.set.name.rsplit("_owner-").next().unwrap_or_default();
            let owner = owner.trim_start_matches("aaaa.").trim_start_matches("a.");
            *of_name.entry(owner.to_owned()).or_default() += 1;
        }
        assert!(of_name.values().all(|&count| count == 4), "{of_name:?}");
    }
    let group: fn(&Group) -> bool = |group| group.sets().len() == 2;
    let read = writer.publisher.read(&name(APEX)).await.expect("a zone");
    assert!(read.names.values().all(|standing| group(&standing.group)));
}
