//! `mcdns lookup`: asks every server of a zone the same, and holds the answers against each other.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hickory_proto::rr::{Name, RData, RecordType};
use mcdns_serve::Service;

use super::{Outcome, answer::mnemonic, ask, live, small_runtime};
use crate::{
    args::{self, Arguments},
    output::{Output, Paint},
    settings::Settings,
};

/// What to ask, and whom.
#[derive(Debug)]
struct Lookup {
    name: Name,
    types: Vec<RecordType>,
    /// Servers to ask; those of the zone when empty.
    servers: Vec<SocketAddr>,
    /// One line an address, as `dig +short`.
    short: bool,
}

/// Asks, compares and prints.
pub(super) fn lookup(
    wanted: &args::Lookup,
    arguments: &Arguments,
    settings: &Settings,
    output: Output,
) -> Result<Outcome> {
    let mut servers = wanted.server.clone();
    if arguments.settings_file().is_some() {
        let plain = settings.listen.value.iter().filter(|listener| listener.service == Service::Plain);
        servers.extend(plain.map(|listener| listener.address));
    }
    if servers.is_empty() && live::is_meant(&wanted.host) {
        match live::name_servers(&wanted.host, &wanted.name, settings) {
            Ok(found) => servers = found,
            // As a plug-in without flags: the name servers of the zone are found without a host too.
            Err(_) if wanted.host.kubeconfig.is_none() && wanted.host.context.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let types = match wanted.record_type {
        Some(record_type) => vec![RecordType::from(record_type.0)],
        None => vec![RecordType::A, RecordType::AAAA],
    };
    let name = Name::from_ascii(wanted.name.fqdn()).context("the name cannot be asked for")?;
    let lookup = Lookup { name, types, servers, short: wanted.short || !output.is_terminal() && !wanted.table };
    small_runtime()?.block_on(lookup.run(output))
}

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    /// RCODE, or why there is no answer.
    status: String,
    /// Records of the answer section: owner, TTL, type, data.
    records: Vec<(String, u32, String, String)>,
}

impl Said {
    /// The answer without what may differ between servers that agree: order and TTL.
    fn content(&self) -> (String, Vec<(String, String, String)>) {
        let mut records: Vec<(String, String, String)> = self
            .records
            .iter()
            .map(|(owner, _, record_type, data)| (owner.to_lowercase(), record_type.clone(), data.to_lowercase()))
            .collect();
        records.sort();
        (self.status.clone(), records)
    }
}

impl Lookup {
    async fn run(&self, output: Output) -> Result<Outcome> {
        let name = &self.name;
        let servers = if self.servers.is_empty() { servers_of(name).await? } else { self.servers.clone() };
        let mut outcome = Outcome::Fine;
        let mut rows = Vec::new();
        let mut lines = Vec::new();
        for &record_type in &self.types {
            let mut answers: Vec<(SocketAddr, Said, Duration)> = Vec::new();
            for &server in &servers {
                let started = Instant::now();
                let said = ask(server, name, record_type).await;
                let said = said.unwrap_or_else(|error| Said { status: format!("{error:#}"), records: Vec::new() });
                answers.push((server, said, started.elapsed()));
            }
            let mut groups: BTreeMap<_, Vec<SocketAddr>> = BTreeMap::new();
            for (server, said, _) in &answers {
                groups.entry(said.content()).or_default().push(*server);
            }
            if groups.len() > 1 {
                outcome = Outcome::Findings;
                output.say(&format!("{name} {record_type}: the servers do not agree"));
                for ((status, records), servers) in &groups {
                    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
                    let data: Vec<&str> = records.iter().map(|(_, _, data)| data.as_str()).collect();
                    output.say(&format!("  {}: {status} {}", servers.join(", "), data.join(" ")));
                }
            }
            // In a pipe only data is printed, so why there is none is said here.
            for (server, said, _) in &answers {
                if self.short && said.status != "NOERROR" {
                    output.say(&format!("{name} {record_type}: {server}: {}", said.status));
                }
            }
            if answers
                .iter()
                .all(|(_, said, _)| said.records.is_empty() && said.status != "NOERROR" && said.status != "NXDOMAIN")
            {
                outcome = Outcome::Findings;
            }
            lines.extend(short_lines(&answers));
            rows.extend(
                answers.iter().flat_map(|(server, said, took)| rows_of(output, *server, record_type, said, *took)),
            );
        }
        if self.short {
            output.print(&lines.into_iter().map(|line| line + "\n").collect::<String>())?;
        } else {
            output.print(&output.table(&["SERVER", "STATUS", "NAME", "TTL", "TYPE", "DATA"], &rows))?;
        }
        Ok(outcome)
    }
}

/// The data of the first server that answered, as `dig +short` prints it.
fn short_lines(answers: &[(SocketAddr, Said, Duration)]) -> Vec<String> {
    let first = answers.iter().find(|(_, said, _)| !said.records.is_empty());
    first.map_or_else(Vec::new, |(_, said, _)| said.records.iter().map(|(_, _, _, data)| data.clone()).collect())
}

fn rows_of(output: Output, server: SocketAddr, asked: RecordType, said: &Said, took: Duration) -> Vec<Vec<String>> {
    let status = said.status.clone();
    let paint = if status == "NOERROR" { Paint::Good } else { Paint::Odd };
    let status = output.paint(paint, &status);
    if said.records.is_empty() {
        let nothing = format!("no {asked} ({} ms)", took.as_millis());
        return vec![vec![server.to_string(), status, String::new(), String::new(), asked.to_string(), nothing]];
    }
    let row = |(owner, ttl, record_type, data): &(String, u32, String, String)| {
        vec![server.to_string(), status.clone(), owner.clone(), ttl.to_string(), record_type.clone(), data.clone()]
    };
    said.records.iter().map(row).collect()
}

/// Asks one server: UDP, and TCP where the answer is truncated.
async fn ask(server: SocketAddr, name: &Name, record_type: RecordType) -> Result<Said> {
    let answer = ask::ask(server, name, record_type).await?;
    let records = answer.answers.iter().map(|record| {
        let data = record.data.to_string();
        let owner = record.name.to_string();
        (owner, record.ttl, record.record_type().to_string(), data)
    });
    Ok(Said { status: mnemonic(answer.response_code), records: records.collect() })
}

/// The addresses of all servers of the zone that a name is in, found with the system's resolver.
async fn servers_of(name: &Name) -> Result<Vec<SocketAddr>> {
    let help = "name a server with --server ADDR:PORT (the demo listens on 127.0.0.1:5300)";
    let resolver =
        ask::system_resolver().with_context(|| format!("no resolver is set up on this machine\n  help: {help}"))?;
    let mut apex = name.clone();
    let names = loop {
        let found = ask::recurse(resolver, &apex, RecordType::NS).await;
        let found = found.with_context(|| format!("the servers of {name} cannot be found\n  help: {help}"))?;
        let targets: Vec<Name> = found
            .into_iter()
            .filter_map(|data| match data {
                RData::NS(server) => Some(server.0),
                _ => None,
            })
            .collect();
        if !targets.is_empty() {
            break targets;
        }
        if apex.is_root() {
            bail!("the servers of {name} cannot be found\n  help: {help}");
        }
        apex = apex.base_name();
    };
    let mut servers = Vec::new();
    for server in names {
        servers.extend(ask::addresses(resolver, &server).await.into_iter().map(|address| SocketAddr::new(address, 53)));
    }
    servers.sort();
    servers.dedup();
    if servers.is_empty() {
        bail!("no server of {apex} has an address\n  help: {help}");
    }
    Ok(servers)
}
