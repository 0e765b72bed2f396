//! Publishing: from what is wanted to what other systems hold and answer.

mod etcd;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::anyhow;

use crate::report::Report;

/// Measures each part; one that cannot be measured stops no other.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    attempt(report, "endpoint change to CoreDNS' answer", |report| runtime.block_on(etcd::change(report)));
    attempt(report, "100,000 names in etcd", |report| runtime.block_on(etcd::many(report)));
    Ok(())
}

/// What starts foreign programs fails as a test does, by a panic.
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
