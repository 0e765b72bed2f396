//! Keys in a real etcd, and a real CoreDNS that answers from them.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use interop::{CoreDns, Etcd};
use mcdns_core::{
    model::Timestamp,
    plan::{GuardOptions, PlanOptions},
    records::{EmptyLevels, Engine, Options},
};
use mcdns_publish::{
    Destination, Leadership, PublishedZone, Publisher, Publishing, Scope, Timing, WithEngine, battery::Wishes,
};
use serde_json::json;
use support::federation::{APEX, Federation, Shape};
use tokio::sync::watch;

use super::{manager, wishes};
use crate::{
    question,
    report::{Report, progress},
    statistics::{median, quantile},
};

/// 13 names for each record: 2,002.
const SHAPE: Shape =
    Shape { clusters: 8, regions: 4, availability_zones: 2, records: 154, clusters_per_record: 3, endpoints: 500 };
/// Changes that are timed, of the first cluster of one record each.
const CHANGES: u32 = 300;
/// When to give up on one of them.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions: well below what is measured.
const PAUSE: Duration = Duration::from_micros(200);
/// Type A of class IN.
const A: [u8; 4] = [0, 1, 0, 1];
/// Names of the large zone.
const NAMES: usize = 100_000;

pub(super) fn publisher(etcd: &Etcd) -> anyhow::Result<Arc<dyn Publisher>> {
    let section = json!({"endpoints": [etcd.endpoint()]});
    mcdns_etcd::publisher("coredns", &[APEX.parse()?], &manager()?, &section).map_err(|why| anyhow!(why))
}

/// From an endpoint that the engine is told of to the answer of CoreDNS.
pub(super) async fn change(report: &mut Report) -> anyhow::Result<()> {
    let etcd = Etcd::start().await;
    let coredns = CoreDns::start(&etcd, &[APEX]);
    let federation = Federation::new(SHAPE)?;
    let mut engine = Engine::new(Options::default());
    let observations: Vec<_> = federation.observations().collect();
    engine.observe(&observations, None);
    let engine = Arc::new(Mutex::new(engine));
    let asked = engine.clone();
    let with: WithEngine = Arc::new(move |ask| {
        if let Ok(engine) = asked.lock() {
            ask(&engine);
        }
    });
    let destination = Destination {
        publisher: publisher(&etcd)?,
        zones: vec![APEX.parse()?],
        beside: Vec::new(),
        options: PlanOptions::default(),
        empty_levels: EmptyLevels::Climb,
    };
    let (_leading, leads) = watch::channel(true);
    let leads: Arc<dyn Leadership> = Arc::new(leads);
    let (guard, timing) = (GuardOptions { percent: 100, ..GuardOptions::default() }, Timing::default());
    let publishing = Publishing::start(vec![destination], &manager()?, &with, &leads, guard, timing);
    let mut changes = publishing.changes();
    while !publishing.reports().iter().all(|zone| zone.in_sync) {
        tokio::time::timeout(6 * DEADLINE, changes.changed()).await.context("nothing is published")?;
    }
    progress(format_args!("2,002 names are published; {CHANGES} changes"));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(coredns.address())?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let all = usize::try_from(SHAPE.clusters_per_record)?;
    let mut took = Vec::new();
    for change in 0..CHANGES {
        // Down, and in the next round up again.
        let (record, ready) = (change % SHAPE.records, usize::from(change / SHAPE.records % 2 == 1));
        let query = question::question(7, &federation.global_name(record), A);
        let wanted = all - 1 + ready;
        let began = Instant::now();
        {
            let mut engine = engine.lock().map_err(|_| anyhow!("the engine has failed"))?;
            let update = engine.observe(&[federation.slice(record, 0, ready)], None);
            ensure!(!update.patch.is_empty(), "change {change} changes nothing");
            publishing.observed(&engine, &update);
        }
        loop {
            if answers(&socket, &query)? == wanted {
                break;
            }
            if began.elapsed() > DEADLINE {
                bail!("change {change} is not answered in {DEADLINE:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let (middle, end) = (median(&took).unwrap_or_default(), quantile(&took, 0.99).unwrap_or_default());
    let measured = format!("{end:.1} ms (median {middle:.1} ms)");
    report.at_most("endpoint change to CoreDNS' answer through etcd, 99th percentile", "50 ms", 50.0, end, measured);
    Ok(())
}

/// How many records an answer has.
fn answers(socket: &UdpSocket, query: &[u8]) -> anyhow::Result<usize> {
    let mut answer = [0; 4096];
    socket.send(query)?;
    let length = socket.recv(&mut answer)?;
    ensure!(length >= 12, "CoreDNS answers with {length} octets");
    Ok(usize::from(u16::from_be_bytes([answer[6], answer[7]])))
}

/// A large zone from nothing, and a program that starts when all of it is there.
pub(super) async fn many(report: &mut Report) -> anyhow::Result<()> {
    let etcd = Etcd::start().await;
    let wishes = wishes(NAMES)?;
    let (seconds, done, calls) = publish(&etcd, &wishes).await?;
    ensure!(done == NAMES && calls > 0, "{done} names were written");
    let measured = format!("{seconds:.1} s");
    report.at_most("first publication of 100,000 names to etcd", "20 s", 20.0, seconds, measured);
    let (seconds, done, calls) = publish(&etcd, &wishes).await?;
    ensure!(done == 0 && calls == 0, "a restart wrote {done} names");
    let measured = format!("{seconds:.2} s, no writes");
    report.at_most("restart with 100,000 names in etcd and nothing changed", "3 s, no writes", 3.0, seconds, measured);
    Ok(())
}

/// Seconds, names that were written, and calls for that.
pub(super) async fn publish(etcd: &Etcd, wishes: &Wishes) -> anyhow::Result<(f64, usize, usize)> {
    let (_leading, leads) = watch::channel(true);
    let (options, guard) = (PlanOptions::default(), GuardOptions::default());
    let mut zone = PublishedZone::new(publisher(etcd)?, manager()?, APEX.parse()?, options, guard, Arc::new(leads));
    let began = Instant::now();
    let step = zone.converge(wishes, Scope::Zone, Timestamp(0)).await;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(error) = step.error {
        return Err(error.into());
    }
    ensure!(step.again.is_empty(), "{} names are left", step.again.len());
    Ok((seconds, step.done, step.calls))
}
