//! What stands in the directory, without reading it: folders, files with their stamps, links with their way.
//!
//! Paths here are relative to the directory, with `/`, and always UTF-8, so that they sort bytewise and print as the
//! user would write them. Dot entries are skipped and links followed; a link back to a folder that it stands in is
//! told about and not followed. What could not be looked into is *opaque*: what is known of it stays.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use crate::objects::Format;

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 40;
/// Most links on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;

/// Equal stamps mean that a file was not written meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// A stamp that equals no file's, so that the file is read once more at the next look.
    pub(super) fn uncertain(self) -> Self {
        Self { changed: (0, 0), ..self }
    }
}

/// A name in a folder that something depends on: when it changes, so may what stands behind it.
pub(crate) type Step = (PathBuf, OsString);

/// A folder, by all of its names.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Without links.
    pub(super) real: PathBuf,
}

/// What a walk found at and below one path.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files with a known ending.
    pub(super) files: BTreeMap<String, Stamp>,
    /// Folders, the starting one included.
    pub(super) folders: BTreeMap<String, Folder>,
    /// Links by path, with the steps that they lead over.
    pub(super) links: BTreeMap<String, Vec<Step>>,
    /// Paths that could not be looked into, with the reason.
    pub(super) opaque: BTreeMap<String, String>,
    /// Paths that are left out for good, with the reason.
    pub(super) left_out: BTreeMap<String, String>,
}

/// How a file of this name is written; none for files that are not ours.
pub(super) fn format_of(path: &str) -> Option<Format> {
    match Path::new(path).extension().and_then(OsStr::to_str) {
        Some("yaml" | "yml") => Some(Format::Yaml),
        Some("json") => Some(Format::Json),
        _ => None,
    }
}

/// Looks at `path` (empty: the directory itself) and everything below.
pub(super) fn walk(root: &Path, path: &str) -> Found {
    let mut walk = Walk { root, found: Found::default(), above: Vec::new() };
    // Folders above the path count as above also when the walk does not start at the top.
    let mut parents = Vec::new();
    for (at, _) in path.match_indices('/') {
        parents.push(&path[..at]);
    }
    for parent in std::iter::once("").chain(parents).filter(|parent| *parent != path) {
        if let Ok(metadata) = fs::metadata(walk.full(parent)) {
            walk.above.push((metadata.dev(), metadata.ino(), parent.to_owned()));
        }
    }
    walk.entry(path);
    walk.found
}

/// The steps over which `path` leads, from a folder without links on: every link, and the last name.
pub(crate) fn steps(folder: &Path, name: &OsStr) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut here = folder.to_owned();
    let mut ahead: VecDeque<OsString> = [name.to_owned()].into();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let there = here.join(&part);
        let metadata = fs::symlink_metadata(&there);
        if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) && !ahead.is_empty() {
            here = there;
            continue;
        }
        steps.push((here.clone(), part));
        if !metadata.is_ok_and(|metadata| metadata.is_symlink()) || links == MAX_LINKS {
            break;
        }
        links += 1;
        let Ok(target) = fs::read_link(&there) else { break };
        for part in target.components().rev() {
            match part {
                Component::Normal(part) => ahead.push_front(part.to_owned()),
                Component::ParentDir => ahead.push_front("..".into()),
                Component::RootDir => here = "/".into(),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }
    steps
}

struct Walk<'a> {
    root: &'a Path,
    found: Found,
    /// The folders that the walk is in, by device and inode.
    above: Vec<(u64, u64, String)>,
}

impl Walk<'_> {
    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.to_owned() } else { self.root.join(path) }
    }

    fn entry(&mut self, path: &str) {
        let full = self.full(path);
        let is_link = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_symlink());
        if is_link {
            let folder = full.parent().and_then(|parent| fs::canonicalize(parent).ok());
            if let (Some(folder), Some(name)) = (folder, full.file_name()) {
                self.found.links.insert(path.to_owned(), steps(&folder, name));
            }
        }
        match fs::metadata(&full) {
            Ok(metadata) if metadata.is_dir() => self.folder(path, &full, &metadata),
            Ok(metadata) if format_of(path).is_some() => {
                if metadata.is_file() {
                    self.found.files.insert(path.to_owned(), Stamp::of(&metadata));
                } else {
                    self.found.left_out.insert(path.to_owned(), "is no regular file".to_owned());
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.found.opaque.insert(path.to_owned(), "is a link to nothing".to_owned());
            }
            Err(error) => {
                self.found.opaque.insert(path.to_owned(), reason(&error));
            }
        }
    }

    fn folder(&mut self, path: &str, full: &Path, metadata: &fs::Metadata) {
        let identity = (metadata.dev(), metadata.ino());
        if let Some((_, _, above)) = self.above.iter().find(|above| (above.0, above.1) == identity) {
            let above = if above.is_empty() { "the directory itself" } else { above };
            self.found.left_out.insert(path.to_owned(), format!("leads back to {above}"));
            return;
        }
        if self.above.len() > MAX_DEPTH {
            self.found.left_out.insert(path.to_owned(), format!("stands more than {MAX_DEPTH} folders deep"));
            return;
        }
        let (entries, real) = match (fs::read_dir(full), fs::canonicalize(full)) {
            (Ok(entries), Ok(real)) => (entries, real),
            (Err(error), _) | (_, Err(error)) => {
                self.found.opaque.insert(path.to_owned(), reason(&error));
                return;
            }
        };
        self.found.folders.insert(path.to_owned(), Folder { real });
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => {
                    self.found.opaque.insert(path.to_owned(), reason(&error));
                    return;
                }
            }
        }
        names.sort_unstable();
        self.above.push((identity.0, identity.1, path.to_owned()));
        for name in names {
            match name.to_str() {
                Some(name) if !name.starts_with('.') => {
                    // At the top only two folders are ours; what else stands there is nobody's business.
                    if !path.is_empty() || name == "host" || name == "members" {
                        self.entry(&join(path, name));
                    }
                }
                Some(_) => {}
                None if path.is_empty() => {}
                None => {
                    let shown = join(path, &name.to_string_lossy());
                    self.found.left_out.insert(shown, "has a name that is not UTF-8".to_owned());
                }
            }
        }
        self.above.pop();
    }
}

/// A name below a path.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// True if `path` is `folder` or below it; everything is below the empty path.
pub(super) fn is_at_or_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An error of the file system in the words of a person.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "may not be read: permission denied".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
