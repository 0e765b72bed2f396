//! When leases end.
//!
//! A key with a lease is answered with what the lease has left, if that is less than its own TTL. etcd tells nobody when a
//! lease is renewed, so each is asked about when a third of what it had left is over. In between its time runs down, which
//! errs on the side of shorter TTLs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use etcd_client::Client;
use futures::{StreamExt as _, stream};
use mcdns_skydns::Lease;
use tokio::{sync::mpsc, time::Instant};

/// A lease is not asked about more often than this …
const OFTEN: Duration = Duration::from_secs(5);
/// … and not less often.
const RARELY: Duration = Duration::from_mins(10);
/// Questions under way at once.
const PARALLEL: usize = 16;
/// Leases asked about in one go, so that a great many do not all wait for the slowest.
const BATCH: usize = 256;

/// When leases end in Unix time, as far as it is known.
pub(super) type Ends = Vec<(Lease, Option<u64>)>;

/// Asks about the leases that `wanted` names, until nobody wants to know.
pub(super) async fn keep(
    mut wanted: mpsc::UnboundedReceiver<BTreeSet<Lease>>,
    client: Client,
    ends: mpsc::Sender<Ends>,
) {
    let mut due: BTreeMap<Lease, Instant> = BTreeMap::new();
    loop {
        let next = due.values().min().copied();
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            leases = wanted.recv() => {
                let Some(leases) = leases else { return };
                due.retain(|lease, _| leases.contains(lease));
                for lease in leases {
                    due.entry(lease).or_insert_with(Instant::now);
                }
            }
            () = sleep => {
                let now = Instant::now();
                let batch: Vec<Lease> =
                    due.iter().filter(|(_, due)| **due <= now).map(|(lease, _)| *lease).take(BATCH).collect();
                let left = ask(&client, batch).await;
                let unix = unix_now();
                let told = left.iter().map(|(lease, left)| (*lease, left.map(|left| unix + left))).collect();
                for (lease, left) in left {
                    let pause = Duration::from_secs(left.unwrap_or_default() / 3).clamp(OFTEN, RARELY);
                    due.insert(lease, Instant::now() + pause);
                }
                if ends.send(told).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How many seconds each lease has left; none where it is gone, or etcd cannot say.
async fn ask(client: &Client, leases: Vec<Lease>) -> Vec<(Lease, Option<u64>)> {
    let one = |lease| {
        let mut client = client.lease_client();
        async move {
            let told = client.time_to_live(lease, None).await;
            (lease, told.ok().and_then(|told| u64::try_from(told.ttl()).ok()).filter(|left| *left > 0))
        }
    };
    stream::iter(leases).map(one).buffer_unordered(PARALLEL).collect().await
}

fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
