//! Load and abuse over UDP: floods, reloads under load, forged messages, rate limiting, the end under load.
//!
//! Wherever nothing may be lost, "nothing" means nothing that the kernel delivered: its own count of datagrams that it
//! had no room for is the only excuse. Rates are those that a debug build answers beside other work on two cores;
//! what the server can do at most is measured by `cargo xtask bench dns`.

#![allow(clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::cast_precision_loss, reason = "rates are small")]

mod program;

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, UdpSocket},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hickory_proto::{op::Message, rr::RData};
use program::{
    PATIENCE, Program, Scratch, eventually,
    load::{Check, Tally, Tcp, Udp, connect, framed, query, read_framed},
    replace, text,
};
use rustix::process::Signal;

const A: u16 = 1;
const SOA: u16 = 6;
/// One socket each; the kernel spreads them over the threads of the server.
const EIGHT: [Ipv4Addr; 8] = [Ipv4Addr::LOCALHOST; 8];
/// Queries a second under which things happen that must not disturb them.
const RATE: u32 = 2_000;

/// One load at a time: two would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A master file for `load.example` whose records all tell the generation they are of, 0 to 255: `www` has two
/// addresses, and `chain` leads to them over a name that this generation alone has.
fn zone(generation: u32) -> String {
    format!(
        "$ORIGIN load.example.\n$TTL 60\n@ SOA ns1 hostmaster {serial} 3600 600 604800 30\n@ NS ns1\nns1 A 192.0.2.1\n\
         www A 10.1.{generation}.1\nwww A 10.2.{generation}.2\nchain CNAME of-{generation}\n\
         of-{generation} A 10.1.{generation}.1\nof-{generation} A 10.2.{generation}.2\n*.wild A 192.0.2.7\n",
        serial = 1_000 + generation
    )
}

struct Served {
    /// Keeps the folder.
    _scratch: Scratch,
    file: PathBuf,
    program: Program,
}

fn serve(settings: &str) -> Served {
    let scratch = Scratch::new();
    let file = scratch.path("load.example.zone");
    fs::write(&file, zone(0)).expect("written");
    let path = scratch.path("settings.yaml");
    fs::write(&path, format!("version: 1\n{settings}")).expect("written");
    let arguments =
        ["serve", text(&file), "--settings", text(&path), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::start(&arguments);
    Served { _scratch: scratch, file, program }
}

/// Always the same chance (splitmix64).
fn chance(number: u64) -> u64 {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Waits until every query that was counted is counted as answered or dropped as well; says how many there were.
#[track_caller]
fn assert_adds_up(program: &Program, transport: &str) -> u64 {
    let labels = format!("transport=\"{transport}\"");
    let count = |name: &str| program.metric(&format!("mcdns_dns_{name}_total"), &labels);
    // A query is counted a moment before its answer.
    eventually("the counters add up", || {
        let (queries, answers) = (count("queries"), count("answers") + count("transfers"));
        let rest = count("dropped") + count("panics");
        if queries == answers + rest { Ok(queries) } else { Err(format!("{queries} are not {answers} and {rest}")) }
    })
}

/// Half the names exist by a wildcard, half do not.
fn random_subdomain(number: u64) -> Vec<u8> {
    let below = if is_wild(number) { ".wild.load.example" } else { ".load.example" };
    let labels = (0..=chance(number) % 3).map(|label| format!("{:x}", chance(number ^ (label + 1) << 40)));
    query(0, &(labels.collect::<Vec<_>>().join(".") + below), A)
}

fn is_wild(number: u64) -> bool {
    chance(number) & 1 << 20 != 0
}

fn is_right_for_subdomain(number: u64, answer: &[u8]) -> Result<(), String> {
    // AA, RCODE, and numbers of records; then of some what they say.
    let found = (answer[2] & 0x04, answer[3] & 0x0f, answer[7], answer[9]);
    let wanted = if is_wild(number) { (4, 0, 1, 0) } else { (4, 3, 0, 1) };
    let address_is_right = !is_wild(number) || answer.ends_with(&[192, 0, 2, 7]);
    if found != wanted || !address_is_right {
        return Err(format!("{number}: {found:?} instead of {wanted:?}"));
    }
    if number.is_multiple_of(64) {
        let message = Message::from_vec(answer).map_err(|error| error.to_string())?;
        if let Some(record) = message.authorities.first()
            && record.name.to_string() != "load.example."
        {
            return Err(format!("SOA of {}", record.name));
        }
    }
    Ok(())
}

#[test]
fn a_flood_of_random_subdomains_is_answered_without_loss_and_without_a_trace_in_memory() {
    /// What memory may grow by in the second part of the flood. 30,000 names and more that left 32 octets each behind
    /// would be as much.
    const GROWTH: u64 = 1 << 20;
    /// A leak of 32 octets for each shows with so many.
    const ENOUGH: u64 = 30_000;
    let _alone = alone();
    let Served { program, .. } = serve("");
    // As fast as the answers come back.
    let flood = Udp::start(program.server, &EIGHT, 1_000_000, random_subdomain, || Box::new(is_right_for_subdomain));
    // All that is made at the first use is there.
    eventually("the flood flows", || if flood.answered() > 2_000 { Ok(()) } else { Err(flood.answered()) });
    let before = program.memory();
    thread::sleep(Duration::from_secs(2));
    eventually("there were many", || if flood.answered() > ENOUGH { Ok(()) } else { Err(flood.answered()) });
    let after = program.memory();
    let tally = flood.stop();
    let dropped = program.kernel_drops();
    tally.assert_whole(dropped);
    assert!(after < before + GROWTH, "from {before} to {after} octets by {} queries", tally.answered);

    assert_eq!(assert_adds_up(&program, "udp"), tally.answered);
    let of_zone = |outcome: &str| {
        program.metric("mcdns_dns_zone_answers_total", &format!("zone=\"load.example\",outcome=\"{outcome}\""))
    };
    let (found, missing) = (of_zone("answer"), of_zone("nxdomain"));
    assert_eq!(found + missing, tally.answered, "{found} found, {missing} missing");
    program.stop().expect_code(0);
}

/// The one generation that an answer is of. The number of a query says what it asked for.
fn generation_of(number: u64, answer: &[u8]) -> Result<u32, String> {
    let message = Message::from_vec(answer).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for record in &message.answers {
        match &record.data {
            RData::A(address) => found.push(u32::from(address.octets()[2])),
            RData::SOA(soa) => found.push(soa.serial - 1_000),
            RData::CNAME(target) => {
                let first = target.0.iter().next().map(|label| String::from_utf8_lossy(label).into_owned());
                let generation = first.and_then(|label| label.strip_prefix("of-")?.parse().ok());
                found.push(generation.ok_or("a CNAME to somewhere else")?);
            }
            other => return Err(format!("nobody asked for {other}")),
        }
    }
    let wanted = [1, 2, 3][question_of(number)];
    match found.as_slice() {
        [first, rest @ ..] if found.len() == wanted && rest.iter().all(|one| one == first) => Ok(*first),
        _ => Err(format!("{number}: generations {found:?} in {:?}", message.answers)),
    }
}

fn question_of(number: u64) -> usize {
    usize::try_from(number / 8 % 3).expect("below 3")
}

fn of_generation(number: u64) -> Vec<u8> {
    let (name, record_type) =
        [("load.example", SOA), ("www.load.example", A), ("chain.load.example", A)][question_of(number)];
    query(0, name, record_type)
}

/// Sees to it that generations move forward only, as one client sees them, and notes the newest.
fn forward(newest: &Arc<AtomicU32>, generation: fn(u64, &[u8]) -> Result<u32, String>) -> Check {
    let (newest, mut last) = (Arc::clone(newest), 0);
    Box::new(move |number, answer| {
        let this = generation(number, answer)?;
        newest.fetch_max(this, Ordering::Relaxed);
        if this < last {
            return Err(format!("{number}: generation {this} after {last}"));
        }
        last = this;
        Ok(())
    })
}

#[track_caller]
fn until_seen(newest: &AtomicU32, generation: u32) {
    eventually("a client sees the new generation", || {
        let seen = newest.load(Ordering::Relaxed);
        if seen == generation { Ok(()) } else { Err(format!("generation {seen} and not {generation}")) }
    });
}

#[test]
fn a_master_file_that_changes_twenty_times_under_load_loses_no_query_and_mixes_no_answer() {
    const CHANGES: u32 = 20;
    /// `serve` looks for changes every second; the others are made known by SIGHUP.
    const UNANNOUNCED: u32 = 2;
    let _alone = alone();
    let Served { file, program, _scratch } = serve("");
    let newest = Arc::new(AtomicU32::new(0));
    let udp = Udp::start(program.server, &EIGHT, RATE, of_generation, || forward(&newest, generation_of));
    let tcp = Tcp::start(program.server, 10, of_generation, forward(&newest, generation_of));
    for generation in 1..=CHANGES {
        replace(&file, &zone(generation));
        if generation > UNANNOUNCED {
            program.signal(Signal::HUP);
        }
        until_seen(&newest, generation);
    }
    let tcp = tcp.stop();
    udp.stop().assert_whole(program.kernel_drops());
    tcp.assert_whole(0);
    assert_eq!(program.serial("load.example"), 1_000 + CHANGES);
    program.stop().expect_code(0);
}

#[test]
fn a_federation_that_changes_twenty_times_under_load_loses_no_query_and_mixes_no_answer() {
    const CHANGES: u32 = 20;
    /// One address, which the hosts file says: `192.0.2.100` is generation 0.
    const NAME: &str = "checkout.shop.galactic.svc.example.com";
    fn question(_: u64) -> Vec<u8> {
        query(0, NAME, A)
    }
    fn generation(_: u64, answer: &[u8]) -> Result<u32, String> {
        let message = Message::from_vec(answer).map_err(|error| error.to_string())?;
        match message.answers.as_slice() {
            [record] => match record.data {
                RData::A(address) if address.octets()[..3] == [192, 0, 2] => Ok(u32::from(address.octets()[3]) - 100),
                _ => Err(format!("{record} is no generation")),
            },
            other => Err(format!("{other:?}")),
        }
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let directory = scratch.copy_of("deploy/demo/two-regions");
    let hosts = directory.join("hosts");
    let before = fs::read_to_string(&hosts).expect("a hosts file");
    let write =
        |generation: u32| replace(&hosts, &before.replace("192.0.2.41 ", &format!("192.0.2.{} ", 100 + generation)));
    write(0);
    let program = Program::run(&directory);
    program.until_data(&format!("{NAME} A"), &["192.0.2.100"]);
    let newest = Arc::new(AtomicU32::new(0));
    let udp = Udp::start(program.server, &EIGHT, RATE, question, || forward(&newest, generation));
    let tcp = Tcp::start(program.server, 10, question, forward(&newest, generation));
    let mut serial = program.serial("example.com");
    for generation in 1..=CHANGES {
        write(generation);
        until_seen(&newest, generation);
        // The serial is that of what was published, which may be a moment later.
        let next = program.serial("example.com");
        assert!(next >= serial, "{next} after {serial}");
        serial = next;
    }
    let tcp = tcp.stop();
    udp.stop().assert_whole(program.kernel_drops());
    tcp.assert_whole(0);
    program.stop().expect_code(0);
}

#[test]
fn what_is_an_answer_itself_or_no_message_gets_none_so_that_two_servers_never_talk_to_each_other() {
    let Served { program: first, .. } = serve("");
    let Served { program: second, .. } = serve("");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let receive = || {
        let mut octets = [0; 4096];
        let (length, from) = client.recv_from(&mut octets).expect("an answer");
        (octets[..length].to_vec(), from)
    };
    // Whatever the first says goes to the second, as if the first had asked it.
    let with = |mut message: Vec<u8>, change: &[(usize, u8)]| {
        for (at, octet) in change {
            message[*at] = *octet;
        }
        message
    };
    let www = || query(7, "www.load.example", A);
    let mut answers = Vec::new();
    for provocation in [
        www(),
        query(8, "missing.load.example", A),
        query(9, "elsewhere.example", A),
        // NOTIFY, UPDATE, STATUS and an operation without a name; two questions; a name that points to itself.
        with(www(), &[(2, 4 << 3)]),
        with(www(), &[(2, 5 << 3)]),
        with(www(), &[(2, 2 << 3)]),
        with(www(), &[(2, 15 << 3)]),
        with(www(), &[(5, 2)]),
        with(www(), &[(12, 0xc0), (13, 12)]),
        query(1, "", 255),
    ] {
        client.send_to(&provocation, first.server).expect("sent");
        answers.push(receive().0);
    }
    assert!(answers.iter().any(|answer| answer[3] & 0x0f == 1), "one is FORMERR");
    assert!(answers.iter().any(|answer| answer[3] & 0x0f == 4), "one is NOTIMP");
    // Messages that no server sends, but that a forger may.
    let mut forged = vec![vec![], vec![0], vec![0xff; 11], vec![0xff; 12], vec![0xff; 1_400]];
    forged.push(with(www(), &[(2, 0x80)]));
    forged.push(with(www(), &[(2, 0xff), (3, 0xff)]));
    forged.push(
        (0..).map(|at| if at == 2 { 0x80 } else { u8::try_from(chance(at) & 0xff).unwrap_or(0) }).take(600).collect(),
    );
    let silent = u64::try_from(answers.len() + forged.len()).expect("few");
    for message in answers.iter().chain(&forged) {
        client.send_to(message, second.server).expect("sent");
    }
    // Datagrams of one socket are answered in their order, so this answer says that there was none before it.
    client.send_to(&with(www(), &[(0, 0xab)]), second.server).expect("sent");
    let (answer, from) = receive();
    assert_eq!((answer[0], from), (0xab, second.server), "{answer:?} is the answer to an answer");
    let udp = "transport=\"udp\"";
    assert_eq!(second.metric("mcdns_dns_dropped_total", udp), silent);
    assert_eq!(assert_adds_up(&second, "udp"), silent + 1);
    assert_eq!(second.metric("mcdns_dns_panics_total", udp), 0);
}

/// The COOKIE option (RFC 7873 section 4) in an OPT record, behind a query.
fn with_cookie(mut query: Vec<u8>, cookie: &[u8]) -> Vec<u8> {
    query[11] = 1;
    let length = u8::try_from(cookie.len()).expect("a cookie");
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length + 4, 0, 10, 0, length]);
    query.extend_from_slice(cookie);
    query
}

#[test]
fn a_flood_from_one_network_is_limited_and_a_bystander_in_another_loses_nothing() {
    const LIMIT: u64 = 50;
    const FLOODER: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 9);
    fn www(_: u64) -> Vec<u8> {
        query(0, "www.load.example", A)
    }
    fn two_addresses(_: u64, answer: &[u8]) -> Result<(), String> {
        if answer[7] == 2 { Ok(()) } else { Err(format!("{answer:?}")) }
    }
    let _alone = alone();
    let limit = "serve: {rateLimit: {responsesPerSecond: 50, slip: 2, ipv4Prefix: 16}}\n";
    let Served { program, .. } = serve(limit);
    let server = program.server;
    // One network, several hosts of it.
    let flooders: Vec<Ipv4Addr> = (0..8).map(|host| Ipv4Addr::new(127, 1, host, 1)).collect();
    let started = Instant::now();
    let soon = Duration::from_secs(1);
    let flood = Udp::start_with(server, &flooders, RATE, soon, www, || Box::new(two_addresses));
    let bystander = Udp::start(server, &[Ipv4Addr::new(127, 2, 0, 1)], 20, www, || Box::new(two_addresses));
    // A client in the network of the flood that learns its cookie over TCP, which has no limit...
    let client_cookie = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut cookie = Vec::new();
    // ... as dig does it, whose source is that of the queries to come: cookies belong to an address.
    let reply = program.dig("www.load.example A -b 127.1.0.9 +tcp +cookie=0102030405060708");
    let hex = reply.text.lines().find_map(|line| line.strip_prefix("; COOKIE: ")).expect("a cookie");
    let hex = hex.split(' ').next().expect("its digits");
    for pair in 0..hex.len() / 2 {
        cookie.push(u8::from_str_radix(&hex[2 * pair..2 * pair + 2], 16).expect("a digit"));
    }
    assert_eq!((cookie.len(), &cookie[..8]), (24, &client_cookie[..]));
    let socket = UdpSocket::bind((FLOODER, 0)).expect("a socket");
    socket.connect(server).expect("a server");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // Far more than the limit.
    for id in 0..4 * u16::try_from(LIMIT).expect("small") {
        socket.send(&with_cookie(query(id, "www.load.example", A), &cookie)).expect("sent");
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("an answer to who has proved its address");
        assert_eq!((answer[2] & 0x02, answer[7]), (0, 2), "{:?}", &answer[..length]);
    }
    let reply = program.dig(&format!("www.load.example A -b 127.1.0.9 +ignore +tries=1 +cookie={hex}"));
    assert_eq!(reply.data().len(), 2, "{}", reply.text);
    thread::sleep(Duration::from_secs(2).saturating_sub(started.elapsed()));
    let (bystander, flood) = (bystander.stop(), flood.stop());
    let took = started.elapsed();

    bystander.assert_whole(program.kernel_drops());
    assert_eq!(bystander.truncated, 0);
    assert_eq!(flood.wrong, Vec::<String>::new());
    // The rate of the first second is the limit itself, or twice that where it falls on the border of two.
    let whole = flood.answered - flood.truncated;
    let most = LIMIT * (took.as_secs() + 2);
    assert!((LIMIT..=most).contains(&whole), "{whole} whole answers to {} queries in {took:?}", flood.sent);
    // Every second one of the rest slips, by each thread's count or by chance.
    let (rest, slipped) = ((flood.sent - whole) as f64, flood.truncated as f64);
    assert!((0.4..=0.6).contains(&(slipped / rest)), "{slipped} of {rest} answers above the limit slipped");
    // Nobody gains by it: the flood sent more than it caused to be sent.
    assert!(flood.octets.1 < flood.octets.0, "{:?} octets sent and caused", flood.octets);
    program.stop().expect_code(0);
}

#[test]
fn at_the_end_under_load_all_that_the_kernel_delivered_is_answered() {
    /// Five seconds are for what is under way, one is for what waits at the sockets, the rest is for the machine.
    const END: Duration = Duration::from_secs(10);
    /// Queries of each of eight sockets that wait when the end comes. With what the load has on its way that is less
    /// than a receive buffer of 4 MiB holds.
    const HELD: u16 = 100;
    fn www(_: u64) -> Vec<u8> {
        query(0, "www.load.example", A)
    }
    let _alone = alone();
    let Served { program, .. } = serve("");
    let server = program.server;
    let load = Udp::start(server, &EIGHT, RATE, www, || Box::new(|_, _| Ok(())));
    // One connection that never asks, one that asks now and then, one in the middle of a message.
    let mut idle = connect(server);
    let (mut asking, mut halfway) = (connect(server), connect(server));
    asking.write_all(&framed(&www(0))).expect("sent");
    read_framed(&mut asking).expect("an answer");
    halfway.write_all(&framed(&www(0))[..9]).expect("sent");
    eventually("there is load", || if load.answered() > 1_000 { Ok(()) } else { Err(load.answered()) });
    // What has come when the signal comes is answered still. The program is held meanwhile, so that there is much.
    idle.write_all(&framed(&www(0))).expect("sent");
    program.signal(Signal::STOP);
    let held: Vec<UdpSocket> = EIGHT.map(|source| UdpSocket::bind((source, 0)).expect("a socket")).into();
    for socket in &held {
        for id in 0..HELD {
            socket.send_to(&query(id, "www.load.example", A), server).expect("sent");
        }
    }
    let dropped = program.kernel_drops();
    program.signal(Signal::TERM);
    program.signal(Signal::CONT);
    let started = Instant::now();
    let finished = program.stop().expect_code(0);
    assert!(started.elapsed() < END, "it took {:?}\n{}", started.elapsed(), finished.told());
    read_framed(&mut idle).expect("an answer");
    let mut answered = 0;
    for socket in &held {
        // All that will come has come.
        socket.set_nonblocking(true).expect("a socket");
        let mut answer = [0; 512];
        while socket.recv(&mut answer).is_ok() {
            answered += 1;
        }
    }
    let held = u64::from(HELD) * held.len() as u64;
    assert!(answered + dropped >= held, "{answered} of {held} answered, {dropped} dropped by the kernel");
    let tallies = load.stop_each();
    assert!(tallies.iter().all(|tally| tally.answered > 0), "{tallies:?}");
    for Tally { answered, lost, wrong, .. } in tallies {
        assert_eq!(wrong, Vec::<String>::new());
        // The kernel stops to deliver once: from the first query on that was not answered none was. So no answer is
        // missing among those that it delivered before.
        if let Some(first) = lost.first() {
            assert_eq!(first / EIGHT.len() as u64, answered, "{lost:?} are lost, and later ones are not");
        }
    }
}

#[test]
fn a_file_that_is_half_written_under_load_changes_no_answer() {
    fn www(_: u64) -> Vec<u8> {
        query(0, "www.load.example", A)
    }
    fn is_old(_: u64, answer: &[u8]) -> Result<(), String> {
        if answer[7] == 2 && answer.ends_with(&[10, 2, 0, 2]) || answer.ends_with(&[10, 1, 0, 1]) {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    }
    let _alone = alone();
    let Served { file, program, _scratch } = serve("");
    let load = Udp::start(program.server, &EIGHT[..2], 500, www, || Box::new(is_old));
    let whole = zone(1);
    let read = |times: usize| {
        program.signal(Signal::HUP);
        eventually("the file is read", || {
            let log = program.log();
            if log.matches("master file read again").count() >= times { Ok(()) } else { Err(log) }
        });
    };
    // Cut in the SOA, in a name, in an address; empty; no text at all.
    let parts = [&whole[..60], &whole[..whole.len() - 120], &whole[..whole.len() - 4], "", "\u{0}\u{1}(((\"\""];
    for (part, times) in parts.into_iter().zip(1..) {
        fs::write(&file, part).expect("written");
        read(times);
    }
    let tally = load.stop_after(Duration::from_millis(200));
    tally.assert_whole(program.kernel_drops());
    assert_eq!(program.serial("load.example"), 1_000);
    fs::write(&file, &whole).expect("written");
    program.signal(Signal::HUP);
    program.until_data("www.load.example", &["10.1.1.1", "10.2.1.2"]);
}
