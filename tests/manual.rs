//! The manual says what the program does: tables and examples in it are held against the code.
//!
//! `UPDATE_GOLDENS=1 cargo test --test manual` writes the generated table anew.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may say what it expects")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use mcdns::{
    admin::{
        self, Admin,
        host_metrics::{collect_sources, collect_writer},
        publish_metrics::collect_publishers,
        webhook_metrics::collect_webhook,
    },
    federation::Federation,
    settings::{Flags, Settings},
};
use mcdns_control::{
    EventCounts, Leadership, WriterReport,
    join::objects::{HEALTH_PATHS, READ, READ_VERBS},
};
use mcdns_core::{check::FindingCode, model::Timestamp, records::Options};
use mcdns_publish::ZoneReport;
use mcdns_serve::{Dnstap, DnstapOutput, Listener, PolicyStore, Server};
use mcdns_sources::kubernetes::{ClusterReport, HealthMode, HealthReport, KindReport, Report};
use mcdns_state::HistoryLimits;

/// Patience for an answer on the loopback interface.
const PATIENCE: Duration = Duration::from_secs(10);

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> PathBuf {
    top().join("src/manual").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the line that starts with `<!-- name` and the next `<!-- end -->`.
fn marked<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let start = text.find(&format!("<!-- {name}")).expect("the mark");
    let start = start + text[start..].find('\n').expect("a line") + 1;
    let end = start + text[start..].find("<!-- end -->").expect("the end mark");
    (&text[..start], &text[start..end], &text[end..])
}

/// First cells of the rows of all tables that stand in code form.
fn first_cells(text: &str) -> BTreeSet<String> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(cell, _)| cell.to_owned()).collect()
}

#[test]
fn the_table_of_findings_is_that_of_the_code() {
    let path = page("findings.md");
    let text = read(&path);
    let (before, written, after) = marked(&text, "generated: findings");
    let mut table = "\n| code | severity | means |\n|---|---|---|\n".to_owned();
    for code in FindingCode::ALL {
        let explanation = code.explanation();
        writeln!(table, "| `{}` | {} | {explanation} |", code.as_str(), code.severity()).expect("a string takes it");
    }
    table.push('\n');
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, format!("{before}{table}{after}")).expect("the page is written");
        return;
    }
    assert_eq!(written, table, "run UPDATE_GOLDENS=1 cargo test --test manual");
}

#[test]
fn the_permissions_of_the_manual_are_those_that_join_gives() {
    let text = read(&page("members.md"));
    let (_, written, _) = marked(&text, "generated: permissions");
    let code = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>();
    let mut table = "| where | what | verbs |\n|---|---|---|\n".to_owned();
    for (groups, resources) in READ {
        let of = match groups {
            [""] => String::new(),
            groups => format!(" of {}", code(groups).join(" and ")),
        };
        let (what, verbs) = (code(resources).join(", "), READ_VERBS.join(", "));
        writeln!(table, "| everywhere | {what}{of} | {verbs} |").expect("a string takes it");
    }
    writeln!(table, "| paths | {} | get |", code(HEALTH_PATHS).join(", ")).expect("a string takes it");
    table.push_str("| system namespace | `serviceaccounts/token` of its own ServiceAccount | create |\n");
    assert_eq!(written, table);
}

#[test]
fn every_flag_of_join_is_in_the_manual() {
    let text = read(&page("members.md"));
    let mut command = <mcdns::args::Arguments as clap::CommandFactory>::command();
    let join = command.find_subcommand_mut("join").expect("the command");
    for argument in join.get_arguments().filter(|argument| !argument.is_global_set()) {
        if let Some(flag) = argument.get_long().filter(|flag| !["output", "help"].contains(flag)) {
            assert!(text.contains(&format!("`--{flag}")), "--{flag} is not in the manual");
        }
    }
}

#[test]
fn every_code_and_reason_in_the_rule_book_exists() {
    let rules = read(&page("names-and-levels.md"));
    let codes: BTreeSet<&str> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
    let words = rules.split('`').skip(1).step_by(2);
    let written: Vec<&str> = words
        .filter(|word| {
            codes.contains(word)
                || word.contains('-') && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
        })
        .filter(|word| !matches!(*word, "kube-federation-system"))
        .collect();
    let unknown: Vec<_> = written.iter().filter(|word| !codes.contains(*word)).collect();
    assert!(unknown.is_empty(), "no such finding: {unknown:?}");
    // What is about records, Domains and clusters has its rule; files, settings and zones have pages of their own.
    let elsewhere = |code: &str| {
        code.starts_with("zone-")
            || code.starts_with("delegation-")
            || code.starts_with("skydns-")
            || code.starts_with("publish")
            || ["short-secret", "next-start", "not-published"].contains(&code)
            || ["refused-setting", "unreadable", "syntax", "wrong-object", "unknown-version", "duplicate-object"]
                .contains(&code)
            || ["empty-federation", "misplaced", "member-without-cluster"].contains(&code)
    };
    let missing: Vec<_> = codes.iter().filter(|code| !elsewhere(code) && !written.contains(code)).collect();
    assert!(missing.is_empty(), "no rule says {missing:?}");
    let source = read(&top().join("src/core/records/status.rs"));
    for reason in
        rules.split('`').skip(1).step_by(2).filter_map(|word| word.split_once('/')).filter_map(|(condition, reason)| {
            (condition.ends_with("=True") || condition.ends_with("=False")).then_some(reason)
        })
    {
        assert!(source.contains(&format!("\"{reason}\"")), "no such reason: {reason}");
    }
}

#[test]
fn the_settings_example_is_accepted_and_no_key_is_left_out() {
    let text = read(&page("settings.md"));
    let (_, example, _) = marked(&text, "example");
    let yaml = example.trim().strip_prefix("```yaml").and_then(|rest| rest.strip_suffix("```")).expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mcdns.yaml");
    fs::write(&file, yaml).expect("written");
    let settings = Settings::resolve(Some(&file), std::iter::empty(), &Flags::default());
    let settings = settings.unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(settings.zones.len(), 1);

    let defaults = Settings::resolve(None, std::iter::empty(), &Flags::default()).expect("defaults");
    let cells = first_cells(&text);
    for line in defaults.describe().lines() {
        let key = line.split_whitespace().next().expect("a key");
        assert!(cells.contains(key), "the manual has no row for {key}");
        // A key of a table may be written in one line with those above it, but it must be there.
        let last = key.rsplit('.').next().expect("a part");
        assert!(yaml.contains(&format!("{last}:")), "the example does not have {key}");
    }
}

#[test]
fn the_settings_that_the_chart_renders_are_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let goldens = fs::read_dir(top().join("tests/golden/chart")).expect("goldens");
    let mut accepted = 0;
    for golden in goldens {
        let golden = golden.expect("an entry").path();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&read(&golden)).expect("YAML");
        let texts = objects.iter().filter_map(|object| object["data"]["settings.yaml"].as_str());
        let [text] = texts.collect::<Vec<_>>()[..] else { panic!("{}: one settings file", golden.display()) };
        let file = folder.path().join("settings.yaml");
        fs::write(&file, text).expect("written");
        match Settings::resolve(Some(&file), std::iter::empty(), &Flags::default()) {
            Ok(settings) => {
                assert!(settings.state_dir.value.is_some(), "{}", golden.display());
                accepted += 1;
            }
            // Files that a Secret brings are not here.
            Err(refused) => {
                let text = refused.to_string();
                let errors = text.lines().filter(|line| line.contains("error["));
                let odd: Vec<_> =
                    errors.filter(|line| !line.contains("/etc/mcdns/") && !line.contains("kubeconfig")).collect();
                assert!(odd.is_empty(), "{}: {odd:?}", golden.display());
            }
        }
    }
    assert!(accepted >= 3, "{accepted} settings files are too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_the_manual_are_those_of_the_program() {
    let federation = Federation::new(Options::default(), HistoryLimits::default());
    let listeners = [Listener::plain("127.0.0.1:0".parse().expect("an address"))];
    let server = Server::bind(&listeners, 1, federation.store(), &PolicyStore::default());
    let server = server.expect("a server");
    let store = federation.store().clone();
    // Some metrics are there only where dnstap is on; nobody listens to it.
    let folder = tempfile::tempdir().expect("a folder");
    let dnstap = Dnstap {
        output: DnstapOutput::Socket(folder.path().join("nobody")),
        sample: NonZeroU32::MIN,
        identity: None,
        version: None,
        queries: true,
        responses: true,
    };
    server.counters().taps().set(None, Some(&dnstap)).expect("a thread");
    let admin = Admin::new(store, &server, Some(Arc::new(Mutex::new(federation)))).expect("an admin port");
    // Others are there only where Kubernetes is observed.
    let kind = KindReport { heard: Some(Timestamp(0)), ..KindReport::default() };
    let host = ClusterReport { kinds: vec![kind], health: Some(health()), ..ClusterReport::default() };
    let report = Report { host, ..Report::default() };
    admin.metrics().add(move |families| collect_sources(&report, 0, families));
    let writer = writer_report();
    admin.metrics().add(move |families| collect_writer(&writer, families));
    // And others where something is published, or external-dns publishes here.
    admin.metrics().add(|families| collect_publishers(&[zone_report()], families));
    admin.metrics().add(|families| collect_webhook(&[(("/records", "ok"), 1)].into(), 0, families));
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = admin::bind(address, true).await.expect("a port").expect("that was asked for");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(admin::serve(listener, Arc::new(admin)));
    let dns = server.addresses()[0];
    let exposition = tokio::task::spawn_blocking(move || {
        // One answer, so that the metric with a label for RCODEs has a line.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        socket.send_to(b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01", dns).expect("sent");
        socket.recv(&mut [0; 512]).expect("an answer");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an exposition");
        text
    });
    let exposition = exposition.await.expect("no panic");
    task.abort();
    let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let exposed: BTreeSet<String> = types.map(str::to_owned).collect();
    let written = first_cells(&read(&page("commands.md")));
    let written: BTreeSet<String> = written.into_iter().filter(|cell| cell.starts_with("mcdns_")).collect();
    assert!(exposed.len() > 10, "{exposition}");
    assert_eq!(written, exposed);
}

fn health() -> HealthReport {
    let (mode, why) = (HealthMode::Own, String::new());
    HealthReport { mode, why, outcome: None, probed: None, written_counts: false }
}

fn zone_report() -> ZoneReport {
    ZoneReport {
        publisher: "tries".to_owned(),
        zone: "example.com".parse().expect("a name"),
        leading: true,
        in_sync: true,
        pending: 0,
        published: 0,
        quarantined: Vec::new(),
        held: Vec::new(),
        skipped: Vec::new(),
        last_error: None,
        last_error_kind: None,
        changes: 0,
        calls: 0,
        comparisons: 0,
    }
}

fn writer_report() -> WriterReport {
    WriterReport {
        leadership: Leadership::Follower { holder: None },
        waiting: [("answers", 0), ("refresh", 0), ("status", 0)],
        in_flight: 0,
        oldest: None,
        writes: BTreeMap::from([(("status", "written"), 1)]),
        stopped: Vec::new(),
        problems: BTreeMap::new(),
        events: EventCounts::default(),
    }
}

#[test]
fn the_permissions_at_aws_are_those_of_the_policy_on_file() {
    let text = read(&page("eks.md"));
    let policy = read(&top().join("deploy/aws/route53-policy.json"));
    let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().expect("actions"));
    let allowed: BTreeSet<String> = actions.map(|action| action.as_str().expect("an action").to_owned()).collect();
    let told = first_cells(&text).into_iter().filter(|cell| cell.starts_with("route53:"));
    assert_eq!(told.collect::<BTreeSet<_>>(), allowed);
    for trust in ["trust-pod-identity.json", "trust-service-account.json"] {
        let json: serde_json::Value = serde_json::from_str(&read(&top().join("deploy/aws").join(trust))).expect("JSON");
        assert_eq!(json["Statement"][0]["Effect"], "Allow", "{trust}");
        assert!(text.contains(trust), "{trust}");
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut pages = vec![top().join("README.md")];
    for folder in [page(""), page("decisions")] {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut count = 0;
    for file in &pages {
        let text = read(file);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let defined = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
        for target in inline.chain(defined.map(|(_, target)| target)) {
            let path = target.split('#').next().expect("a first part");
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(file.with_file_name(path).exists(), "{}: {target} is not there", file.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} links are too few to be all");
}

#[test]
fn every_page_is_in_the_documentation() {
    let index = read(&page("mod.rs"));
    for (folder, prefix) in [(page(""), ""), (page("decisions"), "decisions/")] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
                assert!(index.contains(&format!("\"{prefix}{name}\"")), "{prefix}{name} is not in mod.rs");
                // Rust is what rustdoc takes a block for that does not say what it is.
                let text = read(&path);
                let fences = text.lines().filter(|line| line.starts_with("```")).step_by(2);
                assert_eq!(fences.filter(|line| *line == "```").count(), 0, "{name} has a block without a language");
            }
        }
    }
}
