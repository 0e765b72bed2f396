//! What decides, besides zones, how requests are answered.
//!
//! A [`Policy`] is replaced as a whole when settings are read again ([`PolicyStore`]); [`ListenerOptions`] belong to
//! the listener that a request came to and stay as long as it does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use mcdns_core::dns::OwnerName;

use crate::{access::AccessList, edns::CookieSecrets, notify::Secondary, rate_limit::RateLimit, tsig::KeyRing};

/// Octets of a UDP answer that pass every path without fragments (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;

/// Connections that one client address may have by default: a quarter of those of a listener. A resolver needs a handful,
/// but behind address translation a whole site is one client, and so is a node of Kubernetes that hides its clients
/// (`externalTrafficPolicy: Cluster`). It need not be small: idle connections make room for new ones, and what all
/// connections make us keep has its own limit; it is there so that no single address can have all places.
const CONNECTIONS_PER_CLIENT: usize = 2_500;

/// Everything besides zones that decides how requests are answered.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What NSID says (RFC 5001); none: the option is not answered.
    pub nsid: Option<Box<[u8]>>,
    /// Answer to `version.bind` and `version.server`, CH TXT; none: REFUSED.
    pub version: Option<Box<str>>,
    /// Answer to `id.server` and `hostname.bind`, CH TXT (RFC 4892); none: REFUSED.
    pub identity: Option<Box<str>>,
    /// Secrets of server cookies (RFC 7873); none: the option is ignored.
    pub cookies: Option<CookieSecrets>,
    /// Response rate limiting; none: off.
    pub rate_limit: Option<RateLimit>,
    /// TSIG keys by name.
    pub keys: KeyRing,
    /// What zones say of transfers, by apex.
    pub zones: BTreeMap<OwnerName, ZonePolicy>,
    /// The same for all others.
    pub other_zones: ZonePolicy,
    /// How far answers can be relied on.
    pub condition: Condition,
}

/// How far the answers of this program can be relied on; said to clients by extended errors (RFC 8914).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Condition {
    /// All is well.
    #[default]
    Ready,
    /// Not everything was loaded yet: names outside all zones get SERVFAIL with "Not Ready" (section 4.15) and not REFUSED.
    NotReady,
    /// Sources have not been heard for long: answers carry "Stale Answer" (section 4.4) or "Stale NXDOMAIN Answer"
    /// (section 4.20).
    Stale,
}

/// What one zone says of transfers.
#[derive(Debug, Clone, Default)]
pub struct ZonePolicy {
    /// Who may have the whole zone (AXFR, IXFR).
    pub transfer: AccessList,
    /// Who is told of changes (RFC 1996).
    pub notify: Vec<Secondary>,
}

/// What one listener does differently from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Largest UDP answer, in octets; also what our OPT records announce. From 512 to 4096.
    pub udp_payload: u16,
    /// False: transfers are refused here, whoever asks.
    pub transfers: bool,
    /// False: answers of this listener are not rate limited.
    pub rate_limit: bool,
    /// Connections that may be open at a time.
    pub connections: usize,
    /// The same for one client address.
    pub connections_per_client: usize,
    /// How long a connection may be silent (RFC 7766 section 6.2.3); also what the TCP keepalive option says (RFC 7828).
    pub idle: Duration,
    /// How long a connection may live; a transfer that is under way is finished.
    pub lifetime: Duration,
}

/// The place of the policy in force; clones share it.
#[derive(Debug, Clone, Default)]
pub struct PolicyStore {
    current: Arc<ArcSwap<Policy>>,
}

impl Policy {
    /// What the zone says of transfers.
    pub fn zone(&self, apex: &OwnerName) -> &ZonePolicy {
        self.zones.get(apex).unwrap_or(&self.other_zones)
    }
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            udp_payload: UDP_PAYLOAD,
            transfers: true,
            rate_limit: true,
            connections: 10_000,
            connections_per_client: CONNECTIONS_PER_CLIENT,
            idle: Duration::from_secs(10),
            lifetime: Duration::from_hours(1),
        }
    }
}

impl PolicyStore {
    /// Starts with this one.
    pub fn new(policy: Policy) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(policy)) }
    }

    /// The policy in force, for readers that keep a cache of it.
    pub(crate) fn shared(&self) -> Arc<ArcSwap<Policy>> {
        Arc::clone(&self.current)
    }

    /// The policy in force.
    pub fn load(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Puts a policy in force; requests from now on see it.
    pub fn store(&self, policy: Policy) {
        self.current.store(Arc::new(policy));
    }
}
