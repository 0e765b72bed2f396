//! The program with a zone that is worth asking for, over all transports, and others who are served meanwhile.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{
    SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::{
    Program, Scratch, eventually,
    load::{Check, Tcp, Udp, connect, query},
    text,
};

pub(crate) const A: u16 = 1;
/// Queries a second over UDP while others misbehave.
pub(crate) const RATE: u32 = 1_000;
pub(crate) const EIGHT: [Ipv4Addr; 8] = [Ipv4Addr::LOCALHOST; 8];

/// One after the other: each counts file descriptors, memory or time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) type Http2 = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

pub(crate) struct Served {
    pub(crate) scratch: Scratch,
    pub(crate) program: Program,
    pub(crate) tls: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) quic: SocketAddr,
}

impl Served {
    /// All transports, with these options of the listener.
    #[track_caller]
    pub(crate) fn new(options: &str) -> Self {
        Self::with("", options)
    }

    /// The same with these lines in the section of the server.
    #[track_caller]
    pub(crate) fn with(server: &str, options: &str) -> Self {
        let scratch = Scratch::new();
        let (certificate, key, file) = (scratch.path("tls.crt"), scratch.path("tls.key"), scratch.path("load.zone"));
        let pair = rcgen::generate_simple_self_signed(["ns1.load.example".to_owned()]).expect("a certificate");
        fs::write(&certificate, pair.cert.pem()).expect("written");
        fs::write(&key, pair.signing_key.serialize_pem()).expect("written");
        fs::write(&file, zone()).expect("written");
        let mut settings = format!("version: 1\nserve:\n{server}  listen:\n");
        for transports in ["udp, tcp", "dot", "doh", "doq"] {
            let (certificate, key) = (text(&certificate), text(&key));
            let files =
                if transports.len() > 3 { String::new() } else { format!(", certificate: {certificate}, key: {key}") };
            writeln!(settings, "    - {{address: '127.0.0.1:0', transports: [{transports}]{files}, {options}}}")
                .expect("a text");
        }
        let path = scratch.path("settings.yaml");
        fs::write(&path, settings).expect("written");
        let program = Program::start(&["serve", text(&file), "--settings", text(&path), "--admin", "127.0.0.1:0"]);
        let log = program.log();
        let told = log.lines().filter(|line| line.contains("answering for"));
        let addresses = told.map(|line| line.rsplit_once(" on ").expect("an address").1);
        let addresses: Vec<SocketAddr> = addresses
            .map(|rest| rest.split(',').next().and_then(|one| one.parse().ok()).expect("an address"))
            .collect();
        let [_, tls, https, quic] = addresses[..] else { panic!("four listeners and not {addresses:?}\n{log}") };
        Self { scratch, program, tls, https, quic }
    }

    /// Everybody else: load over UDP, and a new connection over TCP for each question.
    pub(crate) fn others(&self) -> (Udp, Tcp) {
        let check = || -> Check { Box::new(is_www) };
        (Udp::start(self.program.server, &EIGHT, RATE, www, check), Tcp::start(self.program.server, 1, www, check()))
    }

    /// None of them lost anything.
    #[track_caller]
    pub(crate) fn assert_served(&self, (udp, tcp): (Udp, Tcp)) {
        let tcp = tcp.stop();
        udp.stop().assert_whole(self.program.kernel_drops());
        tcp.assert_whole(0);
    }

    /// A TLS connection to the HTTPS listener that has sent the start of HTTP/2 with these settings (RFC 9113
    /// section 3.4).
    pub(crate) fn http2(&self, settings: &[u8]) -> Http2 {
        let config = self.client_config(rustls::DEFAULT_VERSIONS, b"h2");
        let name = ServerName::try_from("ns1.load.example").expect("a name");
        let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
        let mut stream = rustls::StreamOwned::new(session, connect(self.https));
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        stream.write_all(&frame(4, 0, 0, settings)).expect("sent");
        stream
    }

    /// What connects to the QUIC listener.
    pub(crate) fn quic_client(&self) -> quinn::ClientConfig {
        let config = self.client_config(&[&rustls::version::TLS13], b"doq");
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).expect("a configuration");
        quinn::ClientConfig::new(Arc::new(config))
    }

    fn client_config(&self, versions: &[&'static SupportedProtocolVersion], protocol: &[u8]) -> rustls::ClientConfig {
        let certificate = fs::read(self.scratch.path("tls.crt")).expect("a certificate");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&certificate).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

/// `www` with one address, and `big` with some 50 KB in 200 records, for transfers 4,000 names more: 600 KB.
pub(crate) fn zone() -> String {
    let mut zone = String::from(
        "$ORIGIN load.example.\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 604800 30\n@ NS ns1\nns1 A 192.0.2.1\n\
         www A 192.0.2.80\n",
    );
    for number in 0..200 {
        writeln!(zone, "big TXT \"{number:0240}\"").expect("a text");
    }
    for number in 0..4_000 {
        writeln!(zone, "name-{number} TXT \"{number:0100}\"").expect("a text");
    }
    zone
}

pub(crate) fn www(_: u64) -> Vec<u8> {
    query(7, "www.load.example", A)
}

pub(crate) fn is_www(_: u64, answer: &[u8]) -> Result<(), String> {
    if answer.ends_with(&[192, 0, 2, 80]) { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// Lets this process, and those that it starts from now on, open as many files as the system allows.
#[track_caller]
pub(crate) fn open_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to its maximum");
    limit.maximum.unwrap_or(u64::MAX)
}

/// Waits until the server has closed all but so many files.
#[track_caller]
pub(crate) fn until_files(program: &Program, most: usize) {
    eventually("the server closes its side", || {
        let open = program.open_files();
        if open <= most { Ok(()) } else { Err(format!("{open} files are open, not {most}")) }
    });
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
