//! The battery over a strict webhook provider in this process.

use std::{collections::BTreeMap, sync::Arc};

use super::peer::{Fault, Manners, Peer};
use futures::future::BoxFuture;
use mcdns_core::{
    dns::{OwnerName, display_rdata, parse_rdata, parse_rdata_text},
    plan::{Content, ManagerId, RecordSet},
};
use mcdns_publish::{
    Publisher,
    battery::{self, Subject, Trouble},
};
use serde_json::{Value, json};

struct OverTheWire {
    apex: OwnerName,
    peer: Peer,
    many: usize,
}

impl OverTheWire {
    async fn new(manners: Manners) -> Self {
        let apex = OwnerName::parse("example.com").expect("a name");
        // Size is tried once; the second run is about forms.
        let many = if manners.opinionated { 1_000 } else { 10_000 };
        Self { apex, peer: Peer::start(manners).await, many }
    }
}

impl Subject for OverTheWire {
    fn apex(&self) -> OwnerName {
        self.apex.clone()
    }

    fn publisher(&self, manager: &ManagerId) -> Arc<dyn Publisher> {
        let section = json!({"url": self.peer.url(), "timeout": 300});
        mcdns_webhook::publisher("other", std::slice::from_ref(&self.apex), manager, &section).expect("a publisher")
    }

    fn put_foreign<'a>(&'a self, owner: &'a OwnerName, set: RecordSet) -> BoxFuture<'a, bool> {
        let Content::Data(data) = &set.content else { return Box::pin(std::future::ready(false)) };
        let targets: Vec<String> = data.iter().map(|data| display_rdata(set.record_type, data)).collect();
        self.peer.put(json!({
            "dnsName": owner.to_string(), "recordType": set.record_type.to_string(),
            "recordTTL": set.ttl, "targets": targets,
        }));
        Box::pin(std::future::ready(true))
    }

    fn sets<'a>(&'a self, owner: &'a OwnerName) -> BoxFuture<'a, Vec<RecordSet>> {
        let name = owner.to_string();
        let here = self.peer.store().into_iter().filter(|endpoint| endpoint["dnsName"] == name.as_str());
        let mut sets: Vec<RecordSet> = here.map(|endpoint| read(&endpoint)).collect();
        sets.sort();
        Box::pin(std::future::ready(sets))
    }

    fn fail(&self, calls: usize, trouble: Trouble) -> bool {
        let fault = match trouble {
            Trouble::Fails => Fault::Fails,
            Trouble::Crash => Fault::Crash,
            Trouble::Throttled => Fault::Throttled,
        };
        self.peer.fail(calls, fault);
        true
    }

    fn poison(&self, owner: &OwnerName, poisoned: bool) -> bool {
        self.peer.poison(&owner.to_string(), poisoned);
        true
    }

    fn calls(&self) -> Option<usize> {
        Some(self.peer.calls())
    }

    fn many(&self) -> usize {
        self.many
    }
}

/// Reads what the peer holds without the code under test.
fn read(endpoint: &Value) -> RecordSet {
    let record_type = endpoint["recordType"].as_str().expect("a type").parse().expect("a type");
    let root = OwnerName::root();
    let data = endpoint["targets"].as_array().expect("targets").iter().map(|target| {
        let target = target.as_str().expect("a text");
        let parsed = parse_rdata_text(record_type, target, &root);
        parsed.or_else(|_| parse_rdata(record_type, &[target], &root)).expect("a value")
    });
    RecordSet {
        record_type,
        identifier: None,
        ttl: endpoint["recordTTL"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()),
        content: Content::Data(data.collect()),
        properties: BTreeMap::new(),
    }
}

async fn run(manners: Manners) {
    let factory = move || -> BoxFuture<'static, Box<dyn Subject>> {
        Box::pin(async move { Box::new(OverTheWire::new(manners).await) as Box<dyn Subject> })
    };
    let outcome = battery::run(&factory).await.map_err(|failures| failures.to_string());
    assert!(outcome.is_ok(), "{}", outcome.err().unwrap_or_default());
}

#[tokio::test]
async fn the_battery() {
    run(Manners::default()).await;
}

#[tokio::test]
async fn the_battery_with_a_peer_that_has_a_form_of_its_own() {
    run(Manners { opinionated: true, ..Manners::default() }).await;
}
