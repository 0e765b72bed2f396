//! The program while it serves.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{Finished, Killed, PATIENCE, dig::Dig, eventually, mcdns, text, until_equal};

/// A program that serves, on ports that it chose itself.
#[derive(Debug)]
pub(crate) struct Program {
    child: Killed,
    stdout: Stream,
    stderr: Stream,
    /// Where it answers questions, over UDP and TCP.
    pub(crate) server: SocketAddr,
    /// Where health, readiness and metrics are.
    pub(crate) admin: SocketAddr,
}

/// What a process has written so far.
type Stream = Arc<Mutex<String>>;

impl Program {
    /// `mcdns run` over a federation directory.
    #[track_caller]
    pub(crate) fn run(directory: &Path) -> Self {
        Self::run_with(&[text(directory)])
    }

    /// `mcdns run` that keeps its state.
    #[track_caller]
    pub(crate) fn run_with_state(directory: &Path, state: &Path) -> Self {
        Self::run_with(&[text(directory), "--state-dir", text(state)])
    }

    /// `mcdns run` with these arguments.
    #[track_caller]
    pub(crate) fn run_with(arguments: &[&str]) -> Self {
        let mut all = vec!["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        all.extend(arguments);
        Self::start(&all)
    }

    /// `mcdns serve` over master files.
    #[track_caller]
    pub(crate) fn serve(files: &[&Path]) -> Self {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        all.extend(files.iter().map(|file| text(file)));
        Self::start(&all)
    }

    /// The program with these arguments, once it says where it answers.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = mcdns(arguments);
        let mut child =
            Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program starts"));
        let stdout = follow(child.0.stdout.take().expect("a pipe"));
        let stderr = follow(child.0.stderr.take().expect("a pipe"));
        let (server, admin) = eventually(&format!("mcdns {arguments:?} says where it answers"), || {
            let (out, err) = (so_far(&stdout), so_far(&stderr));
            if let Some(status) = child.0.try_wait().expect("a child") {
                panic!("mcdns {arguments:?} ended with {status}\n{out}\n{err}");
            }
            addresses(&out, &err).ok_or(format!("--- stdout\n{out}\n--- stderr\n{err}"))
        });
        Self { child, stdout, stderr, server, admin }
    }

    /// Asks with `dig`.
    #[track_caller]
    pub(crate) fn dig(&self, question: &str) -> Dig {
        Dig::ask(self.server, question)
    }

    /// Addresses (or other data) that a question gets, sorted: what most tests want to know.
    #[track_caller]
    pub(crate) fn data(&self, question: &str) -> Vec<String> {
        self.dig(question).data()
    }

    /// Asks until the data is as given.
    #[track_caller]
    pub(crate) fn until_data(&self, question: &str, data: &[&str]) {
        let wanted: Vec<String> = data.iter().map(|one| (*one).to_owned()).collect();
        until_equal(&format!("{question} is answered anew"), &wanted, || self.data(question));
    }

    /// Serial of a zone.
    #[track_caller]
    pub(crate) fn serial(&self, apex: &str) -> u32 {
        let reply = self.dig(&format!("{apex} SOA"));
        let soa = reply.answer.first().unwrap_or_else(|| panic!("no SOA for {apex}: {reply:?}"));
        soa.split(' ').nth(6).and_then(|serial| serial.parse().ok()).unwrap_or_else(|| panic!("no serial in {soa}"))
    }

    /// Status code and body of a page of the admin port.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("an admin port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: mcdns\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request that can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        (code, body.to_owned())
    }

    /// What stands on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        so_far(&self.stdout)
    }

    /// What stands in the log so far.
    pub(crate) fn log(&self) -> String {
        so_far(&self.stderr)
    }

    /// Waits until the log has this in it.
    #[track_caller]
    pub(crate) fn until_log_has(&self, part: &str) {
        eventually(&format!("the log has {part:?}"), || {
            let log = self.log();
            if log.contains(part) { Ok(()) } else { Err(log) }
        });
    }

    /// Ends it as an operator or a service manager does, and waits for the end.
    #[track_caller]
    pub(crate) fn stop(self) -> Finished {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn until_end(self) -> Finished {
        self.wait()
    }

    /// Number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child.0), signal).expect("a signal");
    }

    /// Ends it at once, as a power failure does.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.child.0.kill().expect("a process that can be killed");
        self.child.0.wait().expect("a process that ended");
    }

    #[track_caller]
    fn wait(mut self) -> Finished {
        let status =
            eventually("the program ends", || self.child.0.try_wait().expect("a child").ok_or("it still runs"));
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.log() }
    }
}

/// Where it answers, and where its admin port is: `run` says so on standard output, `serve` in the log, and both
/// name the admin port last.
fn addresses(stdout: &str, stderr: &str) -> Option<(SocketAddr, SocketAddr)> {
    let told = |text: &str| {
        // The first of several.
        let server = text.split_once(", UDP and TCP")?.0.rsplit_once(" on ")?.1.split(", ").next()?;
        let admin = text.split_once("admin http://")?.1.split_once("/readyz\n")?.0;
        Some((server.parse().ok()?, admin.parse().ok()?))
    };
    told(stdout).or_else(|| told(stderr))
}

fn follow(mut stream: impl Read + Send + 'static) -> Stream {
    let text = Stream::default();
    let written = text.clone();
    thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut octets) {
            let more = String::from_utf8_lossy(&octets[..length]).into_owned();
            written.lock().unwrap_or_else(PoisonError::into_inner).push_str(&more);
        }
    });
    text
}

fn so_far(stream: &Stream) -> String {
    stream.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
