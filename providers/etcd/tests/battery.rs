//! The battery over a real etcd, with a way to it that loses calls and answers.

#![allow(clippy::panic, reason = "the battery says what failed")]

mod etcd;

use std::sync::Arc;

use etcd::{Proxy, Server};
use futures::future::BoxFuture;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{ManagerId, Ownership, RecordSet},
};
use mcdns_etcd::Etcd;
use mcdns_publish::{
    Publisher,
    battery::{self, Subject, Trouble},
};
use mcdns_skydns::{Prefix, Service};
use serde_json::json;
use tokio::runtime::Handle;

/// Password of all users.
const PASSWORD: &str = "not to be told";

struct InEtcd {
    apex: OwnerName,
    server: Server,
    proxy: Proxy,
    password_file: std::path::PathBuf,
}

impl InEtcd {
    async fn new() -> Self {
        let apex = OwnerName::parse("example.com").expect("a name");
        let server = Server::start().await;
        let proxy = Proxy::open(server.port());
        let password_file = server.folder().join("password");
        std::fs::write(&password_file, PASSWORD).expect("a file");
        let mut client = server.client().await;
        for user in ["root", "mcdns"] {
            client.user_add(user, PASSWORD, None).await.expect("a user");
            client.role_add(user).await.expect("a role");
            client.user_grant_role(user, user).await.expect("a grant");
        }
        let all = etcd_client::Permission::read_write("/skydns/").with_prefix();
        client.role_grant_permission("mcdns", all).await.expect("a permission");
        client.auth_enable().await.expect("authentication");
        Self { apex, server, proxy, password_file }
    }

    fn section(&self, endpoint: &str) -> serde_json::Value {
        json!({
            "endpoints": [endpoint], "username": "mcdns", "passwordFile": self.password_file.to_str(),
            "nameServers": {"ns1": ["192.0.2.53", "2001:db8::53"]},
        })
    }
}

impl Subject for InEtcd {
    fn apex(&self) -> OwnerName {
        self.apex.clone()
    }

    fn publisher(&self, manager: &ManagerId) -> Arc<dyn Publisher> {
        let section = self.section(&self.proxy.endpoint());
        mcdns_etcd::publisher("etcd", std::slice::from_ref(&self.apex), manager, &section).expect("settings")
    }

    /// As external-dns writes it.
    fn put_foreign<'a>(&'a self, owner: &'a OwnerName, set: RecordSet) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let mut client = self.server.client_of("root", PASSWORD).await;
            let key = Prefix::default().key(owner).expect("a key");
            for (index, value) in set.values().into_iter().enumerate() {
                let ttl = set.ttl.unwrap_or_default();
                let service = match set.record_type {
                    RecordType::TXT => Service { text: value.trim_matches('"').to_owned(), ..Service::default() },
                    _ => Service { host: value, ..Service::default() },
                };
                let service = Service { ttl, targetstrip: 1, ..service };
                let label = format!("/{:04x}{index:04x}", set.record_type.0);
                client.put([&*key, label.as_bytes()].concat(), service.encode(), None).await.expect("a put");
            }
            true
        })
    }

    fn sets<'a>(&'a self, owner: &'a OwnerName) -> BoxFuture<'a, Vec<RecordSet>> {
        Box::pin(async move {
            let section = self.section(&self.server.endpoint());
            let nobody: ManagerId = "nobody".parse().expect("a manager");
            let reader = Etcd::new("reader", std::slice::from_ref(&self.apex), &nobody, &section).expect("settings");
            let mut zone = reader.read(&self.apex).await.expect("a reading");
            let standing = zone.names.remove(owner);
            let mut sets: Vec<RecordSet> = standing
                .iter()
                .flat_map(|standing| standing.all_sets().filter(|(_, ownership)| **ownership != Ownership::Ours))
                .map(|(set, _)| set.clone())
                .collect();
            sets.sort();
            sets
        })
    }

    fn fail(&self, calls: usize, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Fails => self.proxy.lose_call(calls),
            Trouble::Crash => self.proxy.lose_answer(calls),
            // What a server that has too much to do says.
            Trouble::Throttled => self.proxy.refuse_call(calls),
        }
        true
    }

    /// By taking away the right to write there.
    fn poison(&self, owner: &OwnerName, poisoned: bool) -> bool {
        let key = Prefix::default().key(owner).expect("a key");
        let all = || etcd_client::Permission::read_write("/skydns/").with_prefix();
        tokio::task::block_in_place(|| {
            Handle::current().block_on(async {
                let mut client = self.server.client_of("root", PASSWORD).await;
                if poisoned {
                    let revoke = etcd_client::RoleRevokePermissionOptions::new().with_prefix();
                    client.role_revoke_permission("mcdns", "/skydns/", Some(revoke)).await.expect("a revocation");
                    let end = [&*key, b"0"].concat();
                    for permission in [
                        etcd_client::Permission::read_write("/skydns/").with_range_end(key.clone()),
                        etcd_client::Permission::read(key).with_range_end(end.clone()),
                        etcd_client::Permission::read_write(end).with_range_end("/skydns0"),
                    ] {
                        client.role_grant_permission("mcdns", permission).await.expect("a permission");
                    }
                } else {
                    client.role_grant_permission("mcdns", all()).await.expect("a permission");
                }
            });
        });
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_battery() {
    let outcome = battery::run(&|| Box::pin(async { Box::new(InEtcd::new().await) as Box<dyn Subject> })).await;
    if let Err(failures) = outcome {
        panic!("{failures}");
    }
}
