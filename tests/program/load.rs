//! Queries at a steady rate from sockets of the test's own, and what became of each of them.
//!
//! ```text
//!   Udp::start ──► a thread per socket: sends when it is time, at most WINDOW on their way, checks what comes
//!        └─ stop ──► waits for what is on its way ──► Tally
//! ```
//!
//! So few are on their way at a time that the server's receive buffers hold them all, even if it does not run for a
//! while: what is lost then was lost by the server. Where the kernel keeps smaller buffers than the server wants, its
//! own count of drops tells.

#![allow(clippy::cast_precision_loss, reason = "counts of some seconds are far below what a double holds exactly")]

use std::{
    collections::HashMap,
    fmt::Debug,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType, bind, connect as connect_socket, socket, sockopt};

use super::PATIENCE;

/// Queries of one socket that are on their way at a time. Those of 8 sockets are far fewer than the 10,000 that a
/// receive buffer of 4 MiB holds, also if all end up at one thread of the server.
const WINDOW: usize = 256;
/// How long an answer may take before it is taken for lost.
const QUIET: Duration = Duration::from_secs(3);
/// Octets of answers that may wait for the sender.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Looks at the answer to the query of that number; says what is wrong with it.
pub(crate) type Check = Box<dyn FnMut(u64, &[u8]) -> Result<(), String> + Send>;

/// What became of the queries of one socket, or of one client over TCP.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// Good answers and truncated ones.
    pub(crate) answered: u64,
    /// Answers with TC.
    pub(crate) truncated: u64,
    /// Numbers of the queries without an answer, rising.
    pub(crate) lost: Vec<u64>,
    /// What was wrong, the first few.
    pub(crate) wrong: Vec<String>,
    /// Octets of all queries and of all answers.
    pub(crate) octets: (u64, u64),
}

/// Queries over UDP while this is there.
pub(crate) struct Udp {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Tally>>,
}

/// Questions over TCP while this is there, each connection for a few of them.
pub(crate) struct Tcp {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
}

/// A query without EDNS.
pub(crate) fn query(id: u16, name: &str, record_type: u16) -> Vec<u8> {
    let mut message = vec![0; 12];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[5] = 1;
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&record_type.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// A message with its length in front (RFC 1035 section 4.2.2).
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message");
    [&length.to_be_bytes()[..], message].concat()
}

/// Reads one message with its length in front.
pub(crate) fn read_framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// A connection that gives up when patience is over.
#[track_caller]
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// A connection from this address.
#[track_caller]
pub(crate) fn connect_from(source: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((source, 0))).expect("a port");
    connect_socket(&socket, &server).expect("a connection");
    TcpStream::from(socket)
}

/// A connection of a client that takes next to nothing without reading.
#[track_caller]
pub(crate) fn connect_narrow(server: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a buffer");
    connect_socket(&socket, &server).expect("a connection");
    TcpStream::from(socket)
}

/// What every answer must have: QR, the ID and the question of its query.
fn is_answer(query: &[u8], answer: &[u8]) -> Result<(), String> {
    let good = answer.len() >= query.len() && answer[2] & 0x80 != 0 && answer[12..query.len()] == query[12..];
    if good && answer[..2] == query[..2] { Ok(()) } else { Err(format!("{answer:?} does not answer {query:?}")) }
}

impl Tally {
    fn note(&mut self, result: Result<(), String>) {
        if let Err(wrong) = result
            && self.wrong.len() < 5
        {
            self.wrong.push(wrong);
        }
    }

    /// Adds what another had.
    fn add(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.answered += other.answered;
        self.truncated += other.truncated;
        self.lost.extend(other.lost);
        self.wrong.extend(other.wrong);
        self.octets = (self.octets.0 + other.octets.0, self.octets.1 + other.octets.1);
        self
    }

    /// Fails if anything was wrong or lost; `dropped` queries never reached the server.
    #[track_caller]
    pub(crate) fn assert_whole(&self, dropped: u64) {
        assert_eq!(self.wrong, Vec::<String>::new());
        let lost = self.lost.len() as u64;
        assert!(lost <= dropped, "{lost} of {} lost, {dropped} of them by the kernel: {:?}", self.sent, self.lost);
        assert!(self.answered > 0, "nothing was asked: {self:?}");
    }
}

impl Udp {
    /// Asks from a socket at each of `sources`, so many queries a second together. `question` makes the query of a
    /// number (with any ID), `check` makes what looks at the answers of one socket.
    pub(crate) fn start(
        server: SocketAddr,
        sources: &[Ipv4Addr],
        rate: u32,
        question: fn(u64) -> Vec<u8>,
        check: impl Fn() -> Check,
    ) -> Self {
        Self::start_with(server, sources, rate, QUIET, question, check)
    }

    /// The same with another time after which an answer is taken for lost: shorter where losses are what is tried.
    pub(crate) fn start_with(
        server: SocketAddr,
        sources: &[Ipv4Addr],
        rate: u32,
        quiet: Duration,
        question: fn(u64) -> Vec<u8>,
        check: impl Fn() -> Check,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let share = f64::from(rate) / sources.len() as f64;
        let threads = sources.iter().zip(0..).map(|(source, index)| {
            let socket = UdpSocket::bind((*source, 0)).expect("a socket");
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER).expect("a buffer");
            socket.connect(server).expect("a server");
            socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
            let (stop, answered, check) = (Arc::clone(&stop), Arc::clone(&answered), check());
            let sender =
                Sender { socket, step: sources.len() as u64, next: index, quiet, question, check, stop, answered };
            thread::spawn(move || sender.run(share))
        });
        Self { threads: threads.collect(), stop, answered }
    }

    /// Answers that have come so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends no more and waits for what is on its way: a tally for each socket.
    #[track_caller]
    pub(crate) fn stop_each(self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a sender")).collect()
    }

    /// The same, all sockets together.
    #[track_caller]
    pub(crate) fn stop(self) -> Tally {
        self.stop_each().into_iter().fold(Tally::default(), Tally::add)
    }

    /// Goes on for that long and stops.
    #[track_caller]
    pub(crate) fn stop_after(self, time: Duration) -> Tally {
        thread::sleep(time);
        self.stop()
    }
}

/// A query that is on its way.
struct Asked {
    number: u64,
    query: Vec<u8>,
    at: Instant,
}

struct Sender {
    socket: UdpSocket,
    /// From one query of this socket to its next one.
    step: u64,
    next: u64,
    quiet: Duration,
    question: fn(u64) -> Vec<u8>,
    check: Check,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Sender {
    fn run(mut self, rate: f64) -> Tally {
        let mut tally = Tally::default();
        let mut on_their_way: HashMap<u16, Asked> = HashMap::new();
        let start = Instant::now();
        let (mut last, mut answer, mut refused) = (start, [0; 4096], false);
        loop {
            let stop = refused || self.stop.load(Ordering::Relaxed);
            let due = start.elapsed().as_secs_f64() * rate;
            if on_their_way.len() >= WINDOW {
                let old = on_their_way.extract_if(|_, asked| asked.at.elapsed() > self.quiet);
                tally.lost.extend(old.map(|(_, asked)| asked.number));
            }
            while !stop && (tally.sent as f64) < due && on_their_way.len() < WINDOW {
                let id = u16::try_from(tally.sent & 0xffff).expect("16 bits");
                let mut query = (self.question)(self.next);
                query[..2].copy_from_slice(&id.to_be_bytes());
                match self.socket.send(&query) {
                    Ok(_) => {}
                    // Nobody listens any more; the error belongs to a query that was sent before.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        refused = true;
                        break;
                    }
                    Err(error) => panic!("a query cannot be sent: {error}"),
                }
                tally.octets.0 += query.len() as u64;
                last = Instant::now();
                if let Some(before) = on_their_way.insert(id, Asked { number: self.next, query, at: last }) {
                    tally.lost.push(before.number);
                }
                tally.sent += 1;
                self.next += self.step;
            }
            match self.socket.recv(&mut answer) {
                Ok(length) => {
                    last = Instant::now();
                    self.take(&answer[..length], &mut on_their_way, &mut tally);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused = true,
                Err(_) if stop && (on_their_way.is_empty() || refused || last.elapsed() > self.quiet) => break,
                Err(_) => {}
            }
            if stop && on_their_way.is_empty() {
                break;
            }
        }
        tally.lost.extend(on_their_way.into_values().map(|asked| asked.number));
        tally.lost.sort_unstable();
        tally
    }

    fn take(&mut self, answer: &[u8], on_their_way: &mut HashMap<u16, Asked>, tally: &mut Tally) {
        let id = answer.get(..2).map(|id| u16::from_be_bytes([id[0], id[1]]));
        let Some(Asked { number, query, .. }) = id.and_then(|id| on_their_way.remove(&id)) else {
            tally.note(Err(format!("nobody asked for {answer:?}")));
            return;
        };
        tally.answered += 1;
        tally.octets.1 += answer.len() as u64;
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut result = is_answer(&query, answer);
        if result.is_ok() && answer[2] & 0x02 != 0 {
            tally.truncated += 1;
        } else if result.is_ok() {
            result = (self.check)(number, answer);
        }
        tally.note(result);
    }
}

impl Tcp {
    /// Asks one question after the other, `each` of them on one connection.
    pub(crate) fn start(server: SocketAddr, each: u64, question: fn(u64) -> Vec<u8>, mut check: Check) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut tally = Tally::default();
            'connections: while !stopped.load(Ordering::Relaxed) {
                let mut stream = connect(server);
                for _ in 0..each {
                    let number = tally.sent;
                    let query = question(number);
                    tally.sent += 1;
                    let answer =
                        stream.write_all(&framed(&query)).and_then(|()| read_framed(&mut stream)).map_err(|error| {
                            tally.lost.push(number);
                            tally.note(Err(format!("a question over TCP: {error}")));
                        });
                    let Ok(answer) = answer else { continue 'connections };
                    tally.answered += 1;
                    tally.note(is_answer(&query, &answer).and_then(|()| check(number, &answer)));
                    // A hundred or two a second: the load is that of UDP.
                    thread::sleep(Duration::from_millis(5));
                }
            }
            tally
        });
        Self { stop, thread }
    }

    /// Asks no more.
    #[track_caller]
    pub(crate) fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a client")
    }
}
