//! What others change, as it happens.
//!
//! ```text
//!   waits for a reading ──► watches from behind it ──► names that somebody else changed
//!          ▲                  │        ▲ cut, outage, restart: opened again where it ended
//!          └── compacted, or another cluster: the zone has to be read
//! ```
//!
//! A watch does not resume by itself. What this program writes is known by its revisions and not told.

use std::{collections::BTreeSet, time::Duration};

use etcd_client::{ResponseHeader, WatchOptions, WatchResponse};
use futures::{StreamExt as _, stream::BoxStream};
use mcdns_core::dns::OwnerName;
use mcdns_publish::{Drift, PublishError};
use mcdns_skydns::is_target_label;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    Etcd,
    client::{Trouble, unavailable},
    state::Position,
};

/// Changes that wait to be looked at.
const WAITING: usize = 64;
/// More names than this in one message, and the zone is read instead …
const SINGLY: usize = 16;
/// … but not more often than this, so that a busy neighbour costs little.
const WHOLE: Duration = Duration::from_secs(30);
/// How long opening may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often etcd is asked to say something, so that a watch that has died in silence is found.
const PULSE: Duration = Duration::from_secs(30);
/// Pauses between tries: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);

type Told = Result<Drift, PublishError>;

/// Ends a task with the stream.
struct Ends(JoinHandle<()>);

struct Watcher {
    etcd: Etcd,
    apex: OwnerName,
    tell: mpsc::Sender<Told>,
    read: watch::Receiver<Option<Position>>,
    last_whole: Option<Instant>,
}

/// How a watch goes on.
enum Watched {
    /// etcd does not know what came behind our revision.
    Forgotten,
    /// Nobody wants to know any more.
    Left,
}

impl Etcd {
    pub(crate) fn watch(&self, apex: &OwnerName) -> BoxStream<'static, Told> {
        let (tell, told) = mpsc::channel(WAITING);
        let read = self.state.position(&self.wire, apex);
        let watcher = Watcher { etcd: self.clone(), apex: apex.clone(), tell, read, last_whole: None };
        let task = Ends(tokio::spawn(watcher.run()));
        // As long as somebody listens to it, this program leads.
        let keeper = self.lease.keep();
        let next = |(mut told, task, keeper): (mpsc::Receiver<Told>, Ends, _)| async move {
            let one = told.recv().await?;
            Some((one, (told, task, keeper)))
        };
        futures::stream::unfold((told, task, keeper), next).boxed()
    }
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let Ok(position) = self.read.wait_for(Option::is_some).await.map(|position| *position) else { return };
            let Some(mut position) = position else { return };
            self.read.mark_unchanged();
            let mut pause = FIRST_PAUSE;
            loop {
                let began = Instant::now();
                match self.follow(&mut position).await {
                    Ok(Watched::Left) => return,
                    Ok(Watched::Forgotten) => break,
                    Err(trouble) => {
                        let words = trouble.error().to_string();
                        tracing::debug!(zone = %self.apex, words, "changes of keys cannot be followed; trying again");
                    }
                }
                pause = if began.elapsed() > LAST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.tell.closed() => return,
                }
            }
            if self.tell.send(Ok(Drift::Zone)).await.is_err() || self.read.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow(&mut self, position: &mut Position) -> Result<Watched, Trouble> {
        let connection = self.etcd.connection.clone();
        let key = self.etcd.wire.prefix.key(&self.apex).unwrap_or_default();
        let end = [&*key, b"0"].concat();
        let mut client = connection.client().await?.watch_client().max_decoding_message_size(usize::MAX);
        let options =
            WatchOptions::new().with_range(end).with_start_revision(position.revision + 1).with_progress_notify();
        let silence = || unavailable("etcd does not answer about the watch");
        let opened = timeout(PATIENCE, client.watch(key, Some(options))).await.map_err(|_| silence())?;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return Err(connection.trouble(error).await),
        };
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse.reset();
        let (mut answered, mut is_open) = (true, false);
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = self.tell.closed() => return Ok(Watched::Left),
                _ = pulse.tick() => {
                    if !std::mem::replace(&mut answered, false) {
                        return Err(silence());
                    }
                    let asked = timeout(PATIENCE, stream.request_progress()).await.map_err(|_| silence())?;
                    if let Err(error) = asked {
                        return Err(connection.trouble(error).await);
                    }
                    continue;
                }
            };
            answered = true;
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Err(unavailable("etcd has ended the watch")),
                Err(error) => return Err(connection.trouble(error).await),
            };
            if message.compact_revision() > 0 {
                tracing::info!(zone = %self.apex, "etcd has forgotten changes of keys; the zone is read again");
                return Ok(Watched::Forgotten);
            }
            if message.canceled() {
                return Err(unavailable(&format!("etcd has ended the watch: {}", message.cancel_reason())));
            }
            let (revision, cluster) =
                message.header().map_or((0, 0), |header: &ResponseHeader| (header.revision(), header.cluster_id()));
            if !is_open && (revision < position.revision || cluster != position.cluster) {
                // A restore from a backup, or an empty one.
                tracing::warn!(zone = %self.apex, revision, "etcd is not what it was; the zone is read again");
                return Ok(Watched::Forgotten);
            }
            is_open = true;
            if !self.tell(&message).await {
                return Ok(Watched::Left);
            }
            if let Some(last) = message.events().iter().filter_map(|event| Some(event.kv()?.mod_revision())).max() {
                position.revision = position.revision.max(last);
            } else if message.watch_id() >= 0 && !message.created() {
                // Nothing up to here is still to come; what was asked for (watch -1) does not promise that.
                position.revision = position.revision.max(revision);
            }
        }
    }

    /// Tells what a message says of others; false if nobody wants to know.
    async fn tell(&mut self, message: &WatchResponse) -> bool {
        let revisions = message.events().iter().filter_map(|event| Some(event.kv()?.mod_revision()));
        let Some(newest) = revisions.max() else { return true };
        // What is being written now will be known as ours.
        let quiet = self.etcd.state.writing.clone().write_owned().await;
        let own = self.etcd.state.own_revisions(&self.apex, newest);
        drop(quiet);
        let mut names = BTreeSet::new();
        for pair in message.events().iter().filter_map(|event| event.kv()) {
            if !own.contains(&pair.mod_revision()) {
                names.extend(self.names_of(pair.key()));
            }
        }
        if names.len() <= SINGLY {
            for name in names {
                if self.tell.send(Ok(Drift::Name(name))).await.is_err() {
                    return false;
                }
            }
            return true;
        }
        if let Some(last) = self.last_whole {
            tokio::select! {
                () = tokio::time::sleep_until(last + WHOLE) => {}
                () = self.tell.closed() => return false,
            }
        }
        self.last_whole = Some(Instant::now());
        self.tell.send(Ok(Drift::Zone)).await.is_ok()
    }

    /// Names that a key may be of: what was in a key that is gone is not told.
    fn names_of(&self, key: &[u8]) -> Vec<OwnerName> {
        let Ok(name) = self.etcd.wire.prefix.name(key) else { return Vec::new() };
        if let Some((addresses, servers)) = crate::wire::apex_names(&self.apex)
            && (name.is_at_or_below(&addresses) || name.is_at_or_below(&servers))
        {
            return vec![self.apex.clone()];
        }
        let parent = name.parent();
        let label = name.labels().next().unwrap_or_default().to_vec();
        let is_here = |name: &OwnerName| name.is_at_or_below(&self.apex);
        // Labels of others are hashes or numbers of up to 8 digits.
        let is_number = label.len() <= 8 && label.iter().all(u8::is_ascii_hexdigit);
        let names = match (is_target_label(&label), is_number) {
            (true, _) => vec![parent],
            (false, true) => vec![Some(name), parent],
            (false, false) => vec![Some(name)],
        };
        names.into_iter().flatten().filter(is_here).collect()
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
