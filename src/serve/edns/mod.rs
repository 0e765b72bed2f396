//! EDNS options: what a request asks for, and what an answer says (RFC 6891 section 6.1.2).
//!
//! ```text
//!   options of the request ──► RequestOptions ──┐
//!   policy, listener, client ───────────────────┴──► ReplyOptions ──► options of the answer
//! ```
//!
//! | option | in | what |
//! |---|---|---|
//! | NSID (3) | RFC 5001 | only to who asks |
//! | client subnet (8) | RFC 7871 | echoed with scope 0, since no answer depends on it |
//! | cookie (10) | RFC 7873, RFC 9018 | see [`cookie`] |
//! | TCP keepalive (11) | RFC 7828 | only to who asks, over streams of DNS messages |
//! | padding (12) | RFC 7830, RFC 8467 | only to who pads, on encrypted transports |
//! | extended error (15) | RFC 8914 | where it says more than the RCODE |
//!
//! All others are ignored.

mod cookie;
mod subnet;

use crate::{client::Transport, request::number, wire::KEEPALIVE};

pub(crate) use cookie::Verdict;
pub use cookie::{COOKIE_SECRET, CookieSecrets};
pub(crate) use subnet::Subnet;

const NSID: u16 = 3;
const SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const PADDING: u16 = 12;
const ERROR: u16 = 15;

/// Octets in front of the data of an option: code and length.
const HEAD: usize = 4;
/// Answers are padded to a multiple of so many octets (RFC 8467 section 4.1).
const BLOCK: usize = 468;

/// INFO-CODEs of extended errors (RFC 8914 section 5.2).
pub(crate) const STALE_ANSWER: u16 = 3;
pub(crate) const NOT_READY: u16 = 14;
pub(crate) const PROHIBITED: u16 = 18;
pub(crate) const STALE_NXDOMAIN: u16 = 19;
pub(crate) const NOT_AUTHORITATIVE: u16 = 20;
pub(crate) const NOT_SUPPORTED: u16 = 21;

/// The options of a request that mean something to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RequestOptions<'r> {
    pub(crate) nsid: bool,
    pub(crate) subnet: Option<Subnet<'r>>,
    /// 8 octets of the client's own and up to 32 of ours.
    pub(crate) cookie: Option<&'r [u8]>,
    pub(crate) keepalive: bool,
    pub(crate) padding: bool,
}

/// An option whose content is against its RFC, where that asks for FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadOption;

impl<'r> RequestOptions<'r> {
    /// Reads well-formed options, as [`are_options`] says it. Where cookies are off, the option is ignored (RFC 7873
    /// section 5.2).
    pub(crate) fn read(mut options: &'r [u8], transport: Transport, cookies: bool) -> Result<Self, BadOption> {
        let mut read = Self::default();
        while options.len() >= HEAD {
            let (head, behind) = options.split_at(HEAD);
            let (data, rest) = behind.split_at(usize::from(number(head, 2)).min(behind.len()));
            match number(head, 0) {
                // RFC 5001 section 2.3: queries have no data; what is there is ignored.
                NSID => read.nsid = true,
                SUBNET => read.subnet = Some(Subnet::read(data)?),
                // RFC 7873 section 5.2: the first of several counts, and is a FORMERR if its length is wrong (5.2.2).
                COOKIE if cookies && read.cookie.is_none() => {
                    read.cookie = Some(data).filter(|data| cookie::is_length(data.len()));
                    if read.cookie.is_none() {
                        return Err(BadOption);
                    }
                }
                // RFC 7828 section 3.2.1 has it ignored over UDP; HTTP and QUIC have ways of their own (RFC 9250
                // section 5.5.2). A timeout in a query is of no meaning and ignored, as by BIND.
                KEEPALIVE => read.keepalive = matches!(transport, Transport::Tcp | Transport::Tls),
                PADDING => read.padding = transport.is_encrypted(),
                _ => {}
            }
            options = rest;
        }
        Ok(read)
    }
}

/// What the OPT record of an answer says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplyOptions<'a> {
    pub(crate) cookie: Option<[u8; cookie::WHOLE]>,
    pub(crate) subnet: Option<Subnet<'a>>,
    /// In units of 100 milliseconds.
    pub(crate) keepalive: Option<u16>,
    /// The INFO-CODE of an extended error.
    pub(crate) error: Option<u16>,
    pub(crate) nsid: Option<&'a [u8]>,
    pub(crate) padding: bool,
    /// The request had a good server cookie, so that its source address is not forged.
    pub(crate) trusted: bool,
}

impl ReplyOptions<'_> {
    /// Octets that must not be given to records: the RFCs have cookie and subnet in every answer to who sent them.
    pub(crate) fn needed(&self) -> usize {
        let cookie = self.cookie.map_or(0, |cookie| HEAD + cookie.len());
        cookie + self.subnet.map_or(0, |subnet| HEAD + subnet.length())
    }

    /// Writes the options into `out` from `start` on, the more needed ones first; what does not fit is left out.
    /// Behind `out[..start]` and the options come `reserve` octets of others. Returns how many octets were written.
    pub(crate) fn write(&self, out: &mut [u8], start: usize, reserve: usize) -> u16 {
        let end = out.len().saturating_sub(reserve).min(start + usize::from(u16::MAX));
        let mut at = start;
        if let Some(cookie) = self.cookie {
            at = put(&mut out[..end], at, COOKIE, &cookie);
        }
        if let Some(subnet) = self.subnet {
            at = put(&mut out[..end], at, SUBNET, subnet.echo(&mut [0; subnet::LONGEST]));
        }
        if let Some(keepalive) = self.keepalive {
            at = put(&mut out[..end], at, KEEPALIVE, &keepalive.to_be_bytes());
        }
        if let Some(error) = self.error {
            at = put(&mut out[..end], at, ERROR, &error.to_be_bytes());
        }
        if let Some(nsid) = self.nsid {
            at = put(&mut out[..end], at, NSID, nsid);
        }
        if self.padding && at + HEAD <= end {
            let whole = (at + HEAD + reserve).next_multiple_of(BLOCK).min(end + reserve);
            let data = at + HEAD;
            let zeros = whole - reserve - data;
            out[at..at + 2].copy_from_slice(&PADDING.to_be_bytes());
            out[at + 2..data].copy_from_slice(&u16::try_from(zeros).unwrap_or(0).to_be_bytes());
            out[data..data + zeros].fill(0);
            at = data + zeros;
        }
        u16::try_from(at - start).unwrap_or(0)
    }
}

/// True for a sequence of options: code, length, that many octets.
pub(crate) fn are_options(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        if data.len() < HEAD {
            return false;
        }
        let Some(rest) = data.get(HEAD + usize::from(number(data, 2))..) else { return false };
        data = rest;
    }
    true
}

/// Writes one option if it fits, and says where the next starts.
fn put(out: &mut [u8], at: usize, code: u16, data: &[u8]) -> usize {
    let end = at + HEAD + data.len();
    let (Some(room), Ok(length)) = (out.get_mut(at..end), u16::try_from(data.len())) else { return at };
    room[..2].copy_from_slice(&code.to_be_bytes());
    room[2..HEAD].copy_from_slice(&length.to_be_bytes());
    room[HEAD..].copy_from_slice(data);
    end
}
