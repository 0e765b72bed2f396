//! Zone transfers of the whole program: what secondaries get over changes, reloads and restarts.

mod program;

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use program::{Program, Scratch, edit, eventually, replace, text, tool};

const APEX: &str = "example.com";
const CHECKOUT: &str = "checkout.shop.galactic.svc.example.com";

/// The records that dig prints for a transfer, one a line.
fn transfer(server: SocketAddr, kind: &str) -> Vec<String> {
    let mut dig = tool("dig");
    dig.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string(), "+tcp", APEX, kind]);
    let output = dig.output().expect("dig runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The whole zone, without its SOA.
fn whole(server: SocketAddr) -> BTreeSet<String> {
    transfer(server, "AXFR").into_iter().filter(|line| !line.contains(" SOA ")).collect()
}

/// Follows the differences from `serial` on; they must be differences.
fn follow(held: &BTreeSet<String>, server: SocketAddr, serial: u32) -> BTreeSet<String> {
    let answer = transfer(server, &format!("IXFR={serial}"));
    assert!(answer.len() > 1, "nothing has changed since {serial}: {answer:?}");
    assert!(answer[1].contains(&format!(" {serial} ")), "no differences since {serial}: {answer:?}");
    let (mut held, mut removing) = (held.clone(), false);
    for line in &answer[1..answer.len() - 1] {
        if line.contains(" SOA ") {
            removing = !removing;
        } else if removing {
            assert!(held.remove(line), "{line} goes and was not there");
        } else {
            assert!(held.insert(line.clone()), "{line} comes and was there");
        }
    }
    held
}

struct Fixture {
    _scratch: Scratch,
    directory: std::path::PathBuf,
    state: std::path::PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let scratch = Scratch::new();
        let directory = scratch.copy_of("deploy/demo/two-regions");
        let state = scratch.path("state");
        Self { directory, state, _scratch: scratch }
    }

    fn start(&self) -> Program {
        Program::run_with_state(&self.directory, &self.state)
    }

    fn set_address(&self, before: &str, after: &str) {
        edit(&self.directory.join("hosts"), &format!("{before} "), &format!("{after} "));
    }

    /// Waits until the differences on disk lead to this serial.
    fn until_written(&self, serial: u32) {
        let file = self.state.join("differences-00000001");
        eventually("the difference is on disk", || match fs::read_to_string(&file) {
            Ok(content) if content.contains(&format!("\"serial\":{serial}")) => Ok(()),
            other => Err(format!("{serial}: {other:?}")),
        });
    }
}

#[test]
fn a_secondary_follows_by_differences_over_a_clean_end_and_a_kill() {
    let fixture = Fixture::new();
    let first = fixture.start();
    let (serial, held) = (first.serial(APEX), whole(first.server));
    assert!(held.len() > 10, "{held:?}");
    fixture.set_address("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    assert_eq!(follow(&held, first.server, serial), whole(first.server));
    first.stop().expect_code(0);

    let second = fixture.start();
    assert_eq!(follow(&held, second.server, serial), whole(second.server), "after a clean end");
    fixture.set_address("192.0.2.42", "192.0.2.43");
    second.until_data(CHECKOUT, &["192.0.2.43"]);
    assert_eq!(follow(&held, second.server, serial), whole(second.server));
    let (serial, held) = (second.serial(APEX), whole(second.server));
    fixture.set_address("192.0.2.43", "192.0.2.44");
    second.until_data(CHECKOUT, &["192.0.2.44"]);
    fixture.until_written(second.serial(APEX));
    second.kill();

    let third = fixture.start();
    assert_eq!(third.data(CHECKOUT), ["192.0.2.44"]);
    // The zone is so small that all differences together would be longer than it.
    assert_eq!(follow(&held, third.server, serial), whole(third.server), "after a kill");
}

/// A master file with 50 names and some more.
fn content(serial: u32, more: &str) -> String {
    let names = (0..50).map(|number| format!("n{number} A 192.0.2.{number}\n")).collect::<Vec<_>>().concat();
    format!(
        "$ORIGIN {APEX}.\n$TTL 60\n@ SOA ns1 hostmaster {serial} 3600 600 604800 30\n@ NS ns1\nns1 A 192.0.2.1\n{names}{more}"
    )
}

#[test]
fn a_master_file_that_is_read_again_gives_differences_if_its_serial_has_moved() {
    let scratch = Scratch::new();
    let file = scratch.path("example.com.zone");
    fs::write(&file, content(1, "")).expect("written");
    let program = Program::serve(&[Path::new(text(&file))]);
    let held = whole(program.server);
    assert_eq!(held.len(), 52);
    replace(&file, &content(5, "new A 192.0.2.7\n"));
    program.until_data("new.example.com", &["192.0.2.7"]);
    assert_eq!(follow(&held, program.server, 1), whole(program.server));
    // A change that secondaries cannot notice is told, and never given out as a difference.
    replace(&file, &content(5, "new A 192.0.2.8\n"));
    program.until_data("new.example.com", &["192.0.2.8"]);
    program.until_log_has("zone-serial");
    assert_eq!(transfer(program.server, "IXFR=1").len(), 2 + whole(program.server).len(), "the whole zone");
}

/// A master file with a place for the state.
struct Kept {
    scratch: Scratch,
    file: std::path::PathBuf,
    state: std::path::PathBuf,
}

impl Kept {
    fn new(content: &str) -> Self {
        let scratch = Scratch::new();
        let (file, state) = (scratch.path("example.com.zone"), scratch.path("state"));
        fs::write(&file, content).expect("written");
        Self { scratch, file, state }
    }

    fn arguments(&self) -> [&str; 8] {
        let (file, state) = (text(&self.file), text(&self.state));
        ["serve", file, "--state-dir", state, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    }

    fn start(&self) -> Program {
        Program::start(&self.arguments())
    }

    /// Waits until the copy of the zone on disk has this serial.
    fn until_copied(&self, serial: u32) {
        let file = self.state.join("zone-example.com");
        eventually("the copy is on disk", || match fs::read_to_string(&file) {
            Ok(content) if content.starts_with(&format!("; mcdns-zone 1 {serial} ")) => Ok(()),
            other => Err(format!("{serial}: {other:?}")),
        });
    }
}

#[test]
fn a_master_file_that_changed_while_the_program_was_down_gives_differences() {
    let kept = Kept::new(&content(1, "old A 192.0.2.6\n"));
    let first = kept.start();
    let oldest = whole(first.server);
    replace(&kept.file, &content(2, "new A 192.0.2.7\n"));
    first.until_data("new.example.com", &["192.0.2.7"]);
    assert_eq!(follow(&oldest, first.server, 1), whole(first.server));
    let old = whole(first.server);
    first.stop().expect_code(0);

    replace(&kept.file, &content(5, "newer A 192.0.2.8\n"));
    let second = kept.start();
    assert_eq!(second.data("newer.example.com"), ["192.0.2.8"]);
    assert_eq!(follow(&old, second.server, 2), whole(second.server), "from the serial of the copy");
    assert_eq!(follow(&oldest, second.server, 1), whole(second.server), "from before");
    let held = whole(second.server);
    kept.until_copied(5);
    second.kill();

    // After a kill the copy is there; the differences may lack the last one, and the copy makes up for it.
    replace(&kept.file, &content(6, ""));
    let third = kept.start();
    assert_eq!(follow(&held, third.server, 5), whole(third.server), "after a kill");
    third.stop().expect_code(0);
    let fourth = kept.start();
    assert_eq!(follow(&held, fourth.server, 5), whole(fourth.server), "without a change");
}

#[test]
fn a_change_without_a_new_serial_over_a_restart_is_told_and_no_difference() {
    let kept = Kept::new(&content(1, ""));
    let first = kept.start();
    replace(&kept.file, &content(2, "new A 192.0.2.7\n"));
    first.until_data("new.example.com", &["192.0.2.7"]);
    first.stop().expect_code(0);
    replace(&kept.file, &content(2, "new A 192.0.2.8\n"));
    let second = kept.start();
    assert!(second.log().contains("zone-serial"), "{}", second.log());
    assert_eq!(transfer(second.server, "IXFR=1").len(), 2 + whole(second.server).len(), "the whole zone");
}

#[test]
fn a_damaged_copy_costs_the_differences_and_nothing_else() {
    let kept = Kept::new(&content(1, ""));
    kept.start().stop().expect_code(0);
    let copy = kept.state.join("zone-example.com");
    let damaged = fs::read_to_string(&copy).expect("a copy").replace("192.0.2.7", "192.0.2.77");
    fs::write(&copy, damaged).expect("written");
    replace(&kept.file, &content(2, "new A 192.0.2.7\n"));
    let program = kept.start();
    assert!(program.log().contains("state ignored"), "{}", program.log());
    assert_eq!(program.data("new.example.com"), ["192.0.2.7"]);
    assert_eq!(transfer(program.server, "IXFR=1").len(), 2 + whole(program.server).len(), "the whole zone");
    kept.until_copied(2);
}

#[test]
fn two_programs_on_one_state_directory_are_refused() {
    let kept = Kept::new(&content(1, ""));
    let first = kept.start();
    let refused = program::run(&kept.arguments()).expect_code(2);
    assert!(refused.stderr.contains("is in use by process"), "{}", refused.told());
    let demo = kept.scratch.copy_of("deploy/demo/two-regions");
    let run =
        ["run", text(&demo), "--state-dir", text(&kept.state), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let refused = program::run(&run).expect_code(2);
    assert!(refused.stderr.contains("is in use by process"), "{}", refused.told());
    assert!(first.page("/metrics").1.contains("mcdns_state_problems 0"));
    first.kill();
    assert_eq!(kept.start().serial(APEX), 1);
}

#[test]
fn the_state_is_handed_over_and_had_again_from_a_successor_that_fails() {
    let kept = Kept::new(&content(1, ""));
    let settings = kept.scratch.path("settings.yaml");
    replace(&settings, &format!("version: 1\nserve:\n  handover: {}\n", text(&kept.scratch.path("mcdns.sock"))));
    let arguments = |file: &Path| {
        let [_, _, rest @ ..] = kept.arguments();
        [&["serve", text(file), "--settings", text(&settings)], &rest[..]].concat().join("\n")
    };
    let own = arguments(&kept.file);
    let first = Program::start(&own.lines().collect::<Vec<_>>());

    // A successor without a zone has the state directory for a moment.
    let broken = kept.scratch.path("broken.zone");
    replace(&broken, "no zone\n");
    let failing = arguments(&broken);
    program::run(&failing.lines().collect::<Vec<_>>()).expect_code(2);
    first.until_log_has("the state directory is had again");
    replace(&kept.file, &content(2, "new A 192.0.2.7\n"));
    first.until_data("new.example.com", &["192.0.2.7"]);

    let second = Program::start(&own.lines().collect::<Vec<_>>());
    first.until_end().expect_code(0);
    let answer = transfer(second.server, "IXFR=1");
    assert_eq!(answer.len(), 5, "a difference of one record: {answer:?}");
    second.stop().expect_code(0);
}
