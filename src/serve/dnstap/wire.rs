//! Messages of dnstap as protocol buffers: the fields of `dnstap.proto` that an authoritative server fills in
//! (<https://github.com/dnstap/dnstap.pb>). Numbers are those of that file.

use std::net::IpAddr;

use prost::{Enumeration, Message};

use crate::client::Transport;

/// The outermost message.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) identity: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) extra: Option<Vec<u8>>,
    #[prost(message, optional, tag = "14")]
    pub(super) message: Option<Exchanged>,
    #[prost(enumeration = "EnvelopeKind", required, tag = "15")]
    pub(super) kind: i32,
}

/// `Message`: a query or an answer with its circumstances.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exchanged {
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub(super) kind: i32,
    #[prost(enumeration = "SocketFamily", optional, tag = "2")]
    pub(super) socket_family: Option<i32>,
    #[prost(enumeration = "SocketProtocol", optional, tag = "3")]
    pub(super) socket_protocol: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) query_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) query_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    pub(super) query_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    pub(super) query_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(super) query_message: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    pub(super) response_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    pub(super) response_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "14")]
    pub(super) response_message: Option<Vec<u8>>,
}

/// `Dnstap.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum EnvelopeKind {
    Message = 1,
}

/// `Message.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    AuthQuery = 1,
    AuthResponse = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum SocketFamily {
    Inet = 1,
    Inet6 = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum SocketProtocol {
    Udp = 1,
    Tcp = 2,
    Dot = 3,
    Doh = 4,
    Doq = 7,
}

impl From<Transport> for SocketProtocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Dot,
            Transport::Https => Self::Doh,
            Transport::Quic => Self::Doq,
        }
    }
}

/// The family of an address and its octets; IPv4 is IPv4, also where it came to an IPv6 socket.
pub(super) fn address(address: IpAddr) -> (SocketFamily, Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => (SocketFamily::Inet, address.octets().to_vec()),
        IpAddr::V6(address) => (SocketFamily::Inet6, address.octets().to_vec()),
    }
}
