//! A real CoreDNS with its plug-in `etcd`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
};

use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use crate::{Etcd, Process, ask, free_port, kept, wait_for};

/// The release that is compared with.
const VERSION: &str = "1.14.7";

/// A CoreDNS that serves zones from keys.
#[derive(Debug)]
pub struct CoreDns {
    address: SocketAddr,
    _folder: TempDir,
    _process: Process,
}

impl CoreDns {
    /// Starts one for these zones.
    pub fn start(etcd: &Etcd, zones: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let corefile = folder.path().join("Corefile");
        let text = format!(
            ".:{} {{\n  bind 127.0.0.1\n  etcd {} {{\n    endpoint {}\n  }}\n}}\n",
            address.port(),
            zones.join(" "),
            etcd.endpoint()
        );
        fs::write(&corefile, text).expect("a Corefile");
        let child = Command::new(Self::program())
            .arg("-conf")
            .arg(&corefile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = Process(child.expect("CoreDNS starts"));
        wait_for("CoreDNS", || ask(address, zones[0], RecordType::SOA).ok());
        Self { address, _folder: folder, _process: process }
    }

    /// The program, for who starts it in another way.
    pub fn program() -> PathBuf {
        kept(&format!("coredns-{VERSION}/coredns"))
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
