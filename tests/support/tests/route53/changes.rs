//! Changes: which are taken, which are refused, and in which words.

use aws_sdk_route53::types::{ChangeAction, ResourceRecordSet};
use support::route53::{Action, RecordSet, Route53, Routing};

use ChangeAction::{Create, Delete, Upsert};

use crate::client::{alias, change, client, refused, set, standing, weighted};

#[tokio::test]
async fn records_are_created_changed_and_deleted() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
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
    let client = client(&service.endpoint());
    change(&client, &zone, [(Create, set("www.example.com", "AAAA", 60, &["2001:0db8::A"]))]).await.expect("a change");
    change(&client, &zone, [(Upsert, set("www.example.com", "AAAA", 60, &["2001:db8::a"]))]).await.expect("a change");
    assert_eq!(standing(&service, &zone), ["www.example.com. AAAA 2001:0db8::A"]);
    change(&client, &zone, [(Delete, set("www.example.com", "AAAA", 60, &["2001:db8::a"]))]).await.expect("a change");
}

#[tokio::test]
async fn health_checks_exist_before_they_are_named() {
    let service = Route53::start();
    let zone = service.create_zone("example.com", false, &[]);
    let client = client(&service.endpoint());
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
