//! Serials of zones that never go backwards (RFC 1982), whatever way the program ended.
//!
//! What stands on disk is the highest serial that may have been served: 1,000 are reserved ahead, so that a
//! change costs a write once in a thousand times. A clean end writes the exact serial with the digest of the
//! zone's content.
//!
//! | at the start | serial |
//! |---|---|
//! | the zone was never seen | Unix time |
//! | clean end, same content | the same serial: secondaries have nothing to fetch |
//! | clean end, other content | one more |
//! | any other end | one more than was reserved |

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcdns_core::dns::{OwnerName, Serial};
use serde::{Deserialize, Serialize};

use crate::{
    StateWarning, digits,
    lines::{self, Format, Refusal},
    status::{Area, StatusBoard},
};

const FORMAT: Format = Format { name: "mcdns-serials", version: 1 };
const SERIALS: &str = "serials";
/// How many serials are reserved with one write.
const RESERVATION: u16 = 1000;
/// The file is rewritten at the start when it is longer than this, in octets, and mostly outdated.
const MIN_REWRITE: u64 = 64 << 10;

/// One line of the file; the last one of an apex counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    apex: OwnerName,
    /// The highest serial that may have been served.
    reserved: Serial,
    /// Digest of the content at a clean end, where `reserved` is the serial itself.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "digits")]
    digest: Option<u128>,
}

/// The serials of all zones, on disk where there is a state directory.
#[derive(Debug)]
pub struct Serials {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    file: Option<SerialFile>,
}

impl Serials {
    /// Serials without a state directory: every start begins at Unix time.
    pub fn in_memory() -> Self {
        Self { inner: Mutex::new(Inner { book: Book::default(), file: None }) }
    }

    /// Reads what is there; damage becomes warnings.
    pub(crate) fn recover(directory: &Path, status: Arc<StatusBoard>, warnings: &mut Vec<StateWarning>) -> Self {
        let path = directory.join(SERIALS);
        let mut book = Book::default();
        let mut file = SerialFile { path, file: None, length: 0, status };
        let mut lines_read = 0_usize;
        let read = lines::open_existing(&file.path).map_err(Refusal::Unreadable).and_then(|opened| {
            let Some(opened) = opened else { return Ok(()) };
            let pass = lines::read_lines(&opened, &file.path, FORMAT, warnings, |line| {
                let entry: Entry =
                    serde_json::from_slice(line.json).map_err(|error| format!("not understood: {error}"))?;
                lines_read += 1;
                book.remember(entry);
                Ok(())
            })?;
            let mostly_outdated = pass.whole > MIN_REWRITE && lines_read > 2 * book.zones.len();
            if pass.undamaged && pass.whole > 0 && !mostly_outdated {
                file.length = pass.whole;
                file.file = Some(opened);
            }
            Ok(())
        });
        if let Err(refusal) = read {
            warnings.push(lines::set_aside(&file.path, &refusal));
        }
        Self { inner: Mutex::new(Inner { book, file: Some(file) }) }
    }

    /// The serial of a zone that this program starts to serve, with content of this digest.
    ///
    /// For a zone that is served already it is the serial that it has.
    pub fn serial_at_start(&self, apex: &OwnerName, digest: u128, now_unix: u32) -> Serial {
        self.serials_at_start([(apex.clone(), digest)], now_unix)
            .first()
            .map_or(Serial(now_unix), |(_, serial)| *serial)
    }

    /// The same for many zones, with one write for all of them.
    pub fn serials_at_start(
        &self,
        zones: impl IntoIterator<Item = (OwnerName, u128)>,
        now_unix: u32,
    ) -> Vec<(OwnerName, Serial)> {
        let mut inner = self.inner();
        let mut reservations = Vec::new();
        let serials = zones.into_iter().map(|(apex, digest)| {
            let serial = inner.book.start(&apex, digest, now_unix);
            reservations.extend(inner.book.reserve(&apex));
            (apex, serial)
        });
        let serials = serials.collect();
        inner.write(&reservations);
        serials
    }

    /// The serial of the zone after one more published change; none for a zone that was never started.
    ///
    /// Returns after the reservation that covers it is on disk. Where the disk fails, the serial is handed out
    /// all the same (serving goes on), the state says so, and the next change tries again.
    pub fn advance(&self, apex: &OwnerName) -> Option<Serial> {
        let mut inner = self.inner();
        let serial = inner.book.advance(apex)?;
        let reservation = inner.book.reserve(apex);
        inner.write(reservation.as_slice());
        Some(serial)
    }

    /// The serial that the zone has now.
    pub fn current(&self, apex: &OwnerName) -> Option<Serial> {
        self.inner().book.zones.get(apex)?.current
    }

    /// Says what the zone holds at its current serial; a clean end writes it. [`Serials::advance`] forgets it.
    pub fn note_digest(&self, apex: &OwnerName, digest: u128) {
        if let Some(zone) = self.inner().book.zones.get_mut(apex).filter(|zone| zone.current.is_some()) {
            zone.digest = Some(digest);
        }
    }

    /// Writes the exact serial of each zone whose digest is known, in place of its reservation.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut inner = self.inner();
        let entries = inner.book.exact();
        match &mut inner.file {
            Some(file) => file.rewrite(&entries),
            None => Ok(()),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every update leaves the book whole, so another thread's panic does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes reservations last; those that could not be written are tried again with the next change.
    fn write(&mut self, reservations: &[Entry]) {
        let Some(file) = self.file.as_mut().filter(|_| !reservations.is_empty()) else { return };
        // After a failure the file may lack anything, so all of it is written.
        let written = if file.is_ready() { file.append(reservations) } else { file.rewrite(&self.book.entries()) };
        match written {
            Ok(()) => file.status.works(Area::Serials),
            Err(error) => {
                file.file = None;
                file.status.fails(Area::Serials, &file.path, &error);
                for entry in reservations {
                    self.book.take_back(&entry.apex);
                }
            }
        }
    }
}

/// The rules, without a disk.
#[derive(Debug, Default)]
struct Book {
    zones: BTreeMap<OwnerName, Zone>,
}

#[derive(Debug, Default)]
struct Zone {
    /// What the disk says, or would if it worked.
    reserved: Option<Serial>,
    /// False while `reserved` is not on disk.
    written: bool,
    /// The serial of this run; none until the zone is started.
    current: Option<Serial>,
    /// Digest of the content at `current`, or at the clean end before this run.
    digest: Option<u128>,
}

impl Book {
    fn remember(&mut self, entry: Entry) {
        let zone = Zone { reserved: Some(entry.reserved), written: true, current: None, digest: entry.digest };
        self.zones.insert(entry.apex, zone);
    }

    fn start(&mut self, apex: &OwnerName, digest: u128, now_unix: u32) -> Serial {
        let zone = self.zones.entry(apex.clone()).or_default();
        if let Some(current) = zone.current {
            return current;
        }
        let serial = match zone.reserved {
            None => Serial(now_unix),
            Some(last) if zone.digest == Some(digest) => last,
            Some(last) => last.next(),
        };
        zone.current = Some(serial);
        zone.digest = Some(digest);
        // What a clean end wrote is no reservation for this run: without a new one, the end of this run would
        // look clean.
        zone.written = false;
        serial
    }

    fn advance(&mut self, apex: &OwnerName) -> Option<Serial> {
        let zone = self.zones.get_mut(apex)?;
        let serial = zone.current?.next();
        zone.current = Some(serial);
        zone.digest = None;
        let is_reserved = zone.reserved.is_some_and(|reserved| serial <= reserved);
        zone.written &= is_reserved;
        Some(serial)
    }

    /// A reservation to be written before the current serial is handed out; none if one is on disk.
    fn reserve(&mut self, apex: &OwnerName) -> Option<Entry> {
        let zone = self.zones.get_mut(apex).filter(|zone| !zone.written)?;
        let reserved = zone.current?.advance(RESERVATION);
        zone.reserved = Some(reserved);
        zone.written = true;
        Some(Entry { apex: apex.clone(), reserved, digest: None })
    }

    /// A reservation could not be written.
    fn take_back(&mut self, apex: &OwnerName) {
        if let Some(zone) = self.zones.get_mut(apex) {
            zone.written = false;
        }
    }

    /// What must stand on disk while the program runs.
    fn entries(&self) -> Vec<Entry> {
        let entry = |(apex, zone): (&OwnerName, &Zone)| {
            let digest = zone.digest.filter(|_| zone.current.is_none());
            Some(Entry { apex: apex.clone(), reserved: zone.reserved?, digest })
        };
        self.zones.iter().filter_map(entry).collect()
    }

    /// What must stand on disk after a clean end.
    fn exact(&self) -> Vec<Entry> {
        let entry = |(apex, zone): (&OwnerName, &Zone)| {
            // Without a digest the next start cannot tell whether the content is the same, and counts on.
            Some(Entry { apex: apex.clone(), reserved: zone.current.or(zone.reserved)?, digest: zone.digest })
        };
        self.zones.iter().filter_map(entry).collect()
    }
}

/// The file, appended to until it is rewritten.
#[derive(Debug)]
struct SerialFile {
    path: PathBuf,
    /// None where the whole file must be written next.
    file: Option<File>,
    length: u64,
    status: Arc<StatusBoard>,
}

impl SerialFile {
    fn is_ready(&self) -> bool {
        let linked = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
        self.file.as_ref().is_some_and(linked)
    }

    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut content = Vec::new();
        for entry in entries {
            lines::push_line(&mut content, entry)?;
        }
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(&content, self.length)?;
        file.sync_data()?;
        self.length += content.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut content = FORMAT.header();
        for entry in entries {
            lines::push_line(&mut content, entry)?;
        }
        let temporary = lines::with_ending(&self.path, "-new");
        let directory = self.path.parent().unwrap_or(Path::new("."));
        lines::create_directory(directory)?;
        let mut file = lines::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        lines::sync_directory(directory)?;
        self.length = content.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_700_000_000;

    fn apex() -> OwnerName {
        "example.com".parse().expect("a name")
    }

    fn open(directory: &Path) -> Serials {
        let mut warnings = Vec::new();
        let serials = Serials::recover(directory, Arc::new(StatusBoard::default()), &mut warnings);
        assert_eq!(warnings, []);
        serials
    }

    /// What the file says before the start, digest of the content at the start, serial then.
    #[test]
    fn the_serial_at_the_start_follows_the_table() {
        let last = |serial, digest| Some((Serial(serial), digest));
        let rows = [
            ("never seen", None, 1, NOW),
            ("clean, same content", last(42, Some(1)), 1, 42),
            ("clean, other content", last(42, Some(2)), 1, 43),
            ("not clean", last(42, None), 1, 43),
            ("clean, other content, at the wrap", last(u32::MAX, Some(2)), 1, 0),
            ("not clean, at the wrap", last(u32::MAX, None), 1, 0),
            ("a clock behind the serial changes nothing", last(NOW + 5, None), 1, NOW + 6),
        ];
        for (name, before, digest, expected) in rows {
            let mut book = Book::default();
            if let Some((reserved, digest)) = before {
                book.remember(Entry { apex: apex(), reserved, digest });
            }
            assert_eq!(book.start(&apex(), digest, NOW), Serial(expected), "{name}");
        }
    }

    #[test]
    fn a_reservation_is_written_once_in_a_thousand_changes() {
        for first in [NOW, u32::MAX - 1500] {
            let mut book = Book::default();
            book.start(&apex(), 1, first);
            let mut on_disk = book.reserve(&apex()).expect("a first reservation").reserved;
            let mut writes = 0;
            for step in 1..=3003 {
                let serial = book.advance(&apex()).expect("started");
                assert_eq!(serial, Serial(first.wrapping_add(step)));
                if let Some(entry) = book.reserve(&apex()) {
                    assert!(entry.reserved > on_disk);
                    on_disk = entry.reserved;
                    writes += 1;
                }
                assert!(serial <= on_disk, "{serial} was handed out before it was reserved up to {on_disk}");
            }
            assert_eq!(writes, 3);
        }
    }

    #[test]
    fn a_kill_never_brings_a_serial_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut highest = None;
        for run in 0..4 {
            let serials = open(directory.path());
            let mut serial = serials.serial_at_start(&apex(), 1, NOW);
            assert!(highest.is_none_or(|highest| serial > highest), "run {run}");
            for _ in 0..1500 {
                serial = serials.advance(&apex()).expect("started");
            }
            highest = Some(serial);
        }
    }

    #[test]
    fn a_clean_end_keeps_the_serial_of_unchanged_content() {
        let directory = tempfile::tempdir().expect("a directory");
        let serials = open(directory.path());
        serials.serial_at_start(&apex(), 1, NOW);
        serials.advance(&apex());
        serials.note_digest(&apex(), 2);
        serials.finish().expect("written");
        assert_eq!(open(directory.path()).serial_at_start(&apex(), 2, NOW + 99), Serial(NOW + 1));
        // That run did not end cleanly, so nothing is known about what it served.
        assert_eq!(open(directory.path()).serial_at_start(&apex(), 2, NOW + 99), Serial(NOW + 1002));
    }

    #[test]
    fn a_change_without_a_digest_counts_on_after_a_clean_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let serials = open(directory.path());
        serials.serial_at_start(&apex(), 1, NOW);
        serials.advance(&apex());
        serials.finish().expect("written");
        assert_eq!(open(directory.path()).serial_at_start(&apex(), 1, NOW), Serial(NOW + 2));
    }

    #[test]
    fn a_zone_that_is_away_for_a_run_keeps_its_serial() {
        let directory = tempfile::tempdir().expect("a directory");
        let serials = open(directory.path());
        serials.serial_at_start(&apex(), 1, NOW);
        serials.finish().expect("written");
        let serials = open(directory.path());
        serials.serial_at_start(&"other.example".parse().expect("a name"), 1, NOW);
        serials.finish().expect("written");
        assert_eq!(open(directory.path()).serial_at_start(&apex(), 1, NOW + 5), Serial(NOW));
    }

    #[test]
    fn a_failing_disk_hands_serials_out_and_says_so() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("state");
        // A file stands where the directory should be.
        fs::write(&directory, "").expect("written");
        let status = Arc::new(StatusBoard::default());
        let serials = Serials::recover(&directory, status.clone(), &mut Vec::new());
        assert_eq!(serials.serial_at_start(&apex(), 1, NOW), Serial(NOW));
        assert_eq!(serials.advance(&apex()), Some(Serial(NOW + 1)));
        assert_eq!(status.problems().len(), 1);
        fs::remove_file(&directory).expect("removed");
        assert_eq!(serials.advance(&apex()), Some(Serial(NOW + 2)));
        assert!(status.problems().is_empty());
        assert_eq!(open(&directory).serial_at_start(&apex(), 1, NOW), Serial(NOW + 1003));
    }

    #[test]
    fn an_unknown_zone_has_no_serial() {
        let serials = Serials::in_memory();
        assert_eq!(serials.advance(&apex()), None);
        assert_eq!(serials.serial_at_start(&apex(), 1, NOW), Serial(NOW));
        assert_eq!(serials.serial_at_start(&apex(), 2, NOW + 9), Serial(NOW), "it is served already");
        assert_eq!(serials.current(&apex()), Some(Serial(NOW)));
    }
}
