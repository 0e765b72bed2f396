//! moto, which pretends to be AWS: whether somebody else understands what we ask of Route 53.
//!
//! It is no measure of what is refused: it takes CNAMEs beside others, addresses that are none, values without quotation
//! marks, and half of a batch. [`crate::route53`] is.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// The release that `cargo xtask test` keeps.
const VERSION: &str = "5.2.1";
/// A Python that starts on a busy machine takes its time.
const START: Duration = Duration::from_mins(1);

/// A moto with an account of its own; it ends when it is dropped.
pub struct Moto {
    endpoint: String,
    child: Child,
}

impl Moto {
    /// Starts one on a loopback port of its own.
    ///
    /// # Panics
    ///
    /// If it is not installed, or does not say within a minute where it listens.
    pub fn start() -> Self {
        let python = kept();
        assert!(python.is_file(), "{} is missing; `cargo xtask test --only tools` installs it", python.display());
        let mut child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let lines = BufReader::new(child.stderr.take().expect("its words")).lines();
        let (told, tell) = mpsc::channel();
        // It goes on to read, so that moto never waits for a reader.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, endpoint)) = line.split_once("Running on ") {
                    // Nobody listens after a minute.
                    let _ = told.send(endpoint.trim().to_owned());
                }
            }
        });
        // From here on it ends with this.
        let mut moto = Self { endpoint: String::new(), child };
        moto.endpoint = tell.recv_timeout(START).expect("moto says where it listens");
        moto
    }

    /// Where it listens, as in `http://127.0.0.1:41234`.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where its Python is.
fn kept() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.expect("a cache folder").join(format!("mcdns/tools/moto-{VERSION}/bin/python3"))
}
