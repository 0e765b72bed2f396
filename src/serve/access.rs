//! Who may have a zone: access by address, by key, or by both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mcdns_core::dns::OwnerName;

/// Bits in front of an IPv4 address that is mapped into IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// Rules of which one must hold; an empty list lets nobody in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    /// In the order of the settings.
    pub rules: Vec<AccessRule>,
}

/// One way in: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// The client's address lies in one of these; empty: any address.
    pub networks: Vec<Network>,
    /// The request is signed with one of these keys; empty: no key is needed.
    pub keys: Vec<OwnerName>,
}

/// A prefix of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// Bits that must be equal.
    pub prefix: u8,
}

impl AccessList {
    /// Lets in whoever asks from this machine, and nobody else.
    pub fn loopback() -> Self {
        Self { rules: vec![AccessRule { networks: Network::LOOPBACK.to_vec(), keys: Vec::new() }] }
    }

    /// True if a request from `address`, signed with `key` if with any, is let in. The signature was verified.
    pub fn allows(&self, address: IpAddr, key: Option<&OwnerName>) -> bool {
        self.rules.iter().any(|rule| {
            (rule.networks.is_empty() || rule.networks.iter().any(|network| network.contains(address)))
                && (rule.keys.is_empty() || key.is_some_and(|key| rule.keys.contains(key)))
        })
    }
}

impl Network {
    /// The addresses of this machine alone (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// True if the address lies in it. IPv4 addresses that are mapped into IPv6 count as what they are, on either side.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, bits: u32, prefix: u8| {
            let shift = bits.saturating_sub(prefix.into());
            shift >= 128 || ours >> shift == theirs >> shift
        };
        let prefix = match (self.address, self.address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(_)) => self.prefix.saturating_sub(MAPPED),
            _ => self.prefix,
        };
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32, prefix),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128, prefix),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').expect("a prefix");
        Network { address: address.parse().expect("an address"), prefix: prefix.parse().expect("a number") }
    }

    #[test]
    fn a_network_contains_the_addresses_of_its_prefix() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.1", "192.0.3.1"),
            ("::ffff:0:0/96", "192.0.2.1", "2001:db8::1"),
        ] {
            assert!(network(text).contains(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!network(text).contains(outside.parse().expect("an address")), "{text} {outside}");
        }
    }

    #[test]
    fn a_rule_wants_all_that_it_names_and_a_list_any_rule() {
        let key: OwnerName = "transfer-key".parse().expect("a name");
        let other: OwnerName = "other".parse().expect("a name");
        let inside = "192.0.2.1".parse().expect("an address");
        let outside = "198.51.100.1".parse().expect("an address");
        let both = AccessRule { networks: vec![network("192.0.2.0/24")], keys: vec![key.clone()] };
        let list = AccessList { rules: vec![both] };
        assert!(list.allows(inside, Some(&key)));
        assert!(!list.allows(inside, None));
        assert!(!list.allows(inside, Some(&other)));
        assert!(!list.allows(outside, Some(&key)));
        let by_key = AccessRule { networks: Vec::new(), keys: vec![other.clone()] };
        let list = AccessList { rules: [list.rules, vec![by_key]].concat() };
        assert!(list.allows(outside, Some(&other)));
        assert!(!AccessList::default().allows(inside, Some(&key)));
    }
}
