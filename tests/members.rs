//! Taking clusters in, looking at them, and taking them out of the answers, as an operator does it.

mod program;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
};

use program::{Finished, Program, Scratch, edit, golden, repository, run, text, until_equal};

const DEMO: &str = "deploy/demo/two-regions";
const NAME: &str = "web.shop.galactic.svc.example.com";
/// As eksctl and the AWS command line write one.
const KUBECONFIG: &str = "tests/kubeconfigs/eksctl.yaml";
const MEMBER: &str = "me@Ohio-1.us-east-2.eksctl.io";

fn dry_run(more: &[&str]) -> Finished {
    let mut arguments = vec!["join", "ohio-1", "--cluster-context", MEMBER, "--kubeconfig", KUBECONFIG, "--dry-run"];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn a_dry_run_prints_every_object_with_the_place_it_belongs_to() {
    let printed = dry_run(&["-o", "yaml"]).expect_code(0);
    assert_eq!(printed.stderr, "");
    golden::matches("tests/golden/join/eksctl.yaml", &printed.stdout);
    let listed = dry_run(&[]).expect_code(0).stdout;
    golden::matches("tests/golden/join/eksctl.txt", &listed);
    // The comments of the one are the lines of the other.
    let headed: Vec<String> = printed
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .map(|line| line.replacen(": ", "\tapply\t", 1))
        .collect();
    assert_eq!(headed, listed.lines().collect::<Vec<_>>());
}

#[test]
fn flags_of_join_reach_the_objects() {
    let more = ["--host-cluster-name", "hub", "--kubefed-namespace", "dns", "--secret-name", "mine", "-o", "yaml"];
    let printed = dry_run(&more).expect_code(0).stdout;
    for expected in ["ServiceAccount dns/ohio-1-hub", "ClusterRole mcdns:ohio-1-hub", "Secret dns/mine", "name: mine"] {
        assert!(printed.contains(expected), "{expected} in\n{printed}");
    }
}

#[test]
fn what_is_odd_in_a_kubeconfig_is_said_and_passed_on() {
    let arguments = ["join", "odd", "--cluster-context", "odd", "--kubeconfig", KUBECONFIG, "--dry-run", "-o", "yaml"];
    let printed = run(&arguments).expect_code(0);
    for expected in ["insecure-skip-tls-verify", "tls-server-name", "is this machine"] {
        assert!(printed.stderr.contains(expected), "{expected} in\n{}", printed.stderr);
    }
    for expected in ["disabledTLSValidations:\n  - \"*\"", "proxyURL: http://proxy.example:3128"] {
        assert!(printed.stdout.contains(expected), "{expected} in\n{}", printed.stdout);
    }
}

#[test]
fn faults_of_join_say_what_would_be_right() {
    for (arguments, expected) in [
        (&["join", MEMBER, "--kubeconfig", KUBECONFIG][..], "help: call it me-ohio-1.us-east-2.eksctl.io"),
        (&["join", "ohio-1", "--kubeconfig", KUBECONFIG], "name one with --cluster-context: there are"),
        (&["join", "ohio-1", "--kubeconfig", "/nowhere"], "the kubeconfig /nowhere cannot be read"),
        (&["join", "ohio-1"], "name one with --kubeconfig FILE"),
        (&["join", "ohio-1", "-o", "yaml"], "--dry-run"),
        (
            &["join", "ohio-1", "--cluster-context", MEMBER, "--kubeconfig", KUBECONFIG, "--host-cluster-context", "x"],
            "name one with --host-cluster-context",
        ),
        (&["join", "ohio-1", "--timeout", "1y"], "write a time such as 30s"),
        (&["cordon", "ohio-1", "--reason", "false"], "means that there is no cordon"),
        (&["cordon", "ohio-1", "--kubeconfig", KUBECONFIG, "--context", "silent"], "at its admin port: --admin"),
        (&["uncordon", "ohio-1", "--kubeconfig", KUBECONFIG, "--context", "silent"], "at its admin port: --admin"),
        (&["cordon", "ohio-1", "--admin", "127.0.0.1:1"], "no program answers at the admin port 127.0.0.1:1"),
        (&["clusters", "--kubeconfig", KUBECONFIG, "--context", "silent"], "cannot read every KubeFedCluster"),
        (&["records"], "name one with --kubeconfig FILE"),
        (&["records", DEMO, "--context", "x"], "cannot be used with"),
    ] {
        let finished = run(arguments).expect_code(2);
        assert!(finished.stderr.contains(expected), "{arguments:?}: {expected} in\n{}", finished.stderr);
        assert_eq!(finished.stdout, "", "{arguments:?}");
    }
}

#[test]
fn clusters_of_a_directory_are_listed() {
    golden::matches(
        "tests/golden/clusters/two-regions.json",
        &run(&["clusters", DEMO, "-o", "json"]).expect_code(0).stdout,
    );
    golden::matches(
        "tests/golden/clusters/two-regions.yaml",
        &run(&["clusters", DEMO, "-o", "yaml"]).expect_code(0).stdout,
    );
    // The age is told by the clock of whoever looks.
    for (form, expected) in [
        ("table", "NAME\tHEALTH\tCORDON\tREGION\tZONES\tRECORDS\tTARGETS\tAGE\tREASON"),
        ("wide", "NAME\tHEALTH\tCORDON\tREGION\tZONES\tRECORDS\tTARGETS\tAGE\tREASON\tSERVER\tMESSAGE"),
    ] {
        let table = run(&["clusters", DEMO, "-o", form]).expect_code(0).stdout;
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some(expected));
        assert!(lines.all(|line| line.split('\t').count() == expected.split('\t').count()), "{table}");
    }
}

/// The file of the demo with its clusters.
fn clusters_file(federation: &std::path::Path) -> PathBuf {
    let host = fs::read_dir(federation.join("host")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut with = host.filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("kind: KubeFedCluster")));
    with.next().expect("a file with clusters")
}

fn addresses(program: &Program) -> Vec<String> {
    program.data(&format!("{NAME} A"))
}

#[test]
fn a_cordon_in_a_directory_is_followed_at_once_and_told() {
    let scratch = Scratch::new();
    let federation = scratch.copy_of(DEMO);
    let program = Program::run(&federation);
    let everything = addresses(&program);
    let file = clusters_file(&federation);
    let written = fs::read_to_string(&file).expect("a file");
    edit(&file, "  name: ohio-1\n", "  name: ohio-1\n  annotations: {mcdns.io/cordon: upgrade}\n");
    let without: Vec<String> = everything.iter().filter(|one| !one.starts_with("192.0.2.1")).cloned().collect();
    assert!(without.len() < everything.len(), "{everything:?}");
    until_equal("the cluster leaves the answers", &without, || addresses(&program));
    let listed = run(&["clusters", text(&federation)]).expect_code(0).stdout;
    assert!(listed.lines().any(|line| line.starts_with("ohio-1\tReady\tcordoned\t")), "{listed}");
    let explained = run(&["explain", NAME, text(&federation)]).expect_code(0).stdout;
    assert!(explained.contains("the cluster is cordoned") && explained.contains("ClusterCordoned"), "{explained}");
    let checked = run(&["check", text(&federation)]).expect_code(0);
    assert!(checked.told().contains("cluster-cordoned"), "{}", checked.told());
    fs::write(&file, written).expect("written");
    until_equal("the cluster is back", &everything, || addresses(&program));
}

/// The answer to a request that a page in a browser makes.
fn from_a_browser(admin: std::net::SocketAddr, request: &str) -> String {
    asked(admin, request, "Origin: http://page.example\r\n")
}

fn asked(admin: std::net::SocketAddr, request: &str, header: &str) -> String {
    let mut stream = std::net::TcpStream::connect(admin).expect("a connection");
    stream.set_read_timeout(Some(program::PATIENCE)).expect("a time limit");
    let head = format!("{request} HTTP/1.1\r\nHost: {admin}\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn who_reaches_an_open_admin_port_over_the_network_looks_and_changes_nothing() {
    let scratch = Scratch::new();
    let federation = scratch.copy_of(DEMO);
    let program = Program::start(&["run", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", text(&federation)]);
    let everything = addresses(&program);
    let port = program.admin.port();
    // The address that this machine has towards others; nothing is sent. A machine without any has loopback alone.
    let towards_others = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(here) = towards_others {
        let admin = std::net::SocketAddr::new(here.ip(), port);
        for change in ["POST /cordon/ohio-1", "DELETE /cordon/ohio-1", "POST /plan?checksum=0&force=true"] {
            let refused = asked(admin, change, "Content-Length: 0\r\n");
            assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("kubectl exec"), "{refused}");
        }
        assert_eq!(addresses(&program), everything);
        let ready = asked(admin, "GET /readyz", "");
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    }
    run(&["cordon", "ohio-1", "--admin", &format!("127.0.0.1:{port}")]).expect_code(0);
    assert_ne!(addresses(&program), everything);
}

#[test]
fn a_replica_that_was_asked_keeps_the_cordon_over_a_restart_until_the_host_speaks() {
    let scratch = Scratch::new();
    let federation = scratch.copy_of(DEMO);
    let state = scratch.path("state");
    let program = Program::run_with_state(&federation, &state);
    let everything = addresses(&program);
    let unknown = run(&["cordon", "nowhere", "--admin", &program.admin.to_string()]).expect_code(2);
    assert!(unknown.stderr.contains("the host knows no cluster nowhere"), "{}", unknown.stderr);
    let told = run(&["cordon", "ohio-1", "--admin", &format!("http://{}/", program.admin)]).expect_code(0);
    assert!(told.stderr.contains("over a restart too"), "{}", told.stderr);
    let without = addresses(&program);
    assert!(without.len() < everything.len(), "{without:?}");
    let refused = from_a_browser(program.admin, "DELETE /cordon/ohio-1");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert_eq!(addresses(&program), without);

    // The host is away when it starts again.
    program.stop();
    let away = scratch.path("away");
    fs::rename(&federation, &away).expect("renamed");
    let program = Program::run_with_state(&federation, &state);
    assert_eq!(addresses(&program), without);
    run(&["uncordon", "ohio-1", "--admin", &program.admin.to_string()]).expect_code(0);
    assert_eq!(addresses(&program), everything);
    run(&["cordon", "ohio-1", "--admin", &program.admin.to_string()]).expect_code(0);
    assert_eq!(addresses(&program), without);
    // It is back, and its KubeFedCluster has no annotation.
    fs::rename(&away, &federation).expect("renamed");
    until_equal("the host has the last word", &everything, || addresses(&program));
    run(&["cordon", "ohio-1", "--admin", &program.admin.to_string()]).expect_code(0);
    assert_eq!(addresses(&program), without);
    edit(&clusters_file(&federation), "labels: {provider: eks}", "labels: {provider: eks, tier: edge}");
    until_equal("the host speaks of it again", &everything, || addresses(&program));
    program.stop();
    let program = Program::run_with_state(&federation, &state);
    assert_eq!(addresses(&program), everything);
}

#[test]
fn the_program_is_a_plugin_of_kubectl_by_its_name() {
    let scratch = Scratch::new();
    let plugin = scratch.path("kubectl-mcdns");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mcdns"), &plugin).expect("a link");
    let mut command = std::process::Command::new(&plugin);
    command.args(["explain", NAME, "--kubeconfig", KUBECONFIG, "--context", "silent"]);
    let finished =
        program::finish(command.current_dir(repository()).env_clear().env("HOME", "/nonexistent")).expect_code(2);
    assert!(finished.stderr.contains("cannot read every KubeFedCluster"), "{}", finished.stderr);
    let mut command = std::process::Command::new(&plugin);
    let finished =
        program::finish(command.args(["explain", NAME]).env_clear().env("HOME", "/nonexistent")).expect_code(2);
    assert!(finished.stderr.contains("no kubeconfig can be read"), "{}", finished.stderr);
}
