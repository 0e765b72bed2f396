//! Sockets and messages: the authoritative DNS server of mcdns.
//!
//! ```text
//!   UDP sockets, one per core ─┐              ┌─ SnapshotStore ◄── patches, from the one thread that computes
//!                              ├─► Responder ◄┘     (one atomic pointer; readers never wait)
//!   TCP listeners ─────────────┘      │
//!                                     └─► answer, or nothing (RFC 1034 4.3.2, 2308, 4592, 6672, 6891, 9471)
//! ```
//!
//! [`Responder`] is a function from a snapshot and a request to an answer: it takes no lock and allocates nothing.
//! [`Server`] has the sockets. A query never outlives its snapshot, and no snapshot is held while a socket is waited
//! for, so that an old one is given back at once. A panic costs the query that caused it and is counted.
//!
//! Refused for now: zone transfers, TSIG, updates, notifies (RCODE REFUSED or NOTIMP).

mod access;
mod client;
mod cookie;
mod counters;
mod handover;
mod listener;
mod message;
mod notify;
mod packet_info;
mod policy;
mod privileges;
mod rate_limit;
mod request;
mod respond;
mod server;
mod sockets;
mod store;
mod tcp;
mod transfer;
mod tsig;
mod udp;

pub use access::{AccessList, AccessRule, Network};
pub use client::{Client, Transport};
pub use cookie::{COOKIE_SECRET, CookieSecrets};
pub use counters::{Counters, RCODES, Totals, TransportTotals};
pub use handover::{HandOver, HandOverError, Inherited, PATIENCE, Predecessor};
pub use listener::{CertificateFiles, Listener, Service};
pub use notify::Secondary;
pub use policy::{ListenerOptions, Policy, PolicyStore, UDP_PAYLOAD, ZonePolicy};
pub use privileges::{PrivilegeError, drop_privileges};
pub use rate_limit::{RateLimit, RateLimitTotals};
pub use respond::{Answer, Reply, Responder};
pub use server::Server;
pub use sockets::BindError;
pub use store::SnapshotStore;
pub use transfer::Transfer;
pub use tsig::{Algorithm, Key, KeyRing, Signer};
