//! The new process' side of a hand-over.

use std::{
    net::{TcpListener, UdpSocket},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    HandOverError,
    offer::describe,
    wire::{self, Connection, Description, Message},
};
use crate::{listener::Listener, udp::Phase};

/// How long the running server may take for a step; releasing its state directory brings it to disk first.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sockets of a running server, and the connection to it. Nothing by default.
///
/// Dropped before [`Inherited::ready`] it leaves the running server as it is.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Description, OwnedFd)>,
    connection: Option<Connection>,
    /// Of the server that was bound with them.
    heir: Option<Arc<Phase>>,
}

impl Inherited {
    /// Gets the sockets of the server that waits at `path`; none where no server does.
    pub fn receive(path: &Path) -> Result<Option<Self>, HandOverError> {
        let failed = |source| HandOverError::Socket { path: path.to_owned(), source };
        let Some(mut connection) = wire::connect(path).map_err(failed)? else { return Ok(None) };
        connection.check_peer(true)?;
        connection.send(&Message::Ask, &[])?;
        let mut all = Vec::new();
        loop {
            match connection.receive_within(PATIENCE)? {
                (Message::Sockets { descriptions, more }, sockets) if descriptions.len() == sockets.len() => {
                    all.extend(descriptions.into_iter().zip(sockets));
                    if !more {
                        return Ok(Some(Self { sockets: all, connection: Some(connection), heir: None }));
                    }
                }
                (message, _) => return Err(HandOverError::Unexpected(message.to_string())),
            }
        }
    }

    /// Has the running server release its state directory; when this returns, it can be locked.
    pub fn take(&mut self) -> Result<(), HandOverError> {
        self.ask(&Message::Take, &Message::Released)
    }

    /// Has the running server stop, because this process answers now. Sockets that nobody wanted are closed. An
    /// error means that the other one goes on, and that this process must end.
    pub fn ready(mut self) -> Result<(), HandOverError> {
        self.ask(&Message::Ready, &Message::Done)?;
        if let Some(heir) = &self.heir {
            heir.own();
        }
        Ok(())
    }

    /// True where there is no running server.
    pub(crate) fn is_nothing(&self) -> bool {
        self.connection.is_none()
    }

    /// A server is about to read the sockets, which are not its own before [`Inherited::ready`].
    pub(crate) fn share_with(&mut self, heir: &Arc<Phase>) {
        if self.connection.is_some() {
            heir.share();
            self.heir = Some(Arc::clone(heir));
        }
    }

    /// The UDP sockets of this listener.
    pub(crate) fn take_udp(&mut self, listener: &Listener) -> Vec<UdpSocket> {
        self.remove("udp", listener).map(UdpSocket::from).collect()
    }

    /// The listening socket of this listener.
    pub(crate) fn take_tcp(&mut self, listener: &Listener) -> Option<TcpListener> {
        self.remove("tcp", listener).map(TcpListener::from).last()
    }

    fn remove(&mut self, transport: &str, listener: &Listener) -> impl Iterator<Item = OwnedFd> {
        let wanted = describe(transport, listener, listener.address);
        let taken: Vec<_> = self.sockets.extract_if(.., |(description, _)| *description == wanted).collect();
        taken.into_iter().map(|(_, socket)| socket)
    }

    fn ask(&mut self, question: &Message, wanted: &Message) -> Result<(), HandOverError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // Where this cannot be sent, the other side has said why before it left.
        let _ = connection.send(question, &[]);
        match connection.receive_within(PATIENCE) {
            Ok((message, _)) if message == *wanted => Ok(()),
            Ok((message, _)) => Err(HandOverError::Unexpected(message.to_string())),
            // It says "refused" where it goes on; where it is gone, its lock and its sockets are ours alone.
            Err(HandOverError::Gone(error)) => {
                tracing::warn!(%error, "the server that was to be taken over is gone");
                self.connection = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
