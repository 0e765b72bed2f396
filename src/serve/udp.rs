//! One UDP socket, served by one thread.
//!
//! Datagrams are taken and answered one by one: batches (recvmmsg) were measured and gain nothing where the answers
//! are as cheap as here. The thread wakes up a few times a second to see whether it shall stop.

use std::{
    net::{SocketAddr, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketAddrAny, recvfrom, sendto},
};

use crate::{
    client::{Client, Transport},
    counters::Cells,
    respond::Answer,
};

/// How long a thread waits for a datagram before it looks whether it shall stop.
pub(crate) const WAIT: Duration = Duration::from_millis(200);
/// Pause after an error of the socket that is not about one datagram.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest request that is read whole; queries are far shorter.
const LONGEST: usize = 4096;

/// What answers a request.
pub(crate) trait Handler: Send + 'static {
    /// The answer to a request.
    fn handle(&mut self, request: &[u8], client: &Client) -> Answer<'_>;
}

/// Answers what comes in until `stop`. A panic costs the request that caused it.
pub(crate) fn serve(socket: &UdpSocket, handler: &mut impl Handler, cells: &Cells, stop: &AtomicBool) {
    let mut request = [0; LONGEST];
    while !stop.load(Ordering::Relaxed) {
        let loop_until_stop = AssertUnwindSafe(|| answer_all(socket, handler, cells, stop, &mut request));
        if catch_unwind(loop_until_stop).is_err() {
            cells.count_panic();
            tracing::error!(transport = "udp", "a query caused a panic and was lost");
        }
    }
}

fn answer_all(
    socket: &UdpSocket,
    handler: &mut impl Handler,
    cells: &Cells,
    stop: &AtomicBool,
    request: &mut [u8; LONGEST],
) {
    while !stop.load(Ordering::Relaxed) {
        let (length, from) = match recvfrom(socket, &mut request[..], RecvFlags::empty()) {
            Ok((length, _, Some(from))) => (length, from),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot receive from a UDP socket");
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        let Some(address) = source(&from) else { continue };
        let received = cells.received();
        let client = Client { address, transport: Transport::Udp };
        let answer = handler.handle(&request[..length], &client);
        cells.answered(received, &client, &request[..length], &answer);
        if let Answer::Message(reply) = answer
            && sendto(socket, reply.octets, SendFlags::empty(), &from).is_err()
        {
            cells.count_unsent();
        }
    }
}

/// The address as a value; none for what is no internet address, which these sockets never see.
#[inline]
fn source(from: &SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(from.clone()).ok()
}
