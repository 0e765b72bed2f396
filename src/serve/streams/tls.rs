//! TLS in front of a conversation: DNS over TLS (RFC 7858) and the lower half of DNS over HTTPS.
//!
//! TLS 1.2 and 1.3 with ring; sessions are resumed by tickets whose keys change every six hours, the same for all
//! threads of a listener. There is no early data: it can be replayed (RFC 8446 section 8). An ALPN that a client offers must be
//! one of ours; to offer none is fine (RFC 7858 does not know ALPN).
//!
//! Zone transfers over TLS want version 1.3 and the ALPN `dot` (RFC 9103 sections 7.1 and 7.2); without, they are refused.

use std::{io, sync::Arc, time::Duration};

use rustls::{ProtocolVersion, ServerConfig, crypto::ring::Ticketer, server::ServerSessionMemoryCache, version};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::certificates::{LiveCertificate, provider};

/// ALPN of DNS over TLS, which RFC 9103 section 7.1 wants.
pub(crate) const DOT: &[u8] = b"dot";
/// Most time for a handshake, as long as a connection may be silent by default; less where it may be silent for less.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Sessions of TLS 1.2 clients without tickets that are kept, some 1 KB each.
const SESSIONS: usize = 1024;
/// Octets of ciphertext that one connection keeps for a client that does not read: four records.
const CIPHERTEXT: usize = 64 * 1024;

/// What all handshakes of a listener have in common.
pub(crate) fn acceptor(certificate: Arc<LiveCertificate>, protocols: &[&[u8]]) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    // One is enough for clients that keep their connections; the default of two costs another 200 octets each time.
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The handshake with one client, which is given up when it takes too long.
pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    stream: S,
    idle: Duration,
) -> io::Result<TlsStream<S>> {
    let limit = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(CIPHERTEXT));
    timeout(HANDSHAKE.min(idle), acceptor.accept_with(stream, limit)).await?
}

/// True where the connection is as zone transfers want it.
pub(crate) fn may_transfer(stream: &TlsStream<TcpStream>) -> bool {
    let (_, session) = stream.get_ref();
    session.protocol_version() == Some(ProtocolVersion::TLSv1_3) && session.alpn_protocol() == Some(DOT)
}
