//! Whether the new token does what it is for.

use std::time::Duration;

use http::Request;
use kube::{Client, Config, config::AuthInfo};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Failure, JoinRequest, Token,
    objects::{HEALTH_PATHS, READ, READ_VERBS},
};

/// Pause between two tries. Roles take a moment to reach the authoriser.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the member answers `/readyz` with the token and grants all it should, for at most `patience`. Returns why
/// it did not answer, and which permissions are missing.
pub(super) async fn verify(
    request: &JoinRequest,
    token: &Token,
    patience: Duration,
    say: &mut dyn FnMut(String),
) -> (Option<String>, Vec<String>) {
    let deadline = Instant::now() + patience;
    let client = match client(request, token) {
        Ok(client) => client,
        Err(reason) => return (Some(reason), Vec::new()),
    };
    let mut reason = "it did not answer in time".to_owned();
    loop {
        match timeout_at(deadline, ready(&client)).await {
            Ok(Ok(())) => break,
            Ok(Err(why)) => reason = why,
            Err(_) => return (Some(reason), Vec::new()),
        }
        say(format!("waiting for the member to answer with its token; {reason}"));
        if Instant::now() + PAUSE >= deadline {
            return (Some(reason), Vec::new());
        }
        sleep(PAUSE).await;
    }
    say("looking whether the token has every permission".to_owned());
    let mut missing: Vec<String> = Vec::new();
    let mut waiting = permissions(request);
    loop {
        let mut refused = Vec::new();
        for (name, attributes) in waiting {
            match timeout_at(deadline, allowed(&client, &attributes)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => refused.push((name, attributes)),
                Ok(Err(error)) => missing.push(format!("{name} (cannot be looked up: {error})")),
                Err(_) => missing.push(format!("{name} (the member took too long)")),
            }
        }
        if refused.is_empty() || Instant::now() + PAUSE >= deadline {
            missing.extend(refused.into_iter().map(|(name, _)| name));
            return (None, missing);
        }
        waiting = refused;
        sleep(PAUSE).await;
    }
}

/// A client as mcdns in the host will have it.
fn client(request: &JoinRequest, token: &Token) -> Result<Client, String> {
    let endpoint = &request.endpoint;
    let mut config = Config::new(endpoint.url.parse().map_err(|error| format!("{}: {error}", endpoint.url))?);
    config.accept_invalid_certs = endpoint.insecure;
    if let Some(authority) = &endpoint.authority {
        config.root_cert = Some(certificates(authority)?);
    }
    if let Some(proxy) = &endpoint.proxy {
        config.proxy_url = Some(proxy.parse().map_err(|error| format!("{proxy}: {error}"))?);
    }
    config.auth_info = AuthInfo { token: Some(token.secret.clone().into()), ..AuthInfo::default() };
    config.read_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).map_err(|error| Failure(error).to_string())
}

/// The certificates of a PEM text, DER each.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for part in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let body = part.split("-----END").next().unwrap_or_default();
        let der = data_encoding::BASE64_MIME_PERMISSIVE.decode(body.trim().as_bytes());
        found.push(der.map_err(|error| format!("the certificate authority is no PEM: {error}"))?);
    }
    if found.is_empty() { Err("the certificate authority holds no certificate".to_owned()) } else { Ok(found) }
}

async fn ready(client: &Client) -> Result<(), String> {
    let request = Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    match client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure(error).to_string()),
    }
}

async fn allowed(client: &Client, attributes: &Value) -> Result<bool, String> {
    let mut review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
    });
    review["spec"] = attributes.clone();
    let body = serde_json::to_vec(&review).map_err(|error| error.to_string())?;
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|error| error.to_string())?;
    let answer: Value = client.request(request).await.map_err(|error| Failure(error).to_string())?;
    Ok(answer["status"]["allowed"] == true)
}

/// What the token should be able to do: in words, and as the `spec` of a `SelfSubjectAccessReview`.
fn permissions(request: &JoinRequest) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (groups, resources) in READ {
        for group in *groups {
            for resource in *resources {
                for verb in READ_VERBS {
                    let place = if group.is_empty() { String::new() } else { format!(".{group}") };
                    let attributes = json!({"group": group, "resource": resource, "verb": verb});
                    all.push((format!("{verb} {resource}{place}"), json!({"resourceAttributes": attributes})));
                }
            }
        }
    }
    for path in HEALTH_PATHS {
        let attributes = json!({"path": path, "verb": "get"});
        all.push((format!("get {path}"), json!({"nonResourceAttributes": attributes})));
    }
    let account = request.service_account();
    let attributes = json!({
        "group": "", "name": account, "namespace": request.namespace, "resource": "serviceaccounts",
        "subresource": "token", "verb": "create",
    });
    let name = format!("create serviceaccounts/token of {}/{account}", request.namespace);
    all.push((name, json!({"resourceAttributes": attributes})));
    all
}
