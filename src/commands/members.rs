//! `mcdns join` and `mcdns unjoin`.

use std::fmt::Write as _;

use anyhow::Result;
use indicatif::ProgressBar;
use mcdns_control::{
    join::{
        self, Clients, JoinOptions, JoinRequest, MemberEndpoint, MemberName, Planned, Token, host_objects,
        member_objects,
    },
    unjoin::{self, UnjoinRequest},
};

use super::{Outcome, kube_clients, small_runtime};
use crate::{
    args::{Join, TwoClusters, Unjoin},
    output::{Output, Paint, plural},
    settings::Settings,
};

/// Takes a member in, or tells what that would make.
pub(super) fn join(arguments: &Join, settings: &Settings, output: Output) -> Result<Outcome> {
    let member: MemberName = arguments.name.parse()?;
    let kubeconfig = kube_clients::kubeconfig(arguments.clusters.kubeconfig.as_deref())?;
    let (member_context, host_context) = contexts(&kubeconfig, &arguments.name, &arguments.clusters)?;
    let (endpoint, warnings) = MemberEndpoint::of(&kubeconfig, member_context)?;
    let request = JoinRequest {
        member,
        host: arguments.clusters.host_cluster_name.clone().unwrap_or_else(|| host_context.to_owned()),
        namespace: kube_clients::namespace(arguments.clusters.kubefed_namespace.as_deref(), settings),
        secret_name: arguments.secret_name.clone(),
        endpoint,
    };
    for warning in warnings {
        output.say(&format!("warning: {warning}"));
    }
    if arguments.dry_run {
        output.print(&planned(&request, arguments.output.is_some())?)?;
        return Ok(Outcome::Fine);
    }
    let options = JoinOptions { error_on_existing: arguments.error_on_existing, timeout: arguments.timeout };
    let progress = output.progress("asking both clusters");
    let joined = small_runtime()?.block_on(async {
        let host = kube_clients::client(&kubeconfig, host_context).await?;
        let member = kube_clients::client(&kubeconfig, member_context).await?;
        let joined = join::join(&Clients { host, member }, &request, options, &mut steps(&progress, output)).await;
        anyhow::Ok(joined?)
    });
    progress.finish_and_clear();
    let joined = joined?;
    if let Some(why) = &joined.unanswered {
        output.say(&format!(
            "{}: {} has joined, but did not answer with its new token within {} s: {why}\n  help: look whether {} is \
             reached from the host cluster; mcdns goes on trying, and its KubeFedCluster says what it finds",
            output.paint(Paint::Odd, "warning"),
            request.member,
            arguments.timeout.as_secs(),
            request.endpoint.url,
        ));
        return Ok(Outcome::Findings);
    }
    if !joined.missing.is_empty() {
        output.say(&format!(
            "{}: {} has joined, but its token lacks {}: {}\n  help: something in the member takes from what its \
             ClusterRole gives (an authorisation webhook, for instance); `mcdns join … --error-on-existing=false` looks again",
            output.paint(Paint::Odd, "warning"),
            request.member,
            plural(joined.missing.len(), "permission"),
            joined.missing.join(", "),
        ));
        return Ok(Outcome::Findings);
    }
    output.say(&format!(
        "{} has joined: it answers, and its token has every permission (until {}, mcdns renews it)",
        request.member, joined.expires
    ));
    Ok(Outcome::Fine)
}

/// Lets a member go, or tells what that would delete.
pub(super) fn unjoin(arguments: &Unjoin, settings: &Settings, output: Output) -> Result<Outcome> {
    let member: MemberName = arguments.name.parse()?;
    let kubeconfig = kube_clients::kubeconfig(arguments.clusters.kubeconfig.as_deref())?;
    let contexts = contexts(&kubeconfig, &arguments.name, &arguments.clusters);
    // A cluster that is gone may be gone from the kubeconfig too.
    let (member_context, host_context) = match contexts {
        Ok((member, host)) => (Some(member), host),
        Err(_) if arguments.force => {
            let named = arguments.clusters.host_cluster_context.as_deref();
            (None, kube_clients::context(&kubeconfig, named, "--host-cluster-context")?)
        }
        Err(error) => return Err(error),
    };
    let request = UnjoinRequest {
        member,
        host: arguments.clusters.host_cluster_name.clone().unwrap_or_else(|| host_context.to_owned()),
        namespace: kube_clients::namespace(arguments.clusters.kubefed_namespace.as_deref(), settings),
        timeout: arguments.timeout,
        force: arguments.force,
    };
    if arguments.dry_run {
        let lines: Vec<String> =
            request.planned().iter().map(|(place, object)| format!("{place}\tdelete\t{object}\n")).collect();
        output.print(&lines.concat())?;
        return Ok(Outcome::Fine);
    }
    let progress = output.progress("asking both clusters");
    let unjoined = small_runtime()?.block_on(async {
        let host = kube_clients::client(&kubeconfig, host_context).await?;
        let member = match member_context {
            Some(context) => Some(kube_clients::client(&kubeconfig, context).await),
            None => None,
        };
        let member = match member {
            Some(Err(error)) if !arguments.force => return Err(error),
            other => other.and_then(Result::ok),
        };
        Ok(unjoin::unjoin(&host, member.as_ref(), &request, &mut steps(&progress, output)).await?)
    });
    progress.finish_and_clear();
    let unjoined = unjoined?;
    for left in &unjoined.left {
        output.say(&format!("left behind: {left}"));
    }
    output.say(&format!("{} is no member any more", request.member));
    Ok(Outcome::Fine)
}

/// The contexts of member and host.
fn contexts<'k>(
    kubeconfig: &'k kube::config::Kubeconfig,
    name: &'k str,
    clusters: &'k TwoClusters,
) -> Result<(&'k str, &'k str)> {
    let member = clusters.cluster_context.as_deref().unwrap_or(name);
    let member = kube_clients::context(kubeconfig, Some(member), "--cluster-context")?;
    let host = clusters.host_cluster_context.as_deref();
    Ok((member, kube_clients::context(kubeconfig, host, "--host-cluster-context")?))
}

/// Shows each step as it is taken: as what turns on a terminal, else as a line.
fn steps(progress: &ProgressBar, output: Output) -> impl FnMut(String) + use<> {
    let progress = progress.clone();
    let mut last = String::new();
    move |step| {
        // Behind the semicolon stands what changes while the same is waited for.
        let what = step.split(';').next().unwrap_or_default().to_owned();
        if progress.is_hidden() && what != last {
            output.say(&step);
        }
        last = what;
        progress.set_message(step);
    }
}

/// What would be made: a line each, or the objects with a comment over each that says where it belongs.
fn planned(request: &JoinRequest, objects: bool) -> Result<String> {
    let in_member = member_objects(request);
    let in_host = host_objects(request, &Token::placeholder());
    let mut text = String::new();
    let mut add = |place: &str, object: &Planned| {
        if objects {
            write!(text, "---\n# {place}: {object}\n{}", serde_saphyr::to_string(object.value())?)?;
        } else {
            writeln!(text, "{place}\tapply\t{object}")?;
        }
        anyhow::Ok(())
    };
    for object in &in_member {
        add("member", object)?;
    }
    for object in &in_host {
        add("host", object)?;
    }
    Ok(text)
}
