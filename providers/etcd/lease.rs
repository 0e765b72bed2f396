//! The dead man's switch: a lease to which all keys are bound, and which the leader keeps alive.
//!
//! Its number follows from manager, publisher and length, so that every replica means the same lease: whoever takes over
//! keeps it alive and writes nothing. When nobody does so for its length, etcd takes all keys away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use etcd_client::{LeaseClient, LeaseGrantOptions};
use mcdns_core::{dns::RecordType, plan::ManagerId};
use mcdns_skydns::Target;
use tokio::{task::JoinHandle, time::Instant};

use crate::client::{Connection, Trouble, unavailable};

/// How often a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(crate) struct Lease {
    connection: Connection,
    /// None where keys stay for ever.
    length: Option<Duration>,
    id: i64,
    renewed: Arc<Mutex<Option<Instant>>>,
}

/// Keeps a lease alive until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper(JoinHandle<()>);

impl Lease {
    pub(crate) fn new(connection: &Connection, length: Option<Duration>, name: &str, manager: &ManagerId) -> Self {
        let id = length.map_or(0, |length| {
            let seconds = length.as_secs().to_string();
            let record_type = RecordType(0);
            let label = Target { record_type, target: name, cluster: &seconds, manager: manager.as_str() }.label();
            let digits = label.get(label.len() - 16..).unwrap_or_default();
            // Positive and not 0, as etcd wants it.
            i64::try_from(u64::from_str_radix(digits, 16).unwrap_or_default() >> 1).unwrap_or_default() | 1
        });
        Self { connection: connection.clone(), length, id, renewed: Arc::default() }
    }

    /// Its number; 0 without one.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Sees to it that the lease is there, and gives its number; 0 without one.
    pub(crate) async fn hold(&self) -> Result<i64, Trouble> {
        let Some(length) = self.length else { return Ok(0) };
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.is_none_or(|renewed| renewed.elapsed() > length / 3) {
            self.renew(length).await?;
        }
        Ok(self.id)
    }

    /// It is not there any more.
    pub(crate) fn lost(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Renews it from time to time; none without one.
    pub(crate) fn keep(&self) -> Option<Keeper> {
        let length = self.length?;
        let lease = self.clone();
        Some(Keeper(tokio::spawn(async move {
            loop {
                let pause = match lease.renew(length).await {
                    Ok(()) => length / 3,
                    Err(trouble) => {
                        let words = trouble.error().to_string();
                        tracing::warn!(words, "the lease of published keys could not be renewed");
                        RETRY
                    }
                };
                tokio::time::sleep(pause).await;
            }
        })))
    }

    async fn renew(&self, length: Duration) -> Result<(), Trouble> {
        let began = Instant::now();
        let mut client = self.connection.client().await?.lease_client();
        let renewed = tokio::time::timeout(length / 6, client.keep_alive(self.id)).await;
        match renewed {
            // The first answer has been waited for.
            Ok(Ok(_)) => {}
            Ok(Err(etcd_client::Error::LeaseKeepAliveError(_))) => self.grant(length, &mut client).await?,
            Ok(Err(error)) => return Err(self.connection.trouble(error).await),
            Err(_) => return Err(unavailable("etcd does not answer about the lease")),
        }
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        Ok(())
    }

    async fn grant(&self, length: Duration, client: &mut LeaseClient) -> Result<(), Trouble> {
        let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        let options = LeaseGrantOptions::new().with_id(self.id);
        match client.grant(seconds, Some(options)).await {
            Ok(_) => tracing::info!(lease = self.id, "the lease of published keys was granted"),
            // Another replica was faster.
            Err(etcd_client::Error::GRpcStatus(status)) if status.message().contains("already exists") => {}
            Err(error) => return Err(self.connection.trouble(error).await),
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
