//! Hand-over of the listening sockets to a new process, without a lost query.
//!
//! ```text
//!   new process                     UNIX socket                      old process
//!   ───────────                                                      ───────────
//!   connects                     ── sockets? ──►
//!                                ◄── sockets ──      descriptions and descriptors (SCM_RIGHTS), 64 a message
//!                                ── take ──►         flushes and releases its state directory, observes no more,
//!   takes the state directory,   ◄── released ──       and goes on answering
//!   binds what is new,
//!   starts answering             ── ready ──►
//!   is alone                     ◄── done ──         stops reading UDP and accepting TCP, ends its connections, exits
//! ```
//!
//! Both processes read the same sockets between "starts answering" and "ready": a datagram goes to one of them, and
//! whoever reads it answers it. A socket is never closed by both, so nothing that the kernel has delivered is lost.
//! Connections belong to the process that has accepted them, which finishes what is under way.
//!
//! If the new process dies, says something else, or does not get ahead within the patience of the old one before it
//! says "ready", the old one takes its state directory back ([`Predecessor::resume`]) and goes on as if nothing had
//! been; the new one is told "refused" if it lives and must end. If the old one dies, the new one goes on.
//!
//! The socket has mode 0600, and either side speaks only with its own user or with root (`SO_PEERCRED`, unix(7)).
//! QUIC sockets are not handed over: a connection's state cannot be, so each process has its own (`SO_REUSEPORT`).

mod inherited;
mod offer;
mod wire;

use std::{
    fs, io,
    os::{
        fd::AsFd as _,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::watch;

pub use inherited::Inherited;
pub(crate) use offer::Offer;
use wire::{Connection, Message, wait_readable};

use crate::{server::Server, udp::Phase};

/// How long the old process waits for each step of the new one, if settings say nothing else. Between "take" and
/// "ready" the new one reads its state and zones, which takes a minute for the largest.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How long the first question may take: it comes with the connection.
const GREETING: Duration = Duration::from_secs(5);

/// Why sockets could not be handed over or taken.
#[derive(Debug, Error)]
pub enum HandOverError {
    /// The UNIX socket cannot be made or asked. Settings or permissions have to change.
    #[error("cannot hand over by {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another running server waits there; it has to be stopped or taken over first.
    #[error("another server waits at {} to be taken over", .0.display())]
    Busy(PathBuf),
    /// The process at the other end belongs to somebody else.
    #[error("the process at the other end belongs to user {uid}; it must be the same user, or root")]
    Foreign {
        /// User of that process.
        uid: u32,
    },
    /// The other process ended, or the system failed; a retry may help.
    #[error("the other process is gone")]
    Gone(#[source] io::Error),
    /// The other process did not go on in time; a retry may help.
    #[error("the other process did not go on within {} s", .0.as_secs())]
    Late(Duration),
    /// The other process speaks something else: another version of this program, mostly.
    #[error("the other process says {0:?}, which is not understood")]
    Unexpected(String),
    /// The old process goes on as it is, and the new one must end.
    #[error("the running server refuses: {0}")]
    Refused(String),
}

/// What the old process does on its way out besides answering. All of it is called by a thread of the [`HandOver`].
pub trait Predecessor: Send + 'static {
    /// Brings the state directory to disk and releases it, and observes no more. Answering goes on. An error refuses
    /// the new process; [`Predecessor::resume`] is called then too.
    fn release(&mut self) -> io::Result<()>;

    /// The new process failed: takes the state directory again and goes on observing.
    fn resume(&mut self);
}

/// Servers that keep nothing on disk.
impl Predecessor for () {
    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn resume(&mut self) {}
}

/// A running server that waits for its successor. Dropping it ends the waiting; do so before the server is stopped.
#[derive(Debug)]
pub struct HandOver {
    taken: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
    /// Wakes the thread when it is closed.
    end: Option<UnixStream>,
}

/// What the thread works with.
struct Waiting<P> {
    /// None once a successor has taken over.
    listener: Option<UnixListener>,
    /// Device and inode of our socket, by which it is known from a successor's at the same path.
    path: PathBuf,
    identity: (u64, u64),
    end: UnixStream,
    offer: Weak<Offer>,
    phase: Arc<Phase>,
    predecessor: P,
    patience: Duration,
    taken: watch::Sender<bool>,
}

impl HandOver {
    /// Waits at `path` for a successor, in a thread of its own, with so much `patience` for each step of it. A socket
    /// that a dead server left there is replaced; that of a predecessor is gone after [`Inherited::ready`].
    pub fn listen(
        path: &Path,
        server: &Server,
        predecessor: impl Predecessor,
        patience: Duration,
    ) -> Result<Self, HandOverError> {
        let failed = |source| HandOverError::Socket { path: path.to_owned(), source };
        if wire::connect(path).map_err(failed)?.is_some() {
            return Err(HandOverError::Busy(path.to_owned()));
        }
        let (listener, identity) = open(path).map_err(failed)?;
        let (end, wake) = UnixStream::pair().map_err(failed)?;
        let (taken, when_taken) = watch::channel(false);
        let waiting = Waiting {
            listener: Some(listener),
            path: path.to_owned(),
            identity,
            end: wake,
            offer: server.offer(),
            phase: server.phase(),
            predecessor,
            patience,
            taken,
        };
        let thread = thread::Builder::new().name("hand-over".to_owned()).spawn(move || waiting.run());
        Ok(Self { taken: when_taken, thread: Some(thread.map_err(failed)?), end: Some(end) })
    }

    /// Becomes true when a successor answers: it is time to [retire](Server::retire).
    pub fn taken(&self) -> watch::Receiver<bool> {
        self.taken.clone()
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that waits for a successor ended by a panic");
        }
    }
}

impl<P: Predecessor> Waiting<P> {
    fn run(mut self) {
        while let Some(listener) = &self.listener
            && let Ok(true) = wait_readable(listener.as_fd(), Some(self.end.as_fd()), None)
        {
            let accepted = listener.accept().and_then(|(stream, _)| Connection::new(stream));
            let Ok(mut connection) = accepted else { continue };
            if let Err(error) = self.serve(&mut connection) {
                let _ = connection.send(&Message::Refused(error.to_string()), &[]);
                tracing::warn!(error = &error as &dyn std::error::Error, "a successor failed; this process goes on");
            }
        }
        self.close();
    }

    /// Waits for nobody any more. A successor has put its own socket at the path already, perhaps.
    fn close(&mut self) {
        if self.listener.take().is_some() && identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// The whole conversation with one new process.
    fn serve(&mut self, connection: &mut Connection) -> Result<(), HandOverError> {
        connection.check_peer(false)?;
        expect(&self.receive(connection, GREETING)?, &Message::Ask)?;
        self.phase.share();
        // Who fails must end, and has the sockets no more.
        self.hand_over(connection).inspect_err(|_| self.phase.own())
    }

    fn hand_over(&mut self, connection: &mut Connection) -> Result<(), HandOverError> {
        let offer = self.offer.upgrade().ok_or_else(|| refusal("the server is stopping"))?;
        offer.send(connection)?;
        drop(offer);
        expect(&self.receive(connection, self.patience)?, &Message::Take)?;
        let released = self.predecessor.release().map_err(|error| refusal(&error.to_string()));
        released.and_then(|()| self.give_way(connection)).inspect_err(|_| self.predecessor.resume())
    }

    /// Waits until the successor answers.
    fn give_way(&mut self, connection: &mut Connection) -> Result<(), HandOverError> {
        connection.send(&Message::Released, &[])?;
        expect(&self.receive(connection, self.patience)?, &Message::Ready)?;
        tracing::info!("a successor answers; this process ends");
        // First, so that the successor finds the path free.
        self.close();
        self.taken.send_replace(true);
        // It answers whether it hears this or not.
        let _ = connection.send(&Message::Done, &[]);
        Ok(())
    }

    fn receive(&self, connection: &mut Connection, patience: Duration) -> Result<Message, HandOverError> {
        let deadline = Instant::now() + patience;
        match wait_readable(connection.as_fd(), Some(self.end.as_fd()), Some(deadline)) {
            Ok(true) => connection.receive().map(|(message, _)| message),
            Ok(false) if Instant::now() >= deadline => Err(HandOverError::Late(patience)),
            Ok(false) => Err(refusal("the server is stopping")),
            Err(error) => Err(HandOverError::Gone(error)),
        }
    }
}

fn expect(message: &Message, wanted: &Message) -> Result<(), HandOverError> {
    if message == wanted { Ok(()) } else { Err(HandOverError::Unexpected(message.to_string())) }
}

fn refusal(reason: &str) -> HandOverError {
    HandOverError::Refused(reason.to_owned())
}

/// A listening UNIX socket, which appears at `path` when nobody but us can use it, in the place of any other.
fn open(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    let _ = fs::remove_file(&unfinished);
    // Who connects before the mode is set is refused by what we know of him.
    let listener = UnixListener::bind(&unfinished)?;
    let finish = || {
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        let identity = identity(&unfinished)?;
        fs::rename(&unfinished, path)?;
        io::Result::Ok(identity)
    };
    let identity = finish().inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok((listener, identity))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{Listener, PolicyStore, SnapshotStore};

    #[test]
    fn after_a_hand_over_that_failed_the_sockets_are_the_servers_own_and_the_next_one_works() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hand-over.sock");
        let (store, policy) = (Arc::new(SnapshotStore::default()), PolicyStore::default());
        let listener = Listener::plain((Ipv4Addr::LOCALHOST, 0).into());
        let old = Server::bind(&[listener], 1, &store, &policy).expect("a free port");
        let address = old.addresses()[0];
        let receive = || Inherited::receive(&path).expect("no error").expect("somebody waits");
        // Before and after the state directory was released, and when it answers already.
        for step in 0..3 {
            let hand_over = HandOver::listen(&path, &old, (), PATIENCE).expect("the path is free");
            let mut inherited = receive();
            assert!(old.phase().leaves_sockets(), "somebody has them");
            if step > 0 {
                inherited.take().expect("released");
            }
            let new = (step > 1).then(|| {
                let new = Server::bind_inheriting(&[Listener::plain(address)], 1, &store, &policy, &mut inherited);
                new.expect("the same port")
            });
            drop((new, inherited));
            // Has its turn when the one before has failed; ends the thread.
            drop(receive());
            drop(hand_over);
            assert!(!old.phase().leaves_sockets(), "failed at step {step}");
        }
        let hand_over = HandOver::listen(&path, &old, (), PATIENCE).expect("the path is free");
        let mut inherited = receive();
        inherited.take().expect("released");
        let new = Server::bind_inheriting(&[Listener::plain(address)], 1, &store, &policy, &mut inherited);
        let new = new.expect("the same port");
        assert!(new.phase().leaves_sockets(), "not its own yet");
        inherited.ready().expect("the old server stops");
        drop(hand_over);
        assert!(old.phase().leaves_sockets() && !new.phase().leaves_sockets());
        old.retire();
        new.stop();
    }
}
