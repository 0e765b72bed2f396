//! What the real external-dns writes: keys that CoreDNS and mcdns answer alike, and records in Route 53 that mcdns takes
//! over without a fight.

#![allow(clippy::panic, reason = "helpers of tests fail so")]

mod coredns;
mod route53;
