//! `$GENERATE` as BIND reads it: `range owner [TTL] [class] type data`, where `$` is the number.

use std::fmt::Write as _;

use crate::dns::rdata::number;

/// Most records that one directive makes: a /16 of addresses.
pub(super) const MAX_GENERATED: u64 = 65_536;

/// `start-stop[/step]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) step: u64,
}

/// What stands in `${…}`.
struct Form {
    offset: i64,
    width: usize,
    base: char,
}

/// Reads a range; the error says what is wrong with it.
pub(super) fn range(text: &str) -> Result<Range, String> {
    let wrong = || format!("`{text}` is no range");
    let (ends, step) = text.split_once('/').unwrap_or((text, "1"));
    let (start, stop) = ends.split_once('-').ok_or_else(wrong)?;
    // BIND's numbers have 31 bits.
    let value = |text: &str| number(text).filter(|&value| value < 1 << 31).ok_or_else(wrong);
    let range = Range { start: value(start)?, stop: value(stop)?, step: value(step)? };
    if range.step == 0 || range.start > range.stop {
        return Err(wrong());
    }
    let count = (range.stop - range.start) / range.step + 1;
    if count > MAX_GENERATED {
        return Err(format!("`{text}` makes {count} records, and at most {MAX_GENERATED} are made by one directive"));
    }
    Ok(range)
}

/// Appends `template` with every `$` and `${offset,width,base}` replaced by `value`.
pub(super) fn expand(template: &str, value: u64, out: &mut String) -> Result<(), String> {
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if rest.as_bytes()[at] == b'\\' {
            let skipped = behind.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[at..=at + skipped]);
            rest = &behind[skipped..];
        } else if let Some(behind) = behind.strip_prefix('$') {
            out.push_str("\\$");
            rest = behind;
        } else if let Some(behind) = behind.strip_prefix('{') {
            let (inside, behind) = behind.split_once('}').ok_or("`${` is not closed")?;
            let form = form(inside).ok_or_else(|| format!("`${{{inside}}}` is no offset, width and base"))?;
            let value = i64::try_from(value).ok().and_then(|value| value.checked_add(form.offset));
            let value = value.and_then(|value| u64::try_from(value).ok());
            write_number(out, value.ok_or_else(|| format!("`${{{inside}}}` gives a number below 0"))?, &form);
            rest = behind;
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "{value}");
            rest = behind;
        }
    }
    out.push_str(rest);
    Ok(())
}

/// `offset[,width[,base]]`.
fn form(inside: &str) -> Option<Form> {
    let mut parts = inside.split(',');
    let offset = parts.next()?;
    let (sign, digits) = match offset.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, offset.strip_prefix('+').unwrap_or(offset)),
    };
    let offset = sign * i64::try_from(number(digits).filter(|&offset| offset < 1 << 31)?).ok()?;
    let width = parts.next().map_or(Some(0), number).filter(|&width| width <= 255)?;
    let base = parts.next().unwrap_or("d");
    let known = matches!(base, "d" | "o" | "x" | "X" | "n" | "N") && parts.next().is_none();
    Some(Form { offset, width: usize::try_from(width).ok()?, base: base.chars().next().filter(|_| known)? })
}

fn write_number(out: &mut String, value: u64, form: &Form) {
    let width = form.width;
    // Writing to a string does not fail.
    let _ = match form.base {
        'o' => write!(out, "{value:0width$o}"),
        'x' => write!(out, "{value:0width$x}"),
        'X' => write!(out, "{value:0width$X}"),
        'n' | 'N' => {
            // Hexadecimal digits from the last one on, with dots between; the width counts the dots.
            let count = width.div_ceil(2);
            let digits = if form.base == 'n' { format!("{value:0count$x}") } else { format!("{value:0count$X}") };
            let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
            out.push_str(&digits.join("."));
            Ok(())
        }
        _ => write!(out, "{value:0width$}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, value: u64) -> Result<String, String> {
        let mut out = String::new();
        expand(template, value, &mut out).map(|()| out)
    }

    #[test]
    fn ranges_have_a_start_a_stop_and_perhaps_a_step() {
        assert_eq!(range("1-10"), Ok(Range { start: 1, stop: 10, step: 1 }));
        assert_eq!(range("0-255/8"), Ok(Range { start: 0, stop: 255, step: 8 }));
        for wrong in ["", "1", "2-1", "1-2/0", "-1-2", "1-2-3", "a-b", "0-65536", "0-99999999999"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn forms_are_those_of_bind() {
        assert_eq!(expanded("host-$.x", 7).as_deref(), Ok("host-7.x"));
        assert_eq!(expanded("${1,3,d}", 7).as_deref(), Ok("008"));
        assert_eq!(expanded("${-7}", 7).as_deref(), Ok("0"));
        assert_eq!(expanded("${0,4,x}", 255).as_deref(), Ok("00ff"));
        assert_eq!(expanded("${0,0,o}", 8).as_deref(), Ok("10"));
        assert_eq!(expanded("${0,7,n}", 0x12a).as_deref(), Ok("a.2.1.0"));
        assert_eq!(expanded(r"a\$b$$c\\$", 5).as_deref(), Ok(r"a\$b\$c\\5"));
        for wrong in ["${", "${}", "${0,0,z}", "${-8}", "${0,0,d,1}", "${0,256}"] {
            assert!(expanded(wrong, 7).is_err(), "{wrong}");
        }
    }
}
