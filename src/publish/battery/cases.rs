//! The cases. Names are sentences about behaviour, as test names are.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, Group, Ownership, PlanOptions, Policy, RecordSet, SkipReason},
};

use super::{
    Subject, Trouble,
    random::random_zone,
    world::{Wishes, Writer, wish},
};
use crate::{Batch, Outcome, PublishError, Scope};

type Verdict = Result<(), String>;
type Case = for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, Verdict>;

macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        /// Every case with its name.
        pub(super) const ALL: &[(&str, Case)] =
            &[$((stringify!($name), |subject| Box::pin($name(subject)))),+];
    };
}

cases![
    an_empty_zone_plans_nothing,
    names_are_created_changed_and_deleted,
    both_address_families_stand_side_by_side,
    a_change_of_type_is_one_step,
    spellings_that_mean_the_same_change_nothing,
    wildcards_and_the_apex_are_names_like_others,
    texts_survive_as_they_are,
    other_types_survive_as_they_are,
    what_others_hold_is_left_alone,
    what_nobody_owns_is_adopted_only_when_asked_for,
    others_may_hold_other_types_beside_ours,
    policies_leave_out_what_they_say,
    two_managers_never_touch_each_other,
    random_zones_converge,
    a_restart_with_nothing_changed_writes_nothing,
    many_names_are_published,
    a_fault_at_any_call_is_made_good,
    throttling_passes,
    a_refused_name_keeps_nobody_else_from_being_published,
    who_lost_the_lock_writes_nothing,
    who_was_frozen_does_not_undo_newer_work,
];

async fn an_empty_zone_plans_nothing(subject: &dyn Subject) -> Verdict {
    let mut writer = Writer::new(subject, "battery")?;
    let plan = writer.converge(&Wishes::default()).await?;
    ensure(plan.skipped.is_empty(), || format!("skipped: {:?}", plan.skipped))
}

async fn names_are_created_changed_and_deleted(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    writer.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.1 / 192.0.2.2", "b 60 A 192.0.2.9"])?).await?;
    same(&writer.published(&www).await?, &["A 192.0.2.1", "A 192.0.2.2"])?;
    let wishes = Wishes::of(&apex, &["www 30 A 192.0.2.2 / 192.0.2.3", "b 60 A 192.0.2.9"])?;
    writer.change(&wishes, &[&www]).await?;
    same(&writer.published(&www).await?, &["A 192.0.2.2", "A 192.0.2.3"])?;
    writer.change(&Wishes::of(&apex, &["b 60 A 192.0.2.9"])?, &[&www]).await?;
    same(&writer.published(&www).await?, &[])?;
    same(&writer.published(&name(&apex, "b")?).await?, &["A 192.0.2.9"])?;
    writer.converge(&Wishes::default()).await?;
    let left = writer.publisher().read(&apex).await.map_err(|error| error.to_string())?;
    ensure(left.ours().next().is_none(), || format!("left behind: {:?}", left.names))
}

async fn both_address_families_stand_side_by_side(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    let (a, aaaa) = ("www 60 A 192.0.2.1", "www 60 AAAA 2001:db8::1");
    writer.converge(&Wishes::of(&apex, &[a, aaaa])?).await?;
    same(&writer.published(&www).await?, &["A 192.0.2.1", "AAAA 2001:db8::1"])?;
    writer.change(&Wishes::of(&apex, &[aaaa])?, &[&www]).await?;
    same(&writer.published(&www).await?, &["AAAA 2001:db8::1"])?;
    writer.change(&Wishes::of(&apex, &[a])?, &[&www]).await?;
    same(&writer.published(&www).await?, &["A 192.0.2.1"])
}

async fn a_change_of_type_is_one_step(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    let addresses = Wishes::of(&apex, &["www 60 A 192.0.2.1", "www 60 AAAA 2001:db8::1"])?;
    let alias = Wishes::of(&apex, &["www 60 CNAME other.example.net."])?;
    writer.converge(&addresses).await?;
    writer.change(&alias, &[&www]).await?;
    same(&writer.published(&www).await?, &["CNAME other.example.net."])?;
    let plan = writer.zone.last_plan();
    ensure(plan.counts() == (0, 1, 0), || format!("more than a replacement: {:?}", plan.changes))?;
    writer.change(&addresses, &[&www]).await?;
    same(&writer.published(&www).await?, &["A 192.0.2.1", "AAAA 2001:db8::1"])
}

async fn spellings_that_mean_the_same_change_nothing(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    writer.converge(&Wishes::of(&apex, &["WWW 60 AAAA 2001:DB8:0::1", "c 60 CNAME Other.Example.NET."])?).await?;
    let same_again = Wishes::of(&apex, &["www 60 AAAA 2001:db8::0:1", "C 60 CNAME other.example.net"])?;
    // A relative name is below the apex.
    let absolute = Wishes::of(&apex, &["www 60 AAAA 2001:db8::0:1", "C 60 CNAME other.example.net."])?;
    let step = writer.step(&absolute, Scope::Zone).await;
    ensure(step.calls == 0, || format!("written again: {:?}", writer.zone.last_plan()))?;
    writer.converge(&same_again).await.map(|_| ())
}

async fn wildcards_and_the_apex_are_names_like_others(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let able = writer.publisher().capabilities().clone();
    let lines = ["* 60 A 192.0.2.1", "*.sub 60 AAAA 2001:db8::1", "@ 60 A 192.0.2.2", "x 60 A 192.0.2.3"];
    let possible = |line: &&&str| {
        if line.starts_with('*') { able.wildcard } else { able.apex || !line.starts_with('@') }
    };
    let lines: Vec<&str> = lines.iter().filter(possible).copied().collect();
    writer.converge(&Wishes::of(&apex, &lines)?).await?;
    if able.wildcard {
        same(&writer.published(&name(&apex, "*")?).await?, &["A 192.0.2.1"])?;
    }
    if able.apex {
        same(&writer.published(&apex).await?, &["A 192.0.2.2"])?;
    }
    same(&writer.published(&name(&apex, "x")?).await?, &["A 192.0.2.3"])?;
    writer.converge(&Wishes::default()).await.map(|_| ())
}

async fn texts_survive_as_they_are(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    if !writer.publisher().capabilities().types.contains(&RecordType::TXT) {
        return Ok(());
    }
    let long = format!("\"{}\" \"{}\" \"{}\"", "k".repeat(255), "l".repeat(255), "m".repeat(90));
    let texts = ["plain", "\"two words\"", r#""a \"quote\" and \\""#, r#""\195\164;,=""#, &long];
    let mut wishes = Wishes::default();
    for (index, text) in texts.iter().enumerate() {
        wishes.add(wish(&apex, &format!("t{index} 60 TXT {text}"))?);
    }
    publishable(&writer, &mut wishes);
    writer.converge(&wishes).await?;
    for (owner, wanted) in &wishes.0 {
        let group = writer.publisher().translate(wanted).map_err(|error| error.to_string())?;
        let expected: Vec<String> =
            group.sets().iter().flat_map(RecordSet::values).map(|text| format!("TXT {text}")).collect();
        let found = writer.published(owner).await?;
        ensure(found == expected, || format!("{owner}: {found:?} is not {expected:?}"))?;
    }
    Ok(())
}

async fn other_types_survive_as_they_are(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let lines = [
        "mail 60 MX 10 m1.example.net. / 20 m2.example.net.",
        "_s._tcp 60 SRV 10 5 443 host.example.net. / 0 0 80 other.example.net.",
        "sub 60 NS ns1.example.net. / ns2.example.net.",
        "n 60 NAPTR 10 20 S SIP+D2U \"\" _sip._udp.example.net.",
    ];
    let mut wishes = Wishes::of(&apex, &lines)?;
    publishable(&writer, &mut wishes);
    writer.converge(&wishes).await?;
    writer.converge(&Wishes::default()).await.map(|_| ())
}

async fn what_others_hold_is_left_alone(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let (taken, other) = (name(&apex, "taken")?, name(&apex, "other")?);
    if !subject.put_foreign(&taken, set(&apex, "taken 60 A 203.0.113.1")?).await
        || !subject.put_foreign(&other, set(&apex, "other 60 A 203.0.113.2")?).await
    {
        return Ok(());
    }
    let before = (subject.sets(&taken).await, subject.sets(&other).await);
    let lines = ["taken 60 A 192.0.2.1", "free 60 A 192.0.2.2", "taken 60 AAAA 2001:db8::1"];
    let plan = writer.converge(&Wishes::of(&apex, &lines)?).await?;
    let why: Vec<_> = plan.skipped.iter().map(|one| (&one.owner, &one.why)).collect();
    let told =
        matches!(&why[..], [(owner, SkipReason::NotOurs(whose))] if **owner == taken && *whose != Ownership::Ours);
    ensure(told, || format!("skipped: {why:?}"))?;
    same(&writer.published(&name(&apex, "free")?).await?, &["A 192.0.2.2"])?;
    writer.converge(&Wishes::default()).await?;
    let after = (subject.sets(&taken).await, subject.sets(&other).await);
    ensure(before == after, || format!("{before:?} became {after:?}"))
}

async fn what_nobody_owns_is_adopted_only_when_asked_for(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    if !subject.put_foreign(&www, set(&apex, "www 60 A 203.0.113.1")?).await {
        return Ok(());
    }
    let wishes = Wishes::of(&apex, &["www 60 A 192.0.2.1"])?;
    writer.converge(&wishes).await?;
    same(&writer.values(&www).await, &["A 203.0.113.1"])?;
    let options = PlanOptions { adopt: true, ..PlanOptions::default() };
    let mut adopter = Writer::with(subject, "battery", options)?;
    adopter.converge(&wishes).await?;
    same(&adopter.published(&www).await?, &["A 192.0.2.1"])?;
    writer.converge(&Wishes::default()).await?;
    same(&writer.values(&www).await, &[])
}

async fn others_may_hold_other_types_beside_ours(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    if !subject.put_foreign(&www, set(&apex, "www 60 TXT \"not ours\"")?).await {
        return Ok(());
    }
    writer.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.1"])?).await?;
    same(&writer.values(&www).await, &["A 192.0.2.1", "TXT \"not ours\""])?;
    writer.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.2", "www 60 AAAA 2001:db8::1"])?).await?;
    same(&writer.values(&www).await, &["A 192.0.2.2", "AAAA 2001:db8::1", "TXT \"not ours\""])?;
    writer.converge(&Wishes::default()).await?;
    same(&writer.values(&www).await, &["TXT \"not ours\""])
}

async fn policies_leave_out_what_they_say(subject: &dyn Subject) -> Verdict {
    let apex = subject.apex();
    let (www, gone) = (name(&apex, "www")?, name(&apex, "gone")?);
    let start = Wishes::of(&apex, &["www 60 A 192.0.2.1", "gone 60 A 192.0.2.9"])?;
    Writer::new(subject, "battery")?.converge(&start).await?;
    let wishes = Wishes::of(&apex, &["www 60 CNAME x.example.net.", "new 60 A 192.0.2.3"])?;
    for (policy, there, left) in [
        (Policy::CreateOnly, "A 192.0.2.1", vec!["A 192.0.2.9"]),
        (Policy::UpsertOnly, "CNAME x.example.net.", vec!["A 192.0.2.9"]),
        (Policy::Sync, "CNAME x.example.net.", vec![]),
    ] {
        let mut writer = Writer::with(subject, "battery", PlanOptions { policy, adopt: false })?;
        writer.converge(&wishes).await?;
        same(&writer.published(&www).await?, &[there]).map_err(|why| format!("{policy}: {why}"))?;
        same(&writer.published(&gone).await?, &left).map_err(|why| format!("{policy}: {why}"))?;
        same(&writer.published(&name(&apex, "new")?).await?, &["A 192.0.2.3"])?;
    }
    Ok(())
}

async fn two_managers_never_touch_each_other(subject: &dyn Subject) -> Verdict {
    let apex = subject.apex();
    let (mut east, mut west) = (Writer::new(subject, "east")?, Writer::new(subject, "west")?);
    let easts = Wishes::of(&apex, &["e 60 A 192.0.2.1", "both 60 A 192.0.2.1"])?;
    let wests = Wishes::of(&apex, &["w 60 A 192.0.2.2", "both 60 A 192.0.2.2"])?;
    east.converge(&easts).await?;
    for _ in 0..2 {
        let plan = west.converge(&wests).await?;
        ensure(plan.skipped.len() == 1, || format!("skipped: {:?}", plan.skipped))?;
        let step = east.step(&easts, Scope::Zone).await;
        ensure(step.calls == 0 && step.error.is_none(), || format!("they fight: {:?}", east.zone.last_plan()))?;
    }
    same(&east.published(&name(&apex, "both")?).await?, &["A 192.0.2.1"])?;
    same(&west.published(&name(&apex, "w")?).await?, &["A 192.0.2.2"])?;
    east.converge(&Wishes::default()).await?;
    same(&west.published(&name(&apex, "w")?).await?, &["A 192.0.2.2"])?;
    west.converge(&wests).await?;
    same(&west.published(&name(&apex, "both")?).await?, &["A 192.0.2.2"])
}

async fn random_zones_converge(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let types = writer.publisher().capabilities().types.clone();
    for seed in 0..12 {
        let mut wishes = random_zone(&apex, seed, 40, |record_type| types.contains(&record_type));
        publishable(&writer, &mut wishes);
        writer.converge(&wishes).await.map_err(|why| format!("seed {seed}: {why}"))?;
        let ours = writer.publisher().read(&apex).await.map_err(|error| error.to_string())?;
        let (ours, wanted): (BTreeSet<_>, BTreeSet<_>) =
            (ours.ours().cloned().collect(), wishes.0.into_keys().collect());
        let differ: Vec<_> = ours.symmetric_difference(&wanted).collect();
        ensure(differ.is_empty(), || format!("seed {seed}: {differ:?}"))?;
    }
    Ok(())
}

async fn a_restart_with_nothing_changed_writes_nothing(subject: &dyn Subject) -> Verdict {
    let apex = subject.apex();
    let mut wishes = random_zone(&apex, 99, 60, |record_type| {
        matches!(record_type, RecordType::A | RecordType::AAAA | RecordType::CNAME)
    });
    let mut writer = Writer::new(subject, "battery")?;
    publishable(&writer, &mut wishes);
    writer.converge(&wishes).await?;
    let mut restarted = Writer::new(subject, "battery")?;
    let step = restarted.step(&wishes, Scope::Zone).await;
    ensure(step.calls == 0 && step.error.is_none(), || format!("{:?}", restarted.zone.last_plan()))
}

async fn many_names_are_published(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let mut wishes = Wishes::default();
    for index in 0..subject.many() {
        let (a, b) = (index / 250, index % 250);
        wishes.add(wish(&apex, &format!("n{index} 60 A 10.0.{a}.{b}"))?);
    }
    writer.converge(&wishes).await?;
    let read = writer.publisher().read(&apex).await.map_err(|error| error.to_string())?;
    let count = read.ours().count();
    ensure(count == wishes.0.len(), || format!("{count} of {} names", wishes.0.len()))
}

async fn a_fault_at_any_call_is_made_good(subject: &dyn Subject) -> Verdict {
    /// More calls than any of these changes need.
    const CALLS: usize = 12;
    let apex = subject.apex();
    let www = name(&apex, "www")?;
    let states = [
        Wishes::of(&apex, &["www 60 A 192.0.2.1", "b 60 AAAA 2001:db8::1", "c 60 CNAME x.example.net."])?,
        Wishes::of(&apex, &["www 60 CNAME y.example.net.", "b 60 A 192.0.2.2", "d 60 A 192.0.2.4"])?,
        Wishes::of(&apex, &["www 60 A 192.0.2.3", "www 60 AAAA 2001:db8::3"])?,
    ];
    for trouble in [Trouble::Fails, Trouble::Crash] {
        for call in 0..CALLS {
            for (index, wishes) in states.iter().enumerate() {
                let mut broken = Writer::new(subject, "battery")?;
                if !subject.fail(call, trouble) {
                    return Ok(());
                }
                // As far as it goes; then the process is gone, and another one comes.
                broken.step(wishes, Scope::Zone).await;
                drop(broken);
                let mut next = Writer::new(subject, "battery")?;
                let told = |why| format!("{trouble:?} at call {call}, state {index}: {why}");
                let plan = next.converge(wishes).await.map_err(told)?;
                ensure(plan.skipped.is_empty(), || told(format!("{:?}", plan.skipped)))?;
                let group = next.publisher().translate(&wishes.0[&www]).map_err(|error| error.to_string())?;
                let found = next.published(&www).await.map_err(told)?;
                ensure(found.len() == values(&group), || told(format!("{found:?}")))?;
            }
        }
    }
    Ok(())
}

async fn throttling_passes(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let wishes = Wishes::of(&apex, &["www 60 A 192.0.2.1"])?;
    for call in [0, 1] {
        if !subject.fail(call, Trouble::Throttled) {
            return Ok(());
        }
    }
    writer.converge(&wishes).await?;
    same(&writer.published(&name(&apex, "www")?).await?, &["A 192.0.2.1"])
}

async fn a_refused_name_keeps_nobody_else_from_being_published(subject: &dyn Subject) -> Verdict {
    let (apex, mut writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let culprit = name(&apex, "n13")?;
    if !subject.poison(&culprit, true) {
        return Ok(());
    }
    let mut wishes = Wishes::default();
    for index in 0..40 {
        wishes.add(wish(&apex, &format!("n{index} 60 A 10.0.0.{index}"))?);
    }
    let step = writer.step(&wishes, Scope::Zone).await;
    ensure(step.done == 39 && step.error.is_none(), || format!("{step:?}"))?;
    let told: Vec<_> = writer.zone.quarantine().keys().collect();
    ensure(told == [&culprit], || format!("quarantined: {told:?}"))?;
    let step = writer.step(&wishes, Scope::Zone).await;
    ensure(step.calls == 0, || "the culprit is tried again before its time".to_owned())?;
    subject.poison(&culprit, false);
    writer.wait(61);
    let due = writer.zone.due(mcdns_core::model::Timestamp(i64::MAX));
    let step = writer.step(&wishes, Scope::Names(due)).await;
    ensure(step.done == 1 && writer.zone.quarantine().is_empty(), || format!("{step:?}"))?;
    writer.converge(&wishes).await.map(|_| ())
}

async fn who_lost_the_lock_writes_nothing(subject: &dyn Subject) -> Verdict {
    let (apex, writer) = (subject.apex(), Writer::new(subject, "battery")?);
    let wanted = wish(&apex, "www 60 A 192.0.2.1")?;
    let after = writer.publisher().translate(&wanted).map_err(|error| error.to_string())?;
    // Whoever holds the sender: the lock is gone.
    let (leading, leads) = tokio::sync::watch::channel(false);
    let changes = vec![Change::Create { after, reason: String::new() }];
    let leadership = std::sync::Arc::new(leads);
    let batch = Batch { apex: apex.clone(), manager: writer.manager.clone(), changes, leadership };
    let answer = writer.publisher().apply(&batch).await;
    drop(leading);
    ensure(answer == Err(PublishError::NotLeader), || format!("{answer:?}"))?;
    same(&writer.values(&wanted.owner).await, &[])?;
    let mut writer = writer;
    let _ = writer.leading.send(false);
    let step = writer.step(&Wishes::of(&apex, &["www 60 A 192.0.2.1"])?, Scope::Zone).await;
    ensure(step.error == Some(PublishError::NotLeader), || format!("{step:?}"))?;
    same(&writer.values(&wanted.owner).await, &[])
}

async fn who_was_frozen_does_not_undo_newer_work(subject: &dyn Subject) -> Verdict {
    let (apex, mut old) = (subject.apex(), Writer::new(subject, "battery")?);
    let www = name(&apex, "www")?;
    old.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.1"])?).await?;
    let frozen = old.publisher().read(&apex).await.map_err(|error| error.to_string())?;
    let before = frozen.names.get(&www).cloned().ok_or("it is not there")?;
    let mut new = Writer::new(subject, "battery")?;
    let newest = Wishes::of(&apex, &["www 60 A 192.0.2.2"])?;
    new.converge(&newest).await?;
    // The frozen one wakes up with what it was about to do.
    let after = old.publisher().translate(&wish(&apex, "www 60 A 192.0.2.3")?).map_err(|error| error.to_string())?;
    let (leading, leads) = tokio::sync::watch::channel(true);
    for change in [
        Change::Replace { before: before.clone(), after: after.clone(), reason: String::new() },
        Change::Delete { before, reason: String::new() },
        Change::Create { after, reason: String::new() },
    ] {
        let verb = change.verb();
        let leadership = std::sync::Arc::new(leads.clone());
        let (manager, changes) = (old.manager.clone(), vec![change]);
        let batch = Batch { apex: apex.clone(), manager, changes, leadership };
        let answer = old.publisher().apply(&batch).await;
        let done = matches!(&answer, Ok(report) if matches!(report.outcomes.get(&www), Some(Outcome::Done(_))));
        ensure(!done, || format!("a late {verb} was done"))?;
        same(&new.published(&www).await?, &["A 192.0.2.2"]).map_err(|why| format!("late {verb}: {why}"))?;
    }
    drop(leading);
    new.converge(&newest).await.map(|_| ())
}

/// Leaves out of what is wanted what the publisher cannot hold.
fn publishable(writer: &Writer<'_>, wishes: &mut Wishes) {
    let publisher = writer.publisher();
    wishes.0.retain(|_, wanted| {
        let fitted = publisher.capabilities().fit(wanted.clone());
        matches!(fitted, Ok(Some(wanted)) if publisher.translate(&wanted).is_ok())
    });
}

fn name(apex: &OwnerName, label: &str) -> Result<OwnerName, String> {
    apex.child(label.as_bytes()).map_err(|error| error.to_string())
}

fn set(apex: &OwnerName, line: &str) -> Result<RecordSet, String> {
    Ok(RecordSet::of_rrset(&wish(apex, line)?.rrsets[0]))
}

fn values(group: &Group) -> usize {
    group.sets().iter().map(|set| set.values().len()).sum()
}

fn same(found: &[String], expected: &[&str]) -> Verdict {
    ensure(found == expected, || format!("{found:?} is not {expected:?}"))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}
