//! Who asks, and over what.

use std::net::SocketAddr;

/// How a request came, which decides how long its answer may be and which EDNS options have a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram: 512 octets, or what EDNS says up to what the listener allows.
    Udp,
    /// A stream: 65,535 octets.
    Tcp,
    /// A stream under TLS (RFC 7858).
    Tls,
    /// HTTP under TLS (RFC 8484); one message in the body of each request.
    Https,
    /// A QUIC stream for each message (RFC 9250).
    Quic,
}

impl Transport {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic];

    /// As settings, metrics and logs say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "dot",
            Self::Https => "doh",
            Self::Quic => "doq",
        }
    }

    /// True where nobody between sees the messages, so that padding has a use (RFC 7830).
    pub fn is_encrypted(self) -> bool {
        !matches!(self, Self::Udp | Self::Tcp)
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Where from; forged addresses are possible over UDP alone.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
}
