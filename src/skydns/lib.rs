//! SkyDNS: records of DNS as keys and values of etcd, as CoreDNS' plug-in `etcd` reads and external-dns writes them.
//!
//! ```text
//!   key, value ──► Keys (a persistent map; a change costs the same in a store of any size)
//!                    │ clone, for nothing
//!                    ▼
//!   question ──► SkyDnsZone ──► lookup: which services? ──► answer: which records? ──► Records
//!                                 prefix, group, wildcard      A, AAAA, CNAME chains, SRV, MX, TXT, PTR, NS, SOA
//! ```
//!
//! There is no I/O here. A source fills [`Keys`], publishers ask [`Prefix`] for keys and [`Service`] for values, and the
//! server has a [`SkyDnsZone`] in its snapshot.
//!
//! Answers are those of CoreDNS 1.14, question for question, with these exceptions, all for the better of whoever asks:
//!
//! * A value that is no service costs itself alone. (CoreDNS answers SERVFAIL to every question whose range it is in.) Where
//!   there is nothing else, the answer is SERVFAIL here too. The same holds for a name server that is no address.
//! * A record is in an answer once (RFC 2181 section 5), names are compared without case, and a host that is no name gives
//!   no record.
//! * The serial of the SOA moves when the content does, not with the time of day.
//! * With a prefix of several parts, names that are made from keys have the right labels.
//! * A name in a zone that has an alias to a name outside is answered with the alias and what other zones of this server
//!   say; nobody else is asked.
//! * A question costs what its answer is worth: keys that cannot have a record of its type are gone round, and where the
//!   answer is longer than the message, or more keys were looked at than anything in a message could need, the rest of it
//!   is left out (TC).

mod answer;
mod key;
mod kinds;
mod lookup;
mod reverse;
mod service;
mod store;
mod tree;
mod zone;

pub use answer::text_rdata;
pub use key::{KeyError, Prefix, Target, federation_label, is_target_label};
pub use reverse::{NetworkError, reverse_zones};
pub use service::{Service, ValueError};
pub use store::{Fault, Keys, Lease, Revision};
pub use zone::{LeaseLimits, SkyDnsZone};
