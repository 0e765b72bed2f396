//! Fields of presentation format into wire format.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER_PERMISSIVE};

use super::{
    RdataError, gateways, historic,
    layout::{Part, Whole, layout},
    location, parameters, prefixes,
    text::{NameBuffer, number, period, time, unescape},
    write, wrong_name,
};
use crate::dns::{OwnerName, RecordType};

/// Longest RDATA (RFC 1035 section 3.2.1).
const MAX_RDATA: usize = 65_535;
/// Longest character string (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;
/// Mnemonics of DNSSEC algorithms that people still write (registry "DNS Security Algorithm Numbers").
const ALGORITHMS: &[(&str, u64)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("NSEC3DSA", 6),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];
/// Mnemonics of certificate kinds (RFC 4398 section 2.1).
const CERTIFICATES: &[(&str, u64)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];
/// Schemes of DSYNC (RFC 9859 section 2.3).
const SCHEMES: &[(&str, u64)] = &[("NOTIFY", 1)];

/// Appends the wire format of `fields` to `wire`. On an error `wire` holds part of it.
pub(crate) fn read_into(
    record_type: RecordType,
    fields: &[&str],
    origin: &OwnerName,
    wire: &mut Vec<u8>,
) -> Result<(), RdataError> {
    let start = wire.len();
    if fields.first() == Some(&"\\#") {
        read_generic(record_type, &fields[1..], wire)?;
    } else {
        let (parts, example) = layout(record_type).ok_or_else(|| {
            RdataError::new(format!("the text form of {record_type} data is not known"))
                .help("write `\\# length hexadecimal-digits` (RFC 3597)")
        })?;
        read_parts(record_type, parts, fields, origin, wire)
            .map_err(|error| error.help(format!("{record_type} data looks like `{example}`")))?;
    }
    if wire.len() - start > MAX_RDATA {
        return Err(RdataError::new(format!("the data has more than {MAX_RDATA} octets")));
    }
    Ok(())
}

/// `\# length hex`. Data of a type that is known must fit it, and comes into the normal form of the type.
fn read_generic(record_type: RecordType, fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    const FORM: &str = "write `\\# length hexadecimal-digits` (RFC 3597)";
    let (length, digits) = fields.split_first().ok_or_else(|| RdataError::new("the length is missing").help(FORM))?;
    let length = number(length)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|&length| length <= MAX_RDATA)
        .ok_or_else(|| {
        RdataError::new(format!("`{length}` is no number from 0 to {MAX_RDATA}")).help(FORM).in_field(1)
    })?;
    let octets = HEXLOWER_PERMISSIVE
        .decode(digits.concat().as_bytes())
        .map_err(|_| RdataError::new("the data is no even number of hexadecimal digits").help(FORM).in_field(2))?;
    if octets.len() != length {
        let message = format!("the length says {length} octets, and there are {}", octets.len());
        return Err(RdataError::new(message).help(FORM).in_field(1));
    }
    let Some((parts, _)) = layout(record_type) else {
        wire.extend_from_slice(&octets);
        return Ok(());
    };
    // Sound, and of a kind for which its RFC has no text form yet: kept as it is.
    if match record_type.0 {
        42 => prefixes::is_of_later_family(&octets),
        260 => gateways::is_later_relay(&octets),
        _ => false,
    } {
        wire.extend_from_slice(&octets);
        return Ok(());
    }
    let misfit = || RdataError::new(format!("the octets are no {record_type} data"));
    let mut text = String::new();
    if !write::write_parts(&mut text, parts, &octets).map_err(|_| misfit())? {
        return Err(misfit());
    }
    let fields = crate::dns::master::cut_fields(&text, record_type).map_err(|_| misfit())?;
    read_parts(record_type, parts, &fields, &OwnerName::root(), wire).map_err(|_| misfit())
}

fn read_parts(
    record_type: RecordType,
    parts: &[Part],
    fields: &[&str],
    origin: &OwnerName,
    wire: &mut Vec<u8>,
) -> Result<(), RdataError> {
    let start = wire.len();
    let mut at = 0;
    for &part in parts {
        let rest = fields.get(at..).unwrap_or_default();
        if rest.is_empty() && !part.may_be_missing() {
            let missing = if at == 0 { "the data is missing" } else { "the data ends too early" };
            return Err(RdataError::new(missing));
        }
        at += read_part(part, rest, origin, wire)
            .map_err(|error| RdataError { field: Some(at + error.field.unwrap_or(0)), ..error })?;
    }
    if let Some(extra) = fields.get(at) {
        return Err(RdataError::new(format!("`{extra}` is more than {record_type} data has")).in_field(at));
    }
    check_whole(record_type, &wire[start..])
}

/// Reads one part from the fields that are left, and says how many of them it took.
fn read_part(part: Part, fields: &[&str], origin: &OwnerName, wire: &mut Vec<u8>) -> Result<usize, RdataError> {
    let first = fields.first().copied().unwrap_or_default();
    match part {
        Part::U8 => wire.extend_from_slice(&integer(first, &[], u8::MAX.into())?.to_be_bytes()[7..]),
        Part::U16 => wire.extend_from_slice(&integer(first, &[], u16::MAX.into())?.to_be_bytes()[6..]),
        Part::U32 => wire.extend_from_slice(&integer(first, &[], u32::MAX.into())?.to_be_bytes()[4..]),
        Part::U64 => {
            let value = first.bytes().all(|octet| octet.is_ascii_digit()).then(|| first.parse::<u64>().ok()).flatten();
            let value =
                value.ok_or_else(|| RdataError::new(format!("`{first}` is no number from 0 to {}", u64::MAX)))?;
            wire.extend_from_slice(&value.to_be_bytes());
        }
        Part::Algorithm => wire.extend_from_slice(&integer(first, ALGORITHMS, u8::MAX.into())?.to_be_bytes()[7..]),
        Part::Scheme => wire.extend_from_slice(&integer(first, SCHEMES, u8::MAX.into())?.to_be_bytes()[7..]),
        Part::CertificateKind => {
            wire.extend_from_slice(&integer(first, CERTIFICATES, u16::MAX.into())?.to_be_bytes()[6..]);
        }
        Part::Period => {
            let seconds = period(first)
                .and_then(|seconds| u32::try_from(seconds).ok())
                .ok_or_else(|| RdataError::new(format!("`{first}` is no number of seconds from 0 to {}", u32::MAX)))?;
            wire.extend_from_slice(&seconds.to_be_bytes());
        }
        Part::Time => {
            let seconds =
                time(first).ok_or_else(|| RdataError::new(format!("`{first}` is no time (YYYYMMDDHHmmSS)")))?;
            wire.extend_from_slice(&seconds.to_be_bytes());
        }
        Part::Type => wire.extend_from_slice(&rr_type(first)?.0.to_be_bytes()),
        Part::Name => name(first, origin, wire)?,
        Part::Text => string(first, wire)?,
        Part::Texts => {
            for (index, field) in fields.iter().enumerate() {
                string(field, wire).map_err(|error| error.in_field(index))?;
            }
            return Ok(fields.len());
        }
        Part::Rest => {
            if !unescape(first, wire) {
                return Err(bad_escape(first));
            }
        }
        Part::Tag => {
            if first.is_empty() || !first.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
                return Err(RdataError::new(format!("`{first}` is no property tag of letters and digits")));
            }
            string(first, wire)?;
        }
        Part::Ipv4 => wire.extend_from_slice(&ipv4(first)?.octets()),
        Part::Ipv6 => wire.extend_from_slice(&ipv6(first)?.octets()),
        Part::Hex => {
            let octets =
                HEXLOWER_PERMISSIVE.decode(fields.concat().as_bytes()).ok().filter(|octets| !octets.is_empty());
            let octets = octets.ok_or_else(|| RdataError::new("this is no even number of hexadecimal digits"))?;
            wire.extend_from_slice(&octets);
            return Ok(fields.len());
        }
        Part::MaybeBase64 if fields.is_empty() => return Ok(0),
        Part::DashOrBase64 if first == "-" => {}
        Part::Base64 | Part::MaybeBase64 | Part::DashOrBase64 => {
            let octets = BASE64.decode(fields.concat().as_bytes()).ok().filter(|octets| !octets.is_empty());
            wire.extend_from_slice(&octets.ok_or_else(|| RdataError::new("this is no base64"))?);
            return Ok(fields.len());
        }
        Part::Salt => {
            let digits = if first == "-" { "" } else { first };
            let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().filter(|_| !first.is_empty());
            let octets =
                octets.ok_or_else(|| RdataError::new(format!("`{first}` is no salt: hexadecimal digits or `-`")))?;
            counted(&octets, wire)?;
        }
        Part::Hash => {
            let octets = BASE32HEX_NOPAD.decode(first.to_ascii_uppercase().as_bytes()).ok();
            let octets = octets.filter(|octets| !octets.is_empty());
            let octets = octets
                .ok_or_else(|| RdataError::new(format!("`{first}` is no base32 with the extended hex alphabet")))?;
            counted(&octets, wire)?;
        }
        Part::Types => {
            types(fields, wire)?;
            return Ok(fields.len());
        }
        Part::Eui(count) => pairs(first, count, wire)?,
        Part::Locator => {
            let groups: Vec<&str> = first.split(':').collect();
            let value = |group: &&str| (1..=4).contains(&group.len()).then(|| u16::from_str_radix(group, 16).ok())?;
            let values: Option<Vec<u16>> = groups.iter().map(value).collect();
            let values = values.filter(|values| values.len() == 4 && !first.contains('+')).ok_or_else(|| {
                RdataError::new(format!("`{first}` is no four groups of hexadecimal digits with `:` between"))
            })?;
            wire.extend(values.into_iter().flat_map(u16::to_be_bytes));
        }
        Part::Location => {
            location::read(fields, wire)?;
            return Ok(fields.len());
        }
        Part::Parameters => {
            parameters::read(fields, wire)?;
            return Ok(fields.len());
        }
        Part::Own(whole) => return read_whole(whole, fields, origin, wire),
    }
    Ok(1)
}

fn read_whole(whole: Whole, fields: &[&str], origin: &OwnerName, wire: &mut Vec<u8>) -> Result<usize, RdataError> {
    let first = fields.first().copied().unwrap_or_default();
    match whole {
        Whole::Nsap => historic::read_nsap(first, wire).map(|()| 1),
        Whole::Atm => historic::read_atm(first, wire).map(|()| 1),
        Whole::Relay => gateways::read_relay(fields, origin, wire),
        Whole::ChainedAddress => gateways::read_chained_address(fields, origin, wire),
        Whole::Prefixes => prefixes::read(fields, wire).map(|()| fields.len()),
        Whole::Gateway => gateways::read_key(fields, origin, wire).map(|()| fields.len()),
        Whole::HostIdentity => gateways::read_host_identity(fields, origin, wire).map(|()| fields.len()),
        Whole::Services => historic::read_services(fields, wire).map(|()| fields.len()),
        Whole::OldTypes => historic::read_types(fields, wire).map(|()| fields.len()),
    }
}

/// What no single part can know. Every part must fit already.
pub(super) fn check_whole(record_type: RecordType, wire: &[u8]) -> Result<(), RdataError> {
    if matches!(record_type.0, 43 | 59) {
        // Digest types of RFC 4034 appendix A.2, RFC 4509 and RFC 6605.
        let want = match wire[3] {
            1 => 20,
            2 => 32,
            4 => 48,
            _ => return Ok(()),
        };
        if wire.len() - 4 != want {
            let message =
                format!("a digest of type {} has {want} octets, and this one has {}", wire[3], wire.len() - 4);
            return Err(RdataError::new(message).in_field(3));
        }
    }
    Ok(())
}

pub(super) fn name(text: &str, origin: &OwnerName, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let name = NameBuffer::read(text, origin).map_err(|error| wrong_name(text, &error))?;
    wire.extend_from_slice(name.as_wire());
    Ok(())
}

pub(super) fn ipv4(text: &str) -> Result<Ipv4Addr, RdataError> {
    text.parse().map_err(|_| RdataError::new(format!("`{text}` is no IPv4 address")))
}

pub(super) fn ipv6(text: &str) -> Result<Ipv6Addr, RdataError> {
    text.parse().map_err(|_| RdataError::new(format!("`{text}` is no IPv6 address")))
}

pub(super) fn integer(text: &str, mnemonics: &[(&str, u64)], largest: u64) -> Result<u64, RdataError> {
    let named = || mnemonics.iter().find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(text)).map(|&(_, value)| value);
    let value = number(text).filter(|&value| value <= largest).or_else(named);
    value.ok_or_else(|| RdataError::new(format!("`{text}` is no number from 0 to {largest}")))
}

pub(super) fn rr_type(text: &str) -> Result<RecordType, RdataError> {
    text.parse::<RecordType>().map_err(|error| RdataError::new(error.to_string()))
}

pub(super) fn bad_escape(text: &str) -> RdataError {
    RdataError::new(format!(
        "`{text}` has a backslash that is not followed by a character or by three digits up to 255"
    ))
}

/// A character string: a length octet and the octets.
fn string(text: &str, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let at = wire.len();
    wire.push(0);
    if !unescape(text, wire) {
        return Err(bad_escape(text));
    }
    let length = wire.len() - at - 1;
    wire[at] = u8::try_from(length).map_err(|_| {
        RdataError::new(format!("a string has {length} octets; at most {MAX_STRING} fit"))
            .help("cut it into several strings, each in quotes: they are read as one")
    })?;
    Ok(())
}

fn counted(octets: &[u8], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let length = u8::try_from(octets.len()).map_err(|_| RdataError::new(format!("more than {MAX_STRING} octets")))?;
    wire.push(length);
    wire.extend_from_slice(octets);
    Ok(())
}

/// Type bitmap (RFC 4034 section 4.1.2): blocks of 256 types, each with as many octets as it needs.
fn types(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut numbers = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        numbers.push(rr_type(field).map_err(|error| error.in_field(index))?.0.to_be_bytes());
    }
    numbers.sort_unstable();
    for block in numbers.chunk_by(|a, b| a[0] == b[0]) {
        let mut map = [0u8; 32];
        let mut length = 0;
        for &[_, low] in block {
            map[usize::from(low / 8)] |= 0x80 >> (low % 8);
            length = low / 8 + 1;
        }
        wire.extend_from_slice(&[block[0][0], length]);
        wire.extend_from_slice(&map[..usize::from(length)]);
    }
    Ok(())
}

/// `count` pairs of hexadecimal digits with hyphens between.
fn pairs(text: &str, count: usize, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let pairs: Vec<&str> = text.split('-').collect();
    let whole = pairs.len() == count && pairs.iter().all(|pair| pair.len() == 2);
    let octets = HEXLOWER_PERMISSIVE.decode(pairs.concat().as_bytes()).ok().filter(|_| whole);
    let octets = octets.ok_or_else(|| {
        RdataError::new(format!("`{text}` is no {count} pairs of hexadecimal digits with `-` between"))
    })?;
    wire.extend_from_slice(&octets);
    Ok(())
}
