//! Questions to an API server, each with a limit of time and of size.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncReadExt as _};
use http::{Request, header};
use kube::Client;

use super::fault::Fault;

/// Objects as they are.
const OBJECTS: &str = "application/json";
/// Names and versions alone.
const METADATA_OF_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// The same for the events of a watch.
const METADATA_OF_EVENT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Objects, in a list or in events.
    Objects,
    /// Metadata of a list.
    ListMetadata,
    /// Metadata in events.
    EventMetadata,
}

/// Asks, and returns the answer as it comes. `within` is how long its beginning may take.
pub(super) async fn open(
    client: &Client,
    path_and_query: &str,
    form: Form,
    within: Duration,
) -> Result<impl AsyncBufRead + Unpin + Send + use<>, Fault> {
    let accept = match form {
        Form::Objects => OBJECTS,
        Form::ListMetadata => METADATA_OF_LIST,
        Form::EventMetadata => METADATA_OF_EVENT,
    };
    let request = Request::get(path_and_query)
        .header(header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(|error| Fault::Refused(error.to_string()))?;
    let answer = tokio::time::timeout(within, client.request_stream(request)).await;
    let reader = answer.map_err(|_| Fault::Timeout)?.map_err(|error| Fault::of(&error))?;
    Ok(Box::pin(reader))
}

/// Asks, and returns the whole answer, which has at most `limit` octets and ends `within` that time.
pub(super) async fn whole(
    client: &Client,
    path_and_query: &str,
    form: Form,
    within: Duration,
    limit: u64,
) -> Result<Vec<u8>, Fault> {
    let read = async {
        let reader = open(client, path_and_query, form, within).await?;
        let mut text = Vec::new();
        // One more than allowed, to tell apart what just fits.
        let read = reader.take(limit.saturating_add(1)).read_to_end(&mut text).await;
        read.map_err(|error| Fault::Cut(super::fault::shorten(&error.to_string())))?;
        if text.len() as u64 > limit { Err(Fault::TooLarge) } else { Ok(text) }
    };
    tokio::time::timeout(within, read).await.unwrap_or(Err(Fault::Timeout))
}
