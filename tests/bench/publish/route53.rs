//! A zone in a Route 53 that is part of this program, answers five requests a second, and takes nothing that the real
//! one would refuse.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{GuardOptions, PlanOptions},
};
use mcdns_publish::{
    PublishedZone, Publisher, Scope, Step,
    battery::{Wishes, wish},
};
use serde_json::json;
use support::{
    federation::APEX,
    route53::{Change, Route53},
};
use tokio::sync::watch;

use super::{manager, name, wishes};
use crate::{
    report::{Report, progress},
    statistics::{median, quantile},
};

const NAMES: usize = 10_000;
/// Requests a second of an account (Route 53 Developer Guide, "Quotas").
const RATE: u32 = 5;
/// Records and characters of a request (the same).
const RECORDS: usize = 1_000;
const CHARACTERS: usize = 32_000;
/// How long a change is PENDING: of the order that Amazon tells of, and short enough to wait for.
const PENDING: Duration = Duration::from_secs(2);
/// Changes that are timed.
const CHANGES: usize = 20;
/// Every third name has one address.
const STRIDE: usize = 300;

/// Publishes a large zone, and then changes one name after the other.
pub(super) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let service = Route53::start();
    service.set_quota(10 * NAMES);
    service.set_rate(Some(RATE));
    service.set_pending(PENDING);
    let id = service.create_zone(APEX, false, &[]);
    let credentials = tempfile::NamedTempFile::new().context("no temporary file")?;
    fs::write(
        credentials.path(),
        "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n",
    )?;
    let section = json!({"endpoint": service.endpoint(), "stsEndpoint": service.endpoint(), "region": "us-east-1",
        "credentialsFile": credentials.path(), "requestsPerSecond": RATE});
    let apex: OwnerName = APEX.parse()?;
    let made = mcdns_route53::publisher("aws", std::slice::from_ref(&apex), &manager()?, &section);
    let publisher = made.map_err(|why| anyhow!(why))?;
    let (_leading, leads) = watch::channel(true);
    let (options, guard) = (PlanOptions::default(), GuardOptions::default());
    let mut zone =
        PublishedZone::new(Arc::clone(&publisher), manager()?, apex.clone(), options, guard, Arc::new(leads));

    let mut wishes = wishes(NAMES)?;
    first(report, &service, &id, &mut zone, &wishes).await?;
    changes(report, &service, &publisher, &mut zone, &mut wishes).await
}

/// Everything from nothing: how many requests, and how many it takes at least.
async fn first(
    report: &mut Report,
    service: &Route53,
    id: &str,
    zone: &mut PublishedZone,
    wishes: &Wishes,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let step = whole(zone.converge(wishes, Scope::Zone, Timestamp(0)).await, NAMES)?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(step.again.is_empty(), "{} names are left", step.again.len());
    let batches = service.batches(id);
    let least = least(batches.iter().flatten());
    let ratio = count(batches.len()) / count(least);
    let measured = format!("{ratio:.2} times: {} batches, {least} at least, {seconds:.1} s", batches.len());
    report.at_most("10,000 names to Route 53 from nothing", "at most 1.05 times the minimum", 1.05, ratio, measured);
    let throttled = service.throttled();
    report.information(format!("requests that it refuses meanwhile as above {RATE} a second"), throttled.to_string());
    Ok(())
}

/// One name after the other, each when the service has nothing else to do.
async fn changes(
    report: &mut Report,
    service: &Route53,
    publisher: &Arc<dyn Publisher>,
    zone: &mut PublishedZone,
    wishes: &mut Wishes,
) -> anyhow::Result<()> {
    let apex = zone.apex().clone();
    let (mut took, mut in_force, mut polls, mut most) = (Vec::new(), Vec::new(), 0, 0);
    for change in 0..CHANGES {
        let owner = name(1 + change * STRIDE);
        let wanted = wish(&apex, &format!("{owner} 180 A 192.0.2.{}", change + 1)).map_err(|why| anyhow!(why))?;
        let names = [wanted.owner.clone()].into();
        wishes.add(wanted);
        let before = service.calls();
        let began = Instant::now();
        let now = Timestamp(0).plus_seconds(i64::try_from(change)?);
        let step = whole(zone.converge(&*wishes, Scope::Names(names), now).await, 1)?;
        took.push(began.elapsed().as_secs_f64());
        for receipt in &step.receipts {
            publisher.verify(&apex, receipt).await?;
        }
        in_force.push(began.elapsed().as_secs_f64());
        let made = |action: &str| {
            let count =
                |calls: &std::collections::BTreeMap<String, u64>| calls.get(action).copied().unwrap_or_default();
            count(&service.calls()) - count(&before)
        };
        let all: u64 = service.calls().keys().map(|action| made(action)).sum();
        polls += made("GetChange");
        most = most.max(all - made("GetChange"));
        ensure!(made("ChangeResourceRecordSets") > 0, "change {change} was not sent");
        // The second of the requests before is over.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    progress(format_args!("{CHANGES} changes of one name each"));
    let what = "one name changes in a zone of 10,000 in Route 53";
    let changes = count(CHANGES);
    #[expect(clippy::cast_precision_loss, reason = "some requests")]
    let (most, polls) = (most as f64, polls as f64);
    let measured =
        format!("{most:.0}, and {:.1} polls of a change that takes {} s", polls / changes, PENDING.as_secs());
    report.at_most(format!("{what}, requests"), "1, plus polls", 1.0, most, measured);
    let longest = quantile(&took, 1.0).context("nothing was changed")?;
    let measured = format!(
        "{longest:.2} s (median {:.3} s), in force after {:.1} s",
        median(&took).unwrap_or_default(),
        median(&in_force).unwrap_or_default()
    );
    report.at_most(format!("{what}, time of the slowest of {CHANGES}"), "at most 1 s", 1.0, longest, measured);
    Ok(())
}

/// What was done, if that is all of it.
fn whole(step: Step, names: usize) -> anyhow::Result<Step> {
    if let Some(error) = step.error {
        return Err(error.into());
    }
    ensure!(step.done == names, "{} of {names} names were written", step.done);
    Ok(step)
}

/// The least number of requests that these changes fit into.
fn least<'a>(changes: impl Iterator<Item = &'a Change>) -> usize {
    let (mut records, mut characters) = (0, 0);
    for change in changes {
        records += change.set.values.len();
        characters += change.set.values.iter().map(String::len).sum::<usize>();
    }
    records.div_ceil(RECORDS).max(characters.div_ceil(CHARACTERS))
}

#[expect(clippy::cast_precision_loss, reason = "some thousand at most")]
fn count(number: usize) -> f64 {
    number as f64
}
