//! Processor time per query while the snapshot changes a thousand times a second.
//!
//! The server is this program itself, started once more: the same [`Server`] as in mcdns, with a thread beside it that
//! patches one name after the other. What counts is the thread that answers, alone: patching has its own price, and
//! would be paid without a single query. What that thread pays is that its snapshot is another one in each batch, and
//! that nodes which have just been written are not in its cache.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use mcdns_core::{
    answer::{Entry, Patch, Snapshot, ZonePatch},
    check::zone,
    dns::{OwnerName, RecordType, Rrset, master},
};
use mcdns_serve::{Listener, PolicyStore, Server, SnapshotStore};

use super::{
    Zone,
    contender::{Contender, ratio},
    load::{Over, Questions, dnsperf},
    servers,
};
use crate::{
    Setup,
    report::{Report, progress, say},
    statistics::median,
};

/// Patches a second.
const RATE: u32 = 1_000;
/// The threads of the server that answer over UDP are called so, with a number.
const THREADS: &str = "udp-";
/// Distance between the names that change, a prime, so that they are spread over everything.
const STRIDE: usize = 7919;
/// Patches after which their number is told.
const TELL: usize = 100;

/// Measures with patches and without, in turn, each in a process of its own: an idle one shares the core with nobody.
pub(super) fn measure(setup: &Setup, of: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let file = of.folder().join("questions");
    let questions = Questions { file: &file, seconds: setup.seconds, rate: None, over: Over::Udp };
    let (mut idle, mut patched) = (Vec::new(), Vec::new());
    for round in 1..=setup.rounds {
        for (name, rate, costs) in [("idle", 0, &mut idle), ("patched", RATE, &mut patched)] {
            let mut contender = Contender::new(name, servers::patched(of.folder(), rate)?);
            let log = of.folder().join("patched.log");
            let (before, start) = (told(&log), Instant::now());
            contender.measure_time(
                round,
                |server| server.time_of_threads(THREADS),
                |server| dnsperf(server, questions),
            )?;
            let rate_seen = f64::from(told(&log) - before) / start.elapsed().as_secs_f64();
            if rate_seen < f64::from(rate) * 0.9 {
                bail!("only {rate_seen:.0} patches a second were made");
            }
            progress(format_args!("round {round}: {rate_seen:.0} patches a second"));
            costs.append(&mut contender.costs);
        }
    }
    let of = |costs: &[f64]| median(costs).context("no round was measured");
    let ratio = ratio(&patched, idle.iter().copied())?;
    let measured = format!("{ratio:.2} times ({:.2} µs, idle {:.2} µs)", of(&patched)?, of(&idle)?);
    report.at_most(
        "the same while the snapshot is patched 1,000 times a second",
        "at most 1.10 times idle",
        1.10,
        ratio,
        measured,
    );
    Ok(())
}

/// Serves the zone and patches it so many times a second, until somebody ends the process.
pub(crate) fn serve(file: &Path, address: SocketAddr, rate: u32) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let apex = OwnerName::parse(support::zone::APEX)?;
    let name: Arc<str> = file.display().to_string().into();
    let nothing_included = &mut |_: &str, _: &Arc<str>| Err("nothing is included here".to_owned());
    let (records, _) = master::read(&text, &name, &apex, nothing_included);
    drop(text);
    let contents = zone::assemble(&apex, records).0.context("the file gives no zone")?;
    let store = Arc::new(SnapshotStore::new(Snapshot::default().with_zone(&contents)?));
    let _server = Server::bind(&[Listener::plain(address)], 1, &store, &PolicyStore::default())?;
    if rate == 0 {
        loop {
            thread::park();
        }
    }
    let entries: Vec<(OwnerName, Entry)> = store
        .load()
        .zone(&apex)
        .into_iter()
        .flat_map(mcdns_core::answer::Zone::entries)
        .filter(|(_, entry)| has_addresses(entry))
        .collect();
    if entries.is_empty() {
        bail!("the zone has no addresses to change");
    }
    let start = Instant::now();
    for number in 0_usize.. {
        let (name, entry) = &entries[number * STRIDE % entries.len()];
        let names = BTreeMap::from([(name.clone(), Some(with_other_addresses(entry, number)))]);
        let changes = ZonePatch { names, ..ZonePatch::default() };
        let patch = Patch { zones: [(apex.clone(), changes)].into(), ..Patch::default() };
        let next = store.load().apply(&patch)?;
        store.store(next);
        if number % TELL == 0 {
            say(format_args!("{number}"));
        }
        // From the start and not from the one before: who was late catches up.
        let due = Duration::from_secs(1) / rate * u32::try_from(number + 1)?;
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// The number of patches that were told last.
fn told(log: &Path) -> u32 {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find_map(|line| line.parse().ok()).unwrap_or_default()
}

fn has_addresses(entry: &Entry) -> bool {
    entry.rrsets.iter().any(|rrset| rrset.record_type == RecordType::A)
}

/// As many addresses as before, other ones.
fn with_other_addresses(entry: &Entry, number: usize) -> Entry {
    let mut changed = entry.clone();
    for rrset in changed.rrsets.iter_mut().filter(|rrset| rrset.record_type == RecordType::A) {
        let data = rrset.data().iter().map(|address| {
            let mut address = address.clone();
            if let [_, _, third, fourth] = &mut *address {
                [*third, *fourth] = u16::try_from(number & 0xffff).unwrap_or_default().to_be_bytes();
            }
            address
        });
        *rrset = Rrset::new(rrset.record_type, rrset.ttl, data.collect());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_name_has_as_many_addresses_and_none_of_before() {
        let addresses = vec![Box::from([10, 0, 1, 2]), Box::from([10, 1, 1, 2])];
        let entry = Entry::fixed(vec![Rrset::new(RecordType::A, 60, addresses)]);
        let changed = with_other_addresses(&entry, 65_536 + 1_027);
        assert!(has_addresses(&changed));
        assert_eq!(changed.rrsets[0].data(), [Box::from([10, 0, 4, 3]), Box::from([10, 1, 4, 3])]);
    }

    #[test]
    fn the_last_number_told_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        assert_eq!(told(&log), 0);
        fs::write(&log, "0\n1000\nended\n").expect("written");
        assert_eq!(told(&log), 1000);
    }
}
