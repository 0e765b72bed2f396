//! Load over QUIC (RFC 9250), which dnsperf does not speak, and over HTTPS (RFC 8484), where it loses all answers of a
//! TLS record but the first, so that not every server here can be asked with it: some connections with some queries
//! under way on each, one stream for each query.
//! Where the server ends a connection, the next one is opened: what that costs is the price of ending it.

use std::{
    cell::Cell,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use h2::client::SendRequest;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use quinn::{ClientConfig, Connection, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::{
    net::TcpStream,
    task::{JoinSet, LocalSet, spawn_local},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    load::{CORE_OF_LOAD, Load},
    secured::SERVER_NAME,
};
use crate::{process::pin_this_thread, question, report::progress};

const CONNECTIONS: usize = 8;
/// Queries under way on one connection: together as many as dnsperf has over the other transports.
const STREAMS: usize = 25;
/// Octets of the length in front of a message over QUIC.
const LENGTH: usize = 2;
/// Longest answer with its length.
const LONGEST: usize = LENGTH + 65_535;
/// How long a connection or an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions of the file that are asked, over and over.
const QUESTIONS: usize = 20_000;
/// QR in the third octet of a header.
const QR: u8 = 0x80;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2 with POST, which all servers know.
    Https,
    Quic,
}

/// Asks as fast as it can over connections that are kept as long as the server keeps them.
pub(super) fn ask(
    protocol: Protocol,
    server: SocketAddr,
    file: &Path,
    seconds: u32,
    certificate: &Path,
) -> anyhow::Result<Load> {
    let text = fs::read_to_string(file)?;
    let asked: Vec<Vec<u8>> = text.lines().take(QUESTIONS).filter_map(framed).collect();
    if asked.is_empty() {
        bail!("there is nothing to ask");
    }
    let config = trusting(certificate, protocol)?;
    let length = Duration::from_secs(seconds.into());
    let load = thread::spawn(move || {
        pin_this_thread(CORE_OF_LOAD)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let dialler = Dialler::new(protocol, server, config)?;
            let (next, completed) = (Cell::new(0), Cell::new(0));
            run(Asking { dialler, asked, next, completed, end: Instant::now() + length }).await
        })
    });
    load.join().ok().context("the load had a panic")?
}

async fn run(load: Asking) -> anyhow::Result<Load> {
    let start = Instant::now();
    let load = Rc::new(load);
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn_local(keep_connected(Rc::clone(&load)));
    }
    let mut opened = 0;
    while let Some(connection) = connections.join_next().await {
        opened += connection??;
    }
    let seconds = start.elapsed().as_secs_f64();
    progress(format_args!("         {opened} connections"));
    let completed = f64::from(load.completed.get());
    Ok(Load { completed, lost: 0.0, rate: completed / seconds })
}

/// What all connections share.
struct Asking {
    dialler: Dialler,
    /// Messages with their length in front.
    asked: Vec<Vec<u8>>,
    next: Cell<usize>,
    completed: Cell<u32>,
    end: Instant,
}

/// Asks on one connection after the other, and says how many there were.
async fn keep_connected(load: Rc<Asking>) -> anyhow::Result<u32> {
    let mut opened = 0;
    while load.is_on() {
        let link = timeout(PATIENCE, load.dialler.connect()).await??;
        opened += 1;
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let (link, load) = (link.clone(), Rc::clone(&load));
            streams.spawn_local(async move { while load.is_on() && load.exchange(&link).await.is_ok() {} });
        }
        while streams.join_next().await.is_some() {}
        link.close();
    }
    Ok(opened)
}

impl Asking {
    fn is_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// One query and its answer.
    async fn exchange(&self, link: &Link) -> anyhow::Result<()> {
        let next = self.next.get();
        self.next.set((next + 1) % self.asked.len());
        let answer = timeout(PATIENCE, link.exchange(&self.asked[next])).await??;
        if answer.get(2).is_none_or(|flags| flags & QR == 0) {
            bail!("that is no answer");
        }
        self.completed.set(self.completed.get() + 1);
        Ok(())
    }
}

/// Opens connections.
enum Dialler {
    Quic(SocketAddr, Endpoint),
    Https(SocketAddr, TlsConnector),
}

impl Dialler {
    fn new(protocol: Protocol, server: SocketAddr, config: rustls::ClientConfig) -> anyhow::Result<Self> {
        if protocol == Protocol::Https {
            return Ok(Self::Https(server, TlsConnector::from(Arc::new(config))));
        }
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?)));
        Ok(Self::Quic(server, endpoint))
    }

    async fn connect(&self) -> anyhow::Result<Link> {
        match self {
            Self::Quic(server, endpoint) => Ok(Link::Quic(endpoint.connect(*server, SERVER_NAME)?.await?)),
            Self::Https(server, connector) => {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                let stream = connector.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
                let (requests, connection) = h2::client::handshake(stream).await?;
                // What goes wrong there is an error of each request too.
                spawn_local(async move { connection.await.is_ok() });
                Ok(Link::Https(requests))
            }
        }
    }
}

/// An open connection.
#[derive(Clone)]
enum Link {
    Quic(Connection),
    Https(SendRequest<Bytes>),
}

impl Link {
    /// The answer to a message that has its length in front; the answer has none.
    async fn exchange(&self, framed: &[u8]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Quic(connection) => {
                let (mut send, mut receive) = connection.open_bi().await?;
                send.write_all(framed).await?;
                send.finish()?;
                let answer = receive.read_to_end(LONGEST).await?;
                Ok(answer.get(LENGTH..).unwrap_or_default().to_vec())
            }
            Self::Https(requests) => {
                let message = Bytes::copy_from_slice(&framed[LENGTH..]);
                let request = Request::post(format!("https://{SERVER_NAME}/dns-query"))
                    .header(CONTENT_TYPE, "application/dns-message")
                    .header(ACCEPT, "application/dns-message")
                    .header(CONTENT_LENGTH, message.len());
                let (response, mut body) = requests.clone().ready().await?.send_request(request.body(())?, false)?;
                body.send_data(message, true)?;
                let response = response.await?;
                if response.status() != StatusCode::OK {
                    bail!("status {}", response.status());
                }
                let mut body = response.into_body();
                let mut answer = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data?;
                    body.flow_control().release_capacity(data.len())?;
                    answer.extend_from_slice(&data);
                }
                Ok(answer)
            }
        }
    }

    fn close(&self) {
        // One over HTTPS ends with its last handle.
        if let Self::Quic(connection) = self {
            connection.close(0_u8.into(), &[]);
        }
    }
}

/// Settings of a client that trusts this certificate and no other.
fn trusting(certificate: &Path, protocol: Protocol) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name: &[u8] = if protocol == Protocol::Quic { b"doq" } else { b"h2" };
    config.alpn_protocols = vec![name.to_vec()];
    Ok(config)
}

/// The message that a line `name type` asks, with message ID 0 (RFC 9250 section 4.2.1, RFC 8484 section 4.1) and its length in front; none
/// for what is neither A nor AAAA.
fn framed(line: &str) -> Option<Vec<u8>> {
    let (name, record_type) = line.split_once(' ')?;
    let record_type = match record_type.trim() {
        "A" => question::A_IN,
        "AAAA" => question::AAAA_IN,
        _ => return None,
    };
    let message = question::question(0, name, record_type);
    Some([&u16::try_from(message.len()).ok()?.to_be_bytes(), &*message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_query_with_its_length() {
        let expected = b"\x00\x13\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x1c\x00\x01";
        assert_eq!(framed("a AAAA").as_deref(), Some(&expected[..]));
        assert_eq!(framed("a TXT"), None);
        assert_eq!(framed("a"), None);
    }
}
