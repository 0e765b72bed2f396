//! Scalars of presentation format, each way: numbers, periods, dates, strings with escapes, names.

use std::fmt;

use crate::dns::{MAX_NAME, NameError, OwnerName};

/// Seconds in a day.
const DAY: u64 = 86_400;

/// A number of nothing but digits; `+5` is none.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Seconds: a number, or numbers with the units w, d, h, m and s (`1h30m`), as every name server reads them.
/// May exceed what the field holds; that is for the caller to judge.
pub(crate) fn period(text: &str) -> Option<u64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let (mut total, mut value, mut digits, mut since_unit) = (0u64, 0u64, 0, true);
    for octet in text.bytes() {
        let unit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
                digits += 1;
                since_unit = false;
                continue;
            }
            b'w' => 7 * DAY,
            b'd' => DAY,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if digits == 0 {
            return None;
        }
        total = total.checked_add(value.checked_mul(unit)?)?;
        (value, digits, since_unit) = (0, 0, true);
    }
    (since_unit && !text.is_empty()).then_some(total)
}

/// Seconds since 1970 from `YYYYMMDDHHmmSS`, or from a plain number of at most ten digits.
pub(super) fn time(text: &str) -> Option<u32> {
    let value = number(text)?;
    if text.len() <= 10 {
        return u32::try_from(value).ok();
    }
    if text.len() != 14 {
        return None;
    }
    let (date, clock) = (value / 1_000_000, value % 1_000_000);
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let seconds = u32::try_from(seconds).ok()?;
    // The 31st of a short month would come out as another day.
    (display_time(seconds) == text).then_some(seconds)
}

/// `YYYYMMDDHHmmSS` of seconds since 1970.
pub(super) fn display_time(seconds: u32) -> String {
    let (days, clock) = (u64::from(seconds) / DAY, u64::from(seconds) % DAY);
    // Howard Hinnant's `civil_from_days`, for years after 1970.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", clock / 3600, clock / 60 % 60, clock % 60)
}

/// Howard Hinnant's `days_from_civil`, for years from 1970 on.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Appends what `text` stands for, with `\X` and `\DDD` undone (RFC 1035 section 5.1); false for a bad escape.
pub(super) fn unescape(text: &str, out: &mut Vec<u8>) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&octet| octet == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let Some((octet, behind)) = escaped(&rest[at + 1..]) else { return false };
        out.push(octet);
        rest = behind;
    }
    out.extend_from_slice(rest);
    true
}

/// The octet that stands behind a backslash, and what follows it.
fn escaped(behind: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = behind.split_first()?;
    if !first.is_ascii_digit() {
        return Some((first, rest));
    }
    let (digits, rest) = behind.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0'));
    Some((u8::try_from(value).ok()?, rest))
}

/// Writes a string in quotes. Printable ASCII stands for itself.
pub(super) fn write_quoted(out: &mut impl fmt::Write, octets: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for &octet in octets {
        match octet {
            b'"' | b'\\' => write!(out, "\\{}", char::from(octet))?,
            b' '..=b'~' => out.write_char(char::from(octet))?,
            _ => write!(out, "\\{octet:03}")?,
        }
    }
    out.write_char('"')
}

/// A name in wire format, built in place so that reading one allocates nothing.
pub(crate) struct NameBuffer {
    octets: [u8; MAX_NAME + 1],
    length: usize,
}

impl NameBuffer {
    /// Reads a name of a master file: `@` is the origin, and without a last dot the name is below the origin.
    pub(crate) fn read(text: &str, origin: &OwnerName) -> Result<Self, NameError> {
        let mut name = Self { octets: [0; MAX_NAME + 1], length: 0 };
        match text {
            "@" => {
                name.extend(origin.as_wire())?;
                return Ok(name);
            }
            "." => {
                name.length = 1;
                return Ok(name);
            }
            _ => {}
        }
        let mut label_at = 0;
        name.extend(&[0])?;
        let mut rest = text.as_bytes();
        while let Some((&octet, behind)) = rest.split_first() {
            rest = behind;
            match octet {
                b'.' => {
                    name.close_label(label_at)?;
                    label_at = name.length;
                    name.extend(&[0])?;
                }
                b'\\' => {
                    let (octet, behind) = escaped(rest).ok_or(NameError::BadEscape)?;
                    rest = behind;
                    name.extend(&[octet.to_ascii_lowercase()])?;
                }
                other => name.extend(&[other.to_ascii_lowercase()])?,
            }
        }
        if label_at + 1 == name.length && label_at > 0 {
            // The text ended with a dot: the label that was opened behind it is the root's.
        } else {
            name.close_label(label_at)?;
            name.extend(origin.as_wire())?;
        }
        if name.length > MAX_NAME { Err(NameError::NameTooLong) } else { Ok(name) }
    }

    /// The octets on the wire.
    pub(crate) fn as_wire(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn extend(&mut self, more: &[u8]) -> Result<(), NameError> {
        let end = self.length + more.len();
        let place = self.octets.get_mut(self.length..end).ok_or(NameError::NameTooLong)?;
        place.copy_from_slice(more);
        self.length = end;
        Ok(())
    }

    fn close_label(&mut self, label_at: usize) -> Result<(), NameError> {
        let label = &self.octets[label_at + 1..self.length];
        match u8::try_from(label.len()) {
            Ok(0) => Err(NameError::EmptyLabel),
            Ok(length @ 1..=63) => {
                self.octets[label_at] = length;
                Ok(())
            }
            _ => Err(NameError::LabelTooLong(String::from_utf8_lossy(label).into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_with_units_in_any_case() {
        assert_eq!(period("0"), Some(0));
        assert_eq!(period("1h30m"), Some(5400));
        assert_eq!(period("1W2D3H4M5S"), Some(788_645));
        for wrong in ["", "h", "1x", "1h30", "-1", "+1", "1 h", "99999999999999999999w"] {
            assert_eq!(period(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_of_rfc_4034_come_back_as_they_were() {
        for seconds in [0, 951_782_400, 1_709_164_800, u32::MAX, 68_169_600] {
            assert_eq!(time(&display_time(seconds)), Some(seconds));
        }
        assert_eq!(display_time(1_078_012_800), "20040229000000");
        assert_eq!(time("20030229000000"), None, "no leap year");
        assert_eq!(time("1078012800"), Some(1_078_012_800));
    }

    #[test]
    fn a_name_buffer_reads_what_an_owner_name_reads() {
        let origin = OwnerName::parse("example.com").expect("a name");
        let read = |text: &str| {
            NameBuffer::read(text, &origin)
                .and_then(|name| OwnerName::from_wire(name.as_wire()))
                .map(|name| name.fqdn())
        };
        assert_eq!(read("@").as_deref(), Ok("example.com."));
        assert_eq!(read(".").as_deref(), Ok("."));
        assert_eq!(read("WWW").as_deref(), Ok("www.example.com."));
        assert_eq!(read(r"a\.b.\064.org.").as_deref(), Ok(r"a\.b.\@.org."));
        assert_eq!(read("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(read(""), Err(NameError::EmptyLabel));
        assert_eq!(read(".."), Err(NameError::EmptyLabel));
        assert_eq!(read(r"a\25"), Err(NameError::BadEscape));
        assert_eq!(read(r"a\256"), Err(NameError::BadEscape));
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(49)].join(".");
        assert!(read(&longest).is_ok());
        assert_eq!(read(&format!("{longest}d")), Err(NameError::NameTooLong));
        assert_eq!(read(&"x.".repeat(300)), Err(NameError::NameTooLong));
    }
}
