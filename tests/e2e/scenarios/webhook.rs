//! The real external-dns publishes into a zone of mcdns, which keeps it as DNSEndpoints in the host.

use e2e::{Mcdns, World, api::kinds, mcdns::Wanted, objects::SYSTEM, server::free_port, until_equal};
use serde_json::json;
use support::external_dns::{self, Connector, Endpoint};

/// One run of external-dns against the webhook, which must go well.
#[track_caller]
fn publish(port: u16, endpoints: &[&str]) {
    let endpoints: Vec<Endpoint> = endpoints.iter().map(|line| Endpoint::parse(line)).collect();
    let mut command = Connector::start(&endpoints).command();
    command.args(["--provider=webhook", "--registry=txt", "--txt-owner-id=theirs"]);
    command.arg(format!("--webhook-provider-url=http://127.0.0.1:{port}"));
    external_dns::finish(&mut command).well();
}

/// How many DNSEndpoints hold what came by the webhook.
fn kept(world: &World) -> usize {
    let objects = world.host().list(kinds::DNS_ENDPOINT).expect("a list");
    let of_webhook = |object: &&serde_json::Value| {
        let metadata = &object["metadata"];
        metadata["namespace"] == SYSTEM && metadata["name"].as_str().unwrap_or_default().starts_with("webhook-")
    };
    objects.iter().filter(of_webhook).count()
}

fn start(world: &World, port: u16) -> Mcdns {
    let listen = format!("127.0.0.1:{port}");
    Wanted::new(world).settings(&json!({"webhook": {"listen": listen, "zones": ["example.net"]}})).start()
}

#[test]
fn what_external_dns_publishes_is_kept_in_the_host_and_answered_by_every_replica_and_after_a_restart() {
    let world = World::joined(1);
    let (first, second) = (free_port(), free_port());
    let mut mcdns = start(&world, first);
    mcdns.until_ready();
    until_equal("it writes", &Some(1.0), || mcdns.metric("mcdns_leader", ""));
    publish(first, &["www.example.net 60 A 192.0.2.1 192.0.2.2", "mail.example.net 60 A 192.0.2.3"]);
    mcdns.until_data("www.example.net", &["192.0.2.1", "192.0.2.2"]);
    // Two names and the mark of each.
    until_equal("everything is kept", &4, || kept(&world));
    let other = start(&world, second);
    other.until_data("www.example.net", &["192.0.2.1", "192.0.2.2"]);
    mcdns.kill();
    mcdns.revive();
    mcdns.until_data("mail.example.net", &["192.0.2.3"]);
}
