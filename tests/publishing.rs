//! `run` with publishers: what changes goes there at once, what would be lost in bulk waits, and people are told.
//!
//! The publisher is the one that keeps everything in memory; those of other systems have tests of their own.

mod program;

use std::fs;

use program::{Program, Scratch, edit, eventually, replace, run, text, until_equal};
use rustix::process::Signal;

const DEMO: &str = "deploy/demo/two-regions";
const SETTINGS: &str = "version: 1\npublish: {manager: prod, to: [{name: tries, zones: [example.com], memory: {}}]}\n";

/// A copy of the demo, and settings that publish it.
struct Fixture {
    scratch: Scratch,
}

impl Fixture {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.copy_of(DEMO);
        fs::write(scratch.path("settings.yaml"), SETTINGS).expect("written");
        Self { scratch }
    }

    fn run(&self) -> Program {
        let (federation, settings) = (self.scratch.path("federation"), self.scratch.path("settings.yaml"));
        Program::run_with(&[text(&federation), "--settings", text(&settings)])
    }

    /// `mcdns plan` against the running program.
    fn plan(&self, program: &Program, more: &[&str]) -> program::Finished {
        let (admin, settings) = (program.admin.to_string(), self.scratch.path("settings.yaml"));
        run(&[&["plan", "--settings", text(&settings), "--admin", &admin], more].concat())
    }
}

/// A metric of the one zone.
fn metric(program: &Program, name: &str) -> Option<f64> {
    let (_, metrics) = program.page("/metrics");
    let line = format!("{name}{{publisher=\"tries\",zone=\"example.com\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
}

fn until_in_sync(program: &Program) {
    until_equal("everything stands there", &Some(1.0), || metric(program, "mcdns_publish_in_sync"));
}

fn findings(program: &Program) -> Vec<(String, String)> {
    let (_, body) = program.page("/findings");
    let findings: Vec<serde_json::Value> = serde_json::from_str(&body).expect("JSON");
    let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let all = findings.iter().map(|finding| (word(finding, "code"), word(finding, "object")));
    all.filter(|(code, _)| code.contains("publish")).collect()
}

#[test]
fn what_is_served_is_published_and_what_changes_follows() {
    let fixture = Fixture::new();
    let program = fixture.run();
    assert!(program.stdout().contains("to tries (example.com)"), "{}", program.stdout());
    until_in_sync(&program);
    let names = metric(&program, "mcdns_publish_names").expect("a metric");
    assert!(names > 10.0, "{names}");
    let plan = fixture.plan(&program, &[]).expect_code(0).stdout;
    assert!(plan.contains("0 to create, 0 to replace, 0 to delete"), "{plan}");
    let before = metric(&program, "mcdns_publish_changes_total").expect("a metric");
    edit(&fixture.scratch.path("federation/hosts"), "192.0.2.41 ", "192.0.2.101 ");
    eventually("the change is published", || {
        let changes = metric(&program, "mcdns_publish_changes_total").expect("a metric");
        if changes > before { Ok(()) } else { Err(format!("{changes} changes")) }
    });
    until_in_sync(&program);
    assert_eq!(findings(&program), []);
}

#[test]
fn a_directory_is_planned_against_what_stands_there() {
    let fixture = Fixture::new();
    let (federation, settings) = (fixture.scratch.path("federation"), fixture.scratch.path("settings.yaml"));
    let plan = run(&["plan", text(&federation), "--settings", text(&settings)]).expect_code(0).stdout;
    assert!(plan.contains("web.shop.galactic.svc.example.com"), "{plan}");
    assert!(plan.contains("ServiceDNSRecord shop/web"), "with the reason: {plan}");
}

#[test]
fn a_bulk_loss_waits_for_a_person_who_releases_exactly_that() {
    let fixture = Fixture::new();
    let program = fixture.run();
    until_in_sync(&program);
    let names = metric(&program, "mcdns_publish_names");
    let host = fixture.scratch.path("federation/host/shop.yaml");
    let records = fs::read_to_string(&host).expect("records");
    replace(&host, "");
    until_equal("it is held", &Some(0.0), || metric(&program, "mcdns_publish_in_sync"));
    let told = vec![("publish-held".to_owned(), "Domain kube-federation-system/galactic".to_owned())];
    until_equal("people are told", &told, || findings(&program));
    assert_eq!(metric(&program, "mcdns_publish_names"), names, "nothing is gone");
    let plan = fixture.plan(&program, &["--output", "json"]).expect_code(1).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    let checksum = |value: &serde_json::Value| value["checksum"].as_str().expect("a checksum").to_owned();
    let (whole, held) = (checksum(&plan["plans"][0]), checksum(&plan["plans"][0]["held"][0]));
    // What is not held is nothing, and applying it lets nothing pass.
    fixture.plan(&program, &["--apply", "--force", "--checksum", &whole]).expect_code(0);
    fixture.plan(&program, &[]).expect_code(1);
    // Another plan by then: nothing happens.
    let outdated = fixture.plan(&program, &["--apply", "--force", "--checksum", "0000"]).expect_code(1);
    assert!(outdated.stdout.contains("nothing was changed"), "{}", outdated.told());
    let applied = fixture.plan(&program, &["--apply", "--force", "--checksum", &held]).expect_code(0);
    assert!(applied.stdout.contains("19 changes applied"), "{}", applied.told());
    eventually("the names are gone", || {
        let left = metric(&program, "mcdns_publish_names");
        if left < names { Ok(()) } else { Err(format!("{left:?}")) }
    });
    until_equal("nothing is left to tell", &Vec::new(), || findings(&program));
    replace(&host, &records);
    until_equal("they come back by themselves", &names, || metric(&program, "mcdns_publish_names"));
}

#[test]
fn publishers_are_settled_at_the_start() {
    let fixture = Fixture::new();
    let program = fixture.run();
    until_in_sync(&program);
    replace(&fixture.scratch.path("settings.yaml"), "version: 1\n");
    program.signal(Signal::HUP);
    let waits = "a setting takes effect at the next start";
    program.until_log_has(waits);
    until_in_sync(&program);
}
