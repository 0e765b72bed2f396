//! Zones, lists, changes in progress, and what goes wrong.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_sdk_route53::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{ChangeAction, ChangeStatus, RrType, TagResourceType},
};
use serde_json::json;
use support::route53::{Fault, RecordSet, Route53, Routing};

use ChangeAction::Create;

use crate::client::{change, client, http_client, set, standing, told};

#[tokio::test]
async fn lists_come_in_order_and_in_pages() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    for index in 0..700 {
        service.put_foreign(&zone, RecordSet::new(&format!("n{index}.example.com"), "A", 60, &["192.0.2.1"]));
    }
    let weighted = |identifier: &str| {
        RecordSet::new("w.example.com", "A", 60, &["192.0.2.1"]).routed(identifier, Routing::Weight(1))
    };
    service.put_foreign(&zone, weighted("one"));
    service.put_foreign(&zone, weighted("two"));
    let client = client(&service.endpoint());
    let (mut listed, mut sizes) = (Vec::new(), Vec::new());
    let (mut name, mut kind, mut identifier) = (None, None, None);
    loop {
        let page = client
            .list_resource_record_sets()
            .hosted_zone_id(&zone)
            .set_start_record_name(name)
            .set_start_record_type(kind)
            .set_start_record_identifier(identifier)
            .max_items(1000)
            .send()
            .await
            .expect("a page");
        sizes.push(page.resource_record_sets.len());
        listed.extend(page.resource_record_sets.into_iter().map(|set| (set.name, set.r#type, set.set_identifier)));
        (name, kind, identifier) = (page.next_record_name, page.next_record_type, page.next_record_identifier);
        if !page.is_truncated {
            break;
        }
    }
    assert_eq!(sizes, [300, 300, 104]);
    let kept: Vec<_> = service
        .records(&zone)
        .into_iter()
        .map(|set| (set.name, RrType::from(set.kind.as_str()), set.set_identifier))
        .collect();
    assert_eq!(listed, kept);
    assert_eq!(listed[702], ("w.example.com.".to_owned(), RrType::A, Some("one".to_owned())));

    let page = |name: Option<&str>, kind: Option<RrType>, most: i32| {
        client
            .list_resource_record_sets()
            .hosted_zone_id(&zone)
            .set_start_record_name(name.map(str::to_owned))
            .set_start_record_type(kind)
            .max_items(most)
            .send()
    };
    let second = client
        .list_resource_record_sets()
        .hosted_zone_id(&zone)
        .start_record_name("w.example.com")
        .start_record_type(RrType::A)
        .start_record_identifier("two")
        .send()
        .await
        .expect("a page");
    assert_eq!(second.resource_record_sets.len(), 1);
    assert_eq!(page(Some("zz.example.com"), None, 1).await.expect("a page").resource_record_sets.len(), 0);
    assert_eq!(told(&page(None, Some(RrType::A), 1).await.expect_err("a type alone")).0, "InvalidInput");
    assert_eq!(told(&page(None, None, 0).await.expect_err("no page")).0, "InvalidInput");
}

#[tokio::test]
async fn zones_are_listed_with_their_kind_and_tags() {
    let service = Route53::start();
    let ids: Vec<String> = (0..120)
        .map(|index| service.create_zone(&format!("z{index}.example.com"), index % 2 == 1, &[("team", "dns")]))
        .collect();
    let client = client(&service.endpoint());
    let first = client.list_hosted_zones().send().await.expect("a page");
    assert_eq!((first.hosted_zones.len(), first.is_truncated), (100, true));
    let rest = client.list_hosted_zones().marker(first.next_marker.expect("a marker")).send().await.expect("a page");
    assert_eq!((rest.hosted_zones.len(), rest.is_truncated), (20, false));
    let zone = &first.hosted_zones[1];
    assert_eq!((zone.id.as_str(), zone.name.as_str()), (format!("/hostedzone/{}", ids[1]).as_str(), "z1.example.com."));
    assert!(zone.config.as_ref().is_some_and(|config| config.private_zone));

    let named =
        client.list_hosted_zones_by_name().dns_name("z5.example.com").max_items(1).send().await.expect("a page");
    assert_eq!(named.hosted_zones[0].name, "z5.example.com.");
    assert_eq!(named.next_dns_name.as_deref(), Some("z50.example.com."));

    let tags = |count: usize| {
        client
            .list_tags_for_resources()
            .resource_type(TagResourceType::Hostedzone)
            .set_resource_ids(Some(ids[..count].to_vec()))
            .send()
    };
    let sets = tags(10).await.expect("tags").resource_tag_sets;
    assert_eq!(sets.len(), 10);
    assert_eq!(sets[0].tags()[0].value(), Some("dns"));
    assert_eq!(told(&tags(11).await.expect_err("too many")).0, "InvalidInput");

    let public = client.get_hosted_zone().id(&ids[0]).send().await.expect("a zone");
    assert_eq!(public.delegation_set.expect("servers").name_servers.len(), 4);
    assert!(client.get_hosted_zone().id(&ids[1]).send().await.expect("a zone").vpcs.is_some());
    service.delete_zone(&ids[0]);
    assert_eq!(
        told(&client.get_hosted_zone().id(&ids[0]).send().await.expect_err("no zone")),
        ("NoSuchHostedZone".to_owned(), format!("No hosted zone found with ID: {}", ids[0]))
    );
}

#[tokio::test]
async fn a_change_is_pending_until_it_is_in_sync() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    service.set_pending(Duration::MAX);
    let client = client(&service.endpoint());
    let id =
        change(&client, &zone, [(Create, set("www.example.com", "A", 60, &["192.0.2.1"]))]).await.expect("a change");
    let status =
        || async { client.get_change().id(&id).send().await.expect("a change").change_info.expect("a change").status };
    assert_eq!(status().await, ChangeStatus::Pending);
    service.settle();
    assert_eq!(status().await, ChangeStatus::Insync);
    assert_eq!(told(&client.get_change().id("C1").send().await.expect_err("no change")).0, "NoSuchChange");
    assert_eq!(service.calls()["GetChange"], 3);
}

#[tokio::test]
async fn a_busy_zone_and_a_busy_account_refuse() {
    let service = Route53::start();
    let (zone, other) =
        (service.create_zone("example.com", false, &[]), service.create_zone("example.net", false, &[]));
    service.set_busy(Duration::from_hours(1));
    let client = client(&service.endpoint());
    change(&client, &zone, [(Create, set("www.example.com", "A", 60, &["192.0.2.1"]))]).await.expect("a change");
    assert_eq!(
        change(&client, &zone, [(Create, set("two.example.com", "A", 60, &["192.0.2.1"]))]).await,
        Err((
            "PriorRequestNotComplete".to_owned(),
            "The request was rejected because Route 53 was still processing a prior request.".to_owned()
        ))
    );
    change(&client, &other, [(Create, set("www.example.net", "A", 60, &["192.0.2.1"]))]).await.expect("another zone");
    service.set_rate(Some(0));
    assert_eq!(
        told(&client.list_hosted_zones().send().await.expect_err("too many")),
        ("Throttling".to_owned(), "Rate exceeded".to_owned())
    );
    assert_eq!(service.throttled(), 1);
}

#[tokio::test]
async fn faults_come_as_often_as_planned_and_with_or_without_effect() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service.endpoint());
    for (fault, code) in [
        (Fault::AccessDenied, "AccessDenied"),
        (Fault::ExpiredToken, "ExpiredToken"),
        (Fault::InvalidClientTokenId, "InvalidClientTokenId"),
        (Fault::NoSuchHostedZone, "NoSuchHostedZone"),
        (Fault::ServiceUnavailable, "ServiceUnavailable"),
    ] {
        service.fail("GetHostedZone", fault, 1);
        client.list_hosted_zones().send().await.expect("another action");
        assert_eq!(told(&client.get_hosted_zone().id(&zone).send().await.expect_err("a fault")).0, code);
        client.get_hosted_zone().id(&zone).send().await.expect("no fault");
    }
    let create = |name: &str| change(&client, &zone, [(Create, set(name, "A", 60, &["192.0.2.1"]))]);
    for (name, fault) in
        [("a.example.com", Fault::Cut), ("b.example.com", Fault::CutAfter), ("c.example.com", Fault::Garbage)]
    {
        service.fail("*", fault, 1);
        create(name).await.expect_err("no answer");
    }
    service.fail_after("ChangeResourceRecordSets", 1, Fault::CutAfter);
    create("d.example.com").await.expect("not yet");
    create("e.example.com").await.expect_err("no answer");
    assert_eq!(
        standing(&service, &zone),
        ["b.example.com. A 192.0.2.1", "d.example.com. A 192.0.2.1", "e.example.com. A 192.0.2.1"]
    );
    // The SDK takes what it has got for all there is: whoever uses it has to look.
    service.fail("ListResourceRecordSets", Fault::Half, 1);
    let half = client.list_resource_record_sets().hosted_zone_id(&zone).send().await.expect("an answer");
    assert!(half.resource_record_sets.len() < service.records(&zone).len());
    service.fail("*", Fault::Hang, u32::MAX);
    let hung = tokio::time::timeout(Duration::from_millis(200), client.list_hosted_zones().send()).await;
    assert!(hung.is_err());
    service.mend();
    client.list_hosted_zones().send().await.expect("an answer");
}

#[tokio::test]
async fn who_signs_for_elsewhere_is_refused_and_who_signs_is_noted() {
    let service = Route53::start();
    service.create_zone("example.com", false, &[]);
    let elsewhere = client(&service.endpoint())
        .config()
        .to_builder()
        .region(Region::new("eu-west-1"))
        .endpoint_url(service.endpoint())
        .build();
    let error = Client::from_conf(elsewhere).list_hosted_zones().send().await.expect_err("another region");
    assert_eq!(told(&error).0, "SignatureDoesNotMatch");
    client(&service.endpoint()).list_hosted_zones().send().await.expect("zones");
    let log = service.log();
    assert_eq!(log.iter().map(|call| call.identity.as_str()).collect::<Vec<_>>(), ["AKIATEST", "AKIATEST"]);
    assert_eq!(log[0].refused.as_deref(), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn a_role_is_assumed_and_signs() {
    let service = Route53::start();
    let role = "arn:aws:iam::111122223333:role/dns";
    service.allow_role(role, Some("federation"));
    let base = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(service.endpoint())
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"))
        .http_client(http_client())
        .load()
        .await;
    for (external_id, taken) in [("another", false), ("federation", true)] {
        let provider = AssumeRoleProvider::builder(role)
            .external_id(external_id)
            .session_name("test")
            .configure(&base)
            .build()
            .await;
        let config = client(&service.endpoint())
            .config()
            .to_builder()
            .credentials_provider(provider)
            .endpoint_url(service.endpoint());
        let answer = Client::from_conf(config.build()).list_hosted_zones().send().await;
        assert_eq!(answer.is_ok(), taken, "{answer:?}");
    }
    let log = service.log();
    let last = log.last().expect("a call");
    assert_eq!((last.action.as_str(), last.identity.as_str()), ("ListHostedZones", role));
    assert_eq!(service.calls()["AssumeRole"], 2);
}

#[tokio::test]
async fn a_policy_allows_what_it_says_and_nothing_else() {
    let service = Route53::start();
    let (zone, other) =
        (service.create_zone("example.com", false, &[]), service.create_zone("example.net", false, &[]));
    let client = client(&service.endpoint());
    let statement =
        |actions: &[&str], resource: String| json!({"Effect": "Allow", "Action": actions, "Resource": [resource]});
    let mut records = statement(&["route53:ChangeResourceRecordSets"], format!("arn:aws:route53:::hostedzone/{zone}"));
    records["Condition"] = json!({"ForAllValues:StringLike": {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["*.fed.example.com"]
    }});
    let read = statement(&["route53:ListResourceRecordSets"], format!("arn:aws:route53:::hostedzone/{zone}"));
    service.set_policy(&json!({"Version": "2012-10-17", "Statement": [records, read]}));

    client.list_resource_record_sets().hosted_zone_id(&zone).send().await.expect("the zone is read");
    let denied = client.list_resource_record_sets().hosted_zone_id(&other).send().await.expect_err("another zone");
    assert_eq!(
        told(&denied),
        (
            "AccessDenied".to_owned(),
            format!(
                "User: AKIATEST is not authorized to perform: route53:ListResourceRecordSets on resource: \
                 arn:aws:route53:::hostedzone/{other} because no identity-based policy allows the \
                 route53:ListResourceRecordSets action"
            )
        )
    );
    assert_eq!(told(&client.list_hosted_zones().send().await.expect_err("no list")).0, "AccessDenied");
    let set = |name: &str| set(name, "A", 60, &["192.0.2.1"]);
    change(&client, &zone, [(Create, set("*.fed.example.com"))]).await.expect("a name that is allowed");
    let both = [(Create, set("a.fed.example.com")), (Create, set("www.example.com"))];
    assert_eq!(change(&client, &zone, both).await.expect_err("a name that is not").0, "AccessDenied");
    assert_eq!(standing(&service, &zone), ["\\052.fed.example.com. A 192.0.2.1"]);
}
