//! Calls to the peer: one connection each, with limits on time and size.
//!
//! A peer is beside us or a call away, and calls are few: a connection that is kept would save nothing that counts
//! and would have to be mended when the peer restarts.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use mcdns_publish::PublishError;
use tokio::net::TcpStream;

use crate::wire::{MEDIA_TYPE, shorten};

/// Of an answer that is no success, so much is read for its words.
const WORDS: usize = 4096;

/// Where the peer is, and how long it may take.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// `host:port`.
    authority: String,
    /// In front of the paths of the protocol; without a final slash.
    prefix: String,
    /// For one call, from connecting to the last octet.
    pub(crate) timeout: Duration,
    /// Largest body of an answer, in octets.
    pub(crate) max_body: usize,
}

/// What the peer said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// A peer at this URL.
    ///
    /// # Errors
    ///
    /// It is no URL of one; `what is wrong; help: what would be right`.
    pub(crate) fn new(url: &str, timeout: Duration, max_body: usize) -> Result<Self, String> {
        const HELP: &str = "help: write http://HOST:PORT, such as http://127.0.0.1:8888";
        let uri: Uri = url.parse().map_err(|error| format!("is no URL: {error}; {HELP}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(format!("the webhook protocol has no TLS; run the peer beside this program; {HELP}"));
            }
            _ => return Err(format!("is no http URL; {HELP}")),
        }
        let authority = uri.authority().ok_or_else(|| format!("names no host; {HELP}"))?;
        if authority.as_str().contains('@') {
            return Err(format!("the webhook protocol has no passwords; {HELP}"));
        }
        if uri.query().is_some() {
            return Err(format!("has a query; {HELP}"));
        }
        let port = authority.port_u16().unwrap_or(80);
        let authority = format!("{}:{port}", authority.host());
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority, prefix, timeout, max_body })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, PublishError> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, PublishError> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer, PublishError> {
        let named = format!("{method} http://{}{}{path}", self.authority, self.prefix);
        match tokio::time::timeout(self.timeout, self.exchange(method, path, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Trouble::Unavailable(words))) => {
                Err(PublishError::Unavailable { words: format!("{named}: {}", shorten(&words)) })
            }
            Ok(Err(Trouble::Garbage(words))) => {
                Err(PublishError::Garbage { words: format!("{named}: {}", shorten(&words)) })
            }
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                Err(PublishError::Unavailable { words: format!("{named}: no answer within {seconds} s") })
            }
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer, Trouble> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return Err(Trouble::Unavailable(error.to_string())),
        };
        // A request is written at once; there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("mcdns/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, MEDIA_TYPE);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, MEDIA_TYPE);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|error| Trouble::Garbage(error.to_string()))?;
        let talk = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let content_type = text(header::CONTENT_TYPE).to_owned();
            let retry_after = text(header::RETRY_AFTER).trim().parse().ok().map(Duration::from_secs);
            let most = if status.is_success() { self.max_body } else { WORDS };
            let body = match Limited::new(answer.into_body(), most).collect().await {
                Ok(body) => body.to_bytes().to_vec(),
                // What an error says beyond that nobody reads.
                Err(_) if !status.is_success() => Vec::new(),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                    return Err(Trouble::Garbage(format!("the answer has more than {most} octets")));
                }
                Err(error) => return Err(Trouble::Unavailable(error.to_string())),
            };
            Ok(Answer { status, content_type, retry_after, body })
        };
        // The connection goes with the answer; nothing is left behind where the time is over.
        let mut connection = std::pin::pin!(connection);
        let mut talk = std::pin::pin!(talk);
        tokio::select! {
            answer = &mut talk => answer,
            ended = &mut connection => match ended {
                // The answer may be there already.
                Ok(()) => talk.await,
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Where the peer is, for logs.
    pub(crate) fn place(&self) -> String {
        format!("http://{}{}", self.authority, self.prefix)
    }
}

/// Why there is no answer.
enum Trouble {
    Unavailable(String),
    Garbage(String),
}

impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Self {
        let mut words = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            words = format!("{words}: {inner}");
            source = inner.source();
        }
        if error.is_parse() { Self::Garbage(words) } else { Self::Unavailable(words) }
    }
}

impl Answer {
    /// The peer's own words, where it gave some.
    pub(crate) fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let status = self.status;
        match shorten(&text) {
            text if text.is_empty() => format!("the peer answered {status}"),
            text => format!("the peer answered {status}: {text}"),
        }
    }

    /// What an answer that is no success means, where nothing was to be changed by it.
    pub(crate) fn trouble(&self, asked: &str) -> PublishError {
        let words = format!("{asked}: {}", self.words());
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PublishError::Denied { words },
            StatusCode::TOO_MANY_REQUESTS => PublishError::Throttled { after: self.retry_after, words },
            status if status.is_server_error() && self.retry_after.is_some() => {
                PublishError::Throttled { after: self.retry_after, words }
            }
            status if status.is_server_error() => PublishError::Unavailable { words },
            _ => PublishError::Garbage { words },
        }
    }
}
