//! The server: its listeners and the threads behind them.

use std::{
    fmt::Write as _,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use tokio::{runtime, sync::watch};

use crate::{
    client::{Client, Transport},
    counters::Counters,
    listener::{Listener, Service},
    policy::{Policy, PolicyStore},
    respond::{Answer, Responder},
    sockets::{BindError, BoundStream, bind_both, bind_connections, bind_datagrams, refused, udp_socket},
    store::SnapshotStore,
    streams::{self, CertificateError, Certificates, SetupError, StreamListener, StreamSetup},
    tsig::TsigFailures,
    udp::{self, Handler},
};

/// Time for what is under way when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// A DNS server on UDP and over streams. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    counters: Counters,
    tsig_failures: Arc<TsigFailures>,
    certificates: Certificates,
    stop: Arc<AtomicBool>,
    /// How long what is under way may take.
    stop_streams: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on `listeners` and starts to answer from what `store` holds under `policy`, with so many threads for
    /// UDP on each address and for all streams (at least one).
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

    /// Reads all certificates again, without a word to connections that are open. One whose new files are wrong stays
    /// as it was, and what is wrong is returned.
    pub fn reload_certificates(&self) -> Vec<CertificateError> {
        self.certificates.reload()
    }

    /// The same for certificates whose files were changed since they were read last; cheap enough to be called every
    /// few seconds. A fault is returned once for each change.
    pub fn reload_changed_certificates(&self) -> Vec<CertificateError> {
        self.certificates.reload_changed()
    }

    /// Stops all threads and closes all sockets; queries that are being answered still are, and transfers have a few
    /// seconds to end.
    pub fn stop(self) {
        self.stop_within(GRACE);
    }

    /// Stops: nothing new is taken, open connections are told to end and have this time for what is under way.
    pub fn stop_within(mut self, grace: Duration) {
        self.halt(grace);
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
        let mut certificates = Certificates::default();
        let mut streams = Vec::new();
        let mut sockets = Vec::new();
        let mut bound = Vec::new();
        for listener in listeners {
            let setup = stream_setup(listener, &mut certificates)?;
            let (stream, address) = match &listener.service {
                Service::Plain => {
                    let (stream, address, first) = bind_both(listener.address)?;
                    // Given up just before the sockets that share the port are made.
                    drop(first);
                    for _ in 0..workers {
                        let socket = udp_socket(address, true).map_err(|source| refused(address, "UDP", source))?;
                        sockets.push((listener, socket));
                    }
                    (BoundStream::Connections(stream), address)
                }
                Service::Tls(_) | Service::Https { .. } => bind_connections(listener.address)?,
                Service::Quic(_) => bind_datagrams(listener.address, workers)?,
            };
            streams.push((listener, setup, stream));
            bound.push(address);
        }
        let (stop_streams, stopped) = watch::channel(None);
        let mut server = Self {
            addresses: bound,
            counters: Counters::default(),
            tsig_failures: Arc::default(),
            certificates,
            stop: Arc::default(),
            stop_streams,
            threads: Vec::new(),
        };
        for (listener, socket) in sockets {
            server.spawn_udp(socket, handler(listener))?;
        }
        for _ in 0..workers {
            let mut on_thread = Vec::new();
            for (listener, setup, stream) in &mut streams {
                let cells = server.counters.add_thread(setup.transport());
                let socket = stream.for_one_thread().map_err(BindError::Thread)?;
                on_thread.push(StreamListener { socket, setup: setup.clone(), handler: handler(listener), cells });
            }
            server.spawn_streams(on_thread, stopped.clone())?;
        }
        Ok(server)
    }

    fn spawn_udp(&mut self, socket: UdpSocket, mut handler: impl Handler) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Udp);
        let stop = Arc::clone(&self.stop);
        self.spawn("udp", move || udp::serve(&socket, &mut handler, &cells, &stop))
    }

    fn spawn_streams<H: Handler>(
        &mut self,
        listeners: Vec<StreamListener<H>>,
        stop: watch::Receiver<Option<Duration>>,
    ) -> Result<(), BindError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(BindError::Thread)?;
        self.spawn("streams", move || runtime.block_on(streams::serve(listeners, stop)))
    }

    fn spawn(&mut self, kind: &str, run: impl FnOnce() + Send + 'static) -> Result<(), BindError> {
        let mut name = String::from(kind);
        let _ = write!(name, "-{}", self.threads.len());
        self.threads.push(thread::Builder::new().name(name).spawn(run).map_err(BindError::Thread)?);
        Ok(())
    }

    fn halt(&mut self, grace: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        // A grace time that was given stays.
        self.stop_streams.send_if_modified(|stop| stop.is_none() && stop.replace(grace).is_none());
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
        self.halt(Duration::ZERO);
    }
}

fn stream_setup(listener: &Listener, certificates: &mut Certificates) -> Result<StreamSetup, BindError> {
    let address = listener.address;
    StreamSetup::new(listener, certificates).map_err(|error| match error {
        SetupError::Certificate(source) => BindError::Certificate { address, source: Box::new(source) },
        SetupError::Protocol(reason) => BindError::Protocol { address, reason },
    })
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
