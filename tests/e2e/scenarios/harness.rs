//! The world itself: what the scenarios rely on, and what an API server says to what is installed.

use e2e::{
    Api, Fault, Proxy, World,
    api::{Kind, kinds, pretty},
    manifests::Manifests,
    objects::{SYSTEM, domain, ingress_record, service_record},
    server::ADMINISTRATOR,
    wait_for,
};
use http::Method;
use serde_json::{Value, json};

#[test]
fn a_member_grants_what_is_read_and_nothing_else() {
    let mut world = World::with_members(1);
    let member = world.credentials(1);
    let api = Api::new(&member.endpoint, world.authority().der(), &member.token);
    for kind in [kinds::SERVICE, kinds::ENDPOINT_SLICE, kinds::ENDPOINTS, kinds::INGRESS, kinds::NODE] {
        api.list(kind).unwrap_or_else(|refused| panic!("{}: {refused}", kind.plural));
    }
    api.is_ready().expect("a server that is ready");
    for kind in [kinds::SECRET, kinds::NAMESPACE, kinds::EVENT] {
        assert_eq!(api.list(kind).expect_err("a refusal").code, 403, "{}", kind.plural);
    }
    assert!(!api.token(&format!("{SYSTEM}/mcdns"), 600).is_empty());
    let expired = Api::new(&member.endpoint, world.authority().der(), &world.member(1).expired_token());
    assert_eq!(expired.list(kinds::SERVICE).expect_err("a refusal").code, 401);
}

#[test]
fn an_api_server_that_was_killed_comes_back_with_what_it_knew() {
    let mut world = World::with_members(1);
    world.api(1).serve("test/nginx", &["192.0.2.1"]);
    world.member(1).kill();
    world.api(1).read(kinds::SERVICE, "test/nginx").expect_err("no server");
    world.member(1).revive();
    let service = world.api(1).read(kinds::SERVICE, "test/nginx").expect("a service");
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
}

#[test]
fn a_world_comes_back_from_the_pool_empty() {
    for _ in 0..2 {
        let world = World::joined(1);
        assert!(world.api(1).read(kinds::SERVICE, "test/nginx").is_err());
        world.api(1).serve("test/nginx", &["192.0.2.1"]);
        world.host().create(kinds::DOMAIN, &domain("galactic", "example.com"));
    }
}

#[test]
fn a_proxy_makes_the_faults_that_it_says() {
    let mut world = World::with_members(1);
    let port = world.member(1).port;
    let proxy = Proxy::start(&world, port);
    let api = || Api::new(&proxy.url(), world.authority().der(), ADMINISTRATOR);
    let code = |api: &Api| api.list(kinds::SERVICE).map_or_else(|refused| refused.code, |_| 200);
    assert_eq!(code(&api()), 200);
    for (fault, expected) in [
        (Fault::Garbage, 0),
        (Fault::Nonsense, 0),
        (Fault::Cut, 0),
        (Fault::Status(429), 429),
        (Fault::Status(410), 410),
        (Fault::WatchesGone, 200),
    ] {
        proxy.set(fault);
        assert_eq!(code(&api()), expected, "{fault:?}");
    }
    let watch = |api: &Api| api.try_request(&Method::GET, "/api/v1/services?watch=true&timeoutSeconds=1", None);
    assert_eq!(watch(&api()).expect_err("no watch").code, 410);
    proxy.set(Fault::None);
    let open = api();
    assert_eq!(code(&open), 200);
    proxy.set(Fault::Silence);
    let silent = std::thread::scope(|scope| {
        let asked = scope.spawn(|| code(&open));
        proxy.until_met(0);
        std::thread::sleep(std::time::Duration::from_secs(1));
        let answered = asked.is_finished();
        proxy.set(Fault::None);
        (answered, asked.join().expect("a client"))
    });
    assert!(!silent.0, "silence was broken with {}", silent.1);
    wait_for("it is well again", || if code(&api()) == 200 { Ok(()) } else { Err("it is not") });
}

#[test]
fn an_api_server_takes_every_object_of_the_chart_as_it_is() {
    let world = World::with_members(0);
    let manifests = Manifests::of_chart();
    let mut taken = 0;
    for object in manifests.objects() {
        let Some(path) = collection(object) else { continue };
        world.request_strictly(&path, object);
        taken += 1;
    }
    assert_eq!(taken, manifests.objects().len(), "every kind of the chart is known here");
}

#[test]
fn the_kinds_take_what_kubefed_took() {
    let world = World::with_members(0);
    let host = world.host();
    host.namespace("test");
    // KubeFed's kinds check next to nothing, so what its users have is whatever works.
    let taken = [
        (kinds::DOMAIN, domain("with.dots", "EXAMPLE.com")),
        (kinds::DOMAIN, {
            let mut object = domain("server", "example.org");
            object["nameServer"] = json!("ns.example.org");
            object
        }),
        (kinds::SERVICE_RECORD, service_record("test/plain", "galactic", &json!({}))),
        (
            kinds::SERVICE_RECORD,
            service_record(
                "test/all",
                "galactic",
                &json!({"recordTTL": 300, "dnsPrefix": "foo", "externalName": "bar",
                    "allowServiceWithoutEndpoints": true}),
            ),
        ),
        (kinds::INGRESS_RECORD, ingress_record("test/hosts", &["foo.bar.test", "*.jane.test"], 300)),
        (kinds::INGRESS_RECORD, ingress_record("test/none", &[], 0)),
        (
            kinds::DNS_ENDPOINT,
            json!({"apiVersion": "multiclusterdns.kubefed.io/v1alpha1", "kind": "DNSEndpoint",
                "metadata": {"name": "service-x", "namespace": "test"},
                "spec": {"endpoints": [{"dnsName": "x.example.com", "recordTTL": 300, "recordType": "A",
                    "targets": ["192.0.2.1"], "labels": {"serviceName": "x"}}]}}),
        ),
        (
            kinds::CLUSTER,
            json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
                "metadata": {"name": "c1", "namespace": SYSTEM},
                "spec": {"apiEndpoint": "https://192.0.2.1:6443", "caBundle": "Zm9v", "secretRef": {"name": "c1-x"},
                    "disabledTLSValidations": ["*"]}}),
        ),
    ];
    for (kind, object) in &taken {
        host.create(*kind, object);
    }
    let entry = json!({"cluster": "c1", "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}, "region": "r1",
        "zones": ["z1"]});
    host.patch(
        kinds::SERVICE_RECORD,
        "test/plain",
        "status",
        &json!({"status": {"domain": "example.com", "dns": [entry]}}),
    );
    assert_eq!(world.status(kinds::SERVICE_RECORD, "test/plain")["dns"][0], entry);
}

#[test]
fn the_kinds_refuse_what_cannot_work() {
    let world = World::with_members(0);
    world.host().namespace("test");
    let refused: [(Kind, Value); 3] = [
        (kinds::SERVICE_RECORD, service_record("test/ttl", "galactic", &json!({"recordTTL": "soon"}))),
        (kinds::SERVICE_RECORD, service_record("test/negative", "galactic", &json!({"recordTTL": -5}))),
        (kinds::INGRESS_RECORD, ingress_record("test/host", &["not a host"], 300)),
    ];
    for (kind, object) in &refused {
        let refusal = world.host().try_create(*kind, object).expect_err(&pretty(object));
        assert_eq!(refusal.code, 422, "{refusal}");
    }
}

/// The path of an object's collection.
fn collection(object: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let plural = match &*kind {
        "NetworkPolicy" => "networkpolicies",
        "PodDisruptionBudget" => "poddisruptionbudgets",
        "Deployment" => "deployments",
        "ConfigMap" => "configmaps",
        "Service" => "services",
        "ServiceAccount" => "serviceaccounts",
        "Role" => "roles",
        "RoleBinding" => "rolebindings",
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "CustomResourceDefinition" => "customresourcedefinitions",
        _ => return None,
    };
    let group = if version.contains('/') { format!("apis/{version}") } else { format!("api/{version}") };
    let namespaced = !kind.starts_with("Cluster") && kind != "CustomResourceDefinition";
    let namespace = if namespaced { format!("/namespaces/{SYSTEM}") } else { String::new() };
    Some(format!("/{group}{namespace}/{plural}"))
}
