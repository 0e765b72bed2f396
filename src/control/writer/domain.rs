//! The annotation of a Domain that says what its zone was published as.
//!
//! It is merged in and not applied: an annotation of ours on an object that belongs to somebody else.

use std::time::Duration;

use mcdns_api::{Standing, StandingKey, StandingKind, standing::PUBLISHED_ANNOTATION};
use mcdns_core::model::NamespacedName;
use serde_json::json;

use super::jobs::{End, Shared, place};
use crate::host::ApiError;

/// A Domain is written at most once in so long: a zone may change a thousand times a second, and whoever follows it
/// wants the newest.
const REST: Duration = Duration::from_secs(1);

pub(super) fn annotation_key(domain: &NamespacedName) -> StandingKey {
    StandingKey {
        kind: StandingKind::DomainAnnotations,
        namespace: domain.namespace.to_string(),
        name: domain.name.to_string(),
    }
}

pub(super) async fn bring(shared: &Shared, domain: &NamespacedName) -> End {
    let key = annotation_key(domain);
    match publish(shared, domain, &key).await {
        Ok(true) => End::Done(REST),
        // The Domain is gone; when it comes back it is published anew.
        Ok(false) | Err(ApiError::NotFound) => End::Done(Duration::ZERO),
        Err(error) => {
            shared.failed(&key, &error);
            End::Failed(error)
        }
    }
}

/// True if it was written.
async fn publish(shared: &Shared, domain: &NamespacedName, key: &StandingKey) -> Result<bool, ApiError> {
    let wanted = || {
        let state = shared.state();
        let zone = state.zones.get(domain)?;
        let text = json!({"serial": zone.serial, "digest": zone.digest}).to_string();
        let stands = state.ledger.kept(key).published;
        (stands.as_deref() != Some(&text)).then_some(text)
    };
    if wanted().is_none() {
        return Ok(false);
    }
    let limit = shared.permit().await?;
    let Some(text) = wanted() else { return Ok(false) };
    let patch = json!({"metadata": {"annotations": {PUBLISHED_ANNOTATION: text}}});
    let answer = shared.host.merge(place(key), &patch, limit).await?;
    shared.state().ledger.read(key, Some(Standing::of(key.kind, &answer)));
    shared.count(key.kind, "written");
    Ok(true)
}
