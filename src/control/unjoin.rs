//! Letting a member go: what `mcdns unjoin` does.
//!
//! ```text
//!   cordon ─► no status has targets of it ─► member: bindings, roles, ServiceAccount, Namespace ─► host: Secret, KubeFedCluster
//!      │ answers lose it at once   │ DNSEndpoints and publishers have followed                        │ last: until then
//!      └───────────────────────────┴─ skipped with --force                                            │ it can be repeated
//! ```
//!
//! Only what join made is deleted (its label says so), and the namespace only where join made it, nothing else lives
//! in it, and the member is not the host itself.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams},
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    cordon,
    join::{
        Clients, ControlError, Failure, MemberName, Place,
        objects::{self, SERVICE_ACCOUNT_ANNOTATION, is_ours, role_name},
        service_account_name,
    },
};

/// Pause between two looks at the statuses.
const PAUSE: Duration = Duration::from_secs(1);
/// Records read at once.
const PAGE: u32 = 500;
/// Kinds that come and go by themselves, or that every namespace has one of.
const INCIDENTAL: &[(&str, &str)] = &[
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ServiceAccount", "default"),
    ("Event", ""),
];

/// What is asked for.
#[derive(Debug, Clone)]
pub struct UnjoinRequest {
    /// The member.
    pub member: MemberName,
    /// Name of the host as join was told, of which the `ServiceAccount`'s name is made where the Secret does not say it.
    pub host: String,
    /// System namespace, in host and member.
    pub namespace: String,
    /// How long to wait for the statuses.
    pub timeout: Duration,
    /// Neither wait nor stop at a member that does not answer.
    pub force: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unjoined {
    /// What stays behind and why, one sentence each.
    pub left: Vec<String>,
}

/// Whose account, and of which names.
struct Traces {
    account_namespace: String,
    account: String,
    role: String,
    /// The Secret in the host, and whether join made it.
    secret: Option<(String, bool)>,
}

/// Lets the member go. `say` is told of each step in a few words. The client of the member may be missing with
/// `force`.
///
/// # Errors
///
/// The cluster is unknown, is not drained in time, its member does not answer (all three are gone over with `force`), or
/// the host refuses.
pub async fn unjoin(
    host: &Client,
    member: Option<&Client>,
    request: &UnjoinRequest,
    say: &mut dyn FnMut(String),
) -> Result<Unjoined, ControlError> {
    let name = request.member.as_str();
    let clusters = cordon::clusters(host, &request.namespace);
    let found =
        clusters.get_opt(name).await.map_err(ControlError::api(format!("read KubeFedCluster {name}"), Place::Host))?;
    if found.is_none() && !request.force {
        crate::join::require_crd(host).await?;
        return Err(cordon::unknown(&clusters, &request.namespace, name).await);
    }
    let traces = traces(host, request, found.as_ref()).await?;
    if found.is_some() && !request.force {
        say(format!("cordoning {name}"));
        cordon::set(host, &request.namespace, name, Some("unjoin")).await?;
        drain(host, request, say).await?;
    }
    let mut left = Vec::new();
    match member {
        Some(client) => match clean_member(client, host, request, &traces, say).await {
            Ok(more) => left.extend(more),
            Err(ControlError::Api { source, what, .. }) if request.force => {
                left.push(format!("{} in the member: cannot {what}: {source}", traces.all()));
            }
            Err(ControlError::Api { source, .. }) if source.is_silence() => {
                return Err(ControlError::MemberGone { cluster: name.to_owned(), left: traces.all(), source });
            }
            Err(error) => return Err(error),
        },
        None => left.push(format!("{} in the member, for which there is no client", traces.all())),
    }
    if let Some((secret, false)) = &traces.secret {
        left.push(format!("Secret {}/{secret} in the host, because join did not make it", request.namespace));
    }
    if let Some((secret, true)) = &traces.secret {
        say(format!("Secret {}/{secret} in the host", request.namespace));
        let secrets = namespaced(host, "v1", "Secret", &request.namespace);
        delete(&secrets, Place::Host, "Secret", secret).await?;
    }
    say(format!("KubeFedCluster {}/{name} in the host", request.namespace));
    delete(&clusters, Place::Host, "KubeFedCluster", name).await?;
    Ok(Unjoined { left })
}

impl Clients {
    /// As [`unjoin`].
    ///
    /// # Errors
    ///
    /// As [`unjoin`].
    pub async fn unjoin(&self, request: &UnjoinRequest, say: &mut dyn FnMut(String)) -> Result<Unjoined, ControlError> {
        unjoin(&self.host, Some(&self.member), request, say).await
    }
}

impl UnjoinRequest {
    /// What would be deleted, in this order, where the Secret says nothing else.
    pub fn planned(&self) -> Vec<(Place, String)> {
        let account = service_account_name(&self.member, &self.host);
        let (role, namespace, member) = (role_name(&account), &self.namespace, &self.member);
        vec![
            (Place::Member, format!("ClusterRoleBinding {role}")),
            (Place::Member, format!("RoleBinding {namespace}/{role}")),
            (Place::Member, format!("ClusterRole {role}")),
            (Place::Member, format!("Role {namespace}/{role}")),
            (Place::Member, format!("ServiceAccount {namespace}/{account}")),
            (Place::Member, format!("Namespace {namespace}")),
            (Place::Host, format!("Secret {namespace}/{member}-mcdns")),
            (Place::Host, format!("KubeFedCluster {namespace}/{member}")),
        ]
    }
}

impl Traces {
    fn all(&self) -> String {
        format!(
            "ServiceAccount {}/{}, ClusterRole, ClusterRoleBinding, Role and RoleBinding {}",
            self.account_namespace, self.account, self.role
        )
    }
}

/// What join has left, as the host's own Secret says, else by the names that join gives.
async fn traces(
    host: &Client,
    request: &UnjoinRequest,
    cluster: Option<&DynamicObject>,
) -> Result<Traces, ControlError> {
    let named = cluster.and_then(|cluster| cluster.data["spec"]["secretRef"]["name"].as_str()).map(str::to_owned);
    // Without the KubeFedCluster its Secret may still be there, from an attempt that was interrupted.
    let secret = named.unwrap_or_else(|| format!("{}-mcdns", request.member));
    let secrets = namespaced(host, "v1", "Secret", &request.namespace);
    let found = secrets.get_opt(&secret).await;
    let found = found.map_err(ControlError::api(format!("read Secret {secret}"), Place::Host))?;
    let written = found.as_ref().and_then(|secret| secret.annotations().get(SERVICE_ACCOUNT_ANNOTATION).cloned());
    let written = written.as_deref().and_then(|text| text.split_once('/'));
    let (account_namespace, account) = match written {
        Some((namespace, account)) => (namespace.to_owned(), account.to_owned()),
        None => (request.namespace.clone(), service_account_name(&request.member, &request.host)),
    };
    let role = role_name(&account);
    Ok(Traces { account_namespace, account, role, secret: found.map(|found| (secret, is_ours(&found))) })
}

/// Waits until no record's status has targets of the cluster.
async fn drain(host: &Client, request: &UnjoinRequest, say: &mut dyn FnMut(String)) -> Result<(), ControlError> {
    let deadline = Instant::now() + request.timeout;
    loop {
        let holding = holding(host, request.member.as_str()).await?;
        let Some(first) = holding.first() else { return Ok(()) };
        let count = holding.len();
        let records = if count == 1 { "1 record still has".to_owned() } else { format!("{count} records still have") };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (cluster, first) = (request.member.to_string(), first.clone());
            return Err(ControlError::NotDrained { records, first, cluster });
        }
        say(format!("{records} targets of {}; waiting for at most {} s more", request.member, left.as_secs()));
        sleep(PAUSE.min(left)).await;
    }
}

/// Records whose status has targets of the cluster.
async fn holding(host: &Client, cluster: &str) -> Result<Vec<String>, ControlError> {
    let mut holding = Vec::new();
    for kind in ["ServiceDNSRecord", "IngressDNSRecord"] {
        let resource = objects::resource("multiclusterdns.kubefed.io/v1alpha1", kind);
        let records: Api<DynamicObject> = Api::all_with(host.clone(), &resource);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match records.list(&page).await {
                // A host without the kind has no records of it.
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                other => other.map_err(ControlError::api(format!("read every {kind}"), Place::Host))?,
            };
            let with = list.items.iter().filter(|record| has_targets(&record.data, cluster));
            holding
                .extend(with.map(|one| format!("{kind} {}/{}", one.namespace().unwrap_or_default(), one.name_any())));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(holding)
}

fn has_targets(record: &Value, cluster: &str) -> bool {
    let entries = record["status"]["dns"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["cluster"] == cluster)
        .any(|entry| entry["loadBalancer"]["ingress"].as_array().is_some_and(|items| !items.is_empty()))
}

/// Deletes what join made in the member; returns what stays and why.
async fn clean_member(
    member: &Client,
    host: &Client,
    request: &UnjoinRequest,
    traces: &Traces,
    say: &mut dyn FnMut(String),
) -> Result<Vec<String>, ControlError> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let everywhere = |kind| Api::<DynamicObject>::all_with(member.clone(), &objects::resource(rbac, kind));
    let here = |kind| namespaced(member, rbac, kind, &traces.account_namespace);
    let accounts = namespaced(member, "v1", "ServiceAccount", &traces.account_namespace);
    let mut left = Vec::new();
    // Bindings first, so that nothing is granted from the first step on.
    for (kind, objects, name) in [
        ("ClusterRoleBinding", everywhere("ClusterRoleBinding"), &traces.role),
        ("RoleBinding", here("RoleBinding"), &traces.role),
        ("ClusterRole", everywhere("ClusterRole"), &traces.role),
        ("Role", here("Role"), &traces.role),
        ("ServiceAccount", accounts, &traces.account),
    ] {
        let found = objects.get_opt(name).await;
        let Some(found) = found.map_err(ControlError::api(format!("read {kind} {name}"), Place::Member))? else {
            continue;
        };
        if is_ours(&found) {
            say(format!("{kind} {name} in the member"));
            delete(&objects, Place::Member, kind, name).await?;
        } else {
            left.push(format!("{kind} {name} in the member, which mcdns join did not make"));
        }
    }
    left.extend(clean_namespace(member, host, request, &traces.account_namespace, say).await?);
    Ok(left)
}

/// Deletes the namespace in the member if join made it and nothing else is in it; says why it stays, where that is
/// worth saying.
async fn clean_namespace(
    member: &Client,
    host: &Client,
    request: &UnjoinRequest,
    name: &str,
    say: &mut dyn FnMut(String),
) -> Result<Option<String>, ControlError> {
    let namespaces =
        |client: &Client| Api::<DynamicObject>::all_with(client.clone(), &objects::resource("v1", "Namespace"));
    let doing = |place| ControlError::api(format!("read Namespace {name}"), place);
    let Some(found) = namespaces(member).get_opt(name).await.map_err(doing(Place::Member))? else { return Ok(None) };
    let in_host = namespaces(host).get_opt(&request.namespace).await.map_err(doing(Place::Host))?;
    let is_host = in_host.is_some_and(|one| one.uid() == found.uid());
    if is_host || !is_ours(&found) {
        return Ok(None);
    }
    let others = match others_in(member, name).await {
        Ok(others) => others,
        Err(error) => Some(format!("what cannot be listed ({})", Failure(error))),
    };
    if let Some(other) = others {
        return Ok(Some(format!("Namespace {name} in the member, because it holds {other}")));
    }
    say(format!("Namespace {name} in the member"));
    delete(&namespaces(member), Place::Member, "Namespace", name).await?;
    Ok(None)
}

/// Something in the namespace that is not incidental.
async fn others_in(member: &Client, namespace: &str) -> Result<Option<String>, kube::Error> {
    let discovery = kube::discovery::Discovery::new(member.clone()).run().await?;
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let listable = capabilities.supports_operation(kube::discovery::verbs::LIST);
            if capabilities.scope != kube::discovery::Scope::Namespaced || !listable {
                continue;
            }
            let objects: Api<DynamicObject> = Api::namespaced_with(member.clone(), namespace, &resource);
            let list = match objects.list_metadata(&ListParams::default().limit(PAGE)).await {
                // Aggregated APIs list what they do not keep, or are away.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405 | 503) => continue,
                other => other?,
            };
            for one in list.items {
                let name = one.name_any();
                let incidental =
                    |(kind, known): &(&str, &str)| *kind == resource.kind && (known.is_empty() || *known == name);
                // Being deleted is as good as gone; an old token Secret goes with its ServiceAccount.
                let going = one.metadata.deletion_timestamp.is_some()
                    || one.annotations().contains_key("kubernetes.io/service-account.name");
                if !going && !INCIDENTAL.iter().any(incidental) {
                    return Ok(Some(format!("{} {name}", resource.kind)));
                }
            }
        }
    }
    Ok(None)
}

fn namespaced(client: &Client, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &objects::resource(api_version, kind))
}

/// Deletes; what is gone already is as good.
async fn delete(objects: &Api<DynamicObject>, place: Place, kind: &str, name: &str) -> Result<(), ControlError> {
    match objects.delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()).map_err(ControlError::api(format!("delete {kind} {name}"), place)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_without_a_load_balancer_is_no_target() {
        let record = json!({"status": {"dns": [
            {"cluster": "c1", "loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
            {"cluster": "c2", "loadBalancer": {}},
        ]}});
        let held: Vec<bool> = ["c1", "c2", "c3"].iter().map(|cluster| has_targets(&record, cluster)).collect();
        assert_eq!(held, [true, false, false]);
        assert!(!has_targets(&json!({}), "c1"));
    }
}
