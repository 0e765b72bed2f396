//! The form of every file here but the copies of zones: lines of `crc32-hex SPACE json`, the first one a header.
//!
//! A checksum per line keeps damage small: whatever happened to a line, the ones around it count. Text keeps
//! the files readable for a person with `less` in a bad night.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::StateWarning;

/// Longest line that is read. Kubernetes objects end at 1.5 MiB (etcd's request limit); a longer line is what
/// a lost line end looks like, and must not be read into memory whole.
const MAX_LINE: usize = 16 << 20;
/// Damaged lines of one file that are reported one by one; the rest is counted.
const MAX_REPORTS: usize = 5;
/// How many set-aside copies of one file are kept.
const MAX_SET_ASIDE: u32 = 4;
/// Octets in front of the JSON: eight hexadecimal digits and a space.
const PREFIX: usize = 9;

/// First line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Which kind of file.
    pub(crate) format: String,
    /// Which version of that kind.
    pub(crate) version: u32,
}

/// Kind and version of a file, as this program writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
}

impl Format {
    /// The header line.
    pub(crate) fn header(self) -> Vec<u8> {
        let mut line = Vec::new();
        // A header is two plain fields; serialising it cannot fail.
        let _ = push_line(&mut line, &Header { format: self.name.to_owned(), version: self.version });
        line
    }

    /// Why a file with this first line is not for us.
    fn refusal(self, json: &[u8]) -> Option<String> {
        let Ok(header) = serde_json::from_slice::<Header>(json) else {
            return Some(format!("the first line is no header of `{}`", self.name));
        };
        if header.format != self.name {
            return Some(format!("the file is a `{}`, not a `{}`", header.format, self.name));
        }
        (header.version != self.version).then(|| {
            format!("version {} of the format is not known here, which reads version {}", header.version, self.version)
        })
    }
}

/// Appends `value` as one line; on failure `buffer` is as before.
pub(crate) fn push_line(buffer: &mut Vec<u8>, value: &impl Serialize) -> Result<(), serde_json::Error> {
    let start = buffer.len();
    buffer.extend_from_slice(b"00000000 ");
    if let Err(error) = serde_json::to_writer(&mut *buffer, value) {
        buffer.truncate(start);
        return Err(error);
    }
    let checksum = format!("{:08x}", crc32fast::hash(&buffer[start + PREFIX..]));
    buffer[start..start + PREFIX - 1].copy_from_slice(checksum.as_bytes());
    buffer.push(b'\n');
    Ok(())
}

/// A line whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Where it starts in the file, in octets.
    pub(crate) offset: u64,
    /// What it says.
    pub(crate) json: &'a [u8],
}

/// How a pass over a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Octets up to the end of the last whole line; what stands behind may be cut off.
    pub(crate) whole: u64,
    /// True if every line was good, and the last one whole.
    pub(crate) undamaged: bool,
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It could not be read at all.
    Unreadable(io::Error),
    /// Its header is not ours.
    Header(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Calls `use_line` for each good line behind the header, in order; bad ones become warnings about `path`.
///
/// `use_line` says what is wrong with a line that has a right checksum and still makes no sense.
pub(crate) fn read_lines(
    file: &File,
    path: &Path,
    format: Format,
    warnings: &mut Vec<StateWarning>,
    mut use_line: impl FnMut(Line<'_>) -> Result<(), String>,
) -> Result<Pass, Refusal> {
    let mut input = BufReader::with_capacity(256 << 10, ReadAt { file, offset: 0 });
    let mut pass = Pass { whole: 0, undamaged: true };
    let mut damage = Damage { path, count: 0, warnings };
    let mut raw = Vec::new();
    let mut number = 0;
    let mut offset = 0;
    loop {
        raw.clear();
        let length = (&mut input).take(MAX_LINE as u64).read_until(b'\n', &mut raw)?;
        if length == 0 {
            break;
        }
        number += 1;
        let start = offset;
        offset += length as u64;
        let ended = raw.last() == Some(&b'\n');
        if !ended && length == MAX_LINE {
            offset += skip_line(&mut input)?;
        }
        let content = if ended { &raw[..raw.len() - 1] } else { &raw[..] };
        // A line without its end may lack more than the end: it does not count, whatever its checksum says.
        let json = if ended { checked(content) } else { Err("the file ends in the middle of the line") };
        if number == 1 {
            match json {
                Ok(json) => {
                    if let Some(refusal) = format.refusal(json) {
                        return Err(Refusal::Header(refusal));
                    }
                }
                Err(reason) => return Err(Refusal::Header(format!("the first line is no header: {reason}"))),
            }
        } else {
            let used = json.map_err(ToOwned::to_owned).and_then(|json| use_line(Line { offset: start, json }));
            if let Err(reason) = used {
                damage.report(number, reason);
                pass.undamaged = false;
            }
        }
        if ended {
            pass.whole = offset;
        } else {
            pass.undamaged = false;
        }
    }
    damage.finish();
    Ok(pass)
}

/// Copies the lines that start at `offsets` (ascending) from `file`; `stop` ends it early.
pub(crate) fn visit_lines(
    file: &File,
    offsets: impl IntoIterator<Item = u64>,
    mut use_line: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut input = BufReader::with_capacity(256 << 10, ReadAt { file, offset: 0 });
    let mut at = 0;
    let mut raw = Vec::new();
    for offset in offsets {
        let mut gap = offset - at;
        while gap > 0 {
            let available = input.fill_buf()?.len() as u64;
            if available == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = gap.min(available);
            input.consume(usize::try_from(step).unwrap_or(usize::MAX));
            gap -= step;
        }
        raw.clear();
        let length = (&mut input).take(MAX_LINE as u64).read_until(b'\n', &mut raw)?;
        at = offset + length as u64;
        if raw.last() != Some(&b'\n') {
            raw.push(b'\n');
        }
        use_line(&raw)?;
    }
    Ok(())
}

/// The JSON of a line handed over by [`visit_lines`]; none if its checksum is wrong by now.
pub(crate) fn json_of(raw: &[u8]) -> Option<&[u8]> {
    checked(raw.strip_suffix(b"\n").unwrap_or(raw)).ok()
}

/// Opens a file for reading and, where the disk lets us, for writing; none if it does not exist.
pub(crate) fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(_) => File::open(path).map(Some),
    }
}

/// Creates a file for us alone, empty.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Creates a directory, and what is missing above it, for us alone. One that exists stays as it is.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes renames and new files in a directory last.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The same path with `ending` behind it.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Renames a file that cannot be used, so that a person can look at it, and says so.
pub(crate) fn set_aside(path: &Path, refusal: &Refusal) -> StateWarning {
    let free = (1..MAX_SET_ASIDE).find(|number| !with_ending(path, &format!(".damaged-{number}")).exists());
    let aside = with_ending(path, &format!(".damaged-{}", free.unwrap_or(MAX_SET_ASIDE)));
    let reason = match refusal {
        Refusal::Unreadable(error) => format!("the file cannot be read: {error}"),
        Refusal::Header(reason) => reason.clone(),
    };
    let outcome = match fs::rename(path, &aside) {
        Ok(()) => format!("set aside as {}", aside.display()),
        Err(error) => format!("ignored, and could not be set aside: {error}"),
    };
    StateWarning { file: path.to_owned(), line: 0, reason: format!("{reason}; {outcome}") }
}

/// Reads at its own offset, so that several passes can share one open file.
struct ReadAt<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Collects warnings about lines, a bounded number of them.
struct Damage<'a> {
    path: &'a Path,
    count: usize,
    warnings: &'a mut Vec<StateWarning>,
}

impl Damage<'_> {
    fn report(&mut self, line: u64, reason: String) {
        self.count += 1;
        if self.count <= MAX_REPORTS {
            self.warnings.push(StateWarning { file: self.path.to_owned(), line, reason });
        }
    }

    fn finish(self) {
        if let Some(more) = self.count.checked_sub(MAX_REPORTS).filter(|more| *more > 0) {
            let reason = format!("{more} more lines are damaged");
            self.warnings.push(StateWarning { file: self.path.to_owned(), line: 0, reason });
        }
    }
}

/// The JSON of a line without its line end, if the checksum is right.
fn checked(content: &[u8]) -> Result<&[u8], &'static str> {
    const NO_LINE: &str = "the line does not start with a checksum";
    let (prefix, json) = content.split_at_checked(PREFIX).ok_or(NO_LINE)?;
    let digits = prefix.strip_suffix(b" ").and_then(|digits| str::from_utf8(digits).ok()).ok_or(NO_LINE)?;
    let wanted = u32::from_str_radix(digits, 16).map_err(|_| NO_LINE)?;
    if crc32fast::hash(json) == wanted { Ok(json) } else { Err("the checksum is wrong") }
}

/// Skips to behind the next line end; how many octets that were.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(skipped);
        }
        let (step, found) = match available.iter().position(|octet| *octet == b'\n') {
            Some(at) => (at + 1, true),
            None => (available.len(), false),
        };
        input.consume(step);
        skipped += step as u64;
        if found {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const FORMAT: Format = Format { name: "mcdns-test", version: 1 };

    fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        create(&path).and_then(|mut file| file.write_all(content)).expect("written");
        (directory, path)
    }

    fn numbers(path: &Path) -> (Result<Pass, Refusal>, Vec<u32>, Vec<StateWarning>) {
        let mut warnings = Vec::new();
        let mut seen = Vec::new();
        let file = File::open(path).expect("opened");
        let pass = read_lines(&file, path, FORMAT, &mut warnings, |line| {
            seen.push(serde_json::from_slice(line.json).map_err(|error| error.to_string())?);
            Ok(())
        });
        (pass, seen, warnings)
    }

    fn three_lines() -> Vec<u8> {
        let mut content = FORMAT.header();
        for number in 1..=3_u32 {
            push_line(&mut content, &number).expect("serialised");
        }
        content
    }

    #[test]
    fn what_is_written_is_read() {
        let (_directory, path) = written(&three_lines());
        let (pass, seen, warnings) = numbers(&path);
        assert_eq!(seen, [1, 2, 3]);
        assert!(warnings.is_empty());
        assert!(pass.is_ok_and(|pass| pass.undamaged && pass.whole == three_lines().len() as u64));
    }

    #[test]
    fn a_bad_line_costs_itself_alone() {
        let mut content = three_lines();
        let at = FORMAT.header().len() + PREFIX + 2 + 3;
        content[at] ^= 1;
        let (_directory, path) = written(&content);
        let (_, seen, warnings) = numbers(&path);
        assert_eq!(seen, [1, 3]);
        assert_eq!(warnings.len(), 1);
        assert_eq!((warnings[0].line, &*warnings[0].reason), (3, "the checksum is wrong"));
    }

    #[test]
    fn a_cut_tail_is_told_apart_from_a_whole_line() {
        let content = three_lines();
        let (_directory, path) = written(&content[..content.len() - 2]);
        let (pass, seen, warnings) = numbers(&path);
        assert_eq!(seen, [1, 2]);
        assert!(warnings[0].reason.contains("ends in the middle"), "{warnings:?}");
        let whole = content.len() - FORMAT.header().len();
        assert!(pass.is_ok_and(|pass| pass.whole == (content.len() - whole / 3) as u64));
    }

    #[test]
    fn many_bad_lines_are_counted_instead_of_listed() {
        let mut content = FORMAT.header();
        content.extend_from_slice(&b"rubbish\n".repeat(100));
        let (_directory, path) = written(&content);
        let (_, _, warnings) = numbers(&path);
        assert_eq!(warnings.len(), MAX_REPORTS + 1);
        assert_eq!(warnings[MAX_REPORTS].reason, "95 more lines are damaged");
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let mut content = FORMAT.header();
        content.extend_from_slice(&vec![b'x'; MAX_LINE + 10]);
        content.push(b'\n');
        push_line(&mut content, &7).expect("serialised");
        let (_directory, path) = written(&content);
        assert_eq!(numbers(&path).1, [7]);
    }

    #[test]
    fn set_aside_copies_are_bounded() {
        let (directory, path) = written(b"");
        for _ in 0..10 {
            fs::write(&path, "garbage").expect("written");
            let warning = set_aside(&path, &Refusal::Header("no header".to_owned()));
            assert!(warning.reason.contains("set aside as"), "{}", warning.reason);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), MAX_SET_ASIDE as usize);
    }

    #[test]
    fn a_newer_version_and_another_kind_are_refused() {
        let (_directory, path) = written(&Format { name: "mcdns-test", version: 2 }.header());
        assert!(matches!(numbers(&path).0, Err(Refusal::Header(reason)) if reason.contains("version 2")));
        let (_directory, path) = written(&Format { name: "mcdns-other", version: 1 }.header());
        assert!(matches!(numbers(&path).0, Err(Refusal::Header(reason)) if reason.contains("mcdns-other")));
    }
}
