//! RRsets (RFC 2181 section 5).

use serde::{Deserialize, Serialize};

use super::RecordType;

/// Seconds that an answer may be kept (RFC 2181 section 8: 0 to 2147483647).
pub type Ttl = u32;

/// The records of one owner name and type: one TTL, data without order or duplicates.
///
/// Data is uncompressed wire format, sorted (RFC 4034 section 6.3), so that equal sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rrset {
    /// Type of every record of the set.
    pub record_type: RecordType,
    /// One TTL for all (RFC 2181 section 5.2).
    pub ttl: Ttl,
    data: Vec<Box<[u8]>>,
}

impl Rrset {
    /// Sorts the data and drops duplicates. Each item is the RDATA in wire format, names uncompressed.
    pub fn new(record_type: RecordType, ttl: Ttl, mut data: Vec<Box<[u8]>>) -> Self {
        data.sort_unstable();
        data.dedup();
        Self { record_type, ttl, data }
    }

    /// The RDATA of each record, sorted.
    pub fn data(&self) -> &[Box<[u8]>] {
        &self.data
    }
}
