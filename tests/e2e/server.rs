//! etcd and API servers, as processes that can be broken.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use data_encoding::BASE64URL_NOPAD;
use rcgen::KeyPair;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    Api,
    api::kinds,
    authority::{Authority, Identity},
    keeper::{Kept, Scratch},
    manifests::MEMBER_ACCOUNT,
    objects::SYSTEM,
    programs, wait_for,
};

/// Ports below those that the kernel gives to clients, so that a server finds its own free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Who issues the tokens of service accounts.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Seconds.
const DAY: i64 = 24 * 3600;

/// The administrator's token at every API server.
pub const ADMINISTRATOR: &str = "administrator";

/// etcd with a database of its own.
#[derive(Debug)]
pub struct Etcd {
    process: Kept,
    scratch: Scratch,
    clients: u16,
    peers: u16,
}

/// An API server on top of an etcd.
pub struct ApiServer {
    /// Name of the cluster.
    pub name: String,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Reads and writes as an administrator.
    pub api: Api,
    process: Kept,
    scratch: Scratch,
    signer: KeyPair,
    etcd: u16,
}

impl Etcd {
    /// Starts it.
    #[track_caller]
    pub fn start() -> Self {
        let scratch = Scratch::new("etcd");
        let (clients, peers) = (free_port(), free_port());
        let process = Self::process(&scratch, clients, peers);
        Self { process, scratch, clients, peers }
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.clients
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with what it knew, if it does not run.
    #[track_caller]
    pub fn revive(&mut self) {
        self.process.signal(Signal::CONT);
        if self.process.ended().is_some() {
            self.process = Self::process(&self.scratch, self.clients, self.peers);
        }
    }

    /// Stops it where it stands, with all connections open.
    pub fn suspend(&mut self) {
        self.process.signal(Signal::STOP);
    }

    fn process(scratch: &Scratch, clients: u16, peers: u16) -> Kept {
        let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
        let mut command = Command::new(programs::etcd());
        command.env_clear().arg("--data-dir").arg(scratch.file("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}"), "--log-level", "warn"]);
        // A machine with other work must not lose its leader for it.
        command.args(["--heartbeat-interval", "500", "--election-timeout", "5000"]);
        Kept::start(logged(&mut command, &scratch.file("log")))
    }
}

impl ApiServer {
    /// Starts one; [`ApiServer::until_ready`] waits for it, so that several start beside each other.
    #[track_caller]
    pub fn start(name: &str, etcd: u16, authority: &Authority, identity: &Identity) -> Self {
        let scratch = Scratch::new(name);
        let write = |file: &str, text: &str| fs::write(scratch.file(file), text).expect("a file that can be written");
        write("server.crt", &identity.certificate.pem());
        write("server.key", &identity.key.serialize_pem());
        let signer = KeyPair::generate().expect("a key");
        write("accounts.key", &signer.serialize_pem());
        write("accounts.pub", &signer.public_key_pem());
        write("tokens.csv", &format!("{ADMINISTRATOR},administrator,administrator,\"system:masters\"\n"));
        let port = free_port();
        let api = Api::new(&format!("https://127.0.0.1:{port}"), authority.der(), ADMINISTRATOR);
        let process = Self::process(name, &scratch, port, etcd);
        Self { name: name.to_owned(), port, api, process, scratch, signer, etcd }
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn until_ready(&mut self) {
        let (api, process, scratch) = (&self.api, &mut self.process, &self.scratch);
        wait_for(&format!("the API server of {} is ready", self.name), || {
            let log = || tail(&scratch.file("log"));
            if let Some(status) = process.ended() {
                panic!("the API server of {} ended with {status}\n{}", self.name, log());
            }
            api.is_ready().map_err(|refused| format!("{refused}\n{}", log()))
        });
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A token of the members' account that is signed as its own are, and was good until yesterday.
    #[track_caller]
    pub fn expired_token(&self) -> String {
        let account = self.api.read(kinds::SERVICE_ACCOUNT, &format!("{SYSTEM}/{MEMBER_ACCOUNT}")).expect("an account");
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"iss": ISSUER, "aud": [ISSUER], "iat": now - 2 * DAY, "nbf": now - 2 * DAY,
            "exp": now - DAY, "sub": format!("system:serviceaccount:{SYSTEM}:{MEMBER_ACCOUNT}"),
            "kubernetes.io": {"namespace": SYSTEM,
                "serviceaccount": {"name": MEMBER_ACCOUNT, "uid": account["metadata"]["uid"]}}});
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT"})), part(&claims));
        let chance = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.signer.serialize_der(), &chance);
        let signature = key.expect("a key").sign(&chance, signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it where it stands, with all connections open.
    pub fn suspend(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Has it go on where it stood, or starts it again, and waits until it is ready.
    #[track_caller]
    pub fn revive(&mut self) {
        self.begin_again();
        self.until_ready();
    }

    /// The same without waiting.
    #[track_caller]
    pub fn begin_again(&mut self) {
        self.process.signal(Signal::CONT);
        if self.process.ended().is_some() {
            self.process = Self::process(&self.name, &self.scratch, self.port, self.etcd);
        }
    }

    fn process(name: &str, scratch: &Scratch, port: u16, etcd: u16) -> Kept {
        let file = |name: &str| scratch.file(name).to_string_lossy().into_owned();
        let mut command = Command::new(programs::kube_apiserver());
        // Two cores are shared by many servers; what is left of the environment is not ours to know.
        command.env_clear().env("GOGC", "200").args([
            &format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            &format!("--etcd-prefix=/{name}"),
            &format!("--secure-port={port}"),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            &format!("--cert-dir={}", file("made")),
            &format!("--tls-cert-file={}", file("server.crt")),
            &format!("--tls-private-key-file={}", file("server.key")),
            &format!("--service-account-key-file={}", file("accounts.pub")),
            &format!("--service-account-signing-key-file={}", file("accounts.key")),
            &format!("--service-account-issuer={ISSUER}"),
            // Room for the services of a large federation.
            "--service-cluster-ip-range=10.0.0.0/12",
            "--authorization-mode=RBAC",
            &format!("--token-auth-file={}", file("tokens.csv")),
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--enable-priority-and-fairness=false",
            "--profiling=false",
            // Ended by a signal, it ends.
            "--shutdown-delay-duration=0s",
        ]);
        Kept::start(logged(&mut command, &scratch.file("log")))
    }
}

/// A port that nobody has, and that nobody else in this process is given.
#[track_caller]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes that run at the same time begin at different places.
    let width = u32::from(PORTS.end - PORTS.start);
    let start = u16::try_from(std::process::id().wrapping_mul(97) % width).expect("less than the width");
    let ports = (PORTS.start + start..PORTS.end).chain(PORTS.start..PORTS.start + start);
    let is_free = |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.into_iter().find(is_free).expect("a free port");
    given.insert(port);
    port
}

/// Sends both streams to a file.
fn logged<'a>(command: &'a mut Command, log: &Path) -> &'a mut Command {
    let file = fs::File::options().create(true).append(true).open(log).expect("a file that can be written");
    let copy = file.try_clone().expect("a file");
    command.stdin(Stdio::null()).stdout(file).stderr(copy)
}

/// The last lines of a log.
pub fn tail(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
