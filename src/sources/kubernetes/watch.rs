//! One watch: a resource of a cluster, listed once and then followed, for as long as the program runs.
//!
//! ```text
//!              complete                      ended, cut, silent: go on from the same place
//!   List ───────────────────► Watch ◄────────────────────────────────────────────────────┐
//!    ▲ ▲                        │ └───────────────────────────────────────────────────────┘
//!    │ └── fault: wait, again   │ 410, another server, refused three times
//!    └──────────────────────────┘
//! ```
//!
//! It follows an API server like `kube::runtime::watcher`, and differs where that hides what is needed here: a watch
//! goes on from its place through a new client, when a token is renewed; bookmarks are seen, so that a dead connection
//! is told from a quiet cluster after 100 seconds instead of 300; objects are read from the octets as they came,
//! without a tree or a copy between; and a server without streaming lists, or without a version of the kind, is noticed and
//! remembered.
//!
//! A fault of any kind leaves everything as it is. Only a deletion, or a list that is complete, removes.

use std::{
    borrow::Cow,
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use kube::Client;
use tokio::sync::watch;
use tracing::Instrument;

use super::{
    ask::{self, Form},
    desk::{Message, Sender},
    fault::Fault,
    known::Sink,
    now,
    report::Meter,
    resource::{Resource, escape},
    wire::{self, Event},
};

/// Objects asked for at once; what `client-go` asks for.
const PAGE: u32 = 500;
/// Largest page. 500 objects of the largest size that etcd holds would be 750 MB; real ones have a few kilobytes.
const MAX_PAGE: u64 = 128 << 20;
/// Largest event: etcd's limit of 1.5 MiB, several times over for what JSON adds.
const MAX_EVENT: usize = 8 << 20;
/// How long a page may take. API servers end a request themselves after 60 s.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// How long it may take until a watch begins: API servers send its header at once.
const START_TIME: Duration = Duration::from_secs(10);
/// Longest silence in the first streamed list of a server; then it does not know how. Short enough for a list to come
/// before the first batch goes without it.
const TRIAL_SILENCE: Duration = Duration::from_secs(2);
/// Longest silence while a streamed list is under way.
const STREAM_SILENCE: Duration = Duration::from_secs(10);
/// Longest silence on a watch that has had bookmarks, which come once in 60 to 75 s.
const SILENCE: Duration = Duration::from_secs(100);
/// How long the server keeps a watch, in seconds: from here, to spread them.
const WATCH_SECONDS: u64 = 240;
/// The range of that.
const WATCH_SPREAD: u64 = 60;
/// A watch that ends before this ended for a reason.
const SHORT: Duration = Duration::from_secs(1);
/// First and longest pause after a fault, before a random part is taken off.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Pause before a kind that the server does not have is asked for again.
const MISSING_PAUSE: Duration = Duration::from_secs(10);
/// How often a newer version than the one in use is looked for.
const BETTER_VERSION: Duration = Duration::from_mins(10);
/// After how many faults in a row everything is listed again, where the server does answer: its memory may have been
/// set back, and then the place to go on from lies in its future.
const FAULTS_UNTIL_LIST: u32 = 3;

/// How a cluster is reached now.
#[derive(Clone, Default)]
pub(super) struct Link {
    /// None while it is not known how.
    pub(super) client: Option<Client>,
    /// Which server that is; versions of another one mean nothing.
    pub(super) server: u64,
}

/// Whether a cluster's server streams lists, remembered for all watches there.
#[derive(Debug, Default)]
pub(super) struct Streaming(AtomicU8);

impl Streaming {
    /// None until it was tried.
    pub(super) fn known(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            known => Some(known == 1),
        }
    }

    fn set(&self, streams: bool) {
        self.0.store(if streams { 1 } else { 2 }, Ordering::Relaxed);
    }
}

/// A watch and what it needs.
pub(super) struct Watch<S> {
    /// Name of the cluster for log lines; empty for the host.
    pub(super) cluster: Arc<str>,
    pub(super) resource: Resource,
    pub(super) link: watch::Receiver<Link>,
    pub(super) streaming: Arc<Streaming>,
    pub(super) meter: Arc<Meter>,
    pub(super) sender: Sender,
    pub(super) sink: S,
}

/// How far a watch has come.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the server")]
#[derive(Default)]
struct Place {
    server: u64,
    /// Which of the resource's versions.
    choice: usize,
    /// True once that version was listed.
    proven: bool,
    /// Where to go on from; none until everything was listed.
    version: Option<String>,
    /// Bookmarks come on this watch.
    bookmarks: bool,
    /// Pages ran out of time, so everything is asked for at once.
    unpaged: bool,
    /// Faults in a row.
    faults: u32,
    /// Of these, answers that there is no such kind.
    misses: u32,
    /// When a newer version was last looked for.
    looked: Option<Instant>,
    /// The reason that was logged last.
    logged: Option<&'static str>,
    /// True once the desk waits no more.
    settled: bool,
    /// To be told to the desk behind what was read: that it need wait no more, or that a list was complete.
    tell_settled: bool,
    /// The same: that the server is heard again after a fault.
    tell_again: bool,
}

/// A watch ended without a fault.
struct Ended {
    /// How long it was.
    after: Duration,
}

impl<S: Sink> Watch<S> {
    /// Follows the resource until nobody wants it any more.
    pub(super) async fn run(self) {
        let span = tracing::debug_span!("watch", cluster = &*self.cluster, kind = self.resource.name);
        self.follow().instrument(span).await;
    }

    async fn follow(self) {
        let Self { cluster, resource, mut link, streaming, meter, sender, sink } = self;
        let mut reader = Reader { resource: &resource, streaming: &streaming, meter: &meter, sender: &sender, sink };
        let mut place = Place::default();
        loop {
            let Link { client, server } = link.borrow_and_update().clone();
            if server != place.server {
                place = Place { server, settled: place.settled, logged: place.logged, ..Place::default() };
            }
            let result = match client {
                None => {
                    if link.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(client) => tokio::select! {
                    result = reader.read(&client, &mut place) => Some(result),
                    changed = link.changed() => match changed {
                        Ok(()) => None,
                        Err(_) => return,
                    },
                },
            };
            // However the reading ended, and wherever it was cut off: what was read is told.
            if !reader.tell(&mut place).await {
                return;
            }
            let Some(result) = result else { continue };
            let pause = match result {
                Ok(Ended { after }) => {
                    meter.resumed();
                    place.look_for_better();
                    // A server that ends every watch at once is not asked without a pause.
                    if after < SHORT { PAUSES.0 } else { Duration::ZERO }
                }
                Err(fault) => {
                    // That an older version has to be asked for is no failure.
                    if fault != Fault::NotFound || place.proven {
                        meter.failed(&fault, now());
                        place.log(&fault, &cluster, &resource.name);
                    }
                    // A host that was not read is waited for, whatever is wrong; but for one kind of it not being
                    // allowed the others do not wait.
                    let forbidden = matches!(fault, Fault::Forbidden(_));
                    if forbidden || (fault.is_definite() && fault != Fault::NotFound && !cluster.is_empty()) {
                        place.settle();
                    }
                    let pause = place.after(&fault, resource.choices.len());
                    if pause == MISSING_PAUSE {
                        place.tell_settled |= meter.missing();
                        place.settle();
                    }
                    pause
                }
            };
            if !reader.tell(&mut place).await {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                changed = link.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Place {
    /// What a fault does to the place, and how long to wait then.
    fn after(&mut self, fault: &Fault, choices: usize) -> Duration {
        self.faults = self.faults.saturating_add(1);
        match fault {
            Fault::NotFound => {
                self.misses += 1;
                // A server that starts says so of kinds that it has.
                if !self.proven || self.misses >= FAULTS_UNTIL_LIST {
                    (self.version, self.proven, self.misses) = (None, false, 0);
                    self.choice += 1;
                    if self.choice >= choices {
                        (self.choice, self.looked) = (0, None);
                        return MISSING_PAUSE;
                    }
                    self.looked = Some(Instant::now());
                    return Duration::ZERO;
                }
            }
            Fault::Gone => {
                self.version = None;
                return PAUSES.0;
            }
            Fault::Status(..) | Fault::Refused(_) | Fault::Garbage(_) if self.faults >= FAULTS_UNTIL_LIST => {
                self.version = None;
            }
            Fault::Busy(Some(wait)) => return (*wait).min(PAUSES.1),
            _ => {}
        }
        PAUSES.0.saturating_mul(1 << self.faults.min(8).saturating_sub(1)).min(PAUSES.1)
    }

    /// Goes back to the newest version now and then, in case the server has it by now.
    fn look_for_better(&mut self) {
        if self.choice > 0 && self.looked.is_none_or(|looked| looked.elapsed() > BETTER_VERSION) {
            (self.choice, self.version, self.proven) = (0, None, false);
        }
    }

    /// A smaller page than one of `limit` objects that was too large; none where a single object is. Where everything at
    /// once is too large, pages are asked for again, however long they take.
    fn smaller(&mut self, limit: u32) -> Option<u32> {
        match limit {
            0 => {
                self.unpaged = false;
                Some(PAGE)
            }
            1 => None,
            more => Some((more / 10).max(1)),
        }
    }

    /// The desk is to be told that it need wait no more, if it was not.
    fn settle(&mut self) {
        self.tell_settled |= !self.settled;
    }

    fn log(&mut self, fault: &Fault, cluster: &str, kind: &str) {
        let reason = fault.reason();
        if self.logged == Some(reason) {
            tracing::debug!(cluster, kind, reason, error = fault.message(), "still cannot be watched");
            return;
        }
        self.logged = Some(reason);
        match fault {
            Fault::Gone => tracing::debug!(cluster, kind, reason, "nothing to go on from"),
            _ => {
                tracing::warn!(
                    cluster,
                    kind,
                    reason,
                    error = fault.message(),
                    "cannot be watched; what is known stays"
                );
            }
        }
    }

    /// Everything works; where something did not before, the desk is to be told.
    fn succeeded(&mut self, cluster_kind: &str) {
        (self.faults, self.misses) = (0, 0);
        if self.logged.take().is_some() {
            tracing::info!(kind = cluster_kind, "is watched again");
            self.tell_again = true;
        }
    }
}

struct Reader<'a, S> {
    resource: &'a Resource,
    streaming: &'a Streaming,
    meter: &'a Meter,
    sender: &'a Sender,
    sink: S,
}

impl<S: Sink> Reader<'_, S> {
    /// Lists if that must be, then watches until that ends.
    async fn read(&mut self, client: &Client, place: &mut Place) -> Result<Ended, Fault> {
        self.sink.choose(&self.resource.choices[place.choice]);
        if place.version.is_none() {
            // Where streaming fails again and again, a list may not.
            let may_stream = self.streaming.known() != Some(false) && place.faults < FAULTS_UNTIL_LIST;
            if !self.resource.metadata_only && may_stream {
                match self.watch(client, place, true).await {
                    Err(fault) if self.streaming.known() != Some(true) && is_about_streaming(&fault) => {
                        self.streaming.set(false);
                    }
                    ended => return ended,
                }
            }
            self.list(client, place).await?;
        }
        self.watch(client, place, false).await
    }

    /// Lists everything, page by page.
    async fn list(&mut self, client: &Client, place: &mut Place) -> Result<(), Fault> {
        let form = if self.resource.metadata_only { Form::ListMetadata } else { Form::Objects };
        let path = &self.resource.choices[place.choice].path;
        let mut limit = if place.unpaged { 0 } else { PAGE };
        let mut next: Option<String> = None;
        self.sink.begin();
        loop {
            let mut query = self.selection();
            if limit > 0 {
                query.push(format!("limit={limit}"));
            }
            query.extend(next.as_deref().map(|next| format!("continue={}", escape(next))));
            let asked = format!("{path}?{}", query.join("&"));
            let text = match ask::whole(client, &asked, form, PAGE_TIME, MAX_PAGE).await {
                Err(Fault::TooLarge) => match place.smaller(limit) {
                    Some(smaller) => {
                        limit = smaller;
                        continue;
                    }
                    None => return Err(Fault::TooLarge),
                },
                Err(Fault::Gone) => {
                    place.unpaged = true;
                    return Err(Fault::Gone);
                }
                text => text?,
            };
            let page = wire::page(&text)?;
            for item in &page.items {
                self.sink.apply(item)?;
            }
            self.meter.heard(0, now());
            if page.next.is_none() {
                self.sink.complete();
                self.listed(place, page.version).await;
                return Ok(());
            }
            next = page.next;
            self.sink.flush().await;
        }
    }

    /// Follows what happens, from the beginning or from where it was.
    async fn watch(&mut self, client: &Client, place: &mut Place, initial: bool) -> Result<Ended, Fault> {
        let form = if self.resource.metadata_only { Form::EventMetadata } else { Form::Objects };
        let path = self.resource.choices[place.choice].path.clone();
        let seconds = WATCH_SECONDS + random() % WATCH_SPREAD;
        let mut query = self.selection();
        query.push(format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}"));
        if initial {
            query.push("sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned());
        } else if let Some(version) = &place.version {
            query.push(format!("resourceVersion={}", escape(version)));
        }
        let mut reader = ask::open(client, &format!("{path}?{}", query.join("&")), form, START_TIME).await?;
        if initial {
            self.sink.begin();
        } else {
            place.misses = 0;
        }
        let (began, longest) = (Instant::now(), Duration::from_secs(seconds + 5));
        let mut stream = Stream { initial, bookmarks: place.bookmarks, partial: Vec::new() };
        loop {
            let silence = match () {
                () if stream.initial && self.streaming.known().is_none() => TRIAL_SILENCE,
                () if stream.initial => STREAM_SILENCE,
                () if stream.bookmarks => SILENCE,
                () => longest,
            };
            match self.chunk(&mut reader, silence, place, &mut stream).await {
                Ok(true) => {}
                Ok(false) if stream.initial => return Err(Fault::Cut("before the list was complete".to_owned())),
                Ok(false) => return Ok(Ended { after: began.elapsed() }),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Takes what has come; false at the end.
    async fn chunk(
        &mut self,
        reader: &mut (impl AsyncBufRead + Unpin),
        silence: Duration,
        place: &mut Place,
        stream: &mut Stream,
    ) -> Result<bool, Fault> {
        let read = tokio::time::timeout(silence, reader.fill_buf()).await.map_err(|_| Fault::Timeout)?;
        let chunk = read.map_err(|error| Fault::Cut(super::fault::shorten(&error.to_string())))?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let (length, mut rest, mut events) = (chunk.len(), chunk, 0);
        let (mut result, mut complete, mut last) = (Ok(true), false, None);
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let before = std::mem::take(&mut stream.partial);
            let line = match before.as_slice() {
                [] => Cow::Borrowed(&rest[..end]),
                before => Cow::Owned([before, &rest[..end]].concat()),
            };
            rest = &rest[end + 1..];
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let taken = wire::event(&line).and_then(|event| match event {
                Event::Put(object) => self.sink.apply(object).map(|version| (version, Mark::Event)),
                Event::Gone(object) => self.sink.delete(object).map(|version| (version, Mark::Event)),
                Event::Bookmark(version, true) => Ok((version, Mark::End)),
                Event::Bookmark(version, false) => Ok((version, Mark::Bookmark)),
            });
            let (version, mark) = match taken {
                Ok(taken) => taken,
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            };
            events += u64::from(mark == Mark::Event);
            if !stream.initial {
                stream.bookmarks |= mark == Mark::Bookmark;
                if !version.is_empty() {
                    last = Some(version);
                }
            } else if mark == Mark::End {
                stream.initial = false;
                self.streaming.set(true);
                // Events behind it in the same chunk come after the list.
                self.sink.complete();
                (complete, last) = (true, Some(version));
            }
        }
        stream.partial.extend_from_slice(rest);
        reader.consume_unpin(length);
        place.bookmarks = stream.bookmarks;
        if complete {
            self.listed(place, last.unwrap_or_default()).await;
        } else {
            self.sink.flush().await;
            if last.is_some() {
                place.version = last;
            }
        }
        if result.is_ok() {
            self.meter.heard(events, now());
            if place.version.is_some() {
                place.succeeded(&self.resource.name);
                self.tell(place).await;
            }
        }
        if stream.partial.len() > MAX_EVENT { Err(Fault::TooLarge) } else { result }
    }

    /// A list was complete.
    async fn listed(&mut self, place: &mut Place, version: String) {
        self.sink.flush().await;
        (place.version, place.proven, place.unpaged) = (Some(version), true, false);
        self.meter.synced(&self.resource.choices[place.choice].path, now());
        place.succeeded(&self.resource.name);
        // Also where the desk waits no more: that a kind could not be read was told in the same way.
        place.tell_settled = true;
        self.tell(place).await;
    }

    /// Tells what was read and what is to be told behind it; false once nobody wants it any more. It may be dropped
    /// while it waits: what is not told then stays to be told.
    async fn tell(&mut self, place: &mut Place) -> bool {
        if !self.sink.flush().await {
            return false;
        }
        if place.tell_again {
            let Some(room) = self.sender.room().await else { return false };
            room.send(Message::Again(self.sender.from()));
            place.tell_again = false;
        }
        if place.tell_settled {
            let Some(room) = self.sender.room().await else { return false };
            room.send(Message::Settled(self.sender.from()));
            (place.tell_settled, place.settled) = (false, true);
        }
        true
    }

    fn selection(&self) -> Vec<String> {
        let part = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name}={}", escape(value)));
        let Resource { labels, fields, .. } = self.resource;
        part("labelSelector", labels).into_iter().chain(part("fieldSelector", fields)).collect()
    }
}

/// The state of one stream of events.
struct Stream {
    /// The list at its beginning is under way.
    initial: bool,
    /// Bookmarks come.
    bookmarks: bool,
    /// The beginning of an event whose end has not come yet.
    partial: Vec<u8>,
}

/// What came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Event,
    Bookmark,
    /// The end of a streamed list.
    End,
}

/// True if a fault of the first streamed list may be for the streaming, and a list may come all the same. Servers refuse the
/// request where the feature is off, ignore it where they do not know it, and send an error in the stream where
/// their etcd is older than 3.4.25.
fn is_about_streaming(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Refused(_) | Fault::Status(..) | Fault::Timeout | Fault::Cut(_) | Fault::Garbage(_) | Fault::Gone
    )
}

/// A number that differs from call to call; the standard library's seeds are random enough to spread requests.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between half of a time and all of it, so that many who failed together do not come back together.
pub(super) fn jittered(time: Duration) -> Duration {
    let half = u64::try_from(time.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half.saturating_add(random() % half.saturating_add(1)))
}

#[cfg(test)]
mod tests;
