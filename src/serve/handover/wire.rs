//! What the two processes say to each other.
//!
//! Messages are text with four octets of length in front, the first line with name and version of the protocol.
//! Descriptors come with the first octet of their message. The socket is a stream and no `SOCK_SEQPACKET`, where a
//! message to somebody who has left throws away what he said before he did (Linux, `unix_dgram_disconnected`).

use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    cmsg_space,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg, sockopt,
    },
    process::geteuid,
};

use super::HandOverError;

/// Protocol and version.
const HEAD: &str = "mcdns-handover/1";
/// Descriptors that one message carries; the kernel takes 253 (`SCM_MAX_FD`, unix(7)).
pub(super) const MOST_SOCKETS: usize = 64;
/// Octets of a message; 64 descriptions of at most 70 octets fit twice.
const LONGEST: usize = 16 * 1024;
/// How long the rest of a message may take, and a message to be taken by the other side.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// New: which sockets are there?
    Ask,
    /// Old: these, one for each descriptor of the message, and then perhaps more.
    Sockets { descriptions: Vec<Description>, more: bool },
    /// New: release the state directory.
    Take,
    /// Old: it is released.
    Released,
    /// New: I answer.
    Ready,
    /// Old: I do not any more.
    Done,
    /// Old: I go on; end.
    Refused(String),
}

/// What a socket is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    /// `udp` or `tcp`.
    pub(super) transport: String,
    /// `plain`, `dot` or `doh`.
    pub(super) service: String,
    pub(super) address: SocketAddr,
}

/// The UNIX socket between the two.
#[derive(Debug)]
pub(super) struct Connection(UnixStream);

impl Connection {
    /// Neither side waits for ever for the rest of a message.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(WHOLE_WITHIN))?;
        stream.set_write_timeout(Some(WHOLE_WITHIN))?;
        Ok(Self(stream))
    }

    /// Refuses to speak with other users than our own and root. Root itself speaks with the old process of any user
    /// (`root_trusts`): it is to become that user, and the path is one of its settings.
    pub(super) fn check_peer(&self, root_trusts: bool) -> Result<(), HandOverError> {
        let peer = sockopt::socket_peercred(&self.0).map_err(|error| HandOverError::Gone(error.into()))?;
        let (own, uid) = (geteuid(), peer.uid);
        if uid.is_root() || uid == own || root_trusts && own.is_root() {
            return Ok(());
        }
        Err(HandOverError::Foreign { uid: uid.as_raw() })
    }

    pub(super) fn send(&mut self, message: &Message, sockets: &[BorrowedFd<'_>]) -> Result<(), HandOverError> {
        let text = message.to_string();
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let fits = sockets.is_empty() || control.push(SendAncillaryMessage::ScmRights(sockets));
        debug_assert!(fits && text.len() <= LONGEST, "the caller divides what is long");
        let sent = sendmsg(&self.0, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL);
        sent.map_err(io::Error::from).and_then(|_| self.0.write_all(text.as_bytes())).map_err(HandOverError::Gone)
    }

    /// The next message and its descriptors.
    pub(super) fn receive(&mut self) -> Result<(Message, Vec<OwnedFd>), HandOverError> {
        let mut length = [0; 4];
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut length)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(|error| HandOverError::Gone(error.into()))?;
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(HandOverError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        let length = u32::from_be_bytes(length) as usize;
        if received.bytes < 4 || length > LONGEST || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(HandOverError::Unexpected("something without a length".to_owned()));
        }
        let mut octets = vec![0; length];
        self.0.read_exact(&mut octets).map_err(HandOverError::Gone)?;
        let text = String::from_utf8_lossy(&octets);
        match Message::parse(&text) {
            Some(Message::Refused(reason)) => Err(HandOverError::Refused(reason)),
            Some(message) => Ok((message, sockets)),
            None => Err(HandOverError::Unexpected(text.lines().next().unwrap_or_default().to_owned())),
        }
    }

    /// The next message, within this time.
    pub(super) fn receive_within(&mut self, patience: Duration) -> Result<(Message, Vec<OwnedFd>), HandOverError> {
        match wait_readable(self.as_fd(), None, Some(Instant::now() + patience)) {
            Ok(true) => self.receive(),
            Ok(false) => Err(HandOverError::Late(patience)),
            Err(error) => Err(HandOverError::Gone(error)),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Message {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let word = lines.next()?.strip_prefix(HEAD)?.strip_prefix(' ')?;
        Some(match word.split_once(' ').unwrap_or((word, "")) {
            ("ask", "") => Self::Ask,
            ("sockets", more @ ("more" | "all")) => {
                let descriptions = lines.map(Description::parse).collect::<Option<Vec<_>>>()?;
                Self::Sockets { descriptions, more: more == "more" }
            }
            ("take", "") => Self::Take,
            ("released", "") => Self::Released,
            ("ready", "") => Self::Ready,
            ("done", "") => Self::Done,
            ("refused", reason) => Self::Refused(reason.to_owned()),
            _ => return None,
        })
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD} ")?;
        match self {
            Self::Ask => f.write_str("ask"),
            Self::Sockets { descriptions, more } => {
                f.write_str(if *more { "sockets more" } else { "sockets all" })?;
                descriptions.iter().try_for_each(|Description { transport, service, address }| {
                    write!(f, "\n{transport} {service} {address}")
                })
            }
            Self::Take => f.write_str("take"),
            Self::Released => f.write_str("released"),
            Self::Ready => f.write_str("ready"),
            Self::Done => f.write_str("done"),
            Self::Refused(reason) => write!(f, "refused {}", reason.replace('\n', " ")),
        }
    }
}

impl Description {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (transport, service) = (words.next()?.to_owned(), words.next()?.to_owned());
        let address = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { transport, service, address })
    }
}

/// A connection to whoever waits at `path`; none where nobody does.
pub(super) fn connect(path: &Path) -> io::Result<Option<Connection>> {
    match UnixStream::connect(path) {
        Ok(stream) => Connection::new(stream).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until there is something to read: true; false at the deadline, or when `end` was closed.
pub(super) fn wait_readable(
    source: BorrowedFd<'_>,
    end: Option<BorrowedFd<'_>>,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    loop {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        let mut watched = vec![PollFd::from_borrowed_fd(source, PollFlags::IN)];
        watched.extend(end.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN)));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) if watched.get(1).is_some_and(|end| !end.revents().is_empty()) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
