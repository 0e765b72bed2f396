//! The server: its listeners and the threads behind them.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use arc_swap::{ArcSwap, Cache};
use tokio::{runtime, sync::watch};

use crate::{
    client::{Client, Transport},
    counters::Counters,
    listener::Listener,
    policy::{Policy, PolicyStore},
    respond::{Answer, Responder},
    sockets::{BindError, bind_both, refused, udp_socket},
    store::SnapshotStore,
    tcp,
    tsig::TsigFailures,
    udp::{self, Handler},
};

/// A DNS server on UDP and TCP. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    counters: Counters,
    tsig_failures: Arc<TsigFailures>,
    stop: Arc<AtomicBool>,
    stop_tcp: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on `listeners` and starts to answer from what `store` holds under `policy`, with so many threads for
    /// UDP on each address and for TCP (at least one).
    pub fn bind(
        listeners: &[Listener],
        workers: usize,
        store: &Arc<SnapshotStore>,
        policy: &PolicyStore,
    ) -> Result<Self, BindError> {
        let failures = Arc::<TsigFailures>::default();
        let mut server = Self::bind_with(listeners, workers, |listener| Live {
            store: Arc::clone(store),
            policy: Cache::new(policy.shared()),
            responder: Responder::new(listener.options.clone()).with_tsig_failures(Arc::clone(&failures)),
        })?;
        server.tsig_failures = failures;
        Ok(server)
    }

    /// The addresses that are listened on, with the ports that were found for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted so far; stays readable when the server is gone. The query log and dnstap are found there too.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Signed requests that were refused; stays readable when the server is gone.
    pub fn tsig_failures(&self) -> &Arc<TsigFailures> {
        &self.tsig_failures
    }

    /// Stops all threads and closes all sockets; queries that are being answered still are.
    pub fn stop(mut self) {
        self.halt();
    }

    pub(crate) fn bind_with<H: Handler>(
        listeners: &[Listener],
        workers: usize,
        handler: impl Fn(&Listener) -> H,
    ) -> Result<Self, BindError> {
        if listeners.is_empty() {
            return Err(BindError::NoAddress);
        }
        let workers = workers.max(1);
        let mut streams = Vec::new();
        let mut sockets = Vec::new();
        let mut bound = Vec::new();
        for listener in listeners {
            let (stream, address, first) = bind_both(listener.address)?;
            // Given up just before the sockets that share the port are made.
            drop(first);
            for _ in 0..workers {
                sockets.push((listener, udp_socket(address, true).map_err(|source| refused(address, "UDP", source))?));
            }
            streams.push((listener, stream));
            bound.push(address);
        }
        let (stop_tcp, stopped) = watch::channel(false);
        let mut server = Self {
            addresses: bound,
            counters: Counters::default(),
            tsig_failures: Arc::default(),
            stop: Arc::default(),
            stop_tcp,
            threads: Vec::new(),
        };
        for (listener, socket) in sockets {
            server.spawn_udp(socket, handler(listener))?;
        }
        let open = Arc::new(AtomicUsize::new(0));
        for _ in 0..workers {
            let streams = streams.iter().map(|(listener, stream)| Ok((stream.try_clone()?, handler(listener))));
            let streams = streams.collect::<Result<_, _>>().map_err(BindError::Thread)?;
            server.spawn_tcp(streams, Arc::clone(&open), stopped.clone())?;
        }
        Ok(server)
    }

    fn spawn_udp(&mut self, socket: UdpSocket, mut handler: impl Handler) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Udp);
        let stop = Arc::clone(&self.stop);
        self.spawn("udp", move || udp::serve(&socket, &mut handler, &cells, &stop))
    }

    fn spawn_tcp<H: Handler>(
        &mut self,
        listeners: Vec<(TcpListener, H)>,
        open: Arc<AtomicUsize>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Tcp);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(BindError::Thread)?;
        self.spawn("tcp", move || runtime.block_on(tcp::serve(listeners, cells, open, stop)))
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
        self.counters.taps().close();
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
    policy: Cache<Arc<ArcSwap<Policy>>, Arc<Policy>>,
    responder: Responder,
}

impl Handler for Live {
    #[inline]
    fn handle(&mut self, request: &[u8], client: &Client) -> Answer<'_> {
        let snapshot = self.store.load();
        self.responder.respond(&snapshot, self.policy.load(), request, client)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpStream},
        time::Duration,
    };

    use mcdns_core::dns::RecordType;

    use super::*;
    use crate::respond::Reply;

    /// Answers with what was asked, but for one request.
    struct Touchy(Vec<u8>);

    impl Handler for Touchy {
        fn handle(&mut self, request: &[u8], _: &Client) -> Answer<'_> {
            assert_ne!(request, b"boom", "this panic is what is tried");
            self.0 = request.to_vec();
            Answer::Message(Reply { octets: &self.0, rcode: 0, truncated: false, record_type: RecordType(0), zone: 0 })
        }
    }

    #[test]
    fn a_panic_costs_the_query_that_caused_it() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = [Listener::plain(any)];
        let server = Server::bind_with(&listeners, 1, |_| Touchy(Vec::new())).expect("a free port");
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
