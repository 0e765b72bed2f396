//! The way to etcd.

use std::{error::Error as _, fs, io, path::Path, path::PathBuf, time::Duration};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use thiserror::Error;

use super::{OpenError, Options, Password, Tls};

/// How long a connection may take to be made, and a request to be answered. CoreDNS and external-dns give etcd as much.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing comes is asked whether it is alive, as often as etcd's own client asks by default …
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// … and given up when no answer comes.
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Why etcd cannot be read now. Trying again may help.
#[derive(Debug, Error)]
pub(super) enum Error {
    #[error("{} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}", .0)]
    Etcd(String),
    #[error("etcd does not answer")]
    Silence,
    #[error("etcd has ended the watch: {0}")]
    Ended(String),
}

impl Error {
    /// With all that led to it, and no secrets: etcd's messages have none.
    pub(super) fn chain(&self) -> String {
        match self.source() {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<etcd_client::Error> for Error {
    fn from(error: etcd_client::Error) -> Self {
        if let etcd_client::Error::GRpcStatus(status) = &error {
            // Its other words are about the wire.
            return Self::Etcd(format!("etcd says {:?}: {}", status.code(), status.message()));
        }
        let mut text = error.to_string();
        let mut source = match &error {
            etcd_client::Error::TransportError(error) => error.source(),
            error => error.source(),
        };
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        Self::Etcd(text)
    }
}

/// Refuses what can never work.
pub(super) fn check(options: &Options) -> Result<(), OpenError> {
    let mut secure = None;
    for endpoint in &options.endpoints {
        let wrong = || OpenError::Endpoint(endpoint.clone());
        let uri: http::Uri = endpoint.parse().map_err(|_| wrong())?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if uri.host().is_none_or(str::is_empty) || uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(wrong());
        }
        if secure.is_some_and(|secure| secure != is_secure) {
            return Err(OpenError::Mixed);
        }
        secure = Some(is_secure);
    }
    match secure {
        None => Err(OpenError::NoEndpoint),
        Some(false) if options.tls != Tls::default() => Err(OpenError::TlsWithoutHttps),
        Some(_) => Ok(()),
    }
}

/// Connects, and says who we are.
pub(super) async fn connect(options: &Options) -> Result<Client, Error> {
    let mut connection = ConnectOptions::new()
        .with_connect_timeout(PATIENCE)
        .with_timeout(PATIENCE)
        .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_PATIENCE)
        .with_keep_alive_while_idle(true)
        // A member without a leader does not know what is true.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some(user) = &options.user {
        let password = match &user.password {
            Password::Text(password) => password.clone(),
            Password::File(path) => String::from_utf8_lossy(&read(path)?).trim_end_matches(['\r', '\n']).to_owned(),
        };
        connection = connection.with_user(&user.name, password);
    }
    if options.endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        connection = connection.with_tls(tls(&options.tls)?);
    }
    let connecting = Client::connect(&options.endpoints, Some(connection));
    Ok(tokio::time::timeout(2 * PATIENCE, connecting).await.map_err(|_| Error::Silence)??)
}

fn tls(settings: &Tls) -> Result<TlsOptions, Error> {
    let mut options = TlsOptions::new();
    options = match &settings.ca {
        Some(ca) => options.ca_certificate(Certificate::from_pem(read(ca)?)),
        None => options.with_native_roots(),
    };
    if let Some((certificate, key)) = &settings.identity {
        options = options.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(options)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
