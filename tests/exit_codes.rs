//! How commands end, and what goes to which stream: 0 fine; 1 something wanted is not published, or answers
//! differ; 2 wrong usage, refused settings, or an input that cannot be opened at all.

mod program;

use std::{
    fs,
    io::pipe,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::symlink,
    process::Stdio,
};

use program::{Finished, Killed, Program, Scratch, edit, eventually, finish, mcdns, run, text, tool};

const DEMO: &str = "deploy/demo/two-regions";
const BROKEN: &str = "tests/federations/broken";
const NAME: &str = "web.shop.galactic.svc.example.com";

#[test]
fn what_is_fine_ends_with_0() {
    for arguments in [
        &["records", DEMO][..],
        &["records", "deploy/demo/bare-metal", "-o", "json"],
        &["check", DEMO],
        &["check", "zones/examples/example.com.zone", "zones/golden/two-regions/example.com.zone"],
        &["check", "zones/broken/zone-ttl.zone"],
        &["explain", NAME, DEMO],
        &["explain", "nothing.example.com", DEMO],
        &["explain", "www.example.org", DEMO],
        &["settings"],
        &["completions", "bash"],
        &["--version"],
        &["--help"],
    ] {
        let finished = run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}\n{}", finished.told());
    }
}

#[test]
fn findings_of_severity_error_end_with_1() {
    let scratch = Scratch::new();
    let settings = scratch.path("settings.yaml");
    fs::write(&settings, "version: 1\nstateDri: /tmp\n").expect("a settings file");
    for arguments in [
        &["records", BROKEN][..],
        &["records", BROKEN, "-o", "json"],
        &["check", BROKEN],
        &["check", BROKEN, "-o", "json"],
        &["check", DEMO, "zones/broken/zone-soa.zone"],
        &["check", text(&settings)],
    ] {
        let finished = run(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}\n{}", finished.told());
    }
}

#[test]
fn check_finds_in_settings_what_run_would_not_start_with() {
    let scratch = Scratch::new();
    let settings = scratch.path("settings.yaml");
    let (chain, key) = (scratch.path("chain.pem"), scratch.path("key.pem"));
    fs::write(&chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").expect("written");
    let encrypted = format!(
        "serve: {{listen: [{{address: '127.0.0.1:0', transports: [dot], certificate: {}, key: {}}}]}}\n",
        text(&chain),
        text(&key)
    );
    let zone = format!("serve: {{zones: [{{apex: static.example, file: {}}}]}}\n", text(&scratch.path("no.zone")));
    let route53 = "publish: {manager: prod, to: [{name: aws, zones: [example.com], route53: {zonetype: publik}}]}\n";
    for (fault, told) in [(route53, "zonetype"), (&zone, "no.zone"), (&encrypted, "key.pem")] {
        fs::write(&settings, format!("version: 1\n{fault}")).expect("written");
        let finished = run(&["check", text(&settings)]);
        assert_eq!(finished.code, Some(1), "{fault}\n{}", finished.told());
        assert!(finished.told().contains(told), "{fault}\n{}", finished.told());
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    for (arguments, part) in [
        (&[][..], "Usage: mcdns"),
        (&["record", DEMO], "records"),
        (&["records"], "needs none: name DIR"),
        (&["records", DEMO, "-o", "xml"], "zone, json, yaml"),
        (&["records", DEMO, "--zone", "example.org"], "the zones are example.com"),
        (&["run", DEMO, "--listen", "127.0.0.1"], "write 127.0.0.1:PORT"),
        (&["run", "--listen", "127.0.0.1:0"], "name a federation directory"),
        (&["explain", "a..b", DEMO], "a label is empty"),
        (&["explain", NAME, DEMO, "--history"], "cannot be used with"),
        (&["lookup", NAME, "NOTYPE"], "write a mnemonic such as A"),
        (&["completions", "tcl"], "bash"),
        (&["check"], "<PATH>"),
        (&["check", DEMO, "--parent", "192.0.2.1"], "--delegation"),
        (&["check", "--delegation", "example.com", "--parent", "ns1.example"], "write an IP address"),
        (&["check", "--delegation", ".", "--parent", "127.0.0.1:1"], "the root zone has no parent"),
        (
            &["check", "--delegation", "example.org", DEMO, "--parent", "127.0.0.1:1"],
            "no path has the zone example.org",
        ),
        (&["check", "--delegation", "example.com", "--parent", "127.0.0.1:0"], "can be asked (127.0.0.1:0: "),
    ] {
        refused(arguments, part);
    }
}

#[test]
fn an_input_that_cannot_be_opened_ends_with_2_and_says_which() {
    let scratch = Scratch::new();
    let missing = scratch.path("missing");
    let empty = scratch.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let link = scratch.path("link.zone");
    symlink("nowhere", &link).expect("a link");
    let (missing, empty, link) = (text(&missing), text(&empty), text(&link));
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for (arguments, part) in [
        (&["records", missing][..], format!("{missing} cannot be read: No such file")),
        (&["records", empty], format!("{empty} is no federation directory: it has neither a folder `host`")),
        (&["records", "Cargo.toml"], "Cargo.toml is no directory".to_owned()),
        (&["records", DEMO, "--hosts", missing], format!("the hosts file {missing} cannot be read")),
        (&["records", DEMO, "--hosts", empty], format!("the hosts file {empty} cannot be read: is a directory")),
        (&["check", missing], format!("{missing} cannot be opened")),
        (&["check", DEMO, link], format!("{link} cannot be opened")),
        (&["explain", NAME, missing], format!("{missing} cannot be read")),
        (&[&["run", missing], &listen[..]].concat(), format!("{missing} cannot be read")),
        (&[&["run", empty], &listen[..]].concat(), format!("{empty} is no federation directory")),
        (&[&["run", DEMO, "--hosts", missing], &listen[..]].concat(), format!("the hosts file {missing}")),
        (&[&["run", DEMO, "--state-dir", "Cargo.toml"], &listen[..]].concat(), "Cargo.toml".to_owned()),
        (&["serve", missing, "--listen", "127.0.0.1:0"], format!("{missing} cannot be opened")),
        (&["serve", link, "--listen", "127.0.0.1:0"], format!("{link} cannot be opened")),
        (&["serve", empty, "--listen", "127.0.0.1:0"], format!("{empty}: error[unreadable]")),
        (&["serve", "zones/broken/zone-soa.zone", "--listen", "127.0.0.1:0"], "begin with an SOA record".to_owned()),
        (&["settings", "--settings", missing], missing.to_owned()),
    ] {
        refused(arguments, &part);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding_and_the_rest_goes_on() {
    // By a link to nothing, because root may read every file.
    let scratch = Scratch::new();
    let directory = scratch.copy_of(DEMO);
    symlink("nowhere", directory.join("host/link.yaml")).expect("a link");
    let finished = run(&["records", text(&directory)]).expect_code(1);
    assert!(finished.stderr.contains("host/link.yaml: error[unreadable]: is a link to nothing"), "{}", finished.told());
    assert!(
        finished.stdout.contains("\nweb.shop.galactic.svc.example.com. 60 IN A 192.0.2.11\n"),
        "{}",
        finished.told()
    );
}

#[test]
fn a_directory_without_objects_is_a_warning() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("host")).expect("a folder");
    let finished = run(&["records", text(&scratch.path(""))]).expect_code(0);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("warning[empty-federation]"), "{}", finished.told());
}

#[test]
fn refused_settings_end_every_command_with_2() {
    let scratch = Scratch::new();
    let file = scratch.path("settings.yaml");
    for (settings, part) in [
        (
            "version: 1\nstateDri: /tmp\n",
            "settings.yaml:2:1: error[refused-setting]: stateDri: is no known setting\n  help: did you mean `stateDir`?",
        ),
        ("version: 2\n", "version"),
        ("version: 1\nadmin: {listen: localhost:80}\n", "admin.listen"),
        ("version: [1\n", "settings.yaml:"),
        (
            "version: 1\nserve:\n  listen: [{address: 127.0.0.1:0, transports: [dot], certificate: c.pem, key: k.pem}]\n",
            "settings.yaml:3:67: error[refused-setting]: serve.listen[0].certificate: the certificate file c.pem cannot be \
             read: No such file",
        ),
        (
            "version: 1\nserve: {keys: [{name: k, secretFile: k.key}]}\n",
            "settings.yaml:2:38: error[refused-setting]: serve.keys[0].secretFile: the secret file k.key cannot be read",
        ),
        (
            "version: 1\nserve: {transfer: {keys: [k]}}\n",
            "settings.yaml:2:27: error[refused-setting]: serve.transfer.keys[0]: there is no key `k`",
        ),
    ] {
        fs::write(&file, settings).expect("a settings file");
        for arguments in [
            &["settings"][..],
            &["records", DEMO],
            &["check", DEMO],
            &["explain", NAME, DEMO],
            &["lookup", NAME, "--server", "127.0.0.1:1"],
            &["run", DEMO],
            &["serve", "zones/examples/example.com.zone"],
        ] {
            refused(&[arguments, &["--settings", text(&file)]].concat(), part);
        }
    }
    let finished = finish(mcdns(&["settings"]).env("MCDNS_STATE_DRI", "/tmp")).expect_code(2);
    assert!(finished.stderr.contains("did you mean `MCDNS_STATE_DIR`?"), "{}", finished.told());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    for arguments in [
        &["run", DEMO, "--admin", "127.0.0.1:0", "--listen", &taken][..],
        &["serve", "zones/examples/example.com.zone", "--listen", &taken],
    ] {
        refused(arguments, &format!("cannot listen on {taken}"));
        refused(arguments, "choose another port");
    }
    for arguments in [
        &["run", DEMO, "--listen", "127.0.0.1:0", "--admin", &taken][..],
        &["serve", "zones/examples/example.com.zone", "--listen", "127.0.0.1:0", "--admin", &taken],
    ] {
        let told = finish(&mut mcdns(arguments)).expect_code(2).stderr;
        assert!(told.contains(&format!("the admin port {taken}")), "{told}");
        assert!(told.contains("choose another with --admin"), "{told}");
    }
    drop(holder);
}

#[test]
fn a_second_program_does_not_share_the_port_of_the_first() {
    let first = Program::run(repository_demo());
    refused(&["run", DEMO, "--admin", "127.0.0.1:0", "--listen", &first.server.to_string()], "cannot listen on");
    assert_eq!(first.data(NAME).len(), 4, "the first one goes on");
}

#[test]
fn a_server_that_is_told_to_stop_ends_with_0() {
    for program in [
        Program::run(repository_demo()),
        Program::serve(&[&program::repository().join("zones/examples/example.com.zone")]),
    ] {
        program.stop().expect_code(0);
    }
    let interrupted = Program::run(repository_demo());
    interrupted.signal(rustix::process::Signal::INT);
    eventually(
        "it ends",
        || if TcpListener::bind(interrupted.server).is_ok() { Ok(()) } else { Err("it still listens") },
    );
}

#[test]
fn lookup_ends_with_0_when_servers_agree_and_with_1_when_they_do_not() {
    let scratch = Scratch::new();
    let other = scratch.copy_of(DEMO);
    edit(&other.join("hosts"), "192.0.2.21 ", "192.0.2.22 ");
    let programs = [repository_demo(), repository_demo(), &other].map(Program::run);
    let [one, two, three] = programs.each_ref().map(|program| program.server.to_string());

    let agreeing = run(&["lookup", NAME, "--server", &one, "--server", &two]).expect_code(0);
    assert_eq!(agreeing.stdout, "192.0.2.11\n192.0.2.12\n192.0.2.21\n198.51.100.31\n");
    assert_eq!(agreeing.stderr, "");

    let differing = run(&["lookup", NAME, "A", "--server", &one, "--server", &three]).expect_code(1);
    for part in ["do not agree", &one, &three, "192.0.2.22"] {
        assert!(differing.stderr.contains(part), "{part}\n{}", differing.told());
    }
    let table = run(&["lookup", NAME, "A", "--server", &one, "--table"]).expect_code(0);
    assert!(table.stdout.starts_with("SERVER\tSTATUS\tNAME\tTTL\tTYPE\tDATA\n"), "{}", table.told());
    assert!(table.stdout.contains(&format!("{one}\tNOERROR\t{NAME}.\t60\tA\t192.0.2.11\n")), "{}", table.told());

    let missing = run(&["lookup", "nothing.example.com", "--server", &one]).expect_code(0);
    assert_eq!(missing.stdout, "");
    assert!(missing.stderr.contains("NXDOMAIN"), "{}", missing.told());
}

#[test]
fn lookup_ends_with_1_and_says_why_when_no_server_answers() {
    // A socket that talks to itself takes nothing from others, and keeps its port from everybody else.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = deaf.local_addr().expect("an address");
    deaf.connect(address).expect("a socket that can be connected");
    let finished = run(&["lookup", NAME, "A", "--server", &address.to_string()]).expect_code(1);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains(&format!("{address}: cannot be reached")), "{}", finished.told());
}

#[test]
fn explain_without_a_running_program_ends_with_2_and_says_what_to_do() {
    // The port of a client is in use, and nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let closed = client.local_addr().expect("an address").to_string();
    refused(&["explain", NAME, "--admin", &closed], "is `mcdns run` running?");
    refused(&["explain", NAME, "--history", "--admin", &closed], &closed);
}

#[test]
fn explain_asks_the_running_program() {
    let program = Program::run(repository_demo());
    let admin = program.admin.to_string();
    let asked = run(&["explain", NAME, "--admin", &admin, "-o", "json"]).expect_code(0);
    let computed = run(&["explain", NAME, DEMO, "-o", "json"]).expect_code(0);
    let json = |finished: &Finished| serde_json::from_str::<serde_json::Value>(&finished.stdout).expect("JSON");
    assert_eq!(json(&asked)["answers"], json(&computed)["answers"]);
    assert_eq!(json(&asked)["record"]["clusters"], json(&computed)["record"]["clusters"]);
}

#[test]
fn machine_output_goes_to_stdout_and_the_rest_to_stderr() {
    let zone = run(&["records", BROKEN]);
    let is_record = |line: &str| line.split(' ').nth(2) == Some("IN");
    assert!(zone.stdout.lines().all(is_record), "{}", zone.told());
    assert!(zone.stderr.contains("error[syntax]") && zone.stderr.contains("ignored"), "{}", zone.told());
    for arguments in
        [&["records", BROKEN, "-o", "json"][..], &["check", BROKEN, "-o", "json"], &["check", DEMO, "-o", "json"]]
    {
        let finished = run(arguments);
        let parsed = serde_json::from_str::<serde_json::Value>(&finished.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {parsed:?}\n{}", finished.told());
    }
    let fine = run(&["check", DEMO]);
    assert_eq!(fine.stdout, "");
}

#[test]
fn a_log_for_programs_has_nothing_but_json_on_stderr() {
    let server = Program::run_with(&[BROKEN, "--log-format", "json"]).stop().expect_code(0);
    for finished in [
        server,
        run(&["records", BROKEN, "--log-format", "json"]),
        run(&["records", "missing", "--log-format", "json"]),
        run(&["serve", "zones/broken/zone-soa.zone", "--listen", "127.0.0.1:0", "--log-format", "json"]),
    ] {
        assert_ne!(finished.stderr, "");
        for line in finished.stderr.lines() {
            let parsed = serde_json::from_str::<serde_json::Value>(line);
            assert!(parsed.is_ok_and(|line| line["level"].is_string()), "{line}");
        }
    }
}

#[test]
fn a_pipe_gets_no_colours_unless_they_are_asked_for() {
    const ESCAPE: char = '\u{1b}';
    for arguments in [
        &["records", BROKEN][..],
        &["check", BROKEN],
        &["explain", NAME, DEMO],
        &["settings"],
        &["--help"],
        &["records"],
        &["records", "missing"],
        &["completions", "zsh"],
    ] {
        let finished = run(arguments);
        assert!(!finished.stdout.contains(ESCAPE), "{arguments:?} {:?}", finished.stdout);
        // Bars and spinners are for terminals too.
        assert!(!finished.stderr.contains([ESCAPE, '\r']), "{arguments:?} {:?}", finished.stderr);
    }
    for arguments in [&["explain", NAME, DEMO, "--color", "always"][..], &["records", BROKEN, "--color", "always"]] {
        let finished = run(arguments);
        assert!(finished.stdout.contains(ESCAPE) || finished.stderr.contains(ESCAPE), "{arguments:?}");
    }
    let server = Program::run(repository_demo()).stop();
    assert!(!server.stdout.contains(ESCAPE) && !server.stderr.contains(ESCAPE), "{}", server.told());
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for (arguments, code) in [
        (&["records", DEMO][..], 0),
        (&["records", DEMO, "-o", "yaml"], 0),
        (&["records", BROKEN, "-o", "json"], 1),
        (&["check", BROKEN], 1),
        (&["explain", NAME, DEMO], 0),
        (&["settings"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
    ] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let mut command = mcdns(arguments);
        let mut child = Killed(command.stdout(writer).stderr(Stdio::piped()).spawn().expect("a program starts"));
        drop(command);
        let mut stderr = child.0.stderr.take().expect("a pipe");
        let told = std::io::read_to_string(&mut stderr).expect("text");
        let status = eventually("the program ends", || child.0.try_wait().expect("a child").ok_or("it still runs"));
        assert_eq!(status.code(), Some(code), "{arguments:?}\n{told}");
        assert!(!told.to_lowercase().contains("broken pipe") && !told.contains("panicked"), "{arguments:?}\n{told}");
    }
}

#[test]
fn completions_come_out_for_the_common_shells_and_bash_accepts_them() {
    let scratch = Scratch::new();
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef mcdns"), ("fish", "complete -c mcdns")] {
        let script = run(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains(mark), "{shell}: {script}");
        for command in ["run", "serve", "records", "check", "lookup", "explain"] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        if shell == "bash" {
            let file = scratch.path("completions");
            fs::write(&file, script).expect("a file");
            finish(tool("bash").args(["-n", text(&file)])).expect_code(0);
        }
    }
}

#[test]
fn as_a_plugin_of_kubectl_the_program_completes_under_that_name() {
    let scratch = Scratch::new();
    let plugin = scratch.path("kubectl-mcdns");
    symlink(env!("CARGO_BIN_EXE_mcdns"), &plugin).expect("a link");
    let script = finish(std::process::Command::new(plugin).args(["completions", "zsh"])).expect_code(0).stdout;
    assert!(script.starts_with("#compdef kubectl-mcdns"), "{script}");
}

#[track_caller]
fn refused(arguments: &[&str], part: &str) {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(2), "{arguments:?}\n{}", finished.told());
    assert_eq!(finished.stdout, "", "{arguments:?}");
    assert!(finished.stderr.contains(part), "{arguments:?} does not say {part:?}\n{}", finished.told());
}

fn repository_demo() -> &'static std::path::Path {
    std::path::Path::new(DEMO)
}
