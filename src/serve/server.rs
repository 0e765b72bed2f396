//! The server: its listeners and the threads behind them.

use std::{
    fmt::Write as _,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use tokio::{runtime, sync::watch};

use crate::{
    client::{Client, Transport},
    counters::Counters,
    handover::{Inherited, Offer},
    listener::Listener,
    notify::{Notifications, Notifier},
    policy::{Policy, PolicyStore},
    ports::{Port, Ports},
    rate_limit::{RateLimit, RateLimitTotals, RateLimiter},
    respond::{Answer, Responder},
    sockets::BindError,
    store::{SnapshotReader, SnapshotStore},
    streams::{self, CertificateError, Certificates, StreamListener},
    tsig::TsigFailures,
    udp::{self, Handler, Phase, Worker},
};

/// Time for what is under way when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// A DNS server on UDP and over streams. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    counters: Counters,
    vitals: Vitals,
    notifier: Option<Notifier>,
    certificates: Certificates,
    phase: Arc<Phase>,
    /// How long what is under way may take.
    stop_streams: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
    /// All sockets once more, for a successor; closed when the server ends.
    offer: Arc<Offer>,
}

/// What a server tells of itself beside its [`Counters`]; a clone sees the same, and stays readable when the server is
/// gone.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    limiter: Arc<RateLimiter>,
    tsig_failures: Arc<TsigFailures>,
    notifications: Arc<Notifications>,
    lost: Arc<AtomicUsize>,
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
        Self::bind_inheriting(listeners, workers, store, policy, &mut Inherited::default())
    }

    /// The same with the sockets of a predecessor, as far as `listeners` has their addresses; the others stay in
    /// `inherited` and are closed with it.
    pub fn bind_inheriting(
        listeners: &[Listener],
        workers: usize,
        store: &Arc<SnapshotStore>,
        policy: &PolicyStore,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        Ports::open(listeners, workers, inherited)?.start(store, policy, inherited)
    }

    /// The addresses that are listened on, with the ports that were found for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted so far; stays readable when the server is gone. The query log and dnstap are found there too.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it tells of itself otherwise.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
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

    /// Stops all threads and closes all sockets. Queries that the kernel has delivered are answered, for a second at
    /// most, connections that it has taken are served, and transfers have a few seconds to end.
    pub fn stop(self) {
        self.stop_within(GRACE);
    }

    /// The same, with this time for what is under way on open connections, which are told to end.
    pub fn stop_within(mut self, grace: Duration) {
        self.phase.drain();
        self.end_threads(grace);
    }

    /// Stops all threads without emptying the sockets, which a successor reads from now on.
    pub fn retire(mut self) {
        self.phase.retire();
        self.end_threads(GRACE);
    }

    /// All sockets that a successor can go on with.
    pub(crate) fn offer(&self) -> Weak<Offer> {
        Arc::downgrade(&self.offer)
    }

    pub(crate) fn phase(&self) -> Arc<Phase> {
        Arc::clone(&self.phase)
    }

    fn spawn_udp(&mut self, socket: UdpSocket, handler: impl Handler) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Udp);
        let worker =
            Worker { handler, cells, limiter: Arc::clone(&self.vitals.limiter), phase: Arc::clone(&self.phase) };
        self.spawn("udp", move || udp::serve(&socket, worker))
    }

    fn spawn_streams<H: Handler>(
        &mut self,
        listeners: Vec<StreamListener<H>>,
        stop: watch::Receiver<Option<Duration>>,
    ) -> Result<(), BindError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(BindError::Thread)?;
        let phase = Arc::clone(&self.phase);
        self.spawn("streams", move || runtime.block_on(streams::serve(listeners, stop, &phase)))
    }

    fn spawn(&mut self, kind: &str, run: impl FnOnce() + Send + 'static) -> Result<(), BindError> {
        let mut name = String::from(kind);
        let _ = write!(name, "-{}", self.threads.len());
        let watched = Watched { phase: Arc::clone(&self.phase), lost: Arc::clone(&self.vitals.lost) };
        let run = move || {
            let _watched = watched;
            run();
        };
        self.threads.push(thread::Builder::new().name(name).spawn(run).map_err(BindError::Thread)?);
        Ok(())
    }

    fn end_threads(&mut self, grace: Duration) {
        drop(self.notifier.take());
        // So that each listener is closed by the last thread that lets go of it, which has emptied it.
        self.offer = Arc::default();
        // A grace time that was given stays.
        self.stop_streams.send_if_modified(|stop| stop.is_none() && stop.replace(grace).is_none());
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread.
            let _ = thread.join();
        }
        self.counters.taps().close();
    }
}

impl Vitals {
    /// What rate limiting did so far. Answers that it dropped count as none ([`TransportTotals::dropped`]); those that
    /// slipped count as what they are, truncated.
    ///
    /// [`TransportTotals::dropped`]: crate::TransportTotals::dropped
    pub fn rate_limited(&self) -> RateLimitTotals {
        self.limiter.totals()
    }

    /// Threads that ended although nobody told them to; more than 0 means that some queries may get no answer.
    pub fn lost_threads(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Signed requests that were refused.
    pub fn tsig_failures(&self) -> &TsigFailures {
        &self.tsig_failures
    }

    /// How secondaries were told of changes.
    pub fn notifications(&self) -> &Notifications {
        &self.notifications
    }
}

impl Ports {
    /// Starts to answer from what `store` holds under `policy`. `inherited` is what they were opened with.
    pub fn start(
        self,
        store: &Arc<SnapshotStore>,
        policy: &PolicyStore,
        inherited: &mut Inherited,
    ) -> Result<Server, BindError> {
        let vitals = Vitals::default();
        let mut server = self.start_with(vitals.clone(), inherited, |listener| Live {
            store: Arc::clone(store),
            snapshots: store.reader(),
            policy: Cache::new(policy.shared()),
            responder: Responder::new(listener.options.clone())
                .with_transfers(Arc::clone(store.transfers()))
                .with_tsig_failures(Arc::clone(&vitals.tsig_failures)),
            rate_limit: listener.options.rate_limit,
        })?;
        let counts = Arc::clone(&vitals.notifications);
        server.notifier = Some(Notifier::start(store, policy, counts).map_err(BindError::Thread)?);
        Ok(server)
    }

    fn start_with<H: Handler>(
        self,
        vitals: Vitals,
        inherited: &mut Inherited,
        handler: impl Fn(&Listener) -> H,
    ) -> Result<Server, BindError> {
        let Self { mut opened, workers, certificates, offer } = self;
        let (stop_streams, stopped) = watch::channel(None);
        let mut server = Server {
            addresses: opened.iter().map(|port| port.sockets.address).collect(),
            counters: Counters::default(),
            vitals,
            notifier: None,
            certificates,
            phase: Arc::default(),
            stop_streams,
            threads: Vec::new(),
            offer: Arc::new(offer),
        };
        inherited.share_with(&server.phase);
        for port in &mut opened {
            for socket in port.sockets.udp.drain(..) {
                server.spawn_udp(socket, handler(&port.listener))?;
            }
        }
        for _ in 0..workers {
            let mut on_thread = Vec::new();
            for Port { listener, setup, sockets } in &mut opened {
                let cells = server.counters.add_thread(setup.transport());
                let socket = sockets.for_one_thread().map_err(BindError::Thread)?;
                on_thread.push(StreamListener { socket, setup: setup.clone(), handler: handler(listener), cells });
            }
            server.spawn_streams(on_thread, stopped.clone())?;
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.phase.is_serving() {
            self.phase.drain();
        }
        self.end_threads(Duration::ZERO);
    }
}

/// Reports a thread that ends although it shall serve, by a panic or otherwise.
struct Watched {
    phase: Arc<Phase>,
    lost: Arc<AtomicUsize>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.phase.is_serving() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            let name = thread::current().name().unwrap_or_default().to_owned();
            tracing::error!(thread = name, panicking = thread::panicking(), "a thread of the server ended");
        }
    }
}

/// Answers from the snapshot in force.
struct Live {
    store: Arc<SnapshotStore>,
    snapshots: SnapshotReader,
    policy: Cache<Arc<ArcSwap<Policy>>, Arc<Policy>>,
    responder: Responder,
    /// False: this listener is not rate limited.
    rate_limit: bool,
}

impl Handler for Live {
    #[inline]
    fn handle(&mut self, request: &[u8], client: &Client) -> Answer<'_> {
        // Streams wait in many places, and keep no snapshot meanwhile.
        let moment;
        let snapshot = if client.transport == Transport::Udp {
            self.snapshots.load()
        } else {
            moment = self.store.load();
            &moment
        };
        self.responder.respond(snapshot, self.policy.load(), request, client)
    }

    fn permit_transfers(&mut self, permitted: bool) {
        self.responder.permit_transfers(permitted);
    }

    fn rest(&mut self) {
        self.snapshots.release();
    }

    #[inline]
    fn rate_limit(&mut self) -> Option<RateLimit> {
        if self.rate_limit { self.policy.load().rate_limit } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read as _, Write as _},
        net::{Ipv4Addr, TcpStream},
        sync::{Mutex, mpsc},
    };

    use super::*;
    use crate::respond::Reply;

    /// Answers with what was asked. `boom` panics, `wait` waits until the other end is closed.
    struct Touchy {
        answer: Vec<u8>,
        gate: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    impl Handler for Touchy {
        fn handle(&mut self, request: &[u8], _: &Client) -> Answer<'_> {
            if request == b"boom" {
                // A panic without the message of one.
                std::panic::resume_unwind(Box::new("this panic is what is tried"));
            }
            if request == b"wait" {
                let _ = self.gate.lock().expect("one at a time").recv();
            }
            self.answer = request.to_vec();
            Answer::Message(Reply::new(&self.answer, 0))
        }
    }

    /// A server with one worker, what opens its gate, and a client with so much patience.
    fn touchy() -> (Server, mpsc::Sender<()>, UdpSocket) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let ports = Ports::open(&[Listener::plain(any)], 1, &mut Inherited::default()).expect("a free port");
        let (open, server) = gated(ports);
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect(server.addresses()[0]).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        (server, open, socket)
    }

    fn gated(ports: Ports) -> (mpsc::Sender<()>, Server) {
        let (open, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(gate));
        let handler = |_: &Listener| Touchy { answer: Vec::new(), gate: Arc::clone(&gate) };
        let server = ports.start_with(Vitals::default(), &mut Inherited::default(), handler);
        (open, server.expect("threads"))
    }

    fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
        let mut reply = [0; 64];
        socket.recv(&mut reply).map(|length| reply[..length].to_vec())
    }

    #[test]
    fn a_panic_under_load_loses_no_other_datagram() {
        let (server, _gate, socket) = touchy();
        let good = (0..2_000_u32).filter(|number| number % 10 != 0);
        for number in 0..2_000_u32 {
            let request = if number % 10 == 0 { b"boom".to_vec() } else { format!("query {number}").into_bytes() };
            socket.send(&request).expect("sent");
            // So many are on their way at a time as a receive buffer of the kernel's own size holds.
            if number % 100 == 99 {
                for number in good.clone().filter(|other| other / 100 == number / 100) {
                    assert_eq!(receive(&socket).expect("an answer"), format!("query {number}").into_bytes());
                }
            }
        }
        let counters = server.counters().clone();
        assert_eq!(server.vitals().lost_threads(), 0);
        server.stop();
        assert_eq!((counters.sum().udp.queries, counters.sum().udp.panics), (2_000, 200));
    }

    #[test]
    fn what_the_kernel_has_delivered_is_answered_before_a_stop() {
        let (server, gate, socket) = touchy();
        socket.send(b"wait").expect("sent");
        for number in 0..100 {
            socket.send(format!("query {number}").as_bytes()).expect("sent");
        }
        let phase = server.phase();
        let stopping = thread::spawn(move || server.stop());
        while phase.is_serving() {
            thread::yield_now();
        }
        drop(gate);
        assert_eq!(receive(&socket).expect("an answer"), b"wait");
        for number in 0..100 {
            assert_eq!(receive(&socket).expect("an answer"), format!("query {number}").as_bytes());
        }
        stopping.join().expect("stopped");
        // Whoever comes later is told so at once.
        socket.send(b"late").expect("sent");
        assert_eq!(receive(&socket).expect_err("nobody there").kind(), io::ErrorKind::ConnectionRefused);
    }

    /// Connections that the kernel has taken, each with a query in it, while the thread that would accept them is kept
    /// from it; when it goes on, the server has been told to stop.
    fn stop_with_backlog(server: Server, gate: mpsc::Sender<()>) -> (Vec<TcpStream>, JoinHandle<()>) {
        let connect = |message: &[u8]| {
            let mut stream = TcpStream::connect(server.addresses()[0]).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            stream.write_all(message).expect("sent");
            stream
        };
        let mut busy = connect(b"\x00\x04held\x00\x04wait");
        let counters = server.counters().clone();
        while counters.sum().tcp.queries < 2 {
            thread::yield_now();
        }
        let waiting = (0..30).map(|_| connect(b"\x00\x04late")).collect();
        let stopped = server.stop_streams.subscribe();
        let stopping = thread::spawn(move || server.stop());
        while stopped.borrow().is_none() {
            thread::yield_now();
        }
        drop(gate);
        busy.read_exact(&mut [0; 12]).expect("both answers");
        (waiting, stopping)
    }

    #[test]
    fn connections_that_the_kernel_has_taken_are_served_before_a_stop() {
        let (server, gate, _) = touchy();
        let address = server.addresses()[0];
        let (waiting, stopping) = stop_with_backlog(server, gate);
        for mut stream in waiting {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("an answer and an end");
            assert_eq!(all, b"\x00\x04late");
        }
        stopping.join().expect("stopped");
        assert_eq!(TcpStream::connect(address).expect_err("nobody there").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn connections_that_a_successor_may_accept_are_left_to_it() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let ports = Ports::open(&[Listener::plain(any)], 1, &mut Inherited::default()).expect("a free port");
        let successor = ports.opened[0].sockets.tcp.as_ref().expect("a listener").try_clone().expect("a descriptor");
        let (gate, server) = gated(ports);
        server.phase().share();
        let (waiting, stopping) = stop_with_backlog(server, gate);
        stopping.join().expect("stopped");
        for _ in waiting {
            successor.accept().expect("a connection that nobody has accepted");
        }
    }

    #[test]
    fn a_thread_that_ends_by_itself_is_reported() {
        let (mut server, _gate, _) = touchy();
        server.spawn("udp", || ()).expect("a thread");
        server.threads.pop().expect("that thread").join().expect("ended");
        assert_eq!(server.vitals().lost_threads(), 1);
        let vitals = server.vitals().clone();
        server.stop();
        assert_eq!(vitals.lost_threads(), 1, "those that are told to end are not lost");
    }

    #[test]
    fn a_panic_costs_the_query_that_caused_it() {
        let (server, _gate, socket) = touchy();
        let address = server.addresses()[0];
        for request in ["boom", "boom", "good"] {
            socket.send(request.as_bytes()).expect("sent");
        }
        assert_eq!(receive(&socket).expect("an answer"), b"good");

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
