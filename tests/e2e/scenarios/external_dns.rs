//! The real external-dns reads the DNSEndpoints that mcdns writes for it, and publishes what they say.

use std::path::{Path, PathBuf};

use e2e::{
    World,
    api::{Refused, kinds},
    manifests::{self, Manifests, until_served},
    mcdns::Wanted,
    objects::SYSTEM,
    until_equal, wait_for,
};
use serde_json::json;
use support::{
    external_dns::{self, Finished},
    route53::{RecordSet, Route53},
};

use crate::common::{ENDPOINTS, GLOBAL, ONE, TWO, galactic};

const DEFINITION: &str = "dnsendpoints.externaldns.k8s.io";
/// The DNSEndpoint of the record.
const ENDPOINT: &str = "test/service-nginx";

/// A federation whose host has the kind of external-dns, where mcdns may write it.
struct Stage {
    world: World,
    kubeconfig: PathBuf,
    service: Route53,
    zone: String,
}

impl Stage {
    fn new() -> Self {
        let world = galactic();
        for (kind, object) in manifests::external_dns() {
            world.host().apply(kind, &object);
            if kind == kinds::DEFINITION {
                until_served(world.host(), &object);
            }
        }
        let groups = "dnsEndpoints.groups={multiclusterdns.kubefed.io,externaldns.k8s.io}";
        Manifests::of_chart_with(&[groups]).install(world.host());
        let token = world.host().token(&format!("{SYSTEM}/external-dns"), 3600);
        let kubeconfig = world.kubeconfig("host", &token);
        let service = Route53::start();
        let zone = service.create_zone("example.com", false, &[]);
        Self { world, kubeconfig, service, zone }
    }

    /// One run of external-dns, which must go well.
    #[track_caller]
    fn publish(&self) -> Finished {
        publish(&self.kubeconfig, &self.service)
    }

    /// Endpoints of the object of external-dns' own group, as [`World::endpoints`] has them.
    fn endpoints(&self) -> Vec<String> {
        self.world.endpoints_of(kinds::DNS_ENDPOINT_OF_EXTERNAL_DNS, ENDPOINT)
    }

    /// Records of the zone in the same form, ownership records and those of the apex left out.
    fn records(&self) -> Vec<String> {
        let is_data = |set: &&RecordSet| set.kind == "A" || set.kind == "AAAA" || set.kind == "CNAME";
        let line = |set: &RecordSet| {
            let name = set.name.trim_end_matches('.');
            format!("{name} {} {} {}", set.ttl.unwrap_or_default(), set.kind, set.values.join(" "))
        };
        let mut records: Vec<String> = self.service.records(&self.zone).iter().filter(is_data).map(line).collect();
        records.sort_unstable();
        records
    }

    /// Waits until mcdns has written these endpoints, has external-dns publish them, and looks at the zone.
    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
        until_equal("DNSEndpoint of external-dns", &expected, || self.endpoints());
        expected.sort_unstable();
        let run = self.publish();
        assert_eq!(self.records(), expected, "{}", run.log);
        // What it wrote is what it finds.
        let batches = self.service.batches(&self.zone).len();
        let again = self.publish();
        assert!(again.nothing_to_do(), "{}", again.log);
        assert_eq!(self.service.batches(&self.zone).len(), batches);
    }

    /// Takes the kind away, so that the world is as it was.
    fn end(self) {
        let host = self.world.host();
        host.clear(kinds::DNS_ENDPOINT_OF_EXTERNAL_DNS).expect("objects that can be removed");
        host.delete(kinds::DEFINITION, DEFINITION);
        wait_for("the kind is gone", || match host.read(kinds::DEFINITION, DEFINITION) {
            Err(Refused { code: 404, .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

#[track_caller]
fn publish(kubeconfig: &Path, service: &Route53) -> Finished {
    let mut command = external_dns::command();
    command.args(["--source=crd", "--crd-source-apiversion=externaldns.k8s.io/v1alpha1"]);
    command.args(["--crd-source-kind=DNSEndpoint", "--registry=txt", "--txt-owner-id=theirs"]);
    command.arg("--kubeconfig").arg(kubeconfig);
    external_dns::with_route53(&mut command, &service.endpoint());
    external_dns::finish(&mut command).well()
}

#[test]
fn names_and_addresses_reach_route_53_through_the_dns_endpoints_that_external_dns_reads() {
    let stage = Stage::new();
    let groups = json!({"dnsEndpoints": {"groups": ["multiclusterdns.kubefed.io", "externaldns.k8s.io"]}});
    let mcdns = Wanted::new(&stage.world).settings(&groups).start();
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    stage.expect(&ENDPOINTS);
    let observed = || {
        let object = stage.world.host().read(kinds::DNS_ENDPOINT_OF_EXTERNAL_DNS, ENDPOINT).expect("a DNSEndpoint");
        (object["status"]["observedGeneration"].clone(), object["metadata"]["generation"].clone())
    };
    let (seen, generation) = observed();
    assert_eq!(seen, generation, "external-dns says what it has seen");

    // What external-dns writes there is no quarrel: one change after the other still arrives.
    for address in ["192.0.2.20", "192.0.2.21", "192.0.2.22"] {
        stage.world.api(2).balance(kinds::SERVICE, "test/nginx", &[address]);
        let moved = ENDPOINTS.map(|line| line.replace(TWO, address));
        stage.expect(&moved.each_ref().map(String::as_str));
    }
    stage.world.api(2).balance(kinds::SERVICE, "test/nginx", &[TWO]);
    stage.expect(&ENDPOINTS);

    // A cluster without a ready endpoint: its names become aliases, in one batch each, and addresses again.
    stage.world.api(1).slice("test/nginx", &["192.0.2.80"], false);
    stage.expect(&[
        "nginx.test.galactic.svc.example.com 180 A 192.0.2.2",
        "nginx.test.galactic.svc.r1.example.com 180 CNAME nginx.test.galactic.svc.example.com",
        "nginx.test.galactic.svc.r2.example.com 180 A 192.0.2.2",
        "nginx.test.galactic.svc.z1.r1.example.com 180 CNAME nginx.test.galactic.svc.r1.example.com",
        "nginx.test.galactic.svc.z2.r2.example.com 180 A 192.0.2.2",
    ]);
    stage.world.api(1).slice("test/nginx", &["192.0.2.80"], true);
    stage.expect(&ENDPOINTS);

    stage.world.host().delete(kinds::SERVICE_RECORD, "test/nginx");
    wait_for("the DNSEndpoint is gone", || {
        match stage.world.host().read(kinds::DNS_ENDPOINT_OF_EXTERNAL_DNS, ENDPOINT) {
            Err(Refused { code: 404, .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let run = stage.publish();
    assert_eq!(stage.records(), [""; 0], "{}", run.log);
    drop(mcdns);
    stage.end();
}
