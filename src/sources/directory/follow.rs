//! Follows a directory: from notifications of the system to batches.
//!
//! A thread of its own waits for notices, lets a burst of them come together, and looks at nothing but the paths
//! concerned. A look at all files every half minute backs that up: notifications can be lost, and network file
//! systems send none. Where the system gives none at all, files are looked at every second, and count when they have
//! not been written to for as long.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mcdns_core::check::{Finding, FindingCode, Severity};
use tokio::sync::mpsc::Sender;

use super::{
    Batch, Directory, Survey,
    pending::{Pending, Sign},
    walk::{self, Found, Step, format_of, is_at_or_below, join},
    watches::{Happening, Notice, Watches},
};

/// How long a burst may pause and still be one.
const BURST_PAUSE: Duration = Duration::from_millis(1);
/// How long a burst is waited for.
const BURST: Duration = Duration::from_millis(10);
/// A file in a new folder may have been begun before the folder was watched; it is left alone for this long.
const FRESH: Duration = Duration::from_millis(250);
/// How often a lost directory is looked for, and how often files are looked at without notifications.
const POLL: Duration = Duration::from_secs(1);
/// Folders made one in another faster than they can be watched, at most this deep at a time.
const ROUNDS: usize = 8;

/// A directory or file being followed; dropping it ends that.
#[derive(Debug)]
pub struct Follower {
    stop: mpsc::Sender<Notice>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        // The thread may be gone already, when nobody receives any more.
        let _ = self.stop.send(Notice::Stop);
    }
}

impl Follower {
    pub(super) fn start(directory: Directory, sender: Sender<Batch>) -> io::Result<Self> {
        let (stop, notices) = mpsc::channel();
        let mut engine = Engine::new(directory, &stop);
        Self::spawn("directory", stop, move || engine.run(&notices, &sender))
    }

    /// Runs `work` on a thread of its own; it must end at [`Notice::Stop`], which comes through `stop`.
    pub(crate) fn spawn(
        name: &str,
        stop: mpsc::Sender<Notice>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { stop })
    }
}

struct Engine {
    directory: Directory,
    pending: Pending,
    /// Files that are left alone until then.
    fresh: BTreeMap<String, Instant>,
    /// None without notifications.
    watches: Option<Watches>,
    /// Folders by path, with their real paths, and back.
    folders: BTreeMap<String, PathBuf>,
    by_real: BTreeMap<PathBuf, BTreeSet<String>>,
    /// Links by path, with what they lead over, and back.
    links: BTreeMap<String, Vec<Step>>,
    by_step: BTreeMap<Step, BTreeSet<String>>,
    next_look: Instant,
}

impl Engine {
    fn new(directory: Directory, sender: &mpsc::Sender<Notice>) -> Self {
        let pending = Pending::new(directory.options.quiet);
        let mut engine = Self {
            directory,
            pending,
            fresh: BTreeMap::new(),
            watches: None,
            folders: BTreeMap::new(),
            by_real: BTreeMap::new(),
            links: BTreeMap::new(),
            by_step: BTreeMap::new(),
            next_look: Instant::now(),
        };
        if engine.directory.options.notifications {
            match Watches::start(sender.clone()) {
                Ok(watches) => engine.watches = Some(watches),
                Err(reason) => engine.go_without(&reason),
            }
        }
        engine
    }

    fn run(&mut self, notices: &Receiver<Notice>, sender: &Sender<Batch>) {
        loop {
            let now = Instant::now();
            self.look(now);
            if let Some(batch) = self.directory.first_or_next()
                && sender.blocking_send(batch).is_err()
            {
                return;
            }
            if sender.is_closed() || !self.wait(notices) {
                return;
            }
        }
    }

    /// Waits for notices or for something to be due; false at the end.
    fn wait(&mut self, notices: &Receiver<Notice>) -> bool {
        let due = [self.pending.next(), self.fresh.values().min().copied(), Some(self.next_look)];
        let due = due.into_iter().flatten().min().unwrap_or(self.next_look);
        let mut timeout = due.saturating_duration_since(Instant::now());
        let mut burst_ends = None;
        loop {
            match notices.recv_timeout(timeout) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(notice) => {
                    let now = Instant::now();
                    self.note(notice, now);
                    if now >= *burst_ends.get_or_insert(now + BURST) {
                        return true;
                    }
                    timeout = BURST_PAUSE;
                }
            }
        }
    }

    /// Takes one notice.
    fn note(&mut self, notice: Notice, now: Instant) {
        let (path, happening) = match notice {
            Notice::At(path, happening) => (path, happening),
            Notice::Overflow => {
                tracing::warn!(directory = self.directory.shown, "notifications were lost, looking at all files");
                self.pending.forget_writers();
                self.next_look = now;
                return;
            }
            Notice::Trouble(reason) => return self.go_without(&reason),
            Notice::Stop => return,
        };
        let other = matches!(happening, Happening::Gone | Happening::Appeared | Happening::MovedHere);
        if other
            && let Some(watches) = &mut self.watches
            && let Err(reason) = watches.renew(&path)
        {
            self.go_without(&reason);
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        for path in self.concerned(folder, name) {
            let known =
                format_of(&path).is_some() || self.folders.contains_key(&path) || self.links.contains_key(&path);
            let sign = match happening {
                Happening::Closed if known => Some(Sign::Written),
                Happening::MovedHere => Some(Sign::Written),
                Happening::Changing if known => Some(Sign::Changing),
                Happening::Appeared => self.appeared(&path, now),
                Happening::Gone if known => Some(Sign::Gone),
                Happening::Permissions if self.directory.table.is_stale(&path) => Some(Sign::Written),
                Happening::Closed | Happening::Changing | Happening::Gone | Happening::Permissions => None,
            };
            if other && self.folders.contains_key(&path) {
                // What stands or will stand there is another folder, and so is everything below.
                self.register(&path, &Found::default());
            }
            if path.is_empty() && happening != Happening::Gone {
                self.next_look = now;
            }
            if let Some(sign) = sign {
                if sign != Sign::Gone {
                    self.fresh.remove(&path);
                }
                self.pending.sign(&path, sign, now);
            }
        }
    }

    /// What it means that `path` was made.
    fn appeared(&mut self, path: &str, now: Instant) -> Option<Sign> {
        let metadata = fs::symlink_metadata(self.full(path)).ok()?;
        if metadata.is_dir() {
            // Not at once: what stands in it may be half written, and nobody would say so.
            self.fresh.insert(path.to_owned(), now);
            return None;
        }
        if metadata.is_symlink() || (metadata.nlink() > 1 && format_of(path).is_some()) {
            return Some(Sign::Written);
        }
        if format_of(path).is_some() {
            // A writer will write to it and close it; or it was made whole without a name (O_TMPFILE) and linked.
            self.fresh.insert(path.to_owned(), now + FRESH);
        }
        None
    }

    /// Paths in the directory that something in a real folder stands for.
    fn concerned(&self, folder: &Path, name: &OsStr) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        if let (Some(folders), Some(name)) = (self.by_real.get(folder), name.to_str())
            && !name.starts_with('.')
        {
            let ours = |folder: &String| !folder.is_empty() || name == "host" || name == "members";
            paths.extend(folders.iter().filter(|folder| ours(folder)).map(|folder| join(folder, name)));
        }
        if let Some(through) = self.by_step.get(&(folder.to_owned(), name.to_owned())) {
            paths.extend(through.iter().cloned());
        }
        paths
    }

    /// Does all that is due.
    fn look(&mut self, now: Instant) {
        if now >= self.next_look {
            self.look_at_everything(now);
        }
        if self.directory.lost.is_some() {
            // What is pending is found again when the directory is back.
            self.pending.take_due();
            self.pending.take_gone(now);
            self.fresh.clear();
            return;
        }
        let due = self.pending.take_due();
        for path in due {
            if path.is_empty() {
                self.look_at_everything(now);
            } else {
                self.look_at(&path, true, now);
            }
        }
        let (ripe, later) = std::mem::take(&mut self.fresh).into_iter().partition(|(_, at)| *at <= now);
        self.fresh = later;
        let ripe: BTreeMap<String, Instant> = ripe;
        for path in ripe.into_keys() {
            if !self.pending.is_being_written(&path) {
                self.look_at(&path, false, now);
            }
        }
        let gone = self.pending.take_gone(now);
        if !gone.is_empty() && !self.find_root(now) {
            return;
        }
        for path in gone {
            if path.is_empty() {
                self.look_at_everything(now);
            } else if !self.pending.is_being_written(&path) {
                self.directory.settle(&path);
                self.register(&path, &walk::walk(&self.directory.root, &path));
            }
        }
    }

    /// Looks at all files, and says when to do so next.
    fn look_at_everything(&mut self, now: Instant) {
        self.register_root();
        let found = self.find_root(now);
        let polling = self.watches.is_none() || !found;
        self.next_look = now + if polling { POLL } else { self.directory.options.rescan };
        if !found {
            return;
        }
        if let Some(watches) = &mut self.watches
            && let Err(reason) = watches.renew_all()
        {
            self.go_without(&reason);
        }
        if self.directory.scanned {
            self.look_at("", false, now);
        } else {
            // Nothing is known yet, so nothing can go either.
            self.watch_new("");
            let survey = self.directory.survey("");
            self.directory.accept(&survey, "");
            self.directory.read_all(&survey.changed);
            for path in &survey.gone {
                self.directory.settle(path);
            }
        }
    }

    /// Looks at `path` and below. With `complete`, a file at the path itself is read whatever its stamp says.
    fn look_at(&mut self, path: &str, complete: bool, now: Instant) {
        self.watch_new(path);
        let mut survey = self.directory.survey(path);
        if complete
            && let Some(stamp) = survey.found.files.get(path).copied()
            && stamp.size > 0
        {
            survey.changed = vec![(path.to_owned(), stamp)];
        }
        // A name that is not there may be a rename half way, and a link to nothing is one being set.
        if complete && survey.found.opaque.contains_key(path) && !self.directory.table.is_stale(path) {
            self.pending.sign(path, Sign::Gone, now);
            return;
        }
        self.directory.accept(&survey, path);
        let Survey { changed, gone, .. } = survey;
        let mut ready = Vec::new();
        for (file, stamp) in changed {
            let itself = complete && file == path;
            if !itself && self.pending.is_being_written(&file) {
                continue;
            }
            if !itself && !complete && self.is_fresh(&file) {
                self.fresh.insert(file, now + FRESH);
                continue;
            }
            ready.push((file, stamp));
        }
        self.directory.read_all(&ready);
        for file in gone {
            if !self.pending.is_gone(&file) && !self.pending.is_being_written(&file) {
                self.pending.sign(&file, Sign::Gone, now);
            }
        }
    }

    /// Watches folders at and below `path` until no new ones come up.
    fn watch_new(&mut self, path: &str) {
        for _ in 0..ROUNDS {
            let found = walk::walk(&self.directory.root, path);
            if !self.register(path, &found) {
                break;
            }
        }
    }

    /// True if somebody may still be writing the file, as far as its time says.
    fn is_fresh(&self, path: &str) -> bool {
        let age = if self.watches.is_some() { FRESH } else { POLL };
        let modified = fs::metadata(self.full(path)).and_then(|metadata| metadata.modified());
        // A time in the future says nothing.
        modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|since| since < age))
    }

    /// Finds out whether the directory is there; false if it is lost.
    fn find_root(&mut self, now: Instant) -> bool {
        match self.directory.check_root() {
            Ok(()) => {
                if self.directory.lost.take().is_some() {
                    tracing::info!(directory = self.directory.shown, "the directory is back");
                    self.next_look = now;
                }
                true
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                if self.directory.lost.is_none() {
                    tracing::warn!(directory = self.directory.shown, "the directory is lost, its objects stay");
                    self.next_look = now + POLL;
                }
                self.directory.lost = Some(format!("{error}{source}"));
                false
            }
        }
    }

    /// Goes on without notifications.
    fn go_without(&mut self, reason: &str) {
        self.watches = None;
        self.next_look = Instant::now() + POLL;
        tracing::warn!(directory = self.directory.shown, reason, "no notifications of changed files");
        let message = format!("changes are only noticed after a second or two: {reason}");
        let finding = Finding::new(FindingCode::Unreadable, message).at(&self.directory.shown(""), 0, 0);
        let finding = finding.help("raise fs.inotify.max_user_watches and fs.inotify.max_user_instances");
        self.directory.trouble = Some(Finding { severity: Severity::Warning, ..finding });
        self.directory.table.touch();
    }

    /// Watches the way to the directory itself, to see it go and come back.
    fn register_root(&mut self) {
        let root = std::path::absolute(&self.directory.root).unwrap_or_else(|_| self.directory.root.clone());
        let whole = if root.file_name().is_some() { Some(root) } else { fs::canonicalize(&root).ok() };
        let steps = whole.as_ref().and_then(|root| {
            let folder = fs::canonicalize(root.parent()?).ok()?;
            Some(walk::steps(&folder, root.file_name()?))
        });
        if let Some(steps) = steps {
            self.unlink("");
            self.link("", steps);
        }
    }

    /// Takes the folders and links at and below `path`; true if there are new folders to be watched.
    fn register(&mut self, path: &str, found: &Found) -> bool {
        let below = |known: &&String| is_at_or_below(known, path);
        let near = (std::ops::Bound::Included(path.to_owned()), std::ops::Bound::Unbounded);
        let old: Vec<String> = self
            .folders
            .range(near.clone())
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path))
            .filter(below)
            .cloned()
            .collect();
        for folder in old {
            let real = self.folders.get(&folder);
            if found.folders.get(&folder).map(|found| &found.real) != real {
                self.drop_folder(&folder);
            }
        }
        let old: Vec<String> = self
            .links
            .range(near)
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path))
            .filter(below)
            .filter(|known| !known.is_empty())
            .cloned()
            .collect();
        for link in old {
            if found.links.get(&link) != self.links.get(&link) {
                self.unlink(&link);
            }
        }
        for (link, steps) in &found.links {
            if !link.is_empty() && !self.links.contains_key(link) {
                self.link(link, steps.clone());
            }
        }
        let mut new = false;
        for (folder, at) in &found.folders {
            if !self.folders.contains_key(folder) {
                new = true;
                self.folders.insert(folder.clone(), at.real.clone());
                self.by_real.entry(at.real.clone()).or_default().insert(folder.clone());
                self.watch(&at.real);
            }
        }
        new
    }

    fn drop_folder(&mut self, folder: &str) {
        let Some(real) = self.folders.remove(folder) else { return };
        if let Some(names) = self.by_real.get_mut(&real) {
            names.remove(folder);
            if names.is_empty() {
                self.by_real.remove(&real);
            }
        }
        self.unwatch(&real);
    }

    fn link(&mut self, path: &str, steps: Vec<Step>) {
        for step in &steps {
            self.watch(&step.0);
            self.by_step.entry(step.clone()).or_default().insert(path.to_owned());
        }
        self.links.insert(path.to_owned(), steps);
    }

    fn unlink(&mut self, path: &str) {
        for step in self.links.remove(path).unwrap_or_default() {
            if let Some(paths) = self.by_step.get_mut(&step) {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_step.remove(&step);
                }
            }
            self.unwatch(&step.0);
        }
    }

    fn watch(&mut self, folder: &Path) {
        if let Some(watches) = &mut self.watches
            && let Err(reason) = watches.add(folder)
        {
            self.go_without(&reason);
        }
    }

    fn unwatch(&mut self, folder: &Path) {
        if let Some(watches) = &mut self.watches {
            watches.remove(folder);
        }
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.directory.root.clone() } else { self.directory.root.join(path) }
    }
}
