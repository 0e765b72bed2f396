//! DNS over TCP (RFC 7766): many connections on few threads.
//!
//! Messages have their length in front and may come several at once; they are answered in order. A connection gets
//! ten seconds for each next whole message and ten to take an answer, and costs memory in proportion to what was
//! sent, so that slow or idle clients are cheap. Past the limit of connections a new one is closed at once.
//!
//! When the server stops, no more connections are taken. Those that are open are closed as soon as what they asked is
//! answered; a new one, whose first query is still on its way, gets a little time for it.

use std::{
    cell::RefCell,
    io,
    net::TcpListener as StdListener,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    client::{Client, Transport},
    counters::Cells,
    respond::Answer,
    udp::Handler,
};

/// Connections that may be open at a time, over all threads and listeners.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;
/// Time for a whole message to come in, and for an answer to be taken (RFC 7766 section 6.2.3: "a few seconds").
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for connections to come to an end when the server stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause where no connection can be accepted, mostly because file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(50);
/// Octets of answers that are gathered before they are sent.
const GATHER: usize = 16 * 1024;
/// Octets by which the input buffer grows at least.
const GROWTH: usize = 512;

/// Serves the listeners on this thread until `stop` changes.
pub(crate) async fn serve<H: Handler>(
    listeners: Vec<(StdListener, H)>,
    cells: Arc<Cells>,
    open: Arc<AtomicUsize>,
    mut stop: watch::Receiver<bool>,
) {
    let local = LocalSet::new();
    let (alive, mut all_gone) = mpsc::channel(1);
    let accepting = listeners.into_iter().map(|(listener, handler)| {
        let (handler, cells, open) = (RefCell::new(handler), Arc::clone(&cells), Arc::clone(&open));
        let shared = Shared { handler, cells, open, stop: stop.clone(), alive: alive.clone() };
        local.spawn_local(accept(listener, Rc::new(shared)))
    });
    let accepting: Vec<_> = accepting.collect();
    drop(alive);
    local
        .run_until(async {
            // An error means that the server is gone, which is a stop as well.
            _ = stop.wait_for(|stop| *stop).await;
            accepting.iter().for_each(tokio::task::JoinHandle::abort);
            // What is still open then ends with the set.
            _ = timeout(DRAIN, all_gone.recv()).await;
        })
        .await;
}

/// What the connections of one listener have in common on one thread.
struct Shared<H> {
    handler: RefCell<H>,
    cells: Arc<Cells>,
    open: Arc<AtomicUsize>,
    stop: watch::Receiver<bool>,
    /// Dropped when the last connection has ended.
    #[expect(dead_code, reason = "dropping it is its use")]
    alive: mpsc::Sender<()>,
}

/// A place among the open connections, given back on every way out.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Open,
    Close,
}

async fn accept<H: Handler>(listener: StdListener, shared: Rc<Shared<H>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot wait for TCP connections");
            return;
        }
    };
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a TCP connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let before = shared.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&shared.open));
        shared.cells.count_connection(before < MAX_CONNECTIONS);
        if before < MAX_CONNECTIONS {
            let shared = Rc::clone(&shared);
            spawn_local(async move {
                let _place = place;
                // A connection that breaks is the client's business.
                let _ = converse(stream, &Client { address, transport: Transport::Tcp }, &shared).await;
            });
        }
    }
}

/// Answers the messages of one connection in order until the client closes its side or is too slow.
async fn converse<H: Handler>(mut stream: TcpStream, client: &Client, shared: &Shared<H>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let (mut stop, mut stopping, mut asked) = (shared.stop.clone(), false, false);
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let mut done = 0;
        let mut next = Next::Open;
        while let Some(message) = first_message(&input[done..]) {
            done += 2 + message.len();
            next = answer(shared, client, message, &mut output);
            if next == Next::Close || output.len() >= GATHER {
                send(&mut stream, &mut output).await?;
            }
            if next == Next::Close {
                break;
            }
        }
        if done > 0 {
            asked = true;
            input.drain(..done);
            send(&mut stream, &mut output).await?;
            deadline = Instant::now() + PATIENCE;
        }
        input.reserve(GROWTH);
        let is_idle = asked && input.is_empty();
        if !stopping && next == Next::Open {
            tokio::select! {
                biased;
                read = timeout_at(deadline, stream.read_buf(&mut input)) => match read?? {
                    0 => next = Next::Close,
                    _ => continue,
                },
                _ = stop.wait_for(|stop| *stop) => stopping = true,
            }
        }
        if stopping && is_idle {
            next = Next::Close;
        }
        if next == Next::Close || timeout_at(deadline, stream.read_buf(&mut input)).await?? == 0 {
            // What is left of the input is no whole message.
            return timeout(PATIENCE, stream.shutdown()).await?;
        }
    }
}

/// Appends the answer to one message.
fn answer<H: Handler>(shared: &Shared<H>, client: &Client, message: &[u8], output: &mut Vec<u8>) -> Next {
    shared.cells.count_query();
    let handled = catch_unwind(AssertUnwindSafe(|| {
        let mut handler = shared.handler.borrow_mut();
        let answer = handler.handle(message, client);
        shared.cells.count_answer(&answer);
        let Answer::Message(reply) = answer else { return Next::Close };
        let Ok(length) = u16::try_from(reply.octets.len()) else { return Next::Close };
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(reply.octets);
        Next::Open
    }));
    handled.unwrap_or_else(|_| {
        shared.cells.count_panic();
        tracing::error!(transport = "tcp", "a query caused a panic and was lost");
        Next::Close
    })
}

/// Sends what was gathered, and gives back the memory of an answer that was large.
async fn send(stream: &mut TcpStream, output: &mut Vec<u8>) -> io::Result<()> {
    if !output.is_empty() {
        timeout(PATIENCE, stream.write_all(output)).await??;
        output.clear();
        output.shrink_to(GATHER);
    }
    Ok(())
}

/// The message that `input` starts with, if all of it is there.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    input.get(2..2 + length)
}
