//! dnstap: copies of queries and answers for other programs (<https://dnstap.info>).

use std::{num::NonZeroU32, path::PathBuf};

/// Which messages are copied, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnstap {
    /// Who takes them.
    pub output: DnstapOutput,
    /// One of so many queries, at random distances; 1 copies them all.
    pub sample: NonZeroU32,
    /// What the receiver shall know this server by, as a rule the same as NSID says.
    pub identity: Option<Box<str>>,
    /// Which software this is; none: it is not said.
    pub version: Option<Box<str>>,
    /// Copy queries (`AUTH_QUERY`).
    pub queries: bool,
    /// Copy answers (`AUTH_RESPONSE`).
    pub responses: bool,
}

/// Who takes copies of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnstapOutput {
    /// A program that listens on this UNIX socket, such as `fstrm_capture` or `dnstap -u`.
    Socket(PathBuf),
    /// This file, which `dnstap-read` prints.
    File(PathBuf),
}
