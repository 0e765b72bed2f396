//! dnstap: copies of queries and answers for other programs (<https://dnstap.info>).
//!
//! ```text
//!   serving threads ──► feed ──► writer ──┬─► UNIX socket of a receiver, tried again with back-off
//!                   (bounded)             └─► file, begun anew when it was renamed
//! ```
//!
//! Messages are copied as they were received and sent, the query as `AUTH_QUERY` and the answer as `AUTH_RESPONSE`.
//! The messages of a zone transfer are not copied; its query is. Where rate limiting has changed or dropped the answer,
//! the field `extra` of the copies says so. While nobody listens on the socket nothing is
//! copied at all, and what would have been is counted as dropped. A slow receiver costs copies, never answers.

mod frames;
mod wire;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    num::NonZeroU32,
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prost::Message as _;

use crate::{
    client::Client,
    respond::Answer,
    taps::{Ended, Feed, FeedCounts, LOOK, Next, Outcome, Outlet, Pour, Sink, TapError, feed},
};

use frames::{Control, HandshakeError, control, put_data};
use wire::{Envelope, EnvelopeKind, Exchanged, Kind, SocketProtocol};

/// Time for a receiver to take what is written, and to answer in a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before the second try to connect; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Who may read a file: which names somebody asks for is nobody else's business.
const MODE: u32 = 0o640;
/// Octets of a copy beside its messages, about.
const OVERHEAD: usize = 128;
const PURPOSE: &str = "dnstap";
/// What `extra` says of messages that rate limiting has to do with.
const LIMITED: &[u8] = b"rate limited";

/// Which messages are copied, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnstap {
    /// Who takes them.
    pub output: DnstapOutput,
    /// One of so many queries, at random distances; 1 copies them all.
    pub sample: NonZeroU32,
    /// What the receiver shall know this server by, as a rule the same as NSID says.
    pub identity: Option<Box<str>>,
    /// Which software this is; none: it is not said.
    pub version: Option<Box<str>>,
    /// Copy queries (`AUTH_QUERY`).
    pub queries: bool,
    /// Copy answers (`AUTH_RESPONSE`).
    pub responses: bool,
}

/// Who takes copies of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnstapOutput {
    /// A program that listens on this UNIX socket, such as `fstrm_capture` or `dnstap -u`. It need not be there yet.
    Socket(PathBuf),
    /// This file, which `dnstap-read` prints. One of before is kept with `.old` behind its name.
    File(PathBuf),
}

/// A query and its answer, until they are written.
#[derive(Debug)]
pub(crate) struct Exchange {
    received: SystemTime,
    took: Duration,
    client: Client,
    query: Option<Box<[u8]>>,
    response: Option<Box<[u8]>>,
    /// By rate limiting.
    limited: bool,
}

impl Dnstap {
    /// True if the same writer does for both.
    pub(crate) fn writes_like(&self, other: &Self) -> bool {
        (&self.output, &self.identity, &self.version) == (&other.output, &other.identity, &other.version)
    }
}

impl Exchange {
    /// Octets that one takes while it waits, about.
    pub(crate) fn octets(dnstap: &Dnstap, request: &[u8], answer: &Answer<'_>) -> usize {
        let query = if dnstap.queries { request.len() } else { 0 };
        OVERHEAD + query + response(dnstap, answer).map_or(0, <[u8]>::len)
    }

    pub(crate) fn new(
        dnstap: &Dnstap,
        received: SystemTime,
        took: Duration,
        client: &Client,
        request: &[u8],
        Outcome { answer, limited }: Outcome<'_>,
    ) -> Self {
        let query = dnstap.queries.then(|| request.into());
        Self { received, took, client: *client, query, response: response(dnstap, answer).map(Into::into), limited }
    }
}

fn response<'a>(dnstap: &Dnstap, answer: &Answer<'a>) -> Option<&'a [u8]> {
    match answer {
        Answer::Message(reply) if dnstap.responses => Some(reply.octets),
        _ => None,
    }
}

/// Starts the writer. A file is opened before this returns; a socket is waited for.
pub(crate) fn start(dnstap: &Dnstap, counts: &Arc<FeedCounts>) -> Result<Feed<Exchange>, TapError> {
    let encoder = Encoder::new(dnstap);
    match &dnstap.output {
        DnstapOutput::Socket(path) => {
            let path = path.clone();
            feed("dnstap", PURPOSE, counts, false, move |outlet| write_to_socket(outlet, &path, &encoder))
        }
        DnstapOutput::File(path) => {
            let opened = TapFile::create(path);
            let file = opened.map_err(|source| TapError::File { path: path.clone(), purpose: PURPOSE, source })?;
            feed("dnstap", PURPOSE, counts, true, move |outlet| write_to_file(outlet, file, &encoder))
        }
    }
}

fn write_to_socket(outlet: &Outlet<Exchange>, path: &Path, encoder: &Encoder) {
    let mut pour = Pour::new(outlet);
    let mut pause = FIRST_PAUSE;
    let mut is_said = false;
    loop {
        match connect(path) {
            Ok(mut receiver) => {
                tracing::info!(socket = %path.display(), "dnstap is connected");
                (pause, is_said) = (FIRST_PAUSE, false);
                outlet.set_ready(true);
                let ended = pour.run(&mut receiver, |exchange, frames| encoder.append(exchange, frames));
                outlet.set_ready(false);
                match ended {
                    Ended::Feed => {
                        // A receiver that is slow to say that it is done is its own affair.
                        let _ = frames::close(&receiver.0);
                        return;
                    }
                    Ended::Sink(error) => {
                        tracing::warn!(socket = %path.display(), %error, "dnstap has lost its receiver");
                    }
                }
            }
            Err(error) => {
                if !is_said {
                    let error = causes(&error);
                    tracing::warn!(socket = %path.display(), error, "dnstap has no receiver; it is tried again");
                }
                is_said = true;
            }
        }
        if !throw_away(outlet, pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Lets the time go by; false if there will be nothing to write any more.
fn throw_away(outlet: &Outlet<Exchange>, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        match outlet.next(until.saturating_duration_since(Instant::now())) {
            Next::Item(_) => outlet.count_dropped(1),
            Next::Idle if Instant::now() < until => {}
            Next::Idle => return true,
            Next::End => return false,
        }
    }
}

fn connect(path: &Path) -> Result<Receiver, HandshakeError> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    frames::open(&stream)?;
    Ok(Receiver(stream))
}

/// A program that takes frames over a socket.
struct Receiver(UnixStream);

impl Sink for Receiver {
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.0.write_all(frames)
    }

    /// It says nothing while frames go to it, so that the end is all there is to read.
    fn look(&mut self, _: bool) -> io::Result<()> {
        self.0.set_nonblocking(true)?;
        let read = self.0.read(&mut [0; 64]);
        self.0.set_nonblocking(false)?;
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(0) => Err(io::ErrorKind::ConnectionAborted.into()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        }
    }
}

fn write_to_file(outlet: &Outlet<Exchange>, mut file: TapFile, encoder: &Encoder) {
    let mut pour = Pour::new(outlet);
    let mut is_said = false;
    loop {
        match pour.run(&mut file, |exchange, frames| encoder.append(exchange, frames)) {
            Ended::Feed => {
                file.finish();
                return;
            }
            Ended::Sink(error) => {
                if !is_said {
                    tracing::warn!(file = %file.path.display(), %error, "dnstap cannot write its file");
                }
                is_said = true;
            }
        }
        // The file may end within a frame, so that nothing can follow in it.
        outlet.set_ready(false);
        loop {
            if !throw_away(outlet, LOOK) {
                return;
            }
            if let Ok(next) = TapFile::create(&file.path) {
                file = next;
                break;
            }
        }
        outlet.set_ready(true);
    }
}

/// A file of frames.
struct TapFile {
    path: PathBuf,
    file: File,
}

impl TapFile {
    /// Begins a file; a stream has one start only, so that one of before cannot be gone on with.
    fn create(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|before| before.is_file() && before.len() > 0) {
            let mut old = path.as_os_str().to_owned();
            old.push(".old");
            fs::rename(path, old)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        file.write_all(&control(Control::Start))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The end of the stream. Where it cannot be written, readers say that it is missing and have all the rest.
    fn finish(&mut self) {
        let _ = self.file.write_all(&control(Control::Stop));
    }
}

impl Sink for TapFile {
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.file.write_all(frames)
    }

    /// Begins another file where this one was renamed, or somebody wants it.
    fn look(&mut self, reopen: bool) -> io::Result<()> {
        let ours = self.file.metadata().map(|file| (file.dev(), file.ino()))?;
        let named = fs::metadata(&self.path).map(|file| (file.dev(), file.ino())).ok();
        if reopen || named != Some(ours) {
            self.finish();
            *self = Self::create(&self.path)?;
        }
        Ok(())
    }
}

/// Makes frames of exchanges.
struct Encoder {
    identity: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
}

impl Encoder {
    fn new(dnstap: &Dnstap) -> Self {
        let octets = |text: &Option<Box<str>>| text.as_ref().map(|text| text.as_bytes().to_vec());
        Self { identity: octets(&dnstap.identity), version: octets(&dnstap.version) }
    }

    /// Appends a frame for the query and one for the answer, as far as they were copied.
    fn append(&self, exchange: &Exchange, out: &mut Vec<u8>) {
        let (query_sec, query_nsec) = since_epoch(exchange.received);
        let (response_sec, response_nsec) = since_epoch(exchange.received + exchange.took);
        let (family, address) = wire::address(exchange.client.address.ip());
        let common = Exchanged {
            socket_family: Some(family.into()),
            socket_protocol: Some(SocketProtocol::from(exchange.client.transport).into()),
            query_address: Some(address),
            query_port: Some(exchange.client.address.port().into()),
            query_time_sec: Some(query_sec),
            query_time_nsec: Some(query_nsec),
            ..Exchanged::default()
        };
        if let Some(query) = &exchange.query {
            let query_message = Some(query.to_vec());
            self.put(
                Exchanged { kind: Kind::AuthQuery.into(), query_message, ..common.clone() },
                exchange.limited,
                out,
            );
        }
        if let Some(response) = &exchange.response {
            let exchanged = Exchanged {
                kind: Kind::AuthResponse.into(),
                response_time_sec: Some(response_sec),
                response_time_nsec: Some(response_nsec),
                response_message: Some(response.to_vec()),
                ..common
            };
            self.put(exchanged, exchange.limited, out);
        }
    }

    fn put(&self, message: Exchanged, limited: bool, out: &mut Vec<u8>) {
        let envelope = Envelope {
            identity: self.identity.clone(),
            version: self.version.clone(),
            extra: limited.then(|| LIMITED.to_vec()),
            message: Some(message),
            kind: EnvelopeKind::Message.into(),
        };
        put_data(out, |out| {
            // A vector grows as far as it must.
            let _ = envelope.encode(out);
        });
    }
}

fn since_epoch(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

/// The error with what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
