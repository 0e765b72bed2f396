//! The client of a member: from its KubeFedCluster and the Secret that this names.
//!
//! Whoever may write that Secret shall not gain more by it than a connection to some server: a kubeconfig in it is
//! accepted only if it runs nothing and reads no file here.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use http::Uri;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};

use super::{member_spec::Reach, tls};

/// How long a connection may take, with TLS. A member that is further away than that is not reached by its probes
/// (3 s) either.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(3);

/// The keys of the Secret that may hold a kubeconfig, as other programs write them.
const KUBECONFIG_KEYS: [&str; 3] = ["kubeconfig", "value", "config"];

/// How a member is reached, with everything that takes.
pub(super) struct Access {
    pub(super) client: Client,
    /// Equal while the client would be the same.
    pub(super) digest: u64,
    /// Equal while it is the same server.
    pub(super) server: u64,
}

/// What is known about reaching a member before its client is made.
pub(super) struct Plan {
    config: Config,
    unchecked: tls::Unchecked,
    pub(super) digest: u64,
    server: u64,
}

/// Makes the client of a member.
pub(super) fn make(plan: Plan) -> Result<Access, String> {
    let Plan { config, unchecked, digest, server } = plan;
    let client = tls::client(config, unchecked)?;
    Ok(Access { client, digest, server })
}

/// Works out how a member is reached, and says what a person has to mend where it is not known.
pub(super) async fn plan(reach: &Reach, secret: &Secret, namespace: &str) -> Result<Plan, String> {
    let name = &reach.secret_ref.name;
    let data = secret.data.as_ref();
    let value = |key: &str| data.and_then(|data| data.get(key)).map(|ByteString(octets)| octets.as_slice());
    let unchecked = tls::Unchecked::read(reach.disabled_tls_validations.as_deref().unwrap_or_default())?;
    let mut config = if let Some(token) = value("token") {
        let token =
            std::str::from_utf8(token).map_err(|_| format!("`token` in Secret {namespace}/{name} is no text"))?;
        let mut config = Config::new(endpoint(&reach.api_endpoint)?);
        config.auth_info = AuthInfo { token: Some(token.trim().to_owned().into()), ..AuthInfo::default() };
        config.root_cert = authorities(reach.ca_bundle.as_deref(), value("ca.crt"))?;
        config
    } else if let Some(text) = KUBECONFIG_KEYS.iter().find_map(|key| value(key)) {
        let text =
            std::str::from_utf8(text).map_err(|_| format!("the kubeconfig in Secret {namespace}/{name} is no text"))?;
        of_kubeconfig(text).await.map_err(|why| format!("the kubeconfig in Secret {namespace}/{name} {why}"))?
    } else {
        return Err(format!("Secret {namespace}/{name} has no `token`; join the cluster again with `mcdns join`"));
    };
    if let Some(proxy) = reach.proxy_url.as_deref().filter(|proxy| !proxy.is_empty()) {
        let proxy: Uri = proxy.parse().map_err(|_| "spec.proxyURL is no URL".to_owned())?;
        if !matches!(proxy.scheme_str(), Some("http" | "https" | "socks5")) {
            return Err("spec.proxyURL must begin with http://, https:// or socks5://".to_owned());
        }
        config.proxy_url = Some(proxy);
    }
    config.connect_timeout = Some(CONNECT_TIME);
    // Watches and probes wait and try again themselves.
    config.default_retry = false;
    let mut hasher = DefaultHasher::new();
    (config.cluster_url.to_string(), &config.root_cert).hash(&mut hasher);
    let server = hasher.finish();
    let sorted: BTreeMap<_, _> = data.into_iter().flatten().map(|(key, value)| (key, &value.0)).collect();
    (reach, sorted).hash(&mut hasher);
    Ok(Plan { config, unchecked, digest: hasher.finish(), server })
}

/// `spec.apiEndpoint`: a URL, or host with or without a port, which means HTTPS.
fn endpoint(text: &str) -> Result<Uri, String> {
    let wrong = || "spec.apiEndpoint is missing or no address; write for example https://192.0.2.1:6443".to_owned();
    let text = text.trim();
    if text.is_empty() {
        return Err(wrong());
    }
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: Uri = with_scheme.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        // A bearer token is worth as much as a password.
        (Some("http"), _) => Err("spec.apiEndpoint must not be http://, since the token would be sent in the clear; \
                                  write https://"
            .to_owned()),
        (Some("https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(wrong()),
    }
}

/// The authorities whose certificates are accepted, in DER; none for those that the system trusts.
fn authorities(bundle: Option<&str>, of_secret: Option<&[u8]>) -> Result<Option<Vec<Vec<u8>>>, String> {
    let bundle = bundle.map(str::trim).filter(|bundle| !bundle.is_empty());
    let (field, pem) = match (bundle, of_secret.filter(|pem| !pem.is_empty())) {
        (Some(bundle), _) => {
            // The same decoder that reads Secrets.
            let quoted = serde_json::Value::String(bundle.split_ascii_whitespace().collect());
            let decoded: Result<ByteString, _> = serde_json::from_value(quoted);
            ("spec.caBundle", decoded.map_err(|_| "spec.caBundle is no base64".to_owned())?.0)
        }
        (None, Some(pem)) => ("`ca.crt` in the Secret", pem.to_vec()),
        (None, None) => return Ok(None),
    };
    let certificates = tls::certificates(&pem);
    if certificates.is_empty() {
        return Err(format!("{field} holds no certificate; it must be PEM"));
    }
    Ok(Some(certificates))
}

/// A kubeconfig of somebody who may write Secrets, not of the operator of mcdns.
async fn of_kubeconfig(text: &str) -> Result<Config, String> {
    // What the parser says may quote what it read, which is secret.
    let config = Kubeconfig::from_yaml(text).map_err(|_| "is no kubeconfig".to_owned())?;
    for user in config.auth_infos.iter().filter_map(|user| user.auth_info.as_ref()) {
        let refused = [
            ("an exec plug-in", user.exec.is_some()),
            ("an auth-provider", user.auth_provider.is_some()),
            ("a tokenFile", user.token_file.is_some()),
            ("a client-certificate file", user.client_certificate.is_some()),
            ("a client-key file", user.client_key.is_some()),
        ];
        if let Some((what, _)) = refused.iter().find(|(_, there)| *there) {
            return Err(format!("has {what}, which is refused: it would run or read something here; use a token"));
        }
    }
    for cluster in config.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref()) {
        if cluster.certificate_authority.is_some() {
            return Err("has a certificate-authority file, which is refused: it would be read here; use \
                        certificate-authority-data"
                .to_owned());
        }
    }
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let config = config.map_err(|_| "has no context, cluster or user that could be used".to_owned())?;
    if config.cluster_url.scheme_str() == Some("http") {
        return Err("has a server with http://, which would send the token in the clear".to_owned());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let data =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    fn reach(api_endpoint: &str) -> Reach {
        Reach { api_endpoint: api_endpoint.to_owned(), ..Reach::default() }
    }

    fn why(result: Result<Plan, String>) -> String {
        result.err().expect("it is refused")
    }

    #[tokio::test]
    async fn a_token_and_an_address_suffice() {
        for address in
            ["https://a.example:6443", "a.example:6443", "a.example", "192.0.2.1", "https://[2001:db8::1]:6443"]
        {
            let plan = plan(&reach(address), &secret(&[("token", "abc\n")]), "system").await;
            assert!(plan.is_ok(), "{address}: {:?}", plan.err());
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        assert!(why(plan(&reach("a"), &secret(&[]), "system").await).contains("no `token`"));
        assert!(why(plan(&reach(""), &secret(&[("token", "x")]), "system").await).contains("spec.apiEndpoint"));
        assert!(why(plan(&reach("http://a"), &secret(&[("token", "x")]), "system").await).contains("in the clear"));
        let odd = Reach { ca_bundle: Some("%%%".to_owned()), ..reach("a") };
        assert!(why(plan(&odd, &secret(&[("token", "x")]), "system").await).contains("base64"));
        let empty = Reach { ca_bundle: Some("YWJj".to_owned()), ..reach("a") };
        assert!(why(plan(&empty, &secret(&[("token", "x")]), "system").await).contains("no certificate"));
        let proxy = Reach { proxy_url: Some("ftp://p".to_owned()), ..reach("a") };
        assert!(why(plan(&proxy, &secret(&[("token", "x")]), "system").await).contains("spec.proxyURL"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_runs_or_reads_something_here_is_refused() {
        let kubeconfig = |user: &str, cluster: &str| {
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
                 clusters: [{{name: c, cluster: {{server: 'https://a:6443'{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
            )
        };
        let read = |user: &str, cluster: &str| {
            let secret = secret(&[("kubeconfig", &kubeconfig(user, cluster))]);
            async move { plan(&Reach::default(), &secret, "system").await }
        };
        assert!(read("token: abc", "").await.is_ok());
        for (user, cluster) in [
            ("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}", ""),
            ("auth-provider: {name: gcp, config: {}}", ""),
            ("tokenFile: /etc/passwd", ""),
            ("client-certificate: /a, client-key: /b", ""),
            ("token: abc", ", certificate-authority: /etc/passwd"),
        ] {
            assert!(why(read(user, cluster).await).contains("refused"), "{user} {cluster}");
        }
    }

    #[tokio::test]
    async fn a_new_token_is_another_client_and_the_same_server() {
        let one = plan(&reach("a"), &secret(&[("token", "x")]), "system").await.expect("a plan");
        let other = plan(&reach("a"), &secret(&[("token", "y")]), "system").await.expect("a plan");
        assert_ne!(one.digest, other.digest);
        assert_eq!(one.server, other.server);
        let elsewhere = plan(&reach("b"), &secret(&[("token", "x")]), "system").await.expect("a plan");
        assert_ne!(one.server, elsewhere.server);
    }
}
