//! A certificate authority that lasts as long as a world, and the keys that API servers sign tokens with.

use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// Signs the certificates of servers on the loopback interface.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub struct Identity {
    /// The certificate.
    pub certificate: rcgen::Certificate,
    /// Its key.
    pub key: KeyPair,
}

impl Authority {
    /// A new authority that nobody trusts yet.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// A certificate for a server at `127.0.0.1`.
    pub fn server(&self) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut parameters = CertificateParams::new(names).expect("names that are names");
        parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        Identity { certificate: parameters.signed_by(&key, &self.issuer).expect("a certificate"), key }
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The certificate in PEM, in base64, as kubeconfigs and Secrets have it.
    pub fn bundle(&self) -> String {
        BASE64.encode(self.pem().as_bytes())
    }

    /// The certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// What a client needs that trusts nobody else.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a certificate");
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

impl Identity {
    /// What a server needs that has this certificate.
    pub fn server_settings(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from(self.certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let settings = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Arc::new(settings.expect("a certificate with its key"))
    }
}
