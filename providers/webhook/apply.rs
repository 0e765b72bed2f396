//! A batch becomes one call.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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

/// So many times 500 is a peer that does not work at the moment; after that it may be what was sent.
const PATIENCE: u32 = 3;
/// So many calls in a row are answered with 500 before a search for what the peer cannot make is given up. A single
/// culprit among the most changes of a batch is found with fewer.
const PROBES: usize = 64;
/// The search does not grow beyond 2^10 times that, which is more than any batch has parts.
const MAX_DOUBLINGS: u32 = 10;
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

/// Why changes were not made.
enum Trouble {
    /// 500, which may mean anything; in the peer's words.
    Unclear(String),
    /// Anything else.
    Told(PublishError),
}

/// What became of some changes that were sent in one call.
struct Attempt {
    /// Of each change, if the call worked.
    outcomes: BTreeMap<OwnerName, Outcome>,
    /// What was in the call; the others were found to be impossible before it.
    sent: Vec<Change>,
    answer: Result<(), Trouble>,
}

impl Webhook {
    pub(crate) async fn apply_now(&self, batch: &Batch) -> Result<ApplyReport, PublishError> {
        let _one_at_a_time = self.writing.lock().await;
        self.negotiate().await?;
        // What was found to be wrong is sent by itself, so that it holds nothing up again.
        let (blamed, fresh): (Vec<Change>, Vec<Change>) =
            batch.changes.iter().cloned().partition(|change| self.is_blamed(change));
        let mut report = ApplyReport::default();
        if !fresh.is_empty() {
            let Attempt { outcomes, sent, answer } = self.attempt(batch, &fresh).await?;
            report.outcomes.extend(outcomes);
            match answer {
                Ok(()) => self.worked(&sent),
                Err(Trouble::Unclear(words)) => self.halve(batch, sent, words, &mut report).await?,
                // What was left out is not to blame.
                Err(Trouble::Told(PublishError::Refused { group: None, words })) if sent.len() == 1 => {
                    set_all(&mut report, &sent, &Outcome::Refused(words));
                }
                Err(Trouble::Told(PublishError::Refused { .. })) if sent.len() < batch.changes.len() => {
                    set_all(&mut report, &sent, &Outcome::Unknown("the batch was refused".to_owned()));
                }
                Err(Trouble::Told(error)) => return Err(error),
            }
        }
        self.apply_blamed(batch, &blamed, &mut report).await?;
        Ok(report)
    }

    /// Sends these changes, one at a time.
    async fn apply_blamed(
        &self,
        batch: &Batch,
        changes: &[Change],
        report: &mut ApplyReport,
    ) -> Result<(), PublishError> {
        let alone = report.outcomes.is_empty();
        for (index, change) in changes.iter().enumerate() {
            let attempt = self.attempt(batch, std::slice::from_ref(change)).await;
            let error = match attempt {
                Ok(Attempt { outcomes, sent, answer }) => {
                    report.outcomes.extend(outcomes);
                    match answer {
                        Ok(()) => {
                            self.worked(&sent);
                            continue;
                        }
                        Err(Trouble::Unclear(words) | Trouble::Told(PublishError::Refused { words, .. })) => {
                            set_all(report, &sent, &Outcome::Refused(words));
                            continue;
                        }
                        Err(Trouble::Told(error)) => error,
                    }
                }
                Err(error) => error,
            };
            if index == 0 && alone {
                return Err(error);
            }
            set_all(report, &changes[index..], &Outcome::Left(error));
            break;
        }
        Ok(())
    }

    /// Finds out which of these changes the peer cannot make, if it is they: it answered 500 to all of them.
    ///
    /// ```text
    ///   [a b c d e f g h] 500
    ///   [a b c d] 500   [e f g h] done
    ///   [a b] done   [c d] 500
    ///   [c] 500   [d] done ──────────────────► c is to blame
    /// ```
    ///
    /// A peer whose back end is away answers 500 to everything, so nothing is to blame before another part worked. Parts of
    /// one size are tried before smaller ones, and where none works after [`PROBES`] calls the peer is left alone for a
    /// while; the next try may go twice as far.
    async fn halve(
        &self,
        batch: &Batch,
        changes: Vec<Change>,
        words: String,
        report: &mut ApplyReport,
    ) -> Result<(), PublishError> {
        let failed = self.failed();
        if failed < PATIENCE {
            return Err(PublishError::Unavailable { words });
        }
        let most = PROBES << (failed - PATIENCE).min(MAX_DOUBLINGS);
        let mut open: VecDeque<Vec<Change>> = halves(changes.clone()).into();
        let mut suspects: Vec<(Change, String)> = Vec::new();
        let (mut worked, mut failing, mut certain) = (false, 0, 0);
        let mut stopped: Option<PublishError> = None;
        while let Some(part) = open.pop_front() {
            let attempt = match self.attempt(batch, &part).await {
                Ok(attempt) => attempt,
                Err(error) => {
                    open.push_front(part);
                    stopped = Some(error);
                    break;
                }
            };
            report.outcomes.extend(attempt.outcomes);
            let sent = attempt.sent;
            match attempt.answer {
                Ok(()) if sent.is_empty() => {}
                Ok(()) => {
                    self.worked(&sent);
                    (worked, failing, certain) = (true, 0, suspects.len());
                }
                Err(Trouble::Unclear(words) | Trouble::Told(PublishError::Refused { words, .. })) => {
                    failing += 1;
                    if let [one] = &sent[..] {
                        suspects.push((one.clone(), words));
                    } else {
                        open.extend(halves(sent));
                    }
                    if failing >= most && !open.is_empty() {
                        stopped = Some(PublishError::Unavailable { words: format!("{failing} calls in a row: 500") });
                        break;
                    }
                }
                Err(Trouble::Told(error)) => {
                    open.push_front(sent);
                    stopped = Some(error);
                    break;
                }
            }
        }
        if !worked {
            return Err(stopped.unwrap_or(PublishError::Unavailable { words }));
        }
        if let Some(error) = stopped {
            // Since the last part that worked the peer itself may have stopped to.
            let doubtful = suspects.drain(certain..).map(|(change, _)| change);
            let left: Vec<Change> = doubtful.chain(open.into_iter().flatten()).collect();
            set_all(report, &left, &Outcome::Left(error));
        }
        let mut state = self.state();
        for (change, words) in suspects {
            state.blamed.insert(change.owner().clone(), change.after().cloned());
            report.outcomes.insert(change.owner().clone(), Outcome::Refused(words));
        }
        Ok(())
    }

    /// Sends what these changes come to, in one call, from a new reading: a call that failed may have done a part of it.
    async fn attempt(&self, batch: &Batch, changes_of: &[Change]) -> Result<Attempt, PublishError> {
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let held = self.held(&batch.apex, self.listing().await?);
        let mut outcomes = BTreeMap::new();
        let (mut edited, mut sent) = (Vec::new(), Vec::new());
        for change in changes_of {
            let owner = change.owner().clone();
            match self.edits(&batch.apex, &held, change) {
                Ok(edits) => {
                    outcomes.insert(owner, self.done(&batch.apex, &held, change, &edits));
                    sent.push(change.clone());
                    edited.extend(edits.into_iter().map(|(place, edit)| (place.0 != *change.owner(), edit)));
                }
                Err(outcome) => {
                    outcomes.insert(owner, outcome);
                }
            }
        }
        if edited.is_empty() {
            return Ok(Attempt { outcomes, sent: Vec::new(), answer: Ok(()) });
        }
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let body = serde_json::to_vec(&changes(edited)).unwrap_or_default();
        let answer = self.client.post("/records", body).await?;
        let answer = if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(Self::refusal(&answer)) };
        Ok(Attempt { outcomes, sent, answer })
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

    /// The peer made these changes: it works, and they are right.
    fn worked(&self, changes: &[Change]) {
        let mut state = self.state();
        state.failures = None;
        for change in changes {
            state.blamed.remove(change.owner());
        }
    }

    /// True if this very change was found to be what the peer answers 500 to.
    fn is_blamed(&self, change: &Change) -> bool {
        self.state().blamed.get(change.owner()).is_some_and(|after| after.as_ref() == change.after())
    }

    /// Counts one more batch in a row that was answered with 500.
    fn failed(&self) -> u32 {
        let now = Instant::now();
        let mut state = self.state();
        let before = state.failures.filter(|(_, last)| now.duration_since(*last) < MEMORY);
        let count = before.map_or(0, |(count, _)| count) + 1;
        state.failures = Some((count, now));
        count
    }

    /// What an answer to changes means that is no success.
    fn refusal(answer: &Answer) -> Trouble {
        let words = shorten(&answer.words());
        Trouble::Told(match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PublishError::Denied { words },
            StatusCode::TOO_MANY_REQUESTS => PublishError::Throttled { after: answer.retry_after, words },
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => PublishError::Conflict { words },
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                PublishError::Unavailable { words }
            }
            status if status.is_server_error() => return Trouble::Unclear(words),
            // 404 and 405 are said of the path, and whoever says so is no webhook provider.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => PublishError::Garbage { words },
            status if status.is_client_error() => PublishError::Refused { group: None, words },
            // 200 is none either: who answers so did something else.
            _ => PublishError::Garbage { words: format!("204 was expected, and {words}") },
        })
    }
}

/// The same became of all of these.
fn set_all(report: &mut ApplyReport, changes: &[Change], outcome: &Outcome) {
    report.outcomes.extend(changes.iter().map(|change| (change.owner().clone(), outcome.clone())));
}

/// Two parts of nearly the same size; none of a single change, which has none.
fn halves(mut changes: Vec<Change>) -> Vec<Vec<Change>> {
    if changes.len() < 2 {
        return Vec::new();
    }
    let rest = changes.split_off(changes.len() / 2);
    vec![changes, rest]
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
