//! Signing answers and requests (RFC 8945 sections 5.1, 5.3), and checking the answers to requests of ours (5.4).

use std::{fmt, sync::Arc};

use mcdns_core::dns::OwnerName;
use thiserror::Error;

use super::{
    Key,
    algorithm::{Algorithm, MacOctets},
    record::{FIXED, Fields, Record, find, prior},
    refusal::TsigError,
    verify::is_signed,
};
use crate::{message::count_additional, request::HEADER};

/// Seconds by which the clocks of two servers may differ. RFC 8945 section 10: "The RECOMMENDED value in most
/// situations is 300 seconds."
const FUDGE: u16 = 300;

/// Signs the messages of an answer, one after the other: the first over the request's MAC, each next one over that of
/// the message before (RFC 8945 section 5.3.1).
#[derive(Clone)]
pub struct Signer {
    key: Arc<Key>,
    /// As the request has it.
    algorithm: Algorithm,
    /// Octets of our MACs.
    mac_length: usize,
    /// The MAC that the next one follows; none for a request.
    previous: Option<MacOctets>,
    place: Place,
    /// What is said instead of the time and "no error".
    says: Option<Fields>,
}

/// Which message of an answer comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is signed with all variables.
    First,
    /// With the timers alone.
    Later,
}

impl Signer {
    /// Octets that a message must leave for its TSIG record.
    pub fn reserve(&self) -> usize {
        let other = self.says.as_ref().map_or(0, |fields| fields.other.len());
        self.key.name.as_wire().len() + self.algorithm.wire_length() + FIXED + self.mac_length + other
    }

    /// Appends a TSIG record to a whole message and counts it in the header. `now` is Unix time in seconds.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let Some(record) = self.record(message, now) else { return };
        message.extend_from_slice(&record);
        count_additional(message);
    }

    /// The same for a message in a buffer; returns its new length. None, and nothing done, where there is no room.
    pub(crate) fn sign_within(&mut self, buffer: &mut [u8], length: usize, now: u64) -> Option<usize> {
        let end = length.checked_add(self.reserve()).filter(|&end| end <= buffer.len())?;
        let record = self.record(&buffer[..length], now)?;
        buffer.get_mut(length..end)?.copy_from_slice(&record);
        count_additional(buffer);
        Some(end)
    }

    /// The key that the request was signed with.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Signs the answer to a request with this MAC. "The request MAC used when calculating the TSIG MAC for a reply
    /// is the truncated request MAC" (section 5.2.2.1), and we cut ours no shorter.
    pub(super) fn for_answer(key: Arc<Key>, algorithm: Algorithm, request: MacOctets) -> Self {
        let mac_length = key.least.max(request.as_slice().len());
        Self { key, algorithm, mac_length, previous: Some(request), place: Place::First, says: None }
    }

    /// The same with these fields: an error.
    pub(super) fn saying(self, fields: Fields) -> Self {
        Self { says: Some(fields), ..self }
    }

    /// Makes the record; none for what is no message.
    fn record(&mut self, message: &[u8], now: u64) -> Option<Vec<u8>> {
        let id = *message.get(..HEADER)?.first_chunk()?;
        let fields = self.says.clone().unwrap_or_else(|| {
            let mut algorithm = Vec::with_capacity(self.algorithm.wire_length());
            self.algorithm.write(&mut algorithm);
            Fields { algorithm, time: now, fudge: FUDGE, error: 0, other: Vec::new() }
        });
        let previous = self.previous.as_ref().map(prior).unwrap_or_default();
        let variables = match self.place {
            Place::First => fields.variables(&self.key.name),
            Place::Later => fields.timers().to_vec(),
        };
        let mac = self.algorithm.mac(&self.key.secret, &[&previous, message, &variables]).cut(self.mac_length);
        let record = fields.write(&self.key.name, mac.as_slice(), id);
        self.previous = Some(mac);
        self.place = Place::Later;
        Some(record)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key", &self.key).field("place", &self.place).finish_non_exhaustive()
    }
}

/// What is needed to check the one answer to a request that we signed.
#[derive(Clone)]
pub struct AnswerCheck {
    key: Arc<Key>,
    request: MacOctets,
}

/// Why an answer to a signed request is not believed. A later answer may be good (section 5.4): go on waiting; only
/// [`AnswerError::Refused`] says that the other side has seen the request, and asking again the same way is vain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// It is no message, or its TSIG record is none.
    #[error("the answer cannot be read")]
    Malformed,
    /// It has no TSIG record.
    #[error("the answer is not signed")]
    Unsigned,
    /// It is signed with another key or algorithm.
    #[error("the answer is signed with another key, {0}")]
    OtherKey(OwnerName),
    /// Its MAC is wrong.
    #[error("the signature of the answer is wrong")]
    BadSignature,
    /// It was signed too long ago, or in the future.
    #[error("the answer was signed at {signed}, which is too far from now, {now}")]
    BadTime {
        /// Unix time in seconds.
        signed: u64,
        /// Unix time in seconds.
        now: u64,
    },
    /// Its MAC is cut shorter than the key allows.
    #[error("the signature of the answer is cut too short")]
    BadTruncation,
    /// The other side says that our request was not signed as it should be. Where this is about the key or the MAC,
    /// the statement has no signature itself.
    #[error("the other side refuses our signature with {}", name_of(*.0))]
    Refused(u16),
}

impl AnswerCheck {
    /// Signs a request at `now`, Unix time in seconds: appends a TSIG record and counts it in the header. A key of an
    /// algorithm that cuts another signs with that, cut as far: `hmac-sha256` with 16 octets for `hmac-sha256-128`.
    /// This is what BIND writes and takes for such a key; it knows no algorithm of this name, though the registry does.
    pub fn sign(key: &Arc<Key>, request: &mut Vec<u8>, now: u64) -> Self {
        Self::sign_as(key, key.algorithm.whole(), request, now)
    }

    /// The same with this algorithm, which the key takes.
    pub(super) fn sign_as(key: &Arc<Key>, algorithm: Algorithm, request: &mut Vec<u8>, now: u64) -> Self {
        let (key, mac_length) = (Arc::clone(key), key.least);
        let mut signer = Signer { key, algorithm, mac_length, previous: None, place: Place::First, says: None };
        signer.sign(request, now);
        let request = signer.previous.unwrap_or_else(|| MacOctets::new(&[]));
        Self { key: signer.key, request }
    }

    /// Checks an answer that came at `now`, Unix time in seconds.
    pub fn check(&self, answer: &[u8], now: u64) -> Result<(), AnswerError> {
        let start = find(answer).map_err(|_| AnswerError::Malformed)?.ok_or(AnswerError::Unsigned)?;
        let record = Record::read(answer, start).map_err(|_| AnswerError::Malformed)?;
        let algorithm = Algorithm::from_wire(&record.fields.algorithm).filter(|&used| self.key.takes(used));
        let Some(algorithm) = algorithm.filter(|_| record.key == self.key.name) else {
            return Err(AnswerError::OtherKey(record.key));
        };
        let error = record.fields.error;
        if record.mac.is_empty() && error != 0 {
            return Err(AnswerError::Refused(error));
        }
        if !algorithm.mac_lengths().contains(&record.mac.len()) {
            return Err(AnswerError::Malformed);
        }
        if !is_signed(&record, answer, &self.key, algorithm, &prior(&self.request)) {
            return Err(AnswerError::BadSignature);
        }
        if !record.fields.is_timely(now) {
            return Err(AnswerError::BadTime { signed: record.fields.time, now });
        }
        if record.mac.len() < self.key.least {
            return Err(AnswerError::BadTruncation);
        }
        if error == 0 { Ok(()) } else { Err(AnswerError::Refused(error)) }
    }
}

impl fmt::Debug for AnswerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerCheck").field("key", &self.key).finish_non_exhaustive()
    }
}

fn name_of(code: u16) -> String {
    let known = TsigError::ALL.into_iter().find(|error| error.code() == code && code != 0);
    known.map_or_else(|| format!("error {code}"), |error| error.name().to_owned())
}
