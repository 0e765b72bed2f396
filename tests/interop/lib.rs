//! Foreign programs that tests run beside mcdns: a real etcd, which can be broken, and a real CoreDNS.
//!
//! Everything listens on free ports of the loopback interface, has its files in folders of its own, and ends with the value
//! that started it.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::panic, reason = "this is for tests, which fail so")]

mod coredns;
mod etcd;
mod gate;
mod query;
mod served;

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

pub use coredns::CoreDns;
pub use etcd::{Etcd, Security};
pub use gate::Gate;
pub use query::{Answer, Asked, ask};
pub use served::Served;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A program that ends with the value.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Numbers that look like chance and are the same each time (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence that starts from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or(0)
    }

    /// One of them.
    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// How many questions a comparison asks: what `MCDNS_INTEROP_QUERIES` says, else so many.
pub fn queries(few: usize) -> usize {
    env::var("MCDNS_INTEROP_QUERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Waits until something is there; fails with `what` when that takes too long.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A Debian program, where administrators' programs are looked for too.
#[track_caller]
fn installed(name: &str) -> PathBuf {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing; `cargo xtask interop` installs what the tests need"))
}

/// A program that is built once per user and kept.
#[track_caller]
fn kept(file: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let file = cache.expect("a cache folder").join("mcdns/tools").join(file);
    assert!(file.is_file(), "{} is missing; `cargo xtask interop` builds it", file.display());
    file
}
