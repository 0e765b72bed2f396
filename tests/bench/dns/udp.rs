//! Processor time per query over UDP: as fast as one sender can ask, at rates that a server really sees, and while
//! the snapshot changes.

use std::path::Path;

use anyhow::Context;

use super::{
    Zone,
    load::{Questions, dnsperf},
    servers::{self, Peer},
};
use crate::{
    Setup,
    process::Server,
    report::{Report, progress},
    statistics::median,
};

/// Questions per second of the paced rounds.
const RATES: [(Option<u32>, &str); 3] =
    [(None, "as fast as can be"), (Some(50_000), "at 50,000 a second"), (Some(2_000), "at 2,000 a second")];

/// A server and what a query cost it, round by round.
struct Contender {
    name: &'static str,
    server: Server,
    /// Microseconds of processor time per query.
    costs: Vec<f64>,
}

/// Measures all, and holds mcdns against the others.
pub(super) fn measure(setup: &Setup, zone: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let mut contenders = vec![
        Contender::new("mcdns", servers::mcdns(&setup.mcdns, zone.folder())?),
        Contender::new("NSD", servers::nsd(zone.folder())?),
        Contender::new("Knot", servers::knot(zone.folder())?),
        Contender::new("echo", servers::echo(zone.folder())?),
    ];
    for (rate, words) in RATES {
        for contender in &mut contenders {
            contender.costs.clear();
        }
        for round in 1..=setup.rounds {
            for contender in contenders.iter_mut().filter(|contender| rate.is_none() || contender.name != "echo") {
                contender.load(zone.folder(), setup.seconds, rate, round)?;
            }
        }
        let costs = contenders.iter().filter_map(|one| Some(format!("{} {:.2} µs", one.name, median(&one.costs)?)));
        report.information(format!("processor time per query {words}"), costs.collect::<Vec<_>>().join(", "));
        let [ours, nsd, knot, echo] = &contenders[..] else { unreachable!("four were started") };
        let wanted = if rate.is_none() { ("at most 0.85 times", 0.85) } else { ("at most as much", 1.0) };
        let better = nsd.costs.iter().zip(&knot.costs).map(|(nsd, knot)| nsd.min(*knot));
        let ratio = ratio(&ours.costs, better)?;
        let what = format!("the same, against the better of NSD and Knot, {words}");
        report.at_most(what, wanted.0, wanted.1, ratio, format!("{ratio:.2} times"));
        if rate.is_none() {
            let ratio = self::ratio(&ours.costs, echo.costs.iter().copied())?;
            let what = "the same, against an echo that does nothing";
            report.at_most(what, "at most 1.10 times", 1.10, ratio, format!("{ratio:.2} times"));
        }
    }
    Ok(())
}

/// Against CoreDNS, which is slow enough for the load to be its limit.
pub(super) fn measure_coredns(setup: &Setup, zone: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let Peer::Found(coredns) = servers::coredns(zone.folder())? else {
        report.information("processor time per query, against CoreDNS", "not measured: no `coredns`".to_owned());
        return Ok(());
    };
    let mut ours = Contender::new("mcdns", servers::mcdns(&setup.mcdns, zone.folder())?);
    let mut coredns = Contender::new("CoreDNS", coredns);
    for round in 1..=setup.rounds {
        ours.load(zone.folder(), setup.seconds, None, round)?;
        coredns.load(zone.folder(), setup.seconds, None, round)?;
    }
    let ratio = ratio(&ours.costs, coredns.costs.iter().copied())?;
    let what = "processor time per query, against CoreDNS with its plug-in `file`";
    report.at_most(what, "at most a 15th", 1.0 / 15.0, ratio, format!("a {:.0}th", 1.0 / ratio));
    Ok(())
}

impl Contender {
    fn new(name: &'static str, server: Server) -> Self {
        Self { name, server, costs: Vec::new() }
    }

    fn load(&mut self, folder: &Path, seconds: u32, rate: Option<u32>, round: u32) -> anyhow::Result<()> {
        let before = self.server.processor_time()?;
        let file = folder.join("questions");
        let load = dnsperf(self.server.address, Questions { file: &file, seconds, rate })?;
        let used = self.server.processor_time()? - before;
        if load.completed < 1000.0 || load.lost > load.completed / 100.0 {
            anyhow::bail!("{} answered {} questions and lost {}", self.name, load.completed, load.lost);
        }
        let cost = used * 1e6 / load.completed;
        progress(format_args!(
            "round {round}: {:<7} {cost:6.2} µs, {:7.0} queries a second, {} lost",
            self.name, load.rate, load.lost
        ));
        self.costs.push(cost);
        Ok(())
    }
}

/// Median of the ratios within rounds.
fn ratio(ours: &[f64], theirs: impl Iterator<Item = f64>) -> anyhow::Result<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios).context("no round was measured")
}
