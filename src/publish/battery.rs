//! The tests that every publisher runs.
//!
//! ```text
//! #[tokio::test]
//! async fn the_battery() {
//!     mcdns_publish::battery::run(&|| Box::pin(async { Box::new(MySubject::new().await) as _ })).await.unwrap();
//! }
//! ```
//!
//! Each case gets a subject of its own, works through `PublishedZone` as the loop does, and ends with the law of
//! convergence: after apply, a publisher that knows nothing yet plans nothing. What a publisher cannot hold
//! ([`Capabilities`](crate::Capabilities)) is left out of what is wanted.

mod cases;
mod random;
mod world;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use mcdns_core::{
    dns::OwnerName,
    plan::{ManagerId, RecordSet},
};
use thiserror::Error;

use crate::Publisher;

pub use random::random_zone;
pub use world::{Wishes, wish};

/// One installation of the system under test with an empty zone.
pub trait Subject: Send + Sync {
    /// Apex of the zone.
    fn apex(&self) -> OwnerName;

    /// A new publisher on it, which knows nothing yet. Called several times, with several managers.
    fn publisher(&self, manager: &ManagerId) -> Arc<dyn Publisher>;

    /// Puts a set there as somebody who has never heard of us, in place of what stands there with the same type. False
    /// if others cannot write there, or sets like this one cannot be there: cases that need it are left out.
    fn put_foreign<'a>(&'a self, owner: &'a OwnerName, set: RecordSet) -> BoxFuture<'a, bool>;

    /// What stands at a name, whose ever it is, sorted.
    fn sets<'a>(&'a self, owner: &'a OwnerName) -> BoxFuture<'a, Vec<RecordSet>>;

    /// Lets the call after so many more go wrong; false if the subject cannot.
    fn fail(&self, calls: usize, trouble: Trouble) -> bool {
        let _ = (calls, trouble);
        false
    }

    /// Lets the system refuse every change of this name until it is told otherwise; false if the subject cannot.
    fn poison(&self, owner: &OwnerName, poisoned: bool) -> bool {
        let _ = (owner, poisoned);
        false
    }

    /// Calls to the system so far; none if the subject does not count.
    fn calls(&self) -> Option<usize> {
        None
    }

    /// How many names the case with many uses; the issue's is 10,000.
    fn many(&self) -> usize {
        10_000
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is done, and an error says so.
    Fails,
    /// It is done, and the answer is lost.
    Crash,
    /// The system asks to be left alone; nothing is done.
    Throttled,
}

/// Makes subjects.
pub type Factory<'a> = &'a (dyn Fn() -> BoxFuture<'static, Box<dyn Subject>> + Sync);

/// What a case found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Failures(pub Vec<String>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Runs every case. The error has one line for each that failed.
pub async fn run(factory: Factory<'_>) -> Result<(), Failures> {
    let mut failures = Vec::new();
    for (name, case) in cases::ALL {
        let subject = factory().await;
        if let Err(why) = case(&*subject).await {
            failures.push(format!("{name}: {why}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}
