//! Giving root up. It is for the whole process and for good, so this program is one test with its own `main`.

#[path = "support/mod.rs"]
mod support;

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use mcdns_serve::{Listener, PolicyStore, PrivilegeError, Server, SnapshotStore, drop_privileges};

use support::{query, show, snapshot};

/// What `nobody` is on most systems; a number needs no entry in the list of users.
const NOBODY: &str = "65534";

fn main() {
    names_that_nobody_has_are_refused();
    if rustix::process::geteuid().is_root() {
        a_server_that_gives_root_up_goes_on_as_somebody_else_in_all_threads();
    }
    only_root_becomes_somebody_else();
}

fn names_that_nobody_has_are_refused() {
    let error = drop_privileges("no-such-user", None).expect_err("refused");
    assert!(matches!(&error, PrivilegeError::NoUser(user) if user == "no-such-user"), "{error}");
    let error = drop_privileges(NOBODY, Some("no-such-group")).expect_err("refused");
    assert!(matches!(&error, PrivilegeError::NoGroup(group) if group == "no-such-group"), "{error}");
    assert!(matches!(drop_privileges("root", None), Err(PrivilegeError::Root(_))));
}

fn a_server_that_gives_root_up_goes_on_as_somebody_else_in_all_threads() {
    let store = Arc::new(SnapshotStore::new(snapshot(&[("example.com", "www A 192.0.2.1")])));
    let listeners = [Listener::plain((Ipv4Addr::LOCALHOST, 0).into())];
    let server = Server::bind(&listeners, 2, &store, &PolicyStore::default()).expect("a free port");
    let before = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    drop_privileges(NOBODY, None).expect("given up");

    let mut threads = 0;
    for thread in fs::read_dir("/proc/self/task").expect("threads") {
        let status = fs::read_to_string(thread.expect("a thread").path().join("status")).expect("its status");
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a line").trim();
        for name in ["Uid:", "Gid:"] {
            assert_eq!(line(name).split_whitespace().collect::<Vec<_>>(), [NOBODY; 4], "{name}");
        }
        assert_eq!(line("Groups:"), NOBODY);
        assert_eq!(line("CapEff:").trim_start_matches('0'), "", "no capability is left");
        threads += 1;
    }
    assert!(threads >= 5, "the workers and this one");
    // Twice is once.
    drop_privileges(NOBODY, None).expect("is so already");

    before.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    before.send_to(&query("www.example.com", "A"), server.addresses()[0]).expect("sent");
    let mut reply = [0; 512];
    let length = before.recv(&mut reply).expect("an answer");
    assert!(show(&reply[..length]).ends_with("192.0.2.1"));
}

fn only_root_becomes_somebody_else() {
    let error = drop_privileges("1", None).expect_err("refused");
    assert!(matches!(error, PrivilegeError::NotRoot { .. }), "{error}");
    assert!(error.to_string().contains("start it as root or as"), "{error}");
}
