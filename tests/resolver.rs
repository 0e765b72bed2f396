//! Unbound in front, as a resolver whose clients ask for names of ours.
//!
//! ```text
//!   dig ──► Unbound ──┬─► mcdns run    example.com   (a federation: names climb from level to level)
//!                     ├─► mcdns serve  lab.test      (a master file: wildcard, alias, redirection, delegation)
//!                     └─► mcdns serve  child.lab.test
//! ```
//!
//! Unbound is at its strictest: names are asked for label by label (RFC 9156) and what fails then has failed, the case
//! of every question is random and must come back, and what is below a name that is not there is not asked for (RFC 8020).

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod program;

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path};

use conformance::controls::free_address;
use program::{
    Killed, Program, Scratch,
    certificate::{SERVER, certify},
    dig::Dig,
    eventually, repository, text, tool,
};

const PARENT: &str = "$ORIGIN lab.test.\n$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 604800 30\n@ NS ns1\nns1 A 127.0.0.1\n\
                      www A 192.0.2.1\nalias CNAME www\n*.wild TXT wild\nbelow.empty.ent A 192.0.2.2\n\
                      old DNAME new\nwww.new A 192.0.2.3\nout CNAME www.child\naway DNAME child\n\
                      child NS ns.child\nns.child A 127.0.0.1\n\
                      child DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n";
const CHILD: &str = "$ORIGIN child.lab.test.\n$TTL 60\n@ SOA ns hostmaster 7 3600 600 604800 30\n@ NS ns\nns A 127.0.0.1\n\
                     www A 192.0.2.4\n";
/// Records of TXT that are more than a datagram takes.
const MANY: usize = 200;

/// Who answers behind Unbound, and Unbound.
struct Resolved {
    _programs: [Program; 3],
    _unbound: Killed,
    _scratch: Scratch,
    resolver: SocketAddr,
}

impl Resolved {
    /// Over UDP and TCP, or over TLS alone.
    fn start(over_tls: bool) -> Self {
        let scratch = Scratch::new();
        certify(&scratch.path(""));
        let many = (0..MANY).map(|number| format!("big TXT text-number-{number}\n")).collect::<Vec<_>>().concat();
        fs::write(scratch.path("parent"), format!("{PARENT}{many}")).expect("a zone");
        fs::write(scratch.path("child"), CHILD).expect("a zone");
        let sources = [
            ("example.com", "run", repository().join("deploy/demo/two-regions")),
            ("lab.test", "serve", scratch.path("parent")),
            ("child.lab.test", "serve", scratch.path("child")),
        ];
        let mut stubs = String::new();
        let programs = sources.map(|(apex, command, source)| {
            let tls = free_address().expect("a port");
            let program = start(&scratch, apex, command, &source, tls);
            let address = if over_tls { tls } else { program.server };
            let name = if over_tls { format!("#{SERVER}\n  stub-tls-upstream: yes") } else { String::new() };
            writeln!(
                stubs,
                "stub-zone:\n  name: {apex}\n  stub-no-cache: no\n  stub-addr: {}@{}{name}",
                address.ip(),
                address.port()
            )
            .expect("a string takes everything");
            program
        });
        let resolver = free_address().expect("a port");
        let unbound = start_unbound(&scratch, resolver, &stubs);
        eventually("Unbound answers", || {
            let mut dig = tool("dig");
            dig.args([
                "-r",
                "@127.0.0.1",
                "-p",
                &resolver.port().to_string(),
                "+time=1",
                "+tries=1",
                "lab.test",
                "SOA",
            ]);
            let told = String::from_utf8_lossy(&dig.output().expect("dig").stdout).into_owned();
            if told.contains("status: NOERROR") {
                Ok(())
            } else {
                Err(format!("{told}\n{}", fs::read_to_string(scratch.path("unbound.log")).unwrap_or_default()))
            }
        });
        Self { _programs: programs, _unbound: unbound, _scratch: scratch, resolver }
    }

    /// Asks Unbound.
    #[track_caller]
    fn ask(&self, question: &str) -> Dig {
        Dig::ask(self.resolver, question)
    }

    /// RCODE and answer section; TTLs count down in a cache, and are left out.
    #[track_caller]
    fn answer(&self, question: &str) -> (String, Vec<String>) {
        let reply = self.ask(question);
        let without_ttl = |record: &String| {
            let fields: Vec<&str> = record.splitn(5, ' ').collect();
            format!("{} {} {}", fields[0], fields[3], fields[4])
        };
        (reply.status.clone(), reply.ordered().iter().map(without_ttl).collect())
    }
}

#[test]
fn unbound_finds_every_name_over_udp_and_tcp() {
    check(&Resolved::start(false));
}

#[test]
fn unbound_finds_every_name_over_tls() {
    check(&Resolved::start(true));
}

#[track_caller]
fn check(resolved: &Resolved) {
    // The global level, a region and an availability zone, with addresses and without.
    const CHECKOUT: &str = "checkout.shop.galactic.svc";
    let checkout = format!("{CHECKOUT}.example.com. A 192.0.2.41");
    let region = "ap-northeast-1.example.com.";
    let climbs = [
        format!("{CHECKOUT}.ap-northeast-1a.{region} CNAME {CHECKOUT}.{region}"),
        format!("{CHECKOUT}.{region} CNAME {CHECKOUT}.example.com."),
        checkout.clone(),
    ];
    let cases: [(&str, &[&str]); 17] = [
        ("checkout.shop.galactic.svc.example.com A", &[&checkout]),
        ("checkout.shop.galactic.svc.ap-northeast-1.example.com A", &[&climbs[1], &climbs[2]]),
        (
            "checkout.shop.galactic.svc.ap-northeast-1a.ap-northeast-1.example.com A",
            &[&climbs[0], &climbs[1], &climbs[2]],
        ),
        (
            "web.shop.galactic.svc.us-east-2c.us-east-2.example.com A",
            &["web.shop.galactic.svc.us-east-2c.us-east-2.example.com. A 192.0.2.21"],
        ),
        ("any.shop.example.com A", &["any.shop.example.com. A 192.0.2.51", "any.shop.example.com. A 198.51.100.61"]),
        ("WwW.Lab.Test A", &["WwW.Lab.Test. A 192.0.2.1"]),
        ("alias.lab.test A", &["alias.lab.test. CNAME www.lab.test.", "www.lab.test. A 192.0.2.1"]),
        ("a.b.wild.lab.test TXT", &["a.b.wild.lab.test. TXT \"wild\""]),
        ("a.b.wild.lab.test A", &[]),
        ("empty.ent.lab.test A", &[]),
        ("below.empty.ent.lab.test A", &["below.empty.ent.lab.test. A 192.0.2.2"]),
        (
            "www.old.lab.test A",
            &[
                "old.lab.test. DNAME new.lab.test.",
                "www.old.lab.test. CNAME www.new.lab.test.",
                "www.new.lab.test. A 192.0.2.3",
            ],
        ),
        ("www.child.lab.test A", &["www.child.lab.test. A 192.0.2.4"]),
        ("out.lab.test A", &["out.lab.test. CNAME www.child.lab.test.", "www.child.lab.test. A 192.0.2.4"]),
        (
            "www.away.lab.test A",
            &[
                "away.lab.test. DNAME child.lab.test.",
                "www.away.lab.test. CNAME www.child.lab.test.",
                "www.child.lab.test. A 192.0.2.4",
            ],
        ),
        (
            "child.lab.test DS",
            &["child.lab.test. DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF01234567 89ABCDEF"],
        ),
        ("www.lab.test AAAA", &[]),
    ];
    for (question, wanted) in cases {
        let wanted: Vec<String> = wanted.iter().map(|record| (*record).to_owned()).collect();
        assert_eq!(resolved.answer(question), ("NOERROR".to_owned(), wanted), "{question}");
    }
    for question in ["none.lab.test A", "deep.below.none.lab.test TXT", "none.child.lab.test A", "none.old.lab.test A"]
    {
        let reply = resolved.ask(question);
        assert_eq!(reply.status, "NXDOMAIN", "{}", reply.text);
        let [soa] = reply.authority.as_slice() else { panic!("{}", reply.text) };
        assert!(soa.contains(" SOA "), "{soa}");
    }
    let large = resolved.ask("big.lab.test TXT +tcp");
    assert_eq!((large.status.as_str(), large.answer.len()), ("NOERROR", MANY), "{}", large.text);
}

/// A program with one zone, which answers over TLS there as well.
#[track_caller]
fn start(scratch: &Scratch, apex: &str, command: &str, source: &Path, tls: SocketAddr) -> Program {
    let settings = scratch.path(&format!("{apex}.yaml"));
    let (certificate, key) = (scratch.path("tls.crt"), scratch.path("tls.key"));
    let content = format!(
        "version: 1\nserve:\n  listen:\n    - 127.0.0.1:0\n    \
         - {{address: \"{tls}\", transports: [dot], certificate: {}, key: {}}}\n",
        certificate.display(),
        key.display()
    );
    fs::write(&settings, content).expect("settings");
    Program::start(&[command, text(source), "--settings", text(&settings), "--admin", "127.0.0.1:0"])
}

#[track_caller]
fn start_unbound(scratch: &Scratch, address: SocketAddr, stubs: &str) -> Killed {
    let (folder, authority, port) = (scratch.path(""), scratch.path("tls.crt"), address.port());
    let settings = format!(
        "server:\n  interface: 127.0.0.1\n  port: {port}\n  num-threads: 1\n  do-daemonize: no\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  log-time-ascii: yes\n  verbosity: 1\n  \
         log-servfail: yes\n  module-config: \"iterator\"\n  do-not-query-localhost: no\n  do-ip6: no\n  \
         qname-minimisation: yes\n  qname-minimisation-strict: yes\n  use-caps-for-id: yes\n  \
         harden-below-nxdomain: yes\n  harden-referral-path: no\n  prefetch: no\n  \
         local-zone: \"test.\" nodefault\n  tls-cert-bundle: \"{}\"\n{stubs}\
         remote-control:\n  control-enable: no\n",
        folder.display(),
        authority.display()
    );
    let file = scratch.path("unbound.conf");
    fs::write(&file, settings).expect("settings");
    let log = fs::File::create(scratch.path("unbound.log")).expect("a log");
    let mut unbound = tool("unbound");
    unbound.args(["-d", "-c"]).arg(&file).stdout(log.try_clone().expect("a log")).stderr(log);
    Killed(unbound.spawn().expect("Unbound starts"))
}
