//! `mcdns check --delegation`: a parent zone in NSD, the child here, and what differs between the two.

mod program;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::Stdio,
};

use program::{Finished, Killed, Program, Scratch, eventually, run, text, tool};

const CHILD: &str = "\
$ORIGIN child.example.
@ 3600 IN SOA ns1 hostmaster 7 3600 600 604800 30
@ 3600 IN NS ns1
@ 3600 IN NS ns2
ns1 3600 IN A 127.0.0.1
ns1 3600 IN AAAA 2001:db8::1
ns2 3600 IN A 127.0.0.1
";

const HEAD: &str = "\
example. 3600 IN SOA ns.example. hostmaster.example. 1 3600 600 604800 30
example. 3600 IN NS ns.example.
ns.example. 3600 IN A 127.0.0.1
";

const RIGHT: &str = "\
child.example. 3600 IN NS ns1.child.example.
child.example. 3600 IN NS ns2.child.example.
ns1.child.example. 3600 IN A 127.0.0.1
ns1.child.example. 3600 IN AAAA 2001:db8::1
ns2.child.example. 3600 IN A 127.0.0.1
";

/// A child that is served, and its file.
struct Child {
    scratch: Scratch,
    file: PathBuf,
    program: Program,
}

impl Child {
    fn new() -> Self {
        let scratch = Scratch::new();
        let file = scratch.path("child.zone");
        fs::write(&file, CHILD).expect("written");
        let program = Program::serve(&[&file]);
        Self { scratch, file, program }
    }

    /// Checks against a parent zone that delegates so; with the file, or without.
    fn check(&self, delegation: &str, with_file: bool, more: &[&str]) -> Finished {
        let (parent, address) = start_nsd(&self.scratch, &format!("{HEAD}{delegation}"));
        let (address, server) = (address.to_string(), self.program.server.to_string());
        let mut arguments = vec!["check", "--delegation", "child.example", "--parent", &address, "--server", &server];
        if with_file {
            arguments.push(text(&self.file));
        }
        arguments.extend(more);
        let finished = run(&arguments);
        drop(parent);
        finished
    }
}

#[test]
fn a_delegation_as_it_should_be_is_fine() {
    let child = Child::new();
    for with_file in [true, false] {
        let finished = child.check(RIGHT, with_file, &[]).expect_code(0);
        assert_eq!(finished.stdout, "", "{}", finished.told());
        assert!(finished.stderr.contains("child.example is delegated as it says itself"), "{}", finished.told());
    }
}

#[test]
fn each_difference_at_the_parent_is_an_error_with_its_code() {
    let child = Child::new();
    let ds = "child.example. 3600 IN DS 4711 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766\n";
    for (delegation, expected) in [
        (
            String::new(),
            "error[delegation-missing]: parent server PARENT: there is no delegation of child.example: NXDOMAIN",
        ),
        (
            RIGHT.replace("child.example. 3600 IN NS ns2.child.example.\n", ""),
            "error[delegation-ns]: parent server PARENT: the parent zone does not name ns2.child.example, which the zone does",
        ),
        (
            format!("{RIGHT}child.example. 3600 IN NS ns.elsewhere.test.\n"),
            "error[delegation-ns]: parent server PARENT: the parent zone names ns.elsewhere.test, which the zone does not",
        ),
        (
            RIGHT.replace("ns2.child.example. 3600 IN A 127.0.0.1\n", ""),
            "error[delegation-glue]: parent server PARENT: there is no glue for ns2.child.example, which cannot be found without",
        ),
        (
            RIGHT.replace("2001:db8::1", "2001:db8::2"),
            "error[delegation-glue]: parent server PARENT: the glue of ns1.child.example is 127.0.0.1, 2001:db8::2, and \
             the zone says 127.0.0.1, 2001:db8::1",
        ),
        (
            format!("{RIGHT}{ds}"),
            "error[delegation-ds]: parent server PARENT: there is a DS for child.example, which is not signed",
        ),
    ] {
        for with_file in [true, false] {
            let finished = child.check(&delegation, with_file, &[]).expect_code(1);
            let first = finished.stdout.lines().next().unwrap_or_default();
            let (before, rest) = expected.split_once("PARENT").expect("a place for the server");
            assert!(first.starts_with(before) && first.ends_with(rest), "{expected}\n{}", finished.told());
            assert_eq!(finished.stdout.matches("[delegation-").count(), 1, "{}", finished.told());
        }
    }
}

#[test]
fn servers_that_are_lame_behind_or_silent_are_named() {
    let child = Child::new();
    let other = child.scratch.path("other.zone");
    fs::write(&other, CHILD.replace("child.example", "other.example")).expect("written");
    let lame = Program::serve(&[&other]);
    let server = lame.server.to_string();
    let finished = child.check(RIGHT, true, &["--server", &server]).expect_code(1);
    let expected = format!("error[delegation-lame]: server {server}: answers REFUSED for child.example\n");
    assert!(finished.stdout.contains(&expected), "{}", finished.told());

    fs::write(&other, CHILD.replace(" 7 3600", " 8 3600")).expect("written");
    let behind = Program::serve(&[&other]);
    let server = behind.server.to_string();
    let finished = child.check(RIGHT, true, &["--server", &server]).expect_code(0);
    let expected = format!("7 at {}; 8 at {server}", child.program.server);
    assert!(finished.stdout.contains("warning[delegation-serial]"), "{}", finished.told());
    assert!(finished.stdout.contains(&expected), "{}", finished.told());

    // A socket that talks to itself takes nothing from others, and keeps its port from everybody else.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = deaf.local_addr().expect("an address");
    deaf.connect(address).expect("a socket that can be connected");
    let server = address.to_string();
    let finished = child.check(RIGHT, true, &["--server", &server, "-o", "json"]).expect_code(1);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(findings.len(), 1, "{}", finished.told());
    assert_eq!(findings[0]["code"], "delegation-lame");
    assert_eq!(findings[0]["object"], format!("server {server}"));
}

#[test]
fn a_server_without_tcp_is_an_error() {
    let child = Child::new();
    // UDP alone: it passes questions on to the child.
    let relay = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = relay.local_addr().expect("an address");
    let server = child.program.server;
    std::thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok((length, client)) = relay.recv_from(&mut octets) {
            let onward = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            onward.send_to(&octets[..length], server).expect("sent");
            let Ok(length) = onward.recv(&mut octets) else { return };
            let _ = relay.send_to(&octets[..length], client);
        }
    });
    let finished = child.check(RIGHT, true, &["--server", &address.to_string()]).expect_code(1);
    let expected =
        format!("error[delegation-tcp]: server {address}: does not answer over TCP: cannot be reached over TCP");
    assert!(finished.stdout.starts_with(&expected), "{}", finished.told());
}

#[test]
fn settings_and_directories_say_what_the_zone_is_too() {
    let child = Child::new();
    let settings = child.scratch.path("settings.yaml");
    let zone = text(&child.file);
    fs::write(&settings, format!("version: 1\nserve: {{zones: [{{apex: child.example, file: {zone}}}]}}\n"))
        .expect("written");
    let finished = child.check(RIGHT, false, &[text(&settings)]).expect_code(0);
    assert_eq!(finished.stdout, "", "{}", finished.told());
    let finished = child.check(RIGHT, false, &["zones/examples/example.com.zone"]).expect_code(2);
    assert!(finished.stderr.contains("no path has the zone child.example"), "{}", finished.told());
}

#[test]
fn the_parent_is_found_with_a_resolver() {
    // A server of both answers for the resolver: the walk upwards needs NS of the parent and addresses of its servers,
    // and ends at a server on port 53, which nobody has here.
    let child = Child::new();
    let (nsd, address) = start_nsd(&child.scratch, &format!("{HEAD}{RIGHT}").replace("127.0.0.1", "127.83.0.9"));
    let address = address.to_string();
    let finished = run(&["check", "--delegation", "child.example", "--resolver", &address]).expect_code(2);
    let expected = "no server of the parent of child.example can be asked (ns.example (127.83.0.9): cannot be reached";
    assert!(finished.stderr.contains(expected), "{}", finished.told());
    assert!(finished.stderr.contains("--parent and --server"), "{}", finished.told());
    drop(nsd);
}

/// NSD with the zone `example`, once it answers. Another program may take the port first; then another port is tried.
fn start_nsd(scratch: &Scratch, zone: &str) -> (Killed, SocketAddr) {
    let file = scratch.path("parent.zone");
    fs::write(&file, zone).expect("written");
    for attempt in 0..10 {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let folder = scratch.path("");
        let folder = folder.display();
        let settings = scratch.path(&format!("nsd-{attempt}.conf"));
        let content = format!(
            "server:\n  ip-address: 127.0.0.1@{}\n  username: \"\"\n  server-count: 1\n  zonesdir: \"{folder}\"\n  \
             database: \"\"\n  pidfile: \"{folder}/nsd.pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  \
             zonelistfile: \"{folder}/zones\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  \
             name: \"example\"\n  zonefile: \"{}\"\n",
            free.port(),
            file.display()
        );
        fs::write(&settings, content).expect("written");
        let mut command = tool("nsd");
        command.args(["-d", "-c", text(&settings)]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nsd = Killed(command.spawn().expect("NSD starts"));
        let mut gone = false;
        eventually("NSD answers or gives up", || {
            gone = nsd.0.try_wait().is_ok_and(|status| status.is_some());
            if gone || answers(free) { Ok(()) } else { Err("no answer yet") }
        });
        if !gone {
            return (nsd, free);
        }
    }
    unreachable!("ten free ports were taken by others in between")
}

/// True if somebody answers for the zone `example` there.
fn answers(server: SocketAddr) -> bool {
    const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\0\0\x06\0\x01";
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return false };
    let patience = std::time::Duration::from_millis(500);
    let mut octets = [0; 512];
    let asked = socket.set_read_timeout(Some(patience)).and_then(|()| socket.connect(server));
    let length = asked.and_then(|()| socket.send(QUERY)).and_then(|_| socket.recv(&mut octets));
    // RCODE 0 and one record.
    length.is_ok_and(|length| length > 12 && octets[3] % 16 == 0 && octets[7] == 1)
}
