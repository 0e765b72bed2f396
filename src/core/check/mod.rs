//! Findings: what is wrong or odd, where it stands, and what would be right.

mod finding;

pub mod delegation;
pub mod zone;

pub use finding::{Finding, FindingCode, Place, Severity};
