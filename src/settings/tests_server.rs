//! Settings of the server: listeners, keys, transfers, cookies and the rest of `serve`.

use std::net::{IpAddr, SocketAddr};

use mcdns_serve::{COOKIE_SECRET, DnstapOutput, RateLimit, Service, TransferLimits};
use rstest::rstest;

use super::{tests::resolve_beside, *};

/// 32 octets of 0, as base64.
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const FILES: [(&str, &str); 9] = [
    ("c.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
    ("k.pem", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"),
    ("plain.secret", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
    ("bind.key", "key \"of-bind\" {\n\talgorithm hmac-sha512;\n\tsecret \"aHVzaA==\";\n};\n"),
    ("wild.key", "key \"a..b\" {\n\talgorithm hmac-sha256;\n\tsecret \"aHVzaA==\";\n};\n"),
    ("bad.key", "key \"bad\" {\n\talgorithm hmac-sha256;\n\tsecret \"hush\";\n"),
    ("cookies", "# the new one\ne5e973e5a6b2a43f48e7dc849e37bfcf\n445536bcd2513298075a5d379663c962\n"),
    ("three", "e5e973e5a6b2a43f48e7dc849e37bfcf\n445536bcd2513298075a5d379663c962\n445536bcd2513298075a5d379663c962\n"),
    ("empty", ""),
];

fn accepted(text: &str) -> Settings {
    with_variables(text, &[]).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn with_variables(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    resolve_beside(&FILES, &format!("version: 1\n{text}"), environment, &Flags::default())
}

pub(super) fn refused(text: &str) -> String {
    with_variables(text, &[]).expect_err(text)
}

fn name(text: &str) -> OwnerName {
    text.parse().expect("a name")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Value of a row of the table.
fn row(settings: &Settings, path: &str) -> String {
    let table = settings.describe();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(path));
    let line = line.unwrap_or_else(|| panic!("no {path} in\n{table}"));
    line[path.len()..].trim_start().split("  ").next().unwrap_or_default().to_owned()
}

#[test]
fn each_transport_gets_its_listener() {
    let settings = accepted(
        "serve:
  listen:
    - 127.0.0.1:5300
    - {address: '[::1]:853', transports: [doq, dot], certificate: @/c.pem, key: @/k.pem, idleTimeout: 20s}
    - {address: 127.0.0.1:443, transports: [doh], certificate: @/c.pem, key: @/k.pem, path: /q}
    - {address: 127.0.0.1:444, transports: doh, certificate: @/c.pem, key: @/k.pem}
",
    );
    let services: Vec<_> = settings
        .listeners()
        .iter()
        .map(|listener| match &listener.service {
            Service::Plain => format!("{} plain", listener.address),
            Service::Tls(_) => format!("{} dot", listener.address),
            Service::Https { path, .. } => format!("{} doh {path}", listener.address),
            Service::Quic(_) => format!("{} doq", listener.address),
        })
        .collect();
    assert_eq!(
        services,
        [
            "127.0.0.1:5300 plain",
            "[::1]:853 dot",
            "[::1]:853 doq",
            "127.0.0.1:443 doh /q",
            "127.0.0.1:444 doh /dns-query"
        ]
    );
    let idle: Vec<_> = settings.listeners().iter().map(|listener| listener.options.idle.as_secs()).collect();
    assert_eq!(idle, [10, 20, 20, 10, 10]);
    let shown = settings.describe();
    assert!(shown.contains("127.0.0.1:5300, [::1]:853 (dot, doq; certificate "), "{shown}");
    assert!(shown.contains("; idle 20s), 127.0.0.1:443 (doh /q; "), "{shown}");
    assert_eq!(settings.advertised(), [address("127.0.0.1"), address("::1")]);
}

#[test]
fn every_option_of_a_listener_is_read() {
    let settings = accepted(
        "serve:
  listen:
    - {address: 127.0.0.1:5300, payload: 1400, transfers: false, rateLimit: off, connections: 50,
       connectionsPerClient: 5, idleTimeout: 5s, lifetime: 10m}
    - {address: 127.0.0.1:5301, connections: 70, idleTimeout: 90m}
",
    );
    let listeners = settings.listeners();
    let options = &listeners[0].options;
    assert_eq!((options.udp_payload, options.transfers, options.rate_limit), (1400, false, false));
    assert_eq!((options.connections, options.connections_per_client), (50, 5));
    assert_eq!((options.idle.as_secs(), options.lifetime.as_secs()), (5, 600));
    let options = &listeners[1].options;
    assert_eq!((options.connections, options.connections_per_client), (70, 70), "no client has more than all");
    assert_eq!(options.lifetime, options.idle, "a connection lives as long as it may be silent");
    let shown = "127.0.0.1:5300 (payload 1400; no transfers; no rate limit; connections 50; 5 per client; idle 5s; lifetime 10m)";
    assert!(settings.describe().contains(shown), "{}", settings.describe());
}

#[test]
fn keys_come_from_the_file_or_from_files_of_their_own_and_are_never_shown() {
    let settings = accepted(&format!(
        "serve:
  keys:
    - {{name: Inline, algorithm: HMAC-SHA256, secret: {SECRET}}}
    - {{name: in-a-file, secretFile: @/plain.secret}}
    - {{secretFile: @/bind.key}}
"
    ));
    let names: Vec<_> = settings.keys.iter().map(|key| key.name().to_string()).collect();
    assert_eq!(names, ["inline", "in-a-file", "of-bind"]);
    let ring = settings.policy().keys;
    assert!(ring.find(&name("of-bind")).is_some() && ring.find(&name("other")).is_none());
    assert_eq!(row(&settings, "serve.keys[0].secret"), "(hidden)");
    assert_eq!(row(&settings, "serve.keys[1].algorithm"), "hmac-sha256");
    assert_eq!(row(&settings, "serve.keys[2].name"), "of-bind");
    assert_eq!(row(&settings, "serve.keys[2].algorithm"), "hmac-sha512");
    let everything = format!("{}{settings:?}", settings.describe());
    assert!(!everything.contains("AAAA") && !everything.contains("aHVzaA"), "{everything}");
    // The one of BIND has four octets where 64 would be right.
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains(
            "settings.yaml:6:20: warning[short-secret]: serve.keys[2].secretFile: the secret of `of-bind` has 4 octets"
        ),
        "{warnings:?}"
    );
}

#[test]
fn without_a_word_transfers_are_for_this_machine_alone() {
    let policy = accepted("serve: {zones: [{apex: example.com}]}\n").policy();
    for apex in ["example.com", "example.net"] {
        let zone = policy.zone(&name(apex));
        for (from, allowed) in [("127.0.0.1", true), ("127.255.0.1", true), ("::1", true), ("192.0.2.1", false)] {
            assert_eq!(zone.transfer.allows(address(from), None), allowed, "{apex} {from}");
        }
        assert!(zone.notify.is_empty());
    }
}

#[rstest]
#[case("{allow: [192.0.2.0/24]}", "inside alone: yes; inside a: yes; outside a: no; outside alone: no")]
#[case("{keys: [a]}", "inside alone: no; inside a: yes; outside a: yes; outside alone: no")]
#[case("{allow: 192.0.2.0/24, keys: a}", "inside alone: no; inside a: yes; outside a: no; outside alone: no")]
#[case("{allow: [192.0.2.0/24], keys: [b]}", "inside alone: no; inside a: no; outside a: no; outside alone: no")]
#[case("{allow: []}", "inside alone: no; inside a: no; outside a: no; outside alone: no")]
#[case(
    "{rules: [{allow: [192.0.2.0/24]}, {keys: [a]}]}",
    "inside alone: yes; inside a: yes; outside a: yes; outside alone: no"
)]
fn a_zone_is_given_to_whom_address_key_or_both_let_in(#[case] transfer: &str, #[case] expected: &str) {
    let keys = format!("keys: [{{name: a, secret: {SECRET}}}, {{name: b, secret: {SECRET}}}]");
    for text in [
        format!("serve: {{{keys}, zones: [{{apex: example.com, transfer: {transfer}}}]}}\n"),
        format!("serve: {{{keys}, transfer: {transfer}}}\n"),
        format!(
            "serve: {{{keys}, transfer: {transfer}, zones: [{{apex: example.com, transfer: {{notify: ['::1']}}}}]}}\n"
        ),
    ] {
        let policy = accepted(&text).policy();
        let zone = policy.zone(&name("example.com"));
        let key = name("a");
        let says = |from: &str, key| if zone.transfer.allows(address(from), key) { "yes" } else { "no" };
        let found = format!(
            "inside alone: {}; inside a: {}; outside a: {}; outside alone: {}",
            says("192.0.2.1", None),
            says("192.0.2.1", Some(&key)),
            says("198.51.100.1", Some(&key)),
            says("198.51.100.1", None),
        );
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn secondaries_are_told_with_a_key_or_without() {
    let settings = accepted(&format!(
        "serve:
  keys: [{{name: a, secret: {SECRET}}}]
  transfer: {{notify: [192.0.2.53]}}
  zones:
    - {{apex: example.com, transfer: {{notify: ['[2001:db8::53]:5300', {{address: 192.0.2.54, key: A.}}]}}}}
    - {{apex: example.net, transfer: {{notify: []}}}}
    - {{apex: example.org, transfer: {{keys: [a]}}}}
"
    ));
    let policy = settings.policy();
    let told = |apex: &str| {
        let zone = policy.zone(&name(apex));
        let show = |secondary: &mcdns_serve::Secondary| match &secondary.key {
            Some(key) => format!("{} {key}", secondary.address),
            None => secondary.address.to_string(),
        };
        zone.notify.iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(told("example.com"), ["[2001:db8::53]:5300", "192.0.2.54:53 a"]);
    assert!(told("example.net").is_empty());
    assert_eq!(told("example.org"), ["192.0.2.53:53"]);
    assert_eq!(told("other.example"), ["192.0.2.53:53"]);
    assert_eq!(row(&settings, "serve.zones[0].transfer.notify"), "[2001:db8::53]:5300, 192.0.2.54:53 (a)");
}

#[test]
fn secondaries_are_told_from_their_own_source_else_from_that_of_their_family() {
    let settings = accepted(
        "serve:
  transfer: {notify: [192.0.2.53, '2001:db8::53'], notifySource: [192.0.2.1, '2001:db8::1']}
  zones:
    - {apex: example.com, transfer: {notify: [192.0.2.54, {address: 192.0.2.55, source: 192.0.2.3}]}}
    - {apex: example.net, transfer: {notifySource: 192.0.2.2}}
    - {apex: example.org, transfer: {notifySource: [], notify: [192.0.2.54]}}
",
    );
    let policy = settings.policy();
    let told = |apex: &str| {
        let show = |secondary: &mcdns_serve::Secondary| match secondary.source {
            Some(source) => format!("{} from {source}", secondary.address),
            None => secondary.address.to_string(),
        };
        policy.zone(&name(apex)).notify.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(told("other.example"), "192.0.2.53:53 from 192.0.2.1, [2001:db8::53]:53 from 2001:db8::1");
    assert_eq!(told("example.com"), "192.0.2.54:53 from 192.0.2.1, 192.0.2.55:53 from 192.0.2.3");
    assert_eq!(told("example.net"), "192.0.2.53:53 from 192.0.2.2, [2001:db8::53]:53");
    assert_eq!(told("example.org"), "192.0.2.54:53");
    assert_eq!(row(&settings, "serve.zones[0].transfer.notify"), "192.0.2.54:53, 192.0.2.55:53 from 192.0.2.3");
    assert_eq!(row(&settings, "serve.zones[1].transfer.notifySource"), "192.0.2.2");
    assert_eq!(row(&settings, "serve.transfer.notifySource"), "192.0.2.1, 2001:db8::1");
    let set = [("MCDNS_SERVE_TRANSFER_NOTIFY_SOURCE", "192.0.2.7"), ("MCDNS_SERVE_TRANSFER_NOTIFY", "192.0.2.53")];
    let policy = with_variables("", &set).expect("accepted").policy();
    assert_eq!(policy.other_zones.notify[0].source, Some(address("192.0.2.7")));
}

#[test]
fn limits_of_transfers_are_those_of_the_server_unless_they_are_set() {
    let default = TransferLimits::default();
    assert_eq!(accepted("").transfer_limits, default);
    let settings =
        accepted("serve: {transfer: {concurrent: 7, history: {changes: 0, zoneSize: 1MiB, memory: 2MiB}}}\n");
    let limits = TransferLimits { differences: 0, octets: 1 << 20, total_octets: 2 << 20, concurrent: 7 };
    assert_eq!(settings.transfer_limits, limits);
    assert_eq!(row(&settings, "serve.transfer.history.zoneSize"), "1MiB");
    let set = [("MCDNS_SERVE_TRANSFER_HISTORY_CHANGES", "5")];
    let limits = with_variables("", &set).expect("accepted").transfer_limits;
    assert_eq!(limits, TransferLimits { differences: 5, ..default });
    // They are of the server as a whole.
    let refused = refused("serve: {zones: [{apex: example.com, transfer: {concurrent: 7}}]}\n");
    assert!(refused.contains("serve.zones[0].transfer.concurrent"), "{refused}");
}

#[test]
fn a_key_takes_whole_macs_unless_a_size_is_set() {
    let keys = |more: &str| accepted(&format!("serve: {{keys: [{{name: a, secret: {SECRET}{more}}}]}}\n")).keys;
    let whole = &keys("")[0];
    let cut = whole.clone().with_mac_length(16).expect("a good length");
    assert_eq!(keys(", macSize: 32"), std::slice::from_ref(whole));
    assert_eq!(keys(", macSize: 16"), [cut]);
}

#[test]
fn what_the_server_says_of_itself_is_off_unless_it_is_set() {
    let policy = accepted("").policy();
    assert!(policy.nsid.is_none() && policy.version.is_none() && policy.identity.is_none());
    assert!(policy.rate_limit.is_none());
    let settings =
        accepted("serve: {nsid: ns1.example, version: mcdns, identity: ns1, workers: 3, user: 'mcdns:dns'}\n");
    let policy = settings.policy();
    assert_eq!(policy.nsid.as_deref(), Some(&b"ns1.example"[..]));
    assert_eq!((policy.version.as_deref(), policy.identity.as_deref()), (Some("mcdns"), Some("ns1")));
    assert_eq!(settings.server.workers.value, Some(3));
    let user = settings.server.user.value.as_ref().expect("a user");
    assert_eq!((user.user.as_str(), user.group.as_deref()), ("mcdns", Some("dns")));
    let settings =
        with_variables("", &[("MCDNS_SERVE_NSID", "0x00ff"), ("MCDNS_SERVE_WORKERS", "2")]).expect("accepted");
    assert_eq!(settings.policy().nsid.as_deref(), Some(&[0, 255][..]));
    assert_eq!(row(&settings, "serve.nsid"), "0x00ff");
    assert_eq!(row(&settings, "serve.workers"), "2");
}

#[test]
fn cookies_are_on_with_a_secret_of_the_process_or_one_that_is_shared() {
    let random = accepted("").policy().cookies.expect("cookies");
    assert_eq!(accepted("").policy().cookies, Some(random.clone()), "a reload keeps it");
    assert_ne!(random.current, [0; COOKIE_SECRET]);
    assert!(accepted("serve: {cookies: {enabled: false}}\n").policy().cookies.is_none());

    let one = "serve: {cookies: {secret: 'e5e973e5a6b2a43f48e7dc849e37bfcf'}}\n";
    let shared = accepted(one).policy().cookies.expect("cookies");
    assert_eq!((shared.current[0], shared.other), (0xe5, None));
    let two = "serve: {cookies: {secret: 'e5e973e5a6b2a43f48e7dc849e37bfcf', otherSecret: '445536bcd2513298075a5d379663c962'}}\n";
    let written = accepted(two).policy().cookies.expect("cookies");
    assert_eq!(written.other.map(|other| other[0]), Some(0x44));
    let settings = accepted("serve: {cookies: {secretFile: @/cookies}}\n");
    assert_eq!(settings.policy().cookies, Some(written));
    let settings = accepted(two);
    let everything = format!("{}{settings:?}", settings.describe());
    assert!(!everything.contains("e5e973") && !everything.contains("229, 233"), "{everything}");
    assert_eq!(row(&settings, "serve.cookies.otherSecret"), "(hidden)");
}

#[test]
fn a_rate_limit_has_the_defaults_of_nsd_and_bind() {
    let limit = accepted("serve: {rateLimit: {responsesPerSecond: 200}}\n").policy().rate_limit;
    let expected = RateLimit { responses_per_second: 200, slip: 2, ipv4_prefix: 24, ipv6_prefix: 56 };
    assert_eq!(limit, Some(expected));
    let all = "serve: {rateLimit: {responsesPerSecond: 5, slip: 0, ipv4Prefix: 32, ipv6Prefix: 64}}\n";
    let expected = RateLimit { responses_per_second: 5, slip: 0, ipv4_prefix: 32, ipv6_prefix: 64 };
    assert_eq!(accepted(all).policy().rate_limit, Some(expected));
}

#[test]
fn logs_of_queries_have_a_place_and_a_sample() {
    let text =
        "serve: {queryLog: {file: @/queries.log, sample: 100}, dnstap: {socket: @/dnstap.sock}, handover: @/h.sock}\n";
    let settings = accepted(text);
    let log = settings.server.query_log.value.as_ref().expect("a log");
    assert!(log.file.as_ref().is_some_and(|file| file.ends_with("queries.log")) && log.sample.get() == 100);
    let log = accepted("serve: {queryLog: {file: log, format: json}}\n").server.query_log.value.expect("a log");
    assert_eq!((log.file, log.format), (None, LineFormat::Json));
    let dnstap = settings.server.dnstap.value.as_ref().expect("dnstap");
    assert!(matches!(&dnstap.output, DnstapOutput::Socket(path) if path.ends_with("dnstap.sock")));
    assert_eq!((dnstap.sample.get(), dnstap.queries), (1, false));
    let both = refused("serve: {dnstap: {socket: @/a, file: @/b}}\n");
    assert!(both.contains("serve.dnstap.file: stands beside a socket"), "{both}");
    assert!(settings.server.handover.value.as_ref().is_some_and(|path| path.ends_with("h.sock")));
}

#[test]
fn settings_are_read_again_from_where_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.yaml");
    let write = |text: &str| fs::write(&file, format!("version: 1\n{text}")).expect("written");
    write("serve: {nsid: one, listen: [127.0.0.1:1]}\n");
    let environment = [(OsString::from("MCDNS_LOG_LEVEL"), OsString::from("debug"))];
    let flags = Flags { admin: Some(SocketAddr::from(([127, 0, 0, 1], 9))), ..Flags::default() };
    let running = Settings::resolve(Some(&file), environment, &flags).expect("accepted");

    write("serve: {nsid: two, listen: [127.0.0.1:2], workers: 7}\nadmin: {listen: 127.0.0.1:8}\n");
    let mut again = running.again().expect("accepted");
    assert_eq!(again.log_level.value, "debug", "the variable still holds");
    assert_eq!(again.admin.value.port(), 9, "the flag still wins");
    assert_eq!(again.server.nsid.value.as_deref(), Some(&b"two"[..]));
    let waiting: Vec<_> = again.keep_fixed(&running).into_iter().map(|fixed| fixed.path).collect();
    assert_eq!(waiting, ["serve.listen", "serve.workers"]);
    assert_eq!(again.listen, running.listen, "what is fixed is as it was");
    assert!(again.keep_fixed(&running).is_empty());

    write("serve: {nsid: ''}\n");
    assert!(running.again().is_err());
}
