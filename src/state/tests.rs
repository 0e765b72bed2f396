//! The state directory as a whole: restarts, damage, failing disks, checkpoints.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    time::Instant,
};

use mcdns_core::model::{
    ClusterName, Endpoint, EndpointsFact, Fact, HostAddressesFact, Kind, LoadBalancerItem, NodeFact, Scope,
};
use proptest::prelude::*;

use super::*;
use crate::observations::{CHECKPOINT, JOURNAL, OLD_JOURNAL};

/// More than any of these takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

type State = BTreeMap<ObjectKey, Arc<Object>>;

fn open(path: &Path) -> (StateDirectory, Recovered, Vec<StateWarning>) {
    StateDirectory::open(path, HistoryLimits::default()).expect("the directory opens")
}

/// An object of one of several kinds; `content` makes its versions differ.
fn observation(number: u8, content: Option<u16>) -> Observation {
    let cluster: ClusterName = format!("cluster{}", number % 3).into();
    let name = format!("object-{number}");
    let key = match number % 4 {
        0 => ObjectKey::member(&cluster, Kind::Service, "shop", &name),
        1 => ObjectKey::member(&cluster, Kind::EndpointSlice, "shop", &name),
        2 => ObjectKey::member(&cluster, Kind::Node, "", &name),
        _ => ObjectKey::host_addresses(&name),
    };
    let fact = |content: u16| match number % 4 {
        0 => Fact::LoadBalancer(vec![LoadBalancerItem { ip: None, hostname: Some(format!("h{content}").into()) }]),
        1 => Fact::Endpoints(EndpointsFact {
            service: "web".into(),
            endpoints: vec![Endpoint { address: Some([10, 0, 0, 1].into()), ready: true }; usize::from(content % 5)]
                .into(),
        }),
        2 => Fact::Node(NodeFact { region: Some(format!("region\n{content}").into()), availability_zone: None }),
        _ => Fact::HostAddresses(HostAddressesFact { addresses: Vec::new(), ttl: Some(content.into()) }),
    };
    Observation { key, object: content.map(|content| Arc::new(Object::new(fact(content)))) }
}

fn apply(state: &mut State, observations: &[Observation]) {
    for Observation { key, object } in observations {
        match object {
            Some(object) => state.insert(key.clone(), object.clone()),
            None => state.remove(key),
        };
    }
}

/// Waits for something that another thread does.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        thread::yield_now();
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_recorded_is_known_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let mut expected = State::new();
    for run in 0..3_u16 {
        let (state, recovered, warnings) = open(&path);
        assert_eq!(warnings, []);
        assert_eq!(recovered.objects.into_iter().collect::<State>(), expected);
        let observations: Vec<_> =
            (0..20).map(|number| observation(number, (u16::from(number) % 3 != run).then_some(run))).collect();
        apply(&mut expected, &observations);
        state.record_observations(&observations);
        state.record_note("unready-since/east", serde_json::json!(run));
        state.record_note(&format!("gone-{run}"), serde_json::json!({"a": 1}));
        state.record_note(&format!("gone-{run}"), serde_json::Value::Null);
        assert_eq!(recovered.notes.get("unready-since/east"), (run > 0).then(|| serde_json::json!(run - 1)).as_ref());
        assert!(recovered.notes.len() <= 1);
        state.flush(LONG).expect("flushed");
        // What a kill leaves behind is what is on disk now.
        let copy = directory.path().join(format!("copy-{run}"));
        fs::create_dir(&copy).expect("created");
        for name in [JOURNAL, "serials"] {
            if path.join(name).exists() {
                fs::copy(path.join(name), copy.join(name)).expect("copied");
            }
        }
        assert_eq!(open(&copy).1.objects.into_iter().collect::<State>(), expected);
    }
}

#[test]
fn what_is_recorded_reaches_the_disk_without_being_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, ..) = open(directory.path());
    state.record_observations(&[observation(1, Some(1))]);
    wait_for("writing", || state.status().written_at.is_some());
    assert_eq!(state.status().waiting, 0);
    assert!(state.status().is_healthy());
}

#[test]
fn the_directory_is_private_and_has_one_user() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/state");
    let (state, ..) = open(&path);
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.join("lock")).expect("metadata").permissions().mode() & 0o777, 0o600);
    let error = StateDirectory::open(&path, HistoryLimits::default()).expect_err("locked");
    assert!(error.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
    state.shutdown().expect("a clean end");
    open(&path);
}

#[test]
fn a_path_that_is_no_directory_is_refused_with_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    fs::write(&path, "").expect("written");
    let error = StateDirectory::open(&path, HistoryLimits::default()).expect_err("no directory");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn serials_and_history_survive_a_clean_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let apex = "example.com".parse().expect("a name");
    let (state, recovered, _) = open(directory.path());
    let first = recovered.serials.serial_at_start(&apex, 7, 1_700_000_000);
    recovered.history.record(history::tests::change("a.example.com", 3));
    state.shutdown().expect("a clean end");
    // What is recorded after the end goes nowhere, and waits nowhere.
    state.record_observations(&[observation(0, Some(1))]);
    assert_eq!(state.status().waiting, 0);
    state.shutdown().expect("nothing to do");
    let (_state, recovered, _) = open(directory.path());
    assert_eq!(recovered.serials.serial_at_start(&apex, 7, 1_800_000_000), first);
    assert_eq!(recovered.history.latest(9), [Arc::new(history::tests::change("a.example.com", 3))]);
}

#[test]
fn damage_at_any_octet_costs_a_part_and_never_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, ..) = open(directory.path());
    let first: Vec<_> = (0..4).map(|number| observation(number, Some(1))).collect();
    let second: Vec<_> = (0..2).map(|number| observation(number, Some(2))).collect();
    for observations in [&first, &second] {
        state.record_observations(observations);
        state.flush(LONG).expect("flushed");
    }
    drop(state);
    let content = fs::read(directory.path().join(JOURNAL)).expect("read");
    let mut possible: Vec<Observation> = first;
    possible.extend(second);
    let copy = directory.path().join("copy");
    for at in 0..content.len() {
        let flipped = [0x01, 0x20].map(|bit| {
            let mut damaged = content.clone();
            damaged[at] ^= bit;
            damaged
        });
        for damaged in flipped.into_iter().chain([content[..at].to_vec()]) {
            let _ = fs::remove_dir_all(&copy);
            fs::create_dir(&copy).expect("created");
            fs::write(copy.join(JOURNAL), &damaged).expect("written");
            let mut warnings = Vec::new();
            let (mut files, known) = ObservationFiles::recover(&copy, &mut warnings);
            for (key, object) in &known.objects {
                let known = possible.iter().any(|seen| seen.key == *key && seen.object.as_ref() == Some(object));
                assert!(known, "{key} was never so, at {at}");
            }
            // A file that ends with a line could have been written so; anything else that is lost is reported.
            let plain_prefix = content.starts_with(&damaged) && damaged.last().is_none_or(|last| *last == b'\n');
            assert!(known.objects.len() == 4 || !warnings.is_empty() || plain_prefix, "at {at}");
            files.prepare().expect("goes on");
            let mut line = Vec::new();
            observations::push_observation(&mut line, &possible[0].key, None).expect("serialised");
            files.append(&line).expect("appended");
            let (_, again) = ObservationFiles::recover(&copy, &mut Vec::new());
            let expected: Vec<_> = known.objects.into_iter().filter(|(key, _)| *key != possible[0].key).collect();
            assert_eq!(again.objects, expected, "at {at}");
        }
    }
}

#[test]
fn a_file_of_a_newer_version_is_set_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let header = lines::Format { name: "mcdns-observations", version: 2 }.header();
    fs::write(directory.path().join(CHECKPOINT), &header).expect("written");
    fs::write(directory.path().join(JOURNAL), "rubbish\n").expect("written");
    fs::write(directory.path().join("serials"), [0xff; 100]).expect("written");
    fs::write(directory.path().join("history-00000001"), [0; 100]).expect("written");
    let (state, recovered, warnings) = open(directory.path());
    assert!(recovered.objects.is_empty());
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    assert!(warnings[0].contains("version 2 of the format is not known"), "{warnings:#?}");
    assert_eq!(fs::read(directory.path().join("observations.checkpoint.damaged-1")).expect("kept"), header);
    state.record_observations(&[observation(0, Some(1))]);
    state.shutdown().expect("a clean end");
    let (_state, recovered, warnings) = open(directory.path());
    assert_eq!((recovered.objects.len(), warnings.len()), (1, 0));
}

#[test]
fn a_fact_that_does_not_fit_its_key_is_left_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut content = lines::Format { name: "mcdns-observations", version: 1 }.header();
    let object = Object::new(Fact::Member);
    let key = ObjectKey::host(Kind::Domain, "system", "example");
    observations::push_observation(&mut content, &key, Some(&object)).expect("serialised");
    lines::push_line(&mut content, &serde_json::json!({"object": [1, 2]})).expect("serialised");
    lines::push_line(&mut content, &serde_json::json!({"later": true})).expect("serialised");
    fs::write(directory.path().join(JOURNAL), content).expect("written");
    let (_state, recovered, warnings) = open(directory.path());
    assert!(recovered.objects.is_empty());
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn damaged_lines_are_gone_after_the_next_checkpoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, ..) = open(directory.path());
    state.record_observations(&[observation(0, Some(1)), observation(1, Some(1))]);
    state.shutdown().expect("a clean end");
    let mut journal = File::options().append(true).open(directory.path().join(JOURNAL)).expect("opened");
    journal.write_all(b"00000000 {}\nhalf a li").expect("written");
    let (state, _, warnings) = open(directory.path());
    assert_eq!(warnings.len(), 2);
    wait_for("a checkpoint", || state.status().checkpoints == 1);
    drop(state);
    let (_state, recovered, warnings) = open(directory.path());
    assert_eq!((recovered.objects.len(), warnings), (2, Vec::new()));
}

#[test]
fn a_journal_that_outgrows_its_checkpoint_becomes_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, ..) = open(directory.path());
    let mut expected = State::new();
    let mut round = 0_u16;
    wait_for("two checkpoints", || {
        round += 1;
        let mut observations: Vec<_> = (0..200).map(|number| observation(number, Some(round))).collect();
        observations.push(observation(200, round.is_multiple_of(2).then_some(round)));
        apply(&mut expected, &observations);
        // Large objects, so that few rounds are enough.
        let mut large = Object::new(Fact::Member);
        large.uid = Some("x".repeat(100_000).into());
        let large = Observation { key: ObjectKey::observed_member(&"east".into()), object: Some(Arc::new(large)) };
        state.record_observations(&observations);
        state.record_observations(std::slice::from_ref(&large));
        apply(&mut expected, &[large]);
        state.flush(LONG).expect("flushed");
        state.status().checkpoints >= 2
    });
    state.shutdown().expect("a clean end");
    let size = |name| fs::metadata(directory.path().join(name)).map_or(0, |metadata| metadata.len());
    assert!(size(CHECKPOINT) > 0 && size(CHECKPOINT) < 1 << 20);
    let (_state, recovered, warnings) = open(directory.path());
    assert_eq!(warnings, []);
    assert_eq!(recovered.objects.into_iter().collect::<State>(), expected);
}

#[test]
fn a_directory_that_is_deleted_under_us_is_written_anew_in_full() {
    let parent = tempfile::tempdir().expect("a directory");
    let path = parent.path().join("state");
    let (state, recovered, _) = open(&path);
    let apex = "example.com".parse().expect("a name");
    recovered.serials.serial_at_start(&apex, 1, 5000);
    let mut expected = State::new();
    for number in 0..10 {
        apply(&mut expected, &[observation(number, Some(1))]);
    }
    let all: Vec<_> = (0..10).map(|number| observation(number, Some(1))).collect();
    state.record_observations(&all);
    state.flush(LONG).expect("flushed");
    fs::remove_dir_all(&path).expect("removed");
    // While a file stands in its place nothing can be written, and the state says so.
    fs::write(&path, "").expect("written");
    let newer = [observation(3, Some(9)), observation(4, None)];
    state.record_observations(&newer);
    apply(&mut expected, &newer);
    let error = state.flush(LONG).expect_err("nothing can be written");
    assert!(matches!(&error, StateError::NotWritten { reason, .. } if reason.contains(JOURNAL)), "{error}");
    assert!(!state.status().is_healthy());
    fs::remove_file(&path).expect("removed");
    wait_for("writing", || state.flush(LONG).is_ok());
    assert!(state.status().is_healthy(), "{:?}", state.status());
    assert!(StateDirectory::open(&path, HistoryLimits::default()).is_err(), "the lock is held again");
    state.shutdown().expect("a clean end");
    let (_state, recovered, warnings) = open(&path);
    assert_eq!(warnings, []);
    assert_eq!(recovered.objects.into_iter().collect::<State>(), expected);
    assert_eq!(recovered.serials.serial_at_start(&apex, 1, 9000).0, 5000);
}

#[test]
fn a_directory_full_of_obstacles_still_serves_what_it_can() {
    let directory = tempfile::tempdir().expect("a directory");
    // Directories where files should be: neither readable nor writable, for any user.
    for name in [OLD_JOURNAL, "history-00000001"] {
        fs::create_dir_all(directory.path().join(name).join("inner")).expect("created");
    }
    let (state, recovered, warnings) = open(directory.path());
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(recovered.objects.is_empty());
    state.record_observations(&[observation(0, Some(1))]);
    state.flush(LONG).expect("flushed");
}

fn steps() -> impl Strategy<Value = Vec<Vec<(u8, Option<u16>)>>> {
    let step = prop::collection::vec((0..12_u8, prop::option::weighted(0.7, 0..50_u16)), 0..6);
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Checkpoints, restarts and crashes between their steps never change what is known.
    #[test]
    fn what_is_read_back_is_the_last_state(steps in steps(), checkpoints in prop::collection::vec(0..5_u8, 12)) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut warnings = Vec::new();
        let (mut files, _) = ObservationFiles::recover(directory.path(), &mut warnings);
        let mut expected = State::new();
        for (step, what) in steps.iter().zip(checkpoints) {
            let observations: Vec<_> =
                step.iter().map(|(number, content)| observation(*number, *content)).collect();
            apply(&mut expected, &observations);
            let mut buffer = Vec::new();
            for Observation { key, object } in &observations {
                observations::push_observation(&mut buffer, key, object.as_deref()).expect("serialised");
            }
            files.prepare().expect("prepared");
            files.append(&buffer).expect("appended");
            let never = std::sync::atomic::AtomicBool::new(false);
            match what {
                0 => {
                    let length = files.rotate().and_then(|job| job.run(&never)).expect("written");
                    files.adopt_checkpoint(length).expect("adopted");
                }
                // Crashes: after the journal was moved away, and after the new checkpoint is in place.
                1 => drop(files.rotate().expect("moved")),
                2 => drop(files.rotate().and_then(|job| job.run(&never)).expect("written")),
                3 => {
                    let length = files.rotate().and_then(|job| job.run(&never)).expect("written");
                    prop_assert_eq!(length, fs::metadata(directory.path().join(CHECKPOINT)).expect("there").len());
                }
                _ => {}
            }
            if what != 4 {
                let (recovered, known) = ObservationFiles::recover(directory.path(), &mut warnings);
                files = recovered;
                prop_assert_eq!(known.objects.into_iter().collect::<State>(), expected.clone());
            }
        }
        prop_assert!(warnings.is_empty(), "{:?}", warnings);
    }
}

#[test]
fn names_shared_by_many_keys_are_one_text_in_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let (state, ..) = open(directory.path());
    state.record_observations(&[observation(0, Some(1)), observation(12, Some(1))]);
    state.shutdown().expect("a clean end");
    let (_state, recovered, _) = open(directory.path());
    let [(first, _), (second, _)] = &recovered.objects[..] else { panic!("two objects") };
    let (Scope::Member(first_cluster), Scope::Member(second_cluster)) = (&first.scope, &second.scope) else {
        panic!("members")
    };
    assert!(Arc::ptr_eq(first_cluster, second_cluster) && Arc::ptr_eq(&first.namespace, &second.namespace));
}
