//! The words of DNS as types: names, RRsets, record data, serials, master files.
//!
//! Everything is kept in wire format (RFC 1035 section 3), because that is what the answer path sends and
//! what compares in the order of RFC 4034 section 6; presentation format is for the edges.

mod name;
mod name_ref;
mod rdata;
mod record_type;
mod rrset;
mod serial;

pub mod master;

pub(crate) use name::is_ldh_label;
pub use name::{HostNameError, MAX_NAME, NameError, OwnerName};
pub use name_ref::NameRef;
pub use rdata::{RdataError, display_rdata, parse_rdata, parse_rdata_text, rdata_target, write_rdata};
pub use record_type::{RecordType, RecordTypeError};
pub use rrset::{Rrset, Ttl};
pub use serial::Serial;
