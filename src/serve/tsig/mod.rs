//! Transaction signatures (RFC 8945): a client and this server share a secret, and each proves with an HMAC that a
//! message comes from it, is whole, and is not old.
//!
//! ```text
//!   request ──► KeyRing::verify ──┬─► Signer ──► sign every message of the answer
//!                                 └─► Refusal ─► the answer that section 5.3.2 wants, and a line in the log
//!
//!   request of ours ──► Signer::for_request ── sign ──► AnswerCheck ──► check the one answer
//! ```
//!
//! * A request is looked at in the order of section 5.2: key, MAC, time, length of the MAC. What fails early says
//!   nothing about what comes later, and nothing is answered with a signature before the MAC was found to be right.
//! * MACs are compared in constant time. Secrets and MACs are in no log line and in no `Debug`.
//! * Requests that arrive out of order are not refused: no time of a last request is kept (section 5.2.3 leaves it
//!   open), because a client that sends several at once over UDP would be hurt by it and nobody else.
//! * MD5 is refused, which section 6 no longer asks for, and so is GSS (RFC 3645).

mod algorithm;
mod failures;
mod record;
mod refusal;
mod signer;
mod verify;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use mcdns_core::dns::OwnerName;
use thiserror::Error;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use failures::{TsigFailures, TsigTotals};
pub use refusal::{Refusal, TsigError};
pub use signer::{AnswerCheck, AnswerError, Signer};

/// Keys by name.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<OwnerName, Arc<Key>>,
}

/// A key that a client and this server share. Its secret is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    name: OwnerName,
    algorithm: Algorithm,
    secret: Box<[u8]>,
    /// Octets of the shortest MAC that is taken.
    least: usize,
}

/// A length that MACs of an algorithm may not have (RFC 8945 section 5.2.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a MAC of {algorithm} has from {least} to {most} octets, not {octets}")]
pub struct MacLengthError {
    /// Of the key.
    pub algorithm: Algorithm,
    /// What was wanted.
    pub octets: usize,
    /// What is allowed at least.
    pub least: usize,
    /// The whole MAC.
    pub most: usize,
}

impl KeyRing {
    /// A ring of these keys; the last of several with one name counts.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.name.clone(), Arc::new(key))).collect() }
    }

    /// The key with this name.
    pub fn find(&self, name: &OwnerName) -> Option<&Arc<Key>> {
        self.keys.get(name)
    }
}

impl Key {
    /// A key from its parts. Only whole MACs are taken and sent.
    pub fn new(name: OwnerName, algorithm: Algorithm, secret: impl Into<Box<[u8]>>) -> Self {
        Self { name, algorithm, secret: secret.into(), least: algorithm.mac_length() }
    }

    /// The same key for MACs that are cut to so many octets: shorter ones are refused (BADTRUNC), and our own have
    /// this length, or that of the request where it is longer.
    pub fn with_mac_length(self, octets: usize) -> Result<Self, MacLengthError> {
        let lengths = self.algorithm.mac_lengths();
        if lengths.contains(&octets) {
            return Ok(Self { least: octets, ..self });
        }
        Err(MacLengthError { algorithm: self.algorithm, octets, least: *lengths.start(), most: *lengths.end() })
    }

    /// Its name.
    pub fn name(&self) -> &OwnerName {
        &self.name
    }

    /// What messages are signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// True if a message of this algorithm can be of this key: of the same, or of the whole one where ours is cut.
    /// BIND writes `hmac-sha256` with 16 octets for what its settings call `hmac-sha256-128`; the IANA registry has
    /// that as an algorithm of its own.
    fn takes(&self, algorithm: Algorithm) -> bool {
        algorithm == self.algorithm || algorithm == self.algorithm.whole()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
