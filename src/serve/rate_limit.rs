//! Response rate limiting, as NSD and BIND do it.

/// How many answers a client network gets; it answers over UDP alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Answers of one kind to one client network in a second.
    pub responses_per_second: u32,
    /// One of so many answers above the limit is sent with TC set and no records, so that real clients come back over
    /// TCP; 0 drops all of them, 1 none.
    pub slip: u32,
    /// Bits of an IPv4 address that are one client network.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
}
