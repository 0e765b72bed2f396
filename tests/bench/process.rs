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
use nix::time::ClockId;
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
    ///
    /// To the nanosecond, with threads that have ended; a child that has ended takes its time with it.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        let times: Vec<Duration> = tree(self.child.id()).into_iter().filter_map(time_of_process).collect();
        if times.is_empty() {
            bail!("{} has no clock of its processor time", self.name);
        }
        Ok(times.iter().sum::<Duration>().as_secs_f64())
    }

    /// The same of its threads whose names begin so; an error if there are none.
    ///
    /// A thread that ends takes its time with it, so this is for threads that last as long as the server. What a
    /// thread has used is booked when it sleeps and at each tick of the scheduler: up to 10 ms late while it works.
    pub(crate) fn time_of_threads(&self, name: &str) -> anyhow::Result<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let read = |task: &fs::DirEntry, file| fs::read_to_string(task.path().join(file)).ok();
        let named = tasks.flatten().filter(|task| read(task, "comm").is_some_and(|comm| comm.starts_with(name)));
        let times: Vec<Duration> = named.filter_map(|task| time_in(&read(&task, "schedstat")?)).collect();
        if times.is_empty() {
            bail!("{} has no thread whose name begins with {name}", self.name);
        }
        Ok(times.iter().sum::<Duration>().as_secs_f64())
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

/// Seconds of processor time that a process has used which somebody else started.
pub(crate) fn processor_time_of(pid: u32) -> anyhow::Result<f64> {
    Ok(time_of_process(pid).with_context(|| format!("process {pid} has no clock"))?.as_secs_f64())
}

/// Processor time of one process, user and system: its clock has nanoseconds, where `/proc/PID/stat` has ticks of 10 ms,
/// too coarse for some thousand queries a second, and `/proc/PID/schedstat` knows the main thread alone.
fn time_of_process(pid: u32) -> Option<Duration> {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().ok()?);
    Some(ClockId::pid_cpu_clock_id(pid).ok()?.now().ok()?.into())
}

/// Time on a processor in a file `schedstat`: the first of three fields, in nanoseconds.
fn time_in(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?))
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

    /// A shell that works for as long as it takes, and then waits.
    fn busy(script: &str, folder: &Path) -> Server {
        let arguments = ["-c".to_owned(), format!("i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done {script}")];
        let address = free_address().expect("a port");
        Server::start(Path::new("/bin/sh"), &arguments, address, None, &folder.join("log")).expect("it starts")
    }

    /// Waits until so many seconds are measured.
    fn wait_for(seconds: f64, mut measure: impl FnMut() -> f64) {
        let started = Instant::now();
        while measure() < seconds {
            assert!(started.elapsed() < Duration::from_secs(30), "a busy process has not used {seconds} s");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_time_of_a_thread_is_in_nanoseconds() {
        assert_eq!(time_in("31725807 28432221 69\n"), Some(Duration::from_nanos(31_725_807)));
        assert_eq!((time_in(""), time_in("udp-0")), (None, None));
    }

    #[test]
    fn threads_are_told_by_the_beginning_of_their_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = busy("; sleep 30", folder.path());
        // Its name is its own a moment after it has started.
        wait_for(0.001, || server.time_of_threads("sh").unwrap_or_default());
        let error = server.time_of_threads("udp-").expect_err("there is none");
        assert_eq!(error.to_string(), "sh has no thread whose name begins with udp-");
    }

    #[test]
    fn time_is_finer_than_a_tick() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = busy("; sleep 30", folder.path());
        wait_for(0.001, || server.processor_time().expect("it is measured"));
        let hundredths = server.processor_time().expect("it is measured") * 100.0;
        assert!((hundredths - hundredths.round()).abs() > 1e-6, "{hundredths} ticks");
    }

    #[test]
    fn time_and_memory_of_children_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = busy("& wait; sleep 30", folder.path());
        // What the shell itself needs is a few milliseconds; its child counts to 1,000,000.
        wait_for(0.02, || server.processor_time().expect("it is measured"));
        assert!(server.memory() > 0.0);
    }
}
