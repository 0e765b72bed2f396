//! What the program still knows after a restart, however it ended.

mod program;

use std::{
    fs,
    path::{Path, PathBuf},
};

use program::{Program, Scratch, edit, eventually, run, text, until_equal};

const CLOUD: &str = "deploy/demo/two-regions";
const METAL: &str = "deploy/demo/bare-metal";
const CHECKOUT: &str = "checkout.shop.galactic.svc.example.com";
const WEB: &str = "web.shop.galactic.svc.example.com";

#[test]
fn after_a_kill_it_serves_what_it_knew_says_so_and_catches_up_when_the_source_is_back() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    let serial = first.serial("example.com");
    fixture.until_state_has("192.0.2.42");
    first.kill();

    let away = fixture.scratch.path("away");
    fs::rename(&fixture.directory, &away).expect("a folder that can be moved");
    let second = fixture.start();
    assert_eq!(second.data(CHECKOUT), ["192.0.2.42"]);
    assert_eq!(second.data(WEB).len(), 4);
    assert_eq!(second.data("www.example.com"), ["192.0.2.51", "198.51.100.61"]);
    assert!(second.serial("example.com") >= serial, "serials never go back");
    let (code, ready) = second.page("/readyz");
    assert!(code == 200 && ready.contains("stale: the federation directory cannot be read"), "{code} {ready}");
    second.until_log_has("the federation directory cannot be read; serving what is known from before");

    // Back again, with a change made in between.
    edit(&away.join("members/tokyo-1/web.yaml"), "ready: true", "ready: false");
    fs::rename(&away, &fixture.directory).expect("a folder that can be moved");
    until_equal("the change is seen", &3, || second.data(WEB).len());
    until_equal("nothing is stale", &false, || second.page("/readyz").1.contains("stale"));
    // And it goes on to follow.
    fixture.set_address_of_checkout("192.0.2.42", "192.0.2.43");
    second.until_data(CHECKOUT, &["192.0.2.43"]);
}

#[test]
fn a_hosts_file_that_is_away_at_the_start_is_served_from_before_and_followed() {
    let fixture = Fixture::new(CLOUD);
    let hosts = fixture.scratch.path("named.hosts");
    fs::rename(fixture.directory.join("hosts"), &hosts).expect("a file that can be moved");
    let start = || {
        let arguments = [text(&fixture.directory), "--state-dir", text(&fixture.state), "--hosts", text(&hosts)];
        Program::run_with(&arguments)
    };
    start().stop().expect_code(0);
    let away = fixture.scratch.path("away.hosts");
    fs::rename(&hosts, &away).expect("a file that can be moved");
    let program = start();
    assert_eq!(program.data(CHECKOUT), ["192.0.2.41"]);
    let (code, ready) = program.page("/readyz");
    assert!(code == 200 && ready.contains("stale: the hosts file cannot be read"), "{code} {ready}");
    edit(&away, "192.0.2.41 ", "192.0.2.42 ");
    fs::rename(&away, &hosts).expect("a file that can be moved");
    program.until_data(CHECKOUT, &["192.0.2.42"]);
    until_equal("nothing is stale", &false, || program.page("/readyz").1.contains("stale"));
}

#[test]
fn a_directory_that_goes_away_while_it_runs_takes_no_answer_along() {
    let fixture = Fixture::new(METAL);
    let program = fixture.start();
    let name = "telemetry.factory.plant.svc.plant.example.net";
    assert_eq!(program.data(name), ["203.0.113.20"]);
    let away = fixture.scratch.path("away");
    fs::rename(&fixture.directory, &away).expect("a folder that can be moved");
    eventually("readiness says that the source is lost", || match program.page("/readyz") {
        (200, ready) if ready.contains("stale") => Ok(()),
        (code, ready) => Err(format!("{code} {ready}")),
    });
    assert_eq!(program.data(name), ["203.0.113.20"]);
    edit(&away.join("members/berlin/telemetry.yaml"), "203.0.113.20", "203.0.113.30");
    fs::rename(&away, &fixture.directory).expect("a folder that can be moved");
    program.until_data(name, &["203.0.113.30"]);
    until_equal("nothing is stale", &false, || program.page("/readyz").1.contains("stale"));
}

#[test]
fn what_changed_while_it_was_down_counts_after_the_start() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    let serial = first.serial("example.com");
    first.stop().expect_code(0);
    // A record goes, an address changes, an endpoint is gone: none of it was observed.
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.44");
    edit(&fixture.directory.join("host/shop.yaml"), "  dnsPrefix: web\n", "");
    let second = fixture.start();
    assert_eq!(second.data(CHECKOUT), ["192.0.2.44"]);
    assert_eq!(second.dig("web.example.com").status, "NXDOMAIN");
    assert!(second.serial("example.com") > serial, "the content moved, so the serial does");
}

#[test]
fn a_restart_without_a_change_keeps_the_serial() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    let serial = first.serial("example.com");
    first.stop().expect_code(0);
    for _ in 0..2 {
        let again = fixture.start();
        assert_eq!(again.serial("example.com"), serial);
        again.stop().expect_code(0);
    }
}

#[test]
fn the_serial_never_goes_back_over_kills_and_restarts() {
    let fixture = Fixture::new(CLOUD);
    let mut last = 0;
    let mut address = 41;
    for round in 0..6 {
        let program = fixture.start();
        let start = program.serial("example.com");
        assert!(start >= last, "round {round}: {start} after {last}");
        for _ in 0..3 {
            let (before, after) = (format!("192.0.2.{address}"), format!("192.0.2.{}", address + 1));
            fixture.set_address_of_checkout(&before, &after);
            program.until_data(CHECKOUT, &[&after]);
            address += 1;
        }
        last = program.serial("example.com");
        assert!(last >= start + 3, "round {round}: three changes from {start} to {last}");
        if round % 2 == 0 {
            // At once, with whatever is still on its way to the disk.
            program.kill();
        } else {
            program.stop().expect_code(0);
        }
    }
}

#[test]
fn a_damaged_journal_is_reported_and_costs_the_damaged_lines_alone() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    fixture.until_state_has("192.0.2.41");
    let serial = first.serial("example.com");
    first.kill();
    let journal = fixture.state.join("observations.journal");
    let mut octets = fs::read(&journal).expect("a journal");
    octets.extend(b"\xff\xfeno line of ours\n0123 {\"half");
    fs::write(&journal, octets).expect("a journal that can be written");
    fs::rename(&fixture.directory, fixture.scratch.path("away")).expect("a folder that can be moved");

    let second = fixture.start();
    second.until_log_has("state ignored");
    assert!(second.log().contains("observations.journal"), "{}", second.log());
    assert_eq!(second.data(CHECKOUT), ["192.0.2.41"]);
    assert_eq!(second.data(WEB).len(), 4);
    assert!(second.serial("example.com") >= serial, "serials never go back");
}

#[test]
fn state_files_of_any_octets_never_keep_it_from_starting() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    first.stop().expect_code(0);
    let files: Vec<PathBuf> = state_files(&fixture.state);
    assert!(files.len() >= 3, "{files:?}");
    for (number, damage) in
        [&b""[..], b"\0\0\0\0\0\0\0\0", b"{}", b"00000000 {\"format\":\"mcdns-serials\",\"version\":99}\n"]
            .into_iter()
            .enumerate()
    {
        for file in &files {
            fs::write(file, damage).expect("a file that can be written");
        }
        let program = fixture.start();
        assert_eq!(program.data(CHECKOUT), ["192.0.2.42"], "damage {number}");
        assert_eq!(program.page("/readyz").0, 200);
        program.stop().expect_code(0);
    }
}

#[test]
fn the_history_has_each_change_with_its_reason_and_survives_a_restart() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    edit(&fixture.directory.join("members/ohio-1/checkout.yaml"), "ready: true", "ready: false");
    until_equal("it is withdrawn", &"NXDOMAIN".to_owned(), || first.dig(CHECKOUT).status);

    let rows = history(&first);
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_eq!(rows[0], ["WHEN", "BEFORE", "AFTER", "BECAUSE"]);
    assert_eq!(&rows[1][1..3], ["A 192.0.2.42", "-"], "newest first");
    assert!(rows[1][3].contains("EndpointSlice") && rows[1][3].contains("ohio-1"), "{rows:#?}");
    assert_eq!(&rows[2][1..3], ["A 192.0.2.41", "A 192.0.2.42"]);
    assert!(rows[2][3].contains("d4c3pay-4444.elb.us-east-2.amazonaws.test"), "{rows:#?}");
    let json = run(&["explain", CHECKOUT, "--history", "-o", "json", "--admin", &first.admin.to_string()]);
    let changes: Vec<serde_json::Value> = serde_json::from_str(&json.expect_code(0).stdout).expect("JSON");
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change["owner"] == CHECKOUT && change["at"].is_i64()), "{changes:#?}");

    first.stop().expect_code(0);
    let second = fixture.start();
    assert_eq!(history(&second), rows);
    // A restart is no change, and what changes next comes on top.
    edit(&fixture.directory.join("members/ohio-1/checkout.yaml"), "ready: false", "ready: true");
    second.until_data(CHECKOUT, &["192.0.2.42"]);
    until_equal("there is one change more", &4, || history(&second).len());
    assert_eq!(history(&second)[2..], rows[1..]);
}

#[test]
fn a_second_program_on_the_same_state_directory_is_refused() {
    let fixture = Fixture::new(CLOUD);
    let first = fixture.start();
    let arguments = ["run", text(&fixture.directory), "--state-dir", text(&fixture.state)];
    let refused =
        run(&[&arguments[..], &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]].concat()).expect_code(2);
    assert!(refused.stderr.contains("is in use by process"), "{}", refused.told());
    assert_eq!(first.data(CHECKOUT), ["192.0.2.41"], "the first one goes on");
    // The lock goes with its holder, even when that is killed.
    first.kill();
    assert_eq!(fixture.start().data(CHECKOUT), ["192.0.2.41"]);
}

#[test]
fn without_a_state_directory_nothing_is_written() {
    let fixture = Fixture::new(CLOUD);
    let program = Program::run(&fixture.directory);
    fixture.set_address_of_checkout("192.0.2.41", "192.0.2.42");
    program.until_data(CHECKOUT, &["192.0.2.42"]);
    program.stop().expect_code(0);
    let left: Vec<_> =
        fs::read_dir(fixture.scratch.path("")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["federation"]);
}

/// A federation directory with a place for the state.
struct Fixture {
    scratch: Scratch,
    directory: PathBuf,
    state: PathBuf,
}

impl Fixture {
    fn new(demo: &str) -> Self {
        let scratch = Scratch::new();
        let (directory, state) = (scratch.copy_of(demo), scratch.path("state"));
        Self { scratch, directory, state }
    }

    #[track_caller]
    fn start(&self) -> Program {
        Program::run_with_state(&self.directory, &self.state)
    }

    #[track_caller]
    fn set_address_of_checkout(&self, before: &str, after: &str) {
        edit(&self.directory.join("hosts"), &format!("{before} "), &format!("{after} "));
    }

    /// Waits until something is on disk, which takes up to a second.
    #[track_caller]
    fn until_state_has(&self, part: &str) {
        eventually(&format!("{part} is on disk"), || {
            let found = state_files(&self.state)
                .iter()
                .filter(|file| file.to_string_lossy().contains("observations"))
                .any(|file| fs::read(file).is_ok_and(|octets| String::from_utf8_lossy(&octets).contains(part)));
            if found { Ok(()) } else { Err("it is in no file") }
        });
    }
}

/// Everything in the state directory but the lock.
fn state_files(state: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(state) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .collect()
}

/// Rows of `mcdns explain --history`.
#[track_caller]
fn history(program: &Program) -> Vec<Vec<String>> {
    let told = run(&["explain", CHECKOUT, "--history", "--admin", &program.admin.to_string()]).expect_code(0);
    told.stdout.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
