//! Conversations over a pipe in memory, with a handler whose answers are known.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime,
    task::{JoinHandle, LocalSet, spawn_local},
    time::Duration,
};

use super::*;
use crate::{
    client::Transport,
    counters::{Cells, Counters},
    policy::ListenerOptions,
    respond::{Answer, Reply},
    streams::account::Account,
    streams::places::{Limits, Room},
};

/// Answers with what was asked, with as many octets as a message of two says, and panics at `boom`.
struct Echo(Vec<u8>);

impl Handler for Echo {
    fn handle(&mut self, request: &[u8], _: &Client) -> Answer<'_> {
        assert_ne!(request, b"boom", "this panic is what is tried");
        self.0 = match *request {
            [high, low] => vec![b'x'; usize::from(u16::from_be_bytes([high, low]))],
            _ => request.to_vec(),
        };
        Answer::Message(Reply::new(&self.0, 0))
    }
}

/// A transfer of so many messages of 16 KB, which all say their number.
#[derive(Debug)]
struct Numbers {
    next: u32,
    end: u32,
    /// Panics at this one.
    fault: u32,
}

const NUMBERED: usize = 16 * 1024;

impl Messages for Numbers {
    fn next_message(&mut self, message: &mut Vec<u8>) -> bool {
        assert_ne!(self.next, self.fault, "this panic is what is tried");
        message.clear();
        if self.next == self.end {
            return false;
        }
        message.extend_from_slice(&self.next.to_be_bytes());
        message.resize(NUMBERED, 0);
        self.next += 1;
        true
    }
}

struct Held {
    desk: Rc<Desk<Echo>>,
    room: Rc<Room>,
    counters: Counters,
    account: Rc<Account>,
}

impl Held {
    fn new(options: ListenerOptions) -> Self {
        let mut counters = Counters::default();
        let cells: Arc<Cells> = counters.add_thread(Transport::Tcp);
        let room = Room::new(Arc::new(Limits::new(&options)));
        let desk = Rc::new(Desk::new(Echo(Vec::new()), cells, options, FRONT + READ));
        Self { desk, room, counters, account: Rc::default() }
    }

    /// The client's end of a new conversation with these transfers under way, over a pipe that holds `room` octets.
    fn open(&self, room: usize, transfers: Vec<Numbers>) -> (DuplexStream, JoinHandle<io::Result<()>>) {
        let (ours, theirs) = duplex(room);
        let client = Client { address: ([192, 0, 2, 1], 5353).into(), transport: Transport::Tcp };
        let (desk, share) = (Rc::clone(&self.desk), Share::new(&self.account));
        let place = self.room.enter(client.address.ip()).expect("a place");
        let task = spawn_local(async move {
            let mut conversation = Conversation::new(ours, client, true, &*desk, &share, &place);
            conversation.transfers.extend(transfers.into_iter().map(|one| Box::new(one) as Box<dyn Messages>));
            conversation.run().await
        });
        (theirs, task)
    }
}

/// Runs with a clock that stands still but for what is waited for.
fn run<F: Future>(future: F) -> F::Output {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, future)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("short").to_be_bytes()[..], message].concat()
}

async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut message = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
    stream.read_exact(&mut message).await.expect("a message");
    message
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A broken pipe is an end as well.
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

#[test]
fn messages_cut_at_any_place_get_the_same_answers() {
    run(async {
        let long = vec![7; 3 * READ];
        let messages: Vec<&[u8]> = vec![b"", b"one", &long, b"three", &[1; FRONT + 1], b"five", b"", &long[..READ]];
        let sent: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        for size in [1, 2, 3, 100, FRONT, FRONT + 2, READ - 1, READ, READ + 1, sent.len()] {
            let held = Held::new(ListenerOptions::default());
            let (client, _task) = held.open(size.max(64), Vec::new());
            let (mut reader, mut writer) = tokio::io::split(client);
            let pieces = sent.clone();
            spawn_local(async move {
                for piece in pieces.chunks(size) {
                    writer.write_all(piece).await.expect("sent");
                    tokio::task::yield_now().await;
                }
            });
            for message in &messages {
                assert_eq!(next(&mut reader).await.as_slice(), *message, "pieces of {size}");
            }
        }
    });
}

#[test]
fn a_query_behind_a_transfer_is_answered_between_its_messages() {
    run(async {
        let held = Held::new(ListenerOptions::default());
        let transfers = [(0, 100), (100, 200)].map(|(next, end)| Numbers { next, end, fault: u32::MAX });
        let (mut client, task) = held.open(GATHER, transfers.into());
        client.write_all(&framed(b"a question")).await.expect("sent");
        // Half closed: what is under way still comes.
        client.shutdown().await.expect("closed");
        let mut seen = Vec::new();
        for _ in 0..201 {
            seen.push(next(&mut client).await);
        }
        assert_eq!(rest(&mut client).await, b"");
        let place = seen.iter().position(|message| message == b"a question").expect("an answer");
        assert!(place < 20, "the answer came behind {place} messages");
        seen.remove(place);
        for (number, message) in (0_u32..).zip(&seen) {
            assert_eq!(message[..4], number.to_be_bytes(), "one transfer after the other");
        }
        task.await.expect("no panic").expect("a good end");
    });
}

#[test]
fn a_transfer_that_breaks_ends_the_connection_and_is_counted() {
    run(async {
        let held = Held::new(ListenerOptions::default());
        let (mut client, task) = held.open(GATHER, vec![Numbers { next: 0, end: 100, fault: 50 }]);
        let got = rest(&mut client).await;
        assert!(got.len() <= 50 * (2 + NUMBERED), "{} octets", got.len());
        task.await.expect("no panic here").expect_err("the client must not take it for whole");
        assert_eq!(held.counters.sum().tcp.panics, 1);
    });
}

#[test]
fn a_panic_costs_one_query_and_earlier_answers_are_sent() {
    run(async {
        let held = Held::new(ListenerOptions::default());
        let (mut client, _task) = held.open(GATHER, Vec::new());
        let sent = [framed(b"good"), framed(b"boom"), framed(b"late")].concat();
        client.write_all(&sent).await.expect("sent");
        assert_eq!(rest(&mut client).await, framed(b"good"));
        let totals = held.counters.sum().tcp;
        assert_eq!((totals.queries, totals.panics), (2, 1));
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_keeps_little() {
    run(async {
        let held = Held::new(ListenerOptions::default());
        let (mut client, task) = held.open(1024, Vec::new());
        let large = framed(&60_000_u16.to_be_bytes());
        let mut sent = 0;
        // It goes on asking for as long as the server listens.
        while tokio::time::timeout(Duration::from_secs(1), client.write_all(&large)).await.is_ok() {
            sent += 1;
            assert!(held.account.kept() <= GATHER + 65_537 + READ, "{} octets wait", held.account.kept());
        }
        assert!(sent < 1_000, "the server stopped to read");
        assert!(held.account.kept() > 0);
        let before = Instant::now();
        assert_eq!(task.await.expect("no panic").expect_err("cut off").kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() <= held.desk.options.idle);
        assert_eq!(held.account.kept(), 0);
    });
}

#[test]
fn silence_and_octets_one_by_one_end_at_the_idle_limit_and_queries_do_not() {
    run(async {
        let idle = Duration::from_secs(10);
        let held = Held::new(ListenerOptions { idle, ..ListenerOptions::default() });
        let (mut silent, _task) = held.open(1024, Vec::new());
        let before = Instant::now();
        assert_eq!(rest(&mut silent).await, b"");
        assert_eq!(before.elapsed().as_secs(), 10);

        let (mut slow, task) = held.open(1024, Vec::new());
        let before = Instant::now();
        while !task.is_finished() {
            let _ = slow.write_all(&[200]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((10..=12).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

        let (mut lively, task) = held.open(1024, Vec::new());
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            lively.write_all(&framed(b"a question")).await.expect("open");
            assert_eq!(next(&mut lively).await, b"a question");
        }
        assert!(!task.is_finished());
    });
}

#[test]
fn a_connection_ends_with_its_life_time_and_a_transfer_is_finished_first() {
    run(async {
        let lifetime = Duration::from_secs(30);
        let held = Held::new(ListenerOptions { lifetime, ..ListenerOptions::default() });
        let (mut client, task) = held.open(1024, Vec::new());
        let before = Instant::now();
        while !task.is_finished() {
            let _ = client.write_all(&framed(b"a question")).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((30..=32).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

        let (mut client, task) = held.open(1024, vec![Numbers { next: 0, end: 60, fault: u32::MAX }]);
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            next(&mut client).await;
        }
        assert_eq!(rest(&mut client).await, b"");
        task.await.expect("no panic").expect("a good end");
    });
}

#[test]
fn a_stop_waits_for_a_first_query_and_for_the_rest_of_a_message() {
    run(async {
        let held = Held::new(ListenerOptions::default());
        let (mut fresh, _one) = held.open(1024, Vec::new());
        let (mut partial, _two) = held.open(1024, Vec::new());
        let (mut idle, _three) = held.open(1024, Vec::new());
        let question = framed(b"a question");
        for stream in [&mut partial, &mut idle] {
            stream.write_all(&question).await.expect("sent");
            assert_eq!(next(stream).await, b"a question");
        }
        partial.write_all(&question[..5]).await.expect("sent");
        tokio::task::yield_now().await;
        held.room.dismiss_all();
        assert_eq!(rest(&mut idle).await, b"");
        fresh.write_all(&question).await.expect("open");
        partial.write_all(&question[5..]).await.expect("open");
        assert_eq!(rest(&mut fresh).await, question);
        assert_eq!(rest(&mut partial).await, question);
        held.room.empty().await;
    });
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    run(async {
        let held = Held::new(ListenerOptions { connections: 2, ..ListenerOptions::default() });
        let (mut first, _one) = held.open(1024, Vec::new());
        let (mut second, _two) = held.open(1024, Vec::new());
        for stream in [&mut second, &mut first] {
            stream.write_all(&framed(b"a question")).await.expect("sent");
            next(stream).await;
        }
        let (mut third, _three) = held.open(1024, Vec::new());
        assert_eq!(rest(&mut second).await, b"", "the longest idle one");
        for stream in [&mut first, &mut third] {
            stream.write_all(&framed(b"still here")).await.expect("open");
            assert_eq!(next(stream).await, b"still here");
        }
    });
}
