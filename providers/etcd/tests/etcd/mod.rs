//! A real etcd, and a way to it that loses what it is told to lose.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "helpers of tests fail so")]

mod proxy;

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use etcd_client::{Client, ConnectOptions};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use proxy::Proxy;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// An etcd of one member, in a folder and on a port that stay the same from start to start.
#[derive(Debug)]
pub(crate) struct Server {
    folder: TempDir,
    ports: (u16, u16),
    process: Option<Process>,
}

/// A program that ends with the value.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { folder, ports: (free_port(), free_port()), process: None };
        server.run().await;
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.0)
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.0
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as if the power had gone.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, with what it had.
    pub(crate) async fn run(&mut self) {
        self.process = None;
        let peer = format!("http://127.0.0.1:{}", self.ports.1);
        let mut command = Command::new(installed("etcd"));
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command.args(["--name", "one", "--logger", "zap", "--log-level", "error"]);
        command.args(["--listen-client-urls", &self.endpoint(), "--advertise-client-urls", &self.endpoint()]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("one={peer}")]);
        // On a busy machine a heartbeat may be late without anything being wrong; and passwords are not what is tested.
        command.args(["--heartbeat-interval", "300", "--election-timeout", "3000", "--bcrypt-cost", "4"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(Process(child.expect("etcd starts")));
        let end = Instant::now() + PATIENCE;
        loop {
            let connected = Client::connect([self.endpoint()], Some(options())).await;
            // With authentication it refuses, which is an answer too.
            if let Ok(mut client) = connected
                && !matches!(client.get("/", None).await, Err(error) if error.to_string().contains("onnect"))
            {
                return;
            }
            assert!(Instant::now() < end, "etcd does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts it again with nothing.
    pub(crate) async fn run_empty(&mut self) {
        self.process = None;
        fs::remove_dir_all(self.folder.path().join("data")).expect("its data goes");
        self.run().await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect([self.endpoint()], Some(options())).await.expect("a client")
    }

    pub(crate) async fn client_of(&self, user: &str, password: &str) -> Client {
        let options = options().with_user(user, password);
        Client::connect([self.endpoint()], Some(options)).await.expect("a client")
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new().with_timeout(Duration::from_secs(30))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A Debian program, where administrators' programs are looked for too.
#[track_caller]
fn installed(name: &str) -> PathBuf {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing; `cargo xtask interop` installs what the tests need"))
}
