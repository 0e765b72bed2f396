//! Making the sockets that are listened on.
//!
//! Each address gets a TCP listener, shared by all TCP threads, and one UDP socket per worker (`SO_REUSEPORT`), among
//! which the kernel spreads the clients. That option would also let a second server of the same user share the port
//! unseen, so a port is first taken without it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use rustix::{
    net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with,
        sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery},
    },
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use thiserror::Error;

use crate::{
    handover::Inherited,
    listener::{Listener, Service},
    packet_info,
    streams::{CertificateError, StreamSocket},
    udp,
};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;
/// Octets of UDP queries that may wait; the kernel lowers it to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Ports that are tried where any will do: it must be free for UDP and for TCP.
const TRIES: usize = 16;

/// Why a server could not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// Nothing to listen on.
    #[error("there is no address to listen on; give at least one")]
    NoAddress,
    /// An address cannot be had.
    #[error("cannot listen on {address} ({transport}): {}", advice(source))]
    Address {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("cannot listen on {address} with its certificate")]
    Certificate {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: Box<CertificateError>,
    },
    /// TLS or QUIC refuse their settings.
    #[error("cannot listen on {address}: {reason}")]
    Protocol {
        /// The address.
        address: SocketAddr,
        /// What the library says.
        reason: String,
    },
    /// The system gives no more threads or file descriptors.
    #[error("cannot start a thread of the server; raise the limits of processes and open files")]
    Thread(#[source] io::Error),
}

/// Lets this process open as many files as the system permits (its hard limit), since every connection is one and
/// shells and service managers start programs with 1,024; says how many that are, none if there is no limit.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What was allowed before is allowed still.
    if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current }
}

/// The sockets of one listener. What it does not speak is empty.
#[derive(Debug)]
pub(crate) struct Opened {
    /// With the port that was found for port 0.
    pub(crate) address: SocketAddr,
    /// One for each UDP thread: so many different sockets, and behind them perhaps the same ones again.
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) udp_sockets: usize,
    /// Shared by all threads of streams.
    pub(crate) tcp: Option<TcpListener>,
    /// One for each thread of streams.
    pub(crate) quic: Vec<UdpSocket>,
}

impl Opened {
    /// What one thread of streams needs of it.
    pub(crate) fn for_one_thread(&mut self) -> io::Result<StreamSocket> {
        match (&self.tcp, self.quic.pop()) {
            (_, Some(socket)) => Ok(StreamSocket::Datagrams(socket)),
            (Some(listener), None) => listener.try_clone().map(StreamSocket::Connections),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Opens the sockets of a listener for so many UDP threads, or takes those that a predecessor had.
///
/// Where the predecessor had more UDP sockets, all of them are taken, because the kernel spreads clients among them
/// and would still fill those that nobody reads; where it had fewer, some get several threads.
pub(crate) fn open(listener: &Listener, workers: usize, inherited: &mut Inherited) -> Result<Opened, BindError> {
    let address = listener.address;
    match listener.service {
        Service::Plain => {
            let tcp = inherited.take_tcp(listener);
            let mut udp = inherited.take_udp(listener);
            if tcp.is_none() && udp.is_empty() {
                return open_both(address, workers);
            }
            let tcp = match tcp {
                Some(tcp) => tcp,
                None => tcp_listener(address).map_err(|source| refused(address, "TCP", source))?,
            };
            if udp.is_empty() {
                udp = shared_udp_sockets(address, workers)?;
            }
            let udp_sockets = udp.len();
            for at in 0..workers.saturating_sub(udp_sockets) {
                udp.push(udp[at].try_clone().map_err(BindError::Thread)?);
            }
            for socket in &udp {
                prepare_udp(socket, address).map_err(|source| refused(address, "UDP", source))?;
            }
            Ok(Opened { address, udp, udp_sockets, tcp: Some(tcp), quic: Vec::new() })
        }
        Service::Tls(_) | Service::Https { .. } => {
            let tcp = match inherited.take_tcp(listener) {
                Some(tcp) => tcp,
                None => tcp_listener(address).map_err(|source| refused(address, "TCP", source))?,
            };
            let address = tcp.local_addr().map_err(|source| refused(address, "TCP", source))?;
            Ok(Opened { address, udp: Vec::new(), udp_sockets: 0, tcp: Some(tcp), quic: Vec::new() })
        }
        // Each process has its own QUIC sockets: a connection's state cannot be handed over.
        Service::Quic(_) => {
            let (quic, address) = open_quic(address, workers, inherited.is_nothing())?;
            Ok(Opened { address, udp: Vec::new(), udp_sockets: 0, tcp: None, quic })
        }
    }
}

fn open_both(address: SocketAddr, workers: usize) -> Result<Opened, BindError> {
    let (tcp, address, first) = bind_both(address)?;
    // Given up just before the sockets that share the port are made.
    drop(first);
    let udp = shared_udp_sockets(address, workers)?;
    Ok(Opened { address, udp, udp_sockets: workers, tcp: Some(tcp), quic: Vec::new() })
}

/// A socket for each thread. A predecessor still has its own on the same port.
fn open_quic(address: SocketAddr, threads: usize, alone: bool) -> Result<(Vec<UdpSocket>, SocketAddr), BindError> {
    let refused = |source| refused(address, "UDP", source);
    let found = if alone {
        // Given up just before the sockets that share the port are made.
        udp_socket(address, false).and_then(|first| first.local_addr()).map_err(refused)?
    } else {
        address
    };
    Ok((shared_udp_sockets(found, threads)?, found))
}

fn shared_udp_sockets(address: SocketAddr, workers: usize) -> Result<Vec<UdpSocket>, BindError> {
    (0..workers).map(|_| udp_socket(address, true).map_err(|source| refused(address, "UDP", source))).collect()
}

/// Takes a port for both transports that nobody else has; for port 0 the system names one.
fn bind_both(address: SocketAddr) -> Result<(TcpListener, SocketAddr, UdpSocket), BindError> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = tcp_listener(address).map_err(|source| refused(address, "TCP", source))?;
        let found = listener.local_addr().map_err(|source| refused(address, "TCP", source))?;
        match udp_socket(found, false) {
            Ok(first) => return Ok((listener, found, first)),
            Err(source) if tries == 0 => return Err(refused(found, "UDP", source)),
            Err(_) => {}
        }
    }
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address, SocketType::STREAM)?;
    // A port whose last connections are still being forgotten (TIME_WAIT) is free.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(crate) fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = new_socket(address, SocketType::DGRAM)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    let socket = UdpSocket::from(socket);
    prepare_udp(&socket, address)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// From now on datagrams for this socket are refused, so that clients go elsewhere at once; what the kernel has
/// delivered stays in it. The socket does not know any peer but itself.
pub(crate) fn let_no_more_in(socket: &UdpSocket) {
    if let Ok(mut address) = socket.local_addr() {
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        // Where it cannot be done, a few queries that come in late are lost with the socket.
        let _ = connect(socket, &address);
    }
}

/// What a UDP socket needs whoever has made it.
fn prepare_udp(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    // As much as the system allows; less is no reason not to serve.
    let _ = sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER);
    // Answers fit every path as a rule. What strangers claim of a path by ICMP must not have us send fragments, into
    // which others could slip theirs (RFC 9715); so do BIND, NSD and Knot.
    let _ = match address {
        SocketAddr::V4(_) => sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT),
        SocketAddr::V6(_) => sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT),
    };
    if packet_info::is_wildcard(address) {
        packet_info::enable(socket, address)?;
    }
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(udp::WAIT))
}

fn new_socket(address: SocketAddr, socket_type: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, socket_type, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        // So that `0.0.0.0` and `[::]` can both be listened on.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

fn refused(address: SocketAddr, transport: &'static str, source: io::Error) -> BindError {
    BindError::Address { address, transport, source }
}

/// What can be done about it.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port; stop it (`ss -lntup` shows which one it is) or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address; `ip address` shows those it has",
        _ => "the system refuses it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_path_by_icmp_makes_no_fragments() {
        let v4 = udp_socket((Ipv4Addr::LOCALHOST, 0).into(), true).expect("a socket");
        assert_eq!(sockopt::ip_mtu_discover(&v4), Ok(Ipv4PathMtuDiscovery::OMIT));
        let v6 = udp_socket((Ipv6Addr::LOCALHOST, 0).into(), true).expect("a socket");
        assert_eq!(sockopt::ipv6_mtu_discover(&v6), Ok(Ipv6PathMtuDiscovery::OMIT));
    }
}
