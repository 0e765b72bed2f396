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

use std::{cell::Cell, io, net::UdpSocket, pin::pin, rc::Rc, sync::Arc, task::Poll, time::Duration};

use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, ReadToEndError, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
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
/// Queries at a time on one connection, as many as HTTP/2 has by custom.
const STREAMS: u32 = 100;
/// Longest query with its length.
const LONGEST: usize = 2 + 65_535;
/// Octets that may come in on one stream, so that each query fits, and on a connection.
const STREAM_WINDOW: u32 = 65_537;
const CONNECTION_WINDOW: u32 = 4 * 65_537;
/// Octets of answers that a connection keeps for its client; transfers wait for more room.
const SEND_WINDOW: u64 = 512 * 1024;
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
            .send_window(SEND_WINDOW)
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
        spawn_local(async move {
            if let Some(connection) = shake_hands(incoming, &place).await {
                drop(handshake);
                serve(&connection, &desk, &place).await;
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
async fn shake_hands(incoming: Incoming, place: &Place) -> Option<Connection> {
    let connecting = incoming.accept().ok()?;
    let dismissed = std::future::poll_fn(|context| place.poll_dismissed(context));
    tokio::select! {
        connection = timeout(HANDSHAKE, connecting) => connection.ok()?.ok(),
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
}

/// Answers the streams of a connection until it is closed, from either side.
async fn serve<H: Handler>(connection: &Connection, desk: &Rc<Desk<H>>, place: &Place) {
    let client = Client { address: connection.remote_address(), transport: Transport::Quic };
    let now = Instant::now();
    let shared = Rc::new(Shared { client, streams: Cell::new(0), last: Cell::new(now), ended: Notify::new() });
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

/// What is wrong with a stream.
enum Fault {
    /// The client broke the rules of the protocol.
    Protocol,
    /// The fault is ours.
    Internal,
    /// The client does not want it any longer or is too slow.
    Gone,
}

async fn answer<H: Handler>(
    mut send: SendStream,
    receive: RecvStream,
    connection: Connection,
    desk: Rc<Desk<H>>,
    stream: Stream,
) {
    match exchange(&mut send, receive, &desk, &stream.0).await {
        // The octets are sent on when the stream is dropped; here they are waited for, so that a connection is not
        // closed before them.
        Ok(()) => _ = timeout(desk.options.idle, send.stopped()).await,
        Err(Fault::Protocol) => connection.close(DOQ_PROTOCOL_ERROR, &[]),
        Err(Fault::Internal) => _ = send.reset(DOQ_INTERNAL_ERROR),
        Err(Fault::Gone) => _ = send.reset(DOQ_NO_ERROR),
    }
}

async fn exchange<H: Handler>(
    send: &mut SendStream,
    mut receive: RecvStream,
    desk: &Desk<H>,
    shared: &Shared,
) -> Result<(), Fault> {
    let idle = desk.options.idle;
    // RFC 9250 section 4.2: "Servers MAY defer processing of a query until the STREAM FIN has been indicated".
    let request = match timeout(idle, receive.read_to_end(LONGEST)).await {
        Ok(Ok(request)) => request,
        Ok(Err(ReadToEndError::TooLong)) => return Err(Fault::Protocol),
        Ok(Err(ReadToEndError::Read(_))) | Err(_) => return Err(Fault::Gone),
    };
    let message = first_message(&request).filter(|message| message.len() + 2 == request.len());
    let Some(message @ [0, 0, ..]) = message else { return Err(Fault::Protocol) };
    if has_keepalive(message) {
        return Err(Fault::Protocol);
    }
    let mut output = Vec::new();
    match desk.answer(&shared.client, message, true, &mut output) {
        Outcome::Answered => write(send, &output, idle).await?,
        Outcome::Silence => return Err(Fault::Protocol),
        Outcome::Lost => return Err(Fault::Internal),
        Outcome::Transfer(mut transfer) => {
            let mut message = Vec::new();
            let mut more = true;
            while more {
                output.clear();
                while more && output.len() < GATHER {
                    let next = desk.next_message(&shared.client, &mut *transfer, &mut message, &mut output);
                    more = next.map_err(|_| Fault::Internal)?;
                }
                write(send, &output, idle).await?;
                shared.last.set(Instant::now());
                // Others get their turn.
                tokio::task::yield_now().await;
            }
        }
    }
    send.finish().map_err(|_| Fault::Gone)
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
