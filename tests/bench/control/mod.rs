//! The control plane: from what API servers say to what is answered.
//!
//! ```text
//!   real:      etcd ── 5 API servers ── mcdns          how long a change takes, with everything that is real
//!   served:    this program ── TLS ── mcdns            what mcdns itself needs, with API servers that cost it nothing
//! ```
//!
//! mcdns is a process of its own in both, so that its time and memory are its own.

mod real;
mod served;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::anyhow;

use crate::{Setup, report::Report};

/// Measures each part; one that cannot be measured stops no other.
pub(crate) fn measure(setup: &Setup, report: &mut Report) {
    attempt(report, "API write to changed answer", |report| real::measure(setup, report));
    attempt(report, "start, change and rest of the control plane", |report| served::measure(setup, report));
}

/// What starts clusters fails as a test does, by a panic.
fn attempt(report: &mut Report, what: &str, measure: impl FnOnce(&mut Report) -> anyhow::Result<()>) {
    let result = catch_unwind(AssertUnwindSafe(|| measure(report)));
    let error = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            anyhow!("{}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it stopped without a word"))
        }
    };
    report.failed(what, &error);
}
