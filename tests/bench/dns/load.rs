//! dnsperf, and what it reports.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, bail};

/// The core that asks; the other one has the server.
pub(crate) const CORE_OF_LOAD: u32 = 1;

/// What is asked, how, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Questions<'a> {
    pub(crate) file: &'a Path,
    pub(crate) seconds: u32,
    /// Questions per second; none: as many as it can.
    pub(crate) rate: Option<u32>,
    pub(crate) over: Over,
}

/// What dnsperf speaks. All but UDP on connections that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Udp,
    Tcp,
    Tls,
}

/// What dnsperf reports of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) completed: f64,
    pub(crate) lost: f64,
    pub(crate) rate: f64,
}

/// Asks. A lost packet makes dnsperf wait; few questions under way keep that rare.
pub(crate) fn dnsperf(server: SocketAddr, questions: Questions<'_>) -> anyhow::Result<Load> {
    let mut command = Command::new("taskset");
    let seconds = questions.seconds.to_string();
    let core = CORE_OF_LOAD.to_string();
    command
        .args(["--cpu-list", &core, "dnsperf", "-c", "8", "-q", "200", "-l", &seconds])
        .args(questions.over.options());
    if let Some(rate) = questions.rate {
        command.args(["-Q", &rate.to_string()]);
    }
    command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string(), "-d"]).arg(questions.file);
    let output = command.output().context("`taskset` cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("dnsperf failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Load::parse(&text).with_context(|| format!("dnsperf says something unknown: {text}"))
}

impl Over {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Udp => &["-m", "udp"],
            Self::Tcp => &["-m", "tcp"],
            Self::Tls => &["-m", "dot"],
        }
    }
}

impl Load {
    fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| crate::machine::field(text, name)?.split_whitespace().next()?.parse::<f64>().ok();
        Some(Self {
            completed: number("Queries completed")?,
            lost: number("Queries lost")?,
            rate: number("Queries per second")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_dnsperf_are_read() {
        let text = "Statistics:\n\n  Queries sent:         500\n  Queries completed:    499 (99.80%)\n  \
                    Queries lost:         1 (0.20%)\n\n  Queries per second:   49741.300917\n";
        assert_eq!(Load::parse(text), Some(Load { completed: 499.0, lost: 1.0, rate: 49_741.300_917 }));
        assert_eq!(Load::parse("Usage: dnsperf"), None);
    }
}
