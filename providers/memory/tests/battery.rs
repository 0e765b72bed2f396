//! The battery over the publisher in memory, and faults that only it can have.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcdns_core::{
    dns::OwnerName,
    plan::{ManagerId, RecordSet},
};
use mcdns_memory::{Fault, Memory, Store};
use mcdns_publish::{
    Publisher,
    battery::{self, Subject, Trouble},
};

struct InMemory {
    apex: OwnerName,
    store: Store,
}

impl InMemory {
    fn new() -> Self {
        let apex = OwnerName::parse("example.com").expect("a name");
        Self { store: Store::new([apex.clone()]), apex }
    }
}

impl Subject for InMemory {
    fn apex(&self) -> OwnerName {
        self.apex.clone()
    }

    fn publisher(&self, manager: &ManagerId) -> Arc<dyn Publisher> {
        Arc::new(Memory::new("memory", manager.clone(), self.store.clone()))
    }

    fn put_foreign<'a>(&'a self, owner: &'a OwnerName, set: RecordSet) -> BoxFuture<'a, bool> {
        self.store.put(&self.apex, owner.clone(), set);
        Box::pin(std::future::ready(true))
    }

    fn sets<'a>(&'a self, owner: &'a OwnerName) -> BoxFuture<'a, Vec<RecordSet>> {
        let sets = self.store.sets(&self.apex).remove(owner).unwrap_or_default();
        Box::pin(std::future::ready(sets))
    }

    fn fail(&self, calls: usize, trouble: Trouble) -> bool {
        let fault = match trouble {
            Trouble::Fails => Fault::unavailable(),
            Trouble::Crash => Fault::Crash,
            Trouble::Throttled => Fault::throttled(),
        };
        self.store.fail(calls, fault);
        true
    }

    fn poison(&self, owner: &OwnerName, poisoned: bool) -> bool {
        self.store.poison(owner, poisoned.then_some("InvalidChangeBatch"));
        true
    }

    fn calls(&self) -> Option<usize> {
        Some(self.store.calls())
    }
}

#[tokio::test]
async fn the_battery() {
    let outcome = battery::run(&|| Box::pin(async { Box::new(InMemory::new()) as Box<dyn Subject> })).await;
    if let Err(failures) = outcome {
        panic!("{failures}");
    }
}
