//! APL (RFC 3123): a list of address prefixes, `[!]family:address/length` each, and none at all as well.

use std::{
    fmt::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{RdataError, text::number, write::Octets};

/// Address families (registry "Address Family Numbers"). Others have no text form.
const IPV4: u16 = 1;
const IPV6: u16 = 2;
/// Bit of the length octet that turns a prefix into its opposite.
const NEGATED: u8 = 0x80;

pub(super) fn read(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    for (index, field) in fields.iter().enumerate() {
        let wrong = || RdataError::new(format!("`{field}` is no prefix: [!]family:address/length")).in_field(index);
        let (negated, item) = field.strip_prefix('!').map_or((0, *field), |item| (NEGATED, item));
        let (family, item) = item.split_once(':').ok_or_else(wrong)?;
        let (address, length) = item.split_once('/').ok_or_else(wrong)?;
        let family = number(family).and_then(|family| u16::try_from(family).ok());
        let octets = match (family, address.parse().map_err(|_| wrong())?) {
            (Some(IPV4), IpAddr::V4(address)) => address.octets().to_vec(),
            (Some(IPV6), IpAddr::V6(address)) => address.octets().to_vec(),
            _ => return Err(wrong()),
        };
        let length = number(length).and_then(|length| u8::try_from(length).ok()).ok_or_else(wrong)?;
        if usize::from(length) > octets.len() * 8 {
            return Err(wrong());
        }
        // "MUST NOT include trailing zero octets" (section 4).
        let kept = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        wire.extend_from_slice(&family.unwrap_or_default().to_be_bytes());
        wire.extend_from_slice(&[length, negated | kept.to_be_bytes()[kept.to_be_bytes().len() - 1]]);
        wire.extend_from_slice(&octets[..kept]);
    }
    Ok(())
}

/// None if the octets do not fit, or have a family without a text form.
pub(super) fn write(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let mut gap = "";
    while !octets.rest.is_empty() {
        let item = Item::take(octets)?;
        let address: IpAddr = match item.family {
            IPV4 => Ipv4Addr::from(padded::<4>(item.address)?).into(),
            IPV6 => Ipv6Addr::from(padded::<16>(item.address)?).into(),
            _ => return None,
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        if item.length > most {
            return None;
        }
        let sign = if item.negated { "!" } else { "" };
        write!(out, "{gap}{sign}{}:{address}/{}", item.family, item.length).ok()?;
        gap = " ";
    }
    Some(Ok(()))
}

/// True for a sound list with a family that has no text form.
pub(super) fn is_of_later_family(octets: &[u8]) -> bool {
    let mut octets = Octets { rest: octets };
    let mut later = false;
    while !octets.rest.is_empty() {
        let Some(item) = Item::take(&mut octets) else { return false };
        later |= !matches!(item.family, IPV4 | IPV6);
    }
    later
}

struct Item<'a> {
    family: u16,
    length: u8,
    negated: bool,
    address: &'a [u8],
}

impl<'a> Item<'a> {
    fn take(octets: &mut Octets<'a>) -> Option<Self> {
        let family = octets.u16()?;
        let [length, size] = octets.array()?;
        let address = octets.take((size & !NEGATED).into()).filter(|address| !address.ends_with(&[0]))?;
        Some(Self { family, length, negated: size & NEGATED != 0, address })
    }
}

fn padded<const N: usize>(front: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..front.len())?.copy_from_slice(front);
    Some(octets)
}
