//! A stream of messages, cut anywhere: the answers are those that the messages get one by one.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use bolero::{Driver, TypeGenerator, check, produce};
use mcdns_serve::{Answer, Client, Listener, Policy, PolicyStore, Responder, Server, SnapshotStore, Transport};

use crate::{exchange::Exchange, laws, words::Dice, world::World};

/// More than any exchange takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// What a client sends, and where it is cut.
#[derive(Debug)]
struct Stream {
    messages: Vec<Vec<u8>>,
    /// What comes behind them and is no whole message.
    rest: Vec<u8>,
    /// Octets of one write after the other; all others come in one.
    pieces: Vec<usize>,
}

impl TypeGenerator for Stream {
    fn generate<D: Driver>(driver: &mut D) -> Option<Self> {
        let count = 1 + Dice(driver).below(6)?;
        let messages = (0..count).map(|_| Some(Exchange::generate(driver)?.request)).collect::<Option<Vec<_>>>()?;
        let mut dice = Dice(driver);
        let rest = match dice.below(3)? {
            0 => dice.octets(1)?,
            1 => [&[1, 0][..], &dice.octets(40)?].concat(),
            _ => Vec::new(),
        };
        let most = *dice.pick(&[1, 3, 40, 400])?;
        let pieces = (0..dice.below(12)?).map(|_| Some(1 + dice.below(most)?)).collect::<Option<_>>()?;
        Some(Self { messages, rest, pieces })
    }
}

#[test]
fn how_a_stream_is_cut_changes_no_answer() {
    let world = World::new();
    let snapshot = &world.snapshots[0].snapshot;
    let store = Arc::new(SnapshotStore::new(snapshot.clone()));
    let policy = Policy::default();
    let listener = Listener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::bind(&[listener], 1, &store, &PolicyStore::new(policy.clone())).expect("a free port");
    let address = server.addresses()[0];
    let responder = Responder::default();
    let mut all = AssertUnwindSafe((responder, &policy, snapshot));
    check!().with_iterations(200).with_generator(produce::<Stream>()).for_each(|stream| {
        let (responder, policy, snapshot) = &mut *all;
        let mut expected = Vec::new();
        let client = Client { address, transport: Transport::Tcp };
        for message in &stream.messages {
            match responder.respond(snapshot, policy, message, &client) {
                Answer::Message(reply) => {
                    expected.extend(u16::try_from(reply.octets.len()).expect("no longer than a message").to_be_bytes());
                    expected.extend(reply.octets);
                }
                // Who sends what is no query is not listened to any longer.
                Answer::Silence => break,
                Answer::Transfer(_) => unreachable!("nobody may have a transfer"),
            }
        }
        assert_eq!(exchange(address, stream), expected);
    });
    assert_eq!(server.counters().sum().tcp.panics, 0);
}

/// Sends everything, closes this side, and gives what came back.
fn exchange(address: SocketAddr, stream: &Stream) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = &stream.rest[..];
    for message in &stream.messages {
        octets.extend(u16::try_from(message.len()).expect("a short message").to_be_bytes());
        octets.extend(message);
        // The connection ends here, and where something was left unread, answers would be lost with it.
        if laws::is_silence(message) {
            rest = &[];
            break;
        }
    }
    octets.extend(rest);
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_nodelay(true).expect("set");
    connection.set_read_timeout(Some(LONG)).expect("set");
    let mut left = &octets[..];
    for piece in &stream.pieces {
        let (now, later) = left.split_at((*piece).min(left.len()));
        connection.write_all(now).expect("sent");
        left = later;
    }
    connection.write_all(left).expect("sent");
    connection.shutdown(Shutdown::Write).expect("closed");
    let mut answers = Vec::new();
    connection.read_to_end(&mut answers).expect("an end");
    answers
}
