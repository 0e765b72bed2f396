//! What an operator may set about names and zones.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::{
    answer::Soa,
    dns::{OwnerName, Rrset, Serial, Ttl},
};

/// TTL of records whose own says 0 or nothing, in seconds (KubeFed).
pub const DEFAULT_TTL: Ttl = 180;
/// TTL of SOA, NS and name-server addresses that nobody set, in seconds.
pub const INFRASTRUCTURE_TTL: Ttl = 3600;

/// How records become names and answers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespace in which Domains and KubeFedClusters count.
    pub system_namespace: Arc<str>,
    /// Seconds that an unready cluster keeps its targets.
    pub grace_seconds: i64,
    /// What becomes of a level without targets.
    pub empty_levels: EmptyLevels,
    /// Which clusters a record's status lists.
    pub status_entries: StatusEntries,
    /// Addresses of `ns1.<apex>` where nothing else names the servers of a zone.
    pub advertise: Vec<IpAddr>,
    /// Zones that settings speak of, beside those that Domains make.
    pub zones: Vec<ZoneOptions>,
}

/// What becomes of a level without targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyLevels {
    /// It climbs by CNAME to the next wider level, as with KubeFed.
    Climb,
    /// It has no name.
    Omit,
}

/// Which clusters a record's status lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusEntries {
    /// Every cluster, as with KubeFed.
    All,
    /// Those whose load balancer shows.
    WithTargets,
}

/// What settings say of one zone.
#[derive(Debug, Clone)]
pub struct ZoneOptions {
    /// Name of the zone.
    pub apex: OwnerName,
    /// Its name servers; empty leaves it to the static records, the Domain, or the default.
    pub name_servers: Vec<NameServer>,
    /// Fields of the SOA that are set.
    pub soa: SoaOptions,
    /// Static records, which come before everything else at their names.
    pub static_zone: Option<Arc<StaticZone>>,
}

/// A name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServer {
    /// Its name, the target of the NS record.
    pub name: OwnerName,
    /// Its addresses, published where the name is in the zone.
    pub addresses: Vec<IpAddr>,
}

/// Fields of a SOA that settings may set; the rest keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoaOptions {
    /// Mailbox as a name.
    pub contact: Option<OwnerName>,
    /// Seconds.
    pub refresh: Option<u32>,
    /// Seconds.
    pub retry: Option<u32>,
    /// Seconds.
    pub expire: Option<u32>,
    /// Seconds that a negative answer may be kept.
    pub negative_ttl: Option<Ttl>,
}

/// The records of a master file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticZone {
    /// Its SOA; the serial counts only where no Domain has this apex.
    pub soa: Soa,
    /// RRsets by owner name, SOA not among them.
    pub names: BTreeMap<OwnerName, Vec<Rrset>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            system_namespace: "kube-federation-system".into(),
            grace_seconds: 60,
            empty_levels: EmptyLevels::Climb,
            status_entries: StatusEntries::All,
            advertise: Vec::new(),
            zones: Vec::new(),
        }
    }
}

impl SoaOptions {
    /// The SOA that results over `base`.
    pub(super) fn over(&self, base: Soa) -> Soa {
        Soa {
            contact: self.contact.clone().unwrap_or(base.contact),
            refresh: self.refresh.unwrap_or(base.refresh),
            retry: self.retry.unwrap_or(base.retry),
            expire: self.expire.unwrap_or(base.expire),
            negative_ttl: self.negative_ttl.unwrap_or(base.negative_ttl),
            ..base
        }
    }
}

/// The SOA of a zone of which nothing is set; the serial is 1 until somebody counts.
pub(super) fn default_soa(apex: &OwnerName, primary: OwnerName) -> Soa {
    Soa {
        primary,
        contact: apex.child(b"hostmaster").unwrap_or_else(|_| apex.clone()),
        serial: Serial(1),
        refresh: 3600,
        retry: 600,
        expire: 604_800,
        negative_ttl: 30,
        ttl: INFRASTRUCTURE_TTL,
    }
}
