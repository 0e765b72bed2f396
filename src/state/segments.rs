//! Histories on disk: segment files such as `history-00000001`, written in turn and deleted oldest first.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    marker::PhantomData,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    StateWarning,
    lines::{self, Format, Refusal},
};

/// Into how many segments the limit is divided: what is deleted at once is this part of the history.
const SEGMENTS: u64 = 8;

/// Which files they are, and how they begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    /// File names are this and a number.
    pub(crate) prefix: &'static str,
}

/// Segment files of items of one kind.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    kind: Kind,
    directory: PathBuf,
    limit: u64,
    /// Number and length of each file, oldest first; the last one is written to.
    files: VecDeque<(u32, u64)>,
    /// The last file; none where it is missing or damaged, so that a new one must be started.
    current: Option<File>,
    /// True if the last file may have something behind the length noted for it.
    torn: bool,
    items: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Segments<T> {
    /// Reads what is there: at most the last `count` items, oldest first.
    pub(crate) fn recover(
        kind: Kind,
        directory: &Path,
        limit: u64,
        count: usize,
        warnings: &mut Vec<StateWarning>,
    ) -> (Self, VecDeque<Arc<T>>) {
        let mut segments = Self {
            kind,
            directory: directory.to_owned(),
            limit,
            files: VecDeque::new(),
            current: None,
            torn: false,
            items: PhantomData,
        };
        let mut known = VecDeque::new();
        let mut numbers: Vec<u32> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(kind.prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let path = segments.path(number);
            let read = lines::open_existing(&path).map_err(Refusal::Unreadable).and_then(|file| {
                let Some(file) = file else { return Ok((None, 0)) };
                let pass = lines::read_lines(&file, &path, kind.format, warnings, |line| {
                    let item = serde_json::from_slice(line.json).map_err(|error| format!("not understood: {error}"))?;
                    known.push_back(Arc::new(item));
                    if known.len() > count {
                        known.pop_front();
                    }
                    Ok(())
                })?;
                let length = file.metadata()?.len();
                Ok(((pass.undamaged && pass.whole == length && length > 0).then_some(file), length))
            });
            match read {
                Ok((file, length)) => {
                    segments.files.push_back((number, length));
                    segments.current = file;
                }
                Err(refusal) => warnings.push(lines::set_aside(&path, &refusal)),
            }
        }
        (segments, known)
    }

    /// Appends items and makes them last. On failure nothing counts, and the same may be tried again.
    pub(crate) fn append(&mut self, items: &[Arc<T>]) -> io::Result<()> {
        let mut buffer = Vec::new();
        for item in items {
            // An item that cannot be written (there is none such) must not keep the others from it.
            let _ = lines::push_line(&mut buffer, &**item);
        }
        if buffer.is_empty() {
            return Ok(());
        }
        let written = self.append_lines(&buffer);
        self.torn = written.is_err();
        written
    }

    fn append_lines(&mut self, content: &[u8]) -> io::Result<()> {
        let full = self.files.back().is_some_and(|(_, length)| *length >= self.limit / SEGMENTS);
        let deleted = match &self.current {
            Some(file) => file.metadata()?.nlink() == 0,
            None => true,
        };
        if full || deleted {
            self.start_segment()?;
        }
        let (Some(file), Some((_, length))) = (&self.current, self.files.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if self.torn {
            file.set_len(*length)?;
        }
        file.write_all_at(content, *length)?;
        file.sync_data()?;
        *length += content.len() as u64;
        self.delete_oldest();
        Ok(())
    }

    fn start_segment(&mut self) -> io::Result<()> {
        lines::create_directory(&self.directory)?;
        let number = self.files.back().map_or(1, |(number, _)| number.saturating_add(1));
        let header = self.kind.format.header();
        let file = lines::create(&self.path(number))?;
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        lines::sync_directory(&self.directory)?;
        self.files.push_back((number, header.len() as u64));
        self.current = Some(file);
        self.torn = false;
        self.delete_oldest();
        Ok(())
    }

    /// Deletes the oldest files until the limit holds; the one that is written to stays.
    fn delete_oldest(&mut self) {
        while self.files.len() > 1 && self.files.iter().map(|(_, length)| length).sum::<u64>() > self.limit {
            if let Some((number, _)) = self.files.pop_front() {
                // Already gone is as good; anything else comes up when the program starts again.
                let _ = fs::remove_file(self.path(number));
            }
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{}{number:08}", self.kind.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Change,
        history::{KIND, tests::change},
    };

    fn changes(range: std::ops::Range<u64>) -> Vec<Arc<Change>> {
        range.map(|generation| Arc::new(change("a.example.com", generation))).collect()
    }

    fn recovered(directory: &Path, limit: u64, count: usize) -> (Segments<Change>, Vec<u64>, Vec<StateWarning>) {
        let mut warnings = Vec::new();
        let (segments, known) = Segments::recover(KIND, directory, limit, count, &mut warnings);
        (segments, known.iter().map(|change| change.generation).collect(), warnings)
    }

    #[test]
    fn changes_are_read_back_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        for range in [0..3, 3..4, 4..9] {
            let (mut segments, ..) = recovered(directory.path(), 1 << 20, 100);
            segments.append(&changes(range)).expect("written");
        }
        let (_, generations, warnings) = recovered(directory.path(), 1 << 20, 100);
        assert_eq!(generations, (0..9).collect::<Vec<_>>());
        assert!(warnings.is_empty());
        assert_eq!(recovered(directory.path(), 1 << 20, 2).1, [7, 8]);
    }

    #[test]
    fn old_segments_are_deleted_when_the_limit_is_reached() {
        let directory = tempfile::tempdir().expect("a directory");
        let limit = 8_000;
        let (mut segments, ..) = recovered(directory.path(), limit, 100);
        for generation in 0..200 {
            segments.append(&changes(generation..generation + 1)).expect("written");
        }
        let size: u64 = fs::read_dir(directory.path())
            .expect("listed")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("metadata").len())
            .sum();
        assert!(size <= limit, "{size}");
        let (_, generations, _) = recovered(directory.path(), limit, 100);
        assert_eq!(generations.last(), Some(&199));
        assert!(generations.len() > 5 && generations.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }

    #[test]
    fn a_damaged_segment_costs_only_what_is_damaged() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut segments, ..) = recovered(directory.path(), 1 << 20, 100);
        segments.append(&changes(0..3)).expect("written");
        let path = directory.path().join("history-00000001");
        let content = fs::read(&path).expect("read");
        fs::write(&path, &content[..content.len() - 4]).expect("written");
        let (mut segments, generations, warnings) = recovered(directory.path(), 1 << 20, 100);
        assert_eq!(generations, [0, 1]);
        assert_eq!(warnings.len(), 1);
        segments.append(&changes(3..4)).expect("written");
        assert_eq!(recovered(directory.path(), 1 << 20, 100).1, [0, 1, 3]);
    }

    #[test]
    fn a_deleted_directory_comes_back() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("state");
        let (mut segments, ..) = recovered(&directory, 1 << 20, 100);
        segments.append(&changes(0..1)).expect("written");
        fs::remove_dir_all(&directory).expect("removed");
        segments.append(&changes(1..2)).expect("written");
        assert_eq!(recovered(&directory, 1 << 20, 100).1, [1]);
    }
}
