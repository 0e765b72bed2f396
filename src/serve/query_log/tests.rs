//! Lines, and the file they go to.

use std::{fs, sync::Arc, time::Instant};

use mcdns_core::dns::RecordType;

use super::*;
use crate::{client::Transport, respond::Reply};

fn entry(name: &[u8], answer: &Answer<'_>) -> Entry {
    let request = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 28, 0, 1]].concat();
    let client = Client { address: "[2001:db8::7]:4242".parse().expect("an address"), transport: Transport::Tls };
    let received = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_266_237_162_657);
    Entry::new(received, Duration::from_nanos(3_900), &client, &request, Outcome { answer, limited: false })
}

fn reply(rcode: u16) -> Answer<'static> {
    let octets = &[0, 7, 0x85, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
    Answer::Message(Reply { record_type: RecordType::AAAA, zone: 1, ..Reply::new(octets, rcode) })
}

fn line(entry: &Entry, format: LineFormat) -> String {
    let mut out = Vec::new();
    line::append(entry, format, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_line_says_who_asked_what_and_what_came_of_it() {
    let entry = entry(b"\x03wWw\x07example\x00", &reply(3));
    assert_eq!(
        line(&entry, LineFormat::Text),
        "2026-11-21T13:03:57.162657Z client=[2001:db8::7]:4242 transport=dot name=wWw.example. class=IN type=AAAA \
         rcode=NXDOMAIN flags=aa,rd,ra size=12 microseconds=3\n"
    );
    assert_eq!(
        line(&entry, LineFormat::Json),
        "{\"time\":\"2026-11-21T13:03:57.162657Z\",\"client\":\"[2001:db8::7]:4242\",\"transport\":\"dot\",\
         \"name\":\"wWw.example.\",\"class\":\"IN\",\"type\":\"AAAA\",\"rcode\":\"NXDOMAIN\",\"flags\":\"aa,rd,ra\",\
         \"size\":12,\"microseconds\":3}\n"
    );
}

#[test]
fn no_name_gets_a_control_character_a_space_or_a_quotation_mark_into_a_line() {
    for octet in 0..=255_u8 {
        let entry = entry(&[3, b'a', octet, b'b', 0], &reply(0));
        let text = line(&entry, LineFormat::Text);
        assert!(text.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
        assert_eq!(text.split(' ').count(), 10, "{text:?}");
        let json = line(&entry, LineFormat::Json);
        assert_eq!(json.matches('"').count(), 4 * 8 + 2 * 2, "{json:?}");
        let lone = json.replace("\\\\", "");
        assert!(!lone.contains('\\'), "a backslash that JSON would take for an escape: {json:?}");
    }
    assert!(line(&entry(b"\x05a.\"\n\\\x00", &reply(0)), LineFormat::Text).contains(r" name=a\.\034\010\\. "));
}

#[test]
fn what_is_no_question_or_has_no_answer_is_logged_as_such() {
    let silent = line(&entry(b"\x3fshort", &Answer::Silence), LineFormat::Text);
    assert!(silent.contains(" name=- class=- type=- rcode=- flags=- size=0 "), "{silent}");
    let root = line(&entry(b"\x00", &reply(3_000)), LineFormat::Text);
    assert!(root.contains(" name=. class=IN type=AAAA rcode=RCODE3000 "), "{root}");
}

#[test]
fn what_rate_limiting_did_stands_among_the_flags() {
    let limited = |answer: &Answer<'_>| Entry { limited: true, ..entry(b"\x00", answer) };
    let slipped = line(&limited(&reply(0)), LineFormat::Text);
    assert!(slipped.contains(" rcode=NOERROR flags=aa,rd,ra,limited size=12 "), "{slipped}");
    let dropped = line(&limited(&Answer::Silence), LineFormat::Text);
    assert!(dropped.contains(" rcode=- flags=limited size=0 "), "{dropped}");
}

/// Writes one line for each name and waits until it is in the file.
fn write_and_wait(feed: &Feed<Entry>, counts: &FeedCounts, name: &[u8]) {
    let before = counts.taken();
    feed.offer(Entry::OCTETS, || entry(name, &reply(0)));
    let deadline = Instant::now() + Duration::from_secs(30);
    while counts.taken() == before {
        assert!(Instant::now() < deadline && counts.dropped() == 0, "{counts:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_that_was_renamed_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, renamed) = (folder.path().join("queries"), folder.path().join("queries.1"));
    fs::write(&path, "before\n").expect("written");
    let log = QueryLog { sample: NonZeroU32::MIN, file: Some(path.clone()), format: LineFormat::Text };
    let counts = Arc::default();
    let feed = start(&log, &counts).expect("the file is opened");

    write_and_wait(&feed, &counts, b"\x03one\x00");
    fs::rename(&path, &renamed).expect("renamed");
    feed.reopen();
    write_and_wait(&feed, &counts, b"\x03two\x00");
    fs::remove_file(&path).expect("removed");
    feed.reopen();
    write_and_wait(&feed, &counts, b"\x05three\x00");

    let old = fs::read_to_string(&renamed).expect("the old file");
    assert!(old.starts_with("before\n") && old.contains("name=one.") && !old.contains("name=two."), "{old}");
    let new = fs::read_to_string(&path).expect("the new file");
    assert!(new.contains("name=three.") && new.lines().count() == 1, "{new}");
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_and_a_full_disk_costs_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = |file: PathBuf| QueryLog { sample: NonZeroU32::MIN, file: Some(file), format: LineFormat::Text };
    let counts = Arc::default();
    let refused = start(&log(folder.path().join("missing/queries")), &counts).expect_err("no such folder");
    assert!(refused.to_string().ends_with("queries cannot be opened for the query log"), "{refused}");

    let feed = start(&log("/dev/full".into()), &counts).expect("it opens");
    let end = feed.end();
    for _ in 0..3 {
        feed.offer(Entry::OCTETS, || entry(b"\x00", &reply(0)));
    }
    drop(feed);
    end.wait_until(Instant::now() + Duration::from_secs(30));
    assert_eq!((counts.taken(), counts.dropped()), (0, 3));
}
