//! DNS over HTTPS (RFC 8484): HTTP/1.1 and HTTP/2 by ALPN, one message in each request.
//!
//! ```text
//!   GET PATH?dns=BASE64URL   ─┐
//!   HEAD the same            ─┼─► message ──► answer: 200, application/dns-message, Cache-Control: max-age
//!   POST PATH, body          ─┘               (an error of DNS is a good HTTP response, section 4.2.1)
//! ```
//!
//! Zone transfers are refused: they have many messages, and a response has one. What is no message gets 400, so does
//! what is no query; 404, 405, 413, 414 and 415 say the rest. 431 is for a header that is too long.
//!
//! Limits: 100 requests at a time on one connection, 32 KB of header, one message of body; a connection may be silent,
//! a body may take, and a client that has enough may leave its answers as long as the listener says. Bodies and answers
//! are counted until they are taken (see [`account`](super::account)).

use std::{
    cell::Cell,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt as _, Full as Whole};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Buf, Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT},
    http::request::Parts,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    task::spawn_local,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    account::{Full, Part, Share},
    apart::{Apart, Gathered},
    desk::{Desk, Outcome},
    places::{Dismissal, Place},
    records::freshness,
};
use crate::{client::Client, udp::Handler};

/// ALPN of HTTP/2 (RFC 9113 section 3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";
/// ALPN of HTTP/1.1 (RFC 7301 section 6).
pub(crate) const HTTP_1: &[u8] = b"http/1.1";
/// The media type of messages (RFC 8484 section 6).
const MESSAGE: &str = "application/dns-message";
/// Longest message.
const LONGEST: usize = 65_535;
/// Octets of the body of a wrong request that are read and forgotten: clients that are cut off in the middle of a body
/// do not hear why.
const PASSED_OVER: usize = 256 * 1024;
/// Longest query string; messages that are longer come by POST.
const LONGEST_QUERY: usize = 16 * 1024;
/// Octets of a request's header; also of what is read at a time over HTTP/1.1.
const HEADER: usize = 32 * 1024;
/// The same over HTTP/2, where a stream is reset for more than this; between the two is room to say why (431).
const HEADER_LIST: u32 = 64 * 1024;
/// Requests at a time on one connection (RFC 9113 section 6.5.2: "no smaller than 100").
const STREAMS: u32 = 100;
/// Octets that may come in on one stream before they are read (RFC 9113 section 6.9.2), and on a connection.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 4 * 65_535;
/// Octets of answers that a stream keeps for a client that does not read.
const SEND: usize = 64 * 1024;

/// Serves one connection until its client closes it, is silent for too long, or the place is taken away.
pub(crate) async fn serve<H: Handler>(
    stream: TlsStream<Gathered>,
    client: Client,
    path: &Arc<str>,
    desk: &Rc<Desk<H>>,
    share: &Rc<Share>,
    place: &Place,
) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    let (idle, last) = (desk.options.idle, Rc::new(Cell::new(Instant::now())));
    let is_apart = Rc::new(Cell::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        if !is_apart.get() && takes_one_answer_of_a_record(request.headers()) {
            is_apart.set(true);
        }
        let (desk, path, last) = (Rc::clone(desk), Arc::clone(path), Rc::clone(&last));
        let kept = share.part();
        async move {
            last.set(Instant::now());
            let response = respond(request, &client, &path, &desk, kept).await;
            last.set(Instant::now());
            response
        }
    });
    let attendance = Attendance { place, idle, end: Instant::now() + desk.options.lifetime, last: &last };
    let attended = async {
        // What breaks is the client's business.
        if is_http2 {
            let connection = http2::Builder::new(Local)
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(HEADER_LIST)
                .max_send_buf_size(SEND)
                .serve_connection(TokioIo::new(Apart::new(stream, Rc::clone(&is_apart))), service);
            let _ = attendance.attend(connection).await;
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                .max_header_size(HEADER)
                .max_buf_size(HEADER)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            let _ = attendance.attend(connection).await;
        }
    };
    tokio::select! {
        () = attended => {}
        // All that it keeps goes with it.
        () = share.until_cut_off() => {}
    }
}

/// Runs what hyper wants to be run on the thread of its connection.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// What ends a connection from our side.
struct Attendance<'a> {
    place: &'a Place,
    idle: Duration,
    end: Instant,
    last: &'a Cell<Instant>,
}

impl Attendance<'_> {
    /// Drives the connection. When it shall end, its client is told (GOAWAY, `Connection: close`) and has the idle
    /// time once more for what is under way.
    async fn attend<C: GracefulConnection>(self, connection: C) -> Result<(), C::Error> {
        let mut connection = pin!(connection);
        let mut timer = pin!(sleep_until(self.deadline()));
        let mut told = false;
        let mut seen = self.last.get();
        std::future::poll_fn(|context: &mut Context<'_>| {
            loop {
                if !told && let Poll::Ready(dismissal) = self.place.poll_dismissed(context) {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    // hyper waits for the first request of a connection even then.
                    let patience = if dismissal == Dismissal::Stop { self.idle } else { Duration::ZERO };
                    timer.as_mut().reset(Instant::now() + patience);
                }
                if let Poll::Ready(result) = connection.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                if seen != self.last.get() {
                    seen = self.last.get();
                    self.place.touch(false);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                if told {
                    return Poll::Ready(Ok(()));
                }
                let now = Instant::now();
                if now >= self.deadline() {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    timer.as_mut().reset(now + self.idle);
                } else {
                    timer.as_mut().reset(self.deadline());
                }
            }
        })
        .await
    }

    fn deadline(&self) -> Instant {
        (self.last.get() + self.idle).min(self.end)
    }
}

/// What a request is without its body.
enum Asked {
    Message(Vec<u8>),
    /// The body is the message.
    Body,
}

/// Why there is no message.
enum Fault {
    Status(StatusCode),
    Full(Full),
}

/// The octets of an answer, counted until the last of them is taken.
struct Kept {
    octets: Vec<u8>,
    at: usize,
    _part: Part,
}

async fn respond<H: Handler>(
    request: Request<Incoming>,
    client: &Client,
    path: &str,
    desk: &Desk<H>,
    mut kept: Part,
) -> Result<Response<Whole<Kept>>, Full> {
    let (head, mut body) = request.into_parts();
    let (asked, is_head) = (asked(&head, path), head.method == Method::HEAD);
    // It is not kept while a body comes in.
    drop(head);
    let limit = desk.options.idle;
    let message = match timeout(limit, message(asked, &mut body, &mut kept)).await {
        Ok(Ok(message)) => message,
        Ok(Err(Fault::Status(status))) => {
            let _ = timeout(limit, pass_over(&mut body)).await;
            return Ok(empty(status));
        }
        Ok(Err(Fault::Full(full))) => return Err(full),
        Err(_) => return Ok(empty(StatusCode::REQUEST_TIMEOUT)),
    };
    kept.until_taken(limit).await?;
    let mut answer = Vec::new();
    match desk.answer(client, &message, false, &mut answer) {
        Outcome::Answered => {
            kept.owe(answer.len())?;
            Ok(whole(answer, kept, is_head))
        }
        // Transfers are refused; what is no query gets no answer of DNS.
        Outcome::Silence | Outcome::Transfer(_) => Ok(empty(StatusCode::BAD_REQUEST)),
        Outcome::Lost => Ok(empty(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// What the header asks for, or the status that says what is wrong.
fn asked(head: &Parts, path: &str) -> Result<Asked, StatusCode> {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if fields.sum::<usize>() > HEADER {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if head.uri.path() != path {
        return Err(StatusCode::NOT_FOUND);
    }
    match head.method {
        Method::GET | Method::HEAD => from_query(head.uri.query()).map(Asked::Message),
        Method::POST if is_message(&head.headers) => Ok(Asked::Body),
        Method::POST => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The message of a request, which is counted from now on.
async fn message(asked: Result<Asked, StatusCode>, body: &mut Incoming, kept: &mut Part) -> Result<Vec<u8>, Fault> {
    match asked.map_err(Fault::Status)? {
        Asked::Message(message) => {
            kept.hold(message.len()).map_err(Fault::Full)?;
            Ok(message)
        }
        Asked::Body => from_body(body, kept).await,
    }
}

/// The response with an answer, which has its length in front.
fn whole(framed: Vec<u8>, kept: Part, is_head: bool) -> Response<Whole<Kept>> {
    let answer = framed.get(2..).unwrap_or_default();
    let control = freshness(answer).map_or_else(
        || HeaderValue::from_static("no-store"),
        |seconds| HeaderValue::try_from(format!("max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-store")),
    );
    let length = HeaderValue::from(answer.len());
    let body = if is_head { Whole::default() } else { Whole::new(Kept { octets: framed, at: 2, _part: kept }) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    headers.insert(CACHE_CONTROL, control);
    headers.insert(CONTENT_LENGTH, length);
    response
}

impl Buf for Kept {
    fn remaining(&self) -> usize {
        self.octets.len() - self.at
    }

    fn chunk(&self) -> &[u8] {
        &self.octets[self.at..]
    }

    fn advance(&mut self, count: usize) {
        self.at = (self.at + count).min(self.octets.len());
    }
}

fn empty(status: StatusCode) -> Response<Whole<Kept>> {
    let mut response = Response::new(Whole::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

/// The message in `dns=…` of a query string, base64url without padding (RFC 8484 sections 4.1 and 6).
fn from_query(query: Option<&str>) -> Result<Vec<u8>, StatusCode> {
    let query = query.unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let value = query.split('&').find_map(|pair| pair.strip_prefix("dns=")).ok_or(StatusCode::BAD_REQUEST)?;
    BASE64URL_NOPAD.decode(value.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)
}

/// The message in the body.
async fn from_body(body: &mut Incoming, kept: &mut Part) -> Result<Vec<u8>, Fault> {
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::Status(StatusCode::BAD_REQUEST))?.into_data() else { continue };
        if message.len() + data.len() > LONGEST {
            return Err(Fault::Status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        message.extend_from_slice(&data);
        kept.hold(message.capacity()).map_err(Fault::Full)?;
    }
    Ok(message)
}

/// Reads on to the end of a body, if that is not too far.
async fn pass_over(body: &mut Incoming) {
    let mut left = PASSED_OVER;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// True of clients that lose all answers of a TLS record but the first.
fn takes_one_answer_of_a_record(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"dnsperf/"))
}

/// True if the body is said to be a message; parameters are ignored (RFC 8484 section 6 defines none).
fn is_message(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MESSAGE))
}
