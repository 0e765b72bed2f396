//! A client that asks 100 times a second, for as long as something is broken, and wants the right answer every time.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::dns::{parts, query, read};

/// From one question to the next.
const PERIOD: Duration = Duration::from_millis(10);
/// How long an answer may take on a machine with much other work. A resolver would have asked again before.
const LIMIT: Duration = Duration::from_secs(5);
/// Wrong answers that are kept for the message.
const KEPT: usize = 10;

/// The client, while it asks.
#[derive(Debug)]
pub struct Asker {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    asked: usize,
    right: usize,
    wrong: Vec<String>,
    slowest: Duration,
}

impl Asker {
    /// Asks each server in turn for each question in turn; each has one right answer, or several where something may
    /// be in between.
    #[track_caller]
    pub fn start(servers: &[SocketAddr], questions: &[(&str, &[&[&str]])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out");
        let servers = servers.to_vec();
        let own = |data: &&[&str]| {
            let mut data: Vec<String> = data.iter().map(|&one| one.to_owned()).collect();
            data.sort_unstable();
            data
        };
        let questions: Vec<_> = questions
            .iter()
            .map(|(name, data)| ((*name).to_owned(), data.iter().map(own).collect::<Vec<_>>()))
            .collect();
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = thread::spawn(move || run(&socket, &servers, &questions, &ended));
        Self { end, thread: Some(thread) }
    }

    /// Stops asking, and fails unless every answer was there and right, and there were at least so many.
    #[track_caller]
    pub fn finish(mut self, at_least: usize) {
        let told = self.end();
        assert!(
            told.wrong.is_empty() && told.right == told.asked,
            "of {} questions {} were answered right; the first wrong ones:\n{}",
            told.asked,
            told.right,
            told.wrong.join("\n")
        );
        assert!(
            told.asked >= at_least,
            "only {} questions were asked, the slowest took {:?}",
            told.asked,
            told.slowest
        );
    }

    fn end(&mut self) -> Told {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().expect("a client")).unwrap_or_default()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.end();
    }
}

type Questions = [(String, Vec<Vec<String>>)];

fn run(socket: &UdpSocket, servers: &[SocketAddr], questions: &Questions, end: &AtomicBool) -> Told {
    let begin = Instant::now();
    let mut told = Told::default();
    let mut open: BTreeMap<u16, (Instant, usize, SocketAddr)> = BTreeMap::new();
    let mut octets = [0; 4096];
    let mut next = begin;
    loop {
        let now = Instant::now();
        let ending = end.load(Ordering::Relaxed);
        if !ending && now >= next {
            let (index, server) = (told.asked % questions.len(), servers[told.asked / questions.len() % servers.len()]);
            let id = u16::try_from(told.asked % usize::from(u16::MAX)).unwrap_or_default();
            let (name, kind) = parts(&questions[index].0);
            if socket.send_to(&query(id, name, kind), server).is_ok() {
                open.insert(id, (now, index, server));
            } else {
                wrong(&mut told, format!("{:?}: {name} could not be asked at {server}", begin.elapsed()));
            }
            told.asked += 1;
            // A client that was held up does not make up for it in a burst.
            next = (next + PERIOD).max(now);
        }
        if ending && open.is_empty() {
            return told;
        }
        if let Ok((length, _)) = socket.recv_from(&mut octets) {
            hear(&octets[..length], begin, questions, &mut open, &mut told);
        }
        let late: Vec<u16> = open.iter().filter(|(_, (at, ..))| at.elapsed() > LIMIT).map(|(id, _)| *id).collect();
        for (at, index, server) in late.into_iter().filter_map(|id| open.remove(&id)) {
            let at = at.duration_since(begin);
            wrong(&mut told, format!("{at:?}: {} has no answer of {server} within {LIMIT:?}", questions[index].0));
        }
    }
}

fn hear(
    octets: &[u8],
    begin: Instant,
    questions: &Questions,
    open: &mut BTreeMap<u16, (Instant, usize, SocketAddr)>,
    told: &mut Told,
) {
    let id = octets.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let Some((at, index, server)) = open.remove(&id) else { return };
    let (question, right) = &questions[index];
    let took = at.elapsed();
    told.slowest = told.slowest.max(took);
    match read(octets, parts(question).1) {
        Ok((_, answer)) if answer.code == "NOERROR" && right.contains(&answer.data) => told.right += 1,
        Ok((_, answer)) => wrong(told, format!("{:?}: {server}: {question}: {answer}", at.duration_since(begin))),
        Err(error) => wrong(told, format!("{:?}: {server}: {question}: {error}", at.duration_since(begin))),
    }
}

fn wrong(told: &mut Told, what: String) {
    if told.wrong.len() < KEPT {
        told.wrong.push(what);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::{
        op::Message,
        rr::{RData, Record},
    };

    use super::*;

    /// A server that gives this address to everybody, `silent` after so many questions.
    fn server(address: Ipv4Addr, questions: usize) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let server = socket.local_addr().expect("an address");
        thread::spawn(move || {
            let mut octets = [0; 512];
            for _ in 0..questions {
                let (length, client) = socket.recv_from(&mut octets).expect("a question");
                let mut message = Message::from_vec(&octets[..length]).expect("a message");
                let name = message.queries[0].name().clone();
                message.metadata.message_type = hickory_proto::op::MessageType::Response;
                message.add_answer(Record::from_rdata(name, 60, RData::A(address.into())));
                socket.send_to(&message.to_vec().expect("a message"), client).expect("an answer");
            }
        });
        server
    }

    fn until_asked(asker: &Asker) {
        let thread = asker.thread.as_ref().expect("a client");
        assert!(!thread.is_finished());
        thread::sleep(Duration::from_millis(300));
    }

    #[test]
    fn right_answers_are_fine() {
        let server = server(Ipv4Addr::new(192, 0, 2, 1), usize::MAX);
        let asker = Asker::start(&[server], &[("a.example", &[&["192.0.2.9"], &["192.0.2.1"]])]);
        until_asked(&asker);
        asker.finish(1);
    }

    #[test]
    #[should_panic(expected = "a.example: NOERROR [192.0.2.2]")]
    fn one_wrong_answer_is_told() {
        let server = server(Ipv4Addr::new(192, 0, 2, 2), usize::MAX);
        let asker = Asker::start(&[server], &[("a.example", &[&["192.0.2.1"]])]);
        until_asked(&asker);
        asker.finish(1);
    }

    #[test]
    #[should_panic(expected = "has no answer of")]
    fn an_answer_that_does_not_come_is_told() {
        let server = server(Ipv4Addr::new(192, 0, 2, 1), 3);
        let asker = Asker::start(&[server], &[("a.example", &[&["192.0.2.1"]])]);
        until_asked(&asker);
        asker.finish(1);
    }
}
