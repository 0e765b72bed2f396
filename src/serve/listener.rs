//! What the server listens on.

use std::{net::SocketAddr, path::PathBuf};

use crate::policy::ListenerOptions;

/// One address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Port 0 takes any free port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub service: Service,
    /// What this listener does differently from others.
    pub options: ListenerOptions,
}

/// What is spoken at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// DNS over UDP and TCP, on the same port (RFC 7766 section 5).
    Plain,
    /// DNS over TLS (RFC 7858), transfers included (RFC 9103).
    Tls(CertificateFiles),
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// What the server proves itself with.
        certificate: CertificateFiles,
        /// Path of the resource, such as `/dns-query`.
        path: String,
    },
    /// DNS over QUIC (RFC 9250).
    Quic(CertificateFiles),
}

/// PEM files of a certificate chain and its key; read again on [`Server::reload_certificates`](crate::Server).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Listener {
    /// UDP and TCP on this address, as everybody expects them.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, service: Service::Plain, options: ListenerOptions::default() }
    }
}
