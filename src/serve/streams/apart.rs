//! A TLS record of its own for each answer over HTTP/2, for clients that need it, and yet one write for all of them.
//!
//! ```text
//!   hyper ── frames of many answers ──► Apart ── one answer a time ──► TLS ── records ──► Gathered ── flush ──► TCP
//! ```
//!
//! Clients that take one answer from each record lose all others of it: dnsperf does (up to 2.14; nghttp2 drops what
//! its callback was given when that pauses), and waits for them until they are late. BIND writes each answer alone, so
//! that nobody notices there. A record costs 22 octets and about a microsecond, a seventh of a query, so that only
//! connections whose client calls itself dnsperf have them; the system call, which is dear, is saved by gathering the
//! records until all that can be answered now is.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Octets in front of a frame: length, type, flags, stream (RFC 9113 section 4.1).
const HEAD: usize = 9;
/// Types of frames that can end a stream (RFC 9113 sections 6.1 and 6.2), and the flag that says so.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
/// Octets of records that are gathered before they are written; as much as hyper gathers of frames.
const GATHER: usize = 16 * 1024;
/// Room that is made for records at once: some twenty small answers.
const ROOM: usize = 4 * 1024;

/// Frames of HTTP/2 on their way out; ends a write behind each frame that ends a stream, once that is wanted.
#[derive(Debug)]
pub(crate) struct Apart<S> {
    stream: S,
    place: InFrames,
    is_wanted: Rc<Cell<bool>>,
}

/// Where in its frames the output is.
#[derive(Debug, Clone, Copy, Default)]
struct InFrames {
    head: [u8; HEAD],
    /// Octets of `head` that are there.
    begun: usize,
    /// Octets of the payload that are still to come.
    left: usize,
    /// The frame is the last of its stream.
    ends: bool,
}

/// Octets that go out when they are flushed.
#[derive(Debug)]
pub(crate) struct Gathered {
    stream: TcpStream,
    octets: Vec<u8>,
    taken: usize,
    is_on: bool,
}

impl<S> Apart<S> {
    /// Looks at `is_wanted` before each write.
    pub(crate) fn new(stream: S, is_wanted: Rc<Cell<bool>>) -> Self {
        Self { stream, place: InFrames::default(), is_wanted }
    }
}

impl InFrames {
    /// Goes through `octets`, or up to the end of the first stream in them; says how far.
    fn pass(&mut self, octets: &[u8], to_end_of_stream: bool) -> usize {
        let mut at = 0;
        while at < octets.len() {
            if self.left > 0 {
                let passed = self.left.min(octets.len() - at);
                self.left -= passed;
                at += passed;
            } else {
                let taken = (HEAD - self.begun).min(octets.len() - at);
                self.head[self.begun..self.begun + taken].copy_from_slice(&octets[at..at + taken]);
                self.begun += taken;
                at += taken;
                if self.begun < HEAD {
                    break;
                }
                let [high, middle, low, kind, flags, ..] = self.head;
                self.begun = 0;
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            }
            if self.ends && self.left == 0 {
                self.ends = false;
                if to_end_of_stream {
                    break;
                }
            }
        }
        at
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Apart<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let end = self.place.clone().pass(octets, self.is_wanted.get());
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &octets[..end]))?;
        self.place.pass(&octets[..written], false);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Apart<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl Gathered {
    /// Passes all on at once until it is told to gather: what is said in a handshake has nothing to wait for.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, octets: Vec::new(), taken: 0, is_on: false }
    }

    pub(crate) fn gather(&mut self) {
        self.is_on = true;
    }

    /// Writes what was gathered. Ready when nothing is left, and then no room is kept for it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.octets.len() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(context, &self.octets[self.taken..]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += taken;
        }
        (self.octets, self.taken) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_on {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        if self.octets.len() >= GATHER {
            ready!(self.poll_send(context))?;
        }
        if self.octets.is_empty() {
            self.octets.reserve(ROOM);
        }
        for slice in slices {
            self.octets.extend_from_slice(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Gathered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl Drop for Gathered {
    /// What nobody flushed, an alert of TLS as a rule, goes out if there is room for it.
    fn drop(&mut self) {
        let _ = self.stream.try_write(&self.octets[self.taken..]);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    /// Keeps each write, but takes no more at a time than this.
    struct Writes(Vec<Vec<u8>>, usize);

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
            let taken = octets.len().min(self.1);
            self.0.push(octets[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short payload");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    /// The writes that become of these octets.
    async fn written(octets: &[u8], most: usize) -> Vec<Vec<u8>> {
        let mut apart = Apart::new(Writes(Vec::new(), most), Rc::new(Cell::new(true)));
        let mut done = 0;
        while done < octets.len() {
            let mut apart = pin!(&mut apart);
            done += poll_fn(|context| apart.as_mut().poll_write(context, &octets[done..])).await.expect("written");
        }
        apart.stream.0
    }

    #[tokio::test]
    async fn a_write_ends_where_a_stream_does() {
        let (settings, headers) = (frame(4, 1, b"settings"), frame(HEADERS, 4, b"200"));
        let (part, last) = (frame(DATA, 0, b"an"), frame(DATA, END_STREAM, b"answer"));
        let empty = frame(DATA, END_STREAM, b"");
        let refused = frame(HEADERS, 4 | END_STREAM, b"404");
        let first = [&settings[..], &headers, &headers, &part, &last].concat();
        let all = [&first[..], &empty, &refused, &last, &headers].concat();
        assert_eq!(written(&all, usize::MAX).await, [first, empty, refused, last, headers]);
    }

    #[tokio::test]
    async fn nothing_is_taken_apart_before_it_is_wanted() {
        let answer = frame(DATA, END_STREAM, b"answer");
        let twice = [&answer[..], &answer].concat();
        let is_wanted = Rc::new(Cell::new(false));
        let mut apart = pin!(Apart::new(Writes(Vec::new(), usize::MAX), Rc::clone(&is_wanted)));
        // Up to the middle of a head, from where it is known where the next one is.
        for octets in [&[&twice[..], &answer[..5]].concat()[..], &answer[5..], &twice[..answer.len()]] {
            let taken = poll_fn(|context| apart.as_mut().poll_write(context, octets)).await.expect("written");
            assert_eq!(taken, octets.len());
            is_wanted.set(true);
        }
        let taken = poll_fn(|context| apart.as_mut().poll_write(context, &twice)).await.expect("written");
        assert_eq!(taken, answer.len());
    }

    #[tokio::test]
    async fn partial_writes_are_followed() {
        let all = [frame(HEADERS, 4, b"200"), frame(DATA, END_STREAM, b"answer")].concat();
        let twice = [&all[..], &all].concat();
        for most in 1..=all.len() {
            let writes = written(&twice, most).await;
            assert_eq!(writes.concat(), twice);
            let ends: Vec<usize> =
                writes.iter().scan(0, |end, write| Some(*end + write.len()).inspect(|now| *end = *now)).collect();
            assert!(ends.contains(&all.len()), "{most}: {ends:?}");
        }
    }
}
