//! The sockets of a server as a successor gets them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
};

use super::{
    HandOverError,
    wire::{Connection, Description, MOST_SOCKETS, Message},
};
use crate::{
    listener::{Listener, Service},
    sockets::Opened,
};

/// All listening sockets of a server.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    sockets: Vec<(Description, OwnedFd)>,
}

impl Offer {
    /// Adds the sockets of one listener.
    pub(crate) fn add(&mut self, listener: &Listener, opened: &Opened) -> io::Result<()> {
        let describe = |transport| describe(transport, listener, opened.address);
        for socket in &opened.udp[..opened.udp_sockets] {
            self.sockets.push((describe("udp"), socket.try_clone()?.into()));
        }
        if let Some(socket) = &opened.tcp {
            self.sockets.push((describe("tcp"), socket.try_clone()?.into()));
        }
        Ok(())
    }

    pub(super) fn send(&self, connection: &mut Connection) -> Result<(), HandOverError> {
        let mut left = &self.sockets[..];
        loop {
            let (now, later) = left.split_at(left.len().min(MOST_SOCKETS));
            let (descriptions, sockets): (Vec<_>, Vec<_>) =
                now.iter().map(|(description, socket)| (description.clone(), socket.as_fd())).unzip();
            connection.send(&Message::Sockets { descriptions, more: !later.is_empty() }, &sockets)?;
            if later.is_empty() {
                return Ok(());
            }
            left = later;
        }
    }
}

/// What a socket of a listener is for.
pub(super) fn describe(transport: &str, listener: &Listener, address: SocketAddr) -> Description {
    let service = match listener.service {
        Service::Plain => "plain",
        Service::Tls(_) => "dot",
        Service::Https { .. } => "doh",
        Service::Quic(_) => "doq",
    };
    Description { transport: transport.to_owned(), service: service.to_owned(), address }
}
