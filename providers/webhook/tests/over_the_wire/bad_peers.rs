//! Peers that send garbage, nothing, too much, or never end: errors in their own words, and nothing is changed.

use std::{sync::Arc, time::Duration};

use super::peer::{Fault, MEDIA_TYPE, Manners, Peer};
use mcdns_core::{
    dns::OwnerName,
    plan::{Change, Group, PlanOptions},
};
use mcdns_publish::{
    Batch, Leadership, Outcome, PublishError, PublishedZone, Publisher, Scope,
    battery::{Wishes, wish},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

fn apex() -> OwnerName {
    OwnerName::parse("example.com").expect("a name")
}

fn publisher(section: &Value) -> Arc<dyn Publisher> {
    let manager = "prod".parse().expect("a manager");
    mcdns_webhook::publisher("other", &[apex()], &manager, section).expect("a publisher")
}

fn leads() -> Arc<dyn Leadership> {
    let (sender, receiver) = watch::channel(true);
    // Who holds the lock never lets go of it here.
    std::mem::forget(sender);
    Arc::new(receiver)
}

fn batch(lines: &[&str]) -> Batch {
    let create = |line: &&str| {
        let wanted = wish(&apex(), line).expect("a wish");
        Change::Create { after: Group::of_rrsets(wanted.owner, &wanted.rrsets), reason: String::new() }
    };
    let changes = lines.iter().map(create).collect();
    Batch { apex: apex(), manager: "prod".parse().expect("a manager"), changes, leadership: leads() }
}

/// A server that answers whatever it is asked with these octets, and then waits or closes.
async fn parrot(answer: Vec<u8>, closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                if !closes {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url
}

fn http(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[rstest]
#[case::no_http(b"220 mail.example.com ESMTP\r\n".to_vec(), "garbage", "GET http://127.0.0.1")]
#[case::nothing(Vec::new(), "unavailable", "connection closed")]
#[case::a_page(http("200 OK", "text/html", "<html>"), "garbage", "speaks `text/html`")]
#[case::other_version(http("200 OK", "application/external.dns.webhook+json;version=2", "{}"), "garbage", "version=2")]
#[case::a_space(http("200 OK", "application/external.dns.webhook+json; version=1", "{}"), "garbage", "; version=1`")]
#[case::no_filter(http("200 OK", MEDIA_TYPE, "[]"), "garbage", "negotiation")]
#[case::denied(http("403 Forbidden", "text/plain", "not for you"), "denied", "not for you")]
#[case::missing(http("404 Not Found", "text/plain", "no such thing"), "garbage", "404 Not Found: no such thing")]
#[case::broken(http("500 Internal Server Error", "text/plain", "boom"), "unavailable", "boom")]
#[case::moved(http("302 Found", "text/plain", ""), "garbage", "302 Found")]
// The same answer is no list of records.
#[case::no_list(http("200 OK", MEDIA_TYPE, "{}"), "garbage", "the records")]
#[tokio::test]
async fn what_is_no_webhook_provider_is_reported_in_its_own_words(
    #[case] answer: Vec<u8>,
    #[case] kind: &str,
    #[case] words: &str,
) {
    let publisher = publisher(&json!({"url": parrot(answer, true).await}));
    let error = publisher.read(&apex()).await.expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let error = publisher.apply(&batch(&["www 60 A 192.0.2.1"])).await.expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
}

#[rstest]
#[case::no_answer(Vec::new())]
#[case::half_a_header(b"HTTP/1.1 200 OK\r\nContent-".to_vec())]
#[case::half_a_body(format!("HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: 9\r\n\r\n{{").into_bytes())]
#[tokio::test]
async fn a_peer_that_hangs_is_given_up(#[case] answer: Vec<u8>) {
    let publisher = publisher(&json!({"url": parrot(answer, false).await, "timeout": 1}));
    let read = tokio::time::timeout(Duration::from_secs(30), publisher.read(&apex())).await.expect("it gives up");
    let error = read.expect_err("an error");
    assert!(error.to_string().contains("no answer within 1 s"), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = publisher(&json!({"url": url})).read(&apex()).await.expect_err("an error");
    assert!(matches!(&error, PublishError::Unavailable { words } if words.contains("refused")), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let peer = Peer::start(Manners::default()).await;
    peer.put(json!({"dnsName": "big.example.com", "recordType": "TXT", "targets": ["x".repeat(3000)]}));
    let error = publisher(&json!({"url": peer.url(), "maxBody": 2000})).read(&apex()).await.expect_err("an error");
    assert!(matches!(&error, PublishError::Garbage { words } if words.contains("more than 2000 octets")), "{error}");
    assert!(publisher(&json!({"url": peer.url(), "maxBody": 9000})).read(&apex()).await.is_ok());
}

#[tokio::test]
async fn words_of_a_peer_are_shortened_and_break_no_line() {
    let answer = http("400 Bad Request", "text/plain", &format!("first\nsecond\u{7}{}", "x".repeat(9000)));
    let publisher = publisher(&json!({"url": parrot(answer, true).await}));
    let words = publisher.read(&apex()).await.expect_err("an error").to_string();
    assert!(words.chars().count() < 500 && !words.contains(char::is_control), "{words}");
}

#[tokio::test]
async fn names_outside_the_peers_filter_are_not_sent() {
    let peer = Peer::start(Manners::default()).await;
    peer.set_filter(json!({"include": ["sub.example.com"]}));
    let publisher = publisher(&json!({"url": peer.url()}));
    assert_eq!(publisher.zones().await, Ok(vec![apex()]));
    let name = |line| publisher.translate(&wish(&apex(), line).expect("a wish"));
    assert!(name("www.sub 60 A 192.0.2.1").is_ok());
    let why = name("www 60 A 192.0.2.1").expect_err("it is outside");
    assert!(why.0.contains("it takes sub.example.com"), "{why}");
    let why = name("sub 60 A 192.0.2.1");
    assert!(why.is_ok(), "its mark is below it: {why:?}");
}

#[tokio::test]
async fn a_zone_that_the_peer_does_not_have_is_said_to_be_missing() {
    let peer = Peer::start(Manners::default()).await;
    peer.set_filter(json!({"include": ["example.net"]}));
    let publisher = publisher(&json!({"url": peer.url()}));
    let error = publisher.read(&apex()).await.expect_err("an error");
    assert!(matches!(&error, PublishError::NoZone { words, .. } if words.contains("example.net")), "{error}");
    assert_eq!(publisher.zones().await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_makes_no_sense_at_one_name_holds_up_no_other() {
    let peer = Peer::start(Manners::default()).await;
    peer.put(json!({"dnsName": "odd.example.com", "recordType": "A", "targets": ["not an address"]}));
    let zone = publisher(&json!({"url": peer.url()})).read(&apex()).await.expect("a zone");
    let odd: Vec<String> = zone.unreadable.keys().map(ToString::to_string).collect();
    assert_eq!(odd, ["odd.example.com"]);
    let report = publisher(&json!({"url": peer.url()}))
        .apply(&batch(&["odd 60 AAAA 2001:db8::1", "www 60 A 192.0.2.1"]))
        .await
        .expect("a report");
    let outcomes: Vec<bool> = report.outcomes.values().map(|outcome| matches!(outcome, Outcome::Done(_))).collect();
    assert_eq!(outcomes, [false, true], "{report:?}");
}

#[tokio::test]
async fn half_a_call_is_made_good() {
    let peer = Peer::start(Manners::default()).await;
    let publisher = publisher(&json!({"url": peer.url()}));
    let wishes = Wishes::of(&apex(), &["a 60 A 192.0.2.1", "b 60 A 192.0.2.2", "c 60 CNAME x.example.net."]);
    let wishes = wishes.expect("wishes");
    let mut zone = zone(publisher);
    // Negotiation, reading, adjustment, comparison; then the changes.
    peer.fail(4, Fault::Half);
    for second in 0..5 {
        zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(second)).await;
    }
    let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(9)).await;
    assert!(step.error.is_none() && step.calls == 0, "{step:?}");
    assert_eq!(peer.store().len(), 6, "three records and their marks");
}

#[tokio::test]
async fn a_mute_peer_is_halved_until_the_culprit_is_alone() {
    let peer = Peer::start(Manners { mute: true, ..Manners::default() }).await;
    peer.poison("n3.example.com", true);
    let lines: Vec<String> = (0..8).map(|index| format!("n{index} 60 A 192.0.2.{index}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let wishes = Wishes::of(&apex(), &lines).expect("wishes");
    let mut zone = zone(publisher(&json!({"url": peer.url()})));
    for second in 0..2 {
        let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(second)).await;
        assert!(matches!(step.error, Some(PublishError::Unavailable { .. })), "it may pass: {step:?}");
        assert!(peer.store().is_empty());
    }
    let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(3)).await;
    assert_eq!(step.done, 7, "{step:?}");
    let culprits: Vec<String> = zone.quarantine().keys().map(ToString::to_string).collect();
    assert_eq!(culprits, ["n3.example.com"]);
}

#[tokio::test]
async fn a_peer_whose_back_end_is_away_has_nobody_quarantined_however_long_it_takes() {
    let peer = Peer::start(Manners::default()).await;
    let lines: Vec<String> = (0..200).map(|index| format!("n{index} 60 A 192.0.2.{index}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let wishes = Wishes::of(&apex(), &lines).expect("wishes");
    let mut zone = zone(publisher(&json!({"url": peer.url()})));
    peer.set_away(true);
    for second in 0..4 {
        let before = peer.calls();
        let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(second)).await;
        assert!(matches!(step.error, Some(PublishError::Unavailable { .. })), "{step:?}");
        assert!(zone.quarantine().is_empty(), "{:?}", zone.quarantine());
        let calls = peer.calls() - before;
        assert!(calls < 300, "{calls} calls are a burden");
    }
    peer.set_away(false);
    let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(9)).await;
    assert!(step.error.is_none() && step.done == 200, "{step:?}");
    assert!(zone.quarantine().is_empty());
    // The trouble is over: the next 500 is a passing trouble again.
    peer.set_away(true);
    let wishes = Wishes::of(&apex(), &["n0 60 A 192.0.2.99", "n1 60 A 192.0.2.98"]).expect("wishes");
    let before = peer.calls();
    let step = zone
        .converge(&wishes, Scope::Names([wish_name("n0"), wish_name("n1")].into()), mcdns_core::model::Timestamp(10))
        .await;
    assert!(matches!(step.error, Some(PublishError::Unavailable { .. })), "{step:?}");
    assert!(peer.calls() - before < 6, "nothing is halved");
}

#[tokio::test]
async fn a_culprit_that_was_found_is_tried_by_itself_and_holds_nothing_up() {
    let peer = Peer::start(Manners { mute: true, ..Manners::default() }).await;
    peer.poison("n1.example.com", true);
    let publisher = publisher(&json!({"url": peer.url()}));
    let both = batch(&["n0 60 A 192.0.2.1", "n1 60 A 192.0.2.2"]);
    for _ in 0..2 {
        assert_eq!(publisher.apply(&both).await.expect_err("an error").kind(), "unavailable");
    }
    let outcomes = publisher.apply(&both).await.expect("a report").outcomes;
    let outcomes: Vec<bool> = outcomes.values().map(|outcome| matches!(outcome, Outcome::Done(_))).collect();
    assert_eq!(outcomes, [true, false]);
    let later = batch(&["n1 60 A 192.0.2.2", "n2 60 A 192.0.2.3"]);
    let outcomes = publisher.apply(&later).await.expect("a report").outcomes;
    assert!(matches!(outcomes[&wish_name("n1")], Outcome::Refused(_)), "{outcomes:?}");
    assert!(matches!(outcomes[&wish_name("n2")], Outcome::Done(_)), "{outcomes:?}");
    peer.poison("n1.example.com", false);
    let outcomes = publisher.apply(&batch(&["n1 60 A 192.0.2.2"])).await.expect("a report").outcomes;
    assert!(matches!(outcomes[&wish_name("n1")], Outcome::Done(_)), "{outcomes:?}");
}

fn wish_name(label: &str) -> OwnerName {
    OwnerName::parse(&format!("{label}.example.com")).expect("a name")
}

#[tokio::test]
async fn what_is_replaced_is_sent_as_the_peer_told_it() {
    let peer = Peer::start(Manners::default()).await;
    // Another spelling, and a mark of an older form.
    peer.put(json!({
        "dnsName": "www.example.com", "recordType": "AAAA", "recordTTL": 60, "targets": ["2001:DB8:0::1"],
    }));
    let mark = "\"heritage=external-dns,external-dns/owner=prod,external-dns/resource=crd/dns/web\"";
    peer.put(json!({"dnsName": "aaaa-www.example.com", "recordType": "TXT", "targets": [mark]}));
    let wishes = Wishes::of(&apex(), &["www 60 AAAA 2001:db8::2"]).expect("wishes");
    let mut zone = zone(publisher(&json!({"url": peer.url()})));
    let step = zone.converge(&wishes, Scope::Zone, mcdns_core::model::Timestamp(0)).await;
    assert_eq!(step.done, 1, "{step:?}");
    let change = peer.log().pop().expect("a change");
    assert_eq!(change["updateOld"][0]["targets"], json!(["2001:DB8:0::1"]));
    assert_eq!(change["updateNew"][0]["targets"], json!(["2001:db8::2"]));
    assert_eq!(change["delete"][0]["targets"], json!([mark]));
    assert_eq!(change["create"][0]["dnsName"], "_owner-aaaa.www.example.com");
}

fn zone(publisher: Arc<dyn Publisher>) -> PublishedZone {
    let manager = "prod".parse().expect("a manager");
    let guard = mcdns_core::plan::GuardOptions { percent: 100, ..Default::default() };
    PublishedZone::new(publisher, manager, apex(), PlanOptions::default(), guard, leads())
}
