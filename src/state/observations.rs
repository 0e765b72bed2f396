//! Journal and checkpoint of observations and notes.
//!
//! ```text
//!   observations.checkpoint     everything up to some point, each key once
//!   observations.journal-old    what came then; only there while a new checkpoint is being made
//!   observations.journal        what came last; grows with every change
//! ```
//!
//! They are read in this order and the last line of a key wins, so a crash between any two steps of making a
//! checkpoint is harmless: what stands in two files says the same in both. Making a checkpoint never holds
//! the objects in memory: one pass finds the last line of each key (16 octets of hash and 8 of offset), the
//! next copies those lines.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mcdns_core::model::{Object, ObjectKey, Scope};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    StateWarning,
    lines::{self, Format, Line, Refusal},
};

const FORMAT: Format = Format { name: "mcdns-observations", version: 1 };
/// A journal below this size is never worth a new checkpoint, in octets.
const MIN_JOURNAL: u64 = 1 << 20;

pub(crate) const CHECKPOINT: &str = "observations.checkpoint";
pub(crate) const OLD_JOURNAL: &str = "observations.journal-old";
pub(crate) const JOURNAL: &str = "observations.journal";
const NEW_CHECKPOINT: &str = "observations.checkpoint-new";

/// One line, as written.
#[derive(Serialize)]
enum Written<'a> {
    #[serde(rename = "object")]
    Object(&'a ObjectKey, Option<&'a Object>),
    #[serde(rename = "note")]
    Note(&'a str, &'a serde_json::Value),
}

/// One line, as read in full.
#[derive(Deserialize)]
enum Read {
    #[serde(rename = "object")]
    Object(ObjectKey, Option<Arc<Object>>),
    #[serde(rename = "note")]
    Note(String, serde_json::Value),
}

/// One line, as far as needed to find its key and whether it is a deletion.
#[derive(Deserialize)]
enum Head<'a> {
    #[serde(rename = "object")]
    Object(#[serde(borrow)] &'a RawValue, Option<IgnoredAny>),
    #[serde(rename = "note")]
    Note(#[serde(borrow)] &'a RawValue, Option<IgnoredAny>),
}

/// What the files said.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: Vec<(ObjectKey, Arc<Object>)>,
    pub(crate) notes: BTreeMap<String, serde_json::Value>,
}

/// Appends the line of an observation.
pub(crate) fn push_observation(
    buffer: &mut Vec<u8>,
    key: &ObjectKey,
    object: Option<&Object>,
) -> Result<(), serde_json::Error> {
    lines::push_line(buffer, &Written::Object(key, object))
}

/// Appends the line of a note; a null value takes it away.
pub(crate) fn push_note(buffer: &mut Vec<u8>, key: &str, value: &serde_json::Value) -> Result<(), serde_json::Error> {
    lines::push_line(buffer, &Written::Note(key, value))
}

/// The three files, open. The handles keep what they hold even if somebody deletes the directory.
#[derive(Debug)]
pub(crate) struct ObservationFiles {
    directory: PathBuf,
    checkpoint: Option<Arc<File>>,
    checkpoint_length: u64,
    old_journal: Option<Arc<File>>,
    journal: Option<Arc<File>>,
    /// Octets of the journal that are whole lines; what stands behind is cut off before more is written.
    journal_length: u64,
    /// True if the journal may have something behind `journal_length`.
    journal_torn: bool,
    /// True if a file has bad lines, which a new checkpoint gets rid of.
    damaged: bool,
}

/// What a thread needs in order to make a checkpoint beside the one who goes on writing.
pub(crate) struct CheckpointJob {
    directory: PathBuf,
    sources: Vec<Arc<File>>,
}

impl ObservationFiles {
    /// Reads what is there. Damage becomes warnings; only the good part counts.
    pub(crate) fn recover(directory: &Path, warnings: &mut Vec<StateWarning>) -> (Self, Known) {
        let _ = fs::remove_file(directory.join(NEW_CHECKPOINT));
        let mut files = Self {
            directory: directory.to_owned(),
            checkpoint: None,
            checkpoint_length: 0,
            old_journal: None,
            journal: None,
            journal_length: 0,
            journal_torn: false,
            damaged: false,
        };
        let mut index = Index::default();
        let mut sources = Vec::new();
        for name in [CHECKPOINT, OLD_JOURNAL, JOURNAL] {
            let path = directory.join(name);
            let Some((file, pass)) = read_file(&path, sources.len(), &mut index, warnings) else { continue };
            sources.push((path, file.clone()));
            files.damaged |= !pass.undamaged;
            match name {
                CHECKPOINT => {
                    files.checkpoint_length = pass.whole;
                    files.checkpoint = Some(file);
                }
                OLD_JOURNAL => files.old_journal = Some(file),
                _ => {
                    files.journal_length = pass.whole;
                    files.journal_torn = !pass.undamaged || pass.whole == 0;
                    files.journal = Some(file);
                }
            }
        }
        let known = read_known(&sources, &index, warnings);
        (files, known)
    }

    /// Octets of the checkpoint and of the journal.
    pub(crate) fn lengths(&self) -> (u64, u64) {
        (self.checkpoint_length, self.journal_length)
    }

    /// Makes the journal ready to be appended to. True if the directory had been deleted and was made anew.
    pub(crate) fn prepare(&mut self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.directory.join(JOURNAL);
        let deleted = match &self.journal {
            Some(journal) => journal.metadata()?.nlink() == 0,
            None => false,
        };
        if deleted {
            lines::create_directory(&self.directory)?;
            let job = self.checkpoint_job();
            let length = job.run(&AtomicBool::new(false))?;
            self.old_journal = None;
            self.journal = None;
            self.journal_length = 0;
            self.adopt_checkpoint(length)?;
        }
        if self.journal.is_none() {
            lines::create_directory(&self.directory)?;
            self.journal = Some(new_journal(&path)?);
            self.journal_length = FORMAT.header().len() as u64;
            self.journal_torn = false;
            lines::sync_directory(&self.directory)?;
        }
        if self.journal_torn {
            let journal = writable(&path)?;
            if self.journal_length == 0 {
                journal.set_len(0)?;
                write_at_end(&journal, 0, &FORMAT.header())?;
                self.journal_length = FORMAT.header().len() as u64;
            } else {
                journal.set_len(self.journal_length)?;
            }
            self.journal = Some(Arc::new(journal));
            self.journal_torn = false;
        }
        Ok(deleted)
    }

    /// Appends whole lines; on failure none of them counts.
    pub(crate) fn append(&mut self, content: &[u8]) -> io::Result<()> {
        let journal = self.journal.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.journal_torn = true;
        write_at_end(journal, self.journal_length, content)?;
        self.journal_length += content.len() as u64;
        self.journal_torn = false;
        Ok(())
    }

    /// Makes what was appended last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.sync_data())
    }

    /// Takes back what was appended behind `length`, after a failure.
    pub(crate) fn roll_back(&mut self, length: u64) {
        self.journal_length = length;
        self.journal_torn = true;
    }

    /// True if the journal has become too long for its checkpoint, or if an old one is left over.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.damaged || self.old_journal.is_some() || self.journal_length > self.checkpoint_length.max(MIN_JOURNAL)
    }

    /// Moves the journal out of the way, so that a checkpoint can be made of it while a new one grows.
    pub(crate) fn rotate(&mut self) -> io::Result<CheckpointJob> {
        if self.old_journal.is_none() {
            let path = self.directory.join(JOURNAL);
            fs::rename(&path, self.directory.join(OLD_JOURNAL))?;
            self.old_journal = self.journal.take();
            self.journal_length = 0;
            self.prepare()?;
        }
        let sources = [&self.checkpoint, &self.old_journal].into_iter().flatten().cloned().collect();
        Ok(CheckpointJob { directory: self.directory.clone(), sources })
    }

    /// Takes over a finished checkpoint of `length` octets; the old journal is in it and goes.
    pub(crate) fn adopt_checkpoint(&mut self, length: u64) -> io::Result<()> {
        self.checkpoint = lines::open_existing(&self.directory.join(CHECKPOINT))?.map(Arc::new);
        self.checkpoint_length = length;
        self.damaged = false;
        if self.old_journal.take().is_some() {
            match fs::remove_file(self.directory.join(OLD_JOURNAL)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// A checkpoint of everything.
    fn checkpoint_job(&self) -> CheckpointJob {
        let sources = [&self.checkpoint, &self.old_journal, &self.journal].into_iter().flatten().cloned().collect();
        CheckpointJob { directory: self.directory.clone(), sources }
    }
}

impl CheckpointJob {
    /// Writes the checkpoint and puts it in place; its length in octets. `stop` ends it early, with an error.
    pub(crate) fn run(&self, stop: &AtomicBool) -> io::Result<u64> {
        let temporary = self.directory.join(NEW_CHECKPOINT);
        let length = self.write(&temporary, stop).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        fs::rename(&temporary, self.directory.join(CHECKPOINT))?;
        lines::sync_directory(&self.directory)?;
        Ok(length)
    }

    fn write(&self, temporary: &Path, stop: &AtomicBool) -> io::Result<u64> {
        let mut index = Index::default();
        // Damage was reported when the program started; what cannot be read now is left out once more.
        let mut ignored = Vec::new();
        for (source, file) in self.sources.iter().enumerate() {
            match lines::read_lines(file, temporary, FORMAT, &mut ignored, |line| {
                check_stop(stop).map_err(|error| error.to_string())?;
                index.note(source, line)
            }) {
                Ok(_) | Err(Refusal::Header(_)) => {}
                Err(Refusal::Unreadable(error)) => return Err(error),
            }
        }
        let mut output = BufWriter::with_capacity(256 << 10, lines::create(temporary)?);
        let header = FORMAT.header();
        output.write_all(&header)?;
        let mut length = header.len() as u64;
        for (file, offsets) in self.sources.iter().zip(index.kept(self.sources.len())) {
            lines::visit_lines(file, offsets, |raw| {
                check_stop(stop)?;
                length += raw.len() as u64;
                output.write_all(raw)
            })?;
        }
        output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        check_stop(stop)?;
        Ok(length)
    }
}

/// Where the last line of each key stands.
#[derive(Default)]
struct Index {
    last: HashMap<u128, Last>,
}

/// The last line of one key: the offset shifted left by three, the number of the file, and a bit for "gone".
#[derive(Clone, Copy)]
struct Last(u64);

impl Last {
    fn new(source: usize, offset: u64, gone: bool) -> Self {
        Self(offset << 3 | (source as u64 & 3) << 1 | u64::from(gone))
    }
}

impl Index {
    /// Takes a line in; the error says why it makes no sense.
    fn note(&mut self, source: usize, line: Line<'_>) -> Result<(), String> {
        let head: Head<'_> = serde_json::from_slice(line.json).map_err(|error| format!("not understood: {error}"))?;
        let (hash, gone) = match &head {
            Head::Object(key, object) => (hash_of(0, key.get()), object.is_none()),
            Head::Note(key, value) => (hash_of(1, key.get()), value.is_none()),
        };
        self.last.insert(hash, Last::new(source, line.offset, gone));
        Ok(())
    }

    /// Offsets of the lines that count, ascending, for each of `count` files.
    fn kept(&self, count: usize) -> Vec<Vec<u64>> {
        let mut kept = vec![Vec::new(); count];
        for Last(packed) in self.last.values() {
            let source = usize::try_from(packed >> 1 & 3).unwrap_or(usize::MAX);
            if let Some(offsets) = kept.get_mut(source).filter(|_| packed & 1 == 0) {
                offsets.push(packed >> 3);
            }
        }
        for offsets in &mut kept {
            offsets.sort_unstable();
        }
        kept
    }
}

/// One `Arc` for each of the texts that stand in very many keys.
#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn share(&mut self, text: &mut Arc<str>) {
        match self.0.get(text) {
            Some(known) => *text = known.clone(),
            None => {
                self.0.insert(text.clone());
            }
        }
    }
}

/// Reads one file into the index; none where it is missing, empty or set aside.
fn read_file(
    path: &Path,
    source: usize,
    index: &mut Index,
    warnings: &mut Vec<StateWarning>,
) -> Option<(Arc<File>, lines::Pass)> {
    let file = match lines::open_existing(path) {
        Ok(file) => file?,
        Err(error) => {
            warnings.push(lines::set_aside(path, &Refusal::Unreadable(error)));
            return None;
        }
    };
    match lines::read_lines(&file, path, FORMAT, warnings, |line| index.note(source, line)) {
        Ok(pass) => Some((Arc::new(file), pass)),
        Err(refusal) => {
            // Lines that were read before the disk failed must not be looked up again.
            index.last.retain(|_, Last(packed)| *packed >> 1 & 3 != source as u64);
            warnings.push(lines::set_aside(path, &refusal));
            None
        }
    }
}

/// Parses the lines that count.
fn read_known(sources: &[(PathBuf, Arc<File>)], index: &Index, warnings: &mut Vec<StateWarning>) -> Known {
    let mut known = Known::default();
    let mut interner = Interner::default();
    for ((path, file), offsets) in sources.iter().zip(index.kept(sources.len())) {
        let mut bad = 0_usize;
        let mut reason = String::new();
        let read = lines::visit_lines(file, offsets, |raw| {
            if let Err(why) = known.take(raw, &mut interner) {
                bad += 1;
                reason = why;
            }
            Ok(())
        });
        if bad > 0 {
            let reason = format!("{bad} lines are left out; the last because {reason}");
            warnings.push(StateWarning { file: path.clone(), line: 0, reason });
        }
        if let Err(error) = read {
            let reason = format!("reading stopped early: {error}");
            warnings.push(StateWarning { file: path.clone(), line: 0, reason });
        }
    }
    known.objects.sort_by(|(left, _), (right, _)| left.cmp(right));
    known
}

impl Known {
    fn take(&mut self, raw: &[u8], interner: &mut Interner) -> Result<(), String> {
        let json = lines::json_of(raw).ok_or("the checksum is wrong")?;
        match serde_json::from_slice(json).map_err(|error| error.to_string())? {
            Read::Object(mut key, Some(object)) => {
                if !object.fact.fits(key.kind) {
                    return Err(format!("what it says does not fit {key}"));
                }
                if let Scope::Member(cluster) = &mut key.scope {
                    interner.share(cluster);
                }
                interner.share(&mut key.namespace);
                self.objects.push((key, object));
            }
            Read::Note(key, value) => {
                self.notes.insert(key, value);
            }
            Read::Object(_, None) => {}
        }
        Ok(())
    }
}

/// 128 bits, so that two of some million keys never meet (the chance is below 2^-80).
fn hash_of(tag: u8, text: &str) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (tag, seed, text).hash(&mut hasher);
        hasher.finish()
    };
    u128::from(half(0)) << 64 | u128::from(half(1))
}

/// A journal with nothing but its header.
fn new_journal(path: &Path) -> io::Result<Arc<File>> {
    let file = lines::create(path)?;
    write_at_end(&file, 0, &FORMAT.header())?;
    file.sync_all()?;
    Ok(Arc::new(file))
}

fn writable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

fn write_at_end(file: &File, length: u64, content: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, content, length)
}

fn check_stop(stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "the program stops"));
    }
    Ok(())
}
