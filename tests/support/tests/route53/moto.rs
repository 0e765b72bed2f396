//! Somebody else's Route 53.

use aws_sdk_route53::types::{ChangeAction, RrType};
use support::moto::Moto;

use crate::client::{change, client, set};

#[tokio::test]
async fn a_zone_and_its_records_are_kept_by_moto() {
    let moto = Moto::start();
    let client = client(&moto.endpoint());
    let made = client.create_hosted_zone().name("example.com").caller_reference("one").send().await.expect("a zone");
    let zone = made.hosted_zone.expect("a zone").id;
    change(&client, &zone, [(ChangeAction::Create, set("www.example.com", "A", 60, &["192.0.2.1"]))])
        .await
        .expect("a change");
    let list = client.list_resource_record_sets().hosted_zone_id(&zone).send().await.expect("a list");
    let kept: Vec<(&str, &RrType)> =
        list.resource_record_sets.iter().map(|set| (set.name.as_str(), &set.r#type)).collect();
    assert!(kept.contains(&("www.example.com.", &RrType::A)), "{kept:?}");
}
