//! The annotation of a Domain that says what its zone was published as, and its status.
//!
//! The annotation is merged in and not applied: one of ours on an object that belongs to somebody else. Serials do not go
//! back: the merge names the version that it was made from, and where a newer serial stands by then, by another replica
//! that wrote meanwhile, ours is dropped. Whoever counts serials sees that one too and goes on from there. KubeFed's own
//! Domain has no status; on a host with that, conditions are not written, which is said once and looked at again with
//! everything else.

use std::{cmp::Ordering, time::Duration};

use mcdns_api::{Standing, StandingKey, StandingKind, standing::PUBLISHED_ANNOTATION};
use mcdns_core::{dns::Serial, model::NamespacedName};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    cluster::held_condition,
    jobs::{ATTEMPTS, End, Shared, Subject, place},
    ledger::Effect,
    record::stamp_transitions,
};
use crate::{Notice, host::ApiError};

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
    let published = match publish(shared, domain, &key).await {
        Ok(true) => End::Done(REST),
        // The Domain is gone; when it comes back it is published anew.
        Ok(false) | Err(ApiError::NotFound) => End::Done(Duration::ZERO),
        Err(error) => {
            shared.failed(&key, &error);
            End::Failed(error)
        }
    };
    published.worse(bring_status(shared, domain).await)
}

async fn bring_status(shared: &Shared, domain: &NamespacedName) -> End {
    let key = StandingKey { kind: StandingKind::DomainStatus, ..annotation_key(domain) };
    {
        let state = shared.state();
        let is_gone = state.ledger.is_complete(key.kind) && state.ledger.standing(&key).is_none();
        let is_closed = state.no_domain_status.is_some_and(|until| Instant::now() < until);
        if is_gone || is_closed || !state.domains.contains_key(domain) {
            return End::Done(Duration::ZERO);
        }
    }
    let wanted = |before: Option<&Standing>| {
        let conditions = shared.state().domains.get(domain)?.clone();
        let is_held = conditions.iter().any(|one| one.kind == "Held");
        let released = if is_held { None } else { held_condition(None, before) };
        let conditions = conditions.iter().filter_map(|one| serde_json::to_value(one).ok());
        Some(json!({
            "apiVersion": mcdns_api::dns::API_VERSION,
            "kind": "Domain",
            "metadata": {"namespace": key.namespace, "name": key.name},
            "status": {"conditions": conditions.chain(released).collect::<Vec<_>>()},
        }))
    };
    let subject = Subject { key: key.clone(), wanted: &wanted, stamp: &stamp_transitions, even_if_equal: false };
    let applied = shared.bring(&subject).await;
    shared.tell_of_foreign_writes(&key, applied.written.as_ref());
    if let Some((effect, before)) = &applied.written {
        shared.state().no_domain_status = None;
        if *effect != Effect::None {
            tell_of_hold(shared, domain, &key, before.as_ref());
        }
    } else if matches!(applied.end, End::Done(_)) && shared.state().ledger.standing(&key).is_none() {
        return without_status(shared, domain).await;
    }
    applied.end
}

/// A status could not be written to, since there is no such thing: the Domain is gone, or Domains have none there.
async fn without_status(shared: &Shared, domain: &NamespacedName) -> End {
    // The object itself, since nothing can be read either where there is no subresource.
    let key = annotation_key(domain);
    if let Err(error) = shared.read(&key).await {
        shared.failed(&key, &error);
        return End::Failed(error);
    }
    let mut state = shared.state();
    if state.ledger.standing(&key).is_none() {
        return End::Done(Duration::ZERO);
    }
    let was_known = state.no_domain_status.replace(Instant::now() + shared.options.recheck).is_some();
    drop(state);
    if !was_known {
        let note = "the CRD of Domains has no status subresource, so their conditions are not written; install the CRDs \
                    of mcdns, for example with its Helm chart. Answers are not affected";
        tracing::warn!("conditions of Domains are not written: their CRD has no status subresource");
        shared.recorder.tell(Notice {
            regarding: shared.lease(),
            reason: "KindMissing".to_owned(),
            about: "domain_status".into(),
            note: note.to_owned(),
            is_warning: true,
        });
    }
    End::Done(Duration::ZERO)
}

/// Tells people that something is held of the host. Why a Domain is not Ready is told as a finding.
fn tell_of_hold(shared: &Shared, domain: &NamespacedName, key: &StandingKey, before: Option<&Standing>) {
    let was_held = before
        .is_some_and(|standing| standing.kept.conditions.iter().any(|one| one.kind == "Held" && one.status == "True"));
    let held = shared.state().domains.get(domain).and_then(|own| own.iter().find(|one| one.kind == "Held").cloned());
    if let Some(held) = held.filter(|_| !was_held) {
        shared.recorder.tell(Notice {
            regarding: shared.regarding(key),
            reason: held.reason,
            about: "".into(),
            note: held.message,
            is_warning: true,
        });
    }
}

/// True if it was written.
async fn publish(shared: &Shared, domain: &NamespacedName, key: &StandingKey) -> Result<bool, ApiError> {
    let mut conflict = None;
    for _ in 0..ATTEMPTS {
        if wanted(shared, domain, key).is_none() {
            return Ok(false);
        }
        if shared.state().ledger.standing(key).is_none() {
            shared.read(key).await?;
        }
        let limit = shared.permit().await?;
        // It may have changed while we waited.
        let Some(text) = wanted(shared, domain, key) else { return Ok(false) };
        let Some(version) = shared.state().ledger.standing(key).map(|standing| standing.resource_version.clone())
        else {
            return Ok(false);
        };
        let annotations = json!({PUBLISHED_ANNOTATION: text});
        let patch = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
        match shared.host.merge(place(key), &patch, limit).await {
            Ok(answer) => {
                shared.state().ledger.read(key, Some(Standing::of(key.kind, &answer)));
                shared.count(key.kind, "written");
                return Ok(true);
            }
            Err(error @ ApiError::Conflict { .. }) => {
                shared.count(key.kind, error.label());
                shared.read(key).await?;
                conflict = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    conflict.map_or(Ok(false), Err)
}

/// The text that is to be written; none if nothing is, as where a serial stands that is no older.
fn wanted(shared: &Shared, domain: &NamespacedName, key: &StandingKey) -> Option<String> {
    let mut state = shared.state();
    let zone = state.zones.get(domain)?;
    let (serial, text) = (Serial(zone.serial), json!({"serial": zone.serial, "digest": zone.digest}).to_string());
    let Some(stands) = state.ledger.kept(key).published else { return Some(text) };
    if stands == text {
        return None;
    }
    if serial_of(&stands).is_some_and(|stands| stands.partial_cmp(&serial) != Some(Ordering::Less)) {
        tracing::info!(domain = &*domain.name, serial = serial.0, stands, "not published: what stands is no older");
        state.zones.remove(domain);
        return None;
    }
    Some(text)
}

/// The serial in an annotation; none if it is not understood, and then it is replaced.
fn serial_of(annotation: &str) -> Option<Serial> {
    let published: Value = serde_json::from_str(annotation).ok()?;
    Some(Serial(u32::try_from(published["serial"].as_u64()?).ok()?))
}
