//! The query log: a line for one of so many queries.

use std::{num::NonZeroU32, path::PathBuf};

/// Which queries are logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLog {
    /// One of so many queries, at random distances; 1 logs them all.
    pub sample: NonZeroU32,
    /// Lines are appended to this file, which is opened again where it was renamed; none: they go into the log of the
    /// program, in the format of that.
    pub file: Option<PathBuf>,
    /// How the lines of the file look.
    pub format: LineFormat,
}

/// How a line of the query log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// `time key=value …`
    #[default]
    Text,
    /// One JSON object.
    Json,
}
