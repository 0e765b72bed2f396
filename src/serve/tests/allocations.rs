//! The hot path allocates nothing.

mod support;

use mcdns_serve::{Answer, CookieSecrets, Counters, Policy, Responder, SnapshotStore, Transport};

use support::{client, query, snapshot, with_edns};

#[test]
fn a_udp_query_allocates_nothing() {
    let zone = "
        @ NS ns1
        @ MX 1 www
        ns1 A 192.0.2.53
        www A 192.0.2.1
        web.shop climb
        child NS ns.child
        ns.child A 192.0.2.9
        *.wild CNAME web.shop.us-a.us
        moved DNAME wild
    ";
    let store = SnapshotStore::new(snapshot(&[("example.com", zone)]));
    let mut responder = Responder::default();
    let cookies = CookieSecrets { current: [7; 16], other: Some([8; 16]) };
    let policy = Policy { nsid: Some((*b"here").into()), cookies: Some(cookies), ..Policy::default() };
    let client = client(Transport::Udp);
    let questions = [
        ("www.example.com", "A"),
        ("www.example.com", "AAAA"),
        ("nothing.example.com", "A"),
        ("web.shop.us-a.us.example.com", "A"),
        ("x.wild.example.com", "A"),
        ("x.moved.example.com", "A"),
        ("a.child.example.com", "A"),
        ("example.com", "MX"),
        ("example.com", "SOA"),
        ("example.net", "A"),
    ];
    // NSID, client subnet, cookie.
    let options = [0, 3, 0, 0, 0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let with = |options: &[u8]| {
        questions.map(|(asked, record_type)| with_edns(query(asked, record_type), 1232, 0, 0, options))
    };
    let requests = [with(&[]), with(&options)].concat();
    let cells = Counters::default().add_thread(Transport::Udp);
    // The first load of a thread allocates its place among the readers, and the first answer of a zone the table of
    // zones that it counts in.
    let mut snapshots = store.reader();
    let received = cells.received();
    cells.answered(received, &client, &[], &responder.respond(snapshots.load(), &policy, &requests[0], &client));
    let mut answered = 0;
    let counted = allocation_counter::measure(|| {
        // More than enough for some to be timed.
        for request in requests.iter().cycle().take(1_000) {
            let received = cells.received();
            let answer = responder.respond(snapshots.load(), &policy, request, &client);
            cells.answered(received, &client, request, &answer);
            answered += usize::from(matches!(answer, Answer::Message(_)));
        }
    });
    assert_eq!(answered, 1_000);
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let control = allocation_counter::measure(|| drop(Responder::default()));
    assert!(control.count_total > 0, "the counter counts");
}
