//! A real etcd.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use etcd_client::{Certificate, Client, ConnectOptions, DeleteOptions, GetOptions, Identity, PutOptions, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{PATIENCE, Process, free_port, installed};

/// An etcd of one member, in a folder and on a port that stay the same from start to start.
#[derive(Debug)]
pub struct Etcd {
    folder: TempDir,
    port: u16,
    peer_port: u16,
    security: Option<Security>,
    process: Option<Process>,
}

/// Certificates of a server that wants one of its clients, as files.
#[derive(Debug, Clone)]
pub struct Security {
    /// The authority of both.
    pub ca: PathBuf,
    /// Of the server.
    server: (PathBuf, PathBuf),
    /// Of the client.
    pub client: (PathBuf, PathBuf),
}

impl Etcd {
    /// Starts one without security.
    pub async fn start() -> Self {
        Self::start_with(false).await
    }

    /// Starts one, with certificates if that is wanted.
    pub async fn start_with(secure: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let security = secure.then(|| Security::make(&folder));
        let (port, peer_port) = (free_port(), free_port());
        let mut etcd = Self { folder, port, peer_port, security, process: None };
        etcd.run().await;
        etcd
    }

    /// Where it is asked.
    pub fn endpoint(&self) -> String {
        let scheme = if self.security.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.0.id())
    }

    /// Its certificates.
    pub fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Ends it as if the power had gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, with what it had.
    pub async fn run(&mut self) {
        self.process = None;
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let mut command = Command::new(installed("etcd"));
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command.args(["--name", "one", "--logger", "zap", "--log-level", "error"]);
        command.args(["--listen-client-urls", &self.endpoint(), "--advertise-client-urls", &self.endpoint()]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("one={peer}")]);
        // On a busy machine a heartbeat may be late without anything being wrong.
        command.args(["--heartbeat-interval", "300", "--election-timeout", "3000"]);
        if let Some(Security { ca, server: (certificate, key), .. }) = &self.security {
            command.arg("--trusted-ca-file").arg(ca).arg("--client-cert-auth");
            command.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(Process(child.expect("etcd starts")));
        let _ = self.client().await;
    }

    /// Starts it again with nothing.
    pub async fn run_empty(&mut self) {
        self.process = None;
        fs::remove_dir_all(self.folder.path().join("data")).expect("its data goes");
        self.run().await;
    }

    /// A client of it, once it answers.
    pub async fn client(&self) -> Client {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut options = ConnectOptions::new().with_timeout(Duration::from_secs(10));
            if let Some(Security { ca, client: (certificate, key), .. }) = &self.security {
                let read = |path| fs::read(path).expect("a certificate");
                let ca = Certificate::from_pem(read(ca));
                let identity = Identity::from_pem(read(certificate), read(key));
                options = options.with_tls(TlsOptions::new().ca_certificate(ca).identity(identity));
            }
            if let Ok(mut client) = Client::connect([self.endpoint()], Some(options)).await
                && client.get("/", None).await.is_ok()
            {
                return client;
            }
            assert!(tokio::time::Instant::now() < end, "etcd does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Puts keys in, and gives the revision of the last.
    pub async fn put(&self, pairs: &[(&str, &str)]) -> i64 {
        let mut client = self.client().await;
        let mut revision = 0;
        for (key, value) in pairs {
            revision = revision_of(client.put(*key, *value, None).await.expect("a put").header());
        }
        revision
    }

    /// All keys below, with their values, and the revision that they are of.
    pub async fn below(&self, prefix: &str) -> (Vec<(String, String)>, i64) {
        let found = self.client().await.get(prefix, Some(GetOptions::new().with_prefix())).await.expect("a get");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let pairs = found.kvs().iter().map(|pair| (text(pair.key()), text(pair.value()))).collect();
        (pairs, revision_of(found.header()))
    }

    /// Puts a key in that goes with a lease of so many seconds.
    pub async fn put_leased(&self, key: &str, value: &str, seconds: i64) -> i64 {
        let mut client = self.client().await;
        let lease = client.lease_grant(seconds, None).await.expect("a lease").id();
        let put = client.put(key, value, Some(PutOptions::new().with_lease(lease))).await;
        revision_of(put.expect("a put").header())
    }

    /// Deletes everything below.
    pub async fn delete_below(&self, prefix: &str) -> i64 {
        let deleted = self.client().await.delete(prefix, Some(DeleteOptions::new().with_prefix())).await;
        revision_of(deleted.expect("a delete").header())
    }

    /// Forgets all changes in front of this revision.
    pub async fn compact(&self, revision: i64) {
        self.client().await.compact(revision, None).await.expect("a compaction");
    }
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> i64 {
    header.expect("a header").revision()
}

impl Security {
    fn make(folder: &TempDir) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let pair = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            let certificate = write(&format!("{name}.pem"), &certificate.pem());
            (certificate, write(&format!("{name}.key"), &key.serialize_pem()))
        };
        Self { server: pair("server"), client: pair("client"), ca: write("ca.pem", &authority.pem()) }
    }
}
