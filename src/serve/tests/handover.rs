//! Hand-over of the sockets from one server to the next.

mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mcdns_serve::{
    HandOver, HandOverError, Inherited, Listener, PATIENCE, PolicyStore, Predecessor, Server, SnapshotStore,
};
use rstest::rstest;
use tempfile::TempDir;

use support::{query, show, snapshot};
use traffic::Traffic;

/// What was asked of the old process, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn entries(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Predecessor for Diary {
    fn release(&mut self) -> io::Result<()> {
        self.note("release");
        Ok(())
    }

    fn resume(&mut self) {
        self.note("resume");
    }
}

/// Cannot bring its state to disk.
struct Stuck(Diary);

impl Predecessor for Stuck {
    fn release(&mut self) -> io::Result<()> {
        Err(io::Error::other("the disk is full"))
    }

    fn resume(&mut self) {
        self.0.note("resume");
    }
}

fn serve(addresses: &[SocketAddr], workers: usize, data: &str, inherited: &mut Inherited) -> Server {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", &format!("www A {data}"))])));
    let listeners: Vec<Listener> = addresses.iter().copied().map(Listener::plain).collect();
    Server::bind_inheriting(&listeners, workers, &store, &PolicyStore::default(), inherited).expect("free ports")
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A server on one port, and the path at which it waits for its successor.
fn waiting(predecessor: impl Predecessor, patience: Duration) -> (TempDir, PathBuf, Server, HandOver) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hand-over.sock");
    let server = serve(&[any_port()], 2, "192.0.2.1", &mut Inherited::default());
    let hand_over = HandOver::listen(&path, &server, predecessor, patience).expect("a socket");
    (folder, path, server, hand_over)
}

fn receive(path: &Path) -> Inherited {
    Inherited::receive(path).expect("no error").expect("somebody waits")
}

fn wait_until_taken(hand_over: &HandOver) {
    let mut taken = hand_over.taken();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(taken.wait_for(|taken| *taken)).expect("taken over");
}

fn answers(address: SocketAddr, data: &str) -> bool {
    let socket = UdpSocket::bind(any_port()).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket.send_to(&query("www.example.com", "A"), address).expect("sent");
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).expect("an answer");
    show(&reply[..length]).ends_with(data)
}

#[rstest]
#[case::as_many_workers(2)]
#[case::fewer_workers(1)]
#[case::more_workers(3)]
fn no_query_is_lost_while_a_server_takes_over(#[case] workers: usize) {
    let diary = Diary::default();
    let (_folder, path, old, hand_over) = waiting(diary.clone(), PATIENCE);
    let address = old.addresses()[0];
    let traffic = Traffic::start(address, &query("www.example.com", "A"));
    traffic.wait_for(200);

    let mut inherited = receive(&path);
    assert_eq!(diary.entries(), [""; 0]);
    inherited.take().expect("released");
    assert_eq!(diary.entries(), ["release"]);
    let new = serve(&[address], workers, "192.0.2.2", &mut inherited);
    traffic.wait_for(200);
    inherited.ready().expect("the old server stops");
    wait_until_taken(&hand_over);
    let next = HandOver::listen(&path, &new, (), PATIENCE).expect("the path is free");
    drop(hand_over);
    assert!(path.exists(), "the socket of the new one stays");
    traffic.wait_for(200);
    let old_counters = old.counters().clone();
    old.retire();
    let by_old = old_counters.sum().udp.queries;
    traffic.wait_for(400);

    let [(udp_sent, udp_answered), (tcp_sent, tcp_answered)] = traffic.finish();
    assert_eq!((udp_answered, tcp_answered), (udp_sent, tcp_sent));
    let counters = new.counters().clone();
    assert!(answers(address, "192.0.2.2"));
    drop(next);
    new.stop();
    assert_eq!(usize::try_from(by_old + counters.sum().udp.queries).expect("few"), udp_sent + 1);
    assert!(by_old >= 200 && counters.sum().udp.queries > 400 && counters.sum().tcp.queries > 0);
    assert_eq!(diary.entries(), ["release"]);
}

#[test]
fn a_successor_that_dies_leaves_the_old_server_as_it_was() {
    let diary = Diary::default();
    let (_folder, path, old, _hand_over) = waiting(diary.clone(), PATIENCE);
    let address = old.addresses()[0];
    let traffic = Traffic::start(address, &query("www.example.com", "A"));
    traffic.wait_for(100);
    drop(receive(&path));
    let mut inherited = receive(&path);
    assert_eq!(diary.entries(), [""; 0], "nothing was released for one that did not ask");
    inherited.take().expect("released");
    drop(inherited);
    // The next one is served after the last one was given up.
    let mut inherited = receive(&path);
    assert_eq!(diary.entries(), ["release", "resume"]);
    inherited.take().expect("released");
    // This one even answered, and stops as if the sockets were its own.
    let new = serve(&[address], 2, "192.0.2.1", &mut inherited);
    traffic.wait_for(100);
    new.stop();
    drop(inherited);
    drop(receive(&path));
    assert_eq!(diary.entries(), ["release", "resume", "release", "resume"]);
    traffic.wait_for(100);
    let [(udp_sent, udp_answered), (tcp_sent, tcp_answered)] = traffic.finish();
    assert_eq!((udp_answered, tcp_answered), (udp_sent, tcp_sent));
}

#[test]
fn a_successor_that_hangs_is_given_up_and_told_so() {
    let diary = Diary::default();
    let (_folder, path, old, hand_over) = waiting(diary.clone(), Duration::from_millis(100));
    let mut inherited = receive(&path);
    inherited.take().expect("released");
    // Another one gets its turn when the first was given up.
    let second = receive(&path);
    assert_eq!(diary.entries(), ["release", "resume"]);
    let error = inherited.ready().expect_err("too late");
    assert!(matches!(&error, HandOverError::Refused(reason) if reason.contains("did not go on")), "{error}");
    drop(second);
    assert!(!*hand_over.taken().borrow());
    assert!(answers(old.addresses()[0], "192.0.2.1"));
}

#[test]
fn an_old_server_that_cannot_release_its_state_refuses_and_goes_on() {
    let diary = Diary::default();
    let (_folder, path, old, _hand_over) = waiting(Stuck(diary.clone()), PATIENCE);
    let error = receive(&path).take().expect_err("refused");
    assert!(error.to_string().ends_with("the disk is full"), "{error}");
    drop(receive(&path));
    assert_eq!(diary.entries(), ["resume"]);
    assert!(answers(old.addresses()[0], "192.0.2.1"));
}

#[test]
fn an_old_server_that_stops_meanwhile_refuses() {
    let diary = Diary::default();
    let (_folder, path, old, hand_over) = waiting(diary.clone(), PATIENCE);
    let mut inherited = receive(&path);
    inherited.take().expect("released");
    drop(hand_over);
    assert!(matches!(inherited.ready(), Err(HandOverError::Refused(_))));
    assert_eq!(diary.entries(), ["release", "resume"]);
    assert!(!path.exists(), "nobody waits there any more");
    assert!(Inherited::receive(&path).expect("no error").is_none());
    old.stop();
}

#[test]
fn addresses_come_and_go_with_the_settings_of_the_new_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hand-over.sock");
    let old = serve(&[any_port(), any_port()], 1, "192.0.2.1", &mut Inherited::default());
    let [kept, gone] = *old.addresses() else { unreachable!("two addresses") };
    let hand_over = HandOver::listen(&path, &old, (), PATIENCE).expect("a socket");
    let mut inherited = receive(&path);
    inherited.take().expect("released");
    let new = serve(&[kept, any_port()], 1, "192.0.2.2", &mut inherited);
    inherited.ready().expect("the old server stops");
    wait_until_taken(&hand_over);
    old.retire();
    for &address in new.addresses() {
        assert!(answers(address, "192.0.2.2"));
        TcpStream::connect(address).expect("a connection");
    }
    drop((UdpSocket::bind(gone).expect("free"), TcpListener::bind(gone).expect("free")));
    let kept_is_taken = UdpSocket::bind(kept).expect_err("in use");
    assert_eq!(kept_is_taken.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn the_socket_is_for_its_user_alone_and_for_one_server() {
    let (folder, path, old, hand_over) = waiting((), PATIENCE);
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
    let again = HandOver::listen(&path, &old, (), PATIENCE);
    assert!(matches!(again, Err(HandOverError::Busy(_))));
    drop(hand_over);

    // One that a dead server left behind is replaced.
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    assert!(Inherited::receive(&dead).expect("no error").is_none());
    let waits = HandOver::listen(&dead, &old, (), PATIENCE).expect("replaced");
    drop(receive(&dead));
    drop(waits);
    let nowhere = HandOver::listen(&folder.path().join("missing").join("x"), &old, (), PATIENCE);
    assert!(matches!(nowhere, Err(HandOverError::Socket { .. })));
}
