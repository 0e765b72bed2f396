//! DNS over dedicated QUIC connections (RFC 9250): one stream for each query.
//!
//! ```text
//!   socket ──► Endpoint ──► Incoming ──► handshake ──► connection ──► stream: query, FIN
//!                           refuse,      each in a     100 at a       ◄── answer, or the messages of a
//!                           retry        task of its   time                transfer, FIN
//!                                        own
//! ```
//!
//! Each thread has an endpoint with a socket of its own; the kernel keeps a client at one of them, so clients that
//! change their address must connect again. Where many connections are open, a client has to prove its address first
//! (RFC 9000 section 8.1.2). There is no 0-RTT: its data can be replayed (RFC 9250 section 4.5 allows it for queries
//! alone), and a client that has a session saves one round trip only. The number of queries on a connection has no limit.
//!
//! What is against RFC 9250 section 4.3.3 closes the connection with `DOQ_PROTOCOL_ERROR`: a message ID that is not 0, an
//! octet too few or too many, the TCP keepalive option, a message that is no query. A query that cannot be answered by
//! our own fault resets its stream with `DOQ_INTERNAL_ERROR`.
//!
//! Queries that come in and answers until they have arrived are counted (see [`account`](super::account)); where too
//! much is kept, the connection is closed with `DOQ_EXCESSIVE_LOAD`.

use std::{
    cell::{Cell, RefCell},
    io,
    net::UdpSocket,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
    crypto::rustls::{NoInitialCipherSuite, QuicServerConfig},
};
use rustls::version::TLS13;
use thiserror::Error;
use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep_until, timeout},
};

use super::{
    account::{Account, Full, Part, Share},
    certificates::{LiveCertificate, provider},
    desk::{Desk, Outcome},
    framed::first_message,
    places::{Place, Room},
    records::has_keepalive,
    tls::HANDSHAKE,
};
use crate::{
    client::{Client, Transport},
    policy::ListenerOptions,
    udp::Handler,
};

/// ALPN of DNS over QUIC (RFC 9250 section 4.1).
pub(crate) const DOQ: &[u8] = b"doq";
/// Error codes (RFC 9250 section 4.3).
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);
const DOQ_INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const DOQ_PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const DOQ_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
/// Queries at a time on one connection, as many as HTTP/2 has by custom.
const STREAMS: u32 = 100;
/// Longest query with its length.
const LONGEST: usize = 2 + 65_535;
/// Octets that may come in on one stream, so that each query fits, and on a connection.
const STREAM_WINDOW: u32 = 65_537;
const CONNECTION_WINDOW: u32 = 4 * 65_537;
/// Octets that QUIC keeps of a connection until they have arrived; what is more waits for room.
const SEND_WINDOW: usize = 512 * 1024;
/// Octets gathered for one write of a transfer.
const GATHER: usize = 64 * 1024;
/// Handshakes under way on one thread past which addresses must be proved.
const HANDSHAKES: usize = 64;

/// Why a QUIC listener could not be set up.
#[derive(Debug, Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Suite(#[from] NoInitialCipherSuite),
    #[error("the idle time is too long")]
    Idle,
}

/// What all endpoints of a listener have in common, so that each knows the tokens and resets of the others.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    endpoint: EndpointConfig,
    server: ServerConfig,
}

impl Setup {
    pub(crate) fn new(certificate: Arc<LiveCertificate>, options: &ListenerOptions) -> Result<Self, SetupError> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![DOQ.to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(STREAMS.into())
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(CONNECTION_WINDOW.into())
            .send_window(SEND_WINDOW as u64)
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(Some(IdleTimeout::try_from(options.idle).map_err(|_| SetupError::Idle)?));
        let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?));
        server.transport_config(Arc::new(transport)).migration(false);
        Ok(Self { endpoint: EndpointConfig::default(), server })
    }

    /// An endpoint at this socket; to be called in a runtime.
    pub(crate) fn open(&self, socket: UdpSocket) -> io::Result<Endpoint> {
        Endpoint::new(self.endpoint.clone(), Some(self.server.clone()), socket, Arc::new(TokioRuntime))
    }
}

/// Takes connections until the endpoint is closed.
pub(crate) async fn accept<H: Handler>(endpoint: Endpoint, desk: Rc<Desk<H>>, room: Rc<Room>) {
    let handshakes = Rc::new(Cell::new(0));
    let account = Rc::default();
    while let Some(incoming) = endpoint.accept().await {
        let in_doubt = room.is_crowded() || handshakes.get() >= HANDSHAKES;
        if in_doubt && !incoming.remote_address_validated() && incoming.may_retry() {
            // An error means that it was not allowed, which was asked before.
            let _ = incoming.retry();
            continue;
        }
        let Some(place) = room.enter(incoming.remote_address().ip()) else {
            desk.cells.count_connection(false);
            incoming.refuse();
            continue;
        };
        desk.cells.count_connection(true);
        let (desk, handshake) = (Rc::clone(&desk), Handshake::begin(&handshakes));
        let account = Rc::clone(&account);
        spawn_local(async move {
            if let Some(connection) = shake_hands(incoming, &place, desk.options.idle).await {
                drop(handshake);
                serve(&connection, &desk, &account, &place).await;
            }
        });
    }
}

/// One of the handshakes under way.
struct Handshake(Rc<Cell<usize>>);

impl Handshake {
    fn begin(all: &Rc<Cell<usize>>) -> Self {
        all.set(all.get() + 1);
        Self(Rc::clone(all))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A handshake, unless it takes too long or the place is taken away meanwhile.
async fn shake_hands(incoming: Incoming, place: &Place, idle: Duration) -> Option<Connection> {
    let connecting = incoming.accept().ok()?;
    let dismissed = std::future::poll_fn(|context| place.poll_dismissed(context));
    tokio::select! {
        connection = timeout(HANDSHAKE.min(idle), connecting) => connection.ok()?.ok(),
        _ = dismissed => None,
    }
}

/// What the streams of one connection have in common.
struct Shared {
    client: Client,
    streams: Cell<usize>,
    last: Cell<Instant>,
    /// A stream is done.
    ended: Notify,
    share: Rc<Share>,
    transfers: Cell<usize>,
    /// What QUIC keeps of transfers that are under way. It is apart, so that other answers need not wait for it.
    window: RefCell<Part>,
}

/// Answers the streams of a connection until it is closed, from either side.
async fn serve<H: Handler>(connection: &Connection, desk: &Rc<Desk<H>>, account: &Rc<Account>, place: &Place) {
    let client = Client { address: connection.remote_address(), transport: Transport::Quic };
    let now = Instant::now();
    let shared = Rc::new(Shared {
        client,
        streams: Cell::new(0),
        last: Cell::new(now),
        ended: Notify::new(),
        share: Share::new(account),
        transfers: Cell::new(0),
        window: RefCell::new(Share::new(account).part()),
    });
    let (idle, end) = (desk.options.idle, now + desk.options.lifetime);
    // Clients that keep a connection alive by PING frames are idle all the same.
    let deadline = || (shared.last.get() + idle).min(end);
    let mut timer = pin!(sleep_until(deadline()));
    loop {
        let mut accept = pin!(connection.accept_bi());
        let next = std::future::poll_fn(|context| {
            if place.poll_dismissed(context).is_ready() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(stream) = accept.as_mut().poll(context) {
                return Poll::Ready(Some(stream));
            }
            while timer.as_mut().poll(context).is_ready() {
                let now = Instant::now();
                if now >= end || now >= deadline() && shared.streams.get() == 0 {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(if shared.streams.get() > 0 { end.min(now + idle) } else { deadline() });
            }
            Poll::Pending
        });
        match next.await {
            Some(Ok((send, receive))) => {
                let one = Stream::begin(&shared);
                place.touch(false);
                spawn_local(answer(send, receive, connection.clone(), Rc::clone(desk), one));
            }
            Some(Err(_)) => return,
            None => break,
        }
    }
    // What is under way is finished; a stream that stalls ends by its own limit.
    while shared.streams.get() > 0 {
        tokio::select! {
            () = shared.ended.notified() => {}
            _ = connection.closed() => return,
        }
    }
    connection.close(DOQ_NO_ERROR, &[]);
}

/// One of the streams under way.
struct Stream(Rc<Shared>);

impl Stream {
    fn begin(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        shared.last.set(Instant::now());
        Self(Rc::clone(shared))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.last.set(Instant::now());
        self.0.ended.notify_one();
    }
}

/// One of the transfers under way.
struct Transferring<'a>(&'a Shared);

impl<'a> Transferring<'a> {
    fn begin(shared: &'a Shared) -> Result<Self, Full> {
        shared.window.borrow_mut().owe(SEND_WINDOW)?;
        shared.transfers.set(shared.transfers.get() + 1);
        Ok(Self(shared))
    }
}

impl Drop for Transferring<'_> {
    fn drop(&mut self) {
        self.0.transfers.set(self.0.transfers.get() - 1);
        if self.0.transfers.get() == 0 {
            // Less is always possible.
            let _ = self.0.window.borrow_mut().owe(0);
        }
    }
}

/// What is wrong with a stream.
enum Fault {
    /// The client broke the rules of the protocol.
    Protocol,
    /// The fault is ours.
    Internal,
    /// The client does not want it any longer or is too slow.
    Gone,
    /// Too much is kept.
    Full,
}

impl From<Full> for Fault {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

async fn answer<H: Handler>(
    mut send: SendStream,
    receive: RecvStream,
    connection: Connection,
    desk: Rc<Desk<H>>,
    stream: Stream,
) {
    let mut kept = stream.0.share.part();
    match exchange(&mut send, receive, &desk, &stream.0, &mut kept).await {
        Ok(()) => {
            // An answer is kept until it has arrived, and a connection is not closed before that.
            if timeout(desk.options.idle, send.stopped()).await.is_err() {
                let _ = send.reset(DOQ_NO_ERROR);
            }
        }
        Err(Fault::Protocol) => connection.close(DOQ_PROTOCOL_ERROR, &[]),
        Err(Fault::Full) => connection.close(DOQ_EXCESSIVE_LOAD, &[]),
        Err(Fault::Internal) => _ = send.reset(DOQ_INTERNAL_ERROR),
        Err(Fault::Gone) => _ = send.reset(DOQ_NO_ERROR),
    }
}

async fn exchange<H: Handler>(
    send: &mut SendStream,
    mut receive: RecvStream,
    desk: &Desk<H>,
    shared: &Shared,
    kept: &mut Part,
) -> Result<(), Fault> {
    let idle = desk.options.idle;
    let Ok(request) = timeout(idle, read(&mut receive, kept)).await else { return Err(Fault::Gone) };
    let request = request?;
    let message = first_message(&request).filter(|message| message.len() + 2 == request.len());
    let Some(message @ [0, 0, ..]) = message else { return Err(Fault::Protocol) };
    if has_keepalive(message) {
        return Err(Fault::Protocol);
    }
    kept.until_taken(idle).await?;
    let mut output = Vec::new();
    match desk.answer(&shared.client, message, true, &mut output) {
        Outcome::Answered => {
            kept.owe(output.len())?;
            write(send, &output, idle).await?;
        }
        Outcome::Silence => return Err(Fault::Protocol),
        Outcome::Lost => return Err(Fault::Internal),
        Outcome::Transfer(mut transfer) => {
            let _under_way = Transferring::begin(shared)?;
            let mut message = Vec::new();
            let mut more = true;
            while more {
                output.clear();
                kept.owe(0)?;
                kept.until_taken(idle).await?;
                while more && output.len() < GATHER {
                    let next = desk.next_message(&shared.client, &mut *transfer, &mut message, &mut output);
                    more = next.map_err(|_| Fault::Internal)?;
                }
                kept.owe(output.len())?;
                write(send, &output, idle).await?;
                shared.last.set(Instant::now());
                // Others get their turn.
                tokio::task::yield_now().await;
            }
        }
    }
    send.finish().map_err(|_| Fault::Gone)
}

/// Reads to the end. RFC 9250 section 4.2: "Servers MAY defer processing of a query until the STREAM FIN has been
/// indicated". Octets are taken in any order, so that none that have a gap before them are kept uncounted.
async fn read(receive: &mut RecvStream, kept: &mut Part) -> Result<Vec<u8>, Fault> {
    let mut request = Vec::new();
    while let Some(chunk) = receive.read_chunk(LONGEST, false).await.map_err(|_| Fault::Gone)? {
        let start = usize::try_from(chunk.offset).unwrap_or(LONGEST);
        let end = start.saturating_add(chunk.bytes.len());
        if end > LONGEST {
            return Err(Fault::Protocol);
        }
        if end > request.len() {
            request.resize(end, 0);
            kept.hold(request.capacity())?;
        }
        request[start..end].copy_from_slice(&chunk.bytes);
    }
    Ok(request)
}

async fn write(send: &mut SendStream, octets: &[u8], limit: Duration) -> Result<(), Fault> {
    match timeout(limit, send.write_all(octets)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Fault::Gone),
    }
}

/// Takes no new connections any more.
pub(crate) fn refuse_new(endpoint: &Endpoint) {
    endpoint.set_server_config(None);
}

/// Closes what is left.
pub(crate) async fn close(endpoint: &Endpoint) {
    endpoint.close(DOQ_NO_ERROR, &[]);
    // Two round trips or so; a client that is gone is not waited for.
    let _ = timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
}
