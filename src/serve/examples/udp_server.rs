//! Serves one master file over UDP and TCP, with nothing else around it, for timing what a query costs.
//!
//! ```text
//! cargo run --release -p mcdns-serve --example udp_server MASTER-FILE ADDRESS:PORT
//! ```
//!
//! Unlike `hot_path` this has the kernel's part too; `cargo xtask bench dns` measures the whole program.

use std::{
    env, fs,
    io::{self, Error},
    net::SocketAddr,
    sync::Arc,
    thread,
};

use mcdns_core::{
    answer::Snapshot,
    check::zone::{apex_of, assemble},
    dns::{
        OwnerName,
        master::{read, refuse_includes},
    },
};
use mcdns_serve::{Listener, PolicyStore, Server, SnapshotStore};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, address] = &arguments[..] else { return Err(Error::other("which master file, and on which address?")) };
    let address: SocketAddr = address.parse().map_err(Error::other)?;
    let path: Arc<str> = file.as_str().into();
    let (records, _) = read(&fs::read_to_string(file)?, &path, &OwnerName::root(), &mut refuse_includes);
    let apex = apex_of(&records).ok_or_else(|| Error::other("the file has no SOA"))?;
    let contents = assemble(&apex, records).0.ok_or_else(|| Error::other("the file is no zone"))?;
    let snapshot = Snapshot::default().with_zone(&contents).map_err(Error::other)?;
    drop(contents);
    let store = Arc::new(SnapshotStore::new(snapshot));
    let _server =
        Server::bind(&[Listener::plain(address)], 1, &store, &PolicyStore::default()).map_err(Error::other)?;
    loop {
        thread::park();
    }
}
