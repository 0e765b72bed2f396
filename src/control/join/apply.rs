//! The objects put into the clusters, in their order.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    Clients, ControlError, JoinOptions, JoinRequest, Joined, Place, Planned, Token,
    objects::{self, is_ours},
    verify,
};

/// Field manager of everything that join writes.
pub(crate) const MANAGER: &str = "mcdns-join";
/// Life that is asked for: a year. Servers give less (EKS a day), and mcdns renews in time.
const LIFE_SECONDS: i64 = 365 * 24 * 3600;

/// Takes the member in. `say` is told of each step in a few words.
///
/// # Errors
///
/// What cannot be read or made. A member that does not answer with its new token in time is none: it is taken in then,
/// and [`Joined`] says so.
pub async fn join(
    clients: &Clients,
    request: &JoinRequest,
    options: JoinOptions,
    say: &mut dyn FnMut(String),
) -> Result<Joined, ControlError> {
    look(clients, request, options).await?;
    for object in objects::member_objects(request) {
        say(format!("{object} in the member"));
        if object.kind() == "Namespace" {
            create_namespace(&clients.member, &object).await?;
        } else {
            apply(&clients.member, Place::Member, &object).await?;
        }
    }
    say("a token of the ServiceAccount".to_owned());
    let token = request_token(&clients.member, request).await?;
    for object in objects::host_objects(request, &token) {
        say(format!("{object} in the host"));
        apply(&clients.host, Place::Host, &object).await?;
    }
    say("waiting for the member to answer with its token".to_owned());
    let (unanswered, missing) = verify::verify(request, &token, options.timeout, say).await;
    Ok(Joined { expires: token.expires, unanswered, missing })
}

/// What must be as it is before anything is written.
async fn look(clients: &Clients, request: &JoinRequest, options: JoinOptions) -> Result<(), ControlError> {
    require_crd(&clients.host).await?;
    let namespaces = Api::<DynamicObject>::all_with(clients.host.clone(), &objects::resource("v1", "Namespace"));
    let namespace = namespaces.get_opt(&request.namespace).await;
    if namespace.map_err(ControlError::api("read the system namespace", Place::Host))?.is_none() {
        return Err(ControlError::NoNamespace(request.namespace.clone()));
    }
    // Read first, so that a faulty context is told before half of the work is done.
    let in_member = objects::member_objects(request);
    let in_host = objects::host_objects(request, &Token::placeholder());
    let placed = |place| move |object| (place, object);
    let all = in_host.iter().map(placed(Place::Host)).chain(in_member.iter().map(placed(Place::Member)));
    for (place, object) in all {
        let client = if place == Place::Host { &clients.host } else { &clients.member };
        let found = api(client, object).get_opt(object.name()).await;
        let found = found.map_err(ControlError::api(format!("read {object}"), place))?;
        let Some(found) = found.filter(|_| options.error_on_existing && object.kind() != "Namespace") else { continue };
        let (ours, is_member) = (is_ours(&found), object.kind() == "KubeFedCluster");
        // Ours without the KubeFedCluster was interrupted, and is completed.
        if is_member || !ours {
            let help = if is_member {
                "it has joined; --error-on-existing=false brings its objects up to date and makes a new token"
            } else {
                "--error-on-existing=false takes it over"
            };
            return Err(ControlError::Exists { object: object.to_string(), place, ours: ours || is_member, help });
        }
    }
    Ok(())
}

/// The host must know KubeFedClusters.
pub(crate) async fn require_crd(host: &kube::Client) -> Result<(), ControlError> {
    match host.list_api_group_resources("core.kubefed.io/v1beta1").await {
        Ok(list) if list.resources.iter().any(|resource| resource.kind == "KubeFedCluster") => Ok(()),
        Ok(_) => Err(ControlError::NoCrd),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(ControlError::NoCrd),
        Err(error) => Err(ControlError::api("look which kinds there are", Place::Host)(error)),
    }
}

pub(crate) fn api(client: &kube::Client, object: &Planned) -> Api<DynamicObject> {
    let resource = object.resource();
    match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// A namespace that is there is left as it is: its labels are somebody's.
async fn create_namespace(client: &kube::Client, object: &Planned) -> Result<(), ControlError> {
    let namespaces = api(client, object);
    let doing = || ControlError::api(format!("create {object}"), Place::Member);
    if namespaces.get_opt(object.name()).await.map_err(doing())?.is_some() {
        return Ok(());
    }
    let wanted: DynamicObject = serde_json::from_value(object.value().clone())
        .map_err(|error| ControlError::Shape { what: object.to_string(), reason: error.to_string() })?;
    match namespaces.create(&PostParams::default(), &wanted).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(|_| ()).map_err(doing()),
    }
}

async fn apply(client: &kube::Client, place: Place, object: &Planned) -> Result<(), ControlError> {
    let params = PatchParams::apply(MANAGER).force();
    let applied = api(client, object).patch(object.name(), &params, &Patch::Apply(object.value())).await;
    applied.map(|_| ()).map_err(ControlError::api(format!("apply {object}"), place))
}

async fn request_token(client: &kube::Client, request: &JoinRequest) -> Result<Token, ControlError> {
    let account = request.service_account();
    let accounts = Api::<DynamicObject>::namespaced_with(
        client.clone(),
        &request.namespace,
        &objects::resource("v1", "ServiceAccount"),
    );
    let wanted = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
        "spec": {"expirationSeconds": LIFE_SECONDS},
    });
    let given: Value = accounts.create_subresource("token", &account, &PostParams::default(), &wanted).await.map_err(
        ControlError::api(format!("request a token of ServiceAccount {}/{account}", request.namespace), Place::Member),
    )?;
    let text = |field: &str| given["status"][field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match (text("token"), text("expirationTimestamp")) {
        (Some(secret), Some(expires)) => Ok(Token { secret, expires }),
        _ => Err(ControlError::Shape {
            what: format!("the TokenRequest of ServiceAccount {}/{account}", request.namespace),
            reason: "it has no token or no time when it ends".to_owned(),
        }),
    }
}
