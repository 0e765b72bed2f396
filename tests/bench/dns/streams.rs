//! Queries over connections that are kept: TCP, TLS, HTTPS and QUIC.
//!
//! Each server has all transports that it offers on one process and one core, and is loaded over one of them at a
//! time. hickory-server ends a connection over QUIC after 100 queries; what that costs is in its figure. Only names that
//! have addresses are asked for: hickory walks its whole zone for one that does not exist, some milliseconds each, and
//! would be no measure for anybody.

use std::fs;

use super::{
    Zone,
    clients::{self, Protocol},
    contender::{Contender, best, ratio},
    load::{Load, Over, Questions, dnsperf},
    secured::{self, Certificate, Ports},
};
use crate::{Setup, process::Server, report::Report, statistics::median};

/// A transport, and how it is asked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    Https,
    Quic,
}

const TRANSPORTS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

/// Measures mcdns against all that offer a transport.
pub(super) fn measure(setup: &Setup, zone: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let folder = zone.folder();
    let certificate = Certificate::new(folder)?;
    let started = |name, started: (Server, Ports)| (Contender::new(name, started.0), started.1);
    let mut all = [
        started("mcdns", secured::mcdns(&setup.mcdns, folder, &certificate)?),
        started("Knot", secured::knot(folder)?),
        started("BIND", secured::bind(folder, &certificate)?),
        started("hickory", secured::hickory(folder, &certificate)?),
    ];
    let file = folder.join("questions-with-answers");
    let questions = fs::read_to_string(folder.join("questions"))?;
    fs::write(&file, answered(&questions))?;
    for transport in TRANSPORTS {
        for (contender, _) in &mut all {
            contender.costs.clear();
        }
        for round in 1..=setup.rounds {
            for (contender, ports) in all.iter_mut().filter(|(contender, _)| transport.is_offered_by(contender.name)) {
                contender.measure(round, |server| transport.ask(ports, server, &file, setup.seconds, &certificate))?;
            }
        }
        let words = transport.name();
        let [(ours, _), peers @ ..] = &all;
        let offered: Vec<&Contender> =
            peers.iter().map(|(peer, _)| peer).filter(|peer| !peer.costs.is_empty()).collect();
        let rates = std::iter::once(ours).chain(offered.iter().copied());
        let rates = rates.filter_map(|one| Some(format!("{} {:.0}", one.name, 1e6 / median(&one.costs)?)));
        report.information(format!("queries per processor second over {words}"), rates.collect::<Vec<_>>().join(", "));
        let costs: Vec<&[f64]> = offered.iter().map(|peer| &*peer.costs).collect();
        let ratio = ratio(&best(&costs), ours.costs.iter().copied())?;
        let names: Vec<&str> = offered.iter().map(|peer| peer.name).collect();
        let what = format!("the same over {words}, against the best of {}", names.join(", "));
        report.at_least(what, "at least as many", 1.0, ratio, format!("{ratio:.2} times"));
    }
    Ok(())
}

/// The questions for addresses that there are.
fn answered(questions: &str) -> String {
    let lines = questions.lines().filter(|line| line.ends_with(" A") && !line.starts_with("nothing-"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Https => "HTTPS",
            Self::Quic => "QUIC",
        }
    }

    /// Knot speaks QUIC from version 3.3 on, and neither TLS nor HTTPS; BIND does not speak QUIC.
    fn is_offered_by(self, server: &str) -> bool {
        match server {
            "Knot" => self == Self::Tcp,
            "BIND" => self != Self::Quic,
            _ => true,
        }
    }

    fn ask(
        self,
        ports: &Ports,
        server: std::net::SocketAddr,
        file: &std::path::Path,
        seconds: u32,
        certificate: &Certificate,
    ) -> anyhow::Result<Load> {
        let questions = |over| Questions { file, seconds, rate: None, over };
        match self {
            Self::Tcp => dnsperf(server, questions(Over::Tcp)),
            Self::Tls => dnsperf(ports.tls, questions(Over::Tls)),
            Self::Https => clients::ask(Protocol::Https, ports.https, file, seconds, &certificate.chain),
            Self::Quic => clients::ask(Protocol::Quic, ports.quic, file, seconds, &certificate.chain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_addresses_are_asked_for() {
        assert_eq!(answered("a.example.com A\nnothing-1.example.com A\na.example.com AAAA\n"), "a.example.com A\n");
    }
}
