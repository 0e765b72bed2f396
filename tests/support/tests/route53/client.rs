//! An account as the SDK sees it.

use std::time::Duration;

use aws_sdk_route53::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use support::route53::Route53;

/// A client that does not try again.
pub(crate) fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"))
        .http_client(http_client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build())
        .build();
    Client::from_conf(config)
}

/// What speaks HTTP with ring alone.
pub(crate) fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

pub(crate) fn set(name: &str, kind: &str, ttl: i64, values: &[&str]) -> ResourceRecordSet {
    let records = values.iter().map(|&value| ResourceRecord::builder().value(value).build().expect("a record"));
    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::from(kind))
        .ttl(ttl)
        .set_resource_records(Some(records.collect()))
        .build()
        .expect("a set")
}

pub(crate) fn weighted(name: &str, identifier: &str, weight: i64, ttl: i64, value: &str) -> ResourceRecordSet {
    let mut set = set(name, "A", ttl, &[value]);
    set.set_identifier = Some(identifier.to_owned());
    set.weight = Some(weight);
    set
}

pub(crate) fn alias(name: &str, zone: &str, target: &str, evaluate: bool) -> ResourceRecordSet {
    let target = AliasTarget::builder()
        .hosted_zone_id(zone)
        .dns_name(target)
        .evaluate_target_health(evaluate)
        .build()
        .expect("a target");
    ResourceRecordSet::builder().name(name).r#type(RrType::A).alias_target(target).build().expect("a set")
}

/// The change's ID, or code and message of the refusal.
pub(crate) async fn change(
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

pub(crate) fn told(error: &impl ProvideErrorMetadata) -> (String, String) {
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

/// Names and types of what is there beside SOA and NS.
pub(crate) fn standing(service: &Route53, zone: &str) -> Vec<String> {
    let sets = service.records(zone).into_iter().filter(|set| !["SOA", "NS"].contains(&set.kind.as_str()));
    sets.map(|set| format!("{} {} {}", set.name, set.kind, set.values.join(" "))).collect()
}

pub(crate) fn refused(problem: &str) -> Result<String, (String, String)> {
    Err(("InvalidChangeBatch".to_owned(), format!("[{problem}]")))
}
