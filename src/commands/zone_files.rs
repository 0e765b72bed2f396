//! Master files: read from disk, with what they include.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mcdns_core::{
    check::{Finding, FindingCode, zone},
    dns::{OwnerName, master},
    records::StaticZone,
};

/// How often master files are looked at for changes; SIGHUP has all of them read at once.
const LOOK: Duration = Duration::from_secs(1);

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
    let (records, mut findings) = master::read(&String::from_utf8_lossy(&octets), &file, &origin, &mut include);
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
pub(super) fn static_zone(contents: zone::ZoneContents) -> StaticZone {
    let names = contents.names().map(|(owner, entry)| (owner, entry.rrsets));
    StaticZone { names: names.collect(), soa: contents.soa }
}

/// A file that another one includes: relative to the folder of that one.
fn include(name: &str, from: &Arc<str>) -> Result<master::Included, String> {
    let path = Path::new(name);
    let beside = Path::new(&**from).parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(path));
    let path = if path.is_absolute() { path.to_owned() } else { beside };
    let octets = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    Ok(master::Included { file: path.display().to_string().into(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

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
