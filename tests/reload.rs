//! SIGHUP: settings are read again. What is refused leaves everything as it was.

mod program;

use std::{fs, path::PathBuf};

use program::{Program, Scratch, eventually, replace, text, until_equal};
use rustix::process::Signal;

const DEMO: &str = "deploy/demo/two-regions";

/// Settings beside a program that runs with them.
struct Fixture {
    scratch: Scratch,
    settings: PathBuf,
}

impl Fixture {
    fn new(settings: &str) -> Self {
        let scratch = Scratch::new();
        let fixture = Self { settings: scratch.path("settings.yaml"), scratch };
        fixture.write(settings);
        fixture
    }

    fn write(&self, settings: &str) {
        replace(&self.settings, &format!("version: 1\n{settings}"));
    }

    fn run(&self) -> Program {
        Program::run_with(&[DEMO, "--settings", text(&self.settings)])
    }

    /// A master file with one address.
    fn zone(&self, name: &str, apex: &str, address: &str) -> String {
        let file = self.scratch.path(name);
        let content = format!(
            "{apex}. 60 IN SOA ns1.{apex}. hostmaster.{apex}. 1 3600 600 604800 30\n{apex}. 60 IN NS ns1.{apex}.\n\
             ns1.{apex}. 60 IN A 192.0.2.1\nwww.{apex}. 60 IN A {address}\n"
        );
        fs::write(&file, content).expect("written");
        text(&file).to_owned()
    }
}

/// Messages of findings on the admin port that are about settings.
fn findings(program: &Program) -> Vec<(String, String)> {
    let (code, body) = program.page("/findings");
    assert_eq!(code, 200);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&body).expect("JSON");
    let of_settings = findings.iter().filter(|finding| {
        ["refused-setting", "syntax", "unreadable", "next-start", "short-secret"]
            .contains(&finding["code"].as_str().unwrap_or_default())
    });
    let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    of_settings.map(|finding| (word(finding, "code"), word(finding, "field"))).collect()
}

fn pair(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

#[test]
fn a_refused_reload_leaves_all_as_it_was_and_says_where_the_fault_is() {
    let fixture = Fixture::new("");
    let old = fixture.zone("old.zone", "static.example", "192.0.2.80");
    let new = fixture.zone("new.zone", "static.example", "192.0.2.81");
    let with = |file: &str, more: &str| format!("serve:\n  zones: [{{apex: static.example, file: {file}}}]\n{more}");
    fixture.write(&with(&old, ""));
    let program = fixture.run();
    assert_eq!(program.data("www.static.example"), ["192.0.2.80"]);
    assert_eq!(findings(&program), []);

    for (fault, place, finding) in [
        (
            "  transfer: {keys: [nobody]}\n",
            "settings.yaml:4:21: error[refused-setting]: serve.transfer.keys[0]",
            pair("refused-setting", "serve.transfer.keys[0]"),
        ),
        ("  nsdi: x\n", "settings.yaml:4:3: error[refused-setting]: serve.nsdi", pair("refused-setting", "serve.nsdi")),
        ("  nsid: [\n", "error[syntax]", pair("syntax", "")),
    ] {
        fixture.write(&with(&new, fault));
        program.signal(Signal::HUP);
        program.until_log_has(place);
        until_equal("the admin port tells", &finding, || findings(&program));
        assert_eq!(program.data("www.static.example"), ["192.0.2.80"], "no part of a refused file counts");
    }
    program.until_log_has("settings refused; what runs stays in force");

    // Set right, it counts, and nothing is told any more.
    fixture.write(&with(&new, ""));
    program.signal(Signal::HUP);
    program.until_data("www.static.example", &["192.0.2.81"]);
    until_equal("nothing is wrong", &Vec::new(), || findings(&program));
    assert_eq!(program.data("web.shop.galactic.svc.example.com").len(), 4, "the federation goes on");
    program.stop().expect_code(0);
}

#[test]
fn zones_come_and_go_with_the_settings() {
    let fixture = Fixture::new("");
    let file = fixture.zone("more.zone", "more.example", "192.0.2.82");
    let program = fixture.run();
    assert_eq!(program.dig("www.more.example").status, "REFUSED");
    fixture.write(&format!("serve: {{zones: [{{apex: more.example, file: {file}}}]}}\n"));
    program.signal(Signal::HUP);
    program.until_data("www.more.example", &["192.0.2.82"]);
    // The new file is watched.
    fixture.zone("draft", "more.example", "192.0.2.83");
    fs::rename(fixture.scratch.path("draft"), &file).expect("renamed");
    program.until_data("www.more.example", &["192.0.2.83"]);
    fixture.write("");
    program.signal(Signal::HUP);
    until_equal("the zone is gone", &"REFUSED".to_owned(), || program.dig("www.more.example").status);
}

#[test]
fn a_master_file_with_an_error_leaves_its_zone_as_it_was_until_it_is_right() {
    let fixture = Fixture::new("");
    let file = fixture.zone("static.zone", "static.example", "192.0.2.80");
    fixture.write(&format!("serve: {{zones: [{{apex: static.example, file: {file}}}]}}\n"));
    let program = fixture.run();
    program.until_data("www.static.example", &["192.0.2.80"]);
    let good = fs::read_to_string(&file).expect("a zone");
    let serial = |content: &str| content.replace(" 1 3600 ", " 2 3600 ");
    let is_told = |program: &Program| program.page("/findings").1.contains("static.zone");
    for bad in [good.replace("A 192.0.2.80", "A 192.0.2."), format!("{good}$INCLUDE missing.zone\n")] {
        replace(&fixture.scratch.path("static.zone"), &serial(&bad));
        until_equal("the fault is told", &true, || is_told(&program));
        assert_eq!(program.data("www.static.example"), ["192.0.2.80"]);
        assert!(program.data("static.example SOA")[0].contains(" 1 3600 "), "the serial is that of what is served");
        replace(&fixture.scratch.path("static.zone"), &good.replace("192.0.2.80", "192.0.2.81"));
        program.until_data("www.static.example", &["192.0.2.81"]);
        until_equal("nothing is wrong", &false, || is_told(&program));
        replace(&fixture.scratch.path("static.zone"), &good);
        program.until_data("www.static.example", &["192.0.2.80"]);
    }
}

#[test]
fn what_cannot_change_while_it_runs_is_told_once() {
    const TOLD: &str = "a setting takes effect at the next start";
    let fixture = Fixture::new("");
    let program = fixture.run();
    fixture.write("serve: {workers: 3}\n");
    let reloads = |count: usize| {
        program.signal(Signal::HUP);
        eventually("the settings are read again", || {
            let log = program.log();
            if log.matches("settings read again").count() == count { Ok(()) } else { Err(log) }
        });
    };
    reloads(1);
    reloads(2);
    assert_eq!(program.log().matches(TOLD).count(), 1, "{}", program.log());
    assert_eq!(findings(&program), pair("next-start", "serve.workers"));
    fixture.write("serve: {workers: 4}\n");
    reloads(3);
    assert_eq!(program.log().matches(TOLD).count(), 2, "another value is another change\n{}", program.log());
    fixture.write("");
    reloads(4);
    until_equal("nothing waits", &Vec::new(), || findings(&program));
    // Flags hold: the addresses of the command line are not replaced by defaults.
    assert_eq!(program.log().matches("serve.listen").count(), 0, "{}", program.log());
    assert_eq!(program.data("web.shop.galactic.svc.example.com").len(), 4);
}

#[test]
fn the_log_level_changes_at_once() {
    let fixture = Fixture::new("log: {level: error}\n");
    let program = fixture.run();
    fixture.write("log: {level: info}\n");
    program.signal(Signal::HUP);
    program.until_log_has("settings read again");
}

#[test]
fn serve_reads_its_settings_again_too_and_keeps_its_zones() {
    let fixture = Fixture::new("");
    let file = fixture.zone("served.zone", "served.example", "192.0.2.90");
    let start =
        ["serve", &file, "--settings", text(&fixture.settings), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::start(&start);
    fixture.write("serve: {rateLimit: {slip: -1}}\n");
    program.signal(Signal::HUP);
    program.until_log_has("settings.yaml:2:27: error[refused-setting]: serve.rateLimit.slip");
    until_equal("the admin port tells", &pair("refused-setting", "serve.rateLimit.slip"), || findings(&program));
    assert_eq!(program.data("www.served.example"), ["192.0.2.90"]);
    fixture.write("serve: {keys: [{name: weak, secret: aHVzaA==}]}\n");
    program.signal(Signal::HUP);
    until_equal("a warning is told", &pair("short-secret", "serve.keys[0].secret"), || findings(&program));
    let log = program.stop().expect_code(0).stderr;
    assert!(!log.contains("aHVzaA"), "a secret is in the log: {log}");
}
