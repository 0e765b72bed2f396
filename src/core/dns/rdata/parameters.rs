//! Parameters of SVCB and HTTPS (RFC 9460 sections 2.1, 2.2, 7 and 8, appendix A).

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
};

use data_encoding::BASE64;

use super::{
    RdataError,
    read::bad_escape,
    text::{number, unescape, write_quoted},
    write::Octets,
};

/// Registry "Service Parameter Keys (`SvcParamKeys`)", by number. `tls-supported-groups` (9) and what comes
/// later is read and written as `key9`.
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];
/// So many of [`KEYS`] are written by name. `ohttp` is too young: BIND 9.18 reads it as `key8` only.
const WRITTEN: usize = 8;
const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const OHTTP: u16 = 8;

/// `key`, `key=value` or `key="value"` in any order; on the wire in the order of the keys' numbers.
pub(super) fn read(fields: &[&str], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut parameters: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let mut mandatory_at = 0;
    for (index, field) in fields.iter().enumerate() {
        let (name, text) = match field.split_once('=') {
            Some((name, text)) => {
                let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
                (name, Some(bare))
            }
            None => (*field, None),
        };
        let key = key(name).ok_or_else(|| {
            RdataError::new(format!("`{name}` is no service parameter"))
                .help(format!("write one of {} or key followed by a number (RFC 9460)", KEYS.join(", ")))
                .in_field(index)
        })?;
        let value = value(key, name, text).map_err(|error| error.in_field(index))?;
        if parameters.insert(key, value).is_some() {
            return Err(RdataError::new(format!("`{name}` stands twice")).in_field(index));
        }
        if key == MANDATORY {
            mandatory_at = index;
        }
    }
    if let Some(wrong) = misfit(&parameters) {
        return Err(RdataError::new(wrong).in_field(mandatory_at));
    }
    for (key, value) in &parameters {
        let length =
            u16::try_from(value.len()).map_err(|_| RdataError::new("a parameter has more than 65535 octets"))?;
        wire.extend_from_slice(&key.to_be_bytes());
        wire.extend_from_slice(&length.to_be_bytes());
        wire.extend_from_slice(value);
    }
    Ok(())
}

/// None if the octets do not fit.
pub(super) fn write(out: &mut String, octets: &mut Octets<'_>) -> Option<fmt::Result> {
    let mut parameters = BTreeMap::new();
    while !octets.rest.is_empty() {
        let key = octets.u16()?;
        let length = octets.u16()?;
        // Keys stand in order, each once; 65535 is reserved as invalid.
        if key == u16::MAX || parameters.last_key_value().is_some_and(|(&last, _)| last >= key) {
            return None;
        }
        parameters.insert(key, octets.take(length.into())?.to_vec());
    }
    if misfit(&parameters).is_some() {
        return None;
    }
    for (index, (&key, value)) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&key_name(key));
        write_value(out, key, value)?;
    }
    Some(Ok(()))
}

fn key(name: &str) -> Option<u16> {
    if let Some(at) = KEYS.iter().position(|known| *known == name) {
        return u16::try_from(at).ok();
    }
    let digits = name.strip_prefix("key")?;
    let plain = digits == "0" || !digits.starts_with('0');
    number(digits).and_then(|number| u16::try_from(number).ok()).filter(|&key| plain && key != u16::MAX)
}

fn key_name(key: u16) -> String {
    KEYS[..WRITTEN].get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// What is wrong between parameters, if something is.
fn misfit(parameters: &BTreeMap<u16, Vec<u8>>) -> Option<String> {
    if parameters.contains_key(&NO_DEFAULT_ALPN) && !parameters.contains_key(&ALPN) {
        return Some("`no-default-alpn` needs `alpn` beside it".to_owned());
    }
    let mut keys = parameters.get(&MANDATORY)?.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let missing = keys.find(|key| *key == MANDATORY || !parameters.contains_key(key))?;
    Some(format!("`mandatory` names `{}`, which is not there", key_name(missing)))
}

fn value(key: u16, name: &str, text: Option<&str>) -> Result<Vec<u8>, RdataError> {
    let mut octets = Vec::new();
    if !unescape(text.unwrap_or_default(), &mut octets) {
        return Err(bad_escape(text.unwrap_or_default()));
    }
    let wrong = |want: &str| RdataError::new(format!("`{name}` needs {want}"));
    if matches!(key, NO_DEFAULT_ALPN | OHTTP) {
        return if text.is_none() { Ok(octets) } else { Err(wrong("no value")) };
    }
    if key <= 7 && octets.is_empty() {
        return Err(wrong("a value"));
    }
    let word = String::from_utf8_lossy(&octets).into_owned();
    let mut wire = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = Vec::new();
            for item in word.split(',') {
                keys.push(self::key(item).ok_or_else(|| wrong("names of parameters with commas between"))?);
            }
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(wrong("each parameter at most once"));
            }
            wire.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        ALPN => {
            for item in items(&octets).ok_or_else(|| wrong("no other escapes in its list than `\\\\` and `\\,`"))? {
                let length = u8::try_from(item.len()).ok().filter(|&length| length > 0);
                wire.push(length.ok_or_else(|| wrong("protocols of 1 to 255 octets with commas between"))?);
                wire.extend_from_slice(&item);
            }
        }
        PORT => {
            let port = number(&word).and_then(|port| u16::try_from(port).ok());
            wire.extend_from_slice(&port.ok_or_else(|| wrong("a number from 0 to 65535"))?.to_be_bytes());
        }
        IPV4_HINT => {
            for item in word.split(',') {
                let address: Ipv4Addr = item.parse().map_err(|_| wrong("IPv4 addresses with commas between"))?;
                wire.extend_from_slice(&address.octets());
            }
        }
        IPV6_HINT => {
            for item in word.split(',') {
                let address: Ipv6Addr = item.parse().map_err(|_| wrong("IPv6 addresses with commas between"))?;
                wire.extend_from_slice(&address.octets());
            }
        }
        ECH => wire = BASE64.decode(&octets).map_err(|_| wrong("base64"))?,
        _ => wire = octets,
    }
    Ok(wire)
}

fn write_value(out: &mut String, key: u16, value: &[u8]) -> Option<()> {
    let list = |items: Vec<String>| format!("={}", items.join(","));
    if key <= 7 && key != NO_DEFAULT_ALPN && value.is_empty() {
        return None;
    }
    match key {
        MANDATORY => {
            let (pairs, rest) = value.as_chunks::<2>();
            let keys: Vec<u16> = pairs.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
            if !rest.is_empty() || keys.windows(2).any(|pair| pair[0] >= pair[1]) {
                return None;
            }
            out.push_str(&list(keys.into_iter().map(key_name).collect()));
        }
        ALPN => {
            let mut octets = Octets { rest: value };
            let mut joined = Vec::new();
            while !octets.rest.is_empty() {
                if !joined.is_empty() {
                    joined.push(b',');
                }
                for &octet in octets.counted().filter(|item| !item.is_empty())? {
                    if matches!(octet, b',' | b'\\') {
                        joined.push(b'\\');
                    }
                    joined.push(octet);
                }
            }
            out.push('=');
            write_quoted(out, &joined).ok()?;
        }
        NO_DEFAULT_ALPN | OHTTP => return value.is_empty().then_some(()),
        PORT => write!(out, "={}", u16::from_be_bytes(value.try_into().ok()?)).ok()?,
        IPV4_HINT => {
            let (addresses, rest) = value.as_chunks::<4>();
            out.push_str(&list(addresses.iter().map(|&octets| Ipv4Addr::from(octets).to_string()).collect()));
            return rest.is_empty().then_some(());
        }
        IPV6_HINT => {
            let (addresses, rest) = value.as_chunks::<16>();
            out.push_str(&list(addresses.iter().map(|&octets| Ipv6Addr::from(octets).to_string()).collect()));
            return rest.is_empty().then_some(());
        }
        ECH => write!(out, "={}", BASE64.encode(value)).ok()?,
        _ if value.is_empty() => {}
        _ => {
            out.push('=');
            write_quoted(out, value).ok()?;
        }
    }
    Some(())
}

/// Items of a list with commas between, `\,` and `\\` undone (RFC 9460 appendix A.1); none for other escapes.
fn items(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut octets = list.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(octets.next().filter(|next| matches!(next, b',' | b'\\'))?),
            other => items.last_mut()?.push(other),
        }
    }
    Some(items)
}
