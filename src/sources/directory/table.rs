//! Which objects stand in which files, and which of them count.
//!
//! The first path, bytewise, wins an object that stands in several files; when it goes, the next one takes over. The
//! cost of a change is in proportion to the file that changed: files hold their objects, and an index holds the files
//! of each object.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use mcdns_core::{
    check::Finding,
    model::{Object, ObjectKey, Observation},
};

use super::walk::{Stamp, is_at_or_below};
use crate::objects::{Content, duplicate};

/// A file, or the folder of a member.
#[derive(Debug, Default)]
pub(super) struct File {
    /// As it was read; none if it was not read yet.
    pub(super) stamp: Option<Stamp>,
    /// Its last good objects, sorted by key.
    objects: Vec<(ObjectKey, Arc<Object>)>,
    ignored: BTreeMap<String, u64>,
}

/// Objects by file, and what has changed since [`Table::take_changes`].
#[derive(Debug, Default)]
pub(super) struct Table {
    files: BTreeMap<Arc<str>, File>,
    /// The files of each object, sorted.
    holders: HashMap<ObjectKey, Holders>,
    /// Objects that stand in more than one file.
    repeated: BTreeSet<ObjectKey>,
    /// Findings about objects, by file.
    findings: BTreeMap<Arc<str>, Vec<Finding>>,
    /// Files and folders that could not be read or parsed, whose last objects stay.
    stale: BTreeMap<String, Finding>,
    /// Other findings about files and folders.
    notes: BTreeMap<String, Finding>,
    ignored: BTreeMap<String, u64>,
    /// What changed objects were before.
    before: BTreeMap<ObjectKey, Option<Arc<Object>>>,
    /// Something of the findings or counts has changed.
    touched: bool,
}

#[derive(Debug)]
enum Holders {
    One(Arc<str>),
    Many(Vec<Arc<str>>),
}

impl Table {
    /// The file at `path`, if it is known.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Known paths at and below `path`.
    pub(super) fn paths(&self, path: &str) -> Vec<Arc<str>> {
        let from = self.files.range::<str, _>((std::ops::Bound::Included(path), std::ops::Bound::Unbounded));
        // What is below stands behind the path itself, with names such as `path-x` and `path.x` between them.
        let near = from.map(|(known, _)| known).take_while(|known| known.starts_with(path));
        near.filter(|known| is_at_or_below(known, path)).cloned().collect()
    }

    /// Puts new content in the place of the old.
    pub(super) fn replace(&mut self, path: &str, stamp: Option<Stamp>, content: Content) {
        let path: Arc<str> = match self.files.get_key_value(path) {
            Some((known, _)) => known.clone(),
            None => path.into(),
        };
        let old = self.files.insert(path.clone(), File { stamp, ..File::default() }).unwrap_or_default();
        let mut kept = BTreeMap::new();
        for (key, object) in old.objects {
            kept.insert(key, object);
        }
        let mut objects = Vec::with_capacity(content.objects.len());
        for (key, object) in content.objects {
            match kept.remove(&key) {
                // The same value stays the same allocation, so that comparing is cheap further on.
                Some(same) if same == object => objects.push((key, same)),
                Some(old) => {
                    self.remember(&key, Some((&path, &old)));
                    objects.push((key, object));
                }
                None => {
                    self.remember(&key, None);
                    self.hold(&key, &path);
                    objects.push((key, object));
                }
            }
        }
        for (key, object) in kept {
            self.remember(&key, Some((&path, &object)));
            self.release(&key, &path);
        }
        self.count(&old.ignored, &content.ignored);
        if self.findings.get(&path).map_or(!content.findings.is_empty(), |old| *old != content.findings) {
            self.touched = true;
            self.findings.remove(&path);
            if !content.findings.is_empty() {
                self.findings.insert(path.clone(), content.findings);
            }
        }
        if let Some(file) = self.files.get_mut(&path) {
            file.objects = objects;
            file.ignored = content.ignored;
        }
    }

    /// Takes a file out, with its objects and findings.
    pub(super) fn remove(&mut self, path: &str) {
        self.replace(path, None, Content::default());
        self.files.remove(path);
        self.clear_stale(path);
    }

    /// Says that the file was looked at, and has nothing new.
    pub(super) fn set_stamp(&mut self, path: &str, stamp: Stamp) {
        self.files.entry(path.into()).or_default().stamp = Some(stamp);
    }

    /// Says that `path` cannot be read or parsed now; its last objects stay.
    pub(super) fn set_stale(&mut self, path: &str, finding: Finding) {
        if self.stale.get(path) != Some(&finding) {
            self.stale.insert(path.to_owned(), finding);
            self.touched = true;
        }
    }

    /// Says that `path` is readable.
    pub(super) fn clear_stale(&mut self, path: &str) {
        self.touched |= self.stale.remove(path).is_some();
    }

    /// True if `path` could not be read or parsed last time.
    pub(super) fn is_stale(&self, path: &str) -> bool {
        self.stale.contains_key(path)
    }

    /// Has the findings told again.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Paths at and below `path` that could not be read or parsed.
    pub(super) fn stale_paths(&self, path: &str) -> Vec<String> {
        self.stale.keys().filter(|stale| is_at_or_below(stale, path)).cloned().collect()
    }

    /// Puts `notes` in the place of all notes at and below `path`.
    pub(super) fn set_notes(&mut self, path: &str, notes: BTreeMap<String, Finding>) {
        let old: BTreeMap<String, Finding> = self
            .notes
            .iter()
            .filter(|(noted, _)| is_at_or_below(noted, path))
            .map(|(noted, finding)| (noted.clone(), finding.clone()))
            .collect();
        if old != notes {
            self.notes.retain(|noted, _| !is_at_or_below(noted, path));
            self.notes.extend(notes);
            self.touched = true;
        }
    }

    /// True if every file and folder could be read and parsed.
    pub(super) fn is_complete(&self) -> bool {
        self.stale.is_empty()
    }

    /// Every object that counts.
    pub(super) fn all(&self) -> Vec<Observation> {
        let mut keys: Vec<&ObjectKey> = self.holders.keys().collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| Observation { key: key.clone(), object: self.winner(key).cloned() }).collect()
    }

    /// What has changed since the last call, sorted by key; none if nothing at all has.
    pub(super) fn take_changes(&mut self) -> Option<Vec<Observation>> {
        let before = std::mem::take(&mut self.before);
        let mut observations = Vec::new();
        for (key, before) in before {
            let now = self.winner(&key);
            if now != before.as_ref() {
                observations.push(Observation { object: now.cloned(), key });
            }
        }
        let touched = std::mem::take(&mut self.touched);
        (touched || !observations.is_empty()).then_some(observations)
    }

    /// Everything that is wrong, sorted.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let about_files = self.stale.values().chain(self.notes.values());
        let mut findings: Vec<Finding> = self.findings.values().flatten().chain(about_files).cloned().collect();
        for key in &self.repeated {
            let mut objects = self.paths_of(key).iter().filter_map(|path| self.object(path, key));
            let winner = objects.next();
            findings.extend(objects.filter_map(|loser| duplicate(key, loser, winner?)));
        }
        findings.sort_unstable();
        findings
    }

    /// Objects of kinds that nothing here reads, by `apiVersion/kind`.
    pub(super) fn ignored(&self) -> &BTreeMap<String, u64> {
        &self.ignored
    }

    fn object(&self, path: &str, key: &ObjectKey) -> Option<&Arc<Object>> {
        let objects = &self.files.get(path)?.objects;
        let at = objects.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        objects.get(at).map(|(_, object)| object)
    }

    fn winner(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.object(self.paths_of(key).first()?, key)
    }

    fn paths_of(&self, key: &ObjectKey) -> &[Arc<str>] {
        match self.holders.get(key) {
            None => &[],
            Some(Holders::One(path)) => std::slice::from_ref(path),
            Some(Holders::Many(paths)) => paths,
        }
    }

    /// Keeps what `key` is, before it changes. `in_hand` is an object that was just taken out of its file.
    fn remember(&mut self, key: &ObjectKey, in_hand: Option<(&Arc<str>, &Arc<Object>)>) {
        if self.before.contains_key(key) {
            self.touched |= self.repeated.contains(key);
            return;
        }
        let before = match (self.paths_of(key).first(), in_hand) {
            (None, _) => None,
            (Some(first), Some((path, object))) if first == path => Some(object.clone()),
            (Some(first), _) => self.object(first, key).cloned(),
        };
        // The line of a loser is in a finding.
        self.touched |= self.repeated.contains(key);
        self.before.insert(key.clone(), before);
    }

    fn hold(&mut self, key: &ObjectKey, path: &Arc<str>) {
        match self.holders.get_mut(key) {
            None => {
                self.holders.insert(key.clone(), Holders::One(path.clone()));
            }
            Some(holders) => {
                let mut paths = match holders {
                    Holders::One(first) => vec![first.clone()],
                    Holders::Many(paths) => std::mem::take(paths),
                };
                paths.push(path.clone());
                paths.sort_unstable();
                *holders = Holders::Many(paths);
                self.repeated.insert(key.clone());
                self.touched = true;
            }
        }
    }

    fn release(&mut self, key: &ObjectKey, path: &Arc<str>) {
        match self.holders.get_mut(key) {
            Some(Holders::Many(paths)) => {
                paths.retain(|other| other != path);
                self.touched = true;
                if let [last] = paths.as_slice() {
                    let last = Holders::One(last.clone());
                    self.repeated.remove(key);
                    self.holders.insert(key.clone(), last);
                }
            }
            Some(Holders::One(_)) => {
                self.holders.remove(key);
            }
            None => {}
        }
    }

    fn count(&mut self, old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>) {
        if old == new {
            return;
        }
        self.touched = true;
        for (kind, count) in old {
            if let Some(total) = self.ignored.get_mut(kind) {
                *total = total.saturating_sub(*count);
            }
        }
        for (kind, count) in new {
            *self.ignored.entry(kind.clone()).or_default() += count;
        }
        self.ignored.retain(|_, count| *count > 0);
    }
}
