//! A proxy in front of a member's API server that can make every fault of a network, and of a server behind it.
//!
//! ```text
//!   mcdns ── TLS ──► Proxy ── TLS ──► API server
//!                      └ Fault: as it is, octets of no meaning, silence, cut, a status for everything, 410 for watches
//! ```
//!
//! It has the certificate of the API servers, so that it can speak as one. With another fault, connections that are
//! open are cut, but for silence, in which they stay open and say nothing more.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::StatusCode;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{World, api::RUNTIME};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Octets that are no TLS.
    Garbage,
    /// TLS and HTTP are right, and every body is no JSON.
    Nonsense,
    /// Connections are taken, and nothing is said any more, also on those that are open.
    Silence,
    /// Connections are closed as soon as they are made.
    Cut,
    /// Every request is answered with this status.
    Status(u16),
    /// Watches are answered with 410, as after a compaction; all else is right.
    WatchesGone,
}

/// The proxy, for as long as the value lives.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    fault: watch::Sender<Fault>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Ways {
    server: SocketAddr,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the API server at this port of a world, without a fault.
    #[track_caller]
    pub fn start(world: &World, port: u16) -> Self {
        let (fault, faults) = watch::channel(Fault::None);
        let requests = Arc::new(AtomicUsize::new(0));
        let ways = Ways {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            acceptor: TlsAcceptor::from(world.identity().server_settings()),
            connector: TlsConnector::from(world.authority().client()),
            requests: requests.clone(),
        };
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let task = RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, faults.clone(), ways.clone()));
            }
        });
        Self { port, fault, requests, task }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Has this go wrong from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections and requests that met a fault so far.
    pub fn met(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Waits until the fault that is set has been met so many times.
    #[track_caller]
    pub fn until_met(&self, times: usize) {
        let before = self.met();
        crate::wait_for(&format!("{:?} is met", *self.fault.borrow()), || {
            let met = self.met() - before;
            if met >= times { Ok(()) } else { Err(format!("{met} of {times} times")) }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, until the fault changes.
async fn carry(mut stream: TcpStream, mut faults: watch::Receiver<Fault>, ways: Ways) {
    let fault = *faults.borrow_and_update();
    let silence = faults.clone();
    if fault != Fault::None {
        ways.requests.fetch_add(1, Ordering::Relaxed);
    }
    // Silence keeps what is open open until something else follows.
    let changed =
        async move { while faults.changed().await.is_ok() && *faults.borrow_and_update() == Fault::Silence {} };
    let work = async {
        match fault {
            Fault::None => {
                let Ok(mut server) = TcpStream::connect(ways.server).await else { return };
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
            Fault::Garbage => {
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(&[0x5a; 512]).await;
            }
            Fault::Silence => std::future::pending().await,
            Fault::Cut => {}
            Fault::Nonsense | Fault::Status(_) | Fault::WatchesGone => {
                let Ok(mut stream) = ways.acceptor.accept(stream).await else { return };
                while speak(&mut stream, fault, &ways).await.is_some() {}
                let _ = stream.shutdown().await;
            }
        }
    };
    // While it is silent neither side is read, so nothing of what is open goes through.
    let work = frozen_by_silence(work, silence);
    tokio::select! { () = work => {}, () = changed => {} }
}

/// Goes on with work while there is no silence.
async fn frozen_by_silence(work: impl Future<Output = ()>, mut faults: watch::Receiver<Fault>) {
    tokio::pin!(work);
    loop {
        let is_silent = *faults.borrow_and_update() == Fault::Silence;
        tokio::select! {
            () = &mut work, if !is_silent => return,
            changed = faults.changed() => if changed.is_err() { return },
        }
    }
}

/// One request of a connection; none where the connection is over.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, fault: Fault, ways: &Ways) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Clients of an API server that is read send no bodies worth speed.
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let is_watch = head.lines().next().is_some_and(|line| line.contains("watch=true") || line.contains("watch=1"));
    let (status, kind, body) = match fault {
        Fault::Status(code) => {
            ways.requests.fetch_add(1, Ordering::Relaxed);
            (code, "application/json", refusal(code))
        }
        Fault::Nonsense => {
            ways.requests.fetch_add(1, Ordering::Relaxed);
            (200, "text/html", "<html><title>Sign in to the network</title></html>".to_owned())
        }
        Fault::WatchesGone if is_watch => {
            ways.requests.fetch_add(1, Ordering::Relaxed);
            (410, "application/json", refusal(410))
        }
        _ => return forward(stream, &head, ways).await,
    };
    let reason = StatusCode::from_u16(status).ok()?;
    let answer = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\nretry-after: 1\r\ncontent-length: {}\r\n\r\n{body}",
        reason.canonical_reason().unwrap_or_default(),
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

/// What the API server says to one request, after which the connection ends.
async fn forward<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, head: &str, ways: &Ways) -> Option<()> {
    let server = TcpStream::connect(ways.server).await.ok()?;
    let name = ServerName::try_from("127.0.0.1").ok()?;
    let mut server = ways.connector.connect(name, server).await.ok()?;
    let (first, rest) = head.split_once("\r\n")?;
    server.write_all(format!("{first}\r\nconnection: close\r\n{rest}").as_bytes()).await.ok()?;
    let _ = copy_bidirectional(stream, &mut server).await;
    None
}

/// A refusal as API servers word it.
fn refusal(code: u16) -> String {
    let (reason, message) = match code {
        429 => ("TooManyRequests", "too many requests, please try again later"),
        410 => ("Expired", "too old resource version"),
        _ => ("InternalError", "an error on the server"),
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code})
    .to_string()
}
