//! From a written file to the changed answer, in the demo: a bound that only a regression of a whole kind breaks.
//! What it takes exactly is measured by `cargo xtask bench follow`.

#![allow(clippy::panic, reason = "a test fails by a panic")]

mod program;

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use program::{PATIENCE, Program, Scratch, replace};

const DEMO: &str = "deploy/demo/two-regions";
const NAME: &str = "checkout.shop.galactic.svc.example.com.";
/// Debug build, two cores, other tests beside it: several times what is seen.
const BOUND: Duration = Duration::from_millis(200);
const CHANGES: usize = 20;

#[test]
fn a_file_replaced_by_rename_changes_the_answer_within_200_milliseconds() {
    let took = median_of_changes(replace);
    assert!(took < BOUND, "the median of {CHANGES} changes is {took:?}");
}

#[test]
fn a_file_written_in_place_changes_the_answer_within_200_milliseconds() {
    let took = median_of_changes(|file, text| fs::write(file, text).expect("a file that can be written"));
    assert!(took < BOUND, "the median of {CHANGES} changes is {took:?}");
}

#[test]
fn a_changed_address_in_the_hosts_file_changes_the_answer_within_200_milliseconds() {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(DEMO);
    let program = Program::run(&directory);
    let file = directory.join("hosts");
    let text = fs::read_to_string(&file).expect("a hosts file");
    let took = median((0..CHANGES).map(|change| {
        let address = format!("192.0.2.{}", 100 + change);
        let started = Instant::now();
        replace(&file, &text.replace("192.0.2.41 ", &format!("{address} ")));
        until(&program, |answers| answers == [address.as_str()]);
        started.elapsed()
    }));
    assert!(took < BOUND, "the median of {CHANGES} changes is {took:?}");
}

/// An endpoint goes and comes: how long the answer takes to follow.
fn median_of_changes(write: impl Fn(&Path, &str)) -> Duration {
    let scratch = Scratch::new();
    let directory = scratch.copy_of(DEMO);
    let program = Program::run(&directory);
    let file = directory.join("members/ohio-1/checkout.yaml");
    let ready = fs::read_to_string(&file).expect("a file");
    let unready = ready.replace("ready: true", "ready: false");
    assert_ne!(ready, unready);
    median((0..CHANGES).map(|change| {
        let gone = change % 2 == 0;
        let started = Instant::now();
        write(&file, if gone { &unready } else { &ready });
        until(&program, |answers| answers.is_empty() == gone);
        started.elapsed()
    }))
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// Asks until the addresses are as wanted, with a socket of its own: `dig` takes longer to start than the answer.
#[track_caller]
fn until(program: &Program, wanted: impl Fn(&[&str]) -> bool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(program.server).expect("a server");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(NAME).expect("a name"), RecordType::A));
    let question = message.to_vec().expect("a question");
    let deadline = Instant::now() + PATIENCE;
    let mut octets = [0; 1232];
    while Instant::now() < deadline {
        socket.send(&question).expect("a question that can be sent");
        let length = socket.recv(&mut octets).expect("an answer");
        let answer = Message::from_vec(&octets[..length]).expect("an answer that can be read");
        let addresses: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        if wanted(&addresses.iter().map(String::as_str).collect::<Vec<_>>()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no changed answer within {PATIENCE:?}");
}
