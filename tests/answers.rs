//! The running program, asked with `dig` as a user does: what it answers, and what it answers after a file changed.

mod program;

use std::{fs, path::Path};

use program::{Program, Scratch, edit, eventually, replace, repository, text, until_equal};

const CLOUD: &str = "deploy/demo/two-regions";
const METAL: &str = "deploy/demo/bare-metal";
const EXAMPLE: &str = "zones/examples/example.com.zone";

/// Names of the service `web` in the demo.
const WEB: &str = "web.shop.galactic.svc.example.com";
const WEB_OHIO: &str = "web.shop.galactic.svc.us-east-2.example.com";
const WEB_OHIO_A: &str = "web.shop.galactic.svc.us-east-2a.us-east-2.example.com";

#[test]
fn a_service_is_answered_at_all_three_levels() {
    let program = Program::run(Path::new(CLOUD));
    for (question, data) in [
        (WEB, &["192.0.2.11", "192.0.2.12", "192.0.2.21", "198.51.100.31"][..]),
        (WEB_OHIO, &["192.0.2.11", "192.0.2.12", "192.0.2.21"]),
        ("web.shop.galactic.svc.ap-northeast-1.example.com", &["198.51.100.31"]),
        (WEB_OHIO_A, &["192.0.2.11", "192.0.2.12"]),
        ("web.shop.galactic.svc.us-east-2c.us-east-2.example.com", &["192.0.2.21"]),
        ("web.shop.galactic.svc.ap-northeast-1c.ap-northeast-1.example.com", &["198.51.100.31"]),
    ] {
        let reply = program.dig(question);
        assert_eq!((reply.status.as_str(), reply.data()), ("NOERROR", owned(data)), "{}", reply.text);
        assert!(reply.is_authoritative(), "{}", reply.text);
        assert!(reply.answer.iter().all(|record| record.split(' ').nth(1) == Some("60")), "{}", reply.text);
    }
}

#[test]
fn a_level_without_targets_climbs_by_cname_and_the_whole_chain_is_answered() {
    let program = Program::run(Path::new(CLOUD));
    let reply = program.dig("checkout.shop.galactic.svc.ap-northeast-1c.ap-northeast-1.example.com A");
    let chain = [
        "checkout.shop.galactic.svc.ap-northeast-1c.ap-northeast-1.example.com. 180 IN CNAME checkout.shop.galactic.svc.ap-northeast-1.example.com.",
        "checkout.shop.galactic.svc.ap-northeast-1.example.com. 180 IN CNAME checkout.shop.galactic.svc.example.com.",
        "checkout.shop.galactic.svc.example.com. 180 IN A 192.0.2.41",
    ];
    assert_eq!(reply.answer, chain);
    assert!(reply.is_authoritative(), "{}", reply.text);

    // The chain of a family that its end does not have ends in a negative answer, with the SOA that says so.
    let other = program.dig("checkout.shop.galactic.svc.ap-northeast-1c.ap-northeast-1.example.com AAAA");
    assert_eq!((other.status.as_str(), other.answer.as_slice()), ("NOERROR", &owned(&chain[..2])[..]));
    other.assert_negative("example.com");

    // The name of dnsPrefix is the start of a chain too.
    let prefix = program.dig("web.example.com A").ordered();
    assert_eq!(prefix[0], "web.example.com. 60 IN CNAME web.shop.galactic.svc.example.com.");
    assert_eq!(prefix.len(), 5, "{prefix:?}");
}

#[test]
fn both_families_are_answered_at_every_level() {
    let program = Program::run(Path::new(METAL));
    for level in ["", "berlin.", "hall-1.berlin.", "hall-2.berlin."] {
        let name = format!("telemetry.factory.plant.svc.{level}plant.example.net");
        assert_eq!(program.data(&format!("{name} A")), ["203.0.113.20"]);
        assert_eq!(program.data(&format!("{name} AAAA")), ["2001:db8:b::20"]);
    }
    // The dark site climbs twice, and the TTL is that of the record.
    let dark = program.dig("telemetry.factory.plant.svc.hall-1.hamburg.plant.example.net AAAA");
    assert_eq!(
        dark.answer,
        [
            "telemetry.factory.plant.svc.hall-1.hamburg.plant.example.net. 30 IN CNAME telemetry.factory.plant.svc.hamburg.plant.example.net.",
            "telemetry.factory.plant.svc.hamburg.plant.example.net. 30 IN CNAME telemetry.factory.plant.svc.plant.example.net.",
            "telemetry.factory.plant.svc.plant.example.net. 30 IN AAAA 2001:db8:b::20",
        ]
    );
    // All down means all up.
    assert_eq!(program.data("archive.plant.example.net A"), ["203.0.113.151"]);
    // A host at the apex stands beside SOA and NS.
    assert_eq!(program.data("plant.example.net A"), ["203.0.113.21"]);
    assert_eq!(program.data("plant.example.net NS"), ["ns1.plant.example.net."]);
    assert_eq!(program.data("ns1.plant.example.net A"), ["203.0.113.53"]);
}

#[test]
fn a_negative_answer_has_the_soa_with_the_ttl_that_its_absence_may_be_kept_for() {
    let program = Program::run(Path::new(CLOUD));
    for (question, status) in [
        ("nothing.example.com A", "NXDOMAIN"),
        ("a.b.c.nothing.example.com MX", "NXDOMAIN"),
        // A name with data of another type.
        ("web.shop.galactic.svc.example.com AAAA", "NOERROR"),
        ("example.com A", "NOERROR"),
        // Names that exist only because names below them do (RFC 8020).
        ("svc.example.com A", "NOERROR"),
        ("us-east-2a.us-east-2.example.com A", "NOERROR"),
        // An empty non-terminal keeps the wildcard above it away (RFC 4592 section 4.2.1 and 2.2.2).
        ("galactic.svc.example.com A", "NOERROR"),
    ] {
        let reply = program.dig(question);
        assert_eq!((reply.status.as_str(), reply.answer.len()), (status, 0), "{}", reply.text);
        reply.assert_negative("example.com");
    }
}

#[test]
fn names_outside_the_zones_are_refused() {
    let program = Program::run(Path::new(CLOUD));
    for question in ["www.example.org A", "com SOA", ". NS", "example.com.example.org A"] {
        let reply = program.dig(question);
        assert_eq!(reply.status, "REFUSED", "{}", reply.text);
        assert!(!reply.is_authoritative() && reply.answer.is_empty() && reply.authority.is_empty(), "{}", reply.text);
    }
}

#[test]
fn a_host_with_a_wildcard_is_answered_below_it() {
    let program = Program::run(Path::new(CLOUD));
    let reply = program.dig("any.thing.shop.example.com A");
    let expected =
        ["any.thing.shop.example.com. 30 IN A 192.0.2.51", "any.thing.shop.example.com. 30 IN A 198.51.100.61"];
    assert_eq!(reply.ordered(), expected);
    assert_eq!(program.data("www.example.com A"), ["192.0.2.51", "198.51.100.61"]);
    assert_eq!(program.dig("any.shop.example.com AAAA").status, "NOERROR");
    assert_eq!(program.dig("shop.example.com A").answer.len(), 0, "a wildcard does not stand for its own parent");
}

#[test]
fn the_case_of_a_question_comes_back() {
    let program = Program::run(Path::new(CLOUD));
    let reply = program.dig("WeB.sHoP.gAlAcTiC.SvC.eXaMpLe.CoM A");
    assert_eq!(reply.question, "WeB.sHoP.gAlAcTiC.SvC.eXaMpLe.CoM. IN A");
    assert_eq!(reply.data().len(), 4, "{}", reply.text);
    assert!(
        reply.answer.iter().all(|record| record.starts_with("WeB.sHoP.gAlAcTiC.SvC.eXaMpLe.CoM. ")),
        "{}",
        reply.text
    );
}

#[test]
fn udp_and_tcp_with_and_without_edns_say_the_same() {
    let program = Program::run(Path::new(CLOUD));
    let plain = program.dig(&format!("{WEB} A"));
    assert_eq!(plain.udp_size, Some(1232), "{}", plain.text);
    for options in ["+tcp", "+noedns", "+tcp +noedns", "+norecurse", "+bufsize=4096", "+dnssec", "+tcp +keepopen"] {
        let reply = program.dig(&format!("{WEB} A {options}"));
        assert_eq!(reply.ordered(), plain.ordered(), "{options}\n{}", reply.text);
        assert_eq!(reply.udp_size.is_some(), !options.contains("+noedns"), "{options}\n{}", reply.text);
    }
    // RFC 6891 section 6.1.3.
    assert_eq!(program.dig(&format!("{WEB} A +edns=1 +noednsnegotiation")).status, "BADVERS");
}

#[test]
fn an_endpoint_that_goes_not_ready_is_withdrawn_and_comes_back() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let file = directory.join("members/ohio-1/web.yaml");
    assert_eq!(program.data(WEB_OHIO_A), ["192.0.2.11", "192.0.2.12"]);

    // One of two endpoints: the cluster still has one.
    let before = program.serial("example.com");
    edit(
        &file,
        "addresses: [10.1.0.101]\n    conditions: {ready: true}",
        "addresses: [10.1.0.101]\n    conditions: {ready: false}",
    );
    edit(&file, "conditions: {ready: true}", "conditions: {ready: false}");
    // The names of the cluster climb: the region has ohio-2 left.
    let climbed = [
        "web.shop.galactic.svc.us-east-2a.us-east-2.example.com. 60 IN CNAME web.shop.galactic.svc.us-east-2.example.com.",
        "web.shop.galactic.svc.us-east-2.example.com. 60 IN A 192.0.2.21",
    ];
    until_equal("the name climbs", &owned(&climbed), || program.dig(WEB_OHIO_A).ordered());
    assert_eq!(program.data(WEB), ["192.0.2.21", "198.51.100.31"]);
    assert!(program.serial("example.com") > before, "the serial moves with the content");

    edit(&file, "conditions: {ready: false}", "conditions: {ready: true}");
    program.until_data(WEB_OHIO_A, &["192.0.2.11", "192.0.2.12"]);
    assert_eq!(program.data(WEB).len(), 4);
}

#[test]
fn an_address_in_the_hosts_file_changes_the_answer() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    assert_eq!(program.data("checkout.shop.galactic.svc.example.com"), ["192.0.2.41"]);
    edit(&directory.join("hosts"), "192.0.2.41 ", "192.0.2.42 ");
    program.until_data("checkout.shop.galactic.svc.example.com", &["192.0.2.42"]);
    // Written in place, as an editor does that keeps the file.
    let hosts = fs::read_to_string(directory.join("hosts")).expect("a hosts file");
    fs::write(directory.join("hosts"), hosts.replace("192.0.2.42 ", "192.0.2.43 ")).expect("a hosts file");
    program.until_data("checkout.shop.galactic.svc.example.com", &["192.0.2.43"]);
}

#[test]
fn a_file_that_is_away_for_a_moment_changes_no_answer() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let file = directory.join("members/ohio-1/web.yaml");
    let serial = program.serial("example.com");
    for _ in 0..3 {
        let kept = fs::read_to_string(&file).expect("a file");
        fs::remove_file(&file).expect("a file that can be removed");
        assert_eq!(program.data(WEB_OHIO_A), ["192.0.2.11", "192.0.2.12"]);
        fs::write(&file, kept).expect("a file that can be written");
    }
    // A change elsewhere, made afterwards, is seen: so the file has been looked at, and nothing was withdrawn.
    edit(&directory.join("members/ohio-1/checkout.yaml"), "ready: true", "ready: false");
    until_equal("the change elsewhere is seen", &"NXDOMAIN".to_owned(), || {
        program.dig("checkout.shop.galactic.svc.example.com").status
    });
    assert_eq!(program.data(WEB_OHIO_A), ["192.0.2.11", "192.0.2.12"]);
    assert_eq!(program.serial("example.com"), serial + 1, "{}", program.log());
}

#[test]
fn a_file_that_is_gone_withdraws_what_stood_in_it() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let file = directory.join("members/ohio-1/web.yaml");
    let kept = fs::read_to_string(&file).expect("a file");
    fs::remove_file(&file).expect("a file that can be removed");
    program.until_data(WEB, &["192.0.2.21", "198.51.100.31"]);
    // A new file with the same content counts at once.
    replace(&directory.join("members/ohio-1/other.yaml"), &kept);
    program.until_data(WEB, &["192.0.2.11", "192.0.2.12", "192.0.2.21", "198.51.100.31"]);
    // A record that is deleted takes all its names along.
    let shop = fs::read_to_string(directory.join("host/shop.yaml")).expect("a file");
    let ingress_only = shop.split("---\n").last().expect("a document").to_owned();
    replace(&directory.join("host/shop.yaml"), &ingress_only);
    for name in [WEB, WEB_OHIO, WEB_OHIO_A, "web.example.com", "svc.example.com"] {
        until_equal(&format!("{name} is gone"), &"NXDOMAIN".to_owned(), || program.dig(name).status);
    }
    assert_eq!(program.data("www.example.com"), ["192.0.2.51", "198.51.100.61"]);
}

#[test]
fn a_broken_file_keeps_its_last_good_state_until_it_is_mended() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let file = directory.join("members/ohio-1/web.yaml");
    let good = fs::read_to_string(&file).expect("a file");
    replace(&file, &good.replace("ingress:", "ingress: [").replace("ready: true", "ready: false"));
    program.until_log_has("error[syntax]");
    assert_eq!(program.data(WEB_OHIO_A), ["192.0.2.11", "192.0.2.12"]);
    let (code, findings) = program.page("/findings");
    assert!(code == 200 && findings.contains("members/ohio-1/web.yaml"), "{findings}");

    replace(
        &file,
        &good.replace("a1f0web-1111.elb.us-east-2.amazonaws.test", "d4c3pay-4444.elb.us-east-2.amazonaws.test"),
    );
    program.until_data(WEB_OHIO_A, &["192.0.2.41"]);
    until_equal("nothing is wrong any more", &(200, "[]".to_owned()), || program.page("/findings"));
}

#[test]
fn a_cluster_that_goes_unready_keeps_its_targets_while_grace_lasts() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let serial = program.serial("example.com");
    let clusters = directory.join("host/clusters.yaml");
    let good = fs::read_to_string(&clusters).expect("a file");
    replace(&clusters, &unready(&good, "ohio-1"));
    eventually("the cluster is known to be unready", || {
        let findings = program.page("/findings").1;
        if findings.contains("\"cluster-unready\"") { Ok(()) } else { Err(findings) }
    });
    assert_eq!(program.data(WEB_OHIO_A), ["192.0.2.11", "192.0.2.12"]);
    assert_eq!(program.serial("example.com"), serial, "no answer changed");
}

#[test]
fn a_cluster_whose_grace_is_over_climbs_until_it_is_ready_again() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let settings = scratch.path("settings.yaml");
    fs::write(&settings, "version: 1\nsources: {kubernetes: {health: {grace: 1s}}}\n").expect("settings");
    let program = Program::run_with(&[text(&directory), "--settings", text(&settings)]);
    let clusters = directory.join("host/clusters.yaml");
    let good = fs::read_to_string(&clusters).expect("a file");
    replace(&clusters, &unready(&good, "ohio-1"));
    program.until_data(WEB_OHIO_A, &["192.0.2.21"]);
    assert_eq!(program.data(WEB), ["192.0.2.21", "198.51.100.31"]);
    // checkout runs in this cluster alone, and all down means all up.
    assert_eq!(program.data("checkout.shop.galactic.svc.example.com"), ["192.0.2.41"]);

    replace(&clusters, &good);
    program.until_data(WEB_OHIO_A, &["192.0.2.11", "192.0.2.12"]);
}

#[test]
fn a_cluster_that_has_been_unready_for_long_is_withdrawn_at_once() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    edit(
        &directory.join("host/clusters.yaml"),
        "- type: Ready\n      status: \"True\"\n      reason: ClusterReady",
        "- type: Ready\n      status: \"False\"\n      reason: ClusterNotReady",
    );
    // All three: every cluster with targets is unready, so all stay.
    eventually("the finding is reported", || {
        let findings = program.page("/findings").1;
        if findings.contains("\"all-down\"") { Ok(()) } else { Err(findings) }
    });
    assert_eq!(program.data(WEB).len(), 4);
    let clusters = fs::read_to_string(directory.join("host/clusters.yaml")).expect("a file");
    let (ohio, rest) = clusters.split_once("---\n").expect("documents");
    let rest = rest.replace("- type: Ready\n      status: \"False\"", "- type: Ready\n      status: \"True\"");
    replace(&directory.join("host/clusters.yaml"), &format!("{ohio}---\n{rest}"));
    program.until_data(WEB, &["192.0.2.21", "198.51.100.31"]);
}

#[test]
fn a_cluster_that_joins_brings_its_levels_and_one_that_leaves_takes_them_along() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    let paris = "web.shop.galactic.svc.eu-west-3a.eu-west-3.example.com";
    assert_eq!(program.dig(paris).status, "NXDOMAIN");

    // A whole member arrives, as `git pull` or `cp -r` brings it: first its objects, then the cluster.
    let member = directory.join("members/paris-1");
    fs::create_dir(&member).expect("a folder");
    for file in ["nodes.yaml", "web.yaml"] {
        let text = fs::read_to_string(directory.join("members/ohio-2").join(file)).expect("a file");
        let text = text.replace("us-east-2c", "eu-west-3a").replace("us-east-2\n", "eu-west-3\n");
        let text = text.replace("hostname: b2e1web-2222.elb.us-east-2.amazonaws.test", "ip: 203.0.113.7");
        fs::write(member.join(file), text).expect("a file that can be written");
    }
    let clusters = fs::read_to_string(directory.join("host/clusters.yaml")).expect("a file");
    let paris_1 = clusters.split("---\n").find(|one| one.contains("name: ohio-2\n")).expect("a cluster");
    fs::write(directory.join("host/paris-1.yaml"), paris_1.replace("ohio-2", "paris-1")).expect("a file");
    program.until_data(paris, &["203.0.113.7"]);
    assert_eq!(program.data(WEB).len(), 5);
    // A service that is not there climbs from the new levels too.
    assert_eq!(program.data("checkout.shop.galactic.svc.eu-west-3.example.com"), ["192.0.2.41"]);

    fs::remove_file(directory.join("host/paris-1.yaml")).expect("a file that can be removed");
    until_equal("its names are gone", &"NXDOMAIN".to_owned(), || program.dig(paris).status);
    assert_eq!(program.data(WEB).len(), 4);
}

#[test]
fn static_records_stand_beside_the_names_of_a_domain_and_are_followed() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let zone = scratch.path("example.com.zone");
    fs::copy(repository().join(EXAMPLE), &zone).expect("a copy");
    let settings = scratch.path("settings.yaml");
    let lines = format!("version: 1\nserve:\n  zones:\n    - {{apex: example.com, file: {}}}\n", text(&zone));
    fs::write(&settings, lines).expect("settings");
    let program = Program::run_with(&[text(&directory), "--settings", text(&settings)]);
    assert_eq!(program.data("mail.example.com A"), ["192.0.2.25"]);
    assert_eq!(program.data(WEB).len(), 4);
    // Static records come first, name by name.
    assert_eq!(program.data("web.example.com A"), ["192.0.2.80", "192.0.2.81", "192.0.2.82"]);

    edit(&zone, "A    192.0.2.25", "A    192.0.2.26");
    program.signal(rustix::process::Signal::HUP);
    program.until_data("mail.example.com A", &["192.0.2.26"]);
    fs::remove_file(&zone).expect("a file that can be removed");
    program.signal(rustix::process::Signal::HUP);
    // A change elsewhere shows that it has been looked at.
    edit(&directory.join("hosts"), "192.0.2.41 ", "192.0.2.42 ");
    program.until_data("checkout.shop.galactic.svc.example.com", &["192.0.2.42"]);
    assert_eq!(program.data("mail.example.com A"), ["192.0.2.26"]);
}

#[test]
fn readiness_health_and_metrics_are_served() {
    let program = Program::run(Path::new(CLOUD));
    assert_eq!(program.page("/healthz"), (200, "ok\n".to_owned()));
    let (code, ready) = program.page("/readyz");
    assert!(code == 200 && ready.starts_with("ready: 1 zone"), "{ready}");
    program.dig(WEB);
    program.dig("nothing.example.com +tcp");
    let (code, metrics) = program.page("/metrics");
    assert_eq!(code, 200);
    assert!(metrics.lines().any(|line| line.starts_with("# TYPE mcdns_")), "{metrics}");
    for name in [WEB, "nothing.example.com"] {
        assert!(!metrics.contains(name), "owner names are no labels");
    }

    let scratch = Scratch::new();
    fs::create_dir(scratch.path("host")).expect("a folder");
    let empty = Program::run(&scratch.path(""));
    let (code, unready) = empty.page("/readyz");
    assert!(code == 503 && unready.contains("no zone"), "{unready}");
    assert_eq!(empty.page("/healthz").0, 200);
    // The first Domain makes a zone, and the program ready.
    fs::copy(repository().join(CLOUD).join("host/domain.yaml"), scratch.path("host/domain.yaml")).expect("a copy");
    eventually("the program is ready", || if empty.page("/readyz").0 == 200 { Ok(()) } else { Err("not ready") });
    assert_eq!(empty.dig("example.com SOA").status, "NOERROR");
}

#[test]
fn the_lines_that_run_prints_can_be_pasted() {
    let program = Program::run(Path::new(CLOUD));
    let stdout = program.stdout();
    let digs: Vec<&str> = stdout.lines().filter_map(|line| line.trim_start().strip_prefix("dig @")).collect();
    assert_eq!(digs.len(), 3, "{stdout}");
    for (line, level) in digs.iter().zip(["global", "region", "availability zone"]) {
        let (command, comment) = line.split_once("  # ").expect("a comment");
        assert_eq!(comment, level);
        let words: Vec<&str> = command.split(' ').collect();
        let server = format!("{}:{}", words[0], words[2]);
        assert_eq!((words[1], server), ("-p", program.server.to_string()));
        assert_ne!(program.data(words[3]), Vec::<String>::new(), "{line}");
    }
}

/// KubeFedClusters of which one is not ready, since a time that is not told: grace starts when that is seen.
fn unready(clusters: &str, cluster: &str) -> String {
    let documents = clusters.split("---\n").map(|document| {
        if !document.contains(&format!("name: {cluster}\n")) {
            return document.to_owned();
        }
        let lines: Vec<&str> = document.lines().filter(|line| !line.contains("lastTransitionTime")).collect();
        (lines.join("\n") + "\n").replacen("status: \"True\"", "status: \"False\"", 1)
    });
    documents.collect::<Vec<_>>().join("---\n")
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
