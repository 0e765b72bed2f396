//! Data that leads to somebody else: IPSECKEY (RFC 4025), AMTRELAY (RFC 8777), HIP (RFC 8005) and A6 (RFC 2874).
//!
//! Of what kind a field is, and how long, is said by a field in front of it, so that no row of single parts can
//! describe them:
//!
//! ```text
//!   IPSECKEY  precedence kind algorithm gateway [key]        kind 0: `.`, 1: IPv4, 2: IPv6, 3: a name
//!   AMTRELAY  precedence discovery kind relay
//!   HIP       algorithm tag key [server ...]                 on the wire the lengths of tag and key stand first
//!   A6        prefix-length [suffix] [name]                  no suffix with 128, no name with 0
//! ```

use std::{
    fmt::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE, HEXUPPER};

use super::{
    RdataError,
    read::{integer, ipv4, ipv6, name},
    write::{Octets, write_name},
};
use crate::dns::OwnerName;

/// The kinds of gateways and relays (RFC 4025 section 2.3, RFC 8777 section 4.2.3); others have no text form.
const KINDS: u64 = 3;
/// Bit of the kind of a relay that says that it may be discovered (RFC 8777 section 4.2.2).
const DISCOVERY: u8 = 0x80;
/// Bits of an IPv6 address.
const ADDRESS_BITS: u8 = 128;

pub(super) fn read_key(fields: &[&str], origin: &OwnerName, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let [precedence, kind, algorithm, gateway, key @ ..] = fields else { return Err(too_short()) };
    let precedence = octet(precedence, 0, u8::MAX)?;
    let kind = kind_of(kind, 1)?;
    let algorithm = octet(algorithm, 2, u8::MAX)?;
    wire.extend_from_slice(&[precedence, kind, algorithm]);
    read_gateway(kind, gateway, origin, wire).map_err(|error| error.in_field(3))?;
    // "A value of 0 indicates that no key is present" (section 2.4).
    if key.is_empty() {
        return if algorithm == 0 { Ok(()) } else { Err(too_short()) };
    }
    wire.extend_from_slice(&base64(&key.concat()).map_err(|error| error.in_field(4))?);
    Ok(())
}

/// None if the octets do not fit, as in all that follow.
pub(super) fn write_key(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [precedence, kind, algorithm] = octets.array()?;
    write!(out, "{precedence} {kind} {algorithm} ").ok()?;
    write_gateway(out, kind, octets)?;
    match octets.all() {
        [] => (algorithm == 0).then_some(Ok(())),
        key => Some(write!(out, " {}", BASE64.encode(key))),
    }
}

pub(super) fn read_relay(fields: &[&str], origin: &OwnerName, wire: &mut Vec<u8>) -> Result<usize, RdataError> {
    let [precedence, discovery, kind, relay, ..] = fields else { return Err(too_short()) };
    let precedence = octet(precedence, 0, u8::MAX)?;
    let discovery = octet(discovery, 1, 1)?;
    let kind = kind_of(kind, 2)?;
    wire.extend_from_slice(&[precedence, kind | if discovery == 1 { DISCOVERY } else { 0 }]);
    read_gateway(kind, relay, origin, wire).map_err(|error| error.in_field(3))?;
    Ok(4)
}

pub(super) fn write_relay(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [precedence, kind] = octets.array()?;
    let discovery = u8::from(kind & DISCOVERY != 0);
    let kind = kind & !DISCOVERY;
    write!(out, "{precedence} {discovery} {kind} ").ok()?;
    write_gateway(out, kind, octets)?;
    Some(Ok(()))
}

/// True for a relay of a kind that the RFC leaves to a later day, which can only be written as `\#`.
pub(super) fn is_later_relay(octets: &[u8]) -> bool {
    octets.get(1).is_some_and(|kind| u64::from(kind & !DISCOVERY) > KINDS)
}

pub(super) fn read_host_identity(fields: &[&str], origin: &OwnerName, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let [algorithm, tag, key, servers @ ..] = fields else { return Err(too_short()) };
    let algorithm = octet(algorithm, 0, u8::MAX)?;
    let octets = HEXLOWER_PERMISSIVE.decode(tag.as_bytes()).ok().filter(|octets| !octets.is_empty());
    let length = octets.as_ref().and_then(|octets| u8::try_from(octets.len()).ok());
    let (Some(octets), Some(length)) = (octets, length) else {
        return Err(RdataError::new(format!("`{tag}` is no 1 to 255 octets in hexadecimal")).in_field(1));
    };
    let key = base64(key).map_err(|error| error.in_field(2))?;
    let key_length =
        u16::try_from(key.len()).map_err(|_| RdataError::new("the key has more than 65535 octets").in_field(2))?;
    wire.extend_from_slice(&[length, algorithm]);
    wire.extend_from_slice(&key_length.to_be_bytes());
    wire.extend_from_slice(&octets);
    wire.extend_from_slice(&key);
    for (index, server) in servers.iter().enumerate() {
        name(server, origin, wire).map_err(|error| error.in_field(3 + index))?;
    }
    Ok(())
}

pub(super) fn write_host_identity(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [length, algorithm] = octets.array()?;
    let key_length = octets.u16()?;
    let tag = octets.take(length.into()).filter(|tag| !tag.is_empty())?;
    let key = octets.take(key_length.into()).filter(|key| !key.is_empty())?;
    write!(out, "{algorithm} {} {}", HEXUPPER.encode(tag), BASE64.encode(key)).ok()?;
    while !octets.rest.is_empty() {
        out.push(' ');
        write_name(out, octets.name()?).ok()?;
    }
    Some(Ok(()))
}

pub(super) fn read_chained_address(
    fields: &[&str],
    origin: &OwnerName,
    wire: &mut Vec<u8>,
) -> Result<usize, RdataError> {
    let [prefix, rest @ ..] = fields else { return Err(too_short()) };
    let prefix = octet(prefix, 0, ADDRESS_BITS)?;
    wire.push(prefix);
    let mut rest = rest.iter();
    let mut used = 1;
    if prefix < ADDRESS_BITS {
        let suffix = rest.next().ok_or_else(too_short)?;
        let address = ipv6(suffix).map_err(|error| error.in_field(used))?;
        let mut octets = address.octets()[usize::from(prefix / 8)..].to_vec();
        // "The pad bits MUST be set to zero" (section 3.1.1).
        octets[0] &= 0xff >> (prefix % 8);
        wire.extend_from_slice(&octets);
        used += 1;
    }
    if prefix > 0 {
        name(rest.next().ok_or_else(too_short)?, origin, wire).map_err(|error| error.in_field(used))?;
        used += 1;
    }
    Ok(used)
}

pub(super) fn write_chained_address(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let [prefix] = octets.array::<1>().filter(|[prefix]| *prefix <= ADDRESS_BITS)?;
    write!(out, "{prefix}").ok()?;
    if prefix < ADDRESS_BITS {
        let first = usize::from(prefix / 8);
        let suffix = octets.take(16 - first)?;
        if suffix[0] & !(0xff >> (prefix % 8)) != 0 {
            return None;
        }
        let mut address = [0; 16];
        address[first..].copy_from_slice(suffix);
        write!(out, " {}", Ipv6Addr::from(address)).ok()?;
    }
    if prefix > 0 {
        out.push(' ');
        write_name(out, octets.name()?).ok()?;
    }
    Some(Ok(()))
}

fn read_gateway(kind: u8, text: &str, origin: &OwnerName, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    match kind {
        0 if text == "." => {}
        0 => return Err(RdataError::new(format!("`{text}` stands where kind 0 wants `.`"))),
        1 => wire.extend_from_slice(&ipv4(text)?.octets()),
        2 => wire.extend_from_slice(&ipv6(text)?.octets()),
        _ => name(text, origin, wire)?,
    }
    Ok(())
}

fn write_gateway(out: &mut String, kind: u8, octets: &mut Octets<'_>) -> Option<()> {
    match kind {
        0 => out.write_char('.'),
        1 => write!(out, "{}", Ipv4Addr::from(octets.array::<4>()?)),
        2 => write!(out, "{}", Ipv6Addr::from(octets.array::<16>()?)),
        3 => write_name(out, octets.name()?),
        _ => return None,
    }
    .ok()
}

fn too_short() -> RdataError {
    RdataError::new("the data ends too early")
}

fn octet(text: &str, field: usize, largest: u8) -> Result<u8, RdataError> {
    let value = integer(text, &[], largest.into()).map_err(|error| error.in_field(field))?;
    Ok(value.to_be_bytes()[7])
}

fn kind_of(text: &str, field: usize) -> Result<u8, RdataError> {
    let value = integer(text, &[], KINDS).map_err(|error| error.in_field(field))?;
    Ok(value.to_be_bytes()[7])
}

fn base64(text: &str) -> Result<Vec<u8>, RdataError> {
    let octets = BASE64.decode(text.as_bytes()).ok().filter(|octets| !octets.is_empty());
    octets.ok_or_else(|| RdataError::new("this is no base64"))
}
