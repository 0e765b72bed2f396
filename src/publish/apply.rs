//! Changes become calls: in batches, with the culprit of a refused one found by halving.
//!
//! ```text
//!   [a b c d e f]  refused
//!   [a b c] done   [d e f] refused
//!                  [d] refused: quarantine   [e f] done
//! ```
//!
//! A culprit among n changes costs at most 2 log2(n) calls more, and none where the system names it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use mcdns_core::{
    dns::OwnerName,
    plan::{Change, ManagerId, Standing},
};

use crate::{Batch, Leadership, Outcome, PublishError, Publisher};

/// What became of some changes. Every name is in exactly one of the lists.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Made; what stands there now.
    pub done: BTreeMap<OwnerName, Option<Standing>>,
    /// Refused, in the system's own words.
    pub refused: BTreeMap<OwnerName, String>,
    /// Perhaps made: to be read again; in the system's own words.
    pub unknown: BTreeMap<OwnerName, String>,
    /// Not tried, because of `error`.
    pub left: BTreeSet<OwnerName>,
    /// What ended it early.
    pub error: Option<PublishError>,
    /// To be verified.
    pub receipts: Vec<String>,
    /// Calls of [`Publisher::apply`].
    pub calls: usize,
}

/// Makes these changes of one zone, in their order, as far as it goes.
pub async fn apply_changes(
    publisher: &dyn Publisher,
    apex: &OwnerName,
    manager: &ManagerId,
    leadership: &Arc<dyn Leadership>,
    changes: Vec<Change>,
) -> Applied {
    let most = publisher.capabilities().max_groups.max(1);
    let mut open: VecDeque<Vec<Change>> = changes.chunks(most).map(<[Change]>::to_vec).collect();
    let mut applied = Applied::default();
    while let Some(changes) = open.pop_front() {
        if !leadership.holds() {
            applied.error = Some(PublishError::NotLeader);
            open.push_front(changes);
            break;
        }
        applied.calls += 1;
        let (apex, manager, leadership) = (apex.clone(), manager.clone(), leadership.clone());
        let batch = Batch { apex, manager, changes, leadership };
        match publisher.apply(&batch).await {
            Ok(report) => {
                applied.receipts.extend(report.receipt);
                let mut outcomes = report.outcomes;
                for change in batch.changes {
                    let owner = change.owner().clone();
                    match outcomes.remove(&owner) {
                        Some(Outcome::Done(standing)) => {
                            applied.done.insert(owner, standing.map(|standing| *standing));
                        }
                        Some(Outcome::Refused(words)) => {
                            applied.refused.insert(owner, words);
                        }
                        Some(Outcome::Left(error)) => {
                            applied.left.insert(owner);
                            applied.error = Some(error);
                        }
                        Some(Outcome::Unknown(words)) => {
                            applied.unknown.insert(owner, words);
                        }
                        None => {
                            applied.unknown.insert(owner, "nothing was said of it".to_owned());
                        }
                    }
                }
                if applied.left.is_empty() {
                    continue;
                }
                break;
            }
            Err(PublishError::Refused { group, words }) => {
                for part in split(batch.changes, group.as_ref(), &words, &mut applied).into_iter().rev() {
                    open.push_front(part);
                }
            }
            Err(PublishError::Conflict { words }) => {
                // Others of the plan may still fit; these are read again.
                applied.unknown.extend(batch.changes.iter().map(|change| (change.owner().clone(), words.clone())));
                applied.error.get_or_insert(PublishError::Conflict { words });
            }
            Err(error) => {
                let names = batch.changes.iter().map(|change| change.owner().clone());
                if error.leaves_doubt() {
                    let words = error.to_string();
                    applied.unknown.extend(names.map(|name| (name, words.clone())));
                } else {
                    applied.left.extend(names);
                }
                applied.error = Some(error);
                break;
            }
        }
    }
    applied.left.extend(open.into_iter().flatten().map(|change| change.owner().clone()));
    applied
}

/// What to try instead of a refused batch.
fn split(
    mut changes: Vec<Change>,
    culprit: Option<&OwnerName>,
    words: &str,
    applied: &mut Applied,
) -> Vec<Vec<Change>> {
    let named = culprit.and_then(|culprit| changes.iter().position(|change| change.owner() == culprit));
    if let Some(at) = named.or((changes.len() == 1).then_some(0)) {
        let culprit = changes.remove(at);
        applied.refused.insert(culprit.owner().clone(), words.to_owned());
        return if changes.is_empty() { Vec::new() } else { vec![changes] };
    }
    let rest = changes.split_off(changes.len() / 2);
    vec![changes, rest]
}
