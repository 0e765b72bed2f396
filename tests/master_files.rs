//! `mcdns serve`, asked with `dig` as a user does: a whole master file, and what happens when it changes.

mod program;

use std::{
    fs::{self, File},
    io::Write,
};

use program::{Program, Scratch, edit, replace, repository, until_equal};

const EXAMPLE: &str = "zones/examples/example.com.zone";

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
        reply.assert_negative("example.com");
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
    program.until_data("mail.example.com A", &["192.0.2.26"]);
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
    program.until_data("mail.example.com A", &["192.0.2.27"]);
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
fn a_server_of_master_files_has_readiness_and_metrics_too() {
    let program = Program::serve(&[&repository().join(EXAMPLE)]);
    assert_eq!(program.page("/healthz"), (200, "ok\n".to_owned()));
    let (code, ready) = program.page("/readyz");
    assert!(code == 200 && ready.starts_with("ready: 1 zone"), "{ready}");
    assert!(program.page("/metrics").1.contains("# TYPE mcdns_"));
}

#[test]
fn several_master_files_are_several_zones() {
    let reverse = "zones/examples/2.0.192.in-addr.arpa.zone";
    let program = Program::serve(&[&repository().join(EXAMPLE), &repository().join(reverse)]);
    assert_eq!(program.dig("example.com SOA").answer.len(), 1);
    let reply = program.dig("2.0.192.in-addr.arpa SOA");
    assert!(reply.is_authoritative() && reply.answer.len() == 1, "{}", reply.text);
}
