//! Data of types that stand in old zones alone: WKS (RFC 1035 section 3.4.2), NSAP (RFC 1706), ATMA (ATM Name System
//! Specification 1.0) and NXT (RFC 2535 section 5).

use std::fmt::{self, Write};

use data_encoding::{HEXLOWER_PERMISSIVE, HEXUPPER};

use super::{
    RdataError,
    read::{integer, ipv4, rr_type},
    write::Octets,
};
use crate::dns::RecordType;

/// Protocols that people write by name (registry "Protocol Numbers").
const PROTOCOLS: &[(&str, u64)] = &[("ICMP", 1), ("TCP", 6), ("EGP", 8), ("UDP", 17)];
/// Services that people write by name: those of RFC 1700 below 256 that are more than a memory, and a few later ones
/// (registry "Service Name and Transport Protocol Port Number").
const SERVICES: &[(&str, u64)] = &[
    ("echo", 7),
    ("discard", 9),
    ("systat", 11),
    ("daytime", 13),
    ("netstat", 15),
    ("qotd", 17),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("nameserver", 42),
    ("nicname", 43),
    ("whois", 43),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("hostname", 101),
    ("hostnames", 101),
    ("pop2", 109),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("sftp", 115),
    ("uucp-path", 117),
    ("nntp", 119),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("snmptrap", 162),
    ("bgp", 179),
    ("irc", 194),
    ("imap3", 220),
    ("ldap", 389),
    ("https", 443),
    ("submission", 587),
    ("ldaps", 636),
    ("domain-s", 853),
    ("imaps", 993),
    ("pop3s", 995),
];
/// Types that an NXT record can name (RFC 2535 section 5.2).
const NXT_TYPES: u16 = 128;
/// Formats of ATMA: hexadecimal digits, and decimal ones behind a `+`.
const AESA: u8 = 0;
const E164: u8 = 1;

pub(super) fn read_services(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let [address, protocol, services @ ..] = fields else {
        return Err(RdataError::new("the data ends too early"));
    };
    wire.extend_from_slice(&ipv4(address)?.octets());
    let protocol = integer(protocol, PROTOCOLS, u8::MAX.into()).map_err(|error| error.in_field(1))?;
    wire.push(protocol.to_be_bytes()[7]);
    let mut map = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let port = integer(service, SERVICES, u16::MAX.into()).map_err(|error| error.in_field(2 + index))?;
        set_bit(&mut map, usize::try_from(port).unwrap_or(0));
    }
    wire.extend_from_slice(&map);
    Ok(())
}

/// None if the octets do not fit, as in all that follow.
pub(super) fn write_services(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [a, b, c, d, protocol] = octets.array()?;
    write!(out, "{a}.{b}.{c}.{d} {protocol}").ok()?;
    let map = octets.all();
    // 65,536 ports; an empty octet at the end would not come back.
    if map.len() > 8192 || map.ends_with(&[0]) {
        return None;
    }
    Some(bits(map).try_for_each(|port| write!(out, " {port}")))
}

pub(super) fn read_nsap(text: &str, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).map(|digits| digits.replace('.', ""));
    let octets = digits.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
    let octets = octets.filter(|octets| !octets.is_empty());
    let wrong = || RdataError::new(format!("`{text}` is no `0x` and an even number of hexadecimal digits"));
    wire.extend_from_slice(&octets.ok_or_else(wrong)?);
    Ok(())
}

pub(super) fn write_nsap(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let address = octets.all();
    (!address.is_empty()).then(|| write!(out, "0x{}", HEXUPPER.encode(address)))
}

pub(super) fn read_atm(text: &str, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let wrong = || RdataError::new(format!("`{text}` is no ATM address: hexadecimal digits, or `+` and decimal ones"));
    let octets = if let Some(digits) = text.strip_prefix('+') {
        wire.push(E164);
        let digits = digits.replace('.', "").into_bytes();
        Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit))
    } else {
        wire.push(AESA);
        HEXLOWER_PERMISSIVE.decode(text.replace('.', "").as_bytes()).ok()
    };
    wire.extend_from_slice(&octets.filter(|octets| !octets.is_empty()).ok_or_else(wrong)?);
    Ok(())
}

pub(super) fn write_atm(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [format] = octets.array()?;
    let address = octets.all();
    if address.is_empty() {
        return None;
    }
    match format {
        AESA => Some(out.write_str(&HEXUPPER.encode(address))),
        E164 if address.iter().all(u8::is_ascii_digit) => Some(write!(out, "+{}", std::str::from_utf8(address).ok()?)),
        _ => None,
    }
}

/// The bit map behind the name of an NXT record.
pub(super) fn read_types(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut map = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let record_type = rr_type(field).map_err(|error| error.in_field(index))?.0;
        if !(1..NXT_TYPES).contains(&record_type) {
            return Err(RdataError::new(format!("`{field}` is no type below {NXT_TYPES}")).in_field(index));
        }
        set_bit(&mut map, record_type.into());
    }
    wire.extend_from_slice(&map);
    Ok(())
}

pub(super) fn write_types(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let map = octets.all();
    // Bit 0 announces another form of the rest.
    if map.len() > usize::from(NXT_TYPES / 8) || map.ends_with(&[0]) || map.first()? & 0x80 != 0 {
        return None;
    }
    let mut gap = "";
    Some(bits(map).try_for_each(|number| {
        let number = u16::try_from(number).map_err(|_| fmt::Error)?;
        write!(out, "{gap}{}", RecordType(number))?;
        gap = " ";
        Ok(())
    }))
}

/// Sets a bit of a map that counts from the highest bit of its first octet, and grows as needed.
fn set_bit(map: &mut Vec<u8>, number: usize) {
    if map.len() <= number / 8 {
        map.resize(number / 8 + 1, 0);
    }
    map[number / 8] |= 0x80 >> (number % 8);
}

fn bits(map: &[u8]) -> impl Iterator<Item = usize> {
    let set = |(at, octet): (usize, &u8)| {
        let octet = *octet;
        (0..8).filter(move |bit| octet & (0x80 >> bit) != 0).map(move |bit| at * 8 + bit)
    };
    map.iter().enumerate().flat_map(set)
}
