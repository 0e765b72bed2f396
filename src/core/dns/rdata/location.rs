//! LOC (RFC 1876): a place on the earth.
//!
//! `d1 [m1 [s1]] {N|S} d2 [m2 [s2]] {E|W} altitude[m] [size[m] [horizontal[m] [vertical[m]]]]`

use std::fmt::{self, Write};

use super::RdataError;

/// The equator and the prime meridian, in thousandths of a second of arc.
const MIDDLE: u32 = 1 << 31;
/// Thousandths of a second of arc in a degree.
const DEGREE: u32 = 3_600_000;
/// Altitude 0 in centimetres above the lowest one.
const SEA_LEVEL: i64 = 10_000_000;
/// Size, horizontal and vertical precision where they are not written: 1 m, 10 km, 10 m.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

pub(super) fn read(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut at = 0;
    let latitude = angle(fields, &mut at, "N", "S", 90)?;
    let longitude = angle(fields, &mut at, "E", "W", 180)?;
    let altitude = fields.get(at).ok_or_else(|| RdataError::new("the altitude is missing"))?;
    let height = centimetres(altitude).and_then(|height| u32::try_from(height + SEA_LEVEL).ok());
    let height = height
        .ok_or_else(|| RdataError::new(format!("`{altitude}` is no altitude in metres from -100000")).in_field(at))?;
    at += 1;
    let mut sizes = DEFAULTS;
    for size in &mut sizes {
        let Some(text) = fields.get(at) else { break };
        *size = centimetres(text).and_then(power).ok_or_else(|| {
            RdataError::new(format!("`{text}` is no length in metres from 0 to 90000000")).in_field(at)
        })?;
        at += 1;
    }
    if let Some(extra) = fields.get(at) {
        return Err(RdataError::new(format!("`{extra}` is more than LOC data has")).in_field(at));
    }
    wire.push(0);
    wire.extend_from_slice(&sizes);
    for value in [latitude, longitude, height] {
        wire.extend_from_slice(&value.to_be_bytes());
    }
    Ok(())
}

/// None if the octets are of another version or break a limit.
pub(super) fn write(out: &mut String, octets: [u8; 16]) -> Option<fmt::Result> {
    let [version, size, horizontal, vertical, ..] = octets;
    let value = |at: usize| octets[at..at + 4].try_into().ok().map(u32::from_be_bytes);
    let (latitude, longitude, altitude) = (value(4)?, value(8)?, value(12)?);
    let far = latitude.abs_diff(MIDDLE) > 90 * DEGREE || longitude.abs_diff(MIDDLE) > 180 * DEGREE;
    // The RFC says what it means by a power above 9 nowhere, and by a mantissa of 0 with a power: nothing.
    let bad = |octet: u8| octet >> 4 > 9 || octet & 15 > 9 || (octet >> 4 == 0 && octet & 15 > 0);
    if version != 0 || far || bad(size) || bad(horizontal) || bad(vertical) {
        return None;
    }
    let mut write = || {
        write_angle(out, latitude, 'N', 'S')?;
        write_angle(out, longitude, 'E', 'W')?;
        let height = i64::from(altitude) - SEA_LEVEL;
        let sign = if height < 0 { "-" } else { "" };
        write!(out, "{sign}{}.{:02}m", height.abs() / 100, height.abs() % 100)?;
        for octet in [size, horizontal, vertical] {
            let length = u64::from(octet >> 4) * 10u64.pow(u32::from(octet & 15));
            if length < 100 { write!(out, " 0.{length:02}m")? } else { write!(out, " {}m", length / 100)? }
        }
        Ok(())
    };
    Some(write())
}

fn write_angle(out: &mut String, value: u32, above: char, below: char) -> fmt::Result {
    let (side, size) = if value < MIDDLE { (below, MIDDLE - value) } else { (above, value - MIDDLE) };
    let (seconds, thousandths) = (size / 1000, size % 1000);
    let (degrees, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{degrees} {minutes} {seconds}.{thousandths:03} {side} ")
}

/// Degrees, minutes and seconds up to a direction, in thousandths of a second around [`MIDDLE`].
fn angle(fields: &[&str], at: &mut usize, above: &str, below: &str, limit: u32) -> Result<u32, RdataError> {
    let mut size = 0;
    for unit in [DEGREE, DEGREE / 60, DEGREE / 3600, 0] {
        let field = fields.get(*at).ok_or_else(|| RdataError::new(format!("`{above}` or `{below}` is missing")))?;
        let up = field.eq_ignore_ascii_case(above);
        if (up || field.eq_ignore_ascii_case(below)) && unit < DEGREE {
            *at += 1;
            if size > limit * DEGREE {
                return Err(RdataError::new(format!("more than {limit} degrees")).in_field(*at - 1));
            }
            return Ok(if up { MIDDLE + size } else { MIDDLE - size });
        }
        let value = match unit {
            0 => None,
            1000 => decimal(field, 3).filter(|&value| value < 60_000),
            unit => super::number(field)
                .filter(|&value| if unit == DEGREE { value <= limit.into() } else { value < 60 })
                .map(|value| value * u64::from(unit)),
        };
        let value = value.and_then(|value| u32::try_from(value).ok());
        size += value.ok_or_else(|| RdataError::new(format!("`{field}` is no part of an angle")).in_field(*at))?;
        *at += 1;
    }
    Err(RdataError::new(format!("`{above}` or `{below}` is missing")).in_field(*at))
}

/// A decimal number with up to `places` digits behind the point, as a multiple of the last place.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() > 10 || part.len() > places {
        return None;
    }
    let mut scaled = whole.to_owned();
    scaled.push_str(part);
    scaled.extend(std::iter::repeat_n('0', places - part.len()));
    super::number(&scaled)
}

/// Metres with an optional `m`, in centimetres.
fn centimetres(text: &str) -> Option<i64> {
    let metres = text.strip_suffix(['m', 'M']).unwrap_or(text);
    let (negative, size) = metres.strip_prefix('-').map_or((false, metres), |size| (true, size));
    let size = i64::try_from(decimal(size, 2)?).ok()?;
    Some(if negative { -size } else { size })
}

/// A length as mantissa and power of ten, rounded down (RFC 1876 section 2).
fn power(centimetres: i64) -> Option<u8> {
    let mut mantissa = u64::try_from(centimetres).ok()?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    let octet = u8::try_from(mantissa << 4 | exponent).ok()?;
    (exponent <= 9).then_some(octet)
}
