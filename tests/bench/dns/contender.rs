//! One of the servers that are compared: the process, and what a query cost it in each round.

use std::net::SocketAddr;

use anyhow::Context;

use super::load::Load;
use crate::{process::Server, report::progress, statistics::median};

/// Answers below which a figure says nothing.
const FEWEST: f64 = 100.0;

/// A server and what a query cost it, round by round.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    /// Microseconds of processor time per query.
    pub(crate) costs: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(name: &'static str, server: Server) -> Self {
        Self { name, server, costs: Vec::new() }
    }

    /// Has it asked, and notes what its processes spent on a query meanwhile.
    pub(crate) fn measure(
        &mut self,
        round: u32,
        ask: impl FnOnce(SocketAddr) -> anyhow::Result<Load>,
    ) -> anyhow::Result<()> {
        self.measure_time(round, Server::processor_time, ask)
    }

    /// The same with another clock than that of all its processes.
    pub(crate) fn measure_time(
        &mut self,
        round: u32,
        clock: impl Fn(&Server) -> anyhow::Result<f64>,
        ask: impl FnOnce(SocketAddr) -> anyhow::Result<Load>,
    ) -> anyhow::Result<()> {
        let before = clock(&self.server)?;
        let load = ask(self.server.address).with_context(|| format!("{} in round {round}", self.name))?;
        let used = clock(&self.server)? - before;
        if load.completed < FEWEST || load.lost > load.completed / 100.0 {
            anyhow::bail!("{} answered {} questions and lost {}", self.name, load.completed, load.lost);
        }
        let cost = used * 1e6 / load.completed;
        progress(format_args!(
            "round {round}: {:<8} {cost:6.2} µs, {:7.0} queries a second, {} lost",
            self.name, load.rate, load.lost
        ));
        self.costs.push(cost);
        Ok(())
    }
}

/// Median of the ratios within rounds.
pub(crate) fn ratio(ours: &[f64], theirs: impl Iterator<Item = f64>) -> anyhow::Result<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios).context("no round was measured")
}

/// The lowest of several figures in each round.
pub(crate) fn best(of: &[&[f64]]) -> Vec<f64> {
    let rounds = of.iter().map(|figures| figures.len()).min().unwrap_or_default();
    (0..rounds).map(|round| of.iter().map(|figures| figures[round]).fold(f64::INFINITY, f64::min)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_chosen_in_each_round_and_the_median_of_ratios_counts() {
        let theirs = best(&[&[4.0, 9.0, 4.0], &[8.0, 2.0, 4.0, 1.0]]);
        assert!(theirs.iter().zip([4.0, 2.0, 4.0]).all(|(one, other)| (one - other).abs() < 1e-9), "{theirs:?}");
        let ratio = ratio(&[2.0, 2.0, 3.0], theirs.into_iter()).expect("three rounds");
        assert!((ratio - 0.75).abs() < 1e-9, "{ratio}");
        assert!(best(&[]).is_empty());
    }
}
