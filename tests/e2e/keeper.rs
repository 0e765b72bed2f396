//! Everything that a process of tests starts or writes, and its end.
//!
//! A test can end in ways that run no destructor: a signal, a kill, an abort. So a small shell, the keeper, holds the
//! other end of a pipe and is told of every process group that is started. When the pipe closes, for whatever reason,
//! it kills what is left and removes the folder of the tests.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait_for;

/// Reads `+N` and `-N`, and at the end of it all kills every group that was added and not taken away.
const KEEPER: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r sign group; do
    case $sign in
        +) groups="$groups$group " ;;
        -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// Memory that looks like a folder, where there is one: databases of tests need no disc.
const MEMORY: &str = "/dev/shm";

static KEEPER_OF_ALL: LazyLock<Keeper> = LazyLock::new(Keeper::new);

struct Keeper {
    folder: PathBuf,
    told: Mutex<ChildStdin>,
}

impl Keeper {
    fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("mcdns-e2e-");
        let folder = builder.tempdir_in(MEMORY).or_else(|_| builder.tempdir()).expect("a temporary folder").keep();
        #[allow(clippy::zombie_processes, reason = "it ends after this process does")]
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let told = Mutex::new(keeper.stdin.take().expect("a pipe"));
        Self { folder, told }
    }

    fn tell(&self, sign: char, group: u32) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(told, "{sign} {group}").expect("a keeper that listens");
    }
}

/// A folder that goes with the process of the tests.
pub fn folder(name: &str) -> PathBuf {
    let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(&KEEPER_OF_ALL.folder);
    folder.expect("a temporary folder").keep()
}

/// A process that does not outlive whoever started it, nor what it started itself.
#[derive(Debug)]
pub struct Kept {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Kept {
    /// Starts it in a process group of its own.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        // The keeper must be there before anything that it is to keep.
        let keeper = &*KEEPER_OF_ALL;
        let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        keeper.tell('+', child.id());
        Self { child, ended: None }
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child");
            if self.ended.is_some() {
                KEEPER_OF_ALL.tell('-', self.id());
            }
        }
        self.ended
    }

    /// Sends a signal to it and to what it started; nothing if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            // It may be ending just now.
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }

    /// Asks it to end, and waits for that.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("a process ends", || self.ended().ok_or("it still runs"))
    }

    /// Ends it at once, as a power failure does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
            KEEPER_OF_ALL.tell('-', self.id());
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder of this name for as long as the value lives.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder.
    pub fn new(name: &str) -> Self {
        Self(folder(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A process that was just killed may still write; the keeper removes what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_ends_what_it_was_told_of_when_the_pipe_closes() {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let sleeper = || Command::new("sleep").arg("300").process_group(0).spawn().expect("a process");
        let (mut kept, mut freed) = (sleeper(), sleeper());
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let told = format!("+ {}\n+ {}\n- {}\n", kept.id(), freed.id(), freed.id());
        keeper.stdin.take().expect("a pipe").write_all(told.as_bytes()).expect("a keeper that listens");
        assert!(keeper.wait().expect("a keeper").success());
        wait_for("the group is killed", || kept.try_wait().expect("a child").ok_or("it still runs"));
        assert!(freed.try_wait().expect("a child").is_none(), "what was taken away is left alone");
        assert!(!folder.exists());
        freed.kill().expect("a process");
        freed.wait().expect("a process");
    }
}
