//! The world itself: what the scenarios rely on.

use e2e::{World, api::kinds, objects::SYSTEM};

#[test]
fn a_member_grants_what_is_read_and_nothing_else() {
    let world = World::with_members(1);
    let member = world.credentials(1);
    let api = e2e::Api::new(&member.endpoint, world.authority().der(), &member.token);
    for kind in [kinds::SERVICE, kinds::ENDPOINT_SLICE, kinds::ENDPOINTS, kinds::INGRESS, kinds::NODE] {
        api.list(kind).unwrap_or_else(|refused| panic!("{}: {refused}", kind.plural));
    }
    api.is_ready().expect("a server that is ready");
    for kind in [kinds::SECRET, kinds::NAMESPACE, kinds::EVENT] {
        assert_eq!(api.list(kind).expect_err("a refusal").code, 403, "{}", kind.plural);
    }
    assert!(!api.token(&format!("{SYSTEM}/mcdns"), 600).is_empty());
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
