//! Letting go of keys of SkyDNS that are held.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use mcdns_sources::skydns::Released;

use super::Admin;
use crate::output::plural;

/// How long keys may be listed before somebody who wants some released is told to try again; less than the command waits.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) async fn release(State(admin): State<Arc<Admin>>, Path(word): Path<String>) -> Response {
    let releases = admin.releases.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(releases) = releases else {
        return (StatusCode::NOT_FOUND, "no keys of SkyDNS are followed, so none are held\n").into_response();
    };
    match tokio::time::timeout(PATIENCE, releases.release(&word)).await {
        Ok(Released::Keys(keys)) => {
            format!("{} that etcd has no longer are not answered any more at this replica\n", plural(keys, "key"))
                .into_response()
        }
        Ok(Released::AnotherWord(_)) => {
            let text = format!("what is held is not {word}: see the finding `held`, which names it\n");
            (StatusCode::CONFLICT, text).into_response()
        }
        Ok(Released::Nothing) => (StatusCode::NOT_FOUND, "no keys of SkyDNS are held\n").into_response(),
        Err(_) => {
            let text = "the keys are being listed; nothing was released, try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}
