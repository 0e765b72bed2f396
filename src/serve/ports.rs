//! Everything that is listened on, opened but not answered yet.
//!
//! Opening and answering are apart so that a process can bind ports below 1024 as root, become somebody else, and only
//! then read what it answers from.

use std::fmt;

use crate::{
    handover::{Inherited, Offer},
    listener::Listener,
    sockets::{BindError, Opened, open},
    streams::{Certificates, SetupError, StreamSetup},
};

/// The open sockets of all listeners. Queries wait in them until [`Ports::start`].
#[derive(Debug)]
pub struct Ports {
    pub(crate) opened: Vec<Port>,
    pub(crate) workers: usize,
    pub(crate) certificates: Certificates,
    pub(crate) offer: Offer,
}

/// One listener.
pub(crate) struct Port {
    pub(crate) listener: Listener,
    pub(crate) setup: StreamSetup,
    pub(crate) sockets: Opened,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, setup: _, sockets } = self;
        f.debug_struct("Port").field("listener", listener).field("sockets", sockets).finish_non_exhaustive()
    }
}

impl Ports {
    /// Opens all, for so many threads for UDP on each address and for all streams (at least one). Sockets of a
    /// predecessor are used as far as `listeners` has their addresses; the others stay in `inherited`.
    pub fn open(listeners: &[Listener], workers: usize, inherited: &mut Inherited) -> Result<Self, BindError> {
        if listeners.is_empty() {
            return Err(BindError::NoAddress);
        }
        let workers = workers.max(1);
        let mut certificates = Certificates::default();
        let mut opened = Vec::new();
        let mut offer = Offer::default();
        for listener in listeners {
            let setup = stream_setup(listener, &mut certificates)?;
            let sockets = open(listener, workers, inherited)?;
            offer.add(listener, &sockets).map_err(BindError::Thread)?;
            opened.push(Port { listener: listener.clone(), setup, sockets });
        }
        Ok(Self { opened, workers, certificates, offer })
    }
}

fn stream_setup(listener: &Listener, certificates: &mut Certificates) -> Result<StreamSetup, BindError> {
    let address = listener.address;
    StreamSetup::new(listener, certificates).map_err(|error| match error {
        SetupError::Certificate(source) => BindError::Certificate { address, source: Box::new(source) },
        SetupError::Protocol(reason) => BindError::Protocol { address, reason },
    })
}
