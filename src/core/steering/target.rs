//! Load balancers as written, turned into targets.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{dns::OwnerName, model::LoadBalancerItem};

/// What steering chooses: one thing that clients can be sent to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// An address, in canonical form.
    Address(IpAddr),
    /// A host name in normal form; its addresses are looked up.
    HostName(Arc<str>),
}

/// Why a target does not count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetProblem {
    /// A loopback, unspecified or multicast address, which no client elsewhere can reach.
    Unreachable(Arc<str>),
    /// Neither an address nor a host name.
    Unreadable(Arc<str>),
    /// A host name without a usable address.
    Unresolved(Arc<str>),
}

/// Load balancer items in normal form: what status shows, the targets in them, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Normalised {
    pub(super) items: Vec<LoadBalancerItem>,
    pub(super) targets: Vec<Target>,
    pub(super) problems: Vec<TargetProblem>,
}

/// The address in canonical form (RFC 5952; a mapped IPv4 address becomes IPv4), if clients can reach it.
pub(crate) fn usable(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_loopback() && !address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// Sorts by (`ip`, `hostname`), drops duplicates and empty items. What stands in the two fields is told apart
/// by content, so that an address in `hostname` is an address.
pub(super) fn normalise(written: &[LoadBalancerItem]) -> Normalised {
    let mut result = Normalised::default();
    for item in written {
        let fields = [&item.ip, &item.hostname];
        let mut targets = fields.into_iter().flatten().filter(|text| !text.is_empty()).filter_map(|text| {
            let read = read(text);
            read.map_err(|problem| result.problems.push(problem)).ok()
        });
        // One item can show one address and one host name; two of a kind become two items.
        let (mut address, mut host_name) = (None, None);
        let mut spilled = Vec::new();
        for target in targets.by_ref() {
            match &target {
                Target::Address(ip) if address.is_none() => address = Some(Arc::from(ip.to_string())),
                Target::HostName(host) if host_name.is_none() => host_name = Some(host.clone()),
                Target::Address(ip) => {
                    spilled.push(LoadBalancerItem { ip: Some(ip.to_string().into()), hostname: None });
                }
                Target::HostName(host) => {
                    spilled.push(LoadBalancerItem { ip: None, hostname: Some(host.clone()) });
                }
            }
            result.targets.push(target);
        }
        if address.is_some() || host_name.is_some() {
            result.items.push(LoadBalancerItem { ip: address, hostname: host_name });
        }
        result.items.append(&mut spilled);
    }
    result.items.sort();
    result.items.dedup();
    result.targets.sort();
    result.targets.dedup();
    result.problems.sort();
    result.problems.dedup();
    result
}

fn read(text: &Arc<str>) -> Result<Target, TargetProblem> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let address = usable(address).ok_or_else(|| TargetProblem::Unreachable(text.clone()))?;
        return Ok(Target::Address(address));
    }
    let unreadable = || TargetProblem::Unreadable(text.clone());
    let host = OwnerName::parse_host(text, false).map_err(|_| unreadable())?;
    // No top-level domain is a number (RFC 3696 section 2): this was meant to be an address.
    if host.labels().last().is_some_and(|label| label.iter().all(u8::is_ascii_digit)) {
        return Err(unreadable());
    }
    Ok(Target::HostName(host.to_string().into()))
}

impl fmt::Display for TargetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) => write!(f, "{text} is a loopback, unspecified or multicast address"),
            Self::Unreadable(text) => write!(f, "`{text}` is neither an address nor a host name"),
            Self::Unresolved(host) => write!(f, "{host} has no usable address"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::HostName(host) => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(ip: &str, hostname: &str) -> LoadBalancerItem {
        let field = |text: &str| (!text.is_empty()).then(|| text.into());
        LoadBalancerItem { ip: field(ip), hostname: field(hostname) }
    }

    #[test]
    fn items_sort_as_strings_with_empty_fields_first() {
        let normalised = normalise(&[item("", "b.lb"), item("10.0.0.2", ""), item("10.0.0.1", "")]);
        assert_eq!(normalised.items, [item("", "b.lb"), item("10.0.0.1", ""), item("10.0.0.2", "")]);
    }

    #[test]
    fn content_decides_what_is_an_address() {
        let normalised = normalise(&[item("LB.example.test.", "192.0.2.1")]);
        assert_eq!(normalised.items, [item("192.0.2.1", "lb.example.test")]);
        let two = normalise(&[item("192.0.2.1", "192.0.2.2")]);
        assert_eq!(two.items, [item("192.0.2.1", ""), item("192.0.2.2", "")]);
    }

    #[test]
    fn addresses_take_their_canonical_form() {
        let normalised = normalise(&[item("2001:DB8:0:0::1", ""), item("::ffff:192.0.2.1", ""), item("192.0.2.1", "")]);
        assert_eq!(normalised.items, [item("192.0.2.1", ""), item("2001:db8::1", "")]);
    }

    #[test]
    fn what_no_client_can_reach_is_left_out() {
        let normalised =
            normalise(&[item("127.0.0.1", ""), item("::", ""), item("203.0.113.999", ""), item("a b", "")]);
        assert_eq!((normalised.items.len(), normalised.targets.len(), normalised.problems.len()), (0, 0, 4));
    }

    #[test]
    fn an_item_with_neither_field_is_dropped() {
        assert_eq!(normalise(&[item("", "")]), Normalised::default());
    }
}
