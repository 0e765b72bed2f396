//! Making the sockets that are listened on.
//!
//! Each address gets a TCP listener, shared by all TCP threads, and one UDP socket per worker (`SO_REUSEPORT`), among
//! which the kernel spreads the clients. That option would also let a second server of the same user share the port
//! unseen, so a port is first taken without it.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use thiserror::Error;

use crate::{
    streams::{CertificateError, StreamSocket},
    udp,
};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
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

/// Takes a port for both transports that nobody else has; for port 0 the system names one.
pub(crate) fn bind_both(address: SocketAddr) -> Result<(TcpListener, SocketAddr, UdpSocket), BindError> {
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

/// What an address is listened on with for streams.
#[derive(Debug)]
pub(crate) enum BoundStream {
    /// One listener for all threads.
    Connections(TcpListener),
    /// A socket for each thread.
    Datagrams(Vec<UdpSocket>),
}

impl BoundStream {
    /// What one thread needs of it.
    pub(crate) fn for_one_thread(&mut self) -> io::Result<StreamSocket> {
        match self {
            Self::Connections(listener) => listener.try_clone().map(StreamSocket::Connections),
            Self::Datagrams(sockets) => {
                sockets.pop().map(StreamSocket::Datagrams).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }
}

/// Takes a port for connections alone.
pub(crate) fn bind_connections(address: SocketAddr) -> Result<(BoundStream, SocketAddr), BindError> {
    let listener = tcp_listener(address).map_err(|source| refused(address, "TCP", source))?;
    let found = listener.local_addr().map_err(|source| refused(address, "TCP", source))?;
    Ok((BoundStream::Connections(listener), found))
}

/// Takes a port for QUIC: one socket for each thread.
pub(crate) fn bind_datagrams(address: SocketAddr, threads: usize) -> Result<(BoundStream, SocketAddr), BindError> {
    let refused = |source| refused(address, "UDP", source);
    let first = udp_socket(address, false).map_err(refused)?;
    let found = first.local_addr().map_err(refused)?;
    // Given up just before the sockets that share the port are made.
    drop(first);
    let sockets = (0..threads).map(|_| udp_socket(found, true)).collect::<Result<_, _>>().map_err(refused)?;
    Ok((BoundStream::Datagrams(sockets), found))
}

pub(crate) fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
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
    // As much as the system allows; less is no reason not to serve.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    bind(&socket, &address)?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(udp::WAIT))?;
    Ok(socket)
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

pub(crate) fn refused(address: SocketAddr, transport: &'static str, source: io::Error) -> BindError {
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
