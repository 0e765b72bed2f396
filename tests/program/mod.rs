//! What whole-program tests share: the program started as a user starts it, copies of the demos, and `dig`.
//!
//! No test has a fixed port (the program says which ones it took), none sleeps to be in time (each polls until a
//! deadline), and nothing that is started here outlives the test.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
#![allow(clippy::panic, reason = "a test fails by a panic")]

pub(crate) mod abused;
pub(crate) mod certificate;
pub(crate) mod dig;
pub(crate) mod golden;
pub(crate) mod load;
mod running;
mod vitals;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) use running::Program;

/// How long anything may take before a test gives up; far longer than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Both streams, for messages of assertions.
    pub(crate) fn told(&self) -> String {
        format!("exit code {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// Standard output of a command that must have ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        self
    }
}

/// The top of the repository; commands run there, so that paths in messages are those of the documentation.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program with these arguments, run at the top of the repository, without the environment of whoever runs
/// the tests: no `MCDNS_` variables, no colours, no terminal, no kubeconfig.
pub(crate) fn mcdns<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcdns"));
    command.args(arguments).current_dir(repository()).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
#[track_caller]
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Finished {
    finish(&mut mcdns(arguments))
}

/// Runs a command to its end, and kills it when that takes too long.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Finished {
    let mut child = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program starts"));
    let read = |mut stream: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut octets = Vec::new();
            stream.read_to_end(&mut octets).expect("a pipe can be read");
            String::from_utf8(octets).expect("output is UTF-8")
        })
    };
    let stdout = read(Box::new(child.0.stdout.take().expect("a pipe")));
    let stderr = read(Box::new(child.0.stderr.take().expect("a pipe")));
    let ended =
        eventually(&format!("{command:?} ends"), || child.0.try_wait().expect("a child").ok_or("it still runs"));
    let join = |reader: thread::JoinHandle<String>| reader.join().expect("a reader");
    Finished { code: ended.code(), stdout: join(stdout), stderr: join(stderr) }
}

/// Asks again and again until there is a result; fails with the last reason when patience is over.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Display>(what: &str, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match probe() {
            Ok(result) => return result,
            Err(reason) if Instant::now() >= deadline => panic!("{what}: not within {PATIENCE:?}\n{reason}"),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Looks at something again and again until it is as expected.
#[track_caller]
pub(crate) fn until_equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    eventually(what, || {
        let found = probe();
        if found == *expected { Ok(()) } else { Err(format!("expected {expected:#?}\nfound    {found:#?}")) }
    });
}

/// A folder that goes when the test ends.
#[derive(Debug)]
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A copy of a folder of the repository, so that a test may change it.
    pub(crate) fn copy_of(&self, folder: &str) -> PathBuf {
        let to = self.path("federation");
        copy(&repository().join(folder), &to);
        to
    }
}

/// Replaces a part of a file, as an editor does that writes a new file and renames it.
#[track_caller]
pub(crate) fn edit(file: &Path, before: &str, after: &str) {
    let text = fs::read_to_string(file).expect("a file that can be read");
    assert!(text.contains(before), "{} has no {before:?}:\n{text}", file.display());
    replace(file, &text.replace(before, after));
}

/// Puts a new file in the place of another one at once.
#[track_caller]
pub(crate) fn replace(file: &Path, text: &str) {
    let draft = file.with_file_name(".draft");
    fs::write(&draft, text).expect("a file that can be written");
    fs::rename(&draft, file).expect("a file that can be renamed");
}

/// Path as text, for arguments.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A tool that a test needs; `cargo xtask test` sees to it that it is there.
#[track_caller]
pub(crate) fn tool(name: &str) -> Command {
    // Name servers and their tools stand in folders that are often only in the path of root.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin:/sbin";
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let Some(found) = found else {
        panic!("the tool `{name}` is missing; `cargo xtask test` installs what the tests need");
    };
    let mut command = Command::new(found);
    command.current_dir(repository()).stdin(Stdio::null());
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder that can be made");
    for entry in fs::read_dir(from).expect("a folder that can be read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file that can be copied");
        }
    }
}

/// A process that does not outlive the test.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
