//! Times the answer path in process, without sockets: building, answering and counting, changing, memory.
//!
//! ```text
//! cargo run --release -p mcdns-serve --example hot_path [SERVICES [QUERIES]]
//! ```
//!
//! The zone has the shape of a federation: a global name with four addresses per service, two regions with two
//! each, four availability zones with one each; every tenth service has an empty region. Questions are a mix of
//! all of them with NODATA and NXDOMAIN. For instructions per query, run it under callgrind with two numbers of
//! queries and divide the difference.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    time::Instant,
};

use mcdns_core::{
    answer::{Entry, Levels, Patch, Snapshot, Soa, ZonePatch},
    dns::{OwnerName, RecordType, Rrset, Serial},
};
use mcdns_serve::{Answer, Client, Counters, Policy, Responder, SnapshotStore, Transport};

const APEX: &str = "example.com";
const REGIONS: [(&str, [&str; 2]); 2] =
    [("us-east-2", ["us-east-2a", "us-east-2b"]), ("ap-northeast-1", ["ap-northeast-1a", "ap-northeast-1c"])];
/// Services whose names are loaded with one patch, so that patches do not take more memory than the table.
const CHUNK: usize = 2_000;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap_or(0));
    let services = arguments.next().unwrap_or(10_000).max(20);
    let queries = arguments.next().unwrap_or(2_000_000);
    let mut out = io::stdout().lock();

    let mut snapshot = Snapshot::default();
    let mut spent = 0.0;
    for first in (0..services).step_by(CHUNK) {
        let names = (first..services.min(first + CHUNK)).flat_map(names_of).collect();
        let patch = patch(names, first == 0);
        let start = Instant::now();
        snapshot = snapshot.apply_in_place(&patch).map_err(io::Error::other)?;
        spent += start.elapsed().as_secs_f64();
    }
    let names = snapshot.zones().next().map_or(0, |zone| zone.entries().count());
    writeln!(out, "{names} names in {spent:.3} s, {}", memory())?;

    let requests: Vec<Vec<u8>> = (0..20_000).map(|number| request(number, services)).collect();
    let store = SnapshotStore::new(snapshot);
    let mut responder = Responder::default();
    let policy = Policy::default();
    let client = Client { address: ([192, 0, 2, 200], 5353).into(), transport: Transport::Udp };
    let cells = Counters::default().add_thread(Transport::Udp);
    let mut octets = 0;
    let start = Instant::now();
    let mut snapshots = store.reader();
    for request in requests.iter().cycle().take(queries) {
        let received = cells.received();
        let answer = responder.respond(snapshots.load(), &policy, request, &client);
        cells.answered(received, &client, request, &answer);
        match answer {
            Answer::Message(reply) => octets += reply.octets.len(),
            Answer::Silence => {}
            Answer::Transfer(transfer) => drop(transfer),
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(queries.max(1)).unwrap_or(u32::MAX));
    writeln!(out, "{each:.0} ns a query, {} octets an answer", octets / queries.max(1))?;

    let changes: Vec<Patch> =
        (0..1_000).map(|number| patch(names_of(number * 7919 % services).take(1).collect(), false)).collect();
    let mut times: Vec<f64> = Vec::new();
    for change in &changes {
        let start = Instant::now();
        let next = store.load().apply(change).map_err(io::Error::other)?;
        store.store(next);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    writeln!(out, "{:.1} µs a change (median), {:.1} µs (99th percentile), {}", times[500], times[990], memory())
}

/// The names of one service with their entries, the global one first.
fn names_of(service: usize) -> impl Iterator<Item = (OwnerName, Option<Entry>)> {
    let prefix = prefix(service);
    let has_empty_region = service.is_multiple_of(10);
    let address = move |number: usize| {
        let octet = |value: usize| u8::try_from(value % 256).unwrap_or(0);
        Box::<[u8]>::from([10, octet(number), octet(service / 256), octet(service)])
    };
    let entry = move |addresses: Vec<usize>, climb: bool| {
        let data = addresses.into_iter().map(address).collect();
        let entry = Entry { rrsets: vec![Rrset::new(RecordType::A, 180, data)], climb: climb.then_some(180) };
        Some(entry)
    };
    let filled = if has_empty_region { 1 } else { 2 };
    let mut names = vec![(name(&format!("{prefix}.{APEX}")), entry((0..2 * filled).collect(), true))];
    for (number, (region, availability_zones)) in REGIONS.iter().enumerate().take(filled) {
        names.push((name(&format!("{prefix}.{region}.{APEX}")), entry(vec![2 * number, 2 * number + 1], false)));
        for (inner, availability_zone) in availability_zones.iter().enumerate() {
            let owner = name(&format!("{prefix}.{availability_zone}.{region}.{APEX}"));
            names.push((owner, entry(vec![2 * number + inner], false)));
        }
    }
    names.into_iter()
}

fn patch(names: BTreeMap<OwnerName, Option<Entry>>, first: bool) -> Patch {
    let soa = Soa {
        primary: name("ns1.example.com"),
        contact: name("hostmaster.example.com"),
        serial: Serial(1),
        refresh: 3600,
        retry: 600,
        expire: 604_800,
        negative_ttl: 30,
        ttl: 3600,
    };
    let regions = REGIONS.map(|(region, inner)| (region.into(), inner.map(Into::into).into()));
    let levels = first.then(|| Levels { regions: regions.into() });
    Patch { zones: [(name(APEX), ZonePatch { soa: first.then_some(soa), levels, names })].into(), ..Patch::default() }
}

/// 60 % global names, 15 % regions, 10 % availability zones, 5 % without data, 10 % that do not exist.
fn request(number: usize, services: usize) -> Vec<u8> {
    let service = number.wrapping_mul(2_654_435_761) % services;
    let prefix = prefix(service);
    let (region, availability_zones) = REGIONS[number / 20 % 2];
    let (asked, record_type) = match number % 20 {
        0..12 => (prefix, RecordType::A),
        12..15 => (format!("{prefix}.{region}"), RecordType::A),
        15..17 => (format!("{prefix}.{}.{region}", availability_zones[number / 40 % 2]), RecordType::A),
        17 => (prefix, RecordType::AAAA),
        _ => (format!("nope{number}.ns{}.galactic.svc", number % 200), RecordType::A),
    };
    let mut request = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    request.extend_from_slice(name(&format!("{asked}.{APEX}")).as_wire());
    request.extend_from_slice(&record_type.0.to_be_bytes());
    request.extend_from_slice(&[0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    request
}

fn prefix(service: usize) -> String {
    format!("svc{service}.ns{}.galactic.svc", service % 200)
}

/// Every name here is a good one.
fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).unwrap_or_else(|_| OwnerName::root())
}

/// Memory of the process now and at most.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
