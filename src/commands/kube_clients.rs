//! Clients of clusters for the commands, with the operator's own kubeconfig.
//!
//! What a kubeconfig says is trusted here, plug-ins for credentials included: it is the operator's own, as kubectl has
//! it. What stands in Secrets of the host is another matter and is read elsewhere, with neither.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{args::Host, settings::Settings};

/// How long an API server may be silent within an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kubeconfig: the one that was named, else as kubectl finds it.
pub(super) fn kubeconfig(named: Option<&Path>) -> Result<Kubeconfig> {
    match named {
        Some(path) => {
            Kubeconfig::read_from(path).with_context(|| format!("the kubeconfig {} cannot be read", path.display()))
        }
        None => Kubeconfig::read().context(
            "no kubeconfig can be read\n  help: name one with --kubeconfig FILE, or set KUBECONFIG as for kubectl; what is \
             computed from a federation directory needs none: name DIR",
        ),
    }
}

/// The context that was named, else the current one.
pub(super) fn context<'k>(kubeconfig: &'k Kubeconfig, named: Option<&'k str>, flag: &str) -> Result<&'k str> {
    let current = || kubeconfig.current_context.as_deref().filter(|context| !context.is_empty());
    let Some(context) = named.or_else(current) else {
        bail!("the kubeconfig has no current context\n  help: name one with {flag}: {}", contexts(kubeconfig));
    };
    if !kubeconfig.contexts.iter().any(|one| one.name == context) {
        bail!("the kubeconfig has no context `{context}`\n  help: name one with {flag}: {}", contexts(kubeconfig));
    }
    Ok(context)
}

/// A client for a context.
pub(super) async fn client(kubeconfig: &Kubeconfig, context: &str) -> Result<Client> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
    let mut config = config.with_context(|| format!("context `{context}` of the kubeconfig cannot be used"))?;
    config.read_timeout = Some(PATIENCE);
    Client::try_from(config).with_context(|| format!("no client can be made for context `{context}`"))
}

/// A client for the host: by flags, by the kubeconfig as kubectl finds it, or as the Pod this runs in.
pub(super) async fn host(host: &Host) -> Result<Client> {
    let in_pod = || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    match kubeconfig(host.kubeconfig.as_deref()) {
        Ok(found) => client(&found, context(&found, host.context.as_deref(), "--context")?).await,
        Err(error) if host.kubeconfig.is_some() || host.context.is_some() || !in_pod() => Err(error),
        Err(_) => {
            let config = Config::incluster().context("the ServiceAccount of this Pod cannot be used")?;
            Client::try_from(config).context("no client can be made for the cluster of this Pod")
        }
    }
}

/// The namespace of the federation's own objects.
pub(super) fn namespace(flag: Option<&str>, settings: &Settings) -> String {
    flag.map_or_else(|| settings.system_namespace.value.clone(), str::to_owned)
}

fn contexts(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|one| one.name.as_str()).collect();
    if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) }
}
