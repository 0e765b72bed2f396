//! Servers as processes: pinned to a core, measured, and ended with everything that they started.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};

use crate::machine::{field, kibibytes};

/// How long a server may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    name: String,
    /// Where it answers.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `program`, on one core if a core is given. What it says goes to `log`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        address: SocketAddr,
        core: Option<u32>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        if !program.is_file() {
            bail!("{} is not there; `cargo xtask bench` builds and installs what it measures", program.display());
        }
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut command = match core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("--cpu-list").arg(core.to_string()).arg(program);
                pinned
            }
            None => Command::new(program),
        };
        let log_file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("{name} cannot be started as {}", program.display()))?;
        Ok(Self { child, name, address })
    }

    /// An error with the end of its log if it has ended by itself.
    pub(crate) fn check(&mut self, log: &Path) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(5).collect();
            let end: Vec<&str> = lines.into_iter().rev().collect();
            bail!("{} ended by itself ({status}); the end of its log: {}", self.name, end.join(" / "));
        }
        Ok(())
    }

    /// Seconds of processor time that it and its children have used.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        let ticks: u64 = tree(self.child.id()).into_iter().filter_map(ticks_of).sum();
        Ok(seconds_of(ticks, ticks_per_second()?))
    }

    /// The same of its threads whose names begin so; an error if there are none.
    pub(crate) fn time_of_threads(&self, name: &str) -> anyhow::Result<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        let ticks: Vec<u64> =
            stats.filter(|stat| name_in(stat).starts_with(name)).filter_map(|stat| ticks_in(&stat)).collect();
        if ticks.is_empty() {
            bail!("{} has no thread whose name begins with {name}", self.name);
        }
        Ok(seconds_of(ticks.iter().sum(), ticks_per_second()?))
    }

    /// Memory of it and its children in MiB; what several share is divided among them.
    pub(crate) fn memory(&self) -> f64 {
        let of = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            field(&text, "Pss").and_then(|value| kibibytes(&value))
        };
        mebibytes(tree(self.child.id()).into_iter().filter_map(of).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let told = Instant::now();
        while told.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on the loopback interface that nobody uses, for UDP and TCP.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port on the loopback interface")
}

/// Has this thread, and those that it starts, run on one core alone.
pub(crate) fn pin_this_thread(core: u32) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core.try_into()?);
    sched_setaffinity(None, &cores).with_context(|| format!("core {core} cannot be had"))
}

/// KiB as MiB.
#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below what a double holds exactly")]
pub(crate) fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// A process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// Processor time of one process, user and system, as the kernel counts it.
fn ticks_of(pid: u32) -> Option<u64> {
    ticks_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 and 15 of a file `stat`, counted from behind the name, which may hold anything.
fn ticks_in(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The name in a file `stat`: field 2, in parentheses.
fn name_in(stat: &str) -> &str {
    stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(name, _)| name)
}

#[expect(clippy::cast_precision_loss, reason = "ticks of some seconds are far below what a double holds exactly")]
fn seconds_of(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

fn ticks_per_second() -> anyhow::Result<u64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("`getconf` cannot be started")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("`getconf CLK_TCK` gives no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_by_itself_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let arguments = ["-c".to_owned(), "echo port in use >&2; exit 3".to_owned()];
        let address = free_address().expect("a port");
        let mut server = Server::start(Path::new("/bin/sh"), &arguments, address, None, &log).expect("it starts");
        server.child.wait().expect("it ends");
        let error = server.check(&log).expect_err("it has ended");
        assert!(error.to_string().contains("exit status: 3") && error.to_string().ends_with("port in use"), "{error}");
    }

    #[test]
    fn name_and_time_of_a_thread_are_read_whatever_it_is_called() {
        let stat = "7 (udp-0 (a) b) S 1 7 7 0 -1 4194304 0 0 0 0 30 12 0 0 20 0 1 0";
        assert_eq!(name_in(stat), "udp-0 (a) b");
        assert_eq!(ticks_in(stat), Some(42));
        assert_eq!((name_in("7"), ticks_in("7 (a) S 1")), ("", None));
    }

    #[test]
    fn time_and_memory_of_children_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done & wait; sleep 30".to_owned();
        let arguments = ["-c".to_owned(), script];
        let address = free_address().expect("a port");
        let server = Server::start(Path::new("/bin/sh"), &arguments, address, None, &folder.path().join("log"))
            .expect("it starts");
        let started = Instant::now();
        while server.processor_time().expect("it is measured") == 0.0 {
            assert!(started.elapsed() < Duration::from_secs(20), "a busy child has used no time");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(server.memory() > 0.0);
    }
}
