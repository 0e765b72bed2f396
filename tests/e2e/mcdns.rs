//! The program under test, in its Kubernetes mode.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    PATIENCE, World, dns,
    keeper::Kept,
    objects::merge,
    programs,
    server::{free_port, tail},
    until_equal, wait_for,
};

/// `mcdns run`, on ports that stay its own when it starts again.
pub struct Mcdns {
    /// Where it answers.
    pub server: SocketAddr,
    /// Health, readiness, metrics.
    pub admin: SocketAddr,
    process: Option<Kept>,
    log: PathBuf,
    wanted: Wanted,
    told: Arc<Mutex<String>>,
}

/// How it is started.
#[derive(Debug, Clone)]
pub struct Wanted {
    program: Option<PathBuf>,
    kubeconfig: PathBuf,
    folder: PathBuf,
    settings: Value,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Wanted {
    /// One replica with the permissions of the chart, which probes so often that a test need not wait.
    #[track_caller]
    pub fn new(world: &World) -> Self {
        let token = world.host().token(&world.chart().account(), 3600);
        let settings = json!({"version": 1, "sources": {"kubernetes": {"health":
            {"period": "1s", "timeout": "3s", "failureThreshold": 2, "successThreshold": 1, "grace": "60s"}}}});
        Self {
            program: None,
            kubeconfig: world.kubeconfig("host", &token),
            folder: world.folder("mcdns"),
            settings,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// This program in place of the one beside the tests.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// With these settings besides.
    #[must_use]
    pub fn settings(mut self, more: &Value) -> Self {
        merge(&mut self.settings, more);
        self
    }

    /// A cluster that does not answer is left out after seconds instead of minutes.
    #[must_use]
    pub fn impatient(self) -> Self {
        self.settings(&json!({"sources": {"kubernetes": {"health": {"timeout": "2s", "grace": "3s"}}}}))
    }

    /// With this kubeconfig in place of the one with the chart's permissions.
    #[must_use]
    pub fn kubeconfig(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.kubeconfig);
        self
    }

    /// With this argument besides.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it without waiting for more than that it serves.
    #[track_caller]
    pub fn start(self) -> Mcdns {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let log = self.folder.join("log");
        let (server, admin) = (loopback(free_port()), loopback(free_port()));
        let mut mcdns = Mcdns { server, admin, process: None, log, wanted: self, told: Arc::default() };
        mcdns.revive();
        mcdns
    }
}

impl Mcdns {
    /// One replica over a world.
    #[track_caller]
    pub fn start(world: &World) -> Self {
        Wanted::new(world).start()
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.process.as_mut().expect("a program").stop();
        assert!(status.success(), "mcdns ended with {status}\n{}", self.log());
    }

    /// Ends it at once, as a power failure does.
    pub fn kill(&mut self) {
        self.process.as_mut().expect("a program").kill();
    }

    /// Stops it where it stands, or has it go on.
    pub fn signal(&mut self, signal: Signal) {
        self.process.as_mut().expect("a program").signal(signal);
    }

    /// Number of the process.
    #[track_caller]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a program").id()
    }

    /// Starts it, again on the same ports and over the same state.
    #[track_caller]
    pub fn revive(&mut self) {
        let wanted = &self.wanted;
        let settings = wanted.folder.join("settings.yaml");
        // JSON is YAML.
        fs::write(&settings, wanted.settings.to_string()).expect("a file that can be written");
        let mut command = Command::new(wanted.program.clone().unwrap_or_else(programs::mcdns));
        command.env_clear().envs(wanted.environment.iter().map(|(name, value)| (name, value)));
        command.args(["run", "--listen", &self.server.to_string(), "--admin", &self.admin.to_string()]);
        command.arg("--settings").arg(&settings);
        command.arg("--kubeconfig").arg(&wanted.kubeconfig);
        command.arg("--state-dir").arg(wanted.folder.join("state")).args(&wanted.arguments);
        let log = fs::File::options().create(true).append(true).open(&self.log).expect("a file that can be written");
        let mut process = Kept::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log));
        let mut stdout = process.child().stdout.take().expect("a pipe");
        let told = self.told.clone();
        thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut octets) {
                let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                told.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        self.process = Some(process);
        self.until_page("/healthz", |code, _| code == 200);
    }

    /// Waits until it can answer.
    #[track_caller]
    pub fn until_ready(&mut self) {
        self.until_page("/readyz", |code, _| code == 200);
    }

    /// Waits until a page of the admin port is as wanted, and gives it.
    #[track_caller]
    pub fn until_page(&mut self, path: &str, is: impl Fn(u16, &str) -> bool) -> String {
        wait_for(&format!("{path} of mcdns is as wanted"), || {
            if let Some(status) = self.process.as_mut().and_then(Kept::ended) {
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                panic!("mcdns ended with {status}\n{told}{}", self.log());
            }
            let (code, body) = self.page(path)?;
            if is(code, &body) { Ok(body) } else { Err(format!("{code}: {body}")) }
        })
    }

    /// Status and body of a page of the admin port.
    pub fn page(&self, path: &str) -> Result<(u16, String), String> {
        let page = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.admin)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: mcdns\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = page().map_err(|error| format!("the admin port: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
        Ok((code, body.to_owned()))
    }

    /// Sum of a metric over all label sets that have `labels` in them; none where there is none.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let (_, text) = self.page("/metrics").unwrap_or_else(|error| panic!("{error}"));
        let lines =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let values: Vec<f64> = lines
            .filter(|line| line.contains(labels))
            .filter_map(|line| line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// What a question gets.
    pub fn ask(&self, question: &str) -> Result<dns::Answer, String> {
        dns::ask(self.server, question)
    }

    /// Asks until the data is as given.
    #[track_caller]
    pub fn until_data(&self, question: &str, data: &[&str]) {
        let mut wanted: Vec<String> = data.iter().map(|&one| one.to_owned()).collect();
        wanted.sort_unstable();
        until_equal(&format!("{question} is answered at {}", self.server), &Ok(wanted), || {
            self.ask(question).map(|answer| answer.data)
        });
    }

    /// Asks until the code of the answer is this, without data.
    #[track_caller]
    pub fn until_code(&self, question: &str, code: &str) {
        until_equal(&format!("{question} is answered at {}", self.server), &Ok((code.to_owned(), Vec::new())), || {
            self.ask(question).map(|answer| (answer.code, answer.data))
        });
    }

    /// Waits until the log has this in it.
    #[track_caller]
    pub fn until_log_has(&self, part: &str) {
        wait_for(&format!("the log has {part:?}"), || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            if text.contains(part) { Ok(()) } else { Err(self.log()) }
        });
    }

    /// The last lines of the log.
    pub fn log(&self) -> String {
        tail(&self.log)
    }

    /// Its folder of settings, state and log.
    pub fn folder(&self) -> &Path {
        &self.wanted.folder
    }
}

impl Drop for Mcdns {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the log of mcdns at {}\n{}", self.server, self.log());
        }
    }
}

/// A command of the program, run to its end: whether it succeeded, and what it wrote to both streams.
#[track_caller]
pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> (bool, String, String) {
    let mut command = Command::new(programs::mcdns());
    command.args(arguments).env_clear().stdin(Stdio::null());
    let output = command.output().expect("a program that starts");
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    (output.status.success(), text(output.stdout), text(output.stderr))
}
