//! A batch becomes one call.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use hyper::StatusCode;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, CurrentZone, Group, Mark, Ownership, RecordSet},
};
use mcdns_publish::{ApplyReport, Batch, Outcome, PublishError};

use crate::{
    Webhook,
    client::Answer,
    wire::{Changes, Endpoint, Listing, shorten, to_endpoint},
};

/// So many times 500 is a peer that does not work at the moment; after that it is what was sent.
const PATIENCE: u32 = 3;
/// 500s further apart than this have nothing to do with each other.
const MEMORY: Duration = Duration::from_mins(30);

/// Where a set is: name, type, identifier.
type Place = (OwnerName, RecordType, Option<String>);

/// What the peer holds, as sets for comparing and as endpoints for sending.
struct Held {
    zone: CurrentZone,
    places: BTreeMap<Place, (RecordSet, Endpoint)>,
}

/// What stands at a place before and after a change; the labels are for what is sent.
struct Edit {
    before: Option<Endpoint>,
    after: Option<(OwnerName, RecordSet, Endpoint)>,
}

impl Webhook {
    pub(crate) async fn apply_now(&self, batch: &Batch) -> Result<ApplyReport, PublishError> {
        let _one_at_a_time = self.writing.lock().await;
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        self.negotiate().await?;
        let held = self.held(&batch.apex, self.listing().await?);
        let mut report = ApplyReport::default();
        let (mut edited, mut sent) = (Vec::new(), BTreeSet::new());
        for change in &batch.changes {
            let owner = change.owner().clone();
            match self.edits(&batch.apex, &held, change) {
                Ok(edits) => {
                    report.outcomes.insert(owner.clone(), self.done(&batch.apex, &held, change, &edits));
                    sent.insert(owner);
                    edited.extend(edits.into_iter().map(|(place, edit)| (place.0 != *change.owner(), edit)));
                }
                Err(outcome) => {
                    report.outcomes.insert(owner, outcome);
                }
            }
        }
        if edited.is_empty() {
            return Ok(report);
        }
        let changes = changes(edited);
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let body = serde_json::to_vec(&changes).unwrap_or_default();
        let answer = self.client.post("/records", body).await?;
        if answer.status == StatusCode::NO_CONTENT {
            self.worked();
            return Ok(report);
        }
        match self.refusal(&answer) {
            // What was left out is not to blame.
            PublishError::Refused { group: None, words } if sent.len() == 1 => {
                report.outcomes.extend(sent.into_iter().map(|owner| (owner, Outcome::Refused(words.clone()))));
                Ok(report)
            }
            PublishError::Refused { .. } if sent.len() < batch.changes.len() => {
                let told = |owner| (owner, Outcome::Unknown("the batch was refused".to_owned()));
                report.outcomes.extend(sent.into_iter().map(told));
                Ok(report)
            }
            error => Err(error),
        }
    }

    fn held(&self, apex: &OwnerName, listing: Listing) -> Held {
        let zone = self.zone(apex, &listing);
        let place = |(owner, set, endpoint): (OwnerName, RecordSet, Endpoint)| {
            ((owner, set.record_type, set.identifier.clone()), (set, endpoint))
        };
        Held { zone, places: listing.sets.into_iter().map(place).collect() }
    }

    /// What is to be sent for a change, if it still applies.
    fn edits(&self, apex: &OwnerName, held: &Held, change: &Change) -> Result<BTreeMap<Place, Edit>, Outcome> {
        let step = self.registry.step(apex, change.before(), change.after()).map_err(|why| Outcome::Refused(why.0))?;
        let owner = change.owner();
        if let Some(why) = held.zone.unreadable.get(owner) {
            return Err(Outcome::Unknown(format!("what stands there makes no sense: {why}")));
        }
        let stands = held.zone.names.get(owner);
        let fits = match change.before() {
            // What is created may have others beside it.
            None => stands.is_none_or(|stands| stands.ownership != Ownership::Ours),
            Some(before) => {
                let there = |set: &RecordSet| stands.is_some_and(|now| now.all_sets().any(|(other, _)| other == set));
                stands.is_some_and(|now| now.ownership == before.ownership) && before.group.sets().iter().all(there)
            }
        };
        let marks_stand = step.remove.iter().chain(&step.keep).all(|mark| held.has(mark));
        if !fits || !marks_stand {
            return Err(Outcome::Unknown("it was changed meanwhile".to_owned()));
        }
        let known: Vec<&Mark> = change.before().into_iter().flat_map(|before| &before.marks).collect();
        let mut edits = BTreeMap::new();
        for set in change.before().into_iter().flat_map(|before| before.group.sets()) {
            held.begin(&mut edits, owner, set);
        }
        for mark in &step.remove {
            held.begin(&mut edits, &mark.owner, &mark.set);
        }
        for mark in &step.write {
            let place = place(&mark.owner, &mark.set);
            let ours = known.iter().any(|one| one.owner == mark.owner && one.set.identifier == mark.set.identifier);
            if held.places.contains_key(&place) && !ours {
                let words = format!("a TXT record that is not ours stands at {}", mark.owner);
                return Err(Outcome::Refused(words));
            }
            let edit = held.begin(&mut edits, &mark.owner, &mark.set);
            let labels = BTreeMap::from([("ownedRecord".to_owned(), owner.to_string())]);
            edit.after = Some((mark.owner.clone(), mark.set.clone(), to_endpoint(&mark.owner, &mark.set, labels)));
        }
        for set in change.after().into_iter().flat_map(Group::sets) {
            let replaced =
                change.before().is_some_and(|one| one.group.set(set.record_type, set.identifier.as_deref()).is_some());
            if held.places.contains_key(&place(owner, set)) && !replaced {
                return Err(Outcome::Unknown("somebody else's record stands there".to_owned()));
            }
            let edit = held.begin(&mut edits, owner, set);
            edit.after = Some((owner.clone(), set.clone(), to_endpoint(owner, set, self.labels())));
        }
        // What stays as it is, is not sent.
        edits.retain(|place, edit| {
            let now = held.places.get(place).map(|(set, _)| set);
            now != edit.after.as_ref().map(|(_, set, _)| set)
        });
        Ok(edits)
    }

    /// What a reading would say once the edits are made.
    fn done(&self, apex: &OwnerName, held: &Held, change: &Change, edits: &BTreeMap<Place, Edit>) -> Outcome {
        let owner = change.owner();
        let before = held.zone.names.get(owner);
        let marks = before.into_iter().flat_map(|before| &before.marks).map(|mark| &mark.owner);
        let around: BTreeSet<&OwnerName> =
            edits.keys().map(|(owner, _, _)| owner).chain(marks).chain([owner]).collect();
        let kept = around.into_iter().flat_map(|owner| held.at(owner)).filter(|(place, _)| !edits.contains_key(place));
        let kept = kept.map(|(place, (set, _))| (place.0.clone(), set.clone()));
        let new = edits.values().filter_map(|edit| edit.after.as_ref());
        let new = new.map(|(owner, set, _)| (owner.clone(), set.clone()));
        let mut zone = self.registry.read(apex, kept.chain(new));
        Outcome::Done(zone.names.remove(owner).map(Box::new))
    }

    fn worked(&self) {
        let mut state = self.state();
        // While batches are halved, one that works proves that the others' content is wrong.
        if state.failures.is_some_and(|(count, _)| count < PATIENCE) {
            state.failures = None;
        }
    }

    /// What an answer to changes means that is no success.
    fn refusal(&self, answer: &Answer) -> PublishError {
        let words = shorten(&answer.words());
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PublishError::Denied { words },
            StatusCode::TOO_MANY_REQUESTS => PublishError::Throttled { after: answer.retry_after, words },
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => PublishError::Conflict { words },
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                PublishError::Unavailable { words }
            }
            status if status.is_server_error() => self.failure(words),
            // 404 and 405 are said of the path, and whoever says so is no webhook provider.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => PublishError::Garbage { words },
            status if status.is_client_error() => PublishError::Refused { group: None, words },
            // 200 is none either: who answers so did something else.
            _ => PublishError::Garbage { words: format!("204 was expected, and {words}") },
        }
    }

    /// 500 says nothing: it is a peer in trouble at first, and then a change that it cannot make.
    fn failure(&self, words: String) -> PublishError {
        let now = Instant::now();
        let mut state = self.state();
        let before = state.failures.filter(|(_, last)| now.duration_since(*last) < MEMORY);
        let count = before.map_or(0, |(count, _)| count) + 1;
        state.failures = Some((count, now));
        drop(state);
        if count < PATIENCE {
            PublishError::Unavailable { words }
        } else {
            PublishError::Refused { group: None, words }
        }
    }
}

impl Held {
    /// What stands at a name.
    fn at<'a>(&'a self, owner: &'a OwnerName) -> impl Iterator<Item = (&'a Place, &'a (RecordSet, Endpoint))> {
        let first = (owner.clone(), RecordType(0), None);
        self.places.range(first..).take_while(move |(place, _)| place.0 == *owner)
    }

    fn has(&self, mark: &Mark) -> bool {
        self.places.get(&place(&mark.owner, &mark.set)).is_some_and(|(set, _)| *set == mark.set)
    }

    /// The edit at a place, with what stands there now.
    fn begin<'e>(&self, edits: &'e mut BTreeMap<Place, Edit>, owner: &OwnerName, set: &RecordSet) -> &'e mut Edit {
        let place = place(owner, set);
        let before = self.places.get(&place).map(|(_, endpoint)| endpoint.clone());
        edits.entry(place).or_insert(Edit { before, after: None })
    }
}

/// The body of a call: marks are created first and deleted last.
fn changes(edited: Vec<(bool, Edit)>) -> Changes {
    let (marks, records): (Vec<_>, Vec<_>) = edited.into_iter().partition(|(is_mark, _)| *is_mark);
    let mut changes = Changes::default();
    let mut left = Vec::new();
    for (is_mark, edit) in marks.into_iter().chain(records) {
        match (edit.before, edit.after) {
            (Some(old), Some((_, _, new))) => {
                changes.update_old.push(old);
                changes.update_new.push(new);
            }
            (None, Some((_, _, new))) => changes.create.push(new),
            (Some(old), None) if is_mark => left.push(old),
            (Some(old), None) => changes.delete.push(old),
            (None, None) => {}
        }
    }
    changes.delete.append(&mut left);
    changes
}

fn place(owner: &OwnerName, set: &RecordSet) -> Place {
    (owner.clone(), set.record_type, set.identifier.clone())
}
