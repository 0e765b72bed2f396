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
    rate_limit::{RateLimit, RateLimitTotals, RateLimiter},
    respond::{Answer, Responder},
    sockets::{BindError, open},
    store::{SnapshotReader, SnapshotStore},
    streams::{self, CertificateError, Certificates, SetupError, StreamListener, StreamSetup},
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
    limiter: Arc<RateLimiter>,
    tsig_failures: Arc<TsigFailures>,
    notifications: Arc<Notifications>,
    notifier: Option<Notifier>,
    certificates: Certificates,
    phase: Arc<Phase>,
    /// How long what is under way may take.
    stop_streams: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
    lost: Arc<AtomicUsize>,
    /// All sockets once more, for a successor; closed with the server.
    offer: Arc<Offer>,
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
        let failures = Arc::<TsigFailures>::default();
        let mut server = Self::bind_with(listeners, workers, inherited, |listener| Live {
            store: Arc::clone(store),
            snapshots: store.reader(),
            policy: Cache::new(policy.shared()),
            responder: Responder::new(listener.options.clone())
                .with_transfers(Arc::clone(store.transfers()))
                .with_tsig_failures(Arc::clone(&failures)),
            rate_limit: listener.options.rate_limit,
        })?;
        server.tsig_failures = failures;
        let counts = Arc::clone(&server.notifications);
        server.notifier = Some(Notifier::start(store, policy, counts).map_err(BindError::Thread)?);
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

    /// What rate limiting did so far. Answers that it dropped are in no other count of answers; those that slipped
    /// count as what they are, truncated.
    pub fn rate_limited(&self) -> RateLimitTotals {
        self.limiter.totals()
    }

    /// Threads that ended although nobody told them to; more than 0 means that some queries may get no answer.
    pub fn lost_threads(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Signed requests that were refused; stays readable when the server is gone.
    pub fn tsig_failures(&self) -> &Arc<TsigFailures> {
        &self.tsig_failures
    }

    /// How secondaries were told of changes.
    pub fn notifications(&self) -> &Arc<Notifications> {
        &self.notifications
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
    /// most, and transfers have a few seconds to end.
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

    pub(crate) fn bind_with<H: Handler>(
        listeners: &[Listener],
        workers: usize,
        inherited: &mut Inherited,
        handler: impl Fn(&Listener) -> H,
    ) -> Result<Self, BindError> {
        if listeners.is_empty() {
            return Err(BindError::NoAddress);
        }
        let workers = workers.max(1);
        let mut certificates = Certificates::default();
        let mut opened = Vec::new();
        let mut offer = Offer::default();
        for listener in listeners {
            let setup = stream_setup(listener, &mut certificates)?;
            let sockets = open(listener, workers, inherited)?;
            offer.add(listener, &sockets).map_err(BindError::Thread)?;
            opened.push((listener, setup, sockets));
        }
        let (stop_streams, stopped) = watch::channel(None);
        let mut server = Self {
            addresses: opened.iter().map(|(_, _, sockets)| sockets.address).collect(),
            counters: Counters::default(),
            limiter: Arc::new(RateLimiter::new()),
            tsig_failures: Arc::default(),
            notifications: Arc::default(),
            notifier: None,
            certificates,
            phase: Arc::default(),
            stop_streams,
            threads: Vec::new(),
            lost: Arc::default(),
            offer: Arc::new(offer),
        };
        inherited.share_with(&server.phase);
        for (listener, _, sockets) in &mut opened {
            for socket in sockets.udp.drain(..) {
                server.spawn_udp(socket, handler(listener))?;
            }
        }
        for _ in 0..workers {
            let mut on_thread = Vec::new();
            for (listener, setup, sockets) in &mut opened {
                let cells = server.counters.add_thread(setup.transport());
                let socket = sockets.for_one_thread().map_err(BindError::Thread)?;
                on_thread.push(StreamListener { socket, setup: setup.clone(), handler: handler(listener), cells });
            }
            server.spawn_streams(on_thread, stopped.clone())?;
        }
        Ok(server)
    }

    fn spawn_udp(&mut self, socket: UdpSocket, handler: impl Handler) -> Result<(), BindError> {
        let cells = self.counters.add_thread(Transport::Udp);
        let worker = Worker { handler, cells, limiter: Arc::clone(&self.limiter), phase: Arc::clone(&self.phase) };
        self.spawn("udp", move || udp::serve(&socket, worker))
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
        let watched = Watched { phase: Arc::clone(&self.phase), lost: Arc::clone(&self.lost) };
        let run = move || {
            let _watched = watched;
            run();
        };
        self.threads.push(thread::Builder::new().name(name).spawn(run).map_err(BindError::Thread)?);
        Ok(())
    }

    fn end_threads(&mut self, grace: Duration) {
        drop(self.notifier.take());
        // A grace time that was given stays.
        self.stop_streams.send_if_modified(|stop| stop.is_none() && stop.replace(grace).is_none());
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread.
            let _ = thread.join();
        }
        self.counters.taps().close();
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
        let (open, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(gate));
        let server = Server::bind_with(&[Listener::plain(any)], 1, &mut Inherited::default(), |_| Touchy {
            answer: Vec::new(),
            gate: Arc::clone(&gate),
        });
        let server = server.expect("a free port");
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect(server.addresses()[0]).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        (server, open, socket)
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
        assert_eq!(server.lost_threads(), 0);
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

    #[test]
    fn a_thread_that_ends_by_itself_is_reported() {
        let (mut server, _gate, _) = touchy();
        server.spawn("udp", || ()).expect("a thread");
        server.threads.pop().expect("that thread").join().expect("ended");
        assert_eq!(server.lost_threads(), 1);
        let lost = Arc::clone(&server.lost);
        server.stop();
        assert_eq!(lost.load(Ordering::Relaxed), 1, "those that are told to end are not lost");
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
