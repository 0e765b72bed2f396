//! What is wrong with a signed request, and how it is answered (RFC 8945 section 5.3.2).

use std::fmt;

use mcdns_core::dns::OwnerName;

use super::{
    Signer,
    record::{FIXED, Fields, Record},
};
use crate::{
    message::count_additional,
    rcode::{FORMERR, NOTAUTH},
    request::HEADER,
};

/// What is wrong with a signed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TsigError {
    /// The record is none, stands elsewhere than last, or has a MAC of a length that its algorithm has not.
    Malformed,
    /// The key or its algorithm is unknown.
    BadKey,
    /// The MAC is not that of the message.
    BadSignature,
    /// Signed too long ago, or in the future.
    BadTime,
    /// The MAC is cut shorter than the key allows.
    BadTruncation,
}

/// A signed request that is not believed.
#[derive(Clone)]
pub struct Refusal {
    error: TsigError,
    key: Option<OwnerName>,
    time: Option<u64>,
    answer: Form,
}

/// The TSIG record of the answer.
#[derive(Clone)]
enum Form {
    /// There is none.
    None,
    /// One without a MAC: "It MUST NOT send back a signed error message" where key or MAC is wrong.
    Unsigned(Box<(OwnerName, Fields)>),
    /// One with a MAC: time and truncation are wrong in messages that come from who has the key.
    Signed(Box<Signer>),
}

impl TsigError {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Malformed, Self::BadKey, Self::BadSignature, Self::BadTime, Self::BadTruncation];

    /// As the IANA registry has it (RFC 8945 section 3), for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "FORMERR",
            Self::BadKey => "BADKEY",
            Self::BadSignature => "BADSIG",
            Self::BadTime => "BADTIME",
            Self::BadTruncation => "BADTRUNC",
        }
    }

    /// What the error field of a TSIG record says; 0 for a record that is none.
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed => 0,
            Self::BadSignature => 16,
            Self::BadKey => 17,
            Self::BadTime => 18,
            Self::BadTruncation => 22,
        }
    }
}

impl fmt::Display for TsigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Refusal {
    pub(super) fn malformed(key: Option<OwnerName>) -> Self {
        Self { error: TsigError::Malformed, key, time: None, answer: Form::None }
    }

    /// Time and fudge go back as they came: nothing else is known to be sound.
    pub(super) fn unsigned(error: TsigError, record: Record<'_>) -> Self {
        let Record { key, fields, .. } = record;
        let time = Some(fields.time);
        let fields = Fields { error: error.code(), other: Vec::new(), ..fields };
        Self { error, key: Some(key.clone()), time, answer: Form::Unsigned(Box::new((key, fields))) }
    }

    pub(super) fn signed(error: TsigError, record: Record<'_>, signer: Signer, now: u64) -> Self {
        let Record { key, fields, .. } = record;
        let time = Some(fields.time);
        // "It MUST include the client's current time in the Time Signed field, the server's current time (an unsigned
        // 48-bit integer) in the Other Data field", and "the Fudge field MUST be set to the fudge value received from
        // the client" (section 5.2.3).
        let fields = match error {
            TsigError::BadTime => Fields { error: error.code(), other: now.to_be_bytes()[2..].to_vec(), ..fields },
            _ => Fields { time: now, error: error.code(), other: Vec::new(), ..fields },
        };
        Self { error, key: Some(key), time, answer: Form::Signed(Box::new(signer.saying(fields))) }
    }

    /// What is wrong.
    pub fn error(&self) -> TsigError {
        self.error
    }

    /// The name of the key that the request claims, as far as it could be read.
    pub fn key(&self) -> Option<&OwnerName> {
        self.key.as_ref()
    }

    /// When the request claims to be signed: Unix time in seconds.
    pub fn time(&self) -> Option<u64> {
        self.time
    }

    /// The RCODE of the answer: FORMERR or NOTAUTH.
    pub fn rcode(&self) -> u16 {
        if self.error == TsigError::Malformed { FORMERR } else { NOTAUTH }
    }

    /// Octets that the answer must leave for its TSIG record.
    pub fn reserve(&self) -> usize {
        match &self.answer {
            Form::None => 0,
            Form::Unsigned(parts) => parts.0.as_wire().len() + parts.1.algorithm.len() + FIXED,
            Form::Signed(signer) => signer.reserve(),
        }
    }

    /// Appends the TSIG record of the answer, if it has one, to the message that `buffer` starts with, and counts it in
    /// the header; returns the new length. None, and nothing done, where there is no room. The message has the ID and
    /// the question of the request and the RCODE of [`Refusal::rcode`].
    pub(crate) fn append_within(self, buffer: &mut [u8], length: usize, now: u64) -> Option<usize> {
        match self.answer {
            Form::None => Some(length),
            Form::Unsigned(parts) => {
                let id = *buffer.get(..HEADER)?.first_chunk()?;
                let record = parts.1.write(&parts.0, &[], id);
                let end = length + record.len();
                buffer.get_mut(length..end)?.copy_from_slice(&record);
                count_additional(buffer);
                Some(end)
            }
            Form::Signed(mut signer) => signer.sign_within(buffer, length, now),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("error", &self.error).field("key", &self.key).finish_non_exhaustive()
    }
}
