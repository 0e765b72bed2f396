//! The one way from a [`Snapshot`](super::Snapshot) to the next.
//!
//! A patch says what names hold from now on, and nothing about how a snapshot stores them; the journal, IXFR
//! and feeds to other servers are made of it, so it is plain data that serialises.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::dns::{OwnerName, Rrset, Serial, Ttl};

/// Our counter of model states; grows by one with every patch that changes something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// What changes from one generation to the next. An empty patch changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Zones that are no longer served.
    pub removed_zones: BTreeSet<OwnerName>,
    /// Zones that are new or change, by apex.
    pub zones: BTreeMap<OwnerName, ZonePatch>,
}

/// What changes in one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonePatch {
    /// The SOA from now on; required where the zone is new.
    pub soa: Option<Soa>,
    /// The level names from now on (see [`Levels`]); a new zone without it has none.
    pub levels: Option<Levels>,
    /// Names that change; none where the name goes.
    pub names: BTreeMap<OwnerName, Option<Entry>>,
}

/// What one owner name holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its RRsets, sorted by type, one each. The apex carries NS but never SOA, which is in [`ZonePatch::soa`].
    ///
    /// An entry without RRsets and without `climb` *withholds* the name: it does not exist (unless something
    /// lies below it) even where [`Levels`] would have made it climb.
    pub rrsets: Vec<Rrset>,
    /// Set on a global name (`P.apex`): its empty levels `P.region.apex` and `P.availability-zone.region.apex`
    /// climb by a CNAME with this TTL. They are not stored; see [`Levels`].
    pub climb: Option<Ttl>,
}

/// Labels of the level names of a zone: every region with its availability zones, in normal form.
///
/// For every global name `P.apex` whose entry has `climb`, and every region R and availability zone Z in it,
/// the names `P.Z.R.apex` and `P.R.apex` exist. Where they have no entry of their own, `P.Z.R.apex` is a CNAME
/// to `P.R.apex` and that one a CNAME to `P.apex`: an empty level is held as "as the level above".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Availability-zone labels by region label.
    pub regions: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
}

/// SOA of a zone (RFC 1035 section 3.3.13), with the TTL that it is sent with in positive answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soa {
    /// Primary name server.
    pub primary: OwnerName,
    /// Mailbox of the person responsible, as a name.
    pub contact: OwnerName,
    /// Serial of the published generation.
    pub serial: Serial,
    /// Seconds between a secondary's checks.
    pub refresh: u32,
    /// Seconds before a failed check is repeated.
    pub retry: u32,
    /// Seconds after which a secondary without contact stops answering.
    pub expire: u32,
    /// Seconds that a negative answer may be kept, at most (RFC 2308 section 4).
    pub negative_ttl: Ttl,
    /// TTL of the SOA record itself.
    pub ttl: Ttl,
}

impl Patch {
    /// True if applying it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.removed_zones.is_empty() && self.zones.is_empty()
    }
}

impl Soa {
    /// The RDATA in wire format, names uncompressed.
    pub fn data(&self) -> Vec<u8> {
        let mut data = [self.primary.as_wire(), self.contact.as_wire()].concat();
        for number in [self.serial.0, self.refresh, self.retry, self.expire, self.negative_ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        data
    }
}

impl Entry {
    /// An entry with these RRsets, sorted by type here; the caller gives each type once.
    pub fn fixed(mut rrsets: Vec<Rrset>) -> Self {
        rrsets.sort_by_key(|rrset| rrset.record_type);
        Self { rrsets, climb: None }
    }

    /// True if the entry only keeps its name from existing.
    pub fn is_withheld(&self) -> bool {
        self.rrsets.is_empty() && self.climb.is_none()
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
