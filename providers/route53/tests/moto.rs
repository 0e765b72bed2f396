//! What a third party makes of our requests: moto, which was not written by us. It refuses little, so that this is about
//! being understood and not about being strict; `DELETE` and `CREATE` of what stood there before are beyond it.

mod common;

use aws_sdk_route53::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use mcdns_core::plan::Ownership;
use mcdns_publish::{Scope, battery::Wishes};
use serde_json::json;
use support::moto::Moto;

use common::{APEX, Writer, credentials, manager, name, targeted, wishes};

#[tokio::test]
async fn moto_understands_what_we_ask() {
    let moto = Moto::start();
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_sdk_route53::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "tests"))
        .region(Region::new("us-east-1"))
        .endpoint_url(moto.endpoint())
        .http_client(http)
        .build();
    let client = Client::from_conf(config);
    for apex in [APEX, "example.net"] {
        client.create_hosted_zone().name(apex).caller_reference(apex).send().await.expect("a zone");
    }

    let credentials = credentials();
    let section = json!({
        "endpoint": moto.endpoint(),
        "region": "us-east-1",
        "credentialsFile": credentials.path(),
        "requestsPerSecond": 100_000,
    });
    let publisher = || mcdns_route53::publisher("aws", &[name(APEX)], &manager(), &section).expect("a publisher");
    let mut writer = Writer::new(publisher(), name(APEX));
    assert_eq!(writer.publisher.zones().await, Ok(vec![name(APEX), name("example.net")]));

    let long = format!("t 60 TXT \"{}\" \"and \\\"more\\\" \\195\\164\"", "k".repeat(255));
    let mut wanted = wishes(&[
        "@ 60 A 192.0.2.1",
        "www 60 A 192.0.2.1 / 192.0.2.2",
        "www 60 AAAA 2001:db8::1",
        "*.w 60 A 192.0.2.3",
        "c 60 CNAME other.example.net.",
        "_s._tcp 60 SRV 10 5 443 host.example.net.",
        "m 60 MX 10 mail.example.net.",
        &long,
    ]);
    let aliases = [
        targeted("one.example.com", &[("ohio", "a.us-east-2.elb.amazonaws.com", "192.0.2.1")]),
        targeted(
            "two.example.com",
            &[
                ("ohio", "a.us-east-2.elb.amazonaws.com", "192.0.2.1"),
                ("tokyo", "b.elb.ap-northeast-1.amazonaws.com", "192.0.2.2"),
            ],
        ),
    ];
    wanted.0.extend(aliases.map(|wanted| (wanted.owner.clone(), wanted)));
    // Enough for several pages.
    for index in 0..400 {
        let line = format!("n{index} 60 A 10.0.{}.{}", index / 250, index % 250);
        wanted.0.extend(wishes(&[&line]).0);
    }
    let step = writer.converge(&wanted).await;
    assert_eq!(step.done, wanted.0.len(), "{:?}", writer.zone.last_plan().skipped);
    for receipt in &step.receipts {
        assert_eq!(writer.publisher.verify(&name(APEX), receipt).await, Ok(()));
    }
    let newcomer = publisher();
    let read = newcomer.read(&name(APEX)).await.expect("a zone");
    assert_eq!(read.names.len(), wanted.0.len());
    assert!(read.names.values().all(|one| one.ownership == Ownership::Ours && one.legacy.is_none()));
    assert!(read.unreadable.is_empty(), "{:?}", read.unreadable);

    wanted.0.extend(wishes(&["www 30 A 192.0.2.9", "c 60 A 192.0.2.4"]).0);
    let step = writer.change(&wanted, &["www.example.com", "c.example.com"]).await;
    assert_eq!((step.done, step.error, step.again.len()), (2, None, 0));
    writer.converge(&wanted).await;
    let step = writer.step(&Wishes::default(), Scope::Zone).await;
    assert_eq!((step.error, step.again.len()), (None, 0));
    let left = newcomer.read(&name(APEX)).await.expect("a zone");
    assert!(left.names.is_empty(), "{:?}", left.names);
}
