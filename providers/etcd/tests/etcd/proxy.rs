//! A way to etcd that counts calls, and loses the one it is told to lose.
//!
//! It passes on frames of HTTP/2 (RFC 9113 section 4.1): a call begins with a HEADERS frame of the client and is answered by
//! one of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// `END_STREAM` and `END_HEADERS`.
const LAST_HEADERS: u8 = 5;
/// What a client says first (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Fault {
    LoseCall,
    LoseAnswer,
    Refuse,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    open: Vec<TcpStream>,
    calls: usize,
    faults: BTreeMap<usize, Fault>,
}

#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Frame {
    kind: u8,
    stream: u32,
    octets: Vec<u8>,
}

impl Proxy {
    /// A way to this port of the loopback interface.
    pub(crate) fn open(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = Self { address: listener.local_addr().expect("an address"), state: Arc::default() };
        let state = proxy.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if lock(&state).is_shut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                lock(&state).open.extend([&client, &server].map(|stream| stream.try_clone().expect("a stream")));
                pass_on(&client, &server, &state);
            }
        });
        proxy
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The connection is cut before the call after so many more arrives.
    pub(crate) fn lose_call(&self, calls: usize) {
        self.plan(calls, Fault::LoseCall);
    }

    /// The connection is cut when the call after so many more was answered.
    pub(crate) fn lose_answer(&self, calls: usize) {
        self.plan(calls, Fault::LoseAnswer);
    }

    /// The call after so many more is refused as by a server that has too much to do.
    pub(crate) fn refuse_call(&self, calls: usize) {
        self.plan(calls, Fault::Refuse);
    }

    /// Cuts everything and lets nobody through, or lets them through again.
    pub(crate) fn shut(&self, is_shut: bool) {
        let mut state = lock(&self.state);
        state.is_shut = is_shut;
        for stream in state.open.drain(..) {
            // One that has ended is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn plan(&self, calls: usize, fault: Fault) {
        let mut state = lock(&self.state);
        let at = state.calls + calls;
        state.faults.insert(at, fault);
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().expect("nobody has failed")
}

/// Two threads for a connection; when one ends, both do.
fn pass_on(client: &TcpStream, server: &TcpStream, state: &Arc<Mutex<State>>) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a stream");
    let cut = |one: TcpStream, other: TcpStream| {
        move || {
            let _ = one.shutdown(Shutdown::Both);
            let _ = other.shutdown(Shutdown::Both);
        }
    };
    let to_client = Arc::new(Mutex::new(copy(client)));
    let answered = Arc::new(Mutex::new(BTreeSet::new()));
    let (end_up, end_down) = (cut(copy(client), copy(server)), cut(copy(client), copy(server)));
    let (mut reader, mut writer) = (copy(client), copy(server));
    let (state, lost, refusals) = (state.clone(), answered.clone(), to_client.clone());
    thread::spawn(move || {
        // However it ends, it ends both ways.
        let _ = up(&mut reader, &mut writer, &state, &lost, &refusals);
        end_up();
    });
    let mut reader = copy(server);
    thread::spawn(move || {
        let _ = down(&mut reader, &to_client, &answered);
        end_down();
    });
}

fn up(
    client: &mut TcpStream,
    server: &mut TcpStream,
    state: &Mutex<State>,
    lost: &Mutex<BTreeSet<u32>>,
    refusals: &Mutex<TcpStream>,
) -> io::Result<()> {
    let mut preface = [0; PREFACE];
    client.read_exact(&mut preface)?;
    server.write_all(&preface)?;
    let mut refused = BTreeSet::new();
    loop {
        let frame = read(client)?;
        if refused.contains(&frame.stream) {
            continue;
        }
        let fault = if frame.kind == HEADERS {
            let mut state = lock(state);
            let call = state.calls;
            state.calls += 1;
            state.faults.remove(&call)
        } else {
            None
        };
        match fault {
            Some(Fault::LoseCall) => return Ok(()),
            Some(Fault::LoseAnswer) => {
                lock(lost).insert(frame.stream);
            }
            Some(Fault::Refuse) => {
                refused.insert(frame.stream);
                // Both sides have to see all header fields, or they would not understand the next ones.
                server.write_all(&frame.octets)?;
                server.write_all(&made(RST_STREAM, 0, frame.stream, &CANCEL))?;
                lock(refusals).write_all(&made(HEADERS, LAST_HEADERS, frame.stream, &refusal()))?;
                continue;
            }
            None => {}
        }
        server.write_all(&frame.octets)?;
    }
}

fn down(server: &mut TcpStream, client: &Mutex<TcpStream>, lost: &Mutex<BTreeSet<u32>>) -> io::Result<()> {
    loop {
        let frame = read(server)?;
        if frame.kind == HEADERS && lock(lost).contains(&frame.stream) {
            return Ok(());
        }
        lock(client).write_all(&frame.octets)?;
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut octets = vec![0; 9];
    stream.read_exact(&mut octets)?;
    let length = u32::from_be_bytes([0, octets[0], octets[1], octets[2]]);
    let (kind, number) = (octets[3], u32::from_be_bytes([octets[5], octets[6], octets[7], octets[8]]));
    octets.resize(9 + usize::try_from(length).expect("24 bits"), 0);
    stream.read_exact(&mut octets[9..])?;
    Ok(Frame { kind, stream: number, octets })
}

fn made(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// Header fields of an answer without content (RFC 7541: `:status: 200` from the static table, the others as they are).
fn refusal() -> Vec<u8> {
    let mut block = vec![0x88];
    for (name, value) in
        [("content-type", "application/grpc"), ("grpc-status", "8"), ("grpc-message", "etcdserver: too many requests")]
    {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
