//! The machine that figures come from, without which they say nothing.

use std::{fmt, fs, thread};

/// What is said about it; empty or 0 where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    /// In KiB.
    memory: u64,
    kernel: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: field(&read("/proc/meminfo"), "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Value of the first line `name: value` of a file under `/proc`.
pub(crate) fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The number of a value such as `1234 kB`, which the kernel means as KiB.
pub(crate) fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse().ok()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = if self.processor.is_empty() { "an unnamed processor" } else { &self.processor };
        let gibibytes = self.memory.div_ceil(1 << 20);
        write!(f, "{processor}, {} cores, {gibibytes} GiB of memory, Linux {}", self.cores, self.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_read_by_their_whole_name() {
        let text = "Pss_Dirty:  5 kB\nPss:      1234 kB\n";
        assert_eq!(field(text, "Pss").and_then(|value| kibibytes(&value)), Some(1234));
        assert_eq!(field(text, "Rss"), None);
    }

    #[test]
    fn this_machine_has_cores_and_a_kernel() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && !machine.kernel.is_empty(), "{machine:?}");
    }
}
