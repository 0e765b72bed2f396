//! Which hosted zone is read and written, and how many calls that costs.

mod common;

use std::collections::BTreeSet;

use mcdns_publish::{PublishError, Scope, battery::Wishes};
use rstest::rstest;
use serde_json::{Value, json};
use support::route53::RecordSet;

use common::{APEX, Place, Writer, name, wishes};

/// A private zone beside the public one, and one below it.
fn account() -> (Place, String, String) {
    let place = Place::new();
    let private = place.service.create_zone(APEX, true, &[("team", "dns"), ("stage", "1")]);
    let below = place.service.create_zone("fed.example.com", false, &[("team", "dns")]);
    (place, private, below)
}

#[rstest]
#[case::public(json!({"zoneType": "public"}), 0)]
#[case::private(json!({"zoneType": "private"}), 1)]
#[case::tags(json!({"zoneTags": {"team": "dns", "stage": 1}}), 1)]
#[tokio::test]
async fn the_zone_that_the_settings_say_is_written(#[case] section: Value, #[case] which: usize) {
    let (place, private, below) = account();
    let zones = [place.zone.clone(), private, below];
    let mut writer = place.writer(&section);
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    for (index, zone) in zones.iter().enumerate() {
        let sets = place.service.records(zone).len();
        assert_eq!(sets, if index == which { 4 } else { 2 }, "zone {index}");
    }
}

#[tokio::test]
async fn a_zone_by_its_id_needs_no_list_of_zones() {
    let (place, private, _) = account();
    let mut writer = place.writer(&json!({"zoneIds": [format!("/hostedzone/{private}")]}));
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    assert_eq!(place.service.records(&private).len(), 4);
    assert_eq!((place.calls("ListHostedZones"), place.calls("GetHostedZone")), (0, 1));
}

#[tokio::test]
async fn two_zones_of_one_name_are_not_guessed_between() {
    let (place, private, _) = account();
    let mut writer = place.writer(&json!({}));
    let step = writer.step(&wishes(&["www 60 A 192.0.2.1"]), Scope::Zone).await;
    let Some(PublishError::NoZone { apex, words }) = step.error else { panic!("{step:?}") };
    assert_eq!(apex, name(APEX));
    assert!(words.contains(&private) && words.contains("zoneType"), "{words}");
}

#[tokio::test]
async fn a_zone_of_ours_may_live_in_a_hosted_zone_above_it() {
    let place = Place::new();
    place.service.put_foreign(&place.zone, RecordSet::new("www.example.com", "A", 60, &["203.0.113.1"]));
    let apex = name("deep.fed.example.com");
    let lines = ["@ 60 A 192.0.2.1", "www 60 A 192.0.2.2", "*.x 60 A 192.0.2.3"];
    let wanted = Wishes::of(&apex, &lines).expect("wishes");
    let mut writer = Writer::new(place.publisher(&json!({})), apex.clone());
    writer.converge(&wanted).await;
    let read = writer.publisher.read(&apex).await.expect("a zone");
    assert_eq!(read.names.len(), 3, "what is outside is nobody's business: {:?}", read.names.keys());
    writer.converge(&Wishes::default()).await;
    assert_eq!(place.lines(), ["www.example.com. A 203.0.113.1"]);
}

#[tokio::test]
async fn the_longest_name_wins() {
    let (place, _, below) = account();
    let apex = name("a.fed.example.com");
    let mut writer = Writer::new(place.publisher(&json!({"zoneType": "public"})), apex.clone());
    writer.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.1"]).expect("wishes")).await;
    assert_eq!(place.service.records(&below).len(), 4);
}

#[tokio::test]
async fn many_zones_and_many_sets_are_read_page_by_page() {
    let place = Place::new();
    for index in 0..120 {
        place.service.create_zone(&format!("zone-{index}.example.net"), index % 2 == 0, &[]);
    }
    for index in 0..700 {
        let set = RecordSet::new(&format!("n{index}.example.com"), "A", 60, &["203.0.113.1"]);
        place.service.put_foreign(&place.zone, set);
    }
    // A page ends within the sets of one name.
    for index in 0..90 {
        let routing = support::route53::Routing::Weight(1);
        let set = RecordSet::new("many.example.com", "A", 60, &["203.0.113.1"]).routed(&format!("s{index}"), routing);
        place.service.put_foreign(&place.zone, set);
    }
    let publisher = place.publisher(&json!({}));
    let read = publisher.read(&name(APEX)).await.expect("a zone");
    assert_eq!(read.names.len(), 701);
    assert_eq!(read.names[&name("many.example.com")].group.sets().len(), 90);
    assert_eq!((place.calls("ListHostedZones"), place.calls("ListResourceRecordSets")), (2, 3));
    let zones: BTreeSet<_> = publisher.zones().await.expect("zones").into_iter().collect();
    assert_eq!((zones.len(), zones.contains(&name("zone-119.example.net"))), (121, true));
    assert_eq!(place.calls("ListHostedZones"), 2, "the list is kept");
    let private = place.publisher(&json!({"zoneType": "private"}));
    assert_eq!(private.zones().await.expect("zones").len(), 60);
    assert_eq!(place.calls("ListHostedZones"), 2, "and shared");
}

#[tokio::test]
async fn tags_are_asked_for_ten_at_a_time_and_only_where_they_decide() {
    let place = Place::new();
    let mut ids = Vec::new();
    for index in 0..25 {
        let stage = index.to_string();
        ids.push(place.service.create_zone("shared.example.net", index % 2 == 0, &[("stage", stage.as_str())]));
    }
    for index in 0..30 {
        place.service.create_zone(&format!("other-{index}.example.org"), false, &[("stage", "17")]);
    }
    let apex = name("shared.example.net");
    let mut writer = Writer::new(place.publisher(&json!({"zoneTags": {"stage": 17}})), apex.clone());
    writer.converge(&Wishes::of(&apex, &["www 60 A 192.0.2.1"]).expect("wishes")).await;
    assert_eq!(place.service.records(&ids[17]).len(), 4);
    assert_eq!(place.calls("ListTagsForResources"), 3);
}

#[tokio::test]
async fn a_zone_leaves_alone_what_a_zone_below_it_keeps_in_the_same_hosted_zone() {
    let (place, apex, child) = (Place::new(), name(APEX), name("eu.example.com"));
    let zones = [apex.clone(), child.clone()];
    let publisher = mcdns_route53::publisher("aws", &zones, &common::manager(), &place.section(&json!({})));
    let publisher = publisher.expect("a publisher");
    let [mut above, mut below] = zones.map(|apex| Writer::of(publisher.clone(), apex, &[name(APEX), child.clone()]));
    // The parent delegates: the names of the child would be hidden by that.
    let parents = wishes(&["@ 60 A 192.0.2.1", "www 60 A 192.0.2.2", "eu 60 NS ns1.eu", "ns1.eu 60 A 192.0.2.3"]);
    let children = Wishes::of(&child, &["@ 60 A 192.0.2.4", "www 60 A 192.0.2.5"]).expect("wishes");
    above.converge(&parents).await;
    below.converge(&children).await;
    let lines = ["example.com. A 192.0.2.1", "eu.example.com. A 192.0.2.4"];
    let more = ["www.eu.example.com. A 192.0.2.5", "www.example.com. A 192.0.2.2"];
    assert_eq!(place.lines(), [lines, more].concat());
    let written = place.calls("ChangeResourceRecordSets");
    above.converge(&parents).await;
    below.converge(&children).await;
    let gone = above.change(&parents, &["www.eu.example.com", "eu.example.com"]).await;
    assert_eq!((gone.done, gone.error), (0, None));
    assert_eq!(place.calls("ChangeResourceRecordSets"), written);

    // With a hosted zone of its own the child moves there, and the parent delegates to it.
    let own = place.service.create_zone("eu.example.com", false, &[]);
    let publisher = place.publisher(&json!({"zonesCache": "0s"}));
    let mut above = Writer::of(publisher.clone(), apex, std::slice::from_ref(&child));
    let mut below = Writer::of(publisher, child, &[]);
    below.converge(&children).await;
    above.converge(&parents).await;
    let lines = ["example.com. A 192.0.2.1", "eu.example.com. NS ns1.eu.example.com."];
    let more = ["ns1.eu.example.com. A 192.0.2.3", "www.example.com. A 192.0.2.2"];
    assert_eq!(place.lines(), [lines, more].concat());
    assert_eq!(place.service.records(&own).len(), 2 + 4);
}
