//! Where the connections of one listener on one thread have their messages answered and counted.

use std::{
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    client::Client, counters::Cells, policy::ListenerOptions, respond::Answer, transfer::Transfer, udp::Handler,
};

/// What answers for one listener on one thread, and the buffers that its connections share: they are used between two
/// waits only, so an idle connection has none.
pub(crate) struct Desk<H> {
    handler: RefCell<H>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) options: ListenerOptions,
    /// What is read at a time.
    pub(crate) input: RefCell<Box<[u8]>>,
    /// Answers that are gathered into one write.
    pub(crate) output: RefCell<Vec<u8>>,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer was appended.
    Answered,
    /// The answer has many messages.
    Transfer(Box<dyn Messages>),
    /// Silence is right.
    Silence,
    /// There was a panic, and there is no answer.
    Lost,
}

/// An answer of many messages, one made after the other.
pub(crate) trait Messages: fmt::Debug {
    /// Replaces `message` by the next message, without a length in front; false after the last.
    fn next_message(&mut self, message: &mut Vec<u8>) -> bool;
}

impl Messages for Transfer {
    fn next_message(&mut self, message: &mut Vec<u8>) -> bool {
        Transfer::next_message(self, message)
    }
}

impl<H: Handler> Desk<H> {
    /// `input` is how many octets are read at a time.
    pub(crate) fn new(handler: H, cells: Arc<Cells>, options: ListenerOptions, input: usize) -> Self {
        let input = RefCell::new(vec![0; input].into_boxed_slice());
        Self { handler: RefCell::new(handler), cells, options, input, output: RefCell::default() }
    }

    /// Appends the answer to one message, with its length in front (RFC 1035 section 4.2.2), to `output`. Transfers
    /// are refused by the handler where they may not be given. The one place where messages of streams are counted.
    #[inline]
    pub(crate) fn answer(&self, client: &Client, message: &[u8], transfers: bool, output: &mut Vec<u8>) -> Outcome {
        let received = self.cells.received();
        let start = output.len();
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let mut handler = self.handler.borrow_mut();
            handler.permit_transfers(transfers);
            let answer = handler.handle(message, client);
            self.cells.answered(received, client, message, &answer);
            match answer {
                Answer::Message(reply) => frame(reply.octets, output),
                Answer::Transfer(transfer) => Outcome::Transfer(transfer),
                Answer::Silence => Outcome::Silence,
            }
        }));
        handled.unwrap_or_else(|_| {
            output.truncate(start);
            self.lost(client);
            Outcome::Lost
        })
    }

    /// Appends the next message of a transfer with its length in front; false after the last. An error where there
    /// is none to be had.
    pub(crate) fn next_message(
        &self,
        client: &Client,
        transfer: &mut dyn Messages,
        message: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<bool, Broken> {
        let Ok(more) = catch_unwind(AssertUnwindSafe(|| transfer.next_message(message))) else {
            self.lost(client);
            return Err(Broken);
        };
        if !more {
            return Ok(false);
        }
        match frame(message, output) {
            Outcome::Answered => Ok(true),
            _ => Err(Broken),
        }
    }

    #[cold]
    fn lost(&self, client: &Client) {
        self.cells.count_panic();
        tracing::error!(transport = client.transport.name(), "a query caused a panic and was lost");
    }
}

/// A transfer that cannot go on: the client must not take it for whole.
#[derive(Debug)]
pub(crate) struct Broken;

#[inline]
fn frame(message: &[u8], output: &mut Vec<u8>) -> Outcome {
    let Ok(length) = u16::try_from(message.len()) else { return Outcome::Silence };
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(message);
    Outcome::Answered
}
