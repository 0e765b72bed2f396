//! Frame Streams: how dnstap messages follow each other in a file or over a socket
//! (<https://farsightsec.github.io/fstrm/>).
//!
//! ```text
//!   file     START, data …, STOP
//!   socket   we: READY ──► they: ACCEPT ──► we: START, data …, STOP ──► they: FINISH
//! ```
//!
//! A data frame is its length and its octets. A control frame is a length of 0, then the length of the rest, its
//! type, and fields of a type and a length each. All numbers have four octets, the highest first.

use std::io::{self, Read, Write};

use thiserror::Error;

/// What the frames carry.
pub(super) const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Longest control frame that is read (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const LONGEST_CONTROL: usize = 512;
/// The one field that control frames have.
const FIELD_CONTENT_TYPE: u32 = 1;

/// Types of control frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Control {
    Accept = 1,
    Start = 2,
    Stop = 3,
    Ready = 4,
    Finish = 5,
}

/// Why there is no stream; trying again later may help.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the receiver does not speak Frame Streams as expected")]
    Unexpected,
    #[error("the receiver does not take dnstap")]
    OtherContent,
}

/// Appends a data frame that `write` fills.
pub(super) fn put_data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    // A message of DNS and its circumstances are far below four gigabytes.
    let length = u32::try_from(out.len() - start - 4).unwrap_or_default();
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A control frame; READY and START say what follows.
pub(super) fn control(kind: Control) -> Vec<u8> {
    let mut body = (kind as u32).to_be_bytes().to_vec();
    if matches!(kind, Control::Ready | Control::Start) {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&length_of(CONTENT_TYPE));
        body.extend_from_slice(CONTENT_TYPE);
    }
    [&[0; 4][..], &length_of(&body), &body].concat()
}

/// Opens a stream over a socket.
pub(super) fn open(mut stream: impl Read + Write) -> Result<(), HandshakeError> {
    stream.write_all(&control(Control::Ready))?;
    let body = read_control(&mut stream)?;
    let Some(fields) = body.strip_prefix(&(Control::Accept as u32).to_be_bytes()) else {
        return Err(HandshakeError::Unexpected);
    };
    accepts_us(fields)?;
    Ok(stream.write_all(&control(Control::Start))?)
}

/// Closes a stream over a socket, and waits until the receiver has taken all of it.
pub(super) fn close(mut stream: impl Read + Write) -> Result<(), HandshakeError> {
    stream.write_all(&control(Control::Stop))?;
    let body = read_control(&mut stream)?;
    if body.starts_with(&(Control::Finish as u32).to_be_bytes()) { Ok(()) } else { Err(HandshakeError::Unexpected) }
}

/// What stands in a control frame behind its length.
fn read_control(stream: &mut impl Read) -> Result<Vec<u8>, HandshakeError> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [0, 0, 0, 0, length @ ..] = head else { return Err(HandshakeError::Unexpected) };
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_CONTROL {
        return Err(HandshakeError::Unexpected);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// One of the content types must be ours; without any, all are taken.
fn accepts_us(mut fields: &[u8]) -> Result<(), HandshakeError> {
    let mut names_some = false;
    while !fields.is_empty() {
        let (kind, rest) = number(fields)?;
        let (length, rest) = number(rest)?;
        let (value, rest) = rest.split_at_checked(length as usize).ok_or(HandshakeError::Unexpected)?;
        if kind == FIELD_CONTENT_TYPE {
            if value == CONTENT_TYPE {
                return Ok(());
            }
            names_some = true;
        }
        fields = rest;
    }
    if names_some { Err(HandshakeError::OtherContent) } else { Ok(()) }
}

fn number(octets: &[u8]) -> Result<(u32, &[u8]), HandshakeError> {
    let (number, rest) = octets.split_first_chunk().ok_or(HandshakeError::Unexpected)?;
    Ok((u32::from_be_bytes(*number), rest))
}

fn length_of(octets: &[u8]) -> [u8; 4] {
    u32::try_from(octets.len()).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the other side says, and what it was told.
    struct Scripted(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for &mut Scripted {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }

    impl Write for &mut Scripted {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.1.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn opened(says: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut stream = Scripted(io::Cursor::new(says.to_vec()), Vec::new());
        open(&mut stream)?;
        Ok(stream.1)
    }

    fn accept(fields: &[&[u8]]) -> Vec<u8> {
        let mut body = 1_u32.to_be_bytes().to_vec();
        for field in fields {
            body.extend([0, 0, 0, 1]);
            body.extend(length_of(field));
            body.extend_from_slice(field);
        }
        [&[0; 4][..], &length_of(&body), &body].concat()
    }

    #[test]
    fn a_stream_is_opened_where_the_receiver_takes_dnstap() {
        let expected = [control(Control::Ready), control(Control::Start)].concat();
        assert_eq!(opened(&accept(&[b"other", CONTENT_TYPE])).expect("accepted"), expected);
        assert_eq!(opened(&accept(&[])).expect("anything is accepted"), expected);
        assert_eq!(expected.len(), 2 * (4 + 4 + 4 + 4 + 4 + 22));
    }

    #[test]
    fn what_is_no_such_receiver_is_left_alone() {
        assert!(matches!(opened(&accept(&[b"other"])), Err(HandshakeError::OtherContent)));
        assert!(matches!(opened(b"HTTP/1.1 400 Bad Request"), Err(HandshakeError::Unexpected)));
        assert!(matches!(opened(&control(Control::Finish)), Err(HandshakeError::Unexpected)));
        assert!(matches!(opened(&[0, 0, 0, 0, 255, 255, 255, 255]), Err(HandshakeError::Unexpected)));
        let mut cut = accept(&[CONTENT_TYPE]);
        for _ in 0..cut.len() {
            cut.pop();
            assert!(matches!(opened(&cut), Err(HandshakeError::Io(_))), "{cut:?}");
        }
        // A field that claims more than there is.
        let mut liar = accept(&[CONTENT_TYPE]);
        liar[19] += 1;
        assert!(matches!(opened(&liar), Err(HandshakeError::Unexpected)));
    }

    #[test]
    fn a_data_frame_is_its_length_and_its_octets() {
        let mut out = b"before".to_vec();
        put_data(&mut out, |out| out.extend_from_slice(b"message"));
        assert_eq!(out, b"before\x00\x00\x00\x07message");
    }
}
