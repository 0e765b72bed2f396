//! A steady stream of queries that counts what is lost.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// UDP sockets that queries are sent from in turn, so that the kernel spreads them among all sockets of the server.
const CLIENTS: usize = 32;
/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until it is told to stop, and says how many queries and answers there were.
type Work = fn(SocketAddr, &[u8], &AtomicBool, &AtomicUsize) -> io::Result<(usize, usize)>;

/// 2,000 queries a second over UDP, and one new TCP connection with one query after the other.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<io::Result<(usize, usize)>>>,
}

impl Traffic {
    pub(crate) fn start(server: SocketAddr, query: &[u8]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let run = |work: Work| {
            let (query, stop, answered) = (query.to_vec(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || work(server, &query, &stop, &answered))
        };
        let threads = vec![run(ask_over_udp), run(ask_over_tcp)];
        Self { stop, answered, threads }
    }

    /// Returns when so many more answers have come over UDP.
    pub(crate) fn wait_for(&self, answers: usize) {
        let (start, wanted) = (Instant::now(), self.answered.load(Ordering::Relaxed) + answers);
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(start.elapsed() < PATIENCE, "answers stay out");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it: queries sent and answers that came, over UDP and TCP.
    pub(crate) fn finish(self) -> [(usize, usize); 2] {
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = self.threads.into_iter().map(|thread| thread.join().expect("no panic").expect("no error"));
        [counts.next().expect("UDP"), counts.next().expect("TCP")]
    }
}

fn ask_over_udp(
    server: SocketAddr,
    query: &[u8],
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> io::Result<(usize, usize)> {
    let mut sockets = Vec::new();
    for _ in 0..CLIENTS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let (start, mut sent, mut received, mut last) = (Instant::now(), 0, 0, Instant::now());
    let mut reply = [0; 512];
    while !stop.load(Ordering::Relaxed) || (received < sent && last.elapsed() < PATIENCE) {
        let due = usize::try_from(start.elapsed().as_millis()).unwrap_or(usize::MAX) * 2;
        while sent < due && !stop.load(Ordering::Relaxed) {
            sockets[sent % CLIENTS].send(query)?;
            sent += 1;
        }
        for socket in &sockets {
            while socket.recv(&mut reply).is_ok() {
                (received, last) = (received + 1, Instant::now());
            }
        }
        answered.store(received, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
    Ok((sent, received))
}

fn ask_over_tcp(server: SocketAddr, query: &[u8], stop: &AtomicBool, _: &AtomicUsize) -> io::Result<(usize, usize)> {
    let framed = [&u16::try_from(query.len()).unwrap_or(0).to_be_bytes()[..], query].concat();
    let (mut sent, mut received) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        sent += 1;
        let mut length = [0; 2];
        let exchange = stream.write_all(&framed).and_then(|()| stream.read_exact(&mut length));
        received += usize::from(exchange.is_ok());
    }
    Ok((sent, received))
}
