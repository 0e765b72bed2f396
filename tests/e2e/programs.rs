//! Where the programs are that scenarios start.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian keeps programs of administrators, which is not on everybody's path.
const ADMINISTRATORS: &str = ":/usr/local/sbin:/usr/sbin:/sbin";

/// The API server, kept by `cargo xtask`.
#[track_caller]
pub fn kube_apiserver() -> PathBuf {
    kept("kube-apiserver-1.35.4/kube-apiserver")
}

/// `kubectl`, kept by `cargo xtask`.
#[track_caller]
pub fn kubectl() -> PathBuf {
    kept("kubectl-1.35.4/kubectl")
}

/// `helm`, kept by `cargo xtask`.
#[track_caller]
pub fn helm() -> PathBuf {
    kept("helm-3.22.0/helm")
}

/// `etcd`, from Debian.
#[track_caller]
pub fn etcd() -> PathBuf {
    let path = env::var("PATH").unwrap_or_default() + ADMINISTRATORS;
    let found = env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("etcd is missing; `cargo xtask e2e` installs what the tests need"))
}

/// The library of Debian's `libfaketime` that is put before the system's clock.
#[track_caller]
pub fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder of libraries");
    let mut files = folders.flatten().map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = files.find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("libfaketime is missing; `cargo xtask e2e` installs what the tests need"))
}

/// The program under test: what `MCDNS_E2E_PROGRAM` names, else the one beside the program that runs the tests.
#[track_caller]
pub fn mcdns() -> PathBuf {
    if let Some(program) = env::var_os("MCDNS_E2E_PROGRAM") {
        return program.into();
    }
    let own = env::current_exe().expect("a program");
    let program = own.parent().and_then(Path::parent).expect("a folder").join("mcdns");
    assert!(program.is_file(), "{} is missing; `cargo xtask e2e` builds it", program.display());
    program
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command to its end, and gives what it wrote to standard output; fails with what it wrote elsewhere.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (stdout, stderr) = (told(&output.stdout), told(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

#[track_caller]
fn kept(file: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let file = cache.expect("a cache folder").join("mcdns/tools").join(file);
    assert!(file.is_file(), "{} is missing; `cargo xtask e2e` builds it", file.display());
    file
}
