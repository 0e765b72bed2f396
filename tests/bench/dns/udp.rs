//! Processor time per query over UDP: as fast as one sender can ask, and at rates that a server really sees.

use super::{
    Zone,
    contender::{Contender, best, ratio},
    load::{Over, Questions, dnsperf},
    servers::{self, Peer},
};
use crate::{Setup, report::Report, statistics::median};

/// Questions per second of the paced rounds.
const RATES: [(Option<u32>, &str); 3] =
    [(None, "as fast as can be"), (Some(50_000), "at 50,000 a second"), (Some(2_000), "at 2,000 a second")];

/// Measures all, and holds mcdns against the others.
pub(super) fn measure(setup: &Setup, zone: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let mut contenders = vec![
        Contender::new("mcdns", servers::mcdns(&setup.mcdns, zone.folder())?),
        Contender::new("NSD", servers::nsd(zone.folder())?),
        Contender::new("Knot", servers::knot(zone.folder())?),
        Contender::new("echo", servers::echo(zone.folder())?),
    ];
    let file = zone.folder().join("questions");
    for (rate, words) in RATES {
        let questions = Questions { file: &file, seconds: setup.seconds, rate, over: Over::Udp };
        for contender in &mut contenders {
            contender.costs.clear();
        }
        for round in 1..=setup.rounds {
            for contender in contenders.iter_mut().filter(|contender| rate.is_none() || contender.name != "echo") {
                contender.measure(round, |server| dnsperf(server, questions))?;
            }
        }
        let costs = contenders.iter().filter_map(|one| Some(format!("{} {:.2} µs", one.name, median(&one.costs)?)));
        report.information(format!("processor time per query {words}"), costs.collect::<Vec<_>>().join(", "));
        let [ours, nsd, knot, echo] = &contenders[..] else { unreachable!("four were started") };
        let wanted = if rate.is_none() { ("at most 0.85 times", 0.85) } else { ("at most as much", 1.0) };
        let ratio = ratio(&ours.costs, best(&[&nsd.costs, &knot.costs]).into_iter())?;
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
    let file = zone.folder().join("questions");
    let questions = Questions { file: &file, seconds: setup.seconds, rate: None, over: Over::Udp };
    for round in 1..=setup.rounds {
        ours.measure(round, |server| dnsperf(server, questions))?;
        coredns.measure(round, |server| dnsperf(server, questions))?;
    }
    let ratio = ratio(&ours.costs, coredns.costs.iter().copied())?;
    let what = "processor time per query, against CoreDNS with its plug-in `file`";
    report.at_most(what, "at most a 15th", 1.0 / 15.0, ratio, format!("a {:.0}th", 1.0 / ratio));
    Ok(())
}
