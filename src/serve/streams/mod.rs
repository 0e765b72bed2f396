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
    cell::Cell,
    io,
    net::{TcpListener as StdListener, UdpSocket},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use quinn::Endpoint;
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, LocalSet, spawn_local},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

pub use certificates::CertificateError;

use self::{
    apart::Gathered,
    certificates::LiveCertificate,
    desk::Desk,
    places::{Limits, Place, Room},
};
use crate::{
    client::{Client, Transport},
    counters::Cells,
    listener::{CertificateFiles, Listener, Service},
    policy::ListenerOptions,
    udp::Handler,
};

/// Pause where no connection can be accepted and none that is idle can be closed for it.
const PAUSE: Duration = Duration::from_millis(50);
/// The same where one was told to close, which takes no longer.
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// From one log line about connections that cannot be accepted to the next: a flood of them shall not become one of
/// log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

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
/// told to end, and after that time they are closed.
pub(crate) async fn serve<H: Handler>(listeners: Vec<StreamListener<H>>, mut stop: watch::Receiver<Option<Duration>>) {
    let local = LocalSet::new();
    let until_stop = async {
        let open: Vec<Open> = listeners.into_iter().filter_map(StreamListener::open).collect();
        // An error means that the server is gone, which is a stop as well.
        let grace = stop.wait_for(Option::is_some).await.map_or(None, |grace| *grace).unwrap_or_default();
        for listener in &open {
            listener.stop();
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
    accepting: AbortHandle,
    endpoint: Option<Endpoint>,
}

impl Open {
    fn stop(&self) {
        match &self.endpoint {
            Some(endpoint) => quic::refuse_new(endpoint),
            None => self.accepting.abort(),
        }
        self.room.dismiss_all();
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
                Open { room, accepting: accepting.abort_handle(), endpoint: Some(endpoint) }
            }),
            (StreamSocket::Connections(listener), protocol) => TcpListener::from_std(listener).map(|listener| {
                let accepting = spawn_local(accept(listener, protocol, desk, Rc::clone(&room)));
                Open { room, accepting: accepting.abort_handle(), endpoint: None }
            }),
            (StreamSocket::Datagrams(_), _) => Err(io::ErrorKind::InvalidInput.into()),
        };
        opened.inspect_err(|error| tracing::error!(%error, "cannot wait for connections")).ok()
    }
}

async fn accept<H: Handler>(listener: TcpListener, protocol: Protocol, desk: Rc<Desk<H>>, room: Rc<Room>) {
    let waiting = Rc::new(Cell::new(0));
    let mut logged: Option<Instant> = None;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
                    logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept a connection");
                }
                // Of this process alone more can be had by closing something; what the system lacks takes its time.
                let is_ours = error.raw_os_error() == Some(Errno::MFILE.raw_os_error());
                let pause = if room.make_room() && is_ours { SHORT_PAUSE } else { PAUSE };
                sleep(pause).await;
                continue;
            }
        };
        let place = room.enter(address.ip());
        desk.cells.count_connection(place.is_some());
        let Some(place) = place else { continue };
        // Answers are gathered here and shall not be held back (RFC 7766 section 8 wants them in few segments).
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let desk = Rc::clone(&desk);
        match &protocol {
            Protocol::Tcp => {
                let client = Client { address, transport: Transport::Tcp };
                let waiting = Rc::clone(&waiting);
                // A connection that breaks is the client's business, here and below.
                spawn_local(async move { framed::converse(stream, client, true, &desk, &waiting, &place).await });
            }
            Protocol::Tls(acceptor) => {
                let client = Client { address, transport: Transport::Tls };
                spawn_local(serve_tls(stream, acceptor.clone(), client, desk, Rc::clone(&waiting), place));
            }
            Protocol::Https(acceptor, path) => {
                let client = Client { address, transport: Transport::Https };
                spawn_local(serve_https(stream, acceptor.clone(), client, desk, Arc::clone(path), place));
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
    waiting: Rc<Cell<usize>>,
    place: Place,
) {
    if let Some(stream) = shake_hands(stream, &acceptor, desk.options.idle, &place).await {
        let transfers = tls::may_transfer(&stream);
        let _ = framed::converse(stream, client, transfers, &desk, &waiting, &place).await;
    }
}

async fn serve_https<H: Handler>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    client: Client,
    desk: Rc<Desk<H>>,
    path: Arc<str>,
    place: Place,
) {
    if let Some(mut stream) = shake_hands(Gathered::new(stream), &acceptor, desk.options.idle, &place).await {
        stream.get_mut().0.gather();
        https::serve(stream, client, &path, &desk, &place).await;
    }
}

/// A handshake, unless the place is taken away meanwhile. Why one fails is known by the client, who was told.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: &TlsAcceptor,
    idle: Duration,
    place: &Place,
) -> Option<tokio_rustls::server::TlsStream<S>> {
    let dismissed = std::future::poll_fn(|context| place.poll_dismissed(context));
    tokio::select! {
        stream = tls::shake_hands(acceptor, stream, idle) => {
            stream.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
        }
        _ = dismissed => None,
    }
}
