//! The sockets of the server and the threads behind them.
//!
//! Each address gets a TCP listener, shared by all TCP threads, and one UDP socket per worker (`SO_REUSEPORT`), among
//! which the kernel spreads the clients. That option would also let a second server of the same user share the port
//! unseen, so a port is first taken without it.

use std::{
    fmt::Write as _,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use thiserror::Error;
use tokio::{runtime, sync::watch};

use crate::{
    counters::Counters,
    respond::{Reply, Responder, Transport},
    store::SnapshotStore,
    tcp,
    udp::{self, Handler},
};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Octets of UDP queries that may wait; the kernel lowers it to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Ports that are tried where any will do: it must be free for UDP and for TCP.
const TRIES: usize = 16;

/// A DNS server on UDP and TCP. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    counters: Counters,
    stop: Arc<AtomicBool>,
    stop_tcp: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

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
    /// The system gives no more threads or file descriptors.
    #[error("cannot start a thread of the server; raise the limits of processes and open files")]
    Thread(#[source] io::Error),
}

impl Server {
    /// Listens on `addresses` (port 0: any port, the same for UDP and TCP) and starts to answer from what `store`
    /// holds, with so many threads for UDP on each address and for TCP (at least one).
    pub fn bind(addresses: &[SocketAddr], workers: usize, store: Arc<SnapshotStore>) -> Result<Self, BindError> {
        Self::bind_with(addresses, workers, move || Live { store: Arc::clone(&store), responder: Responder::new() })
    }

    /// The addresses that are listened on, with the ports that were found for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted so far; stays readable when the server is gone.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stops all threads and closes all sockets; queries that are being answered still are.
    pub fn stop(mut self) {
        self.halt();
    }

    pub(crate) fn bind_with<H: Handler>(
        addresses: &[SocketAddr],
        workers: usize,
        handler: impl Fn() -> H,
    ) -> Result<Self, BindError> {
        if addresses.is_empty() {
            return Err(BindError::NoAddress);
        }
        let workers = workers.max(1);
        let mut listeners = Vec::new();
        let mut sockets = Vec::new();
        let mut bound = Vec::new();
        for &address in addresses {
            let (listener, address, first) = bind_both(address)?;
            // Given up just before the sockets that share the port are made.
            drop(first);
            for _ in 0..workers {
                sockets.push(udp_socket(address, true).map_err(|source| refused(address, "UDP", source))?);
            }
            listeners.push(listener);
            bound.push(address);
        }
        let (stop_tcp, stopped) = watch::channel(false);
        let mut server = Self {
            addresses: bound,
            counters: Counters::default(),
            stop: Arc::default(),
            stop_tcp,
            threads: Vec::new(),
        };
        for socket in sockets {
            server.spawn_udp(socket, handler())?;
        }
        let open = Arc::new(AtomicUsize::new(0));
        for _ in 0..workers {
            let listeners = listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
            let listeners = listeners.map_err(BindError::Thread)?;
            server.spawn_tcp(listeners, handler(), Arc::clone(&open), stopped.clone())?;
        }
        Ok(server)
    }

    fn spawn_udp(&mut self, socket: UdpSocket, mut handler: impl Handler) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Udp);
        let stop = Arc::clone(&self.stop);
        self.spawn("udp", move || udp::serve(&socket, &mut handler, &cells, &stop))
    }

    fn spawn_tcp(
        &mut self,
        listeners: Vec<TcpListener>,
        handler: impl Handler,
        open: Arc<AtomicUsize>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Tcp);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(BindError::Thread)?;
        self.spawn("tcp", move || runtime.block_on(tcp::serve(listeners, handler, cells, open, stop)))
    }

    fn spawn(&mut self, kind: &str, run: impl FnOnce() + Send + 'static) -> Result<(), BindError> {
        let mut name = String::from(kind);
        let _ = write!(name, "-{}", self.threads.len());
        self.threads.push(thread::Builder::new().name(name).spawn(run).map_err(BindError::Thread)?);
        Ok(())
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stop_tcp.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the server ended by a panic");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Answers from the snapshot in force.
struct Live {
    store: Arc<SnapshotStore>,
    responder: Responder,
}

impl Handler for Live {
    #[inline]
    fn handle(&mut self, request: &[u8], transport: Transport) -> Option<Reply<'_>> {
        let snapshot = self.store.load();
        self.responder.respond(&snapshot, request, transport)
    }
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

fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
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
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpStream},
        time::Duration,
    };

    use super::*;

    /// Answers with what was asked, but for one request.
    struct Touchy(Vec<u8>);

    impl Handler for Touchy {
        fn handle(&mut self, request: &[u8], _: Transport) -> Option<Reply<'_>> {
            assert_ne!(request, b"boom", "this panic is what is tried");
            self.0 = request.to_vec();
            Some(Reply { octets: &self.0, rcode: 0, truncated: false })
        }
    }

    #[test]
    fn a_panic_costs_the_query_that_caused_it() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind_with(&[any], 1, || Touchy(Vec::new())).expect("a free port");
        let address = server.addresses()[0];

        let socket = UdpSocket::bind(any).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        for request in ["boom", "boom", "good"] {
            socket.send_to(request.as_bytes(), address).expect("sent");
        }
        let mut reply = [0; 16];
        assert_eq!(socket.recv(&mut reply).expect("an answer"), 4);
        assert_eq!(&reply[..4], b"good");

        let exchange = |request: &[u8]| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(request).expect("sent");
            stream.shutdown(std::net::Shutdown::Write).expect("closed");
            let mut all = Vec::new();
            // A reset is an end as well.
            let _ = stream.read_to_end(&mut all);
            all
        };
        assert_eq!(exchange(b"\x00\x04boom"), b"");
        assert_eq!(exchange(b"\x00\x04good"), b"\x00\x04good");

        let counters = server.counters().clone();
        server.stop();
        assert_eq!((counters.sum().udp.panics, counters.sum().tcp.panics), (2, 1));
    }
}
