//! What is refused, denied, away or nonsense: who is to blame, in whose words, and that nobody else suffers.

mod common;

use mcdns_core::plan::SkipReason;
use mcdns_publish::{PublishError, Scope, battery::Wishes};
use rstest::rstest;
use serde_json::json;
use support::route53::{Fault, RecordSet};

use common::{APEX, Place, Writer, name, wishes};

fn forty() -> Wishes {
    let lines: Vec<String> = (0..40).map(|index| format!("n{index} 60 A 10.0.0.{index}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    wishes(&lines)
}

#[tokio::test]
async fn a_culprit_that_is_named_costs_one_call_more() {
    let place = Place::new();
    let problem = "RRSet with DNS name n13.example.com. is not permitted in zone example.com.";
    place.service.refuse("n13.example.com", Some(problem));
    let mut writer = place.writer(&json!({}));
    let step = writer.step(&forty(), Scope::Zone).await;
    assert_eq!((step.done, step.error), (39, None));
    assert_eq!(place.calls("ChangeResourceRecordSets"), 2);
    let told = writer.zone.quarantine().get(&name("n13.example.com")).map(|one| one.words.clone());
    assert_eq!(told.as_deref(), Some(problem));
}

#[tokio::test]
async fn a_culprit_that_nobody_names_is_found_by_halving() {
    let place = Place::new();
    place.service.refuse("n13.example.com", Some("It cannot be done."));
    let mut writer = place.writer(&json!({}));
    let step = writer.step(&forty(), Scope::Zone).await;
    assert_eq!((step.done, step.error), (39, None));
    // 1 + 2 log2(40).
    assert!(place.calls("ChangeResourceRecordSets") <= 13, "{:?}", place.service.calls());
    let quarantine: Vec<_> = writer.zone.quarantine().keys().cloned().collect();
    assert_eq!(quarantine, [name("n13.example.com")]);
}

#[tokio::test]
async fn a_full_zone_refuses_what_is_too_much_in_its_own_words() {
    let place = Place::new();
    place.service.set_quota(12);
    let mut writer = place.writer(&json!({}));
    let step = writer.step(&forty(), Scope::Zone).await;
    assert_eq!((step.done, step.error), (5, None), "SOA, NS, and five names with their marks");
    let words = writer.zone.quarantine().values().next().map(|one| one.words.clone()).unwrap_or_default();
    assert!(words.contains("MAX_RRSETS_BY_ZONE"), "{words}");
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_left_alone_and_the_rest_is_written() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&Wishes::default()).await;
    place.service.put_foreign(&place.zone, RecordSet::new("n13.example.com", "A", 60, &["203.0.113.1"]));
    let names: Vec<String> = forty().0.keys().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let step = writer.change(&forty(), &names).await;
    assert_eq!((step.done, step.error), (39, None));
    assert_eq!(step.again.into_iter().collect::<Vec<_>>(), [name("n13.example.com")]);
    let step = writer.change(&forty(), &["n13.example.com"]).await;
    assert_eq!((step.done, step.calls, step.again.len()), (0, 0, 0));
    let skipped = &writer.zone.last_plan().skipped;
    assert!(matches!(&skipped[..], [one] if matches!(one.why, SkipReason::NotOurs(_))), "{skipped:?}");
    assert!(place.lines().contains(&"n13.example.com. A 203.0.113.1".to_owned()));
}

#[tokio::test]
async fn a_record_that_somebody_deleted_comes_back_beside_its_mark() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    assert!(place.service.remove_foreign(&place.zone, "www.example.com", "A", None));
    let wanted = wishes(&["www 60 A 192.0.2.2"]);
    let step = writer.change(&wanted, &["www.example.com"]).await;
    assert_eq!((step.done, step.again.len()), (0, 1), "it is not as it was read");
    let step = writer.change(&wanted, &["www.example.com"]).await;
    assert_eq!((step.done, step.error), (1, None));
    assert_eq!(place.lines(), ["www.example.com. A 192.0.2.2"]);
    writer.converge(&wanted).await;
}

#[tokio::test]
async fn something_else_at_the_place_of_a_mark_does_not_keep_the_program_busy() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&Wishes::default()).await;
    place.service.put_foreign(&place.zone, RecordSet::new("_owner-a.www.example.com", "TXT", 60, &["\"mine\""]));
    let wanted = wishes(&["www 60 A 192.0.2.1"]);
    for _ in 0..8 {
        let step = writer.change(&wanted, &["www.example.com"]).await;
        assert_eq!((step.done, step.error), (0, None));
    }
    assert!(place.calls("ChangeResourceRecordSets") <= 4);
    let words = writer.zone.quarantine().values().next().map(|one| one.words.clone()).unwrap_or_default();
    assert!(words.contains("already exists"), "{words}");
}

#[rstest]
#[case(Fault::AccessDenied, "AccessDenied")]
#[case(Fault::ExpiredToken, "ExpiredToken")]
#[case(Fault::InvalidClientTokenId, "InvalidClientTokenId")]
#[tokio::test]
async fn a_denied_call_is_told_in_the_words_of_aws(#[case] fault: Fault, #[case] code: &str) {
    let place = Place::new();
    let publisher = place.publisher(&json!({}));
    for action in ["ListHostedZones", "ListResourceRecordSets"] {
        place.service.fail(action, fault.clone(), 1);
        let error = publisher.read(&name(APEX)).await.expect_err("denied");
        assert!(matches!(&error, PublishError::Denied { words } if words.starts_with(code)), "{error}");
    }
    assert!(publisher.read(&name(APEX)).await.is_ok());
}

#[tokio::test]
async fn missing_credentials_are_denied_and_not_looked_for_for_ever() {
    let place = Place::new();
    let publisher = place.publisher(&json!({"profile": "nobody"}));
    let error = publisher.read(&name(APEX)).await.expect_err("no credentials");
    assert!(matches!(&error, PublishError::Denied { words } if words.contains("nobody")), "{error}");
    assert_eq!(place.all_calls(), 0);
}

#[tokio::test]
async fn nonsense_and_half_answers_are_never_an_empty_zone() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&forty()).await;
    for fault in [Fault::Garbage, Fault::Half, Fault::Cut] {
        // As often as a reading is made again.
        place.service.fail("ListResourceRecordSets", fault.clone(), 3);
        let step = writer.step(&forty(), Scope::Zone).await;
        let kind = step.error.as_ref().map(PublishError::kind);
        assert!(matches!(kind, Some("garbage" | "unavailable")), "{fault:?}: {step:?}");
        place.service.mend();
    }
    for fault in [Fault::Garbage, Fault::Half] {
        place.service.fail("ListHostedZones", fault.clone(), 3);
        // A new account, so that the list is not known yet.
        let other = place.publisher(&json!({"profile": "default"}));
        let error = other.zones().await.expect_err("no list");
        assert!(matches!(error.kind(), "garbage" | "unavailable"), "{fault:?}: {error}");
        place.service.mend();
    }
    assert_eq!(place.lines().len(), 40);
}

#[tokio::test]
async fn a_zone_that_is_gone_is_told_and_found_again() {
    let place = Place::new();
    let mut writer = place.writer(&json!({}));
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    place.service.delete_zone(&place.zone);
    let step = writer.step(&wishes(&["www 60 A 192.0.2.1"]), Scope::Zone).await;
    assert!(
        matches!(&step.error, Some(PublishError::NoZone { words, .. }) if words.contains("No hosted zone found")),
        "{step:?}"
    );
    let again = place.service.create_zone(APEX, false, &[]);
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    assert_eq!(place.service.records(&again).len(), 4);
}

#[tokio::test]
async fn a_name_that_cannot_be_read_hurts_nobody_else() {
    let place = Place::new();
    place.service.put_foreign(&place.zone, RecordSet::new("odd.example.com", "A", 60, &["not an address"]));
    let mut writer = place.writer(&json!({}));
    writer.converge(&wishes(&["odd 60 A 192.0.2.1", "www 60 A 192.0.2.2"])).await;
    let skipped = &writer.zone.last_plan().skipped;
    assert!(matches!(&skipped[..], [one] if matches!(one.why, SkipReason::Unreadable(_))), "{skipped:?}");
    assert!(place.lines().contains(&"www.example.com. A 192.0.2.2".to_owned()));
    assert!(place.lines().contains(&"odd.example.com. A not an address".to_owned()));
}

#[tokio::test]
async fn an_assumed_role_is_who_calls() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/dns";
    let place = Place::new();
    place.service.allow_role(ROLE, Some("1234"));
    let section = json!({"assumeRole": ROLE, "externalId": 1234});
    let mut writer = place.writer(&section);
    writer.converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    let log = place.service.log();
    let calls: Vec<_> = log.iter().filter(|call| call.action != "AssumeRole").collect();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.identity == ROLE), "{calls:?}");
    assert_eq!(place.calls("AssumeRole"), 1);

    let wrong = place.publisher(&json!({"assumeRole": ROLE, "externalId": "other"}));
    let error = wrong.read(&name(APEX)).await.expect_err("not allowed");
    assert!(
        matches!(&error, PublishError::Denied { words } if words.contains("not authorized to perform: sts:AssumeRole")),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable() {
    let place = Place::new();
    let section = place.section(&json!({}));
    let _credentials = place.stop();
    let publisher = mcdns_route53::publisher("aws", &[name(APEX)], &common::manager(), &section).expect("a publisher");
    let error = Writer::new(publisher, name(APEX)).step(&Wishes::default(), Scope::Zone).await.error;
    assert!(matches!(&error, Some(PublishError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn the_policy_on_file_is_enough_and_without_a_list_of_zones_too() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/aws/route53-policy.json");
    let text = std::fs::read_to_string(file).expect("the policy");
    for section in [json!({}), json!({"zoneTags": {"team": "dns"}}), json!({"zoneIds": true})] {
        let place = Place::new();
        let tagged = place.service.create_zone("tagged.example.com", false, &[("team", "dns")]);
        let (zone, apex) = match section.get("zoneTags") {
            Some(_) => (tagged, name("tagged.example.com")),
            None => (place.zone.clone(), name(APEX)),
        };
        let mut policy: serde_json::Value =
            serde_json::from_str(&text.replace("Z0123456789ABCDEFGHIJ", &zone)).expect("JSON");
        let mut section = section;
        if section.get("zoneIds").is_some() {
            section = json!({"zoneIds": [zone]});
            let statements = policy["Statement"].as_array_mut().expect("statements");
            statements.retain(|statement| !statement["Sid"].as_str().is_some_and(|sid| sid.starts_with("Find")));
        }
        place.service.set_policy(&policy);
        let wanted = Wishes::of(&apex, &["www 60 A 192.0.2.1"]).expect("wishes");
        let mut writer = Writer::new(place.publisher(&section), apex.clone());
        let step = writer.converge(&wanted).await;
        assert_eq!(writer.publisher.verify(&apex, &step.receipts[0]).await, Ok(()), "{section}");
    }
}

#[tokio::test]
async fn a_profile_may_have_a_web_identity() {
    use std::io::Write as _;
    const ROLE: &str = "arn:aws:iam::123456789012:role/web";
    let place = Place::new();
    place.service.allow_role(ROLE, None);
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    token.write_all(b"header.claims.signature").expect("room for it");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = format!(
        "[web]\nrole_arn = {ROLE}\nweb_identity_token_file = {}\nendpoint_url = {}\n",
        token.path().display(),
        place.service.endpoint()
    );
    file.write_all(text.as_bytes()).expect("room for it");
    let section = json!({"credentialsFile": file.path(), "profile": "web"});
    Writer::new(place.publisher(&section), name(APEX)).converge(&wishes(&["www 60 A 192.0.2.1"])).await;
    assert_eq!(place.calls("AssumeRoleWithWebIdentity"), 1);
    let log = place.service.log();
    assert!(log.iter().any(|call| call.action == "ChangeResourceRecordSets" && call.identity == ROLE), "{log:?}");
}
