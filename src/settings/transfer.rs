//! `serve.zones[].transfer` and `serve.transfer`: who may have a zone, and who is told of changes.
//!
//! `allow` alone is access by address, `keys` alone by key; where both stand, both must hold. `rules` is a list of such
//! pairs, of which one must hold. What a zone does not say it takes from `serve.transfer`, and that lets in nobody but
//! this machine: a zone is not given away because a setting was forgotten.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use mcdns_core::dns::OwnerName;
use mcdns_serve::{AccessList, AccessRule, Network, Secondary, TransferLimits, ZonePolicy};

use super::{
    layers::{Layers, Origin},
    parse::{self, Misfit},
    schema,
    section::{Section, present},
    tree::{Content, Node},
};

/// Where secondaries listen unless it is said.
const DNS_PORT: u16 = 53;

/// What a zone says of transfers itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferSettings {
    /// Who may have it; none: as `serve.transfer` says.
    pub access: Option<AccessList>,
    /// Who is told of changes; none: as `serve.transfer` says.
    pub notify: Option<Vec<Secondary>>,
    /// Where those are told from that have no source of their own; none: as `serve.transfer` says.
    pub sources: Option<Vec<IpAddr>>,
}

/// The three ways to say who is let in, as far as they are given.
struct Access {
    allow: Option<Vec<Network>>,
    keys: Option<Vec<OwnerName>>,
    rules: Option<Vec<AccessRule>>,
}

/// Reads `serve.transfer`, which holds for zones that say nothing.
pub(super) fn read_default(layers: &mut Layers<'_>, known: &BTreeSet<OwnerName>) -> ZonePolicy {
    let reference = |text: &str| key_reference(text, known);
    let faults = layers.findings.len();
    let rules = layers.file.clone().and_then(|(file, root)| {
        let node = root.at("serve.transfer")?;
        let mut section = Section { layers, file: &file, path: "serve.transfer".to_owned() };
        read_rules(&mut section, node, known)
    });
    let keys = layers.values(
        "serve.transfer.keys",
        None,
        Vec::new(),
        reference,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, reference)?.value),
        ToString::to_string,
    );
    let only_default = rules.is_none() && keys.origin == Origin::Default;
    let loopback = if only_default { Network::LOOPBACK.to_vec() } else { Vec::new() };
    let allow = layers.values(
        "serve.transfer.allow",
        None,
        loopback,
        network,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, network)?.value),
        show_network,
    );
    let notify = layers.values(
        "serve.transfer.notify",
        None,
        Vec::new(),
        secondary,
        |layers, file, node, path| {
            let mut section = Section { layers, file, path: path.to_owned() };
            read_secondary(&mut section, node, "", known)
        },
        show_secondary,
    );
    let is_default = only_default && allow.origin == Origin::Default;
    let access = Access {
        allow: (is_default || allow.origin != Origin::Default).then(|| allow.value.clone()),
        keys: (keys.origin != Origin::Default).then(|| keys.value.clone()),
        rules,
    };
    let transfer = if layers.findings.len() == faults {
        access.list().unwrap_or_else(|(key, misfit)| {
            let origin = if key == "keys" { &keys.origin } else { &allow.origin };
            layers.refuse(&format!("serve.transfer.{key}"), origin, misfit);
            None
        })
    } else {
        None
    };
    ZonePolicy { transfer: transfer.unwrap_or_default(), notify: notify.value }
}

/// Reads `serve.transfer.notifySource`: an address of each family at most.
pub(super) fn read_sources(layers: &mut Layers<'_>) -> Vec<IpAddr> {
    const PATH: &str = "serve.transfer.notifySource";
    let sources = layers.values(
        PATH,
        None,
        Vec::new(),
        source,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, source)?.value),
        ToString::to_string,
    );
    if let Err(misfit) = one_of_each_family(&sources.value) {
        layers.refuse(PATH, &sources.origin, misfit);
    }
    sources.value
}

/// Reads the limits of `serve.transfer`, which hold for all zones together.
pub(super) fn read_limits(layers: &mut Layers<'_>) -> TransferLimits {
    let defaults = TransferLimits::default();
    let octets = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX);
    let show = |octets: &u64| parse::show_size(*octets);
    let concurrent =
        layers.value("serve.transfer.concurrent", None, defaults.concurrent, parse::positive, ToString::to_string);
    let changes =
        layers.value("serve.transfer.history.changes", None, defaults.differences, parse::count, ToString::to_string);
    let zone_size = layers.value("serve.transfer.history.zoneSize", None, defaults.octets as u64, parse::size, show);
    let memory = layers.value("serve.transfer.history.memory", None, defaults.total_octets as u64, parse::size, show);
    TransferLimits {
        differences: changes.value,
        octets: octets(zone_size.value),
        total_octets: octets(memory.value),
        concurrent: concurrent.value,
    }
}

/// The same servers, those without a source of their own with the one of their family among `sources`.
pub(super) fn with_sources(notify: &[Secondary], sources: &[IpAddr]) -> Vec<Secondary> {
    let with_source = |secondary: &Secondary| {
        let of_family = |source: &&IpAddr| source.is_ipv4() == secondary.address.is_ipv4();
        let source = secondary.source.or_else(|| sources.iter().find(of_family).copied());
        Secondary { source, ..secondary.clone() }
    };
    notify.iter().map(with_source).collect()
}

/// Reads `transfer` of a zone, which `section` is.
pub(super) fn read(section: &mut Section<'_, '_>, zone: &Node, known: &BTreeSet<OwnerName>) -> TransferSettings {
    let Some(node) = present(zone, "transfer") else { return TransferSettings::default() };
    let faults = section.layers.findings.len();
    let inner = format!("{}.transfer", section.path);
    let mut section = Section { layers: section.layers, file: section.file, path: inner };
    let access = Access {
        allow: section.list(node, "allow", network),
        keys: section.list(node, "keys", |text| key_reference(text, known)),
        rules: read_rules(&mut section, node, known),
    };
    let line = |key: &str| present(node, key).map_or(node.line, |node| node.line);
    if let Some(allow) = &access.allow {
        section.row("allow", join(allow, show_network), line("allow"));
    }
    if let Some(keys) = &access.keys {
        section.row("keys", join(keys, ToString::to_string), line("keys"));
    }
    let notify = present(node, "notify").map(|list| {
        let mut notify = Vec::new();
        for (index, item) in list.values().iter().enumerate() {
            notify.extend(read_secondary(&mut section, item, &format!("notify[{index}]"), known));
        }
        section.row("notify", join(&notify, show_secondary), list.line);
        notify
    });
    let sources = section.list(node, "notifySource", source);
    if let Some(sources) = &sources {
        section.row("notifySource", join(sources, ToString::to_string), line("notifySource"));
        if let Err(misfit) = one_of_each_family(sources) {
            section.refuse(present(node, "notifySource").unwrap_or(node), "notifySource", misfit);
        }
    }
    // What is incomplete because of a fault must not be judged again.
    if section.layers.findings.len() > faults {
        return TransferSettings::default();
    }
    let access = access.list().unwrap_or_else(|(key, misfit)| {
        section.refuse(present(node, key).unwrap_or(node), key, misfit);
        None
    });
    TransferSettings { access, notify, sources }
}

impl Access {
    /// The list of rules; none where nothing is said. The error names the key that is wrong.
    fn list(self) -> Result<Option<AccessList>, (&'static str, Misfit)> {
        let rules = match (self.rules, self.allow, self.keys) {
            (Some(rules), None, None) => rules,
            (Some(_), ..) => {
                let help = "write {allow: […], keys: […]} into the list of rules";
                return Err(("rules", Misfit::new("stands beside allow or keys", help)));
            }
            (None, None, None) => return Ok(None),
            (None, _, Some(keys)) if keys.is_empty() => {
                return Err(("keys", Misfit::new("is empty", "name a key, or take it out")));
            }
            (None, Some(allow), Some(_)) if allow.is_empty() => {
                let help = "take it out, so that a key is enough from any address, or name addresses";
                return Err(("allow", Misfit::new("is empty, and both allow and keys must hold", help)));
            }
            // Nobody: what `allow: []` says.
            (None, Some(allow), None) if allow.is_empty() => Vec::new(),
            (None, allow, keys) => {
                vec![AccessRule { networks: allow.unwrap_or_default(), keys: keys.unwrap_or_default() }]
            }
        };
        Ok(Some(AccessList { rules }))
    }
}

fn read_rules(section: &mut Section<'_, '_>, node: &Node, known: &BTreeSet<OwnerName>) -> Option<Vec<AccessRule>> {
    let list = present(node, "rules")?;
    let mut rules = Vec::new();
    let outer = section.path.clone();
    for (index, item) in list.items().iter().enumerate() {
        let path = format!("{outer}.rules[{index}]");
        let mut section = Section { layers: section.layers, file: section.file, path };
        let faults = section.layers.findings.len();
        let networks = section.list(item, "allow", network).unwrap_or_default();
        let keys = section.list(item, "keys", |text| key_reference(text, known)).unwrap_or_default();
        let whole = section.layers.findings.len() == faults && matches!(item.content, Content::Map(_));
        if whole && networks.is_empty() && keys.is_empty() {
            let misfit = Misfit::new("would let everybody in", "name addresses in allow, or keys, or both");
            section.refuse(item, "", misfit);
        }
        rules.push(AccessRule { networks, keys });
    }
    section.row("rules", join(&rules, show_rule), list.line);
    Some(rules)
}

/// A server that is told: an address, or one with a key.
fn read_secondary(
    section: &mut Section<'_, '_>,
    node: &Node,
    key: &str,
    known: &BTreeSet<OwnerName>,
) -> Option<Secondary> {
    if matches!(node.content, Content::Scalar(_)) {
        return section.scalar(node, key, secondary).map(|(secondary, _)| secondary);
    }
    let inner = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    let Some(address) = present(node, "address") else {
        if matches!(node.content, Content::Map(_)) {
            let misfit = Misfit::new("has no address", "write {address: 192.0.2.53, key: transfer-key}");
            section.refuse(node, key, misfit);
        }
        return None;
    };
    let address = section.scalar(address, &inner("address"), secondary);
    let signed = present(node, "key");
    let name = signed.and_then(|node| section.scalar(node, &inner("key"), |text| key_reference(text, known)));
    if signed.is_some() && name.is_none() {
        return None;
    }
    let from = present(node, "source");
    let own = from.and_then(|node| section.scalar(node, &inner("source"), source));
    if from.is_some() && own.is_none() {
        return None;
    }
    let (secondary, own) = (address?.0, own.map(|(own, _)| own));
    if let (Some(place), Some(own)) = (from, own)
        && own.is_ipv4() != secondary.address.is_ipv4()
    {
        let misfit =
            Misfit::new(format!("`{own}` is of another family than {}", secondary.address), "name one of its family");
        section.refuse(place, &inner("source"), misfit);
        return None;
    }
    Some(Secondary { key: name.map(|(name, _)| name), source: own, ..secondary })
}

/// `192.0.2.53`, `192.0.2.53:5300`, `2001:db8::53`, `[2001:db8::53]:5300`.
fn secondary(text: &str) -> Result<Secondary, Misfit> {
    let parsed = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    let address = parsed.or_else(|_| text.parse::<SocketAddr>()).map_err(|_| {
        let help = "write 192.0.2.53, or with a port other than 53: 192.0.2.53:5300, [2001:db8::53]:5300";
        Misfit::new(format!("`{text}` is no address of a server"), help)
    })?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(Misfit::new(format!("`{text}` is nothing that a message can be sent to"), "name one server"));
    }
    Ok(Secondary { address, key: None, source: None })
}

/// An address of ours.
fn source(text: &str) -> Result<IpAddr, Misfit> {
    let address = parse::address(text)?;
    if address.is_unspecified() || address.is_multicast() {
        let misfit = format!("`{text}` is nothing that a message can be sent from");
        return Err(Misfit::new(misfit, "write an address of this machine, or take it out for any"));
    }
    Ok(address)
}

fn one_of_each_family(sources: &[IpAddr]) -> Result<(), Misfit> {
    let many = |is_of_family: fn(&IpAddr) -> bool| sources.iter().filter(|source| is_of_family(source)).count() > 1;
    if many(IpAddr::is_ipv4) || many(IpAddr::is_ipv6) {
        let help = "keep one for IPv4 and one for IPv6; a single secondary can have another: {address: …, source: …}";
        return Err(Misfit::new("has two addresses of one family", help));
    }
    Ok(())
}

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
fn network(text: &str) -> Result<Network, Misfit> {
    const HELP: &str = "write an address or a prefix: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32";
    let misfit = || Misfit::new(format!("`{text}` is no address and no prefix"), HELP);
    if text == "any" {
        let help = "write 0.0.0.0/0 and ::/0, if everybody is really meant";
        return Err(Misfit::new("`any` is no address and no prefix", help));
    }
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| misfit())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(prefix) => {
            let long = || Misfit::new(format!("`{text}` has no prefix length from 0 to {bits}"), HELP);
            prefix.parse::<u8>().ok().filter(|prefix| *prefix <= bits).ok_or_else(long)?
        }
    };
    let network = Network { address, prefix };
    let start = first_address(network);
    if start != address {
        let message = format!("`{text}` has bits set behind its prefix");
        return Err(Misfit::new(message, format!("write {start}/{prefix}, or {address} for the one address")));
    }
    Ok(network)
}

fn first_address(network: Network) -> IpAddr {
    let prefix = u32::from(network.prefix);
    match network.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

fn key_reference(text: &str, known: &BTreeSet<OwnerName>) -> Result<OwnerName, Misfit> {
    let name = OwnerName::parse(text).ok().filter(|name| known.contains(name));
    name.ok_or_else(|| {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let help = match schema::nearest(text, names.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None if names.is_empty() => "name the key under serve.keys".to_owned(),
            None => format!("known are {}", names.join(", ")),
        };
        Misfit::new(format!("there is no key `{text}`"), help)
    })
}

fn show_network(network: &Network) -> String {
    let whole = if network.address.is_ipv4() { 32 } else { 128 };
    if network.prefix == whole {
        network.address.to_string()
    } else {
        format!("{}/{}", network.address, network.prefix)
    }
}

fn show_secondary(secondary: &Secondary) -> String {
    let address = secondary.address;
    let key = secondary.key.as_ref().map_or_else(String::new, |key| format!(" ({key})"));
    let source = secondary.source.map_or_else(String::new, |source| format!(" from {source}"));
    format!("{address}{key}{source}")
}

fn show_rule(rule: &AccessRule) -> String {
    let networks = join(&rule.networks, show_network);
    let keys = join(&rule.keys, ToString::to_string);
    match (networks.is_empty(), keys.is_empty()) {
        (false, false) => format!("({networks}) with ({keys})"),
        (false, true) => format!("({networks})"),
        _ => format!("with ({keys})"),
    }
}

fn join<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read_and_print() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1"),
        ] {
            assert_eq!(network(text).as_ref().map(show_network), Ok(shown.to_owned()), "{text}");
        }
        for (text, help) in [
            ("any", "0.0.0.0/0 and ::/0"),
            ("192.0.2.1/24", "write 192.0.2.0/24, or 192.0.2.1 for"),
            ("2001:db8::1/64", "write 2001:db8::/64, or"),
            ("192.0.2.0/33", "192.0.2.0/24"),
            ("192.0.2.0/", "192.0.2.0/24"),
            ("localhost", "192.0.2.0/24"),
        ] {
            let misfit = network(text).expect_err(text);
            assert!(misfit.help.contains(help), "{text}: {misfit:?}");
        }
    }

    #[test]
    fn secondaries_have_port_53_unless_it_is_said() {
        for (text, shown) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5300", "192.0.2.53:5300"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5300", "[2001:db8::53]:5300"),
        ] {
            assert_eq!(secondary(text).as_ref().map(show_secondary), Ok(shown.to_owned()), "{text}");
        }
        for text in ["ns2.example.com", "192.0.2.53:0", "0.0.0.0", "224.0.0.251:5353", ""] {
            assert!(secondary(text).is_err(), "{text}");
        }
    }
}
