//! What the API server in the same process says where programs listen to its words.

#![allow(clippy::panic, reason = "a test fails by a panic")]

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    core::response::Status,
};
use serde_json::json;
use support::api_server::ApiServer;

fn refusal<T>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is there"),
    }
}

#[tokio::test]
async fn an_object_that_is_missing_is_named_so_that_nobody_takes_its_kind_for_missing() {
    let client = ApiServer::host().client();
    let leases: Api<Lease> = Api::namespaced(client.clone(), "fed");
    let status = refusal(leases.get("mcdns").await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "leases.coordination.k8s.io \"mcdns\" not found");
    let details = status.details.expect("details");
    assert_eq!((&*details.name, &*details.kind, &*details.group), ("mcdns", "leases", "coordination.k8s.io"));

    let secrets: Api<Secret> = Api::namespaced(client, "fed");
    let patch = Patch::Merge(json!({"data": {}}));
    for status in [
        refusal(secrets.patch("one", &PatchParams::default(), &patch).await),
        refusal(secrets.delete("one", &DeleteParams::default()).await),
    ] {
        assert_eq!((status.code, &*status.message), (404, "secrets \"one\" not found"));
        assert_eq!(status.details.map(|details| details.name), Some("one".into()));
    }
}
