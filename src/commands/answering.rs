//! The DNS server of a command, with what its process does around it: sockets of a predecessor, another user, the
//! query log, certificates, and a successor.
//!
//! ```text
//!   Opening::new ──► take over? ──► ports (early where another user is to be had) ──► start ──► Answering ──► end
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use mcdns_serve::{
    BindError, Dnstap, HandOver, Inherited, PATIENCE, PolicyStore, Ports, Predecessor, Server, Service, SnapshotStore,
    drop_privileges, raise_file_limit,
};

use crate::{
    admin,
    settings::{Origin, Settings},
};

/// How often the files of certificates are looked at.
const CERTIFICATES: Duration = Duration::from_mins(1);
/// How long the admin port of a predecessor may stay open after it has given everything else away.
const ADMIN_PORT: Duration = Duration::from_secs(10);
/// Files that are open besides connections: sockets of many threads, logs, what is watched.
const OTHER_FILES: usize = 200;
/// Pause between tries for it.
const AGAIN: Duration = Duration::from_millis(50);

/// What is there before anything is answered.
pub(super) struct Opening {
    inherited: Inherited,
    ports: Option<Ports>,
    takes_over: bool,
}

/// A running server.
pub(super) struct Answering {
    server: Server,
    hand_over: Option<HandOver>,
    look_at_certificates: Instant,
    takes_over: bool,
}

impl Opening {
    /// Takes the sockets and the state directory of a running server, where settings name a place for that and one
    /// waits there; opens ports and becomes another user, where settings name one.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let mut inherited = match &settings.server.handover.value {
            Some(path) => Inherited::receive(path)?,
            None => None,
        };
        let takes_over = inherited.is_some();
        let mut ports = None;
        if let Some(user) = &settings.server.user.value {
            ports = Some(open(settings, inherited.get_or_insert_default())?);
            drop_privileges(&user.user, user.group.as_deref())?;
        }
        let mut inherited = inherited.unwrap_or_default();
        inherited.take().context("the running server does not give way")?;
        Ok(Self { inherited, ports, takes_over })
    }

    /// Starts to answer. `predecessor` is what happens when a successor takes over in turn.
    pub(super) fn start(
        self,
        settings: &Settings,
        store: &Arc<SnapshotStore>,
        policy: &PolicyStore,
        predecessor: impl Predecessor,
    ) -> Result<Answering> {
        let Self { mut inherited, ports, takes_over } = self;
        let ports = match ports {
            Some(ports) => ports,
            None => open(settings, &mut inherited)?,
        };
        let server = ports.start(store, policy, &mut inherited)?;
        set_taps(&server, settings)?;
        inherited.ready().context("the server that was to be taken over goes on, so this one ends")?;
        let hand_over = match &settings.server.handover.value {
            Some(path) => Some(HandOver::listen(path, &server, predecessor, PATIENCE)?),
            None => None,
        };
        Ok(Answering { server, hand_over, look_at_certificates: Instant::now() + CERTIFICATES, takes_over })
    }
}

impl Answering {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Where it listens, with what is spoken there: plain addresses in one piece, and one for each of the others.
    pub(super) fn places(&self, settings: &Settings) -> Vec<String> {
        let (mut plain, mut others) = (Vec::new(), Vec::new());
        for (address, listener) in self.server.addresses().iter().zip(settings.listeners()) {
            match listener.service {
                Service::Plain => plain.push(address.to_string()),
                Service::Tls(_) => others.push(format!("{address}, DNS over TLS")),
                Service::Https { path, .. } => others.push(format!("{address}, DNS over HTTPS (https://…{path})")),
                Service::Quic(_) => others.push(format!("{address}, DNS over QUIC")),
            }
        }
        let plain = (!plain.is_empty()).then(|| format!("{}, UDP and TCP", plain.join(", ")));
        plain.into_iter().chain(others).collect()
    }

    /// Opens the admin port of the settings; that of a predecessor is closed in a moment.
    pub(super) async fn open_admin(&self, settings: &Settings) -> Result<Option<tokio::net::TcpListener>> {
        let asked_for = settings.admin.origin != Origin::Default;
        let end = Instant::now() + ADMIN_PORT;
        while self.takes_over && Instant::now() < end {
            match tokio::net::TcpListener::bind(settings.admin.value).await {
                Ok(listener) => return Ok(Some(listener)),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        admin::bind(settings.admin.value, asked_for).await
    }

    /// How long until [`Answering::look`] has something to do.
    pub(super) fn until_look(&self) -> Duration {
        self.look_at_certificates.saturating_duration_since(Instant::now())
    }

    /// Looks whether certificates have changed, if it is time for that.
    pub(super) fn look(&mut self) {
        if self.until_look().is_zero() {
            self.look_at_certificates = Instant::now() + CERTIFICATES;
            for error in self.server.reload_changed_certificates() {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "a certificate stays as it was");
            }
        }
    }

    /// Waits until a successor has taken over; for ever where none can.
    pub(super) fn taken_over(&self) -> impl Future<Output = ()> + use<> {
        let taken = self.hand_over.as_ref().map(HandOver::taken);
        async move {
            let taken_over = match taken {
                Some(mut taken) => taken.wait_for(|taken| *taken).await.is_ok(),
                None => false,
            };
            if !taken_over {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops; what a successor goes on with is left to it.
    pub(super) fn end(self) {
        let Self { server, hand_over, .. } = self;
        let taken = hand_over.as_ref().is_some_and(|hand_over| *hand_over.taken().borrow());
        drop(hand_over);
        if taken {
            server.retire();
        } else {
            server.stop();
        }
    }
}

/// Puts the query log and dnstap of the settings in force.
pub(super) fn set_taps(server: &Server, settings: &Settings) -> Result<()> {
    let settings = &settings.server;
    let dnstap = settings.dnstap.value.as_ref().map(|dnstap| Dnstap {
        output: dnstap.output.clone(),
        sample: dnstap.sample,
        identity: settings.identity.value.as_deref().map(Into::into),
        version: settings.version.value.as_deref().map(Into::into),
        queries: dnstap.queries,
        responses: true,
    });
    Ok(server.counters().taps().set(settings.query_log.value.as_ref(), dnstap.as_ref())?)
}

/// Opens the listeners of the settings, with as many UDP workers as they say, or one for each core.
fn open(settings: &Settings, inherited: &mut Inherited) -> Result<Ports, BindError> {
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    let workers = settings.server.workers.value.unwrap_or_else(cores);
    let listeners = settings.listeners();
    let connections: usize = listeners.iter().map(|listener| listener.options.connections).sum();
    if let Some(files) = raise_file_limit()
        && files < (connections + OTHER_FILES) as u64
    {
        tracing::warn!(files, connections, "fewer files may be open than connections; raise the limit of open files");
    }
    Ports::open(&listeners, workers, inherited)
}
