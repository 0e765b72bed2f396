//! Telling secondaries that a zone has changed (RFC 1996).

use std::net::SocketAddr;

use mcdns_core::dns::OwnerName;

/// A server that is told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secondary {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that the notification is signed with.
    pub key: Option<OwnerName>,
}
