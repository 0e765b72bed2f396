//! `serve.listen`: the addresses that are answered on, and what is spoken there.
//!
//! An entry is an address alone, or a mapping. `udp` and `tcp` stand together (RFC 7766 section 5); `dot` and `doq`
//! may share an entry, since one has the TCP port and the other the UDP port of the same number (RFC 9250 section
//! 4.1.1). What is encrypted needs a certificate and a key, which are looked at here, so that a wrong path is told with
//! its place and not by a socket.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use mcdns_serve::{CertificateFiles, Listener, ListenerOptions, Service};

use super::{
    layers::{Layers, Setting},
    parse::{self, Misfit},
    section::{Section, present},
    tree::{Content, Node},
};

/// Smallest UDP payload that a server may be set to (RFC 6891 section 6.2.5), and the largest that is not asking for
/// fragments on every path.
const PAYLOADS: std::ops::RangeInclusive<u16> = 512..=4096;
/// The keepalive option counts in units of 100 ms, in 16 bits (RFC 7828 section 3.1).
const LONGEST_IDLE: Duration = Duration::from_millis(6_553_500);
/// Where clients of DNS over HTTPS look unless they are told (RFC 8484 section 4.1.1 has it as its example).
const DOH_PATH: &str = "/dns-query";

/// Keys that encrypted transports alone have.
const CERTIFICATE_KEYS: [&str; 2] = ["certificate", "key"];

/// What may stand in `transports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Udp,
    Tcp,
    Dot,
    Doh,
    Doq,
}

const TRANSPORTS: [(&str, Transport); 5] = [
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("dot", Transport::Dot),
    ("doh", Transport::Doh),
    ("doq", Transport::Doq),
];

/// Reads all listeners; flags are addresses for UDP and TCP.
pub(super) fn read(layers: &mut Layers<'_>, flags: &[SocketAddr]) -> Setting<Vec<Listener>> {
    const PATH: &str = "serve.listen";
    let faults = layers.findings.len();
    let plain = |address: &SocketAddr| vec![Listener::plain(*address)];
    let flag: Vec<_> = flags.iter().map(plain).collect();
    let entries = layers.values(
        PATH,
        Some(("--listen", flag)).filter(|(_, flag)| !flag.is_empty()),
        vec![plain(&SocketAddr::from(([127, 0, 0, 1], 5300)))],
        |text| parse::socket_address(text).map(|address| plain(&address)),
        read_entry,
        |entry| show(entry),
    );
    let listen = Setting { value: entries.value.into_iter().flatten().collect::<Vec<_>>(), origin: entries.origin };
    if listen.value.is_empty() && layers.findings.len() == faults {
        let misfit =
            Misfit::new("is empty, so that nothing would be answered", "name an address, or take the setting out");
        layers.refuse(PATH, &listen.origin, misfit);
    }
    for (index, listener) in listen.value.iter().enumerate() {
        let address = listener.address;
        let taken = |other: &Listener| {
            let (ours, theirs) = (ports(&listener.service), ports(&other.service));
            other.address == address && (ours.0 && theirs.0 || ours.1 && theirs.1)
        };
        // Port 0 is a free port, a new one each time.
        if address.port() != 0 && listen.value[..index].iter().any(taken) {
            let misfit = Misfit::new(format!("{address} stands there twice"), "name each address once");
            layers.refuse(PATH, &listen.origin, misfit);
        }
    }
    listen
}

/// Whether a service takes the UDP and the TCP port of its address.
fn ports(service: &Service) -> (bool, bool) {
    match service {
        Service::Plain => (true, true),
        Service::Tls(_) | Service::Https { .. } => (false, true),
        Service::Quic(_) => (true, false),
    }
}

fn read_entry(layers: &mut Layers<'_>, file: &Arc<str>, node: &Node, path: &str) -> Option<Vec<Listener>> {
    if matches!(node.content, Content::Scalar(_)) {
        let address = layers.parse_node(file, node, path, parse::socket_address)?.value;
        return Some(vec![Listener::plain(address)]);
    }
    let mut section = Section { layers, file, path: path.to_owned() };
    let Some(address) = present(node, "address") else {
        let misfit = Misfit::new("has no address", "write {address: 127.0.0.1:5300, transports: [udp, tcp]}");
        section.refuse(node, "", misfit);
        return None;
    };
    // Everything is read before anything is given up, so that all faults show.
    let address = section.scalar(address, "address", parse::socket_address);
    let transports = read_transports(&mut section, node);
    let options = read_options(&mut section, node);
    let transports = transports?;
    let encrypted = transports.iter().any(|transport| *transport >= Transport::Dot);
    let certificate = if encrypted {
        read_certificate(&mut section, node)
    } else {
        for key in CERTIFICATE_KEYS {
            if let Some(node) = present(node, key) {
                let misfit = Misfit::new("is for dot, doh and doq alone", "take it out, or name what is encrypted");
                section.refuse(node, key, misfit);
            }
        }
        None
    };
    let http = transports.contains(&Transport::Doh);
    let resource = section.child(node, "path", http_path).map_or_else(|| DOH_PATH.to_owned(), |(path, _)| path);
    if let Some(node) = present(node, "path").filter(|_| !http) {
        section.refuse(node, "path", Misfit::new("is for doh alone", "take it out, or write transports: [doh]"));
    }
    let (address, _) = address?;
    let options = options?;
    let listener = |service| Listener { address, service, options: options.clone() };
    if !encrypted {
        return Some(vec![listener(Service::Plain)]);
    }
    let certificate = certificate?;
    let service = |transport: &Transport| match transport {
        Transport::Doh => Service::Https { certificate: certificate.clone(), path: resource.clone() },
        Transport::Doq => Service::Quic(certificate.clone()),
        _ => Service::Tls(certificate.clone()),
    };
    Some(transports.iter().map(service).map(listener).collect())
}

/// What is spoken: each once, in a fixed order, in combinations that one address can have.
fn read_transports(section: &mut Section<'_, '_>, node: &Node) -> Option<Vec<Transport>> {
    const KEY: &str = "transports";
    let Some(list) = present(node, KEY) else { return Some(vec![Transport::Udp, Transport::Tcp]) };
    let mut transports = Vec::new();
    let mut whole = true;
    for item in list.values() {
        match section.scalar(item, KEY, |text| parse::word(text, &TRANSPORTS)) {
            Some((transport, _)) => transports.push(transport),
            None => whole = false,
        }
    }
    if !whole {
        return None;
    }
    transports.sort_unstable();
    transports.dedup();
    let misfit = match &transports[..] {
        [Transport::Udp, Transport::Tcp]
        | [Transport::Dot | Transport::Doh | Transport::Doq]
        | [Transport::Dot | Transport::Doh, Transport::Doq] => return Some(transports),
        [] => Misfit::new("is empty", "write [udp, tcp], [dot], [doh] or [doq], or leave it out"),
        [Transport::Udp | Transport::Tcp] => Misfit::new(
            "must name both udp and tcp: a DNS server has both (RFC 7766 section 5)",
            "write [udp, tcp], or leave it out",
        ),
        [Transport::Dot, Transport::Doh, ..] => Misfit::new(
            "dot and doh would share one TCP port",
            "give each an entry of its own: port 853 for dot, port 443 for doh",
        ),
        _ => Misfit::new(
            "what is encrypted would share a port with what is not",
            "give each an entry of its own: one with [udp, tcp], one with [dot, doq]",
        ),
    };
    section.refuse(list, KEY, misfit);
    None
}

fn read_certificate(section: &mut Section<'_, '_>, node: &Node) -> Option<CertificateFiles> {
    for key in CERTIFICATE_KEYS {
        if present(node, key).is_none() {
            let misfit = Misfit::new("is missing", "write certificate: CHAIN.pem and key: KEY.pem");
            section.refuse(node, key, misfit);
        }
    }
    let certificate = section.child(node, "certificate", |text| pem_file(text, "CERTIFICATE-----", "certificate"));
    let key = section.child(node, "key", |text| pem_file(text, "PRIVATE KEY-----", "private key"));
    Some(CertificateFiles { certificate: certificate?.0, key: key?.0 })
}

/// A PEM file that is there, with at least one block of the kind that is wanted. What is in the block is for TLS to
/// judge.
fn pem_file(text: &str, mark: &str, what: &str) -> Result<PathBuf, Misfit> {
    let path = PathBuf::from(parse::not_empty(text)?);
    let help = format!("name a PEM file with a {what} that this user can read");
    let octets = fs::read(&path)
        .map_err(|error| Misfit::new(format!("the {what} file {text} cannot be read: {error}"), help.clone()))?;
    if !String::from_utf8_lossy(&octets).contains(mark) {
        return Err(Misfit::new(format!("there is no {what} in {text}"), help));
    }
    Ok(path)
}

fn read_options(section: &mut Section<'_, '_>, node: &Node) -> Option<ListenerOptions> {
    let faults = section.layers.findings.len();
    let default = ListenerOptions::default();
    let payload = section.child(node, "payload", payload);
    let transfers = section.child(node, "transfers", parse::switch);
    let rate_limit = section.child(node, "rateLimit", parse::switch);
    let connections = section.child(node, "connections", parse::positive);
    let per_client = section.child(node, "connectionsPerClient", parse::positive);
    let idle = section.child(node, "idleTimeout", idle_time);
    let lifetime = section.child(node, "lifetime", |text| {
        let least = idle.as_ref().map_or(default.idle, |(idle, _)| *idle);
        let time = parse::duration(text)?;
        if time < least {
            let least = parse::show_duration(least);
            return Err(Misfit::new("is shorter than idleTimeout", format!("write {least} or more")));
        }
        Ok(time)
    });
    let connections = connections.map_or(default.connections, |(count, _)| count);
    if let (Some((count, _)), Some(node)) = (&per_client, present(node, "connectionsPerClient"))
        && *count > connections
    {
        let misfit = Misfit::new("is more than all connections together", format!("write 1 to {connections}"));
        section.refuse(node, "connectionsPerClient", misfit);
    }
    let options = ListenerOptions {
        udp_payload: payload.map_or(default.udp_payload, |(octets, _)| octets),
        transfers: transfers.map_or(default.transfers, |(on, _)| on),
        rate_limit: rate_limit.map_or(default.rate_limit, |(on, _)| on),
        connections,
        connections_per_client: per_client.map_or(default.connections_per_client.min(connections), |(count, _)| count),
        idle: idle.map_or(default.idle, |(time, _)| time),
        lifetime: lifetime
            .map_or(default.lifetime.max(idle.map_or(Duration::ZERO, |(time, _)| time)), |(time, _)| time),
    };
    (section.layers.findings.len() == faults).then_some(options)
}

fn payload(text: &str) -> Result<u16, Misfit> {
    text.parse().ok().filter(|octets| PAYLOADS.contains(octets)).ok_or_else(|| {
        let help = format!("write {} to {} octets; 1232 passes every path", PAYLOADS.start(), PAYLOADS.end());
        Misfit::new(format!("`{text}` is no size of a UDP answer"), help)
    })
}

fn idle_time(text: &str) -> Result<Duration, Misfit> {
    let time = parse::duration(text)?;
    if time < Duration::from_millis(100) || time > LONGEST_IDLE {
        let message = format!("`{text}` is no time that a client can be told (RFC 7828 section 3.1)");
        return Err(Misfit::new(message, "write 100ms to 1h49m13s"));
    }
    Ok(time)
}

fn http_path(text: &str) -> Result<String, Misfit> {
    if let Some(path) = text.strip_suffix("{?dns}") {
        return Err(Misfit::new(format!("`{text}` is a URI template"), format!("write its path alone: {path}")));
    }
    let plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '?' | '#' | '{' | '}');
    if text.starts_with('/') && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Misfit::new(format!("`{text}` is no path of a URI"), format!("write one such as {DOH_PATH}")))
}

/// An entry as the table of settings shows it: what differs from UDP and TCP with default options, in brackets.
fn show(entry: &[Listener]) -> String {
    let Some(first) = entry.first() else { return String::new() };
    let mut parts = Vec::new();
    let spoken: Vec<_> = entry
        .iter()
        .filter_map(|listener| match &listener.service {
            Service::Plain => None,
            Service::Tls(_) => Some("dot".to_owned()),
            Service::Https { path, .. } => Some(format!("doh {path}")),
            Service::Quic(_) => Some("doq".to_owned()),
        })
        .collect();
    if !spoken.is_empty() {
        parts.push(spoken.join(", "));
    }
    if let Service::Tls(files) | Service::Quic(files) | Service::Https { certificate: files, .. } = &first.service {
        parts.push(format!("certificate {}", files.certificate.display()));
        parts.push(format!("key {}", files.key.display()));
    }
    let (options, default) = (&first.options, ListenerOptions::default());
    let mut differs = |is: bool, text: String| {
        if is {
            parts.push(text);
        }
    };
    differs(options.udp_payload != default.udp_payload, format!("payload {}", options.udp_payload));
    differs(!options.transfers, "no transfers".to_owned());
    differs(!options.rate_limit, "no rate limit".to_owned());
    differs(options.connections != default.connections, format!("connections {}", options.connections));
    let per_client = options.connections_per_client;
    differs(per_client != default.connections_per_client.min(options.connections), format!("{per_client} per client"));
    differs(options.idle != default.idle, format!("idle {}", parse::show_duration(options.idle)));
    differs(options.lifetime != default.lifetime, format!("lifetime {}", parse::show_duration(options.lifetime)));
    if parts.is_empty() { first.address.to_string() } else { format!("{} ({})", first.address, parts.join("; ")) }
}
