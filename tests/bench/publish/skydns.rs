//! Answers from the keys of one etcd: those of mcdns, which has read them before, and those of CoreDNS, whose plug-in
//! `etcd` asks etcd for every query.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use interop::{CoreDns, Etcd};
use support::federation::APEX;
use tokio::runtime::Runtime;

use super::{etcd, name, wishes};
use crate::{
    Setup,
    dns::{
        contender::{Contender, ratio},
        load::{Over, Questions, dnsperf},
        servers::CORE_OF_SERVERS,
    },
    process::{Server, free_address, processor_time_of},
    question::Asker,
    report::{Report, progress},
    statistics::median,
};

const NAMES: usize = 10_000;
/// Questions before they begin again.
const QUESTIONS: usize = 50_000;
/// Distance between two names that are asked for, a prime, so that they are spread over all.
const STRIDE: usize = 7_919;
/// When to give up on a start.
const START: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Both over the same keys, in turns.
pub(super) fn measure(setup: &Setup, runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    ensure!(std::thread::available_parallelism()?.get() >= 2, "two cores are needed, for a server and for the load");
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let file = folder.path().join("questions");
    fs::write(&file, questions()?)?;
    let etcd = runtime.block_on(Etcd::start());
    let store = etcd.id().context("etcd does not run")?;
    let (_, done, _) = runtime.block_on(etcd::publish(&etcd, &wishes(NAMES)?))?;
    ensure!(done == NAMES, "{done} names were written");

    let mut ours = Contender::new("mcdns", mcdns(&setup.mcdns, &etcd, folder.path())?);
    let mut theirs = Contender::new("CoreDNS", coredns(&etcd, folder.path())?);
    let questions = Questions { file: &file, seconds: setup.seconds, rate: None, over: Over::Udp };
    let (mut beside_ours, mut beside_theirs) = (Vec::new(), Vec::new());
    for round in 1..=setup.rounds {
        for (contender, beside) in [(&mut ours, &mut beside_ours), (&mut theirs, &mut beside_theirs)] {
            let mut completed = 0.0;
            let before = processor_time_of(store)?;
            contender.measure(round, |server| {
                let load = dnsperf(server, questions)?;
                completed = load.completed;
                Ok(load)
            })?;
            beside.push((processor_time_of(store)? - before) * 1e6 / completed);
        }
    }
    let middle = |costs: &[f64]| median(costs).context("no round was measured");
    let times = ratio(&theirs.costs, ours.costs.iter().copied())?;
    let (ours, theirs) = (middle(&ours.costs)?, middle(&theirs.costs)?);
    let (beside_ours, beside_theirs) = (middle(&beside_ours)?, middle(&beside_theirs)?);
    let what = "processor time per query from SkyDNS keys, against CoreDNS with its plug-in `etcd`";
    let measured = format!("{times:.0} times less ({ours:.2} µs, CoreDNS {theirs:.0} µs)");
    report.at_least(what, "at least 15 times less", 15.0, times, measured);
    let measured = format!("{beside_ours:.2} µs for mcdns, {beside_theirs:.0} µs for CoreDNS");
    report.information("what etcd itself needs per query meanwhile", measured);
    Ok(())
}

/// One after the other, in a form that dnsperf reads.
fn questions() -> anyhow::Result<String> {
    let mut text = String::new();
    for question in 0..QUESTIONS {
        writeln!(text, "{}.{APEX} A", name(question * STRIDE % NAMES))?;
    }
    Ok(text)
}

fn mcdns(program: &Path, etcd: &Etcd, folder: &Path) -> anyhow::Result<Server> {
    let address = free_address()?;
    let mut arguments: Vec<String> =
        ["run", "--skydns", &etcd.endpoint(), "--skydns-zone", APEX].map(String::from).into();
    arguments.extend(["--listen".to_owned(), address.to_string(), "--admin".to_owned(), free_address()?.to_string()]);
    arguments.extend(["--state-dir".to_owned(), folder.join("state").display().to_string()]);
    let log = folder.join("mcdns.log");
    answering(Server::start(program, &arguments, address, Some(CORE_OF_SERVERS), &log)?, &log)
}

fn coredns(etcd: &Etcd, folder: &Path) -> anyhow::Result<Server> {
    let address = free_address()?;
    let settings = folder.join("Corefile");
    let (port, endpoint) = (address.port(), etcd.endpoint());
    fs::write(
        &settings,
        format!(".:{port} {{\n  bind {}\n  etcd {APEX} {{\n    endpoint {endpoint}\n  }}\n}}\n", address.ip()),
    )?;
    let arguments = ["-conf".to_owned(), settings.display().to_string()];
    let log = folder.join("coredns.log");
    answering(Server::start(&CoreDns::program(), &arguments, address, Some(CORE_OF_SERVERS), &log)?, &log)
}

/// Once it knows all that is there: names of each kind are answered as they should be.
fn answering(mut server: Server, log: &Path) -> anyhow::Result<Server> {
    let mut asker = Asker::new(server.address, Duration::from_secs(1))?;
    let began = Instant::now();
    // Multiples of three have two addresses; the last of all is among them.
    for index in [0, 1, 2, NAMES - 1] {
        let address =
            |block: u8| Ipv4Addr::from(u32::from_be_bytes([block, 0, 0, 0]) + u32::try_from(index).unwrap_or(0));
        let wanted = match index % 3 {
            0 => vec![address(10), address(11)],
            1 => vec![address(10)],
            // An alias of the name before.
            _ => vec![Ipv4Addr::from(u32::from(address(10)) - 1)],
        };
        let passed = asker.until(&format!("{}.{APEX}", name(index)), &wanted, began, START, PAUSE);
        server.check(log)?;
        passed?;
    }
    progress(format_args!("answers after {:.2} s", began.elapsed().as_secs_f64()));
    Ok(server)
}
