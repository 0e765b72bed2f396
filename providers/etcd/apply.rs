//! Changes as transactions.
//!
//! ```text
//!   change ─► work: compares, puts, deletes ─┐
//!   change ─► work ──────────────────────────┼─► transaction ─┐
//!   change ─► work ─► …                      ┘                ├─ some at a time ─► outcomes
//!   change with very many keys ─► transactions of its own ────┘
//! ```
//!
//! A work compares: nothing of ours at the name is newer than what it was planned from, and all of that is still there. If
//! that does not hold for one name of a transaction, or etcd refuses it, its halves are tried, down to the culprit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use etcd_client::{Compare, CompareOp};
use futures::StreamExt as _;
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{Change, Group, Ownership, Standing},
};
use mcdns_publish::{ApplyReport, Batch, Outcome, PublishError};

use crate::{
    Etcd,
    client::{Transaction, Trouble, unavailable},
    names::{Move, Names},
    read::marked_keys,
    state::Zone,
    wire::{Pair, Place, Wire, apex_names},
};

/// Transactions under way at a time: etcd writes what arrives together to its disk together.
const IN_FLIGHT: usize = 8;
/// Octets of one transaction; etcd takes 1.5 MiB (`--max-request-bytes`).
const OCTETS: usize = 512 << 10;
/// Words of a comparison that does not hold.
const CONFLICT: &str = "etcd: a key was changed meanwhile; the revisions differ";

/// What is to be done for one name.
#[derive(Debug, Clone)]
struct Work {
    owner: OwnerName,
    /// One for nearly all names.
    transactions: Vec<Transaction>,
    /// What stands there then, but for the revision.
    then: Option<Standing>,
}

/// What became of a batch so far.
#[derive(Debug, Default)]
struct Progress {
    outcomes: BTreeMap<OwnerName, Outcome>,
    /// Why the rest is not tried.
    abort: Option<PublishError>,
}

impl Etcd {
    pub(crate) async fn apply_batch(&self, batch: &Batch) -> Result<ApplyReport, PublishError> {
        if !batch.leadership.holds() {
            return Err(PublishError::NotLeader);
        }
        let _writing = self.state.writing.read().await;
        let lease = self.lease.hold().await.map_err(Trouble::error)?;
        let (works, unknown, moves) = self.plan_works(batch);
        let progress = Mutex::new(Progress { outcomes: unknown, abort: None });
        let jobs = pack(works, self.settings.max_txn_ops);
        futures::stream::iter(jobs).for_each_concurrent(IN_FLIGHT, |job| self.run(batch, job, lease, &progress)).await;
        let is_whole = progress.lock().is_ok_and(|progress| progress.abort.is_none());
        if is_whole && batch.leadership.holds() {
            self.move_aliases(&batch.apex, moves, lease).await;
        }
        let Progress { outcomes, abort } = progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_sure = |outcome: &Outcome| !matches!(outcome, Outcome::Unknown(_));
        match abort {
            Some(error) if !outcomes.values().any(is_sure) => Err(error),
            _ => Ok(ApplyReport { outcomes, receipt: None }),
        }
    }

    /// What is to be done for each change, and which aliases have to move because of it.
    fn plan_works(&self, batch: &Batch) -> (Vec<Work>, BTreeMap<OwnerName, Outcome>, Vec<Move>) {
        let apex = &batch.apex;
        let mut zones = self.state.zones();
        let zone = zones.entry(apex.clone()).or_insert_with(|| Zone::new(&self.wire, apex));
        let names = &mut zone.names;
        let placed: Vec<Place> = batch.changes.iter().map(|change| names.placed(change.owner())).collect();
        let mut flips = Vec::new();
        for change in &batch.changes {
            if names.expect(change.owner(), change.after(), Place::ORDINARY) {
                flips.push(change.owner());
            }
        }
        for change in batch.changes.iter().filter(|change| change.after().is_some_and(is_alias)) {
            let place = names.place(change.owner());
            names.expect(change.owner(), change.after(), place);
        }
        let (mut works, mut unknown) = (Vec::new(), BTreeMap::new());
        for (change, placed) in batch.changes.iter().zip(placed) {
            if let Some(work) = work(&self.wire, apex, change, placed, names, self.settings.max_txn_ops) {
                works.push(work);
            } else {
                let words = "it was never read with its keys".to_owned();
                unknown.insert(change.owner().clone(), Outcome::Unknown(words));
            }
        }
        let own: BTreeSet<&OwnerName> = batch.changes.iter().map(Change::owner).collect();
        let moves = names.moves(flips).into_iter().filter(|one| !own.contains(one.group.owner())).collect();
        (works, unknown, moves)
    }

    /// Makes one transaction, or its halves.
    async fn run(&self, batch: &Batch, job: Vec<Work>, lease: i64, progress: &Mutex<Progress>) {
        let whole = job.len();
        let mut open = vec![job];
        let mut denied = Vec::new();
        let mut has_new_lease = false;
        while let Some(mut works) = open.pop() {
            if lock(progress).abort.is_some() {
                return;
            }
            if !batch.leadership.holds() {
                lock(progress).abort = Some(PublishError::NotLeader);
                return;
            }
            let answer = match &works[..] {
                [one] if one.transactions.len() > 1 => self.commit_in_parts(batch, one, lease).await,
                works => self.connection.commit(&together(works), lease).await,
            };
            match answer {
                Ok(Some(revision)) => {
                    self.state.wrote(&batch.apex, revision);
                    let mut progress = lock(progress);
                    for work in works {
                        let mut then = work.then;
                        if let Some(then) = &mut then {
                            then.revision = u64::try_from(revision).ok();
                        }
                        progress.outcomes.insert(work.owner, Outcome::Done(then.map(Box::new)));
                    }
                }
                Ok(None) if works.len() == 1 => {
                    let words = CONFLICT.to_owned();
                    lock(progress).outcomes.insert(works.remove(0).owner, Outcome::Unknown(words));
                }
                Err(Trouble::Refused(words)) if works.len() == 1 => {
                    lock(progress).outcomes.insert(works.remove(0).owner, Outcome::Refused(words));
                }
                Err(Trouble::Denied(words)) if works.len() == 1 => denied.push((works.remove(0).owner, words)),
                Ok(None) | Err(Trouble::Refused(_) | Trouble::Denied(_)) => {
                    let rest = works.split_off(works.len() / 2);
                    open.extend([rest, works]);
                }
                Err(Trouble::NoLease(_)) if !has_new_lease => {
                    has_new_lease = true;
                    self.lease.lost();
                    match self.lease.hold().await {
                        Ok(_) => open.push(works),
                        Err(trouble) => abort(progress, works, trouble.error()),
                    }
                }
                Err(trouble) => abort(progress, works, trouble.error()),
            }
        }
        // Where nothing at all may be written, it is not about these names.
        let mut progress = lock(progress);
        match denied.first() {
            Some((_, words)) if denied.len() == whole && whole > 1 => {
                progress.abort.get_or_insert(PublishError::Denied { words: words.clone() });
            }
            _ => {
                let refused = denied.into_iter().map(|(owner, words)| (owner, Outcome::Refused(words)));
                progress.outcomes.extend(refused);
            }
        }
    }

    /// One name with more keys than a transaction takes: what is new first, what is old last.
    async fn commit_in_parts(&self, batch: &Batch, work: &Work, lease: i64) -> Result<Option<i64>, Trouble> {
        let mut last = None;
        for transaction in &work.transactions {
            if !batch.leadership.holds() {
                return Err(unavailable("the lock was lost between two parts of a name"));
            }
            let mut transaction = transaction.clone();
            if let Some(revision) = last {
                transaction.compares = self.wire.unchanged_since(&batch.apex, &work.owner, revision);
            }
            match self.connection.commit(&transaction, lease).await? {
                Some(revision) => {
                    self.state.wrote(&batch.apex, revision);
                    last = Some(revision);
                }
                None => return Ok(None),
            }
        }
        Ok(last)
    }

    /// Moves aliases that stand wrong now. One that has changed meanwhile is left: whoever reads it sees where it stands.
    async fn move_aliases(&self, apex: &OwnerName, moves: Vec<Move>, lease: i64) {
        for Move { group, from, to } in moves {
            let (before, after) = (self.wire.pairs(apex, &group, from), self.wire.pairs(apex, &group, to));
            let compares =
                before.iter().map(|pair| Compare::value(pair.key.clone(), CompareOp::Equal, pair.value.clone()));
            let transaction = Transaction {
                compares: compares.collect(),
                puts: after.iter().filter(|pair| !before.contains(pair)).cloned().map(Pair::into_parts).collect(),
                deletes: before.into_iter().filter(|pair| !after.contains(pair)).map(|pair| pair.key).collect(),
            };
            match self.connection.commit(&transaction, lease).await {
                // Not noted as written by us, so that the watch has it read again.
                Ok(Some(_)) => {
                    if let Some(zone) = self.state.zones().get_mut(apex) {
                        zone.names.expect(group.owner(), Some(&group), to);
                    }
                }
                Ok(None) => {}
                Err(trouble) => {
                    let words = trouble.error().to_string();
                    tracing::warn!(owner = %group.owner(), words, "an alias could not be moved; the next comparison does it");
                    return;
                }
            }
        }
    }
}

impl Wire {
    /// What is ours at a name and can be told by where it is.
    fn ranges(&self, apex: &OwnerName, owner: &OwnerName) -> Vec<(Vec<u8>, Vec<u8>)> {
        let manager = self.manager.as_str();
        let mut ranges: Vec<_> = self.prefix.targets(owner, manager).into_iter().collect();
        if owner == apex
            && let Some((addresses, servers)) = apex_names(apex)
        {
            ranges.extend(self.prefix.targets(&addresses, manager));
            for label in self.name_servers.keys() {
                let server = servers.child(label.as_bytes()).ok();
                ranges.extend(server.and_then(|server| self.prefix.targets(&server, manager)));
            }
        }
        ranges
    }

    /// Nothing of ours there is newer.
    fn unchanged_since(&self, apex: &OwnerName, owner: &OwnerName, revision: i64) -> Vec<Compare> {
        let older = |(from, end): (Vec<u8>, Vec<u8>)| {
            let compare = if revision == 0 {
                Compare::create_revision(from, CompareOp::Equal, 0)
            } else {
                Compare::mod_revision(from, CompareOp::Less, revision + 1)
            };
            compare.with_range(end)
        };
        self.ranges(apex, owner).into_iter().map(older).collect()
    }
}

/// What is to be done for a change; none if its keys are not known.
fn work(wire: &Wire, apex: &OwnerName, change: &Change, placed: Place, names: &Names, limit: usize) -> Option<Work> {
    let owner = change.owner();
    let (before, after) = (change.before(), change.after());
    let is_ours = before.is_some_and(|before| before.ownership == Ownership::Ours);
    // What is there now; with values where they are known to be as they would be written.
    let (known, there): (Vec<Pair>, Vec<Vec<u8>>) = match before {
        None => (Vec::new(), Vec::new()),
        Some(before) if !before.marks.is_empty() => (Vec::new(), marked_keys(before)),
        Some(before) if is_ours => {
            let pairs = wire.pairs(apex, &before.group, placed);
            let keys = pairs.iter().map(|pair| pair.key.clone()).collect();
            (pairs, keys)
        }
        Some(_) => return None,
    };
    let wanted = after.map(|after| wire.pairs(apex, after, names.place(owner))).unwrap_or_default();
    let revision = before.filter(|_| is_ours).and_then(|before| before.revision);
    let revision = revision.and_then(|revision| i64::try_from(revision).ok()).unwrap_or(0);
    let newest = before.and_then(|before| before.revision).and_then(|revision| i64::try_from(revision).ok());
    let ranges = wire.ranges(apex, owner);
    let in_range = |key: &[u8]| ranges.iter().any(|(from, end)| (from.as_slice()..end.as_slice()).contains(&key));

    let mut compares = wire.unchanged_since(apex, owner, revision);
    for key in &there {
        compares.push(Compare::create_revision(key.clone(), CompareOp::Greater, 0));
        if !in_range(key) {
            compares.push(Compare::mod_revision(key.clone(), CompareOp::Less, newest.unwrap_or(0) + 1));
        }
    }
    for pair in wanted.iter().filter(|pair| !in_range(&pair.key) && !there.contains(&pair.key)) {
        compares.push(Compare::create_revision(pair.key.clone(), CompareOp::Equal, 0));
    }
    let keys: BTreeSet<&[u8]> = wanted.iter().map(|pair| &*pair.key).collect();
    let deletes: Vec<Vec<u8>> = there.into_iter().filter(|key| !keys.contains(&**key)).collect();
    let known: BTreeSet<Pair> = known.into_iter().collect();
    let puts: Vec<_> = wanted.into_iter().filter(|pair| !known.contains(pair)).map(Pair::into_parts).collect();
    let whole = Transaction { compares, puts, deletes };
    let transactions = if whole.fits(limit) { vec![whole] } else { parts(whole, limit) };
    Some(Work { owner: owner.clone(), transactions, then: then(change, names) })
}

/// What stands at the name when a change is made.
fn then(change: &Change, names: &Names) -> Option<Standing> {
    let owner = change.owner();
    let others = match change.before() {
        Some(before) => before.beside.iter().map(|beside| (beside.set.clone(), beside.ownership.clone())).collect(),
        None => names.others(owner).to_vec(),
    };
    let ours = change.after().into_iter().flat_map(Group::sets).map(|set| (set.clone(), Ownership::Ours));
    let sets: Vec<_> = ours.chain(others).collect();
    (!sets.is_empty()).then(|| Standing::of_sets(owner.clone(), sets))
}

/// Transactions that etcd takes, in order: the comparison with what was planned from is made by the first.
fn parts(mut whole: Transaction, limit: usize) -> Vec<Transaction> {
    whole.compares.truncate(limit);
    let mut parts = vec![Transaction { compares: whole.compares, ..Transaction::default() }];
    for (key, value) in whole.puts {
        let fits =
            |part: &&mut Transaction| part.puts.len() < limit && part.octets() + key.len() + value.len() < OCTETS;
        match parts.last_mut().filter(fits) {
            Some(part) => part.puts.push((key, value)),
            None => parts.push(Transaction { puts: vec![(key, value)], ..Transaction::default() }),
        }
    }
    for key in whole.deletes {
        match parts.last_mut().filter(|part| part.puts.len() + part.deletes.len() < limit) {
            Some(part) => part.deletes.push(key),
            None => parts.push(Transaction { deletes: vec![key], ..Transaction::default() }),
        }
    }
    parts
}

/// Works that go together, as many as a transaction takes.
fn pack(works: Vec<Work>, limit: usize) -> Vec<Vec<Work>> {
    let mut jobs: Vec<Vec<Work>> = Vec::new();
    let (mut compares, mut operations, mut octets) = (0, 0, 0);
    for work in works {
        let one = work.transactions.first().filter(|_| work.transactions.len() == 1);
        let size = one.map(|one| (one.compares.len(), one.puts.len() + one.deletes.len(), one.octets()));
        match (size, jobs.last_mut()) {
            (Some(size), Some(job))
                if compares + size.0 <= limit && operations + size.1 <= limit && octets + size.2 <= OCTETS =>
            {
                (compares, operations, octets) = (compares + size.0, operations + size.1, octets + size.2);
                job.push(work);
            }
            (size, _) => {
                // One of several transactions is alone.
                (compares, operations, octets) = size.unwrap_or((limit, limit, OCTETS));
                jobs.push(vec![work]);
            }
        }
    }
    jobs
}

fn together(works: &[Work]) -> Transaction {
    let mut all = Transaction::default();
    for one in works.iter().flat_map(|work| &work.transactions) {
        all.compares.extend(one.compares.iter().cloned());
        all.puts.extend(one.puts.iter().cloned());
        all.deletes.extend(one.deletes.iter().cloned());
    }
    all
}

fn abort(progress: &Mutex<Progress>, works: Vec<Work>, error: PublishError) {
    let mut progress = lock(progress);
    if error.leaves_doubt() {
        let unknown = works.into_iter().map(|work| (work.owner, Outcome::Unknown(error.to_string())));
        progress.outcomes.extend(unknown);
    }
    progress.abort.get_or_insert(error);
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn is_alias(group: &Group) -> bool {
    group.sets_of(RecordType::CNAME).next().is_some()
}

impl Transaction {
    fn fits(&self, limit: usize) -> bool {
        self.compares.len() <= limit && self.puts.len() + self.deletes.len() <= limit && self.octets() <= OCTETS
    }

    fn octets(&self) -> usize {
        let puts: usize = self.puts.iter().map(|(key, value)| key.len() + value.len()).sum();
        puts + self.deletes.iter().map(Vec::len).sum::<usize>()
    }
}

impl Pair {
    fn into_parts(self) -> (Vec<u8>, String) {
        (self.key, self.value)
    }
}
