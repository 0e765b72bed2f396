//! Fuzz target of the state directory: files that are damaged in any way cost what is damaged, and nothing else.
//!
//! What must be known afterwards is told by a model: a line counts if it stands, whole and as it was written, in a
//! file that begins as it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bolero::{check, produce};
use mcdns_core::{
    answer::{Soa, ZoneDifference},
    dns::{OwnerName, RecordType, Rrset, Serial},
    model::{Fact, HostAddressesFact, Object, ObjectKey, Observation, Timestamp},
};
use mcdns_state::{Change, HistoryLimits, Published, StateDirectory};
use serde::Deserialize;

/// More than anything takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);
/// Files of observations, in the order in which they are read.
const OBSERVATIONS: [&str; 3] = ["observations.checkpoint", "observations.journal-old", "observations.journal"];
const HISTORY: &str = "history-00000001";
const DIFFERENCES: &str = "differences-00000001";
const SERIALS: &str = "serials";
/// Unix time of the first start, and of the one after the damage.
const FIRST: u32 = 1_700_000_000;
const LATER: u32 = 1_800_000_000;

/// A line of the files of observations.
#[derive(Deserialize)]
enum Line {
    #[serde(rename = "object")]
    Object(ObjectKey, Option<Box<Object>>),
    #[serde(rename = "note")]
    Note(String, serde_json::Value),
}

type Files = BTreeMap<String, Vec<u8>>;
/// File, kind, place, length and octet of one damage.
type Damage = (u8, u8, u32, u16, u8);

#[test]
fn damaged_files_cost_what_is_damaged_alone() {
    let (whole, served) = write_all();
    let directory = directory();
    let path = directory.path().join("state");
    let damages = produce::<Vec<Damage>>().with().len(0..5_usize);
    check!().with_iterations(60).with_generator(damages).for_each(|damages| {
        let mut files = whole.clone();
        for damage in damages {
            apply(&mut files, *damage);
        }
        fs::remove_dir_all(&path).ok();
        fs::create_dir(&path).expect("created");
        for (name, content) in &files {
            fs::write(path.join(name), content).expect("written");
        }
        let (state, recovered, warnings) = StateDirectory::open(&path, HistoryLimits::default()).expect("it opens");
        let lines = |name: &str| undamaged(&whole[name], files.get(name).map_or(&[][..], Vec::as_slice));

        let (mut objects, mut notes) = (BTreeMap::new(), BTreeMap::new());
        for line in OBSERVATIONS.iter().flat_map(|name| lines(name)) {
            match read(line) {
                Line::Object(key, Some(object)) => drop(objects.insert(key, Arc::from(object))),
                Line::Object(key, None) => drop(objects.remove(&key)),
                Line::Note(key, serde_json::Value::Null) => drop(notes.remove(&key)),
                Line::Note(key, value) => drop(notes.insert(key, value)),
            }
        }
        assert_eq!(recovered.objects, objects.into_iter().collect::<Vec<_>>());
        assert_eq!(recovered.notes, notes);

        let changes: Vec<Change> = lines(HISTORY).into_iter().map(read).collect();
        let known: Vec<Change> =
            recovered.history.latest(usize::MAX).iter().rev().map(|change| (**change).clone()).collect();
        assert_eq!(known, changes);

        let mut chain: Vec<Published> = Vec::new();
        for published in lines(DIFFERENCES).into_iter().map(read::<Published>) {
            let follows = |last: &Published| last.difference.to.serial == published.difference.from.serial;
            if published.begins || !chain.last().is_some_and(follows) {
                chain.clear();
            }
            chain.push(published);
        }
        let known = recovered.differences.get(&apex()).cloned().unwrap_or_default();
        assert_eq!(known.differences, chain.iter().map(|published| published.difference.clone()).collect::<Vec<_>>());
        assert_eq!(known.digest, chain.last().map_or(0, |last| last.digest));

        // Never backwards, whatever is lost.
        let serial = recovered.serials.serial_at_start(&apex(), 7, LATER);
        assert!(serial >= served, "{serial} after {served}");

        // Damage is told; lines that go or come whole could have been so.
        let is_sound = |(name, content): (&String, &Vec<u8>)| {
            let count = content.split_inclusive(|octet| *octet == b'\n').count();
            content.is_empty() || undamaged(&whole[name], content).len() + 1 == count
        };
        assert!(!warnings.is_empty() || files.iter().all(is_sound), "damage that nobody is told of");

        // And it goes on: what is recorded now is there next time.
        let key = ObjectKey::host_addresses("later");
        state.record_observations(&[observation("later", Some(1))]);
        state.shutdown().expect("a clean end");
        let (_state, again, _) = StateDirectory::open(&path, HistoryLimits::default()).expect("it opens");
        let mut expected: BTreeMap<_, _> = recovered.objects.into_iter().collect();
        expected.extend(observation("later", Some(1)).object.map(|object| (key, object)));
        assert_eq!(again.objects, expected.into_iter().collect::<Vec<_>>());
    });
}

/// A new directory, in memory where there is one for that: what is tried here is no disk, and disks are slow.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// All files of a directory that was used three times, and the serial that was served last.
fn write_all() -> (Files, Serial) {
    let directory = directory();
    let path = directory.path();
    let mut served = Serial(0);
    for (run, name) in (0_u16..).zip(OBSERVATIONS) {
        let (state, recovered, warnings) = StateDirectory::open(path, HistoryLimits::default()).expect("it opens");
        assert_eq!(warnings, []);
        for number in 0..6 {
            let content = Some(run * 10 + number).filter(|_| number != run);
            state.record_observations(&[observation(&format!("object-{number}"), content)]);
            state.record_note(&format!("note-{}", number % 4), serde_json::json!({"run": run, "number": number}));
            recovered.history.record(change(u64::from(run * 10 + number)));
            state.record_difference(published(u32::from(run * 6 + number)));
            // One line each, as they come in time.
            state.flush(LONG).expect("flushed");
        }
        state.record_note("note-0", serde_json::Value::Null);
        recovered.serials.serial_at_start(&apex(), 7, FIRST);
        served = recovered.serials.advance(&apex()).expect("a serial");
        recovered.serials.note_digest(&apex(), 7);
        state.shutdown().expect("a clean end");
        drop(state);
        // The form of all three is one.
        fs::rename(path.join(OBSERVATIONS[2]), path.join(name)).expect("renamed");
        if run < 2 {
            let kept = path.join(format!("kept-{name}"));
            fs::rename(path.join(name), kept).expect("renamed");
        }
    }
    for name in &OBSERVATIONS[..2] {
        fs::rename(path.join(format!("kept-{name}")), path.join(name)).expect("renamed");
    }
    let names = [&OBSERVATIONS[..], &[HISTORY, DIFFERENCES, SERIALS]].concat();
    (names.iter().map(|name| ((*name).to_owned(), content(path, name))).collect(), served)
}

fn content(path: &Path, name: &str) -> Vec<u8> {
    let content = fs::read(path.join(name)).expect(name);
    assert!(content.split(|octet| *octet == b'\n').count() > 2, "{name} has something in it");
    content
}

fn apply(files: &mut Files, (file, kind, at, length, octet): Damage) {
    let index = usize::from(file) % files.len();
    let Some(content) = files.values_mut().nth(index) else { return };
    if content.is_empty() {
        return;
    }
    let at = at as usize % content.len();
    let end = (at + usize::from(length) % 300).min(content.len());
    match kind % 9 {
        0 => content[at] = octet,
        1 => content[at] ^= 1 << (octet % 8),
        2 => content.truncate(at),
        3 => drop(content.drain(at..end)),
        4 => content[at..end].fill(0),
        5 => content.insert(at, octet),
        // A piece that stands somewhere else as well.
        6 => {
            let piece = content[at..end].to_vec();
            content.extend(piece);
        }
        // A line that stands somewhere else as well.
        7 => {
            let lines: Vec<&[u8]> = content.split_inclusive(|octet| *octet == b'\n').collect();
            let line = lines[at % lines.len()].to_vec();
            content.extend(line);
        }
        _ => content.extend([octet, b'\n', b'{', octet]),
    }
}

/// The lines that are in the file as they were written, if it begins as it did.
fn undamaged<'f>(whole: &'f [u8], damaged: &'f [u8]) -> Vec<&'f [u8]> {
    let split = |content| <[u8]>::split_inclusive(content, |octet: &u8| *octet == b'\n');
    let written: BTreeSet<&[u8]> = split(whole).skip(1).collect();
    let mut lines = split(damaged);
    if lines.next() != split(whole).next() {
        return Vec::new();
    }
    lines.filter(|line| written.contains(line)).collect()
}

/// What a line says behind its checksum.
fn read<'l, T: Deserialize<'l>>(line: &'l [u8]) -> T {
    serde_json::from_slice(&line[9..]).expect("a line that was written")
}

fn apex() -> OwnerName {
    "example.com".parse().expect("a name")
}

fn observation(name: &str, content: Option<u16>) -> Observation {
    let fact =
        |content: u16| Fact::HostAddresses(HostAddressesFact { addresses: Vec::new(), ttl: Some(content.into()) });
    let object = content.map(|content| Arc::new(Object::new(fact(content))));
    Observation { key: ObjectKey::host_addresses(name), object }
}

fn change(generation: u64) -> Change {
    let owner = "www.example.com".parse().expect("a name");
    let before = vec![address(1)];
    let reason = format!("number {generation}");
    Change { at: Timestamp(1_700_000_000_000), generation, apex: apex(), owner, before, after: Vec::new(), reason }
}

fn published(serial: u32) -> Published {
    let name = |text: &str| text.parse::<OwnerName>().expect("a name");
    let soa = |serial: u32| Soa {
        primary: name("ns1.example.com"),
        contact: name("hostmaster.example.com"),
        serial: Serial(serial),
        refresh: 1,
        retry: 1,
        expire: 1,
        negative_ttl: 1,
        ttl: 1,
    };
    let added = vec![(name("www.example.com"), address(2))];
    let (from, to) = (soa(serial), soa(serial + 1));
    let difference = Arc::new(ZoneDifference { apex: apex(), from, to, removed: Vec::new(), added });
    Published { difference, digest: u128::from(serial) << 70, begins: serial.is_multiple_of(7) }
}

fn address(last: u8) -> Rrset {
    Rrset::new(RecordType::A, 180, vec![Box::new([192, 0, 2, last])])
}
