//! Settings as a whole: every fault with its text, precedence, the table.

use super::*;

/// Everything that this version reads.
const FULL: &str = "\
version: 1
stateDir: /var/lib/mcdns
sources:
  directory: deploy/demo/two-regions
  hosts: deploy/demo/hosts
  kubernetes:
    systemNamespace: federation
    health: {grace: 5m}
serve:
  advertise: [192.0.2.1, '2001:db8::1']
  listen:
    - {address: 127.0.0.1:5300, transports: [udp, tcp]}
    - {address: '[::1]:5301', transports: [tcp, udp]}
    - 127.0.0.1:5302
  zones:
    - apex: example.com
      file: zones/examples/example.com.zone
      nameServers: [{name: ns1.example.com, addresses: [192.0.2.1, '2001:db8::1']}, {name: ns.example.net}]
      soa: {contact: admin.example.com, refresh: 1h, retry: 300, expire: 86400, negativeTtl: 60}
    - apex: example.net
memberSelector:
  matchLabels: {kubefed.io/managed: true}
  matchExpressions:
    - {key: tier, operator: In, values: [public, shared]}
    - {key: hidden, operator: DoesNotExist}
emptyLevels: omit
statusEntries: withTargets
dnsEndpoints: {groups: [multiclusterdns.kubefed.io, externaldns.k8s.io]}
admin: {listen: 127.0.0.1:9090}
history: {changes: 500, memory: 1MiB, disk: 4MiB}
log: {format: json, level: debug}
";

/// Resolves a file `settings.yaml` with this content; findings name it so.
fn resolve(text: &str, environment: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
    resolve_beside(&[], text, environment, flags)
}

/// The same with other files in the folder, which the text names as `@/NAME`.
pub(super) fn resolve_beside(
    files: &[(&str, &str)],
    text: &str,
    environment: &[(&str, &str)],
    flags: &Flags,
) -> Result<Settings, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().display().to_string();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect("written");
    }
    let path = directory.path().join("settings.yaml");
    fs::write(&path, text.replace("@/", &format!("{folder}/"))).expect("written");
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::resolve(Some(&path), environment, flags)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "settings.yaml").replace(&folder, "@"))
}

fn plain(text: &str) -> Result<Settings, String> {
    resolve(text, &[], &Flags::default())
}

fn settled(text: &str) -> Settings {
    plain(text).expect("settings")
}

pub(super) fn refused(text: &str) -> String {
    plain(text).expect_err("refused")
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = Settings::resolve(None, [], &Flags::default()).expect("defaults");
    assert_eq!(
        settings.describe(),
        "\
stateDir                                    -                           default
sources.directory                           -                           default
sources.hosts                               -                           default
sources.kubernetes.systemNamespace          kube-federation-system      default
sources.kubernetes.health.grace             1m                          default
sources.kubernetes.kubeconfig               -                           default
sources.kubernetes.context                  -                           default
sources.kubernetes.hostOnly                 false                       default
sources.kubernetes.health.mode              auto                        default
sources.kubernetes.health.period            10s                         default
sources.kubernetes.health.timeout           3s                          default
sources.kubernetes.health.failureThreshold  3                           default
sources.kubernetes.health.successThreshold  1                           default
sources.kubernetes.lease.name               mcdns                       default
sources.kubernetes.lease.identity           -                           default
sources.kubernetes.lease.duration           15s                         default
sources.skydns.endpoints                    -                           default
sources.skydns.zones                        -                           default
sources.skydns.prefix                       /skydns                     default
sources.skydns.minLeaseTtl                  30s                         default
sources.skydns.maxLeaseTtl                  1d                          default
sources.skydns.username                     -                           default
sources.skydns.passwordFile                 -                           default
sources.skydns.ca                           -                           default
sources.skydns.certificate                  -                           default
sources.skydns.key                          -                           default
serve.advertise                             -                           default
serve.listen                                127.0.0.1:5300              default
serve.nsid                                  -                           default
serve.version                               -                           default
serve.identity                              -                           default
serve.cookies.enabled                       true                        default
serve.cookies.secret                        -                           default
serve.cookies.otherSecret                   -                           default
serve.cookies.secretFile                    -                           default
serve.rateLimit.responsesPerSecond          0                           default
serve.rateLimit.slip                        2                           default
serve.rateLimit.ipv4Prefix                  24                          default
serve.rateLimit.ipv6Prefix                  56                          default
serve.queryLog.file                         -                           default
serve.queryLog.format                       text                        default
serve.queryLog.sample                       1                           default
serve.dnstap.socket                         -                           default
serve.dnstap.file                           -                           default
serve.dnstap.sample                         1                           default
serve.dnstap.queries                        false                       default
serve.user                                  -                           default
serve.handover                              -                           default
serve.workers                               -                           default
serve.transfer.keys                         -                           default
serve.transfer.allow                        127.0.0.0/8, ::1            default
serve.transfer.notify                       -                           default
serve.transfer.notifySource                 -                           default
serve.transfer.concurrent                   64                          default
serve.transfer.history.changes              1000                        default
serve.transfer.history.zoneSize             4MiB                        default
serve.transfer.history.memory               64MiB                       default
webhook.listen                              127.0.0.1:8889              default
webhook.zones                               -                           default
webhook.emptying                            hold                        default
memberSelector                              kubefed.io/managed=true     default
emptyLevels                                 climb                       default
statusEntries                               all                         default
dnsEndpoints.groups                         multiclusterdns.kubefed.io  default
dnsEndpoints.read                           -                           default
admin.listen                                127.0.0.1:8080              default
history.changes                             10000                       default
history.memory                              8MiB                        default
history.disk                                16MiB                       default
log.format                                  text                        default
log.level                                   info                        default
"
    );
    assert_eq!(settings.advertised(), ["127.0.0.1".parse::<IpAddr>().expect("an address")]);
}

#[test]
fn every_key_of_this_version_is_read() {
    let settings = plain(FULL).expect("good settings");
    let table = settings.describe().replace("settings.yaml", "");
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    let value = |path: &str| lines.iter().find(|cells| cells[0] == path).map_or("", |cells| cells[1].trim());
    for (path, expected) in [
        ("stateDir", "/var/lib/mcdns"),
        ("sources.directory", "deploy/demo/two-regions"),
        ("sources.hosts", "deploy/demo/hosts"),
        ("sources.kubernetes.systemNamespace", "federation"),
        ("sources.kubernetes.health.grace", "5m"),
        ("serve.advertise", "192.0.2.1, 2001:db8::1"),
        ("serve.listen", "127.0.0.1:5300, [::1]:5301, 127.0.0.1:5302"),
        ("serve.zones[0].apex", "example.com"),
        ("serve.zones[0].nameServers", "ns1.example.com (192.0.2.1 2001:db8::1), ns.example.net"),
        ("serve.zones[0].soa.refresh", "3600"),
        ("serve.zones[1].apex", "example.net"),
        ("memberSelector", "kubefed.io/managed=true, tier in (public,shared), !hidden"),
        ("emptyLevels", "omit"),
        ("statusEntries", "withTargets"),
        ("dnsEndpoints.groups", "multiclusterdns.kubefed.io, externaldns.k8s.io"),
        ("admin.listen", "127.0.0.1:9090"),
        ("history.disk", "4MiB"),
        ("log.format", "json"),
        ("log.level", "debug"),
    ] {
        assert_eq!(value(path), expected, "{path} in\n{table}");
    }
    let zone = settings.zone(&"example.com".parse().expect("a name"));
    let soa = &zone.soa;
    let timers = [soa.refresh, soa.retry, soa.expire, soa.negative_ttl];
    assert_eq!(timers, [3600, 300, 86_400, 60].map(Some));
    assert_eq!(soa.contact, Some("admin.example.com".parse().expect("a name")));
    let other: OwnerName = "other.example".parse().expect("a name");
    assert_eq!(settings.zone(&other), ZoneSettings::new(other));
    assert_eq!(settings.grace.value, Duration::from_mins(5));
    assert_eq!(settings.history.value, HistoryLimits { changes: 500, memory: 1 << 20, disk: 4 << 20 });
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "version: 1\nstateDir: /file\nadmin: {listen: 127.0.0.1:1}\nserve:\n  listen: [127.0.0.1:2]\n";
    let environment = [
        ("MCDNS_STATE_DIR", "/variable"),
        ("MCDNS_ADMIN_LISTEN", "127.0.0.1:3"),
        ("MCDNS_SERVE_LISTEN", "127.0.0.1:4, 127.0.0.1:5"),
        ("MCDNS_LOG_LEVEL", ""),
        ("PATH", "/bin"),
    ];
    let flags = Flags { state_dir: Some("/flag".into()), ..Flags::default() };
    let settings = resolve(file, &environment, &flags).expect("good settings");
    assert_eq!(settings.state_dir.value.as_deref(), Some(Path::new("/flag")));
    assert_eq!(settings.state_dir.origin.to_string(), "flag --state-dir");
    assert_eq!(settings.admin.value.port(), 3);
    assert_eq!(settings.admin.origin.to_string(), "environment variable MCDNS_ADMIN_LISTEN");
    assert_eq!(settings.listen.value.iter().map(|listener| listener.address.port()).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(settings.log_level.origin, Origin::Default, "a variable set to nothing is none");

    let settings = plain(file).expect("good settings");
    assert!(matches!(&settings.admin.origin, Origin::File { line: 3, .. }), "{:?}", settings.admin.origin);
    assert!(matches!(&settings.listen.origin, Origin::File { line: 5, .. }), "{:?}", settings.listen.origin);
    let flags = Flags { listen: vec![SocketAddr::from(([0, 0, 0, 0], 53))], ..Flags::default() };
    let settings = resolve(file, &[], &flags).expect("good settings");
    assert_eq!(settings.listen.value, [Listener::plain(SocketAddr::from(([0, 0, 0, 0], 53)))]);
    assert!(settings.advertised().is_empty(), "a wildcard is no address to advertise");
}

#[test]
fn a_value_that_loses_is_checked_all_the_same() {
    let flags = Flags { admin: Some(SocketAddr::from(([127, 0, 0, 1], 1))), ..Flags::default() };
    let error = resolve("version: 1\nadmin: {listen: here}\n", &[], &flags).expect_err("refused");
    assert!(
        error.starts_with("settings.yaml:2:17: error[refused-setting]: admin.listen: `here` is no address"),
        "{error}"
    );
}

#[test]
fn each_fault_names_its_place_and_what_would_be_right() {
    let rows = [
        (
            "stateDir: /x\n",
            "settings.yaml:1:1: error[refused-setting]: version: is missing\n  help: start the file with `version: 1`",
        ),
        (
            "version: 2\n",
            "settings.yaml:1:10: error[refused-setting]: version: version 2 of the settings is not known here\n  \
             help: this program reads `version: 1`",
        ),
        (
            "version: 1\nstatedir: /x\n",
            "settings.yaml:2:1: error[refused-setting]: statedir: is no known setting\n  help: did you mean `stateDir`?",
        ),
        (
            "version: 1\nserve:\n  zones:\n    - apex: a.example\n      nameserver: []\n",
            "settings.yaml:5:7: error[refused-setting]: serve.zones[0].nameserver: is no known setting\n  \
             help: did you mean `nameServers`?",
        ),
        (
            "version: 1\nadmin: {xyz: 1}\n",
            "settings.yaml:2:9: error[refused-setting]: admin.xyz: is no known setting\n  help: known here: listen",
        ),
        (
            "version: 1\nwebhook:\n  listen: 127.0.0.1:8889\n",
            "settings.yaml:3: error[refused-setting]: webhook.zones: is missing beside listen\n  \
             help: name the zones that external-dns writes into: zones: [example.net]",
        ),
        (
            "version: 1\nserve:\n  listen: [{address: 127.0.0.1}]\n",
            "settings.yaml:3:22: error[refused-setting]: serve.listen[0].address: `127.0.0.1` is no address with a port\n  \
             help: write 127.0.0.1:PORT",
        ),
        (
            "version: 1\nserve:\n  listen: [{transports: [udp]}]\n",
            "settings.yaml:3:12: error[refused-setting]: serve.listen[0]: has no address\n  \
             help: write {address: 127.0.0.1:5300, transports: [udp, tcp]}",
        ),
        (
            "version: 1\nserve:\n  listen: [127.0.0.1:53, 127.0.0.1:53]\n",
            "settings.yaml:3: error[refused-setting]: serve.listen: 127.0.0.1:53 stands there twice\n  \
             help: name each address once",
        ),
        (
            "version: 1\nserve: {listen: []}\n",
            "settings.yaml:2: error[refused-setting]: serve.listen: is empty, so that nothing would be answered\n  \
             help: name an address, or take the setting out",
        ),
        (
            "version: 1\nserve: {advertise: [0.0.0.0]}\n",
            "settings.yaml:2:21: error[refused-setting]: serve.advertise[0]: `0.0.0.0` is no address that a client could \
             send a question to\n  help: write addresses of this server that its clients can reach",
        ),
        (
            "version: 1\nsources: {kubernetes: {health: {grace: 60}}}\n",
            "settings.yaml:2:40: error[refused-setting]: sources.kubernetes.health.grace: `60` is no time\n  \
             help: write whole numbers with units: 500ms, 60s, 5m, 1h30m, 7d",
        ),
        (
            "version: 1\nemptyLevels: climbs\n",
            "settings.yaml:2:14: error[refused-setting]: emptyLevels: `climbs` is not known here\n  \
             help: did you mean climb? Known are climb, omit",
        ),
        (
            "version: 1\nserve: {zones: [{file: x}]}\n",
            "settings.yaml:2:17: error[refused-setting]: serve.zones[0].apex: is missing\n  \
             help: write the name of the zone: apex: example.com",
        ),
        (
            "version: 1\nserve: {zones: [{apex: a.example}, {apex: A.example.}]}\n",
            "settings.yaml:2:36: error[refused-setting]: serve.zones[1].apex: `a.example` stands there twice\n  \
             help: keep one of them",
        ),
        (
            "version: 1\nserve: {zones: [{apex: a.example, soa: {contact: jo.doe@a.example}}]}\n",
            "settings.yaml:2:50: error[refused-setting]: serve.zones[0].soa.contact: `jo.doe@a.example` is a mail address\n  \
             help: write it as a name: jo\\.doe.a.example",
        ),
        (
            "version: 1\nserve: {zones: [{apex: a.example, soa: {refresh: -1}}]}\n",
            "settings.yaml:2:50: error[refused-setting]: serve.zones[0].soa.refresh: `-1` is no number of seconds\n  \
             help: write 0 to 2147483647 seconds, as 3600 or with a unit: 1h",
        ),
        (
            "version: 1\nserve: [1]\n",
            "settings.yaml:2:8: error[refused-setting]: serve: is a list\n  \
             help: write a mapping with some of the keys advertise, listen, nsid, version, identity, cookies, rateLimit, \
             queryLog, dnstap, user, handover, workers, keys, transfer, zones",
        ),
        (
            "version: 1\nstateDir: {a: b}\n",
            "settings.yaml:2:11: error[refused-setting]: stateDir: is a mapping\n  help: write a single value",
        ),
        (
            "version: 1\nserve:\n  listen: [{address: 127.0.0.1:5300, transports: [udp]}]\n",
            "settings.yaml:3:50: error[refused-setting]: serve.listen[0].transports: must name both udp and tcp: a DNS \
             server has both (RFC 7766 section 5)\n  help: write [udp, tcp], or leave it out",
        ),
        (
            "version: 1\nmemberSelector: {matchExpressions: [{key: a, operator: In}]}\n",
            "settings.yaml:2:37: error[refused-setting]: memberSelector.matchExpressions[0]: has no values\n  \
             help: In and NotIn need at least one",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn what_external_dns_publishes_needs_zones_and_belongs_on_a_loopback_address() {
    let settings = settled("version: 1\nwebhook: {listen: 127.0.0.1:8889, zones: [example.net, Example.ORG.]}\n");
    assert!(settings.webhook.is_on() && settings.warnings.is_empty());
    let zones: Vec<String> = settings.webhook.zones.value.iter().map(ToString::to_string).collect();
    assert_eq!(zones, ["example.net", "example.org"]);
    assert!(!settled("version: 1\n").webhook.is_on());
    let settings = settled("version: 1\nwebhook: {listen: 0.0.0.0:8889, zones: [example.net], emptying: allow}\n");
    assert!(settings.webhook.may_empty.value);
    assert!(
        settings.warnings[0].to_string().contains("whoever reaches it writes the zones"),
        "{:?}",
        settings.warnings
    );
    assert!(
        refused("version: 1\nwebhook: {listen: 127.0.0.1:8889}\n").contains("webhook.zones: is missing beside listen")
    );
    assert!(refused("version: 1\nwebhook: {zones: [example.net], emptying: no}\n").contains("webhook.emptying"));
}

#[test]
fn endpoints_are_read_from_our_own_group_and_those_that_are_named() {
    let groups = |text: &str| settled(text).endpoint_groups();
    assert_eq!(groups("version: 1\n"), ["multiclusterdns.kubefed.io"]);
    let both = ["multiclusterdns.kubefed.io", "externaldns.k8s.io"];
    assert_eq!(groups("version: 1\ndnsEndpoints: {groups: [externaldns.k8s.io]}\n"), both);
    assert_eq!(groups("version: 1\ndnsEndpoints: {read: [externaldns.k8s.io]}\n"), both);
}

#[test]
fn faults_of_variables_name_the_variable() {
    let resolve = |name: &str, value: &str| {
        Settings::resolve(None, [(name.into(), value.into())], &Flags::default()).map_err(|error| error.to_string())
    };
    assert_eq!(
        resolve("MCDNS_ADMIN_LISTEN", "8080").expect_err("refused"),
        "error[refused-setting]: environment variable MCDNS_ADMIN_LISTEN: `8080` is no address with a port\n  \
         help: write 0.0.0.0:8080 for every IPv4 address, [::]:8080 for every address, 127.0.0.1:8080 for this machine alone"
    );
    assert_eq!(
        resolve("MCDNS_STATEDIR", "/x").expect_err("refused"),
        "error[refused-setting]: environment variable MCDNS_STATEDIR: is no known setting\n  \
         help: did you mean `MCDNS_STATE_DIR`?"
    );
    for name in ["MCDNS_SERVICE_HOST", "MCDNS_PORT_53_UDP", "MCDNS_SETTINGS"] {
        assert!(resolve(name, "x").is_ok(), "{name}");
    }
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_file() {
    let error = refused("version: 1\nlog: {level: loud}\nstatedir: x\nserve: {advertise: [x, y]}\n");
    let lines: Vec<_> = error.lines().filter(|line| line.starts_with("settings.yaml")).collect();
    let places: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(places, ["settings.yaml:2:14:", "settings.yaml:3:1:", "settings.yaml:4:21:", "settings.yaml:4:24:"]);
}

#[test]
fn what_is_no_yaml_has_a_place_too() {
    for (text, place) in [
        ("version: 1\nserve: [a\n", "settings.yaml:"),
        ("version: 1\nlog: {level: info}\nlog: {level: warn}\n", "settings.yaml:3:1: error[syntax]: duplicate"),
        ("version: 1\n\tstateDir: x\n", "settings.yaml:"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(place) && error.contains("error[syntax]"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let missing = Settings::resolve(Some(Path::new("/no/such/file.yaml")), [], &Flags::default()).expect_err("missing");
    assert!(
        missing.to_string().starts_with("/no/such/file.yaml: error[unreadable]: the settings cannot be read"),
        "{missing}"
    );
    assert!(refused("").contains("version: is missing"));
    assert!(refused("- a\n").contains("is a list"));
}

#[test]
fn no_text_makes_it_panic() {
    // Prefixes of a file with everything, and files that lack one octet of it.
    for at in (0..FULL.len()).step_by(3) {
        let _ = plain(&FULL[..at]);
        let _ = plain(&format!("{}{}", &FULL[..at], &FULL[at + 1..]));
    }
}
