//! From a write at a member's API server to the changed answer on the wire, with real API servers.
//!
//! The clock starts before the request leaves, so the API server and its etcd are in it; what is left of it after the
//! API server has acknowledged the write is told beside it. etcd keeps its data in memory where the machine has a file
//! system for that, since a disc is not what is measured.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use e2e::{
    World,
    api::kinds,
    mcdns::Wanted,
    objects::{domain, service, service_record, slice},
};
use serde_json::json;

use crate::{
    Setup,
    question::Asker,
    report::{Report, progress},
    statistics::{median, quantile},
};

const RECORDS: u32 = 10_000;
const MEMBERS: usize = 4;
/// Namespaces that the records are spread over.
const NAMESPACES: u32 = 20;
/// Requests that are made at the same time while everything is written.
const WRITERS: u32 = 16;
/// Changes that are timed.
const CHANGES: u32 = 300;
/// Distance between the records that change, a prime, so that they are spread over everything.
const STRIDE: u32 = 7919;
/// When to give up on one of them.
const DEADLINE: Duration = Duration::from_secs(10);
/// When to give up on the start, with the first write of all statuses.
const START: Duration = Duration::from_mins(10);
/// Between two questions: well below what is measured.
const PAUSE: Duration = Duration::from_micros(100);

/// Writes everything, starts mcdns, and changes one load balancer after the other.
pub(super) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let world = World::joined(MEMBERS);
    let started = Instant::now();
    fill(&world);
    progress(format_args!("{RECORDS} records with their services written in {:.0} s", started.elapsed().as_secs_f64()));

    let mcdns = Wanted::new(&world).program(&setup.mcdns).start();
    let mut asker = Asker::new(mcdns.server, Duration::from_millis(100))?;
    let started = Instant::now();
    for record in [0, RECORDS - 1] {
        asker.until(&question(record), &[address(record, 0)], started, START, PAUSE)?;
    }
    // What is written at first is not what a change costs.
    loop {
        let made = world.host().list(kinds::DNS_ENDPOINT).map_or(0, |made| made.len());
        if made >= RECORDS as usize {
            break;
        }
        ensure!(started.elapsed() < START, "only {made} DNSEndpoints after {} s", START.as_secs());
        thread::sleep(Duration::from_secs(1));
    }
    progress(format_args!("statuses and DNSEndpoints written in {:.0} s", started.elapsed().as_secs_f64()));

    let (mut all, mut ours) = (Vec::new(), Vec::new());
    for change in 1..=CHANGES {
        let record = change * STRIDE % RECORDS;
        let wanted = address(record, change);
        let api = world.api(member(record)).clone();
        let start = Instant::now();
        let written = thread::spawn(move || {
            api.balance(kinds::SERVICE, &name(record), &[&wanted.to_string()]);
            start.elapsed()
        });
        let took = asker.until(&question(record), &[wanted], start, DEADLINE, PAUSE)?;
        let written = written.join().map_err(|_| anyhow::anyhow!("a write failed"))?;
        all.push(took.as_secs_f64() * 1e3);
        ours.push(took.saturating_sub(written).as_secs_f64() * 1e3);
    }
    let what = format!("API write in a member to changed answer, {RECORDS} records, {MEMBERS} members");
    for (share, wanted, limit) in [("median", "at most 5 ms", 5.0), ("99th percentile", "at most 25 ms", 25.0)] {
        let of = |times: &[f64]| if limit < 10.0 { median(times) } else { quantile(times, 0.99) };
        let (value, ours) = (of(&all).context("nothing was measured")?, of(&ours).unwrap_or_default());
        let measured = format!("{value:.1} ms, {ours:.1} ms of it after the API server's own answer");
        report.at_most(format!("{what}, {share}"), wanted, limit, value, measured);
    }
    Ok(())
}

/// A Domain, the records in the host, and a service for each in one member.
fn fill(world: &World) {
    let host = world.host();
    host.create(kinds::DOMAIN, &domain("galactic", "example.com"));
    for namespace in 0..NAMESPACES {
        host.namespace(&format!("space-{namespace}"));
        (1..=MEMBERS).for_each(|number| world.api(number).namespace(&format!("space-{namespace}")));
    }
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for record in (writer..RECORDS).step_by(WRITERS as usize) {
                    let (name, api) = (name(record), world.api(member(record)));
                    api.create(kinds::SERVICE, &service(&name));
                    api.create(kinds::ENDPOINT_SLICE, &slice(&name, &["192.0.2.80"], true));
                    api.balance(kinds::SERVICE, &name, &[&address(record, 0).to_string()]);
                    host.create(kinds::SERVICE_RECORD, &service_record(&name, "galactic", &json!({})));
                }
            });
        }
    });
}

/// Namespace and name.
fn name(record: u32) -> String {
    format!("space-{}/service-{record:05}", record % NAMESPACES)
}

fn question(record: u32) -> String {
    format!("service-{record:05}.space-{}.galactic.svc.example.com", record % NAMESPACES)
}

fn member(record: u32) -> usize {
    record as usize % MEMBERS + 1
}

/// The address of a record's load balancer after that change (from 1): never one that it had, from a block that nobody
/// routes (RFC 6598).
fn address(record: u32, change: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + if change == 0 { record } else { RECORDS + change })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_change_is_one_and_touches_a_record_of_its_own() {
        let records: BTreeSet<u32> = (1..=CHANGES).map(|change| change * STRIDE % RECORDS).collect();
        assert_eq!(records.len(), CHANGES as usize);
        let first: BTreeSet<Ipv4Addr> = (0..RECORDS).map(|record| address(record, 0)).collect();
        assert!((1..=CHANGES).all(|change| !first.contains(&address(0, change))));
    }
}
