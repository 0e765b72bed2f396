//! The way to etcd: connections, pages, transactions, and what errors mean.

use std::{error::Error as _, fmt, fs, path::Path, sync::Arc, time::Duration};

use etcd_client::{
    Certificate, Client, Compare, ConnectOptions, GetOptions, Identity, KeyValue, PutOptions, TlsOptions, Txn, TxnOp,
    TxnOpResponse,
};
use mcdns_publish::PublishError;
use tokio::sync::{Mutex, mpsc};

use crate::settings::Settings;

/// How long a connection may take to be made, and a request to be answered: twice what CoreDNS and external-dns give etcd,
/// since a transaction is not lost because it waits behind others.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection on which nothing comes is asked whether it is alive, as often as etcd's own client asks by default …
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// … and given up when no answer comes.
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);
/// Keys in a page. etcd up to 3.4 looks at all keys of a range for each page, so that few and large pages are fast …
const PAGE: i64 = 10_000;
/// … and a page with more octets than this makes the next ones smaller.
const PAGE_OCTETS: usize = 8 << 20;
/// Messages are as long as etcd makes them.
const MESSAGE: usize = usize::MAX;

/// One key as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) revision: i64,
    pub(crate) lease: i64,
}

/// Keys that were all there at one moment.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) keys: Vec<Stored>,
    /// There are more than were asked for.
    pub(crate) more: bool,
}

/// Keys from the first up to the second; without one, the first alone.
pub(crate) type Range = (Vec<u8>, Option<Vec<u8>>);

/// One transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transaction {
    pub(crate) compares: Vec<Compare>,
    pub(crate) puts: Vec<(Vec<u8>, String)>,
    pub(crate) deletes: Vec<Vec<u8>>,
}

/// Why a call did not do what it should.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Something that is not about what was asked for.
    Error(PublishError),
    /// This was refused, and other things may be possible.
    Refused(String),
    /// So was this, for want of rights.
    Denied(String),
    /// The lease is gone.
    NoLease(String),
}

/// Connects when it is needed, and again after an error.
#[derive(Clone)]
pub(crate) struct Connection {
    settings: Arc<Settings>,
    client: Arc<Mutex<Option<Client>>>,
}

impl Connection {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, client: Arc::default() }
    }

    pub(crate) async fn client(&self) -> Result<Client, Trouble> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let connected = connect(&self.settings).await?;
        tracing::debug!("connected to etcd");
        Ok(client.insert(connected).clone())
    }

    /// Has the next call make a new connection, with passwords and certificates as they are then.
    async fn forget(&self) {
        *self.client.lock().await = None;
    }

    /// What an error means; one of the connection ends it.
    pub(crate) async fn trouble(&self, error: etcd_client::Error) -> Trouble {
        let trouble = understand(&error);
        if matches!(trouble, Trouble::Error(_) | Trouble::Denied(_)) {
            self.forget().await;
        }
        trouble
    }

    /// All keys of a range, at one revision (0: the newest), page by page; each page is handed on as it comes. Tells the
    /// revision and the cluster.
    pub(crate) async fn read_pages(
        &self,
        range: &Range,
        revision: i64,
        pages: &mpsc::Sender<Option<Vec<Stored>>>,
    ) -> Result<(i64, u64), Trouble> {
        let mut client = self.client().await?.kv_client().max_decoding_message_size(MESSAGE);
        let (mut from, end) = range.clone();
        let (mut revision, mut cluster, mut limit) = (revision, 0, PAGE);
        loop {
            let mut options = GetOptions::new().with_limit(limit).with_revision(revision);
            if let Some(end) = &end {
                options = options.with_range(end.clone());
            }
            let mut page = match client.get(from.clone(), Some(options)).await {
                Ok(page) => page,
                Err(error) => return Err(self.trouble(error).await),
            };
            let header = page.header();
            if revision == 0 {
                revision = header.map_or(0, etcd_client::ResponseHeader::revision);
            }
            cluster = header.map_or(cluster, etcd_client::ResponseHeader::cluster_id);
            let more = page.more();
            let keys: Vec<Stored> = page.take_kvs().into_iter().map(stored).collect();
            let octets: usize = keys.iter().map(|one| one.key.len() + one.value.len()).sum();
            if octets > PAGE_OCTETS {
                limit = (limit / 2).max(1);
            }
            if let Some(last) = keys.last() {
                from = [&*last.key, &[0]].concat();
            }
            if pages.send(Some(keys)).await.is_err() {
                return Err(unavailable("the reading was given up"));
            }
            if !more {
                return Ok((revision, cluster));
            }
        }
    }

    /// Several ranges at one moment, so many keys of each.
    pub(crate) async fn read(&self, ranges: &[Range], most: i64) -> Result<Reading, Trouble> {
        let get = |(from, end): &Range| {
            let mut options = GetOptions::new().with_limit(most);
            if let Some(end) = end {
                options = options.with_range(end.clone());
            }
            TxnOp::get(from.clone(), Some(options))
        };
        let gets: Vec<TxnOp> = ranges.iter().map(get).collect();
        let mut client = self.client().await?.kv_client().max_decoding_message_size(MESSAGE);
        let answer = match client.txn(Txn::new().and_then(gets)).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.trouble(error).await),
        };
        let mut reading = Reading::default();
        for part in answer.op_responses() {
            if let TxnOpResponse::Get(mut part) = part {
                reading.more |= part.more();
                reading.keys.extend(part.take_kvs().into_iter().map(stored));
            }
        }
        Ok(reading)
    }

    /// The revision at which a transaction was made; none if its compares do not hold.
    pub(crate) async fn commit(&self, transaction: &Transaction, lease: i64) -> Result<Option<i64>, Trouble> {
        let put = |(key, value): &(Vec<u8>, String)| {
            let options = (lease != 0).then(|| PutOptions::new().with_lease(lease));
            TxnOp::put(key.clone(), value.clone(), options)
        };
        let puts = transaction.puts.iter().map(put);
        let deletes = transaction.deletes.iter().map(|key| TxnOp::delete(key.clone(), None));
        let operations: Vec<TxnOp> = puts.chain(deletes).collect();
        let txn = Txn::new().when(transaction.compares.clone()).and_then(operations);
        let mut client = self.client().await?.kv_client();
        match client.txn(txn).await {
            Ok(answer) if answer.succeeded() => {
                Ok(Some(answer.header().map_or(0, etcd_client::ResponseHeader::revision)))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(self.trouble(error).await),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("endpoints", &self.settings.endpoints).finish_non_exhaustive()
    }
}

impl Trouble {
    /// As an error of the whole.
    pub(crate) fn error(self) -> PublishError {
        match self {
            Self::Error(error) => error,
            Self::Refused(words) => PublishError::Refused { group: None, words },
            Self::Denied(words) => PublishError::Denied { words },
            Self::NoLease(words) => PublishError::Unavailable { words },
        }
    }
}

async fn connect(settings: &Settings) -> Result<Client, Trouble> {
    let mut connection = ConnectOptions::new()
        .with_connect_timeout(PATIENCE)
        .with_timeout(PATIENCE)
        .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_PATIENCE)
        .with_keep_alive_while_idle(true)
        // A member without a leader does not know what is true.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some((user, file)) = &settings.user {
        let password = String::from_utf8_lossy(&read_file(file)?).trim_end_matches(['\r', '\n']).to_owned();
        connection = connection.with_user(user, password);
    }
    if settings.is_secure() {
        connection = connection.with_tls(tls(settings)?);
    }
    let connecting = Client::connect(&settings.endpoints, Some(connection));
    match tokio::time::timeout(2 * PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| understand(&error)),
        Err(_) => Err(unavailable("etcd does not answer")),
    }
}

fn tls(settings: &Settings) -> Result<TlsOptions, Trouble> {
    let mut options = TlsOptions::new();
    options = match &settings.ca_file {
        Some(ca) => options.ca_certificate(Certificate::from_pem(read_file(ca)?)),
        None => options.with_native_roots(),
    };
    if let Some((certificate, key)) = &settings.identity {
        options = options.identity(Identity::from_pem(read_file(certificate)?, read_file(key)?));
    }
    if let Some(name) = &settings.server_name {
        options = options.domain_name(name);
    }
    Ok(options)
}

/// A person has to act where a file is missing.
fn read_file(path: &Path) -> Result<Vec<u8>, Trouble> {
    let denied = |error| {
        let words = format!("{} cannot be read: {error}", path.display());
        Trouble::Error(PublishError::Denied { words })
    };
    fs::read(path).map_err(denied)
}

pub(crate) fn unavailable(words: &str) -> Trouble {
    Trouble::Error(PublishError::Unavailable { words: words.to_owned() })
}

/// What an error means, in etcd's own words. They have no secrets.
fn understand(error: &etcd_client::Error) -> Trouble {
    /// Numbers of gRPC (`google.rpc.Code`).
    const INVALID_ARGUMENT: i32 = 3;
    const NOT_FOUND: i32 = 5;
    const PERMISSION_DENIED: i32 = 7;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const FAILED_PRECONDITION: i32 = 9;
    const UNAUTHENTICATED: i32 = 16;
    let etcd_client::Error::GRpcStatus(status) = error else {
        return unavailable(&chain(error));
    };
    let message = status.message();
    let words = format!("etcd says {:?}: {message}", status.code());
    match i32::from(status.code()) {
        PERMISSION_DENIED => Trouble::Denied(words),
        UNAUTHENTICATED => Trouble::Error(PublishError::Denied { words }),
        // Who says no name, or a wrong password, is told so as if it were a matter of form.
        INVALID_ARGUMENT | FAILED_PRECONDITION if message.contains("user") || message.contains("auth") => {
            Trouble::Error(PublishError::Denied { words })
        }
        INVALID_ARGUMENT => Trouble::Refused(words),
        NOT_FOUND if message.contains("lease") => Trouble::NoLease(words),
        RESOURCE_EXHAUSTED if message.contains("too many requests") => {
            Trouble::Error(PublishError::Throttled { after: None, words })
        }
        // A message that is larger than the server takes.
        RESOURCE_EXHAUSTED if message.contains("larger than max") => Trouble::Refused(words),
        _ => Trouble::Error(PublishError::Unavailable { words }),
    }
}

/// An error with all that led to it.
fn chain(error: &etcd_client::Error) -> String {
    let mut text = error.to_string();
    let mut source = match error {
        etcd_client::Error::TransportError(error) => error.source(),
        error => error.source(),
    };
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

fn stored(pair: KeyValue) -> Stored {
    let (revision, lease) = (pair.mod_revision(), pair.lease());
    let (key, value) = pair.into_key_value();
    Stored { key, value, revision, lease }
}
