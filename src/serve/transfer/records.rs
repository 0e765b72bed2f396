//! The records of a transfer in their order, one by one.

use std::sync::Arc;

use mcdns_core::{
    answer::{AuthoritativeZone, Soa, ZoneCursor, ZoneDifference},
    dns::{OwnerName, RecordType, Rrset, Ttl},
};

use crate::request::CLASS_IN;

/// Octets of the owner in front of a stored record.
const POINTER: usize = 2;

/// What is left of a transfer.
#[derive(Debug)]
pub(super) struct Records {
    zone: Arc<AuthoritativeZone>,
    /// None for the whole zone.
    differences: Option<Vec<Arc<ZoneDifference>>>,
    place: Place,
}

/// What comes next.
#[derive(Debug)]
enum Place {
    FirstSoa,
    /// The whole zone.
    Zone(ZoneCursor),
    /// Part 0 to 3 of a difference: SOA before, records that go, SOA after, records that come; RRset and record of it.
    Difference(usize, u8, usize, usize),
    LastSoa,
    End,
}

impl Records {
    pub(super) fn new(zone: Arc<AuthoritativeZone>, differences: Option<Vec<Arc<ZoneDifference>>>) -> Self {
        Self { zone, differences, place: Place::FirstSoa }
    }

    pub(super) fn zone(&self) -> &AuthoritativeZone {
        &self.zone
    }

    /// Calls `take` with the labels of the owner below the apex, and type to RDATA, of one record after the other. Where
    /// it says false, the next call begins with that record. True when all were taken.
    pub(super) fn each(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> bool {
        let Self { zone, differences, place } = self;
        let soa = &zone.soa_record().octets()[POINTER..];
        let mut record = Vec::new();
        loop {
            match place {
                Place::FirstSoa => {
                    if !take(&[], soa) {
                        return false;
                    }
                    *place = match differences {
                        None => Place::Zone(ZoneCursor::default()),
                        Some(_) => Place::Difference(0, 0, 0, 0),
                    };
                }
                Place::Zone(cursor) => {
                    if !zone.walk(cursor, |record| take(record.labels, record.octets)) {
                        return false;
                    }
                    *place = Place::LastSoa;
                }
                Place::Difference(number, part, rrset, at) => {
                    let Some(difference) = differences.as_ref().and_then(|all| all.get(*number)) else {
                        *place = Place::LastSoa;
                        continue;
                    };
                    let taken = match part {
                        0 => take_soa(&difference.from, &mut record, &mut take),
                        1 => take_list(&difference.removed, zone.apex(), (rrset, at), &mut record, &mut take),
                        2 => take_soa(&difference.to, &mut record, &mut take),
                        _ => take_list(&difference.added, zone.apex(), (rrset, at), &mut record, &mut take),
                    };
                    if !taken {
                        return false;
                    }
                    (*rrset, *at) = (0, 0);
                    (*number, *part) = if *part == 3 { (*number + 1, 0) } else { (*number, *part + 1) };
                }
                Place::LastSoa => {
                    if !take(&[], soa) {
                        return false;
                    }
                    *place = Place::End;
                }
                Place::End => return true,
            }
        }
    }
}

fn take_soa(soa: &Soa, record: &mut Vec<u8>, take: &mut impl FnMut(&[u8], &[u8]) -> bool) -> bool {
    write(record, RecordType::SOA, soa.ttl, &soa.data());
    take(&[], record)
}

/// `at` says where to begin, and afterwards where to go on.
fn take_list(
    list: &[(OwnerName, Rrset)],
    apex: &OwnerName,
    (first, at): (&mut usize, &mut usize),
    record: &mut Vec<u8>,
    take: &mut impl FnMut(&[u8], &[u8]) -> bool,
) -> bool {
    while let Some((owner, rrset)) = list.get(*first) {
        let labels = owner.strip_suffix(apex).unwrap_or_default();
        while let Some(data) = rrset.data().get(*at) {
            write(record, rrset.record_type, rrset.ttl, data);
            if !take(labels, record) {
                return false;
            }
            *at += 1;
        }
        *first += 1;
        *at = 0;
    }
    true
}

fn write(record: &mut Vec<u8>, record_type: RecordType, ttl: Ttl, data: &[u8]) {
    record.clear();
    record.extend_from_slice(&record_type.0.to_be_bytes());
    record.extend_from_slice(&CLASS_IN.to_be_bytes());
    record.extend_from_slice(&ttl.to_be_bytes());
    record.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend_from_slice(data);
}
