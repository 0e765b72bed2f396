//! Master files: read from disk, with what they include.
//!
//! An error in a file that was read before leaves its zone as it was: the whole zone of before is better than a new one
//! with something left out.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mcdns_core::{
    check::{Finding, FindingCode, Severity, zone},
    dns::{OwnerName, master},
    records::StaticZone,
};

/// How often master files are looked at for changes; SIGHUP has all of them read at once.
const LOOK: Duration = Duration::from_secs(1);

/// Master files of the zones of settings, each as it was last read without an error.
#[derive(Debug, Default)]
pub(super) struct ZoneFiles(BTreeMap<(OwnerName, PathBuf), ZoneFile>);

#[derive(Debug, Default)]
struct ZoneFile {
    zone: Option<Arc<StaticZone>>,
    findings: Vec<Finding>,
}

impl ZoneFiles {
    /// Reads these files of zones again, and forgets all others. With `changed` only those, and what was never read.
    pub(super) fn read<'s>(
        &mut self,
        files: impl IntoIterator<Item = (&'s OwnerName, &'s Path)>,
        changed: Option<&[PathBuf]>,
    ) {
        let mut before = std::mem::take(&mut self.0);
        for (apex, path) in files {
            let key = (apex.clone(), path.to_owned());
            let mut file = before.remove(&key).unwrap_or_default();
            let is_due = changed.is_none_or(|changed| changed.iter().any(|one| one == path));
            if is_due || file.zone.is_none() {
                file.renew(path, apex);
            }
            self.0.insert(key, file);
        }
    }

    /// What the file of a zone holds.
    pub(super) fn zone(&self, apex: &OwnerName, path: &Path) -> Option<&Arc<StaticZone>> {
        self.0.get(&(apex.clone(), path.to_owned()))?.zone.as_ref()
    }

    /// What is wrong with the files as they are now.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.0.values().flat_map(|file| &file.findings)
    }
}

impl ZoneFile {
    fn renew(&mut self, path: &Path, apex: &OwnerName) {
        let (contents, findings) = read(path, Some(apex));
        let is_wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
        self.findings = findings;
        if let Some(contents) = contents.filter(|_| !is_wrong || self.zone.is_none()) {
            self.zone = Some(Arc::new(static_zone(contents)));
        }
    }
}

/// What tells a file from its next version: inode, length, time of its last change.
type Stamp = (u64, u64, Option<SystemTime>);

/// Master files that are looked at for changes. What they include is not: SIGHUP reads that again.
///
/// A changed file is read once it has stood still from one look to the next, since somebody may still be writing it: a
/// zone that is cut off in the middle may well be a zone.
#[derive(Debug)]
pub(super) struct Watched {
    stamps: BTreeMap<PathBuf, Stamps>,
    /// A point in time and not a pause, so that other work in between does not put it off.
    next_look: Instant,
}

/// The version of a file that was read, and one that may still be written.
#[derive(Debug, Default)]
struct Stamps {
    read: Option<Stamp>,
    pending: Option<Stamp>,
}

impl Watched {
    /// Watches these from now on.
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamped = paths.into_iter().map(|path| {
            let stamps = Stamps { read: stamp(&path), pending: None };
            (path, stamps)
        });
        Self { stamps: stamped.collect(), next_look: Instant::now() + LOOK }
    }

    /// How long until the files should be looked at; none if there are none.
    pub(super) fn until_look(&self) -> Option<Duration> {
        (!self.stamps.is_empty()).then(|| self.next_look.saturating_duration_since(Instant::now()))
    }

    /// The files that changed and then stood still since the last call, or all that are there. One that vanished has
    /// not changed: what it held stays.
    pub(super) fn changed(&mut self, all: bool) -> Vec<PathBuf> {
        self.next_look = Instant::now() + LOOK;
        let mut changed = Vec::new();
        for (path, stamps) in &mut self.stamps {
            let now = stamp(path);
            if now.is_some() && (all || now != stamps.read && now == stamps.pending) {
                *stamps = Stamps { read: now, pending: None };
                changed.push(path.clone());
            } else {
                stamps.pending = now;
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
}

/// Reads the zone in a master file. Without `apex` it is the owner of the SOA. None, with findings, where there
/// is nothing to serve.
pub(super) fn read(path: &Path, apex: Option<&OwnerName>) -> (Option<zone::ZoneContents>, Vec<Finding>) {
    let file: Arc<str> = path.display().to_string().into();
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) => {
            let finding = Finding::new(FindingCode::Unreadable, format!("the master file cannot be read: {error}"));
            return (None, vec![finding.at(&file, 0, 0)]);
        }
    };
    let origin = apex.cloned().unwrap_or_else(|| master::origin_of_file(&file));
    let (records, mut findings) = master::read(&text(&octets), &file, &origin, &mut include);
    // As large as the records that came of it, which are worked on from here.
    drop(octets);
    let apex = apex.cloned().or_else(|| zone::apex_of(&records));
    let Some(apex) = apex else {
        let finding = Finding::new(FindingCode::ZoneSoa, "there is no SOA, so this is no zone");
        findings.push(finding.at(&file, 0, 0).help("begin with an SOA record at the name of the zone"));
        return (None, findings);
    };
    let (contents, more) = zone::assemble(&apex, records);
    findings.extend(more);
    findings.sort();
    (contents, findings)
}

/// The same as what a zone holds before everything else.
fn static_zone(contents: zone::ZoneContents) -> StaticZone {
    let names = contents.names().map(|(owner, entry)| (owner, entry.rrsets));
    StaticZone { names: names.collect(), soa: contents.soa }
}

/// A file that another one includes: relative to the folder of that one.
fn include(name: &str, from: &Arc<str>) -> Result<master::Included, String> {
    let path = Path::new(name);
    let beside = Path::new(&**from).parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(path));
    let path = if path.is_absolute() { path.to_owned() } else { beside };
    let octets = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(master::Included { file: path.display().to_string().into(), text: text(&octets).into_owned() })
}

/// The text of a master file. Octets that are no UTF-8 are written as `\DDD` (RFC 1035 section 5.1), which stands for
/// the octet itself.
fn text(octets: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(octets) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(octets.len() + octets.len() / 8);
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        for octet in chunk.invalid() {
            // Escaped already, as one may escape any octet: the backslash must not escape ours.
            let backslashes = text.bytes().rev().take_while(|&before| before == b'\\').count();
            if backslashes % 2 == 1 {
                text.pop();
            }
            let _ = write!(text, "\\{octet:03}");
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_that_are_no_utf_8_stand_for_themselves() {
        assert_eq!(text("caf\u{e9} \\".as_bytes()), "caf\u{e9} \\");
        assert_eq!(text(b"caf\xe9 \xff\xfe"), r"caf\233 \255\254");
        assert_eq!(text(br"a\\").to_string() + &text(b"\xe9"), r"a\\\233");
        assert_eq!(text(b"\\\xe9 \\\\\xe9"), r"\233 \\\233", "an escaped octet, and one behind a backslash");
    }

    #[test]
    fn an_error_in_a_file_leaves_its_zone_as_it_was_and_others_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let zones = ["a.example", "b.example"].map(|apex| OwnerName::parse(apex).expect("a name"));
        let files = ["a", "b"].map(|name| folder.path().join(name));
        let soa = "@ 60 SOA ns host 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n";
        let write = |file: usize, more: &str| fs::write(&files[file], format!("{soa}{more}")).expect("written");
        let both = || zones.iter().zip(files.iter().map(PathBuf::as_path));
        write(0, "www 60 A 192.0.2.2\n");
        write(1, "");
        let mut known = ZoneFiles::default();
        known.read(both(), None);
        let names =
            |known: &ZoneFiles, zone: usize| known.zone(&zones[zone], &files[zone]).expect("a zone").names.len();
        assert_eq!((names(&known, 0), names(&known, 1), known.findings().count()), (3, 2, 0));
        write(0, "www 60 A 192.0.2.\n");
        write(1, "new 60 A 192.0.2.3\n");
        known.read(both(), Some(&files[..1]));
        assert_eq!((names(&known, 0), names(&known, 1)), (3, 2), "the second was not asked for");
        assert!(known.findings().count() > 0);
        known.read(both(), None);
        assert_eq!((names(&known, 0), names(&known, 1)), (3, 3));
        fs::remove_file(&files[0]).expect("removed");
        known.read(both(), None);
        assert_eq!(names(&known, 0), 3);
        write(0, "");
        known.read(both(), Some(&files[..1]));
        assert_eq!((names(&known, 0), known.findings().count()), (2, 0));
        known.read(both().skip(1), None);
        assert!(known.zone(&zones[0], &files[0]).is_none(), "no setting names it any more");
    }

    #[test]
    fn a_changed_file_is_read_once_it_has_stood_still_for_one_look() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("zone");
        fs::write(&file, "one").expect("written");
        let mut watched = Watched::new([file.clone()]);
        assert!(watched.changed(false).is_empty());
        fs::write(&file, "one and a part").expect("written");
        assert!(watched.changed(false).is_empty(), "it may still be written");
        fs::write(&file, "one and a part of two").expect("written");
        assert!(watched.changed(false).is_empty());
        assert_eq!(watched.changed(false), std::slice::from_ref(&file));
        assert!(watched.changed(false).is_empty());
        fs::remove_file(&file).expect("removed");
        assert!(watched.changed(false).is_empty() && watched.changed(true).is_empty(), "what it held stays");
        fs::write(&file, "three").expect("written");
        assert_eq!(watched.changed(true), [file]);
    }
}
