//! The way to an account: endpoint, region and credentials.
//!
//! Credentials are found as every program of AWS finds them: environment, shared files and profiles, web identity (IAM
//! roles for service accounts), container (EKS Pod Identity), instance; where a profile or a file is named, there alone. A
//! role may be assumed on top. TLS is rustls with
//! ring and the certificates of the system.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig,
    retry::RetryConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_route53::{
    Client,
    config::{Region, SharedCredentialsProvider},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::settings::Settings;

/// Longest time of one call, the whole answer included.
const CALL: Duration = Duration::from_secs(20);
/// Longest time of opening a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Where Route 53 of the usual partition is asked for, if nobody says another.
const REGION: &str = "us-east-1";
/// Name of the sessions of assumed roles, as `CloudTrail` shows it.
const SESSION: &str = "mcdns";

/// What decides about the account; equal for those who share its limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Access {
    endpoint: Option<String>,
    sts_endpoint: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    credentials_file: Option<String>,
    assume_role: Option<String>,
    external_id: Option<String>,
}

impl Access {
    /// That of these settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        let settings = settings.clone();
        Self {
            endpoint: settings.endpoint,
            sts_endpoint: settings.sts_endpoint,
            region: settings.region,
            profile: settings.profile,
            credentials_file: settings.credentials_file,
            assume_role: settings.assume_role,
            external_id: settings.external_id,
        }
    }
}

/// A client of Route 53. What is wrong with credentials shows at the first call.
pub(crate) async fn connect(access: &Access) -> Client {
    let base = base(access).await;
    let mut config = aws_sdk_route53::config::Builder::from(&base);
    config.set_endpoint_url(access.endpoint.clone());
    if let Some(role) = &access.assume_role {
        let mut role = AssumeRoleProvider::builder(role).session_name(SESSION).configure(&sts(access, &base));
        if let Some(id) = &access.external_id {
            role = role.external_id(id);
        }
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(role.build().await)));
    }
    Client::from_conf(config.build())
}

/// What all clients have in common.
async fn base(access: &Access) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(CALL).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    // Where the endpoint is said, the region only names who signs, and nobody asks the instance for it.
    let said = access.region.as_deref().or(access.endpoint.as_ref().map(|_| REGION));
    if let Some(region) = said {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    let mut files = EnvConfigFiles::builder().include_default_config_file(true);
    files = match &access.credentials_file {
        Some(file) => files.with_file(EnvConfigFileKind::Credentials, file),
        None => files.include_default_credentials_file(true),
    };
    let files = files.build();
    loader = loader.profile_files(files.clone());
    let config = loader.load().await;
    let region = config.region().cloned().unwrap_or_else(|| Region::new(REGION));
    let mut config = config.into_builder().region(region.clone());
    if access.profile.is_some() || access.credentials_file.is_some() {
        // Whoever names a profile means that one: where it is missing, nothing else is tried.
        let provider = ProviderConfig::without_region().with_region(Some(region)).with_http_client(http);
        let mut profile = ProfileFileCredentialsProvider::builder().configure(&provider).profile_files(files);
        if let Some(name) = &access.profile {
            profile = profile.profile_name(name);
        }
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(profile.build())));
    }
    config.build()
}

/// The same for STS, which may be elsewhere and may be asked again.
fn sts(access: &Access, base: &SdkConfig) -> SdkConfig {
    let mut config = base.to_builder();
    config.set_retry_config(Some(RetryConfig::standard()));
    config.set_endpoint_url(access.sts_endpoint.clone());
    config.build()
}
