//! What a zone takes: time to load it, and memory.

use anyhow::Context;

use super::{Zone, servers};
use crate::{
    Setup,
    process::Server,
    report::{Report, progress},
    statistics::median,
};

/// Rounds: loading is long, and its processor time hardly differs from one to the next.
const ROUNDS: u32 = 3;

/// Processor seconds to load, and MiB, of one server, round by round.
#[derive(Default)]
struct Measured {
    seconds: Vec<f64>,
    memory: Vec<f64>,
}

/// Starts all three in turn, and holds mcdns against the best of the others.
pub(super) fn measure(setup: &Setup, zone: &Zone, names: &str, report: &mut Report) -> anyhow::Result<()> {
    let folder = zone.folder();
    let mut all = [Measured::default(), Measured::default(), Measured::default()];
    for round in 1..=ROUNDS.min(setup.rounds) {
        all[0].add(&servers::mcdns(&setup.mcdns, folder)?)?;
        all[1].add(&servers::nsd(folder)?)?;
        all[2].add(&servers::knot(folder)?)?;
        progress(format_args!("round {round}: {} names loaded by all", zone.names));
    }
    let of = |values: fn(&Measured) -> &Vec<f64>| -> anyhow::Result<[f64; 3]> {
        let mut medians = [0.0; 3];
        for (median_of, measured) in medians.iter_mut().zip(&all) {
            *median_of = median(values(measured)).context("nothing was measured")?;
        }
        Ok(medians)
    };
    let [ours, nsd, knot] = of(|measured| &measured.memory)?;
    let text = format!("{ours:.1} MiB; NSD {nsd:.1}, Knot {knot:.1}");
    report.at_most(format!("memory for {names} names"), "at most the best peer's", nsd.min(knot), ours, text);
    let [ours, nsd, knot] = of(|measured| &measured.seconds)?;
    let text = format!("{ours:.2} s; NSD {nsd:.2}, Knot {knot:.2}");
    let what = format!("processor time to load a master file of {names} names");
    report.at_most(what, "at most the best peer's", nsd.min(knot), ours, text);
    Ok(())
}

impl Measured {
    /// Takes the figures of a server that has just loaded the zone.
    fn add(&mut self, server: &Server) -> anyhow::Result<()> {
        self.seconds.push(server.processor_time()?);
        self.memory.push(server.memory());
        Ok(())
    }
}
