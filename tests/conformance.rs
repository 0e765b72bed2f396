//! What goes over the wire is what the RFCs say.
//!
//! The cases stand in `tests/conformance/cases`, filed by RFC. They speak the network alone, and are held against
//! three other name servers first of all: a case that is wrong fails there.

mod program;

use std::{fs, path::PathBuf};

use conformance::{Target, Who, controls::Control, own, zones};
use program::{Program, Scratch, text};

#[test]
fn mcdns_answers_as_the_rfcs_say() {
    let scratch = Scratch::new();
    let folder = scratch.path("");
    zones::write(&folder).expect("zones");
    let settings = scratch.path("settings.yaml");
    fs::write(&settings, own::settings()).expect("settings");
    let files: Vec<PathBuf> = zones::ZONES.iter().map(|zone| folder.join(zone.file())).collect();
    let mut arguments =
        vec!["serve", "--settings", text(&settings), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    arguments.extend(files.iter().map(|file| text(file)));
    let program = Program::start(&arguments);
    check(&Target { who: Who::Mcdns, address: program.server, notes_hold: true });
}

#[test]
fn nsd_answers_as_the_rfcs_say_where_no_case_says_otherwise() {
    check(&Control::start(Who::Nsd).expect("NSD").target);
}

#[test]
fn knot_answers_as_the_rfcs_say_where_no_case_says_otherwise() {
    check(&Control::start(Who::Knot).expect("Knot").target);
}

#[test]
fn bind_answers_as_the_rfcs_say_where_no_case_says_otherwise() {
    check(&Control::start(Who::Bind).expect("BIND").target);
}

#[track_caller]
fn check(target: &Target) {
    let cases = conformance::cases().expect("cases that can be read");
    let report = conformance::run(target, &cases);
    assert!(report.failures.is_empty(), "{}\n{report}", target.who);
}
