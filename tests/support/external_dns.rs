//! The real external-dns, and endpoints for it.
//!
//! Its source `connector` reads its endpoints from a server, which is [`Connector`]. They come in Go's own encoding (gob,
//! <https://pkg.go.dev/encoding/gob>): once the shape of the types, as a Go program wrote it, then one value.

#![allow(clippy::panic, reason = "a test fails by a panic")]

use std::{
    env,
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The release that is tested with.
pub const VERSION: &str = "0.21.0";

/// How long a run may take on a busy machine; most take a second.
const PATIENCE: Duration = Duration::from_mins(2);

/// `[]*Endpoint`: `DNSName`, `Targets`, `RecordType`, `SetIdentifier`, `RecordTTL`, `Labels`, and `ProviderSpecific`, which is
/// `[]ProviderSpecificProperty`: `Name`, `Value`.
const TYPES: &str = "0dff89020102ff8a0001ff800000757f030102ff800001070107444e534e616d65010c0001075461726765747301ff820001\
    0a5265636f726454797065010c00010d5365744964656e746966696572010c0001095265636f726454544c01040001064c61\
    62656c7301ff8400011050726f7669646572537065636966696301ff8800000015ff81020101075461726765747301ff8200\
    010c000016ff83040101064c6162656c7301ff8400010c010c00001fff870201011050726f76696465725370656369666963\
    01ff880001ff86000039ff850301011850726f7669646572537065636966696350726f706572747901ff8600010201044e61\
    6d65010c00010556616c7565010c000000";

/// Which of these types the value has, and that it is no structure.
const IS_ENDPOINTS: [u8; 3] = [0xff, 0x8a, 0x00];

/// What external-dns is asked to publish: its word for an RRset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As a person writes it.
    pub name: String,
    /// As in `AAAA`.
    pub kind: String,
    /// In seconds; 0 for none.
    pub ttl: u32,
    /// One for each record.
    pub targets: Vec<String>,
    /// What tells sets of one name and type apart; empty for none.
    pub set_identifier: String,
    /// What asked for it, as in `ingress/default/www`; empty for none. Ownership records say it.
    pub resource: String,
    /// Names and values, as in `aws/weight` and `10`.
    pub properties: Vec<(String, String)>,
}

/// A server that hands endpoints to whoever connects.
#[derive(Debug, Clone, Copy)]
pub struct Connector {
    address: SocketAddr,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// Of a process that was not killed.
    pub code: Option<i32>,
    /// Its log.
    pub log: String,
}

impl Endpoint {
    /// An endpoint without more.
    pub fn new(name: &str, kind: &str, ttl: u32, targets: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl,
            targets: targets.iter().map(|&target| target.to_owned()).collect(),
            set_identifier: String::new(),
            resource: String::new(),
            properties: Vec::new(),
        }
    }

    /// `name TTL type target target`, where the TTL may be `-` for none, and targets have no blanks.
    ///
    /// # Panics
    ///
    /// If the line is otherwise.
    pub fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, ttl, kind, targets @ ..] = &words[..] else { panic!("too few words: {line}") };
        let ttl = if *ttl == "-" { 0 } else { ttl.parse().expect("a TTL") };
        Self::new(name, kind, ttl, targets)
    }

    /// One of several sets of its name and type, with a property such as `aws/weight`.
    #[must_use]
    pub fn one_of(mut self, set_identifier: &str, property: &str, value: &str) -> Self {
        set_identifier.clone_into(&mut self.set_identifier);
        self.properties.push((property.to_owned(), value.to_owned()));
        self
    }

    /// Asked for by this resource.
    #[must_use]
    pub fn of(mut self, resource: &str) -> Self {
        resource.clone_into(&mut self.resource);
        self
    }

    /// In gob: each member that is not empty, by its distance from the one before.
    fn encode(&self, into: &mut Vec<u8>) {
        let mut last = 0;
        let mut member = |number: u8, into: &mut Vec<u8>| {
            into.push(number - last);
            last = number;
        };
        member(1, into);
        string(&self.name, into);
        if !self.targets.is_empty() {
            member(2, into);
            unsigned(self.targets.len(), into);
            for target in &self.targets {
                string(target, into);
            }
        }
        member(3, into);
        string(&self.kind, into);
        if !self.set_identifier.is_empty() {
            member(4, into);
            string(&self.set_identifier, into);
        }
        if self.ttl > 0 {
            member(5, into);
            // The lowest bit is the sign.
            unsigned(2 * self.ttl as usize, into);
        }
        if !self.resource.is_empty() {
            member(6, into);
            unsigned(1, into);
            string("resource", into);
            string(&self.resource, into);
        }
        if !self.properties.is_empty() {
            member(7, into);
            unsigned(self.properties.len(), into);
            for (name, value) in &self.properties {
                into.push(1);
                string(name, into);
                into.push(1);
                string(value, into);
                into.push(0);
            }
        }
        into.push(0);
    }
}

impl Connector {
    /// Hands these out as long as the process lives.
    ///
    /// # Panics
    ///
    /// If there is no port to listen on.
    pub fn start(endpoints: &[Endpoint]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let message = message(endpoints);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Whoever breaks off says so himself.
                let _ = stream.write_all(&message);
            }
        });
        Self { address }
    }

    /// A command that reads these endpoints, publishes them once, and ends; the provider and more are to be added. It has
    /// no environment.
    pub fn command(&self) -> Command {
        self.command_under("sync")
    }

    /// The same under another policy.
    pub fn command_under(&self, policy: &str) -> Command {
        let mut command = command_under(policy);
        command.args(["--source=connector", &format!("--connector-source-server={}", self.address)]);
        command
    }
}

/// A command that publishes once and ends; source, provider and more are to be added. It has no environment.
pub fn command() -> Command {
    command_under("sync")
}

/// The same under another policy.
fn command_under(policy: &str) -> Command {
    let mut command = Command::new(program());
    command.env_clear().stdin(Stdio::null());
    command.args(["--once", "--log-level=debug", "--metrics-address=127.0.0.1:0"]);
    command.arg(format!("--policy={policy}"));
    command
}

/// Has a command find a Route 53 where [`Route53`](crate::route53::Route53) is.
pub fn with_route53(command: &mut Command, endpoint: &str) {
    command.arg("--provider=aws");
    command.envs([
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // No files of whoever runs the tests.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]);
}

/// Runs a command to its end.
///
/// # Panics
///
/// If it cannot be started, or does not end within two minutes.
#[track_caller]
pub fn finish(command: &mut Command) -> Finished {
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let readers = [
        child.stdout.take().map(|stream| read(Box::new(stream))),
        child.stderr.take().map(|stream| read(Box::new(stream))),
    ];
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break Some(status),
            None if Instant::now() >= end => {
                // One that has just ended is as good.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let log: Vec<u8> = readers.into_iter().flatten().flat_map(|reader| reader.join().expect("a reader")).collect();
    let log = String::from_utf8_lossy(&log).into_owned();
    let Some(status) = status else { panic!("external-dns does not end\n{log}") };
    Finished { code: status.code(), log }
}

fn read(mut stream: Box<dyn Read + Send>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).expect("a pipe");
        octets
    })
}

impl Finished {
    /// Of a run that must have gone well.
    ///
    /// # Panics
    ///
    /// If it has not.
    #[track_caller]
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "it is a check")]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.log);
        self
    }

    /// True if it found nothing to change.
    pub fn nothing_to_do(&self) -> bool {
        self.log.contains("All records are already up to date")
    }
}

/// Where external-dns is, which `cargo xtask` builds and keeps.
///
/// # Panics
///
/// If it is not there.
pub fn program() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let file = cache.expect("a cache folder").join(format!("mcdns/tools/external-dns-{VERSION}/external-dns"));
    assert!(file.is_file(), "{} is missing; `cargo xtask tools` builds it", file.display());
    file
}

fn message(endpoints: &[Endpoint]) -> Vec<u8> {
    let mut message = octets(TYPES);
    let mut value = IS_ENDPOINTS.to_vec();
    unsigned(endpoints.len(), &mut value);
    for endpoint in endpoints {
        endpoint.encode(&mut value);
    }
    unsigned(value.len(), &mut message);
    message.extend(value);
    message
}

fn octets(hex: &str) -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("an octet");
    (0..hex.len()).step_by(2).map(octet).collect()
}

fn string(text: &str, into: &mut Vec<u8>) {
    unsigned(text.len(), into);
    into.extend(text.as_bytes());
}

/// Up to 127 as it is; else how many octets it has, as a negative number, and these, the highest first.
fn unsigned(number: usize, into: &mut Vec<u8>) {
    let octets = number.to_be_bytes();
    let octets: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
    match octets[..] {
        [] => into.push(0),
        [octet] if octet < 128 => into.push(octet),
        _ => {
            into.push(u8::try_from(octets.len()).expect("a few").wrapping_neg());
            into.extend(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_encoded_as_go_encodes_them() {
        let endpoint = Endpoint::new("a.example", "A", 300, &["192.0.2.1"]).one_of("s", "aws/weight", "10");
        let expected = "39ff8a00010109612e6578616d706c650101093139322e302e322e3101014101017301fe02580201010a6177732f77\
            656967687401023130 0000";
        let expected = octets(&format!("{TYPES}{}", expected.replace(' ', "")));
        assert_eq!(message(&[endpoint]), expected);
        assert_eq!(message(&[]), octets(&format!("{TYPES}04ff8a0000")));
    }
}
