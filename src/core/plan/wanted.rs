//! What the engine wants at one name, before any publisher has put it into its own form.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Serialize;

use crate::{
    dns::{OwnerName, RecordType, Rrset, Ttl},
    model::{ClusterName, RecordKey},
    steering::Target,
};

/// One owner name as it should be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedName {
    /// The name.
    pub owner: OwnerName,
    /// The zone that it is in.
    pub apex: OwnerName,
    /// What it holds, sorted by type, one RRset each; empty only where `unsettled` says why. Empty levels are CNAMEs here. The apex has its SOA
    /// (whose serial moves with every change of the zone) and NS; a delegation has NS, and glue is a name of its own.
    pub rrsets: Vec<Rrset>,
    /// Who gives the addresses among `rrsets`: each target of each cluster in use at this name, sorted by cluster,
    /// then target. Empty where the addresses come from no cluster (static records, climbing levels, others'
    /// DNSEndpoints).
    pub targets: Vec<ClusterTarget>,
    /// TTL of the address RRsets, else of the first RRset, in seconds.
    pub ttl: Ttl,
    /// The record that has the name; none for static records, the zone itself and others' DNSEndpoints.
    pub record: Option<RecordKey>,
    /// Who wants it, as a person reads it: `ServiceDNSRecord shop/web: us-east-1, eu-west-1`.
    pub reason: String,
    /// Why it cannot be told yet what the name holds: `rrsets` is what is known, and may lack anything. What stands
    /// at a publisher stays; where nothing does, what is known is better than nothing. None where all is known.
    pub unsettled: Option<String>,
}

/// One target of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTarget {
    /// The cluster.
    pub cluster: ClusterName,
    /// An address, or the host name of its load balancer.
    pub target: Target,
    /// The address itself, or what the host name resolves to now; never empty.
    pub addresses: BTreeSet<IpAddr>,
}

impl WantedName {
    /// The RRset of this type, if there is one.
    pub fn rrset(&self, record_type: RecordType) -> Option<&Rrset> {
        self.rrsets.iter().find(|rrset| rrset.record_type == record_type)
    }

    /// True at the apex of the zone.
    pub fn is_apex(&self) -> bool {
        self.owner == self.apex
    }
}
