//! Where a member's API server is and how its certificate is checked, from the operator's kubeconfig.
//!
//! Of the kubeconfig's user nothing is taken: what is written to the host is a token of the member's own.

use std::{fs, io, path::PathBuf};

use data_encoding::{BASE64, BASE64_MIME_PERMISSIVE};
use kube::config::Kubeconfig;
use thiserror::Error;

/// How a member is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEndpoint {
    /// URL of the API server. Its host is in lower case: a host name means the same in either, and the admission of
    /// KubeFed refuses capitals, as EKS gives them.
    pub url: String,
    /// Certificates of the authority, PEM; none where the kubeconfig trusts what this machine trusts.
    pub authority: Option<String>,
    /// The certificate of the server is not checked at all.
    pub insecure: bool,
    /// Proxy on the way.
    pub proxy: Option<String>,
}

/// Why a kubeconfig does not tell how a member is reached. A person has to mend it.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// No such context.
    #[error("the kubeconfig has no context `{context}`\n  help: its contexts are {known}")]
    NoContext {
        /// As asked for.
        context: String,
        /// All that there are.
        known: String,
    },
    /// The context points nowhere.
    #[error("context `{context}` names the cluster `{cluster}`, which the kubeconfig does not have")]
    NoCluster {
        /// The context.
        context: String,
        /// What it names.
        cluster: String,
    },
    /// No usable URL.
    #[error("cluster `{cluster}` of the kubeconfig has the server `{server}`, which is no https URL")]
    Server {
        /// The cluster.
        cluster: String,
        /// As written.
        server: String,
    },
    /// Not encrypted: mcdns sends no token there.
    #[error(
        "cluster `{cluster}` of the kubeconfig has the server `{server}`, where the token would be sent in the clear, so \
         mcdns would never observe it\n  help: name an https address of the API server"
    )]
    Clear {
        /// The cluster.
        cluster: String,
        /// As written.
        server: String,
    },
    /// The file of the authority.
    #[error("the certificate authority {} cannot be read", path.display())]
    AuthorityFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text of the authority.
    #[error("certificate-authority-data of cluster `{cluster}` is no PEM in base64")]
    AuthorityData {
        /// The cluster.
        cluster: String,
    },
}

impl MemberEndpoint {
    /// The API server of a context, with what a person should know about it. Files are read.
    ///
    /// # Errors
    ///
    /// What is missing or cannot be read.
    pub fn of(kubeconfig: &Kubeconfig, context: &str) -> Result<(Self, Vec<String>), EndpointError> {
        let named = kubeconfig.contexts.iter().find(|one| one.name == context);
        let Some(named) = named.and_then(|one| one.context.as_ref()) else {
            let known: Vec<&str> = kubeconfig.contexts.iter().map(|one| one.name.as_str()).collect();
            let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
            return Err(EndpointError::NoContext { context: context.to_owned(), known });
        };
        let name = &named.cluster;
        let cluster = kubeconfig.clusters.iter().find(|one| one.name == *name).and_then(|one| one.cluster.as_ref());
        let Some(cluster) = cluster else {
            return Err(EndpointError::NoCluster { context: context.to_owned(), cluster: name.clone() });
        };
        let server = cluster.server.clone().unwrap_or_default();
        let Some(url) = lower_case_host(&server) else {
            return Err(EndpointError::Server { cluster: name.clone(), server });
        };
        if url.starts_with("http:") {
            return Err(EndpointError::Clear { cluster: name.clone(), server });
        }
        let mut warnings = Vec::new();
        let insecure = cluster.insecure_skip_tls_verify == Some(true);
        let authority = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
            // As kubectl does: with this flag an authority counts for nothing.
            _ if insecure => None,
            (Some(data), _) if !data.is_empty() => {
                let octets = BASE64_MIME_PERMISSIVE.decode(data.as_bytes()).ok();
                let text = octets.and_then(|octets| String::from_utf8(octets).ok());
                let pem = text.filter(|text| text.contains("-----BEGIN CERTIFICATE-----"));
                Some(pem.ok_or_else(|| EndpointError::AuthorityData { cluster: name.clone() })?)
            }
            (_, Some(file)) if !file.is_empty() => {
                let path = PathBuf::from(file);
                let read = fs::read_to_string(&path);
                Some(read.map_err(|source| EndpointError::AuthorityFile { path, source })?)
            }
            _ => None,
        };
        if insecure {
            warnings.push(format!(
                "cluster `{name}` of the kubeconfig has insecure-skip-tls-verify, so mcdns will not check who answers \
                 at {url} either: whoever is on the way can read the token"
            ));
        } else if authority.is_none() {
            warnings.push(format!(
                "cluster `{name}` of the kubeconfig has no certificate authority, so the certificate of {url} must be \
                 one that everybody trusts"
            ));
        }
        if let Some(server_name) = cluster.tls_server_name.as_ref().filter(|name| !name.is_empty()) {
            warnings.push(format!(
                "tls-server-name {server_name} of the kubeconfig has no counterpart in a KubeFedCluster; the \
                 certificate must name the host of {url}"
            ));
        }
        if is_loopback(&url) {
            warnings.push(format!(
                "{url} is this machine: edit apiEndpoint of the KubeFedCluster to what mcdns in the host cluster can \
                 reach"
            ));
        }
        let proxy = cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty());
        Ok((Self { url, authority, insecure, proxy }, warnings))
    }

    /// `spec.caBundle`: the authority in base64.
    pub(super) fn ca_bundle(&self) -> Option<String> {
        self.authority.as_ref().map(|pem| BASE64.encode(pem.as_bytes()))
    }
}

/// The URL with the host in lower case and no slash at its end; none if it is none.
fn lower_case_host(server: &str) -> Option<String> {
    let (scheme, rest) = server.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return None;
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let url = format!("{scheme}://{}{}", host.to_ascii_lowercase(), path.trim_end_matches('/'));
    let uri: http::Uri = url.parse().ok()?;
    uri.host().filter(|host| !host.is_empty())?;
    Some(url)
}

fn is_loopback(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn kubeconfig(cluster: &str) -> Kubeconfig {
        let data = BASE64.encode(PEM.as_bytes());
        let text = format!(
            "{{apiVersion: v1, kind: Config, contexts: [{{name: 'me@Prod.eksctl.io', context: {{cluster: Prod, user: u}}}}, \
             {{name: 'arn:aws:eks:r:1:cluster/x', context: {{cluster: gone, user: u}}}}], \
             clusters: [{{name: Prod, cluster: {{{}}}}}]}}",
            cluster.replace("DATA", &data)
        );
        Kubeconfig::from_yaml(&text).expect("a kubeconfig")
    }

    fn of(cluster: &str) -> (MemberEndpoint, Vec<String>) {
        MemberEndpoint::of(&kubeconfig(cluster), "me@Prod.eksctl.io").expect("an endpoint")
    }

    #[test]
    fn a_server_as_eks_writes_it_is_lower_case_and_its_authority_is_kept() {
        let (endpoint, warnings) =
            of("server: 'https://0A1B2C.GR7.eu-west-1.EKS.amazonaws.com', certificate-authority-data: DATA");
        assert_eq!(endpoint.url, "https://0a1b2c.gr7.eu-west-1.eks.amazonaws.com");
        assert_eq!(endpoint.authority.as_deref(), Some(PEM));
        assert_eq!((endpoint.insecure, endpoint.proxy, warnings), (false, None, Vec::new()));
    }

    #[test]
    fn a_path_and_its_capitals_stay() {
        let (endpoint, _) = of("server: 'https://Rancher.example/k8s/clusters/C-1/', proxy-url: 'http://proxy:3128'");
        assert_eq!(endpoint.url, "https://rancher.example/k8s/clusters/C-1");
        assert_eq!(endpoint.proxy.as_deref(), Some("http://proxy:3128"));
    }

    #[test]
    fn an_authority_in_a_file_is_read() {
        let file = std::env::temp_dir().join(format!("mcdns-authority-{}.pem", std::process::id()));
        fs::write(&file, PEM).expect("written");
        let (endpoint, _) = of(&format!("server: 'https://a.example', certificate-authority: '{}'", file.display()));
        fs::remove_file(&file).expect("removed");
        assert_eq!(endpoint.authority.as_deref(), Some(PEM));
    }

    #[test]
    fn what_is_odd_is_said() {
        for (cluster, said) in [
            (
                "server: 'https://a.example', insecure-skip-tls-verify: true, certificate-authority-data: DATA",
                "insecure",
            ),
            ("server: 'https://a.example'", "no certificate authority"),
            ("server: 'https://127.0.0.1:6443', certificate-authority-data: DATA", "is this machine"),
            ("server: 'https://[::1]:6443', certificate-authority-data: DATA", "is this machine"),
            ("server: 'https://a.example', certificate-authority-data: DATA, tls-server-name: b.example", "b.example"),
        ] {
            let (endpoint, warnings) = of(cluster);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(said), "{warnings:?}");
            assert_eq!(endpoint.authority.is_some(), cluster.contains("DATA") && !endpoint.insecure);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let whole = kubeconfig("server: 'https://a.example'");
        for (kubeconfig, context, expected) in [
            (&whole, "nope", "its contexts are me@Prod.eksctl.io, arn:aws:eks:r:1:cluster/x"),
            (&whole, "arn:aws:eks:r:1:cluster/x", "names the cluster `gone`"),
            (&kubeconfig("server: a.example"), "me@Prod.eksctl.io", "no https URL"),
            (&kubeconfig("server: 'HTTP://a.example'"), "me@Prod.eksctl.io", "in the clear"),
            (&kubeconfig("server: 'https://'"), "me@Prod.eksctl.io", "no https URL"),
            (
                &kubeconfig("server: 'https://a', certificate-authority: /nowhere/ca.crt"),
                "me@Prod.eksctl.io",
                "/nowhere/ca.crt cannot be read",
            ),
            (
                &kubeconfig("server: 'https://a', certificate-authority-data: '%%'"),
                "me@Prod.eksctl.io",
                "no PEM in base64",
            ),
        ] {
            let error = MemberEndpoint::of(kubeconfig, context).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
