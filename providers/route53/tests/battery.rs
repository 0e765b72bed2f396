//! The battery over the strict Route 53 of tests.

mod common;

use std::sync::Arc;

use futures::future::BoxFuture;
use mcdns_core::{
    dns::OwnerName,
    plan::{ManagerId, RecordSet},
};
use mcdns_publish::{
    Publisher,
    battery::{self, Subject, Trouble},
};
use serde_json::json;
use support::route53::{self, Fault};

use common::{APEX, Place, name, ours};

struct InProcess(Place);

impl Subject for InProcess {
    fn apex(&self) -> OwnerName {
        name(APEX)
    }

    fn publisher(&self, manager: &ManagerId) -> Arc<dyn Publisher> {
        let section = self.0.section(&json!({}));
        mcdns_route53::publisher("aws", &[name(APEX)], manager, &section).expect("a publisher")
    }

    fn put_foreign<'a>(&'a self, owner: &'a OwnerName, set: RecordSet) -> BoxFuture<'a, bool> {
        let values = set.values();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let kind = set.record_type.to_string();
        let set = route53::RecordSet::new(&owner.fqdn(), &kind, set.ttl.unwrap_or_default(), &values);
        self.0.service.put_foreign(&self.0.zone, set);
        Box::pin(std::future::ready(true))
    }

    fn sets<'a>(&'a self, owner: &'a OwnerName) -> BoxFuture<'a, Vec<RecordSet>> {
        let records = self.0.service.records(&self.0.zone);
        let there = |set: &&route53::RecordSet| set.name == owner.fqdn();
        let mut sets: Vec<RecordSet> = records.iter().filter(there).map(ours).collect();
        sets.sort();
        Box::pin(std::future::ready(sets))
    }

    fn fail(&self, calls: usize, trouble: Trouble) -> bool {
        let fault = match trouble {
            Trouble::Fails => Fault::ServiceUnavailable,
            Trouble::Crash => Fault::CutAfter,
            Trouble::Throttled => Fault::Throttled,
        };
        self.0.service.fail_after("*", u32::try_from(calls).expect("few"), fault);
        true
    }

    fn poison(&self, owner: &OwnerName, poisoned: bool) -> bool {
        let words = "Invalid Resource Record: FATAL problem: Poisoned (nobody knows why)";
        self.0.service.refuse(&owner.fqdn(), poisoned.then_some(words));
        true
    }

    fn calls(&self) -> Option<usize> {
        usize::try_from(self.0.all_calls()).ok()
    }

    fn many(&self) -> usize {
        // The service has room for 10,000 sets in a zone unless Amazon raises that, and each name has a mark.
        self.0.service.set_quota(100_000);
        10_000
    }
}

#[tokio::test]
async fn the_battery() {
    let outcome = battery::run(&|| Box::pin(async { Box::new(InProcess(Place::new())) as Box<dyn Subject> })).await;
    if let Err(failures) = outcome {
        panic!("{failures}");
    }
}
