//! A zone that is answered from keys.

use std::sync::Arc;

use mcdns_core::{
    answer::{Elsewhere, OtherQuestion, OtherZone, Records, Soa, Verdict},
    dns::{NameError, OwnerName, Serial},
};

use crate::{answer, store::Keys};

/// What CoreDNS says in every SOA.
const SOA_TTL: u32 = 30;
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86_400;

/// Between which bounds the time that a lease has left counts as a TTL, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLimits {
    /// Smaller ones count as this.
    pub least: u32,
    /// Greater ones count as this.
    pub greatest: u32,
}

/// A zone at one moment. A clone shares everything but its names.
#[derive(Debug, Clone)]
pub struct SkyDnsZone {
    names: Arc<Names>,
    soa: Soa,
    /// None as long as they could not be read.
    keys: Option<Keys>,
    limits: LeaseLimits,
}

/// What is the same at every moment.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) apex: OwnerName,
    /// Where addresses of the apex and name servers are kept.
    pub(crate) apex_dns: OwnerName,
    pub(crate) ns_dns: OwnerName,
    hostmaster: OwnerName,
}

impl Default for LeaseLimits {
    /// CoreDNS' `min-lease-ttl` and `max-lease-ttl`.
    fn default() -> Self {
        Self { least: 30, greatest: 86_400 }
    }
}

impl SkyDnsZone {
    /// A zone that is answered from these keys, of which others may share some.
    ///
    /// # Errors
    ///
    /// Where the apex is so long that there is no room for `apex.dns` in front.
    pub fn new(apex: &OwnerName, keys: Keys, serial: Serial, limits: LeaseLimits) -> Result<Self, NameError> {
        Ok(Self::unread(apex, serial, limits)?.with_keys(keys, serial))
    }

    /// A zone whose keys could not be read yet: every question has an answer that is not known (SERVFAIL). Errors as with
    /// [`SkyDnsZone::new`].
    pub fn unread(apex: &OwnerName, serial: Serial, limits: LeaseLimits) -> Result<Self, NameError> {
        let dns = apex.child(b"dns")?;
        let names = Names {
            apex: apex.clone(),
            apex_dns: dns.child(b"apex")?,
            ns_dns: dns.child(b"ns")?,
            hostmaster: apex.child(b"hostmaster")?,
        };
        let soa = Soa {
            primary: names.ns_dns.clone(),
            contact: names.hostmaster.clone(),
            serial,
            refresh: REFRESH,
            retry: RETRY,
            expire: EXPIRE,
            negative_ttl: SOA_TTL,
            ttl: SOA_TTL,
        };
        Ok(Self { names: Arc::new(names), soa, keys: None, limits })
    }

    /// The same zone with other keys.
    #[must_use]
    pub fn with_keys(&self, keys: Keys, serial: Serial) -> Self {
        let soa = Soa { serial, ..self.soa.clone() };
        Self { names: Arc::clone(&self.names), soa, keys: Some(keys), limits: self.limits }
    }

    /// What it is answered from; none where that could not be read yet.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn limits(&self) -> LeaseLimits {
        self.limits
    }
}

impl OtherZone for SkyDnsZone {
    fn apex(&self) -> &OwnerName {
        &self.names.apex
    }

    fn soa(&self) -> &Soa {
        &self.soa
    }

    fn answer(&self, question: &OtherQuestion<'_>, elsewhere: &mut dyn Elsewhere, records: &mut Records) -> Verdict {
        match &self.keys {
            Some(keys) => answer::answer(self, keys, question, elsewhere, records),
            None => Verdict::Failure,
        }
    }
}
