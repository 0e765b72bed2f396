//! mcdns with the keys of an etcd, without the rest of the program.

use std::{net::SocketAddr, sync::Arc};

use mcdns_core::{answer::Snapshot, dns::Serial};
use mcdns_serve::{Listener, PolicyStore, Server, SnapshotStore};
use mcdns_skydns::{LeaseLimits, Prefix};
use mcdns_sources::skydns::{Follower, Options, Standing, State, Tls, open};

use crate::{Etcd, PATIENCE};

/// A server of zones of keys, which serves what it is told to [catch up](Self::catch_up) with.
pub struct Served {
    store: Arc<SnapshotStore>,
    server: Server,
    follower: Follower,
}

impl Served {
    /// Starts one for these zones.
    pub fn start(etcd: &Etcd, zones: &[&str]) -> Self {
        let options = Options {
            endpoints: vec![etcd.endpoint()],
            prefix: Prefix::default(),
            zones: zones.iter().map(|zone| zone.parse().expect("a name")).collect(),
            user: None,
            tls: Tls::default(),
            leases: LeaseLimits::default(),
            serial: Serial(1),
        };
        let follower = open(options).expect("a source");
        let store = Arc::new(SnapshotStore::new(Snapshot::default()));
        let listener = Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = Server::bind(&[listener], 1, &store, &PolicyStore::default()).expect("a server");
        Self { store, server, follower }
    }

    /// Serves what is known, once that is all up to this revision.
    pub async fn catch_up(&self, revision: i64) {
        let mut states = self.follower.states();
        let wanted = |state: &State| state.standing == Standing::Fresh && state.revision >= revision;
        let state = tokio::time::timeout(PATIENCE, states.wait_for(wanted)).await;
        let state = state.expect("in time").expect("a source").clone();
        let with = |snapshot: Snapshot, zone| snapshot.with_other(Arc::new(zone));
        self.store.store(state.zones.into_iter().fold(Snapshot::default(), with));
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }
}
