//! The real external-dns publishes into a zone of ours: its webhook provider talks to `run`.

mod program;

use std::{fs, net::SocketAddr};

use program::{Finished, Program, Scratch, eventually, finish, text};
use support::external_dns::{Connector, Endpoint};

const FIRST: &[&str] = &[
    "www.example.net 60 A 192.0.2.1 192.0.2.2",
    "www.example.net - AAAA 2001:DB8:0::1",
    "Alias.example.net 120 CNAME Other.Example.com.",
    "*.wild.example.net - A 192.0.2.3",
    "example.net - A 192.0.2.4",
    "elsewhere.example.com - A 192.0.2.5",
];
const SECOND: &[&str] = &["www.example.net 60 A 192.0.2.9", "alias.example.net - A 192.0.2.7"];
const NOTHING: &[&str] = &[];

/// mcdns with a zone for external-dns, and nothing else to observe.
struct Stage {
    scratch: Scratch,
    program: Option<Program>,
}

impl Stage {
    fn new(more: &str) -> Self {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path("federation").join("host")).expect("a folder");
        let settings = format!(
            "version: 1\nstateDir: {}\nserve: {{advertise: [192.0.2.53]}}\nwebhook: {{listen: '127.0.0.1:0', zones: [example.net]{more}}}\n",
            text(&scratch.path("state")),
        );
        fs::write(scratch.path("settings.yaml"), settings).expect("written");
        let mut stage = Self { scratch, program: None };
        stage.start();
        stage
    }

    fn start(&mut self) {
        let (federation, settings) = (self.scratch.path("federation"), self.scratch.path("settings.yaml"));
        self.program = Some(Program::run_with(&[text(&federation), "--settings", text(&settings)]));
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("it runs")
    }

    /// One run of external-dns with these endpoints.
    fn publish(&self, endpoints: &[&str], owner: &str) -> Finished {
        self.publish_under("sync", endpoints, owner)
    }

    fn publish_under(&self, policy: &str, endpoints: &[&str], owner: &str) -> Finished {
        let endpoints: Vec<Endpoint> = endpoints.iter().map(|line| Endpoint::parse(line)).collect();
        let mut command = Connector::start(&endpoints).command_under(policy);
        command.args(["--provider=webhook", "--registry=txt", &format!("--txt-owner-id={owner}")]);
        command.arg(format!("--webhook-provider-url=http://{}", webhook(self.program())));
        finish(&mut command)
    }
}

/// Where the webhook listens, as the log says.
fn webhook(program: &Program) -> SocketAddr {
    eventually("the log says where the webhook is", || {
        let log = program.log();
        let line = log.lines().find(|line| line.contains("external-dns may publish"));
        let after = line.and_then(|line| line.split_once("address="));
        let address = after.and_then(|(_, rest)| rest.split_whitespace().next());
        address.and_then(|address| address.trim_matches('"').parse().ok()).ok_or(log)
    })
}

fn calls(program: &Program, path: &str, outcome: &str) -> u64 {
    let labels = [format!("path=\"{path}\""), format!("outcome=\"{outcome}\"")];
    let (_, metrics) = program.page("/metrics");
    let calls = metrics.lines().filter(|line| line.starts_with("mcdns_webhook_calls_total{"));
    let mut found = calls.filter(|line| labels.iter().all(|label| line.contains(label)));
    found.find_map(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or_default()
}

#[test]
fn external_dns_makes_keeps_changes_and_takes_away_its_records() {
    let mut stage = Stage::new(", emptying: allow");
    assert_eq!(stage.program().dig("www.example.net A").status, "NXDOMAIN");
    assert_eq!(stage.program().dig("example.net NS").status, "NOERROR", "the setting makes the zone");

    stage.publish(FIRST, "theirs").expect_code(0);
    let data = |question: &str| stage.program().data(question);
    assert_eq!(data("www.example.net A"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(data("www.example.net AAAA"), ["2001:db8::1"]);
    assert_eq!(data("any.wild.example.net A"), ["192.0.2.3"]);
    assert_eq!(data("example.net A"), ["192.0.2.4"]);
    let alias = stage.program().dig("alias.example.net A");
    assert_eq!(alias.answer, ["alias.example.net. 120 IN CNAME other.example.com."], "{}", alias.text);
    // Its ownership records are records like any other.
    let mark = "\"heritage=external-dns,external-dns/owner=theirs\"";
    assert_eq!(data("a-www.example.net TXT"), [mark]);
    assert_eq!(data("aaaa-www.example.net TXT"), [mark]);
    assert_eq!(data("cname-alias.example.net TXT"), [mark]);

    let serial = stage.program().serial("example.net");
    let again = stage.publish(FIRST, "theirs").expect_code(0);
    assert!(again.stderr.contains("All records are already up to date"), "{}", again.told());
    assert_eq!(stage.program().serial("example.net"), serial, "a second run changes nothing");
    assert_eq!(calls(stage.program(), "apply", "ok"), 1);

    // The state directory has them after a restart.
    stage.program.take().expect("it runs").stop().expect_code(0);
    stage.start();
    assert_eq!(stage.program().data("www.example.net A"), ["192.0.2.1", "192.0.2.2"]);
    let again = stage.publish(FIRST, "theirs").expect_code(0);
    assert!(again.stderr.contains("All records are already up to date"), "{}", again.told());

    stage.publish(SECOND, "theirs").expect_code(0);
    let data = |question: &str| stage.program().data(question);
    assert_eq!(data("www.example.net A"), ["192.0.2.9"]);
    assert_eq!(data("alias.example.net A"), ["192.0.2.7"], "a CNAME became an A in one call");
    assert_eq!(data("www.example.net AAAA"), [""; 0]);
    assert_eq!(stage.program().dig("aaaa-www.example.net TXT").status, "NXDOMAIN", "the mark went with its record");
    assert_eq!(stage.program().dig("any.wild.example.net A").status, "NXDOMAIN");

    stage.publish(NOTHING, "theirs").expect_code(0);
    assert_eq!(stage.program().dig("www.example.net A").status, "NXDOMAIN");
    assert_eq!(stage.program().dig("a-www.example.net TXT").status, "NXDOMAIN");
}

#[test]
fn external_dns_leaves_alone_what_another_owner_published() {
    let stage = Stage::new("");
    stage.publish(FIRST, "theirs").expect_code(0);
    stage.publish(SECOND, "another").expect_code(0);
    assert_eq!(stage.program().data("www.example.net A"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(stage.program().data("a-www.example.net TXT"), ["\"heritage=external-dns,external-dns/owner=theirs\""]);
}

#[test]
fn a_change_that_cannot_be_made_ends_nobody_and_holds_up_no_other() {
    let stage = Stage::new("");
    stage.publish(&["www.example.net - A 192.0.2.1"], "theirs").expect_code(0);
    // Without deletions the A stays beside which the CNAME is to be; and `a-` before 253 characters is no name.
    let label = "n".repeat(60);
    let long = format!("{label}.{label}.{label}.{}.example.net", &label[..58]);
    let long_line = format!("{long} - A 192.0.2.2");
    let changed = ["www.example.net - CNAME other.example.com", long_line.as_str(), "late.example.net - A 192.0.2.3"];
    for _ in 0..2 {
        stage.publish_under("upsert-only", &changed, "theirs").expect_code(0);
        let program = stage.program();
        assert_eq!(program.data("www.example.net A"), ["192.0.2.1"]);
        assert_eq!(program.dig("cname-www.example.net TXT").status, "NXDOMAIN");
        assert_eq!(program.data("late.example.net A"), ["192.0.2.3"]);
        assert_eq!(program.dig(&format!("{long} A")).status, "NXDOMAIN");
        let (_, findings) = program.page("/findings");
        assert!(findings.contains("a CNAME stands alone"), "{findings}");
        assert!(findings.contains("its ownership record `a-nnn"), "{findings}");
    }
    // With deletions it is made.
    let made = stage.publish(&changed, "theirs").expect_code(0);
    let alias = stage.program().dig("www.example.net A");
    assert_eq!(alias.answer, ["www.example.net. 180 IN CNAME other.example.com."], "{}", made.told());
}

#[test]
fn a_source_that_turned_empty_does_not_empty_the_zone() {
    let stage = Stage::new("");
    let names: Vec<String> = (0..10).map(|number| format!("n{number}.example.net - A 192.0.2.1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.publish(&names, "theirs").expect_code(0);
    let held = stage.publish(NOTHING, "theirs");
    assert_eq!(stage.program().data("n0.example.net A"), ["192.0.2.1"], "{}", held.told());
    assert_eq!(calls(stage.program(), "apply", "held"), 1);
}
