//! Wire format into presentation format.
//!
//! Data is written into a text of its own first, because whether it fits its type is known only at its end.

use std::{
    fmt::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER, HEXUPPER};

use super::{
    gateways, historic,
    layout::{Part, Whole, layout},
    location, parameters, prefixes,
    read::check_whole,
    text::{display_time, write_quoted},
};
use crate::dns::{OwnerName, RecordType};

/// Writes `rdata` in the form of its type, else as `\# length hex`.
pub(super) fn write(out: &mut impl Write, record_type: RecordType, rdata: &[u8]) -> fmt::Result {
    if let Some((parts, _)) = layout(record_type) {
        let mut text = String::with_capacity(rdata.len() + 16);
        if write_parts(&mut text, parts, rdata)? && check_whole(record_type, rdata).is_ok() {
            return out.write_str(&text);
        }
    }
    write!(out, "\\# {}", rdata.len())?;
    if rdata.is_empty() { Ok(()) } else { write!(out, " {}", HEXUPPER.encode(rdata)) }
}

/// Writes every part; false, with part of the text written, if the octets do not fit.
pub(super) fn write_parts(out: &mut String, parts: &[Part], rdata: &[u8]) -> Result<bool, fmt::Error> {
    let mut octets = Octets { rest: rdata };
    for (index, &part) in parts.iter().enumerate() {
        if index > 0 && !(octets.rest.is_empty() && part.may_be_missing()) {
            out.push(' ');
        }
        match write_part(out, part, &mut octets) {
            Some(result) => result?,
            None => return Ok(false),
        }
    }
    Ok(octets.rest.is_empty())
}

/// None if the octets do not fit.
fn write_part(out: &mut String, part: Part, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let written = match part {
        Part::U8 | Part::Algorithm | Part::Scheme => write!(out, "{}", octets.array::<1>()?[0]),
        Part::U16 | Part::CertificateKind => write!(out, "{}", octets.u16()?),
        Part::U32 | Part::Period => write!(out, "{}", octets.u32()?),
        Part::U64 => write!(out, "{}", u64::from_be_bytes(octets.array()?)),
        Part::Time => out.write_str(&display_time(octets.u32()?)),
        Part::Type => write!(out, "{}", RecordType(octets.u16()?)),
        Part::Name => write_name(out, octets.name()?),
        Part::Text => write_quoted(out, octets.counted()?),
        Part::Texts => {
            write_quoted(out, octets.counted()?).ok()?;
            while !octets.rest.is_empty() {
                out.push(' ');
                write_quoted(out, octets.counted()?).ok()?;
            }
            Ok(())
        }
        Part::Rest => write_quoted(out, octets.all()),
        Part::Tag => {
            let tag = octets.counted()?;
            let good = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
            out.write_str(std::str::from_utf8(tag).ok().filter(|_| good)?)
        }
        Part::Ipv4 => write!(out, "{}", Ipv4Addr::from(octets.array::<4>()?)),
        Part::Ipv6 => write!(out, "{}", Ipv6Addr::from(octets.array::<16>()?)),
        Part::Hex => out.write_str(&HEXUPPER.encode(octets.some()?)),
        Part::Base64 => out.write_str(&BASE64.encode(octets.some()?)),
        Part::MaybeBase64 => out.write_str(&BASE64.encode(octets.all())),
        Part::DashOrBase64 => match octets.all() {
            [] => out.write_str("-"),
            data => out.write_str(&BASE64.encode(data)),
        },
        Part::Salt => match octets.counted()? {
            [] => out.write_str("-"),
            salt => out.write_str(&HEXUPPER.encode(salt)),
        },
        Part::Hash => {
            let hash = octets.counted().filter(|hash| !hash.is_empty())?;
            out.write_str(&BASE32HEX_NOPAD.encode(hash))
        }
        Part::Types => write_types(out, octets)?,
        Part::Eui(count) => out.write_str(&joined(octets.take(count)?, 1, "-")),
        Part::Locator => out.write_str(&joined(octets.take(8)?, 2, ":")),
        Part::Location => location::write(out, octets.array()?)?,
        Part::Parameters => parameters::write(out, octets)?,
        Part::Own(whole) => write_whole(out, whole, octets)?,
    };
    Some(written)
}

fn write_whole(out: &mut String, whole: Whole, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    match whole {
        Whole::Prefixes => prefixes::write(out, octets),
        Whole::Gateway => gateways::write_key(out, octets),
        Whole::Relay => gateways::write_relay(out, octets),
        Whole::HostIdentity => gateways::write_host_identity(out, octets),
        Whole::ChainedAddress => gateways::write_chained_address(out, octets),
        Whole::Services => historic::write_services(out, octets),
        Whole::Nsap => historic::write_nsap(out, octets),
        Whole::Atm => historic::write_atm(out, octets),
        Whole::OldTypes => historic::write_types(out, octets),
    }
}

/// Octets in hexadecimal, in groups of `size`.
fn joined(octets: &[u8], size: usize, separator: &str) -> String {
    octets.chunks(size).map(|group| HEXLOWER.encode(group)).collect::<Vec<_>>().join(separator)
}

fn write_types(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let mut last = None;
    let mut gap = "";
    while !octets.rest.is_empty() {
        let block = octets.array::<1>()?[0];
        let map = octets.counted().filter(|map| (1..=32).contains(&map.len()))?;
        // Only one form is allowed: blocks in order, no empty octet at their ends.
        if last.is_some_and(|last| last >= block) || map.ends_with(&[0]) {
            return None;
        }
        last = Some(block);
        for (low, _) in (0..=255u8)
            .zip(map.iter().flat_map(|octet| (0..8).map(move |bit| octet & (0x80 >> bit) != 0)))
            .filter(|&(_, set)| set)
        {
            write!(out, "{gap}{}", RecordType(u16::from_be_bytes([block, low]))).ok()?;
            gap = " ";
        }
    }
    Some(Ok(()))
}

pub(super) fn write_name(out: &mut String, name: &[u8]) -> fmt::Result {
    // The octets were found to be a name when they were cut off.
    let name = OwnerName::from_wire(name).map_err(|_| fmt::Error)?;
    if name.is_root() { out.write_char('.') } else { write!(out, "{name}.") }
}

/// Octets that are taken from the front; every method gives none where too few are left.
pub(super) struct Octets<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Octets<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn some(&mut self) -> Option<&'a [u8]> {
        Some(self.all()).filter(|octets| !octets.is_empty())
    }

    /// A length octet and what it counts.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.array::<1>()?[0];
        self.take(length.into())
    }

    /// An uncompressed name.
    pub(super) fn name(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        loop {
            let label = *self.rest.get(length)?;
            length += 1 + usize::from(label);
            if label > 63 || length > 255 {
                return None;
            }
            if label == 0 {
                return self.take(length);
            }
        }
    }
}
