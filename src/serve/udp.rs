//! One UDP socket, served by one thread.
//!
//! ```text
//!   serving ──drain──► draining: what the kernel has delivered is answered, no more is let in ──► end
//!      └─────retire──► end at once: another process reads the same socket
//! ```
//!
//! Datagrams are taken and answered one by one: batches (recvmmsg) were measured and gain nothing where the answers
//! are as cheap as here. The thread wakes up a few times a second to see whether it shall stop. A socket that is
//! bound to a wildcard answers from the address that was asked ([`crate::packet_info`]); all others let the kernel
//! choose, who has no choice.

use std::{
    net::{SocketAddr, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recvfrom, sendto},
};

use crate::{
    client::{Client, Transport},
    counters::Cells,
    packet_info::Wildcard,
    rate_limit::{RateLimit, RateLimiter, Slipped, Verdict},
    respond::Answer,
    sockets,
};

/// How long a thread waits for a datagram before it looks whether it shall stop.
pub(crate) const WAIT: Duration = Duration::from_millis(200);
/// How long a thread that stops goes on with what the kernel has delivered: a full receive buffer of 4 MiB holds some
/// 5,000 queries, which take less than a tenth of this.
const DRAIN: Duration = Duration::from_secs(1);
/// Pause after an error of the socket that is not about one datagram.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest request that is read whole; queries are far shorter.
const LONGEST: usize = 4096;

/// What answers a request.
pub(crate) trait Handler: Send + 'static {
    /// The answer to a request.
    fn handle(&mut self, request: &[u8], client: &Client) -> Answer<'_>;

    /// Says whether zone transfers may be given over the connection that the next requests come from; they may at first.
    fn permit_transfers(&mut self, _permitted: bool) {}

    /// Nothing has come for a while: what is kept for the next request alone is let go.
    fn rest(&mut self) {}

    /// The limit of answers over UDP, if there is one.
    #[inline]
    fn rate_limit(&mut self) -> Option<RateLimit> {
        None
    }
}

/// What the threads of a server shall do; all of them see it within [`WAIT`].
#[derive(Debug, Default)]
pub(crate) struct Phase {
    now: AtomicU8,
    /// Another process has the sockets too.
    shared: AtomicBool,
}

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const RETIRED: u8 = 2;

impl Phase {
    /// Answer what the kernel has delivered and end.
    pub(crate) fn drain(&self) {
        self.now.store(DRAINING, Ordering::Relaxed);
    }

    /// End at once: somebody else reads the socket.
    pub(crate) fn retire(&self) {
        self.now.store(RETIRED, Ordering::Relaxed);
    }

    /// From now on the sockets may be read by another process as well, so that they must stay as they are.
    pub(crate) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// The other process is done with them.
    pub(crate) fn own(&self) {
        self.shared.store(false, Ordering::Relaxed);
    }

    /// True where another process goes on with the sockets, or may do so.
    pub(crate) fn leaves_sockets(&self) -> bool {
        self.get() == RETIRED || self.shared.load(Ordering::Relaxed)
    }

    /// False once an end was ordered.
    pub(crate) fn is_serving(&self) -> bool {
        self.get() == SERVING
    }

    #[inline]
    fn get(&self) -> u8 {
        self.now.load(Ordering::Relaxed)
    }
}

/// What the thread of a socket needs.
#[derive(Debug)]
pub(crate) struct Worker<H> {
    pub(crate) handler: H,
    pub(crate) cells: Arc<Cells>,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) phase: Arc<Phase>,
}

/// How datagrams are taken and sent.
pub(crate) trait Exchange {
    /// The way back.
    type Route;

    /// What is read.
    fn socket(&self) -> &UdpSocket;

    /// Takes a datagram: its length, its source and the way back. None for what has no internet address, which these
    /// sockets never see.
    fn receive(&mut self, request: &mut [u8], wait: bool) -> Result<Option<(usize, SocketAddr, Self::Route)>, Errno>;

    /// Sends an answer.
    fn send(&mut self, answer: &[u8], route: &Self::Route) -> Result<(), Errno>;
}

/// A socket that is bound to one address.
struct Plain<'s>(&'s UdpSocket);

/// Answers what comes in until the phase says to end. A panic costs the request that caused it.
pub(crate) fn serve<H: Handler>(socket: &UdpSocket, mut worker: Worker<H>) {
    match Wildcard::new(socket) {
        Some(mut exchange) => worker.run(&mut exchange),
        None => worker.run(&mut Plain(socket)),
    }
}

impl<H: Handler> Worker<H> {
    fn run(&mut self, exchange: &mut impl Exchange) {
        let mut request = [0; LONGEST];
        let mut deadline = None;
        loop {
            let wait = match self.phase.get() {
                SERVING => true,
                DRAINING => {
                    let deadline = *deadline.get_or_insert_with(|| {
                        if !self.phase.shared.load(Ordering::Relaxed) {
                            sockets::let_no_more_in(exchange.socket());
                        }
                        Instant::now() + DRAIN
                    });
                    if Instant::now() >= deadline {
                        return;
                    }
                    false
                }
                _ => return,
            };
            match catch_unwind(AssertUnwindSafe(|| self.answer_all(exchange, &mut request, wait))) {
                Ok(End::Empty) => return,
                Ok(End::Phase) => {}
                Err(_) => {
                    self.cells.count_panic();
                    tracing::error!(transport = "udp", "a query caused a panic and was lost");
                }
            }
        }
    }

    /// Answers until the phase changes, or the socket is empty if there is nothing to wait for.
    fn answer_all(&mut self, exchange: &mut impl Exchange, request: &mut [u8; LONGEST], wait: bool) -> End {
        let phase = if wait { SERVING } else { DRAINING };
        while self.phase.get() == phase {
            let (length, address, route) = match exchange.receive(request, wait) {
                Ok(Some(received)) => received,
                Err(Errno::AGAIN) if !wait => return End::Empty,
                Err(Errno::AGAIN) => {
                    self.handler.rest();
                    continue;
                }
                Ok(None) | Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot receive from a UDP socket");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let received = self.cells.received();
            let client = Client { address, transport: Transport::Udp };
            let limit = self.handler.rate_limit();
            let answer = self.handler.handle(&request[..length], &client);
            if let (Some(limit), Answer::Message(reply)) = (limit, &answer) {
                match self.limiter.judge(limit, address.ip(), reply) {
                    Verdict::Send => {}
                    Verdict::Drop => {
                        self.cells.limited(received, &client, &request[..length], &Answer::Silence);
                        continue;
                    }
                    Verdict::Slip => {
                        let slipped = Slipped::new(&request[..length], reply.octets);
                        let sent = crate::Reply { octets: slipped.octets(), truncated: true, ..*reply };
                        self.cells.limited(received, &client, &request[..length], &Answer::Message(sent));
                        if exchange.send(slipped.octets(), &route).is_err() {
                            self.cells.count_unsent();
                        }
                        continue;
                    }
                }
            }
            self.cells.answered(received, &client, &request[..length], &answer);
            match answer {
                Answer::Message(reply) => {
                    if exchange.send(reply.octets, &route).is_err() {
                        self.cells.count_unsent();
                    }
                }
                Answer::Silence => {}
                // Never over UDP. Taken apart here, so that nothing is left of an answer that would have to be freed.
                Answer::Transfer(transfer) => drop(transfer),
            }
        }
        End::Phase
    }
}

/// Why a thread left off answering.
enum End {
    /// Something else is to be done.
    Phase,
    /// Nothing is left in the socket.
    Empty,
}

impl Exchange for Plain<'_> {
    type Route = SocketAddr;

    fn socket(&self) -> &UdpSocket {
        self.0
    }

    #[inline]
    fn receive(&mut self, request: &mut [u8], wait: bool) -> Result<Option<(usize, SocketAddr, SocketAddr)>, Errno> {
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let (length, _, from) = recvfrom(self.0, request, flags)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        Ok(from.map(|from| (length, from, from)))
    }

    #[inline]
    fn send(&mut self, answer: &[u8], to: &SocketAddr) -> Result<(), Errno> {
        sendto(self.0, answer, SendFlags::empty(), to).map(|_| ())
    }
}
