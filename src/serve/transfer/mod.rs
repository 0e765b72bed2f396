//! Zone transfers (RFC 5936, RFC 1995).

/// An answer of many messages that is made while it is sent. It keeps the zone of one snapshot.
#[derive(Debug)]
pub struct Transfer {
    left: Vec<Vec<u8>>,
}

impl Transfer {
    /// Replaces `message` by the next message, without a length in front; false, and nothing there, after the last.
    pub fn next_message(&mut self, message: &mut Vec<u8>) -> bool {
        message.clear();
        let Some(next) = self.left.pop() else { return false };
        message.extend_from_slice(&next);
        true
    }
}
