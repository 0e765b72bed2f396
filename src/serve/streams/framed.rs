//! The conversation of a stream of messages with their lengths in front (RFC 1035 section 4.2.2, RFC 7766): over TCP
//! and over TLS.
//!
//! ```text
//!   stream ──► shared buffer ──► whole messages ──► answers ──► shared buffer ──► stream
//!                   │                    │                           │
//!                   └─► `input`:         └─► `transfers`: one        └─► `output`: what the client does
//!                       a message in         message at a time,          not take yet; nothing is read
//!                       pieces               when all else is sent       while there is some
//! ```
//!
//! All messages that came in are answered before anything is written, in order and in one write. What is asked behind
//! a transfer that is under way is answered between its messages (RFC 7766 sections 6.2.1.1 and 7); no other answer can
//! hold one up, since each is there at once. A connection that has nothing under way keeps no buffer.
//!
//! Limits: a connection may be silent for `idle`, and a message or an answer may take as long; octets that come one by
//! one are no sign of life, whole messages are. It lives for `lifetime`, then only what is under way is finished. What
//! waits for one client is at most [`GATHER`] octets and one answer, and what came in of it at most one message more
//! than is read at a time; both are counted (see [`account`](super::account)).

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    account::{Full, Part, Share},
    desk::{Desk, Messages, Outcome},
    places::{Dismissal, Place},
};
use crate::{client::Client, udp::Handler};

/// Octets that are read at a time: some 400 queries, while the answers fit what is gathered.
pub(crate) const READ: usize = 16 * 1024;
/// Octets of answers that are gathered before they are written.
const GATHER: usize = 64 * 1024;
/// Room in front of what is read for the start of a message that came before; nearly every query fits.
pub(crate) const FRONT: usize = 512;
/// Transfers that one connection may have under way; while there are as many, nothing more is read.
const TRANSFERS: usize = 8;
/// Writes and reads of one connection before others get their turn.
const TURNS: u32 = 16;
/// Reads after which a connection that shall end does so, even if there is more.
const LAST_READS: u32 = 8;

/// Answers the messages of one connection until its client closes its side, is too slow, or the place is taken away.
/// `transfers` says whether zone transfers may be given. An error is the client's business.
pub(crate) async fn converse<S, H>(
    stream: S,
    client: Client,
    transfers: bool,
    desk: &Desk<H>,
    share: &Rc<Share>,
    place: &Place,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    Conversation::new(stream, client, transfers, desk, share, place).run().await
}

/// How far a conversation is.
///
/// ```text
///   Open ──► Last ──► Over
///     └─────────────────▲   the client closed its side
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// It shall end: what is already here is still answered, in so many reads at most. If patient, so is a message that
    /// is on its way.
    Last {
        reads: u32,
        patient: bool,
    },
    /// Nothing more is read; what is under way is finished.
    Over,
}

struct Conversation<'a, S, H> {
    stream: S,
    client: Client,
    desk: &'a Desk<H>,
    place: &'a Place,
    /// What came in and is not answered: the start of a message, or more where answers had to wait.
    input: Vec<u8>,
    input_kept: Part,
    output: Waiting,
    /// Whether something was written that the stream may keep back.
    unflushed: bool,
    transfers_allowed: bool,
    transfers: VecDeque<Box<dyn Messages>>,
    phase: Phase,
    /// Whether a message was answered.
    asked: bool,
    /// Whether the place was told last that the connection is busy; none where something happened since.
    told: Option<bool>,
    /// When a whole message came or something was taken from us.
    last: Instant,
    end: Instant,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin, H: Handler> Conversation<'a, S, H> {
    fn new(
        stream: S,
        client: Client,
        transfers_allowed: bool,
        desk: &'a Desk<H>,
        share: &Rc<Share>,
        place: &'a Place,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            client,
            desk,
            place,
            input: Vec::new(),
            input_kept: share.part(),
            output: Waiting { octets: Vec::new(), taken: 0, kept: share.part() },
            unflushed: false,
            transfers_allowed,
            transfers: VecDeque::new(),
            phase: Phase::Open,
            asked: false,
            told: None,
            last: now,
            end: now + desk.options.lifetime,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        let mut timer = pin!(sleep_until(self.deadline()));
        std::future::poll_fn(|context| self.poll(context, timer.as_mut())).await
    }

    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<io::Result<()>> {
        if self.phase == Phase::Open
            && let Poll::Ready(dismissal) = self.place.poll_dismissed(context)
        {
            if dismissal == Dismissal::ForAnother && self.is_busy() {
                // It was not idle, so it waits for a client that does not read.
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // A query of a new connection may still be on its way when the server stops.
            self.phase = Phase::Last { reads: LAST_READS, patient: dismissal == Dismissal::Stop };
        }
        loop {
            if let Poll::Ready(result) = self.poll_turns(context) {
                return Poll::Ready(result);
            }
            let busy = self.is_busy();
            if self.told != Some(busy) {
                self.told = Some(busy);
                self.place.touch(busy);
            }
            // The timer is moved only when it rings, so that messages cost it nothing.
            ready!(timer.as_mut().poll(context));
            self.look_at_clock()?;
            timer.as_mut().reset(self.deadline());
        }
    }

    /// Reads, answers and writes until there is nothing to do, or it is the turn of others.
    fn poll_turns(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            ready!(self.poll_send(context))?;
            let mut moved = self.answer_kept(context)?;
            if !moved && self.may_read() {
                moved = self.poll_take(context)?.is_ready();
            }
            if self.output.octets.is_empty() {
                moved |= self.continue_transfer(context)?;
            }
            if !moved {
                if self.phase != Phase::Over || !self.transfers.is_empty() {
                    return Poll::Pending;
                }
                // What is left of the input is no whole message.
                return Pin::new(&mut self.stream).poll_shutdown(context);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits. Ready when nothing does.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.octets.is_empty() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(context, self.output.left()))?;
            self.output.take(taken)?;
            self.unflushed = true;
            self.note();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn may_read(&mut self) -> bool {
        if self.transfers.len() >= TRANSFERS || !self.output.octets.is_empty() {
            return false;
        }
        match &mut self.phase {
            Phase::Open => true,
            Phase::Last { reads: 0, .. } => {
                self.phase = Phase::Over;
                false
            }
            Phase::Last { reads, .. } => {
                *reads -= 1;
                true
            }
            Phase::Over => false,
        }
    }

    /// Reads once and answers what came in whole.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = self.desk.input.borrow_mut();
        let (front, room) = buffer.split_at_mut(FRONT);
        let mut room = ReadBuf::new(room);
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut room) else {
            if let Phase::Last { patient, .. } = self.phase
                && !(patient && (!self.asked || !self.input.is_empty()))
            {
                self.phase = Phase::Over;
            }
            return Poll::Pending;
        };
        read?;
        let length = room.filled().len();
        if length == 0 {
            self.phase = Phase::Over;
            return Poll::Ready(Ok(()));
        }
        let kept = self.input.len();
        if kept > front.len() {
            self.input_kept.hold(kept + length)?;
            self.input.extend_from_slice(room.filled());
            drop(buffer);
            self.answer_kept(context)?;
            return Poll::Ready(Ok(()));
        }
        let start = FRONT - kept;
        buffer[start..FRONT].copy_from_slice(&self.input);
        let came = &buffer[start..FRONT + length];
        let done = self.answer(came, context)?;
        if done == came.len() {
            // Idle connections keep no buffer.
            self.input = Vec::new();
        } else {
            self.input.clear();
            self.input.extend_from_slice(&came[done..]);
        }
        self.input_kept.hold(self.input.len())?;
        Poll::Ready(Ok(()))
    }

    /// Answers what was kept and is whole; true if there was any.
    fn answer_kept(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.transfers.len() >= TRANSFERS || first_message(&self.input).is_none() {
            return Ok(false);
        }
        let mut input = std::mem::take(&mut self.input);
        let done = self.answer(&input, context)?;
        if done < input.len() {
            input.drain(..done);
            input.shrink_to(FRONT.max(input.len()));
            self.input = input;
        }
        self.input_kept.hold(self.input.len())?;
        Ok(true)
    }

    /// Answers the whole messages at the start of `input` and writes the answers; says how many octets are done.
    fn answer(&mut self, input: &[u8], context: &mut Context<'_>) -> io::Result<usize> {
        let mut output = self.desk.output.borrow_mut();
        output.clear();
        let mut done = 0;
        while let Some(message) = first_message(&input[done..]) {
            if output.len() >= GATHER || self.transfers.len() >= TRANSFERS {
                break;
            }
            done += 2 + message.len();
            match self.desk.answer(&self.client, message, self.transfers_allowed, &mut output) {
                Outcome::Answered => {}
                Outcome::Transfer(transfer) => self.transfers.push_back(transfer),
                Outcome::Silence | Outcome::Lost => {
                    // Who sends what is no query is not listened to any longer.
                    self.phase = Phase::Over;
                    done = input.len();
                    break;
                }
            }
        }
        if done > 0 {
            self.note();
            self.asked = true;
        }
        self.write(&output, context)?;
        if output.capacity() > 2 * GATHER {
            output.clear();
            output.shrink_to(GATHER);
        }
        Ok(done)
    }

    /// Gathers messages of the first transfer and writes them; false where there is none.
    fn continue_transfer(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let Some(transfer) = self.transfers.front_mut() else { return Ok(false) };
        let mut output = self.desk.output.borrow_mut();
        output.clear();
        let mut message = Vec::new();
        while output.len() < GATHER {
            let next = self.desk.next_message(&self.client, &mut **transfer, &mut message, &mut output);
            match next {
                Ok(true) => {}
                Ok(false) => {
                    self.transfers.pop_front();
                    break;
                }
                // The connection ends, so that nobody takes what was sent for the whole zone.
                Err(_) => return Err(io::ErrorKind::Other.into()),
            }
        }
        self.note();
        self.write(&output, context)?;
        Ok(true)
    }

    /// Writes what the stream takes at once and keeps the rest. Nothing waits when this is called.
    fn write(&mut self, mut octets: &[u8], context: &mut Context<'_>) -> io::Result<()> {
        while !octets.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, octets) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(taken) => {
                    octets = &octets[taken?..];
                    self.unflushed = true;
                }
                Poll::Pending => return self.output.keep(octets),
            }
        }
        Ok(())
    }

    /// What follows from the time: too long silent, too long alive.
    fn look_at_clock(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if now >= self.end && self.phase == Phase::Open {
            self.phase = Phase::Last { reads: LAST_READS, patient: false };
        }
        if now < self.last + self.desk.options.idle {
            return Ok(());
        }
        // Whose end was begun before had its time for it.
        if self.phase == Phase::Over || self.is_busy() || self.unflushed {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.phase = Phase::Over;
        self.last = now;
        Ok(())
    }

    fn is_busy(&self) -> bool {
        !self.output.octets.is_empty() || !self.transfers.is_empty()
    }

    /// A sign of life.
    fn note(&mut self) {
        self.last = Instant::now();
        self.told = None;
    }

    fn deadline(&self) -> Instant {
        let idle = self.last + self.desk.options.idle;
        if self.phase == Phase::Open { idle.min(self.end) } else { idle }
    }
}

/// Octets that a client has not taken.
struct Waiting {
    octets: Vec<u8>,
    taken: usize,
    kept: Part,
}

impl Waiting {
    fn left(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    fn keep(&mut self, octets: &[u8]) -> io::Result<()> {
        self.kept.owe(self.octets.len() + octets.len())?;
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    fn take(&mut self, taken: usize) -> io::Result<()> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.taken += taken;
        if self.taken == self.octets.len() {
            (self.octets, self.taken) = (Vec::new(), 0);
            self.kept.owe(0)?;
        }
        Ok(())
    }
}

impl From<Full> for io::Error {
    fn from(full: Full) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, full)
    }
}

/// The message that `input` starts with, if all of it is there.
#[inline]
pub(crate) fn first_message(input: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    input.get(2..2 + length)
}

#[cfg(test)]
#[path = "framed_tests.rs"]
mod tests;
