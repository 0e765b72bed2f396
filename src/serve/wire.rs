//! Numbers of the wire format that more than one module needs (RFC 1035 section 4.1, RFC 6891 section 6.1).

pub(crate) use mcdns_core::dns::MAX_NAME;

/// Type, class, TTL and RDLENGTH of a record.
pub(crate) const RECORD_HEAD: usize = 10;
/// Octets of an OPT record without options.
pub(crate) const OPT: usize = 11;
/// The highest octet that a compression pointer reaches (RFC 1035 section 4.1.4).
pub(crate) const FARTHEST: usize = 0x3fff;

/// Header bits of the third octet (RFC 1035 section 4.1.1).
pub(crate) const QR: u8 = 0x80;
pub(crate) const OPCODE: u8 = 0x78;
pub(crate) const AA: u8 = 0x04;
pub(crate) const TC: u8 = 0x02;
pub(crate) const RD: u8 = 0x01;
/// Of the fourth.
pub(crate) const CD: u8 = 0x10;

/// EDNS option edns-tcp-keepalive (RFC 7828).
pub(crate) const KEEPALIVE: u16 = 11;
