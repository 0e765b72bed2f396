//! Whether a request is signed as it should be (RFC 8945 section 5.2).

use std::sync::Arc;

use super::{
    Key, KeyRing, Signer,
    algorithm::{Algorithm, MacOctets},
    record::{Malformed, Record, find, header_signed},
    refusal::{Refusal, TsigError},
};
use crate::request::HEADER;

impl KeyRing {
    /// Verifies a request at `now`, Unix time in seconds. Returns what signs its answer, and knows the key; none for
    /// a request without a TSIG record.
    pub fn verify(&self, request: &[u8], now: u64) -> Result<Option<Signer>, Refusal> {
        match find(request) {
            Ok(Some(tsig)) => self.verify_at(request, tsig, now).map(Some),
            Ok(None) => Ok(None),
            Err(Malformed) => Err(Refusal::malformed(None)),
        }
    }

    /// The same for a request whose last record is a TSIG record, which starts at `tsig`.
    pub(crate) fn verify_at(&self, request: &[u8], tsig: usize, now: u64) -> Result<Signer, Refusal> {
        let Ok(record) = Record::read(request, tsig) else { return Err(Refusal::malformed(None)) };
        // "If a non-forwarding server does not recognize the key or algorithm used by the client" (section 5.2.1).
        let algorithm = Algorithm::from_wire(&record.fields.algorithm);
        let known = self.find(&record.key).zip(algorithm).filter(|&(key, algorithm)| key.takes(algorithm));
        let Some((key, algorithm)) = known else { return Err(Refusal::unsigned(TsigError::BadKey, record)) };
        if !algorithm.mac_lengths().contains(&record.mac.len()) {
            return Err(Refusal::malformed(Some(record.key)));
        }
        if !is_signed(&record, request, key, algorithm, &[]) {
            return Err(Refusal::unsigned(TsigError::BadSignature, record));
        }
        let signer = Signer::for_answer(Arc::clone(key), algorithm, MacOctets::new(record.mac));
        if !record.fields.is_timely(now) {
            return Err(Refusal::signed(TsigError::BadTime, record, signer, now));
        }
        if record.mac.len() < key.least {
            return Err(Refusal::signed(TsigError::BadTruncation, record, signer, now));
        }
        Ok(signer)
    }
}

/// True if the record's MAC is that of the message, behind the MAC that it answers.
pub(super) fn is_signed(record: &Record<'_>, message: &[u8], key: &Key, algorithm: Algorithm, prior: &[u8]) -> bool {
    let Some(header) = header_signed(message, record.original_id) else { return false };
    let Some(records) = message.get(HEADER..record.start) else { return false };
    let variables = record.fields.variables(&record.key);
    algorithm.verify(&key.secret, &[prior, &header, records, &variables], record.mac)
}
