//! Signatures of transactions (RFC 8945), from the client's side.
//!
//! A case may want a wrong one: an unknown key, a wrong secret, a clock that is off, a MAC cut short.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use data_encoding::BASE64;
use ring::hmac;

use crate::{
    draft::{Sent, record},
    name,
};

/// Type of a TSIG record.
pub(crate) const TSIG: u16 = 250;
/// Class ANY, which a TSIG record has (section 4.2).
const ANY: u16 = 255;
/// Seconds that clocks may be apart; the value that section 10 recommends.
const FUDGE: u16 = 300;

/// A key that servers know.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its algorithm as settings of servers call it.
    pub algorithm: &'static str,
    /// Its secret in base 64.
    pub secret: &'static str,
}

/// Every key that every server has. They are made for these tests and are secret to nobody.
pub const KEYS: &[Key] = &[
    Key { name: "key-sha1.", algorithm: "hmac-sha1", secret: "Y29uZm9ybWFuY2UtMDEtMDEtMDE=" },
    Key { name: "key-sha256.", algorithm: "hmac-sha256", secret: "Y29uZm9ybWFuY2UtY29uZm9ybWFuY2UtMDAwMDAwMDI=" },
    Key {
        name: "key-sha384.",
        algorithm: "hmac-sha384",
        secret: "Y29uZm9ybWFuY2UtY29uZm9ybWFuY2UtY29uZm9ybWFuY2UtMDAwMDAwMDM=",
    },
    Key {
        name: "key-sha512.",
        algorithm: "hmac-sha512",
        secret: "Y29uZm9ybWFuY2UtY29uZm9ybWFuY2UtY29uZm9ybWFuY2UtY29uZm9ybWFuY2UtMDQ=",
    },
];

/// How a message is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Name of the key; one that is not in [`KEYS`] signs as if it were of HMAC-SHA-256.
    pub key: String,
    /// Algorithm in the record, where it is not the key's own.
    pub algorithm: Option<String>,
    /// True to sign with another secret than the key's.
    pub wrong_secret: bool,
    /// Seconds that the client's clock is ahead.
    pub skew: i64,
    /// Octets of the MAC that are sent, where not all.
    pub mac_octets: Option<usize>,
}

/// What the answers to a signed message are checked with.
#[derive(Debug, Clone)]
pub struct Signature {
    key: hmac::Key,
    /// MAC of the message before, as sent.
    before: Vec<u8>,
    /// Answers since the last one that had a signature.
    unsigned: Vec<u8>,
    /// True until the first answer was seen.
    first: bool,
}

/// The parts of a TSIG record that are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the key.
    pub key: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// Time signed, in seconds since 1970.
    pub time: u64,
    /// Fudge, in seconds.
    pub fudge: u16,
    /// The MAC.
    pub mac: Vec<u8>,
    /// ID of the message before anybody changed it.
    pub original_id: u16,
    /// TSIG error.
    pub error: u16,
    /// Other data: the server's clock where the error is BADTIME.
    pub other: Vec<u8>,
    /// Where the record starts in the message.
    pub start: usize,
}

impl Signer {
    /// One that signs as it should.
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), algorithm: None, wrong_secret: false, skew: 0, mac_octets: None }
    }

    /// The message with its signature as last record.
    pub(crate) fn sign(&self, mut message: Vec<u8>) -> anyhow::Result<Sent> {
        let key = KEYS.iter().find(|key| key.name == self.key);
        let own = key.map_or("hmac-sha256", |key| key.algorithm);
        let algorithm = self.algorithm.as_deref().unwrap_or(own);
        let mut secret = BASE64.decode(key.map_or("c2VjcmV0", |key| key.secret).as_bytes())?;
        if self.wrong_secret {
            secret.push(1);
        }
        let mac_key = hmac::Key::new(ring_algorithm(own)?, &secret);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?.as_secs();
        let time = now.checked_add_signed(self.skew).context("a skew that is too large")?.to_be_bytes()[2..].to_vec();
        let name = name::to_wire(&self.key)?;
        let algorithm_name = name::to_wire(algorithm)?;
        let variables = variables(&name, &algorithm_name, &time, FUDGE, 0, &[])?;
        let mut context = hmac::Context::with_key(&mac_key);
        context.update(&message);
        context.update(&variables);
        let tag = context.sign();
        let mac = &tag.as_ref()[..self.mac_octets.unwrap_or(tag.as_ref().len()).min(tag.as_ref().len())];

        let mut data = algorithm_name;
        data.extend(&time);
        data.extend(FUDGE.to_be_bytes());
        data.extend(u16::try_from(mac.len())?.to_be_bytes());
        data.extend(mac);
        data.extend(&message[..2]);
        data.extend([0, 0, 0, 0]);
        message.extend(record(&name, TSIG, ANY, 0, &data)?);
        let additional = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..12].copy_from_slice(&additional.to_be_bytes());
        let signature = Signature { key: mac_key, before: mac.to_vec(), unsigned: Vec::new(), first: true };
        Ok(Sent { octets: message, signature: Some(signature) })
    }
}

impl Signature {
    /// Checks the next answer (section 5.3). One without a signature is kept for the next that has one; the first
    /// must have one.
    ///
    /// # Errors
    /// A MAC that is not the right one, with the reason.
    pub fn check(&mut self, message: &[u8], seen: Option<&Seen>) -> anyhow::Result<()> {
        let first = std::mem::replace(&mut self.first, false);
        let Some(seen) = seen else {
            if first {
                bail!("the answer is not signed");
            }
            self.unsigned.extend(message);
            return Ok(());
        };
        let mut digest = u16::try_from(self.before.len())?.to_be_bytes().to_vec();
        digest.extend(&self.before);
        digest.extend(std::mem::take(&mut self.unsigned));
        let mut plain = message[..seen.start].to_vec();
        plain[..2].copy_from_slice(&seen.original_id.to_be_bytes());
        let additional = u16::from_be_bytes([plain[10], plain[11]]).checked_sub(1).context("no TSIG counted")?;
        plain[10..12].copy_from_slice(&additional.to_be_bytes());
        digest.extend(plain);
        let time = &seen.time.to_be_bytes()[2..];
        if first {
            let name = name::to_wire(&seen.key.to_ascii_lowercase())?;
            let algorithm = name::to_wire(&seen.algorithm.to_ascii_lowercase())?;
            digest.extend(variables(&name, &algorithm, time, seen.fudge, seen.error, &seen.other)?);
        } else {
            digest.extend(time);
            digest.extend(seen.fudge.to_be_bytes());
        }
        let right = hmac::sign(&self.key, &digest);
        // RFC 8945 section 5.2.2.1: not less than half of the MAC, and never less than 10 octets.
        let least = (right.as_ref().len() / 2).max(10);
        if seen.mac.len() < least || !right.as_ref().starts_with(&seen.mac) {
            bail!("the MAC of the answer is wrong");
        }
        self.before.clone_from(&seen.mac);
        Ok(())
    }
}

/// Reads the TSIG record that starts at `start` and whose data lies between `data` and `end`.
///
/// # Errors
/// What makes it none.
pub(crate) fn read(message: &[u8], start: usize, data: usize, end: usize) -> anyhow::Result<Seen> {
    let algorithm = name::read(message, data)?;
    let rest = message.get(algorithm.end..end).context("TSIG ends too early")?;
    let number = |at: usize| -> anyhow::Result<u16> {
        Ok(u16::from_be_bytes(rest.get(at..at + 2).context("TSIG ends too early")?.try_into()?))
    };
    let mut time = [0; 8];
    time[2..].copy_from_slice(rest.get(..6).context("TSIG ends too early")?);
    let mac_octets = usize::from(number(8)?);
    let mac = rest.get(10..10 + mac_octets).context("a MAC ends too late")?.to_vec();
    let other_octets = usize::from(number(14 + mac_octets)?);
    let other = rest.get(16 + mac_octets..16 + mac_octets + other_octets).context("other data ends too late")?;
    if 16 + mac_octets + other_octets != rest.len() {
        bail!("TSIG has octets too many");
    }
    Ok(Seen {
        key: name::read(message, start)?.text,
        algorithm: algorithm.text,
        time: u64::from_be_bytes(time),
        fudge: number(6)?,
        mac,
        original_id: number(10 + mac_octets)?,
        error: number(12 + mac_octets)?,
        other: other.to_vec(),
        start,
    })
}

/// TSIG variables (section 4.3.3).
fn variables(
    name: &[u8],
    algorithm: &[u8],
    time: &[u8],
    fudge: u16,
    error: u16,
    other: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut octets = name.to_vec();
    octets.extend(ANY.to_be_bytes());
    octets.extend([0; 4]);
    octets.extend(algorithm);
    octets.extend(time);
    for number in [fudge, error, u16::try_from(other.len())?] {
        octets.extend(number.to_be_bytes());
    }
    octets.extend(other);
    Ok(octets)
}

fn ring_algorithm(name: &str) -> anyhow::Result<hmac::Algorithm> {
    Ok(match name {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha256" => hmac::HMAC_SHA256,
        "hmac-sha384" => hmac::HMAC_SHA384,
        "hmac-sha512" => hmac::HMAC_SHA512,
        other => bail!("`{other}` is no algorithm of these tests"),
    })
}
