//! Aliases, routing policies, ownership: what stands in the zone, in the end and on the way.

mod common;

use mcdns_core::plan::{Ownership, PlanOptions};
use mcdns_publish::{Scope, battery::Wishes};
use serde_json::json;
use support::route53::{Action, RecordSet, Routing};

use common::{APEX, Place, name, targeted, wishes};

const OHIO: &str = "shop-1.us-east-2.elb.amazonaws.com";
const TOKYO: &str = "shop-2.elb.ap-northeast-1.amazonaws.com";

fn of(wanted: impl IntoIterator<Item = mcdns_core::plan::WantedName>) -> Wishes {
    Wishes(wanted.into_iter().map(|wanted| (wanted.owner.clone(), wanted)).collect())
}

#[tokio::test]
async fn load_balancers_become_aliases_of_each_kind_and_back_each_in_one_batch() {
    let place = Place::new();
    place.service.add_health_check("b6c1");
    let mut writer = place.writer(&json!({"healthChecks": {"ohio": "b6c1"}}));
    let one = of([targeted("web.example.com", &[("ohio", OHIO, "192.0.2.1")])]);
    let both = of([targeted("web.example.com", &[("ohio", OHIO, "192.0.2.1"), ("tokyo", TOKYO, "192.0.2.2")])]);
    let mixed =
        of([targeted("web.example.com", &[("ohio", OHIO, "192.0.2.1"), ("metal", "198.51.100.7", "198.51.100.7")])]);
    let climb = wishes(&["web 60 CNAME web.us.example.com."]);
    let states: [(&Wishes, &[&str]); 7] = [
        (
            &one,
            &[
                "web.example.com. A ALIAS shop-1.us-east-2.elb.amazonaws.com.",
                "web.example.com. AAAA ALIAS shop-1.us-east-2.elb.amazonaws.com.",
            ],
        ),
        (
            &both,
            &[
                "web.example.com. A [ohio] ALIAS shop-1.us-east-2.elb.amazonaws.com.",
                "web.example.com. A [tokyo] ALIAS shop-2.elb.ap-northeast-1.amazonaws.com.",
                "web.example.com. AAAA [ohio] ALIAS shop-1.us-east-2.elb.amazonaws.com.",
                "web.example.com. AAAA [tokyo] ALIAS shop-2.elb.ap-northeast-1.amazonaws.com.",
            ],
        ),
        (&mixed, &["web.example.com. A 192.0.2.1 198.51.100.7"]),
        (&climb, &["web.example.com. CNAME web.us.example.com."]),
        (&both, &[]),
        (&one, &[]),
        (&climb, &["web.example.com. CNAME web.us.example.com."]),
    ];
    for (index, (wanted, expected)) in states.into_iter().enumerate() {
        let step = writer.change(wanted, &["web.example.com"]).await;
        assert_eq!((step.done, step.error), (1, None), "state {index}: {:?}", writer.zone.quarantine());
        assert_eq!(place.service.batches(&place.zone).len(), index + 1, "one batch each");
        writer.converge(wanted).await;
        let lines: Vec<String> = place.lines().iter().map(|line| line.replace("  ", " ")).collect();
        if !expected.is_empty() {
            assert_eq!(lines, expected, "state {index}");
        }
    }
    let weighted = &place.service.batches(&place.zone)[1];
    let created: Vec<_> = weighted.iter().filter(|change| change.action == Action::Create).collect();
    assert!(created.iter().all(|change| matches!(change.set.routing, Some(Routing::Weight(120)))), "{created:?}");
    let checked = created.iter().filter(|change| change.set.health_check.as_deref() == Some("b6c1"));
    assert_eq!(checked.count(), 4, "A and AAAA of the cluster, and their marks");
    assert!(created.iter().all(|change| change.set.alias.is_none()
        || change.set.alias.as_ref().is_some_and(|alias| alias.evaluate_target_health)));
}

#[tokio::test]
async fn an_alias_may_stand_at_the_apex() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&of([targeted(APEX, &[("ohio", OHIO, "192.0.2.1")])])).await;
    assert_eq!(place.lines().len(), 2);
    writer.converge(&Wishes::default()).await;
    assert!(place.lines().is_empty() && place.marks().is_empty());
}

#[tokio::test]
async fn addresses_behind_an_alias_change_without_a_call() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&of([targeted("web.example.com", &[("ohio", OHIO, "192.0.2.1")])])).await;
    let before = place.all_calls();
    let step =
        writer.change(&of([targeted("web.example.com", &[("ohio", OHIO, "192.0.2.99")])]), &["web.example.com"]).await;
    assert_eq!((step.done, step.calls, place.all_calls()), (0, 0, before));
}

#[tokio::test]
async fn sets_of_others_are_left_alone_whatever_their_routing() {
    let place = Place::new();
    let text = |text: &str| Some(text.to_owned());
    let policies = [
        Routing::Weight(10),
        Routing::Region("eu-central-1".to_owned()),
        Routing::Failover("SECONDARY".to_owned()),
        Routing::MultiValue,
        Routing::GeoLocation { continent: text("EU"), country: None, subdivision: None },
        Routing::GeoLocation { continent: None, country: text("US"), subdivision: text("CA") },
        Routing::GeoProximity { region: text("us-east-1"), local_zone_group: None, coordinates: None, bias: -5 },
        Routing::GeoProximity {
            region: None,
            local_zone_group: None,
            coordinates: Some(("45.0".to_owned(), "-90.0".to_owned())),
            bias: 0,
        },
        Routing::Cidr { collection: "c8c02a84".to_owned(), location: "office".to_owned() },
    ];
    let mut lines = Vec::new();
    for (index, routing) in policies.into_iter().enumerate() {
        let owner = format!("p{index}.example.com");
        let set = RecordSet::new(&owner, "A", 60, &["203.0.113.1"]).routed("theirs", routing);
        place.service.put_foreign(&place.zone, set);
        lines.push(format!("p{index} 60 A 192.0.2.1"));
    }
    let alias = RecordSet::alias("same.example.com", "A", &place.zone, "p0.example.com");
    place.service.put_foreign(&place.zone, alias);
    lines.push("same 60 A 192.0.2.1".to_owned());
    let before = place.service.records(&place.zone);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut writer = place.writer(&json!({}));
    writer.converge(&wishes(&lines)).await;
    assert_eq!(writer.zone.last_plan().skipped.len(), 10);
    let read = writer.publisher.read(&name(APEX)).await.expect("a zone");
    let property = |owner: &str, key: &str| read.names[&name(owner)].group.sets()[0].properties.get(key).cloned();
    assert_eq!(property("p0.example.com", "aws/weight").as_deref(), Some("10"));
    assert_eq!(property("p3.example.com", "aws/multi-value-answer").as_deref(), Some(""));
    assert_eq!(property("p7.example.com", "aws/geoproximity-coordinates").as_deref(), Some("45.0,-90.0"));
    assert!(read.names.values().all(|standing| standing.ownership == Ownership::Unowned && standing.legacy.is_none()));
    writer.converge(&Wishes::default()).await;
    assert_eq!(place.service.records(&place.zone), before);
}

#[tokio::test]
async fn what_is_adopted_is_replaced_as_it_is_spelled_whatever_its_routing() {
    let place = Place::new();
    let put = |set| place.service.put_foreign(&place.zone, set);
    put(RecordSet::new("c.example.com", "CNAME", 60, &["Other.Example.NET"]));
    put(RecordSet::new("v6.example.com", "AAAA", 60, &["2001:0DB8:0:0:0:0:0:1"]));
    put(RecordSet::new("w.example.com", "A", 60, &["203.0.113.1"]).routed("a", Routing::Weight(0)));
    put(RecordSet::new("w.example.com", "A", 60, &["203.0.113.2"]).routed("b", Routing::Weight(255)));
    put(RecordSet::new("t.example.com", "TXT", 60, &["\"\\303\\244 \\\"quoted\\\"\" \"two\""]));
    let wanted = wishes(&["c 60 A 192.0.2.1", "v6 60 A 192.0.2.2", "w 60 A 192.0.2.3", "t 60 TXT new"]);
    let mut writer = place.writer(&json!({}));
    let options = PlanOptions { adopt: true, ..PlanOptions::default() };
    let (_leading, leads) = tokio::sync::watch::channel(true);
    let guard = mcdns_core::plan::GuardOptions { percent: 100, ..Default::default() };
    writer.zone = mcdns_publish::PublishedZone::new(
        writer.publisher.clone(),
        common::manager(),
        name(APEX),
        options,
        guard,
        std::sync::Arc::new(leads),
    );
    let step = writer.converge(&wanted).await;
    assert_eq!(step.done, 4);
    assert_eq!(
        place.lines(),
        [
            "c.example.com. A 192.0.2.1",
            "t.example.com. TXT \"new\"",
            "v6.example.com. A 192.0.2.2",
            "w.example.com. A 192.0.2.3",
        ]
    );
}

#[tokio::test]
async fn the_records_of_an_external_dns_are_taken_over_with_all_their_forms() {
    let place = Place::new();
    let text = "\"heritage=external-dns,external-dns/owner=default,external-dns/resource=service/shop/web\"";
    let put = |set| place.service.put_foreign(&place.zone, set);
    // Since 0.18, the form before, an alias of an older release, and one of the first.
    put(RecordSet::new("new.example.com", "A", 300, &["203.0.113.1"]));
    put(RecordSet::new("a-new.example.com", "TXT", 300, &[text]));
    put(RecordSet::new("both.example.com", "CNAME", 300, &["lb.example.net"]));
    put(RecordSet::new("ext.both.example.com", "TXT", 300, &[text]));
    put(RecordSet::new("ext.cname-both.example.com", "TXT", 300, &[text]));
    put(RecordSet::alias("al.example.com", "A", "Z3AADJGX6KTTL2", OHIO));
    put(RecordSet::new("ext.cname-al.example.com", "TXT", 300, &[text]));
    put(RecordSet::new("w.example.com", "A", 300, &["203.0.113.4"]).routed("c1", Routing::Weight(1)));
    put(RecordSet::new("ext.a-w.example.com", "TXT", 300, &[text]).routed("c1", Routing::Weight(1)));
    put(RecordSet::new("gone.example.com", "A", 300, &["203.0.113.5"]));
    put(RecordSet::new("a-gone.example.com", "TXT", 300, &[text]));
    put(RecordSet::new("theirs.example.com", "A", 300, &["203.0.113.6"]));
    put(RecordSet::new("a-theirs.example.com", "TXT", 300, &["\"heritage=external-dns,external-dns/owner=else\""]));
    let mut wanted = wishes(&[
        "new 300 A 203.0.113.1",
        "both 300 CNAME lb.example.net.",
        "w 60 A 192.0.2.4",
        "theirs 60 A 192.0.2.9",
    ]);
    wanted.0.extend(of([targeted("al.example.com", &[("ohio", OHIO, "192.0.2.1")])]).0);
    let mut writer = place.writer(&json!({"ownership": {"prefix": "ext.", "formerOwners": ["default"]}}));
    writer.converge(&wanted).await;
    let lines: Vec<String> = place.lines().iter().map(|line| line.replace("  ", " ")).collect();
    assert_eq!(
        lines,
        [
            "a-theirs.example.com. TXT \"heritage=external-dns,external-dns/owner=else\"",
            "al.example.com. A ALIAS shop-1.us-east-2.elb.amazonaws.com.",
            "al.example.com. AAAA ALIAS shop-1.us-east-2.elb.amazonaws.com.",
            "both.example.com. CNAME lb.example.net",
            "new.example.com. A 203.0.113.1",
            "theirs.example.com. A 203.0.113.6",
            "w.example.com. A 192.0.2.4",
        ]
    );
    let marks = place.marks();
    assert_eq!(marks.len(), 6, "{marks:?}");
    assert!(marks.iter().filter(|mark| mark.contains("owner=prod")).count() == 5);
}

#[tokio::test]
async fn ownership_can_be_written_as_external_dns_finds_it() {
    let place = Place::new();
    let section = json!({"ownership": {"prefix": "txt.", "wildcardReplacement": "any", "write": true}});
    let mut writer = place.writer(&section);
    writer.converge(&wishes(&["*.w 60 A 192.0.2.1", "www 60 A 192.0.2.1"])).await;
    let marks: Vec<String> =
        place.marks().iter().map(|mark| mark.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(marks, ["txt.a-www.example.com.", "txt.a-any.w.example.com."]);
    let read = writer.publisher.read_name(&name(APEX), &name("www.example.com")).await.expect("an answer");
    let mcdns_publish::ReadName::Standing(Some(standing)) = read else { panic!("{read:?}") };
    assert_eq!(standing.ownership, Ownership::Ours);
    // Back to our own form: the marks alone are written.
    let mut writer = place.writer(&json!({"ownership": {"prefix": "txt.", "wildcardReplacement": "any"}}));
    let step = writer.converge(&wishes(&["*.w 60 A 192.0.2.1", "www 60 A 192.0.2.1"])).await;
    assert_eq!(step.done, 2);
    let last = place.service.batches(&place.zone).pop().expect("a batch");
    assert!(last.iter().all(|change| change.set.kind == "TXT"), "{last:?}");
}

#[tokio::test]
async fn a_name_of_any_octets_is_published() {
    let place = Place::new();
    let odd = [r"a\032b", r"under_score", r"x\.y", r"\195\164", "*", "*.deep", r"st\*r", r"semi\;colon"];
    let lines: Vec<String> = odd.iter().map(|label| format!("{label} 60 A 192.0.2.1")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut writer = place.writer(&json!({}));
    writer.converge(&wishes(&lines)).await;
    assert_eq!(place.lines().len(), odd.len());
    let step = writer.step(&wishes(&lines), Scope::Zone).await;
    assert_eq!(step.calls, 0);
    writer.converge(&Wishes::default()).await;
    assert!(place.lines().is_empty() && place.marks().is_empty(), "{:?}", place.marks());
}
