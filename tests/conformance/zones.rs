//! The master files that every server loads.

use std::{fs, path::Path};

use anyhow::Context;

/// Who may have a zone as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Whoever asks from a loopback address.
    Everybody,
    /// Whoever signs with one of the keys.
    Keys,
    /// Nobody.
    Nobody,
}

/// A zone.
#[derive(Debug, Clone, Copy)]
pub struct Zone {
    /// Without the last dot.
    pub apex: &'static str,
    /// Its master file.
    pub text: &'static str,
    /// Who may have it as a whole.
    pub transfer: Transfer,
}

/// All of them.
pub const ZONES: &[Zone] = &[
    zone("plain.test", include_str!("zones/plain.test.zone"), Transfer::Nobody),
    zone("other.test", include_str!("zones/other.test.zone"), Transfer::Nobody),
    zone("dname.test", include_str!("zones/dname.test.zone"), Transfer::Nobody),
    zone("both.test", include_str!("zones/both.test.zone"), Transfer::Nobody),
    zone("child.both.test", include_str!("zones/child.both.test.zone"), Transfer::Nobody),
    zone("example", include_str!("zones/example.zone"), Transfer::Nobody),
    zone("transfer.test", include_str!("zones/transfer.test.zone"), Transfer::Everybody),
    zone("closed.test", include_str!("zones/closed.test.zone"), Transfer::Nobody),
    zone("keyed.test", include_str!("zones/keyed.test.zone"), Transfer::Keys),
];

const fn zone(apex: &'static str, text: &'static str, transfer: Transfer) -> Zone {
    Zone { apex, text, transfer }
}

impl Zone {
    /// Name of its file.
    pub fn file(&self) -> String {
        format!("{}.zone", self.apex)
    }
}

/// Writes all master files into a folder.
///
/// # Errors
/// A file that cannot be written.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    for zone in ZONES {
        let file = folder.join(zone.file());
        fs::write(&file, zone.text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}
