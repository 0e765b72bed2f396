//! Lists and watches, and begins again where that ends.

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, SystemTime},
};

use etcd_client::{Client, EventType, GetOptions, KeyValue, WatchOptions, WatchResponse, WatchStream};
use futures::FutureExt as _;
use mcdns_skydns::{Lease, Revision};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{
    Options, Released, Standing, State, Wish,
    client::{Error, PATIENCE, connect},
    leases::{self, Ends},
    mirror::{Change, Mirror},
};

/// Keys in one page of a list: few enough for one message, of which etcd's own limit is 1.5 MiB for each value.
const PAGE: i64 = 1_000;
/// Messages are as long as etcd makes them: all changes of one revision are in one.
const MESSAGE: usize = usize::MAX;
/// Changes that are taken in at once where many wait.
const AT_ONCE: usize = 4_096;
/// How often etcd is asked to say something, so that a watch that has died in silence is found.
const PULSE: Duration = Duration::from_secs(30);
/// Pauses between tries: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Waiting leases' ends.
const WAITING: usize = 16;

/// How a watch goes on.
enum Watched {
    /// etcd does not know what came behind our revision: all keys have to be listed.
    Forgotten,
}

/// Everything that one connection has.
struct Session<'a> {
    client: Client,
    mirror: &'a mut Mirror,
    states: &'a watch::Sender<State>,
    wishes: &'a mut mpsc::Receiver<Wish>,
    leases: Leases,
    /// The cluster that was seen first; another one has other revisions.
    cluster: u64,
}

/// The task that asks about leases, with what it was told.
struct Leases {
    task: JoinHandle<()>,
    wanted: mpsc::UnboundedSender<BTreeSet<Lease>>,
    told: BTreeSet<Lease>,
    ends: mpsc::Receiver<Ends>,
}

/// Follows the keys until nobody wants to know.
pub(super) async fn follow(
    options: Options,
    mut mirror: Mirror,
    states: watch::Sender<State>,
    mut wishes: mpsc::Receiver<Wish>,
) {
    let mut pause = FIRST_PAUSE;
    let mut lost_since = None;
    let mut cluster = 0;
    loop {
        let started = Instant::now();
        let Some(connected) = meanwhile(connect(&options), &mut mirror, &states, &mut wishes).await else { return };
        let error = match connected {
            Ok(client) => {
                let leases = Leases::start(&client);
                let mut session =
                    Session { client, mirror: &mut mirror, states: &states, wishes: &mut wishes, leases, cluster };
                let error = session.run(&mut lost_since).await;
                cluster = session.cluster;
                error
            }
            Err(error) => error,
        };
        let reason = error.chain();
        if lost_since.is_none() {
            tracing::warn!(error = reason, "keys of SkyDNS cannot be followed; what is known stays in force");
        } else {
            tracing::debug!(error = reason, "keys of SkyDNS cannot be followed yet");
        }
        let since = *lost_since.get_or_insert_with(SystemTime::now);
        let standing = if mirror.is_read() {
            Standing::Stale { since, reason }
        } else {
            Standing::Unread { reason: Some(reason) }
        };
        states.send_replace(mirror.state(standing));
        // What has gone well for a while begins anew.
        pause = if started.elapsed() > LAST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
        let end = Instant::now() + pause;
        if meanwhile(sleep_until(end), &mut mirror, &states, &mut wishes).await.is_none() {
            return;
        }
    }
}

/// Waits for something without etcd and releases what people want released; none where nobody wants to know any more.
async fn meanwhile<T>(
    something: impl Future<Output = T>,
    mirror: &mut Mirror,
    states: &watch::Sender<State>,
    wishes: &mut mpsc::Receiver<Wish>,
) -> Option<T> {
    let mut something = pin!(something);
    loop {
        tokio::select! {
            done = &mut something => return Some(done),
            wish = wishes.recv() => {
                if grant(mirror, wish?) {
                    states.send_modify(|state| *state = mirror.state(state.standing.clone()));
                }
            }
        }
    }
}

impl Session<'_> {
    /// Lists where that is needed, and watches until something goes wrong.
    async fn run(&mut self, lost_since: &mut Option<SystemTime>) -> Error {
        let mut list = !self.mirror.is_read();
        loop {
            if list && let Err(error) = self.list().await {
                return error;
            }
            match self.watch(lost_since).await {
                Ok(Watched::Forgotten) => list = true,
                Err(error) => return error,
            }
        }
    }

    fn publish(&mut self) {
        self.leases.want(self.mirror);
        self.states.send_replace(self.mirror.state(Standing::Fresh));
    }

    /// Reads all keys, at one revision.
    async fn list(&mut self) -> Result<(), Error> {
        let mut client = self.client.kv_client().max_decoding_message_size(MESSAGE);
        let mut from = self.mirror.range();
        // What begins with the prefix ends in front of it with its last octet one higher, which is a slash.
        let mut end = from.clone();
        end.pop();
        end.push(b'/' + 1);
        let mut revision = 0;
        let mut all = Vec::new();
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let mut page = client.get(from.clone(), Some(options)).await?;
            let header = page.header();
            if revision == 0 {
                revision = header.map_or(0, etcd_client::ResponseHeader::revision);
                self.cluster = header.map_or(0, etcd_client::ResponseHeader::cluster_id);
            }
            let more = page.more();
            let keys = page.take_kvs();
            if let Some(last) = keys.last() {
                from = [last.key(), &[0]].concat();
            }
            all.extend(keys.into_iter().map(put));
            if !more {
                break;
            }
        }
        tracing::info!(keys = all.len(), revision, "keys of SkyDNS were read");
        self.mirror.replace(all, revision);
        Ok(())
    }

    /// Takes in changes as they come.
    async fn watch(&mut self, lost_since: &mut Option<SystemTime>) -> Result<Watched, Error> {
        let mut client = self.client.watch_client().max_decoding_message_size(MESSAGE);
        let options =
            WatchOptions::new().with_prefix().with_start_revision(self.mirror.revision + 1).with_progress_notify();
        let opening = client.watch(self.mirror.range(), Some(options));
        let mut stream = timeout(2 * PATIENCE, opening).await.map_err(|_| Error::Silence)??;
        let created = timeout(2 * PATIENCE, stream.message()).await.map_err(|_| Error::Silence)??;
        let created = created.ok_or_else(|| Error::Ended("it never began".to_owned()))?;
        let header = created.header();
        let (revision, cluster) = header.map_or((0, 0), |header| (header.revision(), header.cluster_id()));
        if revision < self.mirror.revision || cluster != self.cluster {
            tracing::warn!(revision, known = self.mirror.revision, "etcd is not what it was; all keys are read again");
            return Ok(Watched::Forgotten);
        }
        if let Some(watched) = self.take(&created)? {
            return Ok(watched);
        }
        if lost_since.take().is_some() {
            tracing::info!("keys of SkyDNS are followed again");
        }
        self.publish();

        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse.reset();
        let mut answered = true;
        loop {
            tokio::select! {
                message = stream.message() => {
                    answered = true;
                    if let Some(watched) = self.take_all(message?, &mut stream)? {
                        return Ok(watched);
                    }
                }
                Some(ends) = self.leases.ends.recv() => {
                    self.mirror.set_leases(ends);
                    self.publish();
                }
                wish = self.wishes.recv() => {
                    let Some(wish) = wish else { std::future::pending().await };
                    if grant(self.mirror, wish) {
                        self.publish();
                    }
                }
                _ = pulse.tick() => {
                    if !std::mem::replace(&mut answered, false) {
                        return Err(Error::Silence);
                    }
                    timeout(PATIENCE, stream.request_progress()).await.map_err(|_| Error::Silence)??;
                }
            }
        }
    }

    /// Takes in a message, and with it those that wait behind it.
    fn take_all(&mut self, message: Option<WatchResponse>, stream: &mut WatchStream) -> Result<Option<Watched>, Error> {
        let mut next = Some(message);
        let mut changed = false;
        let mut taken = 0;
        while let Some(message) = next.take() {
            let message = message.ok_or_else(|| Error::Ended("the stream is at its end".to_owned()))?;
            changed |= !message.events().is_empty();
            taken += message.events().len();
            if let Some(watched) = self.take(&message)? {
                return Ok(Some(watched));
            }
            if taken < AT_ONCE {
                // An error comes again.
                next = stream.message().now_or_never().and_then(Result::ok);
            }
        }
        if changed {
            self.publish();
        }
        Ok(None)
    }

    fn take(&mut self, message: &WatchResponse) -> Result<Option<Watched>, Error> {
        if message.compact_revision() > 0 {
            tracing::info!(
                known = self.mirror.revision,
                compacted = message.compact_revision(),
                "etcd has forgotten changes of keys of SkyDNS; all are read again"
            );
            return Ok(Some(Watched::Forgotten));
        }
        if message.canceled() {
            return Err(Error::Ended(message.cancel_reason().to_owned()));
        }
        let changes: Vec<Change> = message
            .events()
            .iter()
            .filter_map(|event| {
                let pair = event.kv()?;
                Some(match event.event_type() {
                    EventType::Put => put(pair.clone()),
                    EventType::Delete => Change::Delete { key: pair.key().to_vec(), revision: pair.mod_revision() },
                })
            })
            .collect();
        if !changes.is_empty() {
            self.mirror.apply(changes);
        } else if message.watch_id() >= 0 && !message.created() {
            // Nothing up to here is still to come; what was asked for (watch -1) does not promise that.
            let revision: Revision = message.header().map_or(0, etcd_client::ResponseHeader::revision);
            self.mirror.revision = self.mirror.revision.max(revision);
        }
        Ok(None)
    }
}

impl Leases {
    fn start(client: &Client) -> Self {
        let (wanted, wants) = mpsc::unbounded_channel();
        let (sender, ends) = mpsc::channel(WAITING);
        let task = tokio::spawn(leases::keep(wants, client.clone(), sender));
        Self { task, wanted, told: BTreeSet::new(), ends }
    }

    /// Says which leases matter, where that has changed.
    fn want(&mut self, mirror: &Mirror) {
        if self.told.len() == mirror.leases().len() && mirror.leases().eq(self.told.iter().copied()) {
            return;
        }
        self.told = mirror.leases().collect();
        // It ends when we do.
        let _ = self.wanted.send(self.told.clone());
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets go of what is held, and tells whoever wants that; true if something was.
fn grant(mirror: &mut Mirror, wish: Wish) -> bool {
    if wish.told.is_closed() {
        return false;
    }
    let released = mirror.release(&wish.word);
    let has_changed = matches!(released, Released::Keys(_));
    if let Released::Keys(keys) = released {
        tracing::warn!(keys, "what was held of the keys of SkyDNS is released");
    }
    // Who has just gone finds it in the state.
    let _ = wish.told.send(released);
    has_changed
}

fn put(pair: KeyValue) -> Change {
    let (revision, lease) = (pair.mod_revision(), pair.lease());
    let (key, value) = pair.into_key_value();
    Change::Put { key, value, revision, lease }
}
