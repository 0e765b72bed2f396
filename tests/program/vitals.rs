//! What the system and the program itself say of a program that runs.

use std::fs;

use super::Program;

impl Program {
    /// Octets of memory of its own, that is without files.
    #[track_caller]
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }

    /// Files and sockets that it has open.
    #[track_caller]
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("a process that runs").count()
    }

    /// Datagrams that the kernel could not deliver because its receive buffers were full.
    #[track_caller]
    pub(crate) fn kernel_drops(&self) -> u64 {
        let port = format!(":{:04X}", self.server.port());
        let table = fs::read_to_string("/proc/net/udp").expect("a table of sockets");
        let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let own = sockets.filter(|fields| fields.get(1).is_some_and(|address| address.ends_with(&port)));
        own.map(|fields| fields.last().and_then(|drops| drops.parse::<u64>().ok()).expect("a count of drops")).sum()
    }

    /// Sum of a counter over all label sets that have `labels` in them.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &str) -> u64 {
        let (code, text) = self.page("/metrics");
        assert_eq!(code, 200, "{text}");
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
        let values = lines.map(|line| line.rsplit_once(' ').expect("a value").1);
        values.map(|value| value.parse::<u64>().expect("a count")).sum()
    }
}
