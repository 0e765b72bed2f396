//! What is printed has an expected result on file: zones under `zones/golden`, everything else under
//! `tests/golden`. A change of either is part of a review.
//!
//! `UPDATE_GOLDENS=1` (or `cargo xtask golden --update`) writes them anew.

mod program;

use program::{finish, golden, mcdns, repository, run, tool};

/// Demo and apex of its zone.
const DEMOS: [(&str, &str); 2] = [("two-regions", "example.com"), ("bare-metal", "plant.example.net")];

/// The federation in which everything is wrong once.
const BROKEN: &str = "tests/federations/broken";

#[test]
fn the_zones_of_the_demos_are_those_on_file() {
    for (demo, apex) in DEMOS {
        zone_file(demo, apex);
    }
}

#[test]
fn other_name_servers_accept_the_zones_on_file() {
    for (demo, apex) in DEMOS {
        let file = zone_file(demo, apex);
        // -i full: addresses of name servers too; a warning counts as well, with fatal checks of names.
        accepts(tool("named-checkzone").args(["-i", "full", "-k", "fail", "-n", "fail", "-r", "fail", apex, &file]));
        accepts(tool("kzonecheck").args(["--origin", apex, &file]));
        accepts(tool("nsd-checkzone").args([apex, &file]));
    }
}

#[test]
fn a_checker_refuses_a_zone_that_is_wrong() {
    // Without this the test above could pass with arguments that check nothing.
    let file = "zones/broken/zone-cname.zone";
    for command in [
        tool("named-checkzone").args(["example.com", file]),
        tool("kzonecheck").args(["--origin", "example.com", file]),
        tool("nsd-checkzone").args(["example.com", file]),
    ] {
        let finished = finish(command);
        assert_ne!(finished.code, Some(0), "{command:?}\n{}", finished.told());
    }
}

#[test]
fn the_program_reads_the_zones_that_it_printed() {
    for (demo, apex) in DEMOS {
        let checked = run(&["check", &zone_file(demo, apex)]).expect_code(0);
        assert_eq!(checked.stdout, "");
    }
}

#[test]
fn the_objects_of_the_demos_are_those_on_file_and_the_same_in_yaml_and_json() {
    for (demo, _) in DEMOS {
        let folder = demo_folder(demo);
        let yaml = run(&["records", &folder, "-o", "yaml"]).expect_code(0).stdout;
        let json = run(&["records", &folder, "-o", "json"]).expect_code(0).stdout;
        let from_yaml: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
        let from_json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(from_yaml, from_json, "{demo}: YAML and JSON say different things");
        golden::matches(&format!("tests/golden/records/{demo}.yaml"), &yaml);
        golden::matches(&format!("tests/golden/records/{demo}.json"), &json);
    }
}

#[test]
fn the_same_input_gives_the_same_octets() {
    for form in ["zone", "json", "yaml"] {
        let print = || run(&["records", BROKEN, "-o", form]).expect_code(1).stdout;
        assert_eq!(print(), print(), "{form}");
    }
}

#[test]
fn findings_name_file_line_object_field_and_what_would_be_right() {
    let text = run(&["check", BROKEN]).expect_code(1);
    golden::matches("tests/golden/findings/broken.txt", &text.stdout);
    let json = run(&["check", BROKEN, "-o", "json"]).expect_code(1);
    golden::matches("tests/golden/findings/broken.json", &json.stdout);
}

#[test]
fn everything_that_can_be_wrong_with_a_federation_is_found() {
    let json = run(&["check", BROKEN, "-o", "json"]).expect_code(1).stdout;
    let findings: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    let code_and_subject = |code: &str, part: &str| {
        let found = findings.iter().any(|finding| finding["code"] == code && finding.to_string().contains(part));
        assert!(found, "no {code} about {part}");
    };
    code_and_subject("syntax", "host/broken.yaml");
    code_and_subject("syntax", "host/broken.json");
    code_and_subject("syntax", "hosts");
    code_and_subject("wrong-object", "text-for-a-number");
    code_and_subject("wrong-object", "text-for-a-list");
    code_and_subject("unknown-version", "ServiceDNSRecord factory/of-tomorrow");
    code_and_subject("unknown-version", "KubeFedCluster kube-federation-system/of-tomorrow");
    code_and_subject("name-left-out", "more than 63 octets");
    code_and_subject("name-left-out", "more than 253 characters");
    code_and_subject("ttl-out-of-range", "-1");
    code_and_subject("ttl-out-of-range", "2147483648");
    code_and_subject("domain-missing", "plants");
    code_and_subject("domain-shared", "works");
    code_and_subject("domain-name", "plant..example.net");
    code_and_subject("name-taken", "factory/archive");
    code_and_subject("member-without-cluster", "nowhere");
    code_and_subject("cluster-unobserved", "bremen");
    code_and_subject("host-name-unresolved", "nowhere.example.org");
    code_and_subject("target-left-out", "127.0.0.1");
}

#[test]
fn what_is_right_in_a_broken_federation_is_published() {
    let printed = run(&["records", BROKEN]).expect_code(1);
    golden::matches("tests/golden/findings/broken.zone", &printed.stdout);
    let good = "\ntelemetry.factory.plant.svc.plant.example.net. 30 IN A 203.0.113.20\n";
    assert!(printed.stdout.contains(good), "{}", printed.told());
}

#[test]
fn findings_about_master_files_name_line_and_column() {
    let mut files: Vec<String> = std::fs::read_dir(repository().join("zones/broken"))
        .expect("a folder of broken zones")
        .map(|entry| format!("zones/broken/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .collect();
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    let mut arguments = vec!["check"];
    arguments.extend(files.iter().map(String::as_str));
    let found = run(&arguments).expect_code(1);
    golden::matches("tests/golden/findings/zones.txt", &found.stdout);
}

#[test]
fn explanations_are_those_on_file() {
    for (file, name, demo) in [
        ("global", "web.shop.galactic.svc.example.com", "two-regions"),
        ("region", "web.shop.galactic.svc.us-east-2.example.com", "two-regions"),
        ("availability-zone", "web.shop.galactic.svc.us-east-2a.us-east-2.example.com", "two-regions"),
        ("climb", "telemetry.factory.plant.svc.hall-1.hamburg.plant.example.net", "bare-metal"),
        ("all-down", "archive.factory.plant.svc.plant.example.net", "bare-metal"),
        ("missing", "wbe.shop.galactic.svc.example.com", "two-regions"),
        ("prefix", "web.example.com", "two-regions"),
        ("wildcard", "any.shop.example.com", "two-regions"),
        ("empty-non-terminal", "svc.example.com", "two-regions"),
        ("outside", "www.example.org", "two-regions"),
        ("taken", "telemetry.plant.example.net", "broken"),
    ] {
        let folder = if demo == "broken" { BROKEN.to_owned() } else { demo_folder(demo) };
        let text = run(&["explain", name, &folder]).expect_code(0);
        golden::matches(&format!("tests/golden/explain/{file}.txt"), &text.stdout);
        let json = run(&["explain", name, &folder, "-o", "json"]).expect_code(0);
        golden::matches(&format!("tests/golden/explain/{file}.json"), &json.stdout);
    }
}

#[test]
fn the_help_of_each_command_is_that_on_file() {
    let top = help(&["--help"]);
    golden::matches("tests/golden/help/mcdns.txt", &top);
    let commands = commands(&top);
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        golden::matches(&format!("tests/golden/help/{command}.txt"), &help(&[&command, "--help"]));
    }
}

#[test]
fn a_difference_is_shown_by_the_records_that_come_and_go() {
    let expected = "a. 60 IN A 192.0.2.1\nb. 60 IN A 192.0.2.2\nc. 60 IN A 192.0.2.3\nd. 60 IN A 192.0.2.4\n";
    let found = "a. 60 IN A 192.0.2.1\nb. 60 IN A 192.0.2.2\nc. 60 IN A 192.0.2.9\nd. 60 IN A 192.0.2.4\n";
    let shown = golden::difference(expected, found);
    let lines = "     2 b. 60 IN A 192.0.2.2\n-    3 c. 60 IN A 192.0.2.3\n+    3 c. 60 IN A 192.0.2.9\n     4 d. 60 IN A 192.0.2.4\n";
    assert_eq!(shown, lines);
}

/// Names of the commands in the help of the program.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn help(arguments: &[&str]) -> String {
    // Without a terminal, the width is fixed.
    let finished = finish(&mut mcdns(arguments)).expect_code(0);
    assert_eq!(finished.stderr, "");
    finished.stdout
}

fn demo_folder(demo: &str) -> String {
    format!("deploy/demo/{demo}")
}

/// The file that holds what is printed for the zone of a demo, once that is sure.
#[track_caller]
fn zone_file(demo: &str, apex: &str) -> String {
    let printed = run(&["records", &demo_folder(demo), "-o", "zone"]).expect_code(0);
    let file = format!("zones/golden/{demo}/{apex}.zone");
    golden::matches(&file, &printed.stdout);
    file
}

fn accepts(command: &mut std::process::Command) {
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{command:?}\n{}", finished.told());
    let warned = finished.told().to_lowercase().contains("warning");
    assert!(!warned, "{command:?}\n{}", finished.told());
}
