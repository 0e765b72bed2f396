//! hickory-server with the zone, as one would set it up: a catalogue with one zone from a master file, on every
//! transport that it has, and one thread.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use hickory_server::{
    Server,
    proto::rr::{LowerName, Name},
    server::default_tls_server_config,
    store::file::{FileConfig, FileZoneHandler},
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use support::zone;
use tokio::net::{TcpListener, UdpSocket};

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Answers that wait for a client over TCP: as in hickory's own program.
const WAITING: usize = 32;

/// Files and addresses.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Setup {
    zone: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    plain: SocketAddr,
    tls: SocketAddr,
    https: SocketAddr,
    quic: SocketAddr,
}

/// Serves until somebody ends the process.
pub(crate) fn serve(setup: &Setup) -> anyhow::Result<()> {
    let origin = Name::from_ascii(format!("{}.", zone::APEX))?;
    let config = FileConfig { zone_path: setup.zone.clone() };
    let zone = FileZoneHandler::try_from_config(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny, None, &config);
    let zone = zone.map_err(anyhow::Error::msg)?;
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::from(origin), vec![Arc::new(zone)]);
    let certificate = certificate(&setup.certificate, &setup.key)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut server = Server::new(catalog);
        server.register_socket(UdpSocket::bind(setup.plain).await?);
        server.register_listener(TcpListener::bind(setup.plain).await?, IDLE, WAITING);
        let config = Arc::new(default_tls_server_config(b"dot", Arc::clone(&certificate))?);
        server.register_tls_listener_with_tls_config(TcpListener::bind(setup.tls).await?, IDLE, config)?;
        server.register_https_listener(
            TcpListener::bind(setup.https).await?,
            IDLE,
            Arc::clone(&certificate),
            None,
            "/dns-query".to_owned(),
        )?;
        server.register_quic_listener(UdpSocket::bind(setup.quic).await?, IDLE, certificate)?;
        server.block_until_done().await?;
        anyhow::Ok(())
    })
}

fn certificate(chain: &Path, key: &Path) -> anyhow::Result<Arc<dyn ResolvesServerCert>> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).context("the key is of no known kind")?;
    Ok(Arc::new(SingleCertAndKey::from(key)))
}
