//! Members that come, go, and are taken out by hand, with the commands for it.

use e2e::{
    Api, Mcdns, World,
    api::kinds,
    manifests::parse,
    mcdns::{Wanted, command},
    objects::{SYSTEM, domain, service_record},
    server::ADMINISTRATOR,
    wait_for,
};
use serde_json::{Value, json};

use crate::common::{FIRST, GLOBAL, ONE, SECOND, TWO, galactic};

#[test]
fn a_member_that_is_joined_is_answered_for_and_one_that_is_unjoined_is_withdrawn_first() {
    let world = World::with_members(2);
    let host = world.host();
    host.namespace("test");
    host.create(kinds::DOMAIN, &domain("galactic", "example.com"));
    host.create(kinds::SERVICE_RECORD, &service_record("test/nginx", "galactic", &json!({})));
    for (number, address) in [(1, ONE), (2, TWO)] {
        world.api(number).node("node-1", &format!("r{number}"), &format!("z{number}"));
        world.api(number).serve("test/nginx", &[address]);
    }
    let mcdns = Mcdns::start(&world);
    let config = administrators(&world);
    for cluster in ["c1", "c2"] {
        run(&["join", cluster, "--host-cluster-context", "host", "--kubeconfig", &config]);
        world.until_cluster(cluster, "Ready", "True", "ClusterReady");
    }
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    mcdns.until_data(SECOND, &[TWO]);

    // Once more changes nothing, and stops only where it is told to.
    let (fine, ..) = command(&["join", "c1", "--host-cluster-context", "host", "--kubeconfig", &config]);
    assert!(!fine, "a member that is there already");
    run(&["join", "c1", "--host-cluster-context", "host", "--kubeconfig", &config, "--error-on-existing=false"]);

    let token = token(&world, "c2");
    run(&["unjoin", "c2", "--host-cluster-context", "host", "--kubeconfig", &config]);
    // Not later than the command ends are its targets gone.
    let answer = mcdns.ask(GLOBAL).expect("an answer");
    assert_eq!(answer.data, [ONE], "{answer}");
    assert_eq!(host.read(kinds::CLUSTER, &format!("{SYSTEM}/c2")).expect_err("no cluster").code, 404);
    let secrets = host.list(kinds::SECRET).expect("secrets");
    assert!(!secrets.iter().any(|secret| secret["metadata"]["name"].as_str().is_some_and(|name| name.contains("c2"))));
    let left = Api::new(&format!("https://127.0.0.1:{}", port(&world, 2)), world.authority().der(), &token);
    // A server remembers for some seconds whom a token belongs to.
    let refused = left.list(kinds::SERVICE).expect_err("no right any more");
    assert!([401, 403].contains(&refused.code), "{refused}");
    mcdns.until_data(GLOBAL, &[ONE]);
}

#[test]
fn joining_grants_what_is_read_and_nothing_else() {
    let world = World::with_members(1);
    let config = administrators(&world);
    run(&["join", "c1", "--host-cluster-context", "host", "--kubeconfig", &config]);
    let token = token(&world, "c1");
    let api = Api::new(&format!("https://127.0.0.1:{}", port(&world, 1)), world.authority().der(), &token);
    for kind in [kinds::SERVICE, kinds::ENDPOINT_SLICE, kinds::ENDPOINTS, kinds::INGRESS, kinds::NODE] {
        api.list(kind).unwrap_or_else(|refused| panic!("{}: {refused}", kind.plural));
    }
    api.is_ready().expect("a server that is ready");
    for kind in [kinds::SECRET, kinds::NAMESPACE, kinds::EVENT, kinds::SERVICE_ACCOUNT, kinds::CLUSTER_ROLE] {
        assert_eq!(api.list(kind).expect_err("a refusal").code, 403, "{}", kind.plural);
    }
    // Its own rules, as the server itself lists them.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rules = api.request(&http::Method::POST, path, Some(&review));
    for rule in rules["status"]["resourceRules"].as_array().expect("rules") {
        let verbs: Vec<&str> = rule["verbs"].as_array().expect("verbs").iter().filter_map(Value::as_str).collect();
        // Everybody may ask about themselves.
        let about_oneself = rule["resources"].to_string().contains("selfsubject");
        assert!(about_oneself || verbs.iter().all(|verb| ["get", "list", "watch"].contains(verb)), "{rule}");
    }
}

#[test]
fn a_dry_run_of_joining_prints_what_it_would_make_and_makes_nothing() {
    let world = World::with_members(1);
    let config = administrators(&world);
    let printed =
        run(&["join", "c1", "--host-cluster-context", "host", "--kubeconfig", &config, "--dry-run", "-o", "yaml"]);
    let kinds: Vec<String> =
        parse(&printed).iter().map(|object| object["kind"].as_str().unwrap_or_default().to_owned()).collect();
    for kind in ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "KubeFedCluster"] {
        assert!(kinds.iter().any(|one| one == kind), "no {kind} in {kinds:?}");
    }
    assert!(world.host().list(kinds::CLUSTER).expect("clusters").is_empty());
    let roles = world.api(1).list(kinds::CLUSTER_ROLE).expect("roles");
    assert!(!roles.iter().any(|role| role["metadata"]["name"].as_str().is_some_and(|name| name.contains("c1"))));
}

#[test]
fn a_kubeconfig_as_eksctl_writes_it_can_be_joined_with() {
    let world = World::with_members(1);
    let port_of_host = port(&world, 0);
    let contexts = [
        ("Admin@Blue.eu-west-1.eksctl.io", format!("https://LocalHost:{}", port(&world, 1))),
        ("Admin@Green.eu-west-1.eksctl.io", format!("https://LOCALHOST:{port_of_host}")),
    ];
    let contexts: Vec<(&str, &str, &str)> =
        contexts.iter().map(|(name, server)| (*name, server.as_str(), ADMINISTRATOR)).collect();
    let config = world.kubeconfig_for(&contexts);
    let config = config.to_string_lossy();
    run(&[
        "join",
        "blue",
        "--cluster-context",
        contexts[0].0,
        "--host-cluster-context",
        contexts[1].0,
        "--kubeconfig",
        &config,
    ]);
    let _mcdns = Mcdns::start(&world);
    world.until_cluster("blue", "Ready", "True", "ClusterReady");
}

#[test]
fn a_cordoned_cluster_is_out_of_all_answers_at_once_and_back_when_it_is_uncordoned() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    let config = administrators(&world);
    run(&["cordon", "c2", "--context", "host", "--kubeconfig", &config]);
    mcdns.until_data(GLOBAL, &[ONE]);
    mcdns.until_data(SECOND, &[ONE]);
    run(&["uncordon", "c2", "--context", "host", "--kubeconfig", &config]);
    mcdns.until_data(SECOND, &[TWO]);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
}

#[test]
fn with_the_host_down_a_cluster_is_cordoned_through_a_replica() {
    let mut world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    world.host_server().kill();
    run(&["cordon", "c2", "--admin", &mcdns.admin.to_string()]);
    mcdns.until_data(GLOBAL, &[ONE]);
    run(&["uncordon", "c2", "--admin", &mcdns.admin.to_string()]);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    run(&["cordon", "c1", "--admin", &mcdns.admin.to_string()]);
    mcdns.until_data(GLOBAL, &[TWO]);
    world.host_server().revive();
    // What the host says counts again as soon as it says it.
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
}

#[test]
fn a_token_of_a_secret_that_changes_is_used_without_a_restart() {
    let world = galactic();
    let mcdns = Mcdns::start(&world);
    mcdns.until_data(GLOBAL, &[ONE, TWO]);
    // The account is made anew, so its old tokens count no more.
    world.api(2).clear(kinds::SERVICE_ACCOUNT).expect("a member that is well");
    world.until_reason("c2", "Unauthorized");
    world.join(2);
    world.until_cluster("c2", "Ready", "True", "ClusterReady");
    world.api(2).balance(kinds::SERVICE, "test/nginx", &["192.0.2.12"]);
    mcdns.until_data(GLOBAL, &[ONE, "192.0.2.12"]);
}

#[test]
fn kubectl_shows_clusters_and_records_with_what_is_wrong_with_them() {
    let mut world = galactic();
    let mcdns = Wanted::new(&world).impatient().start();
    mcdns.until_data(FIRST, &[ONE]);
    world.member(2).kill();
    world.until_cluster("c2", "Offline", "True", "ClusterNotReachable");
    let config = administrators(&world);
    let shown = run(&["clusters", "--context", "host", "--kubeconfig", &config]);
    let line = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("c1").contains("r1") && line("c2").contains("ClusterNotReachable"), "{shown}");
    let columns = wait_for("kubectl shows the record", || {
        let mut kubectl = std::process::Command::new(e2e::programs::kubectl());
        kubectl.args(["--kubeconfig", &config, "--context", "host", "--cache-dir"]).arg(world.folder("cache"));
        let shown = e2e::programs::output(kubectl.args(["get", "servicednsrecords", "-n", "test"]));
        if shown.contains("example.com") { Ok(shown) } else { Err(shown) }
    });
    assert!(columns.contains("nginx"), "{columns}");
}

/// A kubeconfig with the administrator of each cluster in a context of its name.
#[track_caller]
fn administrators(world: &World) -> String {
    let names = ["host", "c1", "c2"];
    let servers: Vec<(&str, String)> = names
        .into_iter()
        .enumerate()
        .filter_map(|(number, name)| Some((name, format!("https://127.0.0.1:{}", world.port(number)?))))
        .collect();
    let contexts: Vec<(&str, &str, &str)> =
        servers.iter().map(|(name, server)| (*name, server.as_str(), ADMINISTRATOR)).collect();
    world.kubeconfig_for(&contexts).to_string_lossy().into_owned()
}

#[track_caller]
fn port(world: &World, number: usize) -> u16 {
    world.port(number).expect("a cluster")
}

/// What a command that must succeed prints.
#[track_caller]
fn run(arguments: &[&str]) -> String {
    let (fine, stdout, stderr) = command(arguments);
    assert!(fine, "mcdns {arguments:?}\n{stdout}{stderr}");
    stdout
}

/// The token by which the host reads a member.
#[track_caller]
fn token(world: &World, cluster: &str) -> String {
    let cluster = world.host().read(kinds::CLUSTER, &format!("{SYSTEM}/{cluster}")).expect("a cluster");
    let name = cluster["spec"]["secretRef"]["name"].as_str().expect("a Secret");
    let secret = world.host().read(kinds::SECRET, &format!("{SYSTEM}/{name}")).expect("a Secret");
    let token = secret["data"]["token"].as_str().expect("a token");
    String::from_utf8(data_encoding::BASE64.decode(token.as_bytes()).expect("base64")).expect("a token")
}
