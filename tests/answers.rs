//! The running program, asked with `dig` as a user does: what it answers, and what it answers after a file changed.

mod program;

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use program::{Program, Scratch, dig::Dig, edit, eventually, replace, repository, text, until_equal};

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
    assert_negative(&other, "example.com");

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
        assert_negative(&reply, "example.com");
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
    until_data(&program, WEB_OHIO_A, &["192.0.2.11", "192.0.2.12"]);
    assert_eq!(program.data(WEB).len(), 4);
}

#[test]
fn an_address_in_the_hosts_file_changes_the_answer() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(CLOUD);
    let program = Program::run(&directory);
    assert_eq!(program.data("checkout.shop.galactic.svc.example.com"), ["192.0.2.41"]);
    edit(&directory.join("hosts"), "192.0.2.41 ", "192.0.2.42 ");
    until_data(&program, "checkout.shop.galactic.svc.example.com", &["192.0.2.42"]);
    // Written in place, as an editor does that keeps the file.
    let hosts = fs::read_to_string(directory.join("hosts")).expect("a hosts file");
    fs::write(directory.join("hosts"), hosts.replace("192.0.2.42 ", "192.0.2.43 ")).expect("a hosts file");
    until_data(&program, "checkout.shop.galactic.svc.example.com", &["192.0.2.43"]);
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
    until_data(&program, WEB, &["192.0.2.21", "198.51.100.31"]);
    // A new file with the same content counts at once.
    replace(&directory.join("members/ohio-1/other.yaml"), &kept);
    until_data(&program, WEB, &["192.0.2.11", "192.0.2.12", "192.0.2.21", "198.51.100.31"]);
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
    until_data(&program, WEB_OHIO_A, &["192.0.2.41"]);
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
    until_data(&program, WEB_OHIO_A, &["192.0.2.21"]);
    assert_eq!(program.data(WEB), ["192.0.2.21", "198.51.100.31"]);
    // checkout runs in this cluster alone, and all down means all up.
    assert_eq!(program.data("checkout.shop.galactic.svc.example.com"), ["192.0.2.41"]);

    replace(&clusters, &good);
    until_data(&program, WEB_OHIO_A, &["192.0.2.11", "192.0.2.12"]);
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
    until_data(&program, WEB, &["192.0.2.21", "198.51.100.31"]);
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

#[test]
fn a_master_file_is_served_with_everything_in_it() {
    let program = Program::serve(&[&repository().join(EXAMPLE)]);
    let dig = |question: &str| program.dig(question);

    assert_eq!(
        dig("example.com MX").ordered(),
        ["example.com. 3600 IN MX 10 mail.example.com.", "example.com. 3600 IN MX 20 backup.example.net."]
    );
    assert_eq!(dig("web.example.com A").ordered().len(), 3);
    assert_eq!(
        dig("blog.example.com AAAA").answer,
        [
            "blog.example.com. 3600 IN CNAME www.example.com.",
            "www.example.com. 3600 IN CNAME web.example.com.",
            "web.example.com. 300 IN AAAA 2001:db8::80",
        ]
    );
    assert_eq!(dig("docs.example.com A").answer, ["docs.example.com. 3600 IN CNAME example.github.io."]);
    assert_eq!(dig("any.thing.apps.example.com A").answer, ["any.thing.apps.example.com. 3600 IN A 192.0.2.90"]);
    assert_eq!(dig("below.fixed.apps.example.com A").status, "NXDOMAIN");
    assert_eq!(dig("unknown.example.com TYPE65400").answer, ["unknown.example.com. 3600 IN TYPE65400 \\# 4 0A000001"]);

    // RFC 6672: the DNAME, and the CNAME made of it.
    let dname = dig("a.old.example.com A");
    assert_eq!(dname.answer[0], "old.example.com. 3600 IN DNAME legacy.example.net.");
    assert!(
        dname.answer[1].starts_with("a.old.example.com. ") && dname.answer[1].ends_with(" CNAME a.legacy.example.net."),
        "{}",
        dname.text
    );

    for (question, status) in
        [("deep.example.com A", "NOERROR"), ("v6only.example.com A", "NOERROR"), ("no.example.com A", "NXDOMAIN")]
    {
        let reply = dig(question);
        assert_eq!((reply.status.as_str(), reply.answer.len()), (status, 0), "{}", reply.text);
        assert_negative(&reply, "example.com");
    }
    assert_eq!(dig("www.example.net A").status, "REFUSED");
}

#[test]
fn a_delegation_is_answered_by_a_referral_with_glue() {
    let program = Program::serve(&[&repository().join(EXAMPLE)]);
    for question in ["host.east.example.com A", "east.example.com NS", "ns1.east.example.com A"] {
        let mut reply = program.dig(question);
        reply.authority.sort();
        reply.additional.sort();
        assert_eq!(
            (reply.status.as_str(), reply.is_authoritative(), reply.answer.len()),
            ("NOERROR", false, 0),
            "{}",
            reply.text
        );
        assert_eq!(
            reply.authority,
            [
                "east.example.com. 3600 IN NS ns1.east.example.com.",
                "east.example.com. 3600 IN NS ns2.east.example.com."
            ]
        );
        assert_eq!(
            reply.additional,
            [
                "ns1.east.example.com. 3600 IN A 203.0.113.1",
                "ns1.east.example.com. 3600 IN AAAA 2001:db8:ea::1",
                "ns2.east.example.com. 3600 IN A 203.0.113.2",
            ]
        );
    }
    // The DS belongs to the parent (RFC 4035 section 3.1.4.1).
    let parent_side = program.dig("west.example.com DS");
    assert!(parent_side.is_authoritative() && parent_side.answer.len() == 1, "{}", parent_side.text);
}

#[test]
fn an_answer_that_does_not_fit_into_udp_is_truncated_and_whole_over_tcp() {
    let scratch = Scratch::new();
    let file = scratch.path("big.zone");
    let mut zone = fs::read_to_string(repository().join(EXAMPLE)).expect("a zone");
    zone.extend((1..=200).map(|number| format!("\nbig A 192.0.2.{number}")));
    fs::write(&file, zone + "\n").expect("a zone");
    let program = Program::serve(&[&file]);
    for options in ["+ignore +bufsize=4096", "+ignore +noedns", "+ignore +bufsize=1232"] {
        let reply = program.dig(&format!("big.example.com A {options}"));
        assert!(reply.flags.split(' ').any(|flag| flag == "tc"), "{options}\n{}", reply.text);
        let size: usize = reply.text.split("rcvd: ").nth(1).and_then(|size| size.trim().parse().ok()).expect("a size");
        let limit = if options.contains("noedns") { 512 } else { 1232 };
        assert!(size <= limit, "{options}: {size} octets");
    }
    // dig asks again over TCP by itself.
    assert_eq!(program.data("big.example.com A").len(), 200);
}

#[test]
fn a_changed_master_file_is_served_and_a_broken_one_leaves_its_zone_as_it_was() {
    let scratch = Scratch::new();
    let file = scratch.path("example.com.zone");
    fs::copy(repository().join(EXAMPLE), &file).expect("a copy");
    let program = Program::serve(&[&file]);
    assert_eq!(program.serial("example.com"), 2_026_010_100);

    edit(&file, "mail               A    192.0.2.25", "mail               A    192.0.2.26");
    edit(&file, "2026010100 ", "2026010101 ");
    until_data(&program, "mail.example.com A", &["192.0.2.26"]);
    until_equal("the serial is that of the file", &2_026_010_101, || program.serial("example.com"));

    // Names that are gone from the file are gone, and SIGHUP has it read at once.
    edit(&file, "v6only             AAAA 2001:db8:0:6::1\n", "");
    program.signal(rustix::process::Signal::HUP);
    until_equal("the name is gone", &"NXDOMAIN".to_owned(), || program.dig("v6only.example.com AAAA").status);

    // A file without a zone.
    let good = fs::read_to_string(&file).expect("a zone");
    replace(&file, "this is no master file\n");
    program.signal(rustix::process::Signal::HUP);
    program.until_log_has("error[zone-");
    assert_eq!(program.data("mail.example.com A"), ["192.0.2.26"]);
    fs::remove_file(&file).expect("a file");
    assert_eq!(program.data("mail.example.com A"), ["192.0.2.26"]);

    replace(&file, &good.replace("192.0.2.26", "192.0.2.27"));
    until_data(&program, "mail.example.com A", &["192.0.2.27"]);
}

#[test]
fn one_wrong_record_in_a_changed_master_file_leaves_the_old_zone() {
    let scratch = Scratch::new();
    let file = scratch.path("example.com.zone");
    fs::copy(repository().join(EXAMPLE), &file).expect("a copy");
    let program = Program::serve(&[&file]);
    let mut open = File::options().append(true).open(&file).expect("a zone");
    open.write_all(b"wrong A 192.0.2.300\nlate A 192.0.2.99\n").expect("a zone that can be written");
    drop(open);
    program.signal(rustix::process::Signal::HUP);
    program.until_log_has("error[zone-rdata]");
    assert_eq!(program.dig("wrong.example.com A").status, "NXDOMAIN");
    assert_eq!(program.dig("late.example.com A").status, "NXDOMAIN");
    assert_eq!(program.data("mail.example.com A"), ["192.0.2.25"]);
}

#[test]
fn several_master_files_are_several_zones() {
    let reverse = "zones/examples/2.0.192.in-addr.arpa.zone";
    let program = Program::serve(&[&repository().join(EXAMPLE), &repository().join(reverse)]);
    assert_eq!(program.dig("example.com SOA").answer.len(), 1);
    let reply = program.dig("2.0.192.in-addr.arpa SOA");
    assert!(reply.is_authoritative() && reply.answer.len() == 1, "{}", reply.text);
}

/// The SOA alone in the authority section, with the smaller of its TTL and its last field (RFC 2308 section 3).
#[track_caller]
fn assert_negative(reply: &Dig, apex: &str) {
    let [soa] = reply.authority.as_slice() else { panic!("no SOA alone in {}", reply.text) };
    assert!(soa.starts_with(&format!("{apex}. 30 IN SOA ")) && soa.ends_with(" 30"), "{}", reply.text);
    assert!(reply.is_authoritative(), "{}", reply.text);
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

#[track_caller]
fn until_data(program: &Program, question: &str, data: &[&str]) {
    until_equal(&format!("{question} is answered anew"), &owned(data), || program.data(question));
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
