//! What messages are authenticated with: algorithms by name, and their HMACs (RFC 8945 section 6, RFC 2104).

use std::{fmt, ops::RangeInclusive, str::FromStr};

use hmac::{EagerHash, Hmac, KeyInit as _, Mac as _, digest::Key as Block};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use thiserror::Error;

/// Octets of the longest MAC, which is that of SHA-512.
pub(super) const LONGEST_MAC: usize = 64;
/// "the larger of 10 (octets) and half the length of the hash function in use" (section 5.2.2.1).
const SHORTEST_MAC: usize = 10;

/// What a message is authenticated with (RFC 8945 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the IANA registry")]
pub enum Algorithm {
    HmacSha1,
    HmacSha224,
    HmacSha256,
    HmacSha256_128,
    HmacSha384,
    HmacSha384_192,
    HmacSha512,
    HmacSha512_256,
}

/// A text that names no algorithm that is spoken here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is none of hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha256-128, hmac-sha384, hmac-sha384-192, \
     hmac-sha512, hmac-sha512-256"
)]
pub struct UnknownAlgorithm(pub String);

impl Algorithm {
    /// All of them, in the order of the registry.
    pub const ALL: [Self; 8] = [
        Self::HmacSha1,
        Self::HmacSha224,
        Self::HmacSha256,
        Self::HmacSha256_128,
        Self::HmacSha384,
        Self::HmacSha384_192,
        Self::HmacSha512,
        Self::HmacSha512_256,
    ];

    /// The mnemonic of the registry, which is its domain name as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha224 => "hmac-sha224",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha256_128 => "hmac-sha256-128",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha384_192 => "hmac-sha384-192",
            Self::HmacSha512 => "hmac-sha512",
            Self::HmacSha512_256 => "hmac-sha512-256",
        }
    }

    /// Octets of a whole MAC.
    pub fn mac_length(self) -> usize {
        match self {
            Self::HmacSha256_128 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha384_192 => 24,
            Self::HmacSha224 => 28,
            Self::HmacSha256 | Self::HmacSha512_256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => LONGEST_MAC,
        }
    }

    /// Lengths that a MAC may have in a message; any other is FORMERR (section 5.2.2.1).
    pub fn mac_lengths(self) -> RangeInclusive<usize> {
        (self.whole().mac_length() / 2).max(SHORTEST_MAC)..=self.mac_length()
    }

    /// The algorithm whose MAC this one cuts; itself where it cuts nothing.
    pub(super) fn whole(self) -> Self {
        match self {
            Self::HmacSha256_128 => Self::HmacSha256,
            Self::HmacSha384_192 => Self::HmacSha384,
            Self::HmacSha512_256 => Self::HmacSha512,
            other => other,
        }
    }

    /// Octets of its domain name: one label and the root's.
    pub(super) fn wire_length(self) -> usize {
        self.name().len() + 2
    }

    /// Appends its domain name in canonical form.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let name = self.name().as_bytes();
        // Names have at most 15 octets.
        out.push(name.len().to_le_bytes()[0]);
        out.extend_from_slice(name);
        out.push(0);
    }

    /// The algorithm with this domain name, in any case.
    pub(super) fn from_wire(wire: &[u8]) -> Option<Self> {
        let (&length, rest) = wire.split_first()?;
        let (&0, label) = rest.split_last()? else { return None };
        let is_label = usize::from(length) == label.len();
        Self::ALL.into_iter().find(|known| is_label && known.name().as_bytes().eq_ignore_ascii_case(label))
    }

    /// The MAC over these parts, one after the other.
    pub(super) fn mac(self, secret: &[u8], parts: &[&[u8]]) -> MacOctets {
        match self.whole() {
            Self::HmacSha1 => mac::<Sha1>(secret, parts),
            Self::HmacSha224 => mac::<Sha224>(secret, parts),
            Self::HmacSha256 | Self::HmacSha256_128 => mac::<Sha256>(secret, parts),
            Self::HmacSha384 | Self::HmacSha384_192 => mac::<Sha384>(secret, parts),
            Self::HmacSha512 | Self::HmacSha512_256 => mac::<Sha512>(secret, parts),
        }
        .cut(self.mac_length())
    }

    /// True if `claimed`, which has a length that is allowed, is the start of the MAC over these parts. Takes the same
    /// time wherever they differ.
    pub(super) fn verify(self, secret: &[u8], parts: &[&[u8]], claimed: &[u8]) -> bool {
        match self.whole() {
            Self::HmacSha1 => verify::<Sha1>(secret, parts, claimed),
            Self::HmacSha224 => verify::<Sha224>(secret, parts, claimed),
            Self::HmacSha256 | Self::HmacSha256_128 => verify::<Sha256>(secret, parts, claimed),
            Self::HmacSha384 | Self::HmacSha384_192 => verify::<Sha384>(secret, parts, claimed),
            Self::HmacSha512 | Self::HmacSha512_256 => verify::<Sha512>(secret, parts, claimed),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads a mnemonic in any case, with or without a dot at its end.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let plain = text.strip_suffix('.').unwrap_or(text);
        let known = Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(plain));
        known.ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// The octets of a MAC, at most as many as the longest has; not printed.
#[derive(Clone)]
pub(super) struct MacOctets {
    octets: [u8; LONGEST_MAC],
    length: usize,
}

impl MacOctets {
    /// These octets; what is longer than any MAC is cut.
    pub(super) fn new(mac: &[u8]) -> Self {
        let length = mac.len().min(LONGEST_MAC);
        let mut octets = [0; LONGEST_MAC];
        octets[..length].copy_from_slice(&mac[..length]);
        Self { octets, length }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Its first octets.
    pub(super) fn cut(self, length: usize) -> Self {
        Self { length: self.length.min(length), ..self }
    }
}

fn mac<D: EagerHash>(secret: &[u8], parts: &[&[u8]]) -> MacOctets {
    MacOctets::new(keyed::<D>(secret, parts).finalize().as_bytes())
}

fn verify<D: EagerHash>(secret: &[u8], parts: &[&[u8]], claimed: &[u8]) -> bool {
    // Compares in constant time.
    keyed::<D>(secret, parts).verify_truncated_left(claimed).is_ok()
}

/// An HMAC over these parts. RFC 2104 section 2: a key is filled up with zeros to the block of the hash, and hashed
/// first where it is longer.
fn keyed<D: EagerHash>(secret: &[u8], parts: &[&[u8]]) -> Hmac<D> {
    let mut block = Block::<Hmac<D>>::default();
    match block.get_mut(..secret.len()) {
        Some(front) => front.copy_from_slice(secret),
        None => D::digest(secret).iter().zip(block.iter_mut()).for_each(|(octet, place)| *place = *octet),
    }
    let mut hmac = Hmac::<D>::new(&block);
    for part in parts {
        hmac.update(part);
    }
    hmac
}
