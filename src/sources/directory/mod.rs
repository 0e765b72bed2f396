//! A federation directory: Kubernetes objects as files.
//!
//! ```text
//!   DIR/host/**/*.yaml               objects of the host cluster
//!   DIR/members/<cluster>/**/*.yaml  objects of that member; the folder itself says that it is observed
//! ```
//!
//! `.yaml`, `.yml` and `.json` are read; dot entries are skipped and links followed, so a mounted `ConfigMap` works.
//!
//! What counts when ([`Directory::watch`]):
//!
//! | what happens to a file | counts |
//! |---|---|
//! | replaced by rename, or a link set to another target | at once |
//! | written in place | when its writer closes it |
//! | vanished, emptied, or a link to nothing | after one second of quiet: editors, rsync and git bring it back |
//! | no YAML or JSON any more | its last good objects stay, with a finding |
//! | one object in it is wrong | that object goes, with a finding |
//! | cannot be read | its last objects stay, with a finding |
//! | the whole directory vanishes | nothing goes, with a finding, until it is back |
//!
//! The same object in two files counts in the first by path. An object that only moved to another line is told as
//! changed, because findings name lines.

mod follow;
mod pending;
mod table;
mod walk;
mod watches;

#[cfg(test)]
mod follow_tests;
#[cfg(test)]
mod tests;

pub use follow::Follower;
pub(crate) use pending::{Pending, Sign};
pub(crate) use walk::{reason, steps};
pub(crate) use watches::{Happening, Notice, Watches};

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use mcdns_core::{
    check::{Finding, FindingCode, Severity},
    model::{Fact, LabelSelector, Object, ObjectKey, Observation, Origin, Scope},
};
use thiserror::Error;

use self::{
    table::Table,
    walk::{Found, Stamp, format_of, is_at_or_below, join},
};
use crate::objects::{self, Content, Context, SyntaxError, managed_selector, member_scope};

/// Largest file that is read; more than Kubernetes' etcd can hold.
const MAX_FILE: u64 = 8 << 30;
/// How often a file that changes while it is read is read again.
const READS: usize = 5;

/// Stands for all files outside the directory.
const ELSEWHERE: &str = "(elsewhere)";
/// A file that was changed this short before it was read may change again without its time showing it: the system's
/// clock for files advances in steps.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// How a directory is read and followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which objects of members count (Nodes always do).
    pub selector: LabelSelector,
    /// Threads that parse, at least 1.
    pub threads: usize,
    /// How long a file must stay away or empty before that counts.
    pub quiet: Duration,
    /// How often all files are looked at without being told to.
    pub rescan: Duration,
    /// Whether the system's notifications are used; without them, files are looked at every second.
    pub notifications: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selector: managed_selector(),
            threads: std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4)),
            quiet: Duration::from_secs(1),
            rescan: Duration::from_secs(30),
            notifications: true,
        }
    }
}

/// What there is to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What changed, sorted by key; in the first batch everything, and what is gone since [`Directory::adopt`].
    pub observations: Vec<Observation>,
    /// Everything that is wrong now, sorted; not only what is new.
    pub findings: Vec<Finding>,
    /// Objects of kinds that nothing here reads, by `apiVersion/kind`.
    pub ignored: BTreeMap<String, u64>,
    /// True if everything could be read and parsed; else some of what is known is older than what stands there.
    pub complete: bool,
    /// True while the directory itself cannot be read, and all that is known is from before.
    pub lost: bool,
}

/// Why a directory cannot be opened at all. Trying again helps once the directory is there.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It does not exist, or may not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else has that name.
    #[error("{} is no directory", path.display())]
    NoDirectory {
        /// As given.
        path: PathBuf,
    },
    /// It has neither of the folders that make it one.
    #[error("{} is no federation directory: it has neither a folder `host` nor a folder `members`", path.display())]
    NoFederation {
        /// As given.
        path: PathBuf,
    },
}

/// A federation directory and what is known of it.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// The path as the user gave it, without a slash at its end.
    shown: String,
    options: Options,
    table: Table,
    scanned: bool,
    lost: Option<String>,
    told_lost: bool,
    /// A finding about how changes are noticed.
    trouble: Option<Finding>,
}

/// What a look at the files found, to be acted on.
#[derive(Debug, Default)]
struct Survey {
    found: Found,
    /// Files to be read.
    changed: Vec<(String, Stamp)>,
    /// Known files that are gone or empty now.
    gone: Vec<String>,
}

impl Directory {
    /// A directory of which nothing is known yet.
    pub fn new(path: impl Into<PathBuf>, options: Options) -> Self {
        let root = path.into();
        let shown = root.to_string_lossy();
        let trimmed = shown.trim_end_matches('/');
        let shown = if trimmed.is_empty() { shown.to_string() } else { trimmed.to_owned() };
        Self {
            root,
            shown,
            options,
            table: Table::default(),
            scanned: false,
            lost: None,
            told_lost: false,
            trouble: None,
        }
    }

    /// Reads a directory for the first time.
    pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<(Self, Batch), OpenError> {
        let mut directory = Self::new(path, options);
        let batch = directory.scan()?;
        Ok((directory, batch))
    }

    /// Takes what was known before a restart, before the first [`Directory::scan`]. A file that cannot be read or
    /// parsed then keeps these objects; what is really gone is told as gone.
    pub fn adopt(&mut self, objects: impl IntoIterator<Item = (ObjectKey, Arc<Object>)>) {
        let mut files: BTreeMap<String, Content> = BTreeMap::new();
        for (key, object) in objects {
            let file = object.origin.as_ref().map_or("", |origin| &origin.file);
            // What comes from elsewhere is held under a name that no file has, and so is gone.
            let path = file.strip_prefix(&self.shown).and_then(|path| path.strip_prefix('/')).unwrap_or(ELSEWHERE);
            files.entry(path.to_owned()).or_default().objects.push((key, object));
        }
        for (path, mut content) in files {
            content.objects.sort_by(|one, other| one.0.cmp(&other.0));
            content.objects.dedup_by(|one, other| one.0 == other.0);
            self.table.replace(&path, None, content);
        }
        if !self.scanned {
            // Nobody was told yet.
            let _ = self.table.take_changes();
        }
    }

    /// Looks at all files, and reads those that have changed. The first batch lists everything.
    pub fn scan(&mut self) -> Result<Batch, OpenError> {
        self.check_root()?;
        let survey = self.survey("");
        self.accept(&survey, "");
        self.read_all(&survey.changed);
        for path in &survey.gone {
            self.settle(path);
        }
        Ok(self.first_or_next().unwrap_or_else(|| self.batch(Vec::new())))
    }

    /// Follows the directory on a thread of its own until the [`Follower`] is dropped or the receiver is gone. If
    /// nothing could be scanned yet, the first batch comes as soon as the directory can be read.
    pub fn watch(self, sender: tokio::sync::mpsc::Sender<Batch>) -> io::Result<Follower> {
        Follower::start(self, sender)
    }

    /// The batch of everything the first time, then of what has changed; none if nothing has.
    fn first_or_next(&mut self) -> Option<Batch> {
        let changes = self.table.take_changes();
        let was_lost = std::mem::replace(&mut self.told_lost, self.lost.is_some());
        if self.scanned {
            let changed = changes.is_some() || was_lost != self.told_lost;
            return changed.then(|| self.batch(changes.unwrap_or_default()));
        }
        if self.lost.is_some() {
            return (was_lost != self.told_lost).then(|| self.batch(Vec::new()));
        }
        self.scanned = true;
        let mut observations = changes.unwrap_or_default();
        observations.retain(|observation| observation.object.is_none());
        observations.extend(self.table.all());
        observations.sort_by(|one, other| one.key.cmp(&other.key));
        Some(self.batch(observations))
    }

    fn batch(&self, observations: Vec<Observation>) -> Batch {
        let mut findings = self.table.findings();
        if let Some(reason) = &self.lost {
            findings.push(
                Finding::new(FindingCode::Unreadable, format!("{reason}; what was last known stays"))
                    .at(&self.shown.as_str().into(), 0, 0)
                    .help("bring the directory back with its folders `host` and `members`"),
            );
        }
        findings.extend(self.trouble.clone());
        findings.sort_unstable();
        Batch {
            observations,
            findings,
            ignored: self.table.ignored().clone(),
            complete: self.scanned && self.lost.is_none() && self.table.is_complete(),
            lost: self.lost.is_some(),
        }
    }

    /// Says whether the directory is one.
    fn check_root(&self) -> Result<(), OpenError> {
        let path = || self.root.clone();
        let metadata = fs::metadata(&self.root).map_err(|source| OpenError::Unreadable { path: path(), source })?;
        if !metadata.is_dir() {
            return Err(OpenError::NoDirectory { path: path() });
        }
        fs::read_dir(&self.root).map_err(|source| OpenError::Unreadable { path: path(), source })?;
        let has = |name: &str| fs::symlink_metadata(self.root.join(name)).is_ok();
        if has("host") || has("members") { Ok(()) } else { Err(OpenError::NoFederation { path: path() }) }
    }

    /// Looks at everything at and below `path`, and reads nothing.
    fn survey(&self, path: &str) -> Survey {
        let found = walk::walk(&self.root, path);
        let mut survey = Survey { found, ..Survey::default() };
        for (file, stamp) in &survey.found.files {
            if belongs(file).is_none() {
                continue;
            }
            let known = self.table.file(file);
            let was_empty = known.is_none_or(|known| known.stamp.is_none_or(|stamp| stamp.size == 0));
            match known.and_then(|known| known.stamp) {
                Some(same) if same == *stamp && !self.table.is_stale(file) => {}
                _ if stamp.size == 0 && known.is_some() && !was_empty => survey.gone.push(file.clone()),
                _ => survey.changed.push((file.clone(), *stamp)),
            }
        }
        for known in self.table.paths(path) {
            let opaque = || survey.found.opaque.keys().any(|opaque| is_at_or_below(&known, opaque));
            let there = survey.found.files.contains_key(&*known) || survey.found.folders.contains_key(&*known);
            if !there && !opaque() {
                survey.gone.push(known.to_string());
            }
        }
        survey
    }

    /// Takes what a survey says without files being read: members, and what cannot be looked into.
    fn accept(&mut self, survey: &Survey, path: &str) {
        let found = &survey.found;
        for folder in found.folders.keys() {
            if let Some(cluster) = member_of_folder(folder) {
                let scope = member_scope(cluster);
                if let Scope::Member(cluster) = &scope {
                    let key = ObjectKey::observed_member(cluster);
                    let origin = Some(Origin { file: self.shown(folder), line: 0 });
                    let object = Object { origin, ..Object::new(Fact::Member) };
                    let content = Content { objects: vec![(key, Arc::new(object))], ..Content::default() };
                    self.table.replace(folder, None, content);
                }
            }
        }
        for stale in self.table.stale_paths(path) {
            // Files are judged when they are read.
            if !found.opaque.contains_key(&stale) && !found.files.contains_key(&stale) {
                self.table.clear_stale(&stale);
            }
        }
        for (opaque, reason) in &found.opaque {
            let finding = Finding::new(FindingCode::Unreadable, reason).at(&self.shown(opaque), 0, 0);
            self.table.set_stale(opaque, finding.help("make it readable; until then what was last known stays"));
        }
        let mut notes = BTreeMap::new();
        for (left_out, reason) in &found.left_out {
            let finding = Finding::new(FindingCode::Unreadable, format!("{reason}, and is left out"));
            let finding = Finding { severity: Severity::Warning, ..finding };
            notes.insert(left_out.clone(), finding.at(&self.shown(left_out), 0, 0));
        }
        for file in found.files.keys().filter(|file| belongs(file).is_none()) {
            let finding = Finding::new(FindingCode::Misplaced, "stands directly in `members`, and is left out");
            let help = "move it into the folder of its cluster, members/<cluster>/";
            notes.insert(file.clone(), finding.at(&self.shown(file), 0, 0).help(help));
        }
        self.table.set_notes(path, notes);
    }

    /// Reads files, on several threads where that pays.
    fn read_all(&mut self, files: &[(String, Stamp)]) {
        let threads = self.options.threads.clamp(1, files.len().max(1));
        if threads == 1 {
            for (path, _) in files {
                let read = self.read(path);
                self.take(path, read);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let this = &*self;
        let mut results: Vec<(usize, Read)> = std::thread::scope(|scope| {
            let work = || {
                let mut results = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((path, _)) = files.get(index) else { break };
                    results.push((index, this.read(path)));
                }
                results
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        results.sort_by_key(|(index, _)| *index);
        for (index, read) in results {
            if let Some((path, _)) = files.get(index) {
                self.take(path, read);
            }
        }
    }

    /// Reads and parses one file.
    fn read(&self, path: &str) -> Read {
        let (Some(scope), Some(format)) = (belongs(path), format_of(path)) else { return Read::Gone };
        let (stamp, text) = match read_file(&self.root.join(path)) {
            Ok(Some(read)) => read,
            Ok(None) => return Read::Failed("is no regular file".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Read::Gone,
            Err(error) => return Read::Failed(walk::reason(&error)),
        };
        let file = self.shown(path);
        let context = Context { file: &file, scope: &scope, selector: &self.options.selector };
        Read::Done(stamp, objects::read(&text, format, &context))
    }

    /// Takes what reading a file gave.
    fn take(&mut self, path: &str, read: Read) {
        match read {
            Read::Gone => {}
            Read::Failed(reason) => {
                let finding = Finding::new(FindingCode::Unreadable, reason).at(&self.shown(path), 0, 0);
                self.table.set_stale(path, finding.help("make it readable; until then what was last known stays"));
            }
            Read::Done(stamp, Ok(content)) => {
                self.table.clear_stale(path);
                self.table.replace(path, Some(stamp), content);
            }
            Read::Done(stamp, Err(SyntaxError { line, column, message })) => {
                self.table.set_stamp(path, stamp);
                let finding = Finding::new(FindingCode::Syntax, message).at(&self.shown(path), line, column);
                self.table.set_stale(path, finding.help("mend the file; until then its last good objects stay"));
            }
        }
    }

    /// Takes it that `path` is gone or empty, if it still is.
    fn settle(&mut self, path: &str) {
        let survey = self.survey(path);
        self.accept(&survey, path);
        self.read_all(&survey.changed);
        for gone in &survey.gone {
            match survey.found.files.get(gone) {
                Some(stamp) => {
                    self.table.clear_stale(gone);
                    self.table.replace(gone, Some(*stamp), Content::default());
                }
                None => self.table.remove(gone),
            }
        }
    }

    /// The path as the user would write it.
    fn shown(&self, path: &str) -> Arc<str> {
        if path.is_empty() { self.shown.as_str().into() } else { join(&self.shown, path).into() }
    }
}

/// What reading a file gave.
enum Read {
    /// It vanished meanwhile.
    Gone,
    /// It cannot be read.
    Failed(String),
    /// It was read.
    Done(Stamp, Result<Content, SyntaxError>),
}

/// The whole of a file with a stamp that fits it; none for what is no regular file.
fn read_file(path: &Path) -> io::Result<Option<(Stamp, Vec<u8>)>> {
    let mut last = None;
    for _ in 0..READS {
        // Asked before opening, because opening a named pipe waits for its writer.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        if metadata.len() > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file has more than 8 GiB"));
        }
        let text = fs::read(path)?;
        let now = fs::metadata(path)?;
        let stamp = Stamp::of(&now);
        let whole = stamp == Stamp::of(&metadata) && stamp.size == text.len() as u64;
        let just_now = now
            .modified()
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|since| since < CLOCK_STEP));
        last = Some((if just_now { stamp.uncertain() } else { stamp }, text));
        if whole {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(last)
}

/// The cluster whose objects stand at `path`; none for a file that is not ours.
fn belongs(path: &str) -> Option<Scope> {
    match path.split_once('/')? {
        ("host", _) => Some(Scope::Host),
        ("members", rest) => rest.split_once('/').map(|(cluster, _)| member_scope(cluster)),
        _ => None,
    }
}

/// The cluster whose folder this is.
fn member_of_folder(path: &str) -> Option<&str> {
    path.strip_prefix("members/").filter(|cluster| !cluster.contains('/'))
}
