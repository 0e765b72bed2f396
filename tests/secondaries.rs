//! Foreign secondaries hold the zone that the primary has, record by record.
//!
//! A zone changes a thousand times while BIND, NSD, Knot and `PowerDNS` follow it by NOTIFY, IXFR and AXFR, signed with
//! TSIG. In the end all of them give the same zone to AXFR, byte for byte in presentation format, and it is the one
//! that was written down. The same with Knot as the primary shows that what does not follow is not the secondaries'
//! fault.

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod program;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use conformance::{
    client,
    controls::free_address,
    secondaries::{Duty, KINDS, Kind, Secondary, key},
    tsig::Key,
};
use program::{Killed, Program, Scratch, replace, text, tool};
use rustix::process::{Pid, Signal, kill_process};

const APEX: &str = "follow.test";
/// Changes in all, and how many of them make one new serial.
const CHANGES: usize = 1000;
const AT_ONCE: usize = 20;
/// Serials after which all secondaries must have caught up, before it goes on.
const CHECKED: usize = 10;
/// How long four secondaries may take; retries of a second add up on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn four_secondaries_hold_the_zone_of_mcdns_after_a_thousand_changes() {
    follow(|folder, file, primary, secondaries| {
        let Key { name, algorithm, secret } = *key();
        let name = name.trim_end_matches('.');
        let notify: Vec<String> = secondaries.iter().map(ToString::to_string).collect();
        let settings = folder.join("settings.yaml");
        let content = format!(
            "version: 1\nserve:\n  keys:\n    - {{name: {name}, algorithm: {algorithm}, secret: \"{secret}\"}}\n  zones:\n    \
             - apex: {APEX}\n      transfer: {{keys: [{name}], notify: [{}]}}\n",
            notify.join(", ")
        );
        fs::write(&settings, content).expect("settings");
        let listen = primary.to_string();
        let program = Program::start(&[
            "serve",
            "--settings",
            text(&settings),
            "--listen",
            &listen,
            "--admin",
            "127.0.0.1:0",
            text(file),
        ]);
        Box::new(move || program.signal(Signal::HUP))
    });
}

#[test]
fn four_secondaries_hold_the_zone_of_knot_after_a_thousand_changes() {
    follow(|folder, file, primary, secondaries| {
        let knot = start_knot(folder, file, primary, secondaries);
        Box::new(move || kill_process(Pid::from_child(&knot.0), Signal::HUP).expect("a signal"))
    });
}

/// Has the primary read its master file again.
type Reload = Box<dyn Fn()>;

/// Starts a primary (folder for its files, master file, its address, addresses of the secondaries) and four
/// secondaries, changes the zone, and compares.
fn follow(start: impl FnOnce(&Path, &Path, SocketAddr, &[SocketAddr]) -> Reload) {
    let scratch = Scratch::new();
    let file = scratch.path("follow.test.zone");
    let mut zone = Zone::new();
    replace(&file, &zone.master_file());
    let primary = free_address().expect("a port");
    let addresses = KINDS.map(|_| free_address().expect("a port"));
    let reload = start(&scratch.path(""), &file, primary, &addresses);
    wait(primary, &zone, None);
    let mut secondaries: Vec<Secondary> = KINDS
        .iter()
        .zip(addresses)
        .map(|(kind, address)| Secondary::start(*kind, Duty { apex: APEX, primary, address }).expect("a secondary"))
        .collect();
    for secondary in &mut secondaries {
        wait(secondary.address, &zone, Some(secondary));
    }
    let mut chance = Chance(0x0123_4567_89ab_cdef);
    for round in 1..=CHANGES / AT_ONCE {
        for _ in 0..AT_ONCE {
            zone.change(&mut chance);
        }
        zone.serial += 1;
        replace(&file, &zone.master_file());
        reload();
        wait(primary, &zone, None);
        if round % CHECKED == 0 {
            for secondary in &mut secondaries {
                wait(secondary.address, &zone, Some(secondary));
            }
        }
    }
    let wanted = zone.records();
    assert!(wanted.len() > 200, "{} records are no zone to speak of", wanted.len());
    let ours = client::transfer(primary, APEX, Some(key().name)).expect("the zone of the primary");
    assert_eq!(ours, wanted, "the primary");
    for secondary in &secondaries {
        let theirs = client::transfer(secondary.address, APEX, None).expect("the zone of a secondary");
        assert_eq!(theirs, wanted, "{:?}", secondary.kind);
    }
    let knot = secondaries.iter().find(|secondary| secondary.kind == Kind::Knot).expect("Knot");
    assert!(knot.log().contains("IXFR, incoming"), "nothing came as a difference:\n{}", knot.log());
}

/// Waits until a server has the serial of the zone.
fn wait(address: SocketAddr, zone: &Zone, mut secondary: Option<&mut Secondary>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = client::serial(address, APEX).map_err(|error| error.to_string());
        let gone = secondary.as_deref_mut().is_some_and(Secondary::has_ended);
        match found {
            Ok(serial) if serial == zone.serial => return,
            _ if !gone && Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            _ => panic!(
                "{:?} has {found:?} and not {} in {PATIENCE:?}\n{}",
                secondary.as_ref().map(|secondary| secondary.kind),
                zone.serial,
                secondary.as_ref().map(|secondary| secondary.log()).unwrap_or_default()
            ),
        }
    }
}

/// A zone as text; what is printed is what a transfer is printed as.
struct Zone {
    serial: u32,
    /// TTL and data by owner and type.
    rrsets: BTreeMap<(String, &'static str), (u32, BTreeSet<String>)>,
}

impl Zone {
    fn new() -> Self {
        let mut zone = Self { serial: 1, rrsets: BTreeMap::new() };
        zone.put(format!("{APEX}."), "NS", 3600, &[format!("ns1.{APEX}."), format!("ns2.{APEX}.")]);
        for (index, name) in ["ns1", "ns2"].iter().enumerate() {
            zone.put(format!("{name}.{APEX}."), "A", 3600, &[format!("192.0.2.{}", index + 1)]);
        }
        for host in 0..200 {
            zone.put(format!("h{host}.{APEX}."), "A", 300, &[format!("198.51.100.{host}")]);
        }
        zone
    }

    fn put(&mut self, owner: String, record_type: &'static str, ttl: u32, data: &[String]) {
        self.rrsets.insert((owner, record_type), (ttl, data.iter().cloned().collect()));
    }

    /// One change of any kind.
    fn change(&mut self, chance: &mut Chance) {
        let number = chance.below(150);
        let host = format!("h{}.{APEX}.", chance.below(200));
        let octet = chance.below(256);
        let ttl = 60 * (1 + chance.below(60));
        match chance.below(10) {
            0 | 1 => {
                let (_, data) = self.rrsets.entry((host, "A")).or_insert((300, BTreeSet::new()));
                data.insert(format!("203.0.113.{octet}"));
            }
            2 => {
                if let Some((_, data)) = self.rrsets.get_mut(&(host.clone(), "A")) {
                    data.pop_first();
                    if data.is_empty() {
                        self.rrsets.remove(&(host, "A"));
                    }
                }
            }
            3 => {
                if let Some((old, _)) = self.rrsets.get_mut(&(host, "A")) {
                    *old = ttl;
                }
            }
            4 => self.put(host, "AAAA", ttl, &[format!("2001:db8::{:x}", octet + 1)]),
            5 => self.put(host, "TXT", ttl, &[format!("\"v={octet}; \\\"quoted\\\" \\\\\" \"and more\"")]),
            6 => self.put(format!("*.w{number}.{APEX}."), "MX", ttl, &[format!("{octet} h1.{APEX}.")]),
            7 => self.put(format!("alias{number}.{APEX}."), "CNAME", ttl, &[format!("h{octet}.{APEX}.")]),
            8 => {
                self.put(format!("sub{number}.{APEX}."), "NS", ttl, &[format!("ns.sub{number}.{APEX}.")]);
                self.put(format!("ns.sub{number}.{APEX}."), "A", ttl, &[format!("192.0.2.{octet}")]);
            }
            _ => self.put(format!("x.y.z{number}.{APEX}."), "TYPE65400", ttl, &[format!("\\# 4 0a0000{octet:02x}")]),
        }
    }

    /// The records as a transfer has them.
    fn records(&self) -> Vec<String> {
        let mut records: Vec<String> = Vec::new();
        for ((owner, record_type), (ttl, data)) in &self.rrsets {
            records.extend(data.iter().map(|data| format!("{owner} {ttl} {record_type} {data}")));
        }
        records.sort();
        // Refresh and retry are long, so that what is followed in time was notified.
        let soa = format!("{APEX}. 3600 SOA ns1.{APEX}. hostmaster.{APEX}. {} 3600 600 604800 300", self.serial);
        records.insert(0, soa);
        records
    }

    fn master_file(&self) -> String {
        let mut text = String::new();
        for record in self.records() {
            writeln!(text, "{record}").expect("a String takes everything");
        }
        text
    }
}

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// Knot as a primary that makes differences of what changes in its master file.
fn start_knot(folder: &Path, file: &Path, primary: SocketAddr, secondaries: &[SocketAddr]) -> Killed {
    let Key { name, algorithm, secret } = *key();
    let (home, port) = (folder.display(), primary.port());
    let mut settings = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{home}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n\
         database:\n  storage: \"{home}\"\n\
         key:\n  - id: {name}\n    algorithm: {algorithm}\n    secret: {secret}\n\
         remote:\n"
    );
    let ids: Vec<String> = secondaries.iter().map(|address| format!("to{}", address.port())).collect();
    for (id, address) in ids.iter().zip(secondaries) {
        write!(settings, "  - id: {id}\n    address: 127.0.0.1@{}\n", address.port()).expect("a String");
    }
    write!(
        settings,
        "acl:\n  - id: transfer\n    key: {name}\n    action: transfer\n\
         template:\n  - id: default\n    storage: \"{home}\"\n    semantic-checks: off\n    zonefile-sync: -1\n    \
         zonefile-load: difference\n\
         zone:\n  - domain: {APEX}.\n    file: \"{}\"\n    acl: transfer\n    notify: [{}]\n",
        file.display(),
        ids.join(", ")
    )
    .expect("a String");
    let path = folder.join("knot.conf");
    fs::write(&path, settings).expect("settings");
    let mut command = tool("knotd");
    command.args(["-c", text(&path)]).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(command.spawn().expect("Knot starts"))
}
