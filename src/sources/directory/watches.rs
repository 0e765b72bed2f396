//! The system's notifications of changed files, for single folders.
//!
//! Folders are watched one by one and by their real paths: links, and folders below, are followed by whoever asks,
//! because only that side knows what belongs to it. The notify crate's own recursion loses folders that are reached
//! by links, and folders that are made faster than it looks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

/// What happened to a name in a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A writer closed it.
    Closed,
    /// It was renamed to.
    MovedHere,
    /// It was made: a file that somebody will write to, a folder, a link.
    Appeared,
    /// It was written to.
    Changing,
    /// It was removed, or renamed to something else.
    Gone,
    /// Its permissions changed.
    Permissions,
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Something happened at a path.
    At(PathBuf, Happening),
    /// Notifications were lost.
    Overflow,
    /// The watcher itself has a problem.
    Trouble(String),
    /// Come to an end.
    Stop,
}

/// Watched folders, each with the number of reasons to watch it.
#[derive(Debug)]
pub(crate) struct Watches {
    watcher: RecommendedWatcher,
    folders: BTreeMap<PathBuf, usize>,
}

impl Watches {
    /// Starts watching nothing; notices go to `sender`. The error says why the system will not.
    pub(crate) fn start(sender: Sender<Notice>) -> Result<Self, String> {
        let handler = move |event: notify::Result<Event>| {
            for notice in notices(event) {
                // A follower that is gone needs no notices.
                let _ = sender.send(notice);
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(|error| words(&error))?;
        Ok(Self { watcher, folders: BTreeMap::new() })
    }

    /// One more reason to watch `folder`. The error says that the system's limit is reached.
    pub(crate) fn add(&mut self, folder: &Path) -> Result<(), String> {
        let reasons = self.folders.entry(folder.to_owned()).or_default();
        *reasons += 1;
        if *reasons > 1 { Ok(()) } else { self.watch(folder) }
    }

    /// One reason less.
    pub(crate) fn remove(&mut self, folder: &Path) {
        if let Some(reasons) = self.folders.get_mut(folder) {
            *reasons -= 1;
            if *reasons == 0 {
                self.folders.remove(folder);
                // It may be gone already, and its watch with it.
                let _ = self.watcher.unwatch(folder);
            }
        }
    }

    /// Watches a folder again that was gone; what stands there now is another one.
    pub(crate) fn renew(&mut self, folder: &Path) -> Result<(), String> {
        if !self.folders.contains_key(folder) {
            return Ok(());
        }
        let _ = self.watcher.unwatch(folder);
        self.watch(folder)
    }

    /// Watches everything again.
    pub(crate) fn renew_all(&mut self) -> Result<(), String> {
        let folders: Vec<PathBuf> = self.folders.keys().cloned().collect();
        folders.iter().try_for_each(|folder| self.watch(folder))
    }

    fn watch(&mut self, folder: &Path) -> Result<(), String> {
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => Err(words(&error)),
            // Whoever cannot see the folder tells about it; the next look at all files tries again.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn words(error: &notify::Error) -> String {
    match error.kind {
        ErrorKind::MaxFilesWatch => "the limit fs.inotify.max_user_watches is reached".to_owned(),
        _ => error.to_string(),
    }
}

fn notices(event: notify::Result<Event>) -> Vec<Notice> {
    let event = match event {
        Ok(event) => event,
        Err(error) => return vec![Notice::Trouble(words(&error))],
    };
    if event.need_rescan() {
        return vec![Notice::Overflow];
    }
    let happening = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Happening::Closed,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Happening::MovedHere,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Happening::Gone,
        EventKind::Create(_) => Happening::Appeared,
        EventKind::Modify(ModifyKind::Data(_)) => Happening::Changing,
        EventKind::Modify(ModifyKind::Metadata(_)) => Happening::Permissions,
        // Opening and reading; and both ends of a rename once more.
        _ => return Vec::new(),
    };
    event.paths.into_iter().map(|path| Notice::At(path, happening)).collect()
}
