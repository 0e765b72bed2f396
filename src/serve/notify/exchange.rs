//! One notification: the message, its tries, and the answer.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering,
    time::Duration,
};

use mcdns_core::{
    answer::Soa,
    dns::{OwnerName, RecordType},
};
use thiserror::Error;
use tokio::{
    net::UdpSocket,
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout_at},
};

use super::{Secondary, Shared};
use crate::{
    clock::Clock,
    request::{CLASS_IN, HEADER, number},
    tsig::{AnswerCheck, AnswerError},
    wire::{AA, OPCODE, QR},
};

/// Opcode NOTIFY, in the third octet of the header (RFC 1996 section 3.7).
const NOTIFY: u8 = 4 << 3;
/// Longest answer that is read whole; they have a question and a signature.
const ANSWER: usize = 4096;

/// The secondary has answered with NOERROR.
#[derive(Debug)]
pub(super) struct Told;

/// Why a secondary was not told.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// Nothing came back that counts.
    #[error("no answer to {0} messages")]
    Silent(usize),
    /// It does not want to know.
    #[error("it answers with RCODE {0}")]
    Refused(u16),
    /// It does not believe us.
    #[error(transparent)]
    Signature(AnswerError),
    /// The settings name a key that they do not have.
    #[error("the key {0} is not known")]
    UnknownKey(OwnerName),
    /// The settings name an address that this machine does not have.
    #[error("{0} is no address of this machine, so nothing can be sent from it")]
    Source(IpAddr),
    /// There is no socket.
    #[error("no message can be sent: {0}")]
    Socket(io::Error),
}

impl Failure {
    /// True where the other side has heard of it: to say the same again is vain.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Signature(_))
    }
}

/// Tells a secondary of the newest serial, as often as there are `tries`; each waits so long for an answer.
pub(super) async fn tell(
    apex: &OwnerName,
    secondary: &Secondary,
    soas: &mut watch::Receiver<Soa>,
    tries: &[Duration],
    shared: &Shared,
    gate: &Semaphore,
) -> Result<Told, Failure> {
    let mut last = Failure::Silent(tries.len());
    for &patience in tries {
        // The gate is never closed.
        let permit = gate.acquire().await;
        let policy = shared.policies.load();
        let key = match &secondary.key {
            Some(name) => Some(policy.keys.find(name).ok_or_else(|| Failure::UnknownKey(name.clone()))?),
            None => None,
        };
        let mut message = encode(apex, &soas.borrow_and_update());
        let question_end = HEADER + apex.as_wire().len() + 4;
        let check = key.map(|key| AnswerCheck::sign(key, &mut message, Clock::default().now()));
        let deadline = Instant::now() + patience;
        match exchange(secondary, &message, question_end, check.as_ref(), deadline, shared).await {
            Ok(Some(0)) => return Ok(Told),
            Ok(Some(rcode)) => return Err(Failure::Refused(rcode)),
            Ok(None) => last = Failure::Silent(tries.len()),
            Err(failure @ Failure::Signature(_)) => return Err(failure),
            Err(failure) => last = failure,
        }
        drop(permit);
        // Where the other side is quickly found to be away, nothing is gained by asking faster.
        sleep_until(deadline).await;
    }
    Err(last)
}

/// Sends the message and waits for an answer to it; its RCODE, or none if there is none in time.
async fn exchange(
    secondary: &Secondary,
    message: &[u8],
    question_end: usize,
    check: Option<&AnswerCheck>,
    deadline: Instant,
    shared: &Shared,
) -> Result<Option<u16>, Failure> {
    let Secondary { address, source, .. } = *secondary;
    let any = || if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source: IpAddr = source.unwrap_or_else(any);
    // A socket of its own for each try: its port is hard to guess, and it hears that address alone.
    let socket = UdpSocket::bind((source, 0)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => Failure::Source(source),
        _ => Failure::Socket(error),
    })?;
    socket.connect(address).await.map_err(Failure::Socket)?;
    socket.send(message).await.map_err(Failure::Socket)?;
    shared.counts.sent.fetch_add(1, Ordering::Relaxed);
    let mut answer = vec![0; ANSWER];
    loop {
        // Otherwise nobody listens there now, or the time is over.
        let Ok(Ok(length)) = timeout_at(deadline, socket.recv(&mut answer)).await else { return Ok(None) };
        let answer = &answer[..length];
        if !is_answer(answer, message, question_end) {
            continue;
        }
        match check.map(|check| check.check(answer, Clock::default().now())) {
            None | Some(Ok(())) => return Ok(Some(u16::from(answer[3] & 15))),
            Some(Err(error @ AnswerError::Refused(_))) => return Err(Failure::Signature(error)),
            // Anybody could have sent it; the right one may still come.
            Some(Err(_)) => {}
        }
    }
}

/// NOTIFY with the SOA in the answer section (RFC 1996 section 3.7).
fn encode(apex: &OwnerName, soa: &Soa) -> Vec<u8> {
    let [high, low] = random_id().to_be_bytes();
    let mut message = vec![high, low, NOTIFY | AA, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    let type_and_class = [RecordType::SOA.0.to_be_bytes(), CLASS_IN.to_be_bytes()].concat();
    message.extend_from_slice(apex.as_wire());
    message.extend_from_slice(&type_and_class);
    let data = soa.data();
    message.extend_from_slice(&[0xc0, 12]);
    message.extend_from_slice(&type_and_class);
    message.extend_from_slice(&soa.ttl.to_be_bytes());
    message.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend_from_slice(&data);
    message
}

/// True for an answer to this very message (RFC 1996 section 3.8): ID, QR, opcode, and the question where there is one.
fn is_answer(answer: &[u8], message: &[u8], question_end: usize) -> bool {
    answer.len() >= HEADER
        && answer[..2] == message[..2]
        && answer[2] & (QR | OPCODE) == QR | NOTIFY
        && match number(answer, 4) {
            0 => true,
            1 => answer
                .get(HEADER..question_end)
                .is_some_and(|question| question.eq_ignore_ascii_case(&message[HEADER..question_end])),
            _ => false,
        }
}

/// A number that nobody outside can guess: a keyed hash with a new key.
#[expect(clippy::cast_possible_truncation, reason = "any 16 bits will do")]
fn random_id() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}
