//! The real external-dns publishes into a zone of ours: its webhook provider talks to `run`.
//!
//! Its source is `connector`: it reads its endpoints from a server, which is this test. They come in Go's own encoding
//! (gob), so they stand here as a Go program wrote them: `[]*Endpoint{…}` as the comments say.

mod program;

use std::{
    env, fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use program::{Finished, Program, Scratch, eventually, finish, text};

/// The release that is tested with.
const VERSION: &str = "0.21.0";

/// What the structures look like: `DNSName`, `Targets`, `RecordType`, `SetIdentifier`, `RecordTTL`, `Labels`.
const TYPES: &str = "0dff85020102ff860001ff8000005f7f030102ff800001060107444e534e616d65010c0001075461726765747301ff820001\
    0a5265636f726454797065010c00010d5365744964656e746966696572010c0001095265636f726454544c01040001064c61\
    62656c7301ff8400000016ff81020101085b5d737472696e6701ff8200010c000021ff83040101116d61705b737472696e67\
    5d737472696e6701ff8400010c010c0000";

/// ```text
/// www.example.net        60  A      192.0.2.1 192.0.2.2
/// www.example.net            AAAA   2001:DB8:0::1
/// Alias.example.net     120  CNAME  Other.Example.com.
/// *.wild.example.net         A      192.0.2.3
/// mail.example.net           MX     10 mx.example.com    (a type that it does not manage)
/// extra.example.net          A      192.0.2.6
/// example.net                A      192.0.2.4
/// elsewhere.example.com      A      192.0.2.5
/// ```
const FIRST: &str = "fe0142ff860008010f7777772e6578616d706c652e6e65740102093139322e302e322e31093139322e302e322e3201014102\
    7800010f7777772e6578616d706c652e6e657401010d323030313a4442383a303a3a31010441414141000111416c6961732e\
    6578616d706c652e6e65740101124f746865722e4578616d706c652e636f6d2e0105434e414d4502fff00001122a2e77696c\
    642e6578616d706c652e6e65740101093139322e302e322e330101410001106d61696c2e6578616d706c652e6e6574010111\
    3130206d782e6578616d706c652e636f6d01024d5800011165787472612e6578616d706c652e6e65740101093139322e302e\
    322e3601014100010b6578616d706c652e6e65740101093139322e302e322e34010141000115656c736577686572652e6578\
    616d706c652e636f6d0101093139322e302e322e3501014100";

/// ```text
/// www.example.net        60  A      192.0.2.9
/// alias.example.net          A      192.0.2.7
/// ```
const SECOND: &str = "4aff860002010f7777772e6578616d706c652e6e65740101093139322e302e322e390101410278000111616c6961732e6578\
    616d706c652e6e65740101093139322e302e322e3701014100";

/// No endpoints.
const NOTHING: &str = "04ff860000";

/// mcdns with a zone for external-dns, and nothing else to observe.
struct Stage {
    scratch: Scratch,
    program: Option<Program>,
}

impl Stage {
    fn new(more: &str) -> Self {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path("federation/host")).expect("a folder");
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
    fn publish(&self, endpoints: &str) -> Finished {
        self.publish_as("theirs", endpoints)
    }

    /// The same as another owner.
    fn publish_as(&self, owner: &str, endpoints: &str) -> Finished {
        let source = source(endpoints);
        let mut command = Command::new(external_dns());
        command.stdin(Stdio::null()).args(["--source=connector", "--provider=webhook", "--once", "--policy=sync"]);
        command.args(["--registry=txt", "--log-level=debug", "--metrics-address=127.0.0.1:0"]);
        command.arg(format!("--connector-source-server={source}"));
        command.arg(format!("--webhook-provider-url=http://{}", webhook(self.program())));
        finish(command.arg(format!("--txt-owner-id={owner}")))
    }
}

/// A server that hands these endpoints to whoever connects.
fn source(endpoints: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let octets = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("an octet")).collect()
    };
    let message = [octets(TYPES), octets(endpoints)].concat();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever breaks off says so himself.
            let _ = stream.write_all(&message);
        }
    });
    address
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

/// external-dns, kept by `cargo xtask`.
fn external_dns() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let file = cache.expect("a cache folder").join(format!("mcdns/tools/external-dns-{VERSION}/external-dns"));
    assert!(file.is_file(), "{} is missing; `cargo xtask tools` builds it", file.display());
    file
}

fn calls(program: &Program, path: &str, outcome: &str) -> u64 {
    let line = format!("mcdns_webhook_calls_total{{path=\"{path}\",outcome=\"{outcome}\"}} ");
    let (_, metrics) = program.page("/metrics");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[test]
fn external_dns_makes_keeps_changes_and_takes_away_its_records() {
    let mut stage = Stage::new(", emptying: allow");
    assert_eq!(stage.program().dig("www.example.net A").status, "NXDOMAIN");
    assert_eq!(stage.program().dig("example.net NS").status, "NOERROR", "the setting makes the zone");

    stage.publish(FIRST).expect_code(0);
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
    let again = stage.publish(FIRST).expect_code(0);
    assert!(again.stderr.contains("All records are already up to date"), "{}", again.told());
    assert_eq!(stage.program().serial("example.net"), serial, "a second run changes nothing");
    assert_eq!(calls(stage.program(), "apply", "ok"), 1);

    // The state directory has them after a restart.
    stage.program.take().expect("it runs").stop().expect_code(0);
    stage.start();
    assert_eq!(stage.program().data("www.example.net A"), ["192.0.2.1", "192.0.2.2"]);
    let again = stage.publish(FIRST).expect_code(0);
    assert!(again.stderr.contains("All records are already up to date"), "{}", again.told());

    stage.publish(SECOND).expect_code(0);
    let data = |question: &str| stage.program().data(question);
    assert_eq!(data("www.example.net A"), ["192.0.2.9"]);
    assert_eq!(data("alias.example.net A"), ["192.0.2.7"], "a CNAME became an A in one call");
    assert_eq!(data("www.example.net AAAA"), [""; 0]);
    assert_eq!(stage.program().dig("aaaa-www.example.net TXT").status, "NXDOMAIN", "the mark went with its record");
    assert_eq!(stage.program().dig("any.wild.example.net A").status, "NXDOMAIN");

    stage.publish(NOTHING).expect_code(0);
    assert_eq!(stage.program().dig("www.example.net A").status, "NXDOMAIN");
    assert_eq!(stage.program().dig("a-www.example.net TXT").status, "NXDOMAIN");
}

#[test]
fn external_dns_leaves_alone_what_another_owner_published() {
    let stage = Stage::new("");
    stage.publish(FIRST).expect_code(0);
    stage.publish_as("another", SECOND).expect_code(0);
    assert_eq!(stage.program().data("www.example.net A"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(stage.program().data("a-www.example.net TXT"), ["\"heritage=external-dns,external-dns/owner=theirs\""]);
}

#[test]
fn a_source_that_turned_empty_does_not_empty_the_zone() {
    let stage = Stage::new("");
    // With their marks, these are more than ten names.
    stage.publish(FIRST).expect_code(0);
    let held = stage.publish(NOTHING);
    assert_eq!(stage.program().data("www.example.net A"), ["192.0.2.1", "192.0.2.2"], "{}", held.told());
    assert_eq!(calls(stage.program(), "apply", "held"), 1);
}
