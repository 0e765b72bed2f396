//! `mcdns cordon` and `mcdns uncordon`.

use anyhow::Result;
use mcdns_control::cordon;

use super::{Outcome, admin_port, kube_clients, small_runtime};
use crate::{
    args::{Cordon, Host, Uncordon},
    output::Output,
    settings::Settings,
};

/// What a person can do while the host is down.
const HOST_DOWN: &str =
    "while the host cannot be written to, each replica takes it at its admin port: --admin ADDR:PORT";

/// Takes a cluster out.
pub(super) fn cordon(arguments: &Cordon, settings: &Settings, output: Output) -> Result<Outcome> {
    if let Some(admin) = &arguments.admin {
        return at_replica(admin, &arguments.cluster, true, output);
    }
    let reason = arguments.reason.as_deref().unwrap_or_default();
    let before = at_host(&arguments.host, &arguments.cluster, Some(reason), settings)?;
    output.say(&match before.as_deref() {
        None | Some("false") => format!("{} is cordoned", arguments.cluster),
        Some(_) => format!("{} was cordoned already", arguments.cluster),
    });
    Ok(Outcome::Fine)
}

/// Takes it back.
pub(super) fn uncordon(arguments: &Uncordon, settings: &Settings, output: Output) -> Result<Outcome> {
    if let Some(admin) = &arguments.admin {
        return at_replica(admin, &arguments.cluster, false, output);
    }
    let before = at_host(&arguments.host, &arguments.cluster, None, settings)?;
    output.say(&match before.as_deref() {
        None | Some("false") => format!("{} was not cordoned", arguments.cluster),
        Some("true" | "") => format!("{} is no longer cordoned", arguments.cluster),
        Some(reason) => format!("{} is no longer cordoned; it was because of: {reason}", arguments.cluster),
    });
    Ok(Outcome::Fine)
}

fn at_host(host: &Host, cluster: &str, reason: Option<&str>, settings: &Settings) -> Result<Option<String>> {
    let namespace = kube_clients::namespace(host.kubefed_namespace.as_deref(), settings);
    let done = small_runtime()?.block_on(async {
        let client = kube_clients::host(host).await?;
        anyhow::Ok(cordon::set(&client, &namespace, cluster, reason).await?)
    });
    done.map_err(|error| match error.downcast_ref::<mcdns_control::join::ControlError>() {
        // What the host itself says is no reason to go round it.
        Some(refused) if !refused.is_silence() => error,
        _ => error.context(format!("the host is not told\n  help: {HOST_DOWN}")),
    })
}

fn at_replica(admin: &str, cluster: &str, cordoned: bool, output: Output) -> Result<Outcome> {
    let path: String = cluster.bytes().map(admin_port::escape).collect();
    let method = if cordoned { "POST" } else { "DELETE" };
    let help = "is `mcdns run` running there? The admin port is on loopback unless settings say otherwise";
    let told = admin_port::ask(admin_port::address(admin)?, method, &format!("/cordon/{path}"), help)?;
    output.say(told.trim_end());
    Ok(Outcome::Fine)
}
