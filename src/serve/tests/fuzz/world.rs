//! Zones, policies, listeners and keys that requests meet.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
    time::Duration,
};

use mcdns_core::{
    answer::{AuthoritativeZone, Patch, Snapshot, ZoneDifference, ZonePatch},
    dns::{OwnerName, Serial},
};
use mcdns_serve::{
    AccessList, AccessRule, Algorithm, Clock, Condition, CookieSecrets, Key, KeyRing, ListenerOptions, Policy,
    Responder, TransferHistory, ZonePolicy,
};

use crate::support;

/// 2023-11-14.
pub(crate) const NOW: u64 = 1_700_000_000;
/// Labels of names that are asked for: those of the zones, and near misses.
pub(crate) const LABELS: &[&str] = &[
    "a",
    "b",
    "d",
    "x",
    "y",
    "www",
    "us",
    "jp",
    "us-a",
    "us-b",
    "jp-a",
    "*",
    "ns",
    "ns1",
    "dark",
    "mail7",
    "many",
    "mx",
    "srv",
    "svc",
    "odd",
    "text",
    "loop",
    "far",
    "deep",
    "e",
    "long",
    "ww",
    "wwww",
    "_sip",
    "_tcp",
    "version",
    "id",
    "server",
    "hostname",
    "far-0123456789012345678901234567890123456789",
    "c",
];
/// Names that are asked for, relative to `example.com`: those that there are, and names at, below and beside them.
pub(crate) const NAMES: &[&str] = &[
    "",
    "",
    "www",
    "mx",
    "srv",
    "_sip._tcp",
    "_tcp",
    "svc",
    "odd",
    "text",
    "loop",
    "e.loop",
    "far",
    "many.far",
    "many",
    "c",
    "c3.c",
    "c19.c",
    "c20.c",
    "a.b",
    "z.b",
    "b",
    "x",
    "ns.x",
    "a.x",
    "y",
    "w.y",
    "us",
    "a.us",
    "www.us-a.us",
    "www.us",
    "www.jp-a.jp",
    "us-a.us",
    "jp",
    "d.jp",
    "dark.d",
    "z.d",
    "www.us-a.d",
    "d",
    "mail7.d",
    "mail119.d",
    "a.mail7.d",
    "z.e",
    "*.e",
    "e",
    "z.z.e",
    "z.*.e",
    "c.deep",
    "a.c.deep",
    "deep",
    "z.deep",
    "long",
    "z.long",
    "ns1",
    "changed2",
];
/// Apexes in wire format, the first the most often; behind them names that clients ask for in class CH.
pub(crate) const APEXES: &[&[u8]] = &[
    b"\x07example\x03com\0",
    b"\x07example\x03com\0",
    b"\x07example\x03com\0",
    b"\x07example\x03com\0",
    b"\x05other\x04test\0",
    b"\x05other\x04test\0",
    b"\x01d\x05other\x04test\0",
    b"\x07version\x04bind\0",
    b"\x02id\x06server\0",
];
/// How many of each a [`World`] has.
pub(crate) const SNAPSHOTS: usize = 3;
pub(crate) const POLICIES: usize = 5;
pub(crate) const LISTENERS: usize = 4;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const COOKIES: CookieSecrets = CookieSecrets { current: *b"0123456789abcdef", other: Some([3; 16]) };

/// Keys of clients: those of the ring; then one that may cut its MACs, one that is not known, and one whose secret is
/// another.
pub(crate) static KEYS: LazyLock<Vec<Arc<Key>>> = LazyLock::new(|| {
    let good = ring_keys();
    let unknown = Key::new(support::name("unknown"), Algorithm::HmacSha256, SECRET);
    let wrong = Key::new(support::name(Algorithm::HmacSha256.name()), Algorithm::HmacSha256, *b"wrong");
    let short = wrong.clone().with_mac_length(16).expect("a good length");
    good.into_iter().chain([unknown, wrong, short]).map(Arc::new).collect()
});

/// All that decides an answer but the request.
pub(crate) struct World {
    pub(crate) snapshots: Vec<Served>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) listeners: Vec<ListenerOptions>,
    history: Arc<TransferHistory>,
}

/// A snapshot with its apexes in wire format.
pub(crate) struct Served {
    pub(crate) snapshot: Snapshot,
    pub(crate) apexes: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let history = Arc::<TransferHistory>::default();
        let snapshots = vec![
            served(&[("example.com", &example()), ("other.test", OTHER), ("d.other.test", BELOW)], &history),
            served(&[(".", &format!("{ROOT}{}", example()))], &history),
            served(&[], &history),
        ];
        Self { snapshots, policies: policies(), listeners: listeners(), history }
    }

    /// A responder for each listener.
    pub(crate) fn responders(&self) -> Vec<Responder> {
        let responder = |options: &ListenerOptions| {
            Responder::with_clock(options.clone(), Clock::new(|| NOW)).with_transfers(Arc::clone(&self.history))
        };
        self.listeners.iter().map(responder).collect()
    }
}

const OTHER: &str = "@ NS ns1\n*.d A 192.0.2.7\nwww.a CNAME dark.www.us-a.us.example.com.\nmany CNAME many.example.com.\n\
                     x climb\n*.y climb\nloop CNAME loop.example.com.\n* MX 10 mail7.d.example.com.";
const BELOW: &str = "@ NS ns.b.example.com.\n* CNAME a.b.us.example.com.\nwww A 192.0.2.8\nwww HTTPS 1 .";
const ROOT: &str = "com NS ns.com\nns.com A 192.0.2.90\nns.com AAAA 2001:db8::90\n";

/// A zone with something of everything.
fn example() -> String {
    let mut zone = String::from(
        "@ NS ns1\n@ NS ns.d\n@ MX 10 mail7.d\nns1 A 192.0.2.53\nns1 AAAA 2001:db8::53\nwww A 192.0.2.1\nwww AAAA 2001:db8::1\n\
         www climb\n*.d CNAME many\n*.d climb\na.b CNAME www.d.us-a.us\nx NS ns.x\nx NS ns1\nx DS 1 8 1 0123456789abcdef0123456789abcdef01234567\nns.x A 192.0.2.2\n\
         ns.x AAAA 2001:db8::2\ny NS ns.d.x\ny NS nowhere.example.net.\nus DNAME jp\ndark.d climb\njp.d CNAME jp.d\n\
         b DNAME d.other.test.\nmx MX 10 mail7.d\nmx MX 20 mail7.d\nmx MX 30 www\nmx MX 40 *.e\nmx MX 50 mx\n\
         srv SRV 1 2 53 mail7.d\nsrv SRV 1 2 5353 mail7.d\n_sip._tcp SRV 0 0 5060 www\nsvc HTTPS 1 . alpn=h2\n\
         svc SVCB 1 www port=53\nodd TYPE65280 \\# 3 010203\nodd CAA 0 issue \"x\"\nodd NAPTR 1 1 \"u\" \"x\" \"\" .\n\
         odd PTR www\n*.e A 192.0.2.4\n*.e TXT wild\n*.e MX 1 a.e\na.c.deep A 192.0.2.5\nloop CNAME loop.other.test.\n\
         e.loop CNAME e.loop\nlong DNAME far-0123456789012345678901234567890123456789.d.e.x.y\ntext TXT \"\" a\n",
    );
    for n in 0..120 {
        let _ = write!(zone, "many A 10.0.0.{n}\nmany MX {n} mail{n}.d\nmail{n}.d A 10.1.0.{n}\n");
    }
    // More than one message of a transfer, and more than a pointer reaches in one answer.
    for n in 0..90 {
        let _ = writeln!(zone, "far TXT \"{n:03} {}\"", "t".repeat(240));
    }
    zone.push_str("many.far CNAME far\nfar MX 1 www\n");
    // A chain of as many names as are followed, and more.
    for n in 0..20 {
        let _ = writeln!(zone, "c{n}.c CNAME c{}.c", n + 1);
    }
    zone.push_str("c CNAME c0.c\nc20.c A 192.0.2.20\n");
    zone
}

/// The zones, each at serial 4 with the differences that led there from 1.
fn served(zones: &[(&str, &str)], history: &TransferHistory) -> Served {
    let apexes = zones.iter().map(|(apex, _)| support::name(apex).as_wire().to_vec()).collect();
    let mut snapshot = support::snapshot(zones);
    for (apex, _) in zones {
        let apex = support::name(apex);
        for serial in 2..5 {
            let before = zone_of(&snapshot, &apex);
            let mut soa = before.soa().clone();
            soa.serial = Serial(serial);
            let changed =
                support::zone(&apex.fqdn(), &format!("changed A 192.0.2.{serial}\nchanged{serial} A 192.0.2.1")).1;
            let patch = ZonePatch { soa: Some(soa), levels: None, names: changed.names };
            let patch = Patch { zones: BTreeMap::from([(apex.clone(), patch)]), ..Patch::default() };
            snapshot = snapshot.apply(&patch).expect("a good patch");
            let after = zone_of(&snapshot, &apex);
            history.record(Arc::new(ZoneDifference::between(&before, &after)), &after);
        }
    }
    Served { snapshot, apexes }
}

fn zone_of(snapshot: &Snapshot, apex: &OwnerName) -> Arc<AuthoritativeZone> {
    let zone = snapshot.authoritative(apex).expect("the zone");
    Arc::clone(zone)
}

fn ring_keys() -> Vec<Key> {
    let keys = Algorithm::ALL.map(|algorithm| Key::new(support::name(algorithm.name()), algorithm, SECRET));
    let cut = Key::new(support::name("cut"), Algorithm::HmacSha256, SECRET).with_mac_length(20).expect("a good length");
    let labels = ["a", "b", "c"].map(|letter| letter.repeat(63)).join(".");
    let long = Key::new(support::name(&format!("{labels}.key")), Algorithm::HmacSha512, SECRET);
    keys.into_iter().chain([cut, long]).collect()
}

fn policies() -> Vec<Policy> {
    let anybody = ZonePolicy {
        transfer: AccessList { rules: vec![AccessRule { networks: Vec::new(), keys: Vec::new() }] },
        notify: Vec::new(),
    };
    let keys = KeyRing::new(ring_keys());
    let full = Policy {
        nsid: Some(b"ns1".as_slice().into()),
        version: Some("version".into()),
        identity: Some("i".repeat(600).into()),
        cookies: Some(COOKIES),
        keys,
        other_zones: anybody,
        ..Policy::default()
    };
    let long = Policy { nsid: Some(vec![b'n'; 900].into()), version: Some("".into()), cookies: None, ..full.clone() };
    vec![
        full.clone(),
        Policy::default(),
        long,
        Policy { condition: Condition::NotReady, ..full.clone() },
        Policy { condition: Condition::Stale, ..full },
    ]
}

fn listeners() -> Vec<ListenerOptions> {
    let plain = ListenerOptions::default();
    vec![
        plain.clone(),
        ListenerOptions { udp_payload: 512, idle: Duration::from_hours(10), ..plain.clone() },
        ListenerOptions { udp_payload: 4096, idle: Duration::ZERO, ..plain.clone() },
        ListenerOptions { udp_payload: 1400, transfers: false, ..plain },
    ]
}
