//! Everything that is served over streams: TCP, TLS, HTTPS and QUIC.
//!
//! ```text
//!   StreamSetup, once per listener: protocol, certificate, limits over all threads
//!        │
//!        ▼ for each thread
//!   StreamListener ──► accept ──► places ──► task per connection ──┬─ framed: TCP, TLS
//!                                 (limits)                         ├─ https
//!                                                                  └─ quic: a task per stream
//!                                                                        └──► desk: answer, count
//! ```
//!
//! A thread has one runtime and all its connections; a connection stays on the thread that accepted it. Nothing here
//! computes for long: answers are there at once, transfers are made a message at a time. A handshake has its own task
//! and its own limit of time, so one that stalls holds up nobody.

mod account;
mod apart;
mod certificates;
mod desk;
mod framed;
mod https;
mod places;
mod quic;
mod records;
mod tls;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, UdpSocket},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use quinn::Endpoint;
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

pub use certificates::CertificateError;

use self::{
    account::{Account, Share},
    apart::Gathered,
    certificates::LiveCertificate,
    desk::Desk,
    places::{Dismissal, Limits, Place, Room},
};
use crate::{
    client::{Client, Transport},
    counters::Cells,
    listener::{CertificateFiles, Listener, Service},
    policy::ListenerOptions,
    sockets::BACKLOG,
    udp::{Handler, Phase},
};

/// Pause where no connection can be accepted and none that is idle can be closed for it.
const PAUSE: Duration = Duration::from_millis(50);
/// The same where one was told to close, which takes no longer.
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// From one log line about connections that cannot be accepted to the next: a flood of them shall not become one of
/// log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How long a handshake may take that is under way when the server stops: a few round trips, and a lost segment, which is
/// sent again after a second (RFC 6298 section 2.1).
const LAST_HANDSHAKE: Duration = Duration::from_secs(3);

/// The certificates of all listeners of a server; listeners that name the same files share one.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<Arc<LiveCertificate>>);

impl Certificates {
    /// Reads all files again. A certificate whose new files are wrong stays as it was.
    pub(crate) fn reload(&self) -> Vec<CertificateError> {
        self.0.iter().filter_map(|certificate| certificate.reload().err()).collect()
    }

    /// The same for those whose files have changed since they were read last.
    pub(crate) fn reload_changed(&self) -> Vec<CertificateError> {
        let changed = self.0.iter().filter(|certificate| certificate.is_changed());
        changed.filter_map(|certificate| certificate.reload().err()).collect()
    }

    fn open(&mut self, files: &CertificateFiles) -> Result<Arc<LiveCertificate>, CertificateError> {
        if let Some(known) = self.0.iter().find(|known| known.files() == files) {
            return Ok(Arc::clone(known));
        }
        let certificate = LiveCertificate::open(files)?;
        self.0.push(Arc::clone(&certificate));
        Ok(certificate)
    }
}

/// Why a listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The settings of TLS or QUIC are refused by their libraries, which is a fault of ours.
    #[error("TLS cannot be set up: {0}")]
    Protocol(String),
}

/// What one listener is on all threads.
#[derive(Clone)]
pub(crate) struct StreamSetup {
    protocol: Protocol,
    limits: Arc<Limits>,
    options: ListenerOptions,
}

#[derive(Clone)]
enum Protocol {
    Tcp,
    Tls(TlsAcceptor),
    Https(TlsAcceptor, Arc<str>),
    Quic(Box<quic::Setup>),
}

impl StreamSetup {
    /// Prepares a listener; certificates are read here.
    pub(crate) fn new(listener: &Listener, certificates: &mut Certificates) -> Result<Self, SetupError> {
        let refused = |error: &dyn std::error::Error| SetupError::Protocol(error.to_string());
        let protocol = match &listener.service {
            Service::Plain => Protocol::Tcp,
            Service::Tls(files) => {
                Protocol::Tls(tls::acceptor(certificates.open(files)?, &[tls::DOT]).map_err(|error| refused(&error))?)
            }
            Service::Https { certificate, path } => {
                let acceptor = tls::acceptor(certificates.open(certificate)?, &[https::HTTP_2, https::HTTP_1]);
                Protocol::Https(acceptor.map_err(|error| refused(&error))?, path.as_str().into())
            }
            Service::Quic(files) => {
                let setup = quic::Setup::new(certificates.open(files)?, &listener.options);
                Protocol::Quic(Box::new(setup.map_err(|error| refused(&error))?))
            }
        };
        let options = listener.options.clone();
        Ok(Self { protocol, limits: Arc::new(Limits::new(&options)), options })
    }

    /// Over what its requests come.
    pub(crate) fn transport(&self) -> Transport {
        match self.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Tls(_) => Transport::Tls,
            Protocol::Https(..) => Transport::Https,
            Protocol::Quic(_) => Transport::Quic,
        }
    }
}

/// What a listener listens with: QUIC wants datagrams, a socket of its own for each thread.
#[derive(Debug)]
pub(crate) enum StreamSocket {
    Connections(StdListener),
    Datagrams(UdpSocket),
}

/// One listener on one thread.
pub(crate) struct StreamListener<H> {
    pub(crate) socket: StreamSocket,
    pub(crate) setup: StreamSetup,
    pub(crate) handler: H,
    /// Of this thread and this transport.
    pub(crate) cells: Arc<Cells>,
}

/// Serves the listeners on this thread until `stop` says how long what is under way may take; then connections are
/// told to end, and after that time they are closed. Those that the kernel has taken are served too, unless `phase` says
/// that another process has the listeners.
pub(crate) async fn serve<H: Handler>(
    listeners: Vec<StreamListener<H>>,
    mut stop: watch::Receiver<Option<Duration>>,
    phase: &Phase,
) {
    let local = LocalSet::new();
    let until_stop = async {
        let mut open: Vec<Open> = listeners.into_iter().filter_map(StreamListener::open).collect();
        // An error means that the server is gone, which is a stop as well.
        let grace = stop.wait_for(Option::is_some).await.map_or(None, |grace| *grace).unwrap_or_default();
        let is_heir = !phase.leaves_sockets();
        for listener in &mut open {
            listener.stop(is_heir).await;
        }
        let all_empty = async {
            for listener in &open {
                listener.room.empty().await;
            }
        };
        // What is not done by then is cut off.
        let _ = timeout(grace, all_empty).await;
        for endpoint in open.iter().filter_map(|listener| listener.endpoint.as_ref()) {
            quic::close(endpoint).await;
        }
    };
    local.run_until(until_stop).await;
}

/// A listener that is served.
struct Open {
    room: Rc<Room>,
    accepting: JoinHandle<()>,
    /// Ends that, and says whether connections that wait to be accepted are ours.
    end: Option<oneshot::Sender<bool>>,
    endpoint: Option<Endpoint>,
}

impl Open {
    /// Takes the connections that wait to be accepted, if they are ours, and no more; tells all to end. The listener is
    /// closed when this is done.
    async fn stop(&mut self, with_backlog: bool) {
        self.room.dismiss_all();
        if let Some(endpoint) = &self.endpoint {
            quic::refuse_new(endpoint);
        }
        if let Some(end) = self.end.take()
            && end.send(with_backlog).is_ok()
        {
            // A panic was reported.
            let _ = (&mut self.accepting).await;
        }
    }
}

impl<H: Handler> StreamListener<H> {
    fn open(self) -> Option<Open> {
        let Self { socket, setup: StreamSetup { protocol, limits, options }, handler, cells } = self;
        let room = Room::new(limits);
        let desk = Rc::new(Desk::new(handler, cells, options, framed::FRONT + framed::READ));
        let opened = match (socket, protocol) {
            (StreamSocket::Datagrams(socket), Protocol::Quic(setup)) => setup.open(socket).map(|endpoint| {
                let accepting = spawn_local(quic::accept(endpoint.clone(), desk, Rc::clone(&room)));
                Open { room, accepting, end: None, endpoint: Some(endpoint) }
            }),
            (StreamSocket::Connections(listener), protocol) => TcpListener::from_std(listener).map(|listener| {
                let (end, ended) = oneshot::channel();
                let door = Door { protocol, desk, room: Rc::clone(&room), account: Rc::default() };
                let accepting = spawn_local(door.keep(listener, ended));
                Open { room, accepting, end: Some(end), endpoint: None }
            }),
            (StreamSocket::Datagrams(_), _) => Err(io::ErrorKind::InvalidInput.into()),
        };
        opened.inspect_err(|error| tracing::error!(%error, "cannot wait for connections")).ok()
    }
}

/// Where connections of one listener come in on one thread.
struct Door<H> {
    protocol: Protocol,
    desk: Rc<Desk<H>>,
    room: Rc<Room>,
    account: Rc<Account>,
}

impl<H: Handler> Door<H> {
    /// Lets connections in until the end, and then those that wait, if they are ours.
    async fn keep(self, listener: TcpListener, end: oneshot::Receiver<bool>) {
        let with_backlog = tokio::select! {
            // The end first, so that nothing is accepted any more that another process may want.
            biased;
            // Where nobody is left to say it, the thread ends.
            with_backlog = end => with_backlog.unwrap_or(false),
            () = self.accept(&listener) => false,
        };
        if with_backlog && let Ok(listener) = listener.into_std() {
            self.empty_backlog(&listener);
        }
    }

    async fn accept(&self, listener: &TcpListener) {
        let mut logged: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.let_in(stream, address),
                Err(error) => {
                    if logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
                        logged = Some(Instant::now());
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    // Of this process alone more can be had by closing something; what the system lacks takes its time.
                    let is_ours = error.raw_os_error() == Some(Errno::MFILE.raw_os_error());
                    let pause = if self.room.make_room() && is_ours { SHORT_PAUSE } else { PAUSE };
                    sleep(pause).await;
                }
            }
        }
    }

    /// Lets in who was there before the end: to their clients they are connected, and their queries are on the way. Asks
    /// the kernel itself, which may have more than the runtime has heard of.
    fn empty_backlog(&self, listener: &StdListener) {
        for _ in 0..BACKLOG {
            match listener.accept() {
                Ok((stream, address)) => {
                    if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                        self.let_in(stream, address);
                    }
                }
                // Of one connection alone (accept(2)).
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::warn!(%error, "connections that wait to be accepted are lost");
                    }
                    return;
                }
            }
        }
    }

    /// Has a connection served, if there is a place for it.
    fn let_in(&self, stream: TcpStream, address: SocketAddr) {
        let place = self.room.enter(address.ip());
        self.desk.cells.count_connection(place.is_some());
        let Some(place) = place else { return };
        // Answers are gathered here and shall not be held back (RFC 7766 section 8 wants them in few segments).
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (desk, share) = (Rc::clone(&self.desk), Share::new(&self.account));
        match &self.protocol {
            Protocol::Tcp => {
                let client = Client { address, transport: Transport::Tcp };
                // A connection that breaks is the client's business, here and below.
                spawn_local(async move { framed::converse(stream, client, true, &desk, &share, &place).await });
            }
            Protocol::Tls(acceptor) => {
                let client = Client { address, transport: Transport::Tls };
                spawn_local(serve_tls(stream, acceptor.clone(), client, desk, share, place));
            }
            Protocol::Https(acceptor, path) => {
                let client = Client { address, transport: Transport::Https };
                spawn_local(serve_https(stream, acceptor.clone(), client, desk, Arc::clone(path), share, place));
            }
            // It has no connections to accept here.
            Protocol::Quic(_) => {}
        }
    }
}

async fn serve_tls<H: Handler>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    client: Client,
    desk: Rc<Desk<H>>,
    share: Rc<Share>,
    place: Place,
) {
    if let Some(stream) = shake_hands(stream, &acceptor, desk.options.idle, &place).await {
        let transfers = tls::may_transfer(&stream);
        let _ = framed::converse(stream, client, transfers, &desk, &share, &place).await;
    }
}

async fn serve_https<H: Handler>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    client: Client,
    desk: Rc<Desk<H>>,
    path: Arc<str>,
    share: Rc<Share>,
    place: Place,
) {
    if let Some(mut stream) = shake_hands(Gathered::new(stream), &acceptor, desk.options.idle, &place).await {
        stream.get_mut().0.gather();
        https::serve(stream, client, &path, &desk, &share, &place).await;
    }
}

/// A handshake, unless the place is taken away meanwhile; one moment more where the server stops. Why one fails is known
/// by the client, who was told.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: &TlsAcceptor,
    idle: Duration,
    place: &Place,
) -> Option<tokio_rustls::server::TlsStream<S>> {
    let dismissed = async {
        if std::future::poll_fn(|context| place.poll_dismissed(context)).await == Dismissal::Stop {
            sleep(LAST_HANDSHAKE).await;
        }
    };
    tokio::select! {
        stream = tls::shake_hands(acceptor, stream, idle) => {
            stream.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
        }
        () = dismissed => None,
    }
}
