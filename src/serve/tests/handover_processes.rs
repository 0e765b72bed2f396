//! Hand-over between two processes: this program starts itself again as the servers.

#[path = "support/mod.rs"]
mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
};

use mcdns_serve::{HandOver, Inherited, Listener, PATIENCE, PolicyStore, Server, SnapshotStore};

use support::{query, snapshot};
use traffic::Traffic;

/// Says to a child that it is a server, and where it hands over.
const PATH: &str = "MCDNS_TEST_HAND_OVER";
/// What it listens on.
const LISTEN: &str = "MCDNS_TEST_LISTEN";

/// Exit code of a server that was taken over.
const TAKEN: u8 = 7;

fn main() -> ExitCode {
    if let Some(path) = env::var_os(PATH) {
        return serve(path.as_ref());
    }
    no_query_is_lost_from_process_to_process();
    ExitCode::SUCCESS
}

/// Serves until it is taken over, or its input ends.
fn serve(path: &Path) -> ExitCode {
    let listen: SocketAddr = env::var(LISTEN).expect("an address").parse().expect("an address");
    let mut inherited = Inherited::receive(path).expect("no error").unwrap_or_default();
    inherited.take().expect("released");
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let policy = PolicyStore::default();
    let server = Server::bind_inheriting(&[Listener::plain(listen)], 2, &store, &policy, &mut inherited);
    let server = server.expect("a port");
    inherited.ready().expect("the old one stops");
    let hand_over = HandOver::listen(path, &server, (), PATIENCE).expect("a socket");
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.addresses()[0]).and_then(|()| out.flush()).expect("written");

    let mut taken = hand_over.taken();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let end_of_input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            _ = taken.wait_for(|taken| *taken) => {}
            _ = end_of_input => {}
        }
    });
    runtime.shutdown_background();
    drop(hand_over);
    if *taken.borrow() {
        server.retire();
        return ExitCode::from(TAKEN);
    }
    server.stop();
    ExitCode::SUCCESS
}

fn no_query_is_lost_from_process_to_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hand-over.sock");
    let (mut old, address) = start(&path, (Ipv4Addr::LOCALHOST, 0).into());
    let traffic = Traffic::start(address, &query("www.example.com", "A"));
    traffic.wait_for(200);
    // Several times, so that what was inherited is inherited again.
    for _ in 0..3 {
        let (new, same) = start(&path, address);
        assert_eq!(same, address);
        assert_eq!(old.wait().expect("ended").code(), Some(TAKEN.into()), "it was taken over");
        traffic.wait_for(200);
        old = new;
    }
    let [udp, tcp] = traffic.finish();
    assert_eq!((udp.0, tcp.0), (udp.1, tcp.1), "as many answers as queries");
    drop(old.stdin.take());
    assert_eq!(old.wait().expect("ended").code(), Some(0));
    assert!(!path.exists());
}

/// A server process that answers.
fn start(path: &Path, listen: SocketAddr) -> (Child, SocketAddr) {
    let mut child = Command::new(env::current_exe().expect("a path"))
        .env(PATH, path)
        .env(LISTEN, listen.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
    (child, line.trim().parse().expect("an address"))
}
