//! A publisher that keeps everything in memory, for tests and dry runs.
