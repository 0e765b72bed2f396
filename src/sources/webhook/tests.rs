//! The server over a keeper in memory.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use mcdns_core::{
    dns::OwnerName,
    model::{ForeignRrset, NamespacedName},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    FAMILY, KeepError, Keeper, Names, Options, Report, name_of, object_name, serve,
    wire::{Changes, MEDIA_TYPE},
};

#[derive(Default)]
struct InMemory {
    names: Mutex<Names>,
    trouble: Mutex<Option<KeepError>>,
}

impl Keeper for InMemory {
    fn names(&self) -> Names {
        self.names.lock().expect("a lock").clone()
    }

    fn keep(&self, changed: Names) -> BoxFuture<'_, Result<(), KeepError>> {
        Box::pin(async move {
            if let Some(trouble) = self.trouble.lock().expect("a lock").clone() {
                return Err(trouble);
            }
            let mut names = self.names.lock().expect("a lock");
            names.extend(changed);
            names.retain(|_, rrsets| !rrsets.is_empty());
            Ok(())
        })
    }
}

struct Stage {
    address: std::net::SocketAddr,
    keeper: Arc<InMemory>,
    report: Report,
}

impl Stage {
    async fn new() -> Self {
        Self::with(false).await
    }

    async fn with(may_empty: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (keeper, report) = (Arc::new(InMemory::default()), Report::default());
        let options = Options { zones: vec![name("example.net"), name("example.org")], may_empty };
        tokio::spawn(serve(listener, options, keeper.clone(), report.clone()));
        Self { address, keeper, report }
    }

    /// Status, content type and body.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    async fn raw(&self, request: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a header");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut kinds = lines.filter(|(key, _)| key.eq_ignore_ascii_case("content-type"));
        (status, kinds.next().map(|(_, value)| value.to_owned()).unwrap_or_default(), body.to_owned())
    }

    async fn apply(&self, changes: Value) -> (u16, String) {
        let (status, _, body) = self.ask("POST", "/records", &changes.to_string()).await;
        (status, body)
    }

    async fn records(&self) -> Value {
        let (status, kind, body) = self.ask("GET", "/records", "").await;
        assert_eq!((status, kind.as_str()), (200, MEDIA_TYPE));
        serde_json::from_str(&body).expect("JSON")
    }

    async fn adjust(&self, endpoints: Value) -> Value {
        let (status, kind, body) = self.ask("POST", "/adjustendpoints", &endpoints.to_string()).await;
        assert_eq!((status, kind.as_str()), (200, MEDIA_TYPE), "{body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn a(owner: &str, address: &str) -> Value {
    json!({"dnsName": owner, "recordType": "A", "recordTTL": 60, "targets": [address]})
}

#[tokio::test]
async fn the_negotiation_tells_the_zones() {
    let stage = Stage::new().await;
    let (status, kind, body) = stage.ask("GET", "/", "").await;
    assert_eq!((status, kind.as_str()), (200, MEDIA_TYPE));
    assert_eq!(body, r#"{"include":["example.net","example.org"]}"#);
    assert_eq!(stage.records().await, json!([]));
    assert_eq!(stage.ask("GET", "/healthz", "").await.0, 200);
}

#[tokio::test]
async fn records_are_made_changed_and_taken_away() {
    let stage = Stage::new().await;
    let mark = json!({"dnsName": "a-www.example.net", "recordType": "TXT",
        "targets": ["\"heritage=external-dns,external-dns/owner=me\""], "labels": {"ownedRecord": "www.example.net"}});
    let www = a("www.example.net", "192.0.2.1");
    assert_eq!(stage.apply(json!({"create": [www, mark]})).await, (204, String::new()));
    let mut kept = mark.clone();
    kept.as_object_mut().expect("an object").remove("labels");
    assert_eq!(stage.records().await, json!([kept, www]));
    let other = a("www.example.net", "192.0.2.2");
    assert_eq!(stage.apply(json!({"updateOld": [www], "updateNew": [other]})).await.0, 204);
    assert_eq!(stage.records().await, json!([kept, other]));
    // A change of type comes as a deletion and a creation.
    let alias = json!({"dnsName": "www.example.net", "recordType": "CNAME", "targets": ["x.example.com"]});
    assert_eq!(stage.apply(json!({"create": [alias], "delete": [other]})).await.0, 204);
    assert_eq!(stage.records().await, json!([kept, alias]));
    assert_eq!(stage.apply(json!({"delete": [alias, mark]})).await.0, 204);
    assert_eq!(stage.records().await, json!([]));
}

#[tokio::test]
async fn the_same_call_again_does_no_harm() {
    let stage = Stage::new().await;
    let call = json!({"create": [a("www.example.net", "192.0.2.1")], "delete": [a("gone.example.net", "192.0.2.9")]});
    assert_eq!(stage.apply(call.clone()).await.0, 204);
    assert_eq!(stage.apply(call).await.0, 204);
    assert_eq!(stage.records().await, json!([a("www.example.net", "192.0.2.1")]));
    assert_eq!(stage.report.counts().get(&("apply", "nothing")), Some(&1));
}

#[tokio::test]
async fn one_wrong_endpoint_is_named_and_nothing_is_done() {
    let stage = Stage::new().await;
    let call = json!({"create": [
        a("www.example.net", "192.0.2.1"), a("bad.example.net", "2001:db8::1"), a("www.example.com", "192.0.2.1"),
    ]});
    let (status, words) = stage.apply(call).await;
    assert_eq!(status, 400);
    assert!(words.contains("create[1] bad.example.net A: target `2001:db8::1`"), "{words}");
    assert!(words.contains("create[2] www.example.com A: is in none of the zones example.net, example.org"), "{words}");
    assert!(!words.contains("create[0]"), "{words}");
    assert_eq!(stage.records().await, json!([]));
}

#[tokio::test]
async fn the_mark_of_an_apex_is_kept_although_its_name_is_outside() {
    let stage = Stage::new().await;
    let mark = |label: &str| {
        json!({"dnsName": "a-example.net", "recordType": "TXT", "targets": ["\"heritage=external-dns\""],
            "labels": {"ownedRecord": label}})
    };
    assert_eq!(stage.apply(json!({"create": [mark("example.com")]})).await.0, 400, "it is nobody's here");
    assert_eq!(stage.apply(json!({"create": [a("example.net", "192.0.2.1"), mark("example.net")]})).await.0, 204);
    assert_eq!(stage.records().await.as_array().map(Vec::len), Some(2));
    assert_eq!(stage.apply(json!({"delete": [mark("example.net")]})).await.0, 204);
    assert_eq!(stage.records().await, json!([a("example.net", "192.0.2.1")]));
}

#[rstest]
#[case::cname_at_apex(json!({"create": [{"dnsName": "example.net", "recordType": "CNAME", "targets": ["x.example.org"]}]}), "apex")]
#[case::two_targets(json!({"create": [{"dnsName": "c.example.net", "recordType": "CNAME", "targets": ["x.example.org", "y.example.org"]}]}), "several targets")]
#[case::delegation(json!({"create": [{"dnsName": "c.example.net", "recordType": "NS", "targets": ["x.example.org"]}]}), "NS cannot come")]
#[case::identifier(json!({"create": [{"dnsName": "c.example.net", "recordType": "A", "targets": ["192.0.2.1"], "setIdentifier": "eu"}]}), "set identifiers")]
#[case::twice(json!({"create": [a("c.example.net", "192.0.2.1"), a("c.example.net", "192.0.2.2")]}), "twice")]
#[case::no_targets(json!({"create": [{"dnsName": "c.example.net", "recordType": "A"}]}), "no targets")]
#[case::no_name(json!({"create": [{"recordType": "A", "targets": ["192.0.2.1"]}]}), "a label is empty")]
#[case::no_type(json!({"create": [{"dnsName": "c.example.net", "targets": ["192.0.2.1"]}]}), "recordType")]
#[case::no_pairs(json!({"updateNew": [a("c.example.net", "192.0.2.1")]}), "no pairs")]
#[case::no_list(json!({"create": 7}), "create")]
#[case::no_object(json!([]), "")]
#[tokio::test]
async fn what_makes_no_sense_is_refused(#[case] call: Value, #[case] words: &str) {
    let stage = Stage::new().await;
    let (status, told) = stage.apply(call).await;
    assert_eq!(status, 400, "{told}");
    assert!(told.contains(words), "{told}");
    assert_eq!(stage.records().await, json!([]));
}

fn alias(owner: &str) -> Value {
    json!({"dnsName": owner, "recordType": "CNAME", "targets": ["x.example.com"]})
}

/// An ownership record, as it is sent and as it is kept.
fn mark(owner: &str, record: &str) -> [Value; 2] {
    let kept =
        json!({"dnsName": owner, "recordType": "TXT", "targets": ["\"heritage=external-dns,external-dns/owner=me\""]});
    let mut sent = kept.clone();
    sent["labels"] = json!({"ownedRecord": record});
    [sent, kept]
}

impl Stage {
    fn findings(&self) -> Vec<String> {
        self.report.findings().borrow().iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_change_of_type_without_its_deletion_leaves_the_name_and_does_the_rest() {
    let stage = Stage::new().await;
    let www = a("www.example.net", "192.0.2.1");
    let [sent, kept] = mark("a-www.example.net", "www.example.net");
    assert_eq!(stage.apply(json!({"create": [www, sent]})).await.0, 204);
    // Policy upsert-only: what is deleted is taken out of the changes.
    let [new, _] = mark("cname-www.example.net", "www.example.net");
    let call = json!({"create": [alias("www.example.net"), new, a("other.example.net", "192.0.2.2")]});
    for _ in 0..2 {
        assert_eq!(stage.apply(call.clone()).await, (204, String::new()));
        assert_eq!(stage.records().await, json!([kept, a("other.example.net", "192.0.2.2"), www]));
        let findings = stage.findings().join("\n");
        assert!(findings.contains("endpoints of external-dns: www.example.net"), "{findings}");
        assert!(findings.contains("a CNAME stands alone, and there would be A beside it"), "{findings}");
        stage.adjust(json!([])).await;
        assert_eq!(stage.findings().join("\n"), findings, "it holds until the next changes were due");
    }
    stage.adjust(json!([])).await;
    assert_eq!(stage.findings(), [""; 0], "external-dns wants it no more");
    assert_eq!(stage.report.counts().get(&("apply", "partly")), Some(&2));
}

#[tokio::test]
async fn a_name_where_somebody_elses_record_stands_is_left() {
    let stage = Stage::new().await;
    let [sent, kept] = mark("www.example.net", "elsewhere.example.net");
    assert_eq!(stage.apply(json!({"create": [sent]})).await.0, 204);
    let call = json!({"create": [alias("www.example.net"), a("other.example.net", "192.0.2.2")]});
    assert_eq!(stage.apply(call).await.0, 204);
    assert_eq!(stage.records().await, json!([a("other.example.net", "192.0.2.2"), kept]));
    assert!(stage.findings().join("\n").contains("there would be TXT beside it"), "{:?}", stage.findings());
}

#[tokio::test]
async fn a_record_whose_mark_is_no_name_is_left_with_a_finding() {
    let stage = Stage::new().await;
    let long = format!("{}.example.net", "n".repeat(62));
    let [sent, _] = mark(&format!("a-{long}"), &long);
    let call = json!({"create": [a(&long, "192.0.2.1"), sent, a("other.example.net", "192.0.2.2")]});
    assert_eq!(stage.apply(call).await.0, 204);
    assert_eq!(stage.records().await, json!([a("other.example.net", "192.0.2.2")]));
    assert!(stage.findings().join("\n").contains("its ownership record `a-nnn"), "{:?}", stage.findings());
}

#[tokio::test]
async fn who_does_not_know_the_newest_changes_nothing() {
    let stage = Stage::new().await;
    stage.apply(json!({"create": [a("www.example.net", "192.0.2.1")]})).await;
    // It reads the newest before its next call; 4xx would end external-dns, and 5xx would keep the rest waiting.
    let [sent, _] = mark("a-www.example.net", "www.example.net");
    assert_eq!(stage.apply(json!({"create": [a("www.example.net", "192.0.2.2"), sent]})).await.0, 204);
    assert_eq!(stage.records().await, json!([a("www.example.net", "192.0.2.1")]));
    assert!(stage.findings().join("\n").contains("another A stands there already"), "{:?}", stage.findings());
}

#[tokio::test]
async fn what_is_adjusted_is_what_records_tell() {
    let stage = Stage::new().await;
    let wanted = json!([
        {"dnsName": "WWW.Example.NET.", "recordType": "AAAA", "targets": ["2001:DB8:0::1"], "recordTTL": 60,
         "labels": {"resource": "crd/ns/web"}, "providerSpecific": [{"name": "aws/weight", "value": "10"}]},
        {"dnsName": "c.example.net", "recordType": "CNAME", "targets": ["Other.Example.com."], "recordTTL": -1},
        {"dnsName": "w.example.net", "recordType": "A", "targets": ["192.0.2.1"], "setIdentifier": "one"},
        {"dnsName": "w.example.net", "recordType": "A", "targets": ["192.0.2.2"], "setIdentifier": "two"},
        {"dnsName": "m.example.net", "recordType": "MX", "targets": ["10 Mail.example.net."]},
        {"dnsName": "_s._tcp.example.net", "recordType": "SRV", "targets": ["0 0 443 h.example.net."]},
        {"dnsName": "t.example.net", "recordType": "TXT", "targets": ["v=spf1 -all"]},
        {"dnsName": "*.example.net", "recordType": "A", "targets": ["192.0.2.3"]},
        {"dnsName": "elsewhere.example.com", "recordType": "A", "targets": ["192.0.2.3"]},
        {"dnsName": "bad.example.net", "recordType": "A", "targets": ["lb.example.com"]},
        {"dnsName": "worse.example.net", "recordType": "A", "targets": "x"},
        null,
    ]);
    let adjusted = stage.adjust(wanted).await;
    let mut plain = adjusted.clone();
    let list = plain.as_array_mut().expect("a list");
    for one in list.iter_mut() {
        one.as_object_mut().expect("an object").remove("labels");
    }
    assert_eq!(stage.apply(json!({"create": adjusted})).await, (204, String::new()));
    let mut kept = stage.records().await;
    let by_name = |list: &mut Value| {
        list.as_array_mut().expect("a list").sort_by_key(|one| one["dnsName"].to_string());
    };
    by_name(&mut kept);
    by_name(&mut plain);
    assert_eq!(kept, plain);
    let weighted = kept.as_array().expect("a list").iter().find(|one| one["dnsName"] == "w.example.net");
    assert_eq!(weighted.expect("it")["targets"], json!(["192.0.2.1", "192.0.2.2"]), "all of them answer");
    assert_eq!(stage.adjust(kept.clone()).await.as_array().map(Vec::len), kept.as_array().map(Vec::len));
    let wrong: Vec<String> = {
        stage.adjust(json!([{"dnsName": "bad.example.net", "recordType": "A", "targets": ["x"]}])).await;
        stage.report.findings().borrow().iter().map(ToString::to_string).collect()
    };
    assert!(
        matches!(&wrong[..], [one] if one.contains("bad.example.net A") && one.contains("no address")),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn turning_empty_at_once_is_held_unless_it_is_allowed() {
    for may_empty in [false, true] {
        let stage = Stage::with(may_empty).await;
        let all: Vec<Value> = (0..12).map(|index| a(&format!("n{index}.example.net"), "192.0.2.1")).collect();
        assert_eq!(stage.apply(json!({"create": all})).await.0, 204);
        let (status, words) = stage.apply(json!({"delete": all})).await;
        if may_empty {
            assert_eq!(status, 204);
            assert_eq!(stage.records().await, json!([]));
        } else {
            assert_eq!(status, 503);
            assert!(words.contains("all 12 names would go at once"), "{words}");
            assert_eq!(stage.records().await.as_array().map(Vec::len), Some(12));
            assert_eq!(stage.apply(json!({"delete": all[1..]})).await.0, 204, "most of them may go");
        }
    }
}

#[rstest]
#[case::not_here(KeepError::NotHere("another replica writes".into()), 503)]
#[case::failed(KeepError::Failed("the API server is not reached".into()), 500)]
#[tokio::test]
async fn what_cannot_be_kept_is_told(#[case] trouble: KeepError, #[case] expected: u16) {
    let stage = Stage::new().await;
    *stage.keeper.trouble.lock().expect("a lock") = Some(trouble.clone());
    let (status, words) = stage.apply(json!({"create": [a("www.example.net", "192.0.2.1")]})).await;
    assert_eq!((status, words), (expected, format!("{trouble}\n")));
}

#[tokio::test]
async fn bodies_have_a_limit_and_paths_their_methods() {
    let stage = Stage::new().await;
    let head = "POST /records HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 33554433\r\n\r\n";
    assert_eq!(stage.raw(head.as_bytes()).await.0, 413);
    let head = "POST /records HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (status, _, words) = stage.raw(format!("{head}no length\r\n").as_bytes()).await;
    assert!(status == 400 && words.contains("the connection broke off within the body"), "{status} {words}");
    assert_eq!(stage.ask("POST", "/records", "no JSON").await.0, 400);
    assert_eq!(stage.ask("POST", "/adjustendpoints", "{}").await.0, 400);
    assert_eq!(stage.ask("DELETE", "/records", "").await.0, 405);
    assert_eq!(stage.ask("GET", "/applychanges", "").await.0, 404);
}

#[test]
fn changes_are_read_in_any_case_and_null_is_nothing() {
    let text = r#"{"Create":[{"dnsName":"foo"}],"UpdateOld":[{"dnsName":"bar"}],"updateNew":[{"dnsName":"baz"}],"Delete":[{"dnsName":"qux"}]}"#;
    let changes = Changes::read(text.as_bytes()).expect("changes");
    let names = [changes.create, changes.update_old, changes.update_new, changes.delete];
    let names: Vec<String> = names.into_iter().flatten().map(|one| one.dns_name).collect();
    assert_eq!(names, ["foo", "bar", "baz", "qux"]);
    let nothing = r#"{"Create":null,"UpdateOld":null,"UpdateNew":null,"Delete":null,"later":1}"#;
    assert_eq!(Changes::read(nothing.as_bytes()), Ok(Changes::default()));
    let nulls = r#"{"create":[null,{"dnsName":"x","targets":null,"labels":null,"recordTTL":null}]}"#;
    assert_eq!(Changes::read(nulls.as_bytes()).expect("changes").create.len(), 1);
}

#[test]
fn objects_have_names_that_kubernetes_takes_and_that_lead_back() {
    let long = format!("{}.{}.{}.{}.net", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(50));
    let mut seen = std::collections::BTreeSet::new();
    for text in
        ["www.example.net", "*.example.net", "_owner-a.www.example.net", "www-example.net", "example.net", &long]
    {
        let owner = name(text);
        let object = object_name(&owner);
        assert!(object.len() <= 253 && seen.insert(object.clone()), "{object}");
        let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        assert!(object.bytes().all(fits), "{object}");
        let rrset = ForeignRrset { owner: text.to_owned(), ..ForeignRrset::default() };
        let key = NamespacedName::new("system", &object);
        assert_eq!(name_of(&key, std::slice::from_ref(&rrset), "system"), Some(owner.clone()));
        assert_eq!(name_of(&key, &[rrset], "elsewhere"), None);
        let key = NamespacedName::new("", &format!("{text}@{FAMILY}"));
        assert_eq!(name_of(&key, &[], "system"), Some(owner));
    }
    let stranger = ForeignRrset { owner: "www.example.net".to_owned(), ..ForeignRrset::default() };
    assert_eq!(name_of(&NamespacedName::new("system", "webhook-mine"), &[stranger], "system"), None);
}
