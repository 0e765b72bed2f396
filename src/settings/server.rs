//! What the server as a whole is told under `serve`: what it says of itself, cookies, rate limits, its logs of queries,
//! and how its process runs.

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use mcdns_serve::{COOKIE_SECRET, CookieSecrets, DnstapOutput, LineFormat, QueryLog, RateLimit};

use super::{
    LOG_FORMATS,
    keys::read_small,
    layers::{Layers, Origin, Setting},
    parse::{self, Misfit},
};

/// Octets that NSID may have: it is added to answers of which the smallest has room for 512.
const LONGEST_NSID: usize = 128;
/// A character-string (RFC 1035 section 3.3).
const LONGEST_TEXT: usize = 255;
/// More than any machine has cores; each worker has sockets and buffers of its own.
const MOST_WORKERS: usize = 1024;

/// `serve`, but for listeners, keys, zones and transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `serve.nsid`: what the NSID option says (RFC 5001).
    pub nsid: Setting<Option<Box<[u8]>>>,
    /// `serve.version`: answer to `version.bind`, CH TXT.
    pub version: Setting<Option<String>>,
    /// `serve.identity`: answer to `id.server`, CH TXT (RFC 4892).
    pub identity: Setting<Option<String>>,
    /// `serve.cookies`: whether server cookies are made (RFC 7873).
    pub cookies: Setting<bool>,
    /// `serve.cookies.secret` or `serve.cookies.secretFile`; none: a random one for each process.
    pub cookie_secrets: Option<CookieSecrets>,
    /// `serve.rateLimit`; none: off.
    pub rate_limit: Option<RateLimit>,
    /// `serve.queryLog`; none: off.
    pub query_log: Setting<Option<QueryLog>>,
    /// `serve.dnstap`; none: off.
    pub dnstap: Setting<Option<DnstapSettings>>,
    /// `serve.user`: who the process becomes when its sockets are open.
    pub user: Setting<Option<UserSettings>>,
    /// `serve.handover`: UNIX socket over which a new process takes the listeners of this one.
    pub handover: Setting<Option<PathBuf>>,
    /// `serve.workers`: threads for UDP on each address; none: one for each core.
    pub workers: Setting<Option<usize>>,
}

/// `serve.dnstap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnstapSettings {
    /// Who takes the messages.
    pub output: DnstapOutput,
    /// Copy queries too, and not answers alone, which hold what was asked as well.
    pub queries: bool,
    /// One of so many queries is sent; 1: each.
    pub sample: NonZeroU32,
}

/// `serve.user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSettings {
    /// Name or number.
    pub user: String,
    /// Name or number; none: the user's own.
    pub group: Option<String>,
}

/// Reads all of it.
pub(super) fn read(layers: &mut Layers<'_>) -> ServerSettings {
    let nsid = layers.value(
        "serve.nsid",
        None,
        None,
        |text| nsid(text).map(Some),
        |value| value.as_deref().map_or_else(String::new, show_nsid),
    );
    let text = |text: &str| character_string(text).map(Some);
    let show = |value: &Option<String>| value.clone().unwrap_or_default();
    let version = layers.value("serve.version", None, None, text, show);
    let identity = layers.value("serve.identity", None, None, text, show);
    let (cookies, cookie_secrets) = read_cookies(layers);
    let rate_limit = read_rate_limit(layers);
    let query_log = read_query_log(layers);
    let dnstap = read_dnstap(layers);
    let user = layers.value(
        "serve.user",
        None,
        None,
        |text| user(text).map(Some),
        |value| {
            value.as_ref().map_or_else(String::new, |user| match &user.group {
                Some(group) => format!("{}:{group}", user.user),
                None => user.user.clone(),
            })
        },
    );
    let handover = layers.value("serve.handover", None, None, |text| path(text).map(Some), show_path);
    let workers = layers.value(
        "serve.workers",
        None,
        None,
        |text| workers(text).map(Some),
        |value| value.map_or_else(String::new, |count| count.to_string()),
    );
    ServerSettings {
        nsid,
        version,
        identity,
        cookies,
        cookie_secrets,
        rate_limit,
        query_log,
        dnstap,
        user,
        handover,
        workers,
    }
}

impl ServerSettings {
    /// The secrets that cookies are made with: those that are set, else random ones that stay as long as the process.
    /// None where cookies are off.
    pub(super) fn cookie_secrets(&self) -> Option<CookieSecrets> {
        if !self.cookies.value {
            return None;
        }
        self.cookie_secrets.clone().or_else(|| Some(CookieSecrets { current: random_secret()?, other: None }))
    }
}

/// The same for the whole life of the process, so that a reload does not make known clients unknown.
fn random_secret() -> Option<[u8; COOKIE_SECRET]> {
    static SECRET: OnceLock<Option<[u8; COOKIE_SECRET]>> = OnceLock::new();
    *SECRET.get_or_init(|| {
        let mut secret = [0; COOKIE_SECRET];
        match getrandom::fill(&mut secret) {
            Ok(()) => Some(secret),
            Err(error) => {
                tracing::error!(%error, "no random secret for cookies, so they are off");
                None
            }
        }
    })
}

fn read_cookies(layers: &mut Layers<'_>) -> (Setting<bool>, Option<CookieSecrets>) {
    let enabled = layers.value("serve.cookies.enabled", None, true, parse::switch, ToString::to_string);
    let hidden = |secret: &Option<_>| if secret.is_some() { "(hidden)".to_owned() } else { String::new() };
    let secret = |text: &str| cookie_secret(text).map(Some);
    let current = layers.value("serve.cookies.secret", None, None, secret, hidden);
    let other = layers.value("serve.cookies.otherSecret", None, None, secret, hidden);
    let file = layers.value(
        "serve.cookies.secretFile",
        None,
        None,
        |text| secret_file(text).map(|secrets| Some((text.to_owned(), secrets))),
        |file| file.as_ref().map_or_else(String::new, |(path, _)| path.clone()),
    );
    let beside = [&current, &other].into_iter().find(|setting| setting.value.is_some());
    if let (Some(_), true) = (beside, file.value.is_some()) {
        let misfit = Misfit::new("stands beside a secret", "keep one of them");
        layers.refuse("serve.cookies.secretFile", &file.origin, misfit);
    }
    if current.value.is_none() && other.value.is_some() {
        let help = "write the secret that makes new cookies as serve.cookies.secret";
        layers.refuse("serve.cookies.otherSecret", &other.origin, Misfit::new("stands without a secret", help));
    }
    let written = current.value.map(|current| CookieSecrets { current, other: other.value });
    (enabled, written.or(file.value.map(|(_, secrets)| secrets)))
}

fn read_rate_limit(layers: &mut Layers<'_>) -> Option<RateLimit> {
    // Defaults: slip and prefixes as NSD and BIND have them; the /56 is what one site gets (RFC 6177).
    let number = |text: &str| {
        let help = "write a whole number from 0 to 1000000";
        let number = text.parse::<u32>().ok().filter(|number| *number <= 1_000_000);
        number.ok_or_else(|| Misfit::new(format!("`{text}` is no number of answers"), help))
    };
    let rate = layers.value("serve.rateLimit.responsesPerSecond", None, 0, number, ToString::to_string);
    let slip = layers.value("serve.rateLimit.slip", None, 2, number, ToString::to_string);
    let ipv4 = layers.value("serve.rateLimit.ipv4Prefix", None, 24, |text| prefix(text, 32), ToString::to_string);
    let ipv6 = layers.value("serve.rateLimit.ipv6Prefix", None, 56, |text| prefix(text, 128), ToString::to_string);
    (rate.value > 0).then_some(RateLimit {
        responses_per_second: rate.value,
        slip: slip.value,
        ipv4_prefix: ipv4.value,
        ipv6_prefix: ipv6.value,
    })
}

fn read_query_log(layers: &mut Layers<'_>) -> Setting<Option<QueryLog>> {
    const FILE: &str = "serve.queryLog.file";
    // The word stands for the log of the program; a file of this name can be written as ./log.
    let target = |text: &str| if text == "log" { Ok(Some(None)) } else { path(text).map(|path| Some(Some(path))) };
    let file = layers.value(FILE, None, None, target, |file| match file {
        Some(None) => "log".to_owned(),
        Some(Some(path)) => path.display().to_string(),
        None => String::new(),
    });
    let format = layers.value(
        "serve.queryLog.format",
        None,
        LineFormat::Text,
        |text| parse::word(text, &LOG_FORMATS),
        |format| super::word_of(*format, &LOG_FORMATS),
    );
    let sample = layers.value("serve.queryLog.sample", None, NonZeroU32::MIN, sample, ToString::to_string);
    if file.value.is_none() {
        refuse_alone(layers, "serve.queryLog.format", &format.origin, FILE);
        refuse_alone(layers, "serve.queryLog.sample", &sample.origin, FILE);
    }
    file.map(|file| Some(QueryLog { file: file?, format: format.value, sample: sample.value }))
}

fn read_dnstap(layers: &mut Layers<'_>) -> Setting<Option<DnstapSettings>> {
    let place = |text: &str| path(text).map(Some);
    let socket = layers.value("serve.dnstap.socket", None, None, place, show_path);
    let file = layers.value("serve.dnstap.file", None, None, place, show_path);
    let sample = layers.value("serve.dnstap.sample", None, NonZeroU32::MIN, sample, ToString::to_string);
    let queries = layers.value("serve.dnstap.queries", None, false, parse::switch, ToString::to_string);
    if socket.value.is_some() && file.value.is_some() {
        let misfit = Misfit::new("stands beside a socket", "keep one of them");
        layers.refuse("serve.dnstap.file", &file.origin, misfit);
    }
    if socket.value.is_none() && file.value.is_none() {
        refuse_alone(layers, "serve.dnstap.sample", &sample.origin, "serve.dnstap.socket");
        refuse_alone(layers, "serve.dnstap.queries", &queries.origin, "serve.dnstap.socket");
    }
    let output = if socket.value.is_some() {
        socket.map(|path| path.map(DnstapOutput::Socket))
    } else {
        file.map(|path| path.map(DnstapOutput::File))
    };
    output.map(|output| Some(DnstapSettings { output: output?, queries: queries.value, sample: sample.value }))
}

/// Refuses a setting that was set without the one that it is about: nothing would act on it.
fn refuse_alone(layers: &mut Layers<'_>, path: &str, origin: &Origin, needs: &str) {
    if *origin != Origin::Default {
        let misfit = Misfit::new("stands without a place to write to", format!("set {needs} too, or take it out"));
        layers.refuse(path, origin, misfit);
    }
}

/// One of so many.
fn sample(text: &str) -> Result<NonZeroU32, Misfit> {
    let number = parse::positive(text).and_then(parse::small)?;
    // Nothing is below 1 here.
    Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

/// Text as it is, or hexadecimal digits behind `0x`.
fn nsid(text: &str) -> Result<Box<[u8]>, Misfit> {
    let help = "write a text, or an even number of hexadecimal digits behind 0x";
    if text.bytes().all(|octet| octet.is_ascii_digit()) && !text.is_empty() {
        // YAML reads 0x00ff without quotes as the number 255.
        return Err(Misfit::new(format!("`{text}` is a number"), "write it in quotes and with 0x: '0x00ff'"));
    }
    let octets = match text.strip_prefix("0x") {
        Some(digits) => data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|_| Misfit::new(format!("`{text}` is not hexadecimal"), help))?,
        None => text.as_bytes().to_vec(),
    };
    match octets.len() {
        0 => Err(Misfit::new("is empty", "write a value, or take the key out")),
        1..=LONGEST_NSID => Ok(octets.into()),
        length => Err(Misfit::new(format!("has {length} octets"), format!("write {LONGEST_NSID} at most"))),
    }
}

fn show_nsid(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", data_encoding::HEXLOWER.encode(octets)),
    }
}

fn character_string(text: &str) -> Result<String, Misfit> {
    let text = parse::not_empty(text)?;
    if text.len() <= LONGEST_TEXT {
        return Ok(text);
    }
    let help = format!("write {LONGEST_TEXT} at most (RFC 1035 section 3.3)");
    Err(Misfit::new(format!("has {} octets", text.len()), help))
}

/// 128 bits in hexadecimal; what is wrong is told without the text.
fn cookie_secret(text: &str) -> Result<[u8; COOKIE_SECRET], Misfit> {
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
    decoded.and_then(|secret| secret.try_into().ok()).ok_or_else(|| {
        let help = "write 32 hexadecimal digits, in quotes: `openssl rand -hex 16` makes them";
        Misfit::new("is no secret of 128 bits (RFC 9018 section 4.4)", help)
    })
}

/// One secret a line: the first makes cookies, a second one counts too.
fn secret_file(path: &str) -> Result<CookieSecrets, Misfit> {
    let text = read_small(path)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let help = "write one or two lines of 32 hexadecimal digits: the first makes cookies, the second counts too";
    let misfit = |problem: &str| Misfit::new(format!("{path} {problem}"), help);
    let first = lines.next().ok_or_else(|| misfit("is empty"))?;
    let secret = |line: &str| cookie_secret(line).map_err(|_| misfit("has a line that is no secret of 128 bits"));
    let secrets = CookieSecrets { current: secret(first)?, other: lines.next().map(secret).transpose()? };
    if lines.next().is_some() {
        return Err(misfit("has more than two secrets"));
    }
    Ok(secrets)
}

fn prefix(text: &str, most: u8) -> Result<u8, Misfit> {
    let bits = text.parse::<u8>().ok().filter(|bits| (1..=most).contains(bits));
    bits.ok_or_else(|| Misfit::new(format!("`{text}` is no prefix length"), format!("write 1 to {most}")))
}

fn user(text: &str) -> Result<UserSettings, Misfit> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_name =
        |name: &str| !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == ':');
    if is_name(user) && group.is_none_or(is_name) {
        return Ok(UserSettings { user: user.to_owned(), group: group.map(ToOwned::to_owned) });
    }
    Err(Misfit::new(format!("`{text}` is no user"), "write a user, or a user and a group: mcdns, mcdns:dns"))
}

fn workers(text: &str) -> Result<usize, Misfit> {
    let count = text.parse::<usize>().ok().filter(|count| (1..=MOST_WORKERS).contains(count));
    count.ok_or_else(|| {
        let help = format!("write 1 to {MOST_WORKERS}, or take it out for one worker a core");
        Misfit::new(format!("`{text}` is no number of workers"), help)
    })
}

fn path(text: &str) -> Result<PathBuf, Misfit> {
    let path = PathBuf::from(parse::not_empty(text)?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if fs::metadata(folder).is_ok_and(|folder| folder.is_dir()) {
        return Ok(path);
    }
    let message = format!("{text} cannot be made, because there is no folder {}", folder.display());
    Err(Misfit::new(message, "make the folder, or name another one"))
}

#[allow(clippy::ref_option, reason = "it is what the layers hand over")]
fn show_path(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_text_or_hexadecimal() {
        assert_eq!(nsid("ns1.example").as_deref(), Ok(&b"ns1.example"[..]));
        assert_eq!(nsid("0x00fF").as_deref(), Ok(&[0, 255][..]));
        assert_eq!(show_nsid(&[0, 255]), "0x00ff");
        assert_eq!(show_nsid(b"ns1"), "ns1");
        for text in ["", "255", "0x", "0x123", "0xzz", &"x".repeat(LONGEST_NSID + 1)] {
            assert!(nsid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cookie_secret_is_never_in_what_is_told() {
        let good = cookie_secret("e5e973e5a6b2a43f48e7dc849e37bfcf").expect("a secret (RFC 9018 appendix A)");
        assert_eq!((good[0], good[15]), (0xe5, 0xcf));
        for text in ["", "hush", "e5e973e5a6b2a43f48e7dc849e37bf", "g5e973e5a6b2a43f48e7dc849e37bfcf"] {
            let misfit = cookie_secret(text).expect_err("refused");
            assert!(text.is_empty() || !format!("{misfit:?}").contains(text), "{misfit:?}");
        }
    }

    #[test]
    fn users_have_groups_or_not() {
        let parsed = |text: &str| user(text).map(|user| (user.user, user.group));
        assert_eq!(parsed("mcdns"), Ok(("mcdns".to_owned(), None)));
        assert_eq!(parsed("65534:dns"), Ok(("65534".to_owned(), Some("dns".to_owned()))));
        for text in ["", ":", "a:", ":a", "a:b:c", "a b"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_random_secret_stays_the_same() {
        assert_eq!(random_secret(), random_secret());
        assert_ne!(random_secret(), Some([0; COOKIE_SECRET]));
    }
}
