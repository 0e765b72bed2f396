//! `mcdns check --delegation`: asks the parent zone's servers and our own, for [`mcdns_core::check::delegation`] to
//! hold against each other.
//!
//! The parent's servers are found with a resolver, or named; each is asked itself, without recursion, because a
//! resolver would tell what the zone says and not what the parent does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context, Result, bail};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, RecordType, rdata::NS},
};
use mcdns_core::{
    answer::{Entry, Snapshot},
    check::{
        Finding,
        delegation::{self, NameServers, ParentSays, ServerSays, SoaAnswer, ZoneSays},
    },
    dns::{self, OwnerName, Rrset, rdata_target},
};
use tokio::task::JoinSet;

use super::{answer::mnemonic, ask, zone_files};
use crate::{args, output::Output};

/// Where the servers of a zone listen.
const DNS_PORT: u16 = 53;

const RESOLVER_HELP: &str = "name a resolver with --resolver ADDR, or the servers with --parent and --server";

/// Asks everybody and compares. `ours` is what files say of the zone; without it, its servers are asked.
pub(super) async fn check(
    arguments: &args::Check,
    apex: &OwnerName,
    ours: Option<ZoneSays>,
    output: Output,
) -> Result<Vec<Finding>> {
    if apex.is_root() {
        bail!("the root zone has no parent");
    }
    let name = Name::from_ascii(apex.fqdn()).context("the name cannot be asked for")?;
    let resolver = arguments.resolver.or_else(ask::system_resolver);
    let parents = match &arguments.parent[..] {
        [] => servers_of_parent(resolver, apex).await?,
        named => named.iter().map(|address| (address.to_string(), *address)).collect(),
    };
    let parents = each(reachable(parents, output), |address| ask_parent(address, name.clone())).await;
    if parents.iter().all(|(_, says)| matches!(says, ParentSays::Silent(_))) {
        let reasons: Vec<String> = parents
            .iter()
            .map(|(server, says)| match says {
                ParentSays::Silent(reason) => format!("{server}: {reason}"),
                _ => String::new(),
            })
            .collect();
        let reasons = if reasons.is_empty() { "none can be reached".to_owned() } else { reasons.join("; ") };
        bail!("no server of the parent of {apex} can be asked ({reasons})\n  help: {RESOLVER_HELP}");
    }
    let mut known = NameServers::new();
    for (_, says) in &parents {
        if let ParentSays::Delegates { name_servers, .. } = says {
            for (name, glue) in name_servers {
                known.entry(name.clone()).or_default().extend(glue);
            }
        }
    }
    for (name, addresses) in ours.iter().flat_map(|ours| &ours.name_servers) {
        known.entry(name.clone()).or_default().extend(addresses);
    }
    let mut unaddressed = Vec::new();
    let servers = match &arguments.server[..] {
        [] => addressed(resolver, apex, &known, &mut unaddressed).await?,
        named => named.iter().map(|address| (address.to_string(), *address)).collect(),
    };
    let servers = reachable(servers, output);
    let addresses: Vec<SocketAddr> = servers.iter().map(|(_, address)| *address).collect();
    let says = each(servers, |address| ask_server(address, name.clone())).await;
    let zone = match ours {
        Some(zone) => zone,
        None => what_servers_say(apex, &addresses, &says).await,
    };
    Ok(delegation::compare(apex, &parents, &zone, &says, &unaddressed))
}

/// What a snapshot says of the zone, where it has it.
pub(super) fn in_snapshot(apex: &OwnerName, snapshot: &Snapshot) -> Option<ZoneSays> {
    let zone = snapshot.authoritative(apex)?;
    Some(says(apex, |name| zone.entry(name)))
}

/// What a master file says of the zone, where it is that of the zone.
pub(super) fn in_file(apex: &OwnerName, path: &Path) -> Option<ZoneSays> {
    let contents = zone_files::read(path, None).0.filter(|contents| contents.apex == *apex)?;
    let names: BTreeMap<OwnerName, Entry> = contents.names().collect();
    Some(says(apex, |name| names.get(name).cloned()))
}

fn says(apex: &OwnerName, entry: impl Fn(&OwnerName) -> Option<Entry>) -> ZoneSays {
    let rrset = |name: &OwnerName, record_type| {
        let entry = entry(name)?;
        entry.rrsets.into_iter().find(|rrset| rrset.record_type == record_type)
    };
    let addresses = |name: &OwnerName| {
        let mut found = BTreeSet::new();
        for data in rrset(name, dns::RecordType::A).iter().flat_map(Rrset::data) {
            found.extend(<[u8; 4]>::try_from(&data[..]).map(std::net::IpAddr::from));
        }
        for data in rrset(name, dns::RecordType::AAAA).iter().flat_map(Rrset::data) {
            found.extend(<[u8; 16]>::try_from(&data[..]).map(std::net::IpAddr::from));
        }
        found
    };
    let name_servers = rrset(apex, dns::RecordType::NS);
    let targets = name_servers.iter().flat_map(Rrset::data);
    let targets = targets.filter_map(|data| rdata_target(dns::RecordType::NS, data));
    // Signed zones are not served.
    ZoneSays { name_servers: targets.map(|name| (name.clone(), addresses(&name))).collect(), signed: false }
}

/// Servers that this machine has a way to; of others it is said that they were not asked.
fn reachable(servers: Vec<(String, SocketAddr)>, output: Output) -> Vec<(String, SocketAddr)> {
    let (reachable, others): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|(_, address)| address.is_ipv4() || ask::is_reachable(*address));
    for (name, _) in others {
        output.say(&format!("{name} is not asked: this machine has no way to it"));
    }
    reachable
}

/// Asks all at once; the answers come in the order of the servers.
async fn each<T: Send + 'static, F>(
    servers: Vec<(String, SocketAddr)>,
    ask: impl Fn(SocketAddr) -> F,
) -> Vec<(String, T)>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for (index, (name, address)) in servers.into_iter().enumerate() {
        let answer = ask(address);
        tasks.spawn(async move { (index, name, answer.await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    answers.into_iter().map(|(_, name, answer)| (name, answer)).collect()
}

async fn ask_parent(server: SocketAddr, apex: Name) -> ParentSays {
    let answer = match ask::ask(server, &apex, RecordType::NS).await {
        Ok(answer) => answer,
        Err(error) => return ParentSays::Silent(format!("{error:#}")),
    };
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return ParentSays::Nothing("NXDOMAIN".to_owned()),
        other => return ParentSays::Silent(format!("it answers {}", mnemonic(other))),
    }
    let names = |records: &[hickory_proto::rr::Record]| -> Vec<OwnerName> {
        let of_apex = records.iter().filter(|record| record.name == apex);
        let targets = of_apex.filter_map(|record| match &record.data {
            RData::NS(NS(name)) => owner_name(name),
            _ => None,
        });
        targets.collect()
    };
    let delegated = names(&answer.authorities);
    if answer.metadata.authoritative && !names(&answer.answers).is_empty() {
        return ParentSays::Itself;
    }
    if delegated.is_empty() {
        return ParentSays::Nothing("no NS".to_owned());
    }
    let mut name_servers: NameServers = delegated.into_iter().map(|name| (name, BTreeSet::new())).collect();
    for record in &answer.additionals {
        let glue = owner_name(&record.name).and_then(|name| name_servers.get_mut(&name));
        if let (Some(glue), Some(address)) = (glue, ask::address_of(&record.data)) {
            glue.insert(address);
        }
    }
    match ask::ask(server, &apex, RecordType::DS).await {
        Ok(answer) => {
            let ds = answer.answers.iter().filter(|record| record.record_type() == RecordType::DS).count();
            ParentSays::Delegates { name_servers, ds }
        }
        Err(error) => ParentSays::Silent(format!("it was asked for DS: {error:#}")),
    }
}

async fn ask_server(server: SocketAddr, apex: Name) -> ServerSays {
    let udp = ask::ask(server, &apex, RecordType::SOA).await;
    let udp = udp.map(|answer| soa_answer(&apex, &answer)).map_err(|error| format!("{error:#}"));
    let tcp = ask::ask_tcp(server, &apex, RecordType::SOA).await;
    let tcp = tcp.map(|_| ()).map_err(|error| format!("{error:#}"));
    let name_servers = match &udp {
        Ok(answer) if answer.authoritative => name_servers(server, &apex).await,
        _ => None,
    };
    ServerSays { udp, tcp, name_servers }
}

fn soa_answer(apex: &Name, answer: &Message) -> SoaAnswer {
    let of_apex = answer.answers.iter().filter(|record| record.name == *apex);
    let mut serials = of_apex.filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    });
    SoaAnswer {
        status: mnemonic(answer.metadata.response_code),
        authoritative: answer.metadata.authoritative,
        serial: serials.next(),
    }
}

async fn name_servers(server: SocketAddr, apex: &Name) -> Option<BTreeSet<OwnerName>> {
    let answer = ask::ask(server, apex, RecordType::NS).await.ok()?;
    let targets = answer.answers.iter().filter_map(|record| match &record.data {
        RData::NS(NS(name)) => owner_name(name),
        _ => None,
    });
    Some(targets.collect())
}

/// What the zone says, from the first of its servers that answers with authority.
async fn what_servers_say(apex: &OwnerName, addresses: &[SocketAddr], says: &[(String, ServerSays)]) -> ZoneSays {
    let good = addresses.iter().zip(says).find_map(|(address, (_, says))| {
        let names = says.name_servers.as_ref().filter(|names| !names.is_empty())?;
        Some((*address, names))
    });
    let Some((server, names)) = good else { return ZoneSays::default() };
    let mut zone = ZoneSays::default();
    for name in names {
        let mut found = BTreeSet::new();
        if let (true, Ok(host)) = (name.is_at_or_below(apex), Name::from_ascii(name.fqdn())) {
            for record_type in [RecordType::A, RecordType::AAAA] {
                let answer = ask::ask(server, &host, record_type).await;
                let records = answer.iter().flat_map(|answer| &answer.answers);
                found.extend(records.filter_map(|record| ask::address_of(&record.data)));
            }
        }
        zone.name_servers.insert(name.clone(), found);
    }
    if let Ok(name) = Name::from_ascii(apex.fqdn()) {
        let keys = ask::ask(server, &name, RecordType::DNSKEY).await;
        let mut records = keys.iter().flat_map(|answer| &answer.answers);
        zone.signed = records.any(|record| record.record_type() == RecordType::DNSKEY);
    }
    zone
}

/// The servers of the zone above: the nearest name above the apex that has NS.
async fn servers_of_parent(resolver: Option<SocketAddr>, apex: &OwnerName) -> Result<Vec<(String, SocketAddr)>> {
    let resolver = resolver.with_context(|| format!("no resolver is set up here\n  help: {RESOLVER_HELP}"))?;
    let mut above = apex.parent();
    while let Some(parent) = above {
        let name = Name::from_ascii(parent.fqdn()).context("the name cannot be asked for")?;
        let found = ask::recurse(resolver, &name, RecordType::NS).await.with_context(|| {
            format!("the resolver {resolver} does not tell the servers of {parent}\n  help: {RESOLVER_HELP}")
        })?;
        let names: NameServers = found
            .iter()
            .filter_map(|data| match data {
                RData::NS(NS(name)) => Some((owner_name(name)?, BTreeSet::new())),
                _ => None,
            })
            .collect();
        if !names.is_empty() {
            let servers = addressed(Some(resolver), apex, &names, &mut Vec::new()).await?;
            if servers.is_empty() {
                bail!("no server of {parent} has an address\n  help: {RESOLVER_HELP}");
            }
            return Ok(servers);
        }
        above = parent.parent();
    }
    bail!("the parent of {apex} cannot be found\n  help: {RESOLVER_HELP}")
}

/// Every address of the name servers: those that are known, else what a resolver finds.
async fn addressed(
    resolver: Option<SocketAddr>,
    apex: &OwnerName,
    known: &NameServers,
    unaddressed: &mut Vec<OwnerName>,
) -> Result<Vec<(String, SocketAddr)>> {
    let mut servers = Vec::new();
    for (name, addresses) in known {
        let mut addresses = addresses.clone();
        if addresses.is_empty() && !name.is_at_or_below(apex) {
            let help = || format!("{name} is outside {apex}, and no resolver is set up here\n  help: {RESOLVER_HELP}");
            let host = Name::from_ascii(name.fqdn()).context("the name cannot be asked for")?;
            addresses.extend(ask::addresses(resolver.with_context(help)?, &host).await);
        }
        if addresses.is_empty() {
            unaddressed.push(name.clone());
        }
        let named = |address| (format!("{name} ({address})"), SocketAddr::new(address, DNS_PORT));
        servers.extend(addresses.into_iter().map(named));
    }
    Ok(servers)
}

fn owner_name(name: &Name) -> Option<OwnerName> {
    OwnerName::parse(&name.to_ascii()).ok()
}
