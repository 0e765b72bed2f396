//! Networks as zones of the reverse tree.

use std::net::IpAddr;

use mcdns_core::dns::OwnerName;
use thiserror::Error;

/// Bits that a label of `in-addr.arpa` stands for (RFC 1035 section 3.5), and one of `ip6.arpa` (RFC 3596 section 2.5).
const OCTET: u32 = 8;
const NIBBLE: u32 = 4;

/// An address and a length that make no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{length}` is no length of a prefix: a network of {address} has 0 to {most} bits")]
pub struct NetworkError {
    address: IpAddr,
    length: String,
    most: u32,
}

/// The zones that have the names of a network's addresses, and those of no others: one where its length falls between two
/// labels, up to 128 where it does not (a `/25` has 128 of one address each), as CoreDNS takes networks for zones. None
/// where the text is no address with a length behind it.
///
/// # Errors
///
/// [`NetworkError`] where the length is none.
pub fn reverse_zones(text: &str) -> Option<Result<Vec<OwnerName>, NetworkError>> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    // As a number of 128 bits, whose first ones count.
    let (octets, most, bits, suffix) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32, OCTET, "in-addr.arpa"),
        IpAddr::V6(address) => (address.to_bits(), 128, NIBBLE, "ip6.arpa"),
    };
    let is_number = !length.is_empty() && length.bytes().all(|octet| octet.is_ascii_digit());
    let Some(length) = length.parse().ok().filter(|length: &u32| is_number && *length <= most) else {
        return Some(Err(NetworkError { address, length: length.to_owned(), most }));
    };
    let first = if length == 0 { 0 } else { octets >> (128 - length) << (128 - length) };
    let labels = length.div_ceil(bits);
    let zone = |index: u128| {
        let address = if labels == 0 { 0 } else { first | index << (128 - labels * bits) };
        let label = |at: u32| {
            let value = address >> (128 - (at + 1) * bits) & ((1 << bits) - 1);
            if bits == OCTET { format!("{value}.") } else { format!("{value:x}.") }
        };
        let name: String = (0..labels).rev().fold(String::new(), |name, at| name + &label(at)) + suffix;
        OwnerName::parse(&name).ok()
    };
    Some(Ok((0..1_u128 << (labels * bits - length)).filter_map(zone).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(text: &str) -> Vec<String> {
        let zones = reverse_zones(text).expect("a network").unwrap_or_else(|error| unreachable!("{error}"));
        zones.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_network_is_as_many_zones_as_it_takes() {
        for (network, expected) in [
            ("10.0.0.0/24", &["0.0.10.in-addr.arpa"][..]),
            ("10.0.0.77/24", &["0.0.10.in-addr.arpa"]),
            ("10.0.0.0/8", &["10.in-addr.arpa"]),
            ("192.0.2.1/32", &["1.2.0.192.in-addr.arpa"]),
            ("192.0.2.255/31", &["254.2.0.192.in-addr.arpa", "255.2.0.192.in-addr.arpa"]),
            ("10.1.3.0/23", &["2.1.10.in-addr.arpa", "3.1.10.in-addr.arpa"]),
            ("0.0.0.0/0", &["in-addr.arpa"]),
            ("2001:db8::/32", &["8.b.d.0.1.0.0.2.ip6.arpa"]),
            ("2001:db8::/31", &["8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa"]),
            ("::/0", &["ip6.arpa"]),
        ] {
            assert_eq!(zones(network), expected, "{network}");
        }
        assert_eq!(zones("192.0.2.0/25").len(), 128);
        assert_eq!(zones("2001:db8::1/128")[0].split('.').count(), 34);
    }

    #[test]
    fn what_is_no_network_is_told_from_a_name() {
        for name in ["example.org", "0/25.2.0.192.in-addr.arpa", "10.0.0/24", "10.0.0.0"] {
            assert_eq!(reverse_zones(name), None, "{name}");
        }
        for wrong in ["10.0.0.0/33", "2001:db8::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/x"] {
            assert!(matches!(reverse_zones(wrong), Some(Err(_))), "{wrong}");
        }
    }
}
