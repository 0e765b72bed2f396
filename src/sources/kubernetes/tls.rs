//! What of a member's certificate is not checked, as KubeFed means `spec.disabledTLSValidations`: `*` for nothing at
//! all, `SubjectName` for everything but the name, `ValidityPeriod` for everything but the time.

use std::sync::Arc;

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt as _},
};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tower::ServiceExt as _;

use super::member_client::CONNECT_TIME;

/// Certificates of a chain that may each be out of time.
const MAX_CHAIN: usize = 8;

/// What is not checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unchecked {
    everything: bool,
    name: bool,
    validity: bool,
}

impl Unchecked {
    /// Reads `spec.disabledTLSValidations`.
    pub(super) fn read(words: &[String]) -> Result<Self, String> {
        let mut unchecked = Self::default();
        for word in words {
            match word.as_str() {
                "*" => unchecked.everything = true,
                "SubjectName" => unchecked.name = true,
                "ValidityPeriod" => unchecked.validity = true,
                _ => return Err("spec.disabledTLSValidations may hold `*`, `SubjectName`, `ValidityPeriod`".to_owned()),
            }
        }
        if unchecked.everything && words.len() > 1 {
            return Err("`*` in spec.disabledTLSValidations must stand alone".to_owned());
        }
        Ok(unchecked)
    }
}

/// The certificates in a PEM text, in DER.
pub(super) fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).filter_map(|found| found.ok().map(|one| one.to_vec())).collect()
}

/// A client that leaves those checks out.
pub(super) fn client(mut config: Config, unchecked: Unchecked) -> Result<Client, String> {
    let unusable = |error: kube::Error| format!("no client can be made: {}", super::fault::Fault::of(&error).message());
    config.accept_invalid_certs |= unchecked.everything;
    if !unchecked.name && !unchecked.validity {
        return Client::try_from(config).map_err(unusable);
    }
    if config.proxy_url.is_some() {
        return Err("spec.proxyURL and spec.disabledTLSValidations go together only as `*`".to_owned());
    }
    let mut authorities = RootCertStore::empty();
    for certificate in config.root_cert.iter().flatten() {
        let added = authorities.add(CertificateDer::from(certificate.clone()));
        added.map_err(|error| format!("a certificate in spec.caBundle cannot be used: {error}"))?;
    }
    let verifier = WebPkiServerVerifier::builder(Arc::new(authorities)).build();
    let verifier = verifier
        .map_err(|_| "spec.caBundle is needed where spec.disabledTLSValidations leaves some checks".to_owned())?;
    let mut tls = config.rustls_client_config().map_err(unusable)?;
    tls.dangerous().set_certificate_verifier(Arc::new(Lenient { verifier, unchecked }));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIME));
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp));
    let http = http.map_err(tower::BoxError::from);
    let namespace = config.default_namespace.clone();
    let base = config.base_uri_layer();
    Ok(match config.auth_layer().map_err(unusable)? {
        Some(auth) => ClientBuilder::new(http, namespace).with_layer(&auth).with_layer(&base).build(),
        None => ClientBuilder::new(http, namespace).with_layer(&base).build(),
    })
}

/// Checks a certificate but for its name or its time.
#[derive(Debug)]
struct Lenient {
    verifier: Arc<WebPkiServerVerifier>,
    unchecked: Unchecked,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut at = now;
        for _ in 0..MAX_CHAIN {
            let checked = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
            let Err(Error::InvalidCertificate(error)) = &checked else { return checked };
            match error {
                // The name is looked at last, so everything else was in order.
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                    if self.unchecked.name =>
                {
                    return Ok(ServerCertVerified::assertion());
                }
                // Asked again for a time at which that certificate was valid.
                CertificateError::ExpiredContext { not_after, .. } if self.unchecked.validity && at != *not_after => {
                    at = *not_after;
                }
                CertificateError::NotValidYetContext { not_before, .. }
                    if self.unchecked.validity && at != *not_before =>
                {
                    at = *not_before;
                }
                _ => return checked,
            }
        }
        Err(Error::InvalidCertificate(CertificateError::Expired))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Unchecked, String> {
        Unchecked::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_words_are_kubefeds() {
        assert_eq!(read(&[]), Ok(Unchecked::default()));
        assert_eq!(read(&["*"]), Ok(Unchecked { everything: true, ..Unchecked::default() }));
        let both = Unchecked { everything: false, name: true, validity: true };
        assert_eq!(read(&["SubjectName", "ValidityPeriod"]), Ok(both));
        assert!(read(&["*", "SubjectName"]).is_err());
        assert!(read(&["subjectname"]).is_err());
    }

    #[test]
    fn what_is_no_pem_holds_no_certificate() {
        assert!(certificates(b"abc").is_empty());
    }
}
