//! The servers once more, with every transport that they offer, and the certificate that they share.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use support::zone;

use super::servers::{find, knot as plain_knot, start};
use crate::process::{Server, free_address};

/// What the certificate is for.
pub(super) const SERVER_NAME: &str = "localhost";

/// Files of a certificate that nobody has signed but itself.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) chain: PathBuf,
    key: PathBuf,
}

/// Where a server speaks what is encrypted; UDP and TCP are at its address. Nobody listens where it does not offer a
/// transport.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) tls: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) quic: SocketAddr,
}

/// `mcdns serve`.
pub(super) fn mcdns(program: &Path, folder: &Path, certificate: &Certificate) -> anyhow::Result<(Server, Ports)> {
    let ports = Ports::free()?;
    let server = start("mcdns", program, folder, |address| {
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        let encrypted = |address: SocketAddr, transport: &str| {
            format!("    - {{address: \"{address}\", transports: [{transport}], certificate: {chain}, key: {key}}}\n")
        };
        let text = format!(
            "version: 1\nserve:\n  workers: 1\n  listen:\n    - \"{address}\"\n{}{}{}",
            encrypted(ports.tls, "dot"),
            encrypted(ports.https, "doh"),
            encrypted(ports.quic, "doq"),
        );
        let settings = folder.join("mcdns.yaml");
        fs::write(&settings, text)?;
        let zone_file = folder.join("example.com.zone").display().to_string();
        Ok(vec!["serve".to_owned(), "--settings".to_owned(), settings.display().to_string(), zone_file])
    })?;
    Ok((server, ports))
}

/// Knot, which offers TCP.
pub(super) fn knot(folder: &Path) -> anyhow::Result<(Server, Ports)> {
    Ok((plain_knot(folder)?, Ports::free()?))
}

/// BIND with one thread, and answers as short as those of the others.
pub(super) fn bind(folder: &Path, certificate: &Certificate) -> anyhow::Result<(Server, Ports)> {
    let ports = Ports::free()?;
    let home = folder.join("bind");
    let server = start("BIND", &find("named")?, folder, |address| {
        fs::create_dir_all(&home)?;
        let listen = |address: SocketAddr, how: &str| {
            format!("  listen-on port {}{how} {{ {}; }};\n", address.port(), address.ip())
        };
        let text = format!(
            "tls own {{ cert-file \"{chain}\"; key-file \"{key}\"; }};\n\
             http own {{ endpoints {{ \"/dns-query\"; }}; }};\n\
             options {{\n  directory \"{home}\";\n  pid-file none;\n  session-keyfile none;\n  lock-file none;\n  \
             listen-on-v6 {{ none; }};\n  recursion no;\n  notify no;\n  minimal-responses yes;\n  \
             dnssec-validation no;\n{plain}{tls}{https}}};\n\
             controls {{ }};\n\
             zone \"{apex}\" {{ type primary; file \"{zone_file}\"; }};\n",
            chain = certificate.chain.display(),
            key = certificate.key.display(),
            home = home.display(),
            plain = listen(address, ""),
            tls = listen(ports.tls, " tls own"),
            https = listen(ports.https, " tls own http own"),
            apex = zone::APEX,
            zone_file = folder.join("example.com.zone").display(),
        );
        let settings = folder.join("named.conf");
        fs::write(&settings, text)?;
        Ok(vec!["-g".to_owned(), "-n".to_owned(), "1".to_owned(), "-c".to_owned(), settings.display().to_string()])
    })?;
    Ok((server, ports))
}

/// hickory-server, in this program started once more.
pub(super) fn hickory(folder: &Path, certificate: &Certificate) -> anyhow::Result<(Server, Ports)> {
    let ports = Ports::free()?;
    let program = std::env::current_exe().context("where this program is cannot be told")?;
    let server = start("hickory-server", &program, folder, |address| {
        let arguments = [
            "hickory".to_owned(),
            folder.join("example.com.zone").display().to_string(),
            certificate.chain.display().to_string(),
            certificate.key.display().to_string(),
        ];
        let addresses = [address, ports.tls, ports.https, ports.quic].map(|address| address.to_string());
        Ok([arguments, addresses].concat())
    })?;
    Ok((server, ports))
}

impl Certificate {
    /// Makes one and writes it into the folder.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let files = Self { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
        fs::write(&files.chain, made.cert.pem())?;
        fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        Ok(Self { tls: free_address()?, https: free_address()?, quic: free_address()? })
    }
}
