//! The client of the host cluster: what the operator of mcdns itself set up.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use thiserror::Error;

/// Why there is no client for the host. Trying again helps only after the file or the settings have changed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A kubeconfig that cannot be read, or says nothing that could be used.
    #[error("the kubeconfig {} cannot be used", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Box<kube::config::KubeconfigError>,
    },
    /// No kubeconfig was named, and the usual ones cannot be used.
    #[error("no kubeconfig was named, this is no pod, and ~/.kube/config (or $KUBECONFIG) cannot be used")]
    Default {
        /// What is wrong.
        source: Box<kube::config::KubeconfigError>,
    },
    /// A pod without the account that it should have.
    #[error("the service account of this pod cannot be used")]
    InCluster {
        /// What is wrong.
        source: Box<kube::config::InClusterError>,
    },
    /// Certificates or an address that no client can be made of.
    #[error("no client can be made for {server}")]
    Unusable {
        /// Address of the server.
        server: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

/// The client of the host: of `kubeconfig` (which may use exec plug-ins and files, since the operator wrote it) and
/// `context` in it; without one, of the pod's own service account; outside a pod, of the usual kubeconfig.
///
/// Nothing is asked yet: a host that is away is no error.
///
/// # Errors
///
/// What is written there is missing or wrong.
pub async fn host_client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, ClientError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = if let Some(path) = kubeconfig {
        let of = |source| ClientError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
        let read = Kubeconfig::read_from(path).map_err(of)?;
        Config::from_custom_kubeconfig(read, &options).await.map_err(of)?
    } else if context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Config::incluster().map_err(|source| ClientError::InCluster { source: Box::new(source) })?
    } else {
        Config::from_kubeconfig(&options).await.map_err(|source| ClientError::Default { source: Box::new(source) })?
    };
    // Watches and writers wait and try again themselves, and say so.
    config.default_retry = false;
    config.connect_timeout = Some(super::member_client::CONNECT_TIME);
    let server = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ClientError::Unusable { server, source: Box::new(source) })
}
