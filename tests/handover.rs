//! A new process takes over from a running one, and nobody who asks notices.

mod program;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use program::{Program, Scratch, edit, mcdns, replace, run, text};

const DEMO: &str = "deploy/demo/two-regions";
const CHECKOUT: &str = "checkout.shop.galactic.svc.example.com";
/// A question for an A record of that name, with ID 0.
const QUESTION: &[u8] =
    b"\0\0\0\0\0\x01\0\0\0\0\0\0\x08checkout\x04shop\x08galactic\x03svc\x07example\x03com\0\0\x01\0\x01";

/// A federation, settings with a place for the hand-over, and a state directory.
struct Fixture {
    _scratch: Scratch,
    directory: PathBuf,
    settings: PathBuf,
    state: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (settings, state) = (scratch.path("settings.yaml"), scratch.path("state"));
        replace(&settings, &format!("version: 1\nserve:\n  handover: {}\n", text(&scratch.path("mcdns.sock"))));
        Self { directory: scratch.copy_of(DEMO), settings, state, _scratch: scratch }
    }

    fn arguments<'a>(&'a self, listen: &'a str) -> Vec<&'a str> {
        let [directory, settings, state] = [&self.directory, &self.settings, &self.state].map(|path| text(path));
        vec![
            "run",
            directory,
            "--settings",
            settings,
            "--state-dir",
            state,
            "--listen",
            listen,
            "--admin",
            "127.0.0.1:0",
        ]
    }

    fn set_address(&self, before: &str, after: &str) {
        edit(&self.directory.join("hosts"), before, after);
    }
}

/// Asks over UDP and over new TCP connections without a pause until it is told to end; says how often it was
/// answered, and how often not.
struct Load {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, usize)>>,
}

impl Load {
    fn new(server: SocketAddr) -> Self {
        let end = Arc::<AtomicBool>::default();
        let spawn = |ask: fn(SocketAddr, &[u8]) -> bool| {
            let end = Arc::clone(&end);
            thread::spawn(move || {
                let (mut answered, mut lost) = (0, 0);
                while !end.load(Ordering::Relaxed) {
                    if ask(server, QUESTION) { answered += 1 } else { lost += 1 }
                }
                (answered, lost)
            })
        };
        let threads = vec![spawn(over_udp), spawn(over_udp), spawn(over_tcp)];
        Self { end, threads }
    }

    #[track_caller]
    fn assert_nothing_lost(self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let (answered, lost) = thread.join().expect("a thread that ends");
            assert!(answered > 50 && lost == 0, "{answered} answered, {lost} lost");
        }
    }
}

/// A new socket each time, so that the kernel gives it to any of the sockets that share the port.
fn over_udp(server: SocketAddr, question: &[u8]) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket.send_to(question, server).expect("sent");
    let mut answer = [0; 512];
    socket.recv(&mut answer).is_ok_and(|length| length > question.len() && answer[3] % 16 == 0)
}

fn over_tcp(server: SocketAddr, question: &[u8]) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let length = u16::try_from(question.len()).expect("a short question");
        stream.write_all(&[&length.to_be_bytes(), question].concat())?;
        let mut head = [0; 6];
        stream.read_exact(&mut head)?;
        Ok(head[5] % 16 == 0)
    };
    ask().unwrap_or(false)
}

#[test]
fn a_successor_answers_without_a_lost_query_and_goes_on_where_the_first_left_off() {
    let fixture = Fixture::new();
    let first = Program::start(&fixture.arguments("127.0.0.1:0"));
    fixture.set_address("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    let (server, serial) = (first.server, first.serial("example.com"));
    let load = Load::new(server);

    let listen = server.to_string();
    let second = Program::start(&fixture.arguments(&listen));
    first.until_end().expect_code(0);
    assert_eq!(second.serial("example.com"), serial, "the same content keeps its serial");
    fixture.set_address("192.0.2.42", "192.0.2.43");
    second.until_data(CHECKOUT, &["192.0.2.43"]);
    assert!(second.serial("example.com") > serial);

    let third = Program::start(&fixture.arguments(&listen));
    second.until_end().expect_code(0);
    load.assert_nothing_lost();
    assert_eq!(third.data(CHECKOUT), ["192.0.2.43"]);
    third.stop().expect_code(0);
}

#[test]
fn a_successor_that_fails_leaves_the_running_program_as_it_was() {
    let fixture = Fixture::new();
    let first = Program::start(&fixture.arguments("127.0.0.1:0"));
    let load = Load::new(first.server);
    let listen = first.server.to_string();

    // It takes the state directory, and then a port of its settings is not to be had.
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let arguments = [fixture.arguments(&listen), vec!["--listen", &taken]].concat();
    let failed = program::finish(&mut mcdns(&arguments)).expect_code(2);
    assert!(failed.stderr.contains("another program has this port"), "{}", failed.told());
    first.until_log_has("the successor failed; observing again");
    first.until_log_has("the state directory is had again");

    fixture.set_address("192.0.2.41", "192.0.2.44");
    first.until_data(CHECKOUT, &["192.0.2.44"]);
    // The state directory is its own again.
    let settings = ["--state-dir", text(&fixture.state), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let other = run(&[&["run", text(&fixture.directory)], &settings[..]].concat()).expect_code(2);
    assert!(other.stderr.contains("is in use by"), "{}", other.told());
    load.assert_nothing_lost();
    first.stop().expect_code(0);
}
