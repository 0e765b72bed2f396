//! Texts of settings into values. Each error says what would be right.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mcdns_core::dns::OwnerName;

/// Longest time that a setting may say: a hundred years of anything are a slip of the finger.
const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

/// What is wrong with a text, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Misfit {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// `ADDR:PORT`; IPv6 in brackets.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Misfit> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let message = format!("`{text}` is no address with a port");
    let help = if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("write [{text}]:PORT")
    } else if text.parse::<IpAddr>().is_ok() {
        format!("write {text}:PORT")
    } else if let Some(port) = text.strip_prefix(':').or(Some(text)).filter(|port| port.parse::<u16>().is_ok()) {
        format!(
            "write 0.0.0.0:{port} for every IPv4 address, [::]:{port} for every address, 127.0.0.1:{port} for this machine alone"
        )
    } else if let Some((_, port)) = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        format!("write an IP address in front of the port, such as 127.0.0.1:{port}; host names are not resolved here")
    } else {
        "write an IP address and a port from 0 to 65535: 127.0.0.1:5300 or [::1]:5300".to_owned()
    };
    Err(Misfit::new(message, help))
}

/// An IP address without a port.
pub(crate) fn address(text: &str) -> Result<IpAddr, Misfit> {
    text.parse().map_err(|_| {
        let help = if text.parse::<SocketAddr>().is_ok() {
            "write it without the port"
        } else {
            "write an IPv4 or IPv6 address, such as 192.0.2.1 or 2001:db8::1"
        };
        Misfit::new(format!("`{text}` is no IP address"), help)
    })
}

/// `60s`, `5m`, `1h30m`, `500ms`; 0 without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, Misfit> {
    const HELP: &str = "write whole numbers with units: 500ms, 60s, 5m, 1h30m, 7d";
    let misfit = || Misfit::new(format!("`{text}` is no time"), HELP);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(misfit)?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let number: u64 = number.parse().map_err(|_| misfit())?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(misfit()),
        };
        let part = Duration::from_millis(number.checked_mul(milliseconds).ok_or_else(misfit)?);
        total = total.checked_add(part).filter(|total| *total <= MAX_DURATION).ok_or_else(misfit)?;
        rest = behind;
    }
    if text.is_empty() { Err(misfit()) } else { Ok(total) }
}

/// The shortest text that [`duration`] reads as this time.
pub(crate) fn show_duration(time: Duration) -> String {
    if time.is_zero() {
        return "0s".to_owned();
    }
    let mut rest = time.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= milliseconds {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{unit}", rest / milliseconds);
            rest %= milliseconds;
        }
    }
    text
}

/// Whole seconds, as a number or with units; a DNS timer (RFC 2181 section 8: up to 2147483647).
pub(crate) fn seconds(text: &str) -> Result<u32, Misfit> {
    const MAX: u32 = 0x7fff_ffff;
    let misfit = || {
        let help = format!("write 0 to {MAX} seconds, as 3600 or with a unit: 1h");
        Misfit::new(format!("`{text}` is no number of seconds"), help)
    };
    let value = if let Ok(value) = text.parse::<u32>() {
        value
    } else {
        let time = duration(text).ok().filter(|time| time.subsec_millis() == 0).ok_or_else(misfit)?;
        u32::try_from(time.as_secs()).map_err(|_| misfit())?
    };
    if value <= MAX { Ok(value) } else { Err(misfit()) }
}

/// A number of octets: `16777216`, `16MiB`.
pub(crate) fn size(text: &str) -> Result<u64, Misfit> {
    let misfit =
        || Misfit::new(format!("`{text}` is no size"), "write octets, or a number with KiB, MiB or GiB: 16MiB");
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| misfit())?;
    let factor = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(misfit()),
    };
    number.checked_mul(factor).ok_or_else(misfit)
}

/// The shortest text that [`size`] reads as this number.
pub(crate) fn show_size(octets: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if octets > 0 && octets.is_multiple_of(factor) {
            return format!("{}{unit}", octets / factor);
        }
    }
    octets.to_string()
}

/// A whole number from 0.
pub(crate) fn count(text: &str) -> Result<usize, Misfit> {
    text.parse().map_err(|_| Misfit::new(format!("`{text}` is no whole number"), "write a number such as 10000"))
}

/// A whole number from 1.
pub(crate) fn positive(text: &str) -> Result<usize, Misfit> {
    count(text)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| Misfit::new(format!("`{text}` is no whole number above 0"), "write a number such as 100"))
}

/// The same number in 32 bits.
pub(crate) fn small(number: usize) -> Result<u32, Misfit> {
    u32::try_from(number).map_err(|_| Misfit::new(format!("{number} is too large"), "write a number such as 100"))
}

/// `true` or `false`, and what YAML 1.1 took for the same.
pub(crate) fn switch(text: &str) -> Result<bool, Misfit> {
    match text {
        "true" | "on" | "yes" => Ok(true),
        "false" | "off" | "no" => Ok(false),
        _ => Err(Misfit::new(format!("`{text}` is neither true nor false"), "write true or false")),
    }
}

/// Any text but an empty one.
pub(crate) fn not_empty(text: &str) -> Result<String, Misfit> {
    if text.is_empty() {
        Err(Misfit::new("is empty", "write a value, or take the key out"))
    } else {
        Ok(text.to_owned())
    }
}

/// The apex of a zone.
pub(crate) fn apex(text: &str) -> Result<OwnerName, Misfit> {
    let help = "write a name such as example.com";
    let name = OwnerName::parse(text).map_err(|error| Misfit::new(format!("`{text}` is no name: {error}"), help))?;
    if name.is_wildcard() {
        return Err(Misfit::new(format!("`{text}` is a wildcard, which is no apex"), help));
    }
    Ok(name)
}

/// A host name, as a name server has.
pub(crate) fn host_name(text: &str) -> Result<OwnerName, Misfit> {
    OwnerName::parse_host(text, false).map_err(|error| {
        Misfit::new(format!("`{text}` is no host name: {error}"), "write a name such as ns1.example.com")
    })
}

/// A mailbox as the SOA writes it (RFC 1035 section 3.3.13).
pub(crate) fn mailbox(text: &str) -> Result<OwnerName, Misfit> {
    if let Some((local, domain)) = text.split_once('@') {
        let help = format!("write it as a name: {}.{domain}", local.replace('.', "\\."));
        return Err(Misfit::new(format!("`{text}` is a mail address"), help));
    }
    OwnerName::parse(text).map_err(|error| {
        Misfit::new(format!("`{text}` is no name: {error}"), "write a name such as hostmaster.example.com")
    })
}

/// One of a few words.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Misfit> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let help = match super::schema::nearest(text, known.iter().copied()) {
            Some(nearest) => format!("did you mean {nearest}? Known are {}", known.join(", ")),
            None => format!("write one of {}", known.join(", ")),
        };
        Misfit::new(format!("`{text}` is not known here"), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, milliseconds) in
            [("60s", 60_000), ("5m", 300_000), ("1h30m", 5_400_000), ("500ms", 500), ("7d", 604_800_000), ("0", 0)]
        {
            let time = duration(text).expect("a duration");
            assert_eq!(time, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(duration(&show_duration(time)), Ok(time), "{text}");
        }
        for text in ["", "60", "s", "1x", "-5s", "1.5h", "5 m", "99999999999999999999s", "40000d", "ä"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn sizes_read_and_print() {
        for (text, octets) in [("0", 0), ("1000", 1000), ("16MiB", 16 << 20), ("1 GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(octets), "{text}");
            assert_eq!(size(&show_size(octets)), Ok(octets), "{text}");
        }
        for text in ["", "MiB", "16MB", "-1", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timers_end_at_2147483647() {
        assert_eq!(seconds("2147483647"), Ok(0x7fff_ffff));
        assert_eq!(seconds("1h"), Ok(3600));
        for text in ["2147483648", "-1", "1500ms", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_half_right_address_gets_its_own_help() {
        for (text, help) in [
            ("127.0.0.1", "write 127.0.0.1:PORT"),
            ("::1", "write [::1]:PORT"),
            (":53", "write 0.0.0.0:53 for"),
            ("53", "write 0.0.0.0:53 for"),
            ("localhost:53", "such as 127.0.0.1:53; host names are not resolved"),
            ("127.0.0.1:99999", "a port from 0 to 65535"),
            ("", "a port from 0 to 65535"),
        ] {
            let misfit = socket_address(text).expect_err("refused");
            assert!(misfit.help.contains(help), "{text}: {}", misfit.help);
        }
    }
}
