//! Tests beside foreign DNS systems, longer than the test command runs them.

use std::path::Path;

use crate::{
    kubernetes,
    process::{cargo, run},
    tools,
};

/// Random questions for each comparison; the test command asks a few hundred.
const QUERIES: &str = "2000";

/// Builds what is missing, and compares.
pub(crate) fn compare(top: &Path) -> anyhow::Result<()> {
    provide(top)?;
    run(cargo(top, &["test", "--package", "interop"]).env("MCDNS_INTEROP_QUERIES", QUERIES))
}

/// Sees to it that the foreign programs are there.
pub(crate) fn provide(top: &Path) -> anyhow::Result<()> {
    tools::provide(top)?;
    kubernetes::provide_coredns(top)?;
    Ok(())
}
