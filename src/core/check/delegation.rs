//! Whether the parent zone delegates a zone as the zone itself says.
//!
//! ```text
//!   servers of the parent ── NS, glue, DS ──┐
//!   the zone ─────────────── NS, addresses ─┼─► findings
//!   its own servers ──────── AA, SOA, TCP ──┘
//! ```
//!
//! Who is asked, and how, is for others; this holds what they said against each other. A finding names the servers that
//! it is about, and what several say alike is told once.
//!
//! Rules: NS at the parent and in the zone are the same (RFC 1034 section 4.2.2); name servers in the zone have glue,
//! all of it (RFC 9471), with the addresses of the zone; no DS for an unsigned zone (RFC 4035 section 5.2); every server
//! answers with authority, over TCP too (RFC 7766 section 5), and from the same serial.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::dns::OwnerName;

use super::{Finding, FindingCode};

/// Name servers with the addresses that are known of them.
pub type NameServers = BTreeMap<OwnerName, BTreeSet<IpAddr>>;

/// What one server of the parent zone says of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParentSays {
    /// A referral: NS with glue, and how many DS there are.
    Delegates {
        /// NS at the parent, each with its glue.
        name_servers: NameServers,
        /// Records in the DS RRset.
        ds: usize,
    },
    /// It has no delegation; the text is what it says instead (`NXDOMAIN`, `no NS`).
    Nothing(String),
    /// It is a server of the zone too and answers from there, so that its delegation cannot be seen.
    Itself,
    /// No usable answer, and why.
    Silent(String),
}

/// What the zone says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneSays {
    /// NS at its apex; addresses of those at or below the apex alone.
    pub name_servers: NameServers,
    /// True if it has DNSKEYs.
    pub signed: bool,
}

/// What a server of the zone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSays {
    /// To a question for the SOA over UDP; the error says why there is no answer.
    pub udp: Result<SoaAnswer, String>,
    /// Whether the same came over TCP; the error says why not.
    pub tcp: Result<(), String>,
    /// NS of the zone that it has; none: it did not say.
    pub name_servers: Option<BTreeSet<OwnerName>>,
}

/// An answer to a question for the SOA of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoaAnswer {
    /// RCODE.
    pub status: String,
    /// The AA bit.
    pub authoritative: bool,
    /// Serial of the SOA at the apex, if there is one.
    pub serial: Option<u32>,
}

/// Holds what was said against each other. Each server is named as a person should read it. `unaddressed` are name
/// servers for which no address was found.
pub fn compare(
    apex: &OwnerName,
    parents: &[(String, ParentSays)],
    zone: &ZoneSays,
    servers: &[(String, ServerSays)],
    unaddressed: &[OwnerName],
) -> Vec<Finding> {
    let mut told: BTreeMap<Finding, Vec<&str>> = BTreeMap::new();
    for (name, says) in parents {
        for finding in of_parent(apex, says, zone) {
            told.entry(finding).or_default().push(name);
        }
    }
    let mut findings: Vec<Finding> = about("parent server", told).collect();
    let mut told: BTreeMap<Finding, Vec<&str>> = BTreeMap::new();
    for (name, says) in servers {
        for finding in of_server(apex, says, zone) {
            told.entry(finding).or_default().push(name);
        }
    }
    findings.extend(about("server", told));
    findings.extend(unaddressed.iter().map(|name| {
        let help = "give it an address, or take it out of the NS of the zone and of its parent";
        Finding::new(FindingCode::DelegationLame, format!("{name} has no address")).help(help)
    }));
    findings.extend(serials(apex, servers));
    findings.sort();
    findings
}

fn about<'a>(what: &'a str, told: BTreeMap<Finding, Vec<&'a str>>) -> impl Iterator<Item = Finding> {
    told.into_iter().map(move |(finding, names)| {
        let plural = if names.len() == 1 { "" } else { "s" };
        finding.about(format!("{what}{plural} {}", names.join(", ")))
    })
}

fn of_parent(apex: &OwnerName, says: &ParentSays, zone: &ZoneSays) -> Vec<Finding> {
    let (name_servers, ds) = match says {
        ParentSays::Delegates { name_servers, ds } => (name_servers, *ds),
        ParentSays::Nothing(status) => {
            let message = format!("there is no delegation of {apex}: {status}");
            let names: Vec<String> = zone.name_servers.keys().map(OwnerName::fqdn).collect();
            let help = format!("put NS of {apex} into the parent zone: {}", names.join(", "));
            return vec![Finding::new(FindingCode::DelegationMissing, message).help(help)];
        }
        ParentSays::Itself => {
            let message = format!("answers for {apex} itself, so that its delegation cannot be seen");
            let help = "ask a server that has the parent zone alone, with --parent";
            return vec![Finding::new(FindingCode::DelegationParent, message).help(help)];
        }
        ParentSays::Silent(reason) => {
            return vec![Finding::new(FindingCode::DelegationParent, format!("cannot be asked: {reason}"))];
        }
    };
    let mut findings = differing_names(apex, &name_servers.keys().cloned().collect(), zone, "the parent zone");
    for (name, glue) in name_servers.iter().filter(|(name, _)| name.is_at_or_below(apex)) {
        let ours = zone.name_servers.get(name);
        if glue.is_empty() {
            let message = format!("there is no glue for {name}, which cannot be found without");
            let help = match ours.filter(|ours| !ours.is_empty()) {
                Some(ours) => format!("put the addresses of {name} into the parent zone: {}", show(ours)),
                None => format!("put the addresses of {name} into the parent zone"),
            };
            findings.push(Finding::new(FindingCode::DelegationGlue, message).help(help));
        } else if let Some(ours) = ours.filter(|ours| *ours != glue) {
            let says = if ours.is_empty() { "no address".to_owned() } else { show(ours) };
            let message = format!("the glue of {name} is {}, and the zone says {says}", show(glue));
            findings.push(Finding::new(FindingCode::DelegationGlue, message).help("make both the same"));
        }
    }
    if ds > 0 && !zone.signed {
        let message = format!("there is a DS for {apex}, which is not signed");
        let help = "take the DS out of the parent zone: resolvers that validate answer SERVFAIL for every name";
        findings.push(Finding::new(FindingCode::DelegationDs, message).help(help));
    }
    findings
}

fn of_server(apex: &OwnerName, says: &ServerSays, zone: &ZoneSays) -> Vec<Finding> {
    let lame = |message: String, help: &str| vec![Finding::new(FindingCode::DelegationLame, message).help(help)];
    let answer = match &says.udp {
        Err(reason) => {
            let mut findings = vec![Finding::new(FindingCode::DelegationLame, format!("does not answer: {reason}"))];
            findings.extend(says.tcp.is_ok().then(|| {
                let message = "answers over TCP, and not over UDP";
                Finding::new(FindingCode::DelegationLame, message).help("look for a firewall in between")
            }));
            return findings;
        }
        Ok(answer) => answer,
    };
    let help = "have it serve the zone, or take it out of the NS of the zone and of its parent";
    if answer.status != "NOERROR" {
        return lame(format!("answers {} for {apex}", answer.status), help);
    }
    if !answer.authoritative {
        return lame(format!("answers for {apex} without authority"), help);
    }
    if answer.serial.is_none() {
        return lame(format!("has no SOA at {apex}"), help);
    }
    let mut findings = Vec::new();
    if let Err(reason) = &says.tcp {
        let message = format!("does not answer over TCP: {reason}");
        let help = "open TCP as well as UDP: answers that do not fit come over TCP alone";
        findings.push(Finding::new(FindingCode::DelegationTcp, message).help(help));
    }
    if let Some(names) = &says.name_servers {
        findings.extend(differing_names(apex, names, zone, "it"));
    }
    findings
}

/// NS that somebody has and the zone has not, and the other way round.
fn differing_names(apex: &OwnerName, theirs: &BTreeSet<OwnerName>, zone: &ZoneSays, who: &str) -> Vec<Finding> {
    let list = |names: Vec<&OwnerName>| names.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ours = &zone.name_servers;
    let help = format!("make the NS of {apex} the same everywhere: {}", list(ours.keys().collect()));
    let more: Vec<_> = theirs.iter().filter(|name| !ours.contains_key(*name)).collect();
    let missing: Vec<_> = ours.keys().filter(|name| !theirs.contains(*name)).collect();
    let mut findings = Vec::new();
    if !more.is_empty() {
        let message = format!("{who} names {}, which the zone does not", list(more));
        findings.push(Finding::new(FindingCode::DelegationNs, message).help(help.clone()));
    }
    if !missing.is_empty() {
        let message = format!("{who} does not name {}, which the zone does", list(missing));
        findings.push(Finding::new(FindingCode::DelegationNs, message).help(help));
    }
    findings
}

fn serials(apex: &OwnerName, servers: &[(String, ServerSays)]) -> Option<Finding> {
    let mut by_serial: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (name, says) in servers {
        if let Ok(SoaAnswer { authoritative: true, serial: Some(serial), .. }) = &says.udp {
            by_serial.entry(*serial).or_default().push(name);
        }
    }
    if by_serial.len() < 2 {
        return None;
    }
    let shown: Vec<_> = by_serial.iter().map(|(serial, names)| format!("{serial} at {}", names.join(", "))).collect();
    let message = format!("the servers of {apex} have different serials: {}", shown.join("; "));
    let help = "ask again in a while; if it stays, look at transfers and notifications";
    Some(Finding::new(FindingCode::DelegationSerial, message).help(help))
}

fn show(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net`
    fn name_servers(text: &str) -> NameServers {
        text.split("; ")
            .filter(|server| !server.is_empty())
            .map(|server| {
                let mut words = server.split(' ');
                let name = words.next().expect("a name").parse().expect("a name");
                (name, words.map(|word| word.parse().expect("an address")).collect())
            })
            .collect()
    }

    fn good_server(serial: u32) -> ServerSays {
        let soa = SoaAnswer { status: "NOERROR".to_owned(), authoritative: true, serial: Some(serial) };
        ServerSays { udp: Ok(soa), tcp: Ok(()), name_servers: None }
    }

    fn found(parent: &ParentSays, servers: &[(String, ServerSays)]) -> Vec<String> {
        let zone = ZoneSays {
            name_servers: name_servers("ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net"),
            signed: false,
        };
        let apex = "example.com".parse().expect("a name");
        let findings = compare(&apex, &[("p".to_owned(), parent.clone())], &zone, servers, &[]);
        findings.iter().map(|finding| finding.to_string().lines().next().unwrap_or_default().to_owned()).collect()
    }

    fn delegates(text: &str, ds: usize) -> ParentSays {
        ParentSays::Delegates { name_servers: name_servers(text), ds }
    }

    #[test]
    fn a_delegation_as_the_zone_has_it_is_fine() {
        let servers = [("a".to_owned(), good_server(7)), ("b".to_owned(), good_server(7))];
        let parent = delegates("ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net", 0);
        assert_eq!(found(&parent, &servers), [""; 0]);
    }

    #[test]
    fn each_difference_at_the_parent_is_told() {
        for (parent, expected) in [
            (
                delegates("ns1.example.com 192.0.2.1 2001:db8::1", 0),
                "error[delegation-ns]: parent server p: the parent zone does not name ns.example.net, which the zone does",
            ),
            (
                delegates("ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net; ns.old.example", 0),
                "error[delegation-ns]: parent server p: the parent zone names ns.old.example, which the zone does not",
            ),
            (
                delegates("ns1.example.com; ns.example.net", 0),
                "error[delegation-glue]: parent server p: there is no glue for ns1.example.com, which cannot be found without",
            ),
            (
                delegates("ns1.example.com 192.0.2.1; ns.example.net", 0),
                "error[delegation-glue]: parent server p: the glue of ns1.example.com is 192.0.2.1, and the zone says \
                 192.0.2.1, 2001:db8::1",
            ),
            (
                delegates("ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net", 2),
                "error[delegation-ds]: parent server p: there is a DS for example.com, which is not signed",
            ),
            (
                ParentSays::Nothing("NXDOMAIN".to_owned()),
                "error[delegation-missing]: parent server p: there is no delegation of example.com: NXDOMAIN",
            ),
            (
                ParentSays::Itself,
                "warning[delegation-parent]: parent server p: answers for example.com itself, so that its delegation \
                 cannot be seen",
            ),
            (
                ParentSays::Silent("no answer".to_owned()),
                "warning[delegation-parent]: parent server p: cannot be asked: no answer",
            ),
        ] {
            assert_eq!(found(&parent, &[]), [expected]);
        }
    }

    #[test]
    fn each_fault_of_a_server_is_told_once_for_all_that_have_it() {
        let parent = delegates("ns1.example.com 192.0.2.1 2001:db8::1; ns.example.net", 0);
        let with = |change: fn(&mut ServerSays)| {
            let mut server = good_server(7);
            change(&mut server);
            [("a".to_owned(), server.clone()), ("b".to_owned(), server)]
        };
        let refused = with(|server| {
            server.udp = Ok(SoaAnswer { status: "REFUSED".to_owned(), authoritative: false, serial: None });
        });
        assert_eq!(found(&parent, &refused), ["error[delegation-lame]: servers a, b: answers REFUSED for example.com"]);
        let no_authority = with(|server| {
            server.udp = Ok(SoaAnswer { status: "NOERROR".to_owned(), authoritative: false, serial: Some(7) });
        });
        let expected = "error[delegation-lame]: servers a, b: answers for example.com without authority";
        assert_eq!(found(&parent, &no_authority), [expected]);
        let no_tcp = with(|server| server.tcp = Err("cannot be reached".to_owned()));
        let expected = "error[delegation-tcp]: servers a, b: does not answer over TCP: cannot be reached";
        assert_eq!(found(&parent, &no_tcp), [expected]);
        let other_names =
            with(|server| server.name_servers = Some(name_servers("ns1.example.com").into_keys().collect()));
        let expected = "error[delegation-ns]: servers a, b: it does not name ns.example.net, which the zone does";
        assert_eq!(found(&parent, &other_names), [expected]);
        let behind = [("a".to_owned(), good_server(7)), ("b".to_owned(), good_server(8))];
        let expected = "warning[delegation-serial]: the servers of example.com have different serials: 7 at a; 8 at b";
        assert_eq!(found(&parent, &behind), [expected]);
    }
}
