//! Against NSD and Knot: processor time per query and memory, with one zone and one mix of questions.
//!
//! ```text
//!   core 0: the server         core 1: dnsperf, 8 sockets, up to 200 questions under way
//! ```
//!
//! One sender cannot saturate a server that is good, so the figure is processor time per query and not queries per
//! second. Servers take turns, round by round, and the ratio is taken within a round, so that what else the machine
//! does strikes them alike.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use support::zone::{self, KNOWN_NAME};

use crate::{
    Setup,
    process::{Server, free_address},
    question::Asker,
    report::{Report, progress},
    statistics::median,
};

/// Services in the zone; they have 70,000 names.
const SERVICES: u32 = 10_000;
const CORE_OF_SERVERS: u32 = 0;
const CORE_OF_LOAD: &str = "1";
/// How long a server may take to load the zone.
const LOADING: Duration = Duration::from_mins(1);
/// Where Debian keeps servers, which is not on everybody's path.
const SERVERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];

/// A server and what was measured of it, round by round.
#[derive(Debug)]
struct Contender {
    name: &'static str,
    server: Server,
    /// Microseconds of processor time per query.
    costs: Vec<f64>,
    /// Queries in a second.
    rates: Vec<f64>,
}

/// What dnsperf reports of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Load {
    completed: f64,
    lost: f64,
    rate: f64,
}

/// Measures all three, and holds mcdns against the better of the others.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    if thread::available_parallelism()?.get() < 2 {
        bail!("two cores are needed, one for the server and one for the load");
    }
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let services = zone::services(SERVICES);
    let zone_file = folder.path().join("example.com.zone");
    let questions = folder.path().join("questions");
    fs::write(&zone_file, services.master_file)?;
    fs::write(&questions, services.questions)?;

    let nsd = start_nsd(folder.path())?;
    let knot = start_knot(folder.path())?;
    // Without mcdns, the peers still say what there is to reach.
    let (ours, refusal) = match start_mcdns(&setup.mcdns, &zone_file, folder.path()) {
        Ok(ours) => (Some(ours), None),
        Err(error) => (None, Some(error)),
    };
    let mut contenders: Vec<Contender> = ours.into_iter().chain([nsd, knot]).collect();
    for round in 1..=setup.rounds {
        for contender in &mut contenders {
            contender.load(&questions, setup.seconds, round)?;
        }
    }
    for contender in &contenders {
        report.information(
            format!("{}: processor time per query, memory", contender.name),
            format!(
                "{:.2} µs at {:.0} queries a second, {:.1} MiB",
                contender.cost()?,
                median(&contender.rates).unwrap_or_default(),
                contender.server.memory()
            ),
        );
    }
    if let Some(error) = refusal {
        return Err(error);
    }
    let [ours, nsd, knot] = &contenders[..] else { bail!("three servers were started") };
    let ratios: Vec<f64> = ours
        .costs
        .iter()
        .zip(nsd.costs.iter().zip(&knot.costs))
        .map(|(ours, (nsd, knot))| ours / nsd.min(*knot))
        .collect();
    let ratio = median(&ratios).context("no round was measured")?;
    report.at_most(
        "processor time per query, against the better of NSD and Knot",
        "at most 1.1 times",
        1.1,
        ratio,
        format!("{ratio:.2} times"),
    );
    let (memory, limit) = (ours.server.memory(), knot.server.memory());
    report.at_most(
        "memory for 70,000 names",
        "at most Knot's",
        limit,
        memory,
        format!("{memory:.1} MiB, Knot {limit:.1} MiB"),
    );
    Ok(())
}

impl Contender {
    fn load(&mut self, questions: &Path, seconds: u32, round: u32) -> anyhow::Result<()> {
        let before = self.server.processor_time()?;
        let load = dnsperf(self.server.address, questions, seconds)?;
        let used = self.server.processor_time()? - before;
        if load.completed < 1000.0 || load.lost > load.completed / 100.0 {
            bail!("{} answered {} questions and lost {}", self.name, load.completed, load.lost);
        }
        let cost = used * 1e6 / load.completed;
        progress(format_args!(
            "round {round}: {:<6} {cost:6.2} µs, {:7.0} queries a second, {} lost",
            self.name, load.rate, load.lost
        ));
        self.costs.push(cost);
        self.rates.push(load.rate);
        Ok(())
    }

    fn cost(&self) -> anyhow::Result<f64> {
        median(&self.costs).context("no round was measured")
    }
}

fn start_mcdns(program: &Path, zone_file: &Path, folder: &Path) -> anyhow::Result<Contender> {
    start("mcdns", program, folder, |address| {
        Ok(vec!["serve".to_owned(), zone_file.display().to_string(), "--listen".to_owned(), address.to_string()])
    })
}

/// One process that answers, no limit on the rate, nothing written outside the folder, no other user.
fn start_nsd(folder: &Path) -> anyhow::Result<Contender> {
    let home = folder.join("nsd");
    start("NSD", &find("nsd")?, folder, |address| {
        fs::create_dir(&home)?;
        let home = home.display();
        let zone_file = folder.join("example.com.zone");
        let mut text = String::from("server:\n");
        for (key, value) in [
            ("ip-address", format!("127.0.0.1@{}", address.port())),
            ("server-count", "1".to_owned()),
            ("username", "\"\"".to_owned()),
            ("rrl-ratelimit", "0".to_owned()),
            ("zonesdir", format!("\"{home}\"")),
            ("database", "\"\"".to_owned()),
            ("pidfile", format!("\"{home}/pid\"")),
            ("xfrdfile", format!("\"{home}/xfrd.state\"")),
            ("xfrdir", format!("\"{home}\"")),
            ("zonelistfile", format!("\"{home}/zone.list\"")),
        ] {
            writeln!(text, "  {key}: {value}")?;
        }
        write!(
            text,
            "remote-control:\n  control-enable: no\nzone:\n  name: \"{}\"\n  zonefile: \"{}\"\n",
            zone::APEX,
            zone_file.display()
        )?;
        let settings = folder.join("nsd.conf");
        fs::write(&settings, text)?;
        Ok(vec!["-d".to_owned(), "-c".to_owned(), settings.display().to_string()])
    })
}

/// One thread for UDP, no journal, nothing written outside the folder.
fn start_knot(folder: &Path) -> anyhow::Result<Contender> {
    let home = folder.join("knot");
    start("Knot", &find("knotd")?, folder, |address| {
        fs::create_dir_all(home.join("db"))?;
        let text = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{home}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\n\
             database:\n  storage: \"{home}/db\"\n\
             log:\n  - target: stderr\n    any: warning\n\
             template:\n  - id: default\n    storage: \"{folder}\"\n    journal-content: none\n    semantic-checks: off\n    \
             zonefile-sync: -1\n\
             zone:\n  - domain: {apex}\n    file: example.com.zone\n",
            port = address.port(),
            home = home.display(),
            folder = folder.display(),
            apex = zone::APEX,
        );
        let settings = folder.join("knot.conf");
        fs::write(&settings, text)?;
        Ok(vec!["--config".to_owned(), settings.display().to_string()])
    })
}

/// Starts a server and waits until it knows the zone.
fn start(
    name: &'static str,
    program: &Path,
    folder: &Path,
    arguments: impl FnOnce(SocketAddr) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<Contender> {
    let address = free_address()?;
    let arguments = arguments(address)?;
    let log = folder.join(format!("{name}.log"));
    let mut server = Server::start(program, &arguments, address, Some(CORE_OF_SERVERS), &log)?;
    let mut asker = Asker::new(address, Duration::from_millis(200))?;
    let started = Instant::now();
    while asker.addresses(KNOWN_NAME)?.is_none_or(|addresses| addresses.len() != 4) {
        server.check(&log)?;
        if started.elapsed() > LOADING {
            bail!("{name} does not know {KNOWN_NAME} after {} s", LOADING.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    progress(format_args!("{name} answers after {:.2} s", started.elapsed().as_secs_f64()));
    Ok(Contender { name, server, costs: Vec::new(), rates: Vec::new() })
}

/// A lost packet makes dnsperf wait; few questions under way keep that rare.
fn dnsperf(server: SocketAddr, questions: &Path, seconds: u32) -> anyhow::Result<Load> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CORE_OF_LOAD, "dnsperf", "-c", "8", "-q", "200", "-l", &seconds.to_string()]);
    command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string(), "-d"]).arg(questions);
    let output = command.output().context("`taskset` cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("dnsperf failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Load::parse(&text).with_context(|| format!("dnsperf says something unknown: {text}"))
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

fn find(program: &str) -> anyhow::Result<PathBuf> {
    SERVERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is missing; `cargo xtask bench dns` installs it or says how"))
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
