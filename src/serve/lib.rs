//! Sockets and messages: the authoritative DNS server of mcdns.
//!
//! ```text
//!   UDP sockets, one per core ─┐              ┌─ SnapshotStore ◄── patches, from the one thread that computes
//!                              ├─► Responder ◄┘     (one atomic pointer; readers never wait)
//!   streams: TCP, TLS,         │
//!   HTTPS, QUIC ───────────────┘      │
//!                                     └─► answer, or nothing (RFC 1034 4.3.2, 2308, 4592, 6672, 6891, 9471)
//! ```
//!
//! [`Responder`] is a function from a snapshot and a request to an answer: for a plain query it takes no lock and
//! allocates nothing.
//! [`Server`] has the sockets. A query never outlives its snapshot, and no snapshot is held while a socket is waited
//! for, so that an old one is given back at once. A panic costs the query that caused it and is counted.
//!
//! What the server does is told by [`Counters`], which every thread keeps for itself, and by samples: a query log and
//! dnstap ([`TapStore`]), written by threads of their own.
//!
//! Refused for now: updates (RCODE NOTIMP).

mod access;
mod client;
mod clock;
mod counters;
mod dnstap;
mod edns;
mod handover;
mod listener;
mod message;
mod notify;
mod packet_info;
mod policy;
mod ports;
mod privileges;
mod query_log;
mod rate_limit;
mod rcode;
mod request;
mod respond;
mod server;
mod sockets;
mod store;
mod streams;
mod taps;
mod transfer;
mod tsig;
mod udp;
mod wire;

pub use access::{AccessList, AccessRule, Network};
pub use client::{Client, Transport};
pub use clock::Clock;
pub use counters::{
    Cells, Counters, LATENCY_BOUNDS, RCODES, Received, SIZE_BOUNDS, Totals, TransportTotals, ZoneOutcome, ZoneTotals,
};
pub use dnstap::{Dnstap, DnstapOutput};
pub use edns::{COOKIE_SECRET, CookieSecrets};
pub use handover::{HandOver, HandOverError, Inherited, PATIENCE, Predecessor};
pub use listener::{CertificateFiles, Listener, Service};
pub use notify::{Notifications, NotifyTotals, Secondary};
pub use policy::{Condition, ListenerOptions, Policy, PolicyStore, UDP_PAYLOAD, ZonePolicy};
pub use ports::Ports;
pub use privileges::{PrivilegeError, drop_privileges};
pub use query_log::{LineFormat, QueryLog};
pub use rate_limit::{RateLimit, RateLimitTotals};
pub use rcode::rcode_name;
pub use respond::{Answer, Reply, Responder};
pub use server::{Server, Vitals};
pub use sockets::{BindError, raise_file_limit};
pub use store::{SnapshotReader, SnapshotStore};
pub use streams::CertificateError;
pub use taps::{TapError, TapStore, TapTotals};
pub use transfer::{PublishedZones, Transfer, TransferHistory, TransferLimits, TransferTotals};
pub use tsig::{
    Algorithm, AnswerCheck, AnswerError, Key, KeyRing, MacLengthError, Refusal, Signer, TsigError, TsigFailures,
    TsigTotals, UnknownAlgorithm,
};
