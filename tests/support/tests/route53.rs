//! The Route 53 of tests, as the SDK sees it.

use std::time::Duration;

use aws_sdk_route53::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{
        AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
        TagResourceType,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use support::route53::{Action, Fault, RecordSet, Route53, Routing};

use ChangeAction::{Create, Delete, Upsert};

/// A client that does not try again.
fn client(service: &Route53) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(service.endpoint())
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"))
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build())
        .build();
    Client::from_conf(config)
}

fn set(name: &str, kind: &str, ttl: i64, values: &[&str]) -> ResourceRecordSet {
    let records = values.iter().map(|&value| ResourceRecord::builder().value(value).build().expect("a record"));
    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::from(kind))
        .ttl(ttl)
        .set_resource_records(Some(records.collect()))
        .build()
        .expect("a set")
}

fn weighted(name: &str, identifier: &str, weight: i64, ttl: i64, value: &str) -> ResourceRecordSet {
    let mut set = set(name, "A", ttl, &[value]);
    set.set_identifier = Some(identifier.to_owned());
    set.weight = Some(weight);
    set
}

fn alias(name: &str, zone: &str, target: &str, evaluate: bool) -> ResourceRecordSet {
    let target = AliasTarget::builder()
        .hosted_zone_id(zone)
        .dns_name(target)
        .evaluate_target_health(evaluate)
        .build()
        .expect("a target");
    ResourceRecordSet::builder().name(name).r#type(RrType::A).alias_target(target).build().expect("a set")
}

/// The change's ID, or code and message of the refusal.
async fn change(
    client: &Client,
    zone: &str,
    changes: impl IntoIterator<Item = (ChangeAction, ResourceRecordSet)>,
) -> Result<String, (String, String)> {
    let changes = changes
        .into_iter()
        .map(|(action, set)| Change::builder().action(action).resource_record_set(set).build().expect("a change"));
    let batch = ChangeBatch::builder().set_changes(Some(changes.collect())).build().expect("a batch");
    let answer = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
    match answer {
        Ok(answer) => Ok(answer.change_info.expect("a change").id),
        Err(error) => Err(told(&error)),
    }
}

fn told(error: &impl ProvideErrorMetadata) -> (String, String) {
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

/// Names and types of what is there beside SOA and NS.
fn standing(service: &Route53, zone: &str) -> Vec<String> {
    let sets = service.records(zone).into_iter().filter(|set| !["SOA", "NS"].contains(&set.kind.as_str()));
    sets.map(|set| format!("{} {} {}", set.name, set.kind, set.values.join(" "))).collect()
}

fn refused(problem: &str) -> Result<String, (String, String)> {
    Err(("InvalidChangeBatch".to_owned(), format!("[{problem}]")))
}

#[tokio::test]
async fn records_are_created_changed_and_deleted() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let created = change(&client, &zone, [(Create, set("*.Example.com", "A", 60, &["192.0.2.1"]))]).await;
    assert!(created.expect("a change").starts_with("/change/C"));
    assert_eq!(standing(&service, &zone), ["\\052.example.com. A 192.0.2.1"]);
    change(&client, &zone, [(Upsert, set("*.example.com.", "A", 60, &["192.0.2.2"]))]).await.expect("a change");
    assert_eq!(standing(&service, &zone), ["\\052.example.com. A 192.0.2.2"]);
    change(&client, &zone, [(Delete, set("\\052.example.com", "A", 60, &["192.0.2.2"]))]).await.expect("a change");
    assert_eq!(standing(&service, &zone), Vec::<String>::new());
    let actions: Vec<Action> = service.batches(&zone).iter().flatten().map(|change| change.action).collect();
    assert_eq!(actions, [Action::Create, Action::Upsert, Action::Delete]);
}

#[tokio::test]
async fn create_and_delete_must_fit_what_is_there() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let www = || set("www.example.com", "A", 60, &["192.0.2.1", "192.0.2.2"]);
    change(&client, &zone, [(Create, www())]).await.expect("a change");
    assert_eq!(
        change(&client, &zone, [(Create, www())]).await,
        refused("Tried to create resource record set [name='www.example.com.', type='A'] but it already exists")
    );
    for other in
        [set("www.example.com", "A", 61, &["192.0.2.1", "192.0.2.2"]), set("www.example.com", "A", 60, &["192.0.2.1"])]
    {
        assert_eq!(
            change(&client, &zone, [(Delete, other)]).await,
            refused(
                "Tried to delete resource record set [name='www.example.com.', type='A'] but the values provided do not \
                 match the current values"
            )
        );
    }
    change(&client, &zone, [(Delete, set("www.example.com", "A", 60, &["192.0.2.2", "192.0.2.1"]))])
        .await
        .expect("a change");
    assert_eq!(
        change(&client, &zone, [(Delete, www())]).await,
        refused("Tried to delete resource record set [name='www.example.com.', type='A'] but it was not found")
    );
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all_and_every_problem_is_told() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let batch = [
        (Create, set("good.example.com", "A", 60, &["192.0.2.1"])),
        (Delete, set("one.example.com", "A", 60, &["192.0.2.1"])),
        (Delete, set("two.example.com", "TXT", 60, &["\"x\""])),
    ];
    assert_eq!(
        change(&client, &zone, batch).await,
        refused(
            "Tried to delete resource record set [name='one.example.com.', type='A'] but it was not found, \
             Tried to delete resource record set [name='two.example.com.', type='TXT'] but it was not found"
        )
    );
    assert_eq!(standing(&service, &zone), Vec::<String>::new());
}

#[tokio::test]
async fn a_type_changes_in_one_batch_and_in_that_order() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let (old, new) =
        (set("www.example.com", "CNAME", 60, &["example.net"]), set("www.example.com", "A", 60, &["192.0.2.1"]));
    change(&client, &zone, [(Create, old.clone())]).await.expect("a change");
    let conflict = "RRSet of type A with DNS name www.example.com. is not permitted because a conflicting RRSet of type  CNAME \
                    with the same DNS name already exists in zone example.com.";
    assert_eq!(change(&client, &zone, [(Upsert, new.clone())]).await, refused(conflict));
    assert_eq!(change(&client, &zone, [(Create, new.clone()), (Delete, old.clone())]).await, refused(conflict));
    change(&client, &zone, [(Delete, old.clone()), (Create, new)]).await.expect("a change");
    assert_eq!(
        change(&client, &zone, [(Create, old)]).await,
        refused(
            "RRSet of type CNAME with DNS name www.example.com. is not permitted as it conflicts with other records with the \
             same DNS name in zone example.com."
        )
    );
}

#[tokio::test]
async fn what_no_zone_can_hold_is_refused() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    for (set, problem) in [
        (
            set("example.com", "CNAME", 60, &["example.net"]),
            "RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.",
        ),
        (
            set("www.badexample.com", "A", 60, &["192.0.2.1"]),
            "RRSet with DNS name www.badexample.com. is not permitted in zone example.com.",
        ),
        (
            set("www.example.com", "A", 60, &["web.example.net"]),
            "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) \
             encountered with 'web.example.net''",
        ),
        (
            set("www.example.com", "TXT", 60, &["bare"]),
            "Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) \
             encountered with 'bare''",
        ),
        (
            set("www.example.com", "A", 60, &["10.160.0.188", "10.160.0.188"]),
            "Duplicate Resource Record: '10.160.0.188'",
        ),
        (
            set("a..example.com", "A", 60, &["192.0.2.1"]),
            "FATAL problem: DomainLabelEmpty (Domain label is empty) encountered with 'a..example.com'",
        ),
    ] {
        assert_eq!(change(&client, &zone, [(Upsert, set)]).await, refused(problem));
    }
    let apex: Vec<RecordSet> = service.records(&zone);
    let own = apex.iter().map(|own| {
        let values: Vec<&str> = own.values.iter().map(String::as_str).collect();
        (Delete, set(&own.name, &own.kind, i64::from(own.ttl.unwrap_or_default()), &values))
    });
    assert_eq!(
        change(&client, &zone, own).await,
        refused(
            "A HostedZone must contain at least one NS record for the zone itself., \
             A HostedZone must contain exactly one SOA record."
        )
    );
    assert_eq!(service.records(&zone), apex);
}

#[tokio::test]
async fn a_set_is_changed_once_in_a_batch() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let (one, other) =
        (set("www.example.com", "A", 60, &["192.0.2.1"]), set("www.example.com", "A", 60, &["192.0.2.2"]));
    for (first, second) in [(Create, Create), (Upsert, Upsert), (Create, Delete), (Delete, Delete), (Upsert, Delete)] {
        assert_eq!(
            change(&client, &zone, [(first, one.clone()), (second, other.clone())]).await,
            refused("The request contains an invalid set of changes for a resource record set 'A www.example.com.'")
        );
    }
    change(&client, &zone, [(Create, one.clone())]).await.expect("a change");
    change(&client, &zone, [(Delete, one), (Create, other)]).await.expect("a change");
    assert_eq!(standing(&service, &zone), ["www.example.com. A 192.0.2.2"]);
}

#[tokio::test]
async fn limits_count_records_and_characters_and_updates_twice() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let many = |count: usize, action: &ChangeAction| -> Vec<(ChangeAction, ResourceRecordSet)> {
        (0..count)
            .map(|index| (action.clone(), set(&format!("n{index}.example.com"), "A", 60, &["192.0.2.1"])))
            .collect()
    };
    let records = refused("Number of records limit of 1000 exceeded.");
    assert_eq!(change(&client, &zone, many(1001, &Create)).await, records);
    assert_eq!(change(&client, &zone, many(501, &Upsert)).await, records);
    change(&client, &zone, many(500, &Upsert)).await.expect("a change");
    change(&client, &zone, many(1000, &Delete)[..500].to_vec()).await.expect("a change");
    change(&client, &zone, many(1000, &Create)).await.expect("a change");

    // Each has 322 characters.
    let text = vec![format!("\"{}\"", "x".repeat(158)); 2].join(" ") + " ";
    assert_eq!(text.len(), 322);
    let texts = |count: usize, action: &ChangeAction| -> Vec<(ChangeAction, ResourceRecordSet)> {
        (0..count).map(|index| (action.clone(), set(&format!("t{index}.example.com"), "TXT", 60, &[&text]))).collect()
    };
    let characters = refused("RDATA character limit of 32000 exceeded.");
    assert_eq!(change(&client, &zone, texts(100, &Create)).await, characters);
    assert_eq!(change(&client, &zone, texts(50, &Upsert)).await, characters);
    change(&client, &zone, texts(99, &Create)).await.expect("a change");

    service.set_quota(service.records(&zone).len());
    assert_eq!(
        change(&client, &zone, [(Create, set("more.example.com", "A", 60, &["192.0.2.1"]))]).await,
        refused(&format!("Exceeded limit MAX_RRSETS_BY_ZONE for zone: {zone}"))
    );
}

#[tokio::test]
async fn sets_of_one_name_and_type_share_one_policy() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let simple = || set("www.example.com", "A", 60, &["192.0.2.1"]);
    change(&client, &zone, [(Create, simple())]).await.expect("a change");
    assert_eq!(
        change(&client, &zone, [(Create, weighted("www.example.com", "one", 10, 60, "192.0.2.2"))]).await,
        refused(
            "RRSet with DNS name www.example.com., type A, SetIdentifier one cannot be created as a non-weighted set exists \
             with the same name and type."
        )
    );
    let both = [
        (Delete, simple()),
        (Create, weighted("www.example.com", "one", 10, 60, "192.0.2.2")),
        (Create, weighted("www.example.com", "two", 10, 60, "192.0.2.3")),
    ];
    change(&client, &zone, both).await.expect("a change");
    assert_eq!(
        change(&client, &zone, [(Upsert, simple())]).await,
        refused(
            "RRSet with DNS name www.example.com., type A cannot be created as other RRSets exist with the same name and type."
        )
    );
    assert_eq!(
        change(&client, &zone, [(Upsert, weighted("www.example.com", "two", 10, 30, "192.0.2.3"))]).await,
        refused(
            "RRSet with DNS name www.example.com. and type A, SetIdentifier two cannot be created as weighted sets must \
             contain the same TTL."
        )
    );
    let mut latency = simple();
    latency.set_identifier = Some("two".to_owned());
    latency.region = Some("eu-west-2".into());
    assert_eq!(
        change(&client, &zone, [(Upsert, latency)]).await,
        refused(
            "RRSet with DNS name www.example.com., type A, SetIdentifier two, and Region Name=eu-west-2 cannot be created \
             because a non-latency RRSet with the same name and type already exists."
        )
    );
    assert_eq!(
        change(&client, &zone, [(Create, weighted("www.example.com", "one", 10, 60, "192.0.2.2"))]).await,
        refused(
            "Tried to create resource record set [name='www.example.com.', type='A', set-identifier='one'] but it already exists"
        )
    );
    let sets = service.records(&zone).into_iter().filter_map(|set| set.routing).collect::<Vec<_>>();
    assert_eq!(sets, [Routing::Weight(10), Routing::Weight(10)]);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_invalid_input() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let www = || set("www.example.com", "A", 60, &["192.0.2.1"]);
    let with = "in Change with [Action=UPSERT, Name=www.example.com, Type=A, SetIdentifier=";
    let (mut bare, mut both, mut unnamed, mut unrouted, mut heavy) = (www(), www(), www(), www(), www());
    bare.ttl = None;
    both.alias_target = alias("x", &zone, "example.com", false).alias_target;
    unnamed.weight = Some(1);
    unrouted.set_identifier = Some("one".to_owned());
    heavy.weight = Some(256);
    let policies =
        "[Weight, Region, Failover, GeoLocation, MultiValueAnswer, GeoProximityLocation, or CidrRoutingConfig]";
    let sources = "[AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]";
    for (set, message) in [
        (bare, format!("Invalid request: Expected exactly one of {sources}, but found none {with}null]")),
        (both, format!("Invalid request: Expected exactly one of {sources}, but found more than one {with}null]")),
        (unnamed, format!("Invalid request: Missing field 'SetIdentifier' {with}null]")),
        (unrouted, format!("Invalid request: Expected exactly one of {policies}, but found none {with}one]")),
        (
            heavy,
            "1 validation error detected: Value '256' at 'changeBatch.changes.1.member.resourceRecordSet.weight' failed to \
             satisfy constraint: Member must have value less than or equal to 255"
                .to_owned(),
        ),
        (
            set("www.example.com", "A", -1, &["192.0.2.1"]),
            "1 validation error detected: Value '-1' at 'changeBatch.changes.1.member.resourceRecordSet.tTL' failed to \
             satisfy constraint: Member must have value greater than or equal to 0"
                .to_owned(),
        ),
    ] {
        assert_eq!(change(&client, &zone, [(Upsert, set)]).await, Err(("InvalidInput".to_owned(), message)));
    }
}

#[tokio::test]
async fn aliases_lead_to_what_is_there_and_of_their_type() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let balancer = "web-1.eu-central-1.elb.amazonaws.com";
    change(&client, &zone, [(Create, alias("example.com", "Z215JYRZR1TBD5", balancer, true))])
        .await
        .expect("an alias at the apex");
    let found = service.records(&zone).into_iter().find_map(|set| set.alias).expect("an alias");
    assert_eq!(found.name, format!("{balancer}."));
    assert_eq!(
        change(&client, &zone, [(Create, alias("a.example.com", &zone, balancer, false))]).await,
        refused(&format!(
            "Tried to create an alias that targets {balancer}., type A in zone {zone}, but the alias target name does not \
             lie within the target zone, Tried to create an alias that targets {balancer}., type A in zone {zone}, but that \
             target was not found"
        ))
    );
    let missing = format!(
        "Tried to create an alias that targets b.example.com., type A in zone {zone}, but that target was not found"
    );
    let to_b = || alias("a.example.com", &zone, "b.example.com", false);
    let b = || set("b.example.com", "A", 60, &["192.0.2.1"]);
    assert_eq!(change(&client, &zone, [(Create, to_b())]).await, refused(&missing));
    assert_eq!(change(&client, &zone, [(Create, to_b()), (Create, b())]).await, refused(&missing));
    change(&client, &zone, [(Create, b()), (Create, to_b())]).await.expect("a target before its alias");
    let (code, _) =
        change(&client, &zone, [(Create, alias("c.example.com", "Z2FDTNDATAQYW2", "d.cloudfront.net", true))])
            .await
            .expect_err("no health of CloudFront");
    assert_eq!(code, "InvalidChangeBatch");
    change(&client, &zone, [(Create, alias("c.example.com", "Z2FDTNDATAQYW2", "d.cloudfront.net", false))])
        .await
        .expect("an alias");
}

#[tokio::test]
async fn an_update_in_other_words_leaves_the_old_ones() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    change(&client, &zone, [(Create, set("www.example.com", "AAAA", 60, &["2001:0db8::A"]))]).await.expect("a change");
    change(&client, &zone, [(Upsert, set("www.example.com", "AAAA", 60, &["2001:db8::a"]))]).await.expect("a change");
    assert_eq!(standing(&service, &zone), ["www.example.com. AAAA 2001:0db8::A"]);
    change(&client, &zone, [(Delete, set("www.example.com", "AAAA", 60, &["2001:db8::a"]))]).await.expect("a change");
}

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
    let client = client(&service);
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
    let client = client(&service);
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
    let client = client(&service);
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
    service.set_busy(Duration::from_secs(3600));
    let client = client(&service);
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
    let client = client(&service);
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
    let elsewhere = client(&service)
        .config()
        .to_builder()
        .region(Region::new("eu-west-1"))
        .endpoint_url(service.endpoint())
        .build();
    let error = Client::from_conf(elsewhere).list_hosted_zones().send().await.expect_err("another region");
    assert_eq!(told(&error).0, "SignatureDoesNotMatch");
    client(&service).list_hosted_zones().send().await.expect("zones");
    let log = service.log();
    assert_eq!(log.iter().map(|call| call.identity.as_str()).collect::<Vec<_>>(), ["AKIATEST", "AKIATEST"]);
    assert_eq!(log[0].refused.as_deref(), Some("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn health_checks_exist_before_they_are_named() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service);
    let mut primary = set("www.example.com", "A", 60, &["192.0.2.1"]);
    primary.set_identifier = Some("one".to_owned());
    primary.failover = Some("PRIMARY".into());
    assert_eq!(
        change(&client, &zone, [(Create, primary.clone())]).await,
        refused("A non-alias primary ResourceRecordSet must have an associated health check. No changes made.")
    );
    primary.health_check_id = Some("check-1".to_owned());
    change(&client, &zone, [(Create, primary.clone())]).await.expect_err("no such check");
    service.add_health_check("check-1");
    change(&client, &zone, [(Create, primary)]).await.expect("a change");
}
