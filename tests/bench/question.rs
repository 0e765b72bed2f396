//! One question over UDP and the addresses in its answer: as much DNS as a stopwatch needs, and none of it from what
//! is measured, so that both cannot be wrong in the same way.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// Octets of a header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;
/// Types with class IN, as they stand in questions and records.
pub(crate) const A_IN: [u8; 4] = [0, 1, 0, 1];
pub(crate) const SOA_IN: [u8; 4] = [0, 6, 0, 1];
pub(crate) const AAAA_IN: [u8; 4] = [0, 28, 0, 1];
pub(crate) const AXFR_IN: [u8; 4] = [0, 252, 0, 1];

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: UdpSocket,
    identifier: u16,
}

impl Asker {
    /// One that asks `server` and waits `patience` for each answer.
    pub(crate) fn new(server: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).context("no UDP socket on the loopback interface")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self { socket, identifier: 0 })
    }

    /// The addresses that `name` has, sorted; none if nobody answered.
    pub(crate) fn addresses(&mut self, name: &str) -> io::Result<Option<Vec<Ipv4Addr>>> {
        self.identifier = self.identifier.wrapping_add(1);
        let question = question(self.identifier, name, A_IN);
        // A server that is not there yet is heard of by the next call on the socket.
        if let Err(error) = self.socket.send(&question) {
            return silent(error);
        }
        let mut buffer = [0; 4096];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) if buffer.get(..2) == Some(&self.identifier.to_be_bytes()[..]) => {
                    return Ok(addresses(&buffer[..length]));
                }
                // Too late an answer to a question before.
                Ok(_) => {}
                Err(error) => return silent(error),
            }
        }
    }

    /// Asks again and again until `name` has these addresses; how long that took since `start`.
    pub(crate) fn until(
        &mut self,
        name: &str,
        wanted: &[Ipv4Addr],
        start: Instant,
        deadline: Duration,
        pause: Duration,
    ) -> anyhow::Result<Duration> {
        loop {
            let answer = self.addresses(name)?;
            let passed = start.elapsed();
            if answer.as_deref() == Some(wanted) {
                return Ok(passed);
            }
            if passed > deadline {
                bail!("{name} should have {wanted:?} after {} s, the last answer was {answer:?}", deadline.as_secs());
            }
            thread::sleep(pause);
        }
    }
}

/// Nobody there, or nobody yet.
fn silent<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused => Ok(None),
        _ => Err(error),
    }
}

/// A query without flags; the last argument is type and class.
pub(crate) fn question(identifier: u16, name: &str, asked: [u8; 4]) -> Vec<u8> {
    let mut message = identifier.to_be_bytes().to_vec();
    // No flags; one question.
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(asked);
    message
}

/// The addresses of the answer section, sorted; none if the message is no answer.
fn addresses(message: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let is_answer = message.get(2)? & 0x80 != 0;
    let (questions, answers) = (number(message, 4)?, number(message, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = after_name(message, at)?;
        let fixed = message.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = message.get(at + 10..at + 10 + length)?;
        if fixed[..4] == A_IN
            && let Ok(octets) = <[u8; 4]>::try_from(data)
        {
            found.push(Ipv4Addr::from(octets));
        }
        at += 10 + length;
    }
    found.sort_unstable();
    is_answer.then_some(found)
}

/// The number in two octets.
pub(crate) fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// Where a name that starts at `at` ends; a pointer is its end (RFC 1035 section 4.1.4).
pub(crate) fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xC0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to a question for `a.` with one CNAME and two addresses.
    fn answer() -> Vec<u8> {
        let mut message = question(7, "a", A_IN);
        message[2] = 0x84;
        message[7] = 3;
        message.extend([0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'b', 0xC0, 14]);
        for last in [2, 1] {
            message.extend([1, b'b', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
        }
        message
    }

    #[test]
    fn addresses_behind_a_chain_are_found_and_sorted() {
        assert_eq!(addresses(&answer()), Some(vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)]));
    }

    #[test]
    fn a_message_that_is_cut_off_has_no_addresses() {
        let message = answer();
        for length in 0..message.len() {
            assert_eq!(addresses(&message[..length]), None, "{length} octets");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_no_answer() {
        let unused = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let mut asker = Asker::new(unused, Duration::from_millis(50)).expect("a socket");
        assert_eq!(asker.addresses("example.com").expect("silence is no error"), None);
    }
}
