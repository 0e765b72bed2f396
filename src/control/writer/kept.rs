//! DNSEndpoints in which is kept what external-dns publishes into us.
//!
//! They are written when it comes, and not from a queue: whoever sends it waits for the answer, and nothing could be
//! computed again from elsewhere. Their names begin with `webhook-`, so that they are others' to everybody who looks at
//! DNSEndpoints: served like these, and never cleaned up.
//!
//! Only the holder of the lease writes, and no request outlives its term. Each object is applied for itself; where one
//! fails, the others may be written, and the same again does no harm.

use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use mcdns_api::{DnsEndpoint, EndpointItem, Metadata};
use tokio::sync::watch;

use crate::{
    Leadership,
    host::{ApiError, ENDPOINTS, Host, Place, chain},
};

/// Objects that are written at once.
const IN_FLIGHT: usize = 10;
/// Time for one request; external-dns waits 15 s for all of them.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Label of these objects, for people.
const LABEL: &str = "mcdns.io/webhook";

/// Where they are kept.
#[derive(Clone)]
pub struct KeptEndpoints {
    host: Host,
    leadership: watch::Receiver<Leadership>,
    namespace: String,
}

impl KeptEndpoints {
    /// In this namespace, as long as `leadership` allows it.
    pub fn new(client: Client, leadership: watch::Receiver<Leadership>, namespace: &str) -> Self {
        Self { host: Host::new(client), leadership, namespace: namespace.to_owned() }
    }

    /// Who writes, where that is not this replica; in words for a person.
    pub fn not_here(&self) -> Option<String> {
        match &*self.leadership.borrow() {
            leadership if leadership.may_write().is_some() => None,
            Leadership::Follower { holder: Some(holder) } => {
                Some(format!("this replica does not hold the lease; {holder} does"))
            }
            Leadership::Unknown(reason) => Some(format!("it is not known who holds the lease: {reason}")),
            _ => Some("this replica does not hold the lease, and nobody else does at the moment".to_owned()),
        }
    }

    /// Brings objects of these names to this content; without any endpoint an object goes. Returns those that are so
    /// now, and what went wrong with the first that is not.
    pub async fn bring(&self, objects: Vec<(String, Vec<EndpointItem>)>) -> (Vec<String>, Option<String>) {
        let work = stream::iter(objects).map(|(name, items)| async move {
            let outcome = if items.is_empty() { self.remove(&name).await } else { self.put(&name, items).await };
            (name, outcome)
        });
        let mut work = work.buffer_unordered(IN_FLIGHT);
        let (mut done, mut wrong) = (Vec::new(), None);
        while let Some((name, outcome)) = work.next().await {
            match outcome {
                Ok(()) => done.push(name),
                Err(error) => {
                    wrong.get_or_insert_with(|| format!("DNSEndpoint {name}: {}", chain(&error)));
                }
            }
        }
        (done, wrong)
    }

    async fn put(&self, name: &str, items: Vec<EndpointItem>) -> Result<(), ApiError> {
        let metadata = Metadata::named(&self.namespace, name);
        let object = serde_json::to_value(DnsEndpoint::new(metadata, items));
        let mut object = object.map_err(|error| ApiError::Invalid { message: error.to_string() })?;
        object["metadata"]["labels"] = serde_json::json!({ LABEL: "true" });
        self.host.apply(self.place(name), &object, self.limit()?).await.map(drop)
    }

    async fn remove(&self, name: &str) -> Result<(), ApiError> {
        let stands = match self.host.read(self.place(name), self.limit()?).await {
            Err(ApiError::NotFound) => return Ok(()),
            stands => stands?,
        };
        let text = |key: &str| stands["metadata"][key].as_str().unwrap_or_default().to_owned();
        let (uid, version) = (text("uid"), text("resourceVersion"));
        match self.host.delete(self.place(name), &uid, &version, self.limit()?).await {
            Err(ApiError::NotFound) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    fn place<'a>(&'a self, name: &'a str) -> Place<'a> {
        Place::object(ENDPOINTS, &self.namespace, name)
    }

    fn limit(&self) -> Result<Duration, ApiError> {
        let left = self.leadership.borrow().may_write().ok_or(ApiError::NotHolder)?;
        Ok(left.min(REQUEST_LIMIT))
    }
}
