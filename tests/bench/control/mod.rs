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

use crate::{Setup, report::Report};

/// Measures each part; one that cannot be measured stops no other.
pub(crate) fn measure(setup: &Setup, report: &mut Report) {
    report.attempt("API write to changed answer", |report| real::measure(setup, report));
    report.attempt("start, change and rest of the control plane", |report| served::measure(setup, report));
}
