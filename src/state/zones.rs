//! Copies of zones as they were last served, so that what changed in a master file while the program was down is known as a
//! difference (RFC 1995) at the next start.
//!
//! ```text
//!   ; mcdns-zone 1 2026112101 0f3c…      version, serial, digest
//!   example.com. 3600 IN SOA …           a master file
//! ```
//!
//! A copy is a master file and not lines of JSON: nothing else is read as fast, and a zone may have a million names. The
//! digest tells whether all of it is there: a copy with damage anywhere is none. A copy is written beside the one before
//! and takes its place when it is whole. That of a zone which is no longer served stays, for the day that it is again.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use mcdns_core::{
    answer::{AuthoritativeZone, Snapshot, Zone},
    check::zone,
    dns::{OwnerName, Serial, master},
    records::zone_digest,
};

use crate::{
    StateWarning,
    lines::{self, Refusal},
};

/// How the first line begins, up to the serial.
const HEADER: &str = "; mcdns-zone 1 ";
/// Octets of a first line: the above, a serial, a digest.
const HEADER_OCTETS: u64 = 80;
/// Longest name of a file made of the name of a zone: 255 octets are allowed, less the ending while it is written.
const LONGEST_NAME: usize = 240;

/// Where the copy of a zone is.
pub(crate) fn path(directory: &Path, apex: &OwnerName) -> PathBuf {
    let mut name = "zone-".to_owned();
    for letter in apex.to_string().chars() {
        // Whatever an octet of a label is written as, it names no other folder and no file of ours.
        match letter {
            'a'..='z' | '0'..='9' | '-' | '_' | '.' => name.push(letter),
            other => name.extend(other.to_string().bytes().map(|octet| format!("%{octet:02x}"))),
        }
    }
    if name.len() > LONGEST_NAME {
        // Two that share it take each other's place; each is told from the other by its apex.
        let hash = crc32fast::hash(apex.as_wire());
        name.truncate(LONGEST_NAME - 9);
        name.extend(format!("~{hash:08x}").chars());
    }
    directory.join(name)
}

/// Writes the copy; the one before stays until this is whole.
pub(crate) fn write(path: &Path, zone: &AuthoritativeZone, digest: u128) -> io::Result<()> {
    let beside = lines::with_ending(path, ".new");
    let mut out = Text { out: BufWriter::with_capacity(256 << 10, lines::create(&beside)?), error: None };
    if write_text(&mut out, zone, digest).is_err() {
        return Err(out.error.unwrap_or_else(|| io::ErrorKind::InvalidData.into()));
    }
    out.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), lines::sync_directory)
}

fn write_text(out: &mut impl fmt::Write, zone: &AuthoritativeZone, digest: u128) -> fmt::Result {
    writeln!(out, "{HEADER}{} {digest:032x}", zone.soa().serial)?;
    master::write(out, zone.soa(), zone.apex(), std::iter::empty())?;
    for (owner, entry) in zone.entries() {
        for rrset in &entry.rrsets {
            for data in rrset.data() {
                master::write_record(out, &owner, rrset.ttl, rrset.record_type, data)?;
            }
        }
    }
    Ok(())
}

/// Serial and digest in the first line.
pub(crate) fn mark(path: &Path) -> Option<(Serial, u128)> {
    let mut first = String::new();
    let file = BufReader::new(File::open(path).ok()?);
    io::Read::take(file, HEADER_OCTETS).read_line(&mut first).ok()?;
    parse_mark(&first)
}

fn parse_mark(line: &str) -> Option<(Serial, u128)> {
    let (serial, digest) = line.strip_prefix(HEADER)?.trim_end().split_once(' ')?;
    Some((Serial(serial.parse().ok()?), u128::from_str_radix(digest, 16).ok()?))
}

/// Reads the copy. One that cannot be used is set aside.
pub(crate) fn read(
    path: &Path,
    apex: &OwnerName,
    warnings: &mut Vec<StateWarning>,
) -> Option<(Arc<AuthoritativeZone>, u128)> {
    match read_whole(path, apex) {
        Ok(read) => read,
        Err(refusal) => {
            warnings.push(lines::set_aside(path, &refusal));
            None
        }
    }
}

fn read_whole(path: &Path, apex: &OwnerName) -> Result<Option<(Arc<AuthoritativeZone>, u128)>, Refusal> {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let refusal = |reason: &str| Refusal::Header(format!("the copy of the zone {reason}"));
    let text = String::from_utf8(octets).map_err(|_| refusal("is no text"))?;
    let first = text.lines().next().unwrap_or_default();
    let (serial, digest) = parse_mark(first).ok_or_else(|| refusal("does not begin as one"))?;
    let name: Arc<str> = path.display().to_string().into();
    let (records, _) = master::read(&text, &name, apex, &mut master::refuse_includes);
    drop(text);
    let zone = zone::assemble(apex, records).0.and_then(|contents| Snapshot::default().with_zone(&contents).ok());
    let zone = zone.as_ref().and_then(|snapshot| snapshot.zone(apex)).and_then(Zone::authoritative).map(Arc::clone);
    match zone {
        Some(zone) if zone.soa().serial == serial && zone_digest(&zone) == digest => Ok(Some((zone, digest))),
        _ => Err(refusal("is damaged")),
    }
}

/// Takes text for a file, and keeps the error that `fmt` has no room for.
struct Text<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Area, HistoryLimits, StateDirectory};

    fn zone(apex: &str, records: &str) -> Arc<AuthoritativeZone> {
        let apex = OwnerName::parse(apex).expect("a name");
        let text = format!("@ 60 IN SOA ns1 hostmaster 7 3600 600 604800 30\n@ 60 IN NS ns1\n{records}");
        let (records, _) = master::read(&text, &"zone".into(), &apex, &mut master::refuse_includes);
        let contents = zone::assemble(&apex, records).0.expect("a zone");
        let snapshot = Snapshot::default().with_zone(&contents).expect("a snapshot");
        let Some(Zone::Authoritative(zone)) = snapshot.zone(&apex) else { panic!("no zone") };
        Arc::clone(zone)
    }

    fn state(directory: &Path) -> StateDirectory {
        StateDirectory::open(directory, HistoryLimits::default()).expect("opened").0
    }

    const RECORDS: &str = "ns1 60 IN A 192.0.2.1\n*.w 60 IN TXT \"a\\\"b;\\200\" \"\"\nd 60 IN NS x.d\nx.d 5 IN AAAA ::1\n\
        u 60 IN TYPE65280 \\# 3 0a0b0c\n\\@\\;\\000 60 IN MX 5 .\n";

    #[test]
    fn a_copy_is_the_zone() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = state(folder.path());
        for apex in ["example.com", ".", "a\\/b.example"] {
            let zone = zone(apex, RECORDS);
            let digest = zone_digest(&zone);
            assert_eq!(state.zone_mark(zone.apex()), None);
            assert!(state.write_zone(&zone, digest));
            assert_eq!(state.zone_mark(zone.apex()), Some((Serial(7), digest)));
            let mut warnings = Vec::new();
            let (copy, copied) = state.read_zone(zone.apex(), &mut warnings).expect("a copy");
            assert_eq!((zone_digest(&copy), copied, warnings.len()), (digest, digest, 0));
            assert_eq!((copy.soa(), copy.node_count()), (zone.soa(), zone.node_count()));
        }
        assert!(folder.path().join("zone-example.com").is_file());
        assert!(folder.path().join("zone-a%2fb.example").is_file());
    }

    #[test]
    fn damage_anywhere_is_noticed_and_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = state(folder.path());
        let zone = zone("example.com", RECORDS);
        let path = folder.path().join("zone-example.com");
        assert!(state.write_zone(&zone, zone_digest(&zone)));
        let whole = fs::read(&path).expect("read");
        let cut = whole.len() / 2;
        let changed = String::from_utf8(whole.clone()).expect("text").replace("192.0.2.1", "192.0.2.2").into_bytes();
        let cases = [changed, whole[..cut].to_vec(), Vec::new(), b"\xff\xfe".to_vec(), whole[HEADER.len()..].to_vec()];
        for (number, damaged) in cases.into_iter().enumerate() {
            fs::write(&path, damaged).expect("written");
            let mut warnings = Vec::new();
            assert!(state.read_zone(zone.apex(), &mut warnings).is_none(), "{number}");
            assert!(warnings[0].reason.contains("set aside as"), "{number}: {warnings:?}");
            assert!(!path.exists(), "{number}");
        }
    }

    #[test]
    fn a_copy_that_cannot_be_written_is_a_problem_until_it_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = state(folder.path());
        let zone = zone("example.com", RECORDS);
        let obstacle = folder.path().join("zone-example.com.new");
        fs::create_dir(&obstacle).expect("a folder");
        assert!(!state.write_zone(&zone, 1));
        let areas = |state: &StateDirectory| {
            state.status().problems.iter().map(|problem| problem.area).filter(|area| *area == Area::Zones).count()
        };
        assert_eq!(areas(&state), 1);
        fs::remove_dir(&obstacle).expect("removed");
        assert!(state.write_zone(&zone, 1));
        assert_eq!(areas(&state), 0);
    }

    #[test]
    fn a_long_name_still_names_a_file() {
        let longest = ["\\200".repeat(63).as_str(); 3].join(".");
        let name = path(Path::new("."), &OwnerName::parse(&longest).expect("a name"));
        assert!(name.file_name().expect("a name").len() <= LONGEST_NAME);
    }
}
