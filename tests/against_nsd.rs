//! What is answered is what NSD answers from the same zone.
//!
//! NSD serves the master file that `mcdns records` prints, in which every climbing level is a record of its own; mcdns
//! serves the federation, in which it is not stored at all. Every name of the zone is asked for, its ancestors, and
//! names beside and below it, so that negative answers, empty non-terminals and wildcards are compared too.

mod program;

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Stdio,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, Record, RecordType},
};
use program::{Killed, Program, Scratch, eventually, repository, run, text, tool};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn the_demo_of_two_regions_is_answered_as_nsd_answers_its_zone() {
    compare_demo("deploy/demo/two-regions", "example.com");
}

#[test]
fn the_demo_on_bare_metal_is_answered_as_nsd_answers_its_zone() {
    compare_demo("deploy/demo/bare-metal", "plant.example.net");
}

#[test]
fn the_example_zone_is_answered_as_nsd_answers_it() {
    let file = repository().join("zones/examples/example.com.zone");
    let zone = fs::read_to_string(&file).expect("the example");
    let names = ["www", "a.old", "x.y.apps", "fixed.apps", "below.fixed.apps", "deep", "unknown", "v6only", "no.such"];
    let names = names.iter().map(|name| format!("{name}.example.com.")).collect();
    compare(&Program::serve(&[&file]), &zone, "example.com", &names);
}

fn compare_demo(directory: &str, apex: &str) {
    let directory = repository().join(directory);
    let zone = run(&["records", text(&directory)]).expect_code(0).stdout;
    let names = zone.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    compare(&Program::run(&directory), &zone, apex, &names);
}

/// Asks both the same.
fn compare(program: &Program, zone: &str, apex: &str, names: &BTreeSet<String>) {
    let scratch = Scratch::new();
    let (nsd, port) = start_nsd(&scratch, zone, apex);
    let mut asked = 0;
    for name in around(names, apex) {
        for record_type in [RecordType::A, RecordType::AAAA, RecordType::CNAME, RecordType::NS, RecordType::TXT] {
            let Ok(query) = Name::from_ascii(&name) else { continue };
            let ours = ask(program.server, &query, record_type).expect("an answer of mcdns");
            let theirs = ask(port, &query, record_type).expect("an answer of NSD");
            assert_eq!(ours, theirs, "{name} {record_type}: mcdns, then NSD");
            asked += 1;
        }
    }
    assert!(asked > 200, "{asked} questions are no comparison");
    drop(nsd);
}

/// The names, everything above them in the zone, and names beside and below.
fn around(names: &BTreeSet<String>, apex: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in names {
        let mut rest = name.as_str();
        while rest.len() > apex.len() {
            all.insert(rest.to_owned());
            let Some((first, above)) = rest.split_once('.') else { break };
            all.extend([format!("nothing.{rest}"), format!("*.{rest}"), format!("{first}x.{above}")]);
            rest = above;
        }
    }
    all
}

/// What counts of an answer: RCODE, AA, and the records of both sections in any order.
type Seen = (ResponseCode, bool, Vec<String>, Vec<String>);

fn ask(server: SocketAddr, name: &Name, record_type: RecordType) -> Result<Seen, String> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), record_type));
    let octets = message.to_vec().map_err(|error| error.to_string())?;
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    // Connected, so that a port where nobody listens is told at once.
    socket.connect(server).map_err(|error| error.to_string())?;
    socket.send(&octets).map_err(|error| error.to_string())?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).map_err(|error| error.to_string())?;
    let answer = Message::from_vec(&buffer[..length]).map_err(|error| error.to_string())?;
    let lines = |records: &[Record]| {
        // Serials differ: `records` prints 1, a server counts.
        let mut lines: Vec<String> = records
            .iter()
            .map(|record| match record.record_type() {
                RecordType::SOA => format!("{} {} SOA", record.name, record.ttl),
                _ => record.to_string().to_lowercase(),
            })
            .collect();
        lines.sort();
        lines
    };
    let authoritative = answer.metadata.authoritative;
    Ok((answer.metadata.response_code, authoritative, lines(&answer.answers), lines(&answer.authorities)))
}

/// NSD with this zone, once it answers. Another program may take the port first; then another port is tried.
fn start_nsd(scratch: &Scratch, zone: &str, apex: &str) -> (Killed, SocketAddr) {
    let file = scratch.path("zone");
    fs::write(&file, zone).expect("written");
    let question = Name::from_ascii(format!("{apex}.")).expect("a name");
    for attempt in 0..10 {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let settings = scratch.path(&format!("nsd-{attempt}.conf"));
        fs::write(&settings, nsd_settings(free.port(), scratch.path("").as_path(), &file, apex)).expect("written");
        let mut command = tool("nsd");
        command.args(["-d", "-c", text(&settings)]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nsd = Killed(command.spawn().expect("NSD starts"));
        let mut gone = false;
        eventually("NSD answers or gives up", || {
            gone = nsd.0.try_wait().is_ok_and(|status| status.is_some());
            if gone { Ok(()) } else { quick(free, &question) }
        });
        if !gone {
            return (nsd, free);
        }
    }
    unreachable!("ten free ports were taken by others in between")
}

/// One short question.
fn quick(server: SocketAddr, name: &Name) -> Result<(), String> {
    match ask(server, name, RecordType::SOA)? {
        (ResponseCode::NoError, true, ..) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn nsd_settings(port: u16, folder: &Path, zone: &Path, apex: &str) -> String {
    let folder = folder.display();
    format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  server-count: 1\n  zonesdir: \"{folder}\"\n  \
         database: \"\"\n  pidfile: \"{folder}/nsd.pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  \
         zonelistfile: \"{folder}/zones\"\n  rrl-ratelimit: 0\n  minimal-responses: yes\nremote-control:\n  \
         control-enable: no\nzone:\n  name: \"{apex}\"\n  zonefile: \"{}\"\n",
        zone.display()
    )
}
