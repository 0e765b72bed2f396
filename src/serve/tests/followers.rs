//! BIND, NSD and Knot as secondaries: they are notified, fetch differences, and hold what we hold.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use mcdns_core::{
    answer::{AuthoritativeZone, Entry, Patch, Snapshot, Soa, Zone, ZoneDifference, ZonePatch},
    dns::{OwnerName, RecordType, Rrset},
};
use mcdns_serve::{
    AccessList, Algorithm, Key, KeyRing, Listener, Policy, PolicyStore, Secondary, Server, SnapshotStore, ZonePolicy,
};

use support::{name, snapshot};

const APEX: &str = "example.com";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECRET_BASE64: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const WAIT: Duration = Duration::from_mins(1);

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn of(snapshot: &Snapshot) -> &Arc<AuthoritativeZone> {
    let Some(Zone::Authoritative(zone)) = snapshot.zone(&name(APEX)) else { unreachable!("no zone") };
    zone
}

fn publish(store: &SnapshotStore, names: BTreeMap<OwnerName, Option<Entry>>) {
    let before = Arc::clone(&store.load());
    let old = of(&before);
    let soa = Some(Soa { serial: old.soa().serial.next(), ..old.soa().clone() });
    let patch = ZonePatch { soa, levels: None, names };
    let change = Patch { zones: [(name(APEX), patch.clone())].into(), ..Patch::default() };
    let after = before.apply(&change).expect("a good patch");
    let difference = ZoneDifference::of_patch(old, of(&after), &patch);
    store.transfers().record(Arc::new(difference), of(&after));
    store.store(after);
}

/// An address whose port is free over UDP and TCP, and below those that the system gives to sockets which ask for none:
/// one of those could be taken again before the secondary has it, and it would never come up.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin at different places.
    let first = u16::try_from(std::process::id() % 15_000).expect("it is small");
    let candidates = std::iter::repeat_with(|| 15_000 + (first + NEXT.fetch_add(1, Relaxed)) % 15_000);
    let addresses = candidates.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut free = addresses.filter(|address| UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok());
    free.next().expect("there is no end of candidates")
}

/// All records that a server gives out, as dig prints them.
fn whole(server: SocketAddr, algorithm: Algorithm) -> BTreeSet<String> {
    let port = server.port().to_string();
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+time=2", "+tries=1", "-y"])
        .arg(format!("{algorithm}:transfer-key:{SECRET_BASE64}"))
        .args([APEX, "AXFR"])
        .output()
        .expect("dig runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';') && !line.contains("TSIG"));
    records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn follow(
    algorithm: Algorithm,
    settings: impl FnOnce(&str, u16, u16) -> String,
    command: impl FnOnce(&str) -> Command,
) {
    let folder = Folder(std::env::temp_dir().join(format!("mcdns-{}-{}", std::process::id(), free_port().port())));
    fs::create_dir_all(&folder.0).expect("a folder");
    let secondary = free_port();
    let key = Key::new(name("transfer-key"), algorithm, SECRET);
    let notify = vec![Secondary { address: secondary, key: Some(name("transfer-key")), source: None }];
    let other_zones = ZonePolicy { transfer: AccessList::loopback(), notify };
    let policy = PolicyStore::new(Policy { other_zones, keys: KeyRing::new([key]), ..Policy::default() });
    let store =
        Arc::new(SnapshotStore::new(snapshot(&[(APEX, "@ NS ns1\nns1 A 192.0.2.1\nweb A 192.0.2.1\nweb climb")])));
    let names = (0..2_000_u32).map(|number| {
        let rrset = Rrset::new(RecordType::A, 60, vec![number.to_be_bytes().into()]);
        (name(&format!("svc{number}.ns{}.svc.{APEX}", number % 50)), Some(Entry::fixed(vec![rrset])))
    });
    publish(&store, names.collect());
    let listener = [Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))];
    let server = Server::bind(&listener, 1, &store, &policy).expect("a free port");
    let primary = server.addresses()[0];

    let path = folder.0.to_str().expect("a path");
    let file = folder.0.join("settings");
    fs::write(&file, settings(path, secondary.port(), primary.port())).expect("written");
    let mut command = command(file.to_str().expect("a path"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Killed(command.spawn().expect("the secondary starts"));
    let until_same = || {
        let end = Instant::now() + WAIT;
        loop {
            let (ours, theirs) = (whole(primary, algorithm), whole(secondary, algorithm));
            if ours == theirs && ours.len() > 2_000 {
                return;
            }
            assert!(Instant::now() < end, "{} records here, {} there", ours.len(), theirs.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until_same();
    let transferred = store.transfers().totals();
    for step in 0..100_u32 {
        let names = (0..3).map(|at| {
            let number = (step * 37 + at * 11) % 2_100;
            let rrset = Rrset::new(RecordType::A, 60 + step % 3, vec![(step + at).to_be_bytes().into()]);
            let entry = Entry { rrsets: vec![rrset], climb: (number % 5 == 0).then_some(30) };
            (name(&format!("svc{number}.ns{}.svc.{APEX}", number % 50)), (step % 4 != 3).then_some(entry))
        });
        publish(&store, names.collect());
        std::thread::sleep(Duration::from_millis(20));
    }
    until_same();
    let totals = store.transfers().totals();
    assert!(totals.incremental > transferred.incremental, "by differences: {totals:?}");
    assert!(
        server.vitals().notifications().totals().acknowledged > 0,
        "{:?}",
        server.vitals().notifications().totals()
    );
}

/// Its settings know cut algorithms by names that it does not write.
#[rstest::rstest]
#[case(Algorithm::HmacSha256)]
#[case(Algorithm::HmacSha256_128)]
#[case(Algorithm::HmacSha384_192)]
#[case(Algorithm::HmacSha512_256)]
fn bind_follows_by_differences_signed(#[case] algorithm: Algorithm) {
    let settings = |folder: &str, port: u16, primary: u16| {
        format!(
            "options {{\n  directory \"{folder}\";\n  pid-file none;\n  session-keyfile none;\n  \
             listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  recursion no;\n  notify no;\n  \
             dnssec-validation no;\n  empty-zones-enable no;\n  serial-query-rate 1000;\n}};\ncontrols {{ }};\n\
             key transfer-key {{ algorithm {algorithm}; secret \"{SECRET_BASE64}\"; }};\n\
             zone \"{APEX}\" {{\n  type secondary;\n  file \"zone\";\n  \
             primaries {{ 127.0.0.1 port {primary} key transfer-key; }};\n  allow-notify {{ key transfer-key; }};\n  \
             allow-transfer {{ key transfer-key; }};\n  request-ixfr yes;\n}};\n"
        )
    };
    follow(algorithm, settings, |file| {
        let mut bind = Command::new("/usr/sbin/named");
        bind.args(["-f", "-n", "1", "-c", file]);
        bind
    });
}

#[test]
fn nsd_follows_by_differences_signed() {
    let settings = |folder: &str, port: u16, primary: u16| {
        format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  server-count: 1\n  zonesdir: \"{folder}\"\n  \
             database: \"\"\n  pidfile: \"{folder}/nsd.pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  xfrdir: \"{folder}\"\n  \
             zonelistfile: \"{folder}/zones\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nkey:\n  \
             name: transfer-key\n  algorithm: hmac-sha256\n  secret: \"{SECRET_BASE64}\"\nzone:\n  name: \"{APEX}\"\n  \
             zonefile: \"{folder}/zone\"\n  allow-notify: 127.0.0.1 transfer-key\n  \
             request-xfr: 127.0.0.1@{primary} transfer-key\n  provide-xfr: 127.0.0.1 transfer-key\n"
        )
    };
    follow(Algorithm::HmacSha256, settings, |file| {
        let mut nsd = Command::new("/usr/sbin/nsd");
        nsd.args(["-d", "-c", file]);
        nsd
    });
}

#[test]
fn knot_follows_by_differences_signed() {
    let settings = |folder: &str, port: u16, primary: u16| {
        format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{folder}\"\n  pidfile: \"{folder}/knot.pid\"\n\
             database:\n  storage: \"{folder}\"\n  journal-db-max-size: 64M\n  timer-db-max-size: 16M\n  \
             kasp-db-max-size: 16M\n  catalog-db-max-size: 16M\n\
             key:\n  - id: transfer-key\n    algorithm: hmac-sha256\n    secret: {SECRET_BASE64}\n\
             remote:\n  - id: primary\n    address: 127.0.0.1@{primary}\n    key: transfer-key\n\
             acl:\n  - id: all\n    address: 127.0.0.1\n    key: transfer-key\n    action: [notify, transfer]\n\
             zone:\n  - domain: {APEX}\n    storage: \"{folder}\"\n    master: primary\n    acl: all\n"
        )
    };
    follow(Algorithm::HmacSha256, settings, |file| {
        let mut knot = Command::new("/usr/sbin/knotd");
        knot.args(["-c", file]);
        knot
    });
}
