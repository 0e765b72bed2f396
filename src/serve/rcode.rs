//! RCODEs by name (RFC 6895 section 2.3).

pub(crate) const NOERROR: u16 = 0;
pub(crate) const FORMERR: u16 = 1;
pub(crate) const SERVFAIL: u16 = 2;
pub(crate) const NXDOMAIN: u16 = 3;
pub(crate) const NOTIMP: u16 = 4;
pub(crate) const REFUSED: u16 = 5;
pub(crate) const YXDOMAIN: u16 = 6;
pub(crate) const NOTAUTH: u16 = 9;
pub(crate) const BADVERS: u16 = 16;
/// RFC 7873 section 8.
pub(crate) const BADCOOKIE: u16 = 23;
